package iac

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// weighed judges ties that no reader has read, as those of a provider would be.
func weighed(inv Inventory, before, after []Tie) Verdict {
	return newJudge(&Plan{}, inv, &State{byType: map[string][]*Side{}}, before, after).judge()
}

// grantIn is a grant that a resource of a plan holds on one of its sides.
func grantIn(c *Change, principal, permission string, scope Path, rights Right) Tie {
	return Tie{Kind: KindGrant, Principal: principal, Permission: permission, Scope: scope, Rights: rights, From: &Side{Change: c}}
}

func classesOf(v Verdict) (out []string) {
	for _, f := range v.Findings {
		out = append(out, string(f.Class)+" "+f.Address)
	}
	return out
}

func TestWhatAGrantNeedsToStayWhole(t *testing.T) {
	t.Parallel()
	zone, project := Path{"p", "zone"}, Path{"p"}
	at := func(do Action, address string) *Change {
		c := change(do, address, attrs{}, attrs{}, nil)
		return &c
	}
	keep, gone, made := at(NoOp, "x_grant.keep"), at(Delete, "x_grant.gone"), at(Create, "x_grant.made")
	all := at(NoOp, "x_grant.all")
	made.Before, gone.After = nil, nil
	replaced, swapped, changed := at(DeleteCreate, "x_grant.replaced"), at(CreateDelete, "x_grant.swapped"), at(Update, "x_grant.changed")
	cm := func(c *Change, scope Path, rights Right) Tie { return grantIn(c, "cm", "dns.writer", scope, rights) }
	when := func(t Tie, condition string) Tie { t.Condition = condition; return t }
	everybody := func(t Tie, members ...string) Tie { t.Others, t.Members = true, members; return t }
	stale := func(t Tie) Tie { t.Kind, t.Stale = KindIdentity, "it gets another id"; return t }
	doubted := func(t Tie) Tie { t.Doubt = "who knows"; return t }
	alone := at(CreateForget, "x_grant.alone")
	object := func(t Tie, id string) Tie { t.Object = id; return t }
	unknown := func(t Tie, parts ...Part) Tie { t.Unknown = parts; return t }
	for name, c := range map[string]struct {
		before, after []Tie
		want          []string
	}{
		"untouched":                         {[]Tie{cm(keep, zone, RightAll)}, []Tie{cm(keep, zone, RightAll)}, nil},
		"gone":                              {[]Tie{cm(gone, zone, RightAll)}, nil, []string{"lost x_grant.gone"}},
		"an equal one stays":                {[]Tie{cm(gone, zone, RightAll), cm(keep, zone, RightAll)}, []Tie{cm(keep, zone, RightAll)}, nil},
		"a wider one stays":                 {[]Tie{cm(gone, zone, RightAll), cm(keep, project, RightAll)}, []Tie{cm(keep, project, RightAll)}, nil},
		"two others stay, together as wide": {[]Tie{cm(gone, zone, RightAll), cm(keep, zone, RightWrite), cm(changed, zone, RightDelete|RightRead)}, []Tie{cm(keep, zone, RightWrite), cm(changed, zone, RightDelete|RightRead)}, nil},
		"somebody else's stays":             {[]Tie{cm(gone, zone, RightAll), grantIn(keep, "dns", "dns.writer", zone, RightAll)}, []Tie{grantIn(keep, "dns", "dns.writer", zone, RightAll)}, []string{"lost x_grant.gone"}},
		"an equal one is made":              {[]Tie{cm(gone, zone, RightAll)}, []Tie{cm(made, zone, RightAll)}, []string{"collision x_grant.gone"}},
		"a wider one is made":               {[]Tie{cm(gone, zone, RightAll)}, []Tie{cm(made, project, RightAll)}, []string{"gap x_grant.gone"}},
		"another grows":                     {[]Tie{cm(gone, zone, RightAll), cm(changed, zone, RightRead)}, []Tie{cm(changed, zone, RightAll)}, []string{"collision x_grant.gone"}},
		"replaced":                          {[]Tie{cm(replaced, zone, RightAll)}, []Tie{cm(replaced, zone, RightAll)}, []string{"gap x_grant.replaced"}},
		"replaced, new one first":           {[]Tie{cm(swapped, zone, RightAll)}, []Tie{cm(swapped, zone, RightAll)}, nil},
		"replaced, new one first, but both are one object": {[]Tie{object(cm(swapped, zone, RightAll), "o")}, []Tie{object(cm(swapped, zone, RightAll), "o")}, []string{"collision x_grant.swapped"}},
		"replaced, and a wider one stays":                  {[]Tie{cm(replaced, zone, RightAll), cm(keep, project, RightAll)}, []Tie{cm(replaced, zone, RightAll), cm(keep, project, RightAll)}, nil},
		"a new identity under the old name":                {[]Tie{stale(cm(replaced, nil, 0))}, []Tie{stale(cm(replaced, nil, 0))}, []string{"lost x_grant.replaced"}},
		"less may be done":                                 {[]Tie{cm(changed, zone, RightAll)}, []Tie{cm(changed, zone, RightWrite|RightRead)}, []string{"narrowed x_grant.changed"}},
		"nothing may be written":                           {[]Tie{cm(changed, zone, RightAll)}, []Tie{cm(changed, zone, RightDelete|RightRead)}, []string{"lost x_grant.changed"}},
		"a condition is added":                             {[]Tie{cm(changed, zone, RightAll)}, []Tie{when(cm(changed, zone, RightAll), "TXT only")}, []string{"narrowed x_grant.changed"}},
		"a condition is taken away":                        {[]Tie{when(cm(changed, zone, RightAll), "TXT only")}, []Tie{cm(changed, zone, RightAll)}, nil},
		"left alone, and made for somebody else":           {[]Tie{cm(alone, zone, RightAll)}, []Tie{grantIn(alone, "dns", "dns.writer", zone, RightAll)}, []string{"orphaned x_grant.alone"}},
		"in doubt, and gone":                               {[]Tie{doubted(cm(gone, zone, RightAll))}, nil, []string{"unknown x_grant.gone"}},
		"in doubt, and left alone":                         {[]Tie{doubted(cm(alone, zone, RightAll))}, nil, nil},
		"only one in doubt is left":                        {[]Tie{cm(gone, zone, RightAll), doubted(cm(keep, zone, RightAll))}, []Tie{doubted(cm(keep, zone, RightAll))}, []string{"lost x_grant.gone"}},
		"a part is not known":                              {[]Tie{cm(changed, zone, RightAll)}, []Tie{unknown(cm(changed, zone, RightAll), PartCondition)}, []string{"unknown x_grant.changed"}},
		"a part of what is made is not known":              {[]Tie{cm(gone, zone, RightAll)}, []Tie{unknown(cm(made, zone, RightAll), PartPrincipal)}, []string{"lost x_grant.gone"}},
		"shifted by one": {
			[]Tie{grantIn(replaced, "a", "dns.writer", zone, RightAll), grantIn(gone, "b", "dns.writer", zone, RightAll)},
			[]Tie{grantIn(replaced, "b", "dns.writer", zone, RightAll)},
			[]string{"lost x_grant.replaced", "collision x_grant.gone"},
		},
		"an authoritative one is made":                       {[]Tie{cm(keep, zone, RightAll)}, []Tie{cm(keep, zone, RightAll), everybody(grantIn(made, "dns", "dns.writer", zone, RightAll), "dns")}, []string{"lost x_grant.keep"}},
		"an authoritative one is made that names it":         {[]Tie{cm(keep, zone, RightAll)}, []Tie{cm(keep, zone, RightAll), everybody(cm(made, zone, RightAll), "cm")}, []string{"unknown x_grant.made"}},
		"an authoritative one is made for another place":     {[]Tie{cm(keep, zone, RightAll)}, []Tie{cm(keep, zone, RightAll), everybody(grantIn(made, "dns", "dns.writer", Path{"q"}, RightAll), "dns")}, []string{"unknown x_grant.made"}},
		"an authoritative one for everything":                {[]Tie{cm(keep, zone, RightAll)}, []Tie{cm(keep, zone, RightAll), everybody(grantIn(made, "dns", "", zone, RightAll), "dns")}, []string{"lost x_grant.keep"}},
		"an authoritative one loses a member":                {[]Tie{everybody(cm(changed, zone, RightAll), "cm", "dns"), everybody(grantIn(changed, "dns", "dns.writer", zone, RightAll), "cm", "dns")}, []Tie{everybody(grantIn(changed, "dns", "dns.writer", zone, RightAll), "dns")}, []string{"lost x_grant.changed"}},
		"an authoritative one gets a member":                 {[]Tie{everybody(cm(changed, zone, RightAll), "cm")}, []Tie{everybody(cm(changed, zone, RightAll), "cm", "dns"), everybody(grantIn(changed, "dns", "dns.writer", zone, RightAll), "cm", "dns")}, nil},
		"an authoritative one was there, without it, before": {[]Tie{cm(keep, zone, RightAll), everybody(grantIn(all, "dns", "dns.writer", zone, RightAll), "dns")}, []Tie{cm(keep, zone, RightAll), everybody(grantIn(all, "dns", "dns.writer", zone, RightAll), "dns")}, nil},
	} {
		if got := classesOf(weighed(Inventory{}, c.before, c.after)); !slices.Equal(got, c.want) {
			t.Errorf("%s: said %q, want %q", name, got, c.want)
		}
	}
}

