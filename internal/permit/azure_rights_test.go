package permit_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/permit"
)

const (
	azSub    = "/subscriptions/s"
	azGroup  = azSub + "/resourceGroups/dns"
	azZone   = azGroup + "/providers/Microsoft.Network/dnszones/example.com"
	azSet    = azZone + "/TXT/_acme-challenge"
	azRead   = "Microsoft.Network/dnsZones/TXT/read"
	azWrite  = "Microsoft.Network/dnsZones/TXT/write"
	azDelete = "Microsoft.Network/dnsZones/TXT/delete"
)

var (
	azDNSRole  = permit.AzureRole{ID: azSub + "/providers/Microsoft.Authorization/roleDefinitions/dns", Permissions: []permit.AzurePermission{{Actions: []string{"Microsoft.Network/dnsZones/*"}}}}
	azNoDelete = permit.AzureRole{ID: "nodelete", Permissions: []permit.AzurePermission{{Actions: []string{"*"}, NotActions: []string{"*/Delete"}}}}
	azReader   = permit.AzureRole{ID: "reader", Permissions: []permit.AzurePermission{{Actions: []string{"*/read"}}}}
	azRoles    = []permit.AzureRole{azDNSRole, azNoDelete, azReader}
)

func TestEvaluateAzure(t *testing.T) {
	t.Parallel()
	grant := func(role, scope string) permit.AzureGrant {
		return permit.AzureGrant{ID: "grant of " + role, Scope: scope, Role: role}
	}
	all := []permit.AzurePermission{{Actions: []string{"*"}}}
	for name, c := range map[string]struct {
		rights permit.AzureRights
		action string
		want   assure.Answer
		// carried and blocked are what is named.
		carried, blocked string
	}{
		"nothing granted":                      {permit.AzureRights{}, azWrite, assure.Forbidden, "", ""},
		"granted at the zone":                  {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}}, azWrite, assure.Allowed, "grant of dns", ""},
		"granted at the record set":            {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azSet)}}, azWrite, assure.Allowed, "grant of dns", ""},
		"granted at the subscription":          {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", "/SUBSCRIPTIONS/S/")}}, azWrite, assure.Allowed, "grant of dns", ""},
		"granted at the root":                  {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", "/")}}, azWrite, assure.Allowed, "grant of dns", ""},
		"granted at a management group":        {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", "/providers/Microsoft.Management/managementGroups/m")}}, azWrite, assure.Allowed, "grant of dns", ""},
		"granted at a zone with a longer name": {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone+".au")}}, azWrite, assure.Forbidden, "", ""},
		"granted at another record set":        {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azSet+"2")}}, azWrite, assure.Forbidden, "", ""},
		"granted nowhere":                      {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", "")}}, azWrite, assure.Forbidden, "", ""},
		"may only read":                        {permit.AzureRights{Grants: []permit.AzureGrant{grant("reader", azZone)}}, azWrite, assure.Forbidden, "", ""},
		"excepted in the role":                 {permit.AzureRights{Grants: []permit.AzureGrant{grant("nodelete", azZone)}}, azDelete, assure.Forbidden, "", ""},
		"excepted in one role, not in another": {permit.AzureRights{Grants: []permit.AzureGrant{grant("nodelete", azZone), grant("dns", azSub)}}, azDelete, assure.Allowed, "grant of dns", ""},
		"two carry it":                         {permit.AzureRights{Grants: []permit.AzureGrant{grant("nodelete", azZone), grant("dns", azSub)}}, azWrite, assure.Allowed, "grant of nodelete,grant of dns", ""},
		"role unknown":                         {permit.AzureRights{Grants: []permit.AzureGrant{grant("gone", azZone)}}, azWrite, assure.Untold, "", ""},
		"role unknown but another carries it":  {permit.AzureRights{Grants: []permit.AzureGrant{grant("gone", azZone), grant("dns", azZone)}}, azWrite, assure.Allowed, "grant of dns", ""},
		"condition":                            {permit.AzureRights{Grants: []permit.AzureGrant{{ID: "g", Scope: azZone, Role: "dns", Condition: "@Resource..."}}}, azWrite, assure.Untold, "", ""},
		"condition on what matters not":        {permit.AzureRights{Grants: []permit.AzureGrant{{ID: "g", Scope: azZone, Role: "reader", Condition: "@Resource..."}}}, azWrite, assure.Forbidden, "", ""},
		"denied":                               {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Denies: []permit.AzureDeny{{ID: "d", Scope: azSub, Permissions: all}}}, azWrite, assure.Forbidden, "grant of dns", "d"},
		"denied above only":                    {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Denies: []permit.AzureDeny{{ID: "d", Scope: azSub, Permissions: all, Here: true}}}, azWrite, assure.Allowed, "grant of dns", ""},
		"perhaps denied":                       {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Denies: []permit.AzureDeny{{ID: "d", Scope: azSub, Permissions: all, Unsure: true}}}, azWrite, assure.Untold, "grant of dns", ""},
		"perhaps denied and not granted":       {permit.AzureRights{Denies: []permit.AzureDeny{{ID: "d", Scope: azSub, Permissions: all, Unsure: true}}}, azWrite, assure.Forbidden, "", ""},
		"something else is denied":             {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Denies: []permit.AzureDeny{{ID: "d", Scope: azSub, Permissions: []permit.AzurePermission{{Actions: []string{"*/delete"}}}}}}, azWrite, assure.Allowed, "grant of dns", ""},
		"delete lock and writing":              {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Locks: []permit.AzureLock{{ID: "l", Scope: azGroup, Level: "CanNotDelete"}}}, azWrite, assure.Allowed, "grant of dns", ""},
		"delete lock and deleting":             {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Locks: []permit.AzureLock{{ID: "l", Scope: azGroup, Level: "CanNotDelete"}}}, azDelete, assure.Forbidden, "grant of dns", "l"},
		"read-only lock and writing":           {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Locks: []permit.AzureLock{{ID: "l", Scope: azSet, Level: "ReadOnly"}}}, azWrite, assure.Forbidden, "grant of dns", "l"},
		"read-only lock and reading":           {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Locks: []permit.AzureLock{{ID: "l", Scope: azSet, Level: "ReadOnly"}}}, azRead, assure.Allowed, "grant of dns", ""},
		"read-only lock at another set":        {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Locks: []permit.AzureLock{{ID: "l", Scope: azZone + "/TXT/other", Level: "ReadOnly"}}}, azWrite, assure.Allowed, "grant of dns", ""},
		"a lock of an unknown level":           {permit.AzureRights{Grants: []permit.AzureGrant{grant("dns", azZone)}, Locks: []permit.AzureLock{{ID: "l", Scope: azZone, Level: "Sealed"}}}, azWrite, assure.Untold, "grant of dns", ""},
	} {
		c.rights.Roles = azRoles
		v := permit.EvaluateAzure(c.rights, c.action, azSet)
		if v.Answer != c.want || strings.Join(v.Grants, ",") != c.carried || strings.Join(v.Blockers, ",") != c.blocked || v.Detail == "" {
			t.Errorf("%s: %+v, want %s, grants %q, blockers %q", name, v, c.want, c.carried, c.blocked)
		}
	}
}

