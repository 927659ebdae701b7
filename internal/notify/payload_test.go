package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/notafter/notafter/internal/assure"
)

// send sends one message of the kind to a service that accepts it, and returns what the service saw.
func send(t *testing.T, kind string, m Message) []recorded {
	t.Helper()
	s := newService(t, yes(kind))
	if o := sender(t, kind, s.URL).Send(ctxOf(t), m); o.Class != assure.Accepted {
		t.Fatalf("%s: got %s (%s), want accepted", kind, o.Class, o.Detail)
	}
	return s.requests()
}

func decoded[T any](t *testing.T, body []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("the service cannot read the body: %v: %s", err, body)
	}
	return v
}

func TestWebhookSignature(t *testing.T) {
	t.Parallel()
	got := send(t, "webhook", message(assure.NoticeTrigger, assure.StageOutage))[0]
	// The receiver's side, written from the documentation alone.
	var ts int64
	var mac string
	if _, err := fmt.Sscanf(strings.Replace(got.Header.Get("X-Notafter-Signature"), ",v1=", " ", 1), "t=%d %s", &ts, &mac); err != nil {
		t.Fatalf("signature %q: %v", got.Header.Get("X-Notafter-Signature"), err)
	}
	if ts != now.Unix() {
		t.Errorf("t is %d, want %d", ts, now.Unix())
	}
	h := hmac.New(sha256.New, []byte(secretHMAC))
	fmt.Fprintf(h, "%d.%s", ts, got.Body)
	if want := hex.EncodeToString(h.Sum(nil)); mac != want {
		t.Errorf("v1 is %s, want %s", mac, want)
	}
	if id := got.Header.Get("X-Notafter-Delivery"); id != "42" {
		t.Errorf("delivery is %q, want 42", id)
	}
	if strings.Contains(string(got.Body), secretHMAC) {
		t.Error("the secret is in the body")
	}
}

// The body's fields are a contract: receivers are programs. Adding a field is fine, changing one of these is not.
func TestWebhookBody(t *testing.T) {
	t.Parallel()
	m := decoded[map[string]any](t, send(t, "webhook", message(assure.NoticeTrigger, assure.StageOutage))[0].Body)
	for k, want := range map[string]any{
		"version": 1.0, "delivery": 42.0, "notice": "k7f3q/outage/trigger/sre", "channel": "ops", "kind": "trigger", "stage": "outage",
		"severity": "page", "urgent": true, "dedup_key": "notafter/k7f3q/outage", "route": "sre", "sent_at": "2023-10-08T18:30:00Z",
		"title": "[OUTAGE] The certificate of eu.example.com has expired.",
	} {
		if m[k] != want {
			t.Errorf("%s is %v, want %v", k, m[k], want)
		}
	}
	i, _ := m["incident"].(map[string]any)
	for k, want := range map[string]any{
		"id": "k7f3q", "link": "serving", "reason": "expired", "summary": "The certificate of eu.example.com has expired.",
		"impact": "Every client is refused.", "action": "Renew it and reload the server.", "evidence": "Seen by probe@host 3 times.",
		"since": "2023-10-08T16:30:00Z", "opened_at": "2023-10-08T17:30:00Z", "hurts_at": "2023-10-08T16:30:00Z", "touched": 37.0,
		"url": baseURL + "/incidents/k7f3q", "certificates": []any{"hosted-eu"},
		"endpoints": []any{"eu.example.com:443", "smtp://mail.eu.example.com:587"},
	} {
		if !reflect.DeepEqual(i[k], want) {
			t.Errorf("incident.%s is %v, want %v", k, i[k], want)
		}
	}
	if _, there := i["resolved_at"]; there {
		t.Error("an open incident has a resolved_at")
	}
}

