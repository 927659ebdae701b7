package iac

import (
	"encoding/json"
	"slices"
	"strings"
)

// cloudflareReaders read Cloudflare, in the shapes that version 4 of its provider has (policy blocks, cloudflare_record) and
// those of version 5 (policies, cloudflare_dns_record).
var cloudflareReaders = map[string]reader{
	"cloudflare_api_token":     cloudflareToken,
	"cloudflare_account_token": cloudflareToken,
	"cloudflare_zone":          cloudflareZone,
	"cloudflare_record":        cloudflareRecord,
	"cloudflare_dns_record":    cloudflareRecord,
	"cloudflare_zone_dnssec":   cloudflareSigning,
}

// cloudflareZoneName is the name of a zone's resource: "zone" in version 4.
func cloudflareZoneName(r *Side) string { return fqdn(orElse(r.Text("name"), r.Text("zone"))) }

// cloudflareZoneOf is the zone of an id, on either side of the plan.
func (s *State) cloudflareZoneOf(id string) *Side {
	for _, st := range s.sides() {
		if z := st.Find("id", id, "cloudflare_zone"); z != nil {
			return z
		}
	}
	return nil
}

// cloudflareZone is that a zone exists.
func cloudflareZone(s *State, r *Side) []Tie {
	name := cloudflareZoneName(r)
	if name == "" {
		return nil
	}
	t := Tie{
		Kind: KindZone, Principal: name, Who: "the zone " + name, Permission: "zone", At: name, ID: r.Text("id"), Object: "zone " + name,
		Stale:  "the new one has another id, which tokens do not name, and perhaps other name servers",
		Effect: "no challenge for a name in " + name + " can be answered",
		Doubt:  "the plan does not tell whether names in " + name + " have certificates",
	}
	id := orElse(r.Text("id"), text(r.Change.Before["id"]))
	for _, st := range s.sides() {
		for _, k := range []string{"cloudflare_api_token", "cloudflare_account_token"} {
			for _, token := range st.Of(k) {
				for _, g := range s.cloudflareGrants(token) {
					if id != "" && g.zone == id && g.rights&RightWrite != 0 && !g.deny && !otherWriter(token.Text("name")) {
						t.Doubt = ""
					}
				}
			}
		}
	}
	return []Tie{t}
}

// otherWriter reports whether something is called like a program that writes DNS records and renews nothing.
func otherWriter(name string) bool {
	return awsOther.MatchString(name) && !awsRenewer.MatchString(name)
}

// cloudflareRecords lists the records on a side.
func cloudflareRecords(s *State) []dnsRecord {
	return once(s, "cloudflare records", func() (out []dnsRecord) {
		for _, k := range []string{"cloudflare_record", "cloudflare_dns_record"} {
			for _, r := range s.Of(k) {
				if !s.doomed(r) {
					out = append(out, s.cloudflareRecordOf(r))
				}
			}
		}
		return out
	})
}

func (s *State) cloudflareRecordOf(r *Side) dnsRecord {
	rec := dnsRecord{kind: r.Text("type"), known: r.Known("content") && r.Known("value") && r.Known("data")}
	z := s.cloudflareZoneOf(r.Text("zone_id"))
	if z == nil {
		z = s.referred(r, "zone_id", "cloudflare_zone")
	}
	if z != nil {
		rec.zone = cloudflareZoneName(z)
		rec.fresh = s.freshZone(z, "name") && s.freshZone(z, "zone")
	}
	rec.name = fqdn(r.Text("hostname")) // of version 4
	if n := fqdn(r.Text("name")); rec.name == "" && r.Known("name") {
		switch {
		case n == "@":
			rec.name = rec.zone
		case rec.zone == "" || n == rec.zone || strings.HasSuffix(n, "."+rec.zone):
			rec.name = n
		default:
			rec.name = n + "." + rec.zone
		}
	}
	value := orElse(r.Text("content"), r.Text("value"))
	if rec.kind == "CAA" && r.Text("data", "tag") != "" {
		value = orElse(r.Text("data", "flags"), "0") + " " + r.Text("data", "tag") + ` "` + r.Text("data", "value") + `"`
	}
	if value != "" {
		rec.values, rec.known = []string{value}, true
	}
	return rec
}

func cloudflareRecord(s *State, r *Side) []Tie {
	if r.Text("type") == "CAA" && s.doomed(r) {
		return nil
	}
	return recordTies(s, s.cloudflareRecordOf(r), cloudflareRecords)
}

