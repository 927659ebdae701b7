package authority

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Place is one of the requests that a client makes.
type Place string

// Places, with the paths that Pebble gives them.
const (
	Anywhere      Place = "/"
	Directory     Place = "/dir"
	NewNonce      Place = "/nonce-plz"
	NewAccount    Place = "/sign-me-up"
	Account       Place = "/my-account/"
	KeyChange     Place = "/rollover-account-key"
	NewOrder      Place = "/order-plz"
	PollOrder     Place = "/my-order/"
	Finalize      Place = "/finalize-order/"
	Authorization Place = "/authZ/" // fetched, polled and deactivated
	Challenge     Place = "/chalZ/"
	Download      Place = "/certZ/"
	RenewalInfo   Place = "/draft-ietf-acme-ari-03/renewalInfo/"
)

// Fault is how the proxy treats some requests. Each request meets at most one fault: the oldest that applies.
type Fault struct {
	At    Place
	After int // so many requests pass first
	Times int // so many requests are treated; 0 means one, less than 0 all from then on
	Do    Action
}

// Action does something to a request instead of, before or after passing it on.
type Action func(w http.ResponseWriter, r *http.Request, pass http.Handler)

// Proxy stands in front of an authority. A client that is given its directory is led to the proxy for everything else
// too. It is safe for concurrent use.
type Proxy struct {
	front
	backend   http.Handler
	transport *http.Transport

	mu     sync.Mutex
	faults []*Fault
	edits  []func(directory map[string]any)
	seen   map[Place]int
}

// StartProxy starts a proxy on 127.0.0.1. Call Stop when done; the authority is stopped separately.
func StartProxy(a *Authority) (*Proxy, error) {
	to, err := url.Parse(a.base)
	if err != nil {
		return nil, fmt.Errorf("start the proxy: %w", err)
	}
	p := &Proxy{
		seen: map[Place]int{},
		transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: a.Pool(), MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 16, ForceAttemptHTTP2: true,
		},
	}
	p.backend = &httputil.ReverseProxy{
		// The Host of the client's request goes along: Pebble makes all its URLs of it, and checks those in signatures by it.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
		},
		ModifyResponse: p.edit,
		Transport:      p.transport,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	if err := p.serve(http.HandlerFunc(p.handle)); err != nil {
		return nil, fmt.Errorf("start the proxy: %w", err)
	}
	return p, nil
}

// Stop closes the server and all its connections. Stopping twice is harmless.
func (p *Proxy) Stop() {
	p.front.Stop()
	p.transport.CloseIdleConnections()
}

// Add adds faults behind those that are there.
func (p *Proxy) Add(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range faults {
		if f.Times == 0 {
			f.Times = 1
		}
		p.faults = append(p.faults, &f)
	}
}

// Mend takes all faults and changes of the directory away.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults, p.edits = nil, nil
}

// Seen is how many requests there were at the place.
func (p *Proxy) Seen(at Place) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[at]
}

// EditDirectory changes the directory that clients are given from now on.
func (p *Proxy) EditDirectory(f func(directory map[string]any)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edits = append(p.edits, f)
}

// WithoutProfile takes a profile out of the directory.
func (p *Proxy) WithoutProfile(name string) {
	p.EditDirectory(func(d map[string]any) {
		if meta, ok := d["meta"].(map[string]any); ok {
			if profiles, ok := meta["profiles"].(map[string]any); ok {
				delete(profiles, name)
			}
		}
	})
}

// SetCAAIdentities changes the domains that the authority says it answers to in CAA.
func (p *Proxy) SetCAAIdentities(domains ...string) {
	p.EditDirectory(func(d map[string]any) {
		if meta, ok := d["meta"].(map[string]any); ok {
			meta["caaIdentities"] = domains
		}
	})
}

// Without takes an entry, such as "renewalInfo", out of the directory.
func (p *Proxy) Without(entry string) {
	p.EditDirectory(func(d map[string]any) { delete(d, entry) })
}

