package iac

import "testing"

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
	})
}
