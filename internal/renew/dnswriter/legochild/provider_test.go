package legochild

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func secs(n string) map[string]string { return map[string]string{"Retry-After": n} }

// standins are the providers with an API of their own, each with answers of the shape that it gives.
func standins() []standin {
	return []standin{
		{
			code: "route53", handler: route53Standin, swaps: true,
			settings: func(base string) Settings {
				return Settings{"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG", "AWS_ENDPOINT_URL_ROUTE_53": base}
			},
			refused:  reply{403, nil, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: arn:aws:iam::123456789012:user/renewer is not authorized to perform: route53:ListHostedZonesByName because no identity-based policy allows it</Message></Error></ErrorResponse>`},
			expired:  reply{403, nil, `<ErrorResponse><Error><Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error></ErrorResponse>`},
			throttle: reply{400, nil, `<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`},
			conflict: reply{400, nil, `<ErrorResponse><Error><Code>PriorRequestNotComplete</Code><Message>The request was rejected because Route 53 was still processing a prior request.</Message></Error></ErrorResponse>`},
			identity: "arn:aws:iam::123456789012:user/renewer",
		},
		{
			code: "gcloud", handler: gcloudStandin, swaps: true,
			settings: func(base string) Settings {
				return Settings{"GCE_PROJECT": "prod", "GCE_ACCESS_TOKEN": "ya29.google-token", "GCE_API_URL": base}
			},
			refused:  reply{403, nil, `{"error":{"code":403,"message":"The caller does not have permission","errors":[{"reason":"forbidden"}],"status":"PERMISSION_DENIED"}}`},
			expired:  reply{401, nil, `{"error":{"code":401,"message":"Request had invalid authentication credentials.","errors":[{"reason":"authError"}],"status":"UNAUTHENTICATED"}}`},
			throttle: reply{403, nil, `{"error":{"code":403,"message":"Quota exceeded for quota metric 'Queries'","errors":[{"reason":"rateLimitExceeded"}]}}`},
			conflict: reply{409, nil, `{"error":{"code":409,"message":"The resource 'entity.change.additions[0]' already exists","errors":[{"reason":"alreadyExists"}]}}`},
		},
		{
			code: "cloudflare", handler: cloudflareStandin,
			settings: func(base string) Settings {
				return Settings{"CF_DNS_API_TOKEN": "cf-token-1234567890", "CLOUDFLARE_BASE_URL": base}
			},
			refused:  reply{403, nil, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}`},
			expired:  reply{401, nil, `{"success":false,"errors":[{"code":1000,"message":"Invalid API Token"}],"messages":[],"result":null}`},
			throttle: reply{429, secs("17"), `{"success":false,"errors":[{"code":10429,"message":"More than 1200 requests per 300 seconds reached."}]}`}, wait: 17,
		},
		{
			code: "digitalocean", handler: digitaloceanStandin,
			settings: func(base string) Settings {
				return Settings{"DO_AUTH_TOKEN": "do-token-1234567890", "DO_API_URL": base}
			},
			refused:  reply{403, nil, `{"id":"forbidden","message":"You are not authorized to perform this operation"}`},
			expired:  reply{401, nil, `{"id":"unauthorized","message":"Unable to authenticate you"}`},
			throttle: reply{429, map[string]string{"RateLimit-Reset": "61"}, `{"id":"too_many_requests","message":"API Rate limit exceeded."}`}, wait: 61,
			conflict: reply{409, nil, `{"id":"conflict","message":"The request could not be completed due to a conflict."}`},
		},
		{
			code: "ovh", handler: ovhStandin, write: func(r *http.Request) bool { return r.Method != http.MethodGet },
			settings: func(base string) Settings {
				return Settings{"OVH_ENDPOINT": base, "OVH_APPLICATION_KEY": "ovh-key-123", "OVH_APPLICATION_SECRET": "ovh-secret-123", "OVH_CONSUMER_KEY": "ovh-consumer-123"}
			},
			refused:  reply{403, nil, `{"errorCode":"NOT_GRANTED_CALL","httpCode":"403 Forbidden","message":"This call has not been granted"}`},
			expired:  reply{403, nil, `{"errorCode":"INVALID_CREDENTIAL","httpCode":"403 Forbidden","message":"This credential is not valid"}`},
			throttle: reply{429, secs("5"), `{"class":"Client::TooManyRequests","message":"Too many requests"}`}, wait: 5,
			conflict: reply{409, nil, `{"class":"Client::Conflict","message":"A task is already running on this zone"}`},
			identity: "ovh-key-123",
		},
		{
			code: "hetzner", handler: hetznerStandin,
			settings: func(base string) Settings {
				return Settings{"HETZNER_API_TOKEN": "hetzner-token-123", "HETZNER_API_URL": base}
			},
			refused:  reply{403, nil, `{"error":{"code":"token_readonly","message":"only allowed to perform GET requests"}}`},
			expired:  reply{401, nil, `{"error":{"code":"unauthorized","message":"the token is not valid"}}`},
			throttle: reply{429, secs("3"), `{"error":{"code":"rate_limit_exceeded","message":"limit of 3600 requests per hour reached"}}`}, wait: 3,
			conflict: reply{409, nil, `{"error":{"code":"conflict","message":"the resource has changed during the request"}}`},
		},
		{
			code: "gandiv5", handler: gandiStandin, erases: true,
			settings: func(base string) Settings {
				return Settings{"GANDIV5_PERSONAL_ACCESS_TOKEN": "gandi-token-123", "GANDIV5_API_URL": base}
			},
			refused:  reply{403, nil, `{"code":403,"cause":"Forbidden","message":"Access was denied to this resource.","object":"HTTPForbidden"}`},
			expired:  reply{401, nil, `{"code":401,"cause":"Unauthorized","message":"The server could not verify that you are authorized"}`},
			throttle: reply{429, secs("30"), `{"code":429,"cause":"Too Many Requests","message":"Rate limit exceeded"}`}, wait: 30,
			conflict: reply{409, nil, `{"code":409,"cause":"Conflict","message":"A DNS Record already exists"}`},
		},
		{
			code: "linode", handler: linodeStandin,
			settings: func(base string) Settings { return Settings{"LINODE_TOKEN": "linode-token-123", "LINODE_URL": base} },
			refused:  reply{403, nil, `{"errors":[{"reason":"Your OAuth token is not authorized to use this endpoint."}]}`},
			expired:  reply{401, nil, `{"errors":[{"reason":"Invalid Token"}]}`},
			throttle: reply{429, secs("12"), `{"errors":[{"reason":"Too many requests"}]}`}, wait: 12,
			conflict: reply{409, nil, `{"errors":[{"reason":"Another change of this domain is under way"}]}`},
		},
		{
			code: "scaleway", handler: scalewayStandin,
			settings: func(base string) Settings {
				return Settings{"SCW_SECRET_KEY": "scaleway-secret-123", "SCW_ACCESS_KEY": "SCWXXXXXXXXXXXXXXXXX", "SCW_API_URL": base}
			},
			refused:  reply{403, nil, `{"details":[{"action":"write","resource":"domain"}],"message":"insufficient permissions","type":"permissions_denied"}`},
			expired:  reply{401, nil, `{"message":"authentication is denied","method":"api_key","reason":"expired","type":"denied_authentication"}`},
			throttle: reply{429, secs("2"), `{"message":"too many requests","type":"too_many_requests"}`}, wait: 2,
			conflict: reply{409, nil, `{"message":"resource is in a transient state","type":"transient_state"}`},
			identity: "SCWXXXXXXXXXXXXXXXXX",
		},
		{
			code: "godaddy", handler: godaddyStandin, erases: true,
			settings: func(base string) Settings {
				return Settings{"GODADDY_API_KEY": "godaddy-key", "GODADDY_API_SECRET": "godaddy-secret", "GODADDY_API_URL": base}
			},
			refused:  reply{403, nil, `{"code":"ACCESS_DENIED","message":"Authenticated user is not allowed access"}`},
			expired:  reply{401, nil, `{"code":"UNABLE_TO_AUTHENTICATE","message":"Unauthorized : Could not authenticate API key/secret"}`},
			throttle: reply{429, nil, `{"code":"TOO_MANY_REQUESTS","message":"Too many requests received within interval","retryAfterSec":30}`}, wait: 30,
			conflict: reply{422, nil, `{"code":"DUPLICATE_RECORD","message":"Another record with the same attributes already exists"}`},
			identity: "godaddy-key",
		},
		{
			code: "namecheap", handler: namecheapStandin, erases: true,
			write: func(r *http.Request) bool { return r.FormValue("Command") == "namecheap.domains.dns.setHosts" },
			settings: func(base string) Settings {
				return Settings{"NAMECHEAP_API_USER": "ana", "NAMECHEAP_API_KEY": "namecheap-key-123", "NAMECHEAP_CLIENT_IP": "192.0.2.7", "NAMECHEAP_API_URL": base}
			},
			refused:  reply{200, nil, `<ApiResponse Status="ERROR"><Errors><Error Number="1011150">Invalid request IP: 192.0.2.7</Error></Errors></ApiResponse>`},
			expired:  reply{200, nil, `<ApiResponse Status="ERROR"><Errors><Error Number="1011102">API Key is invalid or API access has not been enabled</Error></Errors></ApiResponse>`},
			throttle: reply{200, nil, `<ApiResponse Status="ERROR"><Errors><Error Number="500000">Too many requests</Error></Errors></ApiResponse>`},
			identity: "ana",
		},
		{
			code: "porkbun", handler: porkbunStandin,
			write: func(r *http.Request) bool { return !strings.HasPrefix(r.URL.Path, "/dns/retrieve") },
			settings: func(base string) Settings {
				return Settings{"PORKBUN_API_KEY": "pk1_1234567890", "PORKBUN_SECRET_API_KEY": "sk1_1234567890", "PORKBUN_API_URL": base}
			},
			refused:  reply{400, nil, `{"status":"ERROR","message":"Domain is not opted in to API access."}`},
			expired:  reply{400, nil, `{"status":"ERROR","message":"Invalid API key. (002)"}`},
			throttle: reply{503, nil, `{"status":"ERROR","message":"Rate limit exceeded."}`},
		},
		{
			code: "ionos", handler: ionosStandin,
			settings: func(base string) Settings {
				return Settings{"IONOS_API_KEY": "ionos.secret-123", "IONOS_API_URL": base}
			},
			refused:  reply{403, nil, `[{"code":"FORBIDDEN","message":"You are not allowed to change this zone."}]`},
			expired:  reply{401, nil, `[{"code":"UNAUTHORIZED","message":"The customer is not authorized to do this operation."}]`},
			throttle: reply{429, secs("9"), `[{"code":"RATE_LIMIT_EXCEEDED","message":"Rate limit exceeded."}]`}, wait: 9,
			conflict: reply{409, nil, `[{"code":"RECORD_CONFLICT","message":"Record is being changed."}]`},
		},
		{
			code: "vultr", handler: vultrStandin,
			settings: func(base string) Settings { return Settings{"VULTR_API_KEY": "vultr-key-123", "VULTR_API_URL": base} },
			refused:  reply{403, nil, `{"error":"Unauthorized IP address: 192.0.2.7","status":403}`},
			expired:  reply{401, nil, `{"error":"Invalid API token.","status":401}`},
			throttle: reply{429, secs("1"), `{"error":"Rate limit reached","status":429}`}, wait: 1,
			conflict: reply{409, nil, `{"error":"Conflict","status":409}`},
		},
		pdnsKind(false, func(r *http.Request) bool { return r.Method == http.MethodPatch }),
		pdnsKind(true, func(r *http.Request) bool {
			b, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(b))
			return bytes.Contains(b, []byte(`"REPLACE"`)) || bytes.Contains(b, []byte(`"DELETE"`))
		}),
	}
}

