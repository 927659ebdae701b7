package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// apiClient talks to the API of a running "notafter serve".
type apiClient struct {
	base  *url.URL
	token string
	http  *http.Client
}

type apiOptions struct {
	server    string
	tokenFile string
}

func (o *apiOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.server, "server", "http://127.0.0.1:8710", "`ADDRESS` of the running notafter")
	f.StringVar(&o.tokenFile, "token-file", "", "read the API token from `FILE` (default $NOTAFTER_TOKEN)")
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 32 << 20

func (p *program) api(o apiOptions) (*apiClient, error) {
	base, err := url.Parse(o.server)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil {
		return nil, misuse("--server must be an http or https address, such as http://127.0.0.1:8710")
	}
	token := p.env("NOTAFTER_TOKEN")
	if o.tokenFile != "" {
		b, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read token: %w", err)
		}
		token = string(b)
		if strings.TrimSpace(token) == "" {
			return nil, fmt.Errorf("read token: %s is empty", o.tokenFile)
		}
	}
	token = strings.TrimSpace(token)
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("the API token is not a single word of ASCII")
	}
	if token != "" && base.Scheme == "http" && !isLoopback(base.Hostname()) {
		return nil, fmt.Errorf("the API token is not sent in clear text to %s; use https", base.Host)
	}
	return &apiClient{base: base, token: token, http: &http.Client{
		Timeout: 30 * time.Second,
		// A redirect would carry the token, or a request to change something, to who knows where.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// call sends body as JSON, when there is one, and decodes the answer into out. What the server says went wrong becomes
// the error.
func (c *apiClient) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), in)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() && ctx.Err() == nil {
		return unheardError{fmt.Errorf("ask %s: it does not answer in time, which is %s", c.base.Host, c.http.Timeout)}
	}
	if err != nil {
		return unheardError{fmt.Errorf("ask %s: %w (is notafter serving there?)", c.base.Host, err)}
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return unheardError{fmt.Errorf("read answer of %s: %w", c.base.Host, err)}
	}
	if len(answer) > maxAnswer {
		return unheardError{fmt.Errorf("read answer of %s: it is larger than %d MiB", c.base.Host, maxAnswer>>20)}
	}
	if resp.StatusCode/100 != 2 {
		return c.refusal(resp, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return unheardError{fmt.Errorf("what %s answers is no answer of notafter's (is something else serving there?): %s", c.base.Host, amiss(err, resp))}
	}
	return nil
}

// amiss says what is wrong with an answer, without the types that this program would have put it into.
func amiss(err error, resp *http.Response) string {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Sprintf("its member %s is of another kind (%s)", clip(clean(kind.Field), 60), clip(clean(kind.Value), 40))
	case errors.As(err, &kind):
		return "it is of another kind (" + clip(clean(kind.Value), 40) + ")"
	case errors.As(err, &syntax):
		if t := resp.Header.Get("Content-Type"); t != "" {
			return "it is not JSON, and is said to be " + clip(clean(t), 60)
		}
		return "it is not JSON"
	}
	return clip(clean(err.Error()), 200)
}

// patience shortens how long an answer is waited for to what somebody has said that all may take; a server under load may
// need some seconds for one.
func (c *apiClient) patience(whole time.Duration) {
	c.http.Timeout = min(c.http.Timeout, max(whole, leastPatience))
}

const leastPatience = 5 * time.Second

// refusal makes an error of an answer that is not a success, with the server's own words where it has some (RFC 9457).
func (c *apiClient) refusal(resp *http.Response, answer []byte) error {
	var problem struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(answer, &problem) // what is no problem document has no words for us
	words := problem.Detail
	if words == "" {
		words = problem.Title
	}
	if words == "" {
		words = http.StatusText(resp.StatusCode)
	}
	hint := ""
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		hint = "; give a token with --token-file or $NOTAFTER_TOKEN"
	case http.StatusForbidden:
		if problem.Detail == "" {
			hint = "; the token may not do this"
		}
	}
	return refusedError{resp.StatusCode, fmt.Sprintf("%s answers %d: %s%s", c.base.Host, resp.StatusCode, clip(strings.TrimRight(clean(words), ". "), 300), hint)}
}

// unheardError says that there was no answer, or none that can be read.
type unheardError struct{ error }

func (e unheardError) Unwrap() error { return e.error }

// kept reports whether the answer was refused for reasons that say nothing about what was asked.
func (e refusedError) kept() bool {
	switch e.code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	}
	return e.code < 400 || e.code >= 500
}

// refusedError is an answer that is not a success.
type refusedError struct {
	code int // of HTTP
	text string
}

func (e refusedError) Error() string { return e.text }
