package iac

import (
	"slices"
	"strings"
)

// awsHostedZone is that a public zone exists.
func awsHostedZone(s *State, r *Side) []Tie {
	if r.Len("vpc") > 0 || !r.Known("name") {
		return nil
	}
	name := fqdn(r.Text("name"))
	t := Tie{
		Kind: KindZone, Principal: name, Who: "the hosted zone " + name, Permission: "hosted zone", At: name, ID: r.Text("zone_id"), Object: "zone " + name,
		Stale:  "the new one has another id and other name servers than those that the parent zone and the policies name",
		Effect: "no challenge for a name in " + name + " can be answered",
		Doubt:  "the plan does not tell whether names in " + name + " have certificates",
	}
	if r.Text("delegation_set_id") != "" {
		t.Stale = "the new one has another id than the one that the policies name"
	}
	id := lower(r.Text("zone_id"))
	if id == "" {
		id = lower(text(r.Change.Before["zone_id"]))
	}
	for _, st := range s.sides() {
		for _, g := range st.awsFacts().grants {
			if !g.deny && g.zone == id && id != "" && s.awsWeights()[g.who] == awsFirm {
				t.Doubt = "" // somebody writes challenges there
			}
		}
	}
	return []Tie{t}
}

// awsRecords lists the records of public zones on a side.
func awsRecords(s *State) []dnsRecord {
	return once(s, "aws records", func() (out []dnsRecord) {
		for _, r := range s.Of("aws_route53_record") {
			if rec, ok := s.awsRecordOf(r); ok {
				out = append(out, rec)
			}
		}
		return out
	})
}

func (s *State) awsRecordOf(r *Side) (dnsRecord, bool) {
	rec := dnsRecord{name: r.Text("fqdn"), kind: r.Text("type"), values: r.Texts("records"), known: r.Known("records")}
	z := s.awsZoneOf(lower(r.Text("zone_id")))
	if z == nil {
		z = s.referred(r, "zone_id", "aws_route53_zone")
	}
	if z != nil {
		if z.Len("vpc") > 0 {
			return rec, false
		}
		rec.zone = fqdn(z.Text("name"))
		rec.fresh = s.freshZone(z, "name")
	}
	if n := fqdn(r.Text("name")); n != "" || !r.After {
		rec.name = n
		if rec.zone != "" && n != rec.zone && !strings.HasSuffix(n, "."+rec.zone) {
			rec.name = strings.TrimPrefix(n+"."+rec.zone, ".")
		}
		if f := fqdn(r.Text("fqdn")); f != "" && strings.HasPrefix(f, n) {
			rec.name = f
		}
	}
	switch rec.kind {
	case "TXT", "CAA":
		for i, v := range rec.values {
			rec.values[i] = strings.ReplaceAll(v, `\"`, `"`)
		}
	}
	return rec, rec.name != ""
}

// freshZone reports whether a plan makes a zone, and had none of this name before.
func (s *State) freshZone(z *Side, attribute string) bool {
	return z.After && z.Change.Do == Create && s.other != nil && s.other.Find(attribute, z.Text(attribute), z.Change.Type) == nil
}

func awsRecord(s *State, r *Side) []Tie {
	rec, ok := s.awsRecordOf(r)
	if !ok {
		return nil
	}
	ties := recordTies(s, rec, awsRecords)
	if rec.kind == "NS" {
		for _, st := range s.sides() {
			for _, z := range st.Of("aws_route53_zone") {
				if t := awsHostedZone(st, z); len(ties) > 0 && len(t) > 0 && t[0].Doubt == "" && t[0].Principal == ties[0].Principal {
					ties[0].Doubt = "" // somebody writes challenges in the zone that this delegates to
				}
			}
		}
	}
	return append(ties, s.awsValidation(rec)...)
}

