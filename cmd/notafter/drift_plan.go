package main

import (
	"context"

	"github.com/notafter/notafter/internal/iac"
)

// runDriftOfPlan says which of the drift that a plan tells of renewal rests on. What the plan would do about it is guard's
// question: here every resource stays as it is.
func (p *program) runDriftOfPlan(ctx context.Context, o driftOptions) error {
	plan, err := p.readPlan(ctx, o.plan)
	if err != nil {
		return err
	}
	still := *plan
	still.Changes = nil
	for _, c := range plan.Changes {
		if c.Before == nil {
			continue
		}
		c.Address, c.Previous = c.Was(), ""
		c.Do, c.After, c.Unknown = iac.NoOp, c.Before, nil
		still.Changes = append(still.Changes, c)
	}
	verdict := iac.Judge(&still, iac.Inventory{})
	if err := p.writeVerdict(verdict, guardOptions{output: o.format, drift: true}, o.plan, ""); err != nil {
		return err
	}
	if code := guardStatus(verdict.Class); code != exitUpheld {
		return status{code: code}
	}
	return nil
}
