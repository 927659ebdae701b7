package lab

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// UpgradeFault is a way in which the dialogue before TLS goes wrong.
type UpgradeFault string

// Faults of the dialogue in clear text.
const (
	UpgradeSound      UpgradeFault = ""
	UpgradeNotOffered UpgradeFault = "not-offered" // the service works in clear text and does not offer TLS
	UpgradeRefused    UpgradeFault = "refused"     // TLS is offered, and refused when it is asked for
	UpgradeBusy       UpgradeFault = "busy"        // the service turns the client away with its first words
	UpgradeEndless    UpgradeFault = "endless"     // lines of a greeting or answer that never end
	UpgradeOversize   UpgradeFault = "oversize"    // one line or packet that is far too long
	UpgradeInjected   UpgradeFault = "injected"    // clear text right behind the answer that ends clear text
	UpgradeGarbage    UpgradeFault = "garbage"     // bytes of no protocol
	UpgradeSilent     UpgradeFault = "silent"      // not a word
	UpgradeSlow       UpgradeFault = "slow"        // the right words, one byte at a time
	UpgradeCut        UpgradeFault = "cut"         // the connection is closed where the answer to the upgrade belongs
)

// oversize is how long the one line or packet of UpgradeOversize is. No protocol here allows a hundredth of it.
const oversize = 8 << 20

// dialogues holds the server's side of each protocol up to TLS; it reports whether TLS follows.
var dialogues = map[string]func(*cleartext) bool{
	"smtp": smtpDialogue, "imap": imapDialogue, "pop3": pop3Dialogue, "ftp": ftpDialogue,
	"ldap": ldapDialogue, "postgres": postgresDialogue, "mysql": mysqlDialogue,
}

// cleartext is a connection before TLS.
type cleartext struct {
	net.Conn
	ctx   context.Context
	r     *bufio.Reader
	fault UpgradeFault
	pace  time.Duration
}

func newClear(ctx context.Context, conn net.Conn, f UpgradeFault, pace time.Duration) *cleartext {
	return &cleartext{Conn: conn, ctx: ctx, r: bufio.NewReader(conn), fault: f, pace: pace}
}

// forTLS is the connection for what follows. A client sends nothing before it has the answer, so that the reader holds
// nothing; if it does, the TLS server is to see it.
func (c *cleartext) forTLS() net.Conn { return &buffered{Conn: c.Conn, r: c.r} }

type buffered struct {
	net.Conn
	r io.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// say writes lines, each with CRLF, in one write, and reports whether the client still listens.
func (c *cleartext) say(lines ...string) bool {
	return c.send([]byte(strings.Join(lines, "\r\n") + "\r\n"))
}

func (c *cleartext) send(b []byte) bool {
	if c.fault == UpgradeSlow {
		return writeSlowly(c.ctx, c.Conn, b, c.pace) == nil
	}
	_, err := c.Write(b)
	return err == nil
}

// hear reads one line, without its end; ok is false when the client has gone.
func (c *cleartext) hear() (line string, ok bool) {
	b, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", false
	}
	return strings.TrimRight(string(b), "\r\n"), true
}

// spoilt plays the faults that do not depend on the protocol. It reports whether the dialogue is over with that.
// The line is what a greeting repeats when it never ends, and how an overlong one begins.
func (c *cleartext) spoilt(line string) bool {
	switch c.fault {
	case UpgradeSilent:
		Silence()(c.ctx, c.Conn)
	case UpgradeGarbage:
		Noise()(c.ctx, c.Conn)
	case UpgradeEndless:
		repeat(c.Conn, []byte(strings.Repeat(line+"\r\n", 64)))
	case UpgradeOversize:
		if c.send([]byte(line)) && c.send([]byte(strings.Repeat("x", oversize))) {
			c.say("")
		}
	default:
		return false
	}
	return true
}

