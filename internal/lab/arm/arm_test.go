package arm_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azarm "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dns/armdns"

	"github.com/notafter/notafter/internal/lab/arm"
)

const (
	client = "c11e0000-0000-4000-8000-000000000001"
	object = "0b1e0000-0000-4000-8000-000000000001"
	secret = "s3cret"
	other  = "0b1e0000-0000-4000-8000-000000000002"
)

// azure is a server with a zone, a principal without rights, and the SDK's clients as that principal.
type azure struct {
	*arm.Server
	t       *testing.T
	http    *http.Client
	zone    string
	records *armdns.RecordSetsClient
	auth    *armauthorization.ClientFactory
}

func start(t *testing.T, o arm.Options) *azure {
	t.Helper()
	s, err := arm.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	a := &azure{Server: s, t: t, http: s.Client()}
	t.Cleanup(func() {
		a.http.CloseIdleConnections()
		s.Stop()
		s.Stop() // twice is harmless
	})
	s.AddPrincipal(client, object, secret)
	a.zone = s.AddZone("dns", "example.com")
	a.signIn()
	return a
}

// signIn makes clients with a new token.
func (a *azure) signIn() {
	a.t.Helper()
	o := policy.ClientOptions{
		Transport: a.http, Retry: policy.RetryOptions{MaxRetries: -1},
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: a.URL() + "/",
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: a.URL(), Audience: a.URL()}},
		},
	}
	cred, err := azidentity.NewClientSecretCredential(a.Tenant(), client, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
	if err != nil {
		a.t.Fatal(err)
	}
	co := &azarm.ClientOptions{ClientOptions: o, DisableRPRegistration: true}
	if a.records, err = armdns.NewRecordSetsClient(a.Subscription(), cred, co); err != nil {
		a.t.Fatal(err)
	}
	if a.auth, err = armauthorization.NewClientFactory(a.Subscription(), cred, co); err != nil {
		a.t.Fatal(err)
	}
}

// put writes TXT values at _acme-challenge and returns the ETag.
func (a *azure) put(o *armdns.RecordSetsClientCreateOrUpdateOptions, values ...string) (string, error) {
	p := &armdns.RecordSetProperties{TTL: to.Ptr(int64(60)), TxtRecords: []*armdns.TxtRecord{}}
	for _, v := range values {
		p.TxtRecords = append(p.TxtRecords, &armdns.TxtRecord{Value: []*string{&v}})
	}
	got, err := a.records.CreateOrUpdate(a.t.Context(), "dns", "example.com", "_acme-challenge", armdns.RecordTypeTXT, armdns.RecordSet{Properties: p}, o)
	if err != nil {
		return "", err
	}
	return *got.Etag, nil
}

func (a *azure) get() (string, error) {
	got, err := a.records.Get(a.t.Context(), "dns", "example.com", "_acme-challenge", armdns.RecordTypeTXT, nil)
	if err != nil {
		return "", err
	}
	return *got.Etag, nil
}

func (a *azure) remove(ifMatch string) error {
	o := &armdns.RecordSetsClientDeleteOptions{}
	if ifMatch != "" {
		o.IfMatch = &ifMatch
	}
	_, err := a.records.Delete(a.t.Context(), "dns", "example.com", "_acme-challenge", armdns.RecordTypeTXT, o)
	return err
}

// code is "403 AuthorizationFailed", or "ok".
func code(err error) string {
	var r *azcore.ResponseError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &r):
		return fmt.Sprintf("%d %s", r.StatusCode, r.ErrorCode)
	}
	return err.Error()
}

func want(t *testing.T, err error, code_ string) {
	t.Helper()
	if got := code(err); got != code_ {
		t.Fatalf("%s, want %s", got, code_)
	}
}

