package iac

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Judge says what a plan does to renewal. It compares the ties of the two sides as sets; an inventory, which may be
// empty, says what is at stake. It is pure: no time, no network, and the same answer for the same plan.
//
// What is found is ordered by class, the worst first, and then by address. Nothing is found where renewal is untouched;
// the one finding of class [Safe] tells of something that is gone already and that the plan gives back.
func Judge(p *Plan, inv Inventory) Verdict {
	before, after := States(p)
	return newJudge(p, inv, before, TiesOf(before), TiesOf(after)).judge()
}

func (j *judge) judge() Verdict {
	j.incomplete()
	j.ties()
	j.blocks()
	j.authoritative()
	j.drifted()
	return j.verdict()
}

// judge holds what one judgement needs.
type judge struct {
	plan          *Plan
	inv           Inventory
	before, after []Tie
	beforeSt      *State
	// same side, by kind and principal; pointers into before and after
	was, will map[string][]*Tie
	// open are ties after the plan whose principal it does not know, by kind.
	open map[Kind][]*Tie
	// named are the certificates whose grant the plan holds, by the id that the cloud named.
	named map[*Certificate]bool
	// gone are the changes outside the code that took something away.
	gone map[*Change]bool
	// exclusive are the authoritative grants that the plan creates or changes.
	exclusive []*Tie
	// actsBefore and actsAfter are the two sides' ties by whom they are about; nil before anybody asked.
	actsBefore, actsAfter *actors
	// mute says that nothing in the plan is about DNS or renewal; nil before anybody asked.
	mute *bool
	// renewing remembers who is seen to renew, by principal; renew are their grants. Nil before anybody asked.
	renewing map[string]bool
	renew    []*Tie
	found    []judged
}

// judged is a finding with the tie it is about.
type judged struct {
	tie *Tie
	// heirs are the changes that only follow what is told here.
	heirs []*Change
	// moved are the ties that are told of here.
	moved []*Tie
	// beside says that somebody else is seen to renew there.
	beside bool
	Finding
}

func newJudge(p *Plan, inv Inventory, st *State, before, after []Tie) *judge {
	j := &judge{
		plan: p, inv: inv, before: before, after: after, beforeSt: st,
		was: map[string][]*Tie{}, will: map[string][]*Tie{}, open: map[Kind][]*Tie{}, named: map[*Certificate]bool{}, gone: map[*Change]bool{},
	}
	ids := map[string]bool{}
	for i := range j.before {
		t := &j.before[i]
		j.was[t.key()] = append(j.was[t.key()], t)
		if t.Kind == KindGrant && t.ID != "" {
			ids[lower(t.ID)] = true
		}
	}
	for i := range inv.Certificates {
		c := &inv.Certificates[i]
		j.named[c] = slices.ContainsFunc(c.Grants, func(g string) bool { return ids[lower(g)] })
	}
	for i := range j.after {
		t := &j.after[i]
		if slices.Contains(t.Unknown, PartPrincipal) {
			j.open[t.Kind] = append(j.open[t.Kind], t)
			continue
		}
		j.will[t.key()] = append(j.will[t.key()], t)
	}
	for i := range j.after {
		if t := &j.after[i]; t.Others && t.Kind == KindGrant && j.changed(t) {
			j.exclusive = append(j.exclusive, t)
		}
	}
	slices.SortStableFunc(j.exclusive, func(a, b *Tie) int { return cmp.Compare(a.From.Change.Address, b.From.Change.Address) })
	return j
}

func (t *Tie) key() string { return string(t.Kind) + "\x00" + lower(t.Principal) }

// incomplete says once that a plan is not the whole plan.
func (j *judge) incomplete() {
	if !j.plan.Errored && len(j.plan.Incomplete) == 0 {
		return
	}
	j.found = append(j.found, judged{Finding: Finding{
		Class: Incomplete, Certificates: []string{}, Summary: incompleteSummary(j.plan), Repair: incompleteRepair(j.plan),
		Fingerprint: fingerprint("incomplete", strconv.FormatBool(j.plan.Errored), strings.Join(j.plan.Incomplete, "\n")),
	}})
}

// ties judges everything that renewal rests on before the plan.
func (j *judge) ties() {
	for i := range j.before {
		t := &j.before[i]
		if t.Kind == KindBlock || j.silent(t) {
			continue
		}
		if f := j.fate(t); f.class != Safe {
			j.tell(t, f)
		}
	}
}

