package legochild

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Hetzner adds records to a set and removes them from it in actions of their own, which touch no other value.
// https://docs.hetzner.cloud/reference/cloud#zone-rrset-actions
const hetznerBase = "https://api.hetzner.cloud/v1"

func openHetzner(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("HETZNER_API_URL"), hetznerBase), false)
	if err != nil {
		return nil, err
	}
	return rows{&hetzner{newAPI("Hetzner", base, header("Authorization", "Bearer "+s.get("HETZNER_API_TOKEN")), sayHetzner), s.whole("HETZNER_TTL", 120), false}}, nil
}

func sayHetzner(status int, body []byte) (s said) {
	var e struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if status/100 == 2 || json.Unmarshal(body, &e) != nil {
		return s
	}
	s.code, s.text = e.Error.Code, e.Error.Message
	s.class = hetznerClass(s.code)
	return s
}

func hetznerClass(code string) assure.TroubleClass {
	switch code {
	case "unauthorized":
		return assure.TroubleExpired
	case "forbidden", "token_readonly":
		return assure.TroubleDenied
	case "protected", "resource_limit_exceeded", "incorrect_zone_mode":
		return assure.TroubleForbidden
	case "conflict", "locked":
		return assure.TroubleConflict
	case "rate_limit_exceeded":
		return assure.TroubleThrottled
	case "not_found":
		return assure.TroubleMissing
	case "service_error", "unavailable", "maintenance", "timeout":
		return assure.TroubleTransient
	}
	return ""
}

type hetzner struct {
	*api
	ttl int
	// there is whether list found a set: one that exists keeps its TTL. A writer lives for one operation.
	there bool
}

func (p *hetzner) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		return zone, p.call(ctx, http.MethodGet, "/zones/"+zone, nil, nil)
	})
}

func (p *hetzner) set(at spot) string {
	return "/zones/" + at.zone + "/rrsets/" + url.PathEscape(at.at()) + "/TXT"
}

func (p *hetzner) list(ctx context.Context, at spot) ([]row, error) {
	var l struct {
		Set struct {
			Records []struct {
				Value string `json:"value"`
			} `json:"records"`
		} `json:"rrset"`
	}
	err := p.call(ctx, http.MethodGet, p.set(at), nil, &l)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p.there = true
	var out []row
	for _, r := range l.Set.Records {
		out = append(out, row{r.Value, r.Value})
	}
	return out, nil
}

func (p *hetzner) add(ctx context.Context, at spot, value string) error {
	in := map[string]any{"records": []any{map[string]any{"value": quote(value)}}}
	if !p.there {
		in["ttl"] = p.ttl
	}
	return p.act(ctx, p.set(at)+"/actions/add_records", in)
}

func (p *hetzner) remove(ctx context.Context, at spot, r row) error {
	return p.act(ctx, p.set(at)+"/actions/remove_records", map[string]any{"records": []any{map[string]any{"value": r.value}}})
}

// act starts an action and waits for its end.
func (p *hetzner) act(ctx context.Context, path string, in any) error {
	return retryConflict(ctx, func() error {
		type action struct {
			ID     int64  `json:"id"`
			Status string `json:"status"`
			Error  struct {
				Code    string `json:"code"`
				Message string `json:"message"`
			} `json:"error"`
		}
		var a struct {
			Action action `json:"action"`
		}
		if err := p.call(ctx, http.MethodPost, path, in, &a); err != nil {
			return err
		}
		id := a.Action.ID
		for wait := 100 * time.Millisecond; a.Action.Status == "running"; wait = min(2*wait, 2*time.Second) {
			pause := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				pause.Stop()
				return p.unanswered("POST "+path, http.MethodPost, ctx.Err())
			case <-pause.C:
			}
			if err := p.call(ctx, http.MethodGet, fmt.Sprintf("/actions/%d", id), nil, &a); err != nil {
				if t := troubleIn(err); t != nil {
					t.Happened = true
				}
				return err
			}
		}
		if a.Action.Status != "success" {
			class := hetznerClass(a.Action.Error.Code)
			if class == "" {
				class = assure.TroubleTransient
			}
			reason := assure.DNSWriteFailed
			if class == assure.TroubleDenied || class == assure.TroubleForbidden {
				reason = assure.DNSWriteDenied
			}
			return &assure.Trouble{
				Reason: reason, Class: class, Action: "POST " + path,
				Detail: "Hetzner's action failed: " + plain(strings.TrimSpace(a.Action.Error.Code+" "+a.Action.Error.Message), 300),
			}
		}
		return nil
	})
}
