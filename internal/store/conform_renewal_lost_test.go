package store

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// lostRenewal does everything three times: the first time it fails, the second time it happens and the answer is lost,
// the third time it works. What is there then is what doing it once makes.
func lostRenewal(t *testing.T, w world) {
	lost := errors.New("connection lost")
	real := w.commit
	thrice := func(what string, do func() error) {
		t.Helper()
		w.commit = func(tx *sql.Tx) error { return errors.Join(lost, tx.Rollback()) }
		if err := do(); !errors.Is(err, lost) {
			t.Fatalf("%s when the commit fails: %v", what, err)
		}
		w.commit = func(tx *sql.Tx) error { return errors.Join(lost, tx.Commit()) }
		if err := do(); !errors.Is(err, lost) {
			t.Fatalf("%s when the answer is lost: %v", what, err)
		}
		w.commit = real
		if err := do(); err != nil {
			t.Fatalf("%s done again: %v", what, err)
		}
	}
	w.commit = func(tx *sql.Tx) error { return errors.Join(lost, tx.Rollback()) }
	if _, err := w.PutIssued(w.ctx, issuedOf("1", 0)); !errors.Is(err, lost) {
		t.Fatal(err)
	}
	same(t, "rows of what was rolled back", w.count(t, "issued"), 0)
	thrice("account", func() error { return w.PutAccount(w.ctx, account("k1", "k2")) })
	thrice("rollover", func() error { return w.PutAccount(w.ctx, account("k2", "")) })
	same(t, "account", must(w.Account(w.ctx, "a1"))(t), account("k2", ""))
	thrice("wish", func() error { return w.Force(w.ctx, "shop", "ana", epoch) })
	var s assure.RenewalState
	thrice("lease", func() (err error) {
		var took bool
		if s, took, err = w.LeaseRenewal(w.ctx, "shop", "a", epoch, time.Minute); err == nil && !took {
			err = errors.New("not given")
		}
		return err
	})
	same(t, "wish", s.Forced, "ana")
	s.Forced, s.ForcedAt, s.Why = "", time.Time{}, "done"
	thrice("state", func() error { return w.PutRenewal(w.ctx, s, "a", epoch) })
	same(t, "state", w.renewal(t), s)
	c := issuedOf("1", 0)
	thrice("issued", func() (err error) { c.ID, err = w.PutIssued(w.ctx, c); return err })
	thrice("installed", func() error { return w.Installed(w.ctx, c.ID, epoch) })
	c.InstalledAt = epoch
	same(t, "issued", must(w.NewestIssued(w.ctx, "shop"))(t), c)
	a := attempt(0, assure.AttemptRenewal)
	var id int64
	thrice("attempt", func() (err error) { id, err = w.PutAttempt(w.ctx, a); return err })
	a.ID, a.Outcome = id, assure.Done
	thrice("attempt that ended", func() (err error) { _, err = w.PutAttempt(w.ctx, a); return err })
	same(t, "attempts", must(w.Attempts(w.ctx, "shop", 10))(t), []assure.Attempt{a})
	thrice("journal", func() error { return w.PutPending(w.ctx, txt("p", epoch)) })
	// Taking what was abandoned is the one thing that a lost answer delays: nobody may take it twice.
	var ps []assure.Pending
	now := epoch.Add(time.Second)
	thrice("sweep", func() (err error) { ps, err = w.Abandoned(w.ctx, now, now.Add(time.Minute), 10); return err })
	same(t, "swept when the answer was lost", len(ps), 0)
	same(t, "swept a minute later", len(must(w.Abandoned(w.ctx, now.Add(2*time.Minute), now.Add(3*time.Minute), 10))(t)), 1)
	thrice("forgotten", func() error { return w.DropPending(w.ctx, "p") })
	thrice("released", func() error { return w.ReleaseRenewal(w.ctx, "shop", "a") })
	for table, n := range map[string]int{"acme_account": 1, "renewal": 1, "issued": 1, "attempt": 1, "pending": 0} {
		same(t, "rows of "+table, w.count(t, table), n)
	}
}
