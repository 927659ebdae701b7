package iac

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// OverridesFile is the name under which overrides are looked for beside the code.
const OverridesFile = ".notafter-overrides.yaml"

// LongestOverride is how far ahead an override may end. Whoever still answers for a finding after a quarter of a year
// says so again: people leave, and reasons with them.
const LongestOverride = 90 * 24 * time.Hour

// Bounds of a file of overrides.
const (
	MaxOverrides       = 256 << 10 // bytes
	maxOverrideDepth   = 16        // brackets within each other; an honest file has one level
	maxOverrideColumn  = 512       // where structure may begin
	longestReason      = 1000      // letters
	longestBy          = 200
	longestFingerprint = 200
	mostProblems       = 20 // that are told at once
)

// OverrideProblems is what is wrong with a file of overrides, each as file:line:column: what.
type OverrideProblems []string

func (p OverrideProblems) Error() string { return strings.Join(p, "\n") }

// ReadOverrides reads the overrides in a file's content: a list of mappings with the keys fingerprint, by, reason and
// until, all of which are needed. The name of the file is used in problems. On any problem the error is
// [OverrideProblems] and nothing is overridden. Overrides that have ended are returned too, for [Verdict.Override] to
// tell of.
func ReadOverrides(name string, data []byte, now time.Time) ([]Override, error) {
	r := overrideReader{name: name, now: now}
	list := r.document(data)
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return list, nil
}

type overrideReader struct {
	name     string
	now      time.Time
	problems OverrideProblems
}

func (r *overrideReader) fail(at *token.Position, format string, args ...any) {
	line, column := 1, 1
	if at != nil {
		line, column = max(at.Line, 1), max(at.Column, 1)
	}
	if len(r.problems) < mostProblems {
		r.problems = append(r.problems, fmt.Sprintf("%s:%d:%d: %s", tidy(r.name), line, column, tidy(fmt.Sprintf(format, args...))))
	}
}

func (r *overrideReader) document(data []byte) (out []Override) {
	if len(data) > MaxOverrides {
		r.fail(nil, "the file is larger than %d KiB", MaxOverrides>>10)
		return nil
	}
	defer func() {
		if p := recover(); p != nil { // the parser's, on what nobody writes
			r.fail(nil, "cannot be read as YAML")
			out = nil
		}
	}()
	tokens := lexer.Tokenize(strings.TrimPrefix(string(data), "\ufeff"))
	if !r.shallow(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			r.fail(ye.GetToken().Position, "not valid YAML: %s", ye.GetMessage())
		} else {
			r.fail(nil, "not valid YAML: %s", err)
		}
		return nil
	}
	seen := map[string]int{}
	documents := 0
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.NullType {
			continue // nothing but comments: nobody overrides anything
		}
		if documents++; documents > 1 {
			r.fail(placeOf(doc.Body), "a second YAML document begins here; one file holds one")
			return nil
		}
		list, ok := doc.Body.(*ast.SequenceNode)
		if !ok {
			r.fail(placeOf(doc.Body), "want a list of overrides, each with fingerprint, by, reason and until")
			return nil
		}
		for _, n := range list.Values {
			o, ok := r.override(n)
			if !ok {
				continue
			}
			at := placeOf(n)
			if line, twice := seen[o.Fingerprint]; twice {
				r.fail(at, "the finding %s is overridden already in line %d: one override for each", o.Fingerprint, line)
			} else if at != nil {
				seen[o.Fingerprint] = at.Line
			}
			out = append(out, o)
		}
	}
	return out
}

// shallow refuses nesting that would exhaust the parser's stack, which no recover could catch.
func (r *overrideReader) shallow(tokens token.Tokens) bool {
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.InvalidType:
			r.fail(t.Position, "not valid YAML: %s", cmp.Or(t.Error, "unexpected text"))
			return false
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(0, depth-1)
		case token.SequenceEntryType, token.MappingValueType, token.MappingKeyType, token.AnchorType, token.TagType:
			if t.Position != nil && t.Position.Column > maxOverrideColumn && depth == 0 {
				r.fail(t.Position, "structure that begins beyond column %d is not accepted", maxOverrideColumn)
				return false
			}
		}
		if depth > maxOverrideDepth {
			r.fail(t.Position, "brackets are nested more than %d deep", maxOverrideDepth)
			return false
		}
	}
	return true
}

