package iac

// consequences are the findings of a judgement by what others may be a consequence of. A plan may take away thousands of grants, and
// each finding is held against all others.
type consequences struct {
	byMoved    map[*Tie][]*judged    // what a finding says goes along
	byHeir     map[*Change][]*judged // what a finding says follows
	identities map[string][]*judged  // by principal
	solvers    map[*Change][]*judged
	zones      map[string][]*judged // by scope
	groups     map[string][]*judged // grants that nobody holds through a group, by principal
	said       map[saidOf]bool
}

// saidOf is what findings are compared by that must not be told twice.
type saidOf struct {
	key  string
	from *Change // nil for an identity, of which an application and its service principal are two resources
}

func index(found []judged) *consequences {
	x := &consequences{
		byMoved: map[*Tie][]*judged{}, byHeir: map[*Change][]*judged{}, identities: map[string][]*judged{}, solvers: map[*Change][]*judged{},
		zones: map[string][]*judged{}, groups: map[string][]*judged{}, said: map[saidOf]bool{},
	}
	for i := range found {
		g := &found[i]
		u := g.tie
		if u == nil {
			continue
		}
		for _, t := range g.moved {
			x.byMoved[t] = append(x.byMoved[t], g)
		}
		for _, c := range g.heirs {
			x.byHeir[c] = append(x.byHeir[c], g)
		}
		switch u.Kind {
		case KindIdentity:
			x.identities[lower(u.Principal)] = append(x.identities[lower(u.Principal)], g)
		case KindSolver:
			x.solvers[u.From.Change] = append(x.solvers[u.From.Change], g)
		case KindZone:
			if len(u.Scope) > 0 {
				x.zones[u.Scope.key()] = append(x.zones[u.Scope.key()], g)
			}
		case KindGrant:
			if u.Via == "" {
				x.groups[lower(u.Principal)] = append(x.groups[lower(u.Principal)], g)
			}
		}
	}
	return x
}

// follows reports whether a finding is but a consequence of another one: what an identity holds goes with the identity,
// what is granted on a zone with the zone, and what the members of a group hold with the group's grant.
func (x *consequences) follows(f judged) bool {
	t := f.tie
	if t == nil || f.Class == Blocked || f.Class == Safe {
		return false
	}
	some := func(of []*judged, is func(g *judged) bool) bool {
		for _, g := range of {
			if g.tie != t && is(g) {
				return true
			}
		}
		return false
	}
	if some(x.byMoved[t], func(*judged) bool { return true }) {
		return true
	}
	if (bound(t.Kind) || f.Class == Unknown) && some(x.byHeir[t.From.Change], func(*judged) bool { return true }) {
		return true
	}
	if bound(t.Kind) && some(x.identities[lower(t.Principal)], func(g *judged) bool {
		from := g.tie.From.Change == t.From.Change
		return len(g.heirs) > 0 && from || g.Class == Lost || g.Class == f.Class && (from || g.beside && f.beside)
	}) {
		return true
	}
	if t.Kind == KindTrust && f.Class == Gap && some(x.solvers[t.From.Change], func(g *judged) bool { return g.Class == Gap }) {
		return true
	}
	if t.Kind == KindGrant {
		for n := range t.Scope {
			if some(x.zones[t.Scope[:n+1].key()], func(g *judged) bool { return g.Class == Lost }) {
				return true
			}
		}
	}
	return t.Via != "" && some(x.groups[lower(t.Via)], func(g *judged) bool { return g.tie.Scope.Covers(t.Scope) })
}

// repeats reports whether a finding that was asked about before tells of the same thing: of the same resource, or of the
// same identity (an application and its service principal).
func (x *consequences) repeats(f judged) bool {
	t := f.tie
	if t == nil || t.Kind == KindGrant || t.Kind == KindBlock {
		return false
	}
	s := saidOf{key: t.key(), from: t.From.Change}
	if t.Kind == KindIdentity {
		s.from = nil
	}
	again := x.said[s]
	x.said[s] = true
	return again
}
