package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

func hostsFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// zone is a name server on loopback, over UDP and TCP. It answers by name and type as the test says.
type zone struct {
	at      string
	mu      sync.Mutex
	records map[string][]string // "name TYPE" -> records; a name without any does not exist
	respond func(q dns.Question, m *dns.Msg, tcp bool) (silent bool)
	asked   atomic.Int32
}

func nameServer(t testing.TB, records map[string][]string) *zone {
	t.Helper()
	z := &zone{records: records}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z.at = pc.LocalAddr().String()
	l, err := net.Listen("tcp", z.at)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc}, {Listener: l}} {
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			z.asked.Add(1)
			_, tcp := w.RemoteAddr().(*net.TCPAddr)
			m := new(dns.Msg)
			m.SetReply(q)
			if z.answer(q.Question[0], m, tcp) {
				return
			}
			_ = w.WriteMsg(m)
		})
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return z
}

func (z *zone) answer(q dns.Question, m *dns.Msg, tcp bool) (silent bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.respond != nil && z.respond(q, m, tcp) {
		return true
	}
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) > 0 {
		return false
	}
	name := strings.TrimSuffix(strings.ToLower(q.Name), ".")
	exists := false
	for k, list := range z.records {
		n, kind, _ := strings.Cut(k, " ")
		if n != name {
			continue
		}
		exists = true
		if kind == dns.TypeToString[q.Qtype] || kind == "CNAME" {
			for _, r := range list {
				rr, err := dns.NewRR(r)
				if err != nil {
					panic(err)
				}
				m.Answer = append(m.Answer, rr)
			}
		}
	}
	if !exists {
		m.Rcode = dns.RcodeNameError
	}
	if len(m.Answer) == 0 {
		soa, _ := dns.NewRR("example. 300 IN SOA ns.example. x.example. 1 2 3 4 20")
		m.Ns = append(m.Ns, soa)
	}
	return false
}

// set changes what the server says from now on.
func (z *zone) set(f func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f()
}

type hands struct {
	mu  sync.Mutex
	now time.Time
}

func (h *hands) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hands) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func resolver(z *zone, change ...func(*ResolverOptions)) *Resolver {
	o := ResolverOptions{Servers: []string{z.at}, HostsFile: "none", ResolvConf: "none", Timeout: 2 * time.Second}
	for _, f := range change {
		f(&o)
	}
	return NewResolver(o)
}

func find(t testing.TB, r *Resolver, host string) Place {
	t.Helper()
	x, err := assure.ParseTarget(host)
	if err != nil {
		t.Fatal(err)
	}
	return r.Find(t.Context(), x)
}

func told(p Place) string {
	return strings.TrimSpace(fmt.Sprintf("%s %v %v", p.DNS.Failure, p.Addrs, p.DNS.CNAMEs))
}

