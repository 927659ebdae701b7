package iac

import (
	"bytes"
	"slices"
	"strings"
)

// speaks reports whether anything in a plan is about DNS or about the renewal of certificates: a zone, a record, a role that
// is made for DNS, cert-manager and what belongs to it, somebody who is called like a renewer. Where nothing is, a role that
// is made for nearly everything is no sign of renewal, and only an inventory knows better.
func (p *Plan) speaks() bool {
	for _, list := range [][]Change{p.Changes, p.Drift} {
		for i := range list {
			if list[i].speaks() {
				return true
			}
		}
	}
	return p.Speaks
}

// quiet reports whether a grant is of the sort that only an inventory makes anything of: it allows nearly everything, and
// neither an inventory nor anything in the plan shows that certificates are renewed here at all.
func (j *judge) quiet(t *Tie) bool {
	if t.Kind != KindGrant || t.Doubt == "" || !t.Certain && !t.Wide || len(j.inv.Certificates) > 0 {
		return false
	}
	if j.mute == nil {
		mute := !j.plan.speaks()
		j.mute = &mute
	}
	return *j.mute
}

// speaksOf reports whether the type or the address of any resource, data sources among them, is about DNS or renewal.
func speaksOf(kind, address []byte) bool {
	kind = bytes.ReplaceAll(kind, []byte("private_dns"), nil) // of endpoints within a network, nearly always
	for _, word := range [][]byte{[]byte("dns"), []byte("route53"), []byte("acme_"), []byte("cert_manager"), []byte("certmanager"), []byte("letsencrypt")} {
		if bytes.Contains(kind, word) {
			return true
		}
	}
	if bytes.Contains(kind, []byte("certificate")) && !bytes.HasPrefix(kind, []byte("azuread_")) && !bytes.Contains(kind, []byte("acm_")) && !bytes.Contains(kind, []byte("managed")) {
		return true // those that are left out sign in, or are renewed by the cloud itself
	}
	return bytes.HasPrefix(kind, []byte("cloudflare_zone")) || bytes.HasPrefix(kind, []byte("cloudflare_record")) || renewerSpace(string(address))
}

// named are the attributes by which people say what something is for.
var named = []string{
	"name", "display_name", "title", "account_id", "role", "role_id", "role_name", "role_definition_name", "member", "members", "user", "group", "scope", "resource_group_name", "namespace", "service_account",
	"subject", "zone_name", "domain_name", "hostname", "service", "chart", "description",
}

func (c *Change) speaks() bool {
	if wordsOfRenewal(strings.ReplaceAll(c.Address, c.Type, "")) || wordsOfRenewal(strings.ReplaceAll(c.Previous, c.Type, "")) || speaksOf([]byte(c.Type), nil) {
		return true
	}
	if strings.HasSuffix(c.Type, "_private_dns_zone") && !azureService(orElse(text(c.Before["name"]), text(c.After["name"]))) {
		return true // of one's own, and not of a service's endpoint
	}
	for _, values := range []map[string]any{c.Before, c.After} {
		for _, a := range named {
			for _, s := range texts(values[a]) {
				if wordsOfRenewal(s) {
					return true
				}
			}
		}
		if tells(values, 0) {
			return true
		}
	}
	for _, refs := range c.Refers {
		if slices.ContainsFunc(refs, wordsOfRenewal) {
			return true
		}
	}
	return false
}

// tells reports whether a text that only DNS or renewal has stands anywhere in a value.
func tells(v any, depth int) bool {
	switch v := v.(type) {
	case string:
		return tellsText(v)
	case []any:
		return depth < maxYAMLDepth && slices.ContainsFunc(v, func(e any) bool { return tells(e, depth+1) })
	case map[string]any:
		for k, e := range v {
			if depth < maxYAMLDepth && (tellsText(k) || tells(e, depth+1)) {
				return true
			}
		}
	}
	return false
}

func tellsText(s string) bool {
	if len(s) < 6 {
		return false
	}
	s = lower(s)
	return renewerSpace(s) || slices.ContainsFunc([]string{"/dnszones/", "route53", "/managedzones/", "roles/dns.", "dns.googleapis.com", "acme-challenge", "acme-v02", "certbot"}, func(w string) bool {
		return strings.Contains(s, w)
	})
}

// wordsOfRenewal reports whether a name has a word in it that people use for DNS and for certificates.
func wordsOfRenewal(s string) bool {
	if s == "" || strings.Contains(lower(s), "private dns") {
		return false
	}
	s = strings.ReplaceAll(s, "private_dns", "") // of endpoints within a network, nearly always
	return renewerName(s) || slices.ContainsFunc(strings.FieldsFunc(lower(s), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }), func(w string) bool {
		return slices.Contains([]string{
			"dns", "dnszone", "externaldns", "route53", "cert", "certs", "certificate", "certificates", "certificaterequests", "tls", "ssl", "pki", "renew", "renews", "renewer", "renewal", "issuer", "lego", "traefik", "caddy", "notafter",
		}, w)
	})
}
