package iac

import (
	"slices"
	"strings"
)

// renewerSpace reports whether a name is one that people give to the place of who renews certificates.
func renewerSpace(s string) bool {
	s = strings.ToLower(s)
	return slices.ContainsFunc([]string{"cert-manager", "certmanager", "cert_manager", "letsencrypt", "lets-encrypt", "lets_encrypt"}, func(n string) bool {
		return strings.Contains(s, n)
	})
}

// renewerName reports whether a name is one that people give to who renews certificates, or to what that signs in with.
// Companies are called Acme: that word alone counts only beside one that speaks of renewal.
func renewerName(s string) bool {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return strings.ContainsRune("-_./:@ ", r) })
	has := func(list ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(list, w) })
	}
	return renewerSpace(s) || has("certbot", "dns01", "acmesh", "acmebot") ||
		has("acme") && (len(words) == 1 || has("account", "dns", "challenge", "eab", "issuer", "renew", "renewer", "renewal", "solver", "tls", "certificates"))
}
