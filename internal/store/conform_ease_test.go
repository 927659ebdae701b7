package store

import (
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// eases lets one of two claims that share an intermediate get better: what is left of the incident is elsewhere, and so
// is the moment at which it hurts.
func eases(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop, mail}))
	ends := func(c assure.Claim, at time.Time) assure.Served {
		s := good(c)
		s.Chains[0].Paths[0].NotAfter, s.Chains[0].Paths[0].LimitedBy = at, intermediate.Fingerprint
		return s
	}
	later := epoch.Add(4 * 24 * time.Hour)
	w.sees(t, mail, ends(mail, later))
	w.sees(t, shop, ends(shop, epoch.Add(-time.Hour)))
	incidents := func() []assure.Incident {
		list, _, err := w.Incidents(w.ctx, assure.IncidentQuery{State: assure.Open})
		ok(t, err)
		return list
	}
	open := incidents()
	if len(open) != 1 || open[0].Stage != assure.StageOutage || !open[0].HurtsAt.Equal(epoch.Add(-time.Hour)) {
		t.Fatalf("the incidents are %+v", open)
	}
	for range 2 {
		w.c.advance(time.Minute)
		w.sees(t, shop, ends(shop, later.Add(24*time.Hour)))
	}
	open = incidents()
	if len(open) != 1 || open[0].Stage >= assure.StageOutage || !open[0].HurtsAt.Equal(later) {
		t.Errorf("the incident eased to %+v, want one that hurts at %s", open, later)
	}
}
