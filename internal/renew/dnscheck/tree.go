package dnscheck

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// zone is a zone and who serves it. It is not changed once it is made.
type zone struct {
	name     string
	hosts    []string // as the parent or, for the upper end of the tree, a resolver named them
	servers  []assure.NameServer
	bare     []string // hosts without an address
	resolved bool     // a resolver named the hosts, so that the parent's view is not known
}

// walk is one call's way through the tree. It remembers what it saw, so that nothing is asked twice in one call. It is
// used by one goroutine.
type walk struct {
	c      *Checker
	fresh  bool             // what other calls saw does not count
	zones  map[string]*zone // by use and name; see the constants
	absent map[string]bool  // upper ends that do not exist
}

// Uses of a remembered zone.
const (
	asTop  = "top "  // where descending to names with this upper end begins
	asZone = "zone " // the zone, as whoever delegates to it says
	asFull = "full " // the zone with every server that anybody names
)

func (c *Checker) walk(fresh bool) *walk {
	return &walk{c: c, fresh: fresh || c.o.Remember < 0, zones: map[string]*zone{}, absent: map[string]bool{}}
}

func (w *walk) known(use, name string) *zone {
	if z := w.zones[use+name]; z != nil || w.fresh {
		return z
	}
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	m, ok := w.c.known[use+name]
	if !ok || !w.c.o.Now().Before(m.until) {
		return nil
	}
	if m.absent {
		w.absent[name] = true
	}
	return m.zone
}

func (w *walk) keep(use, name string, z *zone) {
	w.zones[use+name] = z
	if w.fresh {
		return
	}
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if len(w.c.known) >= maxZones {
		clear(w.c.known)
	}
	w.c.known[use+name] = memory{z, use == asTop && w.absent[name], w.c.o.Now().Add(w.c.o.Remember)}
}

// resolve asks the recursive resolvers in turn.
func (c *Checker) resolve(ctx context.Context, name string, kind uint16) (*dns.Msg, *assure.Trouble) {
	var said []string
	for _, s := range c.resolvers() {
		m, f := c.ask(ctx, s, query{name: name, kind: kind, recursive: true})
		if f == nil {
			return m, nil
		}
		if f.kind == servfail {
			if t := c.bogus(ctx, s, name, kind, f); t != nil {
				return nil, t
			}
		}
		said = append(said, s+" "+f.says)
	}
	return nil, trouble(assure.DNSFailed, assure.TroubleTransient, bare(name),
		fmt.Sprintf("no resolver tells about %s: %s", bare(name), strings.Join(said, ", ")), "")
}

// blind is the trouble of resolvers that tell nothing even of what everybody has, so that nothing is known of the name
// that was asked about.
func (c *Checker) blind(why string) *assure.Trouble {
	remedy := "Let this machine reach a resolver that answers: dns.servers in the configuration names others."
	if len(c.o.Resolvers) == 0 {
		remedy = "Let this machine reach a resolver that answers: those of " + c.o.ResolvConf + " do not, and dns.servers in the configuration names others."
	}
	return trouble(assure.DNSFailed, assure.TroubleTransient, assure.ScopeResolvers,
		fmt.Sprintf("%s that are asked (%s) are blind: %s", assure.ScopeResolvers, strings.Join(c.resolvers(), ", "), why), remedy)
}

// bogus tells, after a SERVFAIL, a zone with wrong DNSSEC from one whose servers fail: then the same resolver answers
// when checking is disabled (RFC 4035 §3.2.2).
func (c *Checker) bogus(ctx context.Context, resolver, name string, kind uint16, f *fault) *assure.Trouble {
	if _, without := c.ask(ctx, resolver, query{name: name, kind: kind, recursive: true, unchecked: true}); without != nil {
		return nil
	}
	return trouble(assure.DelegationBroken, assure.TroubleBroken, bare(name),
		fmt.Sprintf("DNSSEC of %s is bogus: the validating resolver %s %s, and answers when checking is disabled", bare(name), resolver, f.says),
		"Compare the DS records at the parent with the zone's keys, and sign the zone again or take the DS records away.")
}

