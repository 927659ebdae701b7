package notify

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// keyErr is a mistake in a channel's settings. The address itself is never quoted: it may be the secret.
func keyErr(key, format string, args ...any) error {
	return fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...))
}

// checkURL requires an absolute http or https address without a fragment. Plain http is let through because
// Alertmanager and self-hosted receivers are commonly reached inside one network.
func checkURL(key, raw string) error {
	if raw == "" {
		return keyErr(key, "is required")
	}
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			return keyErr(key, "is not an address: %v", ue.Err)
		}
		return keyErr(key, "is not an address")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return keyErr(key, "must begin with https:// or http://")
	case u.Hostname() == "":
		return keyErr(key, "names no host")
	case u.Fragment != "":
		return keyErr(key, "has a fragment (#), which is never sent")
	}
	return nil
}

// checkSecret requires a secret without white space at its ends or control characters: those are leftovers of a file
// or a shell and make every delivery fail.
func checkSecret(key, s string, shortest int) error {
	switch {
	case s == "":
		return keyErr(key, "is required")
	case strings.TrimSpace(s) != s:
		return keyErr(key, "begins or ends with white space")
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return keyErr(key, "holds a control character")
	case len(s) < shortest:
		return keyErr(key, "is shorter than %d characters", shortest)
	}
	return nil
}

// named puts the channel in front of a mistake in its settings.
func named(kind, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s channel %q: %w", kind, name, err)
}

// under joins a path to a base address, keeping the base's own path and query.
func under(base, path string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	return u.JoinPath(path).String()
}
