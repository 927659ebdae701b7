package legochild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/notafter/notafter/internal/assure"
)

// Cloud DNS makes the deletions and additions of one change whole or not at all, and refuses to delete a set that is not
// exactly what was named: an exchange by comparison. https://cloud.google.com/dns/docs/reference/rest/v1/changes/create
const (
	gcloudBase  = "https://dns.googleapis.com/dns/v1"
	gcloudScope = "https://www.googleapis.com/auth/ndev.clouddns.readwrite"
	iamBase     = "https://iamcredentials.googleapis.com/v1"
)

func openGcloud(s Settings) (writer, error) {
	base, err := endpoint(orElse(s.get("GCE_API_URL"), gcloudBase), false)
	if err != nil {
		return nil, err
	}
	key := []byte(s.get("GCE_SERVICE_ACCOUNT"))
	if f := s.get("GCE_SERVICE_ACCOUNT_FILE"); f != "" && len(key) == 0 {
		if key, err = os.ReadFile(f); err != nil {
			return nil, fmt.Errorf("read GCE_SERVICE_ACCOUNT_FILE: %w", err)
		}
	}
	p := &gcloud{project: s.get("GCE_PROJECT"), zone: s.get("GCE_ZONE_ID"), private: s.get("GCE_ALLOW_PRIVATE_ZONE") == "true"}
	tokens := func(context.Context) (oauth2.TokenSource, error) {
		return google.DefaultTokenSource(context.Background(), gcloudScope)
	}
	switch {
	case s.get("GCE_ACCESS_TOKEN") != "":
		tokens = func(context.Context) (oauth2.TokenSource, error) {
			return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: s.get("GCE_ACCESS_TOKEN")}), nil
		}
	case len(key) > 0:
		conf, err := google.JWTConfigFromJSON(key, gcloudScope)
		if err != nil {
			return nil, fmt.Errorf("the service account's key is not one in JSON") // the error may hold a part of it
		}
		var of struct {
			Project string `json:"project_id"`
		}
		if json.Unmarshal(key, &of) == nil && p.project == "" {
			p.project = of.Project
		}
		if s.get("GCE_IMPERSONATE_SERVICE_ACCOUNT") != "" {
			conf.Scopes = []string{"https://www.googleapis.com/auth/cloud-platform"}
		}
		tokens = func(ctx context.Context) (oauth2.TokenSource, error) { return conf.TokenSource(ctx), nil }
	}
	p.api = newAPI("Cloud DNS", base, nil, sayGoogle)
	p.sign = func(r *http.Request, _ []byte) error {
		src, err := tokens(r.Context())
		if err != nil {
			return err
		}
		tok, err := src.Token()
		if err != nil {
			return err
		}
		if as := s.get("GCE_IMPERSONATE_SERVICE_ACCOUNT"); as != "" {
			if tok, err = impersonate(r.Context(), s, as, tok); err != nil {
				return err
			}
		}
		tok.SetAuthHeader(r)
		return nil
	}
	return sets{p, s.whole("GCE_TTL", 120)}, nil
}

// impersonate exchanges a token for one of another service account.
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
func impersonate(ctx context.Context, s Settings, as string, tok *oauth2.Token) (*oauth2.Token, error) {
	base, err := endpoint(orElse(s.get("GCE_IAM_URL"), iamBase), false)
	if err != nil {
		return nil, err
	}
	a := newAPI("IAM", base, func(r *http.Request, _ []byte) error { tok.SetAuthHeader(r); return nil }, sayGoogle)
	var out struct {
		Token string `json:"accessToken"`
	}
	in := map[string]any{"scope": []string{gcloudScope}}
	if err := a.call(ctx, http.MethodPost, "/projects/-/serviceAccounts/"+url.PathEscape(as)+":generateAccessToken", in, &out); err != nil {
		if t := troubleIn(err); t != nil {
			t.Action, t.Scope, t.Happened = "iam.serviceAccounts.getAccessToken", as, false
			return nil, t
		}
		return nil, err
	}
	return &oauth2.Token{AccessToken: out.Token}, nil
}

