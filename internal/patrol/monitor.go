package patrol

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Monitor looks at the patrol itself. It is the check of the monitor link.
type Monitor struct {
	Patrol *Patrol
	// Control looks at the endpoint that is bad on purpose, along the same way as any other endpoint; nil when it is
	// switched off.
	Control func(ctx context.Context) assure.Served
	// Beat tells the outside party; Withhold tells it that something is wrong, where it can be told. Nil without one.
	Beat     func(ctx context.Context, s assure.Sight) assure.Heard
	Withhold func(ctx context.Context, why string) assure.Heard
	// Grace is how long after the start the first round may take before its being unfinished withholds a heartbeat
	// (default 15 min). Until then there is nothing to tell.
	Grace time.Duration
	// Slack is how long a notice may wait beyond its time before it counts as backlog (default 2 min).
	Slack time.Duration

	started atomic.Int64 // Unix microseconds of the first look; 0 before
	rounded atomic.Bool  // a round was finished since the start
}

// Look returns the fact for a monitor claim, by its subject.
func (m *Monitor) Look(ctx context.Context, c assure.Claim) assure.Fact {
	switch c.Subject {
	case assure.SubjectControl:
		if m.Control == nil {
			return nil
		}
		return m.Control(ctx)
	case assure.SubjectHeartbeat:
		return m.heartbeat(ctx)
	default:
		s, err := m.coverage(ctx)
		if err != nil {
			return assure.Blind{Detail: "the coverage of the patrol could not be read: " + err.Error()}
		}
		return s
	}
}

func (m *Monitor) coverage(ctx context.Context) (assure.Sight, error) {
	slack := m.Slack
	if slack <= 0 {
		slack = 2 * time.Minute
	}
	s, err := m.Patrol.Ledger.Coverage(ctx, m.Patrol.Now(), slack)
	if err != nil {
		return assure.Sight{}, err
	}
	s.Tried, s.Reached = m.Patrol.sight.counts()
	return s, nil
}

// heartbeat goes out only when this cycle proved real work: everything expected was observed, the evidence is young
// enough, the control was detected and no notice waits beyond its time. Else it is withheld, and says why.
func (m *Monitor) heartbeat(ctx context.Context) assure.Fact {
	if m.Beat == nil {
		return nil
	}
	now := m.Patrol.Now()
	m.started.CompareAndSwap(0, now.UnixMicro())
	s, err := m.coverage(ctx)
	if err == nil && s.Expected > 0 && s.Observed >= s.Expected {
		m.rounded.Store(true)
	}
	if grace := cmp.Or(m.Grace, 15*time.Minute); err == nil && s.Expected > 0 && !m.rounded.Load() && now.Sub(time.UnixMicro(m.started.Load())) < grace {
		return nil
	}
	why := ""
	switch {
	case err != nil:
		why = "the ledger could not be read: " + err.Error()
	case s.Expected == 0:
		why = "nothing is watched"
	case s.Observed < s.Expected:
		why = fmt.Sprintf("%d of %d endpoints have no fresh evidence", s.Expected-s.Observed, s.Expected)
	case s.Backlog > 0:
		why = fmt.Sprintf("%d notices wait beyond their time", s.Backlog)
	case m.Patrol.sight.blind(m.Patrol.Now()) != "":
		why = m.Patrol.sight.blind(m.Patrol.Now())
	case m.Control != nil && !controlDetected(m.Control(ctx), m.Patrol.Now()):
		why = "the control endpoint was not found to be bad"
	}
	if why == "" {
		return m.Beat(ctx, s)
	}
	h := assure.Heard{}
	if m.Withhold != nil {
		h = m.Withhold(ctx, why)
	}
	h.Held = why
	return h
}

func controlDetected(s assure.Served, now time.Time) bool {
	j := assure.Judge(assure.Case{
		Claim:    assure.Claim{Link: assure.Monitor, Subject: assure.SubjectControl, Declared: now, Every: time.Minute},
		Evidence: &assure.Evidence{Fact: s, FirstSeen: now, LastSeen: now, Count: 1},
	}, assure.Setting{Now: now})
	return j.Verdict == assure.Upheld
}
