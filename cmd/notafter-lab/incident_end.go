package main

import (
	"fmt"
	"time"
)

// compare shows the two timelines side by side. Either may be nil, when its act was not played.
func (p *play) compare(past, present *ledger) {
	const wide = 40
	p.screen.say("\n%-34s%-*s%s\n", "", wide, "without notafter", "with notafter")
	row := func(what string, of func(l *ledger) string) {
		cell := func(l *ledger) string {
			if l == nil {
				return "(not played)"
			}
			return of(l)
		}
		p.screen.say("%-34s%-*s%s\n", what, wide, cell(past), cell(present))
	}
	when := func(t time.Time, otherwise string) string {
		if t.IsZero() {
			return otherwise
		}
		return calendar(t)
	}
	row("The plan is judged", func(l *ledger) string { return when(l.refusedAt, "approved") + said(l.refusedAt, " refused") })
	row("The change is applied", func(l *ledger) string { return when(l.appliedAt, "not applied") })
	row("The first person knows", func(l *ledger) string { return when(l.knownAt, "nobody") })
	row("  told by", func(l *ledger) string { return l.by })
	row("  after the change", func(l *ledger) string { return span(l.knownAt.Sub(l.appliedAt)) })
	row("  before the certificates end", func(l *ledger) string {
		if d := expiry.Sub(l.knownAt); d > 0 {
			return span(d)
		}
		return span(l.knownAt.Sub(expiry)) + " too late"
	})
	row("The first renewal fails", func(l *ledger) string {
		s := when(l.failedAt, "none failed")
		if l.joined {
			s += ", the same incident"
		}
		return s
	})
	row("The grant is back", func(l *ledger) string { return when(l.grantedAt, "never") })
	row("New certificates on all addresses", func(l *ledger) string { return when(l.renewedAt, "never") })
	row("Closed by proof", func(l *ledger) string { return when(l.resolvedAt, "nobody proved anything") })
	row("Clients are refused", func(l *ledger) string {
		if l.refused == 0 {
			return fmt.Sprintf("never, in %d visits", l.served)
		}
		return fmt.Sprintf("%s, %d of %d visits", span(l.outage), l.refused, l.refused+l.served)
	})
	if past != nil && present != nil {
		p.screen.say("\nLead time gained: %s. Then, the first person knew %s after the change; with notafter, %s after it, %s before any client would be refused.\n",
			span(past.knownAt.Sub(present.knownAt)), span(past.knownAt.Sub(past.appliedAt)), span(present.knownAt.Sub(present.appliedAt)), span(expiry.Sub(present.knownAt)))
	}
}

// said is the text when there is a moment.
func said(t time.Time, text string) string {
	if t.IsZero() {
		return ""
	}
	return text
}