// pdnsKind is a PowerDNS that knows EXTEND and PRUNE, or an old one that does not.
func pdnsKind(old bool, write func(*http.Request) bool) standin {
	return standin{
		code: "pdns", handler: pdnsStandin(old), write: write, erases: old,
		settings: func(base string) Settings { return Settings{"PDNS_API_URL": base, "PDNS_API_KEY": "pdns-key-123"} },
		refused:  reply{403, nil, `{"error":"Access denied by webserver-allow-from"}`},
		expired:  reply{401, nil, `Unauthorized`},
		throttle: reply{429, secs("4"), `{"error":"Too many requests"}`}, wait: 4,
		conflict: reply{409, nil, `{"error":"Conflict"}`},
		identity: "http://127.0.0.1",
	}
}

func do(t *testing.T, p Provider, set Settings, action, name, value string) *assure.Trouble {
	t.Helper()
	err := p.run(t.Context(), set, Request{Action: action, Name: name, Value: value})
	if err == nil {
		return nil
	}
	tr := troubleIn(err)
	if tr == nil {
		t.Fatalf("%s: an error without trouble: %v", action, err)
	}
	return tr
}

func each(t *testing.T, f func(t *testing.T, s standin, z *zone)) {
	for i, s := range standins() {
		n := s.code
		if i > 0 && standins()[i-1].code == s.code {
			n += " of before"
		}
		t.Run(n, func(t *testing.T) {
			t.Parallel()
			f(t, s, &zone{})
		})
	}
}

