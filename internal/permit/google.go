package permit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/notafter/notafter/internal/assure"
)

// GoogleOptions is a managed zone in Cloud DNS and the identity whose rights there are asked about.
type GoogleOptions struct {
	Project string // empty for the service account's
	Zone    string // the managed zone's name (not its DNS name); empty to look for it, as the writer then does, too
	// Key is a service account's key in JSON; empty for Token.
	Key []byte
	// Token is an access token; empty, with Key, for the default credentials of the machine, such as its metadata server.
	Token string
	// Impersonate is the mail address of the service account that is acted as.
	Impersonate string
	// Endpoint and IAM replace the addresses of Cloud DNS and of the service that impersonates, for tests.
	Endpoint, IAM string
	Client        *http.Client // nil means one of our own
}

// What a renewal needs at the zone (https://cloud.google.com/dns/docs/access-control): a change creates and deletes sets.
var googleActions = [...]string{
	"dns.changes.create", "dns.resourceRecordSets.list", "dns.resourceRecordSets.create", "dns.resourceRecordSets.update", "dns.resourceRecordSets.delete",
}

// googleListing is needed at the project when the zone is looked for.
const googleListing = "dns.managedZones.list"

const googleScope = "https://www.googleapis.com/auth/cloud-platform"

// Google asks Cloud DNS which of the needed permissions the caller has on the managed zone (testIamPermissions, which
// counts what is granted on the project, too). Google warns that this may say yes without knowing, and it says nothing at all, rather than "not found", about a zone that is
// not there; therefore a zone with no permission at all is looked at, too. It can be asked about the caller only.
//
// It needs no permission but the ones that are asked about. Nothing is retried. Safe for concurrent use.
type Google struct {
	o      GoogleOptions
	who    string
	tokens func(context.Context) (oauth2.TokenSource, error)
}

var googleName = regexp.MustCompile(`^[a-zA-Z0-9._:-]{1,100}$`)

// NewGoogle returns an asker. It asks nothing yet; an error is a wrong setting.
func NewGoogle(o GoogleOptions) (*Google, error) {
	g := &Google{o: o, who: "the caller"}
	if g.o.Client == nil {
		g.o.Client = newWebClient()
	}
	for _, a := range []string{o.Endpoint, o.IAM} {
		if err := checkAddress(a); err != nil {
			return nil, fmt.Errorf("google permissions: %w", err)
		}
	}
	switch {
	case len(o.Key) > 0:
		conf, err := google.JWTConfigFromJSON(o.Key, googleScope)
		if err != nil {
			return nil, errors.New("google permissions: the service account's key is not one in JSON")
		}
		g.who = clean(conf.Email, 200)
		var of struct {
			Project string `json:"project_id"`
		}
		if g.o.Project == "" && json.Unmarshal(o.Key, &of) == nil {
			g.o.Project = of.Project
		}
		g.tokens = func(ctx context.Context) (oauth2.TokenSource, error) { return conf.TokenSource(ctx), nil }
	case o.Token != "":
		g.tokens = func(context.Context) (oauth2.TokenSource, error) {
			return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: o.Token}), nil
		}
	default:
		g.tokens = func(ctx context.Context) (oauth2.TokenSource, error) {
			return google.DefaultTokenSource(ctx, googleScope)
		}
	}
	if o.Impersonate != "" {
		g.who = clean(o.Impersonate, 200)
	}
	if !googleName.MatchString(g.o.Project) {
		return nil, errors.New("google permissions: the project is required")
	}
	if g.o.Zone != "" && !googleName.MatchString(g.o.Zone) {
		return nil, errors.New("google permissions: the managed zone's name is not one")
	}
	setDefault(&g.o.Endpoint, "https://dns.googleapis.com")
	setDefault(&g.o.IAM, "https://iamcredentials.googleapis.com")
	return g, nil
}

func setDefault(s *string, otherwise string) {
	if *s = strings.TrimRight(*s, "/"); *s == "" {
		*s = otherwise
	}
}

