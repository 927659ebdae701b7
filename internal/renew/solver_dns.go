package renew

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Journal is the part of the [Ledger] that keeps what has to be withdrawn.
type Journal interface {
	PutPending(ctx context.Context, p assure.Pending) error
	DropPending(ctx context.Context, id string) error
}

// DNSOptions configures a [DNSSolver]. Fields without a default are needed.
type DNSOptions struct {
	Challenge string // dns-01, the default, or dns-account-01
	DNS       DNS
	Zones     Zones
	Journal   Journal
	Renewer   string // whose DNS writer it is, for the journal
	Purpose   string // what it is done for, for people
	// Life is for how long an entry of the journal counts as ours without a sign of life; zero means 1 minute. Signs of
	// life are given three times as often.
	Life time.Duration
	// Timeout is for how long the record may take to be shown everywhere; zero means 10 minutes. Interval is the longest
	// pause between two looks; zero means 5 s. The first looks come sooner.
	Timeout, Interval time.Duration
	// TTL is for how long resolvers may remember what is written, and Recent what was validated lately, by whichever solver:
	// the resolver of an authority may still hold what it saw then, so the next validation at that record waits until it
	// cannot any more. Nil means that nothing is waited for.
	TTL    time.Duration
	Recent *Recent
	Now    func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil means none
}

// Recent remembers when challenges were withdrawn, by record. It is safe for concurrent use.
type Recent struct {
	mu sync.Mutex
	at map[string]time.Time
}

// note keeps that a challenge at the record was withdrawn, and forgets what is of no use any more.
func (r *Recent) note(record string, now time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[string]time.Time{}
	}
	for name, t := range r.at {
		if now.Sub(t) > maxRemembered {
			delete(r.at, name)
		}
	}
	r.at[record] = now
}

// maxRemembered is the longest that a resolver's memory is waited for.
const maxRemembered = 5 * time.Minute

// left is how long resolvers may still remember what was withdrawn at the record.
func (r *Recent) left(record string, ttl time.Duration, now time.Time) time.Duration {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.at[record]
	if !ok || t.After(now) {
		return 0
	}
	return min(ttl, maxRemembered) - now.Sub(t)
}

// DNSSolver solves dns-01 and dns-account-01 with a DNS writer. Each value is in the journal before it is written, and
// leaves the journal only when it was withdrawn, or was certainly never written. It is safe for concurrent use.
type DNSSolver struct{ o DNSOptions }

