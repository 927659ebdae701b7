package store

import (
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func climbed(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop, mail}))
	at := func(n int, c string, k assure.AttemptKind, o assure.Outcome) time.Time {
		a := attempt(n, k)
		a.Certificate, a.Ended, a.Outcome = c, epoch.Add(time.Duration(n)*time.Hour), o
		must(w.PutAttempt(w.ctx, a))(t)
		return a.Ended
	}
	at(1, "shop", assure.RehearseCanary, assure.Done)
	canary := at(2, "shop", assure.RehearseCanary, assure.Done)
	at(3, "shop", assure.RehearseCanary, assure.Failed)
	at(4, "shop", assure.RehearseStatic, assure.Unclear)
	at(5, "shop", assure.AttemptRenewal, assure.Done)
	static := at(6, "mail", assure.RehearseStatic, assure.Done)
	must(w.PutAttempt(w.ctx, attempt(7, assure.RehearseFull)))(t) // it runs
	same(t, "climbed", must(w.Climbed(w.ctx, []string{"mail", "shop", "shop", "none"}))(t), map[string]map[assure.AttemptKind]time.Time{
		"shop": {assure.RehearseCanary: canary}, "mail": {assure.RehearseStatic: static},
	})
	same(t, "of none", len(must(w.Climbed(w.ctx, nil))(t)), 0)
}
