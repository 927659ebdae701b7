package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// stepWords says what a step does, for people.
var stepWords = map[string]string{
	assure.StepDirectory:   "the authority's directory",
	assure.StepAccount:     "the account there",
	assure.StepCAA:         "CAA",
	assure.StepDelegation:  "delegation",
	assure.StepAsk:         "permission asked",
	assure.StepPlace:       "place to install",
	assure.StepOrder:       "order",
	assure.StepPresent:     "challenge made to be seen",
	assure.StepPropagation: "seen on every server",
	assure.StepValidate:    "validated by the authority",
	assure.StepWithdraw:    "challenge withdrawn",
	assure.StepDeactivate:  "authorization given back",
	assure.StepFinalize:    "certificate issued",
	assure.StepMatch:       "key and certificate match",
	assure.StepInstall:     "installed",
	assure.StepReload:      "server told",
	assure.StepSeen:        "seen in service",
	assure.StepRollback:    "rolled back",
}

// kindWords says what an attempt is, at the beginning of a line.
var kindWords = map[assure.AttemptKind]string{
	assure.AttemptRenewal:     "Renewal",
	assure.RehearseStatic:     "Rehearsal L0, what it rests on",
	assure.RehearsePermission: "Rehearsal L1, permission",
	assure.RehearseCanary:     "Rehearsal L2, canary record",
	assure.RehearseAuthorize:  "Rehearsal L3, authorization",
	assure.RehearseFull:       "Rehearsal L4, staging certificate",
}

// teller tells attempts as they happen: each step once.
type teller struct {
	out  output
	told map[int64]int // attempt -> steps told
	over map[int64]bool
	// outcomes are those of attempts that are over.
	outcomes []assure.Outcome
	// byName says that the rungs were asked for by name, so that one that is left out was not proven as asked; those that
	// were are in left, with why.
	byName bool
	left   []string
}

func newTeller(out output) *teller {
	return &teller{out: out, told: map[int64]int{}, over: map[int64]bool{}}
}

func (t *teller) line(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format+"\n", args...)
}

// tell tells what is new of an attempt.
func (t *teller) tell(a assure.Attempt, now time.Time) {
	if t.over[a.ID] {
		return
	}
	n, begun := t.told[a.ID]
	if !begun {
		t.line("%s", t.out.paint(bold, fmt.Sprintf("%s of %s", cmp.Or(kindWords[a.Kind], string(a.Kind)), clean(a.Certificate))))
	}
	for _, s := range a.Steps[min(n, len(a.Steps)):] {
		t.step(s)
	}
	t.told[a.ID] = max(n, len(a.Steps))
	if a.Ended.IsZero() {
		return
	}
	t.over[a.ID] = true
	t.outcomes = append(t.outcomes, a.Outcome)
	outcome, word := a.Outcome, outcomeWord(a.Outcome)
	// What was stopped before its end says nothing about the next renewal: a rehearsal is recorded as skipped then, and
	// of a renewal, which may have gone far, it is not clear how far.
	stopped := outcome == assure.Skipped || a.Kind == assure.AttemptRenewal && outcome == assure.Unclear
	switch {
	case stopped && a.Kind == assure.AttemptRenewal:
		word = "was stopped, and will be taken up again,"
	case stopped:
		word = "was stopped, and proves nothing,"
	case outcome == assure.Done && leftOut(a):
		outcome, word = assure.Skipped, outcomeWord(assure.Skipped)
		t.left = append(t.left, fmt.Sprintf("%s of %s was left out, so that nothing is proven by it: %s", rungWord(a.Kind), clean(a.Certificate), clean(a.Steps[0].Detail)))
	}
	how := "in"
	if stopped {
		how = "after"
	}
	t.line("  %s %s %s", t.out.paint(outcomeStyle(outcome), word), how, tookOf(a))
	if stopped || outcome == assure.Skipped {
		return
	}
	for _, f := range wordsOf(a, now) {
		for _, l := range wrap(clean(f.Summary), t.out.columns-4) {
			t.line("  %s", l)
		}
		for i, l := range wrap(clean(f.Action), t.out.columns-6) {
			lead := "   "
			if i == 0 {
				lead = t.out.paint(bold, "→") + "  "
			}
			t.line("  %s%s", lead, l)
		}
	}
}

// rungWord is the word for a rung that --rung takes.
func rungWord(k assure.AttemptKind) string {
	if l := k.Level(); l >= 0 && l < len(rungs) {
		return rungs[l]
	}
	return string(k)
}

