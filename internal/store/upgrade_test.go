package store

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// openVersion makes a database of an older version.
func openVersion(t testing.TB, dsn string, version int64, c *clock) *DB {
	t.Helper()
	db := must(connect(context.Background(), Options{DSN: dsn, Now: c.now}))(t)
	ok(t, db.migrate(context.Background(), version))
	return db
}

// upgrades brings a database of version 1 up to date, as the first start of a new notafter does. What the old one kept is
// there, the incident that was open goes on, and the new tables work.
func upgrades(t *testing.T, dsn string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := newClock()
	old := world{openVersion(t, dsn, 1, c), c, ctx}
	if _, err := old.Renewals(ctx, []string{"shop"}); err == nil {
		t.Fatal("a database of version 1 has the tables of version 2")
	}
	ok(t, old.Declare(ctx, []assure.Claim{shop, mail}))
	old.sees(t, shop, good(shop))
	c.advance(time.Hour)
	old.sees(t, shop, good(shop))
	old.sees(t, mail, bad())
	first := old.deliver(t, old.pending(t)[0])
	ok(t, old.PutUser(ctx, assure.User{Name: "ana", PasswordHash: "$argon2id$1", Created: epoch}))
	type state struct {
		shop, mail assure.CertificateView
		incident   assure.IncidentView
		history    []assure.Run
		users      []assure.User
		audit      []assure.Audit
		pending    []int64
	}
	read := func(w world) state {
		return state{
			must(w.Certificate(ctx, "shop", 10, 0))(t), must(w.Certificate(ctx, "mail", 10, 0))(t), must(w.Incident(ctx, first.Incident.ID, 10))(t),
			must(w.History(ctx, "shop", 10, 0))(t), must(w.Users(ctx))(t), must(w.AuditLog(ctx, 10, 0))(t), w.pending(t),
		}
	}
	before := read(old)
	if len(before.shop.Claims) != 1 || len(before.history) != 1 || len(before.pending) != 1 || before.incident.Touched != 1 {
		t.Fatalf("the old database holds too little to show anything: %+v", before)
	}
	ok(t, old.Close())

	db := must(Open(ctx, Options{DSN: dsn, Now: c.now}))(t)
	defer func() { ok(t, db.Close()) }()
	w := world{db, c, ctx}
	sound(t, db)
	same(t, "what the old version kept", read(w), before)
	for _, id := range before.pending {
		w.deliver(t, id)
	}
	w.mend(t, mail)
	same(t, "the incident that was open", w.only(t, assure.IncidentQuery{}).State, assure.Resolved)
	ok(t, db.Force(ctx, "shop", "ana", c.now()))
	if s, took := w.lease(t, "a"); !took || s.Forced != "ana" {
		t.Fatalf("a renewal in the new tables: %t, %+v", took, s)
	}
	must(db.PutIssued(ctx, issuedOf("1", 0)))(t)
	must(db.NoteAccess(ctx, "azure", []assure.Access{allowedBy("g1")}, c.now()))(t)
	must(db.AnnouncePlan(ctx, plannedFor("p1", "g2")))(t)
	sound(t, db)
}

func TestUpgradeSQLite(t *testing.T) {
	t.Parallel()
	upgrades(t, t.TempDir())
}

// TestUpgradeAfterCrash starts the new version on what a power cut has left of the old one: an open transaction, and
// commits that are in the log only.
func TestUpgradeAfterCrash(t *testing.T) {
	t.Parallel()
	ctx, c, dir := context.Background(), newClock(), t.TempDir()
	old := world{openVersion(t, dir, 1, c), c, ctx}
	defer func() { ok(t, old.Close()) }()
	ok(t, old.Declare(ctx, []assure.Claim{shop}))
	old.sees(t, shop, good(shop))
	tx := must(old.Begin(ctx))(t)
	must(cycleIn(ctx, tx, c.now(), []assure.Look{old.look(shop, bad())}))(t)
	copied := t.TempDir()
	for _, name := range []string{sqliteFile, sqliteFile + "-wal"} {
		copyFile(t, filepath.Join(dir, name), filepath.Join(copied, name))
	}
	ok(t, tx.Rollback(ctx))
	w := world{must(Open(ctx, Options{DSN: copied, Now: c.now}))(t), c, ctx}
	defer func() { ok(t, w.Close()) }()
	sound(t, w.DB)
	same(t, "evidence", w.evidence(t, shop).Fact, assure.Fact(good(shop)))
	w.lease(t, "a")
}
