package zones

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// zone is what the primary has, and who else is to have it.
type zone struct {
	name    string
	servers []*server // the first is the primary
	current *snapshot
}

// snapshot is a zone's contents at one serial. Once a server is held on it, it is frozen and changes make a new one.
type snapshot struct {
	serial  uint32
	records map[string]map[uint16][]dns.RR // by lower-case name
	below   map[string]int                 // how many names with records lie below a name, for empty non-terminals
	frozen  bool
}

func (s *snapshot) clone() *snapshot {
	c := &snapshot{serial: s.serial, records: make(map[string]map[uint16][]dns.RR, len(s.records)), below: make(map[string]int, len(s.below))}
	for name, sets := range s.records {
		to := make(map[uint16][]dns.RR, len(sets))
		for kind, rrs := range sets {
			to[kind] = slices.Clone(rrs)
		}
		c.records[name] = to
	}
	for name, n := range s.below {
		c.below[name] = n
	}
	return c
}

// put replaces a record set; none removes it.
func (s *snapshot) put(name string, kind uint16, rrs []dns.RR) {
	sets := s.records[name]
	switch {
	case len(rrs) > 0 && sets == nil:
		s.records[name] = map[uint16][]dns.RR{kind: rrs}
		s.count(name, 1)
	case len(rrs) > 0:
		sets[kind] = rrs
	case sets != nil:
		delete(sets, kind)
		if len(sets) == 0 {
			delete(s.records, name)
			s.count(name, -1)
		}
	}
}

func (s *snapshot) count(name string, by int) {
	for name != "." {
		name = above(name)
		s.below[name] += by
	}
}

// above is the name without its first label.
func above(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

// AddZone makes a zone with a SOA and an NS record set of the given hosts, the first being the primary; without any they
// are ns1 and ns2 of the zone. Hosts get addresses, their address records are put into the zone that holds them, and the
// closest zone above delegates to it, with glue.
func (l *Lab) AddZone(name string, hosts ...string) error {
	name = fq(name)
	if len(hosts) == 0 {
		hosts = []string{"ns1." + name, "ns2." + name}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.zones[name] != nil {
		return fmt.Errorf("zone %s is there already", name)
	}
	z := &zone{name: name, current: &snapshot{serial: 1, records: map[string]map[uint16][]dns.RR{}, below: map[string]int{}}}
	var ns []dns.RR
	for _, host := range hosts {
		host = fq(host)
		if l.hosts[host] == nil {
			if err := l.addHost(host, 1, false); err != nil {
				return err
			}
		}
		z.servers = append(z.servers, l.hosts[host]...)
		ns = append(ns, &dns.NS{Hdr: l.header(name, dns.TypeNS), Ns: host})
	}
	z.current.put(name, dns.TypeNS, ns)
	z.current.put(name, dns.TypeSOA, []dns.RR{&dns.SOA{
		Hdr: l.header(name, dns.TypeSOA), Ns: fq(hosts[0]), Mbox: "hostmaster." + strings.TrimPrefix(name, "."), Serial: 1,
		Refresh: 3600, Retry: 600, Expire: 86400, Minttl: l.o.Negative,
	}})
	for _, s := range z.servers {
		s.zones[name] = z.current
	}
	parent := l.enclosing(above(name))
	l.zones[name] = z
	for _, host := range hosts {
		host = fq(host)
		if at := l.enclosing(host); at != nil {
			l.glue(at, host)
		}
	}
	if parent != nil && name != "." {
		l.delegate(parent, name, hosts)
	}
	return nil
}

// RemoveZone takes a zone away from its servers; the delegation stays, until [Lab.Delegate] changes it.
func (l *Lab) RemoveZone(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	z := l.zones[fq(name)]
	if z == nil {
		return
	}
	delete(l.zones, z.name)
	for _, s := range z.servers {
		delete(s.zones, z.name)
	}
}

// Delegate replaces the name servers that the parent names for a zone, with glue for those below the zone. The zone
// itself is not changed, and need not exist. Without hosts the delegation is taken away.
func (l *Lab) Delegate(name string, hosts ...string) error {
	name = fq(name)
	l.mu.Lock()
	defer l.mu.Unlock()
	parent := l.enclosing(above(name))
	if name == "." || parent == nil {
		return fmt.Errorf("nothing is above %s", name)
	}
	for _, host := range hosts {
		if l.hosts[fq(host)] == nil {
			if err := l.addHost(fq(host), 1, false); err != nil {
				return err
			}
		}
	}
	l.delegate(parent, name, hosts)
	return nil
}

func (l *Lab) delegate(parent *zone, name string, hosts []string) {
	l.change(parent, func(s *snapshot) bool {
		for old := range s.records { // glue of the delegation before
			if dns.IsSubDomain(name, old) {
				s.put(old, dns.TypeA, nil)
				s.put(old, dns.TypeAAAA, nil)
			}
		}
		return true
	})
	var ns []dns.RR
	for _, host := range hosts {
		ns = append(ns, &dns.NS{Hdr: l.header(name, dns.TypeNS), Ns: fq(host)})
		if dns.IsSubDomain(name, fq(host)) {
			l.glue(parent, fq(host))
		}
	}
	l.change(parent, func(s *snapshot) bool { s.put(name, dns.TypeNS, ns); return true })
}

// glue puts a host's addresses into a zone.
func (l *Lab) glue(z *zone, host string) {
	var four, six []dns.RR
	for _, s := range l.hosts[host] {
		if s.ip.Is4() {
			four = append(four, &dns.A{Hdr: l.header(host, dns.TypeA), A: s.ip.AsSlice()})
		} else {
			six = append(six, &dns.AAAA{Hdr: l.header(host, dns.TypeAAAA), AAAA: s.ip.AsSlice()})
		}
	}
	l.change(z, func(s *snapshot) bool { s.put(host, dns.TypeA, four); s.put(host, dns.TypeAAAA, six); return true })
}

func (l *Lab) header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: l.o.TTL}
}

