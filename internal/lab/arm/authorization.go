package arm

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const authorizationAction = "Microsoft.Authorization/"

// routeAuthorization finds the operations of Microsoft.Authorization at a scope.
func (s *Server) routeAuthorization(method, scope string, rest []string) (operation, *trouble) {
	if scope == "" {
		scope = "/"
	}
	var one string
	if len(rest) > 1 {
		one = rest[1]
	}
	if len(rest) > 2 {
		return operation{}, noSuch(strings.Join(rest, "/"))
	}
	kind := strings.ToLower(rest[0])
	verb := map[string]string{http.MethodGet: "read", http.MethodPut: "write", http.MethodDelete: "delete"}[method]
	if kind == "checkaccess" {
		if method != http.MethodPost {
			return operation{}, notAllowed(method)
		}
		return operation{authorizationAction + "checkAccess/action", scope, s.checkAccess(scope)}, nil
	}
	if verb == "" || one == "" && verb != "read" {
		return operation{}, notAllowed(method)
	}
	switch kind {
	case "roleassignments":
		return operation{authorizationAction + "roleAssignments/" + verb, scope, s.roleAssignments(scope, one)}, nil
	case "roledefinitions":
		return operation{authorizationAction + "roleDefinitions/" + verb, scope, s.roleDefinitions(scope, one)}, nil
	case "denyassignments":
		if verb != "read" {
			return operation{}, notAllowed(method)
		}
		return operation{authorizationAction + "denyAssignments/read", scope, s.denyAssignments(scope, one)}, nil
	case "locks":
		return operation{authorizationAction + "locks/" + verb, scope, s.locksAt(scope, one)}, nil
	case "permissions":
		if verb != "read" {
			return operation{}, notAllowed(method)
		}
		return operation{authorizationAction + "permissions/read", scope, s.permissions(scope)}, nil
	}
	return operation{}, noSuch(strings.Join(rest, "/"))
}

// filter is what $filter says. The forms are those of the REST reference, alone or joined by "and".
type filter struct {
	atScope    bool
	assignedTo string
	principal  string
}

func parseFilter(text string) (filter, *trouble) {
	var f filter
	if text == "" {
		return f, nil
	}
	for part := range strings.SplitSeq(text, " and ") {
		part = strings.TrimSpace(part)
		lower := strings.ToLower(part)
		switch {
		case lower == "atscope()":
			f.atScope = true
		case len(part) >= len("assignedto('')") && strings.HasPrefix(lower, "assignedto('") && strings.HasSuffix(part, "')"):
			f.assignedTo = part[len("assignedto('") : len(part)-2]
		case strings.HasPrefix(lower, "principalid eq "):
			f.principal = strings.Trim(part[len("principalid eq "):], "' ")
		default:
			return f, &trouble{400, "UnsupportedQuery", "The filter '" + part + "' is not supported."}
		}
	}
	return f, nil
}

// parseRoleName reads the only filter on role definitions that is understood here, as in "roleName eq 'Reader'".
func parseRoleName(text string) (string, *trouble) {
	const begins = "rolename eq '"
	if text == "" {
		return "", nil
	}
	if len(text) <= len(begins) || !strings.HasPrefix(strings.ToLower(text), begins) || !strings.HasSuffix(text, "'") {
		return "", &trouble{400, "UnsupportedQuery", "The filter '" + text + "' is not supported."}
	}
	return strings.ReplaceAll(text[len(begins):len(text)-1], "''", "'"), nil // OData quotes a quote by doubling it
}

// shows reports whether something at a scope belongs into a list that was asked for at another.
func (f filter) shows(asked, at string) bool {
	return covers(at, asked) || !f.atScope && covers(asked, at)
}

func (s *Server) roleURL(id string) string {
	return "/subscriptions/" + s.opts.Subscription + authorization + "roleDefinitions/" + id
}

// assignmentJSON is a grant as Azure shows it. The caller holds mu.
func (s *Server) assignmentJSON(a Assignment) map[string]any {
	kind := a.PrincipalType
	if _, group := s.now().groups[strings.ToLower(a.Principal)]; group {
		kind = "Group"
	} else if kind == "" {
		kind = "ServicePrincipal"
	}
	p := map[string]any{"roleDefinitionId": s.roleURL(a.Role), "principalId": a.Principal, "principalType": kind, "scope": a.Scope}
	if a.Condition != "" {
		p["condition"], p["conditionVersion"] = a.Condition, "2.0"
	}
	if a.Description != "" {
		p["description"] = a.Description
	}
	return map[string]any{"id": a.ID, "name": a.Name, "type": "Microsoft.Authorization/roleAssignments", "properties": p}
}

