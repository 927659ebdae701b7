package iac

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// ReadError says why an input cannot be read as a plan: it is another sort of file, malformed, cut off, or larger than
// the bounds; or reading it went wrong, then it wraps the reader's error. It never holds values of the plan.
type ReadError struct {
	// Offset is where in the input it stands, in bytes from 0; in what was decoded from UTF-16, as UTF-8. Negative when that
	// says nothing.
	Offset int64
	// Path is where in the plan: "resource_changes[12].change.before"; empty at the top.
	Path string
	// Address is the resource, where one is concerned and known.
	Address string
	// Text is what is wrong, Hint what to do about it.
	Text, Hint string
	Err        error

	syntax bool // it is not JSON
}

func (e *ReadError) Error() string {
	var b strings.Builder
	b.WriteString("read plan: ")
	if e.Address != "" {
		b.WriteString(shown(e.Address) + ": ")
	}
	b.WriteString(e.Text)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	switch {
	case e.Path != "" && e.Offset >= 0:
		fmt.Fprintf(&b, " (in %s, at byte %d)", shown(e.Path), e.Offset)
	case e.Path != "":
		fmt.Fprintf(&b, " (in %s)", shown(e.Path))
	case e.Offset >= 0:
		fmt.Fprintf(&b, " (at byte %d)", e.Offset)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *ReadError) Unwrap() error { return e.Err }

func (s *scan) where() string { return string(s.path) }

// syntax is for what is not JSON.
func (s *scan) syntax(format string, args ...any) error {
	return &ReadError{Offset: s.offset(), Path: s.where(), Text: "this is not valid JSON: " + fmt.Sprintf(format, args...), syntax: true}
}

// wrong is for JSON that is not as the format wants it.
func (s *scan) wrong(text string) error {
	return &ReadError{Offset: s.offset(), Path: s.where(), Text: "this " + text}
}

// ended is for an input that ends too early.
func (s *scan) ended() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return &ReadError{
			Offset: s.offset(), Path: s.where(), Text: "the plan is cut off", Err: io.ErrUnexpectedEOF, syntax: true,
			Hint: "see whether the command that wrote it failed, or the disk was full",
		}
	}
	var own *ReadError
	if errors.As(s.err, &own) {
		return s.err
	}
	return &ReadError{Offset: s.offset(), Path: s.where(), Text: "reading the plan", Err: s.err}
}

// shown makes text of a plan fit for a message: one line, not too long, nothing that a terminal obeys.
func shown(s string) string {
	const most = 200
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}

func shownByte(c byte) string {
	if c < 0x80 {
		return fmt.Sprintf("%q", rune(c))
	}
	return fmt.Sprintf("the byte 0x%02x", c)
}
