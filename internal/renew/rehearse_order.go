package renew

import (
	"context"
	"errors"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// authorize orders from the staging authority, is validated afresh, and gives everything back (L3).
func (k *Keeper) authorize(ctx context.Context, j *Job, at *attempt) {
	if !k.stageable(ctx, j, at) {
		return
	}
	solvers, err := k.solvers(j, "a rehearsed order for "+j.Certificate)
	if err == nil {
		err = j.Staging.Authorize(ctx, k.staged(j), solvers, at.staging)
	}
	k.missed(at, err)
}

// full obtains a certificate of the staging authority and installs it to the shadow target, reload included (L4).
func (k *Keeper) full(ctx context.Context, j *Job, at *attempt) {
	if len(j.Shadow) == 0 {
		k.leftOut(at, "no shadow target is configured")
		return
	}
	if !k.stageable(ctx, j, at) {
		return
	}
	solvers, err := k.solvers(j, "a full rehearsal for "+j.Certificate)
	if err != nil {
		k.missed(at, err)
		return
	}
	got, err := k.ordered(ctx, j, solvers, at)
	if err != nil {
		k.missed(at, err)
		return
	}
	for _, in := range j.Shadow {
		steps, err := in.Install(ctx, j.Certificate, got.ChainPEM, got.KeyPEM)
		for _, s := range steps {
			at.step(s)
		}
		if err != nil {
			k.missed(at, err)
			return
		}
	}
}

// ordered obtains a certificate of the staging authority. The rehearsal of another certificate with the same name may give
// back an authorization between its validation and the end of this order, which ends with it: then it is placed once more.
func (k *Keeper) ordered(ctx context.Context, j *Job, solvers []Solver, at *attempt) (Issued, error) {
	for try := 1; ; try++ {
		var last assure.Step // that the order was to be finalized, and was not
		got, err := j.Staging.IssueAfresh(ctx, k.staged(j), solvers, func(s assure.Step) {
			if s.Name == assure.StepFinalize && s.Outcome == assure.Failed {
				last = s
				return
			}
			at.staging(s)
		})
		if last.Name == "" {
			return got, err
		}
		again := try == 1 && errors.Is(err, errOrderOver)
		if again {
			last.Outcome, last.Trouble = assure.Skipped, nil
			last.Detail = "an authorization of the order was given back meanwhile, as rehearsals do; it is placed once more"
		}
		at.staging(last)
		if !again {
			return got, err
		}
	}
}

// stageable reports whether an order can be rehearsed at the staging authority, and says why when it cannot.
func (k *Keeper) stageable(ctx context.Context, j *Job, at *attempt) bool {
	if j.Staging == nil {
		k.leftOut(at, "no staging authority is configured")
		return false
	}
	if name := k.pinned(ctx, j); name != "" {
		// RFC 8657: the record names the account in service, so that the staging authority must refuse although the one in
		// service would not.
		k.leftOut(at, "CAA at "+name+" names the account in service, so that the staging authority cannot issue; the canary record proves the way to DNS instead")
		return false
	}
	return ctx.Err() == nil
}

func (k *Keeper) leftOut(at *attempt, why string) {
	at.step(assure.Step{Name: assure.StepOrder, Outcome: assure.Skipped, At: k.o.Now().UTC(), Detail: why})
}

// pinned is the first name for which CAA lets the authority in service issue and, by the account, not the staging one;
// empty when there is none. What cannot be found out pins nothing: the order will tell.
func (k *Keeper) pinned(ctx context.Context, j *Job) string {
	question := func(ca *CA) (q assure.CAAQuestion, ok bool) {
		issuers, err := ca.Identities(ctx)
		if err != nil || len(issuers) == 0 {
			return q, false
		}
		account, err := ca.AccountURL(ctx)
		return assure.CAAQuestion{Issuers: issuers, Account: account, Method: j.Challenge}, err == nil
	}
	here, ok := question(j.CA)
	if !ok {
		return ""
	}
	there, ok := question(j.Staging)
	if !ok {
		return ""
	}
	for _, n := range j.Names {
		name, wild := strings.CutPrefix(n, "*.")
		here.Name, here.Wildcard, there.Name, there.Wildcard = name, wild, name, wild
		err := j.Zones.CAA(ctx, there)
		if err == nil || assure.TroubleOf(err, assure.CAAForbids).Class != assure.TroubleForbidden {
			continue
		}
		if j.Zones.CAA(ctx, here) == nil {
			return name
		}
	}
	return ""
}

func (k *Keeper) staged(j *Job) Request {
	return Request{Names: j.Names, KeyType: j.KeyType, Profile: j.Profile}
}

// missed adds a step for an error that no step tells of.
func (k *Keeper) missed(at *attempt, err error) {
	if err == nil || at.outcome() != assure.Done {
		return
	}
	s := newStep(assure.StepOrder, "", "", k.o.Now(), k.o.Now(), err)
	if s.Trouble.Reason == assure.RehearsalInconclusive {
		s.Outcome = assure.Unclear
	}
	at.staging(s)
}

// staging adds a step that was made with the staging authority. What is wrong with the account there is no trouble of
// the account in service: a rehearsal cannot be made, and that is all.
func (at *attempt) staging(s assure.Step) {
	if t := s.Trouble; t != nil && t.Reason == assure.AccountInvalid {
		c := *t
		c.Reason, c.Detail = assure.RehearsalFailed, "at the staging authority: "+c.Detail
		s.Trouble, s.Detail = &c, c.Detail
	}
	at.step(s)
}
