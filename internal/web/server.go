package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/notafter/notafter/internal/assure"
)

// ProbeFunc looks once at a target, now, and judges what it saw. Nothing is recorded. An unknown module is an error.
type ProbeFunc func(ctx context.Context, target, module string) (assure.Served, assure.Judgement, error)

// Options of a server. Reader is required; what else is nil switches off the part that needs it.
type Options struct {
	Reader   Reader
	Changer  Changer  // nil: nothing can be acknowledged here
	Accounts Accounts // needed with Auth
	Renewals Renewals // nil: nothing is renewed here
	Renewer  Renewer  // nil: nothing can be renewed or rehearsed from here; needs Renewals
	// Inventory is the certificates as `notafter guard` takes them, in JSON. Nil: there is none to be had here.
	Inventory func(ctx context.Context) ([]byte, error)
	Grants    Grants // nil: nothing is told of what permissions rest on
	Plans     Plans  // nil: nobody wants to hear of what is applied
	// RenewedBy names what renews a certificate, and how long changes of its rights take to count. Nil: neither is told.
	RenewedBy func(certificate string) (renewer string, settles time.Duration)
	Logger    *slog.Logger
	// Registerer takes the collectors of this room, Gatherer is what /metrics shows. A [prometheus.Registry] is both.
	// With a nil Gatherer there is no /metrics.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
	// Now tells the time; nil means time.Now.
	Now func() time.Time
	// BaseURL is how people reach the dashboard, such as "https://notafter.example.com". Its path must be empty.
	BaseURL string
	Auth    AuthOptions
	// TrustedProxies may say in X-Forwarded-For whom a request comes from. Without them the connection's address counts.
	TrustedProxies []netip.Prefix
	// Probe answers /probe and the page and API call that look once. Nil: neither exists.
	Probe ProbeFunc
	// Changed returns a channel that is closed at the next commit that could change a page. A channel that is returned
	// again after it was closed means that there will be no more: event streams end. Nil: pages do not update themselves.
	Changed func() <-chan struct{}
	// Health fails when the process should be restarted, Ready when it should get no requests. Nil Health means always
	// well; nil Ready asks the reader.
	Health, Ready func(ctx context.Context) error
	// Policy is the one that judges, for drawing the points in a certificate's life.
	Policy  assure.Policy
	Version string
	// CertificateSeries is how many certificates get a metric series of their own (5,000 when 0, none when negative),
	// those with the shortest runway first.
	CertificateSeries int
}

// Server is the dashboard. Make it with [New]; it is safe for concurrent use.
type Server struct {
	opts    Options
	log     *slog.Logger
	now     func() time.Time
	base    *url.URL
	assets  *assets
	pages   map[string]*template.Template
	streams *streams
	guard   *guard
	auth    *auth
	looks   chan struct{} // slots for looks that a request asked for
	openKey string        // form token where nobody signs in
	handler http.Handler
}

// maxLooks is how many looks for requests run at the same time, so that the server is no scanner for hire. A target that
// is silent holds its slot until the time is up; with few slots, a handful of those would starve every other scrape.
const maxLooks = 64

// New checks the options and builds the server. It makes no connections.
func New(o Options) (*Server, error) {
	if o.Reader == nil {
		return nil, errors.New("web: no reader")
	}
	s := &Server{opts: o, log: o.Logger, now: o.Now, looks: make(chan struct{}, maxLooks), openKey: rand.Text()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.base, err = parseBase(o.BaseURL); err != nil {
		return nil, err
	}
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = loadPages(s.assets); err != nil {
		return nil, err
	}
	if s.auth, err = newAuth(s, o.Auth); err != nil {
		return nil, err
	}
	if o.Registerer != nil {
		if err := s.registerMetrics(o.Registerer); err != nil {
			return nil, err
		}
	}
	s.streams = newStreams(o.Changed)
	s.guard = newGuard(s)
	if s.handler, err = s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

func parseBase(text string) (*url.URL, error) {
	if text == "" {
		return &url.URL{}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("base address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("base address %q: want http:// or https:// and a host", text)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("base address %q: must have no path, query or user; the dashboard needs a host name of its own", text)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// Handler serves everything. Every request has time-outs of its own, which is why the http.Server around it needs none
// but for headers and idle connections.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	page := func(pattern string, h func(*visit) error) { mux.Handle(pattern, s.page(h)) }
	page("GET /{$}", s.overview)
	page("GET /certificates/{name}", s.certificate)
	page("GET /incidents", s.incidents)
	page("GET /incidents/{id}", s.incident)
	page("GET /monitor", s.monitor)
	page("GET /api", s.apiPage)
	if s.opts.Changer != nil {
		page("POST /incidents/{id}/acknowledge", s.acknowledge)
	}
	if s.opts.Renewals != nil && s.opts.Renewer != nil {
		page("POST /certificates/{name}/renew", s.renewNow)
		page("POST /certificates/{name}/rehearse", s.rehearseNow)
	}
	if s.opts.Probe != nil {
		page("GET /look", s.lookForm)
		page("POST /look", s.lookNow)
		mux.Handle("GET /probe", s.bearer(scopeRead, http.HandlerFunc(s.probe)))
	}
	if s.auth.on() {
		page("GET /tokens", s.tokens)
		page("POST /tokens", s.createToken)
		page("POST /tokens/revoke", s.revokeToken)
		page("POST /sign-out", s.signOut)
		mux.Handle("GET /sign-in", s.public(s.signInForm))
		mux.Handle("POST /sign-in", s.public(s.signIn))
		if s.auth.oidc != nil {
			mux.Handle("GET /sign-in/oidc", s.public(s.oidcStart))
			mux.Handle("GET /sign-in/oidc/callback", s.public(s.oidcCallback))
		}
	}
	if s.opts.Accounts != nil {
		page("GET /audit", s.audit)
	}
	if s.opts.Gatherer != nil {
		mux.Handle("GET /metrics", s.bearer(scopeRead, s.metricsHandler()))
	}
	mux.Handle("GET /events", s.bearer(scopeRead, http.HandlerFunc(s.events)))
	mux.Handle("GET /healthz", http.HandlerFunc(s.healthz))
	mux.Handle("GET /readyz", http.HandlerFunc(s.readyz))
	mux.Handle("GET /assets/", s.assets)
	api, err := s.api()
	if err != nil {
		return nil, err
	}
	mux.Handle("/api/v1/", s.guardAPI(api))
	missing := s.page(func(*visit) error { return fmt.Errorf("no such page: %w", assure.ErrNotFound) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "There is nothing here that takes this method.", http.StatusNotFound)
			return
		}
		missing.ServeHTTP(w, r)
	})
	return s.guard.wrap(mux), nil
}
