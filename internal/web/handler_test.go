package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/notafter/notafter/internal/assure"
)

// fetch asks a server without a connection.
func fetch(s *Server, method, target string, body string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost:8710"
	r.RemoteAddr = "127.0.0.1:4711"
	for k, v := range header {
		if k == "Host" {
			r.Host = v
			continue
		}
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestPages(t *testing.T) {
	w := newWorld()
	s := newServer(t, w, nil)
	id := string(openIncident(w))
	for _, x := range []struct {
		path string
		code int
		says []string
	}{
		{"/", 200, []string{"Clients are being refused.", "shop.example.com", "serving: broken", "Patrol", "2 of 3 well", "certificates refused now.", "certificates broken in all."}},
		{"/?verdict=unknown", 200, []string{"metrics.example.com", "legacy-erp"}},
		{"/?q=HOSTED", 200, []string{"hosted-eu", "hosted-us", ">Clear<"}},
		{"/?verdict=x&link=y&severity=z&page=-4&order=w", 200, []string{"hosted-eu"}},
		{"/certificates/wiki", 200, []string{"chain_expiring", "ends first", "trust anchor", "Renewed by, at the latest", "What was served, where and when", "valid until"}},
		{"/certificates/mail", 200, []string{"chain_incomplete", "Without it, clients that fetch nothing themselves cannot reach a root.", "Do next", "Who notices", "docs/reasons/chain_incomplete.md"}},
		{"/certificates/legacy-erp", 200, []string{"Connection refused at connect", "no certificate"}},
		{"/certificates/metrics.example.com", 200, []string{"Nobody has looked yet.", "Not seen yet"}},
		{"/certificates/nothing", 404, []string{"Not found"}},
		{"/incidents", 200, []string{"not acknowledged", "acknowledged by Ana"}},
		{"/incidents?state=resolved", 200, []string{"None on record."}},
		{"/incidents/" + id, 200, []string{">Acknowledge<", "Your name", "pagerduty", "accepted", "temporary", "What happened"}},
		{"/incidents/none", 404, []string{"Not found"}},
		{"/monitor", 200, []string{"77 of 77 endpoints with fresh evidence", "The last delivery was denied: 404 no_service.", "The last delivery was accepted.", "channel_failing"}},
		{"/look", 200, []string{"Look now"}},
		{"/api", 200, []string{"/api/v1/check"}},
		{"/audit", 200, []string{"Audit log"}},
		{"/nowhere", 404, []string{"Not found"}},
		{"/assets/style.css", 404, nil},
		{"/tokens", 404, nil},
	} {
		r := fetch(s, "GET", x.path, "", nil)
		if r.Code != x.code {
			t.Errorf("%s gives %d, want %d", x.path, r.Code, x.code)
		}
		for _, text := range x.says {
			if !strings.Contains(r.Body.String(), text) {
				t.Errorf("%s does not say %q", x.path, text)
			}
		}
	}
	if body := fetch(s, "GET", "/", "", nil).Body.String(); strings.Contains(body, "issuance") {
		t.Error("the overview has a column for a link that nothing is claimed about anywhere")
	}
	if body := fetch(s, "GET", "/certificates/hosted-eu", "", nil).Body.String(); !strings.Contains(body, "issuance") {
		t.Error("the page of a certificate does not show the whole chain")
	}
	if body := fetch(newServer(t, quietWorld(), nil), "GET", "/", "", nil).Body.String(); !strings.Contains(body, "Every certificate holds.") || strings.Contains(body, "Open incidents") {
		t.Error("a quiet world does not look quiet")
	}
}

// TestStoreDown: what cannot be read is never shown as if it were well.
func TestStoreDown(t *testing.T) {
	w := quietWorld()
	w.fail = errors.New("disk on fire")
	s := newServer(t, w, nil)
	for _, path := range []string{"/", "/certificates/hosted-eu", "/incidents", "/monitor", "/api/v1/certificates", "/api/v1/totals", "/api/v1/certificates/hosted-eu/renewal", "/readyz"} {
		r := fetch(s, "GET", path, "", nil)
		if r.Code < 500 || strings.Contains(r.Body.String(), "disk on fire") || strings.Contains(r.Body.String(), "Every certificate holds") {
			t.Errorf("%s gives %d: %.200s", path, r.Code, r.Body)
		}
	}
	if r := fetch(s, "GET", "/healthz", "", nil); r.Code != 200 {
		t.Errorf("healthz gives %d; the process itself is well", r.Code)
	}
	body := fetch(s, "GET", "/metrics", "", nil).Body.String()
	if !strings.Contains(body, "notafter_store_up 0") || strings.Contains(body, "notafter_findings{") {
		t.Error("metrics show figures that could not be read")
	}
	var d healthDoc
	if err := json.Unmarshal(fetch(s, "GET", "/api/v1/health", "", nil).Body.Bytes(), &d); err != nil || d.Status != "failing" || d.Ready != "failing" || d.Process != "ok" {
		t.Errorf("the health document says %+v (%v)", d, err)
	}
}

func TestHostileNames(t *testing.T) {
	w := newWorld()
	evil := `"><script>alert(1)</script><img src=x onerror=alert(2)>'/../` + "\u202e{{.}}"
	for i := range w.rows {
		if w.rows[i].Certificate == "shop.example.com" {
			w.rows[i].Certificate, w.rows[i].Owner, w.rows[i].Summary = evil, evil, evil
		}
	}
	claims := w.claims["shop.example.com"]
	for i := range claims {
		claims[i].Claim.Subject, claims[i].Claim.Certificate = evil, evil
		for k := range claims[i].Findings {
			claims[i].Findings[k].Summary, claims[i].Findings[k].Impact, claims[i].Findings[k].Basis, claims[i].Findings[k].Reason = evil, evil, evil, assure.Reason(evil)
		}
		f := claims[i].Evidence.Fact.(assure.Served)
		f.Certs[0].Subject, f.Certs[0].Names, f.Sightings[0].Detail, f.Sightings[0].Failure = evil, []string{evil}, evil, assure.Failure(evil)
	}
	w.claims[evil], w.runs[evil] = claims, w.runs["shop.example.com"]
	v := &w.incidents[0]
	v.Incident.Summary, v.Incident.Cause, v.Incident.AckedBy = evil, evil, evil
	v.Touches[0].Certificate, v.Touches[0].Subject = evil, evil
	v.Events = append(v.Events, assure.Event{Kind: evil, Text: evil, Who: evil})
	v.Receipts = append(v.Receipts, assure.Receipt{Delivery: 1, Detail: evil})
	s := newServer(t, w, nil)
	for _, path := range []string{"/", "/certificates/" + url.PathEscape(evil), "/incidents", "/incidents/" + string(v.Incident.ID), "/?q=" + url.QueryEscape(evil), "/look?target=" + url.QueryEscape(evil)} {
		r := fetch(s, "GET", path, "", nil)
		body := r.Body.String()
		if r.Code != 200 {
			t.Errorf("%s gives %d", path, r.Code)
		}
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "<img src=x") || !strings.Contains(body, "&lt;script&gt;") {
			t.Errorf("%s lets a name speak as markup, or does not show it", path)
		}
	}
	if !strings.Contains(fetch(s, "GET", "/", "", nil).Body.String(), `href="/certificates/`+url.PathEscape(evil)[:20]) {
		t.Error("the link to the certificate is not escaped as a path")
	}
	if r := fetch(s, "GET", "/metrics", "", nil); r.Code != 200 {
		t.Errorf("metrics give %d", r.Code)
	}
}

func TestHeaders(t *testing.T) {
	s := newServer(t, newWorld(), nil)
	body := fetch(s, "GET", "/", "", nil)
	h := body.Header()
	for k, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Content-Security-Policy": contentPolicy} {
		if h.Get(k) != want {
			t.Errorf("%s is %q", k, h.Get(k))
		}
	}
	// The policy allows nothing inline, so nothing may be inline.
	for _, bad := range []string{"<style", " style=", " onclick=", "javascript:", "<script>"} {
		if strings.Contains(body.Body.String(), bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for name, at := range s.assets.urls {
		r := fetch(s, "GET", at, "", nil)
		if r.Code != 200 || !strings.Contains(r.Header().Get("Cache-Control"), "immutable") || r.Body.Len() == 0 {
			t.Errorf("%s at %s gives %d", name, at, r.Code)
		}
	}
}

// TestRebinding: where nobody signs in, a web site that points its own name at loopback gets nothing.
func TestRebinding(t *testing.T) {
	s := newServer(t, newWorld(), func(o *Options) { o.BaseURL = "http://notafter.test:8710" })
	for host, want := range map[string]int{
		"127.0.0.1:8710": 200, "[::1]:8710": 200, "localhost": 200, "LOCALHOST.:8710": 200, "notafter.test:8710": 200, "x.localhost:8710": 200,
		"evil.example:8710": 403, "127.0.0.1.evil.example": 403, "192.0.2.1:8710": 403, "": 403, "localhost.evil.example": 403,
	} {
		for _, path := range []string{"/", "/api/v1/certificates", "/metrics", "/healthz"} {
			if r := fetch(s, "GET", path, "", map[string]string{"Host": host}); r.Code != want {
				t.Errorf("%s for host %q gives %d, want %d", path, host, r.Code, want)
			}
		}
	}
}

func TestAcknowledgeInTheOpen(t *testing.T) {
	w := newWorld()
	s := newServer(t, w, nil)
	id := string(openIncident(w))
	token := hidden(fetch(s, "GET", "/incidents/"+id, "", nil).Body.String(), "csrf")
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	post := func(body string) int { return fetch(s, "POST", "/incidents/"+id+"/acknowledge", body, form).Code }
	for body, want := range map[string]int{
		"": 403, "who=Ana": 403, "csrf=" + token: 422, "csrf=" + token + "&who=" + strings.Repeat("x", 81): 422, "csrf=" + token + "&who=a%00b": 422,
		"csrf=" + token + "&who=" + strings.Repeat("x", bodyLimit): 413,
	} {
		if got := post(body); got != want {
			t.Errorf("%.60q gives %d, want %d", body, got, want)
		}
	}
	if got := post("csrf=" + token + "&who=Bo"); got != 303 {
		t.Fatalf("it gives %d", got)
	}
	if body := fetch(s, "GET", "/incidents/"+id, "", nil).Body.String(); !strings.Contains(body, "Acknowledged by <strong>Bo</strong>") || strings.Contains(body, `id="ack"`) {
		t.Error("the page does not show who took it, or still asks")
	}
	if r := fetch(s, "POST", "/api/v1/incidents/"+id+"/acknowledge", "", nil); r.Code != 422 {
		t.Errorf("the API takes an acknowledgement by nobody: %d", r.Code)
	}
	if r := fetch(s, "POST", "/api/v1/incidents/none/acknowledge", "", nil); r.Code != 404 {
		t.Errorf("an unknown incident acknowledged by nobody gives %d", r.Code)
	}
	if r := fetch(s, "GET", "/api/v1/incidents?state=all", "", nil); r.Code != 200 || !strings.Contains(r.Body.String(), id) {
		t.Errorf("incidents of all states give %d", r.Code)
	}
	if r := fetch(s, "POST", "/api/v1/incidents/none/acknowledge", `{"who":"Bo"}`, map[string]string{"Content-Type": "application/json"}); r.Code != 404 || r.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("an unknown incident gives %d %s", r.Code, r.Header().Get("Content-Type"))
	}
}

// manyRows is a store of a hundred thousand certificates.
func manyRows(n int) *world {
	w := emptyWorld()
	for i := range n {
		w.rows = append(w.rows, assure.Row{
			Certificate: fmt.Sprintf("cert-%06d", i), Endpoints: 1, Severity: assure.Info, Links: map[assure.Link]assure.Verdict{assure.Serving: assure.Upheld},
			ValidUntil: worldNow.Add(time.Duration(i+1) * time.Minute),
		})
	}
	return w
}

func TestHundredThousand(t *testing.T) {
	w := manyRows(100_000)
	s := newServer(t, w, nil)
	r := fetch(s, "GET", "/?page=2000", "", nil)
	body := r.Body.String()
	if r.Code != 200 || !strings.Contains(body, "cert-099999") || !strings.Contains(body, "99,951–100,000 of 100,000") || strings.Contains(body, `rel="next"`) || !strings.Contains(body, `href="/?page=1999"`) {
		t.Errorf("the last page gives %d", r.Code)
	}
	if n := strings.Count(body, `role="rowheader"`); n != 50 {
		t.Errorf("a page has %d rows", n)
	}
	if len(body) > 200_000 {
		t.Errorf("a page has %d bytes", len(body))
	}
	// Gathered and not fetched: an answer has a time limit, which a busy machine may need for so many.
	families, err := s.opts.Gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"notafter_certificates_without_series": 95_000, "notafter_certificates": 100_000}
	for _, f := range families {
		if name := f.GetName(); name == "notafter_certificate_valid_until_timestamp_seconds" && len(f.GetMetric()) != defaultSeries {
			t.Errorf("%d certificates have a series", len(f.GetMetric()))
		} else if v, ok := want[name]; ok && f.GetMetric()[0].GetGauge().GetValue() == v {
			delete(want, name)
		}
	}
	if len(want) > 0 {
		t.Errorf("those left out are not counted: %v", want)
	}
}

