package iac

import (
	"slices"
	"strings"
)

// fate is what a plan does to one tie.
type fate struct {
	class Class
	// by is what takes the tie's place, as far as something does.
	by *Tie
	// left are, of a narrowed tie, what is left of it.
	left []*Tie
	// taker is the authoritative grant that takes the tie away.
	taker *Tie
	// maybe is something created elsewhere that may be for the same principal.
	maybe *Tie
	// twin is the other address of one and the same object, again the address at which the like of it is made anew.
	twin, again *Tie
	// anew is what the same resource is afterwards, of something that is destroyed.
	anew *Tie
	// heirs are what names it, all of which follows it when it is made anew.
	heirs []*Change
	// why says, as a clause, what nobody knows; was is what it would be if renewal did rest on the tie.
	why string
	was Class
	// moved are the ties that go with a release into another namespace, to is where its service account went.
	moved []*Tie
	to    *relocation
	// beside says that somebody else is seen to renew in the same place, and not this one, or the workload in another way.
	beside bool
	// drift says that it happened already, outside the code; past, that what the plan would do about it is not asked.
	drift, past bool
}

// rank orders classes by how bad they are.
func rank(c Class) int { return slices.Index(Classes(), c) }

// fate finds what becomes of a tie: the best of everything that covers it afterwards. A tie that several others cover
// only together, by its single rights, is as well off as the worst of these rights.
func (j *judge) fate(t *Tie) fate {
	f := j.become(t)
	if f.class == Safe && t.By != nil && t.By.Change.Forgets() && (f.by == nil || f.by.From.Change == t.From.Change) {
		return fate{class: Orphaned} // what decides about it lives on without protection
	}
	return f
}

// become is fate, with regard to the tie's own resource alone.
func (j *judge) become(t *Tie) fate {
	if t.From.Change.Do == UnknownAction {
		return fate{class: Unknown, why: "this version does not know what the plan does to it"}
	}
	if u := j.untouched(t); u != nil {
		return fate{class: Safe, by: u}
	}
	best, whole := j.cover(t, t.Rights)
	if !whole && t.Kind == KindGrant {
		var worst fate
		worst.class = Safe
		whole = t.Rights != 0
		for _, right := range []Right{RightWrite, RightDelete, RightRead} {
			if t.Rights&right == 0 {
				continue
			}
			f, ok := j.cover(t, right)
			if !ok {
				whole = false
				break
			}
			if rank(f.class) > rank(worst.class) {
				worst = f
			}
		}
		if whole {
			best = worst
		}
	}
	if whole {
		return best
	}
	if t.From.Change.Forgets() && best.taker == nil {
		return fate{class: Orphaned} // another is made, or nothing, and the old one is left alone
	}
	if heirs, sure := j.followed(t); len(heirs) > 0 {
		if sure {
			return fate{class: Gap, heirs: heirs}
		}
		return fate{class: Unknown, heirs: heirs, why: "it is made anew, and whether " + addresses(heirs) + " then name the new one is known only after the apply"}
	}
	f := fate{class: Lost, taker: best.taker, twin: best.twin, again: j.again(t), anew: j.anew(t)}
	if f.anew != nil {
		if moved, ok := j.carriedOver(t); ok {
			return fate{class: Gap, anew: f.anew, moved: moved}
		}
	}
	if u, sure := j.instead(t); u != nil && t.From.Change.Do != DeleteCreate {
		switch {
		case sure && len(j.resting(t)) == 0:
			return fate{class: Safe, by: u}
		case !j.stays(u):
			return fate{class: Gap, by: u, beside: true}
		}
		return fate{class: Unknown, was: Lost, beside: true, why: u.way() + " stays for the same workload, and whether that is what it signs in with is not in the plan"}
	}
	if m := j.retired(t); m != nil {
		f := fate{class: Unknown, was: Lost, why: "the cluster " + m.name + " goes with all that ran in it, " + name(m.stays) + " is still trusted elsewhere, and whether anything goes on serving what was renewed there is not in the plan"}
		if t.From.Change == m.cluster {
			f.moved = slices.DeleteFunc(slices.Clone(m.ties), func(u *Tie) bool { return u.From.Change == m.cluster })
		}
		return f
	}
	if m, u := j.handedOn(t); u != nil {
		return fate{class: Gap, by: u, to: &m}
	}
	if u := j.guess(t, &f); u != nil {
		return fate{class: Unknown, by: u, why: unknownParts(u)}
	}
	if t.Kind == KindGrant {
		f.left = j.remains(t)
		for _, u := range f.left {
			if u.Rights&RightWrite != 0 || t.Rights&RightWrite == 0 {
				f.class = Narrowed
			}
		}
		if f.class == Narrowed && (t.Doubt != "" || t.Certain) && j.spare(t, f.left) {
			return fate{class: Safe}
		}
	}
	return f
}

