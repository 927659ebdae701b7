package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// summary is a certificate's row while it is made anew.
type summary struct {
	owner               string
	endpoints           int
	verdict, severity   int
	validUntil, renewBy int64
	links               map[assure.Link]int
	findings            bool
	reason, finding     string
}

// refresh makes the rows of certificates anew from their claims. On PostgreSQL the rows are locked first, so that of two
// processes that judge claims of one certificate the second sees what the first wrote.
func refresh(ctx context.Context, q querier, names []string) error {
	slices.Sort(names)
	names = slices.Compact(names)
	err := chunks(names, func(part []string) error {
		if q.db.d.forUpdate != "" {
			if _, err := all(ctx, q, func(s scanner) (n string, err error) { return n, s.Scan(&n) },
				`SELECT name FROM certificate WHERE name IN `+marks(1, len(part))+` ORDER BY name`+q.db.d.forUpdate, anys(part)...); err != nil {
				return err
			}
		}
		sums, err := summarise(ctx, q, part)
		if err != nil {
			return err
		}
		for _, name := range part {
			if err := putSummary(ctx, q, name, sums[name]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("summarise certificates: %w", err)
	}
	return nil
}

func summarise(ctx context.Context, q querier, names []string) (map[string]*summary, error) {
	sums := map[string]*summary{}
	err := q.each(ctx, func(s scanner) error {
		var name, owner string
		var link assure.Link
		var verdict, severity, n, findings int
		var valid, renew int64
		if err := s.Scan(&name, &link, &verdict, &severity, &n, &valid, &renew, &owner, &findings); err != nil {
			return err
		}
		c := sums[name]
		if c == nil {
			c = &summary{links: map[assure.Link]int{}, severity: 1, validUntil: never, renewBy: never}
			sums[name] = c
		}
		c.links[link] = verdict
		c.owner = max(c.owner, owner)
		c.verdict, c.severity = max(c.verdict, verdict), max(c.severity, severity)
		c.validUntil, c.renewBy = min(c.validUntil, valid), min(c.renewBy, renew)
		c.findings = c.findings || findings > 0
		if link == assure.Serving {
			c.endpoints = n
		}
		return nil
	}, `SELECT certificate, link, max(CASE verdict WHEN 0 THEN 2 ELSE verdict END), max(severity), count(*),
		min(CASE WHEN valid_until > 0 THEN valid_until ELSE 2305843009213693952 END), min(CASE WHEN renew_by > 0 THEN renew_by ELSE 2305843009213693952 END),
		max(owner), max(CASE WHEN findings <> '' THEN 1 ELSE 0 END)
		FROM claim WHERE gone = 0 AND certificate IN `+marks(1, len(names))+` GROUP BY certificate, link`, anys(names)...)
	if err != nil {
		return nil, err
	}
	for name, c := range sums {
		if c.validUntil == never {
			c.validUntil = 0
		}
		if c.renewBy == never {
			c.renewBy = 0
		}
		if !c.findings {
			continue
		}
		var text string
		if err := q.row(ctx, `SELECT findings FROM claim WHERE certificate = $1 AND gone = 0 AND findings <> ''
			ORDER BY stage DESC, severity DESC, verdict DESC, link, subject LIMIT 1`, name).Scan(&text); err != nil {
			return nil, err
		}
		fs, err := decodeFindings(text)
		if err != nil {
			return nil, err
		}
		if len(fs) > 0 {
			c.reason, c.finding = string(fs[0].Reason), fs[0].Summary
		}
	}
	return sums, nil
}

func putSummary(ctx context.Context, q querier, name string, c *summary) error {
	if c == nil {
		_, err := q.exec(ctx, `DELETE FROM certificate WHERE name = $1`, name)
		return err
	}
	args := []any{name, strings.ToLower(name), c.owner, c.endpoints, c.verdict, c.severity, c.reason, clean(c.finding), c.validUntil, c.renewBy}
	for _, l := range assure.Links() {
		args = append(args, c.links[l])
	}
	_, err := q.exec(ctx, `INSERT INTO certificate (name, name_lower, owner, endpoints, verdict, severity, reason, summary, valid_until, renew_by,
		v_inventory, v_permission, v_renewal, v_issuance, v_serving, v_people, v_monitor)
		VALUES `+marks(1, 17)+` ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, endpoints = excluded.endpoints, verdict = excluded.verdict,
		severity = excluded.severity, reason = excluded.reason, summary = excluded.summary, valid_until = excluded.valid_until, renew_by = excluded.renew_by,
		v_inventory = excluded.v_inventory, v_permission = excluded.v_permission, v_renewal = excluded.v_renewal, v_issuance = excluded.v_issuance,
		v_serving = excluded.v_serving, v_people = excluded.v_people, v_monitor = excluded.v_monitor`, args...)
	return err
}
