package patrol

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// backStep is how far a clock must be set back to be noticed. Smaller steps, as a daemon makes them that keeps a clock
// right, put off the next look by no more than that.
const backStep = time.Minute

// putRight notices a clock that was set back between two ticks: by somebody, or by NTP on a machine that started with a
// wrong time. What was planned by the old time would wait until that time comes again, which may be years, so the claims
// are declared again, which plans it anew. It goes on trying until that has worked; it is logged once.
func (p *Patrol) putRight(ctx context.Context, now time.Time) error {
	wall := now.UnixMicro() // the difference of two times from time.Now would be that of the monotonic clock
	p.mu.Lock()
	back := time.Duration(p.walked-wall) * time.Microsecond
	stepped := p.walked != 0 && back > backStep
	p.walked = wall
	var held []int
	if stepped {
		p.heal, p.extended = true, time.Time{}
		for s := range p.inFlight {
			held = append(held, s)
		}
	}
	heal := p.heal
	p.mu.Unlock()
	if stepped {
		p.Logger.Warn("the clock was set back; looks and notices are planned anew", slog.Duration("by", back), slog.Time("now", now))
		for _, s := range held {
			p.done(ctx, s) // its job may wait for the old time; if it runs, looking twice does no harm
		}
	}
	if !heal {
		return nil
	}
	p.declaring.Lock()
	defer p.declaring.Unlock()
	if p.source != nil {
		if err := p.declare(ctx, p.source); err != nil {
			return fmt.Errorf("plan anew after the clock was set back: %w", err)
		}
	}
	p.mu.Lock()
	p.heal = false
	p.mu.Unlock()
	return nil
}
