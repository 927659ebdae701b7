package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

// estateConfig is what a user of the estate writes to have one certificate renewed.
func estateConfig(t *testing.T, e *estate.Estate, s *estate.Site, listen string) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("LAB_CLIENT_SECRET", estate.ClientSecret)
	t.Setenv("LAB_HOOK", "a secret for the lab's hook")
	file := filepath.Join(dir, "notafter.yaml")
	reload, err := json.Marshal(s.Reload)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
certificates:
  - name: shop
    names: [%[1]s]
    endpoints: ["%[2]s"]
    renewer: azure
    install:
      - files: {fullchain: "%[3]s", key: "%[4]s"}
        reload: %[5]s
renewers:
  azure:
    acme: {directory: "%[6]s", staging: "%[7]s", profile: %[8]s, email: ops@example.com, roots: "%[9]s"}
    dns:
      azure:
        subscription: %[10]s
        resource_group: %[11]s
        zone: %[12]s
        tenant: %[13]s
        client_id: %[14]s
        client_secret: env:LAB_CLIENT_SECRET
        endpoint: "%[15]s"
        authority: "%[15]s"
        roots: "%[16]s"
      authoritative_port: %[17]d
      propagation: 20s
      ttl: 1s
channels:
  hook: {webhook: {url: "http://127.0.0.1:9/", secret: "env:LAB_HOOK"}}
dns: {servers: ["%[18]s"]}
trust: "%[19]s"
state: "%[20]s"
listen: "%[21]s"
`, s.Name, s.Target, s.Fullchain, s.Key, reload, e.CAProxy.Directory(), e.StagingProxy.Directory(), estate.Profile, e.CARoots,
		e.Azure.Subscription(), estate.Group, estate.AzureZone, e.Azure.Tenant(), estate.ClientID, e.Azure.URL(), e.AzureRoots, e.Zones.Port(), e.Zones.ResolverAddr(),
		e.RootsFile, filepath.Join(dir, "state"), listen)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// From the command line: a first certificate, nothing more to do, a rehearsal that works, one that says why it does not
// and what to do, all without a server; then the same through a running one.
func TestRenewAndRehearse(t *testing.T) {
	e, err := estate.Start(estate.Options{Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	s, err := e.Site("shop." + estate.AzureZone)
	if err != nil {
		t.Fatal(err)
	}
	listen, err := lab.Vacant("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	file := estateConfig(t, e, s, listen)
	run := func(want int, says []string, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		p := testProgram(&out, &errs)
		p.now, p.login = time.Now, func() string { return "ana" }
		p.newService = newService
		if got := p.run(t.Context(), args); got != want {
			t.Fatalf("%v: status %d, want %d\n%s%s", args, got, want, &out, &errs)
		}
		for _, w := range says {
			if !strings.Contains(out.String()+errs.String(), w) {
				t.Errorf("%v does not say %q:\n%s%s", args, w, &out, &errs)
			}
		}
		return out.String()
	}
	run(exitUpheld, []string{"Renewal of shop", "✓ certificate issued", "✓ installed", "✓ server told", "✓ seen in service", "worked in"}, "renew", "-c", file, "shop")
	first := string(s.Leaf())
	run(exitUpheld, []string{"Nothing is due for shop: the next renewal is due at", "--force"}, "renew", "-c", file, "shop")
	run(exitUpheld, []string{"L0", "L1", "L2", "L3", "✓ permission asked", "✓ seen on every server", "✓ authorization given back"}, "rehearse", "-c", file)
	if string(s.Leaf()) != first {
		t.Error("a rehearsal replaced the certificate in service")
	}
	e.Revoke()
	told := run(exitBroken, []string{"✗ ", estate.ObjectID, "Microsoft.Network/dnsZones/TXT/", "DNS Zone Contributor", "→", "did not work"}, "rehearse", "-c", file, "shop", "--rung", "permission,canary")
	if strings.Contains(told, estate.ClientSecret) {
		t.Error("the secret is told")
	}
	e.Grant()
	run(exitUsage, []string{`certificate "shp"`}, "rehearse", "-c", file, "shp")
	run(exitUsage, []string{`--rung "cannery" is not possible`}, "rehearse", "-c", file, "--rung", "cannery")
	run(exitUsage, []string{"want exactly one certificate"}, "renew")
	run(exitUnknown, []string{"notafter: full of shop was left out, so that nothing is proven by it: no shadow target is configured"}, "rehearse", "-c", file, "shop", "--rung", "full")

	run(exitUpheld, []string{"The account of azure has a new key."}, "account", "roll-over", "azure", "-c", file)
	run(exitUsage, []string{`renewer "azur"`}, "account", "register", "azur", "-c", file)

	served := make(chan int, 1)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	var out, log bytes.Buffer // not read before the server has ended
	defer func() {
		stop()
		if <-ended; t.Failed() {
			t.Logf("the server said:\n%s%s", &out, &log)
		}
	}()
	go func() {
		defer close(ended)
		p := testProgram(&out, &log)
		p.now, p.login = time.Now, func() string { return "ana" }
		p.newService = newService
		served <- p.run(ctx, []string{"serve", "-c", file, "--log-level", "debug"})
	}()
	within(t, "a server", func() bool {
		c, err := net.Dial("tcp", listen)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	server := "http://" + listen
	run(exitBroken, []string{"is in use"}, "rehearse", "-c", file, "shop")
	run(exitUpheld, []string{"L2, canary record of shop", "✓ seen on every server", "worked in"}, "rehearse", "--server", server, "shop", "--rung", "canary")
	run(exitUpheld, []string{"Renewal of shop", "✓ seen in service"}, "renew", "--server", server, "shop", "--force")
	if string(s.Leaf()) == first {
		t.Error("a forced renewal left the certificate in service")
	}
	run(exitUpheld, []string{"The account of azure has a new key."}, "account", "roll-over", "azure", "--server", server)
	run(exitUpheld, []string{"The account of azure is registered."}, "account", "register", "azure", "--server", server)
	run(exitUpheld, []string{"worked in"}, "rehearse", "--server", server, "shop", "shop", "--rung", "static,static")
	run(exitUnknown, []string{"full of shop was left out"}, "rehearse", "--server", server, "shop", "--rung", "full,static")
	run(exitBroken, []string{`certificate "shp"`}, "renew", "--server", server, "shp")
	stop()
	if code := <-served; code != exitUpheld {
		t.Errorf("the server ended with status %d", code)
	}
}

// A shell that completes offers what the file that -c names has, once each, and nothing from a file that is wrong.
func TestNamesAreCompleted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "notafter.yaml")
	text := `
