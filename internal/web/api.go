package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/notafter/notafter/internal/assure"
)

// csrfHeader carries the session's form token in writes of a script that has a session rather than a bearer token.
const csrfHeader = "X-Csrf-Token"

// bearer wraps a handler that needs a session or a bearer token with the given scope.
func (s *Server) bearer(scope string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.auth.who(r)
		if err != nil {
			s.log.Error("find out who asks", "path", r.URL.Path, "error", err)
			http.Error(w, "the database did not answer", http.StatusServiceUnavailable)
			return
		}
		if !who.may(scope) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="notafter"`)
			http.Error(w, "sign in, or send a bearer token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guardAPI lets requests of the API through to the operations: reads by a session or a token, writes by a token that
// may write, or by a session that also shows its form token. A cookie alone never writes.
func (s *Server) guardAPI(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.auth.who(r)
		if err != nil {
			s.log.Error("find out who asks", "path", r.URL.Path, "error", err)
			problem(w, http.StatusServiceUnavailable, "The database did not answer.")
			return
		}
		safe := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case who.scope == "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="notafter"`)
			problem(w, http.StatusUnauthorized, "Send a bearer token in the Authorization header, or sign in.")
			return
		case safe:
		case who.session != nil && !equal(who.csrf, r.Header.Get(csrfHeader)):
			problem(w, http.StatusForbidden, "A cookie alone does not authorise this. Send the form token in the header "+csrfHeader+", or use a bearer token.")
			return
		case !who.may(scopeWrite):
			problem(w, http.StatusForbidden, "This token may only read.")
			return
		}
		ctx := context.WithValue(r.Context(), callerKey{}, callerInfo{who.name, s.remote(r)})
		ctx, cancel := context.WithTimeout(ctx, lookTime+5*time.Second)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// callerKey carries who asks, and from where, from the guard to the operation: between them stands the API library, which
// passes on nothing else.
type (
	callerKey  struct{}
	callerInfo struct{ name, remote string }
)

func caller(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(callerInfo)
	return c.name
}

func callerFrom(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(callerInfo)
	return c.remote
}

func (s *Server) api() (http.Handler, error) {
	mux := http.NewServeMux()
	conf := huma.DefaultConfig("notafter", s.opts.Version)
	conf.OpenAPIPath, conf.DocsPath, conf.SchemasPath = "/api/v1/openapi", "", ""
	conf.CreateHooks = nil // no links to schemas in every document
	conf.RejectUnknownQueryParameters = true
	conf.Info.Description = "What notafter knows of your certificates. Times are in UTC (RFC 3339); errors are problem documents (RFC 9457). " +
		"With sign-in configured, send a token made on the tokens page as `Authorization: Bearer notafter_...`."
	conf.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "A token from the tokens page. Reading needs the scope read, everything else write."},
	}
	conf.Security = []map[string][]string{{"bearer": {}}, {}}
	if s.base.Host != "" {
		conf.Servers = []*huma.Server{{URL: s.base.String()}}
	}
	api := humago.New(mux, conf)
	s.registerReads(api)
	s.registerWrites(api)
	s.registerRenewals(api)
	s.registerGrants(api)
	s.registerPlans(api)
	s.registerInventory(api)
	mux.HandleFunc("GET /api/v1/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"openapi": "/api/v1/openapi.json", "operations": s.operations()})
	})
	mux.HandleFunc("/api/v1/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "There is no such operation. See /api/v1/openapi.json.")
	})
	return mux, nil
}

// apiError turns an error into a problem document. What went wrong inside goes to the log only.
func (s *Server) apiError(what string, err error) error {
	switch {
	case errors.Is(err, assure.ErrNotFound):
		return huma.Error404NotFound("There is nothing of that name.")
	case errors.Is(err, assure.ErrConflict):
		return huma.Error409Conflict("Somebody else changed the same thing at the same moment. Nothing was written; do it again.")
	case errors.Is(err, assure.ErrFull):
		s.log.Error(what, "error", err)
		return huma.Error503ServiceUnavailable("The disk that holds the state of notafter is full. Nothing was written; free some space, and do it again.")
	case errors.Is(err, context.DeadlineExceeded):
		s.log.Error(what, "error", err)
		return huma.Error503ServiceUnavailable("The database did not answer in time.")
	}
	s.log.Error(what, "error", err)
	return huma.Error500InternalServerError("Something went wrong. It has been logged.")
}

