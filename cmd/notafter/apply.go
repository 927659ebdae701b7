package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/iac"
)

type applyOptions struct {
	proveOptions
	plan, inventory, overrides, record string
}

func (p *program) apply() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply [flags] -- terraform apply PLANFILE",
		Short: "Guard a plan, apply just that plan, and prove that renewal survived it",
		Long: `apply does three things in one go, bound together by the digest of the plan file:

  guard  the same tool shows the plan file as JSON, and it is judged as "notafter guard" would, with what the
         notafter that is asked knows of the certificates. What is refused is not applied.
  apply  the command runs as it stands, with the terminal and with signals, provided that the plan file is still
         the one that was judged. The notafter is told what the plan does to grants of whoever renews, so that
         what was meant is no drift, and what was to be made and is not there is.
  prove  afterwards it is proven that the certificates can be renewed, as "notafter prove" does. An apply that
         failed is proven as well: half an apply is what cuts renewal off.

Terraform, OpenTofu and Terragrunt are known. The command must apply a saved plan: one that plans for itself
cannot be judged before. A finding of guard is let pass by an override, as with guard.

Exit statuses
  0    applied, and every certificate can be renewed
  1    refused by guard, or renewal is cut
  2    wrong use, or a plan that cannot be read; nothing was applied
  3    not applied because the plan does not say enough or notafter could not be asked; or applied, and it could not be determined whether renewal works, or the record could not be written
  else that of the command, when it failed; the last line on standard error tells which, as Terraform's own is 1, too`,
		Example: `  terraform plan -out=plan.tfplan && notafter apply -- terraform apply plan.tfplan
  notafter apply --record record.json -- tofu -chdir=infra apply plan.tfplan
  notafter apply -c /etc/notafter/notafter.yaml --timeout 30m -- terragrunt apply plan.tfplan`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || cmd.ArgsLenAtDash() != 0 {
				return misuse("which command? give it after --, such as: notafter apply -- terraform apply plan.tfplan")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: determined(func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("settle") {
				o.settle = -1
			}
			o.format = "text"
			return p.runApply(cmd.Context(), o, args)
		}),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.plan, "plan", "", "the saved plan is `FILE` (default the argument of the command that is one)")
	f.StringVar(&o.inventory, "inventory", "", "judge by the snapshot in `FILE` (default what the notafter that is asked knows)")
	f.StringVar(&o.overrides, "overrides", "", "who answers for which finding stands in `FILE` (default "+iac.OverridesFile+" beside the plan, or here)")
	f.StringVar(&o.record, "record", "", "write what was judged, applied and proven to `FILE`, as JSON")
	o.waiting(f)
	o.add(cmd)
	return cmd
}

// record is what was done, in the form in which it is written.
type record struct {
	Outcome string       `json:"outcome"` // applying, refused, not_applied, failed, proven, cut or unproven
	Plan    recordPlan   `json:"plan"`
	Guard   *iac.Verdict `json:"guard"`
	Apply   *recordApply `json:"apply"` // null when nothing was applied
	Proof   *proof       `json:"proof"` // null when nothing was proven
	Why     string       `json:"why,omitempty"`
}

type recordPlan struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"` // of the plan file
	Tool   string `json:"tool"`
}

// recordApply is what the command did. While it runs, it has neither ended nor a status.
type recordApply struct {
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Exit    *int      `json:"exit"`
	// Changed is set when, once the command had ended, the plan file was not what was judged any more, or had been touched.
	Changed bool `json:"plan_changed,omitempty"`
}

func (p *program) runApply(ctx context.Context, o applyOptions, command []string) error {
	if err := o.check(); err != nil {
		return err
	}
	saved, err := findPlan(command, o.plan)
	if err != nil {
		return err
	}
	// What could not be proven or written down afterwards is found out before.
	if o.record != "" {
		if err := recordable(o.record); err != nil {
			return notApplied(fmt.Errorf("write the record: %w", err))
		}
		if sameFile(o.record, saved.file) {
			return misuse("--record %s is the plan itself, in whose place the record would be put", clip(o.record, 120))
		}
	}
	c, err := p.proofClimber(o.proveOptions)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := p.newProver(ctx, o.proveOptions, c, nil, p.now(), outputOf(p)); err != nil {
		return notApplied(err)
	}
	r := &record{Plan: recordPlan{File: saved.file, Tool: filepath.Base(command[0])}}
	end := p.applyJudged(ctx, o, c, saved, r)
	if o.record != "" {
		if err := p.keep(ctx, o.record, r); err != nil {
			_, _ = fmt.Fprintf(p.stderr, "notafter: %s, but the record could not be written: %s\n", r.Outcome, cleanLines(err.Error()))
			if end == nil {
				end = status{code: exitUnknown}
			}
		}
	}
	return end
}

