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

// caaTies reads the CAA records of a name (RFC 8659): who may still issue, and who for wildcard names, if that is others.
// A record set without an "issue" forbids nobody, one with only an empty one everybody.
func caaTies(s *State, r dnsRecord, all func(*State) []dnsRecord) (out []Tie) {
	var issue, wild []string
	hasIssue, hasWild := false, false
	for _, o := range all(s) {
		if fqdn(o.name) != r.name || !strings.EqualFold(o.kind, "CAA") {
			continue
		}
		for _, v := range o.values {
			tag, value, ok := caa(v)
			switch {
			case !ok:
			case tag == "issue":
				hasIssue = true
				if value != "" {
					issue = append(issue, value)
				}
			case tag == "issuewild":
				hasWild = true
				if value != "" {
					wild = append(wild, value)
				}
			}
		}
	}
	slices.Sort(issue)
	slices.Sort(wild)
	add := func(members []string, condition, names string) {
		members = slices.Compact(members)
		t := Tie{
			Kind: KindBlock, Principal: r.name, Permission: "a CAA record", At: r.name, Condition: condition, Members: members, Object: "CAA " + r.name,
			Effect: "it forbids every authority to issue for " + names + r.name,
			Repair: "Name the authority that issues these certificates in the CAA records of " + r.name + ".",
		}
		if len(members) > 0 {
			t.Effect = "it lets only " + strings.Join(members, " and ") + " issue for " + names + r.name
		}
		if !r.known {
			t.Unknown = []Part{PartCondition}
		}
		out = append(out, t)
	}
	if hasIssue || !r.known {
		add(issue, "", "")
	}
	if hasWild {
		add(wild, "wildcard names", "wildcards in ")
	}
	return out
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
