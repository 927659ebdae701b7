package store

import (
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// Verdicts and severities are stored as numbers, the worse the greater, so that max() finds the worst. The numbers are
// part of the schema and never change.
const (
	notJudged = 0
	upheld    = 1
	unknown   = 2
	broken    = 3
)

func verdictRank(v assure.Verdict) int {
	switch v {
	case assure.Upheld:
		return upheld
	case assure.Unknown:
		return unknown
	case assure.Broken:
		return broken
	}
	return notJudged
}

func verdictOf(rank int) assure.Verdict {
	switch rank {
	case upheld:
		return assure.Upheld
	case unknown:
		return assure.Unknown
	case broken:
		return assure.Broken
	}
	return ""
}

// standing is a claim's verdict as summaries count it: what was not judged yet is unknown.
func standing(rank int) int {
	if rank == notJudged {
		return unknown
	}
	return rank
}

func severityRank(s assure.Severity) int {
	switch s {
	case assure.Page:
		return 3
	case assure.Ticket:
		return 2
	}
	return 1
}

func severityOf(rank int) assure.Severity {
	switch rank {
	case 3:
		return assure.Page
	case 2:
		return assure.Ticket
	}
	return assure.Info
}

// reasonsOf lists the findings for counting, as severity:reason.
func reasonsOf(fs []assure.Finding) string {
	words := make([]string, len(fs))
	for i, f := range fs {
		words[i] = string(f.Severity) + ":" + string(f.Reason)
	}
	return strings.Join(words, " ")
}

// linkOrder is SQL that gives a link's place in [assure.Links].
func linkOrder(column string) string {
	var b strings.Builder
	b.WriteString("CASE " + column)
	for i, l := range assure.Links() {
		b.WriteString(" WHEN '" + string(l) + "' THEN " + string(rune('0'+i)))
	}
	b.WriteString(" ELSE 9 END")
	return b.String()
}
