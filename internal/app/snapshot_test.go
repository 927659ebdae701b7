package app_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/iac"
	"github.com/notafter/notafter/internal/lab/estate"
)

// The snapshot that serve keeps names the identity that the cloud knows, the grant that it named, and the dates; guard can
// join a plan with all of them.
func TestTheInventoryNamesWhatRenewalRestsOn(t *testing.T) {
	t.Parallel()
	r := settle(t, pace{life: 10 * time.Minute, canary: 3 * time.Second, authorization: time.Hour}, "shop."+estate.AzureZone)
	p, _ := startUntil(t, r.config, "")
	file := filepath.Join(r.config.State.Value(), app.InventoryFile)
	var raw []byte
	var c iac.Certificate
	until(t, 2*time.Minute, "inventory with a grant and dates", func() bool {
		var err error
		if raw, err = os.ReadFile(file); err != nil {
			return false
		}
		inv, err := iac.ReadInventory(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("half an inventory: %v\n%s", err, raw)
		}
		if len(inv.Certificates) != 1 {
			t.Fatalf("%+v", inv)
		}
		c = inv.Certificates[0]
		return len(c.Grants) > 0 && !c.Next.IsZero() && !c.NotAfter.IsZero()
	})
	name := "shop." + estate.AzureZone
	if c.Name != "shop" || !slices.Contains(c.Names, name) || !slices.Contains(c.Identities, estate.ObjectID) || !slices.Contains(c.Records, "_acme-challenge."+name) || c.Challenge != "dns-01" ||
		!slices.Contains(c.Zones, estate.AzureZone) || !slices.ContainsFunc(c.Zones, func(z string) bool { return strings.HasSuffix(z, "/dnsZones/"+estate.AzureZone) }) ||
		!strings.Contains(c.Grants[0], "/roleAssignments/") || !c.Next.Before(c.NotAfter) {
		t.Errorf("the inventory says %+v", c)
	}
	if len(c.Allowed) != 3 || !c.Allowed[1].Whole || !slices.Equal(c.Allowed[1].Grants, c.Grants) || !strings.HasSuffix(c.Allowed[1].Action, "TXT/write") {
		t.Errorf("what the cloud allows: %+v", c.Allowed)
	}
	for _, d := range r.Renewers() {
		if a := d.Azure; a != nil && strings.Contains(string(raw), a.ClientSecret) {
			t.Error("the inventory holds a secret")
		}
	}
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode() != fs.FileMode(0o600) {
		t.Errorf("%v, %v", info, err)
	}
	var api struct {
		Format       int `json:"notafter_inventory"`
		Certificates []iac.Certificate
	}
	p.get("/api/v1/inventory", &api)
	if api.Format != 1 || len(api.Certificates) != 1 || !slices.Equal(api.Certificates[0].Grants, c.Grants) {
		t.Errorf("the API says %+v", api)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "."+app.InventoryFile+".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheInventoryOfAConfiguration(t *testing.T) {
	t.Setenv("NOTAFTER_TEST_SECRET", "s3cret-value")
	c, err := config.Parse("notafter.yaml", []byte(`
certificates:
  - {name: eu, names: [eu.example.com, "*.eu.example.com"], endpoints: [eu.example.com], renewer: azure}
  - {name: r53, names: [a.example.net], endpoints: [a.example.net], renewer: aws}
  - {name: key, names: [b.example.org], endpoints: [b.example.org], renewer: update}
  - {name: web, names: [c.example.org], endpoints: [c.example.org], renewer: http}
  - {name: seen, endpoints: [d.example.org, "smtp://mx.example.org"]}
channels: {ops: {slack: {url: "env:NOTAFTER_TEST_SECRET"}}}
renewers:
  azure:
    acme: {directory: "https://acme-v02.api.letsencrypt.org/directory"}
    dns:
      azure: {subscription: 5b000000-0000-4000-8000-000000000001, resource_group: dns, zone: example.com, object_id: 0b1ec700-0000-4000-8000-000000000001,
              tenant: 7e000000-0000-4000-8000-000000000001, client_id: c1000000-0000-4000-8000-000000000001, client_secret: "env:NOTAFTER_TEST_SECRET"}
    install: [{directory: azure}]
  aws:
    acme: {directory: "env:NOTAFTER_TEST_SECRET"}
    dns: {lego: {provider: route53, settings: {AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/renew", AWS_HOSTED_ZONE_ID: "env:NOTAFTER_TEST_SECRET", AWS_SECRET_ACCESS_KEY: "env:NOTAFTER_TEST_SECRET"}}}
    install: [{directory: aws}]
  update:
    acme: {directory: "https://dv.acme-v02.api.pki.goog/directory"}
    dns: {rfc2136: {server: ns.example.org, zone: example.org, key: renew., secret: "env:NOTAFTER_TEST_SECRET"}}
    install: [{directory: update}]
  http:
    acme: {directory: "https://ca.example.org/directory", challenge: http-01}
    install: [{directory: http}]
`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 9, 22, 15, 0, 0, 0, time.UTC)
	for _, resolved := range []bool{false, true} { // guard reads no secrets; serve has them, and keeps them to itself
		if resolved {
			_ = c.Resolve()
		}
		inv := app.Inventory(c, now)
		b, err := inv.Encode()
		if err != nil || strings.Contains(string(b), "s3cret") || strings.Contains(string(b), "env:") {
			t.Fatalf("%v: %s", err, b)
		}
		want := []iac.Certificate{
			{
				Name: "eu", Names: []string{"eu.example.com", "*.eu.example.com"}, Renewer: "azure", Challenge: "dns-01", Issuers: []string{"letsencrypt.org"},
				Identities: []string{"0b1ec700-0000-4000-8000-000000000001", "c1000000-0000-4000-8000-000000000001"}, Records: []string{"_acme-challenge.eu.example.com"},
				Zones: []string{"example.com", "/subscriptions/5b000000-0000-4000-8000-000000000001/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.com"},
			},
			{
				Name: "r53", Names: []string{"a.example.net"}, Renewer: "aws", Challenge: "dns-01", Identities: []string{"arn:aws:iam::123456789012:role/renew"},
				Records: []string{"_acme-challenge.a.example.net"},
			},
			{
				Name: "key", Names: []string{"b.example.org"}, Renewer: "update", Challenge: "dns-01", Issuers: []string{"pki.goog"}, Identities: []string{"renew."},
				Zones: []string{"example.org"}, Records: []string{"_acme-challenge.b.example.org"},
			},
			{Name: "web", Names: []string{"c.example.org"}, Renewer: "http", Challenge: string(config.ChallengeHTTP)},
			{Name: "seen", Names: []string{"d.example.org", "mx.example.org"}},
		}
		wanted, err := iac.Inventory{At: now, Certificates: want}.Encode()
		if err != nil || !bytes.Equal(b, wanted) {
			t.Errorf("%v, resolved %t: got\n%s\nwant\n%s", err, resolved, b, wanted)
		}
	}
}

// A state on which nothing has run yet knows what the configuration declares, as any pipeline's does.
func TestTheInventoryOfAFreshState(t *testing.T) {
	t.Parallel()
	r := settle(t, pace{life: 10 * time.Minute, canary: time.Hour, authorization: time.Hour}, "shop."+estate.AzureZone)
	a, err := app.New(app.Options{Config: r.config})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	raw, err := a.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if inv, err := iac.ReadInventory(bytes.NewReader(raw)); err != nil || len(inv.Certificates) != 1 || inv.Certificates[0].Name != "shop" || len(inv.Certificates[0].Grants) > 0 {
		t.Errorf("%+v, %v", inv, err)
	}
}
