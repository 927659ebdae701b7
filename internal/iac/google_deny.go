package iac

import (
	"net/url"
	"slices"
	"strings"
)

// everybody is how a deny policy of Google's names all principals there are.
const everybody = "principalset://goog/public:all"

// googleDeny reads a deny policy, which no grant can overrule (Google's page on deny policies). Permissions have the name
// of the service's host before them: "dns.googleapis.com/changes.create".
func googleDeny(st *State, r *Side) []Tie {
	place := st.denied(r)
	var out []Tie
	for i := range min(r.Len("rules"), maxBindings) {
		rights := denies(r.Texts("rules", i, "deny_rule", "denied_permissions"), r.Texts("rules", i, "deny_rule", "exception_permissions"))
		if rights == 0 {
			continue
		}
		spared := accounts(r.Texts("rules", i, "deny_rule", "exception_principals"))
		for _, p := range r.Texts("rules", i, "deny_rule", "denied_principals") {
			t := Tie{
				Kind: KindBlock, Rights: rights, Permission: "a deny policy", Scope: place.path, At: place.at, ID: r.Text("id"),
				Condition: expression(r.Text("rules", i, "deny_rule", "denial_condition", "expression")), Effect: "nobody whom it names may change records there, whatever they are granted",
				Repair: "Name the account that renews among the exception_principals of " + r.Change.Address + ".",
			}
			if strings.ToLower(p) != everybody {
				t.Principal = accounts([]string{p})[0]
			}
			switch {
			case t.Principal != "" && slices.Contains(spared, t.Principal) || st.allSpared(spared):
				continue
			case len(spared) > 0:
				t.Doubt = "whether whoever renews is among those whom it spares is not in the plan"
			case t.Condition != "":
				t.Doubt = "whether its condition holds for who renews is not in the plan"
			}
			if !r.Known("rules") {
				t.Unknown = append(t.Unknown, PartPrincipal)
			}
			if !place.known {
				t.Unknown = append(t.Unknown, PartScope)
			}
			out = append(out, t)
		}
	}
	return out
}

// denied is the place that a deny policy is attached to: "cloudresourcemanager.googleapis.com%2Fprojects%2Fshop".
func (s *State) denied(r *Side) googlePlace {
	parent, err := url.PathUnescape(r.Text("parent"))
	if err != nil || parent == "" {
		return googlePlace{}
	}
	id := last(parent)
	switch {
	case strings.Contains(parent, "/projects/"):
		return googlePlace{s.projectPath(id), "project " + id, true}
	case strings.Contains(parent, "/folders/"):
		return googlePlace{s.folderPath(id, 0), "folder " + id, true}
	}
	return googlePlace{Path{"organizations", id}, "organization " + id, true}
}

// denies are the rights that a list of permissions takes away, without its exceptions.
func denies(permissions, exceptions []string) Right {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			match := func(p string) bool {
				p = strings.TrimPrefix(p, "dns.googleapis.com/")
				return p == n || p == "*" || strings.TrimSuffix(p, ".*") == n[:strings.Index(n, ".")]
			}
			return slices.ContainsFunc(permissions, match) && !slices.ContainsFunc(exceptions, match)
		})
	}
	var out Right
	if has("changes.create", "resourceRecordSets.create", "resourceRecordSets.update") {
		out |= RightWrite
	}
	if has("changes.create", "resourceRecordSets.delete") {
		out |= RightDelete
	}
	if has("resourceRecordSets.list", "changes.get", "managedZones.list") {
		out |= RightRead
	}
	return out
}

// accounts are principals in the form in which grants name them: a service account by its address.
func accounts(list []string) []string {
	out := make([]string, 0, len(list))
	for _, p := range list {
		if i := strings.Index(p, "/serviceAccounts/"); i >= 0 {
			p = strings.ToLower(p[i+len("/serviceAccounts/"):])
		}
		out = append(out, p)
	}
	return out
}

// allSpared reports whether everybody whom the plan lets write is spared, if it lets anybody.
func (s *State) allSpared(spared []string) bool {
	writers := s.writersOf("")
	return len(writers) > 0 && !slices.ContainsFunc(writers, func(w string) bool { return !slices.Contains(spared, w) })
}
