package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/iac"
)

type guardOptions struct {
	config, inventory, overrides, output string
	drift                                bool // the plan is read for what vanished, see [iac.RenderOptions]
}

var guardOutputs = []string{"text", "json", "sarif", "markdown"}

func (p *program) guard() *cobra.Command {
	var o guardOptions
	cmd := &cobra.Command{
		Use:   "guard (PLAN.json | -)",
		Short: "Judge a Terraform or OpenTofu plan before it is applied: does renewal survive it?",
		Long: `guard reads a plan in the JSON of "terraform show -json" or "tofu show -json" and says what it does to the
renewal of certificates. It needs no configuration and no network. When renewal is untouched it says nothing.

Otherwise it states the consequence: what stops renewing and when that first hurts, whose identity loses what
on which zone, and what to change in the code. With --config or --inventory it names the certificates, and
the date on which each would first be missed.

A finding can be let pass for a time: somebody answers for it, by name, in ` + iac.OverridesFile + ` beside the
plan or in the working directory. The lines to fill in come after the findings.

Exit statuses
  0    renewal is untouched, or somebody answers for everything found
  1    renewal would break or lose its protection (lost, narrowed, gap, collision, orphaned, blocked)
  2    wrong use, or a plan, an inventory or overrides that cannot be read; nothing was judged
  3    nothing is certain to break, but the plan does not say enough (unknown, incomplete)
  130  interrupted`,
		Example: `  terraform show -json plan.tfplan | notafter guard -
  tofu show -json plan.tfplan > plan.json && notafter guard plan.json
  notafter guard --inventory inventory.json plan.json
  notafter guard --output markdown plan.json > comment.md
  notafter guard --output sarif plan.json > guard.sarif`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return misuse("which plan? give the file of \"terraform show -json\", or - for standard input")
			case len(args) > 1:
				return misuse("one plan at a time: got %q and %q", clip(args[0], 60), clip(args[1], 60))
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error { return p.runGuard(cmd.Context(), o, args[0]) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.output, "output", "o", "text", "`FORMAT` of the result: "+strings.Join(guardOutputs, ", "))
	f.StringVarP(&o.config, "config", "c", "", "know the certificates from the configuration in `FILE`, as serve takes it; its secrets are not read")
	f.StringVar(&o.inventory, "inventory", "", "know the certificates, their dates and grants from the snapshot in `FILE`, as serve writes it")
	f.StringVar(&o.overrides, "overrides", "", "who answers for which finding stands in `FILE` (default "+iac.OverridesFile+" beside the plan, or here)")
	completed(cmd, "output", guardOutputs...)
	return cmd
}

// guardStatus is the exit status that a verdict means.
func guardStatus(c iac.Class) int {
	switch {
	case c.Fails():
		return exitBroken
	case c != iac.Safe:
		return exitUnknown
	}
	return exitUpheld
}

func (p *program) runGuard(ctx context.Context, o guardOptions, name string) error {
	if !slices.Contains(guardOutputs, o.output) {
		return misuse("--output %q is not possible: want one of %s", clip(o.output, 40), strings.Join(guardOutputs, ", "))
	}
	if o.config != "" && o.inventory != "" {
		return misuse("give either --config or --inventory, not both: a snapshot holds what the configuration declares")
	}
	inv, err := p.guardInventory(ctx, o)
	if err != nil {
		return err
	}
	overrides, from, err := p.guardOverrides(ctx, o.overrides, name)
	if err != nil {
		return err
	}
	plan, err := p.readPlan(ctx, name)
	if err != nil {
		return err
	}
	verdict, notes := p.judge(plan, inv, overrides)
	for _, n := range notes {
		_, _ = fmt.Fprintf(p.stderr, "notafter: note: %s: %s\n", clean(from), clean(n))
	}
	if err := p.writeVerdict(verdict, o, name, from); err != nil {
		return status{exitUsage, fmt.Errorf("write the result: %w", err)}
	}
	if code := guardStatus(verdict.Class); code != exitUpheld {
		return status{code: code}
	}
	return nil
}

// judge says what a plan does to renewal, with what of it somebody answers for. "In 10 days" counts from now, however old
// the inventory is.
func (p *program) judge(plan *iac.Plan, inv iac.Inventory, overrides []iac.Override) (iac.Verdict, []string) {
	current := inv
	current.At = p.now()
	return iac.Judge(plan, current).Counterfactual(plan, inv).Override(overrides, p.now())
}

func (p *program) writeVerdict(v iac.Verdict, o guardOptions, name, overrides string) error {
	out := outputOf(p)
	r := iac.RenderOptions{
		Now: p.now(), Columns: out.columns, Colour: out.colour, Overrides: overrides, Inventory: o.config != "" || o.inventory != "", Version: version(),
		Drift: o.drift,
	}
	if name != "-" {
		r.Plan = name
	}
	switch o.output {
	case "json":
		return v.JSON(p.stdout)
	case "sarif":
		return v.SARIF(p.stdout, r)
	case "markdown":
		return v.Markdown(p.stdout, r)
	}
	return v.Text(p.stdout, r)
}

// guardInventory gives what is known of the certificates; nothing when neither flag is given.
func (p *program) guardInventory(ctx context.Context, o guardOptions) (iac.Inventory, error) {
	switch {
	case o.config != "":
		c, err := config.Load(o.config)
		if err != nil {
			return iac.Inventory{}, err
		}
		return app.Inventory(c, p.now()), nil
	case o.inventory != "":
		inv, err := await(ctx, func() (iac.Inventory, error) {
			f, err := os.Open(o.inventory)
			if err != nil {
				return iac.Inventory{}, fmt.Errorf("read the inventory: %w", err)
			}
			defer func() { _ = f.Close() }()
			inv, err := iac.ReadInventory(f)
			if err != nil {
				return inv, fmt.Errorf("read the inventory %s: %w", o.inventory, err)
			}
			return inv, nil
		})
		if err != nil {
			return iac.Inventory{}, err
		}
		if age := inv.Age(p.now()); age != "" {
			_, _ = fmt.Fprintf(p.stderr, "notafter: note: %s: %s\n", clean(o.inventory), age)
		}
		return inv, nil
	}
	return iac.Inventory{}, nil
}

// guardOverrides reads who answers for what. Without a name, the file is looked for beside the plan and in the working
// directory; from is the one that was read, or that people should write.
func (p *program) guardOverrides(ctx context.Context, name, plan string) (list []iac.Override, from string, err error) {
	places := []string{name}
	if name == "" {
		places = []string{iac.OverridesFile}
		if dir := filepath.Dir(plan); plan != "-" && dir != "." {
			places = []string{filepath.Join(dir, iac.OverridesFile), iac.OverridesFile}
		}
	}
	for _, place := range places {
		data, err := await(ctx, func() ([]byte, error) { return readAtMost(place, iac.MaxOverrides) })
		if name == "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, errInterrupted) {
			return nil, place, err
		}
		if err != nil {
			return nil, place, fmt.Errorf("read overrides: %w", err)
		}
		list, err := iac.ReadOverrides(place, data, p.now())
		var problems iac.OverrideProblems
		if errors.As(err, &problems) {
			for _, one := range problems { // editors look for file:line:column at the beginning
				_, _ = fmt.Fprintln(p.stderr, clean(one))
			}
			return nil, place, status{exitUsage, errors.New("the overrides are not read, and nothing is let pass")}
		}
		return list, place, err
	}
	return nil, places[len(places)-1], nil
}

