package assure

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Life is the plan of a certificate's lifetime: shares of it, never fixed days, so that the same rule serves a
// certificate of six days and one of 398.
type Life struct {
	NotBefore time.Time
	NotAfter  time.Time
	// Expected is when a healthy renewer renews: two thirds of the lifetime after its start, as certificate authorities
	// advise where they offer no renewal window of their own (RFC 9773).
	Expected time.Time
	// RenewBy is when that must have happened: two attempts of the renewer, or three hundredths of the lifetime, later.
	RenewBy time.Time
	// PageAt is when a person must act: what is left is under the larger of a tenth of the lifetime and the team's time
	// to repair. Never before RenewBy, or a certificate shorter than the time to repair would page while all is well.
	PageAt time.Time
}

// PlanLife computes the plan for a certificate valid from notBefore to notAfter.
func PlanLife(notBefore, notAfter time.Time, repair time.Duration, p Policy) Life {
	l := Life{NotBefore: notBefore.UTC(), NotAfter: notAfter.UTC()}
	total := notAfter.Sub(notBefore)
	if total <= 0 {
		l.Expected, l.RenewBy, l.PageAt = l.NotAfter, l.NotAfter, l.NotAfter
		return l
	}
	l.Expected = l.NotBefore.Add(total / 3 * 2).Truncate(time.Second)
	l.RenewBy = l.Expected.Add(max(2*p.RetryInterval, total/100*3)).Truncate(time.Second)
	if l.RenewBy.After(l.NotAfter) {
		l.RenewBy = l.NotAfter
	}
	if repair <= 0 {
		repair = p.repair()
	}
	l.PageAt = l.NotAfter.Add(-max(total/10, repair)).Truncate(time.Second)
	if l.PageAt.Before(l.RenewBy) {
		l.PageAt = l.RenewBy
	}
	return l
}

func (p Policy) repair() time.Duration {
	if p.TimeToRepair > 0 {
		return p.TimeToRepair
	}
	return DefaultTimeToRepair
}

func (p Policy) clear() int {
	if p.Clear > 0 {
		return p.Clear
	}
	return 2
}

// lifetimeLimit is the longest validity the CA/Browser Forum's Baseline Requirements allowed for a certificate issued
// on that day (section 6.3.2; ballot 193 for 825 days, the root programs' rule of 2020 for 398, ballot SC-081v3 for what follows). The dates are
// the first days on which each limit holds.
func lifetimeLimit(issued time.Time) time.Duration {
	const day = 24 * time.Hour
	steps := []struct {
		from time.Time
		max  time.Duration
	}{
		{time.Date(2029, 3, 15, 0, 0, 0, 0, time.UTC), 47 * day},
		{time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC), 100 * day},
		{time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC), 200 * day},
		{time.Date(2020, 9, 1, 0, 0, 0, 0, time.UTC), 398 * day},
		{time.Date(2018, 3, 1, 0, 0, 0, 0, time.UTC), 825 * day},
	}
	for _, s := range steps {
		if !issued.Before(s.from) {
			return s.max
		}
	}
	return 1187 * day // 39 months
}

// Ago tells a duration as people do: the largest unit, and a second one where it matters. It rounds down and never
// says zero of anything but seconds.
func Ago(d time.Duration) string {
	if d < 0 {
		d = -max(d, -math.MaxInt64)
	}
	const day = 24 * time.Hour
	two := func(a int64, au string, b int64, bu string) string {
		if b == 0 {
			return fmt.Sprintf("%d%s", a, au)
		}
		return fmt.Sprintf("%d%s %d%s", a, au, b, bu)
	}
	switch {
	case d >= 10*day:
		return fmt.Sprintf("%dd", d/day)
	case d >= day:
		return two(int64(d/day), "d", int64(d%day/time.Hour), "h")
	case d >= time.Hour:
		return two(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "m")
	case d >= time.Minute:
		return two(int64(d/time.Minute), "m", int64(d%time.Minute/time.Second), "s")
	default:
		return fmt.Sprintf("%ds", d/time.Second)
	}
}

// Between is the time between two moments, in either order, as [Ago] puts it. It knows more than the 292 years of a
// duration: a certificate without an end has the year 9999 (RFC 5280 section 4.1.2.5).
func Between(a, b time.Time) string {
	if d := b.Sub(a); d > math.MinInt64 && d < math.MaxInt64 {
		return Ago(d)
	}
	days := (b.Unix() - a.Unix()) / (24 * 60 * 60)
	return fmt.Sprintf("%dd", max(days, -days))
}

func stamp(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04:05 UTC") }

// clip keeps text from certificates and servers short and free of control characters, for sentences that end up on
// terminals, in mails and on pages.
func clip(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
