package notify

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailServer is a mail server on a real socket. Each step answers as replies say, by verb; what is not said is what a
// well behaved server answers.
type mailServer struct {
	listener net.Listener
	pool     *x509.CertPool
	tls      *tls.Config
	implicit bool
	noTLS    bool
	auth     string // mechanisms offered; empty: none
	user     string
	password string

	mu      sync.Mutex
	replies map[string]string // verb (or "GREETING", "DOT", "RCPT <address>") to reply; "hang up" ends the conversation
	mails   []mailSeen
	lines   []string // all that was said to us in clear text and after
	wg      sync.WaitGroup
}

type mailSeen struct {
	From   string
	To     []string
	Data   string
	Secure bool
	User   string
}

func newMailServer(t *testing.T, set func(*mailServer)) *mailServer {
	t.Helper()
	s := &mailServer{replies: map[string]string{}, auth: "PLAIN LOGIN", user: "pager", password: "hunter2-hunter2"}
	s.tls, s.pool = testCertificate(t)
	if set != nil {
		set(s)
	}
	var err error
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	s.wg.Go(s.accept)
	t.Cleanup(func() { _ = s.listener.Close(); s.wg.Wait() })
	return s
}

// config reaches the server by address, as its certificate allows.
func (s *mailServer) config() SMTPConfig {
	c := SMTPConfig{
		Host: "127.0.0.1", Port: s.listener.Addr().(*net.TCPAddr).Port, Username: s.user, Password: s.password,
		From: "notafter <alerts@example.com>", To: []string{"ana@example.com"}, RootCAs: s.pool, HELO: "tester.example.com",
	}
	if s.implicit {
		c.TLS = SMTPImplicit
	}
	return c
}

func (s *mailServer) reply(verb, normal string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.replies[verb]; ok {
		return r
	}
	return normal
}

func (s *mailServer) set(verb, reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies[verb] = reply
}

func (s *mailServer) taken() []mailSeen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]mailSeen(nil), s.mails...)
}

func (s *mailServer) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			if s.implicit {
				c = tls.Server(c, s.tls)
			}
			s.talk(c)
		})
	}
}

func (s *mailServer) talk(c net.Conn) {
	in := bufio.NewReader(c)
	say := func(text string) bool {
		if text == "hang up" {
			return false
		}
		_, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")+"\r\n")
		return err == nil
	}
	if !say(s.reply("GREETING", "220 mail.example.com ESMTP")) {
		return
	}
	secure, user := s.implicit, ""
	var m mailSeen
	for {
		raw, err := in.ReadString('\n')
		if err != nil {
			return
		}
		text := strings.TrimRight(raw, "\r\n")
		s.mu.Lock()
		s.lines = append(s.lines, text)
		s.mu.Unlock()
		verb, arg, _ := strings.Cut(text, " ")
		answer := ""
		switch verb = strings.ToUpper(verb); verb {
		case "EHLO", "HELO":
			answer = "250-mail.example.com\n250-ENHANCEDSTATUSCODES\n250-8BITMIME"
			if !secure && !s.noTLS {
				answer += "\n250-STARTTLS"
			}
			if s.auth != "" && (secure || s.noTLS) {
				answer += "\n250-AUTH " + s.auth
			}
			answer = s.reply(verb, answer+"\n250 HELP")
		case "STARTTLS":
			answer = s.reply(verb, "220 2.0.0 go ahead")
			if !say(answer) {
				return
			}
			if strings.HasPrefix(answer, "220") {
				c = tls.Server(c, s.tls)
				in, secure = bufio.NewReader(c), true
			}
			continue
		case "AUTH":
			answer = s.reply(verb, "")
			if answer == "" {
				answer = "535 5.7.8 authentication credentials invalid"
				mech, initial, _ := strings.Cut(arg, " ")
				ok := false
				switch strings.ToUpper(mech) {
				case "PLAIN":
					ok = initial == base64.StdEncoding.EncodeToString([]byte("\x00"+s.user+"\x00"+s.password))
				case "LOGIN":
					ask := func(q string) string {
						if !say("334 " + base64.StdEncoding.EncodeToString([]byte(q))) {
							return ""
						}
						line, _ := in.ReadString('\n')
						b, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
						return string(b)
					}
					u, p := ask("Username:"), ask("Password:")
					ok = u == s.user && p == s.password
				}
				if ok {
					answer, user = "235 2.7.0 accepted", s.user
				}
			}
		case "MAIL":
			m = mailSeen{From: arg, Secure: secure, User: user}
			answer = s.reply(verb, "250 2.1.0 ok")
		case "RCPT":
			to := strings.TrimPrefix(arg, "TO:")
			answer = s.reply("RCPT "+to, s.reply(verb, "250 2.1.5 ok"))
			if strings.HasPrefix(answer, "25") {
				m.To = append(m.To, to)
			}
		case "DATA":
			answer = s.reply(verb, "354 go on")
			if !say(answer) {
				return
			}
			if !strings.HasPrefix(answer, "354") {
				continue
			}
			var data strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				data.WriteString(strings.TrimPrefix(line, "."))
			}
			m.Data = data.String()
			answer = s.reply("DOT", "250 2.0.0 queued")
			// "taken" marks the other way to fail: the mail is kept, and the answer says otherwise or nothing.
			if after, ok := strings.CutPrefix(answer, "taken "); ok || strings.HasPrefix(answer, "250") {
				s.mu.Lock()
				s.mails = append(s.mails, m)
				s.mu.Unlock()
				if ok {
					answer = after
				}
			}
		case "QUIT":
			say(s.reply(verb, "221 2.0.0 bye"))
			return
		case "RSET", "NOOP", "*":
			answer = "250 2.0.0 ok"
		default:
			answer = "502 5.5.1 what?"
		}
		if !say(answer) {
			return
		}
	}
}

// testCertificate is a certificate for 127.0.0.1 and the trust store that holds it.
func testCertificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "mail.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatalf("make a certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("read the certificate back: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

func (s *mailServer) transcript() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%q", s.lines)
}
