package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/notafter/notafter/internal/iac"
)

// runDriftOfPlan says which of the drift that a plan tells of renewal rests on.
func (p *program) runDriftOfPlan(ctx context.Context, o driftOptions) error {
	plan, err := p.readPlan(ctx, o.plan)
	if err != nil {
		return err
	}
	return p.tellDrift(o, plan, o.plan)
}

// tellDrift judges what has drifted. What the plan would do about it is guard's question: here every resource stays as it
// is.
func (p *program) tellDrift(o driftOptions, plan *iac.Plan, name string) error {
	still := *plan
	still.Changes, still.Past = nil, true
	for _, c := range plan.Changes {
		if c.Before == nil {
			continue
		}
		c.Address, c.Previous = c.Was(), ""
		c.Do, c.After, c.Unknown = iac.NoOp, c.Before, nil
		still.Changes = append(still.Changes, c)
	}
	verdict := iac.Judge(&still, iac.Inventory{})
	if err := p.writeVerdict(verdict, guardOptions{output: o.format, drift: true}, name, ""); err != nil {
		return err
	}
	if code := guardStatus(verdict.Class); code != exitUpheld {
		return status{code: code}
	}
	return nil
}

// runDriftOfCommand has the user's own command look for drift, and reads what it found. What it says goes to standard
// error, which leaves standard output to what matters.
func (p *program) runDriftOfCommand(ctx context.Context, o driftOptions, command []string) error {
	verb := slices.Index(command, "plan")
	switch {
	case !isTool(command[0]):
		return misuse("%q is none of %s: it could not be asked for drift", clip(command[0], 60), strings.Join(tools, ", "))
	case verb < 1 || !slices.ContainsFunc(command[verb:], func(a string) bool { return strings.TrimLeft(a, "-") == "refresh-only" }):
		return misuse("the command looks for no drift: want, for instance, -- %s plan -refresh-only", filepath.Base(command[0]))
	case slices.ContainsFunc(command[verb:], func(a string) bool { return strings.HasPrefix(strings.TrimLeft(a, "-"), "out=") }):
		return misuse("leave -out away: the plan is kept only until it is read, because it holds values in clear text")
	}
	dir, err := os.MkdirTemp("", "notafter-drift-") // for this user's eyes only
	if err != nil {
		return failed(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "drift.tfplan")
	quiet := *p
	quiet.stdout = p.stderr
	ran, err := quiet.pass(ctx, append(slices.Clone(command), "-out="+file))
	switch {
	case err != nil:
		return err
	case ran.interrupted:
		return status{code: exitInterrupted, err: errors.New("interrupted")}
	case ran.exit != 0 && ran.exit != 2: // 2 says with -detailed-exitcode that there is something in the plan
		return status{code: exitUnknown, err: fmt.Errorf("%s plan ended with status %d: whether anything has drifted is not known", filepath.Base(command[0]), ran.exit)}
	}
	saved := &savedPlan{command: append(slices.Clone(command[:verb]), "plan", file), verb: verb, plan: verb + 1, file: file}
	plan, err := saved.show(ctx, p)
	if err != nil {
		return err
	}
	return p.tellDrift(o, plan, "-")
}
