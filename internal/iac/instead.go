package iac

import (
	"slices"
	"strings"
)

// instead finds the other way by which the workload of a trust signs in already, when it has two: as an association of EKS
// Pod Identity beside a trust of its tokens, or with grants of its own at Google beside a service account that it acts as.
// That is how people go from the one to the other. sure is false where the plan does not show that the workload uses it.
//
// https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
// https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity
func (j *judge) instead(t *Tie) (by *Tie, sure bool) {
	switch {
	case t.Kind == KindTrust && strings.HasPrefix(lower(t.Scope.String()), "/oidc/"):
		for _, u := range j.will[t.key()] {
			if len(u.Scope) != 4 || u.Scope[0] != "eks" || !j.stays(u) || !slices.ContainsFunc(j.will[t.key()], func(w *Tie) bool {
				return len(w.Scope) == 2 && w.Scope[0] == "service" && w.Scope[1] == "pods.eks.amazonaws.com" && j.stays(w)
			}) {
				continue
			}
			if o := (object{namespace: u.Scope[2], name: u.Scope[3]}); o.named(t) {
				return u, j.runsHere(o) && !j.announced(o) && j.inCluster(t, u.Scope[1])
			}
		}
	case t.Kind != KindCredential && strings.HasPrefix(t.From.Change.Type, "google_") && strings.Contains(t.Principal, ".iam.gserviceaccount.com"):
		return j.direct(t)
	}
	return nil, false
}

// inCluster reports whether the plan holds a cluster of a name whose issuer a trust names.
func (j *judge) inCluster(t *Tie, cluster string) bool {
	return slices.ContainsFunc(j.beforeSt.Of("aws_eks_cluster"), func(r *Side) bool {
		issuer := bareURL(r.Text("identity", 0, "oidc", 0, "issuer"))
		return issuer != "" && alike(r.Text("name"), cluster) && strings.HasPrefix(lower(t.Scope.String()), "/oidc/"+issuer+"/")
	})
}

// announced reports whether anything in the plan says, on either side, that a service account is somebody in a cloud.
func (j *judge) announced(o object) bool { return announced(j.before, o) || announced(j.after, o) }

func announced(ties []Tie, o object) bool {
	return slices.ContainsFunc(ties, func(u Tie) bool {
		return u.Kind == KindTrust && u.Principal == "system:serviceaccount:"+o.namespace+":"+o.name && (u.Permission != "" || u.Doubt != "") && !strings.HasPrefix(u.From.Change.Type, "aws_")
	})
}

// direct is instead for a service account of Google: each workload that acts as it holds by itself what the account does,
// or gets it in the plan that takes the account's annotation away. One that has keys is somebody else's, too.
func (j *judge) direct(t *Tie) (by *Tie, sure bool) {
	sure = true
	for i := range j.before {
		b := &j.before[i]
		if b.Kind == KindCredential && alike(b.Principal, t.Principal) {
			return nil, false
		}
		if b.Kind != KindTrust || b.Idle || !alike(b.Principal, t.Principal) {
			continue
		}
		m := subjectName.FindStringSubmatch(b.Scope.String())
		if m == nil {
			return nil, false
		}
		o := object{namespace: m[1] + m[3] + m[5], name: m[2] + m[4] + m[6]}
		for _, g := range j.was[string(KindGrant)+"\x00"+lower(t.Principal)] {
			k := slices.IndexFunc(j.after, func(u Tie) bool {
				return u.Kind == KindGrant && u.Doubt == "" && len(u.Unknown) == 0 && u.Scope.Covers(g.Scope) && u.Rights&g.Rights == g.Rights && u.Condition == "" &&
					(j.stays(&u) || u.From.Change.Do == Create && j.runsHere(o) && !announced(j.after, o)) && j.taken(&u) == nil &&
					(strings.HasSuffix(u.Principal, "["+o.namespace+"/"+o.name+"]") || strings.HasSuffix(u.Principal, "/ns/"+o.namespace+"/sa/"+o.name))
			})
			if k < 0 {
				return nil, false
			}
			by = &j.after[k]
		}
		sure = sure && !j.announced(o) && j.runsHere(o) && (by == nil || j.stays(by))
	}
	return by, sure && by != nil
}

// runsHere reports whether a release of the plan runs cert-manager as a service account before the plan.
func (j *judge) runsHere(o object) bool {
	return slices.ContainsFunc(j.beforeSt.Of("helm_release"), func(r *Side) bool {
		a := accountOf(r, valuesOf(r))
		return isRenewerChart(r) && !valuesOf(r).vague && a.namespace == o.namespace && a.name == o.name
	})
}

// way is a tie as the other way by which a workload signs in.
func (t *Tie) way() string {
	if t.Kind == KindTrust {
		return t.Permission + " for " + t.At
	}
	return thing(t)
}
