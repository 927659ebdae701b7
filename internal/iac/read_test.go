package iac

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

// planOf is a plan with some members besides its version.
func planOf(members ...string) string {
	return `{"format_version":"1.2","terraform_version":"1.13.5",` + strings.Join(members, ",") + `}`
}

// changesOf is a plan with some elements of resource_changes.
func changesOf(elements ...string) string {
	return planOf(`"resource_changes":[` + strings.Join(elements, ",") + `]`)
}

// grantOf is a role assignment that something is done to: actions, before, after and after_unknown as JSON.
func grantOf(name, change string) string {
	return `{"address":"azurerm_role_assignment.` + name + `","mode":"managed","type":"azurerm_role_assignment","name":"` + name + `","change":` + change + `}`
}

const (
	deletion = `{"actions":["delete"],"before":{"id":"/x"},"after":null,"after_unknown":{}}`
	stays    = `{"actions":["no-op"],"before":{"id":"/x"},"after":{"id":"/x"},"after_unknown":{}}`
)

func mustRead(t *testing.T, text string) *Plan {
	t.Helper()
	p, err := Read(strings.NewReader(text), ReadOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

func TestReadKeepsWhatMatters(t *testing.T) {
	t.Parallel()
	text := `{"format_version":"1.2","terraform_version":"1.13.5","resource_changes":[` + seedChange +
		`,{"address":"azurerm_linux_virtual_machine.a","mode":"managed","type":"azurerm_linux_virtual_machine","change":{"actions":["update"],"before":{"a":1},"after":{"a":2}}}
		,{"address":"azurerm_linux_virtual_machine.b","mode":"managed","type":"azurerm_linux_virtual_machine","change":{"actions":["no-op"],"before":{},"after":{}}}
		,{"address":"data.azurerm_dns_zone.z","mode":"data","type":"azurerm_dns_zone","change":{"actions":["read"],"before":null,"after":{}}}
		],"resource_drift":[` + grantOf("d", deletion) + `]}`
	p := mustRead(t, text)
	want := &Plan{
		Format: "1.2", Tool: "1.13.5", Digest: sha256.Sum256([]byte(text)), Speaks: true, Seen: 3, Changing: 2,
		Changes: []Change{{
			Address: `module.m["a.b"].azurerm_role_assignment.cm[0]`, Previous: "azurerm_role_assignment.cm", Module: `module.m["a.b"]`, Type: "azurerm_role_assignment",
			Provider: "registry.terraform.io/hashicorp/azurerm", Deposed: "0a1b2c3d", Do: Delete, Reason: "delete_because_no_resource_config",
			Before:  map[string]any{"id": "/x", "principal_id": "p", "tags": map[string]any{"a": "b"}, "n": json.Number("12345678901234567890")},
			Unknown: map[string]any{},
		}},
		Drift: []Change{{Address: "azurerm_role_assignment.d", Type: "azurerm_role_assignment", Do: Delete, Before: map[string]any{"id": "/x"}, Unknown: map[string]any{}}},
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("read:\n%+v\nwant:\n%+v", p, want)
	}
}

func TestReadTakesMembersInAnyOrder(t *testing.T) {
	t.Parallel()
	top := []string{
		`"format_version":"1.2"`, `"terraform_version":"1.13.5"`, `"resource_changes":[%s]`, `"errored":true`, `"complete":false`,
		`"prior_state":{"values":{"root_module":{"resources":[{"values":{"id":"/x"},"type":"azurerm_dns_zone","mode":"managed","address":"azurerm_dns_zone.z"}]}}}`,
		`"configuration":{"root_module":{"resources":[{"expressions":{"scope":{"references":["azurerm_dns_zone.z.id","azurerm_dns_zone.z"]}},"type":"azurerm_role_assignment","mode":"managed","address":"azurerm_role_assignment.cm"}]}}`,
	}
	element := []string{
		`"address":"azurerm_role_assignment.cm[0]"`, `"mode":"managed"`, `"type":"azurerm_role_assignment"`, `"index":0`, `"action_reason":"delete_because_count_index"`,
		`"change":{%s}`,
	}
	change := []string{`"actions":["delete"]`, `"before":{"id":"/x","scope":"/z"}`, `"after":null`, `"after_unknown":{}`, `"before_sensitive":{"a":[true]}`}
	random := rand.New(rand.NewPCG(1, 2))
	shuffled := func(s []string) string {
		random.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
		return strings.Join(s, " ,\n")
	}
	var first *Plan
	for range 200 {
		text := "{" + fmt.Sprintf(shuffled(top), "{"+fmt.Sprintf(shuffled(element), shuffled(change))+"}") + "}"
		p := mustRead(t, text)
		p.Digest = [32]byte{}
		if first == nil {
			first = p
			if len(p.Changes) != 1 || len(p.Incomplete) != 1 || p.Changes[0].Refers["scope"] == nil || !p.Errored {
				t.Fatalf("read: %+v", p)
			}
		}
		if !reflect.DeepEqual(p, first) {
			t.Fatalf("read:\n%+v\nin another order:\n%+v\n%s", p, first, text)
		}
	}
}

func TestReadFoldsActions(t *testing.T) {
	t.Parallel()
	for actions, want := range map[string]Action{
		`["no-op"]`: NoOp, `["create"]`: Create, `["read"]`: Reading, `["update"]`: Update, `["delete"]`: Delete, `["forget"]`: Forget,
		`["delete","create"]`: DeleteCreate, `["create","delete"]`: CreateDelete, `["create","forget"]`: CreateForget, `["forget","create"]`: ForgetCreate,
		`[ "\u0064\u0065\u006C\u0065\u0074\u0065" , "create" ]`: DeleteCreate,
		`["CreateThenDelete"]`: UnknownAction, `[]`: UnknownAction, `["delete","delete"]`: UnknownAction, `["delete+create"]`: UnknownAction, `["delete","create","delete"]`: UnknownAction,
		`["` + strings.Repeat("x", 1000) + `"]`: UnknownAction, `["create",""]`: UnknownAction, `[""]`: UnknownAction,
	} {
		p := mustRead(t, changesOf(grantOf("cm", `{"actions":`+actions+`,"before":{},"after":{}}`)))
		if len(p.Changes) != 1 || p.Changes[0].Do != want {
			t.Errorf("%s: %+v, want %s", actions, p.Changes, want)
		}
	}
}

func TestReadTellsWhyAPlanIsIncomplete(t *testing.T) {
	t.Parallel()
	held := func(names ...string) string {
		var all []string
		for _, n := range names {
			all = append(all, `{"address":"azurerm_role_assignment.`+n+`","mode":"managed","type":"azurerm_role_assignment","values":{}}`)
		}
		return strings.Join(all, ",")
	}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"whole", planOf(`"resource_changes":[` + grantOf("a", stays) + `],"complete":true,"prior_state":{"values":{"root_module":{"resources":[` + held("a") + `]}}}`), nil},
		{"says so itself", planOf(`"resource_changes":[],"complete":false`), []string{"the plan says itself that it is not complete: it was made with -target, or something in it is deferred"}},
		{"a grant in the state that no change speaks of", planOf(`"resource_changes":[` + grantOf("a", stays) + `],"prior_state":{"values":{"root_module":{"resources":[` + held("a", "b") + `]}}}`), []string{
			"the state holds azurerm_role_assignment.b, of which the plan says nothing: it was made with -target or -exclude",
		}},
		{"planning ended in an error", planOf(`"errored":true,"complete":false,"prior_state":{"values":{"root_module":{"resources":[` + held("b") + `]}}}`), []string{
			"the state holds azurerm_role_assignment.b, of which the plan says nothing",
		}},
		{"nothing but a refresh", planOf(`"resource_drift":[` + grantOf("a", deletion) + `],"prior_state":{"values":{"root_module":{"resources":[` + held("b") + `]}}}`), nil},
		{"many of those, in modules", planOf(`"resource_changes":[` + grantOf("x", stays) + `],"prior_state":{"values":{"root_module":{"child_modules":[{"child_modules":[{"resources":[` + held("a", "b", "c", "d", "e") + `]}]}]}}}`), []string{
			"the state holds azurerm_role_assignment.a, azurerm_role_assignment.b, azurerm_role_assignment.c and 2 more, of which the plan says nothing: it was made with -target or -exclude",
		}},
		{"what means nothing may be left out", planOf(`"prior_state":{"values":{"root_module":{"resources":[{"address":"azurerm_linux_virtual_machine.a","mode":"managed","type":"azurerm_linux_virtual_machine"},{"address":"data.azurerm_dns_zone.z","mode":"data","type":"azurerm_dns_zone"}]}}}`), nil},
		{"moved", planOf(`"resource_changes":[{"previous_address":"azurerm_role_assignment.old",` + grantOf("new", stays)[1:] + `],"prior_state":{"values":{"root_module":{"resources":[` + held("old") + `]}}}`), nil},
		{"left over from a replacement", planOf(`"resource_changes":[` + grantOf("a", stays) + `],"prior_state":{"values":{"root_module":{"resources":[{"deposed_key":"0a1b2c3d",` + held("a")[1:] + `]}}}`), []string{
			"the state holds azurerm_role_assignment.a (deposed 0a1b2c3d), of which the plan says nothing: it was made with -target or -exclude",
		}},
		{"deferred", planOf(`"complete":null,"resource_changes":[],"deferred_changes":[{"reason":"provider_config_unknown","resource_change":` + grantOf("a", deletion) + `}],"prior_state":{"values":{"root_module":{"resources":[` + held("a") + `]}}}`), []string{
			"1 change is deferred, that of azurerm_role_assignment.a too",
		}},
		{"deferred elsewhere", planOf(`"resource_changes":[],"deferred_changes":[{"reason":"x"},{"resource_change":{"address":"a.b","mode":"managed","type":"a"}}]`), []string{"2 changes are deferred"}},
		{"an unknown mode", changesOf(strings.Replace(grantOf("a", stays), "managed", "borrowed", 1)), []string{"azurerm_role_assignment.a has a mode that this version does not know"}},
	} {
		p, err := Read(strings.NewReader(c.text), ReadOptions{})
		if err != nil || !reflect.DeepEqual(p.Incomplete, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, p.Incomplete, err, c.want)
		}
	}
}

