package probe

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/idna"

	"github.com/notafter/notafter/internal/assure"
)

// Bounds of name resolution.
const (
	maxAddrs  = 32      // addresses of one name that are looked at
	maxAnswer = 256     // addresses of one family that are kept from an answer
	maxNames  = 1 << 17 // names in the cache

	minTTL      = 5 * time.Second // what a record of a zone with TTL 0 is good for: one look
	maxTTL      = time.Hour
	maxNegative = time.Minute // that there is no such name or address
	failureTTL  = 5 * time.Second
	// staleFor is for how long after it was given an address family's answer stands in for one that did not come, when the
	// other family's did come (in the spirit of RFC 8767, with a shorter time).
	staleFor = 2 * time.Hour
)

// ResolverOptions configures a Resolver. The zero value of each field has a meaning.
type ResolverOptions struct {
	// Servers are recursive name servers as "ip:port", tried in this order; empty means those of ResolvConf.
	Servers []string
	// ResolvConf is the file to take name servers and search domains from; empty means /etc/resolv.conf, "none"
	// that there is none. It is read again when it changes. Search domains come from it even when Servers are given.
	ResolvConf string
	// HostsFile is asked first; empty means /etc/hosts, "none" that there is none. It is read again when it changes.
	HostsFile string
	// Timeout bounds the resolution of one name, with all its servers and aliases; zero means 5 s.
	Timeout time.Duration
	// Now tells the time for the life of cached answers; nil means time.Now.
	Now func() time.Time
}

// Resolver turns names into all their addresses of both families, and tells the failures apart. It is safe for
// concurrent use. Answers are cached for their TTL, but at least 5 s and at most an hour.
type Resolver struct {
	o     ResolverOptions
	hosts *watched[hostsTable]
	conf  *watched[resolvConf]

	mu      sync.Mutex
	cache   map[string]*answer
	flights map[string]*lookup
}

// Place is where a target is to be found.
type Place struct {
	Host  string       // the name as asked for in DNS and TLS (ASCII), or the IP address
	Addrs []netip.Addr // sorted, without duplicates, at most 32
	DNS   assure.DNS
}

// answer is what is known of a name.
type answer struct {
	addrs   []netip.Addr // sorted
	dns     assure.DNS
	expires time.Time
	known   time.Time // when every address in it was last in a server's answer
}

// lookup is one resolution under way; done is closed when the answer is there.
type lookup struct {
	done   chan struct{}
	answer *answer
}

// NewResolver makes a resolver. Files are read when they are first needed.
func NewResolver(o ResolverOptions) *Resolver {
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.HostsFile == "" {
		o.HostsFile = "/etc/hosts"
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Resolver{
		o: o, hosts: newWatched(o.HostsFile, parseHosts), conf: newWatched(o.ResolvConf, parseResolvConf),
		cache: map[string]*answer{}, flights: map[string]*lookup{},
	}
}

// Find says where the target is. A pinned target needs no answer, and neither does an IP address.
func (r *Resolver) Find(ctx context.Context, t assure.Target) Place {
	if t.IsIP() {
		ip := netip.MustParseAddr(t.Host)
		if t.Pin.IsValid() {
			return Place{Host: t.Host, Addrs: []netip.Addr{t.Pin}, DNS: assure.DNS{Source: "pin"}}
		}
		return Place{Host: t.Host, Addrs: []netip.Addr{ip}, DNS: assure.DNS{Source: "literal"}}
	}
	host, err := asciiName(t.Host)
	if err != nil {
		return Place{DNS: assure.DNS{Failure: assure.DNSInvalid, Detail: clipDetail(err.Error())}}
	}
	if t.Pin.IsValid() {
		return Place{Host: host, Addrs: []netip.Addr{t.Pin}, DNS: assure.DNS{Source: "pin"}}
	}
	a := r.resolve(ctx, host)
	p := Place{Host: host, Addrs: a.addrs, DNS: a.dns}
	if len(p.Addrs) > maxAddrs {
		p.DNS.Detail = strings.TrimSpace(fmt.Sprintf("%s The name has %d addresses; %d of them are looked at.", p.DNS.Detail, len(p.Addrs), maxAddrs))
		p.Addrs = share(p.Addrs, maxAddrs)
	}
	return p
}

// Lookup returns a host's addresses for other purposes than looking, such as fetching a revocation list. The error
// says how the resolution failed.
func (r *Resolver) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	name, err := asciiName(strings.ToLower(strings.TrimSuffix(host, ".")))
	if err != nil {
		return nil, fmt.Errorf("look up %q: %w", clipDetail(host), err)
	}
	a := r.resolve(ctx, name)
	if len(a.addrs) == 0 {
		why := string(a.dns.Failure)
		if a.dns.Detail != "" {
			why += ": " + a.dns.Detail
		}
		return nil, fmt.Errorf("look up %s: %s", clipDetail(name), why)
	}
	return a.addrs[:min(len(a.addrs), maxAddrs)], nil
}

