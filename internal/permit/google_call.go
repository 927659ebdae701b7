package permit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/notafter/notafter/internal/assure"
)

// webBody and webTimeout bound an answer in bytes, and a request.
const (
	webBody    = 1 << 20
	webTimeout = 30 * time.Second
)

func newWebClient() *http.Client {
	return &http.Client{
		Timeout:       webTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// web asks an API of JSON with a token.
type web struct {
	title  string
	client *http.Client
	token  string
	// read finds what an answer says about a failure, in words.
	read func(body []byte) string
}

// call asks once. Trouble is of the reason [assure.PermissionUnclear], or [assure.CredentialExpiring] when the credential is refused.
func (w *web) call(ctx context.Context, method, address string, in, out any) *assure.Trouble {
	what := method
	if u, err := url.Parse(address); err == nil {
		what += " " + u.Path
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return &assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleInvalid, Action: what, Detail: "the question cannot be written"}
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return &assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleInvalid, Action: what, Detail: "the address of " + w.title + " is not one"}
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	r.Header.Set("User-Agent", "notafter")
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := w.client.Do(r)
	if err != nil {
		return unanswered(w.title, what, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, webBody+1))
	if err != nil {
		return unanswered(w.title, what, err)
	}
	if res.StatusCode/100 != 2 {
		return refused(w.title, what, res, w.read(b))
	}
	if len(b) > webBody || out != nil && json.Unmarshal(b, out) != nil {
		return &assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleBroken, Action: what, Detail: w.title + " answered with what cannot be read"}
	}
	return nil
}

func unanswered(title, what string, err error) *assure.Trouble {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return &assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleTransient, Action: what, Detail: clean(title+" did not answer: "+err.Error(), 300)}
}

func refused(title, what string, res *http.Response, said string) *assure.Trouble {
	t := &assure.Trouble{
		Reason: assure.PermissionUnclear, Class: assure.TroubleInvalid, Action: what,
		Detail: clean(fmt.Sprintf("%s answered HTTP %d %s", title, res.StatusCode, said), 400), RetryAfter: seconds(res.Header.Get("Retry-After")),
	}
	switch s := res.StatusCode; {
	case s == http.StatusUnauthorized:
		t.Reason, t.Class = assure.CredentialExpiring, assure.TroubleExpired
		t.Remedy = "Make a new credential and set it"
	case s == http.StatusForbidden:
		t.Class = assure.TroubleDenied
	case s == http.StatusNotFound:
		t.Class = assure.TroubleMissing
	case s == http.StatusTooManyRequests:
		t.Class = assure.TroubleThrottled
	case s == http.StatusRequestTimeout || s >= 500:
		t.Class = assure.TroubleTransient
	}
	return t
}

// signIn fetches a token for this question.
func (g *Google) signIn(ctx context.Context) (*web, *assure.Trouble) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, g.o.Client) // how oauth2 takes a client
	src, err := g.tokens(ctx)
	if err != nil {
		return nil, &assure.Trouble{
			Reason: assure.PermissionUnclear, Class: assure.TroubleInvalid, Identity: g.who, Detail: clean("find Google's default credentials: "+err.Error(), 300),
			Remedy: "Set a service account's key, or run where the machine has an identity",
		}
	}
	tok, err := src.Token()
	if err != nil {
		t := unanswered("Google's token service", "get a token", err)
		var re *oauth2.RetrieveError
		if errors.As(err, &re) && re.Response != nil {
			t = refused("Google's token service", "get a token", re.Response, re.ErrorCode+" "+re.ErrorDescription)
			if re.Response.StatusCode/100 == 4 && re.Response.StatusCode != http.StatusTooManyRequests { // invalid_grant comes with 400
				t.Reason, t.Class, t.Remedy = assure.CredentialExpiring, assure.TroubleExpired, "Make a new key for the service account, if it still exists, and set it"
			}
		}
		return nil, t
	}
	w := &web{title: "Google", client: g.o.Client, token: tok.AccessToken, read: googleSaid}
	if g.o.Impersonate == "" {
		return w, nil
	}
	var as struct {
		Token string `json:"accessToken"`
	}
	t := w.call(ctx, http.MethodPost, g.o.IAM+"/v1/projects/-/serviceAccounts/"+url.PathEscape(g.o.Impersonate)+":generateAccessToken", map[string]any{"scope": []string{googleScope}}, &as)
	if t != nil {
		if t.Class == assure.TroubleDenied {
			t.Reason, t.Action, t.Remedy = assure.DNSWriteDenied, "iam.serviceAccounts.getAccessToken", "Give the caller the role Service Account Token Creator on the service account"
		}
		return nil, t
	}
	w.token = as.Token
	return w, nil
}

func googleSaid(body []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	return e.Error.Status + " " + e.Error.Message
}
