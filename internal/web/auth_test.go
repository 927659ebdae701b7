package web

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/notafter/notafter/internal/assure"
)

func TestPasswordHash(t *testing.T) {
	h, err := HashPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(h, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Errorf("the hash is %q", h)
	}
	p, err := parsePHC(h)
	if err != nil {
		t.Fatal(err)
	}
	if !p.matches("correct horse") || p.matches("correct horsf") || p.matches("") {
		t.Error("the hash matches the wrong passwords")
	}
	for _, bad := range []string{
		"", "secret", "$2y$10$abc", "$argon2i$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$argon2id$v=16$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA",
		"$argon2id$v=19$m=99999999,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$argon2id$v=19$m=65536,m=65536,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$argon2id$v=19$m=65536,t=3,p=4$x$y",
	} {
		if _, err := parsePHC(bad); err == nil {
			t.Errorf("%q is taken for a hash", bad)
		}
	}
	if _, err := HashPassword(""); err == nil {
		t.Error("an empty password is hashed")
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err == nil && (p.memory > 1<<20 || p.passes > 64 || p.lanes == 0 || len(p.tag) < 16) {
			t.Errorf("%q costs too much or proves too little: %+v", s, p)
		}
	})
}

// cheap is a hash that costs little, of the password "pw".
func cheap(t testing.TB) string {
	t.Helper()
	p := phc{memory: 64, passes: 1, lanes: 1, salt: []byte("saltsalt")}
	tag := argon2.IDKey([]byte("pw"), p.salt, p.passes, p.memory, p.lanes, 32)
	enc := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", enc(p.salt), enc(tag))
}

func client(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 20 * time.Second}
}

func read(t *testing.T, r *http.Response, err error) (int, string, http.Header) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b), r.Header
}

func hidden(body, name string) string {
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return m[1]
}

func locked(t *testing.T, w *world, change func(*Options)) *httptest.Server {
	t.Helper()
	return serve(t, newServer(t, w, func(o *Options) {
		o.Auth.Users = []assure.User{{Name: "ana", PasswordHash: cheap(t)}}
		if change != nil {
			change(o)
		}
	}))
}

func signIn(t *testing.T, c *http.Client, base, user, password, next string) (int, string, http.Header) {
	t.Helper()
	r, err := c.Get(base + "/sign-in?next=" + url.QueryEscape(next))
	_, form, _ := read(t, r, err)
	r, err = c.PostForm(base+"/sign-in", url.Values{"form": {hidden(form, "form")}, "next": {hidden(form, "next")}, "user": {user}, "password": {password}})
	return read(t, r, err)
}

func actions(w *world) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, a := range w.log {
		out = append(out, a.Who+": "+a.Action)
	}
	return out
}

