package iac

import "testing"

func TestAzureGrants(t *testing.T) {
	body := attrs{"properties": attrs{"principalId": objectID, "roleDefinitionId": dnsRole, "principalType": "ServicePrincipal"}}
	azapi := func(body any) attrs {
		return attrs{"id": zoneID + "/providers/Microsoft.Authorization/roleAssignments/1", "type": "Microsoft.Authorization/roleAssignments@2022-04-01", "parent_id": zoneID, "name": "1", "body": body}
	}
	play(t, []scene{
		{name: "azure/block-removed", changes: []Change{deletes("azurerm_role_assignment.cm", azGrant())}, want: []string{
			"lost azurerm_role_assignment.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/block-removed-known-certificates", changes: []Change{deletes("azurerm_role_assignment.cm", azGrant())}, inventory: azCertificates(), want: []string{
			"lost azurerm_role_assignment.cm: hosted-eu and www stop renewing: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/block-removed-other-certificates", changes: []Change{deletes("azurerm_role_assignment.cm", azGrant())}, inventory: azElsewhere(), want: []string{
			"lost azurerm_role_assignment.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. No certificate of the inventory is known to rest on it.",
		}},
		{name: "azure/incident", changes: azIncident(), flags: azIncidentCode, inventory: azCertificates(), want: []string{
			"lost azurerm_role_assignment.cert_manager: hosted-eu and www stop renewing: the identity cert-manager loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/incident-without-inventory", changes: azIncident(), flags: azIncidentCode, want: []string{
			"lost azurerm_role_assignment.cert_manager: Renewal stops: the identity cert-manager loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/incident-principal-through-a-module", changes: azIncident(), want: []string{
			"lost azurerm_role_assignment.cert_manager: Renewal stops: the identity cert-manager loses DNS Zone Contributor on the zone example.com. azurerm_role_assignment.second may take its place (its principal is known only after the apply), but nothing says that it is for the same, or that it comes first. Nothing shows it until certificates end.",
		}},
		{name: "azure/rekeyed", changes: []Change{
			deletes(`azurerm_role_assignment.cm["blue"]`, azGrant()), creates(`azurerm_role_assignment.cm["green"]`, azMade(azGrant())),
		}, want: []string{
			`collision azurerm_role_assignment.cm["blue"]: Renewal may stop: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed at azurerm_role_assignment.cm["blue"] and made at azurerm_role_assignment.cm["green"], in no order. As long as the first is there Azure refuses the second (409 RoleAssignmentExists), the first is destroyed all the same, and none is left. Nothing shows it until certificates end.`,
		}},
		{name: "azure/module-renamed", changes: []Change{
			deletes("module.dns.azurerm_role_assignment.cm", azGrant()), creates("module.zones.azurerm_role_assignment.cm", azMade(azGrant())),
		}, inventory: azCertificates(), want: []string{
			"collision module.dns.azurerm_role_assignment.cm: hosted-eu and www may stop renewing: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed at module.dns.azurerm_role_assignment.cm and made at module.zones.azurerm_role_assignment.cm, in no order. As long as the first is there Azure refuses the second (409 RoleAssignmentExists), the first is destroyed all the same, and none is left. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/moved", changes: []Change{moved(keeps(`azurerm_role_assignment.cm["green"]`, azGrant()), `azurerm_role_assignment.cm["blue"]`)}},
		{name: "azure/moved-to-azapi", changes: []Change{moved(keeps("azapi_resource.cm", azapi(body)), "azurerm_role_assignment.cm")}},
		{name: "azure/azapi-removed", changes: []Change{deletes("azapi_resource.cm", azapi(body))}, want: []string{
			"lost azapi_resource.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/azapi-removed-body-is-text", changes: []Change{deletes("azapi_resource.cm", azapi(`{"properties":{"principalId":"`+objectID+`","roleDefinitionId":"`+dnsRoleTop+`"}}`))}, want: []string{
			"lost azapi_resource.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/azapi-rekeyed-from-azurerm", changes: []Change{deletes("azurerm_role_assignment.cm", azGrant()), creates("azapi_resource.cm", azMade(azapi(body)))}, want: []string{
			"collision azurerm_role_assignment.cm: Renewal may stop: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed at azurerm_role_assignment.cm and made at azapi_resource.cm, in no order. As long as the first is there Azure refuses the second (409 RoleAssignmentExists), the first is destroyed all the same, and none is left. Nothing shows it until certificates end.",
		}},
		{name: "azure/replaced", changes: []Change{replaces("azurerm_role_assignment.cm", azGrant(), azMade(azGrant()), azUnknownID)}, want: []string{
			"gap azurerm_role_assignment.cm: Renewal pauses, and stops if the second step fails: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed first and made again afterwards.",
		}},
		{name: "azure/replaced-new-one-first", changes: []Change{change(CreateDelete, "azurerm_role_assignment.cm", azGrant(), azMade(azGrant()), azUnknownID)}},
		{name: "azure/replaced-for-another-identity", changes: []Change{replaces("azurerm_role_assignment.cm", azGrant(), azMade(azWith(azGrant(), attrs{"principal_id": azOtherID})), azUnknownID)}, want: []string{
			"lost azurerm_role_assignment.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/principal-unknown", changes: []Change{replaces("azurerm_role_assignment.cm", azGrant(), azWith(azGrant(), attrs{"id": nil, "principal_id": nil}), attrs{"id": true, "principal_id": true})}, want: []string{
			"unknown azurerm_role_assignment.cm: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed first and made again, and whether as before nobody can tell: its principal is known only after the apply.",
		}},
		{name: "azure/scope-unknown", changes: []Change{replaces("azurerm_role_assignment.cm", azGrant(), azWith(azGrant(), attrs{"id": nil, "scope": nil}), attrs{"id": true, "scope": true})}, want: []string{
			"unknown azurerm_role_assignment.cm: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed first and made again, and whether as before nobody can tell: its scope is known only after the apply.",
		}},
		{name: "azure/scope-and-principal-unknown-known-certificates", changes: []Change{replaces("azurerm_role_assignment.cm", azGrant(), azWith(azGrant(), attrs{"id": nil, "scope": nil, "principal_id": nil}), attrs{"id": true, "scope": true, "principal_id": true})}, inventory: azCertificates(), want: []string{
			"unknown azurerm_role_assignment.cm: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed first and made again, and whether as before nobody can tell: its scope and principal are known only after the apply.",
		}},
		{name: "azure/count-shift", changes: []Change{
			keeps("azurerm_role_assignment.cm[0]", azAssigned(zoneID, "DNS Zone Contributor", azGroupID)),
			replaces("azurerm_role_assignment.cm[1]", azGrant(), azMade(azWith(azGrant(), attrs{"principal_id": azOtherID})), azUnknownID),
			deletes("azurerm_role_assignment.cm[2]", azAssigned(zoneID, "DNS Zone Contributor", azOtherID)),
		}, want: []string{
			"lost azurerm_role_assignment.cm[1]: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
			"collision azurerm_role_assignment.cm[2]: Renewal may stop: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000002 on the zone example.com is destroyed at azurerm_role_assignment.cm[2] and made at azurerm_role_assignment.cm[1], in no order. As long as the first is there Azure refuses the second (409 RoleAssignmentExists), the first is destroyed all the same, and none is left. Nothing shows it until certificates end.",
		}},
		{name: "azure/condition-added", changes: []Change{updates("azurerm_role_assignment.cm", azGrant(), azWith(azGrant(), attrs{"condition": "@Resource[Microsoft.Network/dnsZones/TXT:name] StringEquals '_acme-challenge.www'", "condition_version": "2.0"}))}, want: []string{
			"narrowed azurerm_role_assignment.cm: Renewal is cut back: the identity 0b1ec700-0000-4000-8000-000000000001 keeps DNS Zone Contributor on the zone example.com only under a condition: @Resource[Microsoft.Network/dnsZones/TXT:name] StringEquals '_acme-challenge.www'. Nothing shows it until certificates end.",
		}},
		{name: "azure/condition-taken-away", changes: []Change{updates("azurerm_role_assignment.cm", azWith(azGrant(), attrs{"condition": "x"}), azGrant())}},
		{name: "azure/description-changed", changes: []Change{updates("azurerm_role_assignment.cm", azGrant(), azWith(azGrant(), attrs{"description": "cert-manager"}))}},
		{name: "azure/role-exchanged", changes: []Change{replaces("azurerm_role_assignment.cm", azGrant(), azMade(azAssigned(zoneID, "Reader", objectID)), azUnknownID)}, want: []string{
			"lost azurerm_role_assignment.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/role-widened", changes: []Change{replaces("azurerm_role_assignment.cm", azGrant(), azMade(azAssigned(zoneID, "Contributor", objectID)), azUnknownID)}, want: []string{
			"gap azurerm_role_assignment.cm: Renewal pauses, and stops if the second step fails: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed first and made again afterwards.",
		}},
		{name: "azure/widened-to-the-group", changes: []Change{deletes("azurerm_role_assignment.zone", azGrant()), creates("azurerm_role_assignment.group", azMade(azAssigned(azDNSGroup, "DNS Zone Contributor", objectID)))}, want: []string{
			"gap azurerm_role_assignment.zone: Renewal pauses, and stops if the second step fails: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com goes, and azurerm_role_assignment.group, which replaces it, is made in no order with that.",
		}},
		{name: "azure/covered-by-the-group", changes: []Change{deletes("azurerm_role_assignment.zone", azGrant()), keeps("azurerm_role_assignment.group", azAssigned(azDNSGroup, "DNS Zone Contributor", objectID))}},
		{name: "azure/covered-by-a-broad-role", changes: []Change{deletes("azurerm_role_assignment.zone", azGrant()), keeps("azurerm_role_assignment.all", azAssigned(azSub, "Contributor", objectID))}},
		{name: "azure/narrowed-to-the-zone", changes: []Change{deletes("azurerm_role_assignment.group", azAssigned(azDNSGroup, "DNS Zone Contributor", objectID)), creates("azurerm_role_assignment.zone", azMade(azGrant()))}, want: []string{
			"narrowed azurerm_role_assignment.group: Renewal is cut back: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the resource group dns and has only DNS Zone Contributor on the zone example.com left. Nothing shows it until certificates end.",
		}},
		{name: "azure/narrowed-and-enough", changes: []Change{deletes("azurerm_role_assignment.group", azAssigned(azDNSGroup, "DNS Zone Contributor", objectID)), keeps("azurerm_role_assignment.zone", azGrant())}, inventory: azCertificates()},
		{name: "azure/forgotten", changes: []Change{change(Forget, "azurerm_role_assignment.cm", azGrant(), nil, nil)}, want: []string{
			"orphaned azurerm_role_assignment.cm: Renewal goes on, but no plan will show when that ends: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com leaves the state and lives on.",
		}},
		{name: "azure/create-and-forget", changes: []Change{change(CreateForget, "azurerm_role_assignment.cm", azGrant(), azMade(azGrant()), azUnknownID)}, want: []string{
			"orphaned azurerm_role_assignment.cm: Renewal goes on, but no plan will show when that ends: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com leaves the state and lives on.",
		}},
		{name: "azure/forget-and-create", changes: []Change{change(ForgetCreate, "azurerm_role_assignment.cm", azGrant(), azMade(azGrant()), azUnknownID)}, inventory: azCertificates(), want: []string{
			"orphaned azurerm_role_assignment.cm: hosted-eu and www go on renewing, but no plan will show when that ends: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com leaves the state and lives on.",
		}},
		{name: "azure/two-addresses-one-assignment", changes: []Change{keeps("azurerm_role_assignment.cm", azGrant()), deletes("azurerm_role_assignment.imported_twice", azGrant())}, want: []string{
			"lost azurerm_role_assignment.imported_twice: Renewal stops: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed at azurerm_role_assignment.imported_twice; azurerm_role_assignment.cm is the same object, and goes with it. Nothing shows it until certificates end.",
		}},
		{name: "azure/left-over-of-a-replacement", changes: []Change{keeps("azurerm_role_assignment.cm", azGrant()), {Address: "azurerm_role_assignment.cm", Type: "azurerm_role_assignment", Provider: registry + "azurerm", Deposed: "abcd", Do: Delete, Before: azWith(azGrant(), attrs{"id": "old"})}}},
		{name: "azure/record-set-scope", changes: []Change{creates("azurerm_role_assignment.cm", azMade(azAssigned(azRecordSet, "DNS Zone Contributor", objectID)))}, want: []string{
			"unknown azurerm_role_assignment.cm: A grant for the record set _acme-challenge.www.example.com alone is added, and it may vanish when the renewer deletes the set after its last value. Nobody can tell from this plan whether renewal goes on: users report that Azure deletes such a grant with its record set, and its documents do not say.",
		}},
		{name: "azure/record-set-scope-stays", changes: []Change{keeps("azurerm_role_assignment.cm", azAssigned(azRecordSet, "DNS Zone Contributor", objectID))}},
		{name: "azure/record-set-scope-instead-of-zone", changes: []Change{replaces("azurerm_role_assignment.cm", azGrant(), azMade(azAssigned(azRecordSet, "DNS Zone Contributor", objectID)), azUnknownID)}, inventory: azCertificates(), want: []string{
			"narrowed azurerm_role_assignment.cm: hosted-eu and www may stop renewing: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com and has only DNS Zone Contributor on the record set _acme-challenge.www.example.com left. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
			"unknown azurerm_role_assignment.cm: A grant for the record set _acme-challenge.www.example.com alone is added, and it may vanish when the renewer deletes the set after its last value. Nobody can tell from this plan whether www goes on renewing: users report that Azure deletes such a grant with its record set, and its documents do not say.",
		}},
		{name: "azure/for-a-limited-time", changes: []Change{
			deletes("azurerm_role_assignment.cm", azGrant()),
			creates("azurerm_pim_active_role_assignment.cm", attrs{"scope": zoneID, "role_definition_id": dnsRole, "principal_id": objectID, "schedule": []any{attrs{"expiration": []any{attrs{"duration_days": 30}}}}}),
		}, want: []string{
			"collision azurerm_role_assignment.cm: Renewal may stop: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed at azurerm_role_assignment.cm and made at azurerm_pim_active_role_assignment.cm, in no order. As long as the first is there Azure refuses the second (409 RoleAssignmentExists), the first is destroyed all the same, and none is left. Nothing shows it until certificates end.",
			"unknown azurerm_pim_active_role_assignment.cm: DNS Zone Contributor for a limited time on the zone example.com is added, and it ends by itself after 30 days. Nobody can tell from this plan whether renewal goes on: no plan will show that it ended.",
		}},
		{name: "azure/covered-by-a-management-group", changes: []Change{deletes("azurerm_role_assignment.cm", azGrant()), keeps("azurerm_role_assignment.all", azAssigned(azTop, "Contributor", objectID))}, want: []string{
			"unknown azurerm_role_assignment.cm: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com is destroyed, and nobody can tell whether renewal goes on: the identity 0b1ec700-0000-4000-8000-000000000001 keeps Contributor on the management group all, and the plan does not show what is in that.",
		}},
		{name: "azure/management-group", changes: []Change{deletes("azurerm_role_assignment.all", azAssigned(azTop, "Contributor", objectID))}, inventory: azCertificates(), want: []string{
			"lost azurerm_role_assignment.all: hosted-eu and www stop renewing: the identity 0b1ec700-0000-4000-8000-000000000001 loses Contributor on the management group all, and nothing else in this plan allows it. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/management-group-stays", changes: []Change{keeps("azurerm_role_assignment.all", azAssigned(azTop, "Contributor", objectID))}},
		{name: "azure/broad-role-forgotten", changes: []Change{change(Forget, "azurerm_role_assignment.ci", azAssigned(azSub, "Contributor", objectID), nil, nil)}},
		{name: "azure/principal-from-a-data-source", changes: []Change{
			deletes("module.a.azurerm_role_assignment.cm", azGrant()),
			change(Create, "azurerm_role_assignment.cm", nil, attrs{"scope": zoneID, "role_definition_name": "DNS Zone Contributor"}, attrs{"id": true, "principal_id": true}),
		}, flags: azConfigured(map[string]map[string][]any{"azurerm_role_assignment.cm": {"principal_id": {"data.azurerm_user_assigned_identity.cm.principal_id"}}}), want: []string{
			"lost module.a.azurerm_role_assignment.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com. azurerm_role_assignment.cm may take its place (its principal is known only after the apply), but nothing says that it is for the same, or that it comes first. Nothing shows it until certificates end.",
		}},
		{name: "azure/private-zone", changes: []Change{deletes("azurerm_role_assignment.cm", azAssigned(azDNSGroup+"/providers/Microsoft.Network/privateDnsZones/corp.internal", "Private DNS Zone Contributor", objectID))}, want: []string{
			"unknown azurerm_role_assignment.cm: The identity 0b1ec700-0000-4000-8000-000000000001 loses Private DNS Zone Contributor on the private zone corp.internal, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: the zone is private, and only an authority of your own can look into it.",
		}},
		{name: "azure/public-role-on-a-private-zone", changes: []Change{deletes("azurerm_role_assignment.cm", azAssigned(azDNSGroup+"/providers/Microsoft.Network/privateDnsZones/corp.internal", "DNS Zone Contributor", objectID))}},
		{name: "azure/people-do-not-renew", changes: []Change{deletes("azurerm_role_assignment.ana", azWith(azAssigned(zoneID, "DNS Zone Contributor", azOtherID), attrs{"principal_type": "User"}))}},
		{name: "azure/unknown-action", changes: []Change{change(UnknownAction, "azurerm_role_assignment.cm", azGrant(), azGrant(), nil)}, want: []string{
			"unknown azurerm_role_assignment.cm: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com changes, and nobody can tell whether renewal goes on: this version does not know what the plan does to it.",
		}},
	})
}

func TestAzureRoles(t *testing.T) {
	custom := azAssigned(zoneID, "ACME writer", objectID)
	custom["role_definition_id"] = azCustomID
	whole := []any{"Microsoft.Network/dnsZones/TXT/*", "Microsoft.Network/dnsZones/read"}
	azapiRole := func(actions ...any) attrs {
		return attrs{"type": "Microsoft.Authorization/roleDefinitions@2022-04-01", "name": "c0570000-0000-4000-8000-000000000001", "parent_id": azSub, "body": attrs{"properties": attrs{
			"roleName": "ACME writer", "permissions": []any{attrs{"actions": actions, "notActions": []any{}}},
		}}}
	}
	contributor := deletes("azurerm_role_assignment.ci", azAssigned(azSub, "Contributor", objectID))
	play(t, []scene{
		{name: "azure/role-edited-no-deleting", changes: []Change{
			keeps("azurerm_role_assignment.cm", custom), updates("azurerm_role_definition.acme", azRole(whole...), azRole("Microsoft.Network/dnsZones/TXT/write", "Microsoft.Network/dnsZones/TXT/read")),
		}, want: []string{
			"narrowed azurerm_role_definition.acme: Renewal is cut back: on the zone example.com the identity 0b1ec700-0000-4000-8000-000000000001 may still write and read challenge records, and no longer withdraw them (azurerm_role_definition.acme changes). Nothing shows it until certificates end.",
		}},
		{name: "azure/role-edited-no-writing", changes: []Change{
			keeps("azurerm_role_assignment.cm", custom), updates("azurerm_role_definition.acme", azRole(whole...), azRole("Microsoft.Network/dnsZones/*/read")),
		}, want: []string{
			"lost azurerm_role_definition.acme: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses ACME writer on the zone example.com, because azurerm_role_definition.acme changes. Nothing shows it until certificates end.",
		}},
		{name: "azure/role-edited-and-enough", changes: []Change{
			keeps("azurerm_role_assignment.cm", custom), updates("azurerm_role_definition.acme", azRole(whole...), azRole("Microsoft.Network/dnszones/txt/*")),
		}},
		{name: "azure/role-edited-through-azapi", changes: []Change{keeps("azurerm_role_assignment.cm", custom), updates("azapi_resource.acme", azapiRole("*"), azapiRole("Microsoft.Network/*/read"))}, want: []string{
			"lost azapi_resource.acme: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses ACME writer on the zone example.com, because azapi_resource.acme changes. Nothing shows it until certificates end.",
		}},
		{name: "azure/role-not-in-the-plan", changes: []Change{deletes("azurerm_role_assignment.cm", custom)}, want: []string{
			"unknown azurerm_role_assignment.cm: The identity 0b1ec700-0000-4000-8000-000000000001 loses ACME writer on the zone example.com, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: the plan does not hold the role ACME writer, so nobody knows whether it may write TXT records.",
		}},
		{name: "azure/role-not-in-the-plan-known-certificates", changes: []Change{deletes("azurerm_role_assignment.cm", custom)}, inventory: azCertificates(), want: []string{
			"lost azurerm_role_assignment.cm: hosted-eu and www stop renewing: the identity 0b1ec700-0000-4000-8000-000000000001 loses ACME writer on the zone example.com, and nothing else in this plan allows it. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/role-not-in-the-plan-for-storage", changes: []Change{deletes("azurerm_role_assignment.cm", azAssigned(azAccount, "Log shipper", objectID))}},
		{name: "azure/broad-role-without-a-zone", changes: []Change{contributor, keeps("helm_release.cm", kHelm("v1.18.2", ""))}, want: []string{
			"unknown azurerm_role_assignment.ci: The identity 0b1ec700-0000-4000-8000-000000000001 loses Contributor on the subscription 5b000000-0000-4000-8000-000000000001, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: Contributor is made for much more than DNS, and the plan shows no DNS zone in the subscription 5b000000-0000-4000-8000-000000000001.",
		}},
		{name: "azure/broad-role-with-a-zone", changes: []Change{contributor, keeps("azurerm_dns_zone.main", azZone("example.com", "dns"))}, want: []string{
			"lost azurerm_role_assignment.ci: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses Contributor on the subscription 5b000000-0000-4000-8000-000000000001, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/broad-role-known-certificates", changes: []Change{contributor}, inventory: azCertificates(), want: []string{
			"lost azurerm_role_assignment.ci: hosted-eu and www stop renewing: the identity 0b1ec700-0000-4000-8000-000000000001 loses Contributor on the subscription 5b000000-0000-4000-8000-000000000001, and nothing else in this plan allows it. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/broad-role-that-nobody-uses", changes: []Change{contributor}, inventory: azElsewhere()},
		{name: "azure/broad-role-and-a-narrow-one-stays", changes: []Change{contributor, keeps("azurerm_role_assignment.cm", azGrant())}},
	})
}
