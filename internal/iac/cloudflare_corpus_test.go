package iac

import (
	"encoding/json"
	"testing"
)

const (
	dnsWriteGroup = "4755a26eedb94da69e1066d98aa820be"
	zoneReadGroup = "c8fed203ed3043cba015a93ad1616f1f"
	cfZone        = "eb78d65290b24279ba6f44721b3ea3c4"
	cfOther       = "22b1de5f1c0e4b3ea97bb1e963b06a43"
	cfAccount     = "023e105f4ecef8ad9ca31a8372d0c353"
	cfZoneKey     = "com.cloudflare.api.account.zone."
	tokenAt       = "cloudflare_api_token.cert_manager"
)

// token4 is a token as version 4 of the provider has it.
func token4(groups []string, zones ...string) attrs {
	resources := attrs{}
	for _, z := range zones {
		resources[cfZoneKey+z] = "*"
	}
	return attrs{
		"id": "f174e90afafe4643bbbc4a0ed4fc8415", "name": "cert-manager", "status": "active", "value": "secret", "expires_on": nil, "not_before": nil, "condition": []attrs{},
		"policy": []attrs{{"effect": "allow", "permission_groups": groups, "resources": resources}},
	}
}

// token5 is one as version 5 has it, with the resources as JSON in a string, as later releases do.
func token5(groups []string, zones ...string) attrs {
	t := token4(groups, zones...)
	p := t["policy"].([]attrs)[0]
	raw, err := json.Marshal(p["resources"])
	if err != nil {
		panic(err)
	}
	var objects []attrs
	for _, g := range groups {
		objects = append(objects, attrs{"id": g})
	}
	delete(t, "policy")
	t["policies"] = []attrs{{"effect": "allow", "permission_groups": objects, "resources": string(raw)}}
	t["condition"] = nil
	return t
}

