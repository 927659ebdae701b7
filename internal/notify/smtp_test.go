package notify

import (
	"context"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func mailer(t *testing.T, c SMTPConfig) Sender {
	t.Helper()
	s, err := NewSMTP("post", c)
	if err != nil {
		t.Fatalf("make the mail channel: %v", err)
	}
	return s
}

// read is what a mail program shows of a mail.
func read(t *testing.T, data string) (mail.Header, string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatalf("read the mail: %v\n%s", err, data)
	}
	var body io.Reader = m.Body
	switch enc := strings.ToLower(m.Header.Get("Content-Transfer-Encoding")); enc {
	case "quoted-printable":
		body = quotedprintable.NewReader(m.Body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, m.Body)
	case "8bit", "7bit", "":
	default:
		t.Fatalf("transfer encoding is %q", enc)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read the mail's body: %v", err)
	}
	return m.Header, strings.ReplaceAll(string(text), "\r\n", "\n")
}

func subject(t *testing.T, h mail.Header) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if err != nil {
		t.Fatalf("decode the subject: %v", err)
	}
	return s
}

func TestMail(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*mailServer){
		"STARTTLS": nil, "implicit TLS": func(s *mailServer) { s.implicit = true }, "LOGIN only": func(s *mailServer) { s.auth = "LOGIN" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newMailServer(t, set)
			c := s.config()
			c.To = []string{"ana@example.com", "Ben <ben@example.com>"}
			o := mailer(t, c).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
			if o.Class != assure.Accepted || o.Code != 250 {
				t.Fatalf("got %s %d (%s), want accepted", o.Class, o.Code, o.Detail)
			}
			got := s.taken()
			if len(got) != 1 || !got[0].Secure || got[0].User != "pager" || !reflect.DeepEqual(got[0].To, []string{"<ana@example.com>", "<ben@example.com>"}) ||
				!strings.HasPrefix(got[0].From, "FROM:<alerts@example.com>") {
				t.Fatalf("the server took %+v", got)
			}
			h, body := read(t, got[0].Data)
			if want := message(assure.NoticeTrigger, assure.StagePage).Body(); !strings.HasPrefix(body, want) {
				t.Errorf("the body is:\n%s\nwant:\n%s", body, want)
			}
			if s := subject(t, h); s != "[PAGE] The certificate of eu.example.com has expired." {
				t.Errorf("the subject is %q", s)
			}
			if when, err := h.Date(); err != nil || !when.Equal(now) {
				t.Errorf("the date is %s (%v), want %s", when, err, now)
			}
			for k, want := range map[string]string{"Auto-Submitted": "auto-generated", "X-Notafter-Incident": "k7f3q"} {
				if h.Get(k) != want {
					t.Errorf("%s is %q, want %q", k, h.Get(k), want)
				}
			}
		})
	}
}

// A repetition can be recognised, an incident is one thread, and different notices are different mails.
func TestMailIdentity(t *testing.T) {
	t.Parallel()
	s := newMailServer(t, nil)
	snd := mailer(t, s.config())
	again := delivery(assure.NoticeTrigger, assure.StagePage)
	again.Attempt, again.ID = 7, 99 // another attempt, from a restored database
	for _, m := range []Message{
		message(assure.NoticeTrigger, assure.StagePage), NewMessage(again, baseURL, now.Add(time.Hour)), message(assure.NoticeResolve, assure.StagePage),
	} {
		if o := snd.Send(ctxOf(t), m); o.Class != assure.Accepted {
			t.Fatalf("got %s (%s)", o.Class, o.Detail)
		}
	}
	var id, thread []string
	for _, m := range s.taken() {
		h, _ := read(t, m.Data)
		id, thread = append(id, h.Get("Message-Id")), append(thread, h.Get("In-Reply-To"))
		if h.Get("References") != h.Get("In-Reply-To") || !strings.HasSuffix(h.Get("Message-Id"), "@example.com>") {
			t.Errorf("references %q, message id %q", h.Get("References"), h.Get("Message-Id"))
		}
	}
	if id[0] == "" || id[0] != id[1] || id[0] == id[2] {
		t.Errorf("message ids are %q: want the first two equal and the third different", id)
	}
	if thread[0] == "" || thread[0] != thread[1] || thread[0] != thread[2] {
		t.Errorf("threads are %q: want one", thread)
	}
}

