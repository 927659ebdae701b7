package iac

import (
	"slices"
	"strings"
)

// googleAccount reads a service account. One that is made again under the same address has another unique id: what named
// the old one names a deleted account (Google's page on deleting service accounts).
func googleAccount(st *State, r *Side) []Tie {
	email := googleEmail(r)
	if email == "" || r.Text("disabled") == "true" {
		return nil
	}
	t := Tie{
		Kind: KindIdentity, Principal: email, Who: email, Also: ids(r.Text("unique_id")), ID: r.Text("id"),
		Scope: accountPath(email), Object: email, Idle: !st.writer(email),
		Stale:  "it gets another unique id, and roles that name it go on naming the deleted one",
		Repair: "Keep the account. Where a new one is really wanted, give it another account_id, grant it what the old one holds, and destroy the old one in a later change.",
	}
	if b := st.counterpart(r); b != nil && b.Text("disabled") == "true" {
		t.Effect, t.Repair = "nobody can act as it while it is disabled", "Leave disabled = false."
	}
	if t.Idle && st.vague(email) {
		t.Idle, t.Doubt = false, "it holds a custom role that is not in the plan"
	}
	if st.regranted(email) {
		t.Stale, t.Repair = "", ""
	}
	return []Tie{t}
}

// regranted reports whether the plan makes everything anew that names an account: then a new account has what the old one
// had, once all of it is there.
func (s *State) regranted(email string) bool {
	before := s.ordered()[0]
	named := once(before, "google named", func() map[string][]*Change {
		out := map[string][]*Change{}
		for _, r := range before.Resources {
			if !strings.HasPrefix(r.Change.Type, "google_") || !strings.Contains(r.Change.Type, "_iam_") || strings.HasSuffix(r.Change.Type, "_role") {
				continue
			}
			if strings.HasPrefix(r.Change.Type, "google_service_account_iam_") {
				if e, known := before.trustee(r); known {
					out[e] = append(out[e], r.Change)
				}
				continue
			}
			list, _, _ := before.bindings(r)
			for _, b := range list {
				if p, _ := googlePrincipal(b.member); p != "" {
					out[p] = append(out[p], r.Change)
				}
			}
		}
		return out
	})[email]
	return len(named) > 0 && !slices.ContainsFunc(named, func(c *Change) bool { return c.Do != DeleteCreate })
}

