package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/e2e/provider"
	"github.com/notafter/notafter/internal/lab/arm"
)

// Who applies changes: an owner of the subscription, and nobody whom renewal needs.
const (
	deployerClient = "de910000-0000-4000-8000-000000000001"
	deployerObject = "de910000-0000-4000-8000-000000000002"
	deployerSecret = "the deployer's secret"
)

// cloud starts an empty Azure.
func cloud(t *testing.T) *arm.Server {
	t.Helper()
	a, err := arm.Start(arm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a
}

// workspace is a directory with code, and everything that OpenTofu needs to apply it to an Azure.
type workspace struct {
	t     *testing.T
	azure *arm.Server
	dir   string
	env   []string
}

// open makes an empty workspace for an Azure, with a provider of its own.
func open(t *testing.T, a *arm.Server) *workspace { return openWith(t, a, provider.Azure{}) }

// openWith is open with settings of the provider.
func openWith(t *testing.T, a *arm.Server, p provider.Azure) *workspace {
	t.Helper()
	a.AddPrincipal(deployerClient, deployerObject, deployerSecret)
	a.Assign(deployerObject, arm.Owner, "/subscriptions/"+a.Subscription())
	p.URL, p.Tenant, p.Subscription, p.ClientID, p.Secret = a.PlainURL(), a.Tenant(), a.Subscription(), deployerClient, deployerSecret
	reattach, stop, err := provider.Start(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	home := t.TempDir()
	// No mirror of providers and no registry: what is not attached cannot be had.
	settings := filepath.Join(home, "tofurc")
	if err := os.WriteFile(settings, []byte("provider_installation {\n  filesystem_mirror {\n    path = \""+home+"\"\n  }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &workspace{t: t, azure: a, dir: t.TempDir(), env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + os.TempDir(), "TF_REATTACH_PROVIDERS=" + reattach, "TF_CLI_CONFIG_FILE=" + settings,
		"TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1",
	}}
}

// requires says where the provider comes from; head is what the code of a workspace begins with.
const requires = `
terraform {
  required_providers {
    azurerm = {
      source = "hashicorp/azurerm"
    }
  }
}
`

const head = requires + `
provider "azurerm" {
  subscription_id = "` + arm.LabSubscription + `"
  features {}
}
`

// write makes the code of the workspace: main.tf, and modules in directories of their own by the names of modules.
func (w *workspace) write(code string, modules map[string]string) {
	w.t.Helper()
	files := map[string]string{"main.tf": head + code}
	for name, code := range modules {
		files[filepath.Join(name, "main.tf")] = requires + code
	}
	for name, text := range files {
		name = filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	w.must("init", "-no-color")
}

// tofu runs OpenTofu in the workspace and returns its exit status with everything that it said.
func (w *workspace) tofu(args ...string) (int, string, []byte) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, tools.tofu, args...) //nolint:gosec // built by the toolbox
	cmd.Dir, cmd.Env = w.dir, w.env
	var out bytes.Buffer
	var all logged // both streams at once
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &all), &all
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("run tofu %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), all.text(), out.Bytes()
}

// must is tofu for what has to work.
func (w *workspace) must(args ...string) []byte {
	w.t.Helper()
	status, said, out := w.tofu(args...)
	if status != 0 {
		w.t.Fatalf("tofu %s ended with status %d:\n%s", strings.Join(args, " "), status, said)
	}
	return out
}

// plan plans what the code says and returns the plan in JSON. With broken, planning has to fail, and what is returned is
// as much of a plan as there is.
func (w *workspace) plan(broken bool, args ...string) []byte {
	w.t.Helper()
	status, said, _ := w.tofu(append([]string{"plan", "-no-color", "-out=plan.bin"}, args...)...)
	if (status != 0) != broken {
		w.t.Fatalf("tofu plan ended with status %d:\n%s", status, said)
	}
	return w.must("show", "-json", "plan.bin")
}

// apply applies the last plan.
func (w *workspace) apply() (int, string) {
	w.t.Helper()
	status, said, _ := w.tofu("apply", "-no-color", "plan.bin")
	return status, said
}

// converge plans and applies the code, which has to work.
func (w *workspace) converge() {
	w.t.Helper()
	w.plan(false)
	if status, said := w.apply(); status != 0 {
		w.t.Fatalf("tofu apply ended with status %d:\n%s", status, said)
	}
}

// verdict is what the guard says.
type verdict struct {
	Class    string `json:"verdict"`
	Findings []struct {
		Class     string `json:"class"`
		Address   string `json:"address"`
		Principal string `json:"principal"`
		Scope     string `json:"scope"`
		Summary   string `json:"summary"`
		Repair    string `json:"repair"`
	} `json:"findings"`
	raw string
}

// lines are the findings, one a line: class and address.
func (v verdict) lines() string {
	var out strings.Builder
	for _, f := range v.Findings {
		out.WriteString(strings.TrimSpace(f.Class+" "+f.Address) + "\n")
	}
	return out.String()
}

// notafter runs the program in the workspace, with what it reads, and returns its exit status and what it printed and said.
func (w *workspace) notafter(in []byte, args ...string) (status int, printed, said string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), tools.notafter, args...) //nolint:gosec // built by the toolbox
	cmd.Dir, cmd.Env, cmd.Stdin = w.dir, w.env, bytes.NewReader(in)
	var out bytes.Buffer
	var all logged // both streams at once
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, &all), &all
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("run notafter %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), all.text()
}

// guard has the program judge a plan, as a pipe in a shell would, and returns its exit status and verdict.
func (w *workspace) guard(plan []byte) (int, verdict) {
	w.t.Helper()
	status, printed, said := w.notafter(plan, "guard", "--output", "json", "-")
	v := verdict{raw: printed}
	if err := json.Unmarshal([]byte(printed), &v); err != nil {
		w.t.Fatalf("the verdict is no JSON: %v\n%s", err, said)
	}
	return status, v
}

// statuses are the exit statuses of the guard's contract; every other class is 1.
var statuses = map[string]int{"safe": 0, "unknown": 3, "incomplete": 3}

func statusOf(class string) int {
	if s, ok := statuses[class]; ok {
		return s
	}
	return 1
}

// grants are the role assignments in Azure that are not the deployer's.
func grants(a *arm.Server) (out []arm.Assignment) {
	for _, g := range a.Assignments() {
		if g.Principal != deployerObject {
			out = append(out, g)
		}
	}
	return out
}
