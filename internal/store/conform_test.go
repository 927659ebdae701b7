package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// world is an empty database with a clock.
type world struct {
	*DB
	c   *clock
	ctx context.Context
}

// conform holds a database against what the store promises. open gives a new, empty one each time.
func conform(t *testing.T, open func(t *testing.T, c *clock) *DB) {
	for name, test := range map[string]func(*testing.T, world){
		"declared claims come back as they were, and keep their age": declares,
		"an unchanged world is one run":                              keepsRuns,
		"a changed fact begins a run; the history shows both":        changes,
		"going back and forth takes turns and is told":               takesTurns,
		"a late look goes into the history only":                     lateLooks,
		"facts come back whole":                                      factsRoundTrip,
		"certificates are shared and collected":                      collects,
		"shards are leased to one owner, the most overdue first":     leases,
		"stale evidence is found once":                               stale,
		"coverage counts what was seen":                              coverage,
		"an incident goes from opening to resolving":                 incident,
		"an incident that eases hurts when what is left of it does":  eases,
		"claims that go leave orphans, and come back without":        orphans,
		"a delivery is leased, retried, and made once":               outbox,
		"what is gathered first is sent in its time":                 gathered,
		"a page names what is at stake, the soonest first":           stakes,
		"deliveries of an incident keep their order":                 ordered,
		"the overview sorts, filters, searches and counts":           overview,
		"acknowledging is idempotent and audited":                    acknowledges,
		"accounts are kept":                                          accounts,
		"old history is pruned, what is current stays":               prunes,
		"the queue delivers within a second, and drains":             queue,
		"hostile text is stored":                                     hostileText,
		"a rolled back transaction leaves no trace":                  rollsBack,
		"a commit whose answer was lost can be done again":           lostCommit,
		"an account keeps its key, and rolls it over":                acmeAccounts,
		"a renewal is leased to one owner until it runs out":         renewalLeases,
		"the state of a renewal is written by who holds it":          renewalStates,
		"a wish for a renewal is kept until it was seen":             wishes,
		"an issued certificate is kept once, the newest is found":    issuedCerts,
		"attempts are kept with their steps, the newest of a kind":   attempts,
		"the last success of each rung is known":                     climbed,
		"what was written into a zone is withdrawn by one":           journal,
		"what is expected is learned, compared, and accepted":        expects,
		"plans teach what is expected once they are applied":         plansTeach,
		"what is expected stands hostile text and lost answers":      expectsAll,
		"hostile text about renewals is stored":                      hostileRenewal,
		"renewing can be done again when an answer was lost":         lostRenewal,
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			test(t, world{open(t, c), c, ctx})
		})
	}
}

var (
	shop  = servingClaim("shop", "shop.example.com", epoch)
	mail  = servingClaim("mail", "smtp://mail.example.com", epoch)
	watch = assure.Claim{ID: assure.NewClaimID(assure.Monitor, "", assure.SubjectPatrol), Link: assure.Monitor, Subject: assure.SubjectPatrol, Declared: epoch, Every: time.Minute}
)

func leaf(host, serial string) assure.Cert {
	return leafOf(host, serial, epoch.AddDate(0, 0, -10), 90*24*time.Hour)
}

func good(c assure.Claim) assure.Served { return served(leaf(c.Subject, "1"), "192.0.2.1:443") }
func bad() assure.Served                { return refused("192.0.2.1:443") }

func (w world) look(c assure.Claim, f assure.Fact) assure.Look {
	return assure.Look{Claim: c.ID, Fact: f, Observer: "probe@test", At: w.c.now()}
}

// sees lets the patrol look at one claim and commits what follows.
func (w world) sees(t testing.TB, c assure.Claim, f assure.Fact) assure.Judgement {
	t.Helper()
	js := cycle(w.ctx, t, w.DB, w.c.now(), []assure.Look{w.look(c, f)})
	if len(js) != 1 {
		t.Fatalf("%d judgements, want 1", len(js))
	}
	return js[0]
}

