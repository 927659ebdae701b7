package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestTheInventoryIsGivenAsItWasTaken(t *testing.T) {
	w := newWorld()
	s := newServer(t, w, nil)
	r := fetch(s, "GET", "/api/v1/inventory", "", nil)
	if r.Code != http.StatusOK || r.Body.String() != `{"notafter_inventory":1}` || !strings.HasPrefix(r.Header().Get("Content-Type"), "application/json") {
		t.Errorf("%d %s %s", r.Code, r.Header(), r.Body)
	}
	s.opts.Inventory = func(context.Context) ([]byte, error) { return nil, errors.New("secret detail") }
	if r := fetch(s, "GET", "/api/v1/inventory", "", nil); r.Code != http.StatusInternalServerError || strings.Contains(r.Body.String(), "secret detail") {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}
