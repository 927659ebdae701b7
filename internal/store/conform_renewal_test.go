package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// account is an account at a certificate authority with the given keys; the second is empty without a rollover.
func account(key, next string) assure.ACMEAccount {
	a := assure.ACMEAccount{ID: "a1", Directory: "https://ca.example.com/directory", Location: "https://ca.example.com/acct/1", Contact: "mailto:ops@example.com", Key: []byte(key), Created: epoch}
	if next != "" {
		a.NextKey = []byte(next)
	}
	return a
}

func acmeAccounts(t *testing.T, w world) {
	if _, err := w.Account(w.ctx, "a1"); !errors.Is(err, assure.ErrNotFound) {
		t.Fatalf("an account that is not there: %v", err)
	}
	first := account("k1\x00\xff", "")
	first.Location = ""
	ok(t, w.PutAccount(w.ctx, first))
	same(t, "account before it is registered", must(w.Account(w.ctx, "a1"))(t), first)
	if err := w.PutAccount(w.ctx, assure.ACMEAccount{ID: "a1"}); err == nil {
		t.Fatal("an account without a key was taken")
	}
	for _, step := range []struct {
		what      string
		key, next string
		refused   bool
	}{
		{"registered", "k1\x00\xff", "", false},
		{"another process registered with a key of its own", "k9", "", true},
		{"a rollover begins", "k1\x00\xff", "k2", false},
		{"its answer was lost, and it begins again", "k1\x00\xff", "k2", false},
		{"another process begins one too, and would lose the first one's key", "k1\x00\xff", "k3", true},
		{"a key that is neither", "k3", "", true},
		{"the rollover is over", "k2", "", false},
		{"told twice", "k2", "", false},
		{"who knows only the old key", "k1\x00\xff", "", true},
		{"the next rollover", "k2", "k4", false},
		{"given up", "k2", "", false},
	} {
		a, before := account(step.key, step.next), must(w.Account(w.ctx, "a1"))(t)
		err := w.PutAccount(w.ctx, a)
		if step.refused != errors.Is(err, assure.ErrConflict) || !step.refused && err != nil {
			t.Fatalf("%s: %v; want refused: %t", step.what, err, step.refused)
		}
		if step.refused {
			a = before
		}
		same(t, step.what, must(w.Account(w.ctx, "a1"))(t), a)
	}
}

// lease takes a renewal, or says that it could not.
func (w world) lease(t testing.TB, owner string) (assure.RenewalState, bool) {
	t.Helper()
	s, took, err := w.LeaseRenewal(w.ctx, "shop", owner, w.c.now(), time.Minute)
	ok(t, err)
	return s, took
}

func (w world) renewal(t testing.TB) assure.RenewalState {
	t.Helper()
	rs := must(w.Renewals(w.ctx, []string{"shop"}))(t)
	if len(rs) != 1 {
		t.Fatalf("%d renewals of one certificate", len(rs))
	}
	return rs[0]
}

func renewalLeases(t *testing.T, w world) {
	same(t, "renewals that nobody thought of", len(must(w.Renewals(w.ctx, []string{"shop"}))(t)), 0)
	s, took := w.lease(t, "a")
	same(t, "the first one makes it", []any{s, took}, []any{assure.RenewalState{Certificate: "shop"}, true})
	if s, took := w.lease(t, "b"); took || s.Certificate != "" {
		t.Fatalf("leased twice: %+v", s)
	}
	if _, took, err := w.LeaseRenewal(w.ctx, "mail", "b", epoch, time.Minute); !took || err != nil {
		t.Fatalf("another certificate's: %t, %v", took, err)
	}
	w.c.advance(50 * time.Second)
	if _, took := w.lease(t, "a"); !took {
		t.Fatal("the owner cannot extend its lease")
	}
	w.c.advance(59 * time.Second)
	if _, took := w.lease(t, "b"); took {
		t.Fatal("an extended lease ended too soon")
	}
	w.c.advance(time.Second)
	if _, took := w.lease(t, "b"); !took {
		t.Fatal("the lease did not run out")
	}
	if _, took := w.lease(t, "a"); took {
		t.Fatal("who lost the lease has it again")
	}
	ok(t, w.ReleaseRenewal(w.ctx, "shop", "a"))
	if _, took := w.lease(t, "a"); took {
		t.Fatal("released by who does not hold it")
	}
	ok(t, w.ReleaseRenewal(w.ctx, "shop", "b"))
	ok(t, w.ReleaseRenewal(w.ctx, "shop", "b"))
	if _, took := w.lease(t, "a"); !took {
		t.Fatal("a released renewal cannot be leased")
	}
	if _, _, err := w.LeaseRenewal(w.ctx, "shop", "", w.c.now(), time.Minute); err == nil {
		t.Fatal("leased to nobody")
	}
	// Of many that want it at the same time, one gets it.
	var wg sync.WaitGroup
	var mu sync.Mutex
	winners := 0
	for i := range 8 {
		wg.Go(func() {
			_, took, err := w.LeaseRenewal(w.ctx, "api", fmt.Sprint("p", i), epoch, time.Minute)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if took {
				winners++
			}
		})
	}
	wg.Wait()
	same(t, "winners", winners, 1)
}

