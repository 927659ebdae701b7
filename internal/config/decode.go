package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder fills a Config from a syntax tree. Unlike a decoder that stops at the first error it goes on, and remembers
// where each value stood, so that validation can say so too.
type decoder struct {
	file, dir string
	decoded   bool // the document is a mapping, so that validation makes sense
	problems  []Problem
	notes     []Problem
	more      int
	places    map[string]*token.Position
	anchors   map[string]ast.Node
	expanding map[string]bool
	budget    int
}

// Limits that no honest file comes near. They keep a hostile one from costing more than its size suggests: the parser
// recurses, and aliases multiply.
const (
	maxFlowDepth   = 64
	maxBlockColumn = 1024
	maxNodes       = 2_000_000
)

func (d *decoder) result() error {
	if len(d.problems) == 0 {
		sortProblems(d.notes)
		return nil
	}
	sortProblems(d.problems)
	p := &Problems{List: d.problems, More: d.more}
	if len(p.List) > maxProblems {
		p.More += len(p.List) - maxProblems
		p.List = p.List[:maxProblems]
	}
	return p
}

func (d *decoder) fail(pos *token.Position, key, format string, args ...any) {
	if len(d.problems) >= 20*maxProblems {
		d.more++
		return
	}
	d.problems = append(d.problems, d.problem(pos, key, fmt.Sprintf(format, args...)))
}

func (d *decoder) problem(pos *token.Position, key, text string) Problem {
	p := Problem{File: d.file, Key: key, Text: text}
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

// parse gives the syntax tree of the only document, nil when it is empty.
func (d *decoder) parse(data []byte) (root ast.Node, ok bool) {
	if len(data) > maxFile {
		d.fail(nil, "", "the file is larger than %d MiB", maxFile>>20)
		return nil, false
	}
	defer func() {
		if r := recover(); r != nil {
			d.fail(nil, "", "cannot be read as YAML")
			root, ok = nil, false
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if !d.shallow(tokens) {
		return nil, false
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			d.fail(ye.GetToken().Position, "", "not valid YAML: %s", oneLine(ye.GetMessage()))
		} else {
			d.fail(nil, "", "not valid YAML: %s", oneLine(err.Error()))
		}
		return nil, false
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue
		}
		if root != nil {
			d.fail(doc.Body.GetToken().Position, "", "a second YAML document begins here; one file holds one")
			return nil, false
		}
		root = doc.Body
	}
	return root, true
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// shallow refuses nesting that would exhaust the parser's stack, which no recover could catch.
func (d *decoder) shallow(tokens token.Tokens) bool {
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.InvalidType:
			d.fail(t.Position, "", "not valid YAML: %s", oneLine(firstNonEmpty(t.Error, "unexpected text")))
			return false
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(0, depth-1)
		case token.SequenceEntryType, token.MappingValueType, token.MappingKeyType, token.AnchorType, token.TagType:
			if t.Position != nil && t.Position.Column > maxBlockColumn && depth == 0 {
				d.fail(t.Position, "", "structure that begins beyond column %d is not accepted", maxBlockColumn)
				return false
			}
		}
		if depth > maxFlowDepth {
			d.fail(t.Position, "", "brackets are nested more than %d deep", maxFlowDepth)
			return false
		}
	}
	return true
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// position is where a node begins. A mapping's own token is a colon, so its first key is meant instead.
func position(n ast.Node) *token.Position {
	switch v := n.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		if len(v.Values) > 0 && !v.IsFlowStyle {
			return position(v.Values[0])
		}
	case *ast.MappingValueNode:
		if v.Key != nil {
			return position(v.Key)
		}
	}
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
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
				d.fail(position(v), key, "the alias %s has no anchor before it", quote("*"+name))
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

func nodeText(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

type shorthand interface{ shorthand() string }
type oneOrMany interface{ oneOrMany() }
type choices interface{ choices() []string }

// value decodes one node into v. Whatever cannot be decoded is a problem, and v keeps what it had.
func (d *decoder) value(key string, n ast.Node, v reflect.Value) {
	if d.budget--; d.budget < 0 {
		if d.budget == -1 {
			d.fail(position(n), key, "the file holds more than %d values once its aliases are followed", maxNodes)
		}
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
	if d.budget--; d.budget < 0 {
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
	return entries
}

func keyText(k ast.MapKeyNode) (string, bool) {
	switch v := k.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.MappingKeyNode:
		if s, ok := v.Value.(*ast.StringNode); ok {
			return s.Value, true
		}
		return "", false
	case ast.ScalarNode:
		return nodeText(v), true // on: or 1: as a key is the text it looks like
	}
	return "", false
}

func scalarText(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		if v.Value == nil {
			return "", false
		}
		return v.Value.Value, true
	}
	return "", false
}

func intOf(n ast.Node) (int64, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch x := i.Value.(type) {
	case int64:
		return x, true
	case uint64:
		if x <= math.MaxInt64 {
			return int64(x), true
		}
	}
	return 0, false
}

// got names what stands there instead of what is wanted.
func got(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return ", not a mapping (a key with a value)"
	case *ast.SequenceNode:
		return ", not a list"
	case *ast.StringNode, *ast.LiteralNode:
		return ", not text"
	case *ast.BoolNode:
		return ", not true or false; put it in quotes if text is meant"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return ", not a number; put it in quotes if text is meant"
	}
	return ""
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

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
