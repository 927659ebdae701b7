package probe

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func withCRL(urls ...string) certOption {
	return func(c *x509.Certificate) { c.CRLDistributionPoints = urls }
}

func withOCSP(urls ...string) certOption {
	return func(c *x509.Certificate) { c.OCSPServer = urls }
}

func idp(value ...byte) listOption {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: oidIssuingDistributionPoint, Critical: true, Value: value})
	}
}

// idpFor is an issuing distribution point with a full name.
func idpFor(url string) listOption {
	name := append([]byte{0x86, byte(len(url))}, url...)
	full := append([]byte{0xa0, byte(len(name))}, name...)
	point := append([]byte{0xa0, byte(len(full))}, full...)
	return idp(append([]byte{0x30, byte(len(point))}, point...)...)
}

func TestRevocationLists(t *testing.T) {
	r := root(t, "Root")
	i := inter(t, "Inter", r)
	stranger := sign(t, caTemplate("Inter"), keyP256(t), r) // the same name, another key
	other := inter(t, "Other Inter", r)
	serial := big.NewInt(0).SetBytes([]byte{0xfe, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	crowd := func(n int) (out []x509.RevocationListEntry) {
		for k := range n {
			out = append(out, revoked(big.NewInt(int64(1000+k)), k%7))
		}
		return out
	}
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}
	for _, tc := range []struct {
		name   string
		list   func(url string) []byte
		status string
		detail string // part of it
		reason string
	}{
		{"an empty list", func(string) []byte { return crl(t, i, nil) }, "good", "", ""},
		{"a list of others", func(string) []byte { return crl(t, i, crowd(3000)) }, "good", "", ""},
		{"revoked", func(string) []byte { return crl(t, i, append(crowd(3000), revoked(serial, 1))) }, "revoked", "", "keyCompromise"},
		{"revoked without a reason", func(string) []byte { return crl(t, i, append(crowd(10), revoked(serial, 0))) }, "revoked", "", ""},
		{"in PEM form", func(string) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl(t, i, []x509.RevocationListEntry{revoked(serial, 4)})})
		}, "revoked", "", "superseded"},
		{"signed by another key of that name", func(string) []byte { return crl(t, stranger, nil) }, "unknown", "another key", ""},
		{"signed by another issuer", func(string) []byte { return crl(t, other, nil) }, "unknown", "issued by CN=Other Inter", ""},
		{"the signature is damaged", func(string) []byte { b := crl(t, i, nil); b[len(b)-3] ^= 1; return b }, "unknown", "not signed by", ""},
		{"an entry is changed", func(string) []byte {
			b := crl(t, i, []x509.RevocationListEntry{revoked(serial, 1)})
			b[bytes.Index(b, serial.Bytes())+3] ^= 1
			return b
		}, "unknown", "not signed by", ""},
		{"out of date", func(string) []byte {
			return crl(t, i, nil, func(l *x509.RevocationList) { l.NextUpdate = noon.Add(-time.Minute) })
		}, "unknown", "out of date", ""},
		{"out of date and revoked stays revoked", func(string) []byte {
			return crl(t, i, []x509.RevocationListEntry{revoked(serial, 1)}, func(l *x509.RevocationList) { l.NextUpdate = noon.Add(-time.Minute) })
		}, "revoked", "", "keyCompromise"},
		{"from the future", func(string) []byte {
			return crl(t, i, nil, func(l *x509.RevocationList) { l.ThisUpdate = noon.Add(time.Hour) })
		}, "unknown", "future", ""},
		{"for this distribution point", func(u string) []byte { return crl(t, i, nil, idpFor(u)) }, "good", "", ""},
		{"for another distribution point", func(string) []byte { return crl(t, i, nil, idpFor("http://example.com/2.crl")) }, "unknown", "another distribution point", ""},
		{"for users only", func(string) []byte { return crl(t, i, nil, idp(0x30, 3, 0x81, 1, 0xff)) }, "good", "", ""},
		{"for authorities only", func(string) []byte { return crl(t, i, nil, idp(0x30, 3, 0x82, 1, 0xff)) }, "unknown", "about authorities only", ""},
		{"for some reasons only", func(string) []byte { return crl(t, i, nil, idp(0x30, 4, 0x83, 2, 1, 0x60)) }, "unknown", "some reasons only", ""},
		{"an indirect list", func(string) []byte { return crl(t, i, nil, idp(0x30, 3, 0x84, 1, 0xff)) }, "unknown", "indirect", ""},
		{"a scope that cannot be read", func(string) []byte { return crl(t, i, nil, idp(0x31, 0)) }, "unknown", "scope", ""},
		{"a delta", func(string) []byte {
			return crl(t, i, nil, func(l *x509.RevocationList) {
				l.ExtraExtensions = []pkix.Extension{{Id: oidDeltaCRL, Critical: true, Value: []byte{2, 1, 1}}}
			})
		}, "unknown", "delta", ""},
		{"a critical extension nobody knows", func(string) []byte {
			return crl(t, i, nil, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{critical} })
		}, "unknown", "critical extension", ""},
		{"a critical extension of an entry", func(string) []byte {
			return crl(t, i, []x509.RevocationListEntry{{SerialNumber: big.NewInt(5), RevocationTime: noon, ExtraExtensions: []pkix.Extension{critical}}})
		}, "unknown", "entry of the list has a critical extension", ""},
		{"no list at all", func(string) []byte { return []byte("<html>moved</html>") }, "unknown", "not a revocation list", ""},
		{"nothing there", func(string) []byte { return nil }, "unknown", "status 404", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := publish(t)
			url := p.URL + "/1.crl"
			if body := tc.list(url); body != nil {
				p.put("/1.crl", body)
			}
			l := leaf(t, "www.example.com", i, withCRL(url), func(c *x509.Certificate) { c.SerialNumber = serial })
			a := analyser(t, trusting(t, r), online(&hand{t: noon}))
			chain, certs := look(t, a, "www.example.com", l, i)
			if len(chain.Revocation) != 1 {
				t.Fatalf("%+v", chain.Revocation)
			}
			got := chain.Revocation[0]
			if got.Cert != certs[0].Fingerprint || got.Via != "crl" || got.URL != url || got.Status != tc.status || got.Reason != tc.reason ||
				!strings.Contains(got.Detail, tc.detail) || (got.Detail == "") != (tc.detail == "") {
				t.Errorf("%+v", got)
			}
			if tc.status == "revoked" && !got.RevokedAt.Equal(noon.Add(-2*time.Hour)) {
				t.Errorf("revoked at %v", got.RevokedAt)
			}
			if tc.status != "unknown" && (got.ThisUpdate.IsZero() || got.NextUpdate.IsZero()) {
				t.Error("no dates")
			}
		})
	}
}

