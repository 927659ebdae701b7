package iac

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// corpusOf reads the plans of a part of the corpus.
func corpusOf(t *testing.T, parts ...string) map[string]*Plan {
	t.Helper()
	out := map[string]*Plan{}
	for _, part := range parts {
		files, err := filepath.Glob(filepath.Join("testdata", "corpus", part, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no plans of %s: %v", part, err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Read(bytes.NewReader(raw), ReadOptions{})
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			out[f] = p
		}
	}
	return out
}

// A plan that changes nothing says nothing, whatever it holds; and the order of a plan means nothing.
func TestCorpusThatStays(t *testing.T) {
	t.Parallel()
	for file, p := range corpusOf(t, "google", "kubernetes", "path") {
		for name, inv := range map[string]Inventory{"none": {}, "by DNS": gInventory, "by HTTP": hInventory} {
			var before, after []Change
			for _, c := range p.Changes {
				if c.Before != nil {
					before = append(before, Change{Address: c.Was(), Type: c.Type, Module: c.Module, Do: NoOp, Before: c.Before, After: c.Before})
				}
				if c.After != nil && c.Unknown == nil {
					after = append(after, Change{Address: c.Address, Type: c.Type, Module: c.Module, Do: NoOp, Before: c.After, After: c.After})
				}
			}
			for _, list := range [][]Change{before, after} {
				if found := Judge(&Plan{Changes: list}, inv).Findings; len(found) != 0 {
					t.Errorf("%s, inventory %s: a plan that changes nothing says %s %s: %s", file, name, found[0].Class, found[0].Address, found[0].Summary)
				}
			}
			turned := slices.Clone(p.Changes)
			slices.Reverse(turned)
			a, b := said(p.Changes...), said(turned...)
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(a, b) {
				t.Errorf("%s: in its order it says %q, turned around %q", file, a, b)
			}
		}
	}
}

// A plan that makes what was never there takes nothing away, unless it forbids or takes a role for itself.
func TestCorpusThatIsMade(t *testing.T) {
	t.Parallel()
	for file, p := range corpusOf(t, "google", "kubernetes", "path") {
		var made []Change
		for _, c := range p.Changes {
			if c.Before != nil {
				made = append(made, Change{Address: c.Was(), Type: c.Type, Module: c.Module, Do: Create, After: c.Before})
			}
		}
		for _, f := range Judge(&Plan{Changes: made}, Inventory{}).Findings {
			if f.Class != Blocked && !(f.Class == Unknown && slices.Contains([]string{"google_project_iam_binding", "google_project_iam_policy", "google_iam_deny_policy", "google_dns_record_set"}, f.ProviderType)) {
				t.Errorf("%s: a plan that only makes things says %s %s: %s", file, f.Class, f.Address, f.Summary)
			}
		}
	}
}
