package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDCOptions describe an OpenID Connect provider. The address to register there is the base address followed by
// /sign-in/oidc/callback.
type OIDCOptions struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	// AllowDomains lets in whoever has a verified mail address in one of these domains, AllowGroups whoever is in one of
	// these groups by the claim "groups". One of the two is needed.
	AllowDomains []string
	AllowGroups  []string
	// Scopes asked for; nil means openid, email and profile.
	Scopes []string
	// Client makes the requests to the provider; nil means one of its own with a time-out of 10 s.
	Client *http.Client
}

// oidcClient asks the provider where its endpoints are when somebody first signs in, and again until it answers: the
// dashboard starts while the provider is down.
type oidcClient struct {
	s    *Server
	opts OIDCOptions

	mu       sync.Mutex
	provider *oidc.Provider
}

func newOIDC(s *Server, o OIDCOptions) (*oidcClient, error) {
	switch {
	case o.Issuer == "" || o.ClientID == "":
		return nil, errors.New("sign-in: oidc needs an issuer and a client id")
	case s.base.Host == "":
		return nil, errors.New("sign-in: oidc needs a base address, for the way back from the provider")
	case len(o.AllowDomains)+len(o.AllowGroups) == 0:
		return nil, errors.New("sign-in: oidc needs allowed domains or groups, or everybody with an account there could sign in")
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Scopes == nil {
		o.Scopes = []string{oidc.ScopeOpenID, "email", "profile"}
	}
	return &oidcClient{s: s, opts: o}, nil
}

func (c *oidcClient) discover(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.provider == nil {
		// The provider keeps its context for fetching keys later, so it must not end with this request.
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), c.opts.Client), c.opts.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("ask the sign-in provider %s for its endpoints: %w", c.opts.Issuer, err)
		}
		c.provider = p
	}
	return c.provider, &oauth2.Config{
		ClientID: c.opts.ClientID, ClientSecret: c.opts.ClientSecret, Endpoint: c.provider.Endpoint(),
		RedirectURL: c.s.base.String() + "/sign-in/oidc/callback", Scopes: c.opts.Scopes,
	}, nil
}

// oidcCookie holds state, nonce, PKCE verifier and the way back of a sign-in under way, in the browser that began it.
const oidcCookie = "notafter-oidc"

func (s *Server) oidcStart(w http.ResponseWriter, r *http.Request) error {
	_, conf, err := s.auth.oidc.discover(r.Context())
	if err != nil {
		s.log.Error("begin a sign-in", "error", err)
		return s.showSignIn(w, r, http.StatusBadGateway, "", "The sign-in provider does not answer. Try again in a moment.")
	}
	state, nonce, verifier := secret(), secret(), oauth2.GenerateVerifier()
	value := strings.Join([]string{state, nonce, verifier, hexPath(localPath(r.FormValue("next")))}, ".")
	http.SetCookie(w, &http.Cookie{
		Name: oidcCookie, Value: value, Path: "/sign-in/oidc", MaxAge: 600, HttpOnly: true,
		Secure: s.auth.secure(r), SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, conf.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), http.StatusSeeOther)
	return nil
}

func (s *Server) oidcCallback(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, &http.Cookie{Name: oidcCookie, Path: "/sign-in/oidc", MaxAge: -1, HttpOnly: true, Secure: s.auth.secure(r), SameSite: http.SameSiteLaxMode})
	refuse := func(who, why string) error {
		if err := s.note(r, who, "sign-in failed", "", why); err != nil {
			return err
		}
		return s.showSignIn(w, r, http.StatusForbidden, "", "Signing in through the provider did not work: "+why+".")
	}
	if wait := s.auth.perAddr.take("oidc "+party(s.remote(r)), s.now()); wait > 0 {
		return s.showSignIn(w, r, http.StatusTooManyRequests, "", "Too many attempts. Try again in a few minutes.")
	}
	var parts []string
	if c, err := r.Cookie(oidcCookie); err == nil {
		parts = strings.Split(c.Value, ".")
	}
	if len(parts) != 4 || !equal(parts[0], r.FormValue("state")) {
		return refuse("", "it was not begun in this browser, or took longer than ten minutes")
	}
	if e := r.FormValue("error"); e != "" {
		s.log.Warn("the sign-in provider refused", "error", e, "description", r.FormValue("error_description"))
		return refuse("", "the provider refused it")
	}
	who, err := s.auth.oidc.redeem(r.Context(), r.FormValue("code"), parts[1], parts[2])
	var no refusal
	if errors.As(err, &no) {
		return refuse(no.who, no.why)
	}
	if err != nil {
		s.log.Error("finish a sign-in", "error", err)
		return refuse("", "the provider's answer could not be verified")
	}
	s.auth.perAddr.forgive("oidc " + s.remote(r))
	if err := s.note(r, who, "sign-in", "", "oidc "+s.auth.oidc.opts.Issuer); err != nil {
		return err
	}
	if err := s.auth.begin(w, r, kindOIDC+who); err != nil {
		return err
	}
	http.Redirect(w, r, localPath(fromHexPath(parts[3])), http.StatusSeeOther)
	return nil
}

// refusal is an identity that was proven and is not let in.
type refusal struct{ who, why string }

func (r refusal) Error() string { return r.why }

// redeem exchanges the code and verifies what comes back: signature, issuer, audience, dates and nonce.
func (c *oidcClient) redeem(ctx context.Context, code, nonce, verifier string) (who string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	provider, conf, err := c.discover(ctx)
	if err != nil {
		return "", err
	}
	token, err := conf.Exchange(oidc.ClientContext(ctx, c.opts.Client), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return "", fmt.Errorf("exchange the code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return "", errors.New("the provider sent no id token")
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: c.opts.ClientID, Now: c.s.now}).Verify(oidc.ClientContext(ctx, c.opts.Client), raw)
	if err != nil {
		return "", fmt.Errorf("verify the id token: %w", err)
	}
	if !equal(id.Nonce, nonce) {
		return "", errors.New("the id token is not for this sign-in: its nonce differs")
	}
	var claims struct {
		Email    string   `json:"email"`
		Verified bool     `json:"email_verified"`
		Groups   []string `json:"groups"`
	}
	if err := id.Claims(&claims); err != nil {
		return "", fmt.Errorf("read the id token's claims: %w", err)
	}
	// A mail address that the provider did not verify is only what somebody typed in.
	who = id.Subject
	domain := ""
	if claims.Verified && claims.Email != "" {
		who = claims.Email
		domain = claims.Email[strings.LastIndexByte(claims.Email, '@')+1:]
	}
	inDomain := domain != "" && slices.ContainsFunc(c.opts.AllowDomains, func(d string) bool { return strings.EqualFold(d, domain) })
	inGroup := slices.ContainsFunc(claims.Groups, func(g string) bool { return slices.Contains(c.opts.AllowGroups, g) })
	switch {
	case inDomain || inGroup:
		return who, nil
	case !claims.Verified && len(c.opts.AllowGroups) == 0:
		return "", refusal{who, "the provider has not verified your mail address"}
	default:
		return "", refusal{who, "your account is not among those allowed here"}
	}
}
