package app

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/web"
)

func (a *App) newWeb(c *config.Config) (*web.Server, error) {
	return web.New(web.Options{
		Reader: a.db, Changer: a.db, Accounts: a.db, Renewals: a.db, Renewer: a, Inventory: a.Snapshot, RenewedBy: a.RenewedBy, Grants: a.db, Plans: a, Logger: a.log, Registerer: a.reg, Gatherer: a.reg, Now: a.now,
		BaseURL: c.BaseURL, Auth: signIn(c.SignIn), Probe: a.look, Changed: a.changes.wait, Health: a.health, Ready: a.db.Ping,
		Policy: c.Policy(), Version: a.opts.Version,
	})
}

// bodyTime is how long the body of a request may take to arrive.
const bodyTime = 30 * time.Second

// inTime bounds how long a request's body may take. Without it, a client that announces a body and never sends it
// keeps its connection for ever, because the server waits for the rest before it answers.
func inTime(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // the socket's own clock
		}
		h.ServeHTTP(w, r)
	})
}

// stuckAfter is how long the patrol may be without an answer of the ledger before the process is better started again.
const stuckAfter = 2 * time.Minute

// health fails when the patrol stands still.
func (a *App) health(context.Context) error {
	last := a.patrol.Ticked()
	if last.IsZero() {
		last = a.started
	}
	if d := a.now().Sub(last); d > stuckAfter {
		return fmt.Errorf("the patrol has not been able to look for due work for %s", assure.Ago(d))
	}
	return nil
}

func signIn(s config.SignIn) web.AuthOptions {
	var o web.AuthOptions
	for _, u := range s.Users {
		o.Users = append(o.Users, assure.User{Name: u.Name, PasswordHash: u.PasswordHash.Value()})
	}
	if s.OIDC != nil {
		o.OIDC = &web.OIDCOptions{
			Issuer: s.OIDC.Issuer, ClientID: s.OIDC.ClientID, ClientSecret: s.OIDC.ClientSecret.Value(),
			AllowDomains: s.OIDC.AllowDomains, AllowGroups: s.OIDC.AllowGroups,
		}
	}
	return o
}

func sameSignIn(a, b config.SignIn) bool {
	x, y := signIn(a), signIn(b)
	same := slices.EqualFunc(x.Users, y.Users, func(u, v assure.User) bool { return u.Name == v.Name && u.PasswordHash == v.PasswordHash })
	if x.OIDC == nil || y.OIDC == nil {
		return same && x.OIDC == y.OIDC
	}
	p, q := x.OIDC, y.OIDC
	return same && p.Issuer == q.Issuer && p.ClientID == q.ClientID && p.ClientSecret == q.ClientSecret &&
		slices.Equal(p.AllowDomains, q.AllowDomains) && slices.Equal(p.AllowGroups, q.AllowGroups)
}

// modules maps the names that modules of blackbox_exporter commonly have to schemes, so that an existing scrape job can
// be pointed here as it is. A scheme's own name is a module too.
var modules = map[string]string{
	"": "", "http_2xx": "", "http_post_2xx": "", "tcp_connect": "", "tcp_connect_tls": "", "tcp_tls": "", "tls_connect": "",
	"smtp_starttls": "smtp", "imap_starttls": "imap", "pop3_starttls": "pop3", "http3_2xx": "h3",
}

// look looks once for whoever asks, and records nothing.
func (a *App) look(ctx context.Context, target, module string) (assure.Served, assure.Judgement, error) {
	t, err := probeTarget(target, module)
	if err != nil {
		return assure.Served{}, assure.Judgement{}, err
	}
	w := a.world.Load()
	served := w.prober.Look(ctx, t)
	now := a.now()
	s := w.setting
	s.Now, s.Policy.Confirm = now, 0
	c := assure.Claim{ID: assure.NewClaimID(assure.Serving, "", t.String()), Link: assure.Serving, Subject: t.String(), Declared: now, Every: w.config.Every.Std()}
	j := assure.Judge(assure.Case{Claim: c, Evidence: &assure.Evidence{Claim: c.ID, Fact: served, Observer: "probe@" + hostOf(a.owner), FirstSeen: now, LastSeen: now, Count: 1}}, s)
	return served, j, nil
}

// probeTarget reads a target as blackbox_exporter takes it as well: a URL may have a path, and http means its port is
// asked for TLS all the same, which says what is wrong with the job.
func probeTarget(target, module string) (assure.Target, error) {
	if strings.Contains(target, "://") {
		if u, err := url.Parse(target); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
			target = "https://" + u.Host
		}
	}
	scheme, known := modules[module]
	if _, own := assure.Schemes()[module]; own {
		scheme, known = module, true
	}
	if !known {
		return assure.Target{}, fmt.Errorf("unknown module %q: want a scheme (%s) or a usual name of blackbox_exporter (%s)", module,
			strings.Join(slices.Sorted(maps.Keys(assure.Schemes())), ", "), strings.Join(slices.Sorted(maps.Keys(modules))[1:], ", "))
	}
	if scheme != "" && scheme != "tls" && !strings.Contains(target, "://") {
		target = scheme + "://" + target
	}
	return assure.ParseTarget(target)
}
