package dnscheck

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/zones"
)

// hostile is a server that is every resolver and every name server at once, and answers as it likes.
func hostile(t testing.TB, answer func(q dns.Question, m *dns.Msg)) (*Checker, *atomic.Int64) {
	t.Helper()
	var pc net.PacketConn
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	for range 50 { // until a port is free for both
		must(t, err)
		if pc, err = net.ListenPacket("udp", ln.Addr().String()); err == nil {
			break
		}
		_ = ln.Close()
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	must(t, err)
	asked := new(atomic.Int64)
	for _, s := range []*dns.Server{{PacketConn: pc}, {Listener: ln}} {
		s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
			asked.Add(1)
			m := new(dns.Msg).SetReply(r)
			answer(r.Question[0], m)
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				m.Truncate(1232)
			}
			_ = w.WriteMsg(m)
		})
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return New(Options{Resolvers: []string{pc.LocalAddr().String()}, Port: pc.LocalAddr().(*net.UDPAddr).Port, Timeout: 2 * time.Second, Remember: -1}), asked
}

func record(format string, a ...any) dns.RR {
	rr, err := dns.NewRR(fmt.Sprintf(format, a...))
	if err != nil {
		panic(err)
	}
	return rr
}

func TestHostileAnswersAreBounded(t *testing.T) {
	t.Parallel()
	const bound = 5000 // questions that one call may cost at the very worst
	crowd := func(zone string) (ns []dns.RR) {
		for i := range 300 {
			ns = append(ns, record("%s 5 IN NS n%d.x.test.", zone, i))
		}
		return ns
	}
	addressed := func(q dns.Question, m *dns.Msg) bool {
		switch q.Qtype {
		case dns.TypeA:
			for i := range 40 {
				m.Answer = append(m.Answer, record("%s 5 IN A 127.0.0.%d", q.Name, 1+i%3))
			}
		case dns.TypeAAAA:
		default:
			return false
		}
		return true
	}
	for sentence, answer := range map[string]func(q dns.Question, m *dns.Msg){
		"delegations without end": func(q dns.Question, m *dns.Msg) {
			if addressed(q, m) {
				return
			}
			if m.RecursionDesired { // as resolver
				m.Ns = []dns.RR{record("test. 5 IN SOA a.test. b.test. 1 2 3 4 5")}
				if q.Qtype == dns.TypeNS {
					m.Answer = crowd(q.Name)
				}
				return
			}
			m.Ns = crowd(q.Name)
		},
		"aliases without end": func(q dns.Question, m *dns.Msg) {
			if addressed(q, m) {
				return
			}
			m.Authoritative = true
			switch q.Qtype {
			case dns.TypeNS:
				m.Answer = crowd(q.Name)
			case dns.TypeSOA:
				m.Ns = []dns.RR{record("test. 5 IN SOA a.test. b.test. 1 2 3 4 5")}
			default:
				m.Answer = []dns.RR{record("%s 5 IN CNAME n%d.example.test.", q.Name, rand.Uint64())}
			}
		},
		"servers of servers without address": func(q dns.Question, m *dns.Msg) {
			if q.Qtype == dns.TypeNS {
				m.Answer = crowd(q.Name)
			}
			m.Ns = []dns.RR{record("example.test. 5 IN SOA a.test. b.test. 1 2 3 4 5")}
		},
		"everything always": func(q dns.Question, m *dns.Msg) {
			m.Authoritative = rand.IntN(2) == 0
			m.Rcode = rand.IntN(4)
			for range 5 {
				m.Answer = append(m.Answer, record("%s 5 IN CNAME %s", q.Name, q.Name), record("%s 5 IN TXT \"%s\"", q.Name, strings.Repeat("x", 250)),
					record("%s 5 IN SOA . . 1 2 3 4 5", q.Name), record("%s 5 IN NS %s", q.Name, q.Name), record("%s 5 IN A 127.0.0.1", q.Name),
					&dns.CAA{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeCAA, Class: dns.ClassINET}, Flag: 128, Tag: "\x00", Value: "\xff"})
			}
			m.Ns, m.Extra = m.Answer, m.Answer
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			c, asked := hostile(t, answer)
			for what, f := range map[string]func() error{
				"Find":       func() error { _, err := c.Find(deadline(t), "_acme-challenge.a.b.example.test"); return err },
				"Delegation": func() error { return c.Delegation(deadline(t), "a.b.example.test") },
				"CAA":        func() error { return c.CAA(deadline(t), ours("a.b.example.test")) },
				"Shown": func() error {
					at := assure.RecordPlace{Name: "a.example.test", Zone: "example.test", Aliases: []string{"b.example.test"}}
					for range 500 {
						at.Servers = append(at.Servers, assure.NameServer{Name: strings.Repeat("n", 1000), Address: c.o.Resolvers[0]})
					}
					return c.Shown(deadline(t), at, "v")
				},
			} {
				before, begun := asked.Load(), time.Now()
				err := f()
				if n, took := asked.Load()-before, time.Since(begun); n > bound || took > 25*time.Second {
					t.Errorf("%s asked %d questions and took %s: %v", what, n, took, err)
				}
				if err != nil && len(err.Error()) > 6*clipAt {
					t.Errorf("%s: an error of %d bytes", what, len(err.Error()))
				}
			}
		})
	}
}

// A resolver that tells nothing, in whatever way, is the trouble of whoever asks it: nothing is said of the zone.
func TestBlindResolverIsNoTroubleOfTheZone(t *testing.T) {
	t.Parallel()
	answering := func(code int) string {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(t, err)
		s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			_ = w.WriteMsg(new(dns.Msg).SetRcode(q, code))
		})}
		done := make(chan struct{})
		go func() { defer close(done); _ = s.ActivateAndServe() }()
		t.Cleanup(func() { _ = conn.Close(); <-done })
		return conn.LocalAddr().String()
	}
	deaf, err := net.ListenPacket("udp", "127.0.0.1:0") // it takes what comes, and says nothing
	must(t, err)
	t.Cleanup(func() { _ = deaf.Close() })
	for says, resolver := range map[string]string{
		"no servers of the root": answering(dns.RcodeSuccess),
		"says SERVFAIL":          answering(dns.RcodeServerFailure),
		"refuses to answer":      answering(dns.RcodeRefused),
		"does not answer":        deaf.LocalAddr().String(),
	} {
		c := New(Options{Resolvers: []string{resolver}, Timeout: 200 * time.Millisecond, Remember: -1})
		_, err := c.Find(deadline(t), "_acme-challenge.eu.example.com")
		for _, err := range []error{err, c.Delegation(deadline(t), "eu.example.com"), c.CAA(deadline(t), assure.CAAQuestion{Name: "eu.example.com", Issuers: []string{"ca.example"}})} {
			want(t, err, assure.DNSFailed, assure.TroubleTransient, "are blind", says, resolver)
			var got *assure.Trouble
			if errors.As(err, &got); !got.Blind() || got.Remedy == "" {
				t.Errorf("%s: whose trouble is it? %+v", says, got)
			}
		}
	}
	// Where one zone is not told about, and the rest is, it is the zone's.
	l, _ := world(t)
	must(t, l.Fault("ns1.example.test", "example.test", zones.Silent))
	must(t, l.Fault("ns2.example.test", "example.test", zones.Silent))
	must(t, l.Fault("ns3.example.test", "example.test", zones.Silent))
	_, err = checker(l, impatient).Find(deadline(t), "_acme-challenge.example.test")
	var got *assure.Trouble
	if errors.As(err, &got); err == nil || got.Blind() {
		t.Errorf("silent name servers of one zone: %+v", got)
	}
}
