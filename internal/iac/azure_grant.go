package iac

import (
	"slices"
	"strings"
)

// azureAssignment reads a role assignment, and warns of those that end by themselves.
func azureAssignment(st *State, r *Side) []Tie {
	t, ok := azureGrant(st, r)
	if !ok {
		return nil
	}
	out := []Tie{t}
	level, _ := azureAt(t.At)
	if level == azureRecordSet {
		// The renewer deletes an empty record set, and a user reports that assignments on it go with it
		// (terricain/certbot-dns-azure issue 20).
		out = append(out, Tie{
			Kind: KindBlock, Principal: t.Principal, Also: t.Also, Scope: t.Scope, At: t.At, Place: t.Place, Permission: "A grant for " + t.Place + " alone",
			Effect: "it may vanish when the renewer deletes the set after its last value", Condition: "record set",
			Doubt:  "users report that Azure deletes such a grant with its record set, and its documents do not say",
			Repair: "Grant the role on the zone, or on a zone of its own that the challenge is delegated to.",
		})
	}
	if end := azureEnd(r); end != "" {
		out = append(out, Tie{
			Kind: KindBlock, Principal: t.Principal, Also: t.Also, Scope: t.Scope, At: t.At, Place: t.Place, Permission: t.Permission + " for a limited time",
			Effect: "it ends by itself " + end, Condition: "ends " + end,
			Doubt:  "no plan will show that it ended",
			Repair: "Give whoever renews a grant without an end.",
		})
	}
	return out
}

// azureEnd is when an active assignment of Privileged Identity Management ends; empty when it does not.
func azureEnd(r *Side) string {
	if r.Change.Type != "azurerm_pim_active_role_assignment" {
		return ""
	}
	if s := r.Text("schedule", "expiration", "end_date_time"); s != "" {
		return "on " + s
	}
	if s := r.Text("schedule", "expiration", "duration_days"); s != "" && s != "0" {
		return "after " + s + " days"
	}
	if s := r.Text("schedule", "expiration", "duration_hours"); s != "" && s != "0" {
		return "after " + s + " hours"
	}
	return ""
}

// azureGrant reads what a role assignment grants. ok is false for what cannot write challenge records.
func azureGrant(st *State, r *Side) (t Tie, ok bool) {
	value := func(attribute string, inBody string) (string, bool) {
		if r.Change.Type == "azapi_resource" {
			v, known := body(r, "properties", inBody)
			return text(v), known
		}
		return r.Text(attribute), r.Known(attribute)
	}
	if kind, _ := value("principal_type", "principalType"); alike(kind, "User") {
		return t, false // people do not renew
	}
	at := "scope"
	if r.Change.Type == "azapi_resource" {
		at = "parent_id"
	}
	scope := azureScopeOf(st, r, at)
	if scope.level == azureElsewhere {
		return t, false
	}
	roleID, idKnown := value("role_definition_id", "roleDefinitionId")
	roleName, nameKnown := value("role_definition_name", "")
	if r.Change.Type == "azapi_resource" {
		roleName, nameKnown = "", true
	}
	role, writes := azureRoleOf(st, r, roleID, roleName)
	if !writes {
		return t, false
	}
	t = Tie{Kind: KindGrant, Rights: role.rights, Permission: role.name, Scope: scope.path, At: scope.id, Place: scope.place, ID: id(r), By: role.by}
	if scope.unknown || scope.level == azureManagement { // the plan does not show which subscriptions are in it
		t.Unknown = append(t.Unknown, PartScope)
	}
	if role.custom && roleID == "" && roleName == "" && (!idKnown || !nameKnown) {
		t.Permission = "a role"
		t.Unknown = append(t.Unknown, PartRights)
	}
	principal, known := value("principal_id", "principalId")
	t.Principal = lower(principal)
	if principal == "" && !known {
		t.Principal = azureNew(st, r, "principal_id")
		if t.Principal == "" {
			t.Unknown = append(t.Unknown, PartPrincipal)
		}
	}
	t.Who, t.Also = azureWho(st, t.Principal)
	condition, known := value("condition", "condition")
	t.Condition = strings.Join(strings.Fields(condition), " ")
	if condition == "" && !known {
		t.Unknown = append(t.Unknown, PartCondition)
	}
	if len(t.Unknown) == 0 {
		// What Azure tells assignments apart by: a second one is refused with RoleAssignmentExists.
		t.Object = lower(strings.Join([]string{t.Scope.String(), t.Principal, t.Permission}, "\n"))
	}
	return t, azureRelevant(st, &t, role, scope)
}