// NewDNSSolver checks the options.
func NewDNSSolver(o DNSOptions) (*DNSSolver, error) {
	switch o.Challenge {
	case "":
		o.Challenge = ChallengeDNS01
	case ChallengeDNS01, ChallengeDNSAccount01:
	default:
		return nil, fmt.Errorf("the challenge %q is not solved by writing DNS", clip(o.Challenge))
	}
	if o.DNS == nil || o.Zones == nil || o.Journal == nil {
		return nil, errors.New("a DNS challenge needs a writer, somebody who asks DNS, and a journal")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	orElse(&o.Life, time.Minute)
	orElse(&o.Timeout, 10*time.Minute)
	orElse(&o.Interval, 5*time.Second)
	return &DNSSolver{o}, nil
}

// Type is the type of challenge that it solves.
func (s *DNSSolver) Type() string { return s.o.Challenge }

// Present finds out where the record really lives, notes the value in the journal, and writes it.
func (s *DNSSolver) Present(ctx context.Context, c Challenge) (*Proof, error) {
	proof, err := s.Write(ctx, c.RecordName(), c.RecordValue())
	if proof == nil || s.o.Recent == nil {
		return proof, err
	}
	record, wait, withdraw := proof.Target, proof.Wait, proof.Withdraw
	proof.Wait = func(ctx context.Context) (string, error) {
		detail, err := wait(ctx)
		// What an authority saw at the last validation its resolver may remember: it would not see this value.
		if left := s.o.Recent.left(record, s.o.TTL, s.o.Now()); err == nil && left > 0 {
			detail += fmt.Sprintf("; %s were waited, because resolvers may remember what was validated there before", left.Round(time.Second/10))
			if !sleep(ctx, left) {
				return "", &failure{&assure.Trouble{
					Reason: assure.RenewalFailing, Class: assure.TroubleTransient, Scope: record, Detail: "wait for resolvers to forget an older value: it was stopped",
				}, ctx.Err()}
			}
		}
		return detail, err
	}
	proof.Withdraw = func(ctx context.Context) error {
		err := withdraw(ctx)
		s.o.Recent.note(record, s.o.Now())
		return err
	}
	return proof, err
}

// Write writes any value at any record's name in the same way: what a canary needs. As with [Solver.Present], a proof
// that is not nil has to be withdrawn, also when there is an error; until then the journal is told that somebody is there.
func (s *DNSSolver) Write(ctx context.Context, name, value string) (*Proof, error) {
	at, err := s.o.Zones.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	entry := assure.Pending{
		ID: rand.Text(), Renewer: s.o.Renewer, Name: at.Name, Value: value, Purpose: s.o.Purpose,
	}
	put := func(ctx context.Context) error {
		e := entry
		e.Until = s.o.Now().Add(s.o.Life).UTC()
		return s.o.Journal.PutPending(ctx, e)
	}
	if err := put(ctx); err != nil {
		// Nothing is written without an entry. Should the entry be there all the same, withdrawing what was never written
		// does no harm.
		return nil, &failure{&assure.Trouble{
			Reason: assure.RenewalFailing, Class: assure.TroubleTransient, Scope: at.Name,
			Detail: clip("note in the journal what is about to be written: " + err.Error()),
		}, err}
	}
	letGo := s.hold(ctx, at.Name, put)
	drop := func(ctx context.Context) {
		if err := s.o.Journal.DropPending(ctx, entry.ID); err != nil {
			s.o.Logger.Warn("a DNS value that is gone stays in the journal until the next sweep", "record", at.Name, "error", clip(err.Error()))
		}
	}
	proof := &Proof{
		Target: at.Name, Detail: "the TXT value was written" + where(name, at),
		Wait: func(ctx context.Context) (string, error) { return s.wait(ctx, at, value) },
		Withdraw: func(ctx context.Context) error {
			letGo()
			if err := s.o.DNS.Withdraw(ctx, at.Name, value); err != nil {
				return err // the entry stays: whoever sweeps tries again
			}
			drop(ctx)
			return nil
		},
	}
	if err := s.o.DNS.Present(ctx, at.Name, value); err != nil {
		if notWritten(err) {
			proof.Withdraw, proof.Nothing = func(ctx context.Context) error { letGo(); drop(ctx); return nil }, true
		}
		return proof, err
	}
	return proof, nil
}

// hold gives signs of life for an entry of the journal until the returned function is called, whatever becomes of ctx.
// Nothing is put any more once that has returned.
func (s *DNSSolver) hold(ctx context.Context, record string, put func(context.Context) error) (letGo func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		for sleep(ctx, s.o.Life/3) {
			bounded, free := context.WithTimeout(ctx, s.o.Life/3)
			if err := put(bounded); err != nil && ctx.Err() == nil {
				s.o.Logger.Warn("the journal could not be told that a DNS value is still needed", "record", record, "error", clip(err.Error()))
			}
			free()
		}
	})
	return func() { cancel(); done.Wait() }
}

// where says that a record is not written where one would look for it.
func where(name string, at assure.RecordPlace) string {
	if len(at.Aliases) == 0 {
		return ""
	}
	return clip(fmt.Sprintf(" at %s in the zone %s, where the alias of %s leads", at.Name, at.Zone, name))
}

// notWritten reports whether a writer was refused outright, so that nothing can be there. Trying to withdraw would be
// refused as well, and fill the journal with values that never were.
func notWritten(err error) bool {
	var t *assure.Trouble
	if !errors.As(err, &t) || t.Happened {
		return false
	}
	switch t.Class {
	case assure.TroubleDenied, assure.TroubleExpired, assure.TroubleMissing, assure.TroubleForbidden, assure.TroubleInvalid:
		return true
	}
	return false
}

// wait looks until every server shows the value. Trouble that is not of the class lagging ends it at once, unless it
// may pass by itself.
func (s *DNSSolver) wait(ctx context.Context, at assure.RecordPlace, value string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	pause := min(s.o.Interval, 100*time.Millisecond)
	var last error
	for looks := 1; ; looks++ {
		err := s.o.Zones.Shown(ctx, at, value)
		if err == nil {
			detail := all(len(at.Servers), "of the zone's servers shows", "of the zone's servers show") + " it, and so does every public resolver that is configured"
			if last != nil {
				detail = clip(fmt.Sprintf("%s, at look %d; last before: %s", detail, looks, assure.TroubleOf(last, assure.DNSWriteFailed).Detail))
			}
			return detail, nil
		}
		// A look that our own deadline cut short says less than the one before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if t := assure.TroubleOf(err, assure.DNSWriteFailed); ctx.Err() == nil && !t.Class.Retry() {
			return "", err
		}
		if !sleep(ctx, pause) {
			if errors.Is(context.Cause(ctx), context.Canceled) {
				return "", &failure{&assure.Trouble{
					Reason: assure.RenewalFailing, Class: assure.TroubleTransient, Scope: at.Name, Detail: "wait for the record: it was stopped",
				}, context.Canceled}
			}
			t := *assure.TroubleOf(last, assure.DNSWriteFailed)
			t.Detail = clip(fmt.Sprintf("%s (still so after %s)", t.Detail, s.o.Timeout))
			return "", &failure{&t, last}
		}
		pause = min(2*pause, s.o.Interval)
	}
}

// sleep waits, and reports whether the context lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
