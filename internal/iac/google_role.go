package iac

import (
	"slices"
	"strings"
)

// What DNS-01 through Cloud DNS needs (cert-manager's page on Google Cloud DNS; cert-manager's clouddns.go creates a change,
// looks for what is there, waits for the change, and lists zones unless it is told the zone).
var (
	googleWrite  = []string{"dns.changes.create", "dns.resourceRecordSets.create", "dns.resourceRecordSets.update"}
	googleDelete = []string{"dns.changes.create", "dns.resourceRecordSets.delete"}
	googleRead   = []string{"dns.resourceRecordSets.list", "dns.changes.get", "dns.managedZones.list"}
)

// rights are what a role allows of it. A custom role that the plan does not hold leaves a doubt.
func (s *State) rights(role string) (Right, string) {
	switch role {
	case "roles/dns.admin", "roles/editor", "roles/owner":
		return RightAll, ""
	case "roles/dns.reader", "roles/viewer":
		return RightRead, ""
	}
	if strings.HasPrefix(role, "roles/") {
		return 0, "" // of the built-in roles for people and programs only those can write records
	}
	if c := s.customRole(role); c != nil {
		if c.Text("stage") == "DISABLED" {
			return 0, ""
		}
		if !c.Known("permissions") {
			return RightAll, "what " + role + " allows is known only after the apply"
		}
		return permitted(c), ""
	}
	if s.other != nil && s.After && s.other.customRole(role) != nil {
		return 0, "" // the plan takes the role away, and with it what it allowed
	}
	return RightAll, "what the custom role " + role + " allows is not in the plan"
}

// edited says of a grant before the plan which custom role's change takes it away, or a part of it.
func (s *State) edited(t *Tie, role string) {
	c := s.customRole(role)
	if c == nil || s.After || s.other == nil || c.Change.Do == NoOp {
		return
	}
	if c.Change.Forgets() {
		t.By = c
	}
	switch after, doubt := s.other.rights(role); {
	case doubt != "" || after&t.Rights == t.Rights:
	case after&RightWrite == 0 && c.Change.Destroys():
		t.Permission += ", which goes with " + c.Change.Address + ","
		t.Repair = "Keep " + c.Change.Address + " as long as somebody who renews holds the role."
	case after&RightWrite == 0:
		t.Permission += ", which " + c.Change.Address + " empties,"
		fallthrough
	default:
		t.Repair = "Leave in " + c.Change.Address + " what renewal needs: dns.changes.create and get, dns.resourceRecordSets.create, update, delete and list, and dns.managedZones.list."
	}
}

// customRole is the definition of a role such as "projects/P/roles/R".
func (s *State) customRole(role string) *Side {
	parts := strings.Split(role, "/")
	if len(parts) != 4 || parts[2] != "roles" {
		return nil
	}
	kind, attribute := "google_project_iam_custom_role", "project"
	if parts[0] == "organizations" {
		kind, attribute = "google_organization_iam_custom_role", "org_id"
	}
	for _, c := range s.Of(kind) {
		if s.doomed(c) {
			continue
		}
		if strings.EqualFold(c.Text("role_id"), parts[3]) && (c.Text(attribute) == "" || strings.EqualFold(last(c.Text(attribute)), parts[1])) {
			return c
		}
	}
	return nil
}

// permitted are the rights of a custom role. Which of the permissions somebody who renews needs differs (who is told the
// zone lists none), so a role that was enough before is enough as long as it holds what it held of them.
func permitted(c *Side) Right {
	now := c.Texts("permissions")
	was := now
	if c.After && c.Change.Before != nil {
		was = (&Side{Change: c.Change, Values: c.Change.Before}).Texts("permissions")
	}
	var out Right
	for right, list := range map[Right][]string{RightWrite: googleWrite, RightDelete: googleDelete, RightRead: googleRead} {
		need := list[:1]
		if right != RightRead {
			need = list[:2]
		}
		enough := true
		for _, p := range list {
			if (slices.Contains(need, p) || slices.Contains(was, p)) && !slices.Contains(now, p) {
				enough = false
			}
		}
		if enough {
			out |= right
		}
	}
	return out
}