// azureRelevant says how certain it is that renewal may rest on a grant, and reports whether it may at all.
func azureRelevant(st *State, t *Tie, role azureRole, scope azureScope) bool {
	zone := ""
	if scope.level == azureZoneLevel || scope.level == azureRecordSet {
		if len(scope.path) > 7 {
			zone = scope.path[7]
			private := scope.path[6] == "privatednszones"
			if private && !role.private || !private && !role.public {
				return false
			}
			if scope.level == azureRecordSet && scope.path[8] != "txt" {
				return false
			}
		}
	}
	holds := azureHolds(st, scope.path)
	t.Certain = role.broad && !role.custom
	switch {
	case scope.unknown:
	case azureService(zone):
		t.Idle = true
	case role.custom:
		t.Doubt = "the plan does not hold " + role.name + ", so nobody knows whether it may write TXT records"
		if !strings.HasPrefix(role.name, "the role ") {
			t.Doubt = "the plan does not hold the role " + role.name + ", so nobody knows whether it may write TXT records"
		}
	case role.private && !role.public && zone == "":
		t.Idle = !holds
	case role.private && !role.public:
		t.Doubt, t.Certain = "the zone is private, and only an authority of your own can look into it", true
	case !role.broad && otherEnds(t.Who) && !azureWorkload(st, t.Principal):
		t.Doubt, t.Certain = "it is called like something that writes DNS records for other ends", true
	case role.broad && zone == "" && !holds:
		t.Doubt = role.name + " is made for much more than DNS, and the plan shows no DNS zone in " + scope.place
	}
	return true
}

// otherEnds reports whether a name is that of a program which writes records of hosts.
func otherEnds(name string) bool {
	n := lower(name)
	return !renewerLike(n) && (strings.Contains(n, "external-dns") || strings.Contains(n, "externaldns") || strings.Contains(n, "external_dns"))
}

// azureNew is the name of a principal that does not exist yet: the plan does not know its id because the resource that has
// it is made in the same plan. It is nobody who holds anything now. Empty when it may be somebody who is there already.
func azureNew(st *State, r *Side, attribute string) string {
	refs := r.Change.Refers[attribute]
	if r.Change.Type == "azapi_resource" {
		refs = nil
		for _, ref := range r.Change.Refers["body"] { // which refers to other things, too
			if s := azureReferred(st, r, []string{ref}, azurePrincipals...); s != nil {
				refs = append(refs, ref)
			}
		}
	}
	refs = slices.DeleteFunc(slices.Clone(refs), func(ref string) bool {
		return ref == "each.key" || ref == "count.index" // which of several, and never what
	})
	if len(refs) == 0 {
		return ""
	}
	for _, ref := range refs {
		head, _, _ := strings.Cut(ref, ".")
		if !strings.HasPrefix(head, "az") {
			return "" // data, var, local, module, each, or a resource that only passes it on: it may be anybody
		}
	}
	if s := azureReferred(st, r, refs, azurePrincipals...); s != nil {
		if !s.Change.Makes() {
			return ""
		}
		return "new:" + lower(s.Address())
	}
	return "new:" + lower(r.Change.Module+"."+refs[0])
}

// azurePrincipals are the types that have an object id which roles are assigned to.
var azurePrincipals = []string{"azurerm_user_assigned_identity", "azuread_service_principal", "azuread_group"}

