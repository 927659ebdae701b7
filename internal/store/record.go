package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

const (
	// turnsWithin is how long ago the run before may have been seen for its return to count as going back and forth.
	turnsWithin = 24 * time.Hour
	// mostRuns is how many runs a claim keeps beside its newest.
	mostRuns = 500
)

// Record adds looks to the evidence, in their order; see the package's description of runs. Looks of claims that are not
// declared are dropped.
func (t *Tx) Record(ctx context.Context, looks []assure.Look) error {
	ids := make([]assure.ClaimID, len(looks))
	for i, l := range looks {
		ids[i] = l.Claim
	}
	if err := t.load(ctx, ids); err != nil {
		return t.db.wrap(err, "read claims")
	}
	now := micro(t.db.now())
	for _, l := range looks {
		r := t.rows[l.Claim]
		if r == nil {
			continue
		}
		if l.Fact == nil {
			return fmt.Errorf("record a look at %q: it has no fact", l.Claim)
		}
		if err := t.look(ctx, r, l, now); err != nil {
			return t.db.wrap(err, fmt.Sprintf("record a look at %q", l.Claim))
		}
	}
	return nil
}

// glance is one look on its way into the tables.
type glance struct {
	fact     assure.Fact
	plain    []byte // the fact's JSON, to tell whether it is stored already
	key      string
	at       int64
	observer string
}

func (t *Tx) look(ctx context.Context, r *row, l assure.Look, now int64) error {
	plain, err := json.Marshal(l.Fact)
	if err != nil {
		return fmt.Errorf("encode %s fact: %w", l.Fact.Kind(), err)
	}
	g := glance{fact: l.Fact, plain: plain, key: clean(l.Fact.Kind() + " " + l.Fact.Key()), at: micro(l.At), observer: clean(l.Observer)}
	same := r.run != 0 && g.key == r.key
	r.looked = true
	switch {
	case r.run != 0 && g.at < r.seen && r.seen <= now: // late: what is known already is newer
		if same {
			r.looks++
			return nil
		}
		r.closed++
		if _, err := t.insertRun(ctx, r.num, g, 0); err != nil {
			return err
		}
		return t.trim(ctx, r)
	case same:
		return t.extend(ctx, r, g)
	default:
		return t.turn(ctx, r, g)
	}
}

// seen notes that a look was made, whatever it brought back.
func (r *row) see(g glance) {
	r.seen, r.observer = g.at, g.observer
	r.first = min(r.first, g.at)
	r.looks++
	r.stale, r.asked = g.at+r.claim.MaxAge().Microseconds(), 0
}

// extend is a look at an unchanged world. The stored fact is replaced only when it says something new.
func (t *Tx) extend(ctx context.Context, r *row, g glance) error {
	if r.alternate != 0 && g.at-r.returned > standStill(r.claim.Every).Microseconds() {
		r.alternate, r.returned = 0, 0
	}
	r.see(g)
	return t.replaceFact(ctx, r, g)
}

func (t *Tx) replaceFact(ctx context.Context, r *row, g glance) error {
	t.facts[r.run] = g.fact
	sum := factSum(g.fact.Kind(), g.plain)
	if sum == r.sum {
		return nil
	}
	var old []byte
	if err := t.q.row(ctx, `SELECT fact FROM run WHERE id = $1`, r.run).Scan(&old); err != nil {
		return fmt.Errorf("read the newest run: %w", err)
	}
	had, err := openEnvelope(old)
	if err != nil {
		return err
	}
	certs, err := putCerts(ctx, t.q, certsOf(g.fact))
	if err != nil {
		return err
	}
	fact, err := encodeFact(g.fact, certs)
	if err != nil {
		return err
	}
	if _, err := t.q.exec(ctx, `UPDATE run SET fact = $2 WHERE id = $1`, r.run, fact); err != nil {
		return fmt.Errorf("replace the fact of the newest run: %w", err)
	}
	if err := refer(ctx, t.q, r.run, without(certs, had.Certs)); err != nil {
		return err
	}
	r.sum = sum
	return unrefer(ctx, t.q, r.run, without(had.Certs, certs))
}

