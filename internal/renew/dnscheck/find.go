package dnscheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// Find follows aliases from a record's name to the record set that is to be written, and finds its zone and every
// address of the zone's authoritative servers, those that the parent names and those that the zone names itself. That
// the record does not exist yet is normal.
func (c *Checker) Find(ctx context.Context, name string) (assure.RecordPlace, error) {
	at, err := checked(name)
	if err != nil {
		return assure.RecordPlace{}, err
	}
	w := c.walk(false)
	var passed []string
	for {
		r, t := w.descend(ctx, at, dns.TypeCNAME)
		if t == nil {
			t = w.missing(r, at)
		}
		if t != nil {
			if len(passed) > 0 {
				t.Detail = clip(fmt.Sprintf("the alias %s leads to %s: %s", bare(passed[0]), bare(at), t.Detail), 4*clipAt)
				if t.Remedy == "" {
					t.Remedy = "Make the zone that the alias leads to, or let the alias lead to one that exists."
				}
			}
			return assure.RecordPlace{}, t
		}
		next := aliasOf(r.m, at)
		if next == "" {
			p := assure.RecordPlace{Name: bare(at), Zone: bare(r.zone.name), Servers: slices.Clone(w.full(ctx, r).servers)}
			for _, a := range passed {
				p.Aliases = append(p.Aliases, bare(a))
			}
			return p, nil
		}
		passed = append(passed, at)
		if slices.Contains(passed, next) {
			return assure.RecordPlace{}, trouble(assure.DelegationBroken, assure.TroubleBroken, bare(r.zone.name),
				"the alias leads in a circle: "+chain(passed, next), "Let the alias lead to the record that is written.")
		}
		if len(passed) > maxAliases {
			return assure.RecordPlace{}, trouble(assure.DelegationBroken, assure.TroubleBroken, bare(r.zone.name),
				fmt.Sprintf("more than %d aliases follow each other: %s", maxAliases, chain(passed, next)), "")
		}
		if _, err := checked(next); err != nil {
			return assure.RecordPlace{}, trouble(assure.DelegationBroken, assure.TroubleBroken, bare(r.zone.name),
				"the alias of "+bare(at)+" leads to no domain name", "")
		}
		at = next
	}
}

// aliasOf is where an answer says that a name leads; empty when it is no alias.
func aliasOf(m *dns.Msg, name string) string {
	for _, rr := range m.Answer {
		if c, ok := rr.(*dns.CNAME); ok && fq(c.Hdr.Name) == name {
			return fq(c.Target)
		}
	}
	return ""
}

func chain(names []string, last string) string {
	var out []string
	for _, n := range append(slices.Clone(names), last) {
		out = append(out, bare(n))
	}
	return strings.Join(out, " → ")
}

// checked is a name in the form that is asked for, or why it is none.
func checked(name string) (string, error) {
	n := fq(strings.TrimSuffix(name, "."))
	if _, ok := dns.IsDomainName(n); !ok || name == "" || n == "." || len(n) > 254 || strings.ContainsAny(name, " \t\r\n\x00\\") {
		return "", trouble(assure.DNSFailed, assure.TroubleInvalid, "", fmt.Sprintf("%q is no domain name", clip(name, clipAt)), "")
	}
	return n, nil
}
