package housetest

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkPattern    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingPattern = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notInAnchor    = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	fencePattern   = regexp.MustCompile("(?ms)^```.*?^```$")
)

// anchors are the fragments that a Markdown file offers, as GitHub makes them of headings.
func anchors(data string) map[string]bool {
	out := map[string]bool{}
	for _, m := range headingPattern.FindAllStringSubmatch(fencePattern.ReplaceAllString(data, ""), -1) {
		a := strings.ToLower(strings.ReplaceAll(m[1], "`", ""))
		out[strings.ReplaceAll(notInAnchor.ReplaceAllString(a, ""), " ", "-")] = true
	}
	return out
}

func TestLinksLeadSomewhere(t *testing.T) {
	pages := map[string]string{}
	walk(t, ".md", func(rel string, data []byte) { pages[rel] = string(data) })
	for rel, data := range pages {
		for _, m := range linkPattern.FindAllStringSubmatch(fencePattern.ReplaceAllString(data, ""), -1) {
			to := m[1]
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			file, fragment, _ := strings.Cut(to, "#")
			target := rel
			if file != "" {
				target = path.Join(path.Dir(rel), file)
			}
			if _, err := os.Stat(filepath.Join(root(t), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which is not there", rel, to)
				continue
			}
			if fragment != "" && !anchors(pages[target])[fragment] {
				t.Errorf("%s links to %s, and that page has no such heading", rel, to)
			}
		}
	}
}

var (
	testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)\(`)
	numbered = regexp.MustCompile(`(?m)^(\d+)\. `)
)

// TestInvariantsAreHeldByTests keeps the list of invariants honest: each names tests that exist, or says that nothing
// holds it yet.
func TestInvariantsAreHeldByTests(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root(t), "docs", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	walk(t, "_test.go", func(_ string, src []byte) {
		for _, m := range testFunc.FindAllSubmatch(src, -1) {
			have[string(m[1])] = true
		}
	})
	_, list, ok := strings.Cut(string(data), "\n## Invariants\n")
	if !ok {
		t.Fatal("docs/ARCHITECTURE.md has no section of invariants")
	}
	list, _, _ = strings.Cut(list, "\n## ")
	starts := numbered.FindAllStringIndex(list, -1)
	if len(starts) != 12 {
		t.Errorf("%d invariants are listed, want 12", len(starts))
	}
	for i, s := range starts {
		end := len(list)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		item := list[s[0]:end]
		if !strings.Contains(item, "Held by") && !strings.Contains(item, "Not yet:") {
			t.Errorf("invariant says neither what holds it nor that nothing does: %.60s", item)
		}
		names := testName.FindAllStringSubmatch(item, -1)
		if strings.Contains(item, "Held by") && len(names) == 0 {
			t.Errorf("invariant names no test: %.60s", item)
		}
	}
	for _, m := range testName.FindAllStringSubmatch(string(data), -1) {
		if !have[m[1]] {
			t.Errorf("docs/ARCHITECTURE.md names the test %s, which does not exist", m[1])
		}
	}
}

func TestProseIsPlain(t *testing.T) {
	walk(t, ".md", func(rel string, data []byte) {
		if strings.ContainsRune(string(data), '\u2014') {
			t.Errorf("%s holds an em dash: make two sentences of it", rel)
		}
		for _, word := range []string{"TODO", "FIXME", "XXX"} {
			if strings.Contains(string(data), word) {
				t.Errorf("%s holds %s: do it, or write down the gap as a gap", rel, word)
			}
		}
	})
}
