package iac

import (
	"slices"
	"strings"
	"testing"
)

// Scenes of what a user found who followed what was said, word for word.
func TestRepairCorpus(t *testing.T) {
	t.Parallel()
	issuer := attrs{"yaml_body": "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: letsencrypt}\nspec: {acme: {server: https://acme.example, solvers: [{dns01: {azureDNS: {hostedZoneName: example.com}}}]}}\n"}
	// A release that loses the annotation of its service account, where the cloud goes on trusting that.
	as := func(key, id string) attrs {
		return kHelm("v1.18.2", "crds: {enabled: true}\nserviceAccount: {annotations: {"+key+": '"+id+"'}}\n")
	}
	plain := kHelm("v1.18.2", "crds: {enabled: true}\n")
	account := func(pairs ...any) attrs { return kMeta("cert-manager", "cert-manager", pairs...) }
	gke, eks, aks := "iam.gke.io/gcp-service-account", "eks.amazonaws.com/role-arn", "azure.workload.identity/client-id"
	trusted := keeps("google_service_account_iam_member.wi", gTrust(gpod))
	irsa := keeps("aws_iam_role.cm", role("cert-manager", trusts(awsIssuer, "system:serviceaccount:cert-manager:cert-manager")))
	federated := keeps("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"))
	// An identity and a cluster that are made anew, and what names them.
	user := azUser("cert-manager", objectID)
	followed := func(names ...Change) []Change {
		return append([]Change{replaces("azurerm_user_assigned_identity.cm", user, azWith(user, attrs{"id": nil, "principal_id": nil, "client_id": nil, "resource_group_name": "other"}), attrs{"id": true, "principal_id": true, "client_id": true})}, names...)
	}
	assigned := replaces("azurerm_role_assignment.cm", azGrant(), azWith(azGrant(), attrs{"id": nil, "principal_id": nil}), attrs{"id": true, "principal_id": true})
	trust := replaces("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"), azWith(azFederated("cert-manager:cert-manager"), attrs{"id": nil, "parent_id": nil}), attrs{"id": true, "parent_id": true})
	refers := attrs{"azurerm_role_assignment.cm": attrs{"principal_id": "azurerm_user_assigned_identity.cm.principal_id"}, "azurerm_federated_identity_credential.cm": attrs{"parent_id": "azurerm_user_assigned_identity.cm.id"}}
	cluster := attrs{"id": azSub + "/resourceGroups/k8s/providers/Microsoft.ContainerService/managedClusters/aks", "name": "aks", "oidc_issuer_enabled": true, "oidc_issuer_url": "https://westeurope.oic.prod-aks.azure.com/t/i/"}
	// What is left of a grant on a project.
	onZone, zone := keeps("google_dns_managed_zone_iam_member.cm", gZoneGrant(gAdmin, gmember)), keeps("google_dns_managed_zone.main", gZone("example-com", "example.com."))
	play(t, []scene{
		{name: "kubernetes/annotation-removed-at-eks", changes: []Change{irsa, updates(kRelease, as(eks, awsAccount+"role/cert-manager"), plain)}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager changes, so cert-manager can no longer sign in as arn:aws:iam::123456789012:role/cert-manager. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/annotation-removed-for-pod-identity", changes: []Change{
			irsa, updates(kRelease, as(eks, awsAccount+"role/cert-manager"), plain),
			keeps("aws_eks_pod_identity_association.cm", attrs{"cluster_name": "prod", "namespace": "cert-manager", "service_account": "cert-manager", "role_arn": awsAccount + "role/cert-manager"}),
		}},
		{name: "kubernetes/annotation-removed-at-gke", changes: []Change{trusted, updates(kRelease, as(gke, gemail), plain)}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager changes, so cert-manager can no longer sign in as cert-manager@shop-prod.iam.gserviceaccount.com. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/annotation-removed-for-a-grant", changes: []Change{trusted, keeps(gcm, gGrant(gAdmin, gpod)), updates(kRelease, as(gke, gemail), plain)}},
		{name: "kubernetes/account-annotation-removed-at-gke", changes: []Change{
			trusted, keeps(kRelease, kHelm("v1.18.2", "serviceAccount: {create: false}")), updates("kubernetes_service_account_v1.cm", account("annotations", attrs{gke: gemail}), account()),
		}, want: []string{
			`lost kubernetes_service_account_v1.cm: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager changes, so cert-manager can no longer sign in as cert-manager@shop-prod.iam.gserviceaccount.com. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/annotation-removed-at-aks", changes: []Change{federated, updates(kRelease, as(aks, kClient), plain)}, want: []string{
			`unknown helm_release.cert_manager: The trust by which a workload acts as the service account cert-manager/cert-manager changes, and nobody can tell whether renewal goes on: whether an issuer names c1c1c1c1-0000-4000-8000-000000000001 instead is not in the plan.`,
		}},
		{name: "kubernetes/annotation-removed-for-an-issuer", changes: []Change{federated, keeps(kIssuer, kACME(letsEncrypt, kSolver("example.com", kClient))), updates(kRelease, as(aks, kClient), plain)}},
		{name: "kubernetes/annotation-moves-to-the-account", changes: []Change{
			trusted, updates(kRelease, as(gke, gemail), kHelm("v1.18.2", "serviceAccount: {create: false, name: cert-manager}")), creates("kubernetes_service_account_v1.cm", account("annotations", attrs{gke: gemail})),
		}, want: []string{
			`gap helm_release.cert_manager: Renewal pauses, and stops if the second step fails: the trust by which a workload acts as the service account cert-manager/cert-manager goes, and kubernetes_service_account_v1.cm, which replaces it, is made in no order with that.`,
		}},
		{name: "kubernetes/kubectl-new-one-first", changes: []Change{change(CreateDelete, "kubectl_manifest.letsencrypt", issuer, issuer, nil)}, want: []string{
			"collision kubectl_manifest.letsencrypt: Renewal may stop: the cluster issuer letsencrypt is made a second time, and then the first is destroyed: both are one object, and it is gone. Nothing shows it until certificates end.",
		}},
		{
			name:    "azure/removed-where-nobody-knows-as-whom", // a managed identity: the configuration names the zone and nobody
			changes: []Change{deletes("azurerm_role_assignment.cm", azGrant())},
			inventory: Inventory{At: sceneTime, Certificates: []Certificate{
				{Name: "hosted-eu", Names: []string{"eu.example.com"}, Renewer: "azure", Zones: []string{zoneID}, Challenge: "dns-01", NotAfter: sceneTime.AddDate(0, 1, 0)},
				{Name: "docs", Names: []string{"docs.example.org"}, Renewer: "azure", Zones: []string{"example.org"}, Challenge: "dns-01"},
			}},
			want: []string{
				`lost azurerm_role_assignment.cm: Renewal stops: the identity 0b1ec700-0000-4000-8000-000000000001 loses DNS Zone Contributor on the zone example.com, and nothing else in this plan allows it. hosted-eu renews there and may rest on it: as whom it renews is not in the inventory. hosted-eu ends on 22 Oct 2026 14:55 UTC, in 30 days; until then everything looks fine.`,
			},
		},
		{name: "azure/identity-made-anew-and-followed", changes: followed(assigned, trust), flags: code(refers), want: []string{
			`gap azurerm_user_assigned_identity.cm: Renewal pauses, and stops if the second step fails: the identity cert-manager is made anew, and what names it follows by reference (azurerm_role_assignment.cm, azurerm_federated_identity_credential.cm); until all of that is done nothing renews by it.`,
		}},
		{name: "azure/identity-made-anew-and-handed-through", changes: followed(assigned, trust), flags: code(attrs{"azurerm_role_assignment.cm": attrs{"principal_id": "var.principal"}, "azurerm_federated_identity_credential.cm": attrs{"parent_id": "azurerm_user_assigned_identity.cm.id"}}), want: []string{
			`unknown azurerm_user_assigned_identity.cm: The identity cert-manager changes, and nobody can tell whether renewal goes on: it is made anew, and whether azurerm_role_assignment.cm, azurerm_federated_identity_credential.cm then name the new one is known only after the apply.`,
		}},
		{name: "azure/identity-made-anew-and-half-followed", changes: followed(assigned, keeps("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"))), flags: code(refers), want: []string{
			`lost azurerm_user_assigned_identity.cm: Renewal stops: the identity cert-manager is made anew, and it gets another object id and another client id, which grants, federated credentials and service accounts do not name. Nothing shows it until certificates end.`,
		}},
		{name: "azure/identity-made-anew-and-narrowed", changes: followed(replaces("azurerm_role_assignment.cm", azGrant(), azWith(azGrant(), attrs{"id": nil, "principal_id": nil, "scope": zoneID + "/TXT/_acme-challenge"}), attrs{"id": true, "principal_id": true}), trust), flags: code(refers), want: []string{
			`lost azurerm_user_assigned_identity.cm: Renewal stops: the identity cert-manager is made anew, and it gets another object id and another client id, which grants, federated credentials and service accounts do not name. Nothing shows it until certificates end.`,
			`unknown azurerm_role_assignment.cm: A grant for the record set _acme-challenge.example.com alone is added, and it may vanish when the renewer deletes the set after its last value. Nobody can tell from this plan whether renewal goes on: users report that Azure deletes such a grant with its record set, and its documents do not say.`,
		}},
		{name: "azure/cluster-made-anew-and-followed", changes: []Change{
			keeps("azurerm_user_assigned_identity.cm", azUser("cert-manager", objectID)), keeps("azurerm_role_assignment.cm", azGrant()),
			replaces("azurerm_kubernetes_cluster.aks", cluster, azWith(cluster, attrs{"id": nil, "oidc_issuer_url": nil}), attrs{"id": true, "oidc_issuer_url": true}),
			replaces("azurerm_federated_identity_credential.cm", azFederated("cert-manager:cert-manager"), azWith(azFederated("cert-manager:cert-manager"), attrs{"id": nil, "issuer": nil}), attrs{"id": true, "issuer": true}),
		}, flags: code(attrs{"azurerm_federated_identity_credential.cm": attrs{"issuer": "azurerm_kubernetes_cluster.aks.oidc_issuer_url"}}), want: []string{
			`gap azurerm_kubernetes_cluster.aks: Renewal pauses, and stops if the second step fails: the trust by which a workload acts as an identity of Azure in the cluster aks is made anew, and what names it follows by reference (azurerm_federated_identity_credential.cm); until all of that is done, and what ran in the old one runs again, nothing renews by it.`,
		}},
		{name: "google/narrowed-to-what-was-there", changes: []Change{deletes(gcm, gGrant(gAdmin, gmember)), keeps("google_project_iam_member.look", gGrant("roles/dns.reader", gmember)), onZone, zone}, want: []string{
			`unknown google_project_iam_member.cm: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod and has only roles/dns.reader on project shop-prod and roles/dns.admin on zone example-com of project shop-prod left. Nobody can tell from this plan whether renewal rests on it: what is left is enough for every zone that the plan shows, and there may be others.`,
		}},
		{name: "google/narrowed-to-what-was-there-of-one-zone", changes: []Change{
			deletes(gcm, gGrant(gAdmin, gmember)), keeps("google_project_iam_member.look", gGrant("roles/dns.reader", gmember)), onZone, zone, keeps("google_dns_managed_zone.eu", gZone("example-eu", "example.eu.")),
		}, want: []string{
			`narrowed google_project_iam_member.cm: Renewal is cut back: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod and has only roles/dns.reader on project shop-prod and roles/dns.admin on zone example-com of project shop-prod left. Nothing shows it until certificates end.`,
		}},
		{name: "google/narrowed-and-cannot-look", changes: []Change{deletes(gcm, gGrant(gAdmin, gmember)), onZone, zone}, want: []string{
			`narrowed google_project_iam_member.cm: Renewal is cut back: cert-manager@shop-prod.iam.gserviceaccount.com loses roles/dns.admin on project shop-prod and has only roles/dns.admin on zone example-com of project shop-prod left. Nothing shows it until certificates end.`,
		}},
	})
}

// code is the part of a plan that says what the code refers to, by resource and attribute.
func code(refers attrs) attrs {
	var list []any
	for address, by := range refers {
		kind, name, _ := strings.Cut(address, ".")
		expressions := attrs{}
		for attribute, ref := range by.(attrs) {
			expressions[attribute] = attrs{"references": []any{ref}}
		}
		list = append(list, attrs{"address": address, "mode": "managed", "type": kind, "name": name, "expressions": expressions})
	}
	slices.SortFunc(list, func(a, b any) int {
		return strings.Compare(a.(attrs)["address"].(string), b.(attrs)["address"].(string))
	})
	return attrs{"configuration": attrs{"root_module": attrs{"resources": list}}}
}
