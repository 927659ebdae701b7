package lab

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// FaultyOptions configures the truth table. The zero value of each field has a meaning.
type FaultyOptions struct {
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// Pace is the pause after each byte of slow servers; zero means a second. Each sends fifty bytes or more before TLS is
	// over, so that a look that waits less than fifty paces must give up.
	Pace time.Duration
}

// Entry is one line of the truth table.
type Entry struct {
	Name   string // what is the matter, as a sentence
	Target string // in the form of a target
	// Reasons are exactly those that concern somebody, in the order of the documentation; empty when nothing is wrong.
	Reasons []assure.Reason
	// Remarks are exactly those of severity info.
	Remarks []assure.Reason
	Verdict assure.Verdict
	// Severity is that of the worst finding.
	Severity assure.Severity
	// Public: the entry is about a certificate that the public trusts. No lab can have one, so whoever judges sets
	// [assure.Chain.PublicTrust] in what was seen.
	Public bool
	// Issued is a certificate known to have been issued for the endpoint; nil when none is known.
	Issued *assure.Cert
	// Slow: the look at it ends by running out of time.
	Slow bool
}

// Table is the truth table with everything that runs behind it.
type Table struct {
	Entries []Entry
	CA      *CA
	DNS     *DNS
	// Roots is what has to be trusted, in PEM form: the CA's root and an old one that cross-signed it.
	Roots []byte

	stops []func()
}

// Domain is the domain of all names in the lab. The top-level domain test leads nowhere else (RFC 6761).
const Domain = "lab.test"

// IPv6 reports whether this machine has the address ::1. Entries that need it are left out of the table otherwise.
func IPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

// Faulty starts the truth table: services of which each is wrong in one known way, and some that are not. It must be
// judged as of the time at which it was started. It stops when ctx is done or Stop is called.
func Faulty(ctx context.Context, o FaultyOptions) (*Table, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Pace <= 0 {
		o.Pace = time.Second
	}
	t := &Table{}
	ca, err := NewCA(CAOptions{Now: o.Now})
	if err != nil {
		return nil, fmt.Errorf("start the truth table: %w", err)
	}
	t.CA, t.stops = ca, append(t.stops, ca.Stop)
	t.DNS, err = StartDNS(DNSOptions{Slow: 300 * time.Millisecond})
	if err != nil {
		t.Stop()
		return nil, fmt.Errorf("start the truth table: %w", err)
	}
	t.stops = append(t.stops, t.DNS.Stop)
	b := &builder{Table: t, now: o.Now(), pace: o.Pace, v6: IPv6()}
	b.try(t.DNS.AddZone(Domain))
	old := b.authority(nil, AuthorityOptions{Name: "Old Root", NotBefore: b.day(-3000), NotAfter: b.day(1000)})
	if b.err == nil {
		t.Roots = append(ca.RootPEM(), old.PEM()...)
		b.times()
		b.trust()
		b.crossSigned(old)
		b.weakness()
		b.names()
		b.revocation()
		b.addresses()
		b.versions()
		b.upgrades()
		b.hostile()
		b.resolution()
	}
	if b.err != nil {
		t.Stop()
		return nil, fmt.Errorf("start the truth table: %w", b.err)
	}
	if done := ctx.Done(); done != nil {
		stop := context.AfterFunc(ctx, t.Stop)
		t.stops = append(t.stops, func() { stop() })
	}
	return t, nil
}

// Stop ends everything behind the table.
func (t *Table) Stop() {
	for _, stop := range slices.Backward(t.stops) {
		stop()
	}
}

// builder fills a table. After the first error it does nothing more.
type builder struct {
	*Table
	now  time.Time
	pace time.Duration
	v6   bool
	n    int
	err  error
}

func (b *builder) try(err error) {
	if b.err == nil {
		b.err = err
	}
}

