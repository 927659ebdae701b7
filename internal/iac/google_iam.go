package iac

import (
	"encoding/json"
	"slices"
	"strings"
)

// binding is one member of one role, as a resource has it.
type binding struct {
	role, member, condition string
	unknown                 []Part
}

// same reports whether the cloud keeps one object for both.
func (b binding) same(c binding) bool {
	return strings.EqualFold(b.role, c.role) && strings.EqualFold(b.member, c.member) && b.condition == c.condition
}

// maxBindings bounds what is read of one policy; Google's own limit is 1,500 members (Quotas and limits, IAM).
const maxBindings = 5000

// policy is a policy in JSON, as data.google_iam_policy writes it.
type policy struct {
	Bindings []struct {
		Role      string   `json:"role"`
		Members   []string `json:"members"`
		Condition *struct {
			Expression string `json:"expression"`
		} `json:"condition"`
	} `json:"bindings"`
}

// bindings reads what an IAM resource grants. whole says that it is a policy, which holds every role of its place; all that
// it holds exactly one role of it, with all members. A member resource is neither.
func (s *State) bindings(r *Side) (list []binding, all, whole bool) {
	switch kind := r.Change.Type; {
	case strings.HasSuffix(kind, "_iam_policy"):
		return s.policyBindings(r), true, true
	case strings.HasSuffix(kind, "_iam_binding"):
		b := s.role(r)
		members := r.Texts("members")
		for _, m := range members {
			b.member = m
			list = append(list, b)
		}
		if !r.Known("members") {
			// One that refers to one account names it; of more nobody knows how many they are.
			if b.member = s.referredMember(r, "members"); b.member == "" || len(members) > 0 {
				b.member, b.unknown = "", append(slices.Clone(b.unknown), PartPrincipal)
			}
			list = append(list, b)
		}
		return list, true, false
	default:
		b := s.role(r)
		b.member = r.Text("member")
		if !r.Known("member") {
			if b.member = s.referredMember(r, "member"); b.member == "" {
				b.unknown = append(b.unknown, PartPrincipal)
			}
		}
		return []binding{b}, false, false
	}
}

// role reads role and condition of a member or a binding.
func (s *State) role(r *Side) binding {
	b := binding{role: r.Text("role")}
	if !r.Known("role") {
		b.role = s.referredRole(r)
		if b.role == "" {
			b.unknown = append(b.unknown, PartRights)
		}
	}
	b.condition = expression(r.Text("condition", "expression"))
	if !r.Known("condition") {
		b.unknown = append(b.unknown, PartCondition)
	}
	return b
}

// permission names a role. One with a condition is another object than the same without: an authoritative binding of the
// one leaves the other alone (google_project_iam's page).
func permission(b binding) string {
	name := b.role
	if b.condition != "" {
		name += " (with a condition)"
	}
	return name
}

// expression is a condition in CEL without what does not matter to it.
func expression(s string) string { return strings.Join(strings.Fields(s), " ") }

func (s *State) policyBindings(r *Side) []binding {
	if !r.Known("policy_data") {
		return []binding{{unknown: []Part{PartPrincipal, PartRights, PartCondition}}}
	}
	var p policy
	if err := json.Unmarshal([]byte(r.Text("policy_data")), &p); err != nil {
		return []binding{{unknown: []Part{PartPrincipal, PartRights, PartCondition}}}
	}
	var list []binding
	for _, g := range p.Bindings {
		b := binding{role: g.Role}
		if g.Condition != nil {
			b.condition = expression(g.Condition.Expression)
		}
		for _, m := range g.Members {
			if len(list) == maxBindings {
				return append(list, binding{unknown: []Part{PartPrincipal, PartRights, PartCondition}})
			}
			b.member = m
			list = append(list, b)
		}
	}
	return list
}

// referredMember is the member that an expression means whose value is not known yet: a service account that the plan
// creates has an address that follows from its name.
func (s *State) referredMember(r *Side, attribute string) string {
	a := s.referred(r, attribute, "google_service_account")
	if a == nil {
		return ""
	}
	if e := googleEmail(a); e != "" {
		return "serviceAccount:" + e
	}
	return ""
}

func (s *State) referredRole(r *Side) string {
	if c := s.referred(r, "role", "google_project_iam_custom_role"); c != nil && c.Text("role_id") != "" && c.Text("project") != "" {
		return "projects/" + c.Text("project") + "/roles/" + c.Text("role_id")
	}
	if c := s.referred(r, "role", "google_organization_iam_custom_role"); c != nil && c.Text("role_id") != "" {
		return "organizations/" + last(c.Text("org_id")) + "/roles/" + c.Text("role_id")
	}
	return ""
}

