package assure

import (
	"errors"
	"time"
)

// Outcome says how one step of a renewal or a rehearsal ended.
type Outcome string

const (
	Done    Outcome = "done"    // it was tried and worked
	Failed  Outcome = "failed"  // it was tried and seen not to work
	Unclear Outcome = "unclear" // it was tried, and whether it works could not be determined
	Skipped Outcome = "skipped" // it was not tried; the detail says why
)

// TroubleClass says what sort of refusal or failure it was, and with it whether trying again can help.
type TroubleClass string

const (
	TroubleDenied    TroubleClass = "denied"    // the identity is known and may not: a person must grant it again
	TroubleExpired   TroubleClass = "expired"   // the credential itself is expired, revoked or wrong
	TroubleMissing   TroubleClass = "missing"   // the zone, record set, account or profile does not exist
	TroubleForbidden TroubleClass = "forbidden" // a rule forbids it: CAA, a policy, a lock, a deny assignment, the CA's own rules
	TroubleConflict  TroubleClass = "conflict"  // somebody else changed the same thing at the same time, every time it was tried
	TroubleThrottled TroubleClass = "throttled" // too many requests; RetryAfter says when to come back
	TroubleLagging   TroubleClass = "lagging"   // some servers do not have yet what others have
	TroubleInvalid   TroubleClass = "invalid"   // what was asked for is wrong: a request, a name, a setting
	TroubleBroken    TroubleClass = "broken"    // the other side works wrongly: lame delegation, bogus DNSSEC, nonsense for an answer
	TroubleTransient TroubleClass = "transient" // no answer, time-out, 5xx, connection refused: may pass by itself
)

// Retry reports whether trying again without a person's help can work.
func (c TroubleClass) Retry() bool {
	switch c {
	case TroubleConflict, TroubleThrottled, TroubleLagging, TroubleTransient:
		return true
	}
	return false
}

// Trouble is why something that a renewal needs did not work, with what a person needs to mend it. It is the error that
// DNS writers, permission checks, the DNS checker, the ACME engine and installers return. None of its texts holds a
// secret; all of them may come from outside, so whoever shows them clips them.
type Trouble struct {
	Reason Reason       `json:"reason"` // the code that a finding about it carries
	Class  TroubleClass `json:"class"`
	// Identity is who was refused, as the other side names it: an object id, a key name, an account's address.
	Identity string `json:"identity,omitempty"`
	// Action is what was refused, as the other side names it, such as "Microsoft.Network/dnsZones/TXT/write".
	Action string `json:"action,omitempty"`
	// Scope is where: a resource id, a zone, a server, a path.
	Scope string `json:"scope,omitempty"`
	// Detail is what was said or seen, in one sentence without a final dot.
	Detail string `json:"detail"`
	// Remedy is what to do about it, one sentence; empty when the reason alone says it.
	Remedy string `json:"remedy,omitempty"`
	// RetryAfter is how long the other side asked us to wait; zero when it did not.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	// Happened is true when the failure came after the change was, or may have been, made (a lost answer).
	Happened bool `json:"happened,omitempty"`
}

// ScopeResolvers is the scope of [DNSFailed] when whoever asked could see nothing of DNS at all: its own resolvers are what
// has to be mended, and nothing is known of the name that was asked about.
const ScopeResolvers = "the resolvers"

// Blind reports whether the trouble is that of whoever looked, and says nothing about what was looked at.
func (t *Trouble) Blind() bool { return t != nil && t.Reason == DNSFailed && t.Scope == ScopeResolvers }

func (t *Trouble) Error() string {
	s := t.Detail
	if t.Action != "" || t.Identity != "" {
		s += " ("
		if t.Identity != "" {
			s += t.Identity
		}
		if t.Action != "" {
			if t.Identity != "" {
				s += ", "
			}
			s += t.Action
		}
		if t.Scope != "" {
			s += " at " + t.Scope
		}
		s += ")"
	}
	return s
}

// TroubleOf finds the Trouble in an error's chain. An error without one is transient trouble of the given reason: what
// cannot be classified must not look final.
func TroubleOf(err error, otherwise Reason) *Trouble {
	if err == nil {
		return nil
	}
	var t *Trouble
	if errors.As(err, &t) {
		return t
	}
	return &Trouble{Reason: otherwise, Class: TroubleTransient, Detail: err.Error()}
}

