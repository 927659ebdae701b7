package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/arm"
	"github.com/notafter/notafter/internal/lab/estate"
	"github.com/notafter/notafter/internal/lab/zones"
)

// A grant is deleted, and nothing in code, state or plan says so; a broader one covers for it; that one is accepted, and
// is taken away as well; and what is given back after that is relied on.
func TestDrift(t *testing.T) {
	g := newProvingGround(t)
	_, errs := g.run(exitUnknown, "drift", "-c", g.file, "--recorded")
	says(t, errs, "no answer on record")

	out, _ := g.run(exitUpheld, "drift", "-c", g.file)
	says(t, out, "✓ azure: "+estate.ObjectID+", Microsoft.Network/dnsZones/TXT/", ": as expected, by", "/roleAssignments/")

	broad := g.Azure.Assign(estate.ObjectID, arm.Owner, g.Azure.GroupScope(estate.Group))
	g.run(exitUpheld, "drift", "-c", g.file)
	g.Revoke()
	out, _ = g.run(exitBroken, "drift", "-c", g.file, "azure")
	says(t, out, "✗ azure", "the grant that it rests on is gone: ", "It is allowed, by "+broad, "→ Give it back; or if it is meant: notafter drift accept azure --reason WHY")
	out, _ = g.run(exitBroken, "drift", "-c", g.file, "--recorded", "-o", "json")
	var r driftReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Verdict != assure.Broken || len(r.Grants) != 3 || len(r.Grants[0].Gone) != 1 || r.Grants[0].Held == nil {
		t.Errorf("got %s", out)
	}

	_, errs = g.run(exitUsage, "drift", "accept", "-c", g.file, "azure")
	says(t, errs, "say by --reason why")
	out, _ = g.run(exitUpheld, "drift", "accept", "-c", g.file, "azure", "--reason", "one role for the group")
	says(t, out, "azure now rests on "+broad)
	out, _ = g.run(exitUpheld, "drift", "accept", "-c", g.file, "azure", "--reason", "again")
	says(t, out, "There is nothing to accept for azure")
	out, _ = g.run(exitUpheld, "drift", "-c", g.file)
	says(t, out, "as expected, by "+broad, "Accepted by ana: one role for the group")

	g.Azure.Unassign(broad)
	out, _ = g.run(exitBroken, "drift", "-c", g.file)
	says(t, out, "not allowed any more. It was last allowed at", "by "+broad)
	g.Grant() // with another id than the one before
	out, _ = g.run(exitUpheld, "drift", "-c", g.file)
	says(t, out, "as expected, by")

	_, errs = g.run(exitUsage, "drift", "-c", g.file, "azur")
	says(t, errs, `renewer "azur"`)
	_, errs = g.run(exitUsage, "drift", "-c", g.file, "--plan", "x")
	says(t, errs, "--plan reads a plan and nothing else")

	server := g.serve()
	out, _ = g.run(exitUpheld, "drift", "--server", server)
	says(t, out, "as expected, by")
	broad = g.Azure.Assign(estate.ObjectID, arm.Owner, g.Azure.GroupScope(estate.Group))
	g.Revoke()
	out, _ = g.run(exitBroken, "drift", "--server", server)
	says(t, out, "the grant that it rests on is gone: ", "It is allowed, by "+broad)
	out, _ = g.run(exitUpheld, "drift", "accept", "--server", server, "azure", "--reason", "one role for the group")
	says(t, out, "azure now rests on "+broad)
	out, _ = g.run(exitUpheld, "drift", "--server", server, "--recorded")
	says(t, out, "Accepted by ana: one role for the group")
}

// Who was asked to ask and could not says what kept it from that.
func TestDriftThatCouldNotAsk(t *testing.T) {
	g := newProvingGround(t)
	fault := func(f zones.Fault) {
		t.Helper()
		for _, s := range []string{"ns1.", "ns2.", "ns3."} {
			if err := g.Zones.Fault(s+estate.AzureZone, "", f); err != nil {
				t.Fatal(err)
			}
		}
	}
	fault(zones.Refused)
	out, _ := g.run(exitUnknown, "drift", "-c", g.file)
	says(t, out, "? azure: the cloud could not be asked about shop: no name server of "+estate.AzureZone+" answers for it")
	out, _ = g.run(exitUnknown, "drift", "-c", g.file, "-o", "json")
	var r driftReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Verdict != assure.Unknown || len(r.Unasked) != 1 || r.Unasked[0].Renewer != "azure" || r.Unasked[0].Why == "" {
		t.Errorf("%v: %s", err, out)
	}
	fault(zones.None)
	g.run(exitUpheld, "drift", "-c", g.file)
	// An answer from before does not stand for the one that could not be had now.
	fault(zones.Refused)
	out, _ = g.run(exitUnknown, "drift", "-c", g.file)
	says(t, out, "? azure: the cloud could not be asked about shop: ")
}

// planned is a resource of a plan that is left alone ("no-op") or deleted.
func planned(kind, name string, before map[string]any, action string) map[string]any {
	change := map[string]any{"actions": []string{action}, "before": before, "after": before}
	if action == "delete" {
		change["after"] = nil
	}
	return map[string]any{
		"address": kind + "." + name, "mode": "managed", "type": kind, "name": name, "provider_name": "registry.terraform.io/hashicorp/azurerm", "change": change,
	}
}

