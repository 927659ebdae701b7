package store

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// settledFor is how old the last answer on record must be for an equal one to be written down again: whoever asks about
// many certificates at once gets the same answer for each.
const settledFor = time.Minute

// keepExpected is how long what nobody asks about any more is kept: the certificate or its renewer is gone.
const keepExpected = 7 * 24 * time.Hour

func scanExpected(s scanner) (e assure.Expected, err error) {
	var body string
	if err := s.Scan(&body); err != nil {
		return e, err
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		return e, fmt.Errorf("decode what is expected: %w", err)
	}
	return e, nil
}

// Expected returns what a renewer's permissions are known to rest on, of all renewers when none is named, ordered by
// renewer, scope and action.
func (db *DB) Expected(ctx context.Context, renewer string) ([]assure.Expected, error) {
	out, err := all(ctx, db.reader(), scanExpected, `SELECT body FROM expected_grant WHERE renewer = $1 OR $1 = '' ORDER BY renewer, scope, action`, clean(renewer))
	return out, db.wrap(err, "read what is expected")
}

// ExpectedOf returns what is expected of each of the actions at their scopes, in their order; the zero value where nothing
// is. Only the action and the scope of each count.
func (db *DB) ExpectedOf(ctx context.Context, renewer string, list []assure.Access) ([]assure.Expected, error) {
	out, err := db.expectedOf(ctx, db.reader(), clean(renewer), storable(list), "")
	return out, db.wrap(err, "read what is expected")
}

// NoteAccess takes in what a cloud answered about a renewer's permissions, and returns what is expected of them now, in
// the order of the answers.
func (db *DB) NoteAccess(ctx context.Context, renewer string, list []assure.Access, at time.Time) ([]assure.Expected, error) {
	what := fmt.Sprintf("note the permissions of %.100q", renewer)
	at = cut(at)
	renewer, list = clean(renewer), storable(list)
	// Most of the time nothing is new, and the connection that writes is left alone.
	was, err := db.expectedOf(ctx, db.reader(), renewer, list, "")
	if err != nil {
		return nil, db.wrap(err, what)
	}
	plans, err := applied(ctx, db.reader(), "")
	if err != nil {
		return nil, db.wrap(err, what)
	}
	out, _, settled := assure.HeedPlans(assure.NoteAccess(was, renewer, list, at), plans, at)
	fresh := len(settled) == 0
	for i := range out {
		fresh = fresh && at.Sub(was[i].Asked) < settledFor && sameButTimes(was[i], out[i])
	}
	if fresh {
		return out, nil
	}
	err = db.transact(ctx, what, func(q querier) error {
		was, err := db.expectedOf(ctx, q, renewer, list, db.d.forUpdate)
		if err != nil {
			return err
		}
		plans, err := applied(ctx, q, db.d.forUpdate)
		if err != nil {
			return err
		}
		var learned []assure.Expected
		var settled []assure.Planned
		out, learned, settled = assure.HeedPlans(assure.NoteAccess(was, renewer, list, at), plans, at)
		for _, e := range out {
			if err := putExpected(ctx, q, e); err != nil {
				return err
			}
		}
		for _, p := range settled {
			if err := putPlanned(ctx, q, p); err != nil {
				return err
			}
		}
		return auditLearned(ctx, q, learned, at)
	})
	return out, err
}

// storable are answers in texts that can be kept.
func storable(list []assure.Access) []assure.Access {
	out := make([]assure.Access, len(list))
	for i, a := range list {
		a.Identity, a.Action, a.Scope = clean(a.Identity), clean(a.Action), clean(a.Scope)
		var grants []string
		for _, g := range a.Grants {
			grants = append(grants, clean(g))
		}
		a.Grants = grants
		out[i] = a
	}
	return out
}

func sameButTimes(a, b assure.Expected) bool {
	a.Asked, a.Held = b.Asked, b.Held
	return reflect.DeepEqual(a, b)
}

// expectedOf reads the expectations that answers are about; the zero value where there is none.
func (db *DB) expectedOf(ctx context.Context, q querier, renewer string, list []assure.Access, suffix string) ([]assure.Expected, error) {
	out := make([]assure.Expected, len(list))
	for i, a := range list {
		found, err := all(ctx, q, scanExpected, `SELECT body FROM expected_grant WHERE renewer = $1 AND scope = $2 AND action = $3`+suffix,
			renewer, strings.ToLower(a.Scope), strings.ToLower(a.Action))
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			out[i] = found[0]
		}
	}
	return out, nil
}

func putExpected(ctx context.Context, q querier, e assure.Expected) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = q.exec(ctx, `INSERT INTO expected_grant (renewer, scope, action, asked, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (renewer, scope, action) DO UPDATE SET asked = excluded.asked, body = excluded.body`,
		e.Renewer, strings.ToLower(e.Scope), strings.ToLower(e.Action), micro(e.Asked), string(body))
	return err
}

// AcceptGrants makes what the cloud named last the thing that the permissions of a renewer rest on, wherever that is not
// what was expected and something is allowed, and returns what was accepted. It is noted in the audit log.
func (db *DB) AcceptGrants(ctx context.Context, renewer, who, remote, reason string, at time.Time) ([]assure.Expected, error) {
	var out []assure.Expected
	at = cut(at)
	err := db.transact(ctx, fmt.Sprintf("accept the grants of %.100q", renewer), func(q querier) error {
		list, err := all(ctx, q, scanExpected, `SELECT body FROM expected_grant WHERE renewer = $1 ORDER BY scope, action`+db.d.forUpdate, clean(renewer))
		if err != nil {
			return err
		}
		out = assure.AcceptAll(list, clean(who), clean(reason), at)
		if err := settleAccepted(ctx, q, out, db.d.forUpdate); err != nil {
			return err
		}
		for _, e := range out {
			if err := putExpected(ctx, q, e); err != nil {
				return err
			}
		}
		if len(out) == 0 {
			return nil
		}
		return putAudit(ctx, q, assure.Audit{At: at, Who: who, Remote: remote, Action: "accept grants", Object: renewer, Detail: reason})
	})
	return out, err
}
