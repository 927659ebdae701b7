package iac

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// told is what a document allows of what a renewal needs, in short.
func told(document string) string {
	d, ok := readPolicy(document)
	if !ok {
		return "unreadable"
	}
	list, reads := d.grants()
	var out []string
	for _, g := range list {
		s := g.rights.String() + " " + g.path().String()
		if g.deny {
			s = "not " + s
		}
		if g.broad {
			s += " broadly"
		}
		if c := g.condition(); c != "" {
			s += " if " + c
		}
		out = append(out, s)
	}
	slices.Sort(out)
	if r := reads.beyond(&awsReads{}, "z1"); len(r) > 0 {
		out = append(out, strings.Join(r, " "))
	}
	return strings.Join(out, " | ")
}

func TestAWSPolicy(t *testing.T) {
	t.Parallel()
	const change = "route53:ChangeResourceRecordSets"
	key := func(k string) string { return change + k }
	one := allow(zoneARN("Z1"), change)
	for title, c := range map[string]struct{ document, want string }{
		"as cert-manager documents it": {dnsDoc("Z1"), "write and withdraw /hostedzone/z1 | ListResourceRecordSets GetChange ListHostedZonesByName"},
		"a single statement":           {`{"Statement":{"Effect":"Allow","Action":"route53:*","Resource":"*"}}`, "write and withdraw /hostedzone | ListResourceRecordSets GetChange ListHostedZonesByName"},
		"everything":                   {doc(allow("*", "*")), "write and withdraw /hostedzone broadly | ListResourceRecordSets GetChange ListHostedZonesByName"},
		"all but something":            {doc(attrs{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}), "write and withdraw /hostedzone broadly | ListResourceRecordSets GetChange ListHostedZonesByName"},
		"all but DNS":                  {doc(attrs{"Effect": "Allow", "NotAction": []string{"iam:*", "ROUTE53:*"}, "Resource": "*"}), ""},
		"all but a zone":               {doc(attrs{"Effect": "Allow", "Action": change, "NotResource": zoneARN("Z9")}), "write and withdraw /hostedzone if hosted zone stringnotlike z9"},
		"all but all":                  {doc(attrs{"Effect": "Allow", "Action": change, "NotResource": "arn:aws:route53:::*"}), ""},
		"in China":                     {doc(allow("arn:aws-cn:route53:::hostedzone/Z1", change)), "write and withdraw /hostedzone/z1"},
		"some zones":                   {doc(allow("arn:aws:route53:::hostedzone/Z1*", change)), "write and withdraw /hostedzone/z1*"},
		"zones by a wide pattern":      {doc(allow("arn:aws:route53:::*", change)), "write and withdraw /hostedzone"},
		"a zone and all":               {doc(allow([]string{zoneARN("Z1"), "*"}, change)), "write and withdraw /hostedzone"},
		"another service's resource":   {doc(allow("arn:aws:s3:::bucket", change)), ""},
		"only changes":                 {doc(allow("arn:aws:route53:::change/*", change, "route53:GetChange")), "GetChange"},
		"looking only":                 {doc(allow("*", "route53:Get*", "route53:List*")), "ListResourceRecordSets GetChange ListHostedZonesByName"},
		"a wildcard in the action":     {doc(allow(zoneARN("Z1"), "route53:Change?esourceRecord*")), "write and withdraw /hostedzone/z1"},
		"denied":                       {doc(allow("*", change), deny(zoneARN("Z1"), "route53:Change*")), "not write and withdraw /hostedzone/z1 | write and withdraw /hostedzone"},
		"TXT only":                     {doc(when(one, "ForAllValues:StringEquals", key("RecordTypes"), "TXT", "A")), "write and withdraw /hostedzone/z1"},
		"not TXT":                      {doc(when(one, "ForAllValues:StringEquals", key("RecordTypes"), "A")), ""},
		"all but TXT":                  {doc(when(one, "StringNotEquals", key("RecordTypes"), "TXT")), ""},
		"all but MX":                   {doc(when(one, "ForAllValues:StringNotEquals", key("RecordTypes"), "MX")), "write and withdraw /hostedzone/z1"},
		"a denial of other types":      {doc(one, when(deny("*", change), "ForAnyValue:StringEquals", key("RecordTypes"), "NS")), "write and withdraw /hostedzone/z1"},
		"a denial of all but TXT":      {doc(one, when(deny("*", change), "ForAnyValue:StringNotEquals", key("RecordTypes"), "TXT")), "write and withdraw /hostedzone/z1"},
		"no deletion":                  {doc(when(one, "ForAllValues:StringEquals", key("Actions"), "CREATE", "UPSERT")), "write /hostedzone/z1"},
		"deletion only":                {doc(when(one, "ForAllValues:StringEquals", key("Actions"), "DELETE")), "withdraw /hostedzone/z1"},
		"no creation":                  {doc(when(one, "ForAllValues:StringEquals", key("Actions"), "UPSERT", "DELETE")), "write and withdraw /hostedzone/z1 if route53:changeresourcerecordsetsactions stringequals UPSERT"},
		"challenges by pattern":        {doc(when(one, "ForAllValues:StringLike", key("NormalizedRecordNames"), "_acme-challenge.*")), "write and withdraw /hostedzone/z1"},
		"one challenge":                {doc(when(one, "ForAllValues:StringEquals", key("NormalizedRecordNames"), "_acme-challenge.a.example.com")), "write and withdraw /hostedzone/z1/_acme-challenge.a.example.com"},
		"the challenges of a domain":   {doc(when(one, "ForAllValues:StringLike", key("NormalizedRecordNames"), "*.example.com")), "write and withdraw /hostedzone/z1/*.example.com"},
		"a star that is a letter":      {doc(when(one, "ForAllValues:StringEquals", key("NormalizedRecordNames"), "*.example.com")), `write and withdraw /hostedzone/z1/\052.example.com`},
		"names that are no challenge":  {doc(when(one, "StringNotLike", key("NormalizedRecordNames"), "www.*", "mail.example.com")), "write and withdraw /hostedzone/z1"},
		"names that may be one":        {doc(when(one, "StringNotLike", key("NormalizedRecordNames"), "_acme*")), "write and withdraw /hostedzone/z1 if route53:changeresourcerecordsetsnormalizedrecordnames stringnotlike _acme*"},
		"the keys must be there":       {doc(when(one, "Null", key("RecordTypes"), "false")), "write and withdraw /hostedzone/z1"},
		"the keys must be missing":     {doc(when(one, "Null", key("RecordTypes"), "true")), ""},
		"from an address":              {doc(when(one, "IpAddress", "aws:SourceIp", "192.0.2.0/24", "10.0.0.0/8")), "write and withdraw /hostedzone/z1 if aws:sourceip ipaddress 10.0.0.0/8, 192.0.2.0/24"},
		"over TLS":                     {doc(when(one, "Bool", "aws:SecureTransport", "true")), "write and withdraw /hostedzone/z1"},
		"a denial without TLS":         {doc(one, when(deny("*", "*"), "Bool", "aws:SecureTransport", "false")), "write and withdraw /hostedzone/z1"},
		"not JSON":                     {"{", "unreadable"},
		"no document":                  {"", "unreadable"},
		"another effect":               {`{"Statement":[{"Effect":"Perhaps","Action":"*","Resource":"*"}]}`, "unreadable"},
		"a list of wrong things":       {`{"Statement":[1,2]}`, "unreadable"},
		"nothing in it":                {`{"Statement":[]}`, ""},
	} {
		if got := told(c.document); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", title, c.document, got, c.want)
		}
	}
}

