package iac

import (
	"fmt"
	"testing"
	"time"
)

// An inventory may hold two hundred thousand certificates, and all of them may rest on one grant.
func TestAllCertificatesOfALargeInventoryAreNamedInTime(t *testing.T) {
	t.Parallel()
	inv := Inventory{Certificates: make([]Certificate, mostCertificates)}
	rest := make([]*Certificate, 0, 2*mostCertificates)
	for i := range inv.Certificates {
		inv.Certificates[i].Name = fmt.Sprintf("shop-%06d", mostCertificates-1-i)
		rest = append(rest, &inv.Certificates[i], &inv.Certificates[i])
	}
	began := time.Now()
	names := namesOf(rest)
	if len(names) != mostCertificates || names[0] != "shop-000000" || names[1] != "shop-000001" {
		t.Fatalf("%d names, the first %q", len(names), names[:2])
	}
	if o := outlook(names, inv, "grant", nil); !o.unsure {
		t.Errorf("no certificate names the grant, and it is not said: %+v", o)
	}
	if took := time.Since(began); took > 20*time.Second { // half a second, where nobody else works
		t.Errorf("took %s", took)
	}
}