func TestPagerDutyEvents(t *testing.T) {
	t.Parallel()
	type event struct {
		RoutingKey string `json:"routing_key"`
		Action     string `json:"event_action"`
		DedupKey   string `json:"dedup_key"`
		Payload    *struct {
			Summary, Source, Severity, Timestamp string
			Details                              map[string]any `json:"custom_details"`
		}
	}
	trigger := decoded[event](t, send(t, "pagerduty", message(assure.NoticeTrigger, assure.StagePage))[0].Body)
	if trigger.Action != "trigger" || trigger.RoutingKey != secretKey || trigger.DedupKey != "notafter/k7f3q/page" {
		t.Errorf("trigger is %+v", trigger)
	}
	p := trigger.Payload
	if p == nil || p.Severity != "critical" || p.Source != "eu.example.com:443" || p.Timestamp != "2023-10-08T17:30:00Z" ||
		p.Summary != "[PAGE] The certificate of eu.example.com has expired." || p.Details["action"] != "Renew it and reload the server." {
		t.Errorf("payload is %+v", p)
	}
	ticket := decoded[event](t, send(t, "pagerduty", message(assure.NoticeTrigger, assure.StageTicket))[0].Body)
	if ticket.Payload.Severity != "warning" {
		t.Errorf("a ticket has severity %s, want warning: it must not wake anybody", ticket.Payload.Severity)
	}
	for kind, want := range map[assure.NoticeKind]struct {
		action string
		keys   []string
	}{
		// An alert that an earlier stage opened must not stay open for ever.
		assure.NoticeResolve:   {"resolve", []string{"notafter/k7f3q/outage", "notafter/k7f3q/ticket", "notafter/k7f3q/page"}},
		assure.NoticeAck:       {"acknowledge", []string{"notafter/k7f3q/outage", "notafter/k7f3q/ticket", "notafter/k7f3q/page"}},
		assure.NoticeSupersede: {"resolve", []string{"notafter/k7f3q/outage"}},
	} {
		var keys []string
		for _, r := range send(t, "pagerduty", message(kind, assure.StageOutage)) {
			e := decoded[event](t, r.Body)
			if e.Action != want.action || e.RoutingKey != secretKey || e.Payload != nil {
				t.Errorf("%s: event is %+v", kind, e)
			}
			keys = append(keys, e.DedupKey)
		}
		if !reflect.DeepEqual(keys, want.keys) {
			t.Errorf("%s goes to %q, want %q", kind, keys, want.keys)
		}
	}
}

func TestPagerDutyLimits(t *testing.T) {
	t.Parallel()
	d := delivery(assure.NoticeTrigger, assure.StagePage)
	d.Incident.Summary = strings.Repeat("ö", 5000)
	d.Notice.DedupKey = strings.Repeat("k", 400)
	r := send(t, "pagerduty", NewMessage(d, baseURL, now))[0]
	e := decoded[struct {
		DedupKey string `json:"dedup_key"`
		Payload  struct{ Summary string }
	}](t, r.Body)
	if n := utf8.RuneCountInString(e.Payload.Summary); n > 1024 || n < 100 {
		t.Errorf("the summary has %d characters", n)
	}
	if len(e.DedupKey) > 255 || e.DedupKey == "" {
		t.Errorf("the key has %d bytes", len(e.DedupKey))
	}
	if len(r.Body) > 512<<10 {
		t.Errorf("the event has %d bytes", len(r.Body))
	}
}

