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

// TestOneLetterForOneCertificate: what is served now bears the letters that its history bears.
func TestOneLetterForOneCertificate(t *testing.T) {
	leaf := func(fp string) assure.Cert {
		return assure.Cert{Fingerprint: fp, Subject: "CN=" + fp, NotAfter: worldNow.Add(time.Hour)}
	}
	before := assure.Served{Certs: []assure.Cert{leaf("old")}, Chains: []assure.Chain{{Certs: []string{"old"}}}, Sightings: []assure.Sighting{{Address: "192.0.2.1:443"}}}
	now := assure.Served{
		Certs:  []assure.Cert{leaf("new"), leaf("old"), leaf("inter")},
		Chains: []assure.Chain{{Certs: []string{"new"}}, {Certs: []string{"old"}}, {Certs: []string{"old", "inter"}}},
		Sightings: []assure.Sighting{
			{Address: "192.0.2.1:443", Chain: 0}, {Address: "192.0.2.2:443", Chain: 1}, {Address: "192.0.2.3:443", Chain: 2},
		},
	}
	letters := lettering{}
	h := newHistory([]assure.Run{{Subject: "a", Fact: now, FirstSeen: worldNow, LastSeen: worldNow}, {Subject: "a", Fact: before, FirstSeen: worldNow.Add(-time.Hour), LastSeen: worldNow}}, letters, worldNow)
	e := newEndpointView(assure.ClaimView{Evidence: &assure.Evidence{Fact: now}}, letters, time.Time{}, worldNow, assure.Policy{})
	if h.Runs[1].Mark != "A" || h.Runs[0].Mark != "B" {
		t.Errorf("the history has %s and then %s, want A and then B", h.Runs[1].Mark, h.Runs[0].Mark)
	}
	for i, want := range []string{"B", "A", "A2"} { // the same leaf behind another chain is told apart
		if e.Addresses[i].Mark != want || e.Chains[i].Mark != want {
			t.Errorf("address %d serves %s by chain %s, want %s", i, e.Addresses[i].Mark, e.Chains[i].Mark, want)
		}
	}
}

// TestEasedIncidentIsNoOutage: an incident that was worse once does not say that clients are refused now.
func TestEasedIncidentIsNoOutage(t *testing.T) {
	w := newWorld()
	i := &w.incidents[0].Incident
	i.State, i.Stage, i.HurtsAt = assure.Open, assure.StageOutage, worldNow.Add(-time.Hour)
	line := func() string {
		body := fetch(newServer(t, w, nil), "GET", "/incidents", "", nil).Body.String()
		_, line, _ := strings.Cut(body, `href="/incidents/`+string(i.ID)+`"`)
		line, _, _ = strings.Cut(line, "</li>")
		return line
	}
	if l := line(); !strings.Contains(l, "clients refused since") {
		t.Errorf("an outage does not say since when clients are refused: %s", l)
	}
	i.Stage, i.Round = assure.StageTicket, 1
	if l := line(); !strings.Contains(l, "clients were refused from") || strings.Contains(l, "clients refused since") {
		t.Errorf("what eased says that clients are refused: %s", l)
	}
}

func TestReceiptSaysItsCodeOnce(t *testing.T) {
	for _, c := range []struct {
		code   int
		detail string
		want   string
	}{{204, "HTTP 204", "HTTP 204"}, {250, "taken by the mail server", "250 taken by the mail server"}, {0, "connection refused", "connection refused"}, {250, "", "250"}, {0, "", ""}} {
		if got := receiptWords(c.code, c.detail); got != c.want {
			t.Errorf("%d and %q are told as %q, want %q", c.code, c.detail, got, c.want)
		}
	}
}

// TestHistoryTellsRevocation: before and after a certificate was revoked are two lines that do not read the same.
func TestHistoryTellsRevocation(t *testing.T) {
	f := assure.Served{
		Certs: []assure.Cert{{Fingerprint: "a", NotAfter: worldNow}}, Sightings: []assure.Sighting{{Address: "192.0.2.1:443"}},
		Chains: []assure.Chain{{Certs: []string{"a"}, Revocation: []assure.Revocation{{Cert: "a", Status: assure.RevocationGood}}}},
	}
	if w := factWords(f); strings.Contains(w, "evoked") {
		t.Errorf("a good certificate is told as %q", w)
	}
	f.Chains[0].Revocation[0].Status = assure.RevocationRevoked
	if w := factWords(f); !strings.HasSuffix(w, ". Revoked.") {
		t.Errorf("a revoked certificate is told as %q", w)
	}
}
