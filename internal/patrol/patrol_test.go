package patrol

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// memory is a ledger in memory with one shard. It is able to fail in both ways: before a commit, and after one.
type memory struct {
	mu        sync.Mutex
	claims    map[assure.ClaimID]assure.Claim
	next      map[assure.ClaimID]time.Time
	evidence  map[assure.ClaimID]*assure.Evidence
	prior     map[assure.ClaimID][]assure.Finding
	judgedAt  map[assure.ClaimID]time.Time
	incidents map[assure.IncidentID]assure.Incident
	touches   []assure.Touch
	notices   map[string]assure.Notice
	leased    bool
	clock     func() time.Time

	conflicts     int   // commits to refuse with ErrConflict
	failHappened  error // error to return from a commit that took place
	declareFails  error
	commits       int
	releaseCalled int
}

func newMemory() *memory {
	return &memory{
		claims: map[assure.ClaimID]assure.Claim{}, next: map[assure.ClaimID]time.Time{}, evidence: map[assure.ClaimID]*assure.Evidence{},
		prior: map[assure.ClaimID][]assure.Finding{}, judgedAt: map[assure.ClaimID]time.Time{}, incidents: map[assure.IncidentID]assure.Incident{}, notices: map[string]assure.Notice{},
	}
}

func (m *memory) Declare(_ context.Context, claims []assure.Claim) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.declareFails != nil {
		return m.declareFails
	}
	m.claims = map[assure.ClaimID]assure.Claim{}
	for _, c := range claims {
		m.claims[c.ID] = c
		if now := m.clock(); m.next[c.ID].After(now.Add(2 * time.Hour)) {
			m.next[c.ID] = now // planned by a clock that ran ahead
		}
	}
	return nil
}

func (m *memory) Orphans(_ context.Context, _ int) ([]assure.ClaimID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []assure.ClaimID
	for _, t := range m.touches {
		if _, ok := m.claims[t.Claim]; !ok && m.incidents[t.Incident].State != assure.Resolved {
			out = append(out, t.Claim)
		}
	}
	return out, nil
}

func (m *memory) Lease(context.Context, string, time.Time, time.Duration, int) ([]int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leased {
		return nil, nil
	}
	m.leased = true
	return []int{0}, nil
}

func (m *memory) Extend(context.Context, string, time.Time, time.Duration) error { return nil }

func (m *memory) Due(_ context.Context, _ int, now time.Time) ([]assure.Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []assure.Claim
	for id, c := range m.claims {
		if !m.next[id].After(now) {
			out = append(out, c)
		}
	}
	return out, nil
}

func (m *memory) Release(context.Context, int, string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leased = false
	m.releaseCalled++
	return nil
}

func (m *memory) Stale(_ context.Context, now time.Time, _ int) ([]assure.ClaimID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []assure.ClaimID
	for id, c := range m.claims {
		since := c.Declared
		if ev := m.evidence[id]; ev != nil {
			since = ev.LastSeen
		}
		if now.Sub(since) > c.MaxAge() && now.Sub(m.judgedAt[id]) > c.MaxAge() {
			out = append(out, id)
		}
	}
	return out, nil
}

func (m *memory) Coverage(_ context.Context, now time.Time, _ time.Duration) (assure.Sight, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var s assure.Sight
	for id, c := range m.claims {
		if c.Link == assure.Serving {
			s.Expected++
			if ev := m.evidence[id]; ev != nil && now.Sub(ev.LastSeen) <= c.MaxAge() {
				s.Observed++
			}
		}
	}
	return s, nil
}

func (m *memory) Begin(context.Context) (Tx, error) { m.mu.Lock(); return &memoryTx{memory: m}, nil }

type memoryTx struct {
	*memory
	undo []func()
	over bool
}

func (t *memoryTx) Record(_ context.Context, looks []assure.Look) error {
	for _, l := range looks {
		old := t.evidence[l.Claim]
		ev := &assure.Evidence{Claim: l.Claim, Fact: l.Fact, Observer: l.Observer, FirstSeen: l.At, LastSeen: l.At, Count: 1}
		if old != nil && old.Fact.Key() == l.Fact.Key() {
			ev.FirstSeen, ev.Count = old.FirstSeen, old.Count+1
		}
		t.evidence[l.Claim] = ev
		t.undo = append(t.undo, func() { t.evidence[l.Claim] = old })
	}
	return nil
}

