package legochild

import (
	"context"
	"crypto/sha1" // #nosec G505 -- the algorithm of OVH's signature
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/notafter/notafter/internal/assure"
)

// ovhBases are the endpoints by the names that OVHcloud gives them, with their token services.
// https://github.com/ovh/go-ovh#regions
func ovhBases(name string) (base, token string) {
	switch name {
	case "ovh-eu":
		return "https://eu.api.ovh.com/1.0", "https://www.ovh.com/auth/oauth2/token"
	case "ovh-ca":
		return "https://ca.api.ovh.com/1.0", "https://ca.ovh.com/auth/oauth2/token"
	case "ovh-us":
		return "https://api.us.ovhcloud.com/1.0", "https://us.ovhcloud.com/auth/oauth2/token"
	}
	return name, name + "/auth/oauth2/token"
}

func openOVH(s Settings) (writer, error) {
	base, token := ovhBases(s.get("OVH_ENDPOINT"))
	base, err := endpoint(base, false)
	if err != nil {
		return nil, fmt.Errorf("OVH_ENDPOINT is ovh-eu, ovh-ca, ovh-us or an address: %w", err)
	}
	p := &ovh{api: newAPI("OVHcloud", base, nil, sayOVH), ttl: s.whole("OVH_TTL", 120)}
	ak, as, ck := s.get("OVH_APPLICATION_KEY"), s.get("OVH_APPLICATION_SECRET"), s.get("OVH_CONSUMER_KEY")
	switch {
	case ak != "" && as != "" && ck != "":
		p.sign = p.signed(ak, as, ck)
	case s.get("OVH_CLIENT_ID") != "" && s.get("OVH_CLIENT_SECRET") != "":
		conf := clientcredentials.Config{
			ClientID: s.get("OVH_CLIENT_ID"), ClientSecret: s.get("OVH_CLIENT_SECRET"), TokenURL: token,
			Scopes: []string{"all"}, AuthStyle: oauth2.AuthStyleInParams,
		}
		p.sign = func(r *http.Request, _ []byte) error {
			tok, err := conf.Token(r.Context())
			if err == nil {
				tok.SetAuthHeader(r)
			}
			return err
		}
	case s.get("OVH_ACCESS_TOKEN") != "":
		p.sign = header("Authorization", "Bearer "+s.get("OVH_ACCESS_TOKEN"))
	default:
		return nil, fmt.Errorf("ovh needs OVH_APPLICATION_KEY, OVH_APPLICATION_SECRET and OVH_CONSUMER_KEY, or OVH_CLIENT_ID and OVH_CLIENT_SECRET, or OVH_ACCESS_TOKEN")
	}
	return rows{p}, nil
}

// signed signs with an application key (https://help.ovhcloud.com/csm/en-api-getting-started-ovhcloud-api, "Sign"): the
// time is the server's, so that a clock that is wrong here refuses nothing.
func (p *ovh) signed(ak, as, ck string) func(*http.Request, []byte) error {
	var shift *time.Duration
	return func(r *http.Request, body []byte) error {
		if shift == nil {
			var at int64
			plain := newAPI(p.title, p.base, nil, sayOVH)
			if err := plain.call(r.Context(), http.MethodGet, "/auth/time", nil, &at); err != nil {
				return err
			}
			d := time.Until(time.Unix(at, 0))
			shift = &d
		}
		at := strconv.FormatInt(time.Now().Add(*shift).Unix(), 10)
		sum := sha1.Sum([]byte(strings.Join([]string{as, ck, r.Method, r.URL.String(), string(body), at}, "+"))) // #nosec G401
		r.Header.Set("X-Ovh-Application", ak)
		r.Header.Set("X-Ovh-Consumer", ck)
		r.Header.Set("X-Ovh-Timestamp", at)
		r.Header.Set("X-Ovh-Signature", "$1$"+hex.EncodeToString(sum[:]))
		return nil
	}
}

func sayOVH(status int, body []byte) (s said) {
	var e struct {
		Code    string `json:"errorCode"`
		Class   string `json:"class"`
		Message string `json:"message"`
	}
	if status/100 == 2 || json.Unmarshal(body, &e) != nil {
		return s
	}
	s.code, s.text = orElse(e.Code, e.Class), e.Message
	switch s.code {
	case "INVALID_CREDENTIAL", "INVALID_KEY", "NOT_CREDENTIAL", "EXPIRED_CREDENTIAL":
		s.class = assure.TroubleExpired
	case "NOT_GRANTED_CALL":
		s.class = assure.TroubleDenied
	case "QUERY_TIME_OUT":
		s.class = assure.TroubleTransient
	}
	return s
}

type ovh struct {
	*api
	ttl int
}

func (p *ovh) find(ctx context.Context, name string) (spot, error) {
	return zoneOf(ctx, name, 2, func(ctx context.Context, zone string) (string, error) {
		return zone, p.call(ctx, http.MethodGet, "/domain/zone/"+zone, nil, nil)
	})
}

func (p *ovh) list(ctx context.Context, at spot) ([]row, error) {
	var ids []int64
	if err := p.call(ctx, http.MethodGet, "/domain/zone/"+at.zone+"/record?fieldType=TXT&subDomain="+url.QueryEscape(at.sub), nil, &ids); err != nil {
		return nil, err
	}
	if len(ids) > 100 {
		return nil, p.broken("GET /domain/zone/"+at.zone+"/record", fmt.Sprintf("there are %d TXT records at %s", len(ids), at.name))
	}
	var out []row
	for _, id := range ids {
		var r struct {
			Target string `json:"target"`
		}
		n := strconv.FormatInt(id, 10)
		err := p.call(ctx, http.MethodGet, "/domain/zone/"+at.zone+"/record/"+n, nil, &r)
		if isMissing(err) {
			continue // withdrawn by somebody else since
		}
		if err != nil {
			return nil, err
		}
		out = append(out, row{n, r.Target})
	}
	return out, nil
}

func (p *ovh) add(ctx context.Context, at spot, value string) error {
	in := map[string]any{"fieldType": "TXT", "subDomain": at.sub, "target": value, "ttl": p.ttl}
	if err := p.call(ctx, http.MethodPost, "/domain/zone/"+at.zone+"/record", in, nil); err != nil {
		return err
	}
	return p.refresh(ctx, at)
}

func (p *ovh) remove(ctx context.Context, at spot, r row) error {
	if err := p.call(ctx, http.MethodDelete, "/domain/zone/"+at.zone+"/record/"+r.id, nil, nil); err != nil {
		return err
	}
	return p.refresh(ctx, at)
}

// refresh makes the servers load the zone; without it a change is only written down. After a failure of it the change is
// made all the same, with the next one.
func (p *ovh) refresh(ctx context.Context, at spot) error {
	err := p.call(ctx, http.MethodPost, "/domain/zone/"+at.zone+"/refresh", nil, nil)
	if t := troubleIn(err); t != nil {
		t.Happened = true
		if t.Class == assure.TroubleMissing {
			t.Class = assure.TroubleBroken // the zone was there a moment ago
		}
	}
	return err
}
