package legochild

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/notafter/notafter/internal/assure"
)

// maxBody bounds what is read of an answer, in bytes: the longest is a list of a zone's TXT records.
const maxBody = 4 << 20

// callTimeout bounds one request to an API.
const callTimeout = 30 * time.Second

// said is what a provider's answer says about a failure.
type said struct {
	bad   bool // it is a failure although the status is good
	code  string
	text  string
	class assure.TroubleClass // when the code decides it
	retry time.Duration       // when the body and not the header says how long to wait
}

// api is an HTTP API.
type api struct {
	title  string
	base   string
	sign   func(r *http.Request, body []byte) error
	say    func(status int, body []byte) said
	client *http.Client
}

func newAPI(title, base string, sign func(r *http.Request, body []byte) error, say func(int, []byte) said) *api {
	return &api{title: title, base: base, sign: sign, say: say, client: &http.Client{
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// header signs requests with one header.
func header(name, value string) func(*http.Request, []byte) error {
	return func(r *http.Request, _ []byte) error { r.Header.Set(name, value); return nil }
}

// call sends a request and reads the answer into out unless that is nil. in is sent as it is when it is url.Values or a
// byte slice (XML), as JSON otherwise. Errors are [*assure.Trouble].
func (a *api) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	kind := "application/json"
	switch v := in.(type) {
	case nil:
	case url.Values:
		body, kind = []byte(v.Encode()), "application/x-www-form-urlencoded"
	case []byte:
		body, kind = v, "text/xml"
	default:
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("write the request to %s: %w", a.title, err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return invalid("the address of the API at " + a.title + " is not one")
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "notafter")
	if in != nil {
		r.Header.Set("Content-Type", kind)
	}
	what := method + " " + r.URL.Path // never the query: some APIs want the key in it
	if a.sign != nil {
		if err := a.sign(r, body); err != nil {
			return a.unsigned(what, err)
		}
	}
	res, err := a.client.Do(r)
	if err != nil {
		return a.unanswered(what, method, err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return a.unanswered(what, method, err)
	}
	if len(got) > maxBody {
		return a.broken(what, fmt.Sprintf("%s answered with more than %d bytes", a.title, maxBody))
	}
	s := said{}
	if a.say != nil {
		s = a.say(res.StatusCode, got)
	}
	if res.StatusCode/100 != 2 || s.bad {
		return a.refused(what, method, res, got, s)
	}
	switch v := out.(type) {
	case nil:
		return nil
	case xmlOut:
		err = xml.Unmarshal(got, v.v)
	default:
		err = json.Unmarshal(got, out)
	}
	if err != nil {
		t := a.broken(what, a.title+" answered with what cannot be read")
		t.Happened = method != http.MethodGet
		return t
	}
	return nil
}

// xmlOut asks call to read the answer as XML.
type xmlOut struct{ v any }

func (a *api) broken(what, detail string) *assure.Trouble {
	return &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleBroken, Action: what, Detail: detail}
}

// unsigned is for a credential that could not be turned into an authorization, such as a token that was not given.
func (a *api) unsigned(what string, err error) error {
	t := &assure.Trouble{
		Reason: assure.DNSWriteFailed, Class: assure.TroubleTransient, Action: what,
		Detail: "get a token for " + a.title + ": " + err.Error(),
	}
	var re *oauth2.RetrieveError
	if errors.As(err, &re) && re.Response != nil && re.Response.StatusCode/100 == 4 && re.Response.StatusCode != http.StatusTooManyRequests {
		t.Reason, t.Class = assure.CredentialExpiring, assure.TroubleExpired
		t.Detail = "a token for " + a.title + " was refused: " + strings.TrimSpace(re.ErrorCode+" "+re.ErrorDescription)
		if re.ErrorCode == "" {
			t.Detail = fmt.Sprintf("a token for %s was refused with HTTP %d", a.title, re.Response.StatusCode)
		}
	}
	var done *assure.Trouble
	if errors.As(err, &done) {
		return done
	}
	return t
}

// unanswered is for a request without an answer. Whether a change was made is then not known, unless no connection came
// about.
func (a *api) unanswered(what, method string, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // without the address, which may hold the key
	}
	t := &assure.Trouble{
		Reason: assure.DNSWriteFailed, Class: assure.TroubleTransient, Action: what,
		Detail: a.title + " did not answer: " + err.Error(), Happened: method != http.MethodGet,
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		t.Happened = false
	}
	return t
}

func (a *api) refused(what, method string, res *http.Response, body []byte, s said) error {
	if s.text == "" && s.code == "" {
		s.text = strings.TrimSpace(string(body[:min(len(body), 300)]))
	}
	t := &assure.Trouble{Class: s.class, Action: what, RetryAfter: s.retry}
	t.Detail = fmt.Sprintf("%s answered HTTP %d", a.title, res.StatusCode)
	if more := strings.TrimSpace(s.code + " " + s.text); more != "" {
		t.Detail += ": " + strings.TrimRight(plain(more, 500), ". ")
	}
	if t.Class == "" {
		t.Class = classOf(res.StatusCode, s.code+" "+s.text)
	}
	switch t.Class {
	case assure.TroubleDenied, assure.TroubleForbidden:
		t.Reason = assure.DNSWriteDenied
	case assure.TroubleExpired:
		t.Reason = assure.CredentialExpiring
	default:
		t.Reason = assure.DNSWriteFailed
	}
	if t.Class == assure.TroubleThrottled || t.Class == assure.TroubleTransient {
		if d := retryAfter(res.Header, time.Now()); d > 0 {
			t.RetryAfter = d
		}
	}
	t.Happened = method != http.MethodGet && res.StatusCode >= 500
	return t
}

// classOf reads a status, and words that providers use with statuses that say less.
func classOf(status int, words string) assure.TroubleClass {
	w := strings.ToLower(words)
	has := func(any ...string) bool {
		for _, s := range any {
			if strings.Contains(w, s) {
				return true
			}
		}
		return false
	}
	switch {
	case status == http.StatusTooManyRequests || has("rate limit", "ratelimit", "too many requests", "throttl", "quota exceeded"):
		return assure.TroubleThrottled
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		return assure.TroubleTransient
	case status == http.StatusUnauthorized, has("expired", "invalid api key", "invalid token", "invalid credential", "unable to authenticate", "authentication"):
		return assure.TroubleExpired
	case status == http.StatusForbidden, has("not authorized", "access denied", "accessdenied", "permission"):
		return assure.TroubleDenied
	case status == http.StatusNotFound, status == http.StatusGone:
		return assure.TroubleMissing
	case status == http.StatusConflict, status == http.StatusPreconditionFailed, status == http.StatusLocked:
		return assure.TroubleConflict
	}
	return assure.TroubleInvalid
}

// maxRetryAfter bounds what is believed about waiting.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads Retry-After (RFC 9110 section 10.2.3), or the time at which a budget is filled again as DigitalOcean,
// Hetzner and Linode tell it (Unix seconds).
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	d := time.Duration(0)
	if n, err := strconv.ParseInt(v, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	for _, k := range []string{"RateLimit-Reset", "X-RateLimit-Reset"} {
		if n, err := strconv.ParseInt(h.Get(k), 10, 64); d == 0 && err == nil && n > 0 {
			if n > 1<<30 {
				d = time.Unix(min(n, 1<<40), 0).Sub(now)
			} else {
				d = time.Duration(n) * time.Second
			}
		}
	}
	return min(max(0, d), maxRetryAfter)
}

// plain makes a text from outside one clipped line without control characters.
func plain(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\ufffd' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