// granted sends the answer after which TLS begins, or spoils it.
func (c *cleartext) granted(yes, no string) bool {
	switch c.fault {
	case UpgradeRefused:
		c.say(no)
		return false
	case UpgradeCut:
		return false
	case UpgradeInjected:
		return c.send([]byte(yes + "\r\n" + no + "\r\n"))
	}
	return c.say(yes)
}

// smtpDialogue: RFC 5321, RFC 3207.
func smtpDialogue(c *cleartext) bool {
	if c.fault == UpgradeBusy {
		return c.say("421 mail.lab.test too busy, try later") && false
	}
	if c.spoilt("220-mail.lab.test is happy to see you") || !c.say("220-mail.lab.test ESMTP lab", "220 ready") {
		return false
	}
	for {
		line, ok := c.hear()
		if !ok {
			return false
		}
		switch verb(line) {
		case "EHLO":
			lines := []string{"250-mail.lab.test", "250-PIPELINING", "250-SIZE 1000000", "250-STARTTLS", "250 8BITMIME"}
			if c.fault == UpgradeNotOffered {
				lines = slices.DeleteFunc(lines, func(s string) bool { return strings.Contains(s, "STARTTLS") })
			}
			ok = c.say(lines...)
		case "HELO":
			ok = c.say("250 mail.lab.test")
		case "STARTTLS":
			if c.fault == UpgradeNotOffered {
				ok = c.say("502 5.5.1 not implemented")
				break
			}
			if c.granted("220 2.0.0 ready to start TLS", "454 4.7.0 TLS not available due to temporary reason") {
				return true
			}
			ok = c.fault == UpgradeRefused
		case "QUIT":
			return c.say("221 bye") && false
		default:
			ok = c.say("502 5.5.1 not implemented")
		}
		if !ok {
			return false
		}
	}
}

// imapDialogue: RFC 9051 sections 6.2.1 and 7.1.
func imapDialogue(c *cleartext) bool {
	if c.fault == UpgradeBusy {
		return c.say("* BYE too many connections") && false
	}
	capabilities := "CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED"
	if c.fault == UpgradeNotOffered {
		capabilities = "CAPABILITY IMAP4rev1 AUTH=PLAIN"
	}
	if c.spoilt("* OK still thinking") || !c.say("* OK ["+capabilities+"] lab ready") {
		return false
	}
	for {
		line, ok := c.hear()
		if !ok {
			return false
		}
		tag, command, _ := strings.Cut(line, " ")
		switch verb(command) {
		case "CAPABILITY":
			ok = c.say("* "+capabilities, tag+" OK done")
		case "STARTTLS":
			if c.fault == UpgradeNotOffered {
				ok = c.say(tag + " BAD unknown command")
				break
			}
			if c.granted(tag+" OK begin TLS now", tag+" NO TLS is not available") {
				return true
			}
			ok = c.fault == UpgradeRefused
		case "LOGOUT":
			return c.say("* BYE", tag+" OK bye") && false
		default:
			ok = c.say(tag + " BAD unknown command")
		}
		if !ok {
			return false
		}
	}
}

// pop3Dialogue: RFC 1939, RFC 2595 section 4.
func pop3Dialogue(c *cleartext) bool {
	if c.fault == UpgradeBusy {
		return c.say("-ERR [SYS/TEMP] too busy") && false
	}
	if c.spoilt("+OK") || !c.say("+OK lab ready") {
		return false
	}
	for {
		line, ok := c.hear()
		if !ok {
			return false
		}
		switch verb(line) {
		case "CAPA":
			if c.fault == UpgradeNotOffered {
				ok = c.say("+OK", "USER", ".")
			} else {
				ok = c.say("+OK", "STLS", "USER", ".")
			}
		case "STLS":
			if c.fault == UpgradeNotOffered {
				ok = c.say("-ERR unknown command")
				break
			}
			if c.granted("+OK begin TLS", "-ERR TLS is not available") {
				return true
			}
			ok = c.fault == UpgradeRefused
		case "QUIT":
			return c.say("+OK bye") && false
		default:
			ok = c.say("-ERR unknown command")
		}
		if !ok {
			return false
		}
	}
}