func TestAlertmanagerAlerts(t *testing.T) {
	t.Parallel()
	type posted struct {
		Labels, Annotations map[string]string
		StartsAt, EndsAt    time.Time
		GeneratorURL        string
	}
	fire := send(t, "alertmanager", message(assure.NoticeTrigger, assure.StagePage))[0]
	if fire.Path != "/api/v2/alerts" || fire.Header.Get("Authorization") != "Bearer "+secretBearer {
		t.Errorf("posted to %s with %q", fire.Path, fire.Header.Get("Authorization"))
	}
	firing := decoded[[]posted](t, fire.Body)
	if len(firing) != 1 {
		t.Fatalf("%d alerts fire, want 1", len(firing))
	}
	a := firing[0]
	if !a.StartsAt.Equal(now.Add(-time.Hour)) || !a.EndsAt.Equal(now.Add(24*time.Hour)) || a.GeneratorURL != baseURL+"/incidents/k7f3q" {
		t.Errorf("the alert runs from %s to %s (%s)", a.StartsAt, a.EndsAt, a.GeneratorURL)
	}
	if a.Annotations["action"] == "" || a.Annotations["impact"] == "" || a.Annotations["evidence"] == "" {
		t.Errorf("annotations are %v", a.Annotations)
	}
	// The worst finding of an incident may change while it lasts; the alert must stay the same one.
	d := delivery(assure.NoticeTrigger, assure.StagePage)
	d.Incident.Reason, d.Incident.Link, d.Incident.Summary, d.Touched = assure.Revoked, assure.Renewal, "Something else.", 1
	again := decoded[[]posted](t, send(t, "alertmanager", NewMessage(d, baseURL, now.Add(time.Hour)))[0].Body)
	if !reflect.DeepEqual(a.Labels, again[0].Labels) {
		t.Errorf("labels changed from %v to %v", a.Labels, again[0].Labels)
	}
	over := decoded[[]posted](t, send(t, "alertmanager", message(assure.NoticeResolve, assure.StagePage))[0].Body)
	same := false
	for _, o := range over {
		if o.EndsAt.After(now) {
			t.Errorf("a resolved alert ends at %s", o.EndsAt)
		}
		same = same || reflect.DeepEqual(o.Labels, a.Labels)
	}
	if !same || len(over) != 2 {
		t.Errorf("the resolution ends %+v, want the alert of each stage", over)
	}
	if got := send(t, "alertmanager", message(assure.NoticeAck, assure.StagePage)); len(got) != 0 {
		t.Errorf("an acknowledgement was sent: %s", got[0].Body)
	}
	// Our clock may run behind the one that opened the incident.
	late := NewMessage(delivery(assure.NoticeResolve, assure.StagePage), baseURL, now.Add(-3*time.Hour))
	for _, o := range decoded[[]posted](t, send(t, "alertmanager", late)[0].Body) {
		if o.EndsAt.Before(o.StartsAt) {
			t.Errorf("the alert ends at %s before it starts at %s", o.EndsAt, o.StartsAt)
		}
	}
}

func TestPushoverMessages(t *testing.T) {
	t.Parallel()
	form := func(r recorded) url.Values {
		v, err := url.ParseQuery(string(r.Body))
		if err != nil {
			t.Fatalf("the service cannot read the form: %v", err)
		}
		return v
	}
	page := form(send(t, "pushover", message(assure.NoticeTrigger, assure.StagePage))[0])
	if page.Get("priority") != "2" || page.Get("retry") != "60" || page.Get("expire") != "10800" || page.Get("token") != secretToken || page.Get("user") != secretUser {
		t.Errorf("a page is sent as %v", page)
	}
	if page.Get("url") != baseURL+"/incidents/k7f3q" || !strings.Contains(page.Get("message"), "k7f3q") {
		t.Errorf("a page does not lead to its incident: %v", page)
	}
	if got := form(send(t, "pushover", message(assure.NoticeTrigger, assure.StageTicket))[0]); got.Get("priority") != "0" || got.Get("retry") != "" {
		t.Errorf("a ticket is sent as %v", got)
	}
	// Somebody took it while it waited: it still must be told, but not ring for hours.
	taken := delivery(assure.NoticeTrigger, assure.StagePage)
	taken.Incident.State, taken.Incident.AckedBy, taken.Incident.AckedStage = assure.Acked, "Ana", assure.StagePage
	if got := form(send(t, "pushover", NewMessage(taken, baseURL, now))[0]); got.Get("priority") != "1" {
		t.Errorf("a page that was taken has priority %s, want 1", got.Get("priority"))
	}
	// A lower stage that was acknowledged does not silence a worse one.
	taken.Incident.AckedStage = assure.StageTicket
	if got := form(send(t, "pushover", NewMessage(taken, baseURL, now))[0]); got.Get("priority") != "2" {
		t.Errorf("a page after an acknowledged ticket has priority %s, want 2", got.Get("priority"))
	}
	d := delivery(assure.NoticeResolve, assure.StagePage)
	d.ProviderID = "rLqVuqTRh62UzxtmqiaLzQmVcPgiCy"
	got := send(t, "pushover", NewMessage(d, baseURL, now))
	var paths []string
	for _, r := range got {
		paths = append(paths, r.Path)
	}
	want := []string{"/1/receipts/rLqVuqTRh62UzxtmqiaLzQmVcPgiCy/cancel.json", "/1/receipts/cancel_by_tag/notafter-k7f3q.json", "/1/messages.json"}
	if !reflect.DeepEqual(paths, want) {
		t.Fatalf("a resolution asks %q, want %q", paths, want)
	}
	if !strings.Contains(page.Get("tags"), "notafter-k7f3q") || form(got[2]).Get("priority") != "0" {
		t.Errorf("tags are %q, the resolution is %v", page.Get("tags"), form(got[2]))
	}
	// What a database claims to be a receipt is put into a path only if it looks like one.
	d.ProviderID = "../../messages.json?x="
	if got := send(t, "pushover", NewMessage(d, baseURL, now)); len(got) != 2 {
		t.Errorf("%d requests for a receipt that is none, want 2", len(got))
	}
	over := send(t, "pushover", message(assure.NoticeSupersede, assure.StagePage))
	if len(over) != 1 || over[0].Path != "/1/receipts/cancel_by_tag/notafter-k7f3q-page.json" || !strings.Contains(page.Get("tags"), "notafter-k7f3q-page") {
		t.Errorf("a stage that was overtaken asks %+v", over)
	}
}

