package legochild

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func TestMainAnswersEachLine(t *testing.T) {
	z := &zone{}
	s := standins()[3]
	_, set := s.open(t, z)
	for k, v := range set {
		t.Setenv(k, v)
	}
	in, ask := io.Pipe()
	answers, out := io.Pipe()
	status := make(chan int, 1)
	go func() {
		status <- Main(in, out)
		_ = out.Close()
	}()
	lines := []string{"", "{nonsense"}
	for _, q := range []Request{
		{Provider: s.code, Action: Present, Name: name, Value: ours, Deadline: time.Now().Add(time.Minute)},
		{Provider: s.code, Action: Withdraw, Name: name, Value: ours},
		{Provider: s.code, Action: "erase", Name: name, Value: ours},
		{Provider: "nobody", Action: Present, Name: name, Value: ours},
		{Provider: s.code, Action: Present, Name: "Bad..Name", Value: ours},
		{Provider: s.code, Action: Present, Name: name, Value: `a"b`},
		{Provider: s.code, Action: Present, Name: name, Value: ours, Deadline: time.Unix(1, 0)},
	} {
		b, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(b))
	}
	dec := json.NewDecoder(answers)
	var got []string
	for _, l := range lines {
		if _, err := io.WriteString(ask, l+"\n"); err != nil {
			t.Fatal(err)
		}
		if l == "" {
			continue
		}
		var a Answer
		if err := dec.Decode(&a); err != nil {
			t.Fatal(err)
		}
		if a.OK {
			got = append(got, "ok")
		} else {
			got = append(got, string(a.Trouble.Class))
		}
	}
	_ = ask.Close()
	if code := <-status; code != 0 {
		t.Errorf("status %d", code)
	}
	if want := "invalid ok ok invalid invalid invalid invalid transient"; strings.Join(got, " ") != want {
		t.Errorf("answers: %v", got)
	}
	if len(z.records) != 0 {
		t.Errorf("left: %v", z.records)
	}
}

func TestMainGivesUpWhenWhoeverAskedIsGone(t *testing.T) {
	asked, gone := make(chan bool, 1), make(chan bool, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- true
		<-r.Context().Done()
		gone <- true
	}))
	defer s.Close()
	t.Setenv("DO_AUTH_TOKEN", "do-token-1234567890")
	t.Setenv("DO_API_URL", s.URL)
	in, ask := io.Pipe()
	var out bytes.Buffer
	status := make(chan int, 1)
	go func() { status <- Main(in, &out) }()
	_, _ = io.WriteString(ask, `{"provider":"digitalocean","action":"present","name":"`+name+`","value":"`+ours+`"}`+"\n")
	<-asked
	_ = ask.Close()
	<-gone
	if code := <-status; code != 0 || !strings.Contains(out.String(), `"class":"transient"`) {
		t.Errorf("status %d, %s", code, out.String())
	}
}

func TestTheList(t *testing.T) {
	t.Parallel()
	want := []string{
		"acme-dns", "cloudflare", "digitalocean", "exec", "gandiv5", "gcloud", "godaddy", "hetzner", "httpreq", "ionos", "linode",
		"namecheap", "ovh", "pdns", "porkbun", "route53", "scaleway", "vultr",
	}
	var got []string
	for _, p := range Providers() {
		got = append(got, p.Code)
		if p.Title == "" || p.Docs == "" || p.Permission == "" || len(p.Settings) == 0 || p.open == nil {
			t.Errorf("%s is described in part only", p.Code)
		}
		if (p.Erases || p.Keeps) && p.Caveat == "" {
			t.Errorf("%s does not tell what can be lost", p.Code)
		}
		known := map[string]Setting{}
		for _, s := range p.Settings {
			known[s.Name] = s
			if n := strings.ToUpper(s.Name); !s.Secret && !strings.HasSuffix(n, "_FILE") && (strings.Contains(n, "SECRET") || strings.Contains(n, "PASSWORD") || strings.HasSuffix(n, "TOKEN")) {
				t.Errorf("%s: %s looks like a secret", p.Code, s.Name)
			}
		}
		for _, n := range p.names {
			if s, ok := known[n]; known[n].Secret || !ok && !isAlias(p, n) {
				t.Errorf("%s is named by %v", p.Code, s)
			}
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the list is %v", got)
	}
}

func isAlias(p Provider, n string) bool {
	for _, s := range p.Settings {
		if s.Alias == n {
			return true
		}
	}
	return false
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code string
		set  map[string]string
		want string
	}{
		{"digitalocean", nil, "DO_AUTH_TOKEN"},
		{"digitalocean", Settings{"DO_AUTH_TOKEN": "x", "DO_POLLING_INTERVAL": "3"}, `no setting "DO_POLLING_INTERVAL"`},
		{"digitalocean", Settings{"DO_AUTH_TOKEN": "x", "DO_TTL": "soon"}, "DO_TTL"},
		{"digitalocean", Settings{"DO_AUTH_TOKEN": "x", "DO_API_URL": "http://api.example.com"}, "plain HTTP"},
		{"digitalocean", Settings{"DO_AUTH_TOKEN": "x", "DO_API_URL": "https://a:b@example.com"}, "address"},
		{"cloudflare", nil, "CF_DNS_API_TOKEN"},
		{"cloudflare", Settings{"CLOUDFLARE_DNS_API_TOKEN": "x"}, ""},
		{"ovh", Settings{"OVH_ENDPOINT": "ovh-eu"}, "OVH_APPLICATION_KEY"},
		{"ovh", Settings{"OVH_ENDPOINT": "ovh-mars", "OVH_ACCESS_TOKEN": "x"}, "OVH_ENDPOINT"},
		{"ovh", Settings{"OVH_ENDPOINT": "ovh-eu", "OVH_ACCESS_TOKEN": "x"}, ""},
		{"route53", Settings{"AWS_ACCESS_KEY_ID": "x"}, "belong together"},
		{"route53", nil, ""},
		{"gcloud", Settings{"GCE_SERVICE_ACCOUNT": "{}"}, "not one in JSON"},
		{"gcloud", Settings{"GCE_SERVICE_ACCOUNT_FILE": "/nonexistent"}, "GCE_SERVICE_ACCOUNT_FILE"},
		{"exec", Settings{"EXEC_PATH": "/bin/true", "EXEC_MODE": "RAW"}, "RAW"},
		{"exec", Settings{"EXEC_PATH": "/bin/true", "MY_TOKEN": "x"}, ""},
		{"exec", Settings{"EXEC_PATH": "/bin/true", "MY=TOKEN": "x"}, "no setting"},
		{"httpreq", Settings{"HTTPREQ_ENDPOINT": "http://hook.internal", "HTTPREQ_MODE": "RAW"}, "RAW"},
		{"acme-dns", Settings{"ACME_DNS_API_BASE": "http://acme-dns.internal"}, "ACME_DNS_STORAGE_PATH"},
		{"namecheap", Settings{"NAMECHEAP_API_USER": "a", "NAMECHEAP_API_KEY": "b", "NAMECHEAP_CLIENT_IP": "here"}, "not an address"},
	} {
		err := find(t, c.code).Check(c.set)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v", c.code, c.set, err)
		}
	}
}

