package patrol

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Source declares what must stay true.
type Source interface {
	// Claims returns everything that is to be watched, at now. An error leaves the claims that were declared before.
	Claims(ctx context.Context, now time.Time) ([]assure.Claim, error)
}

// Check looks at claims of one link. It never judges.
type Check interface {
	// Look returns what it saw; nil when there is nothing to look at for this claim. It may be called concurrently and
	// must return soon after ctx ends.
	Look(ctx context.Context, c assure.Claim) assure.Fact
}

// CheckFunc is a function that looks.
type CheckFunc func(ctx context.Context, c assure.Claim) assure.Fact

// Look calls f.
func (f CheckFunc) Look(ctx context.Context, c assure.Claim) assure.Fact { return f(ctx, c) }

// Options of a patrol. Ledger, Checks, Setting and Now are required.
type Options struct {
	Ledger Ledger
	// Checks are chosen by the link of a claim; a link without a check is never looked at, and its claims go stale.
	Checks map[assure.Link]Check
	// Setting gives the policy and the routes in force; Now and Blind are filled in by the patrol.
	Setting func() assure.Setting
	// Promised returns what is known of a declared certificate from elsewhere than looking: the names it must hold, and
	// the newest one known to have been issued, or why that is not known although it should be. It is called while judging
	// and must not block. May be nil.
	Promised func(certificate string) (names []string, issued *assure.Cert, problem string)
	// Enqueue hands leased shards to whatever runs [Patrol.Shard].
	Enqueue func(ctx context.Context, shards []int) error
	Now     func() time.Time
	Logger  *slog.Logger
	// Owner names this process in leases; Observer names it in evidence.
	Owner    string
	Observer string
	// Concurrency is how many looks run at once (default 200).
	Concurrency int
	// Lease is how long after the death of a process its shards are another's (default 20 s). A living one extends it.
	Lease time.Duration
	// Pass is how long the looks at one shard may take (default 60 s). Those that are not over by then are left for the
	// next pass.
	Pass time.Duration
	// Shards is how many shards may be in the executor at once (default 32).
	Shards int
	// Changed is called after each commit that changed what people see. It must not block.
	Changed func()
}

// Patrol walks. Safe for concurrent use.
type Patrol struct {
	Options
	slots chan struct{}
	sight sight

	ticked atomic.Int64 // Unix microseconds of the last tick that the ledger answered

	mu       sync.Mutex
	inFlight map[int]time.Time // shards handed to the executor, and when they count as lost by it
	extended time.Time         // when leases were last extended
	walked   int64             // Unix microseconds of the last tick, by the clock on the wall
	heal     bool              // the clock was set back, and what is planned is not put right yet

	declaring sync.Mutex
	source    Source // declared last
}

// New returns a patrol that does nothing until it is told to.
func New(o Options) *Patrol {
	if o.Concurrency <= 0 {
		o.Concurrency = 200
	}
	if o.Lease <= 0 {
		o.Lease = 20 * time.Second
	}
	if o.Pass <= 0 {
		o.Pass = time.Minute
	}
	if o.Shards <= 0 {
		o.Shards = 32
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	return &Patrol{Options: o, slots: make(chan struct{}, o.Concurrency), inFlight: map[int]time.Time{}}
}

// Declare makes a source's claims the ones that are watched, and takes those that are gone out of incidents.
func (p *Patrol) Declare(ctx context.Context, src Source) error {
	p.declaring.Lock()
	defer p.declaring.Unlock()
	if err := p.declare(ctx, src); err != nil {
		return err
	}
	p.source = src
	return nil
}

func (p *Patrol) declare(ctx context.Context, src Source) error {
	claims, err := src.Claims(ctx, p.Now())
	if err != nil {
		return fmt.Errorf("gather claims: %w", err)
	}
	if err := p.Ledger.Declare(ctx, claims); err != nil {
		return fmt.Errorf("declare %d claims: %w", len(claims), err)
	}
	return p.withdraw(ctx)
}

// Ticked is when the patrol last asked the ledger for due work and was answered; zero when it never was.
func (p *Patrol) Ticked() time.Time {
	if us := p.ticked.Load(); us > 0 {
		return time.UnixMicro(us).UTC()
	}
	return time.Time{}
}

// Tick leases due shards and hands them to the executor. It returns how many.
func (p *Patrol) Tick(ctx context.Context) (int, error) {
	now := p.Now()
	if err := p.putRight(ctx, now); err != nil {
		return 0, err
	}
	p.mu.Lock()
	for s, end := range p.inFlight {
		if now.After(end) {
			delete(p.inFlight, s) // the executor lost it
		}
	}
	room, held := p.Shards-len(p.inFlight), len(p.inFlight) > 0
	extend := held && now.Sub(p.extended) >= p.Lease/4
	if extend || !held {
		p.extended = now
	}
	p.mu.Unlock()
	if extend {
		if err := p.Ledger.Extend(ctx, p.Owner, now, p.Lease); err != nil {
			return 0, fmt.Errorf("extend leases: %w", err)
		}
	}
	if room <= 0 {
		p.ticked.Store(now.UnixMicro())
		return 0, nil
	}
	shards, err := p.Ledger.Lease(ctx, p.Owner, now, p.Lease, room)
	if err != nil {
		return 0, fmt.Errorf("lease due shards: %w", err)
	}
	p.ticked.Store(now.UnixMicro())
	if len(shards) == 0 {
		return 0, nil
	}
	p.mu.Lock()
	for _, s := range shards {
		p.inFlight[s] = now.Add(2 * p.Pass)
	}
	p.mu.Unlock()
	if err := p.Enqueue(ctx, shards); err != nil {
		for _, s := range shards {
			p.done(ctx, s)
		}
		return 0, fmt.Errorf("enqueue %d shards: %w", len(shards), err)
	}
	return len(shards), nil
}

// done gives a shard back. A lease that cannot be given back ends by itself.
func (p *Patrol) done(ctx context.Context, shard int) {
	p.mu.Lock()
	delete(p.inFlight, shard)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := p.Ledger.Release(ctx, shard, p.Owner); err != nil {
		p.Logger.Warn("release shard", "shard", shard, "error", err)
	}
}

// Shard looks at the due claims of a leased shard and commits what it saw. The executor calls it.
func (p *Patrol) Shard(ctx context.Context, shard int) error {
	defer p.done(ctx, shard)
	claims, err := p.Ledger.Due(ctx, shard, p.Now())
	if err != nil {
		return fmt.Errorf("read due claims of shard %d: %w", shard, err)
	}
	if len(claims) == 0 {
		return nil
	}
	looks, idle := p.look(ctx, claims)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("look at shard %d: %w", shard, err)
	}
	ids := make([]assure.ClaimID, 0, len(looks)+len(idle))
	for _, l := range looks {
		ids = append(ids, l.Claim)
	}
	ids = append(ids, idle...)
	if err := p.commit(ctx, looks, ids, true); err != nil {
		return fmt.Errorf("commit shard %d: %w", shard, err)
	}
	return nil
}