// ftpDialogue: RFC 959, RFC 4217.
func ftpDialogue(c *cleartext) bool {
	if c.fault == UpgradeBusy {
		return c.say("421 too many users") && false
	}
	if c.spoilt("220-welcome") || !c.say("220-welcome to a server of the lab", "220 lab FTP, log in or upgrade") {
		return false
	}
	for {
		line, ok := c.hear()
		if !ok {
			return false
		}
		switch verb(line) {
		case "FEAT":
			if c.fault == UpgradeNotOffered {
				ok = c.say("211 no features")
			} else {
				ok = c.say("211-features", " AUTH TLS", " PBSZ", "211 end")
			}
		case "AUTH":
			if c.fault == UpgradeNotOffered {
				ok = c.say("502 not implemented")
				break
			}
			if c.granted("234 AUTH TLS accepted", "431 TLS is not available") {
				return true
			}
			ok = c.fault == UpgradeRefused
		case "QUIT":
			return c.say("221 bye") && false
		default:
			ok = c.say("530 log in first")
		}
		if !ok {
			return false
		}
	}
}

func verb(line string) string {
	v, _, _ := strings.Cut(line, " ")
	return strings.ToUpper(v)
}

// ldapDialogue: RFC 4511 section 4.14; the answer is an ExtendedResponse to whatever message was sent.
func ldapDialogue(c *cleartext) bool {
	switch c.fault {
	case UpgradeBusy, UpgradeCut:
		_, _ = io.ReadFull(c.r, make([]byte, 2))
		return false
	case UpgradeOversize:
		// A message whose length says 8 MiB, and that is as long.
		c.send(append([]byte{0x30, 0x84, 0, 0x80, 0, 0}, make([]byte, oversize)...))
		return false
	case UpgradeEndless: // unsolicited intermediate responses with message number 1, without end
		repeat(c.Conn, []byte{0x30, 0x05, 0x02, 0x01, 0x01, 0x79, 0x00})
		return false
	}
	if c.spoilt("") {
		return false
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(c.r, head); err != nil || head[0] != 0x30 || head[1] >= 0x80 {
		return false
	}
	body := make([]byte, head[1])
	if _, err := io.ReadFull(c.r, body); err != nil || len(body) < 3 || body[0] != 0x02 || int(body[1])+2 > len(body) {
		return false
	}
	id := body[:2+int(body[1])] // the message number, as an INTEGER
	code := byte(0)             // success
	switch c.fault {
	case UpgradeNotOffered:
		code = 2 // protocolError: the operation is not known
	case UpgradeRefused:
		code = 52 // unavailable
	}
	answer := append(slices.Clone(id), 0x78, 7, 0x0a, 1, code, 4, 0, 4, 0)
	answer = append([]byte{0x30, byte(len(answer))}, answer...)
	if c.fault == UpgradeInjected {
		answer = append(answer, answer...)
	}
	return c.send(answer) && code == 0
}

// postgresDialogue: the SSLRequest of the frontend/backend protocol, "SSL Session Encryption".
func postgresDialogue(c *cleartext) bool {
	switch c.fault {
	case UpgradeSilent, UpgradeGarbage:
		return !c.spoilt("")
	case UpgradeOversize, UpgradeEndless: // an error message that claims to be a gigabyte
		c.send([]byte{'E', 0x40, 0, 0, 0})
		repeat(c.Conn, []byte(strings.Repeat("S", 4096)))
		return false
	}
	var request [8]byte
	if _, err := io.ReadFull(c.r, request[:]); err != nil ||
		binary.BigEndian.Uint32(request[:4]) != 8 || binary.BigEndian.Uint32(request[4:]) != 80877103 {
		return false
	}
	switch c.fault {
	case UpgradeNotOffered, UpgradeRefused:
		c.send([]byte("N"))
		_, _ = io.Copy(io.Discard, c.r) // the client may go on in clear text
		return false
	case UpgradeBusy:
		text := "SFATAL\x00C53300\x00Msorry, too many clients already\x00\x00"
		m := binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(text)+4))
		return c.send(append(m, text...)) && false
	case UpgradeCut:
		return false
	case UpgradeInjected:
		return c.send([]byte("SR\x00\x00\x00\x08\x00\x00\x00\x00")) // a forged AuthenticationOk behind the S
	}
	return c.send([]byte("S"))
}

