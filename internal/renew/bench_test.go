package renew

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/notafter/notafter/internal/lab/authority"
)

// benchWorkers is how many certificates are issued at a time, by the engine and by the bare loop alike.
const benchWorkers = 8

// BenchmarkIssue issues one certificate by dns-01 an iteration, with the same workers, authority, zone and polling: once
// as the product does, with journal, propagation and checks, and once with acmez alone and the least solver that works.
// Run it with -benchtime 1000x for 1,000 certificates. retained-B/cert is what the heap holds afterwards that it did not
// hold before, Pebble's own memory of the orders included.
func BenchmarkIssue(b *testing.B) {
	b.Run("engine", func(b *testing.B) {
		w := newWorld(b, authority.Options{})
		c := w.ca(func(o *CAOptions) {
			o.Directory, o.Roots = w.authority.Directory(), w.authority.Pool()
			o.PollInterval = benchPoll
		})
		if _, err := c.AccountURL(context.Background()); err != nil {
			b.Fatal(err)
		}
		solvers := w.dns()
		benchmark(b, func(ctx context.Context, name string) error {
			_, err := c.Issue(ctx, Request{Names: []string{name}}, solvers, nil)
			return err
		})
		w.clean()
	})
	b.Run("bare acmez", func(b *testing.B) {
		w := newWorld(b, authority.Options{})
		ctx := context.Background()
		c := w.ca() // for the pool of its transport only
		c.wire.net.TLSClientConfig.RootCAs = w.authority.Pool()
		client := acmez.Client{
			Client: &acme.Client{
				Directory: w.authority.Directory(), HTTPClient: &http.Client{Transport: c.wire.net}, PollInterval: benchPoll,
			},
			ChallengeSolvers: map[string]acmez.Solver{acme.ChallengeTypeDNS01: bareSolver{w.zone}},
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		account, err := client.NewAccount(ctx, acme.Account{PrivateKey: key, TermsOfServiceAgreed: true})
		if err != nil {
			b.Fatal(err)
		}
		benchmark(b, func(ctx context.Context, name string) error {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return err
			}
			_, err = client.ObtainCertificateForSANs(ctx, account, key, []string{name})
			return err
		})
	})
}

// benchPoll is the pause between polls: for the engine the longest, for acmez the only one.
const benchPoll = 50 * time.Millisecond

type bareSolver struct{ z *zone }

func (s bareSolver) Present(ctx context.Context, c acme.Challenge) error {
	return s.z.Present(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

func (s bareSolver) CleanUp(ctx context.Context, c acme.Challenge) error {
	return s.z.Withdraw(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

// benchmark issues b.N certificates for different names.
func benchmark(b *testing.B, issue func(ctx context.Context, name string) error) {
	b.Helper()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	started := time.Now()
	var next atomic.Int64
	var running sync.WaitGroup
	for range benchWorkers {
		running.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := issue(ctx, fmt.Sprintf("n%d.example", i)); err != nil {
					b.Errorf("certificate %d: %v", i, err)
					return
				}
			}
		})
	}
	running.Wait()
	took := time.Since(started)
	b.StopTimer()
	after := heap()
	b.ReportMetric(float64(b.N)/took.Seconds(), "certs/s")
	b.ReportMetric(float64(int64(after)-int64(before))/float64(b.N), "retained-B/cert")
}
