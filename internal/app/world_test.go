package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/lab"
)

// product is the whole product running on a configuration, spoken to from outside.
type product struct {
	t   *testing.T
	app *app.App
	url string
}

func start(t *testing.T, c *config.Config, path string) *product {
	t.Helper()
	p, _ := startUntil(t, c, path)
	return p
}

// startUntil is start, and gives what ends the product and waits for that. Calling it twice is harmless.
func startUntil(t *testing.T, c *config.Config, path string) (*product, func()) {
	t.Helper()
	var log io.Writer = io.Discard
	if testing.Verbose() {
		log = os.Stderr
	}
	a, err := app.New(app.Options{
		Config: c, ConfigPath: path, Tick: 50 * time.Millisecond, Scan: time.Second, Version: "test", Lease: 20 * time.Second,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := a.Start(ctx)
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the product ended with: %v", err)
		}
	})
	t.Cleanup(stop)
	return &product{t: t, app: a, url: "http://" + a.Addr().String()}, stop
}

func (p *product) get(path string, into any) {
	p.t.Helper()
	res, err := http.Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		p.t.Fatalf("GET %s: %s\n%s", path, res.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		p.t.Fatalf("GET %s: %v\n%s", path, err, body)
	}
}

type incident struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Reason   string    `json:"reason"`
	Cause    string    `json:"cause"`
	Summary  string    `json:"summary"`
	OpenedAt time.Time `json:"opened_at"`
}

func (p *product) incidents() []incident {
	p.t.Helper()
	var page struct {
		Incidents []incident `json:"incidents"`
	}
	p.get("/api/v1/incidents?limit=500", &page)
	return page.Incidents
}

func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s", what, limit)
		}
	}
}

func worldConfig(t *testing.T, w *lab.World) *config.Config {
	t.Helper()
	c := config.Default()
	c.State, c.Listen, c.BaseURL = config.NewState(t.TempDir()), "127.0.0.1:0", "http://127.0.0.1"
	c.Trust, c.DNS.Servers = config.Trust{w.RootsFile}, []string{w.DNS.Addr()}
	c.Every, c.TimeToRepair, c.Confirm, c.Gather = config.Duration(w.Every), config.Duration(w.TimeToRepair), config.Duration(3*w.Confirm), config.Duration(time.Second)
	c.Channels = map[string]config.Channel{
		"pager": {PagerDuty: &config.PagerDuty{RoutingKey: config.NewSecret("0123456789abcdef0123456789abcdef"), URL: config.NewAddress(w.Pager.URL("pager") + "/v2/enqueue")}},
		"mail":  {SMTP: &config.SMTP{Server: w.Pager.SMTPAddr(), From: "notafter@lab.test", To: []string{"mail@lab.test"}, TLS: config.MailNone}},
	}
	c.Routes = map[string]config.Route{"sre": {Mode: config.ModeOwn, Channels: []string{"pager", "mail"}}}
	c.DefaultRoute, c.Monitor.Route = "sre", "sre"
	c.Monitor.Heartbeat = config.Heartbeat{URL: config.NewAddress(w.Pager.HeartbeatURL("test")), Every: config.Duration(2 * time.Second)}
	for _, s := range w.Scenes() {
		cert := config.Certificate{Name: s.Name, Names: s.Names, Route: "sre", Issued: config.File(s.Issued)}
		for _, e := range s.Endpoints {
			target, err := assure.ParseTarget(e)
			if err != nil {
				t.Fatal(err)
			}
			cert.Endpoints = append(cert.Endpoints, config.Endpoint{Target: target})
		}
		c.Certificates = append(c.Certificates, cert)
	}
	return &c
}

