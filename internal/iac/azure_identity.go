package iac

import (
	"encoding/json"
	"slices"
	"strings"
)

// azureRenewers are words in the names of workloads that renew certificates.
var azureRenewers = []string{"cert-manager", "certmanager", "certbot", "acme", "lego", "notafter", "traefik", "caddy"}

func renewerLike(s string) bool {
	s = lower(s)
	return slices.ContainsFunc(azureRenewers, func(w string) bool { return strings.Contains(s, w) })
}

// azureRenews reports whether one side of a plan shows that an identity writes challenge records, or may.
func azureRenews(st *State, principal string) bool {
	if principal == "" {
		return false
	}
	writers := once(st, "azure writers", func() map[string]bool {
		out := map[string]bool{}
		for _, g := range azureGrants(st) {
			if g.Doubt != "" || g.Idle {
				continue
			}
			out[g.Principal] = true
			for _, m := range g.Also { // the members of a group
				out[lower(m)] = true
			}
		}
		return out
	})
	return writers[lower(principal)] || azureWorkload(st, principal)
}

// azureWorkload reports whether a workload that renews, by its name, acts as an identity.
func azureWorkload(st *State, principal string) bool {
	return once(st, "azure workloads", func() map[string]bool {
		out := map[string]bool{}
		for _, kind := range []string{"azurerm_federated_identity_credential", "azuread_application_federated_identity_credential", "azapi_resource"} {
			for _, r := range st.Of(kind) {
				if kind == "azapi_resource" && !strings.HasSuffix(azapiType(r), "/federatedidentitycredentials") {
					continue
				}
				if f := azureFederation(st, r); renewerLike(f.subject) && f.principal != "" {
					out[f.principal] = true
				}
			}
		}
		return out
	})[lower(principal)]
}

// azureIdentity reads a managed identity.
func azureIdentity(st *State, r *Side) []Tie {
	principal, client := r.Text("principal_id"), r.Text("client_id")
	if r.Change.Type == "azapi_resource" {
		principal, client = azureOutput(r, "principalId"), azureOutput(r, "clientId")
	}
	if principal == "" {
		switch {
		case id(r) != "": // azapi, where nobody asked for the ids in the answer
			principal = id(r)
		case r.After && r.Change.Before != nil:
			principal = "new:" + r.Address()
		default:
			return nil
		}
	}
	principal = lower(principal)
	return []Tie{{
		Kind: KindIdentity, Principal: principal, Who: "the identity " + r.Text("name"), Also: nonEmpty(client, id(r)), At: id(r), ID: id(r),
		Stale: "it gets another object id and another client id, which grants, federated credentials and service accounts do not name",
		Idle:  !azureRenews(st, principal),
	}}
}

// azureApplication reads an application: a service principal and federated credentials hang on it.
func azureApplication(st *State, r *Side) []Tie {
	client := orElse(r.Text("client_id"), r.Text("application_id"))
	if client == "" {
		return nil
	}
	principal := azureObject(st, client)
	return []Tie{{
		Kind: KindIdentity, Principal: lower(principal), Who: "the application " + r.Text("display_name"), Also: nonEmpty(client, id(r), r.Text("object_id")), At: id(r), ID: id(r),
		Stale: "it gets another client id, and everything that hangs on the old one goes with it",
		Idle:  !azureRenews(st, principal),
	}}
}

// azureServicePrincipal reads a service principal: role assignments name its object id.
func azureServicePrincipal(st *State, r *Side) []Tie {
	principal := lower(r.Text("object_id"))
	if principal == "" {
		return nil
	}
	return []Tie{{
		Kind: KindIdentity, Principal: principal, Who: "the service principal " + orElse(r.Text("display_name"), principal),
		Also: nonEmpty(r.Text("client_id"), r.Text("application_id"), id(r)), At: id(r), ID: id(r), Condition: "service principal",
		Stale: "it gets another object id, which role assignments do not name",
		Idle:  !azureRenews(st, principal),
	}}
}

// azureObject is the object id of the service principal of an application; the client id where the plan shows none.
func azureObject(st *State, client string) string {
	for _, attribute := range []string{"client_id", "application_id"} {
		if sp := azureFind(st, attribute, client, "azuread_service_principal"); sp != nil && sp.Text("object_id") != "" {
			return sp.Text("object_id")
		}
	}
	return client
}

