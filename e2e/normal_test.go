package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/notafter/notafter/internal/lab/arm"
)

var guid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// deposed is the random key of an object that is left over.
var deposed = regexp.MustCompile(`("deposed(?:_key)?": )"[0-9a-f]{8}"`)

// fixed are the ids that are the same in every run.
var fixed = []string{arm.LabTenant, arm.LabSubscription, arm.DNSZoneContributor, arm.Contributor, arm.Reader, arm.Owner, ana, bea, byHand}

// normal is a plan without what is different each time: its time, random ids, and the order of what has none. Two plans
// of the same change to the same state are the same bytes.
func normal(t *testing.T, plan []byte) []byte {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(plan))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("the plan is no JSON: %v", err)
	}
	if _, ok := v["timestamp"]; ok {
		v["timestamp"] = "2026-09-22T14:55:00Z"
	}
	if list, ok := v["relevant_attributes"].([]any); ok {
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	out = deposed.ReplaceAll(out, []byte(`$1"00000001"`))
	known := map[string]string{}
	out = guid.ReplaceAllFunc(out, func(id []byte) []byte {
		if slices.Contains(fixed, string(id)) {
			return id
		}
		if known[string(id)] == "" {
			known[string(id)] = fmt.Sprintf("a0000000-0000-4000-8000-%012d", len(known)+1)
		}
		return []byte(known[string(id)])
	})
	return append(out, '\n')
}
