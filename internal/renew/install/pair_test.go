package install

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// clock ticks one second each time it is asked, so that steps have times that can be told apart.
type clock struct{ n atomic.Int64 }

var start = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

func (c *clock) now() time.Time { return start.Add(time.Duration(c.n.Add(1)) * time.Second) }

func newNow() func() time.Time { return new(clock).now }

var issuer = sync.OnceValue(func() (ca struct {
	cert *x509.Certificate
	key  crypto.Signer
},
) {
	ca.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: start.AddDate(-1, 0, 0), NotAfter: start.AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	ca.cert = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, ca.key.Public(), ca.key))))
	return ca
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var serial atomic.Int64

// issued is a new certificate with a key of its own, in PEM.
type issued struct {
	chain, key []byte
	leaf       *x509.Certificate
}

func issue(names ...string) issued {
	if names == nil {
		names = []string{"www.example.com"}
	}
	ca, key := issuer(), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1000 + serial.Add(1)), DNSNames: names,
		NotBefore: start.AddDate(0, 0, -1), NotAfter: start.AddDate(0, 0, 90),
	}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key))
	block := func(t string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: t, Bytes: b}) }
	return issued{
		chain: slices.Concat(block("CERTIFICATE", der), block("CERTIFICATE", ca.cert.Raw)),
		key:   block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))),
		leaf:  must(x509.ParseCertificate(der)),
	}
}

// outcomes tells the steps as "name outcome", for comparison.
func outcomes(steps []assure.Step) string {
	var out []string
	for _, s := range steps {
		out = append(out, s.Name+" "+string(s.Outcome))
	}
	return strings.Join(out, ", ")
}

func wantSteps(t *testing.T, steps []assure.Step, want string) {
	t.Helper()
	if got := outcomes(steps); got != want {
		t.Errorf("steps: got %s, want %s", got, want)
	}
	last := time.Time{}
	for _, s := range steps {
		if s.Outcome != assure.Skipped && (!s.At.After(last) || s.Took <= 0) {
			t.Errorf("step %s has no time of its own: %v, took %v", s.Name, s.At, s.Took)
		}
		last = s.At
		if (s.Outcome == assure.Failed) != (s.Trouble != nil) {
			t.Errorf("step %s: %s, trouble %v", s.Name, s.Outcome, s.Trouble)
		}
	}
}

func wantTrouble(t *testing.T, err error, class assure.TroubleClass, words ...string) *assure.Trouble {
	t.Helper()
	tr, ok := err.(*assure.Trouble) //nolint:errorlint // the contract is this very type
	if !ok {
		t.Fatalf("got %v (%T), want a trouble", err, err)
	}
	if tr.Reason != assure.InstallFailed || tr.Class != class {
		t.Errorf("got %s %s, want %s %s: %s", tr.Reason, tr.Class, assure.InstallFailed, class, tr.Detail)
	}
	for _, w := range words {
		if !strings.Contains(tr.Detail, w) {
			t.Errorf("detail %q does not say %q", tr.Detail, w)
		}
	}
	return tr
}

// noSecret fails when a text of steps or error holds anything of the key.
func noSecret(t *testing.T, steps []assure.Step, err error, secrets ...string) {
	t.Helper()
	text := fmt.Sprintf("%+v %+v %v", steps, assure.TroubleOf(err, assure.InstallFailed), err)
	for _, s := range steps {
		text += fmt.Sprintf("%+v", s.Trouble)
	}
	for _, s := range append(secrets, "PRIVATE KEY") {
		if strings.Contains(text, s) {
			t.Errorf("a secret shows: %s", text)
		}
	}
}

