package legochild

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// https://www.scaleway.com/en/developers/api/domains-and-dns/#path-records-update-records-within-a-dns-zone
const scalewayBase = "https://api.scaleway.com"

func openScaleway(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("SCW_API_URL"), scalewayBase), false)
	if err != nil {
		return nil, err
	}
	return rows{&scaleway{newAPI("Scaleway", base, header("X-Auth-Token", s.get("SCW_SECRET_KEY")), sayScaleway), s.whole("SCW_TTL", 60), s.get("SCW_PROJECT_ID")}}, nil
}

func sayScaleway(status int, body []byte) (s said) {
	var e struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	if status/100 == 2 || json.Unmarshal(body, &e) != nil {
		return s
	}
	s.code, s.text = e.Type, e.Message
	switch s.code {
	case "denied_authentication":
		s.class = assure.TroubleExpired
	case "permissions_denied":
		s.class = assure.TroubleDenied
	case "unknown_resource", "not_found":
		s.class = assure.TroubleMissing
	case "quotas_exceeded", "resource_locked":
		s.class = assure.TroubleForbidden
	}
	return s
}

type scaleway struct {
	*api
	ttl     int
	project string
}

func (p *scaleway) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		var l struct {
			Zones []struct {
				Domain string `json:"domain"`
				Sub    string `json:"subdomain"`
			} `json:"dns_zones"`
		}
		q := url.Values{"dns_zones": {zone}}
		if p.project != "" {
			q.Set("project_id", p.project)
		}
		if err := p.call(ctx, http.MethodGet, "/domain/v2beta1/dns-zones?"+q.Encode(), nil, &l); err != nil {
			return "", err
		}
		for _, z := range l.Zones {
			if strings.TrimPrefix(z.Sub+"."+z.Domain, ".") == zone {
				return zone, nil
			}
		}
		return "", noZone(zone)
	})
}

func (p *scaleway) path(at spot) string { return "/domain/v2beta1/dns-zones/" + at.zone + "/records" }

func (p *scaleway) list(ctx context.Context, at spot) ([]row, error) {
	var l struct {
		Records []struct {
			ID   string `json:"id"`
			Name string `json:"name"`
			Type string `json:"type"`
			Data string `json:"data"`
		} `json:"records"`
	}
	if err := p.call(ctx, http.MethodGet, p.path(at)+"?page_size=100&type=TXT&name="+url.QueryEscape(at.sub), nil, &l); err != nil {
		return nil, err
	}
	var out []row
	for _, r := range l.Records {
		if r.Type == "TXT" && r.Name == at.sub {
			out = append(out, row{r.ID, r.Data})
		}
	}
	return out, nil
}

func (p *scaleway) change(ctx context.Context, at spot, change any) error {
	in := map[string]any{"changes": []any{change}, "return_all_records": false, "disallow_new_zone_creation": true}
	return p.call(ctx, http.MethodPatch, p.path(at), in, nil)
}

func (p *scaleway) add(ctx context.Context, at spot, value string) error {
	r := map[string]any{"name": at.sub, "type": "TXT", "data": quote(value), "ttl": p.ttl}
	return p.change(ctx, at, map[string]any{"add": map[string]any{"records": []any{r}}})
}

func (p *scaleway) remove(ctx context.Context, at spot, r row) error {
	return p.change(ctx, at, map[string]any{"delete": map[string]any{"id": r.id}})
}
