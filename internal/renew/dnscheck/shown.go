package dnscheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// sight is what one server shows of a record.
type sight struct {
	server assure.NameServer
	has    bool
	alias  string // where it says that the name leads instead
	f      *fault
	serial *uint32
}

// look asks every authoritative address for a value, and passes over those that this machine has no route to while
// others can be asked.
func (c *Checker) look(ctx context.Context, at assure.RecordPlace, value string) []sight {
	servers := at.Servers[:min(len(at.Servers), maxAddresses)]
	out := make([]sight, len(servers))
	name, zone := fq(at.Name), fq(at.Zone)
	each(len(servers), func(i int) {
		s := sight{server: servers[i]}
		m, f := c.ask(ctx, s.server.Address, query{name: name, kind: dns.TypeTXT})
		if f == nil && !m.Authoritative {
			f = &fault{lame, "is lame: it answers without authority for " + bare(zone)}
		}
		if s.f = f; f == nil {
			s.has = slices.Contains(texts(m, name), escaped(value))
			s.alias = aliasOf(m, name)
		}
		out[i] = s
	})
	return reachable(out, func(s sight) (assure.NameServer, *fault) { return s.server, s.f })
}

// reachable drops what failed for want of a route when something else did not. IPv6 that is silent at every address,
// while IPv4 answers, is taken for a route that leads nowhere, as many machines and containers have one: a renewal must not
// wait for it for ever. What answers wrongly over IPv6 still counts.
func reachable[T any](all []T, of func(T) (assure.NameServer, *fault)) []T {
	answers, six := false, false // something answers over IPv4; something does over IPv6
	for _, t := range all {
		s, f := of(t)
		if none := f != nil && (f.kind == silent || f.kind == closed || f.kind == noRoute || f.kind == stopped); !none {
			answers = answers || !isSix(s.Address)
			six = six || isSix(s.Address)
		}
	}
	if !answers && !six {
		return all
	}
	return slices.DeleteFunc(all, func(t T) bool {
		s, f := of(t)
		return f != nil && (f.kind == noRoute || answers && !six && isSix(s.Address))
	})
}

// escaped is a value in the form in which the library gives what it reads (RFC 1035 §5.1).
func escaped(value string) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// texts are the TXT values of a name in an answer; the strings of one record belong together (RFC 7208 §3.3).
func texts(m *dns.Msg, name string) []string {
	var out []string
	for _, rr := range m.Answer {
		if txt, ok := rr.(*dns.TXT); ok && fq(txt.Hdr.Name) == name {
			out = append(out, strings.Join(txt.Txt, ""))
		}
	}
	return out
}

// Shown asks every authoritative address once, over UDP and, where the answer is truncated, TCP; then the public
// resolvers, for the name that an authority asks for. It is nil when all of them show the value. Otherwise the error
// lists those that do not: lagging ones with their SOA serial beside the newest, and those that fail with how.
func (c *Checker) Shown(ctx context.Context, at assure.RecordPlace, value string) error {
	if len(at.Servers) == 0 {
		return trouble(assure.DNSFailed, assure.TroubleInvalid, at.Zone, "no name server of "+at.Zone+" is known", "")
	}
	seen := c.look(ctx, at, value)
	lacking := slices.ContainsFunc(seen, func(s sight) bool { return s.f == nil && !s.has })
	if lacking {
		c.serials(ctx, fq(at.Zone), seen)
	}
	var newest *uint32
	for _, s := range seen {
		if s.serial != nil && (newest == nil || after(*s.serial, *newest)) {
			newest = s.serial
		}
	}
	var said []string
	var faults []*fault
	for _, s := range seen {
		switch {
		case s.f != nil:
			said = append(said, label(s.server)+" "+s.f.says)
			faults = append(faults, s.f)
		case s.has:
		case s.alias != "":
			said = append(said, label(s.server)+" says that the name is an alias of "+clip(bare(s.alias), clipAt))
		case s.serial != nil && newest != nil && after(*newest, *s.serial):
			said = append(said, fmt.Sprintf("%s does not show it: its zone has serial %d, behind %d", label(s.server), *s.serial, *newest))
		case s.serial != nil:
			said = append(said, fmt.Sprintf("%s does not show it: its zone has serial %d", label(s.server), *s.serial))
		default:
			said = append(said, label(s.server)+" does not show it")
		}
	}
	if len(said) > 0 {
		slices.Sort(said)
		detail := fmt.Sprintf("%d of %d name servers of %s do not show the value at %s: %s", len(said), len(seen), at.Zone, at.Name, strings.Join(said, "; "))
		if lacking {
			return trouble(assure.DNSWriteFailed, assure.TroubleLagging, at.Zone, detail, "")
		}
		return failing(at.Zone, detail, faults)
	}
	return asError(c.publicly(ctx, at, value))
}

