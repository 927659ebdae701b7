package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/iac"
)

// lostPlan deletes the one grant that lets an identity write challenges.
const lostPlan = `{"format_version":"1.2","terraform_version":"1.13.5","resource_changes":[{"address":"azurerm_role_assignment.cm","mode":"managed",
"type":"azurerm_role_assignment","name":"cm","provider_name":"registry.terraform.io/hashicorp/azurerm","change":{"actions":["delete"],"before":{
"id":"/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/a","scope":"/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.com",
"role_definition_name":"DNS Zone Contributor","principal_id":"0b1ec700-0000-4000-8000-000000000001"},"after":null,"after_unknown":{}}}]}`

// guardRun runs guard in a directory of its own, in which infra/plan.json is the plan. The time is that of testProgram.
func guardRun(t *testing.T, files map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	all := map[string]string{"infra/plan.json": lostPlan}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	if len(args) == 0 {
		args = []string{"infra/plan.json"}
	}
	code = testProgram(&out, &errs).run(t.Context(), append([]string{"guard"}, args...))
	return code, out.String(), errs.String()
}

func TestGuardStatuses(t *testing.T) {
	for c, want := range map[iac.Class]int{
		iac.Safe: 0, iac.Unknown: 3, iac.Incomplete: 3, iac.Orphaned: 1, iac.Gap: 1, iac.Narrowed: 1, iac.Blocked: 1, iac.Collision: 1, iac.Lost: 1,
	} {
		if got := guardStatus(c); got != want {
			t.Errorf("%s gives status %d, want %d", c, got, want)
		}
	}
	if n := len(iac.Classes()); n != 9 {
		t.Errorf("%d classes: give the new one its status", n)
	}
}

// A date that has passed since the inventory was taken must not read as one to come.
func TestDatesCountFromTodayAndNotFromTheInventory(t *testing.T) {
	now := testProgram(&bytes.Buffer{}, &bytes.Buffer{}).now().UTC()
	inv := iac.Inventory{At: now.AddDate(0, 0, -10), Certificates: []iac.Certificate{{
		Name: "shop", Names: []string{"example.com"}, Identities: []string{"0b1ec700-0000-4000-8000-000000000001"}, Next: now.AddDate(0, 0, -4), NotAfter: now.AddDate(0, 0, 26),
	}}}
	data, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := guardRun(t, map[string]string{"inventory.json": string(data)}, "--inventory", "inventory.json", "infra/plan.json")
	got := strings.Join(strings.Fields(out), " ")
	if code != exitBroken || !strings.Contains(got, "which has passed") || !strings.Contains(got, "in 26 days") || strings.Contains(got, "in 6 days") {
		t.Errorf("status %d:\n%s", code, out)
	}
	if !strings.Contains(errs, "dates in it may have passed") {
		t.Errorf("nothing says how old the inventory is: %s", errs)
	}
}

// A finding is let pass by what it printed itself, once somebody has filled it in.
func TestAFindingIsOverridden(t *testing.T) {
	code, out, _ := guardRun(t, nil)
	if code != exitBroken {
		t.Fatalf("status %d: %s", code, out)
	}
	_, snippet, ok := strings.Cut(out, "answer for it in .notafter-overrides.yaml:\n")
	snippet, _, ok2 := strings.Cut(snippet, "\n\n")
	if !ok || !ok2 {
		t.Fatalf("no lines to fill in:\n%s", out)
	}
	filled := strings.Replace(strings.Replace(snippet, `by: ""`, "by: Ana", 1), `reason: ""`, "reason: the zone is going away", 1) + "\n"
	for name, c := range map[string]struct {
		files map[string]string
		args  []string
		code  int
		said  string
	}{
		"not filled in":         {map[string]string{"infra/.notafter-overrides.yaml": snippet + "\n"}, nil, exitUsage, "infra/.notafter-overrides.yaml:2:"},
		"beside the plan":       {map[string]string{"infra/.notafter-overrides.yaml": filled}, nil, exitUpheld, ""},
		"where one stands":      {map[string]string{".notafter-overrides.yaml": filled}, nil, exitUpheld, ""},
		"for standard input":    {map[string]string{".notafter-overrides.yaml": filled}, []string{"-"}, exitUpheld, ""},
		"by name":               {map[string]string{"o.yaml": filled}, []string{"--overrides", "o.yaml", "infra/plan.json"}, exitUpheld, ""},
		"by a name that is not": {nil, []string{"--overrides", "o.yaml", "infra/plan.json"}, exitUsage, "read overrides: open o.yaml"},
		"of another finding":    {map[string]string{".notafter-overrides.yaml": "- {fingerprint: ff, by: Ana, reason: known, until: 2026-10-20}\n"}, nil, exitBroken, "notafter: note: .notafter-overrides.yaml: the override of ff by Ana matches nothing"},
		"ended":                 {map[string]string{".notafter-overrides.yaml": strings.Replace(filled, "until: 2026-10-22", "until: 2026-10-07", 1)}, nil, exitBroken, "ended on 7 Oct 2026 23:59 UTC and no longer counts"},
		"malformed":             {map[string]string{".notafter-overrides.yaml": "- {fingerprint: ["}, nil, exitUsage, "nothing is let pass"},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.args
			stdin := ""
			if len(args) == 1 && args[0] == "-" {
				stdin = lostPlan
			}
			var code int
			var out, said string
			if stdin == "" {
				code, out, said = guardRun(t, c.files, args...)
			} else {
				guardRun(t, c.files) // lays out the files
				var o, e bytes.Buffer
				p := testProgram(&o, &e)
				p.stdin = strings.NewReader(stdin)
				code = p.run(t.Context(), []string{"guard", "-"})
				out, said = o.String(), e.String()
			}
			if code != c.code || !strings.Contains(said, c.said) || c.said == "" && said != "" {
				t.Errorf("status %d, want %d; said %q, want %q", code, c.code, said, c.said)
			}
			passed := strings.HasPrefix(out, "overridden  lost at azurerm_role_assignment.cm: by Ana until 22 Oct 2026 23:59 UTC: the zone is going away\n")
			if passed != (c.code == exitUpheld) || c.code == exitUsage && out != "" {
				t.Errorf("shown:\n%s", out)
			}
		})
	}
}

func TestGuardTellsMachinesOfOverrides(t *testing.T) {
	_, out, _ := guardRun(t, nil, "-o", "json", "infra/plan.json")
	var v struct {
		Verdict  string
		Findings []struct {
			Fingerprint string
			Overridden  *struct{ By, Until string }
		}
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Findings) != 1 || v.Findings[0].Overridden != nil {
		t.Fatalf("%v: %s", err, out)
	}
	code, out, _ := guardRun(t, map[string]string{"o": "- {fingerprint: " + v.Findings[0].Fingerprint + ", by: Ana, reason: known, until: 2026-10-20}\n"}, "--overrides=o", "-o", "json", "infra/plan.json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitUpheld || v.Verdict != "safe" || v.Findings[0].Overridden == nil || v.Findings[0].Overridden.Until != "2026-10-20T23:59:59Z" {
		t.Errorf("%v, status %d: %s", err, code, out)
	}
}

// failingWriter stands for a full disk.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestAVerdictThatCannotBeWrittenDoesNotPass(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, format := range guardOutputs {
		var out, errs bytes.Buffer
		p := testProgram(&out, &errs)
		p.stdin, p.stdout = strings.NewReader(lostPlan), failingWriter{}
		if code := p.run(t.Context(), []string{"guard", "-o", format, "-"}); code != exitUsage || !strings.Contains(errs.String(), "write the result") {
			t.Errorf("%s: status %d, %s", format, code, errs.String())
		}
	}
}

// A plan that never comes is not waited for after an interrupt.
func TestGuardIsInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	var out, errs bytes.Buffer
	p := testProgram(&out, &errs)
	p.stdin = r
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := p.run(ctx, []string{"guard", "-"}); code != exitInterrupted || out.Len() > 0 {
		t.Errorf("status %d, said %q", code, out.String())
	}
}