func TestAValueComesAndGoesAndOthersStay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s standin, z *zone) {
		p, set := s.open(t, z)
		if tr := do(t, p, set, Present, name, ours); tr != nil {
			t.Fatalf("present at an empty name: %v", tr)
		}
		z.mu.Lock()
		z.add(name, theirs)
		z.add("example.com", "v=spf1 -all")
		z.mu.Unlock()
		if tr := do(t, p, set, Present, name, extra); tr != nil {
			t.Fatalf("present beside others: %v", tr)
		}
		if got, want := z.values(name), []string{extra, theirs, ours}; !same(got, want) {
			t.Fatalf("values are %q", got)
		}
		before := z.writes
		if tr := do(t, p, set, Present, name, extra); tr != nil || z.writes != before {
			t.Fatalf("presenting what is there: %v, %d writes", tr, z.writes-before)
		}
		// Each operation opens the provider anew, as another process would: nothing is remembered.
		for _, v := range []string{ours, extra} {
			if tr := do(t, p, set, Withdraw, name, v); tr != nil {
				t.Fatalf("withdraw: %v", tr)
			}
		}
		if got := z.values(name); !slices.Equal(got, []string{theirs}) {
			t.Fatalf("values left are %q", got)
		}
		before = z.writes
		if tr := do(t, p, set, Withdraw, name, ours); tr != nil || z.writes != before {
			t.Fatalf("withdrawing what is gone: %v, %d writes", tr, z.writes-before)
		}
		if tr := do(t, p, set, Withdraw, name, theirs); tr != nil {
			t.Fatalf("withdraw the last: %v", tr)
		}
		if got := z.values(name); len(got) != 0 {
			t.Fatalf("values left are %q", got)
		}
		if got := z.values("example.com"); len(got) != 1 {
			t.Fatalf("another name's values are %q", got)
		}
	})
}

