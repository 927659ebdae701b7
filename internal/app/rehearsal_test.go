package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/estate"
)

// climbedRung is an attempt at a rung as the API shows it.
type climbedRung struct {
	ID      int64
	Kind    assure.AttemptKind
	Outcome string
	Steps   []struct {
		Name, Target, Outcome, Detail string
		Trouble                       *struct {
			Reason, Identity, Action, Scope, Detail, Remedy string
		}
	}
}

func (r climbedRung) String() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%s %s:", r.Kind, r.Outcome)
	for _, s := range r.Steps {
		_, _ = fmt.Fprintf(&b, " %s %s %s", s.Name, s.Target, s.Outcome)
		if t := s.Trouble; t != nil {
			_, _ = fmt.Fprintf(&b, " (%s: %s; %s %s at %s)", t.Reason, t.Detail, t.Identity, t.Action, t.Scope)
		}
	}
	return b.String()
}

func (p *product) rungs(certificate string) (list []climbedRung) {
	var v struct{ Attempts []climbedRung }
	p.get("/api/v1/certificates/"+certificate+"/renewal?limit=500", &v)
	return v.Attempts
}

// rehearse climbs one rung now, as a person asks for it, and returns what came of it.
func (p *product) rehearse(certificate string, kind assure.AttemptKind) (out climbedRung) {
	p.t.Helper()
	var last int64
	for _, r := range p.rungs(certificate) {
		last = max(last, r.ID)
	}
	if err := p.app.Rehearse(p.t.Context(), certificate, "ana", []assure.AttemptKind{kind}); err != nil {
		p.t.Fatal(err)
	}
	until(p.t, 3*time.Minute, "end of the "+string(kind), func() bool {
		for _, r := range p.rungs(certificate) {
			if r.ID > last && r.Kind == kind && r.Outcome != "running" {
				out = r
				return true
			}
		}
		return false
	})
	return out
}

// rungVerdict is what is made of a rung's last outcome.
func (p *product) rungVerdict(certificate string, kind assure.AttemptKind) string {
	var v struct {
		Ladder []struct {
			Kind    assure.AttemptKind
			Verdict string
		}
	}
	p.get("/api/v1/certificates/"+certificate+"/renewal", &v)
	for _, l := range v.Ladder {
		if l.Kind == kind {
			return l.Verdict
		}
	}
	return ""
}

// finds climbs a rung that must find a trouble, and say what it is about, in its step and in its verdict.
func (p *product) finds(certificate string, kind assure.AttemptKind, reason assure.Reason, verdict assure.Verdict, words ...string) {
	p.t.Helper()
	r := p.rehearse(certificate, kind)
	text := ""
	for _, s := range r.Steps {
		if s.Trouble != nil && s.Trouble.Reason == string(reason) {
			text += strings.Join([]string{s.Target, s.Trouble.Identity, s.Trouble.Action, s.Trouble.Scope, s.Trouble.Detail, s.Trouble.Remedy}, " ")
		}
	}
	if text == "" {
		p.t.Fatalf("no trouble with the reason %s was found: %s", reason, r)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			p.t.Errorf("what was found does not say %q: %s", w, text)
		}
	}
	until(p.t, 3*time.Minute, "verdict "+string(verdict), func() bool { return p.rungVerdict(certificate, kind) == string(verdict) })
}

// passes climbs a rung that must work, and be believed.
func (p *product) passes(certificate string, kind assure.AttemptKind) climbedRung {
	p.t.Helper()
	r := p.rehearse(certificate, kind)
	if r.Outcome != string(assure.Done) {
		p.t.Fatalf("it does not work: %s", r)
	}
	until(p.t, 3*time.Minute, "upheld "+string(kind), func() bool { return p.rungVerdict(certificate, kind) == string(assure.Upheld) })
	return r
}