func cloudflareScenes() []scene {
	both := []string{dnsWriteGroup, zoneReadGroup}
	old, now := token4(both, cfZone), token5(both, cfZone)
	fresh := func(t attrs) attrs { return without(t, "id", "value") }
	zone := keeps("cloudflare_zone.main", attrs{"id": cfZone, "name": "example.com", "account": attrs{"id": cfAccount}, "name_servers": []string{"ada.ns.cloudflare.com"}})
	zone4 := attrs{"id": cfZone, "zone": "example.com", "account_id": cfAccount, "name_servers": []string{"ada.ns.cloudflare.com"}}
	record := func(name, kind, content string) attrs {
		return attrs{"id": "372e67954025e0ba6aaa6d586b9e0b59", "zone_id": cfZone, "name": name, "type": kind, "content": content, "ttl": 1}
	}
	caa := func(issuer string) attrs {
		return with(record("example.com", "CAA", ""), "content", nil, "data", attrs{"flags": "0", "tag": "issue", "value": issuer})
	}
	harmless := []Change{keeps(tokenAt, now), zone}
	for _, n := range []string{"logs", "workers", "cache", "waf"} {
		harmless = append(harmless,
			deletes("cloudflare_api_token."+n, with(token5([]string{"82e64a83756745bbbb1c9c2701bf816b"}, cfZone), "name", n, "id", "id-"+n)),
			deletes("cloudflare_dns_record."+n, record(n+".example.com", "CNAME", "example.net")),
			deletes("cloudflare_record."+n+"_txt", record(n+".example.com", "TXT", "v=1")))
	}
	return []scene{
		{name: "cloudflare/token-removed", changes: []Change{deletes(tokenAt, now), zone}},
		{name: "cloudflare/token-removed-4", changes: []Change{deletes(tokenAt, old), zone}},
		{name: "cloudflare/token-rekeyed", changes: []Change{deletes(`cloudflare_api_token.dns["a"]`, now), change(Create, `cloudflare_api_token.dns["b"]`, nil, fresh(now), unknowns("id", "value", "status")), zone}},
		{name: "cloudflare/token-moved", changes: []Change{moved(keeps(`cloudflare_api_token.dns["b"]`, now), `cloudflare_api_token.dns["a"]`), zone}},
		{name: "cloudflare/token-replaced", changes: []Change{replaces(tokenAt, now, fresh(now), unknowns("id", "value", "status")), zone}},
		{name: "cloudflare/token-zone-dropped", changes: []Change{updates(tokenAt, token5(both, cfZone, cfOther), token5(both, cfOther)), zone}},
		{name: "cloudflare/token-narrowed-to-a-zone", changes: []Change{updates(tokenAt, token5(both, "*"), token5(both, cfZone)), zone}},
		{name: "cloudflare/token-widened", changes: []Change{updates(tokenAt, token4(both, cfZone), token4(both, "*")), zone}},
		{name: "cloudflare/token-cannot-find-zones", changes: []Change{updates(tokenAt, now, token5([]string{dnsWriteGroup}, cfZone)), zone}},
		{name: "cloudflare/token-only-reads", changes: []Change{updates(tokenAt, now, token5([]string{zoneReadGroup}, cfZone)), zone}},
		{name: "cloudflare/token-only-from", changes: []Change{updates(tokenAt, now, with(now, "condition", attrs{"request_ip": attrs{"in": []string{"192.0.2.0/24"}, "not_in": []string{}}})), zone}},
		{name: "cloudflare/token-only-from-more", changes: []Change{updates(tokenAt, with(old, "condition", []attrs{{"request_ip": []attrs{{"in": []string{"192.0.2.0/25"}, "not_in": []string{}}}}}),
			with(old, "condition", []attrs{{"request_ip": []attrs{{"in": []string{"192.0.2.0/24", "2001:db8::/32"}, "not_in": []string{}}}}})), zone}},
		{name: "cloudflare/token-ends-sooner", changes: []Change{updates(tokenAt, with(now, "expires_on", "2027-09-01T00:00:00Z"), with(now, "expires_on", "2026-10-01T00:00:00Z")), zone}},
		{name: "cloudflare/token-ends-later", changes: []Change{updates(tokenAt, with(now, "expires_on", "2026-10-01T00:00:00Z"), with(now, "expires_on", "2027-09-01T00:00:00Z")), zone}},
		{name: "cloudflare/token-off", changes: []Change{updates(tokenAt, now, with(now, "status", "disabled")), zone}},
		{name: "cloudflare/token-unknown", changes: []Change{change(Update, tokenAt, now, without(now, "policies"), unknowns("policies")), zone}},
		{name: "cloudflare/token-narrowed-with-new-ids", changes: []Change{change(Update, tokenAt, token5(both, "*"), token5(both, cfOther), attrs{"policies": []any{attrs{"id": true, "permission_groups": []any{attrs{"name": true}, attrs{"name": true}}}}}), zone}},
		{name: "cloudflare/token-denied", changes: []Change{updates(tokenAt, now, with(now, "policies", append(now["policies"].([]attrs), attrs{"effect": "deny", "permission_groups": []attrs{{"id": dnsWriteGroup}}, "resources": attrs{cfZoneKey + cfZone: "*"}}))), zone}},
		{name: "cloudflare/token-forgotten", changes: []Change{change(Forget, tokenAt, now, nil, nil), zone}},
		{name: "cloudflare/account-token-removed", changes: []Change{deletes("cloudflare_account_token.dns", with(now, "account_id", cfAccount,
			"policies", []attrs{{"effect": "allow", "permission_groups": []attrs{{"id": dnsWriteGroup}, {"id": zoneReadGroup}}, "resources": attrs{"com.cloudflare.api.account." + cfAccount: attrs{cfZoneKey + "*": "*"}}}})), zone}},
		{name: "cloudflare/zone-replaced", changes: []Change{keeps(tokenAt, old), replaces("cloudflare_zone.main", zone4, without(zone4, "id", "name_servers"), unknowns("id", "name_servers"))}},
		{name: "cloudflare/caa-added", changes: []Change{keeps(tokenAt, now), zone, change(Create, "cloudflare_dns_record.caa", nil, without(caa("digicert.com"), "id"), unknowns("id"))}},
		{name: "cloudflare/caa-second-value", changes: []Change{keeps(tokenAt, now), zone, keeps("cloudflare_dns_record.caa", caa("letsencrypt.org")), change(Create, "cloudflare_dns_record.caa2", nil, without(caa("digicert.com"), "id"), unknowns("id"))}},
		{name: "cloudflare/caa-value-removed", changes: []Change{keeps(tokenAt, now), zone, deletes("cloudflare_dns_record.caa", caa("letsencrypt.org")), keeps("cloudflare_dns_record.caa2", with(caa("digicert.com"), "id", "caa2"))}},
		{name: "cloudflare/caa-imported-elsewhere", changes: []Change{
			keeps(tokenAt, now), zone, deletes("cloudflare_record.caa", caa("letsencrypt.org")), keeps("cloudflare_dns_record.caa", caa("letsencrypt.org")), keeps("cloudflare_dns_record.caa2", with(caa("digicert.com"), "id", "caa2")),
		}},
		{name: "cloudflare/challenge-cname-removed", changes: []Change{zone, deletes("cloudflare_record.challenge", with(record("_acme-challenge.shop", "CNAME", "shop.acme.example.net"), "hostname", "_acme-challenge.shop.example.com"))}},
		{name: "cloudflare/challenge-txt-added", changes: []Change{zone, change(Create, "cloudflare_dns_record.challenge", nil, without(record("_acme-challenge.shop.example.com", "TXT", `"x"`), "id"), unknowns("id"))}},
		{name: "cloudflare/signing-off", changes: []Change{zone, deletes("cloudflare_zone_dnssec.main", attrs{"zone_id": cfZone, "status": "active"})}},
		{name: "cloudflare/many-harmless", changes: harmless},
	}
}

func TestCloudflareCorpus(t *testing.T) {
	playSaid(t, cloudflareScenes(), cloudflareSaid, "cloudflareSaid", "cloudflare_said_test.go")
}
