package iac

import "strings"

// googleZone reads a public zone of Cloud DNS. Google gives a zone that is made again another set of name servers.
func googleZone(st *State, r *Side) []Tie {
	name := strings.ToLower(strings.TrimSuffix(r.Text("dns_name"), "."))
	if r.Text("visibility") == "private" || name == "" && r.Known("dns_name") {
		return nil
	}
	t := Tie{
		Kind: KindZone, Principal: name, Who: "the zone " + name, Scope: st.zonePath(r.Text("project"), r.Text("name")),
		At: "zone " + r.Text("name") + " of project " + r.Text("project"), Place: "the zone " + name, ID: r.Text("id"),
		Stale: "it gets other name servers than those that its parent names",
	}
	if !r.Known("dns_name") {
		t.Unknown = append(t.Unknown, PartPrincipal)
	}
	if !r.Known("project") || !r.Known("name") {
		t.Unknown = append(t.Unknown, PartScope)
	}
	if !st.written(t.Scope) {
		t.Doubt = "the plan does not show anybody who writes challenge records in it"
	}
	out := []Tie{t}
	if r.stays() && r.Text("dnssec_config", "state") == "on" {
		out = append(out, Tie{
			// The right keeps the zone itself, which has none, from standing in for it.
			Kind: KindZone, Principal: name, Rights: RightRead, Who: "DNSSEC of the zone " + name, Scope: append(t.Scope[:len(t.Scope):len(t.Scope)], "dnssec"), At: t.At, Place: t.Place,
			Doubt:  "as long as its parent has a DS record for it, every resolver that validates refuses the zone, and with it its challenges",
			Repair: "Take the DS record out of the parent zone, wait until nobody remembers it (its TTL), and only then switch DNSSEC off.",
		})
	}
	return out
}

// googleProject reads a project: with it go its zones, its accounts and what they hold.
func googleProject(st *State, r *Side) []Tie {
	id := strings.ToLower(r.Text("project_id"))
	if id == "" || r.Change.Destroys() && strings.EqualFold(r.Text("deletion_policy"), "ABANDON") {
		return nil
	}
	t := Tie{
		Kind: KindSolver, Principal: "project " + id, Who: "the project " + id, Also: st.writersOf("@" + id + ".iam."), Scope: st.projectPath(id), At: "project " + id, ID: r.Text("id"),
		Effect: "its zones, its service accounts and what they may do go with it", Stale: "nothing of what was in it is in the new one",
	}
	if !st.zoneWithin(t.Scope) && !st.writesWithin(t.Scope) && len(t.Also) == 0 {
		t.Doubt = "neither a zone nor an account that renews is in the plan for this project"
	}
	return []Tie{t}
}

// googleService reads whether the interface of Cloud DNS is switched on in a project. To destroy it does nothing when it
// says so itself.
func googleService(st *State, r *Side) []Tie {
	if r.Text("service") != "dns.googleapis.com" || r.Text("disable_on_destroy") == "false" && !st.After && r.Change.Destroys() {
		return nil
	}
	project := r.Text("project")
	t := Tie{
		Kind: KindSolver, Principal: "dns.googleapis.com", Who: "the interface of Cloud DNS", Scope: append(st.projectPath(project), "dns"),
		At: "project " + project, ID: r.Text("id"), Effect: "nobody can change a record of project " + project + " while it is switched off",
		Repair: "Set disable_on_destroy = false, apply that, and take the resource away afterwards.",
	}
	if at := st.projectPath(project); !st.zoneWithin(at) && !st.writesWithin(at) {
		t.Doubt = "neither a zone nor anybody who writes to one is in the plan for this project"
	}
	if !r.Known("project") {
		t.Unknown = []Part{PartScope}
	}
	return []Tie{t}
}

// googleRecord reads a record set.
func googleRecord(st *State, r *Side) []Tie {
	return recordTies(st, googleRecordOf(st, r), googleRecords)
}

func googleRecordOf(st *State, r *Side) dnsRecord {
	rec := dnsRecord{name: r.Text("name"), kind: r.Text("type"), values: r.Texts("rrdatas"), known: r.Known("rrdatas")}
	for _, side := range st.sides() {
		if z := side.Find("name", last(r.Text("managed_zone")), "google_dns_managed_zone"); z != nil {
			rec.zone = z.Text("dns_name")
			break
		}
	}
	return rec
}

func googleRecords(st *State) []dnsRecord {
	return once(st, "google records", func() []dnsRecord {
		var out []dnsRecord
		for _, r := range st.Of("google_dns_record_set") {
			if k := r.Text("type"); k == "NS" || k == "CAA" || k == "CNAME" {
				out = append(out, googleRecordOf(st, r))
			}
		}
		return out
	})
}
