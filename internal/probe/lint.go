package probe

import (
	"slices"
	"strings"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

// maxLint is how many remarks are kept of one certificate: whoever gets one wrong often gets ten.
const maxLint = 5

// lintLeaf asks zlint about a certificate of the public web: remarks of the rank error or worse, by name. The linter
// is a second opinion that never changes a verdict, so that a certificate it cannot read, or that makes it panic, has
// no remarks.
func lintLeaf(der []byte) (remarks []string) {
	defer func() {
		if recover() != nil {
			remarks = nil
		}
	}()
	c, err := zx509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	set := zlint.LintCertificate(c)
	for name, r := range set.Results {
		if r == nil || r.Status != lint.Error && r.Status != lint.Fatal {
			continue
		}
		text := name
		if l := lint.GlobalRegistry().CertificateLints().ByName(name); l != nil {
			text += ": " + strings.Join(strings.Fields(l.Description), " ")
		}
		remarks = append(remarks, clipText(text, 300))
	}
	slices.Sort(remarks)
	return remarks[:min(len(remarks), maxLint)]
}
