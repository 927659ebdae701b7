package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// part is the part of a page about the renewal.
func part(t *testing.T, s *Server, name string) string {
	t.Helper()
	r := fetch(s, "GET", "/certificates/"+url.PathEscape(name), "", nil)
	_, body, ok := strings.Cut(r.Body.String(), `<section id="renewal"`)
	if r.Code != 200 || !ok {
		t.Fatalf("the page of %s gives %d and has a part about renewal: %t", name, r.Code, ok)
	}
	body, _, _ = strings.Cut(body, `id="h-served"`)
	return body
}

var rungLook = regexp.MustCompile(`<li class="rung r-(\w+)`)

func TestRenewalOnThePage(t *testing.T) {
	s := newServer(t, renewingWorld(), nil)
	for name, x := range map[string]struct {
		rungs string // the renewal first, then from the highest rung to the lowest
		says  []string
	}{
		renewedFine: {"upheld upheld upheld upheld upheld upheld", []string{
			"Next renewal <time", "the authority asks for a time between", "Authority’s window", `href="https://ca.example.net/why-then"`, "33 more attempts before the certificate ends",
			"every 15m", "Rehearsed order, the last 12: 11 worked, 1 failed", "Key and certificate", "systemctl reload nginx", "6 of 6 addresses serve it", "by the schedule", "63.1 s", "3 ms",
		}},
		renewedDenied: {"broken off upheld broken broken upheld", []string{
			"something it needs was lost", renewerObject, renewerAction, renewerZone, "Assign the role DNS Zone Contributor", "A repair is believed once it is proven",
			"How to switch it on", "rehearse: {full: 7d", "the last 20: 17 worked, 3 failed", "at the step Challenge", "next <time",
		}},
		renewedFailing: {"broken off upheld upheld upheld upheld", []string{"4 attempts in a row failed, the next is made", "28 more attempts", "Told to wait</dt><dd>6h", "by Ana", "rate_limited", "Next attempt"}},
		renewedRunning: {"busy off unknown upheld unknown upheld", []string{"A renewal is under way, begun", "Asked for by</dt><dd>Bo", "after the step Propagation", "The next step is under way.", "Never climbed"}},
		renewedFirst:   {"broken off unknown unknown unknown broken", []string{"The last attempt failed", "no certificate has been issued yet", "Add a CAA record"}},
		renewedQuietly: {"upheld off unknown off off upheld", []string{"used an older authorization again", "It needs a challenge that writes DNS", "unclear"}},
	} {
		body := part(t, s, name)
		var looks []string
		for _, m := range rungLook.FindAllStringSubmatch(body, -1) {
			looks = append(looks, m[1])
		}
		if got := strings.Join(looks, " "); got != x.rungs {
			t.Errorf("%s: the ladder is %s, want %s", name, got, x.rungs)
		}
		for _, text := range x.says {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not say %q", name, text)
			}
		}
		if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, " style=") {
			t.Errorf("%s: something was not safe to show", name)
		}
	}
	page := fetch(s, "GET", "/certificates/"+renewedFine, "", nil).Body.String()
	if strings.Contains(page, "Other links") || !strings.Contains(page, "Renewal due</span>") {
		t.Error("the claims about renewal are told twice, or the drawing of the lifetime does not say when the renewal is due")
	}
	if page = fetch(s, "GET", "/certificates/watched-only", "", nil).Body.String(); strings.Contains(page, `id="renewal"`) || !strings.Contains(page, "Renewal expected") {
		t.Error("a certificate that is only watched has a part about its renewal")
	}
	body := fetch(s, "GET", "/", "", nil).Body.String()
	for _, link := range []string{"permission: broken", "renewal: unknown", "issuance: upheld", "issuance: nothing claimed"} {
		if !strings.Contains(body, link) {
			t.Errorf("the overview does not say %q", link)
		}
	}
}