// failing is the trouble of servers that do not answer as they should.
func failing(zone, detail string, faults []*fault) *assure.Trouble {
	for _, f := range faults {
		if !f.passing() {
			return trouble(assure.DelegationBroken, assure.TroubleBroken, zone, detail, "Mend the servers named, or take them out of the delegation.")
		}
	}
	return trouble(assure.DNSFailed, assure.TroubleTransient, zone, detail, "")
}

// serials adds the SOA serial that each server has, where it tells.
func (c *Checker) serials(ctx context.Context, zone string, seen []sight) {
	each(len(seen), func(i int) {
		if seen[i].f != nil {
			return
		}
		if m, f := c.ask(ctx, seen[i].server.Address, query{name: zone, kind: dns.TypeSOA}); f == nil {
			seen[i].serial = serialOf(m, zone)
		}
	})
}

func serialOf(m *dns.Msg, zone string) *uint32 {
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if soa, ok := rr.(*dns.SOA); ok && fq(soa.Hdr.Name) == zone {
			return &soa.Serial
		}
	}
	return nil
}

// after compares serials as RFC 1982 §3.2 does: they wrap.
func after(a, b uint32) bool { return a != b && int32(a-b) > 0 }

// publicly asks the public resolvers.
func (c *Checker) publicly(ctx context.Context, at assure.RecordPlace, value string) *assure.Trouble {
	name := fq(at.Name)
	if len(at.Aliases) > 0 {
		name = fq(at.Aliases[0])
	}
	type result struct {
		says  string
		class assure.TroubleClass
		bogus *assure.Trouble
	}
	results := make([]result, len(c.o.Public))
	each(len(c.o.Public), func(i int) {
		s := c.o.Public[i]
		m, f := c.ask(ctx, s, query{name: name, kind: dns.TypeTXT, recursive: true})
		switch {
		case f != nil:
			results[i] = result{says: s + " " + f.says, class: assure.TroubleTransient}
			if f.kind == servfail {
				results[i].bogus = c.bogus(ctx, s, name, dns.TypeTXT, f)
			}
		case !slices.Contains(texts(m, lastOf(m, name)), escaped(value)):
			results[i] = result{says: s + " does not show it yet" + remembers(m), class: assure.TroubleLagging}
		}
	})
	var said []string
	class := assure.TroubleTransient
	for _, r := range results {
		if r.bogus != nil {
			r.bogus.Scope = at.Zone
			return r.bogus
		}
		if r.says != "" {
			said = append(said, r.says)
		}
		if r.class == assure.TroubleLagging {
			class = r.class
		}
	}
	if len(said) == 0 {
		return nil
	}
	slices.Sort(said)
	reason := assure.DNSFailed
	if class == assure.TroubleLagging {
		reason = assure.DNSWriteFailed
	}
	return trouble(reason, class, at.Zone, fmt.Sprintf("every authoritative server shows the value at %s, but %d of %d public resolvers do not: %s",
		at.Name, len(said), len(c.o.Public), strings.Join(said, "; ")), "")
}

// lastOf is the name at the end of an answer's aliases.
func lastOf(m *dns.Msg, name string) string {
	for range 2 * maxAliases {
		next := aliasOf(m, name)
		if next == "" {
			break
		}
		name = next
	}
	return name
}

// remembers tells for how long a resolver may go on with what it remembers.
func remembers(m *dns.Msg) string {
	least := uint32(0)
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		h := rr.Header()
		if h.Rrtype == dns.TypeTXT || h.Rrtype == dns.TypeSOA {
			least = max(least, h.Ttl)
		}
	}
	if least == 0 {
		return ""
	}
	return fmt.Sprintf(" and may remember the answer for %d s more", least)
}

// Gone asks every authoritative address once and is nil when none shows the value any more. A server that does not
// answer may still show it, so that is an error too.
func (c *Checker) Gone(ctx context.Context, at assure.RecordPlace, value string) error {
	if len(at.Servers) == 0 {
		return trouble(assure.DNSFailed, assure.TroubleInvalid, at.Zone, "no name server of "+at.Zone+" is known", "")
	}
	seen := c.look(ctx, at, value)
	var still, said []string
	var faults []*fault
	for _, s := range seen {
		switch {
		case s.f != nil:
			said = append(said, label(s.server)+" "+s.f.says)
			faults = append(faults, s.f)
		case s.has:
			still = append(still, label(s.server))
		}
	}
	slices.Sort(still)
	slices.Sort(said)
	if len(still) > 0 {
		return trouble(assure.DNSWriteFailed, assure.TroubleLagging, at.Zone, fmt.Sprintf("%d of %d name servers of %s still show the value at %s: %s",
			len(still), len(seen), at.Zone, at.Name, strings.Join(append(still, said...), "; ")), "")
	}
	if len(said) > 0 {
		return failing(at.Zone, fmt.Sprintf("%d of %d name servers of %s do not tell whether they still show the value at %s: %s",
			len(said), len(seen), at.Zone, at.Name, strings.Join(said, "; ")), faults)
	}
	return nil
}