func TestResolve(t *testing.T) {
	z := nameServer(t, map[string][]string{
		"two.example A":     {"two.example. 60 IN A 192.0.2.9", "two.example. 60 IN A 192.0.2.1", "two.example. 60 IN A 192.0.2.9"},
		"two.example AAAA":  {"two.example. 60 IN AAAA 2001:db8::1"},
		"six.example AAAA":  {"six.example. 60 IN AAAA 2001:db8::6"},
		"empty.example TXT": {"empty.example. 60 IN TXT x"},
		"alias.example CNAME": {
			"alias.example. 60 IN CNAME Mid.example.", "mid.example. 60 IN CNAME two.example.", "two.example. 60 IN A 192.0.2.1",
		},
		"left.example CNAME":      {"left.example. 60 IN CNAME six.example."}, // its target is left to us
		"dangling.example CNAME":  {"dangling.example. 60 IN CNAME gone.example."},
		"ring.example CNAME":      {"ring.example. 60 IN CNAME gnir.example."},
		"gnir.example CNAME":      {"gnir.example. 60 IN CNAME ring.example."},
		"self.example CNAME":      {"self.example. 60 IN CNAME self.example."},
		"xn--bcher-kva.example A": {"xn--bcher-kva.example. 60 IN A 192.0.2.7"},
		"_under.example A":        {"_under.example. 60 IN A 192.0.2.8"},
		"short.corp.example A":    {"short.corp.example. 60 IN A 192.0.2.10"},
		"mapped.example AAAA":     {"mapped.example. 60 IN AAAA ::ffff:192.0.2.3"},
		"other.example A":         {"unrelated.example. 60 IN A 192.0.2.66"},
		"long.example CNAME":      chainOfAliases(20),
	})
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("search corp.example lab.example\nnameserver 192.0.2.53\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := resolver(z, func(o *ResolverOptions) { o.ResolvConf = conf })
	for host, want := range map[string]string{
		"two.example":      "[192.0.2.1 192.0.2.9 2001:db8::1] []",
		"TWO.example.":     "[192.0.2.1 192.0.2.9 2001:db8::1] []",
		"six.example":      "[2001:db8::6] []",
		"empty.example":    "no_address [] []",
		"none.example":     "nxdomain [] []",
		"alias.example":    "[192.0.2.1 2001:db8::1] [mid.example two.example]",
		"left.example":     "[2001:db8::6] [six.example]",
		"dangling.example": "nxdomain [] [gone.example]",
		"ring.example":     "invalid [] [gnir.example]",
		"self.example":     "invalid [] []",
		"bücher.example":   "[192.0.2.7] []",
		"_under.example":   "[192.0.2.8] []",
		"short":            "[192.0.2.10] []",
		"longer":           "nxdomain [] []",
		"mapped.example":   "[192.0.2.3] []",
		"other.example":    "no_address [] []",
		"192.0.2.99":       "[192.0.2.99] []",
		"x.example@::1":    "[::1] []",
		"localhost":        "[127.0.0.1 ::1] []",
		"a.localhost":      "[127.0.0.1 ::1] []",
	} {
		for range 2 {
			if got := told(find(t, r, host)); got != want {
				t.Errorf("%s: got %q, want %q", host, got, want)
			}
		}
	}
	if p := find(t, r, "long.example"); p.DNS.Failure != assure.DNSInvalid || len(p.DNS.CNAMEs) > maxAliases {
		t.Errorf("20 aliases: got %+v", p)
	}
	if p := find(t, r, "ab\u200dc.example"); p.DNS.Failure != assure.DNSInvalid {
		t.Errorf("a name that IDNA forbids: got %+v", p)
	}
	if p := find(t, r, "bücher.example"); p.Host != "xn--bcher-kva.example" {
		t.Errorf("the name for TLS is %q", p.Host)
	}
}

func chainOfAliases(n int) (out []string) {
	name := "long.example."
	for i := range n {
		next := fmt.Sprintf("a%d.example.", i)
		out = append(out, name+" 60 IN CNAME "+next)
		name = next
	}
	return out
}

func TestFailuresAreToldApart(t *testing.T) {
	z := nameServer(t, map[string][]string{"ok.example A": {"ok.example. 60 IN A 192.0.2.1"}, "ok.example TXT": {"ok.example. 60 IN TXT x"}})
	fails := func(qtype uint16, rcode int, silent bool) func() {
		return func() {
			z.respond = func(q dns.Question, m *dns.Msg, _ bool) bool {
				if qtype != 0 && q.Qtype != qtype {
					return false
				}
				m.Rcode = rcode
				return silent
			}
		}
	}
	for name, c := range map[string]struct {
		set  func()
		host string
		want string
	}{
		"servfail":                        {fails(0, dns.RcodeServerFailure, false), "ok.example", "servfail [] []"},
		"refused":                         {fails(0, dns.RcodeRefused, false), "ok.example", "servfail [] []"},
		"not implemented":                 {fails(0, dns.RcodeNotImplemented, false), "ok.example", "servfail [] []"},
		"silence":                         {fails(0, 0, true), "ok.example", "timeout [] []"},
		"no AAAA answer, but an address":  {fails(dns.TypeAAAA, dns.RcodeServerFailure, false), "ok.example", "[192.0.2.1] []"},
		"silent AAAA, but an address":     {fails(dns.TypeAAAA, 0, true), "ok.example", "[192.0.2.1] []"},
		"no A answer and no AAAA address": {fails(dns.TypeA, dns.RcodeServerFailure, false), "ok.example", "servfail [] []"},
		"silent A and no AAAA address":    {fails(dns.TypeA, 0, true), "ok.example", "timeout [] []"},
		"silent A and no such name":       {fails(dns.TypeA, 0, true), "gone.example", "nxdomain [] []"},
		"another question": {func() {
			z.respond = func(_ dns.Question, m *dns.Msg, _ bool) bool {
				m.Question[0].Name = "evil.example."
				return false
			}
		}, "ok.example", "invalid [] []"},
	} {
		t.Run(name, func(t *testing.T) {
			z.set(c.set)
			p := find(t, resolver(z, func(o *ResolverOptions) { o.Timeout = time.Second }), c.host)
			if told(p) != c.want {
				t.Errorf("got %q, want %q", told(p), c.want)
			}
			if p.DNS.Failure != "" && p.DNS.Detail == "" {
				t.Error("the failure has no words")
			}
		})
	}
}

func TestServersAreTriedInTurn(t *testing.T) {
	good := nameServer(t, map[string][]string{"x.example A": {"x.example. 60 IN A 192.0.2.1"}})
	bad := nameServer(t, nil)
	bad.set(func() {
		bad.respond = func(_ dns.Question, m *dns.Msg, _ bool) bool { m.Rcode = dns.RcodeServerFailure; return false }
	})
	r := resolver(good, func(o *ResolverOptions) { o.Servers = []string{"127.0.0.1:1", bad.at, good.at} })
	if p := find(t, r, "x.example"); told(p) != "[192.0.2.1] []" {
		t.Errorf("got %+v", p)
	}
	if bad.asked.Load() == 0 {
		t.Error("the second server was passed over")
	}
}

func TestTruncatedAnswerIsAskedForOverTCP(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("many.example. 60 IN A 192.0.2.%d", i+1))
	}
	z := nameServer(t, map[string][]string{"many.example A": many, "many.example AAAA": {"many.example. 60 IN AAAA 2001:db8::1"}})
	z.set(func() {
		z.respond = func(q dns.Question, m *dns.Msg, tcp bool) bool {
			if !tcp && q.Qtype == dns.TypeA {
				m.Truncated = true
				a, _ := dns.NewRR("many.example. 60 IN A 192.0.2.200")
				m.Answer = append(m.Answer, a)
			}
			return false
		}
	})
	p := find(t, resolver(z), "many.example")
	if len(p.Addrs) != 32 || p.Addrs[0] != netip.MustParseAddr("192.0.2.1") || !p.Addrs[31].Is6() || !strings.Contains(p.DNS.Detail, "101 addresses") {
		t.Errorf("got %d addresses, %+v", len(p.Addrs), p)
	}
}

