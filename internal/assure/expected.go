package assure

import (
	"slices"
	"strings"
	"time"
)

// Expected is what the renewal of certificates is known to rest on: that an identity may do something somewhere, and by
// what. It is learned from what a cloud names, and kept apart from it, so that a loss shows although code, state and plan
// agree on it.
type Expected struct {
	Renewer  string `json:"renewer"` // as the configuration names it
	Identity string `json:"identity"`
	Action   string `json:"action"`
	Scope    string `json:"scope"`
	// Grants are what is relied on, as the cloud names them. Empty where it allows without naming what by.
	Grants []string `json:"grants,omitempty"`
	// Learned is since when that is expected. By and Reason are of the person who accepted it; empty when it was learned.
	Learned time.Time `json:"learned"`
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	// Held is when the cloud last said that it is allowed, by what is relied on.
	Held time.Time `json:"held"`
	// Asked is when the cloud answered last, Answer what, and Named by what it is allowed. Whole says that Named is all
	// there is.
	Asked  time.Time `json:"asked"`
	Answer Answer    `json:"answer"`
	Named  []string  `json:"named,omitempty"`
	Whole  bool      `json:"whole,omitempty"`
}

// Gone lists what is relied on and no longer there, as far as the last answer tells. When nothing is allowed any more,
// that is not known: a lock takes no grant away.
func (e Expected) Gone() []string {
	if e.Answer != Allowed || len(e.Named) == 0 {
		return nil
	}
	var gone []string
	for _, g := range e.Grants {
		if !containsFold(e.Named, g) {
			gone = append(gone, g)
		}
	}
	if len(gone) < len(e.Grants) && !e.Whole {
		return nil // one of them is named, and the others were not asked for
	}
	return gone
}

// Verdict is what the last answer says of the expectation.
func (e Expected) Verdict() Verdict {
	switch {
	case e.Answer == Forbidden, len(e.Gone()) > 0:
		return Broken
	case e.Answer == Allowed:
		return Upheld
	}
	return Unknown
}

// Note takes in what a cloud answered at the given time. The zero value learns what it is told first; after that what is
// relied on changes by a person's word only, or when it was lost, which was told, and given back in another form.
func (e Expected) Note(renewer string, a Access, at time.Time) Expected {
	fresh := Expected{Renewer: renewer, Identity: a.Identity, Action: a.Action, Scope: a.Scope}
	if e.Learned.IsZero() || !strings.EqualFold(e.Identity, a.Identity) {
		e = fresh // another identity is another expectation
	}
	if at.Before(e.Asked) {
		return e
	}
	lost := e.Answer == Forbidden
	e.Asked, e.Answer, e.Named, e.Whole = at, a.Answer, nil, false
	if a.Answer != Allowed {
		return e
	}
	e.Named, e.Whole = slices.Clone(a.Grants), a.Whole
	gone := e.Gone()
	if e.Learned.IsZero() || lost && len(gone) > 0 || len(e.Grants) == 0 && len(e.Named) > 0 {
		e.Grants, e.Learned, e.By, e.Reason = slices.Clone(a.Grants), at, "", ""
		gone = nil
	}
	if len(gone) == 0 || len(gone) < len(e.Grants) {
		e.Held = at
	}
	return e
}

// Accept makes what the cloud named last the thing to rely on. ok is false when there is nothing to accept: what is
// expected is there, or nothing is allowed.
func (e Expected) Accept(who, reason string, at time.Time) (_ Expected, ok bool) {
	if len(e.Gone()) == 0 {
		return e, false
	}
	e.Grants, e.Learned, e.By, e.Reason, e.Held = slices.Clone(e.Named), at, who, reason, e.Asked
	return e, true
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) })
}
