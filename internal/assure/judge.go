package assure

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Judge holds one claim against its evidence at s.Now. It always gives exactly one verdict, never panics whatever the
// evidence, and judging again with its own findings as the prior ones changes nothing.
func Judge(c Case, s Setting) Judgement {
	b := &bench{Case: c, Setting: s, j: Judgement{Claim: c.Claim}}
	b.Now = moment(s.Now)
	if c.Evidence != nil {
		b.j.SeenAt = c.Evidence.LastSeen.UTC()
	}
	b.decide()
	return b.finish()
}

// bench is where one claim is judged: the case, the setting, and the judgement as it grows.
type bench struct {
	Case
	Setting
	j       Judgement
	verdict Verdict
}

func (b *bench) decide() {
	ev := b.Evidence
	if ev == nil || ev.Fact == nil {
		b.missing()
		return
	}
	if age := b.Now.Sub(ev.LastSeen); age > b.Claim.MaxAge() {
		b.stale(age)
		return
	}
	if blind, ok := ev.Fact.(Blind); ok {
		b.blind(blind.Detail)
		return
	}
	// What a claim needs is decided by the claim, not by what happens to lie in the ledger: evidence of another kind is
	// no evidence.
	rule := ruleFor(b.Claim)
	if rule == nil || !rule(b, ev.Fact) {
		b.missing()
	}
}

// ruleFor names the rule of a claim; each takes the fact it understands and returns false for any other.
func ruleFor(c Claim) func(*bench, Fact) bool {
	switch {
	case c.Link == Serving:
		return servingRule
	case c.Link == Permission:
		return rehearsalRule
	case c.Link == Renewal && c.Subject == SubjectRenewal:
		return renewalRule
	case c.Link == Renewal:
		return rehearsalRule
	case c.Link == Issuance:
		return issuanceRule
	case c.Link == Monitor && c.Subject == SubjectControl:
		return controlRule
	case c.Link == Monitor && c.Subject == SubjectHeartbeat:
		return heartbeatRule
	case c.Link == Monitor:
		return patrolRule
	case c.Link == People:
		return channelRule
	}
	return nil
}

// Subjects of monitor claims.
const (
	SubjectPatrol    = "patrol"
	SubjectControl   = "control"
	SubjectHeartbeat = "heartbeat"
)

// add files a finding and lets the verdict follow: a finding that concerns somebody makes the claim not upheld.
func (b *bench) add(v Verdict, f Finding) {
	f.Claim = b.Claim.ID
	if f.Link == "" {
		f.Link = f.Reason.Link()
	}
	if f.Since.IsZero() {
		f.Since = b.since(f.Reason, f.Address)
	}
	f.Since = f.Since.UTC()
	if f.Severity == "" {
		f.Severity = severityOf(f.Stage)
	}
	if f.Basis == "" {
		f.Basis = b.basis()
	}
	if v.Worse(b.verdict) {
		b.verdict = v
	}
	b.j.Findings = append(b.j.Findings, f)
}

func severityOf(s Stage) Severity {
	switch {
	case s >= StagePage:
		return Page
	case s == StageTicket:
		return Ticket
	default:
		return Info
	}
}

// since keeps the beginning of a finding that was there before, at the same address if possible; one that is new began
// when the present run of evidence did.
func (b *bench) since(r Reason, address string) time.Time {
	var best time.Time
	exact := false
	for _, p := range b.Prior {
		if p.Reason != r || p.Since.IsZero() || p.Since.After(b.Now) {
			continue
		}
		same := p.Address == address
		if best.IsZero() || same && !exact || same == exact && p.Since.Before(best) {
			best, exact = p.Since, same
		}
	}
	if !best.IsZero() {
		return best
	}
	if b.Evidence != nil && !b.Evidence.FirstSeen.IsZero() {
		return minTime(b.Evidence.FirstSeen, b.Now)
	}
	return b.Now
}

// confirmed reports whether a failure that may pass by itself has lasted long enough to tell somebody.
func (b *bench) confirmed(r Reason, address string) bool {
	if b.Policy.Confirm <= 0 {
		return true
	}
	last := b.Now
	if b.Evidence != nil {
		last = b.Evidence.LastSeen
	}
	return last.Sub(b.since(r, address)) >= b.Policy.Confirm
}

func (b *bench) stageOf(passing bool, r Reason, address string, s Stage) Stage {
	if passing && !b.confirmed(r, address) {
		return StageNone
	}
	return s
}

func (b *bench) repair() time.Duration {
	if b.Claim.TimeToRepair > 0 {
		return b.Claim.TimeToRepair
	}
	return b.Policy.repair()
}

// deadline is the stage of not knowing: work at first, and a page once what was last known leaves no more time than the
// team needs to repair.
func (b *bench) deadline() Stage {
	if !b.ValidUntil.IsZero() && b.ValidUntil.Sub(b.Now) < b.repair() {
		return StagePage
	}
	return StageTicket
}

func (b *bench) missing() {
	stage := b.unlooked(b.Claim.Declared)
	f := Finding{
		Reason: EvidenceMissing, Stage: stage, Cause: "evidence/" + string(b.Claim.Link), Since: b.Claim.Declared,
		Summary: fmt.Sprintf("Nobody has looked at %s since it was declared.", b.what()),
		Impact:  "If something is wrong there, nobody will know before clients do.",
		Action:  "Check that the patrol runs and is on time; see the page Watch.",
		Basis:   "No evidence is on record.",
	}
	if b.Claim.Link == People {
		f.Summary = fmt.Sprintf("Nothing was ever sent through the channel %s, so nobody knows whether it works.", b.what())
		f.Impact = "The first page may be the one that does not arrive."
		f.Action = "Send a test through it."
	}
	b.unseen(f)
}

