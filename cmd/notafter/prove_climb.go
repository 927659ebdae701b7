package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// provable is a certificate that is renewed here, as far as proving needs to know it.
type provable struct {
	name, renewer string
	settles       time.Duration
	on            []string // rungs that are switched on
}

// climb is rungs to climb for a certificate.
type climb struct {
	certificate string
	rungs       []string
}

// climber climbs rungs: through a running notafter, or here.
type climber interface {
	// list finds certificates, all that are renewed when none is named.
	list(ctx context.Context, certificates []string) ([]provable, error)
	// climb climbs and waits for the end. What is told is told as it happens, one certificate after the other where it is
	// done here. tell may be nil.
	climb(ctx context.Context, who string, list []climb, tell func(assure.Attempt)) ([]assure.Attempt, error)
	// expected is what permissions are known to rest on; accept makes what a renewer's rest on now that, and says what it
	// was that was accepted.
	expected(ctx context.Context) ([]grant, error)
	accept(ctx context.Context, renewer, who, reason string) ([]grant, error)
	// inventory is what is known of the certificates, as guard takes it.
	inventory(ctx context.Context) ([]byte, error)
	// announce tells what a plan that is about to be applied does to grants; without an id, nothing of it matters. ended
	// tells that its apply has ended with a status.
	announce(ctx context.Context, who, digest string, grants []assure.PlannedGrant) (id string, err error)
	ended(ctx context.Context, id, who string, exit int) error
	close()
}

// climber is what the options ask for.
func (p *program) climber(o renewalOptions) (climber, error) {
	if o.config != "" {
		h, err := p.openHere(o.config)
		if err != nil {
			return nil, err
		}
		return &hereClimber{p, h}, nil
	}
	api, err := p.api(o.apiOptions)
	if err != nil {
		return nil, err
	}
	return &farClimber{p, api}, nil
}

// proofClimber is what the options of a proof ask for, which does not wait longer for a server than all may take.
func (p *program) proofClimber(o proveOptions) (climber, error) {
	c, err := p.climber(o.renewalOptions)
	if far, ok := c.(*farClimber); ok {
		far.api.patience(o.timeout)
	}
	return c, err
}

// farClimber asks a running notafter.
type farClimber struct {
	p   *program
	api *apiClient
}

func (c *farClimber) close() {}

func (c *farClimber) list(ctx context.Context, certificates []string) ([]provable, error) {
	all := len(certificates) == 0
	if all {
		var err error
		if certificates, err = everyCertificate(ctx, c.api); err != nil {
			return nil, failed(err)
		}
	}
	var out []provable
	for _, name := range certificates {
		v, err := renewalOf(ctx, c.api, name, 1)
		if err != nil {
			if all && isNotThere(err) {
				continue // it has no renewer of ours
			}
			return nil, failed(ofCertificate(name, err))
		}
		out = append(out, provable{name, v.Renewer, time.Duration(v.Settles * float64(time.Second)), v.on()})
	}
	if len(out) == 0 {
		return nil, failed(errors.New("no certificate there is renewed by notafter itself, so there is nothing to prove"))
	}
	return out, nil
}

func (c *farClimber) climb(ctx context.Context, who string, list []climb, tell func(assure.Attempt)) ([]assure.Attempt, error) {
	var wishes []wished
	for _, x := range list {
		w, err := c.p.wish(ctx, c.api, x.certificate, "rehearse", map[string]any{"rungs": x.rungs, "who": who})
		if err != nil {
			return nil, err
		}
		w.attempts = len(x.rungs)
		wishes = append(wishes, w)
	}
	got := map[int64]assure.Attempt{}
	var order []int64
	ours := rehearsedBy(who)
	err := c.p.watch(ctx, c.api, wishes, func(a assure.Attempt) bool {
		i := slices.IndexFunc(list, func(x climb) bool { return x.certificate == a.Certificate })
		return i >= 0 && slices.Contains(list[i].rungs, rungOf(a.Kind)) && ours(a)
	}, func(a assure.Attempt) {
		if _, seen := got[a.ID]; !seen {
			order = append(order, a.ID)
		}
		got[a.ID] = a
		if tell != nil {
			tell(a)
		}
	})
	var out []assure.Attempt
	for _, id := range order {
		if a := got[id]; !a.Ended.IsZero() {
			out = append(out, a)
		}
	}
	return out, err
}

// hereClimber climbs in this process.
type hereClimber struct {
	p *program
	h *here
}

func (c *hereClimber) close() { c.h.close(c.p) }

func (c *hereClimber) list(_ context.Context, certificates []string) ([]provable, error) {
	renewed := c.h.app.Renewed()
	if len(certificates) == 0 {
		certificates = renewed
	}
	var out []provable
	for _, name := range certificates {
		if !slices.Contains(renewed, name) {
			return nil, misuse("certificate %q: it is not renewed here", clip(name, 60))
		}
		x := provable{name: name}
		x.renewer, x.settles = c.h.app.RenewedBy(name)
		for _, k := range c.h.app.Rungs(name) {
			x.on = append(x.on, rungOf(k))
		}
		out = append(out, x)
	}
	if len(out) == 0 {
		return nil, failed(errors.New("no certificate of this configuration has a renewer, so there is nothing to prove"))
	}
	return out, nil
}

// atOnce is how many certificates are asked about at the same time here.
const atOnce = 8

func (c *hereClimber) climb(ctx context.Context, who string, list []climb, tell func(assure.Attempt)) ([]assure.Attempt, error) {
	slots := make(chan struct{}, atOnce)
	progress := func(assure.Attempt) {}
	if tell != nil { // what is read must not be mixed
		slots = make(chan struct{}, 1)
		progress = func(a assure.Attempt) {
			c.h.mu.Lock()
			defer c.h.mu.Unlock()
			tell(a)
		}
	}
	var wg sync.WaitGroup
	all, errs := make([][]assure.Attempt, len(list)), make([]error, len(list))
	for i, x := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var kinds []assure.AttemptKind
			for _, r := range x.rungs {
				kinds = append(kinds, assure.Ladder()[slices.Index(rungs, r)])
			}
			all[i], errs[i] = c.h.app.RehearseNow(ctx, x.certificate, who, kinds, progress)
			for _, a := range all[i] {
				progress(a)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
		case errors.Is(context.Cause(ctx), errTooLong):
			return slices.Concat(all...), errTooLong
		default:
			return slices.Concat(all...), c.h.explain(err)
		}
	}
	return slices.Concat(all...), nil
}
