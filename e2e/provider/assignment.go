package provider

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// assignmentJSON is a role assignment as the REST reference has it (Role Assignments - Create, 2022-04-01).
type assignmentJSON struct {
	ID         string               `json:"id,omitempty"`
	Name       string               `json:"name,omitempty"`
	Properties assignmentProperties `json:"properties"`
}

type assignmentProperties struct {
	Scope            string `json:"scope,omitempty"`
	RoleDefinitionID string `json:"roleDefinitionId"`
	PrincipalID      string `json:"principalId"`
	PrincipalType    string `json:"principalType,omitempty"`
	Description      string `json:"description,omitempty"`
	Condition        string `json:"condition,omitempty"`
	ConditionVersion string `json:"conditionVersion,omitempty"`
}

// roleAssignment is azurerm_role_assignment.
func roleAssignment() *resource {
	text := func(name string) attribute { return attribute{name: name, kind: tftypes.String} }
	forced := func(a attribute) attribute { a.forces = true; return a }
	both := func(a attribute) attribute { a.optional, a.computed = true, true; return a }
	needed := func(a attribute) attribute { a.required = true; return a }
	may := func(a attribute) attribute { a.optional = true; return a }
	version := both(text("condition_version"))
	version.with = "condition"
	return &resource{
		attributes: []attribute{
			both(forced(text("name"))), needed(forced(text("scope"))), both(forced(text("role_definition_id"))), both(forced(text("role_definition_name"))),
			needed(forced(text("principal_id"))), both(forced(text("principal_type"))), both(attribute{name: "skip_service_principal_aad_check", kind: tftypes.Bool}),
			may(forced(text("delegated_managed_identity_resource_id"))), may(text("description")), may(text("condition")), version,
		},
		invalid: func(o object) string {
			if o["role_definition_id"].IsNull() == o["role_definition_name"].IsNull() {
				return "exactly one of `role_definition_id` and `role_definition_name` must be specified"
			}
			return ""
		},
		create: createAssignment, read: readAssignment, update: updateAssignment,
		remove: func(ctx context.Context, c *client, id string) error {
			return c.do(ctx, http.MethodDelete, id, authorizationVersion, nil, nil, nil)
		},
	}
}

func createAssignment(ctx context.Context, c *client, o object) (string, error) {
	role := o.text("role_definition_id")
	if name := o.text("role_definition_name"); name != "" {
		var found struct{ Value []struct{ ID string } }
		query := url.Values{"$filter": {"roleName eq '" + name + "'"}}
		if err := c.do(ctx, http.MethodGet, o.text("scope")+"/providers/Microsoft.Authorization/roleDefinitions", authorizationVersion, query, nil, &found); err != nil {
			return "", fmt.Errorf("listing role definitions: %w", err)
		}
		if len(found.Value) != 1 {
			return "", fmt.Errorf("listing role definitions: could not find role `%s`", name)
		}
		role = found.Value[0].ID
	}
	name := o.text("name")
	switch {
	case name == "" && c.azure.Derived:
		sum := sha256.Sum256([]byte(strings.ToLower(o.text("scope") + "|" + o.text("principal_id") + "|" + role)))
		name = uuidOf([16]byte(sum[:16]))
	case name == "":
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		name = uuidOf(b)
	}
	id := o.text("scope") + "/providers/Microsoft.Authorization/roleAssignments/" + name
	switch err := c.do(ctx, http.MethodGet, id, authorizationVersion, nil, nil, nil); {
	case err == nil:
		return "", exists(id)
	case !gone(err):
		return "", fmt.Errorf("checking for presence of existing %s: %w", id, err)
	}
	p := assignmentProperties{
		RoleDefinitionID: role, PrincipalID: o.text("principal_id"), PrincipalType: o.text("principal_type"), Description: o.text("description"),
		Condition: o.text("condition"), ConditionVersion: o.text("condition_version"),
	}
	if p.Condition != "" && p.ConditionVersion == "" {
		p.ConditionVersion = "2.0"
	}
	if err := c.do(ctx, http.MethodPut, id, authorizationVersion, nil, assignmentJSON{Properties: p}, nil); err != nil {
		return "", err
	}
	return id, nil
}

// exists is what azurerm says of an object that is there and not in the state.
func exists(id string) error {
	return errors.New("a resource with the ID \"" + id + "\" already exists - to be managed via Terraform this resource needs to be imported into the State")
}

func readAssignment(ctx context.Context, c *client, o object) (bool, error) {
	var got assignmentJSON
	if err := c.do(ctx, http.MethodGet, o.text("id"), authorizationVersion, nil, nil, &got); gone(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("retrieving %s: %w", o.text("id"), err)
	}
	p := got.Properties
	for name, value := range map[string]string{
		"name": got.Name, "scope": p.Scope, "role_definition_id": p.RoleDefinitionID, "principal_id": p.PrincipalID, "principal_type": p.PrincipalType,
		"description": p.Description, "condition": p.Condition, "condition_version": p.ConditionVersion,
	} {
		o.put(name, value)
	}
	var role struct {
		Properties struct{ RoleName string }
	}
	if err := c.do(ctx, http.MethodGet, p.RoleDefinitionID, authorizationVersion, nil, nil, &role); err != nil {
		return false, fmt.Errorf("retrieving Role Definition %q: %w", p.RoleDefinitionID, err)
	}
	o.put("role_definition_name", role.Properties.RoleName)
	return true, nil
}

// updateAssignment changes the description or the condition in place.
func updateAssignment(ctx context.Context, c *client, o object) error {
	var got assignmentJSON
	if err := c.do(ctx, http.MethodGet, o.text("id"), authorizationVersion, nil, nil, &got); err != nil {
		return fmt.Errorf("retrieving %s: %w", o.text("id"), err)
	}
	p := got.Properties
	p.Description, p.Condition, p.ConditionVersion = o.text("description"), o.text("condition"), o.text("condition_version")
	if p.Condition != "" && p.ConditionVersion == "" {
		p.ConditionVersion = "2.0"
	}
	if err := c.do(ctx, http.MethodPut, o.text("id"), authorizationVersion, nil, assignmentJSON{Properties: p}, nil); err != nil {
		return fmt.Errorf("updating %s: %w", o.text("id"), err)
	}
	return nil
}

// uuidOf writes bytes as a UUID.
func uuidOf(b [16]byte) string {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// nameOf is the last segment of an id.
func nameOf(id string) string { return id[strings.LastIndex(id, "/")+1:] }
