package iac

import (
	"regexp"
	"slices"
	"strings"
)

// relocation is that cert-manager's release runs as another service account after the plan.
type relocation struct {
	was, will   object
	from, to    *Side
	namespace   string // that it leaves; empty when it stays there
	destination string
}

// relocations lists where cert-manager goes to, by its release's values on both sides.
func (j *judge) relocations() []relocation {
	return once(j.beforeSt, "relocations", func() (out []relocation) {
		for _, r := range j.beforeSt.Of("helm_release") {
			next := j.beforeSt.successor(r)
			if next == nil || chart(r) != "cert-manager" || !isRenewerChart(next) {
				continue
			}
			v, w := valuesOf(r), valuesOf(next)
			m := relocation{was: accountOf(r, v), will: accountOf(next, w), from: r, to: next}
			if v.vague || w.vague || m.was == m.will || !next.Known("name") || !next.Known("namespace") {
				continue
			}
			if a, b := releaseObject(r).namespace, releaseObject(next).namespace; a != b {
				m.namespace, m.destination = a, b
			}
			out = append(out, m)
		}
		return out
	})
}

// names reports whether a trust is one in a service account.
func (o object) named(t *Tie) bool {
	for _, m := range subjectName.FindAllStringSubmatch(lower(t.said()), -1) {
		if m[1]+m[3]+m[5] == o.namespace && m[2]+m[4]+m[6] == o.name {
			return true
		}
	}
	return strings.Contains(lower(t.Scope.String()), "/system/serviceaccount/"+o.namespace+"/"+o.name)
}

// rewritten is what a trust is compared by, in the place of one service account another one.
func (m relocation) rewritten(t *Tie) string {
	s := lower(t.Principal + "\n" + t.Scope.String() + "\n" + t.Condition)
	for _, sep := range []string{":", "/"} {
		s = regexp.MustCompile(`\b`+regexp.QuoteMeta(m.was.namespace+sep+m.was.name)+`\b`).ReplaceAllString(s, m.will.namespace+sep+m.will.name)
	}
	return strings.ReplaceAll(s, "/ns/"+m.was.namespace+"/sa/"+m.was.name, "/ns/"+m.will.namespace+"/sa/"+m.will.name)
}

// handedOn finds the trust in the new service account that a trust in the old one becomes.
func (j *judge) handedOn(t *Tie) (m relocation, to *Tie) {
	if t.Kind != KindTrust {
		return m, nil
	}
	for _, m := range j.relocations() {
		if t.From.Change == m.from.Change || !m.was.named(t) {
			continue
		}
		want := m.rewritten(t)
		for _, u := range j.will[t.key()] {
			if len(u.Unknown) == 0 && u.Doubt == "" && lower(u.Principal+"\n"+u.Scope.String()+"\n"+u.Condition) == want {
				return m, u
			}
		}
	}
	return m, nil
}

// carriedOver reports whether what cert-manager signs in with comes to the namespace that it is made again in: all trusts
// in its service account, and the secrets with which its issuers write challenges. moved are the ties that go there.
func (j *judge) carriedOver(t *Tie) (moved []*Tie, ok bool) {
	for _, m := range j.relocations() {
		if m.from.Change != t.From.Change || m.namespace == "" || valuesOf(m.from).crds() == crdsGo {
			continue
		}
		after := j.beforeSt.other
		for i := range j.before {
			b := &j.before[i]
			switch {
			case b.Kind == KindTrust && !b.Idle && b.From.Change != m.from.Change && m.was.named(b):
				if _, to := j.handedOn(b); to == nil {
					return nil, false
				}
				moved, ok = append(moved, b), true
			case b.Kind == KindSecret || b.Kind == KindSolver:
				if o, is := j.beforeSt.objectOf(b.From); is && (o.kind == "namespace" && o.name == m.namespace && !holdsIssuer(after, m.namespace) || o.kind == "secret" && o.namespace == m.namespace) {
					moved = append(moved, b)
				}
			}
		}
		for o, needs := range after.needs() {
			// The key of an account is made anew where it may be; all else has to be there.
			if o.namespace != m.destination || !slices.ContainsFunc(needs, func(n need) bool { return !n.account || n.only }) {
				continue
			}
			if !slices.Contains(after.secrets(), o) {
				return nil, false
			}
			ok = true
		}
		return moved, ok
	}
	return nil, false
}

// holdsIssuer reports whether an issuer is in a namespace, which goes with it.
func holdsIssuer(s *State, namespace string) bool {
	return slices.ContainsFunc(s.papers(), func(p paper) bool { return p.namespace == namespace })
}

// carriedWords say what becomes of a release that goes to another namespace with what it signs in with.
func carriedWords(t *Tie, f fate) string {
	with := make([]*Change, 0, len(f.moved))
	for _, m := range f.moved {
		if m.From.Change.Do != Delete {
			with = append(with, m.From.Change)
		}
	}
	s := thing(t) + " is destroyed, and made again in the " + f.anew.At
	if len(with) > 0 {
		s += ", and what it signs in with follows (" + addresses(with) + ")"
	}
	return s + ". Secrets of the " + t.At + " do not move: the key of its account at the authority, and credentials that nothing in this plan makes"
}
