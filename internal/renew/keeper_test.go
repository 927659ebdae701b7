package renew

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

func TestRenews(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("shop")})
	a := h.attempt(k, "shop", false)
	if a == nil || a.Outcome != assure.Done || a.By != bySchedule || !strings.Contains(trail(*a), "finalize:done") || !strings.HasSuffix(trail(*a), "install:done seen:done") {
		t.Fatalf("the first renewal: %+v", a)
	}
	s, kept := h.shelf.state("shop"), h.shelf.kept("shop")
	if len(kept) != 1 || kept[0].InstalledAt.IsZero() || a.Fingerprint != kept[0].Cert.Fingerprint || h.server.serves("shop") != string(kept[0].Chain) {
		t.Fatalf("what is kept is not what is in service: %+v", kept)
	}
	if strings.Contains(string(kept[0].Key), "PRIVATE") {
		t.Error("the key is kept in clear")
	}
	if s.Failures != 0 || s.LastTrouble != nil || !s.Running.IsZero() || s.LastSuccess.IsZero() || s.Next.Before(h.now().Add(30*day)) || s.Left < 10 || s.Why == "" {
		t.Errorf("the books: %+v", s)
	}
	if h.attempt(k, "shop", false) != nil {
		t.Error("what is not due was renewed")
	}
	// Two thirds of ninety days later it is due, and replaces the one before.
	h.pass(61 * day)
	if a := h.attempt(k, "shop", false); a == nil || a.Outcome != assure.Done {
		t.Fatalf("when it is due: %+v", a)
	}
	if n := len(h.shelf.kept("shop")); n != 2 {
		t.Errorf("%d certificates", n)
	}
	f := h.facts.about("shop", assure.SubjectRenewal)
	if last, ok := f[len(f)-1].(assure.Renewing); !ok || last.Renewer != "lab" || last.Newest == nil || last.Installed.IsZero() || len(last.Missing) > 0 {
		t.Errorf("the last fact about the renewal: %+v", f[len(f)-1])
	}
	if len(h.facts.about("shop", assure.SubjectIssuance)) == 0 {
		t.Error("nothing was reported about issuance")
	}
	h.tidy()
}

// A new name is asked for at once, whatever the dates say.
func TestANewNameIsDueAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	h.attempt(h.keeper([]Job{h.job("shop")}), "shop", false)
	h.pass(2 * time.Minute)
	a := h.attempt(h.keeper([]Job{h.job("shop", func(j *Job) { j.Names = append(j.Names, "www.shop.example") })}), "shop", false)
	if a == nil || a.Outcome != assure.Done {
		t.Fatalf("a certificate without a declared name: %+v", a)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("shop"), h.job("mail")})
	h.attempt(k, "shop", false)
	h.pass(61 * day)

	h.dns.refuse(away())
	if a := h.attempt(k, "shop", false); a.Outcome != assure.Failed {
		t.Fatalf("an attempt whose writes fail: %+v", a)
	}
	s := h.shelf.state("shop")
	left := s.Left
	if s.Failures != 1 || s.LastTrouble.Reason != assure.DNSWriteFailed || !s.Unproven.IsZero() || left < 25 || left > 40 {
		t.Errorf("after a transient failure: %+v", s)
	}
	if w := s.Next.Sub(s.LastAttempt); w < 59*time.Second || w > 61*time.Second {
		t.Errorf("the pause after the first failure: %s", w)
	}
	if h.attempt(k, "shop", false) != nil {
		t.Error("the pause was not kept")
	}
	h.pass(2 * time.Minute)
	h.dns.refuse(denied())
	h.attempt(k, "shop", false)
	s = h.shelf.state("shop")
	if s.Failures != 2 || s.Unproven.IsZero() || s.UnprovenBy.Identity != "app-7" {
		t.Errorf("after a refusal: %+v", s)
	}
	since := s.Unproven
	for n, want := range []time.Duration{100 * time.Minute, day, day} {
		h.pass(s.Next.Sub(h.now()) + time.Second)
		h.attempt(k, "shop", false)
		s = h.shelf.state("shop")
		if w := s.Next.Sub(s.LastAttempt); w < want-2*time.Second || w > want+2*time.Second {
			t.Errorf("the pause after failure %d: %s, want %s", n+3, w, want)
		}
	}
	if !s.Unproven.Equal(since) || s.Left >= left {
		t.Errorf("after five failures: unproven since %s, want %s; %d attempts left, before %d", s.Unproven, since, s.Left, left)
	}
	// Asked to wait longer than that, it waits; longer than the certificate lives, it does not.
	h.pass(25 * time.Hour)
	h.dns.refuse(&assure.Trouble{Reason: assure.LimitReached, Class: assure.TroubleThrottled, Detail: "429", RetryAfter: 50 * time.Hour})
	h.attempt(k, "shop", false)
	s = h.shelf.state("shop")
	if w := s.Next.Sub(s.LastAttempt); w < 50*time.Hour-time.Second {
		t.Errorf("asked to wait for 50 h, it waits for %s", w)
	}
	end := h.shelf.kept("shop")[0].Cert.NotAfter
	h.pass(end.Add(-60 * time.Hour).Sub(h.now()))
	h.attempt(k, "shop", false)
	if s = h.shelf.state("shop"); s.Next.After(end.Add(-29*time.Hour)) || s.Left < 1 {
		t.Errorf("asked to wait for 50 h at 60 h before the end, the next attempt is at %s of %s, with %d left", s.Next, end, s.Left)
	}
	h.pass(48 * time.Hour)
	h.dns.refuse(nil)
	h.attempt(k, "shop", false)
	if s = h.shelf.state("shop"); s.Failures != 0 || !s.Unproven.IsZero() || s.LastTrouble != nil {
		t.Errorf("after a success: %+v", s)
	}
	h.tidy()
}

func TestTheAuthorityIsDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("shop")})
	h.proxy.Add(authority.Fault{At: authority.Anywhere, Times: -1, Do: authority.Unavailable("120")})
	h.attempt(k, "shop", false)
	s := h.shelf.state("shop")
	if s.Failures != 1 || s.LastTrouble.Class != assure.TroubleTransient || !s.Unproven.IsZero() || s.Next.Sub(s.LastAttempt) != 2*time.Minute {
		t.Errorf("while the authority asks for two minutes: %+v %v", s, s.LastTrouble)
	}
	h.proxy.Mend()
	h.pass(2 * time.Minute)
	if a := h.attempt(k, "shop", false); a.Outcome != assure.Done {
		t.Errorf("when it is back: %s", trail(*a))
	}
}

// What was issued and not installed is installed, and nothing is ordered for it again: not after a failure, not after a
// look that saw the old one, not when the window of the one before is long over.
func TestInstallsWhatWasIssued(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("shop")})
	h.attempt(k, "shop", false)
	first := h.shelf.kept("shop")[0]
	if err := h.authority.SetWindow(first.Chain, authority.Window{Start: h.now().Add(-2 * time.Hour), End: h.now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	h.pass(25 * time.Hour) // asks again for the window, and has rested
	stop := h.run(k)
	h.server.set(noInstall)
	await(t, "failed installation", func() bool { return h.shelf.state("shop").Failures > 0 })
	stop()
	if n := h.orders(); n != 2 {
		t.Fatalf("%d orders", n)
	}
	if s := h.shelf.state("shop"); s.LastTrouble.Reason != assure.InstallFailed || !s.WindowStart.IsZero() {
		t.Errorf("the books: %+v", s)
	}
	k = h.keeper([]Job{h.job("shop")}) // a process that knows the ledger only
	h.server.set(nil)
	h.server.deaf = true
	h.pass(2 * time.Minute)
	a := h.attempt(k, "shop", false)
	if trail(*a) != "install:done seen:failed" || h.shelf.state("shop").LastTrouble.Reason != assure.ServedStale {
		t.Errorf("a server that goes on serving the old one: %s", trail(*a))
	}
	h.server.deaf = false
	// Whoever mended it need not wait for the pause: it costs no order.
	if a := h.attempt(k, "shop", false); a == nil || trail(*a) != "install:done seen:done" {
		t.Errorf("the second attempt: %s", trail(*a))
	}
	if n := h.orders(); n != 2 {
		t.Errorf("%d orders for two certificates", n)
	}
	if kept := h.shelf.kept("shop"); len(kept) != 2 || h.server.serves("shop") != string(kept[1].Chain) {
		t.Errorf("%d certificates, and the newest is not in service", len(kept))
	}
}

// A window in which it is always time does not make the authority be asked without end.
func TestAWindowThatIsAlwaysNow(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("shop")})
	h.attempt(k, "shop", false)
	stop := h.run(k)
	for n := range 2 {
		kept := h.shelf.kept("shop")
		if err := h.authority.SetWindow(kept[len(kept)-1].Chain, authority.Window{Start: time.Now().Add(-2 * time.Hour), End: time.Now().Add(-time.Hour)}); err != nil {
			t.Fatal(err)
		}
		h.pass(25 * time.Hour)
		await(t, "renewal", func() bool {
			h.pass(time.Second) // whoever was at work when the time jumped lost its lease, and comes back after a pause
			return len(h.shelf.kept("shop")) == n+2 && h.shelf.state("shop").Running.IsZero()
		})
	}
	h.pass(20 * time.Hour) // less than a rest
	h.shelf.setFault(nil)  // counts anew
	await(t, "refresh", func() bool { h.shelf.mu.Lock(); defer h.shelf.mu.Unlock(); return h.shelf.calls["Renewals"] > 2 })
	stop()
	if n := h.orders(); n != 3 {
		t.Errorf("%d orders, want 3", n)
	}
}

