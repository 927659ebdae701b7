package iac

import (
	"slices"
	"strings"
)

// What a renewal asks of Route 53, in lower case. Change is the write; the others are needed around it: cert-manager and lego
// wait by GetChange, look for the zone by name unless they are given its id, and lego lists the record sets.
// https://cert-manager.io/docs/configuration/acme/dns01/route53/
const (
	awsChange = "route53:changeresourcerecordsets"
	awsList   = "route53:listresourcerecordsets"
	awsWait   = "route53:getchange"
	awsFind   = "route53:listhostedzonesbyname"
)

// awsGrant is that an identity may change TXT records, or with deny that it may not.
type awsGrant struct {
	who    awsWho
	deny   bool
	rights Right  // RightWrite, RightDelete
	zone   string // pattern of the ids of hosted zones, in lower case
	name   string // pattern of the names of records, in lower case; empty: any that a challenge may have
	conds  []awsCondition
	// broad grants speak of everything and not of Route 53.
	broad bool
	// chain is what it comes about by: an attachment, the policy, the identity.
	chain   []*Side
	binding *awsBinding
	// unknown grants are those of a document that the plan does not know; unbounded ones of an identity whose permissions
	// boundary it does not know.
	unknown, unbounded bool
	doubt              string
}

// awsReads is what a document allows of what is needed around the write.
type awsReads struct {
	list       []string // patterns of zones
	wait, find bool
}

// add joins what two documents allow.
func (r *awsReads) add(o awsReads) {
	r.list = append(r.list, o.list...)
	r.wait, r.find = r.wait || o.wait, r.find || o.find
}

// any reports whether anything is allowed around the writes to a zone.
func (r *awsReads) any(zone string) bool {
	return r.wait || r.find || slices.ContainsFunc(r.list, func(p string) bool { return glob(p, zone) || glob(zone, p) })
}

// beyond are the needed actions around the writes to a zone that r allows and after does not.
func (r *awsReads) beyond(after *awsReads, zone string) (lost []string) {
	for _, p := range r.list {
		switch {
		case glob(zone, p):
		case glob(p, zone):
			p = zone
		default:
			continue
		}
		if !slices.ContainsFunc(after.list, func(q string) bool { return glob(q, p) }) {
			lost = append(lost, "ListResourceRecordSets")
			break
		}
	}
	if r.wait && !after.wait {
		lost = append(lost, "GetChange")
	}
	if r.find && !after.find {
		lost = append(lost, "ListHostedZonesByName")
	}
	return lost
}

// awsZones are the patterns of zone ids that a statement speaks of, in lower case. but lists those that it leaves out.
func (s *awsStatement) zones() (zones, but []string) {
	for _, r := range s.resources {
		z, ok := awsZone(r)
		if ok && !slices.Contains(zones, z) {
			zones = append(zones, z)
		}
	}
	if s.notResource {
		if slices.Contains(zones, "*") {
			return nil, nil
		}
		slices.Sort(zones)
		return []string{"*"}, zones
	}
	if slices.Contains(zones, "*") {
		zones = []string{"*"}
	}
	return zones, nil
}

// awsZone reads the pattern of zone ids out of a resource's.
func awsZone(r string) (string, bool) {
	for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
		prefix := "arn:" + partition + ":route53:::"
		if glob(r, prefix+"hostedzone/~any~") {
			return "*", true
		}
		if i := strings.Index(r, "hostedzone/"); i >= 0 && glob(r[:i], prefix) && r[i+len("hostedzone/"):] != "" {
			return r[i+len("hostedzone/"):], true
		}
	}
	return "", false
}

// grants reads a document: who may change TXT records, and what of the rest is allowed.
func (d awsDocument) grants() (list []awsGrant, reads awsReads) {
	for i := range d {
		s := &d[i]
		if hit, plain := s.does(awsChange); hit {
			rights, names, conds, ok := awsNarrow(s.conditions)
			zones, but := s.zones()
			if ok {
				if len(zones)*len(names) > awsMost { // no policy is like this; it is compared as a whole
					conds = append(conds, awsCondition{"stringlike", "names", names})
					names = []string{""}
				}
				if len(but) > 0 {
					conds = append(conds, awsCondition{"stringnotlike", "hosted zone", but})
				}
				for _, z := range zones {
					for _, n := range names {
						list = append(list, awsGrant{deny: s.deny, rights: rights, zone: z, name: n, conds: conds, broad: !plain})
					}
				}
			}
		}
		if s.deny {
			continue // a denied reading alone is rare, and the rehearsal sees it
		}
		if hit, _ := s.does(awsList); hit {
			zones, _ := s.zones()
			reads.list = append(reads.list, zones...)
		}
		if hit, _ := s.does(awsWait); hit {
			for _, p := range []string{"aws", "aws-cn", "aws-us-gov"} {
				reads.wait = reads.wait || s.at("arn:"+p+":route53:::change/~any~")
			}
		}
		if hit, _ := s.does(awsFind); hit {
			reads.find = reads.find || s.at("*")
		}
	}
	return awsSlim(list), reads
}

// awsMost bounds the grants of a statement, and of a document for which they are compared with each other.
const awsMost = 400

