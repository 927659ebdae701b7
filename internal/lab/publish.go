package lab

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"
)

// Publication is how an authority answers when it is asked for a revocation list, an OCSP answer or its certificate. It
// is a part of the address, so that one authority can answer each certificate's readers differently.
type Publication string

// Ways to answer.
const (
	Sound       Publication = "sound"        // properly
	Delegated   Publication = "delegated"    // OCSP: properly, signed by a responder that the authority certified
	Stale       Publication = "stale"        // signed properly, but its time is over
	Garbage     Publication = "garbage"      // bytes that mean nothing
	WrongSigner Publication = "wrong-signer" // signed by a key that is not the authority's
	Slow        Publication = "slow"         // properly, after [CAOptions.Slow]
	Hanging     Publication = "hanging"      // never: the connection stays open until the client or the CA gives up
	Missing     Publication = "missing"      // HTTP 404
	TryLater    Publication = "try-later"    // OCSP: the responder asks to be asked again (RFC 6960 section 2.3)
	NotKnown    Publication = "not-known"    // OCSP: the status unknown
	Huge        Publication = "huge"         // an endless body
)

// CRLURL is where certificates say that the authority's revocation list is.
func (a *Authority) CRLURL(p Publication) string {
	return a.ca.base + "/crl/" + a.path + "/" + string(p) + ".crl"
}

// OCSPURL is where certificates say that the authority's OCSP responder is.
func (a *Authority) OCSPURL(p Publication) string {
	return a.ca.base + "/ocsp/" + a.path + "/" + string(p)
}

// IssuerURL is where certificates say that the authority's own certificate is.
func (a *Authority) IssuerURL(p Publication) string {
	return a.ca.base + "/issuer/" + a.path + "/" + string(p) + ".cer"
}

// Requests returns how often the address was asked for, as given by CRLURL, OCSPURL or IssuerURL.
func (ca *CA) Requests(address string) int {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.requests[strings.TrimPrefix(address, ca.base)]
}

func (ca *CA) handler() http.Handler {
	mux := http.NewServeMux()
	serve := func(pattern, kind string, trim string, answer func(*http.Request, []byte, *Authority, Publication) ([]byte, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			p := Publication(strings.TrimSuffix(r.PathValue("how"), trim))
			ca.mu.Lock()
			a := ca.authorities[r.PathValue("authority")]
			ca.requests["/"+kind+"/"+r.PathValue("authority")+"/"+r.PathValue("how")]++
			ca.mu.Unlock()
			if a == nil || p == Missing {
				http.NotFound(w, r)
				return
			}
			// Read first: net/http notices the end of a connection only behind the body.
			body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
			if err != nil || !ca.hold(w, r, p) {
				return
			}
			out, err := answer(r, body, a, p)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", map[string]string{"crl": "application/pkix-crl", "ocsp": "application/ocsp-response", "issuer": "application/pkix-cert"}[kind])
			_, _ = w.Write(out)
		})
	}
	serve("GET /crl/{authority}/{how}", "crl", ".crl", func(_ *http.Request, _ []byte, a *Authority, p Publication) ([]byte, error) { return a.CRL(p) })
	serve("GET /issuer/{authority}/{how}", "issuer", ".cer", func(_ *http.Request, _ []byte, a *Authority, p Publication) ([]byte, error) {
		if p == Garbage {
			return garbage(900), nil
		}
		return a.Cert.Raw, nil
	})
	serve("POST /ocsp/{authority}/{how}", "ocsp", "", func(_ *http.Request, body []byte, a *Authority, p Publication) ([]byte, error) {
		return a.respond(body, p)
	})
	serve("GET /ocsp/{authority}/{how}/{request...}", "ocsp", "", func(r *http.Request, _ []byte, a *Authority, p Publication) ([]byte, error) {
		text, err := url.PathUnescape(r.PathValue("request"))
		if err != nil {
			text = r.PathValue("request")
		}
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return ocsp.MalformedRequestErrorResponse, nil
		}
		return a.respond(der, p)
	})
	return mux
}

// hold waits as p says. It reports whether an answer is to follow.
func (ca *CA) hold(w http.ResponseWriter, r *http.Request, p Publication) bool {
	switch p {
	case Slow:
		t := time.NewTimer(ca.opts.Slow)
		defer t.Stop()
		select {
		case <-t.C:
			return true
		case <-r.Context().Done(): // also when the server is closed
		}
		return false
	case Hanging:
		<-r.Context().Done()
		return false
	case Huge:
		block := bytes.Repeat([]byte{0x30}, 1<<20)
		for {
			if _, err := w.Write(block); err != nil {
				return false
			}
		}
	}
	return true
}

