package web

import (
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// TestDefaultCertificate: what a server shows without a name is on the page, and the runway is not drawn over it.
func TestDefaultCertificate(t *testing.T) {
	s := look("shop.example.com", "shop", "192.0.2.7:443", 20*day, 90*day, "good", 1)
	other := look("default.example.com", "default", "192.0.2.7:443", 400*day, 90*day, "good", 1)
	s.Certs, s.Chains = append(s.Certs, other.Certs[0]), append(s.Chains, other.Chains[0])
	s.Sightings = append(s.Sightings, assure.Sighting{Address: "192.0.2.7:443", TLS: "1.3", NoSNI: true, Chain: 1})
	c := assure.ClaimView{Claim: assure.Claim{Link: assure.Serving}, Evidence: &assure.Evidence{Fact: s, LastSeen: worldNow}}
	e := newEndpointView(c, lettering{}, time.Time{}, worldNow, assure.Policy{})
	last := e.Addresses[len(e.Addresses)-1]
	if last.Note != "without a server name" || last.Leaf == nil || last.Leaf.Fingerprint != other.Certs[0].Fingerprint {
		t.Errorf("the default certificate is shown as %+v", last)
	}
	if e.Leaf == nil || e.Leaf.Fingerprint != s.Certs[0].Fingerprint {
		t.Errorf("the page is drawn over %+v, want what clients get that send the name", e.Leaf)
	}
}
