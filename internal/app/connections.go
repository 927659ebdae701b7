package app

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxConnections leaves sockets for the patrol and for pages, however many knock at the dashboard or the responder.
	maxConnections = 512
	// maxOfOne is how many of them one client may hold: an address, or an IPv6 /64, in which whoever has one address has
	// them all (RFC 7421). A proxy in front of many people is one client, too; each page that is watched live takes one.
	maxOfOne = 100
	// maxLocal is how many connections from this machine there may be besides: the health checks and proxies that run
	// beside notafter are not shut out by anybody elsewhere.
	maxLocal = 256
)

// fairListener accepts connections as long as there is room for them, and closes at once those beyond. Whoever opens
// connections and never ends a request fills their own share only. Waiting with Accept instead, until one is closed, would
// let a single client keep everybody out.
type fairListener struct {
	net.Listener
	what string // that is listened for
	log  *slog.Logger
	now  func() time.Time

	mu      sync.Mutex
	clients map[netip.Prefix]int
	total   int
	local   int
	refused int       // since it was last logged
	logged  time.Time // when that was
}

func newFairListener(l net.Listener, what string, log *slog.Logger, now func() time.Time) *fairListener {
	return &fairListener{Listener: l, what: what, log: log, now: now, clients: map[netip.Prefix]int{}}
}

// Accept returns the next connection that there is room for.
func (l *fairListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who, far := clientOf(c.RemoteAddr())
		if l.take(who, far) {
			return &countedConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(who, far) })}, nil
		}
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // a reset, so that a refused one costs no socket in TIME-WAIT
		}
		_ = c.Close()
	}
}

// take finds room for a connection.
func (l *fairListener) take(who netip.Prefix, far bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !far && l.local < maxLocal:
		l.local++
		return true
	case far && l.total < maxConnections && l.clients[who] < maxOfOne:
		l.total++
		l.clients[who]++
		return true
	}
	l.refused++
	if now := l.now(); now.Sub(l.logged) >= time.Minute || now.Before(l.logged) {
		l.log.Warn("connections to "+l.what+" refused: too many at once", "latest", who.Addr(), "held_by_it", l.clients[who], "held", l.total+l.local, "refused", l.refused)
		l.logged, l.refused = now, 0
	}
	return false
}

func (l *fairListener) leave(who netip.Prefix, far bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !far {
		l.local--
		return
	}
	l.total--
	if l.clients[who]--; l.clients[who] <= 0 {
		delete(l.clients, who)
	}
}

// clientOf is whom a connection is counted for. far is false for those from this machine.
func clientOf(a net.Addr) (who netip.Prefix, far bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	who, err := ip.Prefix(bits)
	return who, err == nil && !ip.IsLoopback()
}

type countedConn struct {
	net.Conn
	leave func()
}

// Close closes the connection and gives its place back, once.
func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}
