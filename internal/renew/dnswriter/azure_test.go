package dnswriter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/arm"
	"github.com/notafter/notafter/internal/renew/dnswriter"
)

const (
	azClient = "c11e0000-0000-4000-8000-000000000001"
	azObject = "0b1e0000-0000-4000-8000-000000000001"
	azSecret = "a-secret~that.nobody-may-see"
	azName   = "_acme-challenge.eu.example.com"
)

// azure is a stand-in with one zone and one principal who may write there.
type azure struct {
	*arm.Server
	client *http.Client
	zone   string // resource id
	grant  string // id of the role assignment
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
	a.grant = s.Assign(azObject, arm.DNSZoneContributor, a.zone)
	return a
}

func (a *azure) options() dnswriter.AzureOptions {
	return dnswriter.AzureOptions{
		Subscription: a.Subscription(), ResourceGroup: "dns", Zone: "example.com.",
		Credential: dnswriter.AzureCredential{Kind: dnswriter.AzureSecret, Tenant: a.Tenant(), Client: azClient, Secret: azSecret},
		Endpoint:   a.URL(), Authority: a.URL(), Client: a.client,
	}
}

func (a *azure) writer(t *testing.T, change ...func(*dnswriter.AzureOptions)) *dnswriter.Azure {
	t.Helper()
	o := a.options()
	for _, f := range change {
		f(&o)
	}
	w, err := dnswriter.NewAzure(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (a *azure) want(t *testing.T, values ...string) {
	t.Helper()
	got := a.Values("example.com", azName)
	slices.Sort(got)
	slices.Sort(values)
	if !slices.Equal(got, values) {
		t.Fatalf("values at %s: %q, want %q", azName, got, values)
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// troubled returns the trouble in an error and wants its class and reason.
func troubled(t *testing.T, err error, class assure.TroubleClass, reason assure.Reason) *assure.Trouble {
	t.Helper()
	var tr *assure.Trouble
	if !errors.As(err, &tr) {
		t.Fatalf("error %v is no trouble", err)
	}
	if tr.Class != class || tr.Reason != reason {
		t.Fatalf("class %s, reason %s, want %s and %s: %v", tr.Class, tr.Reason, class, reason, tr)
	}
	if strings.Contains(fmt.Sprintf("%+v", *tr), azSecret) {
		t.Fatalf("the secret is told: %+v", *tr)
	}
	if tr.Detail == "" || strings.HasSuffix(tr.Detail, ".") || strings.ContainsAny(tr.Detail, "\n\r") {
		t.Fatalf("detail %q: want one sentence without a dot", tr.Detail)
	}
	return tr
}

func TestAzurePresentsAndWithdrawsBesideOthers(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []string
	a := startAzure(t, arm.Options{OnTXT: func(zone, name string, values []string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(zone, " ", name, " ", values))
	}})
	w, ctx := a.writer(t), deadline(t)
	if w.Who() != azClient {
		t.Errorf("who: %q", w.Who())
	}
	for range 2 { // again is no error and changes nothing
		if err := w.Present(ctx, azName, "one"); err != nil {
			t.Fatal(err)
		}
	}
	a.want(t, "one")
	if ttl, _ := a.TTL("example.com", azName); ttl != 60 {
		t.Errorf("TTL %d, want 60", ttl)
	}
	a.SetValues("example.com", azName, 3600, "somebody else's", "one")
	if err := w.Present(ctx, azName+".", "two"); err != nil {
		t.Fatal(err)
	}
	a.want(t, "one", "somebody else's", "two")
	if ttl, _ := a.TTL("example.com", azName); ttl != 60 {
		t.Errorf("TTL %d in a set of others, want 60", ttl)
	}
	for _, v := range []string{"one", "two", "two", "never written"} {
		if err := w.Withdraw(ctx, azName, v); err != nil {
			t.Fatal(err)
		}
	}
	a.want(t, "somebody else's")
	a.SetValues("example.com", azName, 60)
	if err := w.Withdraw(ctx, "not-there.example.com", "x"); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 600)
	if err := w.Present(ctx, "example.com", long); err != nil { // at the top of the zone, in three strings
		t.Fatal(err)
	}
	if got := a.Values("example.com", "example.com"); len(got) != 1 || got[0] != long {
		t.Fatalf("long value: %q", got)
	}
	if err := w.Withdraw(ctx, "example.com", long); err != nil {
		t.Fatal(err)
	}
	if left := a.Leftovers("example.com"); len(left) != 0 {
		t.Fatalf("left: %q", left)
	}
	want := []string{
		"example.com " + azName + " [one]", "example.com " + azName + " [somebody else's one]", "example.com " + azName + " [somebody else's one two]",
		"example.com " + azName + " [somebody else's two]", "example.com " + azName + " [somebody else's]", "example.com " + azName + " []",
		"example.com example.com [" + long + "]", "example.com example.com []",
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
	if _, ok := a.TTL("example.com", azName); ok {
		t.Error("an empty set is left")
	}
}

func TestAzureLosesNoValueOfConcurrentWriters(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	ctx := deadline(t)
	const writers = 8
	a.SetValues("example.com", azName, 60, "static")
	all := []string{"static"}
	run := func(f func(w *dnswriter.Azure, value string) error) {
		t.Helper()
		var wg sync.WaitGroup
		for i := range writers {
			w := a.writer(t) // each as another process
			wg.Go(func() {
				if err := f(w, fmt.Sprint("value ", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	run(func(w *dnswriter.Azure, v string) error { return w.Present(ctx, azName, v) })
	for i := range writers {
		all = append(all, fmt.Sprint("value ", i))
	}
	a.want(t, all...)
	run(func(w *dnswriter.Azure, v string) error { return w.Withdraw(ctx, azName, v) })
	a.want(t, "static")
}

func TestAzureSomebodyGetsInBetween(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	w, ctx := a.writer(t), deadline(t)

	// A new set appears between reading and writing.
	a.Inject(arm.Fault{Method: http.MethodPut, Times: 1, Before: func() { a.SetValues("example.com", azName, 60, "theirs") }})
	if err := w.Present(ctx, azName, "ours"); err != nil {
		t.Fatal(err)
	}
	a.want(t, "ours", "theirs")

	// Our value is the last one when it is read, and is not when the set is deleted.
	a.SetValues("example.com", azName, 60, "ours")
	a.Inject(arm.Fault{Method: http.MethodDelete, Times: 1, Before: func() { a.SetValues("example.com", azName, 60, "ours", "theirs") }})
	if err := w.Withdraw(ctx, azName, "ours"); err != nil {
		t.Fatal(err)
	}
	a.want(t, "theirs")

	// Every single time.
	n := 0
	a.Inject(arm.Fault{Method: http.MethodPut, Before: func() {
		n++
		a.SetValues("example.com", azName, 60, "theirs", fmt.Sprint("and more ", n))
	}})
	impatient := a.writer(t, func(o *dnswriter.AzureOptions) {
		o.Tries = 3
		o.Wait = func(context.Context, time.Duration) error { return nil }
	})
	tr := troubled(t, impatient.Present(ctx, azName, "ours"), assure.TroubleConflict, assure.DNSWriteFailed)
	if n != 3 || !tr.Class.Retry() {
		t.Errorf("%d tries, trouble %v", n, tr)
	}
}

func TestAzureGrantTakenAndGivenBack(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	w, ctx := a.writer(t), deadline(t)
	if err := w.Present(ctx, azName, "before"); err != nil {
		t.Fatal(err)
	}
	a.Unassign(a.grant)
	tr := troubled(t, w.Present(ctx, azName, "during"), assure.TroubleDenied, assure.DNSWriteDenied)
	scope := a.RecordScope("dns", "example.com", "_acme-challenge.eu")
	if tr.Identity != azObject || tr.Action != "Microsoft.Network/dnsZones/TXT/read" || !strings.EqualFold(tr.Scope, scope) {
		t.Errorf("trouble %+v", tr)
	}
	// One who can still read is refused the writing.
	a.Assign(azObject, arm.Reader, a.zone)
	tr = troubled(t, w.Present(ctx, azName, "during"), assure.TroubleDenied, assure.DNSWriteDenied)
	if tr.Action != "Microsoft.Network/dnsZones/TXT/write" || !strings.Contains(tr.Remedy, azObject) {
		t.Errorf("trouble %+v", tr)
	}
	a.Assign(azObject, arm.DNSZoneContributor, a.zone)
	if err := w.Present(ctx, azName, "after"); err != nil {
		t.Fatal(err)
	}
	a.want(t, "before", "after")
}

func TestAzureTokensFromBeforeAChange(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{Stale: time.Hour})
	w, ctx := a.writer(t), deadline(t)
	if err := w.Present(ctx, azName, "one"); err != nil {
		t.Fatal(err)
	}
	a.Unassign(a.grant)
	if err := w.Present(ctx, azName, "two"); err != nil { // the cached token still may: this is what must not fool a rehearsal
		t.Fatal(err)
	}
	fresh := w.Fresh()
	troubled(t, fresh.Present(ctx, azName, "three"), assure.TroubleDenied, assure.DNSWriteDenied)
	a.Assign(azObject, arm.DNSZoneContributor, a.zone)
	if err := fresh.Present(ctx, azName, "four"); err != nil { // the other way round it signs in again by itself
		t.Fatal(err)
	}
	a.want(t, "one", "two", "four")
	signIns := 0
	for _, r := range a.Requests() {
		if strings.HasSuffix(r.Path, "/token") {
			signIns++
		}
	}
	if signIns != 4 { // once, then fresh, again when it was refused, and once more when it was given back
		t.Errorf("signed in %d times", signIns)
	}
}

func TestAzureLocks(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	w, ctx := a.writer(t), deadline(t)
	a.SetValues("example.com", azName, 60, "ours")

	lock := a.Lock(a.zone, arm.CanNotDelete, "keep")
	if err := w.Present(ctx, azName, "second"); err != nil {
		t.Fatal(err)
	}
	if err := w.Withdraw(ctx, azName, "second"); err != nil {
		t.Fatal(err)
	}
	tr := troubled(t, w.Withdraw(ctx, azName, "ours"), assure.TroubleForbidden, assure.DNSWriteDenied)
	if !strings.Contains(tr.Remedy, a.zone) || !tr.Happened || tr.Action != "Microsoft.Network/dnsZones/TXT/delete" {
		t.Errorf("trouble %+v", tr)
	}
	if left := a.Leftovers("example.com"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	if err := w.Withdraw(ctx, azName, "ours"); err != nil { // it is gone, so a sweep comes to an end
		t.Fatal(err)
	}
	if err := w.Present(ctx, azName, "ours"); err != nil { // into the empty set
		t.Fatal(err)
	}
	a.Unlock(lock)

	a.Lock(a.GroupScope("dns"), arm.ReadOnly, "frozen")
	for _, err := range []error{w.Present(ctx, azName, "second"), w.Withdraw(ctx, azName, "ours")} {
		tr = troubled(t, err, assure.TroubleForbidden, assure.DNSWriteDenied)
		if !strings.Contains(tr.Remedy, a.GroupScope("dns")) || tr.Happened {
			t.Errorf("trouble %+v", tr)
		}
	}
	a.want(t, "ours")
}

func TestAzureMayWriteButNotDelete(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	w, ctx := a.writer(t), deadline(t)
	a.Unassign(a.grant)
	a.Assign(azObject, a.Define(arm.Definition{Name: "TXT writer", Actions: []string{"Microsoft.Network/dnsZones/TXT/*"}, NotActions: []string{"Microsoft.Network/dnsZones/TXT/delete"}}), a.zone)
	if err := w.Present(ctx, azName, "ours"); err != nil {
		t.Fatal(err)
	}
	tr := troubled(t, w.Withdraw(ctx, azName, "ours"), assure.TroubleDenied, assure.DNSWriteDenied)
	if !tr.Happened || len(a.Leftovers("example.com")) != 0 {
		t.Errorf("left %q, trouble %+v", a.Leftovers("example.com"), tr)
	}
}

func TestAzureDenyAssignment(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	a.Forbid(arm.Deny{Title: "blueprint", Scope: a.GroupScope("dns"), Actions: []string{"*/write"}, Principals: []string{arm.Everyone}})
	tr := troubled(t, a.writer(t).Present(deadline(t), azName, "x"), assure.TroubleForbidden, assure.DNSWriteDenied)
	if tr.Identity != azObject || tr.Action != "Microsoft.Network/dnsZones/TXT/write" || !strings.Contains(tr.Detail, "blueprint") {
		t.Errorf("trouble %+v", tr)
	}
}

// TestAzureFaults: failed, and failed but happened.
func TestAzureFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault    arm.Fault
		withdraw bool
		class    assure.TroubleClass // empty: it works all the same
		after    time.Duration
		happened bool
		there    bool // whether the value is there afterwards
	}{
		"throttled while writing":            {fault: arm.Fault{Ill: arm.Throttled, Method: "PUT", RetryAfter: 17 * time.Second}, class: assure.TroubleThrottled, after: 17 * time.Second},
		"throttled while reading":            {fault: arm.Fault{Ill: arm.Throttled, Path: "/TXT/"}, class: assure.TroubleThrottled},
		"throttled while signing in":         {fault: arm.Fault{Ill: arm.Throttled, Path: "/oauth2/", RetryAfter: 5 * time.Second}, class: assure.TroubleThrottled, after: 5 * time.Second},
		"500 while writing":                  {fault: arm.Fault{Ill: arm.Broken, Method: "PUT"}, class: assure.TroubleTransient},
		"503 while reading":                  {fault: arm.Fault{Ill: arm.Busy, Path: "/TXT/", RetryAfter: 2 * time.Second}, class: assure.TroubleTransient, after: 2 * time.Second},
		"500 while signing in":               {fault: arm.Fault{Ill: arm.Broken, Path: "/oauth2/"}, class: assure.TroubleTransient},
		"no answer and not written":          {fault: arm.Fault{Ill: arm.Reset, Method: "PUT"}, class: assure.TroubleTransient},
		"no answer but written":              {fault: arm.Fault{Ill: arm.Lost, Method: "PUT", Times: 1}, there: true},
		"500 but written":                    {fault: arm.Fault{Ill: arm.Botched, Method: "PUT", Times: 1}, there: true},
		"no answer but withdrawn":            {fault: arm.Fault{Ill: arm.Lost, Method: "DELETE", Times: 1}, withdraw: true},
		"500 but withdrawn":                  {fault: arm.Fault{Ill: arm.Botched, Method: "DELETE", Times: 1}, withdraw: true},
		"no answer and not withdrawn":        {fault: arm.Fault{Ill: arm.Reset, Method: "DELETE"}, withdraw: true, class: assure.TroubleTransient, there: true},
		"no token service at all":            {fault: arm.Fault{Ill: arm.Reset, Path: "/oauth2/"}, class: assure.TroubleTransient},
		"a proxy that answers for Azure":     {fault: arm.Fault{Ill: arm.Garbage, Path: "/TXT/"}, class: assure.TroubleBroken},
		"something else at the address":      {fault: arm.Fault{Ill: arm.Strange, Path: "/TXT/"}, withdraw: true, class: assure.TroubleBroken, there: true},
		"a proxy that answers for the write": {fault: arm.Fault{Ill: arm.Garbage, Method: "PUT"}, class: assure.TroubleBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAzure(t, arm.Options{})
			w, ctx := a.writer(t), deadline(t)
			if c.withdraw {
				a.SetValues("example.com", azName, 60, "ours")
			}
			heal := a.Inject(c.fault)
			do := w.Present
			if c.withdraw {
				do = w.Withdraw
			}
			err := do(ctx, azName, "ours")
			if c.class == "" && err != nil {
				t.Fatal(err)
			}
			if c.class != "" {
				tr := troubled(t, err, c.class, assure.DNSWriteFailed)
				if c.after > 0 && !strings.Contains(tr.Detail, "left alone for "+assure.Ago(c.after)) {
					t.Errorf("the pause is not told: %s", tr.Detail)
				}
				if tr.RetryAfter != c.after || tr.Happened != c.happened {
					t.Errorf("trouble %+v", tr)
				}
			}
			if there := len(a.Values("example.com", azName)) == 1; there != c.there {
				t.Errorf("value is there: %t, want %t", there, c.there)
			}
			requests := len(a.Requests())
			if requests > 12 {
				t.Errorf("%d requests for one change", requests)
			}
			heal()
			if err := do(ctx, azName, "ours"); err != nil {
				t.Errorf("after it is healed: %v", err)
			}
		})
	}
}

func TestAzureNobodyKnowsWhetherItHappened(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	w, ctx := a.writer(t), deadline(t)
	a.Inject(arm.Fault{Ill: arm.Lost, Method: "PUT", Times: 1, Before: func() { a.Inject(arm.Fault{Ill: arm.Broken, Method: "GET"}) }})
	tr := troubled(t, w.Present(ctx, azName, "ours"), assure.TroubleTransient, assure.DNSWriteFailed)
	if !tr.Happened {
		t.Errorf("trouble %+v", tr)
	}
}

func TestAzureReturnsSoonWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	w := a.writer(t)
	ctx, cancel := context.WithCancel(t.Context())
	a.Inject(arm.Fault{Ill: arm.Late, Method: "PUT", Wait: time.Minute, Before: cancel})
	began := time.Now()
	tr := troubled(t, w.Present(ctx, azName, "ours"), assure.TroubleTransient, assure.DNSWriteFailed)
	if !tr.Happened || time.Since(began) > 20*time.Second {
		t.Errorf("after %s: %+v", time.Since(began), tr)
	}
}

func TestAzureCredentials(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil   func(*azure, *dnswriter.AzureOptions)
		says    string
		missing bool
	}{
		"secret expired": {spoil: func(a *azure, _ *dnswriter.AzureOptions) { a.SetSecret(azClient, azSecret, time.Now().Add(-time.Hour)) }, says: "AADSTS7000222"},
		"secret wrong":   {spoil: func(_ *azure, o *dnswriter.AzureOptions) { o.Credential.Secret = "another" }, says: "AADSTS7000215"},
		"app unknown": {spoil: func(_ *azure, o *dnswriter.AzureOptions) {
			o.Credential.Client = "c11e0000-0000-4000-8000-00000000dead"
		}, says: "AADSTS700016"},
		"tenant unknown": {spoil: func(_ *azure, o *dnswriter.AzureOptions) {
			o.Credential.Tenant = "7e000000-0000-4000-8000-00000000dead"
		}, says: "AADSTS90002"},
		"federation ended": {spoil: func(a *azure, o *dnswriter.AzureOptions) { o.Credential = federated(t, a, "another token") }, says: "AADSTS700213"},
		"no token file": {spoil: func(a *azure, o *dnswriter.AzureOptions) {
			o.Credential = federated(t, a, "token")
			o.Credential.TokenFile += ".gone"
		}, says: "federated token cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAzure(t, arm.Options{})
			w := a.writer(t, func(o *dnswriter.AzureOptions) { c.spoil(a, o) })
			tr := troubled(t, w.Present(deadline(t), azName, "x"), assure.TroubleExpired, assure.CredentialExpiring)
			if !strings.Contains(tr.Detail, c.says) || strings.Contains(tr.Detail, "Trace ID") {
				t.Errorf("detail %q, want %s", tr.Detail, c.says)
			}
		})
	}
}

// federated is a workload identity whose token file holds the text; the authority takes "token".
func federated(t *testing.T, a *azure, text string) dnswriter.AzureCredential {
	t.Helper()
	a.Federate(azClient, "token")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dnswriter.AzureCredential{Kind: dnswriter.AzureWorkload, Tenant: a.Tenant(), Client: azClient, TokenFile: file}
}

func TestAzureWorkloadAndManagedIdentity(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{Stale: time.Hour})
	a.Manage(azClient)
	for kind, cred := range map[string]dnswriter.AzureCredential{
		"workload": federated(t, a, "token"),
		"managed":  {Kind: dnswriter.AzureManaged, Client: azClient},
		"system":   {Kind: dnswriter.AzureManaged},
	} {
		w := a.writer(t, func(o *dnswriter.AzureOptions) { o.Credential = cred })
		if err := w.Present(deadline(t), azName, kind); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		// The caches that all managed identities of a process share do not make a new login old.
		a.Unassign(a.grant)
		troubled(t, w.Fresh().Present(deadline(t), azName, "x"), assure.TroubleDenied, assure.DNSWriteDenied)
		a.grant = a.Assign(azObject, arm.DNSZoneContributor, a.zone)
	}
	a.want(t, "workload", "managed", "system")
	w := a.writer(t, func(o *dnswriter.AzureOptions) {
		o.Credential = dnswriter.AzureCredential{Kind: dnswriter.AzureManaged, Client: "c11e0000-0000-4000-8000-00000000dead"}
	})
	troubled(t, w.Present(deadline(t), azName, "x"), assure.TroubleExpired, assure.CredentialExpiring)
}

func TestAzureRevokedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	w, ctx := a.writer(t), deadline(t)
	if err := w.Present(ctx, azName, "one"); err != nil {
		t.Fatal(err)
	}
	a.RevokeTokens()
	if err := w.Present(ctx, azName, "two"); err != nil {
		t.Fatal(err)
	}
	a.Inject(arm.Fault{Method: http.MethodGet, Before: a.RevokeTokens})
	troubled(t, w.Present(ctx, azName, "three"), assure.TroubleExpired, assure.CredentialExpiring)
}

func TestAzureWhatIsMissing(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	ctx := deadline(t)
	a.Assign(azObject, arm.Contributor, "/subscriptions/"+a.Subscription())
	w := a.writer(t, func(o *dnswriter.AzureOptions) { o.Zone = "example.org" })
	tr := troubled(t, w.Present(ctx, "_acme-challenge.example.org", "x"), assure.TroubleMissing, assure.DNSWriteFailed)
	if !strings.Contains(tr.Detail, "example.org") {
		t.Errorf("detail %q", tr.Detail)
	}
	if err := w.Withdraw(ctx, "_acme-challenge.example.org", "x"); err != nil {
		t.Errorf("nothing to withdraw in a zone that is not there: %v", err)
	}
	elsewhere := a.writer(t, func(o *dnswriter.AzureOptions) { o.Subscription = "5b000000-0000-4000-8000-00000000dead" })
	troubled(t, elsewhere.Withdraw(ctx, azName, "x"), assure.TroubleMissing, assure.DNSWriteFailed) // nobody can say that it is gone
	for _, name := range []string{"_acme-challenge.example.com", "notexample.org", "", ".example.org", "a/b.example.org"} {
		troubled(t, w.Present(ctx, name, "x"), assure.TroubleInvalid, assure.DNSWriteFailed)
	}
	troubled(t, w.Present(ctx, "a.example.org", ""), assure.TroubleInvalid, assure.DNSWriteFailed)
}

func TestAzureSettings(t *testing.T) {
	t.Parallel()
	good := dnswriter.AzureOptions{
		Subscription: "s", ResourceGroup: "g", Zone: "z.example",
		Credential: dnswriter.AzureCredential{Kind: dnswriter.AzureSecret, Tenant: "t", Client: "c", Secret: azSecret},
	}
	for name, c := range map[string]struct {
		change func(*dnswriter.AzureOptions)
		want   string
	}{
		"good":                      {func(*dnswriter.AzureOptions) {}, ""},
		"china":                     {func(o *dnswriter.AzureOptions) { o.Cloud = "china" }, ""},
		"usgovernment":              {func(o *dnswriter.AzureOptions) { o.Cloud = "usgovernment" }, ""},
		"unknown cloud":             {func(o *dnswriter.AzureOptions) { o.Cloud = "moon" }, "moon"},
		"no zone":                   {func(o *dnswriter.AzureOptions) { o.Zone = "." }, "zone is required"},
		"no group":                  {func(o *dnswriter.AzureOptions) { o.ResourceGroup = "" }, "resource group is required"},
		"a path for a group":        {func(o *dnswriter.AzureOptions) { o.ResourceGroup = "g/../h" }, "not a name"},
		"unknown credential":        {func(o *dnswriter.AzureOptions) { o.Credential.Kind = "password" }, "password"},
		"no secret":                 {func(o *dnswriter.AzureOptions) { o.Credential.Secret = "" }, "needs the tenant"},
		"endpoint without TLS":      {func(o *dnswriter.AzureOptions) { o.Endpoint, o.Authority = "http://x", "https://x" }, "endpoint: want an https address"},
		"endpoint but no authority": {func(o *dnswriter.AzureOptions) { o.Endpoint = "https://x" }, "authority: want an https address"},
	} {
		o := good
		c.change(&o)
		_, err := dnswriter.NewAzure(o)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), azSecret) {
			t.Errorf("%s: the secret is told: %v", name, err)
		}
	}
}

// Where nobody answers, what went wrong is told, and not the SDK's way to it.
func TestAzureNobodyAnswers(t *testing.T) {
	t.Parallel()
	a := startAzure(t, arm.Options{})
	w := a.writer(t)
	a.Stop()
	tr := troubled(t, w.Present(deadline(t), azName, "x"), assure.TroubleTransient, assure.DNSWriteFailed)
	if !strings.HasPrefix(tr.Detail, "no token from Azure: dial tcp") || strings.Contains(tr.Detail, "troubleshoot") {
		t.Errorf("it is told as %s", tr.Detail)
	}
}
