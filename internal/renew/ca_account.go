package renew

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"

	"github.com/mholt/acmez/v3/acme"

	"github.com/notafter/notafter/internal/assure"
)

// account finds the account, registers it when it never was, and remembers it.
func (c *CA) account(ctx context.Context) (acme.Account, error) {
	if err := c.enter(ctx); err != nil {
		return acme.Account{}, err
	}
	defer c.leave()
	return c.accountLocked(ctx)
}

func (c *CA) accountLocked(ctx context.Context) (acme.Account, error) {
	if c.acct != nil {
		return *c.acct, nil
	}
	dir, err := c.directoryLocked(ctx, directoryAge)
	if err != nil {
		return acme.Account{}, err
	}
	row, made, err := c.loadAccount(ctx)
	if err != nil {
		return acme.Account{}, err
	}
	if row.NextKey != nil {
		if row, err = c.resolveRollover(ctx, dir, row); err != nil {
			return acme.Account{}, err
		}
	}
	key, err := openKey(c.o.Sealer, row.Key)
	if err != nil {
		return acme.Account{}, c.keyTrouble(err)
	}
	a := acme.Account{Location: row.Location, PrivateKey: key, Status: acme.StatusValid}
	if a.Location == "" {
		if a, err = c.register(ctx, dir, key, made); err != nil {
			return acme.Account{}, err
		}
		row.Location = a.Location
		if err := c.o.Accounts.PutAccount(ctx, row); err != nil {
			// The key is on record, and finds the account again.
			c.o.Logger.Warn("the address of the new ACME account could not be stored", "account", a.Location, "error", clip(err.Error()))
		}
		c.o.Logger.Info("the ACME account was registered", "account", a.Location)
	}
	c.acct = &a
	return a, nil
}

// loadAccount reads the account's row, or makes one with a new key: the key is on record before anybody hears of it.
func (c *CA) loadAccount(ctx context.Context) (row assure.ACMEAccount, made bool, err error) {
	row, err = c.o.Accounts.Account(ctx, c.id)
	if err == nil || !errors.Is(err, assure.ErrNotFound) {
		return row, false, c.ledgerTrouble(err, "read the ACME account")
	}
	sealed, err := c.newAccountKey()
	if err != nil {
		return row, false, err
	}
	row = assure.ACMEAccount{ID: c.id, Directory: c.o.Directory, Contact: c.o.Contact, Key: sealed, Created: c.o.Now().UTC()}
	if err = c.o.Accounts.PutAccount(ctx, row); err == nil {
		return row, true, nil
	}
	// Somebody else was first, or it was written although the answer says otherwise: what is on record counts.
	stored, again := c.o.Accounts.Account(ctx, c.id)
	if again != nil {
		return row, false, c.ledgerTrouble(err, "store the key of the ACME account")
	}
	return stored, false, nil
}

func (c *CA) newAccountKey() ([]byte, error) {
	_, pem, err := newKey(KeyECDSAP256)
	if err != nil {
		return nil, c.keyTrouble(err)
	}
	sealed, err := c.o.Sealer.Seal(pem)
	if err != nil {
		return nil, c.keyTrouble(fmt.Errorf("seal it: %w", err))
	}
	return sealed, nil
}

func (c *CA) ledgerTrouble(err error, doing string) error {
	if err == nil {
		return nil
	}
	return &failure{&assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleTransient, Detail: clip(doing + ": " + err.Error())}, err}
}

func (c *CA) keyTrouble(err error) error {
	return &failure{&assure.Trouble{
		Reason: assure.AccountInvalid, Class: assure.TroubleInvalid, Scope: c.o.Directory,
		Detail: clip("the key of the ACME account cannot be used: " + err.Error()),
		Remedy: "Give notafter the age identity that the key was sealed with; where it is lost for good, another acme.email makes another account.",
	}, err}
}

// register finds the account by its key or makes it. made says that the key is so new that nobody can know it.
func (c *CA) register(ctx context.Context, dir *catalogue, key crypto.Signer, made bool) (acme.Account, error) {
	if !made {
		a, err := c.findByKey(ctx, dir, key)
		if err == nil || !isUnknownAccount(err) {
			return a, c.accountTrouble(err, "")
		}
	}
	if dir.Meta != nil && dir.Meta.ExternalAccountRequired && c.o.EABKey == "" {
		return acme.Account{}, &assure.Trouble{
			Reason: assure.AccountInvalid, Class: assure.TroubleMissing, Scope: c.o.Directory,
			Detail: c.String() + " registers only accounts that are bound to an external one",
			Remedy: remedyEAB,
		}
	}
	a := acme.Account{PrivateKey: key, Contact: c.contacts(), TermsOfServiceAgreed: true}
	hctx, h := hear(ctx)
	if c.o.EABKey != "" {
		if err := a.SetExternalAccountBinding(hctx, dir.client, acme.EAB{KeyID: c.o.EABKeyID, MACKey: c.o.EABKey}); err != nil {
			return acme.Account{}, c.trouble(err, h, "bind the external account")
		}
	}
	got, err := dir.client.NewAccount(hctx, a)
	if err != nil {
		err = c.accountTrouble(c.trouble(err, h, "register the account at "+c.String()), "")
		if ctx.Err() == nil && passing(err) {
			if found, ferr := c.findByKey(ctx, dir, key); ferr == nil { // the answer was lost, the account was made
				return found, nil
			}
		}
		return acme.Account{}, c.notBound(err)
	}
	return got, c.isValid(got)
}

