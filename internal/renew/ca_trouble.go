package renew

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/notafter/notafter/internal/assure"
)

// failure is trouble with what caused it, so that callers can also ask for context.Canceled and the like.
type failure struct {
	*assure.Trouble
	cause error
}

func (f *failure) Error() string   { return f.Trouble.Error() }
func (f *failure) Unwrap() []error { return []error{f.Trouble, f.cause} }

// problemInvalidProfile is of draft-ietf-acme-profiles section 5; acmez has no name for it.
const problemInvalidProfile = acme.ProblemTypeNamespace + "invalidProfile"

// trouble says what an error of the CA means. doing is what was attempted, as "place the order"; h is what was heard
// meanwhile, may be nil. Trouble passes through unchanged.
func (c *CA) trouble(err error, h *heard, doing string) error {
	if err == nil {
		return nil
	}
	var t *assure.Trouble
	if errors.As(err, &t) {
		return err
	}
	t = &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleTransient, Scope: c.o.Directory}
	status, pause := h.last()
	var p acme.Problem
	var wrongTLS *tls.CertificateVerificationError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &p):
		c.ofProblem(t, p, status, pause)
	case errors.Is(err, context.Canceled):
		t.Detail = "it was stopped"
	case errors.Is(err, context.DeadlineExceeded):
		t.Detail = "it took too long"
	case errors.As(err, &wrongTLS):
		t.Class, t.Detail = assure.TroubleBroken, "its TLS certificate is not trusted: "+wrongTLS.Err.Error()
		t.Remedy = "Give the root certificates of the CA's server, when it is a private CA."
	case status == http.StatusTooManyRequests:
		t.Reason, t.Class, t.RetryAfter, t.Detail = assure.LimitReached, assure.TroubleThrottled, pause, "it answered 429, too many requests"
	case status >= 500:
		t.RetryAfter, t.Detail = pause, fmt.Sprintf("it answered %d", status)
	case status >= 300:
		t.Class, t.Detail = assure.TroubleBroken, fmt.Sprintf("it answered %d without saying why", status)
	case errors.Is(err, errTooLong):
		t.Class, t.Detail = assure.TroubleBroken, errTooLong.Error()
	case errors.Is(err, errClear):
		t.Class, t.Detail = assure.TroubleBroken, errClear.Error()
	case errors.As(err, &syntax), strings.Contains(err.Error(), "JSON-decoding"):
		t.Class, t.Detail = assure.TroubleBroken, "its answer is not the JSON that was expected"
	default:
		t.Detail = plainError(err)
	}
	if t.RetryAfter > 0 {
		doing += " (it wants to be left alone for " + assure.Ago(t.RetryAfter) + ")" // before the CA's own words, which may be long
	}
	t.Detail = clip(doing + ": " + t.Detail)
	return &failure{t, err}
}

// ofProblem reads a problem document (RFC 8555 section 6.7).
func (c *CA) ofProblem(t *assure.Trouble, p acme.Problem, status int, pause time.Duration) {
	t.Detail = words(p)
	kinds := []string{p.Type}
	for _, s := range p.Subproblems {
		kinds = append(kinds, s.Type)
	}
	if status == 0 {
		status = p.Status
	}
	for _, kind := range kinds {
		switch kind {
		case acme.ProblemTypeRateLimited:
			t.Reason, t.Class, t.RetryAfter = assure.LimitReached, assure.TroubleThrottled, pause
		case acme.ProblemTypeCAA:
			t.Reason, t.Class = assure.CAAForbids, assure.TroubleForbidden
			t.Remedy = "Let the CA issue in the CAA records of the name or of the nearest name above it that has some."
		case acme.ProblemTypeDNS:
			t.Reason = assure.DNSFailed
		case acme.ProblemTypeAccountDoesNotExist:
			t.Reason, t.Class = assure.AccountInvalid, assure.TroubleMissing
			t.Remedy = "Register the account again."
		case acme.ProblemTypeUnauthorized:
			t.Reason, t.Class = assure.AccountInvalid, assure.TroubleDenied
			t.Remedy = "Look at the account at the CA: it may be deactivated or revoked."
		case acme.ProblemTypeExternalAccountRequired:
			t.Reason, t.Class = assure.AccountInvalid, assure.TroubleMissing
			t.Remedy = remedyEAB
		case acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact:
			t.Reason, t.Class = assure.AccountInvalid, assure.TroubleInvalid
			t.Remedy = "Give another e-mail address."
		case acme.ProblemTypeUserActionRequired:
			t.Reason, t.Class = assure.AccountInvalid, assure.TroubleDenied
			t.Remedy = "Do what the CA asks for, often to agree to its new terms, at " + clip(p.Instance) + "."
		case problemInvalidProfile:
			t.Class = assure.TroubleMissing
			t.Remedy = "Choose a profile that the CA offers."
		case acme.ProblemTypeRejectedIdentifier:
			t.Class = assure.TroubleForbidden
			t.Remedy = "The CA issues nothing for this name: take it out, or use another CA."
		case acme.ProblemTypeUnsupportedIdentifier, acme.ProblemTypeMalformed, acme.ProblemTypeBadCSR, acme.ProblemTypeBadPublicKey,
			acme.ProblemTypeBadSignatureAlgorithm:
			t.Class = assure.TroubleInvalid
		default:
			continue
		}
		return
	}
	switch {
	case status == http.StatusTooManyRequests:
		t.Reason, t.Class, t.RetryAfter = assure.LimitReached, assure.TroubleThrottled, pause
	case status >= 500:
		t.RetryAfter = pause
	}
}

