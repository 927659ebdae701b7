package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// rowsShown is how many certificates are on one page of the overview.
const rowsShown = 50

type overviewPage struct {
	page
	Sentence   string
	Soonest    time.Time
	Rows       []rowView
	Counts     assure.Rows // without its rows
	Query      assure.RowQuery
	Tabs       []tab
	Links      []assure.Link
	Incident   []assure.Incident
	More       int // open incidents beyond those shown
	Watch      []watchItem
	Pager      pager
	Filtered   bool
	Refusing   string // how many certificates clients refuse now, in words; empty when none
	Ticks      []tick
	Severities []string
}

type tab struct {
	Label, URL, Class string
	N                 int
	Current           bool
}

type rowView struct {
	assure.Row
	Verdict assure.Verdict
	Cells   []linkCell
	Bar     bar
}

// linkCell is one link of a row; an empty verdict means that nothing is claimed about it.
type linkCell struct {
	Link    assure.Link
	Verdict assure.Verdict
}

// certificateLinks are the links that a single certificate has; people and monitor belong to the watch as a whole.
func certificateLinks() []assure.Link {
	return slices.DeleteFunc(assure.Links(), func(l assure.Link) bool { return l == assure.People || l == assure.Monitor })
}

func (s *Server) overview(v *visit) error {
	ctx := v.r.Context()
	q, n := rowQuery(v.r), pageNumber(v.r)
	q.Limit, q.Offset = rowsShown, (n-1)*rowsShown
	rows, err := s.opts.Reader.Rows(ctx, q)
	if err != nil {
		return fmt.Errorf("read the overview: %w", err)
	}
	const few = 6
	open, total, err := s.opts.Reader.Incidents(ctx, assure.IncidentQuery{State: assure.Open, Limit: few})
	if err != nil {
		return fmt.Errorf("read open incidents: %w", err)
	}
	claims, err := s.opts.Reader.Claims(ctx)
	if err != nil {
		return fmt.Errorf("read the claims of the watch: %w", err)
	}
	totals, err := s.opts.Reader.Totals(ctx)
	if err != nil {
		return fmt.Errorf("read totals: %w", err)
	}
	p := overviewPage{
		page: v.page("Certificates", "overview"), Query: q, Counts: rows, Links: claimedLinks(totals), Incident: open,
		More: total - len(open), Watch: watchItems(claims), Soonest: totals.Soonest, Ticks: ticks(), Severities: []string{string(assure.Page), string(assure.Ticket), string(assure.Info)},
		Pager: newPager(v.r, n, rowsShown, len(rows.Rows), rows.Total, false),
	}
	slices.SortStableFunc(p.Incident, func(a, b assure.Incident) int { return int(b.Stage) - int(a.Stage) })
	p.Filtered = q.Search != "" || q.Verdict != "" || q.Link != "" || q.Severity != ""
	p.Sentence = sentence(v.mood, rows)
	if v.mood == outage {
		if p.Refusing, err = s.refusing(ctx, v.now); err != nil {
			return err
		}
	}
	p.Tabs = tabs(v.r, q, rows)
	due, err := s.dueTimes(ctx, rows.Rows)
	if err != nil {
		return err
	}
	for _, r := range rows.Rows {
		p.Rows = append(p.Rows, newRowView(r, p.Links, due[r.Certificate], v.now))
	}
	p.Counts.Rows = nil
	return s.render(v.w, v.r, http.StatusOK, "overview", p)
}

// claimedLinks are the links of certificates that something is claimed about anywhere in the installation. A column in
// which nothing can ever stand tells nobody anything.
func claimedLinks(t assure.Totals) []assure.Link {
	return slices.DeleteFunc(certificateLinks(), func(l assure.Link) bool {
		n := 0
		for _, of := range t.Claims[l] {
			n += of
		}
		return n == 0
	})
}

// refusing says how many certificates have clients that refuse them at this moment. Every refusal is a page, so those of
// that severity are looked through, as many as one reading gives.
func (s *Server) refusing(ctx context.Context, now time.Time) (string, error) {
	const most = 500
	rows, err := s.opts.Reader.Rows(ctx, assure.RowQuery{Verdict: assure.Broken, Severity: assure.Page, Order: assure.ByRunway, Limit: most})
	if err != nil {
		return "", fmt.Errorf("count the refused certificates: %w", err)
	}
	n := 0
	for _, r := range rows.Rows {
		if !r.ValidUntil.IsZero() && !r.ValidUntil.After(now) {
			n++
		}
	}
	switch {
	case n == 0:
		return "", nil
	case n < len(rows.Rows) || rows.Total <= len(rows.Rows):
		return plural(n, "certificate") + " refused now.", nil
	}
	return "At least " + plural(n, "certificate") + " refused now.", nil
}

// dueTimes are when the next renewals of those that notafter renews itself are due.
func (s *Server) dueTimes(ctx context.Context, rows []assure.Row) (map[string]time.Time, error) {
	if s.opts.Renewals == nil || len(rows) == 0 {
		return nil, nil
	}
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Certificate
	}
	states, err := s.opts.Renewals.Renewals(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("read when renewals are due: %w", err)
	}
	due := make(map[string]time.Time, len(states))
	for _, r := range states {
		due[r.Certificate] = r.Due
	}
	return due, nil
}

