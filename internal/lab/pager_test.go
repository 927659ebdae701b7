package lab_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/lab"
)

const secret = "a secret of the tests"

func startPager(t *testing.T, o lab.PagerOptions) *lab.Pager {
	t.Helper()
	o.Secret = secret
	p, err := lab.StartPager(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// send posts a body on a connection of its own and returns the status and the answer.
func send(address, contentType, body string, header map[string]string) (int, string, http.Header, error) {
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body)) //nolint:noctx // loopback
	if err != nil {
		return 0, "", nil, err
	}
	r.Close = true
	r.Header.Set("Content-Type", contentType)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	a, err := (&http.Client{Timeout: 2 * time.Second}).Do(r)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	return a.StatusCode, string(b), a.Header, err
}

func signature(at time.Time, key, body string) map[string]string {
	h := hmac.New(sha256.New, []byte(key))
	_, _ = fmt.Fprintf(h, "%d.%s", at.Unix(), body)
	return map[string]string{"X-Notafter-Signature": fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(h.Sum(nil)))}
}

const (
	form  = "application/x-www-form-urlencoded"
	event = `{"routing_key":"0123456789abcdef0123456789abcdef","event_action":"trigger","dedup_key":"d1","payload":{"summary":"it burns","source":"notafter","severity":"critical"}}`
)

func TestPagerSpeaksEveryFormat(t *testing.T) {
	t.Parallel()
	p := startPager(t, lab.PagerOptions{})
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	hook := `{"kind":"trigger","dedup_key":"w1","title":"it burns"}`
	for _, c := range []struct {
		kind, path, contentType, body string
		header                        map[string]string
		status                        int
		says                          string
		event, key, title             string
	}{
		{"webhook", "/webhook", "application/json", hook, signature(time.Now(), secret, hook), 204, "", "trigger", "w1", "it burns"},
		{"slack", "/slack", "application/json", `{"text":"it burns\nbadly"}`, nil, 200, "ok", "", "", "it burns"},
		{"pagerduty", "/v2/enqueue", "application/json", event, nil, 202, `"dedup_key":"d1"`, "trigger", "d1", "it burns"},
		{"alertmanager", "/api/v2/alerts", "application/json", `[{"labels":{"b":"2","a":"1"},"annotations":{"summary":"it burns"},"endsAt":"` + soon + `"}]`, nil, 200, "", "firing", `{a="1",b="2"}`, "it burns"},
		{"pushover", "/1/messages.json", form, "token=t&user=u&message=it+burns&priority=2&retry=60&expire=3600&tags=x,y", nil, 200, `"receipt"`, "message", "x,y", "it burns"},
		{"pushover", "/1/users/validate.json", form, "token=t&user=u", nil, 200, `"status":1`, "validate", "", ""},
		{"ntfy", "", "application/json", `{"topic":"ops","title":"it burns","message":"badly"}`, nil, 200, `"event":"message"`, "", "", "it burns"},
		{"ntfy", "/ops", "text/plain", "badly", map[string]string{"Title": "it burns"}, 200, `"event":"message"`, "", "", "it burns"},
	} {
		before := len(p.Messages())
		status, says, _, err := send(p.URL("me")+c.path, c.contentType, c.body, c.header)
		if err != nil || status != c.status || !strings.Contains(says, c.says) {
			t.Errorf("%s%s: %d %q %v", c.kind, c.path, status, says, err)
			continue
		}
		got := p.Messages()
		if len(got) != before+1 {
			t.Errorf("%s%s: %d messages recorded", c.kind, c.path, len(got)-before)
			continue
		}
		if m := got[before]; m.Channel != "me" || m.Kind != c.kind || m.Event != c.event || m.DedupKey != c.key || m.Title != c.title || string(m.Body) != c.body {
			t.Errorf("%s%s: recorded as %+v", c.kind, c.path, m)
		}
	}
	if status, _, _, err := send(p.URL("")+"/slack", "application/json", `{"text":"x"}`, nil); err != nil || status != 200 {
		t.Errorf("%d, %v", status, err)
	}
	if all := p.Messages(); all[len(all)-1].Channel != "slack" {
		t.Error("a message without a channel's name is not recorded under its kind")
	}
}

