package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// samples is how many certificates and endpoints a delivery names.
const samples = 10

// Take leases the delivery to owner until the given time and counts the attempt. ok is false when there is nothing to do
// now: it is not pending, not due, leased to somebody else, or an earlier delivery of the same incident through the same
// channel is still on its way. The last keeps the order that people must see: first that it broke, then that it was
// mended. Taking one that the owner has already counts another attempt.
func (db *DB) Take(ctx context.Context, id int64, owner string, now, until time.Time) (assure.Delivery, bool, error) {
	var d assure.Delivery
	ok := false
	err := db.transact(ctx, fmt.Sprintf("take delivery %d", id), func(q querier) error {
		var err error
		d, ok, err = take(ctx, q, id, clean(owner), micro(now), micro(until))
		return err
	})
	if err != nil || !ok {
		return assure.Delivery{}, false, err
	}
	return d, true, nil
}

func take(ctx context.Context, q querier, id int64, owner string, now, until int64) (assure.Delivery, bool, error) {
	var none assure.Delivery
	d := assure.Delivery{ID: id}
	var incident, holder string
	var next, lease int64
	err := q.row(ctx, `SELECT notice, incident, channel, state, attempt, next_at, lease_owner, lease_until FROM delivery WHERE id = $1`+q.db.d.forUpdate, id).
		Scan(&d.Notice.ID, &incident, &d.Channel, &d.State, &d.Attempt, &next, &holder, &lease)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return none, false, nil
	case err != nil:
		return none, false, err
	case d.State != assure.DeliveryPending || next > now || holder != "" && holder != owner && lease > now:
		return none, false, nil
	}
	if incident != "" {
		var before int
		if err := q.row(ctx, `SELECT count(*) FROM delivery WHERE incident = $1 AND channel = $2 AND id < $3 AND state = 'pending'`, incident, d.Channel, id).Scan(&before); err != nil {
			return none, false, err
		}
		if before > 0 {
			return none, false, nil
		}
	}
	d.Attempt++
	d.Next = moment(next)
	if _, err := q.exec(ctx, `UPDATE delivery SET attempt = $2, lease_owner = $3, lease_until = $4 WHERE id = $1`, id, d.Attempt, owner, until); err != nil {
		return none, false, err
	}
	if d.Notice, err = readNotice(ctx, q, d.Notice.ID); err != nil {
		return none, false, err
	}
	return d, true, fill(ctx, q, &d, incident)
}

// fill adds what the message is made of: the incident as it stands, samples of what it touches, and what the channel
// called it before.
func fill(ctx context.Context, q querier, d *assure.Delivery, incident string) error {
	if incident == "" {
		return nil
	}
	err := q.each(ctx, func(s scanner) (err error) { d.Incident, err = scanIncident(s); return err }, `SELECT body FROM incident WHERE id = $1`, incident)
	if err != nil {
		return err
	}
	err = q.each(ctx, func(s scanner) error { return s.Scan(&d.ProviderID) },
		`SELECT provider_id FROM delivery WHERE incident = $1 AND channel = $2 AND provider_id <> '' ORDER BY id DESC LIMIT 1`, incident, d.Channel)
	if err != nil {
		return err
	}
	which := touchesOf(d.Incident)
	if err := q.row(ctx, `SELECT count(*) FROM touch WHERE incident = $1`+which, incident).Scan(&d.Touched); err != nil {
		return err
	}
	d.Certificates, err = all(ctx, q, scanText, `SELECT certificate FROM touch WHERE incident = $1 AND certificate <> ''`+which+
		` GROUP BY certificate ORDER BY max(stage) DESC, min(CASE WHEN hurts_at > 0 THEN hurts_at ELSE 2305843009213693952 END), certificate LIMIT $2`, incident, samples)
	if err != nil {
		return err
	}
	d.Stakes, err = all(ctx, q, scanStake, `SELECT certificate, coalesce(min(CASE WHEN hurts_at > 0 THEN hurts_at END), 0) FROM touch WHERE incident = $1 AND certificate <> ''`+which+
		` GROUP BY certificate ORDER BY min(CASE WHEN hurts_at > 0 THEN hurts_at ELSE 2305843009213693952 END), certificate LIMIT $2`, incident, samples)
	if err != nil {
		return err
	}
	d.Endpoints, err = all(ctx, q, scanText, `SELECT subject FROM touch WHERE incident = $1 AND subject <> '' AND claim LIKE '`+string(assure.Serving)+`/%'`+which+
		` GROUP BY subject ORDER BY max(stage) DESC, min(CASE WHEN hurts_at > 0 THEN hurts_at ELSE 2305843009213693952 END), subject LIMIT $2`, incident, samples)
	return err
}

