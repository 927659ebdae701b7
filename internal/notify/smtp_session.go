package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail/smtp"

	"github.com/notafter/notafter/internal/assure"
)

// smtpSession is one conversation with a mail server. It ends when its context does, whatever the server does.
type smtpSession struct {
	client *smtp.Client
	conn   net.Conn
	stop   func() bool
}

// maxSMTPInput bounds what one conversation may send us.
const maxSMTPInput = 1 << 20

// boundedConn ends a conversation that says too much. Its reader is used by one goroutine at a time.
type boundedConn struct {
	net.Conn
	left int64
}

var errTooMuch = errors.New("the server sent more than a mail conversation holds")

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// openSMTP connects, encrypts and signs in. The session is nil when that did not work; the outcome then says why.
func openSMTP(ctx context.Context, cfg SMTPConfig) (*smtpSession, Outcome) {
	address := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, netFailure(err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			_ = conn.Close()
			return nil, netFailure(err)
		}
	}
	// Cancelling ends whatever read or write the library is in.
	s := &smtpSession{conn: conn, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	fail := func(what string, err error) (*smtpSession, Outcome) {
		s.close()
		return nil, smtpFailure(ctx, what, err)
	}
	tlsConfig := &tls.Config{ServerName: cfg.Host, RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12}
	var wire net.Conn = &boundedConn{Conn: conn, left: maxSMTPInput}
	if cfg.TLS == SMTPImplicit {
		encrypted := tls.Client(wire, tlsConfig)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return fail("start TLS", err)
		}
		wire = encrypted
	}
	s.client, err = smtp.NewClient(wire, cfg.Host)
	if err != nil {
		return fail("greeting", err)
	}
	if err := s.client.Hello(cfg.HELO); err != nil {
		return fail("EHLO", err)
	}
	if cfg.TLS == SMTPStartTLS {
		if ok, _ := s.client.Extension("STARTTLS"); !ok {
			s.close()
			return nil, Outcome{Class: assure.Denied, Detail: "the server does not offer STARTTLS; nothing was sent in clear text"}
		}
		if err := s.client.StartTLS(tlsConfig); err != nil {
			return fail("STARTTLS", err)
		}
	}
	if cfg.Username == "" {
		return s, Outcome{}
	}
	auth, err := s.mechanism(cfg)
	if err != nil {
		s.close()
		return nil, Outcome{Class: assure.Denied, Detail: err.Error()}
	}
	if err := s.client.Auth(auth); err != nil {
		_, refused := smtpCode(err)
		o := smtpFailure(ctx, "sign in", err)
		if refused && o.Class == assure.Rejected {
			o.Class = assure.Denied // whatever a server has against a sign-in, it has nothing against the message
		}
		s.close()
		return nil, o
	}
	return s, Outcome{}
}

// mechanism chooses how to sign in: as configured, or the best of what the server offers. Without encryption only those
// that do not send the password; the library makes an exception for this machine itself.
func (s *smtpSession) mechanism(cfg SMTPConfig) (smtp.Auth, error) {
	ok, offer := s.client.Extension("AUTH")
	if !ok {
		return nil, errors.New("the server does not offer to sign in")
	}
	offered := strings.Fields(strings.ToLower(offer))
	wanted := smtpMechanisms
	if cfg.Auth != "" {
		wanted = []string{cfg.Auth}
	}
	for _, w := range wanted {
		for _, o := range offered {
			if o != w {
				continue
			}
			switch w {
			case "plain":
				return smtp.PlainAuth("", cfg.Username, cfg.Password, cfg.Host, false), nil
			case "login":
				return smtp.LoginAuth(cfg.Username, cfg.Password, cfg.Host, false), nil
			case "cram-md5":
				return smtp.CRAMMD5Auth(cfg.Username, cfg.Password), nil
			case "scram-sha-256":
				return smtp.ScramSHA256Auth(cfg.Username, cfg.Password), nil
			}
		}
	}
	return nil, fmt.Errorf("the server offers to sign in by %s; want %s", strings.Join(offered, ", "), strings.Join(wanted, ", "))
}

