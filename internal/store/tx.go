package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Tx is one transaction of the ledger; see [patrol.Tx]. It is used by one goroutine. Claims are read once and written
// once: what Record and Apply change is kept until it must be in the tables, at the latest at Commit.
type Tx struct {
	db    *DB
	tx    *sql.Tx
	q     querier
	rows  map[assure.ClaimID]*row // nil: not declared
	facts map[int64]assure.Fact   // of runs recorded here
	certs map[int64]assure.Cert
}

// row is a claim's row as the transaction changes it.
type row struct {
	claim                     assure.Claim
	num                       int64
	next                      int64
	run, alternate, returned  int64
	key                       string
	first, seen, looks        int64
	observer                  string
	sum, closed               int64
	stale, asked              int64
	verdict, severity, stage  int
	validUntil, renewBy       int64
	reasons, findings         string
	looked, judged, resummary bool // which columns differ from the table, and whether the certificate's summary may
}

// Begin opens a transaction. Its methods and Commit may return [assure.ErrConflict]: nothing was written, begin again.
func (db *DB) Begin(ctx context.Context) (*Tx, error) {
	tx, err := db.begin(ctx)
	if err != nil {
		return nil, err
	}
	return &Tx{db: db, tx: tx, q: db.writer(tx), rows: map[assure.ClaimID]*row{}, facts: map[int64]assure.Fact{}, certs: map[int64]assure.Cert{}}, nil
}

// Commit writes what is pending and commits. An error that is not [assure.ErrConflict] may mean that the transaction was
// committed and only the answer lost; doing the work again is safe.
func (t *Tx) Commit(ctx context.Context) error {
	if err := t.flush(ctx); err != nil {
		return errors.Join(t.db.wrap(err, "commit"), rollback(t.tx))
	}
	if err := t.db.commit(t.tx); err != nil {
		return errors.Join(t.db.wrap(err, "commit"), rollback(t.tx))
	}
	return nil
}

// Rollback ends the transaction without a trace. After Commit it does nothing.
func (t *Tx) Rollback(context.Context) error { return rollback(t.tx) }

const rowColumns = claimColumns + `, num, next_look, run, alternate, returned, run_key, run_first, seen_at, looks, observer, fact_sum, closed,
	stale_at, asked_until, verdict, severity, stage, valid_until, renew_by, reasons, findings`

// load reads, and on PostgreSQL locks in the order of their numbers, the rows of declared claims that were not read yet.
func (t *Tx) load(ctx context.Context, ids []assure.ClaimID) error {
	var nums []int64
	wanted := map[int64]assure.ClaimID{}
	for _, id := range ids {
		if _, ok := t.rows[id]; !ok {
			t.rows[id] = nil
			num := numberOf(id)
			nums = append(nums, num)
			wanted[num] = id
		}
	}
	slices.Sort(nums)
	return chunks(nums, func(part []int64) error {
		return t.q.each(ctx, func(s scanner) error {
			var r row
			var c claimDest
			err := s.Scan(c.dest(&r.num, &r.next, &r.run, &r.alternate, &r.returned, &r.key, &r.first, &r.seen, &r.looks, &r.observer, &r.sum, &r.closed,
				&r.stale, &r.asked, &r.verdict, &r.severity, &r.stage, &r.validUntil, &r.renewBy, &r.reasons, &r.findings)...)
			if err != nil {
				return err
			}
			r.claim = c.claim()
			if r.claim.ID == wanted[r.num] {
				t.rows[r.claim.ID] = &r
			}
			return nil
		}, `SELECT `+rowColumns+` FROM claim WHERE num IN `+marks(1, len(part))+` AND gone = 0 ORDER BY num`+t.db.d.forUpdate, anys(part)...)
	})
}

// flush writes the changed columns of claims.
func (t *Tx) flush(ctx context.Context) error {
	var looked, judged []*row
	for _, r := range t.rows {
		if r != nil && r.looked {
			looked = append(looked, r)
		}
		if r != nil && r.judged {
			judged = append(judged, r)
		}
	}
	order := func(a, b *row) int { return cmp.Compare(a.num, b.num) }
	slices.SortFunc(looked, order)
	slices.SortFunc(judged, order)
	if err := chunks(looked, func(part []*row) error {
		args := make([]any, 0, 14*len(part))
		for _, r := range part {
			args = append(args, r.num, r.next, r.run, r.alternate, r.returned, r.key, r.first, r.seen, r.looks, r.observer, r.sum, r.closed, r.stale, r.asked)
		}
		_, err := t.q.exec(ctx, `UPDATE claim SET next_look = v.column2, run = v.column3, alternate = v.column4, returned = v.column5, run_key = v.column6,
			run_first = v.column7, seen_at = v.column8, looks = v.column9, observer = v.column10, fact_sum = v.column11, closed = v.column12,
			stale_at = v.column13, asked_until = v.column14
			FROM (VALUES `+t.q.rowMarks(len(part), 14, "iiiiitiiitiiii")+`) AS v WHERE claim.num = v.column1`, args...)
		return err
	}); err != nil {
		return fmt.Errorf("write evidence: %w", err)
	}
	if err := chunks(judged, func(part []*row) error {
		args := make([]any, 0, 8*len(part))
		for _, r := range part {
			args = append(args, r.num, r.verdict, r.severity, r.stage, r.validUntil, r.renewBy, r.reasons, r.findings)
		}
		_, err := t.q.exec(ctx, `UPDATE claim SET verdict = v.column2, severity = v.column3, stage = v.column4, valid_until = v.column5, renew_by = v.column6,
			reasons = v.column7, findings = v.column8
			FROM (VALUES `+t.q.rowMarks(len(part), 8, "iiiiiitt")+`) AS v WHERE claim.num = v.column1`, args...)
		return err
	}); err != nil {
		return fmt.Errorf("write judgements: %w", err)
	}
	for _, r := range looked {
		r.looked = false
	}
	for _, r := range judged {
		r.judged = false
	}
	return nil
}

