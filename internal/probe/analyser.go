package probe

import (
	"context"
	"log/slog"
	"net/netip"
	"time"
)

// RevocationMode says which certificates' revocation is asked for.
type RevocationMode string

// The modes. The zero value means RevocationLeaf.
const (
	RevocationLeaf RevocationMode = "leaf" // the leaf, by revocation list or OCSP
	RevocationFull RevocationMode = "full" // every certificate of the best path but the anchor
	RevocationOff  RevocationMode = "off"  // nothing is asked; a staple is ignored
)

// DefaultPatience is how long one analysis waits for answers from the network that are not there yet.
const DefaultPatience = 5 * time.Second

// AnalyserOptions configures an Analyser. The zero value of each field has a meaning.
type AnalyserOptions struct {
	// Trust holds the anchors that paths must reach; nil means Mozilla's list.
	Trust *TrustStore
	// Revocation says what is asked; empty means RevocationLeaf.
	Revocation RevocationMode
	// Offline keeps the analyser from the network altogether: no intermediates and no revocation are fetched. Staples are
	// still read.
	Offline bool
	// NoLint leaves the linter out.
	NoLint bool
	// Patience bounds how long one call of Analyse waits for the network; zero means DefaultPatience.
	Patience time.Duration
	// Lookup resolves the host names of revocation and issuer addresses; nil means the system's resolver. Its errors say
	// what was looked up.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// CacheBytes bounds the verdict cache; zero means 64 MiB, enough for some 200,000 endpoints.
	CacheBytes int
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// Log receives what an operator may want to know; nil means nowhere.
	Log *slog.Logger
}

// Analyser tells what can be said of presented chains. It is safe for concurrent use.
type Analyser struct {
	trust, mozilla *TrustStore
	mode           RevocationMode
	offline        bool
	lint           *linter // nil: none
	patience       time.Duration
	now            func() time.Time
	log            *slog.Logger

	verdicts *verdictCache
	known    *knownIssuers
	proven   *provenEdges
	fetcher  *fetcher // of revocation
	chaser   *fetcher // of missing issuers, apart: any server can send us after those, and must not hold up the other
	issuers  *shelf[placeKey, issuerSet]
	crls     *shelf[crlKey, *revocationList]
	answers  *shelf[ocspKey, ocspAnswer]
	staples  *clock[stapleKey, ocspAnswer]
}

// NewAnalyser makes an analyser. Close it when it is no longer used.
func NewAnalyser(o AnalyserOptions) *Analyser {
	a := &Analyser{
		trust: o.Trust, mozilla: MozillaTrust(), mode: o.Revocation, offline: o.Offline,
		patience: o.Patience, now: o.Now, log: o.Log, known: newKnownIssuers(), proven: newProvenEdges(),
	}
	if !o.NoLint {
		a.lint = newLinter()
	}
	if a.trust == nil {
		a.trust = a.mozilla
	}
	if a.mode == "" {
		a.mode = RevocationLeaf
	}
	if a.patience <= 0 {
		a.patience = DefaultPatience
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	limit := o.CacheBytes
	if limit <= 0 {
		limit = defaultVerdictBytes
	}
	a.verdicts = newVerdictCache(a.trust.version, limit)
	a.fetcher, a.chaser = newFetcher(o.Lookup), newFetcher(o.Lookup)
	a.issuers = newShelf[placeKey, issuerSet](a.chaser, a.now, a.patience, maxIssuerPlaces, maxIssuerBytes)
	a.crls = newShelf[crlKey, *revocationList](a.fetcher, a.now, a.patience, maxLists, maxListBytes)
	a.answers = newShelf[ocspKey, ocspAnswer](a.fetcher, a.now, a.patience, maxAnswers, 0)
	a.staples = newClock[stapleKey, ocspAnswer](maxStaples)
	return a
}

// Close stops fetches that are still under way and waits for them. Analyse may still be called; what is not known by
// then stays unknown.
func (a *Analyser) Close() {
	a.chaser.close()
	a.fetcher.close()
}

// Trust is the store that paths must reach.
func (a *Analyser) Trust() *TrustStore { return a.trust }

// AnalyserStats are counters since the start and present sizes.
type AnalyserStats struct {
	VerdictHits     uint64 // chains whose facts were known
	VerdictMisses   uint64 // chains that had to be analysed
	Verdicts        int    // chains kept
	VerdictBytes    int    // memory they take, about
	Fetches         uint64 // requests made for revocation and missing intermediates
	FetchFailures   uint64 // of those, without a usable answer
	RevocationLists int    // lists kept
}

// Stats returns the counters. They are read one after another, so they may differ by what happened in between.
func (a *Analyser) Stats() AnalyserStats {
	s := AnalyserStats{RevocationLists: a.crls.len()}
	s.VerdictHits, s.VerdictMisses, s.Verdicts, s.VerdictBytes = a.verdicts.stats()
	for _, f := range []*fetcher{a.fetcher, a.chaser} {
		requests, failures := f.stats()
		s.Fetches, s.FetchFailures = s.Fetches+requests, s.FetchFailures+failures
	}
	return s
}
