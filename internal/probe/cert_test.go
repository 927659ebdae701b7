package probe

import (
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
	"slices"
	"testing"
	"time"
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
