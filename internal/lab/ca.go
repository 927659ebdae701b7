package lab

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // a key identifier, as RFC 5280 section 4.2.1.2 makes it; nothing rests on it
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// CAOptions configures a [CA]. The zero value of each field has a meaning.
type CAOptions struct {
	// Now tells the time; nil means time.Now. Certificates, revocation lists and OCSP answers are dated by it.
	Now func() time.Time
	// Name begins the names of the first authorities; empty means "Lab".
	Name string
	// Life is how long the first intermediate lives; zero means five years. The root lives four times as long.
	Life time.Duration
	// Fresh is how long a revocation list or an OCSP answer is good for; zero means an hour.
	Fresh time.Duration
	// Slow is how long a slow answer takes; zero means 2 seconds.
	Slow time.Duration
}

// CA is a family of authorities and the HTTP server on 127.0.0.1 that publishes for them. It starts with a root and one
// intermediate below it. It is safe for concurrent use.
type CA struct {
	Root    *Authority // self-signed
	Issuing *Authority // below the root; what ordinary leaves are issued by

	opts   CAOptions
	base   string
	server *http.Server
	served sync.WaitGroup
	gate   gate

	mu          sync.Mutex
	authorities map[string]*Authority // by the path element under which they publish
	rsaKeys     map[KeyType]*rsa.PrivateKey
	requests    map[string]int
}

// NewCA makes the first authorities and starts publishing. Call Stop when done.
func NewCA(o CAOptions) (*CA, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Name == "" {
		o.Name = "Lab"
	}
	if o.Life <= 0 {
		o.Life = 5 * 365 * 24 * time.Hour
	}
	if o.Fresh <= 0 {
		o.Fresh = time.Hour
	}
	if o.Slow <= 0 {
		o.Slow = 2 * time.Second
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the authority: %w", err)
	}
	ca := &CA{
		opts: o, base: "http://" + l.Addr().String(),
		authorities: map[string]*Authority{}, rsaKeys: map[KeyType]*rsa.PrivateKey{}, requests: map[string]int{},
	}
	ca.server = &http.Server{Handler: ca.gate.guard(ca.handler()), ReadHeaderTimeout: 10 * time.Second}
	ca.served.Go(func() { _ = ca.server.Serve(l) }) // ends when Stop closes the server
	now := o.Now()
	ca.Root, err = ca.NewAuthority(nil, AuthorityOptions{
		Name: o.Name + " Root", Key: P384,
		NotBefore: now.Add(-2 * o.Life), NotAfter: now.Add(2 * o.Life),
	})
	if err == nil {
		ca.Issuing, err = ca.NewAuthority(ca.Root, AuthorityOptions{
			Name: o.Name + " Issuing", Key: P384,
			NotBefore: now.Add(-o.Life), NotAfter: now.Add(o.Life),
		})
	}
	if err != nil {
		ca.Stop()
		return nil, err
	}
	return ca, nil
}

// URL is the base of everything that the CA publishes, without a trailing slash.
func (ca *CA) URL() string { return ca.base }

// RootPEM is the root in PEM form: what a client has to trust.
func (ca *CA) RootPEM() []byte { return ca.Root.PEM() }

// Stop ends publishing and waits for answers under way.
func (ca *CA) Stop() {
	_ = ca.server.Close()
	ca.served.Wait()
	ca.gate.close()
}

// AuthorityOptions describes an authority's certificate. The zero value of each field has a meaning.
type AuthorityOptions struct {
	Name      string // common name; required, and unique within the CA
	Key       KeyType
	NotBefore time.Time // zero: now
	NotAfter  time.Time // zero: five years from now
	// Signature is the algorithm its certificate is signed with; zero means what suits the issuer's key.
	Signature x509.SignatureAlgorithm
	// MaxPathLen is how many authorities may stand below it; nil means any number.
	MaxPathLen *int
	// PermittedDNS are the only domains it may issue for; empty means any (RFC 5280 section 4.2.1.10).
	PermittedDNS []string
	// Usage restricts the purposes of what it issues; empty means any.
	Usage []x509.ExtKeyUsage
	// CRL, OCSP and Issuer are where its own certificate says that its status and its issuer are to be found; nil means
	// where its issuer publishes properly (OCSP: nowhere), an empty list means nowhere.
	CRL, OCSP, Issuer []string
}

// Authority is something that issues certificates: a name with a key. It may have more than one certificate when it is
// cross-signed.
type Authority struct {
	Cert *x509.Certificate
	// Parent is the authority that issued Cert; nil for a self-signed one.
	Parent *Authority

	ca   *CA
	key  crypto.Signer
	path string

	mu      sync.Mutex
	issued  map[string]bool // serial numbers in hex
	revoked map[string]revocation
	number  int64
	// responder signs OCSP answers on the authority's behalf; made when first needed.
	responder *Leaf
}

type revocation struct {
	serial *big.Int
	at     time.Time
	reason int
}

