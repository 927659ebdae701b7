package main

import (
	"bufio"
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// writeTable shows the report to people: the worst first, and under each what it means and what to do.
func writeTable(o output, r report, at time.Time, took time.Duration) error {
	w := bufio.NewWriter(o)
	list := r.worstFirst()
	targetCells := len("TARGET")
	for _, e := range list {
		targetCells = max(targetCells, min(cells(clean(e.Target)), 48))
	}
	row := func(verdict, runway, until, target string) string {
		return strings.TrimRight(fmt.Sprintf("%s  %s  %s  %s", pad(verdict, 9), pad(runway, 8), pad(target, targetCells), until), " ")
	}
	line := func(s string) { _, _ = w.WriteString(s + "\n") }
	line(o.paint(dim, row("VERDICT", "RUNWAY", "FIRST CLIENT REFUSED", "TARGET")))
	for _, e := range list {
		text := row(mark(e.Verdict)+" "+string(e.Verdict), runway(e, r.Checked), until(e), clean(e.Target))
		head := mark(e.Verdict) + " " + string(e.Verdict)
		line(o.paint(verdictStyle(e.Verdict), head) + strings.TrimPrefix(text, head))
		for _, f := range e.Findings {
			where := ""
			if f.Address != nil {
				where = "  at " + clean(*f.Address)
			}
			line("  " + o.paint(stageStyle(f.stage), stageWord(f.stage)+" "+string(f.Reason)) + where)
			for _, s := range wrap(clean(f.Summary), max(o.columns-4, 30)) {
				line("    " + s)
			}
			for i, s := range wrap(clean(f.Action), max(o.columns-6, 30)) {
				if i == 0 {
					line("  " + o.paint(bold, "→") + " " + s)
				} else {
					line("    " + s)
				}
			}
		}
		for _, a := range e.Addresses {
			if a.DefaultLeaf == nil {
				continue
			}
			line("  " + o.paint(dim, "INFO default certificate") + "  at " + clean(a.Address))
			for _, s := range wrap(clean(defaultWords(*a.DefaultLeaf)), max(o.columns-4, 30)) {
				line("    " + s)
			}
		}
	}
	line("")
	line(statistics(r, at, took, o.terminal))
	return w.Flush()
}

// defaultWords tells of the certificate that clients get which send no server name.
func defaultWords(c assure.Cert) string {
	names := strings.Join(c.Names[:min(len(c.Names), 3)], ", ")
	if more := len(c.Names) - 3; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	if names == "" {
		names = cmp.Or(c.Subject, "no name")
	}
	end := ""
	if !c.NotAfter.IsZero() {
		end = ", valid until " + c.NotAfter.UTC().Format("2 Jan 2006 15:04 UTC")
	}
	return fmt.Sprintf("A client that sends no server name gets another certificate here: for %s%s (SHA-256 %s).", names, end, c.Fingerprint[:min(len(c.Fingerprint), 12)])
}

func mark(v assure.Verdict) string {
	switch v {
	case assure.Upheld:
		return "✓"
	case assure.Broken:
		return "✗"
	default:
		return "?"
	}
}

func verdictStyle(v assure.Verdict) string {
	switch v {
	case assure.Upheld:
		return green
	case assure.Broken:
		return red
	default:
		return yellow
	}
}

// stageWord is what messages and the dashboard call the stage; what concerns nobody yet is worth knowing.
func stageWord(s assure.Stage) string {
	if s == assure.StageNone {
		return "INFO"
	}
	return strings.ToUpper(s.String())
}

func stageStyle(s assure.Stage) string {
	switch {
	case s >= assure.StagePage:
		return red
	case s == assure.StageTicket:
		return yellow
	default:
		return dim
	}
}

func runway(e endpoint, at time.Time) string {
	switch {
	case e.RunwaySeconds == nil:
		return "?"
	case *e.RunwaySeconds <= 0:
		return "none"
	}
	return assure.Between(time.Unix(0, 0), time.Unix(*e.RunwaySeconds, 0))
}

func until(e endpoint) string {
	switch {
	case e.until.IsZero():
		return "not known"
	case e.RunwaySeconds != nil && *e.RunwaySeconds <= 0:
		return "already"
	}
	return e.until.UTC().Format("2 Jan 2006 15:04 UTC")
}

// statistics is the last line. How long it took is for people at a terminal; elsewhere output that differs each time
// would only be in the way.
func statistics(r report, at time.Time, took time.Duration, terminal bool) string {
	addresses := map[string]bool{}
	for _, e := range r.Endpoints {
		for _, a := range e.Addresses {
			addresses[e.Target+" "+a.Address] = true
		}
	}
	var verdicts []string
	for _, v := range []assure.Verdict{assure.Broken, assure.Unknown, assure.Upheld} {
		if n := r.count(v); n > 0 {
			verdicts = append(verdicts, fmt.Sprintf("%d %s", n, v))
		}
	}
	s := fmt.Sprintf("%s at %s: %s", count(len(r.Endpoints), "endpoint", "endpoints"), count(len(addresses), "address", "addresses"), strings.Join(verdicts, ", "))
	if !at.IsZero() {
		s += ", judged as of " + at.UTC().Format("2 Jan 2006 15:04:05 UTC")
	}
	if terminal {
		s += fmt.Sprintf(", in %s", took.Round(10*time.Millisecond))
	}
	return s + "."
}
