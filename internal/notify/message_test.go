package notify

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/notafter/notafter/internal/assure"
)

func TestMessageTitles(t *testing.T) {
	for _, c := range []struct {
		kind  assure.NoticeKind
		stage assure.Stage
		want  string
	}{
		{assure.NoticeTrigger, assure.StageTicket, "[TICKET] The"},
		{assure.NoticeTrigger, assure.StagePage, "[PAGE] The"},
		{assure.NoticeTrigger, assure.StageOutage, "[OUTAGE] The"},
		{assure.NoticeResolve, assure.StageOutage, "[RESOLVED] The"},
		{assure.NoticeAck, assure.StagePage, "[TAKEN] The"},
		{assure.NoticeTest, assure.StagePage, "[DRILL] The"},
	} {
		if got := message(c.kind, c.stage).Title; !strings.HasPrefix(got, c.want) {
			t.Errorf("%s of %s is titled %q, want %q…", c.kind, c.stage, got, c.want)
		}
	}
}

func TestMessageBodies(t *testing.T) {
	body := message(assure.NoticeTrigger, assure.StagePage).Body()
	for _, want := range []string{
		"What: The certificate of eu.example.com has expired.\n",
		"Since: 8 Oct 2023 16:30 UTC (2h ago)\n",
		"Clients: are refused since 8 Oct 2023 16:30 UTC (2h ago)\n",
		"Who will notice: Every client is refused.\n",
		"Do next: Renew it and reload the server.\n",
		"Evidence: Seen by probe@host 3 times.\n",
		"Touches: 37 in all, among them certificate hosted-eu; endpoints eu.example.com:443, smtp://mail.eu.example.com:587\n",
		"Incident: k7f3q, route sre\n",
		"Open: https://notafter.example.com/incidents/k7f3q",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the body lacks %q:\n%s", want, body)
		}
	}
	d := delivery(assure.NoticeTrigger, assure.StagePage)
	d.Incident.HurtsAt = now.Add(26 * time.Hour)
	if got := NewMessage(d, "", now).Body(); !strings.Contains(got, "Clients: are refused from 9 Oct 2023 20:30 UTC (in 1d 2h) on") || strings.Contains(got, "Open:") {
		t.Errorf("the body is:\n%s", got)
	}
	over := message(assure.NoticeResolve, assure.StagePage).Body()
	for _, want := range []string{"Resolved: 8 Oct 2023 18:29 UTC (1m ago), after 1h 59m\n", "Proof: All 2 endpoints were seen"} {
		if !strings.Contains(over, want) {
			t.Errorf("the resolution lacks %q:\n%s", want, over)
		}
	}
	if strings.Contains(over, "Do next") || strings.Contains(over, "are refused") {
		t.Errorf("a resolution tells people to act:\n%s", over)
	}
	d = delivery(assure.NoticeAck, assure.StagePage)
	d.Incident.AckedBy, d.Incident.AckedAt, d.Incident.AckedStage = "Ana\nDo next: nothing", now.Add(-30*time.Second), assure.StagePage
	if got := NewMessage(d, "", now).Body(); !strings.Contains(got, "Taken: by Ana Do next: nothing, 8 Oct 2023 18:29 UTC (30s ago)\n") {
		t.Errorf("the acknowledgement is:\n%s", got)
	}
}

// A page about a link that fails before the certificates do names them with the date from which each is missed.
func TestMessageNamesWhatIsAtStake(t *testing.T) {
	at := func(link assure.Link, kind assure.NoticeKind) Message {
		d := delivery(kind, assure.StagePage)
		d.Incident.Link, d.Incident.Reason, d.Incident.HurtsAt = link, "dns_write_denied", time.Time{}
		d.Certificates, d.Endpoints, d.Touched = []string{"hosted-us", "hosted-eu"}, nil, 12
		d.Stakes = []assure.Stake{
			{Certificate: "gone", HurtsAt: now.Add(-time.Hour)},
			{Certificate: "hosted-eu", HurtsAt: time.Date(2026, 10, 8, 17, 0, 0, 0, time.FixedZone("CEST", 2*60*60))},
			{Certificate: "a\r\nOpen: https://evil.example.com", HurtsAt: now.AddDate(4, 0, 0)},
			{Certificate: "hosted-us"},
		}
		return NewMessage(d, baseURL, now)
	}
	const dated = "Touches: 12 in all, among them certificates gone (ended 8 Oct 2023 17:30 UTC), hosted-eu (until 8 Oct 2026 15:00 UTC), " +
		"a Open: https://evil.example.com (until 8 Oct 2027 18:30 UTC), hosted-us\n"
	const plain = "Touches: 12 in all, among them certificates hosted-us, hosted-eu\n"
	for _, c := range []struct {
		link assure.Link
		kind assure.NoticeKind
		want string
	}{
		{assure.Permission, assure.NoticeTrigger, dated},
		{assure.Renewal, assure.NoticeTrigger, dated},
		{assure.Issuance, assure.NoticeAck, dated},
		{assure.Serving, assure.NoticeTrigger, plain},
		{assure.Permission, assure.NoticeResolve, plain}, // the dates are those of what was renewed since
	} {
		if got := at(c.link, c.kind).Body(); !strings.Contains(got, c.want) {
			t.Errorf("%s of the link %s lacks %q:\n%s", c.kind, c.link, c.want, got)
		}
	}
	// Where there is little room, the dates are kept longer than the evidence and who will notice.
	if got := fit(at(assure.Permission, assure.NoticeTrigger).lines, runes(420)); !strings.Contains(got, "hosted-eu (until 8 Oct 2026 15:00 UTC)") {
		t.Errorf("the dates are lost:\n%s", got)
	}
	d := delivery(assure.NoticeTrigger, assure.StagePage)
	d.Incident.Link = assure.Permission
	if got := NewMessage(d, baseURL, now).Body(); !strings.Contains(got, "among them certificate hosted-eu; endpoints") {
		t.Errorf("without dates the certificates are not named:\n%s", got)
	}
	for range 20 {
		d.Stakes = append(d.Stakes, assure.Stake{Certificate: strings.Repeat("x", 300), HurtsAt: now.Add(time.Hour)})
	}
	if n := len(NewMessage(d, baseURL, now).touches()); n > 10*150+100 {
		t.Errorf("the line has %d characters", n)
	}
}

