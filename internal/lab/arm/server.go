package arm

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Options configures a [Server]. The zero value of each field has a meaning.
type Options struct {
	// Now tells the time; nil means time.Now. Tokens and secrets end by it.
	Now func() time.Time
	// Tenant and Subscription are the ids of the only tenant and subscription; empty means ones made for the lab.
	Tenant       string
	Subscription string
	// OnTXT is told of every change of a TXT record set, in the order of the changes and before the request that made it
	// is answered: the zone, the full name without a trailing dot, and every value now there (none: the set is gone or
	// empty). It may read from the server but must change nothing there.
	OnTXT func(zone, name string, values []string)
	// TokenLife is how long an access token lasts; zero means an hour.
	TokenLife time.Duration
	// Stale is how long a token that was issued before a grant changed keeps the rights from before, as Azure's caches
	// do. Zero: changes count at once. See [Server.SetStale].
	Stale time.Duration
	// ForgetRecordGrants makes role assignments at a record set vanish when that set is deleted, as users report of Azure
	// (terricain/certbot-dns-azure issue 20).
	ForgetRecordGrants bool
	// GrouplessCheckAccess makes checkAccess know of no groups but those that a request names, also when it is asked to
	// look for them (which is not documented).
	GrouplessCheckAccess bool
	// Requests is how many requests the log keeps; zero means 10,000.
	Requests int
}

// Ids that are used when Options name none.
const (
	LabTenant       = "7e000000-0000-4000-8000-000000000001"
	LabSubscription = "5b000000-0000-4000-8000-000000000001"
)

// Server is the stand-in. It is safe for concurrent use.
type Server struct {
	opts   Options
	pem    []byte
	pool   *x509.CertPool
	key    []byte // signs tokens
	secure net.Listener
	plain  net.Listener
	http   *http.Server
	clear  *http.Server
	served sync.WaitGroup
	gone   chan struct{} // closed by Stop, so that slow answers end
	stop   sync.Once

	// writing serialises changes of records with their publication; it is taken before mu.
	writing sync.Mutex

	mu          sync.Mutex
	stale, lag  time.Duration
	principals  map[string]*principal // by client id, lower case
	managedOnes int
	policies    []policy // every version that a token may still see, oldest first; the last is the truth
	locks       []Lock
	zones       map[string]*zone     // by resource id, lower case
	identities  map[string]*identity // by resource id, lower case
	made        int                  // zones, ever
	tokens      int                  // generation: tokens of an older one are refused
	etag        int
	faults      []*Fault
	log         []Request
}

// Start makes a server with one subscription and nothing in it. Call Stop when done.
func Start(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tenant == "" {
		o.Tenant = LabTenant
	}
	if o.Subscription == "" {
		o.Subscription = LabSubscription
	}
	if o.TokenLife <= 0 {
		o.TokenLife = time.Hour
	}
	if o.Requests <= 0 {
		o.Requests = 10_000
	}
	s := &Server{
		opts: o, stale: o.Stale, gone: make(chan struct{}), key: make([]byte, 32),
		principals: map[string]*principal{}, zones: map[string]*zone{}, identities: map[string]*identity{},
		policies: []policy{{definitions: builtIn(), groups: map[string][]string{}}},
	}
	_, _ = rand.Read(s.key) // never fails (crypto/rand)
	cert, err := s.identify()
	if err != nil {
		return nil, fmt.Errorf("make the certificate of the Azure stand-in: %w", err)
	}
	s.secure, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the Azure stand-in: %w", err)
	}
	s.plain, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the Azure stand-in: %w", err), s.secure.Close())
	}
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	// Two servers: one that serves both TLS and clear text settles HTTP/2 by whichever comes first, and when that is clear
	// text, clients are promised HTTP/2 over TLS and do not get it.
	s.clear = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second}
	s.served.Go(func() { _ = s.http.ServeTLS(s.secure, "", "") }) // both end when Stop closes the servers
	s.served.Go(func() { _ = s.clear.Serve(s.plain) })
	return s, nil
}

// identify makes a certificate for the loopback address that is its own root.
func (s *Server) identify() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now() // clients check it by the real time, whatever Options.Now says
	t := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "Azure stand-in"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	s.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.pool = x509.NewCertPool()
	s.pool.AppendCertsFromPEM(s.pem)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Stop closes every socket and waits for what was running.
func (s *Server) Stop() {
	s.stop.Do(func() {
		close(s.gone)
		_, _ = s.http.Close(), s.clear.Close()
	})
	s.served.Wait()
}

// URL is the base address over TLS, without a slash at the end: of Resource Manager and, with a slash, of the authority.
func (s *Server) URL() string { return "https://" + s.secure.Addr().String() }

// PlainURL is the same without TLS. The metadata service of virtual machines has none.
func (s *Server) PlainURL() string { return "http://" + s.plain.Addr().String() }

// PEM is the root to trust, for clients that read it from a file.
func (s *Server) PEM() []byte { return slices.Clone(s.pem) }

// Pool holds the root to trust.
func (s *Server) Pool() *x509.CertPool { return s.pool.Clone() }

// Tenant is the id of the only tenant.
func (s *Server) Tenant() string { return s.opts.Tenant }

// Subscription is the id of the only subscription.
func (s *Server) Subscription() string { return s.opts.Subscription }

// metadata is where Azure's instance metadata service listens on every virtual machine.
const metadata = "169.254.169.254:80"

// Client returns a client that trusts the server and, like a virtual machine, finds the metadata service at its
// link-local address. Its transport is its own: close its idle connections when done.
func (s *Server) Client() *http.Client {
	d := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.pool, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == metadata {
				address = s.plain.Addr().String()
			}
			return d.DialContext(ctx, network, address)
		},
	}}
}

// SetStale changes [Options.Stale] from now on.
func (s *Server) SetStale(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = d
}
