package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; if that is meant, run the test with -update\n--- got\n%s\n--- want\n%s", name, got, want)
	}
}

var moment = time.Date(2026, 10, 8, 12, 0, 0, 0, time.UTC)

// world is what the fake looker sees: for each host what it serves.
type world map[string]assure.Served

func (w world) Look(_ context.Context, t assure.Target) assure.Served { return w[t.Host] }

func served(name, fp string, from, to time.Time, addresses ...string) assure.Served {
	leaf := assure.Cert{Fingerprint: fp, Subject: "CN=" + name, Issuer: "CN=Test CA", Serial: "1f", Names: []string{name}, NotBefore: from, NotAfter: to, Key: "ECDSA P-256", Signature: "ECDSA-SHA256"}
	ca := assure.Cert{Fingerprint: "ca", Subject: "CN=Test CA", Issuer: "CN=Test Root", Serial: "2", NotBefore: moment.AddDate(-1, 0, 0), NotAfter: moment.AddDate(3, 0, 0), Key: "ECDSA P-384", Signature: "ECDSA-SHA384"}
	s := assure.Served{
		DNS: assure.DNS{Source: "dns"}, Certs: []assure.Cert{leaf, ca},
		Chains: []assure.Chain{{Certs: []string{fp, "ca"}, NameMatches: true, ServerAuth: true, Paths: []assure.Path{{Certs: []string{fp, "ca"}, NotBefore: from, NotAfter: to, LimitedBy: fp}}}},
	}
	for _, a := range addresses {
		s.Sightings = append(s.Sightings, assure.Sighting{Address: a, TLS: "1.3"})
	}
	return s
}

func testWorld() world {
	w := world{
		"good.example":    served("good.example", "aa", moment.AddDate(0, 0, -10), moment.AddDate(0, 0, 80), "192.0.2.1:443", "[2001:db8::1]:443"),
		"expired.example": served("expired.example", "bb", moment.AddDate(0, 0, -90), moment.Add(-50*time.Hour), "192.0.2.2:443"),
		"soon.example":    served("soon.example", "cc", moment.AddDate(0, 0, -75), moment.AddDate(0, 0, 15), "192.0.2.3:443"),
		"日本語.example":     served("日本語.example", "ee", moment.AddDate(0, 0, -10), moment.AddDate(0, 0, 80), "192.0.2.5:443"),
		"gone.example":    {DNS: assure.DNS{Failure: assure.DNSNXDomain, Source: "dns"}},
	}
	half := served("half.example", "dd", moment.AddDate(0, 0, -10), moment.AddDate(0, 0, 80), "192.0.2.4:443")
	half.Sightings = append(half.Sightings, assure.Sighting{Address: "[2001:db8::4]:443", Failure: assure.Timeout, At: assure.AtConnect, Chain: -1})
	w["half.example"] = half
	evil := served("evil\x1b]0;owned\x07\u202e.example", "ff\x1b[2J", moment.AddDate(0, 0, -10), moment.AddDate(0, 0, 80), "192.0.2.6:443")
	evil.Chains[0].NameMatches = false
	evil.Certs[0].Issuer = "CN=\u009b31mred\x1b[0m"
	w["evil.example"] = evil
	revoked := served("revoked.example", "dead", moment.AddDate(0, 0, -10), moment.AddDate(0, 0, 80), "192.0.2.8:443")
	revoked.Chains[0].Revocation = []assure.Revocation{{Cert: "dead", Status: assure.RevocationRevoked, Via: "crl", RevokedAt: moment.AddDate(0, 0, -1)}}
	w["revoked.example"] = revoked
	both := served("both.example", "ec", moment.AddDate(0, 0, -10), moment.AddDate(0, 0, 80), "192.0.2.7:443")
	rsa := served("both.example", "rsa", moment.AddDate(0, 0, -100), moment.AddDate(0, 0, -1), "192.0.2.7:443")
	both.Certs = append(both.Certs, rsa.Certs[0])
	both.Chains = append(both.Chains, rsa.Chains[0])
	both.Sightings = append(both.Sightings, assure.Sighting{Address: "192.0.2.7:443", TLS: "1.2", Offered: "rsa", Chain: 1},
		assure.Sighting{Address: "192.0.2.7:443", NoSNI: true, Chain: 1, TLS: "1.3"}, assure.Sighting{Address: "192.0.2.7:443", Offered: "ecdsa", Chain: 0, TLS: "1.2"})
	w["both.example"] = both
	return w
}

