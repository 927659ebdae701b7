package probe

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// benchServer, when set, makes the test binary a TLS server, so that what the client spends can be told from what the
// server does.
const benchServer = "NOTAFTER_PROBE_BENCH_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(benchServer) != "" {
		if err := serveBench(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveBench reads a chain and a key as PEM from standard input, says its address on standard output, and serves until
// standard input ends.
func serveBench() error {
	in := bufio.NewReader(os.Stdin)
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "end\n" {
			break
		}
		text.WriteString(line)
	}
	cert, err := tls.X509KeyPair([]byte(text.String()), []byte(text.String()))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = l.Close()
	}()
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			s := tls.Server(c, conf)
			if s.Handshake() == nil {
				_, _ = io.Copy(io.Discard, s)
			}
		}()
	}
}

// benchWorld is a P-256 leaf under a P-384 chain, as Let's Encrypt issues them, served by another process.
func benchWorld(b *testing.B) (trust *TrustStore, at netip.AddrPort) {
	b.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		return k
	}
	r := sign(b, caTemplate("bench root"), key(), nil)
	in := sign(b, caTemplate("bench intermediate"), key(), r)
	l := leaf(b, "bench.example", in)
	der, err := x509.MarshalPKCS8PrivateKey(l.key)
	if err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	for _, h := range []*holder{l, in} {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: h.cert.Raw})
	}
	_ = pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	text.WriteString("end\n")

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchServer+"=1")
	cmd.Stderr = os.Stderr
	in2, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in2.Close()
		_ = cmd.Wait()
	})
	if _, err := io.WriteString(in2, text.String()); err != nil {
		b.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return trusting(b, r), netip.MustParseAddrPort(strings.TrimSpace(line))
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bareHandshake is what any client has to do: connect, shake hands over X25519 with verification off, close.
func bareHandshake(b *testing.B, at netip.AddrPort) {
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		b.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	s := tls.Client(c, &tls.Config{ServerName: "bench.example", InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}})
	if err := s.Handshake(); err != nil {
		b.Fatal(err)
	}
	_ = c.Close()
}

// BenchmarkBareHandshake is the yardstick on its own.
func BenchmarkBareHandshake(b *testing.B) {
	_, at := benchWorld(b)
	bareHandshake(b, at)
	begin := cpuTime(b)
	b.ResetTimer()
	for b.Loop() {
		bareHandshake(b, at)
	}
	b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N)/1e3, "cpu-µs/op")
}

// BenchmarkProbe compares a look with all its facts and a warm verdict cache to a bare handshake, in CPU time of this
// process, in interleaved rounds so that a busy machine burdens both. Of the rounds' ratios the median is reported.
func BenchmarkProbe(b *testing.B) {
	trust, at := benchWorld(b)
	p := New(Options{Analyser: analyser(b, trust), OtherAlgorithm: -1, HybridEvery: -1, Resolver: NewResolver(ResolverOptions{HostsFile: "none", ResolvConf: "none"})})
	x := target(b, "tls", "bench.example", at)
	if s := p.Look(context.Background(), x); len(s.Chains) != 1 || len(s.Chains[0].Paths) != 1 || s.Sightings[0].Failure != assure.OK {
		b.Fatalf("the look is not good: %+v", s)
	}
	bareHandshake(b, at)
	const batch = 50
	var probes, bares time.Duration
	var ratios []float64
	n := 0
	b.ResetTimer()
	for b.Loop() {
		t0 := cpuTime(b)
		for range batch {
			p.Look(context.Background(), x)
		}
		t1 := cpuTime(b)
		for range batch {
			bareHandshake(b, at)
		}
		t2 := cpuTime(b)
		probes, bares, n = probes+t1-t0, bares+t2-t1, n+batch
		ratios = append(ratios, float64(t1-t0)/float64(t2-t1))
	}
	slices.Sort(ratios)
	b.ReportMetric(float64(probes)/float64(n)/1e3, "probe-cpu-µs")
	b.ReportMetric(float64(bares)/float64(n)/1e3, "bare-cpu-µs")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}
