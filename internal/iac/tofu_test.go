package iac

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Plans that real OpenTofu made, in the end-to-end tests, are judged here without it. Beside each stands what is to be
// said: the verdict, and then class and address of each finding.
func TestPlansOfOpenTofu(t *testing.T) {
	t.Parallel()
	plans, err := filepath.Glob(filepath.Join("testdata", "tofu", "*.json"))
	if err != nil || len(plans) < 10 {
		t.Fatalf("only %d plans are there: %v", len(plans), err)
	}
	for _, name := range plans {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(strings.TrimSuffix(name, ".json") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			p, err := Read(f, ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			v := Judge(p, Inventory{})
			got := string(v.Class) + "\n"
			for _, f := range v.Findings {
				got += strings.TrimSpace(string(f.Class)+" "+f.Address) + "\n"
			}
			if got != string(want) {
				t.Errorf("said:\n%swant:\n%s", got, want)
			}
			for _, f := range v.Findings {
				if f.Summary == "" || f.Repair == "" && f.Class != Safe {
					t.Errorf("%s %s says %q, and to do %q", f.Class, f.Address, f.Summary, f.Repair)
				}
			}
		})
	}
}