// day is n days from now.
func (b *builder) day(n float64) time.Time {
	return b.now.Add(time.Duration(n * 24 * float64(time.Hour)))
}

// host makes a name that nothing else uses.
func (b *builder) host() string {
	b.n++
	return fmt.Sprintf("t%03d.%s", b.n, Domain)
}

func (b *builder) authority(parent *Authority, o AuthorityOptions) *Authority {
	if b.err != nil {
		return nil
	}
	a, err := b.CA.NewAuthority(parent, o)
	b.try(err)
	return a
}

// leaf issues a certificate of 90 days that is ten days old, unless o says otherwise.
func (b *builder) leaf(by *Authority, o LeafOptions) *Leaf {
	if b.err != nil {
		return nil
	}
	if o.NotBefore.IsZero() {
		o.NotBefore = b.day(-10)
	}
	if o.NotAfter.IsZero() {
		o.NotAfter = o.NotBefore.Add(90 * 24 * time.Hour)
	}
	l, err := b.CA.issue(by, o)
	b.try(err)
	return l
}

// good is a certificate for a name with which nothing is wrong.
func (b *builder) good(names ...string) *Leaf { return b.leaf(b.CA.Issuing, LeafOptions{Names: names}) }

// serve starts a service and returns it; nil after an error.
func (b *builder) serve(o ServiceOptions) *Service {
	if b.err != nil {
		return nil
	}
	if o.Pace == 0 {
		o.Pace = b.pace
	}
	s, err := StartService(o)
	b.try(err)
	if err == nil {
		b.stops = append(b.stops, s.Stop)
	}
	return s
}

// point makes a name lead to addresses.
func (b *builder) point(host string, ips ...string) {
	if b.err == nil {
		b.try(b.DNS.SetAddresses(host, ips...))
	}
}

// add files an entry whose verdict and severity follow from its reasons, and returns it for what they do not tell.
func (b *builder) add(name, target string, reasons ...assure.Reason) *Entry {
	e := Entry{Name: name, Target: target, Reasons: reasons, Verdict: assure.Upheld, Severity: assure.Info}
	for _, r := range reasons {
		v, s := meaning(r)
		if v.Worse(e.Verdict) {
			e.Verdict = v
		}
		if s.Worse(e.Severity) {
			e.Severity = s
		}
	}
	b.Entries = append(b.Entries, e)
	return &b.Entries[len(b.Entries)-1]
}

// meaning is what a reason alone makes of an endpoint about which nothing was known before.
func meaning(r assure.Reason) (assure.Verdict, assure.Severity) {
	switch r {
	case assure.Unreachable, assure.RevocationUnclear, assure.DNSFailed:
		return assure.Unknown, assure.Ticket
	case assure.NoAddress, assure.WeakKey, assure.LifetimeTooLong, assure.ServedStale, assure.ServedDiffers, assure.Expiring, assure.ChainExpiring:
		return assure.Broken, assure.Ticket
	default:
		return assure.Broken, assure.Page
	}
}

// case1 is the ordinary entry: one service at 127.0.0.1 under a name of its own. Leaves are made for that name.
func (b *builder) case1(name string, leaves func(host string) []*Leaf, o ServiceOptions, reasons ...assure.Reason) *Entry {
	host := b.host()
	if leaves != nil && b.err == nil {
		o.Leaves = leaves(host)
	}
	s := b.serve(o)
	b.point(host, "127.0.0.1")
	if b.err != nil {
		return &Entry{}
	}
	return b.add(name, s.Target(host), reasons...)
}

// issued makes the leaves of case1 from options without names.
func (b *builder) issued(o LeafOptions) func(string) []*Leaf {
	return func(host string) []*Leaf {
		named := o
		if named.Names == nil {
			named.Names = []string{host}
		}
		return []*Leaf{b.leaf(b.CA.Issuing, named)}
	}
}

func (b *builder) goodLeaf(host string) []*Leaf { return []*Leaf{b.good(host)} }
