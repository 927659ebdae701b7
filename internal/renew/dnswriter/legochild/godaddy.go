package legochild

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// GoDaddy adds a record without touching others, but can only replace or delete all TXT records at a name.
// https://developer.godaddy.com/doc/endpoint/domains
const godaddyBase = "https://api.godaddy.com"

func openGodaddy(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("GODADDY_API_URL"), godaddyBase), false)
	if err != nil {
		return nil, err
	}
	auth := "sso-key " + s.get("GODADDY_API_KEY") + ":" + s.get("GODADDY_API_SECRET")
	ttl := max(600, s.whole("GODADDY_TTL", 600))
	return sets{&godaddy{newAPI("GoDaddy", base, header("Authorization", auth), sayGodaddy)}, ttl}, nil
}

func sayGodaddy(status int, body []byte) (s said) {
	var e struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Retry   int    `json:"retryAfterSec"`
	}
	if status/100 == 2 || json.Unmarshal(body, &e) != nil {
		return s
	}
	s.code, s.text, s.retry = e.Code, e.Message, min(max(0, time.Duration(e.Retry)), 86400)*time.Second
	switch s.code {
	case "UNABLE_TO_AUTHENTICATE", "INVALID_API_KEY", "MISSING_CREDENTIALS":
		s.class = assure.TroubleExpired
	case "ACCESS_DENIED":
		s.class = assure.TroubleDenied
	case "UNKNOWN_DOMAIN", "NOT_FOUND":
		s.class = assure.TroubleMissing
	case "DUPLICATE_RECORD":
		s.class = assure.TroubleConflict
	}
	return s
}

type godaddy struct{ *api }

type godaddyRecord struct {
	Data string `json:"data"`
	Name string `json:"name,omitempty"`
	TTL  int    `json:"ttl"`
	Type string `json:"type,omitempty"`
}

func (p *godaddy) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		return zone, p.call(ctx, http.MethodGet, "/v1/domains/"+zone+"/records/NS/@", nil, nil)
	})
}

func (p *godaddy) path(at spot) string { return "/v1/domains/" + at.zone + "/records/TXT/" + at.at() }

func (p *godaddy) read(ctx context.Context, at spot) (set, error) {
	var l []godaddyRecord
	if err := p.call(ctx, http.MethodGet, p.path(at), nil, &l); err != nil {
		if isMissing(err) {
			return set{}, nil
		}
		return set{}, err
	}
	var s set
	for _, r := range l {
		if r.Data != "" { // GoDaddy leaves empty records behind
			s.ttl, s.data = r.TTL, append(s.data, r.Data)
		}
	}
	return s, nil
}

func (p *godaddy) swap(ctx context.Context, at spot, from, to set) error {
	if len(to.data) == 0 {
		return p.call(ctx, http.MethodDelete, p.path(at), nil, nil)
	}
	if len(to.data) > len(from.data) { // one more: added, not replaced
		added := godaddyRecord{Data: bare(to.data[len(to.data)-1]), Name: at.at(), TTL: to.ttl, Type: "TXT"}
		return p.call(ctx, http.MethodPatch, "/v1/domains/"+at.zone+"/records", []godaddyRecord{added}, nil)
	}
	var l []godaddyRecord
	for _, d := range to.data {
		l = append(l, godaddyRecord{Data: d, TTL: to.ttl})
	}
	return p.call(ctx, http.MethodPut, p.path(at), l, nil)
}