func TestPagerRefusesWhatTheServiceWould(t *testing.T) {
	t.Parallel()
	p := startPager(t, lab.PagerOptions{})
	body := `{"kind":"trigger"}`
	for _, c := range []struct {
		what, path, contentType, body string
		header                        map[string]string
		status                        int
	}{
		{"no signature", "/webhook", "application/json", body, nil, 401},
		{"another secret", "/webhook", "application/json", body, signature(time.Now(), "another", body), 401},
		{"another body", "/webhook", "application/json", body + " ", signature(time.Now(), secret, body), 401},
		{"an old signature", "/webhook", "application/json", body, signature(time.Now().Add(-time.Hour), secret, body), 401},
		{"nothing to say", "/slack", "application/json", `{}`, nil, 400},
		{"a short key", "/v2/enqueue", "application/json", strings.Replace(event, "0123", "", 1), nil, 400},
		{"no such severity", "/v2/enqueue", "application/json", strings.Replace(event, "critical", "awful", 1), nil, 400},
		{"no labels", "/api/v2/alerts", "application/json", `[{"labels":{}}]`, nil, 400},
		{"ends before it starts", "/api/v2/alerts", "application/json", `[{"labels":{"a":"1"},"startsAt":"2026-01-02T00:00:00Z","endsAt":"2026-01-01T00:00:00Z"}]`, nil, 400},
		{"an emergency without retry", "/1/messages.json", form, "token=t&user=u&message=m&priority=2", nil, 400},
		{"no token", "/1/messages.json", form, "user=u&message=m", nil, 400},
		{"no topic", "", "application/json", `{"message":"m"}`, nil, 400},
		{"no such path", "/a/b/c", "application/json", `{}`, nil, 404},
	} {
		status, says, _, err := send(p.URL("me")+c.path, c.contentType, c.body, c.header)
		if err != nil || status != c.status {
			t.Errorf("%s: %d %q %v", c.what, status, says, err)
		}
	}
	if n := len(p.Messages()); n != 0 {
		t.Errorf("%d messages were recorded", n)
	}
}

func TestPagerFailsInBothWays(t *testing.T) {
	t.Parallel()
	p := startPager(t, lab.PagerOptions{})
	for fault, want := range map[lab.PagerFault]int{
		lab.PagerBroken: 500, lab.PagerUnavailable: 503, lab.PagerBusy: 429, lab.PagerUnauthorised: 401, lab.PagerForbidden: 403, lab.PagerNotFound: 404,
		lab.PagerReset: 0, lab.PagerLost: 500, lab.PagerDropped: 0,
	} {
		name := string(fault)
		p.Fail(name, fault)
		before := len(p.Messages())
		status, _, header, err := send(p.URL(name)+"/v2/enqueue", "application/json", event, nil)
		if status != want || (want == 0) != (err != nil) {
			t.Errorf("%s: %d, %v", fault, status, err)
		}
		if fault == lab.PagerBusy && header.Get("Retry-After") == "" {
			t.Error("busy says nothing of when to come back")
		}
		recorded := len(p.Messages()) == before+1
		if recorded != fault.Happened() || !recorded && p.Refused(name) != 1 {
			t.Errorf("%s: recorded %t, refused %d", fault, recorded, p.Refused(name))
		}
		p.Fail(name, lab.PagerSound)
		if status, _, _, err := send(p.URL(name)+"/v2/enqueue", "application/json", event, nil); err != nil || status != 202 {
			t.Errorf("%s is not over: %d, %v", fault, status, err)
		}
	}
	p.Down()
	if _, _, _, err := send(p.URL("x")+"/v2/enqueue", "application/json", event, nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a sink that is down answers with %v", err)
	}
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	if status, _, _, err := send(p.URL("x")+"/v2/enqueue", "application/json", event, nil); err != nil || status != 202 {
		t.Errorf("after it came up: %d, %v", status, err)
	}
}

func TestPagerFailsAtRandomButRepeatably(t *testing.T) {
	t.Parallel()
	run := func() (outcome []int, recorded int) {
		p := startPager(t, lab.PagerOptions{Refuse: 0.3, Lose: 0.3, Seed: 7})
		for range 40 {
			status, _, _, _ := send(p.URL("x")+"/v2/enqueue", "application/json", event, nil)
			outcome = append(outcome, status)
		}
		return outcome, len(p.Messages())
	}
	first, n := run()
	second, m := run()
	if fmt.Sprint(first) != fmt.Sprint(second) || n != m {
		t.Errorf("the same seed fails differently: %v, %v", first, second)
	}
	ok := strings.Count(fmt.Sprint(first), "202")
	if ok == 0 || ok == 40 || n <= ok {
		t.Errorf("%d of 40 accepted, %d recorded", ok, n)
	}
}

