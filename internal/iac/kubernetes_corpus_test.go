package iac

import (
	"encoding/json"
	"testing"
)

// What the scenes in Kubernetes are about: cert-manager from its chart, a cluster issuer at Let's Encrypt, and what it
// signs in with.
const (
	kRelease = "helm_release.cert_manager"
	kIssuer  = "kubernetes_manifest.letsencrypt"
	kClient  = "c1c1c1c1-0000-4000-8000-000000000001"
	kValues  = `
crds:
  enabled: true
serviceAccount:
  annotations:
    azure.workload.identity/client-id: ` + kClient + `
podLabels:
  azure.workload.identity/use: "true"
`
	letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"
	rehearsal   = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

func kHelm(version, values string) attrs {
	return attrs{"id": "cert-manager", "name": "cert-manager", "namespace": "cert-manager", "chart": "cert-manager", "repository": "https://charts.jetstack.io", "version": version, "values": []any{values}, "set": []any{}}
}

func kSet(a attrs, pairs ...string) attrs {
	var list []any
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, attrs{"name": pairs[i], "value": pairs[i+1], "type": ""})
	}
	return altered(a, "set", list)
}

// kSolver answers by DNS in Azure as an identity.
func kSolver(zone, client string) attrs {
	return attrs{"selector": attrs{"dnsZones": []any{zone}}, "dns01": attrs{"azureDNS": attrs{"hostedZoneName": zone, "resourceGroupName": "dns", "subscriptionID": "s", "managedIdentity": attrs{"clientID": client}}}}
}

func kACME(server string, solvers ...any) attrs {
	return attrs{"manifest": attrs{
		"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": attrs{"name": "letsencrypt"},
		"spec": attrs{"acme": attrs{"server": server, "email": "sre@example.com", "privateKeySecretRef": attrs{"name": "letsencrypt-account"}, "solvers": solvers}},
	}}
}

func kYAML(a attrs) attrs {
	text, err := json.MarshalIndent(a["manifest"], "", "  ") // JSON is YAML
	if err != nil {
		panic(err)
	}
	return attrs{"yaml_body": string(text), "id": "/apis/cert-manager.io/v1/clusterissuers/letsencrypt"}
}

func kMeta(namespace, name string, pairs ...any) attrs {
	m := attrs{"name": name, "annotations": attrs{}, "labels": attrs{}}
	if namespace != "" {
		m["namespace"] = namespace
	}
	a := attrs{"metadata": []any{m}, "id": name}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == "annotations" {
			m["annotations"] = pairs[i+1]
			continue
		}
		a[pairs[i].(string)] = pairs[i+1]
	}
	return a
}

func kCertificate(name string) attrs {
	return attrs{"manifest": attrs{
		"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": attrs{"name": name, "namespace": "shop"},
		"spec": attrs{"secretName": name + "-tls", "dnsNames": []any{name + ".example.com"}, "issuerRef": attrs{"kind": "ClusterIssuer", "name": "letsencrypt"}},
	}}
}

