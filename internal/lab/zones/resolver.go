package zones

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Bounds of resolving.
const (
	maxSteps = 32 // referrals and aliases followed for one question
	maxDepth = 6  // name servers whose own addresses must be found first
	maxCache = 20000
)

// resolver follows the tree from its root, as a public resolver does, and remembers what it saw.
type resolver struct {
	l    *Lab
	addr string

	mu    sync.Mutex
	cache map[question]cached
	cuts  map[string]cutAt       // where zones begin, and who serves them
	slow  map[netip.AddrPort]int // how often an address did not answer
	turn  int
	bogus map[string]bool
}

// cached is a record set, an alias, or that there is neither.
type cached struct {
	rrs   []dns.RR
	rcode int
	soa   []dns.RR
	until time.Time
}

type cutAt struct {
	servers []netip.AddrPort
	until   time.Time
}

func newResolver(l *Lab, addr string) *resolver {
	r := &resolver{l: l, addr: addr, bogus: map[string]bool{}, slow: map[netip.AddrPort]int{}}
	r.flush()
	return r
}

func (r *resolver) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cache, r.cuts = map[question]cached{}, map[string]cutAt{}
}

// Flush makes the resolver forget everything that it remembers.
func (l *Lab) Flush() { l.resolver.flush() }

// Bogus makes the resolver treat a zone as one whose DNSSEC signatures are wrong: SERVFAIL with the extended error
// "DNSSEC Bogus" (RFC 8914 §4.7) for every name in it, unless the question says that checking is disabled.
func (l *Lab) Bogus(zone string, bogus bool) {
	l.resolver.mu.Lock()
	defer l.resolver.mu.Unlock()
	l.resolver.bogus[fq(zone)] = bogus
}

func (r *resolver) handle(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	m.CheckingDisabled = q.CheckingDisabled
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		_ = w.WriteMsg(m.SetRcode(q, dns.RcodeNotImplemented))
		return
	}
	opt := q.IsEdns0()
	if opt != nil {
		m.SetEdns0(1232, opt.Do())
	}
	name, kind := fq(q.Question[0].Name), q.Question[0].Qtype
	passed := []string{name}
	for range maxSteps {
		got, err := r.lookup(name, kind, 0)
		if err != nil {
			m.Rcode, m.Answer = dns.RcodeServerFailure, nil
			break
		}
		m.Answer = append(m.Answer, got.rrs...)
		m.Rcode, m.Ns = got.rcode, got.soa
		if len(got.rrs) == 0 || kind == dns.TypeCNAME {
			break
		}
		alias, ok := got.rrs[0].(*dns.CNAME)
		if !ok {
			break
		}
		name = fq(alias.Target)
		if slices.Contains(passed, name) {
			m.Rcode, m.Answer = dns.RcodeServerFailure, nil
			break
		}
		passed = append(passed, name)
	}
	if !q.CheckingDisabled && slices.ContainsFunc(passed, r.isBogus) {
		m.Rcode, m.Answer, m.Ns = dns.RcodeServerFailure, nil, nil
		if o := m.IsEdns0(); o != nil {
			o.Option = append(o.Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus})
		}
	}
	if isUDP(w) {
		size := dns.MinMsgSize
		if opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m) // a client that has gone away is no news
}

func (r *resolver) isBogus(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ; ; name = above(name) {
		if r.bogus[name] {
			return true
		}
		if name == "." {
			return false
		}
	}
}

// lookup finds the record set of a name, the alias that stands there instead, or that there is neither.
func (r *resolver) lookup(name string, kind uint16, depth int) (cached, error) {
	if depth > maxDepth {
		return cached{}, errors.New("too many name servers of name servers")
	}
	now := r.l.o.Now()
	r.mu.Lock()
	for _, q := range []question{{name, kind}, {name, dns.TypeCNAME}, {name, dns.TypeNone}} {
		if c, ok := r.cache[q]; ok && now.Before(c.until) && (q.kind != dns.TypeCNAME || kind == dns.TypeCNAME || len(c.rrs) > 0) {
			r.mu.Unlock()
			return c.aged(now), nil
		}
	}
	r.mu.Unlock()
	zone, servers := r.closest(name, kind)
	for range maxSteps {
		m, err := r.ask(servers, name, kind)
		if err != nil {
			return cached{}, err
		}
		if rrs := pick(m.Answer, name, kind); len(rrs) > 0 || m.Authoritative {
			return r.keep(name, kind, rrs, m, now), nil
		}
		next := ""
		var hosts []string
		for _, rr := range m.Ns {
			if ns, ok := rr.(*dns.NS); ok {
				next = fq(ns.Hdr.Name)
				hosts = append(hosts, fq(ns.Ns))
			}
		}
		if next == "" || next == zone || !dns.IsSubDomain(zone, next) || !dns.IsSubDomain(next, name) {
			return cached{}, errors.New("lame")
		}
		if servers = r.addresses(hosts, m, next, depth); len(servers) == 0 {
			return cached{}, errors.New("no address of " + strings.Join(hosts, " "))
		}
		r.mu.Lock()
		r.cuts[next] = cutAt{servers, now.Add(ttl(m.Ns))}
		r.mu.Unlock()
		zone = next
	}
	return cached{}, errors.New("too many referrals")
}

