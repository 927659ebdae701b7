package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

const summaryColumns = `name, owner, endpoints, severity, reason, summary, valid_until, renew_by,
	v_inventory, v_permission, v_renewal, v_issuance, v_serving, v_people, v_monitor`

func scanRow(s scanner) (assure.Row, error) {
	links := assure.Links()
	ranks := make([]int, len(links))
	var r assure.Row
	var severity int
	var valid, renew int64
	dest := []any{&r.Certificate, &r.Owner, &r.Endpoints, &severity, &r.Reason, &r.Summary, &valid, &renew}
	for i := range ranks {
		dest = append(dest, &ranks[i])
	}
	if err := s.Scan(dest...); err != nil {
		return r, err
	}
	r.Severity, r.ValidUntil, r.RenewBy = severityOf(severity), moment(valid), moment(renew)
	r.Links = map[assure.Link]assure.Verdict{}
	for i, l := range links {
		if v := verdictOf(ranks[i]); v != "" {
			r.Links[l] = v
		}
	}
	return r, nil
}

// Rows returns a page of the overview. A claim that was not judged yet counts as unknown.
func (db *DB) Rows(ctx context.Context, query assure.RowQuery) (assure.Rows, error) {
	var out assure.Rows
	err := db.view(ctx, "read the overview", func(q querier) error {
		err := q.each(ctx, func(s scanner) error {
			var verdict, n int
			err := s.Scan(&verdict, &n)
			switch verdictOf(verdict) {
			case assure.Upheld:
				out.Upheld += n
			case assure.Broken:
				out.Broken += n
			default:
				out.Unknown += n
			}
			return err
		}, `SELECT verdict, count(*) FROM certificate GROUP BY verdict`)
		if err != nil {
			return err
		}
		where, args := conditions(query, db.d.find)
		out.Total = out.Upheld + out.Broken + out.Unknown
		if where != "" {
			if err := q.row(ctx, `SELECT count(*) FROM certificate`+where, args...).Scan(&out.Total); err != nil {
				return err
			}
		}
		limit, offset := bounds(query.Limit, query.Offset, 50, 500)
		if query.Order == assure.ByName {
			n := len(args)
			out.Rows, err = all(ctx, q, scanRow, `SELECT `+summaryColumns+` FROM certificate`+where+fmt.Sprintf(" ORDER BY name LIMIT $%d OFFSET $%d", n+1, n+2), append(args, limit, offset)...)
		} else {
			out.Rows, err = byRunway(ctx, q, where, args, limit, offset)
		}
		if err != nil {
			return err
		}
		return live(ctx, q, out.Rows)
	})
	return out, err
}

// byRunway reads a page with those whose clients are refused by now first, then those of which it is not known when they
// will be, then the rest, each by the end of the runway. It reads the three one after another, each in the order of the
// index: sorting by a term that depends on the time would read every certificate for each page.
func byRunway(ctx context.Context, q querier, where string, args []any, limit, offset int) ([]assure.Row, error) {
	var out []assure.Row
	now, n := micro(q.db.now()), len(args)
	args = append(slices.Clone(args), now)
	glue := " WHERE "
	if where != "" {
		glue = where + " AND "
	}
	at := fmt.Sprintf("$%d", n+1)
	for _, part := range []string{
		"valid_until > 0 AND valid_until <= " + at,
		"valid_until = 0 AND valid_until <= " + at, // the second term is always true and names the argument
		"valid_until > " + at,
	} {
		if offset > 0 {
			var skip int
			if err := q.row(ctx, `SELECT count(*) FROM certificate`+glue+part, args...).Scan(&skip); err != nil {
				return nil, err
			}
			if skip <= offset {
				offset -= skip
				continue
			}
		}
		rows, err := all(ctx, q, scanRow, `SELECT `+summaryColumns+` FROM certificate`+glue+part+
			fmt.Sprintf(" ORDER BY valid_until, name LIMIT $%d OFFSET $%d", n+2, n+3), append(slices.Clone(args), limit-len(out), offset)...)
		if err != nil {
			return nil, err
		}
		if out, offset = append(out, rows...), 0; len(out) == limit {
			break
		}
	}
	return out, nil
}