// writers are those whom this side gives the right to write challenges, by principal, with the places. What is in doubt does not count.
func (s *State) writers() map[string][]Path {
	return once(s, "google writers", func() map[string][]Path {
		out := map[string][]Path{}
		for _, level := range []string{"project", "folder", "organization", "dns_managed_zone"} {
			for _, form := range []string{"member", "binding", "policy"} {
				for _, r := range s.Of("google_" + level + "_iam_" + form) {
					list, _, _ := s.bindings(r)
					for _, b := range list {
						p, _ := googlePrincipal(b.member)
						if p == "" || otherEnds(p) || slices.Contains(b.unknown, PartPrincipal) || slices.Contains(b.unknown, PartRights) {
							continue
						}
						if rights, doubt := s.rights(b.role); doubt == "" && rights&RightWrite != 0 && (b.role == "roles/dns.admin" || !strings.HasPrefix(b.role, "roles/")) {
							out[p] = append(out[p], s.place(r).path)
						}
					}
				}
			}
		}
		return out
	})
}

// writer reports whether the plan gives somebody the right to write challenges, on either side, by a role that is about
// DNS.
func (s *State) writer(principal string) bool {
	for _, st := range s.sides() {
		if len(st.writers()[principal]) > 0 {
			return principal != ""
		}
	}
	return false
}

// writersOf are the principals of writers on both sides that have a text in them, in order.
func (s *State) writersOf(text string) (out []string) {
	for _, st := range s.sides() {
		for p := range st.writers() {
			if strings.Contains(p, text) {
				out = append(out, p)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// writesWithin reports whether somebody holds the right to write in a place, by a grant within it.
func (s *State) writesWithin(place Path) bool {
	for _, st := range s.sides() {
		for _, paths := range st.writers() {
			for _, p := range paths {
				if place.Covers(p) {
					return true
				}
			}
		}
	}
	return false
}

// vague reports whether an account keeps a role of which the plan does not tell whether it can write.
func (s *State) vague(principal string) bool {
	before := s.ordered()[0]
	return once(before, "google vague", func() map[string]bool {
		out := map[string]bool{}
		for _, level := range []string{"project", "folder", "organization", "dns_managed_zone"} {
			for _, form := range []string{"member", "binding"} {
				for _, r := range before.Of("google_" + level + "_iam_" + form) {
					if r.Change.Destroys() {
						continue
					}
					list, _, _ := before.bindings(r)
					for _, b := range list {
						if p, _ := googlePrincipal(b.member); p != "" && !strings.HasPrefix(b.role, "roles/") && b.role != "" {
							if _, doubt := before.rights(b.role); doubt != "" {
								out[p] = true
							}
						}
					}
				}
			}
		}
		return out
	})[principal]
}

// writesZone reports whether somebody may write to a zone within a place, by a grant on the zone itself.
func (s *State) writesZone(principal string, within Path) bool {
	for _, st := range s.sides() {
		for _, p := range st.writers()[principal] {
			if len(p) > 1 && p[len(p)-2] == "managedzones" && within.Covers(p) {
				return principal != ""
			}
		}
	}
	return false
}

// written reports whether somebody holds the right to write to a zone, on either side.
func (s *State) written(zone Path) bool {
	for _, st := range s.sides() {
		for _, paths := range st.writers() {
			for _, p := range paths {
				if p.Covers(zone) {
					return true
				}
			}
		}
	}
	return false
}

// zoneWithin reports whether a plan holds a public zone in a place, on either side.
func (s *State) zoneWithin(p Path) bool {
	for _, st := range s.sides() {
		for _, z := range once(st, "google zones", st.publicZones) {
			if p.Covers(z) {
				return true
			}
		}
	}
	return false
}

func (s *State) publicZones() []Path {
	var out []Path
	for _, z := range s.Of("google_dns_managed_zone") {
		if z.Text("visibility") != "private" {
			out = append(out, s.zonePath(z.Text("project"), z.Text("name")))
		}
	}
	return out
}