// look runs the checks of all claims in parallel. Claims whose check has nothing to look at come back in idle; claims
// that were not reached in time come back in neither and stay due.
func (p *Patrol) look(ctx context.Context, claims []assure.Claim) (looks []assure.Look, idle []assure.ClaimID) {
	ctx, cancel := context.WithTimeout(ctx, p.Pass)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, c := range claims {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return looks, idle
		}
		wg.Go(func() {
			defer func() { <-p.slots }()
			fact := p.safely(ctx, c)
			at := p.Now()
			if ctx.Err() != nil {
				return // cut off by us: what it saw says nothing about the endpoint
			}
			if fact == nil {
				mu.Lock()
				idle = append(idle, c.ID)
				mu.Unlock()
				return
			}
			if s, ok := fact.(assure.Served); ok && c.Link == assure.Serving {
				p.sight.saw(c.Subject, s, at)
			}
			mu.Lock()
			looks = append(looks, assure.Look{Claim: c.ID, Fact: fact, Observer: p.Observer, At: at})
			mu.Unlock()
		})
	}
	wg.Wait()
	return looks, idle
}

// safely makes a panic of a check that claim's fact.
func (p *Patrol) safely(ctx context.Context, c assure.Claim) (fact assure.Fact) {
	check := p.Checks[c.Link]
	if check == nil {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			p.Logger.Error("check panicked", "claim", c.ID, "panic", r)
			fact = assure.Blind{Detail: fmt.Sprintf("the check of %s panicked: %v", c.Subject, r)}
		}
	}()
	return check.Look(ctx, c)
}

// Record commits facts that somebody else brought: the outcome of a delivery, for one.
func (p *Patrol) Record(ctx context.Context, looks ...assure.Look) error {
	ids := make([]assure.ClaimID, 0, len(looks))
	for _, l := range looks {
		ids = append(ids, l.Claim)
	}
	return p.commit(ctx, looks, ids, false)
}

// Scan finds claims that nobody looked at for too long, and incidents about claims that are no longer declared. It
// returns how many claims it judged.
func (p *Patrol) Scan(ctx context.Context) (int, error) {
	const batch, passes = 500, 200 // the rest waits for the next scan
	total := 0
	for range passes {
		ids, err := p.Ledger.Stale(ctx, p.Now(), batch)
		if err != nil {
			return total, fmt.Errorf("scan for stale evidence: %w", err)
		}
		if len(ids) > 0 {
			if err := p.commit(ctx, nil, ids, false); err != nil {
				return total, fmt.Errorf("judge %d stale claims: %w", len(ids), err)
			}
		}
		total += len(ids)
		if len(ids) < batch {
			break
		}
	}
	return total, p.withdraw(ctx)
}

