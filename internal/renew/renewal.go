package renew

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func keyWords(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}

// By names of who causes attempts.
const (
	bySchedule = "schedule"
	byProof    = "proof after a repair"
)

// renew makes one attempt: issue, keep, install, see. The caller holds the lease. An error means that the books could
// not be kept; a renewal that did not work is in them.
func (k *Keeper) renew(ctx context.Context, j *Job) error {
	k.mu.Lock()
	st := k.state[j.Certificate]
	s, held := st.state, st.newest
	k.mu.Unlock()
	by := bySchedule
	if s.Forced != "" {
		by = s.Forced
	}
	began := k.o.Now().UTC()
	s.Running = began
	if err := k.keep(ctx, j, s, held); err != nil {
		return err
	}
	at, err := k.begin(ctx, j, assure.AttemptRenewal, by)
	if err != nil {
		return err
	}
	got, trouble := k.obtain(ctx, j, s, held, at)
	if got != nil {
		// What the authority asked for was about the one before.
		held, s.WindowStart, s.WindowEnd, s.WindowAsk, s.WindowFrom = got, time.Time{}, time.Time{}, time.Time{}, ""
	}
	if trouble == nil {
		trouble = k.deploy(ctx, j, held, at)
	}
	if ctx.Err() != nil && trouble != nil {
		// Stopped, or the lease was lost: that says nothing about the renewal. Whoever has it next begins again.
		s.Running = time.Time{}
		_, err := at.end(assure.Unclear, "")
		return errors.Join(err, k.keep(context.WithoutCancel(ctx), j, s, held))
	}
	now := k.o.Now().UTC()
	s.Running = time.Time{}
	// A wish is granted by trying once; what follows a failure goes by the pauses. When it was made stays, so that a newer
	// one is told from it.
	s.Forced = ""
	outcome, print := assure.Done, printOf(held)
	if trouble == nil {
		c := *held
		c.InstalledAt = now
		held = &c
		k.window(ctx, j, &s, held)
		k.succeeded(&s, held, j, now, false)
	} else {
		outcome = assure.Failed
		k.stopped(&s, held, j, now, trouble)
		k.log.Error("renewal did not work", "certificate", j.Certificate, "reason", trouble.Reason, "trouble", trouble.Error(), "failures", s.Failures, "next", s.Next)
	}
	_, err = at.end(outcome, print)
	return errors.Join(err, k.keep(context.WithoutCancel(ctx), j, s, held))
}

// lost reports whether a trouble means that something renewal needs was taken away, so that a repair has to be proven.
func lost(t *assure.Trouble) bool {
	return !t.Class.Retry() && (t.Reason == assure.DNSWriteDenied || t.Reason == assure.CredentialExpiring || t.Reason == assure.AccountInvalid)
}

// heldCert is an issued certificate, nil for none.
type heldCert = *assure.IssuedCert

func printOf(h heldCert) string {
	if h == nil {
		return ""
	}
	return h.Cert.Fingerprint
}

// keep writes the state down, in the ledger and here, and reports it.
func (k *Keeper) keep(ctx context.Context, j *Job, s assure.RenewalState, held heldCert) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := k.o.Ledger.PutRenewal(ctx, s, k.o.Owner, k.o.Now()); err != nil {
		return fmt.Errorf("keep the state of the renewal of %s: %w", j.Certificate, err)
	}
	k.mu.Lock()
	st := k.state[j.Certificate]
	if f := st.state; f.Forced != "" && f.ForcedAt.After(s.ForcedAt) {
		s.Forced, s.ForcedAt = f.Forced, f.ForcedAt // made here meanwhile; the ledger keeps it likewise
	}
	st.state, st.newest = s, held
	st.turn++
	k.mu.Unlock()
	k.tell(ctx, j)
	return nil
}

