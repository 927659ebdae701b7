package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// prover asks until every certificate's answer is settled, or there is no more time.
type prover struct {
	climber
	now      func() time.Time
	out      output
	tell     *teller
	who      string
	since    time.Time
	started  time.Time
	deadline time.Time
	interval time.Duration
	list     []*proving
	// explained are sorts of answers for which it was said what is waited for.
	explained map[string]bool
}

// proving is one certificate on its way to a verdict.
type proving struct {
	provable
	lags    bool      // changes of rights take their time to count
	counts  time.Time // from when on an answer counts
	asked   int
	last    map[string]assure.Attempt     // by rung, the newest
	told    map[assure.AttemptKind]string // what was said last about a rung
	verdict assure.Verdict                // empty while it is open
	why     string
}

// question is the rung that asks about the permission, or shows it where nobody can be asked. Empty: there is none.
func (c *proving) question() string {
	for _, r := range []string{"permission", "canary"} {
		if slices.Contains(c.on, r) {
			return r
		}
	}
	return ""
}

// rest are the rungs that prove what the question does not.
func (c *proving) rest() (list []string) {
	for _, r := range restRungs {
		if slices.Contains(c.on, r) && r != c.question() {
			list = append(list, r)
		}
	}
	return list
}

// run proves. An error means that it could not go on; everything else is in the proof.
func (r *prover) run(ctx context.Context) (proof, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, time.Now().Add(r.deadline.Sub(r.started)+wrapUp), errTooLong)
	defer cancel()
	for {
		began := r.now()
		if err := r.round(ctx, began); err != nil {
			if !errors.Is(err, errTooLong) {
				return proof{}, err
			}
			r.giveUp("a rehearsal was not over in time")
		}
		open := r.open()
		if len(open) == 0 {
			break
		}
		if !began.Before(r.deadline) {
			r.giveUp("")
			break
		}
		if err := r.pause(ctx, open); err != nil {
			return proof{}, err
		}
	}
	return r.proof(), nil
}

func (r *prover) open() (list []*proving) {
	for _, c := range r.list {
		if c.verdict == "" {
			list = append(list, c)
		}
	}
	return list
}

// pause waits until it is time to ask again: after the interval, when an answer begins to count, and a last time at the
// end.
func (r *prover) pause(ctx context.Context, open []*proving) error {
	now := r.now()
	next := now.Add(r.interval)
	for _, c := range open {
		if c.counts.After(now) && c.counts.Before(next) {
			next = c.counts
		}
	}
	if next.After(r.deadline) {
		next = r.deadline
	}
	t := time.NewTimer(next.Sub(now))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return r.stopped(ctx)
	case <-t.C:
		return nil
	}
}

func (r *prover) stopped(ctx context.Context) error {
	if errors.Is(context.Cause(ctx), errTooLong) {
		return errTooLong
	}
	return status{code: exitInterrupted, err: errors.New("interrupted; nothing is proven")}
}

// round asks about every open certificate once, and climbs the rest where the answer counts.
func (r *prover) round(ctx context.Context, began time.Time) error {
	var asks []climb
	for _, c := range r.open() {
		if q := c.question(); q != "" {
			asks = append(asks, climb{c.name, []string{q}})
			c.asked++
		}
	}
	if err := r.took(r.climb(ctx, r.who, asks, nil)); err != nil {
		return err
	}
	var ready []*proving
	for _, c := range r.open() {
		if r.answer(c, began) {
			ready = append(ready, c)
		}
	}
	for _, rung := range restRungs {
		if err := r.climbRest(ctx, ready, rung); err != nil {
			return err
		}
	}
	for _, c := range ready {
		r.conclude(c)
	}
	return nil
}

// restRungs are those that prove what the question does not, in the order in which they are climbed: an order at the
// staging authority, which counts there, comes when everything else has worked.
var restRungs = []string{"static", "canary", "authorization"}

// climbRest climbs one rung of those certificates for which it is the next to prove.
func (r *prover) climbRest(ctx context.Context, ready []*proving, rung string) error {
	var list []climb
	for _, c := range ready {
		if c.next() == rung {
			list = append(list, climb{c.name, []string{rung}})
		}
	}
	return r.took(r.climb(ctx, r.who, list, r.telling(rung, len(list) > 1)))
}

// next is the rung to climb next; empty when there is none.
func (c *proving) next() string {
	for _, rung := range c.rest() {
		if a := c.last[rung]; a.Outcome != assure.Done {
			return rung
		}
	}
	return ""
}

