package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

const (
	incidentsShown = 50
	touchesShown   = 100
)

type incidentsPage struct {
	page
	State     string
	Incidents []assure.Incident
	Pager     pager
}

func (s *Server) incidents(v *visit) error {
	n := pageNumber(v.r)
	q := assure.IncidentQuery{State: assure.Open, Limit: incidentsShown, Offset: (n - 1) * incidentsShown}
	p := incidentsPage{page: v.page("Incidents", "incidents"), State: "open"}
	switch v.r.FormValue("state") {
	case "all":
		q.State, p.State = "", "all"
	case "resolved":
		q.State, p.State = assure.Resolved, "resolved"
	}
	list, total, err := s.opts.Reader.Incidents(v.r.Context(), q)
	if err != nil {
		return fmt.Errorf("read incidents: %w", err)
	}
	p.Incidents, p.Pager = list, newPager(v.r, n, incidentsShown, len(list), total, false)
	return s.render(v.w, v.r, http.StatusOK, "incidents", p)
}

type incidentPage struct {
	page
	assure.IncidentView
	I          assure.Incident
	CanAck     bool
	AskName    bool
	Deliveries []deliveryView
	Undeclared int // touches beyond those shown
	Stakes     []stakeView
	MoreStakes int
	Trouble    *assure.Trouble // what was refused, where it is about a renewal
	Long       bool            // the summary is too long for a heading of the usual size
}

// stakeView is a certificate that is at stake, and from when.
type stakeView struct {
	Certificate string
	From        time.Time // its clients are refused, unless it is renewed
	Due         time.Time // of its next renewal
}

const (
	stakesShown = 12
	longSummary = 140
)

// stakes are the certificates whose renewal an incident endangers, the soonest refused first, and what was refused.
func (s *Server) stakes(ctx context.Context, p *incidentPage) error {
	switch p.I.Link {
	case assure.Permission, assure.Renewal, assure.Issuance:
	default:
		return nil
	}
	at := map[string]*stakeView{}
	var names []string
	for _, t := range p.Touches {
		if t.Certificate == "" {
			continue
		}
		v := at[t.Certificate]
		if v == nil {
			v = &stakeView{Certificate: t.Certificate}
			at[t.Certificate] = v
			names = append(names, t.Certificate)
		}
		if h := t.Finding.HurtsAt; !h.IsZero() && (v.From.IsZero() || h.Before(v.From)) {
			v.From = h
		}
	}
	if s.opts.Renewals != nil && len(names) > 0 {
		states, err := s.opts.Renewals.Renewals(ctx, names)
		if err != nil {
			return fmt.Errorf("read when renewals are due: %w", err)
		}
		for _, r := range states {
			if v := at[r.Certificate]; v != nil {
				v.Due = r.Due
			}
			for _, t := range []*assure.Trouble{r.UnprovenBy, r.LastTrouble} {
				if t != nil && t.Reason == p.I.Reason && p.Trouble == nil {
					p.Trouble = t
				}
			}
		}
		if err := s.findTrouble(ctx, p, names[0]); err != nil {
			return err
		}
	}
	for _, n := range names {
		p.Stakes = append(p.Stakes, *at[n])
	}
	slices.SortStableFunc(p.Stakes, func(a, b stakeView) int { return a.From.Compare(b.From) })
	if n := len(p.Stakes); n > stakesShown {
		p.Stakes, p.MoreStakes = p.Stakes[:stakesShown], n-stakesShown
	}
	return nil
}

// findTrouble looks among the newest attempts of a certificate for the trouble that an incident is about.
func (s *Server) findTrouble(ctx context.Context, p *incidentPage, certificate string) error {
	if p.Trouble != nil {
		return nil
	}
	list, err := s.opts.Renewals.Attempts(ctx, certificate, attemptsRead)
	if err != nil {
		return fmt.Errorf("read the attempts of %q: %w", certificate, err)
	}
	for _, a := range list {
		for _, st := range a.Steps {
			if st.Trouble != nil && st.Trouble.Reason == p.I.Reason {
				p.Trouble = st.Trouble
				return nil
			}
		}
	}
	return nil
}

// deliveryView is one notice through one channel, with the receipt of each attempt.
type deliveryView struct {
	assure.Delivery
	Receipts []assure.Receipt
}

func (s *Server) incident(v *visit) error {
	p, err := s.incidentPage(v)
	if err != nil {
		return err
	}
	return s.render(v.w, v.r, http.StatusOK, "incident", p)
}

func (s *Server) incidentPage(v *visit) (incidentPage, error) {
	id := assure.IncidentID(v.r.PathValue("id"))
	iv, err := s.opts.Reader.Incident(v.r.Context(), id, touchesShown)
	if err != nil {
		return incidentPage{}, fmt.Errorf("read incident %q: %w", id, err)
	}
	i := iv.Incident
	p := incidentPage{page: v.page("Incident "+string(i.ID), "incidents"), IncidentView: iv, I: i, AskName: !s.auth.on()}
	p.CanAck = s.opts.Changer != nil && i.State != assure.Resolved && !(i.State == assure.Acked && i.AckedStage >= i.Stage)
	for _, d := range iv.Deliveries {
		dv := deliveryView{Delivery: d}
		for _, r := range iv.Receipts {
			if r.Delivery == d.ID {
				dv.Receipts = append(dv.Receipts, r)
			}
		}
		p.Deliveries = append(p.Deliveries, dv)
	}
	p.Long = len([]rune(i.Summary)) > longSummary
	if err := s.stakes(v.r.Context(), &p); err != nil {
		return incidentPage{}, err
	}
	slices.SortStableFunc(p.Deliveries, func(a, b deliveryView) int { return cmp.Compare(a.ID, b.ID) })
	return p, nil
}

// maxName bounds the name that somebody signs with where nobody signs in.
const maxName = 80

func (s *Server) acknowledge(v *visit) error {
	who, id := v.who.name, assure.IncidentID(v.r.PathValue("id"))
	if !s.auth.on() {
		if _, err := s.opts.Reader.Incident(v.r.Context(), id, 1); err != nil {
			return fmt.Errorf("read incident %q: %w", id, err)
		}
		name, problem := givenName(v.r.PostFormValue("who"))
		if problem != "" {
			return httpError{http.StatusUnprocessableEntity, problem + " Go back, correct it and send the form again."}
		}
		who = name
	}
	if _, err := s.opts.Changer.Acknowledge(v.r.Context(), id, who, v.now); err != nil {
		return fmt.Errorf("acknowledge incident %q: %w", id, err)
	}
	http.Redirect(v.w, v.r, "/incidents/"+url.PathEscape(string(id)), http.StatusSeeOther)
	return nil
}

// givenName checks a name that somebody gives without signing in. The problem is a sentence; empty when there is none.
func givenName(given string) (name, problem string) {
	name = strings.TrimSpace(given)
	switch {
	case name == "":
		return "", "Your name is needed."
	case len([]rune(name)) > maxName:
		return "", fmt.Sprintf("The name is longer than %d characters.", maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", "The name holds control characters."
	}
	return name, ""
}
