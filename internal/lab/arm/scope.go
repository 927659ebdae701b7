package arm

import "strings"

// GroupScope is the resource id of a resource group.
func (s *Server) GroupScope(group string) string {
	return "/subscriptions/" + s.opts.Subscription + "/resourceGroups/" + group
}

// ZoneScope is the resource id of a DNS zone.
func (s *Server) ZoneScope(group, zone string) string {
	return s.GroupScope(group) + "/providers/Microsoft.Network/dnszones/" + zone
}

// RecordScope is the resource id of a TXT record set; name is relative to the zone.
func (s *Server) RecordScope(group, zone, name string) string {
	return s.ZoneScope(group, zone) + "/TXT/" + name
}

// same compares resource ids, which have no case of letters.
func same(a, b string) bool { return strings.EqualFold(strings.Trim(a, "/"), strings.Trim(b, "/")) }

// covers reports whether what holds at outer holds at inner too.
func covers(outer, inner string) bool {
	outer, inner = strings.ToLower(strings.Trim(outer, "/")), strings.ToLower(strings.Trim(inner, "/"))
	if outer == "" || outer == inner || strings.HasPrefix(inner, outer+"/") {
		return true
	}
	// Management groups are above every subscription here.
	return strings.HasPrefix(outer, "providers/microsoft.management/managementgroups/") && strings.HasPrefix(inner, "subscriptions/")
}

// matches reports whether a pattern of a role, in which * stands for anything, holds the action. Case does not count.
func matches(pattern, action string) bool {
	p, a := strings.ToLower(pattern), strings.ToLower(action)
	parts := strings.Split(p, "*")
	if len(parts) == 1 {
		return p == a
	}
	if !strings.HasPrefix(a, parts[0]) {
		return false
	}
	a = a[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(a, part)
		if i < 0 {
			return false
		}
		a = a[i+len(part):]
	}
	return strings.HasSuffix(a, last)
}

func anyMatches(patterns []string, action string) bool {
	for _, p := range patterns {
		if matches(p, action) {
			return true
		}
	}
	return false
}
