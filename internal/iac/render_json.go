package iac

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode"
	"unicode/utf8"
)

// JSON writes the verdict as the contract has it: every member is there, and lists are never null.
func (v Verdict) JSON(w io.Writer) error {
	if v.Class == "" {
		v.Class = Safe
	}
	list := make([]Finding, len(v.Findings))
	for i, f := range v.Findings {
		if f.Certificates == nil {
			f.Certificates = []string{}
		}
		if f.HurtsAt != nil {
			at := f.HurtsAt.UTC().Truncate(time.Second)
			f.HurtsAt = &at
		}
		list[i] = f
	}
	v.Findings = list
	return writeEncoded(w, v)
}

// writeEncoded writes JSON that is safe to show on a terminal too: encoding/json escapes the controls of ASCII, and this
// adds the others and those that turn the direction of text around. All of them can only stand inside strings.
func writeEncoded(w io.Writer, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	b := buf.Bytes()
	acts := func(r rune) bool {
		return r != '\n' && (unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029')
	}
	if !bytes.ContainsFunc(b, acts) {
		_, err := w.Write(b)
		return err
	}
	var out bytes.Buffer
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case !acts(r):
			out.Write(b[:n])
		case r > 0xffff: // such as tags (U+E0001), as a surrogate pair (RFC 8259 section 7)
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		b = b[n:]
	}
	_, err := w.Write(out.Bytes())
	return err
}