// closest is the deepest known zone that holds a name, with its servers.
func (r *resolver) closest(name string, kind uint16) (string, []netip.AddrPort) {
	if kind == dns.TypeDS && name != "." {
		name = above(name)
	}
	now := r.l.o.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for ; name != "."; name = above(name) {
		if c, ok := r.cuts[name]; ok && now.Before(c.until) {
			return name, c.servers
		}
	}
	return ".", []netip.AddrPort{netip.AddrPortFrom(r.l.servers[0].ip, uint16(r.l.port))}
}

// addresses are those of name servers, from glue or else by asking.
func (r *resolver) addresses(hosts []string, m *dns.Msg, zone string, depth int) []netip.AddrPort {
	var out []netip.AddrPort
	take := func(rrs []dns.RR, host string) {
		for _, rr := range rrs {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if a, ok := netip.AddrFromSlice(ip); ok && fq(rr.Header().Name) == host {
				out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(r.l.port)))
			}
		}
	}
	for _, host := range hosts {
		before := len(out)
		take(m.Extra, host)
		if len(out) > before || dns.IsSubDomain(zone, host) {
			continue // without glue, a host below the zone that is looked for cannot be found
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if c, err := r.lookup(host, kind, depth+1); err == nil {
				take(c.rrs, host)
			}
		}
	}
	return out
}

// pick takes a name's record set, or the alias in its place, out of an answer. What else is there is asked for again
// where it belongs.
func pick(rrs []dns.RR, name string, kind uint16) []dns.RR {
	var set, alias []dns.RR
	for _, rr := range rrs {
		switch {
		case fq(rr.Header().Name) != name:
		case rr.Header().Rrtype == kind:
			set = append(set, rr)
		case rr.Header().Rrtype == dns.TypeCNAME:
			alias = append(alias, rr)
		}
	}
	if len(set) > 0 {
		return set
	}
	return alias
}

func ttl(rrs []dns.RR) time.Duration {
	least := uint32(3600)
	for _, rr := range rrs {
		least = min(least, rr.Header().Ttl)
	}
	return time.Duration(least) * time.Second
}

func (r *resolver) keep(name string, kind uint16, rrs []dns.RR, m *dns.Msg, now time.Time) cached {
	c := cached{rrs: rrs}
	at := question{name, kind}
	if len(rrs) > 0 {
		at.kind = rrs[0].Header().Rrtype
		c.until = now.Add(ttl(rrs))
	} else {
		c.rcode = m.Rcode
		if m.Rcode == dns.RcodeNameError {
			at.kind = dns.TypeNone // holds for every type (RFC 2308 §5)
		}
		life := time.Duration(0)
		for _, rr := range m.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				c.soa = []dns.RR{soa}
				life = time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
			}
		}
		c.until = now.Add(life)
	}
	if !r.l.o.Forgetful {
		r.mu.Lock()
		if len(r.cache) >= maxCache {
			r.cache = map[question]cached{}
		}
		r.cache[at] = c
		r.mu.Unlock()
	}
	return c.aged(now)
}

// aged is the entry with the time to live that is left.
func (c cached) aged(now time.Time) cached {
	left := uint32(max(0, c.until.Sub(now)/time.Second))
	copies := func(rrs []dns.RR) []dns.RR {
		var out []dns.RR
		for _, rr := range rrs {
			n := dns.Copy(rr)
			n.Header().Ttl = left
			out = append(out, n)
		}
		return out
	}
	c.rrs, c.soa = copies(c.rrs), copies(c.soa)
	return c
}

// ask asks one server after the other, those that answered before first, until one gives a useful answer.
func (r *resolver) ask(servers []netip.AddrPort, name string, kind uint16) (*dns.Msg, error) {
	r.mu.Lock()
	order := slices.Clone(servers)
	r.turn++
	for i := range order {
		order[i] = servers[(i+r.turn)%len(servers)]
	}
	slices.SortStableFunc(order, func(a, b netip.AddrPort) int { return r.slow[a] - r.slow[b] })
	r.mu.Unlock()
	q := new(dns.Msg).SetQuestion(name, kind)
	q.RecursionDesired = false
	q.SetEdns0(1232, false)
	err := errors.New("no name server")
	for range 2 {
		for _, s := range order {
			c := dns.Client{Timeout: r.l.o.Patience, UDPSize: 1232}
			m, _, e := c.Exchange(q, s.String())
			if e == nil && m.Truncated {
				c.Net = "tcp"
				m, _, e = c.Exchange(q, s.String())
			}
			r.mu.Lock()
			if e != nil {
				r.slow[s]++
			} else {
				delete(r.slow, s)
			}
			r.mu.Unlock()
			switch {
			case e != nil:
				err = e
			case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
				err = errors.New(s.String() + " says " + dns.RcodeToString[m.Rcode])
			case !m.Authoritative && len(m.Ns) > 0 && m.Ns[0].Header().Name == ".":
				err = errors.New(s.String() + " is lame")
			default:
				return m, nil
			}
		}
	}
	return nil, err
}