func TestAnInventoryDecidesWhoIsHurt(t *testing.T) {
	t.Parallel()
	gone := []Change{deletes("azurerm_role_assignment.cm", azGrant())}
	whole := azCertificates()
	edit := func(f func(c *Certificate)) Inventory {
		inv := azCertificates()
		for i := range inv.Certificates {
			f(&inv.Certificates[i])
		}
		return inv
	}
	id := azGrant()["id"].(string)
	for name, c := range map[string]struct {
		inv   Inventory
		names []string
		hurts time.Time
	}{
		"by identity and zone":         {whole, []string{"hosted-eu", "www"}, sceneTime.AddDate(0, 0, 2)},
		"by the zone's name alone":     {edit(func(c *Certificate) { c.Zones = []string{"example.com."} }), []string{"hosted-eu", "www"}, sceneTime.AddDate(0, 0, 2)},
		"by the record alone":          {edit(func(c *Certificate) { c.Zones = nil }), []string{"hosted-eu", "www"}, sceneTime.AddDate(0, 0, 2)},
		"another identity":             {edit(func(c *Certificate) { c.Identities = []string{azOtherID} }), []string{}, time.Time{}},
		"another zone":                 {edit(func(c *Certificate) { c.Zones, c.Records = []string{"example.net"}, []string{"x.example.net"} }), []string{}, time.Time{}},
		"another challenge":            {edit(func(c *Certificate) { c.Challenge = "http-01" }), []string{}, time.Time{}},
		"the grant that a cloud named": {edit(func(c *Certificate) { c.Identities, c.Grants = nil, []string{strings.ToUpper(id)} }), []string{"hosted-eu", "www"}, sceneTime.AddDate(0, 0, 2)},
		"no date of the next renewal":  {edit(func(c *Certificate) { c.Next = time.Time{} }), []string{"hosted-eu", "www"}, sceneTime.AddDate(0, 0, 16)},
		"no dates":                     {edit(func(c *Certificate) { c.Next, c.NotAfter = time.Time{}, time.Time{} }), []string{"hosted-eu", "www"}, time.Time{}},
	} {
		v := Judge(&Plan{Changes: gone}, c.inv)
		if v.Class != Lost || len(v.Findings) != 1 {
			t.Errorf("%s: verdict %s with %d findings, want one that it is lost", name, v.Class, len(v.Findings))
			continue
		}
		f := v.Findings[0]
		if !slices.Equal(f.Certificates, c.names) {
			t.Errorf("%s: names %q, want %q", name, f.Certificates, c.names)
		}
		switch {
		case c.hurts.IsZero() && f.HurtsAt != nil:
			t.Errorf("%s: hurts at %s, want no date", name, f.HurtsAt)
		case !c.hurts.IsZero() && (f.HurtsAt == nil || !f.HurtsAt.Equal(c.hurts)):
			t.Errorf("%s: hurts at %v, want %s", name, f.HurtsAt, c.hurts)
		}
	}
	// Where the cloud named one of two grants, the certificates do not rest on the other one.
	named := edit(func(c *Certificate) { c.Grants = []string{id} })
	other := azAssigned(azSub, "Contributor", objectID)
	if v := Judge(&Plan{Changes: []Change{keeps("azurerm_role_assignment.cm", azGrant()), deletes("azurerm_role_assignment.ci", other)}}, named); len(v.Findings) != 0 {
		t.Errorf("a grant that nothing rests on is told of: %q", classesOf(v))
	}
}

