package lab

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// largest is the largest body that is taken, in bytes. All formats stay far below it.
const largest = 1 << 20

// request is one that has to do with a channel.
type request struct {
	channel string // as in the path; empty when it names none
	path    string // below the channel's base
	header  http.Header
	body    []byte
}

// refusal is an answer that the service itself would give to a bad message, whatever the fault.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.status, r.text) }

func bad(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// answer is what a service says when all is well.
type answer struct {
	status int
	json   any    // encoded, unless nil
	text   string // otherwise
}

func (p *Pager) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/heartbeat/{id}", func(w http.ResponseWriter, r *http.Request) { p.heartbeat(w, r, false) })
	mux.HandleFunc("/heartbeat/{id}/fail", func(w http.ResponseWriter, r *http.Request) { p.heartbeat(w, r, true) })
	mux.HandleFunc("/", p.serve)
	return mux
}

func (p *Pager) heartbeat(w http.ResponseWriter, r *http.Request, fail bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost && r.Method != http.MethodHead {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f := p.treat("heartbeat")
	if f.Happened() {
		p.beat(Beat{ID: r.PathValue("id"), Fail: fail, Body: body})
	}
	reply(w, r, f, answer{status: http.StatusOK, text: "OK"})
}

// serve takes a message of any kind: understand it, decide its fate, record it, answer.
func (p *Pager) serve(w http.ResponseWriter, r *http.Request) {
	in := request{path: r.URL.Path, header: r.Header}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/to/"); ok {
		name, path, _ := strings.Cut(rest, "/")
		in.channel, in.path = name, "/"+path
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	in.body = body
	if r.Method == http.MethodGet {
		p.get(w, r, in)
		return
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	m, ok, err := p.understand(in)
	if in.channel == "" {
		in.channel = m.Kind
	}
	f := p.treat(in.channel)
	var no *refusal
	if f.Happened() && errors.As(err, &no) { // the service would not take it either
		http.Error(w, no.text, no.status)
		return
	}
	m.Channel, m.Body, m.Told = in.channel, in.body, f
	p.record(m)
	if f.Happened() && m.Kind == "pushover" {
		ok = p.ring(m, ok)
	}
	reply(w, r, f, ok)
}

// understand reads a message by its path. The answer is the service's own for success.
func (p *Pager) understand(in request) (PagerMessage, answer, error) {
	switch path := in.path; {
	case path == "/webhook" || strings.HasPrefix(path, "/webhook/"):
		return p.webhook(in)
	case path == "/slack" || strings.HasPrefix(path, "/slack/") || strings.HasPrefix(path, "/services/"):
		return slackMessage(in)
	case path == "/v2/enqueue":
		return pagerDutyEvent(in)
	case path == "/api/v2/alerts":
		return alerts(in)
	case strings.HasPrefix(path, "/1/"):
		return p.pushover(in)
	case path == "/" || strings.Count(path, "/") == 1:
		return ntfyMessage(in)
	}
	return PagerMessage{Kind: "unknown"}, answer{}, &refusal{http.StatusNotFound, "no such path"}
}

// webhook checks the signature: t=UNIX,v1=HEX over t, a full stop and the body.
func (p *Pager) webhook(in request) (PagerMessage, answer, error) {
	m := PagerMessage{Kind: "webhook"}
	if p.opts.Secret != "" {
		if err := p.signed(in.header.Get("X-Notafter-Signature"), in.body); err != nil {
			return m, answer{}, &refusal{http.StatusUnauthorized, err.Error()}
		}
	}
	var b struct {
		Kind     string `json:"kind"`
		DedupKey string `json:"dedup_key"`
		Title    string `json:"title"`
	}
	if err := json.Unmarshal(in.body, &b); err != nil {
		return m, answer{}, bad("the body is not JSON: %v", err)
	}
	m.Event, m.DedupKey, m.Title = b.Kind, b.DedupKey, b.Title
	return m, answer{status: http.StatusNoContent}, nil
}

func (p *Pager) signed(header string, body []byte) error {
	var at, mac string
	for part := range strings.SplitSeq(header, ",") {
		switch k, v, _ := strings.Cut(strings.TrimSpace(part), "="); k {
		case "t":
			at = v
		case "v1":
			mac = v
		}
	}
	unix, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return errors.New("the signature has no time")
	}
	if age := p.opts.Now().Sub(time.Unix(unix, 0)); age > p.opts.Tolerance || age < -p.opts.Tolerance {
		return fmt.Errorf("the signature is %s old", age)
	}
	got, err := hex.DecodeString(mac)
	if err != nil || len(got) == 0 {
		return errors.New("the signature is not hexadecimal")
	}
	h := hmac.New(sha256.New, []byte(p.opts.Secret))
	_, _ = h.Write([]byte(at + "."))
	_, _ = h.Write(body)
	if !hmac.Equal(got, h.Sum(nil)) {
		return errors.New("the signature is of another message or another secret")
	}
	return nil
}

// slackMessage: an incoming webhook takes JSON with a text, attachments or blocks, and says ok.
func slackMessage(in request) (PagerMessage, answer, error) {
	m := PagerMessage{Kind: "slack"}
	var b struct {
		Text        string            `json:"text"`
		Attachments []json.RawMessage `json:"attachments"`
		Blocks      []json.RawMessage `json:"blocks"`
	}
	if json.Unmarshal(in.body, &b) != nil {
		return m, answer{}, bad("invalid_payload")
	}
	if b.Text == "" && len(b.Attachments) == 0 && len(b.Blocks) == 0 {
		return m, answer{}, bad("no_text")
	}
	m.Title = firstLine(b.Text)
	return m, answer{status: http.StatusOK, text: "ok"}, nil
}

// pagerDutyEvent: the Events API v2.
func pagerDutyEvent(in request) (PagerMessage, answer, error) {
	m := PagerMessage{Kind: "pagerduty"}
	var b struct {
		RoutingKey string `json:"routing_key"`
		Action     string `json:"event_action"`
		DedupKey   string `json:"dedup_key"`
		Payload    struct {
			Summary  string `json:"summary"`
			Source   string `json:"source"`
			Severity string `json:"severity"`
		} `json:"payload"`
	}
	invalid := func(why string) error {
		text, _ := json.Marshal(map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": []string{why}}) // of strings: cannot fail
		return bad("%s", text)
	}
	if err := json.Unmarshal(in.body, &b); err != nil {
		return m, answer{}, invalid("JSON parsing error")
	}
	m.Event, m.DedupKey, m.Title = b.Action, b.DedupKey, b.Payload.Summary
	switch {
	case len(b.RoutingKey) != 32:
		return m, answer{}, invalid("'routing_key' must be a 32 character string")
	case !slices.Contains([]string{"trigger", "acknowledge", "resolve"}, b.Action):
		return m, answer{}, invalid("'event_action' is not one of trigger, acknowledge, resolve")
	case b.Action != "trigger" && b.DedupKey == "":
		return m, answer{}, invalid("'dedup_key' is missing or blank")
	case len(b.DedupKey) > 255:
		return m, answer{}, invalid("'dedup_key' is too long")
	case b.Action == "trigger" && (b.Payload.Summary == "" || b.Payload.Source == ""):
		return m, answer{}, invalid("'payload.summary' or 'payload.source' is missing or blank")
	case b.Action == "trigger" && !slices.Contains([]string{"critical", "warning", "error", "info"}, b.Payload.Severity):
		return m, answer{}, invalid("'payload.severity' is not one of critical, warning, error, info")
	}
	if b.DedupKey == "" {
		sum := sha256.Sum256(in.body)
		m.DedupKey = hex.EncodeToString(sum[:16])
	}
	return m, answer{status: http.StatusAccepted, json: map[string]string{"status": "success", "message": "Event processed", "dedup_key": m.DedupKey}}, nil
}

// alerts: Alertmanager's API v2. Several alerts of one request are one message.
func alerts(in request) (PagerMessage, answer, error) {
	m := PagerMessage{Kind: "alertmanager"}
	var list []struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
		StartsAt    time.Time         `json:"startsAt"`
		EndsAt      time.Time         `json:"endsAt"`
	}
	if err := json.Unmarshal(in.body, &list); err != nil || len(list) == 0 {
		return m, answer{}, bad("parsing alerts body failed: want a list of alerts")
	}
	m.Event = "resolved"
	var keys []string
	for _, a := range list {
		if len(a.Labels) == 0 {
			return m, answer{}, bad("at least one label pair required")
		}
		if !a.EndsAt.IsZero() && a.EndsAt.Before(a.StartsAt) {
			return m, answer{}, bad("start time must be before end time")
		}
		if a.EndsAt.IsZero() || a.EndsAt.After(time.Now()) {
			m.Event = "firing"
		}
		var labels []string
		for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
			labels = append(labels, k+"="+strconv.Quote(a.Labels[k]))
		}
		keys = append(keys, "{"+strings.Join(labels, ",")+"}")
		if m.Title == "" {
			m.Title = a.Annotations["summary"]
		}
	}
	m.DedupKey = strings.Join(keys, " ")
	return m, answer{status: http.StatusOK}, nil
}

