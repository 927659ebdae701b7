package web

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

type tokensPage struct {
	page
	Tokens  []assure.Token
	Made    string // a token's value, shown this once
	MadeFor string
	Problem string
	Name    string
}

func (s *Server) tokens(v *visit) error { return s.showTokens(v, http.StatusOK, tokensPage{}) }

func (s *Server) showTokens(v *visit, status int, p tokensPage) error {
	list, err := s.opts.Accounts.Tokens(v.r.Context())
	if err != nil {
		return fmt.Errorf("read tokens: %w", err)
	}
	p.page, p.Tokens = v.page("API tokens", "tokens"), list
	return s.render(v.w, v.r, status, "tokens", p)
}

func (s *Server) createToken(v *visit) error {
	name, scope := strings.TrimSpace(v.r.PostFormValue("name")), v.r.PostFormValue("scope")
	fail := func(why string) error {
		return s.showTokens(v, http.StatusUnprocessableEntity, tokensPage{Problem: why, Name: name})
	}
	if name == "" || len(name) > 80 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return fail("Give the token a name of at most 80 characters, such as the program that will use it.")
	}
	if scope != scopeRead && scope != scopeWrite {
		return fail("Choose what the token may do.")
	}
	days, err := strconv.Atoi(v.r.PostFormValue("days"))
	if err != nil || days < 0 || days > 3650 {
		return fail("Choose how long the token lasts.")
	}
	list, err := s.opts.Accounts.Tokens(v.r.Context())
	if err != nil {
		return fmt.Errorf("read tokens: %w", err)
	}
	if slices.ContainsFunc(list, func(t assure.Token) bool { return t.Name == name }) {
		return fail("There is a token of that name already. Revoke it first, or choose another name.")
	}
	now := s.now().UTC()
	t := assure.Token{Name: name, Scope: scope, Created: now}
	detail := scope + ", without end"
	if days > 0 {
		t.Expires = now.Add(time.Duration(days) * 24 * time.Hour)
		detail = scope + ", until " + t.Expires.Format(time.RFC3339)
	}
	value := tokenPrefix + secret()
	t.TokenHash = hash(value)
	if err := s.note(v.r, v.who.name, "token created", name, detail); err != nil {
		return err
	}
	if err := s.opts.Accounts.PutToken(v.r.Context(), t); err != nil {
		return fmt.Errorf("keep a token: %w", err)
	}
	return s.showTokens(v, http.StatusCreated, tokensPage{Made: value, MadeFor: name})
}

func (s *Server) revokeToken(v *visit) error {
	name := v.r.PostFormValue("name")
	if err := s.note(v.r, v.who.name, "token revoked", name, ""); err != nil {
		return err
	}
	if err := s.opts.Accounts.DeleteToken(v.r.Context(), name); err != nil && !errors.Is(err, assure.ErrNotFound) {
		return fmt.Errorf("revoke a token: %w", err)
	}
	http.Redirect(v.w, v.r, "/tokens", http.StatusSeeOther)
	return nil
}

type auditPage struct {
	page
	Lines []assure.Audit
	Pager pager
}

const auditLines = 100

func (s *Server) audit(v *visit) error {
	n := pageNumber(v.r)
	lines, err := s.opts.Accounts.AuditLog(v.r.Context(), auditLines+1, (n-1)*auditLines)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	p := auditPage{page: v.page("Audit log", "audit")}
	more := len(lines) > auditLines
	if more {
		lines = lines[:auditLines]
	}
	p.Lines = lines
	p.Pager = newPager(v.r, n, auditLines, len(lines), -1, more)
	return s.render(v.w, v.r, http.StatusOK, "audit", p)
}

// hexPath keeps a path in a cookie, where few characters are allowed.
func hexPath(p string) string { return hex.EncodeToString([]byte(p)) }

func fromHexPath(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		return "/"
	}
	return string(b)
}
