package probe

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// keptCerts is how many certificates of a presented list are analysed. Clients need three or four; the rest of a longer
// list is counted and otherwise ignored.
const keptCerts = 16

// verdict is what is known of a chain for ever: it depends on the certificates, the host and the trust store only.
// The exception says so in its recheck.
type verdict struct {
	chain assure.Chain // without Revocation
	certs []record     // every distinct certificate, the leaf first
	// recheck is when to analyse again, because something may have become known that would complete the chain. Zero: never.
	recheck time.Time
}

// record is a certificate with where its revocation can be asked.
type record struct {
	cert    assure.Cert
	crls    []string
	ocsp    []string
	trusted bool // it stands on a path to an anchor, so that there are few of its kind
}

func recordOf(c *x509.Certificate) record {
	return record{cert: Describe(c), crls: c.CRLDistributionPoints, ocsp: c.OCSPServer}
}

// Analyse tells what can be said of a presented chain without knowing the time. It never fails: what cannot be parsed
// is said in Chain.Unparsed. The list is as served, leaf first; extra counts certificates that were dropped before.
// The host is the target's host, an ASCII name or an IP address. The peer is the address that the list was served
// from; it decides which addresses may be asked on its certificates' behalf. The certificates returned are all that
// the chain refers to, the leaf first.
//
// It waits for the network only for what is not known yet (a missing intermediate, a revocation list) and at most for
// the patience of the options, less when ctx ends; an answer that comes later serves the next call.
func (a *Analyser) Analyse(ctx context.Context, host string, peer netip.Addr, der [][]byte, extra int, staple []byte) (chain assure.Chain, certs []assure.Cert) {
	if len(der) > keptCerts {
		extra += len(der) - keptCerts
		der = der[:keptCerts]
	}
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("analysing a chain panicked", "host", host, "panic", p)
			chain, certs = unparsedChain(der, extra, fmt.Sprintf("analysing it panicked: %v", p))
		}
	}()
	if len(der) == 0 {
		return assure.Chain{Extra: extra, Unparsed: "no certificate was served"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	key := a.verdicts.key(host, extra, der)
	v, ok := a.verdicts.get(key, a.now())
	if !ok {
		v = a.judgeable(ctx, host, peer, der, extra)
		a.verdicts.put(key, v)
	}
	v.chain.Revocation = a.askRevocation(ctx, &v, peer, der, staple)
	certs = make([]assure.Cert, len(v.certs))
	for i := range v.certs {
		certs[i] = v.certs[i].cert
	}
	return v.chain, certs
}

// unparsedChain is what remains to be said when the leaf cannot be read.
func unparsedChain(der [][]byte, extra int, why string) (assure.Chain, []assure.Cert) {
	chain := assure.Chain{Extra: extra, Unparsed: clipDetail(why)}
	var certs []assure.Cert
	for _, d := range der {
		fp := fingerprintOf(d)
		if !slices.Contains(chain.Certs, fp) {
			certs = append(certs, describeBroken(d))
		}
		chain.Certs = append(chain.Certs, fp)
	}
	return chain, certs
}

// presented is a served list after parsing.
type presented struct {
	leaf   *x509.Certificate
	pool   []*x509.Certificate // distinct, parseable, without the leaf
	order  []string            // fingerprints as served
	broken []assure.Cert       // what could not be parsed, without the leaf
	err    error               // of the first of them
}

func readPresented(der [][]byte) (presented, error) {
	leaf, err := x509.ParseCertificate(der[0])
	if err != nil {
		return presented{}, err
	}
	p := presented{leaf: leaf, order: []string{fingerprintOf(der[0])}}
	for i, d := range der[1:] {
		fp := fingerprintOf(d)
		if slices.Contains(p.order, fp) {
			p.order = append(p.order, fp)
			continue
		}
		p.order = append(p.order, fp)
		c, err := x509.ParseCertificate(d)
		if err != nil {
			if p.err == nil {
				p.err = fmt.Errorf("certificate %d of the list cannot be read: %s", i+2, trimX509(err.Error()))
			}
			p.broken = append(p.broken, describeBroken(d))
			continue
		}
		p.pool = append(p.pool, c)
	}
	return p, nil
}

// judgeable gathers every fact of the chain that does not change with time.
func (a *Analyser) judgeable(ctx context.Context, host string, peer netip.Addr, der [][]byte, extra int) verdict {
	p, err := readPresented(der)
	if err != nil {
		chain, certs := unparsedChain(der, extra, trimX509(err.Error()))
		v := verdict{chain: chain}
		for i, c := range certs {
			if i > 0 {
				if parsed, err := x509.ParseCertificate(der[slices.Index(chain.Certs, c.Fingerprint)]); err == nil {
					c = Describe(parsed)
				}
			}
			v.certs = append(v.certs, record{cert: c})
		}
		return v
	}
	b := newPathBuilder(a.trust, p.pool, a.proven)
	b.build(p.leaf)
	v := verdict{chain: assure.Chain{
		Certs: p.order, Extra: extra,
		NameMatches: p.leaf.VerifyHostname(host) == nil,
		SelfSigned:  b.selfSigned(p.leaf),
		ServerAuth:  forServers(p.leaf),
		IsCA:        p.leaf.BasicConstraintsValid && p.leaf.IsCA,
	}}
	c := &v.chain
	routes, refused := b.accepted(!c.ServerAuth)
	used := routes
	walk := []*x509.Certificate(nil)
	if len(routes) > 0 {
		c.Paths = pathsOf(routes)
		c.WeakSignature = weakSignatureOf(routes[0])
		c.PublicTrust = a.publicly(b, p.leaf, routes)
		a.known.keep(routes)
		a.proven.add(routes)
		if c.PublicTrust && a.lint != nil {
			c.Lint = a.lint.remarks(p.leaf.Raw)
		}
	} else {
		used, walk = a.explain(ctx, &v, b, p, peer, refused)
	}
	c.Unused, c.WeakKey = unusedAndWeak(p, used, walk)
	v.certs = gather(p, used, len(routes) > 0)
	return v
}

// forServers reports whether the leaf may be used by a TLS server: no extended key usage at all, or one that allows it
// (RFC 5280 section 4.2.1.12).
func forServers(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// accepted returns the routes that crypto/x509 confirms, the longest lasting first, and why the first of the others was
// refused. A route over a broken signature counts only when there is none without: no client of today needs it.
func (b *pathBuilder) accepted(anyPurpose bool) (routes []route, refused error) {
	for _, r := range b.routes {
		if err := confirm(r, anyPurpose); err != nil {
			if refused == nil {
				refused = err
			}
			continue
		}
		routes = append(routes, r)
	}
	if slices.ContainsFunc(routes, func(r route) bool { return r.weak < 0 }) {
		routes = slices.DeleteFunc(routes, func(r route) bool { return r.weak >= 0 })
	}
	slices.SortStableFunc(routes, func(x, y route) int {
		_, xEnd, _ := x.window()
		_, yEnd, _ := y.window()
		xs, ys := x.all(), y.all()
		return cmp.Or(yEnd.Compare(xEnd), cmp.Compare(len(xs), len(ys)), slices.CompareFunc(xs, ys, func(m, n *x509.Certificate) int {
			return bytes.Compare(m.Raw, n.Raw)
		}))
	})
	return routes, refused
}

func pathsOf(routes []route) []assure.Path {
	out := make([]assure.Path, len(routes))
	for i, r := range routes {
		from, to, first := r.window()
		out[i] = assure.Path{NotBefore: from, NotAfter: to, LimitedBy: fingerprintOf(first.Raw)}
		for _, c := range r.all() {
			out[i].Certs = append(out[i].Certs, fingerprintOf(c.Raw))
		}
	}
	return out
}

func weakSignatureOf(r route) string {
	if r.weak < 0 {
		return ""
	}
	return signedWeakly(r.certs[r.weak])
}

func signedWeakly(c *x509.Certificate) string {
	return fmt.Sprintf("%s signature on %s", signatureName(c), ownerOf(c))
}

// publicly reports whether the chain leads to a root that Mozilla trusts. The routes answer in the usual case; with a
// store of the user's own the same certificates are asked again.
func (a *Analyser) publicly(b *pathBuilder, leaf *x509.Certificate, routes []route) bool {
	if a.trust.version == a.mozilla.version {
		return true
	}
	for _, r := range routes {
		if _, ok := a.mozilla.unlimited[identity(r.anchor.cert)]; ok && !r.selfAnchored() {
			return true
		}
	}
	m := b.against(a.mozilla)
	m.build(leaf)
	found, _ := m.accepted(true)
	return len(found) > 0
}

// unusedAndWeak lists served certificates that no path needs, and names the first weak key among those that one does.
// Without any path nothing can be called unused, and the walk says which certificates count. A served anchor counts as
// used.
func unusedAndWeak(p presented, used []route, walk []*x509.Certificate) (unused []string, weak string) {
	needed := map[string]bool{}
	if len(used) == 0 {
		for _, c := range walk {
			needed[string(c.Raw)] = true
		}
	}
	for _, r := range used {
		for _, c := range r.all() {
			needed[string(c.Raw)] = true
		}
	}
	weak = weakKey(p.leaf)
	for _, c := range p.pool {
		switch {
		case needed[string(c.Raw)] && weak == "":
			weak = weakKey(c)
		case !needed[string(c.Raw)] && len(used) > 0:
			unused = append(unused, fingerprintOf(c.Raw))
		}
	}
	if len(used) > 0 {
		for _, c := range p.broken {
			unused = append(unused, c.Fingerprint)
		}
	}
	return unused, weak
}

// gather describes every certificate that the chain refers to: the leaf, the others as served, then what only the
// paths name.
func gather(p presented, used []route, trusted bool) []record {
	onPath := map[string]bool{}
	for _, r := range used {
		for _, c := range r.all() {
			onPath[string(c.Raw)] = trusted
		}
	}
	seen := map[string]bool{string(p.leaf.Raw): true}
	out := []record{recordOf(p.leaf)}
	add := func(c *x509.Certificate) {
		if seen[string(c.Raw)] {
			return
		}
		seen[string(c.Raw)] = true
		r := recordOf(c)
		r.trusted = onPath[string(c.Raw)]
		out = append(out, r)
	}
	for _, c := range p.pool {
		add(c)
	}
	for _, c := range p.broken {
		out = append(out, record{cert: c})
	}
	for _, r := range used {
		for _, c := range r.all() {
			add(c)
		}
	}
	return out
}
