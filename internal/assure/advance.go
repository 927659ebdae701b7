package assure

import "time"

// Advance turns a batch of judgements into changes of the incidents on the docket. With the changes applied, advancing
// again by the same judgements gives no changes.
func Advance(d Docket, js []Judgement, s Setting) Changes { return Changes{} }

// Causes returns the distinct causes of the judgements' findings that concern somebody, for loading a docket.
func Causes(js []Judgement) []string { return nil }

// Withdraw takes claims that are no longer declared out of the incidents on the docket, saying so.
func Withdraw(d Docket, claims []ClaimID, s Setting) Changes { return Changes{} }

// Acknowledge records that who has taken the incident's present stage. Acknowledging a stage again, or an incident that
// is resolved, changes nothing; ok is then false.
func Acknowledge(i Incident, who string, at time.Time) (next Incident, e Event, ok bool) {
	return i, Event{}, false
}
