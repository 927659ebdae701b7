package notify

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func TestRetrySchedule(t *testing.T) {
	s := time.Second
	m := time.Minute
	for _, c := range []struct {
		name string
		out  Outcome
		want []time.Duration
	}{
		{"temporary", Outcome{Class: assure.Temporary}, []time.Duration{5 * s, 10 * s, 20 * s, 30 * s, m, m, m}},
		{"temporary, with a wish", Outcome{Class: assure.Temporary, RetryAfter: time.Hour}, []time.Duration{m, m, m}},
		{"rate limited", Outcome{Class: assure.RateLimited}, []time.Duration{5 * s, 10 * s, 20 * s}},
		{"rate limited for a while", Outcome{Class: assure.RateLimited, RetryAfter: 90 * s}, []time.Duration{90 * s, 90 * s}},
		{"rate limited for a day", Outcome{Class: assure.RateLimited, RetryAfter: 24 * time.Hour}, []time.Duration{5 * m, 5 * m}},
		{"denied", Outcome{Class: assure.Denied}, []time.Duration{10 * m, 10 * m, 10 * m}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, newOutbox(delivery(assure.NoticeTrigger, assure.StagePage)), &scripted{name: "ops", send: always(c.out)})
			for i, want := range c.want {
				next := b.deliver(t, 42)
				if got := next.Sub(b.clock); got != want {
					t.Errorf("after attempt %d it waits %s, want %s", i+1, got, want)
				}
				if row := b.box.row(42); row.State != assure.DeliveryPending || !row.Next.Equal(next) {
					t.Errorf("the row is %s, due %s", row.State, row.Next)
				}
				// Too early: nothing happens.
				b.clock = next.Add(-time.Millisecond)
				b.deliver(t, 42)
				b.clock = next
			}
			if n := len(b.box.receipts); n != len(c.want) {
				t.Errorf("%d receipts, want %d", n, len(c.want))
			}
			if len(b.facts) != len(c.want) || b.facts[0].Class != c.out.Class || b.facts[0].Channel != "ops" {
				t.Errorf("facts are %+v", b.facts)
			}
		})
	}
}

// A page that a service does not take today goes out next month, if its incident still lives.
func TestNeverGivesUpAPage(t *testing.T) {
	snd := &scripted{name: "ops", send: always(Outcome{Class: assure.Temporary})}
	b := newBench(t, newOutbox(delivery(assure.NoticeTrigger, assure.StagePage)), snd)
	for range 100 {
		b.deliver(t, 42)
		b.clock = b.clock.Add(8 * time.Hour)
	}
	snd.send = always(Outcome{Class: assure.Accepted, Code: 200, ProviderID: "p1"})
	if next := b.deliver(t, 42); !next.IsZero() || b.box.row(42).State != assure.DeliverySent {
		t.Errorf("the row is %s, next %s", b.box.row(42).State, next)
	}
	last := b.box.receipts[len(b.box.receipts)-1]
	if last.Attempt != 101 || last.Class != assure.Accepted || last.ProviderID != "p1" || last.Code != 200 || !last.At.Equal(b.clock) || last.Channel != "ops" {
		t.Errorf("the receipt is %+v", last)
	}
	b.deliver(t, 42)
	if len(snd.got) != 101 {
		t.Errorf("sent %d times, want 101: what is sent is not sent again", len(snd.got))
	}
}

