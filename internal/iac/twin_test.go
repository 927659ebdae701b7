package iac

import (
	"bytes"
	"strings"
	"testing"
)

// Whoever gives an object a second address by an import block, and takes the first one out of the code, destroys it.
func TestAnObjectThatIsImportedAtASecondAddressGoesWithTheFirst(t *testing.T) {
	t.Parallel()
	challenge := record53(zone1, "_acme-challenge.shop.example.com", "CNAME", "shop.acme.example.net")
	challenge["id"] = zone1 + "__acme-challenge.shop.example.com_CNAME"
	cloud := attrs{"id": "r1", "zone_id": "z1", "name": "_acme-challenge.shop.example.com", "type": "CNAME", "content": "shop.acme.example.net"}
	for name, changes := range map[string][]Change{
		"AWS":                  {deletes("aws_route53_record.old", challenge), keeps("aws_route53_record.imported", challenge)},
		"another generation":   {deletes("cloudflare_record.old", cloud), keeps("cloudflare_dns_record.imported", cloud)},
		"a leftover of itself": {deletes("aws_route53_record.a", challenge), keeps("aws_route53_record.a", challenge)},
	} {
		p, err := Read(bytes.NewReader(scene{changes: changes}.plan()), ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if v := Judge(p, Inventory{At: sceneTime}); v.Class != Lost {
			t.Errorf("%s: %s; want lost: the object is destroyed", name, v.Class)
		}
	}
	other := record53(zone1, "_acme-challenge.shop.example.com", "CNAME", "shop.acme.example.net")
	other["id"] = "another one"
	p, err := Read(bytes.NewReader(scene{changes: []Change{deletes("aws_route53_record.old", challenge), keeps("aws_route53_record.other", other)}}.plan()), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v := Judge(p, Inventory{At: sceneTime}); v.Class != Safe {
		t.Errorf("another object stays, and it is said: %s", v.Class)
	}
}

// Since Terraform 1.8 a resource can be moved to a type of another provider, and go on there by another name.
func TestAResourceThatMovesToAnUnknownTypeIsNotPassedOver(t *testing.T) {
	t.Parallel()
	grant := azGrant()
	for address, want := range map[string]Class{"thing_grant.cm": Incomplete, `module.a["x.y"].thing_grant.cm[0]`: Incomplete} {
		c := moved(updates(address, grant, attrs{"id": "x"}), strings.Replace(address, "thing_grant", "azurerm_role_assignment", 1))
		p, err := Read(bytes.NewReader(scene{changes: []Change{c}}.plan()), ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if v := Judge(p, Inventory{At: sceneTime}); v.Class != want {
			t.Errorf("%s: %s; want %s", address, v.Class, want)
		}
	}
	c := moved(keeps("thing_grant.cm", attrs{"id": "x"}), "thing_other.cm")
	p, err := Read(bytes.NewReader(scene{changes: []Change{c}}.plan()), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v := Judge(p, Inventory{At: sceneTime}); v.Class != Safe {
		t.Errorf("what never mattered moved: %s", v.Class)
	}
}
