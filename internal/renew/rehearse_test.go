package renew

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

// A rehearsal touches nothing of production: no certificate is made, installed or kept, and another's value stays.
func TestRehearsalTouchesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	shadow := &server{}
	k := h.keeper([]Job{h.job("shop", h.climbs(h.ladder()), func(j *Job) { j.Shadow = []Installer{shadow} })})
	h.attempt(k, "shop", false)
	served, kept, books := h.server.serves("shop"), len(h.shelf.kept("shop")), h.shelf.state("shop")
	h.zone.set("_acme-challenge.shop.example", "another's")
	all := h.rehearse(k, "shop", assure.Ladder()...)
	for i, kind := range assure.Ladder() {
		if all[i].Kind != kind || all[i].Outcome != assure.Done || all[i].By != "ana" || all[i].Ended.IsZero() {
			t.Errorf("%s: %s %s", kind, all[i].Outcome, trail(all[i]))
		}
		f := h.facts.about("shop", string(kind))
		if r, ok := f[0].(assure.Rehearsed); !ok || r.Rung != kind || r.Renewer != "lab" || len(r.Steps) == 0 {
			t.Errorf("%s: reported as %+v", kind, f)
		}
	}
	for i, want := range map[int]string{2: "present:done propagation:done withdraw:done", 3: "deactivate:done"} {
		if !strings.Contains(trail(all[i]), want) {
			t.Errorf("rung %d: %s, want %s", i, trail(all[i]), want)
		}
	}
	if strings.Contains(trail(all[3]), "finalize") || !strings.Contains(trail(all[4]), "finalize:done") || shadow.serves("shop") == "" {
		t.Errorf("L3: %s; L4: %s", trail(all[3]), trail(all[4]))
	}
	if h.orders() != 1 || h.proxy.Seen(authority.NewOrder) != 1 || h.server.serves("shop") != served || len(h.shelf.kept("shop")) != kept {
		t.Error("a rehearsal touched production")
	}
	if s := h.shelf.state("shop"); s.LastAttempt != books.LastAttempt || s.Failures != 0 || s.Next != books.Next {
		t.Errorf("a rehearsal changed the books: %+v", s)
	}
	if r := h.zone.records(); len(r) != 1 || !slices.Equal(r["_acme-challenge.shop.example"], []string{"another's"}) {
		t.Errorf("left in the zone: %v", r)
	}
	if n := h.shelf.left(); n != 0 {
		t.Errorf("%d entries in the journal", n)
	}
}

