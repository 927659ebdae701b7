package iac

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repairs lists what is to be done about a plan, by address, and the plan.
func repairs(t *testing.T, file string) (*Plan, []Finding) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Read(bytes.NewReader(raw), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p, Judge(p, Inventory{}).Findings
}

func everyPlan(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.json"))
	more, err2 := filepath.Glob(filepath.Join("testdata", "corpus", "*", "*.json"))
	if err != nil || err2 != nil || len(more) < 100 {
		t.Fatalf("%d plans, %v, %v", len(more), err, err2)
	}
	return append(files, more...)
}

// Whoever makes the new one first because a repair says so does no harm: of what the cloud holds only once, the deletion
// takes away what was just made.
func TestRepairsDoNotDestroy(t *testing.T) {
	t.Parallel()
	offered := 0
	for _, file := range everyPlan(t) {
		p, found := repairs(t, file)
		for _, f := range found {
			if !strings.Contains(f.Repair, "create_before_destroy = true") {
				continue
			}
			offered++
			q := *p
			q.Changes = slices.Clone(p.Changes)
			for i := range q.Changes {
				if c := &q.Changes[i]; c.Address == f.Address && c.Do == DeleteCreate {
					c.Do = CreateDelete
				}
			}
			before, after := States(&q)
			j := newJudge(&q, Inventory{}, before, TiesOf(before), TiesOf(after))
			for i := range j.before {
				b := &j.before[i]
				if b.From.Change.Address != f.Address || b.Kind == KindBlock {
					continue
				}
				if got := j.fate(b); got.class != Safe {
					t.Errorf("%s: with the new one first %s is %s and not safe", file, f.Address, got.class)
				}
				for k := range j.after {
					if u := &j.after[k]; u.From.Change == b.From.Change && u.Kind == b.Kind && j.equal(b, u) {
						t.Errorf("%s: the cloud holds only one %s, and it is to be made first", file, f.Address)
					}
				}
			}
		}
	}
	if offered == 0 {
		t.Error("no repair of the corpus makes the new one first, so nothing was tried")
	}
}

// What is told as a gap, because there is only one such object, is to be left as it is.
func TestRepairOfWhatThereIsOnce(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"aws/replaced": "there is only one such object", "google/replaced": "there is only one such object",
		"kubernetes/issuer-replaced": "there is only one such object", "azure/replaced": "Azure holds only one such assignment",
		"azure/role-widened": "create_before_destroy = true",
	} {
		_, found := repairs(t, filepath.Join("testdata", "corpus", filepath.FromSlash(name)+".json"))
		if len(found) != 1 || !strings.Contains(found[0].Repair, want) {
			t.Errorf("%s: %+v, want a repair with %q", name, found, want)
		}
	}
}

// A certificate that may rest on what goes is named, as one that may, and only where its challenges are.
func TestCertificatesThatMayRest(t *testing.T) {
	t.Parallel()
	plan := &Plan{Changes: []Change{deletes("azurerm_role_assignment.cm", azGrant())}}
	here := Certificate{Name: "hosted-eu", Names: []string{"eu.example.com"}, Zones: []string{zoneID}}
	named := Certificate{Name: "api", Names: []string{"api.example.com"}}
	elsewhere := Certificate{Name: "other", Names: []string{"other.example.org"}}
	known := Certificate{Name: "docs", Names: []string{"docs.example.com"}, Zones: []string{zoneID}, Identities: []string{"somebody-else"}}
	for want, inv := range map[string]Inventory{
		"hosted-eu renews there and may rest on it": {Certificates: []Certificate{here, known, elsewhere}},
		"api may rest on it":                        {Certificates: []Certificate{named, elsewhere}},
		"No certificate of the inventory":           {Certificates: []Certificate{known, elsewhere}},
	} {
		found := Judge(plan, inv).Findings
		if len(found) != 1 || len(found[0].Certificates) != 0 || found[0].HurtsAt != nil || !strings.Contains(found[0].Summary, want) || strings.Contains(found[0].Summary, "other") {
			t.Errorf("said %+v, want %q and nothing for certain", found, want)
		}
	}
}

// What has passed does not look fine until then.
func TestDatesThatHavePassed(t *testing.T) {
	t.Parallel()
	inv := Inventory{At: sceneTime, Certificates: []Certificate{{Name: "old", Names: []string{"old.example.com"}, Zones: []string{zoneID}, Identities: []string{objectID}, NotAfter: sceneTime.AddDate(0, 0, -1)}}}
	found := Judge(&Plan{Changes: []Change{deletes("azurerm_role_assignment.cm", azGrant())}}, inv).Findings
	if len(found) != 1 || !strings.HasSuffix(found[0].Summary, ", which has passed.") {
		t.Errorf("said %+v", found)
	}
}

// A wide grant goes and a narrow one stays: whoever renews outside of the narrow one is not forgotten.
func TestSpareWithAnInventory(t *testing.T) {
	t.Parallel()
	plan := &Plan{Changes: []Change{
		deletes("google_project_iam_member.edit", gGrant("roles/editor", gmember)), keeps("google_dns_managed_zone.main", gZone("example-com", "example.com.")),
		keeps("google_dns_managed_zone_iam_member.cm", gZoneGrant(gAdmin, gmember)),
	}}
	eu := Certificate{Name: "eu", Names: []string{"shop.example.eu"}, Identities: []string{gemail}, Zones: []string{"projects/" + gproject + "/managedZones/example-eu"}}
	if found := Judge(plan, Inventory{Certificates: []Certificate{eu}}).Findings; len(found) != 1 || strings.Join(found[0].Certificates, ",") != "eu" {
		t.Errorf("said %+v, want eu", found)
	}
}

