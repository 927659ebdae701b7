package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// expect holds what a rehearsal brought back against what the permission is known to rest on, and learns from it. What is
// not as expected goes into the fact, so that it is judged.
func (a *App) expect(ctx context.Context, r assure.Rehearsed) assure.Rehearsed {
	switch {
	case r.Rung == assure.RehearsePermission && len(r.Access) > 0:
		list, err := a.noteAccess(ctx, r)
		if err != nil {
			a.tries.Error("compare permissions with what is expected", "renewer", r.Renewer, "error", err)
			return r
		}
		r.Expected = slices.DeleteFunc(list, func(e assure.Expected) bool {
			return e.Learned.IsZero() || len(e.Gone()) == 0 && e.Answer != assure.Forbidden
		})
	case refusedIn(r):
		list, err := a.db.Expected(ctx, r.Renewer)
		if err != nil {
			a.tries.Error("read what is expected", "renewer", r.Renewer, "error", err)
			return r
		}
		r.Expected = slices.DeleteFunc(list, func(e assure.Expected) bool {
			return !slices.ContainsFunc(r.Steps, func(s assure.Step) bool {
				return s.Trouble != nil && strings.EqualFold(s.Trouble.Scope, e.Scope) && strings.EqualFold(s.Trouble.Action, e.Action)
			})
		})
		for i := range r.Expected { // what the cloud answers is another rung's evidence
			r.Expected[i].Answer, r.Expected[i].Named = "", nil
		}
	}
	return r
}

// noteAccess tries again when another process wrote at the same time.
func (a *App) noteAccess(ctx context.Context, r assure.Rehearsed) (list []assure.Expected, err error) {
	for range 3 {
		if list, err = a.db.NoteAccess(ctx, r.Renewer, r.Access, a.now()); !errors.Is(err, assure.ErrConflict) {
			return list, err
		}
	}
	return list, err
}

// refusedIn reports whether a step met a refusal.
func refusedIn(r assure.Rehearsed) bool {
	return slices.ContainsFunc(r.Steps, func(s assure.Step) bool {
		return s.Outcome == assure.Failed && s.Trouble != nil && s.Trouble.Reason == assure.DNSWriteDenied
	})
}

// Expected returns what the permissions of renewers are known to rest on, of all when none is named.
func (a *App) Expected(ctx context.Context, renewer string) ([]assure.Expected, error) {
	return a.db.Expected(ctx, renewer)
}

// AcceptGrants makes what the cloud named last what the permissions of a renewer rest on, and returns what was accepted.
func (a *App) AcceptGrants(ctx context.Context, renewer, who, reason string) ([]assure.Expected, error) {
	return a.db.AcceptGrants(ctx, renewer, who, "", reason, a.now().UTC().Truncate(time.Microsecond))
}
