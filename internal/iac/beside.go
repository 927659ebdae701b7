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
	for _, u := range j.renewers() {
		if alike(u.Principal, g.Principal) || alike(u.Principal, g.Via) || !j.stays(u) {
			continue
		}
		if u.Scope.Covers(g.Scope) || j.shown(&Tie{Scope: g.Scope, From: g.From, Rights: RightWrite}, []*Tie{u}) {
			return u
		}
	}
	return nil
}

// renewers are the grants after the plan of those who are seen to renew.
func (j *judge) renewers() []*Tie {
	if j.renewing == nil {
		j.renewing = map[string]bool{}
		for i := range j.after {
			if u := &j.after[i]; u.Kind == KindGrant && u.Doubt == "" && !u.Idle && u.Rights&RightWrite != 0 && j.renews(u) {
				j.renew = append(j.renew, u)
			}
		}
	}
	return j.renew
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
	acts := j.whoActs(&j.actsAfter, j.after)
	for _, u := range acts.as[key] {
		is = is || !u.Idle && (u.Kind == KindCredential && renewerWord(u.Who) || u.Kind == KindTrust && renewerWord(u.said()))
	}
	for _, n := range names {
		is = is || slices.ContainsFunc(acts.accounts(n), func(u *Tie) bool { return !u.Idle && !alike(u.Principal, g.Principal) && renewerWord(u.Principal) })
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
	acts := j.whoActs(&j.actsBefore, j.before)
	if t.Via == "" && slices.ContainsFunc(acts.members[lower(t.Principal)], j.signs) {
		return true
	}
	return slices.ContainsFunc(names, func(n string) bool {
		return len(acts.accounts(n)) > 0 || slices.ContainsFunc(acts.as[lower(n)], func(u *Tie) bool {
			return u.Kind == KindCredential || renewerWord(u.Who) || u.Kind == KindTrust && runs(u)
		})
	})
}

// actors are the ties of one side by whom they are about.
type actors struct {
	as      map[string][]*Tie // all, by principal
	members map[string][]*Tie // what somebody holds as a member, by the group
	other   map[string][]*Tie // trusts in service accounts of a cluster, by each other name they have
}

// accounts are the trusts in service accounts that have a name besides, the whole of it or what stands after its kind.
func (a *actors) accounts(n string) []*Tie {
	_, plain, _ := strings.Cut(n, ":")
	if plain == "" {
		return a.other[lower(n)]
	}
	return slices.Concat(a.other[lower(n)], a.other[lower(plain)])
}

// whoActs indexes the ties of one side the first time it is asked for.
func (j *judge) whoActs(memo **actors, ties []Tie) *actors {
	if *memo != nil {
		return *memo
	}
	a := &actors{as: map[string][]*Tie{}, members: map[string][]*Tie{}, other: map[string][]*Tie{}}
	for i := range ties {
		u := &ties[i]
		a.as[lower(u.Principal)] = append(a.as[lower(u.Principal)], u)
		if u.Via != "" {
			a.members[lower(u.Via)] = append(a.members[lower(u.Via)], u)
		}
		if u.Kind == KindTrust && strings.HasPrefix(u.Principal, "system:serviceaccount:") {
			for _, n := range u.Also {
				a.other[lower(n)] = append(a.other[lower(n)], u)
			}
		}
	}
	*memo = a
	return a
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
