package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// pending lists the deliveries that wait, by id.
func (w world) pending(t testing.TB) []int64 {
	t.Helper()
	ids, err := all(w.ctx, w.reader(), func(s scanner) (id int64, err error) { return id, s.Scan(&id) }, `SELECT id FROM delivery WHERE state = 'pending' ORDER BY id`)
	ok(t, err)
	return ids
}

func (w world) only(t testing.TB, q assure.IncidentQuery) assure.Incident {
	t.Helper()
	is, n, err := w.Incidents(w.ctx, q)
	ok(t, err)
	if len(is) != 1 || n != 1 {
		t.Fatalf("%d incidents of %d in all, want one", len(is), n)
	}
	return is[0]
}

// deliver makes a delivery as a channel that always works would.
func (w world) deliver(t testing.TB, id int64) assure.Delivery {
	t.Helper()
	d, took, err := w.Take(w.ctx, id, "w", w.c.now(), w.c.now().Add(time.Minute))
	ok(t, err)
	if !took {
		t.Fatalf("delivery %d cannot be taken", id)
	}
	ok(t, w.Record(w.ctx, assure.Receipt{Delivery: id, Channel: d.Channel, Attempt: d.Attempt, At: w.c.now(), Class: assure.Accepted, Code: 202, ProviderID: fmt.Sprint("p", id)}, assure.DeliverySent, time.Time{}))
	return d
}

// mend looks until the incident is closed.
func (w world) mend(t testing.TB, c assure.Claim) {
	t.Helper()
	for range 5 {
		w.c.advance(time.Minute)
		w.sees(t, c, good(c))
	}
}

func incident(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	w.sees(t, shop, bad())
	i := w.only(t, assure.IncidentQuery{State: assure.Open})
	if i.Stage == assure.StageNone || i.Cause == "" {
		t.Fatalf("incident %+v", i)
	}
	w.c.advance(time.Minute)
	w.sees(t, shop, bad())
	same(t, "the same incident", w.only(t, assure.IncidentQuery{}).ID, i.ID)
	v := must(w.Incident(w.ctx, i.ID, 10))(t)
	same(t, "touched, deliveries", []int{v.Touched, len(v.Touches), len(v.Deliveries)}, []int{1, 1, 2})
	same(t, "touch", []any{v.Touches[0].Claim, v.Touches[0].Certificate}, []any{shop.ID, "shop"})
	cert := must(w.Certificate(w.ctx, "shop", 1, 0))(t)
	same(t, "open incidents of the certificate", cert.Open[0].ID, i.ID)
	w.mend(t, shop)
	i = w.only(t, assure.IncidentQuery{State: assure.Resolved})
	v = must(w.Incident(w.ctx, i.ID, 10))(t)
	same(t, "a resolved incident still says what it touched", []int{v.Touched, len(v.Deliveries)}, []int{1, 4})
	same(t, "open ones", must(w.Certificate(w.ctx, "shop", 1, 0))(t).Row.Incidents, 0)
	for k := 1; k < len(v.Events); k++ {
		if v.Events[k].At.Before(v.Events[k-1].At) {
			t.Fatal("events are not in their order")
		}
	}
	if _, err := w.Incident(w.ctx, "none", 1); !errors.Is(err, assure.ErrNotFound) {
		t.Fatalf("an incident that is not there: %v", err)
	}
	// It breaks again: another incident, though the cause is the same.
	w.c.advance(time.Minute)
	w.sees(t, shop, bad())
	if again := w.only(t, assure.IncidentQuery{State: assure.Open}); again.ID == i.ID {
		t.Fatal("a resolved incident was opened again")
	}
}

func orphans(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop, mail}))
	w.sees(t, shop, bad())
	ok(t, w.Declare(w.ctx, []assure.Claim{mail}))
	same(t, "orphans", must(w.Orphans(w.ctx, 10))(t), []assure.ClaimID{shop.ID})
	same(t, "history of what is no longer declared", len(must(w.History(w.ctx, "shop", 0, 0))(t)), 1)
	cycle(w.ctx, t, w.DB, w.c.now(), []assure.Look{w.look(shop, good(shop))})
	same(t, "looks of what is not declared", w.count(t, "run"), 1)
	ok(t, w.Declare(w.ctx, []assure.Claim{mail, shop}))
	same(t, "orphans once it is declared again", len(must(w.Orphans(w.ctx, 10))(t)), 0)
	if e := w.evidence(t, shop); e != nil {
		t.Fatal("a claim declared again has evidence of before")
	}
	ok(t, w.Declare(w.ctx, []assure.Claim{mail}))
	tx := must(w.Begin(w.ctx))(t)
	ids := must(w.Orphans(w.ctx, 10))(t)
	d := must(tx.Docket(w.ctx, nil, ids))(t)
	ok(t, tx.Apply(w.ctx, nil, assure.Withdraw(d, ids, setting(w.c.now()))))
	ok(t, tx.Commit(w.ctx))
	same(t, "orphans after withdrawing", len(must(w.Orphans(w.ctx, 10))(t)), 0)
	same(t, "closed", w.only(t, assure.IncidentQuery{}).State, assure.Resolved)
}

