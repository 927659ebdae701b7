package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

const (
	// keepAnnounced is how long an announcement waits for the end of its apply.
	keepAnnounced = 24 * time.Hour
	// keepApplied is how long a plan is kept of which everything was seen: what it took away may be noticed late.
	keepApplied = 7 * 24 * time.Hour
	// mostPlans bounds how many plans are kept; the oldest make way.
	mostPlans = 500
)

func scanPlanned(s scanner) (p assure.Planned, err error) {
	var body string
	if err := s.Scan(&body); err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		return p, fmt.Errorf("decode a plan: %w", err)
	}
	return p, nil
}

// applied reads the plans whose apply has ended, the oldest first.
func applied(ctx context.Context, q querier, suffix string) ([]assure.Planned, error) {
	return all(ctx, q, scanPlanned, `SELECT body FROM applied_plan WHERE ended > 0 ORDER BY ended, id`+suffix)
}

func putPlanned(ctx context.Context, q querier, p assure.Planned) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	var ended, open int64
	if !p.Ended.IsZero() {
		ended = micro(p.Ended)
	}
	if p.Open() {
		open = 1
	}
	_, err = q.exec(ctx, `INSERT INTO applied_plan (id, announced, ended, unseen, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, unseen = excluded.unseen, body = excluded.body`, p.ID, micro(p.Announced), ended, open, string(body))
	return err
}

// AnnouncePlan keeps what a plan that is about to be applied means for what renewal rests on, and returns what of it is
// about identities that something is expected of. Nothing is kept when that is nothing. It counts for nothing before
// [DB.EndPlan].
func (db *DB) AnnouncePlan(ctx context.Context, p assure.Planned) (assure.Planned, error) {
	p.Announced, p.Ended, p.Counts, p.By = cut(p.Announced), time.Time{}, time.Time{}, clean(p.By)
	grants := make([]assure.PlannedGrant, len(p.Grants))
	for i, g := range p.Grants {
		g.Address, g.Principal, g.Scope, g.ID = clean(g.Address), clean(g.Principal), clean(g.Scope), clean(g.ID)
		g.Also, g.Rights = cleanAll(g.Also), cleanAll(g.Rights)
		grants[i] = g
	}
	p.Grants = grants
	out := p
	err := db.transact(ctx, fmt.Sprintf("announce the plan %.12q", p.Plan), func(q querier) error {
		list, err := all(ctx, q, scanExpected, `SELECT body FROM expected_grant ORDER BY renewer, scope, action`)
		if err != nil {
			return err
		}
		out = assure.Announce(p, list)
		if len(out.Grants) == 0 {
			return nil
		}
		if err := putPlanned(ctx, q, out); err != nil {
			return err
		}
		_, err = q.exec(ctx, `DELETE FROM applied_plan WHERE id IN (SELECT id FROM applied_plan ORDER BY unseen, announced LIMIT
			(SELECT CASE WHEN COUNT(*) > $1 THEN COUNT(*) - $1 ELSE 0 END FROM applied_plan))`, mostPlans)
		return err
	})
	return out, err
}

// EndPlan says that the apply of an announced plan ended at a time with a status, and that answers count from another
// time on. It is then held against what the cloud names, and takes the place of earlier plans for the same resources. It is
// noted in the audit log. Ending it again changes nothing. [assure.ErrNotFound] says that it was never announced, or that
// nothing of it mattered, or that it waited for too long.
func (db *DB) EndPlan(ctx context.Context, id, who, remote string, exit int, at, counts time.Time) error {
	at, counts = cut(at), cut(counts)
	return db.transact(ctx, "end a plan", func(q querier) error {
		found, err := all(ctx, q, scanPlanned, `SELECT body FROM applied_plan WHERE id = $1`+db.d.forUpdate, clean(id))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return assure.ErrNotFound
		}
		p := found[0]
		if !p.Ended.IsZero() {
			return nil
		}
		earlier, err := applied(ctx, q, db.d.forUpdate)
		if err != nil {
			return err
		}
		p.Ended, p.Exit, p.Counts = at, exit, counts
		for _, c := range append(assure.Supersede(earlier, p), p) {
			if err := putPlanned(ctx, q, c); err != nil {
				return err
			}
		}
		return putAudit(ctx, q, assure.Audit{
			At: at, Who: who, Remote: remote, Action: "apply plan", Object: p.Short(), Detail: fmt.Sprintf("status %d, %d grants that renewal may rest on", exit, len(p.Grants)),
		})
	})
}

// Planned returns the plans that are kept, those that have not ended included, the oldest first.
func (db *DB) Planned(ctx context.Context) ([]assure.Planned, error) {
	out, err := all(ctx, db.reader(), scanPlanned, `SELECT body FROM applied_plan ORDER BY announced, id`)
	return out, db.wrap(err, "read plans")
}

// auditLearned notes what is relied on from now on because of a plan.
func auditLearned(ctx context.Context, q querier, learned []assure.Expected, at time.Time) error {
	told := map[string]bool{}
	for _, e := range learned {
		detail := fmt.Sprintf("%.200s: %.1000s", e.Reason, strings.Join(e.Grants, ", "))
		k := e.Renewer + "\x00" + e.By + "\x00" + detail
		if told[k] {
			continue
		}
		told[k] = true
		if err := putAudit(ctx, q, assure.Audit{At: at, Who: e.By, Action: "rely on grants", Object: e.Renewer, Detail: clean(detail)}); err != nil {
			return err
		}
	}
	return nil
}

// settleAccepted makes what plans were to make for expectations that somebody accepted nothing to wait for any more.
func settleAccepted(ctx context.Context, q querier, accepted []assure.Expected, suffix string) error {
	if len(accepted) == 0 {
		return nil
	}
	plans, err := applied(ctx, q, suffix)
	if err != nil {
		return err
	}
	for _, p := range plans {
		differs := false
		for i := range p.Grants {
			g := &p.Grants[i]
			for _, e := range accepted {
				if g.Does == assure.PlanMakes && !g.Settled && g.About(e) {
					g.Settled, differs = true, true
				}
			}
		}
		if !differs {
			continue
		}
		if err := putPlanned(ctx, q, p); err != nil {
			return err
		}
	}
	return nil
}

func prunePlans(ctx context.Context, q querier, now time.Time) (int, error) {
	return count(q.exec(ctx, `DELETE FROM applied_plan WHERE ended = 0 AND announced < $1 OR ended > 0 AND ended < $2 AND unseen = 0 OR ended > 0 AND ended < $3`,
		micro(now.Add(-keepAnnounced)), micro(now.Add(-keepApplied)), micro(now.Add(-keepFor))))
}

func cleanAll(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, clean(s))
	}
	return out
}
