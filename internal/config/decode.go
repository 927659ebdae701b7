package config

import (
	"encoding"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder fills a Config from a syntax tree. Unlike a decoder that stops at the first error it goes on, and remembers
// where each value stood, so that validation can say so too.
type decoder struct {
	file, dir string
	decoded   bool // the document is a mapping, so that validation makes sense
	problems  []Problem
	notes     []Problem
	places    map[string]*token.Position
	anchors   map[string]ast.Node
	expanding map[string]bool
	budget    int
	spent     bool // the budget, and said so
}

func (d *decoder) result() error {
	sortProblems(d.notes)
	err := allOf(d.problems)
	if p, ok := err.(*Problems); ok { //nolint:errorlint // it was just made
		p.Stopped = d.full()
	}
	return err
}

// mostProblems is how many are looked for. Finding the rest of a hopeless file would take longer than anybody waits.
const mostProblems = 20 * maxProblems

// full reports whether enough problems were found to stop looking.
func (d *decoder) full() bool { return len(d.problems) >= mostProblems }

func (d *decoder) fail(pos *token.Position, key, format string, args ...any) {
	if d.full() {
		return
	}
	d.problems = append(d.problems, d.problem(pos, key, fmt.Sprintf(format, args...)))
}

func (d *decoder) problem(pos *token.Position, key, text string) Problem {
	p := Problem{File: d.file, Line: 1, Column: 1, Key: key, Text: text}
	if pos != nil {
		p.Line, p.Column = max(pos.Line, 1), max(pos.Column, 1)
	}
	return p
}

// place is where the value of a key stands, or the nearest value around it.
func (d *decoder) place(key string) *token.Position {
	for {
		if pos, ok := d.places[key]; ok {
			return pos
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return d.places[""]
		}
		key = key[:i]
	}
}

// document decodes a file of one document into c.
func (d *decoder) document(data []byte, c *Config) {
	d.places = map[string]*token.Position{}
	d.anchors = map[string]ast.Node{}
	d.expanding = map[string]bool{}
	d.budget = maxNodes
	root, ok := d.parse(data)
	if !ok {
		return
	}
	if root == nil {
		d.fail(nil, "", "the file is empty: there is nothing to watch and nobody to tell")
		return
	}
	switch root.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		d.decoded = true
	}
	d.value("", root, reflect.ValueOf(c).Elem())
}

// resolve looks through anchors and aliases. done must be called when the node has been decoded.
func (d *decoder) resolve(key string, n ast.Node) (node ast.Node, done func(), ok bool) {
	done = func() {}
	for range 100 {
		switch v := n.(type) {
		case *ast.AnchorNode:
			d.anchors[nodeText(v.Name)] = v.Value
			n = v.Value
		case *ast.AliasNode:
			name := nodeText(v.Value)
			target, known := d.anchors[name]
			switch {
			case !known:
				d.fail(position(v), key, "the alias %s has no anchor before it; text that begins with * needs quotes", quote("*"+name))
				return nil, done, false
			case d.expanding[name]:
				d.fail(position(v), key, "the alias %s stands inside its own anchor", quote("*"+name))
				return nil, done, false
			}
			d.expanding[name] = true
			inner := done
			done = func() { delete(d.expanding, name); inner() }
			n = target
		case *ast.TagNode:
			d.fail(position(v), key, "tags such as %s are not used here", quote(v.GetToken().Value))
			return nil, done, false
		case nil:
			d.fail(d.place(key), key, "has no value; fill it in or leave the key out")
			return nil, done, false
		default:
			return n, done, true
		}
	}
	d.fail(position(n), key, "too many aliases that lead to aliases")
	return nil, done, false
}

type (
	shorthand interface{ shorthand() string }
	oneOrMany interface{ oneOrMany() }
	choices   interface{ choices() []string }
)

// spend takes n values out of the budget, and reports false once more was taken than there was: following aliases must
// not make much of little.
func (d *decoder) spend(n int, key string, at ast.Node) bool {
	if d.budget -= n; d.budget >= 0 {
		return true
	}
	if !d.spent {
		d.spent = true
		d.fail(position(at), key, "the file holds more than %d values once its aliases are followed", maxNodes)
	}
	return false
}

