package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// renewalView is the part of a certificate's page about its renewal.
type renewalView struct {
	assure.RenewalState
	Head       string // how it stands, in a few words
	HeadAt     time.Time
	Mood       string // good, work, bad, busy: how the heading looks
	Renewer    string
	Newest     *assure.Cert
	Installed  time.Time
	Missing    []string
	Left       string // attempts that fit, in words; empty when not known
	Top        rungView
	Ladder     []rungView // the highest first
	Renewals   []attemptView
	Rehearsals []attemptView
	More       int // attempts that are remembered beyond those shown
	Choices    []rungView
	CanAsk     bool
	AskName    bool
}

// attemptView is one renewal or rehearsal with its steps.
type attemptView struct {
	assure.Attempt
	State string // done, failed, unclear, skipped or running
	Title string
	Cause string
	Took  time.Duration
	Steps []stepView
	Open  bool // shown with its steps from the start
	Said  string
}

// stepView is one step, with its place in the attempt's time.
type stepView struct {
	assure.Step
	Title string
	X, W  float64
}

const (
	renewalsShown   = 5
	rehearsalsShown = 6
)

func (s *Server) newRenewalView(st *standing, now time.Time) *renewalView {
	r := &renewalView{RenewalState: st.State, CanAsk: s.opts.Renewer != nil, AskName: !s.auth.on()}
	if c := st.claim(assure.SubjectRenewal); c != nil && c.Evidence != nil {
		if f, ok := c.Evidence.Fact.(assure.Renewing); ok {
			r.Renewer, r.Newest, r.Installed, r.Missing = f.Renewer, f.Newest, f.Installed, f.Missing
		}
	}
	if n, ok := attemptsLeft(st.State); ok {
		r.Left = plural(n, "more attempt") + " before the certificate ends"
		if n == 0 {
			r.Left = "none before the certificate ends"
		}
	}
	r.head(now)
	r.Top = st.top(now)
	for _, v := range st.ladder(now) {
		v.Marks, v.Running = st.marks(v.Kind)
		if v.On {
			r.Choices = append(r.Choices, v)
		}
		r.Ladder = append(r.Ladder, v)
	}
	slices.Reverse(r.Ladder)
	r.choose(st.Attempts, now)
	return r
}

// head says how the renewal stands. The worst comes first, but for what is happening at this moment.
func (r *renewalView) head(now time.Time) {
	switch s := r.RenewalState; {
	case !s.Running.IsZero():
		r.Head, r.HeadAt, r.Mood = "A renewal is under way, begun", s.Running, "busy"
	case s.Forced != "":
		r.Head, r.HeadAt, r.Mood = "A renewal was asked for", s.ForcedAt, "busy"
	case !s.Unproven.IsZero():
		r.Head, r.HeadAt, r.Mood = "Not proven to work: something it needs was lost", s.Unproven, "bad"
	case s.Failures > 0:
		r.Head, r.HeadAt, r.Mood = plural(s.Failures, "attempt")+" in a row failed, the next is made", s.Next, "bad"
		if s.Failures == 1 {
			r.Head = "The last attempt failed, the next is made"
		}
	case s.Due.IsZero():
		r.Head, r.Mood = "Not planned yet", "work"
	case !s.Due.After(now):
		r.Head, r.HeadAt, r.Mood = "Renewal is due since", s.Due, "work"
	default:
		r.Head, r.HeadAt, r.Mood = "Next renewal", s.Due, "good"
	}
}

// top is what the ladder leads to: the renewal itself.
func (st *standing) top(now time.Time) rungView {
	v := rungView{Kind: assure.AttemptRenewal, Level: -1, Title: "The renewal", Proves: "A certificate for all names was issued, installed, and seen on every address.", On: true, Next: st.State.Next}
	if c := st.claim(assure.SubjectRenewal); c != nil {
		v.Verdict = c.Verdict
	}
	if a := st.newest(assure.AttemptRenewal); a != nil {
		v.Last, v.Outcome = a.Ended, a.Outcome
	}
	v.Marks, v.Running = st.marks(assure.AttemptRenewal)
	if v.Running || !v.Next.After(now) && st.State.Failures == 0 && st.State.Due.After(now) {
		v.Next = time.Time{}
	}
	return v
}

