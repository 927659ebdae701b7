package legochild

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// https://www.vultr.com/api/#tag/dns
const vultrBase = "https://api.vultr.com/v2"

func openVultr(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("VULTR_API_URL"), vultrBase), false)
	if err != nil {
		return nil, err
	}
	return rows{&vultr{newAPI("Vultr", base, header("Authorization", "Bearer "+s.get("VULTR_API_KEY")), sayError), s.whole("VULTR_TTL", 120)}}, nil
}

// sayError reads {"error": "text"}.
func sayError(_ int, body []byte) (s said) {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil {
		s.text = e.Error
	}
	return s
}

type vultr struct {
	*api
	ttl int
}

func (p *vultr) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		return zone, p.call(ctx, http.MethodGet, "/domains/"+zone, nil, nil)
	})
}

func (p *vultr) list(ctx context.Context, at spot) ([]row, error) {
	var out []row
	cursor := ""
	for range 100 {
		var l struct {
			Records []struct {
				ID   string `json:"id"`
				Type string `json:"type"`
				Name string `json:"name"`
				Data string `json:"data"`
			} `json:"records"`
			Meta struct {
				Links struct {
					Next string `json:"next"`
				} `json:"links"`
			} `json:"meta"`
		}
		if err := p.call(ctx, http.MethodGet, "/domains/"+at.zone+"/records?per_page=500&cursor="+url.QueryEscape(cursor), nil, &l); err != nil {
			return nil, err
		}
		for _, r := range l.Records {
			if r.Type == "TXT" && r.Name == at.sub {
				out = append(out, row{r.ID, r.Data})
			}
		}
		if cursor = l.Meta.Links.Next; cursor == "" {
			return out, nil
		}
	}
	return nil, p.broken("GET /domains/"+at.zone+"/records", "Vultr's list of records does not end")
}

func (p *vultr) add(ctx context.Context, at spot, value string) error {
	in := map[string]any{"type": "TXT", "name": at.sub, "data": quote(value), "ttl": p.ttl, "priority": 0}
	return p.call(ctx, http.MethodPost, "/domains/"+at.zone+"/records", in, nil)
}

func (p *vultr) remove(ctx context.Context, at spot, r row) error {
	return p.call(ctx, http.MethodDelete, "/domains/"+at.zone+"/records/"+url.PathEscape(r.id), nil, nil)
}