// untouched finds a tie as it is now, of a resource that does not change.
func (j *judge) untouched(t *Tie) *Tie {
	if t.From.Change.Do != NoOp {
		return nil
	}
	now := j.will[t.key()]
	if slices.Contains(t.Unknown, PartPrincipal) { // an object without an id, which no plan should have
		now = j.open[t.Kind]
	}
	for _, u := range now {
		if u.From.Change == t.From.Change && t.Same(u) && alike(t.Permission, u.Permission) && slices.Equal(t.Unknown, u.Unknown) && (t.Doubt == u.Doubt || u.Certain) && j.taken(u) == nil {
			return u
		}
	}
	return nil
}

// spare reports whether a grant that is made for more than DNS goes, and grants that are made for DNS stay, in every zone
// that the plan shows: then those are what renewal rests on.
func (j *judge) spare(t *Tie, left []*Tie) bool {
	left = slices.DeleteFunc(slices.Clone(left), func(u *Tie) bool {
		return u.Certain || u.Doubt != "" || u.Rights&t.Rights != t.Rights || u.Condition != "" && u.Condition != t.Condition || !j.stays(u)
	})
	for i := range j.before {
		z := &j.before[i]
		if z.Kind == KindZone && !z.Idle && t.Scope.Covers(z.Scope) && !slices.ContainsFunc(left, func(u *Tie) bool { return u.Scope.Covers(z.Scope) }) {
			return false
		}
	}
	return len(left) > 0 && len(j.hurt(t, fate{left: left}, j.resting(t))) == 0
}

// keeps reports whether what is left of a grant allows as much together, of what holds somewhere and is never away.
func (j *judge) keeps(t *Tie, left []*Tie, there func(*Tie) bool) bool {
	var rights Right
	for _, u := range left {
		if (u.Condition == "" || u.Condition == t.Condition) && j.stays(u) && there(u) {
			rights |= u.Rights
		}
	}
	return rights&t.Rights == t.Rights
}

// shown reports whether what is left of a grant is enough for every zone that the plan shows where it held, and the plan
// shows one.
func (j *judge) shown(t *Tie, left []*Tie) bool {
	// At Google the zone is looked for among those of the project, unless the renewer is told which it is.
	look := Tie{Rights: t.Rights & RightRead, Condition: t.Condition}
	if strings.HasPrefix(t.From.Change.Type, "google_") && !j.keeps(&look, left, func(u *Tie) bool { return u.Scope.Covers(t.Scope) }) {
		return false
	}
	found := false
	for i := range j.before {
		z := &j.before[i]
		if z.Kind != KindZone || len(z.Scope) == 0 || !t.Scope.Covers(z.Scope) {
			continue
		}
		if !j.keeps(t, left, func(u *Tie) bool { return u.Scope.Covers(z.Scope) }) {
			return false
		}
		found = true
	}
	return found
}

// cover finds the best tie after the plan that allows some rights wherever t does.
func (j *judge) cover(t *Tie, rights Right) (best fate, found bool) {
	want := *t
	want.Rights = rights
	for _, u := range j.will[t.key()] {
		if !u.Covers(&want) || len(u.Unknown) > 0 || u.From.Change.Do == UnknownAction {
			continue
		}
		if u.Doubt != "" && !u.Certain && t.Doubt == "" && (u.From.Change != t.From.Change || !alike(u.Permission, t.Permission)) {
			continue // nobody knows whether it allows as much
		}
		if taker := j.taken(u); taker != nil {
			best.taker = taker
			continue
		}
		if twins(t, u) && t.From.Change.Destroys() {
			best.twin = u
			continue
		}
		class := j.rate(t, u, &want)
		if class == Lost {
			continue
		}
		if !found || rank(class) < rank(best.class) {
			best = fate{class: class, by: u}
		}
		found = true
	}
	return best, found
}

// rate says how well t is off when u takes its place, for what is wanted of it.
func (j *judge) rate(t, u, want *Tie) Class {
	c, d := t.From.Change, u.From.Change
	if c == d {
		switch d.Do {
		case Forget, CreateForget, ForgetCreate:
			return Orphaned // the old object lives on
		case DeleteCreate:
			if t.Stale != "" {
				return Lost
			}
			return Gap
		case CreateDelete:
			switch {
			case t.Stale != "":
				return Lost
			case t.Object != "" && t.Object == u.Object && !azure(d), d.Type == "kubectl_manifest" && t.Same(u):
				return Collision // the deletion takes away what was created first
			}
			return Safe // in Azure a second equal one is refused, and the first one stays
		case Create, Delete:
			return Gap
		}
		return Safe
	}
	if t.Stale != "" && d.Makes() && !j.held(d, want) {
		return Lost
	}
	switch {
	case d.Do == Forget:
		return Orphaned
	case j.held(d, want) && !d.Destroys(), j.held(d, want) && d.Do == CreateDelete:
		return Safe // it was there before, too
	case j.equal(t, u) && (c.Destroys() || u.Others != t.Others):
		return Collision
	}
	return Gap // made or widened in this plan, in no order with what t loses
}

// held reports whether a resource covers a tie before the plan already.
func (j *judge) held(c *Change, t *Tie) bool {
	return slices.ContainsFunc(j.was[t.key()], func(b *Tie) bool { return b.From.Change == c && b.Covers(t) })
}