func TestServerWithoutEDNS(t *testing.T) {
	z := nameServer(t, map[string][]string{"x.example A": {"x.example. 60 IN A 192.0.2.1"}})
	var plain atomic.Bool
	z.set(func() {
		z.respond = func(_ dns.Question, m *dns.Msg, _ bool) bool {
			if !plain.Swap(true) {
				m.Rcode = dns.RcodeFormatError
			}
			return false
		}
	})
	if p := find(t, resolver(z), "x.example"); told(p) != "[192.0.2.1] []" {
		t.Errorf("got %+v", p)
	}
}

func TestAnswersLiveForTheirTTL(t *testing.T) {
	z := nameServer(t, map[string][]string{
		"minute.example A": {"minute.example. 60 IN A 192.0.2.1"}, "zero.example A": {"zero.example. 0 IN A 192.0.2.1"}, "week.example A": {"week.example. 604800 IN A 192.0.2.1"},
	})
	for host, life := range map[string]time.Duration{"minute.example": time.Minute, "zero.example": minTTL, "week.example": maxTTL, "gone.example": 20 * time.Second} {
		h := &hands{now: noon}
		r := resolver(z, func(o *ResolverOptions) { o.Now = h.Now })
		asks := func() int32 {
			before := z.asked.Load()
			find(t, r, host)
			return z.asked.Load() - before
		}
		first := asks()
		h.advance(life - time.Second)
		second := asks()
		h.advance(2 * time.Second)
		third := asks()
		if first != 2 || second != 0 || third != 2 {
			t.Errorf("%s: %d queries, then %d within %s, then %d after it", host, first, second, life, third)
		}
	}
}

func TestLastAnswerStandsInForAFamily(t *testing.T) {
	z := nameServer(t, map[string][]string{"x.example A": {"x.example. 60 IN A 192.0.2.1"}, "x.example AAAA": {"x.example. 60 IN AAAA 2001:db8::1"}})
	h := &hands{now: noon}
	r := resolver(z, func(o *ResolverOptions) { o.Now = h.Now })
	want := told(find(t, r, "x.example"))
	z.set(func() {
		z.respond = func(q dns.Question, m *dns.Msg, _ bool) bool {
			if q.Qtype == dns.TypeAAAA {
				m.Rcode = dns.RcodeServerFailure
			}
			return false
		}
	})
	h.advance(2 * time.Minute)
	p := find(t, r, "x.example")
	if told(p) != want || !strings.Contains(p.DNS.Detail, "IPv6") {
		t.Errorf("got %+v, want %q", p, want)
	}
	// It stands in for a while, however often it is asked for, and then no longer.
	for range 11 {
		h.advance(10 * time.Minute)
		if p := find(t, r, "x.example"); told(p) != want {
			t.Fatalf("got %+v, want %q", p, want)
		}
	}
	h.advance(10 * time.Minute)
	if p := find(t, r, "x.example"); told(p) != "[192.0.2.1] []" {
		t.Errorf("two hours later: got %+v", p)
	}
}