// writePlan writes a plan as "terraform show -json" does.
func writePlan(t *testing.T, changes, drift []any) (file string) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"format_version": "1.2", "terraform_version": "1.9.8", "resource_changes": changes, "resource_drift": drift, "errored": false})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What Terraform itself found to be gone is told by what renewal rests on, and by nothing else.
func TestDriftOfAPlan(t *testing.T) {
	const zone = "/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.com"
	grant := map[string]any{
		"id": zone + "/providers/Microsoft.Authorization/roleAssignments/1", "principal_id": "4f1c", "scope": zone,
		"role_definition_name": "DNS Zone Contributor", "role_definition_id": "/providers/Microsoft.Authorization/roleDefinitions/befefa01-2a29-4197-83a8-272ff33ce314",
	}
	resource := planned
	plan := func(drift ...any) string {
		return writePlan(t, []any{resource("azurerm_dns_zone", "z", map[string]any{"id": zone, "name": "example.com"}, "no-op")}, drift)
	}
	g := &provingGround{t: t}
	out, _ := g.run(exitUpheld, "drift", "--plan", plan())
	if out != "" {
		t.Errorf("nothing has drifted, and it says %s", out)
	}
	out, _ = g.run(exitUpheld, "drift", "--plan", plan(resource("azurerm_storage_account", "logs", map[string]any{"id": "/x"}, "delete")))
	if out != "" {
		t.Errorf("nothing that matters has drifted, and it says %s", out)
	}
	out, _ = g.run(exitBroken, "drift", "--plan", plan(resource("azurerm_role_assignment", "cm", grant, "delete")))
	says(t, out, "azurerm_role_assignment.cm", "4f1c", "was deleted outside the code")
	if strings.Contains(out, "this plan") {
		t.Errorf("what the plan would do about it was not asked, and it says %s", out)
	}
	_, errs := g.run(exitUsage, "drift", "--plan", filepath.Join(t.TempDir(), "none.json"))
	says(t, errs, "read the plan")

	// The same by the user's own command, whose plan is kept nowhere.
	f := newTerraform(t)
	look := func(want int, command ...string) (stdout, stderr string) {
		t.Helper()
		return g.run(want, append([]string{"drift", "--", f.path}, command...)...)
	}
	out, errs = look(exitUpheld, "plan", "-refresh-only")
	if out != "" || !strings.Contains(errs, "Refreshing") {
		t.Errorf("nothing has drifted, and it says %s %s", out, errs)
	}
	data, err := os.ReadFile(plan(resource("azurerm_role_assignment", "cm", grant, "delete")))
	if err != nil {
		t.Fatal(err)
	}
	f.write("plan.json", string(data), 0o600)
	out, _ = look(exitBroken, "-chdir="+f.dir, "plan", "-refresh-only", "-input=false")
	says(t, out, "azurerm_role_assignment.cm", "4f1c")
	f.write("broken", "", 0o600)
	_, errs = look(exitUnknown, "plan", "-refresh-only")
	says(t, errs, "terraform plan ended with status 1: whether anything has drifted is not known")
	for want, command := range map[string][]string{
		"want, for instance, -- terraform plan -refresh-only": {"plan"},
		"leave -out away": {"plan", "-refresh-only", "-out=x"},
	} {
		_, errs = look(exitUsage, command...)
		says(t, errs, want)
	}
}

// Where an expectation comes from is said, and what a plan was to make and is not there.
func TestDriftTellsOfPlans(t *testing.T) {
	at := time.Date(2026, 10, 8, 12, 0, 0, 0, time.UTC)
	missing := []assure.Unmade{{Plan: "0123456789ab", Address: "azurerm_role_assignment.x", Applied: at, Exit: 1}}
	var b bytes.Buffer
	driftReport{Grants: grantsOf([]assure.Expected{
		{Renewer: "azure", Action: "read", Scope: "/z", Learned: at, Grants: []string{"g1"}, Answer: assure.Allowed, Named: []string{"g1"}, Whole: true, By: "plan 0123456789ab", Reason: "azurerm_role_assignment.g"},
		{Renewer: "azure", Action: "write", Scope: "/z", Learned: at, Grants: []string{"g1"}, Answer: assure.Allowed, Named: []string{"g1"}, Whole: true, Missing: missing},
		{Renewer: "other", Action: "write", Scope: "/z", Learned: at, Held: at, Grants: []string{"g1"}, Answer: assure.Forbidden, Missing: missing},
	})}.text(output{Writer: &b, columns: 300})
	said := b.String()
	says(t, said, "azure, read at /z: as expected, by g1", "Relied on since the plan 0123456789ab was applied: azurerm_role_assignment.g",
		"azure, write at /z: what a plan was to make for it is not there. It is allowed, by g1.",
		"The plan 0123456789ab of", "whose apply failed with status 1 was to make azurerm_role_assignment.x.", "not allowed any more", "notafter drift accept azure --reason WHY")
	if strings.Contains(said, "drift accept other") {
		t.Errorf("what is not allowed may be accepted: %s", said)
	}
}
