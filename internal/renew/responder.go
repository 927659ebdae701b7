package renew

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// Bounds of the responder. A CA looks from a handful of places; nobody else has business there.
const (
	maxTokens    = 4096
	visitTimeout = 10 * time.Second
)

// ResponderOptions configures a [Responder].
type ResponderOptions struct {
	// HTTP and TLS are the addresses, "host:port", to listen on for http-01 and tls-alpn-01. CAs come to the ports 80 and
	// 443 and no others; something in front may lead them here.
	HTTP, TLS []string
	// Share, when not nil, wraps each listener and bounds how many visitors there are at a time, so that nobody who comes
	// and says nothing keeps the CA out.
	Share func(net.Listener) net.Listener
	// Always listens from [Responder.Open] to Close instead of only while challenges are pending.
	Always bool
	Logger *slog.Logger // nil means none
}

// Responder answers http-01 and tls-alpn-01 challenges. It serves the tokens that it was given and nothing else. It is
// safe for concurrent use.
type Responder struct {
	o ResponderOptions

	// gate is held while listeners are opened and closed, which waits for visitors; visitors need mu and never gate.
	gate sync.Mutex
	open bool
	http *listening
	tls  *listening

	mu     sync.Mutex
	tokens map[string]string           // http-01: token to key authorization
	certs  map[string]*tls.Certificate // tls-alpn-01: server name to certificate
}

// NewResponder makes a responder that does not listen yet.
func NewResponder(o ResponderOptions) *Responder {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Responder{o: o, tokens: map[string]string{}, certs: map[string]*tls.Certificate{}}
}

// Open begins to listen, where that is not left to the challenges.
func (r *Responder) Open() error {
	r.gate.Lock()
	defer r.gate.Unlock()
	r.open = true
	return r.adjust()
}

// Close stops listening, whatever is pending.
func (r *Responder) Close() {
	r.gate.Lock()
	defer r.gate.Unlock()
	r.open = false
	r.mu.Lock()
	clear(r.tokens)
	clear(r.certs)
	r.mu.Unlock()
	_ = r.adjust() // closing cannot fail in a way that matters
}

// Addrs are the addresses that are listened on now, for http-01 and for tls-alpn-01.
func (r *Responder) Addrs() (http, tls []string) {
	r.gate.Lock()
	defer r.gate.Unlock()
	return r.http.addrs(), r.tls.addrs()
}

// HTTP solves http-01.
func (r *Responder) HTTP() Solver { return httpSolver{r} }

// TLS solves tls-alpn-01.
func (r *Responder) TLS() Solver { return alpnSolver{r} }

// adjust listens where it is needed and nowhere else. The gate is held.
func (r *Responder) adjust() error {
	always := r.o.Always && r.open
	r.mu.Lock()
	tokens, certs := len(r.tokens), len(r.certs)
	r.mu.Unlock()
	if (always || tokens > 0) != (r.http != nil) {
		if r.http != nil {
			r.http.stop()
			r.http = nil
		} else {
			l, err := r.listen(r.o.HTTP, r.serveHTTP)
			if err != nil {
				return err
			}
			r.http = l
		}
	}
	if (always || certs > 0) != (r.tls != nil) {
		if r.tls != nil {
			r.tls.stop()
			r.tls = nil
		} else {
			l, err := r.listen(r.o.TLS, r.serveTLS)
			if err != nil {
				return err
			}
			r.tls = l
		}
	}
	return nil
}

type httpSolver struct{ r *Responder }

func (httpSolver) Type() string { return ChallengeHTTP01 }

func (s httpSolver) Present(_ context.Context, c Challenge) (*Proof, error) {
	r, token := s.r, c.raw.Token
	if token == "" || strings.ContainsAny(token, "/?#%") {
		return nil, &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleBroken, Scope: c.Name, Detail: "the CA's token is not one (RFC 8555 section 8.3)"}
	}
	err := hold(r, r.tokens, token, c.raw.KeyAuthorization, r.o.HTTP, ChallengeHTTP01)
	if err != nil {
		return nil, err
	}
	return &Proof{
		Target: c.Name, Detail: "the token is served at " + strings.Join(r.o.HTTP, ", "),
		Withdraw: func(context.Context) error { return release(r, r.tokens, token) },
	}, nil
}

type alpnSolver struct{ r *Responder }

func (alpnSolver) Type() string { return ChallengeTLSALPN01 }

func (s alpnSolver) Present(_ context.Context, c Challenge) (*Proof, error) {
	cert, err := acmez.TLSALPN01ChallengeCert(c.raw)
	if err != nil {
		return nil, &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleInvalid, Scope: c.Name, Detail: clip("make the certificate of tls-alpn-01: " + err.Error())}
	}
	r, name := s.r, serverName(c)
	// Two orders for one name at a time would need two certificates under one name: the second has to wait its turn.
	if err := hold(r, r.certs, name, cert, r.o.TLS, ChallengeTLSALPN01); err != nil {
		return nil, err
	}
	return &Proof{
		Target: c.Name, Detail: "the certificate is served at " + strings.Join(r.o.TLS, ", "),
		Withdraw: func(context.Context) error { return release(r, r.certs, name) },
	}, nil
}

