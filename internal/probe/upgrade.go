package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// Bounds of what a server may say in clear text.
const (
	maxClear     = 64 << 10 // all of it
	maxClearLine = 2048     // one line, with its end; RFC 5321 section 4.5.3.1.5 has 512, servers have more
	maxPacket    = 4096     // one binary message
)

// upgrader speaks a protocol in clear text up to where TLS begins. It returns an upgradeError, or an error of the
// connection.
type upgrader func(*plaintext) error

// implicitPorts are registered for TLS from the first byte (RFC 8314 section 3 for mail, the IANA service name registry
// for the others). A target that names the scheme and such a port means the service behind it, which does not speak in
// clear text there.
var implicitPorts = map[string]uint16{"smtp": 465, "imap": 993, "pop3": 995, "ftp": 990, "ldap": 636}

// upgradeFor returns what is spoken before TLS, nil for nothing.
func upgradeFor(t assure.Target) upgrader {
	if port, ok := implicitPorts[t.Scheme]; ok && t.Port == port {
		return nil
	}
	switch t.Scheme {
	case "smtp":
		return upgradeSMTP
	case "imap":
		return upgradeIMAP
	case "pop3":
		return upgradePOP3
	case "ftp":
		return upgradeFTP
	case "ldap":
		return upgradeLDAP
	case "postgres":
		return upgradePostgres
	case "mysql":
		return upgradeMySQL
	}
	return nil
}

// upgrade runs an upgrader on a connection. What the server sent beyond the last reply would be taken for TLS by one
// side and for clear text by the other; servers and clients have been attacked that way (CVE-2011-0411), and no sound
// server sends it.
func upgrade(conn io.ReadWriter, up upgrader) error {
	c := &plaintext{rw: conn}
	if w, ok := conn.(*wire); ok {
		c.local = w.LocalAddr().String()
	}
	if err := up(c); err != nil {
		return err
	}
	if n := len(c.buf); n > 0 {
		return notThat("the server sent %d bytes in clear text after its last reply, where TLS must begin", n)
	}
	return nil
}

// upgradeError says that the clear text part ended otherwise than in TLS.
type upgradeError struct {
	failure assure.Failure // UpgradeRefused, UpgradeFailed or TooLarge
	text    string
}

func (e *upgradeError) Error() string { return e.text }

// refused says that the protocol is spoken, and TLS is not to be had.
func refused(format string, args ...any) error {
	return &upgradeError{assure.UpgradeRefused, fmt.Sprintf(format, args...)}
}

// notThat says that what was said is not the protocol expected.
func notThat(format string, args ...any) error {
	return &upgradeError{assure.UpgradeFailed, fmt.Sprintf(format, args...)}
}

func upgradeFailure(err error) (assure.Failure, string) {
	var u *upgradeError
	if errors.As(err, &u) {
		return u.failure, u.text
	}
	if f, detail, ok := wireFailure(err); ok {
		return f, detail
	}
	return assure.UpgradeFailed, err.Error()
}

// plaintext reads and writes the clear text part of a connection within the bounds.
type plaintext struct {
	rw    io.ReadWriter
	local string // our side, "ip:port"; empty when not known
	buf   []byte // read and not yet taken
	total int
	room  [1024]byte
}

func (c *plaintext) fill() error {
	if c.total >= maxClear {
		return errTooMuchClear
	}
	room := c.room[:min(len(c.room), maxClear-c.total)]
	n, err := c.rw.Read(room)
	c.total += n
	c.buf = append(c.buf, room[:n]...)
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

var errTooMuchClear = &upgradeError{assure.TooLarge, fmt.Sprintf("the server sent more than %d bytes in clear text", maxClear)}

// line returns one line without its end, which is a line feed with or without a carriage return before it.
func (c *plaintext) line() (string, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(c.buf[seen:], '\n'); i >= 0 {
			end := seen + i
			if end >= maxClearLine {
				return "", notThat("the server sent a line of more than %d bytes", maxClearLine)
			}
			s := strings.TrimSuffix(string(c.buf[:end]), "\r")
			c.buf = c.buf[end+1:]
			return s, nil
		}
		seen = len(c.buf)
		if seen >= maxClearLine {
			return "", notThat("the server sent a line of more than %d bytes", maxClearLine)
		}
		if err := c.fill(); err != nil {
			return "", err
		}
	}
}

// take returns exactly n bytes, at most maxClear.
func (c *plaintext) take(n int) ([]byte, error) {
	for len(c.buf) < n {
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
	out := c.buf[:n:n]
	c.buf = c.buf[n:]
	return out, nil
}

func (c *plaintext) say(line string) error { return c.send([]byte(line + "\r\n")) }

func (c *plaintext) send(b []byte) error {
	// What arrives before we have spoken answers nothing that we said.
	if len(c.buf) > 0 {
		return notThat("the server went on talking after its reply was complete")
	}
	_, err := c.rw.Write(b)
	return err
}
