package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

// harmless is code of two hundred things that change and mean nothing to renewal.
func harmless(release string) string {
	return fmt.Sprintf(`
resource "terraform_data" "service" {
  count = 200
  input = "release %s of service ${count.index}"
}
`, release)
}

// The incident of September, with notafter: a plan with two hundred harmless changes takes away the one grant that
// renewal rests on. The guard refuses it, and so does notafter apply. Applied all the same, somebody is paged within a
// canary's interval, and told whose right to do what is gone, and where. The mended code is applied and proven in one go,
// a rehearsal works, and the incident is closed by a renewal.
func TestTheIncident(t *testing.T) {
	t.Parallel()
	if err := estate.Possible(); err != nil {
		t.Fatal(err)
	}
	e, err := estate.Start(estate.Options{Life: 10 * time.Minute, Due: 0.6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	e.Revoke() // from here on grants come from code
	site, err := e.Site("shop." + estate.AzureZone)
	if err != nil {
		t.Fatal(err)
	}
	pager, err := lab.StartPager(lab.PagerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pager.Stop)

	w := open(t, e.Azure)
	zone := `
resource "azurerm_dns_zone" "main" {
  name                = "` + estate.AzureZone + `"
  resource_group_name = "` + estate.Group + `"
}
`
	adopt := `
import {
  to = azurerm_dns_zone.main
  id = "/subscriptions/` + e.Azure.Subscription() + `/resourceGroups/` + estate.Group + `/providers/Microsoft.Network/dnsZones/` + estate.AzureZone + `"
}
`
	grant := granted("renewer", estate.ObjectID, "")
	w.write(zone+adopt+grant+harmless("1"), nil)
	w.converge()

	listen := vacant(t)
	p := serve(t, configured(t, e, site, pager, listen), listen)
	p.until(2*time.Minute, "certificate in service", func() bool { return site.Leaf() != nil })
	p.until(2*time.Minute, "upheld permission, and every rung climbed", func() bool { return p.permitted("shop") })
	first := string(site.Leaf())
	defer func() {
		if t.Failed() {
			t.Logf("renewal: %s\nincident: %s", p.text("/api/v1/certificates/shop/renewal?limit=10"), p.text("/api/v1/incidents/"+p.lost().ID))
		}
	}()

	w.write(zone+harmless("2"), nil)
	status, v := w.guard(w.plan(false))
	if status != 1 || v.Class != "lost" || v.lines() != "lost azurerm_role_assignment.renewer\n" || v.Findings[0].Principal != estate.ObjectID {
		t.Fatalf("the guard lets the plan pass with status %d: %s", status, v.raw)
	}
	// Whoever applies through notafter is refused, and told for which certificate.
	through := []string{"apply", "--server", p.url, "--settle", "1s", "--interval", "1s", "--timeout", "1m", "--", tools.tofu, "apply", "-no-color", "plan.bin"}
	if status, _, said := w.notafter(nil, through...); status != 1 || !strings.Contains(said, "guard refuses the plan") || !strings.Contains(said, "shop") {
		t.Fatalf("notafter apply ended with status %d:\n%s", status, said)
	}
	wantGrants(t, w, estate.ObjectID)
	if status, said := w.apply(); status != 0 {
		t.Fatalf("tofu apply ended with status %d:\n%s", status, said)
	}
	wantGrants(t, w)
	gone := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	page, err := pager.WaitFor(ctx, func(m lab.PagerMessage) bool {
		return m.Event == "trigger" && strings.Contains(string(m.Body), "dns_write_denied")
	})
	if err != nil {
		t.Fatalf("no page about the lost grant: %v", err)
	}
	t.Logf("paged %s after the apply", page.At.Sub(gone).Round(100*time.Millisecond))
	for _, want := range []string{estate.ObjectID, "Microsoft.Network/dnsZones/TXT/", estate.AzureZone, "shop"} {
		if !strings.Contains(string(page.Body), want) {
			t.Errorf("the page does not say %q: %s", want, page.Body)
		}
	}
	if p.run(1, "rehearse", "--server", p.url, "shop", "--rung", "permission,canary"); p.lost().State == "resolved" {
		t.Error("the incident is closed while the grant is gone")
	}

	w.write(zone+grant+harmless("2"), nil)
	if status, v := w.guard(w.plan(false)); status != 0 {
		t.Errorf("the guard refuses the repair: %s", v.raw)
	}
	if status, _, said := w.notafter(nil, through...); status != 0 {
		t.Fatalf("notafter apply of the repair ended with status %d:\n%s", status, said)
	}
	wantGrants(t, w, estate.ObjectID)
	said := p.run(0, "rehearse", "--server", p.url, "shop")
	if !strings.Contains(said, "worked in") {
		t.Errorf("the rehearsal does not say that it worked:\n%s", said)
	}
	p.until(2*time.Minute, "end of the incident", func() bool { return p.lost().State == "resolved" })
	if string(site.Leaf()) == first {
		t.Error("the incident closed without a renewal that proved the repair")
	}
}
