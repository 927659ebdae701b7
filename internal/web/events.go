package web

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	streamsAll       = 256              // open event streams in all
	streamsEach      = 24               // of one remote address
	streamBeat       = 15 * time.Second // a comment goes out at least that often, so that proxies keep the connection
	streamGap        = time.Second      // changes closer together become one event
	streamLongest    = time.Hour        // then the browser connects again, and is asked who it is
	streamWriteAgain = 10 * time.Second // a client that takes longer than this to accept an event has gone
)

// streams counts open event streams.
type streams struct {
	changed func() <-chan struct{}
	beat    time.Duration
	gap     time.Duration

	mu   sync.Mutex
	all  int
	each map[string]int
}

func newStreams(changed func() <-chan struct{}) *streams {
	return &streams{changed: changed, beat: streamBeat, gap: streamGap, each: map[string]int{}}
}

func (s *streams) enter(remote string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= streamsAll || s.each[remote] >= streamsEach {
		return false
	}
	s.all++
	s.each[remote]++
	return true
}

func (s *streams) leave(remote string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.each[remote]--; s.each[remote] <= 0 {
		delete(s.each, remote)
	}
}

// events tells a browser, by server-sent events, that something changed. The events hold no data: the browser fetches
// what it shows, with its own rights.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if s.opts.Changed == nil {
		http.Error(w, "pages do not update themselves here", http.StatusNotFound)
		return
	}
	remote := party(s.remote(r))
	if !s.streams.enter(remote) {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "too many event streams are open", http.StatusServiceUnavailable)
		return
	}
	defer s.streams.leave(remote)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	ctx, cancel := context.WithTimeout(r.Context(), streamLongest)
	defer cancel()
	rc := http.NewResponseController(w)
	send := func(text string) bool {
		// Deadlines of the connection are on the real clock, whatever time the pages show.
		_ = rc.SetWriteDeadline(time.Now().Add(streamWriteAgain))
		if _, err := fmt.Fprint(w, text); err != nil {
			return false
		}
		return rc.Flush() == nil
	}
	// Asked for before the first byte goes out, so that no change after it is missed.
	next := s.opts.Changed()
	if !send("retry: 3000\nevent: hello\ndata: " + s.now().UTC().Format(time.RFC3339) + "\n\n") {
		return
	}
	beat := time.NewTicker(s.streams.beat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if who, err := s.auth.who(r); err == nil && !who.may(scopeRead) {
				return // the session ended; the browser will be told when it comes back
			}
			if !send(": still here\n\n") {
				return
			}
		case <-next:
			was := next
			if next = s.opts.Changed(); next == was {
				return // closed for good: the server is shutting down
			}
			if !send("event: change\ndata: " + s.now().UTC().Format(time.RFC3339) + "\n\n") {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(s.streams.gap):
			}
		}
	}
}
