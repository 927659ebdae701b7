package store

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func allowedBy(grants ...string) assure.Access {
	return assure.Access{Answer: assure.Allowed, Identity: "4f1c", Action: "Microsoft.Network/dnsZones/TXT/write", Scope: "/Zones/Example.com", Grants: grants, Whole: true}
}

func expects(t *testing.T, w world) {
	note := func(renewer string, list ...assure.Access) []assure.Expected {
		return must(w.NoteAccess(w.ctx, renewer, list, w.c.advance(5*time.Minute)))(t)
	}
	read := allowedBy("g1")
	read.Action = "read"
	learned := note("azure", allowedBy("g1"), read)
	want := assure.Expected{
		Renewer: "azure", Identity: "4f1c", Action: "Microsoft.Network/dnsZones/TXT/write", Scope: "/Zones/Example.com", Grants: []string{"g1"},
		Learned: w.c.now(), Held: w.c.now(), Asked: w.c.now(), Answer: assure.Allowed, Named: []string{"g1"}, Whole: true,
	}
	same(t, "learned", learned[0], want)
	same(t, "on record", must(w.Expected(w.ctx, "azure"))(t)[0], want)
	same(t, "learned both", len(must(w.Expected(w.ctx, ""))(t)), 2)
	same(t, "of another renewer", len(must(w.Expected(w.ctx, "bind"))(t)), 0)

	asked := allowedBy()
	asked.Scope = "elsewhere"
	same(t, "of some", must(w.ExpectedOf(w.ctx, "azure", []assure.Access{asked, allowedBy()}))(t), []assure.Expected{{}, want})
	// Clouds write one scope in several ways.
	same1 := allowedBy("G1")
	same1.Scope, same1.Action = "/zones/example.COM", "MICROSOFT.network/dnszones/txt/WRITE"
	if e := note("azure", same1); len(e[0].Gone()) > 0 || len(must(w.Expected(w.ctx, "azure"))(t)) != 2 {
		t.Fatalf("another spelling: %+v", e)
	}
	// An answer that is the same for another certificate of the renewer is written once.
	at := w.c.now()
	must(w.NoteAccess(w.ctx, "azure", []assure.Access{same1}, at.Add(time.Second)))(t)
	same(t, "asked", must(w.Expected(w.ctx, "azure"))(t)[0].Asked, at)
	// One that says something new is written at once.
	drifted := must(w.NoteAccess(w.ctx, "azure", []assure.Access{allowedBy("g2")}, at.Add(2*time.Second)))(t)
	same(t, "gone", drifted[0].Gone(), []string{"g1"})
	same(t, "held", drifted[0].Held, at)
	same(t, "on record", must(w.Expected(w.ctx, "azure"))(t)[0], drifted[0])

	accepted := must(w.AcceptGrants(w.ctx, "azure", "ana", "192.0.2.1", "one role for all", w.c.advance(time.Hour)))(t)
	if len(accepted) != 1 || accepted[0].By != "ana" || accepted[0].Reason != "one role for all" || accepted[0].Grants[0] != "g2" || accepted[0].Learned != w.c.now() {
		t.Fatalf("accepted: %+v", accepted)
	}
	same(t, "on record", must(w.Expected(w.ctx, "azure"))(t)[0], accepted[0])
	if a := must(w.AuditLog(w.ctx, 10, 0))(t); len(a) != 1 || a[0].Action != "accept grants" || a[0].Who != "ana" || a[0].Object != "azure" || a[0].Remote != "192.0.2.1" {
		t.Fatalf("audit log: %+v", a)
	}
	same(t, "accepted again", len(must(w.AcceptGrants(w.ctx, "azure", "ana", "", "again", w.c.now()))(t)), 0)
	same(t, "accepted at nobody's", len(must(w.AcceptGrants(w.ctx, "none", "ana", "", "again", w.c.now()))(t)), 0)
	same(t, "audit log", len(must(w.AuditLog(w.ctx, 10, 0))(t)), 1)

	refused := allowedBy()
	refused.Answer, refused.Grants = assure.Forbidden, nil
	held := must(w.Expected(w.ctx, "azure"))(t)[0].Held
	lost := note("azure", refused)
	same(t, "what a lost permission rested on", lost[0].Grants, []string{"g2"})
	same(t, "until when it held", lost[0].Held, held)

	// What nobody asks about any more is forgotten.
	note("azure", allowedBy("g2"))
	ok(t, err1(w.Prune(w.ctx, w.c.advance(7*24*time.Hour), 100)))
	same(t, "rows", w.count(t, "expected_grant"), 1)
	ok(t, err1(w.Prune(w.ctx, w.c.advance(time.Hour), 100)))
	same(t, "rows", w.count(t, "expected_grant"), 0)
}

func err1[T any](_ T, err error) error { return err }

func expectsAll(t *testing.T, w world) {
	const text = "a\x00b\xff'; DROP TABLE expected_grant; --"
	tame := clean(text)
	a := assure.Access{Answer: assure.Allowed, Identity: text, Action: text, Scope: text, Grants: []string{text, text}, Whole: true}
	first := must(w.NoteAccess(w.ctx, text, []assure.Access{a}, w.c.now()))(t)
	same(t, "stored", must(w.Expected(w.ctx, text))(t), first)
	same(t, "again", must(w.NoteAccess(w.ctx, text, []assure.Access{a}, w.c.now()))(t), first)
	same(t, "scope", first[0].Scope, tame)
	a.Grants = []string{"other"}
	must(w.NoteAccess(w.ctx, text, []assure.Access{a}, w.c.advance(time.Hour)))(t)
	same(t, "accepted", must(w.AcceptGrants(w.ctx, text, text, text, text, w.c.now()))(t)[0].By, tame)
	same(t, "no answers", len(must(w.NoteAccess(w.ctx, "r", nil, w.c.now()))(t)), 0)

	lost, real := errors.New("connection lost"), w.commit
	for what, broken := range map[string]func(*sql.Tx) error{
		"failed":              func(tx *sql.Tx) error { return errors.Join(lost, tx.Rollback()) },
		"failed but happened": func(tx *sql.Tx) error { return errors.Join(lost, tx.Commit()) },
	} {
		w.commit = broken
		b := allowedBy("g1")
		b.Scope = what
		at := w.c.now()
		if _, err := w.NoteAccess(w.ctx, "azure", []assure.Access{b}, at); !errors.Is(err, lost) {
			t.Fatal(what, err)
		}
		w.commit = real
		same(t, what, must(w.NoteAccess(w.ctx, "azure", []assure.Access{b}, at))(t)[0].Learned, at)
		b.Grants = []string{"g2"}
		must(w.NoteAccess(w.ctx, "azure", []assure.Access{b}, w.c.advance(time.Hour)))(t)
		w.commit = broken
		if _, err := w.AcceptGrants(w.ctx, "azure", "ana", "", what, w.c.now()); !errors.Is(err, lost) {
			t.Fatal(what, err)
		}
		w.commit = real
		must(w.AcceptGrants(w.ctx, "azure", "ana", "", what, w.c.now()))(t)
		for _, e := range must(w.Expected(w.ctx, "azure"))(t) {
			if len(e.Gone()) > 0 || e.By != "ana" {
				t.Errorf("%s: %+v", what, e)
			}
		}
	}
}
