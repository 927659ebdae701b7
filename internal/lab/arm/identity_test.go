package arm_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/lab/arm"
)

// call sends a request as an owner of the subscription and returns the status, and what of the answer is asked for by
// names divided by dots.
func (a *azure) call(method, path, body string) (int, func(string) string) {
	a.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {secret}, "scope": {a.URL() + "/.default"}}
	var token struct {
		Value string `json:"access_token"`
	}
	res, err := a.http.PostForm(a.URL()+"/"+a.Tenant()+"/oauth2/v2.0/token", form)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil {
		a.t.Fatal(err)
	}
	_ = res.Body.Close()
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.URL()+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token.Value)
	if res, err = a.http.Do(r); err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return res.StatusCode, func(name string) string {
		var v any
		_ = json.Unmarshal(raw, &v)
		for part := range strings.SplitSeq(name, ".") {
			switch here := v.(type) {
			case map[string]any:
				v = here[part]
			case []any: // of the first
				if v = nil; len(here) > 0 {
					v = here[0]
				}
				if m, ok := v.(map[string]any); ok {
					v = m[part]
				}
			}
		}
		s, _ := v.(string)
		return s
	}
}

// An identity that is made again is another principal, and what was granted to the old one grants nothing.
func TestIdentitiesThatAreMadeAgainAreOthers(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	const version = "?api-version=2023-01-31"
	at := a.IdentityScope("dns", "renewer")
	if status, get := a.call(http.MethodPut, at+version, `{"location":"westeurope"}`); status != 403 || get("error.code") != "AuthorizationFailed" {
		t.Fatalf("without a right: HTTP %d %s", status, get("error.code"))
	}
	a.Assign(object, arm.Owner, "/subscriptions/"+a.Subscription())
	if status, get := a.call(http.MethodGet, at+version, ""); status != 404 || get("error.code") != "ResourceNotFound" {
		t.Fatalf("before it was made: HTTP %d %s", status, get("error.code"))
	}
	if status, get := a.call(http.MethodPut, at+version, `{}`); status != 400 || get("error.code") != "LocationRequired" {
		t.Fatalf("without a location: HTTP %d %s", status, get("error.code"))
	}
	status, first := a.call(http.MethodPut, at+version, `{"location":"westeurope"}`)
	if status != 201 || first("properties.principalId") == "" || first("properties.clientId") == "" || first("properties.tenantId") != a.Tenant() || first("id") != at {
		t.Fatalf("made: HTTP %d %q", status, first("properties.principalId"))
	}
	if status, again := a.call(http.MethodPut, at+version, `{"location":"WestEurope","tags":{"owner":"sre"}}`); status != 200 || again("properties.principalId") != first("properties.principalId") || again("tags.owner") != "sre" {
		t.Fatalf("its tags changed: HTTP %d", status)
	}
	if status, get := a.call(http.MethodPut, at+version, `{"location":"northeurope"}`); status != 409 || get("error.code") != "InvalidResourceLocation" {
		t.Fatalf("elsewhere: HTTP %d %s", status, get("error.code"))
	}
	grant := a.Assign(first("properties.principalId"), arm.DNSZoneContributor, a.zone)
	if status, _ := a.call(http.MethodDelete, at+version, ""); status != 200 {
		t.Fatalf("deleted: HTTP %d", status)
	}
	if status, _ := a.call(http.MethodDelete, at+version, ""); status != 204 {
		t.Fatalf("deleted twice: HTTP %d", status)
	}
	status, second := a.call(http.MethodPut, strings.ToUpper(at)+version, `{"location":"westeurope"}`)
	if status != 201 || second("properties.principalId") == first("properties.principalId") || second("properties.clientId") == first("properties.clientId") {
		t.Fatalf("made again: HTTP %d, the same principal", status)
	}
	if !a.Unassign(grant) {
		t.Error("the grant to the identity that is gone went with it: Azure keeps it")
	}
	for _, path := range []string{"/subscriptions/x" + strings.TrimPrefix(at, "/subscriptions/"+a.Subscription()), at + "/federatedIdentityCredentials/x", strings.TrimSuffix(at, "/renewer")} {
		if status, _ := a.call(http.MethodGet, path+version, ""); status != 404 {
			t.Errorf("%s: HTTP %d", path, status)
		}
	}
}

// Zones are made and changed through the interface as well, and one that is made again has other name servers.
func TestZonesAreMadeThroughTheInterface(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	const version = "?api-version=2018-05-01"
	a.Assign(object, arm.Owner, "/subscriptions/"+a.Subscription())
	at := a.ZoneScope("dns", "new.example")
	put := func(body string) (int, func(string) string) { return a.call(http.MethodPut, at+version, body) }
	if status, _ := put(`x`); status != 400 {
		t.Fatalf("no JSON: HTTP %d", status)
	}
	status, first := put(`{"location":"global","tags":{"owner":"sre"}}`)
	if status != 201 || first("tags.owner") != "sre" || first("name") != "new.example" {
		t.Fatalf("made: HTTP %d %q", status, first("tags.owner"))
	}
	if status, again := put(`{"location":"global"}`); status != 200 || again("etag") == first("etag") || again("tags.owner") != "" {
		t.Fatalf("changed: HTTP %d %q", status, again("tags.owner"))
	}
	servers := func() string {
		_, get := a.call(http.MethodGet, at+version, "")
		return get("properties.nameServers.0")
	}
	before := servers()
	if status, _ := a.call(http.MethodDelete, at+version, ""); status != 200 {
		t.Fatalf("deleted: HTTP %d", status)
	}
	if status, _ := put(`{"location":"global"}`); status != 201 || servers() == before {
		t.Fatalf("made again: HTTP %d, with the name servers from before", status)
	}
}

// Roles are found by their names.
func TestRolesByName(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	a.Assign(object, arm.Reader, "/subscriptions/"+a.Subscription())
	find := func(filter string) (int, func(string) string) {
		return a.call(http.MethodGet, a.zone+"/providers/Microsoft.Authorization/roleDefinitions?api-version=2022-04-01&$filter="+url.QueryEscape(filter), "")
	}
	if status, get := find("roleName eq 'dns zone contributor'"); status != 200 || get("value.name") != arm.DNSZoneContributor {
		t.Errorf("HTTP %d %q", status, get("value.name"))
	}
	a.Define(arm.Definition{Name: "Ana's role", Actions: []string{"*/read"}})
	if status, get := find("roleName eq 'Ana''s role'"); status != 200 || get("value.properties.roleName") != "Ana's role" {
		t.Errorf("HTTP %d %q", status, get("value.properties.roleName"))
	}
	if status, get := find("roleName eq 'nobody'"); status != 200 || get("value.name") != "" {
		t.Errorf("HTTP %d %q", status, get("value.name"))
	}
	if status, get := find("roleName eq nobody"); status != 400 || get("error.code") != "UnsupportedQuery" {
		t.Errorf("HTTP %d %q", status, get("error.code"))
	}
}
