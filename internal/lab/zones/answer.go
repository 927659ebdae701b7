package zones

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Fault is a way in which a server fails.
type Fault string

// Faults.
const (
	None      Fault = ""
	Refused   Fault = "refused"   // RCODE 5
	Servfail  Fault = "servfail"  // RCODE 2
	Silent    Fault = "silent"    // no answer at all, over either transport
	Lame      Fault = "lame"      // an answer without authority that refers to the root
	Truncated Fault = "truncated" // UDP answers are cut to nothing with TC set; TCP answers properly
	UDPOnly   Fault = "udp-only"  // TCP connections are closed without an answer
	CutOff    Fault = "cut-off"   // truncated over UDP, and TCP closes
	Garbage   Fault = "garbage"   // bytes that are no DNS message behind the right identifier
	// The following are of updates only; queries are answered.
	UpdateServfail Fault = "update-servfail" // RCODE 2, and nothing was changed
	UpdateSilent   Fault = "update-silent"   // no answer, and nothing was changed
	UpdateLost     Fault = "update-lost"     // no answer, but the change was made
	UpdateLostUDP  Fault = "update-lost-udp" // no answer over UDP, but the change was made; TCP answers
)

// Fault makes a server fail from now on, for one zone or, with an empty zone, for all. [None] ends it.
func (l *Lab) Fault(server, zone string, f Fault) error {
	if zone != "" {
		zone = fq(zone)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := l.find(server)
	if err != nil {
		return err
	}
	for _, s := range found {
		if f == None {
			delete(s.faults, zone)
		} else {
			s.faults[zone] = f
		}
	}
	return nil
}

// Lose makes a server lose a share of the UDP packets that reach it, 0 to 1, in an order that [Options.Seed] fixes.
func (l *Lab) Lose(server string, share float64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := l.find(server)
	if err != nil {
		return err
	}
	for _, s := range found {
		s.loss = share
	}
	return nil
}

// Skew puts a server's clock ahead of the others'. TSIG looks at it.
func (l *Lab) Skew(server string, by time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, err := l.find(server)
	if err != nil {
		return err
	}
	for _, s := range found {
		s.skew = by
	}
	return nil
}

func isUDP(w dns.ResponseWriter) bool {
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	return udp
}

func (l *Lab) handle(s *server, w dns.ResponseWriter, r *dns.Msg) {
	if len(r.Question) != 1 {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(r, dns.RcodeFormatError))
		return
	}
	udp := isUDP(w)
	name := fq(r.Question[0].Name)
	l.mu.Lock()
	if udp && s.loss > 0 && s.dice.Float64() < s.loss {
		s.lost++
		l.mu.Unlock()
		return
	}
	at := s.holding(name, r.Question[0].Qtype)
	fault, ok := s.faults[at]
	if !ok || at == "" {
		fault = s.faults[""]
	}
	var m *dns.Msg
	if r.Opcode == dns.OpcodeUpdate {
		s.asked[question{name, dns.TypeNone}]++
		switch fault {
		case UpdateSilent, Silent:
		case UpdateServfail:
			m = new(dns.Msg).SetRcode(r, dns.RcodeServerFailure)
			l.sign(s, r, m)
		case Refused, Servfail, Lame, Garbage, CutOff:
			m = l.query(s, r)
		default:
			m = l.update(s, w, r)
		}
		if fault == UpdateLost || fault == UpdateLostUDP && udp {
			m = nil
		}
	} else {
		s.asked[question{name, r.Question[0].Qtype}]++
		m = l.query(s, r)
	}
	l.mu.Unlock()
	if m = spoil(w, r, m, fault, udp); m == nil {
		return
	}
	if udp && r.Opcode == dns.OpcodeQuery {
		size := dns.MinMsgSize
		if opt := r.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
			m.SetEdns0(4096, false)
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m) // a client that has gone away is no news
}

// spoil applies a fault to an answer. Nil means that nothing is to be sent any more.
func spoil(w dns.ResponseWriter, r, m *dns.Msg, f Fault, udp bool) *dns.Msg {
	if m == nil {
		return nil
	}
	bare := func(rcode int) *dns.Msg { return new(dns.Msg).SetRcode(r, rcode) }
	switch f {
	case Refused:
		return bare(dns.RcodeRefused)
	case Servfail:
		return bare(dns.RcodeServerFailure)
	case Silent:
		return nil
	case Lame:
		e := bare(dns.RcodeSuccess)
		e.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 5}, Ns: "a.root."}}
		return e
	case Truncated, CutOff, UDPOnly:
		if !udp && f != Truncated {
			_ = w.Close()
			return nil
		}
		if udp && f != UDPOnly {
			e := bare(dns.RcodeSuccess)
			e.Truncated = true
			return e
		}
	case Garbage:
		b := []byte{byte(r.Id >> 8), byte(r.Id), 0x84, 0, 0, 9, 0, 9, 0, 9, 0, 9, 0xc0, 0x0c, 0xff, 0xff}
		_, _ = w.Write(b)
		return nil
	}
	return m
}

