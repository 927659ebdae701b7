package iac

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	azSub        = "/subscriptions/5b000000-0000-4000-8000-000000000001"
	azTop        = "/providers/Microsoft.Management/managementGroups/all"
	azDNSGroup   = azSub + "/resourceGroups/dns"
	azOtherID    = "0b1ec700-0000-4000-8000-000000000002"
	azGroupID    = "6700b000-0000-4000-8000-000000000003"
	azClientID   = "c11e0700-0000-4000-8000-000000000001"
	azAccount    = azSub + "/resourceGroups/data/providers/Microsoft.Storage/storageAccounts/logs"
	azCustomID   = azSub + "/providers/Microsoft.Authorization/roleDefinitions/c0570000-0000-4000-8000-000000000001"
	azIdentityID = azSub + "/resourceGroups/ids/providers/Microsoft.ManagedIdentity/userAssignedIdentities/cert-manager"
	azRecordSet  = zoneID + "/TXT/_acme-challenge.www"
)

// azWith returns attributes with some of them changed; nil takes one away.
func azWith(a attrs, changes attrs) attrs {
	out := maps.Clone(a)
	for k, v := range changes {
		if v == nil {
			delete(out, k)
			continue
		}
		out[k] = v
	}
	return out
}

func azAssigned(scope, role, principal string) attrs {
	id := fmt.Sprintf("%s/providers/Microsoft.Authorization/roleAssignments/%x", scope, len(scope)+len(role)*7+len(principal)*31)
	return attrs{"id": id, "scope": scope, "role_definition_name": role, "principal_id": principal, "principal_type": "ServicePrincipal"}
}

// azGrant is the assignment that everything hangs on.
func azGrant() attrs {
	return azWith(azAssigned(zoneID, "DNS Zone Contributor", objectID), attrs{"role_definition_id": dnsRole})
}

// azMade is an assignment as a plan has it that is to be created.
func azMade(a attrs) attrs { return azWith(a, attrs{"id": nil}) }

var azUnknownID = attrs{"id": true}

