package renew

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// standing is what this process knows of one certificate.
type standing struct {
	busy   bool
	known  bool // the ledger was read
	turn   int  // goes up with each change of state, so that what was read before it is not taken for newer
	state  assure.RenewalState
	newest *assure.IssuedCert
	rungs  map[assure.AttemptKind]rung
	open   bool      // an attempt came to no end, or is under way in another process
	notNow time.Time // somebody else has it, or the ledger did not answer: not before this
	proof  time.Time // when a renewal was last forced here to prove a repair
}

// rung is what is known of one rung of a certificate's rehearsal.
type rung struct {
	last   time.Time     // when it was last climbed
	failed time.Time     // when it last did not work
	since  time.Time     // since when it has not worked; zero while it does
	mended time.Time     // when it last worked again after it had not
	asked  time.Duration // how long the other side wanted to be left alone when it last did not work
}

// soon is the shortest pause of a rung that did not work, unless a third of its interval is shorter.
const soon = 5 * time.Minute

// again is how long after it last failed a rung is tried again, of one that is climbed every so often: after half an hour of a
// day at first, then after as long as it has not worked, so that the pauses double, up to a third of the interval. An
// authority that is down fails all certificates at once and must not be met by all of them every few minutes. Whoever is
// asked may want more, up to the interval.
func (r rung) again(every time.Duration) time.Duration {
	return max(min(every/3, max(soon, every/48, r.last.Sub(r.since))), min(r.asked, every))
}

// note keeps how an attempt that ended at a time went, unless a later one is known.
func (st *standing) note(kind assure.AttemptKind, at time.Time, o assure.Outcome, steps []assure.Step) {
	r := st.rungs[kind]
	if at.Before(r.last) {
		return
	}
	r.last, r.asked = at, 0
	for _, s := range steps {
		if s.Trouble != nil {
			r.asked = max(r.asked, s.Trouble.RetryAfter)
		}
	}
	if o == assure.Done {
		if !r.since.IsZero() {
			r.mended = at
		}
		r.since = time.Time{}
	} else {
		r.failed = at
		if r.since.IsZero() {
			r.since = at
		}
	}
	st.rungs[kind] = r
}

// mended reports whether something was mended after a rung last failed: another rung works again, or a renewal did. What
// stopped this one may be over as well.
func (st *standing) mended(r rung) bool {
	if st.state.LastSuccess.After(r.last) {
		return true
	}
	for _, o := range st.rungs {
		if o.mended.After(r.last) {
			return true
		}
	}
	return false
}

// refresh reads the states of all certificates that nobody here is busy with.
func (k *Keeper) refresh(ctx context.Context) error {
	names := make([]string, 0, len(k.jobs))
	turns := make(map[string]int, len(k.jobs))
	k.mu.Lock()
	for n, st := range k.state {
		if !st.busy {
			names, turns[n] = append(names, n), st.turn
		}
	}
	k.mu.Unlock()
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
		skip := st.busy || st.known && same(st.state, at[n])
		k.mu.Unlock()
		if skip {
			continue
		}
		newest, attempts, err := k.read(ctx, n)
		if err != nil {
			return err
		}
		k.mu.Lock()
		if !st.busy && st.turn == turns[n] {
			k.learn(st, n, at[n], newest, attempts)
		}
		k.mu.Unlock()
	}
	return nil
}

// same reports whether nothing happened to a renewal between two states.
func same(a, b assure.RenewalState) bool {
	return a.LastAttempt.Equal(b.LastAttempt) && a.Running.Equal(b.Running) && a.Unproven.Equal(b.Unproven) && a.Forced == b.Forced && a.ForcedAt.Equal(b.ForcedAt)
}

// read reads what the ledger knows of one certificate besides its state.
func (k *Keeper) read(ctx context.Context, name string) (*assure.IssuedCert, []assure.Attempt, error) {
	newest, err := k.o.Ledger.NewestIssued(ctx, name)
	held := &newest
	switch {
	case errors.Is(err, assure.ErrNotFound):
		held = nil
	case err != nil:
		return nil, nil, fmt.Errorf("read the newest certificate of %s: %w", name, err)
	}
	attempts, err := k.o.Ledger.Attempts(ctx, name, 500)
	if err != nil {
		return nil, nil, fmt.Errorf("read the attempts of %s: %w", name, err)
	}
	return held, attempts, nil
}

// learn takes over what was read. The caller holds the lock.
func (k *Keeper) learn(st *standing, name string, s assure.RenewalState, newest *assure.IssuedCert, attempts []assure.Attempt) {
	s.Certificate = name
	if newest != nil && newest.InstalledAt.IsZero() {
		// The authority is asked about a certificate once it is in service: this window is of the one before.
		s.WindowStart, s.WindowEnd, s.WindowAsk, s.WindowFrom = time.Time{}, time.Time{}, time.Time{}, ""
	}
	st.known, st.state, st.newest = true, s, newest
	st.open = slices.ContainsFunc(attempts, func(a assure.Attempt) bool { return a.Ended.IsZero() })
	st.turn++
	// A clock that ran ahead once must not keep a rung from being climbed.
	latest := k.o.Now().Add(time.Minute)
	for _, a := range slices.Backward(attempts) {
		if a.Kind.Level() >= 0 && a.Ended.After(st.rungs[a.Kind].last) && a.Ended.Before(latest) && a.Outcome != assure.Skipped {
			st.note(a.Kind, a.Ended, a.Outcome, a.Steps)
		}
	}
}
