package assure

import "time"

// ClaimID identifies a claim across restarts and reloads: link, certificate and subject joined by slashes.
type ClaimID string

// Claim is one thing that must stay true. Claims come from declarations, never from evidence.
type Claim struct {
	ID          ClaimID
	Link        Link
	Certificate string // name of the declared certificate; empty for claims about notafter itself
	// Subject is what to look at: the canonical target of a serving claim, the name of a channel, the part of the
	// monitor ("patrol", "control", "heartbeat").
	Subject string
	Route   string // whom a broken claim concerns
	Owner   string // as declared; shown to people, never interpreted
	// Declared is when the claim came to be. What was never seen counts as missing from then on.
	Declared time.Time
	// Every is how often somebody looks when all is well. Evidence older than [Claim.MaxAge] is stale.
	Every time.Duration
	// TimeToRepair is how long the team needs from being woken to a new certificate in service. Zero means the policy's.
	TimeToRepair time.Duration
}

// NewClaimID joins the parts of a claim's identity.
func NewClaimID(link Link, certificate, subject string) ClaimID {
	return ClaimID(string(link) + "/" + certificate + "/" + subject)
}

// MaxAge is how old evidence may get before it is stale: three missed looks, and at least a minute.
func (c Claim) MaxAge() time.Duration { return max(3*c.Every, time.Minute) }

// Evidence is a run of equal facts about one claim.
type Evidence struct {
	Claim     ClaimID
	Fact      Fact
	Observer  string    // who looked, such as "probe@host"
	FirstSeen time.Time // first look of this run
	LastSeen  time.Time // latest look of this run
	Count     int64     // looks in this run
	// Alternate is the fact of the run before, when the present fact had been seen, then the alternate, and now the
	// present one again: the endpoint goes back and forth. Returned is when it last came back. Nil and zero otherwise.
	Alternate Fact
	Returned  time.Time
}

// Look is one fact freshly brought back by an observer, not yet recorded.
type Look struct {
	Claim    ClaimID
	Fact     Fact
	Observer string
	At       time.Time
}

// Case is all that judging one claim needs.
type Case struct {
	Claim Claim
	// Evidence is the newest run about the claim, nil when nobody ever looked.
	Evidence *Evidence
	// Prior holds the claim's findings of the judgement before, so that "since" survives.
	Prior []Finding
	// Issued is the newest certificate known to have been issued for the claim's certificate, nil when that is not known.
	Issued *Cert
	// IssuedProblem says why the newest issued certificate is not known although it should be; empty when it need not be.
	IssuedProblem string
	// Names are those that the declared certificate must hold; empty when none were declared.
	Names []string
	// ValidUntil and RenewBy are those of the judgement before, zero when not known. They outlive the evidence: an
	// endpoint that can no longer be seen still has the end that was last seen.
	ValidUntil time.Time
	RenewBy    time.Time
}

// Policy holds the few numbers that judging needs. The zero value of a field means its default.
type Policy struct {
	// TimeToRepair is how long the team needs from being woken to a new certificate in service (12 h).
	TimeToRepair time.Duration
	// RetryInterval is the time between two attempts of the renewer; two of them are allowed before renewal counts as
	// overdue (0: three hundredths of the lifetime decide alone).
	RetryInterval time.Duration
	// Confirm is how long a failure that may pass by itself (a refused connection, a DNS timeout) must last before
	// somebody is told. 0 tells at once.
	Confirm time.Duration
	// Clear is how many looks in a row must see all well before an incident closes (2).
	Clear int
	// Gather is for how long after an incident opened nothing about it is sent, so that the first message shows all that
	// one cause touches and not only what was looked at first. 0 sends at once.
	Gather time.Duration
}

// DefaultTimeToRepair is the time to repair where nothing else is declared.
const DefaultTimeToRepair = 12 * time.Hour

// Setting is what all judgements of one batch have in common.
type Setting struct {
	Now    time.Time
	Policy Policy
	// Blind, when not empty, says why nothing this process failed to reach can be trusted just now: its own network or
	// resolver is down. Failures to reach an endpoint are then unknown, with this one cause.
	Blind string
	// Routes maps each route to its channels, in order. Advance addresses notices with it.
	Routes map[string][]string
	// DefaultRoute is for claims whose route is empty or undeclared.
	DefaultRoute string
}
