package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/prometheus/client_golang/prometheus"
)

// newServer serves a world at worldNow; change adjusts the options.
func newServer(t testing.TB, w *world, change func(*Options)) *Server {
	t.Helper()
	reg := prometheus.NewRegistry()
	o := Options{
		Reader: w, Changer: w, Accounts: w, Renewals: w, Renewer: w, Grants: someBooks(), Plans: &planBooks{}, Inventory: func(context.Context) ([]byte, error) { return []byte(`{"notafter_inventory":1}`), nil }, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg, Now: func() time.Time { return worldNow },
		Changed: w.wait, Version: "1.2.3",
		Probe: func(_ context.Context, target, module string) (assure.Served, assure.Judgement, error) {
			return probeStandIn(target, module)
		},
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// probeStandIn serves by the first label of the host: good, expired, incomplete, unreachable.
func probeStandIn(target, module string) (assure.Served, assure.Judgement, error) {
	if module != "" && module != "tls" {
		return assure.Served{}, assure.Judgement{}, errUnknownModule
	}
	kind := "good"
	for _, k := range []string{"expired", "incomplete", "unreachable"} {
		if len(target) >= len(k) && target[:len(k)] == k {
			kind = k
		}
	}
	age := 20 * day
	if kind == "expired" {
		age = 91 * day
	}
	s := look(target, target, "192.0.2.7:443", age, 90*day, kind, 1)
	c := assure.Claim{Link: assure.Serving, Subject: target, Declared: worldNow, Every: time.Hour}
	return s, assure.Judge(assure.Case{Claim: c, Evidence: &assure.Evidence{Fact: s, FirstSeen: worldNow, LastSeen: worldNow, Count: 1}}, assure.Setting{Now: worldNow}), nil
}

var errUnknownModule = errors.New("unknown module")

// serve listens on loopback until the test ends; event streams are cut off then.
func serve(t testing.TB, s *Server) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv
}

func prefixes(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }

// TestAPIBegins: whoever opens the address of the API is told what there is.
func TestAPIBegins(t *testing.T) {
	r := fetch(newServer(t, newWorld(), nil), "GET", "/api/v1/", "", nil)
	if r.Code != 200 || !strings.Contains(r.Body.String(), `"/api/v1/openapi.json"`) || !strings.Contains(r.Body.String(), `{"method":"GET","path":"/api/v1/certificates","summary":`) {
		t.Errorf("/api/v1/ answers %d: %s", r.Code, r.Body.String())
	}
	if r := fetch(newServer(t, newWorld(), nil), "GET", "/api/v1/nothing", "", nil); r.Code != 404 {
		t.Errorf("an operation that does not exist answers %d", r.Code)
	}
}
