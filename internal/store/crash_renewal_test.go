package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// renewalCrashDir tells the test binary that it is the process to be killed while it renews.
const renewalCrashDir = "NOTAFTER_STORE_RENEWAL_CRASH_DIR"

// TestRenewalCrashChild is no test of its own: TestRenewalKill starts and kills it. It goes through renewals as the
// renewer does, each write before what it is about, and tells on its standard output what the database has promised.
func TestRenewalCrashChild(t *testing.T) {
	dir := os.Getenv(renewalCrashDir)
	if dir == "" {
		return // not the process that is to be killed: TestRenewalKill is the test
	}
	ctx := context.Background()
	db := must(Open(ctx, Options{DSN: dir}))(t)
	say := func(word, what string) { fmt.Println(word, what) }
	for {
		now := time.Now()
		run := fmt.Sprint(now.UnixNano())
		s, took, err := db.LeaseRenewal(ctx, "shop", "child", now, time.Hour)
		ok(t, err)
		if !took {
			t.Fatal("the renewal is held by a process that is dead")
		}
		s.Running, s.Why = now, run
		ok(t, db.PutRenewal(ctx, s, "child", now))
		a := assure.Attempt{Certificate: "shop", Kind: assure.AttemptRenewal, By: run, Started: now}
		a.ID = must(db.PutAttempt(ctx, a))(t)
		say("began", run)
		ok(t, db.PutPending(ctx, txt(run, now.Add(10*time.Minute))))
		say("wrote", run) // from now on the value may be in somebody's zone
		c := issuedOf(run, 0)
		c.Cert.NotBefore, c.IssuedAt = now, now
		c.ID = must(db.PutIssued(ctx, c))(t)
		say("issued", run)
		ok(t, db.DropPending(ctx, run))
		say("withdrew", run)
		ok(t, db.Installed(ctx, c.ID, now))
		a.Ended, a.Outcome = now, assure.Done
		must(db.PutAttempt(ctx, a))(t)
		s.Running, s.LastSuccess = time.Time{}, now
		ok(t, db.PutRenewal(ctx, s, "child", now))
		ok(t, db.ReleaseRenewal(ctx, "shop", "child"))
		say("ended", run)
	}
}

// TestRenewalKill kills a process that renews, at other moments each time. Afterwards the file is sound, every value that
// may be in a zone is there to be withdrawn, no certificate that a CA gave is lost, and the renewal can go on at once.
func TestRenewalKill(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := freshSQLite(t)
	rounds := 10
	if testing.Short() {
		rounds = 5
	}
	promises := []string{"began", "wrote", "issued", "withdrew", "ended"}
	inZone := map[string]bool{} // values that may be in a zone
	issued := 0
	for round := range rounds {
		child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestRenewalCrashChild$")
		child.Env = append(os.Environ(), renewalCrashDir+"="+dir)
		out := must(child.StdoutPipe())(t)
		ok(t, child.Start())
		lines := bufio.NewScanner(out)
		var word, run string
		told := 0
		for lines.Scan() {
			word, run, _ = strings.Cut(lines.Text(), " ")
			switch word {
			case "began", "ended":
			case "wrote":
				inZone[run] = true
			case "issued":
				issued++
			case "withdrew":
				delete(inZone, run)
			default:
				t.Fatalf("the child says %q", lines.Text())
			}
			told++
			if told == len(promises)+1+round%len(promises) { // after a whole renewal, after each promise of the next
				ok(t, child.Process.Kill())
			}
		}
		_ = child.Wait() // killed
		if told <= len(promises) {
			t.Fatalf("the child ended by itself after %d promises", told)
		}
		issued = inspectRenewal(t, dir, word, run, inZone, issued)
	}
	if issued < rounds {
		t.Fatalf("%d certificates were issued: the test has shown nothing", issued)
	}
}

// inspectRenewal looks at what a process that was killed has left: last is its last promise, about the given run. What it
// did after that and could not tell may be there or not. It returns how many issued certificates are kept.
func inspectRenewal(t *testing.T, dir, last, run string, inZone map[string]bool, issued int) int {
	t.Helper()
	ctx := context.Background()
	db := must(Open(ctx, Options{DSN: dir}))(t)
	defer func() { ok(t, db.Close()) }()
	sound(t, db)
	w := world{db, nil, ctx}
	n := w.count(t, "issued")
	if n < issued || n > issued+1 {
		t.Fatalf("%d certificates are kept, %d were told", n, issued)
	}
	if _, took, err := db.LeaseRenewal(ctx, "shop", "next", time.Now(), time.Minute); !took || err != nil {
		t.Fatalf("the renewal cannot go on after %s: %t, %v", last, took, err)
	}
	s := must(db.Renewals(ctx, []string{"shop"}))(t)[0]
	if s.Why < run {
		t.Fatalf("after %s of %s the state is of %s", last, run, s.Why)
	}
	if last == "began" && s.Why == run && s.Running.IsZero() {
		t.Fatal("the state does not say that a renewal was under way")
	}
	ok(t, db.ReleaseRenewal(ctx, "shop", "next"))
	newest := must(db.NewestIssued(ctx, "shop"))(t)
	if last == "ended" && newest.Cert.Fingerprint == issuedOf(run, 0).Cert.Fingerprint && newest.InstalledAt.IsZero() {
		t.Fatal("a certificate in service is not known to be")
	}
	if len(newest.Key) == 0 || len(newest.Chain) == 0 {
		t.Fatal("a certificate was kept by half")
	}
	as := must(db.Attempts(ctx, "shop", 100))(t)
	if len(as) > attemptsKept || as[0].By < run {
		t.Fatalf("%d attempts, the newest of %s; after %s of %s", len(as), as[0].By, last, run)
	}
	// While their writer may live, values are left alone; then all of them are there. One that was withdrawn without a
	// word may be gone, and one more may have been written.
	same(t, "abandoned before their time", len(must(db.Abandoned(ctx, time.Now(), time.Now(), 100))(t)), 0)
	later := time.Now().Add(20 * time.Minute)
	swept := map[string]bool{}
	for _, p := range must(db.Abandoned(ctx, later, later.Add(time.Minute), 100))(t) {
		same(t, "value in a zone", p.Value, "v-"+p.ID)
		swept[p.ID] = true
		ok(t, db.DropPending(ctx, p.ID))
	}
	for id := range inZone {
		if !swept[id] && (last != "issued" || id != run) {
			t.Fatalf("after %s: nobody knows that the value of %s is in a zone", last, id)
		}
		delete(inZone, id)
	}
	return n
}