// Nothing left to cancel is no reason not to say that it is over.
func TestPushoverNothingToCancel(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	s.set(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/receipts/") {
			status(404, `{"status":0,"errors":["receipt not found"]}`)(w, r)
			return
		}
		yes("pushover")(w, r)
	}, nil)
	o := sender(t, "pushover", s.URL).Send(ctxOf(t), message(assure.NoticeResolve, assure.StagePage))
	if o.Class != assure.Accepted || len(s.requests()) != 2 {
		t.Errorf("got %s (%s) after %d requests, want accepted after 2", o.Class, o.Detail, len(s.requests()))
	}
	s.set(status(400, `{"token":"invalid","status":0}`), nil)
	if o := sender(t, "pushover", s.URL).Send(ctxOf(t), message(assure.NoticeResolve, assure.StagePage)); o.Class != assure.Denied {
		t.Errorf("a token that is invalid: got %s, want denied", o.Class)
	}
}

func TestNtfyMessages(t *testing.T) {
	t.Parallel()
	type published struct {
		Topic, Title, Message, Click string
		Priority                     int
		Tags                         []string
		Actions                      []struct{ Action, Label, URL string }
	}
	r := send(t, "ntfy", message(assure.NoticeTrigger, assure.StageOutage))[0]
	p := decoded[published](t, r.Body)
	if p.Topic != secretTopic || p.Priority != 5 || p.Click != baseURL+"/incidents/k7f3q" || len(p.Actions) == 0 || r.Path != "/" {
		t.Errorf("published %+v to %s", p, r.Path)
	}
	if r.Header.Get("Authorization") != "Bearer "+secretNtfy {
		t.Errorf("authorised by %q", r.Header.Get("Authorization"))
	}
	if got := decoded[published](t, send(t, "ntfy", message(assure.NoticeResolve, assure.StageOutage))[0].Body); got.Priority != 3 {
		t.Errorf("a resolution has priority %d, want 3", got.Priority)
	}
	d := delivery(assure.NoticeTrigger, assure.StageOutage)
	for range 10 {
		d.Endpoints = append(d.Endpoints, strings.Repeat("ä", 100))
	}
	d.Incident.Summary, d.Incident.Impact = strings.Repeat("水", 900), strings.Repeat("火", 900)
	d.Incident.Basis, d.Incident.Action = strings.Repeat("土", 900), strings.Repeat("木", 900)
	got := decoded[published](t, send(t, "ntfy", NewMessage(d, baseURL, now))[0].Body)
	if len(got.Message) > 4096 || len(got.Title) > 250 || !utf8.ValidString(got.Message) || !strings.Contains(got.Message, "k7f3q") || !strings.Contains(got.Message, "木") {
		t.Errorf("message of %d bytes, title of %d: %s", len(got.Message), len(got.Title), got.Message)
	}
}

