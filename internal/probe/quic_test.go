package probe

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/notafter/notafter/internal/assure"
)

func quicServer(t testing.TB, conf *tls.Config) netip.AddrPort {
	t.Helper()
	l, err := quic.ListenAddr("127.0.0.1:0", conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := l.Accept(t.Context()); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestQUIC(t *testing.T) {
	r := root(t, "root")
	in := inter(t, "intermediate", r)
	l := leaf(t, "h3.example", in)
	p := prober(t, trusting(t, r), func(o *Options) { o.HybridEvery, o.OtherAlgorithm = 2, 1 })
	for name, c := range map[string]struct {
		conf   *tls.Config
		want   assure.Failure
		chain  bool
		client bool
	}{
		"a good chain":                  {&tls.Config{Certificates: []tls.Certificate{chainOf(l, in)}, NextProtos: []string{"h3"}}, assure.OK, true, false},
		"another protocol":              {&tls.Config{Certificates: []tls.Certificate{chainOf(l, in)}, NextProtos: []string{"doq"}}, assure.Alert, false, false},
		"a client certificate demanded": {&tls.Config{Certificates: []tls.Certificate{chainOf(l, in)}, NextProtos: []string{"h3"}, ClientAuth: tls.RequireAnyClientCert}, assure.OK, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			at := quicServer(t, c.conf)
			var key string
			for range 3 {
				s := p.Look(t.Context(), target(t, "h3", "h3.example", at))
				g := only(t, s)
				if g.Failure != c.want || (leafPrint(s, g) == prints(l)[0]) != c.chain || g.ClientCert != c.client || c.chain && g.TLS != "1.3" {
					t.Fatalf("got %+v", g)
				}
				if key != "" && key != s.Key() {
					t.Fatal("the key changes")
				}
				key = s.Key()
			}
		})
	}
}

func TestQUICWhereThereIsNone(t *testing.T) {
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := netip.MustParseAddrPort(closed.LocalAddr().String())
	_ = closed.Close()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	noisy, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = noisy.Close() }()
	go func() {
		b := make([]byte, 2048)
		_, peer, err := noisy.ReadFrom(b)
		for err == nil {
			_, err = noisy.WriteTo(b[:1200], peer)
		}
	}()
	for name, c := range map[string]struct {
		at    netip.AddrPort
		want  assure.Failure
		stage string
	}{
		"nobody listens": {nobody, assure.Refused, assure.AtConnect},
		"silence":        {netip.MustParseAddrPort(silent.LocalAddr().String()), assure.Timeout, assure.AtConnect},
		"endless noise":  {netip.MustParseAddrPort(noisy.LocalAddr().String()), assure.TooLarge, assure.AtHandshake},
	} {
		t.Run(name, func(t *testing.T) {
			patience := 700 * time.Millisecond
			if c.want == assure.TooLarge {
				patience = 20 * time.Second // a megabyte takes its time on a busy machine
			}
			p := prober(t, nil, func(o *Options) { o.Timeout, o.TargetTimeout = patience, patience })
			begin := time.Now()
			g := only(t, p.Look(t.Context(), target(t, "h3", "h3.example", c.at)))
			if g.Failure != c.want || g.At != c.stage || g.Detail == "" {
				t.Errorf("got %+v", g)
			}
			if time.Since(begin) > patience+3*time.Second {
				t.Errorf("took %s", time.Since(begin))
			}
		})
	}
}
