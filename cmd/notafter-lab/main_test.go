package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// paper is what the lab prints, read while it does.
type paper struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// open starts the command as a user does, and gives what it prints and what ends it.
func open(t *testing.T, args ...string) (said *paper, end func() error) {
	t.Helper()
	said = &paper{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cmd := command(said)
	cmd.SetArgs(append([]string{"--browser=false", "--listen", "127.0.0.1:0"}, args...))
	go func() { done <- cmd.ExecuteContext(ctx) }()
	end = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(time.Minute):
			return fmt.Errorf("it does not end; it said:\n%s", said)
		}
	})
	t.Cleanup(func() { _ = end() })
	return said, end
}

func until(t *testing.T, limit time.Duration, said *paper, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s; the lab said:\n%s", what, limit, said)
		}
	}
}

var dashboard = regexp.MustCompile(`Dashboard: (http://[0-9.:]+)`)

// renewals asks the lab's product how many renewals of a certificate have worked, and how its last rehearsals went.
func renewals(t *testing.T, base, name string) (worked int, rungs map[string]string) {
	t.Helper()
	res, err := http.Get(base + "/api/v1/certificates/" + name + "/renewal?limit=200") //nolint:noctx // it is on this machine
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var v struct {
		Ladder   []struct{ Rung, Outcome string }
		Attempts []struct{ Kind, Outcome string }
	}
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", res.Status, err)
	}
	for _, a := range v.Attempts {
		if a.Kind == "renewal" && a.Outcome == "done" {
			worked++
		}
	}
	rungs = map[string]string{}
	for _, l := range v.Ladder {
		rungs[l.Rung] = l.Outcome
	}
	return worked, rungs
}

// force has the certificate renewed now.
func force(t *testing.T, base, name string) {
	t.Helper()
	body := strings.NewReader(`{"force":true,"who":"the test"}`)
	res, err := http.Post(base+"/api/v1/certificates/"+name+"/renew", "application/json", body) //nolint:noctx // it is on this machine
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusAccepted {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %s", res.Status, b)
	}
}

// The README's first command: it comes up, everything that is renewed is issued, installed and seen in service, every rung
// of the ladder is climbed, a renewal that is asked for is made, and when it ends nothing is left on the machine.
func TestTheLabRenewsAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	said, end := open(t)
	base := ""
	until(t, time.Minute, said, "dashboard", func() bool {
		m := dashboard.FindStringSubmatch(said.String())
		if m != nil {
			base = m[1]
		}
		return m != nil
	})
	if strings.Contains(said.String(), "Nothing is renewed here") {
		t.Fatalf("it says:\n%s", said)
	}
	everywhere := func(times int) func() bool {
		return func() bool {
			for _, s := range renewedSites {
				name, _, _ := strings.Cut(s.names[0], ".")
				worked, rungs := renewals(t, base, name)
				for _, rung := range []string{"static", "permission", "canary", "authorization", "full"} {
					if worked < times || rungs[rung] != "done" {
						return false
					}
				}
			}
			return true
		}
	}
	until(t, 3*time.Minute, said, "certificate of everything, with every rung climbed", everywhere(1))
	until(t, 3*time.Minute, said, "word about it", func() bool { return strings.Contains(said.String(), "LAB: All 4 renewed certificates") })
	for _, s := range renewedSites {
		name, _, _ := strings.Cut(s.names[0], ".")
		force(t, base, name)
	}
	until(t, 3*time.Minute, said, "second certificate of everything", everywhere(2))
	for _, want := range []string{"portal", "notafter rehearse portal --server " + base, "notafter renew portal --force --server " + base} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if err := end(); err != nil {
		t.Errorf("it ended with: %v", err)
	}
	if !strings.Contains(said.String(), "nothing is left behind") {
		t.Errorf("it does not say that it is over:\n%s", said)
	}
	leftNothing(t, dir)
}

func leftNothing(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("left behind: %s", f.Name())
	}
}

// Without the part that renews there is only what the world serves.
func TestTheLabWithoutRenewal(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	said, end := open(t, "--no-renewal")
	until(t, 3*time.Minute, said, "first page", func() bool { return strings.Contains(said.String(), "[OUTAGE]") })
	if strings.Contains(said.String(), "portal") || strings.Contains(said.String(), "LAB:") {
		t.Errorf("something is renewed:\n%s", said)
	}
	if err := end(); err != nil {
		t.Errorf("it ended with: %v", err)
	}
	leftNothing(t, dir)
}
