package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// place solves http-01 for 127.0.0.1, for which no name server is needed.
type place struct {
	mu   sync.Mutex
	auth map[string]string
	port int
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{auth: map[string]string{}}
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	p.port = s.Listener.Addr().(*net.TCPAddr).Port
	return p
}

func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(w, p.auth[r.URL.Path])
}

func (p *place) Present(_ context.Context, c acme.Challenge) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.auth[c.HTTP01ResourcePath()] = c.KeyAuthorization
	return nil
}

func (*place) CleanUp(context.Context, acme.Challenge) error { return nil }

type server interface {
	Directory() string
	Pool() *x509.CertPool
}

func httpClient(s server) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Pool(), MinVersion: tls.VersionTLS12}}}
}

// user is a registered client.
func user(t *testing.T, s server, p *place) (*acmez.Client, acme.Account) {
	t.Helper()
	c := &acmez.Client{
		Client:           &acme.Client{Directory: s.Directory(), HTTPClient: httpClient(s), PollInterval: 10 * time.Millisecond},
		ChallengeSolvers: map[string]acmez.Solver{acme.ChallengeTypeHTTP01: p},
	}
	a, err := c.NewAccount(t.Context(), acme.Account{PrivateKey: newKey(t), TermsOfServiceAgreed: true})
	if err != nil {
		t.Fatal(err)
	}
	return c, a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAnAuthorityIssuesAndRemembers(t *testing.T) {
	before := os.Environ()
	p := newPlace(t)
	a, err := Start(Options{Profiles: map[string]time.Duration{"minute": time.Minute}, HTTPPort: p.port, Alternates: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	if strings.Join(os.Environ(), "\n") != strings.Join(before, "\n") {
		t.Error("the environment of the process is another than before")
	}
	c, account := user(t, a, p)
	certs, err := c.ObtainCertificateForSANs(t.Context(), account, newKey(t), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	chain := certs[0].ChainPEM
	b, rest := pem.Decode(chain)
	leaf, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life != time.Minute-time.Second {
		t.Errorf("it lives for %s", life)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(a.Roots())
	between.AppendCertsFromPEM(rest)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "127.0.0.1"}); err != nil {
		t.Error(err)
	}
	if len(certs) != 2 || len(a.RootNames()) != 2 {
		t.Errorf("%d chains to %q", len(certs), a.RootNames())
	}
	if o := a.Orders(account.Location); len(o) != 1 || !o[0].Finalized || o[0].Status != "valid" || o[0].Authorizations[0] != "valid" || o[0].Profile != "minute" {
		t.Errorf("the orders are %+v", o)
	}
	at := time.Now().Truncate(time.Second)
	if err := a.SetWindow(chain, Window{Start: at, End: at.Add(time.Hour), Explanation: "https://x.example"}); err != nil {
		t.Fatal(err)
	}
	if ari, err := c.GetRenewalInfo(t.Context(), leaf); err != nil || !ari.SuggestedWindow.Start.Equal(at) || ari.ExplanationURL != "https://x.example" {
		t.Errorf("renewal information is %+v: %v", ari, err)
	}
	if r, err := a.Revoked(chain); r || err != nil {
		t.Errorf("revoked: %v, %v", r, err)
	}
	if err := a.Revoke(chain); err != nil {
		t.Error(err)
	}
	if r, err := a.Revoked(chain); !r || err != nil {
		t.Errorf("revoked: %v, %v", r, err)
	}
	for _, f := range []func([]byte) error{a.Revoke, func(c []byte) error { return a.SetRenewalInfo(c, "") }, func(c []byte) error { _, err := a.Revoked(c); return err }} {
		if f(a.PoolPEM()) == nil || f(nil) == nil {
			t.Error("a certificate of somebody else is taken for one of the authority's")
		}
	}
	if err := a.DeactivateAccount(account.Location); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ObtainCertificateForSANs(t.Context(), account, newKey(t), []string{"127.0.0.1"}); err == nil {
		t.Error("a deactivated account orders")
	}
	a.Stop()
	a.Stop()
}

// TestReuse has authorities with different settings side by side in one process.
func TestReuse(t *testing.T) {
	t.Parallel()
	for percent, want := range map[int]int{0: 20, 100: 1} {
		p := newPlace(t)
		a, err := Start(Options{AuthzReuse: percent, HTTPPort: p.port})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Stop)
		c, account := user(t, a, p)
		fresh := 0
		for range 20 {
			o, err := c.NewOrder(t.Context(), account, acme.Order{Identifiers: []acme.Identifier{{Type: "ip", Value: "127.0.0.1"}}})
			if err != nil {
				t.Fatal(err)
			}
			z, err := c.GetAuthorization(t.Context(), account, o.Authorizations[0])
			if err != nil {
				t.Fatal(err)
			}
			if z.Status == acme.StatusValid {
				continue
			}
			fresh++
			for _, ch := range z.Challenges {
				if ch.Type == acme.ChallengeTypeHTTP01 {
					_ = p.Present(t.Context(), ch)
					if _, err := c.InitiateChallenge(t.Context(), account, ch); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, err := c.PollAuthorization(t.Context(), account, z); err != nil {
				t.Fatal(err)
			}
		}
		if fresh != want {
			t.Errorf("at %d in a hundred, %d of 20 orders had a fresh challenge, want %d", percent, fresh, want)
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"too much reuse": {AuthzReuse: 101}, "every nonce bad": {BadNonces: 100}, "a lifetime of nothing": {Profiles: map[string]time.Duration{"x": 0}},
		"a key that is none": {EAB: map[string]string{"kid": "*"}},
	} {
		if a, err := Start(o); err == nil {
			a.Stop()
			t.Errorf("%s: it starts", name)
		}
	}
}

func TestTheProxyMisbehaves(t *testing.T) {
	t.Parallel()
	a, err := Start(Options{Profiles: map[string]time.Duration{"one": time.Hour, "two": time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	p, err := StartProxy(a)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	client := httpClient(p)
	get := func() (*http.Response, string, error) {
		resp, err := client.Get(p.Directory())
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return resp, string(body), err
	}
	_, body, err := get()
	if err != nil || strings.Contains(body, a.base) || !strings.Contains(body, p.base+"/order-plz") {
		t.Fatalf("the directory leads elsewhere: %s, %v", body, err)
	}

	p.Add(Fault{At: Directory, After: 1, Do: RateLimited("5")}, Fault{At: Directory, Times: 2, Do: Unavailable("")})
	var codes []int
	for range 5 {
		resp, _, err := get()
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, resp.StatusCode)
	}
	if want := []int{503, 429, 503, 200, 200}; !equal(codes, want) {
		t.Errorf("answers are %d, want %d", codes, want)
	}
	p.Add(Fault{At: NewOrder, Times: -1, Do: Reset()})
	if _, _, err := get(); err != nil {
		t.Errorf("a fault elsewhere: %v", err)
	}
	for name, do := range map[string]Action{"lost": Lose(), "reset": Reset()} {
		p.Mend()
		before := p.Seen(Directory)
		p.Add(Fault{At: Directory, Times: -1, Do: do})
		if _, _, err := get(); err == nil {
			t.Errorf("%s: there is an answer", name)
		}
		if p.Seen(Directory) == before {
			t.Errorf("%s: nothing was counted", name)
		}
	}
	p.Mend()
	p.Add(Fault{At: Directory, Do: Garbage()}, Fault{At: Directory, Do: Huge(2 << 20)})
	if _, body, err := get(); err != nil || json.Valid([]byte(body)) {
		t.Errorf("nonsense is %q: %v", body, err)
	}
	if _, body, err := get(); err != nil || len(body) != 1<<20 {
		t.Errorf("a huge answer has %d bytes of the first MiB: %v", len(body), err)
	}
	p.Add(Fault{At: Directory, Do: Slow(time.Hour)})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Directory(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Do(r); err == nil {
		body, err := io.ReadAll(io.LimitReader(resp.Body, 100))
		t.Errorf("a slow answer came at once: %d %q %v, %v", resp.StatusCode, body, err, resp.Header)
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a slow answer: %v", err)
	}

	p.Mend()
	p.WithoutProfile("one")
	p.SetCAAIdentities("ca.example")
	p.Without("renewalInfo")
	_, body, err = get()
	if err != nil || strings.Contains(body, `"one"`) || !strings.Contains(body, `"two"`) || !strings.Contains(body, `["ca.example"]`) || strings.Contains(body, "renewalInfo") {
		t.Errorf("the changed directory is %s: %v", body, err)
	}
}

// TestLostIsNotReset tells the two ways of failing apart: after the one the account is there, after the other it is not.
func TestLostIsNotReset(t *testing.T) {
	t.Parallel()
	a, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	p, err := StartProxy(a)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	for _, tc := range []struct {
		do   Action
		want bool
	}{{Lose(), true}, {Reset(), false}} {
		c := &acme.Client{Directory: p.Directory(), HTTPClient: httpClient(p)}
		who := acme.Account{PrivateKey: newKey(t), TermsOfServiceAgreed: true}
		p.Add(Fault{At: NewAccount, Times: -1, Do: tc.do})
		if _, err := c.NewAccount(t.Context(), who); err == nil {
			t.Error("there is an answer")
		}
		p.Mend()
		if _, err := c.GetAccount(t.Context(), who); (err == nil) != tc.want {
			t.Errorf("the account is there: %v, want %v", err == nil, tc.want)
		}
	}
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