// Books returns what is known of a certificate's renewal; ok is false for one that is not renewed here.
func (k *Keeper) Books(certificate string) (r assure.Renewing, ok bool) {
	j := k.jobs[certificate]
	if j == nil {
		return r, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	st := k.state[certificate]
	if !st.known {
		return r, false
	}
	return k.renewing(j, st), true
}

// renewing is the fact about a certificate's renewal. The caller holds the lock.
func (k *Keeper) renewing(j *Job, st *standing) assure.Renewing {
	r := assure.Renewing{Renewer: j.Renewer, State: st.state, Missing: missingNames(cert(st.newest), j.Names)}
	if r.State.Due.IsZero() {
		r.State.Due, r.State.Why = plan(st.state, cert(st.newest), j.Names, k.o.Now().UTC())
	}
	if st.newest != nil {
		c := st.newest.Cert
		r.Newest, r.Installed = &c, st.newest.InstalledAt
	}
	return r
}

// tell reports the books to whoever judges.
func (k *Keeper) tell(ctx context.Context, j *Job) {
	if f, ok := k.Books(j.Certificate); ok {
		k.o.Report(ctx, j.Certificate, assure.SubjectRenewal, assure.Renewal, f)
		k.o.Report(ctx, j.Certificate, assure.SubjectIssuance, assure.Issuance, f)
	}
}

// obtain orders a certificate, unless one that was issued before only waits to be installed. A nil result without
// trouble means that there is nothing new to install.
func (k *Keeper) obtain(ctx context.Context, j *Job, s assure.RenewalState, held heldCert, at *attempt) (heldCert, *assure.Trouble) {
	due, _ := plan(s, cert(held), j.Names, k.o.Now())
	wished := s.Forced != "" && (held == nil || held.IssuedAt.Before(s.ForcedAt))
	if !wished && held != nil && held.InstalledAt.IsZero() && k.o.Now().Before(due) {
		return nil, nil
	}
	solvers, err := k.solvers(j, "the renewal of "+j.Certificate)
	if err != nil {
		t := &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleInvalid, Detail: err.Error()}
		return nil, t
	}
	r := Request{Names: j.Names, KeyType: j.KeyType, Profile: j.Profile, PreferredChain: j.Chain}
	if held != nil {
		if leaf, err := parseLeaf(held.Chain); err == nil && len(leaf.AuthorityKeyId) > 0 {
			r.Replaces = leaf
		}
	}
	got, err := j.CA.Issue(ctx, r, solvers, at.step)
	if err != nil {
		return nil, assure.TroubleOf(err, assure.RenewalFailing)
	}
	sealed, err := k.o.Sealer.Seal(got.KeyPEM)
	if err != nil {
		return nil, &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleInvalid, Detail: "seal the private key: " + err.Error()}
	}
	c := assure.IssuedCert{Certificate: j.Certificate, Cert: describeCert(got.Leaf), Chain: got.ChainPEM, Key: sealed, IssuedAt: k.o.Now().UTC()}
	// Kept before it is installed, and whatever happens to the caller: it was paid for with a part of the CA's limits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = insist(ctx, func() error {
		c.ID, err = k.o.Ledger.PutIssued(ctx, c)
		return err
	})
	if err != nil {
		return nil, &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleTransient, Detail: "keep the certificate that was issued: " + err.Error()}
	}
	return &c, nil
}

// insist writes down what is dear, and may be written twice, three times if need be.
func insist(ctx context.Context, write func() error) error {
	err := write()
	for pause := 100 * time.Millisecond; err != nil && !errors.Is(err, assure.ErrConflict) && pause < time.Second && sleep(ctx, pause); pause *= 3 {
		err = write()
	}
	return err
}

