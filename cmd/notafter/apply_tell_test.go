package main

import (
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/lab/estate"
)

// What a plan replaces on purpose is relied on in its new form once it was applied, by whichever way it is told, and no
// drift that somebody had to accept. A plan that was refused, or failed before it did anything, leaves nothing behind.
func TestApplyTellsWhatItMeans(t *testing.T) {
	g := newProvingGround(t)
	g.run(exitUpheld, "renew", "-c", g.file, "shop")
	out, _ := g.run(exitUpheld, "drift", "-c", g.file)
	says(t, out, "as expected, by "+g.GrantID())

	zone, group := g.Azure.ZoneScope(estate.Group, estate.AzureZone), g.Azure.GroupScope(estate.Group)
	assignment := func(name, action, scope, id string) map[string]any {
		values := map[string]any{
			"principal_id": estate.ObjectID, "scope": scope, "role_definition_name": "DNS Zone Contributor",
			"role_definition_id": "/providers/Microsoft.Authorization/roleDefinitions/" + estate.ContributorRole,
		}
		if id != "" {
			values["id"] = id
		}
		r := planned("azurerm_role_assignment", name, values, action)
		if action == "create" {
			r["change"].(map[string]any)["before"] = nil
			r["change"].(map[string]any)["after_unknown"] = map[string]any{"id": true}
		}
		return r
	}
	zoned := planned("azurerm_dns_zone", "z", map[string]any{"id": zone, "name": estate.AzureZone}, "no-op")
	f := newTerraform(t)
	apply := func(want, exit int, do func(), where ...string) {
		t.Helper()
		was := f.applies(exit, do)
		args := append(append([]string{"apply"}, where...), "--settle", "0s", "--timeout", "1m", "--interval", "500ms", "--", f.path, "apply", f.plan)
		_, errs := g.run(want, args...)
		if !was() {
			t.Errorf("it was not applied: %s", errs)
		}
		if strings.Contains(errs, "could not be told") {
			t.Errorf("it says %s", errs)
		}
	}
	// In two steps, as guard wants it: the new one, then the end of the old one.
	narrow, wide := g.GrantID(), ""
	f.plans(zoned, assignment("narrow", "no-op", zone, narrow), assignment("wide", "create", group, ""))
	apply(exitUpheld, 0, func() { wide = g.Azure.Assign(estate.ObjectID, estate.ContributorRole, group) }, "-c", g.file)
	out, _ = g.run(exitUpheld, "drift", "-c", g.file)
	says(t, out, "as expected, by "+narrow+" and "+wide, "Relied on since the plan", ": azurerm_role_assignment.wide")
	f.plans(zoned, assignment("narrow", "delete", zone, narrow), assignment("wide", "no-op", group, wide))
	apply(exitUpheld, 0, g.Revoke, "-c", g.file)
	out, _ = g.run(exitUpheld, "drift", "-c", g.file)
	says(t, out, "as expected, by "+wide)

	// And back, told to a server.
	server := g.serve()
	f.plans(zoned, assignment("wide", "no-op", group, wide), assignment("narrow", "create", zone, ""))
	apply(exitUpheld, 0, g.Grant, "--server", server)
	f.plans(zoned, assignment("wide", "delete", group, wide), assignment("narrow", "no-op", zone, g.GrantID()))
	apply(exitUpheld, 0, func() { g.Azure.Unassign(wide) }, "--server", server)
	out, _ = g.run(exitUpheld, "drift", "--server", server)
	says(t, out, "as expected, by "+g.GrantID(), "Relied on since the plan", ": without azurerm_role_assignment.wide")

	// One that failed and made nothing: the cloud has its time before that is told.
	f.plans(zoned, assignment("narrow", "no-op", zone, g.GrantID()), assignment("wide", "create", group, ""))
	apply(1, 1, func() {}, "--server", server)
	out, _ = g.run(exitUpheld, "drift", "--server", server)
	says(t, out, "as expected, by "+g.GrantID())
}