// conditions gives the WHERE of an overview. find is the database's function for a place in a text.
func conditions(query assure.RowQuery, find string) (string, []any) {
	var parts []string
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	if search := strings.TrimSpace(clean(query.Search)); search != "" {
		text := arg(strings.ToLower(search))
		parts = append(parts, `(`+find+`(name_lower, `+text+`) > 0 OR name IN (SELECT certificate FROM claim WHERE link = 'serving' AND gone = 0 AND `+find+`(subject, `+text+`) > 0))`)
	}
	if query.Verdict != "" {
		column := "verdict"
		if slices.Contains(assure.Links(), query.Link) {
			column = "v_" + string(query.Link)
		}
		parts = append(parts, column+" = "+arg(verdictRank(query.Verdict)))
	}
	if query.Severity != "" {
		parts = append(parts, "severity = "+arg(severityRank(query.Severity)))
	}
	if len(parts) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(parts, " AND "), args
}

// live adds what changes with every look and is therefore not kept in the summary: when the oldest evidence was seen,
// and how many open incidents touch the certificate.
func live(ctx context.Context, q querier, rows []assure.Row) error {
	at := map[string]int{}
	names := make([]string, len(rows))
	for i, r := range rows {
		at[r.Certificate], names[i] = i, r.Certificate
	}
	return chunks(names, func(part []string) error {
		err := q.each(ctx, func(s scanner) error {
			var name string
			var seen int64
			err := s.Scan(&name, &seen)
			rows[at[name]].SeenAt = moment(seen)
			return err
		}, `SELECT certificate, min(seen_at) FROM claim WHERE gone = 0 AND seen_at > 0 AND certificate IN `+marks(1, len(part))+` GROUP BY certificate`, anys(part)...)
		if err != nil {
			return err
		}
		return q.each(ctx, func(s scanner) error {
			var name string
			var n int
			err := s.Scan(&name, &n)
			rows[at[name]].Incidents = n
			return err
		}, `SELECT t.certificate, count(DISTINCT t.incident) FROM touch t JOIN incident i ON i.id = t.incident AND i.state <> 'resolved'
			WHERE t.gone = 0 AND t.certificate IN `+marks(1, len(part))+` GROUP BY t.certificate`, anys(part)...)
	})
}

// Certificate returns everything known of one declared certificate, with a page of its claims; [assure.ErrNotFound] when
// there is none of that name.
func (db *DB) Certificate(ctx context.Context, name string, limit, offset int) (assure.CertificateView, error) {
	var v assure.CertificateView
	name = clean(name)
	limit, offset = bounds(limit, offset, 50, 500)
	err := db.view(ctx, fmt.Sprintf("read certificate %.100q", name), func(q querier) error {
		row, err := scanRow(q.row(ctx, `SELECT `+summaryColumns+` FROM certificate WHERE name = $1`, name))
		if err != nil {
			return err
		}
		rows := []assure.Row{row}
		if err := live(ctx, q, rows); err != nil {
			return err
		}
		v.Row = rows[0]
		if err := q.row(ctx, `SELECT count(*) FROM claim WHERE certificate = $1 AND gone = 0`, name).Scan(&v.Total); err != nil {
			return err
		}
		v.Claims, err = claimViews(ctx, q, `WHERE certificate = $1 AND gone = 0 ORDER BY `+linkOrder("link")+`, subject, num LIMIT $2 OFFSET $3`, name, limit, offset)
		if err != nil {
			return err
		}
		v.Open, err = all(ctx, q, scanIncident, `SELECT body FROM incident WHERE state <> 'resolved' AND id IN (SELECT incident FROM touch WHERE certificate = $1 AND gone = 0) ORDER BY stage DESC, opened_at, id`, name)
		return err
	})
	return v, err
}

