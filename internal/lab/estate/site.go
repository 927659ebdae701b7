package estate

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Site is a TLS server that reads its certificate from files when it is told to, as most servers do. Until it was told
// the first time it serves nothing.
type Site struct {
	Name string // its host
	// Target is where it is to be looked at.
	Target string
	// Fullchain and Key are the files that it reads.
	Fullchain, Key string
	// Reload is the command that tells it to.
	Reload []string

	listeners []net.Listener
	bell      string // the file that the command writes to
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
	if len(addresses) == 0 {
		addresses = []string{"127.0.0.1"}
	}
	dir := filepath.Join(e.Dir, "sites", host)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("site %s: %w", host, err)
	}
	s := &Site{
		Name: host, Fullchain: filepath.Join(dir, "fullchain.pem"), Key: filepath.Join(dir, "privkey.pem"), bell: filepath.Join(dir, "bell"), stop: make(chan struct{}),
	}
	s.Reload = []string{"/bin/sh", "-c", "echo >> " + s.bell}
	if err := s.listen(addresses); err != nil {
		return nil, fmt.Errorf("site %s: %w", host, err)
	}
	_, port, _ := net.SplitHostPort(s.listeners[0].Addr().String())
	s.Target = net.JoinHostPort(host, port)
	zone := BindZone
	if strings.HasSuffix(host, "."+AzureZone) || host == AzureZone {
		zone = AzureZone
	}
	if err := e.Zones.Set(zone, host, dns.TypeA, addresses...); err != nil {
		s.Stop()
		return nil, fmt.Errorf("site %s: %w", host, err)
	}
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
		if !s.deaf && info.Size() != s.rung {
			if pair, err := tls.LoadX509KeyPair(s.Fullchain, s.Key); err == nil {
				s.pair, s.rung = &pair, info.Size()
			}
		}
		s.mu.Unlock()
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
