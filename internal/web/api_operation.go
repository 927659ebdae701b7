package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/notafter/notafter/internal/assure"
)

// PageOf selects a page of a list; it is exported only because the API library looks into exported fields.
type PageOf struct {
	Limit  int `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"At most so many"`
	Offset int `query:"offset" minimum:"0" maximum:"10000000" default:"0" doc:"Leave out so many"`
}

type body[T any] struct{ Body T }

func answer[T any](t T) *body[T] { return &body[T]{t} }

type certificatesDoc struct {
	Certificates []certificateDoc `json:"certificates" nullable:"false"`
	Total        int              `json:"total" doc:"That match, on all pages"`
	Upheld       int              `json:"upheld" doc:"Of all certificates"`
	Broken       int              `json:"broken" doc:"Of all certificates"`
	Unknown      int              `json:"unknown" doc:"Of all certificates"`
}

type certificateFullDoc struct {
	Certificate certificateDoc `json:"certificate"`
	Endpoints   []endpointDoc  `json:"endpoints" nullable:"false" doc:"Serving claims of this page"`
	Claims      []claimDoc     `json:"claims" nullable:"false" doc:"Claims of the other links"`
	Total       int            `json:"total" doc:"Claims in all"`
	Incidents   []incidentDoc  `json:"incidents" nullable:"false" doc:"Open ones"`
}

type historyDoc struct {
	Runs []runDoc `json:"runs" nullable:"false" doc:"Newest first"`
}

type incidentsDoc struct {
	Incidents []incidentDoc `json:"incidents" nullable:"false"`
	Total     int           `json:"total"`
}

type incidentFullDoc struct {
	Incident   incidentDoc   `json:"incident"`
	Touches    []touchDoc    `json:"touches" nullable:"false" doc:"What it touches, worst first, at most 500"`
	Touched    int           `json:"touched" doc:"In all"`
	Events     []eventDoc    `json:"events" nullable:"false"`
	Deliveries []deliveryDoc `json:"deliveries" nullable:"false"`
}

type claimsDoc struct {
	Claims []claimDoc `json:"claims" nullable:"false"`
}

type countDoc struct {
	Reason   string `json:"reason"`
	Severity string `json:"severity"`
	N        int    `json:"n"`
}

