package iac

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the corpus of plans and the verdicts about them to testdata/corpus")

// scene is a plan of the corpus, built here, and what is to be said about it.
type scene struct {
	name      string // "azure/block-removed"; the file's name
	changes   []Change
	inventory Inventory
	// flags are further top-level members of the plan, such as "errored": true.
	flags map[string]any
	// want is what is said, line for line: "lost azurerm_role_assignment.cm: summary". Nothing: silence.
	want []string
}

type attrs = map[string]any

// here and there are where most scenes happen.
const (
	registry   = "registry.terraform.io/hashicorp/"
	objectID   = "0b1ec700-0000-4000-8000-000000000001"
	zoneID     = "/subscriptions/5b000000-0000-4000-8000-000000000001/resourceGroups/dns/providers/Microsoft.Network/dnsZones/example.com"
	dnsRole    = "/subscriptions/5b000000-0000-4000-8000-000000000001/providers/Microsoft.Authorization/roleDefinitions/befefa01-2a29-4197-83a8-272ff33ce314"
	dnsRoleTop = "/providers/Microsoft.Authorization/roleDefinitions/befefa01-2a29-4197-83a8-272ff33ce314"
)

var sceneTime = time.Date(2026, 9, 22, 14, 55, 0, 0, time.UTC)

// change is a resource in a plan. The type is read from the address; unknown may be nil.
func change(do Action, address string, before, after, unknown attrs) Change {
	c := Change{Address: address, Do: do, Before: before, After: after}
	if unknown != nil {
		c.Unknown = unknown
	}
	rest := address
	for strings.HasPrefix(rest, "module.") {
		c.Module = strings.TrimPrefix(c.Module+"."+strings.Join(strings.SplitN(rest, ".", 3)[:2], "."), ".")
		rest = strings.SplitN(rest, ".", 3)[2]
	}
	c.Type, _, _ = strings.Cut(rest, ".")
	name, _, _ := strings.Cut(c.Type, "_")
	c.Provider = registry + name
	return c
}

func keeps(address string, values attrs) Change { return change(NoOp, address, values, values, nil) }

func creates(address string, after attrs) Change { return change(Create, address, nil, after, nil) }

func deletes(address string, before attrs) Change { return change(Delete, address, before, nil, nil) }

func updates(address string, before, after attrs) Change {
	return change(Update, address, before, after, nil)
}

func replaces(address string, before, after, unknown attrs) Change {
	return change(DeleteCreate, address, before, after, unknown)
}

func moved(c Change, from string) Change { c.Previous = from; return c }

// plan writes the scene as `show -json` would.
func (s scene) plan() []byte {
	list := make([]any, 0, len(s.changes))
	for _, c := range s.changes {
		m := attrs{"address": c.Address, "mode": "managed", "type": c.Type, "name": "x", "provider_name": c.Provider}
		if c.Module != "" {
			m["module_address"] = c.Module
		}
		if c.Previous != "" {
			m["previous_address"] = c.Previous
		}
		if c.Deposed != "" {
			m["deposed"] = c.Deposed
		}
		if c.Reason != "" {
			m["action_reason"] = c.Reason
		}
		var unknown any = attrs{}
		if c.Unknown != nil {
			unknown = c.Unknown
		}
		m["change"] = attrs{
			"actions": strings.Split(string(c.Do), "+"), "before": c.Before, "after": c.After, "after_unknown": unknown, "before_sensitive": false, "after_sensitive": false,
		}
		list = append(list, m)
	}
	top := attrs{"format_version": "1.2", "terraform_version": "1.13.5", "resource_changes": list}
	for k, v := range s.flags {
		top[k] = v
	}
	out, err := json.MarshalIndent(top, "", " ")
	if err != nil {
		panic(err)
	}
	return append(out, '\n')
}

// play reads and judges scenes, and compares what is said with what is wanted and with the files in testdata.
func play(t *testing.T, scenes []scene) {
	t.Helper()
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			raw := s.plan()
			file := filepath.Join("testdata", "corpus", filepath.FromSlash(s.name)+".json")
			said := filepath.Join("testdata", "corpus", filepath.FromSlash(s.name)+".txt")
			p, err := Read(bytes.NewReader(raw), ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range Judge(p, s.inventory).Findings {
				got = append(got, fmt.Sprintf("%s %s: %s", f.Class, f.Address, f.Summary))
			}
			if g, w := strings.Join(got, "\n"), strings.Join(s.want, "\n"); g != w {
				t.Errorf("said:\n%s\nwant:\n%s", g, w)
			}
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, raw, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(said, []byte(strings.Join(s.want, "\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, raw) {
				t.Errorf("%s is not this scene (go test -update writes it): %v", file, err)
			}
		})
	}
}
