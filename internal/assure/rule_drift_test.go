package assure_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	. "github.com/notafter/notafter/internal/assure"
)

const (
	zoneScope = "/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/dnsZones/eu.example.com"
	writeTXT  = "Microsoft.Network/dnsZones/TXT/write"
	narrow    = zoneScope + "/providers/Microsoft.Authorization/roleAssignments/11111111"
	broad     = "/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/22222222"
	again     = zoneScope + "/providers/Microsoft.Authorization/roleAssignments/33333333"
)

func allowed(grants ...string) Access {
	return Access{Answer: Allowed, Identity: "4f1c", Action: writeTXT, Scope: zoneScope, Grants: grants, Whole: true}
}

func denied() Access {
	return Access{Answer: Forbidden, Identity: "4f1c", Action: writeTXT, Scope: zoneScope, Trouble: lostGrant()}
}

// told plays answers that came a minute apart.
func told(list ...Access) (e Expected) {
	for i, a := range list {
		e = e.Note("azure", a, now.Add(time.Duration(i)*time.Minute))
	}
	return e
}

func TestWhatIsExpected(t *testing.T) {
	one := func(g string) Access { a := allowed(g); a.Whole = false; return a }
	other := allowed(broad)
	other.Identity = "another"
	untold := Access{Answer: Untold, Identity: "4f1c", Action: writeTXT, Scope: zoneScope}
	for name, c := range map[string]struct {
		answers []Access
		relied  []string
		gone    []string
		verdict Verdict
	}{
		"what is named first is relied on":                        {[]Access{allowed(narrow)}, []string{narrow}, nil, Upheld},
		"a second grant is not relied on, whatever becomes of it": {[]Access{allowed(narrow), allowed(narrow, broad), allowed(narrow)}, []string{narrow}, nil, Upheld},
		"the grant is gone, and another one covers":               {[]Access{allowed(narrow), allowed(narrow, broad), allowed(broad)}, []string{narrow}, []string{narrow}, Broken},
		"it comes back": {[]Access{allowed(narrow), allowed(broad), allowed(narrow, broad)}, []string{narrow}, nil, Upheld},
		"the case of letters in an id means nothing":                           {[]Access{allowed(narrow), allowed(strings.ToUpper(narrow))}, []string{narrow}, nil, Upheld},
		"one of two is gone":                                                   {[]Access{allowed(narrow, broad), allowed(broad)}, []string{narrow, broad}, []string{narrow}, Broken},
		"a cloud that names one of several does not say that the rest is gone": {[]Access{allowed(narrow, broad), one(broad)}, []string{narrow, broad}, nil, Upheld},
		"a cloud that names another one than the one relied on says so":        {[]Access{one(narrow), one(broad)}, []string{narrow}, []string{narrow}, Broken},
		"nothing grants it any more: what was relied on is remembered":         {[]Access{allowed(narrow), denied()}, []string{narrow}, nil, Broken},
		"a loss that was told is mended by another grant, which is relied on":  {[]Access{allowed(narrow), denied(), allowed(again)}, []string{again}, nil, Upheld},
		"no answer changes nothing":                                            {[]Access{allowed(narrow), untold}, []string{narrow}, nil, Unknown},
		"and does not hide what comes after":                                   {[]Access{allowed(narrow), untold, allowed(broad)}, []string{narrow}, []string{narrow}, Broken},
		"a cloud that names nothing is learned by what it allows":              {[]Access{allowed(), allowed()}, nil, nil, Upheld},
		"and by name as soon as it names something":                            {[]Access{allowed(), allowed(narrow), allowed(broad)}, []string{narrow}, []string{narrow}, Broken},
		"another identity is another expectation":                              {[]Access{allowed(narrow), other}, []string{broad}, nil, Upheld},
		"what was never allowed is not expected":                               {[]Access{denied()}, nil, nil, Broken},
		"and is learned when it is":                                            {[]Access{denied(), allowed(narrow)}, []string{narrow}, nil, Upheld},
	} {
		t.Run(name, func(t *testing.T) {
			e := told(c.answers...)
			if !reflect.DeepEqual(e.Grants, c.relied) || !reflect.DeepEqual(e.Gone(), c.gone) || e.Verdict() != c.verdict {
				t.Errorf("relied on %q, gone %q, %s; want %q, %q, %s", e.Grants, e.Gone(), e.Verdict(), c.relied, c.gone, c.verdict)
			}
		})
	}
}

func TestAcceptingAChange(t *testing.T) {
	e, ok := told(allowed(narrow), allowed(broad)).Accept("ana", "one role for all", now.Add(time.Hour))
	if !ok || !reflect.DeepEqual(e.Grants, []string{broad}) || e.By != "ana" || e.Reason != "one role for all" || e.Verdict() != Upheld {
		t.Errorf("accepted: %t, %+v", ok, e)
	}
	if e = e.Note("azure", allowed(narrow), now.Add(2*time.Hour)); e.Verdict() != Broken {
		t.Error("what was accepted is not relied on")
	}
	for name, e := range map[string]Expected{"nothing is allowed": told(allowed(narrow), denied()), "nothing has changed": told(allowed(narrow)), "nothing is known": {}} {
		if _, ok := e.Accept("ana", "why", now); ok {
			t.Errorf("%s, and it is accepted", name)
		}
	}
}

