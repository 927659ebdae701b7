package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"pgregory.net/rapid"
)

// The cache is exact: whatever an analysis depends on leads to an analysis of its own.
func TestVerdictKey(t *testing.T) {
	c := newVerdictCache("trust", 1<<20)
	base := c.key("host", 0, [][]byte{[]byte("ab"), []byte("c")})
	for name, other := range map[string]verdictKey{
		"another host":         c.key("hosts", 0, [][]byte{[]byte("ab"), []byte("c")}),
		"another cut":          c.key("host", 0, [][]byte{[]byte("a"), []byte("bc")}),
		"another order":        c.key("host", 0, [][]byte{[]byte("c"), []byte("ab")}),
		"one more certificate": c.key("host", 0, [][]byte{[]byte("ab"), []byte("c"), {}}),
		"more were dropped":    c.key("host", 1, [][]byte{[]byte("ab"), []byte("c")}),
		"another bit":          c.key("host", 0, [][]byte{[]byte("ab"), []byte("b")}),
		"another process":      newVerdictCache("trust", 1<<20).key("host", 0, [][]byte{[]byte("ab"), []byte("c")}),
	} {
		if other == base {
			t.Errorf("%s has the same key", name)
		}
	}
	if c.key("host", 0, [][]byte{[]byte("ab"), []byte("c")}) != base {
		t.Error("the same question has another key")
	}
}

func TestCodecGivesBackWhatItGot(t *testing.T) {
	c := newCodec()
	fp := rapid.Custom(func(t *rapid.T) string {
		return fingerprintOf(rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "der"))
	})
	texts := func(max int) *rapid.Generator[[]string] {
		return rapid.Custom(func(t *rapid.T) []string {
			if s := rapid.SliceOfN(rapid.String(), 0, max).Draw(t, "texts"); len(s) > 0 {
				return s
			}
			return nil
		})
	}
	when := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "time"), 0).UTC()
	})
	rapid.Check(t, func(t *rapid.T) {
		var v verdict
		var all []string
		for _, p := range rapid.SliceOfNDistinct(fp, 1, 6, rapid.ID).Draw(t, "prints") {
			serial := rapid.OneOf(rapid.StringMatching("[1-9a-f][0-9a-f]{0,40}"), rapid.SampledFrom([]string{"0", "", "-5", "zz", "00f", strings.Repeat("f", 300)})).Draw(t, "serial")
			r := record{cert: assure.Cert{
				Fingerprint: p, Subject: rapid.String().Draw(t, "subject"), Issuer: rapid.StringN(0, 5, -1).Draw(t, "issuer"), Serial: serial,
				Names: texts(3).Draw(t, "names"), NotBefore: when.Draw(t, "from"), NotAfter: when.Draw(t, "to"),
				Key: rapid.SampledFrom([]string{"RSA 2048", "ECDSA P-256", ""}).Draw(t, "key"), Signature: rapid.StringN(0, 3, -1).Draw(t, "sig"),
			}, crls: texts(2).Draw(t, "crls"), ocsp: texts(2).Draw(t, "ocsp")}
			v.certs = append(v.certs, r)
			all = append(all, p)
		}
		some := rapid.Custom(func(t *rapid.T) []string {
			if s := rapid.SliceOfN(rapid.SampledFrom(all), 0, 4).Draw(t, "some"); len(s) > 0 {
				return s
			}
			return nil
		})
		paths := rapid.Custom(func(t *rapid.T) []assure.Path {
			var out []assure.Path
			for range rapid.IntRange(0, 3).Draw(t, "paths") {
				out = append(out, assure.Path{Certs: some.Draw(t, "path"), NotBefore: when.Draw(t, "from"), NotAfter: when.Draw(t, "to"), LimitedBy: rapid.SampledFrom(all).Draw(t, "by")})
			}
			return out
		})
		yes := rapid.Bool()
		text := rapid.OneOf(rapid.Just(""), rapid.String())
		v.chain = assure.Chain{
			Certs: some.Draw(t, "certs"), Extra: rapid.IntRange(0, 1000).Draw(t, "extra"),
			NameMatches: yes.Draw(t, "a"), SelfSigned: yes.Draw(t, "b"), ServerAuth: yes.Draw(t, "c"), IsCA: yes.Draw(t, "d"),
			PublicTrust: yes.Draw(t, "e"), UntrustedRoot: yes.Draw(t, "f"),
			WeakKey: text.Draw(t, "g"), WeakSignature: text.Draw(t, "h"), MissingIssuer: text.Draw(t, "i"), PathError: text.Draw(t, "j"), Unparsed: text.Draw(t, "k"),
			Paths: paths.Draw(t, "paths"), Completed: paths.Draw(t, "completed"), Unused: some.Draw(t, "unused"), Lint: texts(3).Draw(t, "lint"),
		}
		got, ok := c.decode(c.encode(v))
		if !ok || !reflect.DeepEqual(got, v) {
			t.Fatalf("%t\n got %+v\nwant %+v", ok, got, v)
		}
	})
}

