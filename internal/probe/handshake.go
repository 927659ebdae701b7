package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// manner is how one handshake differs from the plain one.
type manner struct {
	noSNI  bool
	hybrid bool   // offer X25519MLKEM768 first
	kind   string // accept only certificates of this kind, in TLS 1.2
	listen bool   // read the handshake with its secret, for what crypto/tls does not give away
}

// Key shares offered. The group does not choose the certificate, so the cheapest does (a hybrid share costs the client
// a third more); P-256 is there for servers without X25519, which ask for it in a second round.
var (
	classicGroups = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	hybridGroups  = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
)

// Cipher suites offered up to TLS 1.2: all that crypto/tls knows, the weak ones included, because an old server has a
// certificate too. TLS 1.3 has a list of its own that cannot be set.
var (
	allSuites   = suites(func(uint16) bool { return true })
	ecdsaSuites = suites(func(id uint16) bool { return suiteKind(id) == kindECDSA })
	rsaSuites   = suites(func(id uint16) bool { return suiteKind(id) == kindRSA })
)

func suites(want func(uint16) bool) (out []uint16) {
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range list {
			if s.SupportedVersions[0] != tls.VersionTLS13 && want(s.ID) {
				out = append(out, s.ID)
			}
		}
	}
	return out
}

// suiteKind is the kind of certificate that a cipher suite of TLS 1.2 and before takes.
func suiteKind(id uint16) string {
	switch id {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA:
		return kindECDSA
	}
	return kindRSA
}

// witness takes down what the server shows, from inside the handshake: it is there even when the handshake then fails.
type witness struct {
	glimpse *glimpse
	cert    *tls.Certificate
}

// config is the client's side of one handshake. It is made for each: the witness is in it, and a few words of memory
// are nothing beside the key share.
func (w *witness) config(e *errand, m manner) *tls.Config {
	c := &tls.Config{
		InsecureSkipVerify:     true, //nolint:gosec // G402: facts are wanted whatever the verdict; the Analyser verifies
		MinVersion:             tls.VersionTLS10,
		CipherSuites:           allSuites,
		CurvePreferences:       classicGroups,
		SessionTicketsDisabled: true,
		VerifyConnection:       w.verify,
		GetClientCertificate:   w.clientCertificate,
	}
	if !m.noSNI {
		c.ServerName = e.sni
	}
	if m.hybrid {
		c.CurvePreferences = hybridGroups
	}
	if e.target.Scheme == "https" {
		c.NextProtos = httpsProtocols
	}
	switch m.kind {
	case kindECDSA:
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, ecdsaSuites
	case kindRSA:
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, rsaSuites
	}
	return c
}

var httpsProtocols = []string{"h2", "http/1.1"}

// verify runs when the server's certificates were read, before its proof that it holds the key is.
func (w *witness) verify(cs tls.ConnectionState) error {
	g := w.glimpse
	g.TLS = versionName(cs.Version)
	kept := cs.PeerCertificates[:min(len(cs.PeerCertificates), keptCerts)]
	g.extra = len(cs.PeerCertificates) - len(kept)
	g.der = make([][]byte, len(kept))
	for i, c := range kept {
		g.der[i] = c.Raw
	}
	if len(kept) > 0 {
		g.leafKind = kindOf(kept[0].PublicKeyAlgorithm)
	}
	g.staple = cs.OCSPResponse
	return nil
}

func kindOf(a x509.PublicKeyAlgorithm) string {
	switch a {
	case x509.RSA:
		return kindRSA
	case x509.ECDSA, x509.Ed25519:
		return kindECDSA
	}
	return ""
}

// overheard takes down what crypto/tls did not give away.
func (g *glimpse) overheard(version uint16, der [][]byte, extra int) {
	if g.TLS == "" {
		g.TLS = versionName(version)
	}
	if len(der) == 0 {
		return
	}
	g.der, g.extra = der, extra
	if leaf, err := x509.ParseCertificate(der[0]); err == nil {
		g.leafKind = kindOf(leaf.PublicKeyAlgorithm)
	}
}

func (w *witness) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	w.glimpse.ClientCert = true
	if w.cert != nil {
		return w.cert, nil
	}
	return &tls.Certificate{}, nil
}

func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS13:
		return "1.3"
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS11:
		return "1.1"
	case tls.VersionTLS10:
		return "1.0"
	case 0:
		return ""
	}
	return fmt.Sprintf("0x%04x", v)
}

// shake makes one handshake with one address and never fails nor panics. The handshake is complete once the client has
// sent its part: a server that refuses a client certificate says so after that in TLS 1.3, when all that it has to show
// was shown.
func (p *Prober) shake(ctx context.Context, e *errand, at netip.AddrPort, m manner) glimpse {
	return p.connect(ctx, e, at, m, func(conn *wire, g *glimpse) {
		w := &witness{glimpse: g, cert: e.cert}
		conf := w.config(e, m)
		var secrets keyLog
		if m.listen {
			conf.KeyLogWriter = &secrets
		}
		if err := tls.Client(conn, conf).Handshake(); err != nil {
			f, detail := tlsFailure(err, conn.looksLikeTLS())
			g.fail(f, assure.AtHandshake, detail)
			g.alert = alertOf(err)
			if g.der == nil && conn.looksLikeTLS() {
				g.overheard(overhear(conn.tap, secrets.secret))
			}
		}
	})
}

// connect brings a connection to where TLS begins and has handshake go on from there. Whatever happens is in the
// glimpse.
func (p *Prober) connect(ctx context.Context, e *errand, at netip.AddrPort, m manner, handshake func(*wire, *glimpse)) (g glimpse) {
	g = glimpse{peer: at.Addr(), Sighting: assure.Sighting{Address: at.String(), NoSNI: m.noSNI, Offered: m.kind, Chain: -1}}
	stage := assure.AtConnect
	defer func() {
		if r := recover(); r != nil {
			g.fail(assure.Panicked, stage, fmt.Sprintf("panic: %v", r))
		}
		if g.Failure != assure.OK && e.whole.Err() != nil {
			g.fail(assure.LocalFailure, g.At, "the look was broken off: "+context.Cause(e.whole).Error())
		}
	}()
	if why := dialable(at.Addr()); why != "" {
		g.fail(assure.NoRoute, stage, why)
		return g
	}
	if !p.acquire(ctx, e.end) {
		g.fail(assure.LocalFailure, stage, fmt.Sprintf("all %d sockets were in use for the whole time of the look", p.Connections))
		return g
	}
	defer p.release()
	deadline := time.Now().Add(p.Timeout)
	if e.end.Before(deadline) {
		deadline = e.end
	}
	if e.target.Scheme == "h3" {
		p.shakeQUIC(ctx, e, at, m, deadline, &g)
		return g
	}
	up := upgradeFor(e.target)
	next := assure.AtHandshake
	if up != nil {
		next = assure.AtUpgrade
	}
	conn, err := dial(ctx, at, deadline)
	if err != nil {
		f, detail := dialFailure(err, at.Addr())
		if f == assure.Reset {
			stage = next // whoever resets a connection rather than refusing it had accepted it; the reset came very soon
		}
		g.fail(f, stage, detail)
		return g
	}
	defer conn.drop()
	// The end of ctx ends whatever waits on the connection. No goroutine is needed for that until it happens.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	stage = next
	if up != nil {
		if err := upgrade(conn, up); err != nil {
			f, detail := upgradeFailure(err)
			g.fail(f, stage, detail)
			return g
		}
		conn.mark()
	}
	stage = assure.AtHandshake
	handshake(conn, &g)
	return g
}
