package config

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits that no honest file comes near. They keep a hostile one from costing more than its size suggests: the parser
// recurses, and aliases multiply.
const (
	maxFlowDepth   = 64
	maxBlockColumn = 1024
	maxNodes       = 2_000_000
)

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
	text := strings.TrimPrefix(string(data), "\ufeff") // a byte order mark, as some editors leave it
	if line := tabbed(text); line > 0 {
		d.fail(&token.Position{Line: line, Column: 1}, "", "not valid YAML: the line is indented with a tab; YAML wants spaces")
		return nil, false
	}
	tokens := lexer.Tokenize(text)
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

// tabbed is the first line that is indented with a tab, which YAML forbids (YAML 1.2.2 section 6.1), and 0 when there is
// none. The few places where a tab would be allowed are refused too: the parser's words for it help nobody.
func tabbed(text string) int {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		if rest := strings.TrimLeft(line, " "); strings.HasPrefix(rest, "\t") && strings.TrimSpace(rest) != "" {
			return n
		}
	}
	return 0
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
