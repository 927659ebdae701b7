package lab

import (
	"crypto/tls"
	"net"

	"github.com/quic-go/quic-go"
)

// listenPackets serves h3: QUIC handshakes (RFC 9001) with the protocol h3 and nothing above them. There is no dialogue
// before QUIC, but its faults have their likes: with UpgradeGarbage each packet is answered with garbage, with any other
// fault by silence.
func (s *Service) listenPackets(r *run) error {
	var sockets []net.PacketConn
	closers, err := s.everywhere(func(address string) (uint16, func() error, error) {
		pc, err := net.ListenPacket("udp", address)
		if err != nil {
			return 0, nil, err
		}
		sockets = append(sockets, pc)
		return uint16(pc.LocalAddr().(*net.UDPAddr).Port), pc.Close, nil
	})
	if err != nil {
		return err
	}
	r.closers = closers
	for _, pc := range sockets {
		if s.opts.Upgrade != UpgradeSound {
			r.work.Go(func() { noise(pc, s.opts.Upgrade == UpgradeGarbage) })
			continue
		}
		if err := s.listenQUIC(r, pc); err != nil {
			for _, c := range r.closers {
				_ = c()
			}
			return err
		}
	}
	return nil
}

// noise answers each packet with garbage, or with nothing.
func noise(pc net.PacketConn, loud bool) {
	buf := make([]byte, 2048)
	for {
		_, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		if loud {
			_, _ = pc.WriteTo(garbage(1200), from)
		}
	}
}

func (s *Service) listenQUIC(r *run, pc net.PacketConn) error {
	config := s.config()
	config.MinVersion, config.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	config.NextProtos = []string{"h3"}
	transport := &quic.Transport{Conn: quiet{pc}}
	l, err := transport.Listen(config, &quic.Config{})
	if err != nil {
		return err
	}
	r.closers = append([]func() error{l.Close, transport.Close}, r.closers...)
	r.work.Go(func() {
		for {
			conn, err := l.Accept(r.ctx)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.accepted++
			s.handshook++
			s.mu.Unlock()
			r.work.Go(func() {
				select {
				case <-conn.Context().Done():
				case <-r.ctx.Done():
					_ = conn.CloseWithError(0, "the service stops")
				}
			})
		}
	})
	return nil
}

// quiet is a socket whose buffers quic-go leaves alone: where it may not have large ones it would say so in the log of
// the whole program.
type quiet struct{ net.PacketConn }

func (quiet) SetReadBuffer(int) error  { return nil }
func (quiet) SetWriteBuffer(int) error { return nil }
