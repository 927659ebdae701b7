package app

import (
	"context"
	"strings"

	"github.com/notafter/notafter/internal/notify"
	"github.com/notafter/notafter/internal/patrol"
	"github.com/notafter/notafter/internal/store"
	"github.com/notafter/notafter/internal/web"
)

// ledger lets the store be the patrol's ledger: the one method whose result is named by both rooms is adapted here.
type ledger struct{ *store.DB }

// Begin opens a transaction.
func (l ledger) Begin(ctx context.Context) (patrol.Tx, error) {
	tx, err := l.DB.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return tx, nil
}

// The store serves every room that declares what it needs.
var (
	_ patrol.Ledger = ledger{}
	_ notify.Outbox = (*store.DB)(nil)
	_ web.Reader    = (*store.DB)(nil)
	_ web.Changer   = (*store.DB)(nil)
	_ web.Accounts  = (*store.DB)(nil)
	_ web.Grants    = (*store.DB)(nil)
)

// hostOf is the part of an owner's name that people know.
func hostOf(owner string) string {
	host, _, _ := strings.Cut(owner, "/")
	return host
}
