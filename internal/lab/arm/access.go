package arm

import (
	"slices"
	"strings"
	"time"
)

// Built-in roles, by the ids that they have in every tenant (learn.microsoft.com, "Azure built-in roles").
const (
	DNSZoneContributor = "befefa01-2a29-4197-83a8-272ff33ce314"
	Reader             = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	Contributor        = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	Owner              = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
)

// Everyone is the principal of deny assignments that hold for all.
const Everyone = "00000000-0000-0000-0000-000000000000"

// Definition is a role.
type Definition struct {
	ID         string // a GUID
	Name       string
	Custom     bool
	Actions    []string
	NotActions []string
	Scopes     []string // where a custom role may be assigned; empty means the subscription
}

// Assignment is a grant.
type Assignment struct {
	ID            string // the resource id, made of the others
	Name          string // a GUID; empty makes one
	Scope         string
	Principal     string // object id of a principal or a group
	Role          string // GUID of the definition
	PrincipalType string // empty means ServicePrincipal
	Condition     string // opaque; one that is set is never met
	Description   string
}

// Deny is a deny assignment: it takes away whatever roles grant.
type Deny struct {
	ID         string // the resource id, made of the others
	Name       string // a GUID; empty makes one
	Title      string
	Scope      string
	Actions    []string
	NotActions []string
	Principals []string // object ids of principals and groups, or [Everyone]
	Excluded   []string
	// Here makes it hold at its scope only, not below.
	Here bool
}

// policy is everything that decides about rights, at one time. It is never changed: a change makes another.
type policy struct {
	version     int
	at          time.Time
	definitions []Definition
	assignments []Assignment
	denies      []Deny
	groups      map[string][]string // group's object id to its members', both lower case
}

func builtIn() []Definition {
	return []Definition{
		{ID: Owner, Name: "Owner", Actions: []string{"*"}},
		{ID: Contributor, Name: "Contributor", Actions: []string{"*"}, NotActions: []string{
			"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action",
			"Microsoft.Blueprint/blueprintAssignments/write", "Microsoft.Blueprint/blueprintAssignments/delete",
			"Microsoft.Compute/galleries/share/action", "Microsoft.Purview/consents/write", "Microsoft.Purview/consents/delete",
		}},
		{ID: Reader, Name: "Reader", Actions: []string{"*/read"}},
		{ID: DNSZoneContributor, Name: "DNS Zone Contributor", Actions: []string{
			"Microsoft.Authorization/*/read", "Microsoft.Insights/alertRules/*", "Microsoft.Network/dnsZones/*",
			"Microsoft.ResourceHealth/availabilityStatuses/read", "Microsoft.Resources/deployments/*",
			"Microsoft.Resources/subscriptions/resourceGroups/read", "Microsoft.Support/*",
		}},
	}
}

// now is the newest policy. The caller holds mu.
func (s *Server) now() policy { return s.policies[len(s.policies)-1] }

// change makes a new policy out of a copy of the newest. The caller holds mu.
func (s *Server) change(f func(*policy)) {
	p := s.now()
	p.definitions = slices.Clone(p.definitions)
	p.assignments = slices.Clone(p.assignments)
	p.denies = slices.Clone(p.denies)
	groups := make(map[string][]string, len(p.groups))
	for g, m := range p.groups {
		groups[g] = m
	}
	p.groups = groups
	f(&p)
	p.version++
	p.at = s.opts.Now()
	caches := max(s.stale, s.lag)
	if caches <= 0 {
		s.policies = s.policies[:0]
	}
	// What everybody has outgrown is forgotten: all before the newest that is older than the caches.
	for len(s.policies) > 1 && !s.policies[1].at.After(p.at.Add(-caches)) {
		s.policies = s.policies[1:]
	}
	s.policies = append(s.policies, p)
}

// seenBy is the policy that counts for a token that was issued when the given version was the newest: that one, until
// the caches that hold it are old enough. The caller holds mu.
func (s *Server) seenBy(version int) policy {
	if s.stale <= s.lag {
		return s.effective()
	}
	settled := s.opts.Now().Add(-s.stale)
	seen := s.policies[0]
	for _, p := range s.policies {
		if p.version <= version || !p.at.After(settled) {
			seen = p
		}
	}
	return seen
}

// effective is the policy by which anybody is answered: the newest, or with a lag the newest that is old enough. The caller
// holds mu.
func (s *Server) effective() policy {
	if s.lag <= 0 {
		return s.now()
	}
	settled := s.opts.Now().Add(-s.lag)
	seen := s.policies[0]
	for _, p := range s.policies {
		if !p.at.After(settled) {
			seen = p
		}
	}
	return seen
}

// SetLag makes changes of grants show only after a time, in what requests may do, in checkAccess and in lists of role
// assignments, with fresh tokens as well, as Azure says that they may ("up to 10 minutes"). Who asks for one by its id is
// told the truth. Zero, as at the start: at once. What was changed before counts.
func (s *Server) SetLag(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag, s.policies = d, s.policies[len(s.policies)-1:]
}

// members are the object ids that a principal counts as: itself and every group that holds it, directly or through
// another, in lower case.
func (p policy) identities(principal string) []string {
	ids := []string{strings.ToLower(principal)}
	for i := 0; i < len(ids); i++ {
		for g, members := range p.groups {
			if slices.Contains(members, ids[i]) && !slices.Contains(ids, g) {
				ids = append(ids, g)
			}
		}
	}
	return ids
}

func (p policy) definition(id string) (Definition, bool) {
	if i := strings.LastIndex(id, "/"); i >= 0 {
		id = id[i+1:]
	}
	for _, d := range p.definitions {
		if strings.EqualFold(d.ID, id) {
			return d, true
		}
	}
	return Definition{}, false
}

// decision is whether an action is allowed, and by what.
type decision struct {
	allowed bool
	grant   *Assignment
	deny    *Deny
}

func (p policy) decide(principal, action, scope string) decision {
	ids := p.identities(principal)
	for _, d := range p.denies {
		if d.Here && !same(d.Scope, scope) || !covers(d.Scope, scope) {
			continue
		}
		if p.names(d.Principals, ids) && !p.names(d.Excluded, ids) && anyMatches(d.Actions, action) && !anyMatches(d.NotActions, action) {
			return decision{deny: &d}
		}
	}
	for _, a := range p.assignments {
		if a.Condition != "" || !covers(a.Scope, scope) || !slices.Contains(ids, strings.ToLower(a.Principal)) {
			continue
		}
		d, ok := p.definition(a.Role)
		if ok && anyMatches(d.Actions, action) && !anyMatches(d.NotActions, action) {
			return decision{allowed: true, grant: &a}
		}
	}
	return decision{}
}

// names reports whether a list of a deny assignment names one of the ids.
func (p policy) names(list, ids []string) bool {
	return slices.ContainsFunc(list, func(x string) bool {
		return x == Everyone || slices.Contains(ids, strings.ToLower(x))
	})
}