// value decodes one node into v. Whatever cannot be decoded is a problem, and v keeps what it had.
func (d *decoder) value(key string, n ast.Node, v reflect.Value) {
	if d.full() || !d.spend(1, key, n) {
		return
	}
	// A scalar is pointed at itself; what spans lines, at its key.
	_, scalar := n.(ast.ScalarNode)
	if _, known := d.places[key]; !known || scalar {
		d.places[key] = position(n)
	}
	node, done, ok := d.resolve(key, n)
	defer done()
	if !ok {
		return
	}
	if node.Type() == ast.NullType {
		d.fail(position(n), key, "has no value; fill it in or leave the key out")
		return
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		d.value(key, node, p.Elem())
		v.Set(p)
		return
	}
	text, isText := scalarText(node)
	_, plain := node.(ast.ScalarNode)
	if s, short := v.Interface().(shorthand); short && plain {
		for _, f := range fieldsOf(v.Type()) {
			if f.key == s.shorthand() {
				d.value(key, node, v.Field(f.index))
				return
			}
		}
	}
	if u, custom := v.Addr().Interface().(encoding.TextUnmarshaler); custom {
		d.text(key, node, u)
		return
	}
	switch v.Kind() {
	case reflect.String:
		switch c, limited := v.Interface().(choices); {
		case !isText:
			d.fail(position(node), key, "want text%s", got(node))
		case limited && !slices.Contains(c.choices(), text):
			d.fail(position(node), key, "%s is not possible: want one of %s", quote(text), strings.Join(c.choices(), ", "))
		default:
			v.SetString(text)
		}
	case reflect.Bool:
		b, ok := node.(*ast.BoolNode)
		if !ok {
			d.fail(position(node), key, "want true or false%s", got(node))
			return
		}
		v.SetBool(b.Value)
	case reflect.Int:
		i, ok := intOf(node)
		if !ok {
			d.fail(position(node), key, "want a whole number%s", got(node))
			return
		}
		v.SetInt(i)
	case reflect.Slice:
		d.list(key, node, v, plain)
	case reflect.Map:
		d.mapOf(key, node, v)
	case reflect.Struct:
		d.fields(key, node, v)
	default:
		d.fail(position(node), key, "cannot be decoded into %s", v.Type())
	}
}

// text decodes a scalar that reads itself.
func (d *decoder) text(key string, n ast.Node, u encoding.TextUnmarshaler) {
	text, ok := scalarText(n)
	if i, isInt := intOf(n); isInt && i == 0 {
		if _, isDuration := u.(*Duration); isDuration {
			text, ok = "0", true
		}
	}
	if !ok {
		switch u.(type) {
		case *Duration:
			d.fail(position(n), key, `want a duration with a unit, such as "15m"`)
			return
		case *Secret:
			// The text around a secret written out by mistake is not repeated.
			d.fail(position(n), key, "must be a reference, env:NAME or file:PATH")
			return
		}
		d.fail(position(n), key, "want text%s", got(n))
		return
	}
	if err := u.UnmarshalText([]byte(text)); err != nil {
		d.fail(position(n), key, "%s", oneLine(err.Error()))
		return
	}
	switch p := u.(type) {
	case *File:
		*p = File(d.path(string(*p)))
	case *Secret:
		p.ref = d.reference(p.ref)
	case *Text:
		p.ref = d.reference(p.ref)
	case *Address:
		p.ref = d.reference(p.ref)
	case *State:
		if isReference(p.ref) {
			p.ref = d.reference(p.ref)
		} else {
			*p = NewState(d.path(p.ref))
		}
	}
}

func (d *decoder) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(d.dir, p)
}

func (d *decoder) reference(ref string) string {
	if p, ok := strings.CutPrefix(ref, "file:"); ok {
		return "file:" + d.path(p)
	}
	return ref
}

