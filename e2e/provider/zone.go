package provider

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// zoneJSON is a DNS zone as the REST reference has it (Zones - Create Or Update, 2018-05-01).
type zoneJSON struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties struct {
		Servers []string `json:"nameServers,omitempty"`
		Records int      `json:"numberOfRecordSets,omitempty"`
	} `json:"properties"`
}

// dnsZone is azurerm_dns_zone.
func dnsZone() *resource {
	tags := func(ctx context.Context, c *client, id string, o object) error {
		return c.do(ctx, http.MethodPut, id, dnsVersion, nil, zoneJSON{Location: "global", Tags: o.texts("tags")}, nil)
	}
	return &resource{
		attributes: []attribute{
			{name: "name", kind: tftypes.String, required: true, forces: true},
			{name: "resource_group_name", kind: tftypes.String, required: true, forces: true},
			{name: "name_servers", kind: tftypes.Set{ElementType: tftypes.String}, computed: true},
			{name: "number_of_record_sets", kind: tftypes.Number, computed: true},
			{name: "max_number_of_record_sets", kind: tftypes.Number, computed: true},
			{name: "tags", kind: tagged, optional: true},
		},
		create: func(ctx context.Context, c *client, o object) (string, error) {
			id := c.inGroup(o) + "/providers/Microsoft.Network/dnsZones/" + o.text("name")
			switch err := c.do(ctx, http.MethodGet, id, dnsVersion, nil, nil, nil); {
			case err == nil:
				return "", exists(id)
			case !gone(err):
				return "", fmt.Errorf("checking for presence of existing %s: %w", id, err)
			}
			return id, tags(ctx, c, id, o)
		},
		read: func(ctx context.Context, c *client, o object) (bool, error) {
			var got zoneJSON
			if err := c.do(ctx, http.MethodGet, o.text("id"), dnsVersion, nil, nil, &got); gone(err) {
				return false, nil
			} else if err != nil {
				return false, fmt.Errorf("retrieving %s: %w", o.text("id"), err)
			}
			servers := make([]tftypes.Value, 0, len(got.Properties.Servers))
			for _, s := range got.Properties.Servers {
				servers = append(servers, tftypes.NewValue(tftypes.String, s))
			}
			o.put("name", nameOf(o.text("id")))
			o.put("resource_group_name", groupOf(o.text("id")))
			o["name_servers"] = tftypes.NewValue(tftypes.Set{ElementType: tftypes.String}, servers)
			o["number_of_record_sets"] = tftypes.NewValue(tftypes.Number, int64(got.Properties.Records))
			o["max_number_of_record_sets"] = tftypes.NewValue(tftypes.Number, int64(10000))
			o.putTags(got.Tags)
			return true, nil
		},
		update: func(ctx context.Context, c *client, o object) error { return tags(ctx, c, o.text("id"), o) },
		remove: func(ctx context.Context, c *client, id string) error {
			return c.do(ctx, http.MethodDelete, id, dnsVersion, nil, nil, nil)
		},
	}
}

func (c *client) inGroup(o object) string {
	return "/subscriptions/" + c.azure.Subscription + "/resourceGroups/" + o.text("resource_group_name")
}

// groupOf is the resource group in an id, which has the form /subscriptions/S/resourceGroups/G/...
func groupOf(id string) string {
	if parts := strings.Split(id, "/"); len(parts) > 4 {
		return parts[4]
	}
	return ""
}
