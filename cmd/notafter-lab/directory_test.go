//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// What a killed process left behind is taken away by the next one; what another one needs is not, nor what is not known.
func TestDirectoriesOfTheDeadAreSwept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const prefix = "notafter-incident-"
	alive, err := makeDirectory(prefix)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := makeDirectory(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dead.path, "act1", "estate"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := dead.unlock(); err != nil { // as the kernel does when a process is killed
		t.Fatal(err)
	}
	strange := filepath.Join(os.TempDir(), prefix+"strange") // without a lock: of a version before, or somebody's own
	link := filepath.Join(os.TempDir(), prefix+"link")
	elsewhere := t.TempDir()
	if err := os.WriteFile(filepath.Join(elsewhere, lockName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(strange, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	mine, err := makeDirectory(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead.path); !os.IsNotExist(err) {
		t.Errorf("what a dead process left is still there: %v", err)
	}
	for _, path := range []string{alive.path, strange, link, filepath.Join(elsewhere, lockName), mine.path} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("taken away: %v", err)
		}
	}
	for _, d := range []*directory{alive, mine} {
		if err := d.remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(d.path); !os.IsNotExist(err) {
			t.Errorf("it left %v", err)
		}
	}
}
