package probe

import (
	"bytes"
	"encoding/binary"
)

// postgresSSLRequest is the SSLRequest message: its length 8 and the code 80877103 (PostgreSQL documentation, "Message
// Formats").
var postgresSSLRequest = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), 80877103)

// upgradePostgres asks for TLS as the PostgreSQL documentation describes it under "SSL Session Encryption".
func upgradePostgres(c *plaintext) error {
	if err := c.send(postgresSSLRequest); err != nil {
		return err
	}
	b, err := c.take(1)
	if err != nil {
		return err
	}
	switch b[0] {
	case 'S':
		return nil
	case 'N':
		return refused("the server has no TLS: it answers N")
	case 'E':
		text, err := c.postgresError()
		if err != nil {
			return err
		}
		return refused("the server answers with an error: %s", text)
	}
	return notThat("the server does not speak PostgreSQL: it answers with the byte 0x%02x", b[0])
}

// postgresError reads an ErrorResponse whose first byte was read. A server too old to know the request, or one that
// cannot take a connection just now, sends it.
func (c *plaintext) postgresError() (string, error) {
	head, err := c.take(4)
	if err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 5 || n > maxPacket {
		return "", notThat("the server's error message has the length %d", n)
	}
	body, err := c.take(int(n) - 4)
	if err != nil {
		return "", err
	}
	c.buf = nil // the connection ends here
	// Fields of one byte for the type and a text up to a zero byte; M is the message (protocol 3).
	for f := range bytes.SplitSeq(body, []byte{0}) {
		if len(f) > 1 && f[0] == 'M' {
			return string(f[1:]), nil
		}
	}
	return "", nil
}

// Capabilities of a MySQL client and server (MySQL source documentation, "Capabilities Flags").
const (
	mysqlProtocol41       = 0x00000200
	mysqlSSL              = 0x00000800
	mysqlSecureConnection = 0x00008000
)

// mysqlUTF8 is the number of the character set utf8 (collation utf8_general_ci), which every version has.
const mysqlUTF8 = 33

// upgradeMySQL reads the server's greeting and asks for TLS (MySQL source documentation, "Protocol::HandshakeV10" and
// "Protocol::SSLRequest"). The server gives no answer: TLS begins at once. MariaDB does the same.
func upgradeMySQL(c *plaintext) error {
	head, err := c.take(4)
	if err != nil {
		return err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if head[3] != 0 || n == 0 || n > maxPacket {
		return notThat("the server does not speak MySQL: its first packet has the length %d and the number %d", n, head[3])
	}
	body, err := c.take(n)
	if err != nil {
		return err
	}
	switch body[0] {
	case 0x0a:
	case 0xff:
		text := body[1:]
		if len(text) >= 2 {
			text = text[2:] // the error's number
		}
		return refused("the server answers with an error: %s", text)
	default:
		return notThat("the server speaks version %d of the MySQL protocol, not 10", body[0])
	}
	capabilities, ok := mysqlCapabilities(body[1:])
	if !ok {
		return notThat("the server's MySQL greeting is cut off")
	}
	if capabilities&mysqlSSL == 0 {
		return refused("the server does not offer TLS")
	}
	request := []byte{32, 0, 0, 1} // length and number of the packet
	request = binary.LittleEndian.AppendUint32(request, mysqlProtocol41|mysqlSSL|mysqlSecureConnection)
	request = binary.LittleEndian.AppendUint32(request, 1<<24) // largest packet we would take
	request = append(request, mysqlUTF8)
	return c.send(append(request, make([]byte, 23)...))
}

// mysqlCapabilities finds the lower half of the server's capabilities in a greeting: after its version as text, a
// connection number (4 bytes), a scramble (8) and a filler (1).
func mysqlCapabilities(b []byte) (uint16, bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 || len(b) < i+1+13+2 {
		return 0, false
	}
	return binary.LittleEndian.Uint16(b[i+1+13:]), true
}