// awsSlim leaves out what another grant of the same document covers.
func awsSlim(list []awsGrant) []awsGrant {
	if len(list) > awsMost {
		return list
	}
	var out []awsGrant
	for i := range list {
		covered := false
		for j := range list {
			if i != j && list[j].covers(&list[i]) && (j < i || !list[i].covers(&list[j])) {
				covered = true
				break
			}
		}
		if !covered {
			out = append(out, list[i])
		}
	}
	return out
}

// awsNarrow reads the conditions of a statement that speaks of changing records, and says what is left of it for the TXT
// records of challenges: which of the rights, at which names (one empty name: at all), under which further conditions. It
// reports false when nothing is left.
//
// A request of a renewal has one change or two, all of TXT and at one name, so ForAllValues and ForAnyValue mean the same.
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-rrset-conditions.html
func awsNarrow(in []awsCondition) (rights Right, names []string, rest []awsCondition, ok bool) {
	rights, names = RightWrite|RightDelete, []string{""}
	for _, c := range in {
		key, isSet := strings.CutPrefix(c.key, "route53:changeresourcerecordsets")
		op := c.operator()
		negative := strings.HasPrefix(op, "stringnot")
		if op == "null" && isSet { // the request always has these keys
			if slices.Contains(c.values, "true") {
				return 0, nil, nil, false
			}
			continue
		}
		if !isSet || !negative && !strings.HasPrefix(op, "string") {
			switch {
			case c.key != "aws:securetransport" || op != "bool":
				rest = append(rest, c)
			case !slices.Contains(c.values, "true"):
				return 0, nil, nil, false // every request comes by TLS
			}
			continue
		}
		has := func(s string) bool {
			return slices.ContainsFunc(c.values, func(p string) bool {
				if strings.HasSuffix(op, "like") {
					return glob(lower(p), s)
				}
				return alike(p, s)
			}) != negative
		}
		switch key {
		case "recordtypes":
			if !has("txt") {
				return 0, nil, nil, false
			}
		case "actions":
			create, upsert := has("create"), has("upsert")
			if !create && !upsert {
				rights &^= RightWrite
			}
			if create != upsert { // the one renewer creates, the other one upserts
				rest = append(rest, awsCondition{"stringequals", c.key, map[bool][]string{true: {"CREATE"}, false: {"UPSERT"}}[create]})
			}
			if !has("delete") {
				rights &^= RightDelete
			}
		case "normalizedrecordnames":
			switch {
			case negative && !slices.ContainsFunc(c.values, awsMayChallenge):
			case negative, len(names) > 1 || names[0] != "":
				rest = append(rest, c)
			default:
				names = nil
				for _, v := range c.values {
					v = lower(v)
					if !strings.HasSuffix(op, "like") {
						v = strings.NewReplacer("*", `\052`, "?", `\077`).Replace(v)
					}
					if glob(v, "_acme-challenge.~any~") {
						names = []string{""}
						break
					}
					names = append(names, v)
				}
			}
		default:
			rest = append(rest, c)
		}
	}
	return rights, names, rest, rights != 0 && len(names) > 0
}

// awsMayChallenge reports whether a pattern of names may hit that of a challenge.
func awsMayChallenge(p string) bool {
	fixed := lower(p)
	if i := strings.IndexAny(fixed, "*?"); i >= 0 {
		fixed = fixed[:i]
	}
	const c = "_acme-challenge."
	return strings.HasPrefix(c, fixed) || strings.HasPrefix(fixed, c)
}

// covers reports whether g allows all that h allows.
func (g *awsGrant) covers(h *awsGrant) bool {
	if g.who != h.who || g.deny != h.deny || g.unknown || g.doubt != "" && h.doubt == "" || g.broad && !h.broad || h.rights&^g.rights != 0 || !glob(g.zone, h.zone) ||
		g.name != "" && (h.name == "" || !glob(g.name, h.name)) {
		return false
	}
	for i := range g.conds {
		if !slices.ContainsFunc(h.conds, func(c awsCondition) bool { return c.implies(&g.conds[i]) }) {
			return false
		}
	}
	return true
}

// within is what a permissions boundary leaves of g.
func (g awsGrant) within(boundary []awsGrant, from *Side) []awsGrant {
	var out []awsGrant
	for _, b := range boundary {
		h := g
		if b.deny || g.rights&b.rights == 0 {
			continue
		}
		h.rights &= b.rights
		switch {
		case glob(b.zone, g.zone):
		case glob(g.zone, b.zone):
			h.zone = b.zone
		default:
			continue
		}
		switch {
		case b.name == "" || g.name != "" && glob(b.name, g.name):
		case g.name == "" || glob(g.name, b.name):
			h.name = b.name
		default:
			continue
		}
		h.conds = slices.Concat(g.conds, b.conds)
		h.chain = append(slices.Clone(g.chain), from)
		out = append(out, h)
	}
	return awsSlim(out)
}

// path is the scope of a grant: a hosted zone, and below it a record.
func (g *awsGrant) path() Path {
	p := Path{"hostedzone"}
	if g.zone != "*" || g.name != "" {
		p = append(p, g.zone)
	}
	if g.name != "" {
		p = append(p, g.name)
	}
	return p
}

// condition is the normal form of what narrows the grant further.
func (g *awsGrant) condition() string {
	var out []string
	for i := range g.conds {
		if s := g.conds[i].String(); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}
