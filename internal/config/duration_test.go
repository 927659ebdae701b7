package config

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"15m": 15 * time.Minute, "30d": 720 * time.Hour, "2w": 336 * time.Hour, "1h30m": 90 * time.Minute, "0": 0, "0s": 0,
		"1.5h": 90 * time.Minute, "250ms": 250 * time.Millisecond, "1d12h": 36 * time.Hour, " 5s ": 5 * time.Second,
	} {
		got, err := ParseDuration(in)
		if err != nil || got.Std() != want {
			t.Errorf("%q is %v (%v), want %v", in, got.Std(), err, want)
		}
		if back, err := ParseDuration(got.String()); err != nil || back != got {
			t.Errorf("%q prints as %q, which reads as %v (%v)", in, got.String(), back, err)
		}
	}
	for _, in := range []string{"", "5", "m", "5 m", "-5m", "1e3s", "5y", "5m-1s", "99999999999w", "1..5h", "101w99999d", "1h.", "NaNs"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q was read as %v", in, got)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"15m", "1h30m", "0", "1.5d", "9w", "-1s", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 || d.Std() > maxDuration {
			t.Fatalf("%q is %v", s, d.Std())
		}
		cut := Duration(d.Std().Truncate(time.Millisecond))
		if back, err := ParseDuration(cut.String()); err != nil || back != cut {
			t.Fatalf("%q prints as %q, which reads as %v (%v)", s, cut.String(), back, err)
		}
	})
}
