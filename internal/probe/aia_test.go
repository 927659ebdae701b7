package probe

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"
)

func withAIA(urls ...string) certOption {
	return func(c *x509.Certificate) { c.IssuingCertificateURL = urls }
}

// pkcs7 is a certs-only message (RFC 2315 section 9.1).
func pkcs7(t testing.TB, hs ...*holder) []byte {
	t.Helper()
	var certs []byte
	for _, h := range hs {
		certs = append(certs, h.cert.Raw...)
	}
	set := asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true}
	signed := struct {
		Version int
		Digests asn1.RawValue
		Content struct{ Type asn1.ObjectIdentifier }
		Certs   asn1.RawValue
		Signers asn1.RawValue
	}{1, set, struct{ Type asn1.ObjectIdentifier }{oidData}, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: certs}, set}
	inner, err := asn1.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{oidSignedData, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestMissingIntermediateIsFetched(t *testing.T) {
	r := root(t, "Root")
	i := inter(t, "Inter", r)
	stray := inter(t, "Stray", r)
	const whole = "CN=www.example.com > CN=Inter > CN=Root"
	for _, tc := range []struct {
		name      string
		body      []byte
		completed string
	}{
		{"DER", i.cert.Raw, whole},
		{"PEM", pemOf("CERTIFICATE", i.cert.Raw), whole},
		{"PKCS #7", pkcs7(t, stray, i), whole},
		{"PKCS #7 in PEM", pemOf("PKCS7", pkcs7(t, i)), whole},
		{"PKCS #7 with nothing in it", pkcs7(t), ""},
		{"another authority", stray.cert.Raw, ""},
		{"another key of that name", inter(t, "Inter", r).cert.Raw, ""},
		{"garbage", []byte("garbage"), ""},
		{"nothing there", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := publish(t)
			if tc.body != nil {
				p.put("/inter", tc.body)
			}
			l := leaf(t, "www.example.com", i, withAIA("ldap://nowhere", p.URL+"/inter"))
			a := analyser(t, trusting(t, r), online(&hand{t: noon}))
			for range 2 {
				c, certs := look(t, a, "www.example.com", l)
				if got := pathNames(c.Completed, certs); got != tc.completed || c.MissingIssuer != "CN=Inter" || len(c.Paths) != 0 || c.UntrustedRoot || c.PathError != "" {
					t.Errorf("completed %q: %+v", got, c)
				}
			}
			if n := p.times("/inter"); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestSeveralIntermediatesAreFetched(t *testing.T) {
	r := root(t, "Root")
	p := publish(t)
	upper := inter(t, "Upper", r)
	lower := inter(t, "Lower", upper, withAIA(p.put("/upper", upper.cert.Raw)))
	l := leaf(t, "www.example.com", lower, withAIA(p.put("/lower", lower.cert.Raw)))
	a := analyser(t, trusting(t, r), online(&hand{t: noon}))
	c, certs := look(t, a, "www.example.com", l)
	if got := pathNames(c.Completed, certs); got != "CN=www.example.com > CN=Lower > CN=Upper > CN=Root" {
		t.Errorf("%s: %+v", got, c)
	}
	if c.MissingIssuer != "CN=Lower" {
		t.Errorf("missing %s", c.MissingIssuer)
	}
	// What was fetched once is known for other chains, without asking.
	other := leaf(t, "other.example.com", lower)
	if c, certs := look(t, a, "other.example.com", other); pathNames(c.Completed, certs) == "" {
		t.Errorf("%+v", c)
	}
}

// A chain that could not be completed is looked at again later.
func TestIncompleteChainIsLookedAtAgain(t *testing.T) {
	r := root(t, "Root")
	i := inter(t, "Inter", r)
	p := publish(t)
	p.put("/inter", i.cert.Raw)
	p.status["/inter"] = http.StatusServiceUnavailable
	clock := &hand{t: noon}
	a := analyser(t, trusting(t, r), online(clock))
	l := leaf(t, "www.example.com", i, withAIA(p.URL+"/inter"))
	silent := leaf(t, "silent.example.com", i)
	completed := func(l *holder, host string) bool {
		c, _ := look(t, a, host, l)
		return len(c.Completed) > 0
	}
	if completed(l, "www.example.com") || completed(silent, "silent.example.com") {
		t.Fatal("completed out of nothing")
	}
	p.change(func() { delete(p.status, "/inter") })
	if completed(l, "www.example.com") {
		t.Error("asked again at once")
	}
	clock.move(recheckUnfetched + time.Second)
	if !completed(l, "www.example.com") {
		t.Error("not completed when the address answers")
	}
	if completed(silent, "silent.example.com") {
		t.Error("rechecked too early")
	}
	clock.move(recheckIncomplete)
	if !completed(silent, "silent.example.com") {
		t.Error("not completed with what is known meanwhile")
	}
}

// A chain of addresses without end, each naming the next, is followed only so far.
func TestEndlessIssuersAreBounded(t *testing.T) {
	r := root(t, "Root")
	p := publish(t)
	asked := 0
	top := root(t, "Unknown 9")
	chain := []*holder{top}
	for n := 8; n >= 0; n-- {
		name := "Unknown " + string(rune('0'+n))
		above := chain[len(chain)-1]
		chain = append(chain, inter(t, name, above, withAIA(p.put("/"+strings.ReplaceAll(above.cert.Subject.CommonName, " ", "-"), above.cert.Raw))))
	}
	last := chain[len(chain)-1]
	l := leaf(t, "www.example.com", last, withAIA(p.put("/Unknown-0", last.cert.Raw)))
	a := analyser(t, trusting(t, r), online(&hand{t: noon}))
	c, _ := look(t, a, "www.example.com", l)
	for _, n := range p.asked {
		asked += n
	}
	if asked != completionRounds || len(c.Paths)+len(c.Completed) != 0 || c.MissingIssuer != "CN=Unknown 0" {
		t.Errorf("%d fetches, %+v", asked, c)
	}
}
