package permit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/permit"
)

const (
	cfZone    = "023e105f4ecef8ad9ca31a8372d0c353"
	cfAccount = "01a7362d577a6c3019a474fd6f485823"
	cfToken   = "ed17574386854bf78a67040be0a770b0"
	cfWrite   = `{"id":"4755a26eedb94da69e1066d98aa820be","name":"DNS Write"}`
	cfRead    = `{"id":"82e64a83756745bbbb1c9c2701bf816b","name":"DNS Read"}`
)

// cloudflare is a stand-in. Each field is what it answers at one place; an empty one is the good answer.
type cloudflare struct {
	verify, zones, policies string
	status                  int // of verify
	readerStatus            int
	owner                   string
}

func (c *cloudflare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	say := func(status int, body string) {
		if status == 0 {
			status = 200
		}
		w.Header().Set("Retry-After", "11")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
	owner := c.owner
	if owner == "" {
		owner = "/user"
	}
	switch r.URL.Path + " " + r.Header.Get("Authorization") {
	case owner + "/tokens/verify Bearer the-writers-token":
		if c.verify == "" {
			say(c.status, `{"success":true,"result":{"id":"`+cfToken+`","status":"active"}}`)
			return
		}
		say(c.status, c.verify)
	case "/zones Bearer the-writers-token":
		switch {
		case c.zones != "":
			say(403, c.zones)
		case r.FormValue("name") == "example.com":
			say(200, `{"success":true,"result":[{"id":"`+cfZone+`","name":"example.com","account":{"id":"`+cfAccount+`"}}]}`)
		default:
			say(200, `{"success":true,"result":[]}`)
		}
	case owner + "/tokens/" + cfToken + " Bearer the-readers-token":
		say(c.readerStatus, `{"success":true,"result":{"id":"`+cfToken+`","status":"active","policies":[`+c.policies+`]}}`)
	default:
		say(404, `{"success":false,"errors":[{"code":7003,"message":"no such route"}]}`)
	}
}

func tokenPolicy(effect, group, resources string) string {
	return `{"id":"p-` + effect + `","effect":"` + effect + `","permission_groups":[` + group + `],"resources":{` + resources + `}}`
}

// told is an answer in one line: the action's last word, the answer, and why not.
func told(list []assure.Access) string {
	var out []string
	for _, a := range list {
		s := a.Action + "=" + string(a.Answer)
		if a.Trouble != nil {
			s += "/" + string(a.Trouble.Reason) + "/" + string(a.Trouble.Class)
		}
		out = append(out, s)
	}
	return strings.Join(out, " | ")
}

// sound checks what holds for every answer.
func sound(t *testing.T, list []assure.Access, secrets ...string) {
	t.Helper()
	if len(list) == 0 {
		t.Fatal("no answer")
	}
	for _, a := range list {
		if a.Identity == "" || a.Action == "" || a.Scope == "" || a.Detail == "" {
			t.Errorf("an answer in part: %+v", a)
		}
		if (a.Answer == assure.Allowed) != (a.Trouble == nil) {
			t.Errorf("%s with trouble %v", a.Answer, a.Trouble)
		}
		if tr := a.Trouble; tr != nil {
			if tr.Detail == "" || tr.Identity == "" || tr.Action == "" || tr.Scope == "" || tr.Class == "" {
				t.Errorf("trouble in part: %+v", tr)
			}
			switch tr.Reason {
			case assure.DNSWriteDenied, assure.CredentialExpiring, assure.PermissionUnclear:
			default:
				t.Errorf("reason %q", tr.Reason)
			}
			if (a.Answer == assure.Untold) != (tr.Reason == assure.PermissionUnclear) {
				t.Errorf("%s because of %s", a.Answer, tr.Reason)
			}
		}
		for _, s := range secrets {
			if strings.Contains(fmt.Sprintf("%+v %+v", a, a.Trouble), s) {
				t.Errorf("a secret is told: %+v", a)
			}
		}
	}
}

func TestCloudflare(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 8, 9, 32, 0, 0, time.UTC)
	onZone := `"com.cloudflare.api.account.zone.` + cfZone + `":"*"`
	const seen = "API token is active=allowed | Zone / Zone / Read=allowed"
	for title, c := range map[string]struct {
		is     cloudflare
		reader bool
		want   string
	}{
		"active, scopes not asked":     {cloudflare{}, false, seen},
		"may write to the zone":        {cloudflare{policies: tokenPolicy("allow", cfRead+","+cfWrite, onZone)}, true, seen + " | Zone / DNS / Edit=allowed"},
		"may write to all zones":       {cloudflare{policies: tokenPolicy("allow", cfWrite, `"com.cloudflare.api.account.zone.*":"*"`)}, true, seen + " | Zone / DNS / Edit=allowed"},
		"may write in the account":     {cloudflare{policies: tokenPolicy("allow", cfWrite, `"com.cloudflare.api.account.`+cfAccount+`":{"com.cloudflare.api.account.zone.*":"*"}`)}, true, seen + " | Zone / DNS / Edit=allowed"},
		"may write in another account": {cloudflare{policies: tokenPolicy("allow", cfWrite, `"com.cloudflare.api.account.ffff":{"com.cloudflare.api.account.zone.*":"*"}`)}, true, seen + " | Zone / DNS / Edit=denied/dns_write_denied/denied"},
		"may only read":                {cloudflare{policies: tokenPolicy("allow", cfRead, onZone)}, true, seen + " | Zone / DNS / Edit=denied/dns_write_denied/denied"},
		"may write elsewhere":          {cloudflare{policies: tokenPolicy("allow", cfWrite, `"com.cloudflare.api.account.zone.ffff":"*"`)}, true, seen + " | Zone / DNS / Edit=denied/dns_write_denied/denied"},
		"is denied besides":            {cloudflare{policies: tokenPolicy("allow", cfWrite, onZone) + "," + tokenPolicy("deny", cfWrite, onZone)}, true, seen + " | Zone / DNS / Edit=denied/dns_write_denied/forbidden"},
		"the reader may not":           {cloudflare{readerStatus: 403}, true, seen + " | Zone / DNS / Edit=unclear/permission_unknown/denied"},
		"the reader is expired":        {cloudflare{readerStatus: 401}, true, seen + " | Zone / DNS / Edit=unclear/permission_unknown/expired"},
		"disabled":                     {cloudflare{verify: `{"success":true,"result":{"id":"` + cfToken + `","status":"disabled"}}`}, false, "API token is active=denied/credential_expiring/expired"},
		"expired":                      {cloudflare{verify: `{"success":true,"result":{"id":"` + cfToken + `","status":"expired","expires_on":"2026-10-01T00:00:00Z"}}`}, false, "API token is active=denied/credential_expiring/expired"},
		"expired by our clock":         {cloudflare{verify: `{"success":true,"result":{"id":"` + cfToken + `","status":"active","expires_on":"2026-10-08T09:00:00Z"}}`}, false, "API token is active=denied/credential_expiring/expired"},
		"not valid yet":                {cloudflare{verify: `{"success":true,"result":{"id":"` + cfToken + `","status":"active","not_before":"2026-10-09T00:00:00Z"}}`}, false, "API token is active=denied/credential_expiring/expired"},
		"of an unknown status":         {cloudflare{verify: `{"success":true,"result":{"id":"` + cfToken + `","status":"resting"}}`}, false, "API token is active=unclear/permission_unknown/broken"},
		"refused":                      {cloudflare{status: 401, verify: `{"success":false,"errors":[{"code":1000,"message":"Invalid API Token"}]}`}, false, "API token is active=denied/credential_expiring/expired"},
		"throttled":                    {cloudflare{status: 429, verify: `{"success":false}`}, false, "API token is active=unclear/permission_unknown/throttled"},
		"down":                         {cloudflare{status: 502, verify: `<html>`}, false, "API token is active=unclear/permission_unknown/transient"},
		"nonsense":                     {cloudflare{verify: `<html>`}, false, "API token is active=unclear/permission_unknown/broken"},
		"sees no zones":                {cloudflare{zones: `{"success":false,"errors":[{"code":9109,"message":"Unauthorized to access requested resource"}]}`}, true, "API token is active=allowed | Zone / Zone / Read=denied/dns_write_denied/denied"},
		"an account's token":           {cloudflare{owner: "/accounts/" + cfAccount}, false, seen},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(&c.is)
			defer s.Close()
			o := permit.CloudflareOptions{Token: "the-writers-token", Endpoint: s.URL, Now: func() time.Time { return now }, Account: strings.TrimPrefix(c.is.owner, "/accounts/")}
			if c.reader {
				o.Reader = "the-readers-token"
			}
			a, err := permit.NewCloudflare(o)
			if err != nil {
				t.Fatal(err)
			}
			got := a.Ask(t.Context(), "_acme-challenge.www.example.com")
			sound(t, got, "the-writers-token", "the-readers-token")
			if told(got) != c.want {
				t.Errorf("got  %s\nwant %s", told(got), c.want)
			}
			if strings.HasPrefix(title, "throttled") && got[0].Trouble.RetryAfter != 11*time.Second {
				t.Errorf("wait %v", got[0].Trouble.RetryAfter)
			}
			if title == "active, scopes not asked" && !strings.Contains(got[0].Detail, "was not asked") {
				t.Errorf("it is not told that scopes were not asked: %s", got[0].Detail)
			}
		})
	}
}

