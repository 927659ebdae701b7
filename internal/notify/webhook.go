package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// WebhookConfig is where signed messages go.
type WebhookConfig struct {
	URL    string
	Secret string // at least 8 characters; shared with the receiver, never sent
}

// Validate says what is wrong, naming the key.
func (c WebhookConfig) Validate() error {
	if err := checkURL("url", c.URL); err != nil {
		return err
	}
	return checkSecret("secret", c.Secret, 8)
}

// Headers of a signed webhook.
const (
	// SignatureHeader holds t=UNIX,v1=HEX: the moment of sending in Unix seconds, and the HMAC-SHA256 of t, a full stop
	// and the body, keyed with the secret, in lower-case hex. A receiver compares in constant time and refuses a t that
	// is more than a few minutes off, so that a recorded message cannot be played again.
	SignatureHeader = "X-Notafter-Signature"
	// DeliveryHeader holds the delivery's number: equal for every attempt at the same delivery, so that a receiver can
	// drop what it has seen.
	DeliveryHeader = "X-Notafter-Delivery"
)

// WebhookVersion is the version of [WebhookMessage]. Fields are added without changing it, never removed or changed.
const WebhookVersion = 1

// WebhookMessage is the JSON body of a signed webhook. Times are RFC 3339 in UTC and absent when not known.
type WebhookMessage struct {
	Version  int    `json:"version"`
	Delivery int64  `json:"delivery"`
	Notice   string `json:"notice"` // the same for all channels that are told
	Channel  string `json:"channel"`
	// Kind is trigger, resolve, ack, test, or supersede: a worse stage has taken over, and whatever is kept under this
	// dedup_key is to be closed without telling anybody.
	Kind     string          `json:"kind"`
	Stage    string          `json:"stage"`    // ticket, page or outage
	Severity string          `json:"severity"` // ticket or page
	Urgent   bool            `json:"urgent"`   // somebody must act now, and nobody has taken it
	DedupKey string          `json:"dedup_key"`
	Route    string          `json:"route,omitempty"`
	Title    string          `json:"title"`
	Text     string          `json:"text"` // everything below as plain text lines
	SentAt   time.Time       `json:"sent_at"`
	Incident WebhookIncident `json:"incident"`
}

// WebhookIncident is the incident that a message is about, as it stood when the message was sent.
type WebhookIncident struct {
	ID           string    `json:"id"`
	Link         string    `json:"link,omitempty"`   // link of the chain, such as "serving"
	Reason       string    `json:"reason,omitempty"` // stable code
	Summary      string    `json:"summary"`
	Impact       string    `json:"impact,omitempty"`
	Action       string    `json:"action,omitempty"`
	Evidence     string    `json:"evidence,omitempty"`
	Resolution   string    `json:"resolution,omitempty"`
	Since        time.Time `json:"since,omitzero"`
	OpenedAt     time.Time `json:"opened_at,omitzero"`
	HurtsAt      time.Time `json:"hurts_at,omitzero"` // when the first client is or was refused
	ResolvedAt   time.Time `json:"resolved_at,omitzero"`
	AckedBy      string    `json:"acked_by,omitempty"`
	AckedAt      time.Time `json:"acked_at,omitzero"`
	Touched      int       `json:"touched"`
	Certificates []string  `json:"certificates"` // a sample, worst first
	Endpoints    []string  `json:"endpoints"`    // a sample, worst first
	URL          string    `json:"url,omitempty"`
	Docs         string    `json:"docs,omitempty"`
}

type webhook struct {
	name string
	cfg  WebhookConfig
}

// NewWebhook returns a channel that posts [WebhookMessage], signed. Any 2xx answer counts as accepted.
func NewWebhook(name string, c WebhookConfig) (Channel, error) {
	if err := c.Validate(); err != nil {
		return nil, named("webhook", name, err)
	}
	return webhook{name, c}, nil
}

func (w webhook) Name() string     { return w.name }
func (w webhook) Kind() string     { return "webhook" }
func (w webhook) Supersedes() bool { return true }

func (w webhook) Secrets() []string { return append(urlSecrets(w.cfg.URL), w.cfg.Secret) }

func (w webhook) Call(ctx context.Context, m Message) (Call, error) {
	body, err := json.Marshal(WebhookMessage{
		Version: WebhookVersion, Delivery: m.Delivery, Notice: m.Notice, Channel: m.Channel, Kind: string(m.Kind),
		Stage: m.Stage.String(), Severity: string(m.Severity), Urgent: m.Urgent(), DedupKey: m.DedupKey, Route: m.Route,
		Title: m.Title, Text: m.Body(), SentAt: m.At,
		Incident: WebhookIncident{
			ID: string(m.Incident), Link: string(m.ChainLink), Reason: string(m.Reason), Summary: m.Summary, Impact: m.Impact,
			Action: m.Action, Evidence: m.Basis, Resolution: m.Resolution, Since: m.Since, OpenedAt: m.OpenedAt,
			HurtsAt: m.HurtsAt, ResolvedAt: m.ResolvedAt, AckedBy: m.AckedBy, AckedAt: m.AckedAt, Touched: m.Touched,
			Certificates: listOf(m.Certificates), Endpoints: listOf(m.Endpoints), URL: m.Link, Docs: m.Docs,
		},
	})
	if err != nil {
		return Call{}, fmt.Errorf("encode the message: %w", err)
	}
	r, err := post(ctx, w.cfg.URL, "application/json", body)
	if err != nil {
		return Call{}, err
	}
	r.Header.Set(DeliveryHeader, strconv.FormatInt(m.Delivery, 10))
	r.Header.Set(SignatureHeader, sign(w.cfg.Secret, m.At, body))
	return Call{Requests: []*http.Request{r}}, nil
}

func (w webhook) Classify(r Response) Outcome {
	o := plain(r)
	if o.Class == assure.Accepted {
		o.Detail = "HTTP " + strconv.Itoa(r.Status)
	}
	return o
}

// sign makes the value of [SignatureHeader].
func sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = h.Write([]byte(t + "."))
	_, _ = h.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(h.Sum(nil))
}

// listOf makes an empty list of a nil one: receivers get [] and never null.
func listOf(in []string) []string {
	if in == nil {
		return []string{}
	}
	return in
}
