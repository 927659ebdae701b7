package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"

	"golang.org/x/net/idna"

	"github.com/notafter/notafter/internal/assure"
)

// KeyType is a kind of key. The zero value means P256.
type KeyType string

// Key types.
const (
	P256    KeyType = "ECDSA P-256"
	P384    KeyType = "ECDSA P-384"
	P224    KeyType = "ECDSA P-224" // too small for anybody's rules, and no TLS 1.3 server can use it
	RSA1024 KeyType = "RSA 1024"
	RSA2048 KeyType = "RSA 2048"
	Ed25519 KeyType = "Ed25519"
)

// newKey makes a key. RSA keys are made once for each CA and size, because making one takes a good part of a second.
func (ca *CA) newKey(t KeyType) (crypto.Signer, error) {
	switch t {
	case "", P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P224:
		return ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA1024, RSA2048:
		ca.mu.Lock()
		defer ca.mu.Unlock()
		if k := ca.rsaKeys[t]; k != nil {
			return k, nil
		}
		bits := 2048
		if t == RSA1024 {
			bits = 1024
		}
		k, err := rsa.GenerateKey(rand.Reader, bits) //nolint:gosec // 1024 bits on purpose: somebody has to find it
		if err != nil {
			return nil, err
		}
		ca.rsaKeys[t] = k
		return k, nil
	}
	return nil, fmt.Errorf("unknown key type %q", t)
}

// LeafOptions describes a server's certificate. The zero value of each field has a meaning.
type LeafOptions struct {
	// Names are the subject alternative names: DNS names, also internationalised ones and wildcards, and IP addresses.
	Names []string
	// CommonName is the subject's; empty means the first name.
	CommonName string
	NotBefore  time.Time // zero: now
	NotAfter   time.Time // zero: 90 days after NotBefore
	Key        KeyType
	// Signature is the algorithm it is signed with; zero means what suits the issuer's key.
	Signature x509.SignatureAlgorithm
	// Usage is the extended key usage; nil means server authentication, empty means none at all.
	Usage []x509.ExtKeyUsage
	// IsCA makes the leaf an authority by its basic constraints.
	IsCA bool
	// CRL, OCSP and Issuer are where the certificate says that its status and its issuer's certificate are to be found;
	// nil means where its issuer publishes properly (OCSP: nowhere), an empty list means nowhere.
	CRL, OCSP, Issuer []string
}

// Leaf is a certificate with its key and what a server sends along with it. It is not changed after it is made.
type Leaf struct {
	Cert *x509.Certificate
	Key  crypto.Signer
	// Chain is what is served, in DER, leaf first.
	Chain [][]byte
	// Staple is an OCSP answer to be sent along; nil for none.
	Staple []byte
}

// Issue makes a certificate. Its chain is the proper one: the leaf and the intermediates, without the root.
func (a *Authority) Issue(o LeafOptions) (*Leaf, error) {
	return a.ca.issue(a, o)
}

// SelfSigned makes a certificate that its own key signed.
func (ca *CA) SelfSigned(o LeafOptions) (*Leaf, error) {
	return ca.issue(nil, o)
}