func TestWaitForAndHeartbeats(t *testing.T) {
	t.Parallel()
	p := startPager(t, lab.PagerOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	got := make(chan lab.PagerMessage, 1)
	go func() {
		m, _ := p.WaitFor(ctx, func(m lab.PagerMessage) bool { return m.DedupKey == "d1" })
		got <- m
	}()
	for _, c := range []string{"other", "me"} {
		body := event
		if c == "other" {
			body = strings.Replace(event, "d1", "d0", 1)
		}
		if _, _, _, err := send(p.URL(c)+"/v2/enqueue", "application/json", body, nil); err != nil {
			t.Fatal(err)
		}
	}
	if m := <-got; m.Channel != "me" {
		t.Errorf("waited for %+v", m)
	}
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := p.WaitFor(short, func(lab.PagerMessage) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting in vain ends with %v", err)
	}
	for _, path := range []string{"", "/fail", ""} {
		if status, _, _, err := send(p.HeartbeatURL("abc")+path, "text/plain", "alive", nil); err != nil || status != 200 {
			t.Errorf("%d, %v", status, err)
		}
	}
	if err := p.WaitForBeats(ctx, "abc", 2); err != nil {
		t.Error(err)
	}
	if b := p.Beats("abc"); len(b) != 3 || !b[1].Fail || b[0].Fail || string(b[0].Body) != "alive" {
		t.Errorf("%+v", b)
	}
}

func TestPushoverReceipts(t *testing.T) {
	t.Parallel()
	p := startPager(t, lab.PagerOptions{})
	ring := func(tags string) string {
		_, says, _, err := send(p.URL("me")+"/1/messages.json", form, "token=t&user=u&message=m&priority=2&retry=30&expire=60&tags="+tags, nil)
		var a struct{ Receipt string }
		if err != nil || json.Unmarshal([]byte(says), &a) != nil || len(a.Receipt) != 30 {
			t.Fatalf("%q, %v", says, err)
		}
		return a.Receipt
	}
	one, two, three := ring("i1,i1-page"), ring("i2"), ring("i3")
	if n := len(p.Ringing()); n != 3 {
		t.Errorf("%d ring", n)
	}
	for _, path := range []string{"cancel_by_tag/i1", one + "/cancel", two + "/cancel"} {
		if status, _, _, err := send(p.URL("me")+"/1/receipts/"+path+".json", form, "token=t", nil); err != nil || status != 200 {
			t.Errorf("%s: %d, %v", path, status, err)
		}
	}
	if got := p.Ringing(); len(got) != 1 || got[0] != three {
		t.Errorf("%v ring, want %s", got, three)
	}
	if err := p.Acknowledge(three, "ana"); err != nil {
		t.Error(err)
	}
	_, body := fetch(t, p.URL("me")+"/1/receipts/"+three+".json?token=t")
	if !bytes.Contains(body, []byte(`"acknowledged":1`)) || !bytes.Contains(body, []byte("ana")) || len(p.Ringing()) != 0 {
		t.Errorf("%s", body)
	}
	if p.Acknowledge("nothing", "ana") == nil {
		t.Error("a receipt that does not exist was acknowledged")
	}
}

func TestMail(t *testing.T) {
	t.Parallel()
	ca := newCA(t)
	leaf := issue(t, ca.Issuing, lab.LeafOptions{Names: []string{"localhost"}})
	p := startPager(t, lab.PagerOptions{SMTPTLS: &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}}}) //nolint:gosec // TLS 1.2 by default
	const text = "Message-Id: <1@lab>\r\nSubject: =?utf-8?q?it_burns?=\r\n\r\nbadly\r\n.dot\r\n"
	mail := func(upgrade bool) error {
		c, err := smtp.Dial(p.SMTPAddr())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if upgrade {
			if err := c.StartTLS(&tls.Config{RootCAs: pool(ca.Root.Cert), ServerName: "localhost"}); err != nil {
				return err
			}
			if err := c.Auth(smtp.PlainAuth("", "me", "password", "127.0.0.1")); err != nil {
				return err
			}
		}
		if err := errors.Join(c.Mail("lab@lab.test"), c.Rcpt("ana@lab.test")); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return w.Close()
	}
	for _, upgrade := range []bool{false, true} {
		if err := mail(upgrade); err != nil {
			t.Fatalf("with TLS %t: %v", upgrade, err)
		}
	}
	got := p.Messages()
	if len(got) != 2 || got[0].Channel != "ana" || got[0].Kind != "smtp" || got[0].Title != "it burns" || got[0].DedupKey != "<1@lab>" || string(got[0].Body) != text {
		t.Fatalf("recorded %+v", got)
	}
	for fault, code := range map[lab.PagerFault]int{lab.PagerBroken: 451, lab.PagerUnavailable: 421, lab.PagerBusy: 450, lab.PagerForbidden: 550, lab.PagerLost: 451, lab.PagerDropped: 0, lab.PagerReset: 0} {
		p.Fail("ana", fault)
		before := len(p.Messages())
		err := mail(false)
		var refused *textproto.Error
		if code != 0 && (!errors.As(err, &refused) || refused.Code != code) || code == 0 && err == nil {
			t.Errorf("%s: %v", fault, err)
		}
		if (len(p.Messages()) == before+1) != fault.Happened() {
			t.Errorf("%s: %d recorded", fault, len(p.Messages())-before)
		}
	}
	conn, err := net.Dial("tcp", p.SMTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	p.Stop() // does not wait for a client that says nothing
}
