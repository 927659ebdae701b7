package iac

import (
	"slices"
	"strings"
)

// stale are the attributes by which others name what is made anew, of identities and of clusters.
var stale = map[Kind][]string{
	KindIdentity: {"principal_id", "client_id", "object_id", "application_id", "id"},
	KindTrust:    {"oidc_issuer_url"},
}

// followed finds what names the object of a tie that is made anew, when all of it follows in the same plan: it refers to
// the object in the code, and no longer names the old one. sure is false where nobody can see what it names then. One that
// goes on naming the old one, or goes itself, is no follower, and then nothing is found.
func (j *judge) followed(t *Tie) (heirs []*Change, sure bool) {
	c := t.From.Change
	ids := renamed(c, stale[t.Kind])
	if t.Stale == "" || len(ids) == 0 || c.Do != DeleteCreate && c.Do != CreateDelete {
		return nil, false
	}
	sure = true
	for i := range j.plan.Changes {
		d := &j.plan.Changes[i]
		if d == c || d.Before == nil || !mentions(d.Before, ids) {
			continue
		}
		if d.After == nil || d.Forgets() || mentions(d.After, ids) {
			return nil, false
		}
		switch {
		case leans(d, c):
		case anyTrue(d.Unknown) && (len(d.Refers) == 0 || passedOn(d)):
			sure = false
		default:
			return nil, false
		}
		heirs = append(heirs, d)
	}
	need := map[Kind]Kind{KindIdentity: KindGrant, KindTrust: KindTrust}[t.Kind]
	found := false
	for i := range j.before {
		b := &j.before[i]
		d := b.From.Change
		heir := slices.Contains(heirs, d)
		if d == c || !bound(b.Kind) || !heir && (t.Kind != KindIdentity || !alike(b.Principal, t.Principal)) {
			continue
		}
		if !heir || !j.carried(b) {
			return nil, false
		}
		found = found || b.Kind == need
	}
	if !found {
		return nil, false
	}
	return heirs, sure
}

// renamed are the values of some attributes that an object no longer has when it is made anew.
func renamed(c *Change, attributes []string) (out []string) {
	before, after := &Side{Values: c.Before}, &Side{After: true, Values: c.After, unknown: c.Unknown}
	for _, a := range attributes {
		v := lower(strings.TrimSuffix(before.Text(a), "/"))
		if len(v) >= 12 && (!after.Known(a) || after.Text(a) != "" && !alike(after.Text(a), before.Text(a))) {
			out = append(out, v)
		}
	}
	return out
}

// mentions reports whether one of some texts stands anywhere in a value.
func mentions(v any, texts []string) bool {
	switch v := v.(type) {
	case string:
		v = lower(v)
		return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(v, s) })
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return mentions(e, texts) })
	case map[string]any:
		for _, e := range v {
			if mentions(e, texts) {
				return true
			}
		}
	}
	return false
}

// leans reports whether the code of one resource refers to another one of the same module.
func leans(d, c *Change) bool {
	at, _ := instance(c.Address)
	if d.Module != c.Module {
		return false
	}
	if c.Module != "" {
		at = strings.TrimPrefix(at, c.Module+".")
	}
	for _, refs := range d.Refers {
		if slices.ContainsFunc(refs, func(ref string) bool {
			return ref == at || strings.HasPrefix(ref, at+".") || strings.HasPrefix(ref, at+"[")
		}) {
			return true
		}
	}
	return false
}

// passedOn reports whether the code of a resource takes values that come from elsewhere: another module, a variable.
func passedOn(d *Change) bool {
	for _, refs := range d.Refers {
		if slices.ContainsFunc(refs, func(ref string) bool {
			kind, _, _ := strings.Cut(ref, ".")
			return slices.Contains([]string{"var", "local", "module", "each"}, kind)
		}) {
			return true
		}
	}
	return false
}

// carried reports whether a tie's own resource says the same afterwards, but for whom it names.
func (j *judge) carried(b *Tie) bool {
	return slices.ContainsFunc(j.after, func(u Tie) bool {
		same := u.Condition == b.Condition || slices.Contains(u.Unknown, PartCondition) && u.From.Text("subject") == b.From.Text("subject")
		scoped := u.Scope.Covers(b.Scope) || slices.Contains(u.Unknown, PartScope)
		return u.From.Change == b.From.Change && u.Kind == b.Kind && u.Rights&b.Rights == b.Rights && same && scoped
	})
}

// addresses are those of several changes, for a sentence.
func addresses(changes []*Change) string {
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		if !slices.Contains(out, c.Address) {
			out = append(out, c.Address)
		}
	}
	return enumerate(out, 4)
}
