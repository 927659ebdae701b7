package renew

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

func TestIssueWithEveryTypeOfKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{Profiles: map[string]time.Duration{"classic": 90 * 24 * time.Hour, "shortlived": 6 * 24 * time.Hour}})
	c := w.ca(func(o *CAOptions) { o.Profile = "shortlived" })
	for _, kind := range []string{KeyECDSAP256, KeyECDSAP384, KeyRSA2048, ""} { // larger keys take seconds to make, and go the same way
		var s steps
		got, err := c.Issue(deadline(t), Request{Names: []string{"A.example."}, KeyType: kind}, w.dns(), s.add)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		w.verify(got, "a.example")
		if want := "order:done present:done propagation:done validate:done withdraw:done finalize:done match:done"; s.text() != want {
			t.Errorf("%s: steps are %s, want %s", kind, s.text(), want)
		}
		if d := s.find(t, assure.StepOrder).Detail; !strings.HasSuffix(d, "took the order with 1 authorization") {
			t.Errorf("%s: the step says %q", kind, d)
		}
		if life := got.Leaf.NotAfter.Sub(got.Leaf.NotBefore); life > 7*24*time.Hour || got.Profile != "shortlived" {
			t.Errorf("%s: the profile %q gave a life of %s", kind, got.Profile, life)
		}
		again, err := parseKey(got.KeyPEM)
		if err != nil || !samePublic(again, got.Key) {
			t.Errorf("%s: the key as PEM is another: %v", kind, err)
		}
		bits := 0
		switch k := got.Key.(type) {
		case *ecdsa.PrivateKey:
			bits = k.Curve.Params().BitSize
		case *rsa.PrivateKey:
			bits = k.N.BitLen()
		}
		if want := map[string]int{"": 256, KeyECDSAP256: 256, KeyECDSAP384: 384, KeyRSA2048: 2048}[kind]; bits != want {
			t.Errorf("%s: the key has %d bits", kind, bits)
		}
	}
	w.clean()
}

func TestApexAndWildcardShareOneRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	w.zone.set("_acme-challenge.a.example", "somebody else's")
	var most int
	look := w.dns(func(o *DNSOptions) {
		o.Zones = lookingZones{w.zone, func() { most = max(most, len(w.zone.records()["_acme-challenge.a.example"])) }}
	})
	got, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example", "*.a.example", "b.example", "a.example"}}, look, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"a.example", "x.a.example", "b.example"} {
		w.verify(got, n)
	}
	if most != 3 {
		t.Errorf("at most %d values were at the record at a time, want the two challenges beside the other's", most)
	}
	if r := w.zone.records(); len(r) != 1 || !slices.Equal(r["_acme-challenge.a.example"], []string{"somebody else's"}) {
		t.Errorf("the zone holds %v, want somebody else's value and nothing more", r)
	}
	if n := w.book.left(); n > 0 {
		t.Errorf("%d entries are left in the journal", n)
	}
}

// lookingZones calls f before each look.
type lookingZones struct {
	Zones
	f func()
}

var looking sync.Mutex

func (z lookingZones) Shown(ctx context.Context, at assure.RecordPlace, value string) error {
	looking.Lock()
	z.f()
	looking.Unlock()
	return z.Zones.Shown(ctx, at, value)
}

func TestTheJournalComesBeforeAndAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	w.zone.alias["_acme-challenge.a.example"] = "a.challenges.example"
	w.zone.lag["a.challenges.example"] = 3
	var s steps
	if _, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), s.add); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range w.list() {
		if op, what, _ := strings.Cut(e, " "); op != "account" && op != "look" {
			got = append(got, op)
			if !strings.HasPrefix(what, "a.challenges.example ") {
				t.Errorf("%s is not about the place where the alias leads", e)
			}
		}
	}
	if want := []string{"journal", "present", "withdraw", "drop"}; !slices.Equal(got, want) {
		t.Errorf("it went %q, want %q", got, want)
	}
	p := s.find(t, assure.StepPropagation)
	if !strings.Contains(p.Detail, "ns2.example") || p.Target != "a.challenges.example" {
		t.Errorf("the step does not name the server that lagged: %+v", p)
	}
	w.clean()
}

