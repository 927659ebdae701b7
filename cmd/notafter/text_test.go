package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestCells(t *testing.T) {
	for s, want := range map[string]int{"abc": 3, "日本": 4, "e\u0301": 1, "ｶ": 1, "Ａ": 2, "": 0} {
		if got := cells(s); got != want {
			t.Errorf("%q takes %d columns, want %d", s, got, want)
		}
	}
	if got := wrap("one two  three", 7); !slices.Equal(got, []string{"one two", "three"}) {
		t.Errorf("wrapped as %q", got)
	}
}

// What a server says is no command to the pipeline that notafter runs in, wherever a line breaks.
func TestWordsAreNoCommands(t *testing.T) {
	if got := clean("see ##[error]x and ##vso[task.a]b"); got != "see ## [error]x and ## vso[task.a]b" {
		t.Errorf("cleaned as %q", got)
	}
	if got := cleanLines("it said\n::error::x"); got != "it said\n: :error::x" {
		t.Errorf("cleaned as %q", got)
	}
	if got := wrap("it said ::error::x and on", 8); !slices.Equal(got, []string{"it said", ": :error::x", "and on"}) {
		t.Errorf("wrapped as %q", got)
	}
}

// What anybody can choose must reach a program unchanged and a terminal without effect.
func FuzzShownText(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31mred", "\u009b31m", "\u202eevil", "日本語", "a\nb\tc", "<&>\"", "\xff\xfe", "\\u0000\x00", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := encode(map[string]string{"text": s}, "")
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.IndexFunc(strings.TrimSuffix(string(b), "\n"), func(r rune) bool { return hidden(r) || r == '\n' }); i >= 0 {
			t.Fatalf("the JSON of %q acts on a terminal: %q", s, b)
		}
		var back map[string]string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%q becomes %q, which is not JSON: %v", s, b, err)
		}
		if back["text"] != strings.ToValidUTF8(s, "\ufffd") && !strings.Contains(s, "\ufffd") && strings.ToValidUTF8(s, "") == s {
			t.Fatalf("%q comes back as %q", s, back["text"])
		}
		if c := clean(s); strings.ContainsFunc(c, func(r rune) bool { return hidden(r) || r == '\n' }) {
			t.Fatalf("%q is cleaned to %q", s, c)
		}
		for _, l := range wrap(clean(s), 10) {
			if cells(l) > 10 && strings.Contains(l, " ") {
				t.Fatalf("a line of %q is too wide: %q", s, l)
			}
		}
	})
}