func (w world) evidence(t testing.TB, c assure.Claim) *assure.Evidence {
	t.Helper()
	tx := must(w.Begin(w.ctx))(t)
	defer func() { ok(t, tx.Rollback(w.ctx)) }()
	cases := must(tx.Cases(w.ctx, []assure.ClaimID{c.ID}))(t)
	if len(cases) != 1 {
		t.Fatalf("%d cases of %s, want 1", len(cases), c.ID)
	}
	return cases[0].Evidence
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func declares(t *testing.T, w world) {
	full := shop
	full.TimeToRepair = 5 * time.Hour
	ok(t, w.Declare(w.ctx, []assure.Claim{full, mail, watch}))
	claims := map[assure.ClaimID]assure.Claim{}
	for shard := range Shards {
		for _, c := range must(w.Due(w.ctx, shard, epoch))(t) {
			claims[c.ID] = c
		}
	}
	same(t, "due at once", claims, map[assure.ClaimID]assure.Claim{full.ID: full, mail.ID: mail, watch.ID: watch})

	w.sees(t, full, good(full))
	later := full
	later.Declared, later.Owner, later.Every = epoch.Add(time.Hour), "others", 30*time.Minute
	ok(t, w.Declare(w.ctx, []assure.Claim{later}))
	v := must(w.Certificate(w.ctx, "shop", 10, 0))(t)
	later.Declared = epoch
	same(t, "claim declared again", v.Claims[0].Claim, later)
	if v.Claims[0].Evidence == nil || v.Claims[0].Verdict != assure.Upheld {
		t.Fatal("declaring again lost the evidence or the verdict")
	}
	same(t, "owner in the overview", v.Row.Owner, "others")
	if _, err := w.Certificate(w.ctx, "mail", 10, 0); !errors.Is(err, assure.ErrNotFound) {
		t.Fatalf("a withdrawn certificate: %v, want not found", err)
	}
	twice := later
	twice.Owner = "third"
	if err := w.Declare(w.ctx, []assure.Claim{later, twice}); err == nil {
		t.Fatal("two different claims of one id were taken")
	}
}

func keepsRuns(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	for range 5 {
		w.sees(t, shop, good(shop))
		w.c.advance(15 * time.Minute)
	}
	last := epoch.Add(time.Hour)
	same(t, "evidence", w.evidence(t, shop), &assure.Evidence{Claim: shop.ID, Fact: good(shop), Observer: "probe@test", FirstSeen: epoch, LastSeen: last, Count: 5})
	same(t, "history", must(w.History(w.ctx, "shop", 0, 0))(t), []assure.Run{{Claim: shop.ID, Subject: shop.Subject, Fact: good(shop), FirstSeen: epoch, LastSeen: last, Count: 5}})
	// Same key, other words: the newer fact is the one that is kept.
	worded := good(shop)
	worded.Sightings = slices.Clone(worded.Sightings)
	worded.Sightings[0].TLS = "1.2"
	w.sees(t, shop, worded)
	e := w.evidence(t, shop)
	same(t, "replaced fact", e.Fact, assure.Fact(worded))
	same(t, "looks", e.Count, int64(6))
}

func changes(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	w.sees(t, shop, good(shop))
	w.c.advance(time.Hour)
	renewed := served(leaf(shop.Subject, "2"), "192.0.2.1:443")
	w.sees(t, shop, renewed)
	w.c.advance(time.Minute)
	w.sees(t, shop, renewed)
	same(t, "history", must(w.History(w.ctx, "shop", 0, 0))(t), []assure.Run{
		{Claim: shop.ID, Subject: shop.Subject, Fact: renewed, FirstSeen: epoch.Add(time.Hour), LastSeen: epoch.Add(61 * time.Minute), Count: 2},
		{Claim: shop.ID, Subject: shop.Subject, Fact: good(shop), FirstSeen: epoch, LastSeen: epoch, Count: 1},
	})
	if e := w.evidence(t, shop); e.Alternate != nil || !e.Returned.IsZero() {
		t.Fatal("one change is not going back and forth")
	}
}

func takesTurns(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	a, b := good(shop), served(leaf(shop.Subject, "2"), "192.0.2.1:443")
	for i := range 40 {
		f := a
		if i%2 == 1 {
			f = b
		}
		w.sees(t, shop, f)
		w.c.advance(time.Minute)
	}
	e := w.evidence(t, shop)
	same(t, "fact", e.Fact, assure.Fact(b))
	same(t, "alternate", e.Alternate, assure.Fact(a))
	same(t, "returned", e.Returned, epoch.Add(39*time.Minute))
	h := must(w.History(w.ctx, "shop", 0, 0))(t)
	if len(h) != 2 || h[0].Count != 20 || h[1].Count != 20 || !h[0].FirstSeen.Before(h[1].LastSeen) {
		t.Fatalf("history of 40 turns: %d runs, want 2 of 20 looks that overlap: %+v", len(h), h)
	}
	// Standing still long enough ends it: six times the pace of 15 minutes.
	w.c.advance(80 * time.Minute)
	w.sees(t, shop, b)
	if w.evidence(t, shop).Alternate == nil {
		t.Fatal("the alternate went too soon")
	}
	w.c.advance(15 * time.Minute)
	w.sees(t, shop, b)
	if e := w.evidence(t, shop); e.Alternate != nil || !e.Returned.IsZero() {
		t.Fatal("the alternate stays though the endpoint stands still")
	}
	// What returns after more than a day is news, and begins a run.
	w.c.advance(25 * time.Hour)
	w.sees(t, shop, a)
	if e := w.evidence(t, shop); e.Count != 1 || e.Alternate != nil {
		t.Fatalf("after a day: %d looks, alternate %v; want a new run", e.Count, e.Alternate)
	}
	// Not seeing is about us: it takes a turn in the history but is no alternate.
	w.sees(t, shop, assure.Blind{Detail: "no network"})
	w.sees(t, shop, a)
	if e := w.evidence(t, shop); e.Alternate != nil || e.Count != 2 {
		t.Fatalf("after a blind look: %d looks, alternate %v", e.Count, e.Alternate)
	}
}

func lateLooks(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	w.c.advance(time.Hour)
	w.sees(t, shop, good(shop))
	late := assure.Look{Claim: shop.ID, Fact: bad(), Observer: "probe@slow", At: epoch.Add(30 * time.Minute)}
	cycle(w.ctx, t, w.DB, w.c.now(), []assure.Look{late})
	same(t, "newest fact", w.evidence(t, shop).Fact, assure.Fact(good(shop)))
	same(t, "runs in the history", len(must(w.History(w.ctx, "shop", 0, 0))(t)), 2)
	// The clock is set back: what is looked at now is the truth, though the evidence claims to be younger.
	w.c.advance(-45 * time.Minute)
	w.sees(t, shop, bad())
	same(t, "fact after the clock was set back", w.evidence(t, shop).Fact, assure.Fact(bad()))
}

func factsRoundTrip(t *testing.T, w world) {
	rich := good(shop)
	rich.DNS.CNAMEs = []string{"a.example.net", "b.example.net"}
	rich.Chains = slices.Clone(rich.Chains)
	c := &rich.Chains[0]
	c.Unused = []string{rootCert.Fingerprint, "#0", "##1"}
	c.Completed = []assure.Path{{Certs: []string{intermediate.Fingerprint, fingerprint("elsewhere")}, NotBefore: epoch, NotAfter: epoch.Add(time.Hour), LimitedBy: intermediate.Fingerprint}}
	c.Revocation = []assure.Revocation{{Cert: c.Certs[0], Via: "crl", URL: "http://crl.example.net/1", Status: assure.RevocationGood, ThisUpdate: epoch, NextUpdate: epoch.Add(time.Hour)}}
	for i := range 40 {
		rich.Sightings = append(rich.Sightings, assure.Sighting{Address: fmt.Sprintf("192.0.2.%d:443", i), Chain: -1, Failure: assure.Timeout, At: assure.AtConnect, Detail: "no answer"})
	}
	odd := assure.Served{Certs: []assure.Cert{{Fingerprint: "not a fingerprint", Names: []string{}}}, Chains: []assure.Chain{{Certs: []string{"not a fingerprint"}}}}
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	for _, f := range []assure.Fact{
		rich, odd,
		assure.Served{},
		assure.Sight{Expected: 3, Observed: 2, Oldest: epoch, Late: assure.Seconds(time.Minute)},
		assure.Heard{URL: "https://hc.example.net", OK: true},
		assure.Delivered{Channel: "pager", Class: assure.Denied, Detail: "401"},
		assure.Blind{Detail: "dark"},
		assure.Rehearsed{
			Rung: assure.RehearsePermission, Renewer: "#0", Due: epoch.Add(time.Hour),
			Steps:  []assure.Step{{Name: assure.StepAsk, Target: "#1", Outcome: assure.Failed, At: epoch, Took: time.Second, Trouble: &assure.Trouble{Reason: "dns_write_denied", Class: assure.TroubleDenied, Detail: "no"}}},
			Access: []assure.Access{{Answer: assure.Forbidden, Identity: "app", Action: "write", Scope: strings.Repeat("/zone", 400), Blockers: []string{"lock"}}},
		},
		assure.Renewing{
			Renewer: "letsencrypt", State: assure.RenewalState{Certificate: "shop", Due: epoch, Why: "the CA's window", Left: -1},
			Newest: &rootCert, Installed: epoch, Missing: []string{"www.shop.example.com"},
		},
	} {
		w.c.advance(time.Minute)
		w.sees(t, shop, f)
		same(t, "fact read in another transaction", w.evidence(t, shop).Fact, f)
	}
}

func (w world) count(t testing.TB, table string) int {
	t.Helper()
	var n int
	ok(t, w.reader().row(w.ctx, `SELECT count(*) FROM `+table).Scan(&n))
	return n
}

func collects(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop, mail}))
	w.sees(t, shop, good(shop))
	w.sees(t, mail, good(mail))
	same(t, "certificates of two endpoints under one issuer", w.count(t, "cert"), 4)
	// Of too many runs the oldest go, and with them the certificates that nothing else refers to.
	const most = 30
	w.mostRuns = most
	for i := range most + 20 {
		w.c.advance(25 * time.Hour)
		w.sees(t, shop, served(leaf(shop.Subject, fmt.Sprint("n", i)), "192.0.2.1:443"))
	}
	same(t, "runs", w.count(t, "run"), 1+1+most)
	same(t, "certificates", w.count(t, "cert"), 3+1+most)
	same(t, "references", w.count(t, "cert_ref"), 3*(2+most))
}

