package iac

import (
	"fmt"
	"io"
	"strconv"
)

const (
	// bufferSize is how much of the input is held at a time.
	bufferSize = 64 << 10
	// maxDepth is how deeply values may be nested. Terraform's own are some dozens of levels deep.
	maxDepth = 1000
	// maxText bounds names, addresses and versions; values of resources have the bound of their resource.
	maxText = 64 << 10
	// maxEmpty is how often in a row a reader may return nothing before it is given up.
	maxEmpty = 100
)

// scan goes through JSON (RFC 8259) from the front, and checks all of it. What is not asked for is passed over in the
// buffer, without copying or allocating. One goroutine at a time.
type scan struct {
	r        io.Reader
	buf      []byte
	pos, end int
	base     int64 // offset of buf[0] in the text
	err      error // what the reader ended with
	nest     []byte
	path     []byte // where we are: "resource_changes[12].change"
	key      []byte

	// What is grabbed of the values passed over: from buf[mark] on, unless mark is negative.
	grabbed []byte
	mark    int
	limit   int
	over    bool
}

// newScan begins at the front of r, of which base bytes have passed already.
func newScan(r io.Reader, base int64) *scan {
	return &scan{r: r, base: base, buf: make([]byte, bufferSize), mark: -1}
}

// offset is where in the text the next byte stands.
func (s *scan) offset() int64 { return s.base + int64(s.pos) }