// Ask answers for each permission that a renewal needs.
func (g *Google) Ask(ctx context.Context, record string) []assure.Access {
	record = strings.ToLower(strings.TrimSuffix(record, "."))
	actions := googleActions[:]
	if g.o.Zone == "" {
		actions = append([]string{googleListing}, actions...)
	}
	w, t := g.signIn(ctx)
	if t != nil {
		return g.all(actions, "project "+g.o.Project, t)
	}
	project := "/projects/" + url.PathEscape(g.o.Project)
	zone := g.o.Zone
	var out []assure.Access
	if zone == "" {
		var listed assure.Access
		zone, listed = g.find(ctx, w, project, record)
		out = append(out, listed)
		if zone == "" {
			return append(out, g.all(googleActions[:], listed.Scope, listed.Trouble)...)
		}
	}
	scope := "projects/" + g.o.Project + "/managedZones/" + zone
	path := "/dns/v1" + project + "/managedZones/" + url.PathEscape(zone)
	var has struct {
		Permissions []string `json:"permissions"`
	}
	if t := w.call(ctx, http.MethodPost, g.o.Endpoint+path+":testIamPermissions", map[string]any{"permissions": googleActions[:]}, &has); t != nil {
		return append(out, g.all(googleActions[:], scope, t)...)
	}
	nothing := &assure.Trouble{}
	if len(has.Permissions) == 0 {
		nothing = w.call(ctx, http.MethodGet, g.o.Endpoint+path, nil, nil)
	}
	for _, action := range googleActions {
		a := assure.Access{Identity: g.who, Action: action, Scope: scope}
		switch {
		case slices.Contains(has.Permissions, action):
			a.Answer = assure.Allowed
			a.Detail = "Cloud DNS lists it among the caller's permissions on the zone, which by Google's own word is no guarantee"
		case len(has.Permissions) == 0 && nothing != nil && nothing.Class == assure.TroubleMissing:
			a.Answer, a.Detail = assure.Forbidden, "there is no such managed zone"
			a.Trouble = &assure.Trouble{Class: assure.TroubleMissing, Remedy: "See whether the zone was deleted, or moved to another project"}
		case len(has.Permissions) == 0 && nothing != nil && nothing.Class != assure.TroubleDenied:
			a = untold(nothing)
			a.Detail = "Cloud DNS lists no permission, and whether the zone is there could not be seen: " + nothing.Detail
			a.Trouble = &assure.Trouble{Reason: assure.PermissionUnclear, Class: nothing.Class, RetryAfter: nothing.RetryAfter}
		case len(has.Permissions) == 0:
			a.Answer, a.Detail = assure.Forbidden, "the caller has none of the permissions on the zone, or the zone is not there"
			a.Trouble = &assure.Trouble{Class: assure.TroubleDenied, Remedy: "Give the identity the role DNS Administrator (roles/dns.admin), or less, on the zone"}
		default:
			a.Answer, a.Detail = assure.Forbidden, "Cloud DNS does not list it among the caller's permissions on the zone"
			a.Trouble = &assure.Trouble{Class: assure.TroubleDenied, Remedy: "Give the identity a role on the zone that holds this permission"}
		}
		out = append(out, g.complete(a, action, scope))
	}
	return out
}

// complete fills in what every answer has.
func (g *Google) complete(a assure.Access, action, scope string) assure.Access {
	a.Identity, a.Action, a.Scope = g.who, action, scope
	if a.Trouble != nil {
		c := *a.Trouble
		if c.Reason == "" {
			c.Reason = assure.DNSWriteDenied
		}
		if c.Detail == "" {
			c.Detail = a.Detail
		}
		c.Identity, c.Action, c.Scope = g.who, action, scope
		a.Trouble = &c
	}
	return a
}

func (g *Google) all(actions []string, scope string, t *assure.Trouble) []assure.Access {
	var out []assure.Access
	for _, action := range actions {
		a := untold(t)
		if t.Reason != assure.PermissionUnclear { // the credential is refused, or there is no zone
			a.Answer = assure.Forbidden
		}
		out = append(out, g.complete(a, action, scope))
	}
	return out
}

// find looks for the managed zone that holds the record as the writer does.
func (g *Google) find(ctx context.Context, w *web, project, record string) (string, assure.Access) {
	scope := "projects/" + g.o.Project
	a := assure.Access{Answer: assure.Allowed, Detail: "the zone was found"}
	labels := strings.Split(record, ".")
	for i := max(0, len(labels)-10); i < len(labels); i++ {
		dns := strings.Join(labels[i:], ".") + "."
		var l struct {
			Zones []struct {
				Name       string `json:"name"`
				DNSName    string `json:"dnsName"`
				Visibility string `json:"visibility"`
			} `json:"managedZones"`
		}
		if t := w.call(ctx, http.MethodGet, g.o.Endpoint+"/dns/v1"+project+"/managedZones?dnsName="+url.QueryEscape(dns), nil, &l); t != nil {
			a = untold(t)
			if t.Class == assure.TroubleDenied {
				t.Reason, t.Remedy = assure.DNSWriteDenied, "Give the identity dns.managedZones.list on the project, or name the managed zone"
				a.Answer = assure.Forbidden
			}
			return "", g.complete(a, googleListing, scope)
		}
		for _, z := range l.Zones {
			if z.DNSName == dns && z.Visibility != "private" && googleName.MatchString(z.Name) {
				return z.Name, g.complete(a, googleListing, scope)
			}
		}
	}
	a.Answer, a.Detail = assure.Forbidden, "no public managed zone of the project holds "+clean(record, 260)
	a.Trouble = &assure.Trouble{Class: assure.TroubleMissing, Remedy: "See whether the zone was deleted, or moved to another project"}
	return "", g.complete(a, googleListing, scope)
}