// Claims returns the claims that belong to no certificate: monitor and people.
func (db *DB) Claims(ctx context.Context) ([]assure.ClaimView, error) {
	var vs []assure.ClaimView
	err := db.view(ctx, "read claims", func(q querier) (err error) {
		vs, err = claimViews(ctx, q, `WHERE certificate = '' AND gone = 0 ORDER BY `+linkOrder("link")+`, subject, num`)
		return err
	})
	return vs, err
}

func claimViews(ctx context.Context, q querier, where string, args ...any) ([]assure.ClaimView, error) {
	type pair struct {
		view assure.ClaimView
		row  row
	}
	var runs []int64
	list, err := all(ctx, q, func(s scanner) (pair, error) {
		var p pair
		var c claimDest
		var findings string
		r := &p.row
		err := s.Scan(c.dest(&r.next, &r.run, &r.alternate, &r.returned, &r.first, &r.seen, &r.looks, &r.observer, &r.verdict, &r.validUntil, &r.renewBy, &findings)...)
		if err != nil {
			return p, err
		}
		r.claim = c.claim()
		p.view = assure.ClaimView{Claim: r.claim, Verdict: verdictOf(r.verdict), ValidUntil: moment(r.validUntil), RenewBy: moment(r.renewBy), NextLook: moment(r.next)}
		p.view.Findings, err = decodeFindings(findings)
		for _, id := range []int64{r.run, r.alternate} {
			if id != 0 {
				runs = append(runs, id)
			}
		}
		return p, err
	}, `SELECT `+claimColumns+`, next_look, run, alternate, returned, run_first, seen_at, looks, observer, verdict, valid_until, renew_by, findings FROM claim `+where, args...)
	if err != nil {
		return nil, err
	}
	facts, err := loadFacts(ctx, q, runs, map[int64]assure.Cert{})
	if err != nil {
		return nil, err
	}
	out := make([]assure.ClaimView, len(list))
	for i, p := range list {
		out[i] = p.view
		out[i].Evidence = p.row.evidence(func(run int64) assure.Fact { return facts[run] })
	}
	return out, nil
}

// History returns the runs of a certificate's serving claims, those that began last first; also of endpoints that are no
// longer declared. Runs of an endpoint that goes back and forth overlap in time.
func (db *DB) History(ctx context.Context, certificate string, limit, offset int) ([]assure.Run, error) {
	limit, offset = bounds(limit, offset, 50, 500)
	var out []assure.Run
	err := db.view(ctx, fmt.Sprintf("read the history of certificate %.100q", certificate), func(q querier) error {
		var ids []int64
		err := q.each(ctx, func(s scanner) error {
			var r assure.Run
			var id, first, last int64
			if err := s.Scan(&id, &r.Claim, &r.Subject, &first, &last, &r.Count); err != nil {
				return err
			}
			r.FirstSeen, r.LastSeen = moment(first), moment(last)
			out, ids = append(out, r), append(ids, id)
			return nil
		}, `SELECT r.id, c.id, c.subject, CASE WHEN r.newest = 1 THEN c.run_first ELSE r.first_seen END AS began,
			CASE WHEN r.newest = 1 THEN c.seen_at ELSE r.last_seen END, CASE WHEN r.newest = 1 THEN c.looks ELSE r.looks END
			FROM claim c JOIN run r ON r.claim = c.num WHERE c.certificate = $1 AND c.link = 'serving' ORDER BY began DESC, r.id DESC LIMIT $2 OFFSET $3`,
			clean(certificate), limit, offset)
		if err != nil {
			return err
		}
		facts, err := loadFacts(ctx, q, ids, map[int64]assure.Cert{})
		if err != nil {
			return err
		}
		for i, id := range ids {
			out[i].Fact = facts[id]
		}
		return nil
	})
	return out, err
}