// deliver hands one mail over. The outcome is accepted when the server took it for at least one recipient.
func (s *smtpSession) deliver(ctx context.Context, from string, to []string, raw []byte) Outcome {
	if err := s.client.Mail("<" + from + ">"); err != nil {
		return smtpFailure(ctx, "MAIL FROM", err)
	}
	var refused []Outcome
	for _, r := range to {
		if err := s.client.Rcpt("<" + r + ">"); err != nil {
			o := smtpFailure(ctx, r, err)
			refused = append(refused, o)
			if o.Code == 0 || o.Code == 421 {
				return o // the conversation is over, not only this recipient
			}
		}
	}
	if len(refused) == len(to) {
		// A recipient that may be taken later makes the whole worth another attempt.
		best := refused[0]
		for _, o := range refused[1:] {
			if badness(o.Class) < badness(best.Class) {
				best = o
			}
		}
		return best
	}
	w, err := s.client.Data()
	if err != nil {
		return smtpFailure(ctx, "DATA", err)
	}
	if _, err := w.Write(raw); err != nil {
		return smtpFailure(ctx, "send the mail", err)
	}
	// Only the answer to the final dot says whether the server took the mail (RFC 5321 section 4.2.5).
	if err := w.Close(); err != nil {
		return smtpFailure(ctx, "the mail", err)
	}
	o := Outcome{Class: assure.Accepted, Code: 250, Detail: "taken by the mail server"}
	if len(refused) > 0 {
		o.Detail = fmt.Sprintf("taken for %d of %d recipients", len(to)-len(refused), len(to))
		for _, r := range refused {
			o.Detail += "; " + clipRunes(r.Detail, 120)
			if o.Impaired == "" || badness(r.Class) > badness(o.Impaired) {
				o.Impaired = r.Class
			}
		}
	}
	return o
}

// close says goodbye if the server still listens. What it answers changes nothing.
func (s *smtpSession) close() {
	if s.client != nil && s.client.HasConnection() {
		_ = s.client.Quit()
	}
	s.stop()
	_ = s.conn.Close()
}

// smtpCode is the reply code in an error, when a server's reply is what went wrong.
func smtpCode(err error) (int, bool) {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply.Code, true
	}
	return 0, false
}

// enhanced is an enhanced status code at the beginning of a reply (RFC 2034): class, subject, detail.
var enhanced = regexp.MustCompile(`^\s*([245])\.(\d{1,3})\.(\d{1,3})\b`)

// smtpFailure classifies what went wrong at one step. Reply codes are those of RFC 5321 section 4.2 and RFC 4954
// section 6; the enhanced ones those of RFC 3463.
func smtpFailure(ctx context.Context, what string, err error) Outcome {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		if ctx.Err() != nil {
			err = ctx.Err() // the connection was closed because time was up
		}
		if errors.Is(err, smtp.ErrUnencrypted) {
			return Outcome{Class: assure.Denied, Detail: what + ": the password would be sent in clear text"}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return Outcome{Class: assure.Temporary, Detail: what + ": the server closed the connection"}
		}
		o := netFailure(err)
		o.Detail = what + ": " + o.Detail
		return o
	}
	o := Outcome{Code: reply.Code, Detail: fmt.Sprintf("%s: %d %s", what, reply.Code, clipRunes(clean(reply.Msg), 200))}
	switch {
	case reply.Code >= 400 && reply.Code < 500:
		o.Class = assure.Temporary
	case reply.Code == 530, reply.Code == 534, reply.Code == 535, reply.Code == 538:
		o.Class = assure.Denied // must sign in, too weak, wrong credentials, needs encryption
	case reply.Code >= 500 && reply.Code < 600:
		o.Class = assure.Rejected
		if m := enhanced.FindStringSubmatch(reply.Msg); m != nil && m[1] == "5" && m[2] == "7" {
			o.Class = assure.Denied // security or policy: the sender is not allowed, whatever the message
		}
	default:
		o.Class = assure.Temporary // not an answer to what was asked
	}
	return o
}