func (t *memoryTx) Cases(_ context.Context, ids []assure.ClaimID) ([]assure.Case, error) {
	var out []assure.Case
	for _, id := range ids {
		if c, ok := t.claims[id]; ok {
			out = append(out, assure.Case{Claim: c, Evidence: t.evidence[id], Prior: t.prior[id]})
		}
	}
	return out, nil
}

func (t *memoryTx) Docket(_ context.Context, causes []string, ids []assure.ClaimID) (assure.Docket, error) {
	d := assure.Docket{Elsewhere: map[assure.IncidentID]int{}}
	wanted := map[assure.IncidentID]bool{}
	for _, touch := range t.touches {
		if slices.Contains(ids, touch.Claim) {
			d.Touches = append(d.Touches, touch)
			wanted[touch.Incident] = true
		} else {
			d.Elsewhere[touch.Incident]++
		}
	}
	for _, i := range t.incidents {
		if i.State != assure.Resolved && (wanted[i.ID] || slices.Contains(causes, i.Cause)) {
			d.Incidents = append(d.Incidents, i)
		}
	}
	return d, nil
}

func (t *memoryTx) Apply(_ context.Context, judged []assure.Judged, ch assure.Changes) error {
	t.undo = append(t.undo, func() {}) // what follows is applied only if the commit is not refused
	if t.conflicts > 0 {
		return nil
	}
	for _, j := range judged {
		t.prior[j.Claim.ID], t.judgedAt[j.Claim.ID] = j.Findings, t.clock()
		if !j.Next.IsZero() {
			t.next[j.Claim.ID] = j.Next
		}
	}
	for _, i := range ch.Incidents {
		t.incidents[i.ID] = i
	}
	for _, n := range ch.Touches {
		t.touches = slices.DeleteFunc(t.touches, func(o assure.Touch) bool { return o.Incident == n.Incident && o.Claim == n.Claim })
		t.touches = append(t.touches, n)
	}
	for _, n := range ch.Cleared {
		t.touches = slices.DeleteFunc(t.touches, func(o assure.Touch) bool { return o.Incident == n.Incident && o.Claim == n.Claim })
	}
	for _, n := range ch.Notices {
		t.notices[n.ID] = n
	}
	return nil
}

func (t *memoryTx) Commit(context.Context) error {
	if t.conflicts > 0 {
		t.conflicts--
		return assure.ErrConflict
	}
	t.over = true
	t.commits++
	err := t.failHappened
	t.failHappened = nil
	t.mu.Unlock()
	return err
}

func (t *memoryTx) Rollback(context.Context) error {
	if !t.over {
		t.over = true
		for _, u := range slices.Backward(t.undo) {
			u()
		}
		t.mu.Unlock()
	}
	return nil
}

type claims []assure.Claim

func (c claims) Claims(context.Context, time.Time) ([]assure.Claim, error) { return c, nil }

func endpoint(name string) assure.Claim {
	return assure.Claim{ID: assure.NewClaimID(assure.Serving, name, name), Link: assure.Serving, Certificate: name, Subject: name, Declared: start, Every: time.Minute}
}

type walk struct {
	*Patrol
	ledger *memory
	now    time.Time
}

