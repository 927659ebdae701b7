package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/notafter/notafter/e2e/provider"
	"github.com/notafter/notafter/internal/lab/arm"
)

// Identities that no code makes.
const (
	ana = "0b1ec700-0000-4000-8000-000000000001"
	bea = "0b1ec700-0000-4000-8000-000000000002"
)

// corpus is where plans of real OpenTofu are kept for tests that have none.
var corpus = filepath.Join("..", "internal", "iac", "testdata", "tofu")

// scene is a change of code, what OpenTofu plans for it, and what the guard says about that.
type scene struct {
	name           string
	before, after  string
	modules, later map[string]string // of the code before and after
	// between happens in Azure after the first code was applied.
	between func(t *testing.T, w *workspace)
	flags   []string // of tofu plan
	broken  bool     // planning ends with an error
	want    string   // what is said, a finding a line
	class   string
	// then looks at the world after the plan was applied, and says what apply has to end with.
	status int
	then   func(t *testing.T, w *workspace)
	large  bool // not kept
	// during happens between plan and apply.
	during func(w *workspace)
	// derived is a setting of the provider.
	derived bool
}

func (s scene) play(t *testing.T) {
	w := openWith(t, cloud(t), provider.Azure{Derived: s.derived})
	w.write(s.before, s.modules)
	w.converge()
	if s.between != nil {
		s.between(t, w)
	}
	w.write(s.after, s.later)
	plan := w.plan(s.broken, s.flags...)
	status, v := w.guard(plan)
	if v.Class != s.class || v.lines() != s.want || status != statusOf(s.class) {
		t.Errorf("the guard says %s with status %d:\n%swant %s with status %d:\n%s\n%s", v.Class, status, v.lines(), s.class, statusOf(s.class), s.want, v.raw)
	}
	s.keep(t, normal(t, plan))
	if s.then == nil {
		return
	}
	if s.during != nil {
		s.during(w)
	}
	if status, said := w.apply(); status != s.status {
		t.Fatalf("tofu apply ended with status %d, want %d:\n%s", status, s.status, said)
	}
	s.then(t, w)
}

// keep compares the plan with the one that is kept, or writes it.
func (s scene) keep(t *testing.T, plan []byte) {
	t.Helper()
	if s.large {
		return
	}
	said := []byte(s.class + "\n" + s.want)
	for name, now := range map[string][]byte{s.name + ".json": plan, s.name + ".txt": said} {
		name = filepath.Join(corpus, name)
		if *update {
			if err := os.MkdirAll(corpus, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, now, 0o644); err != nil { //nolint:gosec // part of the repository
				t.Fatal(err)
			}
		}
		if kept, err := os.ReadFile(name); err != nil || !bytes.Equal(kept, now) {
			t.Errorf("%s is not what OpenTofu plans now (make e2e UPDATE=1 writes it): %v", name, err)
		}
	}
}

const zone = `
resource "azurerm_dns_zone" "main" {
  name                = "example.com"
  resource_group_name = "dns"
}
`

// granted is the code of a grant at the zone; more is further lines of it.
func granted(name, principal, more string) string {
	return `
resource "azurerm_role_assignment" "` + name + `" {
  scope                = azurerm_dns_zone.main.id
  role_definition_name = "DNS Zone Contributor"
  principal_id         = "` + principal + `"
` + more + `}
`
}

// keyed is the code of grants by key.
func keyed(key string) string {
	return `
resource "azurerm_role_assignment" "renewer" {
  for_each             = { ` + key + ` = "` + ana + `" }
  scope                = azurerm_dns_zone.main.id
  role_definition_name = "DNS Zone Contributor"
  principal_id         = each.value
}
`
}

func TestScenes(t *testing.T) {
	t.Parallel()
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.play(t)
		})
	}
}

// wantGrants wants exactly one grant for each of the principals.
func wantGrants(t *testing.T, w *workspace, principals ...string) {
	t.Helper()
	var have []string
	for _, g := range grants(w.azure) {
		if g.Role == arm.DNSZoneContributor {
			have = append(have, g.Principal)
		}
	}
	if len(have) != len(principals) {
		t.Fatalf("grants are %q, want %q", have, principals)
	}
	for i := range have {
		if have[i] != principals[i] {
			t.Fatalf("grants are %q, want %q", have, principals)
		}
	}
}
