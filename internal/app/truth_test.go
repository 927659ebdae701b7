package app_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/probe"
)

// TestTruth looks at every service of the lab's truth table, judges what was seen, and wants exactly the reasons that
// the table gives: none less, and none more.
func TestTruth(t *testing.T) {
	now := time.Now()
	table, err := lab.Faulty(t.Context(), lab.FaultyOptions{Pace: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Stop)

	trust, err := probe.TrustFromPEM("the lab's roots", table.Roots)
	if err != nil {
		t.Fatal(err)
	}
	resolver := probe.NewResolver(probe.ResolverOptions{Servers: []string{table.DNS.Addr()}, HostsFile: "/dev/null", Timeout: time.Second})
	analyser := probe.NewAnalyser(probe.AnalyserOptions{Trust: trust, Patience: 2 * time.Second, Lookup: resolver.Lookup})
	t.Cleanup(analyser.Close)
	prober := probe.New(probe.Options{Analyser: analyser, Resolver: resolver, Timeout: 4 * time.Second, TargetTimeout: 10 * time.Second})

	type result struct {
		served    assure.Served
		judgement assure.Judgement
		took      time.Duration
	}
	results := make([]result, len(table.Entries))
	// Slow entries wait for time to pass and cost nothing; the others cost work, and would run out of time if all were
	// looked at at once.
	work := make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, e := range table.Entries {
		wg.Go(func() {
			target, err := assure.ParseTarget(e.Target)
			if err != nil {
				t.Errorf("%s: %v", e.Name, err)
				return
			}
			if !e.Slow {
				work <- struct{}{}
				defer func() { <-work }()
			}
			started := time.Now()
			served := prober.Look(t.Context(), target)
			if e.Public {
				for c := range served.Chains {
					served.Chains[c].PublicTrust = true
				}
			}
			results[i] = result{served, judge(e, target, served, now), time.Since(started)}
		})
	}
	wg.Wait()

	shown := map[assure.Reason]bool{}
	for i, e := range table.Entries {
		r := results[i]
		var reasons, remarks []assure.Reason
		for _, f := range r.judgement.Findings {
			if f.Severity == assure.Info {
				remarks = append(remarks, f.Reason)
			} else {
				reasons = append(reasons, f.Reason)
			}
		}
		for _, x := range e.Reasons {
			shown[x] = true
		}
		t.Run(e.Name, func(t *testing.T) {
			if !slices.Equal(distinct(reasons), distinct(e.Reasons)) {
				t.Errorf("reasons %v, want %v", distinct(reasons), distinct(e.Reasons))
			}
			if !slices.Equal(distinct(remarks), distinct(e.Remarks)) {
				t.Errorf("remarks %v, want %v", distinct(remarks), distinct(e.Remarks))
			}
			if r.judgement.Verdict != e.Verdict {
				t.Errorf("verdict %s, want %s", r.judgement.Verdict, e.Verdict)
			}
			if s := r.judgement.Severity(); s != e.Severity {
				t.Errorf("severity %s, want %s", s, e.Severity)
			}
			if r.took > 15*time.Second {
				t.Errorf("the look took %s", r.took)
			}
			if t.Failed() {
				t.Logf("%s took %s\n%s", e.Target, r.took, tell(r.served, r.judgement))
			}
		})
	}
	for _, r := range assure.Reasons() {
		if r.Link() == assure.Serving && !shown[r] {
			t.Errorf("no entry of the table shows %s", r)
		}
	}
	if len(table.Entries) < 100 {
		t.Errorf("the table has only %d entries", len(table.Entries))
	}
}

func judge(e lab.Entry, target assure.Target, served assure.Served, now time.Time) assure.Judgement {
	claim := assure.Claim{
		ID: assure.NewClaimID(assure.Serving, "lab", target.String()), Link: assure.Serving, Certificate: "lab",
		Subject: target.String(), Declared: now, Every: 15 * time.Minute,
	}
	evidence := &assure.Evidence{Claim: claim.ID, Fact: served, Observer: "test", FirstSeen: now, LastSeen: now, Count: 1}
	return assure.Judge(assure.Case{Claim: claim, Evidence: evidence, Issued: e.Issued}, assure.Setting{Now: now})
}

func distinct(in []assure.Reason) []assure.Reason {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

// tell shows what was seen and said, for a test that failed.
func tell(s assure.Served, j assure.Judgement) string {
	var b strings.Builder
	if s.DNS.Failure != assure.DNSOK {
		fmt.Fprintf(&b, "dns: %s: %s\n", s.DNS.Failure, s.DNS.Detail)
	}
	for _, g := range s.Sightings {
		if _, err := netip.ParseAddrPort(g.Address); err != nil {
			fmt.Fprintf(&b, "not an address: %q\n", g.Address)
		}
		fmt.Fprintf(&b, "sighting: %s offered=%q failure=%s at=%s chain=%d tls=%s client-cert=%t: %s\n", g.Address, g.Offered, g.Failure, g.At, g.Chain, g.TLS, g.ClientCert, g.Detail)
	}
	for i, c := range s.Chains {
		fmt.Fprintf(&b, "chain %d: %d+%d certificates, %d paths, %d completed, missing=%q untrusted-root=%t error=%q unparsed=%q\n",
			i, len(c.Certs), c.Extra, len(c.Paths), len(c.Completed), c.MissingIssuer, c.UntrustedRoot, c.PathError, c.Unparsed)
		for _, r := range c.Revocation {
			fmt.Fprintf(&b, "  revocation: %s %s %s: %s\n", r.Via, r.URL, r.Status, r.Detail)
		}
	}
	for _, f := range j.Findings {
		fmt.Fprintf(&b, "finding: %s %s %s: %s\n", f.Severity, f.Reason, f.Address, f.Summary)
	}
	return b.String()
}
