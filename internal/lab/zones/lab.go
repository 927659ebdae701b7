package zones

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Options configures a [Lab]. The zero value of each field has a meaning.
type Options struct {
	// Servers is how many addresses name servers can have in all, the root's included; zero means 12.
	Servers int
	// TTL is that of every record that is set without one, in seconds; zero means 5.
	TTL uint32
	// Negative is for how many seconds the resolver may remember that something is not there; zero means 1.
	Negative uint32
	// Forgetful makes the resolver remember no records, so that nobody waits for a value that was there before.
	Forgetful bool
	// Patience is how long the resolver waits for one name server; zero means 700 ms.
	Patience time.Duration
	// Seed makes the loss of packets repeatable.
	Seed uint64
	// Now is the clock of the resolver's cache and of TSIG; nil means the system's.
	Now func() time.Time
}

// Lab is the tree. It is safe for concurrent use, and everything may be changed while it runs.
type Lab struct {
	o        Options
	port     int
	serving  []*dns.Server
	running  sync.WaitGroup
	once     sync.Once
	resolver *resolver

	mu      sync.Mutex
	servers []*server
	six     *server // has the address ::1; nil where the system has none
	hosts   map[string][]*server
	zones   map[string]*zone
	keys    map[string]*key
}

// server is one address of a name server. The lab's lock guards what changes.
type server struct {
	host   string // empty while it is nobody's
	ip     netip.Addr
	held   bool
	skew   time.Duration
	zones  map[string]*snapshot
	faults map[string]Fault // by zone; "" is every zone
	loss   float64
	dice   *rand.Rand
	lost   int
	asked  map[question]int
}

type question struct {
	name string
	kind uint16 // a record type; [dns.TypeNone] for an update of the zone
}