// A rehearsal is not fooled: each way in which the next renewal would fail is found by the rung that looks there, which
// says what it is, and is upheld again when it is mended.
func TestRehearsalIsNotFooled(t *testing.T) {
	t.Parallel()
	host := "shop." + estate.AzureZone
	r := settle(t, pace{life: 10 * time.Minute, canary: time.Hour, authorization: time.Hour}, host)
	p := start(t, r.config, "")
	until(t, 3*time.Minute, "rung that was climbed", func() bool { return p.climbed("shop") })
	p.passes("shop", assure.RehearseAuthorize)

	// One of three name servers lags behind.
	ns3 := "ns3." + estate.AzureZone
	if err := r.Zones.Hold(ns3); err != nil {
		t.Fatal(err)
	}
	p.finds("shop", assure.RehearseCanary, assure.DNSWriteFailed, assure.Broken, ns3)
	if err := r.Zones.Release(ns3); err != nil {
		t.Fatal(err)
	}
	p.passes("shop", assure.RehearseCanary)

	// A CAA record is added after the first issuance.
	if err := r.Zones.Set(estate.AzureZone, estate.AzureZone, dns.TypeCAA, `0 issue "another.example"`); err != nil {
		t.Fatal(err)
	}
	p.finds("shop", assure.RehearseStatic, assure.CAAForbids, assure.Broken, estate.AzureZone, "another.example", estate.Domain)
	if err := r.Zones.Set(estate.AzureZone, estate.AzureZone, dns.TypeCAA); err != nil {
		t.Fatal(err)
	}
	p.passes("shop", assure.RehearseStatic)

	// Azure decides by what it knew when a token was issued: neither a token from before the loss nor one from before the
	// repair may be asked.
	r.Azure.SetStale(time.Hour)
	p.passes("shop", assure.RehearseCanary) // whoever held its token on would have one that may write
	r.Revoke()
	p.finds("shop", assure.RehearseCanary, assure.DNSWriteDenied, assure.Broken, estate.ObjectID, "Microsoft.Network/dnsZones/TXT/", estate.AzureZone)
	p.finds("shop", assure.RehearsePermission, assure.DNSWriteDenied, assure.Broken, estate.ObjectID, "Microsoft.Network/dnsZones/TXT/write", estate.AzureZone)
	r.Grant()
	p.passes("shop", assure.RehearsePermission)
	p.passes("shop", assure.RehearseCanary)
	r.Azure.SetStale(0)

	// The authority no longer offers the profile.
	r.CAProxy.WithoutProfile(estate.Profile)
	p.finds("shop", assure.RehearseStatic, assure.RenewalFailing, assure.Broken, `"`+estate.Profile+`"`)
	r.CAProxy.Mend()
	steps := p.passes("shop", assure.RehearseStatic)

	// The account is deactivated behind our back.
	account := ""
	for _, s := range steps.Steps {
		if s.Name == assure.StepAccount {
			account = strings.TrimSuffix(strings.TrimPrefix(s.Detail, "the account "), " is valid")
		}
	}
	if err := r.CA.DeactivateAccount(account); err != nil {
		t.Fatal(err)
	}
	p.finds("shop", assure.RehearseStatic, assure.AccountInvalid, assure.Broken, "deactivated")
	if left := r.Leftovers(host); len(left) > 0 {
		t.Errorf("left in the zone: %v", left)
	}
}

// A staging authority that uses older authorizations again does not make a rehearsal look good: where it did not look,
// that is inconclusive.
func TestReuseIsNotProof(t *testing.T) {
	t.Parallel()
	shop, www := "shop."+estate.AzureZone, "www."+estate.AzureZone
	// The first of two waits for a server that is held back until the second has begun, however long that takes.
	r := settle(t, pace{life: 10 * time.Minute, canary: time.Hour, authorization: time.Hour, full: time.Hour, authzReuse: 100, patience: 3 * time.Minute})
	r.add(t, []string{shop, www})
	r.add(t, []string{www})
	p := start(t, r.config, "")
	until(t, 3*time.Minute, "rehearsed order of both", func() bool {
		return p.rung("shop", "authorization") == string(assure.Done) && p.rung("www", "authorization") == string(assure.Done)
	})
	// One older authorization is given back, and the order placed anew: the authority has looked.
	until(t, 3*time.Minute, "rehearsed order", func() bool { return p.rehearse("shop", assure.RehearseAuthorize).Outcome == string(assure.Done) })
	p.passes("www", assure.RehearseAuthorize)

	// Two dress rehearsals at the same time leave two authorizations for one name.
	ns3 := "ns3." + estate.AzureZone
	if err := r.Zones.Hold(ns3); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"shop", "www"} {
		if err := p.app.Rehearse(t.Context(), c, "ana", []assure.AttemptKind{assure.RehearseFull}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, 3*time.Minute, "value of each", func() bool {
		v, _ := r.Zones.Values("ns1."+estate.AzureZone, estate.AzureZone, "_acme-challenge."+www, dns.TypeTXT)
		return len(v) == 2
	})
	full := func(certificate string) (n int) {
		for _, a := range p.rungs(certificate) {
			if a.Kind == assure.RehearseFull && a.Outcome == string(assure.Done) {
				n++
			}
		}
		return n
	}
	if err := r.Zones.Release(ns3); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			p.recount(t, "shop", "www")
		}
	}()
	until(t, 3*time.Minute, "end of both", func() bool { return full("shop") == 2 && full("www") == 2 })
	p.finds("www", assure.RehearseAuthorize, assure.RehearsalInconclusive, assure.Unknown, www)
	p.passes("www", assure.RehearseAuthorize) // both are given back by now
	if left := r.Leftovers(shop, www); len(left) > 0 {
		t.Errorf("left in the zone: %v", left)
	}
}
