package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// Bounds of asking.
const (
	maxAliases  = 16   // CNAME records followed from one name
	maxQueries  = 8    // queries for one name and family, when servers leave it to us to follow aliases
	udpSize     = 1232 // what EDNS advertises (DNS flag day 2020): fits into any path without fragments
	askRounds   = 2    // times that each server is tried
	askTimeout  = 2 * time.Second
	leastMoment = 250 * time.Millisecond
)

// family is what was answered for one type of record.
type family struct {
	addrs   []netip.Addr
	aliases []string // in order, without the name asked for
	ttl     time.Duration
	failure assure.DNSFailure // DNSNoAddress and DNSNXDomain are answers too
	detail  string
}

// answered reports whether a server said what there is, rather than that it could not.
func (f family) answered() bool {
	return f.failure == assure.DNSOK || f.failure == assure.DNSNoAddress || f.failure == assure.DNSNXDomain
}

// ask resolves a name through DNS. old is the cache's last answer about it, nil for none.
func (r *Resolver) ask(ctx context.Context, name string, old *answer) (*answer, time.Duration) {
	conf, err := r.conf.get()
	servers := r.o.Servers
	if len(servers) == 0 {
		servers = conf.servers
	}
	if len(servers) == 0 {
		servers = []string{"127.0.0.1:53", "[::1]:53"} // as the C library does without a configuration
	}
	per := min(cmp.Or(conf.timeout, askTimeout), r.o.Timeout/time.Duration(askRounds*len(servers)))
	q := asker{servers: servers, per: max(per, leastMoment)}
	names := []string{name}
	if !strings.Contains(name, ".") {
		names = nil
		for _, s := range conf.search {
			if full := name + "." + s; len(full) <= 253 {
				names = append(names, full)
			}
		}
		names = append(names, name)
	}
	// As the C library does: the first name with an address counts. Without one, a failure to answer outweighs an absence.
	var best *answer
	var ttl time.Duration
	for _, n := range names {
		a, life := q.both(ctx, n, old, r.o.Now())
		if n != name && len(a.addrs) > 0 {
			a.dns.Detail = strings.TrimSpace(a.dns.Detail + " Found as " + n + ".")
		}
		if best == nil || len(a.addrs) > 0 || rank(a.dns.Failure) > rank(best.dns.Failure) {
			best, ttl = a, life
		}
		if len(a.addrs) > 0 {
			break
		}
	}
	if err != nil && len(r.o.Servers) == 0 && len(best.addrs) == 0 {
		best.dns.Detail = clipDetail(best.dns.Detail + " (" + err.Error() + ")")
	}
	return best, ttl
}

func rank(f assure.DNSFailure) int {
	return slices.Index([]assure.DNSFailure{assure.DNSNXDomain, assure.DNSNoAddress, assure.DNSInvalid, assure.DNSTimeout, assure.DNSServfail}, f)
}

// asker asks a fixed list of servers.
type asker struct {
	servers []string
	per     time.Duration // one attempt
}

// both asks for A and AAAA in parallel and puts the answers together.
func (q asker) both(ctx context.Context, name string, old *answer, now time.Time) (*answer, time.Duration) {
	six := make(chan family, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				six <- family{failure: assure.DNSInvalid, detail: fmt.Sprintf("reading the answer panicked: %v", p), ttl: failureTTL}
			}
		}()
		six <- q.family(ctx, name, dns.TypeAAAA)
	}()
	v4 := q.family(ctx, name, dns.TypeA)
	return merge(v4, <-six, old, now)
}

