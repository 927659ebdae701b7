package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/notafter/notafter/internal/assure"
)

// Apply writes judgements and changes of incidents. A notice that is new becomes one pending delivery for each of its
// channels, and a job for each; one that exists stays as it is. Judgements of claims that are not declared are dropped.
// A touch that is cleared is kept out of sight until its incident is pruned, so that a resolved incident can still say
// what it touched.
func (t *Tx) Apply(ctx context.Context, judged []assure.Judged, changes assure.Changes) error {
	ids := make([]assure.ClaimID, len(judged))
	for i, j := range judged {
		ids[i] = j.Claim.ID
	}
	if err := t.load(ctx, ids); err != nil {
		return t.db.wrap(err, "read claims")
	}
	for _, j := range judged {
		if r := t.rows[j.Claim.ID]; r != nil {
			if err := r.judge(j, micro(t.db.now())); err != nil {
				return fmt.Errorf("write the judgement of %q: %w", j.Claim.ID, err)
			}
		}
	}
	if err := t.flush(ctx); err != nil {
		return t.db.wrap(err, "write")
	}
	if err := t.change(ctx, changes); err != nil {
		return t.db.wrap(err, "change incidents")
	}
	var names []string
	for _, r := range t.rows {
		if r != nil && r.resummary {
			r.resummary = false
			if r.claim.Certificate != "" {
				names = append(names, r.claim.Certificate)
			}
		}
	}
	return t.db.wrap(refresh(ctx, t.q, names), "write")
}

// judge takes a judgement over into the row.
func (r *row) judge(j assure.Judged, now int64) error {
	if !j.Next.IsZero() {
		if next := micro(j.Next); next != r.next {
			r.next, r.looked = next, true
		}
	}
	for _, f := range j.Findings {
		// A finding of stage none says that nobody looked yet and that this is no wonder; the question stays open.
		if f.Reason == assure.EvidenceStale || f.Reason == assure.EvidenceMissing && f.Stage > assure.StageNone {
			r.asked, r.looked = max(now, r.stale, r.asked)+r.claim.MaxAge().Microseconds(), true
			break
		}
	}
	text, err := encodeFindings(j.Findings)
	if err != nil {
		return err
	}
	was := *r
	r.verdict, r.severity, r.stage = verdictRank(j.Verdict), 1, 0
	if len(j.Findings) > 0 {
		r.severity, r.stage = severityRank(j.Severity()), int(j.Findings[0].Stage)
	}
	r.validUntil, r.renewBy = micro(j.ValidUntil), micro(j.RenewBy)
	r.reasons, r.findings = reasonsOf(j.Findings), text
	same := r.verdict == was.verdict && r.severity == was.severity && r.stage == was.stage && r.validUntil == was.validUntil &&
		r.renewBy == was.renewBy && r.reasons == was.reasons
	if same && r.findings == was.findings {
		return nil
	}
	r.judged = true
	r.resummary = r.resummary || !same || topSummary(was.findings) != topSummary(r.findings)
	return nil
}

// topSummary is what a certificate's row may show of the findings.
func topSummary(findings string) string {
	fs, err := decodeFindings(findings)
	if err != nil || len(fs) == 0 {
		return ""
	}
	return fs[0].Summary
}

