package app

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A database that is down makes everything that tries again fail many times a second. The log says so once a minute, how
// often, and everything else in between.
func TestARepeatedErrorIsOneLineAMinute(t *testing.T) {
	var out bytes.Buffer
	h := withoutRepeats(slog.New(slog.NewTextHandler(&out, nil))).Handler()
	began := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	say := func(after time.Duration, level slog.Level, text, err string) {
		r := slog.NewRecord(began.Add(after), level, text, 0)
		r.AddAttrs(slog.String("error", err))
		if err := h.WithAttrs([]slog.Attr{slog.String("part", "queue")}).Handle(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1200 { // two minutes
		say(time.Duration(i)*100*time.Millisecond, slog.LevelError, "a job ended with an error", fmt.Sprintf("shard %d: connection refused", i))
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || strings.Contains(lines[0], "times=") || !strings.Contains(lines[1], "times=600") || !strings.Contains(lines[1], "part=queue") {
		t.Fatalf("logged in two minutes:\n%s", out.String())
	}
	out.Reset()
	say(2*time.Minute, slog.LevelError, "a job ended with an error", "shard 3: disk full")
	say(2*time.Minute, slog.LevelInfo, "incident opened", "")
	say(2*time.Minute, slog.LevelInfo, "incident opened", "")
	// The count of what has ended is not lost.
	say(4*time.Minute, slog.LevelInfo, "all is well", "")
	for want, n := range map[string]int{"disk full": 1, "incident opened": 2, "times=599": 1, "all is well": 1} {
		if got := strings.Count(out.String(), want); got != n {
			t.Errorf("%q is logged %d times, want %d:\n%s", want, got, n, out.String())
		}
	}
}
