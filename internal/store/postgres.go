package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
)

// minPostgres is the oldest server that is supported, as server_version_num gives it.
const minPostgres = 140000

func (db *DB) openPostgres(ctx context.Context, dsn string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The error of the parser hides the password and quotes the rest.
		return fmt.Errorf("open database: %w", err)
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "notafter"
	}
	where := fmt.Sprintf("database %s at %s", config.Database, net.JoinHostPort(config.Host, fmt.Sprint(config.Port)))
	db.d = dialect{
		name: "postgres", numbered: true, find: "strpos", forUpdate: " FOR UPDATE", skipLocked: " FOR UPDATE SKIP LOCKED", conflict: postgresConflict,
		snapshot: &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
		explain:  func(err error) error { return explainPostgres(err, where) },
	}
	db.write = stdlib.OpenDB(*config)
	db.read = db.write
	db.write.SetMaxOpenConns(20)
	db.write.SetMaxIdleConns(10)
	var version int
	if err := db.write.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return db.wrap(err, "open "+where)
	}
	if version < minPostgres {
		return fmt.Errorf("open %s: PostgreSQL %d is too old: want 14 or later", where, version/10000)
	}
	db.driver = riverdatabasesql.New(db.write)
	return nil
}

// postgresConflict knows the codes of appendix A of PostgreSQL's manual.
func postgresConflict(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
		return true
	case "23503": // foreign key: a certificate was collected while another run began to refer to it
		return true
	case "23505": // unique: the cause was opened by another process, or both wrote the same row for the first time
		return true
	}
	return false
}

func explainPostgres(err error, where string) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	var hint string
	switch {
	case e.Code == "53100":
		return fullError{fmt.Errorf("the disk of %s is full; nothing was written. Free some space (%w)", where, err)}
	case e.Code == "53300":
		hint = where + " takes no more connections. Raise max_connections or stop other clients"
	case e.Code == "25006":
		hint = where + " is read-only. Point notafter at the primary, not at a standby"
	case e.Code == "42501":
		hint = "the user may not do this in " + where + ". Make it the owner of the database, or grant CREATE on the schema"
	case e.Code == "3D000":
		hint = where + " does not exist. Create it first"
	case strings.HasPrefix(e.Code, "XX"):
		hint = where + " reports damage or a defect of its own. Look at the server's log"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", hint, err)
}