func leases(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, claimsOf(40, epoch)))
	claims := map[int][]assure.Claim{}
	for shard := range Shards {
		if cs := must(w.Due(w.ctx, shard, epoch))(t); len(cs) > 0 {
			claims[shard] = cs
		}
	}
	a := must(w.Lease(w.ctx, "a", epoch, time.Minute, 10))(t)
	b := must(w.Lease(w.ctx, "b", epoch, time.Minute, 100))(t)
	same(t, "leased by a", len(a), 10)
	same(t, "leased by both", len(a)+len(b), len(claims))
	for _, s := range a {
		if slices.Contains(b, s) {
			t.Fatalf("shard %d was leased twice", s)
		}
	}
	same(t, "left", len(must(w.Lease(w.ctx, "a", epoch, time.Minute, 100))(t)), 0)
	ok(t, w.Release(w.ctx, a[0], "b"))
	same(t, "released by who does not hold it", len(must(w.Lease(w.ctx, "b", epoch, time.Minute, 100))(t)), 0)
	ok(t, w.Release(w.ctx, a[0], "a"))
	same(t, "released, and its claims still due", must(w.Lease(w.ctx, "b", epoch, time.Minute, 100))(t), []int{a[0]})
	// Looked at: not due until the next look. The longest waiting shard comes first.
	now := w.c.advance(time.Minute)
	first := claims[a[1]]
	for shard, cs := range claims {
		if shard != a[1] {
			for _, c := range cs {
				w.sees(t, c, good(c))
			}
		}
	}
	same(t, "due after the leases ran out", must(w.Lease(w.ctx, "c", now, time.Minute, 100))(t), []int{shardOf(numberOf(first[0].ID))})
	same(t, "due a quarter of an hour later", len(must(w.Lease(w.ctx, "c", now.Add(15*time.Minute), time.Minute, 1000))(t)), len(claims))
}

func stale(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop, mail}))
	w.sees(t, shop, good(shop))
	ids := func() []assure.ClaimID { return must(w.Stale(w.ctx, w.c.now(), 10))(t) }
	w.c.advance(45 * time.Minute)
	same(t, "stale at the maximal age", len(ids()), 0)
	w.c.advance(time.Microsecond)
	got := ids()
	slices.Sort(got)
	same(t, "stale or never seen", got, []assure.ClaimID{mail.ID, shop.ID})
	for _, j := range cycle(w.ctx, t, w.DB, w.c.now(), nil, got...) {
		if j.Verdict != assure.Unknown {
			t.Fatalf("%s is %s, want unknown", j.Claim.ID, j.Verdict)
		}
	}
	same(t, "stale after it was said", len(ids()), 0)
	w.c.advance(46 * time.Minute)
	same(t, "asked again a maximal age later", len(ids()), 2)
	w.sees(t, shop, good(shop))
	same(t, "seen again", ids(), []assure.ClaimID{mail.ID})
}

func coverage(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop, mail, watch}))
	w.c.advance(time.Minute)
	w.sees(t, shop, good(shop))
	got := must(w.Coverage(w.ctx, epoch.Add(10*time.Minute), time.Minute))(t)
	same(t, "one of two seen, the others ten minutes late", got, assure.Sight{Expected: 2, Observed: 1, Oldest: epoch.Add(time.Minute), Late: assure.Seconds(10 * time.Minute)})
	w.sees(t, mail, bad()) // opens an incident; its notices wait
	got = must(w.Coverage(w.ctx, epoch.Add(10*time.Minute), time.Minute))(t)
	same(t, "observed, backlog", []int{got.Observed, got.Backlog}, []int{2, 1})
	same(t, "backlog within the slack", must(w.Coverage(w.ctx, epoch.Add(2*time.Minute), time.Hour))(t).Backlog, 0)
	same(t, "observed when the evidence is old", must(w.Coverage(w.ctx, epoch.Add(time.Hour), time.Minute))(t).Observed, 0)
}

