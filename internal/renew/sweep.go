package renew

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Sweepable is the part of the [Ledger] that [Sweep] needs.
type Sweepable interface {
	DropPending(ctx context.Context, id string) error
	Abandoned(ctx context.Context, now, until time.Time, limit int) ([]assure.Pending, error)
}

// Bounds of one sweep.
const (
	sweepMost = 100
	// sweepEach is for how long one value is tried. All that are taken at once are ours for as long as they can take.
	sweepEach = 30 * time.Second
	sweepHold = 5 * time.Minute
)

// Sweep withdraws the values that were written by somebody who did not come back for them, and forgets each that is
// gone. find gives the DNS writer of a renewer, nil when there is none any more. What could not be withdrawn stays on
// record and is tried again by a later sweep; err joins a [*assure.Trouble] for each. done is how many are gone.
func Sweep(ctx context.Context, ledger Sweepable, find func(renewer string) DNS, now time.Time) (done int, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepHold)
	defer cancel()
	left, err := ledger.Abandoned(ctx, now, now.Add(sweepHold), sweepMost)
	if err != nil {
		return 0, fmt.Errorf("list abandoned DNS values: %w", err)
	}
	var errs []error
	for _, p := range left {
		if ctx.Err() != nil {
			errs = append(errs, fmt.Errorf("sweep abandoned DNS values: %w", ctx.Err()))
			break
		}
		if err := sweepOne(ctx, ledger, find(p.Renewer), p); err != nil {
			errs = append(errs, err)
			continue
		}
		done++
	}
	return done, errors.Join(errs...)
}

func sweepOne(ctx context.Context, ledger Sweepable, d DNS, p assure.Pending) error {
	if d == nil {
		return &assure.Trouble{
			Reason: assure.DNSWriteFailed, Class: assure.TroubleMissing, Scope: p.Name,
			Detail: fmt.Sprintf("the TXT value %q that the renewer %s left at %s cannot be withdrawn: that renewer is no longer configured", clip(p.Value), p.Renewer, p.Name),
			Remedy: "Take the value out by hand, or configure the renewer again.",
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sweepEach)
	defer cancel()
	if err := d.Withdraw(ctx, p.Name, p.Value); err != nil {
		t := *assure.TroubleOf(err, assure.DNSWriteFailed)
		t.Detail = clip(fmt.Sprintf("withdraw a TXT value that was left at %s: %s", p.Name, t.Detail))
		return &failure{&t, err}
	}
	if err := ledger.DropPending(ctx, p.ID); err != nil {
		return fmt.Errorf("forget a DNS value that was withdrawn from %s: %w", p.Name, err)
	}
	return nil
}
