package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// crashDir tells the test binary that it is the process to be killed, and where its database is.
const crashDir = "NOTAFTER_STORE_CRASH_DIR"

// TestCrashChild is no test of its own: it is what TestKill starts and kills. It breaks and heals endpoints, delivers,
// and tells on its standard output each thing that the database has promised to keep.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		return // not the process that is to be killed: TestKill is the test
	}
	ctx := context.Background()
	db := must(Open(ctx, Options{DSN: dir}))(t)
	claims := claimsOf(30, epoch)
	ok(t, db.Declare(ctx, claims))
	for n := 0; ; n++ {
		now := time.Now().Truncate(time.Microsecond)
		var looks []assure.Look
		for i, c := range claims {
			f := assure.Fact(good(c))
			if (n+i)%7 < 4 {
				f = bad()
			}
			looks = append(looks, assure.Look{Claim: c.ID, Fact: f, Observer: "probe@child", At: now})
		}
		cycle(ctx, t, db, now, looks)
		fmt.Printf("looked %d\n", now.UnixMicro())
		for _, id := range (world{db, nil, ctx}).pending(t) {
			d, took, err := db.Take(ctx, id, "child", now, now.Add(time.Minute))
			ok(t, err)
			if !took {
				continue
			}
			ok(t, db.Record(ctx, assure.Receipt{Delivery: id, Channel: d.Channel, Attempt: d.Attempt, At: now, Class: assure.Accepted}, assure.DeliverySent, now))
			fmt.Printf("sent %d\n", id)
		}
	}
}

// TestKill kills a process that writes all the time, again and again at other moments, and looks at what is left: the
// file is sound, whatever was promised is there, and nothing is there by half.
func TestKill(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := freshSQLite(t)
	rounds := 6
	if testing.Short() {
		rounds = 3
	}
	var looked int64
	sent := map[int64]bool{}
	for round := range rounds {
		child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestCrashChild$")
		child.Env = append(os.Environ(), crashDir+"="+dir)
		out := must(child.StdoutPipe())(t)
		ok(t, child.Start())
		lines := bufio.NewScanner(out)
		told := 0
		for lines.Scan() {
			word, number, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.ParseInt(number, 10, 64)
			switch {
			case err == nil && word == "looked":
				looked = n
			case err == nil && word == "sent":
				sent[n] = true
			default:
				t.Fatalf("the child says %q", lines.Text())
			}
			told++
			if told == 1+round*5 { // wherever it happens to be after that many promises
				ok(t, child.Process.Kill())
			}
		}
		_ = child.Wait() // killed
		if told <= round*5 {
			t.Fatalf("the child ended by itself after %d promises", told)
		}
		inspect(t, dir, looked, sent)
	}
	if len(sent) == 0 {
		t.Fatal("nothing was delivered: the test has shown nothing")
	}
}

func inspect(t *testing.T, dir string, looked int64, sent map[int64]bool) {
	t.Helper()
	ctx := context.Background()
	db := must(Open(ctx, Options{DSN: dir}))(t)
	defer func() { ok(t, db.Close()) }()
	sound(t, db)
	var seen int64
	ok(t, db.reader().row(ctx, `SELECT min(seen_at) FROM claim WHERE seen_at > 0`).Scan(&seen))
	if seen < looked {
		t.Fatalf("a look of %d was promised, the newest kept is of %d", looked, seen)
	}
	for id := range sent {
		var state string
		ok(t, db.reader().row(ctx, `SELECT state FROM delivery WHERE id = $1`, id).Scan(&state))
		if state != string(assure.DeliverySent) {
			t.Fatalf("delivery %d was sent and is %s", id, state)
		}
	}
}

