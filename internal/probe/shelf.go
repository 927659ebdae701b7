package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Waiting times after a failed fetch: doubling from the first to the last.
const (
	firstBackoff = time.Minute
	lastBackoff  = time.Hour
)

// shelf keeps what was fetched, by where it came from. One fetch is under way for a key at any time. What is on the
// shelf is given out at once while it is good, even when it is due to be refreshed: the refresh then runs in the
// background. Failures are remembered and not repeated before a while. It is safe for concurrent use.
type shelf[K comparable, V any] struct {
	fetcher  *fetcher
	now      func() time.Time
	patience time.Duration
	limit    int // entries
	bytes    int // 0: entries alone are bounded

	mu    sync.Mutex
	items map[K]*shelved[V]
	held  int
	tick  uint64
}

// shelved is one entry: the last good value and how the last attempt went.
type shelved[V any] struct {
	value    V
	have     bool
	refresh  time.Time // when to ask again
	until    time.Time // from when on the value says nothing any more
	err      error     // of the last attempt; nil when it succeeded
	failures int
	nextTry  time.Time
	flight   *flight
	size     int
	used     uint64
}

// flight is a fetch under way.
type flight struct {
	done     chan struct{} // closed when it is over
	patience context.Context
}

// goods is what a fetch brought.
type goods[V any] struct {
	value   V
	refresh time.Time
	until   time.Time
	size    int // bytes of memory, about
}

func newShelf[K comparable, V any](f *fetcher, now func() time.Time, patience time.Duration, limit, bytes int) *shelf[K, V] {
	return &shelf[K, V]{fetcher: f, now: now, patience: patience, limit: limit, bytes: bytes, items: map[K]*shelved[V]{}}
}

func (s *shelf[K, V]) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}

// get returns the value of k. When there is none that is still good it is fetched, and get waits until it is there, ctx
// ends, or the fetch has been under way for longer than the patience. Fetch gets the last value, if any, and runs in
// the background; it must end when its context does. The error says why there is no good value; have may then still be
// true, for a value that is out of date.
func (s *shelf[K, V]) get(ctx context.Context, k K, fetch func(ctx context.Context, last V, have bool) (goods[V], error)) (value V, have bool, err error) {
	s.mu.Lock()
	now := s.now()
	it := s.items[k]
	if it == nil {
		it = &shelved[V]{}
		s.items[k] = it
		s.evict(it)
	}
	s.tick++
	it.used = s.tick
	good := it.have && now.Before(it.until)
	if it.flight == nil && (!good || !now.Before(it.refresh)) && !now.Before(it.nextTry) {
		s.launch(it, fetch) //nolint:contextcheck // a fetch outlives the look that began it; others wait for it too
	}
	if good || it.flight == nil {
		defer s.mu.Unlock()
		return it.outcome(good)
	}
	fl := it.flight
	s.mu.Unlock()
	select {
	case <-fl.done:
	case <-fl.patience.Done():
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if it.flight == fl {
		return it.value, it.have, fmt.Errorf("no answer within %s", s.patience)
	}
	return it.outcome(it.have && s.now().Before(it.until))
}

func (it *shelved[V]) outcome(good bool) (value V, have bool, err error) {
	switch {
	case good:
		return it.value, true, nil
	case it.err != nil:
		return it.value, it.have, it.err
	}
	return it.value, it.have, errOutOfDate
}

var errOutOfDate = errors.New("the newest answer is out of date")

// launch starts a fetch. The lock is held.
func (s *shelf[K, V]) launch(it *shelved[V], fetch func(context.Context, V, bool) (goods[V], error)) {
	patience, cancel := context.WithTimeout(context.Background(), s.patience)
	fl := &flight{done: make(chan struct{}), patience: patience}
	last, have := it.value, it.have
	err := s.fetcher.start(func(ctx context.Context) {
		defer cancel()
		var g goods[V]
		var err error
		defer func() {
			if p := recover(); p != nil { // a parser met something nobody thought of; it must not end the process
				err = fmt.Errorf("reading the answer panicked: %v", p)
			}
			s.land(it, fl, g, err)
		}()
		g, err = fetch(ctx, last, have)
	})
	if err != nil {
		cancel()
		it.err = err // not counted as a failed attempt: nothing was asked
		return
	}
	it.flight = fl
}

// land records how a fetch ended.
func (s *shelf[K, V]) land(it *shelved[V], fl *flight, g goods[V], err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(fl.done)
	now := s.now()
	it.flight = nil
	it.err = err
	if err != nil {
		it.nextTry = now.Add(min(lastBackoff, firstBackoff<<min(it.failures, 10)))
		it.failures++
		return
	}
	it.failures, it.have = 0, true
	it.value, it.refresh, it.until = g.value, g.refresh, g.until
	// An answer that is out of date already, or due at once, must not be asked for again with every look; one that holds
	// only for seconds must be renewed before it ends.
	wait := firstBackoff
	if left := g.until.Sub(now); left > 0 {
		wait = min(wait, left/2)
	}
	it.nextTry = now.Add(wait)
	s.held += g.size - it.size
	it.size = g.size
	s.evict(it)
}

// evict makes room, sparing keep and what is under way. The lock is held. The entry that goes is the longest unused of
// a sample, so that the cost stays small however many there are.
func (s *shelf[K, V]) evict(keep *shelved[V]) {
	for len(s.items) > s.limit || s.bytes > 0 && s.held > s.bytes {
		var victim K
		var oldest *shelved[V]
		looked := 0
		for k, it := range s.items {
			if it == keep || it.flight != nil {
				continue
			}
			if oldest == nil || it.used < oldest.used {
				victim, oldest = k, it
			}
			if looked++; looked >= 16 {
				break
			}
		}
		if oldest == nil {
			return // only what is under way is left, and that is bounded by the fetcher
		}
		s.held -= oldest.size
		oldest.size = 0
		delete(s.items, victim)
	}
}
