package probe

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// fixedKey gives the same key in every process: a fuzzing engine makes its seeds in one process and uses them in others.
func fixedKey(t testing.TB, n byte) crypto.Signer {
	t.Helper()
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Whatever is served: no panic, every certificate that is referred to is described, the cache gives the same again, and
// each path that is claimed is one that crypto/x509 takes with its real signatures.
func FuzzAnalyse(f *testing.F) {
	r, other := sign(f, caTemplate("Root"), fixedKey(f, 1), nil), sign(f, caTemplate("Other Root"), fixedKey(f, 2), nil)
	i := sign(f, caTemplate("Inter"), fixedKey(f, 3), r)
	x := cross(f, i, other)
	l := leaf(f, "www.example.com", i)
	old := signSHA1(f, leafTemplate("www.example.com"), keyP256(f), i)
	self := leaf(f, "www.example.com", nil)
	f.Add(l.cert.Raw, i.cert.Raw, x.cert.Raw, "www.example.com")
	f.Add(l.cert.Raw, r.cert.Raw, i.cert.Raw, "192.0.2.1")
	f.Add(old.cert.Raw, i.cert.Raw, []byte("garbage"), "")
	f.Add(self.cert.Raw, self.cert.Raw, []byte{}, "[::1]")
	f.Add([]byte{0x30, 0x80}, []byte{}, []byte{0x30}, "\x00")
	a := analyser(f, trusting(f, r, other))
	a.mozilla = trusting(f, r) // so that the linter is met as well
	f.Fuzz(func(t *testing.T, d0, d1, d2 []byte, host string) {
		served := [][]byte{d0, d1, d2}
		chain, certs := a.Analyse(context.Background(), host, loopback, served, 0, d2)
		if len(chain.Certs) != 3 {
			t.Fatalf("%d certificates", len(chain.Certs))
		}
		if strings.Contains(chain.Unparsed, "panicked") {
			t.Fatal(chain.Unparsed)
		}
		known := named(certs)
		refs := slices.Concat(chain.Certs, chain.Unused)
		for _, p := range slices.Concat(chain.Paths, chain.Completed) {
			refs = append(append(refs, p.Certs...), p.LimitedBy)
		}
		for _, fp := range refs {
			if _, ok := known[fp]; !ok {
				t.Fatalf("%s is not described", fp)
			}
		}
		if len(known) != len(certs) {
			t.Fatal("a certificate is described twice")
		}
		again, certsAgain := a.Analyse(context.Background(), host, loopback, served, 0, d2)
		if !reflect.DeepEqual(chain, again) || !reflect.DeepEqual(certs, certsAgain) {
			t.Fatalf("from the cache comes something else:\n%+v\n%+v", chain, again)
		}
		if chain.WeakSignature == "" {
			for _, p := range chain.Paths {
				verifies(t, p, served, r, other)
			}
		}
	})
}

func verifies(t *testing.T, p assure.Path, served [][]byte, roots ...*holder) {
	t.Helper()
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: p.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, h := range roots {
		o.Roots.AddCert(h.cert)
	}
	for _, d := range served[1:] {
		if c, err := x509.ParseCertificate(d); err == nil && slices.Contains(p.Certs, fingerprintOf(d)) {
			o.Intermediates.AddCert(c)
		}
	}
	if p.NotBefore.Before(roots[0].cert.NotBefore) {
		o.CurrentTime = roots[0].cert.NotBefore
	}
	if _, err := mustParse(t, served[0]).Verify(o); err != nil {
		t.Fatalf("crypto/x509 refuses path %v: %v", p.Certs, err)
	}
}

// The list's reader takes exactly what crypto/x509 takes, so far as it does not refuse what cannot be used, and finds
// the same entries.
func FuzzRevocationList(f *testing.F) {
	r := sign(f, caTemplate("Root"), fixedKey(f, 1), nil)
	var many []x509.RevocationListEntry
	for n := range 40 {
		many = append(many, revoked(big.NewInt(int64(n*n*n*997)), n%11))
	}
	f.Add(crl(f, r, nil))
	f.Add(crl(f, r, many))
	f.Add(crl(f, r, nil, idpFor("http://example.com/1.crl")))
	f.Add(crl(f, r, nil, idp(0x30, 3, 0x81, 1, 0xff)))
	f.Add(pemOf("X509 CRL", crl(f, r, many[:2])))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = parseRevocationList(body, r.cert)
		tbs, entries, rest, err := splitList(body)
		if err != nil {
			return
		}
		if len(tbs) > len(body) || len(rest) > len(body)+16 {
			t.Fatal("larger than what it was made of")
		}
		want, err := x509.ParseRevocationList(body)
		if err != nil {
			return
		}
		got, err := parseEntries(entries)
		if err != nil {
			if !strings.Contains(err.Error(), "critical extension") && !errors.Is(err, errEntryForm) {
				t.Fatal(err)
			}
			return
		}
		if len(got) != len(want.RevokedCertificateEntries) {
			t.Fatalf("%d entries, crypto/x509 finds %d", len(got), len(want.RevokedCertificateEntries))
		}
		list := &revocationList{entries: got}
		for _, e := range want.RevokedCertificateEntries {
			if e.SerialNumber.Sign() < 0 {
				continue
			}
			serial, ok := hashOfSerial(e.SerialNumber.Text(16))
			if _, found := list.find(serial); !ok || !found {
				t.Fatalf("entry %s is not found", e.SerialNumber)
			}
		}
	})
}

