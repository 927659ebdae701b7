package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// AuthOptions say who may sign in. The zero value means that nobody has to.
type AuthOptions struct {
	// Users may sign in with a password; their hashes are argon2id in the PHC format, as [HashPassword] makes them.
	Users []assure.User
	// StoredUsers lets users of [Accounts] sign in as well.
	StoredUsers bool
	// OIDC lets people sign in through an OpenID Connect provider.
	OIDC *OIDCOptions
	// Idle is how long a session lasts without a request (default 12 h), Longest how long in any case (default 7 days).
	Idle, Longest time.Duration
}

const (
	defaultIdle    = 12 * time.Hour
	defaultLongest = 7 * 24 * time.Hour
	// tokenPrefix lets scanners for leaked secrets know a token of ours.
	tokenPrefix = "notafter_"
)

// Scopes of a token. Write includes read.
const (
	scopeRead  = "read"
	scopeWrite = "write"
)

// Kinds of users in a session; the name follows after the slash.
const (
	kindLocal = "local/"
	kindOIDC  = "oidc/"
)

type auth struct {
	s       *Server
	opts    AuthOptions
	users   map[string]phc
	oidc    *oidcClient
	perPair *attempts // by name and remote address
	perName *attempts
	perAddr *attempts
	// perDevice is by the number of a browser that signed in before; the others do not count for those.
	perDevice *attempts
	hashing   chan struct{} // slots for hashing passwords: each takes 64 MiB
}

func newAuth(s *Server, o AuthOptions) (*auth, error) {
	a := &auth{
		s: s, opts: o, users: map[string]phc{}, hashing: make(chan struct{}, 2),
		perPair: newAttempts(5, 5*time.Minute), perName: newAttempts(50, 15*time.Minute), perAddr: newAttempts(30, 15*time.Minute),
		perDevice: newAttempts(10, 15*time.Minute),
	}
	if a.opts.Idle <= 0 {
		a.opts.Idle = defaultIdle
	}
	if a.opts.Longest <= 0 {
		a.opts.Longest = defaultLongest
	}
	for _, u := range o.Users {
		if u.Name == "" {
			return nil, errors.New("sign-in: a user without a name")
		}
		p, err := parsePHC(u.PasswordHash)
		if err != nil {
			return nil, fmt.Errorf("sign-in: user %q: %w", u.Name, err)
		}
		a.users[u.Name] = p
	}
	if o.OIDC != nil {
		c, err := newOIDC(s, *o.OIDC)
		if err != nil {
			return nil, err
		}
		a.oidc = c
	}
	if a.on() && s.opts.Accounts == nil {
		return nil, errors.New("sign-in: there is nowhere to keep sessions")
	}
	return a, nil
}

// on reports whether anybody has to sign in.
func (a *auth) on() bool { return a.local() || a.oidc != nil }

// local reports whether passwords are taken.
func (a *auth) local() bool { return len(a.users) > 0 || a.opts.StoredUsers }

// identity is who makes a request. The zero value is nobody.
type identity struct {
	name    string // for people and the audit log; empty where nobody signs in
	scope   string // what it may do: read or write; empty for nobody
	csrf    string // of the session; empty for a token
	token   string // name of the bearer token, when it is one
	session []byte // hash of the session's secret
}

