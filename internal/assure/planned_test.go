package assure_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	. "github.com/notafter/notafter/internal/assure"
)

// made and taken are grants of a plan at the zone.
func made(address string) PlannedGrant {
	return PlannedGrant{Does: PlanMakes, Address: address, Principal: "4F1C", Scope: strings.ToUpper(zoneScope), Rights: []string{"read", "write", "delete"}}
}

func taken(id string) PlannedGrant {
	g := made("azurerm_role_assignment.old")
	g.Does, g.ID = PlanTakes, id
	return g
}

func kept(id string) PlannedGrant {
	g := taken(id)
	g.Does, g.Address = PlanKeeps, "azurerm_role_assignment.broad"
	return g
}

// apply is a plan that was applied an hour ago, announced when what e expects was last asked for.
func apply(e Expected, list ...PlannedGrant) Planned {
	p := Announce(Planned{ID: "p", Plan: strings.Repeat("0123456789abcdef", 4), Announced: e.Asked, Grants: list}, []Expected{e})
	p.Ended, p.Counts = e.Asked.Add(time.Second), e.Asked.Add(10*time.Minute)
	return p
}

func TestPlansTeachWhatIsReliedOn(t *testing.T) {
	const fresh = zoneScope + "/providers/Microsoft.Authorization/roleAssignments/44444444"
	conditional := made("x")
	conditional.Principal = "another"
	reader := made("x")
	reader.Rights = []string{"read"}
	elsewhere := made("x")
	elsewhere.Scope = "/subscriptions/s/resourceGroups/other"
	above := made("x")
	above.Scope = "/subscriptions/S/"
	part := allowed(broad)
	part.Whole = false
	running := func(p *Planned) { p.Ended, p.Counts = time.Time{}, time.Time{} }
	failed := func(p *Planned) { p.Exit = 1 }
	for name, c := range map[string]struct {
		before  Access // what was answered before the apply
		grants  []PlannedGrant
		change  func(*Planned)
		answer  Access // and an hour after
		relied  []string
		by      bool
		missing int
		verdict Verdict
	}{
		"replaced by one with another id":                           {before: allowed(narrow), grants: []PlannedGrant{taken(narrow), made("x")}, answer: allowed(fresh), relied: []string{fresh}, by: true, verdict: Upheld},
		"the same while the plan is applied":                        {before: allowed(narrow), grants: []PlannedGrant{taken(narrow), made("x")}, change: running, answer: allowed(fresh), relied: []string{narrow}, verdict: Broken},
		"replaced, although the apply failed elsewhere":             {before: allowed(narrow), grants: []PlannedGrant{taken(narrow), made("x")}, change: failed, answer: allowed(fresh), relied: []string{fresh}, by: true, verdict: Upheld},
		"one that is made beside is relied on":                      {before: allowed(narrow), grants: []PlannedGrant{made("x")}, answer: allowed(narrow, fresh), relied: []string{narrow, fresh}, by: true, verdict: Upheld},
		"what is new and was not planned is not":                    {before: allowed(narrow), grants: []PlannedGrant{kept(narrow)}, answer: allowed(narrow, fresh), relied: []string{narrow}, verdict: Upheld},
		"what was there before is not what a plan made":             {before: allowed(narrow, again), grants: []PlannedGrant{made("x")}, answer: allowed(narrow, again), relied: []string{narrow, again}, missing: 1, verdict: Broken},
		"made at a wider scope":                                     {before: allowed(narrow), grants: []PlannedGrant{taken(narrow), above}, answer: allowed(broad), relied: []string{broad}, by: true, verdict: Upheld},
		"taken away, and one that the plan keeps covers":            {before: allowed(narrow), grants: []PlannedGrant{taken(narrow), kept(broad)}, answer: allowed(broad), relied: []string{broad}, by: true, verdict: Upheld},
		"taken away, and one that no plan knows covers":             {before: allowed(narrow), grants: []PlannedGrant{taken(narrow)}, answer: allowed(broad), relied: []string{narrow}, verdict: Broken},
		"taken away of two":                                         {before: allowed(narrow, broad), grants: []PlannedGrant{taken(narrow)}, answer: allowed(broad), relied: []string{broad}, by: true, verdict: Upheld},
		"another one went than was planned":                         {before: allowed(narrow), grants: []PlannedGrant{taken(again), kept(broad)}, answer: allowed(broad), relied: []string{narrow}, verdict: Broken},
		"half-way: taken away and not made, and another one covers": {before: allowed(narrow), grants: []PlannedGrant{taken(narrow), made("x")}, change: failed, answer: allowed(broad), relied: []string{narrow}, missing: 1, verdict: Broken},
		"half-way: nothing is allowed any more":                     {before: allowed(narrow), grants: []PlannedGrant{taken(narrow), made("x")}, change: failed, answer: denied(), relied: []string{narrow}, missing: 1, verdict: Broken},
		"not made, and what is relied on is there":                  {before: allowed(narrow), grants: []PlannedGrant{made("x")}, answer: allowed(narrow), relied: []string{narrow}, missing: 1, verdict: Broken},
		"a cloud that may name more does not say that it misses":    {before: allowed(broad), grants: []PlannedGrant{made("x")}, answer: part, relied: []string{broad}, verdict: Upheld},
		"one for somebody else":                                     {before: allowed(narrow), grants: []PlannedGrant{conditional}, answer: allowed(narrow), relied: []string{narrow}, verdict: Upheld},
		"one for another place":                                     {before: allowed(narrow), grants: []PlannedGrant{elsewhere}, answer: allowed(narrow), relied: []string{narrow}, verdict: Upheld},
		"one that does not allow this":                              {before: allowed(narrow), grants: []PlannedGrant{reader}, answer: allowed(narrow), relied: []string{narrow}, verdict: Upheld},
	} {
		t.Run(name, func(t *testing.T) {
			e := told(c.before)
			p := apply(e, c.grants...)
			if c.change != nil {
				c.change(&p)
			}
			at := e.Asked.Add(time.Hour)
			e = e.Note("azure", c.answer, at)
			out, learned, settled := HeedPlans([]Expected{e}, []Planned{p}, at)
			e = out[0]
			if !reflect.DeepEqual(e.Grants, c.relied) || len(e.Missing) != c.missing || e.Verdict() != c.verdict || (e.By == "plan 0123456789ab") != c.by || c.by != (len(learned) == 1) {
				t.Errorf("%s %+v; learned %+v", e.Verdict(), e, learned)
			}
			// The same answer again changes nothing.
			if len(settled) > 0 {
				p = settled[0]
			}
			if out, learned, settled = HeedPlans([]Expected{e}, []Planned{p}, at); !reflect.DeepEqual(out[0], e) || len(learned)+len(settled) > 0 {
				t.Errorf("again: %+v, learned %+v, settled %+v", out[0], learned, settled)
			}
		})
	}
}

