package notify

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// redacted stands where a secret stood.
const redacted = "[redacted]"

// shortestSecret is the length from which a text is recognisable as a secret. Shorter ones are refused by the
// configuration where a service lets us choose them.
const shortestSecret = 6

// redactor takes a channel's secrets out of texts, in the forms in which they travel.
type redactor struct{ replace *strings.Replacer }

func newRedactor(secrets []string) redactor {
	var forms []string
	for _, s := range secrets {
		if len(s) < shortestSecret {
			continue
		}
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), strings.ToLower(s), strings.ToUpper(s),
			base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)))
	}
	// The longest first: a form that contains another must not be left with its rest showing.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(forms))
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, redacted)
	}
	return redactor{strings.NewReplacer(pairs...)}
}

func (r redactor) text(s string) string { return r.replace.Replace(s) }

// urlSecrets are the parts of a webhook's address that are as good as a password: credentials, path and query, whole
// and piece by piece, because services echo pieces.
func urlSecrets(raw string) []string {
	u, err := url.Parse(raw)
	if err != nil {
		return []string{raw}
	}
	out := []string{raw}
	if p := u.EscapedPath(); len(p) > 1 {
		out = append(out, p, u.Path)
		for part := range strings.SplitSeq(strings.Trim(u.Path, "/"), "/") {
			// Short and plain words of a path ("services", "hooks") are no secret and may stand in any sentence.
			if len(part) >= 8 && !plainWord(part) {
				out = append(out, part)
			}
		}
	}
	if u.RawQuery != "" {
		out = append(out, u.RawQuery)
		for _, vs := range u.Query() {
			out = append(out, vs...)
		}
	}
	return append(out, userinfo(raw)...)
}

// basicPair is what basic authentication encodes; the redactor knows the encoding.
func basicPair(user, password string) string {
	if password == "" {
		return ""
	}
	return user + ":" + password
}

func plainWord(s string) bool {
	for _, r := range s {
		if r < 'a' || r > 'z' {
			return false
		}
	}
	return true
}

// redactURL tells where something was sent without what may be secret in the address.
func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return redacted
	}
	s := u.Scheme + "://" + u.Host
	if len(u.Path) > 1 || u.RawQuery != "" {
		s += "/…"
	}
	return s
}

// userinfo are the credentials in an address, when it holds any.
func userinfo(raw string) []string {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return nil
	}
	p, _ := u.User.Password()
	return []string{u.User.String(), u.User.Username(), p, basicPair(u.User.Username(), p)}
}