func TestReadKnowsWhatTheConfigurationRefersTo(t *testing.T) {
	t.Parallel()
	p := mustRead(t, planOf(`"resource_changes":[`+
		strings.Replace(grantOf("cm", deletion), `azurerm_role_assignment.cm`, `module.a[\"x].y\\\"z\"].module.b[0].azurerm_role_assignment.cm[\"k.[\"]`, 1)+","+grantOf("other", deletion)+
		`],"configuration":{"provider_config":{"azurerm":{"expressions":{"a":{"references":["no"]}}}},"root_module":{"resources":[{"address":"azurerm_role_assignment.cm","mode":"managed","type":"azurerm_role_assignment","expressions":{"x":{"references":["not.this"]}}}],
		"module_calls":{"a":{"expressions":{"x":{"references":["var.x"]}},"module":{"module_calls":{"b":{"module":{"resources":[
		{"address":"data.azurerm_dns_zone.z","mode":"data","type":"azurerm_dns_zone","expressions":{"name":{"references":["var.z"]}}},
		{"address":"azurerm_role_assignment.cm","mode":"managed","type":"azurerm_role_assignment","for_each_expression":{"references":["var.all"]},
		 "expressions":{"principal_id":{"references":["azurerm_user_assigned_identity.cm.principal_id","azurerm_user_assigned_identity.cm"]},"name":{"constant_value":"x"},"references":[{"to":{"references":["a.b"]}}],
		 "timeouts":{"create":{"references":["var.t"]}},"rule":[{"id":{"references":["c.d"]}},{"id":{"references":["e.f"]}}]}}]}}}}}}}}`))
	want := map[string][]string{
		"principal_id":  {"azurerm_user_assigned_identity.cm.principal_id", "azurerm_user_assigned_identity.cm"},
		"references.to": {"a.b"}, "timeouts.create": {"var.t"}, "rule.id": {"c.d", "e.f"},
	}
	if got := p.Changes[0].Refers; !reflect.DeepEqual(got, want) {
		t.Errorf("%s refers to %v, want %v", p.Changes[0].Address, got, want)
	}
	if got := p.Changes[1].Refers; got != nil {
		t.Errorf("%s refers to %v", p.Changes[1].Address, got)
	}
}

