package probe

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func testShelf(t *testing.T, limit, bytes int) (*shelf[int, string], *hand) {
	f := newFetcher(nil)
	t.Cleanup(f.close)
	h := &hand{t: noon}
	return newShelf[int, string](f, h.now, 10*time.Second, limit, bytes), h
}

func (h *hand) goods(s string, size int) goods[string] {
	return goods[string]{value: s, refresh: h.now().Add(time.Hour), until: h.now().Add(2 * time.Hour), size: size}
}

func TestShelfIsBounded(t *testing.T) {
	for name, bounds := range map[string][2]int{"by entries": {10, 0}, "by bytes": {1 << 20, 1000}} {
		s, h := testShelf(t, bounds[0], bounds[1])
		for k := range 100 {
			if v, _, err := s.get(context.Background(), k, func(context.Context, string, bool) (goods[string], error) { return h.goods("v", 100), nil }); v != "v" || err != nil {
				t.Fatalf("%s: %q, %v", name, v, err)
			}
		}
		if n := s.len(); n < 5 || n > 10 {
			t.Errorf("%s: %d entries", name, n)
		}
	}
}

func TestShelfFetchesOnceForMany(t *testing.T) {
	s, h := testShelf(t, 10, 0)
	release := make(chan struct{})
	fetched := 0
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			v, _, err := s.get(context.Background(), 1, func(context.Context, string, bool) (goods[string], error) {
				fetched++ // under the race detector this also shows that there is only one
				<-release
				return h.goods("v", 0), nil
			})
			if v != "v" || err != nil {
				t.Errorf("%q, %v", v, err)
			}
		})
	}
	close(release)
	wg.Wait()
	if fetched != 1 {
		t.Errorf("fetched %d times", fetched)
	}
}

func TestShelfBacksOff(t *testing.T) {
	s, h := testShelf(t, 10, 0)
	tries := 0
	ask := func() error {
		_, have, err := s.get(context.Background(), 1, func(context.Context, string, bool) (goods[string], error) {
			tries++
			return goods[string]{}, errors.New("down")
		})
		if have {
			t.Error("something out of nothing")
		}
		return err
	}
	for range 24 * 60 { // a day of looks, one a minute
		if err := ask(); err == nil || err.Error() != "down" {
			t.Fatalf("%v", err)
		}
		h.move(time.Minute)
	}
	if tries < 24 || tries > 24+7 {
		t.Errorf("%d tries in a day, want one an hour after the first few", tries)
	}
}

func TestShelfOutlivesPanics(t *testing.T) {
	s, _ := testShelf(t, 10, 0)
	_, _, err := s.get(context.Background(), 1, func(context.Context, string, bool) (goods[string], error) { panic("odd bytes") })
	if err == nil || !strings.Contains(err.Error(), "panicked: odd bytes") {
		t.Errorf("%v", err)
	}
}

func TestTooManyFetches(t *testing.T) {
	s, h := testShelf(t, 10_000, 0)
	s.patience = time.Millisecond
	release := make(chan struct{})
	var busy int
	for k := range fetchesWaiting + 50 {
		_, _, err := s.get(context.Background(), k, func(ctx context.Context, _ string, _ bool) (goods[string], error) {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return h.goods("v", 0), nil
		})
		if err != nil && strings.Contains(err.Error(), "too many fetches") {
			busy++
		}
	}
	if busy != 50 {
		t.Errorf("%d were refused, want 50", busy)
	}
	close(release)
	eventually(t, "those refused can be asked again", func() bool {
		v, _, _ := s.get(context.Background(), fetchesWaiting+1, func(context.Context, string, bool) (goods[string], error) { return h.goods("v", 0), nil })
		return v == "v"
	})
}
