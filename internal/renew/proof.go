package renew

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// firstToLose reports whether a rung fails at no other certificate of the renewer. The caller holds the lock.
func (k *Keeper) firstToLose(j *Job, kind assure.AttemptKind) bool {
	for name, other := range k.jobs {
		if name != j.Certificate && other.Renewer == j.Renewer && !k.state[name].rungs[kind].since.IsZero() {
			return false
		}
	}
	return true
}

// quickest is the rung that tells soonest whether a certificate lost what another one of its renewer lost: the question
// where somebody can be asked, else the canary.
func quickest(j *Job) assure.AttemptKind {
	if _, on := j.Rungs[assure.RehearsePermission]; on && j.Asker != nil {
		return assure.RehearsePermission
	}
	return assure.RehearseCanary
}

// prove sees to it that what was lost and is there again is proven by a renewal. Of the certificates of one renewer, the
// one that ends first proves it for all: what they lost was one thing, and a renewal of each would spend the limits of
// the authority.
func (k *Keeper) prove(ctx context.Context, j *Job, kind assure.AttemptKind, a assure.Attempt) error {
	if trouble := lostIn(a); trouble != nil {
		return k.doubt(ctx, j, kind, trouble)
	}
	if !k.mended(j, kind, a) {
		return nil
	}
	k.log.Info("what was lost is there again; renew to prove it", "certificate", j.Certificate)
	k.mu.Lock()
	st := k.state[j.Certificate]
	s, held := st.state, st.newest
	s.Forced, s.ForcedAt = byProof, k.o.Now().UTC()
	st.proof = s.ForcedAt
	k.mu.Unlock()
	return k.keep(ctx, j, s, held)
}

// mended reports whether a rung shows that what the certificate lost is there again, and a renewal is to prove it now.
func (k *Keeper) mended(j *Job, kind assure.AttemptKind, a assure.Attempt) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.state[j.Certificate]
	s := st.state
	worked := a.Outcome == assure.Done && slices.ContainsFunc(a.Steps, func(x assure.Step) bool { return x.Outcome == assure.Done })
	switch {
	case s.Unproven.IsZero() || s.Forced != "" || !worked || kind != telling(j, s.UnprovenBy) || !a.Started.After(s.Unproven):
		return false
	case s.Failures == 0 || !k.o.Now().Before(s.Next):
		return true
	case s.LastTrouble == nil || !lost(s.LastTrouble):
		return false // renewal meets another trouble by now, and its pauses count
	}
	// Once it was tried and met the same trouble again, the pauses count until the rung has shown a loss and a repair anew.
	return !st.proof.After(s.Unproven) || st.rungs[kind].failed.After(st.proof)
}

// doubt notes that something was lost, at the certificate whose renewal is to prove that it is there again.
func (k *Keeper) doubt(ctx context.Context, j *Job, kind assure.AttemptKind, t *assure.Trouble) error {
	first := k.first(j.Renewer)
	k.mu.Lock()
	// Where that one was renewed while this one kept failing, they do not share the trouble, and it can prove nothing.
	since := k.state[j.Certificate].rungs[kind].since
	if !since.IsZero() && k.state[first].state.LastSuccess.After(since) {
		first = j.Certificate
	}
	noted := !k.state[first].state.Unproven.IsZero()
	k.mu.Unlock()
	if first == j.Certificate {
		return k.unproven(ctx, j, t)
	}
	if noted {
		return nil
	}
	if !k.claim(first) {
		return k.unproven(ctx, j, t) // that one is at something, and may be past what fails: this one proves it
	}
	defer k.free(first)
	other := k.jobs[first]
	err := k.holding(ctx, other, func(ctx context.Context) error { return k.unproven(ctx, other, t) })
	if errors.Is(err, errHeld) || errors.Is(err, assure.ErrConflict) {
		return k.unproven(ctx, j, t)
	}
	return err
}

// telling is the rung that shows that what was lost is there again: of an account the one that looks at it, of a grant
// or a credential the highest that uses it in earnest without an order.
func telling(j *Job, by *assure.Trouble) assure.AttemptKind {
	list := []assure.AttemptKind{assure.RehearseCanary, assure.RehearsePermission}
	if by != nil && by.Reason == assure.AccountInvalid {
		list = []assure.AttemptKind{assure.RehearseStatic}
	}
	for _, kind := range list {
		if _, on := j.Rungs[kind]; on {
			return kind
		}
	}
	return assure.RehearseAuthorize
}

func (k *Keeper) unproven(ctx context.Context, j *Job, t *assure.Trouble) error {
	k.mu.Lock()
	st := k.state[j.Certificate]
	s, held := st.state, st.newest
	k.mu.Unlock()
	if !s.Unproven.IsZero() {
		return nil
	}
	s.Unproven, s.UnprovenBy = k.o.Now().UTC(), t
	return k.keep(ctx, j, s, held)
}

func lostIn(a assure.Attempt) *assure.Trouble {
	for _, s := range a.Steps {
		if s.Outcome == assure.Failed && s.Trouble != nil && lost(s.Trouble) {
			return s.Trouble
		}
	}
	return nil
}

// first is the certificate of a renewer that ends first.
func (k *Keeper) first(renewer string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	best := ""
	var end time.Time
	for name, j := range k.jobs {
		if j.Renewer != renewer {
			continue
		}
		var e time.Time
		if c := k.state[name].newest; c != nil {
			e = c.Cert.NotAfter
		}
		if best == "" || e.Before(end) || e.Equal(end) && name < best {
			best, end = name, e
		}
	}
	return best
}
