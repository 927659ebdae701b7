package patrol

import (
	"fmt"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// sight tells "they are down" from "we are blind". When several different hosts were tried and nothing at all has
// answered since, the fault is ours until shown otherwise. It remembers a few names, whatever the number of endpoints.
type sight struct {
	mu      sync.Mutex
	reached time.Time       // when anything last answered
	silent  map[string]bool // hosts tried without any answer since then, at most enoughHosts
	since   time.Time       // first of those
}

// enoughHosts is how many different hosts must be silent before the fault is taken to be ours.
const enoughHosts = 3

func (s *sight) saw(subject string, f assure.Served, at time.Time) {
	t, err := assure.ParseTarget(subject)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered(f) {
		s.reached, s.silent = at, nil
		return
	}
	if s.silent == nil {
		s.silent, s.since = map[string]bool{}, at
	}
	if len(s.silent) < enoughHosts {
		s.silent[t.Host] = true
	}
}

// answered reports whether anything came back from the other side, be it a refusal.
func answered(f assure.Served) bool {
	for _, g := range f.Sightings {
		switch {
		case g.Chain >= 0, g.Failure == assure.OK:
			return true
		case g.Failure == assure.NoRoute, g.Failure == assure.LocalFailure, g.Failure == assure.Timeout && g.At == assure.AtConnect:
		default:
			return true
		}
	}
	return f.DNS.Failure == assure.DNSNXDomain || f.DNS.Failure == assure.DNSNoAddress
}

// blind says why nothing can be seen just now; empty when all is well or it cannot be told.
func (s *sight) blind(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.silent) < enoughHosts {
		return ""
	}
	if s.reached.IsZero() {
		return fmt.Sprintf("none of the hosts tried since %s answered", s.since.UTC().Format("15:04:05 UTC"))
	}
	return fmt.Sprintf("no host has answered for %s", assure.Ago(now.Sub(s.reached)))
}

// counts returns how many hosts were silent since something last answered, and whether something did lately.
func (s *sight) counts() (tried, reached int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tried = len(s.silent)
	if !s.reached.IsZero() && tried < enoughHosts {
		return tried + 1, 1
	}
	return tried, 0
}
