package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Channel is a way to tell people that takes HTTP requests: how to build them and how to read the answers. It holds
// settings only, no state, and is safe for concurrent use.
type Channel interface {
	Name() string
	Kind() string
	// Call builds what one attempt sends. It does no input or output. An error means that this message can never be
	// sent; it is told to people, so it holds no secret.
	Call(ctx context.Context, m Message) (Call, error)
	// Classify reads the answer to one request of a call. It may quote the answer: secrets are taken out afterwards.
	// Retry-After headers are read for it.
	Classify(r Response) Outcome
	// Secrets lists what must not appear in receipts and logs.
	Secrets() []string
}

// Call is what one attempt sends.
type Call struct {
	// Requests are sent one after the other, and each must be accepted; the first that is not ends the attempt.
	Requests []*http.Request
	// Replicas says that the requests go to replicas of one service instead: all are sent at the same time, and one
	// that is accepted is enough.
	Replicas bool
	// Nothing says, when there are no requests, why there is nothing to send. The delivery then counts as made.
	Nothing string
}

// ProbeChannel is a Channel whose credentials can be checked without noise.
type ProbeChannel interface {
	// ProbeCall builds the check.
	ProbeCall(ctx context.Context) (Call, error)
	// ClassifyProbe reads the answer to one request of a check.
	ClassifyProbe(r Response) Outcome
}

// Response is an answer, completely read.
type Response struct {
	Status int
	Header http.Header
	// Body is what came, at most [MaxBody] bytes of it.
	Body    []byte
	Request *http.Request
}

// MaxBody is how many bytes of an answer are read.
const MaxBody = 64 << 10

// HTTPOptions are what all HTTP channels share.
type HTTPOptions struct {
	// Transport carries the requests. Nil means [NewTransport].
	Transport http.RoundTripper
	// Now tells the time for dates in Retry-After. Nil means time.Now.
	Now func() time.Time
}

// NewTransport returns the transport of channels: proxies from the environment, TLS 1.2 or newer, and a connection of
// its own for each attempt. Attempts are rare, and a kept connection that died in between costs the one that matters.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  AttemptLimit,
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
	}
}

// httpSender lets a Channel be a Sender.
type httpSender struct {
	channel Channel
	client  *http.Client
	now     func() time.Time
	redact  redactor
}

// NewHTTPSender gives a channel its transport, time limits, redaction and classification of failures.
func NewHTTPSender(ch Channel, o HTTPOptions) Sender {
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &httpSender{channel: ch, client: newClient(o.Transport), now: o.Now, redact: newRedactor(ch.Secrets())}
}

// newClient follows no redirect: a message belongs to the address that was configured.
func newClient(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *httpSender) Name() string { return s.channel.Name() }
func (s *httpSender) Kind() string { return s.channel.Kind() }

// RefreshEvery is the channel's, 0 when it has none.
func (s *httpSender) RefreshEvery() time.Duration {
	if r, ok := s.channel.(Refresher); ok {
		return r.RefreshEvery()
	}
	return 0
}

// Supersedes is the channel's, false when it does not say.
func (s *httpSender) Supersedes() bool {
	p, ok := s.channel.(Superseder)
	return ok && p.Supersedes()
}

func (s *httpSender) Send(ctx context.Context, m Message) Outcome {
	return s.attempt(ctx, func(ctx context.Context) (Call, error) { return s.channel.Call(ctx, m) }, s.channel.Classify)
}

func (s *httpSender) Probe(ctx context.Context) (Outcome, bool) {
	p, ok := s.channel.(ProbeChannel)
	if !ok {
		return Outcome{}, false
	}
	return s.attempt(ctx, p.ProbeCall, p.ClassifyProbe), true
}

func (s *httpSender) attempt(ctx context.Context, build func(context.Context) (Call, error), classify func(Response) Outcome) (o Outcome) {
	defer func() { o.Detail = clipRunes(clean(s.redact.text(o.Detail)), 400) }()
	defer func() {
		if p := recover(); p != nil {
			o = panicked(p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, AttemptLimit)
	defer cancel()
	call, err := build(ctx)
	if err != nil {
		return Outcome{Class: assure.Rejected, Detail: "the message cannot be built: " + err.Error()}
	}
	if len(call.Requests) == 0 {
		return Outcome{Class: assure.Accepted, Detail: call.Nothing, Untried: true}
	}
	if call.Replicas {
		return s.replicas(call.Requests, classify)
	}
	for _, r := range call.Requests {
		next := s.roundTrip(r, classify)
		if next.ProviderID == "" {
			next.ProviderID = o.ProviderID
		}
		o = next
		if o.Class != assure.Accepted {
			break
		}
	}
	return o
}

// replicas sends to all at once: one that hangs must not use up the time of the others.
func (s *httpSender) replicas(reqs []*http.Request, classify func(Response) Outcome) Outcome {
	outs := make([]Outcome, len(reqs))
	var wg sync.WaitGroup
	for i, r := range reqs {
		wg.Go(func() { outs[i] = s.roundTrip(r, classify) })
	}
	wg.Wait()
	best, worst, accepted := outs[0], outs[0], 0
	var trouble []string
	for i, o := range outs {
		if badness(o.Class) < badness(best.Class) {
			best = o
		}
		if badness(o.Class) > badness(worst.Class) {
			worst = o
		}
		if o.Class == assure.Accepted {
			accepted++
			continue
		}
		trouble = append(trouble, reqs[i].URL.Host+": "+clipRunes(o.Detail, 120))
	}
	if len(trouble) == 0 || len(outs) == 1 {
		return best
	}
	if accepted > 0 {
		best.Impaired = worst.Class
		best.Detail = fmt.Sprintf("%d of %d replicas accepted; %s", accepted, len(outs), strings.Join(trouble, "; "))
		return best
	}
	best.Detail = "no replica accepted; " + strings.Join(trouble, "; ")
	return best
}

func (s *httpSender) roundTrip(r *http.Request, classify func(Response) Outcome) (o Outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = panicked(p)
		}
	}()
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", userAgent)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return netFailure(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	if err != nil {
		// The service may have taken the message; nobody can say. Telling twice is better than not at all.
		o := netFailure(err)
		o.Code = resp.StatusCode
		o.Detail = "the answer broke off: " + o.Detail
		return o
	}
	o = classify(Response{Status: resp.StatusCode, Header: resp.Header, Body: body, Request: r})
	if o.Code == 0 {
		o.Code = resp.StatusCode
	}
	if o.Class != assure.Accepted && o.RetryAfter == 0 {
		o.RetryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), s.now())
	}
	return o
}

const userAgent = "notafter (+https://github.com/notafter/notafter)"

// panicked keeps a delivery alive that met a mistake of ours: it is tried again, and the receipt says why.
func panicked(p any) Outcome {
	return Outcome{Class: assure.Temporary, Detail: fmt.Sprintf("internal error in the channel: %v", p)}
}

// post builds a POST of a body that can be read again.
func post(ctx context.Context, address, contentType string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(string(body)))
	if err != nil {
		return nil, errors.New("the channel's address is not usable") // the error would quote the address
	}
	r.Header.Set("Content-Type", contentType)
	return r, nil
}

// get builds a GET.
func get(ctx context.Context, address string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the channel's address is not usable")
	}
	return r, nil
}
