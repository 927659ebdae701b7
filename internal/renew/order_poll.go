package renew

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/notafter/notafter/internal/assure"
)

// poller paces the questions that are asked until the CA has decided.
type poller struct {
	ctx   context.Context
	end   context.CancelFunc
	pause time.Duration
	most  time.Duration
	last  error // what the last question met
}

func (c *CA) poller(ctx context.Context) *poller {
	ctx, cancel := context.WithTimeout(ctx, c.o.PollTimeout)
	return &poller{ctx: ctx, end: cancel, pause: min(c.o.PollInterval, 50*time.Millisecond), most: c.o.PollInterval}
}

// next waits before the next question, for as long as the CA asked for where it did, and reports whether there is time
// for one.
func (p *poller) next(asked time.Duration) bool {
	if asked > 0 {
		if deadline, ok := p.ctx.Deadline(); ok && time.Until(deadline) < asked && p.last != nil {
			return false // it would be over before the CA wants to hear from us
		}
		return sleep(p.ctx, asked)
	}
	d := p.pause
	p.pause = min(2*p.pause, p.most)
	return sleep(p.ctx, d)
}

// late is the error when there was no decision in time.
func (f *flow) late(ctx context.Context, p *poller, doing string) error {
	if ctx.Err() != nil {
		return f.c.trouble(ctx.Err(), nil, doing)
	}
	if p.last != nil {
		return p.last
	}
	return &assure.Trouble{
		Reason: assure.RenewalFailing, Class: assure.TroubleTransient, Scope: f.c.o.Directory,
		Detail: fmt.Sprintf("%s: %s did not decide within %s", doing, f.c, f.c.o.PollTimeout),
	}
}

// await lets the CA look at a challenge and waits for what it says.
func (f *flow) await(ctx context.Context, t *task) error {
	doing := "validate " + t.name
	p := f.c.poller(ctx)
	defer p.end()
	asked := false
	var doubt error // why it may not have been asked after all
	var pause time.Duration
	for {
		if !asked {
			hctx, h := hear(p.ctx)
			_, err := f.dir.client.InitiateChallenge(hctx, f.acct, t.chal)
			_, pause = h.last()
			p.last = f.c.accountTrouble(f.c.trouble(err, h, "ask "+f.c.String()+" to "+doing), f.acct.Location)
			var problem acme.Problem
			switch {
			case err == nil:
				asked = true
			case errors.As(err, &problem) && problem.Type == acme.ProblemTypeMalformed:
				// Asked for a second time, after an answer that was lost? The authorization says how it stands.
				asked, doubt = true, p.last
			case !passing(p.last):
				return p.last
			}
		}
		if !p.next(pause) {
			return f.late(ctx, p, doing)
		}
		hctx, h := hear(p.ctx)
		z, err := f.dir.client.GetAuthorization(hctx, f.acct, t.authz.Location)
		_, pause = h.last()
		if err != nil && p.ctx.Err() != nil {
			return f.late(ctx, p, doing) // what our own deadline cut short says less than what was said before
		}
		if err != nil {
			p.last = f.c.trouble(err, h, "ask "+f.c.String()+" about "+t.name)
			if !passing(p.last) {
				return p.last
			}
			continue
		}
		t.authz = z
		switch z.Status {
		case acme.StatusValid:
			return nil
		case acme.StatusPending:
			if doubt != nil && !underWay(z, t.chal.URL) {
				return doubt
			}
			if asked {
				p.last = nil
			}
		default:
			return f.c.refused(t.name, z, t.chal.Type)
		}
	}
}

// underWay reports whether the CA is looking at the challenge.
func underWay(z acme.Authorization, url string) bool {
	for _, ch := range z.Challenges {
		if ch.URL == url {
			return ch.Status != acme.StatusPending
		}
	}
	return false
}

// finish sends the signing request, waits for the certificate and fetches it.
func (f *flow) finish(ctx context.Context, key crypto.Signer) (Issued, error) {
	s := f.c.step(assure.StepFinalize, f.want.text)
	got, note, err := f.finalize(ctx, key)
	if err != nil {
		s.fail(err)
		f.report(s.Step)
		return Issued{}, err
	}
	s.done(fmt.Sprintf("the certificate came, valid until %s%s", got.leaf.NotAfter.UTC().Format(time.RFC3339), note))
	f.report(s.Step)

	s = f.c.step(assure.StepMatch, f.want.text)
	err = f.want.match(got.leaf, key)
	if err == nil {
		err = inForce(got.leaf, f.c.o.Now())
	}
	if err != nil {
		t := &assure.Trouble{Reason: assure.RenewalFailing, Class: assure.TroubleBroken, Scope: f.c.o.Directory, Detail: err.Error()}
		s.fail(t)
		f.report(s.Step)
		return Issued{}, t
	}
	s.done("key, certificate and names belong together")
	f.report(s.Step)
	return Issued{ChainPEM: got.pem, Leaf: got.leaf, Profile: clip(f.order.Profile)}, nil
}

func (f *flow) finalize(ctx context.Context, key crypto.Signer) (chain, string, error) {
	csr, err := f.want.csr(key)
	if err != nil {
		return chain{}, "", f.c.trouble(err, nil, "make the signing request")
	}
	p := f.c.poller(ctx)
	defer p.end()
	if err := f.decide(ctx, p, csr); err != nil {
		return chain{}, "", err
	}
	return f.download(ctx, p)
}

