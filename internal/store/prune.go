package store

import (
	"context"
	"fmt"
	"time"
)

// keepFor is how long history is kept: runs that are over, incidents that are resolved, claims that are forgotten,
// certificates that ended with their keys, attempts. It is more than a year, so that a yearly renewal can be compared
// with the last. What is expected of permissions that nobody asks about any more goes after a week, and so do applied plans
// of which nothing is missing; plans that were announced and never applied go after a day.
const keepFor = 400 * 24 * time.Hour

// Prune deletes what is older than 400 days at now, at most limit rows of each kind, and sessions that have expired. It
// returns how much it deleted; call it again soon when that is not zero. What is current is never deleted, and neither
// is the audit log.
func (db *DB) Prune(ctx context.Context, now time.Time, limit int) (int, error) {
	limit, _ = bounds(limit, 0, 200, 5000)
	before := micro(now.Add(-keepFor))
	total := 0
	for _, step := range []struct {
		what string
		do   func(querier) (int, error)
	}{
		{"runs", func(q querier) (int, error) { return pruneRuns(ctx, q, before, limit) }},
		{"incidents", func(q querier) (int, error) { return pruneIncidents(ctx, q, before, limit) }},
		{"claims", func(q querier) (int, error) {
			return count(q.exec(ctx, `DELETE FROM claim WHERE num IN (SELECT num FROM claim c WHERE gone > 0 AND gone < $1
				AND NOT EXISTS (SELECT 1 FROM run WHERE run.claim = c.num) LIMIT $2)`, before, limit))
		}},
		// The newest certificate of each declared one is current, however old: it is what serves until there is another.
		{"issued certificates", func(q querier) (int, error) {
			return count(q.exec(ctx, `DELETE FROM issued WHERE id IN (SELECT id FROM issued i WHERE not_after < $1
				AND EXISTS (SELECT 1 FROM issued n WHERE n.certificate = i.certificate AND n.not_before > i.not_before) ORDER BY not_after LIMIT $2)`, before, limit))
		}},
		{"attempts", func(q querier) (int, error) {
			return count(q.exec(ctx, `DELETE FROM attempt WHERE id IN (SELECT id FROM attempt WHERE started < $1 ORDER BY started, id LIMIT $2)`, before, limit))
		}},
		{"what is expected of nothing any more", func(q querier) (int, error) {
			return count(q.exec(ctx, `DELETE FROM expected_grant WHERE asked < $1`, micro(now.Add(-keepExpected))))
		}},
		{"applied plans", func(q querier) (int, error) { return prunePlans(ctx, q, now) }},
		{"sessions", func(q querier) (int, error) {
			return count(q.exec(ctx, `DELETE FROM session WHERE expires < $1`, micro(now)))
		}},
	} {
		n := 0
		err := db.transact(ctx, "prune "+step.what, func(q querier) (err error) { n, err = step.do(q); return err })
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

func count(res interface{ RowsAffected() (int64, error) }, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

func pruneRuns(ctx context.Context, q querier, before int64, limit int) (int, error) {
	type old struct{ run, claim int64 }
	list, err := all(ctx, q, func(s scanner) (o old, err error) { return o, s.Scan(&o.run, &o.claim) },
		`SELECT id, claim FROM run WHERE newest = 0 AND last_seen < $1
		AND NOT EXISTS (SELECT 1 FROM claim WHERE claim.num = run.claim AND claim.alternate = run.id) ORDER BY last_seen, id LIMIT $2`, before, limit)
	if err != nil {
		return 0, err
	}
	for _, o := range list {
		// The claim first: that is the order in which a look takes its locks.
		if _, err := q.exec(ctx, `UPDATE claim SET closed = closed - 1 WHERE num = $1`, o.claim); err != nil {
			return 0, err
		}
		if err := dropRuns(ctx, q, []int64{o.run}); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

func pruneIncidents(ctx context.Context, q querier, before int64, limit int) (int, error) {
	ids, err := all(ctx, q, scanText, `SELECT id FROM incident WHERE state = 'resolved' AND resolved_at > 0 AND resolved_at < $1 LIMIT $2`, before, limit)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		for _, text := range []string{
			`DELETE FROM receipt WHERE delivery IN (SELECT id FROM delivery WHERE incident = $1)`,
			`DELETE FROM delivery WHERE incident = $1`,
			`DELETE FROM notice WHERE incident = $1`,
			`DELETE FROM event WHERE incident = $1`,
			`DELETE FROM touch WHERE incident = $1`,
			`DELETE FROM incident WHERE id = $1`,
		} {
			if _, err := q.exec(ctx, text, id); err != nil {
				return 0, fmt.Errorf("incident %s: %w", id, err)
			}
		}
	}
	return len(ids), nil
}