// marksShown is how many attempts stand in a row of marks: as many as the store keeps of each kind.
const marksShown = 20

// marks are the remembered attempts of a kind, the oldest first and the newest at the right end, and whether one runs.
func (st *standing) marks(k assure.AttemptKind) (out []attemptMark, running bool) {
	for _, a := range st.Attempts {
		if a.Kind != k || len(out) == marksShown {
			continue
		}
		m := attemptMark{X: 1 - (float64(len(out))+.5)/marksShown, State: stateOf(a)}
		running = running || m.State == stateRunning
		out = append(out, m)
	}
	slices.Reverse(out)
	return out, running
}

const stateRunning = "running"

// stateOf is the outcome of an attempt, or that it runs.
func stateOf(a assure.Attempt) string {
	if a.Ended.IsZero() {
		return stateRunning
	}
	return cmp.Or(string(a.Outcome), string(assure.Unclear))
}

// MarksText tells a row of marks to whoever does not see it.
func (v rungView) MarksText() string {
	if len(v.Marks) == 0 {
		return "never tried"
	}
	n := map[string]int{}
	for _, m := range v.Marks {
		n[m.State]++
	}
	var parts []string
	for _, s := range []string{string(assure.Done), string(assure.Failed), string(assure.Unclear), string(assure.Skipped), stateRunning} {
		if n[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[s], outcomeWords(s)))
		}
	}
	return fmt.Sprintf("the last %d: %s", len(v.Marks), strings.Join(parts, ", "))
}

// Look is how a rung is drawn.
func (v rungView) Look() string {
	switch {
	case v.Running:
		return "busy"
	case !v.On:
		return "off"
	case v.Verdict == assure.Broken:
		return "broken"
	case v.Verdict == assure.Upheld:
		return "upheld"
	}
	return "unknown"
}

// outcomeWords is how something ended, for people.
func outcomeWords(state string) string {
	switch state {
	case string(assure.Done):
		return "worked"
	case stateRunning:
		return "under way"
	}
	return state
}

// choose picks the attempts that are shown: the last renewals, and of the rehearsals the last of each rung, the last of
// each that failed, and then the newest.
func (r *renewalView) choose(list []assure.Attempt, now time.Time) {
	pick := make([]bool, len(list))
	renewals, rehearsals := 0, 0
	seen := map[string]bool{}
	take := func(i int) {
		if !pick[i] {
			pick[i] = true
			rehearsals++
		}
	}
	for i, a := range list {
		if a.Kind.Level() < 0 {
			if renewals < renewalsShown {
				pick[i] = true
				renewals++
			}
			continue
		}
		for _, key := range []string{string(a.Kind), string(a.Kind) + " " + stateOf(a)} {
			if !seen[key] && (stateOf(a) != string(assure.Done) || !strings.Contains(key, " ")) {
				seen[key] = true
				take(i)
			}
		}
	}
	for i, a := range list {
		if a.Kind.Level() >= 0 && rehearsals < rehearsalsShown {
			take(i)
		}
	}
	opened := map[assure.AttemptKind]bool{}
	for i, a := range list {
		if !pick[i] {
			r.More++
			continue
		}
		v := newAttemptView(a, now)
		// Open is what happens now, and the newest of its kind when it did not work.
		v.Open = v.State == stateRunning || !opened[a.Kind] && v.State != string(assure.Done)
		opened[a.Kind] = true
		if a.Kind.Level() < 0 {
			r.Renewals = append(r.Renewals, v)
		} else {
			r.Rehearsals = append(r.Rehearsals, v)
		}
	}
}

