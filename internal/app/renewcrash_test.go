package app_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/lab/arm"
	"github.com/notafter/notafter/internal/lab/authority"
	"github.com/notafter/notafter/internal/lab/estate"
	"github.com/notafter/notafter/internal/lab/zones"
)

// renewJob is what the product in a child process renews: one certificate, at an estate in the parent.
type renewJob struct {
	State, RootsFile, Pager string
	Renewer                 estate.Renewer
	Names, Targets, Reload  []string
	Fullchain, Key          string
}

// runRenewChild is the product in a child process. No rung is climbed but when it is asked for.
func runRenewChild(job renewJob) error {
	c := config.Default()
	c.State, c.Listen, c.BaseURL = config.NewState(job.State), "127.0.0.1:0", "http://127.0.0.1"
	c.Trust, c.DNS.Servers, c.Revocation = config.Trust{job.RootsFile}, []string{job.Renewer.Resolver}, config.RevocationOff
	c.Every = config.Duration(5 * time.Second)
	c.Channels = map[string]config.Channel{"pager": {
		PagerDuty: &config.PagerDuty{RoutingKey: config.NewSecret("0123456789abcdef0123456789abcdef"), URL: config.NewAddress(job.Pager)},
	}}
	c.Routes, c.DefaultRoute = map[string]config.Route{"default": {Channels: []string{"pager"}}}, "default"
	c.Monitor.Route, c.Monitor.Control = "default", false
	c.Renewers = map[string]config.Renewer{job.Renewer.Name: renewerOf(job.Renewer, pace{})}
	cert := config.Certificate{Name: "shop", Names: job.Names, Route: "default", Renewer: job.Renewer.Name, Install: []config.Install{{
		Files: map[string]config.InstallFile{"fullchain": {Path: config.File(job.Fullchain)}, "key": {Path: config.File(job.Key)}}, Reload: job.Reload,
	}}}
	for _, s := range job.Targets {
		t, err := assure.ParseTarget(s)
		if err != nil {
			return err
		}
		cert.Endpoints = append(cert.Endpoints, config.Endpoint{Target: t})
	}
	c.Certificates = []config.Certificate{cert}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	a, err := app.New(app.Options{
		Config: &c, Stdout: os.Stdout, Tick: 50 * time.Millisecond, Scan: time.Second, Lease: crashLease,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// crashLease is how long what a process had in hand stays in its hand when it is dead.
const crashLease = 3 * time.Second

// stranger is a TXT value of somebody else at the name where challenges are written.
const stranger = "somebody else's value"

// crash is an estate in which the product is killed at one point after the other.
type crash struct {
	t    *testing.T
	r    *renewed
	site *estate.Site
	zone string
	job  renewJob
	live *child

	mu   sync.Mutex
	gone int // looks at which the stranger's value was not there
	kill func()
	dead chan struct{}
}

// blow is one point at which the product is killed.
type blow struct {
	what string
	// set prepares the kill.
	set func(c *crash)
	// more is how many orders beyond one may be made into certificates, because of what was lost with the process.
	more int
	// rehearsal is set where a canary is killed and not a renewal.
	rehearsal bool
	// long is set where a short test leaves it out.
	long bool
}

func startCrash(t *testing.T, host string) *crash {
	r := settle(t, pace{life: 10 * time.Minute})
	c := &crash{t: t, r: r, site: r.add(t, []string{host}), zone: estate.BindZone}
	renewers := r.Renewers()
	c.job = renewJob{
		State: t.TempDir(), RootsFile: r.RootsFile, Pager: r.pager.URL("pager") + "/v2/enqueue", Renewer: renewers[1], Names: c.site.Names, Targets: c.site.Targets,
		Fullchain: c.site.Fullchain, Key: c.site.Key,
	}
	if strings.HasSuffix(host, estate.AzureZone) {
		c.zone, c.job.Renewer = estate.AzureZone, renewers[0]
		r.Azure.SetValues(c.zone, c.record(), 60, stranger)
	} else if err := r.Zones.Add(c.zone, c.record(), dns.TypeTXT, stranger); err != nil {
		t.Fatal(err)
	}
	// The reload command kills whoever runs it where there is a file that says so, before or after the server is told.
	trap := func(name string) string {
		return fmt.Sprintf("if rm %[1]s 2>/dev/null; then kill -9 $PPID; fi; ", c.trap(name))
	}
	c.job.Reload = append([]string{"/bin/sh", "-c", trap("before") + `"$@"; ` + trap("after"), "sh"}, c.site.Reload...)
	// From now on the stranger's value is looked at all the time.
	ctx, cancel := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() {
		for ctx.Err() == nil {
			if v := c.values("ns1."); !slices.Contains(v, stranger) {
				c.mu.Lock()
				c.gone++
				c.mu.Unlock()
			}
			wait(time.Millisecond)
		}
	})
	t.Cleanup(func() {
		cancel()
		watch.Wait()
		if c.gone > 0 {
			t.Errorf("the value of somebody else was not there at %d looks", c.gone)
		}
	})
	c.start()
	return c
}

func (c *crash) record() string { return "_acme-challenge." + c.site.Names[0] }

func (c *crash) trap(name string) string {
	return filepath.Join(filepath.Dir(c.site.Fullchain), "die-"+name)
}

func (c *crash) values(server string) []string {
	v, err := c.r.Zones.Values(server+c.zone, c.zone, c.record(), dns.TypeTXT)
	if err != nil {
		c.t.Error(err)
	}
	return v
}

// ours counts our values at the zone's servers.
func (c *crash) ours() (n int) {
	for _, s := range []string{"ns1.", "ns2.", "ns3."} {
		for _, v := range c.values(s) {
			if v != stranger {
				n++
			}
		}
	}
	return n
}

// journal counts what is still to be withdrawn.
func (c *crash) journal() (n int) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.job.State, "notafter.db")+"?mode=ro")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRow("SELECT count(*) FROM pending").Scan(&n); err != nil {
		return -1 // it is being written; look again
	}
	return n
}

