package renew

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// shelf is a whole [Ledger] in memory that honours leases as the store does, and fails when it is told to.
type shelf struct {
	*book
	mu       sync.Mutex
	rows     map[string]*shelved
	issued   []assure.IssuedCert
	attempts []assure.Attempt
	calls    map[string]int
	// fault decides about the n-th call of op, counted from 1: nil lets it be; an error fails it, after it happened when
	// happened is true. It may block.
	fault func(op string, n int) (err error, happened bool) //nolint:revive // the error is what is asked for
}

// shelved is a renewal's row.
type shelved struct {
	state  assure.RenewalState
	owner  string
	until  time.Time
	unseen bool
}

func newShelf() *shelf {
	return &shelf{book: newBook(&diary{}), rows: map[string]*shelved{}, calls: map[string]int{}}
}

var errShelf = errors.New("the database is away")

// call performs one operation, or fails it.
func (l *shelf) call(ctx context.Context, op string, f func() error) error {
	l.mu.Lock()
	l.calls[op]++
	n, fault := l.calls[op], l.fault
	l.mu.Unlock()
	var err error
	happened := true
	if fault != nil {
		if err, happened = fault(op, n); err == nil {
			happened = true
		}
	}
	if e := ctx.Err(); e != nil {
		return e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if happened {
		if e := f(); e != nil {
			return e
		}
	}
	return err
}

func (l *shelf) setFault(f func(op string, n int) (error, bool)) { //nolint:revive // as above
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault, l.calls = f, map[string]int{}
}

func (l *shelf) Account(ctx context.Context, id string) (a assure.ACMEAccount, err error) {
	e := l.call(ctx, "Account", func() error { a, err = l.book.Account(ctx, id); return nil })
	return a, errors.Join(e, err)
}

func (l *shelf) PutAccount(ctx context.Context, a assure.ACMEAccount) error {
	return l.call(ctx, "PutAccount", func() error { return l.book.PutAccount(ctx, a) })
}

func (l *shelf) PutPending(ctx context.Context, p assure.Pending) error {
	return l.call(ctx, "PutPending", func() error { return l.book.PutPending(ctx, p) })
}

func (l *shelf) DropPending(ctx context.Context, id string) error {
	return l.call(ctx, "DropPending", func() error { return l.book.DropPending(ctx, id) })
}

func (l *shelf) Abandoned(ctx context.Context, now, until time.Time, limit int) (out []assure.Pending, err error) {
	err = l.call(ctx, "Abandoned", func() (err error) { out, err = l.book.Abandoned(ctx, now, until, limit); return err })
	if err != nil {
		out = nil
	}
	return out, err
}

func (l *shelf) Renewals(ctx context.Context, names []string) (out []assure.RenewalState, err error) {
	err = l.call(ctx, "Renewals", func() error {
		for _, n := range names {
			if r := l.rows[n]; r != nil {
				out = append(out, r.state)
			}
		}
		return nil
	})
	return out, err
}

func (l *shelf) LeaseRenewal(ctx context.Context, name, owner string, now time.Time, ttl time.Duration) (s assure.RenewalState, ok bool, err error) {
	err = l.call(ctx, "LeaseRenewal", func() error {
		r := l.rows[name]
		if r == nil {
			r = &shelved{state: assure.RenewalState{Certificate: name}}
			l.rows[name] = r
		}
		if r.owner != "" && r.owner != owner && now.Before(r.until) {
			return nil
		}
		if r.owner != owner || !now.Before(r.until) {
			r.unseen = false
		}
		r.owner, r.until, s, ok = owner, now.Add(ttl), r.state, true
		return nil
	})
	if err != nil {
		return assure.RenewalState{}, false, err
	}
	return s, ok, nil
}

func (l *shelf) PutRenewal(ctx context.Context, s assure.RenewalState, owner string, now time.Time) error {
	return l.call(ctx, "PutRenewal", func() error {
		r := l.rows[s.Certificate]
		if r == nil || r.owner != owner || !now.Before(r.until) {
			return fmt.Errorf("%s does not hold %s: %w", owner, s.Certificate, assure.ErrConflict)
		}
		if r.unseen && r.state.ForcedAt.After(s.ForcedAt) {
			s.Forced, s.ForcedAt = r.state.Forced, r.state.ForcedAt
		} else {
			r.unseen = false
		}
		r.state = s
		return nil
	})
}

func (l *shelf) ReleaseRenewal(ctx context.Context, name, owner string) error {
	return l.call(ctx, "ReleaseRenewal", func() error {
		if r := l.rows[name]; r != nil && r.owner == owner {
			r.owner, r.until = "", time.Time{}
		}
		return nil
	})
}

func (l *shelf) Force(ctx context.Context, name, who string, at time.Time) error {
	return l.call(ctx, "Force", func() error {
		r := l.rows[name]
		if r == nil {
			r = &shelved{state: assure.RenewalState{Certificate: name}}
			l.rows[name] = r
		}
		r.unseen = true
		if !at.Before(r.state.ForcedAt) {
			r.state.Forced, r.state.ForcedAt = who, at
		}
		return nil
	})
}

func (l *shelf) PutIssued(ctx context.Context, c assure.IssuedCert) (id int64, err error) {
	err = l.call(ctx, "PutIssued", func() error {
		for _, old := range l.issued {
			if old.Cert.Fingerprint == c.Cert.Fingerprint {
				id = old.ID
				return nil
			}
		}
		c.ID = int64(len(l.issued) + 1)
		l.issued = append(l.issued, c)
		id = c.ID
		return nil
	})
	return id, err
}

func (l *shelf) Installed(ctx context.Context, id int64, at time.Time) error {
	return l.call(ctx, "Installed", func() error {
		l.issued[id-1].InstalledAt = at
		return nil
	})
}

func (l *shelf) NewestIssued(ctx context.Context, name string) (out assure.IssuedCert, err error) {
	err = l.call(ctx, "NewestIssued", func() error {
		found := false
		for _, c := range l.issued {
			if c.Certificate == name && (!found || !c.Cert.NotBefore.Before(out.Cert.NotBefore)) {
				out, found = c, true
			}
		}
		if !found {
			return assure.ErrNotFound
		}
		return nil
	})
	return out, err
}

func (l *shelf) PutAttempt(ctx context.Context, a assure.Attempt) (id int64, err error) {
	a.Steps = slices.Clone(a.Steps)
	err = l.call(ctx, "PutAttempt", func() error {
		if a.ID == 0 {
			a.ID = int64(len(l.attempts) + 1)
			l.attempts = append(l.attempts, a)
		} else {
			l.attempts[a.ID-1] = a
		}
		id = a.ID
		return nil
	})
	return id, err
}

func (l *shelf) Attempts(ctx context.Context, name string, limit int) (out []assure.Attempt, err error) {
	err = l.call(ctx, "Attempts", func() error {
		for _, a := range slices.Backward(l.attempts) {
			if a.Certificate == name && len(out) < limit {
				out = append(out, a)
			}
		}
		return nil
	})
	return out, err
}

// state is that of one certificate as it is kept.
func (l *shelf) state(name string) assure.RenewalState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.rows[name]; r != nil {
		return r.state
	}
	return assure.RenewalState{}
}

// kept are the certificates that were issued for one, oldest first.
func (l *shelf) kept(name string) (out []assure.IssuedCert) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.issued {
		if c.Certificate == name {
			out = append(out, c)
		}
	}
	return out
}

// made are the attempts at one certificate, oldest first.
func (l *shelf) made(name string) (out []assure.Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.attempts {
		if a.Certificate == name {
			out = append(out, a)
		}
	}
	return out
}

// count is how many attempts of a kind there were.
func (l *shelf) count(name string, kind assure.AttemptKind) (n int) {
	for _, a := range l.made(name) {
		if a.Kind == kind {
			n++
		}
	}
	return n
}

// edit changes the row of a certificate behind the keeper's back.
func (l *shelf) edit(t testing.TB, name string, f func(*shelved)) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rows[name] == nil {
		l.rows[name] = &shelved{state: assure.RenewalState{Certificate: name}}
	}
	f(l.rows[name])
}
