package dnscheck

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/zones"
)

// world is the lab with the zones test and example.test, the latter on three servers, and a checker that looks at it.
func world(t testing.TB, change ...func(*Options)) (*zones.Lab, *Checker) {
	t.Helper()
	l, err := zones.Start(zones.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	must(t, l.AddZone("test"))
	must(t, l.AddZone("example.test", "ns1.example.test", "ns2.example.test", "ns3.example.test"))
	return l, checker(l, change...)
}

func checker(l *zones.Lab, change ...func(*Options)) *Checker {
	o := Options{Resolvers: []string{l.ResolverAddr()}, Port: l.Port(), Timeout: 4 * time.Second, Remember: -1}
	for _, f := range change {
		f(&o)
	}
	return New(o)
}

// impatient is for tests in which a server never answers.
func impatient(o *Options) { o.Timeout = 1500 * time.Millisecond }

func public(l *zones.Lab) func(*Options) {
	return func(o *Options) { o.Public = []string{l.ResolverAddr()} }
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// want checks an error's reason and class, and that it says the given words and not those that begin with "!".
func want(t testing.TB, err error, reason assure.Reason, class assure.TroubleClass, words ...string) {
	t.Helper()
	var got *assure.Trouble
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want trouble %s", err, reason)
	}
	if got.Reason != reason || got.Class != class {
		t.Errorf("got %s (%s), want %s (%s): %v", got.Reason, got.Class, reason, class, got)
	}
	for _, w := range words {
		if not, ok := strings.CutPrefix(w, "!"); ok && strings.Contains(got.Detail, not) || !ok && !strings.Contains(got.Detail, w) {
			t.Errorf("%q: want %q", got.Detail, w)
		}
	}
}

func find(t testing.TB, c *Checker, name string) assure.RecordPlace {
	t.Helper()
	p, err := c.Find(deadline(t), name)
	must(t, err)
	return p
}

func TestFindTellsWhereARecordLives(t *testing.T) {
	t.Parallel()
	l, c := world(t)
	must(t, l.AddZone("auth.test", "ns1.example.test"))                             // another zone on the same server
	must(t, l.AddZone("_acme-challenge.own.example.test", "ns.own.test"))           // the record is a zone of its own
	must(t, l.AddZone("deep.example.test", "ns1.example.test", "ns2.example.test")) // parent and child on the same servers
	must(t, l.Set("example.test", "www.example.test", dns.TypeA, "192.0.2.1"))
	must(t, l.Set("example.test", "_acme-challenge.www.example.test", dns.TypeCNAME, "a.example.test."))
	must(t, l.Set("example.test", "a.example.test", dns.TypeCNAME, "www-example.auth.test."))
	must(t, l.SetTXT("example.test", "_acme-challenge.there.example.test", []string{"other"}))
	for sentence, c2 := range map[string]struct {
		ask, name, zone string
		aliases         []string
		servers         int
	}{
		"a name that does not exist yet":             {"_acme-challenge.x.y.example.test", "_acme-challenge.x.y.example.test", "example.test", nil, 3},
		"the apex, in whatever case":                 {"_ACME-challenge.Example.test.", "_acme-challenge.example.test", "example.test", nil, 3},
		"a name that exists":                         {"_acme-challenge.there.example.test", "_acme-challenge.there.example.test", "example.test", nil, 3},
		"aliases into another zone":                  {"_acme-challenge.www.example.test", "www-example.auth.test", "auth.test", []string{"_acme-challenge.www.example.test", "a.example.test"}, 1},
		"a delegation of the record itself":          {"_acme-challenge.own.example.test", "_acme-challenge.own.example.test", "_acme-challenge.own.example.test", nil, 1},
		"a child on its parent's servers":            {"_acme-challenge.deep.example.test", "_acme-challenge.deep.example.test", "deep.example.test", nil, 2},
		"a record right below the top":               {"_acme-challenge.test", "_acme-challenge.test", "test", nil, 2},
		"a name below another underscore, as SRV is": {"_acme-challenge._tcp.example.test", "_acme-challenge._tcp.example.test", "example.test", nil, 3},
	} {
		t.Run(sentence, func(t *testing.T) {
			p := find(t, c, c2.ask)
			if p.Name != c2.name || p.Zone != c2.zone || !slices.Equal(p.Aliases, c2.aliases) || len(p.Servers) != c2.servers {
				t.Errorf("got %+v", p)
			}
		})
	}
	if n := l.Queries("ns1.example.test", "_acme-challenge.x.y.example.test", dns.TypeTXT); n != 0 {
		t.Errorf("the record's own name was asked for %d times before there was a value", n)
	}
	// Nothing below the zone may have reached the resolver: it would remember the absence.
	must(t, l.SetTXT("example.test", "_acme-challenge.x.y.example.test", []string{"v"}))
	must(t, checker(l, public(l)).Shown(deadline(t), find(t, c, "_acme-challenge.x.y.example.test"), "v"))
}

func TestFindTakesEveryAddress(t *testing.T) {
	t.Parallel()
	l, c := world(t)
	must(t, l.AddHost("both.many.test", 2, l.HasIPv6()))
	must(t, l.AddZone("many.test", "both.many.test", "ns2.many.test"))
	must(t, l.Delegate("many.test", "both.many.test", "only-parent.many.test")) // which is a server without the zone
	must(t, l.Set("many.test", "only-parent.many.test", dns.TypeA, hostOf(l.Addresses("only-parent.many.test")[0])))
	n := 4
	if l.HasIPv6() {
		n++
	}
	if p := find(t, c, "_acme-challenge.many.test"); len(p.Servers) != n {
		t.Errorf("got %v, want %d addresses", p.Servers, n)
	}
	four := checker(l, func(o *Options) { o.Family = "ip4" })
	if p := find(t, four, "_acme-challenge.many.test"); len(p.Servers) != 4 {
		t.Errorf("IPv4 only: got %v", p.Servers)
	}
}

func TestFindSaysWhyThereIsNoPlace(t *testing.T) {
	t.Parallel()
	l, c := world(t)
	set := func(name, target string) {
		t.Helper()
		must(t, l.Set("example.test", name, dns.TypeCNAME, target))
	}
	set("loop.example.test", "pool.example.test.")
	set("pool.example.test", "loop.example.test.")
	for i := range 14 {
		set("a"+strconv.Itoa(i)+".example.test", "a"+strconv.Itoa(i+1)+".example.test.")
	}
	set("lost.example.test", "x.never-made.test.")
	set("dead.example.test", "x.dead.test.")
	must(t, l.Delegate("dead.test", "ns1.dead.test")) // a server that does not have the zone
	for name, c2 := range map[string]struct {
		class assure.TroubleClass
		words []string
	}{
		"loop.example.test":                 {assure.TroubleBroken, []string{"circle", "loop.example.test → pool.example.test → loop.example.test"}},
		"a0.example.test":                   {assure.TroubleBroken, []string{"more than 10 aliases"}},
		"lost.example.test":                 {assure.TroubleMissing, []string{"the alias lost.example.test leads to x.never-made.test", "never-made.test does not exist"}},
		"dead.example.test":                 {assure.TroubleBroken, []string{"the alias dead.example.test", "ns1.dead.test", "REFUSED"}},
		"_acme-challenge.unregistered.test": {assure.TroubleMissing, []string{"unregistered.test does not exist"}},
	} {
		_, err := c.Find(deadline(t), name)
		want(t, err, assure.DelegationBroken, c2.class, c2.words...)
	}
	for _, name := range []string{"", ".", "a..b", "a b.test", strings.Repeat("a", 64) + ".test", strings.Repeat("a.", 130)} {
		_, err := c.Find(deadline(t), name)
		want(t, err, assure.DNSFailed, assure.TroubleInvalid)
	}
	l.Bogus("example.test", true)
	_, err := checker(l).Find(deadline(t), "_acme-challenge.example.test")
	want(t, err, assure.DelegationBroken, assure.TroubleBroken, "DNSSEC of example.test is bogus", l.ResolverAddr(), "DNSSEC Bogus")
}

func TestShownNamesTheOneServerThatLags(t *testing.T) {
	t.Parallel()
	l, c := world(t)
	at := find(t, c, "_acme-challenge.example.test")
	must(t, l.Hold("ns3.example.test"))
	must(t, l.SetTXT("example.test", at.Name, []string{"other", "mine"}))
	err := c.Shown(deadline(t), at, "mine")
	old, _ := l.Serial("ns3.example.test", "example.test")
	cur, _ := l.Serial("", "example.test")
	want(t, err, assure.DNSWriteFailed, assure.TroubleLagging, "1 of 3", "ns3.example.test ("+l.Addresses("ns3.example.test")[0]+")",
		"serial "+strconv.Itoa(int(old))+", behind "+strconv.Itoa(int(cur)), "!ns1", "!ns2")
	must(t, l.Release("ns3.example.test"))
	must(t, c.Shown(deadline(t), at, "mine"))

	must(t, l.Hold("ns2.example.test"))
	must(t, l.SetTXT("example.test", at.Name, []string{"other"}))
	want(t, c.Gone(deadline(t), at, "mine"), assure.DNSWriteFailed, assure.TroubleLagging, "1 of 3", "ns2.example.test", "!ns1", "!ns3")
	must(t, l.Release("ns2.example.test"))
	must(t, c.Gone(deadline(t), at, "mine"))
	want(t, c.Shown(deadline(t), at, "mine"), assure.DNSWriteFailed, assure.TroubleLagging, "3 of 3")
}

func TestShownTellsFailuresApart(t *testing.T) {
	t.Parallel()
	l, c := world(t, impatient)
	at := find(t, c, "_acme-challenge.example.test")
	must(t, l.SetTXT("example.test", at.Name, []string{"mine"}))
	for fault, c2 := range map[zones.Fault]struct {
		reason assure.Reason
		class  assure.TroubleClass
		words  string
	}{
		zones.Silent:   {assure.DNSFailed, assure.TroubleTransient, "does not answer"},
		zones.Servfail: {assure.DNSFailed, assure.TroubleTransient, "says SERVFAIL"},
		zones.Refused:  {assure.DelegationBroken, assure.TroubleBroken, "refuses to answer (REFUSED)"},
		zones.Lame:     {assure.DelegationBroken, assure.TroubleBroken, "is lame"},
		zones.CutOff:   {assure.DelegationBroken, assure.TroubleBroken, "cuts its answer short over UDP"},
		zones.Garbage:  {assure.DelegationBroken, assure.TroubleBroken, "cannot be read"},
	} {
		must(t, l.Fault("ns2.example.test", "example.test", fault))
		want(t, c.Shown(deadline(t), at, "mine"), c2.reason, c2.class, "1 of 3", "ns2.example.test", c2.words, "!ns1", "!ns3")
		want(t, c.Gone(deadline(t), at, "not there"), c2.reason, c2.class, "1 of 3", "ns2.example.test", "!ns1")
	}
	must(t, l.Fault("ns2.example.test", "example.test", zones.Truncated))
	must(t, c.Shown(deadline(t), at, "mine")) // over TCP
	must(t, l.Fault("ns2.example.test", "example.test", zones.None))
	var many []string
	for i := range 60 {
		many = append(many, strings.Repeat("x", 60)+strconv.Itoa(i))
	}
	must(t, l.SetTXT("example.test", at.Name, append(many, "mine")))
	must(t, c.Shown(deadline(t), at, "mine")) // truncated for its size
	must(t, l.Set("example.test", at.Name, dns.TypeTXT))
	must(t, l.Set("example.test", at.Name, dns.TypeCNAME, "elsewhere.test."))
	want(t, c.Shown(deadline(t), at, "mine"), assure.DNSWriteFailed, assure.TroubleLagging, "says that the name is an alias of elsewhere.test")
}

func TestShownSurvivesTheLossOfAPacket(t *testing.T) {
	t.Parallel()
	l, c := world(t, impatient)
	at := find(t, c, "_acme-challenge.example.test")
	must(t, l.SetTXT("example.test", at.Name, []string{"mine"}))
	must(t, l.Lose("ns2.example.test", 0.3)) // by the seed, never two in a row of the first ones
	err := c.Shown(deadline(t), at, "mine")
	for i := 0; err != nil && i < 5; i++ {
		want(t, err, assure.DNSFailed, assure.TroubleTransient, "ns2.example.test")
		err = c.Shown(deadline(t), at, "mine")
	}
	must(t, err)
}

func TestShownAsksPublicResolversLast(t *testing.T) {
	t.Parallel()
	l, _ := world(t)
	must(t, l.AddZone("auth.test"))
	must(t, l.Set("example.test", "_acme-challenge.example.test", dns.TypeCNAME, "x.auth.test."))
	must(t, l.SetTXT("auth.test", "x.auth.test", []string{"old"}))
	c := checker(l, public(l))
	at := find(t, c, "_acme-challenge.example.test")
	must(t, c.Shown(deadline(t), at, "old"))
	must(t, l.SetTXT("auth.test", "x.auth.test", []string{"new"}))
	want(t, c.Shown(deadline(t), at, "new"), assure.DNSWriteFailed, assure.TroubleLagging, "every authoritative server", l.ResolverAddr(), "may remember")
	l.Flush()
	must(t, c.Shown(deadline(t), at, "new"))
	l.Bogus("auth.test", true)
	want(t, c.Shown(deadline(t), at, "new"), assure.DelegationBroken, assure.TroubleBroken, "bogus")
}

func TestDelegationTellsWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	l, c := world(t, impatient)
	ask := func() error { return c.Delegation(deadline(t), "_acme-challenge.www.example.test") }
	must(t, ask())
	const rec = "example.test"
	for fault, c2 := range map[zones.Fault]struct {
		reason assure.Reason
		class  assure.TroubleClass
		words  string
	}{
		zones.Silent:   {assure.DNSFailed, assure.TroubleTransient, "does not answer"},
		zones.Servfail: {assure.DNSFailed, assure.TroubleTransient, "says SERVFAIL"},
		zones.Refused:  {assure.DelegationBroken, assure.TroubleBroken, "REFUSED"},
		zones.Lame:     {assure.DelegationBroken, assure.TroubleBroken, "is lame"},
		zones.UDPOnly:  {assure.DelegationBroken, assure.TroubleBroken, "over TCP"},
	} {
		must(t, l.Fault("ns2.example.test", rec, fault))
		want(t, ask(), c2.reason, c2.class, "ns2.example.test", c2.words, "!ns1", "!ns3")
		must(t, l.Fault("ns2.example.test", rec, zones.None))
	}
	must(t, l.Delegate(rec, "ns1.example.test", "ns2.example.test", "ns9.example.test"))
	must(t, l.Set(rec, "ns9.example.test", dns.TypeA, hostOf(l.Addresses("ns9.example.test")[0])))
	want(t, ask(), assure.DelegationBroken, assure.TroubleBroken, "ns9.example.test", "REFUSED",
		"the parent names ns1.example.test ns2.example.test ns9.example.test, the zone itself names ns1.example.test ns2.example.test ns3.example.test")
	must(t, l.Delegate(rec, "ns1.example.test", "ns2.example.test", "ns3.example.test"))
	l.Flush()
	must(t, ask())
	l.Bogus(rec, true)
	want(t, ask(), assure.DelegationBroken, assure.TroubleBroken, "bogus", l.ResolverAddr())
	l.Bogus(rec, false)
	must(t, l.Set(rec, rec, dns.TypeNS, "ns1.example.test.", "ns2.example.test.", "ns3.example.test.", "ns.nowhere.test."))
	want(t, ask(), assure.DelegationBroken, assure.TroubleBroken, "the name server ns.nowhere.test has no address")
	must(t, l.Delegate(rec))
	l.Flush()
	want(t, ask(), assure.DelegationBroken, assure.TroubleMissing, "example.test does not exist")
}

