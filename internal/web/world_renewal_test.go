package web

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// The certificates that renewals are shown with. Names say what state they are in.
const (
	renewedFine    = "hosted-de"   // renewed ten days ago, every rung climbed
	renewedDenied  = "hosted-fr"   // its grant was taken away, nothing is due
	renewedFailing = "hosted-it"   // its renewal fails at the authority, again and again
	renewedRunning = "hosted-ch"   // a renewal is under way
	renewedFirst   = "hosted-new"  // no certificate was issued yet
	renewedQuietly = "hosted-http" // http-01: two rungs only, and one of them unclear
)

var rungEvery = map[assure.AttemptKind]time.Duration{
	assure.RehearseStatic: 15 * time.Minute, assure.RehearsePermission: 5 * time.Minute, assure.RehearseCanary: 15 * time.Minute,
	assure.RehearseAuthorize: day, assure.RehearseFull: 7 * day,
}

const (
	renewerObject = "2f1c7b1e-6d5b-4a53-9f1d-b2d6f9a3c417"
	renewerAction = "Microsoft.Network/dnsZones/TXT/write"
	renewerZone   = "/subscriptions/8a0f1a3e-3f0b-4d7e-9a55-1a2b3c4d5e6f/resourceGroups/dns-prod/providers/Microsoft.Network/dnszones/example.com"
)

func deniedTrouble() *assure.Trouble {
	return &assure.Trouble{
		Reason: assure.DNSWriteDenied, Class: assure.TroubleDenied, Identity: renewerObject, Action: renewerAction, Scope: renewerZone,
		Detail: "no role assignment of the identity allows it", Remedy: "Assign the role DNS Zone Contributor to the identity at the zone again; see who took it away in the activity log",
	}
}

// renewingWorld has certificates that notafter renews itself, in good and bad states, and two that it only watches.
func renewingWorld() *world {
	w := emptyWorld()
	set := assure.Setting{Now: worldNow, Routes: map[string][]string{"sre": {"pagerduty", "mail"}}, DefaultRoute: "sre"}
	var all []assure.Judgement
	for _, s := range []spec{
		{renewedFine, "platform", "good", 3, 10 * day, 90 * day},
		{renewedDenied, "platform", "good", 2, 24 * day, 90 * day},
		{renewedFailing, "shop", "good", 1, 61 * day, 90 * day},
		{renewedRunning, "platform", "good", 2, 60 * day, 90 * day},
		{renewedFirst, "shop", "never", 1, 0, 0},
		{renewedQuietly, "it", "good", 1, 30 * day, 90 * day},
		{"watched-only", "it", "good", 2, 30 * day, 90 * day},
		{"erp", "it", "good", 1, 100 * day, 398 * day},
	} {
		var issued *assure.Cert
		if strings.HasPrefix(s.name, "hosted-") {
			if s.life > 0 {
				issued = leafOf(look(s.name+".example.com", s.name, "192.0.2.1:443", s.age, s.life, "good", 0))
			}
			all = append(all, w.renews(s, issued, set)...)
		}
		all = append(all, w.add(s, set)...)
	}
	for _, subject := range []string{assure.SubjectPatrol, assure.SubjectControl} {
		c := assure.Claim{ID: assure.NewClaimID(assure.Monitor, "", subject), Link: assure.Monitor, Subject: subject, Declared: worldNow.Add(-30 * day), Every: time.Minute}
		var f assure.Fact = assure.Sight{Expected: 31, Observed: 31, Tried: 9, Reached: 9}
		if subject == assure.SubjectControl {
			f = look("control.invalid", "control", "127.0.0.1:9", 3*time.Hour, 2*time.Hour, "expired", 1)
		}
		all = append(all, w.judge(c, f, set, &w.watch))
	}
	w.open(assure.Advance(assure.Docket{}, all, set))
	w.summarise()
	return w
}