func overview(t *testing.T, w world) {
	upper := servingClaim("Ätna_API", "api.example.com", epoch)
	never := servingClaim("never", "never.example.com", epoch)
	ok(t, w.Declare(w.ctx, []assure.Claim{shop, mail, upper, never, watch}))
	w.sees(t, shop, good(shop))
	w.sees(t, upper, served(leafOf(upper.Subject, "1", epoch.AddDate(0, 0, -1), 30*24*time.Hour), "192.0.2.9:443"))
	wrong := good(mail)
	wrong.Chains = slices.Clone(wrong.Chains)
	wrong.Chains[0].NameMatches = false
	w.sees(t, mail, wrong)
	names := func(q assure.RowQuery) []string {
		var out []string
		for _, r := range must(w.Rows(w.ctx, q))(t).Rows {
			out = append(out, r.Certificate)
		}
		return out
	}
	same(t, "by runway, the refused first, then the unknown", names(assure.RowQuery{}), []string{"mail", "never", "Ätna_API", "shop"})
	for i, name := range []string{"mail", "never", "Ätna_API", "shop"} {
		same(t, "one a page", names(assure.RowQuery{Limit: 1, Offset: i}), []string{name})
	}
	same(t, "beyond the last", names(assure.RowQuery{Offset: 4}), []string(nil))
	same(t, "across the parts", names(assure.RowQuery{Limit: 2, Offset: 1}), []string{"never", "Ätna_API"})
	same(t, "by name", names(assure.RowQuery{Order: assure.ByName}), []string{"mail", "never", "shop", "Ätna_API"})
	same(t, "second page", names(assure.RowQuery{Limit: 2, Offset: 2}), []string{"Ätna_API", "shop"})
	same(t, "search by name, case ignored", names(assure.RowQuery{Search: "äTNA_a"}), []string{"Ätna_API"})
	same(t, "search by endpoint", names(assure.RowQuery{Search: "SHOP.example"}), []string{"shop"})
	same(t, "search is not a pattern", names(assure.RowQuery{Search: "%"}), []string(nil))
	same(t, "unknown", names(assure.RowQuery{Verdict: assure.Unknown}), []string{"never"})
	same(t, "broken in serving", names(assure.RowQuery{Verdict: assure.Broken, Link: assure.Serving}), []string{"mail"})
	same(t, "broken in renewal", names(assure.RowQuery{Verdict: assure.Broken, Link: assure.Renewal}), []string(nil))
	page := must(w.Rows(w.ctx, assure.RowQuery{Limit: 1, Verdict: assure.Upheld}))(t)
	same(t, "total of the query and counts of all", []int{page.Total, page.Upheld, page.Broken, page.Unknown}, []int{2, 2, 1, 1})
	row := must(w.Certificate(w.ctx, "mail", 10, 0))(t).Row
	same(t, "row", []any{row.Endpoints, row.Links, row.Incidents, row.SeenAt}, []any{1, map[assure.Link]assure.Verdict{assure.Serving: assure.Broken}, 1, epoch})
	if row.Reason != assure.NameMismatch || row.Summary == "" {
		t.Fatalf("the row says %q: %q", row.Reason, row.Summary)
	}
	totals := must(w.Totals(w.ctx))(t)
	same(t, "claims by verdict", totals.Claims, map[assure.Link]map[assure.Verdict]int{
		assure.Serving: {assure.Upheld: 2, assure.Broken: 1, assure.Unknown: 1}, assure.Monitor: {assure.Unknown: 1},
	})
	same(t, "findings", totals.Findings, []assure.Count{{Reason: assure.NameMismatch, Severity: row.Severity, N: 1}})
	same(t, "soonest", totals.Soonest, epoch)
	same(t, "oldest pending", totals.OldestPending, epoch)
	same(t, "claims without a certificate", must(w.Claims(w.ctx))(t)[0].Claim, watch)
}

