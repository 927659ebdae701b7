package store

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/notafter/notafter/internal/assure"
)

// model is the ledger's evidence written down in the simplest way: every look, in its order.
type model struct {
	declared map[assure.ClaimID]assure.Claim
	looks    map[assure.ClaimID][]assure.Look // since it was declared
}

// TestModel does random things to a database and to the model, and compares what both say.
func TestModel(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	claims := claimsOf(4, epoch)
	facts := []func(assure.Claim) assure.Fact{
		func(c assure.Claim) assure.Fact { return good(c) },
		func(c assure.Claim) assure.Fact { return served(leaf(c.Subject, "2"), "192.0.2.1:443") },
		func(assure.Claim) assure.Fact { return bad() },
		func(assure.Claim) assure.Fact { return assure.Blind{Detail: "no network"} },
	}
	// A hundred databases take too long on a small machine; ask for more with -rapid.checks.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		ok(t, flag.Set("rapid.checks", "15"))
		defer func() { ok(t, flag.Set("rapid.checks", f.DefValue)) }()
	}
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		c := newClock()
		path := fmt.Sprintf("%s/%d.db", dir, n)
		ok(t, os.WriteFile(path, must(emptySQLite())(t), 0o600))
		db, err := Open(ctx, Options{DSN: path, Now: c.now})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { ok(t, db.Close()) }()
		w := world{db, c, ctx}
		m := model{map[assure.ClaimID]assure.Claim{}, map[assure.ClaimID][]assure.Look{}}
		rt.Repeat(map[string]func(*rapid.T){
			"declare": func(rt *rapid.T) {
				var want []assure.Claim
				next := map[assure.ClaimID]assure.Claim{}
				for _, claim := range claims {
					if !rapid.Bool().Draw(rt, "declared") {
						delete(m.looks, claim.ID)
						continue
					}
					claim.Declared = c.now()
					want = append(want, claim)
					if had, ok := m.declared[claim.ID]; ok {
						claim.Declared = had.Declared
					}
					next[claim.ID] = claim
				}
				m.declared = next
				ok(t, db.Declare(ctx, want))
			},
			"look": func(rt *rapid.T) {
				var looks []assure.Look
				for _, claim := range claims {
					for range rapid.IntRange(0, 2).Draw(rt, "looks") {
						l := w.look(claim, rapid.SampledFrom(facts).Draw(rt, "fact")(claim))
						looks = append(looks, l)
						if _, declared := m.declared[claim.ID]; declared {
							m.looks[claim.ID] = append(m.looks[claim.ID], l)
						}
						c.advance(time.Second)
					}
				}
				var ids []assure.ClaimID
				for _, claim := range claims {
					ids = append(ids, claim.ID)
				}
				cycle(ctx, t, db, c.now(), looks, ids...)
			},
			"wait": func(rt *rapid.T) {
				c.advance(time.Duration(rapid.IntRange(1, 2000).Draw(rt, "minutes")) * time.Minute)
			},
			"deliver": func(rt *rapid.T) {
				for _, id := range w.pending(t) {
					w.deliver(t, id) // in their order, so each can be taken
				}
			},
			"": func(rt *rapid.T) { m.compare(rt, w) },
		})
		sound(t, db)
	})
}

func (m model) compare(t *rapid.T, w world) {
	tx, err := w.Begin(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	ids := slices.Sorted(maps.Keys(m.declared))
	cases, err := tx.Cases(w.ctx, append(ids, "no/such/claim"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(w.ctx); err != nil {
		t.Fatal(err)
	}
	if len(cases) != len(ids) {
		t.Fatalf("%d cases of %d claims", len(cases), len(ids))
	}
	for i, c := range cases {
		if c.Claim != m.declared[ids[i]] {
			t.Fatalf("claim %+v, want %+v", c.Claim, m.declared[ids[i]])
		}
		looks := m.looks[ids[i]]
		if len(looks) == 0 {
			if c.Evidence != nil {
				t.Fatalf("%s was never seen and has evidence %+v", ids[i], c.Evidence)
			}
			continue
		}
		last := looks[len(looks)-1]
		if c.Evidence == nil || c.Evidence.Fact.Key() != last.Fact.Key() || !c.Evidence.LastSeen.Equal(last.At) || c.Evidence.FirstSeen.After(c.Evidence.LastSeen) {
			t.Fatalf("%s: evidence %+v, want the look %+v", ids[i], c.Evidence, last)
		}
		if c.Evidence.Alternate != nil {
			m.turns(t, looks, c.Evidence)
		}
		total := int64(0)
		runs, err := w.History(w.ctx, c.Claim.Certificate, 500, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			if !r.LastSeen.Before(c.Claim.Declared) {
				total += r.Count
			}
		}
		if total < int64(len(looks)) {
			t.Fatalf("%s: the history counts %d looks, want at least %d", ids[i], total, len(looks))
		}
	}
}

// turns holds an alternate against the looks: the fact was seen, then the alternate, then the fact again at Returned.
func (m model) turns(t *rapid.T, looks []assure.Look, e *assure.Evidence) {
	at := slices.IndexFunc(looks, func(l assure.Look) bool { return l.At.Equal(e.Returned) })
	if at < 2 || looks[at].Fact.Key() != e.Fact.Key() || looks[at-1].Fact.Key() != e.Alternate.Key() {
		t.Fatalf("alternate %v, returned %s: not what was looked at in %d looks", e.Alternate.Key(), e.Returned, len(looks))
	}
	if !slices.ContainsFunc(looks[:at-1], func(l assure.Look) bool { return l.Fact.Key() == e.Fact.Key() }) {
		t.Fatal("returned to what was never seen before")
	}
	for _, l := range looks[at:] {
		if l.Fact.Key() != e.Fact.Key() {
			t.Fatal("it has turned again since")
		}
	}
}
