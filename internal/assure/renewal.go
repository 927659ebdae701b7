package assure

import "time"

// ACMEAccount is a registration at a certificate authority.
type ACMEAccount struct {
	// ID is derived by the renewer from the directory, the contact and the external account, so that the same
	// configuration finds the same account.
	ID        string
	Directory string
	Location  string // the account's URL at the CA; empty before it is registered
	Contact   string
	Key       []byte // the private key, sealed; never in clear
	// NextKey is the sealed key that a rollover under way changes to: written before the CA is asked, so that a lost
	// answer loses no account. Nil otherwise.
	NextKey []byte
	Created time.Time
}

// IssuedCert is a certificate that was issued for a declared one, with its key.
type IssuedCert struct {
	ID          int64 // given by the store
	Certificate string
	Cert        Cert
	Chain       []byte // PEM, leaf first, as the CA gave it
	Key         []byte // the private key, sealed; never in clear
	IssuedAt    time.Time
	// InstalledAt is when it was last installed everywhere it belongs and seen there; zero before.
	InstalledAt time.Time
}

// RenewalState is where the renewal of one declared certificate stands. Times are in UTC; zero when not known.
type RenewalState struct {
	Certificate string `json:"certificate"`
	// Due is when the next renewal is due, and Why says on what ground, for people: a CA's window, two thirds of the
	// lifetime, no certificate yet, names that changed, somebody's wish.
	Due time.Time `json:"due,omitzero"`
	Why string    `json:"why,omitempty"`
	// Next is when the next attempt is made: Due, or later because of the pauses after failures.
	Next time.Time `json:"next,omitzero"`
	// Failures counts attempts in a row that failed.
	Failures int `json:"failures,omitempty"`
	// Left is how many more attempts the pauses leave before the certificate in service ends; negative when not known.
	Left int `json:"left,omitempty"`
	// WindowStart and WindowEnd are the CA's suggested window (RFC 9773), WindowFrom its explanation's address, and
	// WindowAsk when to ask again.
	WindowStart time.Time `json:"window_start,omitzero"`
	WindowEnd   time.Time `json:"window_end,omitzero"`
	WindowAsk   time.Time `json:"window_ask,omitzero"`
	WindowFrom  string    `json:"window_from,omitempty"`
	// Forced is who asked for a renewal regardless of dates, ForcedAt when; empty when nobody did.
	Forced   string    `json:"forced,omitempty"`
	ForcedAt time.Time `json:"forced_at,omitzero"`
	// Running is when the attempt under way began; zero when none is.
	Running time.Time `json:"running,omitzero"`
	// LastTrouble is what stopped the last attempt; nil when it succeeded or none was made.
	LastTrouble *Trouble `json:"last_trouble,omitempty"`
	// Unproven is when something that renewal needs was last seen to be lost for good (a grant, a credential). It stays
	// until a renewal has succeeded and was seen in service after that: a repair is believed when it is proven. Zero when
	// there is nothing to prove. UnprovenBy is what was lost.
	Unproven   time.Time `json:"unproven,omitzero"`
	UnprovenBy *Trouble  `json:"unproven_by,omitempty"`
	// LastAttempt and LastSuccess are when the last attempt and the last successful one ended.
	LastAttempt time.Time `json:"last_attempt,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
}

// Waits reports whether a certificate was issued and putting it into service is what failed last: the next attempt costs
// no order.
func (s RenewalState) Waits() bool {
	return s.Failures > 0 && s.LastTrouble != nil && (s.LastTrouble.Reason == InstallFailed || s.LastTrouble.Reason == ServedStale)
}

// AttemptKind tells renewals from the levels of a rehearsal.
type AttemptKind string

// Kinds of attempts. Those that begin with rehearse are the rungs of the ladder: each proves more and costs more.
const (
	AttemptRenewal     AttemptKind = "renewal"
	RehearseStatic     AttemptKind = "rehearse_static"        // L0: account, directory, profile, CAA, delegation
	RehearsePermission AttemptKind = "rehearse_permission"    // L1: the cloud is asked
	RehearseCanary     AttemptKind = "rehearse_canary"        // L2: a TXT value is written, read back everywhere, withdrawn
	RehearseAuthorize  AttemptKind = "rehearse_authorization" // L3: an order at the staging CA, validated, then deactivated
	RehearseFull       AttemptKind = "rehearse_full"          // L4: a staging certificate on a shadow target
)

// Level is the rung: 0 to 4, -1 for a renewal.
func (k AttemptKind) Level() int {
	for i, l := range Ladder() {
		if l == k {
			return i
		}
	}
	return -1
}

// Ladder lists the rungs of a rehearsal from the cheapest to the one that proves most.
func Ladder() []AttemptKind {
	return []AttemptKind{RehearseStatic, RehearsePermission, RehearseCanary, RehearseAuthorize, RehearseFull}
}

// Subjects of the claims about a certificate that a renewer of ours renews. Those of a rehearsal are the kinds of the ladder.
const (
	SubjectRenewal  = "renewal"  // link renewal: the last attempt succeeded, or none is due
	SubjectIssuance = "issuance" // link issuance: a certificate for all names exists
	// SubjectGrants is of the link permission: what the permission rests on is what is expected. It is no rung, and stands
	// for one in what a look brings back ([Rehearsed]).
	SubjectGrants = "grants"
)

// LinkOf is the link that a rung of the ladder gives evidence about.
func LinkOf(k AttemptKind) Link {
	switch k {
	case RehearseStatic, RehearsePermission, RehearseCanary, SubjectGrants:
		return Permission
	}
	return Renewal
}

// Attempt is one renewal or rehearsal with its steps, as it is kept for people.
type Attempt struct {
	ID          int64       `json:"id"` // given by the store
	Certificate string      `json:"certificate"`
	Kind        AttemptKind `json:"kind"`
	By          string      `json:"by"` // what or who caused it: schedule, a person's name, the command line
	Started     time.Time   `json:"started"`
	Ended       time.Time   `json:"ended,omitzero"`    // zero while it runs
	Outcome     Outcome     `json:"outcome,omitempty"` // empty while it runs
	Steps       []Step      `json:"steps"`
	Fingerprint string      `json:"fingerprint_sha256,omitempty"` // of the certificate that came of it
}

// Blind is what kept an attempt from seeing anything, when that is all that is known: whoever cannot see a top-level domain
// learns nothing from what else does not answer. Nil otherwise.
func (a Attempt) Blind() (found *Trouble) {
	for _, s := range a.Steps {
		switch {
		case s.Outcome != Failed && s.Outcome != Unclear:
		case s.Trouble.Blind():
			found = s.Trouble
		case s.Outcome == Failed && s.Trouble != nil && s.Trouble.Class != TroubleTransient:
			return nil
		}
	}
	return found
}

// Pending is a TXT value that is about to be, or was, written somewhere and is to be withdrawn. It is a row before it is
// a request, so that a process that dies leaves nothing behind in anybody's zone.
type Pending struct {
	ID      string // random; given by the renewer
	Renewer string // whose DNS writer writes it
	Name    string // the record's full name, without a trailing dot
	Value   string
	Purpose string // for people: what it was written for
	// Until is when whoever wrote it counts as dead unless it says otherwise; from then on anybody withdraws it.
	Until time.Time
}
