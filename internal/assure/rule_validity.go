package assure

import (
	"fmt"
	"slices"
)

// validity judges time: the leaf first, then the chain behind it. It reports whether clients refuse it now.
func (v *view) validity(s *shown) (refused bool) {
	leaf, now := s.leaf, v.Now
	name := clip(firstOf(leaf.Names, leaf.Subject), 80)
	cause := "life/" + leaf.Fingerprint
	if v.outdated(s) {
		cause = v.lag() // it was renewed; what is wrong is that this address does not serve the new one
	}
	life := PlanLife(leaf.NotBefore, leaf.NotAfter, v.repair(), v.Policy)
	say := func(f Finding) {
		v.at(s.addresses, Broken, func(string) Finding { return f })
	}
	renew := "Renew it now, install it on every address and reload; then look again."
	switch {
	case now.Before(leaf.NotBefore):
		refused = true
		say(Finding{
			Reason: NotYetValid, Stage: StageOutage, Cause: cause, HurtsAt: v.since(NotYetValid, ""),
			Summary: fmt.Sprintf("The certificate for %s is valid only from %s, in %s.", name, stamp(leaf.NotBefore), Between(now, leaf.NotBefore)),
			Impact:  "Every client refuses it until then.", Action: "Go back to the certificate before it, and check the clock of whatever issued this one.",
		})
	case now.After(leaf.NotAfter):
		refused = true
		say(Finding{
			Reason: Expired, Stage: StageOutage, Cause: cause, Since: leaf.NotAfter, HurtsAt: leaf.NotAfter,
			Summary: fmt.Sprintf("The certificate for %s expired %s ago, at %s.", name, Between(leaf.NotAfter, now), stamp(leaf.NotAfter)),
			Impact:  "Every client has been refused since then.", Action: renew,
		})
	case !now.Before(life.PageAt):
		say(Finding{
			Reason: Expiring, Stage: StagePage, Cause: cause, Since: life.RenewBy, HurtsAt: leaf.NotAfter,
			Summary: fmt.Sprintf("The certificate for %s expires in %s, at %s, and should have been renewed by %s.", name, Between(now, leaf.NotAfter), stamp(leaf.NotAfter), stamp(life.RenewBy)),
			Impact:  fmt.Sprintf("Every client is refused from %s on.", stamp(leaf.NotAfter)), Action: "Find out why renewal failed (the renewer's log) and renew now; there may be no time for a second try.",
		})
	case now.After(life.RenewBy):
		say(Finding{
			Reason: Expiring, Stage: StageTicket, Cause: cause, Since: life.RenewBy, HurtsAt: leaf.NotAfter,
			Summary: fmt.Sprintf("The certificate for %s should have been renewed by %s; it expires in %s.", name, stamp(life.RenewBy), Between(now, leaf.NotAfter)),
			Impact:  fmt.Sprintf("Nobody yet. Every client is refused from %s on; a page goes out at %s.", stamp(leaf.NotAfter), stamp(life.PageAt)),
			Action:  "Find out why renewal has not happened: the renewer's log, its permission to write DNS, and whether the server reloaded.",
		})
	}
	if len(s.Paths) == 0 || now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return refused
	}
	best := s.Paths[0]
	limiter, _ := s.of.CertOf(best.LimitedBy)
	who := clip(firstOf([]string{limiter.Subject}, best.LimitedBy), 120)
	chainCause := "chain/" + best.LimitedBy
	if !slices.ContainsFunc(s.Paths, func(p Path) bool { return p.ValidAt(now) }) {
		if now.Before(best.NotBefore) {
			say(Finding{
				Reason: NotYetValid, Stage: StageOutage, Cause: chainCause, HurtsAt: v.since(NotYetValid, ""),
				Summary: fmt.Sprintf("The chain for %s is valid only from %s.", name, stamp(best.NotBefore)),
				Impact:  "Every client refuses it until then.", Action: "Serve a chain that is valid already.",
			})
		} else {
			say(Finding{
				Reason: ChainExpired, Stage: StageOutage, Cause: chainCause, Since: best.NotAfter, HurtsAt: best.NotAfter,
				Summary: fmt.Sprintf("The intermediate %q expired at %s, and no other chain leads to a trusted root.", who, stamp(best.NotAfter)),
				Impact:  "Every client has been refused since then, although the leaf itself is still valid.",
				Action:  "Serve the authority's current intermediate, or renew the certificate; then reload.",
			})
		}
		return true
	}
	if best.NotAfter.Before(leaf.NotAfter) {
		stage := StageNone
		switch {
		case !now.Before(best.NotAfter.Add(-max(leaf.Lifetime()/10, v.repair()))):
			stage = StagePage
		case best.NotAfter.Before(life.RenewBy) || now.After(life.RenewBy):
			// The chain ends before the next renewal would replace it.
			stage = StageTicket
		}
		verdict := Upheld
		if stage > StageNone {
			verdict = Broken
		}
		v.at(s.addresses, verdict, func(string) Finding {
			return Finding{
				Reason: ChainExpiring, Stage: stage, Cause: chainCause, HurtsAt: best.NotAfter,
				Summary: fmt.Sprintf("The chain for %s ends in %s, at %s, before the leaf does: the intermediate %q expires.", name, Between(now, best.NotAfter), stamp(best.NotAfter), who),
				Impact:  fmt.Sprintf("Every client is refused from %s on.", stamp(best.NotAfter)),
				Action:  "Serve the authority's current intermediate, or renew the certificate before that moment.",
			}
		})
	}
	return false
}
