package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/estate"
)

// terraform stands in for the real one: it shows the plan that it was given, and applies by doing what the test does when
// it is asked to.
type terraform struct {
	t    *testing.T
	dir  string // what it and the test tell each other
	path string // the command
	plan string // the plan file
}

const terraformScript = `#!/bin/sh
dir=%q
echo "$*" >> "$dir/asked"
case "$*" in
*"show -json "*)
	cat "$dir/plan.json"
	if [ -e "$dir/tamper" ]; then echo changed >> "$dir/plan.tfplan"; fi
	if [ -e "$dir/juggle" ]; then mv "$dir/plan.tfplan" "$dir/kept"; echo other > "$dir/plan.tfplan"; mv "$dir/kept" "$dir/plan.tfplan"; fi
	;;
*refresh-only*)
	echo "Refreshing"
	for a in "$@"; do case "$a" in -out=*) : > "${a#-out=}" ;; esac; done
	if [ -e "$dir/broken" ]; then exit 1; fi
	;;
*apply*)
	trap 'echo "got a signal" >> "$dir/signals"; exit 130' INT TERM
	echo "Applying"
	: > "$dir/applying"
	while [ ! -e "$dir/go" ]; do sleep 0.05; done
	exit "$(cat "$dir/go")"
	;;
esac
`

func newTerraform(t *testing.T, changes ...any) *terraform {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("it is a script for a POSIX shell")
	}
	f := &terraform{t: t, dir: t.TempDir()}
	f.path, f.plan = filepath.Join(f.dir, "terraform"), filepath.Join(f.dir, "plan.tfplan")
	f.write("terraform", fmt.Sprintf(terraformScript, f.dir), 0o700)
	f.write("plan.tfplan", "PK\x03\x04 a plan", 0o600)
	f.plans(changes...)
	return f
}

func (f *terraform) write(name, text string, mode os.FileMode) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), mode); err != nil {
		f.t.Fatal(err)
	}
}

// plans changes what the plan holds.
func (f *terraform) plans(changes ...any) {
	f.t.Helper()
	data, err := os.ReadFile(writePlan(f.t, changes, nil))
	if err != nil {
		f.t.Fatal(err)
	}
	f.write("plan.json", string(data), 0o600)
}

