package iac

import "time"

// Class is what a plan does to something that renewal rests on.
type Class string

// The classes, from the harmless to the worst; the worst one found is the verdict.
const (
	Safe       Class = "safe"
	Unknown    Class = "unknown"    // the plan does not know what decides it
	Incomplete Class = "incomplete" // the plan is not the whole plan: errored, -target, deferred
	Orphaned   Class = "orphaned"   // lives on, but no code protects it any more
	Gap        Class = "gap"        // destroyed, then made again: nothing in between, and nothing at all if the second step fails
	Narrowed   Class = "narrowed"   // less than before, by scope, action or condition
	Blocked    Class = "blocked"    // something is added that forbids
	Collision  Class = "collision"  // an equal one is made elsewhere: which comes first is not ordered, and one refuses or undoes the other
	Lost       Class = "lost"
)

// Classes lists them from the harmless to the worst.
func Classes() []Class {
	return []Class{Safe, Unknown, Incomplete, Orphaned, Gap, Narrowed, Blocked, Collision, Lost}
}

// Finding is one thing that a plan does to renewal. The JSON is part of what the product promises.
type Finding struct {
	Class        Class      `json:"class"`
	Address      string     `json:"address"`
	Previous     *string    `json:"previous_address"`
	ProviderType string     `json:"provider_type"`
	Principal    string     `json:"principal"`
	Permission   string     `json:"permission"`
	Scope        string     `json:"scope"`
	Certificates []string   `json:"certificates"`
	HurtsAt      *time.Time `json:"hurts_at"` // the earliest moment at which a renewal is due that will fail; null when not known
	Summary      string     `json:"summary"`  // the consequence, as one or two sentences
	Repair       string     `json:"repair"`   // what to change in the code
	// Fingerprint stays the same over plans that do the same thing to the same tie, whatever else they hold.
	Fingerprint string `json:"fingerprint"`
	// Overridden is set when somebody answered for this finding.
	Overridden *Override `json:"overridden,omitempty"`

	kind Kind // of what it is about, by which texts label what they name
}

// Verdict is what [Judge] says about a plan.
type Verdict struct {
	Class    Class     `json:"verdict"`
	Findings []Finding `json:"findings"` // the worst first
}

// Override is somebody's answer for one finding.
type Override struct {
	Fingerprint string    `json:"fingerprint" yaml:"fingerprint"`
	By          string    `json:"by" yaml:"by"`
	Reason      string    `json:"reason" yaml:"reason"`
	Until       time.Time `json:"until" yaml:"until"` // its last moment
}