func TestSignIn(t *testing.T) {
	w := newWorld()
	srv := locked(t, w, nil)
	c := client(t)
	r, err := c.Get(srv.URL + "/incidents?state=all")
	code, _, h := read(t, r, err)
	if code != http.StatusSeeOther || h.Get("Location") != "/sign-in?next=%2Fincidents%3Fstate%3Dall" {
		t.Errorf("a stranger gets %d %s", code, h.Get("Location"))
	}
	for _, path := range []string{"/api/v1/certificates", "/metrics", "/probe?target=good.example", "/events"} {
		r, err := c.Get(srv.URL + path)
		if code, body, _ := read(t, r, err); code != http.StatusUnauthorized {
			t.Errorf("a stranger gets %d %.80s at %s", code, body, path)
		}
	}
	if code, _, _ := signIn(t, c, srv.URL, "ana", "wrong", "/"); code != http.StatusUnauthorized {
		t.Errorf("a wrong password gives %d", code)
	}
	if code, _, _ := signIn(t, c, srv.URL, "nobody", "pw", "/"); code != http.StatusUnauthorized {
		t.Errorf("an unknown name gives %d", code)
	}
	code, _, h = signIn(t, c, srv.URL, "ana", "pw", "/incidents?state=all")
	if code != http.StatusSeeOther || h.Get("Location") != "/incidents?state=all" {
		t.Fatalf("signing in gives %d %s", code, h.Get("Location"))
	}
	cookie := h.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
	value, _, _ := strings.Cut(strings.TrimPrefix(cookie, "notafter="), ";")
	w.mu.Lock()
	for key, s := range w.sessions {
		if strings.Contains(key, value) || strings.Contains(string(s.TokenHash), value) {
			t.Error("the cookie's value itself is stored")
		}
	}
	w.mu.Unlock()
	r, err = c.Get(srv.URL + "/")
	code, body, h := read(t, r, err)
	if code != http.StatusOK || !strings.Contains(body, "Sign out") || h.Get("Cache-Control") != "no-store" {
		t.Errorf("the overview gives %d, %s", code, h.Get("Cache-Control"))
	}
	// Signing out ends the session itself, not only the cookie.
	r, err = c.PostForm(srv.URL+"/sign-out", url.Values{"csrf": {hidden(body, "csrf")}})
	if code, _, _ := read(t, r, err); code != http.StatusSeeOther {
		t.Errorf("signing out gives %d", code)
	}
	req, _ := http.NewRequest(http.MethodGet, srv.URL+"/", nil)
	req.AddCookie(&http.Cookie{Name: "notafter", Value: value})
	r, err = client(t).Do(req)
	if code, _, _ := read(t, r, err); code != http.StatusSeeOther {
		t.Errorf("the old cookie still gives %d", code)
	}
	if got, want := strings.Join(actions(w), ", "), "ana: sign-in failed, nobody: sign-in failed, ana: sign-in, ana: sign-out"; got != want {
		t.Errorf("audited %s, want %s", got, want)
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	for _, p := range []string{"//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "", "/sign-in", "/\x00//evil.example", "/\u0085"} {
		if got := localPath(p); got != "/" {
			t.Errorf("%q leads to %q", p, got)
		}
	}
}

func TestTooManyAttempts(t *testing.T) {
	srv := locked(t, newWorld(), nil)
	c := client(t)
	for range 5 {
		if code, _, _ := signIn(t, c, srv.URL, "ana", "wrong", "/"); code != http.StatusUnauthorized {
			t.Fatalf("an early attempt gives %d", code)
		}
	}
	code, _, h := signIn(t, c, srv.URL, "ana", "pw", "/")
	if code != http.StatusTooManyRequests || h.Get("Retry-After") == "" {
		t.Errorf("the sixth attempt gives %d, even with the right password", code)
	}
}

func TestSessionEnds(t *testing.T) {
	now := worldNow
	srv := locked(t, newWorld(), func(o *Options) {
		o.Now = func() time.Time { return now }
		o.Auth.Idle, o.Auth.Longest = time.Hour, 3*time.Hour
	})
	c := client(t)
	if code, _, _ := signIn(t, c, srv.URL, "ana", "pw", "/"); code != http.StatusSeeOther {
		t.Fatal("could not sign in")
	}
	status := func() int { r, err := c.Get(srv.URL + "/"); code, _, _ := read(t, r, err); return code }
	for range 3 { // used every 50 minutes, it lasts
		now = now.Add(50 * time.Minute)
		if got := status(); got != http.StatusOK {
			t.Fatalf("after %s in use it gives %d", now.Sub(worldNow), got)
		}
	}
	now = worldNow.Add(3*time.Hour + time.Second)
	if got := status(); got != http.StatusSeeOther {
		t.Errorf("beyond its longest time it gives %d", got)
	}
	c = client(t)
	if code, _, _ := signIn(t, c, srv.URL, "ana", "pw", "/"); code != http.StatusSeeOther {
		t.Fatal("could not sign in again")
	}
	now = now.Add(61 * time.Minute)
	if got := status(); got != http.StatusSeeOther {
		t.Errorf("after an hour idle it gives %d", got)
	}
}

func TestTokens(t *testing.T) {
	w := newWorld()
	srv := locked(t, w, nil)
	c := client(t)
	signIn(t, c, srv.URL, "ana", "pw", "/")
	r, err := c.Get(srv.URL + "/tokens")
	_, body, _ := read(t, r, err)
	csrf := hidden(body, "csrf")
	makeToken := func(name, scope string) string {
		r, err := c.PostForm(srv.URL+"/tokens", url.Values{"csrf": {csrf}, "name": {name}, "scope": {scope}, "days": {"30"}})
		code, body, _ := read(t, r, err)
		m := regexp.MustCompile(tokenPrefix + `[A-Za-z0-9_-]{43}`).FindString(body)
		if code != http.StatusCreated || m == "" {
			t.Fatalf("making a token gives %d", code)
		}
		return m
	}
	reader, writer := makeToken("prometheus", "read"), makeToken("bot", "write")
	r, err = c.Get(srv.URL + "/tokens")
	if _, body, _ := read(t, r, err); strings.Contains(body, reader) || !strings.Contains(body, "prometheus") {
		t.Error("the token is shown again, or its name is not")
	}
	id := string(openIncident(w))
	call := func(method, path, token, body string) (int, string) {
		req, _ := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		req.Header.Set("Authorization", "Bearer "+token)
		r, err := http.DefaultTransport.RoundTrip(req)
		code, text, _ := read(t, r, err)
		return code, text
	}
	ack := "/api/v1/incidents/" + id + "/acknowledge"
	for _, x := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/api/v1/certificates", reader, 200},
		{"GET", "/metrics", reader, 200},
		{"GET", "/probe?target=good.example", reader, 200},
		{"POST", ack, reader, 403},
		{"POST", ack, writer, 200},
		{"GET", "/api/v1/certificates", "notafter_wrong", 401},
		{"GET", "/", reader, 303},
	} {
		if code, text := call(x.method, x.path, x.token, ""); code != x.want {
			t.Errorf("%s %s gives %d, want %d: %.200s", x.method, x.path, code, x.want, text)
		}
	}
	w.mu.Lock()
	by := ""
	for _, v := range w.incidents {
		if string(v.Incident.ID) == id {
			by = v.Incident.AckedBy
		}
	}
	w.mu.Unlock()
	if by != "token bot" {
		t.Errorf("acknowledged by %q", by)
	}
	r, err = c.PostForm(srv.URL+"/tokens/revoke", url.Values{"csrf": {csrf}, "name": {"prometheus"}})
	if code, _, _ := read(t, r, err); code != http.StatusSeeOther {
		t.Errorf("revoking gives %d", code)
	}
	if code, _ := call("GET", "/api/v1/certificates", reader, ""); code != http.StatusUnauthorized {
		t.Errorf("a revoked token gives %d", code)
	}
}

