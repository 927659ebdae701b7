// Package patrol is the heartbeat of notafter: what is due, look, record, judge, advance, commit.
//
// # Who is authoritative
//
// The ledger is. Claims, evidence, judgements, incidents and notices are rows; the patrol holds none of them between
// two cycles, so it can be killed at any instant. Local time only decides when to look; what a look means is judged
// inside the transaction that records it.
//
// # One pass
//
//	Tick     leases the shards that are due and hands them to the executor
//	Shard    looks at each due claim of a shard, in parallel, and commits what it saw
//	commit   record -> cases -> Judge -> docket -> Advance -> apply, in one transaction
//
// Everything that is watched is a claim and goes this way: endpoints, the control, channels, the heartbeat, and the
// patrol itself. Two scans find what nobody looked at: stale evidence, and incidents about claims that are no longer
// declared.
//
// # Failure
//
// A look never fails: what could not be seen is a fact. A panic in a check is that claim's fact. A transaction that
// meets another one ([assure.ErrConflict]) is done again; any other error of the ledger ends the shard, which stays due
// and is leased again. A shard whose process died is due again when its lease ends.
package patrol
