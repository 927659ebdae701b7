package renew

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what a CA may send.
const (
	maxAnswer = 1 << 20 // bytes of one answer
	// maxRetryAfter bounds what is believed of a Retry-After. The longest limits of public CAs are a week.
	maxRetryAfter = 7 * 24 * time.Hour
)

// wire is the RoundTripper of a CA. It does what acmez leaves to us: it bounds answers, hears Retry-After, sends no
// request again that was just refused with a time to come back, and serves directories from memory.
type wire struct {
	net *http.Transport
	now func() time.Time

	mu          sync.Mutex
	directories map[string][]byte // by fragment of their address
}

func newWire(roots *x509.CertPool, now func() time.Time) *wire {
	return &wire{
		now: now, directories: map[string][]byte{},
		net: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 16, MaxConnsPerHost: 64, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: 15 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
	}
}

// CloseIdleConnections is called by [http.Client.CloseIdleConnections].
func (w *wire) CloseIdleConnections() { w.net.CloseIdleConnections() }

// keep puts the one directory that is in force into memory.
func (w *wire) keep(fragment string, directory []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Clients made for an older directory have read it already: one place is enough.
	clear(w.directories)
	w.directories[fragment] = directory
}

func (w *wire) kept(fragment string) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, ok := w.directories[fragment]
	return d, ok
}

// heard is what came over the wire during one call that acmez does not hand on. It travels in the context, as
// net/http/httptrace does, because that is the only thing of a call that a RoundTripper sees.
type heard struct {
	mu         sync.Mutex
	status     int           // of the last answer
	retryAfter time.Duration // of the last answer; zero when it had none
	refusal    *answer       // an answer that said when to come back
	noLinks    bool          // alternates are not wanted
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

type heardKey struct{}

// hear makes a context for one call, and what is heard during it.
func hear(ctx context.Context) (context.Context, *heard) {
	h := &heard{}
	return context.WithValue(ctx, heardKey{}, h), h
}

// last is the status and the pause of the last answer; zeros for a nil receiver.
func (h *heard) last() (status int, retryAfter time.Duration) {
	if h == nil {
		return 0, 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status, h.retryAfter
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && r.URL.Fragment != "" {
		if d, ok := w.kept(r.URL.Fragment); ok {
			return (&answer{http.StatusOK, http.Header{"Content-Type": {"application/json"}}, d}).response(r), nil
		}
	}
	h, _ := r.Context().Value(heardKey{}).(*heard)
	if h == nil {
		h = &heard{}
	}
	h.mu.Lock()
	refusal := h.refusal
	h.mu.Unlock()
	if refusal != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return refusal.response(r), nil
	}
	if r.URL.Scheme != "https" {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errClear
	}
	resp, err := w.net.RoundTrip(r)
	if err != nil {
		h.mu.Lock()
		h.status, h.retryAfter = 0, 0
		h.mu.Unlock()
		return nil, err
	}
	resp.Body = &bounded{ReadCloser: resp.Body, left: maxAnswer}
	pause := parseRetryAfter(resp.Header.Get("Retry-After"), w.now())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status, h.retryAfter = resp.StatusCode, pause
	if h.noLinks {
		resp.Header.Del("Link")
	}
	if pause > 0 && (resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable) {
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			body = nil // the status says enough
		}
		h.refusal = &answer{resp.StatusCode, resp.Header.Clone(), body}
		// The nonce of this answer is good once only.
		resp.Body = io.NopCloser(bytes.NewReader(body))
		h.refusal.header.Del("Replay-Nonce")
	}
	return resp, nil
}

func (a *answer) response(r *http.Request) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.header.Clone(),
		Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}
}

var (
	errTooLong = errors.New("the answer is larger than 1 MiB")
	// errClear refuses an address that a CA gave, which could be anything in the network that we are in.
	errClear = errors.New("it gave an address that is not https (RFC 8555 section 6.1)")
)

// bounded is a body that fails instead of ending when it is too long.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	if b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// parseRetryAfter reads both forms of the header (RFC 9110 section 10.2.3). What is not understood is no pause; a pause
// is never negative and never longer than a week.
func parseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Duration(min(max(0, n), int64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}

// get fetches a JSON document that needs no signature.
func (c *CA) get(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", c.o.UserAgent)
	r.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		if p, ok := parseProblem(resp.Header.Get("Content-Type"), resp.StatusCode, body); ok {
			return nil, p
		}
		return nil, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return body, nil
}
