package housetest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var moduleRoot = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	return filepath.Dir(strings.TrimSpace(string(out))), err
})

// root is the directory of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := moduleRoot()
	if err != nil {
		t.Fatalf("find go.mod: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("find go.mod: %v", err)
	}
	return dir
}

// walk calls f for each file of the repository with the given ending; rel has forward slashes.
func walk(t *testing.T, ending string, f func(rel string, data []byte)) {
	t.Helper()
	top := root(t)
	n := 0
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "node_modules", "bin", "out", "dist":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ending) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		n++
		f(filepath.ToSlash(rel), data)
		return nil
	})
	if err != nil {
		t.Fatalf("walk the repository: %v", err)
	}
	if n == 0 {
		t.Fatalf("no file ends in %s", ending)
	}
}

// maxLines is when a file has come to hold more than one thing.
const maxLines = 500

func TestFilesStayReadable(t *testing.T) {
	walk(t, ".go", func(rel string, data []byte) {
		if n := bytes.Count(data, []byte("\n")); n > maxLines && !strings.HasSuffix(rel, "_test.go") {
			t.Errorf("%s has %d lines, more than %d: split it by what it does", rel, n, maxLines)
		}
	})
}

// badNames say nothing about what is inside.
var badNames = []string{"util", "utils", "common", "helper", "helpers", "types", "models", "interfaces", "mocks", "misc", "pkg"}

func TestPackagesAreNamedByWhatTheyDo(t *testing.T) {
	for path := range listPackages(t) {
		for _, part := range strings.Split(path, "/") {
			for _, bad := range badNames {
				if part == bad {
					t.Errorf("%s: a package named %q collects whatever has no place", path, bad)
				}
			}
		}
	}
}

func TestNothingHappensOnImport(t *testing.T) {
	walk(t, ".go", func(rel string, data []byte) {
		if strings.HasSuffix(rel, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), rel, data, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parse %s: %v", rel, err)
			return
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: what is set up is set up where it can be read, in app or in main", rel)
			}
		}
	})
}

// clockless are the rooms that are given the time and never ask for it.
var clockless = []string{"internal/assure/", "internal/oncall/", "internal/config/"}

// clockAllowed are calls that tell nothing of what is read or judged, by file.
var clockAllowed = map[string]string{
	"internal/config/config.go": "SetReadDeadline(time.Now().Add(pipePatience))", // the system's clock is what deadlines of files go by
}

func TestTimeIsAnArgument(t *testing.T) {
	walk(t, ".go", func(rel string, data []byte) {
		if strings.HasSuffix(rel, "_test.go") {
			return
		}
		for _, dir := range clockless {
			if !strings.HasPrefix(rel, dir) {
				continue
			}
			if allowed := clockAllowed[rel]; allowed != "" {
				if !bytes.Contains(data, []byte(allowed)) {
					t.Errorf("%s does not hold %s any more: take its line out", rel, allowed)
				}
				data = bytes.ReplaceAll(data, []byte(allowed), nil)
			}
			for _, call := range []string{"time.Now(", "time.Since(", "time.Until(", "time.After(", "time.Sleep("} {
				if bytes.Contains(data, []byte(call)) {
					t.Errorf("%s calls %s): judging the same evidence at the same time must give the same answer", rel, call)
				}
			}
		}
	})
}
