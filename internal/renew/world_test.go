package renew

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

// trip decides how a call of a fake ends: nil lets it be; an error fails it, after it happened when happened is true.
type trip func(op string) (err error, happened bool) //nolint:revive // the error is what is asked for

// tripOn fails the n-th call of op, counted from 1.
func tripOn(op string, n int, happened bool) trip {
	return func(o string) (error, bool) { //nolint:revive // as above
		if o != op {
			return nil, false
		}
		if n--; n != 0 {
			return nil, false
		}
		if happened {
			return &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleTransient, Detail: op + ": the answer was lost", Happened: true}, true
		}
		return &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleTransient, Detail: op + ": it failed"}, false
	}
}

// diary is what happened in a world, in order.
type diary struct {
	mu     sync.Mutex
	events []string
	trip   trip
}

// do notes and performs one operation, or fails it.
func (d *diary) do(op, what string, f func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	happened := true
	if d.trip != nil {
		if err, happened = d.trip(op); err == nil {
			happened = true
		}
	}
	if happened {
		f()
		d.events = append(d.events, op+" "+what)
	}
	return err
}

func (d *diary) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.events)
}

// zone is an authoritative name server on loopback, and the writer and the asker of what it serves. It answers every
// question for an address with 127.0.0.1.
type zone struct {
	*diary
	addr  string
	txt   map[string][]string
	alias map[string]string
	lag   map[string]int // looks at a record that still show nothing
}

func startZone(t testing.TB, d *diary) *zone {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{diary: d, addr: l.Addr().String(), txt: map[string][]string{}, alias: map[string]string{}, lag: map[string]int{}}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(z.answer)}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = s.Shutdown(); <-done })
	return z
}

func (z *zone) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	name := strings.TrimSuffix(strings.ToLower(q.Question[0].Name), ".")
	z.mu.Lock()
	if to, ok := z.alias[name]; ok {
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: to + "."})
		name = to
	}
	values := slices.Clone(z.txt[name])
	z.mu.Unlock()
	switch q.Question[0].Qtype {
	case dns.TypeTXT:
		for _, v := range values {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name + ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{v}})
		}
	case dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: name + ".", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)})
	}
	_ = w.WriteMsg(m)
}

func (z *zone) Present(_ context.Context, name, value string) error {
	return z.do("present", name+" "+value, func() {
		if !slices.Contains(z.txt[name], value) {
			z.txt[name] = append(z.txt[name], value)
		}
	})
}

func (z *zone) Withdraw(ctx context.Context, name, value string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return z.do("withdraw", name+" "+value, func() {
		z.txt[name] = slices.DeleteFunc(z.txt[name], func(v string) bool { return v == value })
		if len(z.txt[name]) == 0 {
			delete(z.txt, name)
		}
	})
}

func (*zone) Who() string { return "tester" }

func (z *zone) Find(_ context.Context, name string) (assure.RecordPlace, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	at := assure.RecordPlace{Name: name, Zone: "example", Servers: []assure.NameServer{{Name: "ns1.example", Address: z.addr}}}
	if to, ok := z.alias[name]; ok {
		at.Name, at.Aliases = to, []string{name}
	}
	return at, nil
}

func (z *zone) Shown(_ context.Context, at assure.RecordPlace, value string) error {
	var shown bool
	if err := z.do("look", at.Name, func() {
		shown = slices.Contains(z.txt[at.Name], value) && z.lag[at.Name] == 0
		if z.lag[at.Name] > 0 {
			z.lag[at.Name]--
		}
	}); err != nil {
		return err
	}
	if !shown {
		return &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleLagging, Scope: z.addr, Detail: "ns2.example (" + z.addr + ") does not show the value yet"}
	}
	return nil
}

func (*zone) Gone(context.Context, assure.RecordPlace, string) error { return nil }
func (*zone) CAA(context.Context, assure.CAAQuestion) error          { return nil }
func (*zone) Delegation(context.Context, string) error               { return nil }

// records are the TXT values that the zone holds, by name.
func (z *zone) records() map[string][]string {
	z.mu.Lock()
	defer z.mu.Unlock()
	out := map[string][]string{}
	for k, v := range z.txt {
		out[k] = slices.Clone(v)
	}
	return out
}

func (z *zone) set(name string, values ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.txt[name] = values
}

// book is a ledger in memory: accounts and the journal.
type book struct {
	*diary
	accounts map[string]assure.ACMEAccount
	pending  map[string]assure.Pending
}

func newBook(d *diary) *book {
	return &book{diary: d, accounts: map[string]assure.ACMEAccount{}, pending: map[string]assure.Pending{}}
}

func (b *book) Account(_ context.Context, id string) (assure.ACMEAccount, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.accounts[id]
	if !ok {
		return a, assure.ErrNotFound
	}
	return a, nil
}

func (b *book) PutAccount(_ context.Context, a assure.ACMEAccount) error {
	var conflict error
	err := b.do("account", a.Location, func() {
		old, ok := b.accounts[a.ID]
		if ok && string(old.Key) != string(a.Key) && string(old.NextKey) != string(a.Key) {
			conflict = assure.ErrConflict
			return
		}
		b.accounts[a.ID] = a
	})
	return errors.Join(conflict, err)
}

