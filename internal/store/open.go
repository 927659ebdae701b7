package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
)

// Options say which database to open.
type Options struct {
	// DSN is a directory, in which notafter.db is kept, or a file ending in .db, .sqlite or .sqlite3, for SQLite; or an
	// address postgres://... for PostgreSQL 14 or later.
	DSN string
	// Logger gets what an operator should know. Nil discards it.
	Logger *slog.Logger
	// Now is the clock (time.Now). It decides only what no caller's time does: whether evidence lies in the future, when
	// a claim that is stale is asked about again, and which deliveries [DB.Run] makes jobs of.
	Now func() time.Time
}

// DB is an open database. Safe for concurrent use.
type DB struct {
	log    *slog.Logger
	now    func() time.Time
	write  *sql.DB // on SQLite, one connection
	read   *sql.DB // the same pool on PostgreSQL
	d      dialect
	driver riverdriver.Driver[*sql.Tx]
	queue  *river.Client[*sql.Tx] // only inserts
	unlock func() error

	// mostRuns is how many runs a claim keeps beside its newest; tests have less patience.
	mostRuns int64
	// commit ends a write transaction; tests put failures in its place.
	commit func(*sql.Tx) error
}

// dialect is what the two databases do differently.
type dialect struct {
	name string
	// forUpdate is appended to a SELECT whose rows are about to change.
	forUpdate string
	// skipLocked is appended to a SELECT that takes whatever nobody else is taking.
	skipLocked string
	// numbered says that every placeholder must have its number.
	numbered bool
	// find is the function that gives the place of one text in another, 0 when it is not there. LIKE is several times slower.
	find string
	// snapshot are the options of a read that needs several statements to agree.
	snapshot *sql.TxOptions
	// conflict reports whether the error means: changed by another process at the same time.
	conflict func(error) bool
	// explain adds to an error of the database what to do about it.
	explain func(error) error
}

// Open opens the database, making it or bringing it up to date first. The error says what to do where a person can do
// something: another process holds the file, the disk is full or read-only, the file is damaged or written by a newer
// version. The caller closes the DB.
func Open(ctx context.Context, o Options) (*DB, error) {
	db, err := connect(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := db.start(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// connect opens the database as it is.
func connect(ctx context.Context, o Options) (*DB, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	db := &DB{log: o.Logger, now: o.Now, mostRuns: mostRuns, commit: (*sql.Tx).Commit, unlock: func() error { return nil }}
	var err error
	scheme, _, hasScheme := strings.Cut(o.DSN, "://")
	switch {
	case o.DSN == "":
		return nil, errors.New("open database: no place given: want a directory, a file ending in .db, or a postgres:// address")
	case hasScheme && (scheme == "postgres" || scheme == "postgresql"):
		err = db.openPostgres(ctx, o.DSN)
	case hasScheme && scheme != "sqlite":
		return nil, fmt.Errorf("open database: %s:// is not supported: want a directory, a file ending in .db, or a postgres:// address", scheme)
	default:
		err = db.openSQLite(ctx, strings.TrimPrefix(o.DSN, "sqlite://"))
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// start brings the tables up to date and clears up.
func (db *DB) start(ctx context.Context) error {
	if err := db.migrate(ctx, newest); err != nil {
		return err
	}
	if db.d.name == "sqlite" {
		return db.forgetJobs(ctx)
	}
	return nil
}

// Close closes the database. Transactions must have ended and Run must have returned.
func (db *DB) Close() error {
	var errs []error
	if db.read != nil && db.read != db.write {
		errs = append(errs, db.read.Close())
	}
	if db.write != nil {
		errs = append(errs, db.write.Close())
	}
	errs = append(errs, db.unlock())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// Ping fails when the database does not answer.
func (db *DB) Ping(ctx context.Context) error {
	var n int
	if err := db.reader().row(ctx, `SELECT count(*) FROM shard`).Scan(&n); err != nil {
		return db.wrap(err, "ask the database")
	}
	if n != Shards {
		return fmt.Errorf("ask the database: it has %d shards, want %d", n, Shards)
	}
	return nil
}

// Kind is "sqlite" or "postgres".
func (db *DB) Kind() string { return cmp.Or(db.d.name, "none") }

// quiet hands the queue's own log on from warnings upwards: its routine is of no use to an operator.
func quiet(l *slog.Logger) *slog.Logger { return slog.New(warnings{l.Handler()}) }

type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(as []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(as)} }

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }
