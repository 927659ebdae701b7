package iac

import (
	"slices"
	"time"
)

// Plan is what was read of a plan in the JSON of `terraform show -json` or `tofu show -json`, format 1.x.
type Plan struct {
	Format string // "1.2"
	Tool   string // terraform_version, as the plan says it
	// Digest is the SHA-256 of the whole input, as it came.
	Digest [32]byte
	// Errored plans end where planning failed. Incomplete ones say so themselves ("complete": false: -target or
	// deferral), or hold resources in the state that the plan says nothing about.
	Errored    bool
	Incomplete []string // why, as sentences without a full stop
	// Changes are the managed resources that renewal may rest on, those that do not change included, in the plan's order.
	Changes []Change
	// Drift is what happened to those since the last apply.
	Drift []Change
	// Past says that only what has happened is judged, and not what the plan would do about it.
	Past bool
	// Speaks says that the type or the address of a resource or a data source, in changes, state or configuration, is about
	// DNS or about certificates, be it kept here or not.
	Speaks bool
	// Seen counts all managed resources of the plan, Changing those of them that the plan changes.
	Seen, Changing int
}

// Action is what the plan does to a resource.
type Action string

// The actions of the format. [Change.Do] folds the pairs.
const (
	NoOp          Action = "no-op"
	Create        Action = "create"
	Reading       Action = "read" // of a data source
	Update        Action = "update"
	Delete        Action = "delete"
	Forget        Action = "forget"        // leaves the state; the object lives on without protection
	DeleteCreate  Action = "delete+create" // replaced: destroyed first
	CreateDelete  Action = "create+delete" // replaced: the new one first
	CreateForget  Action = "create+forget" // a new one, and the old one is left alone
	ForgetCreate  Action = "forget+create" // OpenTofu's word for the same (lifecycle.destroy = false)
	UnknownAction Action = "unknown"       // a word that this version does not know
)

// Change is one instance of a managed resource in a plan.
type Change struct {
	Address  string
	Previous string // its address before it was moved; empty otherwise
	Module   string
	Type     string // "azurerm_role_assignment"
	Provider string // "registry.terraform.io/hashicorp/azurerm"
	Deposed  string // not empty: an object that is left over from a replacement
	Do       Action
	Reason   string // action_reason
	// Before and After are the attributes; nil where there is no object. They may be one and the same map, when nothing
	// changes: nobody may write to them. Unknown has the shape of After with true where a value is known only after the
	// apply; it may be true as a whole. Numbers are json.Number.
	Before, After map[string]any
	Unknown       any
	// Refers lists what the configuration's expression for an attribute refers to, by attribute, where the plan has it:
	// "principal_id" -> "azurerm_user_assigned_identity.cm.principal_id". Module and instance are those of the change. The
	// attribute of a nested block is named "block.attribute", for all blocks of that name together. Instances share it.
	Refers map[string][]string
}

// Was is the address that the object had before the plan.
func (c *Change) Was() string {
	if c.Previous != "" {
		return c.Previous
	}
	return c.Address
}

// Destroys reports whether the object that was there before is destroyed.
func (c *Change) Destroys() bool {
	return slices.Contains([]Action{Delete, DeleteCreate, CreateDelete}, c.Do)
}

// Makes reports whether a new object is created.
func (c *Change) Makes() bool {
	return slices.Contains([]Action{Create, DeleteCreate, CreateDelete, CreateForget, ForgetCreate}, c.Do)
}

// Forgets reports whether the object lives on outside the state.
func (c *Change) Forgets() bool {
	return slices.Contains([]Action{Forget, CreateForget, ForgetCreate}, c.Do)
}

// Certificate is one that an inventory knows, for joining a verdict with what is at stake.
type Certificate struct {
	Name    string   `json:"name"`
	Names   []string `json:"names"`
	Renewer string   `json:"renewer"`
	// Identities are those that renew it, in every spelling that the cloud or the configuration has for them: object id,
	// client id, ARN, e-mail address, token id. Empty: not known.
	Identities []string `json:"identities,omitempty"`
	// Zones are the zones that its challenges are written to: DNS names, and cloud ids where known.
	Zones []string `json:"zones,omitempty"`
	// Records are the fully qualified names of the TXT records, with CNAMEs followed.
	Records []string `json:"records,omitempty"`
	// Grants are the ids of what grants, as the cloud named them (a role assignment's id: `before.id` in the plan).
	Grants []string `json:"grants,omitempty"`
	// Allowed is what the cloud answered about each action that renewal needs, for [Verdict.Counterfactual].
	Allowed []Allowance `json:"allowed,omitempty"`
	// Issuers are the authority's names in CAA records.
	Issuers []string `json:"issuers,omitempty"`
	// Challenge is the type: "dns-01", "http-01", "tls-alpn-01".
	Challenge string `json:"challenge,omitempty"`
	// Next is when its renewal is due, NotAfter when it ends; zero when not known.
	Next     time.Time `json:"next,omitzero"`
	NotAfter time.Time `json:"not_after,omitzero"`
}

// Inventory is what is known of the certificates. The zero value knows none.
type Inventory struct {
	// At is when it was true.
	At           time.Time     `json:"at,omitzero"`
	Certificates []Certificate `json:"certificates"`
}