// enclosing is the deepest zone that holds a name, or nil.
func (l *Lab) enclosing(name string) *zone {
	for {
		if z := l.zones[name]; z != nil {
			return z
		}
		if name == "." {
			return nil
		}
		name = above(name)
	}
}

// change changes the primary's contents and those of every server that is not held. f reports whether it changed
// anything; the serial goes up when it did.
func (l *Lab) change(z *zone, f func(*snapshot) bool) {
	next := z.current
	if next.frozen {
		next = next.clone()
	}
	if !f(next) {
		return
	}
	next.serial++
	if soa := next.records[z.name][dns.TypeSOA]; len(soa) == 1 {
		c := dns.Copy(soa[0]).(*dns.SOA)
		c.Serial = next.serial
		next.records[z.name][dns.TypeSOA] = []dns.RR{c}
	}
	z.current = next
	for i, s := range z.servers {
		if i == 0 || !s.held {
			s.zones[z.name] = next
		}
	}
}

// parse makes records of data in the form of a zone file.
func (l *Lab) parse(name string, kind uint16, data []string) ([]dns.RR, error) {
	var out []dns.RR
	for _, d := range data {
		if kind == dns.TypeTXT {
			out = append(out, &dns.TXT{Hdr: l.header(name, kind), Txt: pieces(d)})
			continue
		}
		rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", name, l.o.TTL, dns.TypeToString[kind], d))
		if err != nil {
			return nil, fmt.Errorf("record %q of %s: %w", d, name, err)
		}
		if rr == nil {
			return nil, fmt.Errorf("record %q of %s: nothing in it", d, name)
		}
		out = append(out, rr)
	}
	return out, nil
}

// pieces cuts a TXT value into strings of at most 255 bytes.
func pieces(v string) []string {
	out := []string{}
	for len(v) > 255 {
		out, v = append(out, v[:255]), v[255:]
	}
	return append(out, v)
}

// Set replaces a record set of a zone; without data it is removed. The data of TXT records is the value itself, that of
// other types is in the form of a zone file. NS and DS records of a name below the zone delegate.
func (l *Lab) Set(zone, name string, kind uint16, data ...string) error {
	name = fq(name)
	rrs, err := l.parse(name, kind, data)
	if err != nil {
		return err
	}
	return l.edit(zone, name, func(s *snapshot) bool { s.put(name, kind, rrs); return true })
}

// Add adds records to a record set.
func (l *Lab) Add(zone, name string, kind uint16, data ...string) error {
	name = fq(name)
	rrs, err := l.parse(name, kind, data)
	if err != nil {
		return err
	}
	return l.edit(zone, name, func(s *snapshot) bool {
		changed := false
		for _, rr := range rrs {
			changed = s.add(rr) || changed
		}
		return changed
	})
}

