package lab

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DNSFault is a way in which the server fails for one name.
type DNSFault string

// Faults of DNS.
const (
	DNSNone      DNSFault = ""
	DNSNXDomain  DNSFault = "nxdomain"  // the name does not exist, whatever the zone holds
	DNSServfail  DNSFault = "servfail"  // RCODE 2
	DNSRefused   DNSFault = "refused"   // RCODE 5
	DNSSilent    DNSFault = "silent"    // no answer at all, over either transport
	DNSLame      DNSFault = "lame"      // an answer without authority that refers to the root
	DNSTruncated DNSFault = "truncated" // UDP answers are cut to nothing with TC set; TCP answers properly
	DNSSlow      DNSFault = "slow"      // properly, after [DNSOptions.Slow]
	DNSLoop      DNSFault = "loop"      // the name is an alias of an alias of itself
	DNSWrong     DNSFault = "wrong"     // the answer repeats another question
	DNSGarbage   DNSFault = "garbage"   // bytes that are no DNS message behind the right identifier
	DNSUDPOnly   DNSFault = "udp-only"  // truncated over UDP, and TCP hangs up
)

// DNSOptions configures a [DNS]. The zero value of each field has a meaning.
type DNSOptions struct {
	// Slow is how long a slow answer takes; zero means a second.
	Slow time.Duration
	// TTL is that of every record that is added without one, in seconds; zero means 5.
	TTL uint32
}

// DNS is an authoritative server over UDP and TCP on one port of 127.0.0.1. Names outside its zones are refused,
// unless [DNS.Forward] says who knows them.
// It is safe for concurrent use, and everything may be changed while it runs.
type DNS struct {
	opts    DNSOptions
	address string
	servers []*dns.Server
	running sync.WaitGroup
	quit    chan struct{}
	once    sync.Once

	mu      sync.Mutex
	zones   map[string]*dns.SOA
	records map[string][]dns.RR // by lower-case name with trailing dot
	faults  map[question]DNSFault
	queries map[question]int
	total   int
	forward string // who answers for everything else
}

type question struct {
	name string
	kind uint16 // 0: all
}

// StartDNS starts the server without any zone.
func StartDNS(o DNSOptions) (*DNS, error) {
	if o.Slow <= 0 {
		o.Slow = time.Second
	}
	if o.TTL == 0 {
		o.TTL = 5
	}
	l, pc, err := listenBoth("127.0.0.1")
	if err != nil {
		return nil, fmt.Errorf("listen for DNS: %w", err)
	}
	d := &DNS{
		opts: o, address: pc.LocalAddr().String(), quit: make(chan struct{}), zones: map[string]*dns.SOA{}, records: map[string][]dns.RR{},
		faults: map[question]DNSFault{}, queries: map[question]int{},
	}
	ready := make(chan struct{}, 2)
	started := func() { ready <- struct{}{} }
	d.servers = []*dns.Server{
		{PacketConn: pc, Handler: dns.HandlerFunc(d.handle), NotifyStartedFunc: started},
		{Listener: l, Handler: dns.HandlerFunc(d.handle), NotifyStartedFunc: started},
	}
	failed := make(chan error, 2)
	for _, s := range d.servers {
		d.running.Go(func() {
			if err := s.ActivateAndServe(); err != nil {
				failed <- err
			}
		})
	}
	for range d.servers {
		select {
		case <-ready:
		case err := <-failed:
			_, _ = l.Close(), pc.Close()
			d.running.Wait()
			return nil, fmt.Errorf("serve DNS: %w", err)
		}
	}
	return d, nil
}

// listenBoth opens the same port for TCP and UDP on an address.
func listenBoth(ip string) (net.Listener, net.PacketConn, error) {
	var last error
	for range 50 {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			return nil, nil, err
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, pc, nil
		}
		last = err
		_ = l.Close()
	}
	return nil, nil, last
}

// Addr is the server's address, as ip:port.
func (d *DNS) Addr() string { return d.address }

// Stop ends the server. Slow answers under way are dropped.
func (d *DNS) Stop() {
	d.once.Do(func() {
		close(d.quit)
		for _, s := range d.servers {
			_ = s.Shutdown()
		}
	})
	d.running.Wait()
}

