package probe

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"github.com/zmap/zlint/v3/lint"
)

func TestLint(t *testing.T) {
	r := root(t, "Root")
	l := leaf(t, "www.example.com", r, until(noon.AddDate(3, 0, 0)), func(c *x509.Certificate) { c.DNSNames = nil }) // far too long, no names
	a := analyser(t, trusting(t, r))
	if c, _ := look(t, a, "www.example.com", l); c.Lint != nil {
		t.Errorf("a certificate of a private authority is linted: %q", c.Lint)
	}
	a = analyser(t, trusting(t, r))
	a.mozilla = trusting(t, r, root(t, "Another")) // as if the authority were a public one
	c, _ := look(t, a, "www.example.com", l)
	if len(c.Lint) == 0 || len(c.Lint) > maxLint || !slices.IsSorted(c.Lint) || !c.PublicTrust {
		t.Fatalf("%+v", c)
	}
	for _, remark := range c.Lint {
		if name, text, ok := strings.Cut(remark, ": "); !ok || !strings.HasPrefix(name, "e_") || text == "" {
			t.Errorf("remark %q", remark)
		}
	}
	a = analyser(t, trusting(t, r), func(o *AnalyserOptions) { o.NoLint = true })
	a.mozilla = trusting(t, r)
	if c, _ := look(t, a, "www.example.com", l); c.Lint != nil || !c.PublicTrust {
		t.Errorf("%+v", c)
	}
	if remarks := newLinter().remarks([]byte("garbage")); remarks != nil {
		t.Errorf("%q", remarks)
	}
}

// The rules left out for their cost exist, so that leaving them out has its effect.
func TestCostlyLintsAreLeftOut(t *testing.T) {
	some := newLinter().registry().CertificateLints()
	for _, name := range costlyLints {
		if some.ByName(name) != nil || lint.GlobalRegistry().CertificateLints().ByName(name) == nil {
			t.Errorf("%s", name)
		}
	}
	if all, kept := len(lint.GlobalRegistry().CertificateLints().Lints()), len(some.Lints()); kept != all-len(costlyLints) {
		t.Errorf("%d rules of %d", kept, all)
	}
}

func BenchmarkLint(b *testing.B) {
	l := leaf(b, "www.example.com", root(b, "Root"))
	linter := newLinter()
	linter.remarks(l.cert.Raw)
	for b.Loop() {
		linter.remarks(l.cert.Raw)
	}
}