func hostileText(t *testing.T, w world) {
	ok(t, w.Declare(w.ctx, []assure.Claim{shop}))
	const text = "a\x00b\xff'; DROP TABLE claim; --"
	f := bad()
	f.Sightings[0].Detail = text
	tx := must(w.Begin(w.ctx))(t)
	l := w.look(shop, f)
	l.Observer = text
	ok(t, tx.Record(w.ctx, []assure.Look{l, {Claim: text, Fact: f, At: epoch}}))
	i := assure.Incident{ID: "i1", Cause: text, State: assure.Open, Summary: text, OpenedAt: epoch}
	ok(t, tx.Apply(w.ctx, nil, assure.Changes{Incidents: []assure.Incident{i}, Events: []assure.Event{{Incident: "i1", At: epoch, Kind: "opened", Text: text}}}))
	ok(t, tx.Commit(w.ctx))
	tx = must(w.Begin(w.ctx))(t)
	d := must(tx.Docket(w.ctx, []string{text}, nil))(t)
	ok(t, tx.Rollback(w.ctx))
	same(t, "incident found by its cause", len(d.Incidents), 1)
	ok(t, w.Log(w.ctx, assure.Audit{At: epoch, Who: text, Action: text}))
	must(w.Rows(w.ctx, assure.RowQuery{Search: text}))(t)
	must(w.History(w.ctx, text, 0, 0))(t)
	if _, err := w.User(w.ctx, text); !errors.Is(err, assure.ErrNotFound) {
		t.Fatalf("user: %v", err)
	}
	odd := shop
	odd.Certificate = text
	if err := w.Declare(w.ctx, []assure.Claim{odd}); err == nil {
		t.Fatal("a name that is not text was declared")
	}
}
