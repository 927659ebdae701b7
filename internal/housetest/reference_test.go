package housetest

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the reference of the configuration instead of comparing it")

// schema is the part of JSON Schema that the program's own schema uses.
type schema struct {
	Ref         string            `json:"$ref"`
	Description string            `json:"description"`
	Type        string            `json:"type"`
	Pattern     string            `json:"pattern"`
	Enum        []string          `json:"enum"`
	Default     any               `json:"default"`
	Const       any               `json:"const"`
	AnyOf       []schema          `json:"anyOf"`
	Items       *schema           `json:"items"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
	Additional  json.RawMessage   `json:"additionalProperties"`
	Defs        map[string]schema `json:"$defs"`
}

const (
	referenceFrom = "<!-- reference: written by `make reference`, from the doc comments of internal/config -->\n"
	referenceTo   = "<!-- end of the reference -->\n"
)

func TestConfigurationReferenceIsCurrent(t *testing.T) {
	out := notafter(t, t.TempDir(), nil, "config", "schema")
	if out.code != 0 {
		t.Fatalf("notafter config schema ended with status %d: %s", out.code, out.stderr)
	}
	var s schema
	if err := json.Unmarshal([]byte(out.stdout), &s); err != nil {
		t.Fatalf("read the schema: %v", err)
	}
	path := filepath.Join(root(t), "docs", "guides", "configuration.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), referenceFrom)
	_, after, ok2 := strings.Cut(rest, referenceTo)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks of its reference", path)
	}
	want := before + referenceFrom + reference(s) + referenceTo + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Error("docs/guides/configuration.md does not say what the doc comments say: run `make reference`")
	}
}

// reference writes a section for the file and for each kind of mapping in it, in the order in which they are met.
func reference(s schema) string {
	var b strings.Builder
	queue, seen := []string{""}, map[string]bool{"": true}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		o, heading := s, "The file"
		if name != "" {
			o, heading = s.Defs[name], name
		}
		_, _ = fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | value | meaning |\n|---|---|---|\n", heading, cell(o.Description))
		for _, key := range sortKeys(o) {
			p := o.Properties[key]
			for _, ref := range refs(p) {
				if !seen[ref] {
					seen[ref] = true
					queue = append(queue, ref)
				}
			}
			kind := kindOf(p)
			if slices.Contains(o.Required, key) {
				kind += ", required"
			}
			if p.Default != nil {
				kind += fmt.Sprintf(", default `%v`", p.Default)
			}
			_, _ = fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, kind, cell(ownName(key, p.Description)))
		}
	}
	return b.String() + "\n"
}

// sortKeys puts what is required first, and the rest in alphabetical order.
func sortKeys(o schema) []string {
	keys := slices.Sorted(maps.Keys(o.Properties))
	slices.SortStableFunc(keys, func(a, b string) int {
		ra, rb := slices.Contains(o.Required, a), slices.Contains(o.Required, b)
		switch {
		case ra && !rb:
			return -1
		case rb && !ra:
			return 1
		}
		return 0
	})
	return keys
}

// ownName lets a doc comment begin with the key as it is written in the file rather than with the name of a Go field.
func ownName(key, text string) string {
	first, rest, ok := strings.Cut(text, " ")
	if ok && strings.EqualFold(first, strings.ReplaceAll(key, "_", "")) {
		return "`" + key + "` " + rest
	}
	return text
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func mapped(s schema) (schema, bool) {
	var of schema
	if len(s.Additional) == 0 || json.Unmarshal(s.Additional, &of) != nil {
		return schema{}, false
	}
	return of, true
}

func refs(s schema) []string {
	var out []string
	if n, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		out = append(out, n)
	}
	if s.Items != nil {
		out = append(out, refs(*s.Items)...)
	}
	for _, o := range s.AnyOf {
		out = append(out, refs(o)...)
	}
	if of, ok := mapped(s); ok {
		out = append(out, refs(of)...)
	}
	return out
}

func kindOf(s schema) string {
	if n, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		return fmt.Sprintf("[%s](#%s)", n, strings.ToLower(n))
	}
	if len(s.Enum) > 0 {
		return "`" + strings.Join(s.Enum, "`, `") + "`"
	}
	if of, ok := mapped(s); ok {
		return "mapping of names to " + kindOf(of)
	}
	switch {
	case len(s.AnyOf) > 0:
		var kinds []string
		for _, o := range s.AnyOf {
			if o.Const == nil {
				kinds = append(kinds, kindOf(o))
			}
		}
		return strings.Join(kinds, ", or ")
	case s.Items != nil:
		return "list of " + kindOf(*s.Items)
	case s.Type == "boolean":
		return "`true`, `false`"
	case s.Type == "integer":
		return "number"
	case strings.Contains(s.Pattern, "https?"):
		return "address or reference"
	case strings.Contains(s.Pattern, "env:"):
		return "reference"
	case strings.Contains(s.Pattern, "w|d|h"):
		return "duration"
	}
	return "text"
}