// An object of which nothing is known is there all the same: it must be on the side after the plan.
func TestReadKeepsAnObjectOfWhichNothingIsKnown(t *testing.T) {
	t.Parallel()
	p := mustRead(t, changesOf(grantOf("cm", `{"actions":["delete","create"],"before":{"id":"/x"},"after":null,"after_unknown":true}`)))
	_, after := States(p)
	if len(after.Resources) != 1 {
		t.Fatalf("after the plan: %+v", after.Resources)
	}
	if _, known := after.Resources[0].Get("scope"); known {
		t.Error("its scope is known")
	}
}

func TestReadUnderstandsUTF16(t *testing.T) {
	t.Parallel()
	text := changesOf(grantOf("cm", `{"actions":["delete"],"before":{"name":"Grüße 😀","long":"`+strings.Repeat("ü😀", 15_000)+`"}}`))
	want := mustRead(t, text)
	for name, order := range map[string]binary.AppendByteOrder{"little endian": binary.LittleEndian, "big endian": binary.BigEndian} {
		for _, mark := range []string{"", "\uFEFF"} {
			var raw []byte
			for _, u := range utf16.Encode([]rune(mark + text + "\r\n")) {
				raw = order.AppendUint16(raw, u)
			}
			for how, r := range map[string]io.Reader{"at once": bytes.NewReader(raw), "in halves": iotest.HalfReader(bytes.NewReader(raw)), "with an error at the end": iotest.DataErrReader(bytes.NewReader(raw))} {
				p, err := Read(r, ReadOptions{})
				if err != nil || !reflect.DeepEqual(p.Changes, want.Changes) || p.Digest != sha256.Sum256(raw) {
					t.Errorf("%s, mark %q, %s: %v", name, mark, how, err)
				}
			}
			for _, cut := range []int{len(raw) - 1, len(raw) - 5, 999} {
				if _, err := Read(bytes.NewReader(raw[:cut]), ReadOptions{}); err == nil {
					t.Errorf("%s, mark %q: read the first %d bytes of %d", name, mark, cut, len(raw))
				}
			}
		}
	}
	if _, err := Read(iotest.OneByteReader(strings.NewReader(utf16Plan)), ReadOptions{}); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
	var why *ReadError
	if _, err := Read(strings.NewReader("\xff\xfe{\x00\"\x00\x00\xd8\"\x00}\x00"), ReadOptions{}); !errors.As(err, &why) || why.Offset != 6 || !strings.Contains(why.Text, "UTF-16") {
		t.Errorf("half a pair: %v", err)
	}
}

