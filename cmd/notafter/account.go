package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/app"
)

func (p *program) account() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Change the account of a renewer at its certificate authority",
		Long: `account changes the account that a renewer has at its certificate authority, through a running "notafter
serve", or with -c here.`,
		Example: `  notafter account roll-over letsencrypt
  notafter account register letsencrypt`,
		Args: commandOf,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		p.accountDo("roll-over", "Give the account a new key", `roll-over gives the account a new key (RFC 8555 section 7.3.5): once a year, or when the key may have been seen. The
new key is on record before the authority is asked, so that a lost answer loses no account.`, "has a new key", (*app.App).RollOver),
		p.accountDo("register", "Register the account again", `register registers the account again with the key that it has, at an authority that has forgotten it. An account that
exists is found again.`, "is registered", (*app.App).Register),
	)
	return cmd
}

func (p *program) accountDo(what, short, long, done string, do func(*app.App, context.Context, string) error) *cobra.Command {
	var o renewalOptions
	cmd := &cobra.Command{
		Use:   what + " RENEWER",
		Short: short,
		Long:  long + "\n\nExit statuses: 0 done, 1 not, 2 wrong use.",
		Example: "  notafter account " + what + " letsencrypt\n" +
			"  notafter account " + what + " letsencrypt -c /etc/notafter/notafter.yaml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return misuse("want exactly one renewer, by the name that the configuration gives it")
			}
			return nil
		},
		ValidArgsFunction: completeFrom(&o.config, 1, renewerNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.runAccount(cmd.Context(), o, what, args[0], do); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.stdout, "The account of %s %s.\n", clean(args[0]), done)
			return err
		},
	}
	o.add(cmd)
	return cmd
}

func (p *program) runAccount(ctx context.Context, o renewalOptions, what, renewer string, do func(*app.App, context.Context, string) error) error {
	if o.config != "" {
		here, err := p.openHere(o.config)
		if err != nil {
			return err
		}
		defer here.close(p)
		if err := do(here.app, ctx, renewer); err != nil {
			return here.explain(err)
		}
		return nil
	}
	api, err := p.api(o.apiOptions)
	if err != nil {
		return err
	}
	var answer struct {
		Renewer string `json:"renewer"`
	}
	err = api.call(ctx, http.MethodPost, "/api/v1/renewers/"+url.PathEscape(renewer)+"/account/"+what, nil, map[string]string{"who": p.sign(o.who)}, &answer)
	if isNotThere(err) {
		err = fmt.Errorf("renewer %q: %w", clip(renewer, 60), err)
	}
	if err != nil {
		return failed(err)
	}
	return nil
}
