package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// keeping opens connections to SQLite that keep what they prepared. Parsing takes SQLite longer than most of our statements
// take to run, and those of the job queue come as texts; database/sql can keep statements for a pool, but prepares none
// inside a transaction.
type keeping struct{ driver.Connector }

// liteConn is what a connection to SQLite can do; hiding any of it would have database/sql fall back to methods that know
// no context.
type liteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// liteStmt is what a statement of SQLite can do.
type liteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// Connect implements [driver.Connector].
func (k keeping) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	able, ok := c.(liteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("connect to SQLite: a %T cannot do what is needed", c), c.Close())
	}
	return &keptConn{liteConn: able, kept: map[string]*keptStmt{}}, nil
}

// keptConn is a connection with the statements that were prepared on it. Like every [driver.Conn] it is used by one
// goroutine at a time.
type keptConn struct {
	liteConn
	kept map[string]*keptStmt
}

type keptStmt struct {
	liteStmt
	busy bool // its rows are being read
}

// mostKept bounds the statements of one connection. Their texts are few: they are written in this program and in the job
// queue, and lists have few lengths.
const mostKept = 400

// Unwrap gives the connection of the library, which looks for it.
func (c *keptConn) Unwrap() driver.Conn { return c.liteConn }

// Close implements [driver.Conn].
func (c *keptConn) Close() error {
	err := c.forget()
	return errors.Join(err, c.liteConn.Close())
}

// forget closes what is kept and not in use.
func (c *keptConn) forget() error {
	var errs []error
	for text, s := range c.kept {
		if !s.busy {
			errs = append(errs, s.Close())
			delete(c.kept, text)
		}
	}
	return errors.Join(errs...)
}

// take gives the statement of a text for one use. Nil: run the text itself.
func (c *keptConn) take(ctx context.Context, text string) (*keptStmt, error) {
	if s := c.kept[text]; s != nil {
		if s.busy {
			return nil, nil
		}
		s.busy = true
		return s, nil
	}
	if strings.Contains(strings.TrimRight(text, "; \t\r\n"), ";") {
		return nil, nil // several statements are no statement; a semicolon in a literal is rare
	}
	if len(c.kept) >= mostKept {
		if err := c.forget(); err != nil {
			return nil, err
		}
	}
	p, err := c.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	able, ok := p.(liteStmt)
	if !ok {
		return nil, p.Close()
	}
	s := &keptStmt{liteStmt: able, busy: true}
	c.kept[text] = s
	return s, nil
}

// ExecContext implements [driver.ExecerContext].
func (c *keptConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, text)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.liteConn.ExecContext(ctx, text, args)
	}
	defer func() { s.busy = false }()
	return s.ExecContext(ctx, args)
}

// QueryContext implements [driver.QueryerContext].
func (c *keptConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, text)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.liteConn.QueryContext(ctx, text, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		s.busy = false
		return nil, err
	}
	return &keptRows{rows, s}, nil
}

// keptRows are the rows of a kept statement, which is free again when they are closed.
type keptRows struct {
	driver.Rows
	of *keptStmt
}

// Close implements [driver.Rows].
func (r *keptRows) Close() error {
	defer func() { r.of.busy = false }()
	return r.Rows.Close()
}