// TestEveryStepFailsInBothWays breaks each operation on zone and journal, failed and failed but happened. Whatever it
// is, what a sweep leaves behind is an empty zone and an empty journal.
func TestEveryStepFailsInBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	for _, tc := range []struct {
		op     string
		issues bool // the certificate comes all the same
	}{{"journal", false}, {"present", false}, {"look", true}, {"withdraw", true}, {"drop", true}} {
		for _, happened := range []bool{false, true} {
			for _, n := range []int{1, 2} {
				if tc.op == "journal" && n == 2 && happened {
					continue // the same as the first: nothing differs but the name
				}
				w.fail(tripOn(tc.op, n, happened))
				var s steps
				_, err := c.Issue(deadline(t), Request{Names: []string{"a.example", "b.example"}}, w.dns(), s.add)
				w.fail(nil)
				if (err == nil) != tc.issues {
					t.Errorf("%s %d, happened %v: %v; %s", tc.op, n, happened, err, s.text())
				}
				for name, values := range w.zone.records() {
					for _, v := range values {
						if !w.journalled(name, v) {
							t.Errorf("%s %d, happened %v: %s is left at %s and not in the journal", tc.op, n, happened, v, name)
						}
					}
				}
				if _, err := Sweep(deadline(t), w.book, func(string) DNS { return w.zone }, time.Now().Add(time.Hour)); err != nil {
					t.Errorf("%s %d, happened %v: sweep: %v", tc.op, n, happened, err)
				}
				w.clean()
			}
		}
	}
}

func (w *world) journalled(name, value string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.book.pending {
		if p.Name == name && p.Value == value {
			return true
		}
	}
	return false
}

func TestARefusedWriteLeavesNothingInTheJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	w.fail(func(op string) (error, bool) { //nolint:revive // see trip
		if op != "present" && op != "withdraw" {
			return nil, false
		}
		return &assure.Trouble{
			Reason: assure.DNSWriteDenied, Class: assure.TroubleDenied, Identity: "app-7", Action: "TXT/write", Scope: "/zones/a", Detail: "403",
		}, false
	})
	var s steps
	_, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), s.add)
	wantTrouble(t, err, assure.DNSWriteDenied, assure.TroubleDenied, "app-7", "TXT/write")
	if st := s.find(t, assure.StepPresent); st.Outcome != assure.Failed || st.Trouble.Action != "TXT/write" {
		t.Errorf("the step is %+v", st)
	}
	if strings.Contains(s.text(), assure.StepWithdraw) {
		t.Errorf("it is told that what was never written was withdrawn: %s", s.text())
	}
	w.clean()
}

func TestCancelledAnywhereWithdrawsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	if _, err := c.AccountURL(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"journal", "present", "look"} {
		for n := 1; n <= 2; n++ {
			ctx, cancel := context.WithCancel(deadline(t))
			left := n
			w.fail(func(op string) (error, bool) { //nolint:revive // see trip
				if op == at {
					if left--; left == 0 {
						cancel()
					}
				}
				return nil, false
			})
			var s steps
			_, err := c.Issue(ctx, Request{Names: []string{"a.example", "*.a.example"}}, w.dns(), s.add)
			cancel()
			if !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled at %s %d: %v", at, n, err)
			}
			if strings.Contains(s.text(), "finalize") {
				t.Errorf("cancelled at %s %d: it went on: %s", at, n, s.text())
			}
			w.clean()
		}
	}
}

func TestARecordThatNeverShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	w.zone.lag["_acme-challenge.a.example"] = 1 << 30
	var s steps
	_, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(func(o *DNSOptions) { o.Timeout = 200 * time.Millisecond }), s.add)
	wantTrouble(t, err, assure.DNSWriteFailed, assure.TroubleLagging, "ns2.example", "200ms")
	if strings.Contains(s.text(), "validate") || !strings.Contains(s.text(), "withdraw:done") {
		t.Errorf("steps are %s", s.text())
	}
	w.clean()
	url, err := w.ca().AccountURL(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range w.authority.Orders(url) {
		if slices.Contains(o.Authorizations, "pending") {
			t.Errorf("an authorization was left pending: %+v", o)
		}
	}
}

func TestTheCASeesSomethingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	var s steps
	blind := w.dns(func(o *DNSOptions) {
		o.DNS = &zone{diary: &diary{}, txt: map[string][]string{}}
		o.Zones = yesZones{w.zone}
	})
	_, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example", "b.example"}}, blind, s.add)
	wantTrouble(t, err, assure.RenewalFailing, assure.TroubleLagging, "unauthorized", ".example", "dns-01")
	if n := strings.Count(s.text(), "validate:failed"); n != 2 {
		t.Errorf("%d names are told, want both: %s", n, s.text())
	}
}

type yesZones struct{ Zones }

