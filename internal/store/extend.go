package store

import (
	"context"
	"time"
)

// Extend makes every lease of a shard that owner still holds at now last until now+ttl. A lease that has run out may be
// another's by now and is left alone.
func (db *DB) Extend(ctx context.Context, owner string, now time.Time, ttl time.Duration) error {
	_, err := db.writer(nil).exec(ctx, `UPDATE shard SET lease_until = $3 WHERE lease_owner = $1 AND lease_until > $2`, clean(owner), micro(now), micro(now.Add(ttl)))
	return db.wrap(err, "extend the leases of shards")
}
