package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// epoch is when the tests' worlds begin.
var epoch = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: epoch} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

func fingerprint(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// leafOf is a certificate as a public CA issues it.
func leafOf(host, serial string, from time.Time, life time.Duration) assure.Cert {
	return assure.Cert{
		Fingerprint: fingerprint(host + serial), Subject: "CN=" + host, Issuer: "CN=Lab E7,O=Lab Trust Services,C=NO",
		Serial: fingerprint(serial + host)[:36], Names: []string{host}, NotBefore: from.UTC(), NotAfter: from.Add(life - time.Second).UTC(), Key: "ECDSA P-256", Signature: "ECDSA-SHA384",
	}
}

var (
	intermediate = assure.Cert{
		Fingerprint: fingerprint("E7"), Subject: "CN=Lab E7,O=Lab Trust Services,C=NO", Issuer: "CN=Lab Root X2,O=Lab Trust Services,C=NO", Serial: "7e1",
		NotBefore: epoch.AddDate(-2, 0, 0), NotAfter: epoch.AddDate(3, 0, 0), Key: "ECDSA P-384", Signature: "ECDSA-SHA384",
	}
	rootCert = assure.Cert{
		Fingerprint: fingerprint("X2"), Subject: "CN=Lab Root X2,O=Lab Trust Services,C=NO", Issuer: "CN=Lab Root X2,O=Lab Trust Services,C=NO", Serial: "7e0",
		NotBefore: epoch.AddDate(-6, 0, 0), NotAfter: epoch.AddDate(14, 0, 0), Key: "ECDSA P-384", Signature: "ECDSA-SHA384",
	}
)

// served is what an endpoint with one address and that leaf under the lab's intermediate serves.
func served(leaf assure.Cert, address string) assure.Served {
	return assure.Served{
		DNS: assure.DNS{Source: "dns"}, Certs: []assure.Cert{leaf, intermediate, rootCert},
		Chains: []assure.Chain{{
			Certs: []string{leaf.Fingerprint, intermediate.Fingerprint}, NameMatches: true, ServerAuth: true,
			Paths: []assure.Path{{Certs: []string{leaf.Fingerprint, intermediate.Fingerprint, rootCert.Fingerprint}, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, LimitedBy: leaf.Fingerprint}},
		}},
		Sightings: []assure.Sighting{{Address: address, Chain: 0, TLS: "1.3"}},
	}
}

// refused is what an endpoint that refuses connections shows.
func refused(address string) assure.Served {
	return assure.Served{DNS: assure.DNS{Source: "dns"}, Sightings: []assure.Sighting{{Address: address, Failure: assure.Refused, At: assure.AtConnect, Detail: "connection refused", Chain: -1}}}
}

func servingClaim(certificate, subject string, declared time.Time) assure.Claim {
	return assure.Claim{
		ID: assure.NewClaimID(assure.Serving, certificate, subject), Link: assure.Serving, Certificate: certificate, Subject: subject,
		Route: "sre", Owner: "platform", Declared: declared, Every: 15 * time.Minute,
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func setting(now time.Time) assure.Setting {
	return assure.Setting{Now: now, Routes: map[string][]string{"sre": {"pager", "chat"}}, DefaultRoute: "sre"}
}

// cycle does what the patrol does with looks: record, judge, advance, apply, commit. It returns the judgements.
func cycle(ctx context.Context, t testing.TB, db *DB, now time.Time, looks []assure.Look, ids ...assure.ClaimID) []assure.Judgement {
	t.Helper()
	tx, err := db.Begin(ctx)
	ok(t, err)
	js, err := cycleIn(ctx, tx, now, looks, ids...)
	if err != nil {
		_ = tx.Rollback(ctx)
		t.Fatal(err)
	}
	ok(t, tx.Commit(ctx))
	return js
}

func cycleIn(ctx context.Context, tx *Tx, now time.Time, looks []assure.Look, ids ...assure.ClaimID) ([]assure.Judgement, error) {
	if err := tx.Record(ctx, looks); err != nil {
		return nil, err
	}
	if ids == nil {
		for _, l := range looks {
			ids = append(ids, l.Claim)
		}
	}
	cases, err := tx.Cases(ctx, ids)
	if err != nil {
		return nil, err
	}
	js := make([]assure.Judgement, len(cases))
	judged := make([]assure.Judged, len(cases))
	for i, c := range cases {
		js[i] = assure.Judge(c, setting(now))
		judged[i] = assure.Judged{Judgement: js[i], Next: now.Add(c.Claim.Every)}
	}
	docket, err := tx.Docket(ctx, assure.Causes(js), ids)
	if err != nil {
		return nil, err
	}
	return js, tx.Apply(ctx, judged, assure.Advance(docket, js, setting(now)))
}

// claimsOf declares n endpoints, each with a certificate of its own.
func claimsOf(n int, declared time.Time) []assure.Claim {
	out := make([]assure.Claim, n)
	for i := range out {
		host := fmt.Sprintf("host-%06d.shop.example.com", i)
		out[i] = servingClaim(fmt.Sprintf("shop-%06d", i), host, declared)
	}
	return out
}