// A grant is lost and given back under another id. Reading was allowed all the time, by another grant: that it did not
// lose everything is no reason to go on expecting what is gone.
func TestWhatIsGivenBackIsReliedOn(t *testing.T) {
	read := func(a Access) Access { a.Action = "read"; return a }
	note := func(was []Expected, minute int, list ...Access) []Expected {
		return NoteAccess(was, "azure", list, now.Add(time.Duration(minute)*time.Minute))
	}
	e := note(make([]Expected, 2), 0, allowed(narrow), read(allowed(narrow, broad)))
	e = note(e, 1, denied(), read(allowed(broad)))
	if len(AcceptAll(e, "ana", "why", now)) > 0 {
		t.Error("a loss is accepted")
	}
	if e = note(e, 2, allowed(again), read(allowed(again, broad))); e[0].Verdict() != Upheld || e[1].Verdict() != Upheld {
		t.Errorf("given back, and it says %+v", e)
	}
	e = note(e, 3, allowed(broad), read(allowed(broad)))
	if got := AcceptAll(e, "ana", "why", now); len(got) != 2 || len(got[0].Gone())+len(got[1].Gone()) > 0 {
		t.Errorf("accepted: %+v", got)
	}
}

func TestDrift(t *testing.T) {
	young := leafCert("young", -10*day, 80*day)
	asked := func(e Expected) Rehearsed {
		r := rung(SubjectGrants, step(StepAsk, Done, nil))
		if e.Answer == Forbidden {
			r.Steps[0] = step(StepAsk, Failed, &Trouble{Reason: DNSWriteDenied, Class: TroubleDenied, Identity: "4f1c", Action: writeTXT, Scope: zoneScope, Detail: "no role assignment allows it"})
		}
		r.Expected = []Expected{e}
		return r
	}
	judge := func(r Rehearsed, since time.Duration) Judgement {
		ev := seen(r)
		ev.FirstSeen = now.Add(-since)
		return Judge(Case{Claim: renewalClaim(Permission, string(r.Rung)), Evidence: ev, Issued: &young}, Setting{Now: now, Policy: Policy{Confirm: 2 * time.Minute}})
	}
	one := func(j Judgement, v Verdict, reason Reason, stage Stage, words ...string) {
		t.Helper()
		if j.Verdict != v || len(j.Findings) != 1 || j.Findings[0].Reason != reason || j.Findings[0].Stage != stage || j.Findings[0].Cause != "grant/azure" {
			t.Fatalf("got %s %+v", j.Verdict, j.Findings)
		}
		for _, w := range words {
			if !strings.Contains(j.Findings[0].Summary+" "+j.Findings[0].Action, w) {
				t.Errorf("it does not say %q: %s %s", w, j.Findings[0].Summary, j.Findings[0].Action)
			}
		}
	}
	gone := asked(told(allowed(narrow), allowed(broad)))
	one(judge(gone, time.Hour), Broken, GrantDrifted, StageTicket, narrow, broad, writeTXT, "notafter drift accept azure --reason")
	one(judge(gone, time.Second), Broken, GrantDrifted, StageNone) // a cloud that has not noticed yet may say so
	one(judge(asked(told(allowed(narrow, broad), allowed(broad))), time.Hour), Upheld, GrantDrifted, StageNone, narrow)
	one(judge(asked(told(allowed(narrow), denied())), time.Hour), Broken, DNSWriteDenied, StagePage, "It was last allowed at", narrow)
	gone.Rung = RehearsePermission
	if j := judge(gone, time.Hour); j.Verdict != Upheld || len(j.Findings) > 0 {
		t.Errorf("what has drifted is told by the rung as well: %+v", j.Findings)
	}
	if j := judge(asked(told(allowed(narrow))), time.Hour); j.Verdict != Upheld || len(j.Findings) > 0 {
		t.Errorf("nothing has drifted, and it says %+v", j.Findings)
	}
}

var expected = rapid.Custom(func(t *rapid.T) (e Expected) {
	ids := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "A", "b", "c", ""}), 0, 3)
	for i := range rapid.IntRange(0, 4).Draw(t, "answers") {
		a := Access{
			Answer: rapid.SampledFrom([]Answer{Allowed, Allowed, Forbidden, Untold, "novel"}).Draw(t, "answer"), Identity: "i", Action: "a", Scope: "s",
			Grants: ids.Draw(t, "grants"), Whole: rapid.Bool().Draw(t, "whole"),
		}
		e = e.Note("r", a, now.Add(time.Duration(i)*time.Hour))
	}
	return e
})

// However the answers come, an expectation is only changed by what was said, accepting it settles it, and noting an
// answer again changes nothing.
func TestExpectationsAreSettled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := expected.Draw(t, "expected")
		if got, ok := e.Accept("ana", "why", now); ok && len(got.Gone()) > 0 || ok != (len(e.Gone()) > 0) {
			t.Fatalf("accepted %+v: %t", got, ok)
		}
		if e.Answer == "" || e.Answer == Forbidden {
			return
		}
		a := Access{Answer: e.Answer, Identity: "i", Action: "a", Scope: "s", Grants: e.Named, Whole: e.Whole}
		once := e.Note("r", a, e.Asked)
		if once.Verdict() != e.Verdict() || !reflect.DeepEqual(once.Grants, e.Grants) {
			t.Fatalf("the same answer again: %+v, before %+v", once, e)
		}
	})
}
