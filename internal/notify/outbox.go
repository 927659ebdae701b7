package notify

import (
	"context"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Outbox holds deliveries as rows of a database; it is the truth about what has been sent and what has not.
type Outbox interface {
	// Take leases the delivery to owner until the given time and counts the attempt. ok is false when there is nothing to
	// do: it is not pending, not due at now, leased to somebody else, or an earlier delivery of the same incident through
	// the same channel is still pending. The last keeps a resolution from being overtaken by the page it resolves.
	Take(ctx context.Context, id int64, owner string, now, until time.Time) (d assure.Delivery, ok bool, err error)
	// Record appends the receipt of an attempt, puts the delivery in the given state and ends the lease. For
	// DeliveryPending, next is when to try again. It is idempotent for the same delivery and attempt.
	Record(ctx context.Context, r assure.Receipt, state assure.DeliveryState, next time.Time) error
}
