package iac

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestWhatMustHoldOfAnyPlan judges small plans that chance made, and holds what is said against what can be told without
// any cleverness: what nothing covers afterwards is said, and what stands all the time is not.
func TestWhatMustHoldOfAnyPlan(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 2026))
	scopes := []Path{{}, {"p"}, {"p", "a"}, {"p", "b"}}
	actions := []Action{NoOp, NoOp, NoOp, Create, Update, Delete, Delete, DeleteCreate, CreateDelete, Forget, CreateForget, UnknownAction}
	for range 4000 {
		var before, after []Tie
		tie := func(c *Change) Tie {
			return grantIn(c, []string{"cm", "dns"}[r.IntN(2)], "dns.writer", scopes[r.IntN(len(scopes))], []Right{RightAll, RightWrite, RightDelete | RightRead}[r.IntN(3)])
		}
		var story []string
		for i := range 1 + r.IntN(5) {
			c := change(actions[r.IntN(len(actions))], fmt.Sprintf("x_grant.g%d", i), nil, nil, nil)
			old, now := tie(&c), tie(&c)
			switch {
			case c.Do == NoOp || c.Do == Forget || r.IntN(3) == 0:
				now = old
			}
			if c.Do != Create {
				before = append(before, old)
			}
			if c.Do != Delete {
				after = append(after, now)
			}
			story = append(story, fmt.Sprintf("%s %s: %s %s %s -> %s %s %s", c.Do, c.Address, old.Principal, old.Rights, old.Scope, now.Principal, now.Rights, now.Scope))
		}
		v := weighed(Inventory{}, before, after)
		said := func(b Tie) bool {
			return slices.ContainsFunc(v.Findings, func(f Finding) bool {
				return f.Class != Safe && f.Fingerprint != "" && f.Principal == b.Principal && (f.Scope == b.scope())
			})
		}
		for _, b := range before {
			covered := slices.ContainsFunc(after, func(a Tie) bool {
				return a.Principal == b.Principal && a.Rights&b.Rights&RightWrite != 0 && a.Scope.Covers(b.Scope)
			})
			lives := b.From.Change.Forgets()
			if b.Rights&RightWrite != 0 && !covered && !lives && !said(b) {
				t.Fatalf("nothing covers %s of %s on %s afterwards, and nothing is said:\n%s\nsaid: %q", b.Rights, b.Principal, b.Scope, strings.Join(story, "\n"), classesOf(v))
			}
			stands := slices.ContainsFunc(after, func(a Tie) bool { return a.From.Change.Do == NoOp && a.Covers(&b) })
			if stands && b.From.Change.Do != UnknownAction && slices.ContainsFunc(v.Findings, func(f Finding) bool {
				return f.Address == b.From.Change.Address
			}) {
				t.Fatalf("%s of %s on %s stands all the time, and is told of:\n%s\nsaid: %q", b.Rights, b.Principal, b.Scope, strings.Join(story, "\n"), classesOf(v))
			}
		}
		if v.Class == Safe != (len(v.Findings) == 0) {
			t.Fatalf("verdict %s with findings %q", v.Class, classesOf(v))
		}
	}
}
