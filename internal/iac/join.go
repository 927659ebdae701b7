package iac

import (
	"slices"
	"strings"
	"time"
)

// answer is whether a certificate rests on a tie.
type answer int

const (
	no answer = iota
	maybe
	yes
)

// resting lists the certificates of the inventory that rest on a tie.
func (j *judge) resting(t *Tie) (out []*Certificate) {
	for i := range j.inv.Certificates {
		if c := &j.inv.Certificates[i]; j.rests(c, t) == yes {
			out = append(out, c)
		}
	}
	return out
}

// perhaps lists the certificates of the inventory that may rest on a tie: the inventory does not say as whom they are
// renewed, and their challenges are, by a zone, a record or a name of theirs, where the tie or its identity may write.
func (j *judge) perhaps(t *Tie) (out []*Certificate) {
	for i := range j.inv.Certificates {
		c := &j.inv.Certificates[i]
		if j.rests(c, t) == maybe && (j.near(c, t) || bound(t.Kind) && t.Kind != KindGrant || t.Kind == KindIdentity) &&
			(t.Kind == KindGrant || t.Kind == KindBlock || slices.ContainsFunc(j.before, func(b Tie) bool {
				return b.Kind == KindGrant && b.Principal != "" && alike(b.Principal, t.Principal) && j.near(c, &b)
			})) {
			out = append(out, c)
		}
	}
	return out
}

// near reports whether a certificate's challenges are where a tie holds: the inventory says so, or says nothing of where
// they are written and a name of the certificate is in the zone.
func (j *judge) near(c *Certificate, t *Tie) bool {
	if len(t.Scope) == 0 || within(t.Scope, c) == no {
		return false
	}
	if within(t.Scope, c) == yes {
		return true
	}
	for _, s := range append(slices.Clone(t.Scope), strings.Fields(t.Place)...) {
		if strings.Contains(s, ".") && !strings.HasPrefix(lower(s), "microsoft.") && len(c.Names) > 0 && onTheWay(s, c) == yes {
			return true
		}
	}
	return false
}

// unused reports whether the inventory shows that none of its certificates rests on a tie. One that knows nothing shows
// nothing.
func (j *judge) unused(t *Tie) bool {
	for i := range j.inv.Certificates {
		if j.rests(&j.inv.Certificates[i], t) != no {
			return false
		}
	}
	return len(j.inv.Certificates) > 0
}

// silent reports whether a tie counts for nothing: nobody is known to use it.
func (j *judge) silent(t *Tie) bool {
	if t.Challenge != "" && !slices.ContainsFunc(j.inv.Certificates, func(c Certificate) bool { return c.Challenge == t.Challenge }) {
		return true
	}
	return t.Idle && len(j.resting(t)) == 0
}

// rests says whether a certificate rests on a tie (or is stopped by a block). Where the cloud named what grants, that
// decides; otherwise the identity and the place do.
func (j *judge) rests(c *Certificate, t *Tie) answer {
	dns := c.Challenge == "" || c.Challenge == "dns-01"
	switch t.Kind {
	case KindGrant:
		switch {
		case !dns:
			return no
		case t.ID != "" && has(c.Grants, t.ID):
			return yes
		case j.named[c]: // then it rests on nothing else
			return no
		}
		who := known(c, t)
		if who == no || within(t.Scope, c) == no {
			return no
		}
		return who
	case KindIdentity, KindTrust, KindCredential:
		return known(c, t)
	case KindZone:
		return both(dns, max(onTheWay(t.Principal, c), zoned(c, t)))
	case KindRecord:
		return both(dns, onTheWay(t.Principal, c))
	case KindBlock:
		return stopped(c, t, dns)
	case KindPath:
		if c.Challenge != "" && c.Challenge != "http-01" {
			return no
		}
	}
	for _, n := range append([]string{t.Principal, t.Who}, t.Also...) {
		if n != "" && (alike(n, c.Renewer) || has(c.Identities, n) || has(c.Names, n)) {
			return yes
		}
	}
	return maybe
}

func both(ok bool, a answer) answer {
	if !ok {
		return no
	}
	return a
}

// known says whether a certificate is renewed by a tie's principal.
func known(c *Certificate, t *Tie) answer {
	if len(c.Identities) == 0 || slices.Contains(t.Unknown, PartPrincipal) {
		return maybe
	}
	for _, n := range append([]string{t.Principal}, t.Also...) {
		if n != "" && slices.ContainsFunc(c.Identities, func(id string) bool { return has([]string{n}, id) || has([]string{id}, n) }) {
			return yes
		}
	}
	return no
}

// stopped says whether a block stops the renewal of a certificate.
func stopped(c *Certificate, t *Tie, dns bool) answer {
	if len(t.Members) > 0 {
		for _, i := range c.Issuers {
			if slices.ContainsFunc(t.Members, func(m string) bool { return issuerOf(m) == issuerOf(i) }) {
				return no
			}
		}
	} else if !dns {
		return no
	}
	if t.Condition == "wildcard names" && !slices.ContainsFunc(c.Names, func(n string) bool { return strings.HasPrefix(n, "*.") }) {
		return no
	}
	place := maybe
	if len(t.Scope) > 0 {
		place = within(t.Scope, c)
	}
	switch {
	case t.Principal == "":
		return place
	case isName(t.Principal):
		return onTheWay(t.Principal, c)
	case place == no:
		return no
	}
	return known(c, t)
}

