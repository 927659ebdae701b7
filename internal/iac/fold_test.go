package iac

import (
	"bytes"
	"testing"
)

func TestIDsAreAlikeButForTheCaseOfPlainLetters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"/Subscriptions/X", "/subscriptions/x", true},
		{"/\u017fubscriptions/x", "/subscriptions/x", false},
		{"to\u212Aen", "token", false},
		{"Ä", "ä", false},
		{"a", "ab", false},
		{"[", "{", false},
		{"@", "`", false},
	} {
		if got := alike(c.a, c.b); got != c.want {
			t.Errorf("%q and %q alike: %v", c.a, c.b, got)
		}
		if got := lower(c.a) == lower(c.b); got != c.want {
			t.Errorf("%q and %q made small: %v", c.a, c.b, got)
		}
	}
}

// A scope that only looks like the zone's is another one: what is granted there takes nothing's place.
func TestAScopeWithLettersThatLookAlikeCoversNothing(t *testing.T) {
	t.Parallel()
	odd := azWith(azGrant(), attrs{"scope": "/\u017fub\u017fcriptions" + zoneID[len("/subscriptions"):], "id": "/other"})
	p, err := Read(bytes.NewReader(scene{changes: []Change{deletes("azurerm_role_assignment.cm", azGrant()), keeps("azurerm_role_assignment.odd", odd)}}.plan()), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v := Judge(p, Inventory{At: sceneTime}); v.Class != Lost {
		t.Errorf("%s; want lost", v.Class)
	}
}