// CRL makes the authority's revocation list as of now (RFC 5280 section 5), in DER.
func (a *Authority) CRL(p Publication) ([]byte, error) {
	if p == Garbage {
		return garbage(600), nil
	}
	now := a.ca.opts.Now().UTC().Truncate(time.Second)
	a.mu.Lock()
	a.number++
	tmpl := &x509.RevocationList{Number: big.NewInt(a.number), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(a.ca.opts.Fresh)}
	a.mu.Unlock()
	if p == Stale {
		tmpl.ThisUpdate, tmpl.NextUpdate = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	}
	for _, r := range a.revocations() {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: r.serial, RevocationTime: r.at, ReasonCode: r.reason})
	}
	issuer, key, err := a.signerFor(p)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, issuer, key)
	if err != nil {
		return nil, fmt.Errorf("sign the revocation list of %s: %w", a.path, err)
	}
	return der, nil
}

// signerFor returns the authority's own certificate and key, or a certificate of the same name with another key.
func (a *Authority) signerFor(p Publication) (*x509.Certificate, crypto.Signer, error) {
	if p != WrongSigner {
		return a.Cert, a.key, nil
	}
	key, err := a.ca.newKey(P256)
	if err != nil {
		return nil, nil, err
	}
	c := *a.Cert
	c.PublicKey, c.PublicKeyAlgorithm = key.Public(), x509.ECDSA
	return &c, key, nil
}

// Answer makes an OCSP answer about a certificate of this authority (RFC 6960), in DER: for stapling.
func (a *Authority) Answer(c *x509.Certificate, p Publication) ([]byte, error) {
	return a.answer(c.SerialNumber, p)
}

func (a *Authority) respond(der []byte, p Publication) ([]byte, error) {
	req, err := ocsp.ParseRequest(der)
	if err != nil {
		return ocsp.MalformedRequestErrorResponse, nil //nolint:nilerr // that is what the answer says
	}
	return a.answer(req.SerialNumber, p)
}

func (a *Authority) answer(serial *big.Int, p Publication) ([]byte, error) {
	now := a.ca.opts.Now().UTC().Truncate(time.Second)
	tmpl := ocsp.Response{SerialNumber: serial, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(a.ca.opts.Fresh)}
	r, revoked, known := a.isRevoked(serial)
	switch {
	case revoked:
		tmpl.Status, tmpl.RevokedAt, tmpl.RevocationReason = ocsp.Revoked, r.at, r.reason
	case known:
		tmpl.Status = ocsp.Good
	default:
		tmpl.Status = ocsp.Unknown
	}
	switch p {
	case Garbage:
		return garbage(400), nil
	case TryLater:
		return ocsp.TryLaterErrorResponse, nil
	case NotKnown:
		tmpl.Status = ocsp.Unknown
	case Stale:
		tmpl.ThisUpdate, tmpl.NextUpdate = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	case Delegated:
		d, err := a.delegate()
		if err != nil {
			return nil, err
		}
		tmpl.Certificate = d.Cert
		return signOCSP(a.Cert, d.Cert, tmpl, d.Key)
	}
	cert, key, err := a.signerFor(p)
	if err != nil {
		return nil, err
	}
	return signOCSP(a.Cert, cert, tmpl, key)
}

func signOCSP(issuer, responder *x509.Certificate, tmpl ocsp.Response, key crypto.Signer) ([]byte, error) {
	der, err := ocsp.CreateResponse(issuer, responder, tmpl, key)
	if err != nil {
		return nil, fmt.Errorf("sign an OCSP answer: %w", err)
	}
	return der, nil
}

// delegate returns the authority's responder: a certificate for the purpose of OCSP signing (RFC 6960 section 4.2.2.2).
func (a *Authority) delegate() (*Leaf, error) {
	a.mu.Lock()
	d := a.responder
	a.mu.Unlock()
	if d != nil {
		return d, nil
	}
	d, err := a.Issue(LeafOptions{CommonName: a.Cert.Subject.CommonName + " OCSP", Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, CRL: []string{}, Issuer: []string{}})
	if err != nil {
		return nil, errors.Join(errors.New("certify an OCSP responder"), err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.responder == nil {
		a.responder = d
	}
	return a.responder, nil
}

// garbage is n bytes that look like no format, the same each time.
func garbage(n int) []byte {
	out := make([]byte, n)
	x := uint32(2463534242)
	for i := range out {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		out[i] = byte(x >> 24)
	}
	return out
}