// telling tells attempts of a rung as they happen; of several certificates, each when it is over, so that their lines stay
// together. What did not work before is not told again until it ends otherwise.
func (r *prover) telling(rung string, several bool) func(assure.Attempt) {
	before := map[string]assure.Outcome{}
	for _, c := range r.list {
		before[c.name] = c.last[rung].Outcome
	}
	return func(a assure.Attempt) {
		if several && a.Ended.IsZero() {
			return
		}
		if was := before[a.Certificate]; was == "" || !a.Ended.IsZero() && a.Outcome != was {
			r.tell.tell(a, r.now())
		}
	}
}

// took keeps what was climbed.
func (r *prover) took(list []assure.Attempt, err error) error {
	for _, a := range list {
		for _, c := range r.list {
			if c.name == a.Certificate {
				c.last[rungOf(a.Kind)] = a
			}
		}
	}
	return err
}

func rungOf(k assure.AttemptKind) string {
	if l := k.Level(); l >= 0 {
		return rungs[l]
	}
	return ""
}

// unasked reports whether there is nobody to ask, so that the rest has to prove it.
func (c *proving) unasked() bool {
	a := c.last[c.question()]
	return c.question() == "" || a.Outcome == assure.Done && leftOut(a)
}

// proven reports whether something was tried and all of it worked.
func proven(a assure.Attempt) bool { return a.Outcome == assure.Done && !leftOut(a) }

// answer says what is new about the answer, and reports whether it counts and allows the rest to be climbed.
func (r *prover) answer(c *proving, began time.Time) bool {
	a := c.last[c.question()]
	switch {
	case c.unasked() || proven(a):
		if began.Before(c.counts) {
			r.say(c, a, "allowed so far", "An answer counts from %s on: until then it may be from before the change.", stampOf(c.counts))
			return false
		}
		r.say(c, a, "allowed", "")
		return true
	case a.Blind() != nil:
		r.say(c, a, "nothing to be seen so far", "It is asked again until %s.", stampOf(r.deadline))
	case a.Outcome == assure.Failed && !r.passing(c, a):
		r.say(c, a, "refused", "")
		c.verdict = assure.Broken
	case a.Outcome == assure.Failed:
		r.say(c, a, "refused so far", "What was granted just now may be seen only in some minutes: it is asked again until %s.", stampOf(r.deadline))
	default:
		r.say(c, a, "no answer that decides so far", "It is asked again until %s.", stampOf(r.deadline))
	}
	return false
}

// say tells what a rung brought once, until it changes, and explains each sort once.
func (r *prover) say(c *proving, a assure.Attempt, what, note string, args ...any) {
	if len(a.Steps) == 0 || c.told[a.Kind] == what {
		return
	}
	c.told[a.Kind] = what
	r.tell.line("%s: %s (%s)", clean(c.name), what, clip(clean(detailOf(a)), 200))
	if note == "" || r.explained[what] {
		return
	}
	r.explained[what] = true
	for _, l := range wrap(fmt.Sprintf(note, args...), r.out.columns-2) {
		r.tell.line("  %s", r.out.paint(dim, l))
	}
}

// detailOf is what the step says that decided an attempt.
func detailOf(a assure.Attempt) string {
	best := ""
	for _, s := range a.Steps {
		detail := s.Detail
		if s.Trouble != nil {
			detail = cmp.Or(s.Trouble.Detail, s.Detail)
		}
		if s.Outcome == a.Outcome && s.Outcome != assure.Done && detail != "" {
			return detail
		}
		best = cmp.Or(best, detail)
	}
	return best
}

// passing reports whether a failure may pass by itself, as what was granted is noticed or as records reach every server.
func (r *prover) passing(c *proving, a assure.Attempt) bool {
	for _, s := range a.Steps {
		if s.Outcome != assure.Failed {
			continue
		}
		t := s.Trouble
		switch {
		case t == nil || t.Class.Retry() || t.Reason == assure.DelegationBroken || t.Reason == assure.DNSFailed:
		case c.lags && (t.Reason == assure.DNSWriteDenied || t.Reason == assure.DNSWriteFailed || t.Reason == assure.CredentialExpiring || t.Reason == assure.PermissionUnclear):
		default:
			return false
		}
	}
	return true
}

// conclude makes a verdict of a certificate whose answer counts; what may pass by itself stays open.
func (r *prover) conclude(c *proving) {
	works := !c.unasked()
	open := false
	for _, rung := range c.rest() {
		a := c.last[rung]
		switch {
		case proven(a):
			works = works || rung != "static"
		case a.Outcome == assure.Failed && !r.passing(c, a):
			c.verdict = assure.Broken
			return
		case a.Outcome == assure.Failed:
			open = true
			r.say(c, a, rung+" does not work so far", "What may pass by itself is tried again until %s.", stampOf(r.deadline))
		case a.Outcome == assure.Unclear || a.Outcome == "":
			open = true
		}
	}
	switch {
	case open:
	case works:
		c.verdict = assure.Upheld
	default:
		c.verdict, c.why = assure.Unknown, "no rung of the rehearsal that would prove it is switched on, or could be climbed"
	}
}

