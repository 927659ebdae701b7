package renew

import (
	"slices"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

// What the permission rests on is asked with no rung switched on, once for all certificates of a renewer; and a loss that
// is met there is closed by nothing but a renewal, as one that a rung meets.
func TestGrantsAreAskedWithoutARung(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	canary := map[assure.AttemptKind]time.Duration{assure.RehearseCanary: 12 * time.Hour}
	k := h.keeper([]Job{h.job("a", h.climbs(canary)), h.job("b", h.climbs(canary)), h.job("mute", func(j *Job) { j.Renewer, j.Asker = "other", nil })})
	for _, n := range []string{"a", "b"} {
		h.attempt(k, n, false)
		h.rehearse(k, n)
	}
	look := func(name string) assure.Rehearsed {
		t.Helper()
		r, ok := k.Grants(deadline(t), name, time.Hour)
		if !ok || r.Rung != assure.SubjectGrants || r.Renewer != "lab" || len(r.Access) == 0 || len(r.Steps) == 0 {
			t.Fatalf("%s: %t %+v", name, ok, r)
		}
		return r
	}
	look("a")
	look("b")
	if n := h.asker.times(); n != 1 {
		t.Errorf("the cloud was asked %d times about one zone", n)
	}
	if _, ok := k.Grants(deadline(t), "mute", time.Hour); ok {
		t.Error("where nobody can be asked, there is something to see")
	}
	if _, ok := k.Grants(deadline(t), "nobody", time.Hour); ok {
		t.Error("a certificate that is not renewed here is looked at")
	}

	h.pass(time.Hour)
	h.asker.say(assure.Untold)
	if r := look("a"); r.Steps[0].Outcome != assure.Unclear || !h.shelf.state("a").Unproven.IsZero() {
		t.Errorf("no answer is taken for a loss: %+v", r)
	}
	h.pass(time.Hour)
	h.asker.say(assure.Forbidden)
	h.dns.refuse(denied())
	if r := look("b"); r.Steps[0].Outcome != assure.Failed {
		t.Errorf("refused, and it says %+v", r)
	}
	doubted := func() (list []string) {
		for _, n := range []string{"a", "b"} {
			if !h.shelf.state(n).Unproven.IsZero() {
				list = append(list, n)
			}
		}
		return list
	}
	if got := doubted(); len(got) != 1 {
		t.Fatalf("a loss is to be proven mended by one, and it is by %v", got)
	}
	look("a")
	stop := h.run(k)
	for _, n := range []string{"a", "b"} {
		await(t, "canary of "+n+", which is not due", func() bool {
			list := h.facts.about(n, string(assure.RehearseCanary))
			return slices.ContainsFunc(list[len(list)-1].(assure.Rehearsed).Steps, func(s assure.Step) bool { return s.Outcome == assure.Failed })
		})
	}
	stop()

	h.asker.say(assure.Allowed)
	h.dns.refuse(nil)
	h.pass(time.Hour)
	look("b")
	look("a")
	if got := doubted(); len(got) != 1 {
		t.Error("an answer alone is taken for a proof")
	}
	h.run(k)
	await(t, "proof by a renewal", func() bool { return len(doubted()) == 0 })
}

// Where somebody is at the certificate at that moment, nothing is waited for.
func TestGrantsBesideARenewal(t *testing.T) {
	t.Parallel()
	h := newHouse(t, authority.Options{})
	k := h.keeper([]Job{h.job("a")})
	h.attempt(k, "a", false)
	h.asker.say(assure.Forbidden)
	if !k.claim("a") {
		t.Fatal("it is busy")
	}
	r, ok := k.Grants(deadline(t), "a", time.Hour)
	if !ok || r.Steps[0].Outcome != assure.Failed {
		t.Errorf("%t %+v", ok, r)
	}
	k.free("a")
}