func TestCloudflareTellsWhenTheTokenEnds(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(&cloudflare{verify: `{"success":true,"result":{"id":"` + cfToken + `","status":"active","expires_on":"2026-12-01T00:00:00Z"}}`})
	defer s.Close()
	a, err := permit.NewCloudflare(permit.CloudflareOptions{
		Token: "the-writers-token", Endpoint: s.URL, Now: func() time.Time { return time.Date(2026, 10, 8, 0, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range a.Ask(t.Context(), "_acme-challenge.example.com") {
		if got.Answer != assure.Allowed || !got.Expires.Equal(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v", got)
		}
	}
	if got := told(a.Ask(t.Context(), "_acme-challenge.example.net")); !strings.HasSuffix(got, "Read=denied/dns_write_denied/missing") {
		t.Error(got)
	}
	s.Close()
	if got := a.Ask(t.Context(), "_acme-challenge.example.com"); got[0].Answer != assure.Untold || got[0].Trouble.Class != assure.TroubleTransient {
		t.Errorf("%+v", got)
	}
	for _, o := range []permit.CloudflareOptions{{}, {Token: "x", Account: "../user"}, {Token: "x", Endpoint: "http://example.com"}} {
		if _, err := permit.NewCloudflare(o); err == nil {
			t.Errorf("taken: %+v", o)
		}
	}
}
