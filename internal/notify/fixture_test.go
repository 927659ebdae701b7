package notify

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// now is the moment at which the tests' messages are rendered: the Sunday evening of an expired certificate.
var now = time.Date(2023, 10, 8, 18, 30, 0, 0, time.UTC)

const baseURL = "https://notafter.example.com"

// delivery is a page about an expired certificate that serves two endpoints.
func delivery(kind assure.NoticeKind, stage assure.Stage) assure.Delivery {
	d := assure.Delivery{
		ID: 42, Channel: "ops", State: assure.DeliveryPending, Attempt: 1, Touched: 37,
		Notice: assure.Notice{
			ID: "k7f3q/" + stage.String() + "/" + string(kind) + "/sre", Incident: "k7f3q", Kind: kind, Stage: stage,
			Severity: assure.Page, Route: "sre", Channels: []string{"ops"}, DedupKey: "notafter/k7f3q/" + stage.String(),
			At: now.Add(-time.Minute),
		},
		Incident: assure.Incident{
			ID: "k7f3q", State: assure.Open, Link: assure.Serving, Reason: assure.Expired, Severity: assure.Page, Stage: stage,
			Since: now.Add(-2 * time.Hour), OpenedAt: now.Add(-time.Hour), HurtsAt: now.Add(-2 * time.Hour),
			Summary: "The certificate of eu.example.com has expired.", Impact: "Every client is refused.",
			Action: "Renew it and reload the server.", Basis: "Seen by probe@host 3 times.",
			Told: map[string]assure.Stage{"sre": stage},
		},
		Certificates: []string{"hosted-eu"}, Endpoints: []string{"eu.example.com:443", "smtp://mail.eu.example.com:587"},
	}
	if stage == assure.StageTicket {
		d.Notice.Severity = assure.Ticket
	}
	if kind == assure.NoticeResolve {
		d.Incident.State, d.Incident.ResolvedAt = assure.Resolved, now.Add(-time.Minute)
		d.Incident.Resolution = "All 2 endpoints were seen to serve a certificate valid until January."
	}
	return d
}

func message(kind assure.NoticeKind, stage assure.Stage) Message {
	return NewMessage(delivery(kind, stage), baseURL, now)
}

// recorded is a request as a service saw it.
type recorded struct {
	Method string
	Path   string
	Header http.Header
	Body   []byte
}

// service is an HTTP service that records what it is sent and answers as told.
type service struct {
	*httptest.Server
	mu   sync.Mutex
	seen []recorded
	// answer is called after the request was recorded.
	answer http.HandlerFunc
	// refuse, when set, is called instead, and nothing is recorded.
	refuse http.HandlerFunc
}

func newService(t *testing.T, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("service: read the request: %v", err)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		s.mu.Lock()
		refuse, answer := s.refuse, s.answer
		if refuse == nil {
			s.seen = append(s.seen, recorded{r.Method, r.URL.Path, r.Header.Clone(), body})
		}
		s.mu.Unlock()
		if refuse != nil {
			refuse(w, r)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) set(answer, refuse http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer != nil {
		s.answer = answer
	}
	s.refuse = refuse
}

func (s *service) requests() []recorded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]recorded(nil), s.seen...)
}

// status answers with a status and a body.
func status(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// hangUp breaks the connection off without an answer.
func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// Secrets of the test channels: none of them may ever be seen in a receipt or a log.
const (
	secretHook   = "T0AB1CD2E/B9XY8ZW7V/qwErTYuiOP1234567890asDF"
	secretKey    = "0123456789abcdefABCDEF0123456789"
	secretHMAC   = "correct-horse-battery"
	secretToken  = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
	secretUser   = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
	secretNtfy   = "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2"
	secretTopic  = "pages-x8Kq2LmP"
	secretBearer = "eyJhbGciOi.JIUzI1NiJ9.c2VjcmV0"
)

var allSecrets = []string{
	secretHook, secretKey, secretHMAC, secretToken, secretUser, secretNtfy, secretTopic, secretBearer,
	"qwErTYuiOP1234567890asDF", "B9XY8ZW7V",
}

// kinds are the HTTP channels, each against a service at the given address, with an answer by which its service says yes.
var kinds = []struct {
	kind string
	make func(url string) (Channel, error)
	yes  http.HandlerFunc
}{
	{"webhook", func(u string) (Channel, error) {
		return NewWebhook("ops", WebhookConfig{URL: u + "/hooks/" + secretHook, Secret: secretHMAC})
	}, status(204, "")},
	{"slack", func(u string) (Channel, error) {
		return NewSlack("ops", SlackConfig{URL: u + "/services/" + secretHook})
	}, status(200, "ok")},
	{"pagerduty", func(u string) (Channel, error) {
		return NewPagerDuty("ops", PagerDutyConfig{RoutingKey: secretKey, URL: u + "/v2/enqueue"})
	}, status(202, `{"status":"success","message":"Event processed","dedup_key":"notafter/k7f3q/page"}`)},
	{"alertmanager", func(u string) (Channel, error) {
		return NewAlertmanager("ops", AlertmanagerConfig{URLs: []string{u}, BearerToken: secretBearer})
	}, status(200, "")},
	{"pushover", func(u string) (Channel, error) {
		return NewPushover("ops", PushoverConfig{Token: secretToken, User: secretUser, URL: u})
	}, status(200, `{"status":1,"request":"5042853c-402d-4a18-abcb-168734a801de","receipt":"rLqVuqTRh62UzxtmqiaLzQmVcPgiCy"}`)},
	{"ntfy", func(u string) (Channel, error) {
		return NewNtfy("ops", NtfyConfig{URL: u, Topic: secretTopic, Token: secretNtfy})
	}, status(200, `{"id":"hwQ2YpKdmg","time":1635528741,"event":"message","topic":"pages-x8Kq2LmP","message":"x"}`)},
}

func sender(t *testing.T, kind, url string) Sender {
	t.Helper()
	for _, k := range kinds {
		if k.kind == kind {
			ch, err := k.make(url)
			if err != nil {
				t.Fatalf("make %s: %v", kind, err)
			}
			return NewHTTPSender(ch, HTTPOptions{Now: func() time.Time { return now }})
		}
	}
	t.Fatalf("no kind %q", kind)
	return nil
}

func yes(kind string) http.HandlerFunc {
	for _, k := range kinds {
		if k.kind == kind {
			return k.yes
		}
	}
	return nil
}

func noSecrets(t *testing.T, where, text string) {
	t.Helper()
	for _, s := range allSecrets {
		if strings.Contains(text, s) {
			t.Errorf("%s holds the secret %q: %s", where, s, text)
		}
	}
}

func ctxOf(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
