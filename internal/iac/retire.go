package iac

import (
	"slices"
	"strings"
)

// retirement is a cluster that a plan destroys while whoever renewed in it goes on renewing from elsewhere.
type retirement struct {
	cluster *Change
	name    string
	// ties are the trusts in what ran in it.
	ties []*Tie
	// stays is a trust that stays.
	stays *Tie
}

// retirements lists the clusters that go for good, with the trusts that name their issuer, where each identity of those
// keeps a trust in a renewer elsewhere. Such a cluster takes what ran in it along, so that nobody is left to sign in.
func (j *judge) retirements() []retirement {
	return once(j.beforeSt, "retirements", func() (out []retirement) {
		for _, kind := range []string{"azurerm_kubernetes_cluster", "aws_eks_cluster"} {
			for _, r := range j.beforeSt.Of(kind) {
				issuer := bareURL(orElse(r.Text("oidc_issuer_url"), r.Text("identity", 0, "oidc", 0, "issuer")))
				if r.Change.Do != Delete || issuer == "" {
					continue
				}
				m := retirement{cluster: r.Change, name: r.Text("name")}
				if j.retire(&m, issuer) {
					out = append(out, m)
				}
			}
		}
		return out
	})
}

func (j *judge) retire(m *retirement, issuer string) bool {
	of := func(t *Tie) bool {
		return t.From.Change == m.cluster || holds(lower(t.Condition+" "+t.Scope.String()+" "+t.At), issuer)
	}
	for i := range j.before {
		t := &j.before[i]
		if t.Kind != KindTrust || t.Idle || !of(t) {
			continue
		}
		m.ties = append(m.ties, t)
		if strings.HasPrefix(t.Principal, "cluster ") {
			continue // Azure: it is no identity itself
		}
		i := slices.IndexFunc(j.will[t.key()], func(u *Tie) bool {
			return !u.Idle && u.Doubt == "" && !of(u) && strings.Contains(u.said(), "serviceaccount") && renewerWord(u.said()) && j.stays(u)
		})
		if i < 0 {
			return false
		}
		m.stays = j.will[t.key()][i]
	}
	return m.stays != nil
}

// retired finds the retirement by which a trust is lost.
func (j *judge) retired(t *Tie) *retirement {
	if t.Kind != KindTrust {
		return nil
	}
	for _, m := range j.retirements() {
		if slices.Contains(m.ties, t) {
			return &m
		}
	}
	return nil
}
