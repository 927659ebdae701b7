package dnscheck

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// Bounds of looking.
const (
	maxAliases   = 10 // CNAME records followed from one name
	maxReferrals = 12 // zone cuts passed on the way to one name
	maxHosts     = 20 // name servers of one zone; the root has 13
	maxAddresses = 48 // addresses of the name servers of one zone
	maxZones     = 2000
	clipAt       = 300 // bytes of one text from outside
)

// Options configures a [Checker]. The zero value of each field has a meaning.
type Options struct {
	// Resolvers are recursive resolvers, as ip:port; empty means those of ResolvConf.
	Resolvers []string
	// ResolvConf is the file that names the system's resolvers; empty means /etc/resolv.conf.
	ResolvConf string
	// Public are recursive resolvers to ask, after the authoritative servers, whether a value is shown; as ip:port.
	Public []string
	// Port is that of authoritative servers; zero means 53.
	Port int
	// Timeout is how long one server is waited for, over each transport; zero means 3 s.
	Timeout time.Duration
	// Parallel is how many questions are under way at once; zero means 16.
	Parallel int
	// Family restricts authoritative servers to IPv4 ("ip4") or IPv6 ("ip6"); empty means both. Where no IPv6
	// address of a zone answers, they are passed over as long as IPv4 does.
	Family string
	// Remember is for how long Find and CAA take the servers of a zone, and their addresses, for what they were the last
	// time; what the servers answer is never remembered, and Delegation remembers nothing. Zero means 30 s, negative
	// not at all.
	Remember time.Duration
	// Dial opens connections; nil means the system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Checker asks public DNS. It is safe for concurrent use.
type Checker struct {
	o     Options
	slots chan struct{} // one for each question that may be under way

	mu     sync.Mutex
	behind map[string]newest // by zone
	known  map[string]memory
}

// memory is a zone that was found a moment ago.
type memory struct {
	zone   *zone
	absent bool // see walk.absent
	until  time.Time
}

// newest is a serial and when it was first seen somewhere.
type newest struct {
	serial uint32
	since  time.Time
}

// New makes a checker. It opens nothing yet.
func New(o Options) *Checker {
	if o.Port == 0 {
		o.Port = 53
	}
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.Remember == 0 {
		o.Remember = 30 * time.Second
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Checker{o: o, slots: make(chan struct{}, o.Parallel), behind: map[string]newest{}, known: map[string]memory{}}
}

// resolvers are the recursive resolvers of the moment: the system's may change while we run.
func (c *Checker) resolvers() []string {
	if len(c.o.Resolvers) > 0 {
		return c.o.Resolvers
	}
	var out []string
	if conf, err := dns.ClientConfigFromFile(c.o.ResolvConf); err == nil {
		for _, s := range conf.Servers {
			out = append(out, net.JoinHostPort(s, conf.Port))
		}
	}
	if len(out) == 0 {
		out = []string{"127.0.0.1:53", "[::1]:53"} // as the C library does without a configuration
	}
	return out[:min(len(out), 3)] // MAXNS of resolv.conf(5)
}

// each runs f for every number below n at once and waits; how many questions are really under way is bounded where they
// are asked.
func each(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func trouble(r assure.Reason, class assure.TroubleClass, scope, detail, remedy string) *assure.Trouble {
	return &assure.Trouble{Reason: r, Class: class, Scope: scope, Detail: clip(detail, 4*clipAt), Remedy: remedy}
}

// asError keeps a nil trouble from becoming an error that is not nil.
func asError(t *assure.Trouble) error {
	if t == nil {
		return nil
	}
	return t
}