func TestAFingerprintIsOfWhatHappens(t *testing.T) {
	t.Parallel()
	print := func(inv Inventory, changes ...Change) string {
		v := Judge(&Plan{Changes: changes}, inv)
		if len(v.Findings) != 1 {
			t.Fatalf("%d findings, want one: %q", len(classesOf(v)), classesOf(v))
		}
		if f := v.Findings[0].Fingerprint; !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(f) {
			t.Fatalf("fingerprint %q", f)
		}
		return v.Findings[0].Fingerprint
	}
	lost := print(Inventory{}, deletes("azurerm_role_assignment.cm", azGrant()))
	for name, same := range map[string]string{
		"with other changes":     print(Inventory{}, append(azHarmless(40), deletes("azurerm_role_assignment.cm", azGrant()))...),
		"at another address":     print(Inventory{}, deletes(`module.dns["x"].azurerm_role_assignment.cm[3]`, azGrant())),
		"with an inventory":      print(azCertificates(), deletes("azurerm_role_assignment.cm", azGrant())),
		"as spelled otherwise":   print(Inventory{}, deletes("azurerm_role_assignment.cm", azWith(azGrant(), attrs{"scope": strings.ToUpper(zoneID), "principal_id": strings.ToUpper(objectID)}))),
		"as a new object's loss": print(Inventory{}, deletes("azurerm_role_assignment.cm", azWith(azGrant(), attrs{"id": "another"}))),
	} {
		if same != lost {
			t.Errorf("%s: fingerprint %s, want %s", name, same, lost)
		}
	}
	seen := map[string]string{lost: "lost"}
	for name, other := range map[string]string{
		"another class":     print(Inventory{}, replaces("azurerm_role_assignment.cm", azGrant(), azMade(azGrant()), azUnknownID)),
		"another principal": print(Inventory{}, deletes("azurerm_role_assignment.cm", azWith(azGrant(), attrs{"principal_id": azOtherID}))),
		"another scope":     print(Inventory{}, deletes("azurerm_role_assignment.cm", azWith(azGrant(), attrs{"scope": azDNSGroup}))),
		"another condition": print(Inventory{}, deletes("azurerm_role_assignment.cm", azWith(azGrant(), attrs{"condition": "x"}))),
	} {
		if was, ok := seen[other]; ok {
			t.Errorf("%s has the fingerprint of %s", name, was)
		}
		seen[other] = name
	}
}

