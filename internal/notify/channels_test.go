package notify

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Every channel reads these the same way, whatever its service.
func TestEveryChannelClassifiesAnswers(t *testing.T) {
	cases := []struct {
		name   string
		answer http.HandlerFunc
		want   assure.ReceiptClass
		code   int
		after  time.Duration
	}{
		{"the service is broken", status(500, "oops"), assure.Temporary, 500, 0},
		{"a gateway has no service behind it", status(502, "<html>Bad Gateway</html>"), assure.Temporary, 502, 0},
		{"maintenance, with a time", status(503, "", "Retry-After", "30"), assure.Temporary, 503, 30 * time.Second},
		{"too many, with seconds", status(429, "", "Retry-After", "17"), assure.RateLimited, 429, 17 * time.Second},
		{"too many, with a date", status(429, "", "Retry-After", now.Add(90*time.Second).Format(http.TimeFormat)), assure.RateLimited, 429, 90 * time.Second},
		{"too many, with nothing", status(429, ""), assure.RateLimited, 429, 0},
		{"credentials refused", status(401, "unauthorized"), assure.Denied, 401, 0},
		{"forbidden", status(403, "forbidden"), assure.Denied, 403, 0},
		{"no such address", status(404, "not found"), assure.Denied, 404, 0},
		{"gone for good", status(410, "gone"), assure.Denied, 410, 0},
		{"malformed", status(400, "bad"), assure.Rejected, 400, 0},
		{"too large", status(413, "too large"), assure.Rejected, 413, 0},
		{"not understood", status(422, "unprocessable"), assure.Rejected, 422, 0},
		{"moved", status(307, "", "Location", "https://elsewhere.example.com/secret"), assure.Denied, 307, 0},
		{"hangs up after taking it", hangUp, assure.Temporary, 0, 0},
		{"answer breaks off in the middle", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(200)
			_, _ = w.Write([]byte("ok"))
		}, assure.Temporary, 200, 0},
	}
	for _, k := range kinds {
		for _, c := range cases {
			t.Run(k.kind+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				s := newService(t, c.answer)
				o := sender(t, k.kind, s.URL).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
				if o.Class != c.want || o.Code != c.code || o.RetryAfter != c.after {
					t.Errorf("got %s %d after %s (%s), want %s %d after %s", o.Class, o.Code, o.RetryAfter, o.Detail, c.want, c.code, c.after)
				}
				if o.Detail == "" {
					t.Error("nothing is said of what went wrong")
				}
				noSecrets(t, "detail", o.Detail)
				if len(s.requests()) != 1 {
					t.Errorf("%d requests were made, want 1: an attempt does not retry", len(s.requests()))
				}
			})
		}
		t.Run(k.kind+"/nobody listens", func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.NotFoundHandler())
			s.Close()
			o := sender(t, k.kind, s.URL).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
			if o.Class != assure.Temporary || o.Code != 0 {
				t.Errorf("got %s %d, want temporary 0", o.Class, o.Code)
			}
			noSecrets(t, "detail", o.Detail)
		})
		t.Run(k.kind+"/accepted", func(t *testing.T) {
			t.Parallel()
			s := newService(t, k.yes)
			o := sender(t, k.kind, s.URL).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
			if o.Class != assure.Accepted {
				t.Errorf("got %s (%s), want accepted", o.Class, o.Detail)
			}
			noSecrets(t, "detail", o.Detail)
		})
	}
}

