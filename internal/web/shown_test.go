package web

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notafter/notafter/internal/assure"
)

// TestUndeclaredWatch: that nobody would notice, or be told, is said and not left out.
func TestUndeclaredWatch(t *testing.T) {
	w := newWorld()
	w.watch = slices.DeleteFunc(w.watch, func(c assure.ClaimView) bool {
		return c.Claim.Link == assure.People || c.Claim.Subject == assure.SubjectHeartbeat
	})
	s := newServer(t, w, nil)
	for path, want := range map[string][]string{
		"/":        {"Heartbeat</a> <span>not declared", "none declared: nobody will be told"},
		"/monitor": {"Nobody notices if notafter dies.", "No channel is declared: nobody will be told."},
	} {
		body := fetch(s, "GET", path, "", nil).Body.String()
		for _, x := range want {
			if !strings.Contains(body, x) {
				t.Errorf("%s does not say %q", path, x)
			}
		}
	}
	if body := fetch(newServer(t, newWorld(), nil), "GET", "/monitor", "", nil).Body.String(); strings.Contains(body, "Nobody notices") {
		t.Error("a declared heartbeat is shown as missing")
	}
}

// TestTimelineOfAnyKind: events that this version has no drawing for are shown all the same, and a resolved incident
// says so once.
func TestTimelineOfAnyKind(t *testing.T) {
	w := newWorld()
	v := &w.incidents[0]
	v.Events = append(v.Events, assure.Event{Incident: v.Incident.ID, At: worldNow, Kind: "eased", Stage: assure.StageTicket, Text: "Nothing worse was seen."},
		assure.Event{Incident: v.Incident.ID, At: worldNow, Kind: "never_heard_of"})
	v.Incident.Round = 2
	v.Incident.State, v.Incident.ResolvedAt = assure.Resolved, worldNow.Add(-time.Hour)
	s := newServer(t, w, nil)
	body := fetch(s, "GET", "/incidents/"+string(v.Incident.ID), "", nil).Body.String()
	for _, x := range []string{"<strong>eased</strong>", "2 times; getting worse again pages again.", "Nothing worse was seen.", "<strong>never heard of</strong>"} {
		if !strings.Contains(body, x) {
			t.Errorf("the history does not say %q", x)
		}
	}
	list := strings.ToLower(fetch(s, "GET", "/incidents?state=resolved", "", nil).Body.String())
	_, list, _ = strings.Cut(list, `<ol class="incs">`)
	list, _, _ = strings.Cut(list, "</ol>")
	if n := strings.Count(list, "resolved <time") + strings.Count(list, "· resolved"); n != 1 {
		t.Errorf("one resolved incident is said to be resolved %d times", n)
	}
}

// TestProbeSaysWhy: a target that fails says so in words to whoever asks for them.
func TestProbeSaysWhy(t *testing.T) {
	s := newServer(t, newWorld(), nil)
	if body := fetch(s, "GET", "/probe?target=good.example", "", nil).Body.String(); strings.Contains(body, "notafter_probe_finding") {
		t.Error("a finding where nothing is wrong")
	}
	debug := fetch(s, "GET", "/probe?target=unreachable.example&debug=true", "", map[string]string{"Accept-Encoding": "gzip"})
	for _, x := range []string{"Logs for the probe:\n", "Connection refused at connect", "do next: ", "Metrics that would have been returned:\n", "\nprobe_success 0\n"} {
		if !strings.Contains(debug.Body.String(), x) {
			t.Errorf("the reason in words lacks %q:\n%s", x, debug.Body)
		}
	}
	if ct := debug.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/plain") {
		t.Errorf("the reason in words is of type %s", ct)
	}
}
