package config

import (
	"embed"
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// The sources of this package carry the reference manual as doc comments; the schema quotes it from there, so that the
// two cannot drift apart.
//
//go:embed config.go certificate.go renewer.go channel.go
var manual embed.FS

// Schema is a JSON Schema (draft 2020-12) of the file, for editors: keys, kinds of values, defaults, and the manual as
// descriptions. It is derived from the types that the file is decoded into. What takes more than one value to decide,
// such as whether a route exists, only [Parse] knows.
func Schema() ([]byte, error) {
	docs, err := readManual(manual)
	if err != nil {
		return nil, err
	}
	s := schemer{docs: docs, defs: map[string]any{}}
	root := s.object(reflect.TypeFor[Config](), reflect.ValueOf(Default()))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://github.com/notafter/notafter/notafter.schema.json"
	root["title"] = "notafter configuration"
	root["$defs"] = s.defs
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return append(b, '\n'), nil
}

// readManual gives the doc comments of types ("Config") and of their fields ("Config.Listen").
func readManual(files fs.FS) (map[string]string, error) {
	docs := map[string]string{}
	names, err := fs.Glob(files, "*.go")
	if err != nil {
		return nil, fmt.Errorf("read manual: %w", err)
	}
	for _, name := range names {
		src, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read manual: %w", err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read manual: %w", err)
		}
		for _, decl := range f.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				t, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				docs[t.Name.Name] = oneLine(g.Doc.Text())
				st, ok := t.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range st.Fields.List {
					for _, n := range field.Names {
						docs[t.Name.Name+"."+n.Name] = oneLine(field.Doc.Text())
					}
				}
			}
		}
	}
	return docs, nil
}

type schemer struct {
	docs map[string]string
	defs map[string]any
}

// Patterns of text in the file.
const (
	referencePattern = `^(env:[^\s=${}]+|file:.+)$`
	durationPattern  = `^(0|([0-9]+(\.[0-9]+)?(w|d|h|ms|m|s))+)$`
	addressPattern   = `^(env:[^\s=${}]+|file:.+|https?://.+)$`
)

// of describes values of type t; given, when valid, holds the default.
func (s *schemer) of(t reflect.Type, given reflect.Value) map[string]any {
	out := s.kind(t)
	if given.IsValid() && !given.IsZero() && t.Kind() != reflect.Struct {
		if v, ok := plainValue(given); ok {
			out["default"] = v
		}
	}
	return out
}

func (s *schemer) kind(t reflect.Type) map[string]any {
	if t.Kind() == reflect.Pointer {
		return s.kind(t.Elem())
	}
	text := func(pattern string) map[string]any {
		m := map[string]any{"type": "string", "minLength": 1}
		if pattern != "" {
			m["pattern"] = pattern
		}
		return m
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return map[string]any{"anyOf": []any{text(durationPattern), map[string]any{"const": 0}}}
	case reflect.TypeFor[Secret]():
		return text(referencePattern)
	case reflect.TypeFor[Address]():
		return text(addressPattern)
	case reflect.TypeFor[assure.Target](), reflect.TypeFor[File](), reflect.TypeFor[Text](), reflect.TypeFor[State]():
		return text("")
	}
	if c, ok := reflect.Zero(t).Interface().(choices); ok {
		return map[string]any{"enum": c.choices()}
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Slice:
		list := map[string]any{"type": "array", "items": s.kind(t.Elem())}
		if _, ok := reflect.Zero(t).Interface().(oneOrMany); ok {
			return map[string]any{"anyOf": []any{s.kind(t.Elem()), list}}
		}
		return list
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.kind(t.Elem())}
	case reflect.Struct:
		ref := map[string]any{"$ref": "#/$defs/" + t.Name()}
		if _, done := s.defs[t.Name()]; !done {
			s.defs[t.Name()] = nil // keeps a type that holds itself from going round
			s.defs[t.Name()] = s.object(t, defaultsOf(t))
		}
		if short, ok := reflect.Zero(t).Interface().(shorthand); ok {
			for _, f := range fieldsOf(t) {
				if f.key == short.shorthand() {
					return map[string]any{"anyOf": []any{s.kind(t.Field(f.index).Type), ref}}
				}
			}
		}
		return ref
	}
	return map[string]any{}
}

// defaultsOf finds the part of the defaults that is of type t. Only types that stand in one place have any.
func defaultsOf(t reflect.Type) reflect.Value {
	d := Default()
	switch t {
	case reflect.TypeFor[Monitor]():
		return reflect.ValueOf(d.Monitor)
	case reflect.TypeFor[Heartbeat]():
		return reflect.ValueOf(d.Monitor.Heartbeat)
	}
	return reflect.Value{}
}

func (s *schemer) object(t reflect.Type, defaults reflect.Value) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, f := range fieldsOf(t) {
		var given reflect.Value
		if defaults.IsValid() {
			given = defaults.Field(f.index)
		}
		p := s.of(t.Field(f.index).Type, given)
		p["description"] = s.docs[t.Name()+"."+t.Field(f.index).Name]
		properties[f.key] = p
		if f.required {
			required = append(required, f.key)
		}
	}
	out := map[string]any{"type": "object", "description": s.docs[t.Name()], "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	if t == channelType {
		out["minProperties"], out["maxProperties"] = 1, 1
	}
	return out
}

// plainValue is a default as the file would have it.
func plainValue(v reflect.Value) (any, bool) {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		return string(b), err == nil
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), true
	case reflect.Bool:
		return v.Bool(), true
	case reflect.Int:
		return v.Int(), true
	case reflect.Slice:
		if v.Len() == 1 {
			return strings.TrimSpace(fmt.Sprint(v.Index(0).Interface())), true
		}
	}
	return nil, false
}
