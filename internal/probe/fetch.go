package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of fetching what certificates point to. The addresses come from certificates, and anybody can make one.
const (
	maxRedirects    = 3
	maxURL          = 2048
	fetchTimeout    = 60 * time.Second // for one answer, whole
	headerTimeout   = 10 * time.Second
	connectTimeout  = 5 * time.Second
	fetchesAtOnce   = 8   // requests on the wire
	fetchesWaiting  = 256 // requests on the wire or queued; beyond that a new one fails at once
	largeBody       = 4 << 20
	largeAtOnce     = 2 // bodies beyond largeBody that are read at the same time
	maxListBody     = 32 << 20
	maxAnswerBody   = 64 << 10
	maxIssuerBody   = 256 << 10
	maxAnswerHeader = 64 << 10
)

// fetcher gets what certificates point to, over plain http only, never through a proxy, and only from addresses that
// the reach of the peer allows. It is safe for concurrent use.
type fetcher struct {
	clients  [3]*http.Client // by reach
	ctx      context.Context // ends when the fetcher is closed
	stop     context.CancelFunc
	mu       sync.Mutex
	closed   bool
	running  sync.WaitGroup
	waiting  atomic.Int64
	slots    chan struct{}
	large    chan struct{}
	requests atomic.Uint64
	failures atomic.Uint64
}

func newFetcher(lookup func(context.Context, string) ([]netip.Addr, error)) *fetcher {
	f := &fetcher{slots: make(chan struct{}, fetchesAtOnce), large: make(chan struct{}, largeAtOnce)}
	f.ctx, f.stop = context.WithCancel(context.Background())
	for _, r := range []reach{reachPublic, reachPrivate, reachLoopback} {
		f.clients[r] = guardedClient(r, lookup)
	}
	return f
}

// guardedClient makes a client that connects within the reach only. The check is made on the address that is really
// dialled, so that neither a name nor a redirect leads around it. Connections are not reused: what one reach opened
// must not serve another, and these requests are rare.
func guardedClient(r reach, lookup func(context.Context, string) ([]netip.Addr, error)) *http.Client {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: -1, Control: r.control}
	dial := dialer.DialContext
	if lookup != nil {
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialLookedUp(ctx, dialer, lookup, network, address)
		}
	}
	return &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			Proxy: nil, DialContext: dial, DisableKeepAlives: true, DisableCompression: true,
			ResponseHeaderTimeout: headerTimeout, MaxResponseHeaderBytes: maxAnswerHeader,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if err := fetchable(req.URL); err != nil {
				return fmt.Errorf("redirected: %w", err)
			}
			return nil
		},
	}
}

