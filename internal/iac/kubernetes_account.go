package iac

import (
	"regexp"
	"slices"
	"strings"
)

// identityKeys are the annotations by which a service account says who it is in a cloud: Azure Workload Identity, IAM roles
// for service accounts at AWS, Workload Identity Federation for GKE.
var identityKeys = []string{"azure.workload.identity/client-id", "eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account"}

// identity is who annotations say that a service account is.
func identity(annotations any) string {
	m, _ := annotations.(map[string]any)
	for _, k := range identityKeys {
		if id := scalar(m[k]); id != "" {
			return id
		}
	}
	return ""
}

// workload is the trust by which a service account acts as an identity.
func (s *State) workload(r *Side, o object, id, doubt string) Tie {
	t := Tie{
		Kind: KindTrust, Principal: "system:serviceaccount:" + o.namespace + ":" + o.name, Who: "the service account " + o.String(),
		Also: ids(id), Permission: id, Scope: s.cluster(r, o), At: "namespace " + o.namespace, Doubt: doubt,
		Effect: "cert-manager can no longer sign in to the cloud",
	}
	if id != "" {
		t.Effect = "cert-manager can no longer sign in as " + id
		if r.stays() {
			t.Repair = "Keep the annotation by which the service account " + o.String() + " acts as " + id + "."
		}
	}
	if b := s.counterpart(r); b != nil && s.After && doubt == "" {
		if was := s.other.identityOf(b); was != "" && id != "" && !alike(was, id) && !s.may(id) {
			t.Doubt = "it acts as " + id + " then and no longer as " + was + ", and the plan does not show that this one may write challenges"
		}
	}
	return t
}

// identityOf is who a resource says that its service account is.
func (s *State) identityOf(r *Side) string {
	var id string
	switch r.Change.Type {
	case "helm_release":
		id = identity(valuesOf(r).get("serviceAccount", "annotations"))
	case "kubernetes_annotations":
		v, _ := r.Get("annotations")
		id = identity(v)
	case "kubernetes_manifest", "kubectl_manifest":
		id = identity(dig(s.document(r).body, "metadata", "annotations"))
	default:
		v, _ := r.Get("metadata", "annotations")
		id = identity(v)
	}
	return id
}

// may reports whether the plan gives an identity the right to write challenges: it goes through the grants of this side.
func (s *State) may(id string) bool {
	names := []string{id}
	if u := s.Find("client_id", id, "azurerm_user_assigned_identity"); u != nil {
		names = append(names, u.Text("principal_id"))
	}
	for _, r := range s.Resources {
		read := s.readers[r.Change.Type]
		if read == nil || !grants(r.Change.Type) {
			continue
		}
		for _, t := range read(s, r) {
			if t.Kind == KindGrant && t.Doubt == "" && len(t.Unknown) == 0 && t.Rights&RightWrite != 0 &&
				slices.ContainsFunc(names, func(n string) bool {
					return n != "" && (alike(n, t.Principal) || slices.ContainsFunc(t.Also, func(a string) bool { return alike(a, n) }))
				}) {
				return true
			}
		}
	}
	return false
}

// grants reports whether resources of a type are read as grants of a cloud.
func grants(kind string) bool {
	return strings.HasPrefix(kind, "az") || strings.HasPrefix(kind, "aws_iam_") || strings.HasPrefix(kind, "google_") && strings.Contains(kind, "_iam_")
}

// subject reports whether something in the plan names a service account as who may sign in: a federated credential, a
// trust policy, a member, an association.
func (s *State) subject(o object) bool {
	return slices.ContainsFunc(s.sides(), func(st *State) bool { return st.trusts(o) })
}

// trusts is subject for this side.
func (s *State) trusts(o object) bool {
	return once(s, "kubernetes subjects", func() map[string]bool {
		out := map[string]bool{}
		for _, text := range s.subjects() {
			for _, m := range subjectName.FindAllStringSubmatch(text, -1) {
				out[m[1]+m[3]+m[5]+"/"+m[2]+m[4]+m[6]] = true
			}
		}
		return out
	})[o.namespace+"/"+o.name]
}

