package dnscheck

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// Bounds of how long a server may be behind before that counts: the zone's own refresh, within these.
const (
	leastRefresh = 10 * time.Minute
	mostRefresh  = 24 * time.Hour
	askParents   = 3 // addresses of the parent that are asked for the referral
)

// health is what one address of a zone's name servers says of the zone.
type health struct {
	server  assure.NameServer
	udp     *fault
	tcp     *fault
	serial  *uint32
	refresh time.Duration
	hosts   []string
}

// Delegation is nil when the parent and the child of the zone that holds name agree on its name servers, and each of them
// answers for it with authority over UDP and TCP. A server whose SOA serial stays behind for longer than the zone's own
// refresh interval counts as lagging; the checker remembers when it first saw each serial.
func (c *Checker) Delegation(ctx context.Context, name string) error {
	at, err := checked(name)
	if err != nil {
		return err
	}
	w := c.walk(true)
	r, t := w.descend(ctx, at, dns.TypeSOA)
	if t == nil {
		t = w.missing(r, at)
	}
	if t != nil {
		return t
	}
	zone := r.zone.name
	parents, t := w.referrals(ctx, zone)
	if t != nil {
		return t
	}
	hosts := slices.Clone(parents)
	if m, f := c.ask(ctx, r.from.Address, query{name: zone, kind: dns.TypeNS}); f == nil {
		hosts = append(hosts, nsHosts(m.Answer, zone)...)
	}
	hosts = append(hosts, r.zone.hosts...)
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	full, t := w.zone(ctx, zone, hosts[:min(len(hosts), maxHosts)], nil)
	if t != nil {
		return t
	}
	for _, s := range r.zone.servers { // with glue that a resolver may not tell
		if !slices.Contains(full.servers, s) && len(full.servers) < maxAddresses {
			full.servers = append(full.servers, s)
		}
	}
	all := make([]health, len(full.servers))
	each(len(all), func(i int) { all[i] = c.health(ctx, zone, full.servers[i]) })
	all = reachable(all, func(h health) (assure.NameServer, *fault) { return h.server, h.udp })
	if t := c.verdict(zone, parents, full.bare, all); t != nil {
		return t
	}
	return asError(c.validated(ctx, zone))
}

// referrals are the name servers that the zone's parent names; nil when the parent's servers serve the child too and
// answer for it themselves.
func (w *walk) referrals(ctx context.Context, zone string) ([]string, *assure.Trouble) {
	var up reached
	var t *assure.Trouble
	if parent := above(zone); parent == "." {
		up.zone, t = w.top(ctx, parent)
	} else {
		up, t = w.descend(ctx, parent, dns.TypeSOA)
	}
	if t != nil {
		return nil, t
	}
	servers := up.zone.servers[:min(len(up.zone.servers), askParents)]
	type view struct {
		hosts []string
		child bool // it serves the child too
		f     *fault
	}
	views := make([]view, len(servers))
	each(len(servers), func(i int) {
		m, f := w.c.ask(ctx, servers[i].Address, query{name: zone, kind: dns.TypeNS})
		switch {
		case f != nil:
			views[i].f = f
		case m.Authoritative && len(nsHosts(m.Answer, zone)) > 0:
			views[i].child = true
		default:
			views[i].hosts = nsHosts(m.Ns, zone)
		}
	})
	var hosts, said []string
	told, child := false, false
	for i, v := range views {
		if v.f != nil {
			said = append(said, label(servers[i])+" "+v.f.says)
			continue
		}
		told, child = true, child || v.child
		hosts = append(hosts, v.hosts...)
	}
	switch {
	case !told:
		return nil, trouble(assure.DNSFailed, assure.TroubleTransient, bare(up.zone.name),
			fmt.Sprintf("no server of the parent %s tells who serves %s: %s", bare(up.zone.name), bare(zone), strings.Join(said, ", ")), "")
	case len(hosts) == 0 && child:
		return nil, nil
	case len(hosts) == 0:
		return nil, trouble(assure.DelegationBroken, assure.TroubleMissing, bare(zone),
			fmt.Sprintf("the parent %s does not delegate %s", bare(up.zone.name), bare(zone)), "Put NS records for the zone into its parent.")
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

func (c *Checker) health(ctx context.Context, zone string, s assure.NameServer) health {
	h := health{server: s}
	var m *dns.Msg
	each(3, func(i int) {
		switch i {
		case 0:
			m, h.udp = c.ask(ctx, s.Address, query{name: zone, kind: dns.TypeSOA})
		case 1:
			var over *dns.Msg
			if over, h.tcp = c.ask(ctx, s.Address, query{name: zone, kind: dns.TypeSOA, tcp: true}); h.tcp == nil {
				h.tcp = answersFor(over, zone)
			}
		case 2:
			if ns, f := c.ask(ctx, s.Address, query{name: zone, kind: dns.TypeNS}); f == nil && ns.Authoritative {
				h.hosts = nsHosts(ns.Answer, zone)
			}
		}
	})
	if h.udp != nil {
		return h
	}
	if h.udp = answersFor(m, zone); h.udp == nil {
		h.serial = serialOf(m, zone)
		for _, rr := range m.Answer {
			if soa, ok := rr.(*dns.SOA); ok {
				h.refresh = time.Duration(soa.Refresh) * time.Second
			}
		}
	}
	return h
}

// answersFor is the fault of a server that does not have the zone whose SOA it was asked for.
func answersFor(m *dns.Msg, zone string) *fault {
	if !m.Authoritative || !slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA && fq(rr.Header().Name) == zone }) {
		return &fault{lame, "is lame: it answers without authority for " + bare(zone)}
	}
	return nil
}

