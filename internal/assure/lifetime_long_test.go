package assure_test

import (
	"testing"
	"time"

	. "github.com/notafter/notafter/internal/assure"
)

// A certificate without an end lives longer than a duration holds, and must not come out as one of a negative lifetime.
func TestLongerThanADuration(t *testing.T) {
	from, to := time.Date(2026, 10, 8, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	if a, b := Between(from, to), Between(to, from); a != "2912162d" || b != a {
		t.Errorf("between them are %s and %s", a, b)
	}
	if got := Between(from, from.Add(90*time.Minute)); got != "1h 30m" {
		t.Errorf("an hour and a half is %s", got)
	}
	if d := (Cert{NotBefore: from, NotAfter: to}).Lifetime(); d < 290*365*24*time.Hour {
		t.Errorf("it lives %s", d)
	}
}