func (s *Server) registerReads(api huma.API) {
	read := s.opts.Reader
	const certificates = "/api/v1/certificates"
	huma.Register(api, describe("GET", certificates, "list-certificates", "By runway, those whose clients are refused now come first, then those of which it is not known when they will be, then the shortest runway."),
		func(ctx context.Context, in *struct {
			Search   string `query:"search" maxLength:"200" doc:"Part of a name or of an endpoint" example:"example.com"`
			Verdict  string `query:"verdict" enum:"upheld,broken,unknown"`
			Link     string `query:"link" enum:"inventory,permission,renewal,issuance,serving" doc:"With verdict: of this link only"`
			Severity string `query:"severity" enum:"info,ticket,page"`
			Order    string `query:"order" enum:"runway,name" default:"runway"`
			PageOf
		},
		) (*body[certificatesDoc], error) {
			rows, err := read.Rows(ctx, assure.RowQuery{
				Search: strings.TrimSpace(in.Search), Verdict: assure.Verdict(in.Verdict), Link: assure.Link(in.Link),
				Severity: assure.Severity(in.Severity), Order: assure.Order(in.Order), Limit: in.Limit, Offset: in.Offset,
			})
			if err != nil {
				return nil, s.apiError("list certificates", err)
			}
			d := certificatesDoc{Certificates: []certificateDoc{}, Total: rows.Total, Upheld: rows.Upheld, Broken: rows.Broken, Unknown: rows.Unknown}
			for _, r := range rows.Rows {
				d.Certificates = append(d.Certificates, newCertificateDoc(r, s.now()))
			}
			return answer(d), nil
		})
	huma.Register(api, describe("GET", certificates+"/{name}", "get-certificate", "Every endpoint as `notafter check --output json` shows it, a page at a time.", http.StatusNotFound),
		func(ctx context.Context, in *struct {
			Name string `path:"name" example:"hosted-eu"`
			PageOf
		},
		) (*body[certificateFullDoc], error) {
			c, err := read.Certificate(ctx, in.Name, in.Limit, in.Offset)
			if err != nil {
				return nil, s.apiError("read a certificate", err)
			}
			now := s.now()
			d := certificateFullDoc{Certificate: newCertificateDoc(c.Row, now), Endpoints: []endpointDoc{}, Claims: []claimDoc{}, Total: c.Total, Incidents: []incidentDoc{}}
			for _, v := range c.Claims {
				if v.Claim.Link != assure.Serving {
					d.Claims = append(d.Claims, newClaimDoc(v))
					continue
				}
				var fact assure.Fact
				if v.Evidence != nil {
					fact = v.Evidence.Fact
				}
				d.Endpoints = append(d.Endpoints, newEndpointDoc(v.Claim.Subject, v.Verdict, v.ValidUntil, v.Findings, fact, now))
			}
			for _, i := range c.Open {
				d.Incidents = append(d.Incidents, newIncidentDoc(i))
			}
			return answer(d), nil
		})
	huma.Register(api, describe("GET", certificates+"/{name}/history", "get-history", "An unchanged fact is one run, however often it was seen.", http.StatusNotFound),
		func(ctx context.Context, in *struct {
			Name string `path:"name" example:"hosted-eu"`
			PageOf
		},
		) (*body[historyDoc], error) {
			runs, err := read.History(ctx, in.Name, in.Limit, in.Offset)
			if err != nil {
				return nil, s.apiError("read a history", err)
			}
			d := historyDoc{Runs: []runDoc{}}
			for _, r := range runs {
				x := runDoc{Target: r.Subject, Seen: factWords(r.Fact), FirstSeen: r.FirstSeen.UTC(), LastSeen: r.LastSeen.UTC(), Count: r.Count}
				if l := leafOf(r.Fact); l != nil {
					leaf := newLeafDoc(*l)
					x.Leaf = &leaf
				}
				d.Runs = append(d.Runs, x)
			}
			return answer(d), nil
		})
	huma.Register(api, describe("GET", "/api/v1/incidents", "list-incidents", "Open ones, which include the acknowledged, come worst first; resolved ones, and all together, newest first."),
		func(ctx context.Context, in *struct {
			State string `query:"state" enum:"open,acknowledged,resolved,all" default:"all" doc:"Open includes acknowledged ones"`
			PageOf
		},
		) (*body[incidentsDoc], error) {
			state := assure.IncidentState(in.State)
			if in.State == "all" {
				state = ""
			}
			list, total, err := read.Incidents(ctx, assure.IncidentQuery{State: state, Limit: in.Limit, Offset: in.Offset})
			if err != nil {
				return nil, s.apiError("list incidents", err)
			}
			d := incidentsDoc{Incidents: []incidentDoc{}, Total: total}
			for _, i := range list {
				d.Incidents = append(d.Incidents, newIncidentDoc(i))
			}
			return answer(d), nil
		})
	huma.Register(api, describe("GET", "/api/v1/incidents/{id}", "get-incident", "With its history, and each notice with the receipt of every attempt.", http.StatusNotFound),
		func(ctx context.Context, in *struct {
			ID string `path:"id" example:"kx3f7q2a"`
		},
		) (*body[incidentFullDoc], error) {
			v, err := read.Incident(ctx, assure.IncidentID(in.ID), 500)
			if err != nil {
				return nil, s.apiError("read an incident", err)
			}
			return answer(newIncidentFullDoc(v)), nil
		})
	huma.Register(api, describe("GET", "/api/v1/claims", "list-claims", "Claims that belong to no certificate: the patrol, its control, its heartbeat, and each channel."),
		func(ctx context.Context, _ *struct{}) (*body[claimsDoc], error) {
			list, err := read.Claims(ctx)
			if err != nil {
				return nil, s.apiError("list claims", err)
			}
			d := claimsDoc{Claims: []claimDoc{}}
			for _, c := range list {
				d.Claims = append(d.Claims, newClaimDoc(c))
			}
			return answer(d), nil
		})
	s.registerFigures(api)
}

func newClaimDoc(c assure.ClaimView) claimDoc {
	d := claimDoc{
		ID: string(c.Claim.ID), Link: string(c.Claim.Link), Subject: c.Claim.Subject, Verdict: verdictDoc(c.Verdict),
		Findings: newFindingDocs(c.Findings), NextLook: ifSet(c.NextLook), Evidence: factWords(nil),
	}
	if c.Evidence != nil {
		d.SeenAt, d.Evidence = ifSet(c.Evidence.LastSeen), factWords(c.Evidence.Fact)
	}
	return d
}

func newIncidentFullDoc(v assure.IncidentView) incidentFullDoc {
	d := incidentFullDoc{Incident: newIncidentDoc(v.Incident), Touches: []touchDoc{}, Touched: v.Touched, Events: []eventDoc{}, Deliveries: []deliveryDoc{}}
	for _, t := range v.Touches {
		d.Touches = append(d.Touches, touchDoc{t.Certificate, t.Subject, newFindingDoc(t.Finding)})
	}
	for _, e := range v.Events {
		x := eventDoc{At: e.At.UTC(), Kind: e.Kind, Text: e.Text, Who: e.Who}
		if e.Stage > assure.StageNone {
			x.Stage = e.Stage.String()
		}
		d.Events = append(d.Events, x)
	}
	for _, y := range v.Deliveries {
		x := deliveryDoc{
			ID: y.ID, Channel: y.Channel, Kind: string(y.Notice.Kind), Stage: y.Notice.Stage.String(), Route: y.Notice.Route,
			State: string(y.State), Attempts: y.Attempt, Receipts: []receiptDoc{},
		}
		for _, r := range v.Receipts {
			if r.Delivery == y.ID {
				x.Receipts = append(x.Receipts, receiptDoc{r.Attempt, r.At.UTC(), string(r.Class), r.Code, r.Detail})
			}
		}
		d.Deliveries = append(d.Deliveries, x)
	}
	return d
}
