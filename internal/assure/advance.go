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
// An incident opens when a finding that concerns somebody has a cause that no open incident has, unless the claim is in
// an incident of the same kind already: a leaf that was renewed with the same fault is the same trouble. It worsens when
// a finding reaches a worse stage, and each route is told once for each stage. It eases when several looks in a row saw
// nothing of its stage; from then on getting worse pages afresh. It closes when every claim that it touches was seen,
// completely and several looks in a row, without the finding: missing data neither eases nor closes anything.
func Advance(d Docket, js []Judgement, s Setting) Changes {
	a := newAdvance(d, s)
	for _, j := range js {
		a.openAll(j)
	}
	filed := make([]map[IncidentID]bool, len(js))
	for n, j := range js {
		filed[n] = a.file(j)
	}
	for n, j := range js {
		a.clear(j, filed[n])
	}
	a.ease(js, filed)
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
	return i, Event{
		Incident: i.ID, At: at.UTC(), Kind: "acknowledged", Stage: i.Stage, Who: who,
		Text: fmt.Sprintf("%s acknowledged the stage %s. A worse stage will page again.", clip(who, 80), i.Stage),
	}, true
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
	apartStage map[IncidentID]Stage // worst stage of the touches outside the batch
	apartHurts map[IncidentID]time.Time
	touches    map[touchKey]Touch // open ones of the batch's claims, as they become
	was        map[touchKey]Touch
	cleared    map[touchKey]Touch
	notices    []Notice
	events     []Event
	worst      map[IncidentID]Finding // whose words the incident carries
	sure       map[IncidentID]bool    // the last look that cleared something was proof
	resolution string
}

