package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/notafter/notafter/internal/assure"
)

// printKey is the fingerprint as it is stored: the 32 bytes. What is not a fingerprint in canonical form is kept as it is,
// and stays in the body.
func printKey(fingerprint string) (key []byte, canonical bool) {
	b, err := hex.DecodeString(fingerprint)
	if err == nil && len(b) == 32 && hex.EncodeToString(b) == fingerprint {
		return b, true
	}
	return []byte(fingerprint), false
}

// putCerts gives the rows of the certificates, in their order, inserting those that are new.
func putCerts(ctx context.Context, q querier, certs []assure.Cert) ([]int64, error) {
	ids := make([]int64, len(certs))
	for i, c := range certs {
		key, canonical := printKey(c.Fingerprint)
		const find = `SELECT id FROM cert WHERE fingerprint = $1`
		found := false
		if err := q.each(ctx, func(s scanner) error { found = true; return s.Scan(&ids[i]) }, find, key); err != nil {
			return nil, fmt.Errorf("find a certificate: %w", err)
		}
		if found {
			continue
		}
		if canonical {
			c.Fingerprint = ""
		}
		body, err := json.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("encode a certificate: %w", err)
		}
		// Another process may have inserted it since; then the second look finds it.
		if _, err := q.exec(ctx, `INSERT INTO cert (fingerprint, body) VALUES ($1, $2) ON CONFLICT (fingerprint) DO NOTHING`, key, string(body)); err != nil {
			return nil, fmt.Errorf("insert a certificate: %w", err)
		}
		if err := q.row(ctx, find, key).Scan(&ids[i]); err != nil {
			return nil, fmt.Errorf("find a certificate: %w", err)
		}
	}
	return ids, nil
}

// getCerts adds the certificates of the given rows to known.
func getCerts(ctx context.Context, q querier, ids []int64, known map[int64]assure.Cert) error {
	var missing []int64
	for _, id := range ids {
		if _, ok := known[id]; !ok {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	missing = slices.Compact(missing)
	return chunks(missing, func(part []int64) error {
		return q.each(ctx, func(s scanner) error {
			var id int64
			var key []byte
			var body string
			if err := s.Scan(&id, &key, &body); err != nil {
				return err
			}
			var c assure.Cert
			if err := json.Unmarshal([]byte(body), &c); err != nil {
				return fmt.Errorf("decode certificate %d: %w", id, err)
			}
			if c.Fingerprint == "" {
				c.Fingerprint = hex.EncodeToString(key)
			}
			known[id] = c
			return nil
		}, `SELECT id, fingerprint, body FROM cert WHERE id IN `+marks(1, len(part)), anys(part)...)
	})
}

// refer records that a run refers to certificates.
func refer(ctx context.Context, q querier, run int64, certs []int64) error {
	certs = distinct(certs)
	return chunks(certs, func(part []int64) error {
		args := make([]any, 0, 2*len(part))
		for _, c := range part {
			args = append(args, c, run)
		}
		if _, err := q.exec(ctx, `INSERT INTO cert_ref (cert, run) VALUES `+q.rowMarks(len(part), 2, "")+` ON CONFLICT (cert, run) DO NOTHING`, args...); err != nil {
			return fmt.Errorf("refer to certificates: %w", err)
		}
		return nil
	})
}

// unrefer takes references of a run away, and with the last one the certificate.
func unrefer(ctx context.Context, q querier, run int64, certs []int64) error {
	for _, c := range distinct(certs) {
		if _, err := q.exec(ctx, `DELETE FROM cert_ref WHERE cert = $1 AND run = $2`, c, run); err != nil {
			return fmt.Errorf("drop a reference to a certificate: %w", err)
		}
		if _, err := q.exec(ctx, `DELETE FROM cert WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM cert_ref WHERE cert = $1)`, c); err != nil {
			return fmt.Errorf("drop a certificate: %w", err)
		}
	}
	return nil
}

func distinct(ids []int64) []int64 {
	out := slices.Clone(ids)
	slices.Sort(out)
	return slices.Compact(out)
}

// dropRuns deletes runs that are not anybody's newest, with the certificates that nothing else refers to.
func dropRuns(ctx context.Context, q querier, runs []int64) error {
	for _, id := range runs {
		var fact []byte
		if err := q.row(ctx, `SELECT fact FROM run WHERE id = $1`, id).Scan(&fact); err != nil {
			return fmt.Errorf("read run %d: %w", id, err)
		}
		e, err := openEnvelope(fact)
		if err != nil { // damaged: what it referred to is found the slow way
			e.Certs, err = all(ctx, q, func(s scanner) (c int64, err error) { return c, s.Scan(&c) }, `SELECT cert FROM cert_ref WHERE run = $1`, id)
			if err != nil {
				return fmt.Errorf("find the certificates of run %d: %w", id, err)
			}
		}
		if err := unrefer(ctx, q, id, e.Certs); err != nil {
			return err
		}
		if _, err := q.exec(ctx, `DELETE FROM run WHERE id = $1`, id); err != nil {
			return fmt.Errorf("delete run %d: %w", id, err)
		}
	}
	return nil
}

// loadFacts reads the facts of runs. known holds certificates already read; it grows.
func loadFacts(ctx context.Context, q querier, runs []int64, known map[int64]assure.Cert) (map[int64]assure.Fact, error) {
	type stored struct {
		id   int64
		kind string
		env  envelope
	}
	var list []stored
	var need []int64
	err := chunks(distinct(runs), func(part []int64) error {
		return q.each(ctx, func(s scanner) error {
			var r stored
			var fact []byte
			if err := s.Scan(&r.id, &r.kind, &fact); err != nil {
				return err
			}
			var err error
			if r.env, err = openEnvelope(fact); err != nil {
				return fmt.Errorf("run %d: %w", r.id, err)
			}
			list = append(list, r)
			need = append(need, r.env.Certs...)
			return nil
		}, `SELECT id, kind, fact FROM run WHERE id IN `+marks(1, len(part)), anys(part)...)
	})
	if err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	if err := getCerts(ctx, q, need, known); err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	out := make(map[int64]assure.Fact, len(list))
	for _, r := range list {
		if out[r.id], err = r.env.decode(r.kind, known); err != nil {
			return nil, fmt.Errorf("run %d: %w", r.id, err)
		}
	}
	return out, nil
}
