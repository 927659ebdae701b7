package lab

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// forwardPatience is how long the server waits for whoever it forwards to; clients wait longer.
const forwardPatience = 3 * time.Second

// Forward makes the server pass questions about names outside its zones on to another one, at ip:port, over the transport
// that they came by. They are refused without.
func (d *DNS) Forward(to string) error {
	if _, _, err := net.SplitHostPort(to); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forward = to
	return nil
}

// passOn asks somebody else. Whatever comes of it, there is an answer.
func (d *DNS) passOn(to string, r *dns.Msg, udp bool) *dns.Msg {
	ctx, cancel := context.WithTimeout(context.Background(), forwardPatience)
	defer cancel()
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case <-d.quit:
			cancel()
		case <-stopped:
		}
	}()
	c := dns.Client{Net: "tcp", Timeout: forwardPatience}
	if udp {
		c.Net, c.UDPSize = "udp", dns.MaxMsgSize
	}
	m, _, err := c.ExchangeContext(ctx, r.Copy(), to)
	if err != nil || m == nil {
		failed := new(dns.Msg)
		return failed.SetRcode(r, dns.RcodeServerFailure)
	}
	return m
}
