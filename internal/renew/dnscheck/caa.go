package dnscheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/notafter/notafter/internal/assure"
)

// askForCAA is how many addresses of a zone are asked for CAA: an authority may ask any one of them.
const askForCAA = 4

// CAA is nil when CAA lets the authority issue: from the name upwards, the first record set that is not empty counts,
// with aliases followed at each level (RFC 8659 §3). The authoritative servers are asked, several of them, since a
// resolver may remember what was before the record that forbids. A failure to look up forbids too, as an authority must
// not take it for the absence of a record (RFC 8659 §3 leaves no other reading; CA/Browser Forum BR §3.2.2.8 permits one
// only under conditions that no outsider can see); its class says that it may pass.
func (c *Checker) CAA(ctx context.Context, q assure.CAAQuestion) error {
	name, err := checked(strings.TrimPrefix(q.Name, "*."))
	if err != nil {
		return err
	}
	w := c.walk(false)
	for at := name; at != "."; at = above(at) {
		sets, t := w.caa(ctx, at)
		if t.Blind() {
			return t // what an authority sees is not known
		}
		if t != nil {
			t.Reason, t.Detail = assure.CAAForbids, clip("CAA of "+bare(at)+" cannot be looked up, and an authority must not issue then: "+t.Detail, 4*clipAt)
			if t.Remedy == "" {
				t.Remedy = "Let the servers that are named answer. No CAA record has to be changed for that."
			}
			return t
		}
		for _, s := range sets {
			if t := judge(at, s.records, q); t != nil {
				if s.at != at {
					t.Detail += fmt.Sprintf(" (by the alias %s)", bare(s.at))
				}
				if s.alone {
					t.Detail += fmt.Sprintf(" (so says %s; other servers have other records)", label(s.from))
				}
				return t
			}
		}
		if len(sets) > 0 {
			return nil
		}
	}
	return nil
}

// caaSet is a record set that one or more servers gave.
type caaSet struct {
	at      string // the name that holds it, after aliases
	records []*dns.CAA
	from    assure.NameServer
	alone   bool // others gave another
}

// caa finds the different CAA record sets that the servers give for one name; none when they say that there is none.
func (w *walk) caa(ctx context.Context, name string) ([]caaSet, *assure.Trouble) {
	at := name
	for range maxAliases + 1 {
		answers, t := w.caaAnswers(ctx, at)
		if t != nil {
			return nil, t
		}
		var sets []caaSet
		next := ""
		for _, a := range answers {
			last := lastOf(a.m, at)
			records := caaRecords(a.m, last)
			if len(records) == 0 {
				if last != at && soaOwner(a.m, last) == "" && a.m.Rcode == dns.RcodeSuccess {
					next = last // the rest of the way is in another zone
				}
				continue
			}
			if !slices.ContainsFunc(sets, func(s caaSet) bool { return same(s.records, records) }) {
				sets = append(sets, caaSet{at: last, records: records, from: a.from})
			}
		}
		for i := range sets {
			sets[i].alone = len(sets) > 1
		}
		if len(sets) > 0 || next == "" {
			return sets, nil
		}
		at = next
	}
	return nil, trouble(assure.CAAForbids, assure.TroubleBroken, bare(name), fmt.Sprintf("more than %d aliases follow each other from %s", maxAliases, bare(name)), "")
}

type answer struct {
	m    *dns.Msg
	from assure.NameServer
}

// caaAnswers asks the servers of the zone that holds a name. A top-level domain is left to a resolver, and so is a zone
// whose servers cannot be reached from here.
func (w *walk) caaAnswers(ctx context.Context, name string) ([]answer, *assure.Trouble) {
	byResolver := func() ([]answer, *assure.Trouble) {
		m, t := w.c.resolve(ctx, name, dns.TypeCAA)
		if t != nil {
			return nil, t
		}
		return []answer{{m, assure.NameServer{Address: "a resolver"}}}, nil
	}
	if dns.CountLabel(name) == 1 {
		return byResolver()
	}
	r, t := w.descend(ctx, name, dns.TypeCAA)
	if t != nil {
		if t.Class != assure.TroubleTransient || t.Blind() {
			return nil, t
		}
		if a, other := byResolver(); other == nil {
			return a, nil
		}
		return nil, t
	}
	var others []assure.NameServer
	for _, s := range r.zone.servers {
		if s != r.from && len(others) < askForCAA-1 {
			others = append(others, s)
		}
	}
	got := make([]*dns.Msg, len(others))
	each(len(others), func(i int) {
		if m, f := w.c.ask(ctx, others[i].Address, query{name: name, kind: dns.TypeCAA}); f == nil && m.Authoritative {
			got[i] = m
		}
	})
	out := []answer{{r.m, r.from}}
	for i, m := range got {
		if m != nil {
			out = append(out, answer{m, others[i]})
		}
	}
	return out, nil
}

func caaRecords(m *dns.Msg, name string) []*dns.CAA {
	var out []*dns.CAA
	for _, rr := range m.Answer {
		if caa, ok := rr.(*dns.CAA); ok && fq(caa.Hdr.Name) == name {
			out = append(out, caa)
		}
	}
	return out
}

// same reports whether two record sets hold the same, in whatever order.
func same(a, b []*dns.CAA) bool {
	text := func(set []*dns.CAA) []string {
		var out []string
		for _, rr := range set {
			out = append(out, fmt.Sprint(rr.Flag, " ", strings.ToLower(rr.Tag), " ", rr.Value))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return slices.Equal(text(a), text(b))
}
