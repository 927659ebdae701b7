package iac

import (
	"slices"
	"strings"
)

// What a plan knows of a policy.
type awsStatus int

const (
	awsKnown   awsStatus = iota
	awsUnknown           // it is in the plan, and known only after the apply
	awsAbsent            // it is not in the plan
)

// awsBinding is that a policy applies to an identity.
type awsBinding struct {
	who      awsWho // its name is empty when the plan does not know it
	doc      awsDocument
	status   awsStatus
	policy   string // its ARN, or the name of an inline policy
	name     string // for people
	inline   bool
	chain    []*Side // what makes it: the attachment first
	via      awsWho  // the group
	members  []awsWho
	sole     bool // nobody but the members keeps the policy
	unlisted bool // an exclusive list may or may not name it
}

// id is what IAM tells such bindings apart by.
func (b *awsBinding) id() string {
	if b.inline {
		return b.who.name + ":" + b.policy
	}
	return b.who.name + "/" + b.policy
}

// awsBindings lists which policies apply to whom on one side, and what this side's exclusive lists have taken away.
func (s *State) awsBindings() (list []awsBinding, revoked map[string]*Side) {
	was := s
	if s.After && s.other != nil {
		was = s.other
	}
	owned := map[string]bool{} // bindings that resources of their own have made
	for _, k := range awsKinds {
		for _, r := range was.Of("aws_iam_" + k + "_policy_attachment") {
			owned[lower(k+"/"+r.Text(k)+"/"+r.Text("policy_arn"))] = true
		}
		for _, r := range was.Of("aws_iam_" + k + "_policy") {
			owned[lower(k+":"+r.Text(k)+":"+r.Text("name"))] = true
		}
		for _, r := range was.Of("aws_iam_policy_attachment") {
			for _, n := range r.Texts(k + "s") {
				owned[lower(k+"/"+n+"/"+r.Text("policy_arn"))] = true
			}
		}
	}
	for _, k := range awsKinds {
		for _, r := range s.Of("aws_iam_" + k + "_policy_attachment") {
			b := s.awsManaged(r, "policy_arn")
			b.who = s.awsHolder(r, k, k)
			b.chain = append([]*Side{r}, b.chain...)
			list = append(list, b)
		}
		for _, r := range s.Of("aws_iam_" + k + "_policy") {
			b := awsInline(r.Text("name"), r, "policy")
			b.who = s.awsHolder(r, k, k)
			b.chain = []*Side{r}
			list = append(list, b)
		}
	}
	for _, r := range s.Of("aws_iam_policy_attachment") {
		var members []awsWho
		for _, k := range awsKinds {
			for _, n := range r.Texts(k + "s") {
				members = append(members, s.awsBy(r, k, n))
			}
			if !r.Known(k + "s") {
				members = append(members, s.awsHolder(r, k, k+"s"))
			}
		}
		for _, m := range members {
			b := s.awsManaged(r, "policy_arn")
			b.who, b.members, b.sole = m, members, true
			if len(b.chain) > 0 && b.chain[0].Change.Do == Create {
				b.sole = false // of a policy that is new nobody loses anything
			}
			b.chain = append([]*Side{r}, b.chain...)
			list = append(list, b)
		}
	}
	for _, r := range s.Of("aws_iam_role") {
		list = append(list, s.awsOwn(r, owned)...)
	}
	for i := range list {
		if r := s.awsIdentity(list[i].who); r != nil && !slices.Contains(list[i].chain, r) {
			list[i].chain = append(list[i].chain, r)
		}
	}
	list, revoked = s.awsRevoke(list)
	return append(list, s.awsMembers(list)...), revoked
}

// awsOwn are the policies that a role's own attributes list. Both are computed where the code does not set them, and then
// show what other resources have attached.
func (s *State) awsOwn(r *Side, owned map[string]bool) (list []awsBinding) {
	who := s.awsSelf(r)
	for i := range r.Len("inline_policy") {
		n := r.Text("inline_policy", i, "name")
		if owned[lower("role:"+r.Text("name")+":"+n)] {
			continue
		}
		if b := awsInline(n, r, "inline_policy", i, "policy"); n != "" {
			b.who, b.chain = who, []*Side{r}
			list = append(list, b)
		}
	}
	arns := r.Texts("managed_policy_arns")
	for _, arn := range arns {
		if !owned[lower("role/"+r.Text("name")+"/"+arn)] {
			b := s.awsPolicy(arn)
			b.who, b.chain = who, append([]*Side{r}, b.chain...)
			list = append(list, b)
		}
	}
	for _, a := range []string{"managed_policy_arns", "inline_policy"} {
		if !r.Known(a) && len(r.Change.Refers[a]) > 0 {
			b := awsBinding{status: awsUnknown, name: a}
			if p := s.referred(r, a, "aws_iam_policy"); p != nil && len(r.Change.Refers[a]) <= 2 {
				b = s.awsOf(p)
			}
			b.who, b.chain = who, append([]*Side{r}, b.chain...)
			list = append(list, b)
		}
	}
	return list
}

func awsInline(name string, r *Side, path ...any) awsBinding {
	b := awsBinding{policy: name, name: name, inline: true}
	v, known := r.Get(path...)
	if b.doc, known = awsRead(text(v), known); !known {
		b.status = awsUnknown
	}
	return b
}

func awsRead(text string, known bool) (awsDocument, bool) {
	if !known {
		return nil, false
	}
	return readPolicy(text)
}

