package legochild

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/notafter/notafter/internal/assure"
)

// LiveDNS holds a set for each name. Creating one that exists is refused, so the first value is safe; otherwise a set can
// only be replaced, and nothing can be compared first. https://api.gandi.net/docs/livedns/
const gandiBase = "https://api.gandi.net/v5/livedns"

func openGandi(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("GANDIV5_API_URL"), gandiBase), false)
	if err != nil {
		return nil, err
	}
	auth := "Bearer " + s.get("GANDIV5_PERSONAL_ACCESS_TOKEN")
	if s.get("GANDIV5_PERSONAL_ACCESS_TOKEN") == "" {
		if s.get("GANDIV5_API_KEY") == "" {
			return nil, fmt.Errorf("gandiv5 needs GANDIV5_PERSONAL_ACCESS_TOKEN")
		}
		auth = "Apikey " + s.get("GANDIV5_API_KEY")
	}
	return sets{&gandi{newAPI("Gandi", base, header("Authorization", auth), sayGandi)}, max(300, s.whole("GANDIV5_TTL", 300))}, nil
}

func sayGandi(status int, body []byte) (s said) {
	var e struct {
		Cause   string `json:"cause"`
		Message string `json:"message"`
	}
	if status/100 == 2 || json.Unmarshal(body, &e) != nil {
		return s
	}
	s.code, s.text = e.Cause, e.Message
	return s
}

type gandi struct{ *api }

func (p *gandi) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		return zone, p.call(ctx, http.MethodGet, "/domains/"+zone, nil, nil)
	})
}

func (p *gandi) path(at spot) string {
	return "/domains/" + at.zone + "/records/" + url.PathEscape(at.at()) + "/TXT"
}

func (p *gandi) read(ctx context.Context, at spot) (set, error) {
	var r struct {
		TTL  int      `json:"rrset_ttl"`
		Data []string `json:"rrset_values"`
	}
	err := p.call(ctx, http.MethodGet, p.path(at), nil, &r)
	if isMissing(err) {
		return set{}, nil
	}
	return set{ttl: r.TTL, data: r.Data}, err
}

func (p *gandi) swap(ctx context.Context, at spot, from, to set) error {
	method := http.MethodPut
	switch {
	case len(to.data) == 0:
		return p.call(ctx, http.MethodDelete, p.path(at), nil, nil)
	case len(from.data) == 0:
		method = http.MethodPost
	}
	err := p.call(ctx, method, p.path(at), map[string]any{"rrset_ttl": to.ttl, "rrset_values": to.data}, nil)
	if t := troubleIn(err); t != nil && t.Class == assure.TroubleMissing {
		t.Class = assure.TroubleConflict // it was there when it was read
	}
	return err
}
