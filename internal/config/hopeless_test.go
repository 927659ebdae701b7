package config

import (
	"errors"
	"strings"
	"testing"
)

// A file in which everything is wrong is given up, and says so, rather than read to its end while somebody waits.
func TestAHopelessFileIsGivenUp(t *testing.T) {
	const many = 20_000
	for name, text := range map[string]string{
		"unknown keys":            "certificates:\n" + strings.Repeat("  - {nmae: a, endpints: [x]}\n", many),
		"bad values":              "certificates:\n  - name: a\n    endpoints:\n" + strings.Repeat("      - htp://a\n", many),
		"names that lead nowhere": "channels: {ops: {slack: {url: env:X}}}\ncertificates:\n" + strings.Repeat("  - {name: a, endpoints: [a], route: b}\n", many),
	} {
		_, err := Parse("n.yaml", []byte(text))
		var p *Problems
		if !errors.As(err, &p) || len(p.List) != maxProblems || !p.Stopped {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if found := len(p.List) + p.More; found != mostProblems {
			t.Errorf("%s: %d problems were looked for, want no more than %d", name, found, mostProblems)
		}
		if lines := strings.Split(p.Error(), "\n"); !strings.HasSuffix(lines[maxProblems], ": and at least 950 more; what follows was not looked at") {
			t.Errorf("%s: the last line is %q", name, lines[maxProblems])
		}
	}
}