func outbox(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	w.c.advance(time.Minute)
	w.sees(t, shop, bad())
	ids := w.pending(t)
	same(t, "one delivery for each channel", len(ids), 2)
	id, now := ids[0], w.c.now()
	take := func(owner string, at time.Time) (assure.Delivery, bool) {
		d, took, err := w.Take(w.ctx, id, owner, at, at.Add(30*time.Second))
		ok(t, err)
		return d, took
	}
	if _, took := take("a", now.Add(-time.Second)); took {
		t.Fatal("taken before it was due")
	}
	d, took := take("a", now)
	if !took || d.Attempt != 1 || d.Touched != 1 || d.Incident.ID == "" || d.Notice.Kind != assure.NoticeTrigger {
		t.Fatalf("taken %t: %+v", took, d)
	}
	same(t, "samples", []any{d.Certificates, d.Endpoints}, []any{[]string{"shop"}, []string{shop.Subject}})
	same(t, "at stake, not known from when", d.Stakes, []assure.Stake{{Certificate: "shop"}})
	if _, took := take("b", now.Add(29*time.Second)); took {
		t.Fatal("taken while somebody else holds it")
	}
	// The first process died: its lease runs out.
	d, took = take("b", now.Add(30*time.Second))
	if !took || d.Attempt != 2 {
		t.Fatalf("after the lease: taken %t, attempt %d", took, d.Attempt)
	}
	retry := now.Add(time.Minute)
	r := assure.Receipt{Delivery: id, Channel: d.Channel, Attempt: 2, At: now.Add(31 * time.Second), Class: assure.Temporary, Code: 503, Detail: "busy"}
	for range 2 { // recording twice is recording once
		ok(t, w.Record(w.ctx, r, assure.DeliveryPending, retry))
	}
	if _, took := take("c", retry.Add(-time.Second)); took {
		t.Fatal("taken before the time to try again")
	}
	if d, took = take("c", retry); !took || d.Attempt != 3 {
		t.Fatalf("tried again: taken %t, attempt %d", took, d.Attempt)
	}
	// The answer of the first attempt arrives after all: it was made. What the third says changes nothing.
	ok(t, w.Record(w.ctx, assure.Receipt{Delivery: id, Channel: d.Channel, Attempt: 1, At: now, Class: assure.Accepted, ProviderID: "p1"}, assure.DeliverySent, time.Time{}))
	ok(t, w.Record(w.ctx, assure.Receipt{Delivery: id, Channel: d.Channel, Attempt: 3, At: retry, Class: assure.Denied, Code: 403}, assure.DeliveryFailed, time.Time{}))
	if _, took := take("d", retry.Add(time.Hour)); took {
		t.Fatal("a delivery that was made was taken again")
	}
	v := must(w.Incident(w.ctx, d.Incident.ID, 1))(t)
	same(t, "state, receipts", []any{v.Deliveries[0].State, len(v.Receipts), v.Receipts[1].Detail}, []any{assure.DeliverySent, 3, "busy"})
	if _, took, err := w.Take(w.ctx, 1<<40, "a", now, now); took || err != nil {
		t.Fatalf("a delivery that does not exist: %t, %v", took, err)
	}
	if err := w.Record(w.ctx, assure.Receipt{Delivery: 1 << 40}, assure.DeliverySent, now); !errors.Is(err, assure.ErrNotFound) {
		t.Fatalf("the receipt of a delivery that does not exist: %v", err)
	}
	same(t, "notices of the same id stay one", func() int {
		tx := must(w.Begin(w.ctx))(t)
		n := v.Deliveries[0].Notice
		n.Channels = []string{"another"}
		ok(t, tx.Apply(w.ctx, nil, assure.Changes{Notices: []assure.Notice{n}}))
		ok(t, tx.Commit(w.ctx))
		return w.count(t, "delivery")
	}(), 2)
}

