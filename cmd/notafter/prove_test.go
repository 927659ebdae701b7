package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/arm"
	"github.com/notafter/notafter/internal/lab/estate"
)

// provingGround is an estate with one certificate, and the command line of somebody who works there.
type provingGround struct {
	*estate.Estate
	t            *testing.T
	file, listen string
}

func newProvingGround(t *testing.T) *provingGround {
	t.Helper()
	if err := estate.Possible(); err != nil {
		t.Skip(err)
	}
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
	return &provingGround{Estate: e, t: t, file: estateConfig(t, e, s, listen), listen: listen}
}

// run runs the program and returns its standard output and standard error.
func (g *provingGround) run(want int, args ...string) (stdout, stderr string) {
	g.t.Helper()
	var out, errs bytes.Buffer
	p := testProgram(&out, &errs)
	p.now, p.login, p.newService = time.Now, func() string { return "ana" }, newService
	if got := p.run(g.t.Context(), args); got != want {
		g.t.Fatalf("%v: status %d, want %d\n%s%s", args, got, want, &out, &errs)
	}
	return out.String(), errs.String()
}

// serve runs a server until the test ends.
func (g *provingGround) serve() (server string) {
	g.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan int, 1)
	go func() {
		var out, errs bytes.Buffer
		p := testProgram(&out, &errs)
		p.now, p.newService = time.Now, newService
		served <- p.run(ctx, []string{"serve", "-c", g.file})
	}()
	g.t.Cleanup(func() {
		stop()
		if code := <-served; code != exitUpheld {
			g.t.Errorf("the server ended with status %d", code)
		}
	})
	within(g.t, "a server", func() bool {
		c, err := net.Dial("tcp", g.listen)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "http://" + g.listen
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), w) {
			t.Errorf("it does not say %q:\n%s", w, text)
		}
	}
}

// A cloud that takes its time is not believed too early, in either direction: what was granted just now is waited for,
// and what was taken away just now is no proof because it still works.
func TestProveWaitsForTheCloud(t *testing.T) {
	g := newProvingGround(t)
	g.run(exitUpheld, "renew", "-c", g.file, "shop")

	out, _ := g.run(exitUpheld, "prove", "-c", g.file, "--settle", "0s", "--since", "1s")
	says(t, out, "shop: allowed", "L0", "L2, canary record of shop", "L3", "✓ Renewal works after", "shop")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); !strings.HasPrefix(lines[len(lines)-1], "✓ Renewal works") {
		t.Errorf("it does not end with the result: %s", out)
	}

	g.Revoke()
	g.Azure.SetLag(2 * time.Second)
	g.Grant()
	out, _ = g.run(exitUpheld, "prove", "-c", g.file, "--settle", "0s", "--timeout", "1m", "--interval", "300ms", "shop")
	says(t, out, "shop: ", "so far", "shop: allowed", "✓ Renewal works")

	g.Azure.SetLag(3 * time.Second)
	g.Revoke()
	out, _ = g.run(exitBroken, "prove", "-c", g.file, "--settle", "4s", "--timeout", "5s", "--interval", "1s")
	says(t, out, "shop: allowed so far", "An answer counts from", "✗ Renewal is cut: shop",
		"The renewer azure may not write challenge records: its identity "+estate.ObjectID+" is refused Microsoft.Network/dnsZones/TXT/", "→ Assign the role DNS Zone Contributor")
	if strings.Contains(out, "✓ Renewal works") {
		t.Errorf("it believed an answer from before the change: %s", out)
	}

	g.Azure.SetLag(0)
	g.Grant()
	heal := g.Azure.Inject(arm.Fault{Ill: arm.Garbage, Path: "/providers/Microsoft.Authorization/"})
	out, _ = g.run(exitUnknown, "prove", "-c", g.file, "--settle", "0s", "--timeout", "1s", "--interval", "500ms")
	says(t, out, "? Whether shop can be renewed could not be determined")
	heal()
	if left := g.Leftovers("shop." + estate.AzureZone); len(left) > 0 {
		t.Errorf("left in the zone: %v", left)
	}
}

