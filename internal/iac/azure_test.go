package iac

import "testing"

func TestAzureIdentities(t *testing.T) {
	identity := azUser("cert-manager", objectID)
	renewed := azWith(identity, attrs{"principal_id": nil, "client_id": nil})
	fresh := attrs{"principal_id": true, "client_id": true}
	all := []Change{
		keeps("azurerm_role_assignment.cm", azGrant()), keeps("azurerm_user_assigned_identity.cm", identity), keeps("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager")),
	}
	group := azAssigned(zoneID, "DNS Zone Contributor", azGroupID)
	member := attrs{"id": azGroupID + "/member/" + objectID, "group_object_id": azGroupID, "member_object_id": objectID}
	cluster := attrs{"id": azSub + "/resourceGroups/k8s/providers/Microsoft.ContainerService/managedClusters/aks", "name": "aks", "oidc_issuer_enabled": true, "workload_identity_enabled": true, "oidc_issuer_url": "https://westeurope.oic.prod-aks.azure.com/t/i/"}
	app := attrs{"id": "/applications/a", "object_id": "a", "client_id": azClientID, "display_name": "cert-manager"}
	sp := attrs{"id": "/servicePrincipals/" + objectID, "object_id": objectID, "client_id": azClientID, "display_name": "cert-manager"}
	password := attrs{"id": "a/password/k", "application_id": "/applications/a", "key_id": "k"}
	apps := []Change{keeps("azuread_application.cm", app), keeps("azuread_service_principal.cm", sp), keeps("azurerm_role_assignment.cm", azGrant())}
	rotated := replaces("azuread_application_password.cm", password, attrs{"application_id": "/applications/a"}, attrs{"key_id": true, "value": true, "id": true})
	play(t, []scene{
		{name: "azure/identity-made-again", changes: []Change{
			replaces("azurerm_user_assigned_identity.cm", identity, renewed, fresh),
			replaces("azurerm_role_assignment.cm", azGrant(), azWith(azGrant(), attrs{"principal_id": nil}), attrs{"id": true, "principal_id": true}),
			replaces("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"), azWith(azFederated("cert-manager:cert-manager"), attrs{"parent_id": nil}), attrs{"id": true, "parent_id": true}),
		}, flags: azConfigured(map[string]map[string][]any{
			"azurerm_role_assignment.cm":               {"principal_id": {"azurerm_user_assigned_identity.cm.principal_id", "azurerm_user_assigned_identity.cm"}},
			"azurerm_federated_identity_credential.cm": {"parent_id": {"azurerm_user_assigned_identity.cm.id", "azurerm_user_assigned_identity.cm"}},
		}), inventory: azCertificates(), want: []string{
			"lost azurerm_user_assigned_identity.cm: hosted-eu and www stop renewing: the identity cert-manager is made anew, and it gets another object id and another client id, which grants, federated credentials and service accounts do not name. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/external-dns", changes: []Change{keeps("azurerm_user_assigned_identity.dns", azUser("external-dns", azOtherID)), deletes("azurerm_role_assignment.dns", azAssigned(zoneID, "DNS Zone Contributor", azOtherID)), all[0]}, want: []string{
			"unknown azurerm_role_assignment.dns: The identity external-dns loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: it is called like something that writes DNS records for other ends.",
		}},
		{name: "azure/identity-removed", changes: []Change{deletes("azurerm_user_assigned_identity.cm", identity), deletes("azurerm_role_assignment.cm", azGrant())}, want: []string{
			"lost azurerm_user_assigned_identity.cm: Renewal stops: the identity cert-manager is destroyed. Nothing shows it until certificates end.",
		}},
		{name: "azure/identity-of-nobody-removed", changes: []Change{deletes("azurerm_user_assigned_identity.app", azUser("app", azOtherID)), all[0]}},
		{name: "azure/identity-of-nobody-in-the-plan", changes: []Change{deletes("azurerm_user_assigned_identity.cm", identity)}, inventory: azCertificates(), want: []string{
			"lost azurerm_user_assigned_identity.cm: hosted-eu and www stop renewing: the identity cert-manager is destroyed. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/subject-changed", changes: []Change{all[0], all[1], updates("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"), azFederated("certificates:cert-manager"))}, want: []string{
			"lost azurerm_federated_identity_credential.cm: Renewal stops: the trust by which a workload acts as the identity cert-manager changes, so system:serviceaccount:cert-manager:cert-manager can no longer sign in to Azure as it. Nothing shows it until certificates end.",
		}},
		{name: "azure/federation-removed", changes: []Change{all[0], all[1], deletes("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"))}, inventory: azCertificates(), want: []string{
			"lost azurerm_federated_identity_credential.cm: hosted-eu and www stop renewing: the trust by which a workload acts as the identity cert-manager is destroyed, so system:serviceaccount:cert-manager:cert-manager can no longer sign in to Azure as it. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/federation-rekeyed", changes: []Change{all[0], all[1], deletes(`azurerm_federated_identity_credential.cm["a"]`, azFederated("cert-manager:cert-manager")), creates(`azurerm_federated_identity_credential.cm["b"]`, azMade(azFederated("cert-manager:cert-manager")))}, want: []string{
			`collision azurerm_federated_identity_credential.cm["a"]: Renewal may stop: the trust by which a workload acts as the identity cert-manager is destroyed at azurerm_federated_identity_credential.cm["a"] and made at azurerm_federated_identity_credential.cm["b"], in no order. As long as the first is there Azure refuses the second, the first is destroyed all the same, and none is left. Nothing shows it until certificates end.`,
		}},
		{name: "azure/federation-of-another-workload", changes: append(all[:3:3], deletes("azurerm_federated_identity_credential.dns", azFederated("dns:external-dns")))},
		{name: "azure/issuer-unknown", changes: []Change{all[0], all[1], replaces("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"), azWith(azFederated("cert-manager:cert-manager"), attrs{"issuer": nil}), attrs{"issuer": true})}, want: []string{
			"unknown azurerm_federated_identity_credential.cm: The trust by which a workload acts as the identity cert-manager is destroyed first and made again, and whether as before nobody can tell: its condition is known only after the apply.",
		}},
		{name: "azure/cluster-loses-workload-identity", changes: append(all[:3:3], updates("azurerm_kubernetes_cluster.aks", cluster, azWith(cluster, attrs{"workload_identity_enabled": false}))), want: []string{
			"lost azurerm_kubernetes_cluster.aks: Renewal stops: the trust by which a workload acts as an identity of Azure in the cluster aks changes, so its pods no longer get the tokens with which they sign in to Azure (workload_identity_enabled = false). Nothing shows it until certificates end.",
		}},
		{name: "azure/cluster-loses-its-issuer", changes: append(all[:3:3], updates("azurerm_kubernetes_cluster.aks", cluster, azWith(cluster, attrs{"oidc_issuer_enabled": false, "oidc_issuer_url": ""}))), want: []string{
			"lost azurerm_kubernetes_cluster.aks: Renewal stops: the trust by which a workload acts as an identity of Azure in the cluster aks changes, so it has no OIDC issuer any more (oidc_issuer_enabled = false), and its workloads can no longer sign in to Azure. Nothing shows it until certificates end.",
		}},
		{name: "azure/cluster-made-again", changes: append(all[:3:3], replaces("azurerm_kubernetes_cluster.aks", cluster, azWith(cluster, attrs{"oidc_issuer_url": nil}), attrs{"oidc_issuer_url": true, "id": true})), want: []string{
			"lost azurerm_kubernetes_cluster.aks: Renewal stops: the trust by which a workload acts as an identity of Azure in the cluster aks is made anew, and it gets another OIDC issuer, which federated credentials do not name. Nothing shows it until certificates end.",
		}},
		{name: "azure/cluster-of-nobody", changes: []Change{deletes("azurerm_kubernetes_cluster.aks", cluster)}},
		{name: "azure/group-member-removed", changes: []Change{keeps("azurerm_role_assignment.group", group), keeps("azuread_group.dns", attrs{"object_id": azGroupID, "display_name": "dns-writers"}), deletes("azuread_group_member.cm", member)}, want: []string{
			"lost azuread_group_member.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor (through the group dns-writers) on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/group-loses-its-grant", changes: []Change{deletes("azurerm_role_assignment.group", group), keeps("azuread_group.dns", attrs{"object_id": azGroupID, "display_name": "dns-writers"}), keeps("azuread_group_member.cm", member)}, inventory: azCertificates(), want: []string{
			"lost azurerm_role_assignment.group: hosted-eu and www stop renewing: the group dns-writers loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/group-members-in-a-list", changes: []Change{keeps("azurerm_role_assignment.group", group), updates("azuread_group.dns", attrs{"object_id": azGroupID, "display_name": "dns-writers", "members": []any{objectID, azOtherID}}, attrs{"object_id": azGroupID, "display_name": "dns-writers", "members": []any{azOtherID}})}, want: []string{
			"lost azuread_group.dns: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor (through the group dns-writers) on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/group-members-unknown", changes: []Change{keeps("azurerm_role_assignment.group", group), change(Update, "azuread_group.dns", attrs{"object_id": azGroupID, "display_name": "dns-writers", "members": []any{objectID}}, attrs{"object_id": azGroupID, "display_name": "dns-writers"}, attrs{"members": true})}, want: []string{
			"unknown azuread_group.dns: DNS Zone Contributor (through the group dns-writers) of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com changes, and nobody can tell whether renewal goes on: its principal is known only after the apply.",
		}},
		{name: "azure/group-of-unknown-rights", changes: []Change{deletes("azuread_group_member.cm", member)}},
		{name: "azure/group-of-unknown-rights-known-certificates", changes: []Change{deletes("azuread_group_member.cm", member)}, inventory: azCertificates(), want: []string{
			"unknown azuread_group_member.cm: The identity 0b1ec700-0000-4000-8000-000000000001 loses membership of the group 6700b000-0000-4000-8000-000000000003. Nobody can tell from this plan whether renewal rests on it: the plan does not show what the group may do.",
		}},
		{name: "azure/grant-moves-into-a-group", changes: []Change{deletes("azurerm_role_assignment.cm", azGrant()), keeps("azurerm_role_assignment.group", group), keeps("azuread_group.dns", attrs{"object_id": azGroupID, "display_name": "dns-writers"}), creates("azuread_group_member.cm", azMade(member))}, want: []string{
			"gap azurerm_role_assignment.cm: Renewal pauses, and stops if the second step fails: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com goes, and azuread_group_member.cm, which replaces it, is made in no order with that.",
		}},
		{name: "azure/application-made-again", changes: []Change{replaces("azuread_application.cm", app, attrs{"display_name": "cert-manager"}, attrs{"id": true, "object_id": true, "client_id": true}), apps[1], apps[2]}, want: []string{
			"lost azuread_application.cm: Renewal stops: the application cert-manager is made anew, and it gets another client id, and everything that hangs on the old one goes with it. Nothing shows it until certificates end.",
		}},
		{name: "azure/application-and-its-principal-removed", changes: []Change{deletes("azuread_application.cm", app), deletes("azuread_service_principal.cm", sp), deletes("azurerm_role_assignment.cm", azGrant())}, want: []string{
			"lost azuread_application.cm: Renewal stops: the application cert-manager is destroyed. Nothing shows it until certificates end.",
		}},
		{name: "azure/password-rotated", changes: append(apps[:3:3], rotated), want: []string{
			"unknown azuread_application_password.cm: The credential of the application cert-manager is destroyed first and made again, and whether as before nobody can tell: nothing in this plan brings the new password to whoever renews with it.",
		}},
		{name: "azure/password-rotated-into-a-vault", changes: append(apps[:3:3], func() Change { c := rotated; c.Do = CreateDelete; return c }(), updates("azurerm_key_vault_secret.cm", attrs{"name": "cm"}, attrs{"name": "cm"})), flags: azConfigured(map[string]map[string][]any{
			"azurerm_key_vault_secret.cm": {"value": {"azuread_application_password.cm.value", "azuread_application_password.cm"}},
		})},
		{name: "azure/password-of-nobody-rotated", changes: []Change{apps[0], apps[1], rotated}},
		{name: "azure/password-removed", changes: append(apps[:3:3], deletes("azuread_application_password.cm", password)), want: []string{
			"lost azuread_application_password.cm: Renewal stops: the credential of the application cert-manager is destroyed, so whoever renews with it can no longer sign in to Azure. Nothing shows it until certificates end.",
		}},
	})
}

func TestAzureZones(t *testing.T) {
	zone := azZone("example.com", "dns")
	used := keeps("azurerm_role_assignment.cm", azGrant())
	record := func(kind, name string, rest attrs) attrs {
		return azWith(attrs{"id": zoneID + "/" + kind + "/" + name, "name": name, "zone_name": "example.com", "resource_group_name": "dns", "ttl": 300}, rest)
	}
	caa := func(names ...string) attrs {
		var list []any
		for _, n := range names {
			list = append(list, attrs{"flags": 0, "tag": "issue", "value": n})
		}
		return record("CAA", "@", attrs{"record": list})
	}
	alias := func(to string) attrs { return record("CNAME", "_acme-challenge.www", attrs{"record": to}) }
	deny := attrs{"type": "Microsoft.Authorization/denyAssignments@2022-04-01", "parent_id": azDNSGroup, "name": "d", "body": attrs{"properties": attrs{
		"denyAssignmentName": "freeze", "permissions": []any{attrs{"actions": []any{"*/write"}}}, "principals": []any{attrs{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}},
	}}}
	policy := attrs{"id": azSub + "/providers/Microsoft.Authorization/policyDefinitions/p", "name": "p", "policy_rule": `{"if":{"field":"type","equals":"Microsoft.Network/dnsZones/TXT"},"then":{"effect":"deny"}}`}
	play(t, []scene{
		{name: "azure/zone-made-again", changes: []Change{used, replaces("azurerm_dns_zone.main", zone, azWith(zone, attrs{"id": nil, "name_servers": nil}), attrs{"id": true, "name_servers": true})}, want: []string{
			"lost azurerm_dns_zone.main: Renewal stops: the zone example.com is made anew, and it gets other name servers, which the zone above does not name. Nothing shows it until certificates end.",
		}},
		{name: "azure/zone-rekeyed", changes: []Change{used, deletes(`azurerm_dns_zone.main["a"]`, zone), change(Create, `azurerm_dns_zone.main["b"]`, nil, azWith(zone, attrs{"id": nil, "name_servers": nil}), attrs{"id": true, "name_servers": true})}, inventory: azCertificates(), want: []string{
			`lost azurerm_dns_zone.main["a"]: hosted-eu and www stop renewing: the zone example.com is destroyed and made anew at azurerm_dns_zone.main["b"], and it gets other name servers, which the zone above does not name. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.`,
		}},
		{name: "azure/zone-removed-used-by-nobody-known", changes: []Change{deletes("azurerm_dns_zone.old", azZone("example.org", "dns"))}, want: []string{
			"unknown azurerm_dns_zone.old: The zone example.org is destroyed. Nobody can tell from this plan whether renewal rests on it: the plan does not show anybody who writes challenge records in it.",
		}},
		{name: "azure/zone-removed-other-certificates", changes: []Change{deletes("azurerm_dns_zone.old", azZone("example.org", "dns"))}, inventory: azCertificates()},
		{name: "azure/group-of-the-zone-removed", changes: []Change{used, deletes("azurerm_resource_group.dns", attrs{"id": azDNSGroup, "name": "dns"})}, want: []string{
			"lost azurerm_resource_group.dns: Renewal stops: the zone example.com is destroyed, so nobody can write challenge records in it, and no authority can look them up. Nothing shows it until certificates end.",
		}},
		{name: "azure/group-of-others-removed", changes: []Change{used, deletes("azurerm_resource_group.data", attrs{"id": azSub + "/resourceGroups/data", "name": "data"})}},
		{name: "azure/delegation-removed", changes: []Change{deletes("azurerm_dns_ns_record.eu", record("NS", "eu", attrs{"records": []any{"ns1.example.net."}}))}, want: []string{
			"unknown azurerm_dns_ns_record.eu: The NS record eu.example.com is destroyed. Nobody can tell from this plan whether renewal rests on it: the plan does not tell whether names in eu.example.com have certificates.",
		}},
		{name: "azure/delegation-removed-known-certificates", changes: []Change{deletes("azurerm_dns_ns_record.eu", record("NS", "eu", attrs{"records": []any{"ns1.example.net."}}))}, inventory: azCertificates(), want: []string{
			"lost azurerm_dns_ns_record.eu: hosted-eu stops renewing: the NS record eu.example.com is destroyed, so the authority no longer finds the challenges of names in eu.example.com. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/challenge-alias-changed", changes: []Change{updates("azurerm_dns_cname_record.www", alias("www.acme.example.net"), alias("www.acme.example.org"))}, want: []string{
			"lost azurerm_dns_cname_record.www: Renewal stops: the CNAME record _acme-challenge.www.example.com changes, so the authority no longer finds the challenges of www.example.com, which are answered where this alias leads. Nothing shows it until certificates end.",
		}},
		{name: "azure/challenge-alias-removed", changes: []Change{deletes("azurerm_dns_cname_record.www", alias("www.acme.example.net"))}, inventory: azCertificates(), want: []string{
			"lost azurerm_dns_cname_record.www: www stops renewing: the CNAME record _acme-challenge.www.example.com is destroyed, so the authority no longer finds the challenges of www.example.com, which are answered where this alias leads. www is due for renewal on 12 Oct 2026 14:55 UTC, in 20 days, and ends on 11 Nov 2026 14:55 UTC, in 50 days; until then everything looks fine.",
		}},
		{name: "azure/other-alias-removed", changes: []Change{deletes("azurerm_dns_cname_record.www", record("CNAME", "shop", attrs{"record": "shop.example.net"}))}},
		{name: "azure/caa-added", changes: []Change{creates("azurerm_dns_caa_record.ca", caa("digicert.com"))}, want: []string{
			"unknown azurerm_dns_caa_record.ca: A CAA record on example.com is added, and it lets only digicert.com issue for example.com. Nobody can tell from this plan whether renewal goes on: by which authority names in example.com are issued is not in the plan.",
		}},
		{name: "azure/caa-added-that-allows", changes: []Change{creates("azurerm_dns_caa_record.ca", caa("letsencrypt.org"))}, inventory: azCertificates()},
		{name: "azure/caa-narrowed", changes: []Change{updates("azurerm_dns_caa_record.ca", caa("digicert.com", "letsencrypt.org"), caa("digicert.com"))}, inventory: azCertificates(), want: []string{
			"blocked azurerm_dns_caa_record.ca: hosted-eu and www stop renewing: a CAA record on example.com forbids more than before, and it lets only digicert.com issue for example.com. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/caa-widened", changes: []Change{updates("azurerm_dns_caa_record.ca", caa("digicert.com"), caa("digicert.com", "letsencrypt.org"))}},
		{name: "azure/caa-removed", changes: []Change{deletes("azurerm_dns_caa_record.ca", caa("letsencrypt.org"))}},
		{name: "azure/static-challenge-added", changes: []Change{creates("azurerm_dns_txt_record.c", record("TXT", "_acme-challenge", attrs{"record": []any{attrs{"value": "x"}}}))}, want: []string{
			"blocked azurerm_dns_txt_record.c: Renewal is blocked: a static TXT record on _acme-challenge.example.com is added, and it stands where the renewer has to write _acme-challenge.example.com: one of the two overwrites the other, or is refused. Nothing shows it until certificates end.",
		}},
		{name: "azure/other-text-added", changes: []Change{creates("azurerm_dns_txt_record.c", record("TXT", "_dmarc", attrs{"record": []any{attrs{"value": "v=DMARC1"}}}))}},
		{name: "azure/lock-read-only", changes: []Change{used, creates("azurerm_management_lock.keep", azLock(zoneID, "ReadOnly"))}, inventory: azCertificates(), want: []string{
			"blocked azurerm_management_lock.keep: hosted-eu and www stop renewing: the ReadOnly lock keep on the zone example.com is added, and nobody can write challenge records there. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/zone-removed-with-its-grant", changes: []Change{deletes("azurerm_role_assignment.cm", azGrant()), deletes("azurerm_dns_zone.main", zone)}, want: []string{
			"lost azurerm_dns_zone.main: Renewal stops: the zone example.com is destroyed, so nobody can write challenge records in it, and no authority can look them up. Nothing shows it until certificates end.",
		}},
		{name: "azure/new-zone-with-everything", changes: []Change{
			used, change(Create, "azurerm_dns_zone.new", nil, attrs{"name": "example.org", "resource_group_name": "dns"}, attrs{"id": true, "name_servers": true}),
			change(Create, "azurerm_management_lock.new", nil, attrs{"name": "keep", "lock_level": "CanNotDelete"}, attrs{"scope": true}),
			creates("azurerm_dns_caa_record.new", attrs{"name": "@", "zone_name": "example.org", "record": []any{attrs{"flags": 0, "tag": "issue", "value": "digicert.com"}}}),
		}, flags: azConfigured(map[string]map[string][]any{"azurerm_management_lock.new": {"scope": {"azurerm_dns_zone.new.id", "azurerm_dns_zone.new"}}})},
		{name: "azure/lock-through-azapi", changes: []Change{used, creates("azapi_resource.lock", attrs{"type": "Microsoft.Authorization/locks@2020-05-01", "parent_id": zoneID, "name": "keep", "body": `{"properties":{"level":"ReadOnly"}}`})}, want: []string{
			"blocked azapi_resource.lock: Renewal is blocked: the ReadOnly lock keep on the zone example.com is added, and nobody can write challenge records there. Nothing shows it until certificates end.",
		}},
		{name: "azure/lock-no-deleting-on-the-group", changes: []Change{used, creates("azurerm_management_lock.keep", azLock(azDNSGroup, "CanNotDelete"))}, want: []string{
			"blocked azurerm_management_lock.keep: Renewal is blocked: the CanNotDelete lock keep on the resource group dns is added, and challenge records can be written there and not withdrawn, at which renewal fails. Nothing shows it until certificates end.",
		}},
		{name: "azure/lock-tightened", changes: []Change{used, updates("azurerm_management_lock.keep", azLock(azDNSGroup, "CanNotDelete"), azLock(azDNSGroup, "ReadOnly"))}, want: []string{
			"blocked azurerm_management_lock.keep: Renewal is blocked: the ReadOnly lock keep on the resource group dns forbids more than before, and nobody can write challenge records there. Nothing shows it until certificates end.",
		}},
		{name: "azure/lock-rekeyed", changes: []Change{used, deletes(`azurerm_management_lock.keep["a"]`, azLock(azDNSGroup, "CanNotDelete")), creates(`azurerm_management_lock.keep["b"]`, azLock(azDNSGroup, "CanNotDelete"))}},
		{name: "azure/lock-removed", changes: []Change{used, deletes("azurerm_management_lock.keep", azLock(zoneID, "ReadOnly"))}},
		{name: "azure/lock-elsewhere", changes: []Change{used, creates("azurerm_management_lock.keep", azLock(azAccount, "CanNotDelete")), creates("azurerm_management_lock.group", azLock(azSub+"/resourceGroups/data", "CanNotDelete"))}},
		{name: "azure/lock-on-the-subscription", changes: []Change{creates("azurerm_management_lock.keep", azLock(azSub, "CanNotDelete"))}, want: []string{
			"unknown azurerm_management_lock.keep: The CanNotDelete lock keep on the subscription 5b000000-0000-4000-8000-000000000001 is added, and challenge records can be written there and not withdrawn, at which renewal fails. Nobody can tell from this plan whether renewal goes on: the plan shows no DNS zone in the subscription 5b000000-0000-4000-8000-000000000001.",
		}},
		{name: "azure/lock-on-the-subscription-known-certificates", changes: []Change{creates("azurerm_management_lock.keep", azLock(azSub, "CanNotDelete"))}, inventory: azCertificates(), want: []string{
			"blocked azurerm_management_lock.keep: hosted-eu and www stop renewing: the CanNotDelete lock keep on the subscription 5b000000-0000-4000-8000-000000000001 is added, and challenge records can be written there and not withdrawn, at which renewal fails. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "azure/deny-assignment", changes: []Change{used, creates("azapi_resource.freeze", deny)}, want: []string{
			"blocked azapi_resource.freeze: Renewal is blocked: the deny assignment freeze on the resource group dns is added, and it overrules every grant there. Nothing shows it until certificates end.",
		}},
		{name: "azure/policy-that-denies", changes: []Change{used, keeps("azurerm_policy_definition.p", policy), creates("azurerm_subscription_policy_assignment.p", attrs{"name": "no-txt", "subscription_id": azSub, "policy_definition_id": policy["id"]})}, want: []string{
			"unknown azurerm_subscription_policy_assignment.p: The policy no-txt on the subscription 5b000000-0000-4000-8000-000000000001 is added, and it denies changes of DNS zones or of what is in them. Nobody can tell from this plan whether renewal goes on: what it denies depends on its rule.",
		}},
		{name: "azure/policy-of-others", changes: []Change{used, creates("azurerm_subscription_policy_assignment.p", attrs{"name": "tags", "subscription_id": azSub, "policy_definition_id": "/providers/Microsoft.Authorization/policyDefinitions/x"})}},
	})
}

func TestAzurePlans(t *testing.T) {
	other := azHarmless(40)
	zone := azZone("example.com", "dns")
	drift := func(c Change) map[string]any {
		return map[string]any{"resource_drift": []any{attrs{
			"address": c.Address, "mode": "managed", "type": c.Type, "name": "x", "provider_name": c.Provider,
			"change": attrs{"actions": []any{"delete"}, "before": c.Before, "after": nil, "after_unknown": attrs{}},
		}}}
	}
	gone := deletes("azurerm_role_assignment.cm", azGrant())
	play(t, []scene{
		{name: "azure/scary-and-harmless", changes: append(azHarmless(200),
			keeps("azurerm_role_assignment.cm", azGrant()), keeps("azurerm_dns_zone.main", zone), keeps("azurerm_user_assigned_identity.cm", azUser("cert-manager", objectID)),
			deletes("azurerm_role_assignment.ci", azAssigned(azSub+"/resourceGroups/data", "Storage Account Contributor", azOtherID)),
			deletes("azurerm_role_assignment.subnet", azAssigned(azSub+"/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/s", "Network Contributor", objectID)),
			deletes("azurerm_role_assignment.operator", azAssigned(azIdentityID, "Managed Identity Operator", azOtherID)),
			deletes("azurerm_role_assignment.access", azAssigned(azSub, "User Access Administrator", azOtherID)),
			deletes("azurerm_role_assignment.reads", azAssigned(zoneID, "Reader", azOtherID)),
			deletes("azurerm_role_assignment.kubelet", azAssigned(azDNSGroup+"/providers/Microsoft.Network/privateDnsZones/abc.privatelink.westeurope.azmk8s.io", "Private DNS Zone Contributor", azOtherID)),
			deletes("azurerm_management_lock.zone", azLock(zoneID, "CanNotDelete")),
			deletes("azurerm_dns_txt_record.spf", attrs{"id": zoneID + "/TXT/@", "name": "@", "zone_name": "example.com", "record": []any{attrs{"value": "v=spf1 -all"}}}),
			deletes("azuread_group_member.ana", attrs{"group_object_id": azGroupID, "member_object_id": azOtherID}),
			deletes("azuread_application_password.shop", attrs{"application_id": "/applications/shop", "key_id": "k"}),
			deletes("azurerm_kubernetes_cluster.test", attrs{"id": azSub + "/x", "name": "test", "oidc_issuer_enabled": true, "oidc_issuer_url": "https://issuer.example/1/"}),
		)},
		{name: "azure/errored", changes: append(other, gone), flags: map[string]any{"errored": true}, want: []string{
			"lost azurerm_role_assignment.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
			"incomplete : This is not the whole plan: planning ended in an error. What it does not hold may take renewal away, and nobody can tell.",
		}},
		{name: "azure/targeted", changes: other, flags: map[string]any{"complete": false}, want: []string{
			"incomplete : This is not the whole plan: the plan says itself that it is not complete: it was made with -target, or something in it is deferred. What it does not hold may take renewal away, and nobody can tell.",
		}},
		{name: "azure/drift-mended", changes: []Change{creates("azurerm_role_assignment.cm", azMade(azGrant()))}, flags: drift(gone), inventory: azCertificates(), want: []string{
			"safe azurerm_role_assignment.cm: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com was deleted outside the code, and until this plan is applied hosted-eu and www cannot renew. The plan gives it back: apply it, and prove renewal afterwards.",
		}},
		{name: "azure/drift-mended-for-whom", changes: []Change{change(Create, "azurerm_role_assignment.cm", nil, attrs{"scope": zoneID, "role_definition_name": "DNS Zone Contributor"}, attrs{"id": true, "principal_id": true})}, flags: drift(gone), want: []string{
			"unknown azurerm_role_assignment.cm: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com was deleted outside the code, and nobody can tell whether this plan brings it back: its principal is known only after the apply.",
		}},
		{name: "azure/drift-not-mended", changes: other, flags: drift(gone), want: []string{
			"lost azurerm_role_assignment.cm: Renewal stops: DNS Zone Contributor of the identity 0b1ec700-0000-4000-8000-000000000001 on the zone example.com was deleted outside the code, and this plan does not bring it back. Nothing shows it until certificates end.",
		}},
		{name: "azure/drift-covered", changes: []Change{keeps("azurerm_role_assignment.group", azAssigned(azDNSGroup, "DNS Zone Contributor", objectID))}, flags: drift(gone)},
	})
}
