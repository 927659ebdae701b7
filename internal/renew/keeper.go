package renew

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Job is one certificate to keep renewed: all that its declaration says.
type Job struct {
	Certificate string
	Renewer     string // as the configuration names it
	Names       []string
	KeyType     string
	Profile     string
	Chain       string // preferred root
	Challenge   string // type
	CA          *CA
	Staging     *CA // nil: no order is ever rehearsed
	// Writer makes a DNS writer with credentials of its own, so that no attempt rests on a token from before: what was
	// granted or taken away meanwhile shows. Nil for challenges that write nothing.
	Writer func() DNS
	Zones  Zones
	// Asker asks about the permission; nil where nobody can be asked.
	Asker Asker
	// Responder answers http-01 and tls-alpn-01; nil for other challenges.
	Responder *Responder
	// TTL is for how long resolvers may remember what the writer writes.
	TTL time.Duration
	// Patience is how long a new record may take until every server shows it.
	Patience time.Duration
	Install  []Installer
	Shadow   []Installer
	// Rungs says how often each rung of the rehearsal is climbed.
	Rungs map[assure.AttemptKind]time.Duration
}

// KeeperOptions configures a [Keeper]. Ledger, Sealer, Owner and Now are needed.
type KeeperOptions struct {
	Jobs   []Job
	Ledger Ledger
	Sealer Sealer
	// Viewer looks whether what was installed is served. Nil: nothing is looked at.
	Viewer Viewer
	// Owner names this process in leases.
	Owner  string
	Now    func() time.Time
	Logger *slog.Logger
	// Report is given each new fact about a certificate, for judging. It is called from many goroutines. May be nil.
	Report func(ctx context.Context, certificate, subject string, link assure.Link, f assure.Fact)
	// Progress is called after each step of an attempt, and at its end. It must not block. May be nil.
	Progress func(a assure.Attempt)
	// Tick is how often due work is looked for (default 1 s), Lease how long a certificate stays taken after the death of
	// whoever renews it (default 1 m), Refresh how often the states are read again, which others may have changed (default
	// 30 s).
	Tick, Lease, Refresh time.Duration
	// Workers is how many renewals run at the same time (default 32). Half as many rehearsals run beside them, so that no
	// renewal waits for a rehearsal.
	Workers int
	// SeenWithin is how long the endpoints may take to serve a new certificate (default 2 m, and no more than a tenth of
	// the lifetime).
	SeenWithin time.Duration
}

// Keeper keeps certificates renewed and rehearses their next renewal. Make it with [NewKeeper]. It is safe for
// concurrent use.
type Keeper struct {
	o     KeeperOptions
	log   *slog.Logger
	jobs  map[string]*Job
	slots *crew         // of renewals
	spare *crew         // of rehearsals
	woken chan struct{} // a slot is free again

	recent Recent // what was validated lately

	drained chan struct{} // closed by Drain

	mu    sync.Mutex
	ends  map[string]context.CancelFunc // of the certificates that are attended to
	state map[string]*standing
	asked map[string]*asked    // answers of the cloud, shared by certificates of one renewer and zone
	alarm map[string]time.Time // when the first certificate of a renewer lost something that others may have lost too
}

