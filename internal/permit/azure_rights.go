package permit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/notafter/notafter/internal/assure"
)

// AzureRights is what decides about one identity at one scope: everything that Azure lists for it there. Taking grants
// out of it, or putting locks in, answers what would be allowed then.
type AzureRights struct {
	Grants []AzureGrant // of the identity and of the groups that hold it; those that do not cover the scope do not count
	Roles  []AzureRole  // of the grants; a grant whose role is missing decides nothing and leaves the answer unclear
	Denies []AzureDeny
	Locks  []AzureLock
}

// AzureGrant is a role assignment.
type AzureGrant struct {
	ID        string // resource id
	Principal string // object id of the identity, or of a group that holds it
	Scope     string
	Role      string // id of the role definition: the resource id or its last part
	Condition string // opaque: a grant with one is never certain
}

// AzureRole is a role definition.
type AzureRole struct {
	ID          string // the resource id or its last part
	Name        string
	Permissions []AzurePermission
}

// AzurePermission are the actions that a role allows, or a deny assignment denies, without those that it excepts. In a
// pattern * stands for anything. An exception counts within its own permission only: another one, or another role, may
// allow the action all the same.
type AzurePermission struct {
	Actions    []string
	NotActions []string
}

// AzureDeny is a deny assignment. It takes away what any role grants.
type AzureDeny struct {
	ID          string // resource id
	Name        string // for people
	Scope       string
	Permissions []AzurePermission
	Here        bool // it holds at its scope only, not below
	// Unsure is set when it is not certain that the deny assignment holds for the identity, for a condition or for a
	// group whose members are not known.
	Unsure bool
}

// AzureLock is a management lock. It holds for everybody.
type AzureLock struct {
	ID    string // resource id
	Name  string
	Scope string
	Level string // CanNotDelete or ReadOnly
}

// AzureVerdict is what rights come to for one action at one scope.
type AzureVerdict struct {
	Answer   assure.Answer
	Grants   []string // ids of the grants that carry the action, also when something stands in the way
	Blockers []string // ids of locks and deny assignments that certainly stand in the way
	Locked   bool     // some of the blockers are locks
	Detail   string   // why, one sentence
	whole    bool     // Grants are all that there are
}

// EvaluateAzure decides whether rights allow an action at a scope (learn.microsoft.com, "Understand Azure role
// assignments" and "Understand Azure deny assignments"): deny assignments and locks come before grants, any grant is
// enough, and what cannot be decided is unclear unless something certain decides without it. It is a pure function, and
// the order of its inputs does not matter except for the order of its lists.
func EvaluateAzure(r AzureRights, action, scope string) AzureVerdict {
	var v AzureVerdict
	var unsure []string // what could change the answer if it were understood
	for _, g := range r.Grants {
		if !azureCovers(g.Scope, scope) {
			continue
		}
		i := slices.IndexFunc(r.Roles, func(x AzureRole) bool { return azureRoleID(x.ID) == azureRoleID(g.Role) })
		switch {
		case i < 0:
			unsure = append(unsure, "the role of "+g.ID+" is not known")
		case !azureHolds(r.Roles[i].Permissions, action):
		case g.Condition != "":
			unsure = append(unsure, g.ID+" has a condition that is not understood here")
		default:
			v.Grants = append(v.Grants, g.ID)
		}
	}
	doubts := len(unsure)
	for _, d := range r.Denies {
		if !azureHolds(d.Permissions, action) || !azureCovers(d.Scope, scope) || d.Here && !azureSame(d.Scope, scope) {
			continue
		}
		if d.Unsure {
			unsure = append(unsure, "it is not certain whether the deny assignment "+azureName(d.Name, d.ID)+" holds for the identity")
			continue
		}
		v.Blockers = append(v.Blockers, d.ID)
	}
	for _, l := range r.Locks {
		if !azureCovers(l.Scope, scope) {
			continue
		}
		switch blocks, known := l.blocks(action); {
		case blocks:
			v.Blockers, v.Locked = append(v.Blockers, l.ID), true
		case !known:
			unsure = append(unsure, fmt.Sprintf("the lock %s has the unknown level %q", l.ID, l.Level))
		}
	}
	switch {
	case len(v.Blockers) > 0:
		v.Answer, v.Detail = assure.Forbidden, "blocked by "+strings.Join(v.Blockers, ", ")
	case len(v.Grants) == 0 && doubts == 0:
		v.Answer, v.Detail = assure.Forbidden, "no role assignment allows it"
	case len(v.Grants) == 0:
		v.Answer, v.Detail = assure.Untold, strings.Join(unsure[:doubts], "; ")
	case len(unsure) > doubts:
		v.Answer, v.Detail = assure.Untold, strings.Join(unsure[doubts:], "; ")
	default:
		v.Answer, v.Detail = assure.Allowed, "allowed by "+strings.Join(v.Grants, ", ")
	}
	return v
}

// Levels of locks (learn.microsoft.com, "Lock your resources to protect your infrastructure").
const (
	azureCanNotDelete = "cannotdelete"
	azureReadOnly     = "readonly"
)

// blocks reports whether the lock stands against an action; known is false when its level is none that we know.
func (l AzureLock) blocks(action string) (blocks, known bool) {
	verb := strings.ToLower(action[strings.LastIndex(action, "/")+1:])
	switch strings.ToLower(l.Level) {
	case azureCanNotDelete:
		return verb == "delete", true
	case azureReadOnly:
		return verb != "read", true
	}
	return false, verb == "read"
}

func azureHolds(permissions []AzurePermission, action string) bool {
	return slices.ContainsFunc(permissions, func(p AzurePermission) bool {
		matches := func(pattern string) bool { return azureMatches(pattern, action) }
		return slices.ContainsFunc(p.Actions, matches) && !slices.ContainsFunc(p.NotActions, matches)
	})
}

// azureMatches reports whether a pattern, in which * stands for any text, holds an action. Case does not count. The time
// is bounded by the product of the lengths, whatever the pattern.
func azureMatches(pattern, action string) bool {
	p, a := strings.ToLower(pattern), strings.ToLower(action)
	i, star, back := 0, -1, 0
	for j := 0; j < len(a); {
		switch {
		case i < len(p) && p[i] == '*':
			star, back = i, j
			i++
		case i < len(p) && p[i] == a[j]:
			i++
			j++
		case star >= 0: // let the last star take one more
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}

// azureCovers reports whether what holds at outer holds at inner. A management group has no place in a resource id: since
// Azure lists at a scope only what is at, above or below it, one in the list is above.
func azureCovers(outer, inner string) bool {
	o, i := azurePath(outer), azurePath(inner)
	return o == "" && outer != "" || o == i || strings.HasPrefix(i, o+"/") && o != "" ||
		strings.HasPrefix(o, "providers/microsoft.management/managementgroups/")
}

func azureSame(a, b string) bool { return azurePath(a) == azurePath(b) }

// azurePath makes resource ids comparable: they have no case, and the slash at an end means nothing.
func azurePath(id string) string { return strings.ToLower(strings.Trim(id, "/")) }

// azureRoleID is the last part of a role definition's id, which is the same at every scope.
func azureRoleID(id string) string {
	return strings.ToLower(id[strings.LastIndex(id, "/")+1:])
}

func azureName(name, id string) string {
	if name == "" {
		return id
	}
	return name
}
