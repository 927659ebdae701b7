package assure

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Rehearsed is what one rung of a rehearsal, or a look at what the permission rests on ([SubjectGrants]), brought back about
// the next renewal of one certificate.
type Rehearsed struct {
	Rung    AttemptKind `json:"rung"`
	Renewer string      `json:"renewer"` // as the configuration names it
	Steps   []Step      `json:"steps"`
	// Access holds what the cloud answered, on the rungs that ask it.
	Access []Access `json:"access,omitempty"`
	// Expected are what renewal is known to rest on where it is not as expected: gone, or refused.
	Expected []Expected `json:"expected,omitempty"`
	// Due is when the next renewal is due, as far as known: what fails here hurts from then on.
	Due time.Time `json:"due,omitzero"`
}

// Renewing is what the books say of the renewal of one certificate.
type Renewing struct {
	Renewer string       `json:"renewer"`
	State   RenewalState `json:"state"`
	// Newest is the newest certificate that was issued, nil when none was.
	Newest *Cert `json:"newest,omitempty"`
	// Installed is when that one was seen in service everywhere; zero before.
	Installed time.Time `json:"installed,omitzero"`
	// Missing are declared names that the newest certificate does not hold.
	Missing []string `json:"missing,omitempty"`
}

// Kind is stable.
func (Rehearsed) Kind() string { return "rehearsed" }

// Kind is stable.
func (Renewing) Kind() string { return "renewing" }

// Key leaves out times, durations and wording.
func (r Rehearsed) Key() string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q", r.Rung, r.Renewer)
	for _, s := range r.Steps {
		_, _ = fmt.Fprintf(h, " %q %q %q", s.Name, s.Target, s.Outcome)
		if s.Trouble != nil {
			_, _ = fmt.Fprintf(h, " %q %q %q", s.Trouble.Reason, s.Trouble.Class, s.Trouble.Scope)
		}
	}
	for _, a := range r.Access {
		_, _ = fmt.Fprintf(h, " %q %q %q %q %q", a.Answer, a.Action, a.Scope, a.Grants, a.Blockers)
	}
	for _, e := range r.Expected {
		_, _ = fmt.Fprintf(h, " %q %q %q %q %q", e.Action, e.Scope, e.Answer, e.Grants, e.Gone())
		for _, u := range e.Missing {
			_, _ = fmt.Fprintf(h, " %q %q", u.Plan, u.Address)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Key leaves out times but for the ones that say which certificate it is about.
func (r Renewing) Key() string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %d %t %q %t %t", r.Renewer, min(r.State.Failures, 1), r.State.Running.IsZero(), r.Missing, r.Installed.IsZero(), r.State.Unproven.IsZero())
	if r.Newest != nil {
		_, _ = fmt.Fprintf(h, " %q", r.Newest.Fingerprint)
	}
	if t := r.State.LastTrouble; t != nil {
		_, _ = fmt.Fprintf(h, " %q %q %q", t.Reason, t.Class, t.Scope)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