// Remove takes records out of a record set, or all of them when no data is given.
func (l *Lab) Remove(zone, name string, kind uint16, data ...string) error {
	name = fq(name)
	rrs, err := l.parse(name, kind, data)
	if err != nil {
		return err
	}
	return l.edit(zone, name, func(s *snapshot) bool {
		if len(data) == 0 {
			had := len(s.records[name][kind]) > 0
			s.put(name, kind, nil)
			return had
		}
		changed := false
		for _, rr := range rrs {
			changed = s.remove(rr) || changed
		}
		return changed
	})
}

// SetTXT replaces the TXT values of a name.
func (l *Lab) SetTXT(zone, name string, values []string) error {
	return l.Set(zone, name, dns.TypeTXT, values...)
}

func (l *Lab) edit(zone, name string, f func(*snapshot) bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	z := l.zones[fq(zone)]
	if z == nil {
		return fmt.Errorf("no zone %q", zone)
	}
	if !dns.IsSubDomain(z.name, name) {
		return fmt.Errorf("%s is not in the zone %s", name, z.name)
	}
	l.change(z, f)
	return nil
}

// add adds a record unless it is there; the whole set takes its TTL (RFC 2181 §5.2).
func (s *snapshot) add(rr dns.RR) bool {
	name, kind := fq(rr.Header().Name), rr.Header().Rrtype
	set := s.records[name][kind]
	for _, old := range set {
		if dns.IsDuplicate(old, rr) {
			return false
		}
	}
	next := make([]dns.RR, 0, len(set)+1)
	for _, old := range append(slices.Clip(set), rr) {
		c := dns.Copy(old)
		c.Header().Ttl = rr.Header().Ttl
		next = append(next, c)
	}
	s.put(name, kind, next)
	return true
}

func (s *snapshot) remove(rr dns.RR) bool {
	name, kind := fq(rr.Header().Name), rr.Header().Rrtype
	set := s.records[name][kind]
	next := slices.DeleteFunc(slices.Clone(set), func(old dns.RR) bool { return dns.IsDuplicate(old, rr) })
	s.put(name, kind, next)
	return len(next) < len(set)
}

// Values are what one server holds, in the form of [Lab.Set], sorted. server is a host name or an address; empty means
// the zone's primary. A host with several addresses answers for its first.
func (l *Lab) Values(server, zone, name string, kind uint16) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	snap, err := l.holds(server, zone)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, rr := range snap.records[fq(name)][kind] {
		if txt, ok := rr.(*dns.TXT); ok {
			out = append(out, strings.Join(txt.Txt, ""))
		} else {
			out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	slices.Sort(out)
	return out, nil
}

// Serial is that of a zone on one server; see [Lab.Values].
func (l *Lab) Serial(server, zone string) (uint32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	snap, err := l.holds(server, zone)
	if err != nil {
		return 0, err
	}
	return snap.serial, nil
}

func (l *Lab) holds(server, zone string) (*snapshot, error) {
	if server == "" {
		z := l.zones[fq(zone)]
		if z == nil {
			return nil, fmt.Errorf("no zone %q", zone)
		}
		return z.current, nil
	}
	found, err := l.find(server)
	if err != nil {
		return nil, err
	}
	snap := found[0].zones[fq(zone)]
	if snap == nil {
		return nil, fmt.Errorf("%s does not serve %s", server, zone)
	}
	return snap, nil
}

// Hold keeps a server at what it has now, in all its zones, until [Lab.Release]. A primary cannot be held.
func (l *Lab) Hold(server string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := l.find(server)
	if err != nil {
		return err
	}
	for _, s := range found {
		for _, z := range l.zones {
			if z.servers[0] == s {
				return errors.New(server + " is the primary of " + z.name)
			}
		}
	}
	for _, s := range found {
		s.held = true
		for _, snap := range s.zones {
			snap.frozen = true
		}
	}
	return nil
}

// Release lets a server have everything that it missed.
func (l *Lab) Release(server string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := l.find(server)
	if err != nil {
		return err
	}
	for _, s := range found {
		s.held = false
		for name := range s.zones {
			if z := l.zones[name]; z != nil {
				s.zones[name] = z.current
			}
		}
	}
	return nil
}