func TestEndsOfADelivery(t *testing.T) {
	resolved := func(d *assure.Delivery) {
		d.Incident.State, d.Incident.ResolvedAt = assure.Resolved, now.Add(-time.Minute)
	}
	accepted, temporary := Outcome{Class: assure.Accepted}, Outcome{Class: assure.Temporary, Detail: "down"}
	for _, c := range []struct {
		name    string
		kind    assure.NoticeKind
		change  func(*assure.Delivery)
		out     Outcome
		state   assure.DeliveryState
		sent    bool
		fact    assure.ReceiptClass
		receipt string
	}{
		{"rejected: never again", assure.NoticeTrigger, nil, Outcome{Class: assure.Rejected, Detail: "bad"}, assure.DeliveryFailed, true, assure.Rejected, "bad"},
		{"a channel that is gone", assure.NoticeTrigger, func(d *assure.Delivery) { d.Channel = "old" }, accepted, assure.DeliveryFailed, false, assure.Denied, "not configured"},
		{"a page that its incident's end overtook", assure.NoticeTrigger, resolved, accepted, assure.DeliverySent, true, assure.Accepted, ""},
		{"an acknowledgement that its incident's end overtook", assure.NoticeAck, resolved, accepted, assure.DeliverySent, true, assure.Accepted, ""},
		{"the end itself", assure.NoticeResolve, resolved, accepted, assure.DeliverySent, true, assure.Accepted, ""},
		{"the end, not taken yet", assure.NoticeResolve, resolved, temporary, assure.DeliveryPending, true, assure.Temporary, "down"},
		{"the end, not taken for a day", assure.NoticeResolve, func(d *assure.Delivery) {
			resolved(d)
			d.Incident.ResolvedAt = now.Add(-24 * time.Hour)
		}, temporary, assure.DeliveryFailed, true, assure.Temporary, "given up"},
		{"a drill", assure.NoticeTest, nil, temporary, assure.DeliveryPending, true, assure.Temporary, "down"},
		{"a drill an hour late", assure.NoticeTest, func(d *assure.Delivery) { d.Notice.At = now.Add(-time.Hour) }, temporary, assure.DeliveryFailed, true, assure.Temporary, "given up"},
		{"a stage that was overtaken, for people", assure.NoticeSupersede, nil, accepted, assure.DeliverySent, false, "", "nothing sent"},
		{"a page that a worse one overtook, for people", assure.NoticeTrigger, func(d *assure.Delivery) {
			d.Incident.Told = map[string]assure.Stage{"sre": assure.StageOutage}
		}, accepted, assure.DeliverySent, true, assure.Accepted, ""},
		{"taken in part", assure.NoticeTrigger, nil, Outcome{Class: assure.Accepted, Impaired: assure.Denied}, assure.DeliverySent, true, assure.Denied, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := delivery(c.kind, assure.StagePage)
			if c.change != nil {
				c.change(&d)
			}
			snd := &scripted{name: "ops", send: always(c.out)}
			b := newBench(t, newOutbox(d), snd)
			next := b.deliver(t, 42)
			if got := b.box.row(42).State; got != c.state || next.IsZero() == (c.state == assure.DeliveryPending) {
				t.Errorf("the delivery is %s, next %s, want %s", got, next, c.state)
			}
			if (len(snd.got) == 1) != c.sent {
				t.Errorf("sent %d times, want %t", len(snd.got), c.sent)
			}
			if len(b.box.receipts) != 1 || !strings.Contains(b.box.receipts[0].Detail, c.receipt) {
				t.Errorf("receipts are %+v, want one that says %q", b.box.receipts, c.receipt)
			}
			var facts []assure.ReceiptClass
			for _, f := range b.facts {
				facts = append(facts, f.Class)
			}
			if c.fact == "" && len(facts) != 0 || c.fact != "" && !reflect.DeepEqual(facts, []assure.ReceiptClass{c.fact}) {
				t.Errorf("facts are %v, want %q", facts, c.fact)
			}
		})
	}
}

func TestShutdownIsNotTheChannelsFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	snd := &scripted{name: "ops", send: func(context.Context, Message) Outcome {
		cancel()
		return Outcome{Class: assure.Temporary, Detail: "interrupted"}
	}}
	b := newBench(t, newOutbox(delivery(assure.NoticeTrigger, assure.StagePage)), snd)
	if _, err := b.Deliver(ctx, 42); err != nil {
		t.Fatalf("the receipt was lost: %v", err)
	}
	if row := b.box.row(42); row.State != assure.DeliveryPending || len(b.facts) != 0 || len(b.box.receipts) != 1 {
		t.Errorf("the row is %s, facts %+v, receipts %+v", row.State, b.facts, b.box.receipts)
	}
	if _, err := b.Deliver(ctx, 42); !errors.Is(err, context.Canceled) {
		t.Errorf("after the shutdown: %v", err)
	}
}

