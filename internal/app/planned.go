package app

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// AnnouncePlan keeps what a plan that is about to be applied means for what the permissions of renewers rest on. It counts
// for nothing before [App.EndPlan]. kept is how much of it is about identities that renew; with nothing kept there is no id.
func (a *App) AnnouncePlan(ctx context.Context, who, plan string, grants []assure.PlannedGrant) (id string, kept int, err error) {
	p, err := a.db.AnnouncePlan(ctx, assure.Planned{ID: rand.Text(), Plan: plan, By: who, Announced: a.now(), Grants: grants})
	if err != nil || len(p.Grants) == 0 {
		return "", 0, err
	}
	return p.ID, len(p.Grants), nil
}

// EndPlan says that the apply of an announced plan has ended with a status. What it was to make may be missed once the
// clouds of all renewers had their time to notice.
func (a *App) EndPlan(ctx context.Context, id, who, remote string, exit int) error {
	var settles time.Duration
	c := a.world.Load().config
	for i := range c.Certificates {
		if r, ok := c.RenewerOf(&c.Certificates[i]); ok {
			settles = max(settles, r.DNS.Settles())
		}
	}
	now := a.now()
	return a.db.EndPlan(ctx, id, who, remote, exit, now, now.Add(settles))
}