func isName(s string) bool { return strings.Contains(s, ".") && !strings.ContainsAny(s, "/:@") }

// onTheWay says whether a DNS name is a challenge record of a certificate, or above one.
func onTheWay(name string, c *Certificate) answer {
	p := fqdn(name)
	if p == "" {
		return maybe
	}
	for _, r := range c.records() {
		if r = fqdn(r); r == p || strings.HasSuffix(r, "."+p) {
			return yes
		}
	}
	if len(c.Names) == 0 && len(c.Records) == 0 {
		return maybe
	}
	return no
}

// records are the names of a certificate's challenge records, before and after aliases (RFC 8555 section 8.4).
func (c *Certificate) records() []string {
	out := slices.Clone(c.Records)
	for _, n := range c.Names {
		out = append(out, "_acme-challenge."+strings.TrimPrefix(n, "*."))
	}
	return out
}

// zoned says whether a certificate's challenges are written to a zone.
func zoned(c *Certificate, t *Tie) answer {
	for _, z := range c.Zones {
		if fqdn(z) == fqdn(t.Principal) || t.ID != "" && alike(z, t.ID) {
			return yes
		}
	}
	return no
}

func fqdn(name string) string { return lower(strings.TrimSuffix(name, ".")) }

// within says whether the challenge records of a certificate lie in a scope. A zone that the inventory knows by its name
// alone may lie in any scope that names no zone.
func within(scope Path, c *Certificate) answer {
	if len(scope) == 0 {
		return yes
	}
	if len(c.Zones) == 0 && len(c.Records) == 0 {
		return maybe
	}
	// The names in the scope: the zone, and perhaps the record within it.
	last := fqdn(scope[len(scope)-1])
	out, named := no, false
	for _, z := range c.Zones {
		if strings.Contains(z, "/") {
			p := PathOf(z)
			switch {
			case scope.Covers(p):
				return yes
			case p.Covers(scope):
				out = max(out, recorded(last, p[len(p)-1], c))
			case !alike(p[0], scope[0]):
				out = max(out, maybe) // ids of two kinds
			}
			continue
		}
		// Ids of Route 53 have nothing above them: one that is another one says no.
		named = named || strings.Contains(z, ".") || len(scope) < 2 || scope[0] != "hostedzone"
		for i, s := range scope {
			if fqdn(s) != fqdn(z) {
				continue
			}
			if i == len(scope)-1 {
				return yes
			}
			out = max(out, recorded(last, z, c))
		}
	}
	if out == no && named {
		out = recorded(last, "", c) // a record by its whole name, in a zone by its id
	}
	if out == no && named && !slices.ContainsFunc(scope, func(s string) bool { return strings.Contains(s, ".") && !strings.HasPrefix(s, "microsoft.") }) {
		return maybe
	}
	if out == no && len(c.Zones) == 0 {
		for _, r := range c.Records {
			if r = fqdn(r); r == last || strings.HasSuffix(r, "."+last) {
				return yes
			}
		}
		return maybe
	}
	return out
}

// recorded says whether a record of a zone is one of the certificate's.
func recorded(record, zone string, c *Certificate) answer {
	for _, r := range c.records() {
		if r = fqdn(r); r == record || r == fqdn(record)+"."+fqdn(zone) || record == "@" && r == fqdn(zone) {
			return yes
		}
	}
	return no
}

// hurt leaves out the certificates that what is left of a grant is enough for.
func (j *judge) hurt(t *Tie, f fate, rest []*Certificate) []*Certificate {
	return slices.DeleteFunc(rest, func(c *Certificate) bool {
		return j.keeps(t, f.left, func(u *Tie) bool { return within(u.Scope, c) == yes })
	})
}

func namesOf(list []*Certificate) []string {
	out := make([]string, 0, len(list))
	for _, c := range list {
		out = append(out, c.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// due is when a certificate is hurt by a renewal that cannot happen; zero when not known.
func (c *Certificate) due() time.Time {
	if !c.Next.IsZero() {
		return c.Next
	}
	return c.NotAfter
}

// hurtsAt is the earliest moment at which one of the certificates is hurt; nil when not known.
func hurtsAt(list []*Certificate) *time.Time {
	if c := first(list, (*Certificate).due); c != nil {
		at := c.due().UTC()
		return &at
	}
	return nil
}

// first finds the certificate for which a moment comes first; nil when it is known for none.
func first(list []*Certificate, when func(*Certificate) time.Time) (out *Certificate) {
	for _, c := range list {
		if at := when(c); !at.IsZero() && (out == nil || at.Before(when(out))) {
			out = c
		}
	}
	return out
}