// awsValidation is the record by which AWS's own certificates renew themselves: it must stay for as long as they do.
// https://docs.aws.amazon.com/acm/latest/userguide/dns-renewal-validation.html
func (s *State) awsValidation(rec dnsRecord) []Tie {
	if rec.kind != "CNAME" || !slices.ContainsFunc(rec.values, func(v string) bool { return strings.HasSuffix(fqdn(v), ".acm-validations.aws") }) {
		return nil
	}
	rec.name = fqdn(rec.name)
	t := rec.tie(s, awsRecords)
	domain := ""
	for _, st := range s.sides() {
		for _, c := range st.Of("aws_acm_certificate") {
			for i := range c.Len("domain_validation_options") {
				if fqdn(c.Text("domain_validation_options", i, "resource_record_name")) == t.Principal {
					domain = fqdn(c.Text("domain_validation_options", i, "domain_name"))
				}
			}
		}
	}
	t.Who = "the record " + t.Principal + ", by which AWS Certificate Manager renews,"
	t.Effect = "the certificate of AWS Certificate Manager for " + domain + " no longer renews itself"
	after := s
	if !s.After && s.other != nil {
		after = s.other
	}
	switch {
	case domain == "":
		t.Effect = "the certificate of AWS Certificate Manager that it validates no longer renews itself"
		t.Doubt = "the plan does not hold the certificate that it validates"
	case !slices.ContainsFunc(after.Of("aws_acm_certificate"), func(c *Side) bool {
		return slices.Contains(append(c.Texts("subject_alternative_names"), c.Text("domain_name")), domain)
	}):
		return nil // it goes with its certificate
	}
	return []Tie{t}
}

// awsSigning is that a zone is signed. Without it, and with a DS record still at the parent, resolvers that validate
// refuse the zone, and those of authorities do.
func awsSigning(s *State, r *Side) []Tie {
	z := s.awsZoneOf(lower(r.Text("hosted_zone_id")))
	if z == nil || z.Len("vpc") > 0 || z.Text("name") == "" || r.Text("status") == "INACTIVE" || r.Text("signing_status") == "NOT_SIGNING" {
		return nil
	}
	name := fqdn(z.Text("name"))
	what := "key signing key " + r.Text("name")
	if r.Change.Type == "aws_route53_hosted_zone_dnssec" {
		what = "signing"
	}
	t := Tie{
		Kind: KindRecord, Principal: name, Who: strings.TrimSpace("the DNSSEC "+what) + " of " + name, Permission: "DNSSEC", At: name, Condition: "dnssec " + what,
		Object: "dnssec " + what + " " + name, ID: r.Text("id"),
		Effect: "authorities refuse every answer of " + name + " for as long as its parent has a DS record for the old key",
		Stale:  "the new key is not the one that the DS record at the parent names",
		Repair: "Take the DS record at the parent of " + name + " away first, wait for its TTL, and only then the key.",
		Doubt:  "the plan does not tell whether the parent of " + name + " has a DS record",
	}
	if what == "signing" {
		t.Stale = ""
	}
	if s.other != nil {
		after := s
		if !s.After {
			after = s.other
		}
		if slices.ContainsFunc(awsRecords(after), func(d dnsRecord) bool { return d.kind == "DS" && fqdn(d.name) == name }) {
			t.Doubt = ""
		}
	}
	return []Tie{t}
}

// awsRegistration is that a registered domain is delegated to its name servers.
func awsRegistration(s *State, r *Side) []Tie {
	return recordTies(s, awsDelegation(r), func(st *State) (out []dnsRecord) {
		for _, q := range st.Of("aws_route53domains_registered_domain") {
			out = append(out, awsDelegation(q))
		}
		return out
	})
}

func awsDelegation(r *Side) dnsRecord {
	rec := dnsRecord{name: r.Text("domain_name"), kind: "NS", known: r.Known("name_server")}
	for i := range r.Len("name_server") {
		rec.values = append(rec.values, r.Text("name_server", i, "name"))
	}
	return rec
}

