package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Azure is where a provider works, and as whom.
type Azure struct {
	URL                  string // of Resource Manager and of where tokens come from, without a slash at the end
	Tenant, Subscription string
	ClientID, Secret     string
	// Derived makes names of role assignments from scope, principal and role where the code gives none, as azurerm does
	// since 2026. Otherwise they are random, as before.
	Derived bool
}

// Versions of the interfaces, as azurerm 4 asks for them.
const (
	authorizationVersion = "2022-04-01"
	dnsVersion           = "2018-05-01"
	identityVersion      = "2023-01-31"
)

// refused is what Resource Manager says when it does not do something.
type refused struct {
	status        int
	code, message string
}

func (e *refused) Error() string {
	return fmt.Sprintf("unexpected status %d (%d %s) with error: %s: %s", e.status, e.status, http.StatusText(e.status), e.code, e.message)
}

// gone reports whether an error says that there is no such object.
func gone(err error) bool {
	var no *refused
	return errors.As(err, &no) && no.status == http.StatusNotFound
}

// client sends requests to Resource Manager. It signs in for each of them: there are few, and a test may end tokens.
type client struct {
	azure Azure
	http  *http.Client
}

func newClient(a Azure) *client {
	// Requests may be held up by a test for as long as it takes another one to be answered.
	return &client{azure: a, http: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{}}}
}

func (c *client) token(ctx context.Context) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.azure.ClientID}, "client_secret": {c.azure.Secret}, "scope": {c.azure.URL + "/.default"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.azure.URL+"/"+c.azure.Tenant+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var got struct {
		Token string `json:"access_token"`
	}
	if _, err := c.send(r, &got); err != nil {
		return "", fmt.Errorf("sign in: %w", err)
	}
	return got.Token, nil
}

// do sends a request for a resource id. Body and into may be nil.
func (c *client) do(ctx context.Context, method, id, version string, query url.Values, body, into any) error {
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	q := url.Values{"api-version": {version}}
	for k, v := range query {
		q[k] = v
	}
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.azure.URL+id+"?"+q.Encode(), sent)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	_, err = c.send(r, into)
	return err
}

func (c *client) send(r *http.Request, into any) (int, error) {
	res, err := c.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return 0, err
	}
	if res.StatusCode >= 300 {
		var no struct {
			Error struct{ Code, Message string }
		}
		_ = json.Unmarshal(raw, &no) // what is no error in Resource Manager's form has neither
		return res.StatusCode, &refused{res.StatusCode, no.Error.Code, no.Error.Message}
	}
	if into == nil {
		return res.StatusCode, nil
	}
	return res.StatusCode, json.Unmarshal(raw, into)
}
