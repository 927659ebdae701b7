package e2e_test

import (
	"strings"
	"testing"
)

// What was taken away outside the code is found in OpenTofu's own plan, and of two things that are gone only the one
// that renewal rests on is told.
func TestDriftOfARealPlan(t *testing.T) {
	t.Parallel()
	w := open(t, cloud(t))
	code := zone + granted("cert_manager", ana, "") + `
resource "azurerm_role_assignment" "reports" {
  scope                = azurerm_dns_zone.main.id
  role_definition_name = "Reader"
  principal_id         = "` + bea + `"
}
`
	w.write(code, nil)
	w.converge()
	drift := func() (int, string) {
		t.Helper()
		status, _, said := w.notafter(w.plan(false, "-refresh-only"), "drift", "--plan", "-")
		return status, said
	}
	if status, said := drift(); status != 0 {
		t.Errorf("with nothing gone, notafter drift ends with status %d:\n%s", status, said)
	}
	takeAway(t, w)
	status, said := drift()
	if status != 1 || !strings.Contains(said, "azurerm_role_assignment.cert_manager") || !strings.Contains(said, ana) {
		t.Errorf("notafter drift ends with status %d:\n%s", status, said)
	}
	if strings.Contains(said, "reports") || strings.Contains(said, bea) {
		t.Errorf("it tells of what renewal does not rest on:\n%s", said)
	}
}
