package app_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/store"
)

// childEnv makes the test binary run the product instead of tests, so that it can be killed for real.
const childEnv = "NOTAFTER_TEST_CHILD"

// childJob is what the product in the child process watches, and whom it tells.
type childJob struct {
	State   string   `json:"state"`
	Roots   string   `json:"roots"`
	Pager   string   `json:"pager"`
	Targets []string `json:"targets"`
	// Renew, when set, is a [renewJob] instead.
	Renew json.RawMessage `json:"renew,omitempty"`
}

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		if err := runChild(job); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(serverEnv) != "" {
		fmt.Fprintln(os.Stderr, "server:", serveNames())
		os.Exit(1)
	}
	os.Exit(run(m))
}

// run runs one test at a time, unless somebody wants it otherwise: each of them runs the whole product against certificates
// that live for minutes, and two would take each other's time.
func run(m *testing.M) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "1"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	return m.Run()
}

func runChild(raw string) error {
	var job childJob
	if err := json.Unmarshal([]byte(raw), &job); err != nil {
		return err
	}
	if job.Renew != nil {
		var r renewJob
		if err := json.Unmarshal(job.Renew, &r); err != nil {
			return err
		}
		return runRenewChild(r)
	}
	c := config.Default()
	c.State = config.NewState(job.State)
	c.Listen = "127.0.0.1:0"
	c.BaseURL = "http://127.0.0.1"
	c.Trust = config.Trust{job.Roots}
	c.Every, c.Confirm, c.Gather, c.Clear = config.Duration(time.Second), 0, 0, 2
	c.Revocation = config.RevocationOff
	c.TimeToRepair = config.Duration(time.Second)
	c.Channels = map[string]config.Channel{}
	for _, name := range []string{"first", "second"} {
		c.Channels[name] = config.Channel{Webhook: &config.Webhook{URL: config.NewAddress(job.Pager + "/" + name), Secret: config.NewSecret("a secret that is long enough")}}
	}
	c.Routes, c.DefaultRoute = map[string]config.Route{"default": {Channels: []string{"first", "second"}}}, "default"
	c.Monitor.Route = "default"
	for i, s := range job.Targets {
		t, err := assure.ParseTarget(s)
		if err != nil {
			return err
		}
		c.Certificates = append(c.Certificates, config.Certificate{Name: fmt.Sprintf("cert-%d", i), Route: "default", Endpoints: []config.Endpoint{{Target: t}}})
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := app.New(app.Options{
		Config: &c, Stdout: os.Stdout, Tick: 50 * time.Millisecond, Scan: time.Second,
		Retry:  []time.Duration{100 * time.Millisecond, 300 * time.Millisecond},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// child is one life of the product.
type child struct {
	cmd   *exec.Cmd
	ready chan struct{}
	done  chan struct{}
	err   error
	log   *tail
	hello string // its first line; set when it is ready
}

func startChild(t *testing.T, job childJob) *child {
	t.Helper()
	raw, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0]), ready: make(chan struct{}), done: make(chan struct{}), log: &tail{}}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	c.cmd.Stderr = c.log
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.done)
		scan := bufio.NewScanner(out)
		if scan.Scan() {
			c.hello = scan.Text()
			close(c.ready)
		}
		_, _ = io.Copy(io.Discard, out)
		c.err = c.cmd.Wait()
	}()
	return c
}

// metric reads one series of a child that is ready; empty when it cannot be had.
func (c *child) metric(t *testing.T, series string) string {
	t.Helper()
	<-c.ready
	_, url, _ := strings.Cut(c.hello, "Dashboard: ")
	res, err := http.Get(url + "/metrics")
	if err != nil {
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	for scan := bufio.NewScanner(res.Body); scan.Scan(); {
		if value, ok := strings.CutPrefix(scan.Text(), series+" "); ok {
			return value
		}
	}
	return ""
}

// tail keeps what a child said last.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p...)
	if len(w.buf) > 8<<10 {
		w.buf = w.buf[len(w.buf)-8<<10:]
	}
	return len(p), nil
}

func (w *tail) String() string { w.mu.Lock(); defer w.mu.Unlock(); return string(w.buf) }

// sink is a pager that fails at random in both ways, and remembers everything.
type sink struct {
	*httptest.Server
	mu    sync.Mutex
	rnd   *rand.Rand
	calm  bool
	calls []call
}

type call struct {
	channel, notice, kind, stage, incident, dedup string
	at                                            time.Time
	recorded                                      bool // the message was taken
	told                                          bool // and the product was told so
}

