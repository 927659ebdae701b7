package iac

import (
	"net/url"
	"slices"
	"strings"
)

// order is that certificates come from an authority, as a plan shows it.
type order struct {
	who string
	// names are those by any of which CAA records let the authority issue; empty: not known.
	names []string
}

// authorities are the names of authorities in CAA records, by the hosts of their ACME directories; a host stands for those
// below it, too.
//
// https://letsencrypt.org/docs/caa/, https://pki.goog/faq/, https://www.buypass.com/products/tls-ssl-certificates/caa,
// https://docs.digicert.com/en/certcentral/manage-certificates/dns-caa-resource-record-check.html,
// https://help.zerossl.com/hc/en-us/articles/360060119753, https://www.ssl.com/guide/ssl-com-caa/
var authorities = map[string][]string{
	"api.letsencrypt.org": {"letsencrypt.org"},
	"pki.goog":            {"pki.goog"},
	"api.buypass.com":     {"buypass.com"},
	"acme.digicert.com":   {"digicert.com"},
	"acme.zerossl.com":    {"sectigo.com", "zerossl.com"},
	"acme.sectigo.com":    {"sectigo.com"},
	"acme.ssl.com":        {"ssl.com"},
}

// acmNames are those of Amazon's authority.
// https://docs.aws.amazon.com/acm/latest/userguide/setup-caa.html
var acmNames = []string{"amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com"}

// orders lists by whom the certificates of a domain come, as far as this side shows it: issuers of cert-manager, and
// certificates that Amazon renews. What is for trying things out does not count.
func (s *State) orders(domain string) (out []order) {
	for _, p := range s.papers() {
		server := p.server()
		if server == "" || staging(server) {
			continue
		}
		o := order{who: "the issuer " + p.object.String()}
		if u, err := url.Parse(server); err == nil {
			host := strings.ToLower(u.Hostname())
			for h, names := range authorities {
				if host == h || strings.HasSuffix(host, "."+h) || strings.HasSuffix(host, "-v02."+h) {
					o.names = names
				}
			}
		}
		out = append(out, o)
	}
	for _, c := range s.Of("aws_acm_certificate") {
		name := fqdn(strings.TrimPrefix(c.Text("domain_name"), "*."))
		if (name == domain || strings.HasSuffix(name, "."+domain)) && c.Text("certificate_authority_arn") == "" && c.Text("certificate_body") == "" {
			out = append(out, order{who: "the certificate " + c.Text("domain_name") + " of ACM", names: acmNames})
		}
	}
	return out
}

// compareOrders holds a CAA record against the orders that the plan shows. Where it names all of their authorities it
// forbids nobody who is known to issue. was are the values before; added says that there were none, and nothing was
// forbidden: then, where the plan shows no order, nobody can tell whom it hurts.
func (s *State) compareOrders(t *Tie, was []string, added bool) {
	list := s.orders(t.Principal)
	if len(list) == 0 {
		if added {
			t.Doubt = "by which authority names in " + t.Principal + " are issued is not in the plan"
		}
		return
	}
	t.Idle = true
	for _, v := range was {
		if !slices.Contains(t.Members, issuerOf(v)) {
			t.Idle, t.Doubt = false, "whether anything is issued by "+issuerOf(v)+", which may no longer, is not in the plan"
		}
	}
	for _, o := range list {
		switch {
		case len(o.names) == 0:
			t.Idle = false
			t.Doubt = "by which name CAA records call the authority of " + o.who + " is not known"
		case !slices.ContainsFunc(o.names, func(n string) bool { return slices.Contains(t.Members, n) }):
			t.Idle, t.Doubt = false, ""
			t.Effect += ", and " + o.who + " orders from " + o.names[0]
			return
		}
	}
}