// TestRenewalOnEveryPage: many endpoints push nothing of the renewal off the page.
func TestRenewalOnEveryPage(t *testing.T) {
	w := renewingWorld()
	for i := range 60 {
		c := w.claims[renewedFine][len(w.claims[renewedFine])-1]
		c.Claim.Subject = fmt.Sprintf("more%d.example.com", i)
		w.claims[renewedFine] = append(w.claims[renewedFine], c)
	}
	s := newServer(t, w, nil)
	body := fetch(s, "GET", "/certificates/"+renewedFine+"?page=3", "", nil).Body.String()
	if !strings.Contains(body, "Next renewal") || strings.Count(body, `<li class="rung r-upheld`) != 6 {
		t.Error("the third page says nothing about the renewal")
	}
}

func TestGrantIncident(t *testing.T) {
	w := renewingWorld()
	s := newServer(t, w, nil)
	for _, v := range w.incidents {
		if v.Incident.Reason != assure.DNSWriteDenied {
			continue
		}
		body := fetch(s, "GET", "/incidents/"+string(v.Incident.ID), "", nil).Body.String()
		for _, x := range []string{
			"<dt>Identity</dt><dd><code>" + renewerObject, "<dt>May not</dt><dd><code>" + renewerAction, "<dt>Where</dt><dd><code>" + renewerZone,
			"What is at stake", `href="/certificates/hosted-fr#renewal"`, "30 Dec 2026 09:00 UTC", "29 Jan 2027 09:00 UTC", "rehearsal: canary record", "the renewal",
		} {
			if !strings.Contains(body, x) {
				t.Errorf("the incident does not say %q", x)
			}
		}
		return
	}
	t.Error("there is no incident about the grant")
}

func TestAskOnThePage(t *testing.T) {
	w := renewingWorld()
	s := newServer(t, w, nil)
	token := hidden(part(t, s, renewedFine), "csrf")
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for _, x := range []struct {
		path, body string
		want       int
	}{
		{renewedFine + "/renew", "csrf=" + token + "&who=Ana", 303},
		{renewedFine + "/rehearse", "csrf=" + token + "&who=Ana&rung=", 303},
		{renewedFine + "/rehearse", "csrf=" + token + "&who=Ana&rung=canary", 303},
		{renewedFine + "/renew", "who=Ana", 403},
		{renewedFine + "/rehearse", "csrf=" + token + "x&who=Ana", 403},
		{renewedFine + "/renew", "csrf=" + token, 422},
		{renewedFine + "/renew", "csrf=" + token + "&who=A%0Ana", 422},
		{renewedFine + "/rehearse", "csrf=" + token + "&who=Ana&rung=sixth", 422},
		{"watched-only/renew", "csrf=" + token + "&who=Ana", 404},
		{"none/rehearse", "csrf=" + token + "&who=Ana", 404},
	} {
		r := fetch(s, "POST", "/certificates/"+x.path, x.body, form)
		if r.Code != x.want {
			t.Errorf("%s with %q gives %d, want %d", x.path, x.body, r.Code, x.want)
		}
		if r.Code == 303 && r.Header().Get("Location") != "/certificates/"+renewedFine+"#renewal" {
			t.Errorf("it leads to %s", r.Header().Get("Location"))
		}
	}
	want := []string{"renew hosted-de for Ana, force true", "rehearse hosted-de for Ana []", "rehearse hosted-de for Ana [rehearse_canary]"}
	if !slices.Equal(wishes(w), want) {
		t.Errorf("asked for were %q", wishes(w))
	}
	if got := actions(w); !slices.Equal(got, []string{"Ana: renew", "Ana: rehearse", "Ana: rehearse"}) {
		t.Errorf("the audit log holds %q", got)
	}
	if audit := fetch(s, "GET", "/audit", "", nil).Body.String(); !strings.Contains(audit, "every rung that is switched on") || !strings.Contains(audit, "hosted-de") {
		t.Error("the audit log does not say what was rehearsed")
	}
	r := fetch(s, "POST", "/certificates/"+renewedFine+"/renew", "csrf="+token+"&who=Ana", map[string]string{"Content-Type": form["Content-Type"], "Sec-Fetch-Site": "cross-site"})
	if r.Code != 403 {
		t.Errorf("a form of another site gives %d", r.Code)
	}
}