// fullState has a value in each field, so that a field that is added later is tested too.
func fullState(t testing.TB) assure.RenewalState {
	t.Helper()
	s := assure.RenewalState{Certificate: "shop"}
	elsewhere := time.FixedZone("CET", 60*60)
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Interface().(type) {
		case time.Time:
			f.Set(reflect.ValueOf(epoch.Add(time.Duration(i)*time.Hour + 7*time.Nanosecond).In(elsewhere)))
		case int:
			f.SetInt(int64(i + 1))
		case string:
			if f.String() == "" {
				f.SetString(v.Type().Field(i).Name)
			}
		case *assure.Trouble:
			f.Set(reflect.ValueOf(&assure.Trouble{
				Reason: "dns_write_denied", Class: assure.TroubleDenied, Identity: "app", Action: "write", Scope: "/zones/x",
				Detail: "403\x00", RetryAfter: time.Minute, Happened: true,
			}))
		default:
			t.Fatalf("no value for the field %s", v.Type().Field(i).Name)
		}
	}
	return s
}

func renewalStates(t *testing.T, w world) {
	s := fullState(t)
	if err := w.PutRenewal(w.ctx, s, "a", w.c.now()); !errors.Is(err, assure.ErrConflict) {
		t.Fatalf("a state that nobody leased: %v, want a conflict", err)
	}
	same(t, "rows without a lease", w.count(t, "renewal"), 0)
	w.lease(t, "a")
	ok(t, w.PutRenewal(w.ctx, s, "a", w.c.now()))
	want := s
	v := reflect.ValueOf(&want).Elem()
	for i := range v.NumField() {
		if at, is := v.Field(i).Interface().(time.Time); is {
			v.Field(i).Set(reflect.ValueOf(at.UTC().Truncate(time.Microsecond)))
		}
	}
	same(t, "state", w.renewal(t), want)
	other := s
	other.Why, other.Failures = "something else", 99
	if err := w.PutRenewal(w.ctx, other, "b", w.c.now()); !errors.Is(err, assure.ErrConflict) {
		t.Fatalf("a state written by who does not hold the lease: %v", err)
	}
	if err := w.PutRenewal(w.ctx, other, "a", w.c.now().Add(time.Minute)); !errors.Is(err, assure.ErrConflict) {
		t.Fatalf("a state written when the lease had run out: %v", err)
	}
	ok(t, w.ReleaseRenewal(w.ctx, "shop", "a"))
	for _, owner := range []string{"a", ""} {
		if err := w.PutRenewal(w.ctx, other, owner, w.c.now()); !errors.Is(err, assure.ErrConflict) {
			t.Fatalf("a state written by %q after the release: %v", owner, err)
		}
	}
	same(t, "state after the refusals", w.renewal(t), want)
	got, _ := w.lease(t, "b")
	same(t, "state that the next one is given", got, want)
	names := []string{"none", "shop", "shop", "x\x00y"}
	for i := range 150 {
		name := fmt.Sprint("c", i)
		names = append(names, name)
		ok(t, w.Force(w.ctx, name, "ana", epoch))
	}
	same(t, "known among many", len(must(w.Renewals(w.ctx, names))(t)), 151)
	same(t, "of none", len(must(w.Renewals(w.ctx, nil))(t)), 0)
}