// A change is followed through the code where the plan does not know a value yet.
func TestAWSFollowsTheCode(t *testing.T) {
	t.Parallel()
	created := change(Create, "aws_iam_role_policy_attachment.any", nil, attrs{}, unknowns("role", "policy_arn", "id"))
	made := func(c Change, keys ...string) Change {
		after := without(c.Before, append(keys, "id", "arn")...)
		out := change(Create, c.Address, nil, after, unknowns(append(keys, "id", "arn")...))
		out.Refers = c.Refers
		return out
	}
	for title, c := range map[string]struct {
		refers map[string][]string
		others []Change
		want   string
	}{
		"both named": {
			map[string][]string{"role": {"aws_iam_role.cert_manager.name"}, "policy_arn": {"aws_iam_policy.cert_manager_dns.arn"}},
			[]Change{made(keeps(cmRoleAt, cmRole)), made(keeps(cmPolicyAt, cmPolicy))},
			"grant role/cert-manager write and withdraw and read of /hostedzone/" + strings.ToLower(zone1),
		},
		"a policy of another module": {
			map[string][]string{"role": {"aws_iam_role.cert_manager.name"}, "policy_arn": {"module.dns.arn"}},
			[]Change{made(keeps(cmRoleAt, cmRole)), made(keeps(cmPolicyAt, cmPolicy))},
			"grant policy/cert-manager-dns write and withdraw and read of /hostedzone/" + strings.ToLower(zone1),
		},
		"a role of another module": {
			map[string][]string{"policy_arn": {"aws_iam_policy.cert_manager_dns.arn"}},
			[]Change{made(keeps(cmPolicyAt, cmPolicy))},
			"grant  write and withdraw and read of /hostedzone/" + strings.ToLower(zone1) + " unknown principal",
		},
	} {
		c0 := created
		c0.Refers = c.refers
		_, after := States(&Plan{Changes: append(c.others, c0)})
		var got []string
		for _, x := range TiesOf(after) {
			if x.Kind != KindGrant {
				continue
			}
			s := fmt.Sprintf("%s %s %s of %s", x.Kind, x.Principal, strings.ReplaceAll(x.Rights.String(), ",", " and"), x.Scope)
			for _, u := range x.Unknown {
				s += " unknown " + string(u)
			}
			got = append(got, s)
		}
		if g := strings.Join(got, "\n"); g != c.want {
			t.Errorf("%s:\n got %s\nwant %s", title, g, c.want)
		}
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true},
		{"*", "a.b", true},
		{"a*c", "abbc", true},
		{"a*c", "abbcd", false},
		{"?", "", false},
		{"a?c", "abc", true},
		{"*b*b", "abab", true},
		{"", "", true},
		{"", "a", false},
		{"**a", "ba", true},
		{"a", "A", false},
	} {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("%q %q: %v", c.pattern, c.s, got)
		}
	}
}

