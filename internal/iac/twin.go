package iac

import "strings"

// twins reports whether two ties come of one and the same object, which stands at two addresses: it was imported at the
// second while the first was left to be destroyed, and goes with it. Where a tie carries no id of its own, that of the
// resource tells, unless the other one is made anew.
func twins(t, u *Tie) bool {
	c, d := t.From.Change, u.From.Change
	if c == d {
		return false
	}
	if t.ID != "" && alike(t.ID, u.ID) {
		return true
	}
	a, b := text(c.Before["id"]), text(d.Before["id"])
	return a != "" && a == b && !d.Makes() && lineage(c.Type) == lineage(d.Type)
}

// lineage is the name of a type without regard to its generation, which share their objects and ids.
func lineage(kind string) string {
	if kind == "cloudflare_record" {
		return "cloudflare_dns_record"
	}
	return strings.TrimSuffix(kind, "_v1")
}

// doomed reports whether a resource of the side after is but the second address of an object that is destroyed at the
// first.
func (s *State) doomed(r *Side) bool {
	id := r.Text("id")
	if !s.After || s.other == nil || id == "" || r.Change.Makes() {
		return false
	}
	gone := once(s, "doomed", func() map[string]*Change {
		out := map[string]*Change{}
		for _, b := range s.other.Resources {
			if id := b.Text("id"); id != "" && b.Change.Destroys() {
				out[lineage(b.Change.Type)+" "+id] = b.Change
			}
		}
		return out
	})[lineage(r.Change.Type)+" "+id]
	return gone != nil && gone != r.Change
}
