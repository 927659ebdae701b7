package patrol

import (
	"context"
	"time"
)

// Run ticks until ctx ends. An error of the ledger is logged and the next tick tries again: what is due stays due, and
// a patrol that cannot work shows as stale evidence and as a heartbeat withheld.
func (p *Patrol) Run(ctx context.Context, tick, scan time.Duration) {
	ticks, scans := time.NewTicker(tick), time.NewTicker(scan)
	defer ticks.Stop()
	defer scans.Stop()
	for {
		if _, err := p.Tick(ctx); err != nil && ctx.Err() == nil {
			p.Logger.Error("patrol tick", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-scans.C:
			if _, err := p.Scan(ctx); err != nil && ctx.Err() == nil {
				p.Logger.Error("patrol scan", "error", err)
			}
		}
	}
}
