package iac

import (
	"slices"
	"strings"
)

// awsTrust is that somebody may act as a role.
type awsTrust struct {
	scope Path   // who: a kind, and what narrows it down
	sub   string // of a token, as a pattern
	actor string // for people
	via   string // the issuer of a token, in lower case
	from  string // the same as it stands there
	aud   string
	verb  string
	conds []awsCondition
}

func (t *awsTrust) condition() string {
	g := awsGrant{conds: t.conds}
	return g.condition()
}

// covers reports whether whoever may by u may by t.
func (t *awsTrust) covers(u *awsTrust) bool {
	if t.via != u.via || t.aud != u.aud || t.verb != u.verb || t.sub != "" && !glob(t.sub, u.sub) || t.sub == "" && !t.scope.Covers(u.scope) {
		return false
	}
	for i := range t.conds {
		if !slices.ContainsFunc(u.conds, func(c awsCondition) bool { return c.implies(&t.conds[i]) }) {
			return false
		}
	}
	return true
}

// awsAudience is whom a token for AWS is for, unless told otherwise.
const awsAudience = "sts.amazonaws.com"

// awsTrusts reads the trust policy of a role. It reports false when the plan does not know it.
// https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html
func awsTrusts(r *Side) (list []awsTrust, ok bool) {
	v, known := r.Get("assume_role_policy")
	doc, ok := awsRead(text(v), known)
	if !ok {
		return nil, false
	}
	for i := range doc {
		st := &doc[i]
		if st.deny || st.notPrincip {
			continue
		}
		for _, p := range st.principals {
			if t, ok := st.trust(p); ok {
				list = append(list, t...)
			}
		}
	}
	return list, true
}

func (s *awsStatement) trust(p awsPrincipal) ([]awsTrust, bool) {
	does := func(action string) bool { hit, _ := s.does(action); return hit }
	t := awsTrust{verb: "sts:AssumeRole", actor: p.id, conds: s.conditions}
	switch p.kind {
	case "federated":
		issuer, isOIDC := strings.CutPrefix(p.id[strings.LastIndex(p.id, ":")+1:], "oidc-provider/")
		if !isOIDC {
			t.verb, t.scope = "sts:AssumeRoleWithSAML", Path{"federated", p.id}
			return []awsTrust{t}, does("sts:assumerolewithsaml")
		}
		return s.tokens(issuer), does("sts:assumerolewithwebidentity")
	case "service":
		t.scope = Path{"service", p.id}
		// Pod identity tags its sessions, and is refused where it may not.
		return []awsTrust{t}, does("sts:assumerole") && (p.id != "pods.eks.amazonaws.com" || does("sts:tagsession"))
	case "*":
		t.scope, t.actor = Path{"aws"}, "anybody"
	case "aws":
		t.scope = Path{"aws", p.id}
		if account, rest, ok := strings.Cut(strings.TrimPrefix(p.id[strings.Index(p.id, "::")+1:], ":"), ":"); ok {
			t.scope = Path{"aws", account, rest}
			if rest == "root" {
				t.scope = t.scope[:2]
			}
		}
	default:
		return nil, false
	}
	return []awsTrust{t}, does("sts:assumerole")
}

// tokens are the subjects whose tokens of an issuer a statement takes.
func (s *awsStatement) tokens(shown string) (out []awsTrust) {
	issuer := lower(shown)
	t := awsTrust{verb: "sts:AssumeRoleWithWebIdentity", via: issuer, from: shown, aud: awsAudience}
	subs := []string{"*"}
	for _, c := range s.conditions {
		if !c.positive() {
			t.conds = append(t.conds, c)
			continue
		}
		switch c.key {
		case issuer + ":sub":
			subs = nil
			for _, v := range c.values {
				if !strings.HasSuffix(c.operator(), "like") {
					v = strings.NewReplacer("*", "\x00", "?", "\x00").Replace(v)
				}
				subs = append(subs, v)
			}
		case issuer + ":aud":
			if !slices.Contains(c.values, awsAudience) {
				t.aud = strings.Join(c.values, ",")
			}
		default:
			t.conds = append(t.conds, c)
		}
	}
	for _, sub := range subs {
		t.sub, t.actor = sub, sub
		seg := strings.Split(sub, ":")
		for len(seg) > 0 && seg[len(seg)-1] == "*" {
			seg = seg[:len(seg)-1]
		}
		if sub == "*" {
			t.actor = "whatever " + shown + " signs a token for"
		}
		t.scope = append(Path{"oidc", issuer, t.aud}, seg...)
		out = append(out, t)
	}
	return out
}

