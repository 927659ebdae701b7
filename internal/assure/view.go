package assure

import "time"

// Row is one declared certificate as an overview shows it. It is derived from judgements and kept beside them.
type Row struct {
	Certificate string           `json:"certificate"`
	Owner       string           `json:"owner,omitempty"`
	Endpoints   int              `json:"endpoints"`
	Links       map[Link]Verdict `json:"links"` // the worst verdict of each link; a link without claims is absent
	Severity    Severity         `json:"severity"`
	Reason      Reason           `json:"reason,omitempty"` // of the worst finding
	Summary     string           `json:"summary,omitempty"`
	// ValidUntil is the earliest moment at which a client of any endpoint is refused; zero when not known.
	ValidUntil time.Time `json:"valid_until,omitzero"`
	RenewBy    time.Time `json:"renew_by,omitzero"`
	SeenAt     time.Time `json:"seen_at,omitzero"` // observation time of the oldest evidence the row rests on
	Incidents  int       `json:"incidents"`        // open ones that touch the certificate
}

// Order is how an overview is sorted.
type Order string

// Orders of an overview.
const (
	ByRunway Order = "runway" // those that are refused by now first, then what is unknown, then the soonest refused client first
	ByName   Order = "name"
)

// RowQuery selects a page of an overview. The zero value asks for the first page of everything by runway.
type RowQuery struct {
	Search   string  // part of a certificate's name or of one of its endpoints, case ignored
	Verdict  Verdict // worst verdict of any link; empty for all
	Link     Link    // with Verdict: of this link only
	Severity Severity
	Order    Order
	Limit    int // at most 500; 0 means 50
	Offset   int
}

// Rows is a page of an overview.
type Rows struct {
	Rows  []Row `json:"rows"`
	Total int   `json:"total"` // matching the query, on all pages
	// Counts are of all certificates, whatever the query: by worst verdict.
	Upheld  int `json:"upheld"`
	Broken  int `json:"broken"`
	Unknown int `json:"unknown"`
}

// ClaimView is one claim with where it stands.
type ClaimView struct {
	Claim      Claim
	Verdict    Verdict // empty before it was first judged
	Findings   []Finding
	Evidence   *Evidence
	ValidUntil time.Time
	RenewBy    time.Time
	NextLook   time.Time
}

// CertificateView is everything known of one declared certificate.
type CertificateView struct {
	Row    Row
	Claims []ClaimView // in the order of links, then subjects; at most as many as asked for
	Total  int         // claims in all
	Open   []Incident
}

// Run is one line of an endpoint's history: an unchanged fact and how long it was seen.
type Run struct {
	Claim     ClaimID
	Subject   string
	Fact      Fact
	FirstSeen time.Time
	LastSeen  time.Time
	Count     int64
}

// IncidentView is an incident with all that belongs to it.
type IncidentView struct {
	Incident   Incident
	Touches    []Touch // worst first, at most as many as asked for
	Touched    int     // touches in all
	Events     []Event // oldest first
	Deliveries []Delivery
	Receipts   []Receipt // oldest first
}

// IncidentQuery selects incidents: those that are open worst first, any others newest first. The zero value asks for the newest 50 of any state.
type IncidentQuery struct {
	State  IncidentState // empty for any; [Open] includes acknowledged ones
	Limit  int
	Offset int
}

// Count is how many findings there are of one reason and severity.
type Count struct {
	Reason   Reason
	Severity Severity
	N        int
}

// Totals are the figures that metrics show.
type Totals struct {
	Findings   []Count
	Claims     map[Link]map[Verdict]int
	Incidents  map[Stage]int // open ones, by stage
	Deliveries map[DeliveryState]int
	// OldestPending is when the longest waiting delivery was due; zero when none waits.
	OldestPending time.Time
	// Soonest is the earliest moment at which any client of any endpoint is refused; zero when not known.
	Soonest time.Time
}