// gathered: what is due later than it was written is not sent before, and waits for its own time only.
func gathered(t *testing.T, w world) {
	i := assure.Incident{ID: "i1", Cause: "role", State: assure.Open, Stage: assure.StagePage, Link: assure.Permission, OpenedAt: epoch}
	n := assure.Notice{
		ID: "n1", Incident: "i1", Kind: assure.NoticeTrigger, Stage: assure.StagePage, Channels: []string{"pager"}, DedupKey: "i1/page",
		At: epoch, DueAt: epoch.Add(10 * time.Second),
	}
	tx := must(w.Begin(w.ctx))(t)
	ok(t, tx.Apply(w.ctx, nil, assure.Changes{Incidents: []assure.Incident{i}, Notices: []assure.Notice{n}}))
	ok(t, tx.Commit(w.ctx))
	id := w.pending(t)[0]
	take := func(now time.Time) bool {
		_, taken, err := w.Take(w.ctx, id, "me", now, now.Add(time.Minute))
		ok(t, err)
		return taken
	}
	same(t, "taken before its time", take(n.DueAt.Add(-time.Millisecond)), false)
	same(t, "taken in its time", take(n.DueAt), true)
}

// stakes: a page names the certificates by the moment from which their clients are refused, each once.
func stakes(t *testing.T, w world) {
	i := assure.Incident{ID: "i1", Cause: "role", State: assure.Open, Stage: assure.StagePage, Link: assure.Permission, OpenedAt: epoch}
	n := assure.Notice{ID: "n1", Incident: "i1", Kind: assure.NoticeTrigger, Stage: assure.StagePage, Channels: []string{"pager"}, DedupKey: "i1/page", At: epoch}
	touch := func(certificate, subject string, stage assure.Stage, hurts time.Time) assure.Touch {
		return assure.Touch{
			Incident: "i1", Claim: assure.NewClaimID(assure.Permission, certificate, subject), Certificate: certificate, Subject: subject,
			Finding: assure.Finding{Stage: stage, HurtsAt: hurts},
		}
	}
	day := func(n int) time.Time { return epoch.AddDate(0, 0, n) }
	changes := assure.Changes{Incidents: []assure.Incident{i}, Notices: []assure.Notice{n}, Touches: []assure.Touch{
		touch("late", "canary", assure.StagePage, day(60)),
		touch("soon", "canary", assure.StageTicket, day(9)),
		touch("soon", "permission", assure.StageTicket, day(3)),
		touch("soon", "static", assure.StageTicket, time.Time{}),
		touch("unknown", "canary", assure.StageOutage, time.Time{}),
		touch("mended", "canary", assure.StagePage, day(1)),
		touch("", "patrol", assure.StagePage, day(1)),
	}}
	changes.Cleared = []assure.Touch{changes.Touches[5]}
	want := []assure.Stake{{Certificate: "soon", HurtsAt: day(3)}, {Certificate: "late", HurtsAt: day(60)}}
	for k := range 7 {
		name := fmt.Sprint("more", k)
		changes.Touches = append(changes.Touches, touch(name, "canary", assure.StagePage, day(70+k)))
		want = append(want, assure.Stake{Certificate: name, HurtsAt: day(70 + k)})
	}
	write := func(c assure.Changes) {
		tx := must(w.Begin(w.ctx))(t)
		ok(t, tx.Apply(w.ctx, nil, c))
		ok(t, tx.Commit(w.ctx))
	}
	write(changes)
	d := w.deliver(t, w.pending(t)[0])
	same(t, "at stake", d.Stakes, append(want[:9:9], assure.Stake{Certificate: "unknown"}))
	same(t, "what is not looked at from outside is no endpoint", len(d.Endpoints), 0)
	same(t, "the worst first, as before", d.Certificates[:2], []string{"unknown", "late"})
	write(assure.Changes{Touches: []assure.Touch{touch("more8", "canary", assure.StageTicket, day(90))}})
	want = append(want, assure.Stake{Certificate: "more8", HurtsAt: day(90)})
	same(t, "of more than ten, told again", must(w.Firing(w.ctx, "pager"))(t)[0].Stakes, want)
}

