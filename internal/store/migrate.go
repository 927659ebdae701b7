package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed migrations
var migrations embed.FS

// migrationLock is the key of the advisory lock that processes on PostgreSQL bring the tables up to date under. Any
// constant will do; this one is "notafter" in ASCII.
const migrationLock = 0x6e6f746166746572

// NewerError says that the database was written by a newer version of notafter. Migrations only go forward.
type NewerError struct{ Database, Known int64 }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the database is of version %d and this notafter knows versions up to %d: it was written by a newer one. Run that one, or restore a backup made before the upgrade", e.Database, e.Known)
}

// newest is the version that the migrations here lead to.
const newest = 0

// migrate brings the tables up to date: ours, then the queue's, and makes the client that inserts jobs. Each numbered
// step is one transaction. Tests go to older versions than the newest.
func (db *DB) migrate(ctx context.Context, version int64) (err error) {
	if db.d.name == "postgres" {
		conn, err := db.write.Conn(ctx)
		if err != nil {
			return db.wrap(err, "bring the tables up to date")
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
			return db.wrap(err, "wait for another process that brings the tables up to date")
		}
		defer func() {
			_, e := conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(migrationLock))
			err = errors.Join(err, e)
		}()
	}
	files, err := fs.Sub(migrations, "migrations/"+db.d.name)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	kind := goose.DialectSQLite3
	if db.d.name == "postgres" {
		kind = goose.DialectPostgres
	}
	p, err := goose.NewProvider(kind, db.write, files, goose.WithDisableGlobalRegistry(true), goose.WithSlog(quiet(db.log)))
	if err != nil {
		return db.wrap(err, "read migrations")
	}
	have, known, err := p.GetVersions(ctx)
	if err != nil {
		return db.wrap(err, "read the version of the database")
	}
	if have > known {
		return &NewerError{Database: have, Known: known}
	}
	if version == newest {
		version = known
	}
	done, err := p.UpTo(ctx, version)
	if err != nil {
		return db.wrap(err, "bring the tables up to date")
	}
	if len(done) > 0 {
		db.log.Info("database brought up to date", "kind", db.d.name, "from", have, "to", version)
	}
	m, err := rivermigrate.New(db.driver, &rivermigrate.Config{Logger: quiet(db.log)})
	if err != nil {
		return fmt.Errorf("read the queue's migrations: %w", err)
	}
	if _, err := m.ExistingVersions(ctx); err != nil {
		return fmt.Errorf("the queue's tables were written by a newer notafter; run that one: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return db.wrap(err, "bring the queue's tables up to date")
	}
	db.queue, err = river.NewClient(db.driver, &river.Config{Logger: quiet(db.log)})
	if err != nil {
		return fmt.Errorf("make the queue's client: %w", err)
	}
	return nil
}
