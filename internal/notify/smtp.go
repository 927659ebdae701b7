package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	stdmail "net/mail"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/notafter/notafter/internal/assure"
)

// How a connection to a mail server is encrypted.
const (
	SMTPStartTLS = "starttls" // upgrade, and nothing is sent when the server does not offer it (RFC 3207)
	SMTPImplicit = "implicit" // TLS from the first byte (RFC 8314)
	SMTPNone     = "none"     // clear text; no password is sent over it but to this machine itself
)

// SMTPConfig is a mail server and whom to write to through it.
type SMTPConfig struct {
	Host string
	// Port is 587, or 465 with implicit TLS, when 0.
	Port int
	// TLS is one of [SMTPStartTLS], [SMTPImplicit] and [SMTPNone]; empty means the first.
	TLS      string
	Username string // empty: no authentication
	Password string
	// Auth is the mechanism: plain, login, cram-md5, scram-sha-256, or empty for the best that the server offers.
	Auth string
	From string   // address, also as "Name <address>"
	To   []string // each person who must be reached is better served by a channel of their own; see the package's gaps
	// HELO is the name we give ourselves; empty means this machine's name.
	HELO string
	// RootCAs is what the server's certificate must lead to. Nil means the system's trust store.
	RootCAs *x509.CertPool
}

var smtpMechanisms = []string{"scram-sha-256", "plain", "login", "cram-md5"}

