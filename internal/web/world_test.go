package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// worldNow is the moment at which the tests look.
var worldNow = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// world is a store in memory with certificates in every state. Its judgements and incidents are made by the real rules.
type world struct {
	mu        sync.Mutex
	rows      []assure.Row
	claims    map[string][]assure.ClaimView
	runs      map[string][]assure.Run
	watch     []assure.ClaimView
	incidents []assure.IncidentView
	fail      error // what every read returns, when set
	reads     int

	users    map[string]assure.User
	sessions map[string]assure.Session
	tokens   map[string]assure.Token
	log      []assure.Audit
	changed  chan struct{}

	attempts map[string][]assure.Attempt
	renewals map[string]assure.RenewalState
	wishes   []string // what was asked of the renewer
}

func emptyWorld() *world {
	return &world{
		claims: map[string][]assure.ClaimView{}, runs: map[string][]assure.Run{}, users: map[string]assure.User{},
		sessions: map[string]assure.Session{}, tokens: map[string]assure.Token{}, changed: make(chan struct{}),
		attempts: map[string][]assure.Attempt{}, renewals: map[string]assure.RenewalState{},
	}
}

// spec is one certificate of the world.
type spec struct {
	name, owner, kind string
	endpoints         int
	age, life         time.Duration
}

func specs() []spec {
	list := []spec{
		{"hosted-eu", "platform", "good", 4, 20 * day, 90 * day},
		{"hosted-us", "platform", "good", 6, 31 * day, 90 * day},
		{"shop.example.com", "shop", "expired", 2, 91 * day, 90 * day},
		{"payments", "payments", "page", 3, 83 * day, 90 * day},
		{"intranet", "it", "late", 2, 66 * day, 90 * day},
		{"mail", "it", "incomplete", 3, 12 * day, 90 * day},
		{"api-gateway", "platform", "differs", 8, 40 * day, 90 * day},
		{"legacy-erp", "it", "unreachable", 1, 100 * day, 398 * day},
		{"metrics.example.com", "sre", "never", 2, 0, 0},
		{"status-page", "sre", "good", 1, 2 * day, 6 * day},
		{"git.example.com", "dev", "mismatch", 1, 30 * day, 90 * day},
		{"wiki", "dev", "chainends", 1, 10 * day, 90 * day},
		{"vpn-gw", "network", "nodns", 1, 30 * day, 90 * day},
	}
	for i, n := range strings.Fields("auth billing cdn docs edge-fra edge-iad edge-sin imap jobs ldap ledger partners push registry search sso webhooks") {
		list = append(list, spec{n, []string{"platform", "shop", "sre"}[i%3], "good", 1 + i%5, time.Duration(3+i*3) * day, 90 * day})
	}
	return list
}

func newWorld() *world {
	w := emptyWorld()
	set := assure.Setting{Now: worldNow, Routes: map[string][]string{"sre": {"pagerduty", "mail"}}, DefaultRoute: "sre"}
	var all []assure.Judgement
	for _, s := range specs() {
		all = append(all, w.add(s, set)...)
	}
	for _, subject := range []string{assure.SubjectPatrol, assure.SubjectControl, assure.SubjectHeartbeat} {
		c := assure.Claim{ID: assure.NewClaimID(assure.Monitor, "", subject), Link: assure.Monitor, Subject: subject, Declared: worldNow.Add(-30 * day), Every: time.Minute}
		var f assure.Fact = assure.Sight{Expected: 77, Observed: 77, Tried: 9, Reached: 9, Oldest: worldNow.Add(-9 * time.Minute)}
		switch subject {
		case assure.SubjectControl:
			f = look("control.invalid", "control", "127.0.0.1:9", 3*time.Hour, 2*time.Hour, "expired", 1)
		case assure.SubjectHeartbeat:
			f = assure.Heard{URL: "https://beats.example.net/notafter", OK: true}
		}
		all = append(all, w.judge(c, f, set, &w.watch))
	}
	for _, ch := range []string{"pagerduty", "mail", "chat"} {
		c := assure.Claim{ID: assure.NewClaimID(assure.People, "", ch), Link: assure.People, Subject: ch, Declared: worldNow.Add(-30 * day), Every: time.Hour}
		f := assure.Delivered{Channel: ch, Class: assure.Accepted}
		if ch == "chat" {
			f = assure.Delivered{Channel: ch, Class: assure.Denied, Detail: "404 no_service"}
		}
		all = append(all, w.judge(c, f, set, &w.watch))
	}
	w.open(assure.Advance(assure.Docket{}, all, set))
	w.summarise()
	return w
}

