//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A named pipe that nobody writes to must not hold up a start or a reload for ever; one that somebody writes to is read.
func TestPipesHoldNobodyUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	soon := func(what string, f func()) {
		t.Helper()
		done := make(chan struct{})
		go func() { defer close(done); f() }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%s: still waiting", what)
		}
	}
	soon("the file", func() {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "the file is empty") {
			t.Errorf("an empty pipe as the file: %v", err)
		}
	})
	soon("a secret", func() {
		if _, err := readBounded(path); err != nil {
			t.Errorf("an empty pipe as a secret: %v", err)
		}
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return // the rest needs a name for a pipe with a writer
	}
	go func() {
		_, _ = w.WriteString(small)
		_ = w.Close()
	}()
	soon("a pipe with a writer", func() {
		name := "/proc/self/fd/" + strconv.Itoa(int(r.Fd()))
		if _, err := Load(name); err != nil {
			t.Errorf("a pipe with a writer: %v", err)
		}
	})
}