func TestWhatAPlanWasToMakeIsMissing(t *testing.T) {
	e := told(allowed(narrow))
	p := apply(e, made("azurerm_role_assignment.x"))
	p.Exit = 3
	note := func(at time.Time) Expected {
		out, _, _ := HeedPlans([]Expected{e.Note("azure", allowed(narrow), at)}, []Planned{p}, at)
		return out[0]
	}
	if got := note(p.Counts.Add(-time.Second)); len(got.Missing) > 0 {
		t.Errorf("missing before the cloud had its time: %+v", got)
	}
	e = note(p.Counts)
	if len(e.Missing) != 1 || e.Missing[0] != (Unmade{Plan: "0123456789ab", Address: "azurerm_role_assignment.x", Applied: p.Ended, Exit: 3}) {
		t.Fatalf("missing: %+v", e.Missing)
	}
	if got := e.Note("azure", Access{Answer: Untold, Identity: "4f1c", Action: writeTXT, Scope: zoneScope}, p.Counts.Add(time.Hour)); len(got.Missing) != 1 {
		t.Error("no answer is taken for the grant")
	}
	accepted, ok := e.Accept("ana", "not needed", p.Counts)
	if !ok || accepted.Verdict() != Upheld || !reflect.DeepEqual(accepted.Grants, e.Grants) {
		t.Errorf("accepted: %t %+v", ok, accepted)
	}
	next := apply(e, made("azurerm_role_assignment.x"))
	next.ID, next.Ended = "q", p.Ended.Add(time.Hour)
	if got := Supersede([]Planned{p}, next); len(got) != 1 || got[0].Open() {
		t.Errorf("a later plan for the same resource: %+v", got)
	}
	next.Grants[0].Address = "azurerm_role_assignment.y"
	if got := Supersede([]Planned{p, next}, next); len(got) > 0 {
		t.Errorf("a later plan for another resource: %+v", got)
	}
}

