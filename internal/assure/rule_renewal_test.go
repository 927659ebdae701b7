package assure_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/notafter/notafter/internal/assure"
)

func renewalClaim(link Link, subject string) Claim {
	return Claim{ID: NewClaimID(link, "hosted-eu", subject), Link: link, Certificate: "hosted-eu", Subject: subject, Route: "sre", Declared: now.Add(-100 * day), Every: 15 * time.Minute}
}

func lostGrant() *Trouble {
	return &Trouble{
		Reason: DNSWriteDenied, Class: TroubleDenied, Identity: "4f1c", Action: "Microsoft.Network/dnsZones/TXT/write",
		Scope: "/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/dnsZones/eu.example.com", Detail: "Azure answered 403 AuthorizationFailed",
	}
}

func rung(k AttemptKind, steps ...Step) Rehearsed {
	return Rehearsed{Rung: k, Renewer: "azure", Steps: steps}
}

func step(name string, o Outcome, t *Trouble) Step {
	return Step{Name: name, Target: "_acme-challenge.eu.example.com", Outcome: o, Trouble: t}
}

func TestRehearsal(t *testing.T) {
	young := leafCert("young", -10*day, 80*day) // due in 50 days
	near := leafCert("near", -60*day, 30*day)   // due now
	cases := map[string]struct {
		rung   AttemptKind
		fact   Rehearsed
		issued Cert
		want   string // verdict, then reason/stage
	}{
		"a rung on which every step worked is upheld, without a word": {RehearseCanary, rung(RehearseCanary, step(StepPresent, Done, nil)), young, "upheld"},
		"a lost grant pages at once, fifty days before the renewal": {
			RehearseCanary, rung(RehearseCanary, step(StepPresent, Failed, lostGrant())), young, "broken dns_write_denied/page",
		},
		"the same loss met at three records is one finding": {
			RehearseCanary, rung(RehearseCanary, step(StepPresent, Failed, lostGrant()), step(StepPresent, Failed, lostGrant())), young, "broken dns_write_denied/page",
		},
		"a provider that did not answer may pass, and nobody is told yet": {
			RehearseCanary, rung(RehearseCanary, step(StepPresent, Failed, &Trouble{Reason: DNSWriteFailed, Class: TroubleTransient, Detail: "503"})), young, "broken dns_write_failed/none",
		},
		"CAA that forbids the CA is work while the renewal is far": {
			RehearseStatic, rung(RehearseStatic, step(StepCAA, Failed, &Trouble{Reason: CAAForbids, Class: TroubleForbidden, Scope: "example.com", Detail: "CAA allows other.test only"})), young, "broken caa_forbids/ticket",
		},
		"CAA that forbids the CA pages when the renewal is due": {
			RehearseStatic, rung(RehearseStatic, step(StepCAA, Failed, &Trouble{Reason: CAAForbids, Class: TroubleForbidden, Scope: "example.com", Detail: "CAA allows other.test only"})), near, "broken caa_forbids/page",
		},
		"a permission that could not be asked about is a finding, and never upheld": {
			RehearsePermission, rung(RehearsePermission, step(StepAsk, Unclear, &Trouble{Reason: PermissionUnclear, Class: TroubleDenied, Detail: "403"})), young, "unknown permission_unknown/ticket",
		},
		"who lost a grant and may not ask about it either has one trouble": {
			RehearsePermission, rung(RehearsePermission, step(StepAsk, Failed, lostGrant()), step(StepAsk, Unclear, &Trouble{Reason: PermissionUnclear, Class: TroubleDenied, Detail: "403"})), young, "broken dns_write_denied/page",
		},
		"a reused authorization proves nothing": {
			RehearseAuthorize, rung(RehearseAuthorize, step(StepValidate, Unclear, &Trouble{Reason: RehearsalInconclusive, Class: TroubleInvalid, Detail: "the CA reused an authorization"})), young, "unknown rehearsal_inconclusive/ticket",
		},
		"evidence of another rung is no evidence":   {RehearseCanary, rung(RehearseStatic, step(StepCAA, Done, nil)), young, "unknown evidence_missing/page"},
		"a rehearsal without a step is no evidence": {RehearseCanary, rung(RehearseCanary), young, "unknown evidence_missing/page"},
		"a credential that ends before the next renewal is over is work": {
			RehearsePermission,
			Rehearsed{Rung: RehearsePermission, Renewer: "azure", Steps: []Step{step(StepAsk, Done, nil)}, Due: now.Add(50 * day), Access: []Access{{Answer: Allowed, Expires: now.Add(20 * day)}}},
			young, "broken credential_expiring/ticket",
		},
		"a credential that ends before anybody could act pages": {
			RehearsePermission,
			Rehearsed{Rung: RehearsePermission, Renewer: "azure", Steps: []Step{step(StepAsk, Done, nil)}, Due: now.Add(50 * day), Access: []Access{{Answer: Allowed, Expires: now.Add(2 * time.Hour)}}},
			young, "broken credential_expiring/page",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ev := seen(c.fact)
			ev.FirstSeen = now
			claim := renewalClaim(LinkOf(c.rung), string(c.rung))
			j := Judge(Case{Claim: claim, Evidence: ev, Issued: &c.issued}, Setting{Now: now, Policy: Policy{Confirm: 2 * time.Minute}})
			got := verdictAndFindings(j)
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			for _, f := range j.Findings {
				if f.Summary == "" || f.Action == "" || f.Impact == "" || f.Basis == "" {
					t.Errorf("a finding lacks words: %+v", f)
				}
			}
		})
	}
}

