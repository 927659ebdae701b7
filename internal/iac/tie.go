package iac

import "strings"

// Kind is the sort of thing that a tie is.
type Kind string

// The kinds.
const (
	KindGrant      Kind = "grant"      // an identity may write challenge records somewhere
	KindIdentity   Kind = "identity"   // the identity exists, with the id that grants name
	KindTrust      Kind = "trust"      // a workload may act as the identity: federation, trust policy, token binding
	KindCredential Kind = "credential" // a secret by which the identity signs in
	KindZone       Kind = "zone"       // the zone exists, with the name servers that its parent names
	KindRecord     Kind = "record"     // a record that the way of a challenge goes through: NS, CNAME at _acme-challenge
	KindSolver     Kind = "solver"     // the renewer itself: cert-manager's release, an issuer, its namespace
	KindSecret     Kind = "secret"     // a secret that the renewer reads: account key, credentials
	KindPath       Kind = "path"       // the way of an HTTP-01 challenge: port 80 from the Internet
	KindBlock      Kind = "block"      // what forbids when it is there: a lock, a deny, a CAA record, a static challenge record
)

// Right is a set of what DNS-01 needs to be allowed.
type Right uint8

// The rights. Read covers listing record sets and finding the zone.
const (
	RightWrite Right = 1 << iota
	RightDelete
	RightRead
	RightAll = RightWrite | RightDelete | RightRead
)

// Path is a place in a provider's hierarchy, as segments from the top: a longer path lies within each path that it
// begins with. Segments are compared without regard to case. The empty path is everywhere.
type Path []string

// PathOf splits an id such as "/subscriptions/S/resourceGroups/G" at its slashes.
func PathOf(id string) Path {
	return strings.FieldsFunc(lower(id), func(r rune) bool { return r == '/' })
}

// Covers reports whether q lies within p or is p.
func (p Path) Covers(q Path) bool {
	if len(p) > len(q) {
		return false
	}
	for i := len(p) - 1; i >= 0; i-- { // what is near the top is the same for most
		if p[i] != q[i] && !alike(p[i], q[i]) {
			return false
		}
	}
	return true
}

// Overlaps reports whether one of the two lies within the other.
func (p Path) Overlaps(q Path) bool { return p.Covers(q) || q.Covers(p) }

func (p Path) String() string { return "/" + strings.Join(p, "/") }

// key is the same for paths that cover each other, and only for them.
func (p Path) key() string { return lower(strings.Join(p, "\x00")) }

// Part is a part of a tie that a plan may not know.
type Part string

// The parts.
const (
	PartPrincipal Part = "principal"
	PartRights    Part = "permission"
	PartScope     Part = "scope"
	PartCondition Part = "condition"
	PartContent   Part = "content" // all that it says
)

// Tie is one thing that renewal rests on (or, of KindBlock, that stops it), as one side of a plan has it. Two ties are
// the same if kind, principal, rights, scope and condition are; the address does not matter.
type Tie struct {
	Kind Kind
	// Principal is the identity in the form by which it is compared: a role assignment's principal id, a role's ARN or
	// name, a member, a token's id. Of a zone, record, secret or solver it is what it is compared by: its name. Lower case
	// where the provider does not tell cases apart.
	Principal string
	// Who names the principal for people, where that is more than Principal.
	Who string
	// Also are other spellings of the principal (client id, name, members of a group), by which an inventory may know it.
	// They count for nothing in comparing ties.
	Also []string
	// Via, of a grant that the principal holds as a member, is the group that holds it: what befalls the group's own grant is
	// said once, and not for every member.
	Via string
	// Rights is what a grant allows, or what a block forbids.
	Rights Right
	// Permission says it in the provider's words: a role's name, an action.
	Permission string
	// Scope is where it holds.
	Scope Path
	// At names the scope for people, in the provider's own spelling. Place says it shorter, to stand in a sentence ("the zone
	// example.com"); empty: At.
	At, Place string
	// Condition narrows a grant or a trust; in a normal form, so that equal ones are equal. Empty: none.
	Condition string
	// Unknown lists the parts that are known only after the apply.
	Unknown []Part
	// Doubt, when not empty, says why nobody can tell from the plan alone whether renewal rests on this (a custom role that
	// the plan does not hold, a broad role where no zone is known). What happens to it is then UNKNOWN, never LOST.
	Doubt string
	// Certain is for a grant that is made for more than DNS and allows certainly what it says: the doubt, if there is one, is
	// only about renewal resting on it. As a successor it counts in full, where another one in doubt covers nothing for
	// certain; and it may go where one that is made for DNS stays.
	Certain bool
	// Wide is for a grant that allows nearly everything. Where nothing in the plan is about DNS or renewal, only an inventory
	// makes anything of it.
	Wide bool
	// Others, of a grant, says that it is authoritative: whoever else holds the permission at exactly this scope loses it
	// when this is created or changed. Members then lists all principals who hold it. An empty Permission stands for every
	// one there is. Of a block, Members are those whom it lets pass: the authorities that CAA records still allow.
	Others  bool
	Members []string
	// Stale says that a new object in the place of this one does not serve: an identity gets another id, a zone other name
	// servers. Empty for what is as good when it is made again; otherwise what is different, as a clause.
	Stale string
	// Effect is a clause that says what stops without it ("cert-manager can no longer sign in to Azure as it"). Empty: the
	// kind's own words.
	Effect string
	// Repair is what to do in the code, where the provider knows better than the verdict class.
	Repair string
	// Challenge, when not empty, names the only challenge that this serves ("http-01"): where no certificate of an inventory
	// is renewed by it, the tie counts for nothing and nothing is said of it. A reader leaves it empty once the plan itself
	// shows that the challenge is in use.
	Challenge string
	// Idle says that nothing in the plan shows that renewal rests on this (an identity without a grant that matters): it
	// counts only where an inventory names it, and is silent otherwise.
	Idle bool
	// ID is the id that the cloud has for the object, for joining with what a cloud named (`before.id`). Two addresses with
	// one id are one object.
	ID string
	// Object is what the cloud tells such objects apart by, where it is more than what the tie says: of two ties with the
	// same one the cloud holds only one. Empty: the tie's own parts and its permission.
	Object string
	// From is the resource it was read from. By is another one that decides what it allows (a role's definition, a group): when
	// only that changes, it is named.
	From, By *Side
}

// Same reports whether two ties are the same, wherever they come from.
func (t *Tie) Same(u *Tie) bool {
	return t.Kind == u.Kind && alike(t.Principal, u.Principal) && t.Rights == u.Rights && t.Scope.String() == u.Scope.String() && t.Condition == u.Condition
}

// Covers reports whether u holds wherever t holds: t allows at least as much, at least as widely, under no condition
// that u does not have.
func (t *Tie) Covers(u *Tie) bool {
	return t.Kind == u.Kind && alike(t.Principal, u.Principal) && t.Rights&u.Rights == u.Rights && t.Scope.Covers(u.Scope) && (t.Condition == "" || t.Condition == u.Condition)
}
