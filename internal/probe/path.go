package probe

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/md5" //nolint:gosec // G501: only to tell a weak signature from a wrong one
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // G505: only to tell a weak signature from a wrong one
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of path building. Real chains need three or four certificates, a handful of signature checks and one or two
// paths; whoever sends more gets a bounded share of our time.
const (
	maxPathDepth       = 10  // certificates in a path, the anchor included
	maxPaths           = 32  // paths kept
	maxSignatureChecks = 128 // public key operations for one chain; those with large RSA keys count for more
	maxPathSteps       = 2048
	maxRSABits         = 16384 // a larger modulus costs seconds and is in no certificate anybody uses
)

// route is a candidate path: leaf first, then issuers, and the anchor that the last one was signed by. For a leaf that
// is itself an anchor, certs holds the leaf alone and anchor is that leaf.
type route struct {
	certs  []*x509.Certificate // without the anchor, unless the leaf is the anchor
	anchor *anchor
	weak   int // position of the first certificate signed with a broken algorithm, -1 when there is none
}

// all returns the certificates of the path, the anchor last.
func (r route) all() []*x509.Certificate {
	if r.selfAnchored() {
		return r.certs
	}
	return append(slices.Clone(r.certs), r.anchor.cert)
}

func (r route) selfAnchored() bool {
	return len(r.certs) == 1 && bytes.Equal(r.certs[0].Raw, r.anchor.cert.Raw)
}

// window is when all certificates but the anchor are valid, both ends included, and which of them ends first.
func (r route) window() (from, to time.Time, first *x509.Certificate) {
	for i, c := range r.certs {
		if i == 0 || c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if i == 0 || c.NotAfter.Before(to) {
			to, first = c.NotAfter, c
		}
	}
	return from.UTC(), to.UTC(), first
}

// deadEnd is where building stopped without reaching an anchor.
type deadEnd struct {
	certs      []*x509.Certificate
	selfSigned bool  // the last certificate is signed by its own key
	err        error // why a known issuer did not do; nil when there was none
}

func (d deadEnd) last() *x509.Certificate { return d.certs[len(d.certs)-1] }

// pathBuilder finds every path from a leaf to the anchors of a store. One builder serves one chain; it remembers each
// signature check, so that looking again with more intermediates costs only the new ones.
type pathBuilder struct {
	trust    *TrustStore
	pool     []*x509.Certificate
	verified map[signatureKey]error
	proven   *provenEdges // signatures between authorities that other chains needed too; nil for none
	checks   int
	steps    int
	spent    bool // a bound was reached: there may be more paths than were found

	routes []route
	ends   []deadEnd
}

type signatureKey struct {
	child *x509.Certificate
	key   string // raw SubjectPublicKeyInfo of the signer
}

func newPathBuilder(trust *TrustStore, pool []*x509.Certificate, proven *provenEdges) *pathBuilder {
	return &pathBuilder{trust: trust, pool: pool, verified: map[signatureKey]error{}, proven: proven}
}

// against is a builder for the same chain and another store. It shares what is known of signatures.
func (b *pathBuilder) against(trust *TrustStore) *pathBuilder {
	return &pathBuilder{trust: trust, pool: b.pool, verified: b.verified, proven: b.proven}
}

// provenEdges remembers good signatures of one authority on another's certificate, because nearly every chain of the
// web ends with the same few. It is safe for concurrent use.
type provenEdges struct {
	seen *clock[[sha256.Size]byte, struct{}]
}

// maxProvenEdges is a few times the number of issuing authorities on the public web.
const maxProvenEdges = 1 << 13

func newProvenEdges() *provenEdges {
	return &provenEdges{newClock[[sha256.Size]byte, struct{}](maxProvenEdges)}
}

func edgeOf(child, parent *x509.Certificate) [sha256.Size]byte {
	h := sha256.New()
	sum := sha256.Sum256(child.Raw)
	_, _ = h.Write(sum[:])
	_, _ = h.Write(parent.RawSubjectPublicKeyInfo)
	return [sha256.Size]byte(h.Sum(nil))
}