func TestRecordSetsWithETags(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	a.Assign(object, arm.DNSZoneContributor, a.zone)
	_, err := a.get()
	want(t, err, "404 NotFound")
	_, err = a.put(&armdns.RecordSetsClientCreateOrUpdateOptions{IfMatch: to.Ptr("x")}, "v")
	want(t, err, "412 PreconditionFailed")
	first, err := a.put(&armdns.RecordSetsClientCreateOrUpdateOptions{IfNoneMatch: to.Ptr("*")}, "v")
	want(t, err, "ok")
	_, err = a.put(&armdns.RecordSetsClientCreateOrUpdateOptions{IfNoneMatch: to.Ptr("*")}, "w")
	want(t, err, "412 PreconditionFailed")
	second, err := a.put(&armdns.RecordSetsClientCreateOrUpdateOptions{IfMatch: &first}, "v", "w")
	want(t, err, "ok")
	if got, err := a.get(); err != nil || got != second || first == second {
		t.Fatalf("ETag %q, want %q, not %q: %v", got, second, first, err)
	}
	want(t, a.remove(first), "412 PreconditionFailed")
	if got := a.Values("example.com", "_acme-challenge.EXAMPLE.com."); !slices.Equal(got, []string{"v", "w"}) {
		t.Fatalf("values %q", got)
	}
	_, err = a.put(nil, "v", "v")
	want(t, err, "400 BadRequest")
	_, err = a.put(nil, strings.Repeat("x", 256))
	want(t, err, "400 BadRequest")
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	_, err = a.put(nil, many...)
	want(t, err, "400 BadRequest")
	want(t, a.remove(second), "ok")
	want(t, a.remove(second), "ok") // 204: it is not there
	if left := a.Leftovers("example.com"); left != nil {
		t.Fatalf("left %q", left)
	}
}

func TestOtherTypesAndLists(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	a.Assign(object, arm.DNSZoneContributor, a.zone)
	for kind, p := range map[armdns.RecordType]*armdns.RecordSetProperties{
		armdns.RecordTypeCNAME: {CnameRecord: &armdns.CnameRecord{Cname: to.Ptr("target.example.")}},
		armdns.RecordTypeNS:    {NsRecords: []*armdns.NsRecord{{Nsdname: to.Ptr("ns.example.")}}},
		armdns.RecordTypeCAA:   {CaaRecords: []*armdns.CaaRecord{{Flags: to.Ptr(int32(0)), Tag: to.Ptr("issue"), Value: to.Ptr("ca.example")}}},
	} {
		p.TTL = to.Ptr(int64(300))
		_, err := a.records.CreateOrUpdate(t.Context(), "dns", "example.com", "at-"+strings.ToLower(string(kind)), kind, armdns.RecordSet{Properties: p}, nil)
		want(t, err, "ok")
	}
	got, err := a.records.Get(t.Context(), "dns", "example.com", "at-cname", armdns.RecordTypeCNAME, nil)
	if err != nil || *got.Properties.CnameRecord.Cname != "target.example." || *got.Properties.Fqdn != "at-cname.example.com." {
		t.Fatalf("%+v, %v", got.Properties, err)
	}
	_, err = a.records.CreateOrUpdate(t.Context(), "dns", "example.com", "at-cname", armdns.RecordTypeTXT, armdns.RecordSet{Properties: &armdns.RecordSetProperties{TTL: to.Ptr(int64(60))}}, nil)
	want(t, err, "400 BadRequest") // nothing beside a CNAME
	page, err := a.records.NewListByDNSZonePager("dns", "example.com", nil).NextPage(t.Context())
	if err != nil || len(page.Value) != 3 {
		t.Fatalf("%d sets, %v", len(page.Value), err)
	}
	byType, err := a.records.NewListByTypePager("dns", "example.com", armdns.RecordTypeCAA, nil).NextPage(t.Context())
	if err != nil || len(byType.Value) != 1 || *byType.Value[0].Properties.CaaRecords[0].Value != "ca.example" {
		t.Fatalf("%+v, %v", byType.Value, err)
	}
}