// awsActors lists, by role, the names of those who may act as it.
func (s *State) awsActors() map[awsWho][]string {
	return once(s, "aws actors", func() map[awsWho][]string {
		out := map[awsWho][]string{}
		for _, r := range s.Of("aws_iam_role") {
			who := s.awsSelf(r)
			list, _ := awsTrusts(r)
			for _, t := range list {
				out[who] = append(out[who], t.sub)
			}
		}
		for _, r := range s.Of("aws_eks_pod_identity_association") {
			who, _ := s.awsActsAs(r)
			out[who] = append(out[who], r.Text("namespace")+"/"+r.Text("service_account"))
		}
		return out
	})
}

// awsTrustTies are who may act as a role.
func (s *State) awsTrustTies(r *Side) (out []Tie) {
	who := s.awsSelf(r)
	var was []awsTrust
	if s.After && r.Change.Before != nil {
		was, _ = awsTrusts(&Side{Values: r.Change.Before})
	}
	list, known := awsTrusts(r)
	if r.Change.Do == Forget {
		return nil // it is said of the role
	}
	tie := func(t *awsTrust) Tie {
		at := strings.ReplaceAll(t.actor, "\x00", "*")
		if t.via != "" && t.sub != "*" {
			at += " of " + t.from
		}
		return Tie{
			Kind: KindTrust, Principal: s.awsNamed(who), Who: s.awsCalledFor(who), Also: s.awsAlso(who), Permission: t.verb, Scope: t.scope, At: at,
			Condition: t.condition(), Idle: s.awsWeights()[who] != awsFirm, Object: "trust " + who.name + " " + t.scope.String(),
			Effect: at + " can no longer act as it",
		}
	}
	if !known {
		if !r.Known("assume_role_policy") {
			for i := range was {
				t := tie(&was[i])
				t.Unknown = []Part{PartScope, PartCondition}
				out = append(out, t)
			}
		}
		return out
	}
	var left []awsTrust
	if !s.After && r.Change.After != nil {
		left, _ = awsTrusts(&Side{Values: r.Change.After})
	}
	for i := range list {
		t := tie(&list[i])
		for j := range left {
			u := &left[j]
			if !list[i].covers(u) || u.covers(&list[i]) || slices.ContainsFunc(left, func(w awsTrust) bool { return w.covers(&list[i]) }) {
				continue
			}
			switch {
			case u.condition() != list[i].condition():
				t.Effect, t.Doubt = "", u.actor+" still may, under a condition: "+u.condition()
			case awsRenewer.MatchString(u.actor):
				t = tie(u) // of all who might, this one renews
			default:
				t.Effect, t.Doubt = "", u.actor+" still may, and nothing shows who else does"
			}
		}
		out = append(out, t)
		for j := range was {
			if u := tie(&was[j]); list[i].covers(&was[j]) && !t.Covers(&u) {
				out = append(out, u) // a pattern that takes what was taken before
			}
		}
	}
	return out
}

// awsActsAs is the role of an association.
func (s *State) awsActsAs(r *Side) (who awsWho, known bool) {
	if arn := r.Text("role_arn"); arn != "" {
		return s.awsByARN("role", arn), true
	}
	if q := s.referred(r, "role_arn", "aws_iam_role"); q != nil && q.Known("name") {
		return s.awsSelf(q), true
	}
	if before := text(r.Change.Before["role_arn"]); before != "" && s.other != nil {
		was := s.other.awsIdentity(s.awsByARN("role", before))
		for _, q := range s.Of("aws_iam_role") {
			if was != nil && q.Change == was.Change && q.Known("name") {
				return s.awsSelf(q), true
			}
		}
	}
	return awsWho{kind: "role"}, false
}