// Whoever runs a server writes its certificate's subject: it must not write our mail's headers.
func TestMailHeaderInjection(t *testing.T) {
	t.Parallel()
	s := newMailServer(t, nil)
	d := delivery(assure.NoticeTrigger, assure.StagePage)
	d.Incident.Summary = "x\r\nBcc: evil@example.com\r\n\r\nhello\n.\nMAIL FROM:<evil@example.com>"
	d.Incident.ID = "a\r\nX-Evil: 1"
	d.Notice.Incident = "a\r\nX-Evil: 1"
	d.Incident.Impact = "ü\u2028水\x00"
	if o := mailer(t, s.config()).Send(ctxOf(t), NewMessage(d, baseURL, now)); o.Class != assure.Accepted {
		t.Fatalf("got %s (%s)", o.Class, o.Detail)
	}
	got := s.taken()
	if len(got) != 1 || len(got[0].To) != 1 {
		t.Fatalf("the server took %+v", got)
	}
	h, body := read(t, got[0].Data)
	if h.Get("Bcc") != "" || h.Get("X-Evil") != "" || !strings.Contains(body, "ü 水") || !strings.Contains(body, "hello . MAIL FROM") {
		t.Errorf("headers %v, body:\n%s", h, body)
	}
}

func TestMailFailures(t *testing.T) {
	cases := []struct {
		name, verb, reply string
		want              assure.ReceiptClass
		code              int
	}{
		{"busy at the door", "GREETING", "421 4.3.2 too busy", assure.Temporary, 421},
		{"hangs up at the door", "GREETING", "hang up", assure.Temporary, 0},
		{"no mail service here", "GREETING", "554 5.7.1 go away", assure.Denied, 554},
		{"not a mail server", "GREETING", "HTTP/1.1 400 Bad Request", assure.Temporary, 0},
		{"STARTTLS not now", "STARTTLS", "454 4.7.0 TLS not available", assure.Temporary, 454},
		{"wrong password", "AUTH", "535 5.7.8 bad credentials", assure.Denied, 535},
		{"password too weak a way", "AUTH", "534 5.7.9 mechanism too weak", assure.Denied, 534},
		{"sign-in refused in general", "AUTH", "550 no", assure.Denied, 550},
		{"sign-in not now", "AUTH", "454 4.7.0 temporary failure", assure.Temporary, 454},
		{"must sign in", "MAIL", "530 5.7.0 authentication required", assure.Denied, 530},
		{"sender not allowed", "MAIL", "550 5.7.60 not allowed to send as this sender", assure.Denied, 550},
		{"sender unknown", "MAIL", "550 5.1.8 bad sender", assure.Rejected, 550},
		{"out of space", "MAIL", "452 4.3.1 insufficient storage", assure.Temporary, 452},
		{"greylisted", "RCPT", "450 4.2.0 try again later", assure.Temporary, 450},
		{"relaying denied", "RCPT", "554 5.7.1 relay access denied", assure.Denied, 554},
		{"no such mailbox", "RCPT", "550 5.1.1 user unknown", assure.Rejected, 550},
		{"not now", "DATA", "451 4.3.0 not now", assure.Temporary, 451},
		{"will not take it", "DATA", "554 5.5.1 no valid recipients", assure.Rejected, 554},
		{"refused after reading", "DOT", "554 5.6.0 message refused", assure.Rejected, 554},
		{"too large", "DOT", "552 5.3.4 too big", assure.Rejected, 552},
		{"broken after reading", "DOT", "451 4.3.0 queue write error", assure.Temporary, 451},
		{"took it, then failed", "DOT", "taken 451 4.3.0 queue write error", assure.Temporary, 451},
		{"took it, then hung up", "DOT", "taken hang up", assure.Temporary, 0},
		{"hangs up in the middle", "RCPT", "hang up", assure.Temporary, 0},
		{"nonsense", "MAIL", "250", assure.Temporary, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newMailServer(t, func(s *mailServer) { s.replies[c.verb] = c.reply })
			o := mailer(t, s.config()).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
			if o.Class != c.want || o.Code != c.code {
				t.Errorf("got %s %d (%s), want %s %d", o.Class, o.Code, o.Detail, c.want, c.code)
			}
			if o.Detail == "" {
				t.Error("nothing is said of what went wrong")
			}
			if want := strings.HasPrefix(c.reply, "taken"); want != (len(s.taken()) == 1) {
				t.Errorf("the server took %d mails", len(s.taken()))
			}
		})
	}
}

// What a server answers to goodbye does not undo a delivery.
func TestMailGoodbyeDoesNotMatter(t *testing.T) {
	t.Parallel()
	s := newMailServer(t, func(s *mailServer) { s.replies["QUIT"] = "hang up" })
	if o := mailer(t, s.config()).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage)); o.Class != assure.Accepted {
		t.Errorf("got %s (%s), want accepted", o.Class, o.Detail)
	}
}

