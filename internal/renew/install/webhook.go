package install

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// WebhookOptions say who is told of a new pair.
type WebhookOptions struct {
	URL    string
	Secret string // at least 8 characters; shared with the receiver, never sent
	// Key sends the private key too. The address must be https then, or on this machine.
	Key bool
	// Deadline bounds all attempts together; one minute when zero.
	Deadline time.Duration
	// Roots are the roots that the receiver is verified by; the system's when nil.
	Roots *x509.CertPool
	Names Names            // as in [FilesOptions]
	Now   func() time.Time // the present time
}

// Headers of a signed webhook, the same as those of the messages that people are sent.
const (
	// SignatureHeader holds t=UNIX,v1=HEX: the moment of sending in Unix seconds, and the HMAC-SHA256 of t, a full stop
	// and the body, keyed with the secret, in lower-case hex. A receiver compares in constant time and refuses a t that
	// is more than a few minutes off.
	SignatureHeader = "X-Notafter-Signature"
	// DeliveryHeader holds the leaf's fingerprint: equal for every attempt with the same certificate.
	DeliveryHeader = "X-Notafter-Delivery"
)

// WebhookMessage is the JSON body. Fields are added without changing Version, never removed or changed.
type WebhookMessage struct {
	Version     int       `json:"version"`
	Certificate string    `json:"certificate"` // the declared one's name
	Fullchain   string    `json:"fullchain"`   // PEM, leaf first
	Key         string    `json:"key,omitempty"`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"fingerprint_sha256"` // of the leaf, lower-case hex
}

// WebhookVersion is the version of [WebhookMessage].
const WebhookVersion = 1

const (
	defaultDeadline = time.Minute
	maxDeadline     = 10 * time.Minute
)

// Webhook installs by telling a receiver, which must answer 2xx once the pair is where it belongs. A receiver that is
// asked to do the same twice does nothing the second time: see [DeliveryHeader].
type Webhook struct {
	opts   WebhookOptions
	host   string
	client *http.Client
	wait   pause
}

// NewWebhook checks the options and sends nothing.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	u, err := url.Parse(o.URL)
	switch {
	case o.Now == nil:
		return nil, errors.New("the present time is required")
	case o.URL == "":
		return nil, errors.New("url: is required")
	case err != nil:
		return nil, errors.New("url: is not an address") // not quoted: it may be the secret
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("url: must begin with https:// or http://")
	case u.Hostname() == "":
		return nil, errors.New("url: names no host")
	case u.Fragment != "":
		return nil, errors.New("url: has a fragment (#), which is never sent")
	case o.Key && u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, errors.New("url: the private key is sent, so it must begin with https://")
	case len(o.Secret) < 8:
		return nil, errors.New("secret: at least 8 characters are required")
	case strings.TrimSpace(o.Secret) != o.Secret:
		return nil, errors.New("secret: begins or ends with white space")
	case o.Deadline < 0 || o.Deadline > maxDeadline:
		return nil, fmt.Errorf("deadline: must be positive and at most %s", maxDeadline)
	}
	if o.Deadline == 0 {
		o.Deadline = defaultDeadline
	}
	return &Webhook{
		opts: o, host: u.Scheme + "://" + u.Host, wait: sleep,
		client: client(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots}, http.ProxyFromEnvironment),
	}, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// String says where to, without what may be secret in the address.
func (w *Webhook) String() string { return "webhook " + clip(w.host) }

// Install sends the pair and tries again what may pass, until it is taken or the deadline comes.
func (w *Webhook) Install(ctx context.Context, certificate string, chain, key []byte) ([]assure.Step, error) {
	t := &trail{now: w.opts.Now}
	p, err := t.match(certificate, chain, key, w.opts.Names)
	if err != nil {
		return t.steps, err
	}
	m := WebhookMessage{
		Version: WebhookVersion, Certificate: certificate, Fullchain: string(p.fullchain()),
		NotAfter: p.leaf().NotAfter.UTC(), Fingerprint: p.fingerprint(),
	}
	if w.opts.Key {
		m.Key = string(p.keyPEM)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return t.steps, trouble(assure.TroubleInvalid, "encode the message: "+err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, w.opts.Deadline)
	defer cancel()
	err = t.do(assure.StepInstall, w.String(), func() (string, error) {
		tries := 0
		var got answer
		err := attempts(ctx, w.wait, func(ctx context.Context) (err error) {
			tries++
			got, err = w.once(ctx, body, m.Fingerprint)
			return err
		})
		if err != nil {
			return "", err
		}
		detail := "taken with HTTP " + strconv.Itoa(got.status)
		if tries > 1 {
			detail += " at attempt " + strconv.Itoa(tries)
		}
		return detail, nil
	})
	return t.steps, err
}

// answerTime bounds one attempt: a receiver that hangs must not eat the time of the next attempt.
const answerTime = 20 * time.Second

func (w *Webhook) once(ctx context.Context, body []byte, delivery string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.opts.URL, bytes.NewReader(body))
	if err != nil {
		return answer{}, trouble(assure.TroubleInvalid, "the address cannot be used")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "notafter")
	r.Header.Set(DeliveryHeader, delivery)
	r.Header.Set(SignatureHeader, sign(w.opts.Secret, w.opts.Now(), body))
	a, err := ask(w.client, r)
	if err == nil {
		err = w.classify(a)
	}
	if err != nil {
		return a, changed(err, func(t *assure.Trouble) {
			t.Action, t.Scope = "POST", clip(w.host)
			t.Detail = "the webhook was not taken: " + t.Detail
		})
	}
	return a, nil
}

// classify tells answers that may change by themselves from those that a person must change.
func (w *Webhook) classify(a answer) error {
	if a.status/100 == 2 {
		return nil
	}
	detail := "HTTP " + strconv.Itoa(a.status)
	if words := hide(string(a.body[:min(len(a.body), 4<<10)]), w.opts.Secret, w.opts.URL); strings.TrimSpace(words) != "" {
		detail += ": " + words
	}
	t := trouble(assure.TroubleInvalid, clip(detail))
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		t.Class, t.Remedy = assure.TroubleDenied, "See that both sides have the same secret, and that their clocks agree"
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		t.Class, t.Remedy = assure.TroubleMissing, "Correct the address of the webhook"
	case a.status == http.StatusConflict:
		t.Class = assure.TroubleConflict
	case a.status == http.StatusTooManyRequests:
		t.Class = assure.TroubleThrottled
	case a.status == http.StatusRequestTimeout, a.status == http.StatusTooEarly:
		t.Class = assure.TroubleTransient
	case a.status/100 == 3:
		t.Remedy = "The receiver points somewhere else, and a key is not sent after it: give the address it points to"
	case a.status/100 == 5:
		// It may have failed after it did its work.
		t.Class, t.Happened = assure.TroubleTransient, true
	}
	if t.Class.Retry() {
		t.RetryAfter = retryAfter(a.header, w.opts.Now())
	}
	return t
}

// sign makes the value of [SignatureHeader].
func sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = h.Write([]byte(t + "."))
	_, _ = h.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(h.Sum(nil))
}