// awsAssociation is that pods of a service account act as a role.
// https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
func awsAssociation(s *State, r *Side) []Tie {
	who, known := s.awsActsAs(r)
	cluster, ns, sa := r.Text("cluster_name"), r.Text("namespace"), r.Text("service_account")
	at := ns + "/" + sa + " in the cluster " + cluster
	t := Tie{
		Kind: KindTrust, Principal: s.awsNamed(who), Who: s.awsCalledFor(who), Also: s.awsAlso(who), Permission: "pod identity", Scope: Path{"eks", cluster, ns, sa},
		At: at, ID: r.Text("association_arn"), Object: "pod identity " + cluster + " " + ns + " " + sa + " " + who.name,
		Effect: "pods of the service account " + at + " can no longer act as it", Idle: s.awsWeights()[who] != awsFirm,
	}
	if !known && !s.After {
		return nil
	}
	if !known {
		t.Who, t.Unknown, t.Idle = "a role that the plan does not know yet", []Part{PartPrincipal}, false
	}
	for _, a := range []string{"cluster_name", "namespace", "service_account"} {
		if !r.Known(a) && len(t.Unknown) == 0 {
			t.Unknown = append(t.Unknown, PartScope)
		}
	}
	return []Tie{t}
}

// awsAddon is cert-manager as an add-on of a cluster, and whom it acts as.
// https://docs.aws.amazon.com/eks/latest/userguide/community-addons.html
func awsAddon(s *State, r *Side) []Tie {
	if r.Text("addon_name") != "cert-manager" {
		return nil
	}
	cluster := r.Text("cluster_name")
	t := Tie{
		Kind: KindSolver, Principal: "cert-manager", Who: "cert-manager (the add-on of the cluster " + cluster + ")", Also: []string{cluster}, Scope: Path{"eks", cluster},
		At: "the cluster " + cluster, Permission: r.Text("addon_version"), Effect: "no certificate of the cluster is renewed", ID: r.Text("arn"), Object: "addon " + cluster,
	}
	out := []Tie{t}
	if r.Change.Do == Delete || r.Change.Do == Forget {
		return out // whom it acts as is said with it
	}
	acts := func(arn, account string) {
		who := s.awsByARN("role", arn)
		out = append(out, Tie{
			Kind: KindTrust, Principal: s.awsNamed(who), Who: s.awsCalledFor(who), Also: s.awsAlso(who), Permission: "add-on", Scope: Path{"addon", cluster, account},
			At: "the add-on cert-manager of the cluster " + cluster, Effect: "cert-manager in the cluster " + cluster + " can no longer act as it", Object: "addon " + cluster + " " + account,
		})
	}
	if arn := r.Text("service_account_role_arn"); arn != "" {
		acts(arn, "")
	}
	for i := range r.Len("pod_identity_association") {
		if arn := r.Text("pod_identity_association", i, "role_arn"); arn != "" {
			acts(arn, r.Text("pod_identity_association", i, "service_account"))
		}
	}
	if before := (&Side{Values: r.Change.Before}); r.After && (!r.Known("service_account_role_arn") || !r.Known("pod_identity_association")) {
		for _, arn := range append(before.Texts("service_account_role_arn"), before.Text("pod_identity_association", "role_arn")) {
			if arn != "" {
				acts(arn, "")
				out[len(out)-1].Unknown = []Part{PartPrincipal}
			}
		}
	}
	return out
}

// awsProfile is that machines of EC2 act as a role.
func awsProfile(s *State, r *Side) []Tie {
	who := s.awsHolder(r, "role", "role")
	name := r.Text("name")
	t := Tie{
		Kind: KindTrust, Principal: s.awsNamed(who), Who: s.awsCalledFor(who), Also: s.awsAlso(who), Permission: "instance profile", Scope: Path{"instance profile", name},
		At: "instance profile " + name, ID: r.Text("arn"), Object: "instance profile " + name, Idle: s.awsWeights()[who] != awsFirm,
		Effect: "machines with the instance profile " + name + " can no longer act as it",
	}
	if who.name == "" && !s.After {
		return nil
	}
	if who.name == "" {
		t.Who, t.Unknown, t.Idle = "a role that the plan does not know yet", []Part{PartPrincipal}, false
	}
	return []Tie{t}
}

