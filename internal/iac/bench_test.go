package iac

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"
)

// benchPlan, when set, makes the test binary read and judge that plan and do nothing else, so that the memory of a whole process can
// be told from that of a benchmark.
const benchPlan = "NOTAFTER_IAC_BENCH_PLAN"

func TestMain(m *testing.M) {
	if name := os.Getenv(benchPlan); name != "" {
		if err := judgeAlone(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// judgeAlone reads and judges a plan, and prints the most memory that the process has had, in bytes.
func judgeAlone(name string) error {
	if _, _, err := judgeFile(name); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for l := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(l, "VmHWM: %d kB", &kib); n == 1 {
			fmt.Println(kib << 10)
			return nil
		}
	}
	return fmt.Errorf("no VmHWM in /proc/self/status")
}

func judgeFile(name string) (*Plan, Verdict, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, Verdict{}, err
	}
	defer func() { _ = f.Close() }()
	p, err := Read(f, ReadOptions{})
	if err != nil {
		return nil, Verdict{}, err
	}
	return p, Judge(p, Inventory{}), nil
}

// The bounds that are promised for a plan of 137 MB.
const (
	mostMemory  = 24e6 // bytes, of the whole process
	leastFaster = 1    // times as fast as encoding/json's tokeniser
)

// BenchmarkRead reads and judges a plan of 137 MB with 4,500 changes from a file, and goes through the same file with
// encoding/json's tokeniser for comparison. It fails when that is faster, or when a process that judges the plan has more
// than 24 MB at its peak.
func BenchmarkRead(b *testing.B) {
	name := filepath.Join(b.TempDir(), "plan.json")
	size := writeEstate(b, name)
	if size < 136e6 || size > 138e6 {
		b.Fatalf("the plan has %d bytes", size)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	best := func(d *time.Duration, f func()) {
		start := time.Now()
		f()
		if took := time.Since(start); *d == 0 || took < *d {
			*d = took
		}
	}
	var ours, theirs time.Duration
	judged := func() {
		p, v, err := judgeFile(name)
		if err != nil || p.Seen != bigEstate.resources || p.Changing != p.Seen || len(p.Changes) < bigEstate.resources/estateEvery {
			b.Fatalf("read: %+v, %v", p, err)
		}
		if v.Class != Safe {
			b.Fatalf("judged: %+v", v)
		}
	}
	for b.Loop() {
		judged()
	}
	// Other work on the machine slows down now one and now the other; the best of some turns is what each can do.
	for range 3 {
		best(&theirs, func() { tokens(b, name) })
		best(&ours, judged)
	}
	ratio := theirs.Seconds() / ours.Seconds()
	b.ReportMetric(ratio, "x-tokeniser")
	if ratio < leastFaster {
		b.Errorf("%.2f times as fast as encoding/json's tokeniser", ratio)
	}
	heap := peakHeap(b, name)
	b.ReportMetric(heap/1e6, "peak-heap-MB")
	if runtime.GOOS != "linux" {
		return
	}
	rss := peakRSS(b, name)
	b.ReportMetric(rss/1e6, "peak-RSS-MB")
	if rss > mostMemory {
		b.Errorf("a process that judges the plan has %.1f MB", rss/1e6)
	}
}

func writeEstate(tb testing.TB, name string) int64 {
	tb.Helper()
	f, err := os.Create(name)
	if err != nil {
		tb.Fatal(err)
	}
	n, err := io.Copy(f, bufio.NewReaderSize(bigEstate.read(), 1<<20))
	if err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
	return n
}

// tokens goes through a file with encoding/json's tokeniser.
func tokens(tb testing.TB, name string) {
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	d := json.NewDecoder(f)
	d.UseNumber()
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			tb.Fatal(err)
		}
	}
}

// peakHeap returns the most bytes that objects and stacks had while the plan was read, sampled each time that a piece
// of it is.
func peakHeap(tb testing.TB, name string) float64 {
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	runtime.GC()
	w := &watched{r: f, samples: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}}
	if _, err := Read(w, ReadOptions{}); err != nil {
		tb.Fatal(err)
	}
	return float64(w.peak)
}

type watched struct {
	r       io.Reader
	samples []metrics.Sample
	peak    uint64
}

func (w *watched) Read(p []byte) (int, error) {
	metrics.Read(w.samples)
	w.peak = max(w.peak, w.samples[0].Value.Uint64()+w.samples[1].Value.Uint64())
	return w.r.Read(p)
}

// peakRSS returns the most memory that a process had which did nothing but read and judge the plan.
func peakRSS(tb testing.TB, name string) float64 {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchPlan+"="+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		tb.Fatal(err)
	}
	return float64(n)
}