func newAttemptView(a assure.Attempt, now time.Time) attemptView {
	v := attemptView{Attempt: a, State: stateOf(a), Title: kindWords(a.Kind), Cause: a.By, Took: attemptTook(a, now)}
	if a.By == "schedule" {
		v.Cause = "the schedule"
	}
	whole := v.Took
	for _, s := range a.Steps {
		whole = max(whole, s.At.Add(s.Took).Sub(a.Started))
	}
	whole = max(whole, time.Millisecond)
	worked, stopped := 0, ""
	for _, s := range a.Steps {
		x := stepView{Step: s, Title: stepWords(s.Name)}
		x.X = min(.99, max(0, float64(s.At.Sub(a.Started))/float64(whole)))
		x.W = min(1-x.X, max(float64(s.Took)/float64(whole), .008))
		v.Steps = append(v.Steps, x)
		switch s.Outcome {
		case assure.Done:
			worked++
		case assure.Failed, assure.Unclear:
			if stopped == "" {
				stopped = x.Title
			}
		}
	}
	switch {
	case stopped != "":
		v.Said = "at the step " + stopped
	case v.State == stateRunning && len(v.Steps) == 0:
		v.Said = "no step has ended yet"
	case v.State == stateRunning:
		v.Said = "after the step " + v.Steps[len(v.Steps)-1].Title
	default:
		v.Said = plural(worked, "step")
	}
	return v
}

// Word is the outcome for people.
func (v attemptView) Word() string { return outcomeWords(v.State) }

// Glyph names the sign of the outcome.
func (v attemptView) Glyph() string { return glyphOf(v.State) }

// Glyph names the sign of the outcome.
func (v stepView) Glyph() string { return glyphOf(string(v.Outcome)) }

// Word is the outcome for people.
func (v stepView) Word() string { return outcomeWords(string(v.Outcome)) }

func glyphOf(state string) string {
	switch state {
	case string(assure.Done):
		return "upheld"
	case string(assure.Failed):
		return "broken"
	case string(assure.Skipped):
		return "none"
	case stateRunning:
		return "running"
	}
	return "unknown"
}

// brief is a duration of an attempt or a step: short ones in milliseconds and tenths of seconds.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "< 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return assure.Ago(d)
}

// subjectWords names what a claim is about, for people.
func subjectWords(subject string) string {
	switch subject {
	case assure.SubjectRenewal:
		return "the renewal"
	case assure.SubjectIssuance:
		return "the newest certificate"
	case assure.SubjectGrants:
		return "what the permission rests on"
	}
	if t, ok := rungTexts[assure.AttemptKind(subject)]; ok {
		return "rehearsal: " + strings.ToLower(t.title[:1]) + t.title[1:]
	}
	return subject
}

// rehearsedWords tells what a rung brought back, in one line.
func rehearsedWords(f assure.Rehearsed) string {
	title := kindWords(f.Rung)
	worked := 0
	for _, s := range f.Steps {
		switch s.Outcome {
		case assure.Failed, assure.Unclear:
			return fmt.Sprintf("%s %s at the step %s: %s.", title, s.Outcome, stepWords(s.Name), cmp.Or(strings.TrimRight(s.Detail, ". "), "no reason was given"))
		case assure.Done:
			worked++
		}
	}
	if worked == 0 {
		return title + ": nothing could be tried."
	}
	return title + " worked, in " + plural(worked, "step") + "."
}

// renewingWords tells what the books say of a renewal, in one line.
func renewingWords(f assure.Renewing) string {
	const form = "2 Jan 2006 15:04 UTC"
	words := "No certificate has been issued yet."
	if f.Newest != nil {
		words = "The newest certificate, " + short(f.Newest.Fingerprint) + ", is valid until " + f.Newest.NotAfter.UTC().Format(form) + "."
		if f.Installed.IsZero() {
			words += " It was not seen in service yet."
		}
	}
	if len(f.Missing) > 0 {
		words += " It lacks " + strings.Join(f.Missing[:min(3, len(f.Missing))], ", ") + "."
	}
	s := f.State
	switch {
	case !s.Running.IsZero():
		words += " A renewal is under way."
	case s.Failures > 0 && s.LastTrouble != nil:
		words += fmt.Sprintf(" %s in a row failed, the last: %s.", plural(s.Failures, "attempt"), strings.TrimRight(s.LastTrouble.Detail, ". "))
	case !s.Due.IsZero():
		words += " The next renewal is due at " + s.Due.UTC().Format(form) + "."
	}
	if !s.Unproven.IsZero() {
		words += " Something that renewal needs was lost, and a repair is not proven yet."
	}
	return words
}
