package iac

import (
	"strings"
)

// azureLock reads a management lock. ReadOnly forbids writing and deleting, CanNotDelete deleting; both hold for whatever
// lies in their scope, record sets among it (learn.microsoft.com, "Lock your resources to protect your infrastructure").
func azureLock(st *State, r *Side) []Tie {
	at, level, name := "scope", r.Text("lock_level"), r.Text("name")
	if r.Change.Type == "azapi_resource" {
		at = "parent_id"
		v, _ := body(r, "properties", "level")
		level = text(v)
	}
	scope := azureScopeOf(st, r, at)
	t := Tie{
		Kind: KindBlock, Scope: scope.path, At: scope.id, Place: scope.place, Permission: "the " + level + " lock " + name, ID: id(r),
		Rights: RightDelete, Effect: "challenge records can be written there and not withdrawn, at which renewal fails",
		Repair: "Do not lock " + orElse(scope.place, "what holds the zone") + ": lock what should be locked inside it, or keep the zone in a resource group of its own.",
	}
	switch {
	case alike(level, "ReadOnly"):
		t.Rights, t.Effect = RightWrite|RightDelete, "nobody can write challenge records there"
	case !alike(level, "CanNotDelete"):
		return nil
	}
	return azureBlocks(st, t, scope)
}

// azureBlocks says how certain it is that what forbids something in a scope stands in the way of renewal.
func azureBlocks(st *State, t Tie, scope azureScope) []Tie {
	holds := azureHolds(st, scope.path)
	switch {
	case len(scope.path) > 0 && scope.path[0] == "new":
		return nil // a new zone: nothing is renewed by it yet
	case scope.unknown:
		if len(azureZones(st)) == 0 {
			return nil
		}
		t.Unknown = append(t.Unknown, PartScope)
	case scope.level == azureElsewhere, scope.level == azureRecordSet && (len(scope.path) < 9 || scope.path[8] != "txt"):
		return nil
	case scope.level == azureZoneLevel && len(scope.path) > 7 && scope.path[6] == "privatednszones", scope.level == azureResources && !holds:
		t.Idle = true // only an inventory knows whether anything in it is renewed
	case scope.level < azureResources && !holds:
		t.Doubt = "the plan shows no DNS zone in " + scope.place
	}
	return []Tie{t}
}

// azureDeny reads a deny assignment, which only azapi can manage.
func azureDeny(st *State, r *Side) []Tie {
	var denied azureRole
	p, _ := body(r, "properties", "permissions")
	list, _ := p.([]any)
	for _, e := range list {
		m, _ := e.(map[string]any)
		denied.allow(texts(m["actions"]), texts(m["notActions"]))
	}
	if denied.rights&(RightWrite|RightDelete) == 0 {
		return nil
	}
	name, _ := body(r, "properties", "denyAssignmentName")
	scope := azureScopeOf(st, r, "parent_id")
	t := Tie{
		Kind: KindBlock, Scope: scope.path, At: scope.id, Place: scope.place, Rights: denied.rights, ID: id(r),
		Permission: "the deny assignment " + orElse(text(name), r.Text("name")), Effect: "it overrules every grant there",
		Repair: "Let the deny assignment leave out whoever renews (excludePrincipals).",
	}
	principals, _ := body(r, "properties", "principals")
	who, _ := principals.([]any)
	if len(who) == 1 {
		m, _ := who[0].(map[string]any)
		if p := lower(text(m["id"])); p != "00000000-0000-0000-0000-000000000000" { // which is everybody
			t.Principal = p
			t.Who, t.Also = azureWho(st, p)
		}
	}
	return azureBlocks(st, t, scope)
}

// azurePolicy reads the assignment of a policy whose definition the plan holds and which denies something about DNS. What
// other policies do, only the cloud can tell.
func azurePolicy(st *State, r *Side) []Tie {
	d := azureFind(st, "id", r.Text("policy_definition_id"), "azurerm_policy_definition")
	if d == nil {
		d = azureRefer(st, r, "policy_definition_id", "azurerm_policy_definition")
	}
	if d == nil || r.Text("enforce") == "false" {
		return nil
	}
	rule, _ := decodeJSON(d.Text("policy_rule")).(map[string]any)
	then, _ := rule["then"].(map[string]any)
	if !alike(text(then["effect"]), "deny") || !strings.Contains(lower(d.Text("policy_rule")), "microsoft.network/dnszones") {
		return nil
	}
	scope := azureScopeOf(st, r, "scope")
	t := Tie{
		Kind: KindBlock, Scope: scope.path, At: scope.id, Place: scope.place, Rights: RightWrite, ID: id(r), Condition: "policy " + orElse(d.Text("name"), id(d)),
		Permission: "the policy " + orElse(r.Text("display_name"), r.Text("name")), Effect: "it denies changes of DNS zones or of what is in them",
		Doubt: "what it denies depends on its rule", Repair: "Let the policy leave out TXT records, or exempt the zone.",
	}
	if scope.level == azureElsewhere {
		return nil
	}
	return []Tie{t}
}