// Validate says what is wrong, naming the key.
func (c SMTPConfig) Validate() error {
	switch {
	case c.Host == "":
		return keyErr("host", "is required")
	case strings.ContainsAny(c.Host, " /@\r\n\t"), strings.Contains(c.Host, ":") && net.ParseIP(c.Host) == nil:
		return keyErr("host", "must be a host name or an address, without a port")
	case c.Port < 0 || c.Port > 65535:
		return keyErr("port", "must be from 1 to 65535")
	case c.TLS != "" && !slices.Contains([]string{SMTPStartTLS, SMTPImplicit, SMTPNone}, c.TLS):
		return keyErr("tls", "must be starttls, implicit or none")
	case c.Auth != "" && !slices.Contains(smtpMechanisms, c.Auth):
		return keyErr("auth", "must be one of %s", strings.Join(smtpMechanisms, ", "))
	case c.Username == "" && (c.Password != "" || c.Auth != ""):
		return keyErr("username", "is required with a password or a mechanism")
	case strings.ContainsAny(c.HELO, " \r\n\t"):
		return keyErr("helo", "must be one word")
	}
	if c.Username != "" {
		if err := checkSecret("password", c.Password, 1); err != nil {
			return err
		}
		if c.TLS == SMTPNone && !isLoopback(c.Host) {
			return keyErr("tls", "none would send the password in clear text")
		}
	}
	if _, err := stdmail.ParseAddress(c.From); err != nil {
		return keyErr("from", "is not a mail address: %v", err)
	}
	if len(c.To) == 0 {
		return keyErr("to", "is required: at least one mail address")
	}
	for i, to := range c.To {
		if _, err := stdmail.ParseAddress(to); err != nil {
			return keyErr("to["+strconv.Itoa(i)+"]", "is not a mail address: %v", err)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

type smtpSender struct {
	name   string
	cfg    SMTPConfig
	from   string // bare address
	to     []string
	domain string // of the sender, for Message-IDs
	redact redactor
}

// NewSMTP returns a Sender that writes mail. It does not go through HTTP proxies.
func NewSMTP(name string, c SMTPConfig) (Sender, error) {
	if err := c.Validate(); err != nil {
		return nil, named("smtp", name, err)
	}
	if c.TLS == "" {
		c.TLS = SMTPStartTLS
	}
	if c.Port == 0 {
		c.Port = 587
		if c.TLS == SMTPImplicit {
			c.Port = 465
		}
	}
	if c.HELO == "" {
		c.HELO = "localhost"
		if h, err := os.Hostname(); err == nil && h != "" && !strings.ContainsAny(h, " \r\n\t") {
			c.HELO = h
		}
	}
	from, err := stdmail.ParseAddress(c.From)
	if err != nil {
		return nil, named("smtp", name, keyErr("from", "is not a mail address: %v", err))
	}
	s := &smtpSender{
		name: name, cfg: c, from: from.Address, domain: from.Address[strings.LastIndexByte(from.Address, '@')+1:],
		redact: newRedactor([]string{c.Password, basicForm(c.Username, c.Password)}),
	}
	if strings.ContainsFunc(s.domain, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>@\"`, r) }) {
		s.domain = "notafter.invalid" // a Message-ID is ASCII (RFC 5322 section 3.6.4)
	}
	for _, to := range c.To {
		a, err := stdmail.ParseAddress(to)
		if err != nil {
			return nil, named("smtp", name, keyErr("to", "is not a mail address: %v", err))
		}
		s.to = append(s.to, a.Address)
	}
	return s, nil
}

func (s *smtpSender) Name() string { return s.name }
func (s *smtpSender) Kind() string { return "smtp" }

// Send makes one attempt. A recipient that is refused does not keep the others from being written to.
func (s *smtpSender) Send(ctx context.Context, m Message) Outcome {
	raw, err := s.compose(m)
	if err != nil {
		return s.tidy(Outcome{Class: assure.Rejected, Detail: "the mail cannot be built: " + err.Error()})
	}
	return s.attempt(ctx, func(ctx context.Context, c *smtpSession) Outcome { return c.deliver(ctx, s.from, s.to, raw) })
}

// Probe connects, authenticates and says goodbye. Whether the recipients exist is not asked: servers take that for
// address harvesting.
func (s *smtpSender) Probe(ctx context.Context) (Outcome, bool) {
	return s.attempt(ctx, func(context.Context, *smtpSession) Outcome {
		detail := "connected"
		if s.cfg.Username != "" {
			detail = "connected and signed in"
		}
		return Outcome{Class: assure.Accepted, Detail: detail}
	}), true
}

func (s *smtpSender) attempt(ctx context.Context, act func(context.Context, *smtpSession) Outcome) (o Outcome) {
	defer func() { o = s.tidy(o) }()
	defer func() {
		if p := recover(); p != nil {
			o = panicked(p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, AttemptLimit)
	defer cancel()
	c, o := openSMTP(ctx, s.cfg)
	if c == nil {
		return o
	}
	defer c.close()
	return act(ctx, c)
}

func (s *smtpSender) tidy(o Outcome) Outcome {
	o.Detail = clipRunes(clean(s.redact.text(o.Detail)), 400)
	return o
}

// compose writes the mail. Every attempt at a delivery has the same Message-ID, by which servers and readers know a
// repetition; all mails of an incident refer to one that was never sent, by which readers show them as one thread.
func (s *smtpSender) compose(m Message) ([]byte, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.From(s.cfg.From); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if err := msg.To(s.cfg.To...); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	msg.Subject(m.Headline(200))
	msg.SetDateWithValue(m.At)
	msg.SetMessageIDWithValue(s.messageID(m))
	if m.Incident != "" {
		root := "<" + s.mailID("incident", string(m.Incident)) + ">"
		msg.SetGenHeader(mail.HeaderInReplyTo, root)
		msg.SetGenHeader(mail.HeaderReferences, root)
		msg.SetGenHeader("X-Notafter-Incident", clipBytes(string(m.Incident), 100))
	}
	// RFC 3834: nobody's holiday notice shall answer this.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if m.Urgent() {
		msg.SetImportance(mail.ImportanceUrgent)
	}
	body := m.Body() + "\n"
	if m.Docs != "" {
		body += "\nWhat " + string(m.Reason) + " means: " + m.Docs + "\n"
	}
	msg.SetBodyString(mail.TypeTextPlain, strings.ReplaceAll(body, "\n", "\r\n"))
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write the mail: %w", err)
	}
	return b.Bytes(), nil
}

// messageID is derived from notice and channel, so that it survives restarts and restored databases.
func (s *smtpSender) messageID(m Message) string {
	id := m.Notice
	if id == "" {
		id = strconv.FormatInt(m.Delivery, 10)
	}
	return s.mailID("delivery", id+"\x00"+s.name)
}

func (s *smtpSender) mailID(what, id string) string {
	h := sha256.Sum256([]byte(id))
	return "notafter." + what + "." + hex.EncodeToString(h[:12]) + "@" + s.domain
}

// basicForm is how PLAIN carries a password; some servers quote the line they refused.
func basicForm(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}