// What a service says of a message in its own words.
func TestServicesOwnWords(t *testing.T) {
	cases := []struct {
		kind, name string
		answer     http.HandlerFunc
		want       assure.ReceiptClass
	}{
		{"slack", "200 with an error instead of ok", status(200, "invalid_payload"), assure.Denied},
		{"slack", "somebody's web page", status(200, "<html>Welcome</html>"), assure.Denied},
		{"slack", "the webhook was revoked", status(404, "no_service"), assure.Denied},
		{"slack", "revoked, as 400", status(400, "invalid_token"), assure.Denied},
		{"slack", "archived", status(410, "channel_is_archived"), assure.Denied},
		{"slack", "a message it does not like", status(400, "invalid_payload"), assure.Rejected},
		{"slack", "its own mishap", status(500, "rollup_error"), assure.Temporary},
		{"slack", "rate limit in words", status(200, `{"ok":false,"error":"ratelimited"}`), assure.RateLimited},
		{"slack", "Web API refusal with 200", status(200, `{"ok":false,"error":"invalid_auth"}`), assure.Denied},
		{"slack", "Discord without a body", status(204, ""), assure.Accepted},
		{"slack", "Rocket.Chat", status(200, `{"success":true}`), assure.Accepted},
		{"pagerduty", "wrong integration key", status(400, `{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}`), assure.Denied},
		{"pagerduty", "unknown integration key", status(400, `{"status":"Bad Request","message":"Invalid routing key"}`), assure.Denied},
		{"pagerduty", "a message it does not like", status(400, `{"status":"invalid event","message":"Event object is invalid","errors":["'payload.summary' is missing or blank"]}`), assure.Rejected},
		{"pagerduty", "a login page", status(200, "<html>sign in</html>"), assure.Temporary},
		{"pushover", "status 0 with 200", status(200, `{"status":0,"errors":["message cannot be blank"]}`), assure.Rejected},
		{"pushover", "wrong token", status(400, `{"token":"invalid","errors":["application token is invalid"],"status":0}`), assure.Denied},
		{"pushover", "wrong user", status(400, `{"user":"invalid","errors":["user identifier is invalid"],"status":0}`), assure.Denied},
		{"pushover", "quota used up", status(429, `{"errors":["application is over its quota"],"status":0}`), assure.RateLimited},
		{"pushover", "somebody's web page", status(200, "<html>"), assure.Temporary},
		{"ntfy", "reserved topic", status(403, `{"code":40301,"http":403,"error":"forbidden"}`), assure.Denied},
		{"ntfy", "daily limit", status(429, `{"code":42908,"http":429,"error":"limit reached: daily message quota reached"}`), assure.RateLimited},
		{"ntfy", "somebody's web page", status(200, "<html>Welcome</html>"), assure.Denied},
		{"alertmanager", "an alert it does not like", status(400, `"start time must be before end time"`), assure.Rejected},
	}
	for _, c := range cases {
		t.Run(c.kind+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, c.answer)
			o := sender(t, c.kind, s.URL).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
			if o.Class != c.want {
				t.Errorf("got %s (%s), want %s", o.Class, o.Detail, c.want)
			}
		})
	}
}

// Secrets that a service echoes, in any of the forms in which they travel, are taken out.
func TestSecretsAreNeverTold(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.kind, func(t *testing.T) {
			t.Parallel()
			for _, code := range []int{200, 400, 401, 429, 500, 302} {
				s := newService(t, func(w http.ResponseWriter, r *http.Request) {
					var body strings.Builder
					body.WriteString(`{"errors":["you said ` + r.URL.String() + ` with ` + r.Header.Get("Authorization") + ` and `)
					body.WriteString(strings.Join([]string{secretKey, secretToken, secretUser, secretHMAC, secretTopic}, " "))
					body.WriteString(`"]}`)
					w.Header().Set("Location", "/"+secretHook)
					w.WriteHeader(code)
					_, _ = w.Write([]byte(body.String()))
				})
				o := sender(t, k.kind, s.URL).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
				for _, own := range map[string][]string{
					"webhook": {secretHook, secretHMAC, "qwErTYuiOP1234567890asDF", "B9XY8ZW7V"}, "slack": {secretHook, "qwErTYuiOP1234567890asDF", "B9XY8ZW7V"},
					"pagerduty": {secretKey}, "alertmanager": {secretBearer}, "pushover": {secretToken, secretUser}, "ntfy": {secretNtfy, secretTopic},
				}[k.kind] {
					if strings.Contains(o.Detail, own) {
						t.Errorf("%d: the detail holds the secret %q: %s", code, own, o.Detail)
					}
				}
			}
		})
	}
}

