package app

import (
	"context"
	"fmt"
	"time"
)

// refresh tells forgetful services again what still holds. Alertmanager keeps alerts in memory: without this, its
// restart would look like a recovery.
func (a *App) refresh(ctx context.Context) error {
	w := a.world.Load()
	for _, name := range w.deliverer.Names() {
		every := w.deliverer.RefreshEvery(name)
		if every <= 0 || a.now().Sub(a.refreshed[name]) < every {
			continue
		}
		firing, err := a.db.Firing(ctx, name)
		if err != nil {
			return fmt.Errorf("read what %s was told: %w", name, err)
		}
		for _, d := range firing {
			if fact, ok := w.deliverer.Refresh(ctx, d); ok {
				a.delivered(ctx, fact)
			}
		}
		if a.refreshed == nil {
			a.refreshed = map[string]time.Time{}
		}
		a.refreshed[name] = a.now()
	}
	return nil
}
