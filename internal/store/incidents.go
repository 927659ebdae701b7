package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// Incidents returns a page of incidents, open ones worst first and others newest first, and how many match in all.
func (db *DB) Incidents(ctx context.Context, query assure.IncidentQuery) ([]assure.Incident, int, error) {
	limit, offset := bounds(query.Limit, query.Offset, 50, 500)
	where, order, args := "", "opened_at DESC, id DESC", []any{}
	switch query.State {
	case "":
	case assure.Open:
		where, order = ` WHERE state IN ('open', 'acknowledged')`, "stage DESC, opened_at DESC, id DESC"
	default:
		where, args = ` WHERE state = $1`, []any{clean(string(query.State))}
	}
	var out []assure.Incident
	total := 0
	err := db.view(ctx, "list incidents", func(q querier) error {
		if err := q.row(ctx, `SELECT count(*) FROM incident`+where, args...).Scan(&total); err != nil {
			return err
		}
		var err error
		n := len(args)
		out, err = all(ctx, q, scanIncident, `SELECT body FROM incident`+where+fmt.Sprintf(" ORDER BY %s LIMIT $%d OFFSET $%d", order, n+1, n+2), append(args, limit, offset)...)
		return err
	})
	return out, total, err
}

// Incident returns an incident with all that belongs to it, and at most limit of its touches; [assure.ErrNotFound] when
// there is none. Of one that is resolved the touches are those it ever had.
func (db *DB) Incident(ctx context.Context, id assure.IncidentID, limit int) (assure.IncidentView, error) {
	var v assure.IncidentView
	limit, _ = bounds(limit, 0, 50, 500)
	key := clean(string(id))
	err := db.view(ctx, fmt.Sprintf("read incident %.40q", id), func(q querier) error {
		var err error
		if v.Incident, err = scanIncident(q.row(ctx, `SELECT body FROM incident WHERE id = $1`, key)); err != nil {
			return err
		}
		which := touchesOf(v.Incident)
		if err := q.row(ctx, `SELECT count(*) FROM touch WHERE incident = $1`+which, key).Scan(&v.Touched); err != nil {
			return err
		}
		if v.Touches, err = all(ctx, q, scanTouch, `SELECT `+touchColumns+` FROM touch WHERE incident = $1`+which+
			` ORDER BY stage DESC, CASE WHEN hurts_at > 0 THEN hurts_at ELSE 2305843009213693952 END, claim LIMIT $2`, key, limit); err != nil {
			return err
		}
		if v.Events, err = all(ctx, q, scanEvent, `SELECT incident, at, kind, stage, body, who FROM event WHERE incident = $1 ORDER BY id`, key); err != nil {
			return err
		}
		if err := deliveries(ctx, q, key, &v); err != nil {
			return err
		}
		v.Receipts, err = all(ctx, q, scanReceipt, `SELECT r.delivery, r.attempt, r.channel, r.at, r.class, r.code, r.detail, r.provider_id
			FROM receipt r JOIN delivery d ON d.id = r.delivery WHERE d.incident = $1 ORDER BY r.at, r.delivery, r.attempt`, key)
		return err
	})
	return v, err
}

func deliveries(ctx context.Context, q querier, incident string, v *assure.IncidentView) error {
	notices := map[string]assure.Notice{}
	err := q.each(ctx, func(s scanner) error {
		n, err := scanNotice(s)
		notices[n.ID] = n
		return err
	}, `SELECT `+noticeColumns+` FROM notice WHERE incident = $1`, incident)
	if err != nil {
		return err
	}
	v.Deliveries, err = all(ctx, q, func(s scanner) (assure.Delivery, error) {
		d := assure.Delivery{Incident: v.Incident, Touched: v.Touched}
		var notice string
		var next int64
		err := s.Scan(&d.ID, &notice, &d.Channel, &d.State, &d.Attempt, &next, &d.ProviderID)
		d.Notice, d.Next = notices[notice], moment(next)
		return d, err
	}, `SELECT id, notice, channel, state, attempt, next_at, provider_id FROM delivery WHERE incident = $1 ORDER BY id`, incident)
	return err
}

func scanEvent(s scanner) (assure.Event, error) {
	var e assure.Event
	var at int64
	var stage int
	err := s.Scan(&e.Incident, &at, &e.Kind, &stage, &e.Text, &e.Who)
	e.At, e.Stage = moment(at), assure.Stage(stage)
	return e, err
}

func scanReceipt(s scanner) (assure.Receipt, error) {
	var r assure.Receipt
	var at int64
	err := s.Scan(&r.Delivery, &r.Attempt, &r.Channel, &at, &r.Class, &r.Code, &r.Detail, &r.ProviderID)
	r.At = moment(at)
	return r, err
}

// Totals returns the figures that metrics show. All of them are counted along indexes.
func (db *DB) Totals(ctx context.Context) (assure.Totals, error) {
	t := assure.Totals{Claims: map[assure.Link]map[assure.Verdict]int{}, Incidents: map[assure.Stage]int{}, Deliveries: map[assure.DeliveryState]int{}}
	err := db.view(ctx, "count", func(q querier) error {
		if err := countClaims(ctx, q, &t); err != nil {
			return err
		}
		err := q.each(ctx, func(s scanner) error {
			var stage, n int
			err := s.Scan(&stage, &n)
			t.Incidents[assure.Stage(stage)] = n
			return err
		}, `SELECT stage, count(*) FROM incident WHERE state <> 'resolved' GROUP BY stage`)
		if err != nil {
			return err
		}
		err = q.each(ctx, func(s scanner) error {
			var state assure.DeliveryState
			var n int
			err := s.Scan(&state, &n)
			t.Deliveries[state] = n
			return err
		}, `SELECT state, count(*) FROM delivery GROUP BY state`)
		if err != nil {
			return err
		}
		var oldest, soonest int64
		if err := q.row(ctx, `SELECT coalesce(min(due_at), 0) FROM delivery WHERE state = 'pending'`).Scan(&oldest); err != nil {
			return err
		}
		if err := q.row(ctx, `SELECT coalesce(min(valid_until), 0) FROM certificate WHERE valid_until > 0`).Scan(&soonest); err != nil {
			return err
		}
		t.OldestPending, t.Soonest = moment(oldest), moment(soonest)
		return nil
	})
	return t, err
}

func countClaims(ctx context.Context, q querier, t *assure.Totals) error {
	type kind struct {
		reason   assure.Reason
		severity assure.Severity
	}
	at := map[kind]int{}
	return q.each(ctx, func(s scanner) error {
		var link assure.Link
		var verdict, n int
		var reasons string
		if err := s.Scan(&link, &verdict, &reasons, &n); err != nil {
			return err
		}
		if t.Claims[link] == nil {
			t.Claims[link] = map[assure.Verdict]int{}
		}
		t.Claims[link][verdictOf(standing(verdict))] += n
		for word := range strings.FieldsSeq(reasons) {
			severity, reason, _ := strings.Cut(word, ":")
			k := kind{assure.Reason(reason), assure.Severity(severity)}
			i, ok := at[k]
			if !ok {
				i = len(t.Findings)
				at[k] = i
				t.Findings = append(t.Findings, assure.Count{Reason: k.reason, Severity: k.severity})
			}
			t.Findings[i].N += n
		}
		return nil
	}, `SELECT link, verdict, reasons, count(*) FROM claim WHERE gone = 0 GROUP BY link, verdict, reasons ORDER BY link, verdict, reasons`)
}