// NewAuthority makes an authority below parent, or a self-signed root when parent is nil.
func (ca *CA) NewAuthority(parent *Authority, o AuthorityOptions) (*Authority, error) {
	key, err := ca.newKey(o.Key)
	if err != nil {
		return nil, fmt.Errorf("make the key of %s: %w", o.Name, err)
	}
	a := &Authority{ca: ca, Parent: parent, key: key, path: pathName(o.Name), issued: map[string]bool{}, revoked: map[string]revocation{}}
	a.Cert, err = ca.sign(parent, a, o)
	if err != nil {
		return nil, err
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if _, taken := ca.authorities[a.path]; taken {
		return nil, fmt.Errorf("make authority %s: there is one of that name", o.Name)
	}
	ca.authorities[a.path] = a
	return a, nil
}

// CrossSign issues another certificate for the name and key of sub. o.Name and o.Key are not looked at.
func (a *Authority) CrossSign(sub *Authority, o AuthorityOptions) (*x509.Certificate, error) {
	o.Name = sub.Cert.Subject.CommonName
	return a.ca.sign(a, sub, o)
}

// Successor makes an authority with the same name as a and another key, below the same parent; it publishes under
// its own address. It is what an authority looks like after its key was changed.
func (a *Authority) Successor(o AuthorityOptions) (*Authority, error) {
	o.Name = a.Cert.Subject.CommonName
	key, err := a.ca.newKey(o.Key)
	if err != nil {
		return nil, fmt.Errorf("make the next key of %s: %w", o.Name, err)
	}
	n := &Authority{ca: a.ca, Parent: a.Parent, key: key, issued: map[string]bool{}, revoked: map[string]revocation{}}
	if n.Cert, err = a.ca.sign(a.Parent, n, o); err != nil {
		return nil, err
	}
	a.ca.mu.Lock()
	defer a.ca.mu.Unlock()
	for i := 2; ; i++ {
		n.path = fmt.Sprintf("%s-%d", a.path, i)
		if _, taken := a.ca.authorities[n.path]; !taken {
			a.ca.authorities[n.path] = n
			return n, nil
		}
	}
}

// sign makes a's certificate, issued by parent or by a itself.
func (ca *CA) sign(parent, a *Authority, o AuthorityOptions) (*x509.Certificate, error) {
	if o.Name == "" {
		return nil, errors.New("make authority: it needs a name")
	}
	now := ca.opts.Now()
	if o.NotBefore.IsZero() {
		o.NotBefore = now
	}
	if o.NotAfter.IsZero() {
		o.NotAfter = now.AddDate(5, 0, 0)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	id, err := keyID(a.key.Public())
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: o.Name, Organization: []string{"notafter lab"}},
		NotBefore: o.NotBefore.UTC(), NotAfter: o.NotAfter.UTC(), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: o.Usage,
		SubjectKeyId: id, SignatureAlgorithm: o.Signature,
		PermittedDNSDomains: o.PermittedDNS, PermittedDNSDomainsCritical: len(o.PermittedDNS) > 0, MaxPathLen: -1,
	}
	if o.MaxPathLen != nil {
		tmpl.MaxPathLen, tmpl.MaxPathLenZero = *o.MaxPathLen, *o.MaxPathLen == 0
	}
	issuer, signer := tmpl, a.key
	if parent != nil {
		issuer, signer = parent.Cert, parent.key
		tmpl.CRLDistributionPoints, tmpl.OCSPServer, tmpl.IssuingCertificateURL = parent.places(o.CRL, o.OCSP, o.Issuer)
		parent.remember(serial)
	}
	return createCertificate(tmpl, issuer, a.key.Public(), signer)
}

// places fills in where an issuer publishes for what was left nil.
func (a *Authority) places(crl, ocsp, issuer []string) (c, o, i []string) {
	if crl == nil {
		crl = []string{a.CRLURL(Sound)}
	}
	if issuer == nil {
		issuer = []string{a.IssuerURL(Sound)}
	}
	return crl, ocsp, issuer
}

func (a *Authority) remember(serial *big.Int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued[serial.Text(16)] = true
}

// Revoke puts a certificate on the authority's list, as of now. Reason is a code of RFC 5280 section 5.3.1; 0 leaves it out.
func (a *Authority) Revoke(c *x509.Certificate, reason int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked[c.SerialNumber.Text(16)] = revocation{c.SerialNumber, a.ca.opts.Now().UTC().Truncate(time.Second), reason}
}

// PEM is the authority's certificate in PEM form.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Cert.Raw})
}

// above returns the certificates from a upwards, without a self-signed one at the end: what a server sends.
func (a *Authority) above() []*x509.Certificate {
	var out []*x509.Certificate
	for at := a; at != nil && at.Parent != nil; at = at.Parent {
		out = append(out, at.Cert)
	}
	return out
}

func (a *Authority) isRevoked(serial *big.Int) (r revocation, revoked, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, revoked = a.revoked[serial.Text(16)]
	return r, revoked, revoked || a.issued[serial.Text(16)]
}

func (a *Authority) revocations() []revocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]revocation, 0, len(a.revoked))
	for _, r := range a.revoked {
		out = append(out, r)
	}
	slices.SortFunc(out, func(x, y revocation) int { return x.serial.Cmp(y.serial) })
	return out
}

// keyID is the first method of RFC 5280 section 4.2.1.2: SHA-1 of the key's bit string.
func keyID(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode a public key: %w", err)
	}
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &spki); err != nil {
		return nil, fmt.Errorf("decode a public key: %w", err)
	}
	sum := sha1.Sum(spki.Key.Bytes) //nolint:gosec // see the import
	return sum[:], nil
}

// pathName makes a name fit for a URL.
func pathName(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'A' && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.':
		default:
			b[i] = '-'
		}
	}
	return string(b)
}