// applies lets the next apply do something and end with a status. The result says whether it was asked to apply.
func (f *terraform) applies(exit int, do func()) (was func() bool) {
	for _, name := range []string{"go", "applying", "asked"} {
		_ = os.Remove(filepath.Join(f.dir, name))
	}
	stop, done := make(chan struct{}), make(chan struct{})
	applied := false
	go func() {
		defer close(done)
		for {
			if _, err := os.Stat(filepath.Join(f.dir, "applying")); err == nil {
				break
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		applied = true
		do()
		tmp := filepath.Join(f.dir, "go.tmp")
		_ = os.WriteFile(tmp, []byte(fmt.Sprint(exit)), 0o600)
		_ = os.Rename(tmp, filepath.Join(f.dir, "go"))
	}()
	return func() bool {
		close(stop)
		<-done
		return applied
	}
}

// grantOf is the renewer's grant as the provider azurerm has it in a plan.
func (g *provingGround) grantOf(action string) map[string]any {
	zone := g.Azure.ZoneScope(estate.Group, estate.AzureZone)
	return planned("azurerm_role_assignment", "cm", map[string]any{
		"id": zone + "/providers/Microsoft.Authorization/roleAssignments/1", "principal_id": estate.ObjectID, "scope": zone, "role_definition_name": "DNS Zone Contributor",
		"role_definition_id": "/providers/Microsoft.Authorization/roleDefinitions/" + estate.ContributorRole,
	}, action)
}

func TestApply(t *testing.T) {
	g := newProvingGround(t)
	g.run(exitUpheld, "renew", "-c", g.file, "shop")
	f := newTerraform(t)
	file := filepath.Join(t.TempDir(), "record.json")
	var r record
	apply := func(want int, extra ...string) (said string) {
		t.Helper()
		args := append([]string{"apply", "-c", g.file, "--settle", "0s", "--timeout", "1s", "--interval", "500ms", "--record", file}, extra...)
		out, errs := g.run(want, append(args, "--", f.path, "apply", "-input=false", f.plan)...)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r = record{}
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		return out + errs
	}
	recorded := func(outcome, class string, applied bool, exit int, proven assure.Verdict) {
		t.Helper()
		switch {
		case r.Outcome != outcome, r.Guard == nil || string(r.Guard.Class) != class, (r.Apply != nil) != applied, applied && (r.Apply.Exit == nil || *r.Apply.Exit != exit),
			(r.Proof != nil) != (proven != ""), r.Proof != nil && r.Proof.Verdict != proven:
			t.Errorf("the record is %+v", r)
		}
	}

	was := f.applies(0, func() {})
	said := apply(exitUpheld)
	says(t, said, "notafter: guard: safe, plan plan.tfplan", "Applying", "✓ Renewal works after", "proven: guard safe, apply status 0, renewal upheld")
	recorded("proven", "safe", was(), 0, assure.Upheld)
	data, err := os.ReadFile(f.plan)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); r.Plan.SHA256 != hex.EncodeToString(sum[:]) || r.Plan.Tool != "terraform" {
		t.Errorf("the record is of another plan: %+v", r.Plan)
	}

	// A plan that deletes the grant is refused, and nothing is applied.
	f.plans(g.grantOf("delete"))
	was = f.applies(0, g.Revoke)
	says(t, apply(exitBroken), "azurerm_role_assignment.cm", "shop", "not applied: guard refuses the plan")
	if was() {
		t.Fatal("what was refused was applied")
	}
	recorded("refused", "lost", false, 0, "")

	// Somebody answers for it. The proof fails all the same, with the words of the incident.
	overrides := filepath.Join(t.TempDir(), "overrides.yaml")
	text := fmt.Sprintf("- fingerprint: %s\n  by: Ana\n  reason: a test of what becomes of it\n  until: %s\n", r.Guard.Findings[0].Fingerprint, time.Now().AddDate(0, 1, 0).Format("2006-01-02"))
	if err := os.WriteFile(overrides, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	was = f.applies(0, g.Revoke)
	says(t, apply(exitBroken, "--overrides", overrides), "✗ Renewal is cut: shop", "is refused Microsoft.Network/dnsZones/TXT/", "cut: guard safe, apply status 0, renewal broken")
	recorded("cut", "safe", was(), 0, assure.Broken)
	g.Grant()

	// An apply that failed is proven as well: it may have failed half-way.
	f.plans(g.grantOf("no-op"))
	was = f.applies(7, g.Revoke)
	says(t, apply(7), "apply: status 7", "✗ Renewal is cut: shop")
	recorded("cut", "safe", was(), 7, assure.Broken)
	g.Grant()
	was = f.applies(7, func() {})
	says(t, apply(7), "✓ Renewal works after", "failed: guard safe, apply status 7, renewal upheld")
	recorded("failed", "safe", was(), 7, assure.Upheld)

	// Somebody puts another plan in the place of the one that is judged.
	f.write("tamper", "", 0o600)
	was = f.applies(0, g.Revoke)
	says(t, apply(exitBroken), "not applied: the plan file", "changed while it was judged")
	if was() || r.Outcome != "not_applied" || !strings.Contains(r.Why, "changed while it was judged") {
		t.Errorf("another plan than the one that was judged was applied: %+v", r)
	}
	if err := os.Remove(filepath.Join(f.dir, "tamper")); err != nil {
		t.Fatal(err)
	}

	// And takes it away again, so that to the byte it is the same.
	f.write("juggle", "", 0o600)
	f.plans(g.grantOf("no-op"))
	was = f.applies(0, g.Revoke)
	says(t, apply(exitBroken), "not applied: the plan file", "was written, moved or touched while it was judged")
	if was() {
		t.Error("applied, although another plan may have been judged")
	}
	if err := os.Remove(filepath.Join(f.dir, "juggle")); err != nil {
		t.Fatal(err)
	}
	// Or does that while it is applied: then the record has it.
	var during record
	was = f.applies(0, func() {
		kept := filepath.Join(f.dir, "kept")
		data, err := os.ReadFile(file)
		if err := errors.Join(err, json.Unmarshal(data, &during), os.Rename(f.plan, kept), os.WriteFile(f.plan, []byte("PK"), 0o600), os.Rename(kept, f.plan)); err != nil {
			t.Error(err)
		}
	})
	says(t, apply(exitUnknown), "✓ Renewal works after", "the plan file is not the one that was judged any more", "unproven: guard safe")
	if !was() || r.Outcome != "unproven" || !r.Apply.Changed {
		t.Errorf("a plan that was swapped and swapped back is %+v", r)
	}
	// Whoever kills notafter meanwhile finds in the record that it was being applied, and no status.
	if during.Outcome != "applying" || during.Guard == nil || during.Plan.SHA256 != r.Plan.SHA256 || during.Apply == nil || during.Apply.Started.IsZero() || !during.Apply.Ended.IsZero() || during.Apply.Exit != nil {
		t.Errorf("while it was applied, the record was %+v, %+v", during, during.Apply)
	}

	// What cannot be read is not applied.
	f.write("plan.json", "{", 0o600)
	was = f.applies(0, g.Revoke)
	says(t, apply(exitUsage), "not applied: terraform show -json")
	if was() {
		t.Error("what could not be read was applied")
	}

	// Where the record can be written no more once it is applied, renewal is not said to be cut for that.
	f.plans(g.grantOf("no-op"))
	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	was = f.applies(0, func() { _ = os.RemoveAll(gone) })
	_, errs := g.run(exitUnknown, "apply", "-c", g.file, "--settle", "0s", "--timeout", "1s", "--record", filepath.Join(gone, "record.json"), "--", f.path, "apply", f.plan)
	says(t, errs, "proven: guard safe", "proven, but the record could not be written: ")
	if !was() {
		t.Error("it was not applied")
	}

	// In another directory, where the file's name is short; through the server, which knows more than the configuration.
	f.plans(g.grantOf("delete"))
	server := g.serve()
	was = f.applies(0, g.Revoke)
	out, _ := g.run(exitBroken, "apply", "--server", server, "--", f.path, "-chdir="+f.dir, "apply", "plan.tfplan")
	says(t, out, "azurerm_role_assignment.cm", "shop")
	if was() {
		t.Error("what was refused was applied")
	}
	asked, err := os.ReadFile(filepath.Join(f.dir, "asked"))
	if err != nil || strings.TrimSpace(string(asked)) != "-chdir="+f.dir+" show -json plan.tfplan" {
		t.Errorf("it was asked %q, %v", asked, err)
	}
}

// An interruption is passed on once, waited for, and what it left is proven. A connection that is lost does as much: the
// command is not left alone with what it applies.
func TestApplyPassesSignalsOn(t *testing.T) {
	g := newProvingGround(t)
	g.run(exitUpheld, "renew", "-c", g.file, "shop")
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) { g.passesOn(t, s) })
	}
}

