package probe

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/notafter/notafter/internal/assure"
)

// maxDetail bounds the words that a failure may carry into a fact. Some of them are the peer's.
const maxDetail = 300

// clipDetail makes text that may come from a peer fit to be kept and shown: valid, printable and short.
func clipDetail(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxDetail {
		return s
	}
	cut := maxDetail
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// tooLong is how crypto/tls refuses a handshake message beyond its limits (64 KiB, a Certificate message 256 KiB). It
// has no type of its own; TestHugeCertificateMessage fails when the wording changes.
const tooLong = "exceeds maximum of"

// wireFailure classifies an error of reading or writing that has nothing to do with TLS. ok is false for any other.
func wireFailure(err error) (f assure.Failure, detail string, ok bool) {
	switch {
	case errors.Is(err, errTooMuch):
		return assure.TooLarge, err.Error(), true
	case isTimeout(err):
		return assure.Timeout, "no further word from the server in time", true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return assure.Reset, "the server closed the connection", true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return assure.Reset, "the server reset the connection", true
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EHOSTUNREACH):
		return assure.Timeout, "the server can no longer be reached", true
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return assure.LocalFailure, errno.Error(), true
	}
	return "", "", false
}

// alertOf is the alert that crypto/tls received, as text; empty for any other error. The texts of tls.AlertError are the
// same.
func alertOf(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op.Err.Error()
	}
	return ""
}

// tlsFailure classifies why crypto/tls did not complete a handshake. sane says whether what came back began like TLS.
func tlsFailure(err error, sane bool) (assure.Failure, string) {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" { // how crypto/tls marks an alert that it received
		return assure.Alert, "the server sent the alert: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	if f, detail, ok := wireFailure(err); ok {
		if f == assure.Reset && !sane {
			return assure.NotTLS, "what the server sent before it closed the connection is not TLS"
		}
		return f, detail
	}
	if !sane {
		return assure.NotTLS, "what the server sent does not begin like TLS"
	}
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return assure.Malformed, "the handshake was broken off: " + strings.TrimPrefix(alert.Error(), "tls: ")
	}
	if strings.Contains(err.Error(), tooLong) {
		return assure.TooLarge, strings.TrimPrefix(err.Error(), "tls: ")
	}
	return assure.Malformed, strings.TrimPrefix(err.Error(), "tls: ")
}
