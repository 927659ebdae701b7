package assure

import "fmt"

// Link is one link of the chain that keeps a certificate alive. Each fails silently in its own way.
type Link string

// The links, in the order in which a certificate passes them.
const (
	Inventory  Link = "inventory"  // everything that serves or holds a certificate is known and claimed
	Permission Link = "permission" // the renewer may write and withdraw the challenge; CAA and delegation allow the CA
	Renewal    Link = "renewal"    // the last attempt succeeded or none is due; a rehearsal succeeded lately
	Issuance   Link = "issuance"   // a certificate with enough life exists for all names
	Serving    Link = "serving"    // every address serves the newest one, with a chain that clients accept
	People     Link = "people"     // somebody is on call and was proven reachable
	Monitor    Link = "monitor"    // the patrol ran on time, saw its control, and its heartbeat was heard
)

// Links lists every link in the order in which tables and pages show them.
func Links() []Link {
	return []Link{Inventory, Permission, Renewal, Issuance, Serving, People, Monitor}
}

// Verdict is the outcome of judging one claim. The zero value is not a verdict.
type Verdict string

const (
	Upheld  Verdict = "upheld"  // seen to be true, by evidence young enough
	Broken  Verdict = "broken"  // seen to be false
	Unknown Verdict = "unknown" // missing, stale or blind: could not be determined
)

// Worse reports whether v is worse than w: broken is worse than unknown, unknown is worse than upheld.
func (v Verdict) Worse(w Verdict) bool { return v.rank() > w.rank() }

func (v Verdict) rank() int {
	switch v {
	case Broken:
		return 2
	case Unknown:
		return 1
	default:
		return 0
	}
}

// Severity says how soon a person must act on a finding.
type Severity string

const (
	Info   Severity = "info"   // worth knowing; nobody is told
	Ticket Severity = "ticket" // somebody must act, within working hours
	Page   Severity = "page"   // somebody must act now
)

func (s Severity) rank() int {
	switch s {
	case Page:
		return 2
	case Ticket:
		return 1
	default:
		return 0
	}
}

// Worse reports whether s is more urgent than t.
func (s Severity) Worse(t Severity) bool { return s.rank() > t.rank() }

// Stage is how far an incident has got. An acknowledgement covers one stage; a worse one has a new deduplication key
// and pages afresh.
type Stage int

const (
	StageNone   Stage = iota // nobody is told
	StageTicket              // work to be done while there is time
	StagePage                // a person must act now to prevent harm
	StageOutage              // clients are being refused
)

func (s Stage) String() string {
	switch s {
	case StageNone:
		return "none"
	case StageTicket:
		return "ticket"
	case StagePage:
		return "page"
	case StageOutage:
		return "outage"
	default:
		return fmt.Sprintf("stage%d", int(s))
	}
}