func TestCookieAloneDoesNotWrite(t *testing.T) {
	w := newWorld()
	srv := locked(t, w, nil)
	c := client(t)
	signIn(t, c, srv.URL, "ana", "pw", "/")
	id := string(openIncident(w))
	r, err := c.Get(srv.URL + "/incidents/" + id)
	_, body, _ := read(t, r, err)
	csrf := hidden(body, "csrf")
	post := func(path, kind, payload string, h map[string]string) int {
		req, _ := http.NewRequest(http.MethodPost, srv.URL+path, strings.NewReader(payload))
		req.Header.Set("Content-Type", kind)
		for k, v := range h {
			req.Header.Set(k, v)
		}
		r, err := c.Do(req)
		code, _, _ := read(t, r, err)
		return code
	}
	const form, js = "application/x-www-form-urlencoded", "application/json"
	good := "csrf=" + url.QueryEscape(csrf)
	for name, x := range map[string]struct {
		path, kind, payload string
		header              map[string]string
		want                int
	}{
		"a form without its token":         {"/incidents/" + id + "/acknowledge", form, "", nil, 403},
		"a form with another token":        {"/incidents/" + id + "/acknowledge", form, "csrf=" + secret(), nil, 403},
		"a form from another site":         {"/incidents/" + id + "/acknowledge", form, good, map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"a form from another origin":       {"/incidents/" + id + "/acknowledge", form, good, map[string]string{"Origin": "https://evil.example"}, 403},
		"the API with a cookie only":       {"/api/v1/incidents/" + id + "/acknowledge", js, "", nil, 403},
		"the API from another site":        {"/api/v1/incidents/" + id + "/acknowledge", js, "", map[string]string{"Sec-Fetch-Site": "cross-site", csrfHeader: csrf}, 403},
		"the API with the form's token":    {"/api/v1/incidents/" + id + "/acknowledge", js, "", map[string]string{"Sec-Fetch-Site": "same-origin", csrfHeader: csrf}, 200},
		"a form as it should be":           {"/incidents/" + id + "/acknowledge", form, good, map[string]string{"Sec-Fetch-Site": "same-origin"}, 303},
		"signing in from a site elsewhere": {"/sign-in", form, "user=ana&password=pw", nil, 403},
	} {
		if got := post(x.path, x.kind, x.payload, x.header); got != x.want {
			t.Errorf("%s gives %d, want %d", name, got, x.want)
		}
	}
}

// provider is a small OpenID Connect provider. Its answers follow the claims it is given.
type provider struct {
	*httptest.Server
	key    *rsa.PrivateKey
	claims map[string]any
	nonce  string
	pkce   string
	codes  int
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	b64 := base64.RawURLEncoding.EncodeToString
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k",
			"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if r.FormValue("code") != "the-code" || b64(sum[:]) != p.pkce {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		p.codes++
		c := map[string]any{"iss": p.URL, "aud": "notafter", "sub": "s-1", "exp": worldNow.Add(time.Hour).Unix(), "iat": worldNow.Unix(), "nonce": p.nonce}
		for k, v := range p.claims {
			c[k] = v
		}
		head, _ := json.Marshal(map[string]string{"alg": "RS256", "kid": "k"})
		load, _ := json.Marshal(c)
		signed := b64(head) + "." + b64(load)
		digest := sha256.Sum256([]byte(signed))
		sig, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": signed + "." + b64(sig)})
	})
	return p
}