certificates:
  - {name: shop, names: [shop.example.com], endpoints: [shop.example.com], renewer: le}
  - {name: wiki, names: [wiki.example.com], endpoints: [wiki.example.com], renewer: le}
  - {name: watched, endpoints: [watched.example.com]}
renewers:
  le: {acme: {directory: "https://ca.example.com/dir"}, dns: {lego: {provider: ovh}}}
channels:
  hook: {webhook: {url: "https://hooks.example.com/", secret: "env:NOTAFTER_TEST_UNSET"}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("certificates: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"renew -c " + file:                      "shop wiki",
		"renew -c " + file + " shop":            "",
		"rehearse -c " + file + " shop":         "wiki",
		"account roll-over -c " + file:          "le",
		"rehearse -c " + wrong:                  "",
		"rehearse":                              "",
		"rehearse -c " + file + ".is.not.there": "",
	} {
		var out, errs bytes.Buffer
		p := testProgram(&out, &errs)
		if code := p.run(t.Context(), append(append([]string{"__complete"}, strings.Fields(args)...), "")); code != 0 {
			t.Errorf("%s: status %d: %s", args, code, &errs)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if got := strings.Join(lines[:len(lines)-1], " "); got != want || lines[len(lines)-1] != ":4" { // 4: no files
			t.Errorf("%s: offers %q, want %q: %s", args, got, want, &out)
		}
	}
}

// A place where nothing could be installed is told before there is anything to install.
func TestConfigCheckLooksAtPlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "notafter.yaml")
	text := `certificates:
  - {name: shop, names: [shop.example.com], endpoints: [shop.example.com], renewer: le, install: [{directory: tls}, {directory: "gone/tls"}]}
  - {name: wiki, names: [wiki.example.com], endpoints: [wiki.example.com], renewer: le}
  - {name: blog, names: [blog.example.com], endpoints: [blog.example.com], renewer: le}
renewers:
  le:
    acme: {directory: "https://ca.example.com/dir"}
    dns: {lego: {provider: ovh}}
    install: [{files: {pkcs12: "none/of/{certificate}.p12"}, pkcs12_password: "env:NOTAFTER_TEST_UNSET"}]
channels:
  hook: {webhook: {url: "https://hooks.example.com/", secret: "env:NOTAFTER_TEST_UNSET"}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	p := testProgram(&out, &errs)
	if code := p.run(t.Context(), []string{"config", "check", file}); code != exitUpheld {
		t.Fatalf("status %d: %s", code, &errs)
	}
	for _, want := range []string{
		"notafter.yaml:2:", "note: certificates[0].install[1]: open " + filepath.Join(dir, "gone"),
		"notafter.yaml:9:", "note: renewers.le.install[0]: open " + filepath.Join(dir, "none"),
	} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("does not say %q:\n%s", want, &errs)
		}
	}
	if n := strings.Count(errs.String(), "no certificate can be installed there"); n != 2 {
		t.Errorf("%d notes about places, want 2:\n%s", n, &errs)
	}
}

// What is wrong with a renewer is told once, however many certificates it has, and at the key that is wrong.
func TestConfigCheckTellsARenewersProblemOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "notafter.yaml")
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("no*base64*at*all"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := `certificates:
  - {name: shop, names: [shop.example.com], endpoints: [shop.example.com], renewer: le}
  - {name: wiki, names: [wiki.example.com], endpoints: [wiki.example.com], renewer: le}
renewers:
  le:
    acme: {directory: "https://ca.example.com/dir", eab: {key_id: k, hmac: "file:secret"}}
    dns: {rfc2136: {server: ns1.example.com, key: k, secret: "file:secret"}}
channels:
  hook: {webhook: {url: "https://hooks.example.com/", secret: "file:secret"}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	p := testProgram(&out, &errs)
	if code := p.run(t.Context(), []string{"config", "check", "--secrets", file}); code != exitUsage {
		t.Fatalf("status %d: %s", code, &errs)
	}
	if got := errs.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "notafter.yaml:6:") || !strings.Contains(got, "renewers.le.acme.eab.hmac: the key of the external account is not base64url") {
		t.Errorf("it says:\n%s", got)
	}
}
