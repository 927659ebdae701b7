package assure

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// stuckAfter is how long one attempt may run: propagation may take half an hour, and a CA's validation a while more.
const stuckAfter = time.Hour

// renewalRule: the last renewal succeeded, or none is due; and what was lost and mended has been proven since.
func renewalRule(b *bench, fact Fact) bool {
	r, ok := fact.(Renewing)
	if !ok {
		return false
	}
	p := b.renewalOf(r.Renewer, r.State.Due)
	p.waiting = r.Newest != nil && r.Installed.IsZero()
	s := r.State
	b.j.Complete, b.j.Sure = s.Running.IsZero(), s.Running.IsZero()
	if r.Newest != nil {
		b.j.ValidUntil = r.Newest.NotAfter
		b.j.RenewBy = p.late()
	}
	if t := s.LastTrouble; t != nil && s.Failures > 0 {
		if l := t.Reason.Link(); l == Permission || l == Renewal && t.Reason != RenewalFailing {
			p.file(Broken, t, "") // the cause is told beside the symptom
		}
		f := p.finding(RenewalFailing, p.cause(t), p.stage(t, s.Failures > 1))
		f.Summary = fmt.Sprintf("%s was not renewed: %s.", p.Name(), clip(t.Detail, 200))
		f.Action = firstOf([]string{sentence(t.Remedy)}, "See the steps of the last attempt on the page of the certificate, mend what failed, then: notafter renew --force "+p.name)
		f.Basis = fmt.Sprintf("%s in a row failed, the last at %s; %s.", attempts(s.Failures), stamp(s.LastAttempt), p.next(s))
		b.add(Broken, f)
	}
	if !s.Unproven.IsZero() {
		cause, detail := "grant/"+r.Renewer, "something that renewal needs was lost"
		if s.UnprovenBy != nil {
			cause, detail = p.cause(s.UnprovenBy), s.UnprovenBy.Detail
		}
		reason := RenewalFailing
		if s.UnprovenBy != nil && s.UnprovenBy.Reason.Link() != "" {
			reason = s.UnprovenBy.Reason // the incident keeps its name until it is over
		}
		f := p.finding(reason, cause, StagePage)
		f.Link, f.Since = Renewal, s.Unproven // it is found at the renewal: what is found at the cause speaks first
		f.Summary = fmt.Sprintf("What the renewer %s lost at %s is not proven to be there again: %s.", clip(r.Renewer, 60), stamp(s.Unproven), clip(detail, 160))
		f.Action = "Nothing, once it is mended: notafter asks again, rehearses, renews " + p.name + " and looks at every address by itself. To hurry it: notafter renew --force " + p.name
		b.add(Broken, f)
	}
	switch running := b.Now.Sub(s.Running); {
	case !s.Running.IsZero() && running > stuckAfter:
		f := p.finding(RenewalStuck, "stuck/"+p.name, p.due(StageTicket))
		f.Since = s.Running
		f.Summary = fmt.Sprintf("The renewal of %s has been under way for %s.", p.name, Ago(running))
		f.Action = "See at which step it waits on the page of the certificate; restarting notafter begins it anew and leaves nothing behind."
		b.add(Broken, f)
	case r.Newest != nil && b.Now.After(p.late()) && s.Running.IsZero() && s.LastSuccess.Before(p.late()):
		f := p.finding(RenewalOverdue, "overdue/"+p.name, p.due(StageTicket))
		if s.Failures > 0 && s.LastTrouble != nil {
			f.Cause = p.cause(s.LastTrouble) // it is late because it fails: one trouble
		}
		f.Since = p.late()
		f.Summary = fmt.Sprintf("%s should have been renewed by %s.", p.Name(), stamp(p.late()))
		f.Action = "See why on the page of the certificate; to try at once: notafter renew --force " + p.name
		b.add(Broken, f)
	}
	return true
}

