package dnswriter

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

func (w *RFC2136) trouble(r assure.Reason, class assure.TroubleClass, scope, detail, remedy string) *assure.Trouble {
	return &assure.Trouble{Reason: r, Class: class, Identity: w.Who(), Action: rfc2136Action, Scope: scope, Detail: detail, Remedy: remedy}
}

func (w *RFC2136) scope(zone, server string) string { return tsigBare(zone) + "@" + server }

// refusal turns the answer to an update into trouble; nil when it says that the update was made.
func (w *RFC2136) refusal(m *dns.Msg, zone, server string) *assure.Trouble {
	at := w.scope(zone, server)
	if t := m.IsTsig(); t != nil && m.Rcode != dns.RcodeSuccess {
		switch t.Error {
		case dns.RcodeBadKey:
			return w.trouble(assure.DNSWriteDenied, assure.TroubleExpired, at, "the server does not know the TSIG key, not with this algorithm, or not for such an update (BADKEY)",
				"Put the key back into the server's configuration, or give us the one that is there; on Knot, let its ACL update this record.") // Knot answers so what no ACL allows
		case dns.RcodeBadSig:
			return w.trouble(assure.DNSWriteDenied, assure.TroubleExpired, at, "the server knows the TSIG key with another secret (BADSIG)",
				"Give us the secret that the server has for the key.")
		case dns.RcodeBadTime:
			return w.trouble(assure.DNSWriteFailed, assure.TroubleExpired, at, "the server's clock differs too much from ours (BADTIME)"+w.apart(t),
				"Set the clock that is wrong; both machines should follow a time server.")
		case dns.RcodeBadTrunc:
			return w.trouble(assure.DNSWriteDenied, assure.TroubleExpired, at, "the server wants a longer signature (BADTRUNC)", "")
		}
	}
	switch m.Rcode {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeRefused:
		return w.trouble(assure.DNSWriteDenied, assure.TroubleDenied, at, "the server refuses the update (REFUSED)",
			"Let the key write TXT records at this name in the server's update policy. A frozen zone is refused too, and PowerDNS says the same to a wrong secret or clock.")
	case dns.RcodeNotAuth:
		if w.key.name == "" {
			return w.trouble(assure.DNSWriteDenied, assure.TroubleDenied, at, fmt.Sprintf("the server takes no unsigned updates, or is not the primary of %s (NOTAUTH)", tsigBare(zone)), "")
		}
		return w.trouble(assure.DNSWriteFailed, assure.TroubleMissing, at, fmt.Sprintf("the server is not the primary of %s (NOTAUTH)", tsigBare(zone)),
			"Set dns.rfc2136.server of the renewer to the zone's primary, or dns.rfc2136.zone to the zone that it has.")
	case dns.RcodeNotZone:
		return w.trouble(assure.DNSWriteFailed, assure.TroubleMissing, at, fmt.Sprintf("the name is not in the zone %s as the server has it (NOTZONE)", tsigBare(zone)), "Set dns.rfc2136.zone of the renewer to the zone that holds the record, after aliases.")
	case dns.RcodeNotImplemented:
		return w.trouble(assure.DNSWriteFailed, assure.TroubleForbidden, at, "the server takes no dynamic updates (NOTIMP)", "Allow dynamic updates of the zone.")
	case dns.RcodeFormatError:
		return w.trouble(assure.DNSWriteFailed, assure.TroubleInvalid, at, "the server cannot read the update (FORMERR)", "")
	case dns.RcodeServerFailure:
		return w.trouble(assure.DNSWriteFailed, assure.TroubleTransient, at, "the server failed to make the update (SERVFAIL)", "")
	}
	return w.trouble(assure.DNSWriteFailed, assure.TroubleBroken, at, "the server answers the update with "+tsigRcode(m.Rcode), "")
}

// apart says by how much, where the server tells its time (RFC 8945 §5.2.3: 48 bits of seconds).
func (w *RFC2136) apart(t *dns.TSIG) string {
	b, err := hex.DecodeString(t.OtherData)
	if err != nil || len(b) != 6 {
		return ""
	}
	var s int64
	for _, c := range b {
		s = s<<8 | int64(c)
	}
	off := w.o.Now().Sub(time.Unix(s, 0)).Round(time.Second)
	switch {
	case off > 0:
		return fmt.Sprintf(": ours is %s ahead", off)
	case off < 0:
		return fmt.Sprintf(": ours is %s behind", -off)
	}
	return ""
}

func tsigBare(name string) string { return strings.TrimSuffix(name, ".") }

func tsigRcode(code int) string {
	if s := dns.RcodeToString[code]; s != "" {
		return s
	}
	return fmt.Sprintf("RCODE %d", code)
}