func wishes(t *testing.T, w world) {
	wish := func() []any { s := w.renewal(t); return []any{s.Forced, s.ForcedAt} }
	none := []any{"", time.Time{}}
	put := func(s assure.RenewalState) { t.Helper(); ok(t, w.PutRenewal(w.ctx, s, "a", w.c.now())) }
	// A wish before anything else is known.
	ok(t, w.Force(w.ctx, "shop", "ana", epoch))
	same(t, "wish", wish(), []any{"ana", epoch})
	s, _ := w.lease(t, "a")
	same(t, "wish that the lease came with", s.Forced, "ana")
	s.Failures = 1
	put(s)
	same(t, "wish that was not granted", wish(), []any{"ana", epoch})
	granted := s
	granted.Forced, granted.ForcedAt = "", time.Time{}
	put(granted)
	same(t, "granted wish", wish(), none)
	// Another one comes while the renewal runs: whoever ends it did not see it.
	later := w.c.advance(time.Second)
	ok(t, w.Force(w.ctx, "shop", "bo", later))
	for range 2 {
		put(granted)
		same(t, "wish made while the lease was held", wish(), []any{"bo", later})
	}
	same(t, "the rest of the state", w.renewal(t).Failures, 1)
	// Extending the lease is not looking.
	w.lease(t, "a")
	put(granted)
	same(t, "wish after the lease was extended", wish(), []any{"bo", later})
	// Who writes it back knows it, and may grant it.
	s, _ = w.lease(t, "a")
	s.Running = w.c.now()
	put(s)
	put(granted)
	same(t, "granted within the same lease", wish(), none)
	// The clock of whoever wishes may be behind.
	ok(t, w.Force(w.ctx, "shop", "cy", later))
	ok(t, w.Force(w.ctx, "shop", "di", later.Add(-time.Hour)))
	same(t, "the newer of two wishes", wish(), []any{"cy", later})
	ok(t, w.ReleaseRenewal(w.ctx, "shop", "a"))
	s, _ = w.lease(t, "a")
	same(t, "wish that the next lease comes with", s.Forced, "cy")
	ok(t, w.Force(w.ctx, "shop", "di", later.Add(-time.Hour)))
	put(granted)
	same(t, "a wish from a clock that is behind", w.renewal(t).Forced, "cy")
}

// issuedOf is a certificate issued for shop that begins so many days after the epoch.
func issuedOf(serial string, days int) assure.IssuedCert {
	return assure.IssuedCert{
		Certificate: "shop", Cert: leafOf("shop.example.com", serial, epoch.AddDate(0, 0, days), 90*24*time.Hour),
		Chain: []byte("-----BEGIN CERTIFICATE-----\n" + serial), Key: []byte("sealed\x00\xff" + serial), IssuedAt: epoch.AddDate(0, 0, days),
	}
}

func issuedCerts(t *testing.T, w world) {
	if _, err := w.NewestIssued(w.ctx, "shop"); !errors.Is(err, assure.ErrNotFound) {
		t.Fatalf("newest of none: %v", err)
	}
	newer, older := issuedOf("2", 60), issuedOf("1", 0)
	newer.ID = must(w.PutIssued(w.ctx, newer))(t)
	older.ID = must(w.PutIssued(w.ctx, older))(t)
	same(t, "newest by its beginning", must(w.NewestIssued(w.ctx, "shop"))(t), newer)
	again := newer
	again.ID, again.Key = 0, []byte("another seal")
	same(t, "kept again", must(w.PutIssued(w.ctx, again))(t), newer.ID)
	same(t, "rows", w.count(t, "issued"), 2)
	ok(t, w.Installed(w.ctx, newer.ID, epoch.AddDate(0, 0, 61)))
	newer.InstalledAt = epoch.AddDate(0, 0, 61)
	same(t, "installed", must(w.NewestIssued(w.ctx, "shop"))(t), newer)
	if err := w.Installed(w.ctx, 1<<40, epoch); !errors.Is(err, assure.ErrNotFound) {
		t.Fatalf("installed what is not there: %v", err)
	}
	again.Certificate = "mail"
	if _, err := w.PutIssued(w.ctx, again); !errors.Is(err, assure.ErrConflict) {
		t.Fatalf("the same certificate for another declared one: %v", err)
	}
	for what, c := range map[string]assure.IssuedCert{
		"no fingerprint": {Certificate: "shop", Chain: newer.Chain, Key: newer.Key},
		"no key":         {Certificate: "shop", Cert: newer.Cert, Chain: newer.Chain},
		"no chain":       {Certificate: "shop", Cert: newer.Cert, Key: newer.Key},
	} {
		if _, err := w.PutIssued(w.ctx, c); err == nil {
			t.Fatalf("%s: was kept", what)
		}
	}
	// Ended for more than 400 days: the key goes, unless nothing newer was ever issued.
	must(w.PutAttempt(w.ctx, assure.Attempt{Certificate: "shop", Kind: assure.AttemptRenewal, Started: epoch}))(t)
	for must(w.Prune(w.ctx, epoch.AddDate(3, 0, 0), 100))(t) > 0 {
	}
	same(t, "rows after pruning", []int{w.count(t, "issued"), w.count(t, "attempt")}, []int{1, 0})
	same(t, "newest after pruning", must(w.NewestIssued(w.ctx, "shop"))(t), newer)
}