func (p *provenEdges) has(child, parent *x509.Certificate) bool {
	if p == nil || !child.IsCA {
		return false
	}
	_, ok := p.seen.get(edgeOf(child, parent))
	return ok
}

// add remembers the edges of routes that lead to an anchor; those of other chains anybody could make up.
func (p *provenEdges) add(routes []route) {
	for _, r := range routes {
		all := r.all()
		for i := 1; i+1 < len(all); i++ {
			if !p.has(all[i], all[i+1]) {
				p.seen.put(edgeOf(all[i], all[i+1]), struct{}{})
			}
		}
	}
}

// build looks for paths from leaf. Earlier results are dropped, remembered signatures are kept.
func (b *pathBuilder) build(leaf *x509.Certificate) {
	b.routes, b.ends, b.steps, b.spent = nil, nil, 0, false
	if a := b.trust.holds(leaf); a != nil {
		b.routes = append(b.routes, route{certs: []*x509.Certificate{leaf}, anchor: a, weak: -1})
	}
	b.extend([]*x509.Certificate{leaf}, -1)
}

func (b *pathBuilder) extend(path []*x509.Certificate, weak int) {
	if len(b.routes) >= maxPaths || b.steps >= maxPathSteps {
		b.spent = true
		return
	}
	b.steps++
	cur := path[len(path)-1]
	if len(path) >= maxPathDepth {
		b.ends = append(b.ends, deadEnd{certs: slices.Clone(path), err: fmt.Errorf("longer than %d certificates", maxPathDepth)})
		return
	}
	var why error
	reached := false
	try := func(parent *x509.Certificate) (ok bool, weakNow int) {
		if inPath(path, parent) {
			return false, 0
		}
		broken, err := b.signedBy(cur, parent)
		if err != nil {
			if why == nil {
				why = fmt.Errorf("%s is not signed by the key of its issuer %s: %w", ownerOf(cur), ownerOf(parent), err)
			}
			return false, 0
		}
		if broken && weak < 0 {
			return true, len(path) - 1
		}
		return true, weak
	}
	for _, a := range b.trust.issuers(cur) {
		ok, w := try(a.cert)
		if !ok {
			continue
		}
		reached = true
		if len(b.routes) >= maxPaths {
			b.spent = true
			return
		}
		b.routes = append(b.routes, route{certs: slices.Clone(path), anchor: a, weak: w})
	}
	for _, c := range b.issuersInPool(cur) {
		if b.trust.holds(c) != nil {
			continue // an anchor ends a path; going on through it can only make the path worse
		}
		ok, w := try(c)
		if !ok {
			continue
		}
		reached = true
		b.extend(append(slices.Clone(path), c), w)
	}
	if !reached {
		end := deadEnd{certs: slices.Clone(path), selfSigned: b.selfSigned(cur), err: why}
		if end.selfSigned {
			end.err = nil // an anchor of the same name with another key is another authority, no broken signature
		}
		b.ends = append(b.ends, end)
	}
}

func (b *pathBuilder) issuersInPool(c *x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, p := range b.pool {
		if bytes.Equal(p.RawSubject, c.RawIssuer) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(x, y *x509.Certificate) int { return keyIDFit(c, x) - keyIDFit(c, y) })
	return out
}

// selfSigned reports whether c is signed with its own key.
func (b *pathBuilder) selfSigned(c *x509.Certificate) bool {
	if !bytes.Equal(c.RawSubject, c.RawIssuer) {
		return false
	}
	_, err := b.signedBy(c, c)
	return err == nil
}

// keyIDFit ranks an issuer by its key identifier: 0 fits, 1 is unknown, 2 differs.
func keyIDFit(child, parent *x509.Certificate) int {
	switch {
	case len(child.AuthorityKeyId) == 0 || len(parent.SubjectKeyId) == 0:
		return 1
	case bytes.Equal(child.AuthorityKeyId, parent.SubjectKeyId):
		return 0
	}
	return 2
}

