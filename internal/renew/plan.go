package renew

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/notafter/notafter/internal/assure"
)

// plan says when the certificate is to be renewed, and why then. newest is nil when none was issued yet.
func plan(s assure.RenewalState, newest *assure.Cert, names []string, now time.Time) (due time.Time, why string) {
	switch missing := missingNames(newest, names); {
	case newest == nil:
		return now, "no certificate has been issued yet"
	case len(missing) > 0:
		return now, "the names that are declared changed"
	case !s.WindowStart.IsZero() && s.WindowEnd.After(s.WindowStart):
		// A point of the window that is the same at every look and another for every certificate (RFC 9773 section 4.2 asks
		// for a random one, so that clients spread out).
		at := s.WindowStart.Add(time.Duration(fraction(newest.Fingerprint) * float64(s.WindowEnd.Sub(s.WindowStart)))).Truncate(time.Second)
		// An authority that asks for a time at which it is too late to mend anything is not obeyed.
		if latest := newest.NotAfter.Add(-max(newest.NotAfter.Sub(newest.NotBefore), 0) / 10); at.After(latest) {
			return latest, fmt.Sprintf("a tenth of the lifetime is left then; the authority asks for a later time, between %s and %s", stamp(s.WindowStart), stamp(s.WindowEnd))
		}
		return at, fmt.Sprintf("the authority asks for a time between %s and %s", stamp(s.WindowStart), stamp(s.WindowEnd))
	default:
		life := assure.PlanLife(newest.NotBefore, newest.NotAfter, 0, assure.Policy{})
		return life.Expected, "two thirds of the lifetime are over then"
	}
}

// nextAfter is when the next attempt may be made after a success: when it is due, but with a rest after the last one,
// whatever a window, a list of names or a clock says. Without it, what is due at once again would be ordered again and
// again.
func nextAfter(s assure.RenewalState, newest *assure.Cert, names []string, now time.Time) time.Time {
	due, _ := plan(s, newest, names, now)
	if s.LastSuccess.IsZero() || s.LastSuccess.After(now) {
		return due
	}
	least := pause(len(pauses), newest, 0)
	if len(missingNames(newest, names)) > 0 {
		least = pause(1, newest, 0)
	}
	if rested := s.LastSuccess.Add(least); due.Before(rested) {
		return rested
	}
	return due
}

// fraction is a number from 0 up to 1 that depends on the text alone.
func fraction(text string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return float64(h.Sum64()>>11) / (1 << 53)
}

// missingNames are the wanted names that a certificate does not hold.
func missingNames(c *assure.Cert, wanted []string) []string {
	if c == nil {
		return nil
	}
	held := make(map[string]bool, len(c.Names))
	for _, n := range c.Names {
		held[canonical(n)] = true
	}
	var out []string
	for _, n := range wanted {
		if !held[canonical(n)] {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

func canonical(name string) string {
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().String()
	}
	name = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "."))
	base, wild := strings.CutPrefix(name, "*.")
	if ascii, err := idna.Lookup.ToASCII(base); err == nil { // as it is ordered
		base = ascii
	}
	if wild {
		return "*." + base
	}
	return base
}

// pauses after the first, second, third and every further failure of a certificate of ninety days, as Let's Encrypt's
// integration guide advises. For other lifetimes they are shares.
var pauses = [...]time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, 24 * time.Hour}

const (
	pausesFor     = 90 * 24 * time.Hour
	shortestPause = time.Second
	// unknownLife is the lifetime that counts where there is no certificate yet: a day between attempts would be long
	// for somebody who waits for a first certificate, and ten a day stay below every limit of Let's Encrypt.
	unknownLife = 9 * 24 * time.Hour
)

// pause is how long to wait after the given number of failures in a row. asked is what the other side asked for.
func pause(failures int, newest *assure.Cert, asked time.Duration) time.Duration {
	life := unknownLife
	if newest != nil && newest.NotAfter.After(newest.NotBefore) {
		life = min(newest.Lifetime(), pausesFor) // a year is no reason to try less than daily
	}
	p := pauses[min(max(failures, 1), len(pauses))-1]
	p = max(time.Duration(float64(p)*(float64(life)/float64(pausesFor))), shortestPause)
	return max(p, asked)
}

// heed is how much of the pause that the other side asked for is kept: all of it, unless the certificate would end
// meanwhile. Asking too early costs another refusal, asking too late costs the service.
func heed(asked time.Duration, newest *assure.Cert, now time.Time) time.Duration {
	asked = min(max(asked, 0), maxRetryAfter)
	if newest == nil {
		return asked
	}
	return min(asked, max(newest.NotAfter.Sub(now)/2, 0))
}

// attemptsLeft counts the attempts that fit before the certificate ends, -1 when there is none to end.
func attemptsLeft(s assure.RenewalState, newest *assure.Cert) int {
	if newest == nil || s.Next.IsZero() {
		return -1
	}
	const most = 999
	n, at := 0, s.Next
	for failures := s.Failures; at.Before(newest.NotAfter) && n < most; failures++ {
		n++
		at = at.Add(pause(failures+1, newest, 0))
	}
	return n
}

func stamp(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04:05 UTC") }
