package renew

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

// Every call of the ledger fails once, at its first to third time, having happened or not. The certificate is renewed all
// the same, once, and the books are in order afterwards.
func TestEveryCallOfTheLedgerFails(t *testing.T) {
	t.Parallel()
	for op, calls := range map[string]int{
		"Account": 1, "PutAccount": 2, "PutPending": 1, "DropPending": 1, "Abandoned": 1, "Renewals": 2, "LeaseRenewal": 1, "PutRenewal": 2, "ReleaseRenewal": 1,
		"PutIssued": 1, "Installed": 1, "NewestIssued": 2, "PutAttempt": 3, "Attempts": 2,
	} {
		for n := 1; n <= calls; n++ {
			for _, happened := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %d happened=%t", op, n, happened), func(t *testing.T) {
					t.Parallel()
					ledgerFails(t, func(o string, call int) (error, bool) { //nolint:revive // the error is what is asked for
						if o == op && call == n {
							return errShelf, happened
						}
						return nil, false
					})
				})
			}
		}
	}
	// A database that goes away in the middle, for a while.
	for _, after := range []string{"PutIssued", "Installed", "PutRenewal"} {
		for _, happened := range []bool{false, true} {
			t.Run(fmt.Sprintf("everything from %s on, happened=%t", after, happened), func(t *testing.T) {
				t.Parallel()
				down := 0
				ledgerFails(t, func(o string, _ int) (error, bool) { //nolint:revive // as above
					if down > 0 || o == after {
						if down++; down < 8 {
							return errShelf, happened
						}
					}
					return nil, false
				})
			})
		}
	}
}

// gate keeps the number of worlds that are up at the same time small.
var gate = make(chan struct{}, 8)

func ledgerFails(t *testing.T, fault func(op string, n int) (error, bool)) {
	gate <- struct{}{}
	defer func() { <-gate }()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("shop")})
	locked := make(chan struct{}, 1)
	h.shelf.setFault(func(op string, n int) (error, bool) {
		locked <- struct{}{}
		defer func() { <-locked }()
		return fault(op, n)
	})
	stop := h.run(k)
	await(t, "certificate in service, with the books closed", func() bool {
		h.pass(2 * time.Second) // pauses pass
		s := h.shelf.state("shop")
		return !s.LastSuccess.IsZero() && s.Running.IsZero() && s.Failures == 0
	})
	h.shelf.setFault(nil)
	h.pass(2 * time.Hour) // what was left in the journal is abandoned by then
	await(t, "empty journal", func() bool { return h.shelf.left() == 0 })
	stop()
	h.clean()
	kept, s := h.shelf.kept("shop"), h.shelf.state("shop")
	if len(kept) != 1 || kept[0].InstalledAt.IsZero() || h.server.serves("shop") != string(kept[0].Chain) {
		t.Errorf("%d certificates are kept, and not one is in service", len(kept))
	}
	if n := h.orders(); n != 1 {
		t.Errorf("%d orders were made into certificates for one renewal", n)
	}
	if s.Next.Before(h.now().Add(30*day)) || s.LastTrouble != nil || s.Forced != "" {
		t.Errorf("the books: %+v", s)
	}
	for _, a := range h.shelf.made("shop") {
		if a.Ended.IsZero() {
			t.Errorf("an attempt never ended: %+v", a)
		}
	}
	h.shelf.mu.Lock()
	defer h.shelf.mu.Unlock()
	if r := h.shelf.rows["shop"]; r.owner != "" && r.until.After(h.now()) {
		t.Errorf("the lease is still held by %s", r.owner)
	}
}

// dies is a process that is cut off from everything at once: its ledger never answers again.
func (h *house) dies(k *Keeper, name string, at string, when string) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	dead := make(chan struct{})
	h.shelf.setFault(func(op string, _ int) (error, bool) {
		select {
		case <-dead:
			return errShelf, false
		default:
		}
		if op == at {
			close(dead)
			return errShelf, when == "after"
		}
		return nil, false
	})
	k.attend(ctx, k.jobs[name])
	cancel()
	h.shelf.setFault(nil)
	h.shelf.edit(h.t, name, func(r *shelved) { r.until = h.now() })
}

// A process dies right before or after it has written something down; the next one goes on from there.
func TestTheNextProcessGoesOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at, when string
		orders   int
	}{
		{"PutPending", "before", 1},
		{"PutPending", "after", 1},
		{"DropPending", "after", 2}, // validated, but not finalized: the order is placed anew, and one certificate comes of it
		{"PutIssued", "before", 2},  // the one case: the certificate came, and was nowhere yet
		{"PutIssued", "after", 1},   // kept, not installed
		{"Installed", "before", 1},  // installed again, from what is kept
		{"Installed", "after", 1},   // in service: nothing is left to do
		{"ReleaseRenewal", "before", 1},
	} {
		t.Run(c.at+" "+c.when, func(t *testing.T) {
			t.Parallel()
			gate <- struct{}{}
			defer func() { <-gate }()
			h := newHouse(t, authority.Options{})
			if err := h.shelf.Force(deadline(t), "shop", "ana", h.now()); err != nil {
				t.Fatal(err)
			}
			h.dies(h.keeper([]Job{h.job("shop")}), "shop", c.at, c.when)
			h.pass(time.Minute)
			k := h.keeper([]Job{h.job("shop")})
			stop := h.run(k)
			await(t, "certificate in service", func() bool {
				h.pass(2 * time.Second)
				s := h.shelf.state("shop")
				return !s.LastSuccess.IsZero() && s.Failures == 0
			})
			h.pass(2 * time.Hour)
			await(t, "empty journal", func() bool { return h.shelf.left() == 0 })
			stop()
			h.clean()
			kept, s := h.shelf.kept("shop"), h.shelf.state("shop")
			if len(kept) != 1 || kept[0].InstalledAt.IsZero() {
				t.Errorf("%d certificates are kept", len(kept))
			}
			if n := h.orders(); n > c.orders {
				t.Errorf("%d orders were made into certificates, want at most %d", n, c.orders)
			}
			if !s.Running.IsZero() || s.Forced != "" {
				t.Errorf("the books: %+v", s)
			}
			for _, a := range h.shelf.made("shop") {
				if a.Ended.IsZero() {
					t.Errorf("an attempt is still said to run: %+v", a)
				}
			}
		})
	}
}

// A process that dies of renewing does not order at each start.
func TestDyingAgainAndAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	for range 4 {
		h.dies(h.keeper([]Job{h.job("shop")}), "shop", "PutIssued", "before")
	}
	if n := h.orders(); n != 1 {
		t.Errorf("%d orders in no time", n)
	}
	s := h.shelf.state("shop")
	if s.Failures < 1 || !s.Next.After(h.now()) || !strings.Contains(s.LastTrouble.Detail, "ended") || s.LastTrouble.Class != assure.TroubleTransient {
		t.Errorf("the books: %+v", s)
	}
}