func ordered(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	w.sees(t, shop, bad())
	trigger := w.pending(t)
	w.mend(t, shop)
	all := w.pending(t)
	same(t, "triggers and resolves wait", len(all), 4)
	for _, id := range all[2:] {
		if _, took, err := w.Take(w.ctx, id, "w", w.c.now(), w.c.now().Add(time.Minute)); took || err != nil {
			t.Fatalf("the resolve overtook the trigger (%v)", err)
		}
	}
	same(t, "triggers only are swept", must(w.Sweep(w.ctx, w.c.now()))(t), 2)
	same(t, "swept again at once", must(w.Sweep(w.ctx, w.c.now()))(t), 0)
	first := w.deliver(t, trigger[0])
	d := w.deliver(t, all[2])
	same(t, "resolve after its trigger", []any{d.Channel, d.Notice.Kind, d.ProviderID}, []any{first.Channel, assure.NoticeResolve, fmt.Sprint("p", trigger[0])})
	same(t, "what a resolved incident touched", d.Certificates, []string{"shop"})
	if _, took, _ := w.Take(w.ctx, all[3], "w", w.c.now(), w.c.now().Add(time.Minute)); took {
		t.Fatal("the other channel's resolve overtook its trigger")
	}
}

func acknowledges(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	w.sees(t, shop, bad())
	id := w.only(t, assure.IncidentQuery{}).ID
	for range 2 {
		i := must(w.Acknowledge(w.ctx, id, "ana", epoch.Add(time.Minute)))(t)
		same(t, "acknowledged", []any{i.State, i.AckedBy, i.AckedAt}, []any{assure.Acked, "ana", epoch.Add(time.Minute)})
	}
	same(t, "still among the open ones", w.only(t, assure.IncidentQuery{State: assure.Open}).State, assure.Acked)
	n := 0
	for _, e := range must(w.Incident(w.ctx, id, 1))(t).Events {
		if e.Kind == "acknowledged" {
			n++
		}
	}
	same(t, "events of it", n, 1)
	log := must(w.AuditLog(w.ctx, 10, 0))(t)
	same(t, "audit", []any{len(log), log[0].Who, log[0].Action, log[0].Object}, []any{2, "ana", "acknowledge", string(id)})
	if _, err := w.Acknowledge(w.ctx, "none", "ana", epoch); !errors.Is(err, assure.ErrNotFound) {
		t.Fatalf("acknowledging what is not there: %v", err)
	}
}

