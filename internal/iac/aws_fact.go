package iac

import (
	"regexp"
	"slices"
	"strings"
)

// awsFacts is what one side of a plan says of Amazon as a whole.
type awsFacts struct {
	grants  []awsGrant
	reads   map[awsWho]*awsReads
	readBy  map[awsWho][]awsReader // by whom, for the side on which a reading is lost
	revoked map[string]*Side
	shown   map[awsWho]string // names in their own spelling
}

type awsReader struct {
	reads awsReads
	chain []*Side
}

func (s *State) awsFacts() *awsFacts {
	return once(s, "aws facts", func() *awsFacts {
		f := &awsFacts{reads: map[awsWho]*awsReads{}, readBy: map[awsWho][]awsReader{}, shown: map[awsWho]string{}}
		bound := s.awsBound()
		bindings := slices.Concat(bound.list, s.awsUnheld())
		f.revoked = bound.revoked
		for i := range bindings {
			b := &bindings[i]
			list, reads := s.awsAllowed(b)
			if f.reads[b.who] == nil {
				f.reads[b.who] = &awsReads{}
			}
			f.reads[b.who].add(reads)
			f.readBy[b.who] = append(f.readBy[b.who], awsReader{reads, b.chain})
			f.grants = append(f.grants, list...)
		}
		for _, k := range awsNames {
			for _, r := range s.Of("aws_iam_" + k) {
				f.shown[s.awsSelf(r)] = r.Text("name")
			}
		}
		return f
	})
}

// awsBound are the bindings of a side.
func (s *State) awsBound() *awsBinds {
	return once(s, "aws bindings", func() *awsBinds {
		list, revoked := s.awsBindings()
		return &awsBinds{list, revoked}
	})
}

type awsBinds struct {
	list    []awsBinding
	revoked map[string]*Side
}

// awsUnheld are policies that the plan holds without anybody who holds them: they are attached elsewhere, if at all.
func (s *State) awsUnheld() (out []awsBinding) {
	held := map[*Change]bool{}
	for _, st := range s.sides() {
		for _, b := range st.awsBound().list {
			for _, r := range b.chain {
				held[r.Change] = true
			}
		}
		for _, k := range awsKinds[:2] {
			for _, r := range st.Of("aws_iam_" + k) { // what limits grants nothing
				if p := st.awsIndex()["aws_iam_policy "+lower(r.Text("permissions_boundary"))]; p != nil {
					held[p.Change] = true
				}
				if p := st.referred(r, "permissions_boundary", "aws_iam_policy"); p != nil {
					held[p.Change] = true
				}
			}
		}
	}
	for _, p := range s.Of("aws_iam_policy") {
		if held[p.Change] || p.Text("name") == "" {
			continue
		}
		b := s.awsOf(p)
		b.who = s.awsSelf(p)
		out = append(out, b)
	}
	return out
}

// awsAllowed is what a binding allows and denies, within the identity's permissions boundary.
func (s *State) awsAllowed(b *awsBinding) (list []awsGrant, reads awsReads) {
	switch b.status {
	case awsUnknown:
		list = []awsGrant{{rights: RightWrite | RightDelete, zone: "*", unknown: true}}
	case awsAbsent:
		list = []awsGrant{{rights: RightWrite | RightDelete, zone: "*", doubt: "the plan does not hold the policy " + b.name}}
	default:
		list, reads = b.doc.grants()
	}
	for i := range list {
		g := &list[i]
		g.who, g.chain, g.binding = b.who, b.chain, b
		g.unknown = g.unknown || b.unlisted
	}
	r := s.awsIdentity(b.who)
	if r == nil || b.who.kind == "group" || b.who.kind == "policy" {
		return list, reads
	}
	arn, known := r.Text("permissions_boundary"), r.Known("permissions_boundary")
	if known && arn == "" {
		return list, reads
	}
	boundary := s.awsManaged(r, "permissions_boundary")
	switch {
	case boundary.status == awsUnknown:
		for i := range list {
			list[i].unbounded = true
		}
	case boundary.status == awsAbsent, len(boundary.doc) == 0:
		for i := range list {
			list[i].conds = append(slices.Clone(list[i].conds), awsCondition{"within", "permissions boundary", []string{boundary.policy}})
		}
	default:
		limits, _ := boundary.doc.grants()
		from := r
		if len(boundary.chain) > 0 {
			from = boundary.chain[0]
		}
		var out []awsGrant
		for _, g := range list {
			if g.deny || g.unknown || g.doubt != "" {
				out = append(out, g)
				continue
			}
			out = append(out, g.within(limits, from)...)
		}
		for _, l := range limits {
			if l.deny && slices.ContainsFunc(out, func(g awsGrant) bool { return !g.deny && g.overlaps(&l) }) {
				l.who, l.chain, l.binding = b.who, []*Side{from, r}, &boundary
				out = append(out, l)
			}
		}
		list = out
	}
	return list, reads
}