// keep writes the record, also after an interruption, until the next one: a pipe may have nobody who reads it.
func (p *program) keep(ctx context.Context, path string, r *record) error {
	again, stop := p.untilInterrupted(ctx)
	defer stop()
	_, err := await(again, func() (struct{}, error) { return struct{}{}, writeRecord(path, r) })
	if errors.Is(err, errInterrupted) {
		return errors.New("interrupted")
	}
	return err
}

// applyJudged judges, applies and proves, and writes down in r what came of it.
func (p *program) applyJudged(ctx context.Context, o applyOptions, c climber, saved *savedPlan, r *record) error {
	refuse := func(outcome string, err error) error {
		r.Outcome, r.Why = outcome, err.Error()
		return notApplied(err)
	}
	digest, err := saved.digest()
	if err != nil {
		return refuse("not_applied", err)
	}
	r.Plan.SHA256 = digest
	plan, err := saved.show(ctx, p)
	if err != nil {
		return refuse("not_applied", err)
	}
	if err := saved.still(digest); err != nil { // what was shown may be another one
		return refuse("not_applied", err)
	}
	inv, err := p.applyInventory(ctx, o, c)
	if err != nil {
		return refuse("not_applied", err)
	}
	overrides, from, err := p.guardOverrides(ctx, o.overrides, saved.file)
	if err != nil {
		return refuse("not_applied", err)
	}
	verdict, notes := p.judge(plan, inv, overrides)
	for _, n := range notes {
		_, _ = fmt.Fprintf(p.stderr, "notafter: note: %s: %s\n", clean(from), clean(n))
	}
	r.Guard = &verdict
	if err := p.writeVerdict(verdict, guardOptions{inventory: "known", output: "text"}, saved.file, from); err != nil {
		return refuse("not_applied", err)
	}
	p.told("guard: %s, plan %s (sha256 %s)", verdict.Class, filepath.Base(saved.file), digest[:16])
	if code := guardStatus(verdict.Class); code != exitUpheld {
		return refuse("refused", status{code: code, err: errors.New("guard refuses the plan")})
	}
	if err := saved.still(digest); err != nil {
		return refuse("not_applied", err)
	}
	if err := p.announce(o, r); err != nil {
		return refuse("not_applied", fmt.Errorf("write the record: %w", err))
	}
	ended := p.foretell(ctx, o, c, digest, grantsToTell(plan, inv))
	ran, err := p.pass(ctx, saved.command)
	if err != nil {
		r.Apply = nil
		return refuse("not_applied", err)
	}
	r.Apply = &recordApply{Started: ran.started.UTC(), Ended: ran.ended.UTC(), Exit: &ran.exit, Changed: saved.still(digest) != nil}
	if !r.Apply.Changed { // what was applied may be something else
		ended(ran.exit)
	}
	p.told("apply: status %d in %s", ran.exit, assure.Ago(ran.ended.Sub(ran.started)))
	return p.proveApplied(ctx, o, c, ran, r)
}

// announce writes down that the command is about to run: if this process is killed, or the machine is, the record says
// what was judged and that nobody has seen the end of it. Into a pipe goes the end alone.
func (p *program) announce(o applyOptions, r *record) error {
	r.Outcome, r.Apply = "applying", &recordApply{Started: p.now().UTC()}
	if o.record == "" || stream(o.record) {
		return nil
	}
	return writeRecord(o.record, r)
}

