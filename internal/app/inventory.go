package app

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/iac"
)

// Inventory is what a configuration alone says of the certificates: who renews them, where their challenges are written,
// and until when those of a file under issued last. Nothing is asked of the network, and no secret is read.
func Inventory(c *config.Config, now time.Time) iac.Inventory {
	inv := iac.Inventory{At: now.UTC().Truncate(time.Second), Certificates: []iac.Certificate{}}
	for i := range c.Certificates {
		inv.Certificates = append(inv.Certificates, declared(c, &c.Certificates[i]))
	}
	return inv
}

// declared is one certificate as the configuration declares it.
func declared(c *config.Config, cert *config.Certificate) iac.Certificate {
	out := iac.Certificate{Name: cert.Name, Names: cert.Names, Renewer: cert.Renewer}
	if out.Names == nil {
		out.Names = []string{}
		for _, e := range cert.Endpoints { // what it must hold without names: the hosts of its endpoints
			if h := e.Target.Host; h != "" {
				out.Names = append(out.Names, h)
			}
		}
	}
	if p := string(cert.Issued); p != "" {
		if leaf, err := readLeaf(p); err == nil { // what cannot be read is not known here; serve tells of it
			out.NotAfter = leaf.NotAfter.UTC()
		}
	}
	r, ok := c.RenewerOf(cert)
	if !ok {
		return out
	}
	out.Challenge = string(r.Challenge())
	if id := issuers[directoryHost(r.ACME)]; id != "" {
		out.Issuers = []string{id}
	}
	if !r.Challenge().WritesDNS() || r.DNS == nil {
		return out
	}
	for _, n := range out.Names {
		out.Records = appendNew(out.Records, "_acme-challenge."+strings.TrimSuffix(strings.TrimPrefix(n, "*."), "."))
	}
	switch d := r.DNS; {
	case d.Azure != nil:
		a := d.Azure
		out.Identities = appendNew(out.Identities, a.ObjectID, a.ClientID)
		out.Zones = appendNew(out.Zones, a.Zone, "/subscriptions/"+a.Subscription+"/resourceGroups/"+a.ResourceGroup+"/providers/Microsoft.Network/dnsZones/"+a.Zone)
	case d.RFC2136 != nil:
		out.Identities = appendNew(out.Identities, d.RFC2136.Key)
		out.Zones = appendNew(out.Zones, d.RFC2136.Zone)
	case d.Lego != nil:
		for _, p := range legoPlaces {
			v := d.Lego.Settings[p.setting]
			if v.Reference() != v.Value() {
				continue // somebody keeps it out of the file, and so it stays out of what is written here
			}
			if p.zone {
				out.Zones = appendNew(out.Zones, v.Value())
			} else {
				out.Identities = appendNew(out.Identities, v.Value())
			}
		}
	}
	return out
}

// legoPlaces are the settings of lego's providers that name an identity or a zone. None of them is a secret.
var legoPlaces = []struct {
	setting string
	zone    bool
}{
	{"AWS_ASSUME_ROLE_ARN", false},
	{"AWS_ROLE_ARN", false},
	{"AWS_HOSTED_ZONE_ID", true},
	{"GCE_IMPERSONATE_SERVICE_ACCOUNT", false},
	{"GCE_ZONE_ID", true},
}

// issuers are the names by which CAA records know the authorities behind well-known directories (RFC 8659 section 4.2;
// each authority's certification practice statement). Of others it is asked when they are ordered from, and not here.
var issuers = map[string]string{
	"acme-v02.api.letsencrypt.org": "letsencrypt.org", "acme-staging-v02.api.letsencrypt.org": "letsencrypt.org",
	"dv.acme-v02.api.pki.goog": "pki.goog", "acme.zerossl.com": "sectigo.com", "acme.ssl.com": "ssl.com",
}

// directoryHost is the host of an authority's directory, empty where it is written by reference and not read.
func directoryHost(a *config.ACME) string {
	if a == nil {
		return ""
	}
	u, err := url.Parse(a.Directory.Value())
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// appendNew adds those texts that are not empty and not there yet.
func appendNew(list []string, texts ...string) []string {
	for _, s := range texts {
		if s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
