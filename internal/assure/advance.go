package assure

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Advance turns a batch of judgements into changes of the incidents on the docket. With the changes applied, advancing
// again by the same judgements gives no changes.
//
// An incident opens when a finding that concerns somebody has a cause that no open incident has. It worsens when a
// finding reaches a worse stage, and each route is told once for each stage. It closes when every claim that it touches
// was seen, completely and several looks in a row, without the finding: missing data closes nothing.
func Advance(d Docket, js []Judgement, s Setting) Changes {
	a := newAdvance(d, s)
	for _, j := range js {
		a.file(j)
	}
	for _, j := range js {
		a.clear(j)
	}
	return a.finish()
}

// Causes returns the distinct causes of the judgements' findings that concern somebody, for loading a docket.
func Causes(js []Judgement) []string {
	set := map[string]bool{}
	for _, j := range js {
		for _, f := range j.Findings {
			if f.Stage > StageNone {
				set[f.Cause] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// Withdraw takes claims that are no longer declared out of the incidents on the docket. An incident left with nothing
// is closed, and says that it was withdrawn rather than mended.
func Withdraw(d Docket, claims []ClaimID, s Setting) Changes {
	a := newAdvance(d, s)
	for _, c := range claims {
		for _, t := range a.touchesOf(c) {
			a.cleared[key(t)] = t
			a.event(t.Incident, "withdrawn", StageNone, fmt.Sprintf("%s is no longer declared; it was not seen to be mended.", firstOf([]string{clip(t.Subject, 120)}, string(c))))
		}
	}
	a.resolution = "What it touched is no longer declared. Nobody saw it mended."
	return a.finish()
}

// Acknowledge records that who has taken the incident's present stage. Acknowledging a stage again, or an incident that
// is resolved, changes nothing; ok is then false.
func Acknowledge(i Incident, who string, at time.Time) (next Incident, e Event, ok bool) {
	if i.State == Resolved || i.State == Acked && i.AckedStage >= i.Stage {
		return i, Event{}, false
	}
	i.State, i.AckedBy, i.AckedAt, i.AckedStage = Acked, who, at.UTC(), i.Stage
	return i, Event{Incident: i.ID, At: at.UTC(), Kind: "acknowledged", Stage: i.Stage, Who: who,
		Text: fmt.Sprintf("%s acknowledged the stage %s. A worse stage will page again.", clip(who, 80), i.Stage)}, true
}

type touchKey struct {
	incident IncidentID
	claim    ClaimID
}

func key(t Touch) touchKey { return touchKey{t.Incident, t.Claim} }

type advance struct {
	Setting
	byCause    map[string]*Incident
	byID       map[IncidentID]*Incident
	before     map[IncidentID]Incident // as they stood on the docket
	elsewhere  map[IncidentID]int
	touches    map[touchKey]Touch // open ones of the batch's claims, as they become
	was        map[touchKey]Touch
	cleared    map[touchKey]Touch
	notices    []Notice
	events     []Event
	worst      map[IncidentID]Finding // whose words the incident carries
	resolution string
}

func newAdvance(d Docket, s Setting) *advance {
	s.Now = moment(s.Now)
	a := &advance{Setting: s, byCause: map[string]*Incident{}, byID: map[IncidentID]*Incident{}, before: map[IncidentID]Incident{},
		elsewhere: d.Elsewhere, touches: map[touchKey]Touch{}, was: map[touchKey]Touch{}, cleared: map[touchKey]Touch{}, worst: map[IncidentID]Finding{}}
	for _, i := range d.Incidents {
		if i.State == Resolved {
			continue
		}
		a.before[i.ID] = i
		i.Told = maps.Clone(i.Told)
		a.byCause[i.Cause], a.byID[i.ID] = &i, &i
	}
	for _, t := range d.Touches {
		a.touches[key(t)], a.was[key(t)] = t, t
	}
	return a
}

func (a *advance) touchesOf(c ClaimID) []Touch {
	var out []Touch
	for k, t := range a.touches {
		if k.claim == c {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(x, y Touch) int { return cmp.Compare(x.Incident, y.Incident) })
	return out
}

// file brings a judgement's findings into incidents: the worst finding of each cause.
func (a *advance) file(j Judgement) {
	worst := map[string]Finding{}
	var order []string
	for _, f := range j.Findings {
		if f.Stage == StageNone {
			continue
		}
		w, ok := worst[f.Cause]
		if !ok {
			order = append(order, f.Cause)
		}
		if !ok || f.Stage > w.Stage {
			worst[f.Cause] = f
		}
	}
	for _, cause := range order {
		f := worst[cause]
		i := a.incident(f)
		t := Touch{Incident: i.ID, Claim: j.Claim.ID, Certificate: j.Claim.Certificate, Subject: j.Claim.Subject, Finding: f}
		a.touches[key(t)] = t
		a.worsen(i, f)
		a.tell(i, j.Claim, f)
	}
}

func (a *advance) incident(f Finding) *Incident {
	if i, ok := a.byCause[f.Cause]; ok {
		return i
	}
	i := &Incident{ID: incidentID(f.Cause, a.Now), Cause: f.Cause, State: Open, Link: f.Link, Since: f.Since, OpenedAt: a.Now, Told: map[string]Stage{}}
	a.byCause[f.Cause], a.byID[i.ID] = i, i
	return i
}

// incidentID is 40 bits of a hash in base 32: short enough to be read aloud, and the same for the same opening.
func incidentID(cause string, at time.Time) IncidentID {
	sum := sha256.Sum256([]byte(cause + "\x00" + at.UTC().Format(time.RFC3339Nano)))
	return IncidentID(strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5])))
}

func (a *advance) worsen(i *Incident, f Finding) {
	if f.Since.Before(i.Since) {
		i.Since = f.Since
	}
	if !f.HurtsAt.IsZero() && (i.HurtsAt.IsZero() || f.HurtsAt.Before(i.HurtsAt)) {
		i.HurtsAt = f.HurtsAt.UTC()
	}
	if f.Stage > i.Stage {
		kind, text := "worsened", fmt.Sprintf("Now at the stage %s: %s", f.Stage, f.Summary)
		if i.Stage == StageNone {
			kind, text = "opened", f.Summary
		}
		i.Stage, i.Severity, i.Reason, i.Link = f.Stage, f.Severity, f.Reason, f.Link
		if i.State == Acked && i.AckedStage < f.Stage {
			i.State = Open
		}
		a.event(i.ID, kind, f.Stage, text)
	} else if f.Stage < i.Stage {
		return
	}
	// The words are those of the worst finding; of equals, of the one that hurts first.
	if w, ok := a.worst[i.ID]; ok && (w.Stage > f.Stage || w.Stage == f.Stage && !hurtsBefore(f, w)) {
		return
	}
	a.worst[i.ID] = f
	i.Reason, i.Link, i.Summary, i.Impact, i.Action, i.Basis = f.Reason, f.Link, f.Summary, f.Impact, f.Action, f.Basis
}

func hurtsBefore(f, g Finding) bool {
	switch {
	case f.HurtsAt.IsZero() || g.HurtsAt.IsZero():
		return !f.HurtsAt.IsZero() && g.HurtsAt.IsZero()
	case f.HurtsAt.Equal(g.HurtsAt):
		return f.Claim < g.Claim
	default:
		return f.HurtsAt.Before(g.HurtsAt)
	}
}

// tell writes a notice to the claim's route, unless the route has had one for this stage or a worse one. Where a
// worse stage takes over, the alert of the stage before is closed in systems that keep one for each key.
func (a *advance) tell(i *Incident, c Claim, f Finding) {
	route := a.route(c.Route)
	told := i.Told[route]
	if told >= f.Stage {
		return
	}
	i.Told[route] = f.Stage
	channels := a.channels(route, i.Cause)
	a.notices = append(a.notices, a.notice(i, NoticeTrigger, f.Stage, f.Severity, route, channels))
	if told > StageNone {
		a.notices = append(a.notices, a.notice(i, NoticeSupersede, told, f.Severity, route, channels))
	}
}

func (a *advance) notice(i *Incident, kind NoticeKind, stage Stage, sev Severity, route string, channels []string) Notice {
	return Notice{
		ID: fmt.Sprintf("%s/%s/%s/%s", i.ID, stage, kind, route), Incident: i.ID, Kind: kind, Stage: stage, Severity: sev,
		Route: route, Channels: channels, DedupKey: fmt.Sprintf("notafter/%s/%s", i.ID, stage), At: a.Now,
	}
}

func (a *advance) route(r string) string {
	if _, ok := a.Routes[r]; ok && r != "" {
		return r
	}
	return a.DefaultRoute
}

// channels of a route, without the one that the incident is about: a channel that refuses messages is told of through
// another one, of any route if need be.
func (a *advance) channels(route, cause string) []string {
	list := a.Routes[route]
	bad, ok := strings.CutPrefix(cause, "channel/")
	if !ok {
		return slices.Clone(list)
	}
	without := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(c string) bool { return c == bad })
	}
	if good := without(list); len(good) > 0 {
		return good
	}
	var all []string
	for _, r := range slices.Sorted(maps.Keys(a.Routes)) {
		for _, c := range without(a.Routes[r]) {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

// clear counts looks that saw a claim without the finding it is touched for.
func (a *advance) clear(j Judgement) {
	if !j.Complete || j.SeenAt.IsZero() {
		return
	}
	present := map[string]bool{}
	for _, f := range j.Findings {
		present[f.Cause] = true
	}
	for _, t := range a.touchesOf(j.Claim.ID) {
		i, ok := a.byID[t.Incident]
		if !ok || present[i.Cause] || !j.SeenAt.After(t.ClearAt) {
			continue
		}
		t.Clear++
		t.ClearAt = j.SeenAt
		if t.Clear >= a.Policy.clear() {
			a.cleared[key(t)] = t
			continue
		}
		a.touches[key(t)] = t
	}
}

func (a *advance) event(id IncidentID, kind string, stage Stage, text string) {
	a.events = append(a.events, Event{Incident: id, At: a.Now, Kind: kind, Stage: stage, Text: text})
}

func (a *advance) finish() Changes {
	var ch Changes
	left := maps.Clone(a.elsewhere)
	if left == nil {
		left = map[IncidentID]int{}
	}
	emptied := map[IncidentID]Touch{}
	for k, t := range a.touches {
		if c, ok := a.cleared[k]; ok {
			ch.Cleared = append(ch.Cleared, c)
			emptied[k.incident] = c
			continue
		}
		left[k.incident]++
		if before, ok := a.was[k]; !ok || before != t {
			ch.Touches = append(ch.Touches, t)
		}
	}
	for id := range emptied {
		if i := a.byID[id]; i != nil && left[id] == 0 {
			a.resolve(i)
		}
	}
	for id, i := range a.byID {
		if before, ok := a.before[id]; !ok || !sameIncident(before, *i) {
			ch.Incidents = append(ch.Incidents, *i)
		}
	}
	slices.SortFunc(ch.Incidents, func(x, y Incident) int { return cmp.Compare(x.ID, y.ID) })
	byTouch := func(x, y Touch) int {
		return cmp.Or(cmp.Compare(x.Incident, y.Incident), cmp.Compare(x.Claim, y.Claim))
	}
	slices.SortFunc(ch.Touches, byTouch)
	slices.SortFunc(ch.Cleared, byTouch)
	ch.Notices, ch.Events = a.notices, a.events
	return ch
}

func (a *advance) resolve(i *Incident) {
	i.State, i.ResolvedAt = Resolved, a.Now
	i.Resolution = a.resolution
	if i.Resolution == "" {
		i.Resolution = fmt.Sprintf("Everything it touched was seen to be well, completely, %d looks in a row.", a.Policy.clear())
	}
	a.event(i.ID, "resolved", i.Stage, i.Resolution)
	for _, route := range slices.Sorted(maps.Keys(i.Told)) {
		a.notices = append(a.notices, a.notice(i, NoticeResolve, i.Told[route], i.Severity, route, a.channels(route, i.Cause)))
	}
}

func sameIncident(a, b Incident) bool {
	told := maps.Equal(a.Told, b.Told)
	a.Told, b.Told = nil, nil
	return told && incidentFields(a) == incidentFields(b)
}

// incidentFields is an incident as a comparable value.
func incidentFields(i Incident) [19]any {
	return [19]any{i.ID, i.Cause, i.State, i.Link, i.Reason, i.Severity, i.Stage, i.Since.UTC(), i.OpenedAt.UTC(), i.HurtsAt.UTC(),
		i.Summary, i.Impact, i.Action, i.Basis, i.AckedBy, i.AckedAt.UTC(), i.AckedStage, i.ResolvedAt.UTC(), i.Resolution}
}