func TestFailuresAreToldApart(t *testing.T) {
	t.Parallel()
	cases := []struct {
		title  string
		reply  func(standin) reply
		class  assure.TroubleClass
		reason assure.Reason
	}{
		{"refused", func(s standin) reply { return s.refused }, assure.TroubleDenied, assure.DNSWriteDenied},
		{"expired", func(s standin) reply { return s.expired }, assure.TroubleExpired, assure.CredentialExpiring},
		{"throttled", func(s standin) reply { return s.throttle }, assure.TroubleThrottled, assure.DNSWriteFailed},
		{"down", func(standin) reply { return reply{502, nil, "<html>Bad Gateway</html>"} }, assure.TroubleTransient, assure.DNSWriteFailed},
		{"moved", func(standin) reply {
			return reply{301, map[string]string{"Location": "https://elsewhere.example/"}, ""}
		}, assure.TroubleInvalid, assure.DNSWriteFailed},
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, s standin, z *zone) {
				p, set := s.open(t, z)
				for _, action := range []string{Present, Withdraw} {
					r := c.reply(s)
					z.mu.Lock()
					z.refuse = &r
					z.mu.Unlock()
					tr := do(t, p, set, action, name, ours)
					if tr == nil {
						t.Fatalf("%s worked", action)
					}
					if tr.Class != c.class || tr.Reason != c.reason {
						t.Fatalf("%s: %s, %s: %v", action, tr.Class, tr.Reason, tr)
					}
					if tr.Happened || tr.Identity == "" || tr.Action == "" || tr.Scope == "" || !strings.Contains(tr.Detail, " answered HTTP ") {
						t.Errorf("%s: %+v", action, tr)
					}
					if c.title == "throttled" && tr.RetryAfter != time.Duration(s.wait)*time.Second {
						t.Errorf("wait %v", tr.RetryAfter)
					}
					if c.title == "refused" && (tr.Remedy == "" || !strings.HasPrefix(tr.Identity, s.identity)) {
						t.Errorf("%+v", tr)
					}
					if c.title == "expired" && tr.Remedy == "" {
						t.Errorf("no remedy: %+v", tr)
					}
				}
				if z.writes != 0 {
					t.Errorf("%d writes", z.writes)
				}
			})
		})
	}
}