// upper is where descending to a name begins: its last two labels, which exist wherever a domain does, so that asking a
// resolver for them leaves no absence in its memory. A label such as _acme-challenge may be absent, so it is left out.
func upper(name string) string {
	idx := dns.Split(name)
	for n := 2; n > 0; n-- {
		if len(idx) >= n && name[idx[len(idx)-n]] != '_' {
			return name[idx[len(idx)-n]:]
		}
	}
	return "."
}

// top finds the zone that holds a name's upper end, by asking a resolver for SOA.
func (w *walk) top(ctx context.Context, name string) (*zone, *assure.Trouble) {
	up := upper(name)
	if z := w.known(asTop, up); z != nil {
		return z, nil
	}
	for at := up; ; at = above(at) {
		owner := "."
		if at != "." {
			m, t := w.c.resolve(ctx, at, dns.TypeSOA)
			if t != nil {
				if t.Class == assure.TroubleTransient && above(at) != "." {
					continue // its servers fail: come from further up and see which
				}
				if t.Class == assure.TroubleTransient && ctx.Err() == nil {
					return nil, w.c.blind(t.Detail) // a top-level domain that nobody tells about
				}
				return nil, t
			}
			if m.Rcode == dns.RcodeNameError && at == up {
				w.absent[up] = true
			}
			if owner = soaOwner(m, at); owner == "" {
				continue // an alias, or an answer without SOA: look further up
			}
		}
		z := w.known(asZone, owner)
		if z == nil {
			m, t := w.c.resolve(ctx, owner, dns.TypeNS)
			if t != nil && owner == "." && t.Class == assure.TroubleTransient && ctx.Err() == nil {
				return nil, w.c.blind(t.Detail)
			}
			if t != nil {
				return nil, t
			}
			hosts := nsHosts(m.Answer, owner)
			if len(hosts) == 0 && owner == "." {
				return nil, w.c.blind("they name no servers of the root, below which all names are")
			}
			if len(hosts) == 0 {
				return nil, trouble(assure.DelegationBroken, assure.TroubleBroken, bare(owner), "the zone "+bare(owner)+" has no name servers", "")
			}
			if z, t = w.zone(ctx, owner, hosts, m); t != nil {
				return nil, t
			}
			z.resolved = true
			w.keep(asZone, owner, z)
		}
		w.keep(asTop, up, z)
		return z, nil
	}
}

// soaOwner is the zone that an answer about a name says the name is in; empty when it does not say.
func soaOwner(m *dns.Msg, name string) string {
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if soa, ok := rr.(*dns.SOA); ok {
			if owner := fq(soa.Hdr.Name); dns.IsSubDomain(owner, name) {
				return owner
			}
		}
	}
	return ""
}

// nsHosts are the name servers that records name for a zone, sorted, without doubles.
func nsHosts(rrs []dns.RR, zone string) []string {
	var out []string
	for _, rr := range rrs {
		if ns, ok := rr.(*dns.NS); ok && fq(ns.Hdr.Name) == zone {
			out = append(out, fq(ns.Ns))
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxHosts)]
}