// inPath keeps a path from visiting one authority twice, by whichever of its certificates: mutual cross-signing would
// loop (RFC 4158 section 5.2).
func inPath(path []*x509.Certificate, c *x509.Certificate) bool {
	for _, p := range path {
		if bytes.Equal(p.RawSubject, c.RawSubject) && bytes.Equal(p.RawSubjectPublicKeyInfo, c.RawSubjectPublicKeyInfo) {
			return true
		}
	}
	return false
}

var errSignatureBudget = errors.New("gave up after too many signature checks")

// signedBy reports whether the parent's key made the child's signature, and whether with a broken algorithm. Each
// question is paid for once; certificates of one key (cross-signs) share the answer.
func (b *pathBuilder) signedBy(child, parent *x509.Certificate) (broken bool, err error) {
	broken = brokenAlgorithm(child.SignatureAlgorithm)
	k := signatureKey{child, string(parent.RawSubjectPublicKeyInfo)}
	if err, ok := b.verified[k]; ok {
		return broken, err
	}
	if b.proven.has(child, parent) {
		b.verified[k] = nil
		return broken, nil
	}
	if b.checks += checkCost(parent); b.checks > maxSignatureChecks {
		b.spent = true
		return broken, errSignatureBudget
	}
	err = checkSignature(child, parent)
	b.verified[k] = err
	return broken, err
}

// checkCost is what a signature check counts for. The time for RSA grows with the square of the key's length.
func checkCost(signer *x509.Certificate) int {
	if k, ok := signer.PublicKey.(*rsa.PublicKey); ok {
		if units := min(k.N.BitLen(), maxRSABits) / 4096; units > 1 {
			return units * units
		}
	}
	return 1
}

// brokenAlgorithm reports whether collisions of the signature's hash can be made: MD2, MD5 and SHA-1.
func brokenAlgorithm(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// checkSignature verifies one signature and nothing else. crypto/x509 refuses SHA-1 and MD5 outright; those are
// verified by hand here, because "signed by that authority with a weak algorithm" and "not signed by that authority"
// are different facts with different remedies.
func checkSignature(child, parent *x509.Certificate) error {
	if k, ok := parent.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
		return fmt.Errorf("the issuer's RSA key has %d bits, more than %d", k.N.BitLen(), maxRSABits)
	}
	var hash crypto.Hash
	var digest []byte
	switch child.SignatureAlgorithm {
	case x509.UnknownSignatureAlgorithm, x509.MD2WithRSA, x509.DSAWithSHA1, x509.DSAWithSHA256:
		return fmt.Errorf("the signature algorithm (%s) is not supported", signatureName(child))
	case x509.MD5WithRSA:
		sum := md5.Sum(child.RawTBSCertificate) //nolint:gosec // G401: see above
		hash, digest = crypto.MD5, sum[:]
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1:
		sum := sha1.Sum(child.RawTBSCertificate) //nolint:gosec // G401: see above
		hash, digest = crypto.SHA1, sum[:]
	default:
		return parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature)
	}
	switch k := parent.PublicKey.(type) {
	case *rsa.PublicKey:
		if child.SignatureAlgorithm != x509.ECDSAWithSHA1 {
			return rsa.VerifyPKCS1v15(k, hash, digest, child.Signature)
		}
	case *ecdsa.PublicKey:
		if child.SignatureAlgorithm == x509.ECDSAWithSHA1 {
			if ecdsa.VerifyASN1(k, digest, child.Signature) {
				return nil
			}
			return errors.New("ECDSA verification failure")
		}
	}
	return errors.New("the issuer's key is of another kind")
}

var errNeverTogether = errors.New("its certificates are never valid at the same time")

