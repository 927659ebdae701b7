package iac

import (
	"slices"
	"strings"
)

// stale are the attributes by which others name what is made anew, of identities and of clusters.
var stale = map[Kind][]string{
	KindIdentity: {"principal_id", "client_id", "object_id", "application_id", "id", "arn", "unique_id", "email"},
	KindTrust:    {"oidc_issuer_url"},
}

// followed finds what names the object of a tie that is made anew, when all of it follows in the same plan: it refers to
// the object in the code, and no longer names the old one. sure is false where nobody can see what it names then. One that
// goes on naming the old one, or goes itself, is no follower, and then nothing is found.
func (j *judge) followed(t *Tie) (heirs []*Change, sure bool) {
	c := t.From.Change
	ids := renamed(c, stale[t.Kind])
	if t.Kind != KindIdentity && t.Stale == "" || len(ids) == 0 || c.Do != DeleteCreate && c.Do != CreateDelete || t.Kind == KindIdentity && !j.exists(t) {
		return nil, false
	}
	sure = true
	used := azure(c) || t.Kind == KindTrust // at AWS and Google workloads name the identity by what is new of it, and have to follow
	for i := range j.plan.Changes {
		d := &j.plan.Changes[i]
		if d == c || d.Before == nil || !mentions(d.Before, ids) && !byName(d.Before, c.Before) {
			continue
		}
		if d.After == nil || d.Forgets() || mentions(d.After, ids) || byName(d.After, c.Before) {
			return nil, false
		}
		switch {
		case leans(d, c), byName(d.After, c.After), namesNew(d.After, c):
		case anyTrue(d.Unknown) && (len(d.Refers) == 0 || passedOn(d)):
			sure = false
		default:
			return nil, false
		}
		heirs = append(heirs, d)
		used = used || acting(d)
	}
	need := map[Kind]Kind{KindIdentity: KindGrant, KindTrust: KindTrust}[t.Kind]
	found := false
	for i := range j.before {
		b := &j.before[i]
		d := b.From.Change
		heir := slices.Contains(heirs, d)
		mine := t.Kind == KindIdentity && alike(b.Principal, t.Principal)
		if !bound(b.Kind) || d == c && !mine || !heir && (!mine || d.Do == NoOp) {
			continue // what stays and names it by nothing that changes (a cluster, its provider) serves the new one, too
		}
		if d != c && !heir || !j.carried(b) {
			return nil, false
		}
		found = found || b.Kind == need
	}
	if !found || !used {
		return nil, false
	}
	return heirs, sure
}

// exists reports whether the resource of an identity is one afterwards.
func (j *judge) exists(t *Tie) bool {
	return slices.ContainsFunc(j.after, func(u Tie) bool { return u.Kind == KindIdentity && u.From.Change == t.From.Change })
}

// byName reports whether attributes name a role of AWS by its name, which other resources of AWS do.
func byName(values, role map[string]any) bool {
	name := text(role["name"])
	if name == "" || text(role["assume_role_policy"]) == "" {
		return false
	}
	return slices.ContainsFunc([]string{"role", "role_name", "roles"}, func(a string) bool {
		return slices.ContainsFunc(texts(values[a]), func(s string) bool { return alike(s, name) })
	})
}

// namesNew reports whether a value holds the ARN that a role has when it is made anew, or the address of an account, where
// they follow from what the plan knows.
func namesNew(v any, c *Change) bool {
	after := &Side{Change: c, After: true, Values: c.After, unknown: c.Unknown}
	switch name := after.Text("name"); {
	case c.Type == "google_service_account":
		email := googleEmail(after)
		return email != "" && mentions(v, []string{email})
	case c.Type == "aws_iam_role" && name != "":
		return mentions(v, []string{lower(":role" + orElse(after.Text("path"), "/") + name)})
	}
	return false
}

// acting reports whether a change is of something that acts as an identity: a workload, a machine, an association of one.
func acting(c *Change) bool {
	return !strings.HasPrefix(c.Type, "aws_iam_") && !strings.HasPrefix(c.Type, "google_") || c.Type == "aws_iam_instance_profile"
}

// renamed are the values of some attributes that an object no longer has when it is made anew.
func renamed(c *Change, attributes []string) (out []string) {
	before, after := &Side{Values: c.Before}, &Side{After: true, Values: c.After, unknown: c.Unknown}
	if was := bareURL(before.Text("identity", 0, "oidc", 0, "issuer")); c.Type == "aws_eks_cluster" && was != "" {
		if is := bareURL(after.Text("identity", 0, "oidc", 0, "issuer")); is != was {
			return []string{was}
		}
		return nil
	}
	for _, a := range attributes {
		if a == "id" && strings.HasPrefix(c.Type, "aws_iam_") {
			continue // its name, which stands for anything
		}
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
		return slices.ContainsFunc(texts, func(s string) bool { return holds(v, s) })
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

// holds reports whether a text has a name in it that is not but a part of a longer one.
func holds(v, name string) bool {
	part := func(c byte) bool { return strings.IndexByte(letters, c) >= 0 }
	for from := 0; ; {
		i := strings.Index(v[from:], name)
		if i < 0 || name == "" {
			return false
		}
		i += from
		end := i + len(name)
		if (i == 0 || !part(v[i-1]) || !part(name[0])) && (end == len(v) || !part(v[end])) {
			return true
		}
		from = i + 1
	}
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

// passedOn reports whether the code of a resource takes values that come from elsewhere: another module, a variable, a data
// source.
func passedOn(d *Change) bool {
	for _, refs := range d.Refers {
		if slices.ContainsFunc(refs, func(ref string) bool {
			kind, _, _ := strings.Cut(ref, ".")
			return slices.Contains([]string{"var", "local", "module", "each", "data"}, kind)
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