// awsTrusting lists the roles that matter and take tokens of an issuer, with whom they take them from.
func (s *State) awsTrusting(issuer string) (out []Tie) {
	seen := map[awsWho]bool{}
	for _, st := range s.sides() {
		for _, r := range st.Of("aws_iam_role") {
			who := s.awsSelf(r)
			if seen[who] || s.awsWeights()[who] != awsFirm {
				continue
			}
			list, _ := awsTrusts(r)
			for _, t := range list {
				if t.via == issuer && issuer != "" {
					seen[who] = true
					out = append(out, Tie{
						Kind: KindTrust, Principal: s.awsNamed(who), Who: s.awsCalledFor(who), Also: s.awsAlso(who),
						Scope: Path{"issuer", issuer, t.aud}, At: t.from, Members: []string{t.aud}, Effect: t.actor,
					})
					break
				}
			}
		}
	}
	return out
}

func bareURL(u string) string {
	return lower(strings.TrimSuffix(strings.TrimPrefix(u, "https://"), "/"))
}

// awsProvider is that AWS takes the tokens of an issuer.
func awsProvider(s *State, r *Side) (out []Tie) {
	issuer, known := bareURL(r.Text("url")), r.Known("url")
	was := issuer
	if !known {
		was = bareURL(text(r.Change.Before["url"]))
	}
	for _, t := range s.awsTrusting(was) {
		aud := t.Members[0]
		t.Members, t.Permission, t.ID, t.Object = nil, "OIDC provider", r.Text("arn"), "oidc "+was
		t.Effect = "AWS refuses the tokens of " + t.At + ", by which " + t.Effect + " acts as it"
		switch {
		case !known || !r.Known("client_id_list"):
			t.Unknown = []Part{PartScope}
		case !slices.Contains(r.Texts("client_id_list"), aud):
			continue // tokens for this audience are refused
		}
		out = append(out, t)
	}
	return out
}

// awsCluster is that the cluster exists whose pods act as a role.
func awsCluster(s *State, r *Side) (out []Tie) {
	cluster := r.Text("name")
	issuer := bareURL(r.Text("identity", 0, "oidc", 0, "issuer"))
	if issuer == "" {
		before := &Side{Values: r.Change.Before}
		issuer = bareURL(before.Text("identity", 0, "oidc", 0, "issuer"))
	}
	for _, t := range s.awsTrusting(issuer) {
		t.Scope, t.Members, t.Permission, t.At = Path{"cluster", cluster}, nil, "OIDC issuer", "the cluster "+cluster
		t.Effect = t.Effect + " in the cluster " + cluster + " can no longer act as it"
		t.Stale = "the cluster " + cluster + " then has another OIDC issuer, which neither the OIDC provider nor the trust policy names"
		t.ID, t.Object = r.Text("arn"), "cluster "+cluster
		out = append(out, t)
	}
	for _, st := range s.sides() {
		for _, a := range st.Of("aws_eks_pod_identity_association") {
			who, _ := st.awsActsAs(a)
			if a.Text("cluster_name") != cluster || cluster == "" || s.awsWeights()[who] != awsFirm {
				continue
			}
			principal := s.awsNamed(who)
			if slices.ContainsFunc(out, func(t Tie) bool { return t.Principal == principal }) {
				continue
			}
			out = append(out, Tie{
				Kind: KindTrust, Principal: principal, Who: s.awsCalledFor(who), Also: s.awsAlso(who), Scope: Path{"cluster", cluster}, Permission: "pod identity",
				At: "the cluster " + cluster, Effect: "its pods can no longer act as it", ID: r.Text("arn"), Object: "cluster " + cluster,
				Stale: "the pod identity associations go with the old cluster " + cluster,
			})
		}
	}
	return out
}