// corpus reads every plan that is kept.
func corpus(t testing.TB) map[string]*Plan {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "corpus", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	out := map[string]*Plan{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Read(bytes.NewReader(data), ReadOptions{})
		if err != nil {
			continue // kept for the reader's sake
		}
		out[f] = p
	}
	return out
}

func TestEveryFindingOfTheCorpusIsWhole(t *testing.T) {
	t.Parallel()
	for file, p := range corpus(t) {
		for _, inv := range []Inventory{{}, azCertificates()} {
			v := Judge(p, inv)
			if again := Judge(p, inv); !reflect.DeepEqual(v, again) {
				t.Errorf("%s: judged twice, and not the same", file)
			}
			worst := Safe
			for i, f := range v.Findings {
				if rank(f.Class) > rank(worst) {
					worst = f.Class
				}
				if i > 0 && rank(f.Class) > rank(v.Findings[i-1].Class) {
					t.Errorf("%s: %s comes after %s", file, f.Class, v.Findings[i-1].Class)
				}
				if f.Summary == "" || f.Repair == "" || f.Certificates == nil || len(f.Fingerprint) != 16 || f.Address == "" && f.Class != Incomplete {
					t.Errorf("%s: not a whole finding: %+v", file, f)
				}
				for _, s := range []string{f.Summary, f.Repair} {
					if strings.Contains(s, "  on ") || strings.Contains(s, "..") && !strings.Contains(s, "...") || strings.Contains(s, "%!") || strings.Contains(s, " .") {
						t.Errorf("%s: not a sentence: %s", file, s)
					}
				}
				if !strings.HasSuffix(f.Summary, ".") {
					t.Errorf("%s: a sentence without an end: %s", file, f.Summary)
				}
			}
			if v.Class != worst {
				t.Errorf("%s: verdict %s, and the worst finding is %s", file, v.Class, worst)
			}
		}
	}
}