// renews makes the books of one certificate, and the claims about them.
func (w *world) renews(s spec, issued *assure.Cert, set assure.Setting) []assure.Judgement {
	b := newBooks(s.name, issued)
	w.attempts[s.name], w.renewals[s.name] = b.attempts(), b.state
	rungs := assure.Ladder()
	if s.name == renewedQuietly {
		rungs = []assure.AttemptKind{assure.RehearseStatic, assure.RehearseAuthorize}
	} else if s.name != renewedFine {
		rungs = rungs[:4]
	}
	var js []assure.Judgement
	var claims []assure.ClaimView
	claim := func(l assure.Link, subject string, every time.Duration, f assure.Fact) {
		c := assure.Claim{
			ID: assure.NewClaimID(l, s.name, subject), Link: l, Certificate: s.name, Subject: subject, Route: "sre", Owner: s.owner,
			Declared: worldNow.Add(-30 * day), Every: every,
		}
		ev := &assure.Evidence{Claim: c.ID, Fact: f, Observer: "renewer@watch-1", FirstSeen: worldNow.Add(-26 * time.Hour), LastSeen: worldNow.Add(-2 * time.Minute), Count: 104}
		if f == nil {
			ev = nil
			c.Declared = worldNow.Add(-time.Minute)
		}
		j := assure.Judge(assure.Case{Claim: c, Evidence: ev, Issued: issued}, set)
		claims = append(claims, assure.ClaimView{Claim: c, Verdict: j.Verdict, Findings: j.Findings, Evidence: ev, ValidUntil: j.ValidUntil, RenewBy: j.RenewBy, NextLook: worldNow.Add(every)})
		js = append(js, j)
	}
	for _, k := range rungs {
		var f assure.Fact
		for _, a := range w.attempts[s.name] {
			if a.Kind == k {
				f = assure.Rehearsed{Rung: k, Renewer: "letsencrypt", Steps: a.Steps, Due: b.state.Due}
				break
			}
		}
		claim(assure.LinkOf(k), string(k), rungEvery[k], f)
	}
	books := assure.Renewing{Renewer: "letsencrypt", State: b.state, Newest: issued}
	if issued != nil {
		books.Installed = issued.NotBefore.Add(2 * time.Minute)
	}
	claim(assure.Renewal, assure.SubjectRenewal, time.Minute, books)
	claim(assure.Issuance, assure.SubjectIssuance, time.Minute, books)
	w.claims[s.name] = claims
	return js
}

// books makes up what a renewer would have written down.
type books struct {
	name  string
	state assure.RenewalState
	list  []assure.Attempt
}

