package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

// product is a running notafter, as a process.
type product struct {
	t   *testing.T
	url string
	env []string
}

// configuration is what somebody writes to have one certificate renewed and one pager rung. Everything that has a pace
// is quick, and otherwise as it is by default.
const configuration = `
certificates:
  - name: shop
    names: [%[1]s]
    endpoints: ["%[2]s"]
    renewer: azure
    install:
      - files: {fullchain: "%[3]s", key: "%[4]s"}
        reload: %[5]s
renewers:
  azure:
    acme: {directory: "%[6]s", staging: "%[7]s", profile: %[8]s, email: ops@example.com, roots: "%[9]s"}
    dns:
      azure:
        subscription: %[10]s
        resource_group: %[11]s
        zone: %[12]s
        tenant: %[13]s
        client_id: %[14]s
        client_secret: env:E2E_CLIENT_SECRET
        endpoint: "%[15]s"
        authority: "%[15]s"
        roots: "%[16]s"
      authoritative_port: %[17]d
      public_resolvers: ["%[18]s"]
      propagation: 20s
      ttl: 1s
    rehearse: {static: 3s, permission: 3s, canary: 3s, authorization: 1h}
channels:
  pager: {pagerduty: {routing_key: "env:E2E_ROUTING_KEY", url: "%[19]s/v2/enqueue"}}
dns: {servers: ["%[18]s"]}
trust: "%[20]s"
state: "%[21]s"
listen: "%[22]s"
every: 10s
confirm: 3s
gather: 1s
time_to_repair: 1m
revocation: off
`

// configured writes the configuration for a site of an estate.
func configured(t *testing.T, e *estate.Estate, s *estate.Site, p *lab.Pager, listen string) string {
	t.Helper()
	reload, err := json.Marshal(s.Reload)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "notafter.yaml")
	text := fmt.Sprintf(configuration, s.Name, s.Target, s.Fullchain, s.Key, reload, e.CAProxy.Directory(), e.StagingProxy.Directory(), estate.Profile, e.CARoots,
		e.Azure.Subscription(), estate.Group, estate.AzureZone, e.Azure.Tenant(), estate.ClientID, e.Azure.URL(), e.AzureRoots, e.Zones.Port(), e.Zones.ResolverAddr(),
		p.URL("pager"), e.RootsFile, filepath.Join(dir, "state"), listen)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serve runs notafter on a configuration until the test ends, when it has to end well.
func serve(t *testing.T, file, listen string) *product {
	t.Helper()
	p := &product{t: t, url: "http://" + listen, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir(),
		"E2E_CLIENT_SECRET=" + estate.ClientSecret, "E2E_ROUTING_KEY=0123456789abcdef0123456789abcdef",
	}}
	var said logged
	cmd := exec.Command(tools.notafter, "serve", "-c", file) //nolint:gosec // built by the toolbox
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("notafter serve ended with: %v", err)
		}
		if t.Failed() {
			t.Logf("notafter serve said:\n%s", said.text())
		}
	})
	p.until(time.Minute, "server", func() bool {
		res, err := http.Get(p.url + "/healthz")
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil
	})
	return p
}

// logged keeps the end of what a process says.
type logged struct {
	mu  sync.Mutex
	buf []byte
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	if over := len(l.buf) - 64<<10; over > 0 {
		l.buf = l.buf[over:]
	}
	return len(b), nil
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}

// run runs another command of notafter, wants it to end with a status, and returns what it said.
func (p *product) run(status int, args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), tools.notafter, args...) //nolint:gosec // built by the toolbox
	var said bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Dir = p.env, &said, &said, p.t.TempDir()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("run notafter %s: %v", strings.Join(args, " "), err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		p.t.Fatalf("notafter %s ended with status %d, want %d:\n%s", strings.Join(args, " "), got, status, &said)
	}
	return said.String()
}

// get reads an operation of the API.
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

// permitted reports whether the permission of a certificate is upheld, and every rung of its ladder was climbed.
func (p *product) permitted(certificate string) bool {
	p.t.Helper()
	var page struct {
		Certificates []struct {
			Name  string            `json:"name"`
			Links map[string]string `json:"links"`
		} `json:"certificates"`
	}
	p.get("/api/v1/certificates?limit=500", &page)
	upheld := false
	for _, c := range page.Certificates {
		upheld = upheld || c.Name == certificate && c.Links["permission"] == "upheld"
	}
	var v struct {
		Ladder []struct {
			On      bool
			Outcome string
		}
	}
	p.get("/api/v1/certificates/"+certificate+"/renewal", &v)
	for _, rung := range v.Ladder {
		upheld = upheld && (!rung.On || rung.Outcome == "done")
	}
	return upheld && len(v.Ladder) > 0
}

// incident is one as the API shows it.
type incident struct{ ID, State, Reason, Cause string }

// lost is the incident about a lost grant, if there is one.
func (p *product) lost() (found incident) {
	p.t.Helper()
	var page struct{ Incidents []incident }
	p.get("/api/v1/incidents", &page)
	for _, i := range page.Incidents {
		if strings.HasPrefix(i.Cause, "grant/") {
			found = i
		}
	}
	return found
}

// text is what the API says at a path, for people.
func (p *product) text(path string) string {
	res, err := http.Get(p.url + path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}

// until polls for something.
func (p *product) until(limit time.Duration, what string, ok func() bool) {
	p.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			p.t.Fatalf("no %s within %s", what, limit)
		}
	}
}

// vacant is an address that nobody listens at.
func vacant(t *testing.T) string {
	t.Helper()
	at, err := lab.Vacant("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return at
}
