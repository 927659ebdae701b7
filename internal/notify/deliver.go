package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Times of the retry policy. They are part of what the package promises; see its documentation.
const (
	deniedEvery    = 10 * time.Minute
	rateLimitCap   = 5 * time.Minute
	resolveGiveUp  = 24 * time.Hour
	drillGiveUp    = time.Hour
	defaultLease   = time.Minute
	recordLimit    = 10 * time.Second
	resolveRefresh = 15 * time.Minute
	shortestRetry  = 5 * time.Second
	retryAfterSlow = time.Minute // the longest that a failing (not limiting) service can make us wait
)

// retryTimes are the pauses after the first, second and further attempts; the last one repeats.
var retryTimes = [...]time.Duration{shortestRetry, 10 * time.Second, 20 * time.Second, 30 * time.Second, 60 * time.Second}

// Options are what a Deliverer works with. All but Logger, BaseURL, Lease and Outcome are required.
type Options struct {
	Outbox Outbox
	// Channels are those of the configuration. Names must differ.
	Channels []Sender
	// Now tells the time.
	Now func() time.Time
	// Owner names this process in leases: different for every process on the same database.
	Owner  string
	Logger *slog.Logger // nil: silent
	// BaseURL is where people reach the dashboard. Empty: messages carry no link.
	BaseURL string
	// Lease is how long a delivery is kept from others while an attempt is made. 0 means a minute. It must be longer
	// than an attempt and the recording of its receipt may take.
	Lease time.Duration
	// Retry is the pauses after the first, second and further attempts; the last one repeats. Nil means 5, 10, 20, 30
	// and 60 seconds. What a service asks for, and the slower pace of a channel that denies, come on top.
	Retry []time.Duration
	// Outcome, when set, is called after each attempt that says something about a channel, after its receipt was
	// recorded. It may be called from several goroutines at the same time. Its context outlives a shutdown by ten
	// seconds, so that what was learnt is not lost.
	Outcome func(context.Context, assure.Delivered)
}

// Deliverer makes deliveries. Safe for concurrent use. It remembers nothing between two calls: a new one with other
// channels can take the place of an old one at any time.
type Deliverer struct {
	o        Options
	channels map[string]Sender
	// calls numbers the calls of Deliver. Each leases as an owner of its own, so that two calls for one delivery in the
	// same process keep out of each other's way as those of two processes do.
	calls atomic.Uint64
	// mark tells the calls of this Deliverer from those of the one before it in the same process (after a reload).
	mark string
}

