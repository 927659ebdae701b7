package dnswriter

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateGuide = flag.Bool("update", false, "write the guide to DNS writers from the list of providers instead of comparing it")

const (
	guideFrom = "<!-- providers: written by `go test ./internal/renew/dnswriter -run Guide -update`, from the list in internal/renew/dnswriter/legochild -->\n"
	guideTo   = "<!-- end of the providers -->\n"
)

func TestGuideIsCurrent(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "..", "docs", "guides", "dns-writers.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), guideFrom)
	_, after, ok2 := strings.Cut(rest, guideTo)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks of its list", path)
	}
	want := before + guideFrom + guide() + guideTo + after
	if *updateGuide {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Error("docs/guides/dns-writers.md does not say what the list of providers says: run `go test ./internal/renew/dnswriter -run Guide -update`")
	}
}

// guide writes a table of all providers and a section for each.
func guide() string {
	var b strings.Builder
	b.WriteString("\n| code | provider | another program's value at the same name |\n|---|---|---|\n")
	for _, p := range Providers() {
		safe := "stays"
		switch {
		case p.Erases:
			safe = "can be lost, see below"
		case p.Caveat != "":
			safe = "up to you, see below"
		}
		_, _ = fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", p.Code, p.Code, p.Title, safe)
	}
	for _, p := range Providers() {
		_, _ = fmt.Fprintf(&b, "\n### %s\n\n%s. [What its API does](%s).\n\n", p.Code, strings.ToUpper(p.Title[:1])+p.Title[1:], p.Docs)
		if p.Caveat != "" {
			_, _ = fmt.Fprintf(&b, "> %s\n\n", p.Caveat)
		}
		_, _ = fmt.Fprintf(&b, "Least permission: %s.\n", strings.TrimSuffix(p.Permission, "."))
		if p.Either != "" {
			_, _ = fmt.Fprintf(&b, "Credentials: %s.\n", strings.TrimSuffix(p.Either, "."))
		}
		b.WriteString("\n| setting | meaning |\n|---|---|\n")
		for _, s := range p.Settings {
			n := "`" + s.Name + "`"
			if s.Alias != "" {
				n += " or `" + s.Alias + "`"
			}
			if s.Required {
				n += ", required"
			}
			if s.Secret {
				n += ", secret"
			}
			_, _ = fmt.Fprintf(&b, "| %s | %s |\n", n, s.Meaning)
		}
	}
	return b.String() + "\n"
}