func FuzzOCSP(f *testing.F) {
	r := sign(f, caTemplate("Root"), fixedKey(f, 1), nil)
	serial := big.NewInt(0x4242)
	l := leaf(f, "www.example.com", r, func(c *x509.Certificate) { c.SerialNumber = serial })
	responder := sign(f, leafTemplate("responder", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }), keyP256(f), r)
	good, delegated := ocspFor(f, serial, r, nil), ocspFor(f, serial, r, responder)
	f.Add(good)
	f.Add(delegated)
	f.Add([]byte{0x30, 3, 0x0a, 1, 3})
	f.Fuzz(func(t *testing.T, body []byte) {
		answer, err := parseOCSP(body, l.cert, r.cert)
		if err == nil && answer.status == answerRevoked {
			t.Fatalf("nobody signed that it is revoked: %+v", answer)
		}
		_ = answer.say(assure.Revocation{}, noon)
	})
}

func FuzzIssuers(f *testing.F) {
	r := sign(f, caTemplate("Root"), fixedKey(f, 1), nil)
	i := inter(f, "Inter", r)
	f.Add(i.cert.Raw)
	f.Add(pemOf("CERTIFICATE", i.cert.Raw))
	f.Add(pkcs7(f, r, i))
	f.Add(pemOf("PKCS7", pkcs7(f, i)))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		certs, err := parseIssuers(body)
		if (err == nil) != (len(certs) > 0) || len(certs) > maxIssuerCerts {
			t.Fatalf("%d certificates, %v", len(certs), err)
		}
	})
}

func FuzzTrust(f *testing.F) {
	f.Add(pemOf("CERTIFICATE", root(f, "Root").cert.Raw))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := TrustFromPEM("fuzzed", data)
		if (err == nil) != (s != nil && s.Len() > 0) {
			t.Fatalf("%v, %v", s, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "trust store fuzzed: ") {
			t.Fatal(err)
		}
	})
}

// FuzzVerdict reads arbitrary cache entries: nothing but encode writes them, yet the reader must not rely on it.
func FuzzVerdict(f *testing.F) {
	c := newCodec()
	f.Add([]byte(c.encode(verdict{chain: assure.Chain{Certs: []string{fingerprintOf(nil)}, Lint: []string{"x"}}, certs: []record{{cert: assure.Cert{Fingerprint: fingerprintOf(nil), Serial: "1f"}}}})))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		if v, ok := c.decode(string(data)); ok && len(v.certs) > len(data) {
			t.Fatal("more certificates than bytes")
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Fatalf("took %v", d)
		}
	})
}
