package app_test

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

// renewed is an estate with a configuration that renews everything in it.
type renewed struct {
	*estate.Estate
	sites  []*estate.Site
	pager  *lab.Pager
	config *config.Config
}

// pace is how often things happen, for tests.
type pace struct {
	life, canary, authorization time.Duration
	full                        time.Duration // zero: no dress rehearsal
	due                         float64       // see [estate.Options.Due]; zero: long after the test
	authzReuse                  int
	patience                    time.Duration // for propagation; zero: 10 s
	httpPort, tlsPort           int
	profiles                    map[string]string // by renewer; [estate.Profile] otherwise
}

func settle(t *testing.T, p pace, hosts ...string) *renewed {
	t.Helper()
	if p.due == 0 {
		p.due = 0.6 // Pebble itself would have a certificate renewed at any time of its life, as if by lot
	}
	e, err := estate.Start(estate.Options{Life: p.life, Due: p.due, AuthzReuse: p.authzReuse, HTTPPort: p.httpPort, TLSPort: p.tlsPort})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	pager, err := lab.StartPager(lab.PagerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pager.Stop)
	r := &renewed{Estate: e, pager: pager}
	r.config = renewConfig(t, r, p)
	for _, h := range hosts {
		r.add(t, []string{h})
	}
	return r
}

func every(d time.Duration) *config.Duration { c := config.Duration(d); return &c }

func renewConfig(t *testing.T, r *renewed, p pace) *config.Config {
	t.Helper()
	c := config.Default()
	c.State, c.Listen, c.BaseURL = config.NewState(t.TempDir()), "127.0.0.1:0", "http://127.0.0.1"
	c.Trust, c.DNS.Servers = config.Trust{r.RootsFile}, []string{r.Zones.ResolverAddr()}
	c.Every, c.Confirm, c.TimeToRepair, c.Revocation = config.Duration(time.Second), config.Duration(3*time.Second), config.Duration(2*time.Second), config.RevocationOff
	c.Gather = config.Duration(time.Second)
	c.Channels = map[string]config.Channel{
		"pager": {PagerDuty: &config.PagerDuty{RoutingKey: config.NewSecret("0123456789abcdef0123456789abcdef"), URL: config.NewAddress(r.pager.URL("pager") + "/v2/enqueue")}},
	}
	c.Routes = map[string]config.Route{"sre": {Mode: config.ModeOwn, Channels: []string{"pager"}}}
	c.DefaultRoute, c.Monitor.Route = "sre", "sre"
	c.Renewers = map[string]config.Renewer{}
	for _, d := range r.Renewers() {
		if other := p.profiles[d.Name]; other != "" {
			d.Profile = other
		}
		c.Renewers[d.Name] = renewerOf(d, p)
	}
	return &c
}

