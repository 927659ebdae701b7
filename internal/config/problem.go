package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong, and where.
type Problem struct {
	File   string // empty when there is no file
	Line   int    // from 1; what concerns the file as a whole stands at its beginning
	Column int    // from 1, in characters
	Key    string // such as certificates[3].endpoints[0]; empty when it concerns the file as a whole
	Text   string
}

// String is the problem on one line: file:line:column: key: text. Editors and other programs read that form.
func (p Problem) String() string { return p.Marked("") }

// Marked is [Problem.String] with a word after the place, as compilers mark what is not an error.
func (p Problem) Marked(word string) string {
	var b strings.Builder
	if p.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, max(p.Line, 1), max(p.Column, 1))
	}
	if word != "" {
		b.WriteString(word)
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key)
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is everything that is wrong with a file, in the order of the file.
type Problems struct {
	List []Problem
	More int // found but not listed
	// Stopped is true when so many were found that the rest of the file was not looked at.
	Stopped bool
}

// Error has one line for each problem.
func (p *Problems) Error() string {
	lines := make([]string, 0, len(p.List)+1)
	for _, one := range p.List {
		lines = append(lines, one.String())
	}
	if p.More > 0 {
		more := Problem{Text: fmt.Sprintf("and %d more", p.More)}
		if p.Stopped {
			more.Text = fmt.Sprintf("and at least %d more; what follows was not looked at", p.More)
		}
		if n := len(p.List); n > 0 { // the rest follows the last that is listed
			more.File, more.Line, more.Column = p.List[n-1].File, p.List[n-1].Line, p.List[n-1].Column
		}
		lines = append(lines, more.String())
	}
	return strings.Join(lines, "\n")
}

// maxProblems is as many as somebody reads at a time.
const maxProblems = 50

// allOf puts problems into the order of the file and keeps as many as somebody reads. It is nil when there are none.
func allOf(list []Problem) error {
	if len(list) == 0 {
		return nil
	}
	sortProblems(list)
	p := &Problems{List: list}
	if len(p.List) > maxProblems {
		p.More = len(p.List) - maxProblems
		p.List = p.List[:maxProblems]
	}
	return p
}

func sortProblems(list []Problem) {
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// quote repeats text from the file, short and without control characters.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}

// suggest gives " (did you mean X?)" when a known word is a few slips of the finger away, and what is known otherwise.
func suggest(word string, known []string) string {
	best, distance := "", max(1, min(3, len(word)/3))+1
	if len(word) <= 64 {
		for _, k := range known {
			if d := edits(strings.ToLower(word), k); d < distance {
				best, distance = k, d
			}
		}
		for _, k := range known { // part of a name: password for password_hash
			if best == "" && word != "" && (strings.HasPrefix(k, word+"_") || strings.HasSuffix(k, "_"+word)) {
				best = k
			}
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf(" (did you mean %s?)", quote(best))
	case len(known) == 0:
		return ""
	case len(known) > 30:
		return ""
	}
	return " (known: " + strings.Join(known, ", ") + ")"
}

// edits counts the letters to insert, delete, replace or swap to get from a to b.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	before := make([]int, len(y)+1) // two rows back, for swaps
	above := make([]int, len(y)+1)
	row := make([]int, len(y)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(y)]
}
