package renew

import (
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 9, 22, 8, 0, 0, 0, time.UTC)
	d := &diary{}
	b := newBook(d)
	z := &zone{diary: d, txt: map[string][]string{"_acme-challenge.a.example": {"ours", "another's"}, "b.example": {"young"}}}
	put := func(id, renewer, name, value string, until time.Time) {
		if err := b.PutPending(deadline(t), assure.Pending{ID: id, Renewer: renewer, Name: name, Value: value, Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	put("1", "lab", "_acme-challenge.a.example", "ours", now.Add(-time.Minute))
	put("2", "lab", "b.example", "young", now.Add(time.Minute))
	put("3", "gone", "c.example", "nobody's", now.Add(-time.Minute))
	find := func(renewer string) DNS {
		if renewer != "lab" {
			return nil
		}
		return z
	}
	n, err := Sweep(deadline(t), b, find, now)
	wantTrouble(t, err, assure.DNSWriteFailed, assure.TroubleMissing, "gone", "c.example", "nobody's")
	if n != 1 || b.left() != 2 || len(z.records()["_acme-challenge.a.example"]) != 1 || len(z.records()["b.example"]) != 1 {
		t.Errorf("%d were swept, left are %v and %d entries", n, z.records(), b.left())
	}
	if n, err := Sweep(deadline(t), b, find, now); n != 0 || err != nil {
		t.Errorf("what another sweep holds was swept again: %d, %v", n, err)
	}

	put("4", "lab", "d.example", "stuck", now.Add(-time.Minute))
	z.set("d.example", "stuck")
	d.trip = tripOn("withdraw", 1, false)
	n, err = Sweep(deadline(t), b, find, now)
	if wantTrouble(t, err, assure.DNSWriteFailed, assure.TroubleTransient, "d.example"); n != 0 {
		t.Errorf("%d were swept", n)
	}
	d.trip = tripOn("drop", 1, true)
	if _, err = Sweep(deadline(t), b, find, now.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "withdrawn") {
		t.Errorf("an entry that could not be dropped: %v", err)
	}
	d.trip = nil
	if _, err = Sweep(deadline(t), b, func(string) DNS { return z }, now.Add(2*time.Hour)); err != nil {
		t.Error(err)
	}
	if b.left() != 0 || len(z.records()) != 1 {
		t.Errorf("left are %v and %d entries", z.records(), b.left())
	}
}