func newSink(seed uint64) *sink {
	s := &sink{rnd: rand.New(rand.NewPCG(seed, 1))}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

func (s *sink) serve(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Notice   string `json:"notice"`
		Kind     string `json:"kind"`
		Stage    string `json:"stage"`
		DedupKey string `json:"dedup_key"`
		Incident struct {
			ID string `json:"id"`
		} `json:"incident"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	dice := s.rnd.Float64()
	if s.calm {
		dice = 0
	}
	c := call{
		channel: strings.TrimPrefix(r.URL.Path, "/"), notice: body.Notice, kind: body.Kind, stage: body.Stage, incident: body.Incident.ID, dedup: body.DedupKey,
		at: time.Now(), recorded: dice < 0.4 || dice >= 0.7, told: dice < 0.4,
	}
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	switch {
	case dice < 0.4: // taken
	case dice < 0.7: // refused
		http.Error(w, "busy", http.StatusServiceUnavailable)
	case dice < 0.85: // taken, and then failed
		http.Error(w, "fell over", http.StatusInternalServerError)
	default: // taken, and the answer is lost
		panic(http.ErrAbortHandler)
	}
}

// next waits for n further calls, or for as long as the limit.
func (s *sink) next(n int, limit time.Duration) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	want := len(s.taken()) + n
	for deadline := time.Now().Add(limit); len(s.taken()) < want && time.Now().Before(deadline); {
		<-tick.C
	}
}

func (s *sink) calmDown() { s.mu.Lock(); s.calm = true; s.mu.Unlock() }

func (s *sink) taken() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]call(nil), s.calls...)
}

// host is a TLS server whose certificate is swapped between a good one and one that has expired.
type host struct {
	name string
	leaf atomic.Pointer[tls.Certificate]
	addr string
}

func startHost(t *testing.T, name string) *host {
	t.Helper()
	h := &host{name: name}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = l.Addr().String()
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*h.leaf.Load()}}).Handshake()
			})
		}
	})
	return h
}

func (h *host) target() string {
	_, port, _ := net.SplitHostPort(h.addr)
	return h.name + ":" + port + "@127.0.0.1"
}

// Nothing is lost: the process is killed at random moments while endpoints break and heal and the pager fails at random
// in both ways. Every incident is paged on every channel, and nobody is told twice for one stage but where at-least-once
// says so: after a message whose answer was lost or bad, or a kill before its receipt was written.
func TestLostNothing(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		lostNothing(t, t.TempDir(), 11)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		lostNothing(t, postgres(t), 12)
	})
}

// postgres starts a server of the test's own. Without one installed the test is skipped, loudly, and fails in CI.
func postgres(t *testing.T) string {
	t.Helper()
	dsn, stop, err := lab.StartPostgres(t.Context(), t.TempDir())
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("PostgreSQL is needed in CI: %v", err)
		}
		t.Skipf("SKIPPED, AND NOTHING IS KNOWN OF POSTGRESQL: %v", err)
	}
	t.Cleanup(stop)
	return dsn
}

func lostNothing(t *testing.T, state string, seed uint64) {
	const kills, hosts = 50, 10
	rnd := rand.New(rand.NewPCG(seed, 2))
	ca, err := lab.NewCA(lab.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Stop)
	issue := func(name string, from, to time.Duration) *tls.Certificate {
		leaf, err := ca.Root.Issue(lab.LeafOptions{Names: []string{name}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to)})
		if err != nil {
			t.Fatal(err)
		}
		pair := leaf.TLS()
		return &pair
	}
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, ca.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	pager := newSink(seed)
	t.Cleanup(pager.Close)
	job := childJob{State: state, Roots: roots, Pager: pager.URL}
	var all []*host
	for i := range hosts {
		h := startHost(t, fmt.Sprintf("host-%d.example.com", i))
		h.leaf.Store(issue(h.name, -time.Hour, 1000*time.Hour))
		all = append(all, h)
		job.Targets = append(job.Targets, h.target())
	}
	flip := func(h *host, good bool) {
		if good {
			h.leaf.Store(issue(h.name, -time.Hour, 1000*time.Hour))
		} else {
			h.leaf.Store(issue(h.name, -1000*time.Hour, -time.Minute))
		}
	}

	var killed []time.Time
	for range kills {
		for _, h := range all {
			if rnd.IntN(4) == 0 {
				flip(h, rnd.IntN(2) == 0)
			}
		}
		c := startChild(t, job)
		if rnd.IntN(8) > 0 { // now and then it is killed while it starts
			select {
			case <-c.ready:
			case <-c.done:
				t.Fatalf("the product ended by itself: %v\n%s", c.err, c.log)
			case <-time.After(3 * time.Minute):
				t.Fatalf("the product does not start\n%s", c.log)
			}
		}
		// It dies in the middle of things: after a few calls of the pager, or when there are none to come, and then a
		// random moment later.
		pager.next(rnd.IntN(6), 3*time.Second)
		wait(time.Duration(rnd.IntN(200)) * time.Millisecond)
		killed = append(killed, time.Now())
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-c.done
	}

	// The last life. Every host breaks in a way that was not there before, and the pager works again.
	pager.calmDown()
	for _, h := range all {
		flip(h, false)
	}
	c := startChild(t, job)
	eventually(t, c, "a page for each broken host", func() bool { return len(openStages(pager)) >= 2*hosts })
	for _, h := range all {
		flip(h, true)
	}
	var quiet time.Time // since when; the figures are a few seconds old
	eventually(t, c, "the resolve of everything that was told, with nothing left to tell", func() bool {
		if len(openStages(pager)) > 0 || c.metric(t, `notafter_deliveries{state="pending"}`) != "0" {
			quiet = time.Time{}
			return false
		}
		if quiet.IsZero() {
			quiet = time.Now()
		}
		return time.Since(quiet) > 6*time.Second
	})
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-c.done
	if c.err != nil {
		t.Errorf("SIGTERM does not end in a clean stop: %v\n%s", c.err, c.log)
	}
	audit(t, state, pager, killed)
}

// openStages are the alerts that a pager's user sees as open on any channel: triggered, and neither superseded nor
// resolved.
func openStages(p *sink) map[string]bool {
	open := map[string]bool{}
	for _, c := range p.taken() {
		key := c.channel + " " + c.dedup
		switch {
		case !c.recorded:
		case c.kind == string(assure.NoticeTrigger):
			open[key] = true
		default:
			delete(open, key)
		}
	}
	return open
}

// audit compares what the ledger says with what the pager took.
func audit(t *testing.T, state string, p *sink, killed []time.Time) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{DSN: state})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	calls := map[string][]call{} // by channel and notice
	for _, c := range p.taken() {
		calls[c.channel+" "+c.notice] = append(calls[c.channel+" "+c.notice], c)
	}
	list, total, err := db.Incidents(t.Context(), assure.IncidentQuery{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	if total > len(list) {
		t.Fatalf("%d incidents, only %d read", total, len(list))
	}
	pages := 0
	for _, i := range list {
		v, err := db.Incident(t.Context(), i.ID, 100)
		if err != nil {
			t.Fatal(err)
		}
		triggers := 0
		for _, d := range v.Deliveries {
			if d.State != assure.DeliverySent {
				t.Errorf("incident %s (%s): %s of stage %s through %s is %s", i.ID, i.Cause, d.Notice.Kind, d.Notice.Stage, d.Channel, d.State)
			}
			if d.Notice.Kind == assure.NoticeSupersede {
				continue // a webhook has no alert of its own to close
			}
			took := false
			for _, c := range calls[d.Channel+" "+d.Notice.ID] {
				took = took || c.recorded
			}
			if !took {
				t.Errorf("incident %s: the ledger says that %s was sent through %s, but the pager never took it", i.ID, d.Notice.ID, d.Channel)
			}
			if d.Notice.Kind == assure.NoticeTrigger {
				triggers++
			}
		}
		want := 2
		if strings.HasPrefix(i.Cause, "channel/") {
			want = 1 // a channel that fails is told of through the other one
		}
		if triggers < want {
			t.Errorf("incident %s (%s) was told %d times, want once through each channel", i.ID, i.Cause, triggers)
		}
		pages += triggers
	}
	again, late := 0, 0
	for key, cs := range calls {
		for n := 1; n < len(cs); n++ {
			again++
			if !cs[n-1].told {
				continue // the product could not know that it was taken
			}
			between := false
			for _, k := range killed {
				// The request may have been on its way when its sender was killed.
				between = between || !k.Before(cs[n-1].at.Add(-time.Second)) && !k.After(cs[n].at)
			}
			if !between {
				t.Errorf("%s was sent again at %s although it was taken at %s and nothing was killed in between", key, cs[n].at, cs[n-1].at)
			}
			late++
		}
	}
	t.Logf("%d incidents, %d pages, %d kills; %d of %d calls were repeats, %d of them because of a kill after the answer", len(list), pages, len(killed), again, len(p.taken()), late)
	if len(list) < 12 {
		t.Errorf("only %d incidents: the test shows little", len(list))
	}
}

func eventually(t *testing.T, c *child, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-c.done:
			t.Fatalf("waiting for %s, the product ended: %v\n%s", what, c.err, c.log)
		case <-deadline:
			t.Fatalf("no %s within two minutes\n%s", what, c.log)
		}
	}
}

// wait lets the product work for a random while: the moment of the kill is the point of the test.
func wait(d time.Duration) { <-time.After(d) }
