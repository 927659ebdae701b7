package probe

import (
	"slices"
	"strings"
	"sync"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

// maxLint is how many remarks are kept of one certificate: whoever gets one wrong often gets ten.
const maxLint = 5

// costlyLints take nine tenths of the linter's time (some 6 ms a certificate): one verifies signatures of a few
// authorities that were distrusted long ago, the other guesses private keys.
var costlyLints = []string{"e_cert_issued_by_compromised_emudhra_ca", "e_ecdsa_small_private_key"}

// linter asks zlint about certificates of the public web. It is safe for concurrent use.
type linter struct {
	registry func() lint.Registry
}

func newLinter() *linter {
	return &linter{sync.OnceValue(func() lint.Registry {
		all := lint.GlobalRegistry()
		some, err := all.Filter(lint.FilterOptions{ExcludeNames: slices.DeleteFunc(slices.Clone(costlyLints), func(name string) bool {
			return all.CertificateLints().ByName(name) == nil // renamed or gone in a later release
		})})
		if err != nil {
			return all
		}
		return some
	})}
}

// remarks returns what zlint has to say of the rank error or worse, by name. The linter is a second opinion that never
// changes a verdict, so that a certificate it cannot read, or that makes it panic, has no remarks.
func (l *linter) remarks(der []byte) (out []string) {
	defer func() {
		if recover() != nil {
			out = nil
		}
	}()
	c, err := zx509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	registry := l.registry()
	for name, r := range zlint.LintCertificateEx(c, registry).Results {
		if r == nil || r.Status != lint.Error && r.Status != lint.Fatal {
			continue
		}
		text := name
		if rule := registry.CertificateLints().ByName(name); rule != nil {
			text += ": " + strings.Join(strings.Fields(rule.Description), " ")
		}
		out = append(out, clipText(text, 300))
	}
	slices.Sort(out)
	return out[:min(len(out), maxLint)]
}
