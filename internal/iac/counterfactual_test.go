package iac

import (
	"strings"
	"testing"
)

// What the cloud named when it was asked decides what is left after a plan, as far as it named everything.
func TestWhatIsAllowedTodayAndDeniedAfterThisPlan(t *testing.T) {
	const (
		grant = zoneID + "/providers/Microsoft.Authorization/roleAssignments/a1"
		other = "/subscriptions/5b000000-0000-4000-8000-000000000001/providers/Microsoft.Authorization/roleAssignments/b2"
		write = "Microsoft.Network/dnsZones/TXT/write"
	)
	assignment := attrs{"id": grant, "scope": zoneID, "principal_id": objectID, "role_definition_id": dnsRole, "role_definition_name": "DNS Zone Contributor"}
	allowed := func(whole bool, grants ...string) Inventory {
		return Inventory{At: sceneTime, Certificates: []Certificate{{
			Name: "hosted-eu", Names: []string{"eu.example.com"}, Identities: []string{objectID}, Zones: []string{zoneID}, Grants: grants, Challenge: "dns-01",
			Allowed: []Allowance{
				{Action: "Microsoft.Network/dnsZones/TXT/read", Scope: zoneID + "/TXT/_acme-challenge.eu", Grants: append([]string{"/reader"}, grants...), Whole: whole},
				{Action: write, Scope: zoneID + "/TXT/_acme-challenge.eu", Grants: grants, Whole: whole},
			},
		}}}
	}
	lost := []Change{deletes("azurerm_role_assignment.cm", assignment)}
	for name, c := range map[string]struct {
		changes []Change
		inv     Inventory
		class   Class
		says    string
	}{
		"this grant alone": {lost, allowed(true, strings.ToUpper(grant)), Lost, "today " + write + " is allowed by what this plan destroys alone, and after this plan it is denied."},
		"this one was named, and nobody looked for others": {lost, allowed(false, grant), Lost, ""},
		"another one that no plan holds":                   {lost, allowed(true, grant, other), Unknown, "the cloud named another grant for the same (asked for the inventory of 22 Sep 2026 14:55 UTC), which this plan does not hold: " + other},
		"another one, where only some were named":          {lost, allowed(false, grant, other), Unknown, other},
		"another one, which goes too": {
			append(lost, deletes("azurerm_role_assignment.top", attrs{
				"id": other, "scope": "/subscriptions/5b000000-0000-4000-8000-000000000001", "principal_id": objectID, "role_definition_id": dnsRole, "role_definition_name": "DNS Zone Contributor",
			})),
			allowed(true, grant, other), Lost, "after this plan it is denied.",
		},
		"another one, while groups change": {append(lost, deletes("azuread_group_member.x", attrs{"id": "g/member/m", "group_object_id": "g", "member_object_id": "m"})), allowed(true, grant, other), Lost, ""},
		"a cloud that named nothing":       {lost, allowed(true), Lost, ""},
		"no inventory":                     {lost, Inventory{}, Lost, ""},
	} {
		p := &Plan{Changes: c.changes}
		before := Judge(p, c.inv)
		v := before.Counterfactual(p, c.inv)
		if v.Class != c.class || len(v.Findings) == 0 {
			t.Errorf("%s: %s, want %s: %+v", name, v.Class, c.class, v.Findings)
			continue
		}
		f, was := v.Findings[0], before.Findings[0]
		if c.says == "" && f.Summary != was.Summary || !strings.Contains(f.Summary, c.says) || !strings.Contains(f.Summary, was.Summary) {
			t.Errorf("%s: says %s", name, f.Summary)
		}
		if (f.Fingerprint == was.Fingerprint) != (c.class == Lost) {
			t.Errorf("%s: whoever answers for the one answers for the other: %s, %s", name, f.Fingerprint, was.Fingerprint)
		}
		if was.Class != Lost {
			t.Errorf("%s: the verdict given was changed, or never lost: %+v", name, was)
		}
	}
	if v := (Verdict{Class: Safe}).Counterfactual(&Plan{}, Inventory{}); v.Class != Safe || len(v.Findings) != 0 {
		t.Errorf("nothing found: %+v", v)
	}
}