// giveUp makes verdicts of what is still open when the time is over.
func (r *prover) giveUp(why string) {
	for _, c := range r.open() {
		c.verdict, c.why = assure.Unknown, why
		for _, rung := range rungs {
			a, ok := c.last[rung]
			switch {
			case !ok:
			case a.Blind() != nil:
				t := a.Blind()
				c.why = strings.TrimRight(t.Detail+". "+t.Remedy, ". ")
			case a.Outcome == assure.Failed:
				c.verdict, c.why = assure.Broken, ""
			case a.Outcome != assure.Done && c.verdict != assure.Broken:
				c.why = cmp.Or(detailOf(a), why)
			}
		}
		if c.verdict == assure.Unknown && c.why == "" {
			c.why = "no answer came that counts"
		}
	}
}

func (r *prover) proof() proof {
	p := proof{Since: r.since.UTC(), Started: r.started.UTC(), Ended: r.now().UTC(), Verdict: assure.Upheld, Certificates: []provenCert{}}
	for _, c := range r.list {
		if c.verdict.Worse(p.Verdict) {
			p.Verdict = c.verdict
		}
		p.Certificates = append(p.Certificates, r.proven(c))
	}
	if len(r.list) == 0 {
		p.Verdict = assure.Unknown
	}
	r.sum(p)
	return p
}

func (r *prover) proven(c *proving) provenCert {
	out := provenCert{
		Certificate: c.name, Renewer: c.renewer, Verdict: c.verdict, Counts: c.counts.UTC(), Asked: c.asked, Why: c.why,
		Rungs: []provenRung{}, Findings: []provenFinding{},
	}
	told := map[string]bool{}
	for _, rung := range rungs {
		a, ok := c.last[rung]
		if !ok {
			continue
		}
		outcome := a.Outcome
		if outcome == assure.Done && leftOut(a) {
			outcome = assure.Skipped
		}
		out.Rungs = append(out.Rungs, provenRung{rung, a.Ended.UTC(), outcome, clip(detailOf(a), 300)})
		if c.verdict == assure.Upheld || a.Outcome == assure.Done || a.Blind() != nil {
			continue
		}
		for _, f := range findingsOf(a, cmp.Or(c.renewer, "of "+c.name), r.now()) {
			if key := string(f.Reason) + f.Cause; !told[key] {
				told[key] = true
				out.Findings = append(out.Findings, provenFinding{f.Reason, f.Cause, f.Summary, f.Action, f.Reason.Docs()})
			}
		}
	}
	return out
}

// sum says how it ended: one line when all is well, else each cause once with what to do.
func (r *prover) sum(p proof) {
	names := map[assure.Verdict][]string{}
	for _, c := range p.Certificates {
		names[c.Verdict] = append(names[c.Verdict], clean(c.Certificate))
	}
	if broken := names[assure.Broken]; len(broken) > 0 {
		r.tell.line("%s", r.out.paint(verdictStyle(assure.Broken), "✗ Renewal is cut: "+someOf(broken)))
	}
	told := map[string]bool{}
	for _, c := range p.Certificates {
		if c.Verdict == assure.Upheld {
			continue
		}
		for _, f := range c.Findings {
			key := string(f.Reason) + f.Cause
			if told[key] {
				continue
			}
			told[key] = true
			r.paragraph("  ", "", f.Summary)
			r.paragraph("  ", r.out.paint(bold, "→")+"  ", f.Action)
		}
	}
	for _, c := range p.Certificates {
		if c.Verdict == assure.Unknown {
			r.paragraph("", r.out.paint(verdictStyle(assure.Unknown), "? "), fmt.Sprintf("Whether %s can be renewed could not be determined: %s.", c.Certificate, strings.TrimRight(c.Why, ".")))
		}
	}
	switch good := names[assure.Upheld]; {
	case len(p.Certificates) == 0:
		r.tell.line("? No certificate is renewed by notafter, so nothing is proven.")
	case len(good) > 0:
		r.tell.line("%s", r.out.paint(verdictStyle(assure.Upheld), fmt.Sprintf("✓ Renewal works after %s, proven in %s: %s", stampOf(p.Since), assure.Ago(p.Ended.Sub(p.Started)), someOf(good))))
	}
}

// paragraph writes a text with a lead before its first line.
func (r *prover) paragraph(indent, lead, text string) {
	for i, l := range wrap(clean(text), r.out.columns-len(indent)-3) {
		if i > 0 && lead != "" {
			lead = "   "
		}
		r.tell.line("%s%s%s", indent, lead, l)
	}
}
