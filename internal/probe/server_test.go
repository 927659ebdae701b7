package probe

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// publisher is an authority's web server: what stands at which path, how often each was asked, and what goes wrong.
type publisher struct {
	*httptest.Server
	mu     sync.Mutex
	bodies map[string][]byte
	etags  map[string]string
	status map[string]int // overrides
	asked  map[string]int
	fresh  map[string]int // conditional questions answered with "not modified"
	block  map[string]chan struct{}
	handle map[string]http.HandlerFunc
}

func publish(t testing.TB) *publisher {
	t.Helper()
	p := &publisher{
		bodies: map[string][]byte{}, etags: map[string]string{}, status: map[string]int{}, asked: map[string]int{}, fresh: map[string]int{},
		block: map[string]chan struct{}{}, handle: map[string]http.HandlerFunc{},
	}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	path := r.URL.Path
	p.asked[path]++
	body, ok := p.bodies[path]
	status, etag, block, handle := p.status[path], p.etags[path], p.block[path], p.handle[path]
	p.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case handle != nil:
		handle(w, r)
	case status != 0:
		w.WriteHeader(status)
	case !ok:
		http.NotFound(w, r)
	case etag != "" && r.Header.Get("If-None-Match") == etag:
		p.mu.Lock()
		p.fresh[path]++
		p.mu.Unlock()
		w.WriteHeader(http.StatusNotModified)
	default:
		if etag != "" {
			w.Header().Set("ETag", etag)
		}
		_, _ = w.Write(body)
	}
}

func (p *publisher) put(path string, body []byte) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bodies[path] = body
	return p.URL + path
}

func (p *publisher) times(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// change runs f with the lock held.
func (p *publisher) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// hand is a clock that a test moves.
type hand struct {
	mu sync.Mutex
	t  time.Time
}

func (h *hand) now() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.t }
func (h *hand) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.t = h.t.Add(d)
}

// online lets an analyser out to the network, with a clock that the test moves.
func online(h *hand) func(*AnalyserOptions) {
	return func(o *AnalyserOptions) {
		o.Offline, o.Now, o.Patience = false, h.now, 20*time.Second // long: no test that succeeds waits for it
	}
}

// eventually polls a condition, for what happens in the background.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("never came to be: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

type listOption func(*x509.RevocationList)

func crl(t testing.TB, issuer *holder, revoked []x509.RevocationListEntry, opts ...listOption) []byte {
	t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: noon.Add(-time.Hour), NextUpdate: noon.Add(7 * 24 * time.Hour), RevokedCertificateEntries: revoked}
	for _, o := range opts {
		o(l)
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, issuer.cert, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func revoked(serial *big.Int, reason int) x509.RevocationListEntry {
	return x509.RevocationListEntry{SerialNumber: serial, RevocationTime: noon.Add(-2 * time.Hour), ReasonCode: reason}
}

type answerOption func(*ocsp.Response)

func ocspFor(t testing.TB, serial *big.Int, issuer, responder *holder, opts ...answerOption) []byte {
	t.Helper()
	r := ocsp.Response{Status: ocsp.Good, SerialNumber: serial, ThisUpdate: noon.Add(-time.Hour), NextUpdate: noon.Add(4 * 24 * time.Hour), IssuerHash: crypto.SHA1}
	signer, cert := issuer, issuer.cert
	if responder != nil {
		signer, cert = responder, responder.cert
		r.Certificate = responder.cert
	}
	for _, o := range opts {
		o(&r)
	}
	der, err := ocsp.CreateResponse(issuer.cert, cert, r, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
