package web

import (
	"context"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Reader answers what pages, the API and metrics show. Safe for concurrent use; it sees committed state only.
type Reader interface {
	Rows(ctx context.Context, q assure.RowQuery) (assure.Rows, error)
	Certificate(ctx context.Context, name string, limit, offset int) (assure.CertificateView, error)
	// History returns the runs of a certificate's serving claims, newest first.
	History(ctx context.Context, certificate string, limit, offset int) ([]assure.Run, error)
	Incidents(ctx context.Context, q assure.IncidentQuery) ([]assure.Incident, int, error)
	Incident(ctx context.Context, id assure.IncidentID, limit int) (assure.IncidentView, error)
	// Claims returns the claims that belong to no certificate: monitor and people.
	Claims(ctx context.Context) ([]assure.ClaimView, error)
	Totals(ctx context.Context) (assure.Totals, error)
	// Ping fails when the database does not answer.
	Ping(ctx context.Context) error
}

// Changer carries out what a person asks for. Each call writes an entry to the audit log in the same transaction.
type Changer interface {
	// Acknowledge takes the present stage of an incident. It is idempotent. The error is [assure.ErrNotFound] when there is no such
	// incident; acknowledging one that is resolved changes nothing.
	Acknowledge(ctx context.Context, id assure.IncidentID, who string, at time.Time) (assure.Incident, error)
}

// Accounts keeps users, sessions, tokens and the audit log. Lookups that find nothing return [assure.ErrNotFound].
type Accounts interface {
	User(ctx context.Context, name string) (assure.User, error)
	PutUser(ctx context.Context, u assure.User) error
	Users(ctx context.Context) ([]assure.User, error)
	PutSession(ctx context.Context, s assure.Session) error
	Session(ctx context.Context, tokenHash []byte) (assure.Session, error)
	DeleteSession(ctx context.Context, tokenHash []byte) error
	PutToken(ctx context.Context, t assure.Token) error
	Token(ctx context.Context, tokenHash []byte) (assure.Token, error)
	Tokens(ctx context.Context) ([]assure.Token, error)
	DeleteToken(ctx context.Context, name string) error
	Log(ctx context.Context, a assure.Audit) error
	AuditLog(ctx context.Context, limit, offset int) ([]assure.Audit, error)
}
