// Package renew keeps certificates renewed and proves ahead of time that the next renewal will work.
//
// # Who does what
//
//	CA      one account at one ACME directory: orders, challenges, renewal windows
//	Solver  makes a challenge to be seen and takes it away again: DNS by a [DNS] writer, HTTP-01 and TLS-ALPN-01 by a
//	        [Responder]
//	Keeper  decides when a certificate is renewed, does it, installs it, and has it seen on every address; in between
//	        it climbs the rungs of the rehearsal, with the same identity and along the same path
//
// What they need from elsewhere they name as interfaces: [DNS], [Zones], [Asker], [Installer], [Viewer], [Ledger].
//
// # Who is authoritative
//
// The ledger. A certificate is renewed or rehearsed by whoever holds its lease, and by nobody else; local time only
// decides when to try. A TXT value is a row before it is a request: when the process that wrote it dies, another one, or
// the next life of the same one, withdraws it ([Sweep]).
//
// # Failure
//
// Whatever does not work is an [assure.Trouble] in the step at which it happened; steps before it stay as they were. A
// renewal that failed is made again after pauses that are shares of the lifetime, never sooner than the other side
// asked. A certificate that was issued is kept before it is installed, so that what failed after that costs no second
// order. Attempts that were cut off, by the end of the process or the loss of the lease, say nothing about the renewal.
package renew