var everybody = []string{"good.example", "gone.example", "expired.example", "日本語.example", "half.example", "soon.example", "evil.example", "both.example", "revoked.example"}

func runCheck(t *testing.T, look looker, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	p := testProgram(&o, &e)
	p.newLooker = func(lookOptions) (looker, error) { return look, nil }
	code = p.run(t.Context(), append([]string{"check"}, args...))
	return code, o.String(), e.String()
}

func TestCheckTable(t *testing.T) {
	code, out, _ := runCheck(t, testWorld(), append([]string{"--output", "table"}, everybody...)...)
	if code != exitBroken {
		t.Errorf("status %d, want 1", code)
	}
	golden(t, "table.golden", []byte(out))
	if strings.ContainsAny(out, "\x1b\x07\u202e\u009b") {
		t.Error("text that a certificate chose can act on the terminal")
	}
	var targets []int
	for line := range strings.SplitSeq(out, "\n") {
		if i := strings.Index(line, ".example  "); i > 0 && !strings.HasPrefix(line, " ") {
			// Where the column after the target begins, in columns of the terminal.
			rest := line[i+len(".example"):]
			targets = append(targets, cells(line)-cells(strings.TrimLeft(rest, " ")))
		}
	}
	if len(targets) != len(everybody) || slices.Max(targets) != slices.Min(targets) {
		t.Errorf("the column after the target begins at %v", targets)
	}
}

func TestCheckJSONKeepsTheContract(t *testing.T) {
	code, out, _ := runCheck(t, testWorld(), append([]string{"--output", "json"}, everybody...)...)
	if code != exitBroken {
		t.Errorf("status %d, want 1", code)
	}
	golden(t, "check.json", []byte(out))
	var doc map[string]any
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	keys := func(where string, v any, want ...string) map[string]any {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("%s is %T", where, v)
		}
		var got []string
		for k := range m {
			got = append(got, k)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s has the keys %v, want %v", where, got, want)
		}
		return m
	}
	cert := []string{"fingerprint_sha256", "subject", "issuer", "serial", "names", "not_before", "not_after", "key", "signature"}
	top := keys("the document", doc, "checked_at", "endpoints")
	if top["checked_at"] != "2026-10-08T12:00:00Z" {
		t.Errorf("checked_at is %v", top["checked_at"])
	}
	for i, e := range top["endpoints"].([]any) {
		ep := keys("an endpoint", e, "target", "verdict", "runway_seconds", "findings", "addresses")
		if ep["target"] != everybody[i] {
			t.Errorf("endpoint %d is %v: the order of the input is lost", i, ep["target"])
		}
		for _, f := range ep["findings"].([]any) {
			fm := keys("a finding", f, "link", "reason", "severity", "address", "summary", "action", "docs")
			for _, k := range []string{"link", "reason", "severity", "summary", "action", "docs"} {
				if s, _ := fm[k].(string); s == "" {
					t.Errorf("%v: a finding without %s", ep["target"], k)
				}
			}
		}
		for _, a := range ep["addresses"].([]any) {
			am := keys("an address", a, "address", "verdict", "tls_version", "leaf", "chain", "valid_until")
			for _, c := range am["chain"].([]any) {
				if _, ok := keys("a certificate", c, cert...)["names"].([]any); !ok {
					t.Error("names of a certificate without any are not an empty list")
				}
			}
			if am["leaf"] != nil {
				keys("a leaf", am["leaf"], cert...)
			}
		}
	}
	byTarget := map[string]map[string]any{}
	for _, e := range top["endpoints"].([]any) {
		byTarget[e.(map[string]any)["target"].(string)] = e.(map[string]any)
	}
	if e := byTarget["good.example"]; e["verdict"] != "upheld" || e["runway_seconds"] != float64(80*24*3600) || len(e["findings"].([]any)) != 0 || len(e["addresses"].([]any)) != 2 {
		t.Errorf("a good endpoint is %v", e)
	}
	if e := byTarget["gone.example"]; e["verdict"] != "broken" || e["runway_seconds"] != nil || len(e["addresses"].([]any)) != 0 {
		t.Errorf("an endpoint without address is %v", e)
	}
	half := byTarget["half.example"]["addresses"].([]any)
	if dead := half[1].(map[string]any); dead["leaf"] != nil || dead["valid_until"] != nil || dead["tls_version"] != "" || dead["verdict"] != "unknown" {
		t.Errorf("an address that does not answer is %v", dead)
	}
	if alive := half[0].(map[string]any); alive["verdict"] != "upheld" || alive["valid_until"] != "2026-12-27T12:00:00Z" {
		t.Errorf("the address beside it that answers is %v", alive)
	}
	if old := byTarget["expired.example"]["addresses"].([]any)[0].(map[string]any); old["valid_until"] != nil || old["verdict"] != "broken" {
		t.Errorf("an expired leaf gives %v", old)
	}
	if two := byTarget["both.example"]["addresses"].([]any); len(two) != 2 || two[0].(map[string]any)["verdict"] != "upheld" || two[1].(map[string]any)["verdict"] != "broken" {
		t.Errorf("a server with two certificates gives %v", two)
	}
	if e := byTarget["revoked.example"]; e["verdict"] != "broken" || e["runway_seconds"] != float64(0) {
		t.Errorf("an endpoint whose clients are refused now has the runway %v", e["runway_seconds"])
	}
	if strings.ContainsAny(out, "\x1b\u009b\u202e") {
		t.Error("the JSON holds characters that act on a terminal")
	}
}

