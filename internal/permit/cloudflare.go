package permit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// CloudflareOptions is an API token whose rights are asked about.
type CloudflareOptions struct {
	Token string // the one that writes
	// Account is the account's id when the token belongs to an account rather than to a user.
	Account string
	// Reader is a second token that may read API tokens (User / API Tokens / Read, or Account / API Tokens / Read). Only
	// with it can the scopes be seen: a token cannot read its own.
	Reader   string
	Endpoint string       // replaces the address of the API, for tests
	Client   *http.Client // nil means one of our own
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Actions that answers are about, named as Cloudflare's dashboard names permissions.
const (
	cloudflareActive = "API token is active"
	cloudflareFind   = "Zone / Zone / Read"
	cloudflareWrite  = "Zone / DNS / Edit"
)

// Permission groups by their ids, which stay when names change (DNS Write was once called DNS Edit).
// https://developers.cloudflare.com/fundamentals/api/reference/permissions/
const (
	cloudflareDNSWrite = "4755a26eedb94da69e1066d98aa820be"
)

// Cloudflare asks whether the token is active and until when, whether it sees the zone, and, with a second token, whether
// its policies let it edit the zone's records. Nothing is retried. Safe for concurrent use.
type Cloudflare struct {
	o CloudflareOptions
}

var cloudflareID = regexp.MustCompile(`^[0-9a-fA-F]{1,64}$`)

// NewCloudflare returns an asker. It asks nothing yet; an error is a wrong setting.
func NewCloudflare(o CloudflareOptions) (*Cloudflare, error) {
	if o.Token == "" {
		return nil, errors.New("cloudflare permissions: the token is required")
	}
	if o.Account != "" && !cloudflareID.MatchString(o.Account) {
		return nil, errors.New("cloudflare permissions: the account's id is not one")
	}
	if err := checkAddress(o.Endpoint); err != nil {
		return nil, fmt.Errorf("cloudflare permissions: %w", err)
	}
	setDefault(&o.Endpoint, "https://api.cloudflare.com/client/v4")
	if o.Client == nil {
		o.Client = newWebClient()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Cloudflare{o}, nil
}

// owner is where the token's owner keeps its tokens.
func (c *Cloudflare) owner() string {
	if c.o.Account != "" {
		return "/accounts/" + c.o.Account
	}
	return "/user"
}

func (c *Cloudflare) web(token string) *web {
	return &web{title: "Cloudflare", client: c.o.Client, token: token, read: cloudflareSaid}
}

// cloudflareToken is a token as Cloudflare describes it. Policies are told to a second token only.
type cloudflareToken struct {
	ID        string             `json:"id"`
	Status    string             `json:"status"`
	ExpiresOn time.Time          `json:"expires_on"`
	NotBefore time.Time          `json:"not_before"`
	Policies  []cloudflarePolicy `json:"policies"`
	Condition struct {
		IP struct {
			In    []string `json:"in"`
			NotIn []string `json:"not_in"`
		} `json:"request_ip"`
	} `json:"condition"`
}

type cloudflarePolicy struct {
	ID     string `json:"id"`
	Effect string `json:"effect"`
	Groups []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"permission_groups"`
	Resources map[string]json.RawMessage `json:"resources"`
}

// Ask answers whether the token is active, whether it sees the zone that holds record, and whether it may write there.
func (c *Cloudflare) Ask(ctx context.Context, record string) []assure.Access {
	record = strings.ToLower(strings.TrimSuffix(record, "."))
	own := c.web(c.o.Token)
	var v struct {
		Result cloudflareToken `json:"result"`
	}
	if t := own.call(ctx, http.MethodGet, c.o.Endpoint+c.owner()+"/tokens/verify", nil, &v); t != nil {
		a := untold(t)
		if t.Reason == assure.CredentialExpiring {
			a.Answer = assure.Forbidden
		}
		return []assure.Access{complete(a, "the API token", cloudflareActive, c.owner())}
	}
	tok := v.Result
	who := "API token " + clean(tok.ID, 64)
	active := complete(c.active(tok), who, cloudflareActive, strings.TrimPrefix(c.owner(), "/"))
	active.Expires = tok.ExpiresOn
	if active.Answer != assure.Allowed {
		return []assure.Access{active}
	}
	out := []assure.Access{active}
	zone, account, seen := c.find(ctx, own, record)
	seen.Expires = tok.ExpiresOn
	out = append(out, complete(seen, who, cloudflareFind, zone.scope(record)))
	if zone.id == "" || c.o.Reader == "" {
		return out
	}
	write := complete(c.scopes(ctx, tok.ID, zone.id, account), who, cloudflareWrite, zone.scope(record))
	write.Expires = tok.ExpiresOn
	return append(out, write)
}

func (c *Cloudflare) active(tok cloudflareToken) assure.Access {
	ended := func(why string) assure.Access {
		return assure.Access{Answer: assure.Forbidden, Detail: why, Trouble: &assure.Trouble{
			Reason: assure.CredentialExpiring, Class: assure.TroubleExpired, Remedy: "Make a new token, or turn it on again, at Cloudflare",
		}}
	}
	now := c.o.Now()
	switch {
	case tok.Status == "expired" || !tok.ExpiresOn.IsZero() && !now.Before(tok.ExpiresOn):
		return ended("the token has expired")
	case tok.Status == "disabled":
		return ended("the token is disabled")
	case !tok.NotBefore.IsZero() && now.Before(tok.NotBefore):
		return ended("the token is not valid before " + tok.NotBefore.UTC().Format(time.RFC3339))
	case tok.Status != "active":
		return untold(&assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleBroken, Detail: "Cloudflare calls the token " + clean(tok.Status, 50)})
	}
	d := "the token is active and has no end"
	if !tok.ExpiresOn.IsZero() {
		d = "the token is active until " + tok.ExpiresOn.UTC().Format(time.RFC3339)
	}
	if c.o.Reader == "" {
		d += "; what it may do was not asked, because no second token that may read tokens is set"
	}
	return assure.Access{Answer: assure.Allowed, Detail: d}
}

// cloudflareZone is a zone by name and id.
type cloudflareZone struct{ name, id string }

func (z cloudflareZone) scope(record string) string {
	if z.name == "" {
		return record
	}
	return z.name
}

// find looks for the zone that holds the record as the writer does.
func (c *Cloudflare) find(ctx context.Context, own *web, record string) (zone cloudflareZone, account string, a assure.Access) {
	labels := strings.Split(record, ".")
	for i := max(0, len(labels)-10); i < len(labels)-1; i++ {
		name := strings.Join(labels[i:], ".")
		var l struct {
			Result []struct {
				ID      string `json:"id"`
				Name    string `json:"name"`
				Account struct {
					ID string `json:"id"`
				} `json:"account"`
			} `json:"result"`
		}
		if t := own.call(ctx, http.MethodGet, c.o.Endpoint+"/zones?name="+url.QueryEscape(name), nil, &l); t != nil {
			a := untold(t)
			if t.Class == assure.TroubleDenied {
				t.Reason, a.Answer = assure.DNSWriteDenied, assure.Forbidden
				t.Remedy = "Give the token Zone / Zone / Read on the zone"
			}
			return zone, "", a
		}
		for _, z := range l.Result {
			if z.Name == name && cloudflareID.MatchString(z.ID) {
				return cloudflareZone{name, z.ID}, z.Account.ID, assure.Access{Answer: assure.Allowed, Detail: "the token sees the zone"}
			}
		}
	}
	return zone, "", assure.Access{Answer: assure.Forbidden, Detail: "the token sees no zone that holds " + clean(record, 260), Trouble: &assure.Trouble{
		Reason: assure.DNSWriteDenied, Class: assure.TroubleMissing, Remedy: "Give the token Zone / Zone / Read and Zone / DNS / Edit on the zone, if it is still in the account",
	}}
}

// scopes reads the token's policies with the second token.
func (c *Cloudflare) scopes(ctx context.Context, token, zone, account string) assure.Access {
	if !cloudflareID.MatchString(token) {
		return untold(&assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleBroken, Detail: "Cloudflare did not tell the token's id"})
	}
	var v struct {
		Result cloudflareToken `json:"result"`
	}
	if t := c.web(c.o.Reader).call(ctx, http.MethodGet, c.o.Endpoint+c.owner()+"/tokens/"+token, nil, &v); t != nil {
		// Whatever is wrong with the second token says nothing about the first.
		t.Reason = assure.PermissionUnclear
		t.Remedy = "See that the second token is active and may read API tokens"
		return untold(t)
	}
	return cloudflareDecide(v.Result, zone, account)
}

// cloudflareDecide reads whether a token's policies let it edit a zone's records. A denial wins over what is allowed.
func cloudflareDecide(tok cloudflareToken, zone, account string) assure.Access {
	var a assure.Access
	for i, p := range tok.Policies {
		writes := false
		for _, g := range p.Groups {
			if g.ID == cloudflareDNSWrite || g.ID == "" && (g.Name == "DNS Write" || g.Name == "DNS Edit") {
				writes = true
			}
		}
		if !writes || !cloudflareCovers(p.Resources, zone, account) || i >= 100 {
			continue
		}
		name := "policy " + clean(p.ID, 64)
		if p.Effect == "deny" {
			a.Blockers = append(a.Blockers, name)
		} else {
			a.Grants = append(a.Grants, name)
		}
	}
	ip := tok.Condition.IP
	switch {
	case len(a.Blockers) > 0:
		a.Answer, a.Detail = assure.Forbidden, "a policy of the token denies it"
		a.Trouble = &assure.Trouble{Reason: assure.DNSWriteDenied, Class: assure.TroubleForbidden, Remedy: "Take the denial out of the token's policies"}
	case len(a.Grants) == 0:
		a.Answer, a.Detail = assure.Forbidden, "no policy of the token allows it on this zone"
		a.Trouble = &assure.Trouble{Reason: assure.DNSWriteDenied, Class: assure.TroubleDenied, Remedy: "Give the token Zone / DNS / Edit on the zone"}
	case len(ip.In)+len(ip.NotIn) > 0:
		// The token was just used from here for the questions before, so that the condition holds for this machine.
		a.Answer, a.Detail = assure.Allowed, "the token's policies allow it, from some addresses only, of which this machine's is one"
	default:
		a.Answer, a.Detail = assure.Allowed, "the token's policies allow it"
	}
	return a
}

// cloudflareCovers reports whether a policy's resources hold the zone. They are names of accounts or zones, "*" for all of a
// kind, with "*" or, for an account, a mapping of its zones as value.
// https://developers.cloudflare.com/fundamentals/api/how-to/create-via-api/#resources
func cloudflareCovers(resources map[string]json.RawMessage, zone, account string) bool {
	const zones, accounts = "com.cloudflare.api.account.zone.", "com.cloudflare.api.account."
	for name, value := range resources {
		if of, ok := strings.CutPrefix(name, zones); ok {
			if of == "*" || of == zone {
				return true
			}
			continue
		}
		of, ok := strings.CutPrefix(name, accounts)
		if !ok || of != "*" && (account == "" || of != account) {
			continue
		}
		var within map[string]json.RawMessage
		if json.Unmarshal(value, &within) != nil {
			continue // a permission on the account itself
		}
		for n := range within {
			if of, ok := strings.CutPrefix(n, zones); ok && (of == "*" || of == zone) {
				return true
			}
		}
	}
	return false
}

func cloudflareSaid(body []byte) string {
	var e struct {
		Errors []struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &e) != nil || len(e.Errors) == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", e.Errors[0].Code, e.Errors[0].Message)
}

// complete fills in what every answer has.
func complete(a assure.Access, who, action, scope string) assure.Access {
	a.Identity, a.Action, a.Scope = who, action, scope
	if a.Trouble != nil {
		t := *a.Trouble
		t.Identity, t.Action, t.Scope = who, action, scope
		if t.Detail == "" {
			t.Detail = a.Detail
		}
		a.Trouble = &t
	}
	return a
}
