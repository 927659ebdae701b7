package assure

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (b *bench) dnsFailed(d DNS) {
	b.j.ValidUntil, b.j.RenewBy = b.ValidUntil, b.RenewBy
	host := b.host()
	f := Finding{
		Reason: DNSFailed, Cause: "dns/" + host, HurtsAt: b.ValidUntil,
		Action: fmt.Sprintf("Ask the zone's own servers: dig +trace %s", host),
		Basis:  strings.TrimSpace(b.basis() + " " + sentence(d.Detail)),
	}
	verdict := Unknown
	switch d.Failure {
	case DNSNXDomain:
		verdict = Broken
		f.Summary = fmt.Sprintf("The name %s does not exist (NXDOMAIN).", host)
		f.Impact = "Clients that do not have the address cached find no server."
		f.Action = "Restore the record, or take the endpoint out of the configuration if it is gone for good."
	case DNSNoAddress:
		verdict = Broken
		f.Reason = NoAddress
		f.Summary = fmt.Sprintf("The name %s exists but has no address (neither A nor AAAA).", host)
		f.Impact = "Clients that do not have the address cached find no server."
		f.Action = "Restore the address record, or take the endpoint out of the configuration if it is gone for good."
	case DNSTimeout:
		f.Summary = fmt.Sprintf("No name server answered for %s in time, so its certificate could not be looked at.", host)
		f.Impact = b.lastKnown()
	case DNSInvalid:
		f.Summary = fmt.Sprintf("The name %s cannot be resolved: the name or the answer is malformed.", host)
		f.Impact = b.lastKnown()
	default:
		f.Summary = fmt.Sprintf("The name servers could not answer for %s (%s), so its certificate could not be looked at.", host, strings.ToUpper(clip(string(d.Failure), 20)))
		f.Impact = b.lastKnown()
	}
	stage := StageTicket
	if verdict == Unknown {
		stage = b.deadline()
	}
	f.Stage = b.stageOf(true, f.Reason, "", stage)
	b.add(verdict, f)
}

func (v *view) failures() {
	type kind struct {
		reason Reason
		g      Sighting
	}
	reached := sawAnything(v.Served)
	groups := map[string][]string{}
	first := map[string]kind{}
	var order []string
	for _, g := range v.looks {
		if g.Failure == OK || g.Offered != "" || g.Chain >= 0 && g.ClientCert {
			// A server that wants a client certificate we do not hold has shown its own; that is all there is to see.
			continue
		}
		reason := HandshakeFailed
		if g.At == AtConnect || g.Failure == LocalFailure || g.Failure == NoRoute {
			reason = Unreachable
		}
		key := string(reason) + " " + string(g.Failure) + " " + g.At
		if _, ok := first[key]; !ok {
			first[key] = kind{reason, g}
			order = append(order, key)
		}
		if !slices.Contains(groups[key], g.Address) {
			groups[key] = append(groups[key], g.Address)
		}
	}
	for _, key := range order {
		k := first[key]
		v.at(groups[key], v.failureVerdict(k.reason, k.g, reached), func(address string) Finding {
			return v.failure(k.reason, k.g, address, reached)
		})
	}
}

func (v *view) failureVerdict(r Reason, g Sighting, reached bool) Verdict {
	switch {
	case r == Unreachable && g.Failure == NoRoute && reached:
		return Upheld
	case r == Unreachable:
		return Unknown
	default:
		return Broken
	}
}

