package notify

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// memOutbox keeps deliveries in memory by the Outbox's contract. It lets an owner take again what it has taken.
type memOutbox struct {
	mu       sync.Mutex
	rows     map[int64]*memRow
	receipts []assure.Receipt
	// fail, when set, is asked before a Record takes effect (after is false) and after it did (after is true).
	fail func(after bool) error
}

type memRow struct {
	d     assure.Delivery
	owner string
	until time.Time
}

func newOutbox(ds ...assure.Delivery) *memOutbox {
	o := &memOutbox{rows: map[int64]*memRow{}}
	for _, d := range ds {
		d.Attempt = 0
		o.rows[d.ID] = &memRow{d: d}
	}
	return o
}

func (o *memOutbox) Take(_ context.Context, id int64, owner string, now, until time.Time) (assure.Delivery, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.rows[id]
	if r == nil || r.d.State != assure.DeliveryPending || r.d.Next.After(now) || r.owner != "" && r.owner != owner && r.until.After(now) {
		return assure.Delivery{}, false, nil
	}
	r.owner, r.until = owner, until
	r.d.Attempt++
	return r.d, true, nil
}

func (o *memOutbox) Record(ctx context.Context, r assure.Receipt, state assure.DeliveryState, next time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		if err := o.fail(false); err != nil {
			return err
		}
	}
	row := o.rows[r.Delivery]
	row.d.State, row.d.Next, row.owner = state, next, ""
	if r.ProviderID != "" {
		row.d.ProviderID = r.ProviderID
	}
	o.receipts = append(o.receipts, r)
	if o.fail != nil {
		return o.fail(true)
	}
	return nil
}

func (o *memOutbox) row(id int64) assure.Delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rows[id].d
}

// scripted is a Sender that does as it is told.
type scripted struct {
	name string
	send func(context.Context, Message) Outcome
	mu   sync.Mutex
	got  []Message
}

func (s *scripted) Name() string { return s.name }
func (s *scripted) Kind() string { return "scripted" }
func (s *scripted) Send(ctx context.Context, m Message) Outcome {
	s.mu.Lock()
	s.got = append(s.got, m)
	s.mu.Unlock()
	return s.send(ctx, m)
}

func always(o Outcome) func(context.Context, Message) Outcome {
	return func(context.Context, Message) Outcome { return o }
}

// bench is a Deliverer with a clock that is moved by hand.
type bench struct {
	*Deliverer
	box   *memOutbox
	clock time.Time
	facts []assure.Delivered
	log   bytes.Buffer
}

func newBench(t *testing.T, box *memOutbox, channels ...Sender) *bench {
	t.Helper()
	b := &bench{box: box, clock: now}
	d, err := NewDeliverer(Options{
		Outbox: box, Channels: channels, Now: func() time.Time { return b.clock }, Owner: "tester", BaseURL: baseURL,
		Logger:  slog.New(slog.NewJSONHandler(&b.log, nil)),
		Outcome: func(_ context.Context, f assure.Delivered) { b.facts = append(b.facts, f) },
	})
	if err != nil {
		t.Fatalf("make the deliverer: %v", err)
	}
	b.Deliverer = d
	return b
}

func (b *bench) deliver(t *testing.T, id int64) time.Time {
	t.Helper()
	next, err := b.Deliver(t.Context(), id)
	if err != nil {
		t.Fatalf("deliver %d: %v", id, err)
	}
	return next
}
