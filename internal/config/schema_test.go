package config

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func schema(t *testing.T) map[string]any {
	t.Helper()
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaDescribesEveryKey(t *testing.T) {
	s := schema(t)
	defs := s["$defs"].(map[string]any)
	keys := 0
	var check func(where string, typ reflect.Type, object map[string]any)
	check = func(where string, typ reflect.Type, object map[string]any) {
		if object["additionalProperties"] != false {
			t.Errorf("%s lets unknown keys through", where)
		}
		if d, _ := object["description"].(string); d == "" {
			t.Errorf("%s has no description", where)
		}
		properties := object["properties"].(map[string]any)
		fields := fieldsOf(typ)
		if len(fields) != len(properties) {
			t.Errorf("%s has %d keys in the schema and %d in the type", where, len(properties), len(fields))
		}
		for _, f := range fields {
			p, ok := properties[f.key].(map[string]any)
			if !ok {
				t.Errorf("%s.%s is not in the schema", where, f.key)
				continue
			}
			keys++
			if d, _ := p["description"].(string); len(d) < 10 {
				t.Errorf("%s.%s is described as %q", where, f.key, d)
			}
			next := typ.Field(f.index).Type
			for next.Kind() == reflect.Pointer || next.Kind() == reflect.Slice || next.Kind() == reflect.Map {
				next = next.Elem()
			}
			if next.Kind() == reflect.Struct && len(fieldsOf(next)) > 0 {
				def, ok := defs[next.Name()].(map[string]any)
				if !ok {
					t.Errorf("%s.%s leads to %s, which is not defined", where, f.key, next.Name())
					continue
				}
				check(where+"."+f.key, next, def)
			}
		}
	}
	check("config", reflect.TypeFor[Config](), s)
	if keys < 80 {
		t.Errorf("only %d keys were compared", keys)
	}
}

func TestSchemaHasTheDefaultsInForce(t *testing.T) {
	s := schema(t)
	top := s["properties"].(map[string]any)
	monitor := s["$defs"].(map[string]any)["Monitor"].(map[string]any)["properties"].(map[string]any)
	for key, want := range map[string]any{"listen": "127.0.0.1:8710", "every": "15m", "trust": "system", "clear": 2.0, "revocation": "leaf", "time_to_repair": "12h", "confirm": "2m"} {
		if got := top[key].(map[string]any)["default"]; got != want {
			t.Errorf("%s defaults to %v in the schema, want %v", key, got, want)
		}
	}
	if got := monitor["control"].(map[string]any)["default"]; got != true {
		t.Errorf("monitor.control defaults to %v in the schema", got)
	}
}

// validate is as much of JSON Schema as the schema uses, so that files which are right and wrong can be held against it.
func validate(root, s map[string]any, v any) bool {
	if ref, ok := s["$ref"].(string); ok {
		return validate(root, root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any), v)
	}
	if alternatives, ok := s["anyOf"].([]any); ok {
		for _, one := range alternatives {
			if validate(root, one.(map[string]any), v) {
				return true
			}
		}
		return false
	}
	if enum, ok := s["enum"].([]any); ok {
		for _, e := range enum {
			if e == v {
				return true
			}
		}
		return false
	}
	if c, ok := s["const"]; ok {
		return c == v
	}
	switch s["type"] {
	case "string":
		text, ok := v.(string)
		if p, has := s["pattern"].(string); ok && has {
			return matches(p, text)
		}
		return ok
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "integer":
		n, ok := v.(float64)
		return ok && n == float64(int(n))
	case "array":
		list, ok := v.([]any)
		for _, e := range list {
			ok = ok && validate(root, s["items"].(map[string]any), e)
		}
		return ok
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			return false
		}
		if r, has := s["required"].([]any); has {
			for _, key := range r {
				if _, given := m[key.(string)]; !given {
					return false
				}
			}
		}
		if n, has := s["maxProperties"].(float64); has && len(m) > int(n) {
			return false
		}
		properties, _ := s["properties"].(map[string]any)
		for key, value := range m {
			p, known := properties[key].(map[string]any)
			if !known {
				p, known = s["additionalProperties"].(map[string]any)
			}
			if !known || !validate(root, p, value) {
				return false
			}
		}
		return true
	}
	return false
}

func TestSchemaAcceptsWhatParseAcceptsAndRefusesMistakes(t *testing.T) {
	s := schema(t)
	check := func(text string, want bool) {
		t.Helper()
		if got := validate(s, s, asJSON(t, text)); got != want {
			t.Errorf("the schema says %v, want %v, of:\n%s", got, want, text)
		}
	}
	check(small, true)
	check(full, true)
	for _, mistake := range []string{
		small + "tiemout: 5s\n", small + "every: soon\n", small + "every: 15\n", small + "revocation: all\n", small + "listen: 8710\n",
		small + "clear: 1.5\n", strings.Replace(small, "env:HOOK", "hunter2", 1), strings.Replace(small, "    endpoints: [example.com]\n", "", 1),
		small + "  b: {slack: {url: 'env:A'}, ntfy: {topic: x}}\n", "channels: {x: {slack: {url: 'env:X'}}}\n",
	} {
		check(mistake, false)
		if _, err := Parse("n.yaml", []byte(mistake)); err == nil {
			t.Errorf("Parse accepts what the schema refuses:\n%s", mistake)
		}
	}
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

func asJSON(t *testing.T, text string) any {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