func newBooks(name string, issued *assure.Cert) *books {
	b := &books{name: name, state: assure.RenewalState{Certificate: name, Left: -1}}
	if issued != nil {
		at := issued.NotBefore
		b.add(assure.AttemptRenewal, "schedule", at.Add(-60*day), b.renewal(at.Add(-60*day), "", nil))
		b.add(assure.AttemptRenewal, "schedule", at, b.renewal(at, "", nil))
		b.state.Due, b.state.Why = at.Add(60*day), "two thirds of the lifetime are over then"
		b.state.Next, b.state.Left = b.state.Due, 33
		b.state.LastAttempt, b.state.LastSuccess = at.Add(64*time.Second), at.Add(64*time.Second)
	}
	rehearse := func(k assure.AttemptKind, n int, last time.Duration, bad func(i int) *assure.Trouble) {
		for i := n - 1; i >= 0; i-- {
			at := worldNow.Add(-last - time.Duration(i)*rungEvery[k])
			var t *assure.Trouble
			if bad != nil {
				t = bad(i)
			}
			b.add(k, "schedule", at, b.rung(k, at, t))
		}
	}
	switch name {
	case renewedFine:
		b.state.WindowStart, b.state.WindowEnd = worldNow.Add(48*day), worldNow.Add(50*day)
		b.state.WindowFrom = "https://ca.example.net/why-then"
		b.state.Due, b.state.Why = worldNow.Add(49*day+5*time.Hour), "the authority asks for a time between 11 Jan 2027 09:00:00 UTC and 13 Jan 2027 09:00:00 UTC"
		b.state.Next = b.state.Due
		rehearse(assure.RehearseFull, 3, 2*day, nil)
		rehearse(assure.RehearseAuthorize, 12, 5*time.Hour, func(i int) *assure.Trouble {
			if i == 4 {
				return &assure.Trouble{Reason: assure.RehearsalFailed, Class: assure.TroubleTransient, Detail: "the staging authority answered 503"}
			}
			return nil
		})
		rehearse(assure.RehearseStatic, 20, 9*time.Minute, nil)
		rehearse(assure.RehearseCanary, 20, 6*time.Minute, nil)
		rehearse(assure.RehearsePermission, 20, 2*time.Minute, nil)
	case renewedDenied:
		lost := func(i int) *assure.Trouble {
			if i < 3 {
				return deniedTrouble()
			}
			return nil
		}
		rehearse(assure.RehearseAuthorize, 9, 8*time.Hour, nil)
		rehearse(assure.RehearseStatic, 20, 4*time.Minute, nil)
		rehearse(assure.RehearseCanary, 20, 5*time.Minute, lost)
		rehearse(assure.RehearsePermission, 20, 3*time.Minute, lost)
		b.state.Unproven, b.state.UnprovenBy = worldNow.Add(-13*time.Minute), deniedTrouble()
	case renewedFailing:
		rehearse(assure.RehearseAuthorize, 9, 8*time.Hour, nil)
		rehearse(assure.RehearseStatic, 20, 4*time.Minute, nil)
		rehearse(assure.RehearseCanary, 20, 5*time.Minute, nil)
		rehearse(assure.RehearsePermission, 20, 3*time.Minute, nil)
		t := &assure.Trouble{
			Reason: assure.LimitReached, Class: assure.TroubleThrottled, Scope: "https://ca.example.net/acme/new-order", RetryAfter: 6 * time.Hour,
			Detail: "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s", Remedy: "Wait; see what else orders the same names",
		}
		for i := range 4 {
			at := worldNow.Add(-20*time.Hour + time.Duration(i)*5*time.Hour)
			b.add(assure.AttemptRenewal, []string{"schedule", "schedule", "schedule", "Ana"}[i], at, b.renewal(at, assure.StepOrder, t))
		}
		b.state.Due, b.state.Failures, b.state.LastTrouble = worldNow.Add(-day), 4, t
		b.state.LastAttempt, b.state.Next, b.state.Left = worldNow.Add(-5*time.Hour), worldNow.Add(time.Hour), 28
	case renewedRunning:
		rehearse(assure.RehearseStatic, 20, 4*time.Minute, nil)
		rehearse(assure.RehearseCanary, 20, 5*time.Minute, nil)
		at := worldNow.Add(-23 * time.Second)
		steps := b.renewal(at, "", nil)[:3]
		b.list = append(b.list, assure.Attempt{Certificate: name, Kind: assure.AttemptRenewal, By: "Bo", Started: at, Steps: steps})
		b.state.Running, b.state.Forced, b.state.ForcedAt = at, "Bo", at.Add(-2*time.Second)
	case renewedFirst:
		t := &assure.Trouble{
			Reason: assure.CAAForbids, Class: assure.TroubleForbidden, Scope: "example.com", Action: "issue",
			Detail: `the CAA record of example.com names "other-ca.example" only`, Remedy: `Add a CAA record with issue "ca.example.net" to example.com`,
		}
		rehearse(assure.RehearseStatic, 4, 4*time.Minute, func(int) *assure.Trouble { return t })
		at := worldNow.Add(-12 * time.Minute)
		b.add(assure.AttemptRenewal, "schedule", at, b.renewal(at, assure.StepValidate, t))
		b.state.Due, b.state.Why, b.state.Next = worldNow.Add(-12*time.Minute), "no certificate has been issued yet", worldNow.Add(2*time.Minute)
		b.state.Failures, b.state.LastTrouble, b.state.LastAttempt = 1, t, worldNow.Add(-11*time.Minute)
	case renewedQuietly:
		rehearse(assure.RehearseStatic, 20, 4*time.Minute, nil)
		rehearse(assure.RehearseAuthorize, 6, 3*time.Hour, func(i int) *assure.Trouble {
			if i == 0 {
				return &assure.Trouble{Reason: assure.RehearsalInconclusive, Class: assure.TroubleTransient, Detail: "the staging authority used an older authorization again instead of looking: www.hosted-http.example.com"}
			}
			return nil
		})
	}
	return b
}

