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