func newAdvance(d Docket, s Setting) *advance {
	s.Now = moment(s.Now)
	a := &advance{
		Setting: s, byCause: map[string]*Incident{}, byID: map[IncidentID]*Incident{}, before: map[IncidentID]Incident{},
		elsewhere: d.Elsewhere, apartStage: d.ElsewhereStage, apartHurts: d.ElsewhereHurts, touches: map[touchKey]Touch{}, was: map[touchKey]Touch{}, cleared: map[touchKey]Touch{}, worst: map[IncidentID]Finding{}, sure: map[IncidentID]bool{},
	}
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

// grouped returns the worst finding of each cause, and the causes: those that have an incident first, so that what is
// left over may go on in one that lost its cause.
func (a *advance) grouped(j Judgement) (worst map[string]Finding, order []string) {
	worst = map[string]Finding{}
	for _, f := range j.Findings {
		w, ok := worst[f.Cause]
		if !ok {
			order = append(order, f.Cause)
		}
		if !ok || f.Stage > w.Stage {
			worst[f.Cause] = f
		}
	}
	slices.SortStableFunc(order, func(x, y string) int { return cmp.Compare(a.known(y), a.known(x)) })
	return worst, order
}

// openAll opens incidents for the causes that belong to none. It is done for the whole batch before anything is filed:
// where a finding goes must not depend on the order of the batch.
func (a *advance) openAll(j Judgement) {
	worst, order := a.grouped(j)
	taken := map[IncidentID]bool{}
	for _, cause := range order {
		i := a.byCause[cause]
		if i == nil {
			i = a.successor(j.Claim.ID, cause, taken)
		}
		if i == nil && worst[cause].Stage > StageNone {
			i = a.open(worst[cause])
		}
		if i != nil {
			taken[i.ID] = true
		}
	}
}

// file brings a judgement's findings into incidents and returns those incidents.
func (a *advance) file(j Judgement) map[IncidentID]bool {
	worst, order := a.grouped(j)
	filed := map[IncidentID]bool{}
	for _, cause := range order {
		f := worst[cause]
		i := a.byCause[cause]
		if i == nil {
			i = a.successor(j.Claim.ID, cause, filed)
		}
		if i == nil {
			continue // it may pass, and nobody was told
		}
		filed[i.ID] = true
		if f.Stage == StageNone {
			continue // still there, if only as something that may pass
		}
		t := Touch{Incident: i.ID, Claim: j.Claim.ID, Certificate: j.Claim.Certificate, Subject: j.Claim.Subject, Finding: f}
		a.touches[key(t)] = t
		a.worsen(i, f)
		a.tell(i, j.Claim.Route, f.Stage, f.Severity)
	}
	return filed
}

func (a *advance) known(cause string) int {
	if a.byCause[cause] != nil {
		return 1
	}
	return 0
}

// successor finds the incident that a new cause goes on with: one of the same kind that the claim is in already, and
// that no other finding of the judgement belongs to.
func (a *advance) successor(c ClaimID, cause string, filed map[IncidentID]bool) *Incident {
	for _, t := range a.touchesOf(c) {
		if i := a.byID[t.Incident]; i != nil && !filed[i.ID] && kindOf(i.Cause) == kindOf(cause) {
			return i
		}
	}
	return nil
}

// kindOf is the part of a cause that says what sort of trouble it is.
func kindOf(cause string) string {
	kind, _, _ := strings.Cut(cause, "/")
	return kind
}

func (a *advance) open(f Finding) *Incident {
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
	i.hurtsFrom(f.HurtsAt)
	if f.Stage > i.Stage {
		kind, text := "worsened", fmt.Sprintf("Now at the stage %s: %s", f.Stage, f.Summary)
		if i.Stage == StageNone {
			kind, text = "opened", f.Summary
		}
		i.Stage, i.Severity = f.Stage, f.Severity
		if i.State == Acked && i.AckedStage < f.Stage {
			i.State = Open
		}
		a.event(i.ID, kind, f.Stage, text)
	} else if f.Stage < i.Stage || i.Speaker != "" && i.Speaker != f.Claim && downstream(f.Link, i.Link) {
		return
	}
	a.speak(i, f)
}

// downstream reports whether link l comes after m on a certificate's way, so that what is found there may be the
// consequence of what is found at m.
func downstream(l, m Link) bool {
	return slices.Index(Links(), l) > slices.Index(Links(), m) && m != ""
}

// speak gives the incident the words of its worst finding; of equals, of the one that hurts first.
func (a *advance) speak(i *Incident, f Finding) {
	if w, ok := a.worst[i.ID]; ok && (w.Stage > f.Stage || w.Stage == f.Stage && !hurtsBefore(f, w)) {
		return
	}
	a.worst[i.ID] = f
	i.Speaker = f.Claim
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

// tell writes a notice to a route, unless it has had one for this stage or a worse one. Where a worse stage takes over,
// the alert of the stage before is closed in systems that keep one for each key.
func (a *advance) tell(i *Incident, to string, stage Stage, sev Severity) {
	route := a.route(to)
	told := i.Told[route]
	if told >= stage {
		return
	}
	i.Told[route] = stage
	a.notices = append(a.notices, a.notice(i, NoticeTrigger, stage, sev, route))
	if told > StageNone {
		a.notices = append(a.notices, a.notice(i, NoticeSupersede, told, sev, route))
	}
}

func (a *advance) notice(i *Incident, kind NoticeKind, stage Stage, sev Severity, route string) Notice {
	name := string(i.ID)
	if i.Round > 0 {
		name = fmt.Sprintf("%s.%d", i.ID, i.Round+1)
	}
	return Notice{
		ID: fmt.Sprintf("%s/%s/%s/%s", name, stage, kind, route), Incident: i.ID, Kind: kind, Stage: stage, Severity: sev,
		Route: route, Channels: a.channels(route, i.Cause), DedupKey: fmt.Sprintf("notafter/%s/%s", name, stage), At: a.Now,
		DueAt: later(a.Now, i.OpenedAt.Add(a.Policy.Gather)),
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
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
func (a *advance) clear(j Judgement, filed map[IncidentID]bool) {
	if !j.Complete || j.SeenAt.IsZero() {
		return
	}
	for _, t := range a.touchesOf(j.Claim.ID) {
		if a.byID[t.Incident] == nil || filed[t.Incident] || !j.SeenAt.After(t.ClearAt) {
			continue
		}
		t.Clear++
		t.ClearAt = j.SeenAt
		if t.Clear >= a.Policy.clear() || j.Sure {
			a.cleared[key(t)] = t
			a.sure[t.Incident] = j.Sure
			if i := a.byID[t.Incident]; i.Speaker == t.Claim {
				i.Speaker = "" // what is left may speak now
			}
			continue
		}
		a.touches[key(t)] = t
	}
}

// ease lets incidents fall back to a lesser stage after as many looks as closing one takes. An acknowledgement covers
// what it was given for: when it gets worse again, people are told again.
func (a *advance) ease(js []Judgement, filed []map[IncidentID]bool) {
	looked := map[IncidentID]time.Time{} // when the latest complete look at one of its claims was made
	for n, j := range js {
		for id := range filed[n] {
			if j.Complete && j.SeenAt.After(looked[id]) {
				looked[id] = j.SeenAt
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(looked)) {
		i := a.byID[id]
		now := a.apartStage[id]
		for k, t := range a.touches {
			if _, gone := a.cleared[k]; k.incident == id && !gone {
				now = max(now, t.Finding.Stage)
			}
		}
		switch {
		case now == StageNone:
		case now >= i.Stage:
			i.Eased, i.EasedAt = 0, time.Time{}
		case looked[id].After(i.EasedAt):
			i.Eased++
			i.EasedAt = looked[id]
			if i.Eased >= a.Policy.clear() {
				a.fallBack(i, now)
			}
		}
	}
}

func (a *advance) fallBack(i *Incident, stage Stage) {
	a.event(i.ID, "eased", stage, fmt.Sprintf("Nothing of the stage %s was seen for %d looks in a row; what is left is of the stage %s.", i.Stage, a.Policy.clear(), stage))
	told := i.Told
	for _, route := range slices.Sorted(maps.Keys(told)) {
		if told[route] > stage {
			a.notices = append(a.notices, a.notice(i, NoticeSupersede, told[route], severityOf(stage), route))
		}
	}
	i.Round++
	i.Stage, i.Severity, i.Eased, i.EasedAt = stage, severityOf(stage), 0, time.Time{}
	i.Told = map[string]Stage{}
	for _, route := range slices.Sorted(maps.Keys(told)) {
		a.tell(i, route, min(stage, told[route]), severityOf(min(stage, told[route])))
	}
	if i.State == Acked && i.AckedStage > stage {
		i.AckedStage = stage
	}
	i.HurtsAt = a.apartHurts[i.ID].UTC()
	for k, t := range a.touches {
		if _, gone := a.cleared[k]; gone || t.Incident != i.ID {
			continue
		}
		i.hurtsFrom(t.Finding.HurtsAt)
		if t.Finding.Stage == stage {
			a.speak(i, t.Finding)
		}
	}
}

// hurtsFrom takes a moment at which the first client may be refused.
func (i *Incident) hurtsFrom(at time.Time) {
	if !at.IsZero() && (i.HurtsAt.IsZero() || at.Before(i.HurtsAt)) {
		i.HurtsAt = at.UTC()
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
		if a.sure[i.ID] {
			i.Resolution = "Everything it touched was proven to work: by a rehearsal or a renewal that went through, seen in service."
		}
	}
	a.event(i.ID, "resolved", i.Stage, i.Resolution)
	for _, route := range slices.Sorted(maps.Keys(i.Told)) {
		a.notices = append(a.notices, a.notice(i, NoticeResolve, i.Told[route], i.Severity, route))
	}
}
