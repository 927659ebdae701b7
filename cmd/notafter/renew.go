package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/assure"
)

// renewalOptions are those of renew and rehearse.
type renewalOptions struct {
	apiOptions
	config string
	who    string
}

func (o *renewalOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.config, "config", "c", "", "do it here, by the configuration `FILE`, where no notafter is running")
	f.StringVar(&o.who, "as", "", "sign with `NAME` (default the user that runs this)")
	o.flags(f)
}

func (p *program) renew() *cobra.Command {
	var o renewalOptions
	var force bool
	cmd := &cobra.Command{
		Use:   "renew CERTIFICATE",
		Short: "Renew a certificate now, and tell each step",
		Long: `renew has a running "notafter serve" renew a certificate, tells each step as it happens, and what to do when one
does not work. Without --force it renews only what is due. A renewal is over when every address of the
certificate's endpoints serves the new one.

With -c it renews here instead, by the configuration, where no notafter is running on the same state.

Exit statuses
  0  renewed, or nothing was due
  1  it did not work
  2  wrong use
  3  it could not be determined whether it worked`,
		Example: `  notafter renew hosted-eu
  notafter renew hosted-eu --force
  notafter renew hosted-eu --force -c /etc/notafter/notafter.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return misuse("want exactly one certificate, by the name that the configuration gives it")
			}
			return nil
		},
		ValidArgsFunction: completeFrom(&o.config, 1, renewedNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.runRenew(cmd.Context(), o, args[0], force)
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "renew although it is not due")
	return cmd
}

// nothingDue says that there is nothing to renew, and when there will be.
func (p *program) nothingDue(certificate string, due *time.Time, why string) error {
	when := ""
	if due != nil {
		when = ": the next renewal is due at " + stampOf(*due)
		if why != "" {
			when += " (" + clean(why) + ")"
		}
	}
	_, err := fmt.Fprintf(p.stdout, "Nothing is due for %s%s. Renew all the same with --force.\n", clean(certificate), when)
	return err
}

func (p *program) runRenew(ctx context.Context, o renewalOptions, certificate string, force bool) error {
	tell := newTeller(outputOf(p))
	if o.config != "" {
		here, err := p.openHere(o.config)
		if err != nil {
			return err
		}
		defer here.close(p)
		here.wonder(p)
		a, err := here.app.RenewNow(ctx, certificate, p.sign(o.who), force, func(a assure.Attempt) { here.tell(tell, a, p.now()) })
		switch {
		case err != nil:
			return here.explain(err)
		case a == nil:
			due, why := here.app.NextRenewal(certificate)
			return p.nothingDue(certificate, nilIfZero(due), why)
		}
		here.tell(tell, *a, p.now())
		return tell.verdict()
	}
	api, err := p.api(o.apiOptions)
	if err != nil {
		return err
	}
	w, err := p.wish(ctx, api, certificate, "renew", map[string]any{"force": force, "who": p.sign(o.who)})
	if err != nil {
		return err
	}
	if !w.Begins {
		return p.nothingDue(certificate, w.Due, w.Why)
	}
	w.attempts = 1
	return p.follow(ctx, api, tell, []wished{w}, func(a assure.Attempt) bool { return a.Kind == assure.AttemptRenewal })
}

func nilIfZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// sign is the name that somebody goes by.
func (p *program) sign(who string) string {
	for _, name := range []string{who, p.env("USER"), p.login()} {
		if name != "" {
			return name
		}
	}
	return "the command line"
}

// rungs are the words for the rungs of a rehearsal, from the lowest up.
var rungs = []string{"static", "permission", "canary", "authorization", "full"}

func (p *program) rehearse() *cobra.Command {
	var o renewalOptions
	var wanted []string
	cmd := &cobra.Command{
		Use:   "rehearse [CERTIFICATE...]",
		Short: "Rehearse the next renewal of certificates now, and tell each step",
		Long: `rehearse has a running "notafter serve" climb the rungs of the rehearsal for certificates, or for all that it
renews, tells each step as it happens, and what to do when one does not work: with the words that the
incident would carry. Production certificates are not touched, and nothing is left in any zone.

  static         account, directory, profile, CAA and delegation are looked at
  permission     the cloud is asked whether the identity may write the challenge record
  canary         a TXT value is written, read back from every authoritative server, and withdrawn
  authorization  an order at the staging authority is validated afresh and then given back
  full           a certificate of the staging authority is installed to the shadow target

With -c it rehearses here instead, by the configuration, where no notafter is running on the same state.

Exit statuses
  0  every rung that is switched on worked
  1  one did not work: the next renewal would fail
  2  wrong use
  3  nothing failed, but something could not be determined, or a rung that --rung names was left out

A shell that completes offers the certificates of the file that -c names.`,
		Example: `  notafter rehearse
  notafter rehearse hosted-eu
  notafter rehearse hosted-eu --rung permission,canary
  notafter rehearse -c /etc/notafter/notafter.yaml hosted-eu`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeFrom(&o.config, 0, renewedNames),
		RunE: determined(func(cmd *cobra.Command, args []string) error {
			for _, r := range wanted {
				if !slices.Contains(rungs, r) {
					return misuse("--rung %q is not possible: want one of %s", clip(r, 40), strings.Join(rungs, ", "))
				}
			}
			return p.runRehearse(cmd.Context(), o, once(args), once(wanted))
		}),
	}
	o.add(cmd)
	cmd.Flags().StringSliceVar(&wanted, "rung", nil, "climb only these `RUNGS`, joined by commas (default those that are switched on)")
	completed(cmd, "rung", rungs...)
	return cmd
}

// once is a list without what was there before: what is asked for twice is done once, and waited for once.
func once(list []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (p *program) runRehearse(ctx context.Context, o renewalOptions, certificates, wanted []string) error {
	tell := newTeller(outputOf(p))
	tell.byName = len(wanted) > 0
	if o.config != "" {
		here, err := p.openHere(o.config)
		if err != nil {
			return err
		}
		defer here.close(p)
		here.wonder(p)
		if len(certificates) == 0 {
			certificates = here.app.Renewed()
		}
		if len(certificates) == 0 {
			return failed(errors.New("no certificate of this configuration has a renewer"))
		}
		var kinds []assure.AttemptKind
		for _, r := range wanted {
			kinds = append(kinds, assure.Ladder()[slices.Index(rungs, r)])
		}
		slices.SortFunc(kinds, func(a, b assure.AttemptKind) int { return a.Level() - b.Level() })
		for _, c := range certificates {
			list, err := here.app.RehearseNow(ctx, c, p.sign(o.who), kinds, func(a assure.Attempt) { here.tell(tell, a, p.now()) })
			for _, a := range list {
				here.tell(tell, a, p.now())
			}
			if err != nil {
				return here.explain(err)
			}
		}
		return tell.verdict()
	}
	api, err := p.api(o.apiOptions)
	if err != nil {
		return err
	}
	all := len(certificates) == 0
	if all {
		if certificates, err = everyCertificate(ctx, api); err != nil {
			return failed(err)
		}
	}
	var wishes []wished
	for _, c := range certificates {
		v, err := renewalOf(ctx, api, c, 1)
		if err != nil {
			if all && isNotThere(err) {
				continue // it has no renewer of ours
			}
			return failed(ofCertificate(c, err))
		}
		on := wanted
		if len(on) == 0 {
			on = v.on()
		}
		w, err := p.wish(ctx, api, c, "rehearse", map[string]any{"rungs": on, "who": p.sign(o.who)})
		if err != nil {
			return err
		}
		w.attempts = len(on)
		wishes = append(wishes, w)
	}
	if len(wishes) == 0 {
		return failed(errors.New("no certificate there is renewed by notafter itself, so there is nothing to rehearse"))
	}
	return p.follow(ctx, api, tell, wishes, rehearsedBy(p.sign(o.who)))
}

// rehearsedBy picks the rungs that somebody asked for.
func rehearsedBy(who string) func(assure.Attempt) bool {
	return func(a assure.Attempt) bool { return a.Kind.Level() >= 0 && strings.Contains(a.By, who) }
}

// wished is what the server answers to a wish.
type wished struct {
	Certificate  string     `json:"certificate"`
	AfterAttempt int64      `json:"after_attempt"`
	Begins       bool       `json:"begins"`
	Due          *time.Time `json:"due"`
	Why          string     `json:"why"`
	// attempts is how many will come of it.
	attempts int
}

func (p *program) wish(ctx context.Context, api *apiClient, certificate, what string, body any) (wished, error) {
	var w wished
	err := api.call(ctx, http.MethodPost, certificatePath(certificate)+"/"+what, nil, body, &w)
	if err != nil {
		return w, failed(ofCertificate(certificate, err))
	}
	return w, nil
}

func certificatePath(name string) string { return "/api/v1/certificates/" + url.PathEscape(name) }

func isNotThere(err error) bool {
	var refused refusedError
	return errors.As(err, &refused) && refused.code == http.StatusNotFound
}

func ofCertificate(name string, err error) error {
	if isNotThere(err) {
		return fmt.Errorf("certificate %q: %w", clip(name, 60), err)
	}
	return err
}

// everyCertificate lists the names of all certificates.
func everyCertificate(ctx context.Context, api *apiClient) ([]string, error) {
	const page = 500
	var out []string
	for {
		var list struct {
			Certificates []struct {
				Name  string            `json:"name"`
				Links map[string]string `json:"links"`
			} `json:"certificates"`
			Total int `json:"total"`
		}
		query := url.Values{"limit": {strconv.Itoa(page)}, "offset": {strconv.Itoa(len(out))}, "order": {"name"}}
		if err := api.call(ctx, http.MethodGet, "/api/v1/certificates", query, nil, &list); err != nil {
			return nil, err
		}
		for _, c := range list.Certificates {
			out = append(out, c.Name)
		}
		if len(list.Certificates) < page || len(out) >= list.Total {
			return out, nil
		}
	}
}

// renewalView is as much of the API's answer about a renewal as is told.
type renewalView struct {
	Renewer string  `json:"renewer"`
	Settles float64 `json:"settles_seconds"`
	Ladder  []struct {
		Rung string `json:"rung"`
		On   bool   `json:"on"`
	} `json:"ladder"`
	Attempts []struct {
		ID          int64      `json:"id"`
		Certificate string     `json:"certificate"`
		Kind        string     `json:"kind"`
		By          string     `json:"by"`
		Started     time.Time  `json:"started"`
		Ended       *time.Time `json:"ended"`
		Outcome     string     `json:"outcome"`
		Steps       []struct {
			Name    string    `json:"name"`
			Target  string    `json:"target"`
			Outcome string    `json:"outcome"`
			Detail  string    `json:"detail"`
			At      time.Time `json:"at"`
			Took    float64   `json:"took_seconds"`
			Trouble *struct {
				Reason   string `json:"reason"`
				Class    string `json:"class"`
				Identity string `json:"identity"`
				Action   string `json:"action"`
				Scope    string `json:"scope"`
				Detail   string `json:"detail"`
				Remedy   string `json:"remedy"`
			} `json:"trouble"`
		} `json:"steps"`
	} `json:"attempts"`
}

func renewalOf(ctx context.Context, api *apiClient, certificate string, limit int) (renewalView, error) {
	var v renewalView
	err := api.call(ctx, http.MethodGet, certificatePath(certificate)+"/renewal", url.Values{"limit": {strconv.Itoa(limit)}}, nil, &v)
	return v, err
}

// on lists the rungs that are switched on.
func (v renewalView) on() (list []string) {
	for _, r := range v.Ladder {
		if r.On {
			list = append(list, r.Rung)
		}
	}
	return list
}

// attempts are the view's in the words of the house, oldest first.
func (v renewalView) attempts() []assure.Attempt {
	var out []assure.Attempt
	for _, d := range slices.Backward(v.Attempts) {
		a := assure.Attempt{ID: d.ID, Certificate: d.Certificate, Kind: assure.AttemptKind(d.Kind), By: d.By, Started: d.Started, Outcome: assure.Outcome(d.Outcome)}
		if d.Ended != nil {
			a.Ended = *d.Ended
		}
		for _, s := range d.Steps {
			step := assure.Step{Name: s.Name, Target: s.Target, Outcome: assure.Outcome(s.Outcome), Detail: s.Detail, At: s.At, Took: time.Duration(s.Took * float64(time.Second))}
			if t := s.Trouble; t != nil {
				step.Trouble = &assure.Trouble{
					Reason: assure.Reason(t.Reason), Class: assure.TroubleClass(t.Class), Identity: t.Identity, Action: t.Action, Scope: t.Scope, Detail: t.Detail, Remedy: t.Remedy,
				}
			}
			a.Steps = append(a.Steps, step)
		}
		out = append(out, a)
	}
	return out
}

// followEvery is how often a running notafter is asked what has happened.
const followEvery = 300 * time.Millisecond

// quietFor is how long nothing may happen before it is said what is waited for.
const (
	quietFor   = 5 * time.Second
	waitingFor = "notafter: nothing has begun yet; it waits until whatever else is done for the certificate is over"
)

// follow tells the attempts that came of wishes as they happen, until all are over.
func (p *program) follow(ctx context.Context, api *apiClient, tell *teller, wishes []wished, ours func(assure.Attempt) bool) error {
	if err := p.watch(ctx, api, wishes, ours, func(a assure.Attempt) { tell.tell(a, p.now()) }); err != nil {
		return err
	}
	return tell.verdict()
}

// watch gives each attempt that came of wishes as it grows, again and again, until all are over.
func (p *program) watch(ctx context.Context, api *apiClient, wishes []wished, ours func(assure.Attempt) bool, each func(assure.Attempt)) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	quiet := time.NewTimer(quietFor)
	defer quiet.Stop()
	open, begun := slices.Clone(wishes), false
	for {
		var left []wished
		for _, w := range open {
			v, err := renewalOf(ctx, api, w.Certificate, 50)
			if ctx.Err() != nil {
				left = open
				break
			}
			if err != nil {
				return status{code: exitUnknown, err: fmt.Errorf("lost sight of %s, where it may go on all the same: %w", clean(w.Certificate), ofCertificate(w.Certificate, err))}
			}
			over := 0
			for _, a := range v.attempts() {
				if a.ID > w.AfterAttempt && ours(a) {
					begun = true
					each(a)
					if !a.Ended.IsZero() {
						over++
					}
				}
			}
			if over < w.attempts {
				left = append(left, w)
			}
		}
		if open = left; len(open) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errTooLong) {
				return errTooLong
			}
			_, _ = fmt.Fprintln(p.stderr, "notafter: interrupted; what was begun goes on there")
			return status{code: exitInterrupted}
		case <-quiet.C:
			if !begun {
				_, _ = fmt.Fprintln(p.stderr, waitingFor)
			}
		case <-tick.C:
		}
	}
}