func accounts(t *testing.T, w world) {
	u := assure.User{Name: "ana", PasswordHash: "$argon2id$1", Created: epoch}
	ok(t, w.PutUser(w.ctx, u))
	u.PasswordHash = "$argon2id$2"
	ok(t, w.PutUser(w.ctx, u))
	same(t, "user", must(w.User(w.ctx, "ana"))(t), u)
	same(t, "users", must(w.Users(w.ctx))(t), []assure.User{u})
	s := assure.Session{TokenHash: []byte{0, 1, 2}, User: "ana", CSRF: "c", Created: epoch, Expires: epoch.Add(time.Hour)}
	ok(t, w.PutSession(w.ctx, s))
	same(t, "session", must(w.Session(w.ctx, s.TokenHash))(t), s)
	ok(t, w.DeleteSession(w.ctx, s.TokenHash))
	tok := assure.Token{Name: "ci", TokenHash: []byte{9}, Scope: "read", Created: epoch}
	ok(t, w.PutToken(w.ctx, tok))
	same(t, "token", must(w.Token(w.ctx, []byte{9}))(t), tok)
	same(t, "tokens", must(w.Tokens(w.ctx))(t), []assure.Token{tok})
	ok(t, w.DeleteToken(w.ctx, "ci"))
	for what, err := range map[string]error{
		"user":    second(w.User(w.ctx, "bo")),
		"session": second(w.Session(w.ctx, s.TokenHash)),
		"token":   second(w.Token(w.ctx, []byte{9})),
		"delete":  w.DeleteToken(w.ctx, "ci"),
	} {
		if !errors.Is(err, assure.ErrNotFound) {
			t.Fatalf("%s that is not there: %v, want not found", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func prunes(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop, mail}))
	w.sees(t, mail, good(mail))
	w.sees(t, shop, bad())
	for _, id := range w.pending(t) {
		w.deliver(t, id)
	}
	w.mend(t, shop)
	ok(t, w.PutSession(w.ctx, assure.Session{TokenHash: []byte{1}, Expires: epoch.Add(time.Hour)}))
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	same(t, "pruned too soon", must(w.Prune(w.ctx, epoch.Add(time.Minute), 100))(t), 0)
	for must(w.Prune(w.ctx, w.c.advance(401*24*time.Hour), 100))(t) > 0 {
	}
	for table, n := range map[string]int{"incident": 0, "touch": 0, "event": 0, "notice": 0, "delivery": 0, "receipt": 0, "session": 0, "run": 1, "claim": 1, "cert": 3} {
		same(t, "rows of "+table, w.count(t, table), n)
	}
	same(t, "current evidence", w.evidence(t, shop).Fact, assure.Fact(good(shop)))
}

func queue(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	ctx, stop := context.WithCancel(w.ctx)
	delivered, shards, done := make(chan int64, 10), make(chan int, 10), make(chan error, 1)
	inFlight, release := make(chan struct{}), make(chan struct{})
	var finished atomic.Bool
	go func() {
		done <- w.Run(ctx, Work{
			Workers: 2,
			Deliver: func(ctx context.Context, id int64) error {
				d, took, err := w.Take(ctx, id, "w", w.c.now(), w.c.now().Add(time.Minute))
				if err != nil || !took {
					return err
				}
				err = w.Record(ctx, assure.Receipt{Delivery: id, Channel: d.Channel, Attempt: d.Attempt, At: w.c.now(), Class: assure.Accepted}, assure.DeliverySent, time.Time{})
				delivered <- id
				return err
			},
			Shard: func(ctx context.Context, shard int) error {
				if shard == 7 {
					close(inFlight)
					<-release
					finished.Store(ctx.Err() == nil)
				}
				shards <- shard
				return nil
			},
		})
	}()
	ok(t, w.EnqueueShards(w.ctx, []int{3}))
	same(t, "shard", <-shards, 3)
	// The queue runs now: from the commit to the channel it takes well under a second, plus the noise of this machine.
	started := time.Now()
	w.sees(t, shop, bad())
	<-delivered
	<-delivered
	if took := time.Since(started); took > 10*time.Second {
		t.Fatalf("two deliveries took %s", took)
	}
	w.mend(t, shop)
	<-delivered
	<-delivered
	same(t, "pending", len(w.pending(t)), 0)
	if err := w.EnqueueShards(w.ctx, []int{Shards}); err == nil {
		t.Fatal("a shard that does not exist was enqueued")
	}
	// Asked to end, it lets the running job finish, with its context alive.
	ok(t, w.EnqueueShards(w.ctx, []int{7, 7}))
	<-inFlight
	stop()
	close(release)
	ok(t, <-done)
	same(t, "drained", finished.Load(), true)
}

func rollsBack(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	tx := must(w.Begin(w.ctx))(t)
	must(cycleIn(w.ctx, tx, w.c.now(), []assure.Look{w.look(shop, bad())}))(t)
	ok(t, tx.Rollback(w.ctx))
	ok(t, tx.Rollback(w.ctx))
	for _, table := range []string{"run", "cert", "incident", "notice", "delivery", "event", "touch", "river_job"} {
		same(t, "rows of "+table, w.count(t, table), 0)
	}
	tx = must(w.Begin(w.ctx))(t)
	must(cycleIn(w.ctx, tx, w.c.now(), []assure.Look{w.look(shop, bad())}))(t)
	ok(t, tx.Commit(w.ctx))
	ok(t, tx.Rollback(w.ctx))
	same(t, "committed", w.count(t, "incident"), 1)
}

// lostCommit is the fault that no transaction can rule out: it failed, or it happened and only the answer was lost. Done
// again, both end in the same state: one run, one incident, one notice.
func lostCommit(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	lost := errors.New("connection lost")
	real := w.commit
	for _, fault := range []func(*sql.Tx) error{
		func(tx *sql.Tx) error { return errors.Join(lost, tx.Rollback()) },
		func(tx *sql.Tx) error { return errors.Join(lost, tx.Commit()) },
		real,
	} {
		w.commit = fault
		tx := must(w.Begin(w.ctx))(t)
		must(cycleIn(w.ctx, tx, w.c.now(), []assure.Look{w.look(shop, bad())}))(t)
		if err := tx.Commit(w.ctx); err != nil && !errors.Is(err, lost) {
			t.Fatal(err)
		}
		ok(t, tx.Rollback(w.ctx))
	}
	for table, n := range map[string]int{"run": 1, "incident": 1, "notice": 1, "delivery": 2, "touch": 1} {
		same(t, "rows of "+table, w.count(t, table), n)
	}
}
