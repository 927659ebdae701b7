package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// script is a server of a clear text protocol: what it says first, and what it says to each thing that it must hear.
type script struct {
	greet string
	turns []turn
}

type turn struct{ hear, say string }

// run plays the script and reports whether the client kept to it.
func (s script) run(c net.Conn) bool {
	if _, err := io.WriteString(c, s.greet); err != nil {
		return false
	}
	for _, x := range s.turns {
		got := make([]byte, len(x.hear))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != x.hear {
			return false
		}
		if _, err := io.WriteString(c, x.say); err != nil {
			return false
		}
	}
	return true
}

const (
	ehlo        = "EHLO [127.0.0.1]\r\n"
	sslRequest  = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	ldapOK      = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
	ldapOKLong  = "\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00"
	ldapRefused = "\x30\x11\x02\x01\x01\x78\x0c\x0a\x01\x34\x04\x00\x04\x05no TL"
)

func mysqlGreeting(capabilities uint16) string {
	body := append([]byte("\x0a8.4.0\x00"), make([]byte, 13)...)
	body = binary.LittleEndian.AppendUint16(body, capabilities)
	body = append(body, make([]byte, 30)...)
	return string([]byte{byte(len(body)), 0, 0, 0}) + string(body)
}

var mysqlAsk = "\x20\x00\x00\x01\x00\x8a\x00\x00\x00\x00\x00\x01\x21" + strings.Repeat("\x00", 23)

