package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Shards is the number of shards that claims are spread over, by a stable hash of their ids. It is part of the schema.
const Shards = 512

// shardShift leaves 53 bits of a claim's number below the shard.
const shardShift = 53

// numberOf is the number of a claim: 62 bits of the SHA-256 of its id. The first nine are the shard.
func numberOf(id assure.ClaimID) int64 {
	h := sha256.Sum256([]byte(id))
	return int64(binary.BigEndian.Uint64(h[:8]) >> 2)
}

func shardOf(num int64) int { return int(num >> shardShift) }

const claimColumns = `id, link, certificate, subject, route, owner, declared, every, repair`

// claimDest are the places for claimColumns; put fills in the claim after the scan.
type claimDest struct {
	c                       assure.Claim
	declared, every, repair int64
}

func (d *claimDest) dest(more ...any) []any {
	return append([]any{&d.c.ID, &d.c.Link, &d.c.Certificate, &d.c.Subject, &d.c.Route, &d.c.Owner, &d.declared, &d.every, &d.repair}, more...)
}

func (d *claimDest) claim() assure.Claim {
	d.c.Declared = moment(d.declared)
	d.c.Every, d.c.TimeToRepair = time.Duration(d.every)*time.Microsecond, time.Duration(d.repair)*time.Microsecond
	return d.c
}

// declared is a claim as it is stored, while Declare compares.
type declared struct {
	num       int64
	claim     assure.Claim
	gone      int64
	seen, due int64
}

// Declare makes the given claims the ones that are watched; see [patrol.Ledger]. Declaring an id twice with different
// content is an error. It goes shard by shard, so that it needs little memory, in one transaction.
func (db *DB) Declare(ctx context.Context, claims []assure.Claim) error {
	now := db.now()
	byShard := map[int]map[int64]assure.Claim{}
	for _, c := range claims {
		for _, s := range []string{string(c.ID), string(c.Link), c.Certificate, c.Subject, c.Route, c.Owner} {
			if clean(s) != s {
				return fmt.Errorf("declare claims: %.100q is not text", s)
			}
		}
		num := numberOf(c.ID)
		m := byShard[shardOf(num)]
		if m == nil {
			m = map[int64]assure.Claim{}
			byShard[shardOf(num)] = m
		}
		if c.Declared.IsZero() {
			c.Declared = now
		}
		if had, ok := m[num]; ok && had != c {
			return fmt.Errorf("declare claims: %.200q is declared twice", c.ID)
		}
		m[num] = c
	}
	return db.transact(ctx, "declare claims", func(q querier) error {
		if db.d.name == "postgres" {
			if _, err := q.exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(migrationLock)+1); err != nil {
				return err
			}
		}
		d := declaration{q: q, now: micro(now), certificates: map[string]bool{}}
		for shard := range Shards {
			if err := d.shard(ctx, shard, byShard[shard]); err != nil {
				return fmt.Errorf("shard %d: %w", shard, err)
			}
		}
		if err := d.untangle(ctx); err != nil {
			return err
		}
		names := make([]string, 0, len(d.certificates))
		for name := range d.certificates {
			names = append(names, name)
		}
		return refresh(ctx, q, names)
	})
}

type declaration struct {
	q            querier
	now          int64
	certificates map[string]bool // whose summaries change
}

func (d *declaration) shard(ctx context.Context, shard int, want map[int64]assure.Claim) error {
	var fresh []declared
	seen := make(map[int64]bool, len(want))
	had, err := all(ctx, d.q, func(s scanner) (declared, error) {
		var r declared
		var c claimDest
		err := s.Scan(c.dest(&r.num, &r.gone, &r.seen, &r.due)...)
		r.claim = c.claim()
		return r, err
	}, `SELECT `+claimColumns+`, num, gone, seen_at, next_look FROM claim WHERE num >= $1 AND num < $2 ORDER BY num`+d.q.db.d.forUpdate,
		int64(shard)<<shardShift, int64(shard+1)<<shardShift)
	if err != nil {
		return err
	}
	for _, old := range had {
		c, wanted := want[old.num]
		if wanted && c.ID != old.claim.ID {
			return fmt.Errorf("the claims %.200q and %.200q have the same number; rename one", c.ID, old.claim.ID)
		}
		seen[old.num] = wanted
		switch {
		case wanted && old.gone > 0:
			err = d.again(ctx, old, c)
		case wanted:
			err = d.update(ctx, old, c)
		case old.gone == 0:
			err = d.forget(ctx, old)
		}
		if err != nil {
			return err
		}
	}
	for num, c := range want {
		if !seen[num] {
			fresh = append(fresh, declared{num: num, claim: c})
			d.touch(c.Certificate)
		}
	}
	slices.SortFunc(fresh, func(a, b declared) int { return int(a.num>>1 - b.num>>1) })
	return chunks(fresh, func(part []declared) error {
		var args []any
		for _, n := range part {
			c := n.claim
			args = append(args, n.num, string(c.ID), shard, string(c.Link), c.Certificate, c.Subject, c.Route, c.Owner, micro(c.Declared),
				c.Every.Microseconds(), c.TimeToRepair.Microseconds(), micro(c.Declared), micro(c.Declared.Add(c.MaxAge())))
		}
		_, err := d.q.exec(ctx, `INSERT INTO claim (num, id, shard, link, certificate, subject, route, owner, declared, every, repair, next_look, stale_at) VALUES `+
			d.q.rowMarks(len(part), 13, ""), args...)
		return err
	})
}

