package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
)

// proveOptions are those of prove, and of whatever ends with a proof.
type proveOptions struct {
	renewalOptions
	since             string
	timeout, interval time.Duration
	settle            time.Duration // negative: as the vendor of each zone says
	format            string
}

const (
	// proveTimeout is longer than any vendor says that a change of rights takes, so that what was granted just now is waited
	// for and what was taken away just now is not believed.
	proveTimeout  = 15 * time.Minute
	proveInterval = 30 * time.Second
	// wrapUp is how much longer than the timeout a rehearsal may take that was begun within it: a record may need minutes to
	// be seen everywhere, and a staging order a while more.
	wrapUp = 20 * time.Minute
)

func (o *proveOptions) waiting(f *pflag.FlagSet) {
	durationVar(f, &o.timeout, "timeout", proveTimeout, "ask again for `DURATION` before a refusal is taken for the truth")
	durationVar(f, &o.interval, "interval", proveInterval, "ask again every `DURATION`")
	durationVar(f, &o.settle, "settle", 0, "an answer counts `DURATION` after the change (default what the zone's vendor says: 10m for Azure, 7m for Google Cloud, 2m for AWS and Cloudflare)")
	f.Lookup("settle").DefValue = "" // the usage says it
}

func (p *program) prove() *cobra.Command {
	var o proveOptions
	cmd := &cobra.Command{
		Use:   "prove [CERTIFICATE...]",
		Short: "After a change of infrastructure, prove that renewal still works",
		Long: `prove asks again, after a change such as a Terraform apply, whether certificates, or all that are renewed, can
still be renewed: first the cloud about the permission, with fresh tokens, then what the renewal rests on, a
canary record, and an order at the staging authority where one is configured.

Clouds take minutes to notice a change of rights. What was granted just now may be refused at first: prove asks
again until it works or --timeout ends. What was taken away just now may be allowed at first: an answer counts
only once the vendor's own time for changes has passed since --since, and until then it is not believed.

What is refused is told with the words that the incident carries. With -c it is proven here, by the
configuration, where no notafter is running on the same state.

Exit statuses
  0  every certificate can be renewed
  1  renewal is cut: at least one cannot be renewed
  2  wrong use
  3  nothing is known to be cut, but something could not be determined`,
		Example: `  terraform apply plan.tfplan; notafter prove
  notafter prove hosted-eu --since 10m --timeout 30m
  notafter prove -c /etc/notafter/notafter.yaml --since 2026-10-08T15:00:00Z --output json`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeFrom(&o.config, 0, renewedNames),
		RunE: determined(func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("settle") {
				o.settle = -1
			}
			return p.runProve(cmd.Context(), o, once(args))
		}),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.since, "since", "", "when the change was over: a `TIME` such as 2026-10-08T15:00:00Z, or how long ago, such as 10m (default now)")
	o.waiting(f)
	f.StringVarP(&o.format, "output", "o", "text", "`FORMAT` of the result: text, json")
	completed(cmd, "output", "text", "json")
	o.add(cmd)
	return cmd
}

// parseSince reads a moment in the past; a duration without a sign is how long ago. Empty means now.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return now, nil
	}
	if d, err := config.ParseDuration(s); err == nil {
		return now.Add(-d.Std()), nil
	}
	t, err := parseAt("--since", s, now)
	if err != nil {
		return t, misuse("--since %q is not a time: want one such as 2026-10-08T15:00:00Z, a date, or how long ago, such as 10m", clip(s, 60))
	}
	if t.After(now.Add(time.Minute)) { // clocks differ by a little
		return t, misuse("--since %s has not come yet", clip(s, 60))
	}
	if t.After(now) {
		t = now
	}
	return t, nil
}

func (o *proveOptions) check() error {
	switch {
	case o.format != "text" && o.format != "json":
		return misuse("--output %q is not possible: want text or json", clip(o.format, 40))
	case o.interval <= 0:
		return misuse("--interval must be longer than nothing")
	}
	return nil
}

