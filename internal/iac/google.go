package iac

import (
	"slices"
	"strings"
)

// googleReaders read what renewal through Cloud DNS rests on. Names and behaviour of the resources: the documentation of
// terraform-provider-google (website/docs/r).
var googleReaders = map[string]reader{
	"google_project_iam_member":                  googleGrants,
	"google_project_iam_binding":                 googleGrants,
	"google_project_iam_policy":                  googleGrants,
	"google_folder_iam_member":                   googleGrants,
	"google_folder_iam_binding":                  googleGrants,
	"google_folder_iam_policy":                   googleGrants,
	"google_organization_iam_member":             googleGrants,
	"google_organization_iam_binding":            googleGrants,
	"google_organization_iam_policy":             googleGrants,
	"google_dns_managed_zone_iam_member":         googleGrants,
	"google_dns_managed_zone_iam_binding":        googleGrants,
	"google_dns_managed_zone_iam_policy":         googleGrants,
	"google_service_account_iam_member":          googleTrusts,
	"google_service_account_iam_binding":         googleTrusts,
	"google_service_account_iam_policy":          googleTrusts,
	"google_service_account":                     googleAccount,
	"google_service_account_key":                 googleKey,
	"google_iam_workload_identity_pool":          googlePool,
	"google_iam_workload_identity_pool_provider": googlePool,
	"google_container_cluster":                   googleCluster,
	"google_container_node_pool":                 googleNodes,
	"google_project_service":                     googleService,
	"google_dns_managed_zone":                    googleZone,
	"google_dns_record_set":                      googleRecord,
	"google_project_iam_custom_role":             nothing, // read where a grant names it
	"google_organization_iam_custom_role":        nothing,
	"google_project":                             googleProject,
	"google_iam_deny_policy":                     googleDeny,
	"google_folder":                              nothing,
	"google_secret_manager_secret_version":       nothing, // may carry a credential to whoever renews
}

// sides are both sides of a plan, this one first.
func (s *State) sides() []*State {
	if s.other == nil {
		return []*State{s}
	}
	return []*State{s, s.other}
}

// googlePlace is where a resource of Google's holds, from the top as far as the plan knows it.
type googlePlace struct {
	path  Path
	at    string
	known bool
}

// place reads the scope of an IAM resource from its attributes.
func (s *State) place(r *Side) googlePlace {
	of := func(attribute string) (string, bool) {
		return last(r.Text(attribute)), r.Known(attribute) && r.Text(attribute) != ""
	}
	switch kind := r.Change.Type; {
	case strings.HasPrefix(kind, "google_organization_"):
		org, known := of("org_id")
		return googlePlace{Path{"organizations", org}, "organization " + org, known}
	case strings.HasPrefix(kind, "google_folder_"):
		folder, known := of("folder")
		return googlePlace{s.folderPath(folder, 0), "folder " + folder, known}
	case strings.HasPrefix(kind, "google_dns_managed_zone_iam_"):
		zone, zoneKnown := of("managed_zone")
		if !zoneKnown {
			if z := s.referred(r, "managed_zone", "google_dns_managed_zone"); z != nil && z.Known("name") {
				zone, zoneKnown = z.Text("name"), true
			}
		}
		project, known := of("project")
		if p, rest, ok := strings.Cut(strings.TrimPrefix(r.Text("managed_zone"), "projects/"), "/"); ok && strings.HasPrefix(rest, "managedZones/") {
			project, known = p, true
		}
		return googlePlace{s.zonePath(project, zone), "zone " + zone + " of project " + project, known && zoneKnown}
	default:
		project, known := of("project")
		return googlePlace{s.projectPath(project), "project " + project, known}
	}
}

func (s *State) zonePath(project, zone string) Path {
	return append(s.projectPath(project), "managedzones", strings.ToLower(zone))
}

// projectPath is where a project lies. A plan that holds the project knows its folder or organization, so that a grant on
// those covers it; else it stands at the top. Both sides of a plan are looked at in the same order, so that a project that
// moves keeps the path that its own grants are compared by.
func (s *State) projectPath(project string) Path {
	project = strings.ToLower(project)
	own := Path{"projects", project}
	for _, st := range s.ordered() {
		if p := st.Find("project_id", project, "google_project"); p != nil {
			if f := last(p.Text("folder_id")); f != "" {
				return append(s.folderPath(f, 0), own...)
			}
			if o := last(p.Text("org_id")); o != "" {
				return append(Path{"organizations", o}, own...)
			}
		}
	}
	return own
}

// folderPath is where a folder lies. Folders nest ten deep at most, which bounds a plan that says they lie in each other.
func (s *State) folderPath(folder string, depth int) Path {
	own := Path{"folders", folder}
	if depth > 10 || folder == "" {
		return own
	}
	for _, st := range s.ordered() {
		f := st.Find("folder_id", folder, "google_folder")
		if f == nil {
			f = st.Find("name", "folders/"+folder, "google_folder")
		}
		if f == nil {
			continue
		}
		parent := f.Text("parent")
		switch {
		case strings.HasPrefix(parent, "organizations/"):
			return append(Path{"organizations", last(parent)}, own...)
		case parent != "":
			return append(s.folderPath(last(parent), depth+1), own...)
		}
	}
	return own
}

// ordered are both sides, the one before first.
func (s *State) ordered() []*State {
	all := s.sides()
	slices.SortStableFunc(all, func(a, b *State) int {
		switch {
		case a.After == b.After:
			return 0
		case b.After:
			return -1
		}
		return 1
	})
	return all
}

// last is what stands behind the last slash of an id.
func last(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// googleEmail is the address of a service account. It is computed by Google, but follows from the account's name and its
// project, which the plan knows; empty when it does not.
func googleEmail(r *Side) string {
	if e := r.Text("email"); e != "" {
		return strings.ToLower(e)
	}
	id, project := r.Text("account_id"), r.Text("project")
	if id == "" || project == "" {
		return ""
	}
	if org, name, ok := strings.Cut(project, ":"); ok { // example.com:project, of a domain
		project = name + "." + org
	}
	return strings.ToLower(id + "@" + project + ".iam.gserviceaccount.com")
}