// serverName is what the CA asks for in the handshake: the name, or the reverse name of an address (RFC 8738 section 6).
func serverName(c Challenge) string {
	if c.IP {
		if name, err := dns.ReverseAddr(c.Name); err == nil {
			return strings.TrimSuffix(name, ".")
		}
	}
	return strings.ToLower(c.Name)
}

func hold[V any](r *Responder, m map[string]V, key string, v V, addrs []string, kind string) error {
	r.gate.Lock()
	defer r.gate.Unlock()
	t := &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleTransient}
	r.mu.Lock()
	_, taken := m[key]
	full := len(m) >= maxTokens
	if !taken && !full && len(addrs) > 0 {
		m[key] = v
	}
	r.mu.Unlock()
	switch {
	case len(addrs) == 0:
		t.Class, t.Detail = assure.TroubleInvalid, "no address is configured to listen on for "+kind
		return t
	case taken:
		t.Class, t.Detail = assure.TroubleConflict, "another order is proving the same name by "+kind+" at this moment"
		return t
	case full:
		t.Detail = "too many challenges are pending"
		return t
	}
	if err := r.adjust(); err != nil {
		r.mu.Lock()
		delete(m, key)
		r.mu.Unlock()
		_ = r.adjust()
		t.Detail = clip(err.Error())
		t.Remedy = "Free the address, or give notafter another one and lead the CA there."
		return &failure{t, err}
	}
	return nil
}

func release[V any](r *Responder, m map[string]V, key string) error {
	r.gate.Lock()
	defer r.gate.Unlock()
	r.mu.Lock()
	delete(m, key)
	r.mu.Unlock()
	return r.adjust()
}

// listening is a set of listeners that one server serves.
type listening struct {
	listeners []net.Listener
	stopped   context.CancelFunc
	served    sync.WaitGroup
}

func (r *Responder) listen(addrs []string, serve func(ctx context.Context, l net.Listener)) (*listening, error) {
	ctx, cancel := context.WithCancel(context.Background())
	out := &listening{stopped: cancel}
	for _, a := range addrs {
		l, err := net.Listen("tcp", a)
		if err != nil {
			out.stop()
			return nil, fmt.Errorf("listen for the CA at %s: %w", a, err)
		}
		out.listeners = append(out.listeners, l)
		if r.o.Share != nil {
			l = r.o.Share(l)
		}
		out.served.Go(func() { serve(ctx, l) })
	}
	return out, nil
}

// stop closes the listeners and waits for the visitors, who do not stay long.
func (l *listening) stop() {
	l.stopped()
	for _, ln := range l.listeners {
		_ = ln.Close()
	}
	l.served.Wait()
}

func (l *listening) addrs() []string {
	if l == nil {
		return nil
	}
	var out []string
	for _, ln := range l.listeners {
		out = append(out, ln.Addr().String())
	}
	return out
}

func (r *Responder) serveHTTP(ctx context.Context, l net.Listener) {
	s := &http.Server{
		Handler: http.HandlerFunc(r.answer), ReadTimeout: visitTimeout, WriteTimeout: visitTimeout, IdleTimeout: visitTimeout,
		MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(r.o.Logger.Handler(), slog.LevelDebug),
	}
	s.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
		r.o.Logger.Warn("the responder for http-01 stopped listening", "error", clip(err.Error()))
	}
}

func (r *Responder) answer(w http.ResponseWriter, q *http.Request) {
	token, ok := strings.CutPrefix(q.URL.Path, "/.well-known/acme-challenge/")
	r.mu.Lock()
	auth, known := r.tokens[token]
	r.mu.Unlock()
	if !ok || !known || (q.Method != http.MethodGet && q.Method != http.MethodHead) {
		http.NotFound(w, q)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream") // as RFC 8555 section 8.3 asks
	_, _ = io.WriteString(w, auth)
}

func (r *Responder) serveTLS(ctx context.Context, l net.Listener) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{acmez.ACMETLS1Protocol}, GetCertificate: r.certificate}
	var visits sync.WaitGroup
	defer visits.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil {
				r.o.Logger.Warn("the responder for tls-alpn-01 stopped listening", "error", clip(err.Error()))
			}
			return
		}
		visits.Go(func() {
			defer conn.Close()
			ctx, cancel := context.WithTimeout(ctx, visitTimeout)
			defer cancel()
			c := tls.Server(conn, conf)
			if c.HandshakeContext(ctx) == nil {
				_ = c.Close() // the handshake is all there is (RFC 8737 section 3)
			}
		})
	}
}

var errNoChallenge = errors.New("no challenge is pending for this name")

func (r *Responder) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	// RFC 8737 section 3: this protocol and no other.
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acmez.ACMETLS1Protocol {
		return nil, errNoChallenge
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.certs[strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")]
	if c == nil {
		return nil, errNoChallenge
	}
	return c, nil
}