// start starts the product, and arms the next kill.
func (c *crash) start() {
	c.t.Helper()
	raw, err := json.Marshal(c.job)
	if err != nil {
		c.t.Fatal(err)
	}
	live := startChild(c.t, childJob{Renew: raw})
	c.t.Cleanup(func() { _ = live.cmd.Process.Kill(); <-live.done })
	select {
	case <-live.ready:
	case <-live.done:
		c.t.Fatalf("the product ended by itself: %v\n%s", live.err, live.log)
	case <-time.After(3 * time.Minute):
		c.t.Fatalf("the product does not start\n%s", live.log)
	}
	c.live, c.dead = live, live.done
	c.kill = sync.OnceFunc(func() { _ = live.cmd.Process.Kill(); <-live.done })
}

func (c *crash) url(path string) string {
	_, base, _ := strings.Cut(c.live.hello, "Dashboard: ")
	return strings.TrimSuffix(base, "/") + "/api/v1/certificates/shop" + path
}

func (c *crash) post(path, body string) {
	c.t.Helper()
	res, err := http.Post(c.url(path), "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		c.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		c.t.Fatalf("POST %s: %s", path, res.Status)
	}
}

// books are the parts of the API's answer about a renewal that matter here.
type books struct {
	State struct {
		Failures int        `json:"failures"`
		Running  *time.Time `json:"running_since"`
		Success  *time.Time `json:"last_success"`
	} `json:"state"`
	Attempts []struct {
		Kind    string `json:"kind"`
		Outcome string `json:"outcome"`
	} `json:"attempts"`
}

func (c *crash) books() (b books) {
	res, err := http.Get(c.url("/renewal"))
	if err != nil {
		return b
	}
	defer func() { _ = res.Body.Close() }()
	_ = json.NewDecoder(res.Body).Decode(&b)
	return b
}

