package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Defaults and bounds of a look.
const (
	DefaultTimeout        = 10 * time.Second // one connection, from connect to the end of the handshake
	DefaultTargetTimeout  = 30 * time.Second // all connections of one look, with name resolution
	DefaultConnections    = 512              // sockets open at once
	DefaultOtherAlgorithm = 4
	DefaultHybridEvery    = 10

	// analysisTime is what chain analysis may take after the last handshake, for fetching what is not cached. It has a
	// budget of its own: one slow address must not make the revocation of another address's certificate unknown.
	analysisTime = 15 * time.Second
)

// ChainAnalyser says what is known of a presented chain. [Analyser] is the real one.
type ChainAnalyser interface {
	// Analyse never fails. der is the list as served, leaf first, of which extra more were dropped. host is the target's
	// ASCII name or IP address, peer the address that served the list, staple the OCSP response that came with it.
	Analyse(ctx context.Context, host string, peer netip.Addr, der [][]byte, extra int, staple []byte) (assure.Chain, []assure.Cert)
}

// Options configures a [Prober]. The zero value of each field has a meaning.
type Options struct {
	// Analyser is asked about every distinct chain; nil means NewAnalyser(AnalyserOptions{}).
	Analyser ChainAnalyser
	// Resolver turns names into addresses; nil means NewResolver(ResolverOptions{}).
	Resolver *Resolver
	// Timeout bounds one connection; zero means DefaultTimeout.
	Timeout time.Duration
	// TargetTimeout bounds all connections of one look; zero means DefaultTargetTimeout.
	TargetTimeout time.Duration
	// Connections is how many sockets may be open at once over all looks; zero means DefaultConnections. Look waits for
	// a free one within its own time.
	Connections int
	// ClientCertificates gives the certificate to show to a server that asks for one, nil for none. It is called once
	// for each look, from the goroutine of Look; it may be nil.
	ClientCertificates func(t assure.Target) *tls.Certificate
	// WithoutSNI adds a handshake without a server name at each address of a named target.
	WithoutSNI bool
	// OtherAlgorithm N lets one look in N at an address shake hands a second time, accepting only the kind of
	// certificate (ECDSA or RSA) that the first did not show. The first look always does, and an address that has both
	// is asked for both each time. Zero means DefaultOtherAlgorithm, below zero never.
	OtherAlgorithm int
	// HybridEvery N lets one look in N offer the post-quantum key share X25519MLKEM768 first, as browsers do. Zero means
	// DefaultHybridEvery, one means always, below zero never.
	HybridEvery int
}

// Prober looks at endpoints. It is safe for concurrent use.
type Prober struct {
	Options
	slots  chan struct{}
	memory *memory
}

