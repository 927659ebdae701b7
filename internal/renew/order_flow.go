package renew

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/mholt/acmez/v3/acme"

	"github.com/notafter/notafter/internal/assure"
)

// atOnce is how many names of one order are worked on at a time.
const atOnce = 8

// flow is one order on its way.
type flow struct {
	c       *CA
	r       Request
	want    wanted
	solvers []Solver
	report  func(assure.Step) // one at a time
	dir     *catalogue
	acct    acme.Account

	order acme.Order
	tasks []*task
	left  error // what could not be withdrawn
}

// task is one authorization of the order.
type task struct {
	authz  acme.Authorization
	name   string // with "*." where it is for that
	solver Solver
	chal   acme.Challenge
	proof  *Proof
}

// begin makes everything ready that needs no order.
func (c *CA) begin(ctx context.Context, r Request, solvers []Solver, report func(assure.Step)) (*flow, error) {
	if r.Profile == "" {
		r.Profile = c.o.Profile
	}
	f := &flow{c: c, r: r, solvers: solvers}
	var mu sync.Mutex
	f.report = func(s assure.Step) {
		if report != nil {
			mu.Lock()
			defer mu.Unlock()
			report(s)
		}
	}
	var err error
	if f.want, err = sortOut(r.Names); err != nil {
		return nil, &failure{&assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleInvalid, Detail: err.Error()}, err}
	}
	if len(solvers) == 0 {
		return nil, &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleInvalid, Detail: "no way to prove a name is configured"}
	}
	// Only what fails here is worth a step: what goes well costs no request, most of the time.
	s := c.step(assure.StepDirectory, c.o.Directory)
	if f.dir, err = c.directory(ctx, directoryAge); err == nil {
		err = c.offered(f.dir, r.Profile)
	}
	if err != nil {
		s.fail(err)
		f.report(s.Step)
		return nil, err
	}
	s = c.step(assure.StepAccount, c.o.Contact)
	if f.acct, err = c.account(ctx); err != nil {
		s.fail(err)
		f.report(s.Step)
		return nil, err
	}
	return f, nil
}

// place places the order and fetches its authorizations.
func (f *flow) place(ctx context.Context) error {
	f.order, f.tasks = acme.Order{}, nil
	s := f.c.step(assure.StepOrder, f.want.text)
	note, err := f.placeOrder(ctx)
	if err == nil {
		err = f.fetch(ctx)
	}
	if err != nil {
		s.fail(err)
	} else {
		s.done(fmt.Sprintf("%s took the order with %s%s", f.c, count(len(f.tasks), "authorization"), note))
	}
	f.report(s.Step)
	return err
}

func (f *flow) placeOrder(ctx context.Context) (note string, err error) {
	o := acme.Order{Identifiers: f.want.ids, Profile: f.r.Profile}
	if f.r.Replaces != nil && f.dir.RenewalInfo != "" && len(f.r.Replaces.AuthorityKeyId) > 0 {
		if id, err := acme.ARIUniqueIdentifier(f.r.Replaces); err == nil {
			o.Replaces = id
		}
	}
	for again := false; ; again = true {
		hctx, h := hear(ctx)
		got, err := f.dir.client.NewOrder(hctx, f.acct, o)
		if err == nil {
			f.order = got
			return note, nil
		}
		err = f.c.accountTrouble(f.c.trouble(err, h, "place the order at "+f.c.String()), f.acct.Location)
		var p acme.Problem
		errors.As(err, &p)
		t := assure.TroubleOf(err, assure.RenewalFailing)
		if o.Replaces != "" && irreplaceable(p) {
			// That it cannot be counted as a renewal must not stop a renewal.
			o.Replaces = ""
			note = clip("; it was not taken for a renewal: " + words(p))
			continue
		}
		// Some CAs call a signature by an old key malformed.
		if (t.Reason == assure.AccountInvalid || p.Type == acme.ProblemTypeMalformed) && !again && f.changed(ctx) {
			continue
		}
		return "", err
	}
}

// changed looks whether another process has changed the account's key, and takes it on.
func (f *flow) changed(ctx context.Context) bool {
	if f.c.enter(ctx) != nil {
		return false
	}
	defer f.c.leave()
	a, changed := f.c.relook(ctx, f.acct)
	f.acct = a
	return changed
}

// irreplaceable reports whether an order may have been refused because of what it replaces (RFC 9773 section 5). CAs
// differ in what they call a certificate that they do not know.
func irreplaceable(p acme.Problem) bool {
	switch p.Type {
	case acme.ProblemTypeAlreadyReplaced, acme.ProblemTypeMalformed, acme.ProblemTypeUnauthorized, acme.ProblemTypeServerInternal:
		return true
	}
	return p.Status == 404 || p.Status == 409
}