// utf16Plan is a small plan in UTF-16 without a mark, with a pair of units in it.
var utf16Plan = func() string {
	var raw []byte
	for _, u := range utf16.Encode([]rune(planOf(`"resource_changes":[]`, `"x":"😀"`))) {
		raw = binary.LittleEndian.AppendUint16(raw, u)
	}
	return string(raw)
}()

func TestReadPassesOverAByteOrderMark(t *testing.T) {
	t.Parallel()
	mustRead(t, "\uFEFF"+changesOf(grantOf("cm", deletion))+"\r\n")
	var why *ReadError
	if _, err := Read(strings.NewReader("\uFEFF{x"), ReadOptions{}); !errors.As(err, &why) || why.Offset != 4 {
		t.Errorf("read: %v", err)
	}
}

// What Read keeps is what encoding/json decodes, whatever the values are and however they are written.
func TestReadDecodesAsEncodingJSONDoes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 100 {
		var all []any
		for range random.IntN(6) {
			kind := []string{"azurerm_role_assignment", "azurerm_dns_zone", "azurerm_linux_virtual_machine"}[random.IntN(3)]
			change := attrs{"actions": []string{"update"}, "before": randomObject(random, 4), "after": randomObject(random, 4), "after_unknown": attrs{"a": []any{true, attrs{"b": false}}}, "replace_paths": randomValue(random, 3)}
			all = append(all, attrs{"address": kind + "." + randomWord(random), "mode": []string{"managed", "data"}[random.IntN(2)], "type": kind, "change": change, "index": randomValue(random, 1), "name": randomWord(random)})
		}
		top := attrs{"format_version": "1.2", "resource_changes": all, "resource_drift": all, "planned_values": randomValue(random, 4), randomWord(random): randomValue(random, 3)}
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(random.IntN(2) == 0)
		if random.IntN(2) == 0 {
			enc.SetIndent("\t", " ")
		}
		if err := enc.Encode(top); err != nil {
			t.Fatal(err)
		}
		p, err := Read(iotest.HalfReader(&out), ReadOptions{})
		if err != nil {
			t.Fatalf("plan %d: %v\n%s", i, err, out.Bytes())
		}
		out.Reset()
		if err := enc.Encode(top); err != nil {
			t.Fatal(err)
		}
		same(t, p, out.Bytes())
	}
}

