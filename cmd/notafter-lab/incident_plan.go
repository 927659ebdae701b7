package main

import (
	"encoding/json"
	"fmt"

	"github.com/notafter/notafter/internal/lab/estate"
)

// fatalPlan is the plan of 22 September in the form of `terraform show -json`: two hundred harmless changes for a second
// certificate controller, and one deletion in between. Names and ids are those of the estate.
func fatalPlan(e *estate.Estate) ([]byte, error) {
	var changes []any
	entry := func(action, kind, name string, before, after map[string]any) {
		provider := "kubernetes"
		if kind[:3] == "azu" {
			provider = "azurerm"
		}
		c := map[string]any{
			"address": kind + "." + name, "mode": "managed", "type": kind, "name": name, "provider_name": "registry.terraform.io/hashicorp/" + provider,
			"change": map[string]any{"actions": []string{action}, "before": orNil(before), "after": orNil(after), "after_unknown": map[string]any{}, "before_sensitive": false, "after_sensitive": false},
		}
		if action == "delete" {
			c["action_reason"] = "delete_because_no_resource_config"
		}
		changes = append(changes, c)
	}
	for i := range 110 {
		tags := func(release string) map[string]any {
			return map[string]any{"name": fmt.Sprintf("subnet-%d", i), "address_prefixes": []string{fmt.Sprintf("10.%d.0.0/24", i)}, "tags": map[string]any{"release": release}}
		}
		entry("update", "azurerm_subnet", fmt.Sprintf("nodes_%d", i), tags("2023-08"), tags("2023-09"))
	}
	id, scope := e.GrantID(), e.Azure.ZoneScope(estate.Group, estate.AzureZone)
	entry("delete", "azurerm_role_assignment", "cert_manager_dns", map[string]any{
		"id": id, "scope": scope, "principal_id": estate.ObjectID, "principal_type": "ServicePrincipal", "role_definition_name": "DNS Zone Contributor",
		"role_definition_id": scope + "/providers/Microsoft.Authorization/roleDefinitions/" + estate.ContributorRole, "condition": nil,
	}, nil)
	for i := range 90 {
		entry("create", "kubernetes_config_map", fmt.Sprintf("controller_b_%d", i), nil, map[string]any{
			"metadata": []any{map[string]any{"name": fmt.Sprintf("controller-b-%d", i), "namespace": "controller-b"}}, "data": map[string]any{"replicas": "2"},
		})
	}
	plan, err := json.Marshal(map[string]any{"format_version": "1.2", "terraform_version": "1.5.7", "resource_changes": changes})
	if err != nil {
		return nil, fmt.Errorf("write the plan: %w", err)
	}
	return plan, nil
}

// orNil keeps an absent object null, as plans have it.
func orNil(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}
