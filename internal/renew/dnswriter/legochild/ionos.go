package legochild

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// https://developer.hosting.ionos.com/docs/dns
const ionosBase = "https://api.hosting.ionos.com/dns"

func openIonos(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("IONOS_API_URL"), ionosBase), false)
	if err != nil {
		return nil, err
	}
	return rows{&ionos{newAPI("IONOS", base, header("X-API-Key", s.get("IONOS_API_KEY")), sayIonos), max(60, s.whole("IONOS_TTL", 300))}}, nil
}

func sayIonos(status int, body []byte) (s said) {
	var e []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if status/100 == 2 || json.Unmarshal(body, &e) != nil || len(e) == 0 {
		return s
	}
	s.code, s.text = e[0].Code, e[0].Message
	switch s.code {
	case "UNAUTHORIZED", "INVALID_API_KEY":
		s.class = assure.TroubleExpired
	case "FORBIDDEN":
		s.class = assure.TroubleDenied
	case "RATE_LIMIT_EXCEEDED":
		s.class = assure.TroubleThrottled
	case "ZONE_NOT_FOUND", "RECORD_NOT_FOUND":
		s.class = assure.TroubleMissing
	}
	return s
}

type ionos struct {
	*api
	ttl int
}

func (p *ionos) find(ctx context.Context, name string) (spot, error) {
	var l []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	if err := p.call(ctx, http.MethodGet, "/v1/zones", nil, &l); err != nil {
		return spot{}, err
	}
	best := spot{name: name}
	for _, z := range l {
		if zone := strings.ToLower(z.Name); zone != "" && strings.HasSuffix("."+name, "."+zone) && len(zone) > len(best.zone) {
			best.zone, best.id = zone, z.ID
		}
	}
	if best.zone == "" {
		return spot{}, noZone(name)
	}
	return best, nil
}

func (p *ionos) list(ctx context.Context, at spot) ([]row, error) {
	var l struct {
		Records []struct {
			ID      string `json:"id"`
			Name    string `json:"name"`
			Type    string `json:"type"`
			Content string `json:"content"`
		} `json:"records"`
	}
	if err := p.call(ctx, http.MethodGet, "/v1/zones/"+url.PathEscape(at.id)+"?recordType=TXT&recordName="+url.QueryEscape(at.name), nil, &l); err != nil {
		return nil, err
	}
	var out []row
	for _, r := range l.Records {
		if r.Type == "TXT" && r.Name == at.name {
			out = append(out, row{r.ID, r.Content})
		}
	}
	return out, nil
}

func (p *ionos) add(ctx context.Context, at spot, value string) error {
	in := []any{map[string]any{"name": at.name, "type": "TXT", "content": value, "ttl": p.ttl, "prio": 0, "disabled": false}}
	return p.call(ctx, http.MethodPost, "/v1/zones/"+url.PathEscape(at.id)+"/records", in, nil)
}

func (p *ionos) remove(ctx context.Context, at spot, r row) error {
	return p.call(ctx, http.MethodDelete, "/v1/zones/"+url.PathEscape(at.id)+"/records/"+url.PathEscape(r.id), nil, nil)
}