func TestCheckJSONLines(t *testing.T) {
	_, out, _ := runCheck(t, testWorld(), append([]string{"--output", "jsonl", "--concurrency", "1"}, everybody...)...)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != len(everybody) {
		t.Fatalf("%d lines, want %d", len(lines), len(everybody))
	}
	_, whole, _ := runCheck(t, testWorld(), append([]string{"--output", "json"}, everybody...)...)
	var doc struct{ Endpoints []json.RawMessage }
	if err := json.Unmarshal([]byte(whole), &doc); err != nil {
		t.Fatal(err)
	}
	for i, l := range lines {
		var compact bytes.Buffer
		if err := json.Compact(&compact, doc.Endpoints[i]); err != nil {
			t.Fatal(err)
		}
		if l != compact.String() {
			t.Errorf("line %d is not the element of the JSON document:\n%s\n%s", i, l, compact.String())
		}
	}
}

// stepping gives each target's facts only when the test lets it.
type stepping struct {
	world
	let map[string]chan struct{}
}

func (s stepping) Look(ctx context.Context, t assure.Target) assure.Served {
	select {
	case <-s.let[t.Host]:
	case <-ctx.Done():
	}
	return s.world.Look(ctx, t)
}

// lines hands each line on as soon as it is written.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }

func TestCheckStreamsLinesAsTheyCome(t *testing.T) {
	s := stepping{testWorld(), map[string]chan struct{}{"good.example": make(chan struct{}), "soon.example": make(chan struct{})}}
	out := make(lines)
	var errs bytes.Buffer
	p := testProgram(nil, &errs)
	p.stdout = out
	p.newLooker = func(lookOptions) (looker, error) { return s, nil }
	done := make(chan int)
	go func() { done <- p.run(t.Context(), []string{"check", "-o", "jsonl", "good.example", "soon.example"}) }()
	close(s.let["soon.example"])
	if l := <-out; !strings.HasPrefix(l, `{"target":"soon.example"`) {
		t.Errorf("first came %s", l)
	}
	close(s.let["good.example"])
	if l := <-out; !strings.HasPrefix(l, `{"target":"good.example"`) {
		t.Errorf("then came %s", l)
	}
	if code := <-done; code != exitBroken {
		t.Errorf("status %d", code)
	}
}