// remedyEAB is what to do about an external account. Which of the two directories it is about, the CA does not know.
const remedyEAB = "Set acme.eab.key_id and acme.eab.hmac of the renewer (acme.staging_eab for the staging directory) to the external account that the CA issued to you."

// notBound says that a registration with an external account was refused because of that, where it may be: CAs differ in
// what they call a key id or a key that is wrong, and the new account itself cannot be deactivated yet.
func (c *CA) notBound(err error) error {
	var p acme.Problem
	if c.o.EABKey == "" || !errors.As(err, &p) {
		return err
	}
	switch p.Type {
	case acme.ProblemTypeUnauthorized, acme.ProblemTypeMalformed, acme.ProblemTypeExternalAccountRequired:
	default:
		return err
	}
	t := *assure.TroubleOf(err, assure.AccountInvalid)
	t.Reason, t.Class, t.Remedy = assure.AccountInvalid, assure.TroubleDenied, remedyEAB
	t.Detail = clip(fmt.Sprintf("the external account %s was not taken: %s", c.o.EABKeyID, t.Detail))
	return &failure{&t, err}
}

func (c *CA) contacts() []string {
	if c.o.Contact == "" {
		return nil
	}
	return []string{"mailto:" + c.o.Contact}
}

// findByKey asks the CA which account a key belongs to (RFC 8555 section 7.3.1).
func (c *CA) findByKey(ctx context.Context, dir *catalogue, key crypto.Signer) (acme.Account, error) {
	hctx, h := hear(ctx)
	got, err := dir.client.GetAccount(hctx, acme.Account{PrivateKey: key})
	if err != nil {
		return acme.Account{}, c.trouble(err, h, "look up the account at "+c.String())
	}
	return got, c.isValid(got)
}

func isUnknownAccount(err error) bool {
	var p acme.Problem
	return errors.As(err, &p) && p.Type == acme.ProblemTypeAccountDoesNotExist
}

func (c *CA) isValid(a acme.Account) error {
	if a.Location == "" {
		return &assure.Trouble{
			Reason: assure.AccountInvalid, Class: assure.TroubleBroken, Scope: c.o.Directory,
			Detail: c.String() + " gave no address for the account",
		}
	}
	if a.Status == acme.StatusValid || a.Status == "" {
		return nil
	}
	return &assure.Trouble{
		Reason: assure.AccountInvalid, Class: assure.TroubleDenied, Scope: c.o.Directory, Identity: a.Location,
		Detail: "the account is " + clip(a.Status),
		Remedy: "Register another account: a deactivated or revoked one does not come back.",
	}
}

// accountTrouble names the account that was refused.
func (c *CA) accountTrouble(err error, location string) error {
	var t *assure.Trouble
	if errors.As(err, &t) && t.Reason == assure.AccountInvalid && t.Identity == "" {
		t.Identity = location
		if location == "" {
			t.Identity = c.o.Contact
		}
	}
	return err
}

// lookAtAccount asks the CA about the account as it is now, and brings the contact up to date.
func (c *CA) lookAtAccount(ctx context.Context) (acme.Account, error) {
	if err := c.enter(ctx); err != nil {
		return acme.Account{}, err
	}
	defer c.leave()
	a, err := c.accountLocked(ctx)
	if err != nil {
		return a, err
	}
	dir, err := c.directoryLocked(ctx, directoryAge)
	if err != nil {
		return a, err
	}
	got, err := c.findByKey(ctx, dir, a.PrivateKey)
	if err != nil && assure.TroubleOf(err, assure.RenewalFailing).Reason == assure.AccountInvalid {
		// Another process may have changed the key.
		if now, changed := c.relook(ctx, a); changed {
			a = now
			got, err = c.findByKey(ctx, dir, a.PrivateKey)
		}
	}
	if err != nil {
		return a, c.accountTrouble(err, a.Location)
	}
	if got.Location != a.Location {
		return a, &assure.Trouble{
			Reason: assure.AccountInvalid, Class: assure.TroubleConflict, Scope: c.o.Directory, Identity: a.Location,
			Detail: "the CA knows the key as another account, " + clip(got.Location),
			Remedy: "Register the account again.",
		}
	}
	// A CA that keeps no addresses gives none back; it is not asked to take one again and again.
	if want := c.contacts(); len(got.Contact) > 0 && !slices.Equal(got.Contact, want) {
		hctx, h := hear(ctx)
		if _, err := dir.client.UpdateAccount(hctx, acme.Account{Location: a.Location, PrivateKey: a.PrivateKey, Contact: want}); err != nil {
			return a, c.accountTrouble(c.trouble(err, h, "change the contact of the account"), a.Location)
		}
	}
	return a, nil
}

