package arm

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzMatches compares patterns of roles with the same as regular expressions.
func FuzzMatches(f *testing.F) {
	for _, p := range []string{"*", "*/read", "Microsoft.Network/dnsZones/*", "a*b*c", "**", "", "*a*", "ab*ba"} {
		f.Add(p, "Microsoft.Network/dnsZones/TXT/read")
		f.Add(p, "aba")
	}
	f.Fuzz(func(t *testing.T, pattern, action string) {
		ascii := func(r rune) bool { return r >= 0x80 || r == '\n' }
		if len(pattern) > 100 || len(action) > 100 || strings.ContainsFunc(pattern+action, ascii) {
			return
		}
		want := regexp.MustCompile("(?is)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(action)
		if got := matches(pattern, action); got != want {
			t.Errorf("%q, %q: %t, want %t", pattern, action, got, want)
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"atScope()", "assignedTo('x')", "atScope() and assignedTo('x')", "principalId eq 'y'", "principalId eq y", "assignedTo('", "AssignedTo(')", "", " and "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, no := parseFilter(text)
		if no == nil && text != "" && got == (filter{}) && !strings.Contains(text, "''") && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(text)), "principalid eq") {
			t.Errorf("%q was taken and means nothing", text)
		}
	})
}
