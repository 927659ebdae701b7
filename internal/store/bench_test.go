package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// BenchmarkSweep watches 100,000 endpoints, each with a certificate of its own, through 100 sweeps of an unchanged world
// (with -short: 5,000 through 5), shard by shard, and reports what an endpoint costs.
func BenchmarkSweep(b *testing.B) {
	n, sweeps := 100_000, 100
	if testing.Short() {
		n, sweeps = 5_000, 5
	}
	for b.Loop() {
		sweep(b, n, sweeps)
	}
}

func sweep(b *testing.B, n, sweeps int) {
	ctx := context.Background()
	dir := b.TempDir()
	c := newClock()
	db, err := Open(ctx, Options{DSN: dir, Now: c.now})
	ok(b, err)
	defer func() { ok(b, db.Close()) }()
	started := time.Now()
	ok(b, db.Declare(ctx, claimsOf(n, epoch)))
	b.ReportMetric(time.Since(started).Seconds(), "declare-s")

	var first, rest time.Duration
	var commits int
	for s := range sweeps {
		now := c.now()
		started := time.Now()
		looked := 0
		var facts time.Duration
		for shard := range Shards {
			claims, err := db.Due(ctx, shard, now)
			ok(b, err)
			begun := time.Now()
			looks := make([]assure.Look, len(claims))
			for i, c := range claims {
				leaf := leafOf(c.Subject, "1", epoch.AddDate(0, 0, -10), 90*24*time.Hour)
				looks[i] = assure.Look{Claim: c.ID, Fact: served(leaf, "192.0.2.1:443"), Observer: "probe@bench", At: now}
			}
			facts += time.Since(begun)
			if len(looks) > 0 {
				cycle(ctx, b, db, now, looks)
				commits++
			}
			looked += len(looks)
		}
		took := time.Since(started) - facts
		if looked != n {
			b.Fatalf("sweep %d looked at %d endpoints of %d", s, looked, n)
		}
		if s == 0 {
			first = took
		} else {
			rest += took
		}
		c.advance(15 * time.Minute)
	}
	b.ReportMetric(first.Seconds()*1e6/float64(n), "first-µs/endpoint")
	if sweeps > 1 {
		b.ReportMetric(rest.Seconds()*1e6/float64(n*(sweeps-1)), "µs/endpoint")
	}
	b.ReportMetric(float64(fileBytes(b, dir))/1e6, "raw-MB")
	if _, err := db.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		b.Fatal(err)
	}
	size := fileBytes(b, dir)
	b.ReportMetric(float64(size)/1e6, "MB")
	b.ReportMetric(float64(size)/float64(n), "B/endpoint")
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/float64(n), "heap-B/endpoint")

	totals := must(db.Totals(ctx))(b)
	if got := totals.Claims[assure.Serving][assure.Upheld]; got != n {
		b.Fatalf("%d claims are upheld, want %d", got, n)
	}
	for name, q := range map[string]assure.RowQuery{"rows": {}, "deep": {Offset: n - 50}, "search": {Search: fmt.Sprintf("%06d", n/2)}, "broken": {Verdict: assure.Broken, Link: assure.Serving}} {
		must(db.Rows(ctx, q))(b)
		started := time.Now()
		must(db.Rows(ctx, q))(b)
		b.ReportMetric(float64(time.Since(started).Microseconds())/1e3, name+"-ms")
	}
	started = time.Now()
	must(db.Coverage(ctx, c.now(), time.Minute))(b)
	b.ReportMetric(float64(time.Since(started).Microseconds())/1e3, "coverage-ms")
	started = time.Now()
	must(db.Totals(ctx))(b)
	b.ReportMetric(float64(time.Since(started).Microseconds())/1e3, "totals-ms")
	started = time.Now()
	must(db.Lease(ctx, "bench", c.now().Add(-time.Hour), time.Minute, 10))(b)
	b.ReportMetric(float64(time.Since(started).Microseconds())/1e3, "lease-ms")
}

func fileBytes(b *testing.B, dir string) int64 {
	b.Helper()
	var n int64
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	ok(b, err)
	for _, name := range names {
		info, err := os.Stat(name)
		ok(b, err)
		n += info.Size()
	}
	return n
}

// BenchmarkKept compares one statement that the connection keeps with the same one parsed anew; what it reports is how
// many times as long the parsed one takes.
func BenchmarkKept(b *testing.B) {
	db := keepingDB(b)
	plain, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "p.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = plain.Close() })
	plain.SetMaxOpenConns(1)
	if _, err := plain.ExecContext(b.Context(), `CREATE TABLE t (n INTEGER PRIMARY KEY, word TEXT); INSERT INTO t (n, word) VALUES (1, 'a')`); err != nil {
		b.Fatal(err)
	}
	read := func(db *sql.DB) time.Duration {
		began := time.Now()
		for range 100 {
			var n int
			if err := db.QueryRowContext(b.Context(), `SELECT a.n FROM t AS a JOIN t AS b ON a.n = b.n WHERE a.n IN ($1, $2, $3) AND b.word <> $4 ORDER BY a.n LIMIT 1`, 1, 2, 3, "z").Scan(&n); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(began)
	}
	var kept, parsed time.Duration
	for b.Loop() {
		kept += read(db)
		parsed += read(plain)
	}
	b.ReportMetric(float64(parsed)/float64(kept), "parsed/kept")
}