// holding is the deepest zone of the server that answers a question; empty when it has none.
func (s *server) holding(name string, kind uint16) string {
	at := name
	if kind == dns.TypeDS && at != "." {
		at = above(at) // DS records belong to the parent (RFC 4035 §3.1.4.1)
	}
	for {
		if s.zones[at] != nil {
			return at
		}
		if at == "." {
			break
		}
		at = above(at)
	}
	if kind == dns.TypeDS && s.zones[name] != nil {
		return name
	}
	return ""
}

// query answers from the zones. The caller holds the lock.
func (l *Lab) query(s *server, r *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(r)
	kind := r.Question[0].Qtype
	name := fq(r.Question[0].Name)
	zone := s.holding(name, kind)
	if zone == "" {
		return m.SetRcode(r, dns.RcodeRefused)
	}
	m.Authoritative = true
	for range 16 {
		snap := s.zones[zone]
		if cut := snap.cut(zone, name, kind); cut != "" {
			m.Authoritative = len(m.Answer) > 0
			snap.refer(m, cut)
			return m
		}
		sets, exists := snap.at(zone, name)
		if !exists {
			m.Rcode = dns.RcodeNameError
			m.Ns = snap.records[zone][dns.TypeSOA]
			return m
		}
		if rrs := sets[kind]; len(rrs) > 0 {
			m.Answer = append(m.Answer, rrs...)
			return m
		}
		if len(sets[dns.TypeCNAME]) == 0 {
			m.Ns = snap.records[zone][dns.TypeSOA]
			return m
		}
		alias := sets[dns.TypeCNAME][0]
		m.Answer = append(m.Answer, alias)
		name = fq(alias.(*dns.CNAME).Target)
		if zone = s.holding(name, kind); zone == "" || kind == dns.TypeANY {
			return m // the rest is somebody else's to answer
		}
	}
	return m // as real servers do: a long chain is handed out as far as it was followed
}

// cut is the highest delegation between a zone's apex and a name; empty when there is none.
func (s *snapshot) cut(zone, name string, kind uint16) string {
	found := ""
	for at := name; at != zone; at = above(at) {
		if len(s.records[at][dns.TypeNS]) > 0 && (at != name || kind != dns.TypeDS) {
			found = at
		}
	}
	return found
}

func (s *snapshot) refer(m *dns.Msg, cut string) {
	m.Ns = s.records[cut][dns.TypeNS]
	for _, rr := range m.Ns {
		host := fq(rr.(*dns.NS).Ns)
		m.Extra = append(m.Extra, s.records[host][dns.TypeA]...)
		m.Extra = append(m.Extra, s.records[host][dns.TypeAAAA]...)
	}
}

// at returns a name's record sets, those of the wildcard that covers it when it does not exist (RFC 4592), and whether
// there is such a name.
func (s *snapshot) at(zone, name string) (map[uint16][]dns.RR, bool) {
	if sets := s.records[name]; sets != nil || s.below[name] > 0 || name == zone {
		return sets, true
	}
	for up := above(name); ; up = above(up) {
		if s.records[up] == nil && s.below[up] == 0 && up != zone {
			continue
		}
		stars := s.records["*."+strings.TrimPrefix(up, ".")]
		if stars == nil {
			return nil, false
		}
		out := map[uint16][]dns.RR{}
		for kind, rrs := range stars {
			for _, rr := range rrs {
				c := dns.Copy(rr)
				c.Header().Name = name
				out[kind] = append(out[kind], c)
			}
		}
		return out, true
	}
}

// String lists what the servers hold, for a test that failed.
func (l *Lab) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for name, z := range l.zones {
		for _, s := range z.servers {
			if snap := s.zones[name]; snap != nil {
				fmt.Fprintf(&b, "%s at %s (%s): serial %d, %d names\n", name, s.host, l.at(s), snap.serial, len(snap.records))
			}
		}
	}
	return b.String()
}
