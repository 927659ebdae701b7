package iac

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

// What a plan does to grants of whoever renews is told, and of what it does not know nothing is said.
func TestGranted(t *testing.T) {
	const (
		zone  = "/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.com"
		group = "/subscriptions/s/resourceGroups/dns"
	)
	n := 0
	grant := func(name, action, principal, scope, more string) string {
		n++
		id := fmt.Sprintf("%s/providers/Microsoft.Authorization/roleAssignments/%d", scope, n)
		values := fmt.Sprintf(`"principal_id": %q, "scope": %q, "role_definition_name": "DNS Zone Contributor", "role_definition_id": "/providers/Microsoft.Authorization/roleDefinitions/befefa01-2a29-4197-83a8-272ff33ce314"%s`, principal, scope, more)
		before, after, unknown := fmt.Sprintf(`{"id": %q, %s}`, id, values), fmt.Sprintf(`{%s}`, values), `{"id": true}`
		actions := `"` + action + `"`
		switch action {
		case "create":
			before = "null"
		case "delete":
			after, unknown = "null", "{}"
		case "no-op":
			after, unknown = before, "{}"
		case "replace":
			actions = `"delete", "create"`
		}
		return fmt.Sprintf(`{"address": "azurerm_role_assignment.%s", "mode": "managed", "type": "azurerm_role_assignment", "name": %q, "provider_name": "registry.terraform.io/hashicorp/azurerm",
			"change": {"actions": [%s], "before": %s, "after": %s, "after_unknown": %s}}`, name, name, actions, before, after, unknown)
	}
	plan := mustRead(t, fmt.Sprintf(`{"format_version": "1.2", "terraform_version": "1.9.8", "resource_changes": [%s]}`, strings.Join([]string{
		grant("kept", "no-op", "4F1C", group, ""),
		grant("gone", "delete", "4f1c", zone, ""),
		grant("new", "create", "4f1c", zone, ""),
		grant("other", "replace", "4f1c", zone, ""),
		grant("conditional", "create", "4f1c", zone, `, "condition": "@Resource[x] StringEquals 'y'"`),
		grant("stranger", "create", "77aa", zone, ""),
	}, ",")))
	var got []string
	for _, g := range Granted(plan, func(names []string) bool { return slices.Contains(names, "4f1c") }) {
		got = append(got, fmt.Sprint(g.Does, " ", strings.TrimPrefix(g.Address, "azurerm_role_assignment.")))
		if g.Principal != "4f1c" || !strings.HasPrefix(strings.ToLower(g.Scope), group[:15]) || !slices.Contains(g.Rights, "write") || (g.ID == "") != (g.Does == assure.PlanMakes) {
			t.Errorf("got %+v", g)
		}
		if g.ID != "" && !strings.EqualFold(assure.ScopeOfGrant(g.ID), g.Scope) {
			t.Errorf("%s is at %s", g.ID, g.Scope)
		}
	}
	if want := []string{"keeps kept", "takes gone", "takes other", "makes new", "makes other"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