// googlePrincipal is a member as it is compared, and as people call it. Only who can renew: a service account, a workload,
// or a group that may hold one; the rest gives "".
func googlePrincipal(member string) (principal, who string) {
	kind, rest, _ := strings.Cut(member, ":")
	switch kind {
	case "serviceAccount":
		rest = strings.ToLower(rest)
		if ksa, ok := strings.CutSuffix(rest, "]"); ok {
			if _, name, ok := strings.Cut(ksa, ".svc.id.goog["); ok {
				return rest, "the Kubernetes service account " + name
			}
		}
		return rest, rest
	case "group":
		return strings.ToLower(member), "the group " + rest
	case "principal", "principalSet":
		if i := strings.Index(rest, "/subject/ns/"); i >= 0 {
			return member, "the Kubernetes service account " + strings.Replace(rest[i+len("/subject/ns/"):], "/sa/", "/", 1)
		}
		return member, "the workload " + last(rest)
	}
	return "", ""
}

// agent reports whether a member is an account that Google runs its own services as.
func agent(principal string) bool {
	name, domain, _ := strings.Cut(principal, "@")
	return strings.HasPrefix(name, "service-") && strings.HasPrefix(domain, "gcp-sa-") ||
		strings.HasPrefix(name, "service-") && strings.HasSuffix(domain, "-robot.iam.gserviceaccount.com") ||
		strings.HasPrefix(name, "service-") && strings.HasSuffix(domain, "-system.iam.gserviceaccount.com") ||
		domain == "cloudservices.gserviceaccount.com" || domain == "containerregistry.iam.gserviceaccount.com"
}

// googleGrants reads who may write challenges to Cloud DNS.
func googleGrants(st *State, r *Side) []Tie {
	place := st.place(r)
	list, all, whole := st.bindings(r)
	var out []Tie
	for _, b := range list {
		if acts(b.role) {
			if q, held := st.undoneBy(r, place.path, b); q == nil || !st.After && !held {
				out = append(out, st.widely(r, place, b)...)
			}
			continue
		}
		t, ok := st.grant(r, place, b)
		if !ok {
			continue
		}
		if q, held := st.undoneBy(r, place.path, b); q != nil {
			if st.After || held {
				continue // after, it is gone; before, the other resource says it
			}
			t.Permission += " (which " + q.Change.Address + ", destroyed, takes from everybody)"
			t.Repair = undoneRepair(q)
		}
		if q := st.veiledBy(r, place.path, b); q != nil {
			t.Permission += " (which " + q.Change.Address + " decides about)"
			t.Doubt = "who holds it then is known only after " + q.Change.Address + " is applied"
		}
		if all {
			t.Others, t.Members = true, st.members(list, b)
		}
		if r.Change.Do == Forget && !whole {
			t.Repair = imported(r, b, all)
		}
		out = append(out, t)
	}
	if all && (st.After || !r.Change.Destroys()) && !r.Change.Forgets() {
		out = append(out, st.authority(r, place, list, whole)...)
	}
	return out
}

// grant is the tie of one member of one role; ok is false when it allows nothing that renewal needs.
func (s *State) grant(r *Side, place googlePlace, b binding) (t Tie, ok bool) {
	principal, who := googlePrincipal(b.member)
	if principal == "" && !slices.Contains(b.unknown, PartPrincipal) {
		return Tie{}, false
	}
	t = Tie{
		Kind: KindGrant, Principal: principal, Who: who, Permission: permission(b), Scope: place.path, At: place.at,
		Condition: b.condition, Unknown: slices.Clone(b.unknown), ID: r.Text("id"),
		Object: strings.ToLower(strings.Join([]string{place.path.String(), b.role, b.member}, " ")) + " " + b.condition,
	}
	if !place.known {
		t.Unknown = append(t.Unknown, PartScope)
	}
	if slices.Contains(b.unknown, PartRights) {
		t.Rights = RightAll
		return t, true
	}
	t.Rights, t.Doubt = s.rights(b.role)
	s.edited(&t, b.role)
	switch {
	case t.Rights == 0:
		return Tie{}, false
	case t.Rights == RightRead:
		// Reading alone is needed by who may write to a zone only: finding the zone is a permission of the project
		// (certbot's pull request 9556).
		if !s.writesZone(principal, place.path) {
			return Tie{}, false
		}
		t.Effect = "it may still write to its zone, and no longer finds it"
	case b.role == "roles/owner" || b.role == "roles/editor":
		if agent(principal) {
			return Tie{}, false
		}
		if t.Doubt == "" && !s.zoneWithin(place.path) {
			t.Doubt = "the role allows nearly everything, and no public DNS zone of " + place.at + " is in the plan"
		}
	}
	t.Certain = b.role == "roles/owner" || b.role == "roles/editor"
	if t.Doubt == "" && otherEnds(principal) {
		t.Doubt, t.Certain = "it is called like something that writes DNS records for other ends", true
	}
	if t.Doubt == "" && strings.HasPrefix(principal, "group:") {
		t.Doubt = "whether the renewer is in the group is not in the plan"
	}
	return t, true
}