func (p *Patrol) withdraw(ctx context.Context) error {
	const batch = 500
	for {
		ids, err := p.Ledger.Orphans(ctx, batch)
		if err != nil {
			return fmt.Errorf("find incidents of claims no longer declared: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		err = p.transact(ctx, func(tx Tx) error {
			d, err := tx.Docket(ctx, nil, ids)
			if err != nil {
				return fmt.Errorf("read incidents: %w", err)
			}
			return tx.Apply(ctx, nil, assure.Withdraw(d, ids, p.setting()))
		})
		if err != nil {
			return fmt.Errorf("withdraw %d claims: %w", len(ids), err)
		}
		if len(ids) < batch {
			return nil
		}
	}
}

// commit is the one way in which anything becomes known: record, judge, advance, apply.
func (p *Patrol) commit(ctx context.Context, looks []assure.Look, ids []assure.ClaimID, reschedule bool) error {
	if len(ids) == 0 {
		return nil
	}
	var changed assure.Changes
	err := p.transact(ctx, func(tx Tx) error {
		s := p.setting()
		if err := tx.Record(ctx, looks); err != nil {
			return fmt.Errorf("record %d looks: %w", len(looks), err)
		}
		cases, err := tx.Cases(ctx, ids)
		if err != nil {
			return fmt.Errorf("read %d cases: %w", len(ids), err)
		}
		judgements := make([]assure.Judgement, len(cases))
		judged := make([]assure.Judged, len(cases))
		for i, c := range cases {
			if p.Promised != nil && c.Claim.Certificate != "" {
				c.Names, c.Issued, c.IssuedProblem = p.Promised(c.Claim.Certificate)
			}
			judgements[i] = assure.Judge(c, s)
			judged[i] = assure.Judged{Judgement: judgements[i]}
			if reschedule {
				judged[i].Next = next(c, judgements[i], s)
			}
		}
		docket, err := tx.Docket(ctx, assure.Causes(judgements), ids)
		if err != nil {
			return fmt.Errorf("read incidents: %w", err)
		}
		changed = assure.Advance(docket, judgements, s)
		return tx.Apply(ctx, judged, changed)
	})
	if err != nil {
		return err
	}
	for _, e := range changed.Events { // not before it is written: what was not never happened, and is decided anew
		p.Logger.Info("incident "+e.Kind, "incident", e.Incident, "stage", e.Stage.String(), "text", e.Text)
	}
	if len(changed.Incidents) > 0 || len(looks) > 0 {
		p.Changed()
	}
	return nil
}

func (p *Patrol) setting() assure.Setting {
	s := p.Setting()
	s.Now = p.Now()
	s.Blind = p.sight.blind(s.Now)
	return s
}

// transact runs do in a transaction, again from its start when another one was in the way.
func (p *Patrol) transact(ctx context.Context, do func(Tx) error) error {
	const tries = 8
	var err error
	for range tries {
		err = p.once(ctx, do)
		if !errors.Is(err, assure.ErrConflict) {
			return err
		}
	}
	return err
}

func (p *Patrol) once(ctx context.Context, do func(Tx) error) (err error) {
	tx, err := p.Ledger.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx)))
		}
	}()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// next is when to look again. All is well: at the claim's own pace, the first time spread out so that what was declared
// together is not looked at together for ever. Something is doubtful: sooner, so that it is confirmed or cleared. And
// never later than the moment at which the judgement would change by itself.
func next(c assure.Case, j assure.Judgement, s assure.Setting) time.Time {
	every := max(c.Claim.Every, time.Second)
	wait := every
	if c.Evidence != nil && c.Evidence.Count <= 1 && c.Evidence.FirstSeen.Equal(c.Evidence.LastSeen) {
		wait = every/2 + spread(c.Claim.ID, every/2)
	}
	switch {
	case c.Claim.Link == assure.Monitor && j.Verdict == assure.Unknown:
		wait = min(wait, 5*time.Second) // the first round is under way
	case doubtful(j):
		wait = min(wait, max(s.Policy.Confirm/2, 2*time.Second))
	case j.Verdict != assure.Upheld:
		wait = min(wait, max(every/3, 5*time.Second))
	}
	at := s.Now.Add(wait)
	edges := []time.Time{j.ValidUntil, j.RenewBy}
	if j.Leaf != nil {
		repair := c.Claim.TimeToRepair
		edges = append(edges, assure.PlanLife(j.Leaf.NotBefore, j.Leaf.NotAfter, repair, s.Policy).PageAt)
	}
	for _, e := range edges {
		if e = e.Add(time.Second); e.After(s.Now) && e.Before(at) {
			at = e
		}
	}
	return at
}

// doubtful is a failure that nobody was told of yet because it may pass.
func doubtful(j assure.Judgement) bool {
	if j.Verdict == assure.Upheld {
		return false
	}
	for _, f := range j.Findings {
		if f.Stage > assure.StageNone {
			return false
		}
	}
	return true
}

func spread(id assure.ClaimID, over time.Duration) time.Duration {
	if over <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return time.Duration(h.Sum64() % uint64(over))
}
