package assure_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/notafter/notafter/internal/assure"
)

// court is a tiny ledger: it keeps incidents, applies changes, and remembers who was told what.
type court struct {
	t         *testing.T
	s         Setting
	incidents map[IncidentID]Incident
	touches   map[string]Touch
	notices   map[string]Notice
	told      []string
}

func newCourt(t *testing.T) *court {
	return &court{
		t: t, incidents: map[IncidentID]Incident{}, touches: map[string]Touch{}, notices: map[string]Notice{},
		s: Setting{Now: now, DefaultRoute: "sre", Routes: map[string][]string{"sre": {"slack", "pd"}, "web": {"mail"}}},
	}
}

func (c *court) docket(ids []ClaimID, causes []string) Docket {
	d := Docket{Elsewhere: map[IncidentID]int{}, ElsewhereStage: map[IncidentID]Stage{}, ElsewhereHurts: map[IncidentID]time.Time{}}
	wanted := map[IncidentID]bool{}
	for _, t := range c.touches {
		if slices.Contains(ids, t.Claim) {
			d.Touches = append(d.Touches, t)
			wanted[t.Incident] = true
		}
	}
	for id, i := range c.incidents {
		if i.State != Resolved && (wanted[id] || slices.Contains(causes, i.Cause)) {
			d.Incidents = append(d.Incidents, i)
			for _, t := range c.touches {
				if t.Incident == id && !slices.Contains(ids, t.Claim) {
					d.Elsewhere[id]++
					d.ElsewhereStage[id] = max(d.ElsewhereStage[id], t.Finding.Stage)
					if at := t.Finding.HurtsAt; !at.IsZero() && (d.ElsewhereHurts[id].IsZero() || at.Before(d.ElsewhereHurts[id])) {
						d.ElsewhereHurts[id] = at
					}
				}
			}
		}
	}
	return d
}

func (c *court) advance(js ...Judgement) Changes {
	c.t.Helper()
	var ids []ClaimID
	for _, j := range js {
		ids = append(ids, j.Claim.ID)
	}
	ch := Advance(c.docket(ids, Causes(js)), js, c.s)
	c.apply(ch)
	if again := Advance(c.docket(ids, Causes(js)), js, c.s); !again.Empty() {
		c.t.Fatalf("advancing twice is not the same as once: %+v", again)
	}
	return ch
}

func (c *court) apply(ch Changes) {
	c.t.Helper()
	for _, i := range ch.Incidents {
		c.incidents[i.ID] = i
	}
	for _, t := range ch.Touches {
		c.touches[string(t.Incident)+string(t.Claim)] = t
	}
	for _, t := range ch.Cleared {
		delete(c.touches, string(t.Incident)+string(t.Claim))
	}
	for _, n := range ch.Notices {
		if _, ok := c.notices[n.ID]; ok {
			c.t.Fatalf("notice %s made twice", n.ID)
		}
		c.notices[n.ID] = n
		c.told = append(c.told, fmt.Sprintf("%s %s to %s", n.Kind, n.Stage, n.Route))
	}
}

func (c *court) open() []Incident {
	var out []Incident
	for _, i := range c.incidents {
		if i.State != Resolved {
			out = append(out, i)
		}
	}
	return out
}

// heard returns what was told since the last call.
func (c *court) heard() string {
	s := strings.Join(c.told, "; ")
	c.told = nil
	return s
}