func attempt(n int, kind assure.AttemptKind) assure.Attempt {
	return assure.Attempt{Certificate: "shop", Kind: kind, By: "schedule", Started: epoch.Add(time.Duration(n) * time.Minute)}
}

func attempts(t *testing.T, w world) {
	a := attempt(0, assure.AttemptRenewal)
	a.ID = must(w.PutAttempt(w.ctx, a))(t)
	same(t, "while it runs", must(w.Attempts(w.ctx, "shop", 10))(t), []assure.Attempt{a})
	a.Ended, a.Outcome, a.Fingerprint = epoch.Add(time.Minute), assure.Failed, fingerprint("x")
	a.Steps = []assure.Step{
		{Name: assure.StepOrder, Target: "shop.example.com", Outcome: assure.Done, At: epoch, Took: 3 * time.Second},
		{Name: assure.StepPresent, Outcome: assure.Failed, At: epoch.Add(time.Second), Trouble: &assure.Trouble{Reason: "dns_write_denied", Class: assure.TroubleDenied, Detail: "no"}},
	}
	same(t, "replaced", must(w.PutAttempt(w.ctx, a))(t), a.ID)
	same(t, "when it is over", must(w.Attempts(w.ctx, "shop", 10))(t), []assure.Attempt{a})
	// The newest 20 of each kind stay, the clock set back or not, and however many there are of another.
	for i := range 30 {
		must(w.PutAttempt(w.ctx, attempt(30-i, assure.RehearseCanary)))(t)
	}
	must(w.PutAttempt(w.ctx, attempt(1, assure.AttemptRenewal)))(t)
	kinds := map[assure.AttemptKind]int{}
	for _, a := range must(w.Attempts(w.ctx, "shop", 100))(t) {
		kinds[a.Kind]++
	}
	same(t, "kept of each kind", kinds, map[assure.AttemptKind]int{assure.AttemptRenewal: 2, assure.RehearseCanary: 20})
	if _, err := w.write.ExecContext(w.ctx, `DELETE FROM attempt WHERE kind = 'renewal' AND id <> $1`, a.ID); err != nil {
		t.Fatal(err)
	}
	other := attempt(0, assure.RehearseCanary)
	other.Certificate = "mail"
	must(w.PutAttempt(w.ctx, other))(t)
	got := must(w.Attempts(w.ctx, "shop", 100))(t)
	same(t, "kept", len(got), 21)
	same(t, "newest first", []time.Time{got[0].Started, got[19].Started}, []time.Time{attempt(1, "").Started, attempt(20, "").Started})
	same(t, "of another kind", got[20], a)
	same(t, "with a limit", len(must(w.Attempts(w.ctx, "shop", 3))(t)), 3)
	same(t, "of another certificate", len(must(w.Attempts(w.ctx, "mail", 0))(t)), 1)
	gone := attempt(30, assure.RehearseCanary)
	gone.ID, gone.Outcome = a.ID+1, assure.Done
	must(w.PutAttempt(w.ctx, gone))(t)
	same(t, "after replacing one that is gone", must(w.Attempts(w.ctx, "shop", 100))(t), got)
	// Two attempts at the same moment are two, because the first has ended.
	first := attempt(99, assure.RehearseStatic)
	first.ID = must(w.PutAttempt(w.ctx, first))(t)
	first.Ended, first.Outcome = first.Started, assure.Done
	must(w.PutAttempt(w.ctx, first))(t)
	if id := must(w.PutAttempt(w.ctx, attempt(99, assure.RehearseStatic)))(t); id == first.ID {
		t.Fatal("an attempt was taken for one that had ended")
	}
}

func txt(id string, until time.Time) assure.Pending {
	return assure.Pending{ID: id, Renewer: "letsencrypt", Name: "_acme-challenge.shop.example.com", Value: "v-" + id, Purpose: "renewal of shop", Until: until}
}

