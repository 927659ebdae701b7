package probe

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/notafter/notafter/internal/assure"
)

// Kinds of certificates by their key, as [assure.Sighting] names what was offered. Ed25519 counts as ecdsa: in TLS 1.2
// it takes the same cipher suites (RFC 8422 section 5.10).
const (
	kindECDSA = "ecdsa"
	kindRSA   = "rsa"
)

// glimpse is one handshake before analysis.
type glimpse struct {
	assure.Sighting
	peer     netip.Addr
	der      [][]byte // as presented, leaf first, at most keptCerts
	extra    int
	staple   []byte
	leafKind string // kindECDSA or kindRSA; empty when no leaf was seen or its key is neither
	alert    string // the alert that ended the handshake, as tls.AlertError writes it; empty for any other end
}

// fail records how the handshake ended.
func (g *glimpse) fail(f assure.Failure, at, detail string) {
	g.Failure, g.At, g.Detail = f, at, clipDetail(detail)
}

// faced is a distinct presented chain with where it was seen first.
type faced struct {
	peer   netip.Addr
	der    [][]byte
	extra  int
	staple []byte
	chain  assure.Chain
	certs  []assure.Cert
	broken string // what the analyser panicked with
}

// assemble has each distinct chain analysed once and puts everything in its order.
func (p *Prober) assemble(ctx context.Context, host string, d assure.DNS, seen []glimpse) assure.Served {
	out := assure.Served{DNS: d, Sightings: make([]assure.Sighting, 0, len(seen))}
	var chains []*faced
	for i := range seen {
		g := &seen[i]
		g.Chain = -1
		if len(g.der) > 0 {
			n := slices.IndexFunc(chains, func(f *faced) bool {
				return f.extra == g.extra && slices.EqualFunc(f.der, g.der, bytes.Equal)
			})
			if n < 0 {
				n = len(chains)
				chains = append(chains, &faced{peer: g.peer, der: g.der, extra: g.extra})
			}
			if chains[n].staple == nil {
				chains[n].staple = g.staple
			}
			g.Chain = n
		}
	}
	p.analyseAll(ctx, host, chains)
	known := map[string]bool{}
	for _, f := range chains {
		out.Chains = append(out.Chains, f.chain)
		for _, c := range f.certs {
			if !known[c.Fingerprint] {
				known[c.Fingerprint] = true
				out.Certs = append(out.Certs, c)
			}
		}
	}
	for i := range seen {
		g := &seen[i]
		if g.Chain >= 0 && chains[g.Chain].broken != "" {
			g.fail(assure.Panicked, assure.AtHandshake, chains[g.Chain].broken)
		}
		out.Sightings = append(out.Sightings, g.Sighting)
	}
	return out
}

func (p *Prober) analyseAll(ctx context.Context, host string, chains []*faced) {
	if len(chains) == 0 {
		return
	}
	if len(chains) == 1 {
		p.analyse(ctx, host, chains[0])
		return
	}
	var wg sync.WaitGroup
	for _, f := range chains {
		wg.Go(func() { p.analyse(ctx, host, f) })
	}
	wg.Wait()
}

func (p *Prober) analyse(ctx context.Context, host string, f *faced) {
	defer func() {
		if r := recover(); r != nil {
			f.broken = fmt.Sprintf("the analysis of the certificates panicked: %v", r)
			f.certs = nil
			f.chain = assure.Chain{Extra: f.extra, Unparsed: "a parser of notafter panicked on it"}
			for _, der := range f.der {
				f.chain.Certs = append(f.chain.Certs, fingerprintOf(der))
			}
		}
	}()
	f.chain, f.certs = p.Analyser.Analyse(ctx, host, f.peer, f.der, f.extra, f.staple)
}