// A dress rehearsal makes the authority look, whatever older authorizations there are. Another certificate's rehearsal may
// give back one that it is using: the order is placed once more.
func TestDressRehearsalsProveAfresh(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{AuthzReuse: 100})
	job := h.job("shop", h.climbs(h.ladder()), func(j *Job) { j.Shadow = []Installer{&server{}} })
	meddles, given := false, 0
	var k *Keeper
	k = h.keeper([]Job{job}, func(o *KeeperOptions) {
		o.Progress = func(a assure.Attempt) {
			if n := len(a.Steps); !meddles || a.Kind != assure.RehearseFull || n == 0 || a.Steps[n-1].Name != assure.StepValidate {
				return
			}
			meddles = false
			solver, err := k.dnsSolver(&job, "another rehearsal")
			if err == nil {
				err = job.Staging.Authorize(deadline(t), k.staged(&job), []Solver{solver}, func(s assure.Step) {
					if s.Name == assure.StepDeactivate {
						given++
					}
				})
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	h.attempt(k, "shop", false)
	for range 2 { // the second finds the authorization of the first, and makes the authority look again
		if a := h.rehearse(k, "shop", assure.RehearseFull)[0]; a.Outcome != assure.Done || strings.Count(trail(a), "present:done") != 1 {
			t.Fatalf("undisturbed: %s %s", a.Outcome, trail(a))
		}
	}
	meddles = true
	a := h.rehearse(k, "shop", assure.RehearseFull)[0]
	if a.Outcome != assure.Done || given == 0 || !strings.Contains(trail(a), "finalize:skipped") || !strings.Contains(trail(a), "finalize:done") {
		t.Errorf("%d given back: %s %s", given, a.Outcome, trail(a))
	}
	h.tidy()
}

// Rungs are climbed on time, what failed sooner, what is off never, and an order is rehearsed only after the first
// certificate.
func TestRungsAreDue(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("shop", h.climbs(map[assure.AttemptKind]time.Duration{
		assure.RehearseStatic: 3 * time.Hour, assure.RehearseCanary: 12 * time.Hour, assure.RehearseAuthorize: day, assure.RehearseFull: 2 * day,
	}))})
	st, j := k.state["shop"], k.jobs["shop"]
	now := dawn
	due := func(want assure.AttemptKind, when string) {
		t.Helper()
		if got := k.rungDue(j, st, now); got != want {
			t.Errorf("%s: %q is due, want %q", when, got, want)
		}
	}
	climbed := func(kind assure.AttemptKind, o assure.Outcome, asked ...time.Duration) {
		var steps []assure.Step
		for _, d := range asked {
			steps = append(steps, assure.Step{Outcome: o, Trouble: &assure.Trouble{RetryAfter: d}})
		}
		st.note(kind, now, o, steps)
	}
	due(assure.RehearseStatic, "at first")
	climbed(assure.RehearseStatic, assure.Done)
	due(assure.RehearseCanary, "after the cheapest")
	climbed(assure.RehearseCanary, assure.Done)
	due("", "while there is no certificate")
	st.newest = &assure.IssuedCert{}
	due(assure.RehearseAuthorize, "with a certificate")
	climbed(assure.RehearseAuthorize, assure.Done)
	due(assure.RehearseFull, "with a certificate")
	climbed(assure.RehearseFull, assure.Done)
	due("", "after everything")
	now = now.Add(3 * time.Hour)
	due(assure.RehearseStatic, "after three hours")
	climbed(assure.RehearseStatic, assure.Failed)
	for i, pause := range []time.Duration{5, 5, 10, 20, 40, 60, 60} { // minutes; the last two are a third of the interval
		now = now.Add(pause*time.Minute - time.Second)
		due("", "before it is tried again")
		now = now.Add(time.Second)
		due(assure.RehearseStatic, fmt.Sprintf("after it failed %d times", i+1))
		climbed(assure.RehearseStatic, []assure.Outcome{assure.Failed, assure.Unclear}[i%2])
	}
	climbed(assure.RehearseStatic, assure.Failed, 30*time.Second, 90*time.Minute)
	climbed(assure.RehearseCanary, assure.Done)
	now = now.Add(90*time.Minute - time.Second)
	due("", "while the other side wants to be left alone")
	now = now.Add(time.Second)
	due(assure.RehearseStatic, "after what the other side asked for")
	climbed(assure.RehearseStatic, assure.Failed, 1000*time.Hour)
	now = now.Add(3 * time.Hour)
	due(assure.RehearseStatic, "after its interval, whatever was asked for")
	climbed(assure.RehearseStatic, assure.Done)
	due("", "when it works again")
	now = dawn.Add(day)
	others := func() {
		climbed(assure.RehearseStatic, assure.Done)
		climbed(assure.RehearseCanary, assure.Done)
	}
	others()
	due(assure.RehearseAuthorize, "a day after it worked")
	climbed(assure.RehearseAuthorize, assure.Unclear)
	now = now.Add(29 * time.Minute)
	due("", "29 minutes after it was unclear")
	now = now.Add(time.Minute)
	due(assure.RehearseAuthorize, "half an hour after it was unclear")
	climbed(assure.RehearseAuthorize, assure.Done)
	now = now.Add(day)
	others()
	// What is remembered is the ledger's; a clock that ran ahead, and what was cut short, count for nothing.
	k.learn(st, "shop", assure.RenewalState{}, nil, []assure.Attempt{
		{Kind: assure.RehearseAuthorize, Ended: now, Outcome: assure.Skipped}, {Kind: assure.RehearseAuthorize, Ended: h.now().Add(1000 * day), Outcome: assure.Done},
	})
	st.newest = &assure.IssuedCert{}
	due(assure.RehearseAuthorize, "after one that was cut short")
}

// A rung that a stop cut short is climbed again by the next process, and nobody hears of it.
func TestARungThatIsCutShort(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	jobs := []Job{h.job("shop", h.climbs(map[assure.AttemptKind]time.Duration{assure.RehearseCanary: 1000 * time.Hour}))}
	k := h.keeper(jobs)
	h.attempt(k, "shop", false)
	h.zone.mu.Lock()
	h.zone.lag["_acme-challenge.shop.example"] = 1 << 30
	h.zone.mu.Unlock()
	stop := h.run(k)
	await(t, "canary in the zone", func() bool { return len(h.zone.records()) == 1 })
	stop()
	h.tidy()
	if n := len(h.facts.about("shop", string(assure.RehearseCanary))); n != 0 {
		t.Errorf("%d facts about a rung that was cut short", n)
	}
	h.zone.mu.Lock()
	h.zone.lag = map[string]int{}
	h.zone.mu.Unlock()
	stop = h.run(h.keeper(jobs))
	await(t, "canary of the next process", func() bool { return len(h.facts.about("shop", string(assure.RehearseCanary))) == 1 })
	stop()
	if got := outcomes(h.shelf.made("shop")); got[1] != "rehearse_canary:skipped" || got[2] != "rehearse_canary:done" {
		t.Errorf("attempts: %v", got)
	}
}

// The cloud is asked once for all certificates of a renewer and zone, and afresh when a person wants to know.
func TestAskingIsShared(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	only := map[assure.AttemptKind]time.Duration{assure.RehearsePermission: time.Hour}
	var jobs []Job
	names := []string{"a", "b", "c", "d"}
	for _, n := range names {
		jobs = append(jobs, h.job(n, h.climbs(only)))
	}
	k := h.keeper(jobs)
	all := func() {
		var wg sync.WaitGroup
		for _, n := range names {
			wg.Go(func() {
				if err := k.holding(deadline(t), k.jobs[n], func(ctx context.Context) error {
					a, err := k.climb(ctx, k.jobs[n], assure.RehearsePermission, bySchedule)
					if a.Outcome != assure.Done && h.asker.answer == assure.Allowed {
						t.Errorf("%s: %s", n, trail(a))
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	all()
	if n := h.asker.times(); n != 1 {
		t.Errorf("four certificates that began at once asked %d times", n)
	}
	h.pass(29 * time.Minute)
	all()
	if n := h.asker.times(); n != 1 {
		t.Errorf("within half of the interval they asked %d times in all", n)
	}
	h.rehearse(k, "b", assure.RehearsePermission)
	if n := h.asker.times(); n != 2 {
		t.Errorf("a person's wish was answered from memory: asked %d times", n)
	}
	h.pass(31 * time.Minute)
	all()
	if n := h.asker.times(); n != 3 {
		t.Errorf("after half of the interval they asked %d times in all", n)
	}
	// An answer that was not good is believed for less long.
	h.asker.say(assure.Untold)
	h.pass(31 * time.Minute)
	all()
	h.asker.say(assure.Allowed)
	h.pass(11 * time.Minute)
	all()
	if n := h.asker.times(); n != 5 {
		t.Errorf("after an answer that was not good they asked %d times in all, want 5", n)
	}
}

// lost sets a scene: three certificates of one renewer, renewed, of which "early" ends first.
func lostScene(t *testing.T, h *house) *Keeper {
	t.Helper()
	rungs := map[assure.AttemptKind]time.Duration{assure.RehearseStatic: time.Hour, assure.RehearseCanary: time.Hour}
	k := h.keeper([]Job{h.job("early", h.climbs(rungs)), h.job("late", h.climbs(rungs)), h.job("later", h.climbs(rungs))})
	for _, n := range []string{"early", "late", "later"} {
		h.attempt(k, n, false)
	}
	h.shelf.mu.Lock()
	for i := range h.shelf.issued {
		if h.shelf.issued[i].Certificate == "early" {
			h.shelf.issued[i].Cert.NotAfter = h.shelf.issued[i].Cert.NotAfter.Add(-day)
		}
	}
	h.shelf.mu.Unlock()
	if err := k.holding(deadline(t), k.jobs["early"], func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return k
}

// One renewal proves a repair for all certificates of a renewer.
func TestProofAfterARepair(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := lostScene(t, h)
	h.dns.refuse(denied())
	for _, n := range []string{"later", "late"} {
		if a := h.rehearse(k, n, assure.RehearseCanary); a[0].Outcome != assure.Failed {
			t.Fatalf("a canary without a grant: %s", trail(a[0]))
		}
	}
	early := h.shelf.state("early")
	if early.Unproven.IsZero() || early.UnprovenBy.Identity != "app-7" {
		t.Fatalf("the one that ends first is not in doubt: %+v", early)
	}
	if !h.shelf.state("late").Unproven.IsZero() || !h.shelf.state("later").Unproven.IsZero() {
		t.Error("more than one is in doubt")
	}
	h.rehearse(k, "early", assure.RehearseStatic) // works, and says nothing about the grant
	if s := h.shelf.state("early"); s.Forced != "" || s.Unproven.IsZero() {
		t.Errorf("a rung that shows nothing of the grant: %+v", s)
	}
	h.dns.refuse(nil)
	h.rehearse(k, "late", assure.RehearseCanary)
	if s := h.shelf.state("early"); s.Unproven.IsZero() || s.Forced != "" {
		t.Errorf("the doubt went with another's canary: %+v", s)
	}
	h.rehearse(k, "early", assure.RehearseCanary)
	if s := h.shelf.state("early"); s.Forced != byProof || s.Unproven.IsZero() {
		t.Fatalf("no renewal was forced for proof, or the doubt went without one: %+v", s)
	}
	h.server.set(noInstall)
	h.attempt(k, "early", false)
	if s := h.shelf.state("early"); s.Unproven.IsZero() || s.Failures != 1 {
		t.Errorf("a renewal that failed cleared the doubt: %+v", s)
	}
	// It fails for another reason now, and the canary that goes well does not get around the pauses.
	h.rehearse(k, "early", assure.RehearseCanary)
	if s := h.shelf.state("early"); s.Forced != "" {
		t.Errorf("the pauses of another trouble were not kept: %+v", s)
	}
	h.server.set(nil)
	h.pass(2 * time.Minute)
	h.attempt(k, "early", false)
	if s := h.shelf.state("early"); !s.Unproven.IsZero() || s.Failures != 0 {
		t.Errorf("after the proof: %+v", s)
	}
	if n := h.orders(); n != 4 {
		t.Errorf("%d orders, want one for proof", n)
	}
	h.tidy()
}

// What one certificate of a renewer lost is looked for at the others at once, so that the page shows how far it reaches.
func TestALossIsLookedForEverywhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	rungs := map[assure.AttemptKind]time.Duration{assure.RehearsePermission: 12 * time.Hour, assure.RehearseCanary: 12 * time.Hour}
	names := []string{"a", "b", "c"}
	var jobs []Job
	for _, n := range names {
		jobs = append(jobs, h.job(n, h.climbs(rungs)))
	}
	k := h.keeper(jobs)
	for _, n := range names {
		h.attempt(k, n, false)
		h.rehearse(k, n)
	}
	asked := h.asker.times()
	h.pass(time.Hour) // nothing is due
	h.asker.say(assure.Forbidden)
	h.dns.refuse(denied())
	h.rehearse(k, "b", assure.RehearseCanary)
	h.run(k)
	for _, n := range []string{"a", "c"} {
		await(t, "look at "+n, func() bool {
			list := h.facts.about(n, string(assure.RehearsePermission))
			return slices.ContainsFunc(list[len(list)-1].(assure.Rehearsed).Access, func(a assure.Access) bool { return a.Answer == assure.Forbidden })
		})
	}
	if n := h.asker.times() - asked; n > 3 {
		t.Errorf("the cloud was asked %d times about one zone", n)
	}
}

// A proof that meets the same trouble again, although the canary goes well, is not tried at each canary.
func TestProofInVain(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := lostScene(t, h)
	h.dns.refuse(denied())
	h.rehearse(k, "early", assure.RehearseCanary)
	h.dns.refuse(nil)
	h.rehearse(k, "early", assure.RehearseCanary)
	h.dns.refuse(denied())
	h.attempt(k, "early", false)
	h.dns.refuse(nil)
	for range 3 {
		h.rehearse(k, "early", assure.RehearseCanary)
	}
	if s := h.shelf.state("early"); s.Forced != "" || s.Failures != 1 {
		t.Errorf("forced again, although nothing was seen to be mended since: %+v", s)
	}
	h.dns.refuse(denied())
	h.rehearse(k, "early", assure.RehearseCanary)
	h.dns.refuse(nil)
	h.rehearse(k, "early", assure.RehearseCanary)
	if s := h.shelf.state("early"); s.Forced != byProof {
		t.Errorf("a loss and a repair that were seen since then force no proof: %+v", s)
	}
}

// Where only one certificate's record is refused, the renewal of another proves nothing, and is not made again and again.
func TestDoubtMovesToWhoeverKeepsFailing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := lostScene(t, h)
	doubted := map[string]int{}
	for range 6 {
		h.dns.refuse(denied())
		h.pass(time.Minute)
		h.rehearse(k, "later", assure.RehearseCanary)
		h.dns.refuse(nil)
		for _, n := range []string{"early", "late"} {
			if h.shelf.state(n).Unproven.IsZero() {
				continue
			}
			doubted[n]++
			h.rehearse(k, n, assure.RehearseCanary)
			h.attempt(k, n, false)
			if s := h.shelf.state(n); !s.Unproven.IsZero() {
				t.Fatalf("%s is not proven: %+v", n, s)
			}
		}
	}
	if doubted["early"] != 1 || doubted["late"] > 1 || h.shelf.state("later").Unproven.IsZero() {
		t.Errorf("the doubt is not where the trouble is: %v", doubted)
	}
}

// An account that is gone is told by the rung that looks at it.
func TestALostAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := lostScene(t, h)
	url, err := k.jobs["early"].CA.AccountURL(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.authority.DeactivateAccount(url); err != nil {
		t.Fatal(err)
	}
	a := h.rehearse(k, "late", assure.RehearseStatic)[0]
	i := slices.IndexFunc(a.Steps, func(s assure.Step) bool { return s.Outcome == assure.Failed })
	if i < 0 || a.Steps[i].Trouble.Reason != assure.AccountInvalid {
		t.Fatalf("an account that was deactivated: %s", trail(a))
	}
	h.rehearse(k, "early", assure.RehearseCanary)
	if s := h.shelf.state("early"); s.Unproven.IsZero() || s.Forced != "" {
		t.Errorf("a canary says nothing about an account: %+v", s)
	}
}

// A rehearsal never waits for another's slot in the way of a renewal.
func TestRenewalsGoBeforeRehearsals(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	rungs := map[assure.AttemptKind]time.Duration{assure.RehearseCanary: time.Hour}
	var jobs []Job
	for _, n := range []string{"a", "b", "c"} {
		jobs = append(jobs, h.job(n, h.climbs(rungs)))
	}
	k := h.keeper(append(jobs, h.job("shop")), func(o *KeeperOptions) { o.Workers = 1 })
	for _, n := range []string{"a", "b", "c", "shop"} {
		h.attempt(k, n, false)
	}
	h.zone.mu.Lock()
	for _, n := range []string{"a", "b", "c"} {
		h.zone.lag["_acme-challenge."+n+".example"] = 1 << 30 // their canaries take very long
	}
	h.zone.mu.Unlock()
	stop := h.run(k)
	await(t, "canary", func() bool { return len(h.zone.records()) == 1 })
	if err := k.Force(deadline(t), "shop", "ana"); err != nil {
		t.Fatal(err)
	}
	await(t, "renewal", func() bool { return len(h.shelf.kept("shop")) == 2 })
	stop()
	h.tidy()
}

// placed is a server whose place can be looked at.
type placed struct {
	server
	err error
}

func (p *placed) Ready(certificate string) (string, error) { return "/etc/tls/" + certificate, p.err }

// That a certificate could not be put where it belongs is found while nothing is due, and is no failed installation.
func TestAPlaceThatIsGoneIsFoundInTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	at := &placed{}
	k := h.keeper([]Job{h.job("shop", h.climbs(h.ladder()), func(j *Job) { j.Install = append(j.Install, at) })})
	good := h.rehearse(k, "shop", assure.RehearseStatic)[0]
	if !strings.Contains(trail(good), "place:done") || good.Outcome != assure.Done {
		t.Errorf("%s", trail(good))
	}
	at.err = &assure.Trouble{Reason: assure.InstallFailed, Class: assure.TroubleMissing, Detail: "open /etc/tls: no such file or directory", Remedy: "Make the directory"}
	bad := h.rehearse(k, "shop", assure.RehearseStatic)[0]
	for _, s := range bad.Steps {
		if s.Name == assure.StepPlace && (s.Outcome != assure.Failed || s.Target != "/etc/tls/shop" || s.Trouble.Reason != assure.RehearsalFailed || s.Trouble.Remedy == "") {
			t.Errorf("the step is %+v, %+v", s, s.Trouble)
		}
	}
	if bad.Outcome != assure.Failed {
		t.Errorf("%s", trail(bad))
	}
}

// Of several renewers none takes all slots, so that one whose provider hangs holds up nobody else's.
func TestOneRenewerDoesNotHoldAllSlots(t *testing.T) {
	t.Parallel()
	alone := newCrew(4, 1)
	for range 4 {
		if !alone.join("a") {
			t.Error("a renewer that is alone does not get all slots")
		}
	}
	c := newCrew(4, 2)
	for i := range 4 {
		if got := c.join("a"); got != (i < 3) {
			t.Errorf("slot %d of the first renewer: %v", i, got)
		}
	}
	if !c.join("b") || c.join("b") {
		t.Error("the other renewer does not get the slot that is left, or gets one that is not there")
	}
	c.leave("b")
	if c.join("a") || !c.join("b") {
		t.Error("the slot that was left is not the other renewer's")
	}
	if !newCrew(1, 2).join("a") {
		t.Error("a single slot is nobody's")
	}
}
