package lab_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab"
)

func TestWorld(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := lab.Start(t.Context(), lab.Options{Life: 4 * time.Second, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	scenes := w.Scenes()
	if len(scenes) < 15 {
		t.Errorf("only %d scenes", len(scenes))
	}
	byName := map[string]lab.Scene{}
	found := map[assure.Reason]bool{}
	for _, s := range scenes {
		byName[s.Name] = s
		if s.Watch == "" || len(s.Endpoints) == 0 || len(s.Names) == 0 {
			t.Errorf("%s is not described: %+v", s.Name, s)
		}
		for _, e := range s.Endpoints {
			if target, err := assure.ParseTarget(e); err != nil || target.String() != e {
				t.Errorf("%s: %q is no target in its usual form: %v", s.Name, e, err)
			}
		}
		for _, r := range s.Reasons {
			found[r] = true
		}
	}
	for _, r := range []assure.Reason{
		assure.Expired, assure.Expiring, assure.NameMismatch, assure.ChainIncomplete, assure.SelfSigned, assure.Revoked,
		assure.ServedDiffers, assure.ServedStale, assure.WeakKey, assure.Unreachable, assure.DNSFailed,
	} {
		if !found[r] {
			t.Errorf("no scene shows %s", r)
		}
	}
	if b, err := os.ReadFile(w.RootsFile); err != nil || string(b) != string(w.Roots) {
		t.Errorf("the file of roots: %v", err)
	}
	if in, err := query(w.DNS, "udp", "api.lab.test", dns.TypeA); err != nil || len(in.Answer) != 2 {
		t.Errorf("%v, %v", in, err)
	}

	leafAt := func(name string) *x509.Certificate {
		t.Helper()
		target, err := assure.ParseTarget(byName[name].Endpoints[0])
		if err != nil {
			t.Fatal(err)
		}
		address := "127.0.0.1:" + strconv.Itoa(int(target.Port))
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: target.Host}) //nolint:gosec // the certificate is what is looked at
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0]
	}
	issuedFor := func(name string) *x509.Certificate {
		t.Helper()
		b, err := os.ReadFile(byName[name].Issued)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		if block == nil {
			t.Fatalf("%s: no PEM", name)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := leafAt("forgotten"); time.Now().Before(c.NotAfter) {
		t.Error("the forgotten certificate has not expired")
	}

	// The healthy are renewed in time, and never serve what has expired; the doomed one expires; the sleeping one serves
	// something older than what was issued for it.
	first, doomed := leafAt("shop"), leafAt("doomed")
	renewed, stale, expired := false, false, false
	deadline := time.Now().Add(15 * time.Second)
	for !renewed || !stale || !expired {
		if time.Now().After(deadline) {
			t.Fatalf("after three lifetimes: renewed %t, stale %t, expired %t", renewed, stale, expired)
		}
		now := time.Now()
		shop := leafAt("shop")
		if now.After(shop.NotAfter) {
			t.Fatal("the shop serves an expired certificate")
		}
		renewed = renewed || shop.NotBefore.After(first.NotBefore)
		stale = stale || issuedFor("asleep").NotBefore.After(leafAt("asleep").NotBefore)
		expired = expired || leafAt("doomed").Equal(doomed) && time.Now().After(doomed.NotAfter)
		<-time.After(50 * time.Millisecond)
	}
	if !leafAt("shop").Equal(issuedFor("shop")) {
		t.Error("the shop does not serve what was issued for it")
	}
	list, err := w.CA.Issuing.CRL(lab.Sound)
	if err != nil {
		t.Fatal(err)
	}
	if crl, err := x509.ParseRevocationList(list); err != nil || len(crl.RevokedCertificateEntries) == 0 {
		t.Errorf("nothing was revoked: %v", err)
	}
	w.Stop()
	w.Stop()
}

func TestWorldEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := lab.Start(ctx, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := w.Dir
	cancel()
	w.Stop()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("its own directory is still there: %v", err)
	}
	if _, err := lab.Start(t.Context(), lab.Options{Life: time.Millisecond}); err == nil {
		t.Error("a world of milliseconds was started")
	}
}

func TestFaultyTable(t *testing.T) {
	t.Parallel()
	table, err := lab.Faulty(t.Context(), lab.FaultyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Stop()
	names, targets, shown := map[string]bool{}, map[string]bool{}, map[assure.Reason]bool{}
	order := assure.Reasons()
	for _, e := range table.Entries {
		if names[e.Name] || e.Name == "" || e.Name[len(e.Name)-1] != '.' {
			t.Errorf("%q is no sentence of its own", e.Name)
		}
		if _, err := assure.ParseTarget(e.Target); err != nil {
			t.Error(err)
		}
		if targets[e.Target] && e.Issued == nil {
			t.Errorf("%q is there twice", e.Target)
		}
		names[e.Name], targets[e.Target] = true, true
		at := -1
		for _, r := range e.Reasons {
			i := slices.Index(order, r)
			if i <= at {
				t.Errorf("%s: the reasons %v are not in the order of the documentation", e.Name, e.Reasons)
			}
			at, shown[r] = i, true
		}
		if (e.Verdict == assure.Upheld) != (len(e.Reasons) == 0) {
			t.Errorf("%s: %s with %v", e.Name, e.Verdict, e.Reasons)
		}
	}
	for _, r := range order {
		if r.Link() == assure.Serving && !shown[r] {
			t.Errorf("nothing shows %s", r)
		}
	}
}
