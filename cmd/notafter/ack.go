package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/notafter/notafter/internal/assure"
)

func (p *program) ack() *cobra.Command {
	var o apiOptions
	var who string
	cmd := &cobra.Command{
		Use:   "ack INCIDENT",
		Short: "Take an incident of a running notafter",
		Long: `ack tells a running "notafter serve" that somebody has taken an incident. That covers its present stage: if it
gets worse, people are told again. Acknowledging again changes nothing.

Exit statuses: 0 taken, 1 not, 2 wrong use.`,
		Example: `  notafter ack k3f7q2
  notafter ack k3f7q2 --as ana
  notafter ack k3f7q2 --server https://notafter.example.com --token-file ~/.notafter-token`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return misuse(`want exactly one incident, as "notafter incidents" lists them`)
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.runAck(cmd.Context(), o, args[0], who)
		},
	}
	o.flags(cmd.Flags())
	cmd.Flags().StringVar(&who, "as", "", "sign with `NAME` (default the user that runs this)")
	return cmd
}

func (p *program) runAck(ctx context.Context, o apiOptions, id, who string) error {
	api, err := p.api(o)
	if err != nil {
		return err
	}
	path := "/api/v1/incidents/" + url.PathEscape(id)
	if who == "" {
		who = p.env("USER")
	}
	if who == "" {
		who = p.login()
	}
	body := map[string]string{}
	if who != "" {
		body["who"] = who
	} else {
		// Without a name the answer would be about that, and not about an incident that does not exist.
		var there any
		if err := api.call(ctx, http.MethodGet, path, nil, nil, &there); err != nil {
			return failed(notThere(id, err))
		}
	}
	var i incident
	if err := api.call(ctx, http.MethodPost, path+"/acknowledge", nil, body, &i); err != nil {
		var refused refusedError
		if errors.As(err, &refused) && refused.code == http.StatusUnprocessableEntity && who == "" {
			err = fmt.Errorf("%w; give --as NAME", err)
		}
		return failed(notThere(id, err))
	}
	if i.State == string(assure.Resolved) {
		since := ""
		if i.ResolvedAt != nil {
			since = ", since " + stampOf(*i.ResolvedAt)
		}
		_, err = fmt.Fprintf(p.stdout, "%s is resolved already%s.\n", clean(i.ID), since)
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s is taken by %s at stage %s: %s\n", clean(i.ID), clean(i.AckedBy), clean(i.Stage), clean(i.Summary))
	return err
}

// notThere says of which incident the server knows nothing.
func notThere(id string, err error) error {
	var refused refusedError
	if errors.As(err, &refused) && refused.code == http.StatusNotFound {
		return fmt.Errorf("no such incident as %q: %w", clip(id, 60), err)
	}
	return err
}
