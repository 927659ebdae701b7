package iac

import (
	"slices"
	"strings"
)

// azureRole is what a role allows of what DNS-01 needs.
type azureRole struct {
	name    string
	rights  Right
	broad   bool  // made for more than DNS
	public  bool  // reaches public zones
	private bool  // reaches private zones
	custom  bool  // of the customer's own, and not in the plan
	by      *Side // its definition, where the plan holds it
}

// azureWriters are the built-in roles that can write TXT records, by id. Source: learn.microsoft.com, "Azure built-in
// roles"; that they can follows from their actions (Microsoft.Network/dnsZones/*, Microsoft.Network/*, *).
var azureWriters = map[string]azureRole{
	"befefa01-2a29-4197-83a8-272ff33ce314": {name: "DNS Zone Contributor", rights: RightAll, public: true},
	"b12aa53e-6015-4669-85d0-8515ebb3ae7f": {name: "Private DNS Zone Contributor", rights: RightAll, private: true},
	"4d97b98b-1d4f-4787-a291-c67834d212e7": {name: "Network Contributor", rights: RightAll, broad: true, public: true, private: true},
	"b24988ac-6180-42a0-ab88-20f7382dd24c": {name: "Contributor", rights: RightAll, broad: true, public: true, private: true},
	"8e3af657-a8ff-443c-a75c-2fe8c4bcb635": {name: "Owner", rights: RightAll, broad: true, public: true, private: true},
}

// azureOthers are built-in roles that are often assigned and cannot write TXT records, by id. Source: as above.
var azureOthers = []string{
	"acdd72a7-3385-48ef-bd42-f606fba81ae7", // Reader
	"18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", // User Access Administrator
	"f58310d9-a9f6-439a-9e8d-f62e7b41a168", // Role Based Access Control Administrator
	"0f2ebee7-ffd4-4fc0-b3b7-664099fdad5d", // DNS Resolver Contributor
	"eeaeda52-9324-47f6-8069-5d5bade478b2", // Domain Services Contributor
	"361898ef-9ed1-48c2-849c-a832951106bb", // Domain Services Reader
	"7f951dda-4ed3-4680-a7ca-43fe172d538d", // AcrPull
	"8311e382-0749-4cb8-b61a-304f252e45ec", // AcrPush
	"ba92f5b4-2d11-453d-a403-e96b0029c9fe", // Storage Blob Data Contributor
	"2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", // Storage Blob Data Reader
	"b7e6dc6d-f1e8-4753-8033-0f276bb0955b", // Storage Blob Data Owner
	"17d1049b-9a84-46fb-8f53-869881c3d3ab", // Storage Account Contributor
	"4633458b-17de-408a-b874-0445c86b69e6", // Key Vault Secrets User
	"b86a8fe4-44ce-4948-aee5-eccb2c155cd7", // Key Vault Secrets Officer
	"00482a5a-887f-4fb3-b363-3b7fe8e74483", // Key Vault Administrator
	"12338af0-0e69-4776-bea7-57ae8d297424", // Key Vault Crypto User
	"a4417e6f-fecd-4de8-b567-7b0420556985", // Key Vault Certificates Officer
	"f1a07417-d97a-45cb-824c-7a7467783830", // Managed Identity Operator
	"e40ec5ca-96e0-45a2-b4ff-59039f2c2b59", // Managed Identity Contributor
	"9980e02c-c2be-4d73-94e8-173b1dc7cf3c", // Virtual Machine Contributor
	"3913510d-42f4-4e42-8a64-420c390055eb", // Monitoring Metrics Publisher
	"43d0d8ad-25c7-4714-9337-8ba259a9fe05", // Monitoring Reader
	"749f88d5-cbae-40b8-bcfc-e573ddc772fa", // Monitoring Contributor
	"92aaf0da-9dab-42b6-94a3-d43ce8d16293", // Log Analytics Contributor
	"73c42c96-874c-492b-b04d-ab87d138a893", // Log Analytics Reader
	"4abbcc35-e782-43d8-92c5-2d3f1bd2253f", // Azure Kubernetes Service Cluster User Role
	"b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b", // Azure Kubernetes Service RBAC Cluster Admin
	"39bc4728-0917-49c7-9d2c-d95423bc2eb4", // Security Reader
	"fb1c8493-542b-48eb-b624-b4c8fea62acd", // Security Admin
}

// azureFamilies are how the names of built-in roles of services begin that have nothing to do with DNS. There are some
// hundreds of them; a role of the customer's own may be named like one, and is then taken for one.
var azureFamilies = []string{
	"acr", "api management", "app configuration", "app service", "application insights", "automation", "avere", "azure ai", "azure arc", "azure container", "azure digital",
	"azure event hubs", "azure kubernetes", "azure maps", "azure relay", "azure service bus", "azure spring", "azureml", "backup", "batch", "billing", "blueprint", "cdn", "cognitive",
	"container", "cosmos", "cost management", "data box", "data factory", "data lake", "data purger", "defender", "desktop virtualization", "devtest", "disk", "elastic san", "event", "eventgrid",
	"grafana", "hdinsight", "key vault", "kubernetes", "load test", "log analytics", "logic app", "managed identity", "managed hsm", "microsoft sentinel", "monitoring", "new relic", "playfab",
	"quota", "reader and data access", "redis", "resource policy", "role based access control", "scheduler", "schema registry", "search", "security", "service bus", "signalr", "site recovery",
	"sql", "storage", "support request", "tag contributor", "template spec", "traffic manager", "user access", "virtual machine", "web plan", "website", "workbook", "domain services",
}

