//go:build unix

package dnswriter

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func TestAChildThatHangsIsKilledWithWhatItStarted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind    string
		timeout time.Duration // of the writer
		ctx     time.Duration // of the caller
	}{
		"time out": {"silent", 2 * time.Second, time.Hour},
		"caller":   {"silent", time.Hour, 2 * time.Second},
		"endless":  {"endless", time.Second, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lego(t, c.kind, map[string]string{"DO_AUTH_TOKEN": "token-number-0"}, c.timeout)
			ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
			defer cancel()
			begin := time.Now()
			tr := assure.TroubleOf(l.Present(ctx, legoName, legoValue), "")
			if tr == nil || !tr.Class.Retry() || !tr.Happened || !strings.Contains(tr.Detail, "did not answer in time") {
				t.Fatalf("%+v", tr)
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			_, text, ok := strings.Cut(tr.Detail, "grandchild ")
			if !ok {
				if c.kind == "silent" {
					t.Fatalf("the grandchild did not start in time: %s", tr.Detail)
				}
				return
			}
			pid, err := strconv.Atoi(strings.Fields(text)[0])
			if err != nil {
				t.Fatal(err)
			}
			gone := func() bool {
				if err := syscall.Kill(pid, 0); err != nil {
					return true
				}
				// Dead, and waiting for somebody to collect it.
				b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
				return err != nil && runtime.GOOS == "linux" || strings.Contains(string(b), ") Z ")
			}
			for end := time.Now().Add(10 * time.Second); !gone(); runtime.Gosched() {
				if time.Now().After(end) {
					t.Fatalf("process %d lives on", pid)
				}
			}
		})
	}
}
