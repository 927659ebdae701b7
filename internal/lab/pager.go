package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// PagerOptions configures a [Pager]. The zero value of each field has a meaning.
type PagerOptions struct {
	// Secret is what webhooks are signed with. Empty means that signatures are not checked.
	Secret string
	// Tolerance is how old a webhook's signature may be; zero means five minutes.
	Tolerance time.Duration
	// Refuse and Lose are probabilities from 0 to 1 that a message is refused before it is recorded, or recorded and then
	// answered as if it had not been. They hold for every channel that has no fault of its own.
	Refuse, Lose float64
	// Seed makes the random failures the same in each run.
	Seed uint64
	// SMTPTLS, when not nil, is offered by the mail server through STARTTLS.
	SMTPTLS *tls.Config
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// PagerFault is how a message is treated.
type PagerFault string

// Faults of the pager. The first group refuses and records nothing; the second records the message and then fails, so
// that the sender cannot know that it arrived.
const (
	PagerSound        PagerFault = ""
	PagerReset        PagerFault = "reset"        // the connection is reset before the message is looked at
	PagerBroken       PagerFault = "broken"       // HTTP 500; SMTP 451
	PagerUnavailable  PagerFault = "unavailable"  // HTTP 503; SMTP 421
	PagerBusy         PagerFault = "busy"         // HTTP 429 with Retry-After: 1; SMTP 450
	PagerUnauthorised PagerFault = "unauthorised" // HTTP 401; SMTP 535
	PagerForbidden    PagerFault = "forbidden"    // HTTP 403; SMTP 550
	PagerNotFound     PagerFault = "not-found"    // HTTP 404; SMTP 550
	PagerSilent       PagerFault = "silent"       // no answer until the sender gives up

	PagerLost    PagerFault = "lost"    // recorded, then HTTP 500; SMTP 451 after the message
	PagerDropped PagerFault = "dropped" // recorded, then the connection is reset
)

// Happened reports whether a message is recorded in spite of the fault.
func (f PagerFault) Happened() bool { return f == PagerSound || f == PagerLost || f == PagerDropped }

// PagerMessage is one message as it arrived.
type PagerMessage struct {
	// Channel is the name under which it was sent, or its kind where it was sent without one.
	Channel string
	Kind    string // webhook, slack, pagerduty, alertmanager, pushover, ntfy or smtp
	// Event says what the message does: trigger, acknowledge or resolve of PagerDuty, firing or resolved of an alert,
	// the kind of a webhook message, message, cancel or validate of Pushover; empty where the format does not say.
	Event string
	// DedupKey is what the format has for telling two messages about the same thing from two things: dedup_key of a
	// webhook or of PagerDuty, the labels of an alert, the tags of Pushover, the Message-ID of a mail.
	DedupKey string
	Title    string
	Body     []byte // as received
	At       time.Time
	// Told is what the sender was made to believe.
	Told PagerFault
}

// Beat is one heartbeat.
type Beat struct {
	ID   string
	Fail bool // sent to /fail
	Body []byte
	At   time.Time
}

// Pager is a sink for pages: an HTTP server that speaks what our channels speak, a mail server, and a receiver of
// heartbeats, on 127.0.0.1. It is safe for concurrent use.
type Pager struct {
	opts PagerOptions

	mu       sync.Mutex
	random   *rand.Rand
	messages []PagerMessage
	beats    []Beat
	faults   map[string]PagerFault
	refused  map[string]int
	receipts map[string]*receipt
	changed  chan struct{} // closed and replaced at each change
	httpAt   string
	smtpAt   string
	server   *http.Server
	gate     *gate
	mail     *mailServer
	up       bool
	work     sync.WaitGroup
}

// StartPager starts the sink.
func StartPager(o PagerOptions) (*Pager, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tolerance <= 0 {
		o.Tolerance = 5 * time.Minute
	}
	p := &Pager{
		opts: o, random: rand.New(rand.NewPCG(o.Seed, o.Seed)), //nolint:gosec // failures that a test can repeat
		faults: map[string]PagerFault{}, refused: map[string]int{}, receipts: map[string]*receipt{}, changed: make(chan struct{}),
		httpAt: "127.0.0.1:0", smtpAt: "127.0.0.1:0",
	}
	if err := p.Up(); err != nil {
		return nil, err
	}
	return p, nil
}

// Up makes the sink listen again after Down, at the same addresses.
func (p *Pager) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.up {
		return nil
	}
	l, err := net.Listen("tcp", p.httpAt)
	if err != nil {
		return fmt.Errorf("listen for pages: %w", err)
	}
	m, err := net.Listen("tcp", p.smtpAt)
	if err != nil {
		_ = l.Close()
		return fmt.Errorf("listen for mail: %w", err)
	}
	p.httpAt, p.smtpAt = l.Addr().String(), m.Addr().String()
	g := &gate{}
	server := &http.Server{Handler: g.guard(p.handler()), ReadHeaderTimeout: 10 * time.Second}
	p.server, p.gate, p.up = server, g, true
	p.mail = newMailServer(p, m)
	p.work.Go(func() { _ = server.Serve(l) })
	return nil
}

