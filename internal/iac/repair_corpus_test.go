package iac

import "testing"

// Scenes of what a user found who followed what was said, word for word.
func TestRepairCorpus(t *testing.T) {
	t.Parallel()
	issuer := attrs{"yaml_body": "apiVersion: cert-manager.io/v1\nkind: ClusterIssuer\nmetadata: {name: letsencrypt}\nspec: {acme: {server: https://acme.example, solvers: [{dns01: {azureDNS: {hostedZoneName: example.com}}}]}}\n"}
	play(t, []scene{
		{name: "kubernetes/kubectl-new-one-first", changes: []Change{change(CreateDelete, "kubectl_manifest.letsencrypt", issuer, issuer, nil)}, want: []string{
			"collision kubectl_manifest.letsencrypt: Renewal may stop: the cluster issuer letsencrypt is made a second time, and then the first is destroyed: both are one object, and it is gone. Nothing shows it until certificates end.",
		}},
	})
}
