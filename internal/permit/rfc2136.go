package permit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// rfc2136Action is what is asked about, as the DNS writer names it too.
const rfc2136Action = "update TXT"

// RFC2136Options is a primary name server and the TSIG key that the renewer signs updates with.
type RFC2136Options struct {
	// Servers are the primary's addresses, as host:port or host (then port 53), tried in order until one answers.
	Servers []string
	// Zone is the zone that is updated; empty means that the server is asked which of its zones holds the record.
	Zone string
	// KeyName, Algorithm and Secret are the key: "hmac-sha256" when no algorithm is named, the secret in base64. All empty
	// asks unsigned.
	KeyName, Algorithm, Secret string
	// Timeout is how long one server is waited for, over each transport; zero means 5 s.
	Timeout time.Duration
	// Dial opens connections; nil means the system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock that questions are signed with; nil means the system's.
	Now func() time.Time
}

// RFC2136 asks a name server whether it would take an update, by an update that changes nothing: it deletes, at the
// record's own name, a TXT value that is not there (RFC 2136 §2.5.4, §3.4.2.4: "no such RR" is silently ignored). Nothing
// is retried but the loss of an answer. Safe for concurrent use.
//
// What "allowed" proves, by server (read in their sources, and seen with BIND 9.18, Knot 3.2 and PowerDNS 4.7):
//
//   - BIND, with allow-update or update-policy: that key, name and type pass. The update section is scanned for policy
//     record by record, whether or not a TXT record is there (lib/ns/update.c, send_update; only PTR and SRV deletions
//     look first). No change, so no new serial and no journal entry.
//   - Knot: that an ACL allows this key to update with this owner and type (knot/updates/acl.c, update_match looks at the
//     update section). What no ACL allows is answered with BADKEY, as if the key were unknown.
//   - PowerDNS, with TSIG-ALLOW-DNSUPDATE: that the key may update the zone (pdns/rfc2136handler.cc, processUpdate). With a
//     Lua policy instead it proves nothing: records that the policy refuses are skipped, and the answer is NOERROR.
//
// A prerequisite that fails on purpose would prove less: PowerDNS and older versions of BIND look at prerequisites before
// they look at what the update section may.
//
// What it does not prove anywhere: that the server can store a change (a full disk, a limit on the number of records),
// or that it reaches the other servers. Adding is authorised by the same rules as deleting, so that one question answers
// for both. Rehearsals with a canary prove the rest.
type RFC2136 struct {
	o   RFC2136Options
	key tsigKey
}

// NewRFC2136 checks the settings; it asks nobody.
func NewRFC2136(o RFC2136Options) (*RFC2136, error) {
	if len(o.Servers) == 0 {
		return nil, errors.New("rfc2136 permission: no server to ask")
	}
	o.Servers = slices.Clone(o.Servers)
	for i, s := range o.Servers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
		if host, port, err := net.SplitHostPort(s); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("rfc2136 permission: server %q: want host:port", o.Servers[i])
		}
		o.Servers[i] = s
	}
	if o.Zone != "" {
		o.Zone = dns.Fqdn(strings.ToLower(o.Zone))
		if _, ok := dns.IsDomainName(o.Zone); !ok {
			return nil, fmt.Errorf("rfc2136 permission: zone %q is no domain name", o.Zone)
		}
	}
	key, err := parseTSIG(o.KeyName, o.Algorithm, o.Secret)
	if err != nil {
		return nil, fmt.Errorf("rfc2136 permission: %w", err)
	}
	o.Secret = ""
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

func (r *RFC2136) who() string {
	if r.key.name == "" {
		return "no key"
	}
	return strings.TrimSuffix(r.key.name, ".")
}