func TestAServerIsLateOnlyAfterTheZonesRefresh(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Unix(1e9, 0)
	l, c := world(t, func(o *Options) { o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now } })
	pass := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	ask := func() error { return c.Delegation(deadline(t), "example.test") }
	must(t, ask())
	must(t, l.Hold("ns3.example.test"))
	must(t, l.SetTXT("example.test", "x.example.test", []string{"v"}))
	must(t, ask()) // behind for no time at all
	pass(30 * time.Minute)
	must(t, l.SetTXT("example.test", "x.example.test", []string{"w"}))
	must(t, ask())
	pass(31 * time.Minute)
	want(t, ask(), assure.DelegationBroken, assure.TroubleLagging, "ns3.example.test", "behind", "!ns1", "!ns2")
	must(t, l.Release("ns3.example.test"))
	must(t, ask())
	pass(2 * time.Hour)
	must(t, ask())
}

func TestNothingOutlivesItsContext(t *testing.T) {
	t.Parallel()
	l, c := world(t, func(o *Options) { o.Timeout = time.Hour })
	at := find(t, c, "_acme-challenge.example.test")
	must(t, l.Fault("ns2.example.test", "", zones.Silent))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	want(t, c.Shown(ctx, at, "v"), assure.DNSWriteFailed, assure.TroubleLagging, "ns2.example.test")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestResolversOfTheSystem(t *testing.T) {
	t.Parallel()
	c := New(Options{ResolvConf: "/does/not/exist"})
	if got := c.resolvers(); len(got) == 0 || got[0] != "127.0.0.1:53" {
		t.Errorf("got %v", got)
	}
}

func hostOf(addr string) string { return netip.MustParseAddrPort(addr).Addr().String() }

func TestServersAreRememberedButNotWhatTheyAnswer(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Unix(1e9, 0)
	l, c := world(t, func(o *Options) {
		o.Remember = 0 // the default
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	asked := func() int {
		return l.Queries("ns1.test", "example.test", dns.TypeNS) + l.Queries("ns2.test", "example.test", dns.TypeNS)
	}
	at := find(t, c, "_acme-challenge.example.test")
	first := asked()
	must(t, l.Set("example.test", "_acme-challenge.www.example.test", dns.TypeCNAME, "_acme-challenge.example.test."))
	if p := find(t, c, "_acme-challenge.www.example.test"); p.Name != at.Name || len(p.Servers) != 3 {
		t.Errorf("a new alias is not seen: %+v", p)
	}
	if n := asked(); n != first {
		t.Errorf("the parent was asked %d times more", n-first)
	}
	must(t, l.Set("example.test", "example.test", dns.TypeCAA, `0 issue ";"`))
	want(t, c.CAA(deadline(t), ours("example.test")), assure.CAAForbids, assure.TroubleForbidden)
	must(t, l.AddHost("ns4.example.test", 1, false))
	must(t, l.Delegate("example.test", "ns1.example.test", "ns4.example.test"))
	must(t, l.Set("example.test", "ns4.example.test", dns.TypeA, hostOf(l.Addresses("ns4.example.test")[0])))
	mu.Lock()
	now = now.Add(31 * time.Second)
	mu.Unlock()
	if p := find(t, c, "_acme-challenge.example.test"); len(p.Servers) != 4 {
		t.Errorf("a new server is not seen: %+v", p.Servers)
	}
}

func TestIPv6ThatLeadsNowhereHoldsNothingUp(t *testing.T) {
	t.Parallel()
	l, c := world(t, impatient)
	if !l.HasIPv6() {
		t.Skip("this machine has no ::1")
	}
	must(t, l.AddHost("ns1.both.test", 1, true))
	must(t, l.AddZone("both.test", "ns1.both.test", "ns2.both.test"))
	at := find(t, c, "_acme-challenge.both.test")
	must(t, l.SetTXT("both.test", at.Name, []string{"v"}))
	must(t, c.Shown(deadline(t), at, "v"))
	must(t, l.Fault("::1", "", zones.Silent))
	must(t, c.Shown(deadline(t), at, "v"))
	must(t, c.Delegation(deadline(t), "both.test"))
	must(t, l.Fault("::1", "", zones.Refused)) // which is an answer
	want(t, c.Shown(deadline(t), at, "v"), assure.DelegationBroken, assure.TroubleBroken, "[::1]", "REFUSED")
	must(t, l.Fault("::1", "", zones.None))
	must(t, l.Fault("ns2.both.test", "", zones.Silent)) // IPv4 is not excused
	want(t, c.Shown(deadline(t), at, "v"), assure.DNSFailed, assure.TroubleTransient, "1 of 3", "ns2.both.test")
}
