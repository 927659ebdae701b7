package zones

import (
	"encoding/base64"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const secret = "bm90IGEgc2VjcmV0IGF0IGFsbCwganVzdCBhIHRlc3Q="

func start(t testing.TB, o Options) *Lab {
	t.Helper()
	l, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	must(t, l.AddZone("test"))
	must(t, l.AddZone("example.test", "ns1.example.test", "ns2.example.test", "ns3.other.test"))
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ask(t testing.TB, network, server, name string, kind uint16, change ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	for _, f := range change {
		f(q)
	}
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	m, _, err := c.Exchange(q, server)
	if err != nil {
		t.Fatalf("ask %s for %s: %v", server, name, err)
	}
	return m
}

func texts(m *dns.Msg) []string {
	var out []string
	for _, rr := range m.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			out = append(out, strings.Join(txt.Txt, ""))
		}
	}
	slices.Sort(out)
	return out
}

func TestServersAnswerAsTheirPlaceInTheTreeSays(t *testing.T) {
	t.Parallel()
	l := start(t, Options{})
	must(t, l.Set("example.test", "a.b.example.test", dns.TypeTXT, "deep"))
	must(t, l.Set("example.test", "*.w.example.test", dns.TypeTXT, "wild"))
	must(t, l.Set("example.test", "alias.example.test", dns.TypeCNAME, "a.b.example.test."))
	must(t, l.Set("test", "example.test", dns.TypeDS, "1 13 2 "+strings.Repeat("ab", 32)))
	root, parent, child := l.Addresses("a.root")[0], l.Addresses("ns1.test")[0], l.Addresses("ns2.example.test")[0]
	for sentence, c := range map[string]struct {
		server, name     string
		kind             uint16
		rcode            int
		authority        bool
		answer, referred int
	}{
		"the root refers":                          {root, "a.b.example.test", dns.TypeTXT, dns.RcodeSuccess, false, 0, 2},
		"the parent refers with what it is told":   {parent, "a.b.example.test", dns.TypeTXT, dns.RcodeSuccess, false, 0, 3},
		"the parent holds DS":                      {parent, "example.test", dns.TypeDS, dns.RcodeSuccess, true, 1, 0},
		"the child answers":                        {child, "a.b.example.test", dns.TypeTXT, dns.RcodeSuccess, true, 1, 0},
		"an empty non-terminal exists":             {child, "b.example.test", dns.TypeTXT, dns.RcodeSuccess, true, 0, 0},
		"another name does not":                    {child, "c.example.test", dns.TypeTXT, dns.RcodeNameError, true, 0, 0},
		"a wildcard covers":                        {child, "x.y.w.example.test", dns.TypeTXT, dns.RcodeSuccess, true, 1, 0},
		"an alias is followed inside the zone":     {child, "alias.example.test", dns.TypeTXT, dns.RcodeSuccess, true, 2, 0},
		"a name that is not served is refused":     {child, "example.org", dns.TypeTXT, dns.RcodeRefused, false, 0, 0},
		"the zone above is not the child's either": {child, "other.test", dns.TypeTXT, dns.RcodeRefused, false, 0, 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				m := ask(t, network, c.server, c.name, c.kind)
				referred := 0
				for _, rr := range m.Ns {
					if rr.Header().Rrtype == dns.TypeNS {
						referred++
					}
				}
				if m.Rcode != c.rcode || m.Authoritative != c.authority || len(m.Answer) != c.answer || referred != c.referred {
					t.Errorf("over %s: %v", network, m)
				}
			}
		})
	}
}

