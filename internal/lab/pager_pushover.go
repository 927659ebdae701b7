package lab

import (
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// receipt is what Pushover keeps of a message of emergency priority.
type receipt struct {
	tags         []string
	acknowledged bool
	acknowledger string
	at           int64
	cancelled    bool
}

const receiptsPath = "/1/receipts/"

// pushover: the message API (pushover.net/api), the check of users, and receipts.
func (p *Pager) pushover(in request) (PagerMessage, answer, error) {
	m := PagerMessage{Kind: "pushover"}
	form, err := formOf(in)
	if err != nil {
		return m, answer{}, bad(`{"status":0,"errors":["the body cannot be read"]}`)
	}
	fine := map[string]any{"status": 1, "request": newID(16)}
	if form.Get("token") == "" {
		return m, answer{}, bad(`{"token":"invalid","errors":["application token is invalid"],"status":0}`)
	}
	m.DedupKey = form.Get("tags")
	switch {
	case in.path == "/1/messages.json":
		m.Event, m.Title = "message", form.Get("title")
		switch {
		case form.Get("user") == "":
			return m, answer{}, bad(`{"user":"invalid","errors":["user identifier is not a valid user"],"status":0}`)
		case form.Get("message") == "":
			return m, answer{}, bad(`{"message":"cannot be blank","errors":["message cannot be blank"],"status":0}`)
		case len([]rune(form.Get("message"))) > 1024:
			return m, answer{}, bad(`{"message":"is too long","errors":["message is too long"],"status":0}`)
		}
		if m.Title == "" {
			m.Title = firstLine(form.Get("message"))
		}
		if form.Get("priority") == "2" {
			retry, _ := strconv.Atoi(form.Get("retry"))
			expire, _ := strconv.Atoi(form.Get("expire"))
			if retry < 30 || expire <= 0 || expire > 10800 {
				return m, answer{}, bad(`{"errors":["retry or expire is missing or out of range"],"status":0}`)
			}
			fine["receipt"] = newID(30)
		}
	case in.path == "/1/users/validate.json":
		m.Event = "validate"
		if form.Get("user") == "" {
			return m, answer{}, bad(`{"user":"invalid","errors":["user key is invalid"],"status":0}`)
		}
		fine["devices"] = []string{"phone"}
	case strings.HasPrefix(in.path, receiptsPath+"cancel_by_tag/"):
		m.Event = "cancel"
		m.DedupKey = strings.TrimSuffix(strings.TrimPrefix(in.path, receiptsPath+"cancel_by_tag/"), ".json")
	case strings.HasPrefix(in.path, receiptsPath) && strings.HasSuffix(in.path, "/cancel.json"):
		m.Event = "cancel"
		m.DedupKey = strings.TrimSuffix(strings.TrimPrefix(in.path, receiptsPath), "/cancel.json")
	default:
		return m, answer{}, &refusal{http.StatusNotFound, `{"status":0,"errors":["no such resource"]}`}
	}
	return m, answer{status: http.StatusOK, json: fine}, nil
}

// ring does what a message to Pushover causes, and completes the answer.
func (p *Pager) ring(m PagerMessage, a answer) answer {
	fields, ok := a.json.(map[string]any)
	if !ok {
		return a
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if id, ok := fields["receipt"].(string); ok {
		p.receipts[id] = &receipt{tags: strings.Split(m.DedupKey, ",")}
	}
	if m.Event == "cancel" {
		n := 0
		for id, r := range p.receipts {
			if !r.cancelled && !r.acknowledged && (id == m.DedupKey || slices.Contains(r.tags, m.DedupKey)) {
				r.cancelled = true
				n++
			}
		}
		fields["canceled"] = n
	}
	return a
}

// get answers questions about receipts, and a plain visit.
func (p *Pager) get(w http.ResponseWriter, r *http.Request, in request) {
	if !strings.HasPrefix(in.path, receiptsPath) {
		reply(w, r, PagerSound, answer{status: http.StatusOK, text: "a sink for pages\n"})
		return
	}
	id := strings.TrimSuffix(strings.TrimPrefix(in.path, receiptsPath), ".json")
	p.mu.Lock()
	rec := p.receipts[id]
	var fields map[string]any
	if rec != nil {
		fields = map[string]any{
			"status": 1, "acknowledged": flag(rec.acknowledged), "acknowledged_by": rec.acknowledger,
			"acknowledged_at": rec.at, "expired": flag(rec.cancelled), "request": newID(16),
		}
	}
	p.mu.Unlock()
	if rec == nil {
		http.Error(w, `{"receipt":"not found","errors":["receipt not found; may be invalid or expired"],"status":0}`, http.StatusNotFound)
		return
	}
	f := PagerSound
	if in.channel != "" {
		f = p.treat(in.channel)
	}
	reply(w, r, f, answer{status: http.StatusOK, json: fields})
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Ringing returns the receipts of messages of emergency priority that nobody has acknowledged and nothing has
// cancelled, sorted.
func (p *Pager) Ringing() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for id, r := range p.receipts {
		if !r.acknowledged && !r.cancelled {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// Acknowledge does what somebody does on a telephone.
func (p *Pager) Acknowledge(id, who string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.receipts[id]
	if r == nil {
		return errors.New("acknowledge: no such receipt")
	}
	r.acknowledged, r.acknowledger, r.at = true, who, p.opts.Now().Unix()
	p.wake()
	return nil
}

// newID is n random letters and digits.
func newID(n int) string {
	text := rand.Text() // 26 letters and digits of base 32
	for len(text) < n {
		text += rand.Text()
	}
	return strings.ToLower(text[:n])
}
