package main

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The founding incident comes out differently: act 1 is the outage as it was, and in act 2 the guard refuses the plan, one
// page names the cause before anything is due, the failed renewal joins it, and proof closes it with nobody refused.
func TestTheIncidentIsReplayed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	said := &paper{}
	cmd := command(said)
	cmd.SetArgs([]string{"incident", "--browser=false", "--listen", "127.0.0.1:0", "--speed", "3"})
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		t.Fatalf("%v; it said:\n%s", err, said)
	}
	acts := strings.SplitN(said.String(), "ACT 2", 2)
	if len(acts) != 2 {
		t.Fatalf("there are no two acts:\n%s", said)
	}
	for n, scenes := range [][]string{
		{
			`The review approves it`, `The role assignment|the role assignment`, `which nobody reads: .*AuthorizationFailed`, `every client is refused`, `2 of 2 services are up`,
			`People find it: [1-9]`, `the new certificates are in service`,
		},
		{
			`notafter guard`, `LOST`, `moved|Keep`, `It is applied all the same`, `PAGE, .*may not write challenge records: .*Microsoft\.Network/dnsZones/TXT/`, `hosted.*docs|docs.*hosted`, `Ana acknowledges`,
			`It joins incident`, `seen on all four addresses`, `is resolved: Everything it touched was proven`, `Clients are refused +[0-9]+ hours.*never, in [0-9]+ visits`, `Lead time gained: 1[67] days`,
			`Nothing is left behind`,
		},
	} {
		for _, want := range scenes {
			if !regexp.MustCompile(want).MatchString(acts[n]) {
				t.Errorf("act %d does not show %q:\n%s", n+1, want, acts[n])
			}
		}
	}
	leftNothing(t, dir)
}

func TestWrongIncidents(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--act", "3"}, {"--speed", "0"}, {"--speed", "99"}, {"--speed", "NaN"}, {"curtain"}} {
		cmd := command(&paper{})
		cmd.SetArgs(append([]string{"incident", "--browser=false"}, args...))
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q is played", args)
		}
	}
}

// A play that is interrupted in either act has not shown what it would have, and leaves nothing behind all the same.
func TestTheIncidentIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for act, scene := range map[string]string{"1": "ACT 1", "2": "Dashboard:"} {
		said := &paper{}
		cmd := command(said)
		cmd.SetArgs([]string{"incident", "--browser=false", "--listen", "127.0.0.1:0", "--speed", "4", "--act", act})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- cmd.ExecuteContext(ctx) }()
		until(t, time.Minute, said, scene, func() bool { return strings.Contains(said.String(), scene) })
		cancel()
		if err := <-ended; err != errInterrupted { //nolint:errorlint // nothing is joined with it when all is taken away
			t.Errorf("act %s ended with %v", act, err)
		}
		if !strings.Contains(said.String(), "Interrupted. Nothing is left behind.") {
			t.Errorf("it said:\n%s", said)
		}
		leftNothing(t, dir)
	}
}
