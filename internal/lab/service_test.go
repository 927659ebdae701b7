package lab_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/notafter/notafter/internal/lab"
)

func start(t *testing.T, o lab.ServiceOptions) *lab.Service {
	t.Helper()
	if o.Pace == 0 {
		o.Pace = time.Millisecond
	}
	s, err := lab.StartService(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// dial shakes hands as an ordinary client does, which trusts the CA and knows the name a.lab.test.
func dial(address string, ca *lab.CA, edit func(*tls.Config)) (*tls.Conn, error) {
	c := &tls.Config{RootCAs: pool(ca.Root.Cert), ServerName: "a.lab.test"}
	if edit != nil {
		edit(c)
	}
	return tls.DialWithDialer(&net.Dialer{Timeout: 2 * time.Second}, "tcp", address, c)
}

func served(t *testing.T, address string, ca *lab.CA, edit func(*tls.Config)) *x509.Certificate {
	t.Helper()
	c, err := dial(address, ca, edit)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0]
}

func TestServiceServesWhatItWasTold(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	ec := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	rsa := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}, Key: lab.RSA2048})
	other := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"b.lab.test"}})
	staple, err := ca.Issuing.Answer(ec.Cert, lab.Sound)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, lab.ServiceOptions{
		Addresses: []string{"127.0.0.1", "127.0.0.2"}, Leaves: []*lab.Leaf{ec.Stapled(staple), rsa},
		BySNI: map[string][]*lab.Leaf{"b.lab.test": {other}},
	})
	if got := served(t, s.Addr(), ca, nil); !got.Equal(ec.Cert) {
		t.Error("the ECDSA certificate is not preferred")
	}
	if got := served(t, s.Addr(), ca, func(c *tls.Config) {
		c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	}); !got.Equal(rsa.Cert) {
		t.Error("a client that can only do RSA gets something else")
	}
	if got := served(t, s.Addr(), ca, func(c *tls.Config) { c.ServerName = "b.lab.test" }); !got.Equal(other.Cert) {
		t.Error("the server name is not looked at")
	}
	c, err := dial(s.Addr(), ca, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.ConnectionState().OCSPResponse) == 0 {
		t.Error("no staple")
	}
	_ = c.Close()

	second := strings.Replace(s.Addr(), "127.0.0.1", "127.0.0.2", 1)
	s.ServeAt("127.0.0.2", rsa)
	if got := served(t, second, ca, nil); !got.Equal(rsa.Cert) {
		t.Error("the second address has no certificate of its own")
	}
	next := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	s.Serve(next)
	if got := served(t, s.Addr(), ca, nil); !got.Equal(next.Cert) {
		t.Error("the new certificate is not served")
	}

	address := s.Addr()
	s.Stop()
	s.Stop()
	if _, err := dial(address, ca, nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a stopped service answers with %v", err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if s.Addr() != address {
		t.Error("it came back elsewhere")
	}
	served(t, address, ca, nil)
}

func TestServiceRefusesToLeaveTheMachine(t *testing.T) {
	t.Parallel()
	for _, a := range []string{"0.0.0.0", "192.0.2.1", "::", "localhost"} {
		if s, err := lab.StartService(lab.ServiceOptions{Addresses: []string{a}}); err == nil {
			s.Stop()
			t.Errorf("it listens on %s", a)
		}
	}
	if _, err := lab.StartService(lab.ServiceOptions{Proto: "gopher"}); err == nil {
		t.Error("it speaks gopher")
	}
}

func TestVersionsAndClientCertificates(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	leaf := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := start(t, lab.ServiceOptions{Leaves: []*lab.Leaf{leaf}, MinTLS: v, MaxTLS: v, ClientCert: true})
		asked := false
		c, err := dial(s.Addr(), ca, func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				asked = true
				return &tls.Certificate{}, nil
			}
		})
		if err == nil { // in TLS 1.3 the refusal comes behind the handshake
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		if err == nil || !asked || errors.Is(err, io.EOF) {
			t.Errorf("TLS %x: asked %t, %v", v, asked, err)
		}
		pair := leaf.TLS()
		c, err = dial(s.Addr(), ca, func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} })
		if err != nil {
			t.Errorf("TLS %x with a certificate: %v", v, err)
			continue
		}
		if got := c.ConnectionState().Version; got != v {
			t.Errorf("TLS %x instead of %x", got, v)
		}
		_ = c.Close()
	}
}

