package iac

import (
	"regexp"
	"strings"
)

// awsWho is an identity: kind is "role", "user" or "group" (or "policy", for whoever holds it). Names are in lower case:
// IAM takes no two that differ by case alone. The account is empty unless the plan has the name in more than one.
type awsWho struct{ kind, name, account string }

var (
	awsKinds = []string{"role", "user", "group"}
	awsNames = []string{"role", "user", "group", "policy"}
)

// awsAccountIn finds partition and account in an ARN.
var awsAccountIn = regexp.MustCompile(`^arn:(aws[a-z-]*):[a-z0-9-]*:[a-z0-9-]*:(\d{12}):`)

func awsAccountOf(arn string) string {
	if m := awsAccountIn.FindStringSubmatch(arn); m != nil {
		return m[2]
	}
	return ""
}

// awsAccounts are the accounts that have an identity of a kind and a name, on either side of the plan.
func (s *State) awsAccounts() map[awsWho]map[string]bool {
	return once(s, "aws accounts", func() map[awsWho]map[string]bool {
		out := map[awsWho]map[string]bool{}
		for _, st := range s.sides() {
			for _, k := range awsNames {
				for _, r := range st.Of("aws_iam_" + k) {
					who := awsWho{kind: k, name: lower(r.Text("name"))}
					if account := awsAccountOf(r.Text("arn")); account != "" && who.name != "" {
						if out[who] == nil {
							out[who] = map[string]bool{}
						}
						out[who][account] = true
					}
				}
			}
		}
		return out
	})
}

// awsOne adds the account where the name alone is not enough.
func (s *State) awsOne(kind, name string, account func() string) awsWho {
	who := awsWho{kind: kind, name: lower(name)}
	if who.name != "" && len(s.awsAccounts()[who]) > 1 {
		who.account = orElse(account(), "?")
	}
	return who
}

// awsSelf is the identity that a resource is.
func (s *State) awsSelf(r *Side) awsWho {
	return s.awsOne(strings.TrimPrefix(r.Change.Type, "aws_iam_"), r.Text("name"), func() string {
		return awsAccountOf(orElse(r.Text("arn"), text(r.Change.Before["arn"])))
	})
}

// awsByARN is the identity that an ARN names.
func (s *State) awsByARN(kind, arn string) awsWho {
	return s.awsOne(kind, arn[strings.LastIndex(arn, "/")+1:], func() string { return awsAccountOf(arn) })
}

// awsBy is the identity that another resource names by its name alone: of several accounts it is the one of the resource's
// own ARNs, or that which the module has.
func (s *State) awsBy(r *Side, kind, name string) awsWho {
	return s.awsOne(kind, name, func() string {
		for _, a := range []string{"arn", "policy_arn"} {
			if account := awsAccountOf(r.Text(a)); account != "" {
				return account
			}
		}
		found := ""
		for _, st := range s.sides() {
			for _, q := range st.Of("aws_iam_" + kind) {
				account := awsAccountOf(q.Text("arn"))
				if !alike(q.Text("name"), name) || account == "" || q.Change.Module != r.Change.Module {
					continue
				}
				if found != "" && found != account {
					return ""
				}
				found = account
			}
		}
		return found
	})
}

// awsHolder is the identity that an attribute names.
func (s *State) awsHolder(r *Side, kind, attribute string) awsWho {
	if r.Known(attribute) {
		return s.awsBy(r, kind, r.Text(attribute))
	}
	if q := s.referred(r, attribute, "aws_iam_"+kind); q != nil && q.Known("name") {
		return s.awsSelf(q)
	}
	return awsWho{kind: kind}
}

// awsIdentity is the resource of an identity.
func (s *State) awsIdentity(who awsWho) *Side {
	return once(s, "aws identities", func() map[awsWho]*Side {
		out := map[awsWho]*Side{}
		for _, k := range awsKinds {
			for _, r := range s.Of("aws_iam_" + k) {
				if w := s.awsSelf(r); w.name != "" && out[w] == nil && r.Change.Deposed == "" {
					out[w] = r
				}
			}
		}
		return out
	})[who]
}

// awsIndex finds policies by ARN, by path and name, and of those the ones that are made in this plan.
func (s *State) awsIndex() map[string]*Side {
	return once(s, "aws index", func() map[string]*Side {
		out := map[string]*Side{}
		put := func(key, value string, r *Side) {
			key += " " + lower(value)
			if out[key] == nil && value != "" && r.Change.Deposed == "" {
				out[key] = r
			}
		}
		for _, p := range s.Of("aws_iam_policy") {
			put("aws_iam_policy", p.Text("arn"), p)
			put("named aws_iam_policy", awsPath(p), p)
			if p.After && p.Change.Makes() {
				put("new aws_iam_policy", awsPath(p), p)
			}
		}
		return out
	})
}

// awsNamed gives an identity the form by which ties are compared: its ARN, if either side of the plan tells it or the
// account; "role/NAME" otherwise. Both sides give the same.
func (s *State) awsNamed(who awsWho) string {
	type naming struct {
		arns    map[awsWho]string
		account string
	}
	n := once(s, "aws names", func() *naming {
		n := &naming{arns: map[awsWho]string{}}
		states := s.sides()
		if s.After && len(states) == 2 { // the side before has the word: it knows
			states = []*State{states[1], states[0]}
		}
		for _, st := range states {
			for _, k := range awsNames {
				for _, r := range st.Of("aws_iam_" + k) {
					if w := s.awsSelf(r); n.arns[w] == "" {
						n.arns[w] = r.Text("arn")
					}
				}
			}
			for _, r := range st.Resources {
				if !strings.HasPrefix(r.Change.Type, "aws_") {
					continue
				}
				for _, a := range []string{"arn", "policy_arn", "role_arn"} {
					if m := awsAccountIn.FindStringSubmatch(r.Text(a)); m != nil {
						switch account := "arn:" + m[1] + ":iam::" + m[2] + ":"; n.account {
						case "", account:
							n.account = account
						default:
							n.account = "?"
						}
					}
				}
			}
		}
		return n
	})
	switch name := s.awsShown(who); {
	case who.name == "":
		return ""
	case n.arns[who] != "":
		return n.arns[who]
	case who.account != "":
		return who.account + ":" + who.kind + "/" + name
	case n.account != "" && n.account != "?":
		return n.account + who.kind + "/" + name
	default:
		return who.kind + "/" + name
	}
}

// awsShown is the name of an identity in its own spelling.
func (s *State) awsShown(who awsWho) string {
	for _, st := range s.sides() {
		if n := st.awsFacts().shown[who]; n != "" {
			return n
		}
	}
	return who.name
}