// untangle puts right what else a clock that ran ahead has planned: a notice would go out and a lease end only when that
// time comes. No pause between two attempts, and no lease, is as long as the hour.
func (d *declaration) untangle(ctx context.Context) error {
	ahead := d.now + time.Hour.Microseconds()
	if _, err := d.q.exec(ctx, `UPDATE delivery SET next_at = $1, due_at = $1, lease_owner = '', lease_until = 0 WHERE state = 'pending' AND (next_at > $2 OR lease_until > $2)`, d.now, ahead); err != nil {
		return err
	}
	_, err := d.q.exec(ctx, `UPDATE shard SET lease_owner = '', lease_until = 0 WHERE lease_until > $1`, ahead)
	return err
}

func (d *declaration) touch(certificate string) {
	if certificate != "" {
		d.certificates[certificate] = true
	}
}

// update takes over what a claim says that was declared before, but for when it was declared.
func (d *declaration) update(ctx context.Context, old declared, c assure.Claim) error {
	c.Declared = old.claim.Declared
	c.Every, c.TimeToRepair = c.Every.Truncate(time.Microsecond), c.TimeToRepair.Truncate(time.Microsecond)
	// A look that is further away than two looks are apart was planned by a clock that ran ahead. Waiting for it could
	// take years in which nobody looks, with evidence that does not grow old; a look now puts both right.
	ahead := old.due > d.now+2*max(c.Every, old.claim.Every, time.Hour).Microseconds()
	if c == old.claim && !ahead {
		return nil
	}
	d.touch(old.claim.Certificate)
	d.touch(c.Certificate)
	due, base := old.due, old.seen
	if base == 0 {
		base = micro(c.Declared)
	}
	if c.Every != old.claim.Every {
		due = min(due, base+c.Every.Microseconds())
	}
	if ahead {
		due, base = d.now, min(base, d.now)
	}
	_, err := d.q.exec(ctx, `UPDATE claim SET link = $2, certificate = $3, subject = $4, route = $5, owner = $6, every = $7, repair = $8, next_look = $9, stale_at = $10 WHERE num = $1`,
		old.num, string(c.Link), c.Certificate, c.Subject, c.Route, c.Owner, c.Every.Microseconds(), c.TimeToRepair.Microseconds(), due, base+c.MaxAge().Microseconds())
	return err
}

// again declares a claim that had been forgotten: as new, but with its history.
func (d *declaration) again(ctx context.Context, old declared, c assure.Claim) error {
	d.touch(c.Certificate)
	_, err := d.q.exec(ctx, `UPDATE claim SET link = $2, certificate = $3, subject = $4, route = $5, owner = $6, every = $7, repair = $8, next_look = $9, stale_at = $10, declared = $9, gone = 0 WHERE num = $1`,
		old.num, string(c.Link), c.Certificate, c.Subject, c.Route, c.Owner, c.Every.Microseconds(), c.TimeToRepair.Microseconds(), micro(c.Declared), micro(c.Declared.Add(c.MaxAge())))
	if err != nil {
		return err
	}
	return d.orphan(ctx, old.claim.ID, 0)
}

// forget closes a claim's newest run and takes it out of everything that is due. Its row stays for the history.
func (d *declaration) forget(ctx context.Context, old declared) error {
	d.touch(old.claim.Certificate)
	if _, err := d.q.exec(ctx, `UPDATE run SET newest = 0, first_seen = claim.run_first, last_seen = claim.seen_at, looks = claim.looks, observer = claim.observer
		FROM claim WHERE run.id = claim.run AND claim.num = $1`, old.num); err != nil {
		return err
	}
	_, err := d.q.exec(ctx, `UPDATE claim SET gone = $2, next_look = $3, stale_at = $3, closed = closed + CASE WHEN run > 0 THEN 1 ELSE 0 END,
		run = 0, alternate = 0, returned = 0, run_key = '', run_first = 0, seen_at = 0, looks = 0, observer = '', fact_sum = 0, asked_until = 0,
		verdict = 0, severity = 0, stage = 0, valid_until = 0, renew_by = 0, reasons = '', findings = '' WHERE num = $1`,
		old.num, max(d.now, 1), never)
	if err != nil {
		return err
	}
	return d.orphan(ctx, old.claim.ID, 1)
}

func (d *declaration) orphan(ctx context.Context, id assure.ClaimID, orphan int) error {
	_, err := d.q.exec(ctx, `UPDATE touch SET orphan = $2 WHERE claim = $1`, string(id), orphan)
	return err
}

// Orphans returns at most limit claims that an open incident touches and that are no longer declared.
func (db *DB) Orphans(ctx context.Context, limit int) ([]assure.ClaimID, error) {
	limit, _ = bounds(limit, 0, 500, 10_000)
	ids, err := all(ctx, db.reader(), func(s scanner) (id assure.ClaimID, err error) { return id, s.Scan(&id) },
		`SELECT DISTINCT t.claim FROM touch t JOIN incident i ON i.id = t.incident AND i.state <> 'resolved' WHERE t.orphan = 1 AND t.gone = 0 ORDER BY t.claim LIMIT $1`, limit)
	return ids, db.wrap(err, "find claims that are no longer declared")
}
