package housetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// plans that the recipes are tried with.
const (
	harmlessPlan = `{"format_version":"1.2","terraform_version":"1.13.5","resource_changes":[{"address":"azurerm_storage_account.old","mode":"managed","type":"azurerm_storage_account",
"name":"old","provider_name":"registry.terraform.io/hashicorp/azurerm","change":{"actions":["delete"],"before":{"id":"/s"},"after":null,"after_unknown":{}}}]}`
	// The address tries to give the runner of GitHub's actions a command and the pull request a mention.
	fatalPlan = `{"format_version":"1.2","terraform_version":"1.13.5","resource_changes":[{"address":"azurerm_role_assignment.cm[\"\n::error::@all \"]","mode":"managed","type":"azurerm_role_assignment",
"name":"cm","provider_name":"registry.terraform.io/hashicorp/azurerm","change":{"actions":["delete"],"before":{"id":"/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/a",
"scope":"/subscriptions/s/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.com","role_definition_name":"DNS Zone Contributor",
"principal_id":"0b1ec700-0000-4000-8000-000000000001"},"after":null,"after_unknown":{}}}]}`
	halfPlan = `{"format_version":"1.2","terraform_version":"1.13.5","resource_changes":[],"errored":true}`
)

// place is a directory with plans, the real program, and stand-ins for terraform and gh on its path.
type place struct {
	t      *testing.T
	dir    string
	status int
	out    string // standard output and error
}

func newPlace(t *testing.T) *place {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: t.TempDir()}
	p.write("harmless.json", harmlessPlan)
	p.write("fatal.json", fatalPlan)
	p.write("half.json", halfPlan)
	p.write("broken.json", "{")
	p.write("harmless.tfplan", "PK\x03\x04 harmless")
	p.write("fatal.tfplan", "PK\x03\x04 fatal")
	p.write("bad.tfplan", "PK\x03\x04 bad")
	p.write("bin/terraform", "#!/bin/sh\n[ \"$1 $2\" = \"show -json\" ] || exit 9\ncat \"${3%.tfplan}.json\"\n")
	// gh answers with the number in the file comment-id, and keeps what it was asked and given.
	p.write("bin/gh", `#!/bin/sh
echo "$*" >> gh.log
[ ! -e gh.fails ] || exit 1
case "$*" in
*--method*) for a; do case $a in body=@*) cat "${a#body=@}" > gh.body ;; esac; done ;;
*) cat comment-id 2>/dev/null; true ;;
esac
`)
	if err := os.Symlink(path, filepath.Join(p.dir, "bin", "notafter")); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

// read gives a file, empty when it is not there.
func (p *place) read(name string) string {
	b, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
	return string(b)
}

