package iac

import (
	"fmt"
	"html"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MarkdownMark is the first line of every comment, by which a later run finds the one to replace.
const MarkdownMark = "<!-- notafter guard -->"

// maxMarkdown is how long a comment may become, in bytes. GitHub takes 65,536 characters; the rest is for what others
// put around it.
const maxMarkdown = 60_000

// Markdown writes the verdict as a comment on a pull request, in GitHub's dialect (which GitLab reads too). What comes
// from the plan can make no links, mentions or HTML. A comment that would become too long names what it leaves out.
func (v Verdict) Markdown(w io.Writer, o RenderOptions) error {
	var b strings.Builder
	b.WriteString(MarkdownMark + "\n")
	switch {
	case len(v.Findings) == 0:
		b.WriteString("**notafter guard**: renewal is untouched by this plan.\n")
	case v.Class.Fails():
		fmt.Fprintf(&b, "### ❌ notafter guard: %s\n\n%s. **%s**\n", v.Class.headline(), v.counts(), v.conclusion())
	case v.Class != Safe:
		fmt.Fprintf(&b, "### ⚠️ notafter guard: %s\n\n%s. %s\n", v.Class.headline(), v.counts(), v.conclusion())
	default:
		fmt.Fprintf(&b, "**notafter guard**: %s\n", v.conclusion())
	}
	left := 0
	for _, f := range v.Findings {
		if left == 0 {
			if block := f.markdown(o); b.Len()+len(block) <= maxMarkdown {
				b.WriteString(block)
				continue
			}
		}
		left++
	}
	if left > 0 {
		fmt.Fprintf(&b, "\n%d more did not fit into this comment: see the log, or `notafter guard --output json`.\n", left)
	}
	_, err := io.WriteString(w, inertLines(b.String()))
	return err
}

func (f Finding) markdown(o RenderOptions) string {
	var b strings.Builder
	if f.Overridden != nil {
		fmt.Fprintf(&b, "\n- overridden: %s at %s, by %s until %s: %s\n", f.Class, codeSpan(orNone(f.Address)), prose(f.Overridden.By), prose(moment(f.Overridden.Until)), prose(f.Overridden.Reason))
		return b.String()
	}
	summary := f.Summary
	if tidy(summary) == "" {
		summary = wordsOf(f.Class).title + "."
	}
	fmt.Fprintf(&b, "\n**%s**: %s\n\n", strings.ToUpper(string(f.Class)), prose(summary))
	if when := f.hurts(o); when != "" {
		fmt.Fprintf(&b, "First hurts on **%s**.\n\n", when)
	}
	for _, p := range pieces(f.Repair) {
		if p.code {
			fence := strings.Repeat("`", max(3, longestRun(p.text)+1))
			fmt.Fprintf(&b, "%shcl\n%s\n%s\n\n", fence, shorten(p.text, longestText), fence)
		} else if s := tidy(p.text); s != "" {
			b.WriteString("→ " + prose(s) + "\n\n")
		}
	}
	fmt.Fprintf(&b, "<details><summary><code>%s</code></summary>\n\n", html.EscapeString(orNone(tidy(f.Address))))
	if len(f.Certificates) > 0 {
		var spans []string
		for _, c := range f.Certificates[:min(len(f.Certificates), 100)] {
			spans = append(spans, codeSpan(shorten(c, 300)))
		}
		more := ""
		if n := len(f.Certificates) - len(spans); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		fmt.Fprintf(&b, "- certificates: %s%s\n", strings.Join(spans, ", "), more)
	}
	for _, p := range f.particulars() {
		fmt.Fprintf(&b, "- %s: %s\n", p.label, codeSpan(p.text))
	}
	if s := f.snippet(o.Now); s != "" {
		fence := strings.Repeat("`", max(3, longestRun(s)+1))
		fmt.Fprintf(&b, "\nTo let it pass for a time all the same, answer for it in %s:\n\n%syaml\n%s%s\n", codeSpan(o.overrides()), fence, s, fence)
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// prose writes a sentence in which words that are more than letters, short numbers and plain punctuation stand as code.
// In code nothing is a link, a mention, a reference or a tag, whatever the word holds.
func prose(s string) string {
	var out []string
	for word := range strings.FieldsSeq(tidy(s)) {
		if !plainWord(word) {
			core := strings.TrimRight(word, ".,;:!?)")
			if core == "" || strings.Count(core, "(") > strings.Count(core, ")") {
				core = word
			}
			word = codeSpan(core) + word[len(core):]
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// plainWord reports whether a word means nothing to Markdown, nor to what GitHub makes links of: mentions, numbers of issues,
// hashes of commits, addresses, names of repositories.
func plainWord(word string) bool {
	core := strings.TrimLeft(strings.TrimRight(word, ".,;:!?)\"'’"), "(\"'")
	if core == "" {
		return false
	}
	if core == "→" {
		return true
	}
	if t, err := time.Parse("15:04", core); err == nil && t.Format("15:04") == core {
		return true
	}
	letters, digits, hex := 0, 0, 0
	for i, r := range core {
		switch {
		case unicode.IsLetter(r):
			letters++
		case unicode.IsDigit(r):
			digits++
		case (r == '-' || r == '\'' || r == '’') && i > 0 && i < len(core)-utf8.RuneLen(r):
			continue
		default:
			return false
		}
		if unicode.Is(unicode.ASCII_Hex_Digit, r) {
			hex++
		}
	}
	switch {
	case letters > 0 && digits > 0:
		return false
	case digits > 4:
		return false
	case hex == letters+digits && hex >= 7: // a commit (GitHub links seven digits and more)
		return false
	}
	return true
}

// codeSpan quotes a text as code, between more backticks than it holds itself (CommonMark 0.31, section 6.1).
func codeSpan(s string) string {
	s = tidy(s)
	if s == "" {
		return ""
	}
	fence := strings.Repeat("`", longestRun(s)+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

// longestRun is the length of the longest run of backticks.
func longestRun(s string) int {
	longest, run := 0, 0
	for _, r := range s {
		if r == '`' {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	return longest
}
