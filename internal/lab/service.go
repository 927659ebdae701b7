package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ServiceOptions describes a TLS service. Only Leaves is needed, and not even that by a service whose Script never
// gets as far as a certificate.
type ServiceOptions struct {
	// Proto is what is spoken before or around TLS, as the scheme of a target: tls (when empty), https, smtp, imap,
	// pop3, ftp, ldap, postgres, mysql or h3.
	Proto string
	// Addresses are where it listens, all on one port; none means 127.0.0.1.
	Addresses []string
	// Port is the port; 0 means any that is free on all addresses.
	Port uint16

	// Leaves are the certificates served by default: of several, the first whose key the client can use.
	Leaves []*Leaf
	// BySNI holds others by the server name asked for; "" is for clients that name none. They are tried before ByAddress.
	BySNI map[string][]*Leaf
	// ByAddress holds others by the IP address connected to.
	ByAddress map[string][]*Leaf
	// MinTLS and MaxTLS bound the version, such as [tls.VersionTLS12]; 0 leaves the bound to crypto/tls.
	MinTLS, MaxTLS uint16
	// ClientCert makes the server insist on a client certificate.
	ClientCert bool

	// Script takes over a connection as soon as it is made, before anything is said; see the functions that make one.
	Script Script
	// Upgrade is a fault of the dialogue before TLS.
	Upgrade UpgradeFault
	// Tamper changes what the TLS server sends; see the functions that make one.
	Tamper Tamper
	// Flood is sent without end after the handshake.
	Flood Flood
	// Pace is the pause after each byte of a slow server or dialogue; zero means a second.
	Pace time.Duration
}

// Script is a server's whole behaviour on one connection. It returns when the connection is over or ctx is done; the
// connection is closed then.
type Script func(ctx context.Context, conn net.Conn)

// Service is one running TLS service. It is safe for concurrent use, and its certificates may be changed while it runs.
type Service struct {
	opts ServiceOptions
	port uint16

	mu        sync.Mutex
	leaves    []*Leaf
	bySNI     map[string][]*Leaf
	byAddress map[string][]*Leaf
	running   *run
	accepted  int
	handshook int
	held      []func() // gives up the ports that Pause keeps
}

// run is what exists between a start and a stop.
type run struct {
	ctx     context.Context
	cancel  context.CancelFunc
	closers []func() error
	work    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	over  bool
}

// StartService starts a service.
func StartService(o ServiceOptions) (*Service, error) {
	if o.Proto == "" {
		o.Proto = "tls"
	}
	if !slices.Contains([]string{"tls", "https", "h3"}, o.Proto) && dialogues[o.Proto] == nil {
		return nil, fmt.Errorf("start service: unknown protocol %q", o.Proto)
	}
	if len(o.Addresses) == 0 {
		o.Addresses = []string{"127.0.0.1"}
	}
	if o.Pace <= 0 {
		o.Pace = time.Second
	}
	for _, a := range o.Addresses {
		ip, err := netip.ParseAddr(a)
		if err != nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("start service: %q is not a loopback address", a)
		}
	}
	s := &Service{opts: o, port: o.Port, leaves: o.Leaves, bySNI: map[string][]*Leaf{}, byAddress: map[string][]*Leaf{}}
	for name, l := range o.BySNI {
		ascii := name
		if name != "" {
			var err error
			if ascii, err = toASCII(name); err != nil {
				return nil, fmt.Errorf("start service: %w", err)
			}
		}
		s.bySNI[strings.ToLower(ascii)] = l
	}
	for a, l := range o.ByAddress {
		s.byAddress[a] = l
	}
	if err := s.Start(); err != nil {
		return nil, err
	}
	return s, nil
}

// Port is the port, the same after every start.
func (s *Service) Port() uint16 { return s.port }

// Addr is the first address with the port.
func (s *Service) Addr() string {
	return net.JoinHostPort(s.opts.Addresses[0], strconv.Itoa(int(s.port)))
}

// Target is how the service is named as a target, for a host name that leads to it.
func (s *Service) Target(host string) string {
	t := net.JoinHostPort(host, strconv.Itoa(int(s.port)))
	if s.opts.Proto != "tls" {
		t = s.opts.Proto + "://" + t
	}
	return t
}

// Serve replaces the default certificates for connections from now on: what a reload after a renewal does.
func (s *Service) Serve(leaves ...*Leaf) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaves = leaves
}

// ServeAt replaces the certificates of one address.
func (s *Service) ServeAt(address string, leaves ...*Leaf) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byAddress[address] = leaves
}

// Accepted counts the connections taken so far (with h3, those whose handshake was completed).
func (s *Service) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Handshakes counts the handshakes completed so far.
func (s *Service) Handshakes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handshook
}

// Start starts a stopped service again, on the same addresses and port. Starting a running one changes nothing.
func (s *Service) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return nil
	}
	s.letGo()
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{ctx: ctx, cancel: cancel, conns: map[net.Conn]struct{}{}}
	var err error
	if s.opts.Proto == "h3" {
		err = s.listenPackets(r)
	} else {
		err = s.listen(r)
	}
	if err != nil {
		cancel()
		return fmt.Errorf("start %s service: %w", s.opts.Proto, err)
	}
	s.running = r
	return nil
}

