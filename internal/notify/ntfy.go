package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"github.com/notafter/notafter/internal/assure"
)

// NtfyConfig is a topic on an ntfy server.
type NtfyConfig struct {
	// URL is the server's base address. Empty means https://ntfy.sh.
	URL string
	// Topic is what people subscribe to. On a server without access control the topic is as good as a password.
	Topic string
	// Token, or Username and Password, where the server asks for them.
	Token    string
	Username string
	Password string
}

const ntfyURL = "https://ntfy.sh"

// Limits of ntfy: a longer message becomes an attachment, which telephones do not show (docs.ntfy.sh/publish,
// "Limitations"). In bytes.
const (
	ntfyMessage = 4096
	ntfyTitle   = 250
)

// ntfyTopic is what the server accepts as a topic (its topic pattern).
var ntfyTopic = regexp.MustCompile(`^[-_A-Za-z0-9]{1,64}$`)

// Validate says what is wrong, naming the key.
func (c NtfyConfig) Validate() error {
	if c.URL != "" {
		if err := checkURL("url", c.URL); err != nil {
			return err
		}
	}
	if !ntfyTopic.MatchString(c.Topic) {
		return keyErr("topic", "must be 1 to 64 letters, digits, - or _")
	}
	switch {
	case c.Token != "" && (c.Username != "" || c.Password != ""):
		return keyErr("token", "cannot be used together with username and password")
	case c.Password != "" && c.Username == "":
		return keyErr("username", "is required with a password")
	case c.Username != "" && c.Password == "":
		return keyErr("password", "is required with a username")
	case c.Token != "":
		return checkSecret("token", c.Token, shortestSecret)
	case c.Password != "":
		return checkSecret("password", c.Password, shortestSecret)
	}
	return nil
}

type ntfy struct {
	name string
	cfg  NtfyConfig
}

// NewNtfy returns a channel that publishes to an ntfy topic.
func NewNtfy(name string, c NtfyConfig) (Channel, error) {
	if err := c.Validate(); err != nil {
		return nil, named("ntfy", name, err)
	}
	if c.URL == "" {
		c.URL = ntfyURL
	}
	return ntfy{name, c}, nil
}

func (n ntfy) Name() string { return n.name }
func (n ntfy) Kind() string { return "ntfy" }

func (n ntfy) Secrets() []string {
	return append(userinfo(n.cfg.URL), n.cfg.Token, n.cfg.Password, basicPair(n.cfg.Username, n.cfg.Password), n.cfg.Topic)
}

// ntfyBody is the JSON form of publishing (docs.ntfy.sh/publish, "Publish as JSON"), posted to the server's root.
type ntfyBody struct {
	Topic    string       `json:"topic"`
	Title    string       `json:"title"`
	Message  string       `json:"message"`
	Priority int          `json:"priority"` // 1 lowest to 5 highest, which overrides the telephone's silence
	Tags     []string     `json:"tags,omitempty"`
	Click    string       `json:"click,omitempty"`
	Actions  []ntfyAction `json:"actions,omitempty"`
}

type ntfyAction struct {
	Action string `json:"action"`
	Label  string `json:"label"`
	URL    string `json:"url"`
}

func (n ntfy) Call(ctx context.Context, m Message) (Call, error) {
	b := ntfyBody{
		Topic: n.cfg.Topic, Title: clipBytes(m.Title, ntfyTitle), Message: fit(m.lines, bytesLimit(ntfyMessage)),
		Priority: 3, Tags: []string{"notafter"}, Click: m.Link,
	}
	switch {
	case m.Over():
		b.Tags = append(b.Tags, "white_check_mark")
	case m.Kind == assure.NoticeAck:
		b.Tags = append(b.Tags, "hand")
	case m.Urgent():
		b.Priority = 5
		b.Tags = append(b.Tags, "rotating_light")
	case m.Stage >= assure.StagePage:
		b.Priority = 4
		b.Tags = append(b.Tags, "warning")
	default:
		b.Tags = append(b.Tags, "warning")
	}
	if m.Link != "" {
		b.Actions = append(b.Actions, ntfyAction{"view", "Open incident", m.Link})
	}
	if m.Docs != "" {
		b.Actions = append(b.Actions, ntfyAction{"view", "What it means", m.Docs})
	}
	body, err := json.Marshal(b)
	if err != nil {
		return Call{}, fmt.Errorf("encode the message: %w", err)
	}
	r, err := post(ctx, n.cfg.URL, "application/json", body)
	if err != nil {
		return Call{}, err
	}
	n.authorise(r)
	return Call{Requests: []*http.Request{r}}, nil
}

func (n ntfy) authorise(r *http.Request) {
	switch {
	case n.cfg.Token != "":
		r.Header.Set("Authorization", "Bearer "+n.cfg.Token)
	case n.cfg.Username != "":
		r.SetBasicAuth(n.cfg.Username, n.cfg.Password)
	}
}

// Classify: 200 with the message as JSON, its id included. The public server counts messages a day; that limit is a
// 429 too.
func (n ntfy) Classify(r Response) Outcome {
	o := plain(r)
	if o.Class != assure.Accepted {
		return o
	}
	var answer struct {
		ID    string `json:"id"`
		Event string `json:"event"`
	}
	if err := json.Unmarshal(r.Body, &answer); err != nil || answer.ID == "" {
		o.Class = assure.Denied
		o.Detail += " (want: the published message). The address does not belong to an ntfy server"
		return o
	}
	o.ProviderID = clipRunes(clean(answer.ID), 64)
	o.Detail = "HTTP " + strconv.Itoa(r.Status)
	return o
}

// ProbeCall asks for the server's health with our credentials, which the server checks on every request. The right to
// publish to the topic is not checked: ntfy has a question for the right to read only.
func (n ntfy) ProbeCall(ctx context.Context) (Call, error) {
	r, err := get(ctx, under(n.cfg.URL, "/v1/health"))
	if err != nil {
		return Call{}, err
	}
	n.authorise(r)
	return Call{Requests: []*http.Request{r}}, nil
}

// ClassifyProbe wants {"healthy":true}.
func (n ntfy) ClassifyProbe(r Response) Outcome {
	o := plain(r)
	if o.Class != assure.Accepted {
		return o
	}
	var answer struct {
		Healthy *bool `json:"healthy"`
	}
	switch err := json.Unmarshal(r.Body, &answer); {
	case err != nil || answer.Healthy == nil:
		o.Class = assure.Denied
		o.Detail = fmt.Sprintf("HTTP %d, but not an ntfy server's health", r.Status)
	case !*answer.Healthy:
		o.Class = assure.Temporary
		o.Detail = "the server says that it is not healthy"
	default:
		o.Detail = "HTTP " + strconv.Itoa(r.Status) + "; the right to publish to the topic was not checked"
	}
	return o
}