// zone finds the addresses of a zone's name servers, from a resolver and from the glue of m. Both count: an authority's
// resolver may use either.
func (w *walk) zone(ctx context.Context, name string, hosts []string, m *dns.Msg) (*zone, *assure.Trouble) {
	z := &zone{name: name, hosts: hosts}
	found := make([][]netip.Addr, len(hosts))
	troubles := make([]*assure.Trouble, len(hosts))
	each(len(hosts), func(i int) {
		var got []netip.Addr
		if m != nil {
			got = addresses(m.Extra, hosts[i])
		}
		kinds := []uint16{dns.TypeA, dns.TypeAAAA}
		sets := make([][]netip.Addr, 2)
		ts := make([]*assure.Trouble, 2)
		each(2, func(k int) {
			a, t := w.c.resolve(ctx, hosts[i], kinds[k])
			if t != nil {
				ts[k] = t
				return
			}
			sets[k] = addresses(a.Answer, "")
		})
		got = slices.Concat(sets[0], sets[1], got)
		slices.SortFunc(got, netip.Addr.Compare)
		found[i] = slices.Compact(got)
		if len(got) == 0 {
			for _, t := range ts {
				if t != nil {
					troubles[i] = t
				}
			}
		}
	})
	var last *assure.Trouble
	for i, host := range hosts {
		if len(found[i]) == 0 {
			z.bare = append(z.bare, host)
			if troubles[i] != nil {
				last = troubles[i]
			}
		}
		for _, a := range found[i][:min(len(found[i]), 8)] {
			if w.c.o.Family == "ip4" && !a.Is4() || w.c.o.Family == "ip6" && !a.Is6() || len(z.servers) >= maxAddresses {
				continue
			}
			z.servers = append(z.servers, assure.NameServer{Name: bare(host), Address: net.JoinHostPort(a.String(), strconv.Itoa(w.c.o.Port))})
		}
	}
	if len(z.servers) == 0 {
		if last != nil {
			return nil, last
		}
		return nil, trouble(assure.DelegationBroken, assure.TroubleBroken, bare(name),
			fmt.Sprintf("no name server of %s has an address: %s", bare(name), strings.Join(hosts, " ")), "")
	}
	return z, nil
}