// readPlan reads a plan from a file or standard input.
func (p *program) readPlan(ctx context.Context, name string) (*iac.Plan, error) {
	if f, ok := p.stdin.(interface{ Fd() uintptr }); name == "-" && ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprintln(p.stderr, "notafter: waiting for a plan on standard input. What is meant: terraform show -json plan.tfplan | notafter guard -")
	}
	return await(ctx, func() (*iac.Plan, error) {
		in, said := p.stdin, "standard input"
		if name != "-" {
			f, err := os.Open(name)
			if err != nil {
				return nil, fmt.Errorf("read the plan: %w", err)
			}
			defer func() { _ = f.Close() }()
			if info, err := f.Stat(); err == nil && info.IsDir() {
				return nil, fmt.Errorf("read the plan: %s is a directory; want the file of \"terraform show -json\"", name)
			}
			in, said = f, name
		}
		plan, err := iac.Read(in, iac.ReadOptions{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", said, err)
		}
		return plan, nil
	})
}

// errInterrupted ends what waited for something that did not come.
var errInterrupted error = status{code: exitInterrupted}

// await reads something that may never come: a pipe that nobody writes keeps even its opening waiting. An interruption
// ends the wait; what is left of it ends with the program.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type outcome struct {
		got T
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		got, err := read()
		done <- outcome{got, err}
	}()
	select {
	case <-ctx.Done():
		var none T
		return none, errInterrupted
	case o := <-done:
		return o.got, o.err
	}
}
