package store

import (
	"context"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Lease gives at most limit due shards to owner until now+ttl, the most overdue first. A shard is due when the first of
// its claims is; that is one step down an index for each shard, and nothing to keep up to date.
func (db *DB) Lease(ctx context.Context, owner string, now time.Time, ttl time.Duration, limit int) ([]int, error) {
	if limit <= 0 {
		return nil, nil
	}
	const due = `SELECT no FROM shard WHERE lease_until <= $1 AND (SELECT min(next_look) FROM claim WHERE shard = no) <= $1 `
	// Most of the time nothing is due. Then the connection that writes is left alone.
	some, err := all(ctx, db.reader(), scanInt, due+`LIMIT 1`, micro(now))
	if err != nil || len(some) == 0 {
		return nil, db.wrap(err, "find due shards")
	}
	var shards []int
	err = db.transact(ctx, "lease shards", func(q querier) error {
		var err error
		shards, err = all(ctx, q, scanInt, due+`ORDER BY (SELECT min(next_look) FROM claim WHERE shard = no), no LIMIT $2`+db.d.skipLocked, micro(now), limit)
		if err != nil {
			return err
		}
		return chunks(shards, func(part []int) error {
			_, err := q.exec(ctx, `UPDATE shard SET lease_owner = $1, lease_until = $2 WHERE no IN `+marks(3, len(part)),
				append([]any{clean(owner), micro(now.Add(ttl))}, anys(part)...)...)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return shards, nil
}

func scanInt(s scanner) (n int, err error) { return n, s.Scan(&n) }

// Release ends the lease of a shard. Releasing a shard that somebody else holds changes nothing.
func (db *DB) Release(ctx context.Context, shard int, owner string) error {
	_, err := db.writer(nil).exec(ctx, `UPDATE shard SET lease_owner = '', lease_until = 0 WHERE no = $1 AND lease_owner = $2`, shard, clean(owner))
	return db.wrap(err, "release a shard")
}

// Due returns the shard's claims whose next look is not after now, the most overdue first.
func (db *DB) Due(ctx context.Context, shard int, now time.Time) ([]assure.Claim, error) {
	claims, err := all(ctx, db.reader(), scanClaim,
		`SELECT `+claimColumns+` FROM claim WHERE shard = $1 AND next_look <= $2 AND gone = 0 ORDER BY next_look, num`, shard, micro(now))
	return claims, db.wrap(err, "find due claims")
}

func scanClaim(s scanner) (assure.Claim, error) {
	var d claimDest
	err := s.Scan(d.dest()...)
	return d.claim(), err
}

// Stale returns at most limit claims whose evidence became too old, or that were never seen for too long, by now, and
// whose last judgement does not say so, the longest first. A claim that stays stale is returned again each time that its
// maximal age has passed, because not knowing becomes more urgent with time.
func (db *DB) Stale(ctx context.Context, now time.Time, limit int) ([]assure.ClaimID, error) {
	limit, _ = bounds(limit, 0, 500, 10_000)
	ids, err := all(ctx, db.reader(), func(s scanner) (id assure.ClaimID, err error) { return id, s.Scan(&id) },
		`SELECT id FROM claim WHERE stale_at < $1 AND asked_until < $1 ORDER BY stale_at LIMIT $2`, micro(now), limit)
	return ids, db.wrap(err, "find stale claims")
}

// Coverage counts, at now: serving claims, those with evidence young enough, the observation time of the oldest such
// evidence, notices due before now-slack that are still pending, and how far the most overdue shard is behind. A notice
// that is being tried again and again counts from when it was first due. Tried and Reached are not the store's to know.
func (db *DB) Coverage(ctx context.Context, now time.Time, slack time.Duration) (assure.Sight, error) {
	var s assure.Sight
	err := db.view(ctx, "count what was seen", func(q querier) error {
		var oldest, due int64
		err := q.row(ctx, `SELECT count(*), coalesce(sum(CASE WHEN seen_at > 0 AND stale_at >= $1 THEN 1 ELSE 0 END), 0),
			coalesce(min(CASE WHEN seen_at > 0 AND stale_at >= $1 THEN seen_at END), 0)
			FROM claim WHERE link = 'serving' AND stale_at < $2`, micro(now), never).Scan(&s.Expected, &s.Observed, &oldest)
		if err != nil {
			return err
		}
		s.Oldest = moment(oldest)
		if err := q.row(ctx, `SELECT count(DISTINCT notice) FROM delivery WHERE state = 'pending' AND due_at < $1`, micro(now.Add(-slack))).Scan(&s.Backlog); err != nil {
			return err
		}
		if err := q.row(ctx, `SELECT coalesce(min(due), $1) FROM (SELECT (SELECT min(next_look) FROM claim WHERE shard = no) AS due FROM shard) AS d`, micro(now)).Scan(&due); err != nil {
			return err
		}
		s.Late = assure.Seconds(max(0, time.Duration(micro(now)-due)*time.Microsecond))
		return nil
	})
	return s, err
}
