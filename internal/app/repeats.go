package app

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// repeatEvery is how often a warning or error that goes on is logged.
	repeatEvery = time.Minute
	// maxRepeats bounds the different ones that are remembered.
	maxRepeats = 512
)

// repeats is a log handler for what tries again by itself, many times a second: the first of equal warnings and errors
// is handed on at once, and then one a minute, with how many there were in between. Numbers in the text do not make
// two different: a database that is down fails each of the shards.
type repeats struct {
	slog.Handler
	seen *seenLines
}

type seenLines struct {
	mu    sync.Mutex
	lines map[string]*seenLine
}

type seenLine struct {
	at   time.Time // when one was handed on
	more int       // since then
	last slog.Record
	to   slog.Handler
}

func withoutRepeats(l *slog.Logger) *slog.Logger {
	return slog.New(repeats{l.Handler(), &seenLines{lines: map[string]*seenLine{}}})
}

// Handle hands a record on, or counts it.
func (h repeats) Handle(ctx context.Context, r slog.Record) error {
	var due []*seenLine
	pass := true
	h.seen.mu.Lock()
	for k, l := range h.seen.lines { // those that have ended meanwhile
		if d := r.Time.Sub(l.at); d >= repeatEvery || d < 0 {
			if l.more > 0 {
				due = append(due, l)
			}
			delete(h.seen.lines, k)
		}
	}
	if r.Level >= slog.LevelWarn {
		key := lineKey(r)
		for i, l := range due { // this one goes on: the count goes with it
			if lineKey(l.last) == key {
				r = r.Clone()
				r.AddAttrs(slog.Int("times", l.more+1))
				due = append(due[:i], due[i+1:]...)
				break
			}
		}
		if l := h.seen.lines[key]; l != nil {
			l.more, l.last, l.to, pass = l.more+1, r.Clone(), h.Handler, false
		} else if len(h.seen.lines) < maxRepeats {
			h.seen.lines[key] = &seenLine{at: r.Time}
		}
	}
	h.seen.mu.Unlock()
	var err error
	for _, l := range due {
		l.last.AddAttrs(slog.Int("times", l.more))
		err = l.to.Handle(ctx, l.last)
	}
	if pass {
		err = h.Handler.Handle(ctx, r)
	}
	return err
}

// lineKey is what makes two records equal, but for numbers: the level, the message and the error; without an error, all.
func lineKey(r slog.Record) string {
	key, all, failed := r.Level.String()+" "+r.Message, "", false
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" || a.Key == "err" {
			failed = true
			key += " " + a.Value.String()
		}
		all += " " + a.String()
		return true
	})
	if !failed {
		key += all
	}
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return -1
		}
		return c
	}, key[:min(len(key), 1000)])
}

// WithAttrs keeps the count of what was seen.
func (h repeats) WithAttrs(as []slog.Attr) slog.Handler {
	return repeats{h.Handler.WithAttrs(as), h.seen}
}

// WithGroup keeps the count of what was seen.
func (h repeats) WithGroup(name string) slog.Handler {
	return repeats{h.Handler.WithGroup(name), h.seen}
}