func TestOIDC(t *testing.T) {
	for name, x := range map[string]struct {
		claims map[string]any
		spoil  func(p *provider, q url.Values)
		want   int
	}{
		"a verified address of an allowed domain":   {map[string]any{"email": "ana@example.com", "email_verified": true}, nil, 303},
		"an unverified address":                     {map[string]any{"email": "ana@example.com", "email_verified": false}, nil, 403},
		"another domain that ends the same":         {map[string]any{"email": "ana@notexample.com", "email_verified": true}, nil, 403},
		"somebody of an allowed group":              {map[string]any{"groups": []string{"x", "sre"}}, nil, 303},
		"somebody of another group":                 {map[string]any{"groups": []string{"sales"}}, nil, 403},
		"a token for another audience":              {map[string]any{"aud": "other", "email": "ana@example.com", "email_verified": true}, nil, 403},
		"a token that ended":                        {map[string]any{"exp": worldNow.Add(-time.Minute).Unix(), "email": "ana@example.com", "email_verified": true}, nil, 403},
		"a token of another sign-in":                {map[string]any{"nonce": "other", "email": "ana@example.com", "email_verified": true}, nil, 403},
		"another state":                             {map[string]any{"email": "ana@example.com", "email_verified": true}, func(_ *provider, q url.Values) { q.Set("state", "other") }, 403},
		"a code that was begun by somebody else":    {map[string]any{"email": "ana@example.com", "email_verified": true}, func(p *provider, _ url.Values) { p.pkce = "other" }, 403},
		"a provider that says that it was declined": {nil, func(_ *provider, q url.Values) { q.Set("error", "access_denied") }, 403},
	} {
		t.Run(name, func(t *testing.T) {
			p, w := newProvider(t), newWorld()
			p.claims = x.claims
			srv := httptest.NewUnstartedServer(nil)
			base := "http://" + srv.Listener.Addr().String()
			srv.Config.Handler = newServer(t, w, func(o *Options) {
				o.BaseURL = base
				o.Auth.OIDC = &OIDCOptions{Issuer: p.URL, ClientID: "notafter", ClientSecret: "s", AllowDomains: []string{"example.com"}, AllowGroups: []string{"sre"}}
			}).Handler()
			srv.Start()
			defer srv.Close()
			c := client(t)
			r, err := c.Get(base + "/sign-in/oidc?next=/monitor")
			code, _, h := read(t, r, err)
			to, err := url.Parse(h.Get("Location"))
			if code != http.StatusSeeOther || err != nil || to.Path != "/authorize" {
				t.Fatalf("the way to the provider gives %d %s", code, h.Get("Location"))
			}
			q := to.Query()
			if q.Get("code_challenge_method") != "S256" || q.Get("redirect_uri") != base+"/sign-in/oidc/callback" {
				t.Errorf("asks with %v", q)
			}
			p.nonce, p.pkce = q.Get("nonce"), q.Get("code_challenge")
			back := url.Values{"state": {q.Get("state")}, "code": {"the-code"}}
			if x.spoil != nil {
				x.spoil(p, back)
			}
			r, err = c.Get(base + "/sign-in/oidc/callback?" + back.Encode())
			code, body, h := read(t, r, err)
			if code != x.want {
				t.Fatalf("the way back gives %d, want %d: %.300s", code, x.want, body)
			}
			r, err = c.Get(base + "/monitor")
			in, _, _ := read(t, r, err)
			if (in == http.StatusOK) != (x.want == http.StatusSeeOther) {
				t.Errorf("afterwards a page gives %d", in)
			}
			if x.want == http.StatusSeeOther && h.Get("Location") != "/monitor" {
				t.Errorf("leads to %s", h.Get("Location"))
			}
			if log := actions(w); len(log) != 1 || strings.HasSuffix(log[0], "failed") == (x.want == http.StatusSeeOther) {
				t.Errorf("audited %v", log)
			}
		})
	}
}

func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/", "/incidents?state=all", "//evil.example", "/\\evil.example", "/%2f/evil.example", "https:evil.example", "/\t/evil.example"} {
		f.Add(s)
	}
	base := &url.URL{Scheme: "https", Host: "notafter.example", Path: "/sign-in"}
	f.Fuzz(func(t *testing.T, s string) {
		p := localPath(s)
		to, err := base.Parse(p)
		if err == nil && (to.Host != base.Host || to.Scheme != base.Scheme) {
			t.Errorf("%q leads to %s", s, to)
		}
		if strings.ContainsAny(p, "\r\n\\") {
			t.Errorf("%q becomes %q", s, p)
		}
	})
}
