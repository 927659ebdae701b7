package store

import (
	"context"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// A clock that ran a year ahead and was put right must not leave a year in which nobody looks: the next start or reload
// finds the looks that it planned.
func TestAClockThatRanAheadLeavesNothingUnwatched(t *testing.T) {
	c := newClock()
	w := world{openSQLite(t, c), c, context.Background()}
	due := func() []assure.Claim { return must(w.Due(w.ctx, shardOf(numberOf(shop.ID)), c.now()))(t) }

	c.advance(365 * 24 * time.Hour)
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	w.sees(t, shop, good(shop))
	if n := len(due()); n != 0 {
		t.Fatalf("%d claims are due just after a look", n)
	}
	c.advance(-364 * 24 * time.Hour)
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	if n := len(due()); n != 1 {
		t.Fatalf("%d claims are due once the clock is right, want 1", n)
	}
	w.sees(t, shop, good(shop))
	if e := w.evidence(t, shop); !e.LastSeen.Equal(c.now()) {
		t.Errorf("the evidence is of %s, want %s", e.LastSeen, c.now())
	}
	// Declared again, what is planned as it should be stays.
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	if n := len(due()); n != 0 {
		t.Errorf("%d claims are due right after a look", n)
	}
}

// A page that was written while the clock ran ahead must go out once it is right, and not when that time has come; and a
// shard that was leased then is not held until then.
func TestAClockThatRanAheadHoldsNoPageBack(t *testing.T) {
	c := newClock()
	w := world{openSQLite(t, c), c, context.Background()}
	c.advance(365 * 24 * time.Hour)
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	w.sees(t, shop, served(leafOf(shop.Subject, "1", epoch.AddDate(0, 0, -90), 90*24*time.Hour), "192.0.2.1:443"))
	c.advance(time.Hour)
	if n := len(must(w.Lease(w.ctx, "a", c.now(), time.Minute, 1))(t)); n != 1 {
		t.Fatalf("%d shards leased, want 1", n)
	}
	c.advance(-364 * 24 * time.Hour)
	sweep := func() int { return must(w.Sweep(w.ctx, c.now()))(t) }
	if n := sweep(); n != 0 {
		t.Fatalf("%d deliveries are due before anything was put right", n)
	}
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	if n := sweep(); n != 2 {
		t.Errorf("%d deliveries are due, want one for each channel", n)
	}
	if n := len(must(w.Lease(w.ctx, "b", c.now(), time.Minute, 1))(t)); n != 1 {
		t.Errorf("%d shards can be leased, want 1", n)
	}
}
