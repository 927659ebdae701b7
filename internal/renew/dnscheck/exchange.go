package dnscheck

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// udpSize is what EDNS advertises (DNS flag day 2020): it fits into any path without fragments.
const udpSize = 1232

// kind is in which way a server did not answer.
type kind string

const (
	silent   kind = "silent"   // no answer in time
	closed   kind = "closed"   // the connection was refused or cut
	noRoute  kind = "no route" // this machine cannot send there at all
	refused  kind = "refused"  // REFUSED or NOTAUTH
	servfail kind = "servfail"
	lame     kind = "lame"   // an answer without authority
	noTCP    kind = "no TCP" // truncated over UDP, and nothing over TCP
	nonsense kind = "nonsense"
	stopped  kind = "stopped" // our own caller stopped waiting
)

// fault is why there is no answer, in words that follow the server's name.
type fault struct {
	kind kind
	says string
}

// passing reports whether the fault may be gone the next time.
func (f fault) passing() bool {
	switch f.kind {
	case silent, closed, noRoute, servfail, stopped:
		return true
	}
	return false
}

// query is one question.
type query struct {
	name      string // with trailing dot
	kind      uint16
	recursive bool
	unchecked bool // CD: whoever validates is asked not to
	tcp       bool // over TCP from the start
}

// ask puts a question to one server: twice over UDP, then over TCP if the answer is truncated. An answer with another
// RCODE than NOERROR and NXDOMAIN is a fault.
func (c *Checker) ask(ctx context.Context, server string, q query) (m *dns.Msg, f *fault) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, &fault{stopped, "was not asked: " + ctx.Err().Error()}
	}
	defer func() {
		if p := recover(); p != nil { // hostile bytes met a mistake of ours or of the library's
			m, f = nil, &fault{nonsense, clip(fmt.Sprintf("sent an answer that cannot be read: %v", p), clipAt)}
		}
	}()
	m, f = c.transport(ctx, server, q, true)
	if f == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented || m.Rcode == dns.RcodeBadVers) {
		m, f = c.transport(ctx, server, q, false) // a server from before EDNS (RFC 6891 §7)
	}
	if f != nil {
		return nil, f
	}
	switch m.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return m, nil
	case dns.RcodeServerFailure:
		return nil, &fault{servfail, "says SERVFAIL" + extended(m)}
	case dns.RcodeRefused, dns.RcodeNotAuth:
		return nil, &fault{refused, "refuses to answer (" + rcode(m.Rcode) + ")"}
	}
	return nil, &fault{nonsense, "answers " + rcode(m.Rcode)}
}

func (c *Checker) transport(ctx context.Context, server string, q query, edns bool) (*dns.Msg, *fault) {
	if q.tcp {
		return c.exchange(ctx, "tcp", server, q, edns, c.o.Timeout)
	}
	var m *dns.Msg
	var f *fault
	for range 2 {
		m, f = c.exchange(ctx, "udp", server, q, edns, c.o.Timeout/2)
		if f == nil || f.kind != silent {
			break
		}
	}
	if f != nil || !m.Truncated {
		return m, f
	}
	m, f = c.exchange(ctx, "tcp", server, q, edns, c.o.Timeout)
	if f != nil && (f.kind == silent || f.kind == closed) {
		f = &fault{noTCP, "cuts its answer short over UDP and " + f.says + " over TCP"}
	}
	return m, f
}

// exchange sends a question once and waits for its answer.
func (c *Checker) exchange(ctx context.Context, network, server string, q query, edns bool, wait time.Duration) (*dns.Msg, *fault) {
	until, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	out := &dns.Msg{MsgHdr: dns.MsgHdr{Id: binary.BigEndian.Uint16(id[:]), RecursionDesired: q.recursive, CheckingDisabled: q.unchecked}}
	out.Question = []dns.Question{{Name: q.name, Qtype: q.kind, Qclass: dns.ClassINET}}
	if edns {
		out.SetEdns0(udpSize, false)
	}
	wire, err := out.Pack()
	if err != nil {
		return nil, &fault{nonsense, "cannot be asked for " + clip(q.name, clipAt)}
	}
	conn, err := c.o.Dial(until, network, server)
	if err != nil {
		return nil, c.lost(ctx, server, err)
	}
	defer conn.Close()
	defer context.AfterFunc(until, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		wire = append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, c.lost(ctx, server, err)
	}
	for {
		buf, err := read(conn, network)
		if err != nil {
			return nil, c.lost(ctx, server, err)
		}
		if len(buf) < 12 || binary.BigEndian.Uint16(buf) != out.Id {
			if network == "tcp" {
				return nil, &fault{nonsense, "sent an answer to another question"}
			}
			continue // somebody else's packet, or a late one
		}
		m := new(dns.Msg)
		if err := m.Unpack(buf); err != nil {
			return nil, &fault{nonsense, "sent an answer that cannot be read"}
		}
		if !m.Response || !repeats(m, q) {
			return nil, &fault{nonsense, "sent an answer to another question"}
		}
		return m, nil
	}
}

func read(conn net.Conn, network string) ([]byte, error) {
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

// repeats reports whether an answer is one to the question. A server that could not read it need not repeat it.
func repeats(m *dns.Msg, q query) bool {
	if len(m.Question) == 0 {
		return m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented || m.Rcode == dns.RcodeRefused || m.Rcode == dns.RcodeServerFailure
	}
	got := m.Question[0]
	return len(m.Question) == 1 && strings.EqualFold(got.Name, q.name) && got.Qtype == q.kind && got.Qclass == dns.ClassINET
}

// lost says why nothing came.
func (c *Checker) lost(ctx context.Context, server string, err error) *fault {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return &fault{stopped, "had not answered when waiting ended"}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT), isSix(server) && errors.Is(err, syscall.EHOSTUNREACH):
		return &fault{noRoute, "cannot be reached from here (no route)"}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &fault{silent, "does not answer"}
	}
	return &fault{closed, "refuses or cuts the connection"}
}

func isSix(server string) bool {
	a, err := netip.ParseAddrPort(server)
	return err == nil && a.Addr().Is6() && !a.Addr().Is4In6()
}

// extended is the extended error of an answer (RFC 8914), for people.
func extended(m *dns.Msg) string {
	opt := m.IsEdns0()
	if opt == nil {
		return ""
	}
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok {
			s := dns.ExtendedErrorCodeToString[e.InfoCode]
			if e.ExtraText != "" {
				s += ": " + e.ExtraText
			}
			if s != "" {
				return " (" + clip(s, 100) + ")"
			}
		}
	}
	return ""
}

func rcode(code int) string {
	if s := dns.RcodeToString[code]; s != "" {
		return s
	}
	return fmt.Sprintf("RCODE %d", code)
}

// clip bounds a text from outside and takes out what is no printable text.
func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if len(s) <= n {
		return s
	}
	s = s[:n]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// label names a server for people.
func label(s assure.NameServer) string {
	if s.Name == "" {
		return s.Address
	}
	return clip(s.Name, clipAt) + " (" + s.Address + ")"
}

// fq is a name in lower case with a trailing dot; bare is one without.
func fq(name string) string { return dns.Fqdn(strings.ToLower(name)) }

func bare(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(strings.ToLower(name), ".")
}

// above is the name without its first label.
func above(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}