func sayGoogle(status int, body []byte) (s said) {
	var e struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	if status/100 == 2 || json.Unmarshal(body, &e) != nil {
		return s
	}
	s.code, s.text = e.Error.Status, e.Error.Message
	if len(e.Error.Errors) > 0 {
		s.code = e.Error.Errors[0].Reason
	}
	switch s.code {
	case "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded", "RESOURCE_EXHAUSTED":
		s.class = assure.TroubleThrottled
	case "alreadyExists", "conditionNotMet", "preconditionFailed", "ABORTED":
		s.class = assure.TroubleConflict
	case "accessNotConfigured", "SERVICE_DISABLED":
		s.class = assure.TroubleForbidden
	case "forbidden", "PERMISSION_DENIED":
		s.class = assure.TroubleDenied
	case "notFound":
		// A deletion of a set that is gone is answered so too: somebody changed it since it was read.
		if strings.Contains(s.text, "'entity.change.deletions") {
			s.class = assure.TroubleConflict
		}
	}
	return s
}

type gcloud struct {
	*api
	project, zone string
	private       bool
}

func (p *gcloud) find(ctx context.Context, name string) (spot, error) {
	if p.project == "" {
		// Asked of the machine only when nothing else tells it.
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		id, err := metadata.ProjectIDWithContext(ctx)
		if err != nil {
			return spot{}, invalid("GCE_PROJECT is not set and this machine does not tell a project")
		}
		p.project = id
	}
	if p.zone != "" {
		return spot{name: name, id: p.zone}, nil
	}
	return zoneOf(ctx, name, 1, func(ctx context.Context, zone string) (string, error) {
		var l struct {
			Zones []struct {
				Name       string `json:"name"`
				DNSName    string `json:"dnsName"`
				Visibility string `json:"visibility"`
			} `json:"managedZones"`
		}
		if err := p.call(ctx, http.MethodGet, "/projects/"+url.PathEscape(p.project)+"/managedZones?dnsName="+url.QueryEscape(zone+"."), nil, &l); err != nil {
			if isMissing(err) { // of the project: a zone that is not there gives an empty list
				return "", &assure.Trouble{Reason: assure.DNSWriteFailed, Class: assure.TroubleInvalid, Scope: "project " + p.project, Detail: troubleIn(err).Detail}
			}
			return "", err
		}
		for _, z := range l.Zones {
			if z.DNSName == zone+"." && (z.Visibility != "private" || p.private) {
				return z.Name, nil
			}
		}
		return "", noZone(zone)
	})
}

type gcloudSet struct {
	Name string   `json:"name"`
	Type string   `json:"type"`
	TTL  int      `json:"ttl"`
	Data []string `json:"rrdatas"`
}

func (p *gcloud) at(at spot) string {
	return "/projects/" + url.PathEscape(p.project) + "/managedZones/" + url.PathEscape(at.id)
}

func (p *gcloud) read(ctx context.Context, at spot) (set, error) {
	var l struct {
		Sets []gcloudSet `json:"rrsets"`
	}
	if err := p.call(ctx, http.MethodGet, p.at(at)+"/rrsets?type=TXT&name="+url.QueryEscape(at.name+"."), nil, &l); err != nil {
		return set{}, err
	}
	for _, s := range l.Sets {
		if s.Type == "TXT" && s.Name == at.name+"." {
			return set{ttl: s.TTL, data: s.Data}, nil
		}
	}
	return set{}, nil
}

func (p *gcloud) swap(ctx context.Context, at spot, from, to set) error {
	var q struct {
		Add []gcloudSet `json:"additions,omitempty"`
		Del []gcloudSet `json:"deletions,omitempty"`
	}
	if len(from.data) > 0 {
		q.Del = []gcloudSet{{at.name + ".", "TXT", from.ttl, from.data}}
	}
	if len(to.data) > 0 {
		q.Add = []gcloudSet{{at.name + ".", "TXT", to.ttl, to.data}}
	}
	return p.call(ctx, http.MethodPost, p.at(at)+"/changes", q, nil)
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// troubleIn is the trouble in an error, or nil.
func troubleIn(err error) *assure.Trouble {
	var t *assure.Trouble
	if errors.As(err, &t) {
		return t
	}
	return nil
}
