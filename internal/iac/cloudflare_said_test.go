package iac

// cloudflareSaid is what is said about scenes, by their names; about those that are not here, nothing.
var cloudflareSaid = map[string][]string{
	"cloudflare/token-removed": {
		"lost cloudflare_api_token.cert_manager: Renewal stops: the API token cert-manager is destroyed, so whoever renews with it can no longer sign in to Cloudflare. Nothing shows it until certificates end.",
	},
	"cloudflare/token-removed-4": {
		"lost cloudflare_api_token.cert_manager: Renewal stops: the API token cert-manager is destroyed, so whoever renews with it can no longer sign in to Cloudflare. Nothing shows it until certificates end.",
	},
	"cloudflare/token-rekeyed": {
		`lost cloudflare_api_token.dns["a"]: Renewal stops: the API token cert-manager is destroyed and made anew at cloudflare_api_token.dns["b"], and the new token has another secret, which the renewer has to be given. Nothing shows it until certificates end.`,
	},
	"cloudflare/token-replaced": {
		"lost cloudflare_api_token.cert_manager: Renewal stops: the API token cert-manager is made anew, and the new token has another secret, which the renewer has to be given. Nothing shows it until certificates end.",
	},
	"cloudflare/token-zone-dropped": {
		"lost cloudflare_api_token.cert_manager: Renewal stops: the API token cert-manager loses DNS Write on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"cloudflare/token-narrowed-to-a-zone": {
		"narrowed cloudflare_api_token.cert_manager: Renewal is cut back: the API token cert-manager loses DNS Write on every zone and has only DNS Write on the zone example.com left. Nothing shows it until certificates end.",
	},
	"cloudflare/token-cannot-find-zones": {
		"narrowed cloudflare_api_token.cert_manager: Renewal is cut back: on the zone example.com the API token cert-manager may still write and withdraw challenge records, and no longer read them (cloudflare_api_token.cert_manager changes). Nothing shows it until certificates end.",
	},
	"cloudflare/token-only-reads": {
		"lost cloudflare_api_token.cert_manager: Renewal stops: the API token cert-manager loses DNS Write on the zone example.com, and nothing else in this plan allows it. Nothing shows it until certificates end.",
	},
	"cloudflare/token-only-from": {
		"narrowed cloudflare_api_token.cert_manager: Renewal is cut back: the API token cert-manager keeps DNS Write on the zone example.com only under a condition: only from 192.0.2.0/24. Nothing shows it until certificates end.",
	},
	"cloudflare/token-ends-sooner": {
		"narrowed cloudflare_api_token.cert_manager: Renewal is cut back: the API token cert-manager keeps DNS Write on the zone example.com under another condition than before: until 2026-10-01T00:00:00Z. Nothing shows it until certificates end.",
	},
	"cloudflare/token-off": {
		"lost cloudflare_api_token.cert_manager: Renewal stops: the API token cert-manager changes, so whoever renews with it can no longer sign in to Cloudflare. Nothing shows it until certificates end.",
	},
	"cloudflare/token-unknown": {
		"unknown cloudflare_api_token.cert_manager: DNS Write of the API token cert-manager on the zone example.com changes, and nobody can tell whether renewal goes on: its permission, scope and condition are known only after the apply.",
	},
	"cloudflare/token-narrowed-with-new-ids": {
		"narrowed cloudflare_api_token.cert_manager: Renewal is cut back: the API token cert-manager loses DNS Write on every zone and has only DNS Write on the zone 22b1de5f1c0e4b3ea97bb1e963b06a43 left. Nothing shows it until certificates end.",
	},
	"cloudflare/token-denied": {
		"blocked cloudflare_api_token.cert_manager: Renewal is blocked: a policy of the API token cert-manager that denies DNS Write on the zone example.com forbids more than before, and it may no longer write challenge records there, whatever else allows it. Nothing shows it until certificates end.",
	},
	"cloudflare/token-forgotten": {
		"orphaned cloudflare_api_token.cert_manager: Renewal goes on, but no plan will show when that ends: the API token cert-manager leaves the state and lives on.",
	},
	"cloudflare/account-token-removed": {
		"lost cloudflare_account_token.dns: Renewal stops: the API token cert-manager is destroyed, so whoever renews with it can no longer sign in to Cloudflare. Nothing shows it until certificates end.",
	},
	"cloudflare/zone-replaced": {
		"lost cloudflare_zone.main: Renewal stops: the zone example.com is made anew, and the new one has another id, which tokens do not name, and perhaps other name servers. Nothing shows it until certificates end.",
	},
	"cloudflare/caa-added": {
		"unknown cloudflare_dns_record.caa: A CAA record on example.com is added, and it lets only digicert.com issue for example.com. Nobody can tell from this plan whether renewal goes on: by which authority names in example.com are issued is not in the plan.",
	},
	"cloudflare/caa-value-removed": {
		"blocked cloudflare_dns_record.caa2: Renewal by any other authority is blocked: a CAA record on example.com forbids more than before, and it lets only digicert.com issue for example.com. Nothing shows it until certificates end.",
	},
	"cloudflare/caa-imported-elsewhere": {
		"blocked cloudflare_dns_record.caa2: Renewal by any other authority is blocked: a CAA record on example.com forbids more than before, and it lets only digicert.com issue for example.com. Nothing shows it until certificates end.",
	},
	"cloudflare/challenge-cname-removed": {
		"lost cloudflare_record.challenge: Renewal stops: the CNAME record _acme-challenge.shop.example.com is destroyed, so the authority no longer finds the challenges of shop.example.com, which are answered where this alias leads. Nothing shows it until certificates end.",
	},
	"cloudflare/challenge-txt-added": {
		"blocked cloudflare_dns_record.challenge: Renewal is blocked: a static TXT record on _acme-challenge.shop.example.com is added, and it stands where the renewer has to write _acme-challenge.shop.example.com: one of the two overwrites the other, or is refused. Nothing shows it until certificates end.",
	},
	"cloudflare/signing-off": {
		"unknown cloudflare_zone_dnssec.main: The DNSSEC signing of example.com is destroyed. Nobody can tell from this plan whether renewal rests on it: the plan does not tell whether the registrar still has a DS record for example.com.",
	},
}
