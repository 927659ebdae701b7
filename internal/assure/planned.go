package assure

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Planned is what one apply of a plan means for what renewal rests on. It counts for nothing until the apply has ended:
// a plan that was announced and never applied must alarm nobody.
type Planned struct {
	ID   string `json:"id"`   // of the announcement, random
	Plan string `json:"plan"` // SHA-256 of the plan file, in hexadecimal
	By   string `json:"by,omitempty"`
	// Announced is before the apply began, Ended when it had ended, with the status Exit; zero before.
	Announced time.Time `json:"announced"`
	Ended     time.Time `json:"ended,omitzero"`
	Exit      int       `json:"exit,omitempty"`
	// Counts is from when on an answer counts: before, the cloud may not have noticed yet.
	Counts time.Time      `json:"counts,omitzero"`
	Grants []PlannedGrant `json:"grants"`
}

// PlannedDoes is what a plan does to a grant.
type PlannedDoes string

// What a plan does.
const (
	PlanMakes PlannedDoes = "makes"
	PlanTakes PlannedDoes = "takes" // takes it away, on purpose
	PlanKeeps PlannedDoes = "keeps"
)

// PlannedGrant is one grant of a plan: for now a role assignment of Azure, whose ids hold the scope. Of other clouds nobody
// could say by what they name whether it is the one that a plan made.
type PlannedGrant struct {
	Does    PlannedDoes `json:"does"`
	Address string      `json:"address"` // of the resource in the plan
	// Principal is who holds it, and Also are other spellings of that.
	Principal string   `json:"principal"`
	Also      []string `json:"also,omitempty"`
	Scope     string   `json:"scope"`
	// Rights are what it allows, of read, write and delete.
	Rights []string `json:"rights,omitempty"`
	// ID is what the cloud names it; not known of one that is still to be made.
	ID string `json:"id,omitempty"`
	// Before is what the cloud named for the same before the apply: what was there is not what the plan made.
	Before []string `json:"before,omitempty"`
	// Settled is set once the cloud named it, somebody accepted that it is not there, or a later plan took its place; Made is
	// what the cloud named.
	Settled bool     `json:"settled,omitempty"`
	Made    []string `json:"made,omitempty"`
}

// Unmade is a grant that an applied plan was to make and that the cloud does not name.
type Unmade struct {
	Plan    string    `json:"plan"` // the first digits of its SHA-256
	Address string    `json:"address"`
	Applied time.Time `json:"applied"` // when the apply had ended
	Exit    int       `json:"exit,omitempty"`
}

// Short is how the plan is named to people: by the first digits of its digest.
func (p Planned) Short() string { return p.Plan[:min(12, len(p.Plan))] }

// Open reports whether something that the plan was to make was not seen yet.
func (p Planned) Open() bool {
	return slices.ContainsFunc(p.Grants, func(g PlannedGrant) bool { return g.Does == PlanMakes && !g.Settled })
}

// About reports whether the grant is one that the expectation may rest on: the same identity, at its scope or above.
func (g PlannedGrant) About(e Expected) bool {
	if e.Identity == "" || !strings.EqualFold(g.Principal, e.Identity) && !containsFold(g.Also, e.Identity) {
		return false
	}
	at, scope := strings.ToLower(e.Scope), strings.ToLower(strings.TrimRight(g.Scope, "/"))
	return scope != "" && (at == scope || strings.HasPrefix(at, scope+"/"))
}

// allows reports whether the grant is for an action such as "Microsoft.Network/dnsZones/TXT/write".
func (g PlannedGrant) allows(action string) bool {
	return containsFold(g.Rights, action[strings.LastIndexByte(action, '/')+1:])
}

// assignments stands in the id of each role assignment of Azure, between its scope and its name.
const assignments = "/providers/microsoft.authorization/roleassignments/"

// ScopeOfGrant is where a grant holds by its name; empty where the name does not tell.
func ScopeOfGrant(id string) string {
	i := strings.LastIndex(strings.ToLower(id), assignments)
	if i < 1 || i > len(id) {
		return ""
	}
	return id[:i]
}

// made lists what a cloud names that the plan has made.
func (g PlannedGrant) made(e Expected) (out []string) {
	for _, n := range e.Named {
		if scope := ScopeOfGrant(n); scope != "" && strings.EqualFold(scope, strings.TrimRight(g.Scope, "/")) && !containsFold(g.Before, n) {
			out = append(out, n)
		}
	}
	return out
}

// Announce prepares a plan for being kept: only grants of identities that something is expected of are, with what the cloud
// named for them so far.
func Announce(p Planned, list []Expected) Planned {
	var out []PlannedGrant
	for _, g := range p.Grants {
		known := false
		g.Before, g.Settled, g.Made = nil, false, nil
		for _, e := range list {
			if !g.About(e) {
				continue
			}
			known = true
			for _, id := range slices.Concat(e.Grants, e.Named) {
				if !containsFold(g.Before, id) {
					g.Before = append(g.Before, id)
				}
			}
		}
		if known {
			out = append(out, g)
		}
	}
	p.Grants = out
	return p
}

