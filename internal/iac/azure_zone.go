package iac

import (
	"strings"
)

// azureZone reads a DNS zone.
func azureZone(st *State, r *Side) []Tie {
	name := r.Text("name")
	if name == "" {
		return nil
	}
	private := strings.Contains(r.Change.Type, "private") || strings.Contains(azapiType(r), "private")
	full := id(r)
	if full == "" && r.Change.Before != nil && text(r.Change.Before["name"]) == name &&
		text(r.Change.Before["resource_group_name"]) == r.Text("resource_group_name") && text(r.Change.Before["parent_id"]) == r.Text("parent_id") {
		full = text(r.Change.Before["id"]) // ids are made of names
	}
	path := PathOf(full)
	if full == "" {
		path = Path{"new", lower(r.Address())}
	}
	_, place := azureAt(full)
	t := Tie{
		Kind: KindZone, Principal: fqdn(name), Who: "the zone " + name, Scope: path, At: orElse(full, name), Place: place, ID: full,
		Stale:  "it gets other name servers, which the zone above does not name",
		Effect: "nobody can write challenge records in it, and no authority can look them up",
	}
	if private {
		t.Who, t.Stale = "the private zone "+name, ""
	}
	used := false
	for n := range len(path) + 1 {
		used = used || azureScopes(st)[path[:n].key()]
	}
	switch {
	case private && (azureService(name) || !used):
		t.Idle = true
	case private:
		t.Doubt = "the zone is private, and only an authority of your own can look into it"
	case !used:
		t.Doubt = "the plan does not show anybody who writes challenge records in it"
	}
	return []Tie{t}
}

// azureScopes are the places that somebody may write to who is made for DNS.
func azureScopes(st *State) map[string]bool {
	return once(st, "azure scopes", func() map[string]bool {
		out := map[string]bool{}
		for _, g := range azureGrants(st) {
			if !g.Idle && !azureBroad(g.Permission) {
				out[g.Scope.key()] = true
			}
		}
		return out
	})
}

// azureBroad reports whether a role of this name is made for more than DNS.
func azureBroad(name string) bool {
	for _, w := range azureWriters {
		if w.broad && alike(w.name, name) {
			return true
		}
	}
	return false
}

// azureGroupOfResources reads a resource group that holds zones which the plan knows and does not manage: they go with it.
func azureGroupOfResources(st *State, r *Side) (out []Tie) {
	full := id(r)
	if full == "" {
		return nil
	}
	path := PathOf(full)
	found := false
	for _, z := range azureZones(st) {
		if !path.Covers(z.path) || azureService(z.name) {
			continue
		}
		found = true
		if z.itself {
			continue // that its zone goes is said by the zone
		}
		out = append(out, Tie{
			Kind: KindZone, Principal: z.name, Who: "the zone " + z.name, Scope: z.path, At: full, Place: "the resource group " + r.Text("name"), Condition: "in its resource group",
			Stale:  "its resource group " + r.Text("name") + " goes, and the zone with it",
			Effect: "nobody can write challenge records in it, and no authority can look them up",
		})
	}
	if !found {
		// It may hold zones that only an inventory knows.
		out = append(out, Tie{Kind: KindZone, Principal: "resource group " + r.Text("name"), Who: "the resource group " + r.Text("name"), Scope: path, At: full, ID: full, Idle: true, Effect: "the zones in it go with it"})
	}
	return out
}

// azureRecord reads a record set of a public zone.
func azureRecord(st *State, r *Side) []Tie {
	record := azureRecordSetOf(r)
	record.fresh = azureFresh(st, record.zone)
	ties := recordTies(st, record, azureRecords)
	for i := range ties {
		ties[i].ID = id(r)
	}
	return ties
}

// azureFresh reports whether a plan makes a zone that was not there before.
func azureFresh(st *State, zone string) bool {
	if !st.After || st.other == nil {
		return false
	}
	z := azureFind(st, "name", zone, "azurerm_dns_zone")
	return z != nil && z.Change.Do == Create && azureFind(st.other, "name", zone, "azurerm_dns_zone") == nil
}

// azureRecords are the record sets of one side that may stand in the way of a challenge.
func azureRecords(st *State) []dnsRecord {
	return once(st, "azure records", func() (out []dnsRecord) {
		for _, kind := range []string{"azurerm_dns_ns_record", "azurerm_dns_caa_record", "azurerm_dns_cname_record", "azurerm_dns_txt_record"} {
			for _, r := range st.Of(kind) {
				out = append(out, azureRecordSetOf(r))
			}
		}
		return out
	})
}

func azureRecordSetOf(r *Side) dnsRecord {
	zone := r.Text("zone_name")
	if z := r.Text("dns_zone_id"); zone == "" && z != "" {
		zone = z[strings.LastIndex(z, "/")+1:]
	}
	name := r.Text("name")
	switch {
	case name == "@" || name == "":
		name = zone
	case zone != "":
		name += "." + zone
	}
	d := dnsRecord{name: name, zone: zone, known: r.Known("record") && r.Known("records")}
	switch r.Change.Type {
	case "azurerm_dns_ns_record":
		d.kind, d.values = "NS", r.Texts("records")
	case "azurerm_dns_cname_record":
		d.kind = "CNAME"
		d.values = nonEmpty(orElse(r.Text("record"), r.Text("target_resource_id")))
		d.known = d.known && r.Known("target_resource_id")
	case "azurerm_dns_caa_record":
		d.kind = "CAA"
		for i := range r.Len("record") {
			d.values = append(d.values, orElse(r.Text("record", i, "flags"), "0")+" "+r.Text("record", i, "tag")+" "+quote(r.Text("record", i, "value")))
		}
	case "azurerm_dns_txt_record":
		d.kind = "TXT"
		for i := range r.Len("record") {
			d.values = append(d.values, r.Text("record", i, "value"))
		}
	}
	return d
}
