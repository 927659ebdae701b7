package iac

import (
	"strings"
)

// azureLevel is how high in Azure's hierarchy a scope stands.
type azureLevel int

// The levels, from the top.
const (
	azureRoot azureLevel = iota
	azureManagement
	azureSubscription
	azureResources // a resource group
	azureZoneLevel // a DNS zone, public or private
	azureRecordSet
	azureElsewhere // a resource that holds no DNS zone
)

// azureAt takes a scope's id apart: its level, and its name for people.
func azureAt(id string) (azureLevel, string) {
	p := strings.FieldsFunc(id, func(r rune) bool { return r == '/' })
	is := func(i int, s string) bool { return i < len(p) && alike(p[i], s) }
	switch {
	case len(p) == 0:
		return azureRoot, "everything"
	case is(0, "providers") && is(1, "Microsoft.Management"):
		return azureManagement, "the management group " + p[len(p)-1]
	case !is(0, "subscriptions") || len(p) < 2:
		return azureElsewhere, id
	case len(p) == 2:
		return azureSubscription, "the subscription " + p[1]
	case is(2, "resourceGroups") && len(p) == 4:
		return azureResources, "the resource group " + p[3]
	case len(p) >= 8 && is(4, "providers") && is(5, "Microsoft.Network") && (is(6, "dnsZones") || is(6, "privateDnsZones")):
		private := ""
		if is(6, "privateDnsZones") {
			private = "private "
		}
		if len(p) == 8 {
			return azureZoneLevel, "the " + private + "zone " + p[7]
		}
		if len(p) >= 10 {
			name := p[9] + "." + p[7]
			if p[9] == "@" {
				name = p[7]
			}
			return azureRecordSet, "the record set " + name
		}
	}
	return azureElsewhere, id
}

// azureZoneAt is a DNS zone that one side of a plan shows, by itself or by what lies in it.
type azureZoneAt struct {
	path    Path
	name    string
	private bool
	// itself: the plan holds the zone as a resource.
	itself bool
}

// azureZones lists the DNS zones that a side of a plan shows: zones, records in them, and scopes of assignments.
func azureZones(st *State) []azureZoneAt {
	return once(st, "azure zones", func() (out []azureZoneAt) {
		at := map[string]int{}
		add := func(id string, itself bool) {
			p := PathOf(id)
			if len(p) < 8 || p[4] != "providers" || p[5] != "microsoft.network" || p[6] != "dnszones" && p[6] != "privatednszones" {
				return
			}
			p = p[:8:8]
			key := p.String()
			if i, ok := at[key]; ok {
				out[i].itself = out[i].itself || itself
				return
			}
			at[key] = len(out)
			out = append(out, azureZoneAt{path: p, name: p[7], private: p[6] == "privatednszones", itself: itself})
		}
		for _, kind := range []string{"azurerm_dns_zone", "azurerm_private_dns_zone"} {
			for _, r := range st.Of(kind) {
				add(id(r), true)
			}
		}
		for _, r := range st.Of("azapi_resource") {
			switch azapiType(r) {
			case "microsoft.network/dnszones", "microsoft.network/privatednszones":
				add(id(r), true)
			case "microsoft.authorization/roleassignments", "microsoft.authorization/locks":
				add(r.Text("parent_id"), false)
			}
		}
		for _, kind := range []string{"azurerm_dns_ns_record", "azurerm_dns_caa_record", "azurerm_dns_cname_record", "azurerm_dns_txt_record"} {
			for _, r := range st.Of(kind) {
				add(id(r), false)
			}
		}
		for _, kind := range []string{"azurerm_role_assignment", "azurerm_pim_active_role_assignment", "azurerm_management_lock"} {
			for _, r := range st.Of(kind) {
				add(r.Text("scope"), false)
			}
		}
		return out
	})
}

// azureHolds reports whether a plan shows a DNS zone within a scope that an authority may look into. Private zones of
// Azure's own services do not count.
func azureHolds(st *State, scope Path) bool {
	above := once(st, "azure places with zones", func() map[string]bool {
		out := map[string]bool{}
		for _, z := range azureZones(st) {
			for n := 0; n <= len(z.path) && !azureService(z.name); n++ {
				out[z.path[:n].String()] = true
			}
		}
		return out
	})
	return above[lower(scope.String())]
}

// azureService reports whether a private zone belongs to one of Azure's own services, where nothing is validated.
func azureService(zone string) bool {
	zone = fqdn(zone)
	return strings.HasPrefix(zone, "privatelink.") || strings.Contains(zone, ".privatelink.") || strings.HasSuffix(zone, ".azmk8s.io")
}

// azureScope is the scope of a grant or a lock, as far as the plan knows it.
type azureScope struct {
	id      string
	path    Path
	level   azureLevel
	place   string
	unknown bool // and may be a zone or above
}

// azureScopeOf reads the scope from an attribute (azurerm's "scope", azapi's "parent_id").
func azureScopeOf(st *State, r *Side, attribute string) azureScope {
	s := r.Text(attribute)
	if s == "" && r.Text("scope") == "" {
		for _, a := range []string{"management_group_id", "subscription_id", "resource_group_id", "resource_id"} { // policy assignments
			if v := r.Text(a); v != "" {
				s = v
			}
		}
	}
	if s != "" {
		level, place := azureAt(s)
		return azureScope{id: s, path: PathOf(s), level: level, place: place}
	}
	if r.Known(attribute) {
		return azureScope{level: azureElsewhere}
	}
	// Unknown: the thing itself is made in this plan, or read by a data source that waits for it.
	if z := azureRefer(st, r, attribute, "azurerm_dns_zone", "azurerm_private_dns_zone"); z != nil {
		if before := z.Change.Before; before != nil {
			if s := text(before["id"]); s != "" && z.Text("name") == text(before["name"]) && z.Text("resource_group_name") == text(before["resource_group_name"]) {
				level, place := azureAt(s) // ids are made of names: made anew it has the same
				return azureScope{id: s, path: PathOf(s), level: level, place: place}
			}
		}
		return azureScope{path: Path{"new", lower(z.Address())}, level: azureZoneLevel, place: "the new zone " + z.Text("name")}
	}
	refs := r.Change.Refers[attribute]
	for _, ref := range refs {
		for _, may := range []string{"azurerm_dns_zone", "azurerm_private_dns_zone", "azurerm_resource_group", "azurerm_subscription", "azurerm_management_group", "azapi_resource", "azurerm_dns_txt_record", "data.", "var.", "local.", "module.", "each.", "count."} {
			if strings.HasPrefix(ref, may) {
				return azureScope{level: azureResources, unknown: true}
			}
		}
	}
	if len(refs) == 0 {
		return azureScope{level: azureResources, unknown: true}
	}
	return azureScope{level: azureElsewhere} // a new resource of another kind
}