// NewKeeper checks the options. It does nothing yet.
func NewKeeper(o KeeperOptions) (*Keeper, error) {
	if o.Ledger == nil || o.Sealer == nil || o.Now == nil || o.Owner == "" {
		return nil, errors.New("a keeper needs a ledger, a sealer, a clock and a name")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Report == nil {
		o.Report = func(context.Context, string, string, assure.Link, assure.Fact) {}
	}
	if o.Progress == nil {
		o.Progress = func(assure.Attempt) {}
	}
	orElse(&o.Tick, time.Second)
	orElse(&o.Lease, time.Minute)
	orElse(&o.Refresh, 30*time.Second)
	orElse(&o.SeenWithin, 2*time.Minute)
	if o.Workers <= 0 {
		o.Workers = 32
	}
	// Two keepers of one process, such as those of the configurations before and after a reload, are two owners.
	o.Owner += "/" + rand.Text()[:6]
	k := &Keeper{
		o: o, log: o.Logger, jobs: map[string]*Job{},
		woken: make(chan struct{}, 1), drained: make(chan struct{}), ends: map[string]context.CancelFunc{}, state: map[string]*standing{}, asked: map[string]*asked{}, alarm: map[string]time.Time{},
	}
	renewers := map[string]bool{}
	for i := range o.Jobs {
		j := &o.Jobs[i]
		if k.jobs[j.Certificate] != nil {
			return nil, fmt.Errorf("the certificate %q is given twice", j.Certificate)
		}
		k.jobs[j.Certificate] = j
		k.state[j.Certificate] = &standing{rungs: map[assure.AttemptKind]rung{}}
		renewers[j.Renewer] = true
	}
	k.slots, k.spare = newCrew(o.Workers, len(renewers)), newCrew(max(o.Workers/2, 1), len(renewers))
	return k, nil
}

// Run renews and rehearses what is due until ctx ends, and returns when everything under way has ended, withdrawn what
// it wrote, and given its leases back.
func (k *Keeper) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	tick := time.NewTicker(k.o.Tick)
	defer tick.Stop()
	var refreshed, swept time.Time
	sweeping := make(chan struct{}, 1)
	for {
		now := k.o.Now()
		if refreshed.IsZero() || now.Sub(refreshed) >= k.o.Refresh {
			if err := k.refresh(ctx); err == nil {
				refreshed = now
			} else if ctx.Err() == nil {
				k.log.Error("read the states of renewals", "error", err)
			}
		}
		if swept.IsZero() || now.Sub(swept) >= k.o.Lease/2 {
			select {
			case sweeping <- struct{}{}: // a provider that hangs holds up the next sweep and nothing else
				swept = now
				work.Go(func() {
					defer func() { <-sweeping }()
					k.Sweep(ctx)
				})
			default:
			}
		}
		renewals, rest := k.due(now)
		for _, name := range renewals {
			k.start(ctx, &work, name, k.slots)
		}
		for _, name := range rest {
			k.start(ctx, &work, name, k.spare)
		}
		select {
		case <-ctx.Done():
			return
		case <-k.drained:
			return
		case <-tick.C:
		case <-k.woken:
		}
	}
}

// Sweep withdraws what somebody who died left in a zone. [Keeper.Run] does so all the time.
func (k *Keeper) Sweep(ctx context.Context) {
	n, err := Sweep(ctx, k.o.Ledger, k.writerOf, k.o.Now())
	if err != nil && ctx.Err() == nil {
		k.log.Error("withdraw abandoned DNS values", "error", err)
	}
	if n > 0 {
		k.log.Info("withdrew abandoned DNS values", "values", n)
	}
}

func (k *Keeper) writerOf(renewer string) DNS {
	for _, j := range k.jobs {
		if j.Renewer == renewer && j.Writer != nil {
			return j.Writer()
		}
	}
	return nil
}

// due lists the certificates that have something to do: those to renew, and those of which only something is to be found
// out.
func (k *Keeper) due(now time.Time) (renewals, rest []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, st := range k.state {
		switch j := k.jobs[name]; {
		case st.busy || !st.known || now.Before(st.notNow):
		case k.renewalDue(j, st, now):
			renewals = append(renewals, name)
		case windowDue(st, now), k.rungDue(j, st, now) != "", st.open, !st.state.Running.IsZero(): // the last two because whoever it was may be dead
			rest = append(rest, name)
		}
	}
	return renewals, rest
}

func cert(c *assure.IssuedCert) *assure.Cert {
	if c == nil {
		return nil
	}
	return &c.Cert
}

// renewalDue: it is time, somebody asked for it, or something issued was never seen in service.
func (k *Keeper) renewalDue(j *Job, st *standing, now time.Time) bool {
	if st.state.Forced != "" {
		return true
	}
	next := st.state.Next
	if st.state.Failures == 0 {
		next = nextAfter(st.state, cert(st.newest), j.Names, now)
	}
	return !now.Before(next) || st.newest != nil && st.newest.InstalledAt.IsZero() && !now.Before(st.state.Next)
}

// rungDue is the rung whose time has come, the cheapest first; empty when none is. What failed is looked at again
// sooner, so that a repair is noticed, and at once when something else was mended.
func (k *Keeper) rungDue(j *Job, st *standing, now time.Time) assure.AttemptKind {
	for _, kind := range assure.Ladder() {
		every, on := j.Rungs[kind]
		if !on {
			continue
		}
		r := st.rungs[kind]
		switch {
		case r.since.IsZero() && kind == quickest(j) && k.alarm[j.Renewer].After(r.last):
			every = 0 // another one of the renewer lost something just now: see whether this one lost it too
		case r.since.IsZero():
		case st.mended(r), k.renewedSince(j.Renewer, r.last):
			every = 0
		default:
			every = r.again(every)
		}
		every = max(every, time.Second)
		if r.last.IsZero() && kind.Level() >= 3 && st.newest == nil {
			continue // the first certificate comes first
		}
		if r.last.IsZero() || now.Sub(r.last) >= every {
			return kind
		}
	}
	return ""
}

// renewedSince reports whether any certificate of the renewer was renewed after a time: then what its certificates have
// in common works again. The caller holds the lock.
func (k *Keeper) renewedSince(renewer string, t time.Time) bool {
	for name, st := range k.state {
		if k.jobs[name].Renewer == renewer && st.state.LastSuccess.After(t) {
			return true
		}
	}
	return false
}