func TestVerdictCacheIsBounded(t *testing.T) {
	r := root(t, "Root")
	l := leaf(t, "www.example.com", r)
	a := analyser(t, trusting(t, r), func(o *AnalyserOptions) { o.CacheBytes = 20_000 })
	for n := range 500 {
		look(t, a, fmt.Sprintf("h%d.example.com", n), l)
	}
	if s := a.Stats(); s.Verdicts == 0 || s.Verdicts > 200 || s.VerdictBytes > 22_000 || s.VerdictMisses != 500 {
		t.Errorf("%+v", s)
	}
	look(t, a, "h499.example.com", l)
	if s := a.Stats(); s.VerdictHits != 1 {
		t.Errorf("what was just looked at is forgotten: %+v", s)
	}
}

// What is looked at again and again stays, whatever passes by.
func TestClockKeepsWhatIsUsed(t *testing.T) {
	c := newClock[int, string](8)
	c.put(-1, "kept")
	for n := range 1000 {
		if v, ok := c.get(-1); !ok || v != "kept" {
			t.Fatalf("lost after %d", n)
		}
		c.put(n, "passing")
		if n%10 == 0 {
			c.get(-1)
			c.shed()
		}
		if c.len() > 8 {
			t.Fatalf("%d entries", c.len())
		}
	}
	for c.len() > 0 {
		if _, ok := c.shed(); !ok {
			t.Fatal("nothing to shed though there is something")
		}
	}
	if _, ok := c.shed(); ok {
		t.Error("shed something out of nothing")
	}
	c.put(5, "again")
	if v, _ := c.get(5); v != "again" {
		t.Error("nothing can be put after all was shed")
	}
}

func TestAnalyserFromManyGoroutines(t *testing.T) {
	r := root(t, "Root")
	i := inter(t, "Inter", r)
	var leaves []*holder
	for range 4 {
		leaves = append(leaves, leaf(t, "www.example.com", i))
	}
	a := analyser(t, trusting(t, r), func(o *AnalyserOptions) { o.CacheBytes = 600 })
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 50 {
				chain, certs := a.Analyse(context.Background(), "www.example.com", loopback, ders(leaves[(g+n)%4], i), 0, nil)
				if len(chain.Paths) != 1 || len(certs) != 3 || certs[0].Fingerprint != chain.Certs[0] {
					t.Errorf("%+v", chain)
				}
			}
		})
	}
	wg.Wait()
}

func key384(b *testing.B) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return k
}

// publicLike is a chain as the public web has them: a P-256 leaf under P-384 authorities.
func publicLike(b *testing.B) (*holder, *holder, *holder) {
	r := sign(b, caTemplate("ISRG-like Root X2"), key384(b), nil)
	i := sign(b, caTemplate("Inter E7"), key384(b), r)
	return r, i, leaf(b, "www.example.com", i, func(c *x509.Certificate) {
		c.DNSNames = append(c.DNSNames, "example.com")
		c.CRLDistributionPoints = []string{"http://e7.c.example.org/100.crl"}
	})
}

func BenchmarkAnalyseWarm(b *testing.B) {
	r, i, l := publicLike(b)
	a := analyser(b, trusting(b, r))
	chain := ders(l, i)
	a.Analyse(context.Background(), "www.example.com", loopback, chain, 0, nil)
	b.ReportAllocs()
	for b.Loop() {
		a.Analyse(context.Background(), "www.example.com", loopback, chain, 0, nil)
	}
}

func BenchmarkAnalyseCold(b *testing.B) {
	r, i, l := publicLike(b)
	a := analyser(b, trusting(b, r))
	chain := ders(l, i)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		a.Analyse(context.Background(), fmt.Sprintf("h%d.example.com", n), loopback, chain, 0, nil)
	}
}

// BenchmarkVerdictMemory reports what the verdict of one more endpoint costs, each with a certificate of its own.
func BenchmarkVerdictMemory(b *testing.B) {
	r := root(b, "ISRG-like Root X2")
	i := inter(b, "Inter E7", r)
	a := analyser(b, trusting(b, r))
	const count = 10_000
	one := keyP256(b)
	for b.Loop() {
		var before, after runtime.MemStats
		chains := make([][][]byte, count)
		for n := range chains {
			t := leafTemplate(fmt.Sprintf("host%05d.example.com", n))
			t.CRLDistributionPoints = []string{fmt.Sprintf("http://e7.c.example.org/%d.crl", n%128)}
			chains[n] = ders(sign(b, t, one, i), i)
		}
		runtime.GC()
		runtime.ReadMemStats(&before)
		for n, c := range chains {
			a.Analyse(context.Background(), fmt.Sprintf("host%05d.example.com", n), loopback, c, 0, nil)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(chains)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/count, "B/endpoint")
		b.ReportMetric(float64(a.Stats().VerdictBytes)/count, "counted-B/endpoint")
	}
}

// BenchmarkRevocationList reads a list of 100,000 certificates.
func BenchmarkRevocationList(b *testing.B) {
	r := root(b, "Root")
	var many []x509.RevocationListEntry
	for n := range 100_000 {
		many = append(many, revoked(big.NewInt(int64(n)*7919+1), 1))
	}
	der := crl(b, r, many)
	b.SetBytes(int64(len(der)))
	b.ReportAllocs()
	for b.Loop() {
		list, err := parseRevocationList(der, r.cert)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(list.size())/100_000, "kept-B/entry")
	}
}
