package iac

import "testing"

// A role for nearly everything goes, as it does every month somewhere. Where the plan is not about DNS or renewal at all,
// only an inventory makes anything of it.
func TestRolesForNearlyEverything(t *testing.T) {
	t.Parallel()
	azureGoes := func(role string) Change {
		return deletes("azurerm_role_assignment.app", azAssigned(azSub+"/resourceGroups/app1", role, azOtherID))
	}
	cluster := keeps("azurerm_kubernetes_cluster.aks", attrs{
		"id": azSub + "/resourceGroups/app1/providers/Microsoft.ContainerService/managedClusters/aks", "name": "aks", "dns_prefix": "aks", "oidc_issuer_enabled": true, "oidc_issuer_url": "https://oidc/", "private_dns_zone_id": "System",
	})
	link := keeps("azurerm_private_dns_zone.blob", attrs{"id": azDNSGroup + "/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net", "name": "privatelink.blob.core.windows.net", "resource_group_name": "net"})
	awsGoes := func(role, policy string) []Change {
		return []Change{
			keeps("aws_iam_role.x", attrs{"id": role, "name": role, "arn": awsAccount + "role/" + role, "path": "/", "assume_role_policy": doc(attrs{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": attrs{"AWS": awsAccount + "root"}})}),
			deletes("aws_iam_role_policy_attachment.x", attrs{"id": role + "-1", "role": role, "policy_arn": "arn:aws:iam::aws:policy/" + policy}),
		}
	}
	googleGoes := func(role, member string) Change {
		return deletes("google_project_iam_member.x", gGrant(role, member))
	}
	ciMember := "serviceAccount:ci@shop-prod.iam.gserviceaccount.com"
	contributor := "The identity 0b1ec700-0000-4000-8000-000000000002 loses Contributor on the resource group app1, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: Contributor is made for much more than DNS, and the plan shows no DNS zone in the resource group app1."
	play(t, []scene{
		{name: "azure/contributor-goes-in-a-plan-of-other-things", changes: []Change{azureGoes("Contributor")}},
		{name: "azure/owner-goes-in-a-plan-of-other-things", changes: []Change{azureGoes("Owner"), link}},
		{name: "azure/network-contributor-of-a-cluster-goes", changes: []Change{cluster, azureGoes("Network Contributor")}},
		{name: "azure/contributor-made-again-in-a-plan-of-other-things", changes: []Change{replaces("azurerm_role_assignment.app", azAssigned(azSub, "Contributor", azOtherID), azMade(azAssigned(azSub, "Contributor", azOtherID)), azUnknownID)}},
		{name: "azure/contributor-goes-beside-a-zone-elsewhere", changes: []Change{azureGoes("Contributor"), keeps("azurerm_dns_zone.main", azZone("example.com", "dns"))}, want: []string{"unknown azurerm_role_assignment.app: " + contributor}},
		{name: "azure/contributor-goes-beside-a-data-source", changes: []Change{azureGoes("Contributor")}, flags: map[string]any{"prior_state": attrs{"values": attrs{"root_module": attrs{"resources": []any{
			attrs{"address": "data.azurerm_dns_zone.main", "mode": "data", "type": "azurerm_dns_zone", "values": attrs{}},
		}}}}}, want: []string{"unknown azurerm_role_assignment.app: " + contributor}},
		{name: "azure/contributor-goes-beside-code-of-a-renewer", changes: []Change{azureGoes("Contributor")}, flags: map[string]any{"configuration": attrs{"root_module": attrs{"resources": []any{
			attrs{"address": "acme_certificate.www", "mode": "managed", "type": "acme_certificate", "name": "www", "expressions": attrs{}},
		}}}}, want: []string{"unknown azurerm_role_assignment.app: " + contributor}},
		{name: "azure/contributor-goes-beside-an-issuer", changes: []Change{azureGoes("Contributor"), keeps(kIssuer, kACME(letsEncrypt, kSolver("example.com", "x")))}, want: []string{"unknown azurerm_role_assignment.app: " + contributor}},
		{name: "azure/contributor-of-a-renewer-goes", changes: []Change{azureGoes("Contributor"), keeps("azurerm_user_assigned_identity.x", azUser("cert-manager", azOtherID))}, want: []string{
			"unknown azurerm_role_assignment.app: The identity cert-manager loses Contributor on the resource group app1, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: Contributor is made for much more than DNS, and the plan shows no DNS zone in the resource group app1.",
		}},
		{name: "azure/contributor-on-the-group-dns-goes", changes: []Change{deletes("azurerm_role_assignment.app", azAssigned(azDNSGroup, "Contributor", azOtherID))}, want: []string{
			"unknown azurerm_role_assignment.app: The identity 0b1ec700-0000-4000-8000-000000000002 loses Contributor on the resource group dns, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: Contributor is made for much more than DNS, and the plan shows no DNS zone in the resource group dns.",
		}},
		{name: "azure/contributor-goes-known-certificates", changes: []Change{deletes("azurerm_role_assignment.app", azAssigned(azSub, "Contributor", objectID))}, inventory: azCertificates(), want: []string{
			"lost azurerm_role_assignment.app: hosted-eu and www stop renewing: the identity 0b1ec700-0000-4000-8000-000000000001 loses Contributor on the subscription 5b000000-0000-4000-8000-000000000001, and nothing else in this plan allows it. hosted-eu is due for renewal on 24 Sep 2026 14:55 UTC, in 2 days, and ends on 8 Oct 2026 14:55 UTC, in 16 days; until then everything looks fine.",
		}},
		{name: "aws/administrator-goes-in-a-plan-of-other-things", changes: awsGoes("deploy", "AdministratorAccess")},
		{name: "aws/power-user-goes-in-a-plan-of-other-things", changes: awsGoes("deploy", "PowerUserAccess")},
		{name: "aws/route53-goes-in-a-plan-of-other-things", changes: awsGoes("deploy", "AmazonRoute53FullAccess"), want: []string{
			"lost aws_iam_role_policy_attachment.x: Renewal stops: the role deploy loses route53:ChangeResourceRecordSets (policy AmazonRoute53FullAccess) on every hosted zone, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "aws/administrator-of-a-renewer-goes", changes: awsGoes("certbot", "AdministratorAccess"), want: []string{
			"lost aws_iam_role_policy_attachment.x: Renewal stops: the role certbot loses route53:ChangeResourceRecordSets (policy AdministratorAccess) on every hosted zone, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "aws/administrator-called-after-dns-goes", changes: awsGoes("dns-bot", "AdministratorAccess"), want: []string{
			"unknown aws_iam_role_policy_attachment.x: The role dns-bot loses route53:ChangeResourceRecordSets (policy AdministratorAccess) on every hosted zone, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: it is a right to everything, and nothing in the plan shows that certificates are renewed by it.",
		}},
		{name: "google/editor-goes-in-a-plan-of-other-things", changes: []Change{googleGoes("roles/editor", ciMember)}},
		{name: "google/owner-goes-in-a-plan-of-other-things", changes: []Change{googleGoes("roles/owner", ciMember), keeps("google_project_service.run", attrs{"id": "x", "project": gproject, "service": "run.googleapis.com"})}},
		{name: "google/editors-are-named-in-a-plan-of-other-things", changes: []Change{creates("google_project_iam_binding.x", gBinding("roles/editor", ciMember))}},
		{name: "google/editor-goes-where-dns-is-switched-on", changes: []Change{googleGoes("roles/editor", ciMember), keeps("google_project_service.dns", attrs{"id": "x", "project": gproject, "service": "dns.googleapis.com"})}, want: []string{
			"unknown google_project_iam_member.x: ci@shop-prod.iam.gserviceaccount.com loses roles/editor on project shop-prod, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: the role allows nearly everything, and no public DNS zone of project shop-prod is in the plan.",
		}},
	})
}

// Somebody who may write records goes while the plan shows who renews: a pipeline, administrators.
func TestOthersWhoMayWriteRecords(t *testing.T) {
	t.Parallel()
	renewer := []Change{
		keeps("azurerm_dns_zone.main", azZone("example.com", "dns")), keeps("azurerm_role_assignment.cm", azGrant()), keeps("azurerm_user_assigned_identity.cm", azUser("cert-manager", objectID)),
		keeps("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager")),
	}
	azure := func(more ...Change) []Change { return append(renewer[:len(renewer):len(renewer)], more...) }
	ci := azAssigned(zoneID, "DNS Zone Contributor", azOtherID)
	principal := attrs{"id": "/servicePrincipals/" + azOtherID, "object_id": azOtherID, "client_id": "c2", "display_name": "github-terraform"}
	group := azAssigned(zoneID, "DNS Zone Contributor", azGroupID)
	member := attrs{"id": "m", "group_object_id": azGroupID, "member_object_id": objectID}
	pipeline := " loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: the identity cert-manager keeps its own grant there and is seen to renew, and nothing shows that the service principal github-terraform does."
	subject := func(s string) string { return webIdentity("token.actions.githubusercontent.com", "StringEquals", s) }
	iam := func(name, trust string) attrs {
		return attrs{"id": name, "name": name, "arn": awsAccount + "role/" + name, "path": "/", "assume_role_policy": trust}
	}
	held := func(role string) attrs {
		return attrs{"id": role + "-1", "role": role, "policy_arn": awsAccount + "policy/dns"}
	}
	amazon := []Change{
		keeps("aws_route53_zone.main", attrs{"id": zone1, "zone_id": zone1, "name": "example.com", "vpc": []any{}}), keeps("aws_iam_policy.dns", attrs{"id": "dns", "name": "dns", "arn": awsAccount + "policy/dns", "path": "/", "policy": dnsDoc(zone1)}),
		keeps("aws_iam_role.cm", iam("cert-manager", webIdentity(awsIssuer, "StringEquals", cmSubject))), keeps("aws_iam_role_policy_attachment.cm", held("cert-manager")),
	}
	aws := func(more ...Change) []Change { return append(amazon[:len(amazon):len(amazon)], more...) }
	said := "Nobody can tell from this plan whether renewal rests on it: the role cert-manager keeps its own grant there and is seen to renew, and nothing shows that the role terraform does."
	ciMember := "serviceAccount:terraform@shop-prod.iam.gserviceaccount.com"
	google := []Change{
		keeps("google_dns_managed_zone.main", gZone("example-com", "example.com.")), keeps("google_dns_managed_zone_iam_member.cm", gZoneGrant("roles/dns.admin", gmember)), keeps("google_service_account_iam_member.wi", gTrust(gpod)),
	}
	token := func(name string) attrs {
		return attrs{"id": "id-" + name, "name": name, "status": "active", "policies": []any{attrs{"effect": "allow", "permission_groups": []any{attrs{"id": "4755a26eedb94da69e1066d98aa820be"}, attrs{"id": "c8fed203ed3043cba015a93ad1616f1f"}}, "resources": `{"com.cloudflare.api.account.zone.` + cfZone + `":"*"}`}}}
	}
	play(t, []scene{
		{name: "azure/grant-of-a-pipeline-removed", changes: azure(keeps("azuread_service_principal.ci", principal), deletes("azurerm_role_assignment.ci", ci)), want: []string{
			"unknown azurerm_role_assignment.ci: The service principal github-terraform" + pipeline,
		}},
		{name: "azure/grant-of-a-pipeline-on-the-group-removed", changes: azure(keeps("azuread_service_principal.ci", principal), deletes("azurerm_role_assignment.ci", azAssigned(azDNSGroup, "Contributor", azOtherID))), want: []string{
			"unknown azurerm_role_assignment.ci: The service principal github-terraform loses Contributor on the resource group dns, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: the identity cert-manager keeps its own grant there and is seen to renew, and nothing shows that the service principal github-terraform does.",
		}},
		{name: "azure/pipeline-removed-as-a-whole", changes: azure(deletes("azuread_service_principal.ci", principal), deletes("azurerm_role_assignment.ci", ci)), want: []string{
			"unknown azuread_service_principal.ci: The service principal github-terraform is destroyed. Nobody can tell from this plan whether renewal rests on it: the identity cert-manager keeps its own grant there and is seen to renew, and nothing shows that the service principal github-terraform does.",
		}},
		{name: "azure/grant-of-a-pipeline-made-again", changes: azure(keeps("azuread_service_principal.ci", principal), replaces("azurerm_role_assignment.ci", ci, azMade(ci), azUnknownID)), want: []string{
			"unknown azurerm_role_assignment.ci: DNS Zone Contributor of the service principal github-terraform on the zone example.com is destroyed first and made again afterwards. Nobody can tell from this plan whether renewal rests on it: the identity cert-manager keeps its own grant there and is seen to renew, and nothing shows that the service principal github-terraform does.",
		}},
		{name: "azure/grant-of-a-group-of-people-removed", changes: azure(deletes("azurerm_role_assignment.admins", group), keeps("azuread_group.admins", attrs{"object_id": azGroupID, "display_name": "dns-admins"})), want: []string{
			"unknown azurerm_role_assignment.admins: The group dns-admins loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: the identity cert-manager keeps its own grant there and is seen to renew, and nothing shows that the group dns-admins does.",
		}},
		{name: "azure/grant-of-a-pipeline-with-a-secret-removed", changes: azure(keeps("azuread_service_principal.ci", principal), keeps("azuread_service_principal_password.ci", attrs{"id": "p", "service_principal_id": "/servicePrincipals/" + azOtherID}), deletes("azurerm_role_assignment.ci", ci)), want: []string{
			"lost azurerm_role_assignment.ci: Renewal stops: the service principal github-terraform loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/grant-of-a-second-renewer-removed", changes: azure(keeps("azurerm_user_assigned_identity.two", azWith(azUser("cert-manager-b", azOtherID), attrs{"client_id": "c2"})), deletes("azurerm_role_assignment.two", ci)), want: []string{
			"lost azurerm_role_assignment.two: Renewal stops: the identity cert-manager-b loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/grant-of-an-unknown-one-in-another-zone-removed", changes: azure(keeps("azurerm_dns_zone.two", azZone("example.org", "dns")), deletes("azurerm_role_assignment.two", azAssigned(azZone("example.org", "dns")["id"].(string), "DNS Zone Contributor", azOtherID))), want: []string{
			"lost azurerm_role_assignment.two: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000002 loses DNS Zone Contributor on the zone example.org, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/grant-of-a-group-with-the-renewer-removed", changes: []Change{
			renewer[0], renewer[2], renewer[3], keeps("azuread_group.writers", attrs{"object_id": azGroupID, "display_name": "writers"}), keeps("azuread_group_member.cm", member), deletes("azurerm_role_assignment.writers", group),
			keeps("azurerm_user_assigned_identity.two", azWith(azUser("cert-manager-b", azOtherID), attrs{"id": "two", "client_id": "c2"})), keeps("azurerm_role_assignment.two", ci), keeps("azurerm_federated_identity_credential.two", azWith(azFederated("cert-manager:cert-manager"), attrs{"id": "two/f", "parent_id": "two"})),
		}, want: []string{
			"lost azurerm_role_assignment.writers: Renewal stops: the group writers loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "azure/grant-of-a-pipeline-removed-and-the-renewers", changes: []Change{
			renewer[0], renewer[2], renewer[3], deletes("azurerm_role_assignment.cm", azGrant()), keeps("azuread_service_principal.ci", principal), deletes("azurerm_role_assignment.ci", ci),
		}, want: []string{
			"lost azurerm_role_assignment.ci: Renewal stops: the service principal github-terraform loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
			"lost azurerm_role_assignment.cm: Renewal stops: the identity cert-manager loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "aws/grant-of-a-pipeline-removed", changes: aws(keeps("aws_iam_role.ci", iam("terraform", subject("repo:shop/infra:ref:refs/heads/main"))), deletes("aws_iam_role_policy_attachment.ci", held("terraform"))), want: []string{
			"unknown aws_iam_role_policy_attachment.ci: The role terraform loses route53:ChangeResourceRecordSets (policy dns) on the hosted zone example.com, and nothing else in this plan allows it. " + said,
		}},
		{name: "aws/pipeline-removed-as-a-whole", changes: aws(deletes("aws_iam_role.ci", iam("terraform", subject("repo:shop/infra:ref:refs/heads/main"))), deletes("aws_iam_role_policy_attachment.ci", held("terraform"))), want: []string{
			"unknown aws_iam_role.ci: The role terraform is destroyed. " + said,
		}},
		{name: "aws/grant-of-another-workload-removed", changes: aws(keeps("aws_iam_role.ci", iam("records", webIdentity(awsIssuer, "StringEquals", "system:serviceaccount:shop:shop"))), deletes("aws_iam_role_policy_attachment.ci", held("records"))), want: []string{
			"lost aws_iam_role_policy_attachment.ci: Renewal stops: the role records loses route53:ChangeResourceRecordSets (policy dns) on the hosted zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "google/grant-of-a-pipeline-removed", changes: append(google[:3:3], deletes("google_project_iam_member.ci", gGrant("roles/dns.admin", ciMember))), want: []string{
			"unknown google_project_iam_member.ci: terraform@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: cert-manager@shop-prod.iam.gserviceaccount.com keeps its own grant there and is seen to renew, and nothing shows that terraform@shop-prod.iam.gserviceaccount.com does.",
		}},
		{name: "google/grant-of-the-renewer-removed-a-pipeline-keeps-one", changes: []Change{google[0], deletes("google_dns_managed_zone_iam_member.cm", gZoneGrant("roles/dns.admin", gmember)), google[2], keeps("google_project_iam_member.ci", gGrant("roles/dns.admin", ciMember))}, want: []string{
			"lost google_dns_managed_zone_iam_member.cm: Renewal stops: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on zone example-com of project shop-prod, and nothing else in this plan allows it. Nothing shows it until certificates end.",
		}},
		{name: "cloudflare/token-of-a-pipeline-removed", changes: []Change{keeps("cloudflare_zone.main", attrs{"id": cfZone, "name": "example.com", "account": attrs{"id": cfAccount}}), keeps("cloudflare_api_token.cm", token("cert-manager")), deletes("cloudflare_api_token.ci", token("terraform"))}, want: []string{
			"unknown cloudflare_api_token.ci: The API token terraform is destroyed. Nobody can tell from this plan whether renewal rests on it: the API token cert-manager keeps its own grant there and is seen to renew, and nothing shows that the API token terraform does.",
		}},
		{name: "cloudflare/token-of-the-renewer-removed-a-pipeline-keeps-one", changes: []Change{keeps("cloudflare_zone.main", attrs{"id": cfZone, "name": "example.com", "account": attrs{"id": cfAccount}}), deletes("cloudflare_api_token.cm", token("cert-manager")), keeps("cloudflare_api_token.ci", token("terraform"))}, want: []string{
			"lost cloudflare_api_token.cm: Renewal stops: the API token cert-manager is destroyed, so whoever renews with it can no longer sign in to Cloudflare. Nothing shows it until certificates end.",
		}},
	})
}

// An identity is called otherwise, and so made anew: what names it follows by reference, or does not.
func TestIdentitiesThatAreCalledOtherwise(t *testing.T) {
	t.Parallel()
	renamed := with(without(cmRole, "arn", "id", "unique_id"), "name", "cert-manager-prod")
	was, will := awsAccount+"role/cert-manager", awsAccount+"role/cert-manager-prod"
	annotated := func(key, id string) attrs {
		return kHelm("v1.18.2", "serviceAccount:\n  annotations:\n    "+key+": "+id+"\n")
	}
	blank := func(a attrs, keys ...string) attrs { return without(a, keys...) }
	unknownSet := func(do Action) []Change {
		return []Change{
			change(do, cmRoleAt, cmRole, renamed, unknowns("arn", "id", "unique_id")), keeps(cmPolicyAt, cmPolicy), zoneAt,
			change(do, cmAttach, cmHeld, with(without(cmHeld, "id"), "role", "cert-manager-prod"), unknowns("id")),
			change(Update, "helm_release.cm", annotated("eks.amazonaws.com/role-arn", was), blank(annotated("", ""), "values"), unknowns("values")),
		}
	}
	code := azConfigured(map[string]map[string][]any{
		cmAttach: {"role": {"aws_iam_role.cert_manager.name", "aws_iam_role.cert_manager"}}, "helm_release.cm": {"values": {"aws_iam_role.cert_manager.arn", "aws_iam_role.cert_manager"}},
	})
	through := azConfigured(map[string]map[string][]any{
		cmAttach: {"role": {"aws_iam_role.cert_manager.name", "aws_iam_role.cert_manager"}}, "helm_release.cm": {"values": {"var.role_arn"}},
	})
	gap := "gap aws_iam_role.cert_manager: Renewal pauses, and stops if the second step fails: the role cert-manager is made anew, and what names it follows by reference (aws_iam_role_policy_attachment.cert_manager, helm_release.cm); until all of that is done nothing renews by it."
	lost := "lost aws_iam_role.cert_manager: Renewal stops: the role cert-manager is destroyed, so nothing can act as it, and what was granted to it is gone. Nothing shows it until certificates end."
	moves := func(after, unknown attrs) []Change {
		return append(unknownSet(CreateDelete)[:4:4], change(Update, "helm_release.cm", annotated("eks.amazonaws.com/role-arn", was), after, unknown))
	}
	stopped := with(blank(annotated("", ""), "values"), "set", []any{attrs{"name": "replicaCount", "value": "0"}})
	association := func(role string) attrs {
		return attrs{"id": "a-1", "cluster_name": "prod", "namespace": "cert-manager", "service_account": "cert-manager", "role_arn": role, "association_arn": "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/prod/a-1"}
	}
	pods := role("cert-manager", doc(attrs{"Effect": "Allow", "Action": []string{"sts:AssumeRole", "sts:TagSession"}, "Principal": attrs{"Service": "pods.eks.amazonaws.com"}}))
	newEmail := "cert-manager-prod@shop-prod.iam.gserviceaccount.com"
	account := gAccount("1")
	next := altered(account, "account_id", "cert-manager-prod", "email", newEmail, "member", "serviceAccount:"+newEmail, "id", nil, "unique_id", nil, "name", nil)
	googleMoves := func(do Action, last Change) []Change {
		return []Change{
			change(do, "google_service_account.cm", account, next, unknowns("id", "unique_id", "name")), keeps("google_dns_managed_zone.main", gZone("example-com", "example.com.")),
			change(do, gcm, gGrant(gAdmin, gmember), altered(gGrant(gAdmin, "serviceAccount:"+newEmail), "id", nil), unknowns("id")),
			change(do, "google_service_account_iam_member.wi", gTrust(gpod), altered(gTrust(gpod), "id", nil, "service_account_id", nil), unknowns("id", "service_account_id")), last,
		}
	}
	googleCode := azConfigured(map[string]map[string][]any{
		gcm: {"member": {"google_service_account.cm.member", "google_service_account.cm"}}, "google_service_account_iam_member.wi": {"service_account_id": {"google_service_account.cm.name", "google_service_account.cm"}},
	})
	play(t, []scene{
		{name: "aws/role-called-otherwise-and-followed", changes: unknownSet(CreateDelete), flags: code, want: []string{gap}},
		{name: "aws/role-called-otherwise-and-followed-destroyed-first", changes: unknownSet(DeleteCreate), flags: code, want: []string{gap}},
		{name: "aws/role-called-otherwise-and-named", changes: moves(annotated("eks.amazonaws.com/role-arn", will), nil), want: []string{gap}},
		{name: "aws/role-called-otherwise-through-a-variable", changes: unknownSet(CreateDelete), flags: through, want: []string{
			"unknown aws_iam_role.cert_manager: The role cert-manager changes, and nobody can tell whether renewal goes on: it is made anew, and whether aws_iam_role_policy_attachment.cert_manager, helm_release.cm then name the new one is known only after the apply.",
		}},
		{name: "aws/role-called-otherwise-the-old-one-named", changes: append(unknownSet(CreateDelete)[:4:4], keeps("helm_release.cm", annotated("eks.amazonaws.com/role-arn", was))), flags: code, want: []string{lost}},
		{name: "aws/role-called-otherwise-attachment-stays", changes: append(unknownSet(CreateDelete)[:3:3], keeps(cmAttach, cmHeld), unknownSet(CreateDelete)[4]), flags: code, want: []string{
			"lost aws_iam_role.cert_manager: Renewal stops: the role cert-manager is made anew, and what aws_iam_role_policy_attachment.cert_manager attaches is gone with the old one, and the plan does not attach it again. Nothing shows it until certificates end.",
			"unknown helm_release.cm: The trust by which a workload acts as the service account cert-manager/cert-manager changes, and nobody can tell whether renewal goes on: its values are known only after the apply.",
		}},
		{name: "aws/role-called-otherwise-and-other-trust", changes: append([]Change{change(CreateDelete, cmRoleAt, cmRole, with(renamed, "assume_role_policy", trusts(awsIssuer, "system:serviceaccount:shop:shop")), unknowns("arn", "id", "unique_id"))}, unknownSet(CreateDelete)[1:]...), flags: code, want: []string{
			lost,
			"unknown helm_release.cm: The trust by which a workload acts as the service account cert-manager/cert-manager changes, and nobody can tell whether renewal goes on: its values are known only after the apply.",
		}},
		{name: "aws/role-called-otherwise-and-the-release-stopped", changes: moves(stopped, unknowns("values")), flags: code, want: []string{
			"lost helm_release.cm: Renewal stops: cert-manager (release cert-manager in namespace cert-manager) changes, so its controller runs no longer (replicaCount = 0), and no certificate of the cluster is renewed. Nothing shows it until certificates end.",
			gap,
		}},
		{name: "aws/role-of-an-association-called-otherwise", changes: []Change{
			change(CreateDelete, cmRoleAt, pods, with(without(pods, "arn", "id", "unique_id"), "name", "cert-manager-prod"), unknowns("arn", "id", "unique_id")), keeps(cmPolicyAt, cmPolicy), zoneAt, unknownSet(CreateDelete)[3],
			change(Update, "aws_eks_pod_identity_association.cm", association(was), without(association(""), "role_arn"), unknowns("role_arn")),
		}, flags: azConfigured(map[string]map[string][]any{cmAttach: {"role": {"aws_iam_role.cert_manager.name"}}, "aws_eks_pod_identity_association.cm": {"role_arn": {"aws_iam_role.cert_manager.arn"}}}), want: []string{
			"gap aws_iam_role.cert_manager: Renewal pauses, and stops if the second step fails: the role cert-manager is made anew, and what names it follows by reference (aws_iam_role_policy_attachment.cert_manager, aws_eks_pod_identity_association.cm); until all of that is done nothing renews by it.",
		}},
		{name: "google/account-called-otherwise-and-followed", changes: googleMoves(CreateDelete, updates("helm_release.cm", annotated("iam.gke.io/gcp-service-account", gemail), annotated("iam.gke.io/gcp-service-account", newEmail))), flags: googleCode, want: []string{
			"gap google_service_account.cm: Renewal pauses, and stops if the second step fails: the identity cert-manager@shop-prod.iam.gserviceaccount.com is made anew, and what names it follows by reference (google_project_iam_member.cm, google_service_account_iam_member.wi, helm_release.cm); until all of that is done nothing renews by it.",
		}},
		{name: "google/account-called-otherwise-the-old-one-named", changes: googleMoves(CreateDelete, keeps("helm_release.cm", annotated("iam.gke.io/gcp-service-account", gemail))), flags: googleCode, want: []string{
			"lost google_service_account.cm: Renewal stops: the identity cert-manager@shop-prod.iam.gserviceaccount.com is made anew, and it gets another unique id, and roles that name it go on naming the deleted one. Nothing shows it until certificates end.",
		}},
	})
}

// cert-manager goes to another namespace, or runs as another service account, and what it signs in with goes there in the
// same plan, or does not.
func TestReleasesThatMove(t *testing.T) {
	t.Parallel()
	values := func(key, id string) string { return "serviceAccount:\n  annotations:\n    " + key + ": " + id + "\n" }
	release := func(namespace, values string) attrs { return altered(kHelm("v1.18.2", values), "namespace", namespace) }
	moves := func(values string) Change {
		return replaces(kRelease, release("cert-manager", values), release("platform", values), attrs{})
	}
	client := values("azure.workload.identity/client-id", azClientID)
	azure := []Change{keeps("azurerm_dns_zone.main", azZone("example.com", "dns")), keeps("azurerm_role_assignment.cm", azGrant()), keeps("azurerm_user_assigned_identity.cm", azUser("cert-manager", objectID))}
	federated := replaces("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"), azMade(azFederated("platform:cert-manager")), azUnknownID)
	gap := func(follows string) string {
		return "gap helm_release.cert_manager: Renewal pauses, and stops if the second step fails: cert-manager (release cert-manager in namespace cert-manager) is destroyed, and made again in the namespace platform, and what it signs in with follows (" + follows + "). Secrets of the namespace cert-manager do not move: the key of its account at the authority, and credentials that nothing in this plan makes."
	}
	lost := "lost helm_release.cert_manager: Renewal stops: cert-manager (release cert-manager in namespace cert-manager) is destroyed, and made again in the namespace platform, where the secrets of its cluster issuers are not. Nothing shows it until certificates end."
	arn := values("eks.amazonaws.com/role-arn", awsAccount+"role/cert-manager")
	amazon := []Change{keeps(cmPolicyAt, cmPolicy), zoneAt, keeps(cmAttach, cmHeld)}
	trusting := func(will string) Change {
		return updates(cmRoleAt, cmRole, with(cmRole, "assume_role_policy", trusts(awsIssuer, will)))
	}
	email := values("iam.gke.io/gcp-service-account", gemail)
	wi := replaces("google_service_account_iam_member.wi", gTrust(gpod), altered(gTrust("serviceAccount:shop-prod.svc.id.goog[platform/cert-manager]"), "id", nil), unknowns("id"))
	token := attrs{"dns01": attrs{"cloudflare": attrs{"apiTokenSecretRef": attrs{"name": "cloudflare", "key": "token"}}}}
	issuer := keeps(kIssuer, kACME(letsEncrypt, token))
	secret := func(ns string) attrs { return kMeta(ns, "cloudflare", "data", attrs{"token": "not-one"}) }
	space := deletes("kubernetes_namespace_v1.cm", kMeta("", "cert-manager"))
	runs := func(name string) attrs { return kHelm("v1.18.2", arn+"  name: "+name+"\n") }
	play(t, []scene{
		{name: "kubernetes/release-moves-with-its-federation", changes: append(azure[:3:3], federated, moves(client)), want: []string{gap("azurerm_federated_identity_credential.cm")}},
		{name: "kubernetes/release-and-its-namespace-move-with-the-federation", changes: append(azure[:3:3], federated, moves(client), space), want: []string{gap("azurerm_federated_identity_credential.cm")}},
		{name: "kubernetes/release-moves-without-its-federation", changes: append(azure[:3:3], keeps("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager")), moves(client)), want: []string{
			lost,
			"lost helm_release.cert_manager: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager is destroyed, so cert-manager runs as the service account platform/cert-manager then, and nothing in the plan trusts that one. Nothing shows it until certificates end.",
		}},
		{name: "kubernetes/release-moves-with-its-federation-not-its-token", changes: append(azure[:3:3], federated, moves(client), issuer, keeps("kubernetes_secret_v1.cf", secret("cert-manager"))), want: []string{
			lost,
			"gap azurerm_federated_identity_credential.cm: Renewal pauses, and stops if the second step fails: the trust by which a workload acts as the identity cert-manager goes over to the service account platform/cert-manager, as which cert-manager runs then (helm_release.cert_manager), in no order with that.",
		}},
		{name: "kubernetes/release-moves-with-its-role", changes: append(amazon[:3:3], trusting("system:serviceaccount:platform:cert-manager"), moves(arn)), want: []string{gap("aws_iam_role.cert_manager")}},
		{name: "kubernetes/release-moves-with-its-account", changes: []Change{keeps(gcm, gGrant(gAdmin, gmember)), wi, moves(email)}, want: []string{gap("google_service_account_iam_member.wi")}},
		{name: "kubernetes/release-moves-with-its-token", changes: []Change{issuer, replaces("kubernetes_secret_v1.cf", secret("cert-manager"), secret("platform"), attrs{}), moves("")}, want: []string{gap("kubernetes_secret_v1.cf")}},
		{name: "kubernetes/release-moves-without-its-token", changes: []Change{issuer, keeps("kubernetes_secret_v1.cf", secret("cert-manager")), moves("")}, want: []string{lost}},
		{name: "kubernetes/release-runs-as-another-account-trusted-instead", changes: append(amazon[:3:3], trusting("system:serviceaccount:cert-manager:renewer"), updates(kRelease, runs("cert-manager"), runs("renewer"))), want: []string{
			"gap aws_iam_role.cert_manager: Renewal pauses, and stops if the second step fails: the trust by which a workload acts as the role cert-manager goes over to the service account cert-manager/renewer, as which cert-manager runs then (helm_release.cert_manager), in no order with that.",
		}},
		{name: "kubernetes/another-account-trusted-instead", changes: append(amazon[:3:3], trusting("system:serviceaccount:cert-manager:renewer"), keeps(kRelease, runs("cert-manager"))), want: []string{
			"lost aws_iam_role.cert_manager: Renewal stops: the trust by which a workload acts as the role cert-manager changes, so system:serviceaccount:cert-manager:cert-manager of oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9 can no longer act as it. Nothing shows it until certificates end.",
		}},
	})
}

// A cluster is retired, or a workload comes to sign in in another way, in two steps or in one.
func TestWaysThatAreGivenUp(t *testing.T) {
	t.Parallel()
	old := "oidc.eks.eu-west-1.amazonaws.com/id/00000000000000000000000000000000"
	statement := func(issuer string) attrs {
		return attrs{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": attrs{"Federated": awsAccount + "oidc-provider/" + issuer}, "Condition": attrs{"StringEquals": attrs{issuer + ":sub": cmSubject, issuer + ":aud": "sts.amazonaws.com"}}}
	}
	pods := attrs{"Effect": "Allow", "Action": []string{"sts:AssumeRole", "sts:TagSession"}, "Principal": attrs{"Service": "pods.eks.amazonaws.com"}}
	trusting := func(statements ...attrs) attrs { return with(cmRole, "assume_role_policy", doc(statements...)) }
	eks := func(name, issuer string) attrs {
		return attrs{"id": name, "name": name, "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/" + name, "identity": []any{attrs{"oidc": []any{attrs{"issuer": "https://" + issuer}}}}}
	}
	provider := func(issuer string) attrs {
		arn := awsAccount + "oidc-provider/" + issuer
		return attrs{"id": arn, "arn": arn, "url": issuer, "client_id_list": []string{"sts.amazonaws.com"}}
	}
	amazon := []Change{keeps(cmPolicyAt, cmPolicy), zoneAt, keeps(cmAttach, cmHeld), keeps("aws_eks_cluster.prod", eks("prod", awsIssuer))}
	aws := func(more ...Change) []Change { return append(amazon[:len(amazon):len(amazon)], more...) }
	association := attrs{"id": "a-1", "cluster_name": "prod", "namespace": "cert-manager", "service_account": "cert-manager", "role_arn": awsAccount + "role/cert-manager", "association_arn": "arn:aws:eks:eu-west-1:123456789012:podidentityassociation/prod/a-1"}
	aks := func(name, issuer string) attrs {
		return attrs{"id": azSub + "/resourceGroups/k8s/providers/Microsoft.ContainerService/managedClusters/" + name, "name": name, "oidc_issuer_enabled": true, "workload_identity_enabled": true, "oidc_issuer_url": issuer}
	}
	oldIssuer := "https://westeurope.oic.prod-aks.azure.com/t/old/"
	oldTrust := azWith(azFederated("cert-manager:cert-manager"), attrs{"issuer": oldIssuer, "id": azIdentityID + "/federatedIdentityCredentials/old", "name": "old"})
	azure := []Change{keeps("azurerm_dns_zone.main", azZone("example.com", "dns")), keeps("azurerm_role_assignment.cm", azGrant()), keeps("azurerm_user_assigned_identity.cm", azUser("cert-manager", objectID)), keeps("azurerm_kubernetes_cluster.prod", aks("prod", "https://westeurope.oic.prod-aks.azure.com/t/i/"))}
	retired := []Change{deletes("azurerm_kubernetes_cluster.old", aks("old", oldIssuer)), deletes("azurerm_federated_identity_credential.old", oldTrust)}
	self := "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/shop-prod.svc.id.goog/subject/ns/cert-manager/sa/cert-manager"
	zone := keeps("google_dns_managed_zone.main", gZone("example-com", "example.com."))
	annotation := "serviceAccount:\n  annotations:\n    iam.gke.io/gcp-service-account: " + gemail + "\n"
	goes := []Change{zone, deletes("google_service_account.cm", gAccount("1")), deletes(gcm, gGrant(gAdmin, gmember)), deletes("google_service_account_iam_member.wi", gTrust(gpod))}
	google := func(more ...Change) []Change { return append(goes[:len(goes):len(goes)], more...) }
	direct := keeps("google_project_iam_member.direct", gGrant(gAdmin, self))
	play(t, []scene{
		{name: "aws/cluster-retired", changes: aws(updates(cmRoleAt, trusting(statement(awsIssuer), statement(old)), trusting(statement(awsIssuer))), deletes("aws_eks_cluster.old", eks("old", old)), deletes("aws_iam_openid_connect_provider.old", provider(old))), want: []string{
			"unknown aws_eks_cluster.old: The trust by which a workload acts as the role cert-manager is destroyed. Nobody can tell from this plan whether renewal rests on it: the cluster old goes with all that ran in it, the role cert-manager is still trusted elsewhere, and whether anything goes on serving what was renewed there is not in the plan.",
		}},
		{name: "aws/trust-in-a-cluster-that-stays-removed", changes: aws(updates(cmRoleAt, trusting(statement(awsIssuer), statement(old)), trusting(statement(awsIssuer))), keeps("aws_eks_cluster.old", eks("old", old))), want: []string{
			"lost aws_iam_role.cert_manager: Renewal stops: the trust by which a workload acts as the role cert-manager changes, so system:serviceaccount:cert-manager:cert-manager of oidc.eks.eu-west-1.amazonaws.com/id/00000000000000000000000000000000 can no longer act as it. Nothing shows it until certificates end.",
		}},
		{name: "aws/only-cluster-destroyed", changes: append(amazon[:3:3], keeps(cmRoleAt, trusting(statement(old))), deletes("aws_eks_cluster.old", eks("old", old))), want: []string{
			"lost aws_eks_cluster.old: Renewal stops: the trust by which a workload acts as the role cert-manager is destroyed, so system:serviceaccount:cert-manager:cert-manager in the cluster old can no longer act as it. Nothing shows it until certificates end.",
		}},
		{name: "azure/cluster-retired", changes: append(append(azure[:4:4], keeps("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"))), retired...), want: []string{
			"unknown azurerm_kubernetes_cluster.old: The trust by which a workload acts as an identity of Azure in the cluster old is destroyed. Nobody can tell from this plan whether renewal rests on it: the cluster old goes with all that ran in it, the identity cert-manager is still trusted elsewhere, and whether anything goes on serving what was renewed there is not in the plan.",
		}},
		{name: "azure/only-trusted-cluster-destroyed", changes: append(azure[:4:4], retired...), want: []string{
			"lost azurerm_federated_identity_credential.old: Renewal stops: the trust by which a workload acts as the identity cert-manager is destroyed, so system:serviceaccount:cert-manager:cert-manager can no longer sign in to Azure as it. Nothing shows it until certificates end.",
			"lost azurerm_kubernetes_cluster.old: Renewal stops: the trust by which a workload acts as an identity of Azure in the cluster old is destroyed, so its workloads can no longer sign in to Azure. Nothing shows it until certificates end.",
		}},
		{name: "aws/cluster-made-again-and-followed", changes: []Change{
			keeps(cmPolicyAt, cmPolicy), zoneAt, keeps(cmAttach, cmHeld),
			change(CreateDelete, "aws_eks_cluster.prod", eks("prod", awsIssuer), attrs{"name": "prod-b"}, unknowns("id", "arn", "identity")),
			change(CreateDelete, "aws_iam_openid_connect_provider.prod", provider(awsIssuer), attrs{"client_id_list": []string{"sts.amazonaws.com"}}, unknowns("id", "arn", "url")),
			change(Update, cmRoleAt, cmRole, without(cmRole, "assume_role_policy"), unknowns("assume_role_policy")),
		}, flags: azConfigured(map[string]map[string][]any{
			"aws_iam_openid_connect_provider.prod": {"url": {"aws_eks_cluster.prod.identity[0].oidc[0].issuer", "aws_eks_cluster.prod"}}, cmRoleAt: {"assume_role_policy": {"data.aws_iam_policy_document.trust.json"}},
		}), want: []string{
			"unknown aws_eks_cluster.prod: The trust by which a workload acts as the role cert-manager changes, and nobody can tell whether renewal goes on: it is made anew, and whether aws_iam_openid_connect_provider.prod, aws_iam_role.cert_manager then name the new one is known only after the apply.",
		}},
		{name: "azure/contributor-goes-beside-a-certificate-in-a-vault", changes: []Change{deletes("azurerm_role_assignment.app", azAssigned(azSub, "Contributor", azOtherID))}, flags: map[string]any{"configuration": attrs{"root_module": attrs{"resources": []any{
			attrs{"address": "azurerm_key_vault_certificate.www", "mode": "managed", "type": "azurerm_key_vault_certificate", "name": "www", "expressions": attrs{}},
		}}}}, want: []string{
			"unknown azurerm_role_assignment.app: The identity 0b1ec700-0000-4000-8000-000000000002 loses Contributor on the subscription 5b000000-0000-4000-8000-000000000001, and nothing else in this plan allows it. Nobody can tell from this plan whether renewal rests on it: Contributor is made for much more than DNS, and the plan shows no DNS zone in the subscription 5b000000-0000-4000-8000-000000000001.",
		}},
		{name: "aws/tokens-given-up-after-pod-identity", changes: aws(updates(cmRoleAt, trusting(statement(awsIssuer), pods), trusting(pods)), keeps("aws_eks_pod_identity_association.cm", association), keeps(kRelease, kHelm("v1.18.2", "")))},
		{name: "aws/tokens-given-up-workload-not-seen", changes: aws(updates(cmRoleAt, trusting(statement(awsIssuer), pods), trusting(pods)), keeps("aws_eks_pod_identity_association.cm", association)), want: []string{
			"unknown aws_iam_role.cert_manager: The trust by which a workload acts as the role cert-manager changes. Nobody can tell from this plan whether renewal rests on it: pod identity for cert-manager/cert-manager in the cluster prod stays for the same workload, and whether that is what it signs in with is not in the plan.",
		}},
		{name: "aws/tokens-given-up-the-association-not-trusted", changes: aws(updates(cmRoleAt, trusting(statement(awsIssuer)), trusting(attrs{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": attrs{"AWS": awsAccount + "root"}})), keeps("aws_eks_pod_identity_association.cm", association), keeps(kRelease, kHelm("v1.18.2", ""))), want: []string{
			"lost aws_iam_role.cert_manager: Renewal stops: the trust by which a workload acts as the role cert-manager changes, so system:serviceaccount:cert-manager:cert-manager of oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9 can no longer act as it. Nothing shows it until certificates end.",
		}},
		{name: "aws/tokens-given-up-while-annotated", changes: aws(updates(cmRoleAt, trusting(statement(awsIssuer), pods), trusting(pods)), keeps("aws_eks_pod_identity_association.cm", association), keeps(kRelease, kHelm("v1.18.2", "serviceAccount:\n  annotations:\n    eks.amazonaws.com/role-arn: "+awsAccount+"role/cert-manager\n"))), want: []string{
			"unknown aws_iam_role.cert_manager: The trust by which a workload acts as the role cert-manager changes. Nobody can tell from this plan whether renewal rests on it: pod identity for cert-manager/cert-manager in the cluster prod stays for the same workload, and whether that is what it signs in with is not in the plan.",
		}},
		{name: "aws/tokens-given-up-for-an-association-of-another-workload", changes: aws(updates(cmRoleAt, trusting(statement(awsIssuer), pods), trusting(pods)), keeps("aws_eks_pod_identity_association.cm", with(association, "namespace", "shop"))), want: []string{
			"lost aws_iam_role.cert_manager: Renewal stops: the trust by which a workload acts as the role cert-manager changes, so system:serviceaccount:cert-manager:cert-manager of oidc.eks.eu-west-1.amazonaws.com/id/0A1B2C3D4E5F60718293A4B5C6D7E8F9 can no longer act as it. Nothing shows it until certificates end.",
		}},
		{name: "google/account-given-up-after-grants-of-the-workload", changes: google(direct, keeps(kRelease, kHelm("v1.18.2", "")))},
		{name: "google/account-given-up-workload-not-seen", changes: google(direct), want: []string{
			"unknown google_service_account.cm: The identity cert-manager@shop-prod.iam.gserviceaccount.com is destroyed. Nobody can tell from this plan whether renewal rests on it: roles/dns.admin of the Kubernetes service account cert-manager/cert-manager on project shop-prod stays for the same workload, and whether that is what it signs in with is not in the plan.",
		}},
		{name: "google/account-given-up-in-one-go", changes: google(creates("google_project_iam_member.direct", altered(gGrant(gAdmin, self), "id", nil)), updates(kRelease, kHelm("v1.18.2", annotation), kHelm("v1.18.2", ""))), want: []string{
			"gap google_service_account.cm: Renewal pauses, and stops if the second step fails: the identity cert-manager@shop-prod.iam.gserviceaccount.com goes, and google_project_iam_member.direct, which replaces it, is made in no order with that.",
		}},
		{name: "google/account-given-up-while-annotated", changes: google(creates("google_project_iam_member.direct", altered(gGrant(gAdmin, self), "id", nil)), keeps(kRelease, kHelm("v1.18.2", annotation))), want: []string{
			"lost google_service_account.cm: Renewal stops: the identity cert-manager@shop-prod.iam.gserviceaccount.com is destroyed. Nothing shows it until certificates end.",
		}},
	})
}
