package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
)

// here is the product in this process, for one errand.
type here struct {
	app     *app.App
	mu      sync.Mutex
	begun   func() // something was told, so that nobody wonders
	waiting sync.WaitGroup
}

// openHere opens the product by its configuration. It listens nowhere that anybody could know, patrols nothing,
// and logs nothing: what happens is told step by step.
func (p *program) openHere(file string) (*here, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	if err := c.Resolve(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, failed(err)
	}
	a, err := app.New(app.Options{Config: c, Listener: l, Logger: slog.New(slog.DiscardHandler), Version: version()})
	if err != nil {
		_ = l.Close()
		return nil, failed(fmt.Errorf("%w; where a notafter is running, leave -c out and it is asked instead", err))
	}
	return &here{app: a, begun: func() {}}, nil
}

// wonder says what is waited for when nothing is told for a while: another process on the same database may be at it.
func (h *here) wonder(p *program) {
	ctx, begun := context.WithTimeout(context.Background(), quietFor)
	h.begun = begun
	h.waiting.Go(func() {
		<-ctx.Done()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			_, _ = fmt.Fprintln(p.stderr, waitingFor)
		}
	})
}

func (h *here) close(p *program) {
	h.begun()
	h.waiting.Wait()
	if err := h.app.Close(); err != nil {
		_, _ = fmt.Fprintf(p.stderr, "notafter: %s\n", cleanLines(err.Error()))
	}
}

// tell is called from the goroutines of an attempt.
func (h *here) tell(t *teller, a assure.Attempt, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun()
	t.tell(a, now)
}

func (h *here) explain(err error) error {
	switch {
	case errors.Is(err, assure.ErrNotFound):
		return misuse("%s", err)
	case errors.Is(err, context.Canceled):
		return status{code: exitInterrupted, err: errors.New("interrupted")}
	}
	return failed(err)
}
