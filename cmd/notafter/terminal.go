package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/notafter/notafter/internal/assure"
)

// output is where a result goes and what can be shown there.
type output struct {
	io.Writer
	terminal bool
	colour   bool
	columns  int
}

// defaultColumns is the width of texts where there is no terminal to measure.
const defaultColumns = 100

// outputOf looks at standard output. Colour is for terminals only, and never where NO_COLOR is set to anything
// (no-color.org) or the terminal calls itself dumb.
func outputOf(p *program) output {
	columns, ok := terminalColumns(p.stdout)
	return output{
		Writer: p.stdout, terminal: ok, columns: columns,
		colour: ok && p.env("NO_COLOR") == "" && p.env("TERM") != "dumb",
	}
}

// terminalColumns is the width of the terminal that w writes to; ok is false when it is none.
func terminalColumns(w io.Writer) (columns int, ok bool) {
	f, isFile := w.(interface{ Fd() uintptr })
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return defaultColumns, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 {
		columns = defaultColumns
	}
	return columns, true
}

// Styles as ANSI escape sequences (ECMA-48 section 8.3.117).
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (o output) paint(style, s string) string {
	if !o.colour || s == "" || style == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// bar shows on standard error how far a long check has got. It is used from one goroutine, but draws by itself too.
type bar struct {
	w       io.Writer
	columns int
	total   int

	mu              sync.Mutex
	seen            int
	broken, unknown int
	stop            chan struct{}
	stopped         sync.WaitGroup
}

// longList is how many targets a list has for which somebody would want to see progress.
const longList = 10

// progress gives a bar that shows only for long lists, and when standard error is a terminal that nothing else is
// being written to.
func (p *program) progress(total int, busy bool) *bar {
	b := &bar{total: total}
	columns, ok := terminalColumns(p.stderr)
	if !ok || busy || total < longList || p.env("TERM") == "dumb" {
		return b
	}
	b.w, b.columns, b.stop = p.stderr, columns, make(chan struct{})
	b.stopped.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-b.stop:
				return
			case <-tick.C:
				b.draw()
			}
		}
	})
	b.draw()
	return b
}

func (b *bar) add(v assure.Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen++
	switch v {
	case assure.Broken:
		b.broken++
	case assure.Unknown:
		b.unknown++
	}
}

func (b *bar) draw() {
	b.mu.Lock()
	defer b.mu.Unlock()
	text := fmt.Sprintf(" %d/%d", b.seen, b.total)
	if b.broken > 0 {
		text += fmt.Sprintf(", %d broken", b.broken)
	}
	if b.unknown > 0 {
		text += fmt.Sprintf(", %d unknown", b.unknown)
	}
	const length = 24
	full := length * b.seen / max(b.total, 1)
	line := "[" + strings.Repeat("#", full) + strings.Repeat(".", length-full) + "]" + text
	_, _ = fmt.Fprintf(b.w, "\r\x1b[K%s", clip(line, max(b.columns-2, 10)))
}

// done takes the bar away.
func (b *bar) done() {
	if b.w == nil {
		return
	}
	close(b.stop)
	b.stopped.Wait()
	_, _ = io.WriteString(b.w, "\r\x1b[K")
}
