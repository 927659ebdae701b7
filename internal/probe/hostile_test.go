package probe

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// impatient is a prober whose connections live for half a second.
func impatient(t testing.TB, trust *TrustStore) *Prober {
	return prober(t, trust, func(o *Options) { o.Timeout, o.TargetTimeout = 500*time.Millisecond, 2*time.Second })
}

// endlessly writes b again and again until the client has had enough.
func endlessly(c net.Conn, b []byte) {
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// drip writes one byte every 20 ms.
func drip(c net.Conn, b []byte) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		<-tick.C
		if _, err := c.Write(b[i%len(b) : i%len(b)+1]); err != nil {
			return
		}
	}
}

func tlsRecord(kind byte, body []byte) []byte {
	return append([]byte{kind, 3, 3, byte(len(body) >> 8), byte(len(body))}, body...)
}

// hello12 is a ServerHello of TLS 1.2 with ECDHE_RSA_WITH_AES_128_GCM_SHA256.
func hello12() []byte {
	body := append([]byte{2, 0, 0, 38, 3, 3}, bytes.Repeat([]byte{7}, 32)...)
	return tlsRecord(22, append(body, 0, 0xc0, 0x2f, 0))
}

func TestHostileServers(t *testing.T) {
	sink := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, c := range map[string]struct {
		scheme string
		handle func(net.Conn)
		want   assure.Failure
		at     string
	}{
		"silence":                          {"tls", sink, assure.Timeout, assure.AtHandshake},
		"silence before an upgrade":        {"smtp", sink, assure.Timeout, assure.AtUpgrade},
		"one byte at a time":               {"tls", func(c net.Conn) { drip(c, tlsRecord(22, make([]byte, 16000))) }, assure.Timeout, assure.AtHandshake},
		"one byte at a time in clear text": {"smtp", func(c net.Conn) { drip(c, []byte("220-x\r\n")) }, assure.Timeout, assure.AtUpgrade},
		"closes at once":                   {"tls", func(net.Conn) {}, assure.Reset, assure.AtHandshake},
		"resets at once":                   {"tls", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, assure.Reset, assure.AtHandshake},
		"closes before an upgrade":         {"imap", func(net.Conn) {}, assure.Reset, assure.AtUpgrade},
		"http":                             {"tls", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); sink(c) }, assure.NotTLS, assure.AtHandshake},
		"http and closes":                  {"tls", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP"); hello(c) }, assure.NotTLS, assure.AtHandshake},
		"ssh":                              {"tls", func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n"); sink(c) }, assure.NotTLS, assure.AtHandshake},
		"endless garbage":                  {"tls", func(c net.Conn) { endlessly(c, bytes.Repeat([]byte("garbage"), 1000)) }, assure.NotTLS, assure.AtHandshake},
		"endless empty records":            {"tls", func(c net.Conn) { hello(c); endlessly(c, tlsRecord(22, nil)) }, assure.Malformed, assure.AtHandshake},
		"endless hello requests":           {"tls", func(c net.Conn) { hello(c); endlessly(c, tlsRecord(22, []byte{0, 0, 0, 0})) }, assure.Malformed, assure.AtHandshake},
		"endless warnings":                 {"tls", func(c net.Conn) { hello(c); endlessly(c, tlsRecord(21, []byte{1, 90})) }, assure.Malformed, assure.AtHandshake},
		"endless cipher changes":           {"tls", func(c net.Conn) { hello(c); endlessly(c, tlsRecord(20, []byte{1})) }, assure.Malformed, assure.AtHandshake},
		"an alert":                         {"tls", func(c net.Conn) { hello(c); _, _ = c.Write(tlsRecord(21, []byte{2, 40})); sink(c) }, assure.Alert, assure.AtHandshake},
		"16 MB of certificates": {"tls", func(c net.Conn) {
			hello(c)
			_, _ = c.Write(hello12())
			_, _ = c.Write(tlsRecord(22, []byte{11, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc}))
			endlessly(c, tlsRecord(22, make([]byte, 16000)))
		}, assure.TooLarge, assure.AtHandshake},
		"a 16 MB ServerHello": {"tls", func(c net.Conn) {
			hello(c)
			_, _ = c.Write(tlsRecord(22, []byte{2, 0xff, 0xff, 0xff}))
			endlessly(c, tlsRecord(22, make([]byte, 16000)))
		}, assure.TooLarge, assure.AtHandshake},
		"SSL 3": {"tls", func(c net.Conn) {
			hello(c)
			b := hello12()
			b[10] = 0
			_, _ = c.Write(b)
			sink(c)
		}, assure.Malformed, assure.AtHandshake},
		"an endless greeting": {"smtp", func(c net.Conn) { endlessly(c, []byte("220-for ever and ever\r\n")) }, assure.TooLarge, assure.AtUpgrade},
		"an endless line":     {"smtp", func(c net.Conn) { endlessly(c, []byte("220 for ever and ever ")) }, assure.UpgradeFailed, assure.AtUpgrade},
	} {
		t.Run(name, func(t *testing.T) {
			at := listen(t, c.handle)
			p := impatient(t, nil)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin := time.Now()
			s := p.Look(t.Context(), target(t, c.scheme, "hostile.example", at))
			took := time.Since(begin)
			runtime.ReadMemStats(&after)
			g := only(t, s)
			if g.Failure != c.want || g.At != c.at || g.Chain != -1 || g.Detail == "" {
				t.Errorf("got %+v, want %q at %s", g, c.want, c.at)
			}
			if took > 4*time.Second {
				t.Errorf("took %s", took)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
				t.Errorf("%d bytes were allocated", used)
			}
			if again := p.Look(t.Context(), target(t, c.scheme, "hostile.example", at)); again.Key() != s.Key() {
				t.Errorf("a second look has another key: %+v", again.Sightings)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	_ = l.Close()
	if g := only(t, impatient(t, nil).Look(t.Context(), target(t, "tls", "closed.example", at))); g.Failure != assure.Refused || g.At != assure.AtConnect {
		t.Errorf("got %+v", g)
	}
}

// TestConnectTimesOut fills the queue of a listener that never accepts, so that the next connection gets no answer.
func TestConnectTimesOut(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(loopback, uint16(name.(*syscall.SockaddrInet4).Port))
	for full := false; !full; {
		c, err := net.DialTimeout("tcp", at.String(), 200*time.Millisecond)
		if full = err != nil; !full {
			defer func() { _ = c.Close() }()
		}
	}
	begin := time.Now()
	g := only(t, impatient(t, nil).Look(t.Context(), target(t, "tls", "full.example", at)))
	if g.Failure != assure.Timeout || g.At != assure.AtConnect {
		t.Errorf("got %+v", g)
	}
	if time.Since(begin) > 3*time.Second {
		t.Errorf("took %s", time.Since(begin))
	}
}

func TestLongChainIsCutAndCounted(t *testing.T) {
	r := root(t, "root")
	l := leaf(t, "long.example", r)
	c := chainOf(l)
	for range 199 {
		c.Certificate = append(c.Certificate, r.cert.Raw)
	}
	at := listen(t, serving(serverConf(c)))
	s := prober(t, trusting(t, r)).Look(t.Context(), target(t, "tls", "long.example", at))
	g := only(t, s)
	if g.Failure != assure.OK || len(s.Chains[0].Certs) != 16 || s.Chains[0].Extra != 184 || len(s.Chains[0].Paths) != 1 {
		t.Errorf("got %+v with %d certificates, %d extra, %d paths", g, len(s.Chains[0].Certs), s.Chains[0].Extra, len(s.Chains[0].Paths))
	}
}

// TestHugeCertificateMessage pins the one place where a failure is known by its wording: crypto/tls refusing a message
// over its limit, in both versions.
func TestHugeCertificateMessage(t *testing.T) {
	r := root(t, "root")
	l := leaf(t, "huge.example", r)
	c := chainOf(l)
	for size := 0; size < 300<<10; size += len(r.cert.Raw) {
		c.Certificate = append(c.Certificate, r.cert.Raw)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		at := listen(t, serving(&tls.Config{Certificates: []tls.Certificate{c}, MaxVersion: version}))
		g := only(t, prober(t, nil).Look(t.Context(), target(t, "tls", "huge.example", at)))
		if g.Failure != assure.TooLarge || g.At != assure.AtHandshake {
			t.Errorf("%s: got %+v", versionName(version), g)
		}
	}
}

// cutting lets a real server answer, but only the first n bytes of it; then it does to the client's connection what
// end says.
func cutting(conf *tls.Config, n int, flip bool, end func(c net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		inner, outer := net.Pipe()
		defer func() { _, _ = inner.Close(), outer.Close() }()
		go serving(conf)(inner)
		go func() {
			_, _ = io.Copy(outer, c)
			_ = outer.Close()
		}()
		sent := 0
		buf := make([]byte, 4096)
		for {
			k, err := outer.Read(buf)
			if err != nil {
				return
			}
			b := buf[:k]
			if sent+k > n {
				if !flip {
					_, _ = c.Write(b[:n-sent])
					end(c)
					return
				}
				if n >= sent {
					b[n-sent] ^= 1 << (n % 8)
				}
			}
			if _, err := c.Write(b); err != nil {
				return
			}
			sent += k
		}
	}
}

func TestCutAndFlippedAtAnyByte(t *testing.T) {
	r := root(t, "root")
	l := leaf(t, "cut.example", r)
	p := impatient(t, trusting(t, r))
	reset := func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conf := &tls.Config{Certificates: []tls.Certificate{chainOf(l)}, MaxVersion: version, SessionTicketsDisabled: true}
		kept, whole := 0, 0
		for n := 0; n < 1200; n += 1 + rand.IntN(16) {
			for _, flip := range []bool{false, true} {
				at := listen(t, cutting(conf, n, flip, reset))
				s := p.Look(t.Context(), target(t, "tls", "cut.example", at))
				g := only(t, s)
				allowed := []assure.Failure{assure.OK, assure.Reset}
				if flip {
					allowed = append(allowed, assure.Malformed, assure.Alert, assure.NotTLS, assure.TooLarge, assure.Timeout)
				}
				if !slices.Contains(allowed, g.Failure) {
					t.Fatalf("%s, byte %d, flipped %t: %+v", versionName(version), n, flip, g)
				}
				if g.Failure == assure.OK {
					whole++
				} else if leafPrint(s, g) == prints(l)[0] {
					kept++
				}
				if g.Failure == assure.OK && leafPrint(s, g) != prints(l)[0] {
					t.Fatalf("%s, byte %d, flipped %t: a handshake completed with another certificate", versionName(version), n, flip)
				}
			}
		}
		if kept == 0 || whole == 0 {
			t.Errorf("%s: the chain was kept in %d broken handshakes, and %d completed", versionName(version), kept, whole)
		}
	}
}

// certificateEnd is where the Certificate message ends in what a TLS 1.2 server sends.
func certificateEnd(t *testing.T, conf *tls.Config) int {
	t.Helper()
	inner, outer := net.Pipe()
	defer func() { _, _ = inner.Close(), outer.Close() }()
	go serving(conf)(inner)
	tap := &tapped{Conn: outer}
	// The same hello as a look sends, because the length of the answer depends on it.
	client := tls.Client(tap, (&witness{glimpse: &glimpse{}}).config(&errand{sni: "breaks.example"}, manner{}))
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	for n := range len(tap.got) {
		if _, der, _ := overhear(tap.got[:n], nil); der != nil {
			return n
		}
	}
	t.Fatal("no Certificate message was heard")
	return 0
}

type tapped struct {
	net.Conn
	got []byte
}

func (t *tapped) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.got = append(t.got, b[:n]...)
	return n, err
}

func TestBreaksOffAfterItsCertificate(t *testing.T) {
	r := root(t, "root")
	l := leaf(t, "breaks.example", r)
	conf := &tls.Config{Certificates: []tls.Certificate{chainOf(l, r)}, MaxVersion: tls.VersionTLS12}
	end := certificateEnd(t, conf)
	for name, c := range map[string]struct {
		end  func(net.Conn)
		want assure.Failure
	}{
		"closed": {func(net.Conn) {}, assure.Reset},
		"silent": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, assure.Timeout},
		"alert":  {func(c net.Conn) { _, _ = c.Write(tlsRecord(21, []byte{2, 80})); hello(c) }, assure.Alert},
		"reset":  {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, assure.Reset},
	} {
		at := listen(t, cutting(conf, end, false, c.end))
		s := impatient(t, trusting(t, r)).Look(t.Context(), target(t, "tls", "breaks.example", at))
		g := only(t, s)
		if g.Failure != c.want || leafPrint(s, g) != prints(l)[0] || g.TLS != "1.2" || len(s.Chains[0].Certs) != 2 {
			t.Errorf("%s: got %+v", name, g)
		}
	}
}

// TestUnparsableCertificatesAreSeen: crypto/tls gives up on them without showing them.
func TestUnparsableCertificatesAreSeen(t *testing.T) {
	r := root(t, "root")
	l := leaf(t, "broken.example", r)
	broken := append([]byte(nil), l.cert.Raw...)
	i := bytes.Index(broken, l.cert.RawSubjectPublicKeyInfo)
	broken[i+4] ^= 0x7f // the tag of the algorithm
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, der := range map[string][][]byte{"leaf": {broken, r.cert.Raw}, "needless second": {l.cert.Raw, broken}} {
			for _, suite := range []string{"any", "hello retry"} {
				conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: der, PrivateKey: l.key, Leaf: l.cert}}, MaxVersion: version}
				if suite == "hello retry" {
					conf.CurvePreferences = []tls.CurveID{tls.CurveP384}
				}
				at := listen(t, serving(conf))
				s := prober(t, trusting(t, r)).Look(t.Context(), target(t, "tls", "broken.example", at))
				g := only(t, s)
				if g.Failure != assure.Malformed || leafPrint(s, g) != fingerprintOf(der[0]) || g.TLS != versionName(version) || len(s.Chains[0].Certs) != 2 {
					t.Errorf("%s, %s, %s: got %+v, %+v", versionName(version), name, suite, g, s.Chains)
					continue
				}
				if unparsed := s.Chains[0].Unparsed != ""; unparsed != (name == "leaf") {
					t.Errorf("%s, %s: unparsed %q", versionName(version), name, s.Chains[0].Unparsed)
				}
			}
		}
	}
}