// Supersede settles what earlier plans were to make at addresses that an apply which ended later deals with. changed lists
// the plans that are not what they were.
func Supersede(earlier []Planned, later Planned) (changed []Planned) {
	for _, p := range earlier {
		if p.ID == later.ID || p.Ended.After(later.Ended) {
			continue
		}
		q, differs := p, false
		q.Grants = slices.Clone(p.Grants)
		for i := range q.Grants {
			g := &q.Grants[i]
			same := func(l PlannedGrant) bool {
				return l.Address == g.Address && strings.EqualFold(l.Principal, g.Principal) && l.Does != PlanKeeps
			}
			if g.Does == PlanMakes && !g.Settled && slices.ContainsFunc(later.Grants, same) {
				g.Settled, differs = true, true
			}
		}
		if differs {
			changed = append(changed, q)
		}
	}
	return changed
}

// HeedPlans holds what is expected, as answers at a time left it, against the plans that were applied, the oldest first. What
// a plan has made and the cloud names is relied on from then on; what a plan has taken away is not, as soon as something
// holds that is. learned are the expectations that changed by that, and plans those that something was settled of.
func HeedPlans(list []Expected, applied []Planned, at time.Time) (out, learned []Expected, plans []Planned) {
	out = slices.Clone(list)
	applied = slices.Clone(applied)
	changed, differs := map[int]bool{}, map[int]bool{}
	by := func(i int, p Planned, address string) {
		e := &out[i]
		e.Learned, e.By, e.Reason, e.Held = at, "plan "+p.Short(), address, at
		changed[i] = true
	}
	for n := range applied {
		p := &applied[n]
		if p.Ended.IsZero() || at.Before(p.Ended) {
			continue
		}
		p.Grants = slices.Clone(p.Grants)
		for i := range out {
			e := &out[i]
			if e.Answer != Allowed || e.Learned.IsZero() {
				continue
			}
			made := false
			for k := range p.Grants {
				g := &p.Grants[k]
				if g.Does != PlanMakes || !g.About(*e) || !g.allows(e.Action) {
					continue
				}
				if !g.Settled {
					g.Made = g.made(*e)
					g.Settled = len(g.Made) > 0
					differs[n] = differs[n] || g.Settled
				}
				for _, id := range g.Made {
					if containsFold(e.Named, id) && !containsFold(e.Grants, id) {
						e.Grants = append(slices.Clone(e.Grants), id)
						by(i, *p, g.Address)
						made = true
					}
				}
			}
			if rest, address := p.without(*e); address != "" {
				e.Grants = rest
				if !made {
					by(i, *p, "without "+address)
				}
			}
		}
	}
	for i := range out {
		e := &out[i]
		if e.Answer != Allowed && e.Answer != Forbidden {
			continue // no answer that decides
		}
		e.Missing = missing(*e, applied, at)
	}
	for i := range out {
		if changed[i] {
			learned = append(learned, out[i])
		}
	}
	for n := range applied {
		if differs[n] {
			plans = append(plans, applied[n])
		}
	}
	return out, learned, plans
}

// without is what is relied on without that which the plan took away, and the address of one of those; empty when there is
// none, or nothing of the rest holds.
func (p Planned) without(e Expected) (rest []string, address string) {
	gone := e.Gone()
	if len(gone) == 0 {
		return nil, ""
	}
	var kept []string
	taken := map[string]string{}
	for _, g := range p.Grants {
		switch {
		case !g.About(e):
		case g.Does == PlanTakes && containsFold(gone, g.ID):
			taken[strings.ToLower(g.ID)] = g.Address
		case g.Does == PlanKeeps && containsFold(e.Named, g.ID):
			kept = append(kept, g.ID)
		}
	}
	holds := false
	for _, id := range e.Grants {
		if at, was := taken[strings.ToLower(id)]; was {
			address = at
			continue
		}
		rest = append(rest, id)
		holds = holds || containsFold(e.Named, id)
	}
	switch {
	case address == "" || holds:
		return rest, address
	case len(kept) > 0:
		for _, id := range kept {
			if !containsFold(rest, id) {
				rest = append(rest, id)
			}
		}
		return rest, address
	}
	return nil, ""
}

// missing lists what applied plans were to make for an expectation and the cloud does not name.
func missing(e Expected, applied []Planned, at time.Time) (out []Unmade) {
	if e.Answer == Allowed && !e.Whole {
		return nil // there may be more than it names
	}
	for _, p := range applied {
		if p.Ended.IsZero() || at.Before(p.Counts) {
			continue
		}
		for _, g := range p.Grants {
			if g.Does == PlanMakes && !g.Settled && g.About(e) && g.allows(e.Action) {
				out = append(out, Unmade{Plan: p.Short(), Address: g.Address, Applied: p.Ended, Exit: p.Exit})
			}
		}
	}
	return out
}

// unmade says in a sentence what plans were to make and is not there; empty when there is nothing.
func unmade(list []Unmade) string {
	seen := []string{}
	text := ""
	for _, u := range list {
		if containsFold(seen, u.Plan+u.Address) {
			continue
		}
		seen = append(seen, u.Plan+u.Address)
		if len(seen) > 2 {
			continue
		}
		how := ""
		if u.Exit != 0 {
			how = fmt.Sprintf(", whose apply failed with status %d,", u.Exit)
		}
		text += fmt.Sprintf(" The plan %s of %s%s was to create %s, and the cloud does not name it.", clip(u.Plan, 12), stamp(u.Applied), how, clip(u.Address, 160))
	}
	if n := len(seen) - 2; n > 0 {
		text += fmt.Sprintf(" Neither does it name %d more.", n)
	}
	return text
}