// One list serves all endpoints of its authority, is asked for again before it ends, and only as "has it changed?".
func TestListIsFetchedOnceAndRefreshed(t *testing.T) {
	r := root(t, "Root")
	p := publish(t)
	l1 := leaf(t, "a.example.com", r, withCRL(p.URL+"/1.crl"))
	l2 := leaf(t, "b.example.com", r, withCRL(p.URL+"/1.crl"))
	p.put("/1.crl", crl(t, r, nil))
	p.etags["/1.crl"] = `"one"`
	clock := &hand{t: noon}
	a := analyser(t, trusting(t, r), online(clock))
	status := func(l *holder, host string) string {
		c, _ := look(t, a, host, l)
		return c.Revocation[0].Status
	}
	for range 3 {
		if s := status(l1, "a.example.com"); s != "good" {
			t.Fatal(s)
		}
	}
	if s := status(l2, "b.example.com"); s != "good" {
		t.Fatal(s)
	}
	if n := p.times("/1.crl"); n != 1 {
		t.Fatalf("asked %d times", n)
	}
	clock.move(usualListRefresh + time.Second)
	status(l1, "a.example.com")
	eventually(t, "the list is asked for again and has not changed", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.fresh["/1.crl"] == 1
	})
	// A revocation is noticed long before the list's end.
	p.put("/1.crl", crl(t, r, []x509.RevocationListEntry{revoked(l1.cert.SerialNumber, 1)}))
	p.change(func() { p.etags["/1.crl"] = `"two"` })
	clock.move(usualListRefresh + time.Second)
	eventually(t, "the revocation is seen", func() bool { return status(l1, "a.example.com") == "revoked" })
	if s := status(l2, "b.example.com"); s != "good" {
		t.Errorf("the other certificate is %s", s)
	}
	// A mirror that lags behind does not take it back.
	p.put("/1.crl", crl(t, r, nil, func(l *x509.RevocationList) { l.ThisUpdate = noon.Add(-5 * time.Hour) }))
	p.change(func() { p.etags["/1.crl"] = `"three"` })
	n := p.times("/1.crl")
	clock.move(usualListRefresh + time.Second)
	eventually(t, "the list is asked for again", func() bool { return status(l1, "a.example.com") != "" && p.times("/1.crl") > n })
	clock.move(2 * time.Minute)
	if s := status(l1, "a.example.com"); s != "revoked" {
		t.Errorf("an older list made it %s", s)
	}
}