// without gives the elements of a that are not in b.
func without(a, b []int64) []int64 {
	in := make(map[int64]bool, len(b))
	for _, x := range b {
		in[x] = true
	}
	var out []int64
	for _, x := range a {
		if !in[x] {
			out = append(out, x)
		}
	}
	return out
}

// turn is a look that saw something else than the newest run. It begins a new run, or takes up the one before.
func (t *Tx) turn(ctx context.Context, r *row, g glance) error {
	old, oldKey := r.run, r.key
	var before int64
	if old != 0 {
		var key string
		var first, last, looks int64
		if err := t.q.each(ctx, func(s scanner) error { return s.Scan(&before, &key, &first, &last, &looks) },
			`SELECT id, run_key, first_seen, last_seen, looks FROM run WHERE claim = $1 AND newest = 0 AND last_seen >= $2 ORDER BY last_seen DESC, id DESC LIMIT 1`,
			r.num, micro(r.claim.Declared)); err != nil { // what was seen before the claim was declared anew is history only
			return fmt.Errorf("read the run before: %w", err)
		}
		if _, err := t.q.exec(ctx, `UPDATE run SET newest = 0, first_seen = $2, last_seen = $3, looks = $4, observer = $5 WHERE id = $1`,
			old, r.first, r.seen, r.looks, r.observer); err != nil {
			return fmt.Errorf("close the newest run: %w", err)
		}
		if before != 0 && key == g.key && g.at-last <= turnsWithin.Microseconds() {
			if _, err := t.q.exec(ctx, `UPDATE run SET newest = 1 WHERE id = $1`, before); err != nil {
				return fmt.Errorf("take up the run before: %w", err)
			}
			r.run, r.key, r.first, r.looks, r.sum = before, key, first, looks, 0
			r.alternate, r.returned = 0, 0
			if !isBlind(oldKey) && !isBlind(key) {
				r.alternate, r.returned = old, g.at
			}
			r.see(g)
			return t.replaceFact(ctx, r, g)
		}
		r.closed++
	}
	id, err := t.insertRun(ctx, r.num, g, 1)
	if err != nil {
		return err
	}
	t.facts[id] = g.fact
	r.run, r.key, r.first, r.looks, r.sum = id, g.key, g.at, 0, factSum(g.fact.Kind(), g.plain)
	r.alternate, r.returned = 0, 0
	r.see(g)
	return t.trim(ctx, r)
}

func isBlind(key string) bool {
	return key == assure.Blind{}.Kind()+" "+assure.Blind{}.Key()
}

func (t *Tx) insertRun(ctx context.Context, claim int64, g glance, newest int) (int64, error) {
	certs, err := putCerts(ctx, t.q, certsOf(g.fact))
	if err != nil {
		return 0, err
	}
	fact, err := encodeFact(g.fact, certs)
	if err != nil {
		return 0, err
	}
	var id int64
	if err := t.q.row(ctx, `INSERT INTO run (claim, newest, kind, run_key, first_seen, last_seen, looks, observer, fact) VALUES ($1, $2, $3, $4, $5, $5, 1, $6, $7) RETURNING id`,
		claim, newest, g.fact.Kind(), g.key, g.at, g.observer, fact).Scan(&id); err != nil {
		return 0, fmt.Errorf("begin a run: %w", err)
	}
	return id, refer(ctx, t.q, id, certs)
}

// trim drops the oldest runs of a claim that has too many.
func (t *Tx) trim(ctx context.Context, r *row) error {
	if r.closed <= t.db.mostRuns {
		return nil
	}
	old, err := all(ctx, t.q, func(s scanner) (id int64, err error) { return id, s.Scan(&id) },
		`SELECT id FROM run WHERE claim = $1 AND newest = 0 AND id <> $2 ORDER BY last_seen, id LIMIT $3`, r.num, r.alternate, r.closed-t.db.mostRuns)
	if err != nil {
		return fmt.Errorf("find the oldest runs: %w", err)
	}
	r.closed -= int64(len(old))
	return dropRuns(ctx, t.q, old)
}