// confirm asks crypto/x509 about everything but the dates: name constraints, path lengths, purposes, critical
// extensions, and the limits that the anchor's keeper set. It is asked at a moment when all certificates of the path
// are valid, with exactly these certificates. Their signatures were checked before, see restamped. anyPurpose leaves the purpose out, for a leaf that is not meant for
// servers: that is a fact of its own and not a fault of the path.
func confirm(r route, anyPurpose bool) error {
	from, to, first := r.window()
	if from.After(to) {
		return fmt.Errorf("%w: %s ends before another begins", errNeverTogether, ownerOf(first))
	}
	certs, root := restamped(r.certs, r.anchor.timeless)
	if r.selfAnchored() {
		root = certs[0]
	}
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: from,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if anyPurpose {
		opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	}
	if r.anchor.constraint != nil {
		opts.Roots.AddCertWithConstraint(root, r.anchor.constraint)
	} else {
		opts.Roots.AddCert(root)
	}
	for _, c := range certs[1:] {
		opts.Intermediates.AddCert(c)
	}
	chains, err := certs[0].Verify(opts)
	if err != nil {
		return refusal(err)
	}
	want := r.all()
	for _, got := range chains {
		if slices.EqualFunc(got, want, func(x, y *x509.Certificate) bool { return bytes.Equal(x.Raw, y.Raw) }) {
			return nil
		}
	}
	return errors.New("crypto/x509 finds another way only")
}

// restamped copies the certificates and puts a fresh signature of our own in the place of each real one. The builder
// made every real one be verified before the path came to be. crypto/x509 would verify them all again, which with P-384
// costs milliseconds, and it refuses to look at SHA-1 at all; so it judges everything else of the path on these copies.
// The key is a fixed one: nothing outside this call ever sees a copy.
func restamped(certs []*x509.Certificate, root *x509.Certificate) ([]*x509.Certificate, *x509.Certificate) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	signed := []byte("checked by hand")
	signature := ed25519.Sign(key, signed)
	stamp := func(c *x509.Certificate) *x509.Certificate {
		cp := *c
		cp.PublicKey, cp.PublicKeyAlgorithm = key.Public(), x509.Ed25519
		cp.SignatureAlgorithm, cp.RawTBSCertificate, cp.Signature = x509.PureEd25519, signed, signature
		return &cp
	}
	out := make([]*x509.Certificate, len(certs))
	for i, c := range certs {
		out[i] = stamp(c)
	}
	return out, stamp(root)
}

// refusal says in words that do not depend on the time of the question why crypto/x509 refused a path.
func refusal(err error) error {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.CANotAuthorizedForThisName, x509.NameConstraintsWithoutSANs, x509.UnconstrainedName:
			if invalid.Detail != "" {
				return fmt.Errorf("name constraints forbid it: %s", trimX509(invalid.Detail))
			}
			return errors.New("name constraints forbid it")
		case x509.TooManyIntermediates:
			return fmt.Errorf("%s allows fewer intermediates below it (path length)", ownerOf(invalid.Cert))
		case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
			return errors.New("an issuer on it may not issue for TLS servers (extended key usage)")
		case x509.NotAuthorizedToSign:
			return fmt.Errorf("%s is not an authority (basic constraints)", ownerOf(invalid.Cert))
		}
		return errors.New(trimX509(invalid.Error()))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		// The signatures of the path were checked before, so what is left is the hint that the error carries, and
		// the error's text is the only way to it.
		_, hint, ok := strings.Cut(err.Error(), `possibly because of "`)
		if ok {
			hint, _, _ = strings.Cut(hint, `" while trying`)
			if strings.Contains(hint, "parent certificate cannot sign") {
				return errors.New("an issuer on it may not sign certificates (basic constraints or key usage)")
			}
			if strings.Contains(hint, "too many intermediates") {
				return errors.New("an issuer on it allows fewer intermediates below it (path length)")
			}
			return errors.New(trimX509(hint))
		}
	}
	if _, ok := errors.AsType[x509.UnhandledCriticalExtension](err); ok {
		return errors.New("a certificate on it has a critical extension that is not understood")
	}
	return errors.New(trimX509(err.Error()))
}

func trimX509(s string) string { return strings.TrimPrefix(s, "x509: ") }
