package renew

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// asked is what a cloud answered about a zone. Whoever asks holds the lock, so that many certificates that begin at once
// ask once.
type asked struct {
	sync.Mutex
	at     time.Time // zero before the first answer
	access []assure.Access
}

// good reports whether everything is allowed.
func (a *asked) good() bool {
	return len(a.access) > 0 && !slices.ContainsFunc(a.access, func(x assure.Access) bool { return x.Answer != assure.Allowed })
}

// climb makes one rung of the rehearsal and reports what it found. The caller holds the lease. An error means that the
// books could not be kept, or that ctx ended.
func (k *Keeper) climb(ctx context.Context, j *Job, kind assure.AttemptKind, by string) (assure.Attempt, error) {
	at, err := k.begin(ctx, j, kind, by)
	if err != nil {
		return assure.Attempt{}, err
	}
	var access []assure.Access
	switch kind {
	case assure.RehearseStatic:
		k.static(ctx, j, at)
	case assure.RehearsePermission:
		every := j.Rungs[assure.RehearsePermission]
		if by != bySchedule {
			every = 0
		}
		access = k.ask(ctx, j, at.step, every)
	case assure.RehearseCanary:
		k.canary(ctx, j, at)
	case assure.RehearseAuthorize:
		k.authorize(ctx, j, at)
	case assure.RehearseFull:
		k.full(ctx, j, at)
	default:
		at.step(assure.Step{Name: string(kind), Outcome: assure.Skipped, Detail: "there is no such rung", At: k.o.Now().UTC()})
	}
	if err := ctx.Err(); err != nil {
		_, e := at.end(assure.Skipped, "") // what was cut short by us says nothing, and does not count as climbed
		return at.copy(), errors.Join(err, e)
	}
	a, err := at.end(at.outcome(), "")
	if err != nil {
		return a, err
	}
	k.mu.Lock()
	st := k.state[j.Certificate]
	st.note(kind, a.Ended, a.Outcome, a.Steps)
	if lostIn(a) != nil && k.firstToLose(j, kind) {
		k.alarm[j.Renewer] = a.Ended
	}
	due, _ := plan(st.state, cert(st.newest), j.Names, k.o.Now().UTC())
	k.mu.Unlock()
	k.o.Report(ctx, j.Certificate, string(kind), assure.LinkOf(kind), assure.Rehearsed{Rung: kind, Renewer: j.Renewer, Steps: a.Steps, Access: access, Due: due})
	return a, k.prove(ctx, j, kind, a)
}

// record is a TXT record that the next renewal will write.
type record struct {
	name string // as the challenge names it
	at   assure.RecordPlace
	err  error
}

// records finds the places of all the records that the next renewal will write, each once.
func (k *Keeper) records(ctx context.Context, j *Job) ([]record, error) {
	if j.Challenge != ChallengeDNS01 && j.Challenge != ChallengeDNSAccount01 {
		return nil, nil
	}
	var names []string
	account := ""
	if j.Challenge == ChallengeDNSAccount01 {
		var err error
		if account, err = j.CA.AccountURL(ctx); err != nil {
			return nil, err
		}
	}
	for _, n := range j.Names {
		c := Challenge{Type: j.Challenge, Name: strings.TrimPrefix(n, "*."), Account: account}
		c.raw.Identifier.Type, c.raw.Identifier.Value = "dns", c.Name
		if r := c.RecordName(); !slices.Contains(names, r) {
			names = append(names, r)
		}
	}
	slices.Sort(names)
	out := make([]record, len(names))
	_ = each(len(names), func(i int) error {
		out[i].name = names[i]
		out[i].at, out[i].err = j.Zones.Find(ctx, names[i])
		return nil
	})
	return out, nil
}

// static looks at everything that the renewal rests on and that can be seen without doing anything (L0).
func (k *Keeper) static(ctx context.Context, j *Job, at *attempt) {
	lost := false
	for _, s := range j.CA.Check(ctx) {
		at.step(s)
		lost = lost || s.Name == assure.StepAccount && s.Outcome == assure.Skipped
	}
	if !lost { // without the directory nothing is known that CAA could be compared with, and it was just asked for
		k.caa(ctx, j, at)
	}
	k.places(j, at)
	records, err := k.records(ctx, j)
	if err != nil {
		at.step(newStep(assure.StepDelegation, "", "", k.o.Now(), k.o.Now(), err))
		return
	}
	zones := map[string]bool{}
	for _, r := range records {
		switch {
		case r.err != nil:
			at.step(newStep(assure.StepDelegation, r.name, "", k.o.Now(), k.o.Now(), r.err))
		case !zones[r.at.Zone]:
			zones[r.at.Zone] = true
			_ = at.did(assure.StepDelegation, r.at.Zone, func() (string, error) {
				return "parent and child agree, and " + all(len(r.at.Servers), "answers", "answer") + " for the zone", j.Zones.Delegation(ctx, r.at.Name)
			})
		}
	}
}

