package notify

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text from certificates, servers and services fit for one line of a message: valid UTF-8, without control
// characters, directional overrides or invisible marks, white space folded.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029' || r == '\u0085':
			return ' '
		case unicode.IsControl(r),
			r >= '\u200b' && r <= '\u200f', // zero width, directional marks
			r >= '\u202a' && r <= '\u202e', // directional embeddings and overrides
			r >= '\u2060' && r <= '\u2069', // word joiner, directional isolates
			r == '\ufeff', r == '\ufffe', r == '\uffff',
			r >= 0xe0000 && r <= 0xe007f: // tags
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// clipRunes shortens s to at most n characters (Unicode code points), ending in an ellipsis when something was cut.
func clipRunes(s string, n int) string {
	if n <= 0 {
		return ""
	}
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return strings.TrimRight(string(r[:n-1]), " ") + "…"
}

// clipBytes shortens s to at most n bytes without splitting a character.
func clipBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const dots = "…"
	if n < len(dots) {
		return ""
	}
	cut := n - len(dots)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimRight(s[:cut], " ") + dots
}

// limit says how long a text may be, in the unit that the service counts in.
type limit struct {
	n     int
	size  func(string) int
	short func(string, int) string
}

func runes(n int) limit {
	return limit{n: n, size: utf8.RuneCountInString, short: clipRunes}
}

func bytesLimit(n int) limit {
	return limit{n: n, size: func(s string) int { return len(s) }, short: clipBytes}
}

// line is one labelled line of a message. The lower its weight, the sooner it is shortened or left out.
type line struct {
	Label  string
	Text   string
	weight int
}

func (l line) String() string { return l.Label + ": " + l.Text }

// keep is the weight of lines that are never left out while there is room for anything.
const keep = 10

// fit joins the lines by newlines and keeps the result within the limit: the least important line is shortened if that
// is enough, otherwise left out, then the next. The whole is cut only when the lines that matter do not fit by themselves.
func fit(lines []line, max limit) string {
	const useful = 40 // a line cut shorter than this says too little to stand there
	kept := append([]line(nil), lines...)
	for {
		text := join(kept)
		over := max.size(text) - max.n
		if over <= 0 {
			return text
		}
		least := -1
		for i, l := range kept {
			if l.weight < keep && (least < 0 || l.weight < kept[least].weight) {
				least = i
			}
		}
		if least < 0 {
			return max.short(text, max.n)
		}
		have := max.size(kept[least].Text)
		if want := have - over; want >= useful {
			kept[least].Text = max.short(kept[least].Text, want)
			continue
		}
		if kept[least].Label == labelWhat {
			// What is wrong stays, however short, as long as there is room for a few words.
			if want := have - over; want >= 12 {
				kept[least].Text = max.short(kept[least].Text, want)
				continue
			}
		}
		kept = append(kept[:least], kept[least+1:]...)
	}
}

func join(lines []line) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(l.String())
	}
	return b.String()
}
