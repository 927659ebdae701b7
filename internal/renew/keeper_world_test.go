package renew

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

// house is a world with a ledger, where keepers live.
type house struct {
	*world
	shelf   *shelf
	staging *authority.Authority
	ahead   atomic.Int64 // how far our clock is ahead of the authority's
	server  *server
	dns     *hand
	asker   *cloud
	facts   facts
}

func newHouse(t testing.TB, o authority.Options) *house {
	t.Helper()
	if o.Profiles == nil {
		o.Profiles = map[string]time.Duration{"long": 90 * day}
	}
	h := &house{world: newWorld(t, o), shelf: newShelf(), server: &server{}, asker: &cloud{answer: assure.Allowed}}
	h.dns = &hand{zone: h.zone}
	var err error
	if h.staging, err = authority.Start(authority.Options{Resolver: h.zone.addr, AuthzReuse: o.AuthzReuse}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.staging.Stop)
	return h
}

func (h *house) now() time.Time       { return time.Now().Add(time.Duration(h.ahead.Load())) }
func (h *house) pass(d time.Duration) { h.ahead.Add(int64(d)) }
func (h *house) ladder() map[assure.AttemptKind]time.Duration {
	return map[assure.AttemptKind]time.Duration{assure.RehearseStatic: time.Hour, assure.RehearsePermission: time.Hour, assure.RehearseCanary: time.Hour, assure.RehearseAuthorize: 6 * time.Hour}
}

// job is a certificate of the house. It installs to the house's server and climbs no rung.
func (h *house) job(name string, change ...func(*Job)) Job {
	h.t.Helper()
	j := Job{
		Certificate: name, Renewer: "lab", Names: []string{name + ".example"}, Challenge: ChallengeDNS01, CA: h.ca(func(o *CAOptions) { o.Accounts = h.shelf }),
		Writer: func() DNS { return h.dns }, Zones: h.zone, Asker: h.asker, Patience: time.Minute, Install: []Installer{h.server},
	}
	for _, f := range change {
		f(&j)
	}
	return j
}

func (h *house) climbs(rungs map[assure.AttemptKind]time.Duration) func(*Job) {
	return func(j *Job) {
		j.Rungs = rungs
		var err error
		if j.Staging, err = NewCA(CAOptions{Directory: h.staging.Directory(), Roots: h.staging.Pool(), Accounts: h.shelf, Sealer: h.sealer, PollInterval: 20 * time.Millisecond}); err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(j.Staging.Close)
	}
}

// keeper is a process that has just started.
func (h *house) keeper(jobs []Job, change ...func(*KeeperOptions)) *Keeper {
	h.t.Helper()
	o := KeeperOptions{
		Jobs: jobs, Ledger: h.shelf, Sealer: h.sealer, Viewer: h.server, Owner: "keeper", Now: h.now, Logger: slog.New(slog.NewTextHandler(h, nil)), Report: h.facts.add,
		Tick: 10 * time.Millisecond, Lease: time.Hour, Refresh: 50 * time.Millisecond, SeenWithin: 3 * time.Second,
	}
	for _, f := range change {
		f(&o)
	}
	k, err := NewKeeper(o)
	if err != nil {
		h.t.Fatal(err)
	}
	return k
}

// run runs a keeper until the returned function is called.
func (h *house) run(k *Keeper) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { k.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	h.t.Cleanup(stop)
	return stop
}

