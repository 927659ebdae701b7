package web

import (
	"sync"
	"time"
)

// attempts limits how often something may fail, for each key, in a window of time. It keeps a bounded number of keys:
// when there are too many, those whose window ended go first, and then all of them, which errs on the side of letting
// people in.
type attempts struct {
	most   int
	window time.Duration

	mu   sync.Mutex
	keys map[string]*tally
}

type tally struct {
	n     int
	until time.Time
}

const maxTallies = 20_000

func newAttempts(most int, window time.Duration) *attempts {
	return &attempts{most: most, window: window, keys: map[string]*tally{}}
}

// take counts an attempt before it is made, so that many at once cannot all pass. wait is how long to hold off when
// there were too many; the attempt is then not counted.
func (a *attempts) take(key string, now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.keys[key]
	if t == nil || !now.Before(t.until) {
		if t == nil && len(a.keys) >= maxTallies {
			a.sweep(now)
		}
		t = &tally{until: now.Add(a.window)}
		a.keys[key] = t
	}
	if t.n >= a.most {
		return t.until.Sub(now)
	}
	t.n++
	return 0
}

// forgive forgets the failures of a key after a success.
func (a *attempts) forgive(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.keys, key)
}

func (a *attempts) sweep(now time.Time) {
	for k, t := range a.keys {
		if !now.Before(t.until) {
			delete(a.keys, k)
		}
	}
	if len(a.keys) >= maxTallies {
		clear(a.keys)
	}
}