func (b *books) add(k assure.AttemptKind, by string, at time.Time, steps []assure.Step) {
	a := assure.Attempt{Certificate: b.name, Kind: k, By: by, Started: at, Ended: at.Add(time.Second), Outcome: assure.Done, Steps: steps}
	for _, s := range steps {
		if end := s.At.Add(s.Took); end.After(a.Ended) {
			a.Ended = end
		}
		switch s.Outcome {
		case assure.Failed:
			a.Outcome = assure.Failed
		case assure.Unclear:
			if a.Outcome == assure.Done {
				a.Outcome = assure.Unclear
			}
		}
	}
	if k == assure.AttemptRenewal && a.Outcome == assure.Done {
		a.Fingerprint = fingerprint(b.name + at.String())
	}
	b.list = append(b.list, a)
}

// attempts are those that began last first, with their numbers.
func (b *books) attempts() []assure.Attempt {
	slices.SortStableFunc(b.list, func(x, y assure.Attempt) int { return x.Started.Compare(y.Started) })
	for i := range b.list {
		b.list[i].ID = int64(i + 1)
	}
	slices.Reverse(b.list)
	return b.list
}

// steps makes a row of steps, of which the named one fails.
func steps(at time.Time, bad string, t *assure.Trouble, list []assure.Step) []assure.Step {
	for i := range list {
		s := &list[i]
		s.At, s.Outcome = at, assure.Done
		at = at.Add(s.Took)
		if t == nil || s.Name != bad {
			continue
		}
		s.Outcome, s.Trouble, s.Detail = assure.Failed, t, t.Detail
		if t.Reason == assure.RehearsalInconclusive || t.Reason == assure.PermissionUnclear {
			s.Outcome = assure.Unclear
		}
		return list[:i+1]
	}
	return list
}

func (b *books) renewal(at time.Time, bad string, t *assure.Trouble) []assure.Step {
	host := b.name + ".example.com"
	return steps(at, bad, t, []assure.Step{
		{Name: assure.StepOrder, Target: host, Took: 640 * time.Millisecond, Detail: "Example TLS took the order with 2 authorizations"},
		{Name: assure.StepPresent, Target: "_acme-challenge." + host, Took: 1900 * time.Millisecond, Detail: "the TXT value was written at _acme-challenge." + host + " in the zone example.com"},
		{Name: assure.StepPropagation, Target: "_acme-challenge." + host, Took: 31 * time.Second, Detail: "every one of the 8 addresses of the zone's servers and the public resolvers show it, at look 6"},
		{Name: assure.StepValidate, Target: host, Took: 3200 * time.Millisecond, Detail: "Example TLS found the dns-01 challenge"},
		{Name: assure.StepWithdraw, Target: "_acme-challenge." + host, Took: 1400 * time.Millisecond, Detail: "only the value that was written for this was taken away"},
		{Name: assure.StepFinalize, Target: host, Took: 2100 * time.Millisecond, Detail: "the certificate came, valid until " + at.Add(90*day).Format(time.RFC3339)},
		{Name: assure.StepMatch, Took: 3 * time.Millisecond, Detail: "key, certificate and names belong together"},
		{Name: assure.StepInstall, Target: "/etc/ssl/" + b.name, Took: 40 * time.Millisecond, Detail: "4 files were put in place in one move"},
		{Name: assure.StepReload, Target: "systemctl reload nginx", Took: 820 * time.Millisecond, Detail: "it ended with 0"},
		{Name: assure.StepSeen, Took: 22 * time.Second, Detail: "6 of 6 addresses serve it"},
	})
}

