package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// AlertmanagerConfig is a group of Alertmanager replicas.
type AlertmanagerConfig struct {
	// URLs are the base addresses of every replica, not of a load balancer in front of them: replicas tell each other
	// what they have notified about, not what they were sent.
	URLs []string
	// Username and Password, or BearerToken, when the replicas ask for them.
	Username    string
	Password    string
	BearerToken string
	// Labels are added to every alert, for routing.
	Labels map[string]string
}

const (
	// alertLife is how long a firing alert lasts without being sent again. Long, because the death of notafter must not
	// look like a recovery: what is wrong stays wrong until it was seen to be well.
	alertLife = 24 * time.Hour
	// alertRefresh is how often a firing alert is to be sent again. Short, because Alertmanager keeps alerts in memory
	// and forgets them when it is restarted.
	alertRefresh = 5 * time.Minute
	// drillLife is how long a drill fires: nobody resolves a drill.
	drillLife = 15 * time.Minute
)

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// ownLabels make up an alert's identity and cannot be set by configuration.
var ownLabels = []string{"alertname", "incident", "stage", "severity", "route"}

// Validate says what is wrong, naming the key.
func (c AlertmanagerConfig) Validate() error {
	if len(c.URLs) == 0 {
		return keyErr("urls", "is required: the address of every replica")
	}
	for i, u := range c.URLs {
		if err := checkURL("urls["+strconv.Itoa(i)+"]", u); err != nil {
			return err
		}
		if slices.Contains(c.URLs[:i], u) {
			return keyErr("urls["+strconv.Itoa(i)+"]", "is named twice")
		}
	}
	switch {
	case c.BearerToken != "" && (c.Username != "" || c.Password != ""):
		return keyErr("bearer_token", "cannot be used together with username and password")
	case c.Password != "" && c.Username == "":
		return keyErr("username", "is required with a password")
	}
	for _, k := range sortedKeys(c.Labels) {
		if !labelName.MatchString(k) || strings.HasPrefix(k, "__") {
			return keyErr("labels", "%q is not a label name", k)
		}
		if slices.Contains(ownLabels, k) {
			return keyErr("labels", "%q is set by notafter itself", k)
		}
		if c.Labels[k] == "" {
			return keyErr("labels", "%q is empty; Alertmanager drops empty labels", k)
		}
	}
	return nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

type alertmanager struct {
	name string
	cfg  AlertmanagerConfig
}

// NewAlertmanager returns a channel that posts alerts to the API v2 of every replica. It is a [Refresher]: see
// [Deliverer.Refresh].
func NewAlertmanager(name string, c AlertmanagerConfig) (Channel, error) {
	if err := c.Validate(); err != nil {
		return nil, named("alertmanager", name, err)
	}
	return alertmanager{name, c}, nil
}

func (a alertmanager) Name() string                { return a.name }
func (a alertmanager) Kind() string                { return "alertmanager" }
func (a alertmanager) Supersedes() bool            { return true }
func (a alertmanager) RefreshEvery() time.Duration { return alertRefresh }

func (a alertmanager) Secrets() []string {
	out := []string{a.cfg.Password, a.cfg.BearerToken, basicPair(a.cfg.Username, a.cfg.Password)}
	for _, u := range a.cfg.URLs {
		out = append(out, userinfo(u)...)
	}
	return out
}

// alert is an element of POST /api/v2/alerts (Alertmanager's OpenAPI document, postableAlert).
type alert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Call fires one alert for the stage. A resolution ends the alerts of all stages up to this one now.
func (a alertmanager) Call(ctx context.Context, m Message) (Call, error) {
	if m.Kind == assure.NoticeAck {
		return Call{Nothing: "nothing sent: Alertmanager has no acknowledgements"}, nil
	}
	starts := m.OpenedAt
	if starts.IsZero() || starts.After(m.At) {
		starts = m.At // an alert that ends before it starts is refused
	}
	var alerts []alert
	switch {
	case m.Kind == assure.NoticeSupersede:
		alerts = append(alerts, a.alert(m, m.Stage, starts, m.At))
	case m.Over():
		for s := min(assure.StageTicket, m.Stage); s <= m.Stage; s++ {
			alerts = append(alerts, a.alert(m, s, starts, m.At))
		}
	default:
		life := alertLife
		if m.Kind == assure.NoticeTest {
			life = drillLife
		}
		alerts = append(alerts, a.alert(m, m.Stage, starts, m.At.Add(life)))
	}
	body, err := json.Marshal(alerts)
	if err != nil {
		return Call{}, fmt.Errorf("encode the alerts: %w", err)
	}
	call := Call{Replicas: true}
	for _, u := range a.cfg.URLs {
		r, err := post(ctx, under(u, "api/v2/alerts"), "application/json", body)
		if err != nil {
			return Call{}, err
		}
		a.authorise(r)
		call.Requests = append(call.Requests, r)
	}
	return call, nil
}

// alert builds the alert of one stage. The labels are its identity: nothing may be among them that changes while the
// incident lasts.
func (a alertmanager) alert(m Message, s assure.Stage, starts, ends time.Time) alert {
	labels := map[string]string{
		"alertname": "notafter", "incident": string(m.Incident), "stage": s.String(), "severity": alertSeverity(s),
	}
	if m.Route != "" {
		labels["route"] = m.Route
	}
	for k, v := range a.cfg.Labels {
		labels[k] = v
	}
	notes := map[string]string{
		"summary": m.Title, "description": m.Body(), "impact": m.Impact, "action": m.Action, "evidence": m.Basis,
		"link": string(m.ChainLink), "reason": string(m.Reason), "runbook_url": m.Docs, "dashboard_url": m.Link,
		"certificates": strings.Join(m.Certificates, ", "), "endpoints": strings.Join(m.Endpoints, ", "),
		"touched": strconv.Itoa(m.Touched), "since": stampOf(m.started()), "hurts_at": stampOf(m.HurtsAt),
	}
	for k, v := range notes {
		if v == "" {
			delete(notes, k)
		}
	}
	return alert{Labels: labels, Annotations: notes, StartsAt: starts, EndsAt: ends, GeneratorURL: m.Link}
}

func stampOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (a alertmanager) authorise(r *http.Request) {
	switch {
	case a.cfg.BearerToken != "":
		r.Header.Set("Authorization", "Bearer "+a.cfg.BearerToken)
	case a.cfg.Username != "":
		r.SetBasicAuth(a.cfg.Username, a.cfg.Password)
	}
}

// Classify: 200 without a body. Errors come as a JSON string or object.
func (a alertmanager) Classify(r Response) Outcome {
	o := plain(r)
	if o.Class == assure.Accepted {
		o.Detail = "HTTP " + strconv.Itoa(r.Status)
	}
	return o
}

// ProbeCall asks every replica for its status.
func (a alertmanager) ProbeCall(ctx context.Context) (Call, error) {
	call := Call{Replicas: true}
	for _, u := range a.cfg.URLs {
		r, err := get(ctx, under(u, "api/v2/status"))
		if err != nil {
			return Call{}, err
		}
		a.authorise(r)
		call.Requests = append(call.Requests, r)
	}
	return call, nil
}

// ClassifyProbe wants the status document of an Alertmanager, not just any page.
func (a alertmanager) ClassifyProbe(r Response) Outcome {
	o := plain(r)
	if o.Class != assure.Accepted {
		return o
	}
	var status struct {
		Cluster *struct {
			Status string `json:"status"`
		} `json:"cluster"`
	}
	// The document holds the whole configuration and may be longer than what is read of it.
	if err := json.Unmarshal(r.Body, &status); err == nil && status.Cluster == nil ||
		err != nil && len(r.Body) < MaxBody {
		o.Class = assure.Denied
		o.Detail = fmt.Sprintf("HTTP %d, but not an Alertmanager's status document", r.Status)
		return o
	}
	o.Detail = "HTTP " + strconv.Itoa(r.Status)
	return o
}