func (p *place) run(env []string, name string, args ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = p.dir
	cmd.Env = append([]string{"HOME=" + p.dir, "PATH=" + filepath.Join(p.dir, "bin") + ":" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("run %s: %v", name, err)
	}
	p.out, p.status = string(out), cmd.ProcessState.ExitCode()
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// answeredFor is an override of a finding, for the next ten days.
func answeredFor(fingerprint string) string {
	return "- {fingerprint: \"" + fingerprint + "\", by: Ana, reason: known, until: " + time.Now().UTC().AddDate(0, 0, 10).Format(time.DateOnly) + "}\n"
}

var fingerprintPattern = regexp.MustCompile(`fingerprint: "([0-9a-f]+)"`)

func TestTheActionIsWellMade(t *testing.T) {
	var action struct {
		Name, Description string
		Inputs            map[string]struct {
			Description string
			Required    bool
			Default     *string
		}
		Outputs map[string]struct{ Description, Value string }
		Runs    struct {
			Using string
			Steps []struct {
				ID, If, Run, Shell, Uses string
				Env, With                map[string]string
			}
		}
	}
	readYAML(t, "action.yml", &action)
	script, err := os.ReadFile(filepath.Join(root(t), "contrib", "ci", "github.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if action.Name == "" || action.Description == "" || len(action.Description) > 125 || action.Runs.Using != "composite" {
		t.Errorf("the head of the action: %+v", action)
	}
	text, given := "", map[string]bool{}
	for _, s := range action.Runs.Steps {
		text += s.If + " "
		for name, v := range s.Env {
			text += v + " "
			given[name] = true
		}
		for _, v := range s.With {
			text += v + " "
		}
		if s.Run != "" && s.Shell == "" || s.Run == "" && !regexp.MustCompile(`^[a-z-]+/[a-z-]+@`).MatchString(s.Uses) {
			t.Errorf("a step without shell, or that does nothing: %+v", s)
		}
		if strings.Contains(s.Run, "${{") {
			t.Errorf("an input would be read as shell: %s", s.Run)
		}
	}
	for name, in := range action.Inputs {
		if in.Description == "" || !in.Required && in.Default == nil || !strings.Contains(text, "inputs."+name+" ") {
			t.Errorf("the input %s has no description or default, or nobody uses it: %+v", name, in)
		}
	}
	for name, o := range action.Outputs {
		if o.Description == "" || o.Value != "${{ steps.guard.outputs."+name+" }}" || !strings.Contains(string(script), `"`+name+"=") {
			t.Errorf("the output %s: %+v", name, o)
		}
	}
	for _, name := range regexp.MustCompile(`GUARD_[A-Z]+`).FindAllString(string(script), -1) {
		if !given[name] {
			t.Errorf("the script reads %s, which the action does not set", name)
		}
	}
}

func TestTheActionJudgesPlans(t *testing.T) {
	script := filepath.Join(root(t), "contrib", "ci", "github.sh")
	const mark = "<!-- notafter guard -->\n"
	for name, c := range map[string]struct {
		plan    string
		env     []string
		prepare func(*place)
		status  int
		verdict string
		call    string // what gh is asked to write, if anything
		said    string
	}{
		"untouched":                  {plan: "harmless.json", verdict: "safe"},
		"untouched now":              {plan: "harmless.json", verdict: "safe", prepare: func(p *place) { p.write("comment-id", "77\n78\n") }, call: "PATCH repos/o/r/issues/comments/77"},
		"refused":                    {plan: "fatal.json", status: 1, verdict: "lost", call: "POST repos/o/r/issues/12/comments", said: "Renewal of certificates would break (lost)"},
		"refused again":              {plan: "fatal.json", status: 1, verdict: "lost", prepare: func(p *place) { p.write("comment-id", "77\n") }, call: "PATCH repos/o/r/issues/comments/77"},
		"refused, as a saved plan":   {plan: "fatal.tfplan", status: 1, verdict: "lost", call: "POST repos/o/r/issues/12/comments"},
		"untouched, as a saved plan": {plan: "harmless.tfplan", verdict: "safe"},
		"not enough said":            {plan: "half.json", status: 3, verdict: "incomplete", call: "POST repos/o/r/issues/12/comments", said: "does not say enough"},
		"no plan in JSON":            {plan: "broken.json", status: 2, said: "could not be judged"},
		"no plan in JSON, after one that was": {
			plan: "broken.json", status: 2, said: "could not be judged", prepare: func(p *place) { p.write("comment-id", "77\n") }, call: "PATCH repos/o/r/issues/comments/77",
		},
		"a saved plan that is not shown":  {plan: "bad.tfplan", status: 2, said: "could not be shown"},
		"no plan at all":                  {plan: "none.json", status: 2, said: "There is no plan to judge"},
		"an inventory that cannot be had": {plan: "harmless.json", env: []string{"GUARD_INVENTORY=none.json"}, status: 2, said: "could not be judged"},
		"a comment that cannot be written": {
			plan: "fatal.json", status: 1, verdict: "lost", prepare: func(p *place) { p.write("gh.fails", "") }, said: "::warning title=notafter guard::The comment could not be written",
		},
		"no comment wished":    {plan: "fatal.json", env: []string{"GUARD_COMMENT=false"}, status: 1, verdict: "lost"},
		"no pull request":      {plan: "fatal.json", env: []string{"GITHUB_REF=refs/heads/main"}, status: 1, verdict: "lost"},
		"answered for":         {plan: "fatal.json", prepare: func(p *place) { p.write(".notafter-overrides.yaml", answeredFor(fatalFingerprint(p))) }, verdict: "safe", call: "POST repos/o/r/issues/12/comments"},
		"answered for by name": {plan: "fatal.json", env: []string{"GUARD_OVERRIDES=o.yaml"}, prepare: func(p *place) { p.write("o.yaml", answeredFor(fatalFingerprint(p))) }, verdict: "safe", call: "POST repos/o/r/issues/12/comments"},
		"answered for beside a saved plan": {
			plan: "sub/fatal.tfplan", verdict: "safe", call: "POST repos/o/r/issues/12/comments",
			prepare: func(p *place) {
				p.write("sub/fatal.tfplan", "PK\x03\x04")
				p.write("sub/fatal.json", fatalPlan)
				p.write("sub/.notafter-overrides.yaml", answeredFor(fatalFingerprint(p)))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			if c.prepare != nil {
				c.prepare(p)
			}
			p.run(append([]string{
				"GUARD_PLAN=" + c.plan, "GITHUB_REF=refs/pull/12/merge", "GITHUB_REPOSITORY=o/r", "GITHUB_OUTPUT=output", "GITHUB_STEP_SUMMARY=summary.md", "GUARD_SARIF=guard.sarif", "RUNNER_TEMP=" + p.dir,
			}, c.env...), "bash", script)
			if p.status != c.status || !strings.Contains(p.out, c.said) {
				t.Errorf("status %d, want %d: %s", p.status, c.status, p.out)
			}
			written := ""
			for line := range strings.SplitSeq(p.read("gh.log"), "\n") {
				if _, rest, ok := strings.Cut(line, "--method "); ok {
					written = strings.Join(strings.Fields(rest)[:2], " ")
				}
			}
			if written != c.call {
				t.Errorf("gh wrote %q, want %q; asked: %s", written, c.call, p.read("gh.log"))
			}
			if c.call != "" && !strings.HasPrefix(p.read("gh.body"), mark) {
				t.Errorf("the comment: %s", p.read("gh.body"))
			}
			if c.status == 2 && !strings.Contains(p.read("summary.md"), "not judged") {
				t.Errorf("summary of what was not judged: %s", p.read("summary.md"))
			}
			if c.verdict != "" && p.read("output") != "verdict="+c.verdict+"\nstatus="+string(rune('0'+c.status))+"\n" {
				t.Errorf("outputs: %s", p.read("output"))
			}
			if c.verdict != "" && (!strings.HasPrefix(p.read("summary.md"), mark) || !strings.Contains(p.read("guard.sarif"), `"version": "2.1.0"`)) {
				t.Errorf("summary: %s\nSARIF: %s", p.read("summary.md"), p.read("guard.sarif"))
			}
			if left, _ := filepath.Glob(filepath.Join(p.dir, "notafter-guard.*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			obeyed(t, p.out)
		})
	}
}

// obeyed fails when the runner of GitHub's actions would take a command from what is not ours: it looks at the beginning
// of each line, spaces aside, while it is not told to stop.
func obeyed(t *testing.T, out string) {
	t.Helper()
	token := ""
	for line := range strings.SplitSeq(out, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case token != "":
			if line == "::"+token+"::" {
				token = ""
			}
		case strings.HasPrefix(line, "::stop-commands::"):
			token = strings.TrimPrefix(line, "::stop-commands::")
		case strings.HasPrefix(line, "::") && !strings.HasPrefix(line, "::error title=notafter guard::") && !strings.HasPrefix(line, "::warning title=notafter guard::"):
			t.Errorf("the runner obeys %q", line)
		}
	}
	if token != "" {
		t.Error("commands stay stopped")
	}
}

func fatalFingerprint(p *place) string {
	out := notafter(p.t, p.dir, nil, "guard", filepath.Join(p.dir, "fatal.json"))
	m := fingerprintPattern.FindStringSubmatch(out.stdout)
	if m == nil {
		p.t.Fatalf("no fingerprint: status %d: %s%s", out.code, out.stdout, out.stderr)
	}
	return m[1]
}

// Several plans of one pull request have a comment each.
func TestTheActionTellsPlansApart(t *testing.T) {
	p := newPlace(t)
	p.run([]string{"GUARD_PLAN=fatal.json", "GITHUB_REF=refs/pull/12/merge", "GITHUB_REPOSITORY=o/r", "GUARD_NAME=infra/eu\n\"$(x)", "RUNNER_TEMP=" + p.dir}, "bash", filepath.Join(root(t), "contrib", "ci", "github.sh"))
	if body := p.read("gh.body"); p.status != 1 || !strings.HasPrefix(body, "<!-- notafter guard: infra/eux -->\nPlan `infra/eux`:\n\n### ") {
		t.Errorf("status %d: %s\n%s", p.status, body, p.out)
	}
	if log := p.read("gh.log"); !strings.Contains(log, `startswith("<!-- notafter guard: infra/eux -->")`) {
		t.Errorf("gh was asked %s", log)
	}
}

func TestTheGitLabRecipe(t *testing.T) {
	var file struct {
		Guard struct {
			Variables map[string]string
			Script    []string
		} `yaml:".notafter-guard"`
	}
	readYAML(t, "contrib/ci/gitlab-ci.yml", &file)
	if len(file.Guard.Script) < 2 {
		t.Fatalf("the recipe is %+v", file)
	}
	for plan, want := range map[string]int{"harmless.tfplan": 0, "fatal.tfplan": 1, "half.tfplan": 3, "bad.tfplan": 2, "none.tfplan": 1} {
		p := newPlace(t)
		p.write("half.tfplan", "PK")
		env := []string{}
		for k, v := range file.Guard.Variables {
			env = append(env, k+"="+v)
		}
		// The shell of GitLab's runner stops at the first line that does not succeed, and looks at every part of a pipe.
		p.run(append(env, "PLAN="+plan), "bash", "-e", "-o", "pipefail", "-c", strings.Join(file.Guard.Script, "\n"))
		if p.status != want {
			t.Errorf("%s: status %d, want %d: %s", plan, p.status, want, p.out)
		}
		if want == 1 && plan == "fatal.tfplan" && (!strings.Contains(p.read("guard.md"), "**LOST**") || !strings.Contains(p.out, "LOST  ")) {
			t.Errorf("%s: %s\n%s", plan, p.out, p.read("guard.md"))
		}
	}
}

func TestTheAtlantisRecipe(t *testing.T) {
	var file struct {
		Workflows map[string]struct {
			PolicyCheck struct {
				Steps []any
			} `yaml:"policy_check"`
		}
		Repos []struct {
			Workflow          string
			PolicyCheck       bool `yaml:"policy_check"`
			CustomPolicyCheck bool `yaml:"custom_policy_check"`
		}
	}
	readYAML(t, "contrib/ci/atlantis-repos.yaml", &file)
	w, ok := file.Workflows[file.Repos[0].Workflow]
	if !ok || !file.Repos[0].PolicyCheck || !file.Repos[0].CustomPolicyCheck || len(w.PolicyCheck.Steps) != 2 || w.PolicyCheck.Steps[0] != "show" {
		t.Fatalf("the recipe is %+v", file)
	}
	step, _ := w.PolicyCheck.Steps[1].(map[string]any)
	run, _ := step["run"].(string)
	for plan, want := range map[string]int{"harmless.json": 0, "fatal.json": 1, "half.json": 3, "broken.json": 2, "none.json": 2} {
		p := newPlace(t)
		p.run([]string{"SHOWFILE=" + filepath.Join(p.dir, plan)}, "sh", "-c", run)
		if p.status != want || strings.Contains(strings.ToLower(p.out), "fail") != (want != 0) {
			t.Errorf("%s: status %d, want %d, and \"fail\" said only then: %s", plan, p.status, want, p.out)
		}
	}
}

// The script stands on what runners have: bash, and the tools of POSIX.
func TestTheScriptIsSoundShell(t *testing.T) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "bash", "-n", filepath.Join(root(t), "contrib", "ci", "github.sh"))
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%v: %s", err, &stderr)
	}
}
