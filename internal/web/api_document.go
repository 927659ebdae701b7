package web

import (
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// The documents of the API are types of their own, so that a change inside does not change what others rely on.

type certificateDoc struct {
	Name       string            `json:"name" example:"hosted-eu" doc:"As declared"`
	Owner      string            `json:"owner,omitempty"`
	Endpoints  int               `json:"endpoints" doc:"Declared endpoints"`
	Verdict    string            `json:"verdict" enum:"upheld,broken,unknown" doc:"The worst of all links"`
	Links      map[string]string `json:"links" doc:"The worst verdict of each link that has claims" example:"{\"serving\":\"upheld\"}"`
	Severity   string            `json:"severity" enum:"info,ticket,page"`
	Reason     string            `json:"reason,omitempty" example:"expiring" doc:"Code of the worst finding"`
	Summary    string            `json:"summary,omitempty"`
	ValidUntil *time.Time        `json:"valid_until" doc:"When the first client of any endpoint is refused; null when not known"`
	Runway     *int64            `json:"runway_seconds" doc:"Time left until then, never negative; null when not known"`
	RenewBy    *time.Time        `json:"renew_by" doc:"When a healthy renewal must have happened"`
	SeenAt     *time.Time        `json:"seen_at" doc:"Age of the oldest evidence"`
	Incidents  int               `json:"incidents" doc:"Open incidents that touch it"`
}

type findingDoc struct {
	Link     string     `json:"link" example:"serving"`
	Reason   string     `json:"reason" example:"expiring"`
	Severity string     `json:"severity" enum:"info,ticket,page"`
	Address  *string    `json:"address" doc:"ip:port, null when it concerns the whole endpoint"`
	Since    time.Time  `json:"since"`
	HurtsAt  *time.Time `json:"hurts_at" doc:"When the first client is or was refused"`
	Summary  string     `json:"summary" doc:"What is wrong"`
	Impact   string     `json:"impact,omitempty" doc:"Who will notice, and when"`
	Action   string     `json:"action" doc:"What to do next"`
	Basis    string     `json:"basis,omitempty" doc:"On what evidence"`
	Docs     string     `json:"docs" format:"uri"`
}

type leafDoc struct {
	Fingerprint string    `json:"fingerprint_sha256"`
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"`
	Names       []string  `json:"names" nullable:"false"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Key         string    `json:"key" example:"ECDSA P-256"`
	Signature   string    `json:"signature" example:"ECDSA-SHA384"`
}

type addressDoc struct {
	Address    string     `json:"address" example:"192.0.2.7:443"`
	Verdict    string     `json:"verdict" enum:"upheld,broken,unknown"`
	TLS        string     `json:"tls_version,omitempty" example:"1.3"`
	Failure    string     `json:"failure,omitempty" example:"refused"`
	Detail     string     `json:"detail,omitempty"`
	Leaf       *leafDoc   `json:"leaf"`
	Chain      []leafDoc  `json:"chain" nullable:"false" doc:"As served, leaf first"`
	ValidUntil *time.Time `json:"valid_until" doc:"The best valid path's end"`
}

// endpointDoc is one element of endpoints[] in the output of "notafter check --output json".
type endpointDoc struct {
	Target    string       `json:"target" example:"eu.example.com"`
	Verdict   string       `json:"verdict" enum:"upheld,broken,unknown"`
	Runway    *int64       `json:"runway_seconds"`
	Findings  []findingDoc `json:"findings" nullable:"false"`
	Addresses []addressDoc `json:"addresses" nullable:"false"`
}

type claimDoc struct {
	ID       string       `json:"id" example:"monitor//patrol"`
	Link     string       `json:"link"`
	Subject  string       `json:"subject"`
	Verdict  string       `json:"verdict" enum:"upheld,broken,unknown"`
	Findings []findingDoc `json:"findings" nullable:"false"`
	SeenAt   *time.Time   `json:"seen_at"`
	NextLook *time.Time   `json:"next_look"`
	Evidence string       `json:"evidence" doc:"What was seen, for people"`
}

type incidentDoc struct {
	ID         string     `json:"id" example:"kx3f7q2a"`
	State      string     `json:"state" enum:"open,acknowledged,resolved"`
	Stage      string     `json:"stage" enum:"none,ticket,page,outage"`
	Severity   string     `json:"severity" enum:"info,ticket,page"`
	Link       string     `json:"link"`
	Reason     string     `json:"reason"`
	Round      int        `json:"round" doc:"How often it has eased; each round has notices of its own"`
	Cause      string     `json:"cause" doc:"Findings of one cause are one incident"`
	Since      time.Time  `json:"since"`
	OpenedAt   time.Time  `json:"opened_at"`
	HurtsAt    *time.Time `json:"hurts_at"`
	Summary    string     `json:"summary"`
	Impact     string     `json:"impact"`
	Action     string     `json:"action"`
	Basis      string     `json:"basis"`
	Docs       string     `json:"docs" format:"uri"`
	AckedBy    string     `json:"acknowledged_by,omitempty"`
	AckedAt    *time.Time `json:"acknowledged_at"`
	ResolvedAt *time.Time `json:"resolved_at"`
	Resolution string     `json:"resolution,omitempty"`
}

type touchDoc struct {
	Certificate string     `json:"certificate"`
	Subject     string     `json:"subject"`
	Finding     findingDoc `json:"finding"`
}

type eventDoc struct {
	At    time.Time `json:"at"`
	Kind  string    `json:"kind" example:"opened"`
	Stage string    `json:"stage,omitempty"`
	Text  string    `json:"text"`
	Who   string    `json:"who,omitempty"`
}

type deliveryDoc struct {
	ID       int64        `json:"id"`
	Channel  string       `json:"channel"`
	Kind     string       `json:"kind" example:"trigger"`
	Stage    string       `json:"stage"`
	Route    string       `json:"route"`
	State    string       `json:"state" enum:"pending,sent,failed"`
	Attempts int          `json:"attempts"`
	Receipts []receiptDoc `json:"receipts" nullable:"false"`
}

type receiptDoc struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Class   string    `json:"class" example:"accepted"`
	Code    int       `json:"code,omitempty"`
	Detail  string    `json:"detail,omitempty"`
}

type runDoc struct {
	Target    string    `json:"target"`
	Seen      string    `json:"seen" doc:"What was seen, for people"`
	Leaf      *leafDoc  `json:"leaf"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Count     int64     `json:"count"`
}

// ifSet is nil for the zero time, which JSON shows as null.
func ifSet(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func runwayDoc(until, now time.Time) *int64 {
	if until.IsZero() {
		return nil
	}
	n := max(0, int64(until.Sub(now)/time.Second))
	return &n
}

// verdictDoc shows a claim that was not judged yet as unknown.
func verdictDoc(v assure.Verdict) string {
	if v == "" {
		v = assure.Unknown
	}
	return string(v)
}

func newCertificateDoc(r assure.Row, now time.Time) certificateDoc {
	d := certificateDoc{
		Name: r.Certificate, Owner: r.Owner, Endpoints: r.Endpoints, Verdict: verdictDoc(worst(r.Links)), Links: map[string]string{},
		Severity: string(r.Severity), Reason: string(r.Reason), Summary: r.Summary, ValidUntil: ifSet(r.ValidUntil), Runway: runwayDoc(r.ValidUntil, now),
		RenewBy: ifSet(r.RenewBy), SeenAt: ifSet(r.SeenAt), Incidents: r.Incidents,
	}
	if d.Severity == "" {
		d.Severity = string(assure.Info)
	}
	for l, v := range r.Links {
		d.Links[string(l)] = verdictDoc(v)
	}
	return d
}

func newFindingDoc(f assure.Finding) findingDoc {
	d := findingDoc{
		Link: string(f.Link), Reason: string(f.Reason), Severity: string(f.Severity), Since: f.Since.UTC(), HurtsAt: ifSet(f.HurtsAt),
		Summary: f.Summary, Impact: f.Impact, Action: f.Action, Basis: f.Basis, Docs: f.Reason.Docs(),
	}
	if f.Address != "" {
		d.Address = &f.Address
	}
	return d
}

func newFindingDocs(fs []assure.Finding) []findingDoc {
	out := make([]findingDoc, 0, len(fs))
	for _, f := range fs {
		out = append(out, newFindingDoc(f))
	}
	return out
}

func newLeafDoc(c assure.Cert) leafDoc {
	names := c.Names
	if names == nil {
		names = []string{}
	}
	return leafDoc{c.Fingerprint, c.Subject, c.Issuer, c.Serial, names, c.NotBefore.UTC(), c.NotAfter.UTC(), c.Key, c.Signature}
}

func newEndpointDoc(target string, v assure.Verdict, until time.Time, fs []assure.Finding, fact assure.Fact, now time.Time) endpointDoc {
	d := endpointDoc{Target: target, Verdict: verdictDoc(v), Runway: runwayDoc(until, now), Findings: newFindingDocs(fs), Addresses: []addressDoc{}}
	s, ok := fact.(assure.Served)
	if !ok {
		return d
	}
	for _, g := range s.Sightings {
		a := addressDoc{Address: g.Address, Verdict: addressVerdict(g, v, fs), TLS: g.TLS, Failure: string(g.Failure), Detail: g.Detail, Chain: []leafDoc{}}
		if g.Chain >= 0 && g.Chain < len(s.Chains) {
			c := s.Chains[g.Chain]
			for _, fp := range c.Certs {
				if cert, ok := s.CertOf(fp); ok {
					a.Chain = append(a.Chain, newLeafDoc(cert))
				}
			}
			if leaf, ok := leafOfChain(s, c); ok {
				l := newLeafDoc(leaf)
				a.Leaf = &l
			}
			a.ValidUntil = ifSet(chainEnd(s, c))
		}
		d.Addresses = append(d.Addresses, a)
	}
	return d
}

// addressVerdict is that of the endpoint where a finding concerns all of it, and of the findings at the address else.
func addressVerdict(g assure.Sighting, whole assure.Verdict, fs []assure.Finding) string {
	v := assure.Upheld
	for _, f := range fs {
		if f.Stage > assure.StageNone && (f.Address == "" || f.Address == g.Address) && whole.Worse(v) {
			v = whole
		}
	}
	return string(v)
}

func newIncidentDoc(i assure.Incident) incidentDoc {
	return incidentDoc{
		ID: string(i.ID), State: string(i.State), Stage: i.Stage.String(), Severity: string(i.Severity), Link: string(i.Link),
		Reason: string(i.Reason), Round: i.Round, Cause: i.Cause, Since: i.Since.UTC(), OpenedAt: i.OpenedAt.UTC(), HurtsAt: ifSet(i.HurtsAt), Summary: i.Summary,
		Impact: i.Impact, Action: i.Action, Basis: i.Basis, Docs: i.Reason.Docs(), AckedBy: i.AckedBy, AckedAt: ifSet(i.AckedAt),
		ResolvedAt: ifSet(i.ResolvedAt), Resolution: i.Resolution,
	}
}
