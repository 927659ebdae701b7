package iac

import (
	"encoding/json"
)

// State is one side of a plan: the resources as they are before it, or as they will be after it.
type State struct {
	After     bool
	Resources []*Side
	byType    map[string][]*Side
	// other is the other side, for what only both together tell: a member of a role is gone although an equal one stays
	// where the cloud keeps one object for both. It may be nil.
	other *State
	// memo keeps what a reader found out about this side as a whole, by the reader's own key.
	memo map[string]any
	// readers are all there are, for readers that ask what others make of a side. They cannot name the list themselves,
	// which names them.
	readers map[string]reader
}

// Side is one resource on one side of a plan. Its methods never panic, whatever shape the values have.
type Side struct {
	Change  *Change
	After   bool
	Values  map[string]any
	unknown any // after_unknown; nil on the side before
}

// States are the two sides of a plan. What the plan forgets is on both sides: it lives on. What it moves has its new
// address after and the old one before.
func States(p *Plan) (before, after *State) {
	before, after = &State{byType: map[string][]*Side{}}, &State{After: true, byType: map[string][]*Side{}}
	before.other, after.other = after, before
	before.readers, after.readers = readers, readers
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Before != nil {
			before.add(&Side{Change: c, Values: c.Before})
		}
		switch {
		case c.Do == Forget && c.Before != nil:
			after.add(&Side{Change: c, After: true, Values: c.Before})
		case c.After != nil:
			after.add(&Side{Change: c, After: true, Values: c.After, unknown: c.Unknown})
		}
	}
	return before, after
}

// once returns what find found out about this side the first time it was asked for under a key.
func once[T any](s *State, key string, find func() T) T {
	if v, ok := s.memo[key].(T); ok {
		return v
	}
	v := find()
	if s.memo == nil {
		s.memo = map[string]any{}
	}
	s.memo[key] = v
	return v
}

func (s *State) add(r *Side) {
	s.Resources = append(s.Resources, r)
	s.byType[r.Change.Type] = append(s.byType[r.Change.Type], r)
}

// Of returns the resources of a type.
func (s *State) Of(kind string) []*Side { return s.byType[kind] }

// Find returns the first resource of one of the types whose attribute has a value, without regard to case; nil when
// there is none. An empty value finds nothing.
func (s *State) Find(attribute, value string, types ...string) *Side {
	if value == "" {
		return nil
	}
	for _, t := range types {
		for _, r := range s.byType[t] {
			if alike(r.Text(attribute), value) {
				return r
			}
		}
	}
	return nil
}

// Get returns the value at a path of attribute names and list indexes (int). known is false when the plan does not know
// it, or a value that holds it, before the apply. A list of blocks with one element may be passed through by name alone.
func (r *Side) Get(path ...any) (v any, known bool) {
	v = r.Values
	unknown := r.unknown
	for _, step := range path {
		if u, _ := unknown.(bool); u {
			return nil, false
		}
		if name, ok := step.(string); ok {
			if list, ok := v.([]any); ok && len(list) == 1 {
				v, unknown = list[0], at(unknown, 0)
				if u, _ := unknown.(bool); u {
					return nil, false
				}
			}
			m, _ := v.(map[string]any)
			v = m[name]
			um, _ := unknown.(map[string]any)
			unknown = um[name]
			continue
		}
		i, _ := step.(int)
		list, _ := v.([]any)
		if i < 0 || i >= len(list) {
			v = nil
		} else {
			v = list[i]
		}
		unknown = at(unknown, i)
	}
	if u, _ := unknown.(bool); u {
		return nil, false
	}
	return v, true
}

func at(unknown any, i int) any {
	if u, ok := unknown.(bool); ok {
		return u
	}
	list, _ := unknown.([]any)
	if i < 0 || i >= len(list) {
		return nil
	}
	return list[i]
}

// Text returns the string, number or boolean at a path; empty when it is something else, null, absent or unknown.
func (r *Side) Text(path ...any) string {
	v, _ := r.Get(path...)
	return text(v)
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	return ""
}

// Known reports whether the plan knows the value at a path, and everything within it.
func (r *Side) Known(path ...any) bool {
	u := r.unknown
	for _, step := range path {
		switch s := step.(type) {
		case string:
			if list, ok := u.([]any); ok && len(list) == 1 {
				u = list[0]
			}
			if b, ok := u.(bool); ok {
				return !b
			}
			m, _ := u.(map[string]any)
			u = m[s]
		case int:
			u = at(u, s)
		}
	}
	return !anyTrue(u)
}

func anyTrue(u any) bool {
	switch u := u.(type) {
	case bool:
		return u
	case map[string]any:
		for _, v := range u {
			if anyTrue(v) {
				return true
			}
		}
	case []any:
		for _, v := range u {
			if anyTrue(v) {
				return true
			}
		}
	}
	return false
}

// Texts returns the strings of the list or set at a path; a single string is a list of one.
func (r *Side) Texts(path ...any) []string {
	v, _ := r.Get(path...)
	list, ok := v.([]any)
	if !ok {
		if s := text(v); s != "" {
			return []string{s}
		}
		return nil
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		if s := text(e); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// Len is how many elements the list or the blocks at a path have.
func (r *Side) Len(path ...any) int {
	v, _ := r.Get(path...)
	list, _ := v.([]any)
	return len(list)
}

// Address is where the resource stands on its side of the plan.
func (r *Side) Address() string {
	if r.After {
		return r.Change.Address
	}
	return r.Change.Was()
}
