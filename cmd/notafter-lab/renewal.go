package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

// renewal is the part of the lab in which notafter renews by itself.
type renewal struct {
	estate *estate.Estate
	sites  []*estate.Site
	life   time.Duration
	canary time.Duration
}

// dueAt is the share of its lifetime at which the authority asks for a certificate's renewal.
const dueAt = 0.6

// renewedSites are the certificates that notafter renews, by their names, with what is special about each.
var renewedSites = []struct {
	names, addresses []string
	watch            string
}{
	{
		names: []string{"hosted." + estate.AzureZone, "status." + estate.AzureZone, "*.hosted." + estate.AzureZone},
		watch: "Two names and a wildcard on one certificate, whose challenges are written in Azure DNS.",
	},
	{names: []string{"portal." + estate.AzureZone}, watch: "The same renewer: what it may no longer do is one incident for both."},
	{
		names: []string{"intranet." + estate.BindZone}, addresses: []string{"127.0.0.1", "127.0.0.2"},
		watch: "Written by dynamic update (RFC 2136); renewed only when both addresses serve it.",
	},
	{names: []string{"wiki." + estate.BindZone}, watch: "The same zone, on one address."},
}

// settle starts an estate beside the world and makes the configuration renew what is in it. Nil when that is not wanted.
func settle(o options, w *lab.World, dir string, c *config.Config) (_ *renewal, err error) {
	if o.alone {
		return nil, nil
	}
	if err := estate.Possible(); err != nil {
		return nil, err
	}
	r := &renewal{life: max(o.life, 10*time.Second)}
	r.canary = max(r.life/24, 2*time.Second).Round(time.Second)
	if r.estate, err = estate.Start(estate.Options{Life: r.life, Dir: dir, Due: dueAt}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.estate.Stop()
		}
	}()
	if err := w.DNS.Forward(r.estate.Zones.ResolverAddr()); err != nil {
		return nil, err
	}
	c.Trust = append(c.Trust, r.estate.RootsFile)
	c.Renewers = map[string]config.Renewer{}
	for _, d := range r.estate.Renewers() {
		c.Renewers[d.Name] = r.renewer(d)
	}
	for _, s := range renewedSites {
		site, err := r.estate.SiteOf(s.names, s.addresses...)
		if err != nil {
			return nil, err
		}
		r.sites = append(r.sites, site)
		cert, err := renewed(site)
		if err != nil {
			return nil, err
		}
		c.Certificates = append(c.Certificates, cert)
	}
	return r, nil
}

// renewer is what a user of the estate would write about one way to renew, with times that fit certificates of minutes.
func (r *renewal) renewer(d estate.Renewer) config.Renewer {
	every := func(d time.Duration) *config.Duration { c := config.Duration(d.Round(time.Second)); return &c }
	dns := &config.RenewerDNS{
		TTL: config.Duration(d.TTL), Propagation: config.Duration(max(r.life/24, 5*time.Second)), AuthoritativePort: d.Port, PublicResolvers: []string{d.Resolver},
	}
	if a := d.Azure; a != nil {
		dns.Azure = &config.AzureDNS{
			Subscription: a.Subscription, ResourceGroup: a.Group, Zone: d.Zone, Tenant: a.Tenant, ClientID: a.ClientID, ClientSecret: config.NewSecret(a.ClientSecret),
			Endpoint: config.NewAddress(a.URL), Authority: config.NewAddress(a.URL), Roots: config.File(a.Roots),
		}
	}
	if u := d.Update; u != nil {
		dns.RFC2136 = &config.RFC2136{Server: u.Server, Zone: d.Zone, Key: u.Key, Secret: config.NewSecret(u.Secret)}
	}
	return config.Renewer{
		ACME: &config.ACME{
			Directory: config.NewAddress(d.Directory), Staging: config.NewAddress(d.Staging), Profile: d.Profile, Email: "ops@example.com", Roots: config.File(d.CARoots),
		},
		DNS: dns,
		Rehearse: config.Rehearse{
			Static: every(2 * r.canary), Permission: every(r.canary), Canary: every(r.canary), Authorization: every(r.life / 5), Full: every(r.life / 2),
			Shadow: []config.Install{{Directory: config.File(d.Shadow)}},
		},
	}
}

// renewed declares the certificate of a site.
func renewed(s *estate.Site) (config.Certificate, error) {
	c := config.Certificate{
		Name: nameOf(s), Names: s.Names, Route: "sre", Owner: "the lab", Renewer: s.Renewer,
		Install: []config.Install{{Files: map[string]config.InstallFile{"fullchain": {Path: config.File(s.Fullchain)}, "key": {Path: config.File(s.Key)}}, Reload: s.Reload}},
	}
	for _, at := range s.Targets {
		t, err := assure.ParseTarget(at)
		if err != nil {
			return c, fmt.Errorf("site %s: %w", s.Name, err)
		}
		c.Endpoints = append(c.Endpoints, config.Endpoint{Target: t})
	}
	return c, nil
}

// nameOf is the name of a site's certificate: the first label of its host.
func nameOf(s *estate.Site) string {
	name, _, _ := strings.Cut(s.Name, ".")
	return name
}

func (r *renewal) introduce(s *screen) {
	s.say("\nnotafter renews these itself, at six tenths of the lifetime, and tries every %s whether it still could:\n\n", r.canary)
	for i, site := range r.sites {
		s.say("  %-12s %s\n", nameOf(site), renewedSites[i].watch)
	}
}

func (r *renewal) byHand(s *screen, address string) {
	name := nameOf(r.sites[1])
	server := ""
	if address != "127.0.0.1:8710" {
		server = " --server http://" + address
	}
	s.say("\nRehearse and renew by hand, step by step, and see the same on http://%s/certificates/%s:\n  go run ./cmd/notafter rehearse %s%s\n  go run ./cmd/notafter renew %s --force%s\n",
		address, name, name, server, name, server)
}

// story lets things happen to what is renewed.
func (r *renewal) story(ctx context.Context, s *screen) {
	r.estate.Tell(ctx, estate.Story{Sites: r.sites, Life: r.life, Canary: r.canary, Tell: func(text string) {
		s.say("  %s  LAB: %s\n", time.Now().Format("15:04:05"), text)
	}})
}