// Names of identities, and of workloads that act as them, that renew certificates; and of those that write DNS for
// something else.
var (
	awsRenewer = regexp.MustCompile(`(?i)cert-?_?manager|certbot|acme[-_.]?(sh|dns|challenge|client)|_acme|lets-?_?encrypt|dns-?_?01|traefik|caddy|\blego\b|renew`)
	awsOther   = regexp.MustCompile(`(?i)external-?_?dns|cluster-?autoscaler|load-?balancer-?controller`)
)

// What is to be made of an identity.
type awsWeight int

const (
	awsNothing  awsWeight = iota // nothing in the plan shows that it writes DNS
	awsDoubtful                  // it may, by a right to everything or a policy that is not in the plan
	awsFirm
)

// awsWeights weighs identities by what they may do on either side of the plan, and why one is doubtful.
func (s *State) awsWeights() map[awsWho]awsWeight {
	return once(s, "aws weights", func() map[awsWho]awsWeight {
		out := map[awsWho]awsWeight{}
		for _, st := range s.sides() {
			for _, g := range st.awsFacts().grants {
				if g.deny || g.unknown {
					continue
				}
				w := awsFirm
				if s.awsDoubt(&g) != "" {
					w = awsDoubtful
				}
				if g.doubt != "" && !s.awsHints(&g) {
					w = awsNothing
				}
				out[g.who] = max(out[g.who], w)
			}
		}
		for _, st := range s.sides() {
			for _, a := range st.awsAssumes() {
				targets := s.awsTargets(a.target)
				if len(targets) == 0 && s.awsRenews(a.who) || slices.ContainsFunc(targets, func(w awsWho) bool { return out[w] == awsFirm }) {
					out[a.who] = awsFirm // it goes on as somebody who writes
				}
			}
		}
		return out
	})
}

// awsHints reports whether the name of an identity, of what acts as it, or of its policy speaks of renewing, or of DNS.
func (s *State) awsHints(g *awsGrant) bool {
	return awsRenewer.MatchString(g.binding.name) || strings.Contains(lower(g.binding.name), "route53") || s.awsRenews(g.who)
}

// awsRenews reports whether an identity is called like a renewer, or something called so may act as it.
func (s *State) awsRenews(who awsWho) bool {
	seen := once(s, "aws renewers", func() map[awsWho]bool { return map[awsWho]bool{} })
	is, ok := seen[who]
	if !ok {
		is = s.awsCalled(who, awsRenewer)
		seen[who] = is
	}
	return is
}

func (s *State) awsCalled(who awsWho, like *regexp.Regexp) bool {
	if like.MatchString(who.name) {
		return true
	}
	for _, st := range s.sides() {
		for _, w := range st.awsActors()[who] {
			if like.MatchString(w) {
				return true
			}
		}
	}
	return false
}

// awsDoubt is why nobody can tell from the plan whether renewal rests on a grant.
func (s *State) awsDoubt(g *awsGrant) string {
	renews := s.awsRenews(g.who)
	switch {
	case g.doubt != "":
		return g.doubt
	case g.broad && !renews:
		return "it is a right to everything, and nothing in the plan shows that certificates are renewed by it"
	case !renews && g.who.kind == "policy":
		return "the plan does not show who holds it"
	case !renews && s.awsCalled(g.who, awsOther):
		return "it is called like something that writes DNS records for other ends"
	}
	return ""
}

// overlaps reports whether two grants may speak of the same record.
func (g *awsGrant) overlaps(h *awsGrant) bool {
	return (glob(g.zone, h.zone) || glob(h.zone, g.zone)) && (g.name == "" || h.name == "" || glob(g.name, h.name) || glob(h.name, g.name))
}