func (t *Tx) change(ctx context.Context, c assure.Changes) error {
	for _, i := range c.Incidents {
		if err := putIncident(ctx, t.q, i); err != nil {
			return err
		}
	}
	for _, x := range c.Touches {
		finding, err := json.Marshal(x.Finding)
		if err != nil {
			return fmt.Errorf("encode a finding: %w", err)
		}
		if _, err := t.q.exec(ctx, `INSERT INTO touch (incident, claim, certificate, subject, stage, hurts_at, clear, clear_at, gone, orphan, finding)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, CASE WHEN EXISTS (SELECT 1 FROM claim WHERE num = $9 AND id = $2 AND gone = 0) THEN 0 ELSE 1 END, $10)
			ON CONFLICT (incident, claim) DO UPDATE SET certificate = excluded.certificate, subject = excluded.subject, stage = excluded.stage,
			hurts_at = excluded.hurts_at, clear = excluded.clear, clear_at = excluded.clear_at, gone = 0, orphan = excluded.orphan, finding = excluded.finding`,
			string(x.Incident), string(x.Claim), x.Certificate, x.Subject, int(x.Finding.Stage), micro(x.Finding.HurtsAt), x.Clear, micro(x.ClearAt),
			numberOf(x.Claim), string(finding)); err != nil {
			return fmt.Errorf("write what incident %s touches: %w", x.Incident, err)
		}
	}
	for _, x := range c.Cleared {
		if _, err := t.q.exec(ctx, `UPDATE touch SET gone = 1 WHERE incident = $1 AND claim = $2`, string(x.Incident), string(x.Claim)); err != nil {
			return fmt.Errorf("clear what incident %s touched: %w", x.Incident, err)
		}
	}
	for _, e := range c.Events {
		if err := putEvent(ctx, t.q, e); err != nil {
			return err
		}
	}
	var jobs []deliverArgs
	for _, n := range c.Notices {
		made, err := putNotice(ctx, t.q, n)
		if err != nil {
			return err
		}
		if len(n.Channels) == 0 {
			t.db.log.Warn("a notice has no channel: nobody will be told", "notice", n.ID, "incident", string(n.Incident), "route", n.Route)
		}
		jobs = append(jobs, made...)
	}
	_, err := t.db.enqueue(ctx, t.tx, jobs)
	return err
}

func putIncident(ctx context.Context, q querier, i assure.Incident) error {
	body, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("encode incident %s: %w", i.ID, err)
	}
	if _, err := q.exec(ctx, `INSERT INTO incident (id, cause, state, stage, opened_at, resolved_at, body) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET cause = excluded.cause, state = excluded.state, stage = excluded.stage, opened_at = excluded.opened_at,
		resolved_at = excluded.resolved_at, body = excluded.body`,
		string(i.ID), clean(i.Cause), string(i.State), int(i.Stage), micro(i.OpenedAt), micro(i.ResolvedAt), string(body)); err != nil {
		return fmt.Errorf("write incident %s: %w", i.ID, err)
	}
	return nil
}

func putEvent(ctx context.Context, q querier, e assure.Event) error {
	if _, err := q.exec(ctx, `INSERT INTO event (incident, at, kind, stage, body, who) VALUES ($1, $2, $3, $4, $5, $6)`,
		string(e.Incident), micro(e.At), e.Kind, int(e.Stage), clean(e.Text), clean(e.Who)); err != nil {
		return fmt.Errorf("write an event of incident %s: %w", e.Incident, err)
	}
	return nil
}

// putNotice inserts a notice with its deliveries and returns those that can be made at once; none when the notice exists.
func putNotice(ctx context.Context, q querier, n assure.Notice) ([]deliverArgs, error) {
	channels, err := json.Marshal(n.Channels)
	if err != nil {
		return nil, fmt.Errorf("encode notice %s: %w", n.ID, err)
	}
	res, err := q.exec(ctx, `INSERT INTO notice (id, incident, kind, stage, severity, route, channels, dedup_key, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING`,
		n.ID, string(n.Incident), string(n.Kind), int(n.Stage), string(n.Severity), n.Route, string(channels), n.DedupKey, micro(n.At))
	if err != nil {
		return nil, fmt.Errorf("write notice %s: %w", n.ID, err)
	}
	if fresh, err := res.RowsAffected(); err != nil || fresh == 0 {
		return nil, err
	}
	due := n.At
	if n.DueAt.After(due) {
		due = n.DueAt
	}
	var made []deliverArgs
	for _, channel := range n.Channels {
		err := q.each(ctx, func(s scanner) error {
			a := deliverArgs{Channel: channel, Turn: turn(micro(n.At))}
			err := s.Scan(&a.Delivery)
			if due.Equal(n.At) { // others are found by Sweep in their time
				made = append(made, a)
			}
			return err
		}, `INSERT INTO delivery (notice, incident, channel, state, attempt, due_at, next_at) VALUES ($1, $2, $3, 'pending', 0, $4, $4) ON CONFLICT (notice, channel) DO NOTHING RETURNING id`,
			n.ID, string(n.Incident), channel, micro(due))
		if err != nil {
			return nil, fmt.Errorf("write a delivery of notice %s: %w", n.ID, err)
		}
	}
	return made, nil
}
