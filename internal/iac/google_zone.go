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
		Kind: KindZone, Principal: "dns.googleapis.com", Who: "the interface of Cloud DNS", Scope: append(st.projectPath(project), "dns"),
		At: "project " + project, ID: r.Text("id"), Effect: "nobody can change a record of project " + project + " while it is switched off",
		Repair: "Set disable_on_destroy = false, apply that, and take the resource away afterwards.",
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