func TestResolverFollowsTheTreeAndRemembers(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	l := start(t, Options{TTL: 60, Negative: 30, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	must(t, l.AddZone("auth.test"))
	must(t, l.Set("example.test", "_acme-challenge.example.test", dns.TypeCNAME, "x.auth.test."))
	if m := ask(t, "tcp", l.ResolverAddr(), "_acme-challenge.example.test", dns.TypeTXT); m.Rcode != dns.RcodeNameError || len(m.Answer) != 1 {
		t.Errorf("before: %v", m)
	}
	must(t, l.SetTXT("auth.test", "x.auth.test", []string{"one", "two"}))
	if m := ask(t, "udp", l.ResolverAddr(), "_acme-challenge.example.test", dns.TypeTXT); m.Rcode != dns.RcodeNameError {
		t.Errorf("an absence is not remembered: %v", m)
	}
	mu.Lock()
	now = now.Add(31 * time.Second)
	mu.Unlock()
	m := ask(t, "tcp", l.ResolverAddr(), "_acme-challenge.example.test", dns.TypeTXT)
	if got := texts(m); !slices.Equal(got, []string{"one", "two"}) || m.Answer[0].Header().Rrtype != dns.TypeCNAME {
		t.Errorf("after the negative TTL: %v", m)
	}
	must(t, l.SetTXT("auth.test", "x.auth.test", []string{"three"}))
	if got := texts(ask(t, "udp", l.ResolverAddr(), "_acme-challenge.example.test", dns.TypeTXT)); len(got) != 2 {
		t.Errorf("a record is not remembered: %v", got)
	}
	l.Flush()
	if got := texts(ask(t, "udp", l.ResolverAddr(), "_acme-challenge.example.test", dns.TypeTXT)); !slices.Equal(got, []string{"three"}) {
		t.Errorf("after Flush: %v", got)
	}
	l.Bogus("auth.test", true)
	if m := ask(t, "udp", l.ResolverAddr(), "_acme-challenge.example.test", dns.TypeTXT); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("bogus: %v", m)
	}
	if m := ask(t, "udp", l.ResolverAddr(), "_acme-challenge.example.test", dns.TypeTXT, func(q *dns.Msg) { q.CheckingDisabled = true }); m.Rcode != dns.RcodeSuccess {
		t.Errorf("bogus with checking disabled: %v", m)
	}
}

func TestResolverGoesRoundWhatFails(t *testing.T) {
	t.Parallel()
	l := start(t, Options{Patience: 300 * time.Millisecond})
	must(t, l.SetTXT("example.test", "x.example.test", []string{"here"}))
	must(t, l.Fault("ns1.example.test", "", Silent))
	must(t, l.Fault("ns2.example.test", "example.test", Lame))
	must(t, l.Fault("ns3.other.test", "", Truncated))
	if got := texts(ask(t, "udp", l.ResolverAddr(), "x.example.test", dns.TypeTXT)); !slices.Equal(got, []string{"here"}) {
		t.Errorf("got %v", got)
	}
	l.Flush()
	must(t, l.Fault("ns3.other.test", "", Servfail))
	if m := ask(t, "udp", l.ResolverAddr(), "x.example.test", dns.TypeTXT); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("nobody answers, and the resolver says %v", m)
	}
}

func TestAHeldServerKeepsWhatItHad(t *testing.T) {
	t.Parallel()
	l := start(t, Options{})
	must(t, l.SetTXT("example.test", "x.example.test", []string{"old"}))
	must(t, l.Hold("ns2.example.test"))
	if l.Hold("ns1.example.test") == nil {
		t.Error("the primary was held")
	}
	must(t, l.SetTXT("example.test", "x.example.test", []string{"new"}))
	must(t, l.Add("example.test", "x.example.test", dns.TypeTXT, "newer"))
	held := l.Addresses("ns2.example.test")[0]
	if got := texts(ask(t, "udp", held, "x.example.test", dns.TypeTXT)); !slices.Equal(got, []string{"old"}) {
		t.Errorf("held: %v", got)
	}
	if got, _ := l.Values("ns3.other.test", "example.test", "x.example.test", dns.TypeTXT); !slices.Equal(got, []string{"new", "newer"}) {
		t.Errorf("not held: %v", got)
	}
	before, _ := l.Serial(held, "example.test")
	after, _ := l.Serial("", "example.test")
	if after != before+2 {
		t.Errorf("serials %d and %d", before, after)
	}
	must(t, l.Release("ns2.example.test"))
	if got := texts(ask(t, "udp", held, "x.example.test", dns.TypeTXT)); !slices.Equal(got, []string{"new", "newer"}) {
		t.Errorf("released: %v", got)
	}
}

func send(t testing.TB, l *Lab, key, secret string, at time.Time, build func(*dns.Msg)) (*dns.Msg, error) {
	t.Helper()
	m := new(dns.Msg).SetUpdate("example.test.")
	build(m)
	m.SetTsig(dns.Fqdn(key), dns.HmacSHA256, 300, at.Unix())
	c := dns.Client{Timeout: 3 * time.Second, TsigSecret: map[string]string{dns.Fqdn(key): secret}}
	r, _, err := c.Exchange(m, l.Addresses("ns1.example.test")[0])
	return r, err
}

func txt(name, value string) []dns.RR {
	return []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}, Txt: []string{value}}}
}