// Step is one thing that a renewal or a rehearsal did, in the order in which it did them.
type Step struct {
	// Name is stable: see the constants below.
	Name    string        `json:"name"`
	Target  string        `json:"target,omitempty"` // the name, zone, server, path or endpoint that it was about
	Outcome Outcome       `json:"outcome"`
	Detail  string        `json:"detail,omitempty"` // what was seen, one sentence
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took"` // nanoseconds
	Trouble *Trouble      `json:"trouble,omitempty"`
}

// Names of steps.
const (
	StepDirectory   = "directory"   // the CA's directory answers and offers the profile
	StepAccount     = "account"     // the account at the CA is valid
	StepCAA         = "caa"         // CAA lets the CA issue
	StepDelegation  = "delegation"  // parent and child agree on the zone's name servers, and each answers for it
	StepAsk         = "ask"         // the cloud was asked whether the identity may write
	StepPlace       = "place"       // the place where it is installed can be written, and the reload command is there
	StepOrder       = "order"       // an order was placed
	StepPresent     = "present"     // the challenge was made to be seen: a TXT value written, a token served
	StepPropagation = "propagation" // every authoritative server shows it, then the public resolvers
	StepValidate    = "validate"    // the CA looked and was satisfied
	StepWithdraw    = "withdraw"    // the challenge was taken away again
	StepDeactivate  = "deactivate"  // the authorization was given back, so that it masks no later failure
	StepFinalize    = "finalize"    // the CSR was sent and the certificate came
	StepMatch       = "match"       // key, certificate and names belong together
	StepInstall     = "install"     // files, secret or webhook have the new pair
	StepReload      = "reload"      // the server was told
	StepSeen        = "seen"        // every address serves the new leaf
	StepRollback    = "rollback"    // the pair from before was put back
)

// Answer is what a cloud says about a permission.
type Answer string

// Answers.
const (
	Allowed   Answer = "allowed"
	Forbidden Answer = "denied"
	Untold    Answer = "unclear" // it could not be asked, or what it said does not decide
)

// Access is a cloud's answer about one action at one scope, for one identity.
type Access struct {
	Answer   Answer `json:"answer"`
	Identity string `json:"identity"`
	Action   string `json:"action"`
	Scope    string `json:"scope"`
	// Grants are what carries it when it is allowed, as the cloud names them: ids of role assignments, policies.
	Grants []string `json:"grants,omitempty"`
	// Whole says that Grants are all that carries it; false where the cloud may name one of several.
	Whole bool `json:"whole,omitempty"`
	// Blockers are what stands in the way although a grant exists: locks, deny assignments, boundaries.
	Blockers []string `json:"blockers,omitempty"`
	// Expires is when the credential itself ends; zero when it does not or that is not told.
	Expires time.Time `json:"expires,omitzero"`
	Detail  string    `json:"detail,omitempty"` // what was asked and answered, one sentence
	// Trouble is set when the answer is not Allowed, with the reason [DNSWriteDenied], [DNSWriteFailed] (no grant is
	// missing, and yet nothing would be taken), [CredentialExpiring] or [PermissionUnclear].
	Trouble *Trouble `json:"trouble,omitempty"`
}

// RecordPlace is where a record really lives.
type RecordPlace struct {
	Name    string       `json:"name"`              // the record to write, after aliases, lower case, without a trailing dot
	Aliases []string     `json:"aliases,omitempty"` // the names passed on the way, in order, the one asked for first; empty when there was none
	Zone    string       `json:"zone"`              // the zone that holds it, without a trailing dot
	Servers []NameServer `json:"servers"`           // every address of every authoritative server of the zone
}

// NameServer is one address of an authoritative server.
type NameServer struct {
	Name    string `json:"name"`
	Address string `json:"address"` // ip:port
}

// CAAQuestion is what to ask CAA records about (RFC 8659, RFC 8657).
type CAAQuestion struct {
	Name     string   // the DNS name that a certificate is wanted for, without "*."
	Wildcard bool     // the certificate is for "*." and the name
	Issuers  []string // domains that the CA answers to in CAA, from its directory (caaIdentities)
	Account  string   // the account's URL, for accounturi
	Method   string   // the challenge's type, such as "dns-01", for validationmethods
}
