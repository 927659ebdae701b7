package web

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Guessing a password is made slow for each name, wherever the attempts come from. That alone would let anybody lock a
// person out for as long as they like, by guessing wrong. So a browser in which somebody has signed in before gets a
// cookie that says so ("device cookie", OWASP: Slow Down Online Guessing Attacks with Device Cookies), and attempts from
// it are counted by themselves: neither what strangers do to the name, nor what others do behind the same address, keeps
// its owner out. A stolen cookie gives a few guesses and nothing else. On a new device, the owner of a name that is being
// attacked has to wait as everybody else.
//
// The cookie is a random number and its HMAC under the hash of the password, so nothing has to be kept, it outlives a
// restart, and a new password makes it void.
const (
	deviceCookie = "notafter-device"
	// deviceAge is the longest that browsers keep a cookie (RFC 6265bis section 5.5), in seconds.
	deviceAge = 400 * 24 * 3600
)

// deviceKey is what the cookies of a user are signed with.
func deviceKey(p phc, name string) []byte {
	m := hmac.New(sha256.New, slices.Concat(p.salt, p.tag))
	_, _ = m.Write([]byte("notafter device cookie\x00" + name))
	return m.Sum(nil)
}

func deviceSign(key []byte, number string) string {
	m := hmac.New(sha256.New, key)
	_, _ = m.Write([]byte(number))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// device is the number of the browser in which the user of that name has signed in before; empty for any other.
func (a *auth) device(r *http.Request, name string) (string, error) {
	c, err := r.Cookie(deviceCookie)
	if err != nil || len(c.Value) > 128 {
		return "", nil //nolint:nilerr // there is no cookie
	}
	number, mac, _ := strings.Cut(c.Value, ".")
	p, known, err := a.lookUp(r.Context(), name)
	if err != nil || !known || number == "" {
		return "", err
	}
	if !equal(mac, deviceSign(deviceKey(p, name), number)) {
		return "", nil
	}
	return number, nil
}

// remember lets the browser show next time that the user has signed in here.
func (a *auth) remember(w http.ResponseWriter, r *http.Request, name string) error {
	if number, err := a.device(r, name); err != nil || number != "" {
		return err // it can already
	}
	p, known, err := a.lookUp(r.Context(), name)
	if err != nil || !known {
		return err
	}
	number := secret()
	http.SetCookie(w, &http.Cookie{
		Name: deviceCookie, Value: number + "." + deviceSign(deviceKey(p, name), number), Path: "/sign-in", MaxAge: deviceAge,
		HttpOnly: true, Secure: a.secure(r), SameSite: http.SameSiteStrictMode,
	})
	return nil
}

// wait counts an attempt of whoever makes a request to sign in, and says how long to wait when there were too many.
func (a *auth) wait(r *http.Request, name, remote string) (time.Duration, error) {
	number, err := a.device(r, name)
	if err != nil {
		return 0, err
	}
	if number != "" {
		return a.perDevice.take(number, a.s.now()), nil
	}
	return a.hold(name, remote), nil
}

// lookUp finds the hash of a user's password.
func (a *auth) lookUp(ctx context.Context, name string) (p phc, known bool, err error) {
	if p, known = a.users[name]; known || !a.opts.StoredUsers {
		return p, known, nil
	}
	u, err := a.s.opts.Accounts.User(ctx, name)
	switch {
	case errors.Is(err, assure.ErrNotFound):
		return phc{}, false, nil
	case err != nil:
		return phc{}, false, fmt.Errorf("look up a user: %w", err)
	}
	if p, err = parsePHC(u.PasswordHash); err != nil {
		return phc{}, false, fmt.Errorf("user %q: %w", name, err)
	}
	return p, true, nil
}