func (b *book) only(t testing.TB) assure.ACMEAccount {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.accounts) != 1 {
		t.Fatalf("%d accounts are on record, want 1", len(b.accounts))
	}
	for _, a := range b.accounts {
		return a
	}
	panic("unreachable")
}

func (b *book) PutPending(_ context.Context, p assure.Pending) error {
	return b.do("journal", p.Name+" "+p.Value, func() { b.pending[p.ID] = p })
}

func (b *book) DropPending(_ context.Context, id string) error {
	b.mu.Lock()
	p := b.pending[id]
	b.mu.Unlock()
	return b.do("drop", p.Name+" "+p.Value, func() { delete(b.pending, id) })
}

func (b *book) Abandoned(_ context.Context, now, until time.Time, limit int) ([]assure.Pending, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []assure.Pending
	for id, p := range b.pending {
		if p.Until.Before(now) && len(out) < limit {
			out = append(out, p)
			p.Until = until
			b.pending[id] = p
		}
	}
	return out, nil
}

func (b *book) left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pending)
}

// world is a CA with a zone and a ledger, and our side of it.
type world struct {
	*diary
	t         testing.TB
	zone      *zone
	book      *book
	authority *authority.Authority
	proxy     *authority.Proxy
	sealer    *AgeSealer
	log       *strings.Builder
	logMu     sync.Mutex
}

const testIdentity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"

// newWorld starts everything. The authority validates by the world's zone.
func newWorld(t testing.TB, o authority.Options) *world {
	t.Helper()
	d := &diary{}
	w := &world{diary: d, t: t, zone: startZone(t, d), book: newBook(d), log: &strings.Builder{}}
	o.Resolver = w.zone.addr
	var err error
	if w.authority, err = authority.Start(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.authority.Stop)
	if w.proxy, err = authority.StartProxy(w.authority); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.proxy.Stop)
	if w.sealer, err = NewAgeSealer(testIdentity); err != nil {
		t.Fatal(err)
	}
	return w
}

// Write takes log lines.
func (w *world) Write(p []byte) (int, error) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	return w.log.Write(p)
}

// ca is our side, as a process that has just started: it remembers nothing but the ledger. It speaks to the proxy.
func (w *world) ca(change ...func(*CAOptions)) *CA {
	w.t.Helper()
	o := CAOptions{
		Directory: w.proxy.Directory(), Roots: w.proxy.Pool(), Contact: "ops@example.com", Accounts: w.book, Sealer: w.sealer,
		Logger:       slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})),
		PollInterval: 20 * time.Millisecond, PollTimeout: time.Minute, WithdrawTimeout: time.Minute,
	}
	for _, f := range change {
		f(&o)
	}
	c, err := NewCA(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// dns is a solver for the world's zone.
func (w *world) dns(change ...func(*DNSOptions)) []Solver {
	w.t.Helper()
	o := DNSOptions{DNS: w.zone, Zones: w.zone, Journal: w.book, Renewer: "lab", Purpose: "test", Interval: 10 * time.Millisecond, Timeout: time.Minute}
	for _, f := range change {
		f(&o)
	}
	s, err := NewDNSSolver(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return []Solver{s}
}

// clean fails the test unless zone and journal are empty.
func (w *world) clean() {
	w.t.Helper()
	if r := w.zone.records(); len(r) > 0 {
		w.t.Errorf("left in the zone: %v", r)
	}
	if n := w.book.left(); n > 0 {
		w.t.Errorf("%d entries are left in the journal", n)
	}
}

func (w *world) fail(f trip) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trip = f
}

// steps collects steps.
type steps struct {
	mu  sync.Mutex
	all []assure.Step
}

func (s *steps) add(x assure.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, x)
}

// text is the steps with their outcomes, as "order:done present:done".
func (s *steps) text() string {
	var out []string
	for _, x := range s.all {
		out = append(out, x.Name+":"+string(x.Outcome))
	}
	return strings.Join(out, " ")
}

func (s *steps) find(t testing.TB, name string) assure.Step {
	t.Helper()
	for _, x := range s.all {
		if x.Name == name {
			return x
		}
	}
	t.Fatalf("no step %s in %s", name, s.text())
	return assure.Step{}
}

// wantTrouble checks an error's trouble.
func wantTrouble(t testing.TB, err error, reason assure.Reason, class assure.TroubleClass, words ...string) *assure.Trouble {
	t.Helper()
	var got *assure.Trouble
	if !errors.As(err, &got) {
		t.Fatalf("the error is no trouble: %v", err)
	}
	if got.Reason != reason || got.Class != class {
		t.Fatalf("trouble is %s, %s, want %s, %s: %v", got.Reason, got.Class, reason, class, got)
	}
	text := fmt.Sprintf("%s | %s | %s | %s", got.Error(), got.Detail, got.Remedy, got.Identity)
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("the trouble does not say %q: %s", word, text)
		}
	}
	return got
}

// verify checks that the chain leads to the authority's roots for the name.
func (w *world) verify(got Issued, name string) {
	w.t.Helper()
	ch, err := parseChain(got.ChainPEM)
	if err != nil {
		w.t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(w.authority.Roots())
	between.AppendCertsFromPEM(got.ChainPEM)
	if _, err := ch.leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: between}); err != nil {
		w.t.Errorf("verify for %s: %v", name, err)
	}
}

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
