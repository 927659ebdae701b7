package iac

import "strings"

// kubernetesReaders read the renewer itself where it runs in Kubernetes: cert-manager, its issuers, what they sign in with,
// and the secrets of jobs that renew. Attributes: the documentation of the providers hashicorp/kubernetes, hashicorp/helm,
// gavinbunney/kubectl and integrations/github.
var kubernetesReaders = map[string]reader{
	"helm_release":                        helmRelease,
	"kubernetes_manifest":                 manifest,
	"kubectl_manifest":                    manifest,
	"kubernetes_secret":                   kubernetesSecret,
	"kubernetes_secret_v1":                kubernetesSecret,
	"kubernetes_namespace":                namespace,
	"kubernetes_namespace_v1":             namespace,
	"kubernetes_service_account":          serviceAccount,
	"kubernetes_service_account_v1":       serviceAccount,
	"kubernetes_default_service_account":  serviceAccount,
	"kubernetes_deployment":               deployment,
	"kubernetes_deployment_v1":            deployment,
	"kubernetes_annotations":              annotations,
	"github_actions_secret":               pipelineSecret,
	"github_actions_environment_secret":   pipelineSecret,
	"github_actions_organization_secret":  pipelineSecret,
	"github_actions_variable":             pipelineSecret,
	"github_actions_environment_variable": pipelineSecret,
}

// object is the name of something in a cluster.
type object struct{ kind, namespace, name string }

func (o object) String() string {
	if o.namespace == "" {
		return o.name
	}
	return o.namespace + "/" + o.name
}

// metadata reads the name of an object from a resource that has its metadata in blocks.
func metadata(r *Side, kind string) (object, bool) {
	o := object{kind: kind, namespace: r.Text("metadata", "namespace"), name: r.Text("metadata", "name")}
	if kind == "namespace" {
		o.namespace = ""
	} else if o.namespace == "" {
		o.namespace = "default"
	}
	return o, o.name != ""
}

// cluster is the scope of an object. A plan does not say which cluster a resource is in: two that have the same name and
// are both there before are in two clusters, and then each is told apart by its address.
func (s *State) cluster(r *Side, o object) Path {
	before := s.ordered()[0]
	seen := once(before, "kubernetes objects", func() map[object]int {
		out := map[object]int{}
		for _, r := range before.Resources {
			if o, ok := before.objectOf(r); ok {
				out[o]++
			}
		}
		return out
	})
	if seen[o] > 1 {
		return Path{"kubernetes", strings.ToLower(r.Change.Was())}
	}
	return Path{"kubernetes"}
}

// objectOf is the object that a resource stands for, of the sorts that are read here.
func (s *State) objectOf(r *Side) (object, bool) {
	switch r.Change.Type {
	case "helm_release":
		o := releaseObject(r)
		if !isRenewerChart(r) {
			o.kind = "issuers"
			return o, makesIssuers(r)
		}
		return o, true
	case "kubernetes_manifest", "kubectl_manifest":
		m := s.document(r)
		return m.object, m.name != ""
	case "kubernetes_secret", "kubernetes_secret_v1":
		return metadata(r, "secret")
	case "kubernetes_namespace", "kubernetes_namespace_v1":
		return metadata(r, "namespace")
	case "kubernetes_ingress", "kubernetes_ingress_v1":
		return metadata(r, "ingress")
	case "kubernetes_deployment", "kubernetes_deployment_v1":
		return metadata(r, "deployment")
	case "kubernetes_service_account", "kubernetes_service_account_v1", "kubernetes_default_service_account":
		return metadata(r, "serviceaccount")
	}
	return object{}, false
}

// stays reports whether the object of a resource is there before the plan and after it, under the same address.
func (r *Side) stays() bool {
	c := r.Change
	return c.Before != nil && c.After != nil && (c.Do == Update || c.Do == NoOp)
}

// counterpart is the other side of a resource that stays; nil when it does not, or where there is no other side.
func (s *State) counterpart(r *Side) *Side {
	if !r.stays() {
		return nil
	}
	return s.successor(r)
}

// successor is what the same change has on the other side, be it the same object or one that is made in its place.
func (s *State) successor(r *Side) *Side {
	if s.other == nil || r.Change.Before == nil || r.Change.After == nil {
		return nil
	}
	if r.After {
		return &Side{Change: r.Change, Values: r.Change.Before}
	}
	return &Side{Change: r.Change, After: true, Values: r.Change.After, unknown: r.Change.Unknown}
}

// dig walks down a document.
func dig(v any, path ...string) any {
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}