func TestDelivererOptions(t *testing.T) {
	ok := Options{Outbox: newOutbox(), Now: time.Now, Owner: "a"}
	for name, change := range map[string]func(*Options){
		"no outbox": func(o *Options) { o.Outbox = nil }, "no clock": func(o *Options) { o.Now = nil }, "no owner": func(o *Options) { o.Owner = "" },
		"lease":        func(o *Options) { o.Lease = 20 * time.Second },
		"two channels": func(o *Options) { o.Channels = []Sender{&scripted{name: "a"}, &scripted{name: "a"}} },
	} {
		o := ok
		change(&o)
		if _, err := NewDeliverer(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if d, err := NewDeliverer(ok); err != nil || d.o.Lease <= AttemptLimit+recordLimit {
		t.Errorf("defaults: %v, lease %s", err, d.o.Lease)
	}
}

func TestCheckAndRefresh(t *testing.T) {
	am := newService(t, yes("alertmanager"))
	pd := newService(t, yes("pagerduty"))
	chAM, err := NewAlertmanager("am", AlertmanagerConfig{URLs: []string{am.URL}})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, newOutbox(), NewHTTPSender(chAM, HTTPOptions{}), sender(t, "pagerduty", pd.URL))
	if got := b.Names(); !reflect.DeepEqual(got, []string{"am", "ops"}) {
		t.Errorf("names are %q", got)
	}
	if f, checked := b.Check(t.Context(), "ops"); checked || f.Class != "" || !strings.Contains(f.Detail, "not checked") || len(pd.requests()) != 0 {
		t.Errorf("PagerDuty was checked: %+v", f)
	}
	if f, checked := b.Check(t.Context(), "nobody"); !checked || f.Class != assure.Denied {
		t.Errorf("an unknown channel: %+v", f)
	}
	if f, checked := b.Check(t.Context(), "am"); !checked || f.Class != assure.Denied { // 200 without a status document
		t.Errorf("not an Alertmanager: %+v, %t", f, checked)
	}
	before := len(am.requests())
	d := delivery(assure.NoticeTrigger, assure.StagePage)
	d.Channel, d.State = "am", assure.DeliverySent
	if every := b.RefreshEvery("am"); every <= 0 || every >= alertLife/2 || b.RefreshEvery("ops") != 0 || b.RefreshEvery("nobody") != 0 {
		t.Errorf("refresh every %s", every)
	}
	if f, ok := b.Refresh(t.Context(), d); !ok || f.Class != assure.Accepted || len(am.requests()) != before+1 {
		t.Errorf("refresh: %+v %t", f, ok)
	}
	over := delivery(assure.NoticeResolve, assure.StagePage)
	over.Channel, over.State = "am", assure.DeliverySent
	if _, ok := b.Refresh(t.Context(), over); !ok {
		t.Error("a fresh resolution is not repeated")
	}
	n := len(am.requests())
	for name, change := range map[string]func(*assure.Delivery){
		"resolved":  func(d *assure.Delivery) { d.Incident.State = assure.Resolved },
		"overtaken": func(d *assure.Delivery) { d.Incident.Told = map[string]assure.Stage{"sre": assure.StageOutage} },
		"resolved long ago": func(d *assure.Delivery) {
			*d = over
			d.Incident.ResolvedAt = now.Add(-resolveRefresh)
		},
		"not sent":                 func(d *assure.Delivery) { d.State = assure.DeliveryPending },
		"an acknowledgement":       func(d *assure.Delivery) { d.Notice.Kind = assure.NoticeAck },
		"a channel that remembers": func(d *assure.Delivery) { d.Channel = "ops" },
	} {
		d := d
		change(&d)
		if _, ok := b.Refresh(t.Context(), d); ok {
			t.Errorf("%s: was refreshed", name)
		}
	}
	if len(am.requests()) != n || len(pd.requests()) != 0 {
		t.Error("something was sent that should not be")
	}
}

// Neither receipts nor logs hold a secret, whatever a service echoes and however an attempt fails.
func TestReceiptsAndLogsHoldNoSecrets(t *testing.T) {
	for _, k := range kinds {
		for name, answer := range map[string]http.HandlerFunc{
			"echo": func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(401)
				_, _ = fmt.Fprintf(w, "%s %s", r.URL, r.Header)
			}, "hang up": hangUp, "fine": k.yes,
		} {
			s := newService(t, answer)
			b := newBench(t, newOutbox(delivery(assure.NoticeTrigger, assure.StagePage)), sender(t, k.kind, s.URL))
			b.deliver(t, 42)
			noSecrets(t, k.kind+" "+name+" log", b.log.String())
			noSecrets(t, k.kind+" "+name+" receipt", fmt.Sprintf("%+v %+v", b.box.receipts, b.facts))
			if b.log.Len() == 0 {
				t.Errorf("%s %s: nothing was logged", k.kind, name)
			}
		}
	}
}

// Basic authentication travels encoded; its echo is a secret too.
func TestBasicAuthenticationIsNeverTold(t *testing.T) {
	s := newService(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(401)
		_, _ = fmt.Fprint(w, r.Header.Get("Authorization"))
	})
	am, err := NewAlertmanager("am", AlertmanagerConfig{URLs: []string{s.URL}, Username: "ops", Password: "pw-7hJ2kQ9x"})
	if err != nil {
		t.Fatal(err)
	}
	nt, err := NewNtfy("nt", NtfyConfig{URL: s.URL, Topic: "pages", Username: "ops", Password: "pw-7hJ2kQ9x"})
	if err != nil {
		t.Fatal(err)
	}
	wh, err := NewWebhook("wh", WebhookConfig{URL: strings.Replace(s.URL, "://", "://ops:pw-7hJ2kQ9x@", 1), Secret: secretHMAC})
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range []Channel{am, nt, wh} {
		o := NewHTTPSender(ch, HTTPOptions{}).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
		if o.Class != assure.Denied || !strings.Contains(o.Detail, "Basic "+redacted) {
			t.Errorf("%s: got %s: %s", ch.Kind(), o.Class, o.Detail)
		}
	}
}

