package assure

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// servingRule: every address of the endpoint serves the newest certificate, with a chain that clients accept.
func servingRule(b *bench, fact Fact) bool {
	served, ok := fact.(Served)
	if !ok {
		return false
	}
	if b.Blind != "" && !sawAnything(served) {
		b.blind(b.Blind)
		return true
	}
	if served.DNS.Failure != DNSOK {
		b.dnsFailed(served.DNS)
		return true
	}
	v := &view{bench: b, Served: served}
	v.gather(served)
	if alt, ok := b.Evidence.Alternate.(Served); ok && sawAnything(alt) {
		v.alternate(alt)
	}
	if len(v.looks) == 0 {
		return false
	}
	v.failures()
	for i := range v.shown {
		v.chain(&v.shown[i])
	}
	v.differs()
	v.stale()
	b.j.Complete = v.complete
	if b.j.ValidUntil.IsZero() {
		b.j.ValidUntil, b.j.RenewBy = b.ValidUntil, b.RenewBy
	}
	return true
}

func sawAnything(s Served) bool {
	return slices.ContainsFunc(s.Sightings, func(g Sighting) bool { return g.Chain >= 0 })
}

// host is the host part of the claim's target, for commands and causes.
func (b *bench) host() string {
	if t, err := ParseTarget(b.Claim.Subject); err == nil {
		return t.Host
	}
	return clip(b.Claim.Subject, 80)
}

// view is one endpoint under judgement: the sightings that count, and each chain with the addresses that show it.
type view struct {
	*bench
	Served
	looks    []Sighting
	shown    []shown
	complete bool
	all      []string // distinct addresses that count
}

type shown struct {
	Chain
	of        Served
	leaf      Cert
	addresses []string
	standard  bool // shown in a handshake that accepts any certificate, rather than only when one algorithm is asked for
	alternate bool // seen a moment ago rather than now
}

// gather picks the sightings that count. A handshake without a server name only adds a fact, and one that accepts a
// single algorithm may fail just because the server has no such certificate.
func (v *view) gather(s Served) {
	v.complete = true
	reached := sawAnything(s)
	for _, g := range s.Sightings {
		if g.NoSNI || g.Offered != "" && g.Chain < 0 {
			continue
		}
		v.looks = append(v.looks, g)
		if !slices.Contains(v.all, g.Address) {
			v.all = append(v.all, g.Address)
		}
		if g.Chain < 0 || g.Chain >= len(s.Chains) {
			if !(reached && g.Failure == NoRoute) {
				v.complete = false
			}
			continue
		}
		v.show(s, g, false)
	}
}

func (v *view) show(s Served, g Sighting, alternate bool) {
	c := s.Chains[g.Chain]
	if c.Unparsed != "" {
		v.complete = false
	}
	var fp string
	if len(c.Certs) > 0 {
		fp = c.Certs[0]
	}
	for i := range v.shown {
		if slices.Equal(v.shown[i].Certs, c.Certs) && v.shown[i].alternate == alternate {
			if !slices.Contains(v.shown[i].addresses, g.Address) {
				v.shown[i].addresses = append(v.shown[i].addresses, g.Address)
			}
			v.shown[i].standard = v.shown[i].standard || g.Offered == ""
			return
		}
	}
	leaf, _ := s.CertOf(fp)
	v.shown = append(v.shown, shown{Chain: c, of: s, leaf: leaf, addresses: []string{g.Address}, standard: g.Offered == "", alternate: alternate})
}

// alternate adds the chains that the endpoint showed a moment ago and will show again: it goes back and forth, and
// what one of its faces lacks stays wrong while the other is looked at.
func (v *view) alternate(alt Served) {
	for _, g := range alt.Sightings {
		if g.NoSNI || g.Chain < 0 || g.Chain >= len(alt.Chains) {
			continue
		}
		if slices.ContainsFunc(v.shown, func(s shown) bool {
			return !s.alternate && slices.Equal(s.Certs, alt.Chains[g.Chain].Certs) && slices.Contains(s.addresses, g.Address)
		}) {
			continue
		}
		v.show(alt, g, true)
	}
}

// at spreads a finding over the addresses it was seen at: one finding for the endpoint when all show it, else one each.
func (v *view) at(addresses []string, verdict Verdict, make func(address string) Finding) {
	if len(addresses) >= len(v.all) {
		v.add(verdict, make(""))
		return
	}
	for _, a := range addresses {
		f := make(a)
		f.Address = a
		v.add(verdict, f)
	}
}

// chain judges one presented chain.
func (v *view) chain(s *shown) {
	if s.Unparsed != "" || len(s.Certs) == 0 {
		v.at(s.addresses, Broken, func(a string) Finding {
			return Finding{
				Reason: HandshakeFailed, Stage: v.stageOf(true, HandshakeFailed, a, StageOutage), Cause: "handshake/" + v.placeOf(s.addresses[0]),
				Summary: "The certificate served cannot be parsed: " + clip(s.Unparsed, 160) + ".",
				Impact:  "Clients that parse certificates as strictly are refused.", HurtsAt: v.since(HandshakeFailed, a),
				Action: "Issue the certificate anew, and look at it with: openssl x509 -text",
			}
		})
		return
	}
	refused := v.trust(s)
	refused = v.validity(s) || refused
	v.revocation(s)

	end := s.leaf.NotAfter
	if len(s.Paths) > 0 {
		end = minTime(end, s.Paths[0].NotAfter)
	}
	if refused {
		end = minTime(end, v.refusedSince())
	}
	if v.j.ValidUntil.IsZero() || end.Before(v.j.ValidUntil) {
		v.j.ValidUntil = end
		leaf := s.leaf
		v.j.Leaf = &leaf
		v.j.RenewBy = PlanLife(leaf.NotBefore, leaf.NotAfter, v.repair(), v.Policy).RenewBy
	}
}

