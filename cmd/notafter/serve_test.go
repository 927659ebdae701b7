package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/config"
)

// lockedBuffer may be written by the log while the test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-tick.C
	}
}

func TestServeReloadsOnHangupAndStopsWhenAsked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "n.yaml")
	if err := os.WriteFile(file, []byte("certificates: [{name: a, endpoints: [a.example]}]\nchannels: {x: {webhook: {url: 'https://x.example', secret: 'env:HOME'}}}\nstate: state\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	errs := &lockedBuffer{}
	p := testProgram(&out, nil)
	p.stderr = errs
	svc := &fakeService{running: make(chan struct{}), reloaded: make(chan struct{})}
	var got serviceOptions
	p.newService = func(o serviceOptions) (service, error) { got = o; return svc, nil }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int)
	go func() { code <- p.run(ctx, []string{"serve", "-c", file}) }()
	<-svc.running
	if got.ConfigPath != file || got.Config.State.Value() != filepath.Join(filepath.Dir(file), "state") || got.Config.Channels["x"].Webhook.Secret.Value() == "" {
		t.Errorf("the service was given %+v", got)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-svc.reloaded:
	case <-time.After(20 * time.Second):
		t.Fatal("SIGHUP did not reload")
	}
	within(t, "the log says that the old configuration stays", func() bool {
		return strings.Contains(errs.String(), "the old one stays in force") && strings.Contains(errs.String(), "n.yaml:1:1: broken")
	})
	if !strings.Contains(errs.String(), "no heartbeat") {
		t.Errorf("the log does not warn that there is no heartbeat: %s", errs.String())
	}
	cancel()
	if c := <-code; c != exitUpheld {
		t.Errorf("a drained stop ends with status %d", c)
	}
	if lines := strings.Split(strings.TrimSpace(errs.String()), "\n"); !strings.Contains(lines[len(lines)-1], "stopped: what was under way is done") {
		t.Errorf("the last line does not say that it ended well: %s", lines[len(lines)-1])
	}
}

// refusingService takes up no new configuration.
type refusingService struct{ err error }

func (refusingService) Run(context.Context) error      { return nil }
func (s refusingService) Reload(context.Context) error { return s.err }

func TestARefusedReloadTellsEachProblemOnALineOfItsOwn(t *testing.T) {
	errs := &lockedBuffer{}
	p := testProgram(nil, nil)
	p.stderr = errs
	logger, err := p.logger("text", "info")
	if err != nil {
		t.Fatal(err)
	}
	svc := refusingService{fmt.Errorf("reload: %w", &config.Problems{List: []config.Problem{
		{File: "n.yaml", Line: 2, Column: 5, Key: "certificates[0]", Text: `unknown key "endpoint"`},
		{File: "n.yaml", Line: 9, Column: 1, Text: `unknown key "bogus"`},
	}})}
	p.reload(t.Context(), svc, "n.yaml", logger)
	lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want one for each problem and one for the whole:\n%s", len(lines), errs.String())
	}
	for i, want := range []string{`line=2 column=5`, `line=9 column=1`, `the old one stays in force" file=n.yaml problems=2`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d does not say %q: %s", i, want, lines[i])
		}
	}
}

// stoppedService is told to stop while it takes up a new configuration.
type stoppedService struct {
	refusingService
	stop context.CancelFunc
}

func (s stoppedService) Reload(ctx context.Context) error {
	s.stop()
	return fmt.Errorf("declare the claims: %w", ctx.Err())
}

// SIGHUP right before SIGTERM is no error of anybody's.
func TestAReloadThatIsStoppedIsNoError(t *testing.T) {
	errs := &lockedBuffer{}
	p := testProgram(nil, nil)
	p.stderr = errs
	logger, err := p.logger("text", "info")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.reload(ctx, stoppedService{stop: cancel}, "n.yaml", logger)
	p.reload(ctx, refusingService{errors.New("it is closed")}, "n.yaml", logger)
	if s := errs.String(); strings.Contains(s, "ERROR") || !strings.Contains(s, "being stopped") {
		t.Errorf("it is told as %s", s)
	}
}

