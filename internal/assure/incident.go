package assure

import (
	"maps"
	"time"
)

// IncidentID is derived from the cause and the moment of opening, so that opening twice is the same incident. It is
// short enough to be read aloud.
type IncidentID string

// IncidentState is where an incident stands.
type IncidentState string

const (
	Open     IncidentState = "open"
	Acked    IncidentState = "acknowledged" // somebody has taken the present stage; a worse one opens it again
	Resolved IncidentState = "resolved"
)

// Incident is one cause with all it touches.
type Incident struct {
	ID       IncidentID    `json:"id"`
	Cause    string        `json:"cause"`
	State    IncidentState `json:"state"`
	Link     Link          `json:"link"`
	Reason   Reason        `json:"reason"`   // of the worst finding so far
	Severity Severity      `json:"severity"` // worst so far
	Stage    Stage         `json:"stage"`    // worst since it last eased
	// Round counts how often the incident has eased: fallen back to a lesser stage because several looks in a row saw
	// nothing worse. Each round has notices and deduplication keys of its own, so that getting worse again pages again.
	Round int `json:"round,omitempty"`
	// Eased counts the looks in a row that saw nothing of the incident's stage; EasedAt is when the last of them was made.
	Eased    int       `json:"eased,omitempty"`
	EasedAt  time.Time `json:"eased_at,omitzero"`
	Since    time.Time `json:"since"` // when the earliest of its findings began
	OpenedAt time.Time `json:"opened_at"`
	// HurtsAt is when the first client is or was refused, since the incident last eased; zero when not known.
	HurtsAt time.Time `json:"hurts_at,omitzero"`
	// Summary, Impact, Action and Basis are those of the worst finding so far.
	Summary string `json:"summary"`
	Impact  string `json:"impact"`
	Action  string `json:"action"`
	Basis   string `json:"basis"`
	// Speaker is the claim whose finding gave the incident these words; empty when that finding is gone. Of findings as
	// bad, one of an earlier link keeps the word: it is the cause, and those of later links are what comes of it.
	Speaker ClaimID `json:"speaker,omitempty"`
	// Told maps each route to the worst stage it has been given a notice for.
	Told map[string]Stage `json:"told"`

	AckedBy    string    `json:"acked_by,omitempty"`
	AckedAt    time.Time `json:"acked_at,omitzero"`
	AckedStage Stage     `json:"acked_stage,omitempty"`

	ResolvedAt time.Time `json:"resolved_at,omitzero"`
	// Resolution says on what evidence it was closed.
	Resolution string `json:"resolution,omitempty"`
}

// Touch is the part of an incident that concerns one claim.
type Touch struct {
	Incident IncidentID
	Claim    ClaimID
	// Certificate and Subject repeat those of the claim.
	Certificate string
	Subject     string
	// Finding is the worst finding of the claim with the incident's cause.
	Finding Finding
	// Clear counts the looks in a row that saw the finding gone; ClearAt is when the last of them was made.
	Clear   int
	ClearAt time.Time
}

// Event is one line of an incident's history.
type Event struct {
	Incident IncidentID `json:"incident"`
	At       time.Time  `json:"at"`
	Kind     string     `json:"kind"` // opened, worsened, eased, acknowledged, resolved, withdrawn
	Stage    Stage      `json:"stage,omitempty"`
	Text     string     `json:"text"`
	Who      string     `json:"who,omitempty"` // a person, when one did it
}

// NoticeKind says what a notice is for.
type NoticeKind string

const (
	NoticeTrigger NoticeKind = "trigger" // something is wrong, or has got worse
	NoticeResolve NoticeKind = "resolve" // it is over, on positive evidence
	// NoticeSupersede closes the alert of an earlier stage, in systems that keep one for each key, because a worse stage
	// has replaced it. People are not told of it.
	NoticeSupersede NoticeKind = "supersede"
	NoticeAck       NoticeKind = "ack"  // somebody has taken it
	NoticeTest      NoticeKind = "test" // a drill, along the real path
)

// Notice is something a route must be told. It is a database row before it is anything else; each channel of it
// becomes one delivery, made at least once.
type Notice struct {
	// ID is derived from incident, stage, route and kind, so that the same notice is never made twice.
	ID       string
	Incident IncidentID
	Kind     NoticeKind
	Stage    Stage
	Severity Severity
	Route    string
	Channels []string
	// DedupKey is what a channel that can deduplicate is given: incident and stage.
	DedupKey string
	At       time.Time
	// DueAt is before when it is not sent (see [Policy.Gather]). Zero means At. It becomes the deliveries' and is not read
	// back with the notice.
	DueAt time.Time
}

// Docket holds the open incidents that a batch of judgements may change.
type Docket struct {
	// Incidents are those that are not resolved and either have the cause of one of the batch's findings or touch one
	// of its claims.
	Incidents []Incident
	// Touches are those of the batch's claims.
	Touches []Touch
	// Elsewhere counts, for each incident, its touches by claims outside the batch, and ElsewhereStage is the worst stage
	// of those.
	Elsewhere      map[IncidentID]int
	ElsewhereStage map[IncidentID]Stage
	// ElsewhereHurts is the earliest moment at which what those touches are about hurts; without an entry, it is not known
	// of any. It is needed only of incidents whose stage is worse than ElsewhereStage, which may fall back.
	ElsewhereHurts map[IncidentID]time.Time
}

// Changes is what a batch of judgements does to incidents. All of it is committed in one transaction, or none.
type Changes struct {
	Incidents []Incident // to insert or replace, by ID
	Touches   []Touch    // to insert or replace, by incident and claim
	Cleared   []Touch    // to remove, by incident and claim
	Notices   []Notice   // to insert; one that exists already stays as it is
	Events    []Event    // to append
}

// Empty reports whether there is nothing to commit.
func (c Changes) Empty() bool {
	return len(c.Incidents)+len(c.Touches)+len(c.Cleared)+len(c.Notices)+len(c.Events) == 0
}

func sameIncident(a, b Incident) bool {
	told := maps.Equal(a.Told, b.Told)
	a.Told, b.Told = nil, nil
	return told && incidentFields(a) == incidentFields(b)
}

// incidentFields is an incident as a comparable value.
func incidentFields(i Incident) [23]any {
	return [23]any{
		i.Speaker, i.Round, i.Eased, i.EasedAt.UTC(), i.ID, i.Cause, i.State, i.Link, i.Reason, i.Severity, i.Stage, i.Since.UTC(), i.OpenedAt.UTC(), i.HurtsAt.UTC(),
		i.Summary, i.Impact, i.Action, i.Basis, i.AckedBy, i.AckedAt.UTC(), i.AckedStage, i.ResolvedAt.UTC(), i.Resolution,
	}
}