// NewDeliverer checks the options.
func NewDeliverer(o Options) (*Deliverer, error) {
	switch {
	case o.Outbox == nil:
		return nil, errors.New("deliverer: no outbox")
	case o.Now == nil:
		return nil, errors.New("deliverer: no clock")
	case o.Owner == "":
		return nil, errors.New("deliverer: no owner to lease deliveries to")
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.Lease < AttemptLimit+recordLimit {
		return nil, fmt.Errorf("deliverer: a lease of %s is shorter than an attempt and its receipt may take (%s)", o.Lease, AttemptLimit+recordLimit)
	}
	if len(o.Retry) == 0 {
		o.Retry = retryTimes[:]
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Deliverer{o: o, channels: make(map[string]Sender, len(o.Channels)), mark: rand.Text()[:8]}
	for _, s := range o.Channels {
		if _, twice := d.channels[s.Name()]; twice {
			return nil, fmt.Errorf("deliverer: two channels are named %q", s.Name())
		}
		d.channels[s.Name()] = s
	}
	return d, nil
}

// Deliver makes one attempt at a delivery, if it is pending, due and not leased to somebody else, and records the
// receipt. next is when to call it again for the same delivery; zero when there is no need to.
//
// An error says that the outbox did not work or that ctx ended before anything was tried. A failed attempt is not an
// error: it is a receipt. When the receipt could not be recorded, the message may have gone out; the delivery becomes
// due again when its lease ends, and the message goes out once more.
func (d *Deliverer) Deliver(ctx context.Context, id int64) (next time.Time, err error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, fmt.Errorf("deliver %d: %w", id, err)
	}
	now := d.o.Now().UTC()
	owner := d.o.Owner + "#" + d.mark + "." + strconv.FormatUint(d.calls.Add(1), 10)
	del, ok, err := d.o.Outbox.Take(ctx, id, owner, now, now.Add(d.o.Lease))
	if err != nil {
		return time.Time{}, fmt.Errorf("take delivery %d: %w", id, err)
	}
	if !ok {
		return time.Time{}, nil
	}
	out, state, wait, evidence := d.attempt(ctx, del, now)
	ended := d.o.Now().UTC()
	if state == assure.DeliveryPending {
		next = ended.Add(wait)
	}
	receipt := assure.Receipt{
		Delivery: del.ID, Channel: del.Channel, Attempt: del.Attempt, At: ended, Class: out.Class, Code: out.Code,
		Detail: out.Detail, ProviderID: out.ProviderID, RetryAfter: out.RetryAfter,
	}
	// A shutdown must not lose the receipt of what was just sent.
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	d.log(ctx, del, receipt, state, next)
	if err := d.o.Outbox.Record(rctx, receipt, state, next); err != nil {
		return time.Time{}, fmt.Errorf("record attempt %d of delivery %d: %w", del.Attempt, del.ID, err)
	}
	if evidence && d.o.Outcome != nil {
		octx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
		defer cancel()
		d.o.Outcome(octx, out.Delivered(del.Channel))
	}
	return next, nil
}

// attempt tries once and decides what becomes of the delivery. evidence is false when the outcome says nothing about
// the channel.
func (d *Deliverer) attempt(ctx context.Context, del assure.Delivery, now time.Time) (out Outcome, state assure.DeliveryState, wait time.Duration, evidence bool) {
	s, ok := d.channels[del.Channel]
	if !ok {
		out = Outcome{Class: assure.Denied, Detail: "not sent: the channel is not configured any more"}
		return out, assure.DeliveryFailed, 0, true
	}
	keyed := supersedes(s)
	if del.Notice.Kind == assure.NoticeSupersede && !keyed {
		out = Outcome{Class: assure.Accepted, Detail: "nothing sent: the worse stage has a message of its own", Untried: true}
		return out, assure.DeliverySent, 0, false
	}
	out = s.Send(ctx, NewMessage(del, d.o.BaseURL, now))
	if out.Class != assure.Accepted && ctx.Err() != nil {
		// We were stopped, the channel did not fail. Nobody knows whether the message went out: it goes out again.
		out.Detail = "interrupted by a shutdown: " + out.Detail
		return out, assure.DeliveryPending, shortestRetry, false
	}
	switch out.Class {
	case assure.Accepted:
		return out, assure.DeliverySent, 0, !out.Untried
	case assure.Rejected:
		return out, assure.DeliveryFailed, 0, true
	}
	if why := givenUp(del, d.o.Now()); why != "" {
		out.Detail += "; given up: " + why
		return out, assure.DeliveryFailed, 0, true
	}
	return out, assure.DeliveryPending, d.pause(out, del.Attempt), true
}

func supersedes(s Sender) bool {
	p, ok := s.(Superseder)
	return ok && p.Supersedes()
}

// givenUp says why no further attempt is worth it; empty while one is.
func givenUp(del assure.Delivery, now time.Time) string {
	switch {
	case del.Notice.Kind == assure.NoticeTest && !del.Notice.At.IsZero() && now.Sub(del.Notice.At) >= drillGiveUp:
		return "a drill that comes this late would be taken for another"
	case (del.Notice.Kind == assure.NoticeResolve || del.Notice.Kind == assure.NoticeSupersede) &&
		!del.Incident.ResolvedAt.IsZero() && now.Sub(del.Incident.ResolvedAt) >= resolveGiveUp:
		return "the incident has been over for a day"
	}
	return ""
}

// pause is how long to wait after the given attempt, counted from 1.
func (d *Deliverer) pause(o Outcome, attempt int) time.Duration {
	p := d.o.Retry[min(max(attempt, 1), len(d.o.Retry))-1]
	switch o.Class {
	case assure.Denied:
		return deniedEvery
	case assure.RateLimited:
		return max(p, min(o.RetryAfter, rateLimitCap))
	default:
		return max(p, min(o.RetryAfter, retryAfterSlow))
	}
}

func (d *Deliverer) log(ctx context.Context, del assure.Delivery, r assure.Receipt, state assure.DeliveryState, next time.Time) {
	level := slog.LevelWarn
	if r.Class == assure.Accepted {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.Int64("delivery", del.ID), slog.String("channel", del.Channel), slog.String("incident", string(del.Notice.Incident)),
		slog.String("kind", string(del.Notice.Kind)), slog.String("stage", del.Notice.Stage.String()), slog.Int("attempt", del.Attempt),
		slog.String("class", string(r.Class)), slog.String("state", string(state)), slog.Int("code", r.Code), slog.String("detail", r.Detail),
	}
	if !next.IsZero() {
		attrs = append(attrs, slog.Time("next", next))
	}
	d.o.Logger.LogAttrs(ctx, level, "delivery attempted", attrs...)
}

// Names lists the channels.
func (d *Deliverer) Names() []string {
	out := make([]string, 0, len(d.o.Channels))
	for _, s := range d.o.Channels {
		out = append(out, s.Name())
	}
	return out
}

// Check asks a channel's service whether it would take a message, without telling anybody anything. checked is false
// when the service offers no such question (Slack-compatible webhooks, PagerDuty, signed webhook); the fact's detail then says
// so and its class is empty: nothing is known, and a drill is the only way to find out. A channel that is not
// configured is denied.
func (d *Deliverer) Check(ctx context.Context, channel string) (fact assure.Delivered, checked bool) {
	s, ok := d.channels[channel]
	if !ok {
		return assure.Delivered{Channel: channel, Class: assure.Denied, Detail: "the channel is not configured"}, true
	}
	if p, ok := s.(Prober); ok {
		if out, checked := p.Probe(ctx); checked {
			return out.Delivered(channel), true
		}
	}
	return assure.Delivered{Channel: channel, Detail: "not checked: a " + s.Kind() + " channel cannot be asked without sending a message"}, false
}

// RefreshEvery is how often a firing delivery of the channel must be sent again by Refresh; 0 when it need not be.
func (d *Deliverer) RefreshEvery(channel string) time.Duration {
	if r, ok := d.channels[channel].(Refresher); ok {
		return r.RefreshEvery()
	}
	return 0
}

// Refresh sends again what a forgetful service must hear again (Alertmanager keeps alerts in memory): an accepted
// trigger for as long as its stage is the present one of an open incident, and a resolution for a quarter of an hour,
// in case a refresh of the trigger crossed it. It touches neither the outbox nor any receipt: the next refresh is the
// retry. Whoever calls it does so every [Deliverer.RefreshEvery] for each sent delivery on such a channel, with the
// delivery as the outbox holds it at that moment. ok is false when there is nothing to refresh.
func (d *Deliverer) Refresh(ctx context.Context, del assure.Delivery) (fact assure.Delivered, ok bool) {
	s, now := d.channels[del.Channel], d.o.Now().UTC()
	if s == nil || d.RefreshEvery(del.Channel) == 0 || del.State != assure.DeliverySent || !stillHolds(del, now) {
		return assure.Delivered{}, false
	}
	out := s.Send(ctx, NewMessage(del, d.o.BaseURL, now))
	return out.Delivered(del.Channel), true
}

func stillHolds(del assure.Delivery, now time.Time) bool {
	switch del.Notice.Kind {
	case assure.NoticeTrigger:
		return del.Incident.State != assure.Resolved && del.Incident.Told[del.Notice.Route] <= del.Notice.Stage
	case assure.NoticeResolve:
		return del.Incident.State == assure.Resolved && now.Sub(del.Incident.ResolvedAt) < resolveRefresh
	}
	return false
}
