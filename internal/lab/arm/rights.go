package arm

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
)

// newGUID makes a random id as Azure's are.
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

const authorization = "/providers/Microsoft.Authorization/"

func (a Assignment) id() string {
	return strings.TrimRight(a.Scope, "/") + authorization + "roleAssignments/" + a.Name
}

// Assign grants a role (its GUID) to a principal at a scope and returns the assignment's id. Granting what is granted
// already returns the id that there is.
func (s *Server) Assign(principal, role, scope string) string {
	return s.AssignAs(Assignment{Principal: principal, Role: role, Scope: scope})
}

// AssignAs is Assign with every detail.
func (s *Server) AssignAs(a Assignment) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.now().twin(a); i >= 0 {
		return s.now().assignments[i].ID
	}
	if a.Name == "" {
		a.Name = newGUID()
	}
	a.ID = a.id()
	s.change(func(p *policy) { p.assignments = append(p.assignments, a) })
	return a.ID
}

// twin finds an assignment of the same role to the same principal at the same scope, or -1. There may be only one
// (error RoleAssignmentExists).
func (p policy) twin(a Assignment) int {
	return slices.IndexFunc(p.assignments, func(x Assignment) bool {
		return same(x.Scope, a.Scope) && strings.EqualFold(x.Principal, a.Principal) && strings.EqualFold(x.Role, a.Role)
	})
}

// Unassign takes a grant away, by its id, and reports whether it was there.
func (s *Server) Unassign(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.now().assignments, func(x Assignment) bool { return same(x.ID, id) })
	if i < 0 {
		return false
	}
	s.change(func(p *policy) { p.assignments = slices.Delete(p.assignments, i, i+1) })
	return true
}

// Assignments returns every grant.
func (s *Server) Assignments() []Assignment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.now().assignments)
}

// Define makes or replaces a custom role and returns its GUID.
func (s *Server) Define(d Definition) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.define(d)
}

// define is Define for callers that hold mu.
func (s *Server) define(d Definition) string {
	if d.ID == "" {
		d.ID = newGUID()
	}
	d.Custom = true
	s.change(func(p *policy) {
		p.definitions = slices.DeleteFunc(p.definitions, func(x Definition) bool { return strings.EqualFold(x.ID, d.ID) })
		p.definitions = append(p.definitions, d)
	})
	return d.ID
}

// Forbid makes a deny assignment and returns its id.
func (s *Server) Forbid(d Deny) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Name == "" {
		d.Name = newGUID()
	}
	d.ID = strings.TrimRight(d.Scope, "/") + authorization + "denyAssignments/" + d.Name
	s.change(func(p *policy) { p.denies = append(p.denies, d) })
	return d.ID
}

// Permit takes a deny assignment away, by its id, and reports whether it was there.
func (s *Server) Permit(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.now().denies, func(x Deny) bool { return same(x.ID, id) })
	if i < 0 {
		return false
	}
	s.change(func(p *policy) { p.denies = slices.Delete(p.denies, i, i+1) })
	return true
}

// SetGroup makes a group of principals and other groups, or replaces it.
func (s *Server) SetGroup(group string, members ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lower := make([]string, len(members))
	for i, m := range members {
		lower[i] = strings.ToLower(m)
	}
	s.change(func(p *policy) { p.groups[strings.ToLower(group)] = lower })
}

// Levels of locks.
const (
	CanNotDelete = "CanNotDelete" // nothing at or below the scope can be deleted
	ReadOnly     = "ReadOnly"     // nor changed
)

// Lock is a management lock. It holds for everybody, whatever their roles, at its scope and below.
type Lock struct {
	ID    string // the resource id, made of the others
	Name  string
	Scope string
	Level string
	Notes string
}

// Lock locks a scope and returns the lock's id.
func (s *Server) Lock(scope, level, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lock(Lock{Name: name, Scope: scope, Level: level})
}

// lock is Lock for callers that hold mu.
func (s *Server) lock(l Lock) string {
	l.ID = strings.TrimRight(l.Scope, "/") + authorization + "locks/" + l.Name
	s.locks = slices.DeleteFunc(s.locks, func(x Lock) bool { return same(x.ID, l.ID) })
	s.locks = append(s.locks, l)
	return l.ID
}

// Unlock removes a lock, by its id, and reports whether it was there.
func (s *Server) Unlock(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.locks)
	s.locks = slices.DeleteFunc(s.locks, func(x Lock) bool { return same(x.ID, id) })
	return len(s.locks) < n
}

// locked returns the scopes whose locks stand against a method at a scope. The caller holds mu.
func (s *Server) locked(method, scope string) []string {
	var at []string
	for _, l := range s.locks {
		if !covers(l.Scope, scope) {
			continue
		}
		if method == "DELETE" || l.Level == ReadOnly {
			at = append(at, l.Scope)
		}
	}
	return at
}