// fetch fetches the order's authorizations.
func (f *flow) fetch(ctx context.Context) error {
	urls := f.order.Authorizations
	if f.order.Location == "" || len(urls) == 0 || len(urls) > maxOrderNames {
		return &assure.Trouble{
			Reason: assure.RenewalFailing, Class: assure.TroubleBroken, Scope: f.c.o.Directory,
			Detail: fmt.Sprintf("%s took the order and gave an order that cannot be: %s for %s", f.c, count(len(urls), "authorization"), count(len(f.want.all), "name")),
		}
	}
	f.tasks = make([]*task, len(urls))
	return each(len(urls), func(i int) error {
		hctx, h := hear(ctx)
		z, err := f.dir.client.GetAuthorization(hctx, f.acct, urls[i])
		if err != nil {
			f.tasks[i] = &task{authz: acme.Authorization{Location: urls[i]}}
			return f.c.accountTrouble(f.c.trouble(err, h, "fetch an authorization from "+f.c.String()), f.acct.Location)
		}
		f.tasks[i] = &task{authz: z, name: clip(z.IdentifierValue())}
		return f.vet(&f.tasks[i].authz)
	})
}

// vet refuses an authorization for what nobody ordered, and makes what its challenges want to be seen ours.
//
// acmez believes a keyAuthorization that a CA sends. It is the client's to make of the token and its own key (RFC 8555
// section 8.1): who could choose it could have us show the challenge of an account at another CA, which would then give
// that account certificates for our names.
func (f *flow) vet(z *acme.Authorization) error {
	if !f.want.holds(z.Identifier) {
		return &assure.Trouble{
			Reason: assure.RenewalFailing, Class: assure.TroubleBroken, Scope: f.c.o.Directory,
			Detail: clip(fmt.Sprintf("%s wants to see a proof for %q, which nobody ordered", f.c, z.Identifier.Value)),
		}
	}
	thumbprint, err := f.acct.Thumbprint()
	if err != nil {
		return f.c.keyTrouble(err)
	}
	for i := range z.Challenges {
		z.Challenges[i].KeyAuthorization = z.Challenges[i].Token + "." + thumbprint
	}
	return nil
}

// reused are the names whose authorizations are valid before anything was done.
func (f *flow) reused() []string {
	var out []string
	for _, t := range f.tasks {
		if t.authz.Status == acme.StatusValid {
			out = append(out, t.name)
		}
	}
	slices.Sort(out)
	return out
}

// choose finds the solver of each authorization.
func (f *flow) choose() error {
	for _, t := range f.tasks {
		switch t.authz.Status {
		case acme.StatusValid:
			continue
		case acme.StatusPending:
		default:
			return f.c.refused(t.name, t.authz, "")
		}
		var offered []string
		for _, ch := range t.authz.Challenges {
			offered = append(offered, ch.Type)
		}
		var wanted []string
		for _, s := range f.solvers {
			wanted = append(wanted, s.Type())
			if i := slices.Index(offered, s.Type()); i >= 0 {
				t.solver, t.chal = s, t.authz.Challenges[i]
				break
			}
		}
		if t.solver == nil {
			slices.Sort(offered)
			return &assure.Trouble{
				Reason: assure.RenewalFailing, Class: assure.TroubleInvalid, Scope: t.name,
				Detail: clip(fmt.Sprintf("%s offers no challenge for %s that is configured: it offers %s, and %s is configured", f.c, t.name, strings.Join(offered, ", "), strings.Join(wanted, ", "))),
				Remedy: "Configure one of the challenges that the CA offers for this name.",
			}
		}
		if t.chal.Type != ChallengeDNSPersist01 && !isToken(t.chal.Token) {
			return &assure.Trouble{
				Reason: assure.RenewalFailing, Class: assure.TroubleBroken, Scope: t.name,
				Detail: fmt.Sprintf("the token that %s gave for %s is not one (RFC 8555 section 8)", f.c, t.name),
			}
		}
	}
	return nil
}

// isToken reports whether a token is in base64url, as all of them are (RFC 8555 section 8): what it is made of is served
// and written.
func isToken(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// prove presents every challenge, waits until all can be seen, lets the CA look, and withdraws them all.
func (f *flow) prove(ctx context.Context) error {
	s := f.c.step(assure.StepPresent, f.want.text)
	if err := f.choose(); err != nil {
		s.fail(err)
		f.report(s.Step)
		return err
	}
	defer f.withdraw(ctx)
	if err := f.present(ctx); err != nil {
		return err
	}
	if err := f.propagate(ctx); err != nil {
		return err
	}
	return f.validate(ctx)
}

// groups are the tasks by identifier: those of one name may be about one record, which is written by one hand at a time.
func (f *flow) groups() [][]*task {
	var out [][]*task
	at := map[string]int{}
	for _, t := range f.tasks {
		i, ok := at[t.authz.Identifier.Value]
		if !ok {
			i = len(out)
			at[t.authz.Identifier.Value] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], t)
	}
	return out
}

