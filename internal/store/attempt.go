package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/notafter/notafter/internal/assure"
)

// attemptsKept is how many attempts of each certificate and kind are kept.
const attemptsKept = 20

// PutAttempt inserts an attempt (ID 0) or replaces it, and returns its id. Of each certificate and kind the 20 that were
// inserted last are kept; replacing one that is gone changes nothing. Inserting once more what was inserted last is
// taken for the repetition of a call whose answer was lost.
func (db *DB) PutAttempt(ctx context.Context, a assure.Attempt) (int64, error) {
	what := fmt.Sprintf("write an attempt of %.100q", a.Certificate)
	steps := slices.Clone(a.Steps)
	for i := range steps {
		steps[i].At = cut(steps[i].At)
	}
	text, err := json.Marshal(steps)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	args := []any{
		clean(a.Certificate), clean(string(a.Kind)), clean(a.By), micro(a.Started), micro(a.Ended),
		clean(string(a.Outcome)), string(text), clean(a.Fingerprint),
	}
	id := a.ID
	err = db.transact(ctx, what, func(q querier) error {
		if a.ID != 0 {
			_, err := q.exec(ctx, `UPDATE attempt SET certificate = $1, kind = $2, cause = $3, started = $4, ended = $5, outcome = $6, steps = $7, fingerprint = $8
				WHERE id = $9`, append(args, a.ID)...)
			return err
		}
		if err := q.each(ctx, func(s scanner) error { return s.Scan(&id) }, `SELECT id FROM attempt
			WHERE id = (SELECT max(id) FROM attempt WHERE certificate = $1 AND kind = $2)
			AND cause = $3 AND started = $4 AND ended = $5 AND outcome = $6 AND steps = $7 AND fingerprint = $8`, args...); err != nil || id != 0 {
			return err
		}
		if err := q.row(ctx, `INSERT INTO attempt (certificate, kind, cause, started, ended, outcome, steps, fingerprint)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`, args...).Scan(&id); err != nil {
			return err
		}
		_, err := q.exec(ctx, `DELETE FROM attempt WHERE certificate = $1 AND kind = $2
			AND id <= (SELECT id FROM attempt WHERE certificate = $1 AND kind = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)`, args[0], args[1], attemptsKept)
		return err
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

// Attempts returns the newest attempts of a certificate, of all kinds, the one that was inserted last first.
func (db *DB) Attempts(ctx context.Context, certificate string, limit int) ([]assure.Attempt, error) {
	limit, _ = bounds(limit, 0, 50, 500)
	as, err := all(ctx, db.reader(), scanAttempt, `SELECT id, certificate, kind, cause, started, ended, outcome, steps, fingerprint FROM attempt
		WHERE certificate = $1 ORDER BY id DESC LIMIT $2`, clean(certificate), limit)
	return as, db.wrap(err, fmt.Sprintf("read the attempts of %.100q", certificate))
}

func scanAttempt(s scanner) (assure.Attempt, error) {
	var a assure.Attempt
	var started, ended int64
	var steps string
	if err := s.Scan(&a.ID, &a.Certificate, &a.Kind, &a.By, &started, &ended, &a.Outcome, &steps, &a.Fingerprint); err != nil {
		return a, err
	}
	a.Started, a.Ended = moment(started), moment(ended)
	if err := json.Unmarshal([]byte(steps), &a.Steps); err != nil {
		return a, fmt.Errorf("decode the steps of attempt %d: %w", a.ID, err)
	}
	return a, nil
}
