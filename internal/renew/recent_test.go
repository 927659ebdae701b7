package renew

import (
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/lab/authority"
)

// Two validations at one record: the second waits until the authority's resolver cannot remember what the first one
// showed it, and says so. Another record does not wait, and neither does one after a canary, which no authority looked at.
func TestAValidationWaitsForResolversToForget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	c := w.ca()
	var recent Recent
	const ttl = 1500 * time.Millisecond
	solvers := w.dns(func(o *DNSOptions) { o.TTL, o.Recent = ttl, &recent })
	waited := func(name string) bool {
		t.Helper()
		var st steps
		if _, err := c.Issue(deadline(t), Request{Names: []string{name}}, solvers, st.add); err != nil {
			t.Fatal(err)
		}
		said := false
		for _, s := range st.all {
			said = said || strings.Contains(s.Detail, "resolvers may remember")
		}
		return said
	}
	canary, err := solvers[0].(*DNSSolver).Write(deadline(t), "_acme-challenge.a.example", canaryValue())
	if err != nil {
		t.Fatal(err)
	}
	if err := canary.Withdraw(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if waited("a.example") {
		t.Error("a validation waited for a canary")
	}
	if waited("b.example") {
		t.Error("a validation waited for one at another record")
	}
	began := time.Now()
	if !waited("a.example") || time.Since(began) < ttl/10 {
		t.Error("the second validation at a record did not wait")
	}
	w.clean()
}

func TestRecent(t *testing.T) {
	noon := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	var none *Recent
	none.note("a", noon)
	if d := none.left("a", time.Minute, noon); d > 0 {
		t.Errorf("without a memory %s are waited", d)
	}
	r := &Recent{}
	r.note("a", noon)
	for at, want := range map[time.Duration]time.Duration{0: time.Minute, 50 * time.Second: 10 * time.Second, 2 * time.Minute: -time.Minute, -time.Hour: 0} {
		if d := r.left("a", time.Minute, noon.Add(at)); d != want {
			t.Errorf("%s after it %s are waited, want %s", at, d, want)
		}
	}
	if d := r.left("a", 24*time.Hour, noon); d != maxRemembered {
		t.Errorf("a day is waited for %s", d)
	}
	if r.note("b", noon.Add(time.Hour)); len(r.at) != 1 {
		t.Errorf("what is of no use stays: %v", r.at)
	}
}
