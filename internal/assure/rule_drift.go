package assure

import (
	"fmt"
	"strings"
	"time"
)

// drift files that what renewal relied on is gone although the permission still holds by something else: whoever took it
// away may not know that renewal rests on it, and the next one to tidy up may take the rest. It has the cause of a lost
// grant, so that losing the rest is the same incident, grown.
func (p *promise) drift(r Rehearsed) {
	for _, e := range r.Expected {
		if e.Answer == Forbidden {
			return // what is lost is told by what it cuts off
		}
	}
	var all, some []string
	var absent []Unmade
	var worst, lacks Expected
	for _, e := range r.Expected {
		gone := e.Gone()
		if e.Answer == Allowed && len(e.Missing) > 0 {
			if len(absent) == 0 {
				lacks = e
			}
			absent = append(absent, e.Missing...)
		}
		switch {
		case len(gone) == 0:
			continue
		case len(gone) == len(e.Grants):
			if len(all) == 0 {
				worst = e
			}
			all = append(all, gone...)
		default:
			if len(all)+len(some) == 0 {
				worst = e
			}
			some = append(some, gone...)
		}
	}
	if len(all)+len(some)+len(absent) == 0 {
		return
	}
	if len(all) == 0 && len(absent) > 0 {
		p.unmade(lacks, absent)
		return
	}
	stage, verdict, gone := p.stageOf(true, GrantDrifted, "", StageTicket), Broken, all
	if len(all) == 0 { // one of several: what is left was relied on as well
		stage, verdict, gone = StageNone, Upheld, some
	}
	f := p.finding(GrantDrifted, "grant/"+p.renewer, stage)
	f.HurtsAt = time.Time{}
	f.Summary = fmt.Sprintf("The grant that the renewer %s relies on is gone: %s, last named at %s. It still may %s at %s, by %s.",
		clip(p.renewer, 60), grants(gone), stamp(worst.Held), clip(worst.Action, 100), clip(worst.Scope, 160), grants(worst.Named)) + unmade(absent)
	f.Impact = fmt.Sprintf("Nobody: the renewal of %s still works. When what is left is taken away as well, it will not.", p.name)
	f.Action = "See who took it away (the cloud's activity log, the last Terraform apply), and give it back. If it is meant: notafter drift accept " + clip(p.renewer, 60) + " --reason WHY"
	p.add(verdict, f)
}

// unmade files that a plan was to make a grant for the renewer, was applied, and the cloud does not name it: the apply
// failed half-way, or somebody took it away at once.
func (p *promise) unmade(e Expected, absent []Unmade) {
	f := p.finding(GrantDrifted, "grant/"+p.renewer, p.stageOf(true, GrantDrifted, "", StageTicket))
	f.HurtsAt = time.Time{}
	f.Summary = fmt.Sprintf("A grant that the renewer %s was to be given is not there.%s It still may %s at %s, by %s.",
		clip(p.renewer, 60), unmade(absent), clip(e.Action, 100), clip(e.Scope, 160), grants(e.Named))
	f.Impact = fmt.Sprintf("Nobody: the renewal of %s still works. When what it works by is taken away, as the plan may have meant, it will not.", p.name)
	f.Action = "See what the apply said, and apply again. If it is meant: notafter drift accept " + clip(p.renewer, 60) + " --reason WHY"
	p.add(Broken, f)
}

// held says until when something was allowed that is refused now, and by what; empty when that is not known.
func (p *promise) held(t *Trouble) string {
	for _, e := range p.expected {
		if t.Class != TroubleDenied {
			e.Missing = nil // a rule forbids it, whatever was granted
		}
		// Of a denial of several actions, the first one that is expected speaks.
		if !containsFold(strings.Split(t.Action, ", "), e.Action) || !strings.EqualFold(e.Scope, t.Scope) || e.Held.IsZero() && len(e.Missing) == 0 {
			continue
		}
		if e.Held.IsZero() {
			return unmade(e.Missing)
		}
		if len(e.Grants) == 0 {
			return fmt.Sprintf(" It was last allowed at %s.", stamp(e.Held)) + unmade(e.Missing)
		}
		return fmt.Sprintf(" It was last allowed at %s, by %s.", stamp(e.Held), grants(e.Grants)) + unmade(e.Missing)
	}
	return ""
}

// grants names a few of many.
func grants(list []string) string {
	seen := []string{}
	for _, g := range list {
		if !containsFold(seen, g) {
			seen = append(seen, g)
		}
	}
	text := strings.Join(firstN(seen, 2), " and ")
	if n := len(seen) - 2; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return clip(text, 400)
}
