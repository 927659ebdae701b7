package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

// emptySQLite is an empty database that is up to date, made once: making one takes a second under the race detector.
var emptySQLite = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "notafter-store-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := Open(context.Background(), Options{DSN: dir})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, sqliteFile))
})

// freshSQLite gives a directory with an empty database.
func freshSQLite(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	ok(t, os.WriteFile(filepath.Join(dir, sqliteFile), must(emptySQLite())(t), 0o600))
	return dir
}

func openSQLite(t *testing.T, c *clock) *DB {
	t.Helper()
	db := must(Open(context.Background(), Options{DSN: freshSQLite(t), Now: c.now}))(t)
	t.Cleanup(func() { ok(t, db.Close()) })
	return db
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	conform(t, openSQLite)
}

func TestSQLiteIsUsedByOneProcess(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	db := must(Open(ctx, Options{DSN: dir}))(t)
	_, err := Open(ctx, Options{DSN: filepath.Join(dir, sqliteFile)})
	var used *InUseError
	if !errors.As(err, &used) || used.PID != strconv.Itoa(os.Getpid()) || !strings.Contains(err.Error(), "in use by process") {
		t.Fatalf("the second one got %v", err)
	}
	ok(t, db.Ping(ctx))
	ok(t, db.Close())
	db = must(Open(ctx, Options{DSN: dir}))(t) // what is left of the lock means nothing
	ok(t, db.Close())
}

func TestSQLiteSpeaksClearly(t *testing.T) {
	ctx := context.Background()
	write := func(name string, mode os.FileMode, content string) string {
		path := filepath.Join(t.TempDir(), name)
		ok(t, os.WriteFile(path, []byte(content), mode))
		return path
	}
	damaged := func() string {
		dir := freshSQLite(t)
		db := must(Open(ctx, Options{DSN: dir}))(t)
		ok(t, db.Declare(ctx, claimsOf(500, epoch)))
		ok(t, db.Close())
		path := filepath.Join(dir, sqliteFile)
		b := must(os.ReadFile(path))(t)
		for i := 4096; i < len(b); i++ { // every page but the first, which holds the schema's beginning
			b[i] ^= 0x5a
		}
		ok(t, os.WriteFile(path, b, 0o600))
		return path
	}
	for name, c := range map[string]struct{ dsn, want string }{
		"no place":       {"", "no place given"},
		"another scheme": {"mysql://db/x", "mysql:// is not supported"},
		"not a database": {write("x.db", 0o600, strings.Repeat("certainly no database. ", 400)), "is not a SQLite database"},
		"a damaged file": {damaged(), "is damaged"},
		"below a file":   {filepath.Join(write("plain", 0o600, ""), "state"), "not a directory"},
		"a bad address":  {"postgres://u:secret@host:port/x", "open database"},
		"nobody there":   {"postgres://u:secret@127.0.0.1:1/x?connect_timeout=2", "127.0.0.1:1"},
		"a device":       {"/dev/null", "neither a file nor a directory"},
	} {
		db, err := Open(ctx, Options{DSN: c.dsn})
		if err == nil {
			err = errors.Join(errors.New("opened"), db.Close())
		}
		if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want it to say %q and no password", name, err, c.want)
		}
	}
}

func TestFullDisk(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t, newClock())
	ok(t, db.Declare(ctx, claimsOf(10, epoch)))
	var pages int
	ok(t, db.write.QueryRow(`PRAGMA page_count`).Scan(&pages))
	if _, err := db.write.Exec(`PRAGMA max_page_count = ` + strconv.Itoa(pages)); err != nil {
		t.Fatal(err)
	}
	err := db.Declare(ctx, claimsOf(2000, epoch))
	if !errors.Is(err, assure.ErrFull) || !strings.Contains(err.Error(), "is full; nothing was written") {
		t.Fatalf("a full disk: %v", err)
	}
	if n := must(db.Rows(ctx, assure.RowQuery{}))(t).Total; n != 10 {
		t.Fatalf("%d certificates after the refusal, want the 10 of before", n)
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	ctx := context.Background()
	for name, change := range map[string]string{
		"ours":        `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`,
		"the queue's": `INSERT INTO river_migration (line, version) VALUES ('main', 999)`,
	} {
		dir := freshSQLite(t)
		db := must(Open(ctx, Options{DSN: dir}))(t)
		if _, err := db.write.Exec(change); err != nil {
			t.Fatal(err)
		}
		ok(t, db.Close())
		if db, err := Open(ctx, Options{DSN: dir}); err == nil || !strings.Contains(err.Error(), "newer") {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				ok(t, db.Close())
			}
		}
	}
}
