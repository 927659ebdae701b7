package app_test

import (
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/lab"
	"github.com/notafter/notafter/internal/lab/estate"
)

// vacantPort is a port on 127.0.0.1 that nobody listens on.
func vacantPort(t *testing.T) int {
	t.Helper()
	at, err := lab.Vacant("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return int(netip.MustParseAddrPort(at).Port())
}

// Challenges that are answered and not written renew and rehearse through the whole product, with no DNS writer at all.
func TestRenewsByAnsweringChallenges(t *testing.T) {
	t.Parallel()
	for _, challenge := range []config.Challenge{config.ChallengeHTTP, config.ChallengeALPN} {
		t.Run(string(challenge), func(t *testing.T) {
			t.Parallel()
			p := pace{life: 40 * time.Second, canary: 3 * time.Second, authorization: 5 * time.Second, due: 0.5, httpPort: vacantPort(t), tlsPort: vacantPort(t)}
			r := settle(t, p, "shop."+estate.BindZone)
			at := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
			how := r.config.Renewers[estate.Bind]
			how.ACME.Challenge, how.Responder = challenge, &config.Responder{HTTP: at(p.httpPort), TLS: at(p.tlsPort)}
			how.DNS.RFC2136 = nil
			r.config.Renewers = map[string]config.Renewer{estate.Bind: how}
			run := start(t, r.config, "")
			until(t, 2*time.Minute, "certificate in service", func() bool { return r.sites[0].Leaf() != nil })
			served, first := time.Now(), string(r.sites[0].Leaf())
			until(t, 2*time.Minute, "rehearsed authorization", func() bool { return run.rung("shop", "authorization") == string(assure.Done) })
			until(t, 2*time.Minute, "next certificate in service", func() bool { return string(r.sites[0].Leaf()) != first })
			for _, rung := range []string{"canary", "permission"} {
				if got := run.rung("shop", rung); got == string(assure.Failed) {
					t.Errorf("the rung %s, which has nothing to do here, failed", rung)
				}
			}
			for _, i := range run.incidents() {
				if i.OpenedAt.After(served) { // before, there was nothing to serve
					t.Errorf("an incident while all is well: %+v", i)
				}
			}
		})
	}
}