// touchesOf is the condition for what an incident touches: now, or, once it is resolved, ever.
func touchesOf(i assure.Incident) string {
	if i.State == assure.Resolved {
		return ""
	}
	return " AND gone = 0"
}

func scanStake(s scanner) (assure.Stake, error) {
	var k assure.Stake
	var at int64
	err := s.Scan(&k.Certificate, &at)
	k.HurtsAt = moment(at)
	return k, err
}

func scanText(s scanner) (v string, err error) { return v, s.Scan(&v) }

const noticeColumns = `id, incident, kind, stage, severity, route, channels, dedup_key, at`

func readNotice(ctx context.Context, q querier, id string) (assure.Notice, error) {
	return scanNotice(q.row(ctx, `SELECT `+noticeColumns+` FROM notice WHERE id = $1`, id))
}

func scanNotice(s scanner) (assure.Notice, error) {
	var n assure.Notice
	var stage int
	var at int64
	var channels string
	if err := s.Scan(&n.ID, &n.Incident, &n.Kind, &stage, &n.Severity, &n.Route, &channels, &n.DedupKey, &at); err != nil {
		return n, err
	}
	n.Stage, n.At = assure.Stage(stage), moment(at)
	if err := json.Unmarshal([]byte(channels), &n.Channels); err != nil {
		return n, fmt.Errorf("decode the channels of notice %s: %w", n.ID, err)
	}
	return n, nil
}

// Record appends the receipt of an attempt, puts the delivery in the given state and ends the lease; for
// [assure.DeliveryPending], next is when to try again. It is idempotent for the same delivery and attempt. The receipt
// of an attempt that another one has overtaken is kept, and counts only when it says that the channel took the notice: a
// delivery that was made stays made.
func (db *DB) Record(ctx context.Context, r assure.Receipt, state assure.DeliveryState, next time.Time) error {
	return db.transact(ctx, fmt.Sprintf("record attempt %d of delivery %d", r.Attempt, r.Delivery), func(q querier) error {
		var incident, channel string
		var was assure.DeliveryState
		var attempt int
		if err := q.row(ctx, `SELECT incident, channel, state, attempt FROM delivery WHERE id = $1`+db.d.forUpdate, r.Delivery).Scan(&incident, &channel, &was, &attempt); err != nil {
			return err
		}
		res, err := q.exec(ctx, `INSERT INTO receipt (delivery, attempt, channel, at, class, code, detail, provider_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (delivery, attempt) DO NOTHING`,
			r.Delivery, r.Attempt, clean(r.Channel), micro(r.At), string(r.Class), r.Code, clean(r.Detail), clean(r.ProviderID))
		if err != nil {
			return err
		}
		if fresh, err := res.RowsAffected(); err != nil || fresh == 0 {
			return err
		}
		if r.ProviderID != "" {
			if _, err := q.exec(ctx, `UPDATE delivery SET provider_id = $2 WHERE id = $1`, r.Delivery, clean(r.ProviderID)); err != nil {
				return err
			}
		}
		if was != assure.DeliveryPending || r.Attempt != attempt && state != assure.DeliverySent {
			return nil
		}
		if state != assure.DeliveryPending {
			next = r.At
		}
		if _, err := q.exec(ctx, `UPDATE delivery SET state = $2, next_at = $3, lease_owner = '', lease_until = 0 WHERE id = $1`, r.Delivery, string(state), micro(next)); err != nil {
			return err
		}
		if state == assure.DeliveryPending || incident == "" {
			return nil
		}
		return db.wake(ctx, q, incident, channel, micro(r.At))
	})
}

// wake makes a job for the next delivery that was waiting behind one that is over.
func (db *DB) wake(ctx context.Context, q querier, incident, channel string, now int64) error {
	jobs, err := all(ctx, q, func(s scanner) (a deliverArgs, err error) {
		a.Channel, a.Turn = channel, turn(now)
		return a, s.Scan(&a.Delivery, &a.Attempt)
	},
		`SELECT id, attempt FROM delivery WHERE incident = $1 AND channel = $2 AND state = 'pending' AND next_at <= $3 ORDER BY id LIMIT 1`, incident, channel, now)
	if err != nil {
		return err
	}
	_, err = db.enqueue(ctx, q.tx, jobs)
	return err
}
