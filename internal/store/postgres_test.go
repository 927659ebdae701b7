package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab"
)

// postgres starts a server for one test and returns a function that makes an empty database in it.
func postgres(t *testing.T) func(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	dsn, stop, err := lab.StartPostgres(ctx, t.TempDir())
	if errors.Is(err, lab.ErrNoPostgres) && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED ON POSTGRESQL: %v", err)
	}
	ok(t, err)
	t.Cleanup(stop)
	n := 0
	return func(t *testing.T) string {
		t.Helper()
		n++
		name := fmt.Sprintf("notafter_%d", n)
		conn := must(pgx.Connect(ctx, dsn))(t)
		defer func() { ok(t, conn.Close(ctx)) }()
		if _, err := conn.Exec(ctx, `CREATE DATABASE `+name); err != nil {
			t.Fatal(err)
		}
		u := must(url.Parse(dsn))(t)
		u.Path = "/" + name
		return u.String()
	}
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	empty := postgres(t)
	open := func(t *testing.T, dsn string, c *clock) *DB {
		t.Helper()
		db := must(Open(context.Background(), Options{DSN: dsn, Now: c.now}))(t)
		t.Cleanup(func() { ok(t, db.Close()) })
		return db
	}
	conform(t, func(t *testing.T, c *clock) *DB { return open(t, empty(t), c) })

	t.Run("a database of version 1 is brought up to date", func(t *testing.T) { upgrades(t, empty(t)) })

	t.Run("two processes that open an incident for one cause open one", func(t *testing.T) {
		ctx := context.Background()
		dsn, c := empty(t), newClock()
		// Two processes start at the same moment on an empty database, too.
		var dbs [2]*DB
		var wg sync.WaitGroup
		for i := range dbs {
			wg.Go(func() {
				db, err := Open(ctx, Options{DSN: dsn, Now: c.now})
				if err != nil {
					t.Error(err)
					return
				}
				dbs[i] = db
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
		for _, db := range dbs {
			defer func() { ok(t, db.Close()) }()
		}
		claims := claimsOf(40, epoch)
		ok(t, dbs[0].Declare(ctx, claims))
		var conflicts atomic.Int32
		// All endpoints go dark for one cause, and the processes judge them claim by claim, against each other.
		for i, db := range dbs {
			wg.Go(func() {
				for k := range claims {
					if k%2 != i {
						continue
					}
					for {
						err := darken(ctx, db, claims[k])
						if err == nil {
							break
						}
						if !errors.Is(err, assure.ErrConflict) {
							t.Error(err)
							return
						}
						conflicts.Add(1)
					}
				}
			})
		}
		wg.Wait()
		is, n, err := dbs[0].Incidents(ctx, assure.IncidentQuery{})
		ok(t, err)
		if n != 1 {
			t.Fatalf("%d incidents, want 1", n)
		}
		v := must(dbs[1].Incident(ctx, is[0].ID, 1))(t)
		if v.Touched != len(claims) || len(v.Deliveries) != 2 {
			t.Fatalf("touched %d, %d deliveries; want %d and 2 (%d conflicts)", v.Touched, len(v.Deliveries), len(claims), conflicts.Load())
		}
	})

	t.Run("a unique cause ends in a conflict", func(t *testing.T) {
		ctx, c := context.Background(), newClock()
		db := open(t, empty(t), c)
		a, b := must(db.Begin(ctx))(t), must(db.Begin(ctx))(t)
		one := func(id assure.IncidentID) assure.Changes {
			return assure.Changes{Incidents: []assure.Incident{{ID: id, Cause: "c", State: assure.Open, OpenedAt: epoch}}}
		}
		ok(t, a.Apply(ctx, nil, one("a")))
		done := make(chan error, 1)
		go func() { done <- b.Apply(ctx, nil, one("b")) }()
		ok(t, a.Commit(ctx))
		if err := <-done; !errors.Is(err, assure.ErrConflict) {
			t.Fatalf("the second one: %v, want a conflict", err)
		}
		ok(t, b.Rollback(ctx))
	})

	t.Run("a job that died with its process does not hold up the next attempt", func(t *testing.T) {
		ctx, c := context.Background(), newClock()
		db := open(t, empty(t), c)
		w := world{db, c, ctx}
		ok(t, w.Declare(ctx, []assure.Claim{shop}))
		w.sees(t, shop, bad())
		id := w.pending(t)[0]
		if _, took, err := w.Take(ctx, id, "dead", c.now(), c.now().Add(30*time.Second)); !took || err != nil {
			t.Fatal(took, err)
		}
		if _, err := db.write.Exec(`UPDATE river_job SET state = 'running', attempted_at = now(), attempt = 1`); err != nil {
			t.Fatal(err)
		}
		same(t, "swept while the lease lasts", must(w.Sweep(ctx, c.now()))(t), 0)
		same(t, "swept once the lease ran out", must(w.Sweep(ctx, c.advance(31*time.Second)))(t), 2)
	})
}

// darken lets one claim be blind, with the cause that all share.
func darken(ctx context.Context, db *DB, c assure.Claim) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	_, err = cycleIn(ctx, tx, epoch.Add(time.Minute), []assure.Look{{Claim: c.ID, Fact: assure.Blind{Detail: "no network"}, Observer: "probe@test", At: epoch.Add(time.Minute)}})
	if err != nil {
		return errors.Join(err, tx.Rollback(ctx))
	}
	return tx.Commit(ctx)
}
