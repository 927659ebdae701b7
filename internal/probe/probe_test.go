package probe

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// listen runs a server on loopback whose connections are handled one goroutine each, and waits for them at the end.
func listen(t testing.TB, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	return listenAt(t, "127.0.0.1:0", handle)
}

func listenAt(t testing.TB, address string, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("cannot listen at %s here: %v", address, err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// serving is a handler that shakes hands and then waits for the client to go.
func serving(conf *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		s := tls.Server(c, conf)
		if s.Handshake() == nil {
			_, _ = io.Copy(io.Discard, s)
		}
	}
}

func chainOf(h *holder, more ...*holder) tls.Certificate {
	return tls.Certificate{Certificate: append(ders(h), ders(more...)...), PrivateKey: h.key}
}

func serverConf(certs ...tls.Certificate) *tls.Config { return &tls.Config{Certificates: certs} }

// prober makes a prober that is impatient, and samples nothing unless told to.
func prober(t testing.TB, trust *TrustStore, change ...func(*Options)) *Prober {
	t.Helper()
	o := Options{
		Analyser: analyser(t, trust), Timeout: 5 * time.Second, OtherAlgorithm: -1, HybridEvery: -1,
		Resolver: NewResolver(ResolverOptions{HostsFile: "none", ResolvConf: "none", Servers: []string{"127.0.0.1:1"}, Timeout: time.Second}),
	}
	for _, f := range change {
		f(&o)
	}
	return New(o)
}

func target(t testing.TB, scheme, host string, at netip.AddrPort) assure.Target {
	t.Helper()
	x, err := assure.ParseTarget(fmt.Sprintf("%s://%s:%d@%s", scheme, host, at.Port(), at.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// only returns the single sighting of a look.
func only(t testing.TB, s assure.Served) assure.Sighting {
	t.Helper()
	if s.DNS.Failure != assure.DNSOK || len(s.Sightings) != 1 {
		t.Fatalf("want one sighting, got %+v", s)
	}
	return s.Sightings[0]
}

func leafPrint(s assure.Served, g assure.Sighting) string {
	if g.Chain < 0 || g.Chain >= len(s.Chains) || len(s.Chains[g.Chain].Certs) == 0 {
		return ""
	}
	return s.Chains[g.Chain].Certs[0]
}

func TestLookTakesDownWhatIsServed(t *testing.T) {
	r := root(t, "root")
	in := inter(t, "intermediate", r)
	good := leaf(t, "good.example", in)
	expired := leaf(t, "good.example", in, until(noon.AddDate(0, 0, -1)))
	self := sign(t, leafTemplate("good.example"), keyP256(t), nil)
	wrong := leaf(t, "other.example", in)
	rsaLeaf := sign(t, leafTemplate("good.example"), keyRSA(t, 2048), in)
	p := prober(t, trusting(t, r))
	for name, c := range map[string]struct {
		conf    *tls.Config
		leaf    *holder
		tls     string
		paths   int
		matches bool
	}{
		"a good chain over TLS 1.3": {serverConf(chainOf(good, in)), good, "1.3", 1, true},
		"a good chain over TLS 1.2": {&tls.Config{Certificates: []tls.Certificate{chainOf(good, in)}, MaxVersion: tls.VersionTLS12}, good, "1.2", 1, true},
		"a good chain over TLS 1.0": {&tls.Config{Certificates: []tls.Certificate{chainOf(good, in)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, good, "1.0", 1, true},
		"an old server with RSA key exchange and CBC only": {&tls.Config{
			Certificates: []tls.Certificate{chainOf(rsaLeaf, in)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA},
		}, rsaLeaf, "1.2", 1, true},
		"a server that insists on P-256": {&tls.Config{Certificates: []tls.Certificate{chainOf(good, in)}, CurvePreferences: []tls.CurveID{tls.CurveP256}}, good, "1.3", 1, true},
		"an expired certificate":         {serverConf(chainOf(expired, in)), expired, "1.3", 1, true},
		"a self-signed certificate":      {serverConf(chainOf(self)), self, "1.3", 0, true},
		"a certificate of another name":  {serverConf(chainOf(wrong, in)), wrong, "1.3", 1, false},
		"a missing intermediate":         {serverConf(chainOf(good)), good, "1.3", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			at := listen(t, serving(c.conf))
			s := p.Look(t.Context(), target(t, "tls", "good.example", at))
			g := only(t, s)
			if g.Failure != assure.OK || g.At != "" || g.TLS != c.tls || g.Address != at.String() || leafPrint(s, g) != prints(c.leaf)[0] {
				t.Fatalf("got %+v with %+v", g, s.Chains)
			}
			ch := s.Chains[g.Chain]
			if len(ch.Paths) < c.paths || c.paths == 0 && len(ch.Paths) > 0 || ch.NameMatches != c.matches {
				t.Errorf("got %d paths, name matches %t", len(ch.Paths), ch.NameMatches)
			}
			if _, ok := s.CertOf(ch.Certs[0]); !ok {
				t.Error("the leaf is not among the certificates")
			}
			if again := p.Look(t.Context(), target(t, "tls", "good.example", at)); again.Key() != s.Key() {
				t.Errorf("a second look at the same world has another key:\n%+v\n%+v", s, again)
			}
		})
	}
}

func TestServerNameIsSentToNamesOnly(t *testing.T) {
	r := root(t, "root")
	def, byName := leaf(t, "default.example", r), leaf(t, "named.example", r)
	var asked sync.Map
	at := listen(t, serving(&tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked.Store(h.ServerName, true)
		c := chainOf(def)
		if h.ServerName == "named.example" {
			c = chainOf(byName)
		}
		return &c, nil
	}}))
	p := prober(t, trusting(t, r), func(o *Options) { o.WithoutSNI = true })
	s := p.Look(t.Context(), target(t, "tls", "named.example", at))
	if len(s.Sightings) != 2 || s.Sightings[0].NoSNI || !s.Sightings[1].NoSNI {
		t.Fatalf("got %+v", s.Sightings)
	}
	if leafPrint(s, s.Sightings[0]) != prints(byName)[0] || leafPrint(s, s.Sightings[1]) != prints(def)[0] {
		t.Errorf("the certificate without a server name is not told from the one with it: %+v", s)
	}
	s = p.Look(t.Context(), assure.Target{Scheme: "tls", Host: "127.0.0.1", Port: at.Port()})
	if g := only(t, s); leafPrint(s, g) != prints(def)[0] || s.DNS.Source != "literal" {
		t.Errorf("got %+v", s)
	}
	for _, name := range []string{"127.0.0.1", ""} {
		if _, sent := asked.Load(name); sent != (name == "") {
			t.Errorf("server name %q sent: %t", name, sent)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	r := root(t, "root")
	l := leaf(t, "mutual.example", r)
	pool := x509.NewCertPool()
	pool.AddCert(r.cert)
	mine := sign(t, leafTemplate("client", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), keyP256(t), r)
	own := chainOf(mine)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var good atomic.Int32
		conf := &tls.Config{
			Certificates: []tls.Certificate{chainOf(l)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MaxVersion: version, MinVersion: version,
			Time: func() time.Time { return noon }, VerifyConnection: func(tls.ConnectionState) error { good.Add(1); return nil },
		}
		at := listen(t, serving(conf))
		s := prober(t, trusting(t, r)).Look(t.Context(), target(t, "tls", "mutual.example", at))
		g := only(t, s)
		if !g.ClientCert || leafPrint(s, g) != prints(l)[0] {
			t.Errorf("%s: the chain of a server that demands a certificate is lost: %+v", versionName(version), g)
		}
		if wantOK := version == tls.VersionTLS13; (g.Failure == assure.OK) != wantOK || !wantOK && g.Failure != assure.Alert {
			t.Errorf("%s: failure %q", versionName(version), g.Failure)
		}
		s = prober(t, trusting(t, r), func(o *Options) {
			o.ClientCertificates = func(assure.Target) *tls.Certificate { return &own }
		}).Look(t.Context(), target(t, "tls", "mutual.example", at))
		if g := only(t, s); g.Failure != assure.OK || !g.ClientCert {
			t.Errorf("%s: with a certificate of our own: %+v", versionName(version), g)
		}
		if version == tls.VersionTLS12 && good.Load() != 1 {
			t.Errorf("the server accepted %d client certificates", good.Load())
		}
	}
}

// only13 stands for a server that has no other version than TLS 1.3.
const only13 = 0xffff

func TestOtherAlgorithmIsStable(t *testing.T) {
	r := root(t, "root")
	ec, rs := leaf(t, "both.example", r), sign(t, leafTemplate("both.example"), keyRSA(t, 2048), r)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13, only13} {
		perSample := int32(1)
		least := uint16(tls.VersionTLS12)
		if version == only13 {
			perSample, version, least = 2, tls.VersionTLS13, tls.VersionTLS13
		}
		var conns atomic.Int32
		var certs atomic.Pointer[[]tls.Certificate]
		certs.Store(&[]tls.Certificate{chainOf(ec), chainOf(rs)})
		at := listen(t, func(c net.Conn) {
			conns.Add(1)
			serving(&tls.Config{MinVersion: least, MaxVersion: version, Certificates: *certs.Load()})(c)
		})
		p := prober(t, trusting(t, r), func(o *Options) { o.OtherAlgorithm = 3 })
		x := target(t, "tls", "both.example", at)
		var key string
		for i := range 8 {
			s := p.Look(t.Context(), x)
			if len(s.Sightings) != 2 || s.Sightings[1].Offered != "rsa" || leafPrint(s, s.Sightings[0]) != prints(ec)[0] || leafPrint(s, s.Sightings[1]) != prints(rs)[0] {
				t.Fatalf("look %d: %+v", i, s.Sightings)
			}
			if key == "" {
				key = s.Key()
			}
			if s.Key() != key {
				t.Fatalf("look %d of an unchanged world has another key", i)
			}
		}
		// The second certificate goes away: that is seen at once, and from then on nothing changes, sample or not.
		certs.Store(&[]tls.Certificate{chainOf(ec)})
		for i := range 8 {
			s := p.Look(t.Context(), x)
			if g := only(t, s); g.Failure != assure.OK || g.Offered != "" {
				t.Fatalf("look %d after the RSA certificate was gone: %+v", i, s.Sightings)
			}
		}
		conns.Store(0)
		for range 9 {
			p.Look(t.Context(), x)
		}
		if n := conns.Load(); n != 9+3*perSample {
			t.Errorf("%s: 9 looks made %d connections, want %d: one in three asks again", versionName(version), n, 9+3*perSample)
		}
		// It comes back: the next sample finds it, and it stays.
		certs.Store(&[]tls.Certificate{chainOf(ec), chainOf(rs)})
		found := 0
		for range 6 {
			if len(p.Look(t.Context(), x).Sightings) == 2 {
				found++
			}
		}
		if found < 4 {
			t.Errorf("%s: the second certificate was seen in %d of 6 looks", versionName(version), found)
		}
	}
}

func TestOneAlgorithmOnlyIsSeenOnce(t *testing.T) {
	r := root(t, "root")
	rs := sign(t, leafTemplate("rsa.example"), keyRSA(t, 2048), r)
	at := listen(t, serving(serverConf(chainOf(rs))))
	p := prober(t, trusting(t, r), func(o *Options) { o.OtherAlgorithm = 1 })
	if g := only(t, p.Look(t.Context(), target(t, "tls", "rsa.example", at))); g.Failure != assure.OK || g.Offered != "" {
		t.Errorf("got %+v", g)
	}
}

// hello reads one TLS record and returns it: a ClientHello.
func hello(c net.Conn) []byte {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(c, body); err != nil {
		return nil
	}
	return append(head, body...)
}

// replayed is a connection whose first bytes were read already.
type replayed struct {
	net.Conn
	first []byte
}

func (r *replayed) Read(b []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(b, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

func TestHybridBreakageIsStable(t *testing.T) {
	r := root(t, "root")
	l := leaf(t, "old.example", r)
	var broken atomic.Bool
	var conns atomic.Int32
	at := listen(t, func(c net.Conn) {
		conns.Add(1)
		h := hello(c)
		if broken.Load() && len(h) > 1200 {
			return // as middleboxes do that expect a ClientHello in one packet
		}
		serving(serverConf(chainOf(l)))(&replayed{c, h})
	})
	p := prober(t, trusting(t, r), func(o *Options) { o.HybridEvery = 4 })
	x := target(t, "tls", "old.example", at)
	for range 8 {
		if g := only(t, p.Look(t.Context(), x)); g.Failure != assure.OK {
			t.Fatalf("got %+v", g)
		}
	}
	if conns.Load() != 8 {
		t.Fatalf("8 looks took %d connections", conns.Load())
	}
	broken.Store(true)
	var key string
	failed := 0
	for range 12 {
		s := p.Look(t.Context(), x)
		g := only(t, s)
		if leafPrint(s, g) != prints(l)[0] {
			t.Fatalf("the certificate is lost: %+v", g)
		}
		if g.Failure == assure.OK {
			if key != "" {
				t.Fatal("the breakage was seen and then not seen")
			}
			continue
		}
		if g.Failure != assure.Reset || g.At != assure.AtHandshake || !strings.Contains(g.Detail, "X25519MLKEM768") {
			t.Fatalf("got %+v", g)
		}
		if key != "" && s.Key() != key {
			t.Fatal("the key changes")
		}
		key = s.Key()
		failed++
	}
	if failed < 9 {
		t.Errorf("the breakage was seen in %d of 12 looks; one in four offers the hybrid share, and then every one", failed)
	}
	broken.Store(false)
	for range 5 {
		if g := only(t, p.Look(t.Context(), x)); g.Failure != assure.OK {
			t.Fatalf("after the repair: %+v", g)
		}
	}
}

func TestEveryAddressIsLookedAtInOrder(t *testing.T) {
	r := root(t, "root")
	a, b := leaf(t, "many.example", r), leaf(t, "many.example", r)
	at := listen(t, serving(serverConf(chainOf(a))))
	listenAt(t, fmt.Sprintf("127.0.0.2:%d", at.Port()), serving(serverConf(chainOf(b))))
	listenAt(t, fmt.Sprintf("[::1]:%d", at.Port()), serving(serverConf(chainOf(a))))
	hosts := hostsFile(t, "::1 many.example\n127.0.0.2 many.example\n127.0.0.1 MANY.example # note\n127.0.0.3 many.example\n0.0.0.0 many.example\n")
	p := prober(t, trusting(t, r), func(o *Options) { o.Resolver = NewResolver(ResolverOptions{HostsFile: hosts, ResolvConf: "none"}) })
	s := p.Look(t.Context(), assure.Target{Scheme: "tls", Host: "many.example", Port: at.Port()})
	var got []string
	for _, g := range s.Sightings {
		got = append(got, fmt.Sprintf("%s %s %d", netip.MustParseAddrPort(g.Address).Addr(), g.Failure, g.Chain))
	}
	want := "0.0.0.0 no_route -1,127.0.0.1  0,127.0.0.2  1,127.0.0.3 refused -1,::1  0"
	if strings.Join(got, ",") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ","), want)
	}
	if len(s.Chains) != 2 || len(s.Certs) < 2 || s.DNS.Source != "hosts" {
		t.Errorf("got %d chains, %d certificates, source %q", len(s.Chains), len(s.Certs), s.DNS.Source)
	}
}

// double is an analyser that does what the test says.
type double func(host string, peer netip.Addr, der [][]byte, extra int, staple []byte) (assure.Chain, []assure.Cert)

func (d double) Analyse(_ context.Context, host string, peer netip.Addr, der [][]byte, extra int, staple []byte) (assure.Chain, []assure.Cert) {
	return d(host, peer, der, extra, staple)
}

func TestPanicInAnalysisIsAFact(t *testing.T) {
	l := sign(t, leafTemplate("panic.example"), keyP256(t), nil)
	at := listen(t, serving(serverConf(chainOf(l))))
	p := prober(t, nil, func(o *Options) {
		o.Analyser = double(func(string, netip.Addr, [][]byte, int, []byte) (assure.Chain, []assure.Cert) { panic("on purpose") })
	})
	s := p.Look(t.Context(), target(t, "tls", "panic.example", at))
	g := only(t, s)
	if g.Failure != assure.Panicked || leafPrint(s, g) != prints(l)[0] || s.Chains[0].Unparsed == "" {
		t.Errorf("got %+v, %+v", g, s.Chains)
	}
}

func TestStapleReachesTheAnalyser(t *testing.T) {
	l := sign(t, leafTemplate("staple.example"), keyP256(t), nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := chainOf(l)
		c.OCSPStaple = []byte("a staple")
		at := listen(t, serving(&tls.Config{Certificates: []tls.Certificate{c}, MaxVersion: version}))
		var got string
		p := prober(t, nil, func(o *Options) {
			o.Analyser = double(func(host string, peer netip.Addr, _ [][]byte, _ int, staple []byte) (assure.Chain, []assure.Cert) {
				got = fmt.Sprintf("%s %s %s", host, peer, staple)
				return assure.Chain{}, nil
			})
		})
		p.Look(t.Context(), target(t, "tls", "staple.example", at))
		if got != "staple.example 127.0.0.1 a staple" {
			t.Errorf("%s: got %q", versionName(version), got)
		}
	}
}

func TestEndOfContextIsNotTheEndpointsFault(t *testing.T) {
	accepted := make(chan struct{})
	at := listen(t, func(c net.Conn) { close(accepted); _, _ = io.Copy(io.Discard, c) })
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-accepted; cancel(errors.New("shutting down")) }()
	begin := time.Now()
	g := only(t, prober(t, nil).Look(ctx, target(t, "tls", "silent.example", at)))
	if g.Failure != assure.LocalFailure || !strings.Contains(g.Detail, "shutting down") {
		t.Errorf("got %+v", g)
	}
	if time.Since(begin) > 3*time.Second {
		t.Errorf("took %s", time.Since(begin))
	}
}

func TestSocketsAreBounded(t *testing.T) {
	l := sign(t, leafTemplate("bound.example"), keyP256(t), nil)
	var open, most atomic.Int32
	at := listen(t, func(c net.Conn) {
		n := open.Add(1)
		for {
			old := most.Load()
			if n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		s := tls.Server(c, serverConf(chainOf(l)))
		_ = s.Handshake()
		open.Add(-1)
	})
	p := prober(t, trusting(t, l), func(o *Options) { o.Connections = 2 })
	var wg sync.WaitGroup
	var bad atomic.Int32
	for range 20 {
		wg.Go(func() {
			s := p.Look(context.Background(), target(t, "tls", "bound.example", at))
			if len(s.Sightings) != 1 || s.Sightings[0].Failure != assure.OK {
				bad.Add(1)
			}
		})
	}
	wg.Wait()
	if bad.Load() > 0 {
		t.Errorf("%d of 20 looks failed", bad.Load())
	}
	// A server may still be finishing with a connection that we have dropped, hence some grace above the bound of 2.
	if most.Load() > 6 {
		t.Errorf("up to %d connections were open at once", most.Load())
	}
}

func TestMemoryIsBoundedAndSmall(t *testing.T) {
	m := newMemory(4, 10)
	m.maxNotes = 1000
	at := netip.MustParseAddrPort("192.0.2.1:443")
	hybrid := 0
	for i := range 5000 {
		p := m.plan(m.key(fmt.Sprint("name", i), at))
		if !p.other {
			t.Fatal("a first look must ask for the other kind")
		}
		if p.hybrid {
			hybrid++
		}
	}
	if len(m.notes) > 1000 {
		t.Errorf("%d entries are kept", len(m.notes))
	}
	if hybrid < 300 || hybrid > 700 {
		t.Errorf("%d of 5000 first looks offer the hybrid share, want about 500", hybrid)
	}
}

// TestOtherKindOverTLS13 asks for one kind of certificate in TLS 1.3, which crypto/tls cannot.
func TestOtherKindOverTLS13(t *testing.T) {
	r := root(t, "root")
	ec, rs := leaf(t, "kinds.example", r), sign(t, leafTemplate("kinds.example"), keyRSA(t, 2048), r)
	_, edKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ed := sign(t, leafTemplate("kinds.example"), edKey, r)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec384 := sign(t, leafTemplate("kinds.example"), p384, r)
	p := prober(t, trusting(t, r))
	for name, c := range map[string]struct {
		certs []*holder
		curve tls.CurveID
		want  map[string]*holder
	}{
		"both":          {[]*holder{ec, rs}, tls.X25519, map[string]*holder{kindECDSA: ec, kindRSA: rs}},
		"both on P-256": {[]*holder{rs, ec}, tls.CurveP256, map[string]*holder{kindECDSA: ec, kindRSA: rs}},
		"RSA only":      {[]*holder{rs}, tls.X25519, map[string]*holder{kindECDSA: nil, kindRSA: rs}},
		"Ed25519":       {[]*holder{ed}, tls.X25519, map[string]*holder{kindECDSA: ed, kindRSA: nil}},
		"P-384":         {[]*holder{ec384, rs}, tls.X25519, map[string]*holder{kindECDSA: ec384, kindRSA: rs}},
		"P-521 only":    {[]*holder{ec}, tls.CurveP521, map[string]*holder{kindECDSA: nil}},
	} {
		for _, mutual := range []bool{false, true} {
			conf := &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{c.curve}}
			if mutual {
				conf.ClientAuth = tls.RequireAnyClientCert
			}
			for _, h := range c.certs {
				conf.Certificates = append(conf.Certificates, chainOf(h, r))
			}
			at := listen(t, serving(conf))
			e := &errand{target: target(t, "tls", "kinds.example", at), sni: "kinds.example", whole: t.Context(), end: time.Now().Add(20 * time.Second)}
			for kind, want := range c.want {
				g := p.shake13(t.Context(), e, at, kind)
				switch {
				case want == nil && (g.Failure == assure.OK || g.der != nil):
					t.Errorf("%s, %s: got %+v, want nothing", name, kind, g)
				case want != nil && (g.Failure != assure.OK || len(g.der) != 2 || !bytes.Equal(g.der[0], want.cert.Raw) || g.ClientCert != mutual || g.TLS != "1.3"):
					t.Errorf("%s, %s: got %+v", name, kind, g.Sighting)
				}
			}
		}
	}
	// A server that shows a certificate whose key it does not hold.
	liar := chainOf(ec)
	liar.PrivateKey = keyP256(t)
	at := listen(t, serving(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{liar}}))
	e := &errand{target: target(t, "tls", "kinds.example", at), sni: "kinds.example", whole: t.Context(), end: time.Now().Add(20 * time.Second)}
	if g := p.shake13(t.Context(), e, at, kindECDSA); g.Failure != assure.Malformed || g.der == nil {
		t.Errorf("a stolen certificate: got %+v", g.Sighting)
	}
	if g := only(t, p.Look(t.Context(), e.target)); g.Failure != assure.Malformed || g.Chain < 0 {
		t.Errorf("a stolen certificate: got %+v", g)
	}
}
