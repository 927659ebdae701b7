package install

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

// Placeholder stands in paths and names of secrets for the certificate's name, made safe.
const Placeholder = "{certificate}"

// SafeName is the certificate's name as it stands in paths: letters, digits, full stops, hyphens and underscores. A name
// that had to be changed for that carries eight hex digits of its SHA-256, so that two certificates never meet in one
// file.
func SafeName(certificate string) string {
	const longest = 100
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		case r == '*':
			return '_'
		}
		return '-'
	}, certificate)
	// No hidden files, no "..", nothing that a command could take for an option, no ending that Windows drops.
	out = strings.Trim(strings.TrimLeft(out, ".-"), ".")
	if len(out) > longest {
		out = out[:longest]
	}
	if out == certificate {
		return out
	}
	return strings.TrimPrefix(out+"-"+short(certificate), "-")
}

// SecretName is the certificate's name as a Kubernetes object can carry it: a DNS subdomain (RFC 1123) of at most 253
// characters. The rule about changed names is that of [SafeName].
func SecretName(certificate string) string {
	const longest = 200
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, certificate)
	if len(out) > longest {
		out = out[:longest]
	}
	if !isSubdomain(out) {
		out = strings.Trim(strings.ReplaceAll(out, ".", "-"), "-")
	}
	if out == certificate {
		return out
	}
	return strings.TrimPrefix(out+"-"+short(certificate), "-")
}

func short(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

var subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// isSubdomain is the rule of Kubernetes for names of objects (RFC 1123 subdomain).
func isSubdomain(s string) bool { return len(s) <= 253 && subdomain.MatchString(s) }

func expand(s, certificate string) string {
	return strings.ReplaceAll(s, Placeholder, SafeName(certificate))
}
