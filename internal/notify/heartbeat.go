package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// HeartbeatConfig is the outside party that raises the alarm when it no longer hears from us.
type HeartbeatConfig struct {
	// URL is pinged after each cycle that proved real work. The whole address is a secret: who knows it can keep the
	// alarm silent.
	URL string
	// FailURL is pinged when a heartbeat is withheld, so that the alarm is raised at once and not when it is missed. For
	// healthchecks.io and its relatives it is the address with /fail at its end. Empty: nothing is sent then.
	FailURL string
	// Method is POST when empty. GET is for receivers that take nothing else; it carries no account of the work done.
	Method string
}

// Validate says what is wrong, naming the key.
func (c HeartbeatConfig) Validate() error {
	if err := checkURL("url", c.URL); err != nil {
		return err
	}
	if c.FailURL != "" {
		if err := checkURL("fail_url", c.FailURL); err != nil {
			return err
		}
		if c.FailURL == c.URL {
			return keyErr("fail_url", "is the same as url: a failure would be heard as a heartbeat")
		}
	}
	if c.Method != "" && c.Method != http.MethodPost && c.Method != http.MethodGet {
		return keyErr("method", "must be POST or GET")
	}
	return nil
}

// Heartbeat tells an outside party that the patrol is alive. It decides nothing: whether a cycle proved real work is
// the patrol's to say. Safe for concurrent use.
type Heartbeat struct {
	cfg    HeartbeatConfig
	client *http.Client
	now    func() time.Time
	redact redactor
}

// NewHeartbeat checks the settings. Transport and clock default as for channels.
func NewHeartbeat(c HeartbeatConfig, o HTTPOptions) (*Heartbeat, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	secrets := append(urlSecrets(c.URL), urlSecrets(c.FailURL)...)
	return &Heartbeat{cfg: c, client: newClient(o.Transport), now: o.Now, redact: newRedactor(secrets)}, nil
}

// Beat is the JSON body of a heartbeat: the work that the cycle did. Times are RFC 3339 in UTC.
type Beat struct {
	At          time.Time `json:"at"`
	OK          bool      `json:"ok"`
	Why         string    `json:"why,omitempty"` // why the heartbeat was withheld
	Expected    int       `json:"expected"`      // claims that should have evidence young enough
	Observed    int       `json:"observed"`      // claims that have it
	Tried       int       `json:"tried"`         // hosts looked at lately
	Reached     int       `json:"reached"`       // of those, hosts that answered
	Oldest      time.Time `json:"oldest,omitzero"`
	Backlog     int       `json:"backlog"` // notices waiting beyond their time
	LateSeconds int64     `json:"late_seconds"`
}

// Beat sends one heartbeat with the cycle's account. The fact names the receiver without the secret part of its
// address. One attempt is made; the next cycle is the retry.
func (h *Heartbeat) Beat(ctx context.Context, s assure.Sight) assure.Heard {
	heard := assure.Heard{URL: redactURL(h.cfg.URL)}
	heard.OK, heard.Detail = h.ping(ctx, h.cfg.URL, Beat{
		At: h.now().UTC(), OK: true, Expected: s.Expected, Observed: s.Observed, Tried: s.Tried, Reached: s.Reached,
		Oldest: utc(s.Oldest), Backlog: s.Backlog, LateSeconds: int64(time.Duration(s.Late) / time.Second),
	})
	return heard
}

// Withhold says that no heartbeat is sent, and tells the receiver so where it has an address for that. The fact is
// never OK.
func (h *Heartbeat) Withhold(ctx context.Context, why string) assure.Heard {
	why = clipRunes(clean(why), 400)
	if why == "" {
		why = "no reason was given"
	}
	heard := assure.Heard{URL: redactURL(h.cfg.URL), Held: why}
	if h.cfg.FailURL == "" {
		heard.Detail = "nothing was sent; the receiver notices by the heartbeat's absence"
		return heard
	}
	told, detail := h.ping(ctx, h.cfg.FailURL, Beat{At: h.now().UTC(), Why: why})
	heard.Detail = "telling the receiver failed: " + detail
	if told {
		heard.Detail = "the receiver was told: " + detail
	}
	return heard
}

func (h *Heartbeat) ping(ctx context.Context, address string, b Beat) (ok bool, detail string) {
	defer func() { detail = clipRunes(clean(h.redact.text(detail)), 300) }()
	ctx, cancel := context.WithTimeout(ctx, AttemptLimit)
	defer cancel()
	body, err := json.Marshal(b)
	if err != nil {
		return false, "encode the heartbeat: " + err.Error()
	}
	var r *http.Request
	if h.cfg.Method == http.MethodGet {
		r, err = get(ctx, address)
	} else {
		r, err = post(ctx, address, "application/json", body)
	}
	if err != nil {
		return false, err.Error()
	}
	r.Header.Set("User-Agent", userAgent)
	resp, err := h.client.Do(r)
	if err != nil {
		return false, netFailure(err).Detail
	}
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	if err != nil {
		return false, "the answer broke off: " + netFailure(err).Detail
	}
	o := plain(Response{Status: resp.StatusCode, Header: resp.Header, Body: said})
	if o.Class != assure.Accepted {
		return false, o.Detail
	}
	// healthchecks.io answers 200 even when it does not know the check, or throws the ping away; only its text says so.
	switch text := strings.ToLower(strings.TrimSpace(string(said))); {
	case strings.HasPrefix(text, "ok (not found)"):
		return false, "the receiver does not know this address: it answers OK (not found)"
	case strings.HasPrefix(text, "ok (rate limited)"):
		return false, "the receiver did not count this heartbeat: it answers OK (rate limited)"
	}
	return true, fmt.Sprintf("HTTP %d", resp.StatusCode)
}
