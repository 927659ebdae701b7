package iac

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// FuzzRead holds the reading of anything against encoding/json: both agree on what is JSON, it makes no difference in
// which pieces the input comes, and what is kept is what encoding/json would have decoded.
func FuzzRead(f *testing.F) {
	for _, s := range readSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Read(bytes.NewReader(raw), ReadOptions{MaxResource: 1 << 16})
		q, err2 := Read(iotest.OneByteReader(bytes.NewReader(raw)), ReadOptions{MaxResource: 1 << 16})
		if !reflect.DeepEqual(p, q) || (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("at once: %v, %v\nbyte by byte: %v, %v", p, err, q, err2)
		}
		var why *ReadError
		if err != nil && !errors.As(err, &why) {
			t.Fatalf("an error of another type: %v", err)
		}
		if err != nil && (!utf8.ValidString(err.Error()) || len(err.Error()) > 2000) {
			t.Fatalf("nobody can read this: %q", err.Error())
		}
		text := bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
		if slices.Contains(raw, 0) || bytes.HasPrefix(raw, []byte("\xff\xfe")) || bytes.HasPrefix(raw, []byte("\xfe\xff")) {
			return // may be UTF-16
		}
		valid := json.Valid(text)
		switch {
		case err == nil && !valid:
			t.Fatalf("read what is not JSON: %q", raw)
		case err != nil && valid && why.syntax:
			t.Fatalf("JSON that was refused as none: %v", err)
		case err == nil:
			same(t, p, text)
		}
	})
}

// same holds what was kept of a plan against what encoding/json decodes.
func same(t *testing.T, p *Plan, text []byte) {
	t.Helper()
	type element struct {
		Address  string `json:"address"`
		Previous string `json:"previous_address"`
		Module   string `json:"module_address"`
		Mode     string `json:"mode"`
		Type     string `json:"type"`
		Provider string `json:"provider_name"`
		Deposed  string `json:"deposed"`
		Reason   string `json:"action_reason"`
		Change   struct {
			Actions []string       `json:"actions"`
			Before  map[string]any `json:"before"`
			After   map[string]any `json:"after"`
			Unknown any            `json:"after_unknown"`
		} `json:"change"`
	}
	// Names are matched exactly here: encoding/json would take "Mode" for "mode".
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	for member, got := range map[string][]Change{"resource_changes": p.Changes, "resource_drift": p.Drift} {
		var want []Change
		for _, e := range decodeAll[element](t, top[member]) {
			if e.Mode != "managed" || !Matters(e.Type) {
				continue
			}
			c := Change{
				Address: e.Address, Previous: e.Previous, Module: e.Module, Type: e.Type, Provider: e.Provider, Deposed: e.Deposed, Do: UnknownAction,
				Reason: e.Reason, Before: e.Change.Before, After: e.Change.After, Unknown: e.Change.Unknown,
			}
			switch a := e.Change.Actions; {
			case len(a) == 1 && !slices.Contains(pairs, Action(a[0])):
				c.Do = Action(a[0])
			case len(a) == 2:
				c.Do = Action(a[0] + "+" + a[1])
			}
			if !slices.Contains([]Action{NoOp, Create, Reading, Update, Delete, Forget, DeleteCreate, CreateDelete, CreateForget, ForgetCreate}, c.Do) {
				c.Do = UnknownAction
			}
			if c.After == nil && c.Unknown == true && (c.Makes() || c.Do == Update) {
				c.After = map[string]any{}
			}
			want = append(want, c)
		}
		got := slices.Clone(got)
		for i := range got {
			got[i].Refers = nil
		}
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%s kept:\n%+v\nwant:\n%+v", member, got, want)
		}
	}
}

func decodeAll[T any](t *testing.T, raw json.RawMessage) []T {
	t.Helper()
	if raw == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(exactly(t, raw)))
	d.UseNumber()
	var out []T
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%v: %q", err, raw)
	}
	return out
}

