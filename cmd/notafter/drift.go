package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/assure"
)

type driftOptions struct {
	renewalOptions
	recorded bool
	plan     string
	format   string
}

func (p *program) drift() *cobra.Command {
	var o driftOptions
	cmd := &cobra.Command{
		Use:   "drift [RENEWER...] | drift -- terraform plan -refresh-only",
		Short: "Hold what renewal rests on against what the cloud says now",
		Long: `drift asks the cloud again what the identities that renew certificates may do, and by what, and holds the answers
against what is expected: the grants that the cloud named when it was first asked, that somebody accepted, or that
a plan made which "notafter apply" has applied.
It finds what a plan cannot: a grant that is gone although code, state and plan agree on it, and one that is
gone although another, broader one covers for it.

With --plan it reads the drift that Terraform or OpenTofu found themselves out of a plan in JSON, and says which
of it renewal rests on; that needs neither a notafter nor a network. With a command after -- it runs that and
reads the plan itself.

Exit statuses
  0  everything is as expected
  1  a grant that is expected is gone, or nothing is allowed any more
  2  wrong use
  3  nothing is known to be gone, but something could not be determined`,
		Example: `  notafter drift
  notafter drift letsencrypt --output json
  notafter drift accept letsencrypt --reason "one role for all zones, OPS-1234"
  notafter drift -- terraform plan -refresh-only
  terraform show -json drift.tfplan | notafter drift --plan -`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: determined(func(cmd *cobra.Command, args []string) error {
			if o.format != "text" && o.format != "json" {
				return misuse("--output %q is not possible: want text or json", clip(o.format, 40))
			}
			if cmd.ArgsLenAtDash() == 0 && len(args) > 0 {
				if o.config != "" || o.recorded || o.plan != "" {
					return misuse("a command after -- is asked and nothing else: give it alone, or with --output")
				}
				return p.runDriftOfCommand(cmd.Context(), o, args)
			}
			if o.plan != "" {
				if len(args) > 0 || o.config != "" || o.recorded {
					return misuse("--plan reads a plan and nothing else: give it alone, or with --output")
				}
				return p.runDriftOfPlan(cmd.Context(), o)
			}
			return p.runDrift(cmd.Context(), o, once(args))
		}),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.recorded, "recorded", false, "do not ask again: show the last answers on record")
	f.StringVar(&o.plan, "plan", "", "say which drift in the plan `FILE` matters, in JSON as \"terraform show -json\" writes it; - for standard input")
	f.StringVarP(&o.format, "output", "o", "text", "`FORMAT` of the result: text, json")
	completed(cmd, "output", "text", "json")
	o.add(cmd)
	cmd.AddCommand(p.driftAccept())
	return cmd
}

