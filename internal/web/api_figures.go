package web

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/notafter/notafter/internal/assure"
)

type totalsDoc struct {
	Findings      []countDoc                `json:"findings" nullable:"false"`
	Claims        map[string]map[string]int `json:"claims" doc:"By link and verdict"`
	Incidents     map[string]int            `json:"incidents_open" doc:"By stage"`
	Deliveries    map[string]int            `json:"deliveries" doc:"By state"`
	OldestPending *time.Time                `json:"oldest_pending_delivery" doc:"When the longest waiting delivery was due"`
	Soonest       *time.Time                `json:"soonest_refusal" doc:"When the first client of any endpoint is refused"`
}

type healthDoc struct {
	Status  string     `json:"status" enum:"ok,starting,failing" doc:"ok when the process lives, the database answers and every part of the watch is upheld; starting while the first look at something newly declared is under way and nothing is wrong"`
	Version string     `json:"version"`
	Now     time.Time  `json:"now"`
	Process string     `json:"process" enum:"ok,failing"`
	Ready   string     `json:"ready" enum:"ok,failing"`
	Watch   []claimDoc `json:"watch" nullable:"false" doc:"The claims about notafter itself"`
}

func (s *Server) registerFigures(api huma.API) {
	huma.Register(api, describe("GET", "/api/v1/totals", "get-totals", "The same figures as /metrics."),
		func(ctx context.Context, _ *struct{}) (*body[totalsDoc], error) {
			t, err := s.opts.Reader.Totals(ctx)
			if err != nil {
				return nil, s.apiError("read totals", err)
			}
			return answer(newTotalsDoc(t)), nil
		})
	huma.Register(api, describe("GET", "/api/v1/health", "get-health", "The watch itself. The status of the answer is 200 whatever it says; /healthz and /readyz are for load balancers."),
		func(ctx context.Context, _ *struct{}) (*body[healthDoc], error) {
			return answer(s.health(ctx)), nil
		})
}

func newTotalsDoc(t assure.Totals) totalsDoc {
	d := totalsDoc{
		Findings: []countDoc{}, Claims: map[string]map[string]int{}, Incidents: map[string]int{}, Deliveries: map[string]int{},
		OldestPending: ifSet(t.OldestPending), Soonest: ifSet(t.Soonest),
	}
	for _, c := range t.Findings {
		d.Findings = append(d.Findings, countDoc{string(c.Reason), string(c.Severity), c.N})
	}
	for l, by := range t.Claims {
		m := map[string]int{}
		for v, n := range by {
			m[verdictDoc(v)] += n
		}
		d.Claims[string(l)] = m
	}
	for st, n := range t.Incidents {
		d.Incidents[st.String()] = n
	}
	for st, n := range t.Deliveries {
		d.Deliveries[string(st)] = n
	}
	return d
}

func (s *Server) health(ctx context.Context) healthDoc {
	d := healthDoc{Status: "ok", Version: s.opts.Version, Now: s.now().UTC(), Process: "ok", Ready: "ok", Watch: []claimDoc{}}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	check := func(what string, f func(context.Context) error, word *string) {
		if f == nil {
			return
		}
		if err := f(ctx); err != nil {
			s.log.Error("check "+what, "error", err)
			*word, d.Status = "failing", "failing"
		}
	}
	ready := s.opts.Ready
	if ready == nil {
		ready = s.opts.Reader.Ping
	}
	check("health", s.opts.Health, &d.Process)
	check("readiness", ready, &d.Ready)
	claims, err := s.opts.Reader.Claims(ctx)
	if err != nil {
		s.log.Error("read the claims of the watch", "error", err)
		d.Status = "failing"
	}
	for _, c := range claims {
		if c.Claim.Link != assure.Monitor {
			continue
		}
		d.Watch = append(d.Watch, newClaimDoc(c))
		switch {
		case c.Verdict == assure.Upheld:
		case !beginning(c):
			d.Status = "failing"
		case d.Status == "ok":
			d.Status = "starting"
		}
	}
	return d
}

// beginning reports whether a claim is unknown only because the first round of looks is under way: whoever judged it says
// that nothing is wrong, and tells nobody.
func beginning(c assure.ClaimView) bool {
	return c.Verdict == assure.Unknown && len(c.Findings) > 0 && !slices.ContainsFunc(c.Findings, func(f assure.Finding) bool { return f.Stage > assure.StageNone || f.Severity.Worse(assure.Info) })
}

type checkDoc struct {
	CheckedAt time.Time     `json:"checked_at"`
	Endpoints []endpointDoc `json:"endpoints" nullable:"false"`
}

func (s *Server) registerWrites(api huma.API) {
	if s.opts.Changer != nil {
		op := describe("POST", "/api/v1/incidents/{id}/acknowledge", "acknowledge-incident",
			"Idempotent. A worse stage will page again. Acknowledging what is resolved changes nothing.",
			http.StatusForbidden, http.StatusNotFound, http.StatusConflict)
		huma.Register(api, op, func(ctx context.Context, in *struct {
			ID   string `path:"id" example:"kx3f7q2a"`
			Body *struct {
				Who string `json:"who,omitempty" maxLength:"80" example:"Ana" doc:"Needed where nobody signs in. With a token it is added to the token's name."`
			} `required:"false"`
		},
		) (*body[incidentDoc], error) {
			id := assure.IncidentID(in.ID)
			if _, err := s.opts.Reader.Incident(ctx, id, 1); err != nil {
				return nil, s.apiError("acknowledge an incident", err)
			}
			given := ""
			if in.Body != nil {
				given = in.Body.Who
			}
			who, err := signature(ctx, given)
			if err != nil {
				return nil, err
			}
			i, err := s.opts.Changer.Acknowledge(ctx, id, who, s.now().UTC())
			if err != nil {
				return nil, s.apiError("acknowledge an incident", err)
			}
			return answer(newIncidentDoc(i)), nil
		})
	}
	if s.opts.Probe != nil {
		op := describe("POST", "/api/v1/check", "check-target", "Looks once and judges. Nothing is recorded, nobody is told.", http.StatusForbidden, http.StatusUnprocessableEntity)
		huma.Register(api, op, func(ctx context.Context, in *struct {
			Body struct {
				Target string `json:"target" minLength:"1" maxLength:"512" example:"smtp://mx.example.com:587" doc:"[scheme://]host[:port][@ip]"`
				Module string `json:"module,omitempty" maxLength:"100"`
			}
		},
		) (*body[checkDoc], error) {
			t, err := assure.ParseTarget(in.Body.Target)
			if err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			ctx, cancel := context.WithTimeout(ctx, lookTime)
			defer cancel()
			served, j, err := s.look(ctx, t.String(), in.Body.Module)
			if err != nil {
				return nil, huma.Error422UnprocessableEntity("Looking did not work: " + err.Error())
			}
			now := s.now().UTC()
			return answer(checkDoc{now, []endpointDoc{newEndpointDoc(t.String(), j.Verdict, j.ValidUntil, j.Findings, served, now)}}), nil
		})
	}
}
