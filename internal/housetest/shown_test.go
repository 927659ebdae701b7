package housetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildDir holds the binary once a test has asked for it.
var buildDir string

var binary = sync.OnceValues(func() (string, error) {
	top, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if buildDir, err = os.MkdirTemp("", "notafter-house"); err != nil {
		return "", err
	}
	path := filepath.Join(buildDir, "notafter")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./cmd/notafter")
	cmd.Dir = top
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build notafter: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

type outcome struct {
	stdout, stderr string
	code           int
}

// command is the real program, with nothing of this process's environment but what finding a home and a shell needs.
func command(ctx context.Context, t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, env...)
	return cmd
}

func notafter(t *testing.T, dir string, env []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, t, dir, env, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run notafter %q: %v", args, err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// block is one fenced block of a page.
type block struct {
	page, lang, text string
	line             int
}

var fenceLine = regexp.MustCompile("^( *)```([a-z]*)$")

// blocks gives the fenced blocks of all pages, without the indentation of the fence.
func blocks(t *testing.T, lang string) []block {
	t.Helper()
	var out []block
	walk(t, ".md", func(rel string, data []byte) {
		var open *block
		indent := ""
		for i, l := range strings.Split(string(data), "\n") {
			m := fenceLine.FindStringSubmatch(l)
			switch {
			case m != nil && open == nil:
				open, indent = &block{page: rel, lang: m[2], line: i + 1}, m[1]
			case m != nil:
				if open.lang == lang {
					out = append(out, *open)
				}
				open = nil
			case open != nil:
				open.text += strings.TrimPrefix(l, indent) + "\n"
			}
		}
		if open != nil {
			t.Errorf("%s:%d: this block is never closed", rel, open.line)
		}
	})
	if len(out) == 0 {
		t.Fatalf("no page has a block of %s", lang)
	}
	return out
}

// words splits a line of shell as far as the documentation goes: quotes, and no expansion.
func words(line string) []string {
	var out []string
	var w strings.Builder
	in, quote := false, rune(0)
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, in = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if in {
				out = append(out, w.String())
			}
			w.Reset()
			in = false
		default:
			w.WriteRune(r)
			in = true
		}
	}
	if in {
		out = append(out, w.String())
	}
	return out
}

// commands gives the simple commands of a block: comments, redirections and what stands between them taken out.
func commands(text string) [][]string {
	text = strings.ReplaceAll(text, "\\\n", " ")
	text = regexp.MustCompile(`(\||&&)\n`).ReplaceAllString(text, "$1 ")
	var out [][]string
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, " # ")
		var cmd []string
		flush := func() {
			if len(cmd) > 0 && cmd[0] == "sudo" {
				cmd = cmd[1:]
			}
			if len(cmd) > 0 {
				out = append(out, cmd)
			}
			cmd = nil
		}
		skip := false
		for _, w := range words(line) {
			switch {
			case skip:
				skip = false
			case w == "|" || w == "&&" || w == "||" || w == ";":
				flush()
			case w == ">" || w == ">>" || w == "<":
				skip = true
			case strings.HasPrefix(w, "</") || strings.HasPrefix(w, "2>"):
			default:
				cmd = append(cmd, w)
			}
		}
		flush()
	}
	return out
}

