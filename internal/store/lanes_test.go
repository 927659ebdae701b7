package store

import (
	"context"
	"sync"
	"testing"
)

// A channel that hangs keeps its own deliveries waiting and nobody else's.
func TestAHangingChannelHoldsUpNobodyElse(t *testing.T) {
	l := newLanes(2)
	hang := make(chan struct{})
	var mu sync.Mutex
	done := map[int64]bool{}
	do := func(_ context.Context, id int64) error {
		if id < 100 {
			<-hang
		}
		mu.Lock()
		defer mu.Unlock()
		done[id] = true
		return nil
	}
	var stuck sync.WaitGroup
	for id := range int64(10) {
		stuck.Go(func() { _ = l.run(t.Context(), "slow", id, do) })
	}
	for id := range int64(50) {
		if err := l.run(t.Context(), "quick", 100+id, do); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	if len(done) != 50 {
		t.Errorf("%d of 50 deliveries of the quick channel were made while the other one hung", len(done))
	}
	mu.Unlock()
	close(hang)
	stuck.Wait()
	if len(done) != 60 {
		t.Errorf("%d of 60 deliveries were made in the end", len(done))
	}
}

func TestWhatTimeRanOutForIsLeftToTheSweep(t *testing.T) {
	l := newLanes(1)
	ctx, cancel := context.WithCancel(t.Context())
	made := 0
	_ = l.run(ctx, "c", 1, func(context.Context, int64) error {
		made++
		if err := l.run(ctx, "c", 2, nil); err != nil { // finds no place and waits
			t.Error(err)
		}
		cancel()
		return nil
	})
	if made != 1 || len(l.busy) != 0 || len(l.waiting) != 0 {
		t.Errorf("%d made, left behind: %v %v", made, l.busy, l.waiting)
	}
}