// stays reports whether a tie is there before and after, and is never away in between.
func (j *judge) stays(u *Tie) bool {
	d := u.From.Change
	return !d.Forgets() && d.Do != DeleteCreate && len(u.Unknown) == 0 && d.Do != UnknownAction && j.taken(u) == nil && j.held(d, u)
}

// equal reports whether the cloud would hold only one of two ties.
func (j *judge) equal(t, u *Tie) bool {
	if t.Object != "" && u.Object != "" {
		return alike(t.Object, u.Object)
	}
	return t.Same(u) && alike(t.Permission, u.Permission)
}

// guess finds what may take the place of a tie, with parts that the plan does not know. Where the tie's own resource
// carries on, that is for nobody to tell. Where it is destroyed and something else is created, no reading of the unknown
// is good: it is for somebody else, or it collides.
func (j *judge) guess(t *Tie, f *fate) *Tie {
	for _, list := range [][]*Tie{j.will[t.key()], j.open[t.Kind]} {
		for _, u := range list {
			if len(u.Unknown) == 0 && u.Doubt == "" && u.From.Change.Do != UnknownAction || !possible(u, t) || t.Stale != "" && u.From.Change.Makes() {
				continue
			}
			if j.one(u.From.Change, t.From.Change) || u.From.Change.Do == NoOp && len(u.Unknown) > 0 {
				return u
			}
			if f.maybe == nil && (u.From.Change.Makes() || u.From.Change.Do == Update) {
				f.maybe = u
			}
		}
	}
	return nil
}

// anew finds what a resource that is destroyed is made again as, in another place.
func (j *judge) anew(t *Tie) *Tie {
	if !t.From.Change.Destroys() {
		return nil
	}
	for i := range j.after {
		if u := &j.after[i]; u.From.Change == t.From.Change && u.Kind == t.Kind && t.Kind == KindSolver && u.At != t.At && strings.HasPrefix(u.At, "namespace ") {
			return u
		}
	}
	return nil
}

// again finds where a plan makes the like of what it destroys, under another address: then a moved block keeps it.
func (j *judge) again(t *Tie) *Tie {
	if t.Kind == KindGrant || t.Who == "" || t.From.Change.Do != Delete {
		return nil
	}
	for i := range j.after {
		u := &j.after[i]
		if c := u.From.Change; u.Kind == t.Kind && u.Who == t.Who && c != t.From.Change && c.Makes() && c.Before == nil && c.Type == t.From.Change.Type && u.Condition == t.Condition {
			return u
		}
	}
	return nil
}

// one reports whether two changes are of one resource, one of them perhaps outside the code.
func (j *judge) one(c, d *Change) bool {
	return c == d || (j.gone[c] || j.gone[d]) && c.Address == d.Address
}

// possible reports whether u may cover t, whatever its unknown parts turn out to be.
func possible(u, t *Tie) bool {
	open := func(p Part) bool { return slices.Contains(u.Unknown, p) }
	return u.Kind == t.Kind &&
		(open(PartPrincipal) || alike(u.Principal, t.Principal)) &&
		(open(PartRights) || u.Rights&t.Rights == t.Rights) &&
		(open(PartScope) || u.Scope.Covers(t.Scope)) &&
		(open(PartCondition) || u.Condition == "" || u.Condition == t.Condition)
}

// remains lists what a principal keeps, or gets, of what it had.
func (j *judge) remains(t *Tie) (left []*Tie) {
	for _, u := range j.will[t.key()] {
		if u.Rights&t.Rights != 0 && u.Scope.Overlaps(t.Scope) && len(u.Unknown) == 0 && u.From.Change.Do != UnknownAction && j.taken(u) == nil &&
			!twins(t, u) && !(u.Doubt != "" && !u.Certain && t.Doubt == "") {
			left = append(left, u)
		}
	}
	return left
}

// taken finds the authoritative grant of this plan that takes a grant away from its holder.
func (j *judge) taken(u *Tie) *Tie {
	if u.Kind != KindGrant {
		return nil
	}
	for _, x := range j.exclusive {
		if x.From.Change == u.From.Change || x.Scope.String() != u.Scope.String() || x.Permission != "" && !alike(x.Permission, u.Permission) {
			continue
		}
		if !slices.ContainsFunc(x.Members, func(m string) bool { return alike(m, u.Principal) }) {
			return x
		}
	}
	return nil
}

// changed reports whether a plan creates a tie, or changes whom it names.
func (j *judge) changed(u *Tie) bool {
	if u.From.Change.Do == NoOp {
		return false
	}
	for i := range j.before {
		b := &j.before[i]
		if b.From.Change == u.From.Change && b.Others && b.Scope.String() == u.Scope.String() && alike(b.Permission, u.Permission) && slices.Equal(b.Members, u.Members) {
			return u.From.Change.Makes()
		}
	}
	return true
}

// azure reports whether a resource is Azure's.
func azure(c *Change) bool { return strings.HasPrefix(c.Type, "az") }