// decide sends the signing request until the order is valid. When the answer was lost, the order says whether the CA got
// it: a certificate that was made is not ordered a second time.
func (f *flow) decide(ctx context.Context, p *poller, csr []byte) error {
	const doing = "finalize the order"
	for sent := 1; ; sent++ {
		o := f.order
		// acmez asks again by itself when a connection breaks, and then meets an order that is not ready any more. In this
		// state it does not take that for an error.
		o.Status = acme.StatusProcessing
		hctx, h := hear(p.ctx)
		got, err := f.dir.client.FinalizeOrder(hctx, f.acct, o, csr)
		_, pause := h.last()
		if got.Status == acme.StatusValid && err == nil {
			f.order = keepLocation(got, f.order)
			return nil
		}
		if err != nil && got.Status == acme.StatusInvalid {
			return f.broken(got)
		}
		// Where the request was answered with anything but a problem, the order says more than the answer.
		p.last = nil
		var problem acme.Problem
		if status, _ := h.last(); status == 0 || status == 429 || status >= 500 || errors.As(err, &problem) {
			p.last = notAccount(f.c.trouble(err, h, doing+" at "+f.c.String()))
			if !passing(p.last) {
				return p.last
			}
		}
		again, err := f.poll(ctx, p, pause)
		if !again || err != nil {
			return err
		}
		if sent == 3 {
			return f.late(ctx, p, doing)
		}
	}
}

// poll asks for the order until it is decided. again means that the CA is still waiting for the signing request.
func (f *flow) poll(ctx context.Context, p *poller, pause time.Duration) (again bool, err error) {
	const doing = "finalize the order"
	for {
		if !p.next(pause) {
			return false, f.late(ctx, p, doing)
		}
		hctx, h := hear(p.ctx)
		got, err := f.dir.client.GetOrder(hctx, f.acct, f.order)
		_, pause = h.last()
		if err != nil && p.ctx.Err() != nil {
			return false, f.late(ctx, p, doing)
		}
		if err != nil {
			p.last = notAccount(f.c.trouble(err, h, "ask "+f.c.String()+" about the order"))
			if !passing(p.last) {
				return false, p.last
			}
			continue
		}
		f.order = keepLocation(got, f.order)
		switch got.Status {
		case acme.StatusValid:
			return false, nil
		case acme.StatusReady:
			return true, nil
		case acme.StatusProcessing:
			p.last = nil
		default:
			return false, f.broken(got)
		}
	}
}

func keepLocation(o, before acme.Order) acme.Order {
	if o.Location == "" {
		o.Location = before.Location
	}
	return o
}

// broken says why an order will not be fulfilled.
func (f *flow) broken(o acme.Order) error {
	if o.Error != nil {
		return notAccount(f.c.trouble(*o.Error, nil, "finalize the order at "+f.c.String()))
	}
	return &failure{&assure.Trouble{
		Reason: assure.RenewalFailing, Class: assure.TroubleTransient, Scope: f.c.o.Directory,
		Detail: fmt.Sprintf("finalize the order at %s: the order is %s", f.c, clip(o.Status)),
	}, errOrderOver}
}

// errOrderOver is that an order came to an end without a certificate and without a word: one of its authorizations did
// (RFC 8555 section 7.1.6).
var errOrderOver = errors.New("the order is over")

// notAccount corrects what "unauthorized" means once an order was taken: it is about the names and not about the account.
func notAccount(err error) error {
	var f *failure
	var p acme.Problem
	if errors.As(err, &f) && errors.As(err, &p) && p.Type == acme.ProblemTypeUnauthorized {
		f.Trouble.Reason, f.Trouble.Class, f.Trouble.Remedy = assure.RenewalFailing, assure.TroubleTransient, ""
	}
	return err
}

// download fetches the chain. A certificate that exists is worth asking for it again.
func (f *flow) download(ctx context.Context, p *poller) (chain, string, error) {
	const doing = "fetch the certificate"
	p.pause, p.last = min(f.c.o.PollInterval, 50*time.Millisecond), nil
	for {
		hctx, h := hear(p.ctx)
		h.noLinks = f.r.PreferredChain == ""
		got, err := f.dir.client.GetCertificateChain(hctx, f.acct, f.order.Certificate)
		if err == nil {
			return f.pick(got)
		}
		_, pause := h.last()
		p.last = notAccount(f.c.trouble(err, h, doing+" from "+f.c.String()))
		if !passing(p.last) {
			return chain{}, "", p.last
		}
		if !p.next(pause) {
			return chain{}, "", f.late(ctx, p, doing)
		}
	}
}

// pick finds the chain that was asked for, or takes the first.
func (f *flow) pick(got []acme.Certificate) (chain, string, error) {
	var first chain
	for i, g := range got {
		ch, err := parseChain(g.ChainPEM)
		if err != nil {
			if i > 0 {
				continue // an alternate that is no chain is none
			}
			return chain{}, "", &failure{&assure.Trouble{
				Reason: assure.RenewalFailing, Class: assure.TroubleBroken, Scope: f.c.o.Directory,
				Detail: clip("what " + f.c.String() + " sent is no chain of certificates: " + err.Error()),
			}, err}
		}
		if f.r.PreferredChain == "" || ch.top == f.r.PreferredChain {
			return ch, "", nil
		}
		if i == 0 {
			first = ch
		}
	}
	return first, fmt.Sprintf("; the CA offers no chain that ends at %q, and its own leads to %q", clip(f.r.PreferredChain), clip(first.top)), nil
}
