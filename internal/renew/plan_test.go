package renew

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/notafter/notafter/internal/assure"
)

// dawn is when the certificates of these tests begin.
var dawn = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func lives(life time.Duration, names ...string) *assure.Cert {
	return &assure.Cert{Fingerprint: "ab12", Names: names, NotBefore: dawn, NotAfter: dawn.Add(life)}
}

func window(from, to time.Duration) assure.RenewalState {
	return assure.RenewalState{WindowStart: dawn.Add(from), WindowEnd: dawn.Add(to)}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	now := dawn.Add(10 * day)
	for sentence, c := range map[string]struct {
		state    assure.RenewalState
		newest   *assure.Cert
		names    []string
		from, to time.Time // due is from .. to
		why      string
	}{
		"without a certificate it is due now":                         {from: now, to: now, why: "no certificate"},
		"without one a window of the past means nothing":              {state: window(30*day, 40*day), from: now, to: now, why: "no certificate"},
		"a name that the certificate lacks makes it due now":          {newest: lives(90*day, "a.example"), names: []string{"a.example", "b.example"}, from: now, to: now, why: "names"},
		"a name that is no longer declared does not":                  {newest: lives(90*day, "a.example", "b.example"), names: []string{"a.example"}, from: dawn.Add(60 * day), to: dawn.Add(60 * day), why: "two thirds"},
		"names are the same in any case, script and with a final dot": {newest: lives(90*day, "a.example", "xn--bcher-kva.example", "*.c.example", "2001:db8::1"), names: []string{"A.example.", "bücher.example", "*.C.example", "2001:DB8:0::1"}, from: dawn.Add(60 * day), to: dawn.Add(60 * day), why: "two thirds"},
		"two thirds of six days are four":                             {newest: lives(6 * day), from: dawn.Add(4 * day), to: dawn.Add(4 * day), why: "two thirds"},
		"two thirds of a minute are forty seconds":                    {newest: lives(time.Minute), from: dawn.Add(40 * time.Second), to: dawn.Add(40 * time.Second), why: "two thirds"},
		"the authority's window goes before two thirds":               {state: window(30*day, 31*day), newest: lives(90 * day), from: dawn.Add(30 * day), to: dawn.Add(31 * day), why: "between 31 Mar 2026"},
		"a window of the past makes it due":                           {state: window(day, 2*day), newest: lives(90 * day), from: dawn.Add(day), to: dawn.Add(2 * day), why: "between"},
		"a window that ends before it begins is none":                 {state: window(31*day, 30*day), newest: lives(90 * day), from: dawn.Add(60 * day), to: dawn.Add(60 * day), why: "two thirds"},
		"a window after the end is too late":                          {state: window(100*day, 110*day), newest: lives(90 * day), from: dawn.Add(81 * day), to: dawn.Add(81 * day), why: "a tenth"},
		"a certificate that ends before it begins is due at its end":  {newest: lives(-day), from: dawn.Add(-day), to: dawn.Add(-day), why: "two thirds"},
	} {
		due, why := plan(c.state, c.newest, c.names, now)
		if due.Before(c.from) || due.After(c.to) || !strings.Contains(why, c.why) {
			t.Errorf("%s: due %s because %q", sentence, due, why)
		}
	}
}

// The point in a window is the same at every look, and certificates spread over it.
func TestWindowPoints(t *testing.T) {
	t.Parallel()
	s := window(30*day, 40*day)
	var tenths [10]int
	for i := range 1000 {
		c := lives(90 * day)
		c.Fingerprint = strings.Repeat("f", i)
		due, _ := plan(s, c, nil, dawn)
		if again, _ := plan(s, c, nil, dawn.Add(time.Hour)); !due.Equal(again) {
			t.Fatalf("the point moved from %s to %s", due, again)
		}
		tenths[min(int(due.Sub(s.WindowStart)/day), 9)]++
	}
	if slices.Min(tenths[:]) < 50 {
		t.Errorf("a thousand certificates are spread like this over the window's tenths: %v", tenths)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		failures int
		newest   *assure.Cert
		asked    time.Duration
		want     time.Duration
	}{
		"ninety days, once":                     {1, lives(90 * day), 0, time.Minute},
		"ninety days, twice":                    {2, lives(90 * day), 0, 10 * time.Minute},
		"ninety days, three times":              {3, lives(90 * day), 0, 100 * time.Minute},
		"ninety days, for weeks":                {99, lives(90 * day), 0, day},
		"a year is tried no less than daily":    {99, lives(365 * day), 0, day},
		"six days are a fifteenth":              {4, lives(6 * day), 0, 96 * time.Minute},
		"twenty seconds":                        {4, lives(20 * time.Second), 0, time.Second},
		"no certificate yet":                    {4, nil, 0, 144 * time.Minute},
		"what the other side asks for, if more": {1, lives(90 * day), time.Hour, time.Hour},
		"but not less":                          {3, lives(90 * day), time.Second, 100 * time.Minute},
	} {
		if got := pause(c.failures, c.newest, c.asked).Truncate(time.Second); got != c.want {
			t.Errorf("%s: %s, want %s", sentence, got, c.want)
		}
	}
}