// mysqlDialogue: the initial handshake packet, version 10, and the client's SSLRequest packet.
func mysqlDialogue(c *cleartext) bool {
	switch c.fault {
	case UpgradeSilent, UpgradeGarbage:
		return !c.spoilt("")
	case UpgradeBusy:
		return c.send(mysqlPacket(0, append([]byte{0xff, 0x10, 0x04}, "#08004Too many connections"...))) && false
	case UpgradeOversize, UpgradeEndless:
		c.send([]byte{0xff, 0xff, 0xff, 0, 10}) // a packet of 16 MiB
		repeat(c.Conn, []byte(strings.Repeat("5", 4096)))
		return false
	}
	const (
		clientProtocol41 = 0x0200
		clientSSL        = 0x0800
		clientSecure     = 0x8000
		clientPluginAuth = 0x0008 // of the upper half
	)
	low := uint16(clientProtocol41 | clientSSL | clientSecure)
	if c.fault == UpgradeNotOffered {
		low &^= clientSSL
	}
	p := append([]byte{10}, "8.4.0-lab\x00"...)
	p = append(p, 7, 0, 0, 0)                        // connection number
	p = append(p, "saltsalt"...)                     // first part of the challenge
	p = append(p, 0)                                 // filler
	p = append(p, byte(low), byte(low>>8), 45, 2, 0) // capabilities, character set, status
	p = append(p, clientPluginAuth, 0, 21)
	p = append(p, make([]byte, 10)...)
	p = append(p, "saltsaltsalt\x00"...)
	p = append(p, "caching_sha2_password\x00"...)
	greeting := mysqlPacket(0, p)
	if c.fault == UpgradeInjected {
		greeting = append(greeting, mysqlPacket(1, []byte{0, 0, 0, 2, 0, 0, 0})...)
	}
	if !c.send(greeting) {
		return false
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(c.r, head); err != nil {
		return false
	}
	size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if size > 4096 {
		return false
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.r, body); err != nil || size < 32 || binary.LittleEndian.Uint16(body)&clientSSL == 0 || c.fault == UpgradeNotOffered || c.fault == UpgradeCut {
		return false
	}
	if c.fault == UpgradeRefused {
		c.send(mysqlPacket(2, append([]byte{0xff, 0x15, 0x04}, "#08S01Bad handshake"...)))
		return false
	}
	return true
}

func mysqlPacket(number byte, body []byte) []byte {
	return append([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), number}, body...)
}

// afterwards speaks what a client may want to hear after the handshake, until it leaves.
func afterwards(proto string, conn *tls.Conn) {
	switch proto {
	case "smtp":
		c := newClear(context.Background(), conn, UpgradeNotOffered, 0)
		for {
			line, ok := c.hear()
			if !ok {
				return
			}
			switch verb(line) {
			case "EHLO":
				ok = c.say("250-mail.lab.test", "250 8BITMIME")
			case "NOOP", "RSET":
				ok = c.say("250 fine")
			case "QUIT":
				c.say("221 bye")
				return
			default:
				ok = c.say("502 5.5.1 not implemented")
			}
			if !ok {
				return
			}
		}
	case "https":
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
		}
		_ = conn.Close()
	default:
		_, _ = io.Copy(io.Discard, conn)
	}
}
