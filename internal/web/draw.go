package web

import (
	"math"
	"strconv"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Positions in drawings are shares of the width, 0 to 1. Drawings hold no text: what they show stands beside them.

// longest is the runway at the right end of the overview's scale: the longest lifetime that the public web allows since
// March 2026 (CA/Browser Forum ballot SC-081v3). What lasts longer fills the scale.
const longest = 200 * 24 * time.Hour

// along places a runway on the overview's scale, which is about a cube root: hours and months both show.
func along(d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return min(1, math.Pow(float64(d)/float64(longest), 0.33))
}

type tick struct {
	Label string
	X     float64
}

func ticks() []tick {
	const day = 24 * time.Hour
	return []tick{{"1h", along(time.Hour)}, {"1d", along(day)}, {"7d", along(7 * day)}, {"30d", along(30 * day)}, {"90d", along(90 * day)}}
}

// bar is the runway of a row: until the renewal must have happened, and the reserve after that.
type bar struct {
	State          string // "good", "late", "refused" or "unknown"
	Renew, Until   float64
	Reserve        float64 // width of the part after Renew
	HasRenewalMark bool
}

// newBar draws a runway. due is when the next renewal is due, as far as notafter plans it itself; while that lies ahead, it
// is the mark, else the moment at which the renewal must have happened.
func newBar(now, due, renewBy, until time.Time) bar {
	switch {
	case until.IsZero():
		return bar{State: "unknown"}
	case !until.After(now):
		return bar{State: "refused"}
	}
	b := bar{State: "good", Until: max(along(until.Sub(now)), 0.01)}
	b.Renew = b.Until
	if due.After(now) && due.Before(until) {
		renewBy = due
	}
	if !renewBy.IsZero() {
		if !renewBy.After(now) {
			b.State, b.Renew = "late", 0
		} else if renewBy.Before(until) {
			b.Renew, b.HasRenewalMark = along(renewBy.Sub(now)), true
		}
	}
	b.Reserve = b.Until - b.Renew
	return b
}

// life is a certificate's lifetime drawn from start to end.
type life struct {
	Marks []mark
	// Shares of the lifetime: gone, up to where renewal is due, the time that is left to repair, and where the best path ends.
	Now, Expected, RenewBy, PageAt, PathEnd float64
	// Widths between them, for drawing.
	DueWidth, LateWidth, LastWidth, PathGap float64
	Started, Ended, Cut                     bool
}

// mark is one moment of the drawing, listed below it in order of time.
type mark struct {
	Class, Label string
	At           time.Time
	Past         bool
}

// newLife draws the plan. due is when the renewal is due, zero when somebody else plans it; pathEnd is when the best path ends, zero when there is none or it ends with the leaf.
func newLife(plan assure.Life, due, renewBy, pathEnd, now time.Time) life {
	total := plan.NotAfter.Sub(plan.NotBefore)
	at := func(t time.Time) float64 {
		if total <= 0 {
			return 1
		}
		return min(1, max(0, float64(t.Sub(plan.NotBefore))/float64(total)))
	}
	expected := "Renewal expected"
	if due.After(plan.NotBefore) && due.Before(plan.NotAfter) {
		plan.Expected, expected = due, "Renewal due"
		if plan.RenewBy.Before(due) {
			plan.RenewBy = due
		}
	}
	if renewBy.IsZero() || renewBy.Before(plan.Expected) || renewBy.After(plan.NotAfter) {
		renewBy = plan.RenewBy
	}
	pageAt := plan.PageAt
	if pageAt.Before(renewBy) {
		pageAt = renewBy
	}
	l := life{
		Now: at(now), Expected: at(plan.Expected), RenewBy: at(renewBy), PageAt: at(pageAt), PathEnd: 1,
		Started: !now.Before(plan.NotBefore), Ended: now.After(plan.NotAfter),
	}
	l.Marks = []mark{
		{"start", "Valid from", plan.NotBefore, false},
		{"expected", expected, plan.Expected, false},
		{"renew", "Renewed by, at the latest", renewBy, false},
		{"page", "Somebody is paged", pageAt, false},
		{"end", "Expires", plan.NotAfter, false},
	}
	if !pathEnd.IsZero() && pathEnd.Before(plan.NotAfter) {
		l.PathEnd, l.Cut = at(pathEnd), true
		l.Marks = append(l.Marks, mark{"path", "The chain ends", pathEnd, false})
	}
	l.Marks = append(l.Marks, mark{"now", "Now", now, false})
	sortMarks(l.Marks)
	for i := range l.Marks {
		l.Marks[i].Past = l.Marks[i].At.Before(now)
	}
	l.DueWidth, l.LateWidth, l.LastWidth = l.RenewBy-l.Expected, l.PageAt-l.RenewBy, 1-l.PageAt
	l.PathGap = 1 - l.PathEnd
	return l
}

func sortMarks(m []mark) {
	for i := range m {
		for j := i; j > 0 && m[j].At.Before(m[j-1].At); j-- {
			m[j], m[j-1] = m[j-1], m[j]
		}
	}
}

// lane is the history of one endpoint as a row of segments.
type lane struct {
	Subject  string
	Segments []segment
}

type segment struct {
	X, W  float64
	Class string // "a" to "f" for certificates in order of appearance, "failed" for none
	Mark  string // letter of the certificate
	Title string
}

// historyView is what was served where and when.
type historyView struct {
	From, To time.Time
	Lanes    []lane
	Runs     []runView
	Pager    pager
}

type runView struct {
	assure.Run
	Mark, Class string
	What        string
	Leaf        *assure.Cert
}

// newHistory draws runs, which come newest first. Certificates are lettered from the oldest on.
func newHistory(runs []assure.Run, letters lettering, now time.Time) historyView {
	h := historyView{To: now}
	for i := len(runs) - 1; i >= 0; i-- {
		r := runs[i]
		if h.From.IsZero() || r.FirstSeen.Before(h.From) {
			h.From = r.FirstSeen
		}
		if l := leafOf(r.Fact); l != nil {
			letters.of(l.Fingerprint)
		}
	}
	whole := max(h.To.Sub(h.From), time.Second)
	at := func(t time.Time) float64 { return min(1, max(0, float64(t.Sub(h.From))/float64(whole))) }
	index := map[string]int{}
	for _, r := range runs {
		v := runView{Run: r, Class: "failed", What: factWords(r.Fact)}
		if v.Leaf = leafOf(r.Fact); v.Leaf != nil {
			n := letters.of(v.Leaf.Fingerprint)
			v.Mark, v.Class = letter(n), string(rune('a'+n%6))
		}
		h.Runs = append(h.Runs, v)
		i, ok := index[r.Subject]
		if !ok {
			i = len(h.Lanes)
			index[r.Subject] = i
			h.Lanes = append(h.Lanes, lane{Subject: r.Subject})
		}
		x := at(r.FirstSeen)
		h.Lanes[i].Segments = append(h.Lanes[i].Segments, segment{X: x, W: max(at(r.LastSeen)-x, 0.004), Class: v.Class, Mark: v.Mark, Title: v.What})
	}
	return h
}

// lettering gives each certificate of a page its letter, by fingerprint: one that stands in two places has one letter.
type lettering map[string]int

func (l lettering) of(fingerprint string) int {
	n, ok := l[fingerprint]
	if !ok {
		n = len(l)
		l[fingerprint] = n
	}
	return n
}

// chains names the chains of one endpoint after their leaves, with a number where several have the same leaf.
func (l lettering) chains(chains []assure.Chain) []string {
	marks := make([]string, 0, len(chains))
	times := map[string]int{}
	for _, c := range chains {
		leaf := ""
		if len(c.Certs) > 0 {
			leaf = c.Certs[0]
		}
		mark := letter(l.of(leaf))
		if times[leaf]++; times[leaf] > 1 {
			mark += strconv.Itoa(times[leaf])
		}
		marks = append(marks, mark)
	}
	return marks
}

// letter names the nth certificate: A to Z, then AA and so on.
func letter(n int) string {
	s := ""
	for n >= 0 {
		s = string(rune('A'+n%26)) + s
		n = n/26 - 1
	}
	return s
}