func TestReadingIsCapped(t *testing.T) {
	sent := make(chan int, 1)
	at := listen(t, func(c net.Conn) {
		n := 0
		for b := make([]byte, 32<<10); ; {
			k, err := c.Write(b)
			n += k
			if err != nil {
				sent <- n
				return
			}
		}
	})
	w, err := dial(t.Context(), at, time.Now().Add(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, struct{ io.Reader }{w})
	if f, detail, _ := wireFailure(err); n != maxRead || f != assure.TooLarge || !strings.Contains(detail, "more than") {
		t.Errorf("read %d bytes, then %v", n, err)
	}
	if len(w.tap) > maxOverheard {
		t.Errorf("%d bytes are kept", len(w.tap))
	}
	w.drop()
	<-sent
}

func FuzzOverhear(f *testing.F) {
	f.Add(hello12(), []byte(nil))
	f.Add(append(hello12(), tlsRecord(22, []byte{11, 0, 0, 10, 0, 0, 7, 0, 0, 4, 1, 2, 3, 4})...), []byte(nil))
	f.Add(append(hello12(), tlsRecord(23, make([]byte, 40))...), make([]byte, 32))
	f.Fuzz(func(t *testing.T, wire, secret []byte) {
		_, der, extra := overhear(wire, secret)
		total := 0
		for _, d := range der {
			total += len(d)
		}
		if len(der) > keptCerts || extra < 0 || total > len(wire) {
			t.Errorf("%d certificates with %d bytes out of %d", len(der), total, len(wire))
		}
	})
}

func FuzzHalfway(f *testing.F) {
	f.Add(hello12())
	f.Add(tlsRecord(22, []byte{11, 0, 0, 0}))
	f.Add(tlsRecord(21, []byte{2, 40}))
	f.Add(bytes.Repeat(tlsRecord(20, []byte{1}), 50))
	f.Fuzz(func(t *testing.T, in []byte) {
		var w halfway
		if err := w.run(&loud{in: bytes.NewReader(in)}, kindRSA, "fuzz.example"); err == nil {
			t.Error("a handshake completed with somebody who does not know the key")
		}
	})
}