// azRank orders answers by how good they are.
func azRank(a assure.Answer) int {
	return slices.Index([]assure.Answer{assure.Forbidden, assure.Untold, assure.Allowed}, a)
}

func anyRights() *rapid.Generator[permit.AzureRights] {
	scopes := rapid.SampledFrom([]string{"/", azSub, azGroup, azZone, azSet, azZone + "/TXT/other", strings.ToUpper(azZone), ""})
	patterns := rapid.SampledFrom([]string{"*", "*/read", "*/write", "*/Delete", "Microsoft.Network/*", "Microsoft.Network/dnsZones/TXT/*", azWrite, "Microsoft.Network/*/TXT/w*", "Microsoft.Compute/*"})
	permissions := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) permit.AzurePermission {
		return permit.AzurePermission{Actions: rapid.SliceOfN(patterns, 0, 2).Draw(t, "actions"), NotActions: rapid.SliceOfN(patterns, 0, 1).Draw(t, "notActions")}
	}), 0, 2)
	return rapid.Custom(func(t *rapid.T) permit.AzureRights {
		var r permit.AzureRights
		for i := range rapid.IntRange(0, 3).Draw(t, "roles") {
			r.Roles = append(r.Roles, permit.AzureRole{ID: fmt.Sprint("role", i), Permissions: permissions.Draw(t, "permissions")})
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "grants") {
			r.Grants = append(r.Grants, permit.AzureGrant{
				ID: fmt.Sprint("grant", i), Scope: scopes.Draw(t, "scope"), Role: fmt.Sprint("/x/ROLE", rapid.IntRange(0, 3).Draw(t, "role")),
				Condition: rapid.SampledFrom([]string{"", "", "", "?"}).Draw(t, "condition"),
			})
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "denies") {
			r.Denies = append(r.Denies, permit.AzureDeny{
				ID: fmt.Sprint("deny", i), Scope: scopes.Draw(t, "scope"), Permissions: permissions.Draw(t, "permissions"),
				Here: rapid.Bool().Draw(t, "here"), Unsure: rapid.Bool().Draw(t, "unsure"),
			})
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "locks") {
			r.Locks = append(r.Locks, permit.AzureLock{ID: fmt.Sprint("lock", i), Scope: scopes.Draw(t, "scope"), Level: rapid.SampledFrom([]string{"ReadOnly", "CanNotDelete", "?"}).Draw(t, "level")})
		}
		return r
	})
}

