package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/renew"
)

// noting is whoever is asked about the permissions of a renewer. Each answer is held against what is expected, and learned
// from, before anybody hears of it.
type noting struct {
	renew.Asker
	app     *App
	renewer string
}

func (n noting) Ask(ctx context.Context, record string) []assure.Access {
	got := n.Asker.Ask(ctx, record)
	if ctx.Err() != nil || len(got) == 0 {
		return got // what was cut short is no answer
	}
	n.app.note(ctx, n.renewer, got)
	return got
}

// note holds answers against what is expected.
func (a *App) note(ctx context.Context, renewer string, got []assure.Access) {
	var err error
	for range 3 { // another process may write at the same time
		if _, err = a.db.NoteAccess(ctx, renewer, got, a.now()); !errors.Is(err, assure.ErrConflict) {
			break
		}
	}
	if err != nil && ctx.Err() == nil {
		a.tries.Error("compare permissions with what is expected", "renewer", renewer, "error", err)
	}
}

// asker is whom to ask about the permissions of a renewer; nil where nobody can be asked.
func (a *App) asker(name string, r *renewer) renew.Asker {
	if r.asker == nil {
		return nil
	}
	return noting{r.asker, a, name}
}

// lookAtGrants asks again what the permission of a certificate's next renewal rests on.
func (a *App) lookAtGrants(ctx context.Context, k *renew.Keeper, c assure.Claim) assure.Fact {
	r, ok := k.Grants(ctx, c.Certificate, c.Every)
	if !ok {
		return nil
	}
	return a.expect(ctx, r)
}

// compares reports whether what the permission of a certificate rests on is compared with what is expected.
func (a *App) compares(certificate string) bool {
	c := a.world.Load().config
	for i := range c.Certificates {
		if c.Certificates[i].Name == certificate {
			r, ok := c.RenewerOf(&c.Certificates[i])
			return ok && r.Drifts() > 0
		}
	}
	return false
}

// expect puts what is not as expected into what a rehearsal brought back, so that it is judged.
func (a *App) expect(ctx context.Context, r assure.Rehearsed) assure.Rehearsed {
	about := r.Access
	if len(about) == 0 { // what the cloud answers is another rung's evidence; what is refused rested on something all the same
		for _, s := range r.Steps {
			if t := s.Trouble; s.Outcome == assure.Failed && t != nil && t.Reason == assure.DNSWriteDenied {
				about = append(about, assure.Access{Action: t.Action, Scope: t.Scope})
			}
		}
	}
	if len(about) == 0 {
		return r
	}
	list, err := a.db.ExpectedOf(ctx, r.Renewer, about)
	if err != nil {
		a.tries.Error("read what is expected", "renewer", r.Renewer, "error", err)
		return r
	}
	if len(r.Access) == 0 {
		a.noteRefusals(ctx, r.Renewer, about)
	}
	for _, e := range list {
		if len(e.Missing) == 0 && (e.Learned.IsZero() || len(r.Access) > 0 && len(e.Gone()) == 0 && e.Answer != assure.Forbidden) {
			continue
		}
		if len(r.Access) == 0 {
			e.Answer, e.Named = "", nil
		}
		r.Expected = append(r.Expected, e)
	}
	return r
}

// noteRefusals notes that what was expected was refused when it was tried: that is as good as an answer, and what is given
// back after it may have another id although the cloud was not asked in between. It holds for all records of the zone: a
// grant that is lost is lost for each of them, and only some were tried.
func (a *App) noteRefusals(ctx context.Context, renewer string, tried []assure.Access) {
	list, err := a.db.Expected(ctx, renewer)
	if err != nil {
		a.tries.Error("read what is expected", "renewer", renewer, "error", err)
		return
	}
	var refused []assure.Access
	for _, e := range list {
		met := slices.ContainsFunc(tried, func(t assure.Access) bool {
			return strings.EqualFold(t.Action, e.Action) && strings.EqualFold(zoneOf(t.Scope), zoneOf(e.Scope))
		})
		if met && !e.Learned.IsZero() && e.Answer == assure.Allowed {
			refused = append(refused, assure.Access{Answer: assure.Forbidden, Identity: e.Identity, Action: e.Action, Scope: e.Scope})
		}
	}
	if len(refused) > 0 {
		a.note(ctx, renewer, refused)
	}
}

// zoneOf is the zone of a record's scope, where a cloud (Azure) has scopes for single records; else the scope.
func zoneOf(scope string) string {
	if i := strings.Index(strings.ToLower(scope), "/txt/"); i >= 0 {
		return scope[:i]
	}
	return scope
}

// Expected returns what the permissions of renewers are known to rest on, of all when none is named.
func (a *App) Expected(ctx context.Context, renewer string) ([]assure.Expected, error) {
	return a.db.Expected(ctx, renewer)
}

// AcceptGrants makes what the cloud named last what the permissions of a renewer rest on, and returns what was accepted.
func (a *App) AcceptGrants(ctx context.Context, renewer, who, reason string) ([]assure.Expected, error) {
	return a.db.AcceptGrants(ctx, renewer, who, "", reason, a.now().UTC().Truncate(time.Microsecond))
}
