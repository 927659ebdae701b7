package probe

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Completing a chain: how often, and for how long the outcome holds.
const (
	// completionRounds bounds how many missing certificates in a row are looked for.
	completionRounds = 3
	// recheckIncomplete is after how long a chain that could not be completed is looked at again: another endpoint may
	// have served the missing intermediate meanwhile.
	recheckIncomplete = time.Hour
	// recheckUnfetched is the same where an address that a certificate names did not answer.
	recheckUnfetched = 5 * time.Minute
)

// explain says why a chain has no path, and looks for the certificates that would have completed it: among the
// intermediates that other endpoints served, then at the addresses that the certificates name (caIssuers, RFC 5280
// section 4.2.2.1). It returns the completed routes, and the certificates on the way to where building stopped.
func (a *Analyser) explain(ctx context.Context, v *verdict, b *pathBuilder, p presented, peer netip.Addr, refused error) (completed []route, walk []*x509.Certificate) {
	c := &v.chain
	end := deepest(b.ends, p.leaf)
	switch {
	case refused != nil:
		c.PathError = clipDetail(refused.Error())
	case end.err != nil:
		c.PathError = clipDetail(end.err.Error())
	case b.spent:
		c.PathError = "the list is too tangled to find a path within bounds"
	case p.err != nil:
		c.PathError = clipDetail(p.err.Error())
	}
	if refused != nil {
		walk = b.routes[0].certs
		c.WeakSignature = weakSignatureOf(b.routes[0])
		if !errors.Is(refused, errNeverTogether) {
			return nil, walk // nothing that could be added mends that
		}
		// An old certificate of the right authority, from a chain file that nobody renewed with the leaf.
		if routes, _ := a.complete(ctx, b, p, deadEnd{certs: walk[:1]}, peer, !c.ServerAuth); len(routes) > 0 {
			c.MissingIssuer, c.Completed = plain(p.leaf.Issuer.String()), pathsOf(routes)
			return routes, walk
		}
		v.recheck = a.now().Add(recheckIncomplete)
		return nil, walk
	}
	c.WeakSignature = weakUntil(end)
	c.UntrustedRoot = end.selfSigned
	c.MissingIssuer = plain(end.last().Issuer.String())
	if end.selfSigned || c.MissingIssuer == "" {
		return nil, end.certs
	}
	routes, answered := a.complete(ctx, b, p, end, peer, !c.ServerAuth)
	if len(routes) > 0 {
		c.Completed = pathsOf(routes)
		return routes, end.certs
	}
	v.recheck = a.now().Add(recheckUnfetched)
	if answered {
		v.recheck = a.now().Add(recheckIncomplete)
	}
	return nil, end.certs
}

// deepest chooses the dead end that got furthest; of several the first found, so that the answer is always the same.
func deepest(ends []deadEnd, leaf *x509.Certificate) deadEnd {
	best := deadEnd{certs: []*x509.Certificate{leaf}}
	for i, e := range ends {
		if i == 0 || len(e.certs) > len(best.certs) {
			best = e
		}
	}
	return best
}

// weakUntil names the first broken signature on the way to a dead end. What a certificate signed for itself nobody
// relies on.
func weakUntil(end deadEnd) string {
	for i, c := range end.certs {
		if i == len(end.certs)-1 && end.selfSigned {
			break
		}
		if brokenAlgorithm(c.SignatureAlgorithm) {
			return signedWeakly(c)
		}
	}
	return ""
}

// complete tries to get from the dead end to an anchor. Answered is false when an address that could have helped did
// not answer.
func (a *Analyser) complete(ctx context.Context, b *pathBuilder, p presented, end deadEnd, peer netip.Addr, anyPurpose bool) (routes []route, answered bool) {
	served := slices.Clone(p.pool)
	for _, source := range []func(*x509.Certificate) ([]*x509.Certificate, bool){
		func(c *x509.Certificate) ([]*x509.Certificate, bool) { return a.known.issuers(c), true },
		func(c *x509.Certificate) ([]*x509.Certificate, bool) { return a.fetchIssuers(ctx, c, peer) },
	} {
		b.pool, answered = slices.Clone(served), true
		at := end
		for range completionRounds {
			more, ok := source(at.last())
			answered = answered && ok
			if !appendNew(&b.pool, more) {
				break
			}
			b.build(p.leaf)
			if routes, _ := b.accepted(anyPurpose); len(routes) > 0 {
				a.known.keep(routes)
				return routes, true
			}
			at = deepest(b.ends, p.leaf)
			if at.selfSigned {
				break
			}
		}
	}
	return nil, answered
}

func appendNew(pool *[]*x509.Certificate, more []*x509.Certificate) (grew bool) {
	for _, c := range more {
		if !slices.ContainsFunc(*pool, func(have *x509.Certificate) bool { return bytes.Equal(have.Raw, c.Raw) }) {
			*pool, grew = append(*pool, c), true
		}
	}
	return grew
}
