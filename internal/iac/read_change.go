package iac

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// element is one element of resource_changes, or of a list of resources, while it is read. What is not needed of it is
// never copied.
type element struct {
	text  []byte // of its own members, one after another
	words [elementFields]span
	got   [elementFields]bool
	// raw holds the values, which come before one knows whether they matter.
	raw    []byte
	values [changeParts]span
	over   bool // one of them did not fit
	do     Action
	light  bool // only words are wanted
	names  [changeParts]bool
	// wrong is what is wrong with it, inner what is wrong with its body: that is nothing to anybody if it does not matter.
	wrong, inner *shapeError
}

type span struct{ from, to int }

// The members of an element that are read.
const (
	fAddress = iota
	fPrevious
	fModule
	fMode
	fType
	fProvider
	fDeposed
	fReason
	fBody
	elementFields
)

// The members of a change that are read.
const (
	pBefore = iota
	pAfter
	pUnknown
	pActions
	changeParts
)

var partNames = [changeParts]string{"before", "after", "after_unknown", "actions"}

func (e *element) reset(light bool) {
	*e = element{text: e.text[:0], raw: e.raw[:0], light: light}
}

func (e *element) word(f int) []byte { return e.text[e.words[f].from:e.words[f].to] }

func (e *element) get(f int) string { return string(e.word(f)) }

// foreign reports whether it is known by now that the element does not matter.
func (e *element) foreign() bool {
	return e.light || e.got[fMode] && string(e.word(fMode)) == "data" || e.got[fType] && !Matters(e.get(fType))
}

// blame notes the first thing that is wrong with it.
func (e *element) blame(path, text string) {
	if e.wrong == nil {
		e.wrong = &shapeError{path, text}
	}
}

// blameBody notes the first thing that is wrong with its body.
func (e *element) blameBody(path, text string) {
	if e.inner == nil {
		e.inner = &shapeError{".change" + path, text}
	}
}

// fieldOf says which member of an element a name is; elementFields for none of them.
func fieldOf(name []byte) int {
	switch string(name) {
	case "address":
		return fAddress
	case "previous_address":
		return fPrevious
	case "module_address":
		return fModule
	case "mode":
		return fMode
	case "type":
		return fType
	case "provider_name":
		return fProvider
	case "deposed", "deposed_key": // in a change, and in a state
		return fDeposed
	case "action_reason":
		return fReason
	case "change", "expressions": // in a change, and in a configuration
		return fBody
	}
	return elementFields
}

// element reads an element. body passes over the member that is its body. What is wrong with the element's shape is
// said when its address is known.
func (in *intake) element(light bool, body func(e *element) error) (*element, error) {
	e, s := &in.e, in.s
	e.reset(light)
	if c, err := s.next(); err != nil {
		return nil, err
	} else if c != '{' {
		return nil, s.wrong("is not an object")
	}
	start := s.offset()
	err := s.object(func(name []byte) error {
		f := fieldOf(name)
		if f == elementFields {
			return s.skip()
		}
		if e.got[f] {
			e.blame("."+string(name), "comes twice")
		}
		e.got[f] = true
		if f == fBody {
			return body(e)
		}
		return in.field(e, f, string(name))
	})
	if err != nil {
		// An address that came before it helps more than a place in a list.
		var bad *ReadError
		if e.got[fAddress] && errors.As(err, &bad) && bad.Address == "" {
			bad.Address = e.get(fAddress)
		}
		return nil, err
	}
	in.p.Speaks = in.p.Speaks || speaksOf(e.word(fType), e.word(fAddress))
	switch {
	case e.wrong != nil:
	case len(e.word(fMode)) == 0:
		e.blame("", "has no mode")
	case len(e.word(fType)) == 0:
		e.blame("", "has no type")
	case len(e.word(fAddress)) == 0:
		e.blame("", "has no address")
	case e.foreign():
	case e.inner != nil:
		e.wrong = e.inner
	case e.over:
		e.blame("", "has more than "+strconv.Itoa(in.o.MaxResource)+" bytes, too many for a resource that renewal may rest on")
	}
	return e, in.shape(e, start)
}

