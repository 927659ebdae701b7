package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, written as text: numbers with the units w, d, h, m, s and ms, as in "15m", "30d" or
// "1h30m". A day is 24 hours.
type Duration time.Duration

// maxDuration keeps sums of a few durations and a time far from overflowing.
const maxDuration = 100 * 365 * 24 * time.Hour

var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
}

// ParseDuration reads a duration, which is never negative. "0" needs no unit; anything else does.
func ParseDuration(s string) (Duration, error) {
	in := strings.TrimSpace(s)
	if in == "" {
		return 0, errors.New(`is empty: want a duration such as "15m" or "30d"`)
	}
	if in == "0" {
		return 0, nil
	}
	var total time.Duration
	for rest := in; rest != ""; {
		n := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if n < 0 {
			return 0, fmt.Errorf(`%s has no unit: want w, d, h, m, s or ms, as in "15m"`, quote(in))
		}
		u := strings.IndexFunc(rest[n:], func(r rune) bool { return r == '.' || r >= '0' && r <= '9' })
		if u < 0 {
			u = len(rest) - n
		}
		number, unit := rest[:n], rest[n:n+u]
		rest = rest[n+u:]
		var size time.Duration
		for _, d := range durationUnits {
			if d.name == unit {
				size = d.unit
			}
		}
		if size == 0 || number == "" {
			return 0, fmt.Errorf(`%s is not a duration: want numbers with the units w, d, h, m, s or ms, as in "15m" or "30d"`, quote(in))
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is not a duration: %s is not a number", quote(in), quote(number))
		}
		if v*float64(size) > float64(maxDuration) {
			return 0, fmt.Errorf("%s is longer than a hundred years", quote(in))
		}
		if w, err := strconv.ParseInt(number, 10, 64); err == nil {
			total += time.Duration(w) * size
		} else {
			total += time.Duration(v * float64(size))
		}
		if total > maxDuration {
			return 0, fmt.Errorf("%s is longer than a hundred years", quote(in))
		}
	}
	return Duration(total), nil
}

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String gives the shortest text that ParseDuration reads as d, cut to milliseconds.
func (d Duration) String() string {
	rest := time.Duration(d)
	if rest < time.Millisecond {
		return "0s"
	}
	var b strings.Builder
	for _, u := range durationUnits {
		if u.name == "w" && rest%u.unit != 0 {
			continue // "30d" reads better than "4w2d"
		}
		if n := rest / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			rest %= u.unit
		}
	}
	return b.String()
}

// MarshalText gives the form that the file has.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is [ParseDuration].
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}