func (ca *CA) issue(by *Authority, o LeafOptions) (*Leaf, error) {
	key, err := ca.newKey(o.Key)
	if err != nil {
		return nil, fmt.Errorf("make a leaf's key: %w", err)
	}
	if o.NotBefore.IsZero() {
		o.NotBefore = ca.opts.Now()
	}
	if o.NotAfter.IsZero() {
		o.NotAfter = o.NotBefore.AddDate(0, 0, 90)
	}
	if o.Usage == nil {
		o.Usage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: o.CommonName},
		NotBefore: o.NotBefore.UTC(), NotAfter: o.NotAfter.UTC(),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: o.Usage, SignatureAlgorithm: o.Signature,
		BasicConstraintsValid: true, IsCA: o.IsCA, CRLDistributionPoints: o.CRL, OCSPServer: o.OCSP, IssuingCertificateURL: o.Issuer,
	}
	if o.IsCA {
		tmpl.KeyUsage |= x509.KeyUsageCertSign
		tmpl.MaxPathLen = -1
	}
	if o.Key == RSA1024 || o.Key == RSA2048 {
		tmpl.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	for _, n := range o.Names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
			continue
		}
		ascii, err := toASCII(n)
		if err != nil {
			return nil, err
		}
		tmpl.DNSNames = append(tmpl.DNSNames, ascii)
	}
	if tmpl.Subject.CommonName == "" && len(o.Names) > 0 && len(o.Names[0]) <= 64 {
		tmpl.Subject.CommonName = o.Names[0]
	}
	issuer, signer := tmpl, key
	if by != nil {
		issuer, signer = by.Cert, by.key
		tmpl.CRLDistributionPoints, tmpl.OCSPServer, tmpl.IssuingCertificateURL = by.places(o.CRL, o.OCSP, o.Issuer)
		by.remember(serial)
	}
	cert, err := createCertificate(tmpl, issuer, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	l := &Leaf{Cert: cert, Key: key, Chain: [][]byte{cert.Raw}}
	if by != nil {
		for _, c := range by.above() {
			l.Chain = append(l.Chain, c.Raw)
		}
	}
	return l, nil
}

// toASCII is the form of a name that goes into certificates and DNS; a wildcard's star is kept.
func toASCII(name string) (string, error) {
	rest, star := name, ""
	if len(name) > 2 && name[:2] == "*." {
		star, rest = "*.", name[2:]
	}
	ascii, err := idna.Lookup.ToASCII(rest)
	if err != nil {
		return "", fmt.Errorf("name %q: %w", name, err)
	}
	return star + ascii, nil
}

func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func createCertificate(tmpl, issuer *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, issuer, pub, signer)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate to %s: %w", tmpl.Subject, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the certificate of %s: %w", tmpl.Subject, err)
	}
	return cert, nil
}

// Serving returns a copy of l that is served with these certificates behind it, in this order, whatever sense it makes.
func (l *Leaf) Serving(behind ...*x509.Certificate) *Leaf {
	n := *l
	n.Chain = [][]byte{l.Cert.Raw}
	for _, c := range behind {
		n.Chain = append(n.Chain, c.Raw)
	}
	return &n
}

// Stapled returns a copy of l that is served with this OCSP answer.
func (l *Leaf) Stapled(answer []byte) *Leaf {
	n := *l
	n.Staple = answer
	return &n
}

// TLS is the leaf in the form that crypto/tls wants.
func (l *Leaf) TLS() tls.Certificate {
	return tls.Certificate{Certificate: slices.Clone(l.Chain), PrivateKey: l.Key, Leaf: l.Cert, OCSPStaple: l.Staple}
}

// PEM is the chain as served, in PEM form: what a renewer writes to fullchain.pem.
func (l *Leaf) PEM() []byte {
	var out []byte
	for _, der := range l.Chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// Issued is what is known of the leaf to somebody who issued it: what [assure.Case] has in its field of that name.
func (l *Leaf) Issued() *assure.Cert {
	sum := sha256.Sum256(l.Cert.Raw)
	c := &assure.Cert{
		Fingerprint: hex.EncodeToString(sum[:]), Subject: l.Cert.Subject.String(), Issuer: l.Cert.Issuer.String(),
		Serial: l.Cert.SerialNumber.Text(16), Names: slices.Clone(l.Cert.DNSNames), NotBefore: l.Cert.NotBefore.UTC(),
		NotAfter: l.Cert.NotAfter.UTC(), Signature: l.Cert.SignatureAlgorithm.String(),
	}
	for _, ip := range l.Cert.IPAddresses {
		c.Names = append(c.Names, ip.String())
	}
	return c
}