func azUser(name, principal string) attrs {
	return attrs{"id": azSub + "/resourceGroups/ids/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name, "name": name, "principal_id": principal, "client_id": azClientID, "resource_group_name": "ids", "location": "westeurope"}
}

func azFederated(subject string) attrs {
	return attrs{
		"id": azIdentityID + "/federatedIdentityCredentials/k8s", "name": "k8s", "parent_id": azIdentityID, "issuer": "https://westeurope.oic.prod-aks.azure.com/t/i/",
		"subject": "system:serviceaccount:" + subject, "audience": []any{"api://AzureADTokenExchange"},
	}
}

func azZone(name, group string) attrs {
	return attrs{"id": azSub + "/resourceGroups/" + group + "/providers/Microsoft.Network/dnsZones/" + name, "name": name, "resource_group_name": group, "name_servers": []any{"ns1-01.azure-dns.com.", "ns2-01.azure-dns.net."}}
}

func azRole(actions ...any) attrs {
	return attrs{
		"id": azCustomID + "|" + azSub, "role_definition_id": "c0570000-0000-4000-8000-000000000001", "role_definition_resource_id": azCustomID, "name": "ACME writer", "scope": azSub,
		"permissions": []any{attrs{"actions": actions, "not_actions": []any{}}},
	}
}

func azLock(scope, level string) attrs {
	return attrs{"scope": scope, "lock_level": level, "name": "keep"}
}

// azCertificates are two certificates that cert-manager renews, on the day of the change.
func azCertificates() Inventory {
	day := func(d int) time.Time { return sceneTime.AddDate(0, 0, d) }
	return Inventory{At: sceneTime, Certificates: []Certificate{
		{
			Name: "hosted-eu", Names: []string{"eu.example.com", "*.eu.example.com"}, Renewer: "cluster", Identities: []string{objectID, azClientID}, Zones: []string{"example.com", zoneID},
			Records: []string{"_acme-challenge.eu.example.com."}, Issuers: []string{"letsencrypt.org"}, Challenge: "dns-01", Next: day(2), NotAfter: day(16),
		},
		{
			Name: "www", Names: []string{"www.example.com"}, Renewer: "cluster", Identities: []string{objectID, azClientID}, Zones: []string{"example.com", zoneID},
			Records: []string{"_acme-challenge.www.example.com."}, Issuers: []string{"letsencrypt.org"}, Challenge: "dns-01", Next: day(20), NotAfter: day(50),
		},
	}}
}

// azElsewhere are certificates that have nothing to do with the identity and the zone of the scenes.
func azElsewhere() Inventory {
	return Inventory{At: sceneTime, Certificates: []Certificate{{
		Name: "shop", Names: []string{"shop.example.net"}, Renewer: "letsencrypt", Identities: []string{azOtherID}, Zones: []string{"example.net", azSub + "/resourceGroups/shop/providers/Microsoft.Network/dnsZones/example.net"},
		Records: []string{"_acme-challenge.shop.example.net"}, Issuers: []string{"letsencrypt.org"}, Challenge: "dns-01", Next: sceneTime.AddDate(0, 0, 5),
	}}}
}

// azConfigured is a plan's configuration, in which resources of the root module refer to others.
func azConfigured(refers map[string]map[string][]any) map[string]any {
	var list []any
	for _, address := range slices.Sorted(maps.Keys(refers)) {
		refs := refers[address]
		e := attrs{}
		for attribute, names := range refs {
			e[attribute] = attrs{"references": names}
		}
		kind, name, _ := strings.Cut(address, ".")
		list = append(list, attrs{"address": address, "mode": "managed", "type": kind, "name": name, "expressions": e})
	}
	return map[string]any{"configuration": attrs{"root_module": attrs{"resources": list}}}
}

// azHarmless are changes in which nothing concerns renewal.
func azHarmless(n int) (out []Change) {
	for i := range n {
		vault := fmt.Sprintf("%s/resourceGroups/data/providers/Microsoft.KeyVault/vaults/v%d", azSub, i)
		switch i % 8 {
		case 0:
			out = append(out, deletes(fmt.Sprintf("azurerm_role_assignment.pull[%d]", i), azAssigned(azAccount, "Storage Blob Data Contributor", azOtherID)))
		case 1:
			out = append(out, creates(fmt.Sprintf("azurerm_role_assignment.vault[%d]", i), azMade(azAssigned(vault, "Key Vault Secrets User", objectID))))
		case 2:
			out = append(out, replaces(fmt.Sprintf("azurerm_role_assignment.acr[%d]", i), azAssigned(azDNSGroup, "AcrPull", azOtherID), azMade(azAssigned(azDNSGroup, "AcrPull", azOtherID)), azUnknownID))
		case 3:
			out = append(out, updates(fmt.Sprintf("azurerm_user_assigned_identity.app[%d]", i), azUser("app", azOtherID), azWith(azUser("app", azOtherID), attrs{"tags": attrs{"a": "b"}})))
		case 4:
			out = append(out, deletes(fmt.Sprintf("azurerm_linux_virtual_machine.vm[%d]", i), attrs{"name": "vm"}))
		case 5:
			out = append(out, updates(fmt.Sprintf("azurerm_kubernetes_cluster.aks[%d]", i), attrs{"name": "aks", "tags": attrs{}}, attrs{"name": "aks", "tags": attrs{"owner": "sre"}}))
		case 6:
			out = append(out, replaces(fmt.Sprintf("azurerm_network_interface.nic[%d]", i), attrs{"name": "a"}, attrs{"name": "b"}, azUnknownID))
		case 7:
			out = append(out, deletes(fmt.Sprintf("azurerm_private_dns_zone.link[%d]", i), attrs{"id": azDNSGroup + "/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net", "name": "privatelink.blob.core.windows.net", "resource_group_name": "dns"}))
		}
	}
	return out
}

func azIncident() []Change {
	all := azHarmless(200)
	fatal := deletes("azurerm_role_assignment.cert_manager", azGrant())
	fatal.Reason = "delete_because_no_resource_config"
	all = append(all[:117:117], append([]Change{fatal}, all[117:]...)...)
	return append(all,
		keeps("azurerm_dns_zone.main", azZone("example.com", "dns")),
		keeps("azurerm_user_assigned_identity.cert_manager", azUser("cert-manager", objectID)),
		keeps("azurerm_federated_identity_credential.cert_manager", azFederated("cert-manager:cert-manager")),
		// The second instance, with an identity and a grant of its own.
		change(Create, "azurerm_user_assigned_identity.second", nil, attrs{"name": "cert-manager-2", "resource_group_name": "ids"}, attrs{"id": true, "principal_id": true, "client_id": true}),
		change(Create, "azurerm_role_assignment.second", nil, attrs{"scope": zoneID, "role_definition_name": "DNS Zone Contributor"}, attrs{"id": true, "principal_id": true, "role_definition_id": true}),
	)
}

var azIncidentCode = azConfigured(map[string]map[string][]any{
	"azurerm_role_assignment.second": {"principal_id": {"azurerm_user_assigned_identity.second.principal_id", "azurerm_user_assigned_identity.second"}},
})