// proveApplied proves what a command left, whether it worked or not.
func (p *program) proveApplied(ctx context.Context, o applyOptions, c climber, ran ran, r *record) error {
	if r.Apply.Changed {
		_, _ = fmt.Fprintln(p.stderr, "notafter: the plan file is not the one that was judged any more: another process wrote or moved it while it was applied. See what was applied.")
	}
	if ran.interrupted {
		_, _ = fmt.Fprintln(p.stderr, "notafter: the command was interrupted; what it left is proven now. Interrupt again to go without.")
	}
	again, stop := p.untilInterrupted(ctx)
	defer stop()
	prover, err := p.newProver(again, o.proveOptions, c, nil, ran.ended, outputOf(p))
	if err == nil {
		var proof proof
		if proof, err = prover.run(again); err == nil {
			r.Proof = &proof
		}
	}
	switch {
	case err != nil:
		r.Outcome, r.Why = "unproven", err.Error()
		_, _ = fmt.Fprintf(p.stderr, "notafter: it is not proven that renewal survived: %s\n", cleanLines(err.Error()))
		err = status{code: exitUnknown}
	case r.Proof.Verdict == assure.Broken:
		r.Outcome, err = "cut", status{code: exitBroken}
	case r.Proof.Verdict != assure.Upheld || r.Apply.Changed:
		r.Outcome, err = "unproven", status{code: exitUnknown}
	default:
		r.Outcome = "proven"
	}
	if ran.exit != 0 {
		if r.Outcome == "proven" {
			r.Outcome = "failed"
		}
		err = status{code: ran.exit}
	}
	proven := "not proven"
	if r.Proof != nil {
		proven = string(r.Proof.Verdict)
	}
	p.told("%s: guard %s, apply status %d, renewal %s", r.Outcome, r.Guard.Class, ran.exit, proven)
	return err
}

// told says where it stands, on standard error, which leaves standard output to the command and the findings.
func (p *program) told(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stderr, "notafter: "+format+"\n", args...)
}

// notApplied adds to why it was not applied that it was not.
func notApplied(err error) error {
	var s status
	if errors.As(err, &s) {
		if s.err == nil {
			return s
		}
		return status{code: s.code, err: fmt.Errorf("not applied: %w", s.err)}
	}
	var u usageError
	if errors.As(err, &u) {
		return err
	}
	return fmt.Errorf("not applied: %w", err)
}

// applyInventory is what the certificates are known by.
func (p *program) applyInventory(ctx context.Context, o applyOptions, c climber) (iac.Inventory, error) {
	if o.inventory != "" {
		return p.guardInventory(ctx, guardOptions{inventory: o.inventory})
	}
	data, err := c.inventory(ctx)
	if err != nil {
		return iac.Inventory{}, fmt.Errorf("take the inventory: %w", err)
	}
	inv, err := iac.ReadInventory(bytes.NewReader(data))
	if err != nil {
		return inv, fmt.Errorf("read the inventory: %w", err)
	}
	return inv, nil
}

func (c *farClimber) inventory(ctx context.Context) ([]byte, error) {
	var data json.RawMessage
	err := c.api.call(ctx, http.MethodGet, "/api/v1/inventory", nil, nil, &data)
	return data, err
}

func (c *hereClimber) inventory(ctx context.Context) ([]byte, error) {
	return c.h.app.Snapshot(ctx)
}

// writeRecord writes through a file beside it, so that whoever reads it finds it whole or not at all.
func writeRecord(path string, r *record) error {
	data, err := encode(r, "  ")
	if err != nil {
		return err
	}
	if stream(path) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Close())
	}
	f, err := beside(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func beside(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), ".notafter-record-*")
}

// recordable fails when a record could not be written to a place, which is left as it is.
func recordable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case stream(path):
		return nil
	}
	f, err := beside(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// stream reports whether a path is that of a pipe, a device or standard output, in whose place no file may be put.
func stream(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir() || strings.HasPrefix(filepath.Clean(path), "/dev/")
}

// tools are the commands that are known to show and to apply saved plans alike.
var tools = []string{"terraform", "tofu", "terragrunt"}

// isTool reports whether a command is one of the tools, by its name or a name that begins with it ("terraform1.9").
func isTool(command string) bool {
	name := strings.ToLower(filepath.Base(command))
	return slices.ContainsFunc(tools, func(t string) bool { return strings.HasPrefix(name, t) })
}