var upgradeCases = []struct {
	name, scheme string
	script       script
	want         assure.Failure
}{
	{"smtp", "smtp", script{"220 mx ESMTP\r\n", []turn{{ehlo, "250-mx\r\n250-SIZE 1\r\n250 starttls\r\n"}, {"STARTTLS\r\n", "220 go\r\n"}}}, assure.OK},
	{"smtp with a greeting of many lines and bare line feeds", "smtp", script{"220-mx\n220 ready\n", []turn{{ehlo, "250-mx\n250 STARTTLS\n"}, {"STARTTLS\r\n", "220 go\n"}}}, assure.OK},
	{"smtp without TLS", "smtp", script{"220 mx\r\n", []turn{{ehlo, "250-mx\r\n250 SIZE\r\n"}}}, assure.UpgradeRefused},
	{"smtp whose name is STARTTLS and that has none", "smtp", script{"220 mx\r\n", []turn{{ehlo, "250 STARTTLS\r\n"}}}, assure.UpgradeRefused},
	{"smtp with TLS out of order", "smtp", script{"220 mx\r\n", []turn{{ehlo, "250-mx\r\n250 STARTTLS\r\n"}, {"STARTTLS\r\n", "454 not now\r\n"}}}, assure.UpgradeRefused},
	{"smtp that is busy", "smtp", script{"421 busy\r\n", nil}, assure.UpgradeRefused},
	{"smtp that injects", "smtp", script{"220 mx\r\n", []turn{{ehlo, "250-mx\r\n250 STARTTLS\r\n"}, {"STARTTLS\r\n", "220 go\r\n250 injected\r\n"}}}, assure.UpgradeFailed},
	{"smtp that talks out of turn", "smtp", script{"220 mx\r\n250 x\r\n", nil}, assure.UpgradeFailed},
	{"smtp that is ssh", "smtp", script{"SSH-2.0-OpenSSH\r\n", nil}, assure.UpgradeFailed},
	{"smtp that changes its mind", "smtp", script{"220-mx\r\n250 mx\r\n", nil}, assure.UpgradeFailed},

	{"imap", "imap", script{"* OK ready\r\n", []turn{{"a1 STARTTLS\r\n", "a1 OK go\r\n"}}}, assure.OK},
	{"imap with untagged news", "imap", script{"* OK [CAPABILITY x] ready\r\n", []turn{{"a1 STARTTLS\r\n", "* CAPABILITY x\r\na1 ok go\r\n"}}}, assure.OK},
	{"imap without TLS", "imap", script{"* OK ready\r\n", []turn{{"a1 STARTTLS\r\n", "a1 BAD what\r\n"}}}, assure.UpgradeRefused},
	{"imap signed in already", "imap", script{"* PREAUTH hello\r\n", nil}, assure.UpgradeRefused},
	{"imap that says goodbye", "imap", script{"* BYE busy\r\n", nil}, assure.UpgradeRefused},
	{"imap with another tag", "imap", script{"* OK\r\n", []turn{{"a1 STARTTLS\r\n", "a2 OK go\r\n"}}}, assure.UpgradeFailed},
	{"imap that injects", "imap", script{"* OK\r\n", []turn{{"a1 STARTTLS\r\n", "a1 OK go\r\n* BYE\r\n"}}}, assure.UpgradeFailed},

	{"pop3", "pop3", script{"+OK hello\r\n", []turn{{"STLS\r\n", "+OK go\r\n"}}}, assure.OK},
	{"pop3 without TLS", "pop3", script{"+OK hello\r\n", []turn{{"STLS\r\n", "-ERR no\r\n"}}}, assure.UpgradeRefused},
	{"pop3 that is something else", "pop3", script{"+OKAY\r\n", nil}, assure.UpgradeFailed},

	{"ftp", "ftp", script{"220-hello\r\n anything\r\n230 times welcome\r\n220 ready\r\n", []turn{{"AUTH TLS\r\n", "234 go\r\n"}}}, assure.OK},
	{"ftp that starts slowly", "ftp", script{"120 soon\r\n220 ready\r\n", []turn{{"AUTH TLS\r\n", "234 go\r\n"}}}, assure.OK},
	{"ftp without TLS", "ftp", script{"220 ready\r\n", []turn{{"AUTH TLS\r\n", "502 no\r\n"}}}, assure.UpgradeRefused},
	{"ftp that is http", "ftp", script{"HTTP/1.1 400 Bad Request\r\n", nil}, assure.UpgradeFailed},

	{"ldap", "ldap", script{"", []turn{{startTLSRequest, ldapOK}}}, assure.OK},
	{"ldap with lengths in the manner of Active Directory", "ldap", script{"", []turn{{startTLSRequest, ldapOKLong}}}, assure.OK},
	{"ldap without TLS", "ldap", script{"", []turn{{startTLSRequest, ldapRefused}}}, assure.UpgradeRefused},
	{"ldap that injects", "ldap", script{"", []turn{{startTLSRequest, ldapOK + "\x30"}}}, assure.UpgradeFailed},
	{"ldap with a huge message", "ldap", script{"", []turn{{startTLSRequest, "\x30\x84\x7f\xff\xff\xff"}}}, assure.UpgradeFailed},
	{"ldap that is http", "ldap", script{"", []turn{{startTLSRequest, "HTTP/1.1 400\r\n"}}}, assure.UpgradeFailed},

	{"postgres", "postgres", script{"", []turn{{sslRequest, "S"}}}, assure.OK},
	{"postgres without TLS", "postgres", script{"", []turn{{sslRequest, "N"}}}, assure.UpgradeRefused},
	{"postgres with an error", "postgres", script{"", []turn{{sslRequest, "E\x00\x00\x00\x0eMtoo many\x00"}}}, assure.UpgradeRefused},
	{"postgres that injects", "postgres", script{"", []turn{{sslRequest, "SR"}}}, assure.UpgradeFailed},
	{"postgres that is something else", "postgres", script{"", []turn{{sslRequest, "H"}}}, assure.UpgradeFailed},

	{"mysql", "mysql", script{mysqlGreeting(0xffff), []turn{{mysqlAsk, ""}}}, assure.OK},
	{"mysql without TLS", "mysql", script{mysqlGreeting(0xf7ff), nil}, assure.UpgradeRefused},
	{"mysql that blocks us", "mysql", script{"\x0d\x00\x00\x00\xff\x69\x04Host block", nil}, assure.UpgradeRefused},
	{"mysql of another version", "mysql", script{"\x02\x00\x00\x00\x09\x00", nil}, assure.UpgradeFailed},
	{"mysql that is smtp", "mysql", script{"220 mx.example ESMTP\r\n", nil}, assure.UpgradeFailed},
	{"mysql cut off", "mysql", script{"\x04\x00\x00\x00\x0a8.\x00", nil}, assure.UpgradeFailed},
}

