package iac

import (
	"slices"
	"strings"
)

// awsReaders read Amazon: who may change TXT records in Route 53 (identity policies, by whatever they are attached,
// within permissions boundaries), who may act as them (trust policies, OIDC providers, pod identity), and the zones and
// records on the way of a challenge.
//
// A grant comes about by several resources: an attachment, a policy, a role, a group. It is told of the one that the plan
// changes most, so that what is said names what was done.
var awsReaders = map[string]reader{
	"aws_iam_role":                    awsTies,
	"aws_iam_user":                    awsTies,
	"aws_iam_group":                   awsTies,
	"aws_iam_policy":                  awsTies,
	"aws_iam_role_policy":             awsTies,
	"aws_iam_user_policy":             awsTies,
	"aws_iam_group_policy":            awsTies,
	"aws_iam_role_policy_attachment":  awsTies,
	"aws_iam_user_policy_attachment":  awsTies,
	"aws_iam_group_policy_attachment": awsTies,
	"aws_iam_policy_attachment":       awsTies,
	"aws_iam_user_group_membership":   awsTies,
	"aws_iam_group_membership":        awsTies,

	"aws_iam_role_policy_attachments_exclusive":  awsSole,
	"aws_iam_user_policy_attachments_exclusive":  awsSole,
	"aws_iam_group_policy_attachments_exclusive": awsSole,
	"aws_iam_role_policies_exclusive":            awsSole,
	"aws_iam_user_policies_exclusive":            awsSole,
	"aws_iam_group_policies_exclusive":           awsSole,

	"aws_iam_access_key":                   awsKey,
	"aws_iam_instance_profile":             awsProfile,
	"aws_iam_openid_connect_provider":      awsProvider,
	"aws_eks_addon":                        awsAddon,
	"aws_eks_cluster":                      awsCluster,
	"aws_eks_pod_identity_association":     awsAssociation,
	"aws_route53_zone":                     awsHostedZone,
	"aws_acm_certificate":                  nothing, // says what a record validates
	"aws_route53_record":                   awsRecord,
	"aws_route53domains_registered_domain": awsRegistration,
	"aws_route53_key_signing_key":          awsSigning,
	"aws_route53_hosted_zone_dnssec":       awsSigning,

	"aws_secretsmanager_secret_version": nothing, // may carry a credential to whoever renews
	"aws_ssm_parameter":                 nothing,

	"aws_organizations_policy":            awsOrganization,
	"aws_organizations_policy_attachment": awsOrganization,
}

// awsTies are the ties of grants and denials, and those of identities, that are told of r.
func awsTies(s *State, r *Side) []Tie {
	ties := once(s, "aws ties", func() map[*Side][]Tie {
		out := map[*Side][]Tie{}
		own := s.awsFacts()
		was := map[awsWho][]*awsGrant{}
		if s.After && s.other != nil {
			grants := s.other.awsFacts().grants
			for i := range grants {
				if h := &grants[i]; !h.deny && h.doubt == "" && len(was[h.who]) < awsMost { // nobody may hold as many
					was[h.who] = append(was[h.who], h)
				}
			}
		}
		for i := range own.grants {
			g := &own.grants[i]
			from := s.awsBlame(g)
			if g.deny {
				out[from] = append(out[from], s.awsDenial(g)...)
				continue
			}
			ties := s.awsTie(g)
			for k := range ties {
				if from != culprit(g.chain) {
					ties[k].ID = "" // it is told of something else
				}
			}
			out[from] = append(out[from], ties...)
			for _, h := range was[g.who] {
				if g.covers(h) && !(g.path().Covers(h.path()) && (g.condition() == "" || g.condition() == h.condition())) {
					// It allows what was allowed before, which a comparison of texts would not see.
					t := *h
					t.chain, t.binding = g.chain, g.binding
					out[from] = append(out[from], s.awsTie(&t)...)
				}
			}
		}
		return out
	})[r]
	ties = slices.Concat(ties, s.awsAssumeTies()[r])
	if k := r.Change.Type; k == "aws_iam_role" || k == "aws_iam_user" {
		ties = append(ties, s.awsIs(r)...)
	}
	if r.Change.Type == "aws_iam_role" {
		ties = append(ties, s.awsTrustTies(r)...)
	}
	return ties
}

// culprit is the one of a chain of resources that a plan changes most.
func culprit(chain []*Side) *Side {
	weight := func(r *Side) int {
		switch r.Change.Do {
		case Delete:
			return 6
		case DeleteCreate, CreateDelete:
			return 5
		case Create:
			return 4
		case Forget, CreateForget, ForgetCreate:
			if r.Change.Type == "aws_iam_role" || r.Change.Type == "aws_iam_user" {
				return 0 // it is said of the identity itself
			}
			return 3
		case NoOp, Reading:
			return 0
		}
		return 2
	}
	var out *Side
	for _, r := range chain {
		if out == nil || weight(r) > weight(out) {
			out = r
		}
	}
	return out
}