// None lost, none twice beyond what at-least-once means: a service takes a message a second time only when it, or we,
// failed after it had taken it before.
func TestNoneLostNoneTwice(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 7))
			var mu sync.Mutex
			roll := func(p float64) bool { mu.Lock(); defer mu.Unlock(); return rng.Float64() < p }
			taken := map[string]int{}   // deliveries as the service saw them
			excused := map[string]int{} // times it, or we, failed after it had taken one
			s := newService(t, func(w http.ResponseWriter, r *http.Request) {
				id := r.Header.Get(DeliveryHeader)
				switch {
				case roll(0.2): // refused, before anything was taken
					status([]int{500, 503, 429, 401}[rng.IntN(4)], "")(w, r)
					return
				case roll(0.1):
					hangUp(w, r)
					return
				}
				mu.Lock()
				taken[id]++
				mu.Unlock()
				if roll(0.3) { // taken, and then failed
					mu.Lock()
					excused[id]++
					mu.Unlock()
					if roll(0.5) {
						hangUp(w, r)
						return
					}
					status(500, "")(w, r)
					return
				}
				status(204, "")(w, r)
			})
			const n = 12
			var ds []assure.Delivery
			for i := range int64(n) {
				d := delivery(assure.NoticeTrigger, assure.StagePage)
				d.ID = i + 1
				ds = append(ds, d)
			}
			box := newOutbox(ds...)
			recording := ""
			box.fail = func(after bool) error {
				if !roll(0.1) {
					return nil
				}
				if !after {
					mu.Lock()
					excused[recording]++ // we lost the receipt
					mu.Unlock()
				}
				return errors.New("the database is away")
			}
			b := newBench(t, box, sender(t, "webhook", s.URL))
			for round := 0; ; round++ {
				pending := 0
				for i := range int64(n) {
					if box.row(i+1).State == assure.DeliveryPending {
						pending++
						recording = fmt.Sprint(i + 1)
						// An error is the database's; the lease then has to run out.
						_, _ = b.Deliver(t.Context(), i+1)
					}
				}
				if pending == 0 {
					break
				}
				if round > 500 {
					t.Fatal("deliveries do not come to an end")
				}
				b.clock = b.clock.Add(20 * time.Second)
			}
			for i := range int64(n) {
				id := fmt.Sprint(i + 1)
				if taken[id] == 0 || box.row(i+1).State != assure.DeliverySent {
					t.Errorf("delivery %s was lost: taken %d times, %s", id, taken[id], box.row(i+1).State)
				}
				if taken[id] > 1+excused[id] {
					t.Errorf("delivery %s was taken %d times with %d excuses", id, taken[id], excused[id])
				}
			}
		})
	}
}

// Two calls for one delivery at the same moment, in one process or two, make it once.
func TestTwoAtOnce(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	snd := &scripted{name: "ops", send: func(context.Context, Message) Outcome {
		close(started)
		<-release
		return Outcome{Class: assure.Accepted}
	}}
	b := newBench(t, newOutbox(delivery(assure.NoticeTrigger, assure.StagePage)), snd)
	done := make(chan error, 1)
	go func() {
		_, err := b.Deliver(t.Context(), 42)
		done <- err
	}()
	<-started
	b.deliver(t, 42) // leased: returns at once
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(snd.got) != 1 {
		t.Errorf("sent %d times, want once", len(snd.got))
	}
}

// A process that died in the middle of an attempt is followed by another attempt, once its lease is over.
func TestCrashInTheMiddle(t *testing.T) {
	snd := &scripted{name: "ops", send: always(Outcome{Class: assure.Accepted})}
	box := newOutbox(delivery(assure.NoticeTrigger, assure.StagePage))
	if _, ok, err := box.Take(t.Context(), 42, "dead", now, now.Add(time.Minute)); !ok || err != nil {
		t.Fatal("the dead process did not get its lease")
	}
	b := newBench(t, box, snd)
	b.clock = now.Add(59 * time.Second)
	b.deliver(t, 42)
	if len(snd.got) != 0 {
		t.Fatal("sent while somebody else may still be sending")
	}
	b.clock = now.Add(61 * time.Second)
	b.deliver(t, 42)
	if len(snd.got) != 1 || box.row(42).State != assure.DeliverySent {
		t.Errorf("sent %d times, the row is %s", len(snd.got), box.row(42).State)
	}
}
