package arm

import (
	"net/http"
	"strings"
)

// identity is a user-assigned managed identity. One that is made again under its old name is another principal.
type identity struct {
	id, name, location string
	tags               map[string]string
	client, object     string
}

// IdentityScope is the resource id of a user-assigned managed identity.
func (s *Server) IdentityScope(group, name string) string {
	return s.GroupScope(group) + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name
}

// routeIdentity finds the operations on user-assigned managed identities: subscriptions/S/resourceGroups/G/providers/
// Microsoft.ManagedIdentity/userAssignedIdentities/NAME.
func (s *Server) routeIdentity(method string, path []string) (operation, *trouble) {
	if len(path) != 8 || !strings.EqualFold(path[0], "subscriptions") || !strings.EqualFold(path[2], "resourceGroups") ||
		!strings.EqualFold(path[4], "providers") || !strings.EqualFold(path[6], "userAssignedIdentities") {
		return operation{}, noSuch(strings.Join(path, "/"))
	}
	if !strings.EqualFold(path[1], s.opts.Subscription) {
		return operation{}, &trouble{404, "SubscriptionNotFound", "The subscription '" + path[1] + "' could not be found."}
	}
	verb := map[string]string{http.MethodGet: "read", http.MethodPut: "write", http.MethodDelete: "delete"}[method]
	if verb == "" {
		return operation{}, notAllowed(method)
	}
	return operation{"Microsoft.ManagedIdentity/userAssignedIdentities/" + verb, s.IdentityScope(path[3], path[7]), s.oneIdentity(path[3], path[7])}, nil
}

func (s *Server) oneIdentity(group, name string) func(http.ResponseWriter, *http.Request, claims) (int, string) {
	return func(w http.ResponseWriter, r *http.Request, _ claims) (int, string) {
		var body struct {
			Location string            `json:"location"`
			Tags     map[string]string `json:"tags"`
		}
		if r.Method == http.MethodPut {
			if no := read(r, &body); no != nil {
				return fail(w, no)
			}
			if body.Location == "" {
				return fail(w, &trouble{400, "LocationRequired", "The location property is required for this definition."})
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		id := s.IdentityScope(group, name)
		old := s.identities[strings.ToLower(id)]
		switch {
		case r.Method == http.MethodPut && old != nil && !strings.EqualFold(old.location, body.Location):
			return fail(w, &trouble{409, "InvalidResourceLocation", "The resource '" + name + "' already exists in location '" + old.location + "' in resource group '" + group + "'. A resource with the same name cannot be created in location '" + body.Location + "'. Please select a new resource name."})
		case r.Method == http.MethodPut && old != nil:
			old.tags = body.Tags
			return send(w, 200, s.identityJSON(old)), ""
		case r.Method == http.MethodPut:
			made := &identity{id: id, name: name, location: body.Location, tags: body.Tags, client: newGUID(), object: newGUID()}
			s.identities[strings.ToLower(id)] = made
			s.principals[strings.ToLower(made.client)] = &principal{client: made.client, object: made.object}
			return send(w, 201, s.identityJSON(made)), ""
		case old == nil && r.Method == http.MethodDelete:
			return send(w, 204, nil), ""
		case old == nil:
			return fail(w, &trouble{404, "ResourceNotFound", "The Resource 'Microsoft.ManagedIdentity/userAssignedIdentities/" + name + "' under resource group '" + group + "' was not found."})
		case r.Method == http.MethodDelete:
			// What was granted to it stays, as grants to somebody who is gone ("Identity not found" in the portal).
			delete(s.identities, strings.ToLower(id))
			delete(s.principals, strings.ToLower(old.client))
			return send(w, 200, nil), ""
		}
		return send(w, 200, s.identityJSON(old)), ""
	}
}

func (s *Server) identityJSON(i *identity) map[string]any {
	return map[string]any{
		"id": i.id, "name": i.name, "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "location": i.location, "tags": i.tags,
		"properties": map[string]any{"tenantId": s.opts.Tenant, "principalId": i.object, "clientId": i.client},
	}
}