// exactly drops the members of elements whose names only differ in case from those that are wanted.
func exactly(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	var all []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatalf("%v: %q", err, raw)
	}
	for _, e := range all {
		only(e, "address", "previous_address", "module_address", "mode", "type", "provider_name", "deposed", "action_reason", "change")
		if e["change"] == nil {
			continue
		}
		// An irrelevant resource may have a change of any shape.
		if kind, mode := "", ""; json.Unmarshal(e["type"], &kind) != nil || !Matters(kind) || json.Unmarshal(e["mode"], &mode) != nil || mode != "managed" {
			delete(e, "change")
			continue
		}
		var change map[string]json.RawMessage
		if err := json.Unmarshal(e["change"], &change); err != nil {
			t.Fatal(err)
		}
		only(change, "actions", "before", "after", "after_unknown")
		b, err := json.Marshal(change)
		if err != nil {
			t.Fatal(err)
		}
		e["change"] = b
	}
	out, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func only(m map[string]json.RawMessage, names ...string) {
	for k := range m {
		if !slices.Contains(names, k) {
			delete(m, k)
		}
	}
}

// readSeeds are inputs of every sort that is told apart.
var readSeeds = []string{
	``, ` `, "\xef\xbb\xbf", `{}`, `[]`, `null`, `"a"`, `1`, `PK` + "\x03\x04", "\x1f\x8b\x08", "\xff\xfe{\x00}\x00", "\xfe\xff\x00{\x00}", "{\x00}\x00", "\x00{\x00}",
	`{"@level":"info","@message":"Terraform 1.13.5","type":"version","ui":"1.2"}` + "\n",
	`{"version":4,"terraform_version":"1.13.5","serial":1,"lineage":"x","resources":[]}`,
	`{"format_version":"1.0","values":{"root_module":{}}}`,
	`{"format_version":"2.0","resource_changes":[]}`,
	`{"format_version":"1.2","resource_changes":null,"errored":true,"complete":false,"applyable":null}`,
	`{"format_version":"1.2","resource_changes":[` + seedChange + `]} `,
	`{"resource_drift":[` + seedChange + `],"format_version":"1.2"} x`,
	`{"format_version":"1.2","resource_changes":[{"change":{"actions":["delete","create"],"before":{"n":-1.50e+2,"s":"\ud83d\ude00\ud800\u0041\\\""},"after":{"l":[[],{},null,true]},"after_unknown":{"l":[false],"id":true}},"type":"azurerm_dns_zone","mode":"managed","address":"azurerm_dns_zone.z"}]}`,
	`{"format_version":"1.2","resource_changes":[{"address":"aws_instance.x","mode":"managed","type":"aws_instance","change":{"actions":["no-op"],"before":{"a":1,"a":2},"after":[]}},{"address":"data.x.y","mode":"data","type":"azurerm_dns_zone","change":{"actions":["read"]}}]}`,
	`{"format_version":"1.2","resource_changes":[{"address":"azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone","change":{"actions":"delete","before":3}}]}`,
	`{"format_version":"1.2","resource_changes":[{"address":"azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone","change":{"actions":["delete"],"before":{"a":"` + "\xff" + `"}}}]}`,
	`{"format_version":"1.2","resource_changes":[{"address":"azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone","change":{"actions":["create"],"after":null,"after_unknown":true}}]}`,
	`{"format_version":"1","resource_changes":[{"address":"x.y","mode":"other","type":"azurerm_dns_zone","change":"z"}]}`,
	`{"format_version":"1.2","planned_values":{"a":[1,2.5e-3,-0,{"b":[{}]}]},"deferred_changes":[{"reason":"x","resource_change":` + seedChange + `}]}`,
	`{"format_version":"1.2","prior_state":{"values":{"root_module":{"resources":[{"address":"azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone","values":{}}],"child_modules":[{"resources":[{"address":"module.m.azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone"}]}]}}}}`,
	`{"format_version":"1.2","configuration":{"root_module":{"module_calls":{"m":{"module":{"resources":[{"address":"azurerm_dns_zone.z","mode":"managed","type":"azurerm_dns_zone","expressions":{"name":{"references":["var.name"]},"soa":[{"email":{"references":["var.email"]}}]}}]}}}}}}`,
}

const seedChange = `{"address":"module.m[\"a.b\"].azurerm_role_assignment.cm[0]","previous_address":"azurerm_role_assignment.cm","module_address":"module.m[\"a.b\"]","mode":"managed","type":"azurerm_role_assignment","name":"cm","index":0,"provider_name":"registry.terraform.io/hashicorp/azurerm","deposed":"0a1b2c3d","change":{"actions":["delete"],"before":{"id":"/x","principal_id":"p","tags":{"a":"b"},"n":12345678901234567890},"after":null,"after_unknown":{},"before_sensitive":false,"after_sensitive":false},"action_reason":"delete_because_no_resource_config"}`