// tell adds a finding about a tie, unless the inventory shows that nobody is hurt by it.
func (j *judge) tell(t *Tie, f fate) {
	rest := j.resting(t)
	if f.class == Narrowed && len(rest) > 0 {
		if rest = j.hurt(t, f, rest); len(rest) == 0 {
			return // what is left is enough for every certificate that rests on it
		}
	}
	if f.class == Narrowed && len(rest) == 0 && t.Doubt == "" && j.shown(t, f.left) {
		f.was, f.class, f.why = Narrowed, Unknown, "what is left is enough for every zone that the plan shows, and there may be others"
	}
	if j.quiet(t) {
		return
	}
	if len(rest) == 0 && t.Doubt == "" && slices.Contains([]Class{Lost, Narrowed, Gap, Collision}, f.class) {
		if u := j.beside(t); u != nil {
			f.was, f.class, f.beside = f.class, Unknown, true
			f.why = name(u) + " keeps its own grant there and is seen to renew, and nothing shows that " + name(t) + " does"
		}
	}
	if t.Doubt != "" {
		switch {
		case f.class == Unknown && !j.unused(t): // for a reason of its own
		case len(rest) == 0 && f.class == Orphaned: // it lives on, and may be nothing
			return
		case len(rest) > 0 && !t.vague(): // the inventory knows that it is used
		case j.unused(t): // and here, that it is not
			return
		default:
			f.was, f.class, f.why = f.class, Unknown, t.Doubt
		}
	}
	j.add(t, f, rest)
}

// vague reports whether a tie does not even say what it allows or forbids: then no inventory can tell what it is worth.
func (t *Tie) vague() bool {
	return t.Rights == 0 && len(t.Members) == 0 && (t.Kind == KindGrant || t.Kind == KindBlock)
}

func (j *judge) add(t *Tie, f fate, rest []*Certificate) {
	c := t.cause()
	out := Finding{
		Class: f.class, Address: c.Address, ProviderType: c.Type, Principal: t.Principal, Permission: t.Permission, Scope: t.scope(),
		Certificates: namesOf(rest), HurtsAt: hurtsAt(rest), Fingerprint: t.fingerprint(f.class), kind: t.Kind,
	}
	if c.Previous != "" {
		out.Previous = &c.Previous
	}
	out.Summary, out.Repair = j.summary(t, f, rest), j.repair(t, f)
	j.found = append(j.found, judged{tie: t, heirs: f.heirs, moved: f.moved, beside: f.beside, Finding: out})
}

// cause is the change that does something to a tie: its own resource's, or that of the one which decides what it allows.
func (t *Tie) cause() *Change {
	if c := t.From.Change; c.Do != NoOp || t.By == nil || t.By.Change.Do == NoOp {
		return c
	}
	return t.By.Change
}

func (t *Tie) scope() string {
	switch {
	case t.At != "":
		return t.At
	case len(t.Scope) == 0:
		return ""
	}
	return t.Scope.String()
}

// verdict orders what was found, and says once what is the same.
func (j *judge) verdict() Verdict {
	slices.SortStableFunc(j.found, func(a, b judged) int {
		return cmp.Or(cmp.Compare(rank(b.Class), rank(a.Class)), cmp.Compare(a.Address, b.Address))
	})
	v := Verdict{Class: Safe, Findings: []Finding{}}
	others, seen := index(j.found), map[string]bool{}
	for _, f := range j.found {
		if others.repeats(f) || seen[f.Fingerprint] || others.follows(f) {
			continue
		}
		seen[f.Fingerprint] = true
		v.Findings = append(v.Findings, f.Finding)
	}
	if len(v.Findings) > 0 {
		v.Class = v.Findings[0].Class
	}
	return v
}

// bound are the kinds that name an identity and go with it.
func bound(k Kind) bool { return k == KindGrant || k == KindTrust || k == KindCredential }

// fingerprint of what happens to a tie: neither the plan nor the address, nor what else happens, nor dates.
func (t *Tie) fingerprint(c Class) string {
	return fingerprint(string(c), string(t.Kind), lower(t.Principal), strconv.Itoa(int(t.Rights)), lower(t.Scope.String()), t.Condition)
}

// fingerprint hashes parts so that no two lists of parts give the same input.
func fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range append([]string{"notafter guard 1"}, parts...) {
		_, _ = h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}
