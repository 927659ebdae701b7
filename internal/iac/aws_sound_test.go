package iac

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// request is one that a renewer makes of Route 53.
type request struct{ action, zone, name, change, from string }

// rule is a statement, and what it says in words of Go, which know nothing of how documents are read.
type rule struct {
	statement attrs
	deny      bool
	hits      func(request) bool
}

func awsRules() []rule {
	const change, list, wait, find = "route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets", "route53:GetChange", "route53:ListHostedZonesByName"
	key := func(k string) string { return change + k }
	is := func(r request, action string) bool { return r.action == action }
	one := allow(zoneARN("Z1"), change)
	return []rule{
		{one, false, func(r request) bool { return is(r, change) && r.zone == "Z1" }},
		{allow(zoneARN("*"), change, list), false, func(r request) bool { return is(r, change) || is(r, list) }},
		{allow(zoneARN("Z2"), "route53:*"), false, func(r request) bool { return r.zone == "Z2" && (is(r, change) || is(r, list)) }},
		{allow("*", wait, find), false, func(r request) bool { return is(r, wait) || is(r, find) }},
		{allow("arn:aws:route53:::change/*", wait), false, func(r request) bool { return is(r, wait) }},
		{allow([]string{zoneARN("Z1"), zoneARN("Z2")}, list), false, func(r request) bool { return is(r, list) && r.zone != "Z3" }},
		{when(one, "ForAllValues:StringEquals", key("NormalizedRecordNames"), "_acme-challenge.a.example.com"), false, func(r request) bool {
			return is(r, change) && r.zone == "Z1" && r.name == "_acme-challenge.a.example.com"
		}},
		{when(allow("*", change), "ForAllValues:StringLike", key("NormalizedRecordNames"), "*.a.example.com", "*.b.example.com"), false, func(r request) bool {
			return is(r, change) && (strings.HasSuffix(r.name, ".a.example.com") || strings.HasSuffix(r.name, ".b.example.com"))
		}},
		{when(one, "ForAllValues:StringEquals", key("Actions"), "UPSERT", "DELETE"), false, func(r request) bool {
			return is(r, change) && r.zone == "Z1" && r.change != "CREATE"
		}},
		{when(one, "ForAllValues:StringEquals", key("RecordTypes"), "A"), false, func(request) bool { return false }},
		{when(allow("*", change), "IpAddress", "aws:SourceIp", "192.0.2.0/24"), false, func(r request) bool { return is(r, change) && r.from == "192.0.2.1" }},
		{attrs{"Effect": "Allow", "Action": change, "NotResource": zoneARN("Z2")}, false, func(r request) bool { return is(r, change) && r.zone != "Z2" }},
		{attrs{"Effect": "Allow", "NotAction": []string{"iam:*", list}, "Resource": "*"}, false, func(r request) bool { return !is(r, list) }},
		{deny(zoneARN("Z2"), "route53:Change*"), true, func(r request) bool { return is(r, change) && r.zone == "Z2" }},
		{when(deny("*", change), "ForAnyValue:StringEquals", key("Actions"), "DELETE"), true, func(r request) bool { return is(r, change) && r.change == "DELETE" }},
		{when(deny("*", change), "StringLike", key("NormalizedRecordNames"), "*.b.example.com"), true, func(r request) bool {
			return is(r, change) && strings.HasSuffix(r.name, ".b.example.com")
		}},
	}
}

func requests() (out []request) {
	for _, zone := range []string{"Z1", "Z2", "Z3"} {
		for _, action := range []string{"route53:ListResourceRecordSets", "route53:GetChange", "route53:ListHostedZonesByName"} {
			out = append(out, request{action: action, zone: zone})
		}
		for _, name := range []string{"a", "b", "c"} {
			for _, change := range []string{"CREATE", "UPSERT", "DELETE"} {
				for _, from := range []string{"192.0.2.1", "198.51.100.1"} {
					out = append(out, request{"route53:ChangeResourceRecordSets", zone, "_acme-challenge." + name + ".example.com", change, from})
				}
			}
		}
	}
	return out
}

// Whatever a renewer could ask for before a change of its policies, and cannot afterwards, is told; and nothing is told
// where statements are only added. The judge of what may be asked for is a second one, which reads no documents.
func TestAWSNothingIsLostInSilence(t *testing.T) {
	t.Parallel()
	rules, asks := awsRules(), requests()
	random := rand.New(rand.NewPCG(4, 53))
	allows := func(set []int, r request) bool {
		yes := false
		for _, i := range set {
			if rules[i].hits(r) {
				if rules[i].deny {
					return false
				}
				yes = true
			}
		}
		return yes
	}
	// Each side has its statements in up to three policies: inline, attached, and the role's own.
	build := func(set []int) (policies [3]string) {
		var split [3][]attrs
		for _, i := range set {
			k := random.IntN(3)
			split[k] = append(split[k], rules[i].statement)
		}
		for k := range split {
			policies[k] = doc(append(split[k], allow("*", "s3:GetObject"))...)
		}
		return policies
	}
	sides := func(p [3]string) [3]attrs {
		return [3]attrs{inline("cert-manager", "dns", p[0]), managed("cert-manager-dns", p[1]), with(cmRole, "inline_policy", []any{attrs{"name": "own", "policy": p[2]}})}
	}
	told := 0
	for range 500 {
		var was, will []int
		added := true
		for i := range rules {
			b, a := random.IntN(4) == 0, random.IntN(4) == 0
			if random.IntN(3) == 0 {
				a = b
			}
			if b {
				was = append(was, i)
			}
			if a {
				will = append(will, i)
			}
			added = added && (!b || a) && (b || !a || !rules[i].deny)
		}
		before := build(was)
		after := build(will)
		if added { // in the same places, and more
			after = before
			for _, i := range will {
				k := random.IntN(3)
				after[k] = strings.Replace(after[k], `"Statement":[`, `"Statement":[`+strings.TrimSuffix(strings.TrimPrefix(doc(rules[i].statement), `{"Statement":[`), `],"Version":"2012-10-17"}`)+",", 1)
			}
		}
		b, a := sides(before), sides(after)
		plan := &Plan{Changes: []Change{updates("aws_iam_role_policy.dns", b[0], a[0]), updates(cmPolicyAt, b[1], a[1]), updates(cmRoleAt, b[2], a[2]), keeps(cmAttach, cmHeld)}}
		found := Judge(plan, Inventory{}).Findings
		writes, lost := false, ""
		for _, r := range asks {
			if !allows(was, r) {
				continue
			}
			writes = writes || r.change != ""
			if !allows(will, r) {
				lost = fmt.Sprint(r)
			}
		}
		switch {
		case writes && lost != "" && len(found) == 0:
			t.Errorf("silent, and %s is lost:\n%v\n%v", lost, before, after)
		case added && len(found) > 0:
			t.Errorf("nothing but more, and told %s: %s\n%v\n%v", found[0].Class, found[0].Summary, before, after)
		}
		if len(found) > 0 {
			told++
		}
		if t.Failed() {
			return
		}
	}
	if told < 120 {
		t.Errorf("only %d of 500 told of anything", told)
	}
}
