//go:build unix

package toolbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tail passes on what is logged, line by line.
type tail chan string

func (t tail) Write(b []byte) (int, error) { t <- string(b); return len(b), nil }

// kept puts a cache of its own in the place of the user's and returns where OpenTofu would be in it.
func kept(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", home)
	t.Setenv("HOME", home)
	e2e, err := directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := cache(t.Context(), filepath.Join(e2e, "tofu"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "tofu")
}

func write(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"), mode); err != nil {
		t.Fatal(err)
	}
}

// What is in the cache is taken, in silence; and the cache is another one for every version of what is built.
func TestWhatIsKeptIsNotBuilt(t *testing.T) {
	at := kept(t)
	write(t, at, 0o755)
	var log strings.Builder
	got, err := Tofu(t.Context(), &log)
	if err != nil || got != at || log.Len() > 0 {
		t.Fatalf("%s, %v, want %s; it said %q", got, err, at, log.String())
	}
	module := t.TempDir()
	var dirs []string
	for _, version := range []string{"1", "2"} {
		for _, name := range []string{"go.mod", "go.sum"} {
			write(t, filepath.Join(module, name), 0o644)
		}
		if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module x\n\ngo 1.26\n// "+version), 0o600); err != nil {
			t.Fatal(err)
		}
		dir, err := cache(t.Context(), module)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	if dirs[0] == dirs[1] {
		t.Errorf("two versions are kept at one place, %s", dirs[0])
	}
}

// Who comes second waits for the one who builds, says so, and takes what was built.
func TestTwoDoNotBuildAtTheSameTime(t *testing.T) {
	at := kept(t)
	unlock, err := lock(filepath.Join(filepath.Dir(at), "lock"), tail(nil))
	if err != nil {
		t.Fatal(err)
	}
	log, got := make(tail, 10), make(chan string)
	go func() {
		path, err := Tofu(t.Context(), log)
		if err != nil {
			path = err.Error()
		}
		got <- path
	}()
	select {
	case line := <-log:
		if !strings.Contains(line, "waiting") {
			t.Fatalf("it says %q", line)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not say that it waits")
	}
	write(t, at, 0o755)
	unlock()
	if path := <-got; path != at {
		t.Errorf("%s, want %s", path, at)
	}
}

// A build that did not work leaves nothing behind that could be taken for OpenTofu.
func TestAFailedBuildLeavesNothing(t *testing.T) {
	at := kept(t)
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOMODCACHE", t.TempDir())
	if _, err := Tofu(t.Context(), &strings.Builder{}); err == nil {
		t.Fatal("it was built from nothing")
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(at), "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || filepath.Base(left[0]) != "lock" {
		t.Errorf("left behind: %q", left)
	}
}
