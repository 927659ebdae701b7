package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/renew"
	"github.com/notafter/notafter/internal/renew/install"
)

// newKeeper builds whatever renews; nil when the configuration renews nothing.
func (a *App) newKeeper(w *world) (*renew.Keeper, error) {
	c := w.config
	if !c.Renews() {
		return nil, nil
	}
	sealer, err := a.sealer(c)
	if err != nil {
		return nil, err
	}
	b := &builder{c: c, accounts: a.db, sealer: sealer, now: a.now, log: a.log, agent: "notafter/" + a.opts.Version, child: a.selfCommand()}
	if w.renewers, err = b.renewers(); err != nil {
		return nil, err
	}
	var jobs []renew.Job
	for i := range c.Certificates {
		cert := &c.Certificates[i]
		declared, ok := c.RenewerOf(cert)
		if !ok {
			continue
		}
		r := w.renewers[cert.Renewer]
		names := install.Names(func(string) []string { return cert.Names })
		in, err := b.installers(declared.InstallOf(cert), names)
		if err != nil {
			return nil, fmt.Errorf("install of the certificate %s%w", cert.Name, err)
		}
		jobs = append(jobs, renew.Job{
			Certificate: cert.Name, Renewer: cert.Renewer, Names: cert.Names, KeyType: string(declared.KeyOf(cert)), Profile: declared.ACME.Profile,
			Chain: declared.ACME.PreferredChain, Challenge: string(declared.Challenge()), CA: r.ca, Staging: r.staging, Writer: r.writer, Zones: r.zones, Asker: a.asker(cert.Renewer, r),
			Responder: r.responder, Patience: declared.DNS.Patience(), TTL: declared.DNS.Remembered(), Install: in, Shadow: r.shadow, Rungs: declared.Rungs(),
		})
	}
	return renew.NewKeeper(renew.KeeperOptions{
		Jobs: jobs, Ledger: a.db, Sealer: sealer, Viewer: viewer{w}, Owner: a.owner, Now: a.now, Logger: a.tries,
		Report: a.reported, Progress: a.progressed, Tick: a.opts.Tick, Lease: a.opts.Lease,
	})
}

// reported keeps a fact about a renewal as evidence.
func (a *App) reported(ctx context.Context, certificate, subject string, link assure.Link, f assure.Fact) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	r, rehearsed := f.(assure.Rehearsed)
	if rehearsed {
		r = a.expect(ctx, r)
		f = r
	}
	look := assure.Look{Claim: assure.NewClaimID(link, certificate, subject), Fact: f, Observer: "renewer@" + hostOf(a.owner), At: a.now()}
	looks := []assure.Look{look}
	if rehearsed && r.Rung == assure.RehearsePermission && a.compares(certificate) {
		// The cloud was asked: what it answered is held against what is expected as well.
		r.Rung = assure.SubjectGrants
		look.Claim, look.Fact = assure.NewClaimID(assure.Permission, certificate, assure.SubjectGrants), r
		looks = append(looks, look)
	}
	if err := a.patrol.Record(ctx, looks...); err != nil {
		a.log.Error("record what was found about a renewal", "certificate", certificate, "subject", subject, "error", err)
	}
}

// lookAtBooks brings back what is on record about a renewal, and asks what its permission rests on. What rehearsals find
// is reported when it is found, and is nothing to look at.
func (a *App) lookAtBooks(ctx context.Context, c assure.Claim) assure.Fact {
	k := a.world.Load().keeper
	if k != nil && c.Subject == assure.SubjectGrants {
		return a.lookAtGrants(ctx, k, c)
	}
	if k == nil || c.Subject != assure.SubjectRenewal && c.Subject != assure.SubjectIssuance {
		return nil
	}
	if f, ok := k.Books(c.Certificate); ok {
		return f
	}
	return nil
}

// renewals runs the keeper of the world in force, and the next one's after a reload, while the last one's comes to its end.
func (a *App) renewals(ctx context.Context) error {
	var keepers sync.WaitGroup
	defer keepers.Wait()
	for ctx.Err() == nil {
		w := a.world.Load()
		keepers.Go(func() { w.keep(ctx) })
		select {
		case <-ctx.Done():
		case <-w.over.Done():
		}
	}
	return nil
}

// viewer looks at what the endpoints of a certificate serve.
type viewer struct{ w *world }

// Serving looks once at every address of every endpoint of the certificate.
func (v viewer) Serving(ctx context.Context, certificate, fingerprint string) (lagging []string, total int) {
	for i := range v.w.config.Certificates {
		cert := &v.w.config.Certificates[i]
		if cert.Name != certificate {
			continue
		}
		for _, e := range cert.Endpoints {
			l, n := servesAt(v.w.prober.Look(ctx, e.Target), e, fingerprint)
			lagging, total = append(lagging, l...), total+n
		}
	}
	return lagging, total
}

// servesAt says which addresses of one look do not show the leaf with the fingerprint, of how many.
func servesAt(s assure.Served, e config.Endpoint, fingerprint string) (lagging []string, total int) {
	if len(s.Sightings) == 0 {
		return []string{e.Target.String() + " (" + string(s.DNS.Failure) + ")"}, 1
	}
	shows := map[string]bool{}
	var order []string
	for _, g := range s.Sightings {
		if g.NoSNI {
			continue
		}
		if _, seen := shows[g.Address]; !seen {
			order = append(order, g.Address)
		}
		here := g.Chain >= 0 && g.Chain < len(s.Chains) && len(s.Chains[g.Chain].Certs) > 0 && s.Chains[g.Chain].Certs[0] == fingerprint
		shows[g.Address] = shows[g.Address] || here
	}
	for _, address := range order {
		if !shows[address] {
			lagging = append(lagging, e.Target.String()+" at "+address)
		}
	}
	return lagging, len(order)
}