func journal(t *testing.T, w world) {
	for i, id := range []string{"c", "a", "b"} {
		ok(t, w.PutPending(w.ctx, txt(id, epoch.Add(time.Duration(i)*time.Minute))))
	}
	sweep := func(now time.Time, limit int) []string {
		t.Helper()
		var ids []string
		for _, p := range must(w.Abandoned(w.ctx, now, now.Add(10*time.Minute), limit))(t) {
			same(t, "as it was written down", p, txt(p.ID, now.Add(10*time.Minute)))
			ids = append(ids, p.ID)
		}
		return ids
	}
	same(t, "abandoned at its time", sweep(epoch, 10), []string(nil))
	now := epoch.Add(time.Minute + time.Microsecond)
	same(t, "the oldest", sweep(now, 1), []string{"c"})
	same(t, "what is left", sweep(now, 10), []string{"a"})
	same(t, "taken by another already", sweep(now, 10), []string(nil))
	ok(t, w.PutPending(w.ctx, txt("b", epoch.Add(time.Hour)))) // its writer lives
	ok(t, w.DropPending(w.ctx, "a"))
	ok(t, w.DropPending(w.ctx, "a"))
	same(t, "whose sweeper died", sweep(now.Add(11*time.Minute), 10), []string{"c"})
	wrong := txt("b", epoch)
	wrong.Value = "another"
	if err := w.PutPending(w.ctx, wrong); !errors.Is(err, assure.ErrConflict) {
		t.Fatalf("one id for two values: %v", err)
	}
	same(t, "the rest", sweep(epoch.Add(2*time.Hour), 10), []string{"c", "b"})
	for _, bad := range []func(*assure.Pending){
		func(p *assure.Pending) { p.Value = "v\x00" }, func(p *assure.Pending) { p.Name = "\xff" }, func(p *assure.Pending) { p.ID = "" },
	} {
		p := txt("d", epoch)
		bad(&p)
		if err := w.PutPending(w.ctx, p); err == nil {
			t.Fatalf("%q was taken, and would come back as something else", p)
		}
	}
	// Two that sweep at the same time share the work.
	later := epoch.Add(24 * time.Hour)
	want := []string{"b", "c"}
	for i := range 60 {
		id := fmt.Sprintf("x%02d", i)
		want = append(want, id)
		ok(t, w.PutPending(w.ctx, txt(id, epoch)))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var got []string
	for range 2 {
		wg.Go(func() {
			for misses := 0; misses < 3; { // on PostgreSQL the other one may hold all that there is at one moment
				ps, err := w.Abandoned(w.ctx, later, later.Add(time.Minute), 7)
				if err != nil {
					t.Error(err)
					return
				}
				if len(ps) == 0 {
					misses++
				}
				mu.Lock()
				for _, p := range ps {
					got = append(got, p.ID)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(got)
	same(t, "swept by two", got, want)
}

// hostileRenewal puts what strangers may say wherever it can come from them.
func hostileRenewal(t *testing.T, w world) {
	const text = "a\x00b\xff'; DROP TABLE renewal; --"
	tame := clean(text)
	a := account("k", "")
	a.ID, a.Location, a.Contact, a.Directory = text, text, text, text
	ok(t, w.PutAccount(w.ctx, a))
	same(t, "account", must(w.Account(w.ctx, text))(t).Location, tame)
	s, took, err := w.LeaseRenewal(w.ctx, text, text, epoch, time.Minute)
	if err != nil || !took {
		t.Fatal(took, err)
	}
	s.Why, s.WindowFrom, s.LastTrouble = text, text, &assure.Trouble{Detail: text}
	ok(t, w.PutRenewal(w.ctx, s, text, epoch))
	ok(t, w.Force(w.ctx, text, text, epoch))
	rs := must(w.Renewals(w.ctx, []string{text}))(t)
	if len(rs) != 1 || rs[0].Forced != tame || !strings.Contains(rs[0].Why, "DROP TABLE") {
		t.Fatalf("renewals: %+v", rs)
	}
	ok(t, w.ReleaseRenewal(w.ctx, text, text))
	c := issuedOf("1", 0)
	c.Certificate, c.Cert.Subject, c.Cert.Names, c.Chain = text, text, []string{text}, []byte(text)
	id := must(w.PutIssued(w.ctx, c))(t)
	got := must(w.NewestIssued(w.ctx, text))(t)
	same(t, "issued", []any{got.ID, string(got.Chain), got.Certificate}, []any{id, text, tame})
	must(w.PutAttempt(w.ctx, assure.Attempt{Certificate: text, Kind: text, By: text, Outcome: text, Fingerprint: text, Steps: []assure.Step{{Name: text, Detail: text}}}))(t)
	same(t, "attempt", must(w.Attempts(w.ctx, text, 1))(t)[0].By, tame)
	p := txt("p", epoch)
	p.Purpose = text
	ok(t, w.PutPending(w.ctx, p))
	ok(t, w.DropPending(w.ctx, text))
	same(t, "purpose", must(w.Abandoned(w.ctx, epoch.Add(1), epoch.Add(time.Hour), 0))(t), []assure.Pending(nil)) // not yet, and finer than a microsecond
	same(t, "purpose", must(w.Abandoned(w.ctx, epoch.Add(time.Second), epoch.Add(time.Hour), 0))(t)[0].Purpose, tame)
}
