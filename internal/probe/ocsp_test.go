package probe

import (
	"context"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"golang.org/x/crypto/ocsp"
)

func TestOCSP(t *testing.T) {
	r := root(t, "Root")
	serial := big.NewInt(0x4242)
	responder := sign(t, leafTemplate("responder", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }), keyP256(t), r)
	shortResponder := sign(t, leafTemplate("responder", func(c *x509.Certificate) {
		c.ExtKeyUsage, c.NotAfter = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, noon.Add(time.Hour)
	}), keyP256(t), r)
	imposter := leaf(t, "imposter", r) // of the same issuer, without the purpose
	evil := root(t, "Evil")
	foreign := sign(t, leafTemplate("responder", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }), keyP256(t), evil)
	gone := func(a *ocsp.Response) {
		a.Status, a.RevokedAt, a.RevocationReason = ocsp.Revoked, noon.Add(-2*time.Hour), ocsp.CessationOfOperation
	}
	for _, tc := range []struct {
		name   string
		body   []byte
		status string
		detail string
		next   time.Time
	}{
		{"good, signed by the issuer", ocspFor(t, serial, r, nil), "good", "", noon.Add(4 * 24 * time.Hour)},
		{"good, signed by a delegate", ocspFor(t, serial, r, responder), "good", "", noon.Add(4 * 24 * time.Hour)},
		{"the delegate ends before the answer", ocspFor(t, serial, r, shortResponder), "good", "", noon.Add(time.Hour)},
		{"revoked", ocspFor(t, serial, r, responder, gone), "revoked", "", noon.Add(4 * 24 * time.Hour)},
		{"unknown to the responder", ocspFor(t, serial, r, nil, func(a *ocsp.Response) { a.Status = ocsp.Unknown }), "unknown", "does not know", time.Time{}},
		{"about another certificate", ocspFor(t, big.NewInt(77), r, nil), "unknown", "cannot be used", time.Time{}},
		{"signed by somebody without the purpose", ocspFor(t, serial, r, imposter), "unknown", "may not sign", time.Time{}},
		{"signed by another issuer's delegate", ocspFor(t, serial, r, foreign), "unknown", "from another issuer", time.Time{}},
		{"signed by another issuer", ocspFor(t, serial, evil, nil), "unknown", "not signed by", time.Time{}},
		{"out of date", ocspFor(t, serial, r, nil, func(a *ocsp.Response) { a.NextUpdate = noon.Add(-time.Second) }), "unknown", "out of date", time.Time{}},
		{"from the future", ocspFor(t, serial, r, nil, func(a *ocsp.Response) { a.ThisUpdate = noon.Add(time.Hour) }), "unknown", "future", time.Time{}},
		{"try later", ocsp.TryLaterErrorResponse, "unknown", "try later", time.Time{}},
		{"garbage", []byte("garbage"), "unknown", "cannot be used", time.Time{}},
		{"too large", make([]byte, maxOCSP+1), "unknown", "larger than", time.Time{}},
	} {
		check := func(t *testing.T, got assure.Revocation, via string) {
			t.Helper()
			if got.Via != via || got.Status != tc.status || !strings.Contains(got.Detail, tc.detail) || (got.Detail == "") != (tc.detail == "") {
				t.Errorf("%+v", got)
			}
			if !tc.next.IsZero() && !got.NextUpdate.Equal(tc.next) {
				t.Errorf("next update %v, want %v", got.NextUpdate, tc.next)
			}
			if tc.status == "revoked" && (got.Reason != "cessationOfOperation" || !got.RevokedAt.Equal(noon.Add(-2*time.Hour))) {
				t.Errorf("%+v", got)
			}
		}
		t.Run("asked: "+tc.name, func(t *testing.T) {
			p := publish(t)
			var posted int
			p.handle["/"] = func(w http.ResponseWriter, req *http.Request) {
				b, _ := io.ReadAll(req.Body)
				q, err := ocsp.ParseRequest(b)
				if req.Method != http.MethodPost || err != nil || q.SerialNumber.Cmp(serial) != 0 {
					w.WriteHeader(http.StatusMethodNotAllowed) // GET is tried first
					return
				}
				posted++
				_, _ = w.Write(tc.body)
			}
			p.Config.Handler = p.handle["/"]
			l := leaf(t, "www.example.com", r, withOCSP(p.URL), func(c *x509.Certificate) { c.SerialNumber = serial })
			a := analyser(t, trusting(t, r), online(&hand{t: noon}))
			for range 2 {
				c, _ := look(t, a, "www.example.com", l)
				if len(c.Revocation) != 1 {
					t.Fatalf("%+v", c.Revocation)
				}
				check(t, c.Revocation[0], "ocsp")
			}
			if posted != 1 {
				t.Errorf("asked %d times", posted)
			}
		})
		t.Run("stapled: "+tc.name, func(t *testing.T) {
			l := leaf(t, "www.example.com", r, func(c *x509.Certificate) { c.SerialNumber = serial })
			a := analyser(t, trusting(t, r))
			for range 2 {
				c, _ := a.Analyse(context.Background(), "www.example.com", loopback, ders(l), 0, tc.body)
				if len(c.Revocation) != 1 {
					t.Fatalf("%+v", c.Revocation)
				}
				check(t, c.Revocation[0], "staple")
			}
			if n := a.staples.len(); n != 1 {
				t.Errorf("%d staples kept", n)
			}
		})
	}
}
