package renew

import (
	"context"
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
	// Workers is how many attempts run at the same time (default 32).
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
	slots chan struct{}

	mu    sync.Mutex
	state map[string]*standing
	asked map[string]asked // answers of the cloud, shared by certificates of one renewer and zone
}

// standing is what this process knows of one certificate.
type standing struct {
	busy    bool
	known   bool // the ledger was read
	state   assure.RenewalState
	newest  *assure.IssuedCert
	rungs   map[assure.AttemptKind]time.Time // when each was last climbed
	notNow  time.Time                        // somebody else has it, or the ledger did not answer: not before this
	failing map[assure.AttemptKind]bool
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
	k := &Keeper{o: o, log: o.Logger, jobs: map[string]*Job{}, slots: make(chan struct{}, o.Workers), state: map[string]*standing{}, asked: map[string]asked{}}
	for i := range o.Jobs {
		j := &o.Jobs[i]
		if k.jobs[j.Certificate] != nil {
			return nil, fmt.Errorf("the certificate %q is given twice", j.Certificate)
		}
		k.jobs[j.Certificate] = j
		k.state[j.Certificate] = &standing{rungs: map[assure.AttemptKind]time.Time{}, failing: map[assure.AttemptKind]bool{}}
	}
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
	for {
		now := k.o.Now()
		if refreshed.IsZero() || now.Sub(refreshed) >= k.o.Refresh {
			if err := k.refresh(ctx); err != nil && ctx.Err() == nil {
				k.log.Error("read the states of renewals", "error", err)
			} else {
				refreshed = now
			}
		}
		if swept.IsZero() || now.Sub(swept) >= k.o.Lease/2 {
			swept = now
			k.sweep(ctx)
		}
		for _, name := range k.due(now) {
			select {
			case k.slots <- struct{}{}:
			case <-ctx.Done():
				k.free(name)
				continue
			}
			work.Go(func() {
				defer func() { <-k.slots }()
				defer k.free(name)
				k.attend(ctx, k.jobs[name])
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweep withdraws what somebody who died left in a zone.
func (k *Keeper) sweep(ctx context.Context) {
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

// refresh reads the states of all certificates that nobody here is busy with.
func (k *Keeper) refresh(ctx context.Context) error {
	names := make([]string, 0, len(k.jobs))
	for n := range k.jobs {
		names = append(names, n)
	}
	states, err := k.o.Ledger.Renewals(ctx, names)
	if err != nil {
		return err
	}
	at := make(map[string]assure.RenewalState, len(states))
	for _, s := range states {
		at[s.Certificate] = s
	}
	for _, n := range names {
		k.mu.Lock()
		st := k.state[n]
		skip := st.busy || st.known && st.state.LastAttempt.Equal(at[n].LastAttempt) && st.state.Forced == at[n].Forced && st.state.Unproven.Equal(at[n].Unproven)
		k.mu.Unlock()
		if skip {
			continue
		}
		if err := k.learn(ctx, n, at[n]); err != nil {
			return err
		}
	}
	return nil
}

// learn reads what the ledger knows of one certificate.
func (k *Keeper) learn(ctx context.Context, name string, s assure.RenewalState) error {
	newest, err := k.o.Ledger.NewestIssued(ctx, name)
	var held *assure.IssuedCert
	switch {
	case err == nil:
		held = &newest
	case !errors.Is(err, assure.ErrNotFound):
		return fmt.Errorf("read the newest certificate of %s: %w", name, err)
	}
	attempts, err := k.o.Ledger.Attempts(ctx, name, 200)
	if err != nil {
		return fmt.Errorf("read the attempts of %s: %w", name, err)
	}
	s.Certificate = name
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.state[name]
	st.known, st.state, st.newest = true, s, held
	for _, a := range attempts {
		if a.Kind.Level() >= 0 && a.Ended.After(st.rungs[a.Kind]) {
			st.rungs[a.Kind] = a.Ended
			st.failing[a.Kind] = a.Outcome != assure.Done
		}
	}
	return nil
}

// due lists the certificates that have something to do, and marks them as busy.
func (k *Keeper) due(now time.Time) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for name, st := range k.state {
		if st.busy || !st.known || now.Before(st.notNow) {
			continue
		}
		if k.renewalDue(k.jobs[name], st, now) || windowDue(st, now) || k.rungDue(k.jobs[name], st, now) != "" {
			st.busy = true
			out = append(out, name)
		}
	}
	return out
}

func (k *Keeper) free(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state[name].busy = false
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
	if due, _ := plan(st.state, cert(st.newest), j.Names, now); st.state.Failures == 0 {
		next = due
	}
	return !now.Before(next) || st.newest != nil && st.newest.InstalledAt.IsZero() && !now.Before(st.state.Next)
}

// rungDue is the rung whose time has come, the cheapest first; empty when none is. What failed is looked at again
// sooner, so that a repair is noticed.
func (k *Keeper) rungDue(j *Job, st *standing, now time.Time) assure.AttemptKind {
	for _, kind := range assure.Ladder() {
		every, on := j.Rungs[kind]
		if !on {
			continue
		}
		if st.failing[kind] {
			every = max(every/3, time.Second)
		}
		last, ever := st.rungs[kind]
		if !ever && kind.Level() >= 3 && st.newest == nil {
			continue // the first certificate comes first
		}
		if !ever || now.Sub(last) >= every {
			return kind
		}
	}
	return ""
}

// attend takes the certificate's lease and does what is due until nothing is.
func (k *Keeper) attend(ctx context.Context, j *Job) {
	err := k.holding(ctx, j, func(ctx context.Context) error {
		for ctx.Err() == nil {
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
				if _, err := k.climb(ctx, j, kind, "schedule"); err != nil {
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
	if !errors.Is(err, errHeld) {
		k.log.Error("renew or rehearse", "certificate", j.Certificate, "error", err)
	}
	k.mu.Lock()
	k.state[j.Certificate].notNow = k.o.Now().Add(max(k.o.Lease/10, k.o.Tick))
	k.mu.Unlock()
}

// errHeld says that another process has the certificate.
var errHeld = errors.New("another process renews or rehearses it at this moment")

// holding runs do while this process has the certificate's lease. The context of do ends when the lease is lost.
func (k *Keeper) holding(ctx context.Context, j *Job, do func(context.Context) error) error {
	s, ok, err := k.o.Ledger.LeaseRenewal(ctx, j.Certificate, k.o.Owner, k.o.Now(), k.o.Lease)
	if err != nil {
		return fmt.Errorf("take the renewal of %s: %w", j.Certificate, err)
	}
	if !ok {
		return errHeld
	}
	if err := k.learn(ctx, j.Certificate, s); err != nil {
		return errors.Join(err, k.release(ctx, j))
	}
	held, lost := context.WithCancelCause(ctx)
	done := make(chan struct{})
	var alive sync.WaitGroup
	alive.Go(func() {
		t := time.NewTicker(k.o.Lease / 4)
		defer t.Stop()
		last := k.o.Now()
		for {
			select {
			case <-done:
				return
			case <-t.C:
			}
			_, ok, err := k.o.Ledger.LeaseRenewal(held, j.Certificate, k.o.Owner, k.o.Now(), k.o.Lease)
			switch {
			case err == nil && ok:
				last = k.o.Now()
			case err == nil || k.o.Now().Sub(last) >= k.o.Lease:
				lost(fmt.Errorf("the lease of %s was lost: %w", j.Certificate, errHeld))
				return
			}
		}
	})
	err = do(held)
	close(done)
	alive.Wait()
	lost(nil)
	return errors.Join(err, k.release(ctx, j))
}

// release gives the lease back. One that cannot be given back ends by itself.
func (k *Keeper) release(ctx context.Context, j *Job) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return k.o.Ledger.ReleaseRenewal(ctx, j.Certificate, k.o.Owner)
}

// ErrNotOurs says that a certificate is not one that is renewed here.
var ErrNotOurs = errors.New("no certificate of that name is renewed here")

// Force asks for a renewal regardless of dates. It is made by whichever process comes to it first.
func (k *Keeper) Force(ctx context.Context, certificate, who string) error {
	j := k.jobs[certificate]
	if j == nil {
		return ErrNotOurs
	}
	at := k.o.Now()
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

// RenewNow renews in this call, when it is due or forced, and returns the attempt; nil when there was nothing to do.
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
		due := k.renewalDue(j, k.state[certificate], k.o.Now())
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
		k.mu.Lock()
		st := k.state[j.Certificate]
		free := !st.busy
		if free {
			st.busy = true
		}
		k.mu.Unlock()
		if free {
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