// awsOf is the policy of a resource aws_iam_policy.
func (s *State) awsOf(p *Side) awsBinding {
	b := awsBinding{policy: p.Text("arn"), name: p.Text("name"), chain: []*Side{p}}
	if b.policy == "" && b.name != "" && s.other != nil { // one of this name was there before: it has the same ARN
		if old := s.other.awsIndex()["named aws_iam_policy "+lower(awsPath(p))]; old != nil {
			b.policy = old.Text("arn")
		}
	}
	v, known := p.Get("policy")
	if b.doc, known = awsRead(text(v), known); !known {
		b.status = awsUnknown
	}
	return b
}

// awsManaged finds the policy that an attachment names by its ARN, or through the code where the ARN is not known yet.
func (s *State) awsManaged(r *Side, attribute string) awsBinding {
	arn, known := r.Text(attribute), r.Known(attribute)
	if known {
		return s.awsPolicy(arn)
	}
	if p := s.referred(r, attribute, "aws_iam_policy"); p != nil {
		return s.awsOf(p)
	}
	if c := r.Change; c.Before != nil && s.other != nil {
		if old := s.other.awsIndex()["aws_iam_policy "+lower(text(c.Before[attribute]))]; old != nil {
			for _, p := range s.Of("aws_iam_policy") {
				if p.Change == old.Change { // replaced together with its policy
					return s.awsOf(p)
				}
			}
		}
	}
	if attribute != "policy_arn" {
		return awsBinding{status: awsUnknown, name: "a policy that the plan does not know yet"}
	}
	// Without the configuration: the only policy of the module that is called like the attachment.
	var one *Side
	for _, p := range s.Of("aws_iam_policy") {
		_, key := instance(p.Address())
		if _, k := instance(r.Address()); p.Change.Module == r.Change.Module && resourceName(p.Address()) == resourceName(r.Address()) && k == key {
			one = p
		}
	}
	if one != nil {
		return s.awsOf(one)
	}
	return awsBinding{status: awsUnknown, name: "a policy that the plan does not know yet"}
}

// awsPolicy finds a policy by its ARN.
func (s *State) awsPolicy(arn string) awsBinding {
	if p := s.awsIndex()["aws_iam_policy "+lower(arn)]; p != nil {
		return s.awsOf(p)
	}
	if _, path, ok := strings.Cut(arn, ":policy/"); ok { // made in this plan, so that its ARN is not known yet
		if p := s.awsIndex()["new aws_iam_policy /"+lower(path)]; p != nil {
			b := s.awsOf(p)
			b.policy = arn
			return b
		}
	}
	b := awsBinding{policy: arn, name: arn[strings.LastIndex(arn, "/")+1:]}
	if _, owner, ok := strings.Cut(arn, ":iam::"); ok && strings.HasPrefix(owner, "aws:") {
		if doc, ok := awsTheirs[b.name]; ok {
			b.doc, _ = readPolicy(doc)
		}
		return b
	}
	if s.other != nil && s.other.awsIndex()["aws_iam_policy "+lower(arn)] != nil {
		return b // destroyed: it allows nothing
	}
	b.status = awsAbsent
	return b
}

// awsTheirs are AWS's own policies that may change TXT records, or read them, as documents that say this of Route 53 and
// nothing else. Those that AWS keeps for single services are left out.
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/policy-list.html
var awsTheirs = map[string]string{
	"AdministratorAccess":                     `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
	"PowerUserAccess":                         `{"Statement":{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"}}`,
	"AmazonRoute53FullAccess":                 `{"Statement":{"Effect":"Allow","Action":"route53:*","Resource":"*"}}`,
	"NetworkAdministrator":                    `{"Statement":{"Effect":"Allow","Action":"route53:*","Resource":"*"}}`,
	"AmazonRoute53AutoNamingFullAccess":       awsNaming,
	"AmazonRoute53AutoNamingRegistrantAccess": awsNaming,
	"AWSCloudMapFullAccess":                   awsNaming,
	"AWSCloudMapRegisterInstanceAccess":       awsNaming,
	"AmazonRoute53ReadOnlyAccess":             `{"Statement":{"Effect":"Allow","Action":["route53:Get*","route53:List*"],"Resource":"*"}}`,
	"ReadOnlyAccess":                          `{"Statement":{"Effect":"Allow","Action":["route53:Get*","route53:List*"],"Resource":"*"}}`,
}

const awsNaming = `{"Statement":{"Effect":"Allow","Action":["route53:ChangeResourceRecordSets","route53:ListHostedZonesByName"],"Resource":"*"}}`

// awsPath is the path and the name of a policy, as in its ARN; empty when the plan does not know them.
func awsPath(p *Side) string {
	if p.Text("name") == "" {
		return ""
	}
	return orElse(p.Text("path"), "/") + p.Text("name")
}

// awsMembers gives users what their groups hold.
func (s *State) awsMembers(list []awsBinding) (out []awsBinding) {
	add := func(group, user string, r *Side) {
		for _, b := range list {
			if group != "" && user != "" && b.who == s.awsBy(r, "group", group) {
				b.via, b.who = b.who, s.awsBy(r, "user", user)
				b.members, b.sole = nil, false
				b.chain = append([]*Side{r}, b.chain...)
				if u := s.awsIdentity(b.who); u != nil {
					b.chain = append(b.chain, u)
				}
				out = append(out, b)
			}
		}
	}
	for _, r := range s.Of("aws_iam_user_group_membership") {
		for _, g := range r.Texts("groups") {
			add(g, r.Text("user"), r)
		}
	}
	for _, r := range s.Of("aws_iam_group_membership") {
		for _, u := range r.Texts("users") {
			add(r.Text("group"), u, r)
		}
	}
	return out
}
