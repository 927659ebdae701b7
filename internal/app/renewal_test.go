package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
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
	authzReuse                  int
}

func settle(t *testing.T, p pace, hosts ...string) *renewed {
	t.Helper()
	e, err := estate.Start(estate.Options{Life: p.life, AuthzReuse: p.authzReuse})
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
		r.add(t, h)
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
	c.Channels = map[string]config.Channel{
		"pager": {PagerDuty: &config.PagerDuty{RoutingKey: config.NewSecret("0123456789abcdef0123456789abcdef"), URL: config.NewAddress(r.pager.URL("pager") + "/v2/enqueue")}},
	}
	c.Routes = map[string]config.Route{"sre": {Mode: config.ModeOwn, Channels: []string{"pager"}}}
	c.DefaultRoute, c.Monitor.Route = "sre", "sre"
	acme := func() *config.ACME {
		return &config.ACME{
			Directory: config.NewAddress(r.CAProxy.Directory()), Staging: config.NewAddress(r.StagingProxy.Directory()), Profile: estate.Profile,
			Email: "ops@example.com", Roots: config.File(r.CARoots),
		}
	}
	dns := func(d config.RenewerDNS) *config.RenewerDNS {
		d.TTL, d.Propagation, d.AuthoritativePort, d.PublicResolvers = config.Duration(time.Second), config.Duration(10*time.Second), r.Zones.Port(), []string{r.Zones.ResolverAddr()}
		return &d
	}
	rehearse := config.Rehearse{Static: every(p.canary), Permission: every(p.canary), Canary: every(p.canary), Authorization: every(p.authorization)}
	c.Renewers = map[string]config.Renewer{
		"azure": {ACME: acme(), Rehearse: rehearse, DNS: dns(config.RenewerDNS{Azure: &config.AzureDNS{
			Subscription: r.Azure.Subscription(), ResourceGroup: estate.Group, Zone: estate.AzureZone, Tenant: r.Azure.Tenant(), ClientID: estate.ClientID,
			ClientSecret: config.NewSecret(estate.ClientSecret), Endpoint: config.NewAddress(r.Azure.URL()), Authority: config.NewAddress(r.Azure.URL()), Roots: config.File(r.AzureRoots),
		}})},
		"bind": {ACME: acme(), Rehearse: rehearse, DNS: dns(config.RenewerDNS{RFC2136: &config.RFC2136{
			Server: r.Zones.Addresses("ns1." + estate.BindZone)[0], Zone: estate.BindZone,
			Key: estate.KeyName, Secret: config.NewSecret(estate.KeySecret),
		}})},
	}
	return &c
}

// add declares a certificate for a host of one of the zones, and starts its server.
func (r *renewed) add(t *testing.T, host string, addresses ...string) *estate.Site {
	t.Helper()
	s, err := r.Site(host, addresses...)
	if err != nil {
		t.Fatal(err)
	}
	target, err := assure.ParseTarget(s.Target)
	if err != nil {
		t.Fatal(err)
	}
	renewer := "bind"
	if strings.HasSuffix(host, estate.AzureZone) {
		renewer = "azure"
	}
	name, _, _ := strings.Cut(host, ".")
	r.config.Certificates = append(r.config.Certificates, config.Certificate{
		Name: name, Names: []string{host}, Route: "sre", Renewer: renewer, Endpoints: []config.Endpoint{{Target: target}},
		Install: []config.Install{{Files: map[string]config.InstallFile{"fullchain": {Path: config.File(s.Fullchain)}, "key": {Path: config.File(s.Key)}}, Reload: s.Reload}},
	})
	r.sites = append(r.sites, s)
	return s
}

// client shakes hands with a site as clients do, again and again, and counts those that were refused once one was not.
type client struct {
	mu                sync.Mutex
	serials           map[string]bool
	accepted, refused int
	last              error
}

