package dnscheck

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// issuer is the value of an issue or issuewild property (RFC 8659 §4.2): who may issue, and under which conditions.
type issuer struct {
	domain string // lower case; empty forbids everybody
	params []param
}

type param struct{ tag, value string }

// criticalTags are the tags that we understand, so that a critical flag on them forbids nothing (RFC 8659 §4.1, and the
// registry of CAA properties at IANA).
var criticalTags = []string{"issue", "issuewild", "iodef", "contactemail", "contactphone", "issuemail", "issuevmc"}

// parseIssuer reads the value of an issue or issuewild property. A value that does not follow the grammar lets nobody
// issue (RFC 8659 §4.2), so an error here forbids.
func parseIssuer(v string) (issuer, error) {
	const space = " \t"
	name, rest, more := strings.Cut(v, ";")
	i := issuer{domain: strings.ToLower(strings.Trim(name, space))}
	if i.domain != "" {
		for _, l := range strings.Split(i.domain, ".") {
			if !isWord(l) || strings.HasPrefix(l, "-") || strings.HasSuffix(l, "-") {
				return issuer{}, fmt.Errorf("%q is no domain name", clip(i.domain, 80))
			}
		}
	}
	rest = strings.Trim(rest, space)
	if !more || rest == "" {
		return i, nil
	}
	for _, p := range strings.Split(rest, ";") {
		tag, value, ok := strings.Cut(strings.Trim(p, space), "=")
		tag, value = strings.TrimRight(tag, space), strings.TrimLeft(value, space)
		if !ok || !isWord(tag) || strings.HasPrefix(tag, "-") || strings.HasSuffix(tag, "-") {
			return issuer{}, fmt.Errorf("%q is no parameter", clip(p, 80))
		}
		for _, b := range []byte(value) {
			if b < 0x21 || b > 0x7e { // ";" was cut at
				return issuer{}, fmt.Errorf("parameter %s holds a character that it may not", clip(tag, 80))
			}
		}
		i.params = append(i.params, param{strings.ToLower(tag), value})
	}
	return i, nil
}

// isWord reports whether s is made of letters, digits and hyphens, and not empty.
func isWord(s string) bool {
	for _, b := range []byte(s) {
		if b != '-' && (b < '0' || b > '9') && (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') {
			return false
		}
	}
	return s != ""
}

// values are those of a parameter.
func (i issuer) values(tag string) []string {
	var out []string
	for _, p := range i.params {
		if p.tag == tag {
			out = append(out, p.value)
		}
	}
	return out
}

// errUntold is why a property neither allows nor forbids: the question lacks what it depends on.
var errUntold = errors.New("cannot be told")

// allows is nil when a property lets the authority issue, else why not, in words that follow "CAA of NAME".
func allows(value string, q assure.CAAQuestion) error {
	i, err := parseIssuer(value)
	switch {
	case err != nil:
		return fmt.Errorf("holds a value that lets nobody issue, %w", err)
	case i.domain == "":
		return errors.New("lets nobody issue")
	case len(q.Issuers) == 0:
		return fmt.Errorf("lets %s issue, and whether that is the authority %w: its directory names no domains for CAA", i.domain, errUntold)
	case !slices.ContainsFunc(q.Issuers, func(s string) bool {
		return strings.EqualFold(strings.TrimSuffix(s, "."), i.domain)
	}):
		return fmt.Errorf("lets %s issue, not %s", clip(i.domain, 100), clip(strings.Join(q.Issuers, " or "), 200))
	}
	// RFC 8657 §3 and §4: more than one such parameter can never be met.
	if uris := i.values("accounturi"); len(uris) > 1 {
		return fmt.Errorf("names more than one account for %s, which no account can meet", i.domain)
	} else if len(uris) == 1 && uris[0] != q.Account {
		ours := "which is not ours, " + clip(q.Account, 200)
		if q.Account == "" {
			ours = "and ours is not registered yet"
		}
		return fmt.Errorf("lets %s issue for the account %s only, %s", i.domain, clip(uris[0], 200), ours)
	}
	if methods := i.values("validationmethods"); len(methods) > 1 {
		return fmt.Errorf("names validation methods for %s more than once, which no method can meet", i.domain)
	} else if len(methods) == 1 && q.Method != "" && !slices.Contains(strings.Split(methods[0], ","), q.Method) {
		return fmt.Errorf("lets %s issue by %s only, not by %s", i.domain, clip(methods[0], 100), q.Method)
	}
	return nil
}

// judge applies the record set that counts for a name (RFC 8659 §3 and §4.3). owner is where it was found.
func judge(owner string, set []*dns.CAA, q assure.CAAQuestion) *assure.Trouble {
	forbid := func(class assure.TroubleClass, detail, remedy string) *assure.Trouble {
		return trouble(assure.CAAForbids, class, bare(owner), "CAA of "+bare(owner)+" "+detail, remedy)
	}
	byTag := map[string][]string{}
	for _, rr := range set {
		tag := strings.ToLower(rr.Tag)
		if rr.Flag&128 != 0 && !slices.Contains(criticalTags, tag) {
			return forbid(assure.TroubleForbidden, fmt.Sprintf("holds the critical property %q, which is not known: an authority must not issue", clip(tag, 60)), "")
		}
		byTag[tag] = append(byTag[tag], rr.Value)
	}
	tag := "issue"
	if q.Wildcard && len(byTag["issuewild"]) > 0 {
		tag = "issuewild"
	}
	values := byTag[tag]
	if len(values) == 0 {
		return nil // nothing there restricts this kind of name
	}
	var why []string
	untold := false
	for _, v := range values {
		err := allows(v, q)
		if err == nil {
			return nil
		}
		untold = untold || errors.Is(err, errUntold)
		why = append(why, err.Error())
	}
	slices.Sort(why)
	why = slices.Compact(why)
	detail := strings.Join(why[:min(len(why), 6)], ", and ")
	if tag == "issuewild" {
		detail += " (issuewild)"
	}
	if untold {
		return forbid(assure.TroubleTransient, detail, "")
	}
	remedy := ""
	if len(q.Issuers) > 0 {
		remedy = fmt.Sprintf("Add to the CAA records of %s: 0 %s %q, or change the one that names it.", bare(owner), tag, clip(q.Issuers[0], 100))
	}
	return forbid(assure.TroubleForbidden, detail, remedy)
}
