package assure

import "time"

// ReceiptClass says how an attempt to deliver ended and whether trying again can help.
type ReceiptClass string

const (
	Accepted    ReceiptClass = "accepted"     // the channel took it. Not the same as: somebody was reached
	Temporary   ReceiptClass = "temporary"    // network error, time-out or 5xx: try again
	RateLimited ReceiptClass = "rate_limited" // 429 or the channel's own limit: try again later
	Denied      ReceiptClass = "denied"       // 401, 403, 404, 410, bad credentials: a person must mend the channel; tell another one
	Rejected    ReceiptClass = "rejected"     // 400 and the like: this message will never be taken
)

// Retry reports whether trying the same delivery again can help by itself.
func (c ReceiptClass) Retry() bool { return c == Temporary || c == RateLimited }

// DeliveryState is where a delivery stands.
type DeliveryState string

const (
	DeliveryPending DeliveryState = "pending" // not tried yet, or to be tried again at its next time
	DeliverySent    DeliveryState = "sent"    // accepted by the channel
	DeliveryFailed  DeliveryState = "failed"  // given up: denied or rejected
)

// Delivery is one notice on its way through one channel, together with what the message is made of.
type Delivery struct {
	ID       int64
	Notice   Notice
	Channel  string
	State    DeliveryState
	Attempt  int // attempts begun so far, this one included
	Next     time.Time
	Incident Incident // as it stands when the delivery was leased
	// Certificates and Endpoints (what is looked at from outside) are samples of what the incident touches, worst first, at
	// most ten of each; Touched counts all touched claims.
	Certificates []string
	Endpoints    []string
	Touched      int
	// Stakes are certificates that the incident touches with the moment from which their clients are refused, the soonest
	// first, at most ten, each once.
	Stakes []Stake
	// ProviderID is what the channel called an earlier notice of this incident, when it told.
	ProviderID string
}

// Stake is a certificate that something is at stake for.
type Stake struct {
	Certificate string
	HurtsAt     time.Time // when the first client is or was refused if nothing is done; zero when not known
}

// Receipt is the outcome of one attempt. Receipts are never changed or deleted while the incident is kept: they are
// the post-mortem's evidence.
type Receipt struct {
	Delivery   int64         `json:"delivery"`
	Channel    string        `json:"channel"`
	Attempt    int           `json:"attempt"`
	At         time.Time     `json:"at"`
	Class      ReceiptClass  `json:"class"`
	Code       int           `json:"code,omitempty"` // HTTP or SMTP status; 0 when there was none
	Detail     string        `json:"detail,omitempty"`
	ProviderID string        `json:"provider_id,omitempty"`
	RetryAfter time.Duration `json:"-"` // as the channel asked; 0 when it did not
}
