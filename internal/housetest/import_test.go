package housetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/notafter/notafter"

// room is one package and what it may import from this module. What is not listed is forbidden.
type room struct {
	path string // below the module
	// imports are the packages of this module that its ordinary files may import.
	imports []string
	// tests are those that its test files may import besides.
	tests []string
	// pure rooms import the standard library only, tests excepted.
	pure bool
	// planned rooms do not exist yet; the rule holds from the day they do.
	planned bool
	reason  string
}

// renewalLab is the part of the lab in which rooms that renew are tried.
var renewalLab = []string{"internal/lab", "internal/lab/arm", "internal/lab/authority", "internal/lab/zones"}

var rooms = []room{
	{
		path: "internal/assure", pure: true,
		reason: "the centre depends on nothing, so that a rule can be read, tested and trusted on its own",
	},
	{
		path: "internal/oncall", pure: true, planned: true,
		reason: "who is on call at a given time is arithmetic; it must not depend on how anybody is reached",
	},
	{
		path: "internal/config", imports: []string{"internal/assure"},
		reason: "the file is decoded into plain structs; what is built from them is decided in app, not in the decoder",
	},
	{
		path: "internal/patrol", imports: []string{"internal/assure"}, tests: []string{"internal/lab"},
		reason: "the patrol knows checks and ledgers as interfaces only, so that any of them can fail in a test",
	},
	{
		path: "internal/probe", imports: []string{"internal/assure"}, tests: []string{"internal/lab"},
		reason: "looking never judges, stores or tells: it brings back facts",
	},
	{
		path: "internal/notify", imports: []string{"internal/assure"}, tests: []string{"internal/lab"},
		reason: "telling people must work whatever else is broken",
	},
	{
		path: "internal/store", imports: []string{"internal/assure"}, tests: []string{"internal/lab"},
		reason: "the store keeps values and knows no room that makes or reads them",
	},
	{
		path: "internal/web", imports: []string{"internal/assure"}, tests: []string{"internal/lab"},
		reason: "pages show what is on record through a reader, so that showing can never change what is judged",
	},
	{
		path: "internal/permit", imports: []string{"internal/assure"}, tests: renewalLab,
		reason: "asking the clouds brings back answers, like any other look; what they mean is judged elsewhere",
	},
	{
		path: "internal/renew", imports: []string{"internal/assure"}, tests: renewalLab,
		reason: "renewal acts and reports; whether it is in time is judged elsewhere, and who writes, looks and installs is an interface that any of them can fail behind",
	},
	{
		path: "internal/renew/dnscheck", imports: []string{"internal/assure"}, tests: renewalLab,
		reason: "what the world can see in DNS is asked by code that knows nothing of who wrote it",
	},
	{
		path: "internal/renew/dnswriter", imports: []string{"internal/assure", "internal/renew/dnswriter/legochild"}, tests: renewalLab,
		reason: "a writer writes and withdraws; it takes from the child's room only the list of providers and the form of question and answer",
	},
	{
		path: "internal/renew/dnswriter/legochild", imports: []string{"internal/assure"}, tests: renewalLab,
		reason: "what runs in the child process holds one set of credentials and must not be able to reach the rest of the product",
	},
	{
		path: "internal/renew/install", imports: []string{"internal/assure"}, tests: renewalLab,
		reason: "putting a pair in place does not depend on where it came from",
	},
	{
		path: "internal/kube", imports: []string{"internal/assure", "internal/oncall"}, tests: []string{"internal/lab"}, planned: true,
		reason: "a cluster is one more source of declarations and facts",
	},
	{
		path: "internal/iac", imports: []string{"internal/assure"}, tests: []string{"internal/lab"},
		reason: "a plan is judged offline, from its own bytes and what it is told of the certificates; it can ask nobody and change nothing",
	},
	{
		path: "internal/lab", imports: []string{"internal/assure"},
		reason: "the lab is the world outside: it must not know the product that is tested in it",
	},
	{
		path: "internal/lab/zones", imports: []string{"internal/assure"},
		reason: "the lab's DNS is somebody else's: a tree of servers that know no product",
	},
	{
		path: "internal/lab/arm", imports: []string{"internal/assure"},
		reason: "the stand-in for Azure must be as strict with the product as Azure is, and so must not know it",
	},
	{
		path: "internal/lab/authority", imports: []string{"internal/assure"},
		reason: "the lab's certificate authority decides by what it sees in the lab, and by nothing that the product says of itself",
	},
	{
		path: "internal/lab/estate", imports: []string{"internal/assure", "internal/lab/arm", "internal/lab/authority", "internal/lab/zones"}, tests: []string{"internal/lab"},
		reason: "the estate joins the lab's DNS, Azure and authority into one place to renew in, and knows the product as little as they do",
	},
	{
		path: "internal/app",
		imports: []string{
			"internal/assure", "internal/config", "internal/patrol", "internal/probe", "internal/notify", "internal/store", "internal/web", "internal/permit",
			"internal/renew", "internal/renew/dnscheck", "internal/renew/dnswriter", "internal/renew/install", "internal/iac",
		},
		tests:  append([]string{"internal/lab/estate", "internal/renew/dnswriter/legochild"}, renewalLab...),
		reason: "wiring is done in one place, the only one that knows all rooms",
	},
	{
		path: "internal/housetest", tests: []string{"internal/assure"},
		reason: "the house is looked at from outside; only the list of reason codes is asked for",
	},
	{
		path:    "cmd/notafter",
		imports: []string{"internal/assure", "internal/app", "internal/config", "internal/iac", "internal/probe", "internal/web", "internal/renew/dnswriter/legochild"},
		tests:   append([]string{"internal/lab/estate"}, renewalLab...),
		reason:  "main holds flags, signals and exit statuses; subcommands use the one room they need (check looks with probe, config check reads with config, guard judges plans with iac, hash-password hashes with web, dns-writer is the child process of legochild)",
	},
	{
		path: "cmd/notafter-lab", imports: append([]string{"internal/assure", "internal/app", "internal/config", "internal/iac", "internal/lab/estate", "internal/renew/dnswriter/legochild"}, renewalLab...),
		reason: "the lab's command puts the real product onto the lab, and nothing else may hold both; the incident is replayed with the guard judging its plan",
	},
	{
		path: "scripts/testrun", pure: true,
		reason: "what runs the tests must build when nothing else does",
	},
}

