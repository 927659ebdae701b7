package store

import (
	"context"
	"fmt"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// PutPending writes down a TXT value that must be withdrawn; again moves its Until. The id of another value is
// [assure.ErrConflict]. What the database cannot keep to the letter is refused, because it could not be withdrawn either.
func (db *DB) PutPending(ctx context.Context, p assure.Pending) error {
	what := fmt.Sprintf("write down the TXT value at %.300q", p.Name)
	for _, s := range []string{p.ID, p.Renewer, p.Name, p.Value} {
		if s == "" || clean(s) != s {
			return fmt.Errorf("%s: %.100q cannot be kept as it is", what, s)
		}
	}
	return db.transact(ctx, what, func(q querier) error {
		n, err := count(q.exec(ctx, `INSERT INTO pending (id, renewer, name, value, purpose, until) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (id) DO UPDATE SET until = excluded.until
			WHERE pending.renewer = excluded.renewer AND pending.name = excluded.name AND pending.value = excluded.value`,
			p.ID, p.Renewer, p.Name, p.Value, clean(p.Purpose), micro(p.Until)))
		if err == nil && n == 0 {
			return fmt.Errorf("%.100q is the id of another value: %w", p.ID, assure.ErrConflict)
		}
		return err
	})
}

// DropPending forgets a value that was withdrawn. One that is not there is no error.
func (db *DB) DropPending(ctx context.Context, id string) error {
	return db.transact(ctx, fmt.Sprintf("forget the TXT value %.100q", id), func(q querier) error {
		_, err := q.exec(ctx, `DELETE FROM pending WHERE id = $1`, clean(id))
		return err
	})
}

// Abandoned returns at most limit values whose Until is before now, oldest first, and makes it until, so that two
// processes do not sweep the same one. When the answer is lost they are there again after until.
func (db *DB) Abandoned(ctx context.Context, now, until time.Time, limit int) ([]assure.Pending, error) {
	const what = "take abandoned TXT values"
	limit, _ = bounds(limit, 0, 100, 1000)
	const due = `SELECT id, renewer, name, value, purpose FROM pending WHERE until < $1 ORDER BY until, id LIMIT $2`
	scan := func(s scanner) (assure.Pending, error) {
		p := assure.Pending{Until: cut(until)}
		return p, s.Scan(&p.ID, &p.Renewer, &p.Name, &p.Value, &p.Purpose)
	}
	// Most of the time there are none. Then the connection that writes is left alone.
	some, err := all(ctx, db.reader(), scan, due, micro(now), 1)
	if err != nil || len(some) == 0 {
		return nil, db.wrap(err, what)
	}
	var out []assure.Pending
	err = db.transact(ctx, what, func(q querier) (err error) {
		out, err = all(ctx, q, scan, due+db.d.skipLocked, micro(now), limit)
		if err != nil {
			return err
		}
		return chunks(out, func(part []assure.Pending) error {
			args := []any{micro(until)}
			for _, p := range part {
				args = append(args, p.ID)
			}
			_, err := q.exec(ctx, `UPDATE pending SET until = $1 WHERE id IN `+marks(2, len(part)), args...)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
