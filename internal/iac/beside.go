package iac

import (
	"slices"
	"strings"
)

// beside finds somebody else whom the plan itself shows to renew wherever the identity of a tie may write challenges, and
// who goes on doing so, while nothing shows that this one renews: the principal of a pipeline, a group of administrators.
// Nil where there is nobody, or where the identity has a sign of renewing.
func (j *judge) beside(t *Tie) *Tie {
	if t.Principal == "" || t.Kind != KindIdentity && !bound(t.Kind) || len(j.perhaps(t)) > 0 || j.signs(t) {
		return nil
	}
	if t.Kind == KindGrant {
		return j.renewsFor(t)
	}
	var found *Tie
	for _, g := range j.was[string(KindGrant)+"\x00"+lower(t.Principal)] {
		if g.Doubt != "" || g.Idle {
			continue
		}
		if found = j.renewsFor(g); found == nil {
			return nil
		}
	}
	return found
}

// renewsFor finds a grant of somebody who is seen to renew where g holds: on all of it, or on every zone that the plan shows
// in it.
func (j *judge) renewsFor(g *Tie) *Tie {
	for i := range j.after {
		u := &j.after[i]
		if u.Kind != KindGrant || u.Doubt != "" || u.Idle || u.Rights&RightWrite == 0 || alike(u.Principal, g.Principal) || alike(u.Principal, g.Via) || !j.stays(u) || !j.renews(u) {
			continue
		}
		if u.Scope.Covers(g.Scope) || j.shown(&Tie{Scope: g.Scope, From: g.From, Rights: RightWrite}, []*Tie{u}) {
			return u
		}
	}
	return nil
}

// renews reports whether the plan shows, on its side after, that whoever holds a grant renews certificates: what is called
// like a renewer may act as it or has its secret, or an issuer names it.
func (j *judge) renews(g *Tie) bool {
	key := lower(g.Principal)
	if is, ok := j.renewing[key]; ok {
		return is
	}
	names := append([]string{g.Principal}, g.Also...)
	is := strings.HasPrefix(g.From.Change.Type, "cloudflare_") && renewerWord(g.Who) || // a token is its own secret
		(strings.Contains(key, "/ns/") || strings.Contains(key, ".svc.id.goog[")) && renewerWord(key) // a workload itself
	for i := range j.after {
		u := &j.after[i]
		if is || u.Idle || u.Kind != KindTrust && u.Kind != KindCredential {
			continue
		}
		switch {
		case u.Kind == KindCredential:
			is = alike(u.Principal, g.Principal) && renewerWord(u.Who)
		case alike(u.Principal, g.Principal):
			is = renewerWord(u.said())
		case strings.HasPrefix(u.Principal, "system:serviceaccount:"):
			is = renewerWord(u.Principal) && slices.ContainsFunc(u.Also, func(a string) bool { return has(names, a) })
		}
	}
	if j.renewing == nil {
		j.renewing = map[string]bool{}
	}
	j.renewing[key] = is || j.issued(j.beforeSt.other, names)
	return j.renewing[key]
}

// signs reports whether anything in the plan, before it, speaks for it that an identity renews: its name, a workload or a
// machine that acts as it, a secret of its own, an issuer that names it. Members of a group speak for the group.
func (j *judge) signs(t *Tie) bool {
	names := append([]string{t.Principal}, t.Also...)
	if renewerWord(t.Who) || renewerName(t.Who) || slices.ContainsFunc(names, renewerWord) || renewerWord(t.From.Change.Address) || renewerWord(t.said()) || j.issued(j.beforeSt, names) {
		return true
	}
	for i := range j.before {
		u := &j.before[i]
		if u.Kind == KindTrust && strings.HasPrefix(u.Principal, "system:serviceaccount:") && slices.ContainsFunc(u.Also, func(a string) bool { return has(names, a) }) {
			return true
		}
		if u.Via != "" && alike(u.Via, t.Principal) && t.Via == "" && j.signs(u) {
			return true
		}
		if !slices.ContainsFunc(names, func(n string) bool { return alike(n, u.Principal) }) {
			continue
		}
		if u.Kind == KindCredential || renewerWord(u.Who) || u.Kind == KindTrust && runs(u) {
			return true
		}
	}
	return false
}

// runs reports whether a trust is in something that runs all the time, a workload in a cluster or a machine, and not in a
// pipeline or a person.
func runs(t *Tie) bool {
	s := lower(t.said())
	return slices.ContainsFunc([]string{"serviceaccount", "service account", "instance profile", "amazonaws.com", ".svc.id.goog", "/ns/", "pod identity", "add-on"}, func(w string) bool { return strings.Contains(s, w) }) &&
		!strings.Contains(s, "token.actions.githubusercontent.com") || renewerWord(s)
}

// issued reports whether an issuer of a side names one of several ids.
func (j *judge) issued(st *State, ids []string) bool {
	return st != nil && slices.ContainsFunc(ids, func(id string) bool { return len(id) >= 8 && st.issuedAs(id) })
}

// said is all that a tie says of who acts, for looking for words in it.
func (t *Tie) said() string {
	s := strings.Join([]string{t.At, t.Condition, t.Permission, t.Scope.String()}, " ")
	if t.Kind == KindTrust { // whose effect names the workload; those of others say what renewal is
		s += " " + t.Effect
	}
	return s
}

// renewerWord reports whether a text has the name of a renewer in it.
func renewerWord(s string) bool { return renewerSpace(s) || awsRenewer.MatchString(s) }
