package iac

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// RenderOptions say how a verdict is shown. The zero value is plain text.
type RenderOptions struct {
	// Now is what "in 16 days" is counted from, and what the end of a suggested override is.
	Now time.Time
	// Columns is the width of texts (default 100). Colour paints for a terminal.
	Columns int
	Colour  bool
	// Overrides is the file that an override goes into, for people (default [OverridesFile]).
	Overrides string
	// Inventory says whether certificates and dates were known; without, the texts say how to make them so.
	Inventory bool
	// Drift says that a plan was read for what vanished outside of it, and not to be applied: then nothing is said of applying
	// it, nor of overrides and inventories, which count for nothing there.
	Drift bool
	// Plan names the file of the plan; empty for standard input.
	Plan string
	// Version is the version of this program.
	Version string
}

func (o RenderOptions) overrides() string {
	if o.Overrides == "" {
		return OverridesFile
	}
	return o.Overrides
}

// classWords tell what a class means.
type classWords struct {
	title string // in a few words
	help  string // what it means and what to do, in plain sentences
}

// wordsOf are the same words in every form of output.
func wordsOf(c Class) classWords {
	switch c {
	case Lost:
		return classWords{
			"Renewal loses something it rests on",
			"After the apply, something that renewal rests on is gone, and nothing else takes its place: a grant, an identity, a zone, the renewer itself. Certificates stay valid for " +
				"weeks, so nothing else will tell. Keep the resource, or move it with a moved block instead of deleting it.",
		}
	case Collision:
		return classWords{
			"The same grant is destroyed at one address and created at another",
			"The cloud knows one such object, and the order of the two steps is not defined: the creation may be refused because the old one is still there (Azure answers 409 " +
				"RoleAssignmentExists), and the deletion may then take away what was to be kept. Write a moved block, so that nothing is destroyed.",
		}
	case Blocked:
		return classWords{
			"Something is added that forbids renewal",
			"A lock, a deny, a CAA record or a static challenge record is created or changed, and stops what renewal does although every grant is still there.",
		}
	case Narrowed:
		return classWords{
			"Renewal keeps less than it had",
			"A scope, an action, a condition or a trust becomes narrower than what the challenge needs. Make it as wide as it was, for the renewer.",
		}
	case Gap:
		return classWords{
			"Destroyed and made again, with nothing in between",
			"While the apply runs there is no grant, and when its second half fails there is none at all. Let the new one be made first (create_before_destroy) where the cloud allows it, " +
				"or apply when no renewal is due, and look afterwards.",
		}
	case Orphaned:
		return classWords{
			"Lives on, but no code protects it any more",
			"The resource leaves the state and stays in the cloud. Renewal goes on, and nobody will see in a plan when it is deleted.",
		}
	case Incomplete:
		return classWords{
			"The plan is not the whole plan",
			"It ended in an error, was made with -target, or puts decisions off. What it does not hold cannot be judged. Make a whole plan.",
		}
	case Unknown:
		return classWords{
			"The plan does not know what decides it",
			"A value that decides whether renewal keeps working is known only after the apply. Make it known (apply in two steps, or write the id), or prove renewal after the apply.",
		}
	}
	return classWords{"Renewal gets back what it had lost", "Something that renewal rests on is gone already, and this plan makes it again. Apply it, and have a renewal prove it."}
}

// Fails reports whether a class means that renewal breaks, rather than that nobody can tell.
func (c Class) Fails() bool { return c != Safe && c != Unknown && c != Incomplete }

// headline says what a verdict means to somebody who has never heard of its classes, for the top of a comment.
func (c Class) headline() string {
	switch c {
	case Lost, Blocked:
		return "certificates would stop renewing"
	case Collision:
		return "certificates may stop renewing"
	case Narrowed:
		return "the renewal of certificates is cut back"
	case Gap:
		return "the renewal of certificates is interrupted"
	case Orphaned:
		return "the renewal of certificates loses its protection"
	}
	return "nobody can tell whether certificates go on renewing"
}

