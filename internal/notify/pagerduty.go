package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// PagerDutyConfig is an Events API v2 integration of a PagerDuty service.
type PagerDutyConfig struct {
	// RoutingKey is the integration key: 32 letters and digits. Never change it while an alert is open: PagerDuty drops
	// a resolve that comes through another key than the trigger did.
	RoutingKey string
	// URL is where events go. Empty means https://events.pagerduty.com/v2/enqueue; the European service region has
	// https://events.eu.pagerduty.com/v2/enqueue.
	URL string
}

const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// Limits of the Events API v2 (PagerDuty developer documentation, "Send an alert event").
const (
	pagerDutySummary = 1024      // characters
	pagerDutyDedup   = 255       // characters
	pagerDutyEvent   = 512 << 10 // bytes of one event
)

// Validate says what is wrong, naming the key.
func (c PagerDutyConfig) Validate() error {
	if err := checkSecret("routing_key", c.RoutingKey, 1); err != nil {
		return err
	}
	if len(c.RoutingKey) != 32 {
		return keyErr("routing_key", "has %d characters; an Events API v2 integration key has 32", len(c.RoutingKey))
	}
	if strings.ContainsFunc(c.RoutingKey, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return keyErr("routing_key", "holds something else than letters and digits")
	}
	if c.URL != "" {
		return checkURL("url", c.URL)
	}
	return nil
}

type pagerDuty struct {
	name string
	cfg  PagerDutyConfig
}

// NewPagerDuty returns a channel that sends Events API v2 events.
func NewPagerDuty(name string, c PagerDutyConfig) (Channel, error) {
	if err := c.Validate(); err != nil {
		return nil, named("pagerduty", name, err)
	}
	if c.URL == "" {
		c.URL = pagerDutyURL
	}
	return pagerDuty{name, c}, nil
}

func (p pagerDuty) Name() string      { return p.name }
func (p pagerDuty) Kind() string      { return "pagerduty" }
func (p pagerDuty) Supersedes() bool  { return true }
func (p pagerDuty) Secrets() []string { return []string{p.cfg.RoutingKey} }

type pagerDutyEventBody struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Client     string            `json:"client,omitempty"`
	ClientURL  string            `json:"client_url,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
	Links      []pagerDutyLink   `json:"links,omitempty"`
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp,omitempty"`
	Component string            `json:"component,omitempty"`
	Group     string            `json:"group,omitempty"`
	Class     string            `json:"class,omitempty"`
	Details   *pagerDutyDetails `json:"custom_details,omitempty"`
}