// addresses are those of A and AAAA records, of one host or, when it is empty, of any.
func addresses(rrs []dns.RR, host string) []netip.Addr {
	var out []netip.Addr
	for _, rr := range rrs {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok && (host == "" || fq(rr.Header().Name) == host) {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// reached is an authoritative answer, with who gave it and the zone that it came from.
type reached struct {
	zone *zone
	m    *dns.Msg
	from assure.NameServer
}

// descend asks authoritative servers for a name, from its upper end down through every delegation.
func (w *walk) descend(ctx context.Context, name string, kind uint16) (reached, *assure.Trouble) {
	z, t := w.top(ctx, name)
	if t != nil {
		return reached{}, t
	}
	for known := name; known != z.name; known = above(known) {
		if passed := w.known(asZone, known); passed != nil {
			z = passed
			break
		}
	}
	for range maxReferrals {
		m, from, t := w.any(ctx, z, query{name: name, kind: kind})
		if t != nil {
			return reached{}, t
		}
		if m.Authoritative {
			// Servers that serve both parent and child answer for the child at once: its SOA names it.
			owner := soaOwner(m, name)
			if len(m.Answer) > 0 || owner == "" || owner == z.name || !dns.IsSubDomain(z.name, owner) {
				return reached{z, m, from}, nil
			}
			child := w.known(asZone, owner)
			if child == nil {
				hosts := z.hosts
				if a, f := w.c.ask(ctx, from.Address, query{name: owner, kind: dns.TypeNS}); f == nil && len(nsHosts(a.Answer, owner)) > 0 {
					hosts = nsHosts(a.Answer, owner)
				}
				if child, t = w.zone(ctx, owner, hosts, nil); t != nil {
					return reached{}, t
				}
				w.keep(asZone, owner, child)
			}
			return reached{child, m, from}, nil
		}
		next := referral(m, z.name, name)
		if z, t = w.zone(ctx, next, nsHosts(m.Ns, next), m); t != nil {
			return reached{}, t
		}
		w.keep(asZone, next, z)
	}
	return reached{}, trouble(assure.DelegationBroken, assure.TroubleBroken, bare(name), "more than 12 delegations lead to "+bare(name), "")
}

// missing is the trouble of a name whose upper end does not exist, so that only a top-level domain holds it.
func (w *walk) missing(r reached, name string) *assure.Trouble {
	if !w.absent[upper(name)] || dns.CountLabel(r.zone.name) > 1 {
		return nil
	}
	return trouble(assure.DelegationBroken, assure.TroubleMissing, bare(upper(name)),
		fmt.Sprintf("no zone holds %s: %s says that %s does not exist", bare(name), label(r.from), bare(upper(name))), "")
}

// full is a zone with every server that its parent, the zone itself or a resolver names.
func (w *walk) full(ctx context.Context, r reached) *zone {
	if z := w.known(asFull, r.zone.name); z != nil {
		return z
	}
	var more []string
	if m, f := w.c.ask(ctx, r.from.Address, query{name: r.zone.name, kind: dns.TypeNS}); f == nil {
		more = nsHosts(m.Answer, r.zone.name)
	}
	if r.zone.resolved {
		if named, t := w.referrals(ctx, r.zone.name); t == nil {
			more = append(more, named...)
		}
	}
	slices.Sort(more)
	more = slices.DeleteFunc(slices.Compact(more), func(host string) bool { return slices.Contains(r.zone.hosts, host) })
	z := *r.zone
	z.servers = slices.Clone(z.servers)
	if len(more) > 0 {
		// A host without an address is Delegation's to tell.
		if extra, t := w.zone(ctx, r.zone.name, more[:min(len(more), maxHosts)], nil); t == nil {
			for _, s := range extra.servers {
				if len(z.servers) < maxAddresses {
					z.servers = append(z.servers, s)
				}
			}
		}
	}
	w.keep(asFull, z.name, &z)
	return &z
}

// referral is the zone below z, on the way to a name, that an answer refers to; empty when it refers to none.
func referral(m *dns.Msg, z, name string) string {
	for _, rr := range m.Ns {
		if ns, ok := rr.(*dns.NS); ok {
			if next := fq(ns.Hdr.Name); next != z && dns.IsSubDomain(z, next) && dns.IsSubDomain(next, name) {
				return next
			}
		}
	}
	return ""
}

// authority turns an answer without authority that is no referral into a fault.
func authority(m *dns.Msg, z, name string) *fault {
	if m.Authoritative || m.Rcode == dns.RcodeSuccess && referral(m, z, name) != "" {
		return nil
	}
	return &fault{lame, "is lame: it answers without authority for " + bare(z)}
}

// any asks a zone's servers, three at a time, and takes the first useful answer.
func (w *walk) any(ctx context.Context, z *zone, q query) (*dns.Msg, assure.NameServer, *assure.Trouble) {
	type answer struct {
		m    *dns.Msg
		from assure.NameServer
		f    *fault
	}
	var bad []answer
	for group := range slices.Chunk(z.servers, 3) {
		inner, cancel := context.WithCancel(ctx)
		got := make(chan answer, len(group))
		for _, s := range group {
			go func() {
				m, f := w.c.ask(inner, s.Address, q)
				if f == nil {
					f = authority(m, z.name, q.name)
				}
				got <- answer{m, s, f}
			}()
		}
		for range group {
			a := <-got
			if a.f == nil {
				cancel()
				return a.m, a.from, nil
			}
			bad = append(bad, a)
		}
		cancel()
	}
	var said []string
	passing := true
	for _, a := range bad {
		said = append(said, label(a.from)+" "+a.f.says)
		passing = passing && a.f.passing()
	}
	slices.Sort(said)
	detail := fmt.Sprintf("no name server of %s answers for it: %s", bare(z.name), strings.Join(said, ", "))
	if passing {
		return nil, assure.NameServer{}, trouble(assure.DNSFailed, assure.TroubleTransient, bare(z.name), detail, "")
	}
	return nil, assure.NameServer{}, trouble(assure.DelegationBroken, assure.TroubleBroken, bare(z.name), detail,
		"Make the servers serve the zone, or let the parent name the servers that do.")
}