func TestUpgrades(t *testing.T) {
	r := root(t, "root")
	l := leaf(t, "upgrade.example", r)
	p := prober(t, trusting(t, r))
	for _, c := range upgradeCases {
		t.Run(c.name, func(t *testing.T) {
			at := listen(t, func(conn net.Conn) {
				if c.script.run(conn) && c.want == assure.OK {
					serving(serverConf(chainOf(l)))(conn)
					return
				}
				_, _ = io.Copy(io.Discard, conn)
			})
			s := p.Look(t.Context(), target(t, c.scheme, "upgrade.example", at))
			g := only(t, s)
			if g.Failure != c.want {
				t.Fatalf("got %+v, want %q", g, c.want)
			}
			if c.want == assure.OK && leafPrint(s, g) != prints(l)[0] {
				t.Error("the certificate behind the upgrade was not seen")
			}
			if c.want != assure.OK && (g.At != assure.AtUpgrade || g.Detail == "") {
				t.Errorf("got %+v", g)
			}
		})
	}
}

// TestUpgradeCutOffAnywhere cuts every script at every byte of the server's part: never a panic, a hang or a success.
func TestUpgradeCutOffAnywhere(t *testing.T) {
	for _, c := range upgradeCases {
		if c.want != assure.OK {
			continue
		}
		whole := c.script.greet
		for _, x := range c.script.turns {
			whole += x.say
		}
		for n := range len(whole) {
			err := upgrade(&loud{in: strings.NewReader(whole[:n])}, upgradeFor(assure.Target{Scheme: c.scheme}))
			if f, _ := upgradeFailure(err); err == nil || f != assure.Reset && f != assure.UpgradeFailed {
				t.Errorf("%s cut off after %d of %d bytes: %v", c.name, n, len(whole), err)
			}
		}
	}
}

// loud is a connection whose whole input is there from the start, byte by byte so that it is not taken for injection.
type loud struct {
	in  io.Reader
	out int
}

func (l *loud) Read(b []byte) (int, error) { return l.in.Read(b[:min(1, len(b))]) }

func (l *loud) Write(b []byte) (int, error) {
	l.out += len(b)
	return len(b), nil
}

func TestImplicitPortsSkipTheUpgrade(t *testing.T) {
	for scheme, port := range implicitPorts {
		if upgradeFor(assure.Target{Scheme: scheme, Port: port}) != nil {
			t.Errorf("%s on port %d is TLS from the first byte", scheme, port)
		}
	}
	for scheme, port := range assure.Schemes() {
		has := upgradeFor(assure.Target{Scheme: scheme, Port: port}) != nil
		if want := scheme != "tls" && scheme != "https" && scheme != "h3"; has != want {
			t.Errorf("%s on port %d has an upgrade: %t", scheme, port, has)
		}
	}
}

// endless repeats its text for ever and counts.
type endless struct {
	text string
	read int
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.text[e.read%len(e.text):])
	e.read += n
	return n, nil
}

func (e *endless) Write(b []byte) (int, error) { return len(b), nil }

func TestClearTextIsBounded(t *testing.T) {
	for scheme, text := range map[string]string{
		"smtp": "220-for ever\r\n", "imap": "* OK for ever\r\n", "pop3": "for ever", "ftp": "220-for ever\r\n", "ldap": "\x30", "postgres": "E\x00\x00\x0f\x00", "mysql": "\x00",
	} {
		e := &endless{text: text}
		err := upgrade(e, upgradeFor(assure.Target{Scheme: scheme}))
		var u *upgradeError
		if !errors.As(err, &u) {
			t.Errorf("%s: got %v", scheme, err)
		}
		if e.read > maxClear {
			t.Errorf("%s: read %d bytes", scheme, e.read)
		}
	}
}

func FuzzUpgrade(f *testing.F) {
	schemes := []string{"smtp", "imap", "pop3", "ftp", "ldap", "postgres", "mysql"}
	for _, c := range upgradeCases {
		whole := c.script.greet
		for _, x := range c.script.turns {
			whole += x.say
		}
		for i, s := range schemes {
			if s == c.scheme {
				f.Add(byte(i), []byte(whole))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which byte, in []byte) {
		scheme := schemes[int(which)%len(schemes)]
		begin := time.Now()
		l := &loud{in: bytes.NewReader(in)}
		err := upgrade(l, upgradeFor(assure.Target{Scheme: scheme}))
		if l.out > 1024 {
			t.Errorf("said %d bytes", l.out)
		}
		if err != nil {
			if failure, detail := upgradeFailure(err); failure == assure.OK || detail == "" || failure == assure.LocalFailure || failure == assure.Panicked {
				t.Errorf("%v is classified as %q (%s)", err, failure, detail)
			}
		}
		if time.Since(begin) > 5*time.Second {
			t.Errorf("took %s", time.Since(begin))
		}
	})
}
