package legochild

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// https://techdocs.akamai.com/linode-api/reference/get-domain-records
const linodeBase = "https://api.linode.com/v4"

func openLinode(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("LINODE_URL"), linodeBase), false)
	if err != nil {
		return nil, err
	}
	return rows{&linode{newAPI("Linode", base, header("Authorization", "Bearer "+s.get("LINODE_TOKEN")), sayLinode), s.whole("LINODE_TTL", 300)}}, nil
}

func sayLinode(_ int, body []byte) (s said) {
	var e struct {
		Errors []struct {
			Reason string `json:"reason"`
			Field  string `json:"field"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &e) == nil && len(e.Errors) > 0 {
		s.code, s.text = e.Errors[0].Field, e.Errors[0].Reason
	}
	return s
}

type linode struct {
	*api
	ttl int
}

// filtered is call with Linode's filter, a header of JSON.
func (p *linode) filtered(ctx context.Context, path string, filter map[string]string, out any) error {
	f, err := json.Marshal(filter)
	if err != nil {
		return fmt.Errorf("write a filter: %w", err)
	}
	a := *p.api
	a.sign = func(r *http.Request, body []byte) error {
		r.Header.Set("X-Filter", string(f))
		return p.sign(r, body)
	}
	return a.call(ctx, http.MethodGet, path, nil, out)
}

func (p *linode) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		var l struct {
			Data []struct {
				ID     int64  `json:"id"`
				Domain string `json:"domain"`
			} `json:"data"`
		}
		if err := p.filtered(ctx, "/domains", map[string]string{"domain": zone}, &l); err != nil {
			return "", err
		}
		for _, z := range l.Data {
			if z.Domain == zone {
				return strconv.FormatInt(z.ID, 10), nil
			}
		}
		return "", noZone(zone)
	})
}

func (p *linode) list(ctx context.Context, at spot) ([]row, error) {
	var out []row
	for page, pages := 1, 1; page <= pages && page <= 50; page++ {
		var l struct {
			Data []struct {
				ID     int64  `json:"id"`
				Type   string `json:"type"`
				Name   string `json:"name"`
				Target string `json:"target"`
			} `json:"data"`
			Pages int `json:"pages"`
		}
		if err := p.filtered(ctx, fmt.Sprintf("/domains/%s/records?page_size=500&page=%d", at.id, page), map[string]string{"type": "TXT"}, &l); err != nil {
			return nil, err
		}
		pages = l.Pages
		for _, r := range l.Data {
			if r.Type == "TXT" && (r.Name == at.sub || r.Name == at.name) {
				out = append(out, row{strconv.FormatInt(r.ID, 10), r.Target})
			}
		}
	}
	return out, nil
}

func (p *linode) add(ctx context.Context, at spot, value string) error {
	in := map[string]any{"type": "TXT", "name": at.sub, "target": value, "ttl_sec": p.ttl}
	return p.call(ctx, http.MethodPost, "/domains/"+at.id+"/records", in, nil)
}

func (p *linode) remove(ctx context.Context, at spot, r row) error {
	return p.call(ctx, http.MethodDelete, "/domains/"+at.id+"/records/"+r.id, nil, nil)
}