// cloudflareSigning is that a zone is signed, as its registrar believes.
func cloudflareSigning(s *State, r *Side) []Tie {
	z := s.cloudflareZoneOf(r.Text("zone_id"))
	if z == nil || r.Text("status") == "disabled" {
		return nil
	}
	name := cloudflareZoneName(z)
	return []Tie{{
		Kind: KindRecord, Principal: name, Who: "the DNSSEC signing of " + name, Permission: "DNSSEC", At: name, Condition: "dnssec", Object: "dnssec " + name,
		Effect: "authorities refuse every answer of " + name + " for as long as its parent has a DS record",
		Repair: "Take the DS record away at the registrar of " + name + " first, wait for its TTL, and only then turn signing off.",
		Doubt:  "the plan does not tell whether the registrar still has a DS record for " + name,
	}}
}

// cloudflareGrant is what one policy of a token allows, or denies, on one resource.
type cloudflareGrant struct {
	rights Right
	deny   bool
	scope  Path
	zone   string // its id; empty: all
	at     string
}

// Permission groups by their ids, which stay when names change.
// https://developers.cloudflare.com/fundamentals/api/reference/permissions/
var cloudflareGroups = map[string]Right{
	"4755a26eedb94da69e1066d98aa820be": RightWrite | RightDelete, // DNS Write
	"c8fed203ed3043cba015a93ad1616f1f": RightRead,                // Zone Read
	"e6d2666161e84845a636613608cee8d5": RightRead,                // Zone Write
	"dns write":                        RightWrite | RightDelete,
	"dns edit":                         RightWrite | RightDelete,
	"zone read":                        RightRead,
}

// cloudflareGrants reads the policies of a token: blocks called "policy" in version 4, where groups are ids, and a list
// called "policies" in version 5, where they are objects and resources may be JSON in a string.
func (s *State) cloudflareGrants(r *Side) (out []cloudflareGrant) {
	for _, list := range []string{"policy", "policies"} {
		for i := range min(r.Len(list), 1000) {
			var rights Right
			v, _ := r.Get(list, i, "permission_groups")
			groups, _ := v.([]any)
			for _, g := range groups {
				id := text(g)
				if m, ok := g.(map[string]any); ok {
					id = orElse(text(m["id"]), text(m["name"]))
				}
				rights |= cloudflareGroups[strings.ToLower(id)]
			}
			if rights == 0 {
				continue
			}
			v, _ = r.Get(list, i, "resources")
			if raw, ok := v.(string); ok {
				v = nil
				_ = json.Unmarshal([]byte(raw), &v) // what cannot be read names no zone
			}
			resources, _ := v.(map[string]any)
			for key, inner := range resources {
				nested, ok := inner.(map[string]any)
				if !ok {
					nested = map[string]any{"": nil}
				}
				for k := range nested {
					if g, ok := s.cloudflareScope(key, k, r); ok {
						g.rights, g.deny = rights, strings.EqualFold(r.Text(list, i, "effect"), "deny")
						out = append(out, g)
					}
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b cloudflareGrant) int { return strings.Compare(a.scope.String(), b.scope.String()) })
	return out
}

// cloudflareScope reads the name of a resource, and of one nested in it: all zones, those of an account, or a zone. Zones
// lie below their accounts as far as the plan knows these.
func (s *State) cloudflareScope(outer, inner string, token *Side) (g cloudflareGrant, ok bool) {
	const account, zone = "com.cloudflare.api.account.", "com.cloudflare.api.account.zone."
	key := outer
	if strings.HasPrefix(inner, zone) && inner != zone+"*" {
		key = inner
	}
	if id, isZone := strings.CutPrefix(key, zone); isZone {
		if id == "*" {
			return cloudflareGrant{scope: Path{"zones"}, at: "every zone"}, true
		}
		owner, at := orElse(token.Text("account_id"), "-"), "the zone "+id
		if z := s.cloudflareZoneOf(id); z != nil {
			owner = orElse(orElse(z.Text("account_id"), z.Text("account", "id")), owner)
			at = "the zone " + orElse(cloudflareZoneName(z), id)
		}
		return cloudflareGrant{scope: Path{"zones", owner, id}, zone: id, at: at}, true
	}
	id, ok := strings.CutPrefix(key, account)
	switch {
	case !ok || strings.Contains(id, "."):
		return g, false
	case id == "*":
		return cloudflareGrant{scope: Path{"zones"}, at: "every zone"}, true
	}
	return cloudflareGrant{scope: Path{"zones", id}, at: "every zone of the account " + id}, true
}