func TestCheckInterrupted(t *testing.T) {
	s := stepping{testWorld(), map[string]chan struct{}{"good.example": make(chan struct{}), "soon.example": make(chan struct{}), "expired.example": make(chan struct{})}}
	var out, errs bytes.Buffer
	p := testProgram(&out, &errs)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var once sync.Once
	p.newLooker = func(lookOptions) (looker, error) {
		return lookFunc(func(ctx context.Context, target assure.Target) assure.Served {
			if target.Host == "good.example" {
				return s.world.Look(ctx, target)
			}
			once.Do(cancel) // Ctrl-C while the second is being looked at
			return s.Look(ctx, target)
		}), nil
	}
	code := p.run(ctx, []string{"check", "-o", "json", "--concurrency", "1", "good.example", "soon.example", "expired.example"})
	if code != exitInterrupted {
		t.Errorf("status %d, want 130", code)
	}
	var doc report
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var got []assure.Verdict
	for _, e := range doc.Endpoints {
		got = append(got, e.Verdict)
	}
	if !slices.Equal(got, []assure.Verdict{assure.Upheld, assure.Unknown, assure.Unknown}) {
		t.Errorf("verdicts %v", got)
	}
	if !strings.Contains(errs.String(), "interrupted: 2 endpoints were not looked at") {
		t.Errorf("standard error says %q", errs.String())
	}
}

type lookFunc func(context.Context, assure.Target) assure.Served

func (f lookFunc) Look(ctx context.Context, t assure.Target) assure.Served { return f(ctx, t) }

func TestCheckJUnit(t *testing.T) {
	_, out, _ := runCheck(t, testWorld(), append([]string{"--output", "junit"}, everybody...)...)
	golden(t, "junit.golden", []byte(out))
	var doc junitSuites
	if err := xml.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	s := doc.Suite
	if s.Tests != len(everybody) || len(s.Cases) != s.Tests {
		t.Fatalf("%d tests, %d cases", s.Tests, len(s.Cases))
	}
	failures, errs := 0, 0
	for i, c := range s.Cases {
		if c.Name != everybody[i] {
			t.Errorf("case %d is %s", i, c.Name)
		}
		if c.Failure != nil {
			failures++
		}
		if c.Error != nil {
			errs++
		}
	}
	if failures != s.Failures || errs != s.Errors || errs != 1 {
		t.Errorf("%d failures and %d errors, the suite says %d and %d", failures, errs, s.Failures, s.Errors)
	}
	if f := s.Cases[2].Failure; f == nil || f.Type != "expired" {
		t.Errorf("the expired endpoint fails with %+v", f)
	}
}

func TestCheckStatuses(t *testing.T) {
	for _, c := range []struct {
		targets string
		want    int
	}{
		{"good.example", exitUpheld},
		{"expired.example", exitBroken},
		{"half.example", exitUnknown},
		{"good.example half.example", exitUnknown},
		{"half.example expired.example", exitBroken},
		{"soon.example", exitBroken},
	} {
		if code, _, _ := runCheck(t, testWorld(), strings.Fields(c.targets)...); code != c.want {
			t.Errorf("%s gives status %d, want %d", c.targets, code, c.want)
		}
	}
}

func TestCheckAtAnotherTime(t *testing.T) {
	for at, want := range map[string]int{
		"2026-12-26": exitBroken, "2026-10-09T00:00:00+02:00": exitUpheld, "+200d": exitBroken, "+1d": exitUpheld, "-30d": exitBroken, "2026-10-08 13:00": exitUpheld,
	} {
		code, out, _ := runCheck(t, testWorld(), "--at="+at, "-o", "json", "good.example")
		if code != want {
			t.Errorf("--at %s gives status %d, want %d: %s", at, code, want, out)
		}
		if strings.Contains(out, "evidence_stale") {
			t.Errorf("--at %s says that the evidence is stale", at)
		}
	}
	_, out, _ := runCheck(t, testWorld(), "--at", "+70d", "-o", "json", "good.example")
	if !strings.Contains(out, `"checked_at": "2026-12-17T12:00:00Z"`) || !strings.Contains(out, fmt.Sprintf(`"runway_seconds": %d`, 10*24*3600)) {
		t.Errorf("the runway does not count from checked_at: %s", out)
	}
	if code, _, errs := runCheck(t, testWorld(), "--at", "0001-01-01", "good.example"); code != exitUsage {
		t.Errorf("the beginning of time is taken for now: status %d: %s", code, errs)
	}
	if code, _, errs := runCheck(t, testWorld(), "--at", "tomorrow", "good.example"); code != exitUsage || !strings.Contains(errs, `--at "tomorrow" is not a time`) {
		t.Errorf("status %d: %s", code, errs)
	}
}

