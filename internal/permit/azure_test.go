package permit_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"pgregory.net/rapid"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/arm"
	"github.com/notafter/notafter/internal/permit"
)

const (
	azClient = "c11e0000-0000-4000-8000-000000000001"
	azObject = "0b1e0000-0000-4000-8000-000000000001"
	azTeam   = "96000000-0000-4000-8000-000000000001"
	azSecret = "a-secret~that.nobody-may-see"
	azRecord = "_acme-challenge.eu.example.com"
)

// azure is a stand-in with one zone and one principal without any right.
type azure struct {
	*arm.Server
	client *http.Client
	zone   string // resource id
	set    string // of the record set
}

func startAzure(t *testing.T, o arm.Options) *azure {
	t.Helper()
	s, err := arm.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	a := &azure{Server: s, client: s.Client()}
	t.Cleanup(func() {
		a.client.CloseIdleConnections()
		s.Stop()
	})
	s.AddPrincipal(azClient, azObject, azSecret)
	a.zone = s.AddZone("dns", "example.com")
	a.set = s.RecordScope("dns", "example.com", "_acme-challenge.eu")
	return a
}

func (a *azure) cloud() cloud.Configuration {
	return cloud.Configuration{
		ActiveDirectoryAuthorityHost: a.URL() + "/",
		Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: a.URL(), Audience: a.URL()}},
	}
}

func (a *azure) login() (azcore.TokenCredential, error) {
	return azidentity.NewClientSecretCredential(a.Tenant(), azClient, azSecret, &azidentity.ClientSecretCredentialOptions{
		DisableInstanceDiscovery: true,
		ClientOptions:            policy.ClientOptions{Cloud: a.cloud(), Transport: a.client, Retry: policy.RetryOptions{MaxRetries: -1}},
	})
}

