package app

import (
	"testing"

	"github.com/notafter/notafter/internal/config"
)

// Only what is renewed in the same way may go on under the next configuration.
func TestSameRenewal(t *testing.T) {
	t.Parallel()
	base := func() *config.Config {
		c := config.Default()
		c.Certificates = []config.Certificate{{Name: "shop", Names: []string{"shop.example.com"}, Renewer: "le"}}
		c.Renewers = map[string]config.Renewer{"le": {ACME: &config.ACME{Email: "ops@example.com"}, DNS: &config.RenewerDNS{RFC2136: &config.RFC2136{Secret: config.NewSecret("one")}}}}
		return &c
	}
	for what, c := range map[string]struct {
		change func(*config.Config)
		same   bool
	}{
		"nothing":               {func(*config.Config) {}, true},
		"something else":        {func(c *config.Config) { c.Clear = 7 }, true},
		"its names":             {func(c *config.Config) { c.Certificates[0].Names = []string{"other.example.com"} }, false},
		"its renewer's secret":  {func(c *config.Config) { c.Renewers["le"].DNS.RFC2136.Secret = config.NewSecret("two") }, false},
		"it is no longer there": {func(c *config.Config) { c.Certificates = nil }, false},
		"nobody renews it":      {func(c *config.Config) { c.Certificates[0].Renewer = config.RenewerNone }, false},
	} {
		next := base()
		c.change(next)
		if got := sameRenewal(base(), next, "shop"); got != c.same {
			t.Errorf("%s changed: %v, want %v", what, got, c.same)
		}
	}
	answering := base()
	answering.Renewers["le"].ACME.Challenge = config.ChallengeHTTP
	if sameRenewal(answering, answering, "shop") {
		t.Error("what listens for challenges stands in the way of its successor")
	}
}
