package probe

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestDescribe(t *testing.T) {
	r := sign(t, caTemplate("Root", func(c *x509.Certificate) {
		c.Subject = pkix.Name{Country: []string{"DE"}, Organization: []string{"Example, Inc."}, CommonName: "Root"}
	}), keyRSA(t, 2048), nil)
	local := time.FixedZone("far", 9*3600)
	l := sign(t, leafTemplate("www.example.com", from(noon.In(local)), func(c *x509.Certificate) { c.SerialNumber = big.NewInt(0x0abcde) }), keyP256(t), r)
	c := Describe(l.cert)
	sum := sha256.Sum256(l.cert.Raw)
	if c.Fingerprint != hex.EncodeToString(sum[:]) || c.Subject != "CN=www.example.com" || c.Issuer != `CN=Root,O=Example\, Inc.,C=DE` ||
		c.Serial != "abcde" || c.Key != "ECDSA P-256" || c.Signature != "SHA256-RSA" || !slices.Equal(c.Names, []string{"www.example.com"}) {
		t.Errorf("%+v", c)
	}
	if c.NotBefore != noon || c.NotAfter.Location() != time.UTC {
		t.Errorf("dates %v %v", c.NotBefore, c.NotAfter)
	}
	if d := Describe(r.cert); d.Key != "RSA 2048" || d.Names != nil {
		t.Errorf("%+v", d)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	if d := Describe(sign(t, leafTemplate("x"), ed, nil).cert); d.Key != "Ed25519" || d.Signature != "Ed25519" {
		t.Errorf("%+v", d)
	}
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if d := Describe(sign(t, leafTemplate("x"), p521, nil).cert); d.Key != "ECDSA P-521" || d.Signature != "ECDSA-SHA512" {
		t.Errorf("%+v", d)
	}
}

// Algorithms of tomorrow are described, and a chain with them is analysed as far as it goes.
func TestUnknownAlgorithms(t *testing.T) {
	r := root(t, "Root")
	mldsa := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}
	for oid, want := range map[string]string{mldsa.String(): "ML-DSA-65", "2.16.840.1.101.3.4.3.99": "unknown algorithm 2.16.840.1.101.3.4.3.99"} {
		l := leaf(t, "www.example.com", r)
		var parts struct {
			TBS asn1.RawValue
			Alg pkix.AlgorithmIdentifier
			Sig asn1.BitString
		}
		if _, err := asn1.Unmarshal(l.cert.Raw, &parts); err != nil {
			t.Fatal(err)
		}
		var id asn1.ObjectIdentifier
		for _, n := range slices.Collect(splitInts(oid)) {
			id = append(id, n)
		}
		newOID, err := asn1.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		sigOID := []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}
		alg := append([]byte{0x30, byte(len(newOID))}, newOID...)
		tbs := parts.TBS.Bytes
		at := slices.IndexFunc(windows(tbs, len(sigOID)), func(w []byte) bool { return string(w) == string(sigOID) })
		tbs = slices.Concat(tbs[:at], alg, tbs[at+len(sigOID):])
		// The key's algorithm as well: id-ecPublicKey with its curve gives way to the new one.
		ecKey := []byte{0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
		at = slices.IndexFunc(windows(tbs, len(ecKey)), func(w []byte) bool { return string(w) == string(ecKey) })
		spkiLen := tbs[at-1]
		tbs = slices.Concat(tbs[:at-1], []byte{spkiLen - byte(len(ecKey)-len(alg))}, alg, tbs[at+len(ecKey):])
		der, err := asn1.Marshal(struct {
			TBS asn1.RawValue
			Alg asn1.RawValue
			Sig asn1.BitString
		}{asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: tbs}, asn1.RawValue{FullBytes: alg}, parts.Sig})
		if err != nil {
			t.Fatal(err)
		}
		c := mustParse(t, der)
		if d := Describe(c); d.Key != want || d.Signature != want {
			t.Errorf("key %q, signature %q, want %q", d.Key, d.Signature, want)
		}
		chain, _ := look(t, analyser(t, trusting(t, r)), "www.example.com", &holder{cert: c})
		if chain.Unparsed != "" || len(chain.Paths) != 0 || chain.MissingIssuer != "CN=Root" || chain.PathError == "" || chain.WeakKey != "" || !chain.NameMatches {
			t.Errorf("%+v", chain)
		}
	}
}

func windows(b []byte, n int) (out [][]byte) {
	for i := 0; i+n <= len(b); i++ {
		out = append(out, b[i:i+n])
	}
	return out
}

func splitInts(oid string) func(func(int) bool) {
	return func(yield func(int) bool) {
		n := 0
		for _, c := range oid + "." {
			if c == '.' {
				if !yield(n) {
					return
				}
				n = 0
				continue
			}
			n = 10*n + int(c-'0')
		}
	}
}

// Whoever makes a certificate chooses the words in it. Wherever a fact holds such words, they act on no terminal and on
// no page, also where the certificate cannot be read or a sentence names it.
func TestWordsOfCertificatesAreHarmless(t *testing.T) {
	const bad = "\x1b]0;x\x07\x1b[31mred\u202eabc\u2066\r\n\x00\u0085"
	words := bad + strings.Repeat("long ", 100)
	r := root(t, "Root")
	evil := func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: words} }
	middle := inter(t, "Inter", r, evil)
	impostor := inter(t, "Inter", r, evil)
	weak := sign(t, leafTemplate("www.example.com", evil), keyRSA(t, 1024), r)
	l := sign(t, leafTemplate("www.example.com", evil, func(c *x509.Certificate) {
		c.CRLDistributionPoints, c.OCSPServer = []string{"gopher://" + bad}, []string{bad}
	}), keyP256(t), r)
	orphan := leaf(t, "www.example.com", middle)

	// A certificate of a version that does not exist: crypto/x509 refuses it, and it is described all the same.
	unread := bytes.Clone(l.cert.Raw)
	at := bytes.Index(unread, []byte{0xa0, 0x03, 0x02, 0x01, 0x02})
	unread[at+4] = 7

	for name, list := range map[string][][]byte{
		"a weak key":                          ders(weak),
		"revocation addresses":                ders(l),
		"a missing issuer":                    ders(orphan),
		"an issuer with another key":          ders(orphan, impostor),
		"a leaf that cannot be read":          {unread},
		"an intermediate that cannot be read": {orphan.cert.Raw, unread},
	} {
		a := analyser(t, trusting(t, r), func(o *AnalyserOptions) { o.Revocation, o.Offline = RevocationFull, false })
		chain, certs := a.Analyse(t.Context(), "www.example.com", netip.MustParseAddr("192.0.2.1"), list, 0, nil)
		said := []string{chain.PathError, chain.MissingIssuer, chain.Unparsed, chain.WeakKey, chain.WeakSignature}
		for _, v := range chain.Revocation {
			said = append(said, v.URL, v.Detail)
		}
		for _, c := range certs {
			said = append(said, c.Subject, c.Issuer)
		}
		found := false
		for _, s := range said {
			found = found || strings.Contains(s, "red")
			if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
				t.Errorf("%s: %q", name, s)
			}
		}
		if !found {
			t.Errorf("%s: the words are nowhere, so that this shows nothing: %q", name, said)
		}
		if n := len(chain.WeakKey); n > 300 {
			t.Errorf("%s: a sentence of %d bytes", name, n)
		}
	}
}
