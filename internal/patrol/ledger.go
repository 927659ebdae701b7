package patrol

import (
	"context"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Ledger keeps claims, evidence, judgements and incidents. Everything it returns is a copy. Safe for concurrent use.
type Ledger interface {
	// Declare makes the given claims the ones that are watched. A claim that is new gets its Declared from the argument;
	// one that was declared before keeps its own, its evidence and its findings, and takes everything else from the
	// argument. Claims not among them are forgotten, but for their history and what incidents say of them: see Orphans.
	// All or nothing. Looks, notices and leases that a clock which ran ahead has planned are planned anew.
	Declare(ctx context.Context, claims []assure.Claim) error

	// Orphans returns at most limit claims that an open incident touches and that are no longer declared.
	Orphans(ctx context.Context, limit int) ([]assure.ClaimID, error)

	// Lease gives at most limit shards that are due at now, the most overdue first, to owner until now+ttl. No other
	// owner gets them before that, unless they are released by Release.
	Lease(ctx context.Context, owner string, now time.Time, ttl time.Duration, limit int) ([]int, error)

	// Extend makes every lease that owner still holds at now last until now+ttl.
	Extend(ctx context.Context, owner string, now time.Time, ttl time.Duration) error

	// Due returns the shard's claims whose next look is not after now.
	Due(ctx context.Context, shard int, now time.Time) ([]assure.Claim, error)

	// Release ends the lease of a shard. The shard is due again when the first of its claims is.
	Release(ctx context.Context, shard int, owner string) error

	// Stale returns at most limit claims whose evidence became too old by now, or that were never seen for too long, and
	// whose last judgement does not say so. A claim that stays stale comes again each time its maximal age has passed,
	// because not knowing becomes more urgent. It is an indexed scan, never a walk over all claims; judging a claim takes
	// it off the list.
	Stale(ctx context.Context, now time.Time, limit int) ([]assure.ClaimID, error)

	// Coverage counts, at now: serving claims, those with evidence young enough, the observation time of the oldest such
	// evidence, notices due before now-slack that are still pending, and how far the most overdue shard is behind.
	Coverage(ctx context.Context, now time.Time, slack time.Duration) (assure.Sight, error)

	// Begin opens a transaction. Its methods and Commit may return [assure.ErrConflict].
	Begin(ctx context.Context) (Tx, error)
}

// Tx is one transaction of the ledger. It is used by one goroutine. Exactly one of Commit and Rollback ends it;
// Rollback after Commit does nothing.
type Tx interface {
	// Record adds looks to the evidence: a look whose fact has the key of the claim's newest run extends that run and
	// replaces its fact, any other begins a new run. Looks of claims that are not declared are dropped.
	Record(ctx context.Context, looks []assure.Look) error
	// Cases returns what judging the claims needs, in the order of ids; claims that are not declared are left out.
	Cases(ctx context.Context, ids []assure.ClaimID) ([]assure.Case, error)
	// Docket returns the open incidents that the judgements may change.
	Docket(ctx context.Context, causes []string, ids []assure.ClaimID) (assure.Docket, error)
	// Apply writes judgements, with the time of each claim's next look, and changes of incidents. A notice becomes one
	// pending delivery for each of its channels, and a job for each.
	Apply(ctx context.Context, judged []assure.Judged, changes assure.Changes) error
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}
