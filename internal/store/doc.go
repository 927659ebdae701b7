// Package store keeps what notafter knows in a database: SQLite for one process, PostgreSQL for several. One text of SQL
// serves both; what differs between them is in sqlite.go, postgres.go and the two directories of migrations.
//
// # What is kept
//
// Claims are declared and never derived. Evidence is a run of equal facts: an unchanged world costs an update of the
// claim's row and no growth. Judgements are kept on the claim. Incidents, what they touch, their events, notices and
// deliveries change in the same transaction as the judgements that caused them: a page is a row before it is a request.
//
// Times are integers, microseconds since 1970 in UTC, so that comparing them is the same in both databases. Zero is
// "not known". What is finer than a microsecond is cut off on writing.
//
// # Runs of evidence
//
// A look whose fact has the key of the claim's newest run extends that run. Any other begins a new run, but for one case:
// when its key is that of the run before, seen within 24 hours, the endpoint goes back and forth. The two rows then take
// turns: the older one becomes the newest again, and the history shows two runs that overlap in time. The evidence
// carries the other fact as its alternate until the endpoint has stood still for 24 hours or six times the claim's pace,
// whichever is less, and at least ten minutes. [assure.Blind] is never an alternate, because it is about us.
//
// The order in which looks are recorded is their order in time. A look that is older than the newest evidence goes into
// the history only, unless the newest evidence lies in the future, which means that the clock was set back.
//
// # Transactions
//
// On SQLite there is one connection that writes and a pool of others that only read. An open [Tx] holds the writing
// one: while it is open, its goroutine must call no method of [DB] that writes, because it would wait for itself. On
// PostgreSQL transactions run at read committed and lock the rows of the claims and incidents they read, in a fixed
// order. Whatever two processes can still do to each other ends in [assure.ErrConflict], with nothing written.
//
// # Executing
//
// The outbox (table delivery) is the truth about what has been sent. Jobs of the queue only say that somebody should look at
// a delivery or a shard now; losing every one of them loses nothing, because [DB.Sweep] makes them again. A delivery is
// made at least once: a process killed between the channel's answer and [DB.Record] sends again, with the same key.
//
// # Renewing
//
// A renewal is leased like a shard, by certificate, so that one process at a time renews it. Whoever wants a renewal now
// leaves a wish, which needs no lease and is kept until who holds the lease has seen it. A TXT value is a row before it
// is a request to anybody's zone; a row whose time has come is withdrawn by whoever takes it first.
//
// # What is trusted to whom
//
// The database holds no private key in clear and no secrets of channels. The keys of accounts and of issued certificates
// come in sealed and go out sealed; what opens them is not in here. It holds password hashes and hashes of tokens. Who
// can write to it can silence notafter; protect the state directory accordingly (it is made with mode 0700).
package store
