//go:build unix

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A record that goes into a pipe leaves it a pipe: a file is put in the place of nothing but a file.
func TestRecordGoesIntoAPipe(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// Open for both, it can be written before it is read, and nobody waits.
	f, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := recordable(pipe); err != nil {
		t.Fatal(err)
	}
	if err := writeRecord(pipe, &record{Outcome: "proven"}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Fatalf("%v, %v; want the pipe that it was", info, err)
	}
	got := make([]byte, 4096)
	if n, err := f.Read(got); err != nil || !strings.Contains(string(got[:n]), `"outcome": "proven"`) {
		t.Errorf("read %q, %v", got[:n], err)
	}
}