// attempt makes one attempt at what is due.
func (h *house) attempt(k *Keeper, name string, force bool) *assure.Attempt {
	h.t.Helper()
	a, err := k.RenewNow(deadline(h.t), name, "ana", force)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *house) rehearse(k *Keeper, name string, kinds ...assure.AttemptKind) []assure.Attempt {
	h.t.Helper()
	out, err := k.Rehearse(deadline(h.t), name, "ana", kinds...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// orders is how many orders were made into certificates.
func (h *house) orders() int { return h.proxy.Seen(authority.Finalize) }

func (h *house) tidy() {
	h.t.Helper()
	h.clean()
	if n := h.shelf.left(); n > 0 {
		h.t.Errorf("%d entries are left in the journal", n)
	}
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

// server is where certificates are installed, and where it is looked whether they are served.
type server struct {
	mu     sync.Mutex
	chains map[string]string // by certificate
	times  int
	// trip is asked before and after; it may block.
	trip func(when string) error
	deaf bool // serves nothing of what is installed
}

func (s *server) Install(_ context.Context, name string, chain, key []byte) ([]assure.Step, error) {
	s.mu.Lock()
	trip := s.trip
	s.mu.Unlock()
	if trip != nil {
		if err := trip("before"); err != nil {
			return []assure.Step{{Name: assure.StepInstall, Outcome: assure.Failed}}, err
		}
	}
	s.mu.Lock()
	if s.chains == nil {
		s.chains = map[string]string{}
	}
	s.times++
	if len(key) > 0 {
		s.chains[name] = string(chain)
	}
	s.mu.Unlock()
	if trip != nil {
		if err := trip("after"); err != nil {
			return []assure.Step{{Name: assure.StepReload, Outcome: assure.Failed}}, err
		}
	}
	return []assure.Step{{Name: assure.StepInstall, Outcome: assure.Done}}, nil
}

func (s *server) String() string { return "the lab's server" }

func (s *server) set(trip func(string) error) { s.mu.Lock(); defer s.mu.Unlock(); s.trip = trip }

func (s *server) Serving(_ context.Context, name, print string) ([]string, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if leaf, err := parseLeaf([]byte(s.chains[name])); err == nil && fingerprint(leaf) == print && !s.deaf {
		return nil, 1
	}
	return []string{name + ".example:443 at 192.0.2.1:443"}, 1
}

// serves is the certificate in service.
func (s *server) serves(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chains[name]
}

func noInstall(string) error {
	return &assure.Trouble{Reason: assure.InstallFailed, Class: assure.TroubleInvalid, Detail: "the directory is read-only"}
}

// hand is a DNS writer that may be refused.
type hand struct {
	*zone
	mu sync.Mutex
	no *assure.Trouble
}

func (d *hand) refuse(t *assure.Trouble) { d.mu.Lock(); defer d.mu.Unlock(); d.no = t }

func (d *hand) Present(ctx context.Context, name, value string) error {
	d.mu.Lock()
	no := d.no
	d.mu.Unlock()
	if no != nil {
		return no
	}
	return d.zone.Present(ctx, name, value)
}

func denied() *assure.Trouble {
	return &assure.Trouble{Reason: assure.DNSWriteDenied, Class: assure.TroubleDenied, Identity: "app-7", Action: "TXT/write", Scope: "example", Detail: "403: the grant is gone"}
}

func away() *assure.Trouble {
	return &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleTransient, Detail: "503"}
}

// cloud answers questions about the permission.
type cloud struct {
	mu     sync.Mutex
	answer assure.Answer
	asked  []string
}

func (c *cloud) Ask(_ context.Context, name string) []assure.Access {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, name)
	a := assure.Access{Answer: c.answer, Identity: "app-7", Action: "TXT/write", Scope: name}
	if c.answer == assure.Forbidden {
		a.Trouble = denied()
	}
	return []assure.Access{a}
}

func (c *cloud) times() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.asked) }

func (c *cloud) say(a assure.Answer) { c.mu.Lock(); defer c.mu.Unlock(); c.answer = a }

// facts are what was reported.
type facts struct {
	mu  sync.Mutex
	all []fact
}

type fact struct {
	certificate, subject string
	fact                 assure.Fact
}

func (f *facts) add(_ context.Context, certificate, subject string, _ assure.Link, x assure.Fact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, fact{certificate, subject, x})
}

// about are the facts about one certificate and subject.
func (f *facts) about(certificate, subject string) (out []assure.Fact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.all {
		if x.certificate == certificate && x.subject == subject {
			out = append(out, x.fact)
		}
	}
	return out
}

// trail is an attempt's steps, as "order:done present:failed".
func trail(a assure.Attempt) string {
	s := steps{all: a.Steps}
	return s.text()
}

func outcomes(list []assure.Attempt) (out []string) {
	for _, a := range list {
		out = append(out, string(a.Kind)+":"+string(a.Outcome))
	}
	return out
}