type pkg struct {
	ImportPath   string
	Name         string
	Doc          string
	Standard     bool
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func listPackages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v: %s", err, &stderr)
	}
	pkgs := map[string]pkg{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("read the list of packages: %v", err)
		}
		pkgs[strings.TrimPrefix(p.ImportPath, module+"/")] = p
	}
}

// inModule strips the module from an import path; ok is false for imports from elsewhere.
func inModule(path string) (string, bool) {
	return strings.CutPrefix(path, module+"/")
}

// standard reports whether an import path is of the standard library: its first element has no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// breaches lists what a package imports against its line of the table.
func breaches(r room, p pkg) []string {
	var out []string
	look := func(imports []string, what string, allowed ...string) {
		for _, path := range imports {
			inner, ours := inModule(path)
			switch {
			case ours && inner != r.path && !slices.Contains(allowed, inner):
				out = append(out, what+" imports "+inner)
			case !ours && r.pure && what == r.path && !standard(path):
				out = append(out, what+" imports "+path+", which is not of the standard library")
			}
		}
	}
	look(p.Imports, r.path, r.imports...)
	allowed := append(slices.Clone(r.imports), r.tests...)
	look(p.TestImports, "a test of "+r.path, allowed...)
	look(p.XTestImports, "a test of "+r.path, allowed...)
	return out
}

func TestImports(t *testing.T) {
	pkgs := listPackages(t)
	table := map[string]bool{}
	for _, r := range rooms {
		table[r.path] = true
		if r.reason == "" {
			t.Errorf("%s has no reason in the table", r.path)
		}
		p, exists := pkgs[r.path]
		switch {
		case !exists && !r.planned:
			t.Errorf("%s stands in the table and does not exist: a rule for a package that was renamed guards nothing", r.path)
		case exists && r.planned:
			t.Errorf("%s exists now: take the mark \"planned\" off its line, and allow app to import it", r.path)
		}
		for _, b := range breaches(r, p) {
			t.Errorf("%s, and may not: %s", b, r.reason)
		}
		for _, allowed := range append(slices.Clone(r.imports), r.tests...) {
			if !slices.ContainsFunc(rooms, func(o room) bool { return o.path == allowed }) {
				t.Errorf("%s may import %s, which is not in the table", r.path, allowed)
			}
		}
	}
	for path := range pkgs {
		if !table[path] {
			t.Errorf("%s is not in the table: give it a line, with what it may import and why", path)
		}
	}
}

// TestBreachesAreFound keeps the test above from passing because it sees nothing.
func TestBreachesAreFound(t *testing.T) {
	r := room{path: "internal/a", imports: []string{"internal/assure"}, tests: []string{"internal/lab"}, pure: true}
	cases := map[string]struct {
		p    pkg
		want []string
	}{
		"what is allowed is no breach": {
			p: pkg{Imports: []string{"fmt", "net/http", module + "/internal/assure"}, XTestImports: []string{module + "/internal/a", module + "/internal/lab", "example.com/rapid"}},
		},
		"another room": {
			p:    pkg{Imports: []string{module + "/internal/b"}},
			want: []string{"internal/a imports internal/b"},
		},
		"the lab outside of tests": {
			p:    pkg{Imports: []string{module + "/internal/lab"}},
			want: []string{"internal/a imports internal/lab"},
		},
		"another room in a test": {
			p:    pkg{TestImports: []string{module + "/internal/b"}},
			want: []string{"a test of internal/a imports internal/b"},
		},
		"a third party in a pure room": {
			p:    pkg{Imports: []string{"example.com/x"}},
			want: []string{"internal/a imports example.com/x, which is not of the standard library"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := breaches(r, c.p); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// forbidden are imports that no ordinary file may have, wherever it is.
var forbidden = []struct {
	path   string
	except []string
	reason string
}{
	{"testing", []string{"internal/lab"}, "production code does not know that it is tested; the lab is for tests"},
	{"log", nil, "loggers are *slog.Logger and are given as options"},
	{"math/rand", nil, "use math/rand/v2, or crypto/rand for what must not be guessed"},
	{"io/ioutil", nil, "deprecated since Go 1.16"},
	{"github.com/stretchr/testify/assert", nil, "the testing package is enough"},
}

func TestForbiddenImports(t *testing.T) {
	for path, p := range listPackages(t) {
		for _, f := range forbidden {
			if slices.Contains(p.Imports, f.path) && !slices.Contains(f.except, path) {
				t.Errorf("%s imports %s: %s", path, f.path, f.reason)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for path, p := range listPackages(t) {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command " + filepath.Base(path) + " "
		}
		if len(p.GoFiles) > 0 && !strings.HasPrefix(p.Doc, want) {
			t.Errorf("the documentation of %s begins %q, want %q", path, p.Doc, want)
		}
	}
}