func TestSlackMessages(t *testing.T) {
	t.Parallel()
	type posted struct {
		Text        string
		Attachments []struct {
			Title, Text, Fallback string
			TitleLink             string `json:"title_link"`
		}
	}
	p := decoded[posted](t, send(t, "slack", message(assure.NoticeTrigger, assure.StagePage))[0].Body)
	if p.Text != "[PAGE] The certificate of eu.example.com has expired." || len(p.Attachments) != 1 ||
		p.Attachments[0].TitleLink != baseURL+"/incidents/k7f3q" || !strings.Contains(p.Attachments[0].Title, "k7f3q") {
		t.Errorf("posted %+v", p)
	}
	// A certificate's subject is written by whoever runs the server.
	d := delivery(assure.NoticeTrigger, assure.StagePage)
	d.Incident.Summary = "CN=<!channel> <https://evil.example|click> & @everyone [here](https://evil.example)\r\nfake: line\x1b[31m"
	d.Endpoints = []string{"<@U012345>"}
	p = decoded[posted](t, send(t, "slack", NewMessage(d, baseURL, now))[0].Body)
	all := p.Text + p.Attachments[0].Text + p.Attachments[0].Fallback + p.Attachments[0].Title
	for _, bad := range []string{"<", ">", "@everyone", "@U012345", "](", "\r", "\x1b"} {
		if strings.Contains(all, bad) {
			t.Errorf("%q comes through: %s", bad, all)
		}
	}
	if !strings.Contains(p.Text, "&lt;!channel&gt;") || strings.Contains(p.Text, "\n") {
		t.Errorf("text is %q", p.Text)
	}
	// Cutting must not leave half of an escape.
	d.Incident.Summary = strings.Repeat("&", 3000)
	d.Incident.Impact, d.Incident.Action, d.Incident.Basis = d.Incident.Summary, d.Incident.Summary, d.Incident.Summary
	p = decoded[posted](t, send(t, "slack", NewMessage(d, baseURL, now))[0].Body)
	for _, text := range []string{p.Text, p.Attachments[0].Text} {
		if rest := strings.ReplaceAll(text, "&amp;", ""); strings.Contains(rest, "&") {
			t.Errorf("half of an escape is left: %q", rest)
		}
		if n := utf8.RuneCountInString(text); n > 2000 {
			t.Errorf("%d characters", n)
		}
	}
}

// People who are paged must find in the message itself what they need, through every channel.
func TestEveryChannelSaysEverything(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		for _, kind := range []assure.NoticeKind{assure.NoticeTrigger, assure.NoticeTest} {
			r := send(t, k.kind, message(kind, assure.StageOutage))
			body := string(r[len(r)-1].Body)
			if k.kind == "pushover" {
				v, err := url.ParseQuery(body)
				if err != nil {
					t.Fatal(err)
				}
				body = v.Get("message") + v.Get("title")
			}
			for _, want := range []string{
				"The certificate of eu.example.com has expired.", "8 Oct 2023 16:30 UTC (2h ago)", "Every client is refused.",
				"Renew it and reload the server.", "Seen by probe@\u200bhost 3 times.", "hosted-eu", "37 in all", "k7f3q", baseURL + "/incidents/k7f3q",
			} {
				if k.kind != "slack" {
					want = strings.ReplaceAll(want, "\u200b", "")
				}
				if !strings.Contains(body, want) {
					t.Errorf("%s %s does not say %q: %s", k.kind, kind, want, body)
				}
			}
		}
	}
}