// TestWhoMayRenew: a cookie alone renews nothing through the API, a token that may only read renews nothing at all, and
// what is noted is the name of whoever signed in.
func TestWhoMayRenew(t *testing.T) {
	w := renewingWorld()
	srv := locked(t, w, nil)
	path := srv.URL + "/api/v1/certificates/" + renewedFine
	for name, scope := range map[string]string{"reader": scopeRead, "writer": scopeWrite} {
		if err := w.PutToken(t.Context(), assure.Token{Name: name, Scope: scope, TokenHash: hash(tokenPrefix + name), Created: worldNow}); err != nil {
			t.Fatal(err)
		}
	}
	c := client(t)
	post := func(path, payload string, h map[string]string) int {
		t.Helper()
		req, _ := http.NewRequest(http.MethodPost, path, strings.NewReader(payload))
		req.Header.Set("Content-Type", "application/json")
		for k, v := range h {
			req.Header.Set(k, v)
		}
		r, err := c.Do(req)
		code, _, _ := read(t, r, err)
		return code
	}
	bearer := func(name string) map[string]string {
		return map[string]string{"Authorization": "Bearer " + tokenPrefix + name}
	}
	for _, x := range []struct {
		what   string
		path   string
		header map[string]string
		want   int
	}{
		{"nobody", path + "/renew", nil, 401},
		{"nobody, on the page", srv.URL + "/certificates/" + renewedFine + "/renew", nil, 401},
		{"a token that may read", path + "/renew", bearer("reader"), 403},
		{"a token that may read", path + "/rehearse", bearer("reader"), 403},
		{"a token on the page", srv.URL + "/certificates/" + renewedFine + "/renew", bearer("writer"), 401},
	} {
		if got := post(x.path, `{"force": true}`, x.header); got != x.want {
			t.Errorf("%s: %d, want %d", x.what, got, x.want)
		}
	}
	if got := post(path+"/renew", `{"force": true, "who": "Bo"}`, bearer("writer")); got != 202 {
		t.Errorf("a token that may write gives %d", got)
	}
	if got := post(path+"/rehearse", ``, bearer("writer")); got != 202 {
		t.Errorf("a token that may write, without a body, gives %d", got)
	}
	signIn(t, c, srv.URL, "ana", "pw", "/")
	if got := post(path+"/renew", `{"force": true}`, nil); got != 403 {
		t.Errorf("a cookie alone gives %d", got)
	}
	r, err := c.Get(srv.URL + "/certificates/" + renewedFine)
	_, body, _ := read(t, r, err)
	if strings.Contains(body, `id="renew-who"`) {
		t.Error("who signed in is asked for a name")
	}
	r, err = c.PostForm(srv.URL+"/certificates/"+renewedFine+"/renew", url.Values{"csrf": {hidden(body, "csrf")}, "who": {"somebody else"}})
	_, _, _ = read(t, r, err)
	want := []string{"renew hosted-de for Bo (token writer), force true", "rehearse hosted-de for token writer []", "renew hosted-de for ana, force true"}
	if got := wishes(w); !slices.Equal(got, want) {
		t.Errorf("asked for were %q", got)
	}
}

