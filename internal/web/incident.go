package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

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