// asciiName maps an internationalised name to the form that DNS, TLS and certificates hold (RFC 5891, the lookup
// profile). A name in ASCII is taken as it is: real zones have underscores, which the profile refuses.
func asciiName(host string) (string, error) {
	name := host
	if strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }) {
		mapped, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", fmt.Errorf("the name is not a valid internationalised domain name: %w", err)
		}
		name = mapped
	}
	if name == "" || len(name) > 253 {
		return "", fmt.Errorf("the name is %d bytes long; DNS has 1 to 253", len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "", fmt.Errorf("the name has a label of %d bytes; DNS has 1 to 63", len(label))
		}
	}
	return name, nil
}

// share picks n of the sorted addresses so that no family crowds out the other, always the same ones.
func share(addrs []netip.Addr, n int) []netip.Addr {
	v4, v6 := byFamily(addrs)
	n6 := min(len(v6), max(n/2, n-len(v4)))
	n4 := min(len(v4), n-n6)
	return slices.Concat(v4[:n4], v6[:n6])
}

// byFamily splits sorted addresses, of which IPv4 comes first.
func byFamily(addrs []netip.Addr) (v4, v6 []netip.Addr) {
	split := slices.IndexFunc(addrs, netip.Addr.Is6)
	if split < 0 {
		split = len(addrs)
	}
	return addrs[:split], addrs[split:]
}

func (r *Resolver) resolve(ctx context.Context, name string) *answer {
	if a, ok := r.fromHosts(name); ok {
		return a
	}
	now := r.o.Now()
	r.mu.Lock()
	if a, ok := r.cache[name]; ok && now.Before(a.expires) {
		r.mu.Unlock()
		return a
	}
	l, ok := r.flights[name]
	if !ok {
		l = &lookup{done: make(chan struct{})}
		r.flights[name] = l
		old := r.cache[name]
		// Whoever asks first may give up first; the others still want the answer. So the resolution has a life of its own.
		go r.fly(context.WithoutCancel(ctx), name, l, old)
	}
	r.mu.Unlock()
	select {
	case <-l.done:
		return l.answer
	case <-ctx.Done():
		return &answer{dns: assure.DNS{Failure: assure.DNSTimeout, Detail: "the look ended before a name server answered", Source: "dns"}}
	}
}

// fly resolves a name and hands the answer to all that wait for it.
func (r *Resolver) fly(ctx context.Context, name string, l *lookup, old *answer) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	a := &answer{dns: assure.DNS{Failure: assure.DNSInvalid, Source: "dns"}}
	var ttl time.Duration
	defer func() {
		if p := recover(); p != nil {
			a.dns.Detail, ttl = clipDetail(fmt.Sprintf("reading the answer panicked: %v", p)), failureTTL
		}
		now := r.o.Now()
		a.expires = now.Add(ttl)
		l.answer = a
		r.mu.Lock()
		r.keep(name, a, now)
		delete(r.flights, name)
		r.mu.Unlock()
		close(l.done)
	}()
	a, ttl = r.ask(ctx, name, old)
}

// keep puts an answer into the cache and keeps the cache within its bound. r.mu is held.
func (r *Resolver) keep(name string, a *answer, now time.Time) {
	if _, ok := r.cache[name]; !ok && len(r.cache) >= maxNames {
		// A tenth of the places are made free at once, so that the walk is rare: what is long expired first, then anything.
		goal := maxNames - maxNames/10
		for k, v := range r.cache {
			if now.After(v.expires.Add(staleFor)) {
				delete(r.cache, k)
			}
		}
		for k := range r.cache {
			if len(r.cache) <= goal {
				break
			}
			delete(r.cache, k)
		}
	}
	r.cache[name] = a
}

func sortAddrs(list []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(list))
	for _, ip := range list {
		out = append(out, ip.Unmap().WithZone(""))
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