func TestHashPassword(t *testing.T) {
	var out, errs bytes.Buffer
	p := testProgram(&out, &errs)
	p.stdin = strings.NewReader("correct horse battery\nsecond line")
	if code := p.run(t.Context(), []string{"hash-password"}); code != exitUpheld {
		t.Fatalf("status %d: %s", code, errs.String())
	}
	verifyPHC(t, strings.TrimSpace(out.String()), "correct horse battery")
	for _, in := range []string{"", "\n", "short\n"} {
		p := testProgram(&out, &errs)
		p.stdin = strings.NewReader(in)
		if code := p.run(t.Context(), []string{"hash-password"}); code != exitUsage {
			t.Errorf("the password %q gives status %d", in, code)
		}
	}
}

// A device that never ends must not end the machine.
func TestRootsAreBounded(t *testing.T) {
	if _, err := os.Stat("/dev/zero"); err != nil {
		t.Skip("there is no file without end here")
	}
	if _, err := readRoots([]string{"/dev/zero"}); err == nil || !strings.Contains(err.Error(), "is larger than 16 MiB") {
		t.Errorf("roots from a file without end: %v", err)
	}
}

// A certificate that only clients without a server name get is a fact: it is shown, and changes no verdict. One that is
// served with the name as well is not worth a word.
func TestCheckWithoutSNIShowsADefaultCertificateThatDiffers(t *testing.T) {
	w := testWorld()
	shop := served("shop.example", "aa", moment.AddDate(0, 0, -10), moment.AddDate(0, 0, 80), "192.0.2.1:443", "192.0.2.2:443")
	other := served("default.invalid", "0123456789abcdef", moment.AddDate(-1, 0, 0), moment.AddDate(0, 0, -1))
	shop.Certs, shop.Chains = append(shop.Certs, other.Certs[0]), append(shop.Chains, other.Chains[0])
	shop.Sightings = append(shop.Sightings, assure.Sighting{Address: "192.0.2.1:443", NoSNI: true, Chain: 1, TLS: "1.3"},
		assure.Sighting{Address: "192.0.2.2:443", NoSNI: true, Chain: -1, Failure: assure.Alert})
	w["shop.example"] = shop

	code, out, _ := runCheck(t, w, "--without-sni", "--output", "table", "shop.example")
	for _, want := range []string{"INFO default certificate  at 192.0.2.1:443\n", "for default.invalid, valid until 7 Oct 2026", "0123456789ab"} {
		if !strings.Contains(out, want) && !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
	if code != exitUpheld || strings.Count(out, "default certificate  at") != 1 {
		t.Errorf("status %d:\n%s", code, out)
	}
	_, out, _ = runCheck(t, w, "--without-sni", "--output", "json", "shop.example", "both.example")
	if n := strings.Count(out, `"default_leaf"`); n != 1 || !strings.Contains(out, `"default.invalid"`) {
		t.Errorf("%d addresses have a default_leaf, want the one where it differs:\n%s", n, out)
	}
}

// A moment centuries away, and a certificate without an end, are more than a duration holds.
func TestCheckCenturiesAway(t *testing.T) {
	w := testWorld()
	w["endless.example"] = served("endless.example", "99", moment.AddDate(0, 0, -10), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), "192.0.2.9:443")
	_, out, _ := runCheck(t, w, "--at", "9999-12-31", "--output", "table", "expired.example")
	if !strings.Contains(out, "expired 2912163d ago") {
		t.Errorf("judged in the year 9999:\n%s", out)
	}
	code, out, _ := runCheck(t, w, "--output", "table", "endless.example")
	if !strings.Contains(out, "2912162d") {
		t.Errorf("status %d for a certificate without an end:\n%s", code, out)
	}
	if _, out, _ = runCheck(t, w, "--output", "json", "endless.example"); !strings.Contains(out, `"runway_seconds": 2516`) {
		t.Errorf("a certificate without an end:\n%s", out)
	}
}