func TestForce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("shop")})
	stop := h.run(k)
	await(t, "certificate", func() bool {
		return h.shelf.count("shop", assure.AttemptRenewal) == 1 && !h.shelf.state("shop").LastSuccess.IsZero()
	})
	if err := k.Force(deadline(t), "shop", "bo"); err != nil {
		t.Fatal(err)
	}
	await(t, "forced renewal", func() bool { return len(h.shelf.kept("shop")) == 2 && h.shelf.state("shop").Forced == "" })
	if made := h.shelf.made("shop"); made[1].By != "bo" {
		t.Errorf("it was by %s", made[1].By)
	}
	// A wish of another process is seen.
	if err := h.shelf.Force(deadline(t), "shop", "cy", h.now()); err != nil {
		t.Fatal(err)
	}
	await(t, "renewal that another process wished for", func() bool { return len(h.shelf.kept("shop")) == 3 && h.shelf.state("shop").Forced == "" })

	// While one runs, a wish makes another after it; two wishes make one.
	stopped, goOn := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(stopped); <-goOn })
	h.server.set(func(when string) error { once(); return nil })
	_ = k.Force(deadline(t), "shop", "di")
	<-stopped
	_ = k.Force(deadline(t), "shop", "eve")
	_ = k.Force(deadline(t), "shop", "flo")
	close(goOn)
	await(t, "renewal after the one that ran", func() bool { return len(h.shelf.kept("shop")) == 5 && h.shelf.state("shop").Forced == "" })
	stop()
	made := h.shelf.made("shop")
	if n := len(made); n != 5 || made[3].By != "di" || made[4].By != "flo" {
		t.Errorf("%d attempts, the last by %s", n, made[n-1].By)
	}
	// A wish that fails is retried by the pauses, and wishes for what is not ours are refused.
	h.dns.refuse(away())
	h.attempt(k, "shop", true)
	if s := h.shelf.state("shop"); s.Forced != "" || s.Failures != 1 || !s.Next.After(h.now()) {
		t.Errorf("after a wish that failed: %+v", s)
	}
	if err := k.Force(deadline(t), "nobody", "ana"); !errors.Is(err, ErrNotOurs) {
		t.Errorf("a wish for an unknown certificate: %v", err)
	}
	h.dns.refuse(nil)
	h.tidy()
}

// Several keepers on one ledger renew one certificate once, and go on after the one that was at it has died.
func TestTwoKeepersRenewOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	var names []string
	var stops []func()
	for i := range 6 {
		names = append(names, fmt.Sprint("cert-", i))
	}
	for range 3 {
		var jobs []Job
		for _, n := range names {
			jobs = append(jobs, h.job(n))
		}
		stops = append(stops, h.run(h.keeper(jobs)))
	}
	in := func(n int) func() bool {
		return func() bool {
			h.pass(time.Second) // whoever was at work when the time jumped comes back after a pause
			for _, name := range names {
				if s := h.shelf.state(name); s.LastSuccess.IsZero() || !s.Running.IsZero() || len(h.shelf.kept(name)) < n {
					return false
				}
			}
			return true
		}
	}
	await(t, "six certificates", in(1))
	h.pass(61 * day)
	await(t, "six more", in(2))
	for _, stop := range stops {
		stop()
	}
	if n := h.orders(); n != 12 {
		t.Errorf("%d orders for twelve certificates", n)
	}
	for _, name := range names {
		if n := h.shelf.count(name, assure.AttemptRenewal); n != 2 {
			t.Errorf("%s: %d attempts", name, n)
		}
	}
	h.tidy()
}