// errNotRenewed says that a certificate has no renewer of ours.
var errNotRenewed = errors.New("it is not renewed here")

// keeperOf returns the keeper when it renews the certificate.
func (a *App) keeperOf(certificate string) (*renew.Keeper, error) {
	k := a.world.Load().keeper
	if k == nil || !k.Has(certificate) {
		return nil, fmt.Errorf("certificate %q: %w (%w)", certificate, errNotRenewed, assure.ErrNotFound)
	}
	return k, nil
}

// Renew asks for a renewal of the certificate, at once when force is set, else when it is due. It does not wait.
func (a *App) Renew(ctx context.Context, certificate, who string, force bool) error {
	k, err := a.keeperOf(certificate)
	if err != nil {
		return err
	}
	if !force {
		f, ok := k.Books(certificate)
		if ok && f.State.Waits() {
			a.errands.Go(func() {
				if _, err := k.RenewNow(a.running, certificate, who, false); err != nil && a.running.Err() == nil {
					a.log.Error("put into service what was issued", "certificate", certificate, "error", err)
				}
			})
			return nil
		}
		if ok && f.State.Due.After(a.now()) {
			return nil // the keeper comes to it by itself when it is due
		}
	}
	return k.Force(ctx, certificate, who)
}

// Rehearse climbs rungs of the rehearsal of the certificate, those that are configured when none is given. It does not
// wait.
func (a *App) Rehearse(_ context.Context, certificate, who string, kinds []assure.AttemptKind) error {
	k, err := a.keeperOf(certificate)
	if err != nil {
		return err
	}
	a.errands.Go(func() {
		if _, err := k.Rehearse(a.running, certificate, who, kinds...); err != nil && a.running.Err() == nil {
			a.log.Error("rehearse", "certificate", certificate, "error", err)
		}
	})
	return nil
}

// Renewed lists the certificates that are renewed here, in the order of the configuration.
func (a *App) Renewed() []string {
	var out []string
	c := a.world.Load().config
	for i := range c.Certificates {
		if _, ok := c.RenewerOf(&c.Certificates[i]); ok {
			out = append(out, c.Certificates[i].Name)
		}
	}
	return out
}

// RehearseNow climbs rungs in this call, for an App that is not running, and returns what came of them. progress is
// called after each step, from several goroutines.
func (a *App) RehearseNow(ctx context.Context, certificate, who string, kinds []assure.AttemptKind, progress func(assure.Attempt)) ([]assure.Attempt, error) {
	k, err := a.forErrand(ctx, certificate, progress)
	if err != nil {
		return nil, err
	}
	return k.Rehearse(ctx, certificate, who, kinds...)
}

// RenewNow renews in this call, for an App that is not running. The result is nil when nothing was due.
func (a *App) RenewNow(ctx context.Context, certificate, who string, force bool, progress func(assure.Attempt)) (*assure.Attempt, error) {
	k, err := a.forErrand(ctx, certificate, progress)
	if err != nil {
		return nil, err
	}
	return k.RenewNow(ctx, certificate, who, force)
}

// sweepTime bounds the withdrawing of what an earlier life left behind, which an errand waits for.
const sweepTime = 30 * time.Second

// forErrand makes the claims of the configuration known, so that what is found is kept, and withdraws what an earlier
// life left behind.
func (a *App) forErrand(ctx context.Context, certificate string, progress func(assure.Attempt)) (*renew.Keeper, error) {
	k, err := a.keeperOf(certificate)
	if err != nil {
		return nil, err
	}
	a.errand.Lock()
	defer a.errand.Unlock()
	if !a.declared {
		if err := a.patrol.Declare(ctx, a.world.Load()); err != nil {
			return nil, err
		}
		a.declared = true
		sweep, done := context.WithTimeout(ctx, sweepTime)
		defer done()
		k.Sweep(sweep)
	}
	a.progress.Store(&progress)
	return k, nil
}

// NextRenewal is when the certificate's next renewal is due, and why then; zero when that is not known.
func (a *App) NextRenewal(certificate string) (due time.Time, why string) {
	if k := a.world.Load().keeper; k != nil {
		if f, ok := k.Books(certificate); ok {
			return f.State.Due, f.State.Why
		}
	}
	return time.Time{}, ""
}

// progressed is called after each step of an attempt.
func (a *App) progressed(at assure.Attempt) {
	a.changes.signal()
	if f := a.progress.Load(); f != nil && *f != nil {
		(*f)(at)
	}
}

// authority returns the authority in service of a renewer.
func (a *App) authority(renewer string) (*renew.CA, error) {
	r := a.world.Load().renewers[renewer]
	if r == nil {
		return nil, fmt.Errorf("renewer %q: no certificate is renewed by it here (%w)", renewer, assure.ErrNotFound)
	}
	return r.ca, nil
}

// RollOver gives the account of a renewer at its authority a new key.
func (a *App) RollOver(ctx context.Context, renewer string) error {
	ca, err := a.authority(renewer)
	if err != nil {
		return err
	}
	return ca.Rollover(ctx)
}

// Register registers the account of a renewer again, at an authority that has forgotten it.
func (a *App) Register(ctx context.Context, renewer string) error {
	ca, err := a.authority(renewer)
	if err != nil {
		return err
	}
	return ca.Register(ctx)
}
