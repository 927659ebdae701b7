package lab_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/notafter/notafter/internal/lab"
)

func newCA(t *testing.T) *lab.CA {
	t.Helper()
	ca, err := lab.NewCA(lab.CAOptions{Slow: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Stop)
	return ca
}

func issue(t *testing.T, by *lab.Authority, o lab.LeafOptions) *lab.Leaf {
	t.Helper()
	l, err := by.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func pool(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

func fetch(t *testing.T, address string) (int, []byte) {
	t.Helper()
	r, err := http.Get(address) //nolint:noctx // loopback, in a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, b
}

func TestIssuedCertificatesVerify(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	for _, k := range []lab.KeyType{lab.P256, lab.P384, lab.RSA2048, lab.RSA1024, lab.Ed25519} {
		l := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"bücher.lab.test", "*.wild.lab.test", "127.0.0.1", "::1"}, Key: k})
		for _, name := range []string{"xn--bcher-kva.lab.test", "a.wild.lab.test", "127.0.0.1", "::1"} {
			if _, err := l.Cert.Verify(x509.VerifyOptions{DNSName: name, Roots: pool(ca.Root.Cert), Intermediates: pool(ca.Issuing.Cert)}); err != nil {
				t.Errorf("%s, %s: %v", k, name, err)
			}
		}
		if len(l.Chain) != 2 || !bytes.Equal(l.Chain[1], ca.Issuing.Cert.Raw) {
			t.Errorf("%s: the chain is not leaf and intermediate", k)
		}
	}
	if _, err := ca.Issuing.Issue(lab.LeafOptions{Names: []string{"x"}, Key: "DSA 512"}); err == nil {
		t.Error("an unknown kind of key was made")
	}
	if _, err := ca.NewAuthority(ca.Root, lab.AuthorityOptions{Name: "Lab Issuing"}); err == nil {
		t.Error("two authorities have one address")
	}
}

func TestSHA1IsReallyUsed(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	l := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}, Signature: x509.ECDSAWithSHA1})
	if l.Cert.SignatureAlgorithm != x509.ECDSAWithSHA1 {
		t.Errorf("signed with %s", l.Cert.SignatureAlgorithm)
	}
	var insecure x509.InsecureAlgorithmError
	if err := l.Cert.CheckSignatureFrom(ca.Issuing.Cert); !errors.As(err, &insecure) {
		t.Errorf("the signature is refused with %v", err)
	}
}

func TestCrossSignAndSuccessor(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	other, err := ca.NewAuthority(nil, lab.AuthorityOptions{Name: "Other Root"})
	if err != nil {
		t.Fatal(err)
	}
	cross, err := other.CrossSign(ca.Issuing, lab.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	if _, err := l.Cert.Verify(x509.VerifyOptions{Roots: pool(other.Cert), Intermediates: pool(cross)}); err != nil {
		t.Errorf("by the other root: %v", err)
	}
	next, err := ca.Issuing.Successor(lab.AuthorityOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if next.Cert.Subject.String() != ca.Issuing.Cert.Subject.String() || next.CRLURL(lab.Sound) == ca.Issuing.CRLURL(lab.Sound) {
		t.Error("the successor has another name, or the same address")
	}
	if l.Cert.CheckSignatureFrom(next.Cert) == nil {
		t.Error("the successor has the same key")
	}
}

func TestRevocationList(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	good := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"good.lab.test"}})
	leaked := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"leaked.lab.test"}})
	ca.Issuing.Revoke(leaked.Cert, 1)
	if len(good.Cert.CRLDistributionPoints) != 1 {
		t.Fatal("the certificate names no list")
	}
	_, der := fetch(t, good.Cert.CRLDistributionPoints[0])
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(ca.Issuing.Cert); err != nil {
		t.Error(err)
	}
	if !time.Now().Before(list.NextUpdate) || time.Now().Before(list.ThisUpdate) {
		t.Errorf("the list is of %s to %s", list.ThisUpdate, list.NextUpdate)
	}
	if len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(leaked.Cert.SerialNumber) != 0 ||
		list.RevokedCertificateEntries[0].ReasonCode != 1 {
		t.Errorf("the list holds %+v", list.RevokedCertificateEntries)
	}
	if ca.Requests(good.Cert.CRLDistributionPoints[0]) != 1 {
		t.Error("the request was not counted")
	}

	_, stale := fetch(t, ca.Issuing.CRLURL(lab.Stale))
	if list, err := x509.ParseRevocationList(stale); err != nil || !list.NextUpdate.Before(time.Now()) {
		t.Errorf("the stale list is not stale: %v", err)
	}
	_, wrong := fetch(t, ca.Issuing.CRLURL(lab.WrongSigner))
	if list, err := x509.ParseRevocationList(wrong); err != nil || list.CheckSignatureFrom(ca.Issuing.Cert) == nil {
		t.Errorf("the list of the wrong signer is none, or is right: %v", err)
	}
	_, junk := fetch(t, ca.Issuing.CRLURL(lab.Garbage))
	if _, err := x509.ParseRevocationList(junk); err == nil {
		t.Error("the garbage is a list")
	}
	if code, _ := fetch(t, ca.Issuing.CRLURL(lab.Missing)); code != http.StatusNotFound {
		t.Errorf("the missing list answers %d", code)
	}
	_, der = fetch(t, good.Cert.IssuingCertificateURL[0])
	if !bytes.Equal(der, ca.Issuing.Cert.Raw) {
		t.Error("the issuer's certificate is another one")
	}
}

