package iac

import "strings"

// referred is the resource of a type that the configuration's expression for an attribute refers to: in the same module,
// and with the same instance key where there are several. Nil when there is none, or none that is clearly meant.
func (s *State) referred(r *Side, attribute, kind string) *Side {
	var found *Side
	for _, ref := range r.Change.Refers[attribute] {
		rest, ok := strings.CutPrefix(ref, kind+".")
		if !ok {
			continue
		}
		base := kind + "." + rest[:len(rest)-len(strings.TrimLeft(rest, letters))]
		if r.Change.Module != "" {
			base = r.Change.Module + "." + base
		}
		_, key := instance(r.Change.Address)
		var one, same *Side
		several := false
		for _, q := range s.Of(kind) {
			whole, k := instance(q.Change.Address)
			if whole != base {
				continue
			}
			if k == key {
				same = q
			}
			several = several || one != nil
			one = q
		}
		switch {
		case same != nil:
			one = same
		case one == nil || several:
			return nil
		}
		if found != nil && found != one {
			return nil
		}
		found = one
	}
	return found
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