// TestCommandsShownExist holds every command of ours in the documentation against the real program and the Makefile.
func TestCommandsShownExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, b := range blocks(t, "sh") {
		for _, cmd := range commands(b.text) {
			where := fmt.Sprintf("%s:%d: %s", b.page, b.line, strings.Join(cmd, " "))
			switch {
			case cmd[0] == "notafter":
				checked++
				ours := cmd[1:]
				if i := slices.Index(ours, "--"); i >= 0 { // what follows is somebody else's command
					ours = ours[:i]
				}
				out := notafter(t, t.TempDir(), nil, append(slices.Clone(ours), "--help")...)
				if out.code != 0 {
					t.Errorf("%s: status %d: %s", where, out.code, out.stderr)
				} else if len(cmd) > 1 && !strings.HasPrefix(cmd[1], "-") && !strings.Contains(out.stdout, "notafter "+cmd[1]) {
					t.Errorf("%s: there is no such command", where)
				}
			case cmd[0] == "make":
				checked++
				for _, target := range cmd[1:] {
					if !strings.Contains(target, "=") && !bytes.Contains(makefile, []byte("\n"+target+":")) {
						t.Errorf("%s: the Makefile has no such target", where)
					}
				}
			case cmd[0] == "go" && len(cmd) > 2 && strings.HasPrefix(cmd[2], "./"):
				checked++
				if _, err := os.Stat(filepath.Join(root(t), cmd[2])); err != nil {
					t.Errorf("%s: there is no such package", where)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d commands were looked at: the pages are not read as they are written", checked)
	}
}

func TestCommandsAreReadAsShellDoes(t *testing.T) {
	got := commands("notafter check 'a b' \\\n  --at +30d # later\nsudo make install && ls >out | notafter check --targets - </dev/null\n")
	want := "[[notafter check a b --at +30d] [make install] [ls >out] [notafter check --targets -]]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestConfigurationsShownAreSound gives every configuration in the documentation to the real program. A page may show
// a part of a file: what is missing to make it whole is put around it.
func TestConfigurationsShownAreSound(t *testing.T) {
	checked := 0
	for _, b := range blocks(t, "yaml") {
		first, _, _ := strings.Cut(b.text, "\n")
		if strings.HasPrefix(first, "# prometheus.yml") || strings.HasPrefix(first, "# rules.yml") {
			continue // a file of somebody else's
		}
		if file := recipe(first); file != "" {
			if kept, err := os.ReadFile(filepath.Join(root(t), file)); err != nil || string(kept) != b.text {
				t.Errorf("%s:%d is not what stands in %s (%v)", b.page, b.line, file, err)
			}
			continue
		}
		if strings.HasPrefix(first, "# .notafter-overrides.yaml") {
			overridesShown(t, b)
			continue
		}
		checked++
		dir := t.TempDir()
		path := filepath.Join(dir, "notafter.yaml")
		if err := os.WriteFile(path, []byte(whole(b.text)), 0o600); err != nil {
			t.Fatal(err)
		}
		out := notafter(t, dir, nil, "config", "check", path)
		if out.code != 0 {
			t.Errorf("%s:%d: status %d: %s", b.page, b.line, out.code, out.stderr)
		}
	}
	if checked < 10 {
		t.Errorf("only %d configurations were looked at", checked)
	}
}

// recipe is the file of a recipe for a pipeline that a page shows, which is tried elsewhere; empty when it is none.
func recipe(first string) string {
	for begins, file := range map[string]string{
		"# .github/workflows/plan.yml": "contrib/ci/github-workflow.yml", "# .gitlab-ci.yml": "contrib/ci/gitlab-ci.yml", "# repos.yaml": "contrib/ci/atlantis-repos.yaml",
	} {
		if strings.HasPrefix(first, begins) {
			return file
		}
	}
	return ""
}

var datePattern = regexp.MustCompile(`\b20\d\d-\d\d-\d\d\b`)

// overridesShown gives overrides to the real program, with an end that is ahead.
func overridesShown(t *testing.T, b block) {
	t.Helper()
	dir := t.TempDir()
	text := datePattern.ReplaceAllString(b.text, time.Now().UTC().AddDate(0, 0, 10).Format(time.DateOnly))
	for name, text := range map[string]string{"overrides.yaml": text, "plan.json": harmlessPlan} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out := notafter(t, dir, nil, "guard", "--overrides", "overrides.yaml", "plan.json"); out.code != 0 {
		t.Errorf("%s:%d: status %d: %s", b.page, b.line, out.code, out.stderr)
	}
}

func whole(text string) string {
	has := func(key string) bool { return strings.HasPrefix(text, key+":") || strings.Contains(text, "\n"+key+":") }
	if !has("certificates") {
		text = "certificates:\n  - {name: shop, endpoints: [shop.example.com]}\n" + text
	}
	if !has("channels") {
		text += "channels:\n  chat: {slack: {url: \"env:SLACK_WEBHOOK\"}}\n"
	}
	return text
}

var metricName = regexp.MustCompile(`\bnotafter_[a-z_]+`)

// TestMetricsShownExist looks for each metric that the documentation names in the sources that declare them.
func TestMetricsShownExist(t *testing.T) {
	var src bytes.Buffer
	walk(t, ".go", func(rel string, data []byte) {
		if strings.HasPrefix(rel, "internal/web/") && !strings.HasSuffix(rel, "_test.go") {
			src.Write(data)
		}
	})
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "guides", "prometheus.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range metricName.FindAllString(string(page), -1) {
		if !bytes.Contains(src.Bytes(), []byte(`"`+name+`"`)) && !bytes.Contains(src.Bytes(), []byte(`"`+strings.TrimPrefix(name, "notafter_")+`"`)) {
			t.Errorf("docs/guides/prometheus.md names %s, which nothing declares", name)
		}
	}
}