// deploy installs the certificate everywhere it belongs and has it seen there.
func (k *Keeper) deploy(ctx context.Context, j *Job, held heldCert, at *attempt) *assure.Trouble {
	if held == nil {
		return &assure.Trouble{Reason: assure.NoCertificate, Class: assure.TroubleMissing, Detail: "there is no certificate to install"}
	}
	if len(j.Install) > 0 {
		key, err := k.o.Sealer.Open(held.Key)
		if err != nil {
			return &assure.Trouble{
				Reason: assure.InstallFailed, Class: assure.TroubleInvalid, Detail: "the private key that was kept cannot be opened: " + err.Error(),
				Remedy: "Give notafter the identity that it was sealed with (the key keys of the configuration), or force a renewal",
			}
		}
		for _, in := range j.Install {
			steps, err := in.Install(ctx, j.Certificate, held.Chain, key)
			for _, s := range steps {
				at.step(s)
			}
			if err != nil {
				return assure.TroubleOf(err, assure.InstallFailed)
			}
		}
	}
	if err := k.seen(ctx, j, held, at); err != nil {
		return assure.TroubleOf(err, assure.ServedStale)
	}
	noted, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	seenAt := k.o.Now().UTC()
	if err := insist(noted, func() error { return k.o.Ledger.Installed(noted, held.ID, seenAt) }); err != nil {
		return &assure.Trouble{Reason: assure.InstallFailed, Class: assure.TroubleTransient, Detail: "note that the certificate is in service: " + err.Error(), Happened: true}
	}
	return nil
}

// seen looks at every address until all serve the new leaf.
func (k *Keeper) seen(ctx context.Context, j *Job, held heldCert, at *attempt) error {
	if k.o.Viewer == nil {
		return nil
	}
	within := min(k.o.SeenWithin, max(held.Cert.Lifetime()/10, 3*time.Second))
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return at.did(assure.StepSeen, "", func() (string, error) {
		for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
			lagging, total := k.o.Viewer.Serving(ctx, j.Certificate, held.Cert.Fingerprint)
			if len(lagging) == 0 && total > 0 {
				return all(total, "serves", "serve") + " it", nil
			}
			if !sleep(ctx, pause) {
				if whole.Err() != nil {
					return "", &assure.Trouble{Reason: assure.ServedStale, Class: assure.TroubleTransient, Detail: "it was stopped before every address was seen to serve the new certificate"}
				}
				if total == 0 {
					return "", &assure.Trouble{Reason: assure.ServedStale, Class: assure.TroubleTransient, Detail: "no address of the certificate's endpoints could be looked at"}
				}
				return "", &assure.Trouble{
					Reason: assure.ServedStale, Class: assure.TroubleLagging, Scope: clip(strings.Join(lagging, ", ")),
					Detail: clip(fmt.Sprintf("%d of %d addresses do not serve the new certificate after %s: %s", len(lagging), total, assure.Ago(within), strings.Join(lagging, ", "))),
					Remedy: "See whether the server there was reloaded, and whether it reads what was installed.",
				}
			}
		}
	})
}

// windowDue: it is time to ask the authority again when it wants the renewal to be.
func windowDue(st *standing, now time.Time) bool {
	return st.newest != nil && !st.newest.InstalledAt.IsZero() && st.state.Failures == 0 && !now.Before(st.state.WindowAsk)
}

// askWindow asks, and keeps the answer.
func (k *Keeper) askWindow(ctx context.Context, j *Job) error {
	k.mu.Lock()
	st := k.state[j.Certificate]
	s, held := st.state, st.newest
	k.mu.Unlock()
	k.window(ctx, j, &s, held)
	if now := k.o.Now().UTC(); !s.WindowAsk.After(now) {
		s.WindowAsk = now.Add(askUsually) // there was nobody to ask, or nothing to ask about
	}
	k.schedule(&s, held, j)
	return k.keep(ctx, j, s, held)
}

// window asks the authority when the next renewal should be (RFC 9773). That it did not answer changes nothing.
func (k *Keeper) window(ctx context.Context, j *Job, s *assure.RenewalState, held heldCert) {
	if held == nil || j.CA == nil {
		return
	}
	leaf, err := parseLeaf(held.Chain)
	if err != nil {
		return
	}
	start, end, again, from, err := j.CA.Window(ctx, leaf)
	s.WindowAsk = again
	if err != nil {
		k.log.Warn("ask when to renew", "certificate", j.Certificate, "error", err)
		return
	}
	s.WindowStart, s.WindowEnd, s.WindowFrom = start, end, from
}
