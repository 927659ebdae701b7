package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// endpointView is one claim of a certificate with what was seen.
type endpointView struct {
	assure.ClaimView
	Bar       bar
	SeenAt    time.Time
	Served    bool // there is a look at an endpoint to show
	DNS       string
	Trouble   string // why there is nothing to show
	Addresses []addressView
	Hidden    int // addresses beyond those shown
	Chains    []chainView
	Life      *life
	Leaf      *assure.Cert
}

type addressView struct {
	assure.Sighting
	Leaf    *assure.Cert
	Mark    string // letter of the chain
	Until   time.Time
	Trouble string
	Note    string
}

// chainView is one presented chain, drawn from the leaf to the trust anchor.
type chainView struct {
	Mark    string
	Rings   []ring
	NowX    float64
	Remarks []string
	Where   []string
	Until   time.Time
	Cut     bool // the chain ends before its leaf does, or has ended: what limits it is worth a warning
}

// ring is one certificate of a chain, or the place of one that is missing.
type ring struct {
	assure.Cert
	Role     string // leaf, intermediate, trust anchor, missing, not needed
	Limiting bool
	Unserved bool
	X, W     float64
	Last     bool
}

const (
	addressesShown = 64
	chainsShown    = 6
)

// newEndpointView shows a claim. due is when the next renewal is due, zero when notafter does not renew it.
func newEndpointView(c assure.ClaimView, letters lettering, due, now time.Time, p assure.Policy) endpointView {
	e := endpointView{ClaimView: c, Bar: newBar(now, due, c.RenewBy, c.ValidUntil)}
	if c.Evidence == nil {
		e.Trouble = "Nobody has looked yet."
		return e
	}
	e.SeenAt = c.Evidence.LastSeen
	switch f := c.Evidence.Fact.(type) {
	case assure.Served:
		e.show(f, letters, due, now, p)
	case assure.Blind:
		e.Trouble = "notafter could not see: " + f.Detail
	case nil:
		e.Trouble = "Nobody has looked yet."
	default:
		e.Trouble = factWords(f)
	}
	return e
}

func (e *endpointView) show(s assure.Served, letters lettering, due, now time.Time, p assure.Policy) {
	marks := letters.chains(s.Chains)
	e.Served = true
	e.DNS = dnsWords(s.DNS)
	for i := range s.Chains {
		if i < chainsShown {
			e.Chains = append(e.Chains, newChainView(s, i, marks[i], now))
		}
	}
	var deciding assure.Path
	for _, g := range s.Sightings {
		a := addressView{Sighting: g}
		if g.Chain >= 0 && g.Chain < len(s.Chains) {
			c := s.Chains[g.Chain]
			a.Mark, a.Until = marks[g.Chain], chainEnd(s, c)
			if leaf, ok := leafOfChain(s, c); ok {
				a.Leaf = &leaf
				if !g.NoSNI && (e.Leaf == nil || leaf.NotAfter.Before(e.Leaf.NotAfter)) { // the default certificate refuses no client that sends the name
					e.Leaf, deciding = &leaf, assure.Path{}
					if len(c.Paths) > 0 {
						deciding = c.Paths[0]
					}
				}
			}
			if g.Chain < len(e.Chains) && !slices.Contains(e.Chains[g.Chain].Where, g.Address) {
				e.Chains[g.Chain].Where = append(e.Chains[g.Chain].Where, g.Address)
			}
		}
		if g.Failure != assure.OK {
			a.Trouble = failureWords(g)
		}
		a.Note = sightingNote(g)
		if len(e.Addresses) < addressesShown {
			e.Addresses = append(e.Addresses, a)
		} else {
			e.Hidden++
		}
	}
	if e.Leaf != nil {
		plan := assure.PlanLife(e.Leaf.NotBefore, e.Leaf.NotAfter, e.Claim.TimeToRepair, p)
		l := newLife(plan, due, e.RenewBy, deciding.NotAfter, now)
		e.Life = &l
	}
}