func (v *view) failure(r Reason, g Sighting, address string, reached bool) Finding {
	where := fmt.Sprintf("%s (%s)", v.host(), g.Address)
	if g.Address == v.Claim.Subject || strings.HasPrefix(g.Address, v.host()+":") {
		where = g.Address
	}
	if address == "" && len(v.all) > 1 {
		where = fmt.Sprintf("all %d addresses of %s", len(v.all), v.host())
	}
	f := Finding{Reason: r, Basis: strings.TrimSpace(v.basis() + " " + sentence(clip(g.Detail, 200)))}
	if r == Unreachable {
		f.Cause = "reach/" + v.placeOf(g.Address)
		f.Summary = fmt.Sprintf("%s could not be reached: %s.", where, failureText(g))
		f.Impact = v.lastKnown()
		f.HurtsAt = v.ValidUntil
		f.Action = "Check that the service listens, that the address is current, and that a firewall lets this machine through."
		f.Stage = v.stageOf(true, r, address, v.deadline())
		if g.Failure == NoRoute && reached {
			f.Stage = StageNone
			f.Summary = fmt.Sprintf("%s was not looked at: this machine has no route to it.", where)
			f.Action = "Run notafter from a machine that has that address family too, or leave it to another observer."
		}
		return f
	}
	f.Cause = "handshake/" + v.placeOf(g.Address)
	f.Summary = fmt.Sprintf("No TLS handshake with %s: %s.", where, failureText(g))
	f.Impact = "Clients that connect there are refused."
	f.Action = v.handshakeAction(g)
	f.HurtsAt = v.since(r, address)
	f.Stage = v.stageOf(true, r, address, StageOutage)
	return f
}

// placeOf is what failures to connect have in common. The set of addresses that the name leads to stands for the
// machine or balancer behind it, so that many names on one dead balancer are one cause.
func (v *view) placeOf(address string) string {
	if len(v.all) <= 1 {
		return address
	}
	hosts := make([]string, 0, len(v.all))
	for _, a := range v.all {
		if ap, err := netip.ParseAddrPort(a); err == nil {
			a = ap.Addr().String()
		}
		hosts = append(hosts, a)
	}
	slices.Sort(hosts)
	return strings.Join(slices.Compact(hosts), ",")
}

func failureText(g Sighting) string {
	switch g.Failure {
	case Refused:
		return "the connection was refused"
	case NoRoute:
		return "there is no route to it"
	case Timeout:
		switch g.At {
		case AtConnect:
			return "no answer to the connection attempt in time"
		case AtUpgrade:
			return "the server fell silent before TLS began"
		}
		return "the server fell silent during the handshake"
	case Reset:
		return "the connection was cut"
	case Alert:
		return "the server refused with a TLS alert"
	case NotTLS:
		return "what answers there does not speak TLS"
	case Malformed:
		return "what the server sent cannot be parsed"
	case TooLarge:
		return "the server sent more than a handshake may hold"
	case UpgradeRefused:
		return "the server does not offer to switch to TLS"
	case UpgradeFailed:
		return "the server does not speak the expected protocol before TLS"
	case Panicked:
		return "what the server sent made a parser of notafter fail"
	case LocalFailure:
		return "this machine could not open the connection"
	default:
		return clip(string(g.Failure), 40)
	}
}

// byHand is the command that shows a person what the probe saw.
func (v *view) byHand(g Sighting) string {
	cmd := "openssl s_client -connect " + g.Address
	t, err := ParseTarget(v.Claim.Subject)
	if err != nil {
		return cmd
	}
	if !t.IsIP() {
		cmd += " -servername " + t.Host
	}
	switch t.Scheme {
	case "tls", "https":
	case "h3":
		return "curl --http3-only -v https://" + t.Host
	default:
		cmd += " -starttls " + t.Scheme
	}
	return cmd
}

func (v *view) handshakeAction(g Sighting) string {
	switch g.Failure {
	case NotTLS:
		return "Check the port and the scheme: a service that upgrades needs its scheme, as in smtp://host:587."
	case UpgradeRefused, UpgradeFailed:
		return "Check that the service has TLS switched on and that the scheme matches what listens on this port."
	case Alert:
		return "Read the server's log for the refused handshake: often there is no certificate for this server name."
	case Panicked:
		return "Report this to notafter with the output of: " + v.byHand(g) + " -showcerts"
	default:
		return "Read the server's log, and try by hand: " + v.byHand(g)
	}
}