func (b *books) rung(k assure.AttemptKind, at time.Time, t *assure.Trouble) []assure.Step {
	host := b.name + ".example.com"
	record := "_acme-challenge." + host
	switch k {
	case assure.RehearseStatic:
		return steps(at, assure.StepCAA, t, []assure.Step{
			{Name: assure.StepDirectory, Target: "https://ca.example.net/directory", Took: 210 * time.Millisecond, Detail: "it answers and offers the profile tlsserver"},
			{Name: assure.StepAccount, Target: "https://ca.example.net/acct/918273", Took: 190 * time.Millisecond, Detail: "the account is valid"},
			{Name: assure.StepCAA, Target: host, Took: 45 * time.Millisecond, Detail: "the authority may issue for it"},
			{Name: assure.StepCAA, Target: "www." + host, Took: 41 * time.Millisecond, Detail: "the authority may issue for it"},
			{Name: assure.StepDelegation, Target: "example.com", Took: 380 * time.Millisecond, Detail: "parent and child agree, and all 8 addresses answer for the zone"},
		})
	case assure.RehearsePermission:
		return steps(at, assure.StepAsk, t, []assure.Step{
			{Name: assure.StepAsk, Target: renewerAction + " at " + renewerZone, Took: 420 * time.Millisecond, Detail: "allowed by the role assignment 61f0c2 (DNS Zone Contributor)"},
		})
	case assure.RehearseCanary:
		return steps(at, assure.StepPresent, t, []assure.Step{
			{Name: assure.StepPresent, Target: record, Took: 1700 * time.Millisecond, Detail: "the TXT value was written at " + record + " in the zone example.com"},
			{Name: assure.StepPropagation, Target: record, Took: 18 * time.Second, Detail: "every one of the 8 addresses of the zone's servers and the public resolvers show it"},
			{Name: assure.StepWithdraw, Target: record, Took: 1300 * time.Millisecond, Detail: "only the value that was written for this was taken away"},
		})
	}
	list := b.renewal(at, "", nil)
	if k == assure.RehearseAuthorize {
		list = append(list[:5], assure.Step{Name: assure.StepDeactivate, Target: host, Took: 300 * time.Millisecond, Detail: "the authorization was given back"})
	} else {
		list = list[:9]
	}
	return steps(at, assure.StepValidate, t, list)
}

func (w *world) Attempts(_ context.Context, name string, limit int) ([]assure.Attempt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.attempts[name]
	return slices.Clone(list[:min(limit, len(list))]), w.read()
}

func (w *world) Renewals(_ context.Context, names []string) ([]assure.RenewalState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []assure.RenewalState
	for _, n := range names {
		if s, ok := w.renewals[n]; ok {
			out = append(out, s)
		}
	}
	return out, w.read()
}

func (w *world) Climbed(_ context.Context, names []string) (map[string]map[assure.AttemptKind]time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]map[assure.AttemptKind]time.Time{}
	for _, n := range names {
		out[n] = map[assure.AttemptKind]time.Time{}
		for _, a := range w.attempts[n] {
			if a.Outcome == assure.Done && a.Ended.After(out[n][a.Kind]) {
				out[n][a.Kind] = a.Ended
			}
		}
	}
	return out, w.read()
}

// Renew and Rehearse write down what was asked for.
func (w *world) Renew(_ context.Context, name, who string, force bool) error {
	return w.wish(name, fmt.Sprintf("renew %s for %s, force %t", name, who, force))
}

func (w *world) Rehearse(_ context.Context, name, who string, kinds []assure.AttemptKind) error {
	return w.wish(name, fmt.Sprintf("rehearse %s for %s %v", name, who, kinds))
}

func (w *world) RollOver(_ context.Context, renewer string) error {
	return w.account(renewer, "roll over")
}

func (w *world) Register(_ context.Context, renewer string) error {
	return w.account(renewer, "register")
}

func (w *world) account(renewer, what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if renewer != "letsencrypt" {
		return fmt.Errorf("renewer %q: %w", renewer, assure.ErrNotFound)
	}
	w.wishes = append(w.wishes, what+" "+renewer)
	return w.fail
}

func (w *world) wish(name, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.renewals[name]; !ok {
		return fmt.Errorf("certificate %q: %w", name, assure.ErrNotFound)
	}
	w.wishes = append(w.wishes, text)
	return w.fail
}

// progress changes an attempt, as a renewer does, and says that something changed.
func (w *world) progress(name string, change func(a *assure.Attempt)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := slices.Clone(w.attempts[name])
	change(&list[0])
	w.attempts[name] = list
	close(w.changed)
	w.changed = make(chan struct{})
}

func wishes(w *world) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.wishes)
}