func (i identity) may(scope string) bool {
	return i.scope == scopeWrite || i.scope == scope && scope != ""
}

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// secret is 256 random bits in URL-safe base64.
func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func equal(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// who tells whom a request comes from: a bearer token first, then the session of the cookie. A request that shows a bad
// token is nobody's, whatever cookie it has.
func (a *auth) who(r *http.Request) (identity, error) {
	if !a.on() {
		return identity{scope: scopeWrite, csrf: a.s.openKey}, nil
	}
	if h := r.Header.Get("Authorization"); h != "" {
		kind, value, _ := strings.Cut(h, " ")
		if !strings.EqualFold(kind, "Bearer") || value == "" || len(value) > 512 {
			return identity{}, nil
		}
		return a.bearer(r.Context(), strings.TrimSpace(value))
	}
	c, err := r.Cookie(a.cookieName(r))
	if err != nil || c.Value == "" || len(c.Value) > 128 {
		return identity{}, nil
	}
	return a.session(r.Context(), hash(c.Value))
}

func (a *auth) bearer(ctx context.Context, value string) (identity, error) {
	t, err := a.s.opts.Accounts.Token(ctx, hash(value))
	switch {
	case errors.Is(err, assure.ErrNotFound):
		return identity{}, nil
	case err != nil:
		return identity{}, fmt.Errorf("look up a token: %w", err)
	case !t.Expires.IsZero() && !a.s.now().Before(t.Expires):
		return identity{}, nil
	case t.Scope != scopeRead && t.Scope != scopeWrite:
		return identity{}, nil
	}
	return identity{name: "token " + t.Name, scope: t.Scope, token: t.Name}, nil
}

// session finds a session and lets it last longer when it is used. One that ended, or whose user may no longer sign
// in, is nobody's.
func (a *auth) session(ctx context.Context, key []byte) (identity, error) {
	ses, err := a.s.opts.Accounts.Session(ctx, key)
	if errors.Is(err, assure.ErrNotFound) {
		return identity{}, nil
	}
	if err != nil {
		return identity{}, fmt.Errorf("look up a session: %w", err)
	}
	now := a.s.now()
	end := ses.Created.Add(a.opts.Longest)
	if !now.Before(ses.Expires) || !now.Before(end) {
		return identity{}, nil
	}
	name, ok, err := a.stillWelcome(ctx, ses.User)
	if err != nil || !ok {
		return identity{}, err
	}
	// Written at most once in a tenth of the idle time, so that a page that updates itself does not write each time.
	if next := earlier(now.Add(a.opts.Idle), end); next.Sub(ses.Expires) > a.opts.Idle/10 {
		ses.Expires = next
		if err := a.s.opts.Accounts.PutSession(ctx, ses); err != nil {
			return identity{}, fmt.Errorf("lengthen a session: %w", err)
		}
	}
	return identity{name: name, scope: scopeWrite, csrf: ses.CSRF, session: key}, nil
}

// stillWelcome reports whether a session's user could sign in today, and by which name people know them.
func (a *auth) stillWelcome(ctx context.Context, user string) (name string, ok bool, err error) {
	if name, ok := strings.CutPrefix(user, kindOIDC); ok {
		return name, a.oidc != nil, nil
	}
	name, ok = strings.CutPrefix(user, kindLocal)
	if !ok {
		return "", false, nil
	}
	if _, ok := a.users[name]; ok {
		return name, true, nil
	}
	if !a.opts.StoredUsers {
		return name, false, nil
	}
	if _, err := a.s.opts.Accounts.User(ctx, name); errors.Is(err, assure.ErrNotFound) {
		return name, false, nil
	} else if err != nil {
		return name, false, fmt.Errorf("look up a user: %w", err)
	}
	return name, true, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// begin makes a session and sets its cookie. A new secret for each sign-in means that none can be planted beforehand.
func (a *auth) begin(w http.ResponseWriter, r *http.Request, user string) error {
	value, now := secret(), a.s.now().UTC()
	err := a.s.opts.Accounts.PutSession(r.Context(), assure.Session{
		TokenHash: hash(value), User: user, CSRF: secret(), Created: now,
		Expires: earlier(now.Add(a.opts.Idle), now.Add(a.opts.Longest)),
	})
	if err != nil {
		return fmt.Errorf("keep a session: %w", err)
	}
	http.SetCookie(w, a.cookie(r, value, int(a.opts.Longest/time.Second)))
	return nil
}

// secure reports whether the browser reaches this server over TLS.
func (a *auth) secure(r *http.Request) bool { return r.TLS != nil || a.s.base.Scheme == "https" }

// cookieName has the __Host- prefix where the browser can hold us to it: then no other host or path can set it.
func (a *auth) cookieName(r *http.Request) string {
	if a.secure(r) {
		return "__Host-notafter"
	}
	return "notafter"
}

func (a *auth) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{Name: a.cookieName(r), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: a.secure(r), SameSite: http.SameSiteLaxMode}
}
