package iac

import (
	"slices"
	"strings"
)

// dnsRecord is a record set (or, where a provider keeps each value as a resource of its own, one value of it), as the
// provider's resource has it. Names are absolute.
type dnsRecord struct {
	name string
	kind string // "NS", "CAA", "CNAME", "TXT"
	zone string // the zone's name; empty: not known
	// values are in the form of a zone file: `0 issue "letsencrypt.org"`, "ns1.example.net."
	values []string
	// fresh says that the plan makes the zone: nothing that the record forbids has been allowed before.
	fresh bool
	// known is false when the plan does not know the values before the apply.
	known bool
}

const challengeLabel = "_acme-challenge"

// recordTies says what renewal rests on of one record, whatever the provider: a delegation or an alias on the way of a
// challenge; a CAA record, which forbids whom it does not name; a static record in the place of the challenge. all lists
// the provider's records on a side of the plan.
func recordTies(s *State, r dnsRecord, all func(*State) []dnsRecord) []Tie {
	r.name = fqdn(r.name)
	if r.name == "" || r.fresh {
		return nil
	}
	challenge := r.name == challengeLabel || strings.HasPrefix(r.name, challengeLabel+".")
	switch strings.ToUpper(r.kind) {
	case "CAA":
		return caaTies(s, r, all)
	case "TXT":
		if challenge {
			return []Tie{{
				Kind: KindBlock, Principal: r.name, Permission: "a static TXT record", At: r.name, Object: "TXT " + r.name,
				Effect: "it stands where the renewer has to write " + r.name + ": one of the two overwrites the other, or is refused",
				Repair: "Leave the TXT record " + r.name + " to the renewer: take it out of the code.",
			}}
		}
	case "CNAME":
		if challenge {
			t := r.tie(s, all)
			t.Effect = "the authority no longer finds the challenges of " + strings.TrimPrefix(r.name, challengeLabel+".") + ", which are answered where this alias leads"
			return []Tie{t}
		}
	case "NS":
		switch {
		case challenge:
			t := r.tie(s, all)
			t.Effect = "the authority no longer finds the challenges of " + strings.TrimPrefix(r.name, challengeLabel+".") + ", which are answered in the zone that this delegates to"
			return []Tie{t}
		case r.name != fqdn(r.zone):
			t := r.tie(s, all)
			t.Effect = "the authority no longer finds the challenges of names in " + r.name
			t.Doubt = "the plan does not tell whether names in " + r.name + " have certificates"
			return []Tie{t}
		}
	}
	return nil
}

// tie is that a record leads somewhere. A delegation that keeps one of its name servers is as good as before.
func (r dnsRecord) tie(s *State, all func(*State) []dnsRecord) Tie {
	kind := strings.ToUpper(r.kind)
	targets := r.targets(all(s))
	if s.After && s.other != nil && kind == "NS" {
		old := r.targets(all(s.other))
		if slices.ContainsFunc(old, func(v string) bool { return slices.Contains(targets, v) }) {
			targets = old
		}
	}
	t := Tie{
		Kind: KindRecord, Principal: r.name, Who: "the " + kind + " record " + r.name, Permission: kind, At: r.name, Object: kind + " " + r.name,
		Condition: strings.ToLower(kind) + " " + strings.Join(targets, ", "),
	}
	if !r.known {
		t.Unknown = []Part{PartCondition}
	}
	return t
}

