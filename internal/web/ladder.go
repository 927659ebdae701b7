package web

import (
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// rungView is one rung of the ladder of rehearsals.
type rungView struct {
	Kind    assure.AttemptKind
	Name    string // as the configuration names it
	Level   int
	Title   string
	Proves  string
	On      bool
	Every   time.Duration
	Last    time.Time // when it was last climbed
	Outcome assure.Outcome
	Next    time.Time
	Verdict assure.Verdict
	Trouble *assure.Trouble // what stopped it the last time
	Switch  string          // how to switch it on
	Marks   []attemptMark   // the climbs that are remembered, oldest first
	Running bool
}

// attemptMark is one attempt as a sign in a row of them.
type attemptMark struct {
	X     float64
	State string // done, failed, unclear, skipped or running
}

// rungTexts says what each rung proves and how it is switched on, where it does not come by itself.
var rungTexts = map[assure.AttemptKind]struct{ title, proves, on string }{
	assure.RehearseStatic: {
		"Groundwork", "The account, the directory, CAA and the delegation still allow it.",
		"Give the renewer rehearse: {static: 15m}, or take away its 0s.",
	},
	assure.RehearsePermission: {
		"Permission", "The cloud says that the identity may still write the record.",
		"It needs a DNS writer whose cloud can be asked: azure, rfc2136, or route53, gcloud and cloudflare of lego. Then rehearse: {permission: 5m}.",
	},
	assure.RehearseCanary: {
		"Canary record", "A record was written, seen on every name server, and taken away.",
		"It needs a challenge that writes DNS, such as dns-01. Then rehearse: {canary: 15m}.",
	},
	assure.RehearseAuthorize: {
		"Rehearsed order", "The staging authority looked at a fresh challenge and was satisfied.",
		"Name the renewer's staging authority (acme: {staging: …}). Then rehearse: {authorization: 24h}.",
	},
	assure.RehearseFull: {
		"Dress rehearsal", "A staging certificate was issued and installed to a shadow target, reload included.",
		"Name a staging authority and a shadow target (rehearse: {full: 7d, shadow: […]}).",
	},
}

// ladder is the state of each rung, the lowest first.
func (st *standing) ladder(now time.Time) []rungView {
	var out []rungView
	for i, k := range assure.Ladder() {
		t := rungTexts[k]
		v := rungView{Kind: k, Name: rungName(k), Level: i, Title: t.title, Proves: t.proves, Switch: t.on}
		if c := st.claim(string(k)); c != nil {
			v.On, v.Every, v.Verdict = true, c.Claim.Every, c.Verdict
			if c.Evidence != nil {
				v.Last = c.Evidence.LastSeen
			}
		}
		if a := st.newest(k); a != nil {
			v.Last, v.Outcome = a.Ended, a.Outcome
			for _, s := range a.Steps {
				if s.Trouble != nil && s.Outcome != assure.Done && v.Trouble == nil {
					v.Trouble = s.Trouble
				}
			}
		}
		if v.On {
			v.Next = now
			if !v.Last.IsZero() {
				every := v.Every
				if v.Outcome != "" && v.Outcome != assure.Done {
					every = max(every/3, time.Second) // what failed is looked at again sooner, so that a repair is noticed
				}
				v.Next = v.Last.Add(every)
			}
		}
		out = append(out, v)
	}
	return out
}

// kindWords is what sort of attempt it was, for people.
func kindWords(k assure.AttemptKind) string {
	if k == assure.AttemptRenewal {
		return "Renewal"
	}
	if k == assure.SubjectGrants {
		return "Grants"
	}
	if t, ok := rungTexts[k]; ok {
		return t.title
	}
	return strings.ReplaceAll(string(k), "_", " ")
}

var stepTexts = map[string]string{
	assure.StepDirectory:   "Directory",
	assure.StepAccount:     "Account",
	assure.StepCAA:         "CAA",
	assure.StepDelegation:  "Delegation",
	assure.StepAsk:         "Permission",
	assure.StepPlace:       "Place to install",
	assure.StepOrder:       "Order",
	assure.StepPresent:     "Challenge",
	assure.StepPropagation: "Propagation",
	assure.StepValidate:    "Validation",
	assure.StepWithdraw:    "Withdrawal",
	assure.StepDeactivate:  "Authorization given back",
	assure.StepFinalize:    "Issuance",
	assure.StepMatch:       "Key and certificate",
	assure.StepInstall:     "Installation",
	assure.StepReload:      "Reload",
	assure.StepSeen:        "Seen in service",
	assure.StepRollback:    "Rollback",
}

// stepWords names a step for people.
func stepWords(name string) string {
	if w, ok := stepTexts[name]; ok {
		return w
	}
	return strings.ReplaceAll(name, "_", " ")
}
