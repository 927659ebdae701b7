package iac

import (
	"slices"
	"strings"
)

// blocks finds what forbids after the plan and did not before, or not as much.
func (j *judge) blocks() {
	for i := range j.after {
		u := &j.after[i]
		if u.Kind != KindBlock || j.silent(u) || j.blocked(u) {
			continue
		}
		if len(u.Members) > 0 && len(u.Unknown) == 0 && j.unused(u) {
			continue // whoever issues the certificates may still issue
		}
		f := fate{class: Blocked}
		switch {
		case len(u.Unknown) > 0:
			f = fate{class: Unknown, why: unknownParts(u)}
		case u.From.Change.Do == UnknownAction:
			f = fate{class: Unknown, why: "this version does not know what the plan does to it"}
		}
		j.tell(u, f)
	}
}

// blocked reports whether what a block forbids was forbidden before, by one or more others.
func (j *judge) blocked(u *Tie) bool {
	left := u.Rights
	everybody := Tie{Kind: KindBlock}
	for _, b := range slices.Concat(j.was[u.key()], j.was[everybody.key()]) {
		if !b.Scope.Covers(u.Scope) || b.Condition != "" && b.Condition != u.Condition || !allows(u.Members, b.Members) {
			continue
		}
		if b.Rights&u.Rights == u.Rights {
			return true
		}
		left &^= b.Rights
	}
	return u.Rights != 0 && left == 0
}

// allows reports whether everybody in before may still pass.
func allows(after, before []string) bool {
	for _, m := range before {
		if !slices.ContainsFunc(after, func(a string) bool { return alike(a, m) || alike(a, issuerOf(m)) }) {
			return false
		}
	}
	return true
}

// issuerOf is an authority's name in the value of a CAA record, without parameters (RFC 8659 section 4.2).
func issuerOf(value string) string {
	name, _, _ := strings.Cut(value, ";")
	return lower(strings.TrimSpace(name))
}

// authoritative finds grants that, once created, take the permission away from whoever else holds it.
func (j *judge) authoritative() {
	said := map[string]bool{}
	for _, x := range j.exclusive {
		key := lower(x.Scope.String() + "\x00" + x.Permission)
		if said[key] || j.silent(x) || j.quiet(x) || j.wasExclusive(x) {
			continue
		}
		said[key] = true
		if slices.ContainsFunc(j.found, func(f judged) bool {
			return f.tie != nil && f.Class == Lost && f.tie.Scope.String() == x.Scope.String()
		}) {
			continue // who loses it is known, and said
		}
		var losers []*Certificate
		known := false
		for i := range j.inv.Certificates {
			c := &j.inv.Certificates[i]
			if within(x.Scope, c) == no || len(c.Identities) == 0 {
				continue
			}
			known = true
			if !slices.ContainsFunc(c.Identities, func(id string) bool { return has(x.Members, id) }) {
				losers = append(losers, c)
			}
		}
		switch {
		case len(losers) > 0:
			j.add(x, fate{class: Lost, taker: x}, losers)
		case !known:
			j.add(x, fate{class: Unknown, taker: x}, nil)
		}
	}
}

// wasExclusive reports whether the same was authoritative before: then nobody else holds it.
func (j *judge) wasExclusive(x *Tie) bool {
	return slices.ContainsFunc(j.before, func(b Tie) bool {
		return b.Others && b.Kind == KindGrant && b.Scope.String() == x.Scope.String() && (b.Permission == "" || alike(b.Permission, x.Permission))
	})
}

// has reports whether a list of members holds an identity, with or without the kind that some clouds put before it
// ("serviceAccount:x@y").
func has(members []string, id string) bool {
	return slices.ContainsFunc(members, func(m string) bool {
		_, plain, _ := strings.Cut(m, ":")
		return alike(m, id) || plain != "" && alike(plain, id)
	})
}
