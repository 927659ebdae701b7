package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/notafter/notafter/internal/assure"
)

// SlackConfig is an incoming webhook of Slack, or of a service that takes Slack's format: Mattermost, Rocket.Chat, or
// Discord with /slack at the end of its address.
type SlackConfig struct {
	URL string // the whole address is a secret
}

// Validate says what is wrong, naming the key.
func (c SlackConfig) Validate() error { return checkURL("url", c.URL) }

type slack struct {
	name string
	cfg  SlackConfig
}

// NewSlack returns a channel that posts to a Slack-compatible incoming webhook.
func NewSlack(name string, c SlackConfig) (Channel, error) {
	if err := c.Validate(); err != nil {
		return nil, named("slack", name, err)
	}
	return slack{name, c}, nil
}

func (s slack) Name() string      { return s.name }
func (s slack) Kind() string      { return "slack" }
func (s slack) Secrets() []string { return urlSecrets(s.cfg.URL) }

// The strictest limits among the services that speak the format, in characters: Discord takes 2000 in a message's
// text and 2048 in an attachment's (it calls them content and embed description). Escaping makes texts longer, at most
// fivefold, and is counted.
const (
	slackText       = 1900
	slackAttachment = 2000
)

// slackMessage holds what all compatible services understand: text and one attachment. Blocks are Slack's alone.
type slackMessage struct {
	Text string `json:"text"`
	// Mrkdwn is false: formatting is switched off, so that asterisks and underscores in names stay what they are.
	Mrkdwn      bool              `json:"mrkdwn"`
	Attachments []slackAttachPart `json:"attachments"`
}

type slackAttachPart struct {
	Color     string `json:"color"`
	Fallback  string `json:"fallback"`
	Title     string `json:"title"`
	TitleLink string `json:"title_link,omitempty"`
	Text      string `json:"text"`
	Footer    string `json:"footer"`
	TS        int64  `json:"ts,omitempty"` // Unix seconds
}

func (s slack) Call(ctx context.Context, m Message) (Call, error) {
	lines := make([]line, 0, len(m.lines))
	for _, l := range m.lines {
		if l.Label == labelWhat || l.Label == labelIncident {
			continue // in the text above it and in the title
		}
		l.Text = slackEscape(l.Text)
		lines = append(lines, l)
	}
	title := "Incident " + slackEscape(string(m.Incident))
	footer := "notafter"
	if m.Route != "" {
		footer += ", route " + slackEscape(m.Route)
	}
	headline := clipEscaped(slackEscape(m.Title), slackText)
	msg := slackMessage{Text: headline, Attachments: []slackAttachPart{{
		Color: slackColour(m), Fallback: headline, Title: title, TitleLink: m.Link,
		Text: fit(lines, limit{slackAttachment, utf8.RuneCountInString, clipEscaped}), Footer: footer, TS: unixOrZero(m),
	}}}
	// The format's own escapes are &amp; &lt; &gt;. Go's further escaping of them in JSON is not needed and makes the
	// message hard to read for other receivers.
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(msg); err != nil {
		return Call{}, fmt.Errorf("encode the message: %w", err)
	}
	r, err := post(ctx, s.cfg.URL, "application/json", body.Bytes())
	if err != nil {
		return Call{}, err
	}
	return Call{Requests: []*http.Request{r}}, nil
}

func unixOrZero(m Message) int64 {
	if t := m.started(); !t.IsZero() {
		return t.Unix()
	}
	return 0
}

func slackColour(m Message) string {
	switch {
	case m.Over():
		return "#2e7d32"
	case m.Kind == assure.NoticeAck:
		return "#1565c0"
	case m.Stage >= assure.StageOutage:
		return "#b71c1c"
	case m.Stage == assure.StagePage:
		return "#e65100"
	default:
		return "#f9a825"
	}
}

// slackEscape applies Slack's escaping (its three control characters), and takes the effect from mentions and masked
// links, which compatible services read in plain text.
func slackEscape(s string) string {
	s = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "](", "] (").Replace(s)
	// A zero-width space after @ keeps the text readable and the mention dead.
	return strings.ReplaceAll(s, "@", "@\u200b")
}

// clipEscaped shortens escaped text without leaving half of an escape at the end.
func clipEscaped(s string, n int) string {
	cut := clipRunes(s, n)
	if cut == s {
		return s
	}
	if amp := strings.LastIndexByte(cut, '&'); amp >= 0 && !strings.Contains(cut[amp:], ";") {
		cut = cut[:amp] + "…"
	}
	return cut
}

// slackDenied are answers that say that the address or what is behind it must be mended by a person, whatever the status.
var slackDenied = []string{
	"invalid_token", "no_service", "no_service_id", "no_team", "team_disabled", "no_active_hooks", "channel_not_found",
	"channel_is_archived", "action_prohibited", "posting_to_general_channel_denied", "user_not_found", "invalid_auth",
	"account_inactive", "token_revoked", "not_in_channel",
}

// Classify: Slack says ok as plain text with status 200. Discord says ok too, or nothing with 204; Rocket.Chat says
// {"success":true}. A 200 with anything else is somebody else's page at our address.
func (s slack) Classify(r Response) Outcome {
	o := plain(r)
	said := strings.TrimSpace(string(r.Body))
	word := strings.ToLower(said)
	var answer struct {
		OK      *bool  `json:"ok"`
		Success *bool  `json:"success"`
		Error   string `json:"error"`
	}
	isJSON := json.Unmarshal(r.Body, &answer) == nil
	if isJSON && answer.Error != "" {
		word = strings.ToLower(answer.Error)
	}
	if r.Status < 300 || r.Status >= 400 {
		for _, d := range slackDenied {
			if word == d {
				o.Class = assure.Denied
				return o
			}
		}
	}
	switch {
	case word == "ratelimited" || word == "rate_limited":
		o.Class = assure.RateLimited
	case o.Class != assure.Accepted:
	case word == "ok", said == "" && r.Status == http.StatusNoContent,
		isJSON && (isTrue(answer.OK) || isTrue(answer.Success)):
		o.Detail = "HTTP " + strconv.Itoa(r.Status)
	default:
		o.Class = assure.Denied
		o.Detail += " (want: ok). The address does not belong to an incoming webhook"
	}
	return o
}

func isTrue(b *bool) bool { return b != nil && *b }
