package iac

import (
	"bytes"
	"fmt"
	"testing"
)

// A token says the same in the shapes of both versions of the provider.
func TestCloudflareShapes(t *testing.T) {
	t.Parallel()
	both := []string{dnsWriteGroup, zoneReadGroup}
	told := func(a attrs) string {
		p, err := Read(bytes.NewReader(scene{changes: []Change{keeps(tokenAt, a)}}.plan()), ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		before, _ := States(p)
		out := ""
		for _, x := range TiesOf(before) {
			out += fmt.Sprintln(x.Kind, x.Principal, x.Rights, x.Scope, x.Condition)
		}
		return out
	}
	limited := func(a attrs, condition any) attrs {
		return with(a, "condition", condition, "expires_on", "2027-01-01T00:00:00Z")
	}
	four := told(limited(token4(both, cfZone, cfOther), []attrs{{"request_ip": []attrs{{"in": []string{"192.0.2.0/24"}, "not_in": []string{"192.0.2.7"}}}}}))
	five := told(limited(token5(both, cfZone, cfOther), attrs{"request_ip": attrs{"in": []string{"192.0.2.0/24"}, "not_in": []string{"192.0.2.7"}}}))
	const want = `identity f174e90afafe4643bbbc4a0ed4fc8415  / 
grant f174e90afafe4643bbbc4a0ed4fc8415 write, withdraw and read /zones/-/22b1de5f1c0e4b3ea97bb1e963b06a43 only from 192.0.2.0/24; not from 192.0.2.7; until 2027-01-01T00:00:00Z
grant f174e90afafe4643bbbc4a0ed4fc8415 write, withdraw and read /zones/-/eb78d65290b24279ba6f44721b3ea3c4 only from 192.0.2.0/24; not from 192.0.2.7; until 2027-01-01T00:00:00Z
`
	if four != want || five != want {
		t.Errorf("version 4:\n%s\nversion 5:\n%s\nwant:\n%s", four, five, want)
	}
}

func TestCloudflareLimits(t *testing.T) {
	t.Parallel()
	in := func(n ...string) cloudflareLimit { return cloudflareLimit{in: n} }
	not := func(n ...string) cloudflareLimit { return cloudflareLimit{notIn: n} }
	until := func(s string) cloudflareLimit { return cloudflareLimit{until: s} }
	from := func(s string) cloudflareLimit { return cloudflareLimit{from: s} }
	for title, c := range map[string]struct {
		a, b cloudflareLimit
		want bool // a lets through whatever b does
	}{
		"no limits":                    {cloudflareLimit{}, cloudflareLimit{}, true},
		"a limit goes":                 {cloudflareLimit{}, in("192.0.2.0/24"), true},
		"a limit comes":                {in("192.0.2.0/24"), cloudflareLimit{}, false},
		"a larger network":             {in("192.0.0.0/16"), in("192.0.2.0/24", "192.0.7.1"), true},
		"a smaller network":            {in("192.0.2.0/25"), in("192.0.2.0/24"), false},
		"another family":               {in("::/0"), in("192.0.2.0/24"), false},
		"a network that is none":       {in("home"), in("home"), true},
		"networks that are none":       {in("home"), in("away"), false},
		"an exception goes":            {cloudflareLimit{}, not("192.0.2.1"), true},
		"an exception comes":           {not("192.0.2.1"), cloudflareLimit{}, false},
		"a smaller exception":          {not("192.0.2.1"), not("192.0.2.0/24"), true},
		"ends later":                   {until("2027-01-01T00:00:00Z"), until("2026-01-01T00:00:00Z"), true},
		"ends at the same time":        {until("2027-01-01T01:00:00+01:00"), until("2027-01-01T00:00:00Z"), true},
		"ends sooner":                  {until("2026-01-01T00:00:00Z"), until("2027-01-01T00:00:00Z"), false},
		"ends, and did not":            {until("2027-01-01T00:00:00Z"), cloudflareLimit{}, false},
		"no longer ends":               {cloudflareLimit{}, until("2027-01-01T00:00:00Z"), true},
		"ends at a time that is none":  {until("soon"), until("2027-01-01T00:00:00Z"), false},
		"begins later":                 {from("2027-01-01T00:00:00Z"), from("2026-01-01T00:00:00Z"), false},
		"begins sooner":                {from("2026-01-01T00:00:00Z"), from("2027-01-01T00:00:00Z"), true},
		"begins, and had always begun": {from("2026-01-01T00:00:00Z"), cloudflareLimit{}, false},
	} {
		if got := c.a.covers(c.b); got != c.want {
			t.Errorf("%s: %v", title, got)
		}
	}
}
