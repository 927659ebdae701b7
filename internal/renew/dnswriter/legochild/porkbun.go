package legochild

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// https://porkbun.com/api/json/v3/documentation
const porkbunBase = "https://api.porkbun.com/api/json/v3"

func openPorkbun(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("PORKBUN_API_URL"), porkbunBase), false)
	if err != nil {
		return nil, err
	}
	return rows{&porkbun{newAPI("Porkbun", base, nil, sayPorkbun), s.get("PORKBUN_API_KEY"), s.get("PORKBUN_SECRET_API_KEY"), max(300, s.whole("PORKBUN_TTL", 300))}}, nil
}

func sayPorkbun(status int, body []byte) (s said) {
	var e struct {
		Status  string `json:"status"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &e) != nil || e.Status == "SUCCESS" {
		return s
	}
	s.bad, s.code, s.text = true, e.Code, e.Message
	switch m := strings.ToLower(e.Code + " " + e.Message); {
	case strings.Contains(m, "invalid api key"), strings.Contains(m, "invalid_api_key"):
		s.class = assure.TroubleExpired
	case strings.Contains(m, "not opted in"), strings.Contains(m, "not enabled for api"):
		s.class = assure.TroubleDenied
	case strings.Contains(m, "invalid domain"), strings.Contains(m, "invalid record id"), strings.Contains(m, "domain not found"):
		s.class = assure.TroubleMissing
	}
	return s
}

type porkbun struct {
	*api
	key, secret string
	ttl         int
}

// ask adds the keys, which this API takes in the body.
func (p *porkbun) ask(ctx context.Context, path string, in map[string]string, out any, reading bool) error {
	if in == nil {
		in = map[string]string{}
	}
	in["apikey"], in["secretapikey"] = p.key, p.secret
	err := p.call(ctx, http.MethodPost, path, in, out)
	if t := troubleIn(err); t != nil && reading {
		t.Happened = false
	}
	return err
}

func (p *porkbun) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		return zone, p.ask(ctx, "/dns/retrieveByNameType/"+zone+"/NS", nil, nil, true)
	})
}

func (p *porkbun) list(ctx context.Context, at spot) ([]row, error) {
	var l struct {
		Records []struct {
			ID      json.RawMessage `json:"id"` // a number in a string, or not
			Content string          `json:"content"`
		} `json:"records"`
	}
	path := "/dns/retrieveByNameType/" + at.zone + "/TXT"
	if at.sub != "" {
		path += "/" + at.sub
	}
	if err := p.ask(ctx, path, nil, &l, true); err != nil {
		return nil, err
	}
	var out []row
	for _, r := range l.Records {
		id := strings.Trim(string(r.ID), `"`)
		if _, err := strconv.ParseUint(id, 10, 64); err != nil {
			return nil, p.broken("POST "+path, "Porkbun named a record by what is no number")
		}
		out = append(out, row{id, r.Content})
	}
	return out, nil
}

func (p *porkbun) add(ctx context.Context, at spot, value string) error {
	return p.ask(ctx, "/dns/create/"+at.zone, map[string]string{"name": at.sub, "type": "TXT", "content": value, "ttl": strconv.Itoa(p.ttl)}, nil, false)
}

func (p *porkbun) remove(ctx context.Context, at spot, r row) error {
	return p.ask(ctx, "/dns/delete/"+at.zone+"/"+r.id, nil, nil, false)
}
