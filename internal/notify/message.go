package notify

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// Message is a delivery as people read it, rendered once and then shaped by each channel. All texts are one line, clean
// of control characters, and still hostile as markup. All times are in UTC; zero when not known.
type Message struct {
	Delivery int64
	Notice   string // the notice's id: the same for every channel and attempt
	Channel  string
	Kind     assure.NoticeKind
	Stage    assure.Stage
	Severity assure.Severity
	Route    string
	DedupKey string // of this stage
	// LowerKeys are the deduplication keys of the stages below this one, for closing what they may have opened.
	LowerKeys  []string
	Incident   assure.IncidentID
	Link       string // page of the incident; empty when no base address is configured
	Reason     assure.Reason
	ChainLink  assure.Link // which link of the chain is broken
	Docs       string      // page of the reason; empty when there is none
	Title      string      // one line with the stage in front; see [Message.Headline]
	Summary    string
	Impact     string
	Action     string
	Basis      string
	Resolution string
	Since      time.Time
	OpenedAt   time.Time
	HurtsAt    time.Time
	ResolvedAt time.Time
	AckedBy    string // who took this stage or a worse one; empty when nobody did
	AckedAt    time.Time
	// Certificates and Endpoints are samples, worst first; Touched counts all that is touched.
	Certificates []string
	Endpoints    []string
	Touched      int
	// Stakes are certificates with the moment from which their clients are refused, the soonest first.
	Stakes []assure.Stake
	// ProviderID is what the channel called an earlier notice of the incident.
	ProviderID string
	// At is the moment of rendering: relative times are relative to it.
	At time.Time

	lines []line
}

// Labels of the lines of a body.
const (
	labelWhat     = "What"
	labelSince    = "Since"
	labelHurts    = "Clients"
	labelImpact   = "Who will notice"
	labelAction   = "Do next"
	labelBasis    = "Evidence"
	labelTouches  = "Touches"
	labelAcked    = "Taken"
	labelResolved = "Resolved"
	labelProof    = "Proof"
	labelIncident = "Incident"
	labelOpen     = "Open"
)

// Bounds of single fields in characters, so that no text of a stranger can crowd out the rest. Ours are far below them.
const (
	maxField  = 600
	maxSample = 100
)

// NewMessage renders a delivery as it stands at now. baseURL is where people reach the dashboard, with or without a
// trailing slash; when empty, messages carry no link.
func NewMessage(d assure.Delivery, baseURL string, now time.Time) Message {
	i, n := d.Incident, d.Notice
	field := func(s string) string { return clipRunes(clean(s), maxField) }
	m := Message{
		Delivery: d.ID, Notice: n.ID, Channel: d.Channel, Kind: n.Kind, Stage: n.Stage, Severity: n.Severity,
		Route: clipRunes(clean(n.Route), maxSample), DedupKey: clean(n.DedupKey), LowerKeys: lowerKeys(n),
		Incident: assure.IncidentID(clipRunes(clean(string(n.Incident)), maxSample)), Reason: i.Reason, ChainLink: i.Link,
		Summary: field(i.Summary), Impact: field(i.Impact), Action: field(i.Action), Basis: field(i.Basis),
		Resolution: field(i.Resolution), Since: utc(i.Since), OpenedAt: utc(i.OpenedAt), HurtsAt: utc(i.HurtsAt),
		ResolvedAt: utc(i.ResolvedAt), Certificates: samples(d.Certificates), Endpoints: samples(d.Endpoints),
		Touched: d.Touched, Stakes: stakes(d.Stakes), ProviderID: clean(d.ProviderID), At: now.UTC(),
	}
	if m.Incident == "" {
		m.Incident = assure.IncidentID(clipRunes(clean(string(i.ID)), maxSample))
	}
	if m.OpenedAt.IsZero() {
		m.OpenedAt = utc(n.At)
	}
	if i.AckedBy != "" && i.AckedStage >= n.Stage {
		m.AckedBy, m.AckedAt = clipRunes(clean(i.AckedBy), maxSample), utc(i.AckedAt)
	}
	if i.Reason.Link() != "" {
		m.Docs = i.Reason.Docs()
	}
	if baseURL != "" && m.Incident != "" {
		m.Link = strings.TrimRight(baseURL, "/") + "/incidents/" + url.PathEscape(string(m.Incident))
	}
	if m.Summary == "" {
		m.Summary = "An incident was opened; its record holds no summary."
		if m.Kind == assure.NoticeTest {
			m.Summary = "This is a drill: nothing is wrong. It shows that a page reaches you."
		}
	}
	if m.Kind == assure.NoticeTest && m.Action == "" {
		m.Action = "Acknowledge it."
	}
	m.Title = "[" + m.label() + "] " + m.Summary
	m.lines = m.render()
	return m
}

