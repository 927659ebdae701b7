package iac

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// maxInterned is how many names of attributes are kept to be used again, and maxInternedLen how long they are at most.
const (
	maxInterned    = 4096
	maxInternedLen = 64
)

// decoder turns JSON that scan has passed over into the values that encoding/json makes of it, numbers as json.Number.
// Stricter than encoding/json, it refuses what two programs may read in two ways: names that come twice in an object,
// and invalid UTF-8.
type decoder struct {
	raw   []byte
	pos   int
	names map[string]string
	// left is how much memory may still be taken, roughly, in bytes: two bytes of JSON can become a map.
	left int
}

// What values take besides their text, roughly, in bytes. A map's members are kept in groups of eight.
const (
	sizeValue = 16
	sizeText  = 24 // of strings, numbers and lists
	sizeMap   = 48
	sizeGroup = 288
)

// errTooMuch is for values that take more memory than is left. It is no fault of theirs.
var errTooMuch = &shapeError{text: "takes too much memory"}

// shapeError is what is wrong with a value, and where in it.
type shapeError struct{ path, text string }

func (e *shapeError) Error() string { return e.text }

func (e *shapeError) within(step string) *shapeError {
	return &shapeError{path: step + e.path, text: e.text}
}

// decode returns the value of raw, which may be changed by it.
func (d *decoder) decode(raw []byte) (any, *shapeError) {
	d.raw, d.pos = raw, 0
	return d.value()
}

func (d *decoder) next() byte {
	for {
		switch c := d.raw[d.pos]; c {
		case ' ', '\n', '\r', '\t':
			d.pos++
		default:
			return c
		}
	}
}

func (d *decoder) value() (any, *shapeError) {
	if d.left -= sizeValue; d.left < 0 {
		return nil, errTooMuch
	}
	switch c := d.next(); c {
	case '{':
		return d.object()
	case '[':
		return d.list()
	case '"':
		b, err := d.text()
		d.left -= sizeText + len(b)
		return string(b), err
	case 't':
		d.pos += len("true")
		return true, nil
	case 'f':
		d.pos += len("false")
		return false, nil
	case 'n':
		d.pos += len("null")
		return nil, nil
	}
	from := d.pos
	for d.pos < len(d.raw) && inNumber(d.raw[d.pos]) {
		d.pos++
	}
	d.left -= sizeText + d.pos - from
	return json.Number(d.raw[from:d.pos]), nil
}

func inNumber(c byte) bool {
	return '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

func (d *decoder) object() (any, *shapeError) {
	d.pos++
	d.left -= sizeMap
	out := map[string]any{}
	for {
		switch d.next() {
		case '}':
			d.pos++
			return out, nil
		case ',':
			d.pos++
			continue
		}
		b, err := d.text()
		if err != nil {
			return nil, err
		}
		if len(out)%8 == 0 {
			d.left -= sizeGroup
		}
		name := d.name(b)
		if _, twice := out[name]; twice {
			return nil, &shapeError{path: "." + name, text: "comes twice"}
		}
		d.next()
		d.pos++ // the colon
		v, err := d.value()
		if err == errTooMuch {
			return nil, err
		} else if err != nil {
			return nil, err.within("." + name)
		}
		out[name] = v
	}
}

func (d *decoder) list() (any, *shapeError) {
	d.pos++
	d.left -= sizeText
	out := []any{}
	for {
		switch d.next() {
		case ']':
			d.pos++
			return out, nil
		case ',':
			d.pos++
			continue
		}
		v, err := d.value()
		if err == errTooMuch {
			return nil, err
		} else if err != nil {
			return nil, err.within("[" + strconv.Itoa(len(out)) + "]")
		}
		out = append(out, v)
	}
}

// text returns the text of the string that begins here; valid until the next change of raw.
func (d *decoder) text() ([]byte, *shapeError) {
	from := d.pos
	d.pos++
	for {
		d.pos += unmarked(d.raw[d.pos:])
		if d.raw[d.pos] == '"' {
			break
		}
		d.pos += 2
	}
	d.pos++
	b := unquote(d.raw[from:d.pos])
	if !utf8.Valid(b) {
		return nil, &shapeError{text: "is not valid UTF-8"}
	}
	return b, nil
}

// name returns b as a string; attributes have the same names in thousands of resources, so most are kept once.
func (d *decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	s := string(b)
	d.left -= len(b)
	if len(b) <= maxInternedLen && len(d.names) < maxInterned {
		if d.names == nil {
			d.names = map[string]string{}
		}
		d.names[s] = s
	}
	return s
}