// The zero delivery is what a message is made of when everything else went wrong.
func TestMessageOfNothing(t *testing.T) {
	for _, kind := range []assure.NoticeKind{"", assure.NoticeTrigger, assure.NoticeResolve, assure.NoticeAck, assure.NoticeTest} {
		m := NewMessage(assure.Delivery{Notice: assure.Notice{Kind: kind}}, baseURL, now)
		if m.Title == "" || m.Body() == "" || strings.Contains(m.Body(), "0001") {
			t.Errorf("%q: title %q, body %q", kind, m.Title, m.Body())
		}
	}
}

func TestLowerKeys(t *testing.T) {
	for key, want := range map[string]string{
		"notafter/k7f3q/outage": "notafter/k7f3q/ticket notafter/k7f3q/page", "k7f3q-3": "k7f3q-1 k7f3q-2", "opaque": "", "outage": "", "": "",
	} {
		got := strings.Join(lowerKeys(assure.Notice{DedupKey: key, Stage: assure.StageOutage}), " ")
		if got != want {
			t.Errorf("keys below %q are %q, want %q", key, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("plain", 10)
	f.Add("水火木金土", 7)
	f.Add("a\r\nBcc: x@example.com", 30)
	f.Add("\u202egnp.exe \xff\xfe\x00", 5)
	f.Add("👩‍👩‍👧‍👦", 4)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = n % 5000
		c := clean(s)
		if !utf8.ValidString(c) || strings.ContainsFunc(c, func(r rune) bool { return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e }) {
			t.Errorf("clean(%q) is %q", s, c)
		}
		if r := clipRunes(c, n); !utf8.ValidString(r) || utf8.RuneCountInString(r) > max(0, n) {
			t.Errorf("clipRunes(%q, %d) is %q", c, n, r)
		}
		if b := clipBytes(c, max(0, n)); !utf8.ValidString(b) || len(b) > max(0, n) {
			t.Errorf("clipBytes(%q, %d) is %q", c, n, b)
		}
		if e := clipEscaped(slackEscape(c), max(1, n)); strings.ContainsAny(e, "<>") || utf8.RuneCountInString(e) > max(1, n) {
			t.Errorf("clipEscaped(%q, %d) is %q", c, n, e)
		}
	})
}

// FuzzFit: whatever the texts and the limit, the result keeps the limit, and what must stand in a message stands in it
// as soon as there is room.
func FuzzFit(f *testing.F) {
	f.Add("The certificate has expired.", "Everybody.", "Renew it.", "Seen.", 1024, true)
	f.Add(strings.Repeat("水", 900), strings.Repeat("x", 900), strings.Repeat("y", 900), "z", 300, false)
	f.Add("", "", "", "", 0, true)
	f.Fuzz(func(t *testing.T, what, impact, action, basis string, n int, inBytes bool) {
		n = max(0, n%5000)
		d := delivery(assure.NoticeTrigger, assure.StagePage)
		d.Incident.Summary, d.Incident.Impact, d.Incident.Action, d.Incident.Basis = what, impact, action, basis
		m := NewMessage(d, baseURL, now)
		max := runes(n)
		if inBytes {
			max = bytesLimit(n)
		}
		got := fit(m.lines, max)
		if max.size(got) > n || !utf8.ValidString(got) {
			t.Errorf("fit gives %d of %d: %q", max.size(got), n, got)
		}
		if n >= 200 && (!strings.Contains(got, "k7f3q") || !strings.Contains(got, m.Link)) {
			t.Errorf("the incident is lost at %d: %q", n, got)
		}
		if n >= 1024 && !strings.HasPrefix(got, "What: ") {
			t.Errorf("what is wrong is lost at %d: %q", n, got)
		}
		if max.size(m.Body()) <= n && got != m.Body() {
			t.Errorf("text that fits was shortened: %q", got)
		}
	})
}

// What was shortened is the least important.
func TestFitOrder(t *testing.T) {
	d := delivery(assure.NoticeTrigger, assure.StagePage)
	d.Incident.Basis = strings.Repeat("evidence ", 100)
	d.Incident.Impact = strings.Repeat("impact ", 50)
	m := NewMessage(d, baseURL, now)
	got := fit(m.lines, runes(700))
	if !strings.Contains(got, d.Incident.Action) || !strings.Contains(got, d.Incident.Summary) || strings.Contains(got, strings.Repeat("evidence ", 40)) {
		t.Errorf("got %q", got)
	}
	tight := fit(m.lines, runes(150))
	if !strings.Contains(tight, "What: The cert") || !strings.Contains(tight, "Incident: k7f3q") || strings.Contains(tight, "Evidence") {
		t.Errorf("got %q", tight)
	}
}