// sizeChange is what a change takes besides its text, roughly, in bytes.
const sizeChange = 512

// decode returns a value of an element, which is at path in it.
func (in *intake) decode(e *element, path string, raw []byte) (any, error) {
	in.d.left = in.left
	v, bad := in.d.decode(raw)
	if bad == errTooMuch {
		return nil, in.keep(in.left + 1)
	}
	in.left = in.d.left
	if bad != nil {
		e.wrong = bad.within(path)
		return nil, in.shape(e, -1)
	}
	return v, nil
}

// shape is what is wrong with an element, as an error.
func (in *intake) shape(e *element, start int64) error {
	if e.wrong == nil {
		return nil
	}
	what := strings.TrimPrefix(e.wrong.path, ".")
	if what == "" {
		what = "this"
	}
	return &ReadError{Offset: start, Path: in.s.where() + e.wrong.path, Address: e.get(fAddress), Text: shown(what) + " " + e.wrong.text}
}

// field reads a member that is a string. A null is as good as none.
func (in *intake) field(e *element, f int, name string) error {
	s := in.s
	c, err := s.next()
	if err != nil {
		return err
	}
	if c != '"' {
		if c != 'n' {
			e.blame("."+name, "is not a string")
		}
		return s.skip()
	}
	from := len(e.text)
	text, fits, err := s.grab(e.text, from+maxText)
	e.text = text
	if err != nil {
		return err
	}
	if !fits {
		e.blame("."+name, "is longer than "+strconv.Itoa(maxText)+" bytes")
		return nil
	}
	word := unquote(text[from:])
	if !utf8.Valid(word) {
		e.blame("."+name, "is not valid UTF-8")
		return nil
	}
	// unquote leaves the text one byte behind the quote.
	e.words[f] = span{from + 1, from + 1 + len(word)}
	return nil
}

// change reads an element of resource_changes or resource_drift, and keeps it if it matters.
func (in *intake) change(into *[]Change, counts bool) error {
	e, err := in.element(false, in.body)
	if err != nil {
		return err
	}
	if string(e.word(fMode)) == "data" {
		return nil
	}
	if counts && string(e.word(fMode)) == "managed" {
		in.p.Seen++
		if e.do != NoOp && e.do != Reading {
			in.p.Changing++
		}
	}
	if e.foreign() {
		if was := e.get(fPrevious); counts && Matters(typeAt(was)) {
			// What is done to it by another name is not read.
			in.p.Incomplete = append(in.p.Incomplete, shown(was)+" becomes "+shown(e.get(fAddress))+", of a type that this version does not know")
			return in.keep(len(e.text))
		}
		return nil
	}
	if m := e.get(fMode); m != "managed" {
		in.p.Incomplete = append(in.p.Incomplete, shown(e.get(fAddress))+" has a mode that this version does not know")
		return in.keep(len(e.text))
	}
	if err := in.keep(sizeChange + len(e.text)); err != nil {
		return err
	}
	c, err := in.made(e)
	if err != nil {
		return err
	}
	*into = append(*into, c)
	return nil
}

// typeAt is the type of the resource that stands at an address.
func typeAt(address string) string {
	parts := strings.Split(bare(address), ".")
	return parts[max(len(parts)-2, 0)]
}

// body reads what an element says about its change.
func (in *intake) body(e *element) error {
	s := in.s
	if c, err := s.next(); err != nil {
		return err
	} else if c != '{' {
		if c != 'n' {
			e.blameBody("", "is not an object")
		}
		return s.skip()
	}
	return s.object(func(name []byte) error {
		p := slices.Index(partNames[:], string(name))
		if p < 0 {
			return s.skip()
		}
		if e.names[p] {
			e.blameBody("."+partNames[p], "comes twice")
		}
		e.names[p] = true
		if p == pActions {
			return in.actions(e)
		}
		if e.foreign() || e.over {
			return s.skip()
		}
		from := len(e.raw)
		raw, fits, err := s.grab(e.raw, in.o.MaxResource)
		e.raw, e.over = raw, !fits
		e.values[p] = span{from, len(raw)}
		return err
	})
}

