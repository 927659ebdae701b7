package renew

import (
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/lab/authority"
)

func TestWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{Profiles: map[string]time.Duration{"minute": 2 * time.Minute}})
	now := time.Now().UTC().Truncate(time.Second)
	c := w.ca(func(o *CAOptions) { o.Now = func() time.Time { return now } })
	got, err := c.Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
	if err != nil {
		t.Fatal(err)
	}
	start, end, again, _, err := c.Window(deadline(t), got.Leaf)
	if err != nil || start.Before(got.Leaf.NotBefore) || !end.After(start) || !again.Equal(now.Add(6*time.Hour)) {
		t.Errorf("the CA's own window is %s to %s, ask again at %s: %v", start, end, again, err)
	}
	want := authority.Window{Start: now.Add(time.Minute), End: now.Add(90 * time.Second), Explanation: "https://ca.example/why"}
	if err := w.authority.SetWindow(got.ChainPEM, want); err != nil {
		t.Fatal(err)
	}
	start, end, _, why, err := c.Window(deadline(t), got.Leaf)
	if err != nil || !start.Equal(want.Start) || !end.Equal(want.End) || why != want.Explanation {
		t.Errorf("the window is %s to %s, %q: %v", start, end, why, err)
	}
	for name, raw := range map[string]string{
		"nonsense": "<html>", "half": `{"suggestedWindow": {"start": "2026-01-01T00:00:00Z"`,
		"backwards": `{"suggestedWindow": {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}}`,
		"empty":     `{"suggestedWindow": {}}`,
	} {
		if err := w.authority.SetRenewalInfo(got.ChainPEM, raw); err != nil {
			t.Fatal(err)
		}
		start, end, again, _, err = c.Window(deadline(t), got.Leaf)
		wantTrouble(t, err, assure.RenewalFailing, assure.TroubleBroken, "renewal information")
		if !start.IsZero() || !end.IsZero() || again.IsZero() {
			t.Errorf("%s: the window is %s to %s, ask again at %s", name, start, end, again)
		}
	}
	if err := w.authority.SetRenewalInfo(got.ChainPEM, ""); err != nil {
		t.Fatal(err)
	}
	if err := w.authority.Revoke(got.ChainPEM); err != nil {
		t.Fatal(err)
	}
	if _, end, _, _, err = c.Window(deadline(t), got.Leaf); err != nil || end.After(time.Now()) {
		t.Errorf("of a revoked certificate the window ends at %s: %v", end, err)
	}
	if revoked, err := w.authority.Revoked(got.ChainPEM); err != nil || !revoked {
		t.Errorf("revoked: %v, %v", revoked, err)
	}
}

func TestWindowOfACAThatSuggestsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, authority.Options{})
	got, err := w.ca().Issue(deadline(t), Request{Names: []string{"a.example"}}, w.dns(), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := newWorld(t, authority.Options{})
	if start, _, again, _, err := other.ca().Window(deadline(t), got.Leaf); err != nil || !start.IsZero() || again.IsZero() {
		t.Errorf("a CA that does not know it: %s, %s, %v", start, again, err)
	}
	w.proxy.Without("renewalInfo")
	if start, _, again, _, err := w.ca().Window(deadline(t), got.Leaf); err != nil || !start.IsZero() || again.IsZero() {
		t.Errorf("a CA without: %s, %s, %v", start, again, err)
	}
	if n := w.proxy.Seen(authority.RenewalInfo); n != 0 {
		t.Errorf("%d questions", n)
	}
	w.proxy.Mend()
	w.proxy.Add(authority.Fault{At: authority.RenewalInfo, Times: -1, Do: authority.RateLimited("7200")})
	_, _, again, _, err := w.ca().Window(deadline(t), got.Leaf)
	wantTrouble(t, err, assure.LimitReached, assure.TroubleThrottled)
	if d := time.Until(again); d < 100*time.Minute || d > 121*time.Minute {
		t.Errorf("ask again in %s, want 2 hours", d)
	}
}

func TestReadingWindows(t *testing.T) {
	t.Parallel()
	_, _, why, err := parseWindow([]byte(`{"suggestedWindow":{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"},"explanationURL":"javascript:alert(1)"}`))
	if err != nil || why != "" {
		t.Errorf("an explanation that is no page: %q, %v", why, err)
	}
	_, _, why, err = parseWindow([]byte(`{"suggestedWindow":{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"},"explanationURL":"https://x.example/` + strings.Repeat("a", 5000) + `"}`))
	if err != nil || len(why) > 500 {
		t.Errorf("a long explanation has %d bytes: %v", len(why), err)
	}
}