// watch calls do once when happens is true, while the product lives.
func (c *crash) watch(happens func() bool, do func()) {
	dead := c.dead
	go func() {
		for !happens() {
			select {
			case <-dead:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
		do()
	}()
}

// strike kills the product at one point, starts it again, and sees whether everything is well then.
func (c *crash) strike(b blow) {
	t := c.t
	t.Helper()
	orders, leaf := c.r.CAProxy.Seen(authority.Finalize), c.site.Leaf()
	b.set(c)
	if b.rehearsal {
		c.post("/rehearse", `{"rungs":["canary"],"who":"test"}`)
	} else {
		c.post("/renew", `{"force":true,"who":"test"}`)
	}
	select {
	case <-c.dead:
	case <-time.After(3 * time.Minute):
		t.Fatalf("%s: it was not killed\n%s", b.what, c.live.log)
	}
	c.kill()
	died := c.ours()
	c.r.Azure.Heal()
	c.r.CAProxy.Mend()
	_ = c.r.Zones.Fault("ns1."+c.zone, c.zone, zones.None)
	_ = c.r.Zones.Release("ns3." + c.zone)
	c.mend()
	c.start()
	deadline := time.Now().Add(3 * time.Minute)
	for well := false; !well; wait(100 * time.Millisecond) {
		all := c.books()
		s := all.State
		well = s.Success != nil && s.Running == nil && s.Failures == 0 && c.ours() == 0 && c.journal() == 0 && (b.rehearsal || !bytes.Equal(leaf, c.site.Leaf()))
		for _, a := range all.Attempts {
			well = well && a.Outcome != "running"
		}
		if !well && time.Now().After(deadline) {
			t.Fatalf("%s: no new certificate in service with nothing left behind and nothing said to run: %+v, %d values of ours are left, %d in the journal, a new leaf: %t\n%s",
				b.what, s, c.ours(), c.journal(), !bytes.Equal(leaf, c.site.Leaf()), c.live.log)
		}
	}
	for _, s := range []string{"ns1.", "ns2.", "ns3."} {
		if v := c.values(s); !slices.Equal(v, []string{stranger}) {
			t.Errorf("%s: %s holds %q afterwards", b.what, s, v)
		}
	}
	most := 1 + b.more
	if b.rehearsal {
		most = 0
	}
	n := c.r.CAProxy.Seen(authority.Finalize) - orders
	if n > most {
		t.Errorf("%s: %d orders were finalized, want at most %d", b.what, n, most)
	}
	t.Logf("%s: killed with %d values at the servers; %d orders finalized", b.what, died, n)
}

// mend makes the folder of the site a folder again.
func (c *crash) mend() {
	dir := filepath.Dir(c.site.Fullchain)
	if _, err := os.Stat(dir + ".aside"); err == nil {
		_ = os.Remove(dir)
		if err := os.Rename(dir+".aside", dir); err != nil {
			c.t.Error(err)
		}
	}
}

// atCA kills when the authority is asked for something: before it hears of it, or after it has answered.
func atCA(at authority.Place, after bool) func(*crash) {
	return func(c *crash) {
		kill := c.kill
		c.r.CAProxy.Add(authority.Fault{At: at, Do: func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if after {
				authority.Lose()(w, r.WithContext(context.WithoutCancel(r.Context())), killing{pass, kill})
				return
			}
			kill()
			panic(http.ErrAbortHandler)
		}})
	}
}

// killing passes a request on, and kills before the answer is heard.
type killing struct {
	pass http.Handler
	kill func()
}

func (k killing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.pass.ServeHTTP(w, r)
	k.kill()
}

// atRead kills when the record set is about to be read for the n-th time. Where lost is set, the answer to the write
// before that is lost, so that it is read to see whether it was made.
func atRead(n int, lost bool) func(*crash) {
	return func(c *crash) {
		kill, reads := c.kill, 0
		c.r.Azure.Inject(arm.Fault{Method: http.MethodGet, Path: "/TXT/", Before: func() {
			reads++
			switch {
			case reads == n:
				kill()
			case lost && reads == n-1:
				c.r.Azure.Inject(arm.Fault{Ill: arm.Lost, Method: http.MethodPut, Path: "/TXT/", Times: 1})
			}
		}})
	}
}

// atUpdate kills after a dynamic update was sent: the first, or the one that withdraws.
func atUpdate(f zones.Fault, withdraw bool) func(*crash) {
	return func(c *crash) {
		ns1, kill := "ns1."+c.zone, c.kill
		strike := func() {
			sent := c.r.Zones.Queries(ns1, c.zone, dns.TypeNone)
			if err := c.r.Zones.Fault(ns1, c.zone, f); err != nil {
				c.t.Error(err)
			}
			c.watch(func() bool {
				there := len(c.values("ns1.")) > 1
				return c.r.Zones.Queries(ns1, c.zone, dns.TypeNone) > sent && (f == zones.UpdateSilent || there != withdraw)
			}, kill)
		}
		if !withdraw {
			strike()
			return
		}
		// Held up while it is shown, so that there is time.
		atShown(func() {
			strike()
			_ = c.r.Zones.Release("ns3." + c.zone)
		})(c)
	}
}

// atShown does something while one server does not show the value yet; nil kills.
func atShown(do func()) func(*crash) {
	return func(c *crash) {
		ns3 := "ns3." + c.zone
		if err := c.r.Zones.Hold(ns3); err != nil {
			c.t.Error(err)
		}
		asked := c.r.Zones.Queries(ns3, c.record(), dns.TypeTXT)
		if do == nil {
			do = c.kill
		}
		c.watch(func() bool {
			return len(c.values("ns1.")) > 1 && c.r.Zones.Queries(ns3, c.record(), dns.TypeTXT) > asked
		}, do)
	}
}

func atReload(when string) func(*crash) {
	return func(c *crash) {
		if err := os.WriteFile(c.trap(when), nil, 0o600); err != nil {
			c.t.Error(err)
		}
	}
}

// atInstall makes installing fail, and kills when it has.
func atInstall(c *crash) {
	dir := filepath.Dir(c.site.Fullchain)
	if err := os.Rename(dir, dir+".aside"); err != nil {
		c.t.Error(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		c.t.Error(err)
	}
	c.watch(func() bool { return c.books().State.Failures > 0 }, c.kill)
}

// Nothing is left in any zone after a kill at any step, somebody else's value at the same name survives everything, and
// what was issued is put in service and not ordered again.
func TestKilledAtEachStep(t *testing.T) {
	for name, c := range map[string]struct {
		host  string
		blows []blow
	}{
		"azure": {"shop." + estate.AzureZone, []blow{
			{what: "the order is placed, nothing is written down", set: atCA(authority.NewOrder, true), long: true},
			{what: "the value is in the journal, and about to be written", set: atRead(1, false), long: true},
			{what: "the value is written, the answer is lost", set: atRead(2, true)},
			{what: "the value is waited for", set: atShown(nil), long: true},
			{what: "the value is about to be withdrawn", set: atRead(2, false), long: true},
			{what: "the value is withdrawn, the answer is lost", set: atRead(3, true)},
		}},
		"azure canary": {"shop." + estate.AzureZone, []blow{
			{what: "the canary is in the journal, and about to be written", set: atRead(1, false), rehearsal: true, long: true},
			{what: "the canary is written, the answer is lost", set: atRead(2, true), rehearsal: true},
			{what: "the canary is waited for", set: atShown(nil), rehearsal: true, long: true},
			{what: "the canary is about to be withdrawn", set: atRead(2, false), rehearsal: true},
			{what: "the canary is withdrawn, the answer is lost", set: atRead(3, true), rehearsal: true, long: true},
		}},
		"bind": {"shop." + estate.BindZone, []blow{
			{what: "the update is sent and not made", set: atUpdate(zones.UpdateSilent, false), long: true},
			{what: "the update is made, the answer is lost", set: atUpdate(zones.UpdateLost, false)},
			{what: "the value is waited for", set: atShown(nil), long: true},
			{what: "the withdrawal is sent and not made", set: atUpdate(zones.UpdateSilent, true)},
			{what: "the withdrawal is made, the answer is lost", set: atUpdate(zones.UpdateLost, true), long: true},
			{what: "the canary's update is made, the answer is lost", set: atUpdate(zones.UpdateLost, false), rehearsal: true, long: true},
			{what: "the canary's withdrawal is sent and not made", set: atUpdate(zones.UpdateSilent, true), rehearsal: true, long: true},
		}},
		"authority and server": {"shop." + estate.BindZone, []blow{
			{what: "the authority is about to look", set: atCA(authority.Challenge, false), long: true},
			{what: "the authority was told to look", set: atCA(authority.Challenge, true), long: true},
			{what: "nothing is left in the journal, the order is about to be finalized", set: atCA(authority.Finalize, false), more: 1, long: true},
			{what: "the order is finalized, the answer is lost", set: atCA(authority.Finalize, true), more: 1},
			{what: "the certificate came and is kept nowhere", set: atCA(authority.Download, true), more: 1, long: true},
			{what: "the certificate is kept and not installed", set: atInstall},
			{what: "the files are swapped, the server is not told", set: atReload("before")},
			{what: "the server is told, nobody has looked", set: atReload("after"), long: true},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := startCrash(t, c.host)
			eventually(t, x.live, "first certificate", func() bool { s := x.books().State; return s.Success != nil && s.Running == nil })
			for _, b := range c.blows {
				if !b.long || !testing.Short() {
					x.strike(b)
				}
			}
		})
	}
}
