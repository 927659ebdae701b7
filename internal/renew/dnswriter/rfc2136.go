package dnswriter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// rfc2136Action is what the servers are asked for, as troubles and accesses name it.
const rfc2136Action = "update TXT"

// RFC2136Options is one primary name server that takes dynamic updates (RFC 2136), and the TSIG key (RFC 8945) that signs
// them.
type RFC2136Options struct {
	// Servers are the primary's addresses, as host:port or host (then port 53). They are tried in order until one answers.
	Servers []string
	// Zone is the zone to update; empty means that the server is asked which of its zones holds the name.
	Zone string
	// KeyName, Algorithm and Secret are the TSIG key: its name as the server knows it, "hmac-sha256" (also when empty) or
	// another of that family, and its secret in base64. All empty sends updates unsigned, for servers that go by address.
	KeyName, Algorithm, Secret string
	// TTL of the records that are written, in seconds; zero means 60, so that no resolver holds a value for long.
	TTL uint32
	// Timeout is how long one server is waited for, over each transport; zero means 5 s.
	Timeout time.Duration
	// Dial opens connections; nil means the system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock that updates are signed with; nil means the system's.
	Now func() time.Time
}

// RFC2136 writes TXT values by dynamic update. Each update adds or deletes exactly one value and has no prerequisite, so
// that writers of the same name keep each other's values without having to agree; only the TTL of the record set becomes
// ours and stays so, as a set has but one (RFC 2181 §5.2). It implements renew.DNS.
type RFC2136 struct {
	o   RFC2136Options
	key tsigKey
}

// NewRFC2136 checks the settings; it asks nobody.
func NewRFC2136(o RFC2136Options) (*RFC2136, error) {
	if len(o.Servers) == 0 {
		return nil, errors.New("rfc2136: no server to send updates to")
	}
	o.Servers = slices.Clone(o.Servers)
	for i, s := range o.Servers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
		if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("rfc2136: server %q: want host:port", o.Servers[i])
		}
		o.Servers[i] = s
	}
	if o.Zone != "" {
		o.Zone = dns.Fqdn(strings.ToLower(o.Zone))
		if _, ok := dns.IsDomainName(o.Zone); !ok {
			return nil, fmt.Errorf("rfc2136: zone %q is no domain name", o.Zone)
		}
	}
	key, err := parseTSIG(o.KeyName, o.Algorithm, o.Secret)
	if err != nil {
		return nil, fmt.Errorf("rfc2136: %w", err)
	}
	o.Secret = ""
	if o.TTL == 0 {
		o.TTL = 60
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &RFC2136{o: o, key: key}, nil
}

// Who is the TSIG key's name; without a key it says so.
func (w *RFC2136) Who() string {
	if w.key.name == "" {
		return "no key"
	}
	return strings.TrimSuffix(w.key.name, ".")
}

// String names the writer for people.
func (w *RFC2136) String() string { return "RFC 2136 at " + w.o.Servers[0] + " as " + w.Who() }

// Present adds value to the TXT values at name; see [RFC2136.change] for what happens when answers are lost.
func (w *RFC2136) Present(ctx context.Context, name, value string) error {
	return w.change(ctx, name, value, true)
}

// Withdraw deletes exactly this value (RFC 2136 §2.5.4). That it, its name or the zone is not there is no error.
func (w *RFC2136) Withdraw(ctx context.Context, name, value string) error {
	return w.change(ctx, name, value, false)
}

// change sends an update over UDP, then over TCP, to each server until one answers: adding or deleting a value twice is
// the same as once. When no answer comes the primary is read, since the update may have arrived: what is as it was
// wanted is no error.
func (w *RFC2136) change(ctx context.Context, name, value string, add bool) error {
	full := dns.Fqdn(strings.ToLower(name))
	if _, ok := dns.IsDomainName(full); !ok || full == "." || len(value) > 4096 {
		return w.trouble(assure.DNSWriteFailed, assure.TroubleInvalid, "", "this name or value cannot be written", "")
	}
	zone, t := w.zoneOf(ctx, full)
	if t != nil {
		if !add && t.Class == assure.TroubleMissing {
			return nil // where there is no zone there is no value
		}
		return t
	}
	m, server, lost := w.send(ctx, func() *dns.Msg { return w.update(zone, full, value, add) })
	if lost != nil {
		if lost.Happened && w.readBack(ctx, full, value, add) {
			return nil
		}
		lost.Scope = w.scope(zone, server)
		return lost
	}
	t = w.refusal(m, zone, server)
	switch {
	case t == nil:
		return nil
	case t.Class == assure.TroubleTransient && w.readBack(ctx, full, value, add):
		return nil
	case t.Class == assure.TroubleMissing && !add && w.readBack(ctx, full, value, false):
		return nil
	}
	return t
}

func (w *RFC2136) update(zone, name, value string, add bool) *dns.Msg {
	m := new(dns.Msg).SetUpdate(zone)
	rr := &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: w.o.TTL}, Txt: txtStrings(value)}
	if add {
		m.Insert([]dns.RR{rr})
	} else {
		m.Remove([]dns.RR{rr})
	}
	return m
}

// zoneOf is the configured zone, or the one that the server says holds the name.
func (w *RFC2136) zoneOf(ctx context.Context, name string) (string, *assure.Trouble) {
	if w.o.Zone != "" {
		if !dns.IsSubDomain(w.o.Zone, name) {
			return "", w.trouble(assure.DNSWriteFailed, assure.TroubleMissing, w.scope(w.o.Zone, w.o.Servers[0]),
				fmt.Sprintf("the name %s is not in the zone %s", tsigBare(name), tsigBare(w.o.Zone)), "Set dns.rfc2136.zone of the renewer to the zone that holds the record, after aliases, or leave it out: then it is found by asking.")
		}
		return w.o.Zone, nil
	}
	m, server, t := w.query(ctx, name, dns.TypeSOA)
	if t != nil {
		return "", t
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if soa, ok := rr.(*dns.SOA); ok && m.Authoritative && dns.IsSubDomain(strings.ToLower(soa.Hdr.Name), name) {
			return strings.ToLower(soa.Hdr.Name), nil
		}
	}
	return "", w.trouble(assure.DNSWriteFailed, assure.TroubleMissing, server,
		fmt.Sprintf("the server %s has no zone that holds %s (%s)", server, tsigBare(name), tsigRcode(m.Rcode)), "Make the zone there, or send updates to the server that has it.")
}

// readBack reports whether a server shows that the value is (or is not) there. Not knowing is false. A caller whose
// context has ended waits no longer.
func (w *RFC2136) readBack(ctx context.Context, name, value string, there bool) bool {
	m, _, t := w.query(ctx, name, dns.TypeTXT)
	if t != nil {
		return false
	}
	if !m.Authoritative {
		return !there && m.Rcode == dns.RcodeRefused // it has no such zone
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return false
	}
	want := strings.Join(txtStrings(value), "")
	found := slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
		txt, ok := rr.(*dns.TXT)
		return ok && strings.EqualFold(txt.Hdr.Name, name) && strings.Join(txt.Txt, "") == want
	})
	return found == there
}

// txtStrings cuts a value into strings of at most 255 bytes, in the form that the library reads and writes: with what is
// special escaped (RFC 1035 §5.1).
func txtStrings(value string) []string {
	var out []string
	for chunk := range slices.Chunk([]byte(value), 255) {
		var b strings.Builder
		for _, c := range chunk {
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
		out = append(out, b.String())
	}
	if out == nil {
		out = []string{""}
	}
	return out
}