func (p *Proxy) handle(w http.ResponseWriter, r *http.Request) {
	if do := p.fault(r.URL.Path); do != nil {
		do(w, r, p.backend)
		return
	}
	p.backend.ServeHTTP(w, r)
}

// fault counts the request and finds what is to be done to it, nil for nothing.
func (p *Proxy) fault(path string) Action {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range []Place{Directory, NewNonce, NewAccount, Account, KeyChange, NewOrder, PollOrder, Finalize, Authorization, Challenge, Download, RenewalInfo} {
		if strings.HasPrefix(path, string(at)) {
			p.seen[at]++
		}
	}
	p.seen[Anywhere]++
	var do Action
	for _, f := range p.faults {
		switch {
		case f.Times == 0 || !strings.HasPrefix(path, string(f.At)):
		case f.After > 0:
			f.After--
		case do == nil:
			do = f.Do
			if f.Times > 0 {
				f.Times--
			}
		}
	}
	return do
}

// edit applies the changes of the directory to an answer.
func (p *Proxy) edit(resp *http.Response) error {
	p.mu.Lock()
	edits := p.edits
	p.mu.Unlock()
	if len(edits) == 0 || resp.Request.URL.Path != string(Directory) || resp.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read the directory: %w", err)
	}
	_ = resp.Body.Close()
	d := map[string]any{}
	if err := json.Unmarshal(body, &d); err != nil {
		return fmt.Errorf("decode the directory: %w", err)
	}
	for _, f := range edits {
		f(d)
	}
	if body, err = json.Marshal(d); err != nil {
		return fmt.Errorf("encode the directory: %w", err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", fmt.Sprint(len(body)))
	return nil
}

// Problem answers with a problem document (RFC 8555 section 6.7). The kind is the last part of its type, such as
// "rateLimited"; retryAfter is the header's value as it is sent, empty for none.
func Problem(status int, kind, detail, retryAfter string) Action {
	return ProblemDocument(status, retryAfter, map[string]any{
		"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": status,
	})
}

// ProblemDocument answers with the given document.
func ProblemDocument(status int, retryAfter string, document map[string]any) Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/problem+json")
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(document)
	}
}

// RateLimited refuses with 429, in words like those of Let's Encrypt.
func RateLimited(retryAfter string) Action {
	return Problem(http.StatusTooManyRequests, "rateLimited", "too many new orders recently", retryAfter)
}

// Unavailable answers 503 with a page for people, as load balancers do.
func Unavailable(retryAfter string) Action {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<html><body>The service is down for maintenance.</body></html>")
	}
}

// BadNonce refuses the request's nonce and gives no other. Requests that need none pass.
func BadNonce() Action {
	refuse := Problem(http.StatusBadRequest, "badNonce", "JWS has an invalid anti-replay nonce", "")
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method != http.MethodPost {
			pass.ServeHTTP(w, r)
			return
		}
		refuse(w, r, pass)
	}
}

// Slow passes the request on after a while, or drops it when the client goes away first.
func Slow(d time.Duration) Action {
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			pass.ServeHTTP(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // an answer that nobody waits for must not look like one
		}
	}
}

// Lose passes the request on and cuts the client off instead of answering: it failed, but it happened.
func Lose() Action {
	return func(_ http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(&lost{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	}
}

// Reset cuts the client off without passing the request on: it failed, and nothing happened.
func Reset() Action {
	return func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }
}

// Garbage answers 200 with JSON that breaks off.
func Garbage() Action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status": "val`)
	}
}

// Huge answers 200 with so many bytes of one JSON string, or until the client has enough.
func Huge(size int) Action {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.WriteString(w, `{"status": "`); err != nil {
			return
		}
		chunk := bytes.Repeat([]byte("a"), 64<<10)
		for sent := 0; sent < size; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// lost takes an answer that nobody gets.
type lost struct{ header http.Header }

func (l *lost) Header() http.Header         { return l.header }
func (l *lost) Write(b []byte) (int, error) { return len(b), nil }
func (l *lost) WriteHeader(int)             {}
