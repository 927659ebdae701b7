package iac

import (
	"encoding/binary"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// wide reads UTF-16 as UTF-8: Windows PowerShell writes UTF-16 when output is redirected to a file. In the end it gives a
// [ReadError] for what is not UTF-16.
type wide struct {
	r     io.Reader
	order binary.ByteOrder
	raw   []byte
	n     int   // bytes of raw that are not used yet, from the front
	done  int64 // bytes of the input before raw
	err   error
}

func (w *wide) Read(p []byte) (int, error) {
	if len(p) < 2*utf8.UTFMax {
		return 0, io.ErrShortBuffer
	}
	// A unit of two bytes becomes at most three, a pair of units four.
	if w.n < 4 && w.err == nil {
		n, err := w.r.Read(w.raw[w.n:])
		w.n += n
		w.err = err
	}
	out := p[:0]
	i := 0
	for i+2 <= w.n && len(out)+utf8.UTFMax <= len(p) {
		r := rune(w.order.Uint16(w.raw[i:]))
		size := 2
		if utf16.IsSurrogate(r) {
			if i+4 > w.n && w.err == nil {
				break
			}
			second := rune(0)
			if i+4 <= w.n {
				second = rune(w.order.Uint16(w.raw[i+2:]))
			}
			if r = utf16.DecodeRune(r, second); r == utf8.RuneError {
				w.err, w.n = w.bad(i), i
				break
			}
			size = 4
		}
		out = utf8.AppendRune(out, r)
		i += size
	}
	copy(w.raw, w.raw[i:w.n])
	w.n -= i
	w.done += int64(i)
	switch {
	case len(out) > 0 || w.err == nil:
		return len(out), nil
	case w.err == io.EOF && w.n > 0:
		w.err = w.bad(0)
	}
	return 0, w.err
}

func (w *wide) bad(i int) error {
	return &ReadError{Offset: w.done + int64(i), Text: "this is not valid UTF-16", Hint: "write the plan as UTF-8"}
}