// lowerKeys derives the keys of the stages below the notice's from its own, which ends in the stage's name or number.
func lowerKeys(n assure.Notice) []string {
	var out []string
	for _, form := range []func(assure.Stage) string{
		assure.Stage.String,
		func(s assure.Stage) string { return fmt.Sprint(int(s)) },
	} {
		base, ok := strings.CutSuffix(clean(n.DedupKey), form(n.Stage))
		if !ok || base == "" {
			continue
		}
		for s := assure.StageTicket; s < n.Stage; s++ {
			out = append(out, base+form(s))
		}
		break
	}
	return out
}

// label is the word that stands in front of everything else.
func (m Message) label() string {
	switch m.Kind {
	case assure.NoticeResolve:
		return "RESOLVED"
	case assure.NoticeAck:
		return "TAKEN"
	case assure.NoticeTest:
		return "DRILL"
	case assure.NoticeSupersede:
		return "SUPERSEDED"
	}
	return strings.ToUpper(m.Stage.String())
}

// Urgent reports whether somebody must be woken by it: a page or worse that nobody has taken, or a drill of one.
func (m Message) Urgent() bool {
	return (m.Kind == assure.NoticeTrigger || m.Kind == assure.NoticeTest) && m.Stage >= assure.StagePage && m.AckedBy == ""
}

// Over reports whether the message says that nothing more is to be done.
func (m Message) Over() bool { return m.Kind == assure.NoticeResolve }

// Headline is the title in at most n characters.
func (m Message) Headline(n int) string { return clipRunes(m.Title, n) }

// Body is the whole message as plain text lines.
func (m Message) Body() string { return join(m.lines) }

// started is the moment from which the incident is told to have begun.
func (m Message) started() time.Time {
	if !m.Since.IsZero() {
		return m.Since
	}
	return m.OpenedAt
}

func (m Message) render() []line {
	var out []line
	add := func(weight int, label, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			out = append(out, line{label, text, weight})
		}
	}
	add(9, labelWhat, "%s", m.Summary)
	if m.Over() {
		if !m.ResolvedAt.IsZero() {
			text := moment(m.ResolvedAt, m.At)
			if s := m.started(); !s.IsZero() && m.ResolvedAt.After(s) {
				text += ", after " + assure.Ago(m.ResolvedAt.Sub(s))
			}
			add(8, labelResolved, "%s", text)
		}
		add(7, labelProof, "%s", m.Resolution)
	}
	if s := m.started(); !s.IsZero() {
		add(7, labelSince, "%s", moment(s, m.At))
	}
	switch {
	case m.HurtsAt.IsZero():
	case !m.HurtsAt.After(m.At):
		if m.Over() {
			add(4, labelHurts, "were refused from %s on", moment(m.HurtsAt, m.At))
		} else {
			add(7, labelHurts, "are refused since %s", moment(m.HurtsAt, m.At))
		}
	case !m.Over():
		add(7, labelHurts, "are refused from %s on", moment(m.HurtsAt, m.At))
	}
	if m.AckedBy != "" && !m.Over() {
		text := "by " + m.AckedBy
		if !m.AckedAt.IsZero() {
			text += ", " + moment(m.AckedAt, m.At)
		}
		add(8, labelAcked, "%s", text)
	}
	if !m.Over() {
		add(6, labelImpact, "%s", m.Impact)
		add(8, labelAction, "%s", m.Action)
	}
	add(3, labelBasis, "%s", m.Basis)
	weight := 4
	if m.foreseen() && !m.Over() {
		weight = 6 // nothing hurts yet: what will, and when, is what makes it urgent
	}
	add(weight, labelTouches, "%s", m.touches())
	id := string(m.Incident)
	if id == "" {
		id = "none"
	}
	if m.Route != "" {
		id += ", route " + m.Route
	}
	add(keep, labelIncident, "%s", id)
	if m.Link != "" {
		add(keep, labelOpen, "%s", m.Link)
	}
	return out
}

