package app

import (
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// RenewedBy names what renews a certificate, and says how long after a change of its rights the cloud may still go by what
// held before. The name is empty for a certificate that is not renewed here.
func (a *App) RenewedBy(certificate string) (renewer string, settles time.Duration) {
	c := a.world.Load().config
	for i := range c.Certificates {
		if c.Certificates[i].Name != certificate {
			continue
		}
		if r, ok := c.RenewerOf(&c.Certificates[i]); ok {
			return c.Certificates[i].Renewer, r.DNS.Settles()
		}
	}
	return "", 0
}

// Rungs lists the rungs that are switched on for a certificate, the cheapest first.
func (a *App) Rungs(certificate string) []assure.AttemptKind {
	c := a.world.Load().config
	var out []assure.AttemptKind
	for i := range c.Certificates {
		r, ok := c.RenewerOf(&c.Certificates[i])
		if c.Certificates[i].Name != certificate || !ok {
			continue
		}
		on := r.Rungs()
		for _, kind := range assure.Ladder() {
			if _, is := on[kind]; is {
				out = append(out, kind)
			}
		}
	}
	return out
}