func dialLookedUp(ctx context.Context, d *net.Dialer, lookup func(context.Context, string) ([]netip.Addr, error), network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, ip)
	} else if addrs, err = lookup(ctx, host); err != nil {
		return nil, err // it says what was looked up
	}
	err = fmt.Errorf("look up %s: no address", host)
	for _, ip := range addrs[:min(len(addrs), 4)] {
		var conn net.Conn
		if conn, err = d.DialContext(ctx, network, net.JoinHostPort(ip.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// fetchable refuses addresses that are not plain http. Revocation and issuer data are signed, so that http is right and
// usual (RFC 5280 section 8 warns of the loop that https would make); other schemes have no business here.
func fetchable(u *url.URL) error {
	switch {
	case u.Scheme != "http":
		return fmt.Errorf("only http is asked, not %s", clipText(u.Scheme, 20))
	case u.Host == "":
		return errors.New("the address has no host")
	case u.User != nil:
		return errors.New("the address holds credentials")
	}
	return nil
}

// usable returns the addresses that may be asked at all, at most three, and why the first of the others may not.
func usable(list []string) (out []string, refused error) {
	for _, raw := range list {
		u, err := url.Parse(raw)
		switch {
		case len(raw) > maxURL:
			err = fmt.Errorf("the address is longer than %d bytes", maxURL)
		case err != nil:
			err = errors.New("the address cannot be read")
		default:
			err = fetchable(u)
		}
		if err != nil {
			if refused == nil {
				refused = err
			}
			continue
		}
		if len(out) < 3 {
			out = append(out, raw)
		}
	}
	return out, refused
}

var errClosed = errors.New("shutting down")

// start runs work in the background under the fetcher's bounds. It reports false when too much is under way or the
// fetcher is closed.
func (f *fetcher) start(work func(ctx context.Context)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errClosed
	}
	if f.waiting.Add(1) > fetchesWaiting {
		f.waiting.Add(-1)
		return errors.New("too many fetches are under way")
	}
	f.running.Go(func() {
		defer f.waiting.Add(-1)
		select {
		case f.slots <- struct{}{}:
			defer func() { <-f.slots }()
			ctx, cancel := context.WithTimeout(f.ctx, fetchTimeout)
			defer cancel()
			work(ctx)
		case <-f.ctx.Done():
			work(f.ctx) // ends at once, and tells those who wait
		}
	})
	return nil
}

func (f *fetcher) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.running.Wait()
}

func (f *fetcher) stats() (requests, failures uint64) { return f.requests.Load(), f.failures.Load() }

// request is one question to the network.
type request struct {
	reach        reach
	url          string
	post         []byte // the body, with its type; nil asks with GET
	postType     string
	etag         string
	lastModified string
	limit        int
}

// response is what came back. When notModified is set there is no body.
type response struct {
	body         []byte
	notModified  bool
	etag         string
	lastModified string
	maxAge       time.Duration // as the server allows, 0 when it does not say
}

// do asks once. It must be called within start.
func (f *fetcher) do(ctx context.Context, q request) (r response, err error) {
	f.requests.Add(1)
	defer func() {
		if err != nil {
			f.failures.Add(1)
		}
	}()
	method, body := http.MethodGet, io.Reader(nil)
	if q.post != nil {
		method, body = http.MethodPost, bytes.NewReader(q.post)
	}
	req, err := http.NewRequestWithContext(ctx, method, q.url, body)
	if err != nil {
		return r, errors.New("the address cannot be asked")
	}
	req.Header.Set("User-Agent", "notafter")
	if q.post != nil {
		req.Header.Set("Content-Type", q.postType)
	}
	if q.etag != "" {
		req.Header.Set("If-None-Match", q.etag)
	}
	if q.lastModified != "" {
		req.Header.Set("If-Modified-Since", q.lastModified)
	}
	res, err := f.clients[q.reach].Do(req)
	if err != nil {
		return r, plainFetchError(err)
	}
	defer func() { _ = res.Body.Close() }()
	r = response{etag: clipHeader(res.Header.Get("ETag")), lastModified: clipHeader(res.Header.Get("Last-Modified")), maxAge: maxAge(res.Header.Get("Cache-Control"))}
	switch {
	case res.StatusCode == http.StatusNotModified && (q.etag != "" || q.lastModified != ""):
		r.notModified = true
		return r, nil
	case res.StatusCode != http.StatusOK:
		return r, &statusError{res.StatusCode}
	}
	r.body, err = f.readBody(ctx, res, q.limit)
	return r, err
}

// statusError is an answer other than success.
type statusError struct{ code int }

func (e *statusError) Error() string { return fmt.Sprintf("the server answers with status %d", e.code) }

// readBody reads at most limit bytes, and lets only a few bodies grow large at the same time.
func (f *fetcher) readBody(ctx context.Context, res *http.Response, limit int) ([]byte, error) {
	tooLarge := fmt.Errorf("the answer is larger than %d KiB", limit>>10)
	if res.ContentLength > int64(limit) {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(min(limit, largeBody))+1))
	if err != nil {
		return nil, plainFetchError(err)
	}
	if len(body) > limit {
		return nil, tooLarge
	}
	if len(body) <= largeBody {
		return body, nil
	}
	select {
	case f.large <- struct{}{}:
		defer func() { <-f.large }()
	case <-ctx.Done():
		return nil, errors.New("no answer in time")
	}
	buf := bytes.NewBuffer(body)
	if _, err := buf.ReadFrom(io.LimitReader(res.Body, int64(limit-len(body))+1)); err != nil {
		return nil, plainFetchError(err)
	}
	if buf.Len() > limit {
		return nil, tooLarge
	}
	return buf.Bytes(), nil
}

// plainFetchError says what went wrong without the address, which stands beside it, and without ports of our own,
// which would make each error a new one.
func plainFetchError(err error) error {
	var blocked *blockedError
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &blocked):
		return blocked
	case errors.Is(err, context.Canceled):
		return errClosed
	case errors.As(err, &dns):
		return fmt.Errorf("look up %s: %s", dns.Name, dns.Err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

func clipHeader(s string) string {
	if len(s) > 256 {
		return ""
	}
	return s
}

func clipText(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

// maxAge reads the max-age of a Cache-Control header (RFC 9111 section 5.2.2.1).
func maxAge(header string) time.Duration {
	for part := range strings.SplitSeq(header, ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(part), "max-age="); ok {
			if d, err := time.ParseDuration(strings.Trim(v, `"`) + "s"); err == nil && d > 0 {
				return d
			}
		}
	}
	return 0
}