// touches says how much is concerned, with a sample.
func (m Message) touches() string {
	var parts []string
	certificates := m.Certificates
	if at := m.atStake(); len(at) > 0 {
		certificates = at
	}
	if len(certificates) > 0 {
		parts = append(parts, plural(len(certificates), "certificate ", "certificates ")+strings.Join(certificates, ", "))
	}
	if len(m.Endpoints) > 0 {
		parts = append(parts, plural(len(m.Endpoints), "endpoint ", "endpoints ")+strings.Join(m.Endpoints, ", "))
	}
	sample := strings.Join(parts, "; ")
	shown := max(len(certificates), len(m.Endpoints))
	switch {
	case m.Touched <= 0:
		return sample
	case sample == "":
		return fmt.Sprintf("%d %s", m.Touched, plural(m.Touched, "claim", "claims"))
	case m.Touched > shown:
		return fmt.Sprintf("%d in all, among them %s", m.Touched, sample)
	default:
		return fmt.Sprintf("%d: %s", m.Touched, sample)
	}
}

// foreseen reports whether the incident is about a link that fails long before any client notices.
func (m Message) foreseen() bool {
	switch m.ChainLink {
	case assure.Permission, assure.Renewal, assure.Issuance:
		return true
	}
	return false
}

// atStake names the certificates at stake with their dates, for a link that fails before they do; nil for another link,
// and once it is over, because then the dates are no longer those of what is served.
func (m Message) atStake() []string {
	if !m.foreseen() || m.Over() {
		return nil
	}
	var out []string
	for _, k := range m.Stakes {
		switch {
		case k.HurtsAt.IsZero():
			out = append(out, k.Certificate)
		case k.HurtsAt.After(m.At):
			out = append(out, k.Certificate+" (until "+stamp(k.HurtsAt)+")")
		default:
			out = append(out, k.Certificate+" (ended "+stamp(k.HurtsAt)+")")
		}
	}
	return out
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// mostSamples is how many of each a message names.
const mostSamples = 10

func samples(in []string) []string {
	var out []string
	for _, s := range in {
		if s = clipRunes(clean(s), maxSample); s != "" {
			out = append(out, s)
		}
		if len(out) == mostSamples {
			break
		}
	}
	return out
}

func stakes(in []assure.Stake) []assure.Stake {
	var out []assure.Stake
	for _, k := range in {
		if k.Certificate = clipRunes(clean(k.Certificate), maxSample); k.Certificate != "" {
			out = append(out, assure.Stake{Certificate: k.Certificate, HurtsAt: utc(k.HurtsAt)})
		}
		if len(out) == mostSamples {
			break
		}
	}
	return out
}

// moment tells a time absolutely, in UTC, and relative to now.
func moment(t, now time.Time) string {
	abs := stamp(t)
	switch d := now.Sub(t); {
	case d > 0:
		return abs + " (" + assure.Ago(d) + " ago)"
	case d < 0:
		return abs + " (in " + assure.Ago(d) + ")"
	}
	return abs + " (now)"
}

// stamp tells a time absolutely.
func stamp(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04 UTC") }

// utc keeps a zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
