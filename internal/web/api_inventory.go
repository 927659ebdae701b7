package web

import (
	"context"

	"github.com/danielgtaylor/huma/v2"
)

// rawJSON is an answer that was encoded elsewhere.
type rawJSON struct {
	Type string `header:"Content-Type"`
	Body []byte `contentType:"application/json"`
}

func (s *Server) registerInventory(api huma.API) {
	if s.opts.Inventory == nil {
		return
	}
	op := describe("GET", "/api/v1/inventory", "get-inventory", "Kept beside the code, it tells `notafter guard --inventory` which certificates rest on what a plan changes, and when each is due. It holds no secrets.")
	huma.Register(api, op, func(ctx context.Context, _ *struct{}) (*rawJSON, error) {
		b, err := s.opts.Inventory(ctx)
		if err != nil {
			return nil, s.apiError("take the inventory", err)
		}
		return &rawJSON{"application/json", b}, nil
	})
}