func (w *world) judge(c assure.Claim, f assure.Fact, set assure.Setting, into *[]assure.ClaimView) assure.Judgement {
	var ev *assure.Evidence
	if f != nil {
		ev = &assure.Evidence{Claim: c.ID, Fact: f, Observer: "probe@watch-1", FirstSeen: worldNow.Add(-26 * time.Hour), LastSeen: worldNow.Add(-20 * time.Second), Count: 104}
	}
	j := assure.Judge(assure.Case{Claim: c, Evidence: ev}, set)
	*into = append(*into, assure.ClaimView{Claim: c, Verdict: j.Verdict, Findings: j.Findings, Evidence: ev, ValidUntil: j.ValidUntil, RenewBy: j.RenewBy, NextLook: worldNow.Add(c.Every)})
	return j
}

func (w *world) add(s spec, set assure.Setting) []assure.Judgement {
	var js []assure.Judgement
	claims := w.claims[s.name]
	host := s.name
	if !strings.Contains(host, ".") {
		host += ".example.com"
	}
	for i := range s.endpoints {
		h := host
		if i > 0 {
			h = fmt.Sprintf("node%d.%s", i, host)
		}
		target := h
		if s.name == "mail" && i == 1 {
			target = "smtp://" + h + ":587"
		}
		c := assure.Claim{
			ID: assure.NewClaimID(assure.Serving, s.name, target), Link: assure.Serving, Certificate: s.name, Subject: target, Route: "sre", Owner: s.owner,
			Declared: worldNow.Add(-30 * day), Every: 15 * time.Minute,
		}
		var f assure.Fact
		if s.kind != "never" {
			served := look(h, s.name, fmt.Sprintf("192.0.2.%d:443", 10+i), s.age, s.life, s.kind, i)
			f = served
			before := look(h, s.name+"/before", fmt.Sprintf("192.0.2.%d:443", 10+i), s.age+60*day, s.life, "good", i)
			turned := worldNow.Add(-min(s.age, 40*day))
			w.runs[s.name] = append(w.runs[s.name], assure.Run{Claim: c.ID, Subject: target, Fact: served, FirstSeen: turned, LastSeen: worldNow.Add(-20 * time.Second), Count: 960},
				assure.Run{Claim: c.ID, Subject: target, Fact: before, FirstSeen: worldNow.Add(-70 * day), LastSeen: turned.Add(-15 * time.Minute), Count: 2880})
		}
		js = append(js, w.judge(c, f, set, &claims))
	}
	w.claims[s.name] = claims
	w.rows = append(w.rows, summary(s.name, s.owner, claims))
	return js
}

func summary(name, owner string, claims []assure.ClaimView) assure.Row {
	r := assure.Row{Certificate: name, Owner: owner, Links: map[assure.Link]assure.Verdict{}, Severity: assure.Info, SeenAt: worldNow.Add(-20 * time.Second)}
	for _, c := range claims {
		if c.Claim.Link == assure.Serving {
			r.Endpoints++
		}
		if v, ok := r.Links[c.Claim.Link]; !ok || c.Verdict.Worse(v) {
			r.Links[c.Claim.Link] = c.Verdict
		}
		if c.Claim.Link == assure.Serving && !c.ValidUntil.IsZero() && (r.ValidUntil.IsZero() || c.ValidUntil.Before(r.ValidUntil)) {
			r.ValidUntil, r.RenewBy = c.ValidUntil, c.RenewBy
		}
		for _, f := range c.Findings {
			if r.Reason == "" || f.Severity.Worse(r.Severity) {
				r.Reason, r.Severity, r.Summary = f.Reason, f.Severity, f.Summary
			}
		}
	}
	return r
}