// counts tells how many findings there are of each class, the worst first; those that were answered for are left out.
func (v Verdict) counts() string {
	var parts []string
	for _, c := range slices.Backward(Classes()[1:]) {
		n := 0
		for _, f := range v.Findings {
			if f.Class == c && f.Overridden == nil {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c))
		}
	}
	return strings.Join(parts, ", ")
}

// conclusion is what the verdict means for the apply, in one sentence.
func (v Verdict) conclusion() string {
	switch {
	case v.Class.Fails():
		return "Do not apply this plan as it is."
	case v.Class != Safe:
		return "Nothing is certain to break, but nobody can tell from this plan."
	case slices.ContainsFunc(v.Findings, func(f Finding) bool { return f.Overridden != nil }):
		return "Somebody answers for everything found here."
	case len(v.Findings) > 0:
		return "This plan gives back what renewal has lost."
	}
	return "Renewal is untouched by this plan."
}

// hurts tells since when it hurts; empty when nobody knows the dates, or the summary says it.
func (f Finding) hurts(o RenderOptions) string {
	if f.HurtsAt == nil {
		return ""
	}
	s := moment(*f.HurtsAt)
	if strings.Contains(f.Summary, s) {
		return ""
	}
	if o.Now.IsZero() {
		return s
	}
	days := func(d time.Duration) string {
		switch {
		case d >= 48*time.Hour:
			return fmt.Sprintf("%d days", d/(24*time.Hour))
		case d >= 2*time.Hour:
			return fmt.Sprintf("%d hours", d/time.Hour)
		}
		return fmt.Sprintf("%d minutes", max(d/time.Minute, 1))
	}
	if d := f.HurtsAt.Sub(o.Now); d > 0 {
		return s + ", in " + days(d)
	}
	return s + ": a renewal is due already"
}

// snippet is an override to be filled in. As it stands it is refused, because nobody answers for it.
func (f Finding) snippet(now time.Time) string {
	if f.Fingerprint == "" || f.Class == Incomplete || f.Class == Safe {
		return ""
	}
	return fmt.Sprintf("- fingerprint: %q\n  by: \"\"      # who answers for it\n  reason: \"\"  # why it may pass\n  until: %s\n",
		tidy(f.Fingerprint), now.UTC().AddDate(0, 0, suggestedDays).Format(time.DateOnly))
}

// suggestedDays is how long a suggested override lasts: long enough to mend what it excuses.
const suggestedDays = 14

func moment(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04 UTC") }

// piece is a part of a text: prose, or code that is shown as it is.
type piece struct {
	code bool
	text string
}

// pieces tells the code in a repair from its prose. Code is a block in braces that begins on a line of its own, and
// whatever is indented by two spaces or more.
func pieces(s string) []piece {
	var out []piece
	add := func(code bool, line string) {
		if n := len(out); n > 0 && out[n-1].code == code {
			out[n-1].text += "\n" + line
			return
		}
		out = append(out, piece{code, line})
	}
	depth := 0
	for line := range strings.SplitSeq(strings.ReplaceAll(shorten(s, 2*longestText), "\r\n", "\n"), "\n") {
		line = strings.TrimRight(hide(strings.ReplaceAll(line, "\t", "  ")), " ")
		opens := strings.HasSuffix(line, "{")
		switch {
		case depth > 0 || opens:
			depth = max(0, depth+strings.Count(line, "{")-strings.Count(line, "}"))
			add(true, line)
		case strings.HasPrefix(line, "  "):
			add(true, line)
		case line == "":
			if n := len(out); n > 0 && out[n-1].text != "" && out[n-1].code {
				continue // the end of a block
			}
			if len(out) > 0 {
				add(false, "")
			}
		default:
			add(false, line)
		}
	}
	return out
}

// longestText is how much of one text is shown, in letters.
const longestText = 4000

// tidy makes a text from outside fit for one line: no control characters, none that turn the direction of text, bounded.
func tidy(s string) string { return shorten(strings.Join(strings.Fields(hide(s)), " "), longestText) }

// hide takes out what acts on a terminal or on the order of text instead of being seen.
func hide(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar || unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// shorten keeps at most n letters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
