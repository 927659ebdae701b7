package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

const (
	claimsShown = 20
	runsShown   = 60
)

type certificatePage struct {
	page
	Row       rowView
	Mood      string // of this certificate
	Findings  []findingView
	Endpoints []endpointView
	Other     []endpointView // claims of other links
	Pager     pager
	Incidents []assure.Incident
	History   historyView
	Renewal   *renewalView // nil when notafter does not renew it itself
	Quiet     bool         // most links have nothing claimed about them, so that the chain says little
}

// findingView is one finding, with every endpoint it was seen at.
type findingView struct {
	assure.Finding
	Subjects []string
	More     int
}

// subjectsShown is how many endpoints are named beside one finding.
const subjectsShown = 8

func (s *Server) certificate(v *visit) error {
	ctx, name, n := v.r.Context(), v.r.PathValue("name"), pageNumber(v.r)
	c, err := s.opts.Reader.Certificate(ctx, name, claimsShown, (n-1)*claimsShown)
	if err != nil {
		return fmt.Errorf("read certificate %q: %w", name, err)
	}
	runs, err := s.opts.Reader.History(ctx, name, runsShown, 0)
	if err != nil {
		return fmt.Errorf("read the history of %q: %w", name, err)
	}
	about := c.Claims
	if n > 1 && s.opts.Renewals != nil { // the claims about the renewal stand on the first page
		first, err := s.opts.Reader.Certificate(ctx, name, claimsShown, 0)
		if err != nil {
			return fmt.Errorf("read certificate %q: %w", name, err)
		}
		about = first.Claims
	}
	st, err := s.standing(ctx, name, about, attemptsRead)
	if err != nil {
		return err
	}
	var due time.Time
	letters := lettering{}
	var renewal *renewalView
	if st != nil {
		due, renewal = st.State.Due, s.newRenewalView(st, v.now)
	}
	p := certificatePage{
		page: v.page(c.Row.Certificate, "overview"), Row: newRowView(c.Row, certificateLinks(), due, v.now), Renewal: renewal, Quiet: len(c.Row.Links) < 3, Incidents: c.Open,
		History: newHistory(runs, letters, v.now), Pager: newPager(v.r, n, claimsShown, len(c.Claims), c.Total, false),
	}
	p.Findings = groupFindings(c.Claims)
	for _, cv := range c.Claims {
		if st != nil && ofRenewal(cv.Claim) {
			continue // the part about the renewal tells of it
		}
		e := newEndpointView(cv, letters, due, v.now, s.opts.Policy)
		if cv.Claim.Link == assure.Serving {
			p.Endpoints = append(p.Endpoints, e)
		} else {
			p.Other = append(p.Other, e)
		}
	}
	return s.render(v.w, v.r, http.StatusOK, "certificate", p)
}

// groupFindings puts findings of one cause and reason together, worst first.
func groupFindings(claims []assure.ClaimView) []findingView {
	type key struct {
		cause  string
		reason assure.Reason
		stage  assure.Stage
	}
	index := map[key]int{}
	var out []findingView
	for _, c := range claims {
		for _, f := range c.Findings {
			where := strings.TrimSpace(subjectWords(c.Claim.Subject) + " " + f.Address)
			k := key{f.Cause, f.Reason, f.Stage}
			i, ok := index[k]
			if !ok {
				i = len(out)
				index[k] = i
				out = append(out, findingView{Finding: f})
			}
			g := &out[i]
			if f.Since.Before(g.Since) {
				g.Since = f.Since
			}
			switch {
			case where == "" || slices.Contains(g.Subjects, where):
			case len(g.Subjects) < subjectsShown:
				g.Subjects = append(g.Subjects, where)
			default:
				g.More++
			}
		}
	}
	slices.SortStableFunc(out, func(a, b findingView) int { return cmp.Compare(b.Stage, a.Stage) })
	return out
}

type lookPage struct {
	page
	Target  string
	Problem string
	Result  *endpointView
	Verdict assure.Verdict
	Found   []findingView
	Row     rowView
}

