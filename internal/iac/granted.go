package iac

import (
	"slices"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// Granted lists what a plan makes, takes away and keeps of grants by which challenge records may be written, as far as what
// a cloud names can be told to be one of them: role assignments of Azure, whose ids hold their scope. What the plan itself does not
// know, or what holds under a condition only, is left out of what it makes. keep says which identities matter: it is given
// every spelling of one.
func Granted(p *Plan, keep func(names []string) bool) []assure.PlannedGrant {
	before, after := States(p)
	var out []assure.PlannedGrant
	add := func(t *Tie, does assure.PlannedDoes) {
		names := append([]string{t.Principal}, t.Also...)
		if t.Principal == "" || !keep(names) {
			return
		}
		g := assure.PlannedGrant{
			Does: does, Address: t.From.Address(), Principal: t.Principal, Also: t.Also, Scope: strings.TrimRight(t.At, "/"), Rights: t.Rights.words(), ID: t.ID,
		}
		if does == assure.PlanMakes {
			g.ID = ""
		}
		if !slices.ContainsFunc(out, func(o assure.PlannedGrant) bool {
			return o.Does == g.Does && o.Address == g.Address && o.Principal == g.Principal
		}) {
			out = append(out, g)
		}
	}
	ties := TiesOf(before)
	for i := range ties {
		t := &ties[i]
		switch c := t.From.Change; {
		case !t.assigned() || assure.ScopeOfGrant(t.ID) == "":
		case c.Destroys():
			add(t, assure.PlanTakes)
		default:
			add(t, assure.PlanKeeps)
		}
	}
	ties = TiesOf(after)
	for i := range ties {
		t := &ties[i]
		if c := t.From.Change; t.assigned() && c.Makes() && c.Deposed == "" && len(t.Unknown) == 0 && t.Condition == "" && (t.Doubt == "" || t.Certain) {
			add(t, assure.PlanMakes)
		}
	}
	return out
}

// assigned reports whether a tie is a role assignment of Azure at a known place.
func (t *Tie) assigned() bool {
	kind := t.From.Change.Type
	return t.Kind == KindGrant && t.At != "" && strings.HasPrefix(t.At, "/") && (kind == "azurerm_role_assignment" || kind == "azapi_resource")
}

// words names the rights as the last words of a cloud's actions do.
func (r Right) words() (out []string) {
	for _, w := range []struct {
		right Right
		word  string
	}{{RightRead, "read"}, {RightWrite, "write"}, {RightDelete, "delete"}} {
		if r&w.right != 0 {
			out = append(out, w.word)
		}
	}
	return out
}