func visit(t *testing.T, s *estate.Site, roots []byte) *client {
	c := &client{serials: map[string]bool{}}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		t.Fatal("no roots")
	}
	_, port, _ := net.SplitHostPort(s.Target)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: pool, ServerName: s.Name})
			c.mu.Lock()
			switch {
			case err == nil:
				c.accepted++
				c.serials[conn.ConnectionState().PeerCertificates[0].SerialNumber.String()] = true
				_ = conn.Close()
			case c.accepted > 0:
				c.refused++
				c.last = err
			}
			c.mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
	return c
}

func (c *client) certificates() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.serials) }

// Certificates that live for seconds are renewed again and again on both writers, installed, reloaded, and seen on every
// address, and no client is ever refused.
func TestRenewsWithoutAGap(t *testing.T) {
	t.Parallel()
	r := settle(t, pace{life: 20 * time.Second, canary: 5 * time.Second, authorization: 10 * time.Second})
	sites := []*estate.Site{r.add(t, "shop."+estate.AzureZone), r.add(t, "mail."+estate.BindZone, "127.0.0.1", "127.0.0.2")}
	p := start(t, r.config, "")
	var clients []*client
	for _, s := range sites {
		clients = append(clients, visit(t, s, r.Roots))
	}
	const lives = 4
	until(t, 100*time.Second, fmt.Sprintf("%d certificates in service at each site", lives), func() bool {
		for _, c := range clients {
			if c.certificates() < lives {
				return false
			}
		}
		return true
	})
	for i, c := range clients {
		c.mu.Lock()
		if c.refused > 0 {
			t.Errorf("%s: %d of %d clients were refused, the last because: %v", sites[i].Name, c.refused, c.refused+c.accepted, c.last)
		}
		c.mu.Unlock()
	}
	for _, i := range p.incidents() {
		if i.Reason != string(assure.Expiring) && i.State != "resolved" {
			t.Errorf("while all went well: incident %s: %s", i.Reason, i.Summary)
		}
	}
}

// A grant that is taken away while nothing is due pages within a canary interval, with the cause, and the incident
// closes only when a renewal has proven the repair.
func TestALostGrantPagesBeforeAnythingIsDue(t *testing.T) {
	t.Parallel()
	r := settle(t, pace{life: 10 * time.Minute, canary: 3 * time.Second, authorization: time.Hour}, "shop."+estate.AzureZone, "www."+estate.AzureZone)
	p := start(t, r.config, "")
	until(t, time.Minute, "certificate in service", func() bool { return r.sites[0].Leaf() != nil && r.sites[1].Leaf() != nil })
	before := []string{string(r.sites[0].Leaf()), string(r.sites[1].Leaf())}
	until(t, time.Minute, "upheld permission", func() bool {
		return p.verdict("shop", assure.Permission) == assure.Upheld && p.verdict("www", assure.Permission) == assure.Upheld
	})

	r.Revoke()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m, err := r.pager.WaitFor(ctx, func(m lab.PagerMessage) bool {
		return m.Event == "trigger" && strings.Contains(string(m.Body), "dns_write_denied")
	})
	if err != nil {
		t.Fatalf("no page about the lost grant: %v; incidents: %+v", err, p.incidents())
	}
	for _, want := range []string{estate.ObjectID, "Microsoft.Network/dnsZones/TXT/", estate.AzureZone, "shop", "(until "} {
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
	until(t, 30*time.Second, "second certificate in the incident", func() bool { return p.touched(grants()[0].ID) >= 2 })
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
	until(t, time.Minute, "proof", func() bool { return grants()[0].State == "resolved" })
	if string(r.sites[0].Leaf()) == before[0] && string(r.sites[1].Leaf()) == before[1] {
		t.Error("the incident closed without a renewal that proved the repair")
	}
	if left := r.Leftovers("shop."+estate.AzureZone, "www."+estate.AzureZone); len(left) > 0 {
		t.Errorf("left in the zone: %v", left)
	}
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
