package main

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"github.com/notafter/notafter/internal/iac"
)

// clean takes out of a text whatever acts on a terminal, or on the runner of a pipeline, instead of being seen: a
// certificate, a server or a plan may have chosen it. Line breaks become spaces.
func clean(s string) string {
	return iac.Inert(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case hidden(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s))
}

// cleanLines is clean that keeps line breaks, for texts of our own that hold them on purpose.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = clean(l)
	}
	return strings.Join(lines, "\n")
}

// clip keeps at most n runes.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}

// cells is how many columns of a terminal a text takes: East Asian wide letters take two (Unicode Standard Annex 11),
// combining marks none.
func cells(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case isWide(r):
			n += 2
		default:
			n++
		}
	}
	return n
}

func isWide(r rune) bool {
	k := width.LookupRune(r).Kind()
	return k == width.EastAsianWide || k == width.EastAsianFullwidth
}

func pad(s string, n int) string {
	if c := cells(s); c < n {
		return s + strings.Repeat(" ", n-c)
	}
	return s
}

// wrap breaks a text into lines of at most n columns, at spaces. A word that is longer stands alone on a line. No line is
// a command to the runner of a pipeline, which knows them by how a line begins.
func wrap(s string, n int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	for _, word := range strings.Fields(s) {
		c := cells(word)
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
	for i := range lines {
		lines[i] = iac.Inert(lines[i])
	}
	return lines
}
