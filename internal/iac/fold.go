package iac

import "strings"

// alike reports whether two ids are the same but for the case of the letters A to Z. Clouds tell nothing else apart by
// case; [strings.EqualFold] would take the long s (U+017F) for an s and the Kelvin sign (U+212A) for a k, and so one id for
// another one that no cloud knows.
func alike(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if small(a[i]) != small(b[i]) {
			return false
		}
	}
	return true
}

// lower is an id with the letters A to Z made small, and nothing else.
func lower(s string) string {
	i := strings.IndexFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' })
	if i < 0 {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		b[i] = small(b[i])
	}
	return string(b)
}

func small(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
