package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// What was stopped or left out is told as that, and not as a renewal that would fail, nor as one that worked; and what is
// to be done is said once.
func TestTellEnds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	reload := &assure.Trouble{Reason: assure.InstallFailed, Class: assure.TroubleBroken, Detail: "the reload command ended with exit status 3"}
	for name, c := range map[string]struct {
		attempt assure.Attempt
		says    string
		not     []string
		once    string
	}{
		"a rehearsal that was stopped": {
			attempt: assure.Attempt{Kind: assure.RehearseCanary, Outcome: assure.Skipped, Steps: []assure.Step{
				{Name: assure.StepPresent, Outcome: assure.Done}, {Name: assure.StepPropagation, Outcome: assure.Failed, Detail: "wait for the record: it was stopped"},
			}},
			says: "was stopped, and proves nothing, after 3s", not: []string{"would not work", "left out"},
		},
		"a renewal that was stopped": {
			attempt: assure.Attempt{Kind: assure.AttemptRenewal, Outcome: assure.Unclear, Steps: []assure.Step{
				{Name: assure.StepSeen, Outcome: assure.Failed, Trouble: &assure.Trouble{Reason: assure.ServedStale, Class: assure.TroubleLagging, Detail: "1 of 1 addresses do not serve it"}},
			}},
			says: "was stopped, and will be taken up again, after 3s", not: []string{"was not renewed"},
		},
		"a rung that is not configured": {
			attempt: assure.Attempt{Kind: assure.RehearseFull, Outcome: assure.Done, Steps: []assure.Step{
				{Name: assure.StepOrder, Outcome: assure.Skipped, Detail: "no shadow target is configured"},
			}},
			says: "was left out in 3s", not: []string{"worked"},
		},
		"a reload that fails": {
			attempt: assure.Attempt{Kind: assure.AttemptRenewal, Outcome: assure.Failed, Steps: []assure.Step{
				{Name: assure.StepReload, Target: "/bin/sh", Outcome: assure.Failed, Trouble: reload}, {Name: assure.StepRollback, Outcome: assure.Done},
			}},
			says: "did not work in 3s", once: "→",
		},
		"a limit of the authority's": {
			attempt: assure.Attempt{Kind: assure.AttemptRenewal, Outcome: assure.Failed, Steps: []assure.Step{
				{Name: assure.StepOrder, Outcome: assure.Failed, Trouble: &assure.Trouble{Reason: assure.LimitReached, Class: assure.TroubleThrottled, RetryAfter: 10 * time.Minute, Detail: "too many new orders"}},
			}},
			says: "Nothing, if it passes", not: []string{"--force"}, once: "→",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := c.attempt
			a.ID, a.Certificate, a.Started, a.Ended = 1, "shop", now.Add(-3*time.Second), now
			var out bytes.Buffer
			newTeller(output{Writer: &out, columns: 100}).tell(a, now)
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("does not say %q:\n%s", c.says, &out)
			}
			for _, n := range c.not {
				if strings.Contains(out.String(), n) {
					t.Errorf("says %q:\n%s", n, &out)
				}
			}
			if c.once != "" && strings.Count(out.String(), c.once) != 1 {
				t.Errorf("%q is not there once:\n%s", c.once, &out)
			}
		})
	}
}
