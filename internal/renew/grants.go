package renew

import (
	"context"
	"errors"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// grantsWithin bounds one look at what a permission rests on: clouds answer within seconds.
const grantsWithin = 40 * time.Second

// Grants asks what the permission for the next renewal of a certificate rests on now, with fresh credentials and whatever
// is rehearsed. Answers that another certificate or a rung got less than half an interval ago are shared. What is refused
// for the first time is a loss as any other: all certificates of the renewer look whether they met it too, and only a
// renewal proves its repair. ok is false where nobody can be asked, or ctx ended.
func (k *Keeper) Grants(ctx context.Context, certificate string, every time.Duration) (r assure.Rehearsed, ok bool) {
	j := k.jobs[certificate]
	if j == nil || j.Asker == nil {
		return r, false
	}
	began := k.o.Now()
	r = assure.Rehearsed{Rung: assure.SubjectGrants, Renewer: j.Renewer}
	within, cancel := context.WithTimeout(ctx, grantsWithin)
	r.Access = k.ask(within, j, func(s assure.Step) { r.Steps = append(r.Steps, s) }, every)
	late := within.Err() != nil
	cancel()
	if ctx.Err() != nil {
		return r, false // what was cut short by us says nothing
	}
	if late {
		r.Steps = append(r.Steps, assure.Step{Name: assure.StepAsk, Outcome: assure.Unclear, At: began.UTC(), Took: k.o.Now().Sub(began), Trouble: &assure.Trouble{
			Reason: assure.PermissionUnclear, Class: assure.TroubleTransient, Detail: "there was no answer within " + grantsWithin.String(),
		}})
	}
	k.mu.Lock()
	st := k.state[certificate]
	r.Due, _ = plan(st.state, cert(st.newest), j.Names, k.o.Now().UTC())
	k.mu.Unlock()
	if len(r.Steps) == 0 {
		return r, false
	}
	k.noteGrants(ctx, j, r.Steps)
	return r, true
}

// noteGrants keeps how a look went, and raises the alarm at the first refusal.
func (k *Keeper) noteGrants(ctx context.Context, j *Job, steps []assure.Step) {
	trouble := lostIn(assure.Attempt{Steps: steps})
	outcome := assure.Failed
	if trouble == nil {
		for _, s := range steps {
			if s.Outcome != assure.Done {
				return // it tells neither a loss nor a repair
			}
		}
		outcome = assure.Done
	}
	now := k.o.Now().UTC()
	k.mu.Lock()
	st := k.state[j.Certificate]
	first := trouble != nil && st.rungs[assure.SubjectGrants].since.IsZero()
	if first && k.firstToLose(j, assure.SubjectGrants) {
		k.alarm[j.Renewer] = now
	}
	st.note(assure.SubjectGrants, now, outcome, steps)
	k.mu.Unlock()
	if !first {
		return
	}
	if err := k.doubtBeside(ctx, j, trouble); err != nil && ctx.Err() == nil {
		k.log.Error("note what was lost", "certificate", j.Certificate, "error", err)
		k.mu.Lock()
		delete(st.rungs, assure.SubjectGrants) // the next look tries again
		k.mu.Unlock()
	}
	select {
	case k.woken <- struct{}{}:
	default:
	}
}

// doubtBeside notes a loss that was met without the certificate's lease. Where somebody is at the certificate, its rungs
// meet the loss themselves: they have been alarmed.
func (k *Keeper) doubtBeside(ctx context.Context, j *Job, t *assure.Trouble) error {
	if !k.claim(j.Certificate) {
		return nil
	}
	defer k.free(j.Certificate)
	err := k.holding(ctx, j, func(ctx context.Context) error { return k.doubt(ctx, j, assure.SubjectGrants, t) })
	if errors.Is(err, errHeld) {
		return nil
	}
	return err
}
