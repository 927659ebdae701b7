package estate_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

func begin(t *testing.T) *estate.Estate {
	t.Helper()
	if err := estate.Possible(); err != nil {
		t.Fatal(err)
	}
	e, err := estate.Start(estate.Options{Life: 20 * time.Second, Due: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	return e
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

// issue puts a pair that lives for a while where the site reads it.
func issue(t *testing.T, ca *lab.CA, s *estate.Site, life time.Duration) *lab.Leaf {
	t.Helper()
	leaf, err := ca.Root.Issue(lab.LeafOptions{Names: s.Names, NotBefore: time.Now(), NotAfter: time.Now().Add(life)})
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.TLS().PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Fullchain, leaf.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	return leaf
}

func reload(s *estate.Site) error {
	return exec.Command(s.Reload[0], s.Reload[1:]...).Run() //nolint:gosec // the estate's own
}

func authority(t *testing.T) *lab.CA {
	t.Helper()
	ca, err := lab.NewCA(lab.CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Stop)
	return ca
}

// A site serves what it was told to read, and nothing before; a reload that fails changes nothing, and fails once.
func TestSiteReadsWhenItIsTold(t *testing.T) {
	t.Parallel()
	e := begin(t)
	ca := authority(t)
	s, err := e.SiteOf([]string{"hosted." + estate.AzureZone, "status." + estate.AzureZone, "*.hosted." + estate.AzureZone})
	if err != nil {
		t.Fatal(err)
	}
	if s.Renewer != estate.Azure || len(s.Targets) != 2 || s.Target != s.Targets[0] {
		t.Errorf("%s has the targets %v and the renewer %s", s.Name, s.Targets, s.Renewer)
	}
	first := issue(t, ca, s, time.Minute)
	if s.Leaf() != nil {
		t.Error("it serves a certificate that it was not told to read")
	}
	if err := s.FailReload(); err != nil {
		t.Fatal(err)
	}
	if err := reload(s); err == nil || !s.ReloadFailed() {
		t.Errorf("the reload did not fail: %v", err)
	}
	if err := reload(s); err != nil {
		t.Errorf("the second reload failed as well: %v", err)
	}
	until(t, "certificate", func() bool { return string(s.Leaf()) == string(first.Cert.Raw) })
	if from, to := s.Life(); !from.Equal(first.Cert.NotBefore) || !to.Equal(first.Cert.NotAfter) {
		t.Errorf("it lives from %s to %s", from, to)
	}
}

// What is configured by the plain values is really there.
func TestRenewersLeadSomewhere(t *testing.T) {
	t.Parallel()
	e := begin(t)
	for _, r := range e.Renewers() {
		pool := x509.NewCertPool()
		roots, err := os.ReadFile(r.CARoots)
		if err != nil || !pool.AppendCertsFromPEM(roots) {
			t.Fatalf("%s: no roots: %v", r.Name, err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
		defer client.CloseIdleConnections()
		for _, at := range []string{r.Directory, r.Staging} {
			res, err := client.Get(at)
			if err != nil {
				t.Errorf("%s: %v", r.Name, err)
				continue
			}
			b, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK || !strings.Contains(string(b), `"`+r.Profile+`"`) {
				t.Errorf("%s: %s answers %s without the profile %s: %s", r.Name, at, res.Status, r.Profile, b)
			}
		}
		if (r.Azure == nil) == (r.Update == nil) {
			t.Errorf("%s is written in both ways, or in none", r.Name)
		}
	}
}

// The story takes a grant away when nothing is due, waits for a renewal after it is back, lets a reload fail and a name
// server lag, and mends all of it.
func TestStory(t *testing.T) {
	t.Parallel()
	e := begin(t)
	ca := authority(t)
	portal, err := e.Site("portal." + estate.AzureZone)
	if err != nil {
		t.Fatal(err)
	}
	wiki, err := e.Site("wiki." + estate.BindZone)
	if err != nil {
		t.Fatal(err)
	}
	const life = 8 * time.Second
	sites := []*estate.Site{portal, wiki}
	renew := func(s *estate.Site) {
		issue(t, ca, s, life)
		if err := reload(s); err != nil {
			_ = reload(s) // as the product does a little later
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var told []string
	says := func(want string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(strings.Join(told, "\n"), want)
		}
	}
	var done sync.WaitGroup
	done.Go(func() {
		e.Tell(ctx, estate.Story{Sites: sites, Life: life, Canary: time.Second, Tell: func(text string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, text)
		}})
	})
	grants := len(e.Azure.Assignments())
	renew(portal)
	renew(wiki)
	until(t, "lost grant", says("deleted the role assignment"))
	if n := len(e.Azure.Assignments()); n != grants-1 {
		t.Errorf("%d assignments are left of %d", n, grants)
	}
	until(t, "grant", says("granted again"))
	if n := len(e.Azure.Assignments()); n != grants {
		t.Errorf("%d assignments are back of %d", n, grants)
	}
	if says("renewal through azure has worked")() {
		t.Error("a renewal has worked that was not made")
	}
	renew(portal)
	until(t, "announced reload", says("will refuse to reload"))
	renew(wiki)
	until(t, "failed reload", says("The reload of wiki"))
	until(t, "lagging server", says("does not follow any more"))
	until(t, "server that caught up", says("has caught up"))
	cancel()
	done.Wait()
}
