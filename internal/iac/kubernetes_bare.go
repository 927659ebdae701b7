package iac

import (
	"encoding/json"
	"slices"
	"strings"
)

// bare says what becomes of a service account on this side that loses the annotation by which it was somebody in a cloud.
// That the cloud trusts it stays, and is worth nothing by itself: at AWS and Google the annotation is what makes the pods
// ask to be somebody. It is needless only where something else says that: an association of EKS Pod Identity, grants to
// the service account itself (principal://, or a member of the pool in brackets), or an issuer that names the client id.
// doubt, when not empty, says why nobody can tell.
// https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html
// https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity
// https://cert-manager.io/docs/configuration/acme/dns01/azuredns/
func (s *State) bare(o object, was string) (lost bool, doubt string) {
	switch {
	case was == "":
		return false, ""
	case strings.HasPrefix(was, "arn:"):
		for _, r := range s.Of("aws_eks_pod_identity_association") {
			if r.Text("namespace") == o.namespace && r.Text("service_account") == o.name {
				return false, ""
			}
		}
		return true, ""
	case strings.Contains(was, "@"):
		return !s.granted(o), ""
	case s.issuedAs(was):
		return false, ""
	}
	return false, "whether an issuer names " + was + " instead is not in the plan"
}

// granted reports whether a role of Google's is granted to a service account itself, and not only the one by which it may
// act as somebody else.
func (s *State) granted(o object) bool {
	for _, r := range s.Resources {
		kind := r.Change.Type
		if !strings.HasPrefix(kind, "google_") || !strings.Contains(kind, "_iam_") || strings.HasPrefix(kind, "google_service_account_") || acts(r.Text("role")) {
			continue
		}
		for _, m := range append(r.Texts("members"), r.Text("member")) {
			if len(m) <= maxSubject && (strings.HasSuffix(m, "["+o.namespace+"/"+o.name+"]") || strings.HasSuffix(m, "/ns/"+o.namespace+"/sa/"+o.name) || strings.HasSuffix(m, "/subject/system:serviceaccount:"+o.namespace+":"+o.name)) {
				return true
			}
		}
	}
	return false
}

// issuedAs reports whether an issuer of this side names a client id.
func (s *State) issuedAs(client string) bool {
	client = lower(client)
	return slices.ContainsFunc(s.issuerTexts(), func(text string) bool { return strings.Contains(text, client) })
}

// issuerTexts is all that issuers say, in small letters: manifests of them, and the values of charts that make some.
func (s *State) issuerTexts() []string {
	return once(s, "issuer texts", func() (out []string) {
		for _, kind := range []string{"kubernetes_manifest", "kubectl_manifest"} {
			for _, r := range s.Of(kind) {
				p := s.document(r)
				if p.kind != "issuer" && p.kind != "clusterissuer" {
					continue
				}
				if text, err := json.Marshal(p.body); err == nil {
					out = append(out, strings.ToLower(string(text)))
				}
			}
		}
		for _, r := range s.Of("helm_release") {
			for _, v := range r.Texts("values") {
				if makesIssuers(r) && len(v) <= maxYAML {
					out = append(out, strings.ToLower(v))
				}
			}
		}
		return out
	})
}