func TestARefusedWriteIsRefused(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s standin, z *zone) {
		p, set := s.open(t, z)
		z.add(name, theirs)
		z.onWrite = &s.refused
		if tr := do(t, p, set, Present, name, ours); tr == nil || tr.Class != assure.TroubleDenied {
			t.Errorf("present: %+v", tr)
		}
		if tr := do(t, p, set, Withdraw, name, theirs); tr == nil || tr.Class != assure.TroubleDenied {
			t.Errorf("withdraw: %+v", tr)
		}
	})
}

func TestAZoneThatIsNotThere(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s standin, z *zone) {
		p, set := s.open(t, z)
		const elsewhere = "_acme-challenge.www.example.net"
		tr := do(t, p, set, Present, elsewhere, ours)
		if tr == nil || tr.Class != assure.TroubleMissing || tr.Remedy == "" {
			t.Fatalf("present: %+v", tr)
		}
		if tr := do(t, p, set, Withdraw, elsewhere, ours); tr != nil {
			t.Fatalf("withdraw: %v", tr)
		}
	})
}

func TestALostAnswer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s standin, z *zone) {
		p, set := s.open(t, z)
		z.add(name, theirs)
		for _, c := range []struct {
			action string
			want   []string
		}{{Present, []string{theirs, ours}}, {Withdraw, []string{theirs}}} {
			z.mu.Lock()
			z.drop = true
			z.mu.Unlock()
			tr := do(t, p, set, c.action, name, ours)
			if tr == nil || tr.Class != assure.TroubleTransient || !tr.Happened {
				t.Fatalf("%s: %+v", c.action, tr)
			}
			if got := z.values(name); !same(got, c.want) {
				t.Fatalf("%s: the write was not made: %q", c.action, got)
			}
			if tr := do(t, p, set, c.action, name, ours); tr != nil {
				t.Fatalf("%s again: %v", c.action, tr)
			}
			if got := z.values(name); !same(got, c.want) {
				t.Fatalf("%s again: %q", c.action, got)
			}
		}
	})
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s standin, z *zone) {
		if s.conflict.status == 0 {
			return // this API has no such answer
		}
		p, set := s.open(t, z)
		z.onWrite = &s.conflict
		tr := do(t, p, set, Present, name, ours)
		if tr == nil || tr.Class != assure.TroubleConflict || tr.Reason != assure.DNSWriteFailed {
			t.Fatalf("%+v", tr)
		}
	})
}

// A program that writes at the same instant loses nothing, except where the list says so.
func TestSomebodyElseWritesAtTheSameInstant(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s standin, z *zone) {
		p, set := s.open(t, z)
		z.add(name, theirs)
		once := true
		z.before = func() {
			if once {
				once = false
				z.add(name, extra)
			}
		}
		if tr := do(t, p, set, Present, name, ours); tr != nil {
			t.Fatalf("present: %v", tr)
		}
		if got := z.values(name); !s.erases && !same(got, []string{theirs, extra, ours}) {
			t.Fatalf("present left %q", got)
		}
		z.mu.Lock()
		z.set(name, []string{theirs, ours})
		once = true
		z.mu.Unlock()
		if tr := do(t, p, set, Withdraw, name, ours); tr != nil {
			t.Fatalf("withdraw: %v", tr)
		}
		got := z.values(name)
		if kept := same(got, []string{theirs, extra}); kept == s.erases {
			t.Fatalf("withdraw left %q, and the provider's list says erases=%v", got, s.erases)
		}
		if s.erases && !p.Erases {
			t.Error("the list does not tell that values can be lost")
		}
		if s.swaps && z.writes < 4 {
			t.Errorf("%d writes: nothing was compared", z.writes)
		}
	})
}