// sound checks what must hold in any database at any time.
func sound(t testing.TB, db *DB) {
	t.Helper()
	ctx := context.Background()
	if db.Kind() == "sqlite" {
		var check string
		ok(t, db.write.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&check))
		if check != "ok" {
			t.Fatalf("integrity check: %s", check)
		}
	}
	for what, text := range map[string]string{
		"claims whose newest run is not there":             `SELECT count(*) FROM claim c WHERE run <> 0 AND NOT EXISTS (SELECT 1 FROM run r WHERE r.id = c.run AND r.claim = c.num AND r.newest = 1)`,
		"claims whose alternate is not there":              `SELECT count(*) FROM claim c WHERE alternate <> 0 AND NOT EXISTS (SELECT 1 FROM run r WHERE r.id = c.alternate AND r.claim = c.num AND r.newest = 0)`,
		"newest runs that no claim points to":              `SELECT count(*) FROM run r WHERE newest = 1 AND NOT EXISTS (SELECT 1 FROM claim c WHERE c.run = r.id)`,
		"claims that miscount their runs":                  `SELECT count(*) FROM claim c WHERE closed <> (SELECT count(*) FROM run r WHERE r.claim = c.num AND r.newest = 0)`,
		"certificates that nothing refers to":              `SELECT count(*) FROM cert c WHERE NOT EXISTS (SELECT 1 FROM cert_ref f WHERE f.cert = c.id)`,
		"references of no run":                             `SELECT count(*) FROM cert_ref f WHERE NOT EXISTS (SELECT 1 FROM run r WHERE r.id = f.run)`,
		"open incidents that nobody was told of":           `SELECT count(*) FROM incident i WHERE stage > 0 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.incident = i.id)`,
		"open incidents that touch nothing":                `SELECT count(*) FROM incident i WHERE state <> 'resolved' AND NOT EXISTS (SELECT 1 FROM touch t WHERE t.incident = i.id AND t.gone = 0)`,
		"resolved incidents that touch something":          `SELECT count(*) FROM incident i JOIN touch t ON t.incident = i.id AND t.gone = 0 WHERE i.state = 'resolved'`,
		"causes with two open incidents":                   `SELECT count(*) FROM (SELECT cause FROM incident WHERE state <> 'resolved' GROUP BY cause HAVING count(*) > 1) AS c`,
		"notices without a delivery":                       `SELECT count(*) FROM notice n WHERE NOT EXISTS (SELECT 1 FROM delivery d WHERE d.notice = n.id)`,
		"sent deliveries without a receipt":                `SELECT count(*) FROM delivery d WHERE state = 'sent' AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.delivery = d.id AND r.class = 'accepted')`,
		"kinds of attempts that keep too many":             `SELECT count(*) FROM (SELECT certificate FROM attempt GROUP BY certificate, kind HAVING count(*) > 20) AS a`,
		"declared certificates without a summary":          `SELECT count(*) FROM claim c WHERE gone = 0 AND certificate <> '' AND NOT EXISTS (SELECT 1 FROM certificate s WHERE s.name = c.certificate)`,
		"summaries that are not the worst of their claims": `SELECT count(*) FROM certificate s WHERE verdict <> (SELECT max(CASE verdict WHEN 0 THEN 2 ELSE verdict END) FROM claim c WHERE c.certificate = s.name AND c.gone = 0)`,
	} {
		var n int
		ok(t, db.reader().row(ctx, text).Scan(&n))
		if n != 0 {
			t.Fatalf("%d %s", n, what)
		}
	}
}

// TestPowerCut copies the files while transactions are open and half written, as a machine that loses power leaves them,
// and opens the copy.
func TestPowerCut(t *testing.T) {
	ctx := context.Background()
	c := newClock()
	dir := freshSQLite(t)
	db := must(Open(ctx, Options{DSN: dir, Now: c.now}))(t)
	defer func() { ok(t, db.Close()) }()
	w := world{db, c, ctx}
	claims := claimsOf(100, epoch)
	ok(t, w.Declare(ctx, claims))
	for step := range 3 {
		tx := must(db.Begin(ctx))(t)
		var looks []assure.Look
		for _, claim := range claims {
			looks = append(looks, w.look(claim, served(leaf(claim.Subject, fmt.Sprint(step)), "192.0.2.1:443")))
		}
		must(cycleIn(ctx, tx, c.now(), looks))(t)
		copied := t.TempDir()
		for _, name := range []string{sqliteFile, sqliteFile + "-wal"} {
			copyFile(t, filepath.Join(dir, name), filepath.Join(copied, name))
		}
		ok(t, tx.Commit(ctx))
		cut := must(Open(ctx, Options{DSN: copied, Now: c.now}))(t)
		sound(t, cut)
		same(t, fmt.Sprintf("runs after a power cut in step %d", step), (world{cut, c, ctx}).count(t, "run"), step*len(claims))
		ok(t, cut.Close())
		c.advance(time.Hour)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in := must(os.Open(from))(t)
	out := must(os.Create(to))(t)
	_, err := io.Copy(out, in)
	ok(t, errors.Join(err, in.Close(), out.Close()))
}