// A pause that would outlast the certificate is cut to half of what is left of it.
func TestHeed(t *testing.T) {
	t.Parallel()
	c := lives(90 * day)
	for asked, want := range map[time.Duration]time.Duration{time.Hour: time.Hour, 7 * day: 2 * day, math.MaxInt64: 2 * day, -1: 0} {
		if got := heed(asked, c, c.NotAfter.Add(-4*day)); got != want {
			t.Errorf("asked for %s four days before the end: %s, want %s", asked, got, want)
		}
	}
	if got := heed(time.Hour, c, c.NotAfter.Add(day)); got != 0 {
		t.Errorf("after the end: %s", got)
	}
	if got := heed(math.MaxInt64, nil, dawn); got != maxRetryAfter {
		t.Errorf("without a certificate: %s", got)
	}
}

func TestAttemptsLeft(t *testing.T) {
	t.Parallel()
	due := assure.RenewalState{Next: dawn.Add(60 * day)}
	if got := attemptsLeft(due, lives(90*day)); got != 33 {
		t.Errorf("thirty days with three quick attempts and one a day: %d, want 33", got)
	}
	due.Failures = 3
	if got := attemptsLeft(due, lives(90*day)); got != 30 {
		t.Errorf("after three failures: %d, want 30", got)
	}
	due.Next = dawn.Add(90 * day)
	if got := attemptsLeft(due, lives(90*day)); got != 0 {
		t.Errorf("at the end: %d", got)
	}
	if a, b := attemptsLeft(due, nil), attemptsLeft(assure.RenewalState{}, lives(day)); a != -1 || b != -1 {
		t.Errorf("without a certificate or a date: %d, %d", a, b)
	}
}

// After a success nothing is due at once again, whatever the window, the names or the clock say; but no rest outlasts a
// certificate.
func TestRestAfterASuccess(t *testing.T) {
	t.Parallel()
	now := dawn.Add(time.Minute)
	s := window(-2*day, -day)
	s.LastSuccess = now
	if got := nextAfter(s, lives(90*day), nil, now); !got.Equal(now.Add(day)) {
		t.Errorf("an authority that always says now is asked again at %s", got)
	}
	if got := nextAfter(s, lives(90*day), []string{"missing.example"}, now); !got.Equal(now.Add(time.Minute)) {
		t.Errorf("a name that the new certificate lacks is asked for again at %s", got)
	}
	s.LastSuccess = now.Add(100 * day) // noted by a clock that ran ahead
	if got := nextAfter(s, lives(90*day), nil, now); got.After(now) {
		t.Errorf("a success of the future holds renewals up until %s", got)
	}
}

func times() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			return time.Time{}
		case 1:
			return time.Unix(rapid.Int64().Draw(t, "any second"), 0).UTC()
		default:
			return dawn.Add(time.Duration(rapid.Int64Range(int64(-400*day), int64(400*day)).Draw(t, "near")))
		}
	})
}

// Whatever times there are, nothing panics, and no answer is absurd.
func TestPlansAreSane(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := func(what string) time.Time { return times().Draw(t, what) }
		s := assure.RenewalState{
			WindowStart: at("window start"), WindowEnd: at("window end"), LastSuccess: at("success"), Next: at("next"),
			Failures: rapid.OneOf(rapid.IntRange(0, 9), rapid.Int()).Draw(t, "failures"),
		}
		c := &assure.Cert{Fingerprint: rapid.String().Draw(t, "print"), NotBefore: at("begin"), NotAfter: at("end"), Names: []string{"a.example"}}
		now := at("now")
		due, why := plan(s, c, []string{"a.example"}, now)
		if due.After(c.NotAfter) || why == "" {
			t.Fatalf("due at %s, after the end at %s, because %q", due, c.NotAfter, why)
		}
		if next := nextAfter(s, c, nil, now); next.After(later(due, now.Add(day))) {
			t.Fatalf("next at %s, due at %s", next, due)
		}
		asked := time.Duration(rapid.Int64().Draw(t, "asked"))
		if p := pause(s.Failures, c, heed(asked, c, now)); p < shortestPause || p > maxRetryAfter {
			t.Fatalf("a pause of %s", p)
		}
		if n := attemptsLeft(s, c); n < -1 || n > 999 {
			t.Fatalf("%d attempts left", n)
		}
		if n := attemptsLeft(s, c); n == 0 && !s.Next.IsZero() && s.Next.Before(c.NotAfter) {
			t.Fatalf("no attempt left although the next is before the end")
		}
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
