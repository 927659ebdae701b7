package lab

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"mime"
	"net"
	"net/mail"
	"strings"
	"sync"
	"time"
)

// mailServer takes mail for the pager (RFC 5321), with STARTTLS where there is a certificate. It believes everybody.
type mailServer struct {
	pager    *Pager
	listener net.Listener
	work     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	over  bool
}

func newMailServer(p *Pager, l net.Listener) *mailServer {
	s := &mailServer{pager: p, listener: l, conns: map[net.Conn]struct{}{}}
	s.work.Go(s.accept)
	return s
}

func (s *mailServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.over {
			s.mu.Unlock()
			_ = conn.Close()
			return
		}
		s.conns[conn] = struct{}{}
		s.mu.Unlock()
		s.work.Go(func() {
			m := &mailSession{server: s, raw: conn}
			m.use(conn)
			m.talk()
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *mailServer) stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	s.over = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
}

type mailSession struct {
	server *mailServer
	raw    net.Conn
	conn   net.Conn // raw, or TLS over it
	r      *bufio.Reader
	tls    bool
	from   string
	to     []string
}

func (m *mailSession) use(c net.Conn) { m.conn, m.r = c, bufio.NewReader(c) }

func (m *mailSession) say(lines ...string) bool {
	_, err := io.WriteString(m.conn, strings.Join(lines, "\r\n")+"\r\n")
	return err == nil
}

func (m *mailSession) line() (string, bool) {
	b, err := m.r.ReadSlice('\n')
	if err != nil {
		return "", false
	}
	return strings.TrimRight(string(b), "\r\n"), true
}

func (m *mailSession) talk() {
	if !m.say("220 mail.lab.test ESMTP") {
		return
	}
	for {
		_ = m.conn.SetDeadline(time.Now().Add(time.Minute))
		line, ok := m.line()
		if !ok || !m.obey(line) {
			return
		}
	}
}

// obey does one command and reports whether the session goes on.
func (m *mailSession) obey(line string) bool {
	switch verb(line) {
	case "EHLO":
		lines := []string{"250-mail.lab.test", "250-8BITMIME"}
		if m.server.pager.opts.SMTPTLS != nil && !m.tls {
			lines = append(lines, "250-STARTTLS")
		}
		return m.say(append(lines, "250-AUTH PLAIN LOGIN", "250 SIZE 1048576")...)
	case "HELO":
		return m.say("250 mail.lab.test")
	case "STARTTLS":
		if m.server.pager.opts.SMTPTLS == nil || m.tls {
			return m.say("502 5.5.1 not implemented")
		}
		if !m.say("220 2.0.0 ready") {
			return false
		}
		c := tls.Server(m.raw, m.server.pager.opts.SMTPTLS)
		if c.Handshake() != nil {
			return false
		}
		m.tls, m.from, m.to = true, "", nil
		m.use(c)
		return true
	case "AUTH":
		return m.login(line)
	case "MAIL":
		m.from, m.to = line, nil
		return m.say("250 2.1.0 fine")
	case "RCPT":
		if m.from == "" {
			return m.say("503 5.5.1 MAIL first")
		}
		_, address, _ := strings.Cut(line, "<")
		address, _, _ = strings.Cut(address, ">")
		m.to = append(m.to, address)
		return m.say("250 2.1.5 fine")
	case "DATA":
		if len(m.to) == 0 {
			return m.say("503 5.5.1 RCPT first")
		}
		return m.data()
	case "RSET":
		m.from, m.to = "", nil
		return m.say("250 2.0.0 fine")
	case "NOOP":
		return m.say("250 2.0.0 fine")
	case "QUIT":
		m.say("221 2.0.0 bye")
		return false
	}
	return m.say("502 5.5.2 not understood")
}

// login accepts any name with a password (RFC 4954; LOGIN as it is commonly spoken).
func (m *mailSession) login(line string) bool {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return m.say("501 5.5.4 which mechanism?")
	}
	ask := func(prompt string) (string, bool) {
		if !m.say("334 " + base64.StdEncoding.EncodeToString([]byte(prompt))) {
			return "", false
		}
		text, ok := m.line()
		return text, ok
	}
	ok := true
	switch strings.ToUpper(fields[1]) {
	case "PLAIN":
		if len(fields) < 3 {
			_, ok = ask("")
		}
	case "LOGIN":
		if len(fields) < 3 {
			_, ok = ask("Username:")
		}
		if ok {
			_, ok = ask("Password:")
		}
	default:
		return m.say("504 5.5.4 not that mechanism")
	}
	if !ok {
		return false
	}
	return m.say("235 2.7.0 welcome")
}

// data takes a message and decides its fate, as that of the first recipient.
func (m *mailSession) data() bool {
	channel, _, _ := strings.Cut(m.to[0], "@")
	f := m.server.pager.treat(channel)
	refuse := func(text string) bool {
		m.server.pager.record(PagerMessage{Channel: channel, Kind: "smtp", Told: f})
		if text == "" {
			reset(m.raw)
			return false
		}
		m.say(text)
		return !strings.HasPrefix(text, "421")
	}
	switch f {
	case PagerReset:
		return refuse("")
	case PagerBroken:
		return refuse("451 4.3.0 local error")
	case PagerUnavailable:
		return refuse("421 4.3.2 shutting down")
	case PagerBusy:
		return refuse("450 4.7.1 too much mail, try later")
	case PagerUnauthorised:
		return refuse("535 5.7.8 log in first")
	case PagerForbidden:
		return refuse("550 5.7.1 not allowed")
	case PagerNotFound:
		return refuse("550 5.1.1 no such user")
	case PagerSilent:
		_, _ = io.Copy(io.Discard, m.conn)
		return false
	}
	if !m.say("354 go ahead") {
		return false
	}
	var body bytes.Buffer
	for {
		b, err := m.r.ReadSlice('\n')
		if err != nil || body.Len() > largest {
			return false
		}
		if bytes.Equal(b, []byte(".\r\n")) {
			break
		}
		body.Write(bytes.TrimPrefix(b, []byte("."))) // RFC 5321 section 4.5.2
	}
	msg := PagerMessage{Channel: channel, Kind: "smtp", Body: body.Bytes(), Told: f}
	if parsed, err := mail.ReadMessage(bytes.NewReader(body.Bytes())); err == nil {
		msg.Title = decodeHeader(parsed.Header.Get("Subject"))
		msg.DedupKey = parsed.Header.Get("Message-Id")
	}
	m.server.pager.record(msg)
	m.from, m.to = "", nil
	switch f {
	case PagerDropped:
		reset(m.raw)
		return false
	case PagerLost:
		return m.say("451 4.3.0 local error")
	}
	return m.say("250 2.0.0 taken")
}

// decodeHeader reads encoded words (RFC 2047); what cannot be read stays as it is.
func decodeHeader(s string) string {
	if d, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		return d
	}
	return s
}