// issuanceRule: a certificate exists that holds every declared name.
func issuanceRule(b *bench, fact Fact) bool {
	r, ok := fact.(Renewing)
	if !ok {
		return false
	}
	p := b.renewalOf(r.Renewer, r.State.Due)
	b.j.Complete, b.j.Sure = true, true
	if r.Newest == nil {
		stage := b.stageOf(true, NoCertificate, "", StagePage)
		if running := b.Now.Sub(r.State.Running); !r.State.Running.IsZero() && running < stuckAfter && r.State.Failures == 0 {
			stage = StageNone // the first one is being ordered, which may take as long as DNS does
		}
		f := p.finding(NoCertificate, "none/"+p.name, stage)
		f.HurtsAt = time.Time{}
		f.Summary = fmt.Sprintf("No certificate has been issued for %s.", p.name)
		f.Impact = "What is served there, if anything, did not come from its renewer and will not be renewed by it."
		f.Action = "See why on the page of the certificate; to try at once: notafter renew " + p.name
		if t := r.State.LastTrouble; t != nil && r.State.Failures > 0 {
			f.Cause = p.cause(t)
			f.Summary += " The last attempt: " + clip(t.Detail, 160) + "."
		}
		b.add(Broken, f)
		return true
	}
	b.j.ValidUntil = r.Newest.NotAfter
	if len(r.Missing) > 0 {
		f := p.finding(NamesMissing, "names/"+p.name, b.stageOf(true, NamesMissing, "", StageTicket))
		f.HurtsAt = time.Time{}
		f.Summary = fmt.Sprintf("The newest certificate of %s does not hold %s.", p.name, clip(strings.Join(firstN(r.Missing, 5), ", "), 160))
		f.Impact = "Clients that ask for those names are refused."
		f.Action = "Nothing, if a renewal is under way: names that change are renewed at once. Else: notafter renew --force " + p.name
		b.add(Broken, f)
	}
	return true
}

// rehearsalRule: the next renewal was proven to work as far as this rung goes.
func rehearsalRule(b *bench, fact Fact) bool {
	r, ok := fact.(Rehearsed)
	if !ok || len(r.Steps) == 0 || string(r.Rung) != b.Claim.Subject {
		return false
	}
	p := b.renewalOf(r.Renewer, r.Due)
	p.expected = r.Expected
	b.j.Complete = true
	// Whoever lost a grant often may not ask about it either: that is no second trouble.
	denied := slices.ContainsFunc(r.Steps, func(s Step) bool {
		return s.Outcome == Failed && s.Trouble != nil && s.Trouble.Reason == DNSWriteDenied
	})
	for _, s := range r.Steps {
		if denied && s.Trouble != nil && s.Trouble.Reason == PermissionUnclear {
			b.j.Complete = false
			continue
		}
		switch s.Outcome {
		case Done, Skipped:
			continue
		case Unclear:
			b.j.Complete = false
		case Failed:
			b.j.Complete = b.j.Complete && !s.Trouble.Blind()
		}
		t := s.Trouble
		if t == nil {
			t = &Trouble{Reason: RehearsalFailed, Class: TroubleTransient, Detail: firstOf([]string{s.Detail}, "the step "+s.Name+" did not work")}
			if s.Outcome == Unclear {
				t.Reason = RehearsalInconclusive
			}
		}
		p.step(s, withAll(t, r.Steps))
	}
	for _, a := range r.Access {
		if !a.Expires.IsZero() {
			p.credential(a)
		}
	}
	if r.Rung == SubjectGrants {
		p.drift(r)
	}
	b.j.Sure = b.j.Complete
	return true
}

// withAll is a denial with every action that the same identity is denied: they are one finding, and who grants only the
// first would be told of the next one after that.
func withAll(t *Trouble, steps []Step) *Trouble {
	if t.Reason != DNSWriteDenied || t.Action == "" {
		return t
	}
	var actions []string
	for _, s := range steps {
		if o := s.Trouble; s.Outcome == Failed && o != nil && o.Reason == t.Reason && o.Identity == t.Identity && o.Action != "" && !slices.Contains(actions, o.Action) {
			actions = append(actions, o.Action)
		}
	}
	all := *t
	all.Action = strings.Join(firstN(actions, 5), ", ")
	return &all
}

// promise is the next renewal of one certificate under judgement.
type promise struct {
	*bench
	name    string
	renewer string
	dueAt   time.Time
	waiting bool            // the newest certificate is not in service yet
	filed   map[string]bool // reason and cause that were filed already
	// expected is what the permission is known to rest on, where it is not as expected.
	expected []Expected
}

func (b *bench) renewalOf(renewer string, due time.Time) *promise {
	return &promise{bench: b, name: clip(b.Claim.Certificate, 80), renewer: renewer, dueAt: due, filed: map[string]bool{}}
}

// Name is the certificate's name at the beginning of a sentence.
func (p *promise) Name() string { return "The certificate " + p.name }

// late is when the renewal counts as overdue: with a window of the CA's own two attempts after its due time, else when
// the plan of the lifetime says so.
func (p *promise) late() time.Time {
	if p.Issued == nil {
		return time.Time{}
	}
	life := PlanLife(p.Issued.NotBefore, p.Issued.NotAfter, p.repair(), p.Policy)
	if p.dueAt.After(life.Expected) {
		return minTime(p.dueAt.Add(life.RenewBy.Sub(life.Expected)), p.Issued.NotAfter)
	}
	return life.RenewBy
}