type pagerDutyDetails struct {
	Stage        string   `json:"stage"`
	Since        string   `json:"since,omitempty"`
	Clients      string   `json:"clients,omitempty"`
	Impact       string   `json:"impact,omitempty"`
	Action       string   `json:"action,omitempty"`
	Evidence     string   `json:"evidence,omitempty"`
	Touched      int      `json:"touched"`
	Certificates []string `json:"certificates,omitempty"`
	Endpoints    []string `json:"endpoints,omitempty"`
	Incident     string   `json:"incident"`
	Text         string   `json:"text"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// Call triggers under the key of the stage, so that a worse stage wakes people afresh although the earlier one was
// acknowledged. Acknowledging and resolving go to every stage up to this one: each may have an alert of its own, and
// PagerDuty drops what it has no open alert for.
func (p pagerDuty) Call(ctx context.Context, m Message) (Call, error) {
	var events []pagerDutyEventBody
	switch m.Kind {
	case assure.NoticeSupersede:
		events = append(events, pagerDutyEventBody{Action: "resolve", DedupKey: m.DedupKey})
	case assure.NoticeResolve, assure.NoticeAck:
		action := "resolve"
		if m.Kind == assure.NoticeAck {
			action = "acknowledge"
		}
		for _, key := range append([]string{m.DedupKey}, m.LowerKeys...) {
			events = append(events, pagerDutyEventBody{Action: action, DedupKey: key})
		}
	default:
		events = append(events, p.trigger(m))
	}
	var call Call
	for _, e := range events {
		e.RoutingKey, e.DedupKey = p.cfg.RoutingKey, shortKey(e.DedupKey, pagerDutyDedup)
		body, err := json.Marshal(e)
		if err == nil && len(body) > pagerDutyEvent && e.Payload != nil {
			// Better an event without details than none.
			e.Payload.Details = nil
			body, err = json.Marshal(e)
		}
		if err != nil {
			return Call{}, fmt.Errorf("encode the event: %w", err)
		}
		r, err := post(ctx, p.cfg.URL, "application/json", body)
		if err != nil {
			return Call{}, err
		}
		call.Requests = append(call.Requests, r)
	}
	return call, nil
}

func (p pagerDuty) trigger(m Message) pagerDutyEventBody {
	e := pagerDutyEventBody{Action: "trigger", DedupKey: m.DedupKey, Client: "notafter", ClientURL: m.Link}
	details := &pagerDutyDetails{
		Stage: m.Stage.String(), Impact: m.Impact, Action: m.Action, Evidence: m.Basis, Touched: m.Touched,
		Certificates: m.Certificates, Endpoints: m.Endpoints, Incident: string(m.Incident), Text: m.Body(),
	}
	for _, l := range m.lines {
		switch l.Label {
		case labelSince:
			details.Since = l.Text
		case labelHurts:
			details.Clients = l.Text
		}
	}
	e.Payload = &pagerDutyPayload{
		Summary: m.Headline(pagerDutySummary), Source: sourceOf(m), Severity: alertSeverity(m.Stage),
		Group: m.Route, Class: string(m.Reason), Details: details,
	}
	if len(m.Certificates) > 0 {
		e.Payload.Component = m.Certificates[0]
	}
	if !m.OpenedAt.IsZero() {
		e.Payload.Timestamp = m.OpenedAt.Format(time.RFC3339)
	}
	if m.Link != "" {
		e.Links = append(e.Links, pagerDutyLink{m.Link, "Incident " + string(m.Incident)})
	}
	if m.Docs != "" {
		e.Links = append(e.Links, pagerDutyLink{m.Docs, "What " + string(m.Reason) + " means"})
	}
	return e
}

// sourceOf names what is affected: the worst endpoint, else the worst certificate, else notafter itself.
func sourceOf(m Message) string {
	switch {
	case len(m.Endpoints) > 0:
		return m.Endpoints[0]
	case len(m.Certificates) > 0:
		return m.Certificates[0]
	}
	return "notafter"
}

// alertSeverity is the word that alerting services commonly page for (critical) or file for working hours (warning).
func alertSeverity(s assure.Stage) string {
	if s >= assure.StagePage {
		return "critical"
	}
	return "warning"
}

// shortKey keeps a key within n bytes; a longer one is replaced by its hash, which is as good for telling keys apart.
func shortKey(key string, n int) string {
	if len(key) <= n {
		return key
	}
	h := sha256.Sum256([]byte(key))
	return "notafter-" + hex.EncodeToString(h[:])
}

// Classify: 202 with status success means taken, not that somebody was reached. A 400 that complains of the routing
// key is a matter of credentials, not of this message.
func (p pagerDuty) Classify(r Response) Outcome {
	o := plain(r)
	var answer struct {
		Status   string          `json:"status"`
		Message  string          `json:"message"`
		DedupKey string          `json:"dedup_key"`
		Errors   json.RawMessage `json:"errors"` // a list of strings; some gateways send one string
	}
	isJSON := json.Unmarshal(r.Body, &answer) == nil
	switch {
	case o.Class == assure.Accepted && isJSON && strings.EqualFold(answer.Status, "success"):
		o.ProviderID = clipRunes(clean(answer.DedupKey), pagerDutyDedup)
		o.Detail = fmt.Sprintf("HTTP %d: %s", r.Status, clipRunes(clean(answer.Message), 100))
	case o.Class == assure.Accepted:
		o.Class = assure.Temporary
		o.Detail += " (want: status success)"
	case r.Status == http.StatusBadRequest:
		complaint := strings.ToLower(answer.Message + " " + string(answer.Errors))
		if strings.Contains(complaint, "routing_key") || strings.Contains(complaint, "routing key") {
			o.Class = assure.Denied
		}
	}
	return o
}
