package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// controlName is the server name of the control. The top-level domain .invalid exists nowhere (RFC 6761).
const controlName = "control.notafter.invalid"

// control is an endpoint that is bad on purpose: a TLS server on loopback with a certificate that expired ten days ago.
// Whatever makes notafter not see that would make it miss a real expiry as well.
type control struct {
	target   assure.Target
	listener net.Listener
	conns    sync.WaitGroup
}

// startControl listens on a free port of 127.0.0.1 until stop is called. now dates the certificate.
func startControl(now time.Time) (*control, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the control's key: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "notafter control, expired on purpose"},
		DNSNames:     []string{controlName},
		NotBefore:    now.AddDate(0, 0, -100), NotAfter: now.AddDate(0, 0, -10),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the control's certificate: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the control: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	c := &control{listener: l, target: assure.Target{Scheme: "tls", Host: controlName, Port: uint16(port), Pin: netip.MustParseAddr("127.0.0.1")}}
	conf := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	c.conns.Go(func() { c.serve(conf) })
	return c, nil
}

func (c *control) serve(conf *tls.Config) {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.conns.Go(func() {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			_ = tls.Server(conn, conf).Handshake() // a client that breaks off is no news
		})
	}
}

func (c *control) stop() {
	_ = c.listener.Close()
	c.conns.Wait()
}