func fingerprint(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// look is what a probe would have brought back.
func look(host, seed, address string, age, life time.Duration, kind string, i int) assure.Served {
	start := worldNow.Add(-age).Truncate(time.Second)
	leaf := assure.Cert{
		Fingerprint: fingerprint(seed + "/leaf"), Subject: "CN=" + host, Issuer: "CN=Example TLS R7,O=Example Trust,C=NL", Serial: fingerprint(seed)[:32],
		Names: []string{host, "www." + host}, NotBefore: start, NotAfter: start.Add(life), Key: "ECDSA P-256", Signature: "ECDSA-SHA384",
	}
	inter := assure.Cert{
		Fingerprint: fingerprint("intermediate"), Subject: "CN=Example TLS R7,O=Example Trust,C=NL", Issuer: "CN=Example Root X1,O=Example Trust,C=NL", Serial: "7f",
		NotBefore: worldNow.Add(-400 * day), NotAfter: worldNow.Add(900 * day), Key: "ECDSA P-384", Signature: "ECDSA-SHA384",
	}
	root := assure.Cert{
		Fingerprint: fingerprint("root"), Subject: "CN=Example Root X1,O=Example Trust,C=NL", Issuer: "CN=Example Root X1,O=Example Trust,C=NL", Serial: "1",
		NotBefore: worldNow.Add(-3000 * day), NotAfter: worldNow.Add(5000 * day), Key: "ECDSA P-384", Signature: "ECDSA-SHA384",
	}
	if kind == "chainends" {
		inter.Fingerprint, inter.NotAfter = fingerprint("intermediate/old"), worldNow.Add(18*day)
	}
	c := assure.Chain{Certs: []string{leaf.Fingerprint, inter.Fingerprint}, NameMatches: kind != "mismatch", ServerAuth: true, PublicTrust: true}
	p := assure.Path{Certs: []string{leaf.Fingerprint, inter.Fingerprint, root.Fingerprint}, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, LimitedBy: leaf.Fingerprint}
	if inter.NotAfter.Before(leaf.NotAfter) {
		p.NotAfter, p.LimitedBy = inter.NotAfter, inter.Fingerprint
	}
	c.Paths = []assure.Path{p}
	c.Revocation = []assure.Revocation{{Cert: leaf.Fingerprint, Via: "crl", URL: "http://crl.example.net/r7.crl", Status: assure.RevocationGood, NextUpdate: worldNow.Add(5 * day)}}
	s := assure.Served{
		DNS: assure.DNS{Source: "dns"}, Certs: []assure.Cert{leaf, inter, root}, Chains: []assure.Chain{c},
		Sightings: []assure.Sighting{{Address: address, TLS: "1.3"}, {Address: fmt.Sprintf("[2001:db8::%x]:443", 10+i), TLS: "1.3"}},
	}
	switch kind {
	case "incomplete":
		s.Certs = []assure.Cert{leaf, inter, root}
		s.Chains[0].Certs, s.Chains[0].Paths, s.Chains[0].Completed = []string{leaf.Fingerprint}, nil, []assure.Path{p}
		s.Chains[0].MissingIssuer = inter.Subject
	case "differs":
		old := leaf
		old.Fingerprint, old.NotBefore, old.NotAfter = fingerprint(seed+"/old"), start.Add(-20*day), start.Add(life-20*day)
		op := p
		op.Certs, op.NotBefore, op.NotAfter, op.LimitedBy = []string{old.Fingerprint, inter.Fingerprint, root.Fingerprint}, old.NotBefore, old.NotAfter, old.Fingerprint
		s.Certs = append(s.Certs, old)
		oc := c
		oc.Certs, oc.Paths, oc.Revocation = []string{old.Fingerprint, inter.Fingerprint}, []assure.Path{op}, nil
		s.Chains = append(s.Chains, oc)
		s.Sightings[1].Chain = 1
	case "unreachable":
		for i := range s.Sightings {
			s.Sightings[i].Chain, s.Sightings[i].Failure, s.Sightings[i].At, s.Sightings[i].TLS = -1, assure.Refused, assure.AtConnect, ""
		}
		s.Certs, s.Chains = nil, nil
	case "nodns":
		return assure.Served{DNS: assure.DNS{Failure: assure.DNSNXDomain}}
	}
	return s
}

func (w *world) open(ch assure.Changes) {
	delivery := int64(0)
	for n, i := range ch.Incidents {
		v := assure.IncidentView{Incident: i}
		if n == 1 {
			v.Incident, _, _ = assure.Acknowledge(i, "Ana", worldNow.Add(-5*time.Minute))
		}
		for _, t := range ch.Touches {
			if t.Incident == i.ID {
				v.Touches = append(v.Touches, t)
			}
		}
		v.Touched = len(v.Touches)
		for _, e := range ch.Events {
			if e.Incident == i.ID {
				v.Events = append(v.Events, e)
			}
		}
		for _, x := range ch.Notices {
			if x.Incident != i.ID {
				continue
			}
			for k, c := range x.Channels {
				delivery++
				d := assure.Delivery{ID: delivery, Notice: x, Channel: c, State: assure.DeliverySent, Attempt: 1 + k}
				if k == 1 {
					v.Receipts = append(v.Receipts, assure.Receipt{Delivery: delivery, Channel: c, Attempt: 1, At: worldNow.Add(-50 * time.Second), Class: assure.Temporary, Code: 421, Detail: "try again later"})
				}
				v.Deliveries = append(v.Deliveries, d)
				v.Receipts = append(v.Receipts, assure.Receipt{Delivery: delivery, Channel: c, Attempt: 1 + k, At: worldNow.Add(-40 * time.Second), Class: assure.Accepted, Code: 202})
			}
		}
		w.incidents = append(w.incidents, v)
	}
}

func (w *world) summarise() {
	slices.SortStableFunc(w.rows, func(a, b assure.Row) int {
		part := func(r assure.Row) int {
			switch {
			case r.ValidUntil.IsZero():
				return 1
			case r.ValidUntil.After(worldNow):
				return 2
			}
			return 0
		}
		return cmp.Or(cmp.Compare(part(a), part(b)), a.ValidUntil.Compare(b.ValidUntil), cmp.Compare(a.Certificate, b.Certificate))
	})
	for i := range w.rows {
		for _, v := range w.incidents {
			if slices.ContainsFunc(v.Touches, func(t assure.Touch) bool { return t.Certificate == w.rows[i].Certificate }) {
				w.rows[i].Incidents++
			}
		}
	}
}

// quiet is a world in which all is well.
func quietWorld() *world {
	w := emptyWorld()
	set := assure.Setting{Now: worldNow, DefaultRoute: "sre"}
	for _, s := range specs() {
		if s.kind == "good" {
			w.add(s, set)
		}
	}
	for _, subject := range []string{assure.SubjectPatrol} {
		c := assure.Claim{ID: assure.NewClaimID(assure.Monitor, "", subject), Link: assure.Monitor, Subject: subject, Declared: worldNow.Add(-30 * day), Every: time.Minute}
		w.judge(c, assure.Sight{Expected: 77, Observed: 77, Tried: 9, Reached: 9}, set, &w.watch)
	}
	w.summarise()
	return w
}

func (w *world) read() error {
	w.reads++
	return w.fail
}

func (w *world) Rows(_ context.Context, q assure.RowQuery) (assure.Rows, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.read(); err != nil {
		return assure.Rows{}, err
	}
	var out assure.Rows
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	match := make([]*assure.Row, 0, len(w.rows)) // a hundred thousand rows are not copied for each page
	for i := range w.rows {
		r := &w.rows[i]
		v := worst(r.Links)
		switch v {
		case assure.Broken:
			out.Broken++
		case assure.Upheld:
			out.Upheld++
		default:
			out.Unknown++
		}
		if q.Link != "" {
			v = r.Links[q.Link]
		}
		if q.Verdict != "" && v != q.Verdict || q.Severity != "" && r.Severity != q.Severity ||
			q.Search != "" && !strings.Contains(strings.ToLower(r.Certificate), strings.ToLower(q.Search)) {
			continue
		}
		match = append(match, r)
	}
	if q.Order == assure.ByName {
		slices.SortFunc(match, func(a, b *assure.Row) int { return cmp.Compare(a.Certificate, b.Certificate) })
	}
	out.Total = len(match)
	from := min(q.Offset, len(match))
	for _, r := range match[from:min(from+limit, len(match))] {
		out.Rows = append(out.Rows, *r)
	}
	return out, nil
}

func (w *world) Certificate(_ context.Context, name string, limit, offset int) (assure.CertificateView, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.read(); err != nil {
		return assure.CertificateView{}, err
	}
	i := slices.IndexFunc(w.rows, func(r assure.Row) bool { return r.Certificate == name })
	if i < 0 {
		return assure.CertificateView{}, assure.ErrNotFound
	}
	c := w.claims[name]
	from := min(offset, len(c))
	v := assure.CertificateView{Row: w.rows[i], Claims: c[from:min(from+limit, len(c))], Total: len(c)}
	for _, x := range w.incidents {
		if x.Incident.State != assure.Resolved && slices.ContainsFunc(x.Touches, func(t assure.Touch) bool { return t.Certificate == name }) {
			v.Open = append(v.Open, x.Incident)
		}
	}
	return v, nil
}

func (w *world) History(_ context.Context, name string, limit, offset int) ([]assure.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	runs := w.runs[name]
	from := min(offset, len(runs))
	return runs[from:min(from+limit, len(runs))], w.read()
}

func (w *world) Incidents(_ context.Context, q assure.IncidentQuery) ([]assure.Incident, int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []assure.Incident
	for _, v := range w.incidents {
		if q.State == "" || v.Incident.State == q.State || q.State == assure.Open && v.Incident.State == assure.Acked {
			out = append(out, v.Incident)
		}
	}
	slices.SortStableFunc(out, func(a, b assure.Incident) int { return cmp.Compare(b.Stage, a.Stage) })
	limit := q.Limit
	if limit == 0 {
		limit = 50
	}
	from := min(q.Offset, len(out))
	return out[from:min(from+limit, len(out))], len(out), w.read()
}

func (w *world) Incident(_ context.Context, id assure.IncidentID, _ int) (assure.IncidentView, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.incidents {
		if v.Incident.ID == id {
			return v, w.read()
		}
	}
	return assure.IncidentView{}, assure.ErrNotFound
}

func (w *world) Claims(context.Context) ([]assure.ClaimView, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.watch), w.read()
}