// places looks whether what the renewal brings could be put where it belongs.
func (k *Keeper) places(j *Job, at *attempt) {
	for _, in := range j.Install {
		r, ok := in.(Readier)
		if !ok {
			continue
		}
		began := k.o.Now()
		where, err := r.Ready(j.Certificate)
		if err != nil {
			t := *assure.TroubleOf(err, assure.RehearsalFailed)
			t.Reason = assure.RehearsalFailed // nothing was to be installed yet, so nothing failed but this
			err = &t
		}
		at.step(newStep(assure.StepPlace, where, "it can be written", began, k.o.Now(), err))
	}
}

func (k *Keeper) caa(ctx context.Context, j *Job, at *attempt) {
	issuers, err := j.CA.Identities(ctx)
	if err != nil {
		return // the step about the directory says so already
	}
	if len(issuers) == 0 {
		at.step(assure.Step{Name: assure.StepCAA, Outcome: assure.Skipped, At: k.o.Now().UTC(), Detail: "the authority does not say which names it goes by in CAA records"})
		return
	}
	account, err := j.CA.AccountURL(ctx)
	if err != nil {
		return // the step about the account says so already
	}
	found := make([]assure.Step, len(j.Names))
	_ = each(len(j.Names), func(i int) error {
		name, wild := strings.CutPrefix(j.Names[i], "*.")
		began := k.o.Now()
		err := j.Zones.CAA(ctx, assure.CAAQuestion{Name: name, Wildcard: wild, Issuers: issuers, Account: account, Method: j.Challenge})
		found[i] = newStep(assure.StepCAA, j.Names[i], "the authority may issue for it", began, k.o.Now(), err)
		return nil
	})
	for _, s := range found {
		at.step(s)
	}
}

// ask asks the cloud whether the identity may write (L1): about one record of each zone. Answers are shared by the
// certificates of a renewer for half of the interval at which it is asked; an interval of zero, of a person, shares none.
func (k *Keeper) ask(ctx context.Context, j *Job, tell func(assure.Step), every time.Duration) []assure.Access {
	if j.Asker == nil {
		tell(assure.Step{Name: assure.StepAsk, Outcome: assure.Skipped, At: k.o.Now().UTC(), Detail: "nobody can be asked about this renewer's permission"})
		return nil
	}
	records, err := k.records(ctx, j)
	if err != nil {
		tell(newStep(assure.StepAsk, "", "", k.o.Now(), k.o.Now(), err))
		return nil
	}
	var all []assure.Access
	zones := map[string]bool{}
	for _, r := range records {
		if r.err != nil {
			tell(newStep(assure.StepAsk, r.name, "", k.o.Now(), k.o.Now(), r.err))
			continue
		}
		if zones[r.at.Zone] {
			continue
		}
		zones[r.at.Zone] = true
		key := j.Renewer + "\x00" + r.at.Zone
		began := k.o.Now()
		got := k.askOnce(ctx, j, key, r.at.Name, every)
		if ctx.Err() != nil {
			return all
		}
		took := k.o.Now().Sub(began)
		for _, a := range got {
			tell(accessStep(a, began, took))
		}
		if len(got) == 0 {
			tell(assure.Step{Name: assure.StepAsk, Target: r.at.Zone, Outcome: assure.Unclear, At: began.UTC(), Took: took, Detail: "there was no answer", Trouble: &assure.Trouble{
				Reason: assure.PermissionUnclear, Class: assure.TroubleTransient, Scope: r.at.Zone, Detail: "there was no answer",
			}})
		}
		all = append(all, got...)
	}
	return all
}