// A dead address does not keep the others from being told, and is not hushed up either.
func TestMailToSeveral(t *testing.T) {
	t.Parallel()
	s := newMailServer(t, func(s *mailServer) { s.replies["RCPT <gone@example.com>"] = "550 5.1.1 user unknown" })
	c := s.config()
	c.To = []string{"gone@example.com", "ana@example.com"}
	o := mailer(t, c).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
	if o.Class != assure.Accepted || o.Impaired != assure.Rejected || !strings.Contains(o.Detail, "1 of 2") || !strings.Contains(o.Detail, "gone@example.com") {
		t.Errorf("got %s impaired %q: %s", o.Class, o.Impaired, o.Detail)
	}
	if got := s.taken(); len(got) != 1 || !reflect.DeepEqual(got[0].To, []string{"<ana@example.com>"}) {
		t.Errorf("the server took %+v", got)
	}
	s.set("RCPT <ana@example.com>", "450 4.2.1 later")
	if o := mailer(t, c).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage)); o.Class != assure.Temporary {
		t.Errorf("one gone, one later: got %s (%s), want temporary", o.Class, o.Detail)
	}
}

// No password and no message goes out in clear text, whatever a server or somebody in between says.
func TestMailStaysEncrypted(t *testing.T) {
	t.Parallel()
	s := newMailServer(t, func(s *mailServer) { s.noTLS = true })
	o := mailer(t, s.config()).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
	if o.Class != assure.Denied || !strings.Contains(o.Detail, "STARTTLS") {
		t.Errorf("without STARTTLS: got %s (%s), want denied", o.Class, o.Detail)
	}
	if said := s.transcript(); strings.Contains(said, "AUTH") || strings.Contains(said, "MAIL") {
		t.Errorf("said in clear text: %s", said)
	}
	s = newMailServer(t, nil)
	c := s.config()
	c.RootCAs = nil
	o = mailer(t, c).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
	if o.Class != assure.Temporary || !strings.Contains(o.Detail, "certificate is not accepted") {
		t.Errorf("a certificate nobody signed: got %s (%s)", o.Class, o.Detail)
	}
	if said := s.transcript(); strings.Contains(said, "AUTH") || strings.Contains(said, "MAIL") {
		t.Errorf("said to a stranger: %s", said)
	}
}

func TestMailSecretsAreNeverTold(t *testing.T) {
	t.Parallel()
	plain := base64.StdEncoding.EncodeToString([]byte("\x00pager\x00hunter2-hunter2"))
	s := newMailServer(t, func(s *mailServer) { s.replies["AUTH"] = "535 5.7.8 you said " + plain + " that is hunter2-hunter2" })
	o := mailer(t, s.config()).Send(ctxOf(t), message(assure.NoticeTrigger, assure.StagePage))
	if strings.Contains(o.Detail, "hunter2") || strings.Contains(o.Detail, plain) || o.Class != assure.Denied {
		t.Errorf("got %s: %s", o.Class, o.Detail)
	}
}

func TestMailProbe(t *testing.T) {
	t.Parallel()
	s := newMailServer(t, nil)
	p := mailer(t, s.config()).(Prober)
	if o, checked := p.Probe(ctxOf(t)); !checked || o.Class != assure.Accepted {
		t.Errorf("got %s (%s)", o.Class, o.Detail)
	}
	if said := s.transcript(); strings.Contains(said, "MAIL") || !strings.Contains(said, "QUIT") {
		t.Errorf("a check said %s", said)
	}
	s.set("AUTH", "535 5.7.8 no")
	if o, _ := p.Probe(ctxOf(t)); o.Class != assure.Denied {
		t.Errorf("wrong password: got %s (%s)", o.Class, o.Detail)
	}
}

// Silence, and talk without end, both end with the attempt.
func TestMailBounded(t *testing.T) {
	t.Parallel()
	for name, talk := range map[string]func(net.Conn){
		"no answer": func(net.Conn) {},
		"sent more": func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "220-"+strings.Repeat("x", 8000)+"\r\n"); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := l.Accept()
				if err != nil {
					return
				}
				talk(c)
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
			ctx := ctxOf(t)
			if name == "no answer" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
			}
			o := mailer(t, SMTPConfig{
				Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, From: "a@example.com", To: []string{"b@example.com"},
			}).Send(ctx, message(assure.NoticeTrigger, assure.StagePage))
			if o.Class != assure.Temporary || !strings.Contains(o.Detail, name) {
				t.Errorf("got %s (%s), want temporary and %q", o.Class, o.Detail, name)
			}
			_ = l.Close()
			<-done
		})
	}
}
