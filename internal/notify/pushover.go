package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// PushoverConfig is an application of Pushover and whom it tells.
type PushoverConfig struct {
	Token string // the application's API token
	User  string // key of a user or group
	// Device restricts messages to devices of the user, separated by commas. Empty means all.
	Device string
	// Retry and Expire are, in seconds, how often a page rings until somebody acknowledges it on the telephone, and for
	// how long. Zero means 60 and 10800, the longest that Pushover allows.
	Retry  int
	Expire int
	// URL is the base address of the API. Empty means https://api.pushover.net.
	URL string
}

const pushoverURL = "https://api.pushover.net"

// Limits of the message API (pushover.net/api, "Limitations"), in characters, and of emergency priority, in seconds.
const (
	pushoverMessage   = 1024
	pushoverTitle     = 250
	pushoverLink      = 512
	pushoverLinkTitle = 100
	pushoverMinRetry  = 30
	pushoverMaxExpire = 10800
)

// Validate says what is wrong, naming the key.
func (c PushoverConfig) Validate() error {
	if err := checkSecret("token", c.Token, shortestSecret); err != nil {
		return err
	}
	if err := checkSecret("user", c.User, shortestSecret); err != nil {
		return err
	}
	if c.Retry != 0 && c.Retry < pushoverMinRetry {
		return keyErr("retry", "must be at least %d seconds", pushoverMinRetry)
	}
	if c.Expire < 0 || c.Expire > pushoverMaxExpire {
		return keyErr("expire", "must be at most %d seconds", pushoverMaxExpire)
	}
	if c.Expire != 0 && c.Expire < max(c.Retry, pushoverMinRetry) {
		return keyErr("expire", "is shorter than one retry: the page would ring once")
	}
	if c.URL != "" {
		return checkURL("url", c.URL)
	}
	return nil
}

type pushover struct {
	name string
	cfg  PushoverConfig
}

// NewPushover returns a channel that sends pages with emergency priority: the telephone rings again and again until
// somebody acknowledges.
func NewPushover(name string, c PushoverConfig) (Channel, error) {
	if err := c.Validate(); err != nil {
		return nil, named("pushover", name, err)
	}
	if c.Retry == 0 {
		c.Retry = 60
	}
	if c.Expire == 0 {
		c.Expire = pushoverMaxExpire
	}
	if c.URL == "" {
		c.URL = pushoverURL
	}
	return pushover{name, c}, nil
}

func (p pushover) Name() string      { return p.name }
func (p pushover) Kind() string      { return "pushover" }
func (p pushover) Supersedes() bool  { return true }
func (p pushover) Secrets() []string { return append(userinfo(p.cfg.URL), p.cfg.Token, p.cfg.User) }

// cancelPath is the part of a path by which the answer to a cancellation is told from that to a message.
const cancelPath = "/1/receipts/"

// Call sends the message. When somebody has taken the incident, or it is over, everything of it that still rings is
// cancelled first: by the receipt of the last message, where it is known, and by the incident's tag, which also finds
// earlier stages and messages sent twice.
func (p pushover) Call(ctx context.Context, m Message) (Call, error) {
	var call Call
	add := func(path string, form url.Values) error {
		form.Set("token", p.cfg.Token)
		r, err := post(ctx, under(p.cfg.URL, path), "application/x-www-form-urlencoded", []byte(form.Encode()))
		if err != nil {
			return err
		}
		call.Requests = append(call.Requests, r)
		return nil
	}
	tag := pushoverTag(m)
	stageTag := tag + "-" + m.Stage.String()
	if m.Kind == assure.NoticeSupersede {
		// The worse stage rings by itself. That of the stage before is no longer what is to be acknowledged.
		if err := add(cancelPath+"cancel_by_tag/"+stageTag+".json", url.Values{}); err != nil {
			return Call{}, err
		}
		return call, nil
	}
	if m.Over() || m.Kind == assure.NoticeAck {
		if isReceipt(m.ProviderID) {
			if err := add(cancelPath+m.ProviderID+"/cancel.json", url.Values{}); err != nil {
				return Call{}, err
			}
		}
		if err := add(cancelPath+"cancel_by_tag/"+tag+".json", url.Values{}); err != nil {
			return Call{}, err
		}
	}
	form := url.Values{
		"user":    {p.cfg.User},
		"title":   {m.Headline(pushoverTitle)},
		"message": {fit(m.lines, runes(pushoverMessage))},
	}
	if p.cfg.Device != "" {
		form.Set("device", p.cfg.Device)
	}
	if m.Link != "" && len(m.Link) <= pushoverLink {
		form.Set("url", m.Link)
		form.Set("url_title", clipRunes("Incident "+string(m.Incident), pushoverLinkTitle))
	}
	if t := m.started(); !t.IsZero() && !m.Over() {
		form.Set("timestamp", strconv.FormatInt(t.Unix(), 10))
	}
	switch {
	case m.Urgent():
		form.Set("priority", "2")
		form.Set("retry", strconv.Itoa(p.cfg.Retry))
		form.Set("expire", strconv.Itoa(p.cfg.Expire))
		form.Set("tags", tag+","+stageTag)
	case m.Kind == assure.NoticeTrigger && m.Stage >= assure.StagePage:
		form.Set("priority", "1")
	default:
		form.Set("priority", "0")
	}
	if err := add("/1/messages.json", form); err != nil {
		return Call{}, err
	}
	return call, nil
}