func TestUpdatesAreAuthorised(t *testing.T) {
	t.Parallel()
	l := start(t, Options{})
	must(t, l.SetKey("k1", "hmac-sha256", secret))
	must(t, l.Allow("k1", "*.example.test"))
	add := func(m *dns.Msg) { m.Insert(txt("x.example.test", "v")) }
	tsig := func(m *dns.Msg) int {
		if m == nil || m.IsTsig() == nil {
			return -1
		}
		return int(m.IsTsig().Error)
	}
	if r, err := send(t, l, "k1", secret, time.Now(), add); err != nil || r.Rcode != dns.RcodeSuccess {
		t.Fatalf("allowed: %v %v", r, err)
	}
	before, _ := l.Serial("", "example.test")
	if r, err := send(t, l, "k1", secret, time.Now(), add); err != nil || r.Rcode != dns.RcodeSuccess {
		t.Fatalf("again: %v %v", r, err)
	}
	if after, _ := l.Serial("", "example.test"); after != before {
		t.Error("an update that changes nothing changed the serial")
	}
	if r, _ := send(t, l, "k2", secret, time.Now(), add); tsig(r) != dns.RcodeBadKey {
		t.Errorf("unknown key: %v", r)
	}
	other := base64.StdEncoding.EncodeToString([]byte("another"))
	if r, _ := send(t, l, "k1", other, time.Now(), add); tsig(r) != dns.RcodeBadSig {
		t.Errorf("wrong secret: %v", r)
	}
	if r, _ := send(t, l, "k1", secret, time.Now().Add(-time.Hour), add); tsig(r) != dns.RcodeBadTime {
		t.Errorf("wrong time: %v", r)
	}
	must(t, l.Allow("k1"))
	if r, err := send(t, l, "k1", secret, time.Now(), add); err != nil || r.Rcode != dns.RcodeRefused {
		t.Errorf("revoked: %v %v", r, err)
	}
	must(t, l.Allow("k1", "x.example.test"))
	if r, _ := send(t, l, "k1", secret, time.Now(), func(m *dns.Msg) { m.Insert(txt("y.example.test", "v")) }); r.Rcode != dns.RcodeRefused {
		t.Errorf("another name: %v", r)
	}
	if r, _ := send(t, l, "k1", secret, time.Now(), func(m *dns.Msg) { m.Insert(txt("x.example.org", "v")) }); r.Rcode != dns.RcodeNotZone {
		t.Errorf("outside: %v", r)
	}
	if r, _ := send(t, l, "k1", secret, time.Now(), func(m *dns.Msg) { m.RRsetNotUsed(txt("x.example.test", "")); add(m) }); r.Rcode != dns.RcodeYXRrset {
		t.Errorf("prerequisite: %v", r)
	}
	if r, _ := send(t, l, "k1", secret, time.Now(), func(m *dns.Msg) { m.Remove(txt("x.example.test", "v")) }); r.Rcode != dns.RcodeSuccess {
		t.Errorf("removed: %v", r)
	}
	if got, _ := l.Values("ns2.example.test", "example.test", "x.example.test", dns.TypeTXT); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestAnUpdateFailsInBothWays(t *testing.T) {
	t.Parallel()
	l := start(t, Options{})
	must(t, l.SetKey("k1", "hmac-sha256", secret))
	must(t, l.Allow("k1", "*.example.test"))
	for fault, happened := range map[Fault]bool{UpdateSilent: false, UpdateServfail: false, UpdateLost: true} {
		must(t, l.Fault("ns1.example.test", "example.test", fault))
		m := new(dns.Msg).SetUpdate("example.test.")
		m.Insert(txt(string(fault)+".example.test", "v"))
		m.SetTsig("k1.", dns.HmacSHA256, 300, time.Now().Unix())
		c := dns.Client{Timeout: 300 * time.Millisecond, TsigSecret: map[string]string{"k1.": secret}}
		r, _, err := c.Exchange(m, l.Addresses("ns1.example.test")[0])
		if err == nil && r.Rcode == dns.RcodeSuccess {
			t.Errorf("%s: success", fault)
		}
		if got, _ := l.Values("", "example.test", string(fault)+".example.test", dns.TypeTXT); (len(got) > 0) != happened {
			t.Errorf("%s: the zone holds %v", fault, got)
		}
	}
}

func TestLossIsRepeatable(t *testing.T) {
	t.Parallel()
	run := func() (lost []int) {
		l := start(t, Options{Seed: 7})
		must(t, l.Lose("ns1.example.test", 0.5))
		conn, err := net.Dial("udp", l.Addresses("ns1.example.test")[0])
		must(t, err)
		defer conn.Close()
		for i := range 12 {
			q, err := new(dns.Msg).SetQuestion("example.test.", dns.TypeSOA).Pack()
			must(t, err)
			_, err = conn.Write(q)
			must(t, err)
			before := len(lost)
			for end := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
				if l.Lost("ns1.example.test") > before {
					lost = append(lost, i)
					break
				}
				if l.Queries("ns1.example.test", "example.test", dns.TypeSOA) > i-before {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("packet %d was neither answered nor lost", i)
				}
			}
		}
		return lost
	}
	first := run()
	if len(first) == 0 || len(first) == 12 {
		t.Fatalf("lost %v of 12", first)
	}
	if second := run(); !slices.Equal(first, second) {
		t.Errorf("lost %v, then %v", first, second)
	}
}