// askOnce asks, or returns the answer that another certificate of the same renewer and zone got not long ago: half of the
// interval, or of the shorter one after an answer that was not good.
func (k *Keeper) askOnce(ctx context.Context, j *Job, key, record string, every time.Duration) []assure.Access {
	k.mu.Lock()
	a, alarm := k.asked[key], k.alarm[j.Renewer]
	if a == nil {
		a = &asked{}
		k.asked[key] = a
	}
	k.mu.Unlock()
	a.Lock()
	defer a.Unlock()
	fresh := every / 2
	if !a.good() {
		fresh /= 3
	}
	if every > 0 && a.at.After(alarm) && k.o.Now().Sub(a.at) < fresh {
		return a.access
	}
	began := k.o.Now()
	if got := j.Asker.Ask(ctx, record); ctx.Err() == nil { // what was cut short is no answer
		a.at, a.access = began, got
	}
	return a.access
}

func accessStep(a assure.Access, began time.Time, took time.Duration) assure.Step {
	s := assure.Step{Name: assure.StepAsk, Target: clip(a.Action + " at " + a.Scope), Outcome: assure.Done, Detail: clip(a.Detail), At: began.UTC(), Took: took, Trouble: a.Trouble}
	switch a.Answer {
	case assure.Allowed:
		s.Trouble = nil
		if len(a.Grants) > 0 && s.Detail == "" {
			s.Detail = clip("allowed by " + strings.Join(a.Grants, ", "))
		}
	case assure.Forbidden:
		s.Outcome = assure.Failed
	default:
		s.Outcome = assure.Unclear
	}
	if a.Answer != assure.Allowed && s.Trouble == nil {
		s.Trouble = &assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleTransient, Identity: a.Identity, Action: a.Action, Scope: a.Scope, Detail: a.Detail}
	}
	return s
}

// canaryValue looks like the value of a challenge: 43 characters of base64url (RFC 8555 section 8.4), so that whatever
// lets challenges through lets it through.
func canaryValue() string {
	sum := sha256.Sum256([]byte(rand.Text()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// canary writes a value where the next renewal will write, has it seen everywhere, and takes it away again (L2).
func (k *Keeper) canary(ctx context.Context, j *Job, at *attempt) {
	records, err := k.records(ctx, j)
	if err == nil && len(records) == 0 {
		at.step(assure.Step{Name: assure.StepPresent, Outcome: assure.Skipped, At: k.o.Now().UTC(), Detail: "this challenge writes no DNS record"})
		return
	}
	var solver *DNSSolver
	if err == nil {
		solver, err = k.dnsSolver(j, "a rehearsal of the renewal of "+j.Certificate)
	}
	if err != nil {
		at.step(newStep(assure.StepPresent, "", "", k.o.Now(), k.o.Now(), err))
		return
	}
	_ = each(len(records), func(i int) error {
		k.canaryAt(ctx, j, solver, records[i], at)
		return nil
	})
}

func (k *Keeper) canaryAt(ctx context.Context, j *Job, solver *DNSSolver, r record, at *attempt) {
	value := canaryValue()
	var proof *Proof
	err := at.did(assure.StepPresent, r.name, func() (detail string, err error) {
		proof, err = solver.Write(ctx, r.name, value)
		if proof != nil {
			detail = proof.Detail
		}
		return detail, err
	})
	if proof == nil {
		return
	}
	if err == nil {
		_ = at.did(assure.StepPropagation, r.name, func() (string, error) {
			if proof.Wait == nil {
				return "", nil
			}
			return proof.Wait(ctx)
		})
	}
	if proof.Withdraw == nil {
		return
	}
	// Taking it away is not stopped by whatever stopped the rest.
	clear, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err != nil {
		// It may or may not be there. What was written down is withdrawn, or stays in the journal for the sweep.
		_ = proof.Withdraw(clear)
		return
	}
	_ = at.did(assure.StepWithdraw, r.name, func() (string, error) {
		if err := proof.Withdraw(clear); err != nil {
			return "", err
		}
		return "only the value that was written for this was taken away; no server shows it any more", k.gone(ctx, j, r, value)
	})
}

// gone waits until no authoritative server shows the value any more. A provider that says that it took a value away may
// not have: it may not even see the zone by now.
func (k *Keeper) gone(ctx context.Context, j *Job, r record, value string) error {
	within := min(j.Patience, time.Minute)
	if within <= 0 {
		within = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last error
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := j.Zones.Gone(ctx, r.at, value)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if !sleep(ctx, pause) {
			return last
		}
	}
}