func newRowView(r assure.Row, links []assure.Link, due, now time.Time) rowView {
	w := rowView{Row: r, Verdict: worst(r.Links), Bar: newBar(now, due, r.RenewBy, r.ValidUntil)}
	for _, l := range links {
		w.Cells = append(w.Cells, linkCell{l, r.Links[l]})
	}
	return w
}

func worst(links map[assure.Link]assure.Verdict) assure.Verdict {
	v := assure.Verdict("")
	for _, w := range links {
		if v == "" || w.Worse(v) {
			v = w
		}
	}
	return v
}

// rowQuery reads the filters of a request. What is not one of the known values filters nothing.
func rowQuery(r *http.Request) assure.RowQuery {
	f := r.URL.Query()
	q := assure.RowQuery{Search: strings.TrimSpace(f.Get("q")), Order: assure.ByRunway}
	if rs := []rune(q.Search); len(rs) > 200 {
		q.Search = string(rs[:200])
	}
	if v := assure.Verdict(f.Get("verdict")); slices.Contains([]assure.Verdict{assure.Upheld, assure.Broken, assure.Unknown}, v) {
		q.Verdict = v
	}
	if l := assure.Link(f.Get("link")); slices.Contains(certificateLinks(), l) {
		q.Link = l
	}
	if s := assure.Severity(f.Get("severity")); slices.Contains([]assure.Severity{assure.Info, assure.Ticket, assure.Page}, s) {
		q.Severity = s
	}
	if assure.Order(f.Get("order")) == assure.ByName {
		q.Order = assure.ByName
	}
	return q
}

func tabs(r *http.Request, q assure.RowQuery, rows assure.Rows) []tab {
	to := func(v assure.Verdict) string {
		f := url.Values{}
		for _, k := range []string{"q", "link", "severity", "order"} {
			if x := r.URL.Query().Get(k); x != "" {
				f.Set(k, x)
			}
		}
		if v != "" {
			f.Set("verdict", string(v))
		}
		if len(f) == 0 {
			return "/"
		}
		return "/?" + f.Encode()
	}
	all := rows.Upheld + rows.Broken + rows.Unknown
	return []tab{
		{"All", to(""), "all", all, q.Verdict == ""},
		{"Broken", to(assure.Broken), "broken", rows.Broken, q.Verdict == assure.Broken},
		{"Unknown", to(assure.Unknown), "unknown", rows.Unknown, q.Verdict == assure.Unknown},
		{"Upheld", to(assure.Upheld), "upheld", rows.Upheld, q.Verdict == assure.Upheld},
	}
}

// sentence says how things stand, as one would across a table.
func sentence(m mood, rows assure.Rows) string {
	switch {
	case m == outage:
		return "Clients are being refused."
	case m == alarm:
		return "Somebody must act now."
	case m == work && rows.Broken > 0:
		return "There is work to do, and time to do it."
	case m == work:
		return "No client is refused, and there is work to do."
	case m == uncertain || rows.Unknown > 0:
		return "Not everything can be seen."
	case rows.Upheld+rows.Broken == 0:
		return "Nothing is watched yet."
	case rows.Broken > 0:
		return "Something is not as it should be."
	default:
		return "Every certificate holds."
	}
}

// watchItem is one part of the watch in the strip above the overview.
type watchItem struct {
	Label   string
	Verdict assure.Verdict
	Text    string
}

// watchItems sums up the monitor's parts and the channels.
func watchItems(claims []assure.ClaimView) []watchItem {
	var out []watchItem
	word := func(v assure.Verdict, good, bad string) string {
		switch v {
		case assure.Upheld:
			return good
		case assure.Broken:
			return bad
		case assure.Unknown:
			return "not known"
		}
		return "not judged yet"
	}
	channels := map[assure.Verdict]int{}
	for _, c := range claims {
		subject := c.Claim.Subject
		switch {
		case c.Claim.Link == assure.People:
			channels[c.Verdict]++
		case subject == assure.SubjectPatrol:
			out = append(out, watchItem{"Patrol", c.Verdict, word(c.Verdict, "on time", "in trouble")})
		case subject == assure.SubjectControl:
			out = append(out, watchItem{"Control", c.Verdict, word(c.Verdict, "seen", "not seen")})
		case subject == assure.SubjectHeartbeat:
			out = append(out, watchItem{"Heartbeat", c.Verdict, word(c.Verdict, "heard", "not heard")})
		default:
			out = append(out, watchItem{subject, c.Verdict, word(c.Verdict, "well", "broken")})
		}
	}
	if !hasHeartbeat(claims) {
		out = append(out, watchItem{Label: "Heartbeat", Text: "not declared"})
	}
	all := 0
	for _, n := range channels {
		all += n
	}
	if all > 0 {
		w := watchItem{Label: "Channels", Verdict: assure.Upheld, Text: fmt.Sprintf("%d of %d well", channels[assure.Upheld], all)}
		if channels[assure.Unknown]+channels[""] > 0 {
			w.Verdict = assure.Unknown
		}
		if channels[assure.Broken] > 0 {
			w.Verdict = assure.Broken
		}
		out = append(out, w)
	} else {
		out = append(out, watchItem{Label: "Channels", Text: "none declared: nobody will be told"})
	}
	return out
}

// hasHeartbeat reports whether anybody outside is to hear that notafter is alive.
func hasHeartbeat(claims []assure.ClaimView) bool {
	return slices.ContainsFunc(claims, func(c assure.ClaimView) bool {
		return c.Claim.Link == assure.Monitor && c.Claim.Subject == assure.SubjectHeartbeat
	})
}