func TestRightsAreEnforcedAtEveryScope(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	_, err := a.put(nil, "v")
	want(t, err, "403 AuthorizationFailed")
	message := fmt.Sprintf("The client '%s' with object id '%s' does not have authorization to perform action 'Microsoft.Network/dnsZones/TXT/write' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
		client, object, a.RecordScope("dns", "example.com", "_acme-challenge"))
	if !strings.Contains(err.Error(), message) {
		t.Errorf("error %v, want %s", err, message)
	}
	custom := a.Define(arm.Definition{Name: "TXT", Actions: []string{"Microsoft.Network/*/TXT/*"}, NotActions: []string{"*/Delete"}})
	for scope, code_ := range map[string]string{
		"/": "ok", "/providers/Microsoft.Management/managementGroups/all": "ok", "/subscriptions/" + a.Subscription(): "ok",
		a.GroupScope("DNS"): "ok", a.zone: "ok", a.RecordScope("dns", "example.com", "_acme-challenge"): "ok",
		a.RecordScope("dns", "example.com", "_acme"): "403 AuthorizationFailed", a.ZoneScope("dns", "example.com.au"): "403 AuthorizationFailed", a.GroupScope("dn"): "403 AuthorizationFailed",
	} {
		id := a.Assign(object, custom, scope)
		_, err := a.put(nil, "v")
		if got := code(err); got != code_ {
			t.Errorf("granted at %s: %s, want %s", scope, got, code_)
		}
		want(t, a.remove(""), "403 AuthorizationFailed")
		if !a.Unassign(id) || a.Unassign(id) {
			t.Errorf("%s is taken away once", id)
		}
	}
	a.SetGroup("9600", "9601")
	a.SetGroup("9601", object)
	a.Assign("9600", custom, a.zone)
	_, err = a.put(nil, "v")
	want(t, err, "ok") // through a group in a group
	a.AssignAs(arm.Assignment{Principal: object, Role: arm.Owner, Scope: a.zone, Condition: "something"})
	want(t, a.remove(""), "403 AuthorizationFailed")
	deny := a.Forbid(arm.Deny{Title: "blueprint", Scope: a.GroupScope("dns"), Actions: []string{"*/write"}, Principals: []string{arm.Everyone}})
	_, err = a.put(nil, "v")
	want(t, err, "403 DenyAssignmentAuthorizationFailed")
	a.Permit(deny)
	a.Forbid(arm.Deny{Title: "blueprint", Scope: a.GroupScope("dns"), Actions: []string{"*/write"}, Principals: []string{arm.Everyone}, Here: true})
	_, err = a.put(nil, "v")
	want(t, err, "ok")
}