func (f *flow) present(ctx context.Context) error {
	groups := f.groups()
	return each(len(groups), func(i int) error {
		for _, t := range groups[i] {
			if t.solver == nil {
				continue
			}
			s := f.c.step(assure.StepPresent, t.name)
			err := f.c.trouble(ctx.Err(), nil, "present the challenge of "+t.name)
			if err == nil {
				t.proof, err = t.solver.Present(ctx, Challenge{
					Type: t.chal.Type, Name: t.authz.Identifier.Value, Wildcard: t.authz.Wildcard, IP: t.authz.Identifier.Type == "ip",
					Account: f.acct.Location, raw: t.chal,
				})
			}
			if t.proof != nil && t.proof.Target != "" {
				s.Target = t.proof.Target
			}
			if err != nil {
				s.fail(err)
				f.report(s.Step)
				return err
			}
			s.done(t.proof.Detail)
			f.report(s.Step)
		}
		return nil
	})
}

func (f *flow) propagate(ctx context.Context) error {
	var waiting []*task
	for _, t := range f.tasks {
		if t.proof != nil && t.proof.Wait != nil {
			waiting = append(waiting, t)
		}
	}
	return each(len(waiting), func(i int) error {
		t := waiting[i]
		s := f.c.step(assure.StepPropagation, t.proof.Target)
		detail, err := t.proof.Wait(ctx)
		if err != nil {
			s.fail(err)
		} else {
			s.done(detail)
		}
		f.report(s.Step)
		return err
	})
}

func (f *flow) validate(ctx context.Context) error {
	return each(len(f.tasks), func(i int) error {
		t := f.tasks[i]
		s := f.c.step(assure.StepValidate, t.name)
		if t.solver == nil {
			s.done("an older authorization of the account is still valid: the CA did not look again")
			f.report(s.Step)
			return nil
		}
		err := f.await(ctx, t)
		if err != nil {
			s.fail(err)
		} else {
			s.done(fmt.Sprintf("%s found the %s challenge", f.c, t.chal.Type))
		}
		f.report(s.Step)
		return err
	})
}

// withdraw takes away everything that was presented, also when ctx is over.
func (f *flow) withdraw(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.c.o.WithdrawTimeout)
	defer cancel()
	groups := f.groups()
	f.left = each(len(groups), func(i int) error {
		var errs []error
		for _, t := range groups[i] {
			if t.proof == nil || t.proof.Withdraw == nil {
				continue
			}
			s := f.c.step(assure.StepWithdraw, t.proof.Target)
			err := t.proof.Withdraw(ctx)
			switch {
			case err != nil:
				s.fail(err)
			case t.proof.Nothing:
				continue
			default:
				s.done("the challenge was taken away")
			}
			f.report(s.Step)
			errs = append(errs, err)
		}
		return worst(errs...)
	})
}

// giveBack deactivates every authorization of the order (RFC 8555 section 7.5.2), also when ctx is over.
func (f *flow) giveBack(ctx context.Context) error {
	return f.deactivate(ctx, acme.StatusValid, acme.StatusPending, "")
}

// abandon gives back what a failed order leaves pending: CAs count those. What is valid stays, it saves the next attempt
// a validation.
func (f *flow) abandon(ctx context.Context) { _ = f.deactivate(ctx, acme.StatusPending) }

func (f *flow) deactivate(ctx context.Context, states ...string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.c.o.WithdrawTimeout)
	defer cancel()
	return each(len(f.tasks), func(i int) error {
		t := f.tasks[i]
		if !slices.Contains(states, t.authz.Status) {
			return nil
		}
		s := f.c.step(assure.StepDeactivate, t.name)
		hctx, h := hear(ctx)
		z, err := f.dir.client.DeactivateAuthorization(hctx, f.acct, t.authz.Location)
		if err == nil && z.Status != acme.StatusDeactivated {
			err = fmt.Errorf("it is %s afterwards", clip(z.Status))
		}
		if err != nil { // somebody else gave it back, or the answer was lost
			if now, e := f.dir.client.GetAuthorization(ctx, f.acct, t.authz.Location); e == nil && now.Status == acme.StatusDeactivated {
				z, err = now, nil
			}
		}
		if err != nil {
			err = f.c.trouble(err, h, "give the authorization of "+t.name+" back")
			s.fail(err)
		} else {
			t.authz.Status = z.Status
			s.done("the authorization was given back")
		}
		f.report(s.Step)
		return err
	})
}

// each calls f for 0 to n-1, several at a time, and returns the worst error. All are called whatever happens.
func each(n int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	errs := make([]error, n)
	var running sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			errs[i] = f(i)
		})
	}
	running.Wait()
	return worst(errs...)
}