// TestEvaluateAzureProperties: what issue after issue relies on, over random rights.
func TestEvaluateAzureProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := anyRights().Draw(t, "rights")
		action := rapid.SampledFrom([]string{azRead, azWrite, azDelete}).Draw(t, "action")
		v := permit.EvaluateAzure(r, action, azSet)
		if azRank(v.Answer) < 0 || v.Detail == "" {
			t.Fatalf("no answer: %+v", v)
		}
		if v.Answer == assure.Allowed && (len(v.Grants) == 0 || len(v.Blockers) > 0) {
			t.Fatalf("allowed by nothing, or in spite of something: %+v", v)
		}
		for i := range r.Grants { // taking a grant away never helps
			less := r
			less.Grants = slices.Delete(slices.Clone(r.Grants), i, i+1)
			if w := permit.EvaluateAzure(less, action, azSet); azRank(w.Answer) > azRank(v.Answer) {
				t.Fatalf("without %s: %s instead of %s", r.Grants[i].ID, w.Answer, v.Answer)
			}
		}
		for i := range r.Denies { // nor does a deny assignment
			less := r
			less.Denies = slices.Delete(slices.Clone(r.Denies), i, i+1)
			if w := permit.EvaluateAzure(less, action, azSet); azRank(w.Answer) < azRank(v.Answer) {
				t.Fatalf("without %s: %s instead of %s", r.Denies[i].ID, w.Answer, v.Answer)
			}
		}
		for i := range r.Locks { // nor a lock
			less := r
			less.Locks = slices.Delete(slices.Clone(r.Locks), i, i+1)
			if w := permit.EvaluateAzure(less, action, azSet); azRank(w.Answer) < azRank(v.Answer) {
				t.Fatalf("without %s: %s instead of %s", r.Locks[i].ID, w.Answer, v.Answer)
			}
		}
		var carried permit.AzureRights // those that carry it are enough, and without them nothing is certain
		carried.Roles = r.Roles
		rest := r
		rest.Grants = nil
		for _, g := range r.Grants {
			if slices.Contains(v.Grants, g.ID) {
				carried.Grants = append(carried.Grants, g)
			} else {
				rest.Grants = append(rest.Grants, g)
			}
		}
		if w := permit.EvaluateAzure(carried, action, azSet); len(v.Grants) > 0 && w.Answer != assure.Allowed {
			t.Fatalf("%v are named and do not carry it: %+v", v.Grants, w)
		}
		if w := permit.EvaluateAzure(rest, action, azSet); w.Answer == assure.Allowed {
			t.Fatalf("allowed without those that are named: %+v", w)
		}
		turned := permit.AzureRights{Grants: slices.Clone(r.Grants), Roles: slices.Clone(r.Roles), Denies: slices.Clone(r.Denies), Locks: slices.Clone(r.Locks)}
		slices.Reverse(turned.Grants)
		slices.Reverse(turned.Roles)
		slices.Reverse(turned.Denies)
		slices.Reverse(turned.Locks)
		if w := permit.EvaluateAzure(turned, strings.ToUpper(action), strings.ToUpper(azSet)); w.Answer != v.Answer {
			t.Fatalf("in another order and case: %s instead of %s", w.Answer, v.Answer)
		}
	})
}

// FuzzAzurePattern compares matching with the same pattern as a regular expression.
func FuzzAzurePattern(f *testing.F) {
	for _, s := range []string{"*", "*/read", "Microsoft.Network/dnsZones/*", "a*b*c", "**", "", "*a", azWrite, "Microsoft.*/TXT/*te"} {
		f.Add(s, azWrite)
		f.Add(s, "abcabc")
	}
	f.Fuzz(func(t *testing.T, pattern, action string) {
		if len(pattern) > 200 || len(action) > 200 {
			return
		}
		for _, s := range []string{pattern, action} { // case folding of other letters is not Azure's concern
			if strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 || r == '\n' }) {
				return
			}
		}
		want := regexp.MustCompile("(?is)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(action)
		v := permit.EvaluateAzure(permit.AzureRights{
			Grants: []permit.AzureGrant{{ID: "g", Scope: "/", Role: "r"}},
			Roles:  []permit.AzureRole{{ID: "r", Permissions: []permit.AzurePermission{{Actions: []string{pattern}}}}},
		}, action, azSet)
		if got := v.Answer == assure.Allowed; got != want {
			t.Errorf("%q holds %q: %t, want %t", pattern, action, got, want)
		}
	})
}