// azureFederation is what a federated credential says.
type azureFederatedCredential struct {
	principal, who            string
	also                      []string
	issuer, subject, audience string
	unknown                   bool
}

func azureFederation(st *State, r *Side) azureFederatedCredential {
	f := azureFederatedCredential{issuer: r.Text("issuer"), subject: r.Text("subject"), audience: strings.Join(r.Texts("audience"), ","), unknown: !r.Known("issuer") || !r.Known("subject") || !r.Known("audience")}
	parent := "parent_id"
	switch r.Change.Type {
	case "azuread_application_federated_identity_credential":
		f.audience, f.unknown = strings.Join(r.Texts("audiences"), ","), !r.Known("issuer") || !r.Known("subject") || !r.Known("audiences")
		parent = "application_id"
		if r.Text(parent) == "" && r.Text("application_object_id") != "" {
			parent = "application_object_id"
		}
	case "azapi_resource":
		get := func(name string) string {
			v, known := body(r, "properties", name)
			f.unknown = f.unknown || !known
			return strings.Join(texts(v), ",")
		}
		f.unknown = false
		f.issuer, f.subject, f.audience = get("issuer"), get("subject"), get("audiences")
	default:
		if r.Text(parent) == "" && r.Text("user_assigned_identity_id") != "" {
			parent = "user_assigned_identity_id" // the name from azurerm 5 on
		}
	}
	f.principal, f.who, f.also = azureParent(st, r, parent)
	return f
}

// azureParent finds the identity that something hangs on.
func azureParent(st *State, r *Side, attribute string) (principal, who string, also []string) {
	v := r.Text(attribute)
	for _, kind := range []string{"azurerm_user_assigned_identity", "azuread_application", "azuread_application_registration", "azuread_service_principal"} {
		for _, by := range []string{"id", "object_id"} {
			s := azureFind(st, by, v, kind)
			if s == nil && v == "" && by == "id" {
				s = azureRefer(st, r, attribute, kind)
			}
			if s == nil {
				continue
			}
			switch kind {
			case "azurerm_user_assigned_identity":
				principal, who = s.Text("principal_id"), "the identity "+s.Text("name")
			case "azuread_service_principal":
				principal, who = s.Text("object_id"), "the service principal "+s.Text("display_name")
			default:
				who = "the application " + s.Text("display_name")
				if client := orElse(s.Text("client_id"), s.Text("application_id")); client != "" {
					principal = azureObject(st, client)
				}
			}
			if principal == "" {
				principal = "new:" + s.Address()
			}
			return lower(principal), who, nonEmpty(s.Text("client_id"), id(s))
		}
	}
	name := v[strings.LastIndex(v, "/")+1:]
	return lower(v), orElse(strings.TrimSpace("the identity "+name), v), nonEmpty(v)
}

// azureFederated reads a federated credential: that a workload's token is taken for an identity's.
func azureFederated(st *State, r *Side) []Tie {
	f := azureFederation(st, r)
	t := Tie{
		Kind: KindTrust, Principal: f.principal, Who: f.who, Also: f.also, ID: id(r), At: id(r), Permission: "federated credential",
		Condition: strings.TrimSuffix(f.issuer, "/") + "|" + f.subject + "|" + f.audience,
		Effect:    f.subject + " can no longer sign in to Azure as it",
	}
	if f.principal == "" {
		t.Unknown = append(t.Unknown, PartPrincipal)
	}
	if f.unknown {
		t.Unknown = append(t.Unknown, PartCondition)
	}
	// Of an identity that several workloads act as, the one that renews counts, where its name tells it.
	t.Idle = !renewerLike(f.subject) && (!azureRenews(st, f.principal) || azureWorkload(st, f.principal))
	return []Tie{t}
}