// renewerOf is how one way to renew in the estate is configured.
func renewerOf(d estate.Renewer, p pace) config.Renewer {
	dns := &config.RenewerDNS{
		TTL: config.Duration(d.TTL), Propagation: config.Duration(cmp.Or(p.patience, 10*time.Second)), AuthoritativePort: d.Port, PublicResolvers: []string{d.Resolver},
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
	rehearse := config.Rehearse{Static: every(p.canary), Permission: every(p.canary), Canary: every(p.canary), Authorization: every(p.authorization)}
	if p.full > 0 {
		rehearse.Full, rehearse.Shadow = every(p.full), []config.Install{{Directory: config.File(d.Shadow)}}
	}
	return config.Renewer{
		ACME: &config.ACME{
			Directory: config.NewAddress(d.Directory), Staging: config.NewAddress(d.Staging), Profile: d.Profile, Email: "ops@example.com", Roots: config.File(d.CARoots),
		},
		DNS: dns, Rehearse: rehearse,
	}
}

// add declares a certificate for names of one of the zones, and starts its server.
func (r *renewed) add(t *testing.T, names []string, addresses ...string) *estate.Site {
	t.Helper()
	s, err := r.SiteOf(names, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(s.Name, ".")
	cert := config.Certificate{
		Name: name, Names: s.Names, Route: "sre", Renewer: s.Renewer,
		Install: []config.Install{{Files: map[string]config.InstallFile{"fullchain": {Path: config.File(s.Fullchain)}, "key": {Path: config.File(s.Key)}}, Reload: s.Reload}},
	}
	for _, at := range s.Targets {
		target, err := assure.ParseTarget(at)
		if err != nil {
			t.Fatal(err)
		}
		cert.Endpoints = append(cert.Endpoints, config.Endpoint{Target: target})
	}
	r.config.Certificates = append(r.config.Certificates, cert)
	r.sites = append(r.sites, s)
	return s
}

// A grant that is taken away while nothing is due pages within a canary interval, with the cause, and the incident
// closes only when a renewal has proven the repair.
func TestALostGrantPagesBeforeAnythingIsDue(t *testing.T) {
	t.Parallel()
	r := settle(t, pace{life: 10 * time.Minute, canary: 3 * time.Second, authorization: time.Hour}, "shop."+estate.AzureZone, "www."+estate.AzureZone)
	r.config.Gather = config.Duration(10 * time.Second) // as everybody has it
	p, stop := startUntil(t, r.config, "")
	until(t, 2*time.Minute, "certificate in service", func() bool { return r.sites[0].Leaf() != nil && r.sites[1].Leaf() != nil })
	before := []string{string(r.sites[0].Leaf()), string(r.sites[1].Leaf())}
	until(t, 2*time.Minute, "upheld permission, and every rung climbed", func() bool {
		return p.verdict("shop", assure.Permission) == assure.Upheld && p.verdict("www", assure.Permission) == assure.Upheld && p.climbed("shop") && p.climbed("www")
	})

	r.Revoke()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m, err := r.pager.WaitFor(ctx, func(m lab.PagerMessage) bool {
		return m.Event == "trigger" && strings.Contains(string(m.Body), "dns_write_denied")
	})
	if err != nil {
		t.Fatalf("no page about the lost grant: %v; incidents: %+v", err, p.incidents())
	}
	for _, want := range []string{estate.ObjectID, "Microsoft.Network/dnsZones/TXT/", estate.AzureZone, "shop (until ", "www (until "} {
		if !strings.Contains(string(m.Body), want) {
			t.Errorf("the page does not say %q: %s", want, m.Body)
		}
	}
	grants := func() (list []incident) {
		for _, i := range p.incidents() {
			if strings.HasPrefix(i.Cause, "grant/") {
				list = append(list, i)
			}
		}
		return list
	}
	until(t, 2*time.Minute, "second certificate in the incident", func() bool { return p.touched(grants()[0].ID) >= 2 })
	if list := grants(); len(list) != 1 || list[0].Reason != string(assure.DNSWriteDenied) {
		t.Errorf("one lost grant is not one incident about it: %+v", list)
	}

	r.Grant()
	defer func() {
		if !t.Failed() {
			return
		}
		for _, c := range []string{"shop", "www"} {
			t.Logf("%s: %s", c, p.text("/api/v1/certificates/"+c+"/renewal?limit=10"))
		}
		t.Logf("%s", p.text("/api/v1/incidents/"+grants()[0].ID))
	}()
	until(t, 2*time.Minute, "proof", func() bool { return grants()[0].State == "resolved" })
	if string(r.sites[0].Leaf()) == before[0] && string(r.sites[1].Leaf()) == before[1] {
		t.Error("the incident closed without a renewal that proved the repair")
	}
	r.swept(t, "shop."+estate.AzureZone, "www."+estate.AzureZone)
	stop() // canaries go on until then
	if left := r.Leftovers("shop."+estate.AzureZone, "www."+estate.AzureZone); len(left) > 0 {
		t.Errorf("left in the zone: %v", left)
	}
}

// swept waits until nothing is left of what is in the zones now. What could not be withdrawn while a grant was lost is swept
// once whoever wrote it counts as gone.
func (r *renewed) swept(t *testing.T, names ...string) {
	t.Helper()
	old := r.Leftovers(names...)
	until(t, 2*time.Minute, "sweep of what was left", func() bool {
		now := r.Leftovers(names...)
		return !slices.ContainsFunc(old, func(v string) bool { return slices.Contains(now, v) })
	})
}

func (p *product) verdict(certificate string, l assure.Link) assure.Verdict {
	var page struct {
		Certificates []struct {
			Name  string                         `json:"name"`
			Links map[assure.Link]assure.Verdict `json:"links"`
		} `json:"certificates"`
	}
	p.get("/api/v1/certificates?limit=500", &page)
	for _, row := range page.Certificates {
		if row.Name == certificate {
			return row.Links[l]
		}
	}
	return ""
}

// climbed reports whether every rung that is on was climbed and worked.
func (p *product) climbed(certificate string) bool {
	var v struct {
		Ladder []struct {
			On      bool
			Outcome string
		}
	}
	p.get("/api/v1/certificates/"+certificate+"/renewal", &v)
	for _, l := range v.Ladder {
		if l.On && l.Outcome != string(assure.Done) {
			return false
		}
	}
	return len(v.Ladder) > 0
}

func (p *product) touched(id string) int {
	var v struct {
		Touched int `json:"touched"`
	}
	p.get("/api/v1/incidents/"+id, &v)
	return v.Touched
}

func (p *product) text(path string) string {
	res, err := http.Get(p.url + path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	return string(b)
}