func TestMetrics(t *testing.T) {
	s := newServer(t, newWorld(), nil)
	body := fetch(s, "GET", "/metrics", "", nil).Body.String()
	for _, reason := range assure.Reasons() {
		for _, sev := range []string{"info", "ticket", "page"} {
			if !strings.Contains(body, fmt.Sprintf("\nnotafter_findings{reason=%q,severity=%q} ", reason, sev)) {
				t.Errorf("no series for %s %s", reason, sev)
			}
		}
	}
	for _, want := range []string{
		`notafter_findings{reason="revoked",severity="page"} 0`, `notafter_findings{reason="expired",severity="page"} 2`, `notafter_claims{link="people",verdict="broken"} 1`,
		`notafter_incidents_open{stage="outage"} 3`, `notafter_deliveries{state="pending"} 0`, `notafter_store_up 1`,
		`notafter_certificate_valid_until_timestamp_seconds{certificate="hosted-eu"} ` + num(worldNow.Add(70*day)), `notafter_build_info{goversion=`, "go_goroutines",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "notafter_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestProbeLikeBlackbox(t *testing.T) {
	s := newServer(t, newWorld(), nil)
	good, gone := worldNow.Add(70*day), worldNow.Add(-day)
	for target, want := range map[string][]string{
		"good.example":        {"probe_success 1", "probe_ssl_earliest_cert_expiry " + num(good), "probe_ssl_last_chain_expiry_timestamp_seconds " + num(good), `probe_tls_version_info{version="TLS 1.3"} 1`, "probe_duration_seconds "},
		"expired.example":     {"probe_success 0", "probe_ssl_earliest_cert_expiry " + num(gone), "probe_ssl_last_chain_expiry_timestamp_seconds " + num(gone), `subjectalternative="expired.example,www.expired.example"`},
		"incomplete.example":  {"probe_success 0", "probe_ssl_earliest_cert_expiry " + num(good), "probe_ssl_last_chain_info{fingerprint_sha256="},
		"unreachable.example": {"probe_success 0", `notafter_probe_finding{reason="`},
	} {
		body := fetch(s, "GET", "/probe?target="+target, "", nil).Body.String()
		for _, x := range want {
			if !strings.Contains(body, x) {
				t.Errorf("%s lacks %q:\n%s", target, x, body)
			}
		}
		if target == "unreachable.example" && strings.Contains(body, "probe_ssl") {
			t.Error("dates of a certificate that nobody saw")
		}
	}
	for _, q := range []string{"", "target=", "target=a%20b", "target=good.example&module=none"} {
		if r := fetch(s, "GET", "/probe?"+q, "", nil); r.Code != 400 {
			t.Errorf("%q gives %d", q, r.Code)
		}
	}
}

func num(t time.Time) string { return fmt.Sprintf("%g", float64(t.Unix())) }

func TestAPI(t *testing.T) {
	w := newWorld()
	s := newServer(t, w, nil)
	var list certificatesDoc
	get := func(path string, into any) {
		t.Helper()
		r := fetch(s, "GET", path, "", nil)
		if r.Code != 200 {
			t.Fatalf("%s gives %d: %s", path, r.Code, r.Body)
		}
		if err := json.Unmarshal(r.Body.Bytes(), into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	get("/api/v1/certificates?verdict=broken&limit=2&offset=1", &list)
	if len(list.Certificates) != 2 || list.Total != list.Broken || list.Certificates[0].Verdict != "broken" {
		t.Errorf("the list is %+v", list)
	}
	var c certificateFullDoc
	get("/api/v1/certificates/shop.example.com", &c)
	if len(c.Endpoints) != 2 || c.Endpoints[0].Findings[0].Reason != "expired" || *c.Endpoints[0].Runway != 0 || len(c.Endpoints[0].Addresses) != 2 || len(c.Endpoints[0].Addresses[0].Chain) != 2 || len(c.Incidents) == 0 {
		t.Errorf("the certificate is %+v", c)
	}
	var h historyDoc
	get("/api/v1/certificates/shop.example.com/history", &h)
	if len(h.Runs) != 4 || h.Runs[0].Leaf == nil {
		t.Errorf("the history is %+v", h)
	}
	var i incidentFullDoc
	get("/api/v1/incidents/"+string(openIncident(w)), &i)
	if i.Touched == 0 || len(i.Deliveries) == 0 || len(i.Deliveries[0].Receipts) == 0 {
		t.Errorf("the incident is %+v", i)
	}
	var check checkDoc
	r := fetch(s, "POST", "/api/v1/check", `{"target":"expired.example"}`, map[string]string{"Content-Type": "application/json"})
	if err := json.Unmarshal(r.Body.Bytes(), &check); err != nil || r.Code != 200 || check.Endpoints[0].Verdict != "broken" || check.Endpoints[0].Findings[0].Reason != "expired" {
		t.Errorf("the check gives %d %s", r.Code, r.Body)
	}
	for path, want := range map[string]int{"/api/v1/certificates?limit=501": 422, "/api/v1/certificates?verdict=maybe": 422, "/api/v1/certificates?colour=red": 422, "/api/v1/certificates/none": 404, "/api/v1/none": 404} {
		if r := fetch(s, "GET", path, "", nil); r.Code != want || !strings.HasPrefix(r.Header().Get("Content-Type"), "application/problem+json") {
			t.Errorf("%s gives %d %s", path, r.Code, r.Header().Get("Content-Type"))
		}
	}
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	get("/api/v1/openapi.json", &doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("the document is of version %s", doc.OpenAPI)
	}
	listed := 0
	for path, ops := range doc.Paths {
		for method := range ops {
			listed++
			if summaryOf(strings.ToUpper(method), path) == "" {
				t.Errorf("%s %s is not on the page about the API", method, path)
			}
		}
	}
	if listed != len(operations()) {
		t.Errorf("the document lists %d operations, the page %d", listed, len(operations()))
	}
	if r := fetch(s, "GET", "/api/v1/openapi.yaml", "", nil); r.Code != 200 || !strings.Contains(r.Body.String(), "openapi: ") {
		t.Errorf("the YAML document gives %d", r.Code)
	}
}

func TestLookNow(t *testing.T) {
	s := newServer(t, newWorld(), nil)
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	token := hidden(fetch(s, "GET", "/look", "", nil).Body.String(), "csrf")
	if r := fetch(s, "POST", "/look", "csrf="+token+"&target=expired.example", form); r.Code != 200 || !strings.Contains(r.Body.String(), "<code class=\"code\">expired</code>") {
		t.Errorf("it gives %d", r.Code)
	}
	if r := fetch(s, "POST", "/look", "csrf="+token+"&target=no+target", form); r.Code != 422 || !strings.Contains(r.Body.String(), "This is no target") {
		t.Errorf("nonsense gives %d", r.Code)
	}
	if r := fetch(s, "POST", "/look", "target=expired.example", form); r.Code != 403 {
		t.Errorf("without the form's token it gives %d", r.Code)
	}
}

func TestEvents(t *testing.T) {
	w := newWorld()
	s := newServer(t, w, nil)
	s.streams.beat, s.streams.gap = 20*time.Millisecond, time.Millisecond
	srv := httptest.NewUnstartedServer(s.Handler())
	srv.Config.WriteTimeout = 150 * time.Millisecond // the stream outlives it
	srv.Start()
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/events", nil)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	lines := bufio.NewScanner(r.Body)
	until := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("the stream ended before %q: %v", want, lines.Err())
	}
	until("event: hello")
	for range 12 { // well beyond the server's write time-out
		until(": still here")
	}
	if _, err := w.Acknowledge(ctx, openIncident(w), "Bo", worldNow); err != nil {
		t.Fatal(err)
	}
	until("event: change")
	// A channel that is handed out again after it was closed ends the stream.
	w.mu.Lock()
	close(w.changed)
	w.mu.Unlock()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream did not end well: %v", err)
	}
}

func TestEventStreamsAreFew(t *testing.T) {
	s := newStreams(nil)
	for range streamsEach {
		if !s.enter("a") {
			t.Fatal("refused too early")
		}
	}
	if s.enter("a") || !s.enter("b") {
		t.Error("one address takes everything, or keeps others out")
	}
	s.leave("a")
	if !s.enter("a") {
		t.Error("a place that was left stays taken")
	}
}

func TestPanicIsAnswered(t *testing.T) {
	s := newServer(t, newWorld(), func(o *Options) {
		o.Probe = func(context.Context, string, string) (assure.Served, assure.Judgement, error) { panic("boom") }
	})
	for range maxLooks + 1 { // a slot is given back
		if r := fetch(s, "GET", "/probe?target=good.example", "", nil); r.Code != 500 || strings.Contains(r.Body.String(), "boom") {
			t.Fatalf("it gives %d %s", r.Code, r.Body)
		}
	}
}

func TestRemote(t *testing.T) {
	for _, x := range []struct{ from, forwarded, want string }{
		{"203.0.113.9:1", "198.51.100.1", "203.0.113.9"},
		{"10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "nonsense", "10.0.0.1"},
		{"nonsense", "", "unknown"},
	} {
		s := newServer(t, newWorld(), func(o *Options) { o.TrustedProxies = prefixes("10.0.0.0/8") })
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = x.from
		if x.forwarded != "" {
			r.Header.Set("X-Forwarded-For", x.forwarded)
		}
		if got := s.remote(r); got != x.want {
			t.Errorf("%+v gives %s", x, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld()
	for name, o := range map[string]Options{
		"no reader":                    {},
		"a base address with a path":   {Reader: w, BaseURL: "https://n.example/notafter"},
		"a base address of no web":     {Reader: w, BaseURL: "ftp://n.example"},
		"a bad password hash":          {Reader: w, Accounts: w, Auth: AuthOptions{Users: []assure.User{{Name: "a", PasswordHash: "x"}}}},
		"sign-in without accounts":     {Reader: w, Auth: AuthOptions{Users: []assure.User{{Name: "a", PasswordHash: cheap(t)}}}},
		"oidc that lets everybody in":  {Reader: w, Accounts: w, BaseURL: "https://n.example", Auth: AuthOptions{OIDC: &OIDCOptions{Issuer: "https://i.example", ClientID: "x"}}},
		"oidc without a base address":  {Reader: w, Accounts: w, Auth: AuthOptions{OIDC: &OIDCOptions{Issuer: "https://i.example", ClientID: "x", AllowDomains: []string{"a"}}}},
		"a user of no name, that pays": {Reader: w, Accounts: w, Auth: AuthOptions{Users: []assure.User{{PasswordHash: cheap(t)}}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