// relook reads the account from the ledger again, and reports whether it is another than the one that was used: another
// process may have changed the key.
func (c *CA) relook(ctx context.Context, used acme.Account) (acme.Account, bool) {
	if c.acct != nil && c.acct.PrivateKey == used.PrivateKey {
		c.acct = nil
	}
	a, err := c.accountLocked(ctx)
	if err != nil {
		return used, false
	}
	return a, !samePublic(a.PrivateKey, used.PrivateKey) || a.Location != used.Location
}

// Register registers the account again with the key that it has, or finds it again: for a CA that has forgotten it.
func (c *CA) Register(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	row, _, err := c.loadAccount(ctx)
	if err != nil {
		return err
	}
	row.Location = ""
	if err := c.o.Accounts.PutAccount(ctx, row); err != nil {
		return c.ledgerTrouble(err, "store the ACME account")
	}
	c.acct = nil
	_, err = c.accountLocked(ctx)
	return err
}

// Rollover changes the account's key (RFC 8555 section 7.3.5). The next key is on record before the CA is asked; when
// the answer is lost, the CA is asked which of the two it knows, now or at the next start. Nothing is lost by calling it
// again after an error.
func (c *CA) Rollover(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	c.acct = nil // what is on record counts, not what we remember
	a, err := c.accountLocked(ctx)
	if err != nil {
		return err
	}
	dir, err := c.directoryLocked(ctx, directoryAge)
	if err != nil {
		return err
	}
	row, _, err := c.loadAccount(ctx)
	if err != nil {
		return err
	}
	if row.NextKey == nil {
		if row.NextKey, err = c.newAccountKey(); err != nil {
			return err
		}
		if err := c.o.Accounts.PutAccount(ctx, row); err != nil {
			stored, again := c.o.Accounts.Account(ctx, c.id)
			if again != nil || !bytes.Equal(stored.NextKey, row.NextKey) {
				return c.ledgerTrouble(err, "store the next key of the ACME account")
			}
		}
	}
	next, err := openKey(c.o.Sealer, row.NextKey)
	if err != nil {
		return c.keyTrouble(err)
	}
	hctx, h := hear(ctx)
	if _, err := dir.client.AccountKeyRollover(hctx, a, next); err != nil {
		err = c.accountTrouble(c.trouble(err, h, "change the key of the account"), a.Location)
		found, ferr := c.findByKey(ctx, dir, next)
		if ferr != nil || found.Location != a.Location {
			return err
		}
	}
	c.acct = &acme.Account{Location: a.Location, PrivateKey: next, Status: acme.StatusValid}
	_, err = c.promote(ctx, row)
	return err
}

// promote makes the next key the key.
func (c *CA) promote(ctx context.Context, row assure.ACMEAccount) (assure.ACMEAccount, error) {
	row.Key, row.NextKey = row.NextKey, nil
	if err := c.o.Accounts.PutAccount(ctx, row); err != nil {
		stored, again := c.o.Accounts.Account(ctx, c.id)
		if again != nil || !bytes.Equal(stored.Key, row.Key) {
			return row, c.ledgerTrouble(err, "store the changed key of the ACME account")
		}
	}
	c.o.Logger.Info("the key of the ACME account was changed", "account", row.Location)
	return row, nil
}

// resolveRollover finds out whether a rollover whose end is not on record took place.
func (c *CA) resolveRollover(ctx context.Context, dir *catalogue, row assure.ACMEAccount) (assure.ACMEAccount, error) {
	next, err := openKey(c.o.Sealer, row.NextKey)
	if err != nil {
		return row, c.keyTrouble(err)
	}
	switch _, err := c.findByKey(ctx, dir, next); {
	case err == nil:
		return c.promote(ctx, row)
	case isUnknownAccount(err):
		return row, nil // it did not; the next key waits for the next rollover
	default:
		return row, err
	}
}
