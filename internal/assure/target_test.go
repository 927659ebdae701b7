package assure_test

import (
	"testing"

	. "github.com/notafter/notafter/internal/assure"
)

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]string{
		"example.com":                     "tls example.com 443 invalid IP",
		"Example.COM.":                    "tls example.com 443 invalid IP",
		"mail.example.com:465":            "tls mail.example.com 465 invalid IP",
		"smtp://mx.example.com:587":       "smtp mx.example.com 587 invalid IP",
		"smtp://mx.example.com":           "smtp mx.example.com 25 invalid IP",
		"https://example.com/":            "https example.com 443 invalid IP",
		"h3://example.com":                "h3 example.com 443 invalid IP",
		"192.0.2.7:8443":                  "tls 192.0.2.7 8443 invalid IP",
		"[2001:db8::7]:8443":              "tls 2001:db8::7 8443 invalid IP",
		"2001:db8::7":                     "tls 2001:db8::7 443 invalid IP",
		"example.com@192.0.2.7":           "tls example.com 443 192.0.2.7",
		"example.com:8443@2001:db8::7":    "tls example.com 8443 2001:db8::7",
		"postgres://db.example.com@[::1]": "postgres db.example.com 5432 ::1",
		"bücher.example":                  "tls bücher.example 443 invalid IP",
		"_dmarc.example.com":              "tls _dmarc.example.com 443 invalid IP",
		"  example.com \n":                "tls example.com 443 invalid IP",
		"::ffff:192.0.2.1":                "tls 192.0.2.1 443 invalid IP",
	} {
		got, err := ParseTarget(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if s := got.Scheme + " " + got.Host + " " + uitoa(got.Port) + " " + got.Pin.String(); s != want {
			t.Errorf("%q: got %q, want %q", in, s, want)
		}
		if again, err := ParseTarget(got.String()); err != nil || again != got {
			t.Errorf("%q: canonical form %q reads as %+v, %v", in, got.String(), again, err)
		}
	}
	for _, in := range []string{
		"", " ", "gopher://x", "example.com:0", "example.com:65536", "example.com:", ":443", "a b", "ex\x00ample", "exa/mple",
		"https://example.com/path", "[::1", "[x]:1", "1.2.3", "1.2.3.4.5", "*.example.com", "-x.example", "x..y", "example.com@host", "fe80::1%eth0", "a:b:c", "\xff",
	} {
		if got, err := ParseTarget(in); err == nil {
			t.Errorf("%q is accepted as %+v", in, got)
		}
	}
}

func uitoa(n uint16) string {
	if n == 0 {
		return "0"
	}
	var b []byte
	for ; n > 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"example.com", "smtp://mx.example.com:587", "[::1]:443", "x@1.2.3.4", "bücher.example", "h3://[::1]@::1", "://", "a@b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTarget(s)
		if err != nil {
			return
		}
		again, err := ParseTarget(got.String())
		if err != nil || again != got {
			t.Fatalf("%q -> %q -> %+v, %v", s, got.String(), again, err)
		}
	})
}