// merge makes one answer of the two families' answers.
func merge(v4, v6 family, old *answer, now time.Time) (*answer, time.Duration) {
	var notes []string
	known := now
	if old != nil && now.Before(old.known.Add(staleFor)) {
		four, six := byFamily(old.addrs)
		if standIn(&v4, v6, four, "IPv4", &notes) || standIn(&v6, v4, six, "IPv6", &notes) {
			known = old.known
		}
	}
	a := &answer{addrs: sortAddrs(slices.Concat(v4.addrs, v6.addrs)), known: known}
	a.dns.Source = "dns"
	a.dns.CNAMEs = v4.aliases
	if len(v4.aliases) == 0 || len(v4.addrs) == 0 && len(v6.addrs) > 0 {
		a.dns.CNAMEs = v6.aliases
	}
	if len(a.addrs) > 0 {
		for _, f := range []struct {
			family
			kind string
		}{{v4, "IPv4"}, {v6, "IPv6"}} {
			if !f.answered() {
				notes = append(notes, fmt.Sprintf("No answer about %s addresses (%s: %s).", f.kind, f.failure, f.detail))
			}
		}
		a.dns.Detail = clipDetail(strings.Join(notes, " "))
		ttl := maxTTL
		for _, f := range []family{v4, v6} {
			if len(f.addrs) > 0 || !f.answered() {
				ttl = min(ttl, f.ttl)
			}
		}
		return a, ttl
	}
	worst := v4
	switch {
	case v4.failure == assure.DNSNXDomain && v6.failure == assure.DNSNoAddress:
		worst = v6 // there are records of some kind, so the name exists
	case v4.failure == assure.DNSNoAddress && v6.failure == assure.DNSNXDomain:
	case v6.failure == assure.DNSNXDomain && !v4.answered():
		worst = v6 // that a name does not exist holds for every type
	case v4.failure == assure.DNSNXDomain:
	case rank(v6.failure) > rank(v4.failure):
		worst = v6
	}
	a.dns.Failure, a.dns.Detail = worst.failure, clipDetail(worst.detail)
	return a, worst.ttl
}

// standIn lets a family's last answer stand in for one that did not come, when the other family's did.
func standIn(f *family, other family, last []netip.Addr, kind string, notes *[]string) bool {
	if f.answered() || len(other.addrs) == 0 || !other.answered() || len(last) == 0 {
		return false
	}
	*notes = append(*notes, fmt.Sprintf("No answer about %s addresses (%s); the last ones known are used.", kind, f.failure))
	*f = family{addrs: last, ttl: failureTTL}
	return true
}

// family asks for one type of record and follows aliases.
func (q asker) family(ctx context.Context, name string, qtype uint16) family {
	out := family{ttl: maxTTL}
	at := dns.Fqdn(name)
	seen := map[string]bool{at: true}
	for range maxQueries {
		m, f, detail := q.exchange(ctx, at, qtype)
		if f != assure.DNSOK {
			out.failure, out.detail, out.ttl = f, detail, failureTTL
			return out
		}
		step := readAnswer(m, at, qtype, seen)
		out.ttl = min(out.ttl, step.ttl)
		out.aliases = append(out.aliases, step.aliases...)
		out.addrs, out.failure, out.detail = step.addrs, step.failure, step.detail
		if step.next == "" {
			out.ttl = max(out.ttl, minTTL)
			return out
		}
		at = step.next
	}
	out.failure, out.detail, out.ttl = assure.DNSInvalid, fmt.Sprintf("more than %d queries are needed to follow the aliases", maxQueries), failureTTL
	return out
}

// step is what one message says; next is the name to ask for next, empty when that was all.
type step struct {
	family
	next string
}

// readAnswer reads a message that answers a question for name. seen holds the names that were passed already; those
// passed here are added.
func readAnswer(m *dns.Msg, name string, qtype uint16, seen map[string]bool) step {
	s := step{family: family{ttl: maxTTL}}
	life := func(seconds uint32) { s.ttl = min(s.ttl, time.Duration(seconds)*time.Second) }
	at := name
	for {
		var target string
		for _, rr := range m.Answer {
			if rr == nil || !strings.EqualFold(rr.Header().Name, at) || rr.Header().Class != dns.ClassINET {
				continue
			}
			switch rr := rr.(type) {
			case *dns.A:
				s.add(rr.A, qtype == dns.TypeA)
				life(rr.Hdr.Ttl)
			case *dns.AAAA:
				s.add(rr.AAAA, qtype == dns.TypeAAAA)
				life(rr.Hdr.Ttl)
			case *dns.CNAME:
				target = strings.ToLower(dns.Fqdn(rr.Target))
				life(rr.Hdr.Ttl)
			}
		}
		if len(s.addrs) > 0 || target == "" {
			break
		}
		if seen[target] || len(seen) > maxAliases {
			s.failure, s.ttl = assure.DNSInvalid, failureTTL
			s.detail = fmt.Sprintf("the aliases go in a circle at %s", target)
			if !seen[target] {
				s.detail = fmt.Sprintf("more than %d aliases lead on from the name", maxAliases)
			}
			return s
		}
		seen[target] = true
		s.aliases = append(s.aliases, strings.TrimSuffix(target, "."))
		at = target
	}
	switch {
	case len(s.addrs) > 0:
		return s
	case m.Rcode == dns.RcodeNameError:
		s.failure, s.detail = assure.DNSNXDomain, fmt.Sprintf("%s does not exist", strings.TrimSuffix(at, "."))
	case at != name && soaOf(m) == nil:
		s.next = at // the server left following the alias to us
		return s
	default:
		s.failure, s.detail = assure.DNSNoAddress, fmt.Sprintf("%s has no %s record", strings.TrimSuffix(at, "."), dns.TypeToString[qtype])
	}
	// RFC 2308 section 5: the smaller of the SOA record's own TTL and its minimum field.
	negative := minTTL
	if soa := soaOf(m); soa != nil {
		negative = min(time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second, maxNegative)
	}
	s.ttl = min(s.ttl, negative)
	return s
}

