package renew

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// errHeld says that another process has the certificate.
var errHeld = errors.New("another process renews or rehearses it at this moment")

// holding runs do while this process has the certificate's lease. The context of do ends when the lease is lost, and the
// error is then errHeld too.
func (k *Keeper) holding(ctx context.Context, j *Job, do func(context.Context) error) error {
	began := k.o.Now()
	s, ok, err := k.o.Ledger.LeaseRenewal(ctx, j.Certificate, k.o.Owner, began, k.o.Lease)
	if err != nil {
		_ = k.release(ctx, j) // it may have been given all the same
		return fmt.Errorf("take the renewal of %s: %w", j.Certificate, err)
	}
	if !ok {
		return errHeld
	}
	// The lease is kept until everything is cleared up, also when ctx ends: only its loss ends the keeping.
	held, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	done := make(chan struct{})
	var alive sync.WaitGroup
	alive.Go(func() {
		if err := k.keepAlive(context.WithoutCancel(ctx), j, began, done); err != nil {
			lost(err)
		}
	})
	if err = k.settle(held, j, s); err == nil {
		err = do(held)
	}
	close(done)
	alive.Wait()
	if held.Err() != nil && ctx.Err() == nil {
		err = errors.Join(context.Cause(held), err)
	}
	return errors.Join(err, k.release(ctx, j))
}

// keepAlive extends the lease until done, and returns an error as soon as it cannot be relied on: before it ends, so that
// nobody else has begun by then.
func (k *Keeper) keepAlive(ctx context.Context, j *Job, last time.Time, done <-chan struct{}) error {
	t := time.NewTicker(k.o.Lease / 4)
	defer t.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-t.C:
		}
		at := k.o.Now()
		bounded, cancel := context.WithTimeout(ctx, k.o.Lease/4)
		_, ok, err := k.o.Ledger.LeaseRenewal(bounded, j.Certificate, k.o.Owner, at, k.o.Lease)
		cancel()
		switch {
		case err == nil && ok:
			last = at
		case err == nil:
			return fmt.Errorf("the lease of %s was lost: %w", j.Certificate, errHeld)
		case k.o.Now().Sub(last) >= k.o.Lease*3/4:
			return fmt.Errorf("the lease of %s could not be extended (%w), so that it counts as lost: %w", j.Certificate, err, errHeld)
		}
	}
}

// release gives the lease back. One that cannot be given back ends by itself.
func (k *Keeper) release(ctx context.Context, j *Job) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return k.o.Ledger.ReleaseRenewal(ctx, j.Certificate, k.o.Owner)
}

// settle takes over the books together with the lease. Should whoever had it before not have come to an end (it died, or
// could not write its last words), they are put in order: what it got done counts. A renewal that came to no end counts
// as one that failed, so that a process that dies of renewing does not do so at each start.
func (k *Keeper) settle(ctx context.Context, j *Job, s assure.RenewalState) error {
	newest, attempts, err := k.read(ctx, j.Certificate)
	if err != nil {
		return err
	}
	k.mu.Lock()
	st := k.state[j.Certificate]
	k.learn(st, j.Certificate, s, newest, attempts)
	s = st.state
	k.mu.Unlock()
	now := k.o.Now().UTC()
	for _, a := range attempts {
		if !a.Ended.IsZero() {
			continue
		}
		a.Ended, a.Outcome = now, assure.Skipped
		if a.Kind == assure.AttemptRenewal {
			a.Outcome = assure.Unclear
		}
		if _, err := k.o.Ledger.PutAttempt(ctx, a); err != nil {
			return fmt.Errorf("close an attempt that came to no end: %w", err)
		}
	}
	k.mu.Lock()
	st.open = false
	k.mu.Unlock()
	// A success is noted at the certificate before it is in the books.
	unnoted := newest != nil && newest.InstalledAt.After(s.LastSuccess)
	if s.Running.IsZero() && !unnoted {
		return nil
	}
	began := s.Running
	s.Running = time.Time{}
	if began.After(now) {
		began = now // its clock ran ahead
	}
	if !s.ForcedAt.After(began) {
		s.Forced = "" // it was tried once
	}
	if unnoted {
		k.succeeded(&s, newest, j, newest.InstalledAt, true)
	} else {
		k.stopped(&s, newest, j, began, &assure.Trouble{
			Reason: assure.RenewalFailing, Class: assure.TroubleTransient, Detail: "the process that renewed it ended, or lost its database, before it was done",
		})
	}
	return k.keep(ctx, j, s, newest)
}

// succeeded enters a renewal that ended well at a time.
func (k *Keeper) succeeded(s *assure.RenewalState, held heldCert, j *Job, at time.Time, fresh bool) {
	s.LastAttempt, s.LastSuccess = at, at
	s.Failures, s.LastTrouble = 0, nil
	if !s.Unproven.After(at) {
		s.Unproven, s.UnprovenBy = time.Time{}, nil
	}
	if fresh {
		s.WindowStart, s.WindowEnd, s.WindowAsk, s.WindowFrom = time.Time{}, time.Time{}, time.Time{}, ""
	}
	k.schedule(s, held, j)
}

// schedule enters when the next renewal is to be, after one that ended well.
func (k *Keeper) schedule(s *assure.RenewalState, held heldCert, j *Job) {
	now := k.o.Now().UTC()
	s.Due, s.Why = plan(*s, cert(held), j.Names, now)
	s.Next = nextAfter(*s, cert(held), j.Names, now)
	s.Left = attemptsLeft(*s, cert(held))
}

// stopped enters a renewal that did not work, at the time from which the pause counts.
func (k *Keeper) stopped(s *assure.RenewalState, held heldCert, j *Job, at time.Time, t *assure.Trouble) {
	s.LastAttempt = at
	s.Failures++
	s.LastTrouble = t
	if s.Unproven.IsZero() && lost(t) {
		s.Unproven, s.UnprovenBy = at, t
	}
	s.Due, s.Why = plan(*s, cert(held), j.Names, k.o.Now().UTC())
	s.Next = at.Add(pause(s.Failures, cert(held), heed(t.RetryAfter, cert(held), at)))
	s.Left = attemptsLeft(*s, cert(held))
}
