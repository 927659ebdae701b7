package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Climbed says when each rung of the rehearsals of declared certificates was last climbed with success, as far as that is
// still kept. It looks up one attempt for each rung instead of reading them all.
func (db *DB) Climbed(ctx context.Context, certificates []string) (map[string]map[assure.AttemptKind]time.Time, error) {
	names := make([]string, len(certificates))
	for i, c := range certificates {
		names[i] = clean(c)
	}
	slices.Sort(names)
	var rungs []string
	for _, k := range assure.Ladder() {
		rungs = append(rungs, "SELECT '"+string(k)+"' AS kind")
	}
	out := map[string]map[assure.AttemptKind]time.Time{}
	err := db.view(ctx, "read when rehearsals last succeeded", func(q querier) error {
		return chunks(slices.Compact(names), func(part []string) error {
			return q.each(ctx, func(s scanner) error {
				var name, kind string
				var ended sql.NullInt64
				if err := s.Scan(&name, &kind, &ended); err != nil || !ended.Valid {
					return err
				}
				if out[name] == nil {
					out[name] = map[assure.AttemptKind]time.Time{}
				}
				out[name][assure.AttemptKind(kind)] = moment(ended.Int64)
				return nil
			}, `SELECT c.name, k.kind, (SELECT a.ended FROM attempt a WHERE a.certificate = c.name AND a.kind = k.kind AND a.outcome = 'done' ORDER BY a.id DESC LIMIT 1)
				FROM certificate c CROSS JOIN (`+strings.Join(rungs, " UNION ALL ")+`) k WHERE c.name IN `+marks(1, len(part)), anys(part)...)
		})
	})
	return out, err
}