// Start starts the servers, a root zone, and the resolver.
func Start(o Options) (*Lab, error) {
	if o.Servers <= 0 {
		o.Servers = 12
	}
	if o.Servers > 200 {
		return nil, errors.New("more than 200 name servers")
	}
	if o.TTL == 0 {
		o.TTL = 5
	}
	if o.Negative == 0 {
		o.Negative = 1
	}
	if o.Patience <= 0 {
		o.Patience = 700 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Lab{o: o, hosts: map[string][]*server{}, zones: map[string]*zone{}, keys: map[string]*key{}}
	var ips []netip.Addr
	for i := range o.Servers {
		ips = append(ips, netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 2)}))
	}
	socks, err := l.listen(ips)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS: %w", err)
	}
	for i, s := range socks {
		srv := &server{
			ip: s.ip, zones: map[string]*snapshot{}, faults: map[string]Fault{}, asked: map[question]int{},
			dice: rand.New(rand.NewPCG(o.Seed, uint64(i))),
		}
		if s.ip.Is4() {
			l.servers = append(l.servers, srv)
		} else {
			l.six = srv
		}
		l.serve(s, dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) { l.handle(srv, w, r) }))
	}
	own, err := listenBoth(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	if err != nil {
		l.Stop()
		return nil, fmt.Errorf("listen for the resolver: %w", err)
	}
	l.resolver = newResolver(l, own.pc.LocalAddr().String())
	l.serve(own, dns.HandlerFunc(l.resolver.handle))
	if err := l.AddZone(".", "a.root."); err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

// Stop ends all servers. Stopping twice is harmless.
func (l *Lab) Stop() {
	l.once.Do(func() {
		for _, s := range l.serving {
			_ = s.Shutdown()
		}
	})
	l.running.Wait()
}

// Port is the port of every authoritative server.
func (l *Lab) Port() int { return l.port }

// ResolverAddr is the recursive resolver's address, as ip:port, for UDP and TCP.
func (l *Lab) ResolverAddr() string { return l.resolver.addr }

// socket is one address, over both transports.
type socket struct {
	ip netip.Addr
	l  net.Listener
	pc net.PacketConn
}

func (s socket) close() { _, _ = s.l.Close(), s.pc.Close() }

func listenBoth(ip netip.Addr, port int) (socket, error) {
	var last error
	for range 50 {
		ln, err := net.Listen("tcp", netip.AddrPortFrom(ip, uint16(port)).String())
		if err != nil {
			return socket{}, err
		}
		pc, err := net.ListenPacket("udp", ln.Addr().String())
		if err == nil {
			return socket{ip, ln, pc}, nil
		}
		last = err
		_ = ln.Close()
		if port != 0 {
			break
		}
	}
	return socket{}, last
}

// listen finds a port that is free on all addresses, and on ::1 where there is such an address.
func (l *Lab) listen(ips []netip.Addr) ([]socket, error) {
	var last error
	for range 50 {
		first, err := listenBoth(ips[0], 0)
		if err != nil {
			return nil, err
		}
		port := first.l.Addr().(*net.TCPAddr).Port
		socks := []socket{first}
		for _, ip := range ips[1:] {
			var s socket
			if s, err = listenBoth(ip, port); err != nil {
				break
			}
			socks = append(socks, s)
		}
		if err == nil {
			if s, err := listenBoth(netip.IPv6Loopback(), port); err == nil {
				socks = append(socks, s)
			}
			l.port = port
			return socks, nil
		}
		last = err
		for _, s := range socks {
			s.close()
		}
	}
	return nil, last
}

func (l *Lab) serve(s socket, h dns.Handler) {
	for _, srv := range []*dns.Server{{PacketConn: s.pc}, {Listener: s.l}} {
		srv.Handler, srv.UDPSize, srv.TsigProvider = h, 4096, provider{l}
		srv.MsgAcceptFunc = func(h dns.Header) dns.MsgAcceptAction {
			if h.Bits&(1<<15) != 0 {
				return dns.MsgIgnore // an answer
			}
			return dns.MsgAccept // updates too, which the library's own choice turns away
		}
		ready := make(chan struct{})
		srv.NotifyStartedFunc = sync.OnceFunc(func() { close(ready) })
		l.serving = append(l.serving, srv)
		l.running.Go(func() {
			_ = srv.ActivateAndServe() // ends with an error only when the sockets are closed
			srv.NotifyStartedFunc()
		})
		<-ready
	}
}

// AddHost gives a name server's host name so many IPv4 addresses of its own, and ::1 besides if six is set. A host that
// is not added before a zone names it gets one IPv4 address. ::1 can be one host's only.
func (l *Lab) AddHost(host string, four int, six bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addHost(fq(host), four, six)
}

func (l *Lab) addHost(host string, four int, six bool) error {
	if l.hosts[host] != nil {
		return fmt.Errorf("host %s is there already", host)
	}
	var got []*server
	for _, s := range l.servers {
		if s.host == "" && len(got) < four {
			got = append(got, s)
		}
	}
	if len(got) < four {
		return fmt.Errorf("host %s: all %d addresses are taken", host, len(l.servers))
	}
	if six {
		if l.six == nil || l.six.host != "" {
			return fmt.Errorf("host %s: no IPv6 address is left", host)
		}
		got = append(got, l.six)
	}
	for _, s := range got {
		s.host = host
	}
	l.hosts[host] = got
	return nil
}

// HasIPv6 reports whether this machine has ::1 for a name server.
func (l *Lab) HasIPv6() bool { return l.six != nil }

// Addresses are those of a host, as ip:port.
func (l *Lab) Addresses(host string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, s := range l.hosts[fq(host)] {
		out = append(out, l.at(s))
	}
	return out
}

func (l *Lab) at(s *server) string {
	return netip.AddrPortFrom(s.ip, uint16(l.port)).String()
}

// find returns the addresses that a test means: those of a host by its name, or one by its IP address with or without
// port. The caller holds the lock.
func (l *Lab) find(name string) ([]*server, error) {
	if found := l.hosts[fq(name)]; found != nil {
		return found, nil
	}
	host, port, err := net.SplitHostPort(name)
	if err == nil && port == strconv.Itoa(l.port) {
		name = host
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		all := l.servers
		if l.six != nil {
			all = append(slices.Clip(all), l.six)
		}
		for _, s := range all {
			if s.ip == ip {
				return []*server{s}, nil
			}
		}
	}
	return nil, fmt.Errorf("no name server %q", name)
}

// Queries counts the questions that a server was asked for a name, of one type. [dns.TypeNone] counts the updates of
// the zone of that name.
func (l *Lab) Queries(server, name string, kind uint16) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, _ := l.find(server)
	n := 0
	for _, s := range found {
		n += s.asked[question{fq(name), kind}]
	}
	return n
}

// Lost counts the packets that a server lost; they are no part of [Lab.Queries].
func (l *Lab) Lost(server string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, _ := l.find(server)
	n := 0
	for _, s := range found {
		n += s.lost
	}
	return n
}

// fq is a name in lower case with a trailing dot.
func fq(name string) string { return dns.Fqdn(strings.ToLower(name)) }
