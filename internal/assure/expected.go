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
	// Learned is since when that is expected. By and Reason are of the person who accepted it, or the plan ("plan" and the
	// first digits of its digest) and the address of a resource that it made, or took away ("without"); empty when it was learned from the cloud.
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
	// Missing is what applied plans were to make for it and the cloud does not name.
	Missing []Unmade `json:"missing,omitempty"`
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
	case e.Answer == Forbidden, len(e.Gone()) > 0, e.Answer == Allowed && len(e.Missing) > 0:
		return Broken
	case e.Answer == Allowed:
		return Upheld
	}
	return Unknown
}

// NoteAccess takes in what a cloud answered at the given time about actions of a renewer: was holds what is expected of
// each, the zero value where nothing is. What is relied on changes by a person's word only, or when something at its scope
// was lost, which was told, and given back in another form: a grant that is made again has another id.
func NoteAccess(was []Expected, renewer string, list []Access, at time.Time) []Expected {
	out := make([]Expected, len(list))
	var mended []string
	for i, a := range list {
		out[i] = was[i].Note(renewer, a, at)
		if was[i].Answer == Forbidden && out[i].Answer == Allowed {
			mended = append(mended, a.Scope)
		}
	}
	for i := range out {
		if e := &out[i]; len(e.Gone()) > 0 && containsFold(mended, e.Scope) {
			e.Grants, e.Learned, e.By, e.Reason, e.Held = slices.Clone(e.Named), at, "", "", at
		}
	}
	return out
}

// AcceptAll accepts for all that is expected of one renewer, and returns what was changed by it. Where something is not
// allowed any more, nothing at the same scope is accepted: that is a loss, and not another way to hold the permission.
func AcceptAll(list []Expected, who, reason string, at time.Time) (changed []Expected) {
	var lost []string
	for _, e := range list {
		if e.Answer == Forbidden {
			lost = append(lost, e.Scope)
		}
	}
	for _, e := range list {
		if now, ok := e.Accept(who, reason, at); ok && !containsFold(lost, e.Scope) {
			changed = append(changed, now)
		}
	}
	return changed
}

// Note takes in one answer: see [NoteAccess]. The zero value learns what it is told first.
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

// Accept makes what the cloud named last the thing to rely on, and what plans were to make nothing to wait for. ok is
// false when there is nothing to accept: what is expected is there, or nothing is allowed.
func (e Expected) Accept(who, reason string, at time.Time) (_ Expected, ok bool) {
	gone := len(e.Gone()) > 0
	if !gone && (e.Answer != Allowed || len(e.Missing) == 0) {
		return e, false
	}
	if gone {
		e.Grants, e.Held = slices.Clone(e.Named), e.Asked
	}
	e.Learned, e.By, e.Reason, e.Missing = at, who, reason, nil
	return e, true
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) })
}
