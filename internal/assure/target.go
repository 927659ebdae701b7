package assure

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Target names one endpoint to look at: [scheme://]host[:port][@ip].
type Target struct {
	// Scheme is the protocol spoken before or around TLS; see [Schemes]. Never empty in a parsed target.
	Scheme string
	// Host is a DNS name in lower case without a trailing dot, possibly with non-ASCII letters (IDN), or an IP
	// address without brackets or zone.
	Host string
	// Port is the TCP port, or the UDP port for h3. Never 0 in a parsed target.
	Port uint16
	// Pin, when valid, is the only address to look at; Host is then used as the server name (SNI) only.
	Pin netip.Addr
}

// Schemes are the protocols a target can speak and their registered default ports (IANA service name registry).
// For all but tls, https and h3 the connection begins in clear text and is upgraded.
var schemes = map[string]uint16{
	"tls": 443, "https": 443, "h3": 443,
	"smtp": 25, "imap": 143, "pop3": 110, "ftp": 21, "ldap": 389, "postgres": 5432, "mysql": 3306,
}

// Schemes returns every scheme with its default port.
func Schemes() map[string]uint16 {
	out := make(map[string]uint16, len(schemes))
	for k, v := range schemes {
		out[k] = v
	}
	return out
}

// ParseTarget reads [scheme://]host[:port][@ip]. An IPv6 host needs brackets when a port follows. A trailing path of
// https:// targets ("https://example.com/") is accepted when it is just "/". The error says what is wrong and never
// quotes more than 100 bytes of the input.
func ParseTarget(s string) (Target, error) {
	fail := func(format string, args ...any) (Target, error) {
		return Target{}, fmt.Errorf("target %s: %s", quoteShort(s), fmt.Sprintf(format, args...))
	}
	in := strings.TrimSpace(s)
	if in == "" {
		return Target{}, errors.New("target is empty: want [scheme://]host[:port][@ip]")
	}
	if len(in) > 512 {
		return fail("longer than 512 bytes")
	}
	if !utf8.ValidString(in) {
		return fail("not valid UTF-8")
	}
	t := Target{Scheme: "tls"}
	rest := in
	if scheme, after, ok := strings.Cut(in, "://"); ok {
		t.Scheme = strings.ToLower(scheme)
		rest = after
		if _, known := schemes[t.Scheme]; !known {
			return fail("unknown scheme %s: want one of tls, https, smtp, imap, pop3, ftp, ldap, postgres, mysql, h3", quoteShort(scheme))
		}
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/?#") {
		return fail("has a path; give only host and port")
	}
	if host, pin, ok := strings.Cut(rest, "@"); ok {
		rest = host
		ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(pin, "["), "]"))
		if err != nil || ip.Zone() != "" {
			return fail("what follows @ must be an IP address, not %s", quoteShort(pin))
		}
		t.Pin = ip.Unmap()
	}
	host, port, err := splitHostPort(rest)
	if err != nil {
		return fail("%v", err)
	}
	t.Port = schemes[t.Scheme]
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fail("port %s is not a number from 1 to 65535", quoteShort(port))
		}
		t.Port = uint16(n)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return fail("an address with a zone cannot be looked at from elsewhere")
		}
		t.Host = ip.Unmap().String()
		return t, nil
	}
	t.Host = strings.ToLower(strings.TrimSuffix(host, "."))
	if err := checkHost(t.Host); err != nil {
		return fail("%v", err)
	}
	return t, nil
}

func splitHostPort(s string) (host, port string, err error) {
	if strings.HasPrefix(s, "[") {
		inner, after, ok := strings.Cut(s[1:], "]")
		if !ok {
			return "", "", errors.New("missing ] after an IPv6 address")
		}
		if _, err := netip.ParseAddr(inner); err != nil {
			return "", "", errors.New("brackets must hold an IPv6 address")
		}
		if after == "" {
			return inner, "", nil
		}
		if after[0] != ':' || after == ":" {
			return "", "", errors.New("after ] comes nothing or :port")
		}
		return inner, after[1:], nil
	}
	if strings.Count(s, ":") > 1 {
		if _, err := netip.ParseAddr(s); err == nil {
			return s, "", nil // an IPv6 address alone
		}
		return "", "", errors.New("more than one colon; put an IPv6 address in brackets")
	}
	host, port, found := strings.Cut(s, ":")
	if host == "" {
		return "", "", errors.New("no host")
	}
	if found && port == "" {
		return "", "", errors.New("nothing after the colon")
	}
	return host, port, nil
}

// checkHost applies the limits of RFC 1035 section 2.3.4 (63 bytes a label, 253 a name) and refuses characters that
// no host name has. Underscores are let through because real zones have them. Whether an internationalised name maps
// to a valid one is decided where it is looked up.
func checkHost(h string) error {
	if h == "" {
		return errors.New("no host")
	}
	if len(h) > 253 {
		return errors.New("host name longer than 253 bytes")
	}
	for label := range strings.SplitSeq(h, ".") {
		switch {
		case label == "":
			return errors.New("host name has an empty label")
		case len(label) > 63:
			return errors.New("a label of the host name is longer than 63 bytes")
		case label == "*":
			return errors.New("a wildcard cannot be looked at; name a host it covers")
		case label[0] == '-' || label[len(label)-1] == '-':
			return errors.New("a label of the host name begins or ends with a hyphen")
		}
		for _, r := range label {
			ok := r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' ||
				r >= 0x80 && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || r == '\u200c' || r == '\u200d' || r == '・')
			if !ok {
				return fmt.Errorf("host name holds %q", r)
			}
		}
	}
	labels := strings.Split(h, ".")
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' && strings.Trim(last, "0123456789") == "" {
		return errors.New("looks like an IPv4 address but is not one")
	}
	return nil
}

func quoteShort(s string) string {
	if len(s) > 100 {
		cut := 100
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}

// IsIP reports whether the host is an IP address rather than a name.
func (t Target) IsIP() bool {
	_, err := netip.ParseAddr(t.Host)
	return err == nil
}

// String gives the canonical form: the scheme is left out for tls, the port where it is the scheme's default.
// ParseTarget(t.String()) gives t again.
func (t Target) String() string {
	var b strings.Builder
	if t.Scheme != "tls" {
		b.WriteString(t.Scheme)
		b.WriteString("://")
	}
	if strings.Contains(t.Host, ":") {
		b.WriteString("[" + t.Host + "]")
	} else {
		b.WriteString(t.Host)
	}
	if t.Port != schemes[t.Scheme] {
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(int(t.Port)))
	}
	if t.Pin.IsValid() {
		b.WriteByte('@')
		b.WriteString(t.Pin.String())
	}
	return b.String()
}

// MarshalText gives the canonical form.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is [ParseTarget].
func (t *Target) UnmarshalText(b []byte) error {
	p, err := ParseTarget(string(b))
	if err != nil {
		return err
	}
	*t = p
	return nil
}