// fill reads more when all in the buffer is used up; it reports whether there is more.
func (s *scan) fill() bool {
	if s.err != nil {
		return false
	}
	if s.mark >= 0 {
		s.take()
		s.mark = 0
	}
	if s.over {
		s.mark = -1
	}
	s.base += int64(s.end)
	s.pos, s.end = 0, 0
	for range maxEmpty {
		n, err := s.r.Read(s.buf)
		s.end, s.err = n, err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// take moves what is marked to what is grabbed.
func (s *scan) take() {
	part := s.buf[s.mark:s.pos]
	if len(s.grabbed)+len(part) > s.limit {
		s.over = true
		return
	}
	s.grabbed = append(s.grabbed, part...)
}

// grab passes over a value and appends its bytes to dst; fits is false, and dst no longer than it was, when dst would
// become longer than limit.
func (s *scan) grab(dst []byte, limit int) (out []byte, fits bool, err error) {
	if _, err := s.next(); err != nil {
		return dst, false, err
	}
	s.grabbed, s.mark, s.limit, s.over = dst, s.pos, limit, false
	err = s.skip()
	if err == nil && s.mark >= 0 {
		s.take()
	}
	out, fits = s.grabbed, !s.over
	s.grabbed, s.mark, s.over = nil, -1, false
	if !fits {
		out = out[:len(dst)]
	}
	return out, fits, err
}

// peek returns the next byte; ok is false at the end.
func (s *scan) peek() (c byte, ok bool) {
	if s.pos == s.end && !s.fill() {
		return 0, false
	}
	return s.buf[s.pos], true
}

// next returns the next byte that is not white space, and stays before it. The end is an error.
func (s *scan) next() (byte, error) {
	for {
		for s.pos < s.end {
			c := s.buf[s.pos]
			if c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
				return c, nil
			}
			s.pos++
		}
		if !s.fill() {
			return 0, s.ended()
		}
	}
}

// finish makes sure that nothing but white space follows.
func (s *scan) finish() error {
	if c, err := s.next(); err == nil {
		return s.syntax("%s after the end of the plan", shownByte(c))
	}
	if s.err != io.EOF {
		return s.ended()
	}
	return nil
}

func (s *scan) open(c byte) error {
	if len(s.nest) >= maxDepth {
		return &ReadError{Offset: s.offset(), Path: s.where(), Text: fmt.Sprintf("values are nested more than %d levels deep", maxDepth)}
	}
	s.nest = append(s.nest, c)
	s.pos++
	return nil
}

func (s *scan) shut() {
	s.nest = s.nest[:len(s.nest)-1]
	s.pos++
}

// skip passes over one value.
func (s *scan) skip() error {
	outer := len(s.nest)
	for {
		c, err := s.next()
		if err != nil {
			return err
		}
		switch c {
		case '{', '[':
			if err := s.open(c); err != nil {
				return err
			}
			d, err := s.next()
			if err != nil {
				return err
			}
			if d == c+2 { // the closing ones stand two after the opening ones
				s.shut()
				break
			}
			if c == '{' {
				if err := s.name(); err != nil {
					return err
				}
			}
			continue
		default:
			if err := s.scalar(c); err != nil {
				return err
			}
		}
		more, err := s.after(outer)
		if err != nil || !more {
			return err
		}
	}
}

// after goes on behind a value within what skip passes over: to the next value, or out of all that ends here.
func (s *scan) after(outer int) (more bool, err error) {
	for len(s.nest) > outer {
		c, err := s.next()
		if err != nil {
			return false, err
		}
		in := s.nest[len(s.nest)-1]
		switch c {
		case ',':
			s.pos++
			if in == '{' {
				return true, s.name()
			}
			return true, nil
		case in + 2:
			s.shut()
		default:
			return false, s.syntax("%s where a comma or the end of the %s is expected", shownByte(c), kindOf(in))
		}
	}
	return false, nil
}

// name passes over a member's name and its colon.
func (s *scan) name() error {
	c, err := s.next()
	if err != nil {
		return err
	}
	if c != '"' {
		return s.syntax("%s where the name of a member is expected", shownByte(c))
	}
	if err := s.quoted(); err != nil {
		return err
	}
	return s.colon()
}

func (s *scan) colon() error {
	c, err := s.next()
	if err != nil {
		return err
	}
	if c != ':' {
		return s.syntax("%s where a colon is expected", shownByte(c))
	}
	s.pos++
	return nil
}

// object goes through an object's members. each must pass over exactly one value; the name is valid until it does, and
// nil when it is longer than names can be that anybody wants. A null is an object without members.
func (s *scan) object(each func(name []byte) error) error {
	c, err := s.next()
	if err != nil {
		return err
	}
	if c == 'n' {
		return s.skip()
	}
	if c != '{' {
		return s.wrong("is not an object")
	}
	return s.members(c, func(int) error {
		name, err := s.member()
		if err != nil {
			return err
		}
		here := len(s.path)
		if here > 0 {
			s.path = append(s.path, '.')
		}
		s.path = append(s.path, name...)
		if err := each(name); err != nil {
			return err
		}
		s.path = s.path[:here]
		return nil
	})
}

// list goes through a list's elements. each must pass over exactly one value. A null is an empty list.
func (s *scan) list(each func() error) error {
	c, err := s.next()
	if err != nil {
		return err
	}
	if c == 'n' {
		return s.skip()
	}
	if c != '[' {
		return s.wrong("is not a list")
	}
	return s.members(c, func(i int) error {
		here := len(s.path)
		s.path = append(strconv.AppendInt(append(s.path, '['), int64(i), 10), ']')
		if err := each(); err != nil {
			return err
		}
		s.path = s.path[:here]
		return nil
	})
}

// members goes through what stands between the brackets that begin here.
func (s *scan) members(c byte, each func(i int) error) error {
	if err := s.open(c); err != nil {
		return err
	}
	d, err := s.next()
	if err != nil {
		return err
	}
	if d == c+2 {
		s.shut()
		return nil
	}
	for i := 0; ; i++ {
		if err := each(i); err != nil {
			return err
		}
		d, err := s.next()
		if err != nil {
			return err
		}
		switch d {
		case ',':
			s.pos++
		case c + 2:
			s.shut()
			return nil
		default:
			return s.syntax("%s where a comma or the end of the %s is expected", shownByte(d), kindOf(c))
		}
	}
}

// member reads a member's name and its colon.
func (s *scan) member() ([]byte, error) {
	c, err := s.next()
	if err != nil {
		return nil, err
	}
	if c != '"' {
		return nil, s.syntax("%s where the name of a member is expected", shownByte(c))
	}
	raw, fits, err := s.grab(s.key[:0], maxName)
	if err != nil {
		return nil, err
	}
	s.key = raw
	if err := s.colon(); err != nil {
		return nil, err
	}
	if !fits {
		return nil, nil
	}
	return unquote(raw), nil
}

// maxName is how long names of members may be that anybody asks for.
const maxName = 1 << 10

func kindOf(open byte) string {
	if open == '{' {
		return "object"
	}
	return "list"
}