// New makes a prober.
func New(o Options) *Prober {
	if o.Analyser == nil {
		o.Analyser = NewAnalyser(AnalyserOptions{})
	}
	if o.Resolver == nil {
		o.Resolver = NewResolver(ResolverOptions{})
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.TargetTimeout <= 0 {
		o.TargetTimeout = DefaultTargetTimeout
	}
	if o.Connections <= 0 {
		o.Connections = DefaultConnections
	}
	if o.OtherAlgorithm == 0 {
		o.OtherAlgorithm = DefaultOtherAlgorithm
	}
	if o.HybridEvery == 0 {
		o.HybridEvery = DefaultHybridEvery
	}
	return &Prober{Options: o, slots: make(chan struct{}, o.Connections), memory: newMemory(o.OtherAlgorithm, o.HybridEvery)}
}

// errand is what all handshakes of one look have in common.
type errand struct {
	target assure.Target
	name   string // canonical target, for the memory
	host   string // ASCII name or IP address
	sni    string // empty for an IP address
	cert   *tls.Certificate
	whole  context.Context // the caller's, without the look's own deadline
	end    time.Time       // when the last connection must be over
}

// Look looks once at every address of the target and never fails: what could not be seen is said in the result. It
// returns within Options.TargetTimeout and the time for analysis, or shortly after ctx ends; handshakes cut short by
// the end of ctx are [assure.LocalFailure], because the endpoint has no part in that.
func (p *Prober) Look(ctx context.Context, t assure.Target) assure.Served {
	// One timer for all: connections end by the deadlines of their sockets, so it only has to stop what comes after them.
	end := time.Now().Add(p.TargetTimeout)
	limited, cancel := context.WithDeadline(ctx, end.Add(analysisTime))
	defer cancel()
	place := p.Resolver.Find(limited, t)
	if len(place.Addrs) == 0 {
		return assure.Served{DNS: place.DNS}
	}
	e := &errand{target: t, name: t.String(), host: place.Host, whole: ctx, end: end}
	if !t.IsIP() {
		e.sni = place.Host
	}
	if p.ClientCertificates != nil {
		e.cert = p.ClientCertificates(t)
	}
	seen := p.visitAll(limited, e, place.Addrs)
	return p.assemble(limited, e.host, place.DNS, seen)
}

// visitAll visits the addresses in parallel and returns what was seen in their order.
func (p *Prober) visitAll(ctx context.Context, e *errand, addrs []netip.Addr) []glimpse {
	if len(addrs) == 1 {
		return p.visit(ctx, e, addrs[0])
	}
	all := make([][]glimpse, len(addrs))
	var wg sync.WaitGroup
	for i, a := range addrs {
		wg.Go(func() { all[i] = p.visit(ctx, e, a) })
	}
	wg.Wait()
	var out []glimpse
	for _, g := range all {
		out = append(out, g...)
	}
	return out
}

// visit makes all the handshakes with one address.
func (p *Prober) visit(ctx context.Context, e *errand, ip netip.Addr) []glimpse {
	at := netip.AddrPortFrom(ip, e.target.Port)
	k := p.memory.key(e.name, at)
	plan := p.memory.plan(k)
	first, hybridBad := p.standard(ctx, e, at, plan)
	p.memory.hybrid(k, hybridBad)
	out := []glimpse{first}
	if first.der == nil {
		// Nothing was shown, so there is nothing to compare another handshake with.
		return out
	}
	if plan.other && first.leafKind != "" && e.target.Scheme != "h3" {
		other := kindRSA
		if first.leafKind == kindRSA {
			other = kindECDSA
		}
		g := p.other(ctx, e, at, first, other)
		// That a server has no certificate of the other kind is how most servers are, and no fact worth a line. It is one
		// where the other kind was there before and something else than its absence keeps it from being seen.
		switch {
		case g.der != nil:
			p.memory.other(k, true)
			out = append(out, g)
		case plan.both && g.Failure != assure.Alert && g.Failure != assure.Malformed:
			out = append(out, g)
		default:
			p.memory.other(k, false)
		}
	}
	if p.WithoutSNI && e.sni != "" {
		out = append(out, p.closely(ctx, e, at, manner{noSNI: true}))
	}
	return out
}

// closely is shake, once more with an ear to the wire when crypto/tls found something broken in a TLS 1.3 handshake: what
// it found is often the very certificate that people must hear about.
func (p *Prober) closely(ctx context.Context, e *errand, at netip.AddrPort, m manner) glimpse {
	g := p.shake(ctx, e, at, m)
	if g.der == nil && g.TLS == "1.3" && (g.Failure == assure.Malformed || g.Failure == assure.TooLarge) && e.target.Scheme != "h3" {
		m.listen = true
		return p.shake(ctx, e, at, m)
	}
	return g
}

// standard is the handshake that any certificate satisfies. hybridBad tells that the server breaks on the
// post-quantum key share, and only on that: then the glimpse has the chain that the server shows without it, and the
// failure that clients which offer it meet. One coincidence is not enough for that, a second one in a row is.
func (p *Prober) standard(ctx context.Context, e *errand, at netip.AddrPort, plan plan) (g glimpse, hybridBad bool) {
	g = p.closely(ctx, e, at, manner{hybrid: plan.hybrid})
	if !plan.hybrid || g.At != assure.AtHandshake || g.der != nil {
		return g, false
	}
	without := p.closely(ctx, e, at, manner{})
	if without.Failure != assure.OK {
		return without, false
	}
	if !plan.hybridBad {
		again := p.shake(ctx, e, at, manner{hybrid: true})
		if again.At != assure.AtHandshake || again.der != nil {
			return again, false
		}
		g = again
	}
	without.Failure, without.At = g.Failure, g.At
	without.Detail = fmt.Sprintf("The handshake fails when the post-quantum key share X25519MLKEM768 is offered, as browsers do (%s), and completes without it.", g.Detail)
	return without, true
}
