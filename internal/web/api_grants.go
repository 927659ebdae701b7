package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/notafter/notafter/internal/assure"
)

// Grants answers what the permissions of renewers are known to rest on. Safe for concurrent use.
type Grants interface {
	// Expected returns what is expected of a renewer's permissions, of all when none is named.
	Expected(ctx context.Context, renewer string) ([]assure.Expected, error)
	// AcceptGrants makes what the cloud named last what is relied on, wherever it is something else, notes it in the audit
	// log, and returns what was accepted.
	AcceptGrants(ctx context.Context, renewer, who, remote, reason string, at time.Time) ([]assure.Expected, error)
}

type grantDoc struct {
	Renewer  string     `json:"renewer" example:"letsencrypt"`
	Identity string     `json:"identity,omitempty" doc:"Who needs it, as the cloud names it"`
	Action   string     `json:"action" example:"Microsoft.Network/dnsZones/TXT/write"`
	Scope    string     `json:"scope"`
	Verdict  string     `json:"verdict" enum:"upheld,broken,unknown" doc:"Upheld: it is allowed by what is relied on. Broken: that is gone, or nothing is allowed any more. Unknown: no answer that decides, or none lately"`
	Grants   []string   `json:"grants" nullable:"false" doc:"What is relied on, as the cloud names it; empty where the cloud names nothing"`
	Gone     []string   `json:"gone" nullable:"false" doc:"Those of them that are gone although it is allowed"`
	Learned  *time.Time `json:"learned" doc:"Since when that is relied on; null when it was never allowed"`
	By       string     `json:"accepted_by,omitempty" doc:"A person, or a plan that was applied: 'plan' and the first digits of its digest"`
	Reason   string     `json:"reason,omitempty" doc:"Why that person accepted it, or the address of the resource in the plan"`
	Held     *time.Time `json:"held" doc:"When it was last allowed by what is relied on"`
	Asked    *time.Time `json:"asked" doc:"When the cloud answered last"`
	Answer   string     `json:"answer" enum:"allowed,denied,unclear"`
	Named    []string   `json:"named" nullable:"false" doc:"By what it is allowed, by the last answer"`
	// Missing is what was to be made and is not there.
	Missing []unmadeDoc `json:"missing" nullable:"false" doc:"Grants that applied plans were to make, and that the cloud does not name"`
}

type unmadeDoc struct {
	Plan    string    `json:"plan" doc:"The first digits of its digest"`
	Address string    `json:"address"`
	Applied time.Time `json:"applied" doc:"When the apply had ended"`
	Exit    int       `json:"exit" doc:"The status with which it ended"`
}

type grantsDoc struct {
	Now    time.Time  `json:"now"`
	Grants []grantDoc `json:"grants" nullable:"false"`
}

// grantsOld is how old the last answer may be: the cloud is asked every few minutes.
const grantsOld = 24 * time.Hour

func newGrantDoc(e assure.Expected, now time.Time) grantDoc {
	d := grantDoc{
		Renewer: e.Renewer, Identity: e.Identity, Action: e.Action, Scope: e.Scope, Verdict: verdictDoc(e.Verdict()), Grants: some(e.Grants), Gone: some(e.Gone()),
		Learned: ifSet(e.Learned), By: e.By, Reason: e.Reason, Held: ifSet(e.Held), Asked: ifSet(e.Asked), Answer: string(e.Answer), Named: some(e.Named),
		Missing: []unmadeDoc{},
	}
	for _, u := range e.Missing {
		d.Missing = append(d.Missing, unmadeDoc{u.Plan, u.Address, u.Applied.UTC(), u.Exit})
	}
	if now.Sub(e.Asked) > grantsOld {
		d.Verdict = verdictDoc(assure.Unknown)
	}
	return d
}

// some is a list that is no null in JSON.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (s *Server) grantsDoc(list []assure.Expected) grantsDoc {
	d := grantsDoc{Now: s.now().UTC(), Grants: []grantDoc{}}
	for _, e := range list {
		d.Grants = append(d.Grants, newGrantDoc(e, d.Now))
	}
	return d
}

func (s *Server) registerGrants(api huma.API) {
	if s.opts.Grants == nil {
		return
	}
	huma.Register(api, describe("GET", "/api/v1/grants", "list-grants", "Of the renewers of notafter's own whose cloud can be asked, one for each action at each record. It is what the last answer of the cloud said; a rehearsal of the rung permission asks again."),
		func(ctx context.Context, in *struct {
			Renewer string `query:"renewer" doc:"Only of this renewer" maxLength:"200"`
		},
		) (*body[grantsDoc], error) {
			list, err := s.opts.Grants.Expected(ctx, in.Renewer)
			if err != nil {
				return nil, s.apiError("read what is expected", err)
			}
			return answer(s.grantsDoc(list)), nil
		})
	op := describe("POST", "/api/v1/renewers/{name}/grants/accept", "accept-grants",
		"What the cloud names now is what is relied on from now on, wherever it was something else. What is not allowed at all cannot be accepted. The answer holds what was accepted.",
		http.StatusForbidden, http.StatusUnprocessableEntity)
	huma.Register(api, op, func(ctx context.Context, in *struct {
		Name string `path:"name" example:"letsencrypt"`
		Body struct {
			Reason string `json:"reason" minLength:"1" maxLength:"300" doc:"Why it is meant" example:"one role for all zones, OPS-1234"`
			Who    string `json:"who,omitempty" maxLength:"80" example:"Ana" doc:"Needed where nobody signs in. With a token it is added to the token's name."`
		}
	},
	) (*body[grantsDoc], error) {
		who, err := signature(ctx, in.Body.Who)
		if err != nil {
			return nil, err
		}
		list, err := s.opts.Grants.AcceptGrants(ctx, in.Name, who, callerFrom(ctx), in.Body.Reason, s.now().UTC())
		if err != nil {
			return nil, s.apiError("accept grants", err)
		}
		return answer(s.grantsDoc(list)), nil
	})
}