// due raises a stage to a page when no more time is left until the renewal is due than a repair takes: later, the first
// attempt would fail before anybody could act. Without a certificate there is nothing to lose yet.
func (p *promise) due(s Stage) Stage {
	if p.Issued == nil || s >= StagePage {
		return s
	}
	life := PlanLife(p.Issued.NotBefore, p.Issued.NotAfter, p.repair(), p.Policy)
	at := life.Expected
	if !p.dueAt.IsZero() && p.dueAt.Before(p.Issued.NotAfter) {
		at = p.dueAt
	}
	total := p.Issued.NotAfter.Sub(p.Issued.NotBefore)
	if !p.Now.Before(at.Add(-min(p.repair(), total/10))) {
		return StagePage
	}
	return s
}

// stage is how soon somebody must act on a trouble. What only a person can mend pages when it is a lost grant or a dead
// credential, whatever the date: it never mends itself, and whoever took it away is at work now. So does a certificate
// that was issued and could not be installed: what is served is the one that was due. Everything else is work until the
// renewal is near. What may pass by itself is told once it has lasted, or once it was seen twice.
func (p *promise) stage(t *Trouble, twice bool) Stage {
	switch {
	case t.Class.Retry() || t.Class == "":
		if !twice && !p.confirmed(t.Reason, "") {
			return StageNone
		}
		return p.due(StageTicket)
	case t.Reason == DNSWriteDenied, t.Reason == CredentialExpiring, t.Reason == InstallFailed && t.Class != TroubleLagging:
		return StagePage
	default:
		return p.due(StageTicket)
	}
}

// cause groups what one repair mends. A lost grant is one trouble of its renewer, whichever rung, record or certificate
// met it.
func (p *promise) cause(t *Trouble) string {
	switch t.Reason {
	case DNSWriteDenied:
		return "grant/" + p.renewer
	case CredentialExpiring:
		return "credential/" + p.renewer
	case DNSWriteFailed:
		return "write/" + p.renewer
	case PermissionUnclear:
		return "ask/" + p.renewer
	case AccountInvalid:
		return "account/" + p.renewer
	case LimitReached:
		return "limit/" + p.renewer
	case CAAForbids, DelegationBroken, DNSFailed:
		return string(t.Reason) + "/" + clip(strings.ToLower(firstOf([]string{t.Scope}, p.name)), 120)
	case RehearsalInconclusive:
		return "inconclusive/" + p.renewer
	case InstallFailed, ServedStale:
		return "install/" + p.name
	case RenewalFailing, RehearsalFailed:
		if strings.HasPrefix(t.Scope, "https://") {
			return "authority/" + clip(strings.ToLower(t.Scope), 120) // one authority that fails is one trouble
		}
		return "renewal/" + p.name
	default:
		return "renewal/" + p.name
	}
}

func (p *promise) finding(r Reason, cause string, s Stage) Finding {
	f := Finding{Reason: r, Cause: cause, Stage: s, Impact: p.impact()}
	if strings.HasPrefix(cause, "install/") && p.waiting {
		f.Impact = fmt.Sprintf("The new certificate of %s waits to be installed. Clients are refused when the one that is served ends.", p.name)
		return f
	}
	if p.Issued != nil {
		f.HurtsAt = p.Issued.NotAfter
	}
	return f
}

func (p *promise) impact() string {
	if p.Issued == nil {
		return fmt.Sprintf("Clients of %s, once its first certificate is needed.", p.name)
	}
	end := p.Issued.NotAfter
	if !end.After(p.Now) {
		return fmt.Sprintf("Every client of %s has been refused since %s.", p.name, stamp(end))
	}
	life := PlanLife(p.Issued.NotBefore, end, p.repair(), p.Policy)
	due := life.Expected
	if !p.dueAt.IsZero() {
		due = p.dueAt
	}
	if due.After(p.Now) {
		return fmt.Sprintf("Nobody yet. The renewal of %s is due at %s and will fail; every client is refused from %s on.", p.name, stamp(due), stamp(end))
	}
	return fmt.Sprintf("Nobody yet. The renewal of %s is due since %s; every client is refused from %s on.", p.name, stamp(due), stamp(end))
}

// step files what one step found, once for each reason and cause.
func (p *promise) step(s Step, t *Trouble) {
	verdict := Broken
	if s.Outcome == Unclear || t.Blind() {
		verdict = Unknown
	}
	p.file(verdict, t, s.Target)
}

func (p *promise) file(v Verdict, t *Trouble, target string) {
	reason := t.Reason
	if reason.Link() == "" {
		reason = RehearsalFailed
	}
	cause := p.cause(t)
	k := string(reason) + " " + cause
	if p.filed[k] {
		return
	}
	p.filed[k] = true
	f := p.finding(reason, cause, p.stage(t, false))
	f.Summary = p.summary(v, t, target)
	f.Action = firstOf([]string{sentence(clip(t.Remedy, 240))}, remedyOf(reason, p.name))
	p.add(v, f)
}

