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

// settledFor is how old the last answer on record must be for an equal one to be written down again: the certificates of
// a renewer share answers, and each of them reports it.
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

// NoteAccess takes in what a cloud answered about a renewer's permissions, and returns what is expected of them now, in
// the order of the answers.
func (db *DB) NoteAccess(ctx context.Context, renewer string, list []assure.Access, at time.Time) ([]assure.Expected, error) {
	what := fmt.Sprintf("note the permissions of %.100q", renewer)
	at = cut(at)
	out := make([]assure.Expected, len(list))
	fresh := true
	for i, a := range list { // most of the time nothing is new, and the connection that writes is left alone
		was, err := db.expected(ctx, db.reader(), renewer, a, "")
		if err != nil {
			return nil, db.wrap(err, what)
		}
		out[i] = noted(was, renewer, a, at)
		fresh = fresh && at.Sub(was.Asked) < settledFor && sameButTimes(was, out[i])
	}
	if fresh {
		return out, nil
	}
	err := db.transact(ctx, what, func(q querier) error {
		for i, a := range list {
			was, err := db.expected(ctx, q, renewer, a, db.d.forUpdate)
			if err != nil {
				return err
			}
			out[i] = noted(was, renewer, a, at)
			if err := putExpected(ctx, q, out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// noted is what the answer makes of an expectation, in texts that can be kept.
func noted(was assure.Expected, renewer string, a assure.Access, at time.Time) assure.Expected {
	a.Identity, a.Action, a.Scope = clean(a.Identity), clean(a.Action), clean(a.Scope)
	grants := make([]string, len(a.Grants))
	for i, g := range a.Grants {
		grants[i] = clean(g)
	}
	a.Grants = nil
	if len(grants) > 0 {
		a.Grants = grants
	}
	return was.Note(clean(renewer), a, at)
}

func sameButTimes(a, b assure.Expected) bool {
	a.Asked, a.Held = b.Asked, b.Held
	return reflect.DeepEqual(a, b)
}

// expected reads the expectation that an answer is about; the zero value when there is none.
func (db *DB) expected(ctx context.Context, q querier, renewer string, a assure.Access, suffix string) (assure.Expected, error) {
	list, err := all(ctx, q, scanExpected, `SELECT body FROM expected_grant WHERE renewer = $1 AND scope = $2 AND action = $3`+suffix,
		clean(renewer), strings.ToLower(clean(a.Scope)), strings.ToLower(clean(a.Action)))
	if err != nil || len(list) == 0 {
		return assure.Expected{}, err
	}
	return list[0], nil
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
		out = nil
		list, err := all(ctx, q, scanExpected, `SELECT body FROM expected_grant WHERE renewer = $1 ORDER BY scope, action`+db.d.forUpdate, clean(renewer))
		if err != nil {
			return err
		}
		for _, e := range list {
			now, ok := e.Accept(clean(who), clean(reason), at)
			if !ok {
				continue
			}
			if err := putExpected(ctx, q, now); err != nil {
				return err
			}
			out = append(out, now)
		}
		if len(out) == 0 {
			return nil
		}
		return putAudit(ctx, q, assure.Audit{At: at, Who: who, Remote: remote, Action: "accept grants", Object: renewer, Detail: reason})
	})
	return out, err
}
