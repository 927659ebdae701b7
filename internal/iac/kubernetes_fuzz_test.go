package iac

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		"", "{}", "a: b", "a:\n  - b: {c: [d]}\n", "--- # nothing\n---\nkind: Issuer\n", "a: &x [1]\nb: *x\n", "a: {<<: *x}", "- 1\n- 2\n", ": :\n\t", "a: !!binary x\nb: 1e400\nc: .nan\n",
		strings.Repeat("[", 200), strings.Repeat("a: ", 200), strings.Repeat(" ", 600) + "a: b", "\ufeffa: b", "a: |\n  text\n" + kValues,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := documentOf(s)
		if err != nil && m != nil {
			t.Error("a document and an error at once")
		}
		n := 0
		leaves(m, nil, func(path []string, text string) {
			if len(path) == 0 || text == "" {
				t.Error("a text that stands nowhere, or none")
			}
			n++
		})
		if n > len(s) {
			t.Errorf("%d texts of %d bytes", n, len(s))
		}
	})
}

// FuzzPlacedReaders gives whatever shape of values to all readers of this part.
func FuzzPlacedReaders(f *testing.F) {
	for _, seed := range []attrs{
		gGrant(gAdmin, gmember), gBinding(gAdmin, gmember), gPolicy(attrs{"role": gAdmin, "members": []any{gmember}}), gAccount("1"), gZone("z", "example.com."), gRole(gEverything...), gTrust(gpod),
		gRecord("_acme-challenge.example.com.", "NS", "ns1.example.net."), kHelm("v1.2.3", kValues), kACME(letsEncrypt, kSolver("example.com", kClient)), kYAML(kACME(letsEncrypt)), kCertificate("shop"),
		kMeta("cert-manager", "cloudflare", "data", attrs{"token": "x"}),
		{"name": "cert-manager", "set": []any{attrs{"name": `a\`, "value": "b"}, 7}},
		hRule("80", "Allow", 1),
		{"members": attrs{"a": 1}, "condition": "x"},
	} {
		before, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(before), `{"member":true,"members":[true],"manifest":{"spec":true},"set":[{"value":true}]}`)
		f.Add(string(before), `true`)
	}
	var kinds []string
	for _, list := range []map[string]reader{googleReaders, kubernetesReaders, pathReaders} {
		for kind := range list {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	f.Fuzz(func(t *testing.T, values, unknown string) {
		var v map[string]any
		var u any
		if json.Unmarshal([]byte(values), &v) != nil || json.Unmarshal([]byte(unknown), &u) != nil || v == nil {
			return
		}
		var changes []Change
		for _, kind := range kinds {
			for _, do := range []Action{Update, DeleteCreate} {
				changes = append(changes, Change{Address: kind + "." + string(do), Type: kind, Do: do, Before: v, After: v, Unknown: u})
			}
		}
		Judge(&Plan{Changes: changes}, Inventory{})
	})
}