func (g *provingGround) passesOn(t *testing.T, s syscall.Signal) {
	f := newTerraform(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	notafter := filepath.Join(t.TempDir(), "notafter") // the test's program is notafter under this name
	if err := os.Symlink(self, notafter); err != nil {
		t.Fatal(err)
	}
	// Whoever runs the tests may ignore the signal, as nohup does, and children inherit that. What is caught here is not
	// ignored there.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, s)
	defer signal.Stop(caught)
	var said bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, notafter, "apply", "-c", g.file, "--settle", "0s", "--timeout", "1s", "--", f.path, "apply", f.plan)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	within(t, "an apply under way", func() bool {
		_, err := os.Stat(filepath.Join(f.dir, "applying"))
		return err == nil
	})
	if err := cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("status %d: %s", code, &said)
	}
	says(t, said.String(), "the command was interrupted; what it left is proven now", "✓ Renewal works after", "failed: guard safe, apply status 130")
	if data, err := os.ReadFile(filepath.Join(f.dir, "signals")); err != nil || string(data) != "got a signal\n" {
		t.Errorf("the command got %q, %v", data, err)
	}
}

func TestApplyRefusesWhatCannotBeJudged(t *testing.T) {
	g := &provingGround{t: t}
	f := newTerraform(t)
	other := filepath.Join(t.TempDir(), "other.tfplan")
	if err := os.WriteFile(other, []byte("PK\x03\x04"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.write("encrypted.tfplan", `{"encrypted": true}`, 0o600)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "which command? give it after --"},
		{[]string{f.path, "apply", f.plan}, "which command? give it after --"},
		{[]string{"--", f.path, "apply"}, "the command applies no saved plan: it would plan for itself"},
		{[]string{"--", f.path, "apply", "-auto-approve"}, "notafter apply -- terraform apply plan.tfplan"},
		{[]string{"--", f.path, "apply", filepath.Join(f.dir, "encrypted.tfplan")}, "an encrypted one is named by --plan"},
		{[]string{"--", f.path, "apply", "-auto-approve", "-var", "size=3"}, "it would plan for itself"},
		{[]string{"--", f.path, "apply", "nope.tfplan"}, "nope.tfplan is not there"},
		{[]string{"--", f.path, "-chdir=" + f.dir, "apply", "nope.tfplan"}, filepath.Join(f.dir, "nope.tfplan") + " is not there"},
		{[]string{"--", f.path, "apply", f.dir}, f.dir + " is a directory"},
		{[]string{"--", f.path, "apply", f.path}, f.path + " is no saved plan"},
		{[]string{"--", f.path, "destroy", f.plan}, "the command applies nothing"},
		{[]string{"--", "make", "apply"}, `"make" is none of terraform, tofu, terragrunt`},
		{[]string{"--plan", other, "--", f.path, "apply", f.plan}, "the command does not apply"},
		{[]string{"--plan", other + ".none", "--", f.path, "apply", f.plan}, "find the plan"},
	} {
		_, errs := g.run(exitUsage, append([]string{"apply"}, c.args...)...)
		says(t, errs, c.want)
	}
	// An encrypted plan that is named is one.
	encrypted := filepath.Join(f.dir, "encrypted.tfplan")
	if s, err := findPlan([]string{"tofu", "apply", encrypted}, encrypted); err != nil || s.file != encrypted {
		t.Errorf("found %+v, %v", s, err)
	}
	// Where nothing could be written down or proven afterwards, nothing is applied, and nothing is asked.
	_, errs := g.run(exitUsage, "apply", "--record", filepath.Join(f.dir, "none", "record.json"), "--", f.path, "apply", f.plan)
	says(t, errs, "not applied: write the record: ")
	_, errs = g.run(exitUsage, "apply", "--record", f.dir, "--", f.path, "apply", f.plan)
	says(t, errs, "not applied: write the record: "+f.dir+" is a directory")
	_, errs = g.run(exitUsage, "apply", "--record", f.plan, "--", f.path, "apply", f.plan)
	says(t, errs, "is the plan itself")
	was := f.applies(0, func() {})
	_, errs = g.run(exitUnknown, "apply", "--server", "http://127.0.0.1:1", "--", f.path, "apply", f.plan)
	says(t, errs, "not applied: ask 127.0.0.1:1")
	if was() {
		t.Error("it was applied")
	}
	// Nor is it known then that anything is cut, or gone.
	for _, ask := range []string{"prove", "drift", "rehearse"} {
		_, errs := g.run(exitUnknown, ask, "--server", "http://127.0.0.1:1")
		says(t, errs, "ask 127.0.0.1:1", "is notafter serving there?")
	}
}