func verdictAndFindings(j Judgement) string {
	parts := []string{string(j.Verdict)}
	for _, f := range j.Findings {
		parts = append(parts, string(f.Reason)+"/"+f.Stage.String())
	}
	return strings.Join(parts, " ")
}

func TestRenewal(t *testing.T) {
	young := leafCert("young", -10*day, 80*day)
	late := leafCert("late", -70*day, 20*day)
	dying := leafCert("dying", -85*day, 5*day)
	cases := map[string]struct {
		issued *Cert
		state  RenewalState
		want   string
	}{
		"nothing due and the last attempt well":  {&young, RenewalState{LastSuccess: now.Add(-10 * day), Due: now.Add(50 * day)}, "upheld"},
		"an attempt under way is nothing to say": {&young, RenewalState{Running: now.Add(-time.Minute)}, "upheld"},
		"an attempt under way for hours is stuck": {
			&young, RenewalState{Running: now.Add(-3 * time.Hour), Due: now.Add(50 * day)}, "broken renewal_stuck/ticket",
		},
		"a first failure that may pass tells nobody yet": {
			&young, RenewalState{Failures: 1, LastTrouble: &Trouble{Reason: RenewalFailing, Class: TroubleTransient, Detail: "503"}, LastAttempt: now, Due: now.Add(-time.Minute)}, "broken renewal_failing/none",
		},
		"a second one in a row is work, and a page because it is due": {
			&young, RenewalState{Failures: 2, LastTrouble: &Trouble{Reason: RenewalFailing, Class: TroubleTransient, Detail: "503"}, LastAttempt: now, Due: now.Add(-time.Minute)}, "broken renewal_failing/page",
		},
		"a failure for want of a grant names both, as a page": {
			&young, RenewalState{Failures: 1, LastTrouble: lostGrant(), LastAttempt: now, Due: now.Add(50 * day)}, "broken dns_write_denied/page renewal_failing/page",
		},
		"a repair that nobody has proven is not believed": {
			&young, RenewalState{Unproven: now.Add(-time.Hour), UnprovenBy: lostGrant(), Due: now.Add(50 * day)}, "broken dns_write_denied/page",
		},
		"late without an attempt is overdue": {&late, RenewalState{}, "broken renewal_overdue/page"},
		"late and dying is a page":           {&dying, RenewalState{}, "broken renewal_overdue/page"},
		"late by the lifetime but not by the CA's window is no finding": {
			&late, RenewalState{Due: now.Add(5 * day)}, "upheld",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ev := seen(Renewing{Renewer: "azure", State: c.state, Newest: c.issued})
			ev.FirstSeen = now
			j := Judge(Case{Claim: renewalClaim(Renewal, SubjectRenewal), Evidence: ev, Issued: c.issued}, Setting{Now: now, Policy: Policy{Confirm: 2 * time.Minute}})
			if got := verdictAndFindings(j); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestIssuance(t *testing.T) {
	none := Judge(Case{Claim: renewalClaim(Issuance, SubjectIssuance), Evidence: seen(Renewing{Renewer: "azure"})}, Setting{Now: now})
	if got := verdictAndFindings(none); got != "broken no_certificate/page" {
		t.Errorf("without a certificate: %s", got)
	}
	first := Judge(Case{Claim: renewalClaim(Issuance, SubjectIssuance), Evidence: seen(Renewing{Renewer: "azure", State: RenewalState{Running: now.Add(-5 * time.Minute)}})}, Setting{Now: now})
	if got := verdictAndFindings(first); got != "broken no_certificate/none" {
		t.Errorf("while the first one is being ordered: %s", got)
	}
	young := leafCert("young", -10*day, 80*day)
	missing := Judge(Case{Claim: renewalClaim(Issuance, SubjectIssuance), Issued: &young, Evidence: seen(Renewing{Renewer: "azure", Newest: &young, Missing: []string{"new.example.com"}})}, Setting{Now: now})
	if got := verdictAndFindings(missing); got != "broken names_missing/ticket" || !strings.Contains(missing.Findings[0].Summary, "new.example.com") {
		t.Errorf("with a name missing: %s", got)
	}
}

// A lost grant met by the canary, by the question to the cloud and by the failed renewal of many certificates is one
// incident, it speaks of the cause, and it stays open until the renewal has been proven.
func TestALostGrantIsOneIncidentUntilProven(t *testing.T) {
	cert := leafCert("leaf", -10*day, 80*day)
	court := newCourt(t)
	court.s.Policy.Clear = 1
	setting := &court.s
	apply := court.advance
	only := func() Incident {
		t.Helper()
		if open := court.open(); len(open) == 1 {
			return open[0]
		}
		t.Fatalf("%d incidents, want 1: %+v", len(court.open()), court.open())
		return Incident{}
	}
	look := func(c Claim, f Fact) Judgement {
		return Judge(Case{Claim: c, Issued: &cert, Evidence: &Evidence{Fact: f, FirstSeen: setting.Now, LastSeen: setting.Now, Count: 1}}, *setting)
	}
	claims := func(certificate string) (ask, canary, renewal Claim) {
		mk := func(l Link, s string) Claim {
			c := renewalClaim(l, s)
			c.Certificate, c.ID = certificate, NewClaimID(l, certificate, s)
			return c
		}
		return mk(Permission, string(RehearsePermission)), mk(Permission, string(RehearseCanary)), mk(Renewal, SubjectRenewal)
	}
	askA, canaryA, renewalA := claims("a")
	_, canaryB, _ := claims("b")

	failing := RenewalState{Failures: 1, LastTrouble: lostGrant(), LastAttempt: now, Unproven: now, UnprovenBy: lostGrant()}
	apply(look(renewalA, Renewing{Renewer: "azure", State: failing, Newest: &cert}))
	apply(look(canaryA, rung(RehearseCanary, step(StepPresent, Failed, lostGrant()))), look(canaryB, rung(RehearseCanary, step(StepPresent, Failed, lostGrant()))))
	apply(look(askA, rung(RehearsePermission, step(StepAsk, Failed, lostGrant()))))
	apply(look(renewalA, Renewing{Renewer: "azure", State: failing, Newest: &cert}))
	if i := only(); i.Reason != DNSWriteDenied || !strings.Contains(i.Summary, "4f1c") || !strings.Contains(i.Summary, "TXT/write") {
		t.Errorf("the incident speaks of %s: %s", i.Reason, i.Summary)
	}

	setting.Now = setting.Now.Add(time.Minute)
	apply(look(canaryA, rung(RehearseCanary, step(StepPresent, Done, nil))), look(canaryB, rung(RehearseCanary, step(StepPresent, Done, nil))), look(askA, rung(RehearsePermission, step(StepAsk, Done, nil))))
	setting.Now = setting.Now.Add(time.Minute)
	unproven := RenewalState{Unproven: now, UnprovenBy: lostGrant()}
	apply(look(renewalA, Renewing{Renewer: "azure", State: unproven, Newest: &cert}))
	if i := only(); i.State == Resolved || !strings.Contains(i.Summary, "not proven") {
		t.Errorf("granted again but unproven: %s: %s", i.State, i.Summary)
	}
	setting.Now = setting.Now.Add(time.Minute)
	ch := apply(look(renewalA, Renewing{Renewer: "azure", State: RenewalState{LastSuccess: setting.Now}, Newest: &cert, Installed: setting.Now}))
	if !slices.ContainsFunc(ch.Incidents, func(i Incident) bool { return i.State == Resolved }) {
		t.Errorf("proven, and still open: %+v", court.open())
	}
}

// An authority that cannot be reached is one trouble, however many certificates it is to renew.
func TestAnAuthorityThatFailsIsOneCause(t *testing.T) {
	young := leafCert("young", -10*day, 80*day)
	down := &Trouble{Reason: RenewalFailing, Class: TroubleTransient, Scope: "https://ca.example.com/directory", Detail: "connection refused"}
	causes := map[string]bool{}
	for _, name := range []string{"a", "b"} {
		c := renewalClaim(Permission, string(RehearseStatic))
		c.Certificate = name
		ev := seen(rung(RehearseStatic, step(StepDirectory, Failed, down)))
		for _, f := range Judge(Case{Claim: c, Evidence: ev, Issued: &young}, Setting{Now: now}).Findings {
			causes[f.Cause] = true
		}
	}
	if len(causes) != 1 {
		t.Errorf("causes: %v, want one", causes)
	}
}

// What an identity may not do is told whole: who grants the first thing only would be woken for the next.
func TestADenialNamesAllThatIsDenied(t *testing.T) {
	var steps []Step
	for _, action := range []string{"read", "write", "delete"} {
		d := lostGrant()
		d.Action = "Microsoft.Network/dnsZones/TXT/" + action
		steps = append(steps, step(StepAsk, Failed, d))
	}
	ev := seen(rung(RehearsePermission, steps...))
	issued := leafCert("young", -10*day, 80*day)
	j := Judge(Case{Claim: renewalClaim(Permission, string(RehearsePermission)), Evidence: ev, Issued: &issued}, Setting{Now: now})
	if len(j.Findings) != 1 {
		t.Fatalf("%d findings", len(j.Findings))
	}
	for _, action := range []string{"TXT/read", "TXT/write", "TXT/delete"} {
		if !strings.Contains(j.Findings[0].Summary, action) {
			t.Errorf("%s is not named: %s", action, j.Findings[0].Summary)
		}
	}
}
