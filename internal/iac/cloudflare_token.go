package iac

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// cloudflareToken is an API token: an identity and its secret in one, and what its policies allow.
func cloudflareToken(s *State, r *Side) []Tie {
	name, id := r.Text("name"), r.Text("id")
	grants := s.cloudflareGrants(r)
	object, stale := id, "the new token has another secret, which the renewer has to be given"
	handed := s.handover(r)
	if handed == handedOver {
		stale = ""
		if r.After && id == "" && r.Change.Before != nil {
			id = text(r.Change.Before["id"]) // it stands where the old one stood
		}
	}
	base := Tie{Principal: id, Who: "the API token " + name, ID: object}
	if name == "" {
		base.Who = "the API token " + id
	}
	if name != "" {
		base.Also = []string{name}
	}
	if id == "" {
		base.Unknown = []Part{PartPrincipal}
	}
	if otherWriter(name) {
		base.Doubt = "it is called like something that writes DNS records for other ends"
	}
	if handed == handedMaybe && r.Change.Makes() && r.Change.Before != nil {
		base.Doubt = handedDoubt
	}
	if status := r.Text("status"); status != "" && status != "active" {
		return nil // switched off, or at its end
	}
	writes := slices.ContainsFunc(grants, func(g cloudflareGrant) bool { return !g.deny && g.rights&RightWrite != 0 })
	if !writes && r.After { // one that wrote before is as much of an identity
		before := &Side{Values: r.Change.Before}
		writes = slices.ContainsFunc(s.cloudflareGrants(before), func(g cloudflareGrant) bool { return !g.deny && g.rights&RightWrite != 0 })
	}
	is := base
	is.Kind, is.Object, is.Idle = KindIdentity, "token "+object, !writes
	is.Stale = stale
	is.Effect = "whoever renews with it can no longer sign in to Cloudflare"
	out := []Tie{is}
	if r.Change.Do == Forget {
		return out // what it may do goes with it
	}
	limit := cloudflareLimits(r)
	condition := limit.String()
	if was := (cloudflareLimit{}); r.After && r.Change.Before != nil {
		if was = cloudflareLimits(&Side{Values: r.Change.Before}); limit.covers(was) {
			condition = was.String() // less of a limit than before
		}
	}
	for _, g := range grants {
		t := base
		t.Kind, t.Rights, t.Scope, t.At, t.Condition = KindGrant, g.rights&^RightRead, g.scope, g.at, condition
		t.Permission, t.Stale = "DNS Write", is.Stale
		t.Object = "token " + object + " " + g.scope.String()
		if g.deny {
			t.Kind, t.Permission, t.Stale, t.Condition = KindBlock, "a policy of "+base.Who+" that denies DNS Write", "", ""
			t.Effect = "it may no longer write challenge records there, whatever else allows it"
		}
		if t.Rights == 0 {
			continue
		}
		for _, h := range grants {
			if !g.deny && !h.deny && h.rights&RightRead != 0 && (h.scope.Covers(g.scope) || g.scope.Covers(h.scope)) {
				t.Rights |= RightRead
			}
		}
		if !limit.known {
			t.Unknown = append(slices.Clone(t.Unknown), PartCondition)
		}
		out = append(out, t)
	}
	if cloudflareUnknown(r) {
		t := base
		t.Kind, t.Rights, t.Permission, t.Scope, t.At = KindGrant, RightAll, "DNS Write", Path{"zones"}, "every zone"
		t.Unknown = append(slices.Clone(t.Unknown), PartRights, PartScope, PartCondition)
		out = append(out, t)
	}
	return out
}

// cloudflareUnknown reports whether the plan does not know what a token allows. Ids of its policies do not matter, and are
// unknown in every plan that changes one.
func cloudflareUnknown(r *Side) bool {
	for _, list := range []string{"policy", "policies"} {
		if _, known := r.Get(list); !known {
			return true
		}
		for i := range min(r.Len(list), 1000) {
			if !r.Known(list, i, "resources") {
				return true
			}
			if _, known := r.Get(list, i, "permission_groups"); !known {
				return true
			}
			for g := range min(r.Len(list, i, "permission_groups"), 1000) {
				_, isID := r.Get(list, i, "permission_groups", g)
				if _, known := r.Get(list, i, "permission_groups", g, "id"); !known || !isID {
					return true
				}
			}
		}
	}
	return false
}

// cloudflareLimit is what a token is limited to besides its policies.
type cloudflareLimit struct {
	in, notIn []string // CIDR
	from      string   // RFC 3339
	until     string
	known     bool
}

func cloudflareLimits(r *Side) cloudflareLimit {
	l := cloudflareLimit{
		in: r.Texts("condition", "request_ip", "in"), notIn: r.Texts("condition", "request_ip", "not_in"),
		from: r.Text("not_before"), until: r.Text("expires_on"), known: r.Known("condition") && r.Known("expires_on"),
	}
	slices.Sort(l.in)
	slices.Sort(l.notIn)
	return l
}

// String is the normal form.
func (l cloudflareLimit) String() string {
	var out []string
	if len(l.in) > 0 {
		out = append(out, "only from "+strings.Join(l.in, ", "))
	}
	if len(l.notIn) > 0 {
		out = append(out, "not from "+strings.Join(l.notIn, ", "))
	}
	if l.from != "" {
		out = append(out, "not before "+l.from)
	}
	if l.until != "" {
		out = append(out, "until "+l.until)
	}
	return strings.Join(out, "; ")
}

// covers reports whether whatever m lets through, l does, too.
func (l cloudflareLimit) covers(m cloudflareLimit) bool {
	switch {
	case len(l.in) > 0 && (len(m.in) == 0 || !inNetworks(l.in, m.in)):
		return false
	case !inNetworks(m.notIn, l.notIn):
		return false
	case l.until != "" && (m.until == "" || !notBefore(l.until, m.until)):
		return false
	}
	return l.from == "" || m.from != "" && notBefore(m.from, l.from)
}

// inNetworks reports whether each of the small networks lies in one of the large ones.
func inNetworks(large, small []string) bool {
	for _, s := range small {
		if !slices.ContainsFunc(large, func(l string) bool {
			a, errA := network(l)
			b, errB := network(s)
			return l == s || errA == nil && errB == nil && a.Bits() <= b.Bits() && a.Contains(b.Addr())
		}) {
			return false
		}
	}
	return true
}

func network(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// notBefore reports whether a is not before b; what cannot be read is not.
func notBefore(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := time.Parse(time.RFC3339, a)
	y, errY := time.Parse(time.RFC3339, b)
	return errX == nil && errY == nil && !x.Before(y)
}
