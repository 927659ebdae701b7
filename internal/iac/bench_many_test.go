package iac

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// mostCostlier bounds how much more one finding may cost among many than among few: a plan that takes away thousands of
// grants is read by somebody who waits.
const mostCostlier = 4

// BenchmarkJudgeMany judges plans that take away many grants, where as many stay, and compares what one finding costs
// among 8,000 with what it costs among 500.
func BenchmarkJudgeMany(b *testing.B) {
	const few, many = 500, 8000
	small, large := manyLost(b, few), manyLost(b, many)
	each := func(p *Plan, n int) float64 {
		best := time.Duration(0)
		for range 3 {
			start := time.Now()
			v := Judge(p, Inventory{})
			if took := time.Since(start); best == 0 || took < best {
				best = took
			}
			if v.Class != Lost || len(v.Findings) != n {
				b.Fatalf("%d findings of class %s", len(v.Findings), v.Class)
			}
		}
		return best.Seconds() / float64(n)
	}
	var ratio float64
	for b.Loop() {
		one := each(small, few)
		ratio = each(large, many) / one
	}
	b.ReportMetric(ratio, "many/few")
	if ratio > mostCostlier {
		b.Errorf("a finding costs %.1f times as much among %d as among %d", ratio, many, few)
	}
}

// manyLost is a plan of n zones, each with a grant that goes and one that stays.
func manyLost(tb testing.TB, n int) *Plan {
	tb.Helper()
	var s strings.Builder
	write := func(kind, name string, i int, actions, before, after string) {
		if s.Len() > 0 {
			s.WriteByte(',')
		}
		_, _ = fmt.Fprintf(&s, `{"address":"%[1]s.%[2]s[%[3]d]","mode":"managed","type":"%[1]s","name":"%[2]s","index":%[3]d,"provider_name":"registry.terraform.io/hashicorp/azurerm","change":{"actions":[%[4]q],"before":%[5]s,"after":%[6]s,"after_unknown":{}}}`,
			kind, name, i, actions, before, after)
	}
	for i := range n {
		zone := fmt.Sprintf("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/dnsZones/z%d.example.com", i)
		grant := func(id string) string {
			return fmt.Sprintf(`{"id":"/x/%[1]s-%[2]d","principal_id":"%[1]s-%012[2]d","role_definition_name":"DNS Zone Contributor","scope":%[3]q}`, id, i, zone)
		}
		write("azurerm_role_assignment", "goes", i, "delete", grant("11111111-1111-1111-1111"), "null")
		stays := grant("22222222-2222-2222-2222")
		write("azurerm_role_assignment", "stays", i, "no-op", stays, stays)
		z := fmt.Sprintf(`{"id":%q,"name":"z%d.example.com","resource_group_name":"g"}`, zone, i)
		write("azurerm_dns_zone", "z", i, "no-op", z, z)
	}
	p, err := Read(strings.NewReader(`{"format_version":"1.2","terraform_version":"1.9.0","resource_changes":[`+s.String()+`]}`), ReadOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}