func TestSlowAndHangingAnswersEndWithTheCA(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	begun := time.Now()
	fetch(t, ca.Issuing.CRLURL(lab.Slow))
	if d := time.Since(begun); d < 100*time.Millisecond {
		t.Errorf("the slow answer took %s", d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, ca.Issuing.CRLURL(lab.Hanging), nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := http.DefaultClient.Do(r); err == nil {
		_ = answer.Body.Close()
		t.Error("the hanging server answered")
	}
	done := make(chan error, 1)
	go func() {
		answer, err := http.Get(ca.Issuing.CRLURL(lab.Hanging)) //nolint:noctx // ended by Stop
		if err == nil {
			_ = answer.Body.Close()
		}
		done <- err
	}()
	for ca.Requests(ca.Issuing.CRLURL(lab.Hanging)) < 2 {
		<-time.After(5 * time.Millisecond)
	}
	ca.Stop()
	if err := <-done; err == nil {
		t.Error("the hanging server answered when it was stopped")
	}
	ca.Stop() // twice is harmless
}

func TestOCSP(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	a := ca.Issuing
	good := issue(t, a, lab.LeafOptions{Names: []string{"good.lab.test"}, OCSP: []string{a.OCSPURL(lab.Sound)}})
	bad := issue(t, a, lab.LeafOptions{Names: []string{"bad.lab.test"}})
	a.Revoke(bad.Cert, 4)
	foreign, err := ca.SelfSigned(lab.LeafOptions{Names: []string{"foreign.lab.test"}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(c *x509.Certificate, p lab.Publication, get bool) (*ocsp.Response, error) {
		t.Helper()
		req, err := ocsp.CreateRequest(c, a.Cert, &ocsp.RequestOptions{Hash: crypto.SHA1})
		if err != nil {
			t.Fatal(err)
		}
		var body []byte
		if get {
			_, body = fetch(t, a.OCSPURL(p)+"/"+url.PathEscape(base64.StdEncoding.EncodeToString(req)))
		} else {
			r, err := http.Post(a.OCSPURL(p), "application/ocsp-request", bytes.NewReader(req)) //nolint:noctx // loopback
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Body.Close() }()
			if body, err = io.ReadAll(r.Body); err != nil {
				t.Fatal(err)
			}
		}
		return ocsp.ParseResponseForCert(body, c, a.Cert)
	}
	for _, c := range []struct {
		what string
		cert *x509.Certificate
		how  lab.Publication
		get  bool
		want int
	}{
		{"good by POST", good.Cert, lab.Sound, false, ocsp.Good},
		{"good by GET", good.Cert, lab.Sound, true, ocsp.Good},
		{"good by a delegated responder", good.Cert, lab.Delegated, false, ocsp.Good},
		{"revoked", bad.Cert, lab.Sound, false, ocsp.Revoked},
		{"revoked by a delegated responder", bad.Cert, lab.Delegated, true, ocsp.Revoked},
		{"somebody else's certificate", foreign.Cert, lab.Sound, false, ocsp.Unknown},
		{"unknown on purpose", good.Cert, lab.NotKnown, false, ocsp.Unknown},
	} {
		r, err := ask(c.cert, c.how, c.get)
		if err != nil || r.Status != c.want {
			t.Errorf("%s: %+v, %v", c.what, r, err)
		}
	}
	if r, err := ask(bad.Cert, lab.Sound, false); err != nil || r.RevocationReason != 4 {
		t.Errorf("the reason is lost: %+v, %v", r, err)
	}
	if r, err := ask(good.Cert, lab.Stale, false); err != nil || !r.NextUpdate.Before(time.Now()) {
		t.Errorf("the stale answer is not stale: %v", err)
	}
	var refused ocsp.ResponseError
	if _, err := ask(good.Cert, lab.TryLater, false); !errors.As(err, &refused) || refused.Status != ocsp.TryLater {
		t.Errorf("try later: %v", err)
	}
	for _, p := range []lab.Publication{lab.Garbage, lab.WrongSigner} {
		if _, err := ask(good.Cert, p, false); err == nil {
			t.Errorf("the answer %s is accepted", p)
		}
	}
	der, err := a.Answer(good.Cert, lab.Delegated)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := ocsp.ParseResponseForCert(der, good.Cert, a.Cert); err != nil || r.Certificate == nil {
		t.Errorf("the staple of the delegated responder: %v", err)
	}
}
