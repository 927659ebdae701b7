package iac

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Styles as ANSI escape sequences (ECMA-48 section 8.3.117).
const (
	styleBold   = "1"
	styleDim    = "2"
	styleRed    = "1;31"
	styleGreen  = "1;32"
	styleYellow = "1;33"
)

// Text writes the verdict for people: what stops comes first, then whose identity loses what, then what to change. When
// renewal is untouched it writes nothing at all.
func (v Verdict) Text(w io.Writer, o RenderOptions) error {
	if len(v.Findings) == 0 {
		return nil
	}
	t := &textWriter{w: bufio.NewWriter(w), o: o, columns: max(o.Columns, 40)}
	if o.Columns <= 0 {
		t.columns = 100
	}
	answered := 0
	for _, f := range v.Findings {
		if f.Overridden != nil {
			answered++
			continue
		}
		t.finding(f)
	}
	if !o.Drift {
		t.answers(v.Findings)
	}
	for _, f := range v.Findings {
		if f.Overridden != nil {
			t.overridden(f)
		}
	}
	if answered > 0 {
		t.line("")
	}
	switch c := v.counts(); {
	case c == "":
		t.line(v.conclusion())
	case o.Drift:
		t.line(c + ".")
	default:
		t.line(c + ". " + v.conclusion())
	}
	if v.Class.Fails() && !o.Inventory && !o.Drift {
		t.line("With --config or --inventory this names the certificates concerned, and when each renewal is due.")
	}
	return t.w.Flush()
}

type textWriter struct {
	w       *bufio.Writer
	o       RenderOptions
	columns int
}

func (t *textWriter) line(s string) { _, _ = t.w.WriteString(Inert(strings.TrimRight(s, " ")) + "\n") }

func (t *textWriter) paint(style, s string) string {
	if !t.o.Colour {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// labelled writes a text beside its label, and further lines below it.
func (t *textWriter) labelled(label, text string) {
	const indent = 16
	for i, l := range fold(text, t.columns-indent) {
		if i == 0 {
			t.line("  " + t.paint(styleDim, fmt.Sprintf("%-*s", indent-2, label)) + l)
		} else {
			t.line(strings.Repeat(" ", indent) + l)
		}
	}
}

func (t *textWriter) finding(f Finding) {
	head := strings.ToUpper(string(f.Class))
	style := styleYellow
	switch {
	case f.Class.Fails():
		style = styleRed
	case f.Class == Safe:
		style = styleGreen
	}
	lines := fold(tidy(f.Summary), t.columns-utf8.RuneCountInString(head)-2)
	if len(lines) == 0 {
		lines = []string{wordsOf(f.Class).title + "."}
	}
	for i, l := range lines {
		if i == 0 {
			t.line(t.paint(style, head) + "  " + t.paint(styleBold, l))
		} else {
			t.line(strings.Repeat(" ", len(head)+2) + t.paint(styleBold, l))
		}
	}
	if when := f.hurts(t.o); when != "" {
		t.labelled("first hurts", when)
	}
	if len(f.Certificates) > 0 {
		t.labelled("certificates", enumerate(f.Certificates, 12))
	}
	for _, l := range f.particulars() {
		t.labelled(l.label, l.text)
	}
	for i, p := range pieces(f.Repair) {
		if p.code {
			for l := range strings.SplitSeq(p.text, "\n") {
				t.line("      " + l)
			}
			continue
		}
		for j, l := range fold(tidy(p.text), t.columns-4) {
			if i == 0 && j == 0 {
				t.line("  " + t.paint(styleBold, "→") + " " + l)
			} else {
				t.line("    " + l)
			}
		}
	}
	t.line("")
}

// answers are the overrides to fill in. They come after all findings: whoever was woken wants to know first what to mend.
func (t *textWriter) answers(findings []Finding) {
	var lines []string
	for _, f := range findings {
		if s := f.snippet(t.o.Now); s != "" && f.Overridden == nil {
			first, rest, _ := strings.Cut(strings.TrimSuffix(s, "\n"), "\n")
			lines = append(lines, first+"  # "+string(f.Class)+" at "+orNone(tidy(f.Address)))
			lines = append(lines, strings.Split(rest, "\n")...)
		}
	}
	if len(lines) == 0 {
		return
	}
	t.line(t.paint(styleDim, "To let a finding pass for a time all the same, answer for it in "+tidy(t.o.overrides())+":"))
	for _, l := range lines {
		t.line("  " + t.paint(styleDim, l))
	}
	t.line("")
}

func (t *textWriter) overridden(f Finding) {
	t.line(t.paint(styleDim, "overridden") + fmt.Sprintf("  %s at %s: by %s until %s: %s", f.Class, orNone(tidy(f.Address)), tidy(f.Overridden.By), moment(f.Overridden.Until), tidy(f.Overridden.Reason)))
}

// particular is one thing that a finding names.
type particular struct{ label, text string }

// particulars are what a finding names, in the order in which people want to know it.
func (f Finding) particulars() []particular {
	var out []particular
	add := func(label, text string) {
		if text = tidy(text); text != "" {
			out = append(out, particular{label, text})
		}
	}
	switch f.kind {
	case KindGrant, "":
		add("identity", f.Principal)
		add("permission", f.Permission)
	case KindIdentity, KindTrust, KindCredential:
		add("identity", f.Principal)
		add("by", f.Permission)
	case KindBlock:
		add("what", f.Permission)
		add("concerns", f.Principal)
	default:
		add("what", f.Principal)
	}
	if f.Scope != f.Principal && (f.kind == KindGrant || f.kind == "" || !f.inside()) {
		add("where", f.Scope)
	}
	add("resource", f.Address)
	if f.Previous != nil && *f.Previous != f.Address {
		add("before", *f.Previous)
	}
	return out
}

// inside reports whether a scope is a path that only the readers know ("/kubernetes"), and no id of a cloud.
func (f Finding) inside() bool {
	return strings.HasPrefix(f.Scope, "/") && !strings.HasPrefix(strings.ToLower(f.Scope), "/subscriptions/") && !strings.HasPrefix(strings.ToLower(f.Scope), "/providers/")
}

func orNone(s string) string {
	if s == "" {
		return "the plan"
	}
	return s
}

// enumerate lists at most n names and says how many more there are.
func enumerate(names []string, n int) string {
	list := slices.Clone(names)
	for i := range list {
		list[i] = tidy(list[i])
	}
	more := len(list) - n
	if more > 0 {
		list = list[:n]
	}
	s := strings.Join(list, ", ")
	if more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// fold breaks a text into lines of at most n letters, at spaces. A word that is longer stands alone on a line.
func fold(s string, n int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	for word := range strings.FieldsSeq(s) {
		c := utf8.RuneCountInString(word)
		if used > 0 && used+1+c > n {
			lines = append(lines, line.String())
			line.Reset()
			used = 0
		}
		if used > 0 {
			line.WriteByte(' ')
			used++
		}
		line.WriteString(word)
		used += c
	}
	if used > 0 {
		lines = append(lines, line.String())
	}
	return lines
}