// pairs are the actions that come in twos.
var pairs = []Action{DeleteCreate, CreateDelete, CreateForget, ForgetCreate}

// actions reads the list of actions.
func (in *intake) actions(e *element) error {
	s := in.s
	if c, err := s.next(); err != nil {
		return err
	} else if c != '[' {
		e.blameBody(".actions", "is not a list of actions")
		return s.skip()
	}
	n := 0
	joined := make([]byte, 0, 128)
	err := s.list(func() error {
		n++
		c, err := s.next()
		if err != nil {
			return err
		}
		if c != '"' {
			e.blameBody(".actions", "is not a list of actions")
			return s.skip()
		}
		if n > 1 {
			joined = append(joined, '+')
		}
		from := len(joined)
		raw, fits, err := s.grab(joined, cap(joined))
		if err != nil {
			return err
		}
		if !fits || n > 2 {
			joined = append(joined[:0], '?') // nothing that is known
			return nil
		}
		joined = append(raw[:from], unquote(raw[from:])...)
		return nil
	})
	e.do = UnknownAction
	do := Action(joined)
	if n == 1 && slices.Contains([]Action{NoOp, Create, Reading, Update, Delete, Forget}, do) || n == 2 && slices.Contains(pairs, do) {
		e.do = do
	}
	return err
}

// made turns an element into a change.
func (in *intake) made(e *element) (Change, error) {
	c := Change{
		Address: e.get(fAddress), Previous: e.get(fPrevious), Module: e.get(fModule), Type: in.d.name(e.word(fType)),
		Provider: in.d.name(e.word(fProvider)), Deposed: e.get(fDeposed), Do: e.do, Reason: in.d.name(e.word(fReason)),
	}
	// Most of what a plan holds does not change. Decoding changes raw, so this is seen first.
	was, will := e.values[pBefore], e.values[pAfter]
	equal := bytes.Equal(e.raw[was.from:was.to], e.raw[will.from:will.to])
	var values [changeParts]any
	for p := range pActions {
		v := e.values[p]
		if v.from == v.to {
			continue
		}
		if p == pAfter && equal {
			values[p] = values[pBefore]
			continue
		}
		got, err := in.decode(e, ".change."+partNames[p], e.raw[v.from:v.to])
		if err != nil {
			return c, err
		}
		values[p] = got
	}
	for p, into := range map[int]*map[string]any{pBefore: &c.Before, pAfter: &c.After} {
		m, ok := values[p].(map[string]any)
		if !ok && values[p] != nil {
			e.blame(".change."+partNames[p], "is neither an object nor null")
		}
		*into = m
	}
	c.Unknown = values[pUnknown]
	if !marks(c.Unknown) {
		e.blame(".change.after_unknown", "holds something else than booleans")
	}
	if c.Unknown == true && c.After == nil && (c.Makes() || c.Do == Update) {
		c.After = map[string]any{} // all of it is there, and nothing of it known
	}
	switch gone := c.Before == nil && (c.Destroys() || c.Forgets() || c.Do == Update); {
	case e.do == "":
		e.blame(".change", "does not say what is done")
	case gone:
		e.blame(".change.before", "is null, though there is something that "+string(c.Do)+" is done to")
	case c.After == nil && (c.Makes() || c.Do == Update):
		e.blame(".change.after", "is null, though "+string(c.Do)+" leaves something")
	}
	return c, in.shape(e, -1)
}

// marks reports whether v has the form of after_unknown: booleans, in lists and objects.
func marks(v any) bool {
	switch v := v.(type) {
	case nil, bool:
		return true
	case []any:
		return !slices.ContainsFunc(v, func(e any) bool { return !marks(e) })
	case map[string]any:
		for _, e := range v {
			if !marks(e) {
				return false
			}
		}
		return true
	}
	return false
}
