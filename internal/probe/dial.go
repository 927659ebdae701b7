package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// maxRead is how many bytes one look reads from one connection. The largest handshake that crypto/tls takes is a
// Certificate message of 256 KiB; the rest is room for clear text, for record overhead and for a second such message
// from a server that is only slow-witted.
const maxRead = 1 << 20

// errTooMuch ends a connection whose peer sends more than maxRead.
var errTooMuch = fmt.Errorf("the server sent more than %d bytes", maxRead)

// wire is a connection that counts. It is used by one goroutine, but for abort.
type wire struct {
	*net.TCPConn
	left  int     // bytes that may still be read
	head  [5]byte // the first bytes since the last call of mark
	nhead int
	tap   []byte // what was read since mark, up to maxOverheard
}

func (w *wire) Read(b []byte) (int, error) {
	if w.left <= 0 {
		return 0, errTooMuch
	}
	if len(b) > w.left {
		b = b[:w.left]
	}
	n, err := w.TCPConn.Read(b)
	w.left -= n
	if w.nhead < len(w.head) {
		w.nhead += copy(w.head[w.nhead:], b[:n])
	}
	if room := maxOverheard - len(w.tap); room > 0 {
		w.tap = append(w.tap, b[:min(n, room)]...)
	}
	return n, err
}

// mark forgets what was read so far, as what came before TLS.
func (w *wire) mark() { w.nhead, w.tap = 0, w.tap[:0] }

// looksLikeTLS reports whether what was read since mark begins like a TLS record (RFC 8446 section 5.1: type 20 to 24,
// major version 3). Nothing read looks like nothing else, so it counts.
func (w *wire) looksLikeTLS() bool {
	return (w.nhead < 1 || w.head[0] >= 20 && w.head[0] <= 24) && (w.nhead < 2 || w.head[1] == 3)
}

// drop closes the connection with a reset: nothing that was sent needs delivery, and no TIME_WAIT is left behind.
func (w *wire) drop() {
	_ = w.SetLinger(0)
	_ = w.Close()
}

// dial connects within the deadline.
func dial(ctx context.Context, at netip.AddrPort, deadline time.Time) (*wire, error) {
	// Keep-alive is switched off because no connection lives long enough, and switching it on takes three system calls.
	d := net.Dialer{KeepAlive: -1}
	c, err := d.DialTCP(endingAt{ctx, deadline}, "tcp", netip.AddrPort{}, at)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(deadline); err != nil {
		_ = c.Close()
		return nil, err
	}
	return &wire{TCPConn: c, left: maxRead, tap: make([]byte, 0, 4<<10)}, nil
}

// endingAt is a context with a nearer deadline and no timer for it: the dialler hands the deadline to the socket, and a
// timer for each of thousands of connections costs more than the rest of dialling does.
type endingAt struct {
	context.Context
	deadline time.Time
}

// Deadline is the nearer one.
func (u endingAt) Deadline() (time.Time, bool) { return u.deadline, true }

// dialable says why an address cannot be an endpoint at all; empty when it can. Connecting to the unspecified address
// would reach this machine, which is not what a name that points there means.
func dialable(ip netip.Addr) string {
	switch {
	case ip.IsUnspecified():
		return "the unspecified address is nobody's"
	case ip.IsMulticast():
		return "a multicast address cannot be connected to"
	case ip.Is4() && ip.As4()[0] == 0:
		return "an address of 0.0.0.0/8 cannot be connected to"
	}
	return ""
}

// dialFailure classifies why no connection came about.
//
// A missing route of this machine's own (ENETUNREACH, no such address family) is NoRoute. EHOSTUNREACH is not: a
// machine that has a route and gets no answer to ARP or neighbour discovery, or an ICMP message of a router on the
// way, found the other side absent, and that is the silence of a host rather than a blindness of ours.
func dialFailure(err error, ip netip.Addr) (assure.Failure, string) {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.ECONNREFUSED:
			return assure.Refused, "connection refused"
		case syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT:
			return assure.NoRoute, errno.Error()
		case syscall.EADDRNOTAVAIL:
			if ip.Is6() {
				return assure.NoRoute, errno.Error()
			}
			return assure.LocalFailure, "no free local address or port: " + errno.Error()
		case syscall.EHOSTUNREACH, syscall.EHOSTDOWN, syscall.ETIMEDOUT:
			return assure.Timeout, errno.Error()
		case syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE:
			return assure.Reset, errno.Error()
		default:
			return assure.LocalFailure, errno.Error()
		}
	}
	if isTimeout(err) {
		return assure.Timeout, "no answer to the connection attempt"
	}
	return assure.LocalFailure, err.Error()
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// acquire waits for a free socket until the end. It reports false when there was none, or ctx ended.
func (p *Prober) acquire(ctx context.Context, end time.Time) bool {
	select {
	case p.slots <- struct{}{}:
		return true
	default:
	}
	t := time.NewTimer(time.Until(end))
	defer t.Stop()
	select {
	case p.slots <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

func (p *Prober) release() { <-p.slots }
