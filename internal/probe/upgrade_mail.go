package probe

import (
	"net"
	"net/netip"
	"strings"
)

// reply is an answer of SMTP or FTP: three digits and text, possibly over many lines (RFC 5321 section 4.2.1,
// RFC 959 section 4.2).
type reply struct {
	code  string
	lines []string // text without codes, in order
}

// text is the reply as one line, for people.
func (r reply) text() string { return strings.TrimSpace(r.code + " " + strings.Join(r.lines, " ")) }

// reply reads one. In SMTP every line has the code; in FTP only the first and the last need it.
func (c *plaintext) reply(protocol string, everyLine bool) (reply, error) {
	var r reply
	for {
		s, err := c.line()
		if err != nil {
			return r, err
		}
		code, rest, last, ok := splitReply(s)
		switch {
		case r.code == "" && !ok:
			return r, notThat("the server does not speak %s: it sent %q", protocol, clipDetail(s))
		case r.code == "":
			r.code = code
		case everyLine && (!ok || code != r.code):
			return r, notThat("the server's %s reply changes its code from line to line", protocol)
		case !ok || code != r.code:
			rest, last = s, false
		}
		r.lines = append(r.lines, rest)
		if last {
			return r, nil
		}
	}
}

func splitReply(s string) (code, rest string, last, ok bool) {
	if len(s) < 3 || s[0] < '1' || s[0] > '5' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
		return "", "", false, false
	}
	switch {
	case len(s) == 3:
		return s, "", true, true
	case s[3] == ' ':
		return s[:3], s[4:], true, true
	case s[3] == '-':
		return s[:3], s[4:], false, true
	}
	return "", "", false, false
}

// upgradeSMTP is STARTTLS of RFC 3207.
func upgradeSMTP(c *plaintext) error {
	r, err := c.reply("SMTP", true)
	if err != nil {
		return err
	}
	switch {
	case r.code[0] == '4' || r.code[0] == '5':
		return refused("the server greets with a refusal: %s", r.text())
	case r.code != "220":
		return notThat("the server greets with %q, where SMTP has 220", clipDetail(r.text()))
	}
	if err := c.say("EHLO " + addressLiteral(c.local)); err != nil {
		return err
	}
	if r, err = c.reply("SMTP", true); err != nil {
		return err
	}
	switch {
	case r.code[0] == '4' || r.code[0] == '5':
		return refused("the server refuses EHLO: %s", r.text())
	case r.code != "250":
		return notThat("the server answers EHLO with %q", clipDetail(r.text()))
	}
	// The first line is the server's name, extensions follow (RFC 5321 section 4.1.1.1).
	offered := false
	for _, l := range r.lines[1:] {
		word, _, _ := strings.Cut(l, " ")
		offered = offered || strings.EqualFold(word, "STARTTLS")
	}
	if !offered {
		return refused("the server does not offer STARTTLS")
	}
	if err := c.say("STARTTLS"); err != nil {
		return err
	}
	if r, err = c.reply("SMTP", true); err != nil {
		return err
	}
	switch {
	case r.code == "220":
		return nil
	case r.code[0] == '4' || r.code[0] == '5':
		return refused("the server refuses STARTTLS: %s", r.text())
	}
	return notThat("the server answers STARTTLS with %q", clipDetail(r.text()))
}

// addressLiteral is how a client without a name of its own introduces itself (RFC 5321 section 4.1.3).
func addressLiteral(local string) string {
	host, _, err := net.SplitHostPort(local)
	ip, err2 := netip.ParseAddr(host)
	switch {
	case err != nil || err2 != nil:
		return "[127.0.0.1]"
	case ip.Unmap().Is4():
		return "[" + ip.Unmap().String() + "]"
	}
	return "[IPv6:" + ip.WithZone("").String() + "]"
}

// upgradeIMAP is STARTTLS of RFC 9051 section 6.2.1. The capabilities are not asked for: a server that does not offer
// it says so in its answer.
func upgradeIMAP(c *plaintext) error {
	s, err := c.line()
	if err != nil {
		return err
	}
	star, rest, _ := strings.Cut(s, " ")
	word, _, _ := strings.Cut(rest, " ")
	switch {
	case star != "*":
		return notThat("the server does not speak IMAP: it sent %q", clipDetail(s))
	case strings.EqualFold(word, "BYE"):
		return refused("the server greets with a refusal: %s", s)
	case strings.EqualFold(word, "PREAUTH"):
		return refused("the server takes the connection for signed in already, where STARTTLS is not allowed")
	case !strings.EqualFold(word, "OK"):
		return notThat("the server greets with %q, where IMAP has * OK", clipDetail(s))
	}
	const tag = "a1"
	if err := c.say(tag + " STARTTLS"); err != nil {
		return err
	}
	for {
		if s, err = c.line(); err != nil {
			return err
		}
		head, rest, _ := strings.Cut(s, " ")
		word, _, _ := strings.Cut(rest, " ")
		switch {
		case head == "*" && strings.EqualFold(word, "BYE"):
			return refused("the server ends the connection: %s", s)
		case head == "*":
			continue // an untagged response may come at any time; the bound on clear text ends a stream of them
		case head != tag:
			return notThat("the server answers STARTTLS with %q", clipDetail(s))
		case strings.EqualFold(word, "OK"):
			return nil
		case strings.EqualFold(word, "NO"), strings.EqualFold(word, "BAD"):
			return refused("the server refuses STARTTLS: %s", s)
		}
		return notThat("the server answers STARTTLS with %q", clipDetail(s))
	}
}

// upgradePOP3 is STLS of RFC 2595 section 4.
func upgradePOP3(c *plaintext) error {
	s, err := c.line()
	if err != nil {
		return err
	}
	switch {
	case hasStatus(s, "-ERR"):
		return refused("the server greets with a refusal: %s", s)
	case !hasStatus(s, "+OK"):
		return notThat("the server does not speak POP3: it sent %q", clipDetail(s))
	}
	if err := c.say("STLS"); err != nil {
		return err
	}
	if s, err = c.line(); err != nil {
		return err
	}
	switch {
	case hasStatus(s, "+OK"):
		return nil
	case hasStatus(s, "-ERR"):
		return refused("the server refuses STLS: %s", s)
	}
	return notThat("the server answers STLS with %q", clipDetail(s))
}

// hasStatus reports whether a POP3 line begins with the status indicator as a word.
func hasStatus(line, status string) bool {
	word, _, _ := strings.Cut(line, " ")
	return strings.EqualFold(word, status)
}

// upgradeFTP is AUTH TLS of RFC 4217 section 4.
func upgradeFTP(c *plaintext) error {
	r, err := c.reply("FTP", false)
	// 120 announces a delay; the greeting proper follows (RFC 959 section 5.4).
	for err == nil && r.code == "120" {
		r, err = c.reply("FTP", false)
	}
	if err != nil {
		return err
	}
	switch {
	case r.code[0] == '4' || r.code[0] == '5':
		return refused("the server greets with a refusal: %s", r.text())
	case r.code != "220":
		return notThat("the server greets with %q, where FTP has 220", clipDetail(r.text()))
	}
	if err := c.say("AUTH TLS"); err != nil {
		return err
	}
	if r, err = c.reply("FTP", false); err != nil {
		return err
	}
	switch {
	case r.code == "234":
		return nil
	case r.code[0] == '4' || r.code[0] == '5':
		return refused("the server refuses AUTH TLS: %s", r.text())
	}
	return notThat("the server answers AUTH TLS with %q", clipDetail(r.text()))
}
