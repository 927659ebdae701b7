package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

const zoneOfGrants = "/Zones/Example.com"

// assignmentID is how Azure names a grant at the zone of [allowedBy].
func assignmentID(name string) string {
	return zoneOfGrants + "/providers/Microsoft.Authorization/roleAssignments/" + name
}

// plannedFor is a plan that takes one grant away and makes another at the same place.
func plannedFor(id, takes string) assure.Planned {
	made := assure.PlannedGrant{Does: assure.PlanMakes, Address: "azurerm_role_assignment.cm", Principal: "4F1C", Scope: "/zones/example.com/", Rights: []string{"read", "write", "delete"}}
	gone := made
	gone.Does, gone.ID = assure.PlanTakes, takes
	stranger := made
	stranger.Principal = "somebody else"
	return assure.Planned{ID: id, Plan: "0123456789abcdef" + id, By: "ana", Announced: epoch, Grants: []assure.PlannedGrant{made, gone, stranger}}
}

func plansTeach(t *testing.T, w world) {
	note := func(a assure.Access) assure.Expected {
		return must(w.NoteAccess(w.ctx, "azure", []assure.Access{a}, w.c.advance(5*time.Minute)))(t)[0]
	}
	end := func(id string, exit int) {
		t.Helper()
		ok(t, w.EndPlan(w.ctx, id, "ana", "192.0.2.1", exit, w.c.now(), w.c.now().Add(10*time.Minute)))
	}
	same(t, "about nobody known", len(must(w.AnnouncePlan(w.ctx, plannedFor("early", "x")))(t).Grants), 0)
	same(t, "rows", w.count(t, "applied_plan"), 0)
	old, replaced := allowedBy(assignmentID("old")), allowedBy(assignmentID("new"))
	note(old)

	// One that is never applied changes nothing, and goes after a day.
	kept := must(w.AnnouncePlan(w.ctx, plannedFor("p0", assignmentID("old"))))(t)
	if len(kept.Grants) != 2 || len(kept.Grants[0].Before) != 1 || kept.Grants[0].Before[0] != assignmentID("old") {
		t.Fatalf("announced: %+v", kept)
	}
	w.c.advance(20 * time.Minute)
	if e := note(old); e.Verdict() != assure.Upheld || len(e.Missing) > 0 {
		t.Fatalf("a plan that was not applied: %+v", e)
	}
	must(w.Prune(w.ctx, w.c.advance(25*time.Hour), 100))(t)
	same(t, "rows", w.count(t, "applied_plan"), 0)
	if err := w.EndPlan(w.ctx, "p0", "ana", "", 0, w.c.now(), w.c.now()); !errors.Is(err, assure.ErrNotFound) {
		t.Fatalf("the end of a plan that is forgotten: %v", err)
	}

	// What is replaced by a plan is relied on in its new form.
	p := plannedFor("p1", assignmentID("old"))
	p.Announced = w.c.now()
	must(w.AnnouncePlan(w.ctx, p))(t)
	end("p1", 0)
	end("p1", 1) // said twice
	e := note(replaced)
	same(t, "relied on", e.Grants, []string{assignmentID("new")})
	if e.By != "plan 0123456789ab" || e.Reason != "azurerm_role_assignment.cm" || e.Verdict() != assure.Upheld {
		t.Fatalf("learned: %+v", e)
	}
	if a := must(w.AuditLog(w.ctx, 10, 0))(t); len(a) != 2 || a[0].Action != "rely on grants" || a[0].Who != e.By || a[0].Object != "azure" || a[1].Action != "apply plan" || a[1].Who != "ana" || a[1].Remote != "192.0.2.1" {
		t.Fatalf("audit log: %+v", a)
	}
	same(t, "on record", must(w.Expected(w.ctx, "azure"))(t)[0], e)
	if got := must(w.Planned(w.ctx))(t); len(got) != 1 || got[0].Open() || got[0].Exit != 0 {
		t.Fatalf("plans: %+v", got)
	}

	// What a plan was to make is missing once the cloud had its time, until a later plan deals with it or somebody accepts.
	p = plannedFor("p2", "")
	p.Grants, p.Announced = p.Grants[:1], w.c.now()
	must(w.AnnouncePlan(w.ctx, p))(t)
	end("p2", 1)
	same(t, "missing too early", len(note(replaced).Missing), 0)
	w.c.advance(10 * time.Minute)
	e = note(replaced)
	if e.Verdict() != assure.Broken || len(e.Missing) != 1 || e.Missing[0].Address != "azurerm_role_assignment.cm" || e.Missing[0].Exit != 1 {
		t.Fatalf("missing: %+v", e)
	}
	must(w.Prune(w.ctx, w.c.advance(8*24*time.Hour), 100))(t)
	same(t, "what is missing is kept, and nothing else", len(must(w.Planned(w.ctx))(t)), 1)
	note(replaced)
	p.ID, p.Announced = "p3", w.c.now()
	must(w.AnnouncePlan(w.ctx, p))(t)
	end("p3", 0)
	w.c.advance(20 * time.Minute)
	if e = note(replaced); len(e.Missing) != 1 || e.Missing[0].Exit != 0 {
		t.Fatalf("missing after the second apply: %+v", e)
	}
	accepted := must(w.AcceptGrants(w.ctx, "azure", "ana", "", "not needed", w.c.now()))(t)
	if len(accepted) != 1 || len(accepted[0].Missing) > 0 {
		t.Fatalf("accepted: %+v", accepted)
	}
	if e = note(replaced); e.Verdict() != assure.Upheld {
		t.Fatalf("after it was accepted: %+v", e)
	}

	for i := range mostPlans + 3 {
		p.ID, p.Announced = fmt.Sprint("many", i), w.c.now()
		must(w.AnnouncePlan(w.ctx, p))(t)
	}
	same(t, "rows", w.count(t, "applied_plan"), mostPlans)
	p = plannedFor("hostile", "a\x00b\xff'; DROP TABLE applied_plan; --")
	p.Grants[0].Address = "a\x00\xff"
	must(w.AnnouncePlan(w.ctx, p))(t)
}