// TestHostileAttempts: what a renewer met outside cannot speak as markup, and odd times draw nothing outside the drawing.
func TestHostileAttempts(t *testing.T) {
	w := renewingWorld()
	evil := `"><script>alert(1)</script>` + "\u202e{{.}}"
	trouble := &assure.Trouble{Reason: assure.Reason(evil), Class: assure.TroubleClass(evil), Identity: evil, Action: evil, Scope: evil, Detail: evil, Remedy: evil}
	w.attempts[renewedFine] = []assure.Attempt{
		{ID: 3, Kind: assure.AttemptKind(evil), By: evil, Started: worldNow.Add(time.Hour), Outcome: assure.Outcome(evil), Fingerprint: evil, Steps: []assure.Step{
			{Name: evil, Target: evil, Detail: evil, Outcome: assure.Outcome(evil), At: worldNow.Add(-900 * day), Took: -time.Hour, Trouble: trouble},
			{Name: evil, Outcome: assure.Failed, At: worldNow.Add(900 * day), Took: 1 << 62, Trouble: trouble},
		}},
		{ID: 2, Kind: assure.AttemptRenewal, Started: worldNow, Ended: worldNow.Add(-time.Hour)},
		{ID: 1, Kind: assure.RehearseFull},
	}
	st := w.renewals[renewedFine]
	st.Why, st.Forced, st.WindowFrom, st.LastTrouble, st.UnprovenBy, st.Unproven, st.Failures = evil, evil, "javascript:alert(1)", trouble, trouble, worldNow, 1
	w.renewals[renewedFine] = st
	s := newServer(t, w, nil)
	body := part(t, s, renewedFine)
	if strings.Contains(body, "<script>alert") || strings.Contains(body, `href="javascript`) || !strings.Contains(body, "&lt;script&gt;") {
		t.Error("what was met outside speaks as markup, or is not shown")
	}
	for _, m := range regexp.MustCompile(`(?:x|width)="(-?[0-9.]+|NaN|[+-]Inf)%"`).FindAllStringSubmatch(body, -1) {
		var n float64
		if _, err := fmt.Sscan(m[1], &n); err != nil || n < 0 || n > 100 {
			t.Errorf("something is drawn at %s", m[0])
		}
	}
	if r := fetch(s, "GET", "/api/v1/certificates/"+renewedFine+"/renewal", "", nil); r.Code != 200 {
		t.Errorf("the API gives %d", r.Code)
	}
}

