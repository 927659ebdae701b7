package legochild

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// https://developers.cloudflare.com/api/resources/dns/subresources/records/
const cloudflareBase = "https://api.cloudflare.com/client/v4"

func openCloudflare(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("CLOUDFLARE_BASE_URL"), cloudflareBase), false)
	if err != nil {
		return nil, err
	}
	token := s.get("CF_DNS_API_TOKEN", "CLOUDFLARE_DNS_API_TOKEN")
	zones := orElse(s.get("CF_ZONE_API_TOKEN", "CLOUDFLARE_ZONE_API_TOKEN"), token)
	mail, key := s.get("CF_API_EMAIL", "CLOUDFLARE_EMAIL"), s.get("CF_API_KEY", "CLOUDFLARE_API_KEY")
	switch {
	case token != "":
		return rows{&cloudflare{
			zones:   newAPI("Cloudflare", base, header("Authorization", "Bearer "+zones), sayCloudflare),
			records: newAPI("Cloudflare", base, header("Authorization", "Bearer "+token), sayCloudflare),
			ttl:     s.whole("CLOUDFLARE_TTL", 120),
		}}, nil
	case mail != "" && key != "":
		a := newAPI("Cloudflare", base, func(r *http.Request, _ []byte) error {
			r.Header.Set("X-Auth-Email", mail)
			r.Header.Set("X-Auth-Key", key)
			return nil
		}, sayCloudflare)
		return rows{&cloudflare{zones: a, records: a, ttl: s.whole("CLOUDFLARE_TTL", 120)}}, nil
	}
	return nil, fmt.Errorf("cloudflare needs CF_DNS_API_TOKEN, or CF_API_EMAIL and CF_API_KEY")
}

func sayCloudflare(status int, body []byte) (s said) {
	var e struct {
		Success bool `json:"success"`
		Errors  []struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Chain   []struct {
				Message string `json:"message"`
			} `json:"error_chain"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil || e.Success {
		return s
	}
	s.bad = true
	if len(e.Errors) == 0 {
		return s
	}
	first := e.Errors[0]
	s.code, s.text = strconv.Itoa(first.Code), first.Message
	for _, c := range first.Chain {
		s.text += ": " + c.Message
	}
	switch first.Code {
	case 10000: // authentication error: for a token that is known and may not, too, with 403
		s.class = assure.TroubleExpired
		if status == http.StatusForbidden {
			s.class = assure.TroubleDenied
		}
	case 1000, 6003, 6111, 9103, 9106, 9107: // invalid token, headers or key
		s.class = assure.TroubleExpired
	case 9109: // no access to the zone, or from this address
		s.class = assure.TroubleDenied
		if strings.Contains(strings.ToLower(s.text), "invalid access token") {
			s.class = assure.TroubleExpired
		}
	case 81057, 81058: // an identical record exists
		s.class = assure.TroubleConflict
	case 81044, 7003: // no such record, no such zone
		s.class = assure.TroubleMissing
	}
	return s
}

type cloudflare struct {
	zones, records *api
	ttl            int
}

func (p *cloudflare) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		var l struct {
			Zones []struct {
				ID   string `json:"id"`
				Name string `json:"name"`
			} `json:"result"`
		}
		if err := p.zones.call(ctx, http.MethodGet, "/zones?per_page=50&name="+url.QueryEscape(zone), nil, &l); err != nil {
			return "", err
		}
		for _, z := range l.Zones {
			if z.Name == zone {
				return z.ID, nil
			}
		}
		return "", noZone(zone)
	})
}

func (p *cloudflare) list(ctx context.Context, at spot) ([]row, error) {
	var l struct {
		Records []struct {
			ID      string `json:"id"`
			Content string `json:"content"`
		} `json:"result"`
	}
	if err := p.records.call(ctx, http.MethodGet, "/zones/"+url.PathEscape(at.id)+"/dns_records?type=TXT&per_page=1000&name="+url.QueryEscape(at.name), nil, &l); err != nil {
		return nil, err
	}
	var out []row
	for _, r := range l.Records {
		out = append(out, row{r.ID, r.Content})
	}
	return out, nil
}

func (p *cloudflare) add(ctx context.Context, at spot, value string) error {
	in := map[string]any{"type": "TXT", "name": at.name, "content": quote(value), "ttl": p.ttl}
	err := p.records.call(ctx, http.MethodPost, "/zones/"+url.PathEscape(at.id)+"/dns_records", in, nil)
	if t := troubleIn(err); t != nil && t.Class == assure.TroubleConflict {
		return nil // written by another process since it was looked for
	}
	return err
}

func (p *cloudflare) remove(ctx context.Context, at spot, r row) error {
	return p.records.call(ctx, http.MethodDelete, "/zones/"+url.PathEscape(at.id)+"/dns_records/"+url.PathEscape(r.id), nil, nil)
}