// pushoverTag names the incident in characters that need no escaping in a path.
func pushoverTag(m Message) string {
	id := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' {
			return r
		}
		return '-'
	}, string(m.Incident))
	return "notafter-" + id
}

// isReceipt: 30 letters and digits by the documentation; anything of that alphabet is safe in a path.
func isReceipt(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

type pushoverAnswer struct {
	Status  int      `json:"status"`
	Request string   `json:"request"`
	Receipt string   `json:"receipt"`
	Errors  []string `json:"errors"`
	// Token and User are the word "invalid" when it is they that are wrong.
	Token json.RawMessage `json:"token"`
	User  json.RawMessage `json:"user"`
}

// Classify: status 1 means queued. A 4xx with the word invalid for token or user is a matter of credentials. 429 says
// that the month's quota is used up.
func (p pushover) Classify(r Response) Outcome {
	o := plain(r)
	var a pushoverAnswer
	isJSON := json.Unmarshal(r.Body, &a) == nil
	invalid := func(raw json.RawMessage) bool { return strings.Contains(strings.ToLower(string(raw)), "invalid") }
	if isJSON && len(a.Errors) > 0 {
		o.Detail = fmt.Sprintf("HTTP %d: %s", r.Status, clipRunes(clean(strings.Join(a.Errors, "; ")), 200))
	}
	denied := isJSON && (invalid(a.Token) || invalid(a.User))
	cancelling := r.Request != nil && strings.Contains(r.Request.URL.Path, cancelPath)
	switch {
	case o.Class == assure.Accepted && isJSON && a.Status == 1:
		o.ProviderID = clean(a.Receipt)
		o.Detail = "HTTP " + strconv.Itoa(r.Status)
	case denied:
		o.Class = assure.Denied
	case o.Class == assure.Accepted && isJSON:
		o.Class = assure.Rejected
	case o.Class == assure.Accepted:
		o.Class = assure.Temporary
		o.Detail += " (want: status 1)"
	case cancelling && (o.Class == assure.Rejected || r.Status == http.StatusNotFound):
		// There is nothing left to cancel: it was acknowledged, has expired, or is a week old.
		o.Class = assure.Accepted
		o.Detail = "nothing rings any more"
	}
	return o
}

// ProbeCall asks whether token and user are valid, without telling anybody anything.
func (p pushover) ProbeCall(ctx context.Context) (Call, error) {
	form := url.Values{"token": {p.cfg.Token}, "user": {p.cfg.User}}
	if p.cfg.Device != "" {
		form.Set("device", p.cfg.Device)
	}
	r, err := post(ctx, under(p.cfg.URL, "/1/users/validate.json"), "application/x-www-form-urlencoded", []byte(form.Encode()))
	if err != nil {
		return Call{}, err
	}
	return Call{Requests: []*http.Request{r}}, nil
}

// ClassifyProbe: whatever is wrong with a validation is wrong with the settings.
func (p pushover) ClassifyProbe(r Response) Outcome {
	o := p.Classify(r)
	if o.Class == assure.Rejected {
		o.Class = assure.Denied
	}
	return o
}