func (r *overrideReader) override(n ast.Node) (o Override, ok bool) {
	before := len(r.problems)
	var members []*ast.MappingValueNode
	switch v := n.(type) {
	case *ast.MappingNode:
		members = v.Values
	case *ast.MappingValueNode:
		members = []*ast.MappingValueNode{v}
	default:
		r.fail(placeOf(n), "want an override with fingerprint, by, reason and until")
		return o, false
	}
	has := map[string]bool{}
	for _, m := range members {
		key := ""
		if m.Key != nil && m.Key.GetToken() != nil {
			key = m.Key.GetToken().Value
		}
		text, plain := scalarOf(m.Value)
		at := placeOf(m.Value)
		if at == nil {
			at = placeOf(m)
		}
		var into *string
		most := 0
		if has[key] {
			r.fail(placeOf(m), "the key %q comes twice in one override", key)
			continue
		}
		switch key {
		case "fingerprint":
			into, most = &o.Fingerprint, longestFingerprint
		case "by":
			into, most = &o.By, longestBy
		case "reason":
			into, most = &o.Reason, longestReason
		case "until":
			has[key] = true
			r.until(at, text, plain, &o)
			continue
		default:
			r.fail(placeOf(m), "unknown key %q: want fingerprint, by, reason and until", shorten(key, 60))
			continue
		}
		has[key] = true
		*into = tidy(text)
		switch {
		case !plain:
			r.fail(at, "%s: want text", key)
		case *into == "":
			r.fail(at, "%s: is empty: who lets a finding pass says so with a name and a reason", key)
		case key != "fingerprint" && !strings.ContainsFunc(*into, legible):
			r.fail(at, "%s: holds no letter or digit that can be seen: who lets a finding pass says so with a name and a reason", key)
		case len([]rune(*into)) > most:
			r.fail(at, "%s: is longer than %d letters", key, most)
		}
	}
	for _, key := range []string{"fingerprint", "by", "reason", "until"} {
		if !has[key] {
			r.fail(placeOf(n), "the key %q is missing", key)
		}
	}
	return o, len(r.problems) == before
}

// legible reports whether a rune is a letter or digit that leaves something on paper. Some letters do not, such as the Hangul
// fillers (Unicode, DerivedCoreProperties.txt, Default_Ignorable_Code_Point).
func legible(c rune) bool {
	return (unicode.IsLetter(c) || unicode.IsNumber(c)) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, c)
}

// until takes a date, which means the end of that day in UTC, or RFC 3339.
func (r *overrideReader) until(at *token.Position, text string, plain bool, o *Override) {
	text = strings.TrimSpace(text)
	day, err := time.Parse(time.DateOnly, text)
	if err == nil {
		o.Until = day.AddDate(0, 0, 1).Add(-time.Second)
	} else {
		o.Until, err = time.Parse(time.RFC3339, text)
		o.Until = o.Until.UTC()
	}
	// A date may be the 90th day as a whole.
	last := r.now.UTC().Add(LongestOverride).Truncate(24 * time.Hour)
	switch {
	case !plain || err != nil:
		r.fail(at, "until: want a date such as 2026-12-10, or a time such as 2026-12-10T18:00:00Z")
	case !o.Until.Before(last.AddDate(0, 0, 1)):
		r.fail(at, "until: is more than %d days ahead: want %s at the latest", LongestOverride/(24*time.Hour), last.Format(time.DateOnly))
	}
}

// placeOf is where a node begins. A mapping's own token is a colon, so its first key is meant instead.
func placeOf(n ast.Node) *token.Position {
	switch v := n.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		if len(v.Values) > 0 && !v.IsFlowStyle {
			return placeOf(v.Values[0])
		}
	case *ast.MappingValueNode:
		if v.Key != nil {
			return placeOf(v.Key)
		}
	}
	if t := n.GetToken(); t != nil {
		return t.Position
	}
	return nil
}

// scalarOf is the text of a scalar as it is written; a fingerprint may look like a number, a name like a word for true.
func scalarOf(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		if v.Value == nil {
			return "", true
		}
		return v.Value.Value, true
	case *ast.NullNode:
		return "", true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// Override lets those findings pass for which somebody answers, and computes the verdict from the rest. An override
// counts to its last moment. A plan that is not whole cannot be answered for, since nobody knows what the rest of it
// holds. The notes tell of overrides that did not count, one sentence each. The verdict given is not changed.
func (v Verdict) Override(list []Override, now time.Time) (Verdict, []string) {
	out := Verdict{Class: Safe, Findings: slices.Clone(v.Findings)}
	var notes []string
	for _, o := range list {
		matched, ended := false, now.After(o.Until)
		for i := range out.Findings {
			f := &out.Findings[i]
			switch {
			case f.Fingerprint != o.Fingerprint:
				continue
			case f.Class == Incomplete:
				notes = append(notes, fmt.Sprintf("the override of %s by %s does not count: nobody can answer for a plan that is not whole", o.Fingerprint, o.By))
			case ended:
				notes = append(notes, fmt.Sprintf("the override of %s by %s ended on %s and no longer counts", o.Fingerprint, o.By, moment(o.Until)))
			default:
				own := o
				f.Overridden = &own
			}
			matched = true
		}
		switch {
		case matched:
		case ended:
			notes = append(notes, fmt.Sprintf("the override of %s by %s ended on %s and matches nothing here: it can be taken out", o.Fingerprint, o.By, moment(o.Until)))
		default:
			notes = append(notes, fmt.Sprintf("the override of %s by %s matches nothing in this plan", o.Fingerprint, o.By))
		}
	}
	for _, f := range out.Findings {
		if f.Overridden == nil && slices.Index(Classes(), f.Class) > slices.Index(Classes(), out.Class) {
			out.Class = f.Class
		}
	}
	if len(v.Findings) == 0 {
		out.Class = v.Class
	}
	slices.SortStableFunc(out.Findings, func(a, b Finding) int { // what counts first
		switch {
		case a.Overridden == nil && b.Overridden != nil:
			return -1
		case a.Overridden != nil && b.Overridden == nil:
			return 1
		}
		return 0
	})
	return out, notes
}
