package permit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// errTSIGAnswer is an answer that does not prove that the server sent it.
var errTSIGAnswer = errors.New("gave an answer that is not signed with the key")

// each sends what build makes to each server, over UDP and then TCP, until one answers.
func (r *RFC2136) each(ctx context.Context, build func() *dns.Msg, signed bool) (*dns.Msg, string, error) {
	var said []string
	for _, server := range r.o.Servers {
		for _, network := range []string{"udp", "tcp"} {
			if ctx.Err() != nil {
				return nil, "", errors.New(strings.Join(append(said, "waiting ended"), ", "))
			}
			m, err := r.exchange(ctx, network, server, build(), signed)
			if errors.Is(err, errTSIGAnswer) || err == nil && !m.Truncated {
				return m, server, err
			}
			if err != nil {
				said = append(said, fmt.Sprintf("%s %s over %s", server, err, strings.ToUpper(network)))
			}
		}
	}
	return nil, "", errors.New(strings.Join(said, ", "))
}

// exchange sends a message once and waits for an answer to it that proves itself.
func (r *RFC2136) exchange(ctx context.Context, network, server string, m *dns.Msg, signed bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	wire, mac, err := r.pack(m, signed)
	if err != nil {
		return nil, errors.New("cannot be sent this message")
	}
	conn, err := r.o.Dial(ctx, network, server)
	if err != nil {
		return nil, tsigLost(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, tsigLost(err)
	}
	var bad error
	for {
		buf, err := tsigRead(conn, network)
		if err != nil {
			if bad != nil {
				return nil, bad
			}
			return nil, tsigLost(err)
		}
		got := new(dns.Msg)
		if len(buf) < 12 || binary.BigEndian.Uint16(buf) != m.Id || got.Unpack(buf) != nil || !got.Response || got.Opcode != m.Opcode {
			bad = errors.New("sends what is no answer")
		} else if bad = r.genuine(got, buf, mac, signed); bad == nil {
			return got, nil
		}
		if network == "tcp" {
			return nil, bad
		}
		// Over UDP anybody can send: the right answer may follow (RFC 8945 §5.4).
	}
}

func (r *RFC2136) pack(m *dns.Msg, signed bool) (wire []byte, mac string, err error) {
	if !signed {
		wire, err = m.Pack()
		return wire, "", err
	}
	m.SetTsig(r.key.name, r.key.algorithm, 300, r.o.Now().Unix()) // RFC 8945 §10: 300 s of fudge
	return dns.TsigGenerateWithProvider(m, r.key, "", false)
}

// genuine checks that "yes" is signed with the key. Refusals may come unsigned (RFC 8945 §5.2, §5.4).
func (r *RFC2136) genuine(m *dns.Msg, wire []byte, mac string, signed bool) error {
	if !signed || m.Rcode != dns.RcodeSuccess || m.Truncated { // who is cut short is asked again
		return nil
	}
	if m.IsTsig() == nil {
		return errTSIGAnswer
	}
	if err := dns.TsigVerifyWithProvider(wire, r.key, mac, false); err != nil && !errors.Is(err, dns.ErrTime) {
		return errTSIGAnswer
	}
	return nil
}

func tsigRead(conn net.Conn, network string) ([]byte, error) {
	if network == "udp" {
		buf := make([]byte, 4096) // more than EDNS asks for; what is longer does not parse
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(conn, buf)
	return buf, err
}

// tsigLost is why nothing came, in words that follow the server's name.
func tsigLost(err error) error {
	var timeout net.Error
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		return errors.New("has a name that does not resolve")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("does not answer")
	}
	return errors.New("refuses or cuts the connection")
}
