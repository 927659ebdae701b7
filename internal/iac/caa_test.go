package iac

import (
	"strings"
	"testing"
)

// A CAA record that names whoever the plan's issuers order from is the most ordinary hardening there is, and hurts nobody.
func TestCAAOfKnownOrders(t *testing.T) {
	t.Parallel()
	token := attrs{"dns01": attrs{"cloudflare": attrs{"apiTokenSecretRef": attrs{"name": "token", "key": "t"}}}}
	ours, private := keeps(kIssuer, kACME(letsEncrypt, token)), keeps(kIssuer, kACME("https://ca.example.com/acme/acme/directory", token))
	trial := keeps("kubernetes_manifest.trial", kACME(rehearsal, token))
	acm := keeps("aws_acm_certificate.www", attrs{"domain_name": "*.example.com", "validation_method": "DNS"})
	values := func(issuers ...string) attrs {
		list := make([]any, 0, len(issuers))
		for _, i := range issuers {
			list = append(list, `0 issue "`+i+`"`)
		}
		return attrs{"zone_id": zone1, "name": "example.com", "fqdn": "example.com", "type": "CAA", "ttl": 300, "records": list}
	}
	const at = "aws_route53_record.caa"
	added := func(issuers ...string) Change { return creates(at, values(issuers...)) }
	for name, c := range map[string]struct {
		plan []Change
		want []string
	}{
		"named":                  {[]Change{ours, added("letsencrypt.org", "digicert.com")}, nil},
		"named, with parameters": {[]Change{ours, added("letsencrypt.org; validationmethods=dns-01")}, nil},
		"named, trial besides":   {[]Change{ours, trial, added("letsencrypt.org")}, nil},
		"not named":              {[]Change{ours, added("digicert.com")}, []string{"blocked " + at}},
		"only trial":             {[]Change{trial, added("digicert.com")}, []string{"unknown " + at}},
		"none shown":             {[]Change{added("letsencrypt.org")}, []string{"unknown " + at}},
		"an unknown authority":   {[]Change{private, added("letsencrypt.org")}, []string{"unknown " + at}},
		"nobody":                 {[]Change{ours, added(";")}, []string{"blocked " + at}},
		"ACM named":              {[]Change{acm, added("amazon.com")}, nil},
		"ACM named otherwise":    {[]Change{acm, ours, added("awstrust.com", "letsencrypt.org")}, nil},
		"ACM not named":          {[]Change{acm, ours, added("letsencrypt.org")}, []string{"blocked " + at}},
		"another one taken out":  {[]Change{ours, updates(at, values("letsencrypt.org", "digicert.com"), values("letsencrypt.org"))}, []string{"unknown " + at}},
		"ours taken out":         {[]Change{ours, updates(at, values("letsencrypt.org", "digicert.com"), values("digicert.com"))}, []string{"blocked " + at}},
		"taken out, none shown":  {[]Change{updates(at, values("letsencrypt.org", "digicert.com"), values("digicert.com"))}, []string{"blocked " + at}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectSaid(t, said(c.plan...), c.want...)
		})
	}
	// What an inventory knows counts for more than what the plan shows.
	known := awsInventory("0b1ec700")
	known.Certificates[0].Issuers = []string{"pki.goog"}
	found := Judge(&Plan{Changes: []Change{ours, added("letsencrypt.org")}}, known).Findings
	if len(found) != 1 || found[0].Class != Blocked || !strings.Contains(found[0].Summary, "stops renewing") {
		t.Errorf("said %+v, want that the certificate of another authority stops renewing", found)
	}
}
