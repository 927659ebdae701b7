package iac

import (
	"encoding/json"
	"strings"
)

// azureReaders read what azurerm, azapi and azuread manage. Sources: the providers' documentation of each resource, and
// the REST reference of Microsoft.Authorization and Microsoft.Network for azapi.
var azureReaders = map[string]reader{
	"azurerm_role_assignment":                           azureAssignment,
	"azurerm_pim_active_role_assignment":                azureAssignment,
	"azurerm_role_definition":                           nothing, // read with the assignments that refer to it
	"azapi_resource":                                    azureAnything,
	"azuread_group":                                     azureGroup,
	"azuread_group_member":                              azureMember,
	"azurerm_user_assigned_identity":                    azureIdentity,
	"azuread_application":                               azureApplication,
	"azuread_application_registration":                  azureApplication,
	"azuread_service_principal":                         azureServicePrincipal,
	"azurerm_federated_identity_credential":             azureFederated,
	"azuread_application_federated_identity_credential": azureFederated,
	"azuread_application_password":                      azureSecret,
	"azuread_application_certificate":                   azureSecret,
	"azuread_service_principal_password":                azureSecret,
	"azuread_service_principal_certificate":             azureSecret,
	"azurerm_key_vault_secret":                          nothing, // may carry a credential to whoever renews
	"azurerm_kubernetes_cluster":                        azureCluster,
	"azurerm_dns_zone":                                  azureZone,
	"azurerm_private_dns_zone":                          azureZone,
	"azurerm_resource_group":                            azureGroupOfResources,
	"azurerm_dns_ns_record":                             azureRecord,
	"azurerm_dns_caa_record":                            azureRecord,
	"azurerm_dns_cname_record":                          azureRecord,
	"azurerm_dns_txt_record":                            azureRecord,
	"azurerm_management_lock":                           azureLock,
	"azurerm_policy_definition":                         nothing, // read with the assignments that refer to it
	"azurerm_resource_policy_assignment":                azurePolicy,
	"azurerm_resource_group_policy_assignment":          azurePolicy,
	"azurerm_subscription_policy_assignment":            azurePolicy,
	"azurerm_management_group_policy_assignment":        azurePolicy,
}

func nothing(*State, *Side) []Tie { return nil }

// azureAnything reads the types that azapi can manage under any type's name.
func azureAnything(st *State, r *Side) []Tie {
	switch azapiType(r) {
	case "microsoft.authorization/roleassignments":
		return azureAssignment(st, r)
	case "microsoft.authorization/locks":
		return azureLock(st, r)
	case "microsoft.authorization/denyassignments":
		return azureDeny(st, r)
	case "microsoft.network/dnszones", "microsoft.network/privatednszones":
		return azureZone(st, r)
	case "microsoft.managedidentity/userassignedidentities":
		return azureIdentity(st, r)
	case "microsoft.managedidentity/userassignedidentities/federatedidentitycredentials":
		return azureFederated(st, r)
	}
	return nil
}

// azapiType is the type of what an azapi_resource manages, in lower case and without the version of its interface.
func azapiType(r *Side) string {
	kind, _, _ := strings.Cut(lower(r.Text("type")), "@")
	return kind
}

// maxBody bounds a body that azapi has as text, in bytes. A role definition with every action has some 100 KiB.
const maxBody = 1 << 20

// body returns a value in the body of an azapi_resource, which is an object, or JSON in a string in versions before 2.
func body(r *Side, path ...any) (v any, known bool) {
	full := append([]any{"body"}, path...)
	text, ok := r.Values["body"].(string)
	if !ok {
		if v, known = r.Get(full...); v == nil && known && !r.Known(full...) {
			return nil, false
		}
		return v, known
	}
	if len(text) > maxBody || json.Unmarshal([]byte(text), &v) != nil {
		return nil, false
	}
	for _, step := range path {
		m, _ := v.(map[string]any)
		name, _ := step.(string)
		v = m[name]
	}
	return v, true
}

// texts are the strings in a list, or the one string.
func texts(v any) (out []string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, e := range list {
		if s := text(e); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// azureRefer returns the resource that the expression of an attribute refers to: of the same module, and of several
// instances the one with the same key. It is nil when there is none or nobody can tell which.
func azureRefer(st *State, r *Side, attribute string, types ...string) *Side {
	return azureReferred(st, r, r.Change.Refers[attribute], types...)
}

func azureReferred(st *State, r *Side, refs []string, types ...string) *Side {
	for _, ref := range refs {
		for _, kind := range types {
			rest, ok := strings.CutPrefix(ref, kind+".")
			if !ok {
				continue
			}
			name, _, _ := strings.Cut(rest, ".")
			name, _, _ = strings.Cut(name, "[")
			if s := azureInstance(st, r, kind, name); s != nil {
				return s
			}
		}
	}
	return nil
}

func azureInstance(st *State, r *Side, kind, name string) *Side {
	module, key := "", keyOf(r.Address())
	if r.Change.Module != "" {
		module = r.Change.Module + "."
	}
	base := module + kind + "." + name
	var one *Side
	n := 0
	for _, s := range st.Of(kind) {
		a := s.Address()
		if a != base && !strings.HasPrefix(a, base+"[") {
			continue
		}
		if a == base+key {
			return s
		}
		one, n = s, n+1
	}
	if n == 1 {
		return one
	}
	return nil
}

// azureFind is Find by way of an index, for what is looked for again and again.
func azureFind(st *State, attribute, value string, types ...string) *Side {
	if value == "" {
		return nil
	}
	for _, kind := range types {
		index := once(st, "azure "+kind+" by "+attribute, func() map[string]*Side {
			out := map[string]*Side{}
			for _, r := range st.Of(kind) {
				if v := lower(r.Text(attribute)); v != "" && out[v] == nil {
					out[v] = r
				}
			}
			return out
		})
		if r := index[lower(value)]; r != nil {
			return r
		}
	}
	return nil
}

// id is the id that the cloud has for a resource; empty before it is made.
func id(r *Side) string { return r.Text("id") }
