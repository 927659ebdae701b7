package authority

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// Options configures an authority. The zero value of each field has a meaning.
type Options struct {
	// Resolver is a name server as "ip:port", asked over TCP, that the authority validates with; empty means the system's.
	Resolver string
	// Profiles are the profiles with the lifetime of their certificates, in whole seconds; empty means one, "default", of
	// 90 days. Where an order names none, Pebble picks one at random.
	Profiles map[string]time.Duration
	// EAB are the external accounts that may register, key id to HMAC key in base64url; empty means that anybody may.
	EAB map[string]string
	// AuthzReuse is how many in a hundred orders use a valid authorization again where there is one.
	AuthzReuse int
	// BadNonces is how many in a hundred good nonces are refused.
	BadNonces int
	// HTTPPort and TLSPort are where http-01 and tls-alpn-01 are validated; zero means a port that nobody listens on.
	HTTPPort, TLSPort int
	// CAAIdentities are the domains that the authority answers to in CAA, and the issuers of dns-persist-01; empty means
	// "lab.example".
	CAAIdentities []string
	// Alternates is how many further roots there are, each with a chain of its own from the same intermediate key.
	Alternates int
	// Chain is how many intermediates there are; zero means one.
	Chain int
	// RetryAfter is what the authority asks clients to wait between polls, in whole seconds; zero asks nothing.
	RetryAfter time.Duration
	// Log takes what Pebble says; nil means nobody.
	Log *slog.Logger
}

// Authority is a running authority. It is safe for concurrent use.
type Authority struct {
	front
	db *db.MemoryStore
	ca *ca.CAImpl

	mu sync.Mutex // held while Pebble handles a request, and while we look into its store
}

// environment holds the variables of this process that Pebble reads while it is made. Several authorities with
// different settings live in one process, so they are set for that moment only.
var environment sync.Mutex

// Start starts an authority on 127.0.0.1. Call Stop when done.
func Start(o Options) (*Authority, error) {
	profiles, err := pebbleProfiles(o.Profiles)
	if err != nil {
		return nil, err
	}
	if o.AuthzReuse < 0 || o.AuthzReuse > 100 || o.BadNonces < 0 || o.BadNonces > 99 {
		return nil, errors.New("start the authority: percentages are 0 to 100, and not every nonce can be bad")
	}
	if len(o.CAAIdentities) == 0 {
		o.CAAIdentities = []string{"lab.example"}
	}
	logger := slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	if o.Log != nil {
		logger = slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)
	}
	a := &Authority{db: db.NewMemoryStore()}
	for id, key := range o.EAB {
		if err := a.db.AddExternalAccountKeyByID(id, key); err != nil {
			return nil, fmt.Errorf("start the authority: external account %s: %w", id, err)
		}
	}
	pause := int(o.RetryAfter / time.Second)
	var web wfe.WebFrontEndImpl
	err = withEnvironment(map[string]string{
		"PEBBLE_VA_NOSLEEP":      "1",
		"PEBBLE_VA_ALWAYS_VALID": "",
		"PEBBLE_AUTHZREUSE":      strconv.Itoa(o.AuthzReuse),
		"PEBBLE_WFE_NONCEREJECT": strconv.Itoa(o.BadNonces),
	}, func() {
		a.ca = ca.New(logger, a.db, "", "ecdsa", o.Alternates, max(1, o.Chain), profiles)
		validator := va.New(logger, portOr(o.HTTPPort), portOr(o.TLSPort), true, o.Resolver, a.db)
		web = wfe.New(logger, a.db, validator, a.ca, o.CAAIdentities, true, len(o.EAB) > 0, pause, pause)
	})
	if err != nil {
		return nil, fmt.Errorf("start the authority: %w", err)
	}
	if o.AuthzReuse == 0 {
		if err := neverReuse(&web); err != nil {
			return nil, fmt.Errorf("start the authority: %w", err)
		}
	}
	if err := a.serve(a.oneAtATime(web.Handler())); err != nil {
		return nil, fmt.Errorf("start the authority: %w", err)
	}
	return a, nil
}

