//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A pipe that nobody writes keeps its reader waiting before anything can be read. The first interruption ends that.
func TestPipesThatNobodyWrites(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plan := filepath.Join(dir, "plan.json")
	if err := os.WriteFile(plan, []byte(lostPlan), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"guard", pipe},
		{"guard", "--inventory", pipe, plan},
		{"guard", "--overrides", pipe, plan},
		{"drift", "--plan", pipe},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		ended := make(chan int, 1)
		var out, errs bytes.Buffer
		p := testProgram(&out, &errs)
		go func() { ended <- p.run(ctx, args) }()
		select {
		case code := <-ended:
			if code != exitInterrupted || out.Len() > 0 {
				t.Errorf("%v: status %d, said %q", args, code, &out)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%v: it waits on after an interruption", args)
		}
		cancel()
	}
	f, err := os.OpenFile(pipe, os.O_RDWR, 0) // lets go of whoever waits still
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}
