package permit

import (
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
)

// azureEveryone is the principal of deny assignments that hold for all (learn.microsoft.com, "Understand Azure deny
// assignments": the zero GUID of the type SystemDefined).
const azureEveryone = "00000000-0000-0000-0000-000000000000"

func azureString(p *string) string {
	if p == nil {
		return ""
	}
	return azureText(*p)
}

func azureStrings(list []*string) []string {
	var out []string
	for _, p := range list {
		if p != nil {
			out = append(out, *p)
		}
	}
	return out
}

// azureGrant reads a role assignment. What is missing in it makes it match nothing or stay unclear.
func azureGrant(a *armauthorization.RoleAssignment) AzureGrant {
	if a == nil || a.Properties == nil {
		return AzureGrant{}
	}
	p := a.Properties
	return AzureGrant{ID: azureString(a.ID), Principal: azureString(p.PrincipalID), Scope: azureString(p.Scope), Role: azureString(p.RoleDefinitionID), Condition: azureString(p.Condition)}
}

// azureRole reads a role definition that was asked for by id.
func azureRole(d *armauthorization.RoleDefinition, id string) AzureRole {
	r := AzureRole{ID: id}
	if d.Properties == nil {
		return r
	}
	r.Name = azureString(d.Properties.RoleName)
	for _, p := range d.Properties.Permissions {
		if p != nil {
			r.Permissions = append(r.Permissions, AzurePermission{Actions: azureStrings(p.Actions), NotActions: azureStrings(p.NotActions)})
		}
	}
	return r
}

// azureDeny reads a deny assignment; ok is false when it certainly does not hold for the identity, which counts as each
// of ids. Membership in other groups is not known.
func azureDeny(d *armauthorization.DenyAssignment, ids map[string]bool) (AzureDeny, bool) {
	if d == nil || d.Properties == nil {
		return AzureDeny{}, false
	}
	p := d.Properties
	x := AzureDeny{ID: azureString(d.ID), Name: azureString(p.DenyAssignmentName), Scope: azureString(p.Scope), Here: p.DoNotApplyToChildScopes != nil && *p.DoNotApplyToChildScopes}
	for _, q := range p.Permissions {
		if q == nil {
			continue
		}
		x.Permissions = append(x.Permissions, AzurePermission{Actions: azureStrings(q.Actions), NotActions: azureStrings(q.NotActions)})
		x.Unsure = x.Unsure || azureString(q.Condition) != ""
	}
	named, maybe := azureNames(p.Principals, ids)
	excluded, maybeExcluded := azureNames(p.ExcludePrincipals, ids)
	if excluded || !named && !maybe {
		return x, false
	}
	x.Unsure = x.Unsure || !named || maybeExcluded
	return x, true
}

// azureNames reports whether a list names one of ids, or a group that may hold the identity.
func azureNames(list []*armauthorization.Principal, ids map[string]bool) (named, maybe bool) {
	for _, p := range list {
		if p == nil {
			continue
		}
		id := strings.ToLower(azureString(p.ID))
		switch {
		case id == azureEveryone || ids[id]:
			named = true
		case !strings.EqualFold(azureString(p.Type), "ServicePrincipal") && !strings.EqualFold(azureString(p.Type), "User"):
			maybe = true
		}
	}
	return named, maybe
}
