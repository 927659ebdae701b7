// Package renew keeps certificates renewed at ACME authorities, and proves ahead of time that the next renewal will
// work.
//
//	Keeper ── what is due ──> obtain (CA: order, solvers, finalize) ──> keep ──> install ──> seen at every address
//	   │                          └── DNS writer, propagation, journal
//	   └── rungs of the ladder: static, permission, canary, authorization, full ──> facts for whoever judges
//
// The rooms that it needs are interfaces declared here (seam.go): DNS writers, whoever asks DNS and clouds, installers,
// the viewer of endpoints, the ledger and the sealer. Nothing here judges: attempts and what they met are reported, and
// whether that is in time is decided elsewhere.
//
// # Who is authoritative
//
// The ledger. One process at a time renews or rehearses a certificate, by a lease; what is remembered here is read again
// when a lease is taken. A process that loses its lease stops what it does. Local time only decides when to look.
//
// # What is promised
//
// An attempt is written down before anything is done, a DNS value before it is written (the journal), an account's key
// before the authority hears of it, and a certificate before it is installed. Whatever was presented is withdrawn when an
// attempt ends, also when it is cancelled; what a process that died left behind is withdrawn by the sweep of whoever lives.
// Each attempt takes a DNS writer that has signed in nowhere, so that no rehearsal and no renewal rests on a token from
// before. Private keys leave this package sealed, or in the hands of an installer.
//
// # Who retries
//
// The keeper, by pauses that are shares of the certificate's lifetime and never shorter than what the other side asked
// for. Below it, only what one step needs is repeated: a bad nonce, a lost answer, a conflict of concurrent writers.
package renew