// Ask gives one answer, for updates of TXT records at the record's name.
func (r *RFC2136) Ask(ctx context.Context, record string) []assure.Access {
	a := assure.Access{Answer: assure.Untold, Identity: r.who(), Action: rfc2136Action, Scope: r.scope(r.o.Zone, r.o.Servers[0])}
	not := func(answer assure.Answer, reason assure.Reason, class assure.TroubleClass, detail, remedy string) []assure.Access {
		a.Answer, a.Detail = answer, detail
		a.Trouble = &assure.Trouble{Reason: reason, Class: class, Identity: a.Identity, Action: a.Action, Scope: a.Scope, Detail: detail, Remedy: remedy}
		return []assure.Access{a}
	}
	unclear := func(class assure.TroubleClass, detail, remedy string) []assure.Access {
		return not(assure.Untold, assure.PermissionUnclear, class, detail, remedy)
	}
	name := dns.Fqdn(strings.ToLower(record))
	if _, ok := dns.IsDomainName(name); !ok || name == "." {
		return unclear(assure.TroubleInvalid, "the record's name is no domain name", "")
	}
	zone := r.o.Zone
	if zone == "" {
		m, server, err := r.each(ctx, func() *dns.Msg {
			q := new(dns.Msg).SetQuestion(name, dns.TypeSOA)
			q.RecursionDesired = false
			return q
		}, false)
		if err != nil {
			return unclear(assure.TroubleTransient, "no answer from the primary: "+err.Error(), "")
		}
		a.Scope = server
		if zone = tsigZone(m, name); zone == "" {
			return unclear(assure.TroubleMissing, fmt.Sprintf("the server has no zone that holds %s", strings.TrimSuffix(name, ".")), "Name the server that has the zone in the DNS writer's settings.")
		}
	}
	a.Scope = r.scope(zone, r.o.Servers[0])
	if !dns.IsSubDomain(zone, name) {
		return unclear(assure.TroubleInvalid, fmt.Sprintf("%s is not in the zone %s", strings.TrimSuffix(name, "."), strings.TrimSuffix(zone, ".")), "Set dns.rfc2136.zone of the renewer to the zone that holds the record, after aliases, or leave it out: then it is found by asking.")
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	m, server, err := r.each(ctx, func() *dns.Msg {
		u := new(dns.Msg).SetUpdate(zone)
		u.Remove([]dns.RR{&dns.TXT{
			Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET},
			Txt: []string{"notafter-permission-" + hex.EncodeToString(random[:])},
		}})
		return u
	}, r.key.name != "")
	if server != "" {
		a.Scope = r.scope(zone, server)
	}
	switch {
	case errors.Is(err, errTSIGAnswer):
		return unclear(assure.TroubleBroken, "the server "+err.Error(), "Look for what stands between here and the server and changes DNS messages.")
	case err != nil:
		return unclear(assure.TroubleTransient, "no answer from the primary: "+err.Error(), "")
	}
	denied := func(class assure.TroubleClass, detail, remedy string) []assure.Access {
		return not(assure.Forbidden, assure.DNSWriteDenied, class, detail, remedy)
	}
	if t := m.IsTsig(); t != nil && m.Rcode != dns.RcodeSuccess {
		switch t.Error {
		case dns.RcodeBadKey:
			return denied(assure.TroubleExpired, "the server does not know the TSIG key, not with this algorithm, or not for such an update (BADKEY)",
				"Put the key back into the server's configuration, or give us the one that is there; on Knot, let its ACL update this record.")
		case dns.RcodeBadSig:
			return denied(assure.TroubleExpired, "the server knows the TSIG key with another secret (BADSIG)", "Give us the secret that the server has for the key.")
		case dns.RcodeBadTime:
			// No grant was lost: the writer says the same.
			return not(assure.Forbidden, assure.DNSWriteFailed, assure.TroubleExpired, "the server's clock differs too much from ours (BADTIME), so that it takes nothing that we sign", "Set the clock that is wrong; both machines should follow a time server.")
		}
	}
	switch m.Rcode {
	case dns.RcodeSuccess:
		a.Answer, a.Detail = assure.Allowed, fmt.Sprintf("the server took an update of TXT at %s that changes nothing", strings.TrimSuffix(name, "."))
		return []assure.Access{a}
	case dns.RcodeRefused:
		return denied(assure.TroubleDenied, "the server refuses the update (REFUSED)", "Let the key write TXT records at this name in the server's update policy. A frozen zone is refused too, and PowerDNS says the same to a wrong secret or clock.")
	case dns.RcodeNotImplemented:
		return denied(assure.TroubleForbidden, "the server takes no dynamic updates (NOTIMP)", "Allow dynamic updates of the zone.")
	case dns.RcodeNotAuth, dns.RcodeNotZone:
		if r.key.name == "" {
			return denied(assure.TroubleDenied, fmt.Sprintf("the server takes no unsigned updates, or is not the primary of %s (%s)", strings.TrimSuffix(zone, "."), dns.RcodeToString[m.Rcode]), "")
		}
		return unclear(assure.TroubleMissing, fmt.Sprintf("the server is not the primary of %s (%s)", strings.TrimSuffix(zone, "."), dns.RcodeToString[m.Rcode]), "Set dns.rfc2136.server of the renewer to the zone's primary, or dns.rfc2136.zone to the zone that it has.")
	case dns.RcodeServerFailure:
		return unclear(assure.TroubleTransient, "the server failed (SERVFAIL)", "")
	}
	return unclear(assure.TroubleBroken, "the server answers with "+tsigRcode(m.Rcode), "")
}

func (r *RFC2136) scope(zone, server string) string {
	if zone == "" {
		return server
	}
	return strings.TrimSuffix(zone, ".") + "@" + server
}

// tsigZone is the zone that an authoritative answer about a name says the name is in.
func tsigZone(m *dns.Msg, name string) string {
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if soa, ok := rr.(*dns.SOA); ok && m.Authoritative {
			if owner := strings.ToLower(soa.Hdr.Name); dns.IsSubDomain(owner, name) {
				return owner
			}
		}
	}
	return ""
}

func tsigRcode(code int) string {
	if s := dns.RcodeToString[code]; s != "" {
		return s
	}
	return fmt.Sprintf("RCODE %d", code)
}