// oneAtATime hands requests to Pebble one after the other. Its handler of authorizations takes the lock of one and then
// that of the store; placing an order takes them the other way round, so that under load the two wait for each other
// for ever (seen with Pebble 2.10.1 after some hundred orders by 8 clients).
func (a *Authority) oneAtATime(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20)) // nobody waits for a slow client
		if err != nil {
			http.Error(w, "the request cannot be read", http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		a.mu.Lock()
		defer a.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

func pebbleProfiles(in map[string]time.Duration) (map[string]ca.Profile, error) {
	if len(in) == 0 {
		in = map[string]time.Duration{"default": 90 * 24 * time.Hour}
	}
	out := map[string]ca.Profile{}
	for name, life := range in {
		if life < 2*time.Second {
			return nil, fmt.Errorf("start the authority: profile %s: a lifetime of %s is too short", name, life)
		}
		out[name] = ca.Profile{Description: name + " of the lab", ValidityPeriod: uint64(life / time.Second)}
	}
	return out, nil
}

// neverReuse makes no reuse of authorizations mean none. At 0, Pebble compares a number from 0 to 99 in such a way that
// it uses one order in a hundred for reuse, and tests that rest on a fresh challenge would fail as often. It takes no
// negative setting, so the field is set.
func neverReuse(web *wfe.WebFrontEndImpl) error {
	f := reflect.ValueOf(web).Elem().FieldByName("authzReusePercent")
	if f.Kind() != reflect.Int {
		return errors.New("this version of Pebble keeps its reuse of authorizations elsewhere")
	}
	reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().SetInt(-1)
	return nil
}

// portOr avoids port 0, which Pebble would take for a port to connect to; 1 refuses connections.
func portOr(p int) int {
	if p == 0 {
		return 1
	}
	return p
}

func withEnvironment(vars map[string]string, f func()) error {
	environment.Lock()
	defer environment.Unlock()
	for k, v := range vars {
		was, had := os.LookupEnv(k)
		if err := os.Setenv(k, v); err != nil {
			return err
		}
		defer func() {
			if had {
				_ = os.Setenv(k, was)
			} else {
				_ = os.Unsetenv(k)
			}
		}()
	}
	f()
	return nil
}

// Roots is what the chains of issued certificates lead to, as PEM: the roots, first the one of the ordinary chain.
func (a *Authority) Roots() []byte {
	var out []byte
	for i := range a.ca.GetNumberOfRootCerts() {
		out = append(out, a.ca.GetRootCert(i).PEM()...)
	}
	return out
}

// RootNames are the common names of the roots, in the order of [Authority.Roots].
func (a *Authority) RootNames() []string {
	var out []string
	for i := range a.ca.GetNumberOfRootCerts() {
		out = append(out, a.ca.GetRootCert(i).Cert.Subject.CommonName)
	}
	return out
}

// front is an HTTPS server on loopback with a certificate that nobody but its own pool trusts.
type front struct {
	base   string
	cert   *x509.Certificate
	server *http.Server
	served sync.WaitGroup
}

func (f *front) serve(h http.Handler) error {
	pair, err := selfSigned()
	if err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	f.cert = pair.Leaf
	f.base = "https://" + l.Addr().String()
	f.server = &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	f.served.Go(func() { _ = f.server.ServeTLS(l, "", "") }) // ends when Stop closes the server
	return nil
}

// Directory is the address of the ACME directory.
func (f *front) Directory() string { return f.base + wfe.DirectoryPath }

// Pool trusts the server's own certificate: what a client needs to speak to it.
func (f *front) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(f.cert)
	return p
}

// PoolPEM is the content of [front.Pool].
func (f *front) PoolPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.cert.Raw})
}

// Stop closes the server and all its connections. Stopping twice is harmless.
func (f *front) Stop() {
	_ = f.server.Close()
	f.served.Wait()
}

// idOf is the last element of a URL, which is what Pebble calls the thing.
func idOf(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
