package housetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

// reasonSections are what a person woken at night needs, in this order.
var reasonSections = []string{"What it means", "Why it matters", "What to do"}

func TestEveryReasonHasItsPage(t *testing.T) {
	dir := filepath.Join(root(t), "docs", "reasons")
	known := map[string]bool{"README.md": true}
	for _, r := range assure.Reasons() {
		name := string(r) + ".md"
		known[name] = true
		if r.Link() == "" {
			t.Errorf("the reason %s belongs to no link", r)
		}
		if !strings.HasSuffix(r.Docs(), "/docs/reasons/"+name) {
			t.Errorf("the reason %s points people to %s, which is not its page", r, r.Docs())
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("the page of a reason is missing: %v", err)
			continue
		}
		for _, problem := range pageProblems(string(r), string(r.Link()), string(data)) {
			t.Errorf("docs/reasons/%s: %s", name, problem)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !known[e.Name()] {
			t.Errorf("docs/reasons/%s is the page of no reason", e.Name())
		}
	}
	index, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range assure.Reasons() {
		if !strings.Contains(string(index), "["+"`"+string(r)+"`"+"]("+string(r)+".md)") {
			t.Errorf("docs/reasons/README.md does not list %s", r)
		}
	}
}

// pageProblems holds a page against its form: the code as the title, the link it belongs to, and each section in its
// order with at least a sentence in it.
func pageProblems(code, link, page string) []string {
	var out []string
	if first, _, _ := strings.Cut(page, "\n"); first != "# "+code {
		out = append(out, "the title is not the code")
	}
	if !strings.Contains(page, "Link: "+link+".") {
		out = append(out, "it does not say that it belongs to the link "+link)
	}
	rest := page
	for _, s := range reasonSections {
		_, after, ok := strings.Cut(rest, "\n## "+s+"\n")
		if !ok {
			return append(out, "the section \""+s+"\" is missing or out of order")
		}
		body, _, _ := strings.Cut(after, "\n## ")
		if len(strings.TrimSpace(body)) < 40 {
			out = append(out, "the section \""+s+"\" is all but empty")
		}
		rest = "\n" + after
	}
	return out
}

func TestAPageOutOfFormIsFound(t *testing.T) {
	body := "Something long enough to be a sentence of its own, for once.\n"
	good := "# a\n\nLink: serving.\n\n## What it means\n\n" + body + "\n## Why it matters\n\n" + body + "\n## What to do\n\n" + body
	if p := pageProblems("a", "serving", good); len(p) > 0 {
		t.Errorf("a good page has problems: %q", p)
	}
	for name, page := range map[string]string{
		"another title":        strings.Replace(good, "# a", "# b", 1),
		"another link":         strings.Replace(good, "serving", "people", 1),
		"a section is missing": strings.Replace(good, "## Why it matters", "## Why", 1),
		"a section is empty":   strings.Replace(good, "## What to do\n\n"+body, "## What to do\n\n", 1),
	} {
		if p := pageProblems("a", "serving", page); len(p) == 0 {
			t.Errorf("%s: nothing was found", name)
		}
	}
}
