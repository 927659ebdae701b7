package arm_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/lab/arm"
)

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

func TestSigningIn(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	a.Federate(client, "a federated token")
	ask := func(change url.Values) string {
		t.Helper()
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}, "scope": {a.URL() + "/.default"}}
		for k, v := range change {
			form[k] = v
		}
		r, err := a.http.PostForm(a.URL()+"/"+a.Tenant()+"/oauth2/v2.0/token", form)
		if err != nil {
			t.Fatal(err)
		}
		text := body(t, r)
		if r.StatusCode == 200 && between(text, `"access_token":"`, `"`) != "" {
			return "token"
		}
		return between(text, `"error_description":"`, ":")
	}
	jwt := []string{"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
	for name, c := range map[string]struct {
		change url.Values
		want   string
	}{
		"secret":            {nil, "token"},
		"wrong secret":      {url.Values{"client_secret": {"x"}}, "AADSTS7000215"},
		"no secret":         {url.Values{"client_secret": nil}, "AADSTS7000215"},
		"unknown client":    {url.Values{"client_id": {"x"}}, "AADSTS700016"},
		"another grant":     {url.Values{"grant_type": {"password"}}, "AADSTS70003"},
		"assertion":         {url.Values{"client_secret": nil, "client_assertion": {"a federated token"}, "client_assertion_type": jwt}, "token"},
		"another assertion": {url.Values{"client_secret": nil, "client_assertion": {"x"}, "client_assertion_type": jwt}, "AADSTS700213"},
	} {
		if got := ask(c.change); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	a.SetSecret(client, secret, time.Now().Add(-time.Second))
	if got := ask(nil); got != "AADSTS7000222" {
		t.Errorf("expired secret: %s", got)
	}
	a.SetSecret(client, "new", time.Time{})
	if got := ask(url.Values{"client_secret": {"new"}}); got != "token" {
		t.Errorf("new secret: %s", got)
	}
	a.Unfederate(client)
	if got := ask(url.Values{"client_assertion": {"a federated token"}, "client_assertion_type": jwt}); got != "AADSTS700213" {
		t.Errorf("no federation any more: %s", got)
	}
}

func TestDiscoveryAndMetadata(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	a.Manage(client)
	for _, c := range []struct {
		address, header string
		status          int
		has             string
	}{
		{a.URL() + "/common/discovery/instance?api-version=1.1&authorization_endpoint=x", "", 200, "tenant_discovery_endpoint"},
		{a.URL() + "/" + a.Tenant() + "/v2.0/.well-known/openid-configuration", "", 200, `"token_endpoint":"` + a.URL()},
		{a.URL() + "/nobody/v2.0/.well-known/openid-configuration", "", 400, "AADSTS90002"},
		{"http://169.254.169.254/metadata/identity/oauth2/token?resource=x", "Metadata", 200, `"access_token":"`},
		{"http://169.254.169.254/metadata/identity/oauth2/token?resource=x", "", 400, "bad_request_102"},
		{a.PlainURL() + "/metadata/identity/oauth2/token?resource=x&client_id=" + client, "Metadata", 200, `"client_id":"` + client},
		{a.PlainURL() + "/metadata/identity/oauth2/token?resource=x&client_id=another", "Metadata", 400, "Identity not found"},
		{a.URL() + "/msi/token?resource=x&client_id=" + client, "X-IDENTITY-HEADER", 200, `"access_token":"`},
		{a.URL() + a.zone + "?api-version=2018-05-01", "", 401, "AuthenticationFailed"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			r.Header.Set(c.header, "true")
		}
		resp, err := a.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if text := body(t, resp); resp.StatusCode != c.status || !strings.Contains(text, c.has) {
			t.Errorf("%s: HTTP %d %s", c.address, resp.StatusCode, text)
		}
	}
}

func TestForgedTokens(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	for _, token := range []string{"x", "a.b.c", "..", "eyJhbGciOiJub25lIn0.eyJvaWQiOiJ4In0."} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+a.zone+"?api-version=2018-05-01", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := a.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if text := body(t, resp); resp.StatusCode != 401 || !strings.Contains(text, "InvalidAuthenticationToken") {
			t.Errorf("%q: HTTP %d %s", token, resp.StatusCode, text)
		}
	}
}
