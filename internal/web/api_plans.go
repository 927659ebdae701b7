package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/notafter/notafter/internal/assure"
)

// Plans is told of what is applied. Safe for concurrent use.
type Plans interface {
	// AnnouncePlan keeps what a plan means for what permissions rest on, until its apply has ended. kept is how much of it
	// matters to anybody who renews; with nothing kept there is no id.
	AnnouncePlan(ctx context.Context, who, plan string, grants []assure.PlannedGrant) (id string, kept int, err error)
	// EndPlan says that the apply of an announced plan has ended with a status, and notes it in the audit log.
	EndPlan(ctx context.Context, id, who, remote string, exit int) error
}

// plannedGrantDoc is one grant of a plan.
type plannedGrantDoc struct {
	Does      string   `json:"does" enum:"makes,takes,keeps" doc:"Takes: the plan takes it away, on purpose"`
	Address   string   `json:"address" minLength:"1" maxLength:"1024" example:"azurerm_role_assignment.cm"`
	Principal string   `json:"principal" minLength:"1" maxLength:"256" doc:"Who holds it, as the cloud names it"`
	Also      []string `json:"also,omitempty" maxItems:"20" doc:"Other spellings of the principal"`
	Scope     string   `json:"scope" minLength:"1" maxLength:"1024"`
	Rights    []string `json:"rights,omitempty" maxItems:"3" enum:"read,write,delete"`
	ID        string   `json:"id,omitempty" maxLength:"1024" doc:"Of what is there already: its id in the cloud"`
}

type announcedDoc struct {
	ID     string `json:"id,omitempty" doc:"By which its end is told; absent when nothing of it matters"`
	Grants int    `json:"grants" doc:"How many of the grants are of identities that something is expected of"`
}

func (s *Server) registerPlans(api huma.API) {
	if s.opts.Plans == nil {
		return
	}
	op := describe("POST", "/api/v1/plans", "announce-plan",
		"Tell before an apply what its plan does to grants of whoever renews: what it makes is expected from the end of the apply on, and what it takes away is no drift. It counts for nothing until its end is told, and is forgotten after a day.",
		http.StatusForbidden, http.StatusUnprocessableEntity)
	huma.Register(api, op, func(ctx context.Context, in *struct {
		Body struct {
			Plan   string            `json:"plan" pattern:"^[0-9a-f]{64}$" doc:"SHA-256 of the plan file, in hexadecimal"`
			Grants []plannedGrantDoc `json:"grants" minItems:"1" maxItems:"200"`
			Who    string            `json:"who,omitempty" maxLength:"80" example:"Ana" doc:"Needed where nobody signs in. With a token it is added to the token's name."`
		}
	},
	) (*body[announcedDoc], error) {
		who, err := signature(ctx, in.Body.Who)
		if err != nil {
			return nil, err
		}
		grants := make([]assure.PlannedGrant, 0, len(in.Body.Grants))
		for _, g := range in.Body.Grants {
			for _, a := range g.Also {
				if len(a) > 256 {
					return nil, huma.Error422UnprocessableEntity("Another spelling of a principal has more than 256 letters.")
				}
			}
			grants = append(grants, assure.PlannedGrant{
				Does: assure.PlannedDoes(g.Does), Address: g.Address, Principal: g.Principal, Also: g.Also, Scope: g.Scope, Rights: g.Rights, ID: g.ID,
			})
		}
		id, kept, err := s.opts.Plans.AnnouncePlan(ctx, who, in.Body.Plan, grants)
		if err != nil {
			return nil, s.apiError("announce a plan", err)
		}
		return answer(announcedDoc{ID: id, Grants: kept}), nil
	})
	op = describe("POST", "/api/v1/plans/{id}/ended", "end-plan",
		"Tell that the apply of an announced plan has ended, whether it worked or not. Telling it again changes nothing.",
		http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity)
	huma.Register(api, op, func(ctx context.Context, in *struct {
		ID   string `path:"id" maxLength:"64"`
		Body struct {
			Exit int    `json:"exit" minimum:"0" maximum:"65535" doc:"The status of the command"`
			Who  string `json:"who,omitempty" maxLength:"80" example:"Ana" doc:"Needed where nobody signs in. With a token it is added to the token's name."`
		}
	},
	) (*body[endedDoc], error) {
		who, err := signature(ctx, in.Body.Who)
		if err != nil {
			return nil, err
		}
		if err := s.opts.Plans.EndPlan(ctx, in.ID, who, callerFrom(ctx), in.Body.Exit); err != nil {
			return nil, s.apiError("end a plan", err)
		}
		return answer(endedDoc{ID: in.ID}), nil
	})
}

type endedDoc struct {
	ID string `json:"id"`
}
