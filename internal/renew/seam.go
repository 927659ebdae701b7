package renew

import (
	"context"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// DNS writes and withdraws TXT values at one provider, as one identity. Errors are [*assure.Trouble] with the reason
// [assure.DNSWriteDenied], [assure.DNSWriteFailed] or [assure.CredentialExpiring]. Implementations are safe for
// concurrent use, retry nothing but conflicts of concurrent writers, and return soon after ctx ends.
type DNS interface {
	// Present makes value one of the TXT values at name and leaves every other value as it is. Presenting a value that is
	// there already is no error. name is the record's full name after aliases, without a trailing dot.
	Present(ctx context.Context, name, value string) error
	// Withdraw takes value, and nothing else, away from name. A value, record or zone that is not there is no error.
	Withdraw(ctx context.Context, name, value string) error
	// Who names the identity as the provider does, as far as it is known without asking: a client id, a key name.
	Who() string
}

// Zones asks public DNS. Errors are [*assure.Trouble] with the reason [assure.DelegationBroken], [assure.CAAForbids],
// [assure.DNSFailed] or, where a value is not shown, [assure.DNSWriteFailed] of the class lagging. Each names the server
// that disagrees. Safe for concurrent use.
type Zones interface {
	// Find follows aliases from a record's name to the record set that is to be written, and finds its zone and every
	// address of the zone's authoritative servers.
	Find(ctx context.Context, name string) (assure.RecordPlace, error)
	// Shown asks every authoritative address, then the configured public resolvers, once, and returns nil when all of
	// them show the value.
	Shown(ctx context.Context, at assure.RecordPlace, value string) error
	// Gone asks every authoritative address once and returns nil when none shows the value any more.
	Gone(ctx context.Context, at assure.RecordPlace, value string) error
	// CAA returns nil when CAA lets the CA issue.
	CAA(ctx context.Context, q assure.CAAQuestion) error
	// Delegation returns nil when the parent and the child of the zone that holds name agree on its name servers, and
	// each of them answers for it.
	Delegation(ctx context.Context, name string) error
}

// Asker asks a cloud whether the identity that renews may write and withdraw the TXT record at name (after aliases). It
// never fails: what could not be asked is an answer too. Safe for concurrent use. It changes nothing.
type Asker interface {
	Ask(ctx context.Context, name string) []assure.Access
}

// Installer puts a new pair where a server reads it and makes the server read it. chain and key are PEM. The steps that
// were made are returned whatever happens; err is an [*assure.Trouble] with the reason [assure.InstallFailed] when it
// did not work, and then what was there before is there again, unless a step [assure.StepRollback] says that this failed
// too. Safe for concurrent use.
type Installer interface {
	Install(ctx context.Context, certificate string, chain, key []byte) (steps []assure.Step, err error)
	// String says where to, for people.
	String() string
}

// Readier is an [Installer] that can tell, touching nothing, whether it could install now. where is where to, for people;
// err is an [*assure.Trouble]. Safe for concurrent use.
type Readier interface {
	Ready(certificate string) (where string, err error)
}

// Viewer looks at what the endpoints of a certificate serve.
type Viewer interface {
	// Serving looks once at every address of every endpoint of the certificate and returns those, as "endpoint at ip:port",
	// that do not serve the leaf with the given SHA-256 fingerprint. total is how many were looked at.
	Serving(ctx context.Context, certificate, fingerprint string) (lagging []string, total int)
}

// Ledger keeps what renewal must not forget. Every call is one transaction. Errors are [assure.ErrNotFound] where it
// says so, [assure.ErrConflict] when somebody else changed the same thing (nothing was written; start again), or of the
// database.
type Ledger interface {
	// Account returns the account, or ErrNotFound.
	Account(ctx context.Context, id string) (assure.ACMEAccount, error)
	// PutAccount inserts or replaces an account. Inserting one that exists with another key is ErrConflict unless its key
	// is the stored NextKey; so is beginning a rollover to another NextKey while one is stored, because the CA may have
	// taken that one already. Keys are compared as they are sealed.
	PutAccount(ctx context.Context, a assure.ACMEAccount) error

	// Renewals returns the states of the given certificates that are known, in no order.
	Renewals(ctx context.Context, certificates []string) ([]assure.RenewalState, error)
	// LeaseRenewal gives the certificate's renewal to owner until now+ttl when nobody else holds it, and returns its
	// state; one that was never seen is made. ok is false when another owner holds it. Leasing what owner holds already
	// extends it.
	LeaseRenewal(ctx context.Context, certificate, owner string, now time.Time, ttl time.Duration) (s assure.RenewalState, ok bool, err error)
	// PutRenewal stores the state while owner holds the lease, else ErrConflict. A wish ([Ledger.Force]) made since the
	// lease was taken and newer than s.ForcedAt is kept.
	PutRenewal(ctx context.Context, s assure.RenewalState, owner string, now time.Time) error
	// ReleaseRenewal ends the lease. Releasing what somebody else holds changes nothing.
	ReleaseRenewal(ctx context.Context, certificate, owner string) error
	// Force notes that somebody wants the certificate renewed now, whoever does it. It needs no lease.
	Force(ctx context.Context, certificate, who string, at time.Time) error

	// PutIssued keeps a certificate that was issued and returns its id. One with the same fingerprint is kept once.
	PutIssued(ctx context.Context, c assure.IssuedCert) (int64, error)
	// Installed notes that an issued certificate is in service.
	Installed(ctx context.Context, id int64, at time.Time) error
	// NewestIssued returns the issued certificate of the declared one that begins latest, or ErrNotFound.
	NewestIssued(ctx context.Context, certificate string) (assure.IssuedCert, error)

	// PutAttempt inserts an attempt (ID 0) or replaces it, and returns its id. The store keeps the newest of each
	// certificate and kind.
	PutAttempt(ctx context.Context, a assure.Attempt) (int64, error)
	// Attempts returns the newest attempts of a certificate, of all kinds, newest first.
	Attempts(ctx context.Context, certificate string, limit int) ([]assure.Attempt, error)

	// PutPending writes down, before it is written anywhere else, a TXT value that must be withdrawn; again extends Until.
	PutPending(ctx context.Context, p assure.Pending) error
	// DropPending forgets one that was withdrawn. One that is not there is no error.
	DropPending(ctx context.Context, id string) error
	// Abandoned returns those whose Until is before now, oldest first, and takes each for owner until the given time, so
	// that two processes do not sweep the same one.
	Abandoned(ctx context.Context, now, until time.Time, limit int) ([]assure.Pending, error)
}

// Sealer encrypts private keys at rest. Safe for concurrent use.
type Sealer interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}