// targets are the values of all records of the same name and type, in a normal form.
func (r dnsRecord) targets(all []dnsRecord) (out []string) {
	for _, o := range all {
		if fqdn(o.name) != r.name || !strings.EqualFold(o.kind, r.kind) {
			continue
		}
		for _, v := range o.values {
			out = append(out, fqdn(strings.TrimSpace(v)))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// caaValues lists the values of the CAA records of a name, by tag; a tag that is there without naming anybody has an empty
// list.
func (r dnsRecord) caaValues(all []dnsRecord) map[string][]string {
	out := map[string][]string{}
	for _, o := range all {
		if fqdn(o.name) != r.name || !strings.EqualFold(o.kind, "CAA") {
			continue
		}
		for _, v := range o.values {
			tag, value, ok := caa(v)
			if !ok {
				continue
			}
			if out[tag] == nil {
				out[tag] = []string{}
			}
			if value != "" {
				out[tag] = append(out[tag], value)
			}
		}
	}
	for _, v := range out {
		slices.Sort(v)
	}
	return out
}

// caaTies reads the CAA records of a name (RFC 8659): who may still issue, and who for wildcard names, if that is others.
// A record set without an "issue" forbids nobody, one with only an empty one everybody.
func caaTies(s *State, r dnsRecord, all func(*State) []dnsRecord) (out []Tie) {
	now, was := r.caaValues(all(s)), map[string][]string{}
	if s.After && s.other != nil {
		was = r.caaValues(all(s.other))
	}
	add := func(tag, condition, names string) {
		members := []string{}
		for _, v := range now[tag] {
			members = append(members, issuerOf(v))
		}
		slices.Sort(members)
		members = slices.Compact(members)
		t := Tie{
			Kind: KindBlock, Principal: r.name, Permission: "a CAA record", At: r.name, Condition: condition, Members: members, Object: "CAA " + r.name,
			Effect: "it forbids every authority to issue for " + names + r.name,
			Repair: "Name the authority that issues these certificates in the CAA records of " + r.name + ".",
		}
		if len(members) > 0 {
			t.Effect = "it lets only " + strings.Join(members, " and ") + " issue for " + names + r.name
		}
		switch {
		case !r.known:
			t.Unknown = []Part{PartCondition}
		case s.After && len(members) > 0:
			before, limited := was[tag]
			if !limited {
				before, limited = was["issue"]
			}
			s.compareOrders(&t, before, !limited)
		}
		out = append(out, t)
		for _, m := range members {
			if u, ok := caaLimit(m, now[tag], was[tag]); ok {
				u.Principal, u.At, u.Object = r.name, r.name, t.Object+" "+m
				u.Condition = strings.TrimSpace(condition + " " + u.Condition)
				u.Effect += " for " + names + r.name
				out = append(out, u)
			}
		}
	}
	if _, ok := now["issue"]; ok || !r.known {
		add("issue", "", "")
	}
	if _, ok := now["issuewild"]; ok {
		add("issuewild", "wildcard names", "wildcards in ")
	}
	return out
}

// caaLimit is what an authority is limited to, if none of its values lets it issue to anybody who answers by DNS: to
// accounts, or to other ways of validation (RFC 8657). was are the values on the side before.
func caaLimit(issuer string, now, was []string) (Tie, bool) {
	var mine []string
	dns := false
	for _, v := range now {
		if issuerOf(v) != issuer {
			continue
		}
		account, methods := "", ""
		for _, p := range strings.Split(v, ";")[1:] {
			switch k, v, _ := strings.Cut(p, "="); strings.TrimSpace(k) {
			case "accounturi":
				account = strings.TrimSpace(v)
			case "validationmethods":
				methods = strings.TrimSpace(v)
			}
		}
		byDNS := methods == "" || slices.Contains(strings.Split(methods, ","), "dns-01")
		if byDNS && account == "" {
			return Tie{}, false
		}
		dns = dns || byDNS
		mine = append(mine, v)
	}
	if len(was) > 0 && !slices.ContainsFunc(was, func(v string) bool { return issuerOf(v) == issuer && !slices.Contains(mine, v) }) {
		// Whoever could before still can: what is said is what was said then.
		mine = slices.DeleteFunc(mine, func(v string) bool { return !slices.Contains(was, v) })
	}
	t := Tie{
		Kind: KindBlock, Permission: "a CAA record", Condition: strings.Join(mine, " | "), Effect: "it lets " + issuer + " issue only to some accounts",
		Doubt:  "the plan does not tell whether the account that renews is one of: " + strings.Join(mine, " | "),
		Repair: "Name the account that renews in the CAA record, or leave accounturi out.",
	}
	if !dns {
		t.Effect, t.Doubt = "it lets "+issuer+" issue only by other ways of validation than DNS", ""
		t.Repair = "Name dns-01 in validationmethods."
	}
	return t, len(mine) > 0
}

// caa takes a CAA record apart: flags, tag, value (RFC 8659 section 4.1.1). The value is without quotes and, where it names
// nobody (";"), empty.
func caa(s string) (tag, value string, ok bool) {
	f := strings.Fields(s)
	if len(f) < 2 {
		return "", "", false
	}
	value = strings.Trim(strings.TrimSpace(s[strings.Index(s, f[1])+len(f[1]):]), `"`)
	value = strings.ToLower(strings.TrimSpace(value))
	if issuerOf(value) == "" {
		value = ""
	}
	return strings.ToLower(f[1]), strings.TrimSuffix(strings.TrimSpace(value), ";"), true
}