// subjectName is how the clouds name a service account: in a token's subject, as a member at Google, in a pool of Google's.
var subjectName = regexp.MustCompile(`system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)|\[([a-z0-9-]+)/([a-z0-9.-]+)\]|/ns/([a-z0-9-]+)/sa/([a-z0-9.-]+)`)

// maxSubject bounds the text in which service accounts are looked for.
const maxSubject = 64 << 10

func (s *State) subjects() []string {
	var out []string
	add := func(t string) {
		if t != "" && len(t) <= maxSubject {
			out = append(out, t)
		}
	}
	for _, r := range s.Resources {
		switch kind := r.Change.Type; {
		case strings.HasSuffix(kind, "_federated_identity_credential"):
			add(r.Text("subject"))
		case kind == "aws_iam_role":
			add(r.Text("assume_role_policy"))
		case kind == "aws_eks_pod_identity_association":
			add("system:serviceaccount:" + r.Text("namespace") + ":" + r.Text("service_account"))
		case strings.HasPrefix(kind, "google_") && strings.HasSuffix(kind, "_iam_member"):
			add(r.Text("member"))
		case strings.HasPrefix(kind, "google_") && strings.HasSuffix(kind, "_iam_binding"):
			for _, m := range r.Texts("members") {
				add(m)
			}
		}
	}
	return out
}

// serviceAccount reads a service account that is a resource of its own.
func serviceAccount(st *State, r *Side) []Tie {
	o, ok := metadata(r, "serviceaccount")
	if !ok {
		return nil
	}
	annotations, known := r.Get("metadata", "annotations")
	id := identity(annotations)
	doubt := ""
	if !known || id == "" && !r.Known("metadata", "annotations") {
		doubt = "its annotations are known only after the apply"
	}
	return st.account(r, o, id, doubt)
}

// annotations reads a resource that annotates a service account.
func annotations(st *State, r *Side) []Tie {
	o, ok := metadata(r, "serviceaccount")
	if !ok || r.Text("kind") != "ServiceAccount" {
		return nil
	}
	v, known := r.Get("annotations")
	id := identity(v)
	doubt := ""
	if !known || id == "" && !r.Known("annotations") {
		doubt = "its annotations are known only after the apply"
	}
	if id == "" && doubt == "" {
		return nil
	}
	return st.account(r, o, id, doubt)
}

// account is the tie of a service account, if renewal may rest on it: it is cert-manager's, or is called as a renewer is,
// or acts as who may write challenges. One that says nothing counts only where something else names it.
func (s *State) account(r *Side, o object, id, doubt string) []Tie {
	if strings.Contains(strings.ToLower(o.name), "external-dns") || id == "" && doubt == "" && !s.runs(o) && !s.subject(o) {
		return nil
	}
	if b := s.counterpart(r); b != nil && s.After && id == "" && doubt == "" {
		var lost bool
		if lost, doubt = s.bare(o, s.other.identityOf(b)); lost {
			return nil
		}
	}
	t := s.workload(r, o, id, doubt)
	t.Idle = !s.runs(o) && !renewerName(o.name) && !renewerSpace(o.namespace) && !s.writer(strings.ToLower(id))
	if !s.runs(o) {
		t.Effect = strings.Replace(t.Effect, "cert-manager can no longer sign in", "what runs as it can no longer sign in", 1)
	}
	return []Tie{t}
}

// runs reports whether a release of the plan runs cert-manager as a service account, on either side.
func (s *State) runs(o object) bool {
	for _, st := range s.sides() {
		if once(st, "kubernetes accounts", func() map[object]bool {
			out := map[object]bool{}
			for _, r := range st.Of("helm_release") {
				if isRenewerChart(r) {
					out[accountOf(r, valuesOf(r))] = true
				}
			}
			return out
		})[o] {
			return true
		}
	}
	return false
}