// Down closes the listeners and all connections: everything is refused until Up. What was recorded stays.
func (p *Pager) Down() {
	p.mu.Lock()
	server, g, mail, up := p.server, p.gate, p.mail, p.up
	p.up = false
	p.mu.Unlock()
	if !up {
		return
	}
	_ = server.Close()
	mail.stop()
	p.work.Wait()
	g.close()
}

// Stop ends the sink. What was recorded can still be read.
func (p *Pager) Stop() { p.Down() }

// URL is the base address for a channel of any kind, under a name by which its messages can be told from others. What
// the services have below their own base address is below this one: /v2/enqueue, /api/v2/alerts, /1/messages.json. A
// webhook is at /webhook, Slack's at /slack, and ntfy takes its messages at the base itself. With an empty name it is
// the sink's own base, and messages are recorded under their kind.
func (p *Pager) URL(channel string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if channel == "" {
		return "http://" + p.httpAt
	}
	return "http://" + p.httpAt + "/to/" + channel
}

// SMTPAddr is the mail server's address, as ip:port. Mail is recorded under the part of the first recipient's address
// before the @.
func (p *Pager) SMTPAddr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.smtpAt
}

// HeartbeatURL is where a heartbeat goes; /fail below it says that something is wrong.
func (p *Pager) HeartbeatURL(id string) string { return p.URL("") + "/heartbeat/" + id }

// Fail treats a channel's messages with a fault from now on; PagerSound ends it, also for random faults.
func (p *Pager) Fail(channel string, f PagerFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[channel] = f
}

// FailRandomly changes the probabilities of PagerOptions, and ends the faults of single channels.
func (p *Pager) FailRandomly(refuse, lose float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opts.Refuse, p.opts.Lose = refuse, lose
	clear(p.faults)
}

// Messages returns everything recorded so far, oldest first.
func (p *Pager) Messages() []PagerMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.messages)
}

// Refused counts the messages to a channel that were refused and not recorded.
func (p *Pager) Refused(channel string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[channel]
}

// Beats returns the heartbeats recorded so far under an identifier, oldest first.
func (p *Pager) Beats(id string) []Beat {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Beat
	for _, b := range p.beats {
		if b.ID == id {
			out = append(out, b)
		}
	}
	return out
}

// WaitFor returns the first message, recorded already or still to come, that want accepts.
func (p *Pager) WaitFor(ctx context.Context, want func(PagerMessage) bool) (PagerMessage, error) {
	for next := 0; ; {
		p.mu.Lock()
		news, changed := p.messages[next:], p.changed
		p.mu.Unlock()
		for _, m := range news {
			if want(m) {
				return m, nil
			}
		}
		next += len(news)
		select {
		case <-changed:
		case <-ctx.Done():
			return PagerMessage{}, fmt.Errorf("wait for a message, after %d others: %w", next, ctx.Err())
		}
	}
}

// WaitForBeats returns once n heartbeats of an identifier have come that do not say fail.
func (p *Pager) WaitForBeats(ctx context.Context, id string, n int) error {
	for {
		p.mu.Lock()
		have, changed := 0, p.changed
		for _, b := range p.beats {
			if b.ID == id && !b.Fail {
				have++
			}
		}
		p.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d heartbeats of %s, after %d: %w", n, id, have, ctx.Err())
		}
	}
}

// treat decides on a message's fault.
func (p *Pager) treat(channel string) PagerFault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, ok := p.faults[channel]; ok {
		return f
	}
	x := p.random.Float64()
	switch {
	case x < p.opts.Refuse:
		ways := []PagerFault{PagerReset, PagerBroken, PagerUnavailable, PagerBusy}
		return ways[p.random.IntN(len(ways))]
	case x < p.opts.Refuse+p.opts.Lose:
		ways := []PagerFault{PagerLost, PagerDropped}
		return ways[p.random.IntN(len(ways))]
	}
	return PagerSound
}

// record keeps a message, or counts it as refused.
func (p *Pager) record(m PagerMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !m.Told.Happened() {
		p.refused[m.Channel]++
		return
	}
	m.At = p.opts.Now().UTC()
	p.messages = append(p.messages, m)
	p.wake()
}

func (p *Pager) beat(b Beat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.At = p.opts.Now().UTC()
	p.beats = append(p.beats, b)
	p.wake()
}

// wake tells those who wait. The caller holds the lock.
func (p *Pager) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// firstLine is the beginning of a text, for a title where the format has none.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
