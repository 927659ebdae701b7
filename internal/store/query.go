package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/notafter/notafter/internal/assure"
)

// querier runs statements, on a pool or in a transaction.
type querier struct {
	db   *DB
	pool *sql.DB
	tx   *sql.Tx // nil: on the pool
}

func (db *DB) reader() querier           { return querier{db: db, pool: db.read} }
func (db *DB) writer(tx *sql.Tx) querier { return querier{db: db, pool: db.write, tx: tx} }

func (q querier) exec(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if q.tx != nil {
		return q.tx.ExecContext(ctx, text, args...)
	}
	return q.pool.ExecContext(ctx, text, args...)
}

func (q querier) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if q.tx != nil {
		return q.tx.QueryContext(ctx, text, args...)
	}
	return q.pool.QueryContext(ctx, text, args...)
}

// scanner is one row.
type scanner interface{ Scan(...any) error }

func (q querier) row(ctx context.Context, text string, args ...any) scanner {
	if q.tx != nil {
		return q.tx.QueryRowContext(ctx, text, args...)
	}
	return q.pool.QueryRowContext(ctx, text, args...)
}

// each calls scan for every row of the answer.
func (q querier) each(ctx context.Context, scan func(scanner) error, text string, args ...any) (err error) {
	rows, err := q.query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// all collects the rows of the answer.
func all[T any](ctx context.Context, q querier, scan func(scanner) (T, error), text string, args ...any) ([]T, error) {
	var out []T
	err := q.each(ctx, func(s scanner) error {
		v, err := scan(s)
		out = append(out, v)
		return err
	}, text, args...)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// begin opens a write transaction.
func (db *DB) begin(ctx context.Context) (*sql.Tx, error) {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, db.wrap(err, "begin a transaction")
	}
	return tx, nil
}

// transact runs do in a write transaction and commits it, or rolls it back when do returns an error.
func (db *DB) transact(ctx context.Context, what string, do func(querier) error) error {
	tx, err := db.begin(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := do(db.writer(tx)); err != nil {
		return errors.Join(db.wrap(err, what), rollback(tx))
	}
	if err := db.commit(tx); err != nil {
		return errors.Join(db.wrap(err, what+": commit"), rollback(tx))
	}
	return nil
}

// view runs do in one snapshot of committed state.
func (db *DB) view(ctx context.Context, what string, do func(querier) error) error {
	tx, err := db.read.BeginTx(ctx, db.d.snapshot)
	if err != nil {
		return db.wrap(err, what)
	}
	err = do(querier{db: db, pool: db.read, tx: tx})
	if err != nil {
		err = db.wrap(err, what)
	}
	return errors.Join(err, rollback(tx))
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// wrap says what was being done, turns what another process caused into [assure.ErrConflict], and adds what a person can
// do about a full disk and the like.
func (db *DB) wrap(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, assure.ErrConflict) || errors.Is(err, assure.ErrNotFound):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %w", what, assure.ErrNotFound)
	case db.d.conflict != nil && db.d.conflict(err):
		return fmt.Errorf("%s: %w: %w", what, assure.ErrConflict, err)
	case db.d.explain != nil:
		return fmt.Errorf("%s: %w", what, db.d.explain(err))
	}
	return fmt.Errorf("%s: %w", what, err)
}

// marks gives ($from, ..., $from+n-1).
func marks(from, n int) string {
	var b strings.Builder
	b.WriteByte('(')
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(from + i))
	}
	b.WriteByte(')')
	return b.String()
}

// rowMarks gives n rows of placeholders, each with that many columns, and nothing else may stand in the statement. With
// types, i or t for each column, each is cast: PostgreSQL has nothing else to tell the type of a list of values from.
// SQLite is given placeholders without numbers, because it searches a list for each that has one.
func (q querier) rowMarks(n, columns int, types string) string {
	var b strings.Builder
	for r := range n {
		if r > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for c := range columns {
			if c > 0 {
				b.WriteString(", ")
			}
			k := "?"
			if q.db.d.numbered {
				k = "$" + strconv.Itoa(r*columns+c+1)
			}
			switch {
			case types == "" || !q.db.d.numbered:
				b.WriteString(k)
			case types[c] == 'i':
				b.WriteString("CAST(" + k + " AS BIGINT)")
			default:
				b.WriteString("CAST(" + k + " AS TEXT)")
			}
		}
		b.WriteByte(')')
	}
	return b.String()
}

// chunks calls do with runs of at most 64 elements, in sizes of powers of two, so that the texts made for them are few.
func chunks[T any](list []T, do func([]T) error) error {
	for len(list) > 0 {
		n := 64
		for n > len(list) {
			n /= 2
		}
		if err := do(list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// never is the time of what is not due at any time.
const never = int64(1) << 61

// micro gives a time as it is stored; zero for the zero time.
func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment is the inverse of micro.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// clean makes free text storable: PostgreSQL takes neither NUL nor what is not UTF-8. What peers send may hold both.
func clean(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// bounds turns a limit and an offset of a caller into ones that are safe.
func bounds(limit, offset, usual, most int) (int, int) {
	if limit <= 0 {
		limit = usual
	}
	return min(limit, most), max(offset, 0)
}