// undoneBy is a binding of the role, or a policy, that takes away what r holds although r stays: to destroy one removes
// everybody who holds the role there, by whatever resource. held says that it listed the member itself. One that is made
// or changed and does not list the member is told by [Tie.Others].
func (s *State) undoneBy(r *Side, path Path, b binding) (by *Side, held bool) {
	if s.other == nil || len(b.unknown) > 0 || r.Change.Destroys() || r.Change.Makes() {
		return nil, false
	}
	before, after := s.ordered()[0], s.ordered()[1]
	for _, form := range []string{"_binding", "_policy"} {
		for _, q := range before.Of(family(r) + form) {
			if q.Change == r.Change || !q.Change.Destroys() || !slices.EqualFunc(before.scopeOf(q), path, strings.EqualFold) {
				continue
			}
			list, _, whole := before.bindings(q)
			if !whole && !before.rules(q, &b) {
				continue
			}
			if q.Change.Do == DeleteCreate && slices.ContainsFunc(after.Of(family(r)+form), func(n *Side) bool {
				return n.Change == q.Change && (whole || after.rules(n, &b)) && slices.EqualFunc(after.scopeOf(n), path, strings.EqualFold)
			}) {
				continue // made again for the same role, it lists the member or takes it away as one that is made
			}
			return q, slices.ContainsFunc(list, b.same)
		}
	}
	return nil, false
}

// veiledBy is a binding of the role, or a policy, that the plan makes or changes and of which it does not know all members,
// on the side after.
func (s *State) veiledBy(r *Side, path Path, b binding) *Side {
	if !s.After || len(b.unknown) > 0 {
		return nil
	}
	for _, form := range []string{"_binding", "_policy"} {
		for _, q := range s.Of(family(r) + form) {
			if q.Change == r.Change || q.Change.Do == NoOp || q.Change.Forgets() || !slices.EqualFunc(s.scopeOf(q), path, strings.EqualFold) {
				continue
			}
			list, _, whole := s.bindings(q)
			if (whole || s.rules(q, &b)) && !slices.ContainsFunc(list, b.same) && slices.ContainsFunc(list, func(c binding) bool { return len(c.unknown) > 0 }) {
				return q
			}
		}
	}
	return nil
}

// family is the type of an IAM resource without its form.
func family(r *Side) string {
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(r.Change.Type, "_member"), "_binding"), "_policy")
}

// scopeOf is the place of an IAM resource, whatever it is about.
func (s *State) scopeOf(r *Side) Path {
	if strings.HasPrefix(r.Change.Type, "google_service_account_iam_") {
		account, _ := s.trustee(r)
		return accountPath(account)
	}
	return s.place(r).path
}

// rules reports whether a binding holds the role of b under its condition.
func (s *State) rules(q *Side, b *binding) bool {
	c := s.role(q)
	return len(c.unknown) == 0 && strings.EqualFold(c.role, b.role) && c.condition == b.condition
}

// imported is how to keep what leaves the state: the id by which these resources are imported has blanks where their own
// id has slashes.
func imported(r *Side, b binding, all bool) string {
	var place string
	for _, a := range []string{"managed_zone", "project", "folder", "org_id"} {
		if place = r.Text(a); place != "" {
			break
		}
	}
	id := place + " " + b.role
	if !all {
		id += " " + b.member
	}
	if title := r.Text("condition", "title"); title != "" {
		id += " " + title
	}
	return "Keep the resource in the code. If other code is to look after it, import it there first, and answer for this finding with an override:\n\nimport {\n  to = " + r.Change.Address + "\n  id = " + quote(id) + "\n}"
}

func undoneRepair(q *Side) string {
	return "To destroy " + q.Change.Address + " takes the role from everybody who holds it there, by whatever resource. Let it live:\n\n" + removed(q.Change.Address)
}

// members are the principals of the list that hold the role of b.
func (s *State) members(list []binding, b binding) []string {
	var out []string
	for _, c := range list {
		if p, _ := googlePrincipal(c.member); p != "" && strings.EqualFold(c.role, b.role) && c.condition == b.condition {
			out = append(out, p)
		}
	}
	return out
}

// authority says that a binding without a member whom renewal needs, or a policy, keeps everybody else from a role.
func (s *State) authority(r *Side, place googlePlace, list []binding, whole bool) []Tie {
	t := Tie{Kind: KindGrant, Rights: RightAll, Scope: place.path, At: place.at, Others: true, ID: r.Text("id")}
	if !place.known {
		t.Unknown = []Part{PartScope}
	}
	if whole {
		if q := s.counterpart(r); q != nil && slices.ContainsFunc(s.other.policyBindings(q), func(b binding) bool { return len(b.unknown) > 0 }) {
			return nil
		}
		for _, b := range list {
			if len(b.unknown) > 0 {
				return nil
			}
			if g, ok := s.grant(r, place, b); ok && g.Rights&RightWrite != 0 {
				t.Members = append(t.Members, g.Principal)
			}
		}
		return []Tie{t}
	}
	b := s.role(r)
	if len(b.unknown) > 0 || !r.Known("members") || len(s.members(list, b)) > 0 {
		return nil
	}
	rights, doubt := s.rights(b.role)
	if rights&RightWrite == 0 || doubt != "" {
		return nil
	}
	t.Rights, t.Permission, t.Condition = rights, permission(b), b.condition
	return []Tie{t}
}