// Whoever loses its lease is cut off, says nothing, and does not write over whoever has it then.
func TestALostLease(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("shop")}, func(o *KeeperOptions) { o.Lease = 400 * time.Millisecond })
	h.zone.mu.Lock()
	h.zone.lag["_acme-challenge.shop.example"] = 1 << 30 // it waits for the record to be shown
	h.zone.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); k.attend(ctx, k.jobs["shop"]) }()
	defer cancel()
	await(t, "value in the zone", func() bool { return len(h.zone.records()) == 1 })
	h.shelf.edit(t, "shop", func(r *shelved) { r.owner, r.until, r.state.Why = "another", h.now().Add(time.Hour), "another's" })
	<-ended
	s := h.shelf.state("shop")
	if s.Failures != 0 || s.LastTrouble != nil || s.Why != "another's" || s.Running.IsZero() {
		t.Errorf("it wrote into books that were another's: %+v", s)
	}
	if made := h.shelf.made("shop"); len(made) != 1 || made[0].Outcome != assure.Unclear {
		t.Errorf("the attempt: %+v", made)
	}
	h.shelf.mu.Lock()
	owner := h.shelf.rows["shop"].owner
	h.shelf.mu.Unlock()
	if owner != "another" {
		t.Errorf("the lease is now %q's", owner)
	}
	h.tidy()

	// When the ledger does not answer, it stops before the lease ends.
	h.shelf.edit(t, "shop", func(r *shelved) { *r = shelved{state: assure.RenewalState{Certificate: "shop"}} })
	ended = make(chan struct{})
	began := time.Now()
	go func() { defer close(ended); k.attend(ctx, k.jobs["shop"]) }()
	await(t, "value in the zone", func() bool { return len(h.zone.records()) == 1 })
	h.shelf.setFault(func(op string, _ int) (error, bool) {
		if op == "LeaseRenewal" {
			return errShelf, false
		}
		return nil, false
	})
	<-ended
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it went on for %s without a lease", took)
	}
	h.shelf.setFault(nil)
	h.tidy()
}

// A process that stops gives its lease back, and leaves nothing: no value, no failure, nothing that runs.
func TestStopping(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	stop := h.run(h.keeper([]Job{h.job("shop")}))
	h.zone.mu.Lock()
	h.zone.lag["_acme-challenge.shop.example"] = 1 << 30
	h.zone.mu.Unlock()
	await(t, "value in the zone", func() bool { return len(h.zone.records()) == 1 })
	stop()
	s := h.shelf.state("shop")
	if !s.Running.IsZero() || s.Failures != 0 {
		t.Errorf("the books after a stop: %+v", s)
	}
	h.tidy()
	h.zone.mu.Lock()
	h.zone.lag = map[string]int{}
	h.zone.mu.Unlock()
	if a := h.attempt(h.keeper([]Job{h.job("shop")}), "shop", false); a == nil || a.Outcome != assure.Done {
		t.Errorf("the next process: %+v", a)
	}
}

// A keeper that makes way for another lets go on what is the same there, cuts the rest short, and begins nothing new.
func TestDrain(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("same"), h.job("changed"), h.job("later")}, func(o *KeeperOptions) { o.Workers = 2 })
	lag := func(n int) {
		h.zone.mu.Lock()
		defer h.zone.mu.Unlock()
		h.zone.lag["_acme-challenge.same.example"], h.zone.lag["_acme-challenge.changed.example"] = n, n
	}
	lag(1 << 30)
	if err := k.refresh(deadline(t)); err != nil {
		t.Fatal(err)
	}
	k.mu.Lock()
	k.state["later"].notNow = h.now().Add(time.Hour)
	k.mu.Unlock()
	ended := make(chan struct{})
	go func() { defer close(ended); k.Run(deadline(t)) }()
	await(t, "both values in the zone", func() bool { return len(h.zone.records()) == 2 })
	k.mu.Lock()
	k.state["later"].notNow = time.Time{}
	k.mu.Unlock()
	k.Drain(func(name string) bool { return name == "same" })
	await(t, "withdrawal of what changed", func() bool { return len(h.zone.records()) == 1 })
	lag(0)
	<-ended
	if n := len(h.shelf.kept("same")); n != 1 {
		t.Errorf("%d certificates of what goes on, want 1", n)
	}
	for _, n := range []string{"changed", "later"} {
		if s := h.shelf.state(n); len(h.shelf.kept(n)) != 0 || s.Failures != 0 || !s.Running.IsZero() {
			t.Errorf("%s was renewed, or counts as failed: %+v", n, s)
		}
	}
	h.tidy()
}
