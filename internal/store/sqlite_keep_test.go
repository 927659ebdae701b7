package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"testing"
)

func keepingDB(tb testing.TB) *sql.DB {
	tb.Helper()
	db, err := openKeeping("file:" + filepath.Join(tb.TempDir(), "t.db"))
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = db.Close() })
	for _, text := range []string{`CREATE TABLE t (n INTEGER PRIMARY KEY, word TEXT); CREATE INDEX w ON t (word);`, `INSERT INTO t (n, word) VALUES (1, 'a'), (2, 'b'), (3, 'c')`} {
		if _, err := db.ExecContext(tb.Context(), text); err != nil {
			tb.Fatal(err)
		}
	}
	return db
}

// Statements that are kept answer as ones that are not: inside one another, after a change of the tables, after an error
// and after a call that was cut short.
func TestKeptStatements(t *testing.T) {
	t.Parallel()
	db := keepingDB(t)
	ctx := t.Context()
	const each = `SELECT n FROM t WHERE n >= $1 ORDER BY n`
	for range 3 {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		outer, err := tx.QueryContext(ctx, each, 1)
		if err != nil {
			t.Fatal(err)
		}
		var pairs [][2]int
		for outer.Next() {
			var a int
			if err := outer.Scan(&a); err != nil {
				t.Fatal(err)
			}
			inner, err := tx.QueryContext(ctx, each, 2) // the same text while its rows are being read
			if err != nil {
				t.Fatal(err)
			}
			for inner.Next() {
				var b int
				if err := inner.Scan(&b); err != nil {
					t.Fatal(err)
				}
				pairs = append(pairs, [2]int{a, b})
			}
			if err := errors.Join(inner.Err(), inner.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(outer.Err(), outer.Close(), tx.Commit()); err != nil {
			t.Fatal(err)
		}
		if len(pairs) != 6 || pairs[0] != [2]int{1, 2} || pairs[5] != [2]int{3, 3} {
			t.Errorf("read %v", pairs)
		}
	}

	var word string
	const find = `SELECT * FROM t WHERE n = $1`
	var n int
	if err := db.QueryRowContext(ctx, find, 2).Scan(&n, &word); err != nil || word != "b" {
		t.Errorf("read %q, %v", word, err)
	}
	if _, err := db.ExecContext(ctx, `ALTER TABLE t ADD COLUMN more INTEGER NOT NULL DEFAULT 7`); err != nil {
		t.Fatal(err)
	}
	more := 0
	if err := db.QueryRowContext(ctx, find, 2).Scan(&n, &word, &more); err != nil || more != 7 {
		t.Errorf("after the table changed: %d, %v", more, err)
	}

	const put = `INSERT INTO t (n, word) VALUES ($1, $2)`
	for range 2 {
		if _, err := db.ExecContext(ctx, put, 1, "again"); err == nil {
			t.Error("a key stands twice")
		}
	}
	if _, err := db.ExecContext(ctx, put, 4, "d"); err != nil {
		t.Errorf("after an error: %v", err)
	}

	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := db.ExecContext(gone, put, 5, "e"); !errors.Is(err, context.Canceled) {
		t.Errorf("cut short: %v", err)
	}
	if _, err := db.ExecContext(ctx, put, 5, "e"); err != nil {
		t.Errorf("after one that was cut short: %v", err)
	}
	count := 0
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM t`).Scan(&count); err != nil || count != 5 {
		t.Errorf("%d rows, %v", count, err)
	}
}

// However many texts there are, a connection keeps a bounded number of them.
func TestKeptStatementsAreBounded(t *testing.T) {
	t.Parallel()
	db := keepingDB(t)
	for i := range mostKept + 50 {
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT n FROM t WHERE n = 1 -- "+strconv.Itoa(i)).Scan(&n); err != nil || n != 1 {
			t.Fatalf("text %d: %d, %v", i, n, err)
		}
	}
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Raw(func(raw any) error {
		if k := raw.(*keptConn); len(k.kept) == 0 || len(k.kept) > mostKept {
			t.Errorf("%d are kept", len(k.kept))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