// leftOut reports whether nothing was done in any step, so that nothing is proven by it.
func leftOut(a assure.Attempt) bool {
	return len(a.Steps) > 0 && !slices.ContainsFunc(a.Steps, func(s assure.Step) bool { return s.Outcome != assure.Skipped })
}

// tookOf is how long an attempt took, to a tenth of a second where it took that long.
func tookOf(a assure.Attempt) time.Duration {
	took := a.Ended.Sub(a.Started)
	if took < 100*time.Millisecond {
		return took.Round(time.Millisecond)
	}
	return took.Round(100 * time.Millisecond)
}

func (t *teller) step(s assure.Step) {
	text := cmp.Or(stepWords[s.Name], s.Name)
	if s.Target != "" {
		text += " (" + clip(s.Target, 160) + ")"
	}
	took := ""
	if s.Took >= 100*time.Millisecond {
		took = fmt.Sprintf("  %.1fs", s.Took.Seconds())
	}
	t.line("  %s %s%s", t.out.paint(outcomeStyle(s.Outcome), markOf(s.Outcome)), text, t.out.paint(dim, took))
	if s.Detail != "" && (s.Outcome != assure.Done || t.out.terminal) {
		for _, l := range wrap(clean(s.Detail), t.out.columns-6) {
			t.line("      %s", t.out.paint(dim, l))
		}
	}
}

func markOf(o assure.Outcome) string {
	switch o {
	case assure.Done:
		return "✓"
	case assure.Failed:
		return "✗"
	case assure.Skipped:
		return "–"
	}
	return "?"
}

func outcomeWord(o assure.Outcome) string {
	switch o {
	case assure.Done:
		return "worked"
	case assure.Failed:
		return "did not work"
	case assure.Skipped:
		return "was left out"
	}
	return "could not be determined"
}

func outcomeStyle(o assure.Outcome) string {
	switch o {
	case assure.Done:
		return verdictStyle(assure.Upheld)
	case assure.Failed:
		return verdictStyle(assure.Broken)
	case assure.Skipped:
		return dim
	}
	return verdictStyle(assure.Unknown)
}

// wordsOf are the words that an incident about the attempt would carry.
func wordsOf(a assure.Attempt, now time.Time) []assure.Finding {
	return findingsOf(a, "of "+a.Certificate, now)
}

// findingsOf are the findings about an attempt of a certificate that the renewer renews.
func findingsOf(a assure.Attempt, renewer string, now time.Time) []assure.Finding {
	c := assure.Claim{Certificate: a.Certificate, Subject: string(a.Kind), Link: assure.LinkOf(a.Kind), Declared: a.Started, Every: time.Hour}
	var fact assure.Fact = assure.Rehearsed{Rung: a.Kind, Renewer: renewer, Steps: a.Steps}
	if a.Kind == assure.AttemptRenewal {
		c.Subject, c.Link = assure.SubjectRenewal, assure.Renewal
		r := assure.Renewing{Renewer: renewer}
		for _, s := range a.Steps {
			if s.Outcome == assure.Failed && s.Trouble != nil {
				r.State.Failures, r.State.LastTrouble, r.State.LastAttempt = 1, s.Trouble, a.Ended
			}
		}
		fact = r
	}
	j := assure.Judge(assure.Case{Claim: c, Evidence: &assure.Evidence{Fact: fact, FirstSeen: a.Ended, LastSeen: now, Count: 1}}, assure.Setting{Now: now})
	told := map[string]bool{}
	findings := slices.DeleteFunc(j.Findings, func(f assure.Finding) bool {
		again := told[f.Action]
		told[f.Action] = true
		return again || f.Reason == assure.EvidenceMissing
	})
	if a.Kind != assure.AttemptRenewal || len(findings) < 2 {
		return findings
	}
	// One trouble ended the renewal. Its cause and its symptom are two findings for the ledger and one thing for who reads:
	// what the cause asks for is what is to be done.
	one := findings[0]
	for _, f := range findings {
		if f.Reason != assure.RenewalFailing {
			one.Action = f.Action
		}
	}
	return []assure.Finding{one}
}

// verdict is the exit status of what was told.
func (t *teller) verdict() error {
	switch {
	case slices.Contains(t.outcomes, assure.Failed):
		return status{code: exitBroken}
	case t.byName && len(t.left) > 0:
		return status{code: exitUnknown, err: errors.New(strings.Join(t.left, "\n"))}
	case slices.Contains(t.outcomes, assure.Unclear):
		return status{code: exitUnknown}
	}
	return nil
}