// Stop closes the listeners and all connections, and waits for them. Connections are refused from then on.
func (s *Service) Stop() {
	s.mu.Lock()
	r := s.running
	s.running = nil
	s.letGo()
	s.mu.Unlock()
	if r == nil {
		return
	}
	r.cancel()
	for _, c := range r.closers {
		_ = c()
	}
	r.mu.Lock()
	r.over = true
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.work.Wait()
}

// Pause is Stop, and keeps the ports from being given to anybody else, so that connections are refused until Start or
// Stop. A QUIC service just falls silent.
func (s *Service) Pause() {
	s.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil || s.opts.Proto == "h3" {
		return
	}
	for _, a := range s.opts.Addresses {
		if ip, err := netip.ParseAddr(a); err == nil {
			s.held = append(s.held, holdPort(ip, s.port))
		}
	}
}

// letGo gives up the ports that are held while the service is stopped. The lock is held.
func (s *Service) letGo() {
	for _, release := range s.held {
		release()
	}
	s.held = nil
}

// everywhere opens every address on one port, trying again while a port that was free on one is taken on another.
func (s *Service) everywhere(open func(address string) (port uint16, close func() error, err error)) ([]func() error, error) {
	var last error
	for range 50 {
		var closers []func() error
		port := s.port
		last = nil
		for _, ip := range s.opts.Addresses {
			p, c, err := open(net.JoinHostPort(ip, strconv.Itoa(int(port))))
			if err != nil {
				last = err
				break
			}
			port = p
			closers = append(closers, c)
		}
		if last == nil {
			if s.port == 0 {
				s.port = port // only at the first start, before anybody else knows the service
			}
			return closers, nil
		}
		for _, c := range closers {
			_ = c()
		}
		if s.port != 0 || len(closers) == 0 {
			break
		}
	}
	return nil, last
}

func (s *Service) listen(r *run) error {
	var listeners []net.Listener
	closers, err := s.everywhere(func(address string) (uint16, func() error, error) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return 0, nil, err
		}
		listeners = append(listeners, l)
		return uint16(l.Addr().(*net.TCPAddr).Port), l.Close, nil
	})
	if err != nil {
		return err
	}
	r.closers = closers
	for _, l := range listeners {
		r.work.Go(func() { s.accept(r, l) })
	}
	return nil
}

func (s *Service) accept(r *run, l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select { // too many open files, perhaps: they will be fewer
			case <-time.After(10 * time.Millisecond):
				continue
			case <-r.ctx.Done():
				return
			}
		}
		if !r.enter(conn) {
			_ = conn.Close()
			return
		}
		s.mu.Lock()
		s.accepted++
		s.mu.Unlock()
		r.work.Go(func() {
			defer r.leave(conn)
			s.handle(r.ctx, conn)
		})
	}
}

func (r *run) enter(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.conns[c] = struct{}{}
	return true
}

func (r *run) leave(c net.Conn) {
	_ = c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

// handle serves one connection until the client leaves.
func (s *Service) handle(ctx context.Context, conn net.Conn) {
	if s.opts.Script != nil {
		s.opts.Script(ctx, conn)
		return
	}
	if dialogue := dialogues[s.opts.Proto]; dialogue != nil {
		c := newClear(ctx, conn, s.opts.Upgrade, s.opts.Pace)
		if !dialogue(c) {
			return
		}
		conn = c.forTLS()
	}
	config := s.config()
	watch := &watched{Conn: conn}
	if s.opts.Flood != nil {
		config.KeyLogWriter = &watch.log
		// Suites for which the flood can be encrypted by hand, and nothing else under the server's own keys.
		config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		config.SessionTicketsDisabled = true
		conn = watch
	}
	if s.opts.Tamper != nil {
		conn = s.opts.Tamper(ctx, conn)
	}
	tc := tls.Server(conn, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		return // the client did not like what it saw, as the lab intends
	}
	s.mu.Lock()
	s.handshook++
	s.mu.Unlock()
	if s.opts.Flood != nil {
		s.opts.Flood(ctx, watch, tc.ConnectionState())
		return
	}
	afterwards(s.opts.Proto, tc)
}

func (s *Service) config() *tls.Config {
	c := &tls.Config{MinVersion: s.opts.MinTLS, MaxVersion: s.opts.MaxTLS, GetCertificate: s.choose} //nolint:gosec // old versions on purpose, where asked for
	if s.opts.ClientCert {
		c.ClientAuth = tls.RequireAnyClientCert
	}
	if s.opts.Proto == "https" {
		c.NextProtos = []string{"http/1.1"}
	}
	return c
}

var errNoCertificate = errors.New("no certificate for this client")

// choose finds the certificate for a client: by server name, then by address, then the default.
func (s *Service) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	leaves := s.leaves
	if local, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String()); err == nil {
		if l, ok := s.byAddress[local.Addr().Unmap().String()]; ok {
			leaves = l
		}
	}
	if l, ok := s.bySNI[strings.ToLower(hello.ServerName)]; ok {
		leaves = l
	}
	s.mu.Unlock()
	// Whether the name fits is not asked: a server configured wrongly does not ask either.
	anyName := *hello
	anyName.ServerName = ""
	var first *tls.Certificate
	for _, l := range leaves {
		c := l.TLS()
		if anyName.SupportsCertificate(&c) == nil {
			return &c, nil
		}
		if first == nil {
			first = &c
		}
	}
	if first == nil || len(leaves) > 1 {
		return nil, errNoCertificate
	}
	return first, nil
}