// azureRoleOf finds out what a role allows. ok is false for one that cannot write TXT records.
func azureRoleOf(st *State, r *Side, id, name string) (role azureRole, ok bool) {
	full, _, _ := strings.Cut(id, "|") // azurerm's own ids of definitions have the scope after a bar
	guid := lower(full[strings.LastIndex(full, "/")+1:])
	if role, ok = azureWriters[guid]; ok {
		return role, true
	}
	if slices.Contains(azureOthers, guid) {
		return role, false
	}
	if d := azureDefinition(st, r, id, guid, name); d != nil {
		role = azureDefined(d)
		role.by = d
		return role, role.rights&(RightWrite|RightDelete) != 0
	}
	for _, w := range azureWriters {
		if alike(w.name, name) {
			return w, true
		}
	}
	if azureHarmless(name) {
		return role, false
	}
	if name == "" {
		name = "the role " + orElse(guid, "that the plan does not know yet")
	}
	return azureRole{name: name, rights: RightAll, broad: true, public: true, private: true, custom: true}, true
}

// azureHarmless reports whether a name is that of a built-in role that cannot write records. One that speaks of what renewal
// does is never taken for harmless by the beginning of its name.
func azureHarmless(name string) bool {
	n := lower(name)
	switch {
	case n == "reader", strings.HasSuffix(n, " reader"), n == "dns resolver contributor", n == "key vault certificates officer", n == "key vault certificate user":
		return true
	case strings.Contains(n, "dns"), strings.Contains(n, "txt"), strings.Contains(n, "certificate"), strings.Contains(n, "encrypt"), renewerLike(n):
		return false
	}
	return slices.ContainsFunc(azureFamilies, func(f string) bool { return strings.HasPrefix(n, f) })
}

// azureDefinition finds a role definition of the same side of the plan, by id, by name, or by what an assignment refers to.
func azureDefinition(st *State, r *Side, id, guid, name string) *Side {
	for _, d := range st.Of("azurerm_role_definition") {
		full := d.Text("role_definition_resource_id")
		switch {
		case guid != "" && alike(d.Text("role_definition_id"), guid),
			guid != "" && alike(full[strings.LastIndex(full, "/")+1:], guid),
			id != "" && alike(d.Text("id"), id),
			id == "" && name != "" && alike(d.Text("name"), name):
			return d
		}
	}
	for _, d := range st.Of("azapi_resource") {
		if azapiType(d) != "microsoft.authorization/roledefinitions" {
			continue
		}
		v, _ := body(d, "properties", "roleName")
		if guid != "" && alike(d.Text("name"), guid) || id == "" && name != "" && alike(text(v), name) {
			return d
		}
	}
	if id != "" || name != "" {
		return nil
	}
	if d := azureRefer(st, r, "role_definition_id", "azurerm_role_definition"); d != nil {
		return d
	}
	return azureRefer(st, r, "role_definition_name", "azurerm_role_definition")
}

// azureDefined evaluates a role definition: what its actions allow, less what its notActions take out again, block by
// block (learn.microsoft.com, "Understand Azure role definitions").
func azureDefined(d *Side) azureRole {
	role := azureRole{name: d.Text("name")}
	blocks := d.Len("permissions")
	get := func(i int, what string) []string { return d.Texts("permissions", i, what) }
	if azapiType(d) != "" {
		v, _ := body(d, "properties", "roleName")
		role.name = orElse(text(v), role.name)
		p, _ := body(d, "properties", "permissions")
		list, _ := p.([]any)
		blocks = len(list)
		get = func(i int, what string) []string {
			m, _ := list[i].(map[string]any)
			if what == "not_actions" {
				what = "notActions"
			}
			return texts(m[what])
		}
	}
	for i := range blocks {
		role.allow(get(i, "actions"), get(i, "not_actions"))
	}
	return role
}

// allow adds what one block of permissions allows.
func (role *azureRole) allow(actions, not []string) {
	for _, zone := range []string{"dnszones", "privatednszones"} {
		for _, a := range []struct {
			verb  string
			right Right
		}{{"write", RightWrite}, {"delete", RightDelete}, {"read", RightRead}} {
			action := "microsoft.network/" + zone + "/txt/" + a.verb
			by := slices.IndexFunc(actions, func(p string) bool { return azureMatch(p, action) })
			if by < 0 || slices.ContainsFunc(not, func(p string) bool { return azureMatch(p, action) }) {
				continue
			}
			role.rights |= a.right
			if a.right == RightRead {
				continue
			}
			role.broad = role.broad || !strings.Contains(lower(actions[by]), "dnszones")
			role.public = role.public || zone == "dnszones"
			role.private = role.private || zone == "privatednszones"
		}
	}
}

// azureMatch reports whether a pattern of a role's actions, in which * stands for anything, names an action in lower case.
func azureMatch(pattern, action string) bool {
	parts := strings.Split(lower(pattern), "*")
	if len(parts) == 1 {
		return parts[0] == action
	}
	rest, ok := strings.CutPrefix(action, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