// awsBlame is the resource that a grant is told of. Where the grant itself stays, and the plan takes away what its identity
// has to read around the write, it is the resource that allowed this.
func (s *State) awsBlame(g *awsGrant) *Side {
	from := culprit(g.chain)
	if s.After || s.other == nil || g.deny || from.Change.Do != NoOp {
		return from
	}
	after := s.other.awsFacts().reads[g.who]
	if after == nil {
		return from
	}
	for _, r := range s.awsFacts().readBy[g.who] {
		if by := culprit(r.chain); by.Change.Do != NoOp && len(r.reads.beyond(after, g.zone)) > 0 {
			return by
		}
	}
	return from
}

// awsTie is a grant as a tie; none when nothing shows that it has to do with renewal.
func (s *State) awsTie(g *awsGrant) []Tie {
	if z := s.awsZoneOf(g.zone); z != nil && z.Len("vpc") > 0 {
		return nil // a private zone: no authority looks there
	}
	if g.who.name == "" && (!s.After || g.unknown) {
		return nil // anything of anybody
	}
	b := g.binding
	t := Tie{
		Kind: KindGrant, Principal: s.awsNamed(g.who), Who: s.awsCalledFor(g.who), Also: s.awsAlso(g.who), Rights: g.rights,
		Permission: "route53:ChangeResourceRecordSets (" + b.title() + ")", Scope: g.path(), Condition: g.condition(), Doubt: s.awsDoubt(g), Wide: g.broad,
		Object: g.who.kind + " " + b.id(), ID: s.awsShown(g.who) + b.id()[len(b.who.name):], Others: b.sole,
	}
	t.At, t.Place = s.awsAt(g)
	if g.who.kind == "policy" {
		t.Permission, t.ID = "route53:ChangeResourceRecordSets", ""
		if !s.After {
			t.Unknown = append(t.Unknown, PartPrincipal)
		}
	}
	if g.who.name == "" {
		t.Unknown = append(t.Unknown, PartPrincipal)
		t.Who = "an identity that the plan does not know yet"
	}
	for _, m := range b.members {
		t.Members = append(t.Members, s.awsNamed(m))
	}
	if b.via.name != "" {
		t.Via, t.Object, t.ID = s.awsNamed(b.via), t.Object+" by "+b.via.name, ""
	}
	if b.policy == "" || s.After && slices.ContainsFunc(g.chain, func(r *Side) bool { return r.Change.Makes() }) {
		t.ID = "" // it has none yet
	}
	if by := s.awsRevokedBy(g); by != nil {
		t.By = by
		t.Repair = "Name the " + b.title() + " in " + by.Address() + ", too."
	}
	weight := s.awsWeights()[g.who]
	if weight == awsFirm && g.doubt == "" {
		t.Doubt = "" // what it has besides shows what it is for
	}
	switch {
	case g.unknown:
		if weight == awsNothing || !s.After {
			return nil
		}
		t.Rights, t.Doubt = RightAll, ""
		t.Unknown = append(t.Unknown, PartRights, PartScope, PartCondition)
		return []Tie{t}
	case g.doubt != "" && !s.awsHints(g):
		t.Idle, t.Rights = true, 0 // nobody can tell what it allows
		return []Tie{t}
	}
	if g.unbounded {
		t.Unknown = append(t.Unknown, PartRights, PartCondition)
	}
	if g.doubt != "" {
		t.Rights = RightAll
		return []Tie{t}
	}
	reads, lost := s.awsReading(g)
	if reads {
		t.Rights |= RightRead
	}
	if len(lost) > 0 {
		t.Permission += " without route53:" + strings.Join(lost, " and route53:")
	}
	return []Tie{t}
}

// awsReading reports whether a grant comes with all readings around the write that its identity had before the plan. Which
// ones a renewer needs differs; those that it had are taken for needed. lost names what is gone on the other side.
func (s *State) awsReading(g *awsGrant) (all bool, lost []string) {
	of := func(st *State) *awsReads {
		if r := st.awsFacts().reads[g.who]; r != nil {
			return r
		}
		return &awsReads{}
	}
	own := of(s)
	if s.After && s.other != nil {
		lost = of(s.other).beyond(own, g.zone)
	}
	return own.any(g.zone) && len(lost) == 0, lost
}

// awsRevokedBy is what takes the grant away without touching what grants it.
func (s *State) awsRevokedBy(g *awsGrant) *Side {
	if s.After || s.other == nil {
		return nil
	}
	return s.other.awsFacts().revoked[g.who.kind+" "+g.binding.id()]
}