func (yesZones) Shown(context.Context, assure.RecordPlace, string) error { return nil }

func TestReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	first, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	for range 2 {
		var s steps
		if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}, Replaces: first.Leaf}, w.dns(), s.add); err != nil {
			t.Fatal(err)
		}
		notes = append(notes, s.find(t, assure.StepOrder).Detail)
	}
	if strings.Contains(notes[0], "renewal") || !strings.Contains(notes[1], "alreadyReplaced") {
		t.Errorf("the orders say %q", notes)
	}
	other := newWorld(t, authority.Options{})
	if _, err := other.ca().Issue(deadline(t), Request{Names: []string{"a.example"}, Replaces: first.Leaf}, other.dns(), nil); err != nil {
		t.Errorf("a certificate of another CA stands in the way: %v", err)
	}
	url, _ := c.AccountURL(deadline(t))
	if o := w.authority.Orders(url); len(o) != 3 || o[1].Replaces == "" || o[2].Replaces != "" {
		t.Errorf("the CA has %+v", o)
	}
}

func TestPreferredChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{Alternates: 1, Chain: 2})
	c := w.ca()
	for i, name := range w.authority.RootNames() {
		got, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}, PreferredChain: name}, w.dns(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ch, err := parseChain(got.ChainPEM)
		if err != nil || ch.top != name {
			t.Errorf("chain %d ends at %q, want %q: %v", i, ch.top, name, err)
		}
	}
	before := w.proxy.Seen(authority.Download)
	var s steps
	if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil); err != nil {
		t.Fatal(err)
	}
	if n := w.proxy.Seen(authority.Download) - before; n != 1 {
		t.Errorf("%d downloads where no chain is preferred, want 1", n)
	}
	if _, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}, PreferredChain: "Nobody"}, w.dns(), s.add); err != nil {
		t.Fatal(err)
	}
	if d := s.find(t, assure.StepFinalize).Detail; !strings.Contains(d, `"Nobody"`) {
		t.Errorf("nothing is said of the chain that is not offered: %s", d)
	}
}

func TestWhatCannotBeOrdered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	if err := w.authority.Block("blocked.example"); err != nil {
		t.Fatal(err)
	}
	c := w.ca()
	for name, tc := range map[string]struct {
		r     Request
		s     []Solver
		class assure.TroubleClass
		says  string
	}{
		"no names":                     {Request{}, w.dns(), assure.TroubleInvalid, "not for 0"},
		"no name":                      {Request{Names: []string{"exa mple.com"}}, w.dns(), assure.TroubleInvalid, "exa mple.com"},
		"a wildcard inside":            {Request{Names: []string{"a.*.example"}}, w.dns(), assure.TroubleInvalid, "a.*.example"},
		"a key that is none":           {Request{Names: []string{"a.example"}, KeyType: "dsa"}, w.dns(), assure.TroubleInvalid, "dsa"},
		"a profile that is none":       {Request{Names: []string{"a.example"}, Profile: "tlsclient"}, w.dns(), assure.TroubleMissing, `does not offer the profile "tlsclient"`},
		"no solver":                    {Request{Names: []string{"a.example"}}, nil, assure.TroubleInvalid, "no way to prove"},
		"a challenge that is not open": {Request{Names: []string{"*.a.example"}}, []Solver{NewResponder(ResponderOptions{}).HTTP()}, assure.TroubleInvalid, "it offers dns-01, dns-account-01, dns-persist-01, and http-01 is configured"},
		"a name that the CA refuses":   {Request{Names: []string{"x.blocked.example"}}, w.dns(), assure.TroubleForbidden, "rejectedIdentifier"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Issue(deadline(t), tc.r, tc.s, nil)
			wantTrouble(t, err, assure.RenewalFailing, tc.class, tc.says)
		})
	}
	w.clean()
}

func TestASlowOrderKeepsItsEntryAlive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	w.zone.lag["_acme-challenge.a.example"] = 1 << 30
	// As soon as a third sign of life was given, the record shows.
	seen := make(chan struct{})
	n := 0
	w.fail(func(op string) (error, bool) { //nolint:revive // see trip
		if op == "journal" {
			if n++; n == 4 {
				w.zone.lag["_acme-challenge.a.example"] = 0
				close(seen)
			}
		}
		return nil, false
	})
	if _, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(func(o *DNSOptions) { o.Life = 60 * time.Millisecond }), nil); err != nil {
		t.Fatal(err)
	}
	<-seen
	w.clean()
}