// azureSecret reads a password or certificate of an application: a new one has to reach whoever renews.
func azureSecret(st *State, r *Side) []Tie {
	attribute := "application_id"
	for _, a := range []string{"service_principal_id", "application_object_id"} {
		if r.Text(a) != "" || len(r.Change.Refers[a]) > 0 {
			attribute = a
		}
	}
	principal, who, also := azureParent(st, r, attribute)
	if principal == "" {
		return nil
	}
	kind := "password"
	if strings.HasSuffix(r.Change.Type, "_certificate") {
		kind = "certificate"
	}
	t := Tie{
		Kind: KindCredential, Principal: principal, Who: who, Also: also, ID: id(r), At: id(r), Permission: kind,
		Effect: "whoever renews with it can no longer sign in to Azure",
		Idle:   !azureRenews(st, principal),
		Repair: "Keep the old credential until the new one has arrived where renewal runs: create the new one under another address first, and delete the old one in a later change.",
	}
	if r.After && r.Change.Makes() && r.Change.Before != nil && !azureCarried(st, r) {
		t.Permission, t.Doubt = "new "+kind, "nothing in this plan brings the new "+kind+" to whoever renews with it"
	}
	return []Tie{t}
}

// azureCarried reports whether a plan puts a new credential where somebody can read it.
func azureCarried(st *State, r *Side) bool {
	at := r.Change.Address
	if key := keyOf(at); key != "" {
		at = strings.TrimSuffix(at, key)
	}
	if r.Change.Module != "" {
		at = strings.TrimPrefix(at, r.Change.Module+".")
	}
	for _, kind := range []string{"kubernetes_secret", "kubernetes_secret_v1", "azurerm_key_vault_secret", "helm_release", "kubernetes_manifest", "kubectl_manifest"} {
		for _, c := range st.Of(kind) {
			if c.Change.Do == NoOp || c.Change.Module != r.Change.Module {
				continue
			}
			for _, refs := range c.Change.Refers {
				if slices.ContainsFunc(refs, func(ref string) bool {
					return ref == at || strings.HasPrefix(ref, at+".") || strings.HasPrefix(ref, at+"[")
				}) {
					return true
				}
			}
		}
	}
	return false
}

// azureCluster reads what workload identity rests on of a cluster.
func azureCluster(st *State, r *Side) (out []Tie) {
	name := r.Text("name")
	issuer := strings.TrimSuffix(r.Text("oidc_issuer_url"), "/")
	used := false
	for _, kind := range []string{"azurerm_federated_identity_credential", "azuread_application_federated_identity_credential"} {
		for _, c := range st.Of(kind) {
			f := azureFederation(st, c)
			same := issuer != "" && alike(strings.TrimSuffix(f.issuer, "/"), issuer) || azureRefer(st, c, "issuer", r.Change.Type) == r
			used = used || same && (renewerLike(f.subject) || azureRenews(st, f.principal))
		}
	}
	if r.Text("oidc_issuer_enabled") != "true" {
		return nil
	}
	t := Tie{
		Kind: KindTrust, Principal: "cluster " + lower(name), Who: "an identity of Azure in the cluster " + name, Also: nonEmpty(issuer, id(r)), ID: id(r), At: id(r), Condition: "oidc issuer", Idle: !used,
		Stale:  "it gets another OIDC issuer, which federated credentials do not name",
		Effect: "its workloads can no longer sign in to Azure",
	}
	// What is switched off is named: a cluster changes for many reasons.
	off := func(setting string) bool {
		a := st.counterpart(r)
		return a != nil && !st.After && a.Known(setting) && a.Text(setting) != "true"
	}
	if off("oidc_issuer_enabled") {
		t.Effect = "it has no OIDC issuer any more (oidc_issuer_enabled = false), and " + t.Effect
		t.Repair = "Leave oidc_issuer_enabled = true of " + r.Address() + "."
	}
	out = append(out, t)
	if r.Text("workload_identity_enabled") == "true" {
		t.Condition, t.Stale, t.Repair = "workload identity", "", ""
		t.Effect = "its pods no longer get the tokens with which they sign in to Azure"
		if off("workload_identity_enabled") {
			t.Effect += " (workload_identity_enabled = false)"
			t.Repair = "Leave workload_identity_enabled = true of " + r.Address() + "."
		}
		out = append(out, t)
	}
	return out
}

// decodeJSON reads JSON that a provider keeps in a string; nil when it is none, or too large.
func decodeJSON(s string) (v any) {
	if len(s) > maxBody || json.Unmarshal([]byte(s), &v) != nil {
		return nil
	}
	return v
}
