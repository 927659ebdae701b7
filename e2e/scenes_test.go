package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/lab/arm"
)

// byHand is the name of a grant that no code made.
const byHand = "9b000000-0000-4000-8000-000000000001"

// scenes are the cases of which a plan says less than it seems to, each as real OpenTofu plans it.
func scenes() []scene {
	const address = "azurerm_role_assignment.cert_manager"
	plain := zone + granted("cert_manager", ana, "")
	tied := zone + `
resource "azurerm_user_assigned_identity" "renewer" {
  name                = "renewer"
  resource_group_name = "dns"
  location            = "westeurope"
}

resource "azurerm_role_assignment" "cert_manager" {
  scope                = azurerm_dns_zone.main.id
  role_definition_name = "DNS Zone Contributor"
  principal_id         = azurerm_user_assigned_identity.renewer.principal_id
}
`
	counted := func(principals string) string {
		return zone + `
resource "azurerm_role_assignment" "renewer" {
  count                = length([` + principals + `])
  scope                = azurerm_dns_zone.main.id
  role_definition_name = "DNS Zone Contributor"
  principal_id         = [` + principals + `][count.index]
}
`
	}
	module := func(name string) string {
		return zone + `
module "` + name + `" {
  source = "./access"
  scope  = azurerm_dns_zone.main.id
}
`
	}
	access := map[string]string{"access": `
variable "scope" {
  type = string
}

resource "azurerm_role_assignment" "this" {
  scope                = var.scope
  role_definition_name = "DNS Zone Contributor"
  principal_id         = "` + ana + `"
}
`}
	widened := func(more string) string {
		return zone + `
resource "azurerm_role_assignment" "cert_manager" {
  scope                = "/subscriptions/` + arm.LabSubscription + `/resourceGroups/dns"
  role_definition_name = "DNS Zone Contributor"
  principal_id         = "` + ana + `"
` + more + `}
`
	}
	looked := func(release string) string {
		return zone + `
resource "terraform_data" "who" {
  input            = "` + ana + `"
  triggers_replace = ["` + release + `"]
}

resource "azurerm_role_assignment" "cert_manager" {
  scope                = azurerm_dns_zone.main.id
  role_definition_name = "DNS Zone Contributor"
  principal_id         = terraform_data.who.output
}
`
	}
	wider := zone + `
resource "azurerm_role_assignment" "all_zones" {
  scope                = "/subscriptions/` + arm.LabSubscription + `/resourceGroups/dns"
  role_definition_name = "DNS Zone Contributor"
  principal_id         = "` + ana + `"
}
`
	const first = "  lifecycle {\n    create_before_destroy = true\n  }\n"
	const condition = `  condition            = "@Resource[Microsoft.Network/dnsZones/TXT:name] StringEquals '_acme-challenge'"
`
	return append([]scene{
		{
			name: "block-removed", before: plain, after: zone,
			class: "lost", want: "lost " + address + "\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w) },
		},
		{
			name: "nothing-changed", before: plain, after: plain, class: "safe",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "role-exchanged", before: plain,
			after: zone + `
resource "azurerm_role_assignment" "cert_manager" {
  scope                = azurerm_dns_zone.main.id
  role_definition_name = "Reader"
  principal_id         = "` + ana + `"
}
`,
			class: "lost", want: "lost " + address + "\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w) },
		},
		{
			name: "replaced", before: plain,
			after: zone + granted("cert_manager", ana, "  name                 = \"9a000000-0000-4000-8000-000000000001\"\n"),
			class: "gap", want: "gap " + address + "\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			// Azure keeps one assignment for each identity, role and scope: the new one is refused, and the old one stays.
			name: "replaced-new-one-first", before: plain,
			after: zone + granted("cert_manager", ana, "  name                 = \"9a000000-0000-4000-8000-000000000001\"\n"+first),
			class: "safe", status: 1,
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "condition-added", before: plain, after: zone + granted("cert_manager", ana, condition),
			class: "narrowed", want: "narrowed " + address + "\n",
			then: func(t *testing.T, w *workspace) {
				if g := grants(w.azure); len(g) != 1 || g[0].Condition == "" {
					t.Errorf("grants are %+v, want one with a condition", g)
				}
			},
		},
		{
			name: "description-changed", before: plain, after: zone + granted("cert_manager", ana, "  description          = \"renewal of certificates\"\n"), class: "safe",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "count-shifted", before: counted(`"` + ana + `", "` + bea + `"`), after: counted(`"` + bea + `"`),
			class: "lost", want: "lost azurerm_role_assignment.renewer[0]\ncollision azurerm_role_assignment.renewer[1]\n",
		},
		{
			name: "identity-made-again", before: tied, after: strings.ReplaceAll(tied, "westeurope", "northeurope"),
			class: "gap", want: "gap azurerm_user_assigned_identity.renewer\n",
			then: func(t *testing.T, w *workspace) {
				if g := grants(w.azure); len(g) != 1 {
					t.Errorf("grants are %+v, want one to the new identity", g)
				}
			},
		},
		{
			name: "forgotten", before: plain, after: zone + `
removed {
  from = ` + address + `
  lifecycle {
    destroy = false
  }
}
`,
			class: "orphaned", want: "orphaned " + address + "\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "part-of-it", before: plain, after: zone + `
resource "azurerm_dns_zone" "other" {
  name                = "example.net"
  resource_group_name = "dns"
}
`,
			flags: []string{"-target=azurerm_dns_zone.other"}, class: "incomplete", want: "incomplete\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "planning-failed", before: plain, after: plain + `
resource "terraform_data" "check" {
  input = azurerm_dns_zone.main.id
  lifecycle {
    precondition {
      condition     = azurerm_dns_zone.main.name == "example.org"
      error_message = "not this zone"
    }
  }
}
`,
			broken: true, class: "incomplete", want: "incomplete\n",
		},
		{
			name: "gone-refreshed", before: plain, after: plain, between: takeAway, flags: []string{"-refresh-only"},
			class: "lost", want: "lost " + address + "\n",
		},
		{
			name: "gone-made-again", before: plain, after: plain, between: takeAway, class: "safe", want: "safe " + address + "\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "everything-destroyed", before: plain, after: plain, flags: []string{"-destroy"},
			class: "lost", want: "lost azurerm_dns_zone.main\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w) },
		},
		{
			name: "replacement-asked-for", before: plain, after: plain, flags: []string{"-replace=" + address},
			class: "gap", want: "gap " + address + "\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "identity-exchanged", before: plain, after: zone + granted("cert_manager", bea, ""),
			class: "lost", want: "lost " + address + "\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, bea) },
		},
		{
			// What decides about it is made anew, so that nobody knows who it is for until it is done: the same as before.
			name: "identity-not-known", before: looked("1"), after: looked("2"),
			class: "unknown", want: "unknown " + address + "\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "widened", before: plain, after: widened(""),
			class: "gap", want: "gap " + address + "\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "widened-new-one-first", before: plain, after: widened(first), class: "safe",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			// The new one was made, and deleting the old one failed: OpenTofu keeps the old one to delete it the next time.
			name: "left-over", before: plain, after: widened(first), class: "safe",
			between: func(t *testing.T, w *workspace) {
				heal := w.azure.Inject(arm.Fault{Ill: arm.Broken, Method: http.MethodDelete, Path: assignments})
				w.write(widened(first), nil)
				w.plan(false)
				if status, _ := w.apply(); status != 1 {
					t.Errorf("an apply of which a deletion failed ended with status %d", status)
				}
				heal()
				wantGrants(t, w, ana, ana)
			},
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "covered", before: wider + granted("cert_manager", ana, ""), after: wider, class: "safe",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			// A zone that is made again has other name servers, under the same id.
			name: "zone-replaced", before: plain, after: plain, flags: []string{"-replace=azurerm_dns_zone.main"},
			class: "lost", want: "lost azurerm_dns_zone.main\n",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "adopted", before: zone, after: plain + `
import {
  to = ` + address + `
  id = "/subscriptions/` + arm.LabSubscription + `/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.com/providers/Microsoft.Authorization/roleAssignments/` + byHand + `"
}
`,
			class: "safe",
			between: func(_ *testing.T, w *workspace) {
				w.azure.AssignAs(arm.Assignment{Name: byHand, Principal: ana, Role: arm.DNSZoneContributor, Scope: "/subscriptions/" + arm.LabSubscription + "/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.com"})
			},
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "first-of-all", before: "", after: plain, class: "safe",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "zone-made-again", before: plain, after: `
resource "azurerm_dns_zone" "main" {
  name                = "example.com"
  resource_group_name = "names"
}
` + granted("cert_manager", ana, ""),
			class: "lost", want: "lost azurerm_dns_zone.main\n",
		},
		{
			name: "module-renamed", before: module("cert_manager"), modules: access, after: module("renewal"), later: access,
			class: "collision", want: "collision module.cert_manager.azurerm_role_assignment.this\n",
		},
		{
			name: "module-moved", before: module("cert_manager"), modules: access, later: access,
			after: module("renewal") + `
moved {
  from = module.cert_manager
  to   = module.renewal
}
`,
			class: "safe",
			then:  func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			name: "one-among-two-hundred", before: plain + harmless("1"), after: zone + harmless("2"), large: true,
			class: "lost", want: "lost " + address + "\n",
		},
		{
			name: "all-but-one-of-two-hundred", before: plain + harmless("1"), after: plain, large: true, class: "safe",
			then: func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
	}, rekeyed()...)
}

// takeAway deletes every grant behind OpenTofu's back.
func takeAway(t *testing.T, w *workspace) {
	t.Helper()
	for _, g := range grants(w.azure) {
		if !w.azure.Unassign(g.ID) {
			t.Errorf("%s was not there", g.ID)
		}
	}
}

// rekeyed are the changes of a key with and without `moved`. OpenTofu does not order the deletion at one address and the
// creation at the other: which of the two comes first is decided here by holding up the other one, as a slow network
// would.
func rekeyed() []scene {
	const collision = "collision azurerm_role_assignment.renewer[\"cert-manager\"]\n"
	return []scene{
		{
			// The likely founding event: what is created is refused by what is deleted after that. Nothing is left, and the next
			// plan has one resource to create.
			name: "key-changed", before: zone + keyed(`cert-manager`), after: zone + keyed(`cert_manager`), class: "collision", want: collision, status: 1,
			during: func(w *workspace) { hold(w, http.MethodDelete, http.MethodPut) },
			then: func(t *testing.T, w *workspace) {
				wantGrants(t, w)
				if code := answered(w.azure, http.MethodPut); code != "409 RoleAssignmentExists" {
					t.Errorf("the creation was answered with %s", code)
				}
				if status, v := w.guard(w.plan(false)); status != 0 {
					t.Errorf("the guard refuses the repair: %s", v.raw)
				}
				if status, said := w.apply(); status != 0 {
					t.Errorf("tofu apply ended with status %d:\n%s", status, said)
				}
				wantGrants(t, w, ana)
			},
		},
		{
			name: "key-changed-luckily", before: zone + keyed(`cert-manager`), after: zone + keyed(`cert_manager`), class: "collision", want: collision, large: true,
			during: func(w *workspace) { hold(w, http.MethodPut, http.MethodDelete) },
			then:   func(t *testing.T, w *workspace) { wantGrants(t, w, ana) },
		},
		{
			// With names that are derived, azurerm sees the old one and does not even try. The end is the same.
			name: "key-changed-derived-name", before: zone + keyed(`cert-manager`), after: zone + keyed(`cert_manager`), class: "collision", want: collision, status: 1, large: true,
			derived: true,
			during:  func(w *workspace) { hold(w, http.MethodDelete, http.MethodGet) },
			then:    func(t *testing.T, w *workspace) { wantGrants(t, w) },
		},
		{
			name: "key-moved", before: zone + keyed(`cert-manager`), after: zone + keyed(`cert_manager`) + `
moved {
  from = azurerm_role_assignment.renewer["cert-manager"]
  to   = azurerm_role_assignment.renewer["cert_manager"]
}
`,
			class: "safe",
			then: func(t *testing.T, w *workspace) {
				wantGrants(t, w, ana)
				if code := answered(w.azure, http.MethodDelete); code != "" {
					t.Errorf("something was deleted, with %s", code)
				}
			},
		},
	}
}
