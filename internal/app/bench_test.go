package app_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/app"
	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
)

// serverEnv makes the test binary serve any number of names, each with a leaf of its own, so that what the benchmark
// measures of its own process is the product alone.
const serverEnv = "NOTAFTER_TEST_SERVER"

// serveNames listens on loopback and prints its port and its root. Leaves are made when a name is first asked for.
func serveNames() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench root"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	if err != nil {
		return err
	}
	if root, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port, base64.StdEncoding.EncodeToString(der))
	var leaves sync.Map
	conf := &tls.Config{SessionTicketsDisabled: true, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c, ok := leaves.Load(h.ServerName); ok {
			return c.(*tls.Certificate), nil
		}
		serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
		leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: serial, DNSNames: []string{h.ServerName}, NotBefore: time.Now().Add(-24 * time.Hour),
			NotAfter: time.Now().AddDate(0, 0, 89), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}, root, &key.PublicKey, key)
		if err != nil {
			return nil, err
		}
		c := &tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}
		leaves.Store(h.ServerName, c)
		return c, nil
	}}
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }() // ends with whoever started it
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			_ = tls.Server(conn, conf).Handshake()
		}()
	}
}

// BenchmarkPatrol sweeps 100,000 endpoints (2,000 with -short), each with its own certificate, with the whole product:
// real handshakes, SQLite, one process. The servers are another process on the same machine, and take their share of it.
// It reports, for the first sweep and for one of a world that is known: endpoints a second, the processor time of an
// endpoint, and how many such sweeps fit into 15 minutes; and at rest: bytes of heap and of database for each endpoint.
func BenchmarkPatrol(b *testing.B) {
	endpoints := 100_000
	if testing.Short() {
		endpoints = 2_000
	}
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), serverEnv+"=1")
	in, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = server.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	words := strings.Fields(line)
	port, err := strconv.ParseUint(words[0], 10, 16)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	roots := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(roots, []byte("-----BEGIN CERTIFICATE-----\n"+words[1]+"\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		b.Fatal(err)
	}

	// What the process holds before it watches anything, with everything else in place.
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	declare := func(n int) *config.Config {
		c := config.Default()
		c.State, c.Listen, c.BaseURL = config.NewState(dir), "127.0.0.1:0", "http://127.0.0.1"
		c.Trust, c.Revocation = config.Trust{roots}, config.RevocationOff
		c.Monitor.Control = false
		c.Channels = map[string]config.Channel{"none": {Webhook: &config.Webhook{URL: config.NewAddress("http://127.0.0.1:1/"), Secret: config.NewSecret("a secret that is long enough")}}}
		c.Routes, c.DefaultRoute = map[string]config.Route{"default": {Channels: []string{"none"}}}, "default"
		for i := range n {
			t := assure.Target{Scheme: "tls", Host: fmt.Sprintf("host-%06d.bench.example.com", i), Port: uint16(port), Pin: netip.MustParseAddr("127.0.0.1")}
			c.Certificates = append(c.Certificates, config.Certificate{Name: t.Host, Route: "default", Endpoints: []config.Endpoint{{Target: t}}})
		}
		return &c
	}
	empty := heap()
	var skip atomic.Int64 // how far the product's clock is ahead
	for b.Loop() {
		ctx, stop := context.WithCancel(context.Background())
		a, err := app.New(app.Options{
			Config: declare(endpoints), Tick: 50 * time.Millisecond, Scan: time.Hour,
			Now: func() time.Time { return time.Now().Add(time.Duration(skip.Load())) },
		})
		if err != nil {
			b.Fatal(err)
		}
		done := a.Start(ctx)
		await := func(what string, ok func(assure.Sight) bool) {
			for deadline := time.Now().Add(20 * time.Minute); ; {
				s, err := a.Coverage(ctx)
				if err != nil {
					b.Fatal(err)
				}
				if ok(s) {
					return
				}
				if time.Now().After(deadline) {
					b.Fatalf("%s: %+v", what, s)
				}
				<-time.After(200 * time.Millisecond)
			}
		}
		sweep := func(name string) {
			start, cpu := time.Now(), cpuTime()
			await(name+" sweep", func(s assure.Sight) bool { return s.Expected == endpoints && s.Observed == endpoints })
			took, used := time.Since(start), cpuTime()-cpu
			b.ReportMetric(float64(endpoints)/took.Seconds(), name+"-endpoints/s")
			b.ReportMetric(float64(used.Microseconds())/float64(endpoints), name+"-cpu-µs/endpoint")
			b.ReportMetric((15*time.Minute).Seconds()/took.Seconds(), name+"-sweeps/15min")
		}
		sweep("first")
		skip.Add(int64(time.Hour)) // everything is due, and all evidence too old to count
		sweep("known")
		b.ReportMetric(float64(int64(heap())-int64(empty))/float64(endpoints), "heap-B/endpoint")
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		var size int64
		files, _ := filepath.Glob(filepath.Join(dir, "notafter.db*"))
		for _, f := range files {
			if info, err := os.Stat(f); err == nil {
				size += info.Size()
			}
		}
		b.ReportMetric(float64(size)/float64(endpoints), "db-B/endpoint")
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
