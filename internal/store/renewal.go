package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

const renewalColumns = `certificate, forced, forced_at, body`

func scanRenewal(s scanner) (assure.RenewalState, error) {
	var r assure.RenewalState
	var certificate, forced, body string
	var at int64
	if err := s.Scan(&certificate, &forced, &at, &body); err != nil {
		return r, err
	}
	if body != "" {
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			return r, fmt.Errorf("decode the renewal of %.100q: %w", certificate, err)
		}
	}
	r.Certificate, r.Forced, r.ForcedAt = certificate, forced, moment(at)
	return r, nil
}

// Renewals returns the states of the given certificates that are known, in no order.
func (db *DB) Renewals(ctx context.Context, certificates []string) ([]assure.RenewalState, error) {
	names := make([]string, len(certificates))
	for i, c := range certificates {
		names[i] = clean(c)
	}
	slices.Sort(names)
	var out []assure.RenewalState
	err := db.view(ctx, "read renewals", func(q querier) error {
		return chunks(slices.Compact(names), func(part []string) error {
			rs, err := all(ctx, q, scanRenewal, `SELECT `+renewalColumns+` FROM renewal WHERE certificate IN `+marks(1, len(part)), anys(part)...)
			out = append(out, rs...)
			return err
		})
	})
	return out, err
}

// LeaseRenewal gives the renewal of a certificate to owner until now+ttl and returns its state, making one that was never
// seen. ok is false when another owner holds it. Leasing what owner holds already extends it.
func (db *DB) LeaseRenewal(ctx context.Context, certificate, owner string, now time.Time, ttl time.Duration) (state assure.RenewalState, ok bool, err error) {
	what := fmt.Sprintf("lease the renewal of %.100q", certificate)
	if owner == "" {
		return state, false, fmt.Errorf("%s: no owner given", what)
	}
	err = db.transact(ctx, what, func(q querier) error {
		// Who extends a lease need not look at the state that comes back, so a wish is no more seen than before.
		s, err := scanRenewal(q.row(ctx, `INSERT INTO renewal (certificate, lease_owner, lease_until) VALUES ($1, $2, $3)
			ON CONFLICT (certificate) DO UPDATE SET lease_owner = excluded.lease_owner, lease_until = excluded.lease_until,
			unseen = CASE WHEN renewal.lease_owner = excluded.lease_owner AND renewal.lease_until > $4 THEN renewal.unseen ELSE 0 END
			WHERE renewal.lease_owner = excluded.lease_owner OR renewal.lease_until <= $4
			RETURNING `+renewalColumns, clean(certificate), clean(owner), micro(now.Add(ttl)), micro(now)))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		state, ok = s, err == nil
		return err
	})
	if err != nil || !ok {
		return assure.RenewalState{}, false, err
	}
	return state, true, nil
}

// PutRenewal stores the state while owner holds the lease, else [assure.ErrConflict]. A wish that was made since the lease
// was taken and is newer than s.ForcedAt is kept. Once a state that knows the wish was stored, the next may take it back:
// then the owner has seen it, and it is granted.
func (db *DB) PutRenewal(ctx context.Context, s assure.RenewalState, owner string, now time.Time) error {
	what := fmt.Sprintf("write the renewal of %.100q", s.Certificate)
	forced, at := clean(s.Forced), micro(s.ForcedAt)
	body, err := json.Marshal(storedRenewal(s))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return db.transact(ctx, what, func(q querier) error {
		n, err := count(q.exec(ctx, `UPDATE renewal SET body = $4,
			forced = CASE WHEN unseen = 1 AND forced_at > $6 THEN forced ELSE $5 END,
			forced_at = CASE WHEN unseen = 1 AND forced_at > $6 THEN forced_at ELSE $6 END,
			unseen = CASE WHEN unseen = 1 AND forced_at > $6 THEN 1 ELSE 0 END
			WHERE certificate = $1 AND lease_owner = $2 AND lease_until > $3`, clean(s.Certificate), clean(owner), micro(now), string(body), forced, at))
		if err == nil && n == 0 {
			return fmt.Errorf("%.100q does not hold it: %w", owner, assure.ErrConflict)
		}
		return err
	})
}

// storedRenewal is the state as its body holds it: times as anywhere else in the database, and no wish, which has columns
// of its own because others write it.
func storedRenewal(s assure.RenewalState) assure.RenewalState {
	s.Certificate, s.Forced, s.ForcedAt = "", "", time.Time{}
	for _, t := range []*time.Time{&s.Due, &s.Next, &s.WindowStart, &s.WindowEnd, &s.WindowAsk, &s.Running, &s.Unproven, &s.LastAttempt, &s.LastSuccess} {
		*t = cut(*t)
	}
	return s
}

// cut gives a time as it comes back from the database: in UTC, without what is finer than a microsecond.
func cut(t time.Time) time.Time { return moment(micro(t)) }

// ReleaseRenewal ends the lease. Releasing what somebody else holds changes nothing.
func (db *DB) ReleaseRenewal(ctx context.Context, certificate, owner string) error {
	return db.transact(ctx, fmt.Sprintf("release the renewal of %.100q", certificate), func(q querier) error {
		_, err := q.exec(ctx, `UPDATE renewal SET lease_owner = '', lease_until = 0 WHERE certificate = $1 AND lease_owner = $2`, clean(certificate), clean(owner))
		return err
	})
}

// Force notes that somebody wants the certificate renewed now, whoever does it. It needs no lease. Of two wishes the
// newer one's name is kept.
func (db *DB) Force(ctx context.Context, certificate, who string, at time.Time) error {
	return db.transact(ctx, fmt.Sprintf("note that %.100q is to be renewed", certificate), func(q querier) error {
		_, err := q.exec(ctx, `INSERT INTO renewal (certificate, forced, forced_at, unseen) VALUES ($1, $2, $3, 1)
			ON CONFLICT (certificate) DO UPDATE SET unseen = 1,
			forced = CASE WHEN excluded.forced_at >= renewal.forced_at THEN excluded.forced ELSE renewal.forced END,
			forced_at = CASE WHEN excluded.forced_at >= renewal.forced_at THEN excluded.forced_at ELSE renewal.forced_at END`,
			clean(certificate), clean(who), micro(at))
		return err
	})
}