func (s *Server) lookForm(v *visit) error {
	return s.render(v.w, v.r, http.StatusOK, "look", lookPage{page: v.page("Look once", "look"), Target: v.r.FormValue("target")})
}

// lookNow looks at a target while the browser waits. Nothing is recorded and nobody is told.
func (s *Server) lookNow(v *visit) error {
	target := strings.TrimSpace(v.r.PostFormValue("target"))
	p := lookPage{page: v.page("Look once", "look"), Target: target}
	t, err := assure.ParseTarget(target)
	if err != nil {
		p.Problem = "This is no target: " + err.Error() + "."
		return s.render(v.w, v.r, http.StatusUnprocessableEntity, "look", p)
	}
	served, j, err := s.look(v.r.Context(), t.String(), "")
	if err != nil {
		p.Problem = "Looking did not work: " + err.Error() + "."
		return s.render(v.w, v.r, http.StatusBadGateway, "look", p)
	}
	if j.Claim.Subject == "" {
		j.Claim.Subject = t.String()
	}
	cv := assure.ClaimView{
		Claim: j.Claim, Verdict: j.Verdict, Findings: j.Findings, ValidUntil: j.ValidUntil, RenewBy: j.RenewBy,
		Evidence: &assure.Evidence{Fact: served, Observer: "this request", FirstSeen: v.now, LastSeen: v.now, Count: 1},
	}
	e := newEndpointView(cv, lettering{}, time.Time{}, v.now, s.opts.Policy)
	p.Result, p.Verdict, p.Found = &e, j.Verdict, groupFindings([]assure.ClaimView{cv})
	return s.render(v.w, v.r, http.StatusOK, "look", p)
}

type monitorPage struct {
	page
	Watch  []endpointView // monitor claims
	People []endpointView
	Found  []findingView
	// NoHeartbeat: nobody outside is to hear that notafter is alive.
	NoHeartbeat bool
}

func (s *Server) monitor(v *visit) error {
	claims, err := s.opts.Reader.Claims(v.r.Context())
	if err != nil {
		return fmt.Errorf("read the claims of the watch: %w", err)
	}
	p := monitorPage{page: v.page("The watch", "monitor"), Found: groupFindings(claims), NoHeartbeat: !hasHeartbeat(claims)}
	for _, c := range claims {
		e := endpointView{ClaimView: c}
		if c.Evidence != nil {
			e.SeenAt, e.Trouble = c.Evidence.LastSeen, factWords(c.Evidence.Fact)
		}
		if c.Claim.Link == assure.People {
			p.People = append(p.People, e)
		} else {
			p.Watch = append(p.Watch, e)
		}
	}
	return s.render(v.w, v.r, http.StatusOK, "monitor", p)
}

// About says what a claim that is not about an endpoint is for; empty for others.
func (e endpointView) About() string {
	switch {
	case e.Claim.Subject == assure.SubjectRenewal:
		return "The last renewal worked, or none is due."
	case e.Claim.Subject == assure.SubjectIssuance:
		return "A certificate for all declared names has been issued."
	case e.Claim.Subject == assure.SubjectGrants:
		return "What the permission rests on is what is expected."
	case rungTexts[assure.AttemptKind(e.Claim.Subject)].proves != "":
		return rungTexts[assure.AttemptKind(e.Claim.Subject)].proves
	case e.Claim.Link == assure.People:
		return "A channel through which people are told."
	case e.Claim.Subject == assure.SubjectPatrol:
		return "Every look that was due has been made, and something could be seen."
	case e.Claim.Subject == assure.SubjectControl:
		return "An endpoint that is bad on purpose must be found to be bad, or nothing else said here can be trusted."
	case e.Claim.Subject == assure.SubjectHeartbeat:
		return "An outside party hears regularly that notafter is alive, and raises the alarm when it does not."
	}
	return ""
}

// MaxAge is how old the evidence may get, for people.
func (e endpointView) MaxAge() time.Duration { return e.Claim.MaxAge() }
