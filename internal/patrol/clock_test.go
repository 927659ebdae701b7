package patrol

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// A clock that is put right while the patrol walks must not leave a time in which nobody looks.
func TestAClockSetBackIsPutRight(t *testing.T) {
	looks := 0
	w := newWalk(t, func(context.Context, assure.Claim) assure.Fact { looks++; return expiredFact() }, endpoint("a.example"))
	var log bytes.Buffer
	w.Logger = slog.New(slog.NewTextHandler(&log, nil))
	w.now = start.Add(365 * 24 * time.Hour)
	w.pass(t)
	w.now = w.now.Add(-30 * time.Second) // a small step is nothing to speak of
	w.pass(t)
	if looks != 1 || log.Len() > 0 && strings.Contains(log.String(), "set back") {
		t.Fatalf("%d looks before the clock was set back:\n%s", looks, log.String())
	}
	w.now = start
	w.ledger.declareFails = errors.New("the disk is full")
	if _, err := w.Tick(t.Context()); err == nil || !strings.Contains(err.Error(), "clock was set back") {
		t.Errorf("planning anew did not work, and the tick says %v", err)
	}
	w.ledger.declareFails = nil
	for range 3 {
		w.now = w.now.Add(time.Second)
		w.pass(t)
	}
	if looks != 2 {
		t.Errorf("%d looks once the clock is right, want a second one", looks)
	}
	if n := strings.Count(log.String(), "the clock was set back"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}