// A server that fails is left alone for a while; the last good list serves until it ends.
func TestListServerFails(t *testing.T) {
	r := root(t, "Root")
	p := publish(t)
	l := leaf(t, "www.example.com", r, withCRL(p.URL+"/1.crl"))
	p.put("/1.crl", crl(t, r, nil, func(l *x509.RevocationList) { l.NextUpdate = noon.Add(48 * time.Hour) }))
	p.status["/1.crl"] = http.StatusInternalServerError
	clock := &hand{t: noon}
	a := analyser(t, trusting(t, r), online(clock))
	ask := func() assure.Revocation {
		c, _ := look(t, a, "www.example.com", l)
		return c.Revocation[0]
	}
	for range 5 {
		if got := ask(); got.Status != "unknown" || !strings.Contains(got.Detail, "status 500") {
			t.Fatalf("%+v", got)
		}
	}
	if n := p.times("/1.crl"); n != 1 {
		t.Fatalf("a failing server was asked %d times", n)
	}
	clock.move(firstBackoff)
	p.change(func() { delete(p.status, "/1.crl") })
	if got := ask(); got.Status != "good" {
		t.Fatalf("%+v", got)
	}
	p.change(func() { p.status["/1.crl"] = http.StatusBadGateway })
	clock.move(24 * time.Hour)
	if got := ask(); got.Status != "good" {
		t.Fatalf("the last good list is not used: %+v", got)
	}
	clock.move(25 * time.Hour)
	eventually(t, "the list has ended", func() bool { return ask().Status == "unknown" })
	if got := ask(); got.NextUpdate.IsZero() {
		t.Errorf("the dates of the last list are gone: %+v", got)
	}
}