func (p *program) runProve(ctx context.Context, o proveOptions, certificates []string) error {
	if err := o.check(); err != nil {
		return err
	}
	since, err := parseSince(o.since, p.now())
	if err != nil {
		return err
	}
	tell := outputOf(p)
	if o.format == "json" {
		tell = output{Writer: p.stderr, columns: defaultColumns} // standard output is for the result alone
	}
	c, err := p.proofClimber(o)
	if err != nil {
		return err
	}
	defer c.close()
	r, err := p.newProver(ctx, o, c, certificates, since, tell)
	if err != nil {
		return err
	}
	proof, err := r.run(ctx)
	if err != nil {
		return err
	}
	if o.format == "json" {
		b, err := encode(proof, "  ")
		if err != nil {
			return err
		}
		if _, err := p.stdout.Write(b); err != nil {
			return err
		}
	}
	return proof.status()
}

// proof is what came of proving, in the form in which it is printed.
type proof struct {
	Since        time.Time      `json:"since"`
	Started      time.Time      `json:"started"`
	Ended        time.Time      `json:"ended"`
	Verdict      assure.Verdict `json:"verdict"`
	Certificates []provenCert   `json:"certificates"`
}

type provenCert struct {
	Certificate string         `json:"certificate"`
	Renewer     string         `json:"renewer,omitempty"`
	Verdict     assure.Verdict `json:"verdict"`
	// Counts is from when on answers count.
	Counts time.Time    `json:"answers_count_from"`
	Asked  int          `json:"asked"` // how often the permission was asked for
	Rungs  []provenRung `json:"rungs"`
	// Why says what could not be determined; empty otherwise.
	Why      string          `json:"why,omitempty"`
	Findings []provenFinding `json:"findings"`
}

type provenRung struct {
	Rung    string         `json:"rung"`
	At      time.Time      `json:"at"`
	Outcome assure.Outcome `json:"outcome"`
	Detail  string         `json:"detail,omitempty"`
}

type provenFinding struct {
	Reason  assure.Reason `json:"reason"`
	Cause   string        `json:"cause"` // findings of one cause are mended by one repair
	Summary string        `json:"summary"`
	Action  string        `json:"action"`
	Docs    string        `json:"docs"`
}

func (r proof) status() error {
	switch r.Verdict {
	case assure.Upheld:
		return nil
	case assure.Broken:
		return status{code: exitBroken}
	}
	return status{code: exitUnknown}
}

// errTooLong ends a rehearsal that does not end.
var errTooLong = errors.New("it was not over in time")

// newProver finds out what is to be proven, and refuses what cannot be proven in the given time.
func (p *program) newProver(ctx context.Context, o proveOptions, c climber, certificates []string, since time.Time, out output) (*prover, error) {
	list, err := c.list(ctx, certificates)
	if err != nil {
		return nil, err
	}
	r := &prover{
		climber: c, now: p.now, out: out, tell: newTeller(out), since: since, started: p.now(), interval: o.interval,
		who: p.sign(o.who), explained: map[string]bool{},
	}
	r.deadline = r.started.Add(o.timeout)
	for _, x := range list {
		one := &proving{provable: x, lags: x.settles > 0, last: map[string]assure.Attempt{}, told: map[assure.AttemptKind]string{}}
		if o.settle >= 0 {
			one.settles = o.settle
			one.lags = one.lags || o.settle > 0
		}
		one.counts = since.Add(one.settles)
		if one.counts.After(r.deadline) {
			return nil, misuse("an answer about %s counts %s after the change, at %s, and --timeout %s is over before: give it more time, or say by --settle when an answer counts",
				clip(x.name, 60), config.Duration(one.settles), stampOf(one.counts), config.Duration(o.timeout))
		}
		r.list = append(r.list, one)
	}
	return r, nil
}

// names joins names for a sentence, the first few of many.
func someOf(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
