package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Account returns the account at a certificate authority, or [assure.ErrNotFound].
func (db *DB) Account(ctx context.Context, id string) (assure.ACMEAccount, error) {
	var a assure.ACMEAccount
	var created int64
	err := db.reader().row(ctx, `SELECT id, directory, location, contact, sealed_key, next_key, created FROM acme_account WHERE id = $1`, clean(id)).
		Scan(&a.ID, &a.Directory, &a.Location, &a.Contact, &a.Key, &a.NextKey, &created)
	if err != nil {
		return assure.ACMEAccount{}, db.wrap(err, fmt.Sprintf("find account %.100q", id))
	}
	a.Created = moment(created)
	if len(a.NextKey) == 0 {
		a.NextKey = nil
	}
	return a, nil
}

// PutAccount inserts or replaces an account. It is [assure.ErrConflict] when one exists whose key is another, unless a.Key
// is its NextKey; and when another rollover than a's is under way, because the CA may have taken that key already and
// whoever forgets it has lost the account. Keys are compared as they are sealed.
func (db *DB) PutAccount(ctx context.Context, a assure.ACMEAccount) error {
	what := fmt.Sprintf("write account %.100q", a.ID)
	if len(a.Key) == 0 {
		return fmt.Errorf("%s: it has no key", what)
	}
	next := append([]byte{}, a.NextKey...) // empty, not NULL
	return db.transact(ctx, what, func(q querier) error {
		n, err := count(q.exec(ctx, `INSERT INTO acme_account (id, directory, location, contact, sealed_key, next_key, created) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (id) DO NOTHING`, clean(a.ID), clean(a.Directory), clean(a.Location), clean(a.Contact), a.Key, next, micro(a.Created)))
		if err != nil || n > 0 {
			return err
		}
		var key, rolling []byte
		if err := q.row(ctx, `SELECT sealed_key, next_key FROM acme_account WHERE id = $1`+db.d.forUpdate, clean(a.ID)).Scan(&key, &rolling); err != nil {
			return err
		}
		switch {
		case len(rolling) > 0 && bytes.Equal(rolling, a.Key): // the rollover is over
		case !bytes.Equal(key, a.Key):
			return fmt.Errorf("it has another key by now: %w", assure.ErrConflict)
		case len(rolling) > 0 && len(next) > 0 && !bytes.Equal(rolling, next):
			return fmt.Errorf("another rollover of its key is under way: %w", assure.ErrConflict)
		}
		_, err = q.exec(ctx, `UPDATE acme_account SET directory = $2, location = $3, contact = $4, sealed_key = $5, next_key = $6, created = $7 WHERE id = $1`,
			clean(a.ID), clean(a.Directory), clean(a.Location), clean(a.Contact), a.Key, next, micro(a.Created))
		return err
	})
}

// PutIssued keeps a certificate that was issued and returns its id. One that is kept already stays as it is. The same
// certificate for another declared one is [assure.ErrConflict].
func (db *DB) PutIssued(ctx context.Context, c assure.IssuedCert) (int64, error) {
	what := fmt.Sprintf("keep the certificate issued for %.100q", c.Certificate)
	key, _ := printKey(c.Cert.Fingerprint)
	if len(key) == 0 || len(c.Chain) == 0 || len(c.Key) == 0 {
		return 0, errors.New(what + ": its fingerprint, chain or key is missing")
	}
	body, err := json.Marshal(c.Cert)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	var id int64
	err = db.transact(ctx, what, func(q querier) error {
		if _, err := q.exec(ctx, `INSERT INTO issued (certificate, fingerprint, not_before, not_after, issued_at, installed_at, body, chain, sealed_key)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (fingerprint) DO NOTHING`,
			clean(c.Certificate), key, micro(c.Cert.NotBefore), micro(c.Cert.NotAfter), micro(c.IssuedAt), micro(c.InstalledAt), string(body), c.Chain, c.Key); err != nil {
			return err
		}
		var certificate string
		if err := q.row(ctx, `SELECT id, certificate FROM issued WHERE fingerprint = $1`, key).Scan(&id, &certificate); err != nil {
			return err
		}
		if certificate != clean(c.Certificate) {
			return fmt.Errorf("it is kept for %.100q: %w", certificate, assure.ErrConflict)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

// Installed notes when an issued certificate was installed everywhere it belongs and seen there; [assure.ErrNotFound] when
// there is none of that id.
func (db *DB) Installed(ctx context.Context, id int64, at time.Time) error {
	return db.transact(ctx, fmt.Sprintf("note that issued certificate %d is in service", id), func(q querier) error {
		n, err := count(q.exec(ctx, `UPDATE issued SET installed_at = $2 WHERE id = $1`, id, micro(at)))
		if err == nil && n == 0 {
			return assure.ErrNotFound
		}
		return err
	})
}

// NewestIssued returns the issued certificate of the declared one that begins latest, of equals the one that was kept
// last, or [assure.ErrNotFound].
func (db *DB) NewestIssued(ctx context.Context, certificate string) (assure.IssuedCert, error) {
	what := fmt.Sprintf("find the newest certificate issued for %.100q", certificate)
	var c assure.IssuedCert
	var issued, installed int64
	var body string
	err := db.reader().row(ctx, `SELECT id, certificate, issued_at, installed_at, body, chain, sealed_key FROM issued
		WHERE certificate = $1 ORDER BY not_before DESC, id DESC LIMIT 1`, clean(certificate)).
		Scan(&c.ID, &c.Certificate, &issued, &installed, &body, &c.Chain, &c.Key)
	if err != nil {
		return assure.IssuedCert{}, db.wrap(err, what)
	}
	c.IssuedAt, c.InstalledAt = moment(issued), moment(installed)
	if err := json.Unmarshal([]byte(body), &c.Cert); err != nil {
		return assure.IssuedCert{}, fmt.Errorf("%s: decode it: %w", what, err)
	}
	return c, nil
}