// azureWho names a principal, and lists its other spellings: its client id and, of a group, its members.
func azureWho(st *State, principal string) (who string, also []string) {
	if principal == "" {
		return "", nil
	}
	if address, ok := strings.CutPrefix(principal, "new:"); ok {
		return "the new " + address, nil
	}
	if r := azureFind(st, "principal_id", principal, "azurerm_user_assigned_identity"); r != nil {
		return "the identity " + r.Text("name"), nonEmpty(r.Text("client_id"), id(r))
	}
	for _, r := range st.Of("azapi_resource") {
		if azapiType(r) == "microsoft.managedidentity/userassignedidentities" && alike(azureOutput(r, "principalId"), principal) {
			return "the identity " + r.Text("name"), nonEmpty(azureOutput(r, "clientId"), id(r))
		}
	}
	if r := azureFind(st, "object_id", principal, "azuread_service_principal"); r != nil {
		return "the service principal " + orElse(r.Text("display_name"), principal), nonEmpty(r.Text("client_id"), r.Text("application_id"))
	}
	if r := azureFind(st, "object_id", principal, "azuread_group"); r != nil {
		return "the group " + r.Text("display_name"), azureMembers(st, principal)
	}
	return "", nil
}

// azureOutput reads what azapi exported of a resource's answer.
func azureOutput(r *Side, name string) string {
	if s := r.Text("output", "properties", name); s != "" {
		return s
	}
	return r.Text("output", name)
}

// nonEmpty are those of several texts that are not empty.
func nonEmpty(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// azureGrants are all grants of one side.
func azureGrants(st *State) []Tie {
	return once(st, "azure grants", func() (out []Tie) {
		for _, kind := range []string{"azurerm_role_assignment", "azurerm_pim_active_role_assignment", "azapi_resource"} {
			for _, r := range st.Of(kind) {
				if kind == "azapi_resource" && azapiType(r) != "microsoft.authorization/roleassignments" {
					continue
				}
				if t, ok := azureGrant(st, r); ok {
					out = append(out, t)
				}
			}
		}
		return out
	})
}

// azureMembers lists the members of a group that one side of a plan shows.
func azureMembers(st *State, group string) (out []string) {
	for _, r := range st.Of("azuread_group_member") {
		if alike(azureGroupID(r.Text("group_object_id")), group) {
			out = append(out, lower(r.Text("member_object_id")))
		}
	}
	if g := azureFind(st, "object_id", group, "azuread_group"); g != nil {
		for _, m := range g.Texts("members") {
			out = append(out, lower(m))
		}
	}
	return nonEmpty(out...)
}

// azureGroupID is a group's object id: azuread 3 writes "/groups/ID" in some places.
func azureGroupID(s string) string { return lower(s[strings.LastIndex(s, "/")+1:]) }

// azureGroup reads the members that a group lists itself.
func azureGroup(st *State, r *Side) (out []Tie) {
	group := lower(r.Text("object_id"))
	for _, m := range r.Texts("members") {
		out = append(out, azureThrough(st, group, r.Text("display_name"), lower(m))...)
	}
	if !r.Known("members") {
		for _, t := range azureThrough(st, group, r.Text("display_name"), "") {
			t.Unknown = append(slices.Clip(t.Unknown), PartPrincipal)
			out = append(out, t)
		}
	}
	return out
}

// azureMember reads one member of a group.
func azureMember(st *State, r *Side) []Tie {
	group, member := azureGroupID(r.Text("group_object_id")), lower(r.Text("member_object_id"))
	if member == "" && !r.Known("member_object_id") {
		member = azureNew(st, r, "member_object_id")
	}
	if group == "" || member == "" {
		return nil
	}
	name := group
	if g := azureFind(st, "object_id", group, "azuread_group"); g != nil {
		name = g.Text("display_name")
	}
	return azureThrough(st, group, name, member)
}

// azureThrough are the grants that a member has through a group. Of a group without a grant in the plan nobody knows what
// it may do: that counts only where an inventory knows the member.
func azureThrough(st *State, group, name, member string) (out []Tie) {
	who, also := azureWho(st, member)
	for _, g := range azureGrants(st) {
		if g.Principal == "" || !alike(g.Principal, group) {
			continue
		}
		t := g
		t.Principal, t.Who, t.Also, t.Via, t.ID, t.Object = member, who, also, group, "", ""
		t.Permission = g.Permission + " (through the group " + name + ")"
		out = append(out, t)
	}
	if len(out) > 0 {
		return out
	}
	return []Tie{{
		Kind: KindGrant, Principal: member, Who: who, Also: also, Via: group, Permission: "membership of the group " + name,
		Doubt: "the plan does not show what the group may do", Idle: !azureWorkload(st, member),
	}}
}
