package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/iac"
)

// InventoryFile is the snapshot in the state directory, for `notafter guard --inventory`.
const InventoryFile = "inventory.json"

const (
	// inventoryTicks is after how many ticks it is looked again whether the snapshot is still true: once a minute. Looking
	// takes a query for each certificate, so that with very many it is done less often.
	inventoryTicks = 60
	// inventoryRefresh is after how long it is written again although nothing has changed, so that its age tells whether
	// somebody still keeps it.
	inventoryRefresh = time.Hour
)

// Inventory is what is known of the certificates now: what the configuration declares, when renewals are due, who renews
// and by which grant, as the cloud named it. It holds no secrets.
func (a *App) Inventory(ctx context.Context) (iac.Inventory, error) {
	w := a.world.Load()
	inv := Inventory(w.config, a.now())
	until, err := a.served(ctx)
	if err != nil {
		return iac.Inventory{}, err
	}
	for i := range inv.Certificates {
		c := &inv.Certificates[i]
		if end := until[c.Name]; !end.IsZero() {
			c.NotAfter = end.UTC()
		}
		if w.keeper == nil || !w.keeper.Has(c.Name) {
			continue
		}
		if books, ok := w.keeper.Books(c.Name); ok {
			c.Next = books.State.Due.UTC()
			if books.Newest != nil && (c.NotAfter.IsZero() || books.Newest.NotAfter.Before(c.NotAfter)) {
				c.NotAfter = books.Newest.NotAfter.UTC()
			}
		}
		if err := a.asked(ctx, c); err != nil {
			return iac.Inventory{}, err
		}
	}
	return inv, nil
}

// served is until when each certificate lasts where it is served.
func (a *App) served(ctx context.Context) (map[string]time.Time, error) {
	const page = 500
	out := map[string]time.Time{}
	for offset := 0; ; offset += page {
		rows, err := a.db.Rows(ctx, assure.RowQuery{Order: assure.ByName, Limit: page, Offset: offset})
		if err != nil {
			return nil, err
		}
		for _, r := range rows.Rows {
			out[r.Certificate] = r.ValidUntil
		}
		if len(rows.Rows) < page {
			return out, nil
		}
	}
}

// asked adds who may write a certificate's challenges, and by what, as the cloud last answered.
func (a *App) asked(ctx context.Context, c *iac.Certificate) error {
	v, err := a.db.Certificate(ctx, c.Name, 500, 0)
	if errors.Is(err, assure.ErrNotFound) {
		return nil // declared, and not looked at yet: it is known as the configuration has it
	}
	if err != nil {
		return err
	}
	// A rung and the comparison with what is expected ask the same: the newest answer counts.
	newest := slices.DeleteFunc(v.Claims, func(cl assure.ClaimView) bool { return cl.Evidence == nil })
	slices.SortStableFunc(newest, func(a, b assure.ClaimView) int { return b.Evidence.LastSeen.Compare(a.Evidence.LastSeen) })
	answered := map[[2]string]bool{}
	for _, cl := range newest {
		r, ok := cl.Evidence.Fact.(assure.Rehearsed)
		if !ok {
			continue
		}
		for _, x := range r.Access {
			c.Identities = appendNew(c.Identities, x.Identity)
			about := [2]string{x.Action, x.Scope}
			before := answered[about]
			answered[about] = true
			if before || x.Answer != assure.Allowed {
				continue
			}
			if len(x.Grants) > 0 {
				c.Allowed = append(c.Allowed, iac.Allowance{Action: x.Action, Scope: x.Scope, Grants: x.Grants, Whole: x.Whole})
			}
		}
	}
	for _, a := range c.Allowed {
		// What may only be read is often allowed by more than what lets the challenge be written, and nothing rests on that.
		if !slices.ContainsFunc(c.Allowed, func(b iac.Allowance) bool { return len(b.Grants) < len(a.Grants) && within(b.Grants, a.Grants) }) {
			c.Grants = appendNew(c.Grants, a.Grants...)
		}
	}
	return nil
}

func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// Snapshot is the inventory as JSON.
func (a *App) Snapshot(ctx context.Context) ([]byte, error) {
	inv, err := a.Inventory(ctx)
	if err != nil {
		return nil, fmt.Errorf("take the inventory: %w", err)
	}
	return inv.Encode()
}

// keepInventory keeps the snapshot in the state directory true until ctx ends. With PostgreSQL there is no such
// directory: then it is had from the API alone.
func (a *App) keepInventory(ctx context.Context) error {
	if a.db.Kind() != "sqlite" {
		return nil
	}
	path := filepath.Join(stateDirectory(a.opts.Config.State.Value()), InventoryFile)
	sweepBeside(path)
	var kept []byte // what stands in the file, without its time
	var keptAt time.Time
	var failed string
	pause := inventoryTicks * a.opts.Tick
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		began := time.Now() // how long it takes is the machine's business, whatever the time is said to be
		inv, err := a.Inventory(ctx)
		if err == nil {
			at := inv.At
			inv.At = time.Time{}
			var b []byte
			if b, err = inv.Encode(); err == nil && (!bytes.Equal(b, kept) || at.Sub(keptAt) >= inventoryRefresh || at.Before(keptAt)) {
				inv.At = at
				var whole []byte
				if whole, err = inv.Encode(); err == nil {
					err = replaceFile(path, whole)
				}
				if err == nil {
					kept, keptAt = b, at
					sweepBeside(path)
				}
			}
		}
		switch {
		case err == nil:
			failed = ""
		case ctx.Err() == nil && err.Error() != failed:
			failed = err.Error()
			a.log.Warn("keep the inventory for guard", "file", path, "error", err)
		}
		timer.Reset(max(pause, 20*time.Since(began)))
	}
}

// replaceFile puts a file in the place of another in one step: whoever reads it sees the one or the other, whole.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone once it was renamed
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// abandoned is after how long a file that was to be put in the place of another is nobody's any more: writing one takes
// seconds. Two states may lie in one directory, so that the lock of ours does not say it.
const abandoned = time.Hour

// sweepBeside takes away what a process left beside a file when it was killed between writing and renaming.
func sweepBeside(path string) {
	found, _ := os.ReadDir(filepath.Dir(path))
	for _, f := range found {
		// The name is that of os.CreateTemp in replaceFile.
		digits, ours := strings.CutPrefix(f.Name(), "."+filepath.Base(path)+".")
		if !ours || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		if info, err := f.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(filepath.Dir(path), f.Name())) // what stays is taken away the next time
		}
	}
}

// stateDirectory is where the state lies, which may be named by its database file.
func stateDirectory(state string) string {
	if info, err := os.Stat(state); err == nil && !info.IsDir() {
		return filepath.Dir(state)
	}
	return state
}
