package store

import (
	"context"
	"fmt"

	"github.com/notafter/notafter/internal/assure"
)

// Firing returns the notices that a channel took and that still hold: of each incident that is not resolved, the
// trigger of the worst stage that was sent, for each route. Services that forget are told of them again.
func (db *DB) Firing(ctx context.Context, channel string) ([]assure.Delivery, error) {
	var out []assure.Delivery
	err := db.view(ctx, "read what "+channel+" was told", func(q querier) error {
		ids, err := all(ctx, q, func(s scanner) (id int64, err error) { return id, s.Scan(&id) },
			`SELECT max(d.id) FROM delivery d JOIN notice n ON n.id = d.notice JOIN incident i ON i.id = d.incident
			 WHERE d.channel = $1 AND d.state = 'sent' AND n.kind = 'trigger' AND i.state <> 'resolved' GROUP BY d.incident, n.route`, channel)
		if err != nil {
			return err
		}
		for _, id := range ids {
			d := assure.Delivery{ID: id, Channel: channel, State: assure.DeliverySent}
			var incident string
			if err := q.row(ctx, `SELECT notice, incident, attempt FROM delivery WHERE id = $1`, id).Scan(&d.Notice.ID, &incident, &d.Attempt); err != nil {
				return fmt.Errorf("delivery %d: %w", id, err)
			}
			if d.Notice, err = readNotice(ctx, q, d.Notice.ID); err != nil {
				return fmt.Errorf("notice of delivery %d: %w", id, err)
			}
			if err := fill(ctx, q, &d, incident); err != nil {
				return fmt.Errorf("incident of delivery %d: %w", id, err)
			}
			out = append(out, d)
		}
		return nil
	})
	return out, err
}
