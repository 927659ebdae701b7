package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/iac"
)

// Bounds of what is told of a plan, which are the API's. A plan that touches more grants of those who renew is not a change
// of theirs.
const (
	mostGrants    = 200
	mostSpellings = 20
	longestPath   = 1024
	longestName   = 256
)

// grantsToTell are the grants of a plan that identities which renew hold, by what is known of the certificates.
func grantsToTell(plan *iac.Plan, inv iac.Inventory) []assure.PlannedGrant {
	renews := map[string]bool{}
	for _, c := range inv.Certificates {
		for _, id := range c.Identities {
			renews[strings.ToLower(id)] = true
		}
	}
	list := iac.Granted(plan, func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return renews[strings.ToLower(n)] })
	})
	// What is longer than any cloud has it is not told; the API would refuse it, and the rest with it.
	list = slices.DeleteFunc(list, func(g assure.PlannedGrant) bool {
		return g.Scope == "" || len(g.Address) > longestPath || len(g.Scope) > longestPath || len(g.ID) > longestPath || len(g.Principal) > longestName
	})
	for i := range list {
		g := &list[i]
		g.Also = slices.DeleteFunc(slices.Clone(g.Also), func(s string) bool { return len(s) > longestName })
		g.Also = g.Also[:min(mostSpellings, len(g.Also))]
	}
	if !slices.ContainsFunc(list, func(g assure.PlannedGrant) bool { return g.Does != assure.PlanKeeps }) {
		return nil // it changes nothing
	}
	return list
}

// foretell tells before an apply what the plan means for what renewal rests on, and returns how to tell its end. It is not
// worth an apply that does not happen: what goes wrong is said, and costs no more than a ticket that somebody answers.
func (p *program) foretell(ctx context.Context, o applyOptions, c climber, digest string, grants []assure.PlannedGrant) (ended func(exit int)) {
	nothing := func(int) {}
	if len(grants) == 0 {
		return nothing
	}
	if len(grants) > mostGrants {
		p.told("note: the plan changes more than %d grants of whoever renews; what it means for them is not told, and may be taken for drift", mostGrants)
		return nothing
	}
	who := p.sign(o.who)
	id, err := c.announce(ctx, who, digest, grants)
	if err != nil {
		p.told("note: what the plan means for what renewal rests on could not be told, and may be taken for drift: %s", cleanLines(err.Error()))
		return nothing
	}
	if id == "" {
		return nothing
	}
	return func(exit int) {
		// Who interrupted the command did not mean this.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := c.ended(ctx, id, who, exit); err != nil {
			p.told("note: that the apply has ended could not be told; what it changed may be taken for drift: %s", cleanLines(err.Error()))
		}
	}
}

// plannedGrant is one grant of a plan, as the API takes it.
type plannedGrant struct {
	Does      assure.PlannedDoes `json:"does"`
	Address   string             `json:"address"`
	Principal string             `json:"principal"`
	Also      []string           `json:"also,omitempty"`
	Scope     string             `json:"scope"`
	Rights    []string           `json:"rights,omitempty"`
	ID        string             `json:"id,omitempty"`
}

func (c *farClimber) announce(ctx context.Context, who, digest string, grants []assure.PlannedGrant) (id string, err error) {
	in := struct {
		Plan   string         `json:"plan"`
		Grants []plannedGrant `json:"grants"`
		Who    string         `json:"who,omitempty"`
	}{digest, nil, who}
	for _, g := range grants {
		in.Grants = append(in.Grants, plannedGrant{g.Does, g.Address, g.Principal, g.Also, g.Scope, g.Rights, g.ID})
	}
	var v struct {
		ID string `json:"id"`
	}
	err = c.api.call(ctx, http.MethodPost, "/api/v1/plans", nil, in, &v)
	return v.ID, err
}

func (c *farClimber) ended(ctx context.Context, id, who string, exit int) error {
	var v struct{}
	return c.api.call(ctx, http.MethodPost, "/api/v1/plans/"+url.PathEscape(id)+"/ended", nil, map[string]any{"exit": exit, "who": who}, &v)
}

func (c *hereClimber) announce(ctx context.Context, who, digest string, grants []assure.PlannedGrant) (id string, err error) {
	id, _, err = c.h.app.AnnouncePlan(ctx, who, digest, grants)
	return id, err
}

func (c *hereClimber) ended(ctx context.Context, id, who string, exit int) error {
	return c.h.app.EndPlan(ctx, id, who, "", exit)
}
