package iac

import "testing"

func TestAzureRolesAreKnownByWhatTheyMayDo(t *testing.T) {
	t.Parallel()
	defined := func(actions, not []any) *State {
		p := &Plan{Changes: []Change{keeps("azurerm_role_definition.r", azWith(azRole(), attrs{"permissions": []any{attrs{"actions": actions, "not_actions": not}}}))}}
		before, _ := States(p)
		return before
	}
	any := func(s ...any) []any { return s }
	for name, c := range map[string]struct {
		st     *State
		id     string
		name   string
		rights Right
		ok     bool
		broad  bool
	}{
		"the role for zones, by id":              {nil, dnsRole, "", RightAll, true, false},
		"the role for zones, by id from the top": {nil, dnsRoleTop, "", RightAll, true, false},
		"the role for zones, by name":            {nil, "", "dns zone contributor", RightAll, true, false},
		"contributor":                            {nil, "", "Contributor", RightAll, true, true},
		"reader":                                 {nil, "", "Reader", 0, false, false},
		"reader of zones":                        {nil, "", "DNS Zone Reader", 0, false, false},
		"may pull images":                        {nil, "", "AcrPull", 0, false, false},
		"may give access":                        {nil, "", "User Access Administrator", 0, false, false},
		"by the id of one that may not":          {nil, "/providers/Microsoft.Authorization/roleDefinitions/7F951DDA-4ed3-4680-a7ca-43fe172d538d", "", 0, false, false},
		"called like storage, for records":       {nil, "", "Storage DNS writer", RightAll, true, true},
		"of nobody's knowledge":                  {nil, "", "Platform", RightAll, true, true},
		"exactly what is needed":                 {defined(any("Microsoft.Network/dnsZones/TXT/read", "Microsoft.Network/dnszones/txt/WRITE", "Microsoft.Network/dnsZones/TXT/delete"), nil), azCustomID, "", RightAll, true, false},
		"all of TXT":                             {defined(any("Microsoft.Network/dnsZones/TXT/*"), nil), azCustomID, "", RightAll, true, false},
		"all writing":                            {defined(any("*/write"), nil), azCustomID, "", RightWrite, true, true},
		"all but deleting":                       {defined(any("*"), any("*/delete")), azCustomID, "", RightWrite | RightRead, true, true},
		"all but zones":                          {defined(any("*"), any("Microsoft.Network/*dnsZones/*")), azCustomID, "", 0, false, false},
		"addresses only":                         {defined(any("Microsoft.Network/dnsZones/A/*", "Microsoft.Network/dnsZones/read"), nil), azCustomID, "", 0, false, false},
		"reading only":                           {defined(any("*/read"), nil), azCustomID, "", 0, false, false},
		"by the plan's definition's name":        {defined(any("Microsoft.Network/dnsZones/TXT/*"), nil), "", "ACME writer", RightAll, true, false},
		"by the provider's own id":               {defined(any("Microsoft.Network/dnsZones/TXT/*"), nil), azCustomID + "|" + azSub, "", RightAll, true, false},
	} {
		st := c.st
		if st == nil {
			st, _ = States(&Plan{})
		}
		role, ok := azureRoleOf(st, &Side{Change: &Change{}}, c.id, c.name)
		if ok != c.ok {
			t.Errorf("%s: may write is %t, want %t", name, ok, c.ok)
			continue
		}
		if ok && (role.rights != c.rights || role.broad != c.broad) {
			t.Errorf("%s: %s and broad is %t, want %s and %t", name, role.rights, role.broad, c.rights, c.broad)
		}
	}
}

func FuzzAzureMatch(f *testing.F) {
	f.Add("*", "microsoft.network/dnszones/txt/write")
	f.Add("Microsoft.Network/*/TXT/*", "microsoft.network/dnszones/txt/write")
	f.Add("**a*", "aa")
	f.Fuzz(func(t *testing.T, pattern, action string) {
		if azureMatch(pattern, action) && !azureMatch("*", action) {
			t.Fatalf("%q names %q, and * does not", pattern, action)
		}
	})
}
