package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/arm"
	"github.com/notafter/notafter/internal/lab/estate"
)

// A grant is deleted while nothing in code, state or plan says so, and a broader one covers: a ticket, and no page. When
// the broader one goes as well, the same incident grows to a page that says until when the permission held, and by what.
// What is given back is relied on from then on.
func TestADriftedGrantIsWorkAndItsLossAPage(t *testing.T) {
	t.Parallel()
	r := settle(t, pace{life: 10 * time.Minute, canary: 2 * time.Second, authorization: time.Hour}, "shop."+estate.AzureZone)
	driftThenLoss(t, r)
}

// The same without the rung that asks: what renewal rests on is compared on its own interval.
func TestDriftIsFoundWithoutTheRung(t *testing.T) {
	t.Parallel()
	r := settle(t, pace{life: 10 * time.Minute, canary: 2 * time.Second, authorization: time.Hour}, "shop."+estate.AzureZone)
	azure := r.config.Renewers["azure"]
	azure.Rehearse.Permission, azure.Drift = every(0), every(2*time.Second)
	r.config.Renewers["azure"] = azure
	driftThenLoss(t, r)
}

func driftThenLoss(t *testing.T, r *renewed) {
	t.Helper()
	p := start(t, r.config, "")
	until(t, 2*time.Minute, "certificate in service, and every rung climbed", func() bool { return r.sites[0].Leaf() != nil && p.climbed("shop") })
	until(t, 2*time.Minute, "grant that is relied on", func() bool {
		list, err := p.app.Expected(t.Context(), "azure")
		return err == nil && len(list) > 0
	})
	type grown struct{ ID, State, Stage, Reason, Cause, Summary, Action string }
	grant := func() (g grown) {
		var page struct{ Incidents []grown }
		p.get("/api/v1/incidents?limit=500", &page)
		for _, i := range page.Incidents {
			if i.Cause == "grant/azure" {
				if g.ID != "" && g.ID != i.ID {
					t.Fatalf("one trouble is two incidents: %+v %+v", g, i)
				}
				g = i
			}
		}
		return g
	}

	broad := r.Azure.Assign(estate.ObjectID, arm.Owner, r.Azure.GroupScope(estate.Group))
	r.Revoke()
	until(t, 3*time.Minute, "incident about the grant that is gone", func() bool { return grant().ID != "" })
	drifted := grant()
	if drifted.Reason != string(assure.GrantDrifted) || drifted.Stage != "ticket" || !strings.Contains(drifted.Summary, broad) || !strings.Contains(drifted.Action, "notafter drift accept azure") {
		t.Errorf("the incident is %+v", drifted)
	}
	for _, m := range r.pager.Messages() {
		if m.Event == "trigger" && strings.Contains(string(m.Body), `"critical"`) && strings.Contains(string(m.Body), string(assure.GrantDrifted)) {
			t.Errorf("somebody is woken while renewal works: %s", m.Body)
		}
	}
	if r := p.rehearse("shop", assure.RehearseCanary); r.Outcome != string(assure.Done) {
		t.Errorf("renewal does not work: %s", r)
	}

	r.Azure.Unassign(broad)
	until(t, 3*time.Minute, "page", func() bool { return grant().Stage == "page" })
	until(t, 3*time.Minute, "word on what it rested on", func() bool {
		g := grant()
		return g.ID == drifted.ID && g.Reason == string(assure.DNSWriteDenied) && strings.Contains(g.Summary, "It was last allowed at")
	})

	r.Grant() // with an id that nobody has seen
	until(t, 3*time.Minute, "proof", func() bool { return grant().State == "resolved" })
	if got := p.rehearse("shop", assure.RehearsePermission); got.Outcome != string(assure.Done) {
		t.Errorf("the permission is %s", got)
	}
	if g := grant(); g.State != "resolved" {
		t.Errorf("what was given back is drift: %+v", g)
	}
}

// What a plan makes is relied on from its apply on, and what it takes away is missed by nobody while that holds. The same
// without a plan is an incident.
func TestWhatAPlanMeansIsNoDrift(t *testing.T) {
	t.Parallel()
	r := settle(t, pace{life: 30 * time.Minute, canary: 2 * time.Second, authorization: time.Hour}, "shop."+estate.AzureZone)
	p := start(t, r.config, "")
	relies := func(on ...string) func() bool {
		return func() bool {
			list, err := p.app.Expected(t.Context(), "azure")
			if err != nil || len(list) == 0 {
				return false
			}
			for _, e := range list {
				if strings.HasSuffix(e.Action, "/write") { // reading is allowed by more
					return slices.Equal(e.Grants, on)
				}
			}
			return false
		}
	}
	narrow := r.GrantID()
	until(t, 2*time.Minute, "grant that is relied on", relies(narrow))
	zone, group := r.Azure.ZoneScope(estate.Group, estate.AzureZone), r.Azure.GroupScope(estate.Group)
	grant := func(does assure.PlannedDoes, scope, id string) assure.PlannedGrant {
		return assure.PlannedGrant{Does: does, Address: "azurerm_role_assignment.x", Principal: estate.ObjectID, Scope: scope, ID: id, Rights: []string{"read", "write", "delete"}}
	}
	applied := func(change func(), list ...assure.PlannedGrant) {
		t.Helper()
		id, kept, err := p.app.AnnouncePlan(t.Context(), "ana", strings.Repeat("ab", 32), list)
		if err != nil || kept != len(list) {
			t.Fatalf("announced: %d, %v", kept, err)
		}
		if err := p.app.EndPlan(t.Context(), id, "ana", "", 0); err != nil {
			t.Fatal(err)
		}
		change() // the cloud takes its time, and nothing is asked meanwhile that could be told apart from that
	}
	var broad string
	applied(func() { broad = r.Azure.Assign(estate.ObjectID, estate.ContributorRole, group) }, grant(assure.PlanMakes, group, ""))
	until(t, 2*time.Minute, "both relied on", relies(narrow, broad))
	applied(r.Revoke, grant(assure.PlanTakes, zone, narrow), grant(assure.PlanKeeps, group, broad))
	until(t, 2*time.Minute, "only the one that is left relied on", relies(broad))
	about := func() (n int) {
		var page struct{ Incidents []struct{ Cause string } }
		p.get("/api/v1/incidents?limit=500", &page)
		for _, i := range page.Incidents {
			if i.Cause == "grant/azure" {
				n++
			}
		}
		return n
	}
	if got := p.rehearse("shop", assure.RehearsePermission); got.Outcome != string(assure.Done) || about() > 0 {
		t.Errorf("what was meant is an incident; the permission is %s", got)
	}
	r.Grant()
	until(t, 2*time.Minute, "the answer that names both", func() bool {
		list, err := p.app.Expected(t.Context(), "azure")
		return err == nil && len(list) > 0 && len(list[0].Named) == 2
	})
	r.Azure.Unassign(broad)
	until(t, 3*time.Minute, "incident about what no plan took away", func() bool { return about() == 1 })
}