func (a *azure) asker(t *testing.T) *permit.Azure {
	t.Helper()
	p, err := permit.NewAzure(permit.AzureOptions{
		Subscription: a.Subscription(), ResourceGroup: "dns", Zone: "example.com.", Login: a.login, Cloud: a.cloud(), Client: a.client,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (a *azure) ask(t *testing.T) []assure.Access {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	list := a.asker(t).Ask(ctx, azRecord)
	var actions []string
	for _, x := range list {
		actions = append(actions, x.Action)
		if x.Answer == assure.Allowed && x.Trouble != nil || x.Answer != assure.Allowed && x.Trouble == nil || x.Detail == "" {
			t.Errorf("half an answer: %+v", x)
		}
		if x.Trouble != nil && x.Trouble.Class == assure.TroubleDenied && x.Trouble.Reason == assure.DNSWriteDenied && !strings.Contains(x.Trouble.Remedy, "TXT/read, /write and /delete") {
			t.Errorf("what to grant is not told whole: %s", x.Trouble.Remedy)
		}
		if text := fmt.Sprintf("%+v %+v", x, x.Trouble); strings.Contains(text, azSecret) {
			t.Errorf("the secret is told: %s", text)
		}
	}
	if want := []string{azRead, azWrite, azDelete}; !slices.Equal(actions, want) {
		t.Fatalf("actions %q", actions)
	}
	return list
}

// answers wants "allowed allowed denied" for reading, writing and deleting.
func (a *azure) answers(t *testing.T, want string) []assure.Access {
	t.Helper()
	list := a.ask(t)
	var got []string
	for _, x := range list {
		got = append(got, string(x.Answer))
	}
	if strings.Join(got, " ") != want {
		t.Fatalf("answers %q, want %q: %+v %+v", got, want, list, list[1].Trouble)
	}
	return list
}

// asked reports how many requests had a part of the path.
func (a *azure) asked(part string) (n int) {
	for _, r := range a.Requests() {
		if strings.Contains(r.Path, part) {
			n++
		}
	}
	return n
}

func TestAzureGrantNamedByCheckAccess(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{Stale: time.Hour})
	id := a.Assign(azObject, arm.Owner, a.GroupScope("dns")) // Owner may call checkAccess
	for _, x := range a.answers(t, "allowed allowed allowed") {
		if !slices.Equal(x.Grants, []string{id}) || !x.Whole || x.Identity != azObject || !strings.EqualFold(x.Scope, a.set) || !strings.Contains(x.Detail, "checkAccess") {
			t.Errorf("access %+v", x)
		}
	}
	if n := a.asked("/roleAssignments"); n != 1 {
		t.Errorf("role assignments were read %d times for one question", n)
	}
	if n := a.asked("/token"); n != 1 {
		t.Errorf("signed in %d times for one question", n)
	}
	// Every question has its own token: it hears of the change although tokens from before keep their rights.
	a.Unassign(id)
	// Who may nothing may not ask either, but finds that it cannot read.
	list := a.answers(t, "denied unclear unclear")
	if tr := list[0].Trouble; tr.Reason != assure.DNSWriteDenied || tr.Class != assure.TroubleDenied || tr.Identity != azObject || tr.Action != azRead || !strings.EqualFold(tr.Scope, a.set) {
		t.Errorf("trouble %+v", tr)
	}
	for _, x := range list[1:] {
		if x.Trouble.Reason != assure.PermissionUnclear || x.Trouble.Class != assure.TroubleDenied || x.Trouble.Identity != azObject ||
			!strings.HasPrefix(x.Trouble.Action, "Microsoft.Authorization/") || x.Trouble.Remedy == "" {
			t.Errorf("trouble %+v", x.Trouble)
		}
	}
}

func TestAzureGrantFoundWithoutCheckAccess(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	id := a.Assign(azObject, arm.DNSZoneContributor, a.zone) // which may not call checkAccess
	for _, x := range a.answers(t, "allowed allowed allowed") {
		if !slices.Equal(x.Grants, []string{id}) || x.Identity != azObject {
			t.Errorf("access %+v", x)
		}
	}
	if a.asked("/checkAccess") != 1 || a.asked("/roleAssignments") != 1 || a.asked("/token") != 1 {
		t.Errorf("requests %+v", a.Requests())
	}
	// Taken away, with the right to ask kept: the incident of this product.
	a.Assign(azObject, arm.Reader, a.zone)
	a.Unassign(id)
	list := a.answers(t, "allowed denied denied")
	tr := list[1].Trouble
	if tr.Reason != assure.DNSWriteDenied || tr.Class != assure.TroubleDenied || tr.Identity != azObject || tr.Action != azWrite || !strings.EqualFold(tr.Scope, a.set) || !strings.Contains(tr.Remedy, azObject) {
		t.Errorf("trouble %+v", tr)
	}
	id = a.Assign(azObject, arm.DNSZoneContributor, a.zone)
	if list = a.answers(t, "allowed allowed allowed"); !slices.Equal(list[1].Grants, []string{id}) {
		t.Errorf("access %+v", list[1])
	}
}

func TestAzureMinimalRole(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	a.Assign(azObject, a.Define(arm.Definition{Name: "TXT", Actions: []string{"Microsoft.Network/dnsZones/TXT/*"}}), a.zone)
	for _, there := range []bool{false, true} { // it may write, and cannot know: that is said, with what to grant
		if there {
			a.SetValues("example.com", azRecord, 60, "x")
		}
		if x := a.answers(t, "allowed unclear unclear")[1]; x.Trouble.Reason != assure.PermissionUnclear || !strings.Contains(x.Trouble.Remedy, "Reader") {
			t.Errorf("trouble %+v", x.Trouble)
		}
	}
	if got := a.Values("example.com", azRecord); !slices.Equal(got, []string{"x"}) {
		t.Errorf("asking changed something: %q", got)
	}
}

func TestAzureLocksCount(t *testing.T) {
	t.Parallel()
	for _, role := range []string{arm.Owner, arm.DNSZoneContributor} { // by checkAccess, and without it
		a := startAzure(t, arm.Options{})
		grant := a.Assign(azObject, role, a.zone)
		lock := a.Lock(a.GroupScope("dns"), arm.CanNotDelete, "keep")
		x := a.answers(t, "allowed allowed denied")[2]
		if !slices.Equal(x.Blockers, []string{lock}) || !slices.Equal(x.Grants, []string{grant}) || x.Trouble.Class != assure.TroubleForbidden || !strings.Contains(x.Trouble.Remedy, lock) {
			t.Errorf("access %+v %+v", x, x.Trouble)
		}
		readOnly := a.Lock(a.set, arm.ReadOnly, "frozen") // at the record set itself
		x = a.answers(t, "allowed denied denied")[1]
		if !slices.Equal(x.Blockers, []string{readOnly}) || x.Trouble.Reason != assure.DNSWriteDenied {
			t.Errorf("access %+v %+v", x, x.Trouble)
		}
		a.Unlock(lock)
		a.Unlock(readOnly)
		a.Lock(a.RecordScope("dns", "example.com", "other"), arm.ReadOnly, "frozen")
		a.answers(t, "allowed allowed allowed")
	}
}

func TestAzureLocksThatCannotBeRead(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	a.Assign(azObject, arm.Owner, a.zone)
	for _, ill := range []arm.Ill{arm.Broken, arm.Garbage, arm.Reset} {
		heal := a.Inject(arm.Fault{Ill: ill, Path: "/locks"})
		list := a.answers(t, "allowed unclear unclear")
		if tr := list[1].Trouble; tr.Reason != assure.PermissionUnclear || len(list[1].Grants) != 1 {
			t.Errorf("%s: %+v", ill, tr)
		}
		heal()
	}
	a.answers(t, "allowed allowed allowed")
}

func TestAzureDenyAssignments(t *testing.T) {
	t.Parallel()
	for _, role := range []string{arm.Owner, arm.DNSZoneContributor} {
		a := startAzure(t, arm.Options{})
		a.SetGroup(azTeam, azObject)
		a.Assign(azObject, role, a.zone)
		deny := a.Forbid(arm.Deny{Title: "frozen", Scope: a.GroupScope("dns"), Actions: []string{"*/write", "*/delete"}, Principals: []string{arm.Everyone}})
		x := a.answers(t, "allowed denied denied")[1]
		if !slices.Equal(x.Blockers, []string{deny}) || x.Trouble.Class != assure.TroubleForbidden || !strings.Contains(x.Trouble.Remedy, deny) {
			t.Errorf("access %+v %+v", x, x.Trouble)
		}
		a.Permit(deny)
		deny = a.Forbid(arm.Deny{Title: "not for us", Scope: a.zone, Actions: []string{"*"}, Principals: []string{arm.Everyone}, Excluded: []string{azObject}})
		a.answers(t, "allowed allowed allowed")
		a.Permit(deny)
		deny = a.Forbid(arm.Deny{Title: "this record only", Scope: a.set, Actions: []string{"*/delete"}, Principals: []string{arm.Everyone}})
		a.answers(t, "allowed allowed denied")
		a.Permit(deny)
		// A group of which it is not known whether it holds the identity: Azure itself knows, local evaluation does not.
		a.Forbid(arm.Deny{Title: "for a group", Scope: a.zone, Actions: []string{"*/write"}, Principals: []string{azTeam}})
		if role == arm.Owner {
			a.answers(t, "allowed denied allowed")
		} else {
			a.answers(t, "allowed unclear allowed")
		}
	}
}

func TestAzureGroupsAndConditions(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{GrouplessCheckAccess: true})
	a.SetGroup(azTeam, azObject)
	a.SetGroup("96000000-0000-4000-8000-000000000002", azTeam) // a group in a group
	// May ask checkAccess itself, and has the rest through groups, of which this checkAccess knows nothing.
	a.Assign(azObject, a.Define(arm.Definition{Name: "asker", Actions: []string{"Microsoft.Authorization/checkAccess/action", "Microsoft.Authorization/*/read"}}), a.zone)
	id := a.Assign("96000000-0000-4000-8000-000000000002", arm.DNSZoneContributor, a.GroupScope("dns"))
	if x := a.answers(t, "allowed allowed allowed")[1]; !slices.Equal(x.Grants, []string{id}) {
		t.Errorf("access %+v", x)
	}
	a.Unassign(id)
	a.answers(t, "denied denied denied")
	a.AssignAs(arm.Assignment{Principal: azObject, Role: arm.DNSZoneContributor, Scope: a.zone, Condition: "((!(ActionMatches{'x'})) OR (@Resource[y] StringEquals 'z'))"})
	if x := a.answers(t, "unclear unclear unclear")[1]; x.Trouble.Reason != assure.PermissionUnclear || !strings.Contains(x.Detail, "condition") {
		t.Errorf("access %+v %+v", x, x.Trouble)
	}
}

func TestAzureThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  arm.Fault
		spoil  func(*azure)
		answer string
		class  assure.TroubleClass
		reason assure.Reason
		after  time.Duration
	}{
		"throttled":            {fault: arm.Fault{Ill: arm.Throttled, Path: "/Microsoft.Authorization/", RetryAfter: 9 * time.Second}, class: assure.TroubleThrottled, after: 9 * time.Second},
		"500 everywhere":       {fault: arm.Fault{Ill: arm.Broken, Path: "/Microsoft.Authorization/"}, class: assure.TroubleTransient},
		"no answer":            {fault: arm.Fault{Ill: arm.Reset, Path: "/Microsoft.Authorization/"}, class: assure.TroubleTransient},
		"a proxy answers":      {fault: arm.Fault{Ill: arm.Garbage, Path: "/Microsoft.Authorization/"}, class: assure.TroubleBroken},
		"something else there": {fault: arm.Fault{Ill: arm.Strange, Path: "/Microsoft.Authorization/"}, class: assure.TroubleBroken},
		"sign-in fails":        {fault: arm.Fault{Ill: arm.Busy, Path: "/oauth2/"}, class: assure.TroubleTransient},
		"sign-in is throttled": {fault: arm.Fault{Ill: arm.Throttled, Path: "/oauth2/", RetryAfter: 3 * time.Second}, class: assure.TroubleThrottled, after: 3 * time.Second},
		"secret expired": {
			spoil:  func(a *azure) { a.SetSecret(azClient, azSecret, time.Now().Add(-time.Minute)) },
			answer: "denied denied denied", class: assure.TroubleExpired, reason: assure.CredentialExpiring,
		},
		"tokens end at once": {fault: arm.Fault{Path: "/Microsoft.Authorization/"}, spoil: func(a *azure) {
			a.Inject(arm.Fault{Path: "/Microsoft.Authorization/", Before: a.RevokeTokens})
		}, class: assure.TroubleExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAzure(t, arm.Options{})
			a.Assign(azObject, arm.Owner, a.zone)
			if c.spoil != nil {
				c.spoil(a)
			}
			if c.fault.Ill != "" {
				a.Inject(c.fault)
			}
			if c.answer == "" {
				c.answer, c.reason = "unclear unclear unclear", assure.PermissionUnclear
			}
			for _, x := range a.answers(t, c.answer) {
				if tr := x.Trouble; tr.Class != c.class || tr.Reason != c.reason || tr.RetryAfter != c.after || strings.ContainsAny(tr.Detail, "\r\n") {
					t.Errorf("trouble %+v", tr)
				}
			}
			if n := len(a.Requests()); n > 12 {
				t.Errorf("%d requests for one question", n)
			}
		})
	}
}

