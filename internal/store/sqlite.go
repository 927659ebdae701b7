package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/riverqueue/river/riverdriver/riversqlite"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/notafter/notafter/internal/assure"
)

// sqliteFile is the file's name in a state directory.
const sqliteFile = "notafter.db"

// openSQLite opens the file, alone: a second process is refused. Commits wait for the disk (synchronous FULL, which in
// WAL mode costs one sync a transaction): NORMAL would be quicker and could lose the last notices at a power cut.
func (db *DB) openSQLite(ctx context.Context, place string) error {
	path, err := sqlitePath(place)
	if err != nil {
		return err
	}
	db.unlock, err = lockFile(path + ".lock")
	if err != nil {
		db.unlock = func() error { return nil }
		return err
	}
	db.d = dialect{
		name: "sqlite", find: "instr", snapshot: &sql.TxOptions{ReadOnly: true}, conflict: sqliteConflict,
		explain: func(err error) error { return explainSQLite(err, path) },
	}
	const common = "?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=temp_store(2)"
	address := (&url.URL{Scheme: "file", Path: path, OmitHost: true}).String() + common
	db.write, err = openKeeping(address + "&_txlock=immediate&_pragma=journal_mode(wal)&_pragma=synchronous(full)" +
		"&_pragma=journal_size_limit(16777216)&_pragma=cache_size(-8192)")
	if err != nil {
		return db.wrap(err, "open "+path)
	}
	db.write.SetMaxOpenConns(1)
	if err := db.write.PingContext(ctx); err != nil {
		return db.wrap(err, "open "+path)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	db.read, err = openKeeping(address + "&_pragma=query_only(1)")
	if err != nil {
		return db.wrap(err, "open "+path)
	}
	readers := max(2, min(8, runtime.GOMAXPROCS(0)))
	db.read.SetMaxOpenConns(readers)
	db.read.SetMaxIdleConns(readers)
	db.driver = riversqlite.New(db.write)
	return nil
}

func openKeeping(address string) (*sql.DB, error) {
	c, err := sqlite.NewConnector(address)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(keeping{c}), nil
}

// sqlitePath gives the file, making the directory that holds it.
func sqlitePath(place string) (string, error) {
	path, err := filepath.Abs(place)
	if err != nil {
		return "", fmt.Errorf("open database %s: %w", place, err)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir() && !info.Mode().IsRegular():
		return "", fmt.Errorf("open database: %s is neither a file nor a directory", path)
	case err == nil && info.IsDir():
		path = filepath.Join(path, sqliteFile)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("open database: %w", err)
	case err != nil && !strings.HasSuffix(path, ".db") && !strings.HasSuffix(path, ".sqlite") && !strings.HasSuffix(path, ".sqlite3"):
		path = filepath.Join(path, sqliteFile)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make the state directory: %w", err)
	}
	return path, nil
}

func sqliteConflict(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE && strings.Contains(e.Error(), "incident.cause") ||
		e.Code() == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}

// fullError is [assure.ErrFull] in the words of the database that found it out.
type fullError struct{ error }

func (e fullError) Is(target error) bool { return target == assure.ErrFull }
func (e fullError) Unwrap() error        { return e.error }

// explainSQLite adds what a person can do. The codes are those of https://www.sqlite.org/rescode.html.
func explainSQLite(err error, path string) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	var hint string
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fullError{fmt.Errorf("the disk that holds %s is full; nothing was written. Free some space (%w)", path, err)}
	case sqlite3.SQLITE_READONLY:
		hint = path + " cannot be written. Check the owner and mode of the file and its directory, and that the disk is not mounted read-only"
	case sqlite3.SQLITE_CANTOPEN:
		hint = path + " cannot be opened. Check the owner and mode of the file and its directory, and that the disk has space"
	case sqlite3.SQLITE_NOTADB:
		hint = path + " is not a SQLite database. Move it away, or give another state directory"
	case sqlite3.SQLITE_CORRUPT:
		hint = path + " is damaged. Stop notafter, keep a copy, and restore a backup or rescue it with \"sqlite3 " + path + " .recover\""
	case sqlite3.SQLITE_IOERR:
		hint = "the disk that holds " + path + " is full or reports errors. Look at df and at the system's log"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", hint, err)
}
