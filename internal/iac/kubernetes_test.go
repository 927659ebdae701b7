package iac

import (
	"slices"
	"strings"
	"testing"
)

// knows is an inventory that knows one certificate by who renews it.
func knows(identities ...string) Inventory {
	return Inventory{At: sceneTime, Certificates: []Certificate{{Name: "shop", Names: []string{"shop.example.com"}, Renewer: "lego", Identities: identities, Challenge: "dns-01", NotAfter: sceneTime.AddDate(0, 0, 30)}}}
}

// What says nothing by itself counts once an inventory names it.
func TestInventoryNamesIt(t *testing.T) {
	t.Parallel()
	arn := "arn:aws:iam::1:role/renewals"
	account := kMeta("jobs", "nightly", "annotations", attrs{"eks.amazonaws.com/role-arn": arn})
	for name, x := range map[string]struct {
		change Change
		id     string
	}{
		"a service account by its role": {updates("kubernetes_service_account.jobs", account, kMeta("jobs", "nightly")), arn},
		"a secret by its name":          {deletes("kubernetes_secret.jobs", kMeta("jobs", "token-1")), "jobs/token-1"},
		"a secret of a pipeline":        {deletes("github_actions_secret.t", attrs{"repository": "web", "secret_name": "T1"}), "T1"},
		"an account at Google":          {deletes("google_service_account.a", gAccount("108")), "108"},
	} {
		if found := Judge(&Plan{Changes: []Change{x.change}}, Inventory{}).Findings; len(found) != 0 {
			t.Errorf("%s, no inventory: %+v", name, found)
		}
		if found := Judge(&Plan{Changes: []Change{x.change}}, knows("somebody else")).Findings; len(found) != 0 {
			t.Errorf("%s, of somebody else: %+v", name, found)
		}
		found := Judge(&Plan{Changes: []Change{x.change}}, knows(x.id)).Findings
		if len(found) != 1 || found[0].Class != Lost || !slices.Equal(found[0].Certificates, []string{"shop"}) {
			t.Errorf("%s, named: %+v", name, found)
		}
	}
}

func TestChartOf(t *testing.T) {
	t.Parallel()
	for chart, want := range map[string]bool{
		"cert-manager": true, "jetstack/cert-manager": true, "oci://quay.io/jetstack/charts/cert-manager": true, "./charts/cert-manager-v1.18.2.tgz": true, "cert-manager-webhook-hetzner": true,
		"trust-manager": false, "cert-manager-csi-driver": false, "ingress-nginx": false, "my-cert-manager-issuers": false, "": false,
	} {
		r := &Side{Change: &Change{}, Values: attrs{"chart": chart, "name": "x"}}
		if got := isRenewerChart(r); got != want {
			t.Errorf("chart %q: %t, want %t", chart, got, want)
		}
	}
}

func TestLeap(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		from, to string
		doubt    bool
	}{
		{"1.18.2", "1.18.3", false},
		{"1.18.2", "1.19.0", false},
		{"1.18.3", "1.18.2", false},
		{"1.18.2", "1.18.2", false},
		{"", "1.18.2", false},
		{"1.18.2", "latest", false},
		{"1.16.0", "1.18.0", true},
		{"1.18.0", "1.17.4", true},
		{"1.18.0", "2.0.0", true},
		{"2.0.0", "1.20.0", true},
		{"1.18", "1.20", true},
	} {
		if got := leap(x.from, x.to) != ""; got != x.doubt {
			t.Errorf("from %s to %s: doubt %t, want %t", x.from, x.to, got, x.doubt)
		}
	}
}

func TestSetPath(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"a": {"a"}, "a.b": {"a", "b"}, `a.b\.c/d`: {"a", "b.c/d"}, "": {""}, `a\`: {`a\`}, "a..b": {"a", "", "b"},
	} {
		if got := setPath(name); !slices.Equal(got, want) {
			t.Errorf("setPath(%q) = %q, want %q", name, got, want)
		}
	}
}

// The account's name is the chart's: _helpers.tpl of cert-manager's chart.
func TestAccountOf(t *testing.T) {
	t.Parallel()
	for _, x := range []struct{ release, values, want string }{
		{"cert-manager", "", "cm/cert-manager"},
		{"cert-manager-eu", "", "cm/cert-manager-eu"},
		{"eu", "", "cm/eu-cert-manager"},
		{"eu", "nameOverride: e", "cm/eu"},
		{"x", "fullnameOverride: full", "cm/full"},
		{"x", "serviceAccount: {name: own}", "cm/own"},
		{"x", "namespace: security\nserviceAccount: {name: own}", "security/own"},
	} {
		r := &Side{Change: &Change{}, Values: attrs{"name": x.release, "namespace": "cm", "chart": "cert-manager", "values": []any{x.values}}}
		if got := accountOf(r, valuesOf(r)).String(); got != x.want {
			t.Errorf("release %s with %q runs as %s, want %s", x.release, x.values, got, x.want)
		}
	}
}

// Later documents and single values go over earlier ones, as in Helm.
func TestValuesOf(t *testing.T) {
	t.Parallel()
	r := &Side{Change: &Change{}, Values: kSet(attrs{"values": []any{"a: {b: 1, c: 2}", "a: {c: 3}\nd: [1]"}}, "a.e", "4", "d", "none")}
	v := valuesOf(r)
	for path, want := range map[string]string{"a.b": "1", "a.c": "3", "a.e": "4", "d": "none", "x.y": ""} {
		if got := scalar(v.get(strings.Split(path, ".")...)); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	for name, text := range map[string]string{"an alias": "a: &x 1\nb: *x", "not YAML": "a: [", "nested": strings.Repeat("[", 100), "large": strings.Repeat("a", maxYAML+1)} {
		if v := valuesOf(&Side{Change: &Change{}, Values: attrs{"values": []any{text}}}); !v.vague {
			t.Errorf("%s: values that cannot be read are taken for known: %v", name, v.tree)
		}
	}
}

func TestRenewerName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"cert-manager": true, "ACME_DNS_TOKEN": true, "acme": true, "letsencrypt-prod": true, "certbot": true, "acme-account-key": true, "LE_DNS01_KEY": true,
		"acme-shop": false, "placement": false, "tls": false, "": false, "acmetool": false,
	} {
		if got := renewerName(name); got != want {
			t.Errorf("%q: %t, want %t", name, got, want)
		}
	}
}

// Where values are known only after the apply, nothing was taken away that anybody could keep.
func TestRepairOfUnknownValues(t *testing.T) {
	t.Parallel()
	now := kHelm("v1.18.2", kValues)
	found := Judge(&Plan{Changes: []Change{change(Update, kRelease, now, altered(now, "values", nil), attrs{"values": true})}}, Inventory{}).Findings
	if len(found) != 1 || found[0].Class != Unknown || !strings.HasPrefix(found[0].Repair, "Apply in two steps") {
		t.Errorf("said %+v, want the advice to apply in two steps", found)
	}
}
