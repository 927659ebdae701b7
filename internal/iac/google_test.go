package iac

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// said are the classes and addresses of what a plan does to renewal.
func said(changes ...Change) (out []string) {
	for _, f := range Judge(&Plan{Changes: changes}, Inventory{}).Findings {
		out = append(out, string(f.Class)+" "+f.Address)
	}
	return out
}

func expectSaid(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("said %q, want %q", got, want)
	}
}

func referring(c Change, attribute string, refs ...string) Change {
	c.Refers = map[string][]string{attribute: refs}
	return c
}

// A new account's address is known only after the apply, but follows from its name: the member is no guess.
func TestMemberOfAnAccountThatIsMade(t *testing.T) {
	t.Parallel()
	account := creates("google_service_account.cm", attrs{"account_id": "cert-manager", "project": gproject})
	member := referring(change(Create, "google_project_iam_member.new", nil, altered(gGrant(gAdmin, ""), "member", nil, "id", nil), attrs{"member": true, "id": true}), "member", "google_service_account.cm.email", "google_service_account.cm")
	expectSaid(t, said(deletes(gcm, gGrant(gAdmin, gmember)), account, member), "collision "+gcm)

	keyed := []Change{
		creates(`google_service_account.cm["a"]`, attrs{"account_id": "a-renewer", "project": gproject}),
		creates(`google_service_account.cm["b"]`, attrs{"account_id": "cert-manager", "project": gproject}),
		referring(change(Create, `google_project_iam_member.new["b"]`, nil, altered(gGrant(gAdmin, ""), "member", nil), attrs{"member": true}), "member", "google_service_account.cm"),
	}
	expectSaid(t, said(append(keyed, deletes(gcm, gGrant(gAdmin, gmember)))...), "collision "+gcm)

	// Of several without the same key none is clearly meant.
	keyed[2] = referring(change(Create, "google_project_iam_member.new", nil, altered(gGrant(gAdmin, ""), "member", nil), attrs{"member": true}), "member", "google_service_account.cm")
	expectSaid(t, said(append(keyed, deletes(gcm, gGrant(gAdmin, gmember)))...), "lost "+gcm)
}

func TestRoleThatIsMade(t *testing.T) {
	t.Parallel()
	member := func(role Change) []string {
		return said(deletes(gcm, gGrant(gAdmin, gmember)), role,
			referring(change(Create, "google_project_iam_member.new", nil, altered(gGrant("", gmember), "role", nil), attrs{"role": true}), "role", "google_project_iam_custom_role.dns.id", "google_project_iam_custom_role.dns"))
	}
	made := altered(gRole(gEverything...), "id", nil, "name", nil)
	expectSaid(t, member(creates("google_project_iam_custom_role.dns", made)), "gap "+gcm)
	expectSaid(t, member(creates("google_project_iam_custom_role.dns", altered(made, "permissions", []any{"storage.objects.get"}))), "lost "+gcm)
}

// A key that is made anew serves if the plan brings it to where the renewer reads it.
func TestKeyThatReachesItsSecret(t *testing.T) {
	t.Parallel()
	key := attrs{"id": gaccount + "/keys/1", "service_account_id": gaccount}
	rotated := change(CreateDelete, "google_service_account_key.cm", key, attrs{"service_account_id": gaccount}, attrs{"id": true, "private_key": true})
	secret := change(Update, "kubernetes_secret.dns", kMeta("cert-manager", "clouddns"), kMeta("cert-manager", "clouddns"), attrs{"data": true})
	grant := keeps(gcm, gGrant(gAdmin, gmember))
	expectSaid(t, said(grant, rotated, secret), "unknown google_service_account_key.cm")
	expectSaid(t, said(grant, rotated, referring(secret, "data", "google_service_account_key.cm.private_key", "google_service_account_key.cm")))
	ignored := keeps("kubernetes_secret.dns", kMeta("cert-manager", "clouddns")) // its code ignores changes of data
	expectSaid(t, said(grant, rotated, referring(ignored, "data", "google_service_account_key.cm.private_key")), "lost google_service_account_key.cm")
	expectSaid(t, said(grant, rotated, referring(secret, "data", "local.key")), "unknown google_service_account_key.cm")
	expectSaid(t, said(grant, rotated, referring(secret, "data", "google_service_account_key.cm2.private_key")), "lost google_service_account_key.cm")
}

func TestProjectOfADomain(t *testing.T) {
	t.Parallel()
	r := &Side{Change: &Change{}, Values: attrs{"account_id": "cm", "project": "example.com:shop"}}
	if got, want := googleEmail(r), "cm@shop.example.com.iam.gserviceaccount.com"; got != want {
		t.Errorf("address %s, want %s", got, want)
	}
}

// A large organisation's plan is read in a time that grows with its size, and not with its square.
func TestManyMembers(t *testing.T) {
	t.Parallel()
	const n = 3000
	list := []Change{keeps(gcm, gGrant(gAdmin, gmember))}
	for i := range n {
		email := fmt.Sprintf("job-%d@shop-prod.iam.gserviceaccount.com", i)
		list = append(list,
			deletes(fmt.Sprintf("google_service_account.a[%d]", i), attrs{"account_id": fmt.Sprintf("job-%d", i), "email": email, "project": gproject}),
			deletes(fmt.Sprintf("google_project_iam_member.m[%d]", i), gGrant("roles/pubsub.publisher", "serviceAccount:"+email)),
			deletes(fmt.Sprintf("google_service_account_key.k[%d]", i), attrs{"service_account_id": "projects/shop-prod/serviceAccounts/" + email}),
			deletes(fmt.Sprintf("kubernetes_secret.s[%d]", i), kMeta("jobs", fmt.Sprintf("job-%d", i))),
			deletes(fmt.Sprintf("kubernetes_service_account.s[%d]", i), kMeta("jobs", fmt.Sprintf("job-%d", i), "annotations", attrs{"iam.gke.io/gcp-service-account": email})),
		)
	}
	start := time.Now()
	expectSaid(t, said(list...))
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s to read %d resources", took, len(list))
	}
}

// What is to be done stands in the finding as the provider wants it, where its ways are its own.
func TestGoogleRepair(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		changes []Change
		want    string
	}{
		"forgotten":   {[]Change{change(Forget, gcm, gGrant(gAdmin, gmember), nil, nil)}, `id = "shop-prod roles/dns.admin serviceAccount:` + gemail + `"`},
		"disabled":    {[]Change{keeps(gcm, gGrant(gAdmin, gmember)), updates("google_service_account.cm", gAccount("1"), altered(gAccount("1"), "disabled", true))}, "disabled = false"},
		"role edited": {[]Change{keeps(gcm, gGrant(gCustom, gmember)), updates("google_project_iam_custom_role.dns", gRole(gEverything...), gRole("dns.changes.get"))}, "Leave in google_project_iam_custom_role.dns what renewal needs"},
		"role taken from everybody": {
			[]Change{keeps(gcm, gGrant(gAdmin, gmember)), deletes("google_project_iam_binding.dns", gBinding(gAdmin))},
			"removed {\n  from = google_project_iam_binding.dns\n  lifecycle {\n    destroy = false\n  }\n}",
		},
	} {
		found := Judge(&Plan{Changes: x.changes}, Inventory{}).Findings
		if len(found) != 1 || !strings.Contains(found[0].Repair, x.want) {
			t.Errorf("%s: %+v, want a repair with %s", name, found, x.want)
		}
	}
}
