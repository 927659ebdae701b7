package iac

import (
	"fmt"
	"strings"
)

// repair says what to change in the code, so that the next plan does not do it. Blocks stand on lines of their own.
func (j *judge) repair(t *Tie, f fate) string {
	c := t.cause()
	switch {
	case f.class == Safe:
		return "Apply this plan, and prove renewal afterwards."
	case f.class == Collision:
		return j.collisionRepair(t, f)
	case len(f.heirs) > 0:
		return "Undo what forces the replacement of " + c.Address + ", if it need not be new. Otherwise apply when no renewal is due, and prove renewal afterwards."
	case c.Do == UnknownAction:
		return "Judge the plan with a version of notafter that knows what it does, or look yourself and answer for it with an override."
	case t.Repair != "" && f.taker == nil && f.twin == nil && f.again == nil:
		return t.Repair
	}
	switch f.class {
	case Lost:
		return j.lostRepair(t, f)
	case Narrowed:
		if c.Do == Delete {
			return "Keep " + c.Address + ", or give the renewer a grant that is as wide before this one goes."
		}
		return "Leave " + c.Address + " as wide as it was for whoever renews, or give the renewer a grant of its own first."
	case Gap:
		return gapRepair(t, f)
	case Orphaned:
		if c.Do == Forget {
			return "Keep the resource in the code. If other code is to look after it, import it there first, and answer for this finding with an override:\n\n" + j.imported(c, orElse(t.idOf(c), importID(c)))
		}
		return "Undo what forces the replacement, or import the old one where it is to be kept."
	case Blocked:
		if c.Makes() {
			return "Do not add " + c.Address + ", or let it spare what renewal writes."
		}
		return "Leave " + c.Address + " as it was, or let it spare what renewal writes."
	case Unknown:
		switch {
		case f.taker != nil:
			return "Name a single member instead of all of them (the provider's _member resource, or an attachment of its own), or add everybody who has it today."
		case f.was != "":
			return "Give an inventory (--config or --inventory), which knows what renewal rests on; or look yourself, and answer for it with an override."
		}
		return unknownRepair(c, f)
	}
	return ""
}

// unknownRepair is for what the plan does not know, or what nobody knows although the plan says everything.
func unknownRepair(c *Change, f fate) string {
	if f.by != nil && len(f.by.Unknown) > 0 || strings.Contains(f.why, "known only after the apply") {
		return "Apply in two steps, so that the plan knows the value; or write the value down instead of reading it from a data source that waits for other changes."
	}
	if c.Type == "helm_release" && c.Before != nil && c.After != nil {
		was, will := semantic.FindStringSubmatch(chartVersion(&Side{Values: c.Before})), semantic.FindStringSubmatch(chartVersion(&Side{Values: c.After}))
		if was != nil && will != nil && was[1] == will[1] && number(will[2]) > number(was[2])+1 {
			return fmt.Sprintf("Upgrade to %s.%d first and apply that, and so on to %s.%s, one minor version after the other. Prove renewal after each.", was[1], number(was[2])+1, will[1], will[2])
		}
	}
	return "Look whether renewal can go on with it, and prove renewal after the apply; or undo the change of " + c.Address + "."
}

func (j *judge) lostRepair(t *Tie, f fate) string {
	c := t.cause()
	switch {
	case f.past:
		return "Bring it back: apply a plan that is not -refresh-only, if the code still holds it; otherwise put it into the code again:\n\nresource " + quote(c.Type) + " " + quote(resourceName(c.Address)) + " {\n  # as it was\n}"
	case f.drift:
		return "Bring it back: make a plan that is not -refresh-only, if the code still holds it; otherwise put it into the code again:\n\nresource " + quote(c.Type) + " " + quote(resourceName(c.Address)) + " {\n  # as it was\n}"
	case f.taker != nil:
		return fmt.Sprintf("Add %s of %s, or name a single member there instead of all of them.", listed(t, f.taker), f.taker.From.Change.Address)
	case f.again != nil:
		return "Say that it has moved, and nothing is destroyed:\n\n" + j.moved(c, f.again.From.Change, f.again.From.Change.Address)
	case f.twin != nil:
		return "Take one of the two addresses out of the state without destroying the object:\n\n" + j.removed(c)
	case c.Do == Update || c.Do == NoOp:
		return "Leave " + c.Address + " as it was for whoever renews."
	case t.Stale != "" && c.Makes():
		return "Keep " + c.Address + " from being replaced: undo what forces it. If it must be new, change everything that names the old one in the same change, and prove renewal afterwards."
	case c.Makes():
		return "Undo the change of " + c.Address + ". If the new one is wanted, add it as a second resource, and remove this one in a later change."
	}
	s := "Keep " + c.Address + " in the code."
	if _, key := instance(c.Address); key != "" {
		return fmt.Sprintf("Keep %s in the code: the key %s of its for_each or count.", c.Address, key)
	}
	if strings.Contains(c.Address, "[") {
		return s
	}
	if !j.since(c, 7, 10) {
		return s + " If another state is to look after it, take it out of this one, and out of the code:\n\n" + j.removed(c)
	}
	return s + " If another state is to look after it, let it live. The guard then says that it is orphaned, and an override answers for that:\n\n" + j.removed(c)
}