func TestAzurePreviewIsGone(t *testing.T) {
	t.Parallel()
	for _, ill := range []arm.Ill{arm.Broken, arm.Busy, arm.Garbage} {
		a := startAzure(t, arm.Options{})
		id := a.Assign(azObject, arm.Owner, a.zone)
		a.Inject(arm.Fault{Ill: ill, Path: "/checkAccess"})
		if x := a.answers(t, "allowed allowed allowed")[1]; !slices.Equal(x.Grants, []string{id}) {
			t.Errorf("%s: %+v", ill, x)
		}
	}
}

func TestAzureNames(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	a.Assign(azObject, arm.DNSZoneContributor, a.zone)
	for record, want := range map[string]string{
		"example.com.": "@", "_acme-challenge.EXAMPLE.com": "_acme-challenge", "a.b.example.com": "a.b",
		"www.example.org": "", "notexample.com": "", ".example.com": "", "x/y.example.com": "", "": "", strings.Repeat("a.", 130) + "example.com": "",
	} {
		for _, x := range a.asker(t).Ask(t.Context(), record) {
			if want == "" && (x.Answer != assure.Untold || x.Trouble.Class != assure.TroubleInvalid || x.Trouble.Reason != assure.PermissionUnclear) ||
				want != "" && (x.Answer != assure.Allowed || !strings.HasSuffix(x.Scope, "/TXT/"+want)) {
				t.Errorf("%q: %+v", record, x)
			}
		}
	}
}

