package main

import (
	"math"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// report is what check found. Its JSON form is a contract: field names and nulls stay as they are.
type report struct {
	Checked   time.Time  `json:"checked_at"` // the moment that is judged at, so that runways count from it
	Endpoints []endpoint `json:"endpoints"`
}

type endpoint struct {
	Target        string         `json:"target"`
	Verdict       assure.Verdict `json:"verdict"`
	RunwaySeconds *int64         `json:"runway_seconds"`
	Findings      []finding      `json:"findings"`
	Addresses     []address      `json:"addresses"`

	stage   assure.Stage // the worst of its findings
	until   time.Time    // when the first client is refused; zero when not known
	stopped bool         // it was not looked at, because the check was interrupted
}

type finding struct {
	Link     assure.Link     `json:"link"`
	Reason   assure.Reason   `json:"reason"`
	Severity assure.Severity `json:"severity"`
	Address  *string         `json:"address"`
	Summary  string          `json:"summary"`
	Action   string          `json:"action"`
	Docs     string          `json:"docs"`

	stage assure.Stage
}

// address is what one address showed in one handshake. A server that holds certificates of two kinds of key gives two.
type address struct {
	Address    string         `json:"address"`
	Verdict    assure.Verdict `json:"verdict"`
	TLSVersion string         `json:"tls_version"` // such as "1.3"; empty when the handshake did not get that far
	Leaf       *assure.Cert   `json:"leaf"`
	Chain      []assure.Cert  `json:"chain"`       // as served, leaf first
	ValidUntil *time.Time     `json:"valid_until"` // earliest end of the best path that is valid
	// DefaultLeaf is what the address serves to a client that sends no server name, with --without-sni and where that is
	// none of the leaves that it serves to those that send the name. It is worth knowing and changes no verdict. Of two
	// elements for one address, the first has it.
	DefaultLeaf *assure.Cert `json:"default_leaf,omitempty"`
}

func newEndpoint(t assure.Target, served assure.Served, at time.Time) endpoint {
	j := judge(t, served, at)
	e := endpoint{Target: t.String(), Verdict: j.Verdict, Findings: []finding{}, Addresses: []address{}}
	for _, f := range j.Findings {
		e.stage = max(e.stage, f.Stage)
		if f.Stage == assure.StageOutage && (j.ValidUntil.IsZero() || j.ValidUntil.After(at)) {
			j.ValidUntil = at // clients are refused now, for another reason than the certificate's end
		}
	}
	e.until = j.ValidUntil
	if d, ok := j.Runway(at); ok {
		s := int64(d / time.Second)
		if d == math.MaxInt64 { // a duration holds no more than 292 years
			s = j.ValidUntil.Unix() - at.Unix()
		}
		e.RunwaySeconds = &s
	}
	for _, f := range j.Findings {
		one := finding{Link: f.Link, Reason: f.Reason, Severity: f.Severity, Summary: f.Summary, Action: f.Action, Docs: f.Reason.Docs(), stage: f.Stage}
		if f.Address != "" {
			a := f.Address
			one.Address = &a
		}
		e.Findings = append(e.Findings, one)
	}
	for _, s := range served.Sightings {
		if s.NoSNI || s.Offered != "" && (s.Chain < 0 || shownAlready(served, s)) {
			continue // a look that only adds a fact, or the same certificate again
		}
		a := newAddress(t, served, s, at)
		if !slices.ContainsFunc(e.Addresses, func(b address) bool { return b.Address == a.Address }) {
			a.DefaultLeaf = defaultLeaf(served, s.Address)
		}
		e.Addresses = append(e.Addresses, a)
	}
	return e
}

// leafSeen is the fingerprint of the leaf that a handshake brought, empty when it brought none.
func leafSeen(served assure.Served, g assure.Sighting) string {
	if g.Chain < 0 || g.Chain >= len(served.Chains) || len(served.Chains[g.Chain].Certs) == 0 {
		return ""
	}
	return served.Chains[g.Chain].Certs[0]
}

// shownAlready reports whether an earlier handshake with the same address brought the same leaf.
func shownAlready(served assure.Served, s assure.Sighting) bool {
	for _, g := range served.Sightings {
		if g == s {
			return false
		}
		if !g.NoSNI && g.Address == s.Address && leafSeen(served, g) == leafSeen(served, s) {
			return true
		}
	}
	return false
}

// defaultLeaf is what an address serves without a server name, nil when nobody looked, nothing was seen, or it serves
// that with the name too.
func defaultLeaf(served assure.Served, address string) *assure.Cert {
	fp := ""
	for _, g := range served.Sightings {
		if g.NoSNI && g.Address == address && fp == "" {
			fp = leafSeen(served, g)
		}
	}
	if fp == "" || slices.ContainsFunc(served.Sightings, func(g assure.Sighting) bool {
		return !g.NoSNI && g.Address == address && leafSeen(served, g) == fp
	}) {
		return nil
	}
	c := certOf(served, fp)
	return &c
}

// certOf is a certificate of a look; of one that was not kept, the fingerprint alone.
func certOf(served assure.Served, fp string) assure.Cert {
	c, ok := served.CertOf(fp)
	if !ok {
		c = assure.Cert{Fingerprint: fp}
	}
	if c.Names == nil {
		c.Names = []string{}
	}
	return c
}

func newAddress(t assure.Target, served assure.Served, s assure.Sighting, at time.Time) address {
	alone := served
	alone.Sightings = []assure.Sighting{s}
	a := address{Address: s.Address, Verdict: judge(t, alone, at).Verdict, TLSVersion: s.TLS, Chain: []assure.Cert{}}
	if s.Chain < 0 || s.Chain >= len(served.Chains) {
		return a
	}
	chain := served.Chains[s.Chain]
	for i, fp := range chain.Certs {
		c := certOf(served, fp)
		if i == 0 {
			leaf := c
			a.Leaf = &leaf
		}
		a.Chain = append(a.Chain, c)
	}
	for _, p := range chain.Paths { // the longest lasting first
		if p.ValidAt(at) {
			end := p.NotAfter.UTC()
			a.ValidUntil = &end
			break
		}
	}
	return a
}

// stoppedEndpoint stands for a target that an interrupted check did not get to.
func stoppedEndpoint(t assure.Target) endpoint {
	return endpoint{
		Target: t.String(), Verdict: assure.Unknown, Addresses: []address{}, stopped: true,
		Findings: []finding{{
			Link: assure.EvidenceMissing.Link(), Reason: assure.EvidenceMissing, Severity: assure.Info, Docs: assure.EvidenceMissing.Docs(),
			Summary: "The check was interrupted before this endpoint had been looked at.", Action: "Run the check again.",
		}},
	}
}

func (r report) worst() assure.Verdict {
	worst := assure.Upheld
	for _, e := range r.Endpoints {
		if e.Verdict.Worse(worst) {
			worst = e.Verdict
		}
	}
	return worst
}

func (r report) stopped() int {
	n := 0
	for _, e := range r.Endpoints {
		if e.stopped {
			n++
		}
	}
	return n
}

func (r report) count(v assure.Verdict) int {
	n := 0
	for _, e := range r.Endpoints {
		if e.Verdict == v {
			n++
		}
	}
	return n
}

// worstFirst orders endpoints for people: by verdict, urgency and runway; equals stay in the order given.
func (r report) worstFirst() []endpoint {
	list := slices.Clone(r.Endpoints)
	slices.SortStableFunc(list, func(a, b endpoint) int {
		switch {
		case a.Verdict.Worse(b.Verdict):
			return -1
		case b.Verdict.Worse(a.Verdict):
			return 1
		case a.stage != b.stage:
			return int(b.stage - a.stage)
		case a.until.IsZero() != b.until.IsZero():
			if a.until.IsZero() {
				return -1
			}
			return 1
		}
		return a.until.Compare(b.until)
	})
	return list
}
