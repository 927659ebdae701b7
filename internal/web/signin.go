package web

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/notafter/notafter/internal/assure"
)

type signInPage struct {
	page
	Local   bool
	OIDC    bool
	Next    string
	User    string
	Problem string
	Form    string
}

// formCookie ties the sign-in form to the browser it was made for, so that nobody can be signed in as somebody else.
const formCookie = "notafter-form"

func (s *Server) signInForm(w http.ResponseWriter, r *http.Request) error {
	if who, err := s.auth.who(r); err == nil && who.scope != "" {
		http.Redirect(w, r, localPath(r.FormValue("next")), http.StatusSeeOther)
		return nil
	}
	return s.showSignIn(w, r, http.StatusOK, "", "")
}

func (s *Server) showSignIn(w http.ResponseWriter, r *http.Request, status int, user, text string) error {
	form := ""
	if c, err := r.Cookie(formCookie); err == nil && len(c.Value) == 43 {
		form = c.Value
	} else {
		form = secret()
		http.SetCookie(w, &http.Cookie{Name: formCookie, Value: form, Path: "/sign-in", HttpOnly: true, Secure: s.auth.secure(r), SameSite: http.SameSiteStrictMode})
	}
	p := signInPage{
		page: s.plainPage("Sign in"), Local: s.auth.local(), OIDC: s.auth.oidc != nil, Next: localPath(r.FormValue("next")),
		User: user, Problem: text, Form: form,
	}
	return s.render(w, r, status, "sign_in", p)
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	c, err := r.Cookie(formCookie)
	if err != nil || !equal(c.Value, r.PostFormValue("form")) {
		return s.showSignIn(w, r, http.StatusForbidden, "", "This form had grown old, or cookies are switched off. Please try again.")
	}
	name, remote := strings.TrimSpace(r.PostFormValue("user")), s.remote(r)
	if len(name) > 200 {
		name = name[:200]
	}
	wait, err := s.auth.wait(r, name, remote)
	if err != nil {
		return err
	}
	if wait > 0 {
		// Not in the audit log: whoever knocks without end must not be able to fill the disk. The failed attempts that led
		// here are in it.
		s.log.Debug("sign-in refused: too many attempts", "remote", remote)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return s.showSignIn(w, r, http.StatusTooManyRequests, name, "Too many attempts. Try again in "+assure.Ago(wait.Round(time.Second))+".")
	}
	ok, err := s.auth.check(r.Context(), name, r.PostFormValue("password"))
	if err != nil {
		return err
	}
	if !ok {
		if err := s.note(r, name, "sign-in failed", "", "wrong name or password"); err != nil {
			return err
		}
		return s.showSignIn(w, r, http.StatusUnauthorized, name, "The name or the password is wrong.")
	}
	s.auth.perPair.forgive(name + "\x00" + party(remote))
	if err := s.note(r, name, "sign-in", "", "password"); err != nil {
		return err
	}
	if err := s.auth.begin(w, r, kindLocal+name); err != nil {
		return err
	}
	if err := s.auth.remember(w, r, name); err != nil {
		return err
	}
	http.Redirect(w, r, localPath(r.PostFormValue("next")), http.StatusSeeOther)
	return nil
}

// hold counts an attempt and says how long to wait when there were too many.
func (a *auth) hold(name, remote string) time.Duration {
	now, remote := a.s.now(), party(remote)
	return max(a.perPair.take(name+"\x00"+remote, now), a.perName.take(name, now), a.perAddr.take(remote, now))
}

// check compares a password with the user's. A name that does not exist takes as long.
func (a *auth) check(ctx context.Context, name, password string) (bool, error) {
	p, known, err := a.lookUp(ctx, name)
	if err != nil {
		return false, err
	}
	if !known {
		p = nobody()
	}
	if !a.local() {
		return false, nil
	}
	select {
	case a.hashing <- struct{}{}:
		defer func() { <-a.hashing }()
	case <-ctx.Done():
		return false, fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	return p.matches(password) && known, nil
}

func (s *Server) signOut(v *visit) error {
	if err := s.opts.Accounts.DeleteSession(v.r.Context(), v.who.session); err != nil && !errors.Is(err, assure.ErrNotFound) {
		return fmt.Errorf("end a session: %w", err)
	}
	http.SetCookie(v.w, s.auth.cookie(v.r, "", -1))
	if err := s.note(v.r, v.who.name, "sign-out", "", ""); err != nil {
		return err
	}
	v.w.Header().Set("Clear-Site-Data", `"cache"`)
	http.Redirect(v.w, v.r, "/sign-in", http.StatusSeeOther)
	return nil
}

// note writes a line to the audit log. What cannot be noted is not done.
func (s *Server) note(r *http.Request, who, action, object, detail string) error {
	err := s.opts.Accounts.Log(r.Context(), assure.Audit{At: s.now().UTC(), Who: who, Remote: s.remote(r), Action: action, Object: object, Detail: detail})
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// localPath lets a page of this server through and turns anything else into the overview, so that signing in cannot
// lead elsewhere.
func localPath(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsFunc(p, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }) || len(p) > 2000 || strings.HasPrefix(p, "/sign-in") {
		return "/"
	}
	return p
}
