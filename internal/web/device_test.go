package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/assure"
)

// Strangers who guess wrong for ever must not keep out the person whose name it is, in a browser that signed in before;
// and guessing stays slow for everybody else, and for whoever has stolen that browser's cookie.
func TestStrangersDoNotLockTheOwnerOut(t *testing.T) {
	w := newWorld()
	srv := locked(t, w, func(o *Options) {
		o.TrustedProxies = prefixes("127.0.0.0/8")
		o.Auth.Users = append(o.Auth.Users, assure.User{Name: "ben", PasswordHash: cheap(t)})
	})
	from := func(c *http.Client, ip, user, password string) int {
		t.Helper()
		r, err := c.Get(srv.URL + "/sign-in")
		_, form, _ := read(t, r, err)
		body := url.Values{"form": {hidden(form, "form")}, "user": {user}, "password": {password}}.Encode()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/sign-in", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		q.Header.Set("X-Forwarded-For", ip)
		r, err = c.Do(q)
		code, _, _ := read(t, r, err)
		return code
	}
	out := func(c *http.Client) { // the session ends, the browser stays
		u, err := url.Parse(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		c.Jar.SetCookies(u, []*http.Cookie{{Name: "notafter", MaxAge: -1, Path: "/"}})
	}
	home, elsewhere, thief := client(t), client(t), client(t)
	if code := from(home, "192.0.2.1", "ana", "pw"); code != http.StatusSeeOther {
		t.Fatalf("signing in gives %d", code)
	}
	out(home)
	for i := range 60 {
		from(elsewhere, "198.51.100."+string(rune('0'+i%10))+string(rune('0'+i/10)), "ana", "wrong")
	}
	if code := from(elsewhere, "203.0.113.1", "ana", "pw"); code != http.StatusTooManyRequests {
		t.Errorf("a stranger's next guess gives %d", code)
	}
	if code := from(home, "203.0.113.2", "ana", "pw"); code != http.StatusSeeOther {
		t.Errorf("the owner gets %d in a browser that signed in before", code)
	}
	out(home)
	// The cookie is good for one name only, and for a few guesses.
	u, err := url.Parse(srv.URL + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range home.Jar.Cookies(u) {
		if c.Name == deviceCookie {
			thief.Jar.SetCookies(u, []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/sign-in"}})
		}
	}
	guesses := 0
	for from(thief, "203.0.113.3", "ana", "wrong") == http.StatusUnauthorized {
		guesses++
	}
	if guesses > 10 {
		t.Errorf("a stolen cookie gave %d guesses", guesses)
	}
	others := 0
	for from(thief, "203.0.113.4", "ben", "wrong") == http.StatusUnauthorized {
		others++
	}
	if others != 5 {
		t.Errorf("the cookie of one name gave %d guesses at another, want as many as anybody has", others)
	}
}
