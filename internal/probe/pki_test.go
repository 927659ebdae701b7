package probe

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// The tests' own small world of authorities. Dates are relative to noon, so that no test depends on the real time.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

var loopback = netip.MustParseAddr("127.0.0.1")

type holder struct {
	cert *x509.Certificate
	key  crypto.Signer
}

type certOption func(*x509.Certificate)

func from(t time.Time) certOption { return func(c *x509.Certificate) { c.NotBefore = t } }
func until(t time.Time) certOption {
	return func(c *x509.Certificate) { c.NotAfter = t }
}

func keyP256(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keyRSA(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var serials struct {
	sync.Mutex
	n int64
}

func nextSerial() *big.Int {
	serials.Lock()
	defer serials.Unlock()
	serials.n++
	return big.NewInt(0x10000 + serials.n)
}

func caTemplate(name string, opts ...certOption) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: name}, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(5, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, MaxPathLen: -1,
	}
	for _, o := range opts {
		o(c)
	}
	return c
}

func leafTemplate(name string, opts ...certOption) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: noon.AddDate(0, 0, -10), NotAfter: noon.AddDate(0, 0, 80),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, o := range opts {
		o(c)
	}
	return c
}

// sign has the issuer sign the template for the key; a nil issuer means self-signed.
func sign(t testing.TB, template *x509.Certificate, key crypto.Signer, issuer *holder) *holder {
	t.Helper()
	if issuer == nil {
		issuer = &holder{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{mustParse(t, der), key}
}

func mustParse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func root(t testing.TB, name string, opts ...certOption) *holder {
	return sign(t, caTemplate(name, opts...), keyP256(t), nil)
}

func inter(t testing.TB, name string, issuer *holder, opts ...certOption) *holder {
	return sign(t, caTemplate(name, opts...), keyP256(t), issuer)
}

func leaf(t testing.TB, name string, issuer *holder, opts ...certOption) *holder {
	return sign(t, leafTemplate(name, opts...), keyP256(t), issuer)
}

// cross gives the subject and key of one authority another certificate, by another issuer.
func cross(t testing.TB, of, issuer *holder, opts ...certOption) *holder {
	return sign(t, caTemplate(of.cert.Subject.CommonName, opts...), of.key, issuer)
}

// signSHA1 makes a certificate with a SHA-1 signature, which crypto/x509 refuses to make: the signature algorithm is
// put into the signed part by hand.
func signSHA1(t testing.TB, template *x509.Certificate, key crypto.Signer, issuer *holder) *holder {
	t.Helper()
	base := sign(t, template, key, issuer)
	var tbs struct {
		Raw     asn1.RawContent
		Version int `asn1:"optional,explicit,default:0,tag:0"`
		Serial  *big.Int
		Alg     pkix.AlgorithmIdentifier
		Issuer  asn1.RawValue
		Dates   asn1.RawValue
		Subject asn1.RawValue
		Key     asn1.RawValue
		Exts    asn1.RawValue `asn1:"optional,explicit,tag:3"`
	}
	if _, err := asn1.Unmarshal(base.cert.RawTBSCertificate, &tbs); err != nil {
		t.Fatal(err)
	}
	tbs.Raw = nil
	var exts []pkix.Extension
	exts = append(exts, base.cert.Extensions...)
	if issuer == nil {
		issuer = base
	}
	alg := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}} // ecdsa-with-SHA1
	if _, ok := issuer.key.(*rsa.PrivateKey); ok {
		alg = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, Parameters: asn1.NullRawValue}
	}
	signed := struct {
		Version int `asn1:"explicit,tag:0"`
		Serial  *big.Int
		Alg     pkix.AlgorithmIdentifier
		Issuer  asn1.RawValue
		Dates   asn1.RawValue
		Subject asn1.RawValue
		Key     asn1.RawValue
		Exts    []pkix.Extension `asn1:"explicit,tag:3"`
	}{2, tbs.Serial, alg, tbs.Issuer, tbs.Dates, tbs.Subject, tbs.Key, exts}
	raw, err := asn1.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha1.Sum(raw)
	sig, err := issuer.key.Sign(rand.Reader, digest[:], crypto.SHA1)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		TBS asn1.RawValue
		Alg pkix.AlgorithmIdentifier
		Sig asn1.BitString
	}{asn1.RawValue{FullBytes: raw}, alg, asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}})
	if err != nil {
		t.Fatal(err)
	}
	return &holder{mustParse(t, der), key}
}

func ders(hs ...*holder) [][]byte {
	out := make([][]byte, len(hs))
	for i, h := range hs {
		out[i] = h.cert.Raw
	}
	return out
}

func prints(hs ...*holder) []string {
	out := make([]string, len(hs))
	for i, h := range hs {
		out[i] = fingerprintOf(h.cert.Raw)
	}
	return out
}

func trusting(t testing.TB, hs ...*holder) *TrustStore {
	t.Helper()
	var b []byte
	for _, h := range hs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.cert.Raw})...)
	}
	s, err := TrustFromPEM("the test's roots", b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// analyser makes an analyser that stands at noon and stays off the network unless told otherwise.
func analyser(t testing.TB, trust *TrustStore, change ...func(*AnalyserOptions)) *Analyser {
	t.Helper()
	o := AnalyserOptions{Trust: trust, Offline: true, Now: func() time.Time { return noon }}
	for _, f := range change {
		f(&o)
	}
	a := NewAnalyser(o)
	t.Cleanup(a.Close)
	return a
}

func look(t testing.TB, a *Analyser, host string, hs ...*holder) (assure.Chain, []assure.Cert) {
	t.Helper()
	return a.Analyse(context.Background(), host, loopback, ders(hs...), 0, nil)
}

func named(certs []assure.Cert) map[string]string {
	out := map[string]string{}
	for _, c := range certs {
		out[c.Fingerprint] = c.Subject
	}
	return out
}

func pathNames(paths []assure.Path, certs []assure.Cert) string {
	names := named(certs)
	s := ""
	for i, p := range paths {
		if i > 0 {
			s += " | "
		}
		for j, fp := range p.Certs {
			if j > 0 {
				s += " > "
			}
			if n, ok := names[fp]; ok {
				s += n
			} else {
				s += fmt.Sprintf("?%.8s", fp)
			}
		}
	}
	return s
}
