package notify

import (
	"context"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// AttemptLimit is how long one attempt to deliver or to probe may last in all, whatever the service does.
const AttemptLimit = 15 * time.Second

// Sender makes one attempt to get a message through one channel. Safe for concurrent use. It never panics and never
// retries.
type Sender interface {
	// Name is what the configuration calls the channel.
	Name() string
	// Kind is the sort of channel, such as "slack".
	Kind() string
	// Send returns within [AttemptLimit], or soon after ctx is cancelled. The outcome holds no secret.
	Send(ctx context.Context, m Message) Outcome
}

// Prober is a Sender whose service lets credentials be checked without telling anybody anything. checked is false
// when this channel cannot be checked after all; the outcome is then empty.
type Prober interface {
	Probe(ctx context.Context) (o Outcome, checked bool)
}

// Refresher is a Sender whose service forgets what it is not told again.
type Refresher interface {
	// RefreshEvery is how often a message that still holds must be sent again; 0 when it need not be.
	RefreshEvery() time.Duration
}

// Superseder is a Sender whose service keeps one alert for each deduplication key, and so must be told when a worse
// stage has taken the place of an earlier one. Other channels are not given such notices: people have been told of the
// worse stage already.
type Superseder interface {
	Supersedes() bool
}

// Outcome is how one attempt ended.
type Outcome struct {
	Class assure.ReceiptClass
	// Code is the HTTP or SMTP status, 0 when the service said nothing.
	Code int
	// Detail is one line for people, without secrets and control characters.
	Detail string
	// ProviderID is what the service calls the message, when it told.
	ProviderID string
	// RetryAfter is how long the service asked to be left alone, 0 when it did not ask.
	RetryAfter time.Duration
	// Impaired is set on an accepted outcome when a part of the channel did not take the message (a replica, a
	// recipient): the worst class among those parts.
	Impaired assure.ReceiptClass
	// Untried is set when there was nothing to send: the outcome says nothing about the channel.
	Untried bool
}

// Delivered is the outcome as a fact about the channel. An impaired channel is not well, although the message went out.
func (o Outcome) Delivered(channel string) assure.Delivered {
	d := assure.Delivered{Channel: channel, Class: o.Class, Detail: o.Detail}
	if o.Class == assure.Accepted && o.Impaired != "" {
		d.Class = o.Impaired
	}
	return d
}

// badness orders classes: the higher, the less a retry by itself can help.
func badness(c assure.ReceiptClass) int {
	switch c {
	case assure.Accepted:
		return 0
	case assure.RateLimited:
		return 1
	case assure.Temporary:
		return 2
	case assure.Denied:
		return 3
	default:
		return 4
	}
}
