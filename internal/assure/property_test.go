package assure_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	. "github.com/notafter/notafter/internal/assure"
)

var instants = rapid.Custom(func(t *rapid.T) time.Time {
	switch rapid.IntRange(0, 9).Draw(t, "which") {
	case 0:
		return time.Time{}
	case 1:
		return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // "no well-defined end", RFC 5280 section 4.1.2.5
	default:
		return now.Add(time.Duration(rapid.Int64Range(-int64(400*day), int64(400*day)).Draw(t, "offset"))).Truncate(time.Microsecond)
	}
})

func genCert(t *rapid.T, fp string) Cert {
	return Cert{
		Fingerprint: fp, Subject: rapid.StringN(0, 20, 40).Draw(t, "subject"), Names: rapid.SliceOfN(rapid.StringN(0, 9, 20), 0, 3).Draw(t, "names"),
		NotBefore: instants.Draw(t, "nb"), NotAfter: instants.Draw(t, "na"),
	}
}

var served = rapid.Custom(func(t *rapid.T) Served {
	var s Served
	fps := []string{"a", "b", "c", "d"}
	for _, fp := range fps[:rapid.IntRange(0, 4).Draw(t, "certs")] {
		s.Certs = append(s.Certs, genCert(t, fp))
	}
	fp := rapid.SampledFrom(fps)
	for range rapid.IntRange(0, 3).Draw(t, "chains") {
		c := Chain{
			Certs: rapid.SliceOfN(fp, 0, 3).Draw(t, "chain"), NameMatches: rapid.Bool().Draw(t, "name"), SelfSigned: rapid.Bool().Draw(t, "self"),
			ServerAuth: rapid.Bool().Draw(t, "eku"), PublicTrust: rapid.Bool().Draw(t, "public"), UntrustedRoot: rapid.Bool().Draw(t, "untrusted"),
			WeakKey: rapid.SampledFrom([]string{"", "RSA 1024"}).Draw(t, "key"), WeakSignature: rapid.SampledFrom([]string{"", "SHA1-RSA"}).Draw(t, "sig"),
			Unparsed: rapid.SampledFrom([]string{"", "", "", "bad DER"}).Draw(t, "unparsed"), PathError: rapid.SampledFrom([]string{"", "name constraints"}).Draw(t, "patherr"),
		}
		for range rapid.IntRange(0, 2).Draw(t, "paths") {
			c.Paths = append(c.Paths, Path{Certs: rapid.SliceOfN(fp, 0, 3).Draw(t, "path"), NotBefore: instants.Draw(t, "pnb"), NotAfter: instants.Draw(t, "pna"), LimitedBy: fp.Draw(t, "limit")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "revocations") {
			c.Revocation = append(c.Revocation, Revocation{
				Cert: fp.Draw(t, "rc"), Via: "crl", URL: rapid.String().Draw(t, "url"),
				Status: rapid.SampledFrom([]string{RevocationGood, RevocationRevoked, RevocationUnknown, "?"}).Draw(t, "rs"), RevokedAt: instants.Draw(t, "ra"),
			})
		}
		s.Chains = append(s.Chains, c)
	}
	for range rapid.IntRange(0, 4).Draw(t, "sightings") {
		s.Sightings = append(s.Sightings, Sighting{
			Address: rapid.SampledFrom([]string{"192.0.2.1:443", "192.0.2.2:443", "[2001:db8::1]:443", "nonsense"}).Draw(t, "addr"),
			NoSNI:   rapid.Bool().Draw(t, "nosni"), Offered: rapid.SampledFrom([]string{"", "", "rsa", "ecdsa"}).Draw(t, "offered"),
			Failure: rapid.SampledFrom([]Failure{OK, OK, Refused, NoRoute, Timeout, Reset, Alert, NotTLS, Malformed, TooLarge, UpgradeRefused, UpgradeFailed, Panicked, LocalFailure, "novel"}).Draw(t, "failure"),
			At:      rapid.SampledFrom([]string{"", AtConnect, AtUpgrade, AtHandshake}).Draw(t, "at"), Chain: rapid.IntRange(-2, 4).Draw(t, "index"), ClientCert: rapid.Bool().Draw(t, "mtls"),
		})
	}
	s.DNS.Failure = rapid.SampledFrom([]DNSFailure{DNSOK, DNSOK, DNSOK, DNSNXDomain, DNSNoAddress, DNSServfail, DNSTimeout, DNSInvalid, "novel"}).Draw(t, "dns")
	return s
})

var fact = rapid.Custom(func(t *rapid.T) Fact {
	switch rapid.IntRange(0, 9).Draw(t, "fact") {
	case 0:
		return Blind{Detail: rapid.String().Draw(t, "detail")}
	case 1:
		return Heard{OK: rapid.Bool().Draw(t, "ok"), Held: rapid.String().Draw(t, "held")}
	case 2:
		return Delivered{Channel: "x", Class: rapid.SampledFrom([]ReceiptClass{Accepted, Temporary, RateLimited, Denied, Rejected, "novel"}).Draw(t, "class")}
	case 3:
		return Sight{Expected: rapid.IntRange(0, 3).Draw(t, "expected"), Tried: rapid.IntRange(0, 3).Draw(t, "tried"), Reached: rapid.IntRange(0, 1).Draw(t, "reached"), Late: Seconds(rapid.Int64().Draw(t, "late"))}
	case 4:
		return rehearsed.Draw(t, "rehearsed")
	case 5:
		return renewing.Draw(t, "renewing")
	default:
		return served.Draw(t, "served")
	}
})

var trouble = rapid.Custom(func(t *rapid.T) *Trouble {
	if rapid.IntRange(0, 3).Draw(t, "trouble") == 0 {
		return nil
	}
	return &Trouble{
		Reason:   rapid.SampledFrom(append(Reasons(), "novel", "")).Draw(t, "reason"),
		Class:    rapid.SampledFrom([]TroubleClass{TroubleDenied, TroubleExpired, TroubleTransient, TroubleThrottled, TroubleForbidden, "", "novel"}).Draw(t, "class"),
		Identity: rapid.String().Draw(t, "identity"), Action: rapid.String().Draw(t, "action"), Scope: rapid.String().Draw(t, "scope"), Detail: rapid.String().Draw(t, "detail"),
	}
})

var rehearsed = rapid.Custom(func(t *rapid.T) Rehearsed {
	r := Rehearsed{Rung: rapid.SampledFrom(append(Ladder(), "novel", "")).Draw(t, "rung"), Renewer: rapid.String().Draw(t, "renewer"), Due: instants.Draw(t, "due")}
	for range rapid.IntRange(0, 4).Draw(t, "steps") {
		r.Steps = append(r.Steps, Step{
			Name: rapid.SampledFrom([]string{StepAsk, StepPresent, "novel", ""}).Draw(t, "step"), Target: rapid.String().Draw(t, "target"),
			Outcome: rapid.SampledFrom([]Outcome{Done, Failed, Unclear, Skipped, "", "novel"}).Draw(t, "outcome"), Trouble: trouble.Draw(t, "trouble"),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "accesses") {
		r.Access = append(r.Access, Access{Answer: Allowed, Identity: rapid.String().Draw(t, "who"), Expires: instants.Draw(t, "expires")})
	}
	r.Expected = rapid.SliceOfN(expected, 0, 2).Draw(t, "expected")
	return r
})

var renewing = rapid.Custom(func(t *rapid.T) Renewing {
	r := Renewing{Renewer: "r", Missing: rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "missing"), Installed: instants.Draw(t, "installed")}
	r.State = RenewalState{
		Due: instants.Draw(t, "due"), Next: instants.Draw(t, "next"), Failures: rapid.IntRange(-1, 5).Draw(t, "failures"), Left: rapid.IntRange(-1, 5).Draw(t, "left"),
		Running: instants.Draw(t, "running"), LastTrouble: trouble.Draw(t, "last"), Unproven: instants.Draw(t, "unproven"), UnprovenBy: trouble.Draw(t, "unprovenby"),
		LastAttempt: instants.Draw(t, "attempt"), LastSuccess: instants.Draw(t, "success"),
	}
	if rapid.Bool().Draw(t, "newest") {
		c := genCert(t, "newest")
		r.Newest = &c
	}
	return r
})

var anyCase = rapid.Custom(func(t *rapid.T) Case {
	c := Case{
		Claim: Claim{
			ID: "x", Link: rapid.SampledFrom(append(Links(), "novel")).Draw(t, "link"),
			Subject:     rapid.SampledFrom([]string{"www.example.com", SubjectControl, SubjectHeartbeat, SubjectPatrol, SubjectRenewal, SubjectIssuance, string(RehearseStatic), string(RehearsePermission), string(RehearseCanary), string(RehearseFull), "\x00", ""}).Draw(t, "subject"),
			Certificate: "www", Declared: instants.Draw(t, "declared"), Every: time.Duration(rapid.Int64Range(0, int64(day)).Draw(t, "every")),
		},
		ValidUntil: instants.Draw(t, "valid"),
	}
	if rapid.IntRange(0, 9).Draw(t, "has") > 0 {
		ev := &Evidence{Fact: fact.Draw(t, "fact"), FirstSeen: instants.Draw(t, "first"), LastSeen: instants.Draw(t, "last"), Count: rapid.Int64Range(0, 9).Draw(t, "count")}
		if rapid.Bool().Draw(t, "alternates") {
			ev.Alternate, ev.Returned = fact.Draw(t, "alternate"), now
		}
		c.Evidence = ev
	}
	if rapid.Bool().Draw(t, "issued") {
		i := genCert(t, "issued")
		c.Issued = &i
	}
	return c
})

var settings = rapid.Custom(func(t *rapid.T) Setting {
	return Setting{
		Now: now, Policy: Policy{Confirm: time.Duration(rapid.Int64Range(0, int64(day)).Draw(t, "confirm")), TimeToRepair: time.Duration(rapid.Int64Range(0, int64(40*day)).Draw(t, "repair")), Clear: rapid.IntRange(0, 3).Draw(t, "clear"), Gather: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "gather"))},
		Blind: rapid.SampledFrom([]string{"", "", "no host answers"}).Draw(t, "blind"), DefaultRoute: "sre", Routes: map[string][]string{"sre": {"slack", "pd"}},
	}
})

// Judge is total: whatever the claim and the evidence, exactly one verdict, and a verdict other than upheld says why.
// It is idempotent: judging again with its own findings as prior ones changes nothing.
func TestJudgeIsTotalAndIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, s := anyCase.Draw(t, "case"), settings.Draw(t, "setting")
		before := mustJSON(t, c.Evidence)
		j := Judge(c, s)
		checkJudgement(t, c, s, j)
		c.Prior = j.Findings
		if again := Judge(c, s); !reflect.DeepEqual(j, again) {
			t.Fatalf("judging twice differs:\n%+v\n%+v", j, again)
		}
		if after := mustJSON(t, c.Evidence); before != after {
			t.Fatal("judging changed the evidence")
		}
	})
}