// The whole product on a small Internet: what is wrong is found for the right reason and paged, what goes wrong later is
// too, what heals is resolved, and of what is well not a word is said.
func TestTheWorldIsSeenAsItIs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	w, err := lab.Start(ctx, lab.Options{Life: 40 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	c := worldConfig(t, w)
	p := start(t, c, "")

	found := map[string]map[string]bool{} // certificate -> reasons found so far
	for _, s := range w.Scenes() {
		found[s.Name] = map[string]bool{}
	}
	look := func() {
		for _, s := range w.Scenes() {
			var v struct {
				Endpoints []struct {
					Findings []struct {
						Reason, Severity string
					}
				}
			}
			p.get("/api/v1/certificates/"+s.Name, &v)
			for _, endpoint := range v.Endpoints {
				for _, f := range endpoint.Findings {
					if f.Severity != "info" {
						found[s.Name][f.Reason] = true
					}
				}
			}
		}
	}
	missing := func() (out []string) {
		for _, s := range w.Scenes() {
			for _, r := range s.Reasons {
				if !found[s.Name][string(r)] {
					out = append(out, s.Name+": "+string(r))
				}
			}
		}
		return out
	}
	t.Cleanup(func() {
		if m := missing(); len(m) > 0 {
			t.Logf("never found: %v", m)
		}
	})
	until(t, 3*time.Minute, "sight of everything that the world has to show", func() bool {
		look()
		return len(missing()) == 0
	})
	for _, s := range w.Scenes() {
		if len(s.Reasons) == 0 && len(found[s.Name]) > 0 {
			t.Errorf("%s is well all the time, but was found to be %v", s.Name, found[s.Name])
		}
	}
	until(t, 3*time.Minute, "the end of the incident of what somebody mended", func() bool {
		return slices.ContainsFunc(p.incidents(), func(i incident) bool { return i.Reason == "expired" && i.State == "resolved" })
	})
	// The watcher itself: on time, its known-bad control seen to be bad, its heartbeat heard, its channels used.
	var watch struct {
		Claims []struct{ Link, Subject, Verdict string }
	}
	p.get("/api/v1/claims", &watch)
	if len(watch.Claims) != 5 {
		t.Errorf("claims about notafter itself: %+v", watch.Claims)
	}
	for _, c := range watch.Claims {
		if c.Verdict != "upheld" {
			t.Errorf("%s %s is %s", c.Link, c.Subject, c.Verdict)
		}
	}
	// Whoever looks at the pager knows of each incident that is open.
	pages, _ := w.Pager.WaitFor(ctx, func(m lab.PagerMessage) bool { return m.Channel == "pager" && strings.Contains(m.Title, "forgotten") })
	if !strings.Contains(string(pages.Body), "expired") {
		t.Errorf("the page about the forgotten certificate says %s", pages.Body)
	}
	if err := w.Pager.WaitForBeats(ctx, "test", 2); err != nil {
		t.Errorf("the heartbeat: %v", err)
	}
}

// A reload takes a good configuration, refuses a bad one and says why, and keeps the one in force.
func TestReload(t *testing.T) {
	t.Parallel()
	h := startHost(t, "www.example.com")
	ca, err := lab.NewCA(lab.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Stop)
	leaf, err := ca.Root.Issue(lab.LeafOptions{Names: []string{"www.example.com"}, NotBefore: time.Now().Add(-100 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	pair := leaf.TLS()
	h.leaf.Store(&pair)
	dir := t.TempDir()
	pager := newSink(1)
	pager.calmDown()
	t.Cleanup(pager.Close)
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("roots.pem", string(ca.RootPEM()))
	write("secret", "a secret that is long enough")
	file := func(certificate, listen string) string {
		return fmt.Sprintf(`certificates:
  - name: %s
    endpoints: [%q]
channels:
  hook: {webhook: {url: %q, secret: "file:secret"}}
state: state
listen: %s
trust: roots.pem
confirm: 0s
every: 10s
`, certificate, h.target(), pager.URL+"/hook", listen)
	}
	path := write("notafter.yaml", file("old", "127.0.0.1:0"))
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, c, path)
	until(t, 3*time.Minute, "incident", func() bool { return len(p.incidents()) == 1 })

	for name, bad := range map[string]struct{ content, want string }{
		"not YAML":               {"certificates: [", "notafter.yaml"},
		"an unknown key":         {file("old", "127.0.0.1:0") + "certficates: []\n", "certficates"},
		"another listen address": {file("old", "127.0.0.1:1"), "listen"},
		"roots that are gone":    {strings.Replace(file("old", "127.0.0.1:0"), "roots.pem", "none.pem", 1), "none.pem"},
	} {
		write("notafter.yaml", bad.content)
		err := p.app.Reload(t.Context())
		if err == nil || !strings.Contains(err.Error(), "in force stays") || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v", name, err)
		}
		var v any
		p.get("/api/v1/certificates/old", &v)
	}
	write("notafter.yaml", file("new", "127.0.0.1:0"))
	if err := p.app.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res, err := http.Get(p.url + "/api/v1/certificates/old"); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("the certificate that is no longer declared: %v, %v", res.Status, err)
	}
	until(t, 3*time.Minute, "incident under the new name, with the old claim withdrawn", func() bool {
		for _, i := range p.incidents() {
			if i.State != "resolved" {
				return true
			}
		}
		return false
	})
}