// Cases returns what judging the claims needs, in the order of ids; claims that are not declared are left out. Nothing
// here knows yet what was issued for a certificate, so Issued is nil.
func (t *Tx) Cases(ctx context.Context, ids []assure.ClaimID) ([]assure.Case, error) {
	if err := t.load(ctx, ids); err != nil {
		return nil, t.db.wrap(err, "read claims")
	}
	var need []int64
	for _, id := range ids {
		if r := t.rows[id]; r != nil {
			for _, run := range []int64{r.run, r.alternate} {
				if _, ok := t.facts[run]; !ok && run != 0 {
					need = append(need, run)
				}
			}
		}
	}
	facts, err := loadFacts(ctx, t.q, need, t.certs)
	if err != nil {
		return nil, t.db.wrap(err, "read evidence")
	}
	out := make([]assure.Case, 0, len(ids))
	for _, id := range ids {
		r := t.rows[id]
		if r == nil {
			continue
		}
		c := assure.Case{Claim: r.claim, ValidUntil: moment(r.validUntil), RenewBy: moment(r.renewBy)}
		if c.Prior, err = decodeFindings(r.findings); err != nil {
			return nil, fmt.Errorf("read claims: %q: %w", id, err)
		}
		fact := func(run int64) assure.Fact {
			if f, ok := t.facts[run]; ok {
				return f
			}
			return facts[run]
		}
		c.Evidence = r.evidence(fact)
		out = append(out, c)
	}
	return out, nil
}

// evidence is the claim's newest run; fact gives the fact of a run.
func (r *row) evidence(fact func(int64) assure.Fact) *assure.Evidence {
	if r.run == 0 {
		return nil
	}
	e := &assure.Evidence{Claim: r.claim.ID, Fact: fact(r.run), Observer: r.observer, FirstSeen: moment(r.first), LastSeen: moment(r.seen), Count: r.looks}
	if r.alternate != 0 {
		e.Alternate, e.Returned = fact(r.alternate), moment(r.returned)
	}
	return e
}

func decodeFindings(text string) ([]assure.Finding, error) {
	if text == "" {
		return nil, nil
	}
	var fs []assure.Finding
	if err := json.Unmarshal([]byte(text), &fs); err != nil {
		return nil, fmt.Errorf("decode findings: %w", err)
	}
	return fs, nil
}

func encodeFindings(fs []assure.Finding) (string, error) {
	if len(fs) == 0 {
		return "", nil
	}
	b, err := json.Marshal(fs)
	if err != nil {
		return "", fmt.Errorf("encode findings: %w", err)
	}
	return string(b), nil
}

// Docket returns the open incidents that have one of the causes or touch one of the claims, the touches of the claims,
// and how many others each incident touches. On PostgreSQL the incidents stay locked until the transaction ends, so that
// nobody closes one while another adds to it.
func (t *Tx) Docket(ctx context.Context, causes []string, ids []assure.ClaimID) (assure.Docket, error) {
	d, err := t.docket(ctx, causes, ids)
	return d, t.db.wrap(err, "read open incidents")
}

