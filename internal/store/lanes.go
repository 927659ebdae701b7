package store

import (
	"context"
	"slices"
	"sync"
)

// lanes keep one channel that hangs from taking every worker: each channel has a few places, and what finds none waits
// in its own lane. Whoever has a place goes on with what waits there. The lanes are only a convenience of this process:
// what is forgotten in them is found again by the next turn of Sweep.
type lanes struct {
	places int // for each channel

	mu      sync.Mutex
	busy    map[string]int
	waiting map[string][]int64
}

// laneLength bounds what waits; the rest is for the next sweep.
const laneLength = 1000

func newLanes(places int) *lanes {
	return &lanes{places: places, busy: map[string]int{}, waiting: map[string][]int64{}}
}

// run does a delivery, or leaves it in its lane when the channel's places are taken. It returns the first error.
func (l *lanes) run(ctx context.Context, channel string, id int64, do func(context.Context, int64) error) error {
	if !l.enter(channel, id) {
		return nil
	}
	var first error
	for {
		if err := do(ctx, id); err != nil && first == nil {
			first = err
		}
		next, ok := l.next(channel, ctx.Err() != nil)
		if !ok {
			return first
		}
		id = next
	}
}

func (l *lanes) enter(channel string, id int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[channel] < l.places {
		l.busy[channel]++
		return true
	}
	if w := l.waiting[channel]; len(w) < laneLength && !slices.Contains(w, id) {
		l.waiting[channel] = append(w, id)
	}
	return false
}

// next gives the holder of a place what waits, or takes the place back.
func (l *lanes) next(channel string, over bool) (int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.waiting[channel]; len(w) > 0 && !over {
		l.waiting[channel] = w[1:]
		return w[0], true
	}
	if l.busy[channel]--; l.busy[channel] == 0 {
		delete(l.busy, channel)
		delete(l.waiting, channel)
	}
	return 0, false
}
