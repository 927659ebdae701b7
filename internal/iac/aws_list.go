package iac

import (
	"slices"
	"strings"
)

// awsRevoke leaves out what exclusive lists take away on the side after the plan: of a role's own attributes, or of the
// resources that end in _exclusive. Only lists that the plan makes or changes do so: the others have done it before.
func (s *State) awsRevoke(list []awsBinding) (kept []awsBinding, revoked map[string]*Side) {
	revoked = map[string]*Side{}
	if !s.After {
		return list, revoked
	}
	for _, b := range list {
		by := s.awsRevoker(&b)
		if by == nil {
			kept = append(kept, b)
			continue
		}
		revoked[b.who.kind+" "+b.id()] = by
	}
	return kept, revoked
}

func (s *State) awsRevoker(b *awsBinding) *Side {
	made := len(b.chain) > 0 && b.chain[0].Change.Makes()
	attribute := "managed_policy_arns"
	if b.inline {
		attribute = "inline_policy"
	}
	if r := s.awsIdentity(b.who); r != nil && r.Change.Do == Update && r.Known(attribute) && !made && b.chain[0] != r {
		was := &Side{Values: r.Change.Before}
		if slices.Contains(awsListed(was, attribute), b.policy) && !slices.Contains(awsListed(r, attribute), b.policy) {
			return r
		}
	}
	kind, names := "_policy_attachments_exclusive", "policy_arns"
	if b.inline {
		kind, names = "_policies_exclusive", "policy_names"
	}
	for _, x := range s.Of("aws_iam_" + b.who.kind + kind) {
		if x.Change.Do == NoOp || x.Change.Forgets() || b.who.name == "" || s.awsHolder(x, b.who.kind, b.who.kind+"_name") != b.who {
			continue
		}
		switch {
		case !x.Known(names):
			b.unlisted = !s.awsRefers(x, names, b)
		case b.policy == "" && made:
			b.unlisted = true
		case !slices.Contains(x.Texts(names), b.policy):
			return x
		}
	}
	return nil
}

// awsRefers reports whether the code of a list names the policy of a binding.
func (s *State) awsRefers(x *Side, attribute string, b *awsBinding) bool {
	for _, c := range b.chain {
		if q := s.referred(x, attribute, c.Change.Type); q != nil && q.Change == c.Change && c.Change.Type != "aws_iam_"+b.who.kind {
			return true
		}
	}
	return false
}

func awsListed(r *Side, attribute string) (out []string) {
	if attribute == "managed_policy_arns" {
		return r.Texts(attribute)
	}
	for i := range r.Len(attribute) {
		out = append(out, r.Text(attribute, i, "name"))
	}
	return out
}

// awsSole is a list that takes every policy which it does not name from a renewer whose policies the plan does not hold.
func awsSole(s *State, r *Side) []Tie {
	kind, _, _ := strings.Cut(strings.TrimPrefix(r.Change.Type, "aws_iam_"), "_")
	who := s.awsHolder(r, kind, kind+"_name")
	if !s.After || who.name == "" || r.Change.Do == NoOp || r.Change.Forgets() || !s.awsRenews(who) {
		return nil
	}
	for _, st := range s.sides() {
		for _, g := range st.awsFacts().grants {
			if g.who == who && !g.deny {
				return nil // what becomes of that is told of each policy
			}
		}
	}
	before := &Side{Values: r.Change.Before}
	for _, a := range []string{"policy_arns", "policy_names"} {
		if was := before.Texts(a); len(was) > 0 && !slices.ContainsFunc(was, func(p string) bool { return !slices.Contains(r.Texts(a), p) }) {
			return nil // it names what it named before
		}
	}
	return []Tie{{
		Kind: KindBlock, Principal: s.awsNamed(who), Who: s.awsCalledFor(who), Also: s.awsAlso(who), Permission: "the list of all policies of " + s.awsCalledFor(who),
		Condition: strings.Join(append(r.Texts("policy_arns"), r.Texts("policy_names")...), ", "), Object: r.Change.Type + " " + who.name,
		Effect: "every policy that it does not name is taken away", Doubt: "the plan does not show which policies " + s.awsCalledFor(who) + " has today",
		Repair: "Name the policy by which " + s.awsCalledFor(who) + " writes challenge records in " + r.Address() + ", too.",
	}}
}