func (d *decoder) list(key string, n ast.Node, v reflect.Value, plain bool) {
	if _, many := v.Interface().(oneOrMany); many && plain {
		one := reflect.New(v.Type().Elem()).Elem()
		d.value(key, n, one)
		v.Set(reflect.Append(reflect.Zero(v.Type()), one))
		return
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(position(n), key, "want a list%s", got(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, e := range seq.Values {
		if d.full() {
			break
		}
		d.value(fmt.Sprintf("%s[%d]", key, i), e, out.Index(i))
	}
	v.Set(out)
}

func (d *decoder) mapOf(key string, n ast.Node, v reflect.Value) {
	entries, ok := d.entries(key, n)
	if !ok {
		return
	}
	out := reflect.MakeMap(v.Type())
	for _, e := range entries {
		one := reflect.New(v.Type().Elem()).Elem()
		d.value(join(key, e.name), e.value, one)
		out.SetMapIndex(reflect.ValueOf(e.name), one)
	}
	v.Set(out)
}

func (d *decoder) fields(key string, n ast.Node, v reflect.Value) {
	entries, ok := d.entries(key, n)
	if !ok {
		return
	}
	fields := fieldsOf(v.Type())
	given := map[string]bool{}
	for _, e := range entries {
		given[e.name] = true
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == e.name })
		if i < 0 {
			known := make([]string, len(fields))
			for j, f := range fields {
				known[j] = f.key
			}
			d.fail(e.pos, key, "unknown key %s%s", quote(e.name), suggest(e.name, known))
			continue
		}
		d.value(join(key, e.name), e.value, v.Field(fields[i].index))
	}
	for _, f := range fields {
		// At the top, validation says more plainly what it means that nothing is declared.
		if f.required && !given[f.key] && key != "" {
			d.fail(position(n), key, "the key %s is missing", quote(f.key))
		}
	}
}

type entry struct {
	name  string
	value ast.Node
	pos   *token.Position
}

// entries gives the pairs of a mapping, merge keys ("<<") followed. A key that is given twice is a problem.
func (d *decoder) entries(key string, n ast.Node) ([]entry, bool) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		d.fail(position(n), key, "want a mapping of keys to values%s", got(n))
		return nil, false
	}
	var out, merged []entry
	first := map[string]*token.Position{}
	for _, kv := range values {
		pos := position(kv.Key)
		if kv.Key == nil || kv.Key.Type() == ast.MergeKeyType {
			merged = append(merged, d.merge(key, kv.Value)...)
			continue
		}
		name, ok := keyText(kv.Key)
		if !ok {
			d.fail(pos, key, "a key must be plain text")
			continue
		}
		if before, twice := first[name]; twice {
			line := 0
			if before != nil {
				line = before.Line
			}
			d.fail(pos, key, "the key %s is given twice, first on line %d", quote(name), line)
			continue
		}
		first[name] = pos
		out = append(out, entry{name, kv.Value, pos})
		if _, known := d.places[join(key, name)]; !known {
			d.places[join(key, name)] = pos
		}
	}
	for _, e := range merged {
		if _, given := first[e.name]; !given {
			first[e.name] = e.pos
			out = append(out, e)
		}
	}
	return out, true
}

// merge gives the pairs that a merge key brings in: those of a mapping, or of a list of mappings, the first winning.
func (d *decoder) merge(key string, n ast.Node) []entry {
	if !d.spend(1, key, n) {
		return nil
	}
	node, done, ok := d.resolve(key, n)
	defer done()
	if !ok {
		return nil
	}
	if seq, isList := node.(*ast.SequenceNode); isList {
		var all []entry
		for _, one := range seq.Values {
			all = append(all, d.merge(key, one)...)
		}
		return all
	}
	entries, _ := d.entries(key, node)
	if !d.spend(len(entries), key, n) {
		return nil
	}
	return entries
}

// field is one key of a mapping that a struct stands for.
type field struct {
	index    int
	key      string
	required bool
}

// fieldsOf reads the keys from the yaml tags: `yaml:"name"` or `yaml:"name,required"`. A field without a tag is no key.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		out = append(out, field{index: i, key: name, required: option == "required"})
	}
	return out
}

// join adds a name to a key. A name that a file chose to be long or unprintable is quoted, so that problems stay one
// clean line.
func join(key, name string) string {
	if len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		name = quote(name)
	}
	if key == "" {
		return name
	}
	return key + "." + name
}
