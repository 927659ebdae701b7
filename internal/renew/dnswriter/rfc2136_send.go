package dnswriter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// send signs and sends an update to each server until one answers. The trouble says that none did; it may have Happened.
func (w *RFC2136) send(ctx context.Context, build func() *dns.Msg) (*dns.Msg, string, *assure.Trouble) {
	return w.each(ctx, func(network, server string) (*dns.Msg, bool, error) {
		m := build()
		return w.exchange(ctx, network, server, m, w.key.name != "")
	})
}

// query asks each server, unsigned, until one answers, whatever its RCODE.
func (w *RFC2136) query(ctx context.Context, name string, kind uint16) (*dns.Msg, string, *assure.Trouble) {
	return w.each(ctx, func(network, server string) (*dns.Msg, bool, error) {
		m := new(dns.Msg).SetQuestion(name, kind)
		m.RecursionDesired = false
		m.SetEdns0(1232, false)
		got, _, err := w.exchange(ctx, network, server, m, false)
		return got, false, err
	})
}

func (w *RFC2136) each(ctx context.Context, try func(network, server string) (*dns.Msg, bool, error)) (*dns.Msg, string, *assure.Trouble) {
	var said []string
	maybe := false
	for _, server := range w.o.Servers {
		for _, network := range []string{"udp", "tcp"} {
			if ctx.Err() != nil {
				said = append(said, server+" was not asked over "+network+": "+ctx.Err().Error())
				break
			}
			m, sent, err := try(network, server)
			maybe = maybe || sent && err != nil
			if err == nil && !m.Truncated {
				return m, server, nil
			}
			if errors.Is(err, errTSIGAnswer) {
				t := w.trouble(assure.DNSWriteFailed, assure.TroubleBroken, server, server+" "+err.Error(), "Look for what stands between here and the server and changes DNS messages.")
				t.Happened = sent
				return nil, server, t
			}
			if err != nil {
				said = append(said, fmt.Sprintf("%s %s over %s", server, err, strings.ToUpper(network)))
			}
		}
	}
	t := w.trouble(assure.DNSWriteFailed, assure.TroubleTransient, w.o.Servers[0], "no answer from the primary: "+strings.Join(said, ", "), "")
	t.Happened = maybe
	return nil, w.o.Servers[0], t
}

// errTSIGAnswer is an answer that does not prove that the server sent it.
var errTSIGAnswer = errors.New("gave an answer that is not signed with the key")

// exchange sends a message once. sent is whether it left, so that it may have been acted on.
func (w *RFC2136) exchange(ctx context.Context, network, server string, m *dns.Msg, signed bool) (answer *dns.Msg, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.o.Timeout)
	defer cancel()
	var wire []byte
	var mac string
	if signed {
		m.SetTsig(w.key.name, w.key.algorithm, 300, w.o.Now().Unix())
		wire, mac, err = dns.TsigGenerateWithProvider(m, w.key, "", false)
	} else {
		wire, err = m.Pack()
	}
	if err != nil {
		return nil, false, errors.New("cannot be sent this message")
	}
	conn, err := w.o.Dial(ctx, network, server)
	if err != nil {
		return nil, false, tsigLost(err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, false, tsigLost(err)
	}
	var bad error
	for {
		buf, err := tsigRead(conn, network)
		if err != nil {
			if bad != nil {
				return nil, true, bad
			}
			// That nobody listens is known for certain; everything else may have arrived.
			return nil, !errors.Is(err, syscall.ECONNREFUSED), tsigLost(err)
		}
		got := new(dns.Msg)
		if len(buf) < 12 || binary.BigEndian.Uint16(buf) != m.Id {
			bad = errors.New("answers something else")
		} else if got.Unpack(buf) != nil || !got.Response || got.Opcode != m.Opcode || !tsigSameQuestion(m, got) {
			bad = errors.New("sends what cannot be read")
		} else if err := w.genuine(got, buf, mac, signed); err != nil {
			bad = err
		} else {
			return got, true, nil
		}
		if network == "tcp" {
			return nil, true, bad
		}
		// Over UDP anybody can send: the right answer may follow (RFC 8945 §5.4).
	}
}

// genuine checks the signature of the answer to a signed message. Errors of TSIG itself, and RCODEs by which a server
// says that it could not even read the message, come unsigned (RFC 8945 §5.2, §5.4); what they lead to is never taken
// for success.
func (w *RFC2136) genuine(m *dns.Msg, wire []byte, mac string, signed bool) error {
	if !signed || m.Truncated { // who is cut short is asked again
		return nil
	}
	t := m.IsTsig()
	if t == nil {
		if m.Rcode == dns.RcodeSuccess {
			return errTSIGAnswer
		}
		return nil
	}
	if m.Rcode == dns.RcodeNotAuth || t.Error != dns.RcodeSuccess && m.Rcode != dns.RcodeSuccess {
		return nil // the library verifies no NOTAUTH
	}
	if err := dns.TsigVerifyWithProvider(wire, w.key, mac, false); err != nil && !errors.Is(err, dns.ErrTime) {
		return errTSIGAnswer // a clock that is off was the server's to judge, by our own signature
	}
	return nil
}

func tsigSameQuestion(m, got *dns.Msg) bool {
	if len(got.Question) == 0 { // an answer to an update need not repeat it (RFC 2136 §3.8)
		return got.Rcode != dns.RcodeSuccess || m.Opcode == dns.OpcodeUpdate
	}
	return len(got.Question) == 1 && strings.EqualFold(got.Question[0].Name, m.Question[0].Name) && got.Question[0].Qtype == m.Question[0].Qtype
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

// tsigLost is why nothing came, in words that follow the server's name. The system's own words hold ports that change
// with each attempt.
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