// refusedSince is when the earliest of the findings began that mean refused clients.
func (v *view) refusedSince() time.Time {
	t := v.Now
	for _, f := range v.j.Findings {
		if f.Stage == StageOutage || f.Severity == Page && f.Reason != Expiring && f.Reason != ChainExpiring {
			t = minTime(t, f.Since)
		}
	}
	return t
}

// lag is the cause of all that comes of a server that was not given, or did not load, the newest certificate.
func (v *view) lag() string { return "lag/" + v.Claim.Certificate + "/" + v.host() }

// outdated reports whether a newer certificate for the same place was issued, or is served at another address of it.
func (v *view) outdated(s *shown) bool {
	newer := func(c Cert) bool { return c.Fingerprint != s.leaf.Fingerprint && c.NotBefore.After(s.leaf.NotBefore) }
	if !s.standard {
		return false
	}
	return v.Issued != nil && newer(*v.Issued) ||
		slices.ContainsFunc(v.shown, func(o shown) bool { return o.standard && o.leaf.Fingerprint != "" && newer(o.leaf) })
}

// differs: addresses that disagree are one stable finding, however often they take turns.
func (v *view) differs() {
	leaves := map[string][]string{} // leaf -> addresses, of handshakes that accept any certificate
	var order []Cert
	for _, s := range v.shown {
		if !s.standard || s.leaf.Fingerprint == "" {
			continue
		}
		if _, ok := leaves[s.leaf.Fingerprint]; !ok {
			order = append(order, s.leaf)
		}
		leaves[s.leaf.Fingerprint] = append(leaves[s.leaf.Fingerprint], s.addresses...)
	}
	if len(order) < 2 {
		return
	}
	slices.SortFunc(order, func(a, b Cert) int { return a.NotBefore.Compare(b.NotBefore) })
	var parts []string
	for _, c := range firstN(order, 4) {
		addresses := slices.Compact(slices.Sorted(slices.Values(leaves[c.Fingerprint])))
		verb := "serves"
		if len(addresses) > 1 {
			verb = "serve"
		}
		parts = append(parts, fmt.Sprintf("%s %s %s (valid until %s)", clip(strings.Join(firstN(addresses, 3), ", "), 120), verb, clip(c.Fingerprint, 8), stamp(c.NotAfter)))
	}
	v.add(Broken, Finding{
		Reason: ServedDiffers, Stage: v.stageOf(true, ServedDiffers, "", StageTicket), Cause: v.lag(),
		HurtsAt: order[0].NotAfter,
		Summary: fmt.Sprintf("%d different certificates are served for %s: %s.", len(order), v.host(), strings.Join(parts, "; ")),
		Impact:  "Which one a client gets is chance; the oldest decides when the first client is refused.",
		Action:  "Bring the newest certificate to the addresses that lag, and reload them.",
	})
}

// stale: what was issued must be what is served.
func (v *view) stale() {
	if v.IssuedProblem != "" {
		v.add(Unknown, Finding{
			Reason: BlindReason, Stage: v.stageOf(true, BlindReason, "", StageTicket), Cause: "issued/" + v.Claim.Certificate,
			Summary: fmt.Sprintf("Whether %s serves the newest certificate is not known: %s.", v.host(), clip(v.IssuedProblem, 200)),
			Impact:  "A server that was not reloaded after a renewal goes unnoticed until its certificate is about to expire.",
			Action:  "Make the file named under issued readable to notafter, or take the key out of the configuration.",
		})
	}
	if v.Issued == nil {
		return
	}
	for i := range v.shown {
		s := &v.shown[i]
		if !s.standard || s.leaf.Fingerprint == "" || s.leaf.Fingerprint == v.Issued.Fingerprint || !s.leaf.NotBefore.Before(v.Issued.NotBefore) {
			continue
		}
		impact := fmt.Sprintf("Nobody yet. Every client of it is refused from %s on, although renewal looks fine.", stamp(s.leaf.NotAfter))
		if v.Now.After(s.leaf.NotAfter) {
			impact = fmt.Sprintf("Every client of it has been refused since %s, although renewal looks fine.", stamp(s.leaf.NotAfter))
		}
		v.at(s.addresses, Broken, func(a string) Finding {
			return Finding{
				Reason: ServedStale, Stage: v.stageOf(true, ServedStale, a, StageTicket), Cause: v.lag(), HurtsAt: s.leaf.NotAfter,
				Summary: fmt.Sprintf("%s still serves the certificate of %s although a newer one was issued at %s.", v.host(), stamp(s.leaf.NotBefore), stamp(v.Issued.NotBefore)),
				Impact:  impact,
				Action:  "Install the new certificate there and reload the server.",
			}
		})
	}
}
