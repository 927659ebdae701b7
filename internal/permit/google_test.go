package permit_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/permit"
)

// googleCloud is a stand-in for Cloud DNS and the token services.
type googleCloud struct {
	has                []string // permissions on the zone
	test, get, list    int      // statuses; 0 for 200
	token, impersonate int
	noZone             bool
	tokens             int // how many were given
	brokenTest         string
}

func (g *googleCloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fail := func(status int) bool {
		if status == 0 {
			return false
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":{"code":%d,"message":"no","status":"NO"}}`, status)
		return true
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/token":
		if g.token != 0 {
			w.WriteHeader(g.token)
			_, _ = fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Invalid grant: account not found"}`)
			return
		}
		g.tokens++
		_, _ = fmt.Fprint(w, `{"access_token":"google-token-1","token_type":"Bearer","expires_in":3600}`)
	case strings.HasSuffix(r.URL.Path, ":generateAccessToken"):
		if !fail(g.impersonate) {
			_, _ = fmt.Fprint(w, `{"accessToken":"google-token-1","expireTime":"2099-01-01T00:00:00Z"}`)
		}
	case r.Header.Get("Authorization") != "Bearer google-token-1":
		fail(401)
	case r.URL.Path == "/dns/v1/projects/prod/managedZones":
		if fail(g.list) {
			return
		}
		if r.FormValue("dnsName") != "example.com." || g.noZone {
			_, _ = fmt.Fprint(w, `{"managedZones":[]}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"managedZones":[{"name":"inside","dnsName":"example.com.","visibility":"private"},{"name":"web","dnsName":"example.com.","visibility":"public"}]}`)
	case r.URL.Path == "/dns/v1/projects/prod/managedZones/web:testIamPermissions":
		if g.brokenTest != "" {
			_, _ = fmt.Fprint(w, g.brokenTest)
			return
		}
		if fail(g.test) {
			return
		}
		var in struct{ Permissions []string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		out := []string{}
		for _, p := range in.Permissions {
			if slices.Contains(g.has, p) {
				out = append(out, p)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"permissions": out})
	case r.URL.Path == "/dns/v1/projects/prod/managedZones/web":
		if !fail(g.get) {
			_, _ = fmt.Fprint(w, `{"name":"web"}`)
		}
	default:
		fail(404)
	}
}

func googleKey(t *testing.T, tokens string) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "prod", "client_email": "renewer@prod.iam.gserviceaccount.com", "token_uri": tokens,
		"private_key_id": "0123456789abcdef", "private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoogle(t *testing.T) {
	t.Parallel()
	needed := []string{"dns.changes.create", "dns.resourceRecordSets.list", "dns.resourceRecordSets.create", "dns.resourceRecordSets.update", "dns.resourceRecordSets.delete"}
	all := func(suffix string) string {
		var out []string
		for _, n := range needed {
			out = append(out, n+"="+suffix)
		}
		return strings.Join(out, " | ")
	}
	for title, c := range map[string]struct {
		is   googleCloud
		zone string
		as   string
		want string
	}{
		"all":                       {is: googleCloud{has: needed}, zone: "web", want: all("allowed")},
		"all, zone found":           {is: googleCloud{has: needed}, want: "dns.managedZones.list=allowed | " + all("allowed")},
		"all, acting as another":    {is: googleCloud{has: needed}, zone: "web", as: "dns@prod.iam.gserviceaccount.com", want: all("allowed")},
		"one is gone":               {is: googleCloud{has: needed[:4]}, zone: "web", want: strings.Replace(all("allowed"), "Sets.delete=allowed", "Sets.delete=denied/dns_write_denied/denied", 1)},
		"none, and the zone is":     {zone: "web", want: all("denied/dns_write_denied/denied")},
		"none, may not even look":   {is: googleCloud{get: 403}, zone: "web", want: all("denied/dns_write_denied/denied")},
		"the zone is gone":          {is: googleCloud{get: 404}, zone: "web", want: all("denied/dns_write_denied/missing")},
		"none, and looking fails":   {is: googleCloud{get: 503}, zone: "web", want: all("unclear/permission_unknown/transient")},
		"no zone in the project":    {is: googleCloud{noZone: true}, want: "dns.managedZones.list=denied/dns_write_denied/missing | " + all("denied/dns_write_denied/missing")},
		"may not list":              {is: googleCloud{list: 403}, want: "dns.managedZones.list=denied/dns_write_denied/denied | " + all("denied/dns_write_denied/denied")},
		"listing fails":             {is: googleCloud{list: 500}, want: "dns.managedZones.list=unclear/permission_unknown/transient | " + all("unclear/permission_unknown/transient")},
		"throttled":                 {is: googleCloud{test: 429}, zone: "web", want: all("unclear/permission_unknown/throttled")},
		"asking is forbidden":       {is: googleCloud{test: 403}, zone: "web", want: all("unclear/permission_unknown/denied")},
		"down":                      {is: googleCloud{test: 503}, zone: "web", want: all("unclear/permission_unknown/transient")},
		"nonsense":                  {is: googleCloud{brokenTest: "<html>"}, zone: "web", want: all("unclear/permission_unknown/broken")},
		"the key is revoked":        {is: googleCloud{token: 400}, zone: "web", want: all("denied/credential_expiring/expired")},
		"the token service is down": {is: googleCloud{token: 503}, zone: "web", want: all("unclear/permission_unknown/transient")},
		"may not act as another":    {is: googleCloud{has: needed, impersonate: 403}, zone: "web", as: "dns@prod.iam.gserviceaccount.com", want: all("denied/dns_write_denied/denied")},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(&c.is)
			defer s.Close()
			a, err := permit.NewGoogle(permit.GoogleOptions{Zone: c.zone, Key: googleKey(t, s.URL+"/token"), Endpoint: s.URL, IAM: s.URL, Impersonate: c.as})
			if err != nil {
				t.Fatal(err)
			}
			got := a.Ask(t.Context(), "_acme-challenge.www.example.com")
			sound(t, got, "google-token-1", "PRIVATE KEY")
			if told(got) != c.want {
				t.Errorf("got  %s\nwant %s", told(got), c.want)
			}
			who := "renewer@prod.iam.gserviceaccount.com"
			if c.as != "" {
				who = c.as
			}
			if got[0].Identity != who {
				t.Errorf("identity %s", got[0].Identity)
			}
			if title == "all" {
				a.Ask(t.Context(), "_acme-challenge.www.example.com")
				if c.is.tokens != 2 {
					t.Errorf("%d tokens for two questions: an old one would keep rights that are gone", c.is.tokens)
				}
			}
		})
	}
}

func TestGoogleRefusesWrongSettings(t *testing.T) {
	t.Parallel()
	for _, o := range []permit.GoogleOptions{
		{Token: "x"},
		{Token: "x", Project: "a/b"},
		{Token: "x", Project: "prod", Zone: "a/b"},
		{Key: []byte(`{"private_key":"secret"}`), Project: "prod"},
		{Token: "x", Project: "prod", Endpoint: "http://example.com"},
	} {
		_, err := permit.NewGoogle(o)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	a, err := permit.NewGoogle(permit.GoogleOptions{Token: "stale", Project: "prod", Zone: "web", Endpoint: startGoogle(t)})
	if err != nil {
		t.Fatal(err)
	}
	got := a.Ask(t.Context(), "_acme-challenge.example.com")
	sound(t, got, "stale")
	if got[0].Answer != assure.Forbidden || got[0].Trouble.Reason != assure.CredentialExpiring {
		t.Errorf("a stale token: %+v", got[0])
	}
}

func startGoogle(t *testing.T) string {
	s := httptest.NewServer(&googleCloud{})
	t.Cleanup(s.Close)
	return s.URL
}
