package iac

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// scalar passes over a value that begins with c and is neither an object nor a list.
func (s *scan) scalar(c byte) error {
	switch {
	case c == '"':
		return s.quoted()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	}
	return s.syntax("%s where a value is expected", shownByte(c))
}

func (s *scan) word(w string) error {
	for i := range len(w) {
		c, ok := s.peek()
		if !ok {
			return s.ended()
		}
		if c != w[i] {
			return s.syntax("%s where %s is expected", shownByte(c), w)
		}
		s.pos++
	}
	return nil
}

func (s *scan) number() error {
	if c, _ := s.peek(); c == '-' {
		s.pos++
	}
	if c, _ := s.peek(); c == '0' {
		s.pos++
	} else if err := s.digits(); err != nil {
		return err
	}
	if c, _ := s.peek(); c == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if c, _ := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c, _ := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

// digits passes over digits, at least one.
func (s *scan) digits() error {
	for n := 0; ; n++ {
		c, ok := s.peek()
		if ok && '0' <= c && c <= '9' {
			s.pos++
			continue
		}
		switch {
		case n > 0:
			return nil
		case !ok:
			return s.ended()
		}
		return s.syntax("%s where a digit is expected", shownByte(c))
	}
}

// quoted passes over a string.
func (s *scan) quoted() error {
	s.pos++
	for {
		s.pos += unmarked(s.buf[s.pos:s.end])
		c, ok := s.peek()
		if !ok {
			return s.ended()
		}
		switch {
		case c == '"':
			s.pos++
			return nil
		case c == '\\':
			s.pos++
			if err := s.escape(); err != nil {
				return err
			}
		case c < ' ':
			return s.syntax("a control character (%s) in a string", shownByte(c))
		}
	}
}

// escape passes over what follows a backslash.
func (s *scan) escape() error {
	c, ok := s.peek()
	if !ok {
		return s.ended()
	}
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
		s.pos++
		for range 4 {
			c, ok := s.peek()
			if !ok {
				return s.ended()
			}
			if hex(c) < 0 {
				return s.syntax(`%s where \u wants four hexadecimal digits`, shownByte(c))
			}
			s.pos++
		}
		return nil
	}
	return s.syntax("%s after a backslash", shownByte(c))
}

// unmarked returns how many bytes at the front of b are neither a quote, nor a backslash, nor a control character. It looks
// at eight at a time: most of a plan is text. The race detector would make it some twenty times as slow, and has nothing
// to find in it: every change of b is seen where it is filled.
//
//go:norace
func unmarked(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^ones*'"', w^ones*'\\'
		// A byte's top bit is set here if it is what is looked for; bytes above the first found may be wrong.
		found := ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// unquote returns the text of a string that scan has passed over, quotes included, in place. As in encoding/json, half
// a surrogate pair becomes U+FFFD; invalid UTF-8 stays.
func unquote(raw []byte) []byte {
	raw = raw[1 : len(raw)-1]
	i := bytes.IndexByte(raw, '\\')
	if i < 0 {
		return raw
	}
	out := raw[:i]
	for i < len(raw) {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		c := raw[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(raw[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if len(raw) >= i+6 && raw[i] == '\\' && raw[i+1] == 'u' {
					pair = utf16.DecodeRune(r, hex4(raw[i+2:]))
				}
				if r = pair; pair != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r) // never longer than its escape
			continue
		}
		out = append(out, c)
	}
	return out
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		r = r<<4 | rune(hex(c))
	}
	return r
}

func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
