package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// classOf is what an HTTP status means for a delivery, where the service's contract says nothing else.
func classOf(status int) assure.ReceiptClass {
	switch {
	case status >= 200 && status < 300:
		return assure.Accepted
	case status >= 300 && status < 400:
		// A message is never carried on to where a redirect points: the address must be set right by a person.
		return assure.Denied
	case status == http.StatusTooManyRequests:
		return assure.RateLimited
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500 && status < 600:
		return assure.Temporary
	}
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusGone:
		return assure.Denied
	}
	if status >= 400 && status < 500 {
		return assure.Rejected
	}
	return assure.Temporary // not a status that HTTP knows: something between us and the service
}

// maxRetryAfter bounds what is believed of a Retry-After, so that a bad clock or a bad joke does not overflow anything.
const maxRetryAfter = 24 * time.Hour

// parseRetryAfter reads a Retry-After header: seconds or an HTTP date (RFC 9110 section 10.2.3). Some services send
// fractions of seconds; they are rounded up. It gives 0 for what it cannot read or what lies in the past.
func parseRetryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if v == "" {
		return 0
	}
	if secs, err := strconv.ParseFloat(v, 64); err == nil {
		switch {
		case !(secs > 0): // not a number included
			return 0
		case secs >= maxRetryAfter.Seconds():
			return maxRetryAfter
		}
		d := time.Duration(secs * float64(time.Second))
		if r := d % time.Second; r != 0 {
			d += time.Second - r
		}
		return d
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}

// describe tells a response in one line: its status and the beginning of what the service said.
func describe(r Response) string {
	s := "HTTP " + strconv.Itoa(r.Status)
	if t := http.StatusText(r.Status); t != "" {
		s += " " + t
	}
	if r.Status >= 300 && r.Status < 400 {
		if u, err := url.Parse(r.Header.Get("Location")); err == nil && u.Host != "" {
			return s + ": redirected to " + clipRunes(clean(u.Host), 100) + "; redirects are not followed, the address must be corrected"
		}
		return s + ": redirects are not followed, the address must be corrected"
	}
	if said := clipRunes(clean(string(r.Body)), 200); said != "" {
		s += ": " + said
	}
	return s
}

// plain is the classification by status alone.
func plain(r Response) Outcome {
	return Outcome{Class: classOf(r.Status), Code: r.Status, Detail: describe(r)}
}

// netFailure tells why no answer came, without the address's path: that may be the secret.
func netFailure(err error) Outcome {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		netErr    net.Error
	)
	detail := ""
	switch {
	case errors.Is(err, context.Canceled):
		detail = "the attempt was interrupted"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout():
		detail = fmt.Sprintf("no answer within %s", AttemptLimit)
	case errors.As(err, &dns):
		detail = "look up " + dns.Name + ": " + dns.Err
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verify):
		detail = "the service's own certificate is not accepted: " + err.Error()
	default:
		detail = err.Error()
	}
	return Outcome{Class: assure.Temporary, Detail: clipRunes(clean(detail), 300)}
}