// attend takes the certificate's lease and does what is due until nothing is.
func (k *Keeper) attend(ctx context.Context, j *Job) {
	err := k.holding(ctx, j, func(ctx context.Context) error {
		for ctx.Err() == nil && !k.draining() {
			k.mu.Lock()
			st := k.state[j.Certificate]
			now := k.o.Now()
			renewal, window, kind := k.renewalDue(j, st, now), windowDue(st, now), k.rungDue(j, st, now)
			k.mu.Unlock()
			switch {
			case renewal:
				if err := k.renew(ctx, j); err != nil {
					return err
				}
			case window:
				if err := k.askWindow(ctx, j); err != nil {
					return err
				}
			case kind != "":
				if _, err := k.climb(ctx, j, kind, bySchedule); err != nil {
					return err
				}
			default:
				return nil
			}
		}
		return ctx.Err()
	})
	if err == nil || ctx.Err() != nil {
		return
	}
	if errors.Is(err, errHeld) {
		k.log.Info("renew or rehearse", "certificate", j.Certificate, "error", err)
	} else {
		k.log.Error("renew or rehearse", "certificate", j.Certificate, "error", err)
	}
	k.mu.Lock()
	k.state[j.Certificate].notNow = k.o.Now().Add(max(k.o.Lease/10, k.o.Tick))
	k.mu.Unlock()
}

// ErrNotOurs says that a certificate is not one that is renewed here.
var ErrNotOurs = errors.New("no certificate of that name is renewed here")

// Force asks for a renewal regardless of dates. It is made by whichever process comes to it first.
func (k *Keeper) Force(ctx context.Context, certificate, who string) error {
	j := k.jobs[certificate]
	if j == nil {
		return ErrNotOurs
	}
	at := k.o.Now().UTC()
	if err := k.o.Ledger.Force(ctx, certificate, who, at); err != nil {
		return fmt.Errorf("ask for a renewal of %s: %w", certificate, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.state[certificate]
	st.state.Forced, st.state.ForcedAt, st.notNow = who, at, time.Time{}
	return nil
}

// Rehearse climbs the given rungs now, those that are configured when none is given, and waits for them. The attempts
// come back in the order in which they were made.
func (k *Keeper) Rehearse(ctx context.Context, certificate, who string, kinds ...assure.AttemptKind) ([]assure.Attempt, error) {
	j := k.jobs[certificate]
	if j == nil {
		return nil, ErrNotOurs
	}
	if len(kinds) == 0 {
		for _, kind := range assure.Ladder() {
			if _, on := j.Rungs[kind]; on {
				kinds = append(kinds, kind)
			}
		}
	}
	var out []assure.Attempt
	err := k.waiting(ctx, j, func(ctx context.Context) error {
		out = nil // again from the beginning, should the lease have been lost
		for _, kind := range kinds {
			a, err := k.climb(ctx, j, kind, who)
			if err != nil {
				return err
			}
			out = append(out, a)
		}
		return nil
	})
	return out, err
}

// RenewNow renews in this call, when it is due or forced, or a certificate that was issued waits to be put into service,
// whatever the pauses say. It returns the attempt; nil when there was nothing to do.
func (k *Keeper) RenewNow(ctx context.Context, certificate, who string, force bool) (*assure.Attempt, error) {
	j := k.jobs[certificate]
	if j == nil {
		return nil, ErrNotOurs
	}
	if force {
		if err := k.Force(ctx, certificate, who); err != nil {
			return nil, err
		}
	}
	var made *assure.Attempt
	err := k.waiting(ctx, j, func(ctx context.Context) error {
		k.mu.Lock()
		st := k.state[certificate]
		due := k.renewalDue(j, st, k.o.Now()) || st.state.Waits()
		k.mu.Unlock()
		if !due {
			return nil
		}
		if err := k.renew(ctx, j); err != nil {
			return err
		}
		list, err := k.o.Ledger.Attempts(ctx, certificate, 50)
		for i := range list {
			if list[i].Kind == assure.AttemptRenewal {
				made = &list[i]
				break
			}
		}
		return err
	})
	return made, err
}

// waiting is holding that waits for its turn.
func (k *Keeper) waiting(ctx context.Context, j *Job, do func(context.Context) error) error {
	for {
		if k.claim(j.Certificate) {
			err := k.holding(ctx, j, do)
			k.free(j.Certificate)
			if !errors.Is(err, errHeld) {
				return err
			}
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// Has reports whether the certificate is renewed here.
func (k *Keeper) Has(certificate string) bool { return k.jobs[certificate] != nil }
