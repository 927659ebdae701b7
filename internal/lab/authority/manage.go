package authority

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/letsencrypt/pebble/v2/acme"
	"github.com/letsencrypt/pebble/v2/core"
)

// Window is what the authority suggests about the renewal of one certificate (RFC 9773 section 4.2).
type Window struct {
	Start, End  time.Time
	Explanation string // an address, may be empty
}

// SetWindow makes the authority suggest the window for the certificate, whose leaf comes first in the PEM.
func (a *Authority) SetWindow(certPEM []byte, w Window) error {
	body := map[string]any{"suggestedWindow": map[string]any{
		"start": w.Start.UTC().Format(time.RFC3339), "end": w.End.UTC().Format(time.RFC3339),
	}}
	if w.Explanation != "" {
		body["explanationURL"] = w.Explanation
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("set the window: %w", err)
	}
	return a.SetRenewalInfo(certPEM, string(raw))
}

// SetRenewalInfo makes the authority answer with the raw text when it is asked for the certificate's window.
func (a *Authority) SetRenewalInfo(certPEM []byte, raw string) error {
	leaf, err := leafOf(certPEM)
	if err != nil {
		return fmt.Errorf("set the renewal information: %w", err)
	}
	if err := a.db.SetARIResponse(leaf.SerialNumber, raw); err != nil {
		return fmt.Errorf("set the renewal information: %w", err)
	}
	return nil
}

// Revoke revokes the certificate, whose leaf comes first in the PEM, as the authority would of its own accord. Its
// renewal information then says: now.
func (a *Authority) Revoke(certPEM []byte) error {
	c, err := a.find(certPEM)
	if err != nil {
		return err
	}
	a.db.RevokeCertificate(&core.RevokedCertificate{Certificate: c, RevokedAt: time.Now()})
	return nil
}

// Revoked reports whether the certificate is revoked.
func (a *Authority) Revoked(certPEM []byte) (bool, error) {
	leaf, err := leafOf(certPEM)
	if err != nil {
		return false, err
	}
	if a.db.GetRevokedCertificateBySerial(leaf.SerialNumber) != nil {
		return true, nil
	}
	if a.db.GetCertificateBySerial(leaf.SerialNumber) == nil {
		return false, errors.New("the authority did not issue this certificate")
	}
	return false, nil
}

func (a *Authority) find(certPEM []byte) (*core.Certificate, error) {
	leaf, err := leafOf(certPEM)
	if err != nil {
		return nil, err
	}
	c := a.db.GetCertificateBySerial(leaf.SerialNumber)
	if c == nil {
		return nil, errors.New("the authority did not issue this certificate")
	}
	return c, nil
}

func leafOf(certPEM []byte) (*x509.Certificate, error) {
	b, _ := pem.Decode(certPEM)
	if b == nil {
		return nil, errors.New("no PEM block")
	}
	return x509.ParseCertificate(b.Bytes)
}

// DeactivateAccount deactivates the account behind the client's back.
func (a *Authority) DeactivateAccount(url string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.db.GetAccountByID(idOf(url))
	if old == nil {
		return fmt.Errorf("no account %s", url)
	}
	return a.db.UpdateAccountByID(old.ID, &core.Account{
		Account: acme.Account{Contact: old.Contact, Status: acme.StatusDeactivated, Orders: old.Orders}, Key: old.Key, ID: old.ID,
	})
}

// Contacts are the account's contacts.
func (a *Authority) Contacts(accountURL string) []string {
	if c := a.db.GetAccountByID(idOf(accountURL)); c != nil {
		return c.Contact
	}
	return nil
}

// Order is what the authority knows of an order.
type Order struct {
	Names  []string // sorted
	Status string   // as RFC 8555 section 7.1.6 names them
	// Authorizations are the states of its authorizations, in the order in which they were made.
	Authorizations []string
	Profile        string
	Replaces       string
	// Finalized is true once a certificate was made.
	Finalized bool
}

// Orders are the account's orders, oldest first.
func (a *Authority) Orders(accountURL string) []Order {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Order
	for _, o := range a.db.GetOrdersByAccountID(idOf(accountURL)) {
		out = append(out, seen(o))
	}
	return out
}

func seen(o *core.Order) Order {
	status, err := o.GetStatus()
	if err != nil {
		status = err.Error()
	}
	o.RLock()
	defer o.RUnlock()
	out := Order{Status: status, Profile: o.Profile, Replaces: o.Replaces, Finalized: o.CertificateObject != nil}
	for _, id := range o.Identifiers {
		out.Names = append(out.Names, id.Value)
	}
	slices.Sort(out.Names)
	for _, z := range o.AuthorizationObjects {
		z.RLock()
		out.Authorizations = append(out.Authorizations, z.Status)
		z.RUnlock()
	}
	return out
}

// Block makes the authority refuse the domain and everything below it (rejectedIdentifier).
func (a *Authority) Block(domain string) error { return a.db.AddBlockedDomain(domain) }
