package iac

import (
	"encoding/json"
	"strings"
	"testing"
)

// Credentials are rotated every month in some places. Where the plan itself brings the new one to the secret that the
// renewer reads, nothing stops if it is made first, and renewal pauses if it is made last.
func TestCredentialRotatedByReference(t *testing.T) {
	t.Parallel()
	user := attrs{"name": "lego", "id": "lego", "path": "/", "arn": awsAccount + "user/lego"}
	awsKey := func(id string) attrs { return attrs{"user": "lego", "status": "Active", "id": id} }
	var token attrs // as it is read
	if raw, err := json.Marshal(token5([]string{dnsWriteGroup, zoneReadGroup}, cfZone)); err != nil || json.Unmarshal(raw, &token) != nil {
		t.Fatal(err)
	}
	issuer := keeps(kIssuer, kACME(letsEncrypt, attrs{"dns01": attrs{"cloudflare": attrs{"apiTokenSecretRef": attrs{"name": "token", "key": "api-token"}}}}))
	clouds := []struct {
		key, value string
		before     attrs
		after      attrs
		rest       []Change
	}{
		{"aws_iam_access_key.lego", "secret", awsKey("AKIAIOSFODNN7EXAMPL1"), attrs{"user": "lego", "status": "Active"}, []Change{
			keeps("aws_iam_user.lego", user), keeps("aws_iam_user_policy.dns", attrs{"user": "lego", "name": "dns", "policy": dnsDoc(zone1)}),
		}},
		{"cloudflare_api_token.cm", "value", token, without(token, "id"), []Change{issuer}},
		{"google_service_account_key.cm", "private_key", attrs{"id": gaccount + "/keys/1", "service_account_id": gaccount}, attrs{"service_account_id": gaccount}, []Change{keeps(gcm, gGrant(gAdmin, gmember))}},
	}
	held := kMeta("cert-manager", "token", "data", attrs{"api-token": "x"})
	for _, c := range clouds {
		taker := func(holder string, ref string) Change {
			return referring(change(Update, holder, held, without(held, "data"), attrs{"data": true, "value": true, "secret_string": true, "secret_data": true}), attributeOf(holder), ref)
		}
		unknown := attrs{"id": true, c.value: true}
		first, last := change(CreateDelete, c.key, c.before, c.after, unknown), replaces(c.key, c.before, c.after, unknown)
		for _, holder := range []string{"kubernetes_secret_v1.token", "azurerm_key_vault_secret.token", "aws_secretsmanager_secret_version.token", "google_secret_manager_secret_version.token"} {
			expectSaid(t, said(append([]Change{first, taker(holder, c.key+"."+c.value)}, c.rest...)...))
			expectSaid(t, said(append([]Change{last, taker(holder, c.key+"."+c.value)}, c.rest...)...), "gap "+c.key)
		}
		expectSaid(t, said(append([]Change{first, taker("kubernetes_secret_v1.token", "local.new")}, c.rest...)...), "unknown "+c.key)
		expectSaid(t, said(append([]Change{first, keeps("kubernetes_secret_v1.token", held)}, c.rest...)...), "lost "+c.key)
		expectSaid(t, said(append([]Change{first}, c.rest...)...), "lost "+c.key)
	}
	// A key under an address of its own takes the place of the one that goes, in no order with that.
	a, rest := clouds[0], clouds[0].rest
	second := change(Create, "aws_iam_access_key.b", nil, a.after, attrs{"id": true, "secret": true})
	secret := referring(change(Update, "kubernetes_secret_v1.token", held, without(held, "data"), attrs{"data": true}), "data", "aws_iam_access_key.b.secret")
	expectSaid(t, said(append([]Change{deletes(a.key, a.before), second, secret}, rest...)...), "gap "+a.key)
	expectSaid(t, said(append([]Change{deletes(a.key, a.before), second}, rest...)...), "lost "+a.key)
	// The repair of a rotation that deletes first is to make the new one first: the cloud holds both.
	for _, c := range clouds {
		p := &Plan{Changes: append([]Change{
			replaces(c.key, c.before, c.after, attrs{"id": true, c.value: true}),
			referring(change(Update, "kubernetes_secret_v1.token", held, without(held, "data"), attrs{"data": true}), "data", c.key+"."+c.value),
		}, c.rest...)}
		for _, f := range Judge(p, Inventory{}).Findings {
			if !strings.Contains(f.Repair, "create_before_destroy") && !strings.Contains(f.Repair, "second key first") {
				t.Errorf("%s: the repair is %q", c.key, f.Repair)
			}
		}
	}
}

func attributeOf(holder string) string {
	switch kind, _, _ := strings.Cut(holder, "."); kind {
	case "azurerm_key_vault_secret":
		return "value"
	case "aws_secretsmanager_secret_version":
		return "secret_string"
	case "google_secret_manager_secret_version":
		return "secret_data"
	}
	return "data"
}
