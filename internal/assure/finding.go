package assure

import "time"

// Finding says that a claim is not upheld, why, and what to do. It is what a person reads.
type Finding struct {
	Claim    ClaimID  `json:"claim"`
	Link     Link     `json:"link"`
	Reason   Reason   `json:"reason"`
	Severity Severity `json:"severity"`
	Stage    Stage    `json:"stage"`
	// Address is the ip:port it was seen at; empty when it concerns the endpoint as a whole.
	Address string `json:"address,omitempty"`
	// Cause groups findings: those with the same cause are one incident.
	Cause string `json:"cause"`
	// Since is when it began, as far as known. It stays the same while the finding lasts.
	Since time.Time `json:"since"`
	// HurtsAt is when the first client is or was refused; zero when not known or when no client will be.
	HurtsAt time.Time `json:"hurts_at,omitzero"`
	Summary string    `json:"summary"` // what is wrong, one sentence
	Impact  string    `json:"impact"`  // who will notice, and when
	Action  string    `json:"action"`  // what to do next, one sentence
	Basis   string    `json:"basis"`   // on what evidence: observer, time, what was seen
}

// Judgement is the outcome for one claim.
type Judgement struct {
	Claim    Claim
	Verdict  Verdict
	Findings []Finding // worst first; of severity info only when the verdict is upheld
	// Complete is true when everything that the claim is about was really seen: only then may the absence of a finding
	// close anything.
	Complete bool
	// Sure is true when one such look is proof: something was done in earnest and worked. Then the absence of a finding
	// closes what is open at once, instead of after several looks in a row.
	Sure bool
	// SeenAt is when the evidence it rests on was last observed; zero when there is none.
	SeenAt time.Time
	// ValidUntil is when the first client will be refused if nothing changes; zero when not known. In the past, or equal
	// to the moment of judging, when clients are refused already.
	ValidUntil time.Time
	// RenewBy is when a healthy renewal must have happened; zero when not known.
	RenewBy time.Time
	// Leaf is the leaf certificate that ValidUntil rests on, nil when none was seen.
	Leaf *Cert
}

// Severity is that of the worst finding, [Info] when there is none.
func (j Judgement) Severity() Severity {
	s := Info
	for _, f := range j.Findings {
		if f.Severity.Worse(s) {
			s = f.Severity
		}
	}
	return s
}

// Runway is the time left until the first client is refused, never negative; ok is false when that is not known.
func (j Judgement) Runway(now time.Time) (d time.Duration, ok bool) {
	if j.ValidUntil.IsZero() {
		return 0, false
	}
	return max(0, j.ValidUntil.Sub(now)), true
}

// Judged is a judgement and when to look again. A zero Next leaves the time of the next look as it is.
type Judged struct {
	Judgement
	Next time.Time
}