func (t *Tx) docket(ctx context.Context, causes []string, ids []assure.ClaimID) (assure.Docket, error) {
	d := assure.Docket{Elsewhere: map[assure.IncidentID]int{}, ElsewhereStage: map[assure.IncidentID]assure.Stage{}, ElsewhereHurts: map[assure.IncidentID]time.Time{}}
	found := map[string]bool{}
	add := func(s scanner) error {
		var id string
		err := s.Scan(&id)
		found[id] = true
		return err
	}
	if err := chunks(causes, func(part []string) error {
		args := make([]any, len(part))
		for i, c := range part {
			args[i] = clean(c)
		}
		return t.q.each(ctx, add, `SELECT id FROM incident WHERE state <> 'resolved' AND cause IN `+marks(1, len(part)), args...)
	}); err != nil {
		return d, err
	}
	claims := make([]string, len(ids))
	for i, id := range ids {
		claims[i] = string(id)
	}
	slices.Sort(claims)
	claims = slices.Compact(claims)
	if err := chunks(claims, func(part []string) error {
		return t.q.each(ctx, add, `SELECT DISTINCT t.incident FROM touch t JOIN incident i ON i.id = t.incident AND i.state <> 'resolved' WHERE t.gone = 0 AND t.claim IN `+marks(1, len(part)), anys(part)...)
	}); err != nil {
		return d, err
	}
	if len(found) == 0 {
		return d, nil
	}
	incidents := make([]string, 0, len(found))
	for id := range found {
		incidents = append(incidents, id)
	}
	slices.Sort(incidents)
	open := map[assure.IncidentID]bool{}
	err := chunks(incidents, func(part []string) error {
		return t.q.each(ctx, func(s scanner) error {
			i, err := scanIncident(s)
			if err == nil {
				d.Incidents = append(d.Incidents, i)
				open[i.ID] = true
			}
			return err
		}, `SELECT body FROM incident WHERE state <> 'resolved' AND id IN `+marks(1, len(part))+` ORDER BY id`+t.db.d.forUpdate, anys(part)...)
	})
	if err != nil {
		return d, err
	}
	type level struct {
		incident assure.IncidentID
		stage    assure.Stage
	}
	mine := map[level]int{}
	err = chunks(claims, func(part []string) error {
		return t.q.each(ctx, func(s scanner) error {
			touch, err := scanTouch(s)
			if err == nil && open[touch.Incident] {
				d.Touches = append(d.Touches, touch)
				mine[level{touch.Incident, touch.Finding.Stage}]++
			}
			return err
		}, `SELECT `+touchColumns+` FROM touch WHERE gone = 0 AND claim IN `+marks(1, len(part))+` ORDER BY claim, incident`, anys(part)...)
	})
	if err != nil {
		return d, err
	}
	for _, i := range d.Incidents {
		if err := t.q.each(ctx, func(s scanner) error {
			var stage, n int
			if err := s.Scan(&stage, &n); err != nil {
				return err
			}
			if n -= mine[level{i.ID, assure.Stage(stage)}]; n > 0 {
				d.Elsewhere[i.ID] += n
				d.ElsewhereStage[i.ID] = max(d.ElsewhereStage[i.ID], assure.Stage(stage))
			}
			return nil
		}, `SELECT stage, count(*) FROM touch WHERE incident = $1 AND gone = 0 GROUP BY stage`, string(i.ID)); err != nil {
			return d, err
		}
		if d.Elsewhere[i.ID] > 0 && d.ElsewhereStage[i.ID] < i.Stage {
			at, err := t.hurtsElsewhere(ctx, i.ID, claims)
			if err != nil {
				return d, err
			}
			if !at.IsZero() {
				d.ElsewhereHurts[i.ID] = at
			}
		}
	}
	return d, nil
}

// hurtsElsewhere is the earliest moment at which a touch of an incident hurts, of those by claims that are not among the
// sorted ones.
func (t *Tx) hurtsElsewhere(ctx context.Context, id assure.IncidentID, mine []string) (earliest time.Time, err error) {
	err = t.q.each(ctx, func(s scanner) error {
		var claim string
		var at int64
		if err := s.Scan(&claim, &at); err != nil {
			return err
		}
		if _, ok := slices.BinarySearch(mine, claim); !ok && earliest.IsZero() {
			earliest = moment(at)
		}
		return nil
	}, `SELECT claim, hurts_at FROM touch WHERE incident = $1 AND gone = 0 AND hurts_at > 0 ORDER BY hurts_at LIMIT $2`, string(id), len(mine)+1)
	return earliest, err
}

func scanIncident(s scanner) (assure.Incident, error) {
	var i assure.Incident
	var body string
	if err := s.Scan(&body); err != nil {
		return i, err
	}
	if err := json.Unmarshal([]byte(body), &i); err != nil {
		return i, fmt.Errorf("decode an incident: %w", err)
	}
	return i, nil
}

const touchColumns = `incident, claim, certificate, subject, clear, clear_at, finding`

func scanTouch(s scanner) (assure.Touch, error) {
	var t assure.Touch
	var at int64
	var finding string
	if err := s.Scan(&t.Incident, &t.Claim, &t.Certificate, &t.Subject, &t.Clear, &at, &finding); err != nil {
		return t, err
	}
	t.ClearAt = moment(at)
	if err := json.Unmarshal([]byte(finding), &t.Finding); err != nil {
		return t, fmt.Errorf("decode a finding: %w", err)
	}
	return t, nil
}

// standStill is how long an endpoint that went back and forth must stand still until its evidence has no alternate.
func standStill(every time.Duration) time.Duration {
	return max(10*time.Minute, min(24*time.Hour, 6*every))
}
