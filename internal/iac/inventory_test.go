package iac

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestASnapshotComesBackAsItWas(t *testing.T) {
	inv := Inventory{At: overrideNow, Certificates: []Certificate{
		{
			Name: "hosted-eu", Names: []string{"eu.example.com", "*.eu.example.com"}, Renewer: "le", Identities: []string{objectID}, Zones: []string{"example.com", zoneID},
			Records: []string{"_acme-challenge.eu.example.com"}, Grants: []string{"/g"}, Issuers: []string{"letsencrypt.org"}, Challenge: "dns-01",
			Next: overrideNow.Add(time.Hour), NotAfter: overrideNow.Add(2 * time.Hour),
		},
		{Name: "other", Names: []string{}},
	}}
	b, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadInventory(bytes.NewReader(b))
	if err != nil || !reflect.DeepEqual(got, inv) {
		t.Errorf("%v\n%+v\n%+v", err, got, inv)
	}
	if b, err = (Inventory{}).Encode(); err != nil || !strings.Contains(string(b), `"certificates": []`) {
		t.Errorf("%v, %s", err, b)
	}
	if _, err := ReadInventory(strings.NewReader("\ufeff" + `{"notafter_inventory":1,"later":{},"certificates":[{"name":"a","names":null,"later":1}]}`)); err != nil {
		t.Errorf("a snapshot of a later version: %v", err)
	}
}

func TestWhatIsNoSnapshot(t *testing.T) {
	for in, want := range map[string]string{
		``:                         "not a snapshot",
		`{"format_version":"1.2"}`: `the member "notafter_inventory" is missing`,
		`{"notafter_inventory":2}`: "a snapshot of format 2; this version reads format 1",
		`{"notafter_inventory":1,"certificates":[{"names":[]}]}`: "certificates[0] has no name",
		`{"notafter_inventory":1`:                                "not a snapshot",
		`[]`:                                                     "not a snapshot",
		`{"notafter_inventory":1,"certificates":[{"name":"a"}],"certificates":[]}`:                                               "the member certificates comes twice",
		`{"notafter_inventory":1,"certificates":[{"name":"a"}],"cert\u0069ficates":[]}`:                                          "the member certificates comes twice",
		`{"notafter_inventory":1,"certificates":[{"name":"a"}],"Certificates":[]}`:                                               "the member Certificates is not written as members of a snapshot are",
		`{"notafter_inventory":1,"certificate\u017f":[]}`:                                                                        "in small letters",
		`{"notafter_inventory":1,"certificates":[{"name":"a","names":["x"],"names":[]}]}`:                                        "the member certificates[0].names comes twice",
		`{"notafter_inventory":1,"certificates":[{"name":"a","allowed":[{"scope":"/x","Scope":"/y"}]}]}`:                         "the member certificates[0].allowed[0].Scope",
		`{"notafter_inventory":1,"later":[[{"a":1,"a":2}]]}`:                                                                     "the member later[0][0].a comes twice",
		`{"notafter_inventory":1,"certificates":[{"name":"a","names":["` + strings.Repeat(`x","`, mostTextsOfOneKind) + `x"]}]}`: "a list has more than 10000 elements",
	} {
		if _, err := ReadInventory(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %s", in, err, want)
		}
	}
}

func TestAnOldSnapshotSaysSo(t *testing.T) {
	inv := Inventory{At: overrideNow}
	if s := inv.Age(overrideNow.Add(StaleInventory)); s != "" {
		t.Errorf("after a day: %q", s)
	}
	if s := inv.Age(overrideNow.Add(StaleInventory + time.Second)); !strings.HasPrefix(s, "the inventory is of 22 Sep 2026 15:00 UTC") {
		t.Errorf("later: %q", s)
	}
	if s := inv.Age(inv.At.Add(-time.Hour)); s != "" {
		t.Errorf("clocks differ: %q", s)
	}
	if s := inv.Age(inv.At.Add(-time.Hour - time.Second)); !strings.Contains(s, "has not come yet") {
		t.Errorf("of the future: %q", s)
	}
	if s := (Inventory{}).Age(overrideNow); !strings.Contains(s, "does not say when") {
		t.Errorf("without a time: %q", s)
	}
}

func FuzzReadInventory(f *testing.F) {
	for _, s := range []string{`{"notafter_inventory":1,"at":"2026-09-22T15:00:00Z","certificates":[{"name":"a","names":["b"],"next":"2026-09-22T15:00:00Z"}]}`, `{"notafter_inventory":1e0}`, `[[[[`, `{"notafter_inventory":1,"certificates":null}`, "\x1b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		inv, err := ReadInventory(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, c := range inv.Certificates {
			if c.Name == "" || strings.ContainsAny(c.Name+c.Renewer+strings.Join(c.Identities, ""), "\n\x1b\x00") {
				t.Errorf("%+v", c)
			}
		}
		b, err := inv.Encode()
		if err != nil {
			return // such as a year beyond 9999, which JSON's times cannot hold
		}
		if _, err := ReadInventory(bytes.NewReader(b)); err != nil {
			t.Errorf("does not come back: %v", err)
		}
	})
}