func (b *awsBinding) title() string {
	if b.inline {
		return "inline policy " + b.name
	}
	return "policy " + b.name
}

// awsCalledFor is an identity for people.
func (s *State) awsCalledFor(who awsWho) string {
	if who.kind == "policy" {
		return "whoever holds the policy " + s.awsShown(who)
	}
	if who.account != "" {
		return "the " + who.kind + " " + s.awsShown(who) + " of the account " + who.account
	}
	return "the " + who.kind + " " + s.awsShown(who)
}

// awsAlso are further spellings of an identity.
func (s *State) awsAlso(who awsWho) []string {
	out := []string{s.awsShown(who)}
	for _, st := range s.sides() {
		if r := st.awsIdentity(who); r != nil {
			for _, a := range []string{"unique_id", "arn"} {
				if v := r.Text(a); v != "" && !slices.Contains(out, v) {
					out = append(out, v)
				}
			}
		}
	}
	return out
}

// awsZoneOf is the hosted zone of an id, on either side of the plan.
func (s *State) awsZoneOf(id string) *Side {
	for _, st := range s.sides() {
		z := once(st, "aws zones", func() map[string]*Side {
			out := map[string]*Side{}
			for _, z := range st.Of("aws_route53_zone") {
				out[lower(z.Text("zone_id"))] = z
			}
			return out
		})[id]
		if z != nil && id != "" {
			return z
		}
	}
	return nil
}

// awsAt names the scope of a grant: as IAM writes it, and for a sentence.
func (s *State) awsAt(g *awsGrant) (at, place string) {
	at, place = "arn:aws:route53:::hostedzone/"+strings.ToUpper(g.zone), "the hosted zone "+strings.ToUpper(g.zone)
	switch z := s.awsZoneOf(g.zone); {
	case g.zone == "*":
		place = "every hosted zone"
	case z != nil && z.Text("name") != "":
		place = "the hosted zone " + fqdn(z.Text("name"))
	}
	if g.name != "" {
		at += " " + g.name
		place = "the records " + g.name + " of " + place
	}
	return at, place
}

// awsDenial is a denial as a block, where it takes from an identity what something else allows.
func (s *State) awsDenial(g *awsGrant) []Tie {
	allowed := false
	for _, st := range s.sides() {
		for _, h := range st.awsFacts().grants {
			allowed = allowed || !h.deny && h.who == g.who && h.overlaps(g) && (h.doubt == "" || s.awsHints(&h))
		}
	}
	if !allowed || g.unknown || s.awsWeights()[g.who] == awsNothing {
		return nil
	}
	t := Tie{
		Kind: KindBlock, Principal: s.awsNamed(g.who), Who: s.awsCalledFor(g.who), Also: s.awsAlso(g.who), Rights: g.rights, Scope: g.path(),
		Permission: "a denial of route53:ChangeResourceRecordSets (" + g.binding.title() + ")", Object: g.who.kind + " " + g.binding.id() + " deny",
		Effect: s.awsCalledFor(g.who) + " may no longer " + g.rights.String() + " challenge records there, whatever else allows it",
	}
	t.At, t.Place = s.awsAt(g)
	switch {
	case len(g.conds) > 0:
		t.Doubt = "it denies only under a condition: " + g.condition()
	case s.awsWeights()[g.who] == awsDoubtful:
		t.Doubt = "nothing in the plan shows that certificates are renewed by " + s.awsCalledFor(g.who)
	}
	return []Tie{t}
}

// awsIs is that a role or a user exists.
func (s *State) awsIs(r *Side) []Tie {
	kind := strings.TrimPrefix(r.Change.Type, "aws_iam_")
	who := s.awsSelf(r)
	t := Tie{
		Kind: KindIdentity, Principal: s.awsNamed(who), Who: s.awsCalledFor(who), Also: s.awsAlso(who), ID: r.Text("id"), Object: "iam " + kind + " " + who.name,
		Idle: s.awsWeights()[who] != awsFirm, Effect: "nothing can act as it, and what was granted to it is gone",
	}
	if !r.Known("name") {
		t.Principal, t.Unknown = "", []Part{PartPrincipal}
	}
	c := r.Change
	if s.After || !c.Destroys() {
		return []Tie{t}
	}
	left := ""
	for _, g := range s.awsFacts().grants {
		if g.who == who && !g.deny && len(g.chain) > 0 && g.chain[0] != r && !g.chain[0].Change.Destroys() {
			left = g.chain[0].Address()
		}
	}
	switch {
	case kind == "user":
		t.Stale = "its access keys are gone with the old one"
	case left != "":
		t.Stale = "what " + left + " attaches is gone with the old one, and the plan does not attach it again"
	case c.After != nil && text(c.After["path"]) != r.Text("path"):
		t.Stale = "it has another ARN, which service accounts and pods do not name"
	}
	return []Tie{t}
}