func (c *court) expect(what, want string) {
	c.t.Helper()
	if got := c.heard(); got != want {
		c.t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

func judged(name string, at time.Time, served Served) Judgement {
	cl := claim()
	cl.ID, cl.Certificate, cl.Subject = NewClaimID(Serving, name, name), name, name
	return Judge(Case{Claim: cl, Evidence: &Evidence{Fact: served, Observer: "probe@test", FirstSeen: at, LastSeen: at, Count: 1}}, Setting{Now: at})
}

func TestAnIncidentFromFirstTicketToProof(t *testing.T) {
	c := newCourt(t)
	leaf := leafCert("l", 0, 90*day)
	at := func(d time.Duration) time.Time { c.s.Now = now.Add(d); return c.s.Now }

	c.advance(judged("www", at(30*day), withLeaf(leaf)))
	c.expect("all is well", "")
	c.advance(judged("www", at(64*day), withLeaf(leaf)))
	c.expect("late", "trigger ticket to sre")
	c.advance(judged("www", at(65*day), withLeaf(leaf)))
	c.expect("still late", "")

	i, e, ok := Acknowledge(c.open()[0], "ana", at(66*day))
	if !ok || e.Who != "ana" || i.State != Acked {
		t.Fatalf("acknowledged: %v %+v", ok, i)
	}
	c.incidents[i.ID] = i
	if _, _, ok := Acknowledge(i, "ben", c.s.Now); ok {
		t.Error("the same stage can be acknowledged twice")
	}

	c.advance(judged("www", at(82*day), withLeaf(leaf)))
	c.expect("a tenth is left: an acknowledged ticket does not mute the page", "trigger page to sre; supersede ticket to sre")
	if s := c.open()[0].State; s != Open {
		t.Errorf("state %s, want open again", s)
	}
	c.advance(judged("www", at(90*day+time.Hour), withLeaf(leaf)))
	c.expect("expired", "trigger outage to sre; supersede page to sre")

	// Silence does not close it: the endpoint is gone, or nobody looks.
	gone := Served{DNS: DNS{Failure: DNSTimeout}}
	for d := range 5 {
		c.advance(judged("www", at(91*day+time.Duration(d)*time.Hour), gone))
	}
	for _, i := range c.open() {
		if i.Reason == Expired && i.State == Resolved {
			t.Error("missing data closed the incident")
		}
	}
	c.heard()

	fresh := withLeaf(leafCert("new", 92*day, 182*day))
	c.advance(judged("www", at(92*day+time.Hour), fresh))
	c.expect("one good look is not enough", "")
	c.advance(judged("www", c.s.Now, fresh))
	c.expect("judging the same look again is not a second look", "")
	c.advance(judged("www", at(92*day+2*time.Hour), fresh))
	if len(c.open()) != 0 {
		t.Errorf("still open: %+v", c.open())
	}
	if got := c.heard(); !strings.Contains(got, "resolve outage to sre") {
		t.Errorf("told %q, want the resolve", got)
	}
}

func TestFourHundredCertificatesBehindOneIntermediateAreOnePage(t *testing.T) {
	c := newCourt(t)
	s := healthy()
	s.Chains[0].Paths[0].NotAfter, s.Chains[0].Paths[0].LimitedBy = now.Add(-time.Hour), "inter"
	for shard := range 4 {
		var js []Judgement
		for n := range 100 {
			js = append(js, judged(fmt.Sprintf("c%d-%d", shard, n), now, s))
		}
		c.advance(js...)
	}
	if n := len(c.open()); n != 1 {
		t.Fatalf("%d incidents, want 1", n)
	}
	if len(c.touches) != 400 {
		t.Errorf("%d claims touched, want 400", len(c.touches))
	}
	c.expect("400 certificates", "trigger outage to sre")

	// It closes only when the last of them has been seen well.
	for look := range 2 {
		c.s.Now = now.Add(time.Duration(look+1) * time.Hour)
		for n := range 399 {
			c.advance(judged(fmt.Sprintf("c%d-%d", n/100, n%100), c.s.Now, healthy()))
		}
	}
	if len(c.open()) != 1 {
		t.Fatal("closed although one is still broken")
	}
	for look := range 2 {
		c.s.Now = now.Add(time.Duration(look+5) * time.Hour)
		c.advance(judged("c3-99", c.s.Now, healthy()))
	}
	if len(c.open()) != 0 {
		t.Error("still open after the last was seen well twice")
	}
	c.expect("the end", "resolve outage to sre")
}

// The first messages wait until it is known what else the cause touches; later ones, about a worse stage, do not.
func TestTheFirstMessageGathers(t *testing.T) {
	c := newCourt(t)
	c.s.Policy.Gather = 10 * time.Second
	leaf := leafCert("l", 0, 90*day)
	opened := now.Add(64 * day)
	c.s.Now = opened
	first := c.advance(judged("www", opened, withLeaf(leaf)))
	if n := first.Notices; len(n) != 1 || !n[0].DueAt.Equal(opened.Add(10*time.Second)) {
		t.Errorf("the first message: %+v", n)
	}
	c.s.Now = now.Add(82 * day)
	worse := c.advance(judged("www", c.s.Now, withLeaf(leaf)))
	if n := worse.Notices; len(n) != 2 || !n[0].DueAt.Equal(c.s.Now) || !n[1].DueAt.Equal(c.s.Now) {
		t.Errorf("a worse stage, days later: %+v", n)
	}
}

func TestEachRouteIsToldOnce(t *testing.T) {
	c := newCourt(t)
	bad := withLeaf(leafCert("wild", -90*day, -day))
	a, b := judged("a", now, bad), judged("b", now, bad)
	b.Claim.Route = "web"
	c.advance(a)
	c.advance(b)
	c.expect("one leaf, two teams", "trigger outage to sre; trigger outage to web")
	if n := len(c.open()); n != 1 {
		t.Errorf("%d incidents for one leaf, want 1", n)
	}
}

func TestFlappingBetweenTwoCertificatesIsOneIncident(t *testing.T) {
	c := newCourt(t)
	a, b := withLeaf(leafCert("a", -50*day, 40*day)), withLeaf(leafCert("b", -20*day, 70*day))
	cl := claim()
	var prior []Finding
	for look := range 20 {
		at := now.Add(time.Duration(look) * time.Minute)
		c.s.Now = at
		ev := &Evidence{Fact: a, Alternate: b, Returned: at, FirstSeen: at, LastSeen: at, Count: 1}
		if look%2 == 1 {
			ev.Fact, ev.Alternate = b, a
		}
		j := Judge(Case{Claim: cl, Evidence: ev, Prior: prior}, c.s)
		prior = j.Findings
		c.advance(j)
	}
	if len(c.incidents) != 1 {
		t.Errorf("%d incidents, want one stable one", len(c.incidents))
	}
	c.expect("20 looks", "trigger ticket to sre")
}

func TestAServerThatWasNotReloadedIsOneIncidentFromStaleToExpired(t *testing.T) {
	c := newCourt(t)
	issued := leafCert("new", 60*day, 150*day)
	old := withLeaf(leafCert("old", 0, 90*day))
	for _, d := range []int{61, 70, 82, 91} {
		at := now.Add(time.Duration(d) * day)
		c.s.Now = at
		c.advance(Judge(Case{Claim: claim(), Issued: &issued, Evidence: &Evidence{Fact: old, FirstSeen: at, LastSeen: at, Count: 1}}, c.s))
	}
	if len(c.incidents) != 1 {
		t.Errorf("%d incidents, want one that grows", len(c.incidents))
	}
	c.expect("from stale to expired", "trigger ticket to sre; trigger page to sre; supersede ticket to sre; trigger outage to sre; supersede page to sre")
}

func TestTheSameFaultInANewLeafIsTheSameIncident(t *testing.T) {
	c := newCourt(t)
	wrong := func(fp string) Served {
		s := withLeaf(leafCert(fp, -30*day, 60*day))
		s.Chains[0].NameMatches = false
		return s
	}
	c.advance(judged("www", now, wrong("first")))
	i, _, _ := Acknowledge(c.open()[0], "zoe", now)
	c.incidents[i.ID] = i
	for n := range 4 {
		c.s.Now = now.Add(time.Duration(n+1) * time.Hour)
		c.advance(judged("www", c.s.Now, wrong(fmt.Sprint("renewed", n))))
	}
	if len(c.incidents) != 1 || c.open()[0].State != Acked {
		t.Errorf("%d incidents, state %s: renewing a certificate with the same fault mends nothing", len(c.incidents), c.open()[0].State)
	}
	c.expect("one fault", "trigger outage to sre")
}

func TestAnIncidentThatEasedPagesAgainWhenItGetsWorse(t *testing.T) {
	c := newCourt(t)
	lagging := func(old Cert) Judgement {
		issued := leafCert("new", 1000*day, 1090*day)
		return Judge(Case{Claim: claim(), Issued: &issued, Evidence: &Evidence{Fact: withLeaf(old), FirstSeen: c.s.Now, LastSeen: c.s.Now, Count: 1}}, c.s)
	}
	expired, fresh := leafCert("old", -90*day, -day), leafCert("less-old", -day, 80*day)
	c.advance(lagging(expired))
	c.expect("expired, while a newer one was issued", "trigger outage to sre")
	i, _, _ := Acknowledge(c.open()[0], "ana", c.s.Now)
	c.incidents[i.ID] = i
	c.s.Now = now.Add(time.Hour)
	c.advance(lagging(fresh))
	c.expect("one look at something better", "")
	c.s.Now = now.Add(2 * time.Hour)
	c.advance(lagging(fresh))
	c.expect("a second one: no outage any more, but still not the newest", "supersede outage to sre; trigger ticket to sre")
	if i := c.open()[0]; i.Stage != StageTicket || i.Reason != ServedStale || strings.Contains(i.Summary, "expired") {
		t.Errorf("the incident still says %s %s: %s", i.Stage, i.Reason, i.Summary)
	}
	c.s.Now = now.Add(81 * day)
	c.advance(lagging(fresh))
	c.expect("expired once more: the old acknowledgement does not cover it", "trigger outage to sre; supersede ticket to sre")
	if i := c.open()[0]; i.State != Open || i.Round != 1 {
		t.Errorf("state %s, round %d", i.State, i.Round)
	}
}

// Once an incident has eased, "clients are refused since" is about what is left of it, wherever that is.
func TestAnIncidentThatEasedHurtsWhenWhatIsLeftDoes(t *testing.T) {
	c := newCourt(t)
	ends := func(d time.Duration) Served {
		s := healthy()
		s.Chains[0].Paths = []Path{{Certs: []string{"leaf", "inter", "root"}, NotBefore: now.Add(-30 * day), NotAfter: now.Add(d), LimitedBy: "inter"}}
		return s
	}
	c.advance(judged("a", now, ends(-time.Hour)), judged("b", now, ends(4*day)))
	i := c.open()[0]
	if i.Stage != StageOutage || !i.HurtsAt.Equal(now.Add(-time.Hour)) {
		t.Fatalf("stage %s, hurts at %s", i.Stage, i.HurtsAt)
	}
	for n := range 2 {
		c.s.Now = now.Add(time.Duration(n+1) * time.Minute)
		c.advance(judged("a", c.s.Now, ends(5*day)))
	}
	if i = c.open()[0]; i.Stage >= StageOutage || !i.HurtsAt.Equal(now.Add(4*day)) {
		t.Errorf("eased to %s, and hurts at %s; b, which was not looked at now, hurts at %s", i.Stage, i.HurtsAt, now.Add(4*day))
	}
}

func TestOneOfManyGettingBetterDoesNotEaseAnIncident(t *testing.T) {
	c := newCourt(t)
	s := healthy()
	s.Chains[0].Paths[0].NotAfter, s.Chains[0].Paths[0].LimitedBy = now.Add(-time.Hour), "inter"
	c.advance(judged("a", now, s), judged("b", now, s))
	c.heard()
	s.Chains = slices.Clone(s.Chains)
	s.Chains[0].Paths = []Path{{Certs: []string{"leaf", "inter", "root"}, NotBefore: now.Add(-30 * day), NotAfter: now.Add(20 * day), LimitedBy: "inter"}}
	for n := range 5 {
		c.s.Now = now.Add(time.Duration(n+1) * time.Hour)
		c.advance(judged("a", c.s.Now, s))
	}
	if i := c.open()[0]; i.Stage != StageOutage {
		t.Errorf("stage %s although b still refuses clients", i.Stage)
	}
	c.expect("half better", "")
}

func TestAFailingChannelIsToldThroughAnother(t *testing.T) {
	c := newCourt(t)
	cl := Claim{ID: NewClaimID(People, "", "slack"), Link: People, Subject: "slack", Declared: now.Add(-day), Every: time.Hour}
	j := Judge(Case{Claim: cl, Evidence: seen(Delivered{Channel: "slack", Class: Denied})}, c.s)
	ch := c.advance(j)
	if got := ch.Notices[0].Channels; !slices.Equal(got, []string{"pd"}) {
		t.Errorf("told through %v, want pd", got)
	}
	cl.Subject, cl.ID = "mail", NewClaimID(People, "", "mail")
	cl.Route = "web"
	ch = c.advance(Judge(Case{Claim: cl, Evidence: seen(Delivered{Channel: "mail", Class: Denied})}, c.s))
	if got := ch.Notices[0].Channels; !slices.Equal(got, []string{"slack", "pd"}) {
		t.Errorf("the only channel of a route fails: told through %v, want those of other routes", got)
	}
}

func TestAWithdrawnClaimDoesNotLookMended(t *testing.T) {
	c := newCourt(t)
	j := judged("www", now, withLeaf(leafCert("l", -90*day, -day)))
	c.advance(j)
	c.heard()
	ch := Withdraw(c.docket([]ClaimID{j.Claim.ID}, nil), []ClaimID{j.Claim.ID}, c.s)
	c.apply(ch)
	if len(c.open()) != 0 {
		t.Error("still open")
	}
	for _, i := range c.incidents {
		if !strings.Contains(i.Resolution, "Nobody saw it mended") {
			t.Errorf("resolution %q hides that nobody saw it mended", i.Resolution)
		}
	}
	c.expect("withdrawn", "resolve outage to sre")
}

func TestAnUnfinishedLookClosesNothing(t *testing.T) {
	c := newCourt(t)
	c.advance(judged("www", now, withLeaf(leafCert("l", -90*day, -day))))
	half := two(func(s *Served) {
		s.Sightings[1] = Sighting{Address: "192.0.2.2:443", Chain: -1, Failure: Timeout, At: AtConnect}
	})
	for n := range 5 {
		c.s.Now = now.Add(time.Duration(n+1) * time.Hour)
		c.advance(judged("www", c.s.Now, half))
	}
	if !slices.ContainsFunc(c.open(), func(i Incident) bool { return i.Reason == Expired }) {
		t.Error("closed although one address was not seen")
	}
}
