package iac

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of YAML within a plan, which no honest manifest and no values file comes near. The parser recurses, and aliases
// multiply.
const (
	maxYAML       = 1 << 20
	maxYAMLDepth  = 64
	maxYAMLColumn = 512
)

var errYAML = errors.New("not a document of YAML that can be read")

// documentOf reads the first document of a text in YAML as a mapping. Text with aliases is refused: they make a small text
// a large value.
func documentOf(text string) (m map[string]any, err error) {
	if len(text) > maxYAML {
		return nil, errYAML
	}
	defer func() {
		if recover() != nil {
			m, err = nil, errYAML
		}
	}()
	tokens := lexer.Tokenize(strings.TrimPrefix(text, "\ufeff"))
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.InvalidType, token.AliasType, token.MergeKeyType:
			return nil, errYAML
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(0, depth-1)
		case token.SequenceEntryType, token.MappingValueType, token.MappingKeyType, token.AnchorType, token.TagType:
			if t.Position != nil && t.Position.Column > maxYAMLColumn && depth == 0 {
				return nil, errYAML
			}
		}
		if depth > maxYAMLDepth {
			return nil, errYAML
		}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, errYAML
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue
		}
		if err := yaml.NodeToValue(doc.Body, &m); err != nil {
			return nil, errYAML
		}
		return m, nil
	}
	return map[string]any{}, nil
}

// leaves visits the texts of a document, with the way to each. Lists are gone through in their order, mappings in that of their keys; what is nested too deep is left out.
func leaves(v any, path []string, visit func(path []string, text string)) {
	if len(path) > maxYAMLDepth {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			e := v[k]
			leaves(e, append(path[:len(path):len(path)], k), visit)
		}
	case []any:
		for _, e := range v {
			leaves(e, append(path[:len(path):len(path)], "-"), visit)
		}
	default:
		if s := scalar(v); s != "" {
			visit(path, s)
		}
	}
}

// scalar is the text, number or boolean of a document as text; empty for anything else.
func scalar(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return text(v)
}