// operation is one line of the page about the API.
type operation struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	Summary string `json:"summary"`
}

// operations lists what the API can do, in the order of the paths.
func operations() []operation {
	return []operation{
		{"GET", "/api/v1/certificates", "List certificates by runway"},
		{"GET", "/api/v1/certificates/{name}", "Show one certificate with its endpoints"},
		{"GET", "/api/v1/certificates/{name}/history", "List what was served where and when"},
		{"GET", "/api/v1/certificates/{name}/renewal", "Show where a certificate's renewal stands, with the last attempts"},
		{"POST", "/api/v1/certificates/{name}/renew", "Renew a certificate"},
		{"POST", "/api/v1/certificates/{name}/rehearse", "Rehearse a certificate's next renewal"},
		{"POST", "/api/v1/renewers/{name}/account/roll-over", "Give a renewer's account at its authority a new key"},
		{"POST", "/api/v1/renewers/{name}/account/register", "Register a renewer's account again"},
		{"POST", "/api/v1/renewers/{name}/grants/accept", "Accept what a renewer's permissions rest on now"},
		{"GET", "/api/v1/grants", "List what the permissions of renewers rest on"},
		{"POST", "/api/v1/plans", "Tell what a plan does to grants before it is applied"},
		{"POST", "/api/v1/plans/{id}/ended", "Tell that the apply of an announced plan has ended"},
		{"GET", "/api/v1/incidents", "List incidents, open ones worst first"},
		{"GET", "/api/v1/incidents/{id}", "Show one incident with notices and receipts"},
		{"POST", "/api/v1/incidents/{id}/acknowledge", "Acknowledge an incident's present stage"},
		{"GET", "/api/v1/claims", "List the claims about the watch itself"},
		{"GET", "/api/v1/totals", "Show the figures behind the metrics"},
		{"GET", "/api/v1/inventory", "Give the certificates as notafter guard takes them"},
		{"GET", "/api/v1/health", "Show whether notafter is well"},
		{"POST", "/api/v1/check", "Look at a target now"},
	}
}

// operations are those that this server has.
func (s *Server) operations() []operation {
	return slices.DeleteFunc(operations(), func(o operation) bool {
		switch o.Path[strings.LastIndexByte(o.Path, '/'):] {
		case "/check":
			return s.opts.Probe == nil
		case "/grants", "/accept":
			return s.opts.Grants == nil
		case "/plans", "/ended":
			return s.opts.Plans == nil
		case "/inventory":
			return s.opts.Inventory == nil
		case "/acknowledge":
			return s.opts.Changer == nil
		case "/renewal":
			return s.opts.Renewals == nil
		case "/renew", "/rehearse", "/roll-over", "/register":
			return s.opts.Renewals == nil || s.opts.Renewer == nil
		}
		return false
	})
}

// summaryOf keeps the page and the document in step.
func summaryOf(method, path string) string {
	i := slices.IndexFunc(operations(), func(o operation) bool { return o.Method == method && o.Path == path })
	if i < 0 {
		return ""
	}
	return operations()[i].Summary
}

func describe(method, path, id, text string, errs ...int) huma.Operation {
	return huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summaryOf(method, path), Description: text,
		Errors: append([]int{http.StatusUnauthorized, http.StatusServiceUnavailable}, errs...), MaxBodyBytes: bodyLimit, BodyReadTimeout: bodyTime,
		Tags: []string{strings.Split(strings.TrimPrefix(path, "/api/v1/"), "/")[0]},
	}
}

type apiPage struct {
	page
	Operations []operation
	Base       string
}

func (s *Server) apiPage(v *visit) error {
	p := apiPage{page: v.page("API", "api"), Operations: s.operations(), Base: s.base.String()}
	if p.Base == "" {
		p.Base = "http://" + v.r.Host
	}
	return s.render(v.w, v.r, http.StatusOK, "api", p)
}