func TestServeFailures(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("certificates: []\nfoo: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secretless := filepath.Join(dir, "secretless.yaml")
	if err := os.WriteFile(secretless, []byte("certificates: [{name: a, endpoints: [a.example]}]\nchannels: {x: {slack: {url: 'env:NOTAFTER_TEST_UNSET'}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		args []string
		code int
		want []string
	}{
		"nothing to watch":           {[]string{"serve"}, 2, []string{"nothing to watch: give a configuration with -c, or targets", "Try: notafter serve --help"}},
		"a file and targets":         {[]string{"serve", "-c", "x", "a.example"}, 2, []string{"not both"}},
		"a bad target":               {[]string{"serve", "htp://a"}, 2, []string{`target "htp://a": unknown scheme`}},
		"a file that is not there":   {[]string{"serve", "-c", filepath.Join(dir, "none")}, 2, []string{"read configuration: open " + dir + "/none"}},
		"every problem of a file":    {[]string{"serve", "-c", bad}, 2, []string{"bad.yaml:1:1: certificates: nothing to watch", `bad.yaml:2:1: unknown key "foo"`, "channels: nobody to tell"}},
		"a secret that is not there": {[]string{"serve", "-c", secretless}, 2, []string{"secretless.yaml:2:29: channels.x.slack.url: env:NOTAFTER_TEST_UNSET: the environment variable is not set"}},
		"the world, without sign-in": {[]string{"serve", "--listen", ":80", "a.example"}, 2, []string{"--listen: \":80\" is reachable from other machines"}},
		"flags for targets only":     {[]string{"serve", "-c", "x", "--state", "y"}, 2, []string{"go with targets"}},
		"a resolver with a file":     {[]string{"serve", "-c", "x", "--dns", "192.0.2.53"}, 2, []string{"--dns go with targets"}},
		"a resolver by name":         {[]string{"serve", "--dns", "ns.example", "a.example"}, 2, []string{`--dns "ns.example" is not the IP address`}},
		"a log level that is none":   {[]string{"serve", "--log-level", "loud", "a.example"}, 2, []string{"want debug, info, warn or error"}},
		"a start that does not work": {[]string{"serve", "--state", dir, "a.example"}, 1, []string{"notafter: the port is taken"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			p := testProgram(&out, &errs)
			p.newService = func(serviceOptions) (service, error) { return nil, errors.New("the port is taken") }
			if code := p.run(t.Context(), c.args); code != c.code {
				t.Errorf("status %d, want %d", code, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(errs.String(), w) {
					t.Errorf("standard error does not say %q:\n%s", w, errs.String())
				}
			}
		})
	}
}

func TestServeTargetsOnDefaults(t *testing.T) {
	var out, errs bytes.Buffer
	p := testProgram(&out, &errs)
	var got serviceOptions
	p.newService = func(o serviceOptions) (service, error) {
		got = o
		s := &fakeService{running: make(chan struct{}), err: errors.New("the database is gone")}
		return s, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if code := p.run(ctx, []string{"serve", "--state", dir, "--listen", "127.0.0.1:9000", "--roots", "r.pem", "--dns", "192.0.2.53", "--dns", "[2001:db8::53]:5353", "a.example", "smtp://a.example"}); code != exitBroken {
		t.Errorf("a service that ends with an error gives status %d, want 1", code)
	}
	if !strings.Contains(errs.String(), "notafter: the database is gone") {
		t.Errorf("the error is not told: %s", errs.String())
	}
	c := got.Config
	if c.State.Value() != dir || c.Listen != "127.0.0.1:9000" || c.BaseURL != "http://127.0.0.1:9000" || len(c.Certificates) != 1 || len(c.Certificates[0].Endpoints) != 2 || c.Trust[0] != "r.pem" || got.ConfigPath != "" {
		t.Errorf("the service was given %+v", c)
	}
	if len(c.DNS.Servers) != 2 || c.DNS.Servers[0] != "192.0.2.53:53" || c.DNS.Servers[1] != "[2001:db8::53]:5353" {
		t.Errorf("the resolvers are %v", c.DNS.Servers)
	}
}