// AddZone makes the server authoritative for a domain.
func (d *DNS) AddZone(domain string) error {
	name, err := fqdn(domain)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.zones[name] = &dns.SOA{
		Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: d.opts.TTL},
		Ns:  "ns." + name, Mbox: "hostmaster." + name, Serial: 1, Refresh: 60, Retry: 60, Expire: 600, Minttl: d.opts.TTL,
	}
	return nil
}

// Add adds records in the form of a zone file: "www A 127.0.0.1" with a full name, such as
// "www.lab.test. A 127.0.0.1". The TTL may be left out.
func (d *DNS) Add(lines ...string) error {
	for _, line := range lines {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return fmt.Errorf("record %q: want a name, a type and data", line)
		}
		owner, err := fqdn(name)
		if err != nil {
			return err
		}
		rr, err := dns.NewRR(fmt.Sprintf("$TTL %d\n%s %s", d.opts.TTL, owner, rest))
		if err != nil {
			return fmt.Errorf("record %q: %w", line, err)
		}
		if rr == nil {
			return fmt.Errorf("record %q: nothing in it", line)
		}
		d.mu.Lock()
		d.records[owner] = append(d.records[owner], rr)
		d.mu.Unlock()
	}
	return nil
}

// SetAddresses replaces the A and AAAA records of a name.
func (d *DNS) SetAddresses(name string, ips ...string) error {
	if err := d.Remove(name, dns.TypeA, dns.TypeAAAA); err != nil {
		return err
	}
	for _, s := range ips {
		ip := net.ParseIP(s)
		kind := "AAAA"
		switch {
		case ip == nil:
			return fmt.Errorf("addresses of %s: %q is no IP address", name, s)
		case ip.To4() != nil:
			kind = "A"
		}
		if err := d.Add(name + " " + kind + " " + s); err != nil {
			return err
		}
	}
	return nil
}

// Remove takes a name's records of the given types away, or all of them when no type is given.
func (d *DNS) Remove(name string, types ...uint16) error {
	owner, err := fqdn(name)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var kept []dns.RR
	for _, rr := range d.records[owner] {
		drop := len(types) == 0
		for _, t := range types {
			drop = drop || rr.Header().Rrtype == t
		}
		if !drop {
			kept = append(kept, rr)
		}
	}
	if len(kept) == 0 {
		delete(d.records, owner)
	} else {
		d.records[owner] = kept
	}
	return nil
}

// Fail makes questions for a name fail from now on; kind is a record type such as [dns.TypeAAAA], or 0 for all. A name
// for which only some faults make sense without records (loop, NXDOMAIN) needs none. [DNSNone] ends the fault.
func (d *DNS) Fail(name string, kind uint16, f DNSFault) error {
	owner, err := fqdn(name)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f == DNSNone {
		delete(d.faults, question{owner, kind})
	} else {
		d.faults[question{owner, kind}] = f
	}
	return nil
}

// Queries counts the questions asked for a name, of one type or of all with 0.
func (d *DNS) Queries(name string, kind uint16) int {
	owner, err := fqdn(name)
	if err != nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if kind != 0 {
		return d.queries[question{owner, kind}]
	}
	n := 0
	for q, c := range d.queries {
		if q.name == owner {
			n += c
		}
	}
	return n
}

// TotalQueries counts all questions since the start.
func (d *DNS) TotalQueries() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total
}

func fqdn(name string) (string, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, r := range name {
		if r >= 0x80 {
			ascii, err := toASCII(name)
			if err != nil {
				return "", err
			}
			name = ascii
			break
		}
	}
	if name == "" {
		return "", errors.New("name is empty")
	}
	return name + ".", nil
}

func (d *DNS) handle(w dns.ResponseWriter, r *dns.Msg) {
	if len(r.Question) != 1 {
		m := new(dns.Msg)
		m.SetRcode(r, dns.RcodeFormatError)
		_ = w.WriteMsg(m)
		return
	}
	q := question{strings.ToLower(r.Question[0].Name), r.Question[0].Qtype}
	d.mu.Lock()
	d.total++
	d.queries[q]++
	fault, ok := d.faults[q]
	if !ok {
		fault = d.faults[question{q.name, 0}]
	}
	m := d.answer(r, q)
	forward := d.forward
	if d.zoneOf(q.name) != nil {
		forward = ""
	}
	d.mu.Unlock()
	if forward != "" {
		_, udp := w.RemoteAddr().(*net.UDPAddr)
		m = d.passOn(forward, r, udp)
	}
	if m = d.spoil(w, r, m, fault); m != nil {
		_ = w.WriteMsg(m) // a client that has gone away is no news
	}
}

