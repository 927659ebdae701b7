package legochild

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// writer writes at one provider as one identity.
type writer interface {
	present(ctx context.Context, name, value string) error
	withdraw(ctx context.Context, name, value string) error
}

// spot is where a record is at the provider.
type spot struct {
	name string // full name
	zone string // the zone's name
	id   string // the zone's id, where it has one
	sub  string // name without the zone; empty at the apex
}

// at is the relative name as most providers write it.
func (s spot) at() string {
	if s.sub == "" {
		return "@"
	}
	return s.sub
}

// row is a TXT value that is a record of its own.
type row struct {
	id    string
	value string
}

// table is a provider that keeps each TXT value as a record with an id. What others write cannot be touched by mistake.
type table interface {
	find(ctx context.Context, name string) (spot, error)
	list(ctx context.Context, at spot) ([]row, error)
	add(ctx context.Context, at spot, value string) error
	remove(ctx context.Context, at spot, r row) error
}

// rows makes a writer of a table.
type rows struct{ table }

func (w rows) present(ctx context.Context, name, value string) error {
	at, err := w.find(ctx, name)
	if err != nil {
		return err
	}
	have, err := w.list(ctx, at)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(have, func(r row) bool { return bare(r.value) == value }) {
		return nil
	}
	return w.add(ctx, at, value)
}

func (w rows) withdraw(ctx context.Context, name, value string) error {
	at, err := w.find(ctx, name)
	if err != nil {
		return err
	}
	have, err := w.list(ctx, at)
	if err != nil {
		return err
	}
	for _, r := range have {
		if bare(r.value) != value {
			continue
		}
		if err := w.remove(ctx, at, r); err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}

// set is the TXT values at a name in presentation form, as the provider has them; no values mean that there is none.
type set struct {
	ttl  int
	data []string
}

func (s set) has(value string) bool {
	return slices.ContainsFunc(s.data, func(d string) bool { return bare(d) == value })
}

// shelf is a provider that keeps the TXT values at a name as one set.
type shelf interface {
	find(ctx context.Context, name string) (spot, error)
	read(ctx context.Context, at spot) (set, error)
	// swap replaces old by new. A provider that can compare refuses, as a conflict, when the set is not old any more.
	swap(ctx context.Context, at spot, from, to set) error
}

// sets makes a writer of a shelf.
type sets struct {
	shelf
	ttl int // of a new set, in seconds
}

// tries is how often a set that others change at the same time is read again.
const tries = 5

func (w sets) present(ctx context.Context, name, value string) error {
	return w.change(ctx, name, func(s set) (set, bool) {
		if s.has(value) {
			return s, false
		}
		to := set{ttl: s.ttl, data: append(slices.Clone(s.data), quote(value))}
		if len(s.data) == 0 {
			to.ttl = w.ttl
		}
		return to, true
	})
}

func (w sets) withdraw(ctx context.Context, name, value string) error {
	return w.change(ctx, name, func(s set) (set, bool) {
		to := set{ttl: s.ttl, data: slices.DeleteFunc(slices.Clone(s.data), func(d string) bool { return bare(d) == value })}
		return to, len(to.data) != len(s.data)
	})
}

func (w sets) change(ctx context.Context, name string, edit func(set) (set, bool)) error {
	at, err := w.find(ctx, name)
	if err != nil {
		return err
	}
	return retryConflict(ctx, func() error {
		from, err := w.read(ctx, at)
		if err != nil {
			return err
		}
		to, changed := edit(from)
		if !changed {
			return nil
		}
		return w.swap(ctx, at, from, to)
	})
}

func retryConflict(ctx context.Context, try func() error) error {
	for n := 1; ; n++ {
		err := try()
		var t *assure.Trouble
		if err == nil || !errors.As(err, &t) || t.Class != assure.TroubleConflict || n == tries {
			return err
		}
		pause := time.NewTimer(time.Duration(n) * time.Duration(20+rand.IntN(80)) * time.Millisecond)
		select {
		case <-ctx.Done():
			pause.Stop()
			return err
		case <-pause.C:
		}
	}
}

// quote and bare turn a value into a TXT string in presentation form and back; bare joins the strings of a longer record.
func quote(v string) string { return `"` + v + `"` }

func bare(d string) string {
	if !strings.HasPrefix(d, `"`) {
		return d
	}
	var b strings.Builder
	for rest := d; rest != ""; {
		q, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return d
		}
		s, err := strconv.Unquote(q)
		if err != nil {
			return d
		}
		b.WriteString(s)
		rest = strings.TrimLeft(rest[len(q):], " \t")
	}
	return b.String()
}

// maxZoneTries bounds how many suffixes of a name are asked for.
const maxZoneTries = 10

// zoneOf finds the zone that holds name by asking for its suffixes, the longest first. ask returns the zone's id, or
// trouble of the class missing. A credential that may only see its own zone is often refused for the others, so a refusal
// counts only when no suffix is found.
func zoneOf(ctx context.Context, name string, least int, ask func(ctx context.Context, zone string) (string, error)) (spot, error) {
	labels := strings.Split(name, ".")
	var refused error
	for i := max(0, len(labels)-maxZoneTries); i <= len(labels)-least; i++ {
		zone := strings.Join(labels[i:], ".")
		id, err := ask(ctx, zone)
		if err == nil {
			return spot{name: name, zone: zone, id: id, sub: strings.Join(labels[:i], ".")}, nil
		}
		var t *assure.Trouble
		if !errors.As(err, &t) {
			return spot{}, err
		}
		switch t.Class {
		case assure.TroubleMissing:
		case assure.TroubleDenied:
			refused = err
		default:
			return spot{}, err
		}
	}
	if refused != nil {
		return spot{}, refused
	}
	return spot{}, noZone(name)
}

func noZone(name string) *assure.Trouble {
	return &assure.Trouble{
		Reason: assure.DNSWriteFailed, Class: assure.TroubleMissing, Scope: name,
		Detail: fmt.Sprintf("the credential sees no zone that holds %s", name),
	}
}