func newWalk(t *testing.T, look CheckFunc, declared ...assure.Claim) *walk {
	t.Helper()
	w := &walk{ledger: newMemory(), now: start}
	w.ledger.clock = func() time.Time { return w.now }
	w.Patrol = New(Options{
		Ledger: w.ledger, Checks: map[assure.Link]Check{assure.Serving: look}, Now: func() time.Time { return w.now }, Owner: "test", Observer: "test",
		Setting: func() assure.Setting {
			return assure.Setting{DefaultRoute: "sre", Routes: map[string][]string{"sre": {"pager"}}}
		},
		Enqueue: func(ctx context.Context, shards []int) error {
			for _, s := range shards {
				if err := w.Shard(ctx, s); err != nil {
					return err
				}
			}
			return nil
		},
	})
	if err := w.Declare(t.Context(), claims(declared)); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *walk) pass(t *testing.T) {
	t.Helper()
	if _, err := w.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func expiredFact() assure.Served {
	c := assure.Cert{Fingerprint: "x", Names: []string{"x"}, NotBefore: start.Add(-90 * 24 * time.Hour), NotAfter: start.Add(-time.Hour)}
	return assure.Served{
		Certs: []assure.Cert{c}, Sightings: []assure.Sighting{{Address: "192.0.2.1:443"}},
		Chains: []assure.Chain{{Certs: []string{"x"}, NameMatches: true, ServerAuth: true, Paths: []assure.Path{{NotBefore: c.NotBefore, NotAfter: c.NotAfter, LimitedBy: "x"}}}},
	}
}

func TestOnePassFromLookToNotice(t *testing.T) {
	w := newWalk(t, func(context.Context, assure.Claim) assure.Fact { return expiredFact() }, endpoint("a.example"), endpoint("b.example"))
	w.pass(t)
	if n := len(w.ledger.notices); n != 1 {
		t.Errorf("%d notices for one leaf on two endpoints, want 1", n)
	}
	w.now = w.now.Add(time.Hour)
	w.pass(t)
	if n := len(w.ledger.notices); n != 1 {
		t.Errorf("%d notices after looking again, want 1", n)
	}
}

func TestAPanicIsThatClaimsFact(t *testing.T) {
	w := newWalk(t, func(_ context.Context, c assure.Claim) assure.Fact {
		if c.Subject == "bad.example" {
			panic("parser bug")
		}
		return expiredFact()
	}, endpoint("bad.example"), endpoint("good.example"))
	w.pass(t)
	bad := w.ledger.evidence[endpoint("bad.example").ID]
	if b, ok := bad.Fact.(assure.Blind); !ok || !strings.Contains(b.Detail, "parser bug") {
		t.Errorf("fact of the panicking check: %#v", bad.Fact)
	}
	if w.ledger.evidence[endpoint("good.example").ID] == nil {
		t.Error("the other endpoint was not looked at")
	}
}

func TestACommitIsDoneAgain(t *testing.T) {
	w := newWalk(t, func(context.Context, assure.Claim) assure.Fact { return expiredFact() }, endpoint("a.example"))
	w.ledger.conflicts = 3
	var log bytes.Buffer
	w.Logger = slog.New(slog.NewTextHandler(&log, nil))
	w.pass(t)
	if n := strings.Count(log.String(), "incident opened"); n != 1 {
		t.Errorf("the log tells %d times of one incident, and three were never written down:\n%s", n, &log)
	}
	ev := w.ledger.evidence[endpoint("a.example").ID]
	if ev == nil || ev.Count != 1 || len(w.ledger.notices) != 1 {
		t.Errorf("after three conflicts: evidence %+v, %d notices; want one look and one notice", ev, len(w.ledger.notices))
	}
}

func TestACommitThatFailedButHappenedTellsNobodyTwice(t *testing.T) {
	w := newWalk(t, func(context.Context, assure.Claim) assure.Fact { return expiredFact() }, endpoint("a.example"))
	w.ledger.failHappened = fmt.Errorf("connection lost")
	if _, err := w.Tick(t.Context()); err == nil {
		t.Error("the error is swallowed")
	}
	if w.ledger.leased {
		t.Error("the shard is still leased")
	}
	for range 3 {
		w.now = w.now.Add(time.Minute)
		w.pass(t)
	}
	if n := len(w.ledger.notices); n != 1 {
		t.Errorf("%d notices, want 1", n)
	}
}

func TestSilenceIsAFinding(t *testing.T) {
	w := newWalk(t, func(context.Context, assure.Claim) assure.Fact { return nil }, endpoint("a.example"))
	w.pass(t)
	w.now = w.now.Add(20 * 24 * time.Hour)
	if n, err := w.Scan(t.Context()); err != nil || n != 1 {
		t.Fatalf("scan: %d, %v", n, err)
	}
	if len(w.ledger.notices) != 1 {
		t.Error("nobody is told that nobody looks")
	}
}

func TestAClaimTakenOutOfTheConfigurationLeavesItsIncident(t *testing.T) {
	w := newWalk(t, func(context.Context, assure.Claim) assure.Fact { return expiredFact() }, endpoint("a.example"))
	w.pass(t)
	if err := w.Declare(t.Context(), claims{}); err != nil {
		t.Fatal(err)
	}
	for _, i := range w.ledger.incidents {
		if i.State != assure.Resolved || !strings.Contains(i.Resolution, "no longer declared") {
			t.Errorf("incident %s: %q", i.State, i.Resolution)
		}
	}
}

func TestWhenNothingAnswersTheFaultIsOurs(t *testing.T) {
	down := func(context.Context, assure.Claim) assure.Fact {
		return assure.Served{Sightings: []assure.Sighting{{Address: "192.0.2.1:443", Chain: -1, Failure: assure.Timeout, At: assure.AtConnect}}}
	}
	w := newWalk(t, down, endpoint("a.example"), endpoint("b.example"), endpoint("c.example"))
	w.pass(t)
	var causes []string
	for _, i := range w.ledger.incidents {
		causes = append(causes, i.Cause)
	}
	if !slices.Equal(causes, []string{"blind"}) {
		t.Errorf("three silent hosts open incidents %v, want the one that we are blind", causes)
	}
}

func TestLooksAgainWhenTheJudgementWouldChange(t *testing.T) {
	leaf := assure.Cert{NotBefore: start.Add(-2 * time.Minute), NotAfter: start.Add(time.Minute)}
	c := assure.Case{Claim: endpoint("a.example"), Evidence: &assure.Evidence{Count: 9}}
	c.Claim.Every = time.Hour
	at := next(c, assure.Judgement{Verdict: assure.Upheld, ValidUntil: leaf.NotAfter, Leaf: &leaf}, assure.Setting{Now: start})
	if want := leaf.NotAfter.Add(time.Second); at.After(want) {
		t.Errorf("looks again at %v, after the expiry at %v", at, leaf.NotAfter)
	}
	first := next(assure.Case{Claim: c.Claim, Evidence: &assure.Evidence{Count: 1}}, assure.Judgement{Verdict: assure.Upheld}, assure.Setting{Now: start})
	if d := first.Sub(start); d < 30*time.Minute || d > time.Hour {
		t.Errorf("first look repeated after %v, want spread over the second half of an hour", d)
	}
}

func TestHeartbeatOnlyAfterRealWork(t *testing.T) {
	w := newWalk(t, func(context.Context, assure.Claim) assure.Fact { return expiredFact() }, endpoint("a.example"))
	beats := 0
	m := &Monitor{
		Patrol:  w.Patrol,
		Beat:    func(context.Context, assure.Sight) assure.Heard { beats++; return assure.Heard{OK: true} },
		Control: func(context.Context) assure.Served { return expiredFact() },
	}
	beat := func() assure.Heard {
		return m.Look(t.Context(), assure.Claim{Link: assure.Monitor, Subject: assure.SubjectHeartbeat}).(assure.Heard)
	}
	if f := m.Look(t.Context(), assure.Claim{Link: assure.Monitor, Subject: assure.SubjectHeartbeat}); f != nil || beats != 0 {
		t.Errorf("something is told before the first round is over: %+v", f)
	}
	w.now = w.now.Add(20 * time.Minute)
	if h := beat(); h.Held == "" || beats != 0 {
		t.Errorf("the first round takes too long, and nobody is told: %+v", h)
	}
	w.pass(t)
	if h := beat(); h.Held != "" || beats != 1 {
		t.Errorf("withheld after a sound cycle: %+v", h)
	}
	w.now = w.now.Add(time.Hour)
	if h := beat(); h.Held == "" || beats != 1 {
		t.Errorf("sent although the evidence is stale: %+v", h)
	}
	w.pass(t)
	m.Control = func(context.Context) assure.Served { return assure.Served{} }
	if h := beat(); !strings.Contains(h.Held, "control") || beats != 1 {
		t.Errorf("sent although the control was not seen: %+v", h)
	}
}
