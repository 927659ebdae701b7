package legochild

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// https://docs.digitalocean.com/reference/api/digitalocean/#tag/Domain-Records
const digitaloceanBase = "https://api.digitalocean.com"

func openDigitalocean(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("DO_API_URL"), digitaloceanBase), false)
	if err != nil {
		return nil, err
	}
	return rows{&digitalocean{newAPI("DigitalOcean", base, header("Authorization", "Bearer "+s.get("DO_AUTH_TOKEN")), sayIDMessage), s.whole("DO_TTL", 30)}}, nil
}

// sayIDMessage reads {"id" or "code", "message"}.
func sayIDMessage(_ int, body []byte) (s said) {
	var e struct {
		ID      string `json:"id"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &e) == nil {
		s.code, s.text = orElse(e.ID, e.Code), e.Message
	}
	return s
}

type digitalocean struct {
	*api
	ttl int
}

func (p *digitalocean) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		return zone, p.call(ctx, http.MethodGet, "/v2/domains/"+zone, nil, nil)
	})
}

func (p *digitalocean) list(ctx context.Context, at spot) ([]row, error) {
	var l struct {
		Records []struct {
			ID   int64  `json:"id"`
			Type string `json:"type"`
			Data string `json:"data"`
		} `json:"domain_records"`
	}
	if err := p.call(ctx, http.MethodGet, "/v2/domains/"+at.zone+"/records?type=TXT&per_page=200&name="+url.QueryEscape(at.name), nil, &l); err != nil {
		return nil, err
	}
	var out []row
	for _, r := range l.Records {
		out = append(out, row{strconv.FormatInt(r.ID, 10), r.Data})
	}
	return out, nil
}

func (p *digitalocean) add(ctx context.Context, at spot, value string) error {
	in := map[string]any{"type": "TXT", "name": at.at(), "data": value, "ttl": p.ttl}
	return p.call(ctx, http.MethodPost, "/v2/domains/"+at.zone+"/records", in, nil)
}

func (p *digitalocean) remove(ctx context.Context, at spot, r row) error {
	return p.call(ctx, http.MethodDelete, "/v2/domains/"+at.zone+"/records/"+r.id, nil, nil)
}