// A service that sends without end, or never answers, does not hold an attempt up for longer than its limit.
func TestBoundedAnswers(t *testing.T) {
	t.Parallel()
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat("x", 32<<10))
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	o := sender(t, "webhook", s.URL).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
	if o.Class != assure.Accepted {
		t.Errorf("an endless 200: got %s (%s), want accepted", o.Class, o.Detail)
	}
	silent := newService(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(ctxOf(t), 100*time.Millisecond)
	defer cancel()
	o = sender(t, "webhook", silent.URL).Send(ctx, message(assure.NoticeTrigger, assure.StagePage))
	if o.Class != assure.Temporary || !strings.Contains(o.Detail, "no answer") {
		t.Errorf("a silent service: got %s (%s), want temporary for want of an answer", o.Class, o.Detail)
	}
}

type brokenChannel struct{ Channel }

func (brokenChannel) Call(context.Context, Message) (Call, error) { panic("bad " + secretHMAC) }

func TestPanicIsAReceipt(t *testing.T) {
	t.Parallel()
	ch, err := NewWebhook("ops", WebhookConfig{URL: "http://127.0.0.1:1/", Secret: secretHMAC})
	if err != nil {
		t.Fatal(err)
	}
	o := NewHTTPSender(brokenChannel{ch}, HTTPOptions{}).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
	if o.Class != assure.Temporary || !strings.Contains(o.Detail, "internal error") {
		t.Errorf("got %s (%s), want a temporary internal error", o.Class, o.Detail)
	}
	noSecrets(t, "detail", o.Detail)
}

func TestAlertmanagerReplicas(t *testing.T) {
	t.Parallel()
	up, down := newService(t, status(200, "")), newService(t, status(503, "not ready"))
	ch, err := NewAlertmanager("ops", AlertmanagerConfig{URLs: []string{down.URL, up.URL}})
	if err != nil {
		t.Fatal(err)
	}
	snd := NewHTTPSender(ch, HTTPOptions{})
	o := snd.Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
	if o.Class != assure.Accepted || o.Impaired != assure.Temporary {
		t.Errorf("one of two up: got %s impaired %q, want accepted, impaired temporary", o.Class, o.Impaired)
	}
	if d := o.Delivered("ops"); d.Class != assure.Temporary || !strings.Contains(d.Detail, "1 of 2") {
		t.Errorf("the fact about the channel is %+v, want temporary and 1 of 2", d)
	}
	if len(up.requests()) != 1 || len(down.requests()) != 1 {
		t.Errorf("replicas saw %d and %d requests, want one each", len(up.requests()), len(down.requests()))
	}
	up.set(status(401, ""), nil)
	if o := snd.Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage)); o.Class != assure.Temporary {
		t.Errorf("none up, one of them temporarily: got %s, want temporary", o.Class)
	}
}

func TestProbes(t *testing.T) {
	cases := []struct {
		kind, name string
		answer     http.HandlerFunc
		want       assure.ReceiptClass
		path       string
	}{
		{"pushover", "valid", status(200, `{"status":1,"group":0,"devices":["phone"]}`), assure.Accepted, "/1/users/validate.json"},
		{"pushover", "invalid user", status(400, `{"user":"invalid","errors":["user key is invalid"],"status":0}`), assure.Denied, "/1/users/validate.json"},
		{"pushover", "no active device", status(400, `{"errors":["user has no active devices"],"status":0}`), assure.Denied, "/1/users/validate.json"},
		{"alertmanager", "up", status(200, `{"cluster":{"status":"ready"},"versionInfo":{}}`), assure.Accepted, "/api/v2/status"},
		{"alertmanager", "not an Alertmanager", status(200, `{}`), assure.Denied, "/api/v2/status"},
		{"alertmanager", "wrong token", status(401, ``), assure.Denied, "/api/v2/status"},
		{"ntfy", "healthy", status(200, `{"healthy":true}`), assure.Accepted, "/v1/health"},
		{"ntfy", "not healthy", status(200, `{"healthy":false}`), assure.Temporary, "/v1/health"},
		{"ntfy", "token revoked", status(401, `{"code":40101}`), assure.Denied, "/v1/health"},
		{"ntfy", "a web page", status(200, `<html>`), assure.Denied, "/v1/health"},
	}
	for _, c := range cases {
		t.Run(c.kind+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, c.answer)
			o, checked := sender(t, c.kind, s.URL).(Prober).Probe(ctxOf(t))
			if !checked || o.Class != c.want {
				t.Errorf("got %s (%s), checked %t, want %s", o.Class, o.Detail, checked, c.want)
			}
			if got := s.requests(); len(got) != 1 || got[0].Path != c.path {
				t.Errorf("asked %+v, want one request of %s", got, c.path)
			}
			noSecrets(t, "detail", o.Detail)
		})
	}
	for _, kind := range []string{"webhook", "slack", "pagerduty"} {
		s := newService(t, status(200, "ok"))
		if _, checked := sender(t, kind, s.URL).(Prober).Probe(ctxOf(t)); checked || len(s.requests()) != 0 {
			t.Errorf("%s: a check was claimed or noise was made", kind)
		}
	}
}

