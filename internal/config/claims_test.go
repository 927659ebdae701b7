package config

import (
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func TestClaimsOfTheFullFile(t *testing.T) {
	c, err := Parse("/etc/notafter.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 8, 12, 0, 0, 0, time.FixedZone("x", 3600))
	byID := map[assure.ClaimID]assure.Claim{}
	for _, cl := range c.Claims(now) {
		if _, twice := byID[cl.ID]; twice {
			t.Errorf("two claims are called %s", cl.ID)
		}
		if !cl.Declared.Equal(now) || cl.Declared.Location() != time.UTC || cl.Every <= 0 || cl.Route == "" {
			t.Errorf("claim %+v", cl)
		}
		byID[cl.ID] = cl
	}
	want := map[assure.ClaimID]time.Duration{
		"serving/hosted-eu/eu.example.com":                       5 * time.Minute,
		"serving/hosted-eu/smtp://mail.eu.example.com:587":       5 * time.Minute,
		"serving/hosted-eu/inside.eu.example.com:8443@192.0.2.7": time.Minute,
		"serving/blog/blog.example.com":                          10 * time.Minute,
		"monitor//patrol":                                        time.Minute, "monitor//control": time.Minute, "monitor//heartbeat": 2 * time.Minute,
		"people//hook": channelEveryMonth, "people//chat": channelEveryMonth, "people//mail": time.Hour, "people//pager": channelEveryMonth,
		"people//am": time.Hour, "people//push": time.Hour, "people//ntfy": time.Hour,
	}
	for id, every := range want {
		if byID[id].Every != every {
			t.Errorf("claim %s is looked at every %s, want %s", id, byID[id].Every, every)
		}
	}
	if len(byID) != len(want) {
		t.Errorf("%d claims, want %d", len(byID), len(want))
	}
	if cl := byID["serving/hosted-eu/eu.example.com"]; cl.Route != "sre" || cl.Owner != "Platform team" || cl.TimeToRepair != 24*time.Hour {
		t.Errorf("claim %+v", cl)
	}
	if cl := byID["serving/blog/blog.example.com"]; cl.Route != "low" || cl.TimeToRepair != 8*time.Hour {
		t.Errorf("claim %+v", cl)
	}
}

func TestTargetsAlone(t *testing.T) {
	var targets []assure.Target
	for _, s := range []string{"a.example", "smtp://a.example", "b.example", "a.example:443"} {
		target, err := assure.ParseTarget(s)
		if err != nil {
			t.Fatal(err)
		}
		targets = append(targets, target)
	}
	c, err := ForTargets(targets)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Certificates) != 2 || len(c.Certificates[0].Endpoints) != 2 || len(c.Channels) != 0 || len(c.RouteChannels()) != 0 {
		t.Errorf("got %+v", c)
	}
	if _, err := ForTargets(nil); err == nil {
		t.Error("no target at all was accepted")
	}
}

// What permissions rest on is compared by itself, whatever is rehearsed, where somebody can be asked.
func TestDriftHasItsOwnInterval(t *testing.T) {
	for setting, want := range map[string]time.Duration{
		"":                             15 * time.Minute,
		", drift: 1h":                  time.Hour,
		", drift: 0s":                  0,
		", rehearse: {permission: 0s}": 15 * time.Minute,
		", drift: 2m, rehearse: {permission: 5m}":     2 * time.Minute,
		", drift: 2m, rehearse: {permission: 0s}":     2 * time.Minute,
		", drift: 2m, acme_challenge_is: tls-alpn-01": 0,
	} {
		challenge := ""
		if before, _, ok := strings.Cut(setting, ", acme_challenge_is:"); ok {
			setting, challenge = before, ", challenge: tls-alpn-01"
		}
		dns := ", dns: {rfc2136: {server: ns1.example.com, key: k, secret: \"env:K\"}}"
		if challenge != "" {
			dns = ""
		}
		c, err := Parse("/etc/notafter.yaml", []byte("certificates: [{name: eu, names: [eu.example.com], endpoints: [eu.example.com], renewer: le}]\n"+
			"renewers: {le: {acme: {directory: \"https://ca.example/d\", email: a@example.com"+challenge+"}"+dns+setting+", install: [{files: {fullchain: /x, key: /y}}]}}\n"+
			"channels: {hook: {webhook: {url: \"https://hook.example\", secret: \"env:S\"}}}\nroutes: {sre: {mode: own, channels: [hook]}}\ndefault_route: sre\n"))
		if err != nil {
			t.Fatalf("%s: %v", setting, err)
		}
		var got time.Duration
		for _, cl := range c.RenewalClaims(time.Now()) {
			if cl.ID == "permission/eu/grants" {
				got = cl.Every
			}
		}
		if got != want {
			t.Errorf("%q is compared every %s, want %s", setting+challenge, got, want)
		}
	}
}
