package probe

// startTLSRequest is the LDAP message that asks for TLS, with message identifier 1 (RFC 4511 section 4.14.1):
// SEQUENCE { INTEGER 1, [APPLICATION 23] { [0] "1.3.6.1.4.1.1466.20037" } }.
const startTLSRequest = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"

// Tags of the answer.
const (
	berInteger         = 0x02
	berOctetString     = 0x04
	berEnumerated      = 0x0a
	berSequence        = 0x30
	ldapExtendedAnswer = 0x78 // [APPLICATION 24], constructed
)

// upgradeLDAP is the StartTLS operation of RFC 4511 section 4.14.
func upgradeLDAP(c *plaintext) error {
	if err := c.send([]byte(startTLSRequest)); err != nil {
		return err
	}
	message, err := c.berMessage()
	if err != nil {
		return err
	}
	id, rest, ok := berElement(message, berInteger)
	if !ok {
		return notThat("the server's LDAP message has no identifier")
	}
	answer, _, ok := berElement(rest, ldapExtendedAnswer)
	if !ok {
		return notThat("the server answers StartTLS with another kind of LDAP message")
	}
	code, rest, ok := berElement(answer, berEnumerated)
	if !ok || len(code) != 1 {
		return notThat("the server's answer to StartTLS has no result code")
	}
	_, rest, ok1 := berElement(rest, berOctetString) // matched DN
	text, _, ok2 := berElement(rest, berOctetString)
	if !ok1 || !ok2 {
		return notThat("the server's answer to StartTLS is cut off")
	}
	// A notice of disconnection comes unasked, with the identifier 0 (RFC 4511 section 4.4.1).
	if len(id) != 1 || id[0] > 1 {
		return notThat("the server's LDAP message answers another request than ours")
	}
	if code[0] != 0 || id[0] != 1 {
		return refused("the server refuses StartTLS with LDAP result code %d: %s", code[0], text)
	}
	return nil
}

// berMessage reads one LDAP message and returns what is in its sequence.
func (c *plaintext) berMessage() ([]byte, error) {
	head, err := c.take(2)
	if err != nil {
		return nil, err
	}
	if head[0] != berSequence {
		return nil, notThat("the server does not speak LDAP: its message begins with the byte 0x%02x", head[0])
	}
	n := int(head[1])
	if n >= 0x80 {
		// Active Directory writes every length in four bytes, needed or not; BER allows that where DER does not.
		more := n & 0x7f
		if more == 0 || more > 4 {
			return nil, notThat("the server's LDAP message has a length in a form that LDAP does not have")
		}
		long, err := c.take(more)
		if err != nil {
			return nil, err
		}
		n = 0
		for _, b := range long {
			n = n<<8 | int(b)
		}
	}
	if n > maxPacket {
		return nil, notThat("the server's LDAP message is longer than %d bytes", maxPacket)
	}
	return c.take(n)
}

// berElement takes one element with a one-byte tag and a definite length off the front of b.
func berElement(b []byte, tag byte) (content, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	n, b := int(b[1]), b[2:]
	if n >= 0x80 {
		more := n & 0x7f
		if more == 0 || more > 4 || len(b) < more {
			return nil, nil, false
		}
		n = 0
		for _, d := range b[:more] {
			n = n<<8 | int(d)
		}
		b = b[more:]
	}
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
