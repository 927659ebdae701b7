package estate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/lab/authority"
)

// Site is a TLS server that reads its certificate from files when it is told to, as most servers do. Until it was told
// the first time it serves nothing.
type Site struct {
	Name string // its host
	// Names are what its certificate must hold, its host first.
	Names []string
	// Renewer is the name of whoever can renew it; see [Estate.Renewers].
	Renewer string
	// Target is where it is to be looked at, and Targets the same for each of its names that is no wildcard.
	Target  string
	Targets []string
	// Fullchain and Key are the files that it reads.
	Fullchain, Key string
	// Reload is the command that tells it to.
	Reload []string

	listeners []net.Listener
	bell      string // the file that the command writes to
	jam       string // the file that makes the command fail
	loaded    func(leaf *x509.Certificate)
	stop      chan struct{}
	running   sync.WaitGroup

	mu     sync.Mutex
	pair   *tls.Certificate
	rung   int64 // how much of the bell was heard
	deaf   bool
	served int
}

// Site starts a server for a host of one of the zones, on the given loopback addresses, or on 127.0.0.1.
func (e *Estate) Site(host string, addresses ...string) (*Site, error) {
	return e.SiteOf([]string{host}, addresses...)
}

// SiteOf starts a server for several names of one zone, of which the first is its host and others may be wildcards.
func (e *Estate) SiteOf(names []string, addresses ...string) (*Site, error) {
	host := names[0]
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1"}
	}
	dir := filepath.Join(e.Dir, "sites", host)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("site %s: %w", host, err)
	}
	s := &Site{
		Name: host, Names: slices.Clone(names), Renewer: Bind, Fullchain: filepath.Join(dir, "fullchain.pem"), Key: filepath.Join(dir, "privkey.pem"),
		bell: filepath.Join(dir, "bell"), jam: filepath.Join(dir, "jam"), loaded: e.suggest, stop: make(chan struct{}),
	}
	s.Reload = []string{"/bin/sh", "-c", `if rm "$1" 2>/dev/null; then echo "the server does not take its configuration" >&2; exit 1; fi; echo >> "$0"`, s.bell, s.jam}
	if err := s.listen(addresses); err != nil {
		return nil, fmt.Errorf("site %s: %w", host, err)
	}
	_, port, _ := net.SplitHostPort(s.listeners[0].Addr().String())
	zone := BindZone
	if strings.HasSuffix(host, "."+AzureZone) || host == AzureZone {
		zone, s.Renewer = AzureZone, Azure
	}
	for _, n := range names {
		if strings.HasPrefix(n, "*.") {
			continue
		}
		if err := e.Zones.Set(zone, n, dns.TypeA, addresses...); err != nil {
			s.Stop()
			return nil, fmt.Errorf("site %s: %w", host, err)
		}
		s.Targets = append(s.Targets, net.JoinHostPort(n, port))
	}
	s.Target = s.Targets[0]
	for _, l := range s.listeners {
		s.running.Go(func() { s.serve(l) })
	}
	s.running.Go(s.hearken)
	e.stops = append(e.stops, s.Stop)
	return s, nil
}

// listen takes one port on all addresses.
func (s *Site) listen(addresses []string) error {
	var last error
	for range 20 {
		port := 0
		for _, a := range addresses {
			l, err := net.Listen("tcp", net.JoinHostPort(a, strconv.Itoa(port)))
			if err != nil {
				last = err
				break
			}
			s.listeners = append(s.listeners, l)
			port = l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on TCP
		}
		if len(s.listeners) == len(addresses) {
			return nil
		}
		for _, l := range s.listeners {
			_ = l.Close()
		}
		s.listeners = nil
	}
	return last
}

// Addresses are where it listens, as ip:port.
func (s *Site) Addresses() []string {
	var out []string
	for _, l := range s.listeners {
		out = append(out, l.Addr().String())
	}
	return out
}

// Stop ends the server.
func (s *Site) Stop() {
	select {
	case <-s.stop:
		return
	default:
		close(s.stop)
	}
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.running.Wait()
}

// Deaf makes the reload command work and the server not hear it, or mends that.
func (s *Site) Deaf(deaf bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = deaf
}

// FailReload makes the reload command fail the next time that it is run.
func (s *Site) FailReload() error {
	if err := os.WriteFile(s.jam, nil, 0o600); err != nil {
		return fmt.Errorf("site %s: %w", s.Name, err)
	}
	return nil
}

// ReloadFailed reports whether the command has failed since it was told to.
func (s *Site) ReloadFailed() bool {
	_, err := os.Stat(s.jam)
	return os.IsNotExist(err)
}

// Life is when the certificate that is served begins and ends; zero before there is one.
func (s *Site) Life() (from, to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair == nil || s.pair.Leaf == nil {
		return from, to
	}
	return s.pair.Leaf.NotBefore, s.pair.Leaf.NotAfter
}

// Served counts the handshakes that got a certificate.
func (s *Site) Served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served
}

// Leaf is the certificate that is served, in DER form; nil before there is one.
func (s *Site) Leaf() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair == nil {
		return nil
	}
	return s.pair.Certificate[0]
}

// hearken reads the files again each time that the bell was rung.
func (s *Site) hearken() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		info, err := os.Stat(s.bell)
		if err != nil {
			continue
		}
		s.mu.Lock()
		heard := !s.deaf && info.Size() != s.rung
		s.mu.Unlock()
		if !heard {
			continue
		}
		if pair, err := tls.LoadX509KeyPair(s.Fullchain, s.Key); err == nil {
			s.loaded(pair.Leaf) // before it is seen, after which its renewer asks
			s.mu.Lock()
			s.pair, s.rung = &pair, info.Size()
			s.mu.Unlock()
		}
	}
}

func (s *Site) serve(l net.Listener) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pair == nil {
			return nil, fmt.Errorf("%s has no certificate yet", s.Name)
		}
		s.served++
		return s.pair, nil
	}}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			defer func() { _ = conn.Close() }()
			if c := tls.Server(conn, conf); c.HandshakeContext(ctx) == nil {
				var b [1]byte
				_, _ = c.Read(b[:]) // until the client goes
			}
		})
	}
}

// suggest has the authority ask for the renewal of a certificate at the share of its lifetime that was configured.
func (e *Estate) suggest(leaf *x509.Certificate) {
	if e.due <= 0 || leaf == nil {
		return
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	start := leaf.NotBefore.Add(time.Duration(e.due * float64(life)))
	// What Pebble did not issue has no window, which is no trouble of the site's.
	_ = e.CA.SetWindow(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), authority.Window{Start: start, End: start.Add(max(life/20, time.Second))})
}