func TestAPairMustBelongTogether(t *testing.T) {
	t.Parallel()
	a, b := issue(), issue()
	old := issue()
	now := newNow()
	for name, c := range map[string]struct {
		chain, key []byte
		now        func() time.Time
		names      []string
		want       string
	}{
		"the key of another certificate": {a.chain, b.key, now, nil, "does not belong"},
		"the issuer first":               {append(slices.Clone(a.chain[strings.LastIndex(string(a.chain), "-----BEGIN"):]), a.chain...), a.key, now, nil, "does not belong"},
		"no certificate":                 {nil, a.key, now, nil, "holds no certificate"},
		"no key":                         {a.chain, nil, now, nil, "no private key"},
		"a key that is none":             {a.chain, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), now, nil, "cannot be read"},
		"too much":                       {make([]byte, maxPEM+1), a.key, now, nil, "larger than"},
		"one that ended":                 {old.chain, old.key, func() time.Time { return old.leaf.NotAfter.Add(time.Second) }, nil, "ended at"},
		"a name left out":                {a.chain, a.key, now, []string{"www.example.com", "mail.example.com"}, "does not cover mail.example.com"},
		"a wildcard left out":            {a.chain, a.key, now, []string{"*.example.com"}, "does not cover"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := &trail{now: c.now}
			_, err := tr.match("web", c.chain, c.key, func(string) []string { return c.names })
			wantTrouble(t, err, assure.TroubleInvalid, c.want)
			noSecret(t, tr.steps, err)
		})
	}
	star := issue("*.example.com", "example.com")
	tr := &trail{now: now}
	p, err := tr.match("web", star.chain, star.key, func(string) []string { return []string{"*.EXAMPLE.com", "example.com.", "a.example.com"} })
	if err != nil {
		t.Fatal(err)
	}
	if string(p.fullchain()) != string(star.chain) || string(p.keyPEM) != string(star.key) {
		t.Error("what is written differs from what was given")
	}
}

func TestNamesInPathsAreSafe(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"hosted-eu": "hosted-eu", "www.example.com": "www.example.com",
		"../../etc/passwd": "etc-passwd-", "*.example.com": "_.example.com-", "": "", "..": "", "-rf": "rf-", "a/b": "a-b-", "ü": "",
	} {
		got := SafeName(in)
		if strings.HasSuffix(want, "-") || (want == "" && in != "") {
			if !strings.HasPrefix(got, want) || len(got) != len(want)+8 {
				t.Errorf("SafeName(%q) = %q, want %s and 8 digits", in, got, want)
			}
		} else if got != want {
			t.Errorf("SafeName(%q) = %q, want %q", in, got, want)
		}
	}
	if SafeName("a/b") == SafeName("a:b") {
		t.Error("two certificates would meet in one file")
	}
}

func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"", "web", "../x", "*.a.b", strings.Repeat("x", 500), "A_B", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := SafeName(s); s != "" {
			if got == "" || len(got) > 110 || strings.HasPrefix(got, ".") || strings.HasPrefix(got, "-") || strings.ContainsAny(got, "/\\\x00") {
				t.Errorf("SafeName(%q) = %q", s, got)
			}
		}
		if got := SecretName(s); s != "" && !isSubdomain(got) {
			t.Errorf("SecretName(%q) = %q", s, got)
		}
	})
}

func FuzzPair(f *testing.F) {
	a := issue()
	f.Add(a.chain, a.key)
	f.Add(a.key, a.chain)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte(""))
	f.Fuzz(func(t *testing.T, chain, key []byte) {
		p, err := parsePair(chain, key)
		if err != nil {
			return
		}
		if again, err := parsePair(p.fullchain(), p.keyPEM); err != nil || again.fingerprint() != p.fingerprint() {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}

func FuzzPartRead(f *testing.F) {
	a := issue()
	p := must(parsePair(a.chain, a.key))
	for i, part := range Parts() {
		f.Add(i, must(part.render(p, "changeit")))
	}
	f.Fuzz(func(t *testing.T, i int, data []byte) {
		part := Parts()[uint(i)%uint(len(Parts()))]
		if part == PKCS12 { // decoding is slow on purpose; what guards it is not
			_ = cheap(data, 0)
			return
		}
		if h, err := part.read(data, "changeit"); err == nil && part != Chain && h.leaf == nil && h.key == nil {
			t.Errorf("%s: nothing was found and that is no error", part)
		}
	})
}
