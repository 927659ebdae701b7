package renew

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

var someTime = time.Date(2026, 9, 22, 8, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, " 7 ": 7 * time.Second, "-5": 0, "soon": 0, "1.5": 0,
		"99999999999": maxRetryAfter, "99999999999999999999999": 0,
		"Tue, 22 Sep 2026 08:01:00 GMT": time.Minute, "Tue, 22 Sep 2026 07:00:00 GMT": 0, "Fri, 22 Sep 2096 08:00:00 GMT": maxRetryAfter,
	} {
		if got := parseRetryAfter(in, someTime); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "120", "-1", "Tue, 22 Sep 2026 08:01:00 GMT", "Tuesday, 22-Sep-26 08:01:00 GMT", "9223372036854775807", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := parseRetryAfter(s, someTime); d < 0 || d > maxRetryAfter {
			t.Errorf("%q is %s", s, d)
		}
	})
}

func FuzzDirectory(f *testing.F) {
	f.Add([]byte(`{"newNonce":"https://ca.example/n","newAccount":"https://ca.example/a","newOrder":"https://ca.example/o","meta":{"profiles":{"classic":"x"},"caaIdentities":["ca.example"]}}`))
	f.Add([]byte(`{"newNonce":"http://ca.example/n","newAccount":"https://ca.example/a","newOrder":"https://ca.example/o"}`))
	f.Add([]byte(`{"meta":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := parseDirectory(raw)
		if err != nil {
			return
		}
		for _, u := range []string{d.NewNonce, d.NewAccount, d.NewOrder} {
			if !strings.HasPrefix(strings.ToLower(u), "https://") {
				t.Errorf("%q is let through", u)
			}
		}
	})
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte(`{"suggestedWindow":{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"},"explanationURL":"https://ca.example/"}`))
	f.Add([]byte(`{"suggestedWindow":{"start":"2026-01-02T00:00:00Z","end":"2026-01-01T00:00:00Z"}}`))
	f.Add([]byte(`{"suggestedWindow":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		start, end, why, err := parseWindow(raw)
		if err == nil && (start.IsZero() || !end.After(start) || len(why) > 500) {
			t.Errorf("%s to %s, %q", start, end, why)
		}
	})
}

// someChain is a leaf and its issuer.
func someChain(t testing.TB) []byte {
	t.Helper()
	key, _, err := newKey("")
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Top"}, NotBefore: someTime, NotAfter: someTime.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	top, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"a.example"}, NotBefore: someTime, NotAfter: someTime.Add(time.Hour),
	}, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: top})...)
}

func TestReadingChains(t *testing.T) {
	t.Parallel()
	good := someChain(t)
	ch, err := parseChain(append([]byte("a line of text\n"), good...))
	if err != nil || ch.top != "Top" || ch.leaf.DNSNames[0] != "a.example" || string(ch.pem) != string(good) {
		t.Errorf("a good chain: %+v, %v", ch, err)
	}
	_, rest := pem.Decode(good)
	backwards := append(append([]byte{}, rest...), good[:len(good)-len(rest)]...)
	key, text, err := newKey("")
	if err != nil || key == nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "no PEM": []byte("hello"), "backwards": backwards, "a key inside": append(append([]byte{}, good...), text...),
		"endless": []byte(strings.Repeat(string(rest), maxChain+1)),
	} {
		if _, err := parseChain(bad); err == nil {
			t.Errorf("%s: it is taken for a chain", name)
		}
	}
}

func FuzzChain(f *testing.F) {
	f.Add(someChain(f))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		ch, err := parseChain(text)
		if err != nil {
			return
		}
		again, err := parseChain(ch.pem)
		if err != nil || string(again.pem) != string(ch.pem) {
			t.Errorf("what was read does not read again: %v", err)
		}
	})
}

func FuzzKey(f *testing.F) {
	_, text, err := newKey("")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if k, err := parseKey(text); err == nil && k.Public() == nil {
			t.Error("a key without a public half")
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"a.example", "*.a.example", "*.*.example", "127.0.0.1", "::1", "fe80::1%eth0", "bücher.example", "a..b", "x", ".", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := sortOut([]string{s, s})
		if err != nil {
			return
		}
		if len(w.all) != 1 || len(w.ids) != 1 || w.all[0] != strings.ToLower(w.all[0]) {
			t.Errorf("%q is %q", s, w.all)
		}
		for _, r := range w.all[0] {
			if r > 0x7e || r <= ' ' {
				t.Errorf("%q is %q", s, w.all)
			}
		}
	})
}

func TestMatch(t *testing.T) {
	t.Parallel()
	key, _, err := newKey("")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := newKey("")
	if err != nil {
		t.Fatal(err)
	}
	w, err := sortOut([]string{"a.example", "::ffff:127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	csr, err := w.csr(key)
	if err != nil {
		t.Fatal(err)
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{PublicKey: key.Public(), DNSNames: []string{"A.example"}, IPAddresses: req.IPAddresses}
	if err := w.match(leaf, key); err != nil {
		t.Error(err)
	}
	if err := w.match(leaf, other); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("another key: %v", err)
	}
	leaf.DNSNames = []string{"a.example", "evil.example"}
	if err := w.match(leaf, key); err == nil || !strings.Contains(err.Error(), "evil.example") {
		t.Errorf("one name too many: %v", err)
	}
	leaf.DNSNames = nil
	if err := w.match(leaf, key); err == nil || !strings.Contains(err.Error(), "a.example") {
		t.Errorf("one name too few: %v", err)
	}
}
