package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// grant is what a permission is known to rest on, as the API shows it.
type grant struct {
	Renewer  string         `json:"renewer"`
	Identity string         `json:"identity,omitempty"`
	Action   string         `json:"action"`
	Scope    string         `json:"scope"`
	Verdict  assure.Verdict `json:"verdict"`
	Grants   []string       `json:"grants"`
	Gone     []string       `json:"gone"`
	Learned  *time.Time     `json:"learned"`
	By       string         `json:"accepted_by,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Held     *time.Time     `json:"held"`
	Asked    *time.Time     `json:"asked"`
	Answer   assure.Answer  `json:"answer"`
	Named    []string       `json:"named"`
	// Missing is what applied plans were to make and the cloud does not name.
	Missing []assure.Unmade `json:"missing"`
}

func grantsOf(list []assure.Expected) []grant {
	some := func(list []string) []string { return append([]string{}, list...) }
	var out []grant
	for _, e := range list {
		out = append(out, grant{
			Renewer: e.Renewer, Identity: e.Identity, Action: e.Action, Scope: e.Scope, Verdict: e.Verdict(), Grants: some(e.Grants), Gone: some(e.Gone()),
			Learned: nilIfZero(e.Learned), By: e.By, Reason: e.Reason, Held: nilIfZero(e.Held), Asked: nilIfZero(e.Asked), Answer: e.Answer, Named: some(e.Named), Missing: append([]assure.Unmade{}, e.Missing...),
		})
	}
	return out
}

func (c *farClimber) expected(ctx context.Context) ([]grant, error) {
	var v struct {
		Grants []grant `json:"grants"`
	}
	if err := c.api.call(ctx, http.MethodGet, "/api/v1/grants", nil, nil, &v); err != nil {
		return nil, failed(err)
	}
	return v.Grants, nil
}

func (c *farClimber) accept(ctx context.Context, renewer, who, reason string) ([]grant, error) {
	var v struct {
		Grants []grant `json:"grants"`
	}
	err := c.api.call(ctx, http.MethodPost, "/api/v1/renewers/"+url.PathEscape(renewer)+"/grants/accept", nil, map[string]string{"who": who, "reason": reason}, &v)
	if err != nil {
		return nil, failed(err)
	}
	return v.Grants, nil
}

func (c *hereClimber) expected(ctx context.Context) ([]grant, error) {
	list, err := c.h.app.Expected(ctx, "")
	if err != nil {
		return nil, failed(err)
	}
	return grantsOf(list), nil
}

func (c *hereClimber) accept(ctx context.Context, renewer, who, reason string) ([]grant, error) {
	list, err := c.h.app.AcceptGrants(ctx, renewer, who, reason)
	if errors.Is(err, context.Canceled) {
		return nil, status{code: exitInterrupted, err: errors.New("interrupted")}
	}
	if err != nil {
		return nil, failed(err)
	}
	return grantsOf(list), nil
}