func checkJudgement(t interface{ Fatalf(string, ...any) }, c Case, s Setting, j Judgement) {
	switch j.Verdict {
	case Upheld, Broken, Unknown:
	default:
		t.Fatalf("verdict %q", j.Verdict)
	}
	if j.Verdict != Upheld && len(j.Findings) == 0 {
		t.Fatalf("%s without a reason", j.Verdict)
	}
	if (c.Evidence == nil || c.Evidence.Fact == nil || s.Now.Sub(c.Evidence.LastSeen) > c.Claim.MaxAge()) && j.Verdict != Unknown {
		t.Fatalf("without fresh evidence the verdict is %s", j.Verdict)
	}
	for _, f := range j.Findings {
		if f.Reason.Link() == "" || f.Summary == "" || f.Action == "" || f.Impact == "" || f.Basis == "" || f.Cause == "" {
			t.Fatalf("finding leaves something unsaid: %+v", f)
		}
		if j.Verdict == Upheld && f.Stage != StageNone {
			t.Fatalf("upheld, yet somebody is told: %+v", f)
		}
	}
}

// Advance is idempotent, tells nobody twice for one stage, and never closes what was not completely seen.
func TestAdvanceIsIdempotent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCourt(t)
		for step := range rapid.IntRange(1, 6).Draw(rt, "steps") {
			c.s.Now = now.Add(time.Duration(step) * time.Minute)
			var js []Judgement
			for n := range rapid.IntRange(1, 3).Draw(rt, "claims") {
				cs := anyCase.Draw(rt, "case")
				cs.Claim.ID = ClaimID(rune('a' + n))
				if cs.Evidence != nil {
					cs.Evidence.LastSeen = c.s.Now
				}
				s := settings.Draw(rt, "setting")
				s.Now = c.s.Now
				js = append(js, Judge(cs, s))
			}
			open := c.open()
			c.advance(js...)
			for _, i := range open {
				if c.incidents[i.ID].State == Resolved && !slices.ContainsFunc(js, func(j Judgement) bool { return j.Complete }) {
					rt.Fatalf("incident %s closed by judgements that saw nothing completely", i.Cause)
				}
				if next := c.incidents[i.ID]; next.Stage < i.Stage && next.Round == i.Round {
					rt.Fatalf("stage of %s fell from %s to %s without a new round", i.Cause, i.Stage, next.Stage)
				}
			}
		}
	})
}