// unlooked is the stage of a claim that nobody has looked at since the given time: nobody is told within the age that
// evidence may have, then it is work, and a page once that has lasted as long as a repair would.
func (b *bench) unlooked(since time.Time) Stage {
	due := since.Add(b.Claim.MaxAge())
	urgent := due.Add(b.repair())
	switch {
	case b.Claim.Link == People && b.Now.After(due):
		return StageTicket // a channel that nobody used for long is to be tried, not to be woken for
	case since.IsZero() || b.Now.After(urgent):
		return StagePage
	case b.Now.After(due):
		return b.deadline()
	default:
		return StageNone
	}
}

func (b *bench) stale(age time.Duration) {
	f := Finding{
		Reason: EvidenceStale, Stage: b.unlooked(b.Evidence.LastSeen), Cause: "evidence/" + string(b.Claim.Link), Since: b.Evidence.LastSeen.Add(b.Claim.MaxAge()),
		Summary: fmt.Sprintf("The last look at %s is %s old; it is due every %s.", b.what(), Ago(age), Ago(b.Claim.Every)),
		Impact:  b.lastKnown(),
		Action:  "Check that the patrol runs and is on time; see the page Watch.",
	}
	if b.Claim.Link == People {
		f.Summary = fmt.Sprintf("Nothing was sent through the channel %s for %s, so nobody knows whether it still works.", b.what(), Ago(age))
		f.Impact = "The next page may be the one that does not arrive."
		f.Action = "Send a test through it."
	}
	b.unseen(f)
}

func (b *bench) blind(detail string) {
	b.unseen(Finding{
		Reason: BlindReason, Stage: StagePage, Cause: "blind", HurtsAt: b.ValidUntil,
		Summary: "notafter cannot see: " + clip(detail, 200) + ".",
		Impact:  b.lastKnown(),
		Action:  "Mend the network or the resolver of the machine that runs notafter; until then its silence means nothing.",
	})
}

// unseen files a finding of not knowing, and carries what was known before.
func (b *bench) unseen(f Finding) {
	b.j.ValidUntil, b.j.RenewBy = b.ValidUntil, b.RenewBy
	f.HurtsAt = b.ValidUntil
	b.add(Unknown, f)
}

func (b *bench) lastKnown() string {
	if b.ValidUntil.IsZero() {
		return "Nothing is known of when clients will be refused."
	}
	if b.ValidUntil.After(b.Now) {
		return fmt.Sprintf("By what was last seen, clients are refused from %s on.", stamp(b.ValidUntil))
	}
	return fmt.Sprintf("By what was last seen, clients have been refused since %s.", stamp(b.ValidUntil))
}

func (b *bench) what() string {
	if words, ok := subjectWords[b.Claim.Subject]; ok && b.Claim.Certificate != "" {
		return words + " of " + clip(b.Claim.Certificate, 80)
	}
	if b.Claim.Subject == "" {
		return "the " + string(b.Claim.Link) + " of " + clip(b.Claim.Certificate, 80)
	}
	return clip(b.Claim.Subject, 120)
}

// subjectWords says what claims about renewal are about, in the middle of a sentence.
var subjectWords = map[string]string{
	SubjectRenewal:             "the renewal",
	SubjectIssuance:            "the newest certificate",
	SubjectGrants:              "what the permission for the next renewal rests on",
	string(RehearseStatic):     "what the next renewal rests on (account, CAA, delegation)",
	string(RehearsePermission): "the permission to write DNS for the next renewal",
	string(RehearseCanary):     "the canary record for the next renewal",
	string(RehearseAuthorize):  "the rehearsed authorization",
	string(RehearseFull):       "the full rehearsal",
}

func (b *bench) basis() string {
	ev := b.Evidence
	if ev == nil {
		return "No evidence is on record."
	}
	who := ev.Observer
	if who == "" {
		who = "an observer"
	}
	if ev.Count > 1 && ev.LastSeen.After(ev.FirstSeen) {
		return fmt.Sprintf("Seen by %s %d times from %s to %s.", clip(who, 80), ev.Count, stamp(ev.FirstSeen), stamp(ev.LastSeen))
	}
	return fmt.Sprintf("Seen by %s at %s.", clip(who, 80), stamp(ev.LastSeen))
}

func (b *bench) finish() Judgement {
	if b.verdict == "" {
		b.verdict = Upheld
	}
	b.j.Verdict = b.verdict
	for _, f := range b.j.Findings {
		// Clients are refused for whatever reason, and not only by the end of the certificate.
		if f.Stage == StageOutage && !f.HurtsAt.IsZero() && (b.j.ValidUntil.IsZero() || f.HurtsAt.Before(b.j.ValidUntil)) {
			b.j.ValidUntil = f.HurtsAt
		}
	}
	b.j.ValidUntil, b.j.RenewBy = b.j.ValidUntil.UTC(), b.j.RenewBy.UTC()
	slices.SortStableFunc(b.j.Findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(y.Stage, x.Stage), cmp.Compare(y.Severity.rank(), x.Severity.rank()),
			cmp.Compare(reasonOrder(x.Reason), reasonOrder(y.Reason)), cmp.Compare(x.Address, y.Address))
	})
	return b.j
}

func reasonOrder(r Reason) int {
	return slices.IndexFunc(reasons, func(e reasonLink) bool { return e.Reason == r })
}

// moment is t in UTC to the microsecond: what every database keeps, so that what is read back equals what was decided.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