func TestAzureAskerSettings(t *testing.T) {
	t.Parallel()
	login := func() (azcore.TokenCredential, error) { return nil, nil }
	good := permit.AzureOptions{Subscription: "s", ResourceGroup: "g", Zone: "z.example", Login: login}
	for want, change := range map[string]func(*permit.AzureOptions){
		"":                 func(*permit.AzureOptions) {},
		"zone is required": func(o *permit.AzureOptions) { o.Zone = "." },
		"not a name":       func(o *permit.AzureOptions) { o.ResourceGroup = "a/b" },
		"way to sign in":   func(o *permit.AzureOptions) { o.Login = nil },
		"not an id":        func(o *permit.AzureOptions) { o.Object = "x') or ('" },
		"no address":       func(o *permit.AzureOptions) { o.Cloud.ActiveDirectoryAuthorityHost = "https://x/" },
	} {
		o := good
		change(&o)
		if _, err := permit.NewAzure(o); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestAzureSaysWhatHappens: over random grants, deny assignments and locks, what is answered is what Azure then does. Two
// readings of the same rules meet here, the product's and the stand-in's.
func TestAzureSaysWhatHappens(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	a.SetGroup(azTeam, azObject)
	custom := a.Define(arm.Definition{Name: "no delete", Actions: []string{"Microsoft.Network/dnsZones/*"}, NotActions: []string{"*/TXT/Delete"}})
	onlyAsk := a.Define(arm.Definition{Name: "asker", Actions: []string{"Microsoft.Authorization/*/read", "Microsoft.Authorization/checkAccess/action"}})
	rapid.Check(t, func(rt *rapid.T) {
		if rapid.IntRange(0, 3).Draw(rt, "skip") > 0 {
			return // each case is a dozen requests: some are enough for one run
		}
		for _, x := range a.Assignments() {
			a.Unassign(x.ID)
		}
		var deny, lock string
		defer func() {
			a.Permit(deny)
			a.Unlock(lock)
		}()
		scope := rapid.SampledFrom([]string{"/subscriptions/" + a.Subscription(), a.GroupScope("dns"), a.zone, a.set, a.RecordScope("dns", "example.com", "other"), a.zone + ".au"})
		a.Assign(azObject, rapid.SampledFrom([]string{arm.Reader, onlyAsk}).Draw(rt, "asker"), a.zone)
		for range rapid.IntRange(0, 2).Draw(rt, "grants") {
			a.Assign(rapid.SampledFrom([]string{azObject, azTeam, "somebody else"}).Draw(rt, "to"),
				rapid.SampledFrom([]string{arm.Reader, arm.Contributor, arm.DNSZoneContributor, custom}).Draw(rt, "role"), scope.Draw(rt, "scope"))
		}
		if rapid.Bool().Draw(rt, "deny") {
			deny = a.Forbid(arm.Deny{Scope: scope.Draw(rt, "scope"), Principals: []string{arm.Everyone}, Here: rapid.Bool().Draw(rt, "here"), Actions: []string{rapid.SampledFrom([]string{azWrite, "*/delete", "Microsoft.Compute/*"}).Draw(rt, "action")}})
		}
		if rapid.Bool().Draw(rt, "lock") {
			lock = a.Lock(scope.Draw(rt, "scope"), rapid.SampledFrom([]string{arm.CanNotDelete, arm.ReadOnly}).Draw(rt, "level"), "lock")
		}
		list := a.asker(t).Ask(t.Context(), azRecord)
		for i, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			a.SetValues("example.com", azRecord, 60, "x")
			status := a.do(rt, method)
			if does := status < 300; list[i].Answer == assure.Untold || does != (list[i].Answer == assure.Allowed) {
				rt.Fatalf("%s: answered %s (%s), and then HTTP %d", list[i].Action, list[i].Answer, list[i].Detail, status)
			}
		}
	})
}

// do makes a request about the record set.
func (a *azure) do(t *rapid.T, method string) int {
	cred, err := a.login()
	if err != nil {
		t.Fatal(err)
	}
	token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{a.URL() + "/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(method, a.URL()+a.set+"?api-version=2018-05-01", strings.NewReader(`{"properties":{"TTL":60,"TXTRecords":[{"value":["x"]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token.Token)
	resp, err := a.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// checkAccess names one grant where there may be several. That one of them goes shows all the same.
func TestAzureNamesEveryGrant(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	owner := a.Assign(azObject, arm.Owner, a.GroupScope("dns"))
	narrow := a.Assign(azObject, arm.DNSZoneContributor, a.zone)
	for _, x := range a.answers(t, "allowed allowed allowed") {
		if len(x.Grants) != 2 || !slices.Contains(x.Grants, owner) || !slices.Contains(x.Grants, narrow) || !x.Whole {
			t.Errorf("access %+v", x)
		}
	}
	a.Unassign(narrow)
	for _, x := range a.answers(t, "allowed allowed allowed") {
		if !slices.Equal(x.Grants, []string{owner}) || !x.Whole {
			t.Errorf("access %+v", x)
		}
	}
	// Where they cannot be read, what checkAccess names is not all.
	a.Inject(arm.Fault{Ill: arm.Broken, Path: "/roleAssignments"})
	for _, x := range a.answers(t, "allowed allowed allowed") {
		if !slices.Equal(x.Grants, []string{owner}) || x.Whole {
			t.Errorf("access %+v", x)
		}
	}
}