func TestFactsSurviveStorage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := fact.Draw(t, "fact")
		data := mustJSON(t, f)
		back, err := DecodeFact(f.Kind(), []byte(data))
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		if back.Key() != f.Key() {
			// Invalid UTF-8 is replaced when written; everything else must survive.
			if again := mustJSON(t, back); again != data {
				t.Fatalf("key changed:\n%s\n%s", data, again)
			}
		}
	})
}

func mustJSON(t interface{ Fatalf(string, ...any) }, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	return string(b)
}

// FuzzJudge feeds the judge stored facts of any shape.
func FuzzJudge(f *testing.F) {
	for _, fact := range []Fact{healthy(), Served{}, Sight{Tried: 3}, Blind{Detail: "x"}, Heard{}, Delivered{Class: Denied}} {
		b, _ := json.Marshal(fact)
		f.Add(fact.Kind(), b, int64(0))
	}
	f.Add("served", []byte(`{"sightings":[{"chain":7},{"chain":0,"address":"x"}],"chains":[{}]}`), int64(1))
	f.Fuzz(func(t *testing.T, kind string, data []byte, offset int64) {
		fact, err := DecodeFact(kind, data)
		if err != nil {
			return
		}
		s := Setting{Now: now.Add(time.Duration(offset))}
		c := Case{Claim: claim(), Evidence: &Evidence{Fact: fact, Alternate: fact, FirstSeen: s.Now, LastSeen: s.Now}}
		checkJudgement(t, c, s, Judge(c, s))
		_ = fact.Key()
	})
}
