package iac

import "strings"

// segments splits an address at its dots, and not within keys: `module.m["a.b"].aws_x.y[0]` is module, m["a.b"], aws_x and
// y[0].
func segments(address string) (out []string) {
	depth, quoted, from := 0, false, 0
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '.' && depth == 0:
			out, from = append(out, address[from:i]), i+1
		}
	}
	return append(out, address[from:])
}

// instance splits the address of an instance from its key: `a.b["k"]` is a.b and `"k"`.
func instance(address string) (base, key string) {
	last := len(address) - len(lastSegment(address))
	at := strings.Index(address[last:], "[")
	if at <= 0 || !strings.HasSuffix(address, "]") {
		return address, ""
	}
	at += last
	return address[:at], address[at+1 : len(address)-1]
}

func lastSegment(address string) string {
	all := segments(address)
	return all[len(all)-1]
}

// keyOf is the key of an instance with its brackets: `["a"]`, `[0]`; empty when it has none.
func keyOf(address string) string {
	base, _ := instance(address)
	return address[len(base):]
}

// resourceName is the name of a resource, without module and key.
func resourceName(address string) string {
	base, _ := instance(address)
	return lastSegment(base)
}
