package iac

import (
	"fmt"
	"slices"
	"strings"
)

// Allowance is one action that a cloud allowed when it was asked for an inventory, and by which grants.
type Allowance struct {
	Action string   `json:"action"` // in the cloud's words: "Microsoft.Network/dnsZones/TXT/write"
	Scope  string   `json:"scope"`
	Grants []string `json:"grants"` // ids, as the cloud named them
	// Whole says that the grants are all that allow it; otherwise there may be others.
	Whole bool `json:"whole,omitempty"`
}

func (c *Certificate) boundAllowed() error {
	if len(c.Allowed) > mostTextsOfOneKind {
		return fmt.Errorf("certificate %s: more than %d allowances", c.Name, mostTextsOfOneKind)
	}
	for i := range c.Allowed {
		a := &c.Allowed[i]
		if len(a.Grants) > mostTextsOfOneKind {
			return fmt.Errorf("certificate %s: a list has more than %d elements", c.Name, mostTextsOfOneKind)
		}
		a.Action, a.Scope = bounded(a.Action), bounded(a.Scope)
		for j := range a.Grants {
			a.Grants[j] = bounded(a.Grants[j])
		}
	}
	return nil
}

// Counterfactual takes the grants that the plan destroys out of what the cloud named for the inventory, and says what is
// left: "allowed today, denied after this plan". A plan knows its own state only; where the cloud named another grant that
// this plan does not hold, a loss becomes [Unknown]: renewal goes on by something that no plan here protects, as long as
// the inventory is true. The verdict given is not changed.
func (v Verdict) Counterfactual(p *Plan, inv Inventory) Verdict {
	out := Verdict{Class: v.Class, Findings: slices.Clone(v.Findings)}
	touched, groups := map[string]bool{}, false
	destroyed := map[string]string{} // ids of what is destroyed, by address
	for i := range p.Changes {
		c := &p.Changes[i]
		id, _ := c.Before["id"].(string)
		if id != "" {
			touched[lower(id)] = true
		}
		if id != "" && c.Destroys() {
			destroyed[c.Address] = lower(id)
		}
		if c.Do != NoOp && strings.Contains(c.Type, "group") {
			groups = true // who holds what through a group may change as well
		}
	}
	for i := range out.Findings {
		f := &out.Findings[i]
		id := destroyed[f.Address]
		if id == "" || !slices.Contains([]Class{Lost, Collision, Gap}, f.Class) {
			continue
		}
		o := outlook(f.Certificates, inv, id, touched)
		switch {
		case o.denied != "":
			f.Summary += fmt.Sprintf(" The cloud itself named what allows it%s: today %s is allowed by what this plan destroys alone, and after this plan it is denied.", asOf(inv), o.denied)
		case o.unsure || len(o.others) == 0 || groups:
		default:
			f.Summary = fmt.Sprintf("%s goes from this plan, but the cloud named another grant for the same%s, which this plan does not hold: %s. As long as that is there, renewal goes on. Without it: %s",
				orNone(f.Address), asOf(inv), enumerate(o.others, 3), f.Summary)
			f.Repair = "See that the other grant is meant, and that somebody looks after it: no plan here shows when it goes. Otherwise: " + f.Repair
			f.Fingerprint, f.Class = fingerprint("counterfactual", f.Fingerprint, strings.Join(o.others, "\n")), Unknown
		}
	}
	out.Class = Safe
	for _, f := range out.Findings {
		if rank(f.Class) > rank(out.Class) {
			out.Class = f.Class
		}
	}
	if len(out.Findings) == 0 {
		out.Class = v.Class
	}
	slices.SortStableFunc(out.Findings, func(a, b Finding) int { return rank(b.Class) - rank(a.Class) })
	return out
}

func asOf(inv Inventory) string {
	if inv.At.IsZero() {
		return ""
	}
	return " (asked for the inventory of " + moment(inv.At) + ")"
}

// future is what is left of what the cloud named.
type future struct {
	denied string   // an action that nothing is left for, although everything was named
	unsure bool     // for some action nothing is left of what was named, and others may be there; or the cloud named nothing
	others []string // grants outside the plan that are left, for the action that the fewest are left for
}

func outlook(certificates []string, inv Inventory, id string, touched map[string]bool) (o future) {
	concerned := make(map[string]bool, len(certificates))
	for _, name := range certificates {
		concerned[name] = true
	}
	for _, c := range inv.Certificates {
		if !concerned[c.Name] {
			continue
		}
		named := false
		for _, a := range c.Allowed {
			if !has(a.Grants, id) {
				continue
			}
			named = true
			var left []string
			for _, g := range a.Grants {
				if !touched[lower(g)] {
					left = append(left, g)
				}
			}
			switch {
			case len(left) == 0 && a.Whole && o.denied == "":
				o.denied = a.Action
			case len(left) == 0:
				o.unsure = true
			}
			if o.others == nil || len(left) < len(o.others) { // what may only be read is often allowed by more
				o.others = left
			}
		}
		o.unsure = o.unsure || !named
	}
	slices.Sort(o.others)
	return o
}