func TestOneQueryForMany(t *testing.T) {
	z := nameServer(t, map[string][]string{"x.example A": {"x.example. 60 IN A 192.0.2.1"}})
	hold := make(chan struct{})
	z.set(func() {
		z.respond = func(dns.Question, *dns.Msg, bool) bool { <-hold; return false }
	})
	r := resolver(z)
	x, _ := assure.ParseTarget("x.example")
	impatient, cancel := context.WithCancel(t.Context())
	gone := make(chan Place)
	go func() { gone <- r.Find(impatient, x) }()
	var wg sync.WaitGroup
	var good atomic.Int32
	for range 20 {
		wg.Go(func() {
			if len(r.Find(context.Background(), x).Addrs) == 1 {
				good.Add(1)
			}
		})
	}
	cancel()
	if p := <-gone; p.DNS.Failure != assure.DNSTimeout {
		t.Errorf("the one that gave up got %+v", p)
	}
	close(hold)
	wg.Wait()
	if good.Load() != 20 || z.asked.Load() > 4 {
		t.Errorf("%d of 20 got the answer, with %d queries", good.Load(), z.asked.Load())
	}
}

func TestHostsFileIsReadAgain(t *testing.T) {
	z := nameServer(t, map[string][]string{"a.example A": {"a.example. 60 IN A 192.0.2.1"}})
	path := hostsFile(t, "# nothing yet\n")
	r := resolver(z, func(o *ResolverOptions) { o.HostsFile = path })
	if p := find(t, r, "a.example"); told(p) != "[192.0.2.1] []" || p.DNS.Source != "dns" {
		t.Errorf("got %+v", p)
	}
	if err := os.WriteFile(path, []byte("192.0.2.50\ta.example  b.example\r\nnot-an-address c.example\nfe80::1%eth0 d.example\n::1 a.example # x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p := find(t, r, "A.EXAMPLE"); told(p) != "[192.0.2.50 ::1] []" || p.DNS.Source != "hosts" {
		t.Errorf("after a change: got %+v", p)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if p := find(t, r, "b.example"); told(p) != "[192.0.2.50] []" {
		t.Errorf("while the file is being replaced: got %+v", p)
	}
}

func TestCacheIsBounded(t *testing.T) {
	r := NewResolver(ResolverOptions{HostsFile: "none", ResolvConf: "none"})
	for i := range maxNames + 5000 {
		r.keep(fmt.Sprint(i), &answer{expires: noon}, noon)
	}
	if len(r.cache) > maxNames {
		t.Errorf("%d names are kept", len(r.cache))
	}
}

func TestLookup(t *testing.T) {
	z := nameServer(t, map[string][]string{"x.example A": {"x.example. 60 IN A 192.0.2.1"}})
	r := resolver(z)
	if a, err := r.Lookup(t.Context(), "X.example."); err != nil || len(a) != 1 {
		t.Errorf("got %v, %v", a, err)
	}
	if _, err := r.Lookup(t.Context(), "gone.example"); err == nil || !strings.Contains(err.Error(), "nxdomain") {
		t.Errorf("got %v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	seed := func(rrs ...string) {
		m := new(dns.Msg)
		m.SetQuestion("x.example.", dns.TypeA)
		for _, s := range rrs {
			rr, err := dns.NewRR(s)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed()
	seed("x.example. 60 IN A 192.0.2.1")
	seed("x.example. 60 IN CNAME y.example.", "y.example. 60 IN CNAME x.example.")
	seed(chainOfAliases(20)...)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		seen := map[string]bool{"x.example.": true}
		s := readAnswer(m, "x.example.", dns.TypeA, seen)
		if len(s.addrs) > maxAnswer || len(seen) > maxAliases+1 || len(s.aliases) > maxAliases || s.ttl > maxTTL || s.ttl < 0 {
			t.Errorf("out of bounds: %+v", s)
		}
		if len(s.addrs) == 0 && s.next == "" && s.failure == assure.DNSOK {
			t.Errorf("nothing was found, and it is no failure: %+v", s)
		}
		a, ttl := merge(s.family, family{failure: assure.DNSNoAddress}, nil, noon)
		if ttl < 0 || len(a.addrs) == 0 && a.dns.Failure == assure.DNSOK {
			t.Errorf("merged to %+v", a)
		}
	})
}

func FuzzConfFiles(f *testing.F) {
	f.Add([]byte("127.0.0.1 localhost\n::1 ip6-localhost # x\n"))
	f.Add([]byte("0.0.0.0 .\n192.0.2.1 . a.example.\n"))
	f.Add([]byte("nameserver ::1\nsearch a.example b.example\noptions timeout:3 ndots:5\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, list := range parseHosts(b) {
			if name == "" || len(list) == 0 || len(list) > maxAnswer {
				t.Errorf("%q: %v", name, list)
			}
		}
		if c := parseResolvConf(b); len(c.servers) > 8 || len(c.search) > 16 || c.timeout < 0 {
			t.Errorf("%+v", c)
		}
	})
}