func ids(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

func accountPath(email string) Path { return Path{"serviceaccounts", strings.ToLower(email)} }

// trustee is the service account that an attribute such as "projects/P/serviceAccounts/EMAIL" names, by its address.
func (s *State) trustee(r *Side) (email string, known bool) {
	if v := r.Text("service_account_id"); v != "" {
		return s.emailOf(last(v)), true
	}
	if a := s.referred(r, "service_account_id", "google_service_account"); a != nil {
		if e := googleEmail(a); e != "" {
			return e, true
		}
	}
	return "", false
}

// emailOf is the address of an account that may be named by its unique id.
func (s *State) emailOf(id string) string {
	if !strings.Contains(id, "@") {
		for _, st := range s.sides() {
			if a := st.Find("unique_id", id, "google_service_account"); a != nil {
				return googleEmail(a)
			}
		}
	}
	return strings.ToLower(id)
}

// googleTrusts reads who may act as a service account that may write challenges.
func googleTrusts(st *State, r *Side) []Tie {
	email, known := st.trustee(r)
	list, all, _ := st.bindings(r)
	var out []Tie
	for _, b := range list {
		principal, who := googlePrincipal(b.member)
		open := slices.Contains(b.unknown, PartPrincipal)
		if principal == "" && !open || !slices.Contains(b.unknown, PartRights) && !acts(b.role) {
			continue
		}
		if q, held := st.undoneBy(r, accountPath(email), b); q != nil && (st.After || held) {
			continue
		}
		ruler := st.ruler(r, email, b)
		if ruler != nil && st.After {
			continue
		}
		t := Tie{
			Kind: KindTrust, Principal: email, Who: email, Permission: permission(b), Scope: Path{"workloads", principal},
			At: who, Condition: b.condition, ID: r.Text("id"), Object: strings.ToLower(email+" "+b.role+" "+b.member) + " " + b.condition,
			Effect: who + " can no longer act as it", Idle: !st.writer(email) && !renewerSpace(who),
		}
		if all {
			t.Members = st.members(list, b)
		}
		if ruler != nil {
			t.Effect += ", as " + ruler.Change.Address + " names everybody who may, and does not name it"
			t.Repair = "List " + b.member + " in " + ruler.Change.Address + ", or use google_service_account_iam_member, which leaves others alone."
		}
		if open || slices.Contains(b.unknown, PartRights) {
			// Whoever it is, it stands where a workload stood before.
			t.Unknown, t.Effect, t.At = append(t.Unknown, PartScope), "", email
		}
		if slices.Contains(b.unknown, PartCondition) {
			t.Unknown = append(t.Unknown, PartCondition)
		}
		if !known {
			t.Unknown = append(t.Unknown, PartPrincipal)
		}
		out = append(out, t)
	}
	return out
}

// acts reports whether a role lets its members act as the account that it is on.
func acts(role string) bool {
	return role == "roles/iam.workloadIdentityUser" || role == "roles/iam.serviceAccountTokenCreator"
}

// widely reads a role that lets somebody act as all accounts of a place: a trust for each account there that may write.
func (s *State) widely(r *Side, place googlePlace, b binding) []Tie {
	principal, who := googlePrincipal(b.member)
	if principal == "" || len(b.unknown) > 0 || !strings.HasPrefix(r.Change.Type, "google_project_") {
		return nil
	}
	var out []Tie
	for _, email := range s.writersOf("@" + last(strings.Join(place.path, "/")) + ".iam.") {
		out = append(out, Tie{
			Kind: KindTrust, Principal: email, Who: email, Permission: permission(b), Scope: Path{"workloads", principal}, At: who, Condition: b.condition,
			ID: r.Text("id"), Object: strings.ToLower(place.path.String()+" "+b.role+" "+b.member) + " " + b.condition, Effect: who + " can no longer act as it",
		})
	}
	return out
}

// ruler is a binding or a policy that the plan makes or changes and that leaves out a member whom r goes on holding.
// [Tie.Others] says it of grants; trusts have no authoritative form there.
func (s *State) ruler(r *Side, email string, b binding) *Side {
	if len(b.unknown) > 0 || s.other == nil {
		return nil
	}
	after := s.ordered()[1]
	for _, form := range []string{"binding", "policy"} {
		for _, q := range after.Of("google_service_account_iam_" + form) {
			if q.Change == r.Change || q.Change.Do == NoOp || q.Change.Do == Forget {
				continue
			}
			if e, known := after.trustee(q); !known || e != email {
				continue
			}
			list, _, whole := after.bindings(q)
			if (whole || after.rules(q, &b)) && !slices.ContainsFunc(list, func(c binding) bool { return len(c.unknown) > 0 || c.same(b) }) {
				return q
			}
		}
	}
	return nil
}

// googleKey reads a key of a service account that may write challenges.
func googleKey(st *State, r *Side) []Tie {
	email, known := st.trustee(r)
	t := Tie{
		Kind: KindCredential, Principal: email, Who: email, ID: r.Text("id"), Idle: !st.writer(email),
		Scope: append(accountPath(email), "keys"), At: "a key of " + email, Effect: "whoever signs in with the old one is refused",
		Object: "key " + r.Text("id"),
	}
	if !known {
		t.Unknown = []Part{PartPrincipal}
	}
	how := st.handover(r)
	if how != handedOver {
		t.Stale = "the new key has to reach the secret that the renewer reads, and nothing in the plan brings it there"
		if r.Change.Makes() {
			t.Repair = "Write the new key into the renewer's secret in the same change, and destroy the old key in a later one."
		}
	}
	if how == handedMaybe && r.Change.Makes() {
		t.Stale, t.Doubt = "the new key has to reach the secret that the renewer reads", handedDoubt
	}
	return []Tie{t}
}

// googlePool reads a workload identity pool, or a provider of one, that a member of the plan belongs to.
func googlePool(st *State, r *Side) []Tie {
	pool := r.Text("workload_identity_pool_id")
	if pool == "" || r.Text("disabled") == "true" || !st.trusted("/workloadIdentityPools/"+pool+"/") {
		return nil
	}
	t := Tie{
		Kind: KindTrust, Principal: "pool " + pool, Who: "a service account of Google through the workload identity pool " + pool, Scope: Path{"workloadidentitypools", pool}, ID: r.Text("id"),
		Effect: "workloads of the pool " + pool + " can no longer act as anybody at Google",
		Stale:  "the name of a deleted pool cannot be used again for 30 days",
	}
	if provider := r.Text("workload_identity_pool_provider_id"); provider != "" {
		t.Principal, t.Who = "pool provider "+pool+"/"+provider, "a service account of Google through the provider "+provider+" of the workload identity pool "+pool
		t.Scope = append(t.Scope, provider)
		t.Condition = strings.TrimSpace(strings.Join(ids(r.Text("oidc", "issuer_uri"), expression(r.Text("attribute_condition"))), " "))
		t.Stale = "the name of a deleted provider cannot be used again for 30 days"
		if !r.Known("oidc") || !r.Known("attribute_condition") {
			t.Unknown = append(t.Unknown, PartCondition)
		}
	}
	return []Tie{t}
}

// googleCluster reads whether a cluster lets its workloads act as service accounts, where a member of the plan is one.
func googleCluster(st *State, r *Side) []Tie {
	pool := r.Text("workload_identity_config", "workload_pool")
	if !r.Known("workload_identity_config") {
		return []Tie{{Kind: KindTrust, Scope: Path{"clusters", r.Text("name")}, Unknown: []Part{PartPrincipal}}}
	}
	if pool == "" || !st.trusted(pool+"[") && !st.trusted("/workloadIdentityPools/"+pool+"/") {
		return nil
	}
	return append(st.ownNodes(r, pool), Tie{
		Kind: KindTrust, Principal: "pool " + pool, Who: "a service account of Google from the cluster " + r.Text("name"), Scope: Path{"clusters", r.Text("name")}, ID: r.Text("id"),
		Effect: "the cluster's workloads can no longer act as service accounts of Google", At: "cluster " + r.Text("name"),
	})
}

// googleNodes reads whether the pods of a node pool sign in as their service accounts. Where the metadata server of GKE is
// off they get the account of the node.
// https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity#option_2_node_pool_modification
func googleNodes(st *State, r *Side) []Tie {
	pool := lower(r.Text("project")) + ".svc.id.goog"
	for _, side := range st.sides() {
		if c := side.Find("name", last(r.Text("cluster")), "google_container_cluster"); c != nil && c.Text("workload_identity_config", "workload_pool") != "" {
			pool = c.Text("workload_identity_config", "workload_pool")
			break
		}
	}
	return st.pods(r, pool, r.Text("cluster"), r.Text("name"), "node_config")
}

// ownNodes is googleNodes for the pools that a cluster has in its own attributes: the default one, and those in blocks.
func (s *State) ownNodes(r *Side, pool string) (out []Tie) {
	if r.Text("remove_default_node_pool") != "true" {
		out = s.pods(r, pool, r.Text("name"), "default-pool", "node_config")
	}
	for i := range min(r.Len("node_pool"), 100) {
		out = append(out, s.pods(r, pool, r.Text("name"), r.Text("node_pool", i, "name"), "node_pool", i, "node_config")...)
	}
	return out
}

// pods is that the pods of a node pool of a cluster act as themselves, by what stands at a path of the resource.
func (s *State) pods(r *Side, pool, cluster, name string, at ...any) []Tie {
	const mode = "workload_metadata_config"
	at = append(at[:len(at):len(at)], mode)
	is := func(field string) string { return r.Text(append(at[:len(at):len(at)], field)...) }
	if !r.stays() || r.Known(at...) && !strings.HasPrefix(orElse(is("mode"), is("node_metadata")), "GKE_METADATA") {
		return nil // pods of one that goes are moved to other nodes
	}
	if !s.trusted(pool+"[") && !s.trusted("/workloadIdentityPools/"+pool+"/") {
		return nil
	}
	t := Tie{
		Kind: KindTrust, Principal: "pool " + pool, Who: "a service account of Google from the node pool " + name, Scope: Path{"nodepools", cluster, name}, ID: r.Text("id"),
		Effect: "pods on its nodes act as the account of the nodes, and no longer as service accounts of their own", At: "node pool " + name + " of the cluster " + last(cluster),
		Doubt: "its pods then act as the account of the nodes, and on which nodes the renewer runs is not in the plan", Repair: "Leave workload_metadata_config with mode = " + quote("GKE_METADATA") + ", or see to it that the renewer runs on other nodes.",
	}
	if !r.Known(at...) {
		t.Unknown = []Part{PartCondition}
	}
	return []Tie{t}
}

// trusted reports whether a member of the plan has a text in it and may write challenges, or act as who may, on either side.
func (s *State) trusted(text string) bool {
	for _, st := range s.sides() {
		for p := range st.writers() {
			if strings.Contains(strings.ToLower(p), strings.ToLower(text)) {
				return true
			}
		}
		for _, m := range once(st, "google workloads", st.workloads) {
			if strings.Contains(m, strings.ToLower(text)) {
				return true
			}
		}
	}
	return false
}

// workloads are the members that may act as accounts that may write challenges, in lower case.
func (s *State) workloads() []string {
	var out []string
	for _, form := range []string{"member", "binding", "policy"} {
		for _, r := range s.Of("google_service_account_iam_" + form) {
			email, _ := s.trustee(r)
			list, _, _ := s.bindings(r)
			for _, b := range list {
				if _, who := googlePrincipal(b.member); acts(b.role) && (s.writer(email) || renewerSpace(who)) {
					out = append(out, strings.ToLower(b.member))
				}
			}
		}
	}
	return out
}