// spoil applies a fault to an answer. Nil means that nothing is to be sent any more.
func (d *DNS) spoil(w dns.ResponseWriter, r, m *dns.Msg, f DNSFault) *dns.Msg {
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	bare := func(rcode int) *dns.Msg {
		e := new(dns.Msg)
		return e.SetRcode(r, rcode)
	}
	name := r.Question[0].Name
	alias := func(from, to string) dns.RR {
		return &dns.CNAME{Hdr: dns.RR_Header{Name: from, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: d.opts.TTL}, Target: to}
	}
	switch f {
	case DNSNXDomain:
		return bare(dns.RcodeNameError)
	case DNSServfail:
		return bare(dns.RcodeServerFailure)
	case DNSRefused:
		return bare(dns.RcodeRefused)
	case DNSSilent:
		if !udp {
			_ = w.Close()
		}
		return nil
	case DNSLame:
		e := bare(dns.RcodeSuccess)
		e.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: d.opts.TTL}, Ns: "a.root-servers.net."}}
		return e
	case DNSTruncated, DNSUDPOnly:
		if udp {
			e := bare(dns.RcodeSuccess)
			e.Truncated = true
			return e
		}
		if f == DNSUDPOnly {
			_ = w.Close()
			return nil
		}
	case DNSSlow:
		t := time.NewTimer(d.opts.Slow)
		defer t.Stop()
		select {
		case <-t.C:
		case <-d.quit:
			return nil
		}
	case DNSLoop:
		e := bare(dns.RcodeSuccess)
		e.Authoritative = true
		other := "loop." + name
		e.Answer = []dns.RR{alias(name, other), alias(other, name)}
		return e
	case DNSWrong:
		e := m.Copy()
		e.Question[0].Name = "other." + name
		return e
	case DNSGarbage:
		b := append([]byte{byte(r.Id >> 8), byte(r.Id), 0x84, 0}, garbage(40)...)
		_, _ = w.Write(b)
		return nil
	}
	return m
}

// answer is what the zones hold. The caller holds the lock.
func (d *DNS) answer(r *dns.Msg, q question) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(r)
	soa := d.zoneOf(q.name)
	if soa == nil {
		return m.SetRcode(r, dns.RcodeRefused)
	}
	m.Authoritative = true
	name := q.name
	for range 16 {
		rrs, exists := d.at(name)
		if !exists {
			m.Rcode = dns.RcodeNameError
			m.Ns = []dns.RR{soa}
			return m
		}
		if q.kind == dns.TypeSOA && d.zones[name] != nil {
			m.Answer = append(m.Answer, d.zones[name])
		}
		next := ""
		for _, rr := range rrs {
			t := rr.Header().Rrtype
			if t == q.kind || q.kind == dns.TypeANY {
				m.Answer = append(m.Answer, rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				next = strings.ToLower(c.Target)
			}
		}
		if next == "" {
			if len(m.Answer) == 0 || m.Answer[len(m.Answer)-1].Header().Rrtype == dns.TypeCNAME && q.kind != dns.TypeCNAME {
				m.Ns = []dns.RR{soa}
			}
			return m
		}
		if soa = d.zoneOf(next); soa == nil {
			return m // the rest is somebody else's to answer
		}
		name = next
	}
	return m.SetRcode(r, dns.RcodeServerFailure)
}

// at returns a name's records, those of the wildcard above it when it has none, and whether the name exists.
func (d *DNS) at(name string) ([]dns.RR, bool) {
	if rrs, ok := d.records[name]; ok {
		return rrs, true
	}
	if d.zones[name] != nil {
		return nil, true
	}
	for other := range d.records {
		if strings.HasSuffix(other, "."+name) {
			return nil, true // an empty non-terminal exists (RFC 8020)
		}
	}
	_, parent, ok := strings.Cut(name, ".")
	if !ok {
		return nil, false
	}
	star, ok := d.records["*."+parent]
	if !ok {
		return nil, false
	}
	out := make([]dns.RR, len(star))
	for i, rr := range star {
		out[i] = dns.Copy(rr)
		out[i].Header().Name = name
	}
	return out, true
}

func (d *DNS) zoneOf(name string) *dns.SOA {
	for {
		if soa := d.zones[name]; soa != nil {
			return soa
		}
		_, after, ok := strings.Cut(name, ".")
		if !ok || after == "" {
			return nil
		}
		name = after
	}
}
