package provider

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// identityJSON is a user-assigned identity as the REST reference has it (User Assigned Identities - Create Or Update,
// 2023-01-31).
type identityJSON struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties struct {
		TenantID    string `json:"tenantId,omitempty"`
		PrincipalID string `json:"principalId,omitempty"`
		ClientID    string `json:"clientId,omitempty"`
	} `json:"properties"`
}

// userAssignedIdentity is azurerm_user_assigned_identity.
func userAssignedIdentity() *resource {
	put := func(ctx context.Context, c *client, id string, o object) error {
		return c.do(ctx, http.MethodPut, id, identityVersion, nil, identityJSON{Location: o.text("location"), Tags: o.texts("tags")}, nil)
	}
	return &resource{
		attributes: []attribute{
			{name: "name", kind: tftypes.String, required: true, forces: true},
			{name: "resource_group_name", kind: tftypes.String, required: true, forces: true},
			{name: "location", kind: tftypes.String, required: true, forces: true},
			{name: "principal_id", kind: tftypes.String, computed: true},
			{name: "client_id", kind: tftypes.String, computed: true},
			{name: "tenant_id", kind: tftypes.String, computed: true},
			{name: "tags", kind: tagged, optional: true},
		},
		create: func(ctx context.Context, c *client, o object) (string, error) {
			id := c.inGroup(o) + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + o.text("name")
			switch err := c.do(ctx, http.MethodGet, id, identityVersion, nil, nil, nil); {
			case err == nil:
				return "", exists(id)
			case !gone(err):
				return "", fmt.Errorf("checking for presence of existing %s: %w", id, err)
			}
			return id, put(ctx, c, id, o)
		},
		read: func(ctx context.Context, c *client, o object) (bool, error) {
			var got identityJSON
			if err := c.do(ctx, http.MethodGet, o.text("id"), identityVersion, nil, nil, &got); gone(err) {
				return false, nil
			} else if err != nil {
				return false, fmt.Errorf("retrieving %s: %w", o.text("id"), err)
			}
			o.put("name", nameOf(o.text("id")))
			o.put("resource_group_name", groupOf(o.text("id")))
			o.put("location", got.Location)
			o.put("principal_id", got.Properties.PrincipalID)
			o.put("client_id", got.Properties.ClientID)
			o.put("tenant_id", got.Properties.TenantID)
			o.putTags(got.Tags)
			return true, nil
		},
		update: func(ctx context.Context, c *client, o object) error { return put(ctx, c, o.text("id"), o) },
		remove: func(ctx context.Context, c *client, id string) error {
			return c.do(ctx, http.MethodDelete, id, identityVersion, nil, nil, nil)
		},
	}
}