// verdict puts together what the parent and the servers said.
func (c *Checker) verdict(zone string, parents, without []string, all []health) *assure.Trouble {
	var said []string
	var faults []*fault
	broken := false
	for _, host := range without {
		said = append(said, "the name server "+bare(host)+" has no address")
		broken = true
	}
	overTCP := slices.ContainsFunc(all, func(h health) bool { return h.tcp == nil })
	for _, h := range all {
		switch {
		case h.udp != nil:
			said = append(said, label(h.server)+" "+h.udp.says)
			faults = append(faults, h.udp)
		case h.tcp != nil:
			said = append(said, label(h.server)+" "+h.tcp.says+" over TCP")
			faults = append(faults, h.tcp)
			broken = broken || overTCP // RFC 7766 §5: every server must; if none does, what lies between may be why
		}
	}
	if own := owns(all); len(own) > 0 && len(parents) > 0 && !slices.Equal(own, parents) {
		said = append(said, fmt.Sprintf("the parent names %s, the zone itself names %s", hostList(parents), hostList(own)))
		broken = true
	}
	slices.Sort(said)
	late := c.late(zone, all)
	detail := "the delegation of " + bare(zone) + " is not whole: " + strings.Join(append(said, late...), "; ")
	switch {
	case broken:
		return trouble(assure.DelegationBroken, assure.TroubleBroken, bare(zone), detail, "Let the parent and the zone name the same servers, all of which serve the zone over UDP and TCP.")
	case len(said) > 0:
		return failing(bare(zone), detail, faults)
	case len(late) > 0:
		return trouble(assure.DelegationBroken, assure.TroubleLagging, bare(zone), detail, "Find out why the servers named get no transfers of the zone.")
	}
	return nil
}

// owns is the NS set that the server with the newest serial gives for its own zone.
func owns(all []health) []string {
	var best *health
	for i, h := range all {
		if h.udp == nil && len(h.hosts) > 0 && (best == nil || h.serial != nil && best.serial != nil && after(*h.serial, *best.serial)) {
			best = &all[i]
		}
	}
	if best == nil {
		return nil
	}
	return best.hosts
}

func hostList(hosts []string) string {
	var out []string
	for _, h := range hosts {
		out = append(out, bare(h))
	}
	return strings.Join(out, " ")
}

// late lists the servers that are still behind a serial that was seen elsewhere a refresh interval ago. Being behind for
// less is how DNS works: secondaries ask every refresh interval at least (RFC 1035 §3.3.13).
func (c *Checker) late(zone string, all []health) []string {
	var newestSerial *uint32
	refresh := mostRefresh
	for _, h := range all {
		if h.serial != nil && (newestSerial == nil || after(*h.serial, *newestSerial)) {
			newestSerial, refresh = h.serial, h.refresh
		}
	}
	if newestSerial == nil {
		return nil
	}
	refresh = min(max(refresh, leastRefresh), mostRefresh)
	now := c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.behind[zone]
	if ok && after(known.serial, *newestSerial) {
		ok = false // the zone began anew
	}
	var out []string
	caught := true // up with what is remembered
	for _, h := range all {
		if h.serial == nil || !ok || !after(known.serial, *h.serial) {
			continue
		}
		caught = false
		if ago := now.Sub(known.since); ago >= refresh {
			out = append(out, fmt.Sprintf("%s has serial %d, behind %d which was seen %s ago", label(h.server), *h.serial, known.serial, ago.Round(time.Second)))
		}
	}
	if caught {
		if len(c.behind) >= maxZones {
			clear(c.behind)
		}
		if !ok || known.serial != *newestSerial {
			c.behind[zone] = newest{*newestSerial, now}
		}
	}
	slices.Sort(out)
	return out
}

// validated asks the recursive resolvers for the zone: one that validates says so when its DNSSEC is wrong.
func (c *Checker) validated(ctx context.Context, zone string) *assure.Trouble {
	resolvers := slices.Concat(c.resolvers(), c.o.Public)
	resolvers = resolvers[:min(len(resolvers), 6)]
	troubles := make([]*assure.Trouble, len(resolvers))
	each(len(resolvers), func(i int) {
		_, f := c.ask(ctx, resolvers[i], query{name: zone, kind: dns.TypeSOA, recursive: true})
		if f != nil && f.kind == servfail {
			troubles[i] = c.bogus(ctx, resolvers[i], zone, dns.TypeSOA, f)
		}
	})
	for _, t := range troubles {
		if t != nil {
			return t
		}
	}
	return nil
}