func TestProveThroughAServer(t *testing.T) {
	g := newProvingGround(t)
	g.run(exitUpheld, "renew", "-c", g.file, "shop")
	server := g.serve()

	_, errs := g.run(exitUsage, "prove", "--server", server, "--timeout", "1m")
	says(t, errs, "an answer about shop counts 10m after the change", "--timeout 1m is over before")

	out, errs := g.run(exitUpheld, "prove", "--server", server, "--since", "11m", "-o", "json")
	var p proof
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("standard output is not the result alone: %v: %s", err, out)
	}
	if p.Verdict != assure.Upheld || len(p.Certificates) != 1 || p.Certificates[0].Renewer != "azure" || len(p.Certificates[0].Rungs) != 4 {
		t.Errorf("got %s", out)
	}
	says(t, errs, "L2, canary record of shop", "✓ Renewal works")

	g.Revoke()
	out, _ = g.run(exitBroken, "prove", "--server", server, "--since", "11m", "--timeout", "1s", "--interval", "500ms", "-o", "json")
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	c := p.Certificates[0]
	if p.Verdict != assure.Broken || len(c.Findings) == 0 || c.Findings[0].Reason != assure.DNSWriteDenied || c.Findings[0].Cause != "grant/azure" {
		t.Errorf("got %s", out)
	}
	var list struct{ Incidents []struct{ Summary string } }
	within(t, "the incident with the same words", func() bool {
		text, _ := g.run(exitUpheld, "incidents", "--server", server, "-o", "json")
		return json.Unmarshal([]byte(text), &list) == nil && strings.Contains(text, "is refused Microsoft.Network/dnsZones/TXT/write")
	})
}

func TestProveRefusesWhatCannotBeMeant(t *testing.T) {
	g := &provingGround{t: t}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"prove", "--since", "yesterday"}, "--since \"yesterday\" is not a time: want one such as 2026-10-08T15:00:00Z, a date, or how long ago, such as 10m"},
		{[]string{"prove", "--since", "+1h"}, "has not come yet"},
		{[]string{"prove", "-o", "xml"}, "want text or json"},
		{[]string{"prove", "--interval", "0s"}, "--interval"},
	} {
		_, errs := g.run(exitUsage, c.args...)
		says(t, errs, c.want)
	}
}

// The steps of certificates that are proven at the same time do not stand under each other's names.
func TestStepsOfSeveralStayTogether(t *testing.T) {
	var out strings.Builder
	r := &prover{now: time.Now, tell: newTeller(output{Writer: &out, columns: defaultColumns})}
	tell := r.telling("static", true)
	attempt := func(id int64, name string, ended bool) assure.Attempt {
		a := assure.Attempt{ID: id, Certificate: name, Kind: assure.RehearseStatic, Started: time.Now(), Steps: []assure.Step{{Name: assure.StepCAA, Target: name + ".example.com", Outcome: assure.Done}}}
		if ended {
			a.Ended, a.Outcome = time.Now(), assure.Done
		}
		return a
	}
	for _, ended := range []bool{false, true} {
		tell(attempt(1, "one", ended))
		tell(attempt(2, "two", ended))
	}
	if text := out.String(); strings.Index(text, "one.example.com") > strings.Index(text, "of two") || strings.Count(text, "of one") != 1 || strings.Count(text, "one.example.com") != 1 {
		t.Errorf("the lines of two certificates are mixed:\n%s", text)
	}
}

// Whoever can see nothing of DNS does not know that renewal is cut, or would not work.
func TestWithoutSight(t *testing.T) {
	g := newProvingGround(t)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetReply(q)) })}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ActivateAndServe() }()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	data, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	blind := regexp.MustCompile(`(?m)^dns: .*$`).ReplaceAllString(string(data), fmt.Sprintf("dns: {servers: [%q]}", conn.LocalAddr()))
	if err := os.WriteFile(g.file, []byte(blind), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := g.run(exitUnknown, "rehearse", "-c", g.file, "shop")
	says(t, out, "L0", "L3", "could not be determined in", "Whether the next renewal of shop would work could not be determined: the resolvers that are asked", "Let this machine reach a resolver that answers")
	if strings.Contains(out, "would not work") || strings.Contains(out, "did not work") {
		t.Errorf("what was not seen is called a failure:\n%s", out)
	}
	out, _ = g.run(exitUnknown, "prove", "-c", g.file, "--settle", "0s", "--timeout", "1s", "--interval", "300ms")
	says(t, out, "? Whether shop can be renewed could not be determined: the resolvers that are asked ("+conn.LocalAddr().String()+") are blind", "Let this machine reach a resolver that answers")
	if strings.Contains(out, "Renewal is cut") || strings.Contains(out, "may be seen only in some minutes") {
		t.Errorf("it says more than it knows:\n%s", out)
	}
}