func (w *world) Totals(context.Context) (assure.Totals, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := assure.Totals{Claims: map[assure.Link]map[assure.Verdict]int{}, Incidents: map[assure.Stage]int{}, Deliveries: map[assure.DeliveryState]int{}}
	n := map[assure.Count]int{}
	tally := func(list []assure.ClaimView) {
		for _, c := range list {
			if t.Claims[c.Claim.Link] == nil {
				t.Claims[c.Claim.Link] = map[assure.Verdict]int{}
			}
			t.Claims[c.Claim.Link][c.Verdict]++
			for _, f := range c.Findings {
				n[assure.Count{Reason: f.Reason, Severity: f.Severity}]++
			}
		}
	}
	for _, list := range w.claims {
		tally(list)
	}
	tally(w.watch)
	for k, v := range n {
		k.N = v
		t.Findings = append(t.Findings, k)
	}
	for _, v := range w.incidents {
		if v.Incident.State != assure.Resolved {
			t.Incidents[v.Incident.Stage]++
		}
		for _, d := range v.Deliveries {
			t.Deliveries[d.State]++
		}
	}
	for _, r := range w.rows {
		if !r.ValidUntil.IsZero() && (t.Soonest.IsZero() || r.ValidUntil.Before(t.Soonest)) {
			t.Soonest = r.ValidUntil
		}
	}
	return t, w.read()
}

func (w *world) Ping(context.Context) error { w.mu.Lock(); defer w.mu.Unlock(); return w.fail }

func (w *world) Acknowledge(_ context.Context, id assure.IncidentID, who string, at time.Time) (assure.Incident, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.incidents {
		v := &w.incidents[i]
		if v.Incident.ID != id {
			continue
		}
		next, e, ok := assure.Acknowledge(v.Incident, who, at)
		if ok {
			v.Incident = next
			v.Events = append(slices.Clone(v.Events), e)
			w.log = append(w.log, assure.Audit{At: at, Who: who, Action: "acknowledge", Object: string(id)})
			close(w.changed)
			w.changed = make(chan struct{})
		}
		return v.Incident, nil
	}
	return assure.Incident{}, assure.ErrNotFound
}

func (w *world) wait() <-chan struct{} { w.mu.Lock(); defer w.mu.Unlock(); return w.changed }

func get[V any](w *world, m map[string]V, k string) (V, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := m[k]
	if !ok {
		return v, assure.ErrNotFound
	}
	return v, nil
}

func put[V any](w *world, m map[string]V, k string, v V) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m[k] = v
	return nil
}