func newChainView(s assure.Served, i int, mark string, now time.Time) chainView {
	c := s.Chains[i]
	v := chainView{Mark: mark, Until: chainEnd(s, c)}
	leaf, ok := leafOfChain(s, c)
	v.Cut = ok && v.Until.Before(leaf.NotAfter) || !v.Until.After(now)
	add := func(fp, role string, limiting bool) {
		cert, ok := s.CertOf(fp)
		if !ok {
			cert = assure.Cert{Fingerprint: fp, Subject: "(not kept)"}
		}
		v.Rings = append(v.Rings, ring{Cert: cert, Role: role, Limiting: limiting, Unserved: !slices.Contains(c.Certs, fp)})
	}
	role := func(i, n int) string {
		switch {
		case i == 0:
			return "leaf"
		case i == n-1:
			return "trust anchor"
		}
		return "intermediate"
	}
	if len(c.Paths) > 0 {
		p := c.Paths[0]
		for j, fp := range p.Certs {
			add(fp, role(j, len(p.Certs)), fp == p.LimitedBy)
		}
		for _, fp := range c.Certs {
			if !slices.Contains(p.Certs, fp) {
				add(fp, "served, not needed here", false)
			}
		}
	} else {
		for j, fp := range c.Certs {
			r := "intermediate"
			if j == 0 {
				r = "leaf"
			}
			add(fp, r, false)
		}
		if c.MissingIssuer != "" {
			v.Rings = append(v.Rings, ring{Cert: assure.Cert{Subject: c.MissingIssuer}, Role: "missing", Unserved: true})
		}
	}
	if n := len(v.Rings); n > 0 {
		v.Rings[n-1].Last = true
	}
	v.place(now)
	v.Remarks = chainRemarks(s, c)
	return v
}

// place draws the dates of a chain on one axis: the leaf's lifetime in the middle, what lasts longer runs off its ends.
func (v *chainView) place(now time.Time) {
	if len(v.Rings) == 0 {
		return
	}
	from, to := v.Rings[0].NotBefore, v.Rings[0].NotAfter
	for _, r := range v.Rings[1:] {
		if r.Limiting && r.NotAfter.Before(from) {
			from = r.NotAfter
		}
	}
	if now.Before(from) {
		from = now
	}
	if now.After(to) {
		to = now
	}
	margin := max(to.Sub(from)/5, time.Second)
	from, to = from.Add(-margin/2), to.Add(margin)
	whole := float64(to.Sub(from))
	at := func(t time.Time) float64 { return min(1, max(0, float64(t.Sub(from))/whole)) }
	v.NowX = at(now)
	for i := range v.Rings {
		r := &v.Rings[i]
		if r.NotAfter.IsZero() {
			continue
		}
		r.X = at(r.NotBefore)
		r.W = max(at(r.NotAfter)-r.X, 0.006)
	}
}

func leafOfChain(s assure.Served, c assure.Chain) (assure.Cert, bool) {
	if len(c.Certs) == 0 {
		return assure.Cert{}, false
	}
	return s.CertOf(c.Certs[0])
}

// leafOf is the leaf that the first handshake showed, nil when none did.
func leafOf(f assure.Fact) *assure.Cert {
	s, ok := f.(assure.Served)
	if !ok {
		return nil
	}
	for _, g := range s.Sightings {
		if g.Chain >= 0 && g.Chain < len(s.Chains) && !g.NoSNI {
			if c, ok := leafOfChain(s, s.Chains[g.Chain]); ok {
				return &c
			}
		}
	}
	return nil
}

// chainEnd is when clients stop accepting a chain for its dates: the end of the best path, or of the leaf without one.
func chainEnd(s assure.Served, c assure.Chain) time.Time {
	leaf, ok := leafOfChain(s, c)
	if len(c.Paths) > 0 && (!ok || c.Paths[0].NotAfter.Before(leaf.NotAfter)) {
		return c.Paths[0].NotAfter
	}
	return leaf.NotAfter
}