func gapRepair(t *Tie, f fate) string {
	c := t.From.Change
	switch {
	case f.anew != nil:
		return "Leave it in the " + t.At + ". If it must go, copy the secrets that its issuers name into the " + f.anew.At + " first, apply when no renewal is due, and prove renewal afterwards."
	case f.to != nil:
		return fmt.Sprintf("Trust the service account %s beside the old one first (a second credential, subject or member), and apply that. Then change %s, and take the old one away after that.", f.to.will, f.to.to.Change.Address)
	case f.by != nil && f.by.From.Change != c:
		return fmt.Sprintf("Apply in two steps: first %s, with %s still in the code; then the deletion.", f.by.From.Change.Address, c.Address)
	case f.by != nil && azure(c) && t.Kind == KindGrant && single(t, f.by):
		return "Undo what forces the replacement: Azure holds only one such assignment, so the new one cannot be made first. If it must be, apply when no renewal is due, and prove renewal afterwards."
	case f.by != nil && single(t, f.by):
		return "Undo what forces the replacement: there is only one such object, so the new one cannot be made first. If it must be, apply when no renewal is due, and prove renewal afterwards."
	}
	return "Let the new one be made first, under a name of its own where the cloud wants one:\n\nlifecycle {\n  create_before_destroy = true\n}"
}

// single reports whether the cloud holds only one of two objects that take each other's place: then one that is made
// first is no second one, and the deletion that follows takes it away. Where neither says what it is told apart by, its
// name does.
func single(t, u *Tie) bool {
	if t.Object != "" && u.Object != "" {
		return alike(t.Object, u.Object)
	}
	if !t.Same(u) || !alike(t.Permission, u.Permission) {
		return false
	}
	name := u.From.Text("name")
	return t.Kind != KindPath || name != "" && name == t.From.Text("name") || name == "" && u.From.Known("name")
}

func (j *judge) collisionRepair(t *Tie, f fate) string {
	c, d := t.From.Change, f.by.From.Change
	switch {
	case c == d:
		return "Take create_before_destroy away from " + c.Address + ", or undo what forces the replacement."
	case c.Type != d.Type && d.Type != "azapi_resource":
		return fmt.Sprintf("Keep %s and leave %s out. To go from one to the other, take the old one away in a change of its own when no renewal is due, make the new one in the next, and prove renewal afterwards.", c.Address, d.Address)
	case d.Before != nil:
		return "The keys have shifted. Give each its own key (for_each instead of count), and say where the ones that stay have gone:\n\n" + j.moved(c, d, keyed(d.Address, t))
	}
	return "Say that it has moved, and nothing is destroyed:\n\n" + j.moved(c, d, d.Address)
}

// keyed is an address whose number is replaced with a key that does not shift.
func keyed(address string, t *Tie) string {
	base, key := instance(address)
	if key == "" {
		return address
	}
	who := orElse(t.Who, t.Principal)
	if strings.HasPrefix(who, "the ") { // "the role cert-manager"
		who = who[strings.LastIndex(who, " ")+1:]
	}
	return base + "[" + quote(who) + "]"
}

func incompleteRepair(p *Plan) string {
	if p.Errored {
		return "Mend what made planning fail, and judge the plan that comes of it."
	}
	return "Make a plan without -target and of everything, and judge that."
}

func quote(s string) string { return `"` + inQuotes.Replace(s) + `"` }

// inQuotes writes what would end a string of the language, or begin a template in it.
// https://developer.hashicorp.com/terraform/language/expressions/strings
var inQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "${", "$${", "%{", "%%{")

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// idOf is the id of the object of a change that is the cause of what happens to a tie.
func (t *Tie) idOf(c *Change) string {
	if c != t.From.Change {
		return text(c.Before["id"])
	}
	return t.ID
}