// What a plan was to make and is not there is a ticket, and part of the page when nothing is allowed any more.
func TestAMissingGrantIsTold(t *testing.T) {
	young := leafCert("young", -10*day, 80*day)
	judge := func(e Expected, steps ...Step) Finding {
		t.Helper()
		r := rung(SubjectGrants, steps...)
		r.Expected = []Expected{e}
		ev := seen(r)
		ev.FirstSeen = now.Add(-time.Hour)
		j := Judge(Case{Claim: renewalClaim(Permission, SubjectGrants), Evidence: ev, Issued: &young}, Setting{Now: now, Policy: Policy{Confirm: 2 * time.Minute}})
		if j.Verdict != Broken || len(j.Findings) != 1 || j.Findings[0].Cause != "grant/azure" {
			t.Fatalf("got %s %+v", j.Verdict, j.Findings)
		}
		return j.Findings[0]
	}
	says := func(f Finding, reason Reason, stage Stage, words ...string) {
		t.Helper()
		if f.Reason != reason || f.Stage != stage {
			t.Errorf("got %s %s", f.Reason, f.Stage)
		}
		for _, w := range words {
			if !strings.Contains(f.Summary+" "+f.Action, w) {
				t.Errorf("it does not say %q: %s %s", w, f.Summary, f.Action)
			}
		}
	}
	missing := []Unmade{{Plan: "0123456789ab", Address: "azurerm_role_assignment.x", Applied: now.Add(-time.Hour), Exit: 1}}
	e := told(allowed(narrow))
	e.Missing = missing
	says(judge(e, step(StepAsk, Done, nil)), GrantDrifted, StageTicket, "The plan 0123456789ab of", "failed with status 1, was to create azurerm_role_assignment.x", narrow, "notafter drift accept azure")
	e = told(allowed(narrow), allowed(broad))
	e.Missing = missing
	says(judge(e, step(StepAsk, Done, nil)), GrantDrifted, StageTicket, "is gone: "+narrow, "was to create azurerm_role_assignment.x")
	e = told(allowed(narrow), denied())
	e.Missing = missing
	says(judge(e, step(StepAsk, Failed, lostGrant())), DNSWriteDenied, StagePage, "It was last allowed at", "was to create azurerm_role_assignment.x")
}

// Whatever is planned and answered, nobody is told of a plan that was not applied, and nothing panics.
func TestPlansNeverHarm(t *testing.T) {
	text := rapid.SampledFrom([]string{"", "/", "a", "i", "s", "s/", "S/x", narrow, broad, "/providers/Microsoft.Authorization/roleAssignments/", "İ/providers/Microsoft.Authorization/roleAssignments/x"})
	grant := rapid.Custom(func(t *rapid.T) PlannedGrant {
		return PlannedGrant{
			Does: rapid.SampledFrom([]PlannedDoes{PlanMakes, PlanTakes, PlanKeeps, "novel"}).Draw(t, "does"), Address: text.Draw(t, "address"), Principal: text.Draw(t, "principal"),
			Scope: text.Draw(t, "scope"), ID: text.Draw(t, "id"), Rights: []string{text.Draw(t, "right")},
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		e := expected.Draw(t, "expected")
		p := Announce(Planned{Plan: text.Draw(t, "plan"), Grants: rapid.SliceOfN(grant, 0, 4).Draw(t, "grants")}, []Expected{e})
		if out, learned, settled := HeedPlans([]Expected{e}, []Planned{p}, now); !reflect.DeepEqual(out[0].Grants, e.Grants) || len(out[0].Missing)+len(learned)+len(settled) > 0 {
			t.Fatalf("a plan that was not applied: %+v", out[0])
		}
		p.Ended, p.Counts = now, now
		out, _, _ := HeedPlans([]Expected{e}, []Planned{p}, now.Add(time.Hour))
		if out[0].Answer != e.Answer || out[0].Renewer != e.Renewer {
			t.Fatalf("%+v became %+v", e, out[0])
		}
		_ = ScopeOfGrant(text.Draw(t, "grant"))
	})
}