func TestRoleAssignmentsThroughTheSDK(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	a.Assign(object, arm.Owner, "/subscriptions/"+a.Subscription())
	c, ctx := a.auth.NewRoleAssignmentsClient(), t.Context()
	role := "/subscriptions/" + a.Subscription() + "/providers/Microsoft.Authorization/roleDefinitions/" + arm.DNSZoneContributor
	create := func(name, principal, scope string) error {
		_, err := c.Create(ctx, scope, name, armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{PrincipalID: &principal, RoleDefinitionID: &role}}, nil)
		return err
	}
	const one, two = "a0000000-0000-4000-8000-000000000001", "a0000000-0000-4000-8000-000000000002"
	want(t, create(one, other, a.zone), "ok")
	err := create(two, other, strings.ToUpper(a.zone))
	want(t, err, "409 RoleAssignmentExists") // the same in other letters and under another name
	if !strings.Contains(err.Error(), strings.ReplaceAll(one, "-", "")) {
		t.Errorf("the error does not name the one that exists: %v", err)
	}
	want(t, create(one, other, a.zone), "ok")
	want(t, create(one, object, a.zone), "409 RoleAssignmentUpdateNotPermitted")
	want(t, create(two, other, a.GroupScope("dns")), "ok")
	list := func(scope, filter string) (names []string) {
		t.Helper()
		filter = strings.ReplaceAll(filter, " ", "%20") // this client sends it as it is
		for p := c.NewListForScopePager(scope, &armauthorization.RoleAssignmentsClientListForScopeOptions{Filter: &filter}); p.More(); {
			page, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range page.Value {
				if *x.Properties.PrincipalID != object {
					names = append(names, (*x.Name)[len(*x.Name)-1:])
				}
			}
		}
		slices.Sort(names)
		return names
	}
	a.SetGroup(other, "the user")
	for _, q := range []struct {
		scope, filter string
		names         string
	}{
		{a.zone, "atScope()", "12"},
		{a.GroupScope("dns"), "atScope()", "2"},
		{a.GroupScope("dns"), "principalId eq '" + other + "'", "12"},
		{a.zone, "assignedTo('the user')", "12"},
		{a.zone, "principalId eq 'the user'", ""},
		{a.GroupScope("dns"), "atScope() and assignedTo('the user')", "2"},
		{a.GroupScope("elsewhere"), "assignedTo('the user')", ""},
	} {
		if got := strings.Join(list(q.scope, q.filter), ""); got != q.names {
			t.Errorf("%s at %s: %q, want %q", q.filter, q.scope, got, q.names)
		}
	}
	_, err = c.NewListForScopePager(a.zone, &armauthorization.RoleAssignmentsClientListForScopeOptions{Filter: to.Ptr("roleName%20eq%20'x'")}).NextPage(ctx)
	want(t, err, "400 UnsupportedQuery")

	lock := a.Lock(a.zone, arm.CanNotDelete, "keep") // also keeps the grants at the zone
	_, err = c.Delete(ctx, a.zone, one, nil)
	want(t, err, "409 ScopeLocked")
	a.Unlock(lock)
	_, err = c.Delete(ctx, a.zone, one, nil)
	want(t, err, "ok")
	_, err = c.Delete(ctx, a.zone, one, nil)
	want(t, err, "ok") // 204
	_, err = c.Get(ctx, a.zone, one, nil)
	want(t, err, "404 RoleAssignmentNotFound")
	if _, err = c.GetByID(ctx, strings.TrimPrefix(a.GroupScope("dns"), "/")+"/providers/Microsoft.Authorization/roleAssignments/"+two, nil); err != nil {
		t.Error(err)
	}
}

func TestRoleDefinitionsAndPermissionsThroughTheSDK(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	a.Assign(object, arm.Owner, a.zone)
	c, ctx := a.auth.NewRoleDefinitionsClient(), t.Context()
	const id = "d0000000-0000-4000-8000-000000000001"
	_, err := c.CreateOrUpdate(ctx, a.zone, id, armauthorization.RoleDefinition{Properties: &armauthorization.RoleDefinitionProperties{
		RoleName: to.Ptr("TXT"), Permissions: []*armauthorization.Permission{{Actions: []*string{to.Ptr("Microsoft.Network/dnsZones/TXT/*")}}},
	}}, nil)
	want(t, err, "ok")
	got, err := c.Get(ctx, a.zone, id, nil)
	if err != nil || *got.Properties.RoleName != "TXT" || *got.Properties.RoleType != "CustomRole" {
		t.Fatalf("%+v %v", got.Properties, err)
	}
	builtIn, err := c.Get(ctx, a.zone, arm.DNSZoneContributor, nil)
	if err != nil || *builtIn.Properties.RoleName != "DNS Zone Contributor" || len(builtIn.Properties.Permissions[0].Actions) != 7 {
		t.Fatalf("%+v %v", builtIn.Properties, err)
	}
	grant := a.Assign(other, id, a.zone)
	_, err = c.Delete(ctx, a.zone, id, nil)
	want(t, err, "400 RoleDefinitionHasAssignments")
	a.Unassign(grant)
	_, err = c.Delete(ctx, a.zone, id, nil)
	want(t, err, "ok")
	_, err = c.Get(ctx, a.zone, id, nil)
	want(t, err, "404 RoleDefinitionDoesNotExist")

	page, err := a.auth.NewPermissionsClient().NewListForResourcePager("dns", "Microsoft.Network", "", "dnszones", "example.com", nil).NextPage(ctx)
	if err != nil || len(page.Value) != 1 || *page.Value[0].Actions[0] != "*" {
		t.Fatalf("%+v %v", page.Value, err)
	}
}