// words are the CA's own, with what it says about each name.
func words(p acme.Problem) string {
	s := kindOf(p.Type)
	if p.Detail != "" {
		s += ": " + strings.TrimRight(p.Detail, ". ")
	}
	for i, sub := range p.Subproblems {
		if i == 10 {
			s += fmt.Sprintf("; and %d more", len(p.Subproblems)-i)
			break
		}
		s += "; "
		if sub.Identifier.Value != "" {
			s += sub.Identifier.Value + ": "
		}
		s += kindOf(sub.Type) + ": " + strings.TrimRight(sub.Detail, ". ")
	}
	return clip(s)
}

// kindOf is the last part of a problem's type.
func kindOf(t string) string {
	t = strings.TrimPrefix(t, acme.ProblemTypeNamespace)
	if t == "" || t == "about:blank" {
		return "a problem"
	}
	return t
}

// refused is what the CA found wrong with an authorization, for one name.
func (c *CA) refused(name string, z acme.Authorization, method string) error {
	var p *acme.Problem
	for _, ch := range z.Challenges {
		if ch.Error != nil && (p == nil || ch.Type == method) {
			p = ch.Error
		}
	}
	t := &assure.Trouble{
		Reason: assure.RenewalFailing, Class: assure.TroubleBroken, Scope: name,
		Detail: fmt.Sprintf("%s did not find what it looked for to validate %s: the authorization is %s", c, name, clip(z.Status)),
	}
	if p == nil {
		return t
	}
	t.Detail = clip(fmt.Sprintf("%s looked for the %s challenge of %s and was not satisfied: %s", c, method, name, words(*p)))
	switch p.Type {
	case acme.ProblemTypeCAA:
		t.Reason, t.Class = assure.CAAForbids, assure.TroubleForbidden
		t.Remedy = "Let the CA issue in the CAA records of the name or of the nearest name above it that has some."
	case acme.ProblemTypeDNS:
		t.Reason, t.Class = assure.DNSFailed, assure.TroubleTransient
	case acme.ProblemTypeConnection, acme.ProblemTypeTLS, acme.ProblemTypeServerInternal:
		t.Class = assure.TroubleTransient
	case acme.ProblemTypeRateLimited:
		t.Reason, t.Class = assure.LimitReached, assure.TroubleThrottled
	case acme.ProblemTypeUnauthorized, acme.ProblemTypeIncorrectResponse:
		if strings.HasPrefix(method, "dns-") {
			t.Class = assure.TroubleLagging // it saw another value than every server shows us
		}
	}
	return &failure{t, *p}
}

// parseProblem reads a problem document where there is one.
func parseProblem(contentType string, status int, body []byte) (acme.Problem, bool) {
	if mt, _, err := mime.ParseMediaType(contentType); err != nil || mt != "application/problem+json" {
		return acme.Problem{}, false
	}
	var p acme.Problem
	if json.Unmarshal(body, &p) != nil {
		return acme.Problem{}, false
	}
	p.Status = status
	return p, true
}

// plainError is an error of the network without the addresses that change with every attempt.
func plainError(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + " " + op.Net + ": " + op.Err.Error()
	}
	return err.Error()
}

// isTransport reports whether a request may never have been answered.
func isTransport(err error) bool {
	var u *url.Error
	var p acme.Problem
	return errors.As(err, &u) && !errors.As(err, &p)
}

// passing reports whether an error may pass by itself within the time that one waits anyway.
func passing(err error) bool {
	switch assure.TroubleOf(err, assure.RenewalFailing).Class {
	case assure.TroubleTransient, assure.TroubleThrottled:
		return !errors.Is(err, context.Canceled)
	}
	return false
}

// worst picks the error to return from several: the first that a person must mend, else the first.
func worst(errs ...error) error {
	var first error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if !assure.TroubleOf(err, assure.RenewalFailing).Class.Retry() {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}