func TestStartTLSWithTheStandardMailClient(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	leaf := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	s := start(t, lab.ServiceOptions{Proto: "smtp", Leaves: []*lab.Leaf{leaf}})
	c, err := smtp.Dial(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.StartTLS(&tls.Config{RootCAs: pool(ca.Root.Cert), ServerName: "a.lab.test"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Noop(); err != nil {
		t.Error(err)
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	plain := start(t, lab.ServiceOptions{Proto: "smtp", Leaves: []*lab.Leaf{leaf}, Upgrade: lab.UpgradeNotOffered})
	c, err = smtp.Dial(plain.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if ok, _ := c.Extension("STARTTLS"); ok {
		t.Error("STARTTLS is offered")
	}
}

// TestUpgradeDialogues goes through each protocol as a client does, by the byte, and shakes hands.
func TestUpgradeDialogues(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	leaf := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	for proto, steps := range map[string][][2]string{ // what is said, and how the answer begins
		"imap":     {{"", "* OK"}, {"a1 CAPABILITY\r\n", "* CAPABILITY"}, {"", "a1 OK"}, {"a2 STARTTLS\r\n", "a2 OK"}},
		"pop3":     {{"", "+OK"}, {"STLS\r\n", "+OK"}},
		"ftp":      {{"", "220-"}, {"", "220 "}, {"AUTH TLS\r\n", "234"}},
		"ldap":     {{"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037", "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"}},
		"postgres": {{"\x00\x00\x00\x08\x04\xd2\x16\x2f", "S"}},
	} {
		s := start(t, lab.ServiceOptions{Proto: proto, Leaves: []*lab.Leaf{leaf}})
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
		r := bufio.NewReader(conn)
		for _, step := range steps {
			if _, err := io.WriteString(conn, step[0]); err != nil {
				t.Fatal(err)
			}
			var got string
			if strings.ContainsAny(step[1][:1], "\x30S") {
				b := make([]byte, len(step[1]))
				if _, err := io.ReadFull(r, b); err != nil {
					t.Fatalf("%s: %v", proto, err)
				}
				got = string(b)
			} else if got, err = r.ReadString('\n'); err != nil {
				t.Fatalf("%s: %v", proto, err)
			}
			if !strings.HasPrefix(got, step[1]) {
				t.Errorf("%s: %q is answered with %q", proto, step[0], got)
			}
		}
		tc := tls.Client(conn, &tls.Config{RootCAs: pool(ca.Root.Cert), ServerName: "a.lab.test"})
		if err := tc.Handshake(); err != nil {
			t.Errorf("%s: %v", proto, err)
		}
		_ = tc.Close()
	}
}

func TestQUIC(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	leaf := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	s := start(t, lab.ServiceOptions{Proto: "h3", Leaves: []*lab.Leaf{leaf}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	c, err := quic.DialAddr(ctx, s.Addr(), &tls.Config{RootCAs: pool(ca.Root.Cert), ServerName: "a.lab.test", NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().TLS.PeerCertificates[0]; !got.Equal(leaf.Cert) {
		t.Error("another certificate")
	}
	_ = c.CloseWithError(0, "")
	loud := start(t, lab.ServiceOptions{Proto: "h3", Upgrade: lab.UpgradeGarbage})
	u, err := net.Dial("udp", loud.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = u.Close() }()
	_ = u.SetDeadline(time.Now().Add(3 * time.Second))
	_, _ = u.Write([]byte("hello"))
	if n, err := u.Read(make([]byte, 2048)); err != nil || n != 1200 {
		t.Errorf("%d bytes of garbage, %v", n, err)
	}
}

func TestHostileServersDoWhatTheySay(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	leaf := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	shake := func(o lab.ServiceOptions) error {
		o.Leaves = []*lab.Leaf{leaf}
		s := start(t, o)
		c, err := dial(s.Addr(), ca, func(c *tls.Config) { c.MinVersion = tls.VersionTLS10 })
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	says := func(words string) func(error) bool {
		return func(err error) bool { return err != nil && strings.Contains(err.Error(), words) }
	}
	timedOut := func(err error) bool {
		var n net.Error
		return errors.As(err, &n) && n.Timeout() || errors.Is(err, context.DeadlineExceeded)
	}
	var header tls.RecordHeaderError
	notTLS := func(err error) bool { return errors.As(err, &header) }
	closed := func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
	wasReset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	for _, c := range []struct {
		what string
		o    lab.ServiceOptions
		want func(error) bool
	}{
		{"silence", lab.ServiceOptions{Script: lab.Silence()}, timedOut},
		{"noise", lab.ServiceOptions{Script: lab.Noise()}, func(err error) bool { return notTLS(err) || wasReset(err) }},
		{"plain HTTP", lab.ServiceOptions{Script: lab.PlainHTTP()}, notTLS},
		{"hanging up", lab.ServiceOptions{Script: lab.HangUp()}, func(err error) bool { return closed(err) || wasReset(err) }},
		{"alert", lab.ServiceOptions{Script: lab.Alert(40)}, says("handshake failure")},
		{"empty records", lab.ServiceOptions{Script: lab.Records(lab.EmptyRecord())}, says("unexpected message")},
		{"warnings", lab.ServiceOptions{Script: lab.Records(lab.WarningRecord())}, says("too many ignored records")},
		{"hello requests", lab.ServiceOptions{Script: lab.Records(lab.HelloRequestRecord())}, says("helloRequestMsg")},
		{"16 MB of certificates", lab.ServiceOptions{Script: lab.HugeCertificates(leaf)}, says("exceeds maximum")},
		{"reset at once", lab.ServiceOptions{Tamper: lab.ResetAfter(0)}, wasReset},
		{"reset in the middle", lab.ServiceOptions{Tamper: lab.ResetAfter(200)}, func(err error) bool { return wasReset(err) || closed(err) }},
		{"close after the hello, 1.3", lab.ServiceOptions{Tamper: lab.CloseAfter(1)}, closed},
		{"close after the hello, 1.2", lab.ServiceOptions{Tamper: lab.CloseAfter(1), MaxTLS: tls.VersionTLS12}, closed},
		{"silence after the hello", lab.ServiceOptions{Tamper: lab.HoldAfter(1)}, timedOut},
		{"ChangeCipherSpec after the hello", lab.ServiceOptions{Tamper: lab.RepeatAfter(1, lab.ChangeCipherSpecRecord())}, says("too many ignored records")},
		{"slow but sure", lab.ServiceOptions{Tamper: lab.Slowly(10 * time.Microsecond)}, func(err error) bool { return err == nil }},
		{"too slow", lab.ServiceOptions{Tamper: lab.Slowly(50 * time.Millisecond)}, timedOut},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			if err := shake(c.o); !c.want(err) {
				t.Errorf("the client ended with: %v", err)
			}
		})
	}
}

// TestCloseAfterCertificate: the client has seen the certificate when the connection ends, in both versions.
func TestCloseAfterCertificate(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	leaf := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	s := start(t, lab.ServiceOptions{Leaves: []*lab.Leaf{leaf}, MinTLS: tls.VersionTLS13, Tamper: lab.CloseAfter(4)})
	seen := false
	_, err := dial(s.Addr(), ca, func(c *tls.Config) {
		c.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error { seen = len(raw) == 2; return nil }
	})
	if err == nil || !seen {
		t.Errorf("TLS 1.3: seen %t, %v", seen, err)
	}
	// crypto/tls looks at a TLS 1.2 certificate only when the next message is there, so the bytes have to tell.
	s = start(t, lab.ServiceOptions{Leaves: []*lab.Leaf{leaf}, MaxTLS: tls.VersionTLS12, Tamper: lab.CloseAfter(2)})
	raw, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	tap := &tapped{Conn: raw}
	if err := tls.Client(tap, &tls.Config{RootCAs: pool(ca.Root.Cert), ServerName: "a.lab.test", MaxVersion: tls.VersionTLS12}).Handshake(); err == nil {
		t.Error("TLS 1.2: the handshake was completed")
	}
	_ = raw.Close()
	if !strings.Contains(tap.got.String(), string(leaf.Cert.Raw)) {
		t.Error("TLS 1.2: the certificate was not sent")
	}
}

type tapped struct {
	net.Conn
	got strings.Builder
}

func (t *tapped) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.got.Write(b[:n])
	return n, err
}

// TestFloodsAreEncrypted: a client that reads on understands what the server sends, and gives up for the right reason.
func TestFloodsAreEncrypted(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	leaf := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}})
	rsa := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"a.lab.test"}, Key: lab.RSA2048})
	for _, c := range []struct {
		what string
		o    lab.ServiceOptions
		want string
	}{
		{"renegotiation", lab.ServiceOptions{Leaves: []*lab.Leaf{leaf}, MaxTLS: tls.VersionTLS12, Flood: lab.EndlessRenegotiation()}, "no renegotiation"},
		{"renegotiation with RSA", lab.ServiceOptions{Leaves: []*lab.Leaf{rsa}, MaxTLS: tls.VersionTLS12, Flood: lab.EndlessRenegotiation()}, "no renegotiation"},
		{"tickets", lab.ServiceOptions{Leaves: []*lab.Leaf{leaf}, Flood: lab.EndlessTickets()}, "too many non-advancing records"},
	} {
		s := start(t, c.o)
		conn, err := dial(s.Addr(), ca, nil)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: reading on ends with %v", c.what, err)
		}
		_ = conn.Close()
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	leaf := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"127.0.0.1"}})
	s := start(t, lab.ServiceOptions{Proto: "https", Leaves: []*lab.Leaf{leaf}})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(ca.Root.Cert)}}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Get("https://" + s.Addr()) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "ok\n" {
		t.Errorf("%q, %v", b, err)
	}
}
