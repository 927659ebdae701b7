package store

import (
	"context"
	"fmt"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Acknowledge takes the present stage of an incident, writes the event and an entry to the audit log, and returns the
// incident as it stands then. Acknowledging again, or what is resolved, changes nothing but the audit log. The error is
// [assure.ErrNotFound] when there is no such incident.
func (db *DB) Acknowledge(ctx context.Context, id assure.IncidentID, who string, at time.Time) (assure.Incident, error) {
	var out assure.Incident
	err := db.transact(ctx, fmt.Sprintf("acknowledge incident %.40q", id), func(q querier) error {
		i, err := scanIncident(q.row(ctx, `SELECT body FROM incident WHERE id = $1`+db.d.forUpdate, clean(string(id))))
		if err != nil {
			return err
		}
		next, event, changed := assure.Acknowledge(i, who, at)
		detail := "stage " + next.Stage.String()
		if changed {
			if err := putIncident(ctx, q, next); err != nil {
				return err
			}
			if err := putEvent(ctx, q, event); err != nil {
				return err
			}
		} else {
			detail += ", nothing to take"
		}
		out = next
		return putAudit(ctx, q, assure.Audit{At: at, Who: who, Action: "acknowledge", Object: string(id), Detail: detail})
	})
	if err != nil {
		return assure.Incident{}, err
	}
	return out, nil
}

// User returns the user of that name.
func (db *DB) User(ctx context.Context, name string) (assure.User, error) {
	u, err := scanUser(db.reader().row(ctx, `SELECT name, password_hash, created FROM account WHERE name = $1`, clean(name)))
	return u, db.wrap(err, "find a user")
}

func scanUser(s scanner) (assure.User, error) {
	var u assure.User
	var created int64
	err := s.Scan(&u.Name, &u.PasswordHash, &created)
	u.Created = moment(created)
	return u, err
}

// PutUser inserts or replaces a user.
func (db *DB) PutUser(ctx context.Context, u assure.User) error {
	_, err := db.writer(nil).exec(ctx, `INSERT INTO account (name, password_hash, created) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash, created = excluded.created`, clean(u.Name), u.PasswordHash, micro(u.Created))
	return db.wrap(err, "write a user")
}

// Users returns all users by name.
func (db *DB) Users(ctx context.Context) ([]assure.User, error) {
	us, err := all(ctx, db.reader(), scanUser, `SELECT name, password_hash, created FROM account ORDER BY name`)
	return us, db.wrap(err, "list users")
}

// PutSession inserts or replaces a session.
func (db *DB) PutSession(ctx context.Context, s assure.Session) error {
	_, err := db.writer(nil).exec(ctx, `INSERT INTO session (token_hash, account, csrf, created, expires) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (token_hash) DO UPDATE SET account = excluded.account, csrf = excluded.csrf, created = excluded.created, expires = excluded.expires`,
		s.TokenHash, clean(s.User), clean(s.CSRF), micro(s.Created), micro(s.Expires))
	return db.wrap(err, "write a session")
}

// Session returns the session of that hash, whether or not it has expired: the caller knows what time it is.
func (db *DB) Session(ctx context.Context, tokenHash []byte) (assure.Session, error) {
	var s assure.Session
	var created, expires int64
	err := db.reader().row(ctx, `SELECT token_hash, account, csrf, created, expires FROM session WHERE token_hash = $1`, tokenHash).
		Scan(&s.TokenHash, &s.User, &s.CSRF, &created, &expires)
	if err != nil {
		return assure.Session{}, db.wrap(err, "find a session")
	}
	s.Created, s.Expires = moment(created), moment(expires)
	return s, nil
}

// DeleteSession ends a session. One that does not exist has ended.
func (db *DB) DeleteSession(ctx context.Context, tokenHash []byte) error {
	_, err := db.writer(nil).exec(ctx, `DELETE FROM session WHERE token_hash = $1`, tokenHash)
	return db.wrap(err, "end a session")
}

// PutToken inserts or replaces the token of that name.
func (db *DB) PutToken(ctx context.Context, t assure.Token) error {
	_, err := db.writer(nil).exec(ctx, `INSERT INTO token (name, token_hash, scope, created, expires) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash, scope = excluded.scope, created = excluded.created, expires = excluded.expires`,
		clean(t.Name), t.TokenHash, clean(t.Scope), micro(t.Created), micro(t.Expires))
	return db.wrap(err, "write a token")
}

const tokenColumns = `name, token_hash, scope, created, expires`

func scanToken(s scanner) (assure.Token, error) {
	var t assure.Token
	var created, expires int64
	err := s.Scan(&t.Name, &t.TokenHash, &t.Scope, &created, &expires)
	t.Created, t.Expires = moment(created), moment(expires)
	return t, err
}

// Token returns the token of that hash, whether or not it has expired.
func (db *DB) Token(ctx context.Context, tokenHash []byte) (assure.Token, error) {
	t, err := scanToken(db.reader().row(ctx, `SELECT `+tokenColumns+` FROM token WHERE token_hash = $1`, tokenHash))
	return t, db.wrap(err, "find a token")
}

// Tokens returns all tokens by name.
func (db *DB) Tokens(ctx context.Context) ([]assure.Token, error) {
	ts, err := all(ctx, db.reader(), scanToken, `SELECT `+tokenColumns+` FROM token ORDER BY name`)
	return ts, db.wrap(err, "list tokens")
}

// DeleteToken takes a token away; [assure.ErrNotFound] when there is none of that name.
func (db *DB) DeleteToken(ctx context.Context, name string) error {
	res, err := db.writer(nil).exec(ctx, `DELETE FROM token WHERE name = $1`, clean(name))
	if err != nil {
		return db.wrap(err, "delete a token")
	}
	if n, err := res.RowsAffected(); err != nil {
		return db.wrap(err, "delete a token")
	} else if n == 0 {
		return fmt.Errorf("delete token %.100q: %w", name, assure.ErrNotFound)
	}
	return nil
}

// Log writes an entry to the audit log. Entries are never changed and never deleted.
func (db *DB) Log(ctx context.Context, a assure.Audit) error {
	return db.wrap(putAudit(ctx, db.writer(nil), a), "write to the audit log")
}

func putAudit(ctx context.Context, q querier, a assure.Audit) error {
	_, err := q.exec(ctx, `INSERT INTO audit (at, who, remote, action, object, detail) VALUES ($1, $2, $3, $4, $5, $6)`,
		micro(a.At), clean(a.Who), clean(a.Remote), clean(a.Action), clean(a.Object), clean(a.Detail))
	return err
}

// AuditLog returns entries of the audit log, newest first.
func (db *DB) AuditLog(ctx context.Context, limit, offset int) ([]assure.Audit, error) {
	limit, offset = bounds(limit, offset, 50, 500)
	as, err := all(ctx, db.reader(), func(s scanner) (assure.Audit, error) {
		var a assure.Audit
		var at int64
		err := s.Scan(&at, &a.Who, &a.Remote, &a.Action, &a.Object, &a.Detail)
		a.At = moment(at)
		return a, err
	}, `SELECT at, who, remote, action, object, detail FROM audit ORDER BY id DESC LIMIT $1 OFFSET $2`, limit, offset)
	return as, db.wrap(err, "read the audit log")
}