func randomValue(r *rand.Rand, depth int) any {
	n := r.IntN(8)
	if depth <= 0 {
		n %= 5
	}
	switch n {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return json.Number([]string{"0", "-0", "12345678901234567890", "1.50", "-1e+9", "2E-3", "0.1e1"}[r.IntN(7)])
	case 3, 4:
		return randomWord(r)
	case 5:
		out := make([]any, r.IntN(4))
		for i := range out {
			out[i] = randomValue(r, depth-1)
		}
		return out
	}
	return randomObject(r, depth-1)
}

func randomObject(r *rand.Rand, depth int) attrs {
	out := attrs{}
	for range r.IntN(5) {
		out[randomWord(r)] = randomValue(r, depth)
	}
	return out
}

func randomWord(r *rand.Rand) string {
	letters := []rune("abcäß😀\"\\/\b\f\n\r\t\x00\x7f<&>\u2028\ufffd{}[],: ")
	var b strings.Builder
	for range r.IntN(20) {
		b.WriteRune(letters[r.IntN(len(letters))])
	}
	return b.String()
}

// unmarked looks at eight bytes at a time, and must find what one at a time would.
func TestUnmarkedFindsTheFirst(t *testing.T) {
	t.Parallel()
	for _, fill := range []byte{'x', ' ', '!', '#', '[', ']', 0x7f, 0x80, 0xa2, 0xdc, 0xff} {
		for first := range 20 {
			for c := range 256 {
				for _, second := range []byte{'x', '"', 0x1f, 0x80} {
					text := bytes.Repeat([]byte{fill}, 20)
					text[first] = byte(c)
					if first+1 < len(text) {
						text[first+1] = second
					}
					want := bytes.IndexFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' })
					if want < 0 {
						want = len(text)
					}
					if got := unmarked(text); got != want {
						t.Fatalf("%q: %d, want %d", text, got, want)
					}
				}
			}
		}
	}
}
