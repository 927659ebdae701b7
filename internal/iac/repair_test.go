package iac

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repairs lists what is to be done about a plan, by address, and the plan.
func repairs(t *testing.T, file string) (*Plan, []Finding) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Read(bytes.NewReader(raw), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p, Judge(p, Inventory{}).Findings
}

func everyPlan(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.json"))
	more, err2 := filepath.Glob(filepath.Join("testdata", "corpus", "*", "*.json"))
	if err != nil || err2 != nil || len(more) < 100 {
		t.Fatalf("%d plans, %v, %v", len(more), err, err2)
	}
	return append(files, more...)
}

// Whoever makes the new one first because a repair says so does no harm: of what the cloud holds only once, the deletion
// takes away what was just made.
func TestRepairsDoNotDestroy(t *testing.T) {
	t.Parallel()
	offered := 0
	for _, file := range everyPlan(t) {
		p, found := repairs(t, file)
		for _, f := range found {
			if !strings.Contains(f.Repair, "create_before_destroy = true") {
				continue
			}
			offered++
			q := *p
			q.Changes = slices.Clone(p.Changes)
			for i := range q.Changes {
				if c := &q.Changes[i]; c.Address == f.Address && c.Do == DeleteCreate {
					c.Do = CreateDelete
				}
			}
			before, after := States(&q)
			j := newJudge(&q, Inventory{}, before, TiesOf(before), TiesOf(after))
			for i := range j.before {
				b := &j.before[i]
				if b.From.Change.Address != f.Address || b.Kind == KindBlock {
					continue
				}
				if got := j.fate(b); got.class != Safe {
					t.Errorf("%s: with the new one first %s is %s and not safe", file, f.Address, got.class)
				}
				for k := range j.after {
					if u := &j.after[k]; u.From.Change == b.From.Change && u.Kind == b.Kind && j.equal(b, u) {
						t.Errorf("%s: the cloud holds only one %s, and it is to be made first", file, f.Address)
					}
				}
			}
		}
	}
	if offered == 0 {
		t.Error("no repair of the corpus makes the new one first, so nothing was tried")
	}
}

// What is told as a gap, because there is only one such object, is to be left as it is.
func TestRepairOfWhatThereIsOnce(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"aws/replaced": "there is only one such object", "google/replaced": "there is only one such object",
		"kubernetes/issuer-replaced": "there is only one such object", "azure/replaced": "Azure holds only one such assignment",
		"azure/role-widened": "create_before_destroy = true",
	} {
		_, found := repairs(t, filepath.Join("testdata", "corpus", filepath.FromSlash(name)+".json"))
		if len(found) != 1 || !strings.Contains(found[0].Repair, want) {
			t.Errorf("%s: %+v, want a repair with %q", name, found, want)
		}
	}
}

// A certificate that may rest on what goes stands among the certificates: only where all are known to rest on something
// else is none named.
func TestCertificatesThatMayRest(t *testing.T) {
	t.Parallel()
	plan := &Plan{Changes: []Change{deletes("azurerm_role_assignment.cm", azGrant())}}
	here := Certificate{Name: "hosted-eu", Names: []string{"eu.example.com"}, Zones: []string{zoneID}}
	other := Certificate{Name: "docs", Names: []string{"docs.example.com"}, Zones: []string{zoneID}, Identities: []string{"somebody-else"}}
	for want, inv := range map[string]Inventory{
		"hosted-eu": {Certificates: []Certificate{here, other}},
		"":          {Certificates: []Certificate{other}},
	} {
		found := Judge(plan, inv).Findings
		if len(found) != 1 || strings.Join(found[0].Certificates, ",") != want || found[0].HurtsAt != nil {
			t.Errorf("said %+v, want the certificates %q, and no time", found, want)
			continue
		}
		if none := strings.Contains(found[0].Summary, "No certificate of the inventory"); none != (want == "") {
			t.Errorf("said %q", found[0].Summary)
		}
	}
}