// An address stays out of a failure even before secrets are taken out of it.
func TestFailuresNameNoAddress(t *testing.T) {
	err := &url.Error{Op: "Post", URL: "https://hooks.example.com/a/path", Err: &net.DNSError{Err: "no such host", Name: "hooks.example.com"}}
	o := netFailure(err)
	if strings.Contains(o.Detail, "path") || !strings.Contains(o.Detail, "no such host") || o.Class != assure.Temporary {
		t.Errorf("got %s: %s", o.Class, o.Detail)
	}
	err.Err = errors.New("connection refused")
	if o := netFailure(err); strings.Contains(o.Detail, "path") || o.Detail != "connection refused" {
		t.Errorf("got %s: %s", o.Class, o.Detail)
	}
}

func TestRetryAfter(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "5": 5 * time.Second, "0.7": time.Second, " 12 ": 12 * time.Second, "1e9": maxRetryAfter, "NaN": 0,
		"Inf": maxRetryAfter, "soon": 0, now.Add(time.Minute).Format(http.TimeFormat): time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0, now.AddDate(1, 0, 0).Format(http.TimeFormat): maxRetryAfter,
	} {
		if got := parseRetryAfter(in, now); got != want {
			t.Errorf("Retry-After %q: got %s, want %s", in, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "1.5", "-1", "NaN", "1e308", "Sun, 08 Oct 2023 18:31:00 GMT", "Sunday, 08-Oct-23 18:31:00 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := parseRetryAfter(s, now); d < 0 || d > maxRetryAfter {
			t.Errorf("%q: %s is out of bounds", s, d)
		}
	})
}

// FuzzClassify: no answer makes a classifier panic, invent a class, or let an HTTP failure pass as accepted.
func FuzzClassify(f *testing.F) {
	for _, s := range []string{"ok", `{"status":"success"}`, `{"status":1}`, `{"id":"x"}`, `{"status":0,"token":"invalid","errors":null}`, `[]`, `null`, "\xff\xfe"} {
		f.Add(200, s)
		f.Add(400, s)
	}
	var channels []Channel
	for _, k := range kinds {
		ch, err := k.make("https://service.example.com")
		if err != nil {
			f.Fatal(err)
		}
		channels = append(channels, ch)
	}
	f.Fuzz(func(t *testing.T, code int, body string) {
		r := Response{Status: code, Header: http.Header{}, Body: []byte(body)}
		for _, ch := range channels {
			outs := []Outcome{ch.Classify(r)}
			if p, ok := ch.(ProbeChannel); ok {
				outs = append(outs, p.ClassifyProbe(r))
			}
			for _, o := range outs {
				switch o.Class {
				case assure.Accepted:
					if code < 200 || code > 299 {
						t.Errorf("%s: HTTP %d passes as accepted", ch.Kind(), code)
					}
				case assure.Temporary, assure.RateLimited, assure.Denied, assure.Rejected:
					if o.Detail == "" {
						t.Errorf("%s: nothing is said of HTTP %d", ch.Kind(), code)
					}
				default:
					t.Errorf("%s: unknown class %q", ch.Kind(), o.Class)
				}
			}
		}
	})
}