func (s *step) add(ip net.IP, wanted bool) {
	a, ok := netip.AddrFromSlice(ip)
	if ok && wanted && len(s.addrs) < maxAnswer {
		s.addrs = append(s.addrs, a.Unmap())
	}
}

func soaOf(m *dns.Msg) *dns.SOA {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa
		}
	}
	return nil
}

// exchange asks the servers in turn until one answers. A server that says it cannot is asked once; one that says
// nothing gets another chance after the others.
func (q asker) exchange(ctx context.Context, name string, qtype uint16) (*dns.Msg, assure.DNSFailure, string) {
	failure, detail := assure.DNSOK, ""
	silent := slices.Clone(q.servers)
	for range askRounds {
		var again []string
		for _, server := range silent {
			if ctx.Err() != nil {
				break
			}
			m, f, d := q.one(ctx, server, name, qtype)
			if f == assure.DNSOK {
				return m, f, ""
			}
			if f == assure.DNSTimeout {
				again = append(again, server)
			}
			if rank(f) >= rank(failure) { // of equals the last, which had the most time
				failure, detail = f, d
			}
		}
		silent = again
	}
	if failure == assure.DNSOK {
		return nil, assure.DNSTimeout, "no time was left to ask"
	}
	return nil, failure, detail
}

// one asks one server: over UDP, then over TCP if the answer was cut off, and without EDNS if the server does not
// understand it.
func (q asker) one(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, assure.DNSFailure, string) {
	ctx, cancel := context.WithTimeout(ctx, q.per)
	defer cancel()
	network, edns := "udp", true
	for range 3 {
		question := new(dns.Msg)
		question.SetQuestion(name, qtype)
		if edns {
			question.SetEdns0(udpSize, false)
		}
		c := dns.Client{Net: network, UDPSize: udpSize, Timeout: q.per}
		m, _, err := c.ExchangeContext(ctx, question, server)
		switch {
		case err != nil:
			return nil, dnsFailure(err), fmt.Sprintf("name server %s: %s", server, plainDNSError(err))
		case m.Truncated && network == "udp":
			network = "tcp"
			continue
		case edns && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented):
			edns = false
			continue
		case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
			return nil, assure.DNSServfail, fmt.Sprintf("name server %s answered %s", server, cmp.Or(dns.RcodeToString[m.Rcode], fmt.Sprint(m.Rcode)))
		case !m.Response || m.Truncated || len(m.Question) != 1 || m.Question[0].Qtype != qtype || !strings.EqualFold(m.Question[0].Name, name):
			return nil, assure.DNSInvalid, fmt.Sprintf("name server %s answered another question", server)
		case isReferral(m):
			return nil, assure.DNSServfail, fmt.Sprintf("name server %s knows nothing of it and refers to other servers", server)
		}
		return m, assure.DNSOK, ""
	}
	return nil, assure.DNSInvalid, fmt.Sprintf("name server %s gave no usable answer", server)
}

// isReferral reports whether an answer without records sends us elsewhere rather than saying that there are none: it
// names servers and has no SOA record (RFC 2308 section 2.2). A resolver that recurses never answers so; a lame server does.
func isReferral(m *dns.Msg) bool {
	if m.Rcode != dns.RcodeSuccess || m.Authoritative || len(m.Answer) > 0 || soaOf(m) != nil {
		return false
	}
	return slices.ContainsFunc(m.Ns, func(rr dns.RR) bool { _, ok := rr.(*dns.NS); return ok })
}

// dnsFailure tells a server that does not answer from one whose answer cannot be read.
func dnsFailure(err error) assure.DNSFailure {
	var op *net.OpError
	var errno syscall.Errno
	if isTimeout(err) || errors.As(err, &op) || errors.As(err, &errno) || errors.Is(err, net.ErrClosed) {
		return assure.DNSTimeout
	}
	if f, _, ok := wireFailure(err); ok && f == assure.Reset {
		return assure.DNSTimeout
	}
	return assure.DNSInvalid
}

func plainDNSError(err error) string {
	if isTimeout(err) {
		return "no answer in time"
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