func (s *Server) roleAssignments(scope, one string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, r *http.Request, _ claims) (int, string) {
		if one == "" {
			return s.listAssignments(w, r, scope)
		}
		var body struct {
			Properties struct {
				RoleDefinitionID string `json:"roleDefinitionId"`
				PrincipalID      string `json:"principalId"`
				PrincipalType    string `json:"principalType"`
				Condition        string `json:"condition"`
				Description      string `json:"description"`
			} `json:"properties"`
		}
		if r.Method == http.MethodPut {
			if no := read(r, &body); no != nil {
				return fail(w, no)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		p := s.now()
		at := slices.IndexFunc(p.assignments, func(a Assignment) bool { return same(a.Scope, scope) && strings.EqualFold(a.Name, one) })
		switch r.Method {
		case http.MethodPut:
			b := body.Properties
			d, ok := p.definition(b.RoleDefinitionID)
			if !ok {
				return fail(w, &trouble{400, "RoleDefinitionDoesNotExist", "The specified role definition with ID '" + b.RoleDefinitionID + "' does not exist."})
			}
			a := Assignment{Name: one, Scope: scope, Principal: b.PrincipalID, Role: d.ID, PrincipalType: b.PrincipalType, Condition: b.Condition, Description: b.Description}
			a.ID = a.id()
			twin := p.twin(a)
			switch {
			case twin >= 0 && twin != at:
				return fail(w, &trouble{409, "RoleAssignmentExists", "The role assignment already exists. The ID of the existing role assignment is " + strings.ReplaceAll(p.assignments[twin].Name, "-", "") + "."})
			case at >= 0 && twin != at:
				return fail(w, &trouble{409, "RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."})
			}
			s.change(func(p *policy) {
				if at >= 0 {
					p.assignments[at] = a
				} else {
					p.assignments = append(p.assignments, a)
				}
			})
			if at >= 0 {
				return send(w, 200, s.assignmentJSON(a)), ""
			}
			return send(w, 201, s.assignmentJSON(a)), ""
		case http.MethodDelete:
			if at < 0 {
				return send(w, 204, nil), ""
			}
			a := p.assignments[at]
			s.change(func(p *policy) { p.assignments = slices.Delete(p.assignments, at, at+1) })
			return send(w, 200, s.assignmentJSON(a)), ""
		}
		if at < 0 {
			return fail(w, &trouble{404, "RoleAssignmentNotFound", "The role assignment '" + one + "' is not found."})
		}
		return send(w, 200, s.assignmentJSON(p.assignments[at])), ""
	}
}

func (s *Server) listAssignments(w http.ResponseWriter, r *http.Request, scope string) (int, string) {
	f, no := parseFilter(r.URL.Query().Get("$filter"))
	if no != nil {
		return fail(w, no)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.effective()
	list := []any{}
	var ids []string
	if f.assignedTo != "" {
		ids = p.identities(f.assignedTo)
	}
	for _, a := range p.assignments {
		if !f.shows(scope, a.Scope) || f.principal != "" && !strings.EqualFold(f.principal, a.Principal) ||
			ids != nil && !slices.Contains(ids, strings.ToLower(a.Principal)) {
			continue
		}
		list = append(list, s.assignmentJSON(a))
	}
	return send(w, 200, map[string]any{"value": list}), ""
}

func (s *Server) definitionJSON(d Definition) map[string]any {
	kind, scopes := "BuiltInRole", []string{"/"}
	if d.Custom {
		kind, scopes = "CustomRole", d.Scopes
		if len(scopes) == 0 {
			scopes = []string{"/subscriptions/" + s.opts.Subscription}
		}
	}
	return map[string]any{"id": s.roleURL(d.ID), "name": d.ID, "type": "Microsoft.Authorization/roleDefinitions", "properties": map[string]any{
		"roleName": d.Name, "type": kind, "assignableScopes": scopes,
		"permissions": []any{map[string]any{"actions": listed(d.Actions), "notActions": listed(d.NotActions), "dataActions": []string{}, "notDataActions": []string{}}},
	}}
}

// listed makes an empty list of none, which JSON tells apart.
func listed(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func (s *Server) roleDefinitions(_, one string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, r *http.Request, _ claims) (int, string) {
		named, no := parseRoleName(r.URL.Query().Get("$filter"))
		if no != nil {
			return fail(w, no)
		}
		var body struct {
			Properties struct {
				RoleName         string   `json:"roleName"`
				AssignableScopes []string `json:"assignableScopes"`
				Permissions      []struct {
					Actions    []string `json:"actions"`
					NotActions []string `json:"notActions"`
				} `json:"permissions"`
			} `json:"properties"`
		}
		if r.Method == http.MethodPut {
			if no := read(r, &body); no != nil {
				return fail(w, no)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		p := s.now()
		if one == "" {
			list := []any{}
			for _, d := range p.definitions {
				if named == "" || strings.EqualFold(named, d.Name) {
					list = append(list, s.definitionJSON(d))
				}
			}
			return send(w, 200, map[string]any{"value": list}), ""
		}
		d, ok := p.definition(one)
		switch {
		case r.Method == http.MethodGet && ok:
			return send(w, 200, s.definitionJSON(d)), ""
		case r.Method == http.MethodGet:
			return fail(w, &trouble{404, "RoleDefinitionDoesNotExist", "The specified role definition with ID '" + one + "' does not exist."})
		case ok && !d.Custom:
			return fail(w, &trouble{403, "RoleDefinitionUpdateNotPermitted", "Built-in roles cannot be changed."})
		case r.Method == http.MethodDelete && !ok:
			return send(w, 204, nil), ""
		case r.Method == http.MethodDelete:
			if slices.ContainsFunc(p.assignments, func(a Assignment) bool { return strings.EqualFold(a.Role, d.ID) }) {
				return fail(w, &trouble{400, "RoleDefinitionHasAssignments", "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments)."})
			}
			s.change(func(p *policy) {
				p.definitions = slices.DeleteFunc(p.definitions, func(x Definition) bool { return x.ID == d.ID })
			})
			return send(w, 200, s.definitionJSON(d)), ""
		}
		made := Definition{ID: one, Name: body.Properties.RoleName, Custom: true, Scopes: body.Properties.AssignableScopes}
		for _, x := range body.Properties.Permissions {
			made.Actions, made.NotActions = append(made.Actions, x.Actions...), append(made.NotActions, x.NotActions...)
		}
		s.define(made)
		return send(w, 201, s.definitionJSON(made)), ""
	}
}

func (p policy) denyJSON(d Deny) map[string]any {
	people := func(ids []string) []any {
		list := []any{}
		for _, id := range ids {
			kind := "ServicePrincipal"
			if id == Everyone {
				kind = "SystemDefined"
			} else if _, group := p.groups[strings.ToLower(id)]; group {
				kind = "Group"
			}
			list = append(list, map[string]string{"id": id, "type": kind})
		}
		return list
	}
	return map[string]any{"id": d.ID, "name": d.Name, "type": "Microsoft.Authorization/denyAssignments", "properties": map[string]any{
		"denyAssignmentName": d.Title, "scope": d.Scope, "doNotApplyToChildScopes": d.Here, "isSystemProtected": true,
		"permissions": []any{map[string]any{"actions": listed(d.Actions), "notActions": listed(d.NotActions), "dataActions": []string{}, "notDataActions": []string{}}},
		"principals":  people(d.Principals), "excludePrincipals": people(d.Excluded),
	}}
}

func (s *Server) denyAssignments(scope, one string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, r *http.Request, _ claims) (int, string) {
		f, no := parseFilter(r.URL.Query().Get("$filter"))
		if no != nil {
			return fail(w, no)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		list := []any{}
		for _, d := range s.now().denies {
			if one != "" && same(d.Scope, scope) && strings.EqualFold(d.Name, one) {
				return send(w, 200, s.now().denyJSON(d)), ""
			}
			if f.shows(scope, d.Scope) && (f.principal == "" || s.now().names(d.Principals, []string{strings.ToLower(f.principal)})) {
				list = append(list, s.now().denyJSON(d))
			}
		}
		if one != "" {
			return fail(w, &trouble{404, "DenyAssignmentNotFound", "The deny assignment '" + one + "' is not found."})
		}
		return send(w, 200, map[string]any{"value": list}), ""
	}
}

func lockJSON(l Lock) map[string]any {
	return map[string]any{"id": l.ID, "name": l.Name, "type": "Microsoft.Authorization/locks", "properties": map[string]any{"level": l.Level, "notes": l.Notes}}
}

func (s *Server) locksAt(scope, one string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, r *http.Request, _ claims) (int, string) {
		f, no := parseFilter(r.URL.Query().Get("$filter"))
		if no != nil {
			return fail(w, no)
		}
		var body struct {
			Properties struct {
				Level string `json:"level"`
				Notes string `json:"notes"`
			} `json:"properties"`
		}
		if r.Method == http.MethodPut {
			if no := read(r, &body); no != nil {
				return fail(w, no)
			}
			if body.Properties.Level != CanNotDelete && body.Properties.Level != ReadOnly {
				return fail(w, &trouble{400, "LockLevelNotSupported", "The lock level '" + body.Properties.Level + "' is not supported."})
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		list := []any{}
		at := -1
		for i, l := range s.locks {
			if one != "" && same(l.Scope, scope) && strings.EqualFold(l.Name, one) {
				at = i
			}
			if f.shows(scope, l.Scope) {
				list = append(list, lockJSON(l))
			}
		}
		switch {
		case one == "":
			return send(w, 200, map[string]any{"value": list}), ""
		case r.Method == http.MethodPut:
			l := Lock{Name: one, Scope: scope, Level: body.Properties.Level, Notes: body.Properties.Notes}
			l.ID = s.lock(l)
			return send(w, 201, lockJSON(l)), ""
		case at < 0 && r.Method == http.MethodDelete:
			return send(w, 204, nil), ""
		case at < 0:
			return fail(w, &trouble{404, "LockNotFound", "The lock '" + one + "' could not be found."})
		case r.Method == http.MethodDelete:
			s.locks = slices.Delete(s.locks, at, at+1)
			return send(w, 200, nil), ""
		}
		return send(w, 200, lockJSON(s.locks[at])), ""
	}
}

// permissions lists what the caller's roles hold at the scope.
func (s *Server) permissions(scope string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, _ *http.Request, c claims) (int, string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		p := s.seenBy(c.Seen)
		ids := p.identities(c.Object)
		list := []any{}
		for _, a := range p.assignments {
			d, ok := p.definition(a.Role)
			if ok && a.Condition == "" && covers(a.Scope, scope) && slices.Contains(ids, strings.ToLower(a.Principal)) {
				list = append(list, map[string]any{"actions": listed(d.Actions), "notActions": listed(d.NotActions)})
			}
		}
		return send(w, 200, map[string]any{"value": list}), ""
	}
}

// checkAccess answers for any principal. Names of the request's fields have no case of letters, as in Azure.
func (s *Server) checkAccess(scope string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, r *http.Request, _ claims) (int, string) {
		var body struct {
			Subject struct {
				Attributes struct {
					ObjectID string   `json:"ObjectId"`
					Groups   []string `json:"Groups"`
					Expand   bool     `json:"xms-pasrp-retrievegroupmemberships"`
				} `json:"Attributes"`
			} `json:"Subject"`
			Actions []struct {
				ID           string `json:"Id"`
				IsDataAction bool   `json:"IsDataAction"`
			} `json:"Actions"`
			Resource struct {
				ID string `json:"Id"`
			} `json:"Resource"`
		}
		if no := read(r, &body); no != nil {
			return fail(w, no)
		}
		if body.Subject.Attributes.ObjectID == "" || len(body.Actions) == 0 || len(body.Actions) > 200 {
			return fail(w, &trouble{400, "InvalidCheckAccessRequest", "The request must name a subject and 1 to 200 actions."})
		}
		if body.Resource.ID != "" && !covers(scope, body.Resource.ID) {
			return fail(w, &trouble{400, "InvalidCheckAccessRequest", fmt.Sprintf("The resource '%s' is not below the scope.", body.Resource.ID)})
		}
		where := scope
		if body.Resource.ID != "" {
			where = body.Resource.ID
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		p := s.effective()
		subject := body.Subject.Attributes
		if s.opts.GrouplessCheckAccess || !subject.Expand {
			p.groups = map[string][]string{}
			for _, g := range subject.Groups {
				p.groups[strings.ToLower(g)] = []string{strings.ToLower(subject.ObjectID)}
			}
		}
		list := []any{}
		for _, a := range body.Actions {
			d := p.decide(subject.ObjectID, a.ID, where)
			one := map[string]any{"actionId": a.ID, "isDataAction": a.IsDataAction, "accessDecision": "NotAllowed", "timeToLiveInMs": 300_000}
			if a.IsDataAction {
				d = decision{} // no role here has data actions
			}
			if d.allowed {
				one["accessDecision"] = "Allowed"
				one["roleAssignment"] = map[string]any{
					"id": d.grant.ID, "roleDefinitionId": s.roleURL(d.grant.Role), "principalId": d.grant.Principal,
					"principalType": "ServicePrincipal", "scope": d.grant.Scope, "condition": nil, "conditionVersion": nil, "canDelegate": false,
				}
			}
			if d.deny != nil {
				one["accessDecision"] = "Denied"
				one["denyAssignment"] = map[string]any{"id": d.deny.ID, "name": d.deny.Title, "scope": d.deny.Scope, "isSystemProtected": "true"}
			}
			list = append(list, one)
		}
		return send(w, 200, list), ""
	}
}
