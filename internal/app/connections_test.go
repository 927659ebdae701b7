package app

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// callers is a listener to which connections come from anywhere.
type callers struct{ come []net.Addr }

func (c *callers) Accept() (net.Conn, error) {
	if len(c.come) == 0 {
		return nil, errors.New("nobody else")
	}
	a, _ := net.Pipe()
	next := c.come[0]
	c.come = c.come[1:]
	return from{a, next}, nil
}
func (c *callers) Close() error   { return nil }
func (c *callers) Addr() net.Addr { return &net.TCPAddr{} }

type from struct {
	net.Conn
	addr net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.addr }

// One client that opens connections without end must leave room for health checks and for other people.
func TestOneClientDoesNotHoldAllConnections(t *testing.T) {
	inner, now := &callers{}, time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	l := newFairListener(inner, "the dashboard", slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	comes := func(ip string, n int) (let []net.Conn) {
		for range n {
			inner.come = append(inner.come, &net.TCPAddr{IP: net.ParseIP(ip), Port: 40000})
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return let
			}
			let = append(let, c)
		}
	}
	greedy := comes("192.0.2.1", 2*maxConnections)
	if len(greedy) != maxOfOne {
		t.Fatalf("one client holds %d connections, want %d", len(greedy), maxOfOne)
	}
	if n := strings.Count(log.String(), "connections to the dashboard refused"); n != 1 {
		t.Errorf("refused %d times in one minute, logged %d times", 2*maxConnections-maxOfOne, n)
	}
	if len(comes("192.0.2.2", 1)) != 1 || len(comes("127.0.0.1", 1)) != 1 || len(comes("::1", 1)) != 1 {
		t.Error("others are kept out")
	}
	// Addresses of one IPv6 network are one client, and an IPv4 address is the same client in both ways of writing it.
	if n := len(comes("2001:db8::1", maxOfOne)) + len(comes("2001:db8::ffff:2", maxOfOne)); n != maxOfOne {
		t.Errorf("a /64 holds %d connections", n)
	}
	if len(comes("::ffff:192.0.2.1", 1)) != 0 {
		t.Error("an IPv4 address written as IPv6 is another client")
	}
	_ = greedy[0].Close()
	_ = greedy[0].Close() // gives back one place and not two
	if n := len(comes("192.0.2.1", 5)); n != 1 {
		t.Errorf("%d places after one was given back", n)
	}
	// Many clients together are bounded, and still do not shut out this machine.
	for i := range 10 {
		comes(net.IPv4(198, 51, 100, byte(i)).String(), maxOfOne)
	}
	if len(comes("203.0.113.1", 1)) != 0 || l.total != maxConnections {
		t.Errorf("%d connections, want at most %d", l.total, maxConnections)
	}
	if len(comes("127.0.0.1", 1)) != 1 {
		t.Error("a health check is kept out")
	}
}