// A document is read in the same way each time, whatever is in it, and what it grants covers itself and nothing twice.
func FuzzPolicy(f *testing.F) {
	for _, s := range []string{
		"", "{}", `{"Statement":{}}`, dnsDoc("Z1", "Z2"), doc(allow("*", "*"), deny("arn:aws:route53:::hostedzone/*", "route53:Change*")), podTrust, trusts(awsIssuer, cmSubject),
		doc(when(when(allow(zoneARN("Z1"), "route53:ChangeResourceRecordSets"), "ForAllValues:StringLike", "route53:ChangeResourceRecordSetsNormalizedRecordNames", "*.a", "b.*"), "Bool", "aws:SecureTransport", "true")),
		`{"Statement":[{"Effect":"Allow","NotAction":null,"Action":[1,true,null,{"a":1}],"Resource":{"a":"b"},"Principal":"*","Condition":{"":{"":[]},"StringLike":{"route53:ChangeResourceRecordSetsActions":"*"}}}]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 4096 {
			return
		}
		d, ok := readPolicy(s)
		if again, ok2 := readPolicy(s); ok != ok2 || fmt.Sprint(d) != fmt.Sprint(again) {
			t.Fatalf("read differently: %q", s)
		}
		list, _ := d.grants()
		for i := range list {
			g := &list[i]
			if g.rights&(RightWrite|RightDelete) == 0 || g.zone == "" {
				t.Errorf("grants nothing: %+v", g)
			}
			for j := range list {
				if i != j && g.covers(&list[j]) && list[j].covers(g) {
					t.Errorf("twice: %+v %+v", g, list[j])
				}
			}
		}
		r := &Side{Values: map[string]any{"assume_role_policy": s}}
		trust, _ := awsTrusts(r)
		for i := range trust {
			if !strings.ContainsAny(trust[i].sub, "\x00") && len(trust[i].sub) < 4096 && len(trust[i].scope) == 0 {
				t.Errorf("nobody: %+v", trust[i])
			}
		}
	})
}

// No shape of attributes makes a reader of these providers panic, or a plan without a change be anything but safe.
func FuzzReaders(f *testing.F) {
	seed := func(a attrs) {
		raw, err := json.Marshal(a)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	seed(cmRole)
	seed(cmPolicy)
	seed(cmHeld)
	seed(with(cmHeld, "roles", []string{"cert-manager"}, "users", []any{1, nil}, "policy_arns", "x", "role_name", "cert-manager", "target_id", "r-1", "policy_id", "p-1"))
	seed(zone53("example.com", zone1))
	seed(record53(zone1, "_acme-challenge.example.com", "CAA", `0 issue "x"`, "0", `0 issuewild ";"`))
	seed(token4([]string{dnsWriteGroup}, "*"))
	seed(token5([]string{dnsWriteGroup, zoneReadGroup}, cfZone))
	seed(attrs{"policy": []any{attrs{"permission_groups": []string{dnsWriteGroup}, "resources": attrs{"com.cloudflare.api.account.": ""}}}})
	seed(attrs{"policy": `{"StAtement":[{"ACtion":["route53:C*A*********C***C*******"],"EffeCt":"Allow","ResourCe":["A***A*************hostedZone/0"]}]}`})
	seed(attrs{"identity": []any{attrs{"oidc": []any{attrs{"issuer": "https://" + awsIssuer}}}}, "inline_policy": []any{1, attrs{"name": "x", "policy": 1}}})
	var types []string
	for _, m := range []map[string]reader{awsReaders, cloudflareReaders} {
		for k := range m {
			types = append(types, k)
		}
	}
	slices.Sort(types)
	f.Fuzz(func(t *testing.T, raw string) {
		var values attrs
		if len(raw) > 4096 || json.Unmarshal([]byte(raw), &values) != nil || values == nil {
			return
		}
		if id, _ := values["id"].(string); id == "" {
			values["id"] = "x-1" // what exists has an id
		}
		var same, gone []Change
		for _, k := range types {
			same = append(same, keeps(k+".x", values))
			gone = append(gone, deletes(k+".x", values), change(Create, k+".y", nil, values, unknowns("role", "policy", "policies", "name", "arn", "id")))
		}
		for _, x := range Judge(&Plan{Changes: same}, Inventory{}).Findings {
			t.Errorf("%s %s %s", x.Class, x.Address, x.Summary)
		}
		Judge(&Plan{Changes: gone}, Inventory{})
	})
}
