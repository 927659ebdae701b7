package dnswriter

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/notafter/notafter/internal/renew/dnswriter/legochild"
)

// masked stands where a secret stood.
const masked = "[redacted]"

// shortestMasked is the length from which a text is recognisable as a secret.
const shortestMasked = 6

// mask takes secrets out of texts, in the forms in which they travel.
type mask struct{ replace *strings.Replacer }

// newMask masks the settings that the provider calls secret, and those that it does not know.
func newMask(p legochild.Provider, set map[string]string) mask {
	open := map[string]bool{}
	for _, s := range p.Settings {
		if !s.Secret {
			open[s.Name], open[s.Alias] = true, true
		}
	}
	var forms []string
	add := func(s string) {
		if s = strings.TrimSpace(s); len(s) < shortestMasked {
			return
		}
		quoted, _ := json.Marshal(s)
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), strings.Trim(string(quoted), `"`),
			base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)))
	}
	for n, v := range set {
		if open[n] {
			continue
		}
		add(v)
		// A key in JSON or PEM may come back in part: its lines, and its fields.
		for part := range strings.SplitSeq(strings.ReplaceAll(v, `\n`, "\n"), "\n") {
			if len(part) >= 16 {
				add(part)
			}
		}
		var fields map[string]string
		if json.Unmarshal([]byte(v), &fields) == nil {
			add(fields["private_key"])
			add(fields["private_key_id"])
		}
	}
	// The longest first: a form that contains another must not be left with its rest showing.
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(forms))
	for _, f := range slices.Compact(forms) {
		pairs = append(pairs, f, masked)
	}
	return mask{strings.NewReplacer(pairs...)}
}

func (m mask) text(s string) string { return m.replace.Replace(s) }

// line makes a text from outside one line without secrets and control characters, of at most n bytes. Secrets go first:
// clipping or joining could leave half of one.
func (l *Lego) line(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029' || r == '\ufffd' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(l.mask.text(s), " "))
	s = l.mask.text(strings.Join(strings.Fields(s), " "))
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
