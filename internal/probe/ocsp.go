package probe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"
)

// maxOCSP bounds a response, stapled or fetched: real ones have one or two certificates in them and stay under 6 KiB.
const maxOCSP = 16 << 10

// ocspAnswer is what a response says of one certificate. Times are Unix seconds, 0 when absent.
type ocspAnswer struct {
	status    uint8 // 0: unknown
	reason    uint8
	this      int64
	next      int64
	revokedAt int64
	detail    string
}

// Values of ocspAnswer.status.
const (
	answerUnknown = iota
	answerGood
	answerRevoked
)

// parseOCSP reads a response (RFC 6960) about cert and checks its signature: by the issuer itself, or by a responder
// whose certificate the issuer signed for that purpose (section 4.2.2.2). An answer does not outlive the responder's
// certificate. The issuer that the answer names is not compared: its key or its delegate signed the answer, and one
// authority does not give a serial number twice.
func parseOCSP(der []byte, cert, issuer *x509.Certificate) (ocspAnswer, error) {
	if len(der) > maxOCSP {
		return ocspAnswer{}, fmt.Errorf("the OCSP response is larger than %d KiB", maxOCSP>>10)
	}
	r, err := ocsp.ParseResponseForCert(der, cert, nil)
	if err != nil {
		if refused, ok := errors.AsType[ocsp.ResponseError](err); ok {
			return ocspAnswer{}, fmt.Errorf("the OCSP responder answers %q", refused.Status.String())
		}
		return ocspAnswer{}, fmt.Errorf("the OCSP response cannot be used: %s", clipText(err.Error(), 120))
	}
	if r.SerialNumber == nil || r.SerialNumber.Cmp(cert.SerialNumber) != 0 {
		return ocspAnswer{}, errors.New("the OCSP response is about another certificate")
	}
	delegate := r.Certificate
	if delegate == nil || bytes.Equal(delegate.Raw, issuer.Raw) {
		if err := r.CheckSignatureFrom(issuer); err != nil {
			return ocspAnswer{}, fmt.Errorf("the OCSP response is not signed by the certificate's issuer: %s", trimX509(err.Error()))
		}
		delegate = nil
	} else if err := authorised(delegate, issuer); err != nil {
		return ocspAnswer{}, err
	}
	a := ocspAnswer{this: r.ThisUpdate.Unix()}
	if !r.NextUpdate.IsZero() {
		a.next = r.NextUpdate.Unix()
	}
	if delegate != nil {
		if end := delegate.NotAfter.Unix(); a.next == 0 || end < a.next {
			a.next = end
		}
	}
	switch r.Status {
	case ocsp.Good:
		a.status = answerGood
	case ocsp.Revoked:
		a.status = answerRevoked
		a.revokedAt = r.RevokedAt.Unix()
		a.reason = uint8(max(0, min(r.RevocationReason, 255)))
	default:
		a.detail = "the OCSP responder does not know the certificate"
	}
	return a, nil
}

// authorised checks that the issuer let the delegate answer for it (RFC 6960 section 4.2.2.2). The delegate's
// signature on the response was checked when it was parsed.
func authorised(delegate, issuer *x509.Certificate) error {
	if !bytes.Equal(delegate.RawIssuer, issuer.RawSubject) {
		return errors.New("the OCSP responder's certificate is from another issuer")
	}
	if err := issuer.CheckSignature(delegate.SignatureAlgorithm, delegate.RawTBSCertificate, delegate.Signature); err != nil {
		return fmt.Errorf("the OCSP responder's certificate is not signed by the certificate's issuer: %s", trimX509(err.Error()))
	}
	if !slices.Contains(delegate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		return errors.New("the OCSP responder's certificate may not sign responses")
	}
	return nil
}

// ocspKey is one question to one responder.
type ocspKey struct {
	place placeKey
	cert  [sha256.Size]byte
}

// stapleKey identifies a staple together with what it was checked against.
type stapleKey [16]byte

// Bounds of the answers kept.
const (
	maxAnswers = 1 << 16
	maxStaples = 1 << 17
)

// How soon a responder is asked again: half-way to the answer's end, within these.
const (
	minAnswerRefresh = 10 * time.Minute
	maxAnswerRefresh = 24 * time.Hour
	unknownRefresh   = time.Hour
)

func (a *Analyser) fetchAnswer(ctx context.Context, place placeKey, cert, issuer *x509.Certificate) (goods[ocspAnswer], error) {
	var none goods[ocspAnswer]
	body, err := ocsp.CreateRequest(cert, issuer, nil)
	if err != nil {
		return none, fmt.Errorf("make an OCSP request: %s", clipText(err.Error(), 100))
	}
	r, err := a.askResponder(ctx, place, body)
	if err != nil {
		return none, err
	}
	answer, err := parseOCSP(r.body, cert, issuer)
	if err != nil {
		a.fetcher.failures.Add(1)
		return none, err
	}
	now := a.now()
	g := goods[ocspAnswer]{value: answer, until: now.Add(unknownRefresh), refresh: now.Add(unknownRefresh)}
	if answer.next != 0 && answer.status != answerUnknown {
		g.until = time.Unix(answer.next, 0)
		half := g.until.Sub(now) / 2
		g.refresh = now.Add(max(minAnswerRefresh, min(half, maxAnswerRefresh)))
	}
	return g, nil
}

// askResponder asks with GET where the request is short enough, which lets caches answer (RFC 5019 section 5), and with
// POST otherwise or when the responder does not take GET.
func (a *Analyser) askResponder(ctx context.Context, place placeKey, body []byte) (response, error) {
	get := strings.TrimSuffix(place.url, "/") + "/" + url.QueryEscape(base64.StdEncoding.EncodeToString(body))
	if len(get) <= 255 && !strings.ContainsAny(place.url, "?#") {
		r, err := a.fetcher.do(ctx, request{reach: place.reach, url: get, limit: maxAnswerBody})
		var status *statusError
		if !errors.As(err, &status) || status.code < http.StatusBadRequest {
			return r, err
		}
	}
	return a.fetcher.do(ctx, request{reach: place.reach, url: place.url, post: body, postType: "application/ocsp-request", limit: maxAnswerBody})
}