func TestKubernetesRelease(t *testing.T) {
	t.Parallel()
	now := kHelm("v1.18.2", kValues)
	elsewhere := keeps("module.us."+kRelease, now)
	play(t, []scene{
		{name: "kubernetes/release-removed", changes: []Change{deletes(kRelease, now)}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: cert-manager (release cert-manager in namespace cert-manager) is destroyed, so no certificate of the cluster is renewed. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/release-removed-of-two-clusters", changes: []Change{deletes("module.eu."+kRelease, now), elsewhere}, want: []string{
			`lost module.eu.helm_release.cert_manager: Renewal stops: cert-manager (release cert-manager in namespace cert-manager) is destroyed, so no certificate of the cluster is renewed. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/release-re-keyed", changes: []Change{deletes(kRelease, now), creates("module.cluster."+kRelease, now)}, want: []string{
			`collision helm_release.cert_manager: Renewal may stop: cert-manager (release cert-manager in namespace cert-manager) is destroyed at helm_release.cert_manager and made at module.cluster.helm_release.cert_manager, in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/release-moved", changes: []Change{moved(keeps("module.cluster."+kRelease, now), kRelease)}},
		{name: "kubernetes/release-renamed", changes: []Change{replaces(kRelease, now, altered(now, "name", "cert-manager-eu"), nil)}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager is destroyed, so cert-manager runs as the service account cert-manager/cert-manager-eu then, and nothing in the plan trusts that one. Nothing shows it until certificates end.`,
			`gap helm_release.cert_manager: Renewal pauses, and stops if the second step fails: cert-manager (release cert-manager in namespace cert-manager) is destroyed first and made again afterwards.`,
		}},
		{name: "kubernetes/release-to-another-namespace", changes: []Change{replaces(kRelease, now, altered(now, "namespace", "security"), nil)}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: cert-manager (release cert-manager in namespace cert-manager) is destroyed, and made again in the namespace security, where the secrets of its cluster issuers are not. Nothing shows it until certificates end.`,
			`lost helm_release.cert_manager: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager is destroyed, so cert-manager runs as the service account security/cert-manager then, and nothing in the plan trusts that one. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/release-forgotten", changes: []Change{change(Forget, kRelease, now, nil, nil)}, want: []string{
			`orphaned helm_release.cert_manager: Renewal goes on, but no plan will show when that ends: cert-manager (release cert-manager in namespace cert-manager) leaves the state and lives on.`,
		}},
		{name: "kubernetes/release-patched", changes: []Change{updates(kRelease, now, kHelm("v1.18.3", kValues))}},
		{name: "kubernetes/release-upgraded", changes: []Change{updates(kRelease, now, kHelm("v1.19.0", kValues))}},
		{name: "kubernetes/release-leaps", changes: []Change{updates(kRelease, kHelm("v1.11.0", kValues), now)}, want: []string{
			`unknown helm_release.cert_manager: Cert-manager (release cert-manager in namespace cert-manager) changes, and nobody can tell whether renewal goes on: from version 1.11.0 to 1.18.2 are more than one minor version, and cert-manager wants them one after the other.`,
		}},
		{name: "kubernetes/release-back", changes: []Change{updates(kRelease, now, kHelm("v1.16.1", kValues))}, want: []string{
			`unknown helm_release.cert_manager: Cert-manager (release cert-manager in namespace cert-manager) changes, and nobody can tell whether renewal goes on: going back from version 1.18.2 to 1.16.1 may leave objects that the older one cannot read.`,
		}},
		{name: "kubernetes/release-off", changes: []Change{updates(kRelease, now, kSet(now, "replicaCount", "0"))}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: cert-manager (release cert-manager in namespace cert-manager) changes, so its controller runs no longer (replicaCount = 0), and no certificate of the cluster is renewed. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/annotation-changed", changes: []Change{updates(kRelease, now, kSet(now, `serviceAccount.annotations.azure\.workload\.identity/client-id`, "c2c2c2c2-0000-4000-8000-000000000002"))}, want: []string{
			`unknown helm_release.cert_manager: The trust by which a workload acts as the service account cert-manager/cert-manager changes, and nobody can tell whether renewal goes on: it acts as c2c2c2c2-0000-4000-8000-000000000002 then and no longer as c1c1c1c1-0000-4000-8000-000000000001, and the plan does not show that this one may write challenges.`,
		}},
		{name: "kubernetes/annotation-removed", changes: []Change{updates(kRelease, now, kHelm("v1.18.2", "crds: {enabled: true}\npodLabels: {azure.workload.identity/use: 'true'}"))}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager changes, so cert-manager can no longer sign in as c1c1c1c1-0000-4000-8000-000000000001. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/annotation-unknown", changes: []Change{change(Update, kRelease, now, altered(now, "values", nil), attrs{"values": true})}, want: []string{
			`unknown helm_release.cert_manager: The trust by which a workload acts as the service account cert-manager/cert-manager changes, and nobody can tell whether renewal goes on: its values are known only after the apply.`,
		}},
		{name: "kubernetes/pod-label-removed", changes: []Change{updates(kRelease, now, kSet(now, `podLabels.azure\.workload\.identity/use`, "false"))}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager changes, so Azure's webhook no longer gives cert-manager's pods a token. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/account-renamed", changes: []Change{updates(kRelease, now, kSet(now, "serviceAccount.name", "renewer"))}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager changes, so cert-manager runs as the service account cert-manager/renewer then, and nothing in the plan trusts that one. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/account-renamed-with-its-trust", changes: []Change{
			updates(kRelease, now, kSet(now, "serviceAccount.name", "renewer")),
			creates("google_service_account_iam_member.wi", gTrust("serviceAccount:shop-prod.svc.id.goog[cert-manager/renewer]")),
		}},
		{name: "kubernetes/annotation-changed-in-one-of-two-clusters", changes: []Change{elsewhere, updates("module.eu."+kRelease, now, kHelm("v1.18.2", "crds: {enabled: true}"))}, want: []string{
			`lost module.eu.helm_release.cert_manager: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager changes, so cert-manager can no longer sign in as c1c1c1c1-0000-4000-8000-000000000001. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/crds-dropped", changes: []Change{updates(kRelease, kSet(now, "crds.keep", "false"), kSet(now, "crds.keep", "false", "crds.enabled", "false"))}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: the set of cert-manager's CRDs changes, so every Certificate and issuer of the cluster is deleted with them. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/crds-dropped-by-an-old-chart", changes: []Change{updates(kRelease, kSet(kHelm("v1.12.3", ""), "installCRDs", "true"), kSet(kHelm("v1.12.3", ""), "installCRDs", "false"))}, want: []string{
			`lost helm_release.cert_manager: Renewal stops: the set of cert-manager's CRDs changes, so every Certificate and issuer of the cluster is deleted with them. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/crds-renamed", changes: []Change{updates(kRelease, kSet(now, "installCRDs", "true"), kSet(now, "crds.enabled", "true", "crds.keep", "true"))}},
		{name: "kubernetes/crds-kept", changes: []Change{updates(kRelease, now, kSet(now, "crds.enabled", "false"))}},
		{name: "kubernetes/values-tuned", changes: []Change{updates(kRelease, now, kSet(now, "resources.limits.memory", "256Mi", "prometheus.enabled", "true"))}},
		{name: "kubernetes/webhook-solver-removed", changes: []Change{deletes("helm_release.hetzner", altered(now, "name", "hetzner", "chart", "cert-manager-webhook-hetzner", "values", []any{}))}, want: []string{
			`lost helm_release.hetzner: Renewal stops: cert-manager-webhook-hetzner (release hetzner in namespace cert-manager) is destroyed, so cert-manager can no longer write challenges through it. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/issuers-chart-removed", changes: []Change{deletes("helm_release.issuers", attrs{"name": "cert-manager-issuers", "namespace": "cert-manager", "chart": "../charts/issuers", "values": []any{}})}, want: []string{
			`lost helm_release.issuers: Renewal stops: the set of issuers of the release cert-manager/cert-manager-issuers is destroyed, so no certificate that names one of them is renewed. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/issuers-in-values-removed", changes: []Change{updates("helm_release.raw", attrs{"name": "extras", "namespace": "kube-system", "chart": "raw", "values": []any{"resources:\n- apiVersion: cert-manager.io/v1\n  kind: ClusterIssuer\n  metadata: {name: le}\n"}},
			attrs{"name": "extras", "namespace": "kube-system", "chart": "raw", "values": []any{"resources: []\n"}})}, want: []string{
			`lost helm_release.raw: Renewal stops: the set of issuers of the release kube-system/extras changes, so no certificate that names one of them is renewed. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/flux-release-removed", changes: []Change{deletes("kubectl_manifest.cert_manager", attrs{"yaml_body": `
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: cert-manager, namespace: flux-system}
spec:
  targetNamespace: cert-manager
  chart: {spec: {chart: cert-manager, version: v1.18.2}}
`})}, want: []string{
			`lost kubectl_manifest.cert_manager: Renewal stops: cert-manager (installed by the helmrelease flux-system/cert-manager) is destroyed, so no certificate of the cluster is renewed. Nothing shows it until certificates end.`,
		}},
	})
}

func TestKubernetesIssuers(t *testing.T) {
	t.Parallel()
	a, b := kSolver("example.com", kClient), kSolver("example.org", kClient)
	now := kACME(letsEncrypt, a, b)
	other := "c2c2c2c2-0000-4000-8000-000000000002"
	play(t, []scene{
		{name: "kubernetes/issuer-removed", changes: []Change{deletes(kIssuer, now)}, want: []string{
			`lost kubernetes_manifest.letsencrypt: Renewal stops: the cluster issuer letsencrypt is destroyed, so no certificate that names it is renewed. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/issuer-removed-kubectl", changes: []Change{deletes("kubectl_manifest.letsencrypt", kYAML(now))}, want: []string{
			`lost kubectl_manifest.letsencrypt: Renewal stops: the cluster issuer letsencrypt is destroyed, so no certificate that names it is renewed. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/issuer-re-keyed", changes: []Change{deletes(`kubectl_manifest.issuers["a"]`, kYAML(now)), creates(`kubectl_manifest.issuers["b"]`, kYAML(now))}, want: []string{
			`collision kubectl_manifest.issuers["a"]: Renewal may stop: the cluster issuer letsencrypt is destroyed at kubectl_manifest.issuers["a"] and made at kubectl_manifest.issuers["b"], in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/issuer-replaced", changes: []Change{replaces(kIssuer, now, now, nil)}, want: []string{
			`gap kubernetes_manifest.letsencrypt: Renewal pauses, and stops if the second step fails: the cluster issuer letsencrypt is destroyed first and made again afterwards.`,
		}},
		{name: "kubernetes/issuer-from-provider-to-provider", changes: []Change{deletes(kIssuer, now), creates("kubectl_manifest.letsencrypt", kYAML(now))}, want: []string{
			`collision kubernetes_manifest.letsencrypt: Renewal may stop: the cluster issuer letsencrypt is destroyed at kubernetes_manifest.letsencrypt and made at kubectl_manifest.letsencrypt, in no order. Both are the same to the cloud: if the deletion comes last, it takes away what was just made. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/issuer-to-staging", changes: []Change{updates(kIssuer, now, kACME(rehearsal, a, b))}, want: []string{
			`lost kubernetes_manifest.letsencrypt: Renewal stops: the server https://acme-v02.api.letsencrypt.org/directory of the cluster issuer letsencrypt changes, so what it issues from then on comes from a staging authority (https://acme-staging-v02.api.letsencrypt.org/directory), which no client trusts. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/issuer-to-production", changes: []Change{updates(kIssuer, kACME(rehearsal, a, b), now)}},
		{name: "kubernetes/staging-issuer-removed", changes: []Change{deletes(kIssuer, kACME(rehearsal, a))}},
		{name: "kubernetes/issuer-to-another-authority", changes: []Change{updates(kIssuer, now, kACME("https://dv.acme-v02.api.pki.goog/directory", a, b))}, want: []string{
			`unknown kubernetes_manifest.letsencrypt: The cluster issuer letsencrypt changes, and nobody can tell whether renewal goes on: it orders from https://dv.acme-v02.api.pki.goog/directory then and no longer from https://acme-v02.api.letsencrypt.org/directory, and the plan does not show that the account, the limits and the CAA records fit.`,
		}},
		{name: "kubernetes/solver-removed", changes: []Change{updates(kIssuer, now, kACME(letsEncrypt, a))}, want: []string{
			`lost kubernetes_manifest.letsencrypt: Renewal stops: the solver dns01 azureDNS for example.org (clientID c1c1c1c1-0000-4000-8000-000000000001) of the cluster issuer letsencrypt changes, so no challenge for example.org is solved any more. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/solver-for-everything-stays", changes: []Change{updates(kIssuer, kACME(letsEncrypt, a, altered(b, "selector", nil)), kACME(letsEncrypt, altered(b, "selector", nil)))}, want: []string{
			`unknown kubernetes_manifest.letsencrypt: The cluster issuer letsencrypt changes, and nobody can tell whether renewal goes on: its solver dns01 azureDNS for example.com (clientID c1c1c1c1-0000-4000-8000-000000000001) goes, and whether another one serves the same names is not in the plan.`,
		}},
		{name: "kubernetes/solver-changed", changes: []Change{updates(kIssuer, now, kACME(letsEncrypt, a, attrs{"selector": attrs{"dnsZones": []any{"example.org"}}, "dns01": attrs{"route53": attrs{"region": "eu-central-1", "role": "arn:aws:iam::1:role/dns"}}}))}, want: []string{
			`unknown kubernetes_manifest.letsencrypt: The cluster issuer letsencrypt changes, and nobody can tell whether renewal goes on: it solves by dns01 route53 for example.org (role arn:aws:iam::1:role/dns) then and no longer by dns01 azureDNS for example.org (clientID c1c1c1c1-0000-4000-8000-000000000001), and the plan does not show that this works.`,
		}},
		{name: "kubernetes/solver-identity-changed", changes: []Change{updates(kIssuer, now, kACME(letsEncrypt, kSolver("example.com", other), b))}, want: []string{
			`unknown kubernetes_manifest.letsencrypt: The cluster issuer letsencrypt changes, and nobody can tell whether renewal goes on: its clientID is c2c2c2c2-0000-4000-8000-000000000002 then, and was c1c1c1c1-0000-4000-8000-000000000001, and the plan does not show that this works.`,
		}},
		{name: "kubernetes/solvers-reordered", changes: []Change{updates(kIssuer, now, kACME(letsEncrypt, b, a))}},
		{name: "kubernetes/solver-added", changes: []Change{updates(kIssuer, kACME(letsEncrypt, a), now)}},
		{name: "kubernetes/issuer-text-unknown", changes: []Change{change(Update, "kubectl_manifest.letsencrypt", kYAML(now), attrs{}, attrs{"yaml_body": true})}, want: []string{
			`unknown kubectl_manifest.letsencrypt: The cluster issuer letsencrypt changes, and nobody can tell whether renewal goes on: what it says is known only after the apply.`,
		}},
		{name: "kubernetes/ingress-annotation-removed", changes: []Change{updates("kubernetes_ingress_v1.shop", kMeta("shop", "shop", "annotations", attrs{"cert-manager.io/cluster-issuer": "letsencrypt"}), kMeta("shop", "shop"))}, want: []string{
			`lost kubernetes_ingress_v1.shop: Renewal stops: the issuer named by the ingress shop/shop changes, so cert-manager takes the certificate of the ingress back, and nobody renews what its secret holds. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/ingress-removed", changes: []Change{deletes("kubernetes_ingress_v1.shop", kMeta("shop", "shop", "annotations", attrs{"cert-manager.io/cluster-issuer": "letsencrypt"}))}},
		{name: "kubernetes/certificate-removed-with-its-ingress", changes: []Change{
			deletes("kubernetes_manifest.shop", kCertificate("shop")),
			deletes("kubernetes_ingress_v1.shop", kMeta("shop", "shop", "spec", []any{attrs{"tls": []any{attrs{"hosts": []any{"shop.example.com"}, "secret_name": "shop-tls"}}}})),
		}},
		{name: "kubernetes/certificate-removed-with-its-namespace", changes: []Change{deletes("kubernetes_manifest.shop", kCertificate("shop")), deletes("kubernetes_namespace.shop", kMeta("", "shop"))}},
		{name: "kubernetes/crd-removed", changes: []Change{deletes("kubectl_manifest.crd", attrs{"yaml_body": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: certificates.cert-manager.io}\n"})}, want: []string{
			`lost kubectl_manifest.crd: Renewal stops: the CRD certificates.cert-manager.io is destroyed, so every object of the cluster that it defines is deleted with it. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/deployment-removed", changes: []Change{deletes("kubernetes_deployment_v1.cm", kMeta("cert-manager", "cert-manager", "spec", []any{attrs{"replicas": "1"}}))}, want: []string{
			`lost kubernetes_deployment_v1.cm: Renewal stops: cert-manager (deployment cert-manager/cert-manager) is destroyed, so no certificate of the cluster is renewed. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/from-manifests-to-the-chart", changes: []Change{deletes("kubernetes_deployment_v1.cm", kMeta("cert-manager", "cert-manager", "spec", []any{attrs{"replicas": "1"}})), creates(kRelease, kHelm("v1.18.2", ""))}, want: []string{
			`gap kubernetes_deployment_v1.cm: Renewal pauses, and stops if the second step fails: cert-manager (deployment cert-manager/cert-manager) goes, and helm_release.cert_manager, which replaces it, is made in no order with that.`,
		}},
		{name: "kubernetes/argo-application-removed", changes: []Change{deletes("kubernetes_manifest.cm", attrs{"manifest": attrs{
			"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": attrs{"name": "cert-manager", "namespace": "argocd"},
			"spec": attrs{"destination": attrs{"namespace": "cert-manager"}, "sources": []any{attrs{"chart": "cert-manager", "repoURL": "https://charts.jetstack.io"}}},
		}})}, want: []string{
			`lost kubernetes_manifest.cm: Renewal stops: cert-manager (installed by the application argocd/cert-manager) is destroyed, so no certificate of the cluster is renewed. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/approver-removed", changes: []Change{deletes("helm_release.approver", altered(kHelm("v0.20.0", ""), "name", "approver", "chart", "cert-manager-approver-policy"))}, want: []string{
			`lost helm_release.approver: Renewal stops: cert-manager-approver-policy (release approver in namespace cert-manager) is destroyed, so nobody approves requests for certificates any more, unless cert-manager is told to do so itself. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/external-secret-removed", changes: []Change{
			keeps(kIssuer, kACME(letsEncrypt, attrs{"dns01": attrs{"cloudflare": attrs{"apiTokenSecretRef": attrs{"name": "cloudflare", "key": "token"}}}})),
			deletes("kubectl_manifest.cloudflare", attrs{"yaml_body": "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: cf, namespace: cert-manager}\nspec: {target: {name: cloudflare}}\n"}),
		}, want: []string{
			`lost kubectl_manifest.cloudflare: Renewal stops: the secret cert-manager/cloudflare is destroyed, so the issuer letsencrypt can no longer sign in to write challenges. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/certificate-removed", changes: []Change{deletes("kubernetes_manifest.shop", kCertificate("shop"))}, want: []string{
			`unknown kubernetes_manifest.shop: The Certificate shop/shop is destroyed. Nobody can tell from this plan whether renewal rests on it: whether anything goes on serving the secret shop-tls is not in the plan.`,
		}},
		{name: "kubernetes/certificate-removed-still-served", changes: []Change{deletes("kubernetes_manifest.shop", kCertificate("shop")), keeps("kubernetes_ingress_v1.shop",
			kMeta("shop", "shop", "spec", []any{attrs{"tls": []any{attrs{"hosts": []any{"shop.example.com"}, "secret_name": "shop-tls"}}, "rule": []any{attrs{"host": "shop.example.com"}}}}))}, want: []string{
			`lost kubernetes_manifest.shop: Renewal stops: the Certificate shop/shop is destroyed, so nobody renews what the secret shop-tls holds. Nothing shows it until certificates end.`,
		}},
		// What a manifest says may come from what is only known after the apply.
		{name: "kubernetes/certificate-content-unknown", changes: []Change{change(Update, "kubernetes_manifest.shop", kCertificate("shop"), attrs{}, attrs{"manifest": true, "object": true})}, want: []string{
			`unknown kubernetes_manifest.shop: The Certificate shop/shop changes, and nobody can tell whether renewal goes on: its content is known only after the apply.`,
		}},
		{name: "kubernetes/certificate-secret-unknown", changes: []Change{change(Update, "kubernetes_manifest.shop", kCertificate("shop"), kCertificate("shop"), attrs{"manifest": attrs{"spec": attrs{"secretName": true}}, "object": true})}, want: []string{
			`unknown kubernetes_manifest.shop: The Certificate shop/shop changes, and nobody can tell whether renewal goes on: its content is known only after the apply.`,
		}},
		{name: "kubernetes/certificate-known", changes: []Change{change(Update, "kubernetes_manifest.shop", kCertificate("shop"), kCertificate("shop"), attrs{"object": true})}},
		{name: "kubernetes/crd-content-unknown", changes: []Change{change(Update, "kubectl_manifest.crd", attrs{"yaml_body": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: certificates.cert-manager.io}\n"}, attrs{}, attrs{"yaml_body": true})}, want: []string{
			`unknown kubectl_manifest.crd: The CRD certificates.cert-manager.io changes, and nobody can tell whether renewal goes on: its content is known only after the apply.`,
		}},
		{name: "kubernetes/issuer-content-unknown", changes: []Change{change(Update, kIssuer, kACME(letsEncrypt, kSolver("example.com", "x")), attrs{}, attrs{"manifest": true, "object": true})}, want: []string{
			`unknown kubernetes_manifest.letsencrypt: The cluster issuer letsencrypt changes, and nobody can tell whether renewal goes on: what it says is known only after the apply.`,
		}},
	})
}

func TestKubernetesSecrets(t *testing.T) {
	t.Parallel()
	token := attrs{"dns01": attrs{"cloudflare": attrs{"apiTokenSecretRef": attrs{"name": "cloudflare", "key": "token"}}}}
	issuer := keeps(kIssuer, kACME(letsEncrypt, token))
	secret := kMeta("cert-manager", "cloudflare", "data", attrs{"token": "not-one"})
	space := keeps(kRelease, kHelm("v1.18.2", ""))
	kOnly := kACME(letsEncrypt, token)
	kOnly["manifest"].(attrs)["spec"].(attrs)["acme"].(attrs)["disableAccountKeyGeneration"] = true
	play(t, []scene{
		{name: "kubernetes/secret-removed", changes: []Change{issuer, space, deletes("kubernetes_secret_v1.cloudflare", secret)}, want: []string{
			`lost kubernetes_secret_v1.cloudflare: Renewal stops: the secret cert-manager/cloudflare is destroyed, so the issuer letsencrypt can no longer sign in to write challenges. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/secret-key-renamed", changes: []Change{issuer, space, updates("kubernetes_secret_v1.cloudflare", secret, kMeta("cert-manager", "cloudflare", "data", attrs{"api-token": "not-one"}))}, want: []string{
			`lost kubernetes_secret_v1.cloudflare: Renewal stops: the key token of the secret cert-manager/cloudflare changes, so the issuer letsencrypt can no longer sign in to write challenges. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/secret-value-rotated", changes: []Change{issuer, space, updates("kubernetes_secret_v1.cloudflare", secret, kMeta("cert-manager", "cloudflare", "data", attrs{"token": "nor-this"}))}},
		{name: "kubernetes/secret-replaced", changes: []Change{issuer, space, replaces("kubernetes_secret_v1.cloudflare", secret, kMeta("security", "cloudflare", "data", attrs{"token": "not-one"}), nil)}, want: []string{
			`lost kubernetes_secret_v1.cloudflare: Renewal stops: the secret cert-manager/cloudflare is destroyed, so the issuer letsencrypt can no longer sign in to write challenges. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/account-key-removed", changes: []Change{issuer, deletes("kubernetes_secret.account", kMeta("cert-manager", "letsencrypt-account"))}, want: []string{
			`unknown kubernetes_secret.account: The secret cert-manager/letsencrypt-account is destroyed. Nobody can tell from this plan whether renewal rests on it: the issuer letsencrypt makes another key and registers that, and only limits of the authority or a CAA record with an accounturi may stand in its way.`,
		}},
		{name: "kubernetes/account-key-removed-for-good", changes: []Change{keeps(kIssuer, kOnly), deletes("kubernetes_secret.account", kMeta("cert-manager", "letsencrypt-account"))}, want: []string{
			`lost kubernetes_secret.account: Renewal stops: the secret cert-manager/letsencrypt-account is destroyed, so the issuer letsencrypt loses its account at the authority, and makes no other (disableAccountKeyGeneration). Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/secret-value-by-reference", changes: []Change{issuer, space, change(Update, "kubernetes_secret_v1.cloudflare", secret, altered(secret, "data", nil), attrs{"data": true})}},
		{name: "kubernetes/namespace-of-nobody-known-removed", changes: []Change{deletes("kubernetes_namespace.cm", kMeta("", "cert-manager"))}, want: []string{
			`lost kubernetes_namespace.cm: Renewal stops: the namespace cert-manager is destroyed, so whatever renews in it, as its name cert-manager says, goes with it. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/secret-of-the-same-name-elsewhere", changes: []Change{issuer, space, deletes("kubernetes_secret_v1.cloudflare", kMeta("web", "cloudflare", "data", attrs{"token": "not-one"}))}},
		{name: "kubernetes/secret-called-like-a-renewers", changes: []Change{deletes("kubernetes_secret.dns", kMeta("cert-manager", "route53-credentials"))}, want: []string{
			`unknown kubernetes_secret.dns: The secret cert-manager/route53-credentials is destroyed. Nobody can tell from this plan whether renewal rests on it: it is called like a secret of a renewer, and no issuer in the plan names it.`,
		}},
		{name: "kubernetes/secret-reference-changed", changes: []Change{
			space, keeps("kubernetes_secret_v1.cloudflare", secret), creates("kubernetes_secret_v1.new", kMeta("cert-manager", "cloudflare-new", "data", attrs{"token": "not-one"})),
			updates(kIssuer, kACME(letsEncrypt, token), kACME(letsEncrypt, attrs{"dns01": attrs{"cloudflare": attrs{"apiTokenSecretRef": attrs{"name": "cloudflare-new", "key": "token"}}}})),
		}},
		{name: "kubernetes/namespace-removed", changes: []Change{issuer, space, deletes("kubernetes_namespace.cm", kMeta("", "cert-manager"))}, want: []string{
			`lost kubernetes_namespace.cm: Renewal stops: the namespace cert-manager is destroyed, so cert-manager goes with it. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/namespace-of-a-secret-removed", changes: []Change{keeps(kIssuer, attrs{"manifest": attrs{
			"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": attrs{"name": "own", "namespace": "web"},
			"spec": attrs{"acme": attrs{"server": letsEncrypt, "solvers": []any{token}}},
		}}), deletes("kubernetes_namespace_v1.web", kMeta("", "web"))}, want: []string{
			`lost kubernetes_namespace_v1.web: Renewal stops: the namespace web is destroyed, so the issuer own goes with it. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/account-annotation-changed", changes: []Change{
			keeps(kRelease, kSet(kHelm("v1.18.2", ""), "serviceAccount.create", "false", "serviceAccount.name", "dns")),
			updates("kubernetes_service_account_v1.dns", kMeta("cert-manager", "dns", "annotations", attrs{"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/dns"}), kMeta("cert-manager", "dns", "annotations", attrs{"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/other"})),
		}, want: []string{
			`unknown kubernetes_service_account_v1.dns: The trust by which a workload acts as the service account cert-manager/dns changes, and nobody can tell whether renewal goes on: it acts as arn:aws:iam::1:role/other then and no longer as arn:aws:iam::1:role/dns, and the plan does not show that this one may write challenges.`,
		}},
		{name: "kubernetes/account-annotation-removed", changes: []Change{updates("kubernetes_service_account.cm", kMeta("cert-manager", "cert-manager", "annotations", attrs{"iam.gke.io/gcp-service-account": gemail}), kMeta("cert-manager", "cert-manager"))}, want: []string{
			`lost kubernetes_service_account.cm: Renewal stops: the trust by which a workload acts as the service account cert-manager/cert-manager changes, so what runs as it can no longer sign in as cert-manager@shop-prod.iam.gserviceaccount.com. Nothing shows it until certificates end.`,
		}},
		{name: "kubernetes/account-annotation-to-another-writer", changes: []Change{
			keeps(gcm, gGrant(gAdmin, gmember)), creates("google_project_iam_member.new", gGrant(gAdmin, "serviceAccount:renewer@shop-prod.iam.gserviceaccount.com")),
			updates("kubernetes_service_account.cm", kMeta("cert-manager", "cert-manager", "annotations", attrs{"iam.gke.io/gcp-service-account": gemail}), kMeta("cert-manager", "cert-manager", "annotations", attrs{"iam.gke.io/gcp-service-account": "renewer@shop-prod.iam.gserviceaccount.com"})),
		}},
		{name: "kubernetes/pipeline-secret-removed", changes: []Change{deletes("github_actions_secret.lego", attrs{"repository": "web", "secret_name": "ACME_DNS_TOKEN"})}, want: []string{
			`unknown github_actions_secret.lego: The secret ACME_DNS_TOKEN of web is destroyed. Nobody can tell from this plan whether renewal rests on it: whether a job renews certificates with it is not in the plan.`,
		}},
	})
}

// What looks frightening in a plan and means nothing to renewal is not mentioned.
func TestKubernetesHarmless(t *testing.T) {
	t.Parallel()
	list := []Change{keeps(kRelease, kHelm("v1.18.2", kValues)), keeps(kIssuer, kACME(letsEncrypt, kSolver("example.com", kClient)))}
	for _, n := range []string{"billing", "search", "mail", "etl", "external-dns", "ingress-nginx", "acme-shop"} {
		list = append(list,
			deletes("kubernetes_namespace."+n, kMeta("", n)),
			deletes("kubernetes_secret."+n, kMeta(n, n+"-password")),
			deletes("kubernetes_secret."+n+"_tls", kMeta(n, n+"-tls")),
			deletes("kubernetes_service_account."+n, kMeta(n, n, "annotations", attrs{"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/" + n})),
			deletes("helm_release."+n, attrs{"name": n, "namespace": n, "chart": n, "version": "1.0.0", "values": []any{": not yaml"}}),
			deletes("kubectl_manifest."+n, attrs{"yaml_body": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + n + "}\n"}),
			deletes("github_actions_secret."+n, attrs{"repository": n, "secret_name": "NPM_TOKEN"}),
			deletes("github_actions_variable."+n, attrs{"repository": n, "variable_name": "REGION"}),
		)
	}
	play(t, []scene{{name: "kubernetes/harmless-deletions", changes: list}})
}