// A slow revocation server holds up a look for the patience and no longer, once; its answer serves later looks.
func TestSlowListServer(t *testing.T) {
	r := root(t, "Root")
	p := publish(t)
	l := leaf(t, "www.example.com", r, withCRL(p.URL+"/slow.crl"))
	p.put("/slow.crl", crl(t, r, nil))
	release := make(chan struct{})
	p.block["/slow.crl"] = release
	a := analyser(t, trusting(t, r), online(&hand{t: noon}), func(o *AnalyserOptions) { o.Patience = 50 * time.Millisecond })
	chain, _ := look(t, a, "www.example.com", l)
	if got := chain.Revocation[0]; got.Status != "unknown" || got.Detail != "no answer within 50ms" || len(chain.Paths) != 1 {
		t.Fatalf("%+v", chain)
	}
	start := time.Now()
	for range 20 {
		look(t, a, "www.example.com", l)
	}
	if d := time.Since(start); d > 40*time.Millisecond*20 {
		t.Errorf("each further look waits again: %v for 20", d)
	}
	if n := p.times("/slow.crl"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	close(release)
	eventually(t, "the late answer serves", func() bool {
		c, _ := look(t, a, "www.example.com", l)
		return c.Revocation[0].Status == "good"
	})
	if n := p.times("/slow.crl"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestCancelledLookDoesNotWait(t *testing.T) {
	r := root(t, "Root")
	p := publish(t)
	p.block["/slow.crl"] = make(chan struct{})
	l := leaf(t, "www.example.com", r, withCRL(p.URL+"/slow.crl"))
	a := analyser(t, trusting(t, r), online(&hand{t: noon}))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	chain, _ := a.Analyse(ctx, "www.example.com", loopback, ders(l), 0, nil)
	if len(chain.Paths) != 1 || chain.Revocation[0].Status != "unknown" {
		t.Errorf("%+v", chain)
	}
	a.Close() // ends the fetch that is under way
	if c, _ := look(t, a, "www.example.com", l); c.Revocation[0].Status != "unknown" {
		t.Errorf("%+v", c.Revocation)
	}
}

// Somebody else's certificate that names a list cannot spoil it for the authority's own.
func TestListIsKeptForItsIssuer(t *testing.T) {
	r, evil := root(t, "Root"), root(t, "Evil")
	p := publish(t)
	url := p.put("/1.crl", crl(t, r, nil))
	good := leaf(t, "www.example.com", r, withCRL(url))
	bad := leaf(t, "www.example.com", evil, withCRL(url))
	a := analyser(t, trusting(t, r, evil), online(&hand{t: noon}))
	for range 2 {
		if c, _ := look(t, a, "www.example.com", bad); c.Revocation[0].Status != "unknown" {
			t.Errorf("%+v", c.Revocation)
		}
		if c, _ := look(t, a, "www.example.com", good); c.Revocation[0].Status != "good" {
			t.Errorf("%+v", c.Revocation)
		}
	}
}

func TestSecondAddressAndOtherSchemes(t *testing.T) {
	r := root(t, "Root")
	p := publish(t)
	url := p.put("/2.crl", crl(t, r, nil))
	a := analyser(t, trusting(t, r), online(&hand{t: noon}))
	l := leaf(t, "www.example.com", r, withCRL("ldap://ldap.example.com/cn=x", p.URL+"/1.crl", url))
	if c, _ := look(t, a, "www.example.com", l); c.Revocation[0].Status != "good" || c.Revocation[0].URL != url {
		t.Errorf("%+v", c.Revocation)
	}
	for _, u := range []string{"ldap://ldap.example.com/cn=x", "https://example.com/1.crl", "file:///etc/passwd", "http://user:pw@127.0.0.1/1.crl", "http:///1.crl", ":", "http://" + strings.Repeat("a", 3000)} {
		l := leaf(t, "www.example.com", r, withCRL(u))
		c, _ := look(t, a, "www.example.com", l)
		if got := c.Revocation[0]; got.Status != "unknown" || got.Detail == "" {
			t.Errorf("%.40s: %+v", u, got)
		}
	}
	if s := a.Stats(); s.Fetches != 2 {
		t.Errorf("%d fetches: something but http was asked", s.Fetches)
	}
}

// Lists come first, a responder is asked when they say nothing, and a staple makes the responder superfluous.
func TestWhoIsAsked(t *testing.T) {
	r := root(t, "Root")
	i := inter(t, "Inter", r)
	p := publish(t)
	crlURL := p.put("/1.crl", crl(t, i, nil))
	serial := big.NewInt(0x77)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/ocsp") {
			_, _ = w.Write(ocspFor(t, serial, i, nil))
			return
		}
		p.serve(w, req)
	})
	num := func(c *x509.Certificate) { c.SerialNumber = serial }
	staple := ocspFor(t, serial, i, nil)
	caCRL := p.put("/ca.crl", crl(t, r, []x509.RevocationListEntry{revoked(big.NewInt(99), 2)}))
	listed := inter(t, "Inter", r, withCRL(caCRL), func(c *x509.Certificate) { c.SerialNumber = big.NewInt(99) })
	both := leaf(t, "www.example.com", i, num, withCRL(crlURL), withOCSP(p.URL+"/ocsp"))
	for _, tc := range []struct {
		name   string
		l, i   *holder
		staple []byte
		mode   RevocationMode
		want   string
	}{
		{"a list and a responder", both, i, nil, "", "crl good"},
		{"a list that cannot be had, and a responder", leaf(t, "www.example.com", i, num, withCRL(p.URL+"/none.crl"), withOCSP(p.URL+"/ocsp")), i, nil, "", "crl unknown, ocsp good"},
		{"a staple and a responder", leaf(t, "www.example.com", i, num, withOCSP(p.URL+"/ocsp")), i, staple, "", "staple good"},
		{"a bad staple and a responder", leaf(t, "www.example.com", i, num, withOCSP(p.URL+"/ocsp")), i, []byte("bad"), "", "staple unknown, ocsp good"},
		{"a staple and a list", both, i, staple, "", "staple good, crl good"},
		{"neither", leaf(t, "www.example.com", i, num), i, nil, "", ""},
		{"off", both, i, staple, RevocationOff, ""},
		{"full", leaf(t, "www.example.com", sign(t, caTemplate("X"), keyP256(t), r)), i, nil, RevocationFull, ""}, // no path, nobody to ask
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := analyser(t, trusting(t, r), online(&hand{t: noon}), func(o *AnalyserOptions) { o.Revocation = tc.mode })
			c, _ := a.Analyse(context.Background(), "www.example.com", loopback, ders(tc.l, tc.i), 0, tc.staple)
			if got := said(c.Revocation); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
	t.Run("full: the intermediate is revoked", func(t *testing.T) {
		l := leaf(t, "www.example.com", listed, num, withCRL(p.put("/l.crl", crl(t, listed, nil))))
		a := analyser(t, trusting(t, r), online(&hand{t: noon}), func(o *AnalyserOptions) { o.Revocation = RevocationFull })
		c, certs := look(t, a, "www.example.com", l, listed)
		if got := said(c.Revocation); got != "crl good, crl revoked" || c.Revocation[1].Cert != certs[1].Fingerprint || c.Revocation[1].Reason != "cACompromise" {
			t.Errorf("%+v", c.Revocation)
		}
	})
}

func said(list []assure.Revocation) string {
	var out []string
	for _, r := range list {
		out = append(out, r.Via+" "+r.Status)
	}
	return strings.Join(out, ", ")
}