// awsKey is an access key by which a user signs in.
func awsKey(s *State, r *Side) []Tie {
	who := s.awsHolder(r, "user", "user")
	if s.awsWeights()[who] != awsFirm || r.Text("status") == "Inactive" {
		return nil
	}
	id := r.Text("id")
	t := Tie{
		Kind: KindCredential, Principal: s.awsNamed(who), Who: s.awsCalledFor(who), Also: append(s.awsAlso(who), id), Permission: "access key", Scope: Path{"key", id},
		At: strings.TrimSpace("access key " + id), ID: id, Object: "key " + id,
		Effect: "whoever renews with the access key " + id + " can no longer sign in",
		Stale:  "the new access key has another id and another secret, which the renewer has to be given",
		Repair: "Make the second key first, give it to the renewer, prove renewal, and only then take the old one away.",
	}
	switch s.handover(r) {
	case handedOver:
		t.Stale = ""
		if s.After && r.Change.Makes() {
			return s.awsHandedKeys(t, r, who)
		}
	case handedMaybe:
		if r.Change.Makes() {
			t.Doubt = handedDoubt
		}
	}
	if s.After && id == "" {
		t.Unknown = []Part{PartScope}
	}
	if !s.After && s.other != nil && r.Change.Destroys() {
		for _, k := range s.other.Of("aws_iam_access_key") {
			if k.Change != r.Change && !k.Change.Makes() && s.awsHolder(k, "user", "user") == who && k.Text("status") != "Inactive" {
				t.Doubt = "the user keeps another access key, " + k.Text("id")
			}
			if r.Change.Do == Delete && k.Change.Makes() && s.awsHolder(k, "user", "user") == who && s.handover(k) == handedOver {
				t.Stale = ""
			}
		}
	}
	return []Tie{t}
}

// awsHandedKeys are the ties of a new key that a secret of the plan takes: it stands where each key stood that goes.
func (s *State) awsHandedKeys(t Tie, r *Side, who awsWho) (out []Tie) {
	if s.other != nil {
		for _, k := range s.other.Of("aws_iam_access_key") {
			if k.Change.Destroys() && (k.Change == r.Change || k.Change.Do == Delete) && s.other.awsHolder(k, "user", "user") == who {
				t.Scope = Path{"key", k.Text("id")}
				out = append(out, t)
			}
		}
	}
	if len(out) == 0 {
		t.Unknown = []Part{PartScope}
		out = []Tie{t}
	}
	return out
}

// awsOrganization is a service control policy that denies changing records, attached to a part of the organization. It is
// told of the attachment or of the policy, whichever the plan changes.
func awsOrganization(s *State, r *Side) (out []Tie) {
	for _, a := range s.Of("aws_organizations_policy_attachment") {
		policy := s.Find("id", a.Text("policy_id"), "aws_organizations_policy")
		if policy == nil {
			policy = s.referred(a, "policy_id", "aws_organizations_policy")
		}
		if policy == nil || culprit([]*Side{a, policy}) != r || policy.Text("type") != "" && policy.Text("type") != "SERVICE_CONTROL_POLICY" {
			continue
		}
		v, known := policy.Get("content")
		doc, _ := awsRead(text(v), known)
		list, _ := doc.grants()
		for _, g := range list {
			if g.deny {
				out = append(out, s.awsControl(&g, policy, a.Text("target_id")))
			}
		}
	}
	return out
}

func (s *State) awsControl(g *awsGrant, policy *Side, target string) Tie {
	t := Tie{
		Kind: KindBlock, Rights: g.rights, Scope: g.path(), Permission: "the service control policy " + policy.Text("name"), Object: "scp " + policy.Text("id") + " " + target,
		Effect: "nobody in " + orElse(target, "its target") + " may " + g.rights.String() + " challenge records there, whatever else allows it",
	}
	t.At, t.Place = s.awsAt(g)
	switch {
	case len(g.conds) > 0:
		t.Doubt = "it denies only under a condition: " + g.condition()
	case !strings.HasPrefix(target, "r-"):
		t.Doubt = "the plan does not tell whether the account that renews is in " + orElse(target, "its target")
	}
	return t
}