func TestLocks(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	a.Assign(object, arm.Owner, a.zone)
	_, err := a.put(nil, "v")
	want(t, err, "ok")
	id := a.Lock("/subscriptions/"+a.Subscription(), arm.CanNotDelete, "keep")
	_, err = a.put(nil, "w")
	want(t, err, "ok")
	err = a.remove("")
	want(t, err, "409 ScopeLocked")
	if !strings.Contains(err.Error(), "cannot perform delete operation because following scope(s) are locked: '/subscriptions/"+a.Subscription()+"'") {
		t.Error(err)
	}
	a.Unlock(id)
	a.Lock(a.RecordScope("dns", "example.com", "_acme-challenge"), arm.ReadOnly, "frozen")
	_, err = a.put(nil, "x")
	want(t, err, "409 ScopeLocked")
	_, err = a.get()
	want(t, err, "ok")
}

func TestTokensFromBeforeAChangeKeepItsRights(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	advance := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	a := start(t, arm.Options{Stale: 10 * time.Minute, Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	id := a.Assign(object, arm.DNSZoneContributor, a.zone)
	_, err := a.put(nil, "v")
	want(t, err, "ok")
	advance(time.Minute)
	a.Unassign(id)
	_, err = a.put(nil, "w")
	want(t, err, "ok") // the token remembers
	advance(9 * time.Minute)
	_, err = a.put(nil, "x")
	want(t, err, "ok")
	a.signIn()
	_, err = a.put(nil, "y")
	want(t, err, "403 AuthorizationFailed") // a new one does not
	a.Assign(object, arm.DNSZoneContributor, a.zone)
	_, err = a.put(nil, "z")
	want(t, err, "403 AuthorizationFailed") // and remembers that it might not
	advance(10 * time.Minute)
	_, err = a.put(nil, "z")
	want(t, err, "ok")
	a.SetStale(0)
	for _, x := range a.Assignments() {
		a.Unassign(x.ID)
	}
	_, err = a.put(nil, "z")
	want(t, err, "403 AuthorizationFailed")
	advance(time.Hour)
	_, err = a.put(nil, "z")
	want(t, err, "401 ExpiredAuthenticationToken")
}

func TestChangesAreToldInOrderAndBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	shown := map[string][]string{} // what a DNS server would show
	a := start(t, arm.Options{ForgetRecordGrants: true, OnTXT: func(zone, name string, values []string) {
		mu.Lock()
		defer mu.Unlock()
		shown[zone+" "+name] = values
	}})
	a.Assign(object, arm.Owner, a.GroupScope("dns"))
	at := a.RecordScope("dns", "example.com", "_acme-challenge")
	a.Assign(other, arm.DNSZoneContributor, at)
	sees := func(want ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if got := shown["example.com _acme-challenge.example.com"]; !slices.Equal(got, want) {
			t.Fatalf("shown %q, want %q", got, want)
		}
	}
	_, err := a.put(nil, "a", "b")
	want(t, err, "ok")
	sees("a", "b")
	a.SetValues("example.com", "_acme-challenge.example.com", 60, "c")
	sees("c")
	want(t, a.remove(""), "ok")
	sees()
	if slices.ContainsFunc(a.Assignments(), func(x arm.Assignment) bool { return x.Scope == at }) {
		t.Error("the grant at the record set outlived it")
	}
	a.SetValues("example.com", "_acme-challenge.example.com", 60, "d")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, a.URL()+a.zone+"?api-version=2018-05-01", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status := a.raw(r); status != 200 {
		t.Fatalf("zone deleted: HTTP %d", status)
	}
	sees()
	_, err = a.put(nil, "e")
	want(t, err, "404 ParentResourceNotFound")
}

// raw sends a request of no SDK client as the principal.
func (a *azure) raw(r *http.Request) int {
	a.t.Helper()
	form := strings.NewReader("grant_type=client_credentials&client_id=" + client + "&client_secret=" + secret + "&scope=x")
	resp, err := a.http.Post(a.URL()+"/"+a.Tenant()+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form)
	if err != nil {
		a.t.Fatal(err)
	}
	token := between(body(a.t, resp), `"access_token":"`, `"`)
	r.Header.Set("Authorization", "Bearer "+token)
	if resp, err = a.http.Do(r); err != nil {
		a.t.Fatal(err)
	}
	body(a.t, resp)
	return resp.StatusCode
}

func TestFaults(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{})
	a.Assign(object, arm.DNSZoneContributor, a.zone)
	_, err := a.put(nil, "v")
	want(t, err, "ok")
	for ill, there := range map[arm.Ill]bool{arm.Throttled: false, arm.Broken: false, arm.Busy: false, arm.Reset: false, arm.Garbage: false, arm.Lost: true, arm.Botched: true} {
		a.Inject(arm.Fault{Ill: ill, Method: http.MethodPut, Path: "/txt/", Times: 1, RetryAfter: 1500 * time.Millisecond})
		_, err := a.put(nil, string(ill))
		var r *azcore.ResponseError
		if err == nil {
			t.Errorf("%s: it worked", ill)
		} else if errors.As(err, &r) && ill == arm.Throttled && (r.StatusCode != 429 || r.RawResponse.Header.Get("Retry-After") != "2") {
			t.Errorf("%s: %v", ill, err)
		}
		if got := slices.Contains(a.Values("example.com", "_acme-challenge.example.com"), string(ill)); got != there {
			t.Errorf("%s: happened: %t, want %t", ill, got, there)
		}
		_, err = a.put(nil, "v") // it hits once
		want(t, err, "ok")
	}
	heal := a.Inject(arm.Fault{Ill: arm.Broken})
	_, err = a.put(nil, "v")
	want(t, err, "500 InternalServerError")
	heal()
	a.Inject(arm.Fault{Ill: arm.Broken, Method: http.MethodDelete})
	a.Heal()
	want(t, a.remove(""), "ok")
	ctx, cancel := context.WithCancel(t.Context())
	a.Inject(arm.Fault{Ill: arm.Late, Wait: time.Hour, Before: cancel})
	if _, err = a.records.Get(ctx, "dns", "example.com", "x", armdns.RecordTypeTXT, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
}

func TestRequestsAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	a := start(t, arm.Options{Requests: 3})
	a.Assign(object, arm.DNSZoneContributor, a.zone)
	for range 3 {
		_, _ = a.get()
	}
	want(t, a.remove(""), "ok")
	log := a.Requests()
	last := log[len(log)-1]
	if len(log) != 3 || last.Method != http.MethodDelete || last.Principal != object || last.Action != "Microsoft.Network/dnsZones/TXT/delete" || last.Status != 204 {
		t.Errorf("log %+v", log)
	}
	if text := fmt.Sprintf("%+v", log); strings.Contains(text, secret) || strings.Contains(text, "eyJ") {
		t.Error("a secret is in the log")
	}
}

func TestChangesTakeTheirTime(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Now()
	advance := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock() }
	a := start(t, arm.Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	a.SetLag(10 * time.Minute)
	id := a.Assign(object, arm.DNSZoneContributor, a.zone)
	a.signIn()
	_, err := a.put(nil, "v")
	want(t, err, "403 AuthorizationFailed") // granted, and not noticed yet
	advance(10 * time.Minute)
	_, err = a.put(nil, "v")
	want(t, err, "ok")
	a.Unassign(id)
	advance(9 * time.Minute)
	a.signIn()
	_, err = a.put(nil, "w")
	want(t, err, "ok") // taken away, and not noticed yet, although the token is new
	advance(time.Minute)
	_, err = a.put(nil, "x")
	want(t, err, "403 AuthorizationFailed")
}