func (p *program) driftAccept() *cobra.Command {
	var o renewalOptions
	var reason string
	cmd := &cobra.Command{
		Use:   "accept RENEWER --reason TEXT",
		Short: "Accept what a renewer's permissions rest on now",
		Long: `accept makes the grants that the cloud named last the ones that are expected from now on, wherever they are not
those that were. It is noted with your name and the reason. What is not allowed at all cannot be accepted.

Exit statuses: 0 accepted, or there was nothing to accept, 1 it did not work, 2 wrong use.`,
		Example: `  notafter drift accept letsencrypt --reason "one role for all zones, OPS-1234"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return misuse("want exactly one renewer, by the name that the configuration gives it")
			}
			if strings.TrimSpace(reason) == "" {
				return misuse("say by --reason why it is meant: somebody will ask")
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.runDriftAccept(cmd.Context(), o, args[0], reason)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why it is meant, in a `TEXT` for whoever asks later")
	o.add(cmd)
	return cmd
}

func (p *program) runDriftAccept(ctx context.Context, o renewalOptions, renewer, reason string) error {
	c, err := p.climber(o)
	if err != nil {
		return err
	}
	defer c.close()
	list, err := c.accept(ctx, renewer, p.sign(o.who), reason)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		_, err = fmt.Fprintf(p.stdout, "There is nothing to accept for %s: what is expected is there, or nothing is allowed.\n", clean(renewer))
		return err
	}
	out := outputOf(p)
	for _, g := range joinGrants(list) {
		paragraph(out, "", fmt.Sprintf("%s now rests on %s for %s at %s.", g.Renewer, strings.Join(g.Grants, " and "), strings.Join(g.actions, ", "), g.Scope))
	}
	return nil
}

// driftReport is the result in the form in which it is printed.
type driftReport struct {
	At      time.Time      `json:"at"`
	Verdict assure.Verdict `json:"verdict"`
	Grants  []grant        `json:"grants"`
	// Unasked are what should have been asked about, and why it could not be.
	Unasked []unaskedOf `json:"unasked,omitempty"`
}

type unaskedOf struct {
	Renewer     string `json:"renewer"`
	Certificate string `json:"certificate"` // the first of several for which the same stood in the way
	Why         string `json:"why"`
}

// unasked are the renewers that were to be asked about and of which no answer tells why that did not work. What the cloud
// refused or left open stands among the grants.
func unasked(list []provable, asked []assure.Attempt, grants []grant) (out []unaskedOf) {
	for _, a := range asked {
		i := slices.IndexFunc(list, func(x provable) bool { return x.name == a.Certificate })
		if i < 0 || a.Outcome == assure.Done {
			continue
		}
		u := unaskedOf{list[i].renewer, a.Certificate, clip(detailOf(a), 300)}
		if t := a.Blind(); t != nil {
			u.Why = clip(t.Detail, 300)
		}
		told := slices.ContainsFunc(grants, func(g grant) bool { return g.Renewer == u.Renewer && g.Verdict != assure.Upheld })
		if !told && !slices.ContainsFunc(out, func(o unaskedOf) bool { return o.Renewer == u.Renewer && o.Why == u.Why }) {
			out = append(out, u)
		}
	}
	return out
}

func (p *program) runDrift(ctx context.Context, o driftOptions, renewers []string) error {
	c, err := p.climber(o.renewalOptions)
	if err != nil {
		return err
	}
	defer c.close()
	began := p.now()
	list, err := c.list(ctx, nil)
	if err != nil {
		return err
	}
	known, err := c.expected(ctx)
	if err != nil {
		return err
	}
	var asks []climb
	seen := map[string]bool{}
	for _, x := range list {
		seen[x.renewer] = true
		// Where something is on record, somebody can be asked, although the rung may be off.
		asked := slices.Contains(x.on, "permission") || slices.ContainsFunc(known, func(g grant) bool { return g.Renewer == x.renewer })
		if asked && (len(renewers) == 0 || slices.Contains(renewers, x.renewer)) {
			asks = append(asks, climb{x.name, []string{"permission"}})
		}
	}
	for _, r := range renewers {
		if !seen[r] {
			return misuse("renewer %q: no certificate is renewed by it", clip(r, 60))
		}
	}
	var asked []assure.Attempt
	if !o.recorded {
		if asked, err = c.climb(ctx, p.sign(o.who), asks, nil); err != nil {
			return err
		}
	}
	grants, err := c.expected(ctx)
	if err != nil {
		return err
	}
	r := driftReport{At: p.now().UTC(), Verdict: assure.Upheld, Grants: []grant{}}
	for _, g := range grants {
		if len(renewers) > 0 && !slices.Contains(renewers, g.Renewer) {
			continue
		}
		// An equal answer is written down once a minute. What was not asked about now is of a certificate that is gone.
		if !o.recorded && (g.Asked == nil || g.Asked.Before(began.Add(-2*time.Minute))) {
			continue
		}
		if g.Verdict.Worse(r.Verdict) {
			r.Verdict = g.Verdict
		}
		r.Grants = append(r.Grants, g)
	}
	r.Unasked = unasked(list, asked, r.Grants)
	if r.Verdict != assure.Broken && (len(r.Grants) == 0 || len(r.Unasked) > 0) {
		r.Verdict = assure.Unknown
	}
	if o.format == "json" {
		b, err := encode(r, "  ")
		if err != nil {
			return err
		}
		if _, err := p.stdout.Write(b); err != nil {
			return err
		}
	} else {
		r.text(outputOf(p))
	}
	switch {
	case len(r.Grants) == 0 && len(r.Unasked) == 0:
		return status{code: exitUnknown, err: errors.New("nobody can be asked about these permissions: the rung permission and the setting drift are off, or there is no answer on record")}
	case r.Verdict == assure.Broken:
		return status{code: exitBroken}
	case r.Verdict != assure.Upheld:
		return status{code: exitUnknown}
	}
	return nil
}

// joined are grants for several actions that have the same state.
type joined struct {
	grant
	actions []string
}

// joinGrants joins what differs by the action alone.
func joinGrants(list []grant) []joined {
	var out []joined
	for _, g := range list {
		i := slices.IndexFunc(out, func(j joined) bool {
			return j.Renewer == g.Renewer && j.Identity == g.Identity && j.Scope == g.Scope && j.Verdict == g.Verdict && j.Answer == g.Answer && slices.Equal(j.Grants, g.Grants) && slices.Equal(j.Named, g.Named) && slices.Equal(j.Missing, g.Missing)
		})
		if i < 0 {
			out, i = append(out, joined{grant: g}), len(out)
		}
		out[i].actions = append(out[i].actions, g.Action)
	}
	return out
}

func (r driftReport) text(out output) {
	drifted := map[string]bool{}
	var order []string
	for _, g := range r.Grants {
		drifted[g.Renewer] = drifted[g.Renewer] || g.Answer == assure.Forbidden // what is lost cannot be accepted
	}
	for _, g := range joinGrants(r.Grants) {
		mark := map[assure.Verdict]string{assure.Upheld: "✓", assure.Broken: "✗"}[g.Verdict]
		if mark == "" {
			mark = "?"
		}
		who := g.Renewer
		if g.Identity != "" {
			who += ": " + g.Identity
		}
		what := fmt.Sprintf("%s, %s at %s", who, strings.Join(g.actions, ", "), g.Scope)
		text := ""
		switch {
		case g.Answer == assure.Forbidden && g.Held == nil:
			text = what + ": not allowed, and never was since it is asked"
		case g.Answer == assure.Forbidden:
			text = fmt.Sprintf("%s: not allowed any more. It was last allowed at %s%s.", what, stampOf(*g.Held), by(g.Grants))
		case len(g.Gone) > 0:
			text = fmt.Sprintf("%s: the grant that it rests on is gone: %s. It is allowed%s.", what, strings.Join(g.Gone, " and "), by(g.Named))
			if !drifted[g.Renewer] {
				drifted[g.Renewer], order = true, append(order, g.Renewer)
			}
		case g.Answer == assure.Allowed && len(g.Missing) > 0:
			text = fmt.Sprintf("%s: what a plan was to make for it is not there. It is allowed%s.", what, by(g.Named))
			if !drifted[g.Renewer] {
				drifted[g.Renewer], order = true, append(order, g.Renewer)
			}
		case g.Answer == assure.Allowed:
			text = fmt.Sprintf("%s: as expected%s", what, by(g.Grants))
		default:
			text = what + ": no answer that decides"
			if g.Held != nil {
				text += fmt.Sprintf("; last allowed at %s%s", stampOf(*g.Held), by(g.Grants))
			}
		}
		paragraph(out, out.paint(verdictStyle(g.Verdict), mark)+" ", text)
		for _, u := range g.Missing {
			how := ""
			if u.Exit != 0 {
				how = fmt.Sprintf(", whose apply failed with status %d", u.Exit)
			}
			paragraph(out, "  ", fmt.Sprintf("The plan %s of %s%s was to make %s.", u.Plan, stampOf(u.Applied), how, u.Address))
		}
		switch plan, ok := strings.CutPrefix(g.By, "plan "); {
		case ok:
			paragraph(out, "  ", fmt.Sprintf("Relied on since the plan %s was applied: %s", plan, g.Reason))
		case g.By != "":
			paragraph(out, "  ", fmt.Sprintf("Accepted by %s: %s", g.By, g.Reason))
		}
	}
	for _, u := range r.Unasked {
		why := u.Why
		if why != "" {
			why = ": " + why
		}
		paragraph(out, out.paint(verdictStyle(assure.Unknown), "?")+" ", fmt.Sprintf("%s: the cloud could not be asked about %s%s", u.Renewer, u.Certificate, why))
	}
	for _, name := range order {
		paragraph(out, out.paint(bold, "→")+" ", "Give it back; or if it is meant: notafter drift accept "+name+" --reason WHY")
	}
}

func by(grants []string) string {
	if len(grants) == 0 {
		return ""
	}
	return ", by " + strings.Join(grants, " and ")
}

// paragraph writes a text with a lead of two columns, or none.
func paragraph(out output, lead, text string) {
	indent := ""
	if lead != "" {
		indent = "  "
	}
	for i, l := range wrap(clean(text), out.columns-2) {
		if i > 0 {
			lead = indent
		}
		_, _ = fmt.Fprintf(out, "%s%s\n", lead, l)
	}
}
