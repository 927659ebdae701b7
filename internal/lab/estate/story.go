package estate

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Story is what happens in an estate while somebody watches, one scene after the other, and again from the beginning.
// Each scene waits until it has the stage: until what is to be shown cannot be confused with anything else.
type Story struct {
	// Sites are those that a product renews. Some are in each zone.
	Sites []*Site
	// Life is how long their certificates live, and Canary how often whoever renews them tries its permission.
	Life, Canary time.Duration
	// Tell hears what happens and what is to be seen, in whole sentences.
	Tell func(text string)
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Tell runs the story until ctx ends. Whatever is broken then stays broken.
func (e *Estate) Tell(ctx context.Context, s Story) {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Tell == nil {
		s.Tell = func(string) {}
	}
	t := &teller{Story: s, estate: e}
	scenes := []func(context.Context) bool{t.begin, t.lostGrant, t.failedReload, t.laggingServer}
	for {
		for _, scene := range scenes {
			if !scene(ctx) {
				return
			}
		}
	}
}

type teller struct {
	Story
	estate *Estate
	begun  bool
}

func (t *teller) say(format string, args ...any) { t.Tell(fmt.Sprintf(format, args...)) }

// of are the sites that the renewer renews.
func (t *teller) of(renewer string) []*Site {
	var out []*Site
	for _, s := range t.Sites {
		if s.Renewer == renewer {
			out = append(out, s)
		}
	}
	return out
}

// until waits for something; false when ctx ended first.
func (t *teller) until(ctx context.Context, ok func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return ctx.Err() == nil
}

// pass waits for a while; false when ctx ended first.
func (t *teller) pass(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// calm reports whether every one of the sites has lived for the given shares of its life: enough not to have been renewed
// just now, and not so much that it is renewed soon.
func (t *teller) calm(sites []*Site, from, to float64) bool {
	now := t.Now()
	for _, s := range sites {
		begin, end := s.Life()
		if begin.IsZero() {
			return false
		}
		lived := float64(now.Sub(begin)) / float64(end.Sub(begin))
		if lived < from || lived > to {
			return false
		}
	}
	return true
}

// clock is a time of day, as the pages show it.
func clock(at time.Time) string { return at.Format("15:04:05") }

func (t *teller) begin(ctx context.Context) bool {
	if t.begun {
		return true
	}
	t.begun = true
	started := t.Now()
	if !t.until(ctx, func() bool {
		for _, s := range t.Sites {
			if s.Leaf() == nil {
				return false
			}
		}
		return true
	}) {
		return false
	}
	t.say("All %d renewed certificates were issued, installed and seen in service, %s after the start.", len(t.Sites), t.Now().Sub(started).Round(100*time.Millisecond))
	return true
}

// lostGrant takes the role assignment away while nothing is due, and gives it back.
func (t *teller) lostGrant(ctx context.Context) bool {
	sites := t.of(Azure)
	if !t.until(ctx, func() bool { return t.calm(sites, 0.3, 0.4) }) {
		return false
	}
	var end time.Time
	for _, s := range sites {
		if _, e := s.Life(); end.IsZero() || e.Before(end) {
			end = e
		}
	}
	t.estate.Revoke()
	t.say("Somebody deleted the role assignment by which the renewer %s writes %s. Nothing is due; the first certificate ends at %s. "+
		"A page must come within %s: the permission is asked for and tried with a canary.", Azure, AzureZone, clock(end), t.Canary)
	before := t.leaves(sites)
	if !t.pass(ctx, t.Life/6) {
		return false
	}
	t.estate.Grant()
	t.say("The role is granted again. The incident stays open until a renewal has proven it, seen on every address.")
	if !t.until(ctx, func() bool { return t.leaves(sites) != before }) {
		return false
	}
	t.say("A renewal through %s has worked.", Azure)
	return true
}

func (t *teller) leaves(sites []*Site) string {
	var b strings.Builder
	for _, s := range sites {
		b.Write(s.Leaf())
	}
	return b.String()
}

// failedReload makes one reload fail.
func (t *teller) failedReload(ctx context.Context) bool {
	sites := t.of(Bind)
	if len(sites) == 0 {
		return ctx.Err() == nil
	}
	s := sites[0]
	before := t.leaves(sites[:1])
	if err := s.FailReload(); err != nil {
		t.say("The scene of the failed reload was left out: %v.", err)
		return ctx.Err() == nil
	}
	t.say("When %s is renewed the next time, its server will refuse to reload. The pair from before is put back; a moment later it is tried again, without another order.", s.Name)
	if !t.until(ctx, s.ReloadFailed) {
		return false
	}
	t.say("The reload of %s has failed.", s.Name)
	if !t.until(ctx, func() bool { return t.leaves(sites[:1]) != before }) {
		return false
	}
	t.say("%s serves its new certificate.", s.Name)
	return true
}

// laggingServer keeps one of three name servers at what it has.
func (t *teller) laggingServer(ctx context.Context) bool {
	sites := t.of(Bind)
	server := "ns3." + BindZone
	if !t.until(ctx, func() bool { return t.calm(sites, 0.02, 0.35) }) {
		return false
	}
	if err := t.estate.Zones.Hold(server); err != nil {
		t.say("The scene of the lagging name server was left out: %v.", err)
		return ctx.Err() == nil
	}
	t.say("%s, one of three name servers of %s, does not follow any more. Canaries there are seen on two servers and not on the third, which is told by name.", server, BindZone)
	passed := t.pass(ctx, t.Life/4)
	if err := t.estate.Zones.Release(server); err != nil {
		t.say("%s could not be released: %v.", server, err)
	}
	if passed {
		t.say("%s has caught up. The next canary is seen everywhere.", server)
	}
	return passed
}