func TestTheOrderOfAPlanDoesNotMatter(t *testing.T) {
	t.Parallel()
	for file, p := range corpus(t) {
		v := Judge(p, azCertificates())
		turned := *p
		turned.Changes = slices.Clone(p.Changes)
		slices.Reverse(turned.Changes)
		w := Judge(&turned, azCertificates())
		if a, b := classesOf(v), classesOf(w); !slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))) {
			t.Errorf("%s: %q, and turned around %q", file, a, b)
		}
	}
}

func FuzzJudge(f *testing.F) {
	for _, s := range []string{
		`{"format_version":"1.2","resource_changes":[{"address":"azurerm_role_assignment.a","mode":"managed","type":"azurerm_role_assignment","change":{"actions":["delete"],"before":{"scope":"/subscriptions/s","principal_id":"p","role_definition_name":"Owner"},"after":null,"after_unknown":false}}]}`,
		`{"format_version":"1.2","errored":true,"resource_changes":[{"address":"azapi_resource.a[\"x\"]","mode":"managed","type":"azapi_resource","change":{"actions":["delete","create"],"before":{"type":"Microsoft.Authorization/locks@1","parent_id":7,"body":"{"},"after":{"type":"Microsoft.Authorization/locks@1","body":{"properties":[{}]}},"after_unknown":{"parent_id":true}}}]}`,
		`{"format_version":"1.2","resource_changes":[{"address":"azurerm_role_definition.a","mode":"managed","type":"azurerm_role_definition","change":{"actions":["update"],"before":{"permissions":[{"actions":"*"}]},"after":{"permissions":{"actions":["*/txt/*"]}},"after_unknown":{"permissions":[true]}}},{"address":"azurerm_role_assignment.a","mode":"managed","type":"azurerm_role_assignment","change":{"actions":["no-op"],"before":{"scope":"/"},"after":{"scope":"/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/dnsZones/z/TXT"},"after_unknown":{"role_definition_id":true}}}]}`,
		`{"format_version":"1.2","resource_changes":[{"address":"google_project_iam_binding.a","mode":"managed","type":"google_project_iam_binding","change":{"actions":["create"],"before":null,"after":{"project":"p","role":"roles/dns.admin","members":["user:a"]},"after_unknown":{}}}],"resource_drift":[{"address":"aws_iam_role.a","mode":"managed","type":"aws_iam_role","change":{"actions":["delete"],"before":{"name":"a"},"after":null}}]}`,
	} {
		f.Add([]byte(s))
	}
	inv := azCertificates()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		p, err := Read(bytes.NewReader(data), ReadOptions{})
		if err != nil {
			return
		}
		for _, inv := range []Inventory{{}, inv} {
			v := Judge(p, inv)
			if (len(p.Incomplete) > 0 || p.Errored) && v.Class == Safe {
				t.Fatal("an incomplete plan passes as safe")
			}
			for _, f := range v.Findings {
				if f.Summary == "" || len(f.Fingerprint) != 16 {
					t.Fatalf("not a whole finding: %+v", f)
				}
			}
		}
	})
}
