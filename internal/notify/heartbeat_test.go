package notify

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

const secretPing = "5f1b8c1e-6a0a-4c9e-9d53-0c2d5f5b7a11"

func heart(t *testing.T, c HeartbeatConfig) *Heartbeat {
	t.Helper()
	h, err := NewHeartbeat(c, HTTPOptions{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatalf("make the heartbeat: %v", err)
	}
	return h
}

func TestBeat(t *testing.T) {
	t.Parallel()
	s := newService(t, status(200, "OK"))
	h := heart(t, HeartbeatConfig{URL: s.URL + "/" + secretPing})
	heard := h.Beat(ctxOf(t), assure.Sight{
		Expected: 12, Observed: 11, Tried: 9, Reached: 8, Oldest: now.Add(-time.Minute), Backlog: 1, Late: assure.Seconds(3 * time.Second),
	})
	if !heard.OK || heard.Held != "" || strings.Contains(heard.URL+heard.Detail, secretPing) || !strings.HasPrefix(heard.URL, s.URL) {
		t.Errorf("heard %+v", heard)
	}
	got := s.requests()
	if len(got) != 1 || got[0].Method != http.MethodPost || got[0].Path != "/"+secretPing {
		t.Fatalf("the receiver saw %+v", got)
	}
	b := decoded[map[string]any](t, got[0].Body)
	for k, want := range map[string]any{
		"at": "2023-10-08T18:30:00Z", "ok": true, "expected": 12.0, "observed": 11.0, "tried": 9.0, "reached": 8.0,
		"oldest": "2023-10-08T18:29:00Z", "backlog": 1.0, "late_seconds": 3.0,
	} {
		if b[k] != want {
			t.Errorf("%s is %v, want %v", k, b[k], want)
		}
	}
}

// Only a receiver that counted the heartbeat heard it.
func TestBeatNotHeard(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"unknown check": status(200, "OK (not found)"), "thrown away": status(200, "OK (rate limited)"), "gone": status(404, "not found"),
		"broken": status(500, ""), "moved": status(302, "", "Location", "/elsewhere/"+secretPing), "hangs up": hangUp,
		"echo": func(w http.ResponseWriter, r *http.Request) { status(403, r.URL.Path)(w, r) },
	} {
		s := newService(t, answer)
		heard := heart(t, HeartbeatConfig{URL: s.URL + "/" + secretPing}).Beat(ctxOf(t), assure.Sight{})
		if heard.OK || heard.Detail == "" || heard.Held != "" {
			t.Errorf("%s: heard %+v", name, heard)
		}
		if strings.Contains(heard.Detail+heard.URL, secretPing) {
			t.Errorf("%s: the secret is told: %+v", name, heard)
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	if heard := heart(t, HeartbeatConfig{URL: gone.URL + "/" + secretPing}).Beat(ctxOf(t), assure.Sight{}); heard.OK || strings.Contains(heard.Detail, secretPing) {
		t.Errorf("nobody listens: heard %+v", heard)
	}
}

func TestWithhold(t *testing.T) {
	t.Parallel()
	s := newService(t, status(200, "OK"))
	quiet := heart(t, HeartbeatConfig{URL: s.URL + "/" + secretPing})
	if heard := quiet.Withhold(ctxOf(t), "12 claims expected, 3 seen"); heard.OK || heard.Held != "12 claims expected, 3 seen" || len(s.requests()) != 0 {
		t.Errorf("heard %+v after %d requests", heard, len(s.requests()))
	}
	if heard := quiet.Withhold(ctxOf(t), "\x1b"); heard.Held == "" {
		t.Error("a heartbeat withheld without a reason looks like one that was sent")
	}
	loud := heart(t, HeartbeatConfig{URL: s.URL + "/" + secretPing, FailURL: s.URL + "/" + secretPing + "/fail"})
	heard := loud.Withhold(ctxOf(t), "the control was not detected")
	got := s.requests()
	if heard.OK || heard.Held == "" || len(got) != 1 || got[0].Path != "/"+secretPing+"/fail" {
		t.Fatalf("heard %+v, the receiver saw %+v", heard, got)
	}
	if b := decoded[map[string]any](t, got[0].Body); b["ok"] != false || b["why"] != "the control was not detected" {
		t.Errorf("the receiver was told %v", b)
	}
	s.set(status(500, ""), nil)
	if heard := loud.Withhold(ctxOf(t), "late"); heard.OK || heard.Held != "late" || !strings.Contains(heard.Detail, "failed") {
		t.Errorf("heard %+v", heard)
	}
}

func TestBeatByGET(t *testing.T) {
	t.Parallel()
	s := newService(t, status(200, `{"ok":true}`))
	if heard := heart(t, HeartbeatConfig{URL: s.URL + "/api/push/x?status=up", Method: "GET"}).Beat(ctxOf(t), assure.Sight{}); !heard.OK {
		t.Errorf("heard %+v", heard)
	}
	if got := s.requests(); len(got) != 1 || got[0].Method != http.MethodGet || len(got[0].Body) != 0 {
		t.Errorf("the receiver saw %+v", got)
	}
}
