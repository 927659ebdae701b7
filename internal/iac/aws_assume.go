package iac

import (
	"maps"
	"slices"
	"strings"
)

// awsAssume is that an identity may go on to act as a role, as where one account holds the cluster and another one the zones.
type awsAssume struct {
	who    awsWho
	target string // pattern of ARNs, in lower case
	chain  []*Side
	// unknown ones are those of a document that the plan does not know, told after what the identity could before.
	unknown bool
}

// assumes are the roles that a document lets its holder act as. A right to act as everybody names nobody.
func (d awsDocument) assumes() (out []string) {
	for i := range d {
		s := &d[i]
		if hit, _ := s.does("sts:assumerole"); !hit || s.deny || s.notResource {
			continue
		}
		for _, r := range s.resources {
			if strings.Contains(r, ":role/") && !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// awsAssumes lists who may go on as whom on a side.
func (s *State) awsAssumes() []awsAssume {
	return once(s, "aws assumes", func() (out []awsAssume) {
		for _, b := range s.awsBound().list {
			for _, r := range b.doc.assumes() {
				out = append(out, awsAssume{who: b.who, target: r, chain: b.chain})
			}
			if b.status != awsUnknown || !s.After || s.other == nil {
				continue
			}
			for _, a := range s.other.awsAssumes() {
				if a.who == b.who {
					out = append(out, awsAssume{who: b.who, target: a.target, chain: b.chain, unknown: true})
				}
			}
		}
		return out
	})
}

// awsTargets are the roles of the plan that a pattern names.
func (s *State) awsTargets(pattern string) (out []awsWho) {
	roles := once(s, "aws roles", func() map[string]awsWho {
		out := map[string]awsWho{}
		for _, st := range s.sides() {
			for _, r := range st.Of("aws_iam_role") {
				if who := s.awsSelf(r); who.name != "" {
					out[lower(s.awsNamed(who))] = who
				}
			}
		}
		return out
	})
	if !strings.ContainsAny(pattern, "*?") {
		if who, ok := roles[pattern]; ok {
			out = append(out, who)
		}
		return out
	}
	for _, arn := range slices.Sorted(maps.Keys(roles)) {
		if glob(pattern, arn) {
			out = append(out, roles[arn])
		}
	}
	return out
}

// awsAssumeTies are the ties of all that may go on as somebody who writes challenges, by the resources they are told of.
func (s *State) awsAssumeTies() map[*Side][]Tie {
	return once(s, "aws assume ties", func() map[*Side][]Tie {
		out := map[*Side][]Tie{}
		for _, a := range s.awsAssumes() {
			if s.awsWeights()[a.who] != awsFirm {
				continue
			}
			from := culprit(a.chain)
			tie := Tie{
				Kind: KindTrust, Permission: "sts:AssumeRole", Scope: Path{"assumed by", s.awsNamed(a.who)}, At: s.awsNamed(a.who),
				Effect: s.awsCalledFor(a.who) + " can no longer act as it", Object: "assume " + s.awsNamed(a.who) + " " + a.target,
			}
			if a.unknown {
				tie.Unknown = []Part{PartScope}
			}
			targets := s.awsTargets(a.target)
			for _, w := range targets {
				if s.awsWeights()[w] == awsFirm && w != a.who {
					t := tie
					t.Principal, t.Who, t.Also = s.awsNamed(w), s.awsCalledFor(w), append(s.awsAlso(w), s.awsNamed(a.who))
					out[from] = append(out[from], t)
				}
			}
			if len(targets) == 0 && s.awsRenews(a.who) {
				t := tie
				t.Principal, t.Who, t.Also = a.target, "the role "+a.target[strings.LastIndex(a.target, "/")+1:], []string{s.awsNamed(a.who)}
				out[from] = append(out[from], t)
			}
		}
		return out
	})
}