func chainRemarks(s assure.Served, c assure.Chain) []string {
	var out []string
	say := func(on bool, format string, args ...any) {
		if on {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	say(c.Unparsed != "", "The leaf could not be parsed: %s.", c.Unparsed)
	if c.Unparsed == "" {
		say(!c.NameMatches, "The leaf is not valid for this host name.")
		say(c.SelfSigned, "The leaf is signed by its own key.")
		say(!c.ServerAuth, "The leaf may not be used by a TLS server.")
	}
	say(c.MissingIssuer != "" && !c.UntrustedRoot, "The issuer %q was not served.", c.MissingIssuer)
	say(c.UntrustedRoot, "The chain ends at a root that is not trusted: %q.", cmp.Or(c.MissingIssuer, "unnamed"))
	say(c.PathError != "", "No path is accepted: %s.", c.PathError)
	say(c.WeakKey != "", "Weak key: %s.", c.WeakKey)
	say(c.WeakSignature != "", "Weak signature: %s.", c.WeakSignature)
	say(len(c.Paths) > 1, "%d paths lead to a trusted root; the longest lasting is drawn.", len(c.Paths))
	say(c.Extra > 0, "%d more certificates were served than are kept.", c.Extra)
	for _, r := range c.Revocation {
		who := r.Cert
		if cert, ok := s.CertOf(r.Cert); ok {
			who = cert.Subject
		}
		if r.Status == assure.RevocationGood {
			say(true, "%s: not revoked, says %s.", who, strings.ToUpper(r.Via))
			continue
		}
		say(true, "%s: %s, says %s. %s", who, r.Status, strings.ToUpper(r.Via), cmp.Or(r.Detail, r.Reason))
	}
	for i, l := range c.Lint {
		if i == 8 {
			say(true, "%d more remarks of the linter.", len(c.Lint)-8)
			break
		}
		say(true, "Lint: %s", l)
	}
	return out
}

func dnsWords(d assure.DNS) string {
	what := map[assure.DNSFailure]string{
		assure.DNSNXDomain: "The name does not exist.", assure.DNSNoAddress: "The name has no address.",
		assure.DNSServfail: "The name servers could not answer.", assure.DNSTimeout: "No name server answered in time.",
		assure.DNSInvalid: "The name cannot be looked up, or the answer makes no sense.",
	}[d.Failure]
	if d.Failure != assure.DNSOK && d.Detail != "" {
		what += " " + d.Detail
	}
	if len(d.CNAMEs) > 0 {
		what = strings.TrimSpace(what + " Alias of " + strings.Join(d.CNAMEs, ", then "))
	}
	return what
}

func failureWords(g assure.Sighting) string {
	what := map[assure.Failure]string{
		assure.Refused: "Connection refused", assure.NoRoute: "No route to it", assure.Timeout: "No answer in time",
		assure.Reset: "Connection reset", assure.Alert: "TLS alert", assure.NotTLS: "Not TLS", assure.Malformed: "Broken TLS",
		assure.TooLarge: "Too much data", assure.UpgradeRefused: "TLS not offered", assure.UpgradeFailed: "Not the expected protocol",
		assure.Panicked: "Could not be parsed", assure.LocalFailure: "This machine could not try",
	}[g.Failure]
	what = cmp.Or(what, strings.ReplaceAll(string(g.Failure), "_", " "))
	if g.At != "" {
		what += " at " + g.At
	}
	if g.Detail != "" {
		what += ": " + g.Detail
	}
	return what
}

func sightingNote(g assure.Sighting) string {
	var parts []string
	if g.NoSNI {
		parts = append(parts, "without a server name")
	}
	if g.Offered != "" {
		parts = append(parts, "only "+strings.ToUpper(g.Offered)+" accepted")
	}
	if g.ClientCert {
		parts = append(parts, "asks for a client certificate")
	}
	return strings.Join(parts, ", ")
}

// factWords tells a fact in one line.
func factWords(f assure.Fact) string {
	switch f := f.(type) {
	case assure.Served:
		if f.DNS.Failure != assure.DNSOK {
			return dnsWords(f.DNS)
		}
		var bad []string
		leaves := map[string]bool{}
		for _, g := range f.Sightings {
			if g.Chain >= 0 && g.Chain < len(f.Chains) {
				if c, ok := leafOfChain(f, f.Chains[g.Chain]); ok {
					leaves[c.Fingerprint] = true
				}
			} else if !g.NoSNI && g.Offered == "" {
				bad = append(bad, g.Address+" "+failureWords(g))
			}
		}
		words := ""
		if l := leafOf(f); l != nil {
			words = "Serves " + short(l.Fingerprint) + ", valid until " + l.NotAfter.UTC().Format("2 Jan 2006 15:04 UTC")
			if len(leaves) > 1 {
				words += fmt.Sprintf(", and %d more", len(leaves)-1)
			}
			words += "."
		}
		if slices.ContainsFunc(f.Chains, func(c assure.Chain) bool {
			return slices.ContainsFunc(c.Revocation, func(r assure.Revocation) bool { return r.Status == assure.RevocationRevoked })
		}) {
			words += " Revoked."
		}
		if len(bad) > 0 {
			words = strings.TrimSpace(words + " " + bad[0])
			if len(bad) > 1 {
				words += fmt.Sprintf(" and %d more", len(bad)-1)
			}
			words += "."
		}
		return cmp.Or(words, "Nothing was seen.")
	case assure.Blind:
		return "notafter could not see: " + f.Detail
	case assure.Sight:
		return fmt.Sprintf("%s of %s endpoints with fresh evidence; %s behind; %s waiting.", count(f.Observed), count(f.Expected),
			assure.Ago(time.Duration(f.Late)), plural(f.Backlog, "notice"))
	case assure.Heard:
		if f.Held != "" {
			return "Withheld: " + f.Held
		}
		if f.OK {
			return "The outside party heard it."
		}
		return "The outside party did not take it: " + f.Detail
	case assure.Delivered:
		words := "The last delivery was " + strings.ReplaceAll(string(f.Class), "_", " ")
		if d := strings.TrimRight(f.Detail, ". \n"); d != "" {
			words += ": " + d
		}
		return words + "."
	case assure.Rehearsed:
		return rehearsedWords(f)
	case assure.Renewing:
		return renewingWords(f)
	case nil:
		return "Nothing is on record."
	}
	return f.Kind()
}

func short(fp string) string { return fp[:min(len(fp), 12)] }