// Repairs are in words that can be followed: by the tool that made the plan, for the object that is meant.
func TestRepairsCanBeFollowed(t *testing.T) {
	t.Parallel()
	dropped := func(address string, do Action, before attrs) Change { return change(do, address, before, nil, nil) }
	noModule := func(c Change) Change { c.Reason = "delete_because_no_module"; return c }
	tofu := func(c Change) Change { c.Provider = "registry.opentofu.org/hashicorp/azurerm"; return c }
	twin := azGrant()
	release := func(version, namespace string) attrs {
		return azWith(kHelm(version, "crds: {enabled: true}\n"), attrs{"namespace": namespace})
	}
	issuer := attrs{"yaml_body": "apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {name: letsencrypt, namespace: shop}\nspec: {acme: {server: https://acme.example}}\n"}
	for name, s := range map[string]struct {
		tool    string
		changes []Change
		want    []string // parts of the first repair
		not     string
	}{
		"lost":                             {"1.13.5", []Change{deletes("azurerm_role_assignment.cm", azGrant())}, []string{"says that it is orphaned", "override", "removed {\n  from = azurerm_role_assignment.cm\n"}, ""},
		"lost, before removed blocks":      {"1.5.7", []Change{deletes("azurerm_role_assignment.cm", azGrant())}, []string{"\n\n  terraform state rm 'azurerm_role_assignment.cm'"}, "removed {"},
		"lost, OpenTofu before lifecycle":  {"1.9.1", []Change{tofu(deletes("azurerm_role_assignment.cm", azGrant()))}, []string{"\n\n  tofu state rm 'azurerm_role_assignment.cm'"}, "removed {"},
		"lost, OpenTofu":                   {"1.12.0", []Change{tofu(deletes("azurerm_role_assignment.cm", azGrant()))}, []string{"removed {"}, "state rm"},
		"one of several of the same":       {"1.13.5", []Change{deletes(`azurerm_role_assignment.cm["eu"]`, twin), keeps("azurerm_role_assignment.other", twin)}, []string{`terraform state rm 'azurerm_role_assignment.cm["eu"]'`}, "removed {"},
		"module called otherwise":          {"1.13.5", []Change{noModule(deletes("module.a.module.dns.azurerm_role_assignment.cm", azGrant())), creates("module.b.module.dns.azurerm_role_assignment.cm", azWith(azGrant(), attrs{"id": nil}))}, []string{"moved {\n  from = module.a\n  to   = module.b\n}"}, ""},
		"moved, before moved blocks":       {"1.0.11", []Change{deletes("azurerm_role_assignment.a", azGrant()), creates("azurerm_role_assignment.b", azWith(azGrant(), attrs{"id": nil}))}, []string{"  terraform state mv 'azurerm_role_assignment.a' 'azurerm_role_assignment.b'"}, "moved {"},
		"namespace renamed":                {"1.13.5", []Change{replaces(kRelease, release("v1.18.2", "cert-manager"), release("v1.18.2", "platform"), nil)}, []string{"Undo the change of helm_release.cert_manager.", "second resource"}, "stands for"},
		"two minor versions at once":       {"1.13.5", []Change{updates(kRelease, release("v1.16.1", "cert-manager"), release("v1.18.2", "cert-manager"))}, []string{"Upgrade to 1.17 first", "1.18"}, "two steps"},
		"release left alone":               {"1.13.5", []Change{dropped(kRelease, Forget, release("v1.18.2", "cert-manager"))}, []string{`id = "cert-manager/cert-manager"`, "import it there first", "override"}, ""},
		"manifest left alone":              {"1.13.5", []Change{dropped("kubectl_manifest.le", Forget, issuer)}, []string{`id = "cert-manager.io/v1//Issuer//letsencrypt//shop"`}, ""},
		"left alone, before import blocks": {"1.4.0", []Change{dropped(kRelease, Forget, release("v1.18.2", "cert-manager"))}, []string{"  terraform import 'helm_release.cert_manager' 'cert-manager/cert-manager'"}, "import {"},
		"left out of a list of roles":      {"1.13.5", base(keeps(cmAttach, cmHeld), creates("aws_iam_policy_attachment.dns", attrs{"name": "dns", "policy_arn": cmARN, "roles": []any{"external-dns"}, "users": []any{}, "groups": []any{}})), []string{`Add "cert-manager" to the roles of aws_iam_policy_attachment.dns`}, "arn:"},
		"left out of a list of members":    {"1.13.5", []Change{keeps(gcm, gGrant(gAdmin, gmember)), creates("google_project_iam_binding.dns", attrs{"project": gproject, "role": gAdmin, "members": []any{"serviceAccount:other@shop-prod.iam.gserviceaccount.com"}, "condition": []any{}})}, []string{`Add "` + gmember + `" to the members of google_project_iam_binding.dns`}, ""},
		"what only the apply knows":        {"1.13.5", []Change{change(DeleteCreate, "azurerm_role_assignment.cm", azGrant(), azWith(azGrant(), attrs{"id": nil, "principal_id": nil}), attrs{"principal_id": true})}, []string{"Apply in two steps"}, ""},
	} {
		found := Judge(&Plan{Tool: s.tool, Changes: s.changes}, Inventory{}).Findings
		if len(found) == 0 {
			t.Errorf("%s: nothing is said", name)
			continue
		}
		r := found[0].Repair
		for _, w := range s.want {
			if !strings.Contains(r, w) {
				t.Errorf("%s: %s: the repair is %q, want %q in it", name, found[0].Class, r, w)
			}
		}
		if s.not != "" && strings.Contains(r, s.not) {
			t.Errorf("%s: the repair is %q, and %q is not to be in it", name, r, s.not)
		}
	}
}
