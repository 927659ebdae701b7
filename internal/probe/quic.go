package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/notafter/notafter/internal/assure"
)

// datagrams is a UDP socket connected to one peer, which counts what it reads. Being connected, it hears of ICMP
// messages (nobody listens there, no route) and of nobody else's packets.
type datagrams struct {
	// The socket twice: as a PacketConn without its further methods, by which quic-go would send to an address, which a
	// connected socket refuses, and as what it is.
	net.PacketConn
	socket *net.UDPConn

	peer  net.Addr
	left  atomic.Int64
	heard atomic.Bool

	mu  sync.Mutex
	err error // the first error of the socket, which quic-go may report in its own words
}

func (d *datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := d.socket.Read(b)
	if n > 0 {
		d.heard.Store(true)
		if d.left.Add(-int64(n)) < 0 {
			err = errTooMuch
		}
	}
	return n, d.peer, d.note(err)
}

func (d *datagrams) WriteTo(b []byte, _ net.Addr) (int, error) {
	n, err := d.socket.Write(b)
	return n, d.note(err)
}

// SetReadBuffer and SetWriteBuffer do nothing: a handshake fits into the system's buffers, and quic-go would complain
// in the program's log where it cannot have larger ones.
func (d *datagrams) SetReadBuffer(int) error  { return nil }
func (d *datagrams) SetWriteBuffer(int) error { return nil }

func (d *datagrams) note(err error) error {
	if err != nil && !errors.Is(err, net.ErrClosed) && !isTimeout(err) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.err == nil {
			d.err = err
		}
	}
	return err
}

func (d *datagrams) first() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// h3Protocols is the protocol negotiated by ALPN (RFC 9114 section 3.1). QUIC demands one.
var h3Protocols = []string{"h3"}

// shakeQUIC makes one QUIC handshake (RFC 9001) and takes down the same facts as over TCP.
func (p *Prober) shakeQUIC(ctx context.Context, e *errand, at netip.AddrPort, m manner, deadline time.Time, g *glimpse) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		f, detail := dialFailure(err, at.Addr())
		g.fail(f, assure.AtConnect, detail)
		return
	}
	d := &datagrams{PacketConn: conn, socket: conn, peer: conn.RemoteAddr()}
	d.left.Store(maxRead)
	// quic-go shakes hands in goroutines of its own, which may still run when Dial has given up. What they see therefore
	// goes into a glimpse of their own, which is read under the lock.
	s := &quicWitness{}
	w := &witness{glimpse: &s.glimpse, cert: e.cert}
	conf := w.config(e, m)
	conf.MinVersion, conf.NextProtos = tls.VersionTLS13, h3Protocols
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return w.verify(cs)
	}
	conf.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return w.clientCertificate(r)
	}
	transport := &quic.Transport{Conn: d}
	c, err := transport.Dial(ctx, d.peer, conf, &quic.Config{
		HandshakeIdleTimeout: time.Until(deadline), MaxIdleTimeout: p.Timeout, DisablePathMTUDiscovery: true,
		MaxIncomingStreams: -1, MaxIncomingUniStreams: -1, // refused: nothing is wanted beyond the handshake
		MaxStreamReceiveWindow: 4 << 10, MaxConnectionReceiveWindow: 4 << 10,
	})
	if err == nil {
		_ = c.CloseWithError(0x100, "") // H3_NO_ERROR (RFC 9114 section 8.1)
	}
	_ = transport.Close()
	_ = conn.Close()
	s.mu.Lock()
	g.TLS, g.der, g.extra, g.staple, g.leafKind, g.ClientCert = s.glimpse.TLS, s.glimpse.der, s.glimpse.extra, s.glimpse.staple, s.glimpse.leafKind, s.glimpse.ClientCert
	s.mu.Unlock()
	if err != nil {
		f, stage, detail := quicFailure(err, d)
		g.fail(f, stage, detail)
	}
}

type quicWitness struct {
	mu      sync.Mutex
	glimpse glimpse
}

// quicFailure classifies why no QUIC connection came about. UDP has no connect: as long as nothing at all came back,
// that is the stage.
func quicFailure(err error, d *datagrams) (f assure.Failure, stage, detail string) {
	stage = assure.AtHandshake
	if !d.heard.Load() {
		stage = assure.AtConnect
	}
	if first := d.first(); first != nil {
		if errors.Is(first, errTooMuch) {
			return assure.TooLarge, stage, first.Error()
		}
		var errno syscall.Errno
		if errors.As(first, &errno) {
			ip, _ := netip.ParseAddrPort(d.peer.String())
			f, detail = dialFailure(first, ip.Addr())
			return f, stage, detail
		}
	}
	var transport *quic.TransportError
	var application *quic.ApplicationError
	var version *quic.VersionNegotiationError
	var reset *quic.StatelessResetError
	switch {
	case errors.As(err, &transport):
		switch {
		case transport.Remote && transport.ErrorCode.IsCryptoError():
			return assure.Alert, stage, "the server sent the alert: " + strings.TrimPrefix(tls.AlertError(transport.ErrorCode&0xff).Error(), "tls: ") //nolint:gosec // G115: RFC 9001 section 4.8, the alert is the low byte
		case transport.Remote:
			return assure.Reset, stage, "the server closed the connection: " + transport.Error()
		case strings.Contains(transport.ErrorMessage, tooLong):
			return assure.TooLarge, stage, transport.ErrorMessage
		}
		return assure.Malformed, stage, transport.Error()
	case errors.As(err, &application):
		return assure.Reset, stage, "the server closed the connection: " + application.Error()
	case errors.As(err, &version):
		return assure.Malformed, stage, "the server speaks no version of QUIC that is known here"
	case errors.As(err, &reset):
		return assure.Reset, stage, "the server reset the connection"
	case isTimeout(err):
		if stage == assure.AtConnect {
			return assure.Timeout, stage, "no answer over UDP"
		}
		return assure.Timeout, stage, "no further word from the server in time"
	}
	return assure.Malformed, stage, err.Error()
}