func TestRetryAfterIsBelievedWithinADay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 8, 9, 32, 0, 0, time.UTC)
	for _, c := range []struct {
		header, value string
		want          time.Duration
	}{
		{"Retry-After", "17", 17 * time.Second},
		{"Retry-After", "Thu, 08 Oct 2026 09:33:00 GMT", time.Minute},
		{"Retry-After", "-5", 0},
		{"Retry-After", "999999999", 24 * time.Hour},
		{"Retry-After", "soon", 0},
		{"X-RateLimit-Reset", "1791451980", time.Minute},
		{"RateLimit-Reset", "30", 30 * time.Second},
		{"RateLimit-Reset", "9223372036854775807", 24 * time.Hour},
	} {
		if got := retryAfter(http.Header{http.CanonicalHeaderKey(c.header): {c.value}}, now); got != c.want {
			t.Errorf("%s: %s gives %v", c.header, c.value, got)
		}
	}
}

func FuzzBare(f *testing.F) {
	for _, s := range []string{"", "abc", `"abc"`, `"a" "b"`, `"a\"b"`, `"`, `"a`, "\"\xff\"", `"\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = bare(s)
		if checkValue(s) == nil && (bare(s) != s || bare(quote(s)) != s) {
			t.Errorf("%q comes back as %q and %q", s, bare(s), bare(quote(s)))
		}
	})
}

// FuzzSay feeds every reader of failures with whatever a server may send.
func FuzzSay(f *testing.F) {
	for _, s := range standins() {
		for _, r := range []reply{s.refused, s.expired, s.throttle, s.conflict} {
			f.Add(r.status, []byte(r.body))
		}
	}
	says := []func(int, []byte) said{sayAWS, sayGoogle, sayCloudflare, sayIDMessage, sayOVH, sayHetzner, sayGandi, sayLinode, sayScaleway, sayGodaddy, sayNamecheap, sayPorkbun, sayIonos, sayError, sayHook}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, say := range says {
			s := say(status, body)
			a := api{title: "X"}
			tr := troubleIn(a.refused("GET /", http.MethodGet, &http.Response{StatusCode: status, Header: http.Header{}}, body, s))
			if tr == nil || tr.Class == "" || tr.Reason == "" || len(tr.Detail) > 1200 || strings.ContainsAny(tr.Detail, "\n\r\x1b") {
				t.Fatalf("%+v", tr)
			}
			if s.retry < 0 || tr.Class == assure.TroubleThrottled && tr.RetryAfter < 0 {
				t.Fatalf("waits %v", tr.RetryAfter)
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"provider":"nobody","action":"present","name":"a.example","value":"x"}`))
	f.Add([]byte(`{"provider":"digitalocean","action":"present","name":"A","value":"x"}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, line []byte) {
		// No settings: nothing can be asked of anybody, so every request is refused.
		var q Request
		if json.Unmarshal(line, &q) == nil && (q.Provider == "route53" || q.Provider == "gcloud") {
			return // these look for credentials on the machine
		}
		if a := answer(t.Context(), line, func(string) string { return "" }); a.OK || a.Trouble == nil {
			t.Fatalf("%+v", a)
		}
	})
}