func (p *promise) summary(v Verdict, t *Trouble, target string) string {
	at := clip(firstOf([]string{t.Scope}, target), 160)
	who := "it"
	if t.Identity != "" {
		who = "its identity " + clip(t.Identity, 100)
	}
	what := clip(t.Detail, 200)
	switch t.Reason {
	case DNSWriteDenied:
		lacks := ""
		if t.Action != "" {
			lacks = clip(t.Action, 240) + " "
		}
		// What it means comes first: a phone shows the beginning.
		return fmt.Sprintf("The renewer %s may not write challenge records: %s is refused %sat %s: %s.", clip(p.renewer, 60), who, lacks, at, what) + p.held(t)
	case CredentialExpiring:
		return fmt.Sprintf("The credential of the renewer %s does not work or ends soon: %s.", clip(p.renewer, 60), what)
	case PermissionUnclear:
		return fmt.Sprintf("Whether the renewer %s may still write DNS at %s could not be determined: %s.", clip(p.renewer, 60), at, what)
	}
	if at != "" && !strings.Contains(what, at) {
		at = " at " + at
	} else {
		at = ""
	}
	if v == Unknown {
		return fmt.Sprintf("Whether the next renewal of %s would work%s could not be determined: %s.", p.name, at, what)
	}
	return fmt.Sprintf("The next renewal of %s would not work%s: %s.", p.name, at, what)
}

// credential files the end of a credential that comes before the next renewal is safely over.
func (p *promise) credential(a Access) {
	end := a.Expires
	need := p.Now.Add(p.repair())
	if p.dueAt.After(p.Now) {
		need = p.dueAt.Add(p.repair())
	}
	if end.After(need) {
		return
	}
	t := &Trouble{Reason: CredentialExpiring, Class: TroubleExpired, Identity: a.Identity, Scope: a.Scope}
	cause := p.cause(t)
	k := string(CredentialExpiring) + " " + cause
	if p.filed[k] {
		return
	}
	p.filed[k] = true
	stage := StageTicket
	if !end.After(p.Now.Add(p.repair())) {
		stage = StagePage
	}
	f := p.finding(CredentialExpiring, cause, stage)
	f.Summary = fmt.Sprintf("The credential of the renewer %s ends at %s, before the next renewal of %s is over.", clip(p.renewer, 60), stamp(end), p.name)
	if !end.After(p.Now) {
		f.Summary = fmt.Sprintf("The credential of the renewer %s ended at %s.", clip(p.renewer, 60), stamp(end))
	}
	f.Action = "Make a new credential for the same identity, give it to notafter, and reload."
	p.add(Broken, f)
}

// remedyOf is what to do where the trouble itself does not say.
func remedyOf(r Reason, name string) string {
	after := " Then: notafter rehearse " + name
	switch r {
	case DNSWriteDenied:
		return "Grant the identity again what is named (see who took it away: the cloud's activity log, the last Terraform apply)." + after
	case DNSWriteFailed:
		return "See what the DNS provider says, and its status page." + after
	case CredentialExpiring:
		return "Make a new credential for the same identity, give it to notafter, and reload." + after
	case PermissionUnclear:
		return "Let the identity read its own permissions, or see why the cloud did not answer." + after
	case CAAForbids:
		return "Add the CA to the CAA records of the name, or take the record away that names others only." + after
	case DelegationBroken:
		return "Make parent and child agree on the zone's name servers, and each of them answer for it." + after
	case AccountInvalid:
		return "See what became of the account at the authority. If it forgot the account: notafter account register RENEWER; if the account was deactivated, another email makes another one." + after
	case LimitReached:
		return "Nothing, if it passes: the CA's time is waited for. If it comes back, see what else uses the account or the name."
	case RehearsalInconclusive:
		return "Nothing, if it passes: it is tried again. An authorization that the CA reuses proves nothing about the next renewal."
	case InstallFailed, ServedStale:
		return "See the steps of the attempt on the page of the certificate, mend what failed, then: notafter renew --force " + name
	}
	return "See the steps on the page of the certificate, mend what failed, then: notafter rehearse " + name
}

func (p *promise) next(s RenewalState) string {
	switch {
	case s.Next.IsZero():
		return "no further attempt is planned"
	case s.Left >= 0 && s.Failures > 0:
		return fmt.Sprintf("the next one is made at %s, and %s fit before the certificate ends", stamp(s.Next), attempts(s.Left))
	}
	return "the next one is made at " + stamp(s.Next)
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}
