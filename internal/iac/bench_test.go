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

// benchPlan, when set, makes the test binary read that plan and nothing else, so that the memory of a whole process can
// be told from that of a benchmark.
const benchPlan = "NOTAFTER_IAC_BENCH_PLAN"

func TestMain(m *testing.M) {
	if name := os.Getenv(benchPlan); name != "" {
		if err := readAlone(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// readAlone reads a plan and prints the most memory that the process has had, in bytes.
func readAlone(name string) error {
	if _, err := readFile(name); err != nil {
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

func readFile(name string) (*Plan, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return Read(f, ReadOptions{})
}

// The bounds that are promised for a plan of 137 MB.
const (
	mostMemory  = 24e6 // bytes, of the whole process
	leastFaster = 1    // times as fast as encoding/json's tokeniser
)

// BenchmarkRead reads a plan of 137 MB with 4,500 changes from a file, and the same file with encoding/json's tokeniser
// for comparison. It fails when Read is slower, or when a process that reads the plan has more than 24 MB at its peak.
func BenchmarkRead(b *testing.B) {
	name := filepath.Join(b.TempDir(), "plan.json")
	size := writeEstate(b, name)
	if size < 136e6 || size > 138e6 {
		b.Fatalf("the plan has %d bytes", size)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	var ours, theirs time.Duration
	rounds := 0
	for b.Loop() {
		start := time.Now()
		p, err := readFile(name)
		ours += time.Since(start)
		if err != nil || p.Seen != bigEstate.resources || p.Changing != p.Seen || len(p.Incomplete) > 0 {
			b.Fatalf("read: %+v, %v", p, err)
		}
		b.StopTimer()
		if rounds++; rounds <= 3 {
			start = time.Now()
			tokens(b, name)
			theirs += time.Since(start)
		}
		b.StartTimer()
	}
	ratio := theirs.Seconds() / float64(min(rounds, 3)) / (ours.Seconds() / float64(rounds))
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
		b.Errorf("a process that reads the plan has %.1f MB", rss/1e6)
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

// peakRSS returns the most memory that a process had which did nothing but read the plan.
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