// ntfyMessage: JSON posted to the server's root, or text posted to a topic.
func ntfyMessage(in request) (PagerMessage, answer, error) {
	m := PagerMessage{Kind: "ntfy"}
	topic := strings.Trim(in.path, "/")
	var b struct {
		Topic    string `json:"topic"`
		Title    string `json:"title"`
		Message  string `json:"message"`
		Priority int    `json:"priority"`
	}
	if topic == "" {
		if err := json.Unmarshal(in.body, &b); err != nil || b.Topic == "" {
			return m, answer{}, bad(`{"code":40024,"http":400,"error":"invalid request: body must be message JSON"}`)
		}
		if b.Priority < 0 || b.Priority > 5 {
			return m, answer{}, bad(`{"code":40007,"http":400,"error":"invalid priority parameter"}`)
		}
	} else {
		b.Topic, b.Title, b.Message = topic, in.header.Get("Title"), string(in.body)
	}
	m.Title = b.Title
	if m.Title == "" {
		m.Title = firstLine(b.Message)
	}
	return m, answer{status: http.StatusOK, json: map[string]any{"id": newID(12), "time": time.Now().Unix(), "event": "message", "topic": b.Topic, "message": b.Message}}, nil
}

// reply answers, or fails as told.
func reply(w http.ResponseWriter, r *http.Request, f PagerFault, a answer) {
	status := map[PagerFault]int{
		PagerBroken: 500, PagerLost: 500, PagerUnavailable: 503, PagerBusy: 429, PagerUnauthorised: 401,
		PagerForbidden: 403, PagerNotFound: 404,
	}[f]
	switch {
	case f == PagerReset || f == PagerDropped:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			if t, ok := conn.(*net.TCPConn); ok {
				_ = t.SetLinger(0)
			}
			_ = conn.Close()
		}
		return
	case f == PagerSilent:
		<-r.Context().Done() // also when the sink goes down, which closes the connection
		return
	case status != 0:
		if f == PagerBusy {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, string(f), status)
		return
	}
	if a.json != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_ = json.NewEncoder(w).Encode(a.json)
		return
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.text)
}

// formOf reads a form, which Pushover takes, or its JSON form.
func formOf(in request) (url.Values, error) {
	if strings.HasPrefix(in.header.Get("Content-Type"), "application/json") {
		var raw map[string]any
		if err := json.Unmarshal(in.body, &raw); err != nil {
			return nil, err
		}
		v := url.Values{}
		for k, x := range raw {
			v.Set(k, fmt.Sprint(x))
		}
		return v, nil
	}
	return url.ParseQuery(string(in.body))
}