func TestRenewalMetrics(t *testing.T) {
	body := fetch(newServer(t, renewingWorld(), nil), "GET", "/metrics", "", nil).Body.String()
	for _, want := range []string{
		`notafter_certificate_renewal_due_timestamp_seconds{certificate="hosted-de"} ` + num(worldNow.Add(49*day+5*time.Hour)),
		`notafter_certificate_renewal_failures{certificate="hosted-it"} 4`, `notafter_certificate_renewal_failures{certificate="hosted-de"} 0`,
		`notafter_certificate_last_renewal_timestamp_seconds{certificate="hosted-fr"} `, `notafter_rehearsal_last_success_timestamp_seconds{certificate="hosted-de",rung="full"} `,
		`notafter_rehearsal_last_success_timestamp_seconds{certificate="hosted-fr",rung="canary"} `,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	for _, no := range []string{`renewal_failures{certificate="watched-only"`, `last_renewal_timestamp_seconds{certificate="hosted-new"`, `rung="renewal"`, `certificate="hosted-fr",rung="full"`} {
		if strings.Contains(body, no) {
			t.Errorf("metrics hold %s", no)
		}
	}
	body = fetch(newServer(t, renewingWorld(), func(o *Options) { o.CertificateSeries = 2 }), "GET", "/metrics", "", nil).Body.String()
	if n := strings.Count(body, "notafter_certificate_renewal_failures{"); n != 2 {
		t.Errorf("with a limit of 2 certificates there are %d series of failures", n)
	}
}

// TestHealthWhileStarting: what has not been looked at yet is no failure, as long as whoever judges says so.
func TestHealthWhileStarting(t *testing.T) {
	w := quietWorld()
	status := func() string {
		t.Helper()
		var d healthDoc
		if err := json.Unmarshal(fetch(newServer(t, w, nil), "GET", "/api/v1/health", "", nil).Body.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		return d.Status
	}
	if got := status(); got != "ok" {
		t.Errorf("when all is well it is %s", got)
	}
	c := w.watch[0].Claim
	patrol := func(f assure.Fact) {
		w.watch = nil
		w.judge(c, f, assure.Setting{Now: worldNow, DefaultRoute: "sre"}, &w.watch)
	}
	patrol(assure.Sight{Expected: 9, Observed: 8, Tried: 3, Reached: 3})
	if got := status(); got != "starting" {
		t.Errorf("in the first round it is %s", got)
	}
	patrol(assure.Sight{Expected: 9, Observed: 8, Tried: 3})
	if got := status(); got != "failing" {
		t.Errorf("when nothing can be reached it is %s", got)
	}
	patrol(nil)
	if got := status(); got != "failing" {
		t.Errorf("when nobody has looked for a month it is %s", got)
	}
}

func TestWordsOfRenewals(t *testing.T) {
	fine := newBooks(renewedFine, &assure.Cert{Fingerprint: fingerprint("x"), NotBefore: worldNow.Add(-10 * day), NotAfter: worldNow.Add(80 * day)})
	rung := func(k assure.AttemptKind, tr *assure.Trouble) assure.Rehearsed {
		return assure.Rehearsed{Rung: k, Steps: fine.rung(k, worldNow, tr)}
	}
	unclear := &assure.Trouble{Reason: assure.RehearsalInconclusive, Detail: "it was used again."}
	for want, f := range map[string]assure.Fact{
		"Canary record worked, in 3 steps.": rung(assure.RehearseCanary, nil),
		"Canary record failed at the step Challenge: no role assignment of the identity allows it.": rung(assure.RehearseCanary, deniedTrouble()),
		"Rehearsed order unclear at the step Validation: it was used again.":                        rung(assure.RehearseAuthorize, unclear),
		"Dress rehearsal: nothing could be tried.":                                                  assure.Rehearsed{Rung: assure.RehearseFull},
		"No certificate has been issued yet. A renewal is under way.":                               assure.Renewing{State: assure.RenewalState{Running: worldNow}},
		"The newest certificate, aa, is valid until 24 Nov 2026 09:00 UTC. It lacks b.example. 2 attempts in a row failed, the last: no.": assure.Renewing{
			Newest: &assure.Cert{Fingerprint: "aa", NotAfter: worldNow}, Installed: worldNow, Missing: []string{"b.example"}, State: assure.RenewalState{Failures: 2, LastTrouble: &assure.Trouble{Detail: "no."}},
		},
		"The newest certificate, aa, is valid until 24 Nov 2026 09:00 UTC. It was not seen in service yet. The next renewal is due at 24 Nov 2026 09:00 UTC. Something that renewal needs was lost, and a repair is not proven yet.": assure.Renewing{
			Newest: &assure.Cert{Fingerprint: "aa", NotAfter: worldNow}, State: assure.RenewalState{Due: worldNow, Unproven: worldNow},
		},
	} {
		if got := factWords(f); got != want {
			t.Errorf("the words are\n%q, want\n%q", got, want)
		}
	}
	e := newEndpointView(assure.ClaimView{Claim: assure.Claim{Subject: string(assure.RehearseCanary), Link: assure.Permission}, Evidence: &assure.Evidence{Fact: rung(assure.RehearseCanary, nil)}}, lettering{}, time.Time{}, worldNow, assure.Policy{})
	if e.Trouble != "Canary record worked, in 3 steps." || e.About() == "" {
		t.Errorf("the claim says %q about %q", e.Trouble, e.About())
	}
}

// TestMarkOfTheRunway: where notafter plans the renewal itself, its own plan is drawn.
func TestMarkOfTheRunway(t *testing.T) {
	until, renewBy := worldNow.Add(80*day), worldNow.Add(53*day)
	if b := newBar(worldNow, worldNow.Add(20*day), renewBy, until); b.State != "good" || !b.HasRenewalMark || b.Renew != along(20*day) {
		t.Errorf("with a plan the runway is %+v", b)
	}
	for what, due := range map[string]time.Time{"without a plan": {}, "when it is due": worldNow, "with a plan beyond the end": until.Add(day)} {
		if b := newBar(worldNow, due, renewBy, until); b.Renew != along(53*day) {
			t.Errorf("%s the runway is %+v", what, b)
		}
	}
	plan := assure.PlanLife(worldNow.Add(-10*day), until, 0, assure.Policy{})
	l := newLife(plan, worldNow.Add(70*day), plan.RenewBy, time.Time{}, worldNow)
	if l.Expected < .88 || l.RenewBy < l.Expected || l.PageAt < l.RenewBy || l.LateWidth < 0 || l.LastWidth < 0 {
		t.Errorf("a late plan is drawn as %+v", l)
	}
	i := slices.IndexFunc(l.Marks, func(m mark) bool { return m.Label == "Renewal due" })
	if i < 0 || !l.Marks[i].At.Equal(worldNow.Add(70*day)) {
		t.Errorf("the marks are %+v", l.Marks)
	}
}
